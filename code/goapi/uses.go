package goapi

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code"
)

// Uses is what the Go files of a repository's module name of other packages.
type Uses struct {
	// Imports are the import paths, with the first place of each.
	Imports map[string]Place
	symbols map[string]map[string]Place // import path -> symbol of the package
	names   map[string]map[string]Place // import path -> what follows a dot in folders that import it
	// Skipped are files that are no Go, with the reason.
	Skipped []string
}

// Place is a line of a file.
type Place struct {
	Path string
	Line int
	Test bool // the file is a test
}

// before prefers program text to tests, and then the first file and line.
func (p Place) before(q Place) bool {
	switch {
	case p.Test != q.Test:
		return !p.Test
	case p.Path != q.Path:
		return p.Path < q.Path
	}
	return p.Line < q.Line
}

func note(into map[string]Place, key string, at Place) {
	if had, ok := into[key]; !ok || at.before(had) {
		into[key] = at
	}
}

// maxSkipped bounds what is said of files that were not read.
const maxSkipped = 20

// Scan reads the Go files of a module of the repository. dir is the module's folder,
// without the folders of modules nested in it.
func Scan(ctx context.Context, tree code.Tree, dir string, nested []string) (*Uses, error) {
	u := &Uses{Imports: map[string]Place{}, symbols: map[string]map[string]Place{}, names: map[string]map[string]Place{}}
	paths, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	type folder struct {
		imports []string
		names   map[string]Place
	}
	folders := map[string]*folder{}
	files := 0
	for _, name := range paths {
		if !strings.HasSuffix(name, ".go") || !below(name, dir) || slices.ContainsFunc(nested, func(n string) bool { return n != dir && below(n, dir) && below(name, n) }) || unbuilt(name) {
			continue
		}
		if files++; files > maxFiles {
			return nil, fmt.Errorf("module in %q: more than %d Go files", dir, maxFiles)
		}
		data, err := tree.Read(ctx, name)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if errors.Is(err, code.ErrTooLarge) {
			u.skip(name, err)
			continue
		}
		if err != nil {
			return nil, err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, data, 0)
		if err != nil {
			u.skip(name, err)
			continue
		}
		home := folders[path.Dir(name)]
		if home == nil {
			home = &folder{names: map[string]Place{}}
			folders[path.Dir(name)] = home
		}
		place := func(at token.Pos) Place {
			return Place{name, set.Position(at).Line, strings.HasSuffix(name, "_test.go")}
		}
		local := map[string]string{}
		for _, spec := range file.Imports {
			importPath, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				continue
			}
			note(u.Imports, importPath, place(spec.Pos()))
			home.imports = append(home.imports, importPath)
			if spec.Name != nil {
				local[spec.Name.Name] = importPath
				continue
			}
			for _, guess := range guesses(importPath) {
				if _, taken := local[guess]; !taken || guess == localName(importPath) {
					local[guess] = importPath
				}
			}
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Obj == nil {
					if importPath, imported := local[x.Name]; imported {
						if u.symbols[importPath] == nil {
							u.symbols[importPath] = map[string]Place{}
						}
						note(u.symbols[importPath], n.Sel.Name, place(n.Pos()))
						return true
					}
				}
				note(home.names, n.Sel.Name, place(n.Sel.Pos()))
			case *ast.KeyValueExpr: // a field of a literal
				if key, ok := n.Key.(*ast.Ident); ok && key.IsExported() {
					note(home.names, key.Name, place(key.Pos()))
				}
			}
			return true
		})
	}
	for _, home := range folders {
		slices.Sort(home.imports)
		for _, importPath := range slices.Compact(home.imports) {
			if u.names[importPath] == nil {
				u.names[importPath] = map[string]Place{}
			}
			for name, at := range home.names {
				note(u.names[importPath], name, at)
			}
		}
	}
	return u, nil
}

func (u *Uses) skip(name string, why error) {
	if len(u.Skipped) < maxSkipped {
		text, _, _ := strings.Cut(why.Error(), "\n")
		u.Skipped = append(u.Skipped, name+": "+text)
	}
}

// below says whether a path is in a folder; "" is the root.
func below(name, dir string) bool {
	return dir == "" || dir == "." || name == dir || strings.HasPrefix(name, dir+"/")
}

// unbuilt says that the go command never builds a file.
func unbuilt(name string) bool {
	for part := range strings.SplitSeq(name, "/") {
		if part == "testdata" || part == "vendor" || strings.HasPrefix(part, "_") || strings.HasPrefix(part, ".") {
			return true
		}
	}
	return false
}

// guesses are the names that a package at an import path may have.
func guesses(importPath string) []string {
	base := path.Base(importPath)
	if majorElement.MatchString(base) && path.Dir(importPath) != "." {
		base = path.Base(path.Dir(importPath))
	}
	if at := strings.LastIndex(base, ".v"); at > 0 {
		base = base[:at]
	}
	list := []string{localName(importPath), strings.ReplaceAll(base, "-", ""), strings.ReplaceAll(base, "-", "_"), base[strings.LastIndexByte(base, '-')+1:], base[strings.LastIndexByte(base, '.')+1:]}
	first, _, _ := strings.Cut(base, "-")
	list = append(list, first)
	slices.Sort(list)
	return slices.Compact(list)
}

// Use is a place where a module's change or flaw meets the repository.
type Use struct {
	Package, Symbol, What string
	Place                 Place
	// ByName says that something of that name is used where the package is imported;
	// that it is this one is likely and not known.
	ByName bool
}

// Meet lists where changes meet what is used, in the order of the changes.
func (u *Uses) Meet(changes []Change) []Use {
	var list []Use
	for _, c := range changes {
		if c.Symbol == "" {
			if at, ok := u.Imports[c.Package]; ok {
				list = append(list, Use{Package: c.Package, What: c.What, Place: at})
			}
			continue
		}
		if at, byName, ok := u.Names(c.Package, c.Symbol); ok {
			list = append(list, Use{c.Package, c.Symbol, c.What, at, byName})
		}
	}
	slices.SortStableFunc(list, func(a, b Use) int {
		return cmp.Or(boolCompare(a.ByName, b.ByName), boolCompare(a.Place.Test, b.Place.Test))
	})
	return list
}

func boolCompare(a, b bool) int {
	switch {
	case a == b:
		return 0
	case a:
		return 1
	}
	return -1
}

// Names says whether a symbol of a package is named, and where first. A member of a
// type is met by its name.
func (u *Uses) Names(importPath, symbol string) (at Place, byName, ok bool) {
	_, member, isMember := strings.Cut(symbol, ".")
	if !isMember {
		at, ok = u.symbols[importPath][symbol]
		return at, false, ok
	}
	at, ok = u.names[importPath][member]
	return at, true, ok
}

// Closure follows imports from those of a module's own packages.
type Closure struct {
	// By gives for each package of the program the one that imports it, "" for the
	// module itself.
	By map[string]string
	// Missing are packages whose sources were not at hand; what they import is not
	// known.
	Missing []string
}

// maxPackages bounds a Closure.
const maxPackages = 20_000

// Close follows imports through the sources that find gives for an import path: the
// folder of a package in a file system. Packages of the standard library are not
// followed. Tests of dependencies are no part of a program.
func (u *Uses) Close(ctx context.Context, own func(importPath string) bool, find func(importPath string) (sources fs.FS, folder string, ok bool)) (*Closure, error) {
	c := &Closure{By: map[string]string{}}
	var todo []string
	for importPath := range u.Imports {
		todo = append(todo, importPath)
	}
	slices.Sort(todo)
	for _, importPath := range todo {
		c.By[importPath] = ""
	}
	budget := int64(maxBytes)
	for len(todo) > 0 {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		at := todo[0]
		todo = todo[1:]
		if first, _, _ := strings.Cut(at, "/"); own(at) || !strings.Contains(first, ".") || at == "C" {
			continue
		}
		sources, folder, ok := find(at)
		if !ok {
			c.Missing = append(c.Missing, at)
			continue
		}
		imported, err := importsOf(sources, folder, &budget)
		if err != nil {
			c.Missing = append(c.Missing, at)
			continue
		}
		for _, next := range imported {
			if _, seen := c.By[next]; !seen {
				if len(c.By) >= maxPackages {
					return nil, fmt.Errorf("more than %d packages", maxPackages)
				}
				c.By[next] = at
				todo = append(todo, next)
			}
		}
	}
	slices.Sort(c.Missing)
	return c, nil
}

// Chain lists the packages that lead to one, from the module's own import on.
func (c *Closure) Chain(importPath string) []string {
	var chain []string
	for at := importPath; at != "" && len(chain) < 64; at = c.By[at] {
		chain = append(chain, at)
	}
	slices.Reverse(chain)
	return chain
}

func importsOf(sources fs.FS, folder string, budget *int64) ([]string, error) {
	entries, err := fs.ReadDir(sources, folder)
	if err != nil {
		return nil, err
	}
	platform := target(sources)
	var list []string
	for _, entry := range entries {
		name := entry.Name()
		if !entry.Type().IsRegular() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		if matches, err := platform.MatchFile(folder, name); err != nil || !matches {
			continue
		}
		data, err := readFile(sources, path.Join(folder, name), budget)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, data, parser.ImportsOnly)
		if err != nil {
			return nil, err
		}
		for _, spec := range file.Imports {
			if importPath, err := strconv.Unquote(spec.Path.Value); err == nil {
				list = append(list, importPath)
			}
		}
	}
	slices.Sort(list)
	return slices.Compact(list), nil
}
