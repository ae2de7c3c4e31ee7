package lockfile

import (
	"errors"
	"go/version"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
)

// Stdlib is the name under which advisories list Go's standard library. Its
// version is that of the toolchain or go line, without the "go" prefix.
const Stdlib = "stdlib"

func wantsGo(base string) bool {
	switch base {
	case "go.mod", "go.sum", "go.work", "go.work.sum":
		return true
	}
	return false
}

// goWorkspace is a go.work file: the folders that it uses and what it replaces.
type goWorkspace struct {
	file string
	uses map[string]bool // folders of modules
	work *modfile.WorkFile
}

func readGo(s *source, files []string) []Module {
	var modules []Module
	var workspaces []goWorkspace
	own := make(map[string]string) // folder -> module path
	parsed := make(map[string]*modfile.File)
	failed := make(map[string]error)
	for _, name := range files {
		switch path.Base(name) {
		case "go.work":
			w, err := readGoWork(s, name)
			if err != nil {
				modules = append(modules, broken("Go", "gomod", name, err))
				continue
			}
			workspaces = append(workspaces, w)
		case "go.mod":
			data, err := s.text(name)
			if err != nil {
				modules = append(modules, broken("Go", "gomod", name, err))
				continue
			}
			f, err := modfile.Parse(name, data, nil)
			if err != nil {
				failed[name] = err
				f, err = modfile.ParseLax(name, data, nil)
			}
			if err != nil {
				m := Module{Dir: folderOf(name), Ecosystem: "Go", Tool: "gomod", Manifests: []string{name}}
				m.goErrors(name, err)
				delete(failed, name)
				modules = append(modules, m)
				continue
			}
			parsed[name] = f
			if f.Module != nil {
				own[folderOf(name)] = f.Module.Mod.Path
			}
		case "go.sum":
			if !s.has(path.Join(path.Dir(name), "go.mod")) {
				m := Module{Dir: folderOf(name), Ecosystem: "Go", Tool: "gomod", Locks: []string{name}}
				m.problem(name, 0, "has no go.mod beside it")
				modules = append(modules, m)
			}
		}
	}
	for _, name := range files {
		f := parsed[name]
		if f == nil {
			continue
		}
		m := Module{Dir: folderOf(name), Ecosystem: "Go", Tool: "gomod", Manifests: []string{name}}
		if err := failed[name]; err != nil {
			m.goErrors(name, err)
		}
		var work *goWorkspace
		for i := range workspaces {
			if workspaces[i].uses[m.Dir] {
				work = &workspaces[i]
			}
		}
		m.readGoMod(s, name, f, work, own)
		modules = append(modules, m)
	}
	return modules
}

func readGoWork(s *source, name string) (goWorkspace, error) {
	data, err := s.text(name)
	if err != nil {
		return goWorkspace{}, err
	}
	work, err := modfile.ParseWork(name, data, nil)
	if err != nil {
		var list modfile.ErrorList
		if errors.As(err, &list) && len(list) > 0 {
			return goWorkspace{}, &lineError{list[0].Pos.Line, list[0].Err.Error()}
		}
		return goWorkspace{}, err
	}
	w := goWorkspace{file: name, uses: make(map[string]bool), work: work}
	for _, use := range work.Use {
		dir := path.Join(folderOf(name), use.Path)
		if dir == "." {
			dir = ""
		}
		w.uses[dir] = true
	}
	return w, nil
}

// goErrors records each error of a go.mod file at its line.
func (m *Module) goErrors(name string, err error) {
	var list modfile.ErrorList
	if !errors.As(err, &list) {
		m.problem(name, 0, "%v", err)
		return
	}
	for _, e := range list {
		text := e.Err.Error()
		if e.Verb != "" {
			text = e.Verb + " " + e.ModPath + ": " + text
		}
		m.problem(name, e.Pos.Line, "%s", text)
	}
}

func (m *Module) readGoMod(s *source, name string, f *modfile.File, work *goWorkspace, own map[string]string) {
	if f.Module != nil {
		m.Name = f.Module.Mod.Path
	}
	m.goStdlib(name, f)
	replaces := goReplaces(name, f.Replace)
	siblings := make(map[string]bool)
	if work != nil {
		replaces = append(replaces, goReplaces(work.file, work.work.Replace)...)
		for dir := range work.uses {
			if own[dir] != "" {
				siblings[own[dir]] = true
			}
		}
	}
	excluded := make(map[module.Version]bool)
	for _, e := range f.Exclude {
		excluded[e.Mod] = true
	}
	sums := m.goSums(s, work)
	seen := make(map[string]int)
	for _, r := range f.Require {
		if r.Syntax == nil {
			continue
		}
		line, end := r.Syntax.Start.Line, r.Syntax.End.Line
		if first, ok := seen[r.Mod.Path]; ok {
			m.conflict(name, line, "requires %s again; line %d requires it too", r.Mod.Path, first)
			continue
		}
		seen[r.Mod.Path] = line
		if excluded[r.Mod] {
			m.conflict(name, line, "requires %s %s, which it excludes", r.Mod.Path, r.Mod.Version)
		}
		p := Package{Name: r.Mod.Path, Version: r.Mod.Version, Key: r.Mod.Path, Path: name, Line: line, EndLine: end, Direct: !r.Indirect}
		d := Declaration{Name: r.Mod.Path, Constraint: r.Mod.Version, Group: "production", Path: name, Line: line, EndLine: end}
		if siblings[r.Mod.Path] {
			p.Source = "workspace"
		}
		if by := goReplaced(replaces, r.Mod); by != nil && p.Source == "" {
			p.Path, p.Line, p.EndLine = by.file, by.line, by.line
			d.ValuePath, d.ValueLine = by.file, by.line
			if by.New.Version == "" {
				p.Source = "path"
			} else {
				p.Name, p.Version = by.New.Path, by.New.Version
				if p.Name != r.Mod.Path {
					d.Name, d.Alias = p.Name, r.Mod.Path
				}
			}
		}
		if p.Direct {
			p.Declared = []int{len(m.Declared)}
			m.Declared = append(m.Declared, d)
		}
		if sums != nil && p.Source == "" && !sums[module.Version{Path: p.Name, Version: p.Version}] {
			m.conflict(name, line, "requires %s %s, of which %s has no checksum", p.Name, p.Version, m.Locks[0])
		}
		m.Packages = append(m.Packages, p)
	}
}

// goStdlib adds the standard library at the version of the toolchain line, or
// of the go line when there is none or it is older.
func (m *Module) goStdlib(name string, f *modfile.File) {
	at, line := "", 0
	if f.Go != nil && f.Go.Syntax != nil {
		at, line = f.Go.Version, f.Go.Syntax.Start.Line
	}
	if f.Toolchain != nil && f.Toolchain.Syntax != nil {
		if v, ok := strings.CutPrefix(f.Toolchain.Name, "go"); ok {
			v, _, _ = strings.Cut(v, "-")
			if at == "" || version.Compare("go"+v, "go"+at) >= 0 {
				at, line = v, f.Toolchain.Syntax.Start.Line
			}
		}
	}
	if at == "" || line == 0 {
		return
	}
	m.Packages = append(m.Packages, Package{
		Name: Stdlib, Version: at, Key: Stdlib, Path: name, Line: line, EndLine: line,
		Direct: true, Declared: []int{len(m.Declared)}, EdgesKnown: true,
	})
	m.Declared = append(m.Declared, Declaration{Name: Stdlib, Constraint: at, Group: "production", Path: name, Line: line, EndLine: line})
}

type goReplace struct {
	*modfile.Replace
	file string
	line int
}

func goReplaces(file string, list []*modfile.Replace) []goReplace {
	var replaces []goReplace
	for _, r := range list {
		if r.Syntax != nil {
			replaces = append(replaces, goReplace{r, file, r.Syntax.Start.Line})
		}
	}
	return replaces
}

// goReplaced gives the replacement of a module; one for its very version comes
// before one for all, and a workspace's before a module's.
func goReplaced(replaces []goReplace, mod module.Version) *goReplace {
	var found *goReplace
	for i := range replaces {
		old := replaces[i].Old
		if old.Path == mod.Path && (old.Version == mod.Version || old.Version == "" && (found == nil || found.Old.Version == "")) {
			found = &replaces[i]
		}
	}
	return found
}

// goSums reads which module versions have a checksum; nil without a go.sum.
func (m *Module) goSums(s *source, work *goWorkspace) map[module.Version]bool {
	names := []string{path.Join(m.Dir, "go.sum")}
	if work != nil {
		names = append(names, path.Join(folderOf(work.file), "go.work.sum"))
	}
	var sums map[module.Version]bool
	for _, name := range names {
		if !s.has(name) {
			continue
		}
		data, err := s.text(name)
		if err != nil {
			m.fail(name, err)
			continue
		}
		m.Locks = append(m.Locks, name)
		if sums == nil {
			sums = make(map[module.Version]bool)
		}
		line, bad := 0, 0
		for text := range strings.Lines(string(data)) {
			line++
			var fields [3]string
			n := 0
			for field := range strings.FieldsSeq(text) {
				if n < 3 {
					fields[n] = field
				}
				n++
			}
			if n == 0 {
				continue
			}
			if n != 3 {
				if bad++; bad <= 10 {
					m.problem(name, line, "has %d words; expected module, version and checksum", n)
				}
				continue
			}
			sums[module.Version{Path: fields[0], Version: strings.TrimSuffix(fields[1], "/go.mod")}] = true
		}
	}
	if len(m.Locks) > 0 && !slices.Contains(m.Locks, names[0]) {
		return nil
	}
	return sums
}
