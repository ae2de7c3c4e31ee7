package lockfile

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
)

// Bounds on untrusted files. A file beyond one becomes a Problem.
const (
	maxPackages = 1_000_000 // of one module
	maxNodes    = 8_000_000 // values of one JSON or TOML document
	maxDepth    = 200       // nesting of one document
	maxKey      = 4096      // bytes of a lock's own key
	maxVersions = 64        // of one package in one Python module
	maxProblems = 1000      // of one module; the rest is counted
)

// format reads the manifests and locks of one tool.
//
// wants says whether a base name is one of the format's; a format whose files are
// known by their folder has wantsPath instead. read gets all such
// files of the tree, sorted, without those that an earlier format claimed, and
// gives the modules they make; files that cannot be read are Problems of their
// module. A format that takes a file which another format wants too (a
// package.json beside a yarn.lock) claims it.
type format struct {
	tool      string
	wants     func(base string) bool
	read      func(s *source, files []string) []Module
	wantsPath func(name string) bool
}

// takes says whether a file is one of the format's.
func (f *format) takes(name string) bool {
	if f.wantsPath != nil {
		return f.wantsPath(name)
	}
	return f.wants(path.Base(name))
}

// formats lists every format in the order in which they may claim files.
func formats() []format {
	return []format{
		{"gomod", wantsGo, readGo, nil},
		{"yarn", wantsYarn, readYarn, nil},
		{"pnpm", wantsPnpm, readPnpm, nil},
		{"npm", wantsNPM, readNPM, nil},
		{"pip", wantsPython, readPython, nil},
		{"maven", wantsMaven, readMaven, nil},
		{"gradle", wantsGradle, readGradle, nil},
		{"cargo", wantsCargo, readCargo, nil},
		{"bundler", wantsBundler, readBundler, nil},
		{"composer", wantsComposer, readComposer, nil},
		{"actions", nil, readActions, wantsActions},
	}
}

// source is the tree as formats see it.
type source struct {
	ctx     context.Context
	tree    code.Tree
	paths   []string // sorted, without installed folders
	known   map[string]bool
	claimed map[string]bool
}

// has says whether the tree holds a file.
func (s *source) has(name string) bool { return s.known[name] }

// claim keeps files from the formats that come later.
func (s *source) claim(names ...string) {
	for _, name := range names {
		s.claimed[name] = true
	}
}

// text reads a file and refuses what is no text.
func (s *source) text(name string) ([]byte, error) {
	if err := s.ctx.Err(); err != nil {
		return nil, err
	}
	data, err := s.tree.Read(s.ctx, name)
	if err != nil {
		var pathError *fs.PathError
		if errors.As(err, &pathError) {
			err = pathError.Err
		}
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	switch {
	case len(data) >= 2 && (data[0] == 0xff && data[1] == 0xfe || data[0] == 0xfe && data[1] == 0xff):
		return nil, errors.New("is UTF-16; expected UTF-8")
	case slices.Contains(data[:min(len(data), 8192)], 0):
		return nil, errors.New("is binary; expected text")
	}
	if len(data) >= 3 && data[0] == 0xef && data[1] == 0xbb && data[2] == 0xbf {
		data = data[3:]
	}
	return data, nil
}

// Wants says whether a file of that path would be read by itself: its name is
// that of a manifest or lock, and it lies in no installed folder.
func Wants(name string) bool {
	if installed(name) {
		return false
	}
	switch path.Ext(name) {
	case ".txt", ".in":
		return isRequirements(name)
	}
	return slices.ContainsFunc(formats(), func(f format) bool { return f.takes(name) })
}

// Read finds all manifests and locks of a tree and reads them, sorted by Dir,
// then Tool, then main manifest. Installed folders (code.SkipFolder) are left
// out. A file that cannot be read is a Problem of its module; the error is only
// that of listing the tree, or of the context.
func Read(ctx context.Context, tree code.Tree) ([]Module, error) {
	paths, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	return ReadPaths(ctx, tree, paths)
}

// ReadPaths is Read restricted to the given paths.
func ReadPaths(ctx context.Context, tree code.Tree, paths []string) ([]Module, error) {
	s := &source{ctx: ctx, tree: tree, known: make(map[string]bool), claimed: make(map[string]bool)}
	list := formats()
	wanted := make([][]string, len(list))
	for _, name := range paths {
		is := false
		for i := range list {
			if list[i].takes(name) && !installed(name) {
				wanted[i] = append(wanted[i], name)
				is = true
			}
		}
		if is && !s.known[name] {
			s.known[name] = true
			s.paths = append(s.paths, name)
		}
	}
	slices.Sort(s.paths)
	var modules []Module
	for i := range list {
		files := slices.DeleteFunc(wanted[i], func(name string) bool { return s.claimed[name] })
		slices.Sort(files)
		files = slices.Compact(files)
		if len(files) == 0 {
			continue
		}
		modules = append(modules, list[i].read(s, files)...)
		if err := ctx.Err(); err != nil {
			return nil, err
		}
	}
	for i := range modules {
		finish(&modules[i])
	}
	slices.SortStableFunc(modules, func(a, b Module) int {
		return cmp.Or(cmp.Compare(a.Dir, b.Dir), cmp.Compare(a.Tool, b.Tool), cmp.Compare(a.file(), b.file()))
	})
	return modules, nil
}

func installed(name string) bool {
	for folder := range strings.SplitSeq(path.Dir(name), "/") {
		if code.SkipFolder(folder) {
			return true
		}
	}
	return false
}

// file is the module's main file: its first manifest, else its first lock.
func (m *Module) file() string {
	if len(m.Manifests) > 0 {
		return m.Manifests[0]
	}
	if len(m.Locks) > 0 {
		return m.Locks[0]
	}
	return ""
}

func (m *Module) problem(name string, line int, format string, args ...any) {
	m.Problems = append(m.Problems, Problem{Path: name, Line: line, Text: fmt.Sprintf(format, args...)})
}

// conflict records that a file contradicts another.
func (m *Module) conflict(name string, line int, format string, args ...any) {
	m.Problems = append(m.Problems, Problem{Path: name, Line: line, Text: fmt.Sprintf(format, args...), Conflict: true})
}

// finish bounds a module and drops indexes that point nowhere.
func finish(m *Module) {
	if n := len(m.Packages); n > maxPackages {
		m.Packages = m.Packages[:maxPackages]
		m.problem(m.file(), 0, "has %d packages; only the first %d were read", n, maxPackages)
	}
	for i := range m.Packages {
		p := &m.Packages[i]
		outside := func(n int) func(int) bool {
			return func(j int) bool { return j < 0 || j >= n }
		}
		p.Requires = slices.DeleteFunc(p.Requires, outside(len(m.Packages)))
		slices.Sort(p.Requires)
		p.Requires = slices.Compact(p.Requires)
		p.Declared = slices.DeleteFunc(p.Declared, outside(len(m.Declared)))
	}
	if n := len(m.Problems); n > maxProblems {
		m.Problems = append(m.Problems[:maxProblems], Problem{Path: m.file(), Text: fmt.Sprintf("%d more problems are not listed", n-maxProblems)})
	}
}

// broken gives the module of a file that could not be read.
func broken(ecosystem, tool, name string, err error) Module {
	m := Module{Dir: folderOf(name), Ecosystem: ecosystem, Tool: tool}
	m.fail(name, err)
	return m
}

// fail records that a file could not be read, with the line when err has one.
func (m *Module) fail(name string, err error) {
	line := 0
	var at *lineError
	if errors.As(err, &at) {
		line = at.line
	}
	m.problem(name, line, "%v", err)
}

// byFolder groups sorted paths by their folder ("" for the root), in order.
func byFolder(files []string) (folders []string, in map[string][]string) {
	in = make(map[string][]string)
	for _, name := range files {
		dir := folderOf(name)
		if _, ok := in[dir]; !ok {
			folders = append(folders, dir)
		}
		in[dir] = append(in[dir], name)
	}
	slices.Sort(folders)
	return folders, in
}

// folderOf gives the folder of a path, "" for the root.
func folderOf(name string) string {
	if dir := path.Dir(name); dir != "." {
		return dir
	}
	return ""
}

// Bounds of Paths.
const (
	maxTies = 8
	maxPath = 1000
)

// Paths gives the shortest paths of package indexes from a direct dependency
// down to package i, both included; ties are all returned, at most 8, in order
// of their indexes. A direct dependency has the one path that is itself. It is
// empty when no known edge leads to the package. Who asks for many packages
// asks a Graph.
func (m *Module) Paths(i int) [][]int { return m.Graph().Paths(i) }

// Graph answers for many packages of a module. It stands for the module as it
// was when the graph was made.
type Graph struct {
	m       *Module
	parents [][]int
}

// Graph prepares answers for many packages.
func (m *Module) Graph() *Graph {
	parents := make([][]int, len(m.Packages))
	for i := range m.Packages {
		for _, j := range m.Packages[i].Requires {
			if j >= 0 && j < len(parents) {
				parents[j] = append(parents[j], i)
			}
		}
	}
	return &Graph{m, parents}
}

// Paths is Module.Paths.
func (g *Graph) Paths(i int) [][]int {
	packages := g.m.Packages
	if i < 0 || i >= len(packages) {
		return nil
	}
	if packages[i].Direct {
		return [][]int{{i}}
	}
	depth := map[int]int{i: 0}
	level := []int{i}
	var tops []int
	for length := 1; len(level) > 0 && len(tops) == 0 && length < maxPath; length++ {
		var next []int
		for _, at := range level {
			for _, parent := range g.parents[at] {
				if _, seen := depth[parent]; seen {
					continue
				}
				depth[parent] = length
				next = append(next, parent)
				if packages[parent].Direct {
					tops = append(tops, parent)
				}
			}
		}
		level = next
	}
	slices.Sort(tops)
	var found [][]int
	var walk func(chain []int)
	walk = func(chain []int) {
		at := chain[len(chain)-1]
		if at == i {
			found = append(found, slices.Clone(chain))
			return
		}
		for _, next := range packages[at].Requires {
			if d, ok := depth[next]; ok && d == depth[at]-1 && len(found) < maxTies {
				walk(append(chain, next))
			}
		}
	}
	for _, top := range tops {
		if len(found) < maxTies {
			walk([]int{top})
		}
	}
	return found
}
