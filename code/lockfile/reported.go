package lockfile

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"unicode"

	"github.com/backstitch/backstitch/code"
)

// Reported is a package that somebody else resolved for a module whose files list
// only what they declare: a transitive dependency that a scanner named.
type Reported struct {
	Manifest string   // main manifest of the module
	Name     string   // canonical within the ecosystem
	Version  string   // as it was resolved
	Through  []string // names from a direct dependency down, without its own; empty when nobody told
	By       string   // who says so
	// Basis identifies what the version was resolved from: all that the module declares
	// beside the package itself. Where the files have another, what was resolved says
	// nothing any more. Complete fills it in when it is empty.
	Basis string
}

// Bounds on what reports may add to a module.
const (
	maxReported     = 10_000 // packages
	maxReportedName = 512    // bytes
)

// Lists says whether the module's files list every package that it resolves, so that
// there is nothing to be told by others.
func (m *Module) Lists() bool {
	return len(m.Locks) > 0 || m.Tool != "maven" && m.Tool != "gradle"
}

// Complete adds to modules, which were read from the tree, what others resolved for
// them, and gives that with its basis. A managed version that the files state is in
// force whatever was told; otherwise the version is what was told for as long as
// nothing else that decides about it changed, and "" after that.
func Complete(ctx context.Context, tree code.Tree, modules []Module, reported []Reported) ([]Reported, error) {
	if len(reported) == 0 {
		return nil, nil
	}
	based := slices.Clone(reported)
	at := map[string]*completion{}
	r := &mavenReader{poms: map[string]*pom{}, here: map[string][]*pom{}}
	var files []string
	for i := range modules {
		m := &modules[i]
		if m.Lists() || len(m.Manifests) == 0 {
			continue
		}
		at[m.Manifests[0]] = &completion{module: m}
		if m.Tool == "maven" {
			files = append(files, m.Manifests[0])
		}
	}
	read := false
	for i := range based {
		c := at[based[i].Manifest]
		if c == nil || !plain(based[i].Name) || !plain(based[i].Version) {
			continue
		}
		if c.module.Tool == "maven" && !read {
			read = true
			if err := r.load(ctx, tree, files); err != nil {
				return nil, err
			}
		}
		if !c.prepared {
			if err := c.prepare(ctx, tree, r); err != nil {
				return nil, err
			}
		}
		c.add(&based[i])
	}
	for _, c := range at {
		c.link(based)
	}
	return based, nil
}

// plain says whether a name or version is one line of bounded length.
func plain(text string) bool {
	return text != "" && len(text) <= maxReportedName && !strings.ContainsFunc(text, unicode.IsControl)
}

// load parses poms that were read before; those that cannot be are left out.
func (r *mavenReader) load(ctx context.Context, tree code.Tree, files []string) error {
	s := &source{ctx: ctx, tree: tree}
	for _, file := range files {
		data, err := s.text(file)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err != nil {
			continue
		}
		if root, err := parseXML(data); err == nil && root.name == "project" {
			r.poms[file] = newPOM(file, root)
		}
	}
	r.join(files)
	return nil
}

// completion is one module while others' packages are added to it.
type completion struct {
	module   *Module
	prepared bool
	pom      *pom // of Maven, when it can be read
	table    *table
	basis    []stated
	line     int // of what brings dependencies, when nobody told which one
	end      int
	first    int // index of the first package that was added
}

// stated is one line of a basis. name is the package that it is about when a managed
// version states it.
type stated struct{ name, text string }

func (c *completion) prepare(ctx context.Context, tree code.Tree, r *mavenReader) error {
	c.prepared, c.first, c.line = true, len(c.module.Packages), 1
	main := c.module.Manifests[0]
	if c.module.Tool == "maven" {
		if c.pom = r.poms[main]; c.pom == nil {
			return nil
		}
		c.table = r.manage(c.pom)
		c.basis = c.pom.basis(c.table)
		if section := c.pom.root.child("dependencies"); section != nil {
			c.line, c.end = section.line, section.end
		}
		return nil
	}
	for _, d := range c.module.Declared {
		c.basis = append(c.basis, stated{"", d.Group + " " + d.Name + " " + d.Constraint})
	}
	data, err := tree.Read(ctx, main)
	var missing *fs.PathError
	if err != nil && !errors.As(err, &missing) {
		return fmt.Errorf("read %s: %w", main, err)
	}
	if from, to, ok := GradleBlock(data, "dependencies"); ok {
		c.line, c.end = 1+strings.Count(string(data[:from]), "\n"), 1+strings.Count(string(data[:to]), "\n")
	}
	return nil
}

// basis lists everything of a project that decides which versions Maven resolves.
func (p *pom) basis(t *table) []stated {
	var lines []stated
	for _, at := range p.chain() {
		for n, part := range append([]*element{at.root}, at.root.at("profiles").all("profile")...) {
			for _, e := range part.at("dependencies").all("dependency") {
				lines = append(lines, stated{"", fmt.Sprintf("%d %s", n, p.flat(e, 0))})
			}
		}
	}
	for _, entry := range t.outside {
		version := ""
		if entry.version != nil {
			version = entry.owner.decide(entry.version, entry.file).text
		}
		lines = append(lines, stated{"", "from elsewhere " + entry.name + " " + version})
	}
	for _, key := range slices.Sorted(maps.Keys(t.entries)) {
		entry := t.entries[key]
		lines = append(lines, stated{nameOfKey(key), "managed " + key + " " + entry.owner.decide(entry.version, entry.file).text})
	}
	return lines
}

// flat writes an element as one text, with properties put in.
func (p *pom) flat(e *element, depth int) string {
	text := e.name + "(" + p.expand(e.text)
	if depth < maxDepth {
		for _, child := range e.children {
			text += p.flat(child, depth+1)
		}
	}
	return text + ")"
}

// nameOfKey is group:artifact of a managed key.
func nameOfKey(key string) string {
	group, rest, _ := strings.Cut(key, ":")
	artifact, _, _ := strings.Cut(rest, ":")
	return group + ":" + artifact
}

// on identifies what the version of a package was resolved from.
func (c *completion) on(name string) string {
	sum := sha256.New()
	for _, line := range c.basis {
		if line.name != name {
			fmt.Fprintf(sum, "%q\n", line.text)
		}
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// add puts one package into the module, or its version to a declared one that states
// none.
func (c *completion) add(r *Reported) {
	m := c.module
	if len(m.Packages)-c.first >= maxReported {
		return
	}
	basis := c.on(r.Name)
	if r.Basis == "" {
		r.Basis = basis
	}
	version := r.Version
	if basis != r.Basis {
		version = ""
	}
	for i := range m.Packages[:c.first] {
		p := &m.Packages[i]
		if !SameName(m.Ecosystem, p.Name, r.Name) {
			continue
		}
		if p.Version == "" && p.Source == "" && (p.Reported == "" || p.Reported == r.By) {
			p.Version, p.Reported = version, r.By
		}
		return // the files decide
	}
	file, line, end := m.Manifests[0], c.line, c.end
	if entry, ok := c.managed(r.Name); ok {
		decided := entry.owner.decide(entry.version, entry.file)
		file, line, end = entry.file, entry.version.line, entry.version.end
		version = ""
		if decided.ok && !c.doubtful(entry) {
			version = exactMaven(decided.text)
		}
	}
	for i := c.first; i < len(m.Packages); i++ {
		if m.Packages[i].Name == r.Name && m.Packages[i].Version == version {
			return
		}
	}
	m.Packages = append(m.Packages, Package{
		Name: r.Name, Version: version, Key: fmt.Sprintf("%s@%s", r.Name, r.Version),
		Path: file, Line: line, EndLine: end, Reported: r.By,
	})
}

// managed gives the managed version that is in force for what others bring.
func (c *completion) managed(name string) (tableEntry, bool) {
	if c.table == nil {
		return tableEntry{}, false
	}
	entry, ok := c.table.entries[name+":jar:"]
	return entry, ok
}

// doubtful says whether another place may decide in an entry's stead: a profile that
// is not active, a second entry, a parent or bill from elsewhere before a bill.
func (c *completion) doubtful(entry tableEntry) bool {
	return entry.profile || entry.twice || entry.owner != c.pom && len(c.table.outside) > 0
}

// link joins what was added to what is told to bring it.
func (c *completion) link(reported []Reported) {
	m := c.module
	if !c.prepared || len(m.Packages) == c.first {
		return
	}
	index := map[string][]int{}
	for i := range m.Packages {
		index[m.Packages[i].Name] = append(index[m.Packages[i].Name], i)
	}
	for i := range reported {
		r := &reported[i]
		if r.Manifest != m.Manifests[0] || len(r.Through) == 0 {
			continue
		}
		for _, child := range index[r.Name] {
			if child < c.first {
				continue
			}
			for _, parent := range index[r.Through[len(r.Through)-1]] {
				if parent != child && !slices.Contains(m.Packages[parent].Requires, child) {
					m.Packages[parent].Requires = append(m.Packages[parent].Requires, child)
				}
			}
			if top := index[r.Through[0]]; len(top) > 0 && top[0] < c.first && m.Packages[child].Path == m.Packages[top[0]].Path && m.Packages[child].Line == c.line {
				m.Packages[child].Line, m.Packages[child].EndLine = m.Packages[top[0]].Line, m.Packages[top[0]].EndLine
			}
		}
	}
	for i := range m.Packages {
		slices.Sort(m.Packages[i].Requires)
	}
}
