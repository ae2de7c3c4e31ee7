package lockfile

import (
	"path"
	"slices"
	"strconv"
	"strings"
)

// pnpm: one module for each pnpm-lock.yaml of versions 5 to 9, with the
// package.json files of its importers and the catalogs of pnpm-workspace.yaml.

const (
	pnpmLock      = "pnpm-lock.yaml"
	pnpmWorkspace = "pnpm-workspace.yaml"
)

func wantsPnpm(base string) bool {
	return base == pnpmLock || base == pnpmWorkspace || base == npmManifest
}

func readPnpm(s *source, files []string) []Module {
	var modules []Module
	for _, file := range files {
		if path.Base(file) != pnpmLock {
			continue
		}
		p := &pnpm{
			m:    &Module{Dir: folderOf(file), Ecosystem: "npm", Tool: "pnpm", Locks: []string{file}},
			file: file, at: map[string]int{}, overridden: map[string]bool{},
		}
		p.read(s)
		modules = append(modules, *p.m)
	}
	return modules
}

type pnpm struct {
	m         *Module
	file      string
	major     int
	at        map[string]int // key of the lock, with and without what peers it was made for -> package
	workspace *node
	// overridden holds names whose constraint the lock does not repeat.
	overridden map[string]bool
}

func (p *pnpm) read(s *source) {
	m := p.m
	main := path.Join(m.Dir, npmManifest)
	data, err := s.text(p.file)
	var root *node
	if err == nil {
		root, err = parseYAML(data)
	}
	if err == nil && root.get("lockfileVersion") == nil {
		err = &lineError{1, `is no pnpm lock: expected "lockfileVersion"`}
	}
	workspace := path.Join(m.Dir, pnpmWorkspace)
	if s.has(workspace) {
		if text, err := s.text(workspace); err != nil {
			m.fail(workspace, err)
		} else if p.workspace, err = parseYAML(text); err != nil {
			m.fail(workspace, err)
		}
	}
	if err != nil {
		m.fail(p.file, err)
		p.manifest(s, main)
		p.catalogs(workspace, 0)
		m.npmPinned()
		return
	}
	number, _, _ := strings.Cut(root.scalar("lockfileVersion"), ".")
	p.major, _ = strconv.Atoi(number)
	if p.major < 5 || p.major > 9 {
		m.problem(p.file, root.get("lockfileVersion").line, "lockfileVersion %s is not known; read as 9", root.scalar("lockfileVersion"))
		p.major = 9
	}
	p.packages(root)
	for _, list := range []*node{root.get("overrides"), p.workspace.get("overrides")} {
		for _, o := range list.fields() {
			p.overridden[o.key] = true
		}
	}
	importers := root.get("importers").fields()
	if len(importers) == 0 {
		importers = []member{{key: ".", line: 1, value: root}}
	}
	slices.SortStableFunc(importers, func(a, b member) int { // the module's own first
		return btoi(b.key == ".") - btoi(a.key == ".")
	})
	for _, importer := range importers {
		name := path.Join(m.Dir, importer.key, npmManifest)
		first := len(m.Declared)
		if p.manifest(s, name) {
			p.catalogs(workspace, first)
			p.compare(importer.value, first)
		} else {
			p.fromLock(importer.value)
		}
	}
	if p.workspace != nil {
		m.Manifests = append(m.Manifests, workspace)
		m.npmOverrides(p.workspace.get("overrides"), workspace, 0)
	}
	m.markDev()
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// manifest reads a package.json; it says whether there is one.
func (p *pnpm) manifest(s *source, name string) bool {
	if !s.has(name) || s.claimed[name] {
		return false
	}
	if dir := folderOf(name); !s.has(path.Join(dir, npmLock)) && !s.has(path.Join(dir, npmShrinkwrap)) {
		s.claim(name)
	}
	return p.m.npmManifest(s, name) != nil
}

// catalogs points declarations of "catalog:" to the line of the catalog.
func (p *pnpm) catalogs(workspace string, first int) {
	for i := first; i < len(p.m.Declared); i++ {
		d := &p.m.Declared[i]
		name, ok := strings.CutPrefix(d.Constraint, "catalog:")
		if !ok {
			continue
		}
		catalog := p.workspace.at("catalogs", name)
		if name == "" || name == "default" {
			if catalog = p.workspace.get("catalog"); catalog == nil {
				catalog = p.workspace.at("catalogs", "default")
			}
		}
		if entry := catalog.get(d.Name); entry != nil {
			d.ValuePath, d.ValueLine = workspace, entry.line
		} else {
			p.m.problem(d.Path, d.Line, "%s is taken from a catalog that does not list it", d.Name)
		}
	}
}

func (p *pnpm) packages(root *node) {
	m := p.m
	for _, row := range root.get("packages").fields() {
		name, version := p.split(row.key)
		if own := row.value.str("name"); own != "" {
			name = own
		}
		if own := row.value.scalar("version"); own != "" {
			version = own
		}
		if name == "" {
			m.problem(p.file, row.line, "package key %q has no name", clipped(row.key))
			continue
		}
		if _, twice := p.at[row.key]; twice {
			m.problem(p.file, row.line, "%s is locked twice", clipped(row.key))
			continue
		}
		found := Package{
			Name: name, Version: version, Key: row.key, Path: p.file, Line: row.line, EndLine: max(row.line, row.value.end),
			Optional: row.value.yes("optional"), EdgesKnown: true, Source: npmSourceOf(version),
		}
		resolution := row.value.get("resolution")
		switch {
		case resolution.str("type") == "directory" || resolution.str("directory") != "":
			found.Source = "path"
		case resolution.str("type") == "git" || resolution.str("repo") != "":
			found.Source = "git"
		case resolution.str("tarball") != "":
			found.Source = npmSourceOf(resolution.str("tarball"))
		}
		p.at[row.key] = len(m.Packages)
		m.Packages = append(m.Packages, found)
	}
	rows := root.get("packages")
	if p.major >= 9 {
		rows = root.get("snapshots")
		for _, row := range rows.fields() {
			base, _, _ := strings.Cut(row.key, "(")
			if i, ok := p.at[base]; ok {
				p.at[row.key] = i
				m.Packages[i].Optional = row.value.yes("optional")
			} else {
				m.problem(p.file, row.line, "%s has a snapshot and no package", clipped(row.key))
			}
		}
	}
	for _, row := range rows.fields() {
		i, ok := p.at[row.key]
		if !ok {
			continue
		}
		for _, list := range []string{"dependencies", "optionalDependencies"} {
			for _, d := range row.value.get(list).fields() {
				if j, ok := p.find(d.key, d.value.text); ok {
					m.Packages[i].Requires = append(m.Packages[i].Requires, j)
				} else if list == "dependencies" && !linked(d.value.text) {
					m.problem(p.file, d.line, "%s requires %s %s, which is not locked", m.Packages[i].Name, d.key, clipped(d.value.text))
				}
			}
		}
	}
}

func linked(version string) bool {
	return strings.HasPrefix(version, "link:") || strings.HasPrefix(version, "workspace:")
}

// split takes a key apart: "/a/1.0.0_peer" (5), "/a@1.0.0(peer)" (6) or
// "a@1.0.0" (9).
func (p *pnpm) split(key string) (name, version string) {
	key = strings.TrimPrefix(key, "/")
	if p.major < 6 {
		slash := strings.LastIndexByte(key, '/')
		for { // what a version was made for may hold slashes itself
			if slash <= 0 {
				return key, ""
			}
			if under := strings.IndexByte(key, '_'); under < 0 || slash < under {
				break
			}
			slash = strings.LastIndexByte(key[:slash], '/')
		}
		version, _, _ = strings.Cut(key[slash+1:], "_")
		return key[:slash], version
	}
	key, _, _ = strings.Cut(key, "(")
	return splitSpec(key)
}

// find gives the package that a reference names: a version, or for an alias
// a whole key.
func (p *pnpm) find(name, version string) (int, bool) {
	for _, key := range []string{name + "@" + version, "/" + name + "@" + version, "/" + name + "/" + version, version, "/" + version} {
		if i, ok := p.at[key]; ok {
			return i, true
		}
	}
	if base, _, peers := strings.Cut(version, "("); peers && p.major >= 9 {
		return p.find(name, base)
	}
	return 0, false
}

// locked gives what an importer locks for a name: its version, the constraint
// it was made for and their line.
func locked(importer *node, name string) (version, specifier string, line int) {
	for _, g := range npmGroups {
		entry := importer.get(g.key).get(name)
		if entry == nil {
			continue
		}
		if entry.kind == nodeObject {
			return entry.scalar("version"), entry.scalar("specifier"), entry.line
		}
		return entry.text, importer.get("specifiers").scalar(name), entry.line
	}
	return "", "", 0
}

// compare joins declarations with what the importer locks for them.
func (p *pnpm) compare(importer *node, first int) {
	m := p.m
	for _, d := range m.Declared[first:] {
		if d.Group == "override" {
			p.overridden[d.Name] = true
		}
	}
	for i := first; i < len(m.Declared); i++ {
		d := &m.Declared[i]
		if d.Group == "override" {
			continue
		}
		name := d.Name
		if d.Alias != "" {
			name = d.Alias
		}
		version, specifier, line := locked(importer, name)
		if line == 0 {
			if d.Group != "peer" && d.Group != "optional" {
				m.problem(d.Path, d.Line, "declares %s %s, which %s does not lock", name, d.Constraint, p.file)
			}
			continue
		}
		if specifier != "" && specifier != d.Constraint && !p.overridden[d.Name] {
			m.problem(d.Path, d.Line, "declares %s %s; %s line %d was made for %s", name, d.Constraint, p.file, line, specifier)
		}
		p.join(i, name, version, line)
	}
}

func (p *pnpm) join(declaration int, name, version string, line int) {
	if linked(version) {
		return
	}
	j, ok := p.find(name, version)
	if !ok {
		p.m.problem(p.file, line, "locks %s %s, which is not among its packages", name, clipped(version))
		return
	}
	p.m.Packages[j].Direct = true
	p.m.Packages[j].Declared = append(p.m.Packages[j].Declared, declaration)
}

// fromLock takes the declarations from the lock when the manifest is absent.
func (p *pnpm) fromLock(importer *node) {
	for _, g := range npmGroups {
		for _, entry := range importer.get(g.key).fields() {
			version, specifier, _ := locked(importer, entry.key)
			d := Declaration{Name: entry.key, Constraint: specifier, Group: g.group, Path: p.file, Line: entry.line, EndLine: max(entry.line, entry.value.end)}
			if real, _, ok := npmAlias(specifier); ok {
				d.Name, d.Alias = real, entry.key
			}
			p.m.Declared = append(p.m.Declared, d)
			p.join(len(p.m.Declared)-1, entry.key, version, entry.line)
		}
	}
}
