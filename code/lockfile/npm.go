package lockfile

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

const (
	npmManifest   = "package.json"
	npmLock       = "package-lock.json"
	npmShrinkwrap = "npm-shrinkwrap.json"
	npmFolder     = "node_modules/"
)

func wantsNPM(base string) bool {
	return base == npmManifest || base == npmLock || base == npmShrinkwrap
}

// readNPM makes one module of each lock with its manifest and those of its
// workspaces, and one of each manifest that no lock covers.
func readNPM(s *source, files []string) []Module {
	var modules []Module
	folders, in := byFolder(files)
	lockOf := make(map[string]string)
	for _, dir := range folders {
		for _, name := range in[dir] {
			switch base := path.Base(name); {
			case base == npmShrinkwrap, base == npmLock && lockOf[dir] == "":
				lockOf[dir] = name
			}
		}
	}
	for _, dir := range folders {
		if lock := lockOf[dir]; lock != "" {
			modules = append(modules, readNPMLock(s, dir, lock, lockOf))
		}
	}
	for _, name := range files {
		if path.Base(name) != npmManifest || s.claimed[name] {
			continue
		}
		s.claim(name)
		m := Module{Dir: folderOf(name), Ecosystem: "npm", Tool: "npm"}
		m.npmManifest(s, name)
		m.npmPinned()
		modules = append(modules, m)
	}
	return modules
}

// npmManifest reads a package.json into the module: its declarations, and the
// module's name when it is the first. It returns nil when it cannot be read.
func (m *Module) npmManifest(s *source, name string) *node {
	first := len(m.Manifests) == 0
	m.Manifests = append(m.Manifests, name)
	data, err := s.text(name)
	if err != nil {
		m.fail(name, err)
		return nil
	}
	root, err := parseJSON(data)
	if err != nil {
		m.fail(name, err)
		return nil
	}
	if root.kind != nodeObject {
		m.problem(name, root.line, "is no object")
		return nil
	}
	if first {
		m.Name, m.Version = root.str("name"), root.str("version")
	}
	m.Declared = append(m.Declared, npmDeclared(root, name)...)
	m.npmOverrides(root.get("overrides"), name, 0)
	m.npmOverrides(root.get("resolutions"), name, 0)
	m.npmOverrides(root.at("pnpm", "overrides"), name, 0)
	return root
}

var npmGroups = []struct{ key, group string }{
	{"dependencies", "production"},
	{"devDependencies", "development"},
	{"optionalDependencies", "optional"},
	{"peerDependencies", "peer"},
}

// npmDeclared lists the dependencies of a package.json, or of a package entry
// of a lock, in file order within each group.
func npmDeclared(root *node, name string) []Declaration {
	var declared []Declaration
	for _, g := range npmGroups {
		for _, dep := range root.get(g.key).fields() {
			if dep.value.kind != nodeText {
				continue
			}
			d := Declaration{Name: dep.key, Constraint: dep.value.text, Group: g.group, Path: name, Line: dep.line, EndLine: dep.value.end}
			if real, _, ok := npmAlias(dep.value.text); ok {
				d.Name, d.Alias = real, dep.key
			}
			declared = append(declared, d)
		}
	}
	return declared
}

// npmAlias splits "npm:name@range".
func npmAlias(constraint string) (name, constraintOf string, ok bool) {
	rest, ok := strings.CutPrefix(constraint, "npm:")
	if !ok {
		return "", "", false
	}
	if at := strings.LastIndexByte(rest, '@'); at > 0 {
		return rest[:at], rest[at+1:], true
	}
	return rest, "", rest != ""
}

func (m *Module) npmOverrides(n *node, name string, depth int) {
	for _, o := range n.fields() {
		key := o.key
		if slash := strings.LastIndexByte(key, '/'); slash > 0 && !strings.HasPrefix(key[strings.LastIndexByte(key[:slash], '/')+1:], "@") {
			key = key[slash+1:] // "parent/child" of yarn resolutions
		}
		if gt := strings.LastIndexByte(key, '>'); gt >= 0 {
			key = strings.TrimSpace(key[gt+1:]) // "parent>child" of pnpm
		}
		if at := strings.LastIndexByte(key, '@'); at > 0 {
			key = key[:at]
		}
		constraint, line := o.value.text, o.line
		if o.value.kind == nodeObject {
			m.npmOverrides(o.value, name, depth+1)
			if constraint = o.value.str("."); constraint == "" {
				continue
			}
			line = o.value.get(".").line
		}
		if key == "." || key == "" || constraint == "" {
			continue
		}
		m.Declared = append(m.Declared, Declaration{Name: key, Constraint: constraint, Group: "override", Path: name, Line: line, EndLine: line})
	}
}

var npmExact = regexp.MustCompile(`^[=v\s]*(\d+\.\d+\.\d+(?:-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?)\s*$`)

// npmPinned makes packages of the declarations of a module without a lock: a
// version is known only where it is exact.
func (m *Module) npmPinned() {
	at := make(map[string]int)
	for i, d := range m.Declared {
		if d.Group == "override" {
			continue
		}
		key := d.Name
		if d.Alias != "" {
			key = d.Alias
		}
		j, ok := at[key]
		if !ok {
			j = len(m.Packages)
			at[key] = j
			m.Packages = append(m.Packages, Package{
				Name: d.Name, Key: key, Path: d.Path, Line: d.Line, EndLine: d.EndLine, Direct: true,
				Dev: d.Group == "development", Optional: d.Group == "optional", Source: npmSourceOf(d.Constraint),
			})
		}
		p := &m.Packages[j]
		p.Declared = append(p.Declared, i)
		p.Dev = p.Dev && d.Group == "development"
		constraint := d.Constraint
		if _, c, ok := npmAlias(constraint); ok {
			constraint = c
		}
		if match := npmExact.FindStringSubmatch(constraint); match != nil && p.Version == "" {
			p.Version, p.Line, p.EndLine = match[1], d.Line, d.EndLine
		}
	}
}

// npmSourceOf says where a constraint or a resolved address takes a package
// from: "" for a registry, else git, path, url or workspace.
func npmSourceOf(text string) string {
	switch {
	case strings.HasPrefix(text, "workspace:"):
		return "workspace"
	case strings.HasPrefix(text, "file:"), strings.HasPrefix(text, "link:"), strings.HasPrefix(text, "portal:"):
		return "path"
	case strings.HasPrefix(text, "git+"), strings.HasPrefix(text, "git:"), strings.HasPrefix(text, "github:"),
		strings.HasPrefix(text, "gitlab:"), strings.HasPrefix(text, "bitbucket:"), strings.HasPrefix(text, "git@"):
		return "git"
	case strings.HasPrefix(text, "http:"), strings.HasPrefix(text, "https:"):
		if !strings.Contains(text, "/-/") && !strings.Contains(text, "/download/") {
			return "url"
		}
	}
	return ""
}

// npmTree is a lock being read.
type npmTree struct {
	m       *Module
	lock    string
	at      map[string]int    // key of the lock -> package
	links   map[string]string // key of a link -> key of its target
	members map[string]bool   // folders (as keys of the lock) whose manifest is one of the module's
	nodes   []*node           // entry of each package
}

func readNPMLock(s *source, dir, lock string, lockOf map[string]string) Module {
	m := Module{Dir: dir, Ecosystem: "npm", Tool: "npm", Locks: []string{lock}}
	s.claim(lock)
	manifest := path.Join(dir, npmManifest)
	var root *node
	if s.has(manifest) && !s.claimed[manifest] {
		s.claim(manifest)
		root = m.npmManifest(s, manifest)
	}
	data, err := s.text(lock)
	var doc *node
	if err == nil {
		doc, err = parseJSON(data)
	}
	if err != nil {
		m.fail(lock, err)
		m.npmPinned()
		return m
	}
	t := &npmTree{m: &m, lock: lock, at: make(map[string]int), links: make(map[string]string), members: map[string]bool{"": true}}
	packages := doc.get("packages")
	if packages == nil && doc.get("dependencies") == nil && doc.get("lockfileVersion") == nil {
		m.problem(lock, doc.line, `is no npm lock: expected "packages" or "dependencies"`)
		m.npmPinned()
		return m
	}
	if packages != nil {
		for _, e := range packages.members {
			if e.key == "" || strings.Contains(e.key, npmFolder) || strings.HasPrefix(e.key, "../") {
				continue
			}
			member := path.Join(dir, e.key, npmManifest)
			if s.has(member) && !s.claimed[member] && lockOf[path.Join(dir, e.key)] == "" {
				s.claim(member)
				m.npmManifest(s, member)
				t.members[e.key] = true
			}
		}
		t.flat(packages)
	} else {
		t.nested(doc.get("dependencies"), "", 0)
	}
	if len(m.Manifests) == 0 {
		m.Name, m.Version = doc.str("name"), doc.str("version")
		m.Declared = npmDeclared(packages.get(""), lock)
	}
	t.edges()
	t.direct(root != nil || len(m.Manifests) == 0, packages)
	return m
}

// flat reads the packages of a lock of version 2 or 3.
func (t *npmTree) flat(packages *node) {
	t.m.Packages = make([]Package, 0, len(packages.members))
	for _, e := range packages.members {
		v := e.value
		if t.members[e.key] || v.kind != nodeObject {
			continue
		}
		if v.yes("link") {
			t.links[e.key] = v.str("resolved")
			continue
		}
		name := v.str("name")
		if i := strings.LastIndex(e.key, npmFolder); name == "" && i >= 0 {
			name = e.key[i+len(npmFolder):]
		}
		source := npmSourceOf(v.str("resolved"))
		if !strings.Contains(e.key, npmFolder) {
			source = "path"
			if !strings.HasPrefix(e.key, "../") {
				source = "workspace"
			}
			if name == "" {
				name = path.Base(e.key)
			}
		}
		t.add(e, e.key, name, v.str("version"), source)
		if i, ok := t.at[e.key]; ok && source == "workspace" {
			t.m.Packages[i].Direct = true
		}
	}
}

func (t *npmTree) add(e member, key, name, version, source string) {
	if _, ok := t.at[key]; ok {
		t.m.conflict(t.lock, e.line, "locks %s twice", key)
		return
	}
	if len(key) > maxKey {
		t.m.problem(t.lock, e.line, "has a key of %d bytes; expected at most %d", len(key), maxKey)
		return
	}
	v := e.value
	t.at[key] = len(t.m.Packages)
	t.nodes = append(t.nodes, v)
	t.m.Packages = append(t.m.Packages, Package{
		Name: name, Version: version, Key: key, Path: t.lock, Line: e.line, EndLine: v.end,
		Dev: v.yes("dev"), Optional: v.yes("optional") || v.yes("devOptional"), Source: source, EdgesKnown: true,
	})
}

// nested reads the tree of a lock of version 1 into the keys of later ones.
func (t *npmTree) nested(dependencies *node, under string, depth int) {
	for _, e := range dependencies.fields() {
		v := e.value
		if v.kind != nodeObject {
			continue
		}
		key := path.Join(under, npmFolder+e.key)
		name, version := e.key, v.str("version")
		source := npmSourceOf(version)
		if real, exact, ok := npmAlias(version); ok {
			name, version = real, exact
		}
		t.add(e, key, name, version, source)
		t.nested(v.get("dependencies"), key, depth+1)
	}
}

// find resolves a name as Node does: from the folder of a package upwards.
func (t *npmTree) find(from, name string) (int, bool) {
	for {
		key := npmFolder + name
		if from != "" {
			key = from + "/" + key
		}
		if target, ok := t.links[key]; ok {
			i, ok := t.at[target]
			return i, ok
		}
		if i, ok := t.at[key]; ok {
			return i, true
		}
		if from == "" {
			return 0, false
		}
		if i := strings.LastIndex(from, npmFolder); i >= 0 {
			from = strings.TrimSuffix(from[:i], "/")
		} else {
			from = folderOf(from)
		}
	}
}

func (t *npmTree) edges() {
	for i, v := range t.nodes {
		p := &t.m.Packages[i]
		for _, key := range [...]string{"requires", "dependencies", "optionalDependencies", "peerDependencies"} {
			for _, dep := range v.get(key).fields() {
				if dep.value.kind == nodeObject {
					continue // nested packages of version 1
				}
				if j, ok := t.find(p.Key, dep.key); ok && j != i {
					p.Requires = append(p.Requires, j)
				}
			}
		}
	}
}

// direct joins declarations with the packages that they resolve to and notes
// where manifest and lock contradict each other.
func (t *npmTree) direct(compare bool, packages *node) {
	m := t.m
	overridden := make(map[string]bool)
	for _, d := range m.Declared {
		if d.Group == "override" {
			overridden[d.Name] = true
		}
	}
	for i, d := range m.Declared {
		if d.Group == "override" {
			continue
		}
		name := d.Name
		if d.Alias != "" {
			name = d.Alias
		}
		from := ""
		if d.Path != t.lock && d.Path != m.Manifests[0] {
			from = strings.TrimPrefix(strings.TrimPrefix(folderOf(d.Path), m.Dir), "/")
		}
		if key := npmFolder + name; t.isMember(from, key) {
			continue
		}
		constraint := d.Constraint
		if _, c, ok := npmAlias(constraint); ok {
			constraint = c
		}
		j, ok := t.find(from, name)
		if !ok {
			if compare && d.Group != "optional" && d.Group != "peer" && !slices.Contains([]string{"path", "workspace"}, npmSourceOf(d.Constraint)) {
				m.conflict(d.Path, d.Line, "declares %s %s, which %s does not lock", name, d.Constraint, t.lock)
			}
			continue
		}
		p := &m.Packages[j]
		p.Direct = true
		p.Declared = append(p.Declared, i)
		if d.Path == t.lock || overridden[d.Name] || p.Source != "" {
			continue
		}
		if fits, understood := npmSatisfies(constraint, p.Version); understood && !fits && d.Group != "peer" {
			m.conflict(d.Path, d.Line, "declares %s %s; %s line %d locks %s", name, d.Constraint, t.lock, p.Line, p.Version)
			continue
		}
		for _, g := range npmGroups {
			if g.group != d.Group {
				continue
			}
			if made := packages.at(from, g.key).get(name); made != nil && made.kind == nodeText && made.text != d.Constraint {
				m.conflict(d.Path, d.Line, "declares %s %s; %s line %d was made for %s", name, d.Constraint, t.lock, made.line, made.text)
			}
		}
	}
}

// isMember says whether a name leads to a workspace of the module.
func (t *npmTree) isMember(from, key string) bool {
	for _, k := range [...]string{path.Join(from, key), key} {
		if target, ok := t.links[k]; ok && t.members[target] {
			return true
		}
	}
	return false
}
