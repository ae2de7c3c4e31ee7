package lockfile

import (
	"cmp"
	"maps"
	"path"
	"slices"
	"strings"
)

// Cargo: one module for each Cargo.lock, with the manifests of its workspace;
// one for each Cargo.toml that no lock covers.

func wantsCargo(base string) bool { return base == "Cargo.toml" || base == "Cargo.lock" }

// crateManifest is one Cargo.toml.
type crateManifest struct {
	file string
	root *node
}

func readCargo(s *source, files []string) []Module {
	manifests := map[string]*crateManifest{} // by folder
	bad := map[string]Module{}
	locked := map[string]bool{}
	for _, file := range files {
		dir := folderOf(file)
		if path.Base(file) == "Cargo.lock" {
			locked[dir] = true
			continue
		}
		m := Module{Dir: dir, Ecosystem: "crates.io", Tool: "cargo"}
		if root := m.toml(s, file); root != nil {
			manifests[dir] = &crateManifest{file, root}
		} else {
			m.Manifests = []string{file}
			bad[dir] = m
		}
	}
	members := map[string][]*crateManifest{} // by the folder of the workspace, else their own
	for dir, manifest := range manifests {
		home := dir
		for at := dir; ; at = folderOf(at) {
			if inWorkspace(manifests[at], at, dir) {
				home = at
				break
			}
			if at == "" {
				break
			}
		}
		members[home] = append(members[home], manifest)
	}
	known := maps.Clone(locked)
	for dir := range members {
		known[dir] = true
	}
	for dir := range bad {
		known[dir] = true
	}
	homes := slices.Sorted(maps.Keys(known))
	modules := make([]Module, 0, len(homes))
	for _, home := range homes {
		list := members[home]
		slices.SortStableFunc(list, func(a, b *crateManifest) int {
			return cmp.Or(cmp.Compare(len(folderOf(a.file)), len(folderOf(b.file))), cmp.Compare(a.file, b.file))
		})
		m, failed := bad[home]
		if !failed {
			m = Module{Dir: home, Ecosystem: "crates.io", Tool: "cargo"}
		}
		c := &crates{m: &m, workspace: manifests[home]}
		for _, manifest := range list {
			c.manifest(manifest)
		}
		if locked[home] {
			c.lock(s, path.Join(home, "Cargo.lock"))
		} else {
			c.pinned()
		}
		modules = append(modules, m)
	}
	return modules
}

// inWorkspace says whether the manifest in folder at counts dir as a member.
func inWorkspace(m *crateManifest, at, dir string) bool {
	if m == nil {
		return false
	}
	workspace := m.root.get("workspace")
	if workspace == nil {
		return false
	}
	if at == dir {
		return true
	}
	inner := strings.TrimPrefix(strings.TrimPrefix(dir, at), "/")
	for _, e := range workspace.get("exclude").list() {
		if text := strings.TrimPrefix(path.Clean(e.text), "./"); inner == text || strings.HasPrefix(inner, text+"/") {
			return false
		}
	}
	for _, e := range workspace.get("members").list() {
		if globPath(strings.TrimPrefix(path.Clean(e.text), "./"), inner) {
			return true
		}
	}
	return hasPathTo(m, inner) // a path dependency is a member without being listed
}

func hasPathTo(m *crateManifest, inner string) bool {
	for _, list := range []*node{m.root.get("dependencies"), m.root.at("workspace", "dependencies")} {
		for _, d := range list.fields() {
			if p := d.value.str("path"); p != "" && path.Clean(p) == inner {
				return true
			}
		}
	}
	return false
}

type crates struct {
	m         *Module
	workspace *crateManifest
	names     []string // of the workspace's own crates
}

func (c *crates) manifest(manifest *crateManifest) {
	root, m := manifest.root, c.m
	m.Manifests = append(m.Manifests, manifest.file)
	name := root.at("package").str("name")
	if name != "" {
		c.names = append(c.names, name)
	}
	if m.Name == "" {
		m.Name, m.Version = name, root.at("package").str("version")
		if root.at("package", "version").get("workspace") != nil && c.workspace != nil {
			m.Version = c.workspace.root.at("workspace", "package").str("version")
		}
	}
	c.tables(manifest, root)
	for _, target := range root.get("target").fields() {
		c.tables(manifest, target.value)
	}
	for _, registry := range root.get("patch").fields() {
		for _, d := range registry.value.fields() {
			c.declare(manifest, d, "override")
		}
	}
	for _, d := range root.get("replace").fields() {
		d.key, _, _ = strings.Cut(d.key, ":")
		c.declare(manifest, d, "override")
	}
}

func (c *crates) tables(manifest *crateManifest, at *node) {
	for _, table := range []struct{ key, group string }{
		{"dependencies", "production"},
		{"dev-dependencies", "development"}, {"dev_dependencies", "development"},
		{"build-dependencies", "build"}, {"build_dependencies", "build"},
	} {
		for _, d := range at.get(table.key).fields() {
			c.declare(manifest, d, table.group)
		}
	}
}

func (c *crates) declare(manifest *crateManifest, d member, group string) {
	decl := Declaration{Name: d.key, Group: group, Path: manifest.file, Line: d.line, EndLine: max(d.line, d.value.end)}
	value, where := d.value, manifest.file
	if value.yes("workspace") {
		var line int
		value = nil
		if c.workspace != nil {
			for _, w := range c.workspace.root.at("workspace", "dependencies").fields() {
				if w.key == d.key {
					value, line, where = w.value, w.line, c.workspace.file
				}
			}
		}
		if value == nil {
			c.m.problem(manifest.file, d.line, "%s is taken from the workspace, which does not list it", d.key)
			c.m.Declared = append(c.m.Declared, decl)
			return
		}
		decl.ValuePath, decl.ValueLine = where, line
	}
	if value.kind == nodeText {
		decl.Constraint = value.text
	} else {
		decl.Constraint = value.str("version")
		if version := value.get("version"); version != nil && (where != decl.Path || version.line != decl.Line) {
			decl.ValuePath, decl.ValueLine = where, version.line
		}
	}
	if name := value.str("package"); name != "" {
		decl.Name, decl.Alias = name, d.key
	}
	if group == "production" && (d.value.yes("optional") || value.yes("optional")) {
		decl.Group = "optional"
	}
	c.m.Declared = append(c.m.Declared, decl)
}

// lock reads a Cargo.lock of any version.
func (c *crates) lock(s *source, file string) {
	m := c.m
	m.Locks = append(m.Locks, file)
	root := m.toml(s, file)
	if root == nil {
		return
	}
	byName := map[string][]int{}
	byKey := map[string]int{}
	list := root.get("package").list()
	var rows []*node
	if old := root.get("root"); old != nil { // version 0 names the project apart
		list = append([]*node{old}, list...)
	}
	for _, row := range list {
		name, version := row.str("name"), row.str("version")
		if name == "" {
			m.problem(file, row.line, "package without a name")
			continue
		}
		source := row.str("source")
		p := Package{
			Name: name, Version: version, Path: file, Line: row.line, EndLine: max(row.line, row.end),
			Key: name + " " + version, Source: crateSource(source), EdgesKnown: true,
		}
		if source == "" {
			p.Source = "path"
			if slices.Contains(c.names, name) {
				p.Source = "workspace"
			}
		}
		if _, taken := byKey[p.Key]; taken {
			p.Key += " (" + source + ")"
		}
		if _, taken := byKey[p.Key]; taken {
			m.problem(file, row.line, "%s is locked twice", p.Key)
			continue
		}
		byKey[p.Key] = len(m.Packages)
		byName[name] = append(byName[name], len(m.Packages))
		m.Packages = append(m.Packages, p)
		rows = append(rows, row)
	}
	find := func(text string) int {
		name, rest, _ := strings.Cut(text, " ")
		version, _, _ := strings.Cut(rest, " ")
		if i, ok := byKey[text]; ok {
			return i
		}
		if i, ok := byKey[name+" "+version]; ok && version != "" {
			return i
		}
		if all := byName[name]; len(all) == 1 || len(all) > 0 && version == "" {
			return all[0]
		}
		return -1
	}
	for i, row := range rows {
		for _, d := range row.get("dependencies").list() {
			if j := find(d.text); j >= 0 {
				m.Packages[i].Requires = append(m.Packages[i].Requires, j)
			} else {
				m.problem(file, d.line, "%s requires %s, which is not locked", m.Packages[i].Name, d.text)
			}
		}
	}
	c.match(byName)
}

func crateSource(source string) string {
	switch {
	case strings.HasPrefix(source, "git+"):
		return "git"
	case strings.HasPrefix(source, "registry+https://github.com/rust-lang/crates.io-index"),
		strings.HasPrefix(source, "sparse+https://index.crates.io"), source == "":
		return ""
	case strings.HasPrefix(source, "path+"):
		return "path"
	}
	return "url"
}

// match ties declarations to what is locked for them: among the requirements
// of the workspace's own crates, the version that the constraint admits.
func (c *crates) match(byName map[string][]int) {
	m := c.m
	for d := range m.Declared {
		decl := &m.Declared[d]
		if decl.Group == "override" {
			continue
		}
		candidates := byName[decl.Name]
		best := -1
		for _, i := range some(candidates) {
			if cargoAdmits(decl.Constraint, m.Packages[i].Version) && (best < 0 || newer(m.Packages[i].Version, m.Packages[best].Version)) {
				best = i
			}
		}
		switch {
		case best >= 0:
			m.Packages[best].Direct = true
			m.Packages[best].Declared = append(m.Packages[best].Declared, d)
		case len(candidates) == 0:
			m.problem(decl.Path, decl.Line, "%s is declared and not in the lock", decl.Name)
		default:
			m.problem(decl.Path, decl.Line, "%s %s is declared, but the lock has %s", decl.Name, decl.Constraint, m.Packages[candidates[0]].Version)
		}
	}
	m.markDev()
}

// pinned gives what a manifest alone says.
func (c *crates) pinned() {
	m := c.m
	used := map[string]bool{}
	for d, decl := range m.Declared {
		if decl.Group == "override" || used[decl.Name] {
			continue
		}
		used[decl.Name] = true
		p := Package{
			Name: decl.Name, Key: decl.Name, Path: decl.Path, Line: decl.Line, EndLine: decl.EndLine,
			Direct: true, Dev: decl.Group == "development", Optional: decl.Group == "optional", Declared: []int{d},
		}
		if exact, ok := strings.CutPrefix(decl.Constraint, "="); ok && !strings.ContainsAny(exact, ",*<>") && strings.Count(exact, ".") >= 2 {
			p.Version = strings.TrimSpace(exact)
		}
		m.Packages = append(m.Packages, p)
	}
}

// cargoAdmits says whether a requirement admits a version. One that is not
// understood admits every version.
func cargoAdmits(constraint, version string) bool {
	var clauses []string
	for clause := range strings.SplitSeq(constraint, ",") {
		clause = strings.TrimSpace(clause)
		if clause != "" && clause[0] >= '0' && clause[0] <= '9' && !strings.Contains(clause, "*") {
			clause = "^" + clause
		}
		clauses = append(clauses, clause)
	}
	fits, understood := npmSatisfies(strings.Join(clauses, " "), version)
	return fits || !understood
}
