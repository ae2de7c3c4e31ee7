// Package goapi says what a Go module exports, what changes between two versions of
// it, and which of its symbols a repository names.
//
// It reads sources and runs nothing: neither the go command nor the dependencies of
// the module are needed. The price is that types are compared as they are written.
// What is inferred (a variable without a type) or comes by embedding a type of
// another module is not seen, and a method is met by its name alone. It is no proof
// that a program compiles.
package goapi

import (
	"context"
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// Bounds of one module.
const (
	maxFiles = 30_000
	maxBytes = 256 << 20
	maxFile  = 8 << 20
)

// API is what the packages of a module export: by import path, by symbol.
type API struct {
	Module   string
	Packages map[string]Package
}

// Package is what one package exports: by symbol, which is the name of a function,
// type, variable or constant, or "Type.Member".
type Package map[string]Symbol

// Symbol is an exported declaration.
type Symbol struct {
	Kind Kind
	// Text is the declaration in a form in which equal ones are equal: no names of
	// parameters, imports by their path.
	Text string
	// Open says of an interface that others can implement it, of a type that it
	// embeds what is not known.
	Open bool
}

// Kind is the kind of a Symbol.
type Kind string

// Kinds.
const (
	Func      Kind = "function"
	Type      Kind = "type"
	Alias     Kind = "alias"
	Interface Kind = "interface"
	Method    Kind = "method"
	Required  Kind = "interface method"
	Field     Kind = "field"
	Var       Kind = "variable"
	Const     Kind = "constant"
)

// Read reads what a module exports from its sources, as seen on linux/amd64.
// Commands, internal packages, tests and nested modules export nothing. A file that
// is no Go is an error.
func Read(ctx context.Context, sources fs.FS, module string) (*API, error) {
	api := &API{Module: module, Packages: map[string]Package{}}
	folders := map[string][]string{}
	files := 0
	err := fs.WalkDir(sources, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		base := path.Base(name)
		if entry.IsDir() {
			if name == "." {
				return nil
			}
			if base == "testdata" || base == "vendor" || base == "internal" || base[0] == '.' || base[0] == '_' {
				return fs.SkipDir
			}
			if _, err := fs.Stat(sources, path.Join(name, "go.mod")); err == nil {
				return fs.SkipDir
			}
			return nil
		}
		if !entry.Type().IsRegular() || !strings.HasSuffix(base, ".go") || strings.HasSuffix(base, "_test.go") {
			return nil
		}
		if files++; files > maxFiles {
			return fmt.Errorf("more than %d files", maxFiles)
		}
		folders[path.Dir(name)] = append(folders[path.Dir(name)], name)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("sources of %s: %w", module, err)
	}
	budget := int64(maxBytes)
	for folder, names := range folders {
		importPath := path.Join(module, folder)
		pkg, err := readPackage(sources, folder, names, &budget)
		if err != nil {
			return nil, fmt.Errorf("sources of %s: %w", module, err)
		}
		if pkg != nil {
			api.Packages[importPath] = pkg
		}
	}
	return api, nil
}

// readFile reads a file of at most maxFile bytes.
func readFile(sources fs.FS, name string, budget *int64) ([]byte, error) {
	file, err := sources.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: more than %d bytes", name, maxFile)
	}
	if *budget -= int64(len(data)); *budget < 0 {
		return nil, fmt.Errorf("more than %d bytes", int64(maxBytes))
	}
	return data, nil
}

// target is the platform whose files are looked at.
func target(sources fs.FS) *build.Context {
	platform := build.Default
	platform.GOOS, platform.GOARCH, platform.CgoEnabled, platform.Compiler = "linux", "amd64", true, "gc"
	platform.BuildTags, platform.ToolTags = nil, nil
	platform.OpenFile = func(name string) (io.ReadCloser, error) { return sources.Open(path.Clean(name)) }
	platform.JoinPath = path.Join
	return &platform
}

func readPackage(sources fs.FS, folder string, names []string, budget *int64) (Package, error) {
	slices.Sort(names)
	platform := target(sources)
	set := token.NewFileSet()
	pkg := &packageReader{exported: Package{}, embeds: map[string][]string{}, opaque: map[string]bool{}}
	for _, name := range names {
		matches, err := platform.MatchFile(folder, path.Base(name))
		if err != nil || !matches {
			continue // a file whose header cannot be read is not built
		}
		data, err := readFile(sources, name, budget)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(set, name, data, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		if file.Name.Name == "main" {
			return nil, nil
		}
		if file.Name.Name == "documentation" {
			continue
		}
		pkg.add(file)
	}
	pkg.promote()
	if len(pkg.exported) == 0 {
		return nil, nil
	}
	return pkg.exported, nil
}

type packageReader struct {
	exported Package
	embeds   map[string][]string // type -> types of the package that it embeds
	opaque   map[string]bool     // types that embed what is declared elsewhere
	hidden   Package             // members of types that are not exported
}

func (p *packageReader) add(file *ast.File) {
	if p.hidden == nil {
		p.hidden = Package{}
	}
	w := writer{imports: imports(file)}
	for _, declaration := range file.Decls {
		switch d := declaration.(type) {
		case *ast.FuncDecl:
			p.function(w, d)
		case *ast.GenDecl:
			last := ""
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					p.typeSpec(w, s)
				case *ast.ValueSpec:
					kind := Var
					if d.Tok == token.CONST {
						kind = Const
					}
					text := ""
					switch {
					case s.Type != nil:
						text = w.text(s.Type)
					case kind == Const && len(s.Values) == 0:
						text = last // as the one before
					}
					last = text
					for _, name := range s.Names {
						if name.IsExported() {
							p.exported[name.Name] = Symbol{Kind: kind, Text: text}
						}
					}
				}
			}
		}
	}
}

func (p *packageReader) function(w writer, d *ast.FuncDecl) {
	if !d.Name.IsExported() {
		return
	}
	if d.Recv == nil {
		p.exported[d.Name.Name] = Symbol{Kind: Func, Text: w.parameters(d.Type.TypeParams, "[", "]") + w.signature(d.Type)}
		return
	}
	if len(d.Recv.List) != 1 {
		return
	}
	receiver, pointer := d.Recv.List[0].Type, ""
	if star, ok := receiver.(*ast.StarExpr); ok {
		receiver, pointer = star.X, "*"
	}
	switch generic := receiver.(type) {
	case *ast.IndexExpr:
		receiver = generic.X
	case *ast.IndexListExpr:
		receiver = generic.X
	}
	if name, ok := receiver.(*ast.Ident); ok {
		p.member(name.Name, d.Name.Name, Symbol{Kind: Method, Text: pointer + " " + w.signature(d.Type)})
	}
}

// member notes a member of a type, which may not be exported and be embedded in one
// that is.
func (p *packageReader) member(of, name string, s Symbol) {
	into := p.exported
	if !ast.IsExported(of) {
		into = p.hidden
	}
	into[of+"."+name] = s
}

func (p *packageReader) typeSpec(w writer, s *ast.TypeSpec) {
	name := s.Name.Name
	parameters := w.parameters(s.TypeParams, "[", "]")
	declare := func(symbol Symbol) {
		if s.Name.IsExported() {
			p.exported[name] = symbol
		}
	}
	if s.Assign.IsValid() {
		declare(Symbol{Kind: Alias, Text: parameters + "= " + w.text(s.Type)})
		return
	}
	switch t := s.Type.(type) {
	case *ast.StructType:
		declare(Symbol{Kind: Type, Text: parameters + "struct"})
		for _, field := range t.Fields.List {
			if len(field.Names) == 0 {
				p.embed(w, name, field.Type)
				continue
			}
			for _, n := range field.Names {
				if n.IsExported() {
					p.member(name, n.Name, Symbol{Kind: Field, Text: w.text(field.Type)})
				}
			}
		}
	case *ast.InterfaceType:
		open := true
		for _, method := range t.Methods.List {
			if len(method.Names) == 0 {
				p.embed(w, name, method.Type)
				continue
			}
			for _, n := range method.Names {
				if !n.IsExported() {
					open = false // nobody else can implement it
				} else if f, ok := method.Type.(*ast.FuncType); ok {
					p.member(name, n.Name, Symbol{Kind: Required, Text: w.signature(f)})
				}
			}
		}
		declare(Symbol{Kind: Interface, Text: parameters + "interface", Open: open})
	default:
		declare(Symbol{Kind: Type, Text: parameters + w.text(s.Type)})
	}
}

func (p *packageReader) embed(w writer, in string, what ast.Expr) {
	base := what
	if star, ok := base.(*ast.StarExpr); ok {
		base = star.X
	}
	switch generic := base.(type) {
	case *ast.IndexExpr:
		base = generic.X
	case *ast.IndexListExpr:
		base = generic.X
	}
	name := ""
	switch e := base.(type) {
	case *ast.Ident:
		name = e.Name
		p.embeds[in] = append(p.embeds[in], name)
	case *ast.SelectorExpr:
		name = e.Sel.Name
		p.opaque[in] = true
	default: // a constraint
		p.opaque[in] = true
	}
	if ast.IsExported(name) {
		p.member(in, name, Symbol{Kind: Field, Text: w.text(what)})
	}
}

// promote gives types the members of those that they embed.
func (p *packageReader) promote() {
	for range 8 { // as deep as embedding is followed
		changed := false
		for in, embedded := range p.embeds {
			for _, of := range embedded {
				if p.opaque[of] && !p.opaque[in] {
					p.opaque[in], changed = true, true
				}
				for _, from := range []Package{p.exported, p.hidden} {
					for _, key := range from.membersOf(of) {
						member := strings.TrimPrefix(key, of+".")
						into := p.exported
						if !ast.IsExported(in) {
							into = p.hidden
						}
						if _, has := into[in+"."+member]; !has {
							into[in+"."+member] = from[key]
							changed = true
						}
					}
				}
			}
		}
		if !changed {
			break
		}
	}
	for name := range p.opaque {
		if s, ok := p.exported[name]; ok && s.Kind != Interface {
			s.Open = true
			p.exported[name] = s
		}
	}
}

// membersOf lists the members of a type in a package, sorted.
func (p Package) membersOf(name string) []string {
	var list []string
	for key := range p {
		if strings.HasPrefix(key, name+".") {
			list = append(list, key)
		}
	}
	slices.Sort(list)
	return list
}

// ErrNoSources says that the sources of a version are not at hand.
var ErrNoSources = errors.New("its sources are not in the module cache")
