package lockfile

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

var (
	requirementsName = regexp.MustCompile(`(?i)^(?:.*[._-])?(?:requirements|constraints)(?:[._-].*)?\.(?:txt|in)$`)
	pythonName       = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?`)
	pythonRuns       = regexp.MustCompile(`[-_.]+`)
)

// PythonName gives the canonical form of a Python package name (PEP 503).
func PythonName(name string) string {
	return strings.ToLower(pythonRuns.ReplaceAllString(strings.TrimSpace(name), "-"))
}

func wantsPython(base string) bool {
	switch base {
	case "pyproject.toml", "poetry.lock", "uv.lock", "Pipfile", "Pipfile.lock", "setup.cfg", "setup.py":
		return true
	}
	return strings.HasSuffix(base, ".txt") || strings.HasSuffix(base, ".in")
}

// isRequirements says whether a file is one of requirements by its name or its
// folder. Others are only read where such a file includes them.
func isRequirements(name string) bool {
	ext := path.Ext(name)
	return requirementsName.MatchString(path.Base(name)) || path.Base(path.Dir(name)) == "requirements" && (ext == ".txt" || ext == ".in")
}

// readPython makes a module of each lock of poetry, uv and pipenv with its
// manifests, of each pyproject.toml, setup.cfg or setup.py that no lock covers,
// and of each requirements file that no other includes.
func readPython(s *source, files []string) []Module {
	var modules []Module
	for _, name := range files {
		switch path.Base(name) {
		case "poetry.lock":
			modules = append(modules, readPoetry(s, name))
		case "uv.lock":
			modules = append(modules, readUV(s, name))
		case "Pipfile.lock":
			modules = append(modules, readPipenv(s, path.Join(path.Dir(name), "Pipfile"), name))
		}
	}
	for _, name := range files {
		if s.claimed[name] {
			continue
		}
		var m Module
		switch path.Base(name) {
		case "Pipfile":
			m = readPipenv(s, name, "")
		case "pyproject.toml":
			m = Module{Dir: folderOf(name), Ecosystem: "PyPI", Tool: "pip"}
			doc := m.pyproject(s, name)
			switch {
			case doc.at("tool", "poetry") != nil:
				m.Tool = "poetry"
			case doc.at("tool", "uv") != nil:
				m.Tool = "uv"
			}
			m.pythonPinned()
		case "setup.cfg", "setup.py":
			m = readSetup(s, name)
		default:
			continue
		}
		if len(m.Declared) > 0 || len(m.Problems) > 0 || m.Name != "" {
			modules = append(modules, m)
		}
	}
	return readRequirements(s, files, modules)
}

// requirement is one PEP 508 requirement.
type requirement struct {
	name       string // canonical
	constraint string // without spaces around, "" when there is none
	address    string // after "@"
	marker     string
}

// parseRequirement reads "name[extra] >= 1, < 2 ; marker" and "name @ address";
// false when there is no name.
func parseRequirement(text string) (requirement, bool) {
	text = strings.TrimSpace(text)
	name := pythonName.FindString(text)
	if name == "" {
		return requirement{}, false
	}
	r := requirement{name: PythonName(name)}
	rest := strings.TrimSpace(text[len(name):])
	if strings.HasPrefix(rest, "[") {
		end := strings.IndexByte(rest, ']')
		if end < 0 {
			return requirement{}, false
		}
		rest = strings.TrimSpace(rest[end+1:])
	}
	if strings.HasPrefix(rest, "@") {
		r.address = strings.TrimSpace(rest[1:])
		if i := strings.Index(r.address, " ;"); i >= 0 {
			r.address, r.marker = strings.TrimSpace(r.address[:i]), strings.TrimSpace(r.address[i+2:])
		}
		return r, r.address != ""
	}
	rest, r.marker, _ = strings.Cut(rest, ";")
	r.marker = strings.TrimSpace(r.marker)
	rest = strings.TrimSpace(rest)
	if strings.HasPrefix(rest, "(") && strings.HasSuffix(rest, ")") {
		rest = strings.TrimSpace(rest[1 : len(rest)-1])
	}
	if rest != "" && !strings.ContainsRune("=<>!~", rune(rest[0])) {
		return requirement{}, false
	}
	r.constraint = rest
	return r, true
}

var pythonExact = regexp.MustCompile(`^===?\s*v?([0-9][^\s,*;]*)$`)

// pythonPin gives the version of a constraint that allows only one.
func pythonPin(constraint string) string {
	if m := pythonExact.FindStringSubmatch(strings.TrimSpace(constraint)); m != nil {
		return m[1]
	}
	return ""
}

// pythonSource says where an address takes a package from.
func pythonSource(address string) string {
	switch {
	case address == "":
		return ""
	case strings.HasPrefix(address, "git+"), strings.HasPrefix(address, "hg+"), strings.HasPrefix(address, "svn+"), strings.HasPrefix(address, "bzr+"):
		return "git"
	case strings.HasPrefix(address, "http:"), strings.HasPrefix(address, "https:"):
		return "url"
	}
	return "path"
}

// pythonPinned makes packages of the declarations of a module without a lock.
func (m *Module) pythonPinned() {
	at := make(map[string]int)
	for i, d := range m.Declared {
		if d.Group == "override" || d.Group == "build" {
			continue
		}
		j, ok := at[d.Name]
		if !ok {
			j = len(m.Packages)
			at[d.Name] = j
			m.Packages = append(m.Packages, Package{
				Name: d.Name, Key: d.Name, Path: d.Path, Line: d.Line, EndLine: d.EndLine,
				Direct: true, Dev: d.Group == "development", Optional: d.Group == "optional",
			})
		}
		p := &m.Packages[j]
		p.Declared = append(p.Declared, i)
		p.Dev = p.Dev && d.Group == "development"
		p.Optional = p.Optional && d.Group == "optional"
		if address, ok := strings.CutPrefix(d.Constraint, "@ "); ok {
			p.Source = pythonSource(address)
		} else if v := pythonPin(d.Constraint); v != "" && p.Version == "" {
			p.Version, p.Line, p.EndLine = v, d.Line, d.EndLine
		}
	}
}

func (m *Module) declare(text, group, name string, line, end int) {
	r, ok := parseRequirement(text)
	if !ok {
		m.problem(name, line, "is no requirement: %q", clip(text))
		return
	}
	constraint := r.constraint
	if r.address != "" {
		constraint = "@ " + r.address
	}
	m.Declared = append(m.Declared, Declaration{Name: r.name, Constraint: constraint, Group: group, Path: name, Line: line, EndLine: end})
}

func clip(text string) string {
	if len(text) > 80 {
		return strings.ToValidUTF8(text[:80], "") + "..."
	}
	return text
}

// pyproject reads a pyproject.toml into the module; nil when it cannot be read.
func (m *Module) pyproject(s *source, name string) *node {
	first := len(m.Manifests) == 0
	m.Manifests = append(m.Manifests, name)
	s.claim(name)
	doc := m.toml(s, name)
	if doc == nil {
		return nil
	}
	project, poetry := doc.get("project"), doc.at("tool", "poetry")
	if first {
		m.Name, m.Version = project.str("name"), project.str("version")
		if m.Name == "" {
			m.Name, m.Version = poetry.str("name"), poetry.str("version")
		}
		m.Name = PythonName(m.Name)
	}
	m.requirementList(project.get("dependencies"), "production", name)
	for _, extra := range project.get("optional-dependencies").fields() {
		m.requirementList(extra.value, "optional", name)
	}
	for _, group := range doc.get("dependency-groups").fields() {
		m.requirementList(group.value, "development", name)
	}
	m.requirementList(doc.at("tool", "uv", "dev-dependencies"), "development", name)
	m.requirementList(doc.at("tool", "uv", "override-dependencies"), "override", name)
	m.requirementList(doc.at("build-system", "requires"), "build", name)
	m.poetryTable(poetry.get("dependencies"), "production", name)
	m.poetryTable(poetry.get("dev-dependencies"), "development", name)
	for _, group := range poetry.get("group").fields() {
		as := "development"
		if group.key == "main" {
			as = "production"
		}
		m.poetryTable(group.value.get("dependencies"), as, name)
	}
	return doc
}

func (m *Module) toml(s *source, name string) *node {
	data, err := s.text(name)
	if err != nil {
		m.fail(name, err)
		return nil
	}
	doc, err := parseTOML(data)
	if err != nil {
		m.fail(name, err)
		return nil
	}
	return doc
}

func (m *Module) requirementList(list *node, group, name string) {
	for _, item := range list.list() {
		if item.kind == nodeText {
			m.declare(item.text, group, name, item.line, item.end)
		}
	}
}

// poetryTable reads a table of name to constraint, as poetry and pipenv have it.
func (m *Module) poetryTable(table *node, group, name string) {
	for _, e := range table.fields() {
		if PythonName(e.key) == "python" && group == "production" {
			continue
		}
		variants := []*node{e.value}
		if e.value.kind == nodeArray {
			variants = e.value.items
		}
		for _, v := range variants {
			constraint, as := v.text, group
			line := e.line
			if v.kind == nodeObject {
				constraint = v.str("version")
				if at := v.get("version"); at != nil {
					line = at.line
				}
				if v.yes("optional") {
					as = "optional"
				}
				for _, key := range [...]string{"git", "path", "url", "file"} {
					if address := v.str(key); address != "" {
						if key == "git" {
							address = "git+" + address
						}
						constraint = "@ " + address
					}
				}
			}
			m.Declared = append(m.Declared, Declaration{Name: PythonName(e.key), Constraint: constraint, Group: as, Path: name, Line: line, EndLine: max(line, v.end)})
		}
	}
}

// pythonTree joins the packages of a lock by name.
type pythonTree struct {
	m  *Module
	at map[string][]int
}

// add gives the index of the package, which is that of an equal one when there
// is one, and that of the last one when there are too many of one name.
func (t *pythonTree) add(p Package) int {
	i := len(t.m.Packages)
	p.Name = PythonName(p.Name)
	p.Key = p.Name
	if n := len(t.at[p.Name]); n > 0 {
		if n >= maxVersions {
			t.m.problem(p.Path, p.Line, "has more than %d versions of %s", maxVersions, p.Name)
			return t.at[p.Name][n-1]
		}
		p.Key += " " + p.Version
		for _, j := range t.at[p.Name] {
			if t.m.Packages[j].Key == p.Key || t.m.Packages[j].Version == p.Version {
				t.m.conflict(p.Path, p.Line, "locks %s %s twice", p.Name, p.Version)
				return j
			}
		}
	}
	t.at[p.Name] = append(t.at[p.Name], i)
	t.m.Packages = append(t.m.Packages, p)
	return i
}

// find gives the packages of a name, only those of a version when it is given.
func (t *pythonTree) find(name, version string) []int {
	list := t.at[PythonName(name)]
	if version == "" || len(list) < 2 {
		return list
	}
	var exact []int
	for _, i := range list {
		if t.m.Packages[i].Version == version {
			exact = append(exact, i)
		}
	}
	if exact == nil {
		return list
	}
	return exact
}

// direct joins declarations with packages and notes contradictions.
func (t *pythonTree) direct(lock string) {
	m := t.m
	for i, d := range m.Declared {
		if d.Group == "override" || d.Group == "build" || d.Name == m.Name {
			continue
		}
		found := t.find(d.Name, "")
		if len(found) == 0 {
			if d.Group != "optional" && !strings.HasPrefix(d.Constraint, "@ ") {
				m.conflict(d.Path, d.Line, "declares %s %s, which %s does not lock", d.Name, d.Constraint, lock)
			}
			continue
		}
		fitsAny, understoodAll := false, true
		for _, j := range found {
			p := &m.Packages[j]
			p.Direct = true
			p.Declared = append(p.Declared, i)
			fits, understood := pythonSatisfies(d.Constraint, p.Version)
			fitsAny = fitsAny || fits
			understoodAll = understoodAll && understood && p.Source == ""
		}
		if understoodAll && !fitsAny {
			p := m.Packages[found[0]]
			m.conflict(d.Path, d.Line, "declares %s %s; %s line %d locks %s", d.Name, d.Constraint, lock, p.Line, p.Version)
		}
	}
}

func readPoetry(s *source, lock string) Module {
	m := Module{Dir: folderOf(lock), Ecosystem: "PyPI", Tool: "poetry", Locks: []string{lock}}
	s.claim(lock)
	if manifest := path.Join(m.Dir, "pyproject.toml"); s.has(manifest) && !s.claimed[manifest] {
		m.pyproject(s, manifest)
	}
	doc := m.toml(s, lock)
	if doc == nil {
		m.pythonPinned()
		return m
	}
	t := &pythonTree{&m, make(map[string][]int)}
	entries := make(map[int]*node)
	for _, e := range doc.get("package").list() {
		name := e.str("name")
		if name == "" {
			m.problem(lock, e.line, "locks a package without a name")
			continue
		}
		p := Package{
			Name: name, Version: e.str("version"), Path: lock, Line: e.line, EndLine: e.end, EdgesKnown: true,
			Optional: e.yes("optional"), Dev: e.str("category") == "dev",
		}
		if groups := e.get("groups").list(); len(groups) > 0 {
			p.Dev = !slices.ContainsFunc(groups, func(g *node) bool { return g.text == "main" })
		}
		switch kind := e.at("source").str("type"); kind {
		case "", "legacy":
		case "git", "url":
			p.Source = kind
		default:
			p.Source = "path"
		}
		entries[t.add(p)] = e
	}
	for i, e := range entries {
		for _, dep := range e.get("dependencies").fields() {
			m.Packages[i].Requires = append(m.Packages[i].Requires, t.find(dep.key, "")...)
		}
	}
	t.direct(lock)
	return m
}

func readUV(s *source, lock string) Module {
	m := Module{Dir: folderOf(lock), Ecosystem: "PyPI", Tool: "uv", Locks: []string{lock}}
	s.claim(lock)
	manifest := path.Join(m.Dir, "pyproject.toml")
	if s.has(manifest) && !s.claimed[manifest] {
		m.pyproject(s, manifest)
	}
	doc := m.toml(s, lock)
	if doc == nil {
		m.pythonPinned()
		return m
	}
	t := &pythonTree{&m, make(map[string][]int)}
	entries := make(map[int]*node)
	for _, e := range doc.get("package").list() {
		name := e.str("name")
		if name == "" {
			m.problem(lock, e.line, "locks a package without a name")
			continue
		}
		p := Package{Name: name, Version: e.str("version"), Path: lock, Line: e.line, EndLine: e.end, EdgesKnown: true}
		from := e.get("source")
		for _, key := range [...]string{"editable", "virtual", "directory"} {
			dir := from.get(key)
			if dir == nil {
				continue
			}
			p.Source = "path"
			member := path.Join(m.Dir, dir.text, "pyproject.toml")
			if member == manifest {
				p.Source = "workspace"
			} else if s.has(member) && !s.claimed[member] {
				m.pyproject(s, member)
				p.Source = "workspace"
			}
		}
		switch {
		case p.Source == "workspace":
			continue // its dependencies are the module's declarations
		case from.get("git") != nil:
			p.Source = "git"
		case from.get("url") != nil:
			p.Source = "url"
		case from.get("path") != nil:
			p.Source = "path"
		}
		entries[t.add(p)] = e
	}
	for i, e := range entries {
		p := &m.Packages[i]
		edges := func(list *node) {
			for _, dep := range list.list() {
				p.Requires = append(p.Requires, t.find(dep.str("name"), dep.str("version"))...)
			}
		}
		edges(e.get("dependencies"))
		for _, group := range [...]string{"optional-dependencies", "dev-dependencies"} {
			for _, list := range e.get(group).fields() {
				edges(list.value)
			}
		}
	}
	members := make(map[string]bool)
	for _, e := range doc.get("package").list() {
		members[PythonName(e.str("name"))] = len(t.find(e.str("name"), "")) == 0
	}
	t.drop(members)
	t.direct(lock)
	m.markDev()
	return m
}

// drop leaves out declarations of the module's own workspace members.
func (t *pythonTree) drop(members map[string]bool) {
	t.m.Declared = slices.DeleteFunc(t.m.Declared, func(d Declaration) bool { return members[d.Name] })
}

func readPipenv(s *source, manifest, lock string) Module {
	m := Module{Dir: folderOf(manifest), Ecosystem: "PyPI", Tool: "pipenv"}
	if s.has(manifest) {
		m.Manifests = []string{manifest}
		s.claim(manifest)
		if doc := m.toml(s, manifest); doc != nil {
			for _, section := range doc.members {
				switch section.key {
				case "source", "requires", "scripts", "pipenv", "pipfile":
				case "packages":
					m.poetryTable(section.value, "production", manifest)
				default:
					m.poetryTable(section.value, "development", manifest)
				}
			}
		}
	}
	if lock == "" {
		m.pythonPinned()
		return m
	}
	m.Locks = []string{lock}
	s.claim(lock)
	data, err := s.text(lock)
	var doc *node
	if err == nil {
		doc, err = parseJSON(data)
	}
	if err != nil {
		m.fail(lock, err)
		m.pythonPinned()
		return m
	}
	t := &pythonTree{&m, make(map[string][]int)}
	for _, section := range doc.fields() {
		if section.key == "_meta" {
			continue
		}
		for _, e := range section.value.fields() {
			version := strings.TrimLeft(e.value.str("version"), "= ")
			source := ""
			switch {
			case e.value.str("git") != "":
				source = "git"
			case e.value.str("path") != "" || e.value.yes("editable"):
				source = "path"
			case e.value.str("file") != "":
				source = "url"
			}
			dev := section.key != "default"
			if dev && slices.ContainsFunc(t.find(e.key, ""), func(i int) bool { return m.Packages[i].Version == version }) {
				continue // of the default section too
			}
			t.add(Package{Name: e.key, Version: version, Path: lock, Line: e.line, EndLine: e.value.end, Dev: dev, Source: source})
		}
	}
	t.direct(lock)
	return m
}
