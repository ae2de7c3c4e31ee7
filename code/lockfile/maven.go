package lockfile

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// Maven: a pom.xml with its parents, properties, managed versions and bills of
// materials as far as they are in the repository. Versions that a parent or a
// bill from elsewhere decides stay unknown; the line that chooses it is given.
// What a module inherits from a parent's <dependencies> is listed there only.

// maxParents bounds a chain of parents, bills of materials or properties.
const maxParents = 50

// maxInterpolated bounds a value after its properties are put in, in bytes.
const maxInterpolated = 4096

// pom is one file with what of it counts.
type pom struct {
	file       string
	root       *element
	group      string // as written or as the parent says; may hold ${...}
	artifact   string
	version    string
	parent     *pom     // in the repository, nil else
	outside    *element // <parent> that is not in the repository
	properties map[string]*element
	managed    []managed
	spare      map[string]*element // properties of profiles that are not active by themselves
}

// managed is one entry of dependencyManagement.
type managed struct {
	key     string // group:artifact:type:classifier, as written
	element *element
	bill    bool
	profile bool // only where a profile is active
}

type mavenReader struct {
	poms map[string]*pom   // by file
	here map[string][]*pom // by group:artifact
}

// decided is a value and the literal that decides it.
type decided struct {
	text string
	file string
	line int
	ok   bool // every property is known
	lack string
}

func wantsMaven(base string) bool { return base == "pom.xml" }

func readMaven(s *source, files []string) []Module {
	r := &mavenReader{poms: map[string]*pom{}, here: map[string][]*pom{}}
	modules := make([]Module, 0, len(files))
	for _, file := range files {
		m := Module{Dir: folderOf(file), Ecosystem: "Maven", Tool: "maven", Manifests: []string{file}}
		data, err := s.text(file)
		var root *element
		if err == nil {
			root, err = parseXML(data)
		}
		if err == nil && root.name != "project" {
			err = &lineError{root.line, fmt.Sprintf("is no Maven project: expected <project>, found <%s>", root.name)}
		}
		if err != nil {
			line := 0
			var at *lineError
			if errors.As(err, &at) {
				line = at.line
			}
			m.problem(file, line, "%v", err)
		} else {
			r.poms[file] = newPOM(file, root)
		}
		modules = append(modules, m)
	}
	r.join(files)
	for i := range modules {
		if p := r.poms[modules[i].Manifests[0]]; p != nil {
			r.fill(&modules[i], p)
		}
	}
	return modules
}

// join makes the poms known to each other.
func (r *mavenReader) join(files []string) {
	for _, file := range files {
		if p := r.poms[file]; p != nil && p.artifact != "" {
			key := p.groupText() + ":" + p.artifact
			r.here[key] = append(r.here[key], p)
		}
	}
	for _, file := range files {
		if p := r.poms[file]; p != nil {
			r.link(p)
		}
	}
}

func newPOM(file string, root *element) *pom {
	p := &pom{
		file: file, root: root, properties: map[string]*element{}, spare: map[string]*element{},
		group: root.value("groupId"), artifact: root.value("artifactId"), version: root.value("version"),
	}
	p.addProperties(root, p.properties)
	p.addManaged(root, false)
	for _, profile := range root.at("profiles").all("profile") {
		into := p.spare
		if strings.EqualFold(profile.child("activation").value("activeByDefault"), "true") {
			into = p.properties
		}
		p.addProperties(profile, into)
		p.addManaged(profile, true)
	}
	return p
}

func (p *pom) addProperties(from *element, into map[string]*element) {
	if list := from.child("properties"); list != nil {
		for _, e := range list.children {
			into[e.name] = e
		}
	}
}

func (p *pom) addManaged(from *element, profile bool) {
	for _, e := range from.at("dependencyManagement", "dependencies").all("dependency") {
		p.managed = append(p.managed, managed{mavenKey(e), e, e.value("scope") == "import", profile})
	}
}

func mavenKey(e *element) string {
	kind := e.value("type")
	if kind == "" {
		kind = "jar"
	}
	return e.value("groupId") + ":" + e.value("artifactId") + ":" + kind + ":" + e.value("classifier")
}

func (p *pom) groupText() string {
	if p.group == "" {
		return p.root.child("parent").value("groupId")
	}
	return p.group
}

func (p *pom) versionText() string {
	if p.version == "" {
		return p.root.child("parent").value("version")
	}
	return p.version
}

// link finds a parent in the repository: by its relative path, as Maven does,
// else by its coordinates.
func (r *mavenReader) link(p *pom) {
	declared := p.root.child("parent")
	if declared == nil {
		return
	}
	relative := "../pom.xml"
	if e := declared.child("relativePath"); e != nil {
		relative = strings.ReplaceAll(e.text, `\`, "/")
	}
	if relative != "" {
		file := path.Join(path.Dir(p.file), relative)
		for _, name := range []string{file, path.Join(file, "pom.xml")} {
			if found := r.poms[name]; found != nil && found != p && found.artifact == declared.value("artifactId") && found.groupText() == declared.value("groupId") {
				p.parent = found
				return
			}
		}
	}
	if found := r.find(declared.value("groupId"), declared.value("artifactId"), declared.value("version")); found != nil && found != p {
		p.parent = found
		return
	}
	p.outside = declared
}

// find gives the project of the repository with these coordinates.
func (r *mavenReader) find(group, artifact, version string) *pom {
	for _, p := range r.here[group+":"+artifact] {
		if p.versionText() == version {
			return p
		}
	}
	return nil
}

// chain is p and its parents in the repository, nearest first.
func (p *pom) chain() []*pom {
	var all []*pom
	for at := p; at != nil && len(all) < maxParents && !slices.Contains(all, at); at = at.parent {
		all = append(all, at)
	}
	return all
}

// outsideParent gives the <parent> at the end of the chain that is not in the
// repository, with the file that names it.
func (p *pom) outsideParent() (*element, string) {
	for _, at := range p.chain() {
		if at.outside != nil {
			return at.outside, at.file
		}
	}
	return nil, ""
}

// property gives a property as the project sees it, with the file it is in.
func (p *pom) property(name string) (*element, string) {
	chain := p.chain()
	for _, at := range chain {
		if e := at.properties[name]; e != nil {
			return e, at.file
		}
	}
	short := strings.TrimPrefix(strings.TrimPrefix(name, "project."), "pom.")
	for _, at := range chain {
		var e *element
		switch short {
		case "version", "groupId":
			if e = at.root.child(short); e == nil {
				e = at.root.at("parent", short)
			}
		case "artifactId":
			e = at.root.child(short)
		case "parent.version", "parent.groupId", "parent.artifactId":
			e = at.root.at("parent", strings.TrimPrefix(short, "parent."))
		}
		if e != nil {
			return e, at.file
		}
	}
	for _, at := range chain {
		if e := at.spare[name]; e != nil {
			return e, at.file
		}
	}
	return nil, ""
}

// decide puts properties into a value. When the value is one property and
// nothing else, the literal is where that property is.
func (p *pom) decide(e *element, file string) decided {
	d := decided{text: e.text, file: file, line: e.textLine, ok: true}
	for range maxParents {
		name, ok := strings.CutPrefix(d.text, "${")
		if !ok || !strings.HasSuffix(name, "}") || strings.Contains(name, "${") {
			break
		}
		name = strings.TrimSpace(strings.TrimSuffix(name, "}"))
		found, where := p.property(name)
		if found == nil {
			return decided{text: d.text, file: d.file, line: d.line, lack: name}
		}
		d.text, d.file, d.line = found.text, where, found.textLine
	}
	d.text, d.lack = p.interpolate(d.text)
	d.ok = d.lack == ""
	return d
}

// interpolate puts properties into text; lack names the first that is unknown,
// or that has no end.
func (p *pom) interpolate(text string) (result, lack string) {
	for range maxParents {
		start := strings.LastIndex(text, "${")
		if start < 0 {
			return text, ""
		}
		length := strings.IndexByte(text[start:], '}')
		if length < 0 {
			return text, ""
		}
		name := strings.TrimSpace(text[start+2 : start+length])
		found, _ := p.property(name)
		if found == nil || len(text)+len(found.text) > maxInterpolated {
			return text, name
		}
		text = text[:start] + found.text + text[start+length+1:]
	}
	return text, text
}

// expand is interpolate for a value that may stay as written.
func (p *pom) expand(text string) string {
	result, _ := p.interpolate(text)
	return result
}

// expandKey puts properties into a managed key.
func (p *pom) expandKey(key string) string {
	if strings.Contains(key, "${") {
		return p.expand(key)
	}
	return key
}

// table is a project's managed versions: by key, the first that counts.
type table struct {
	entries map[string]tableEntry
	outside []tableEntry    // bills of materials and parents from elsewhere
	used    map[string]bool // keys of packages
}

type tableEntry struct {
	version *element
	file    string
	owner   *pom // in whose eyes the version is read
	name    string
	profile bool // only where a profile is active
	twice   bool // the same pom manages it at another version too
}

// manage collects the managed versions of a project: its own, its parents',
// then the bills of materials that it imports, in order.
func (r *mavenReader) manage(p *pom) *table {
	t := &table{entries: map[string]tableEntry{}, used: map[string]bool{}}
	r.collect(t, p, map[*pom]bool{})
	return t
}

func (r *mavenReader) collect(t *table, p *pom, done map[*pom]bool) {
	done[p] = true
	var bills []tableEntry
	for _, at := range p.chain() {
		for _, m := range at.managed {
			version := m.element.child("version")
			if m.bill {
				bills = append(bills, tableEntry{version: version, file: at.file, owner: p, name: p.expand(m.element.value("groupId")) + ":" + p.expand(m.element.value("artifactId"))})
				continue
			}
			key := p.expandKey(m.key)
			have, ok := t.entries[key]
			switch {
			case version == nil:
			case !ok:
				t.entries[key] = tableEntry{version: version, file: at.file, owner: p, profile: m.profile}
			case have.file == at.file && have.owner == p && !have.profile && !m.profile && have.version.text != version.text:
				have.twice = true
				t.entries[key] = have
			}
		}
		if at.outside != nil {
			t.outside = append(t.outside, tableEntry{version: at.outside.child("version"), file: at.file, owner: p, name: at.outside.value("groupId") + ":" + at.outside.value("artifactId")})
		}
	}
	for _, bill := range bills {
		group, artifact, _ := strings.Cut(bill.name, ":")
		var found *pom
		if bill.version != nil {
			found = r.find(group, artifact, p.decide(bill.version, bill.file).text)
			if found == nil { // versions of one repository often differ only by ${revision}
				if same := r.here[bill.name]; len(same) == 1 && strings.Contains(same[0].versionText(), "${") {
					found = same[0]
				}
			}
		}
		switch {
		case found == nil || len(done) > maxParents:
			t.outside = append(t.outside, bill)
		case !done[found]:
			r.collect(t, found, done)
		}
	}
}

func (r *mavenReader) fill(m *Module, p *pom) {
	m.Name = p.expand(p.groupText()) + ":" + p.artifact
	m.Version = p.expand(p.versionText())
	t := r.manage(p)
	if p.outside != nil {
		r.declare(m, p, p.outside, "build")
	}
	foreign := 0
	for _, part := range append([]*element{p.root}, p.root.at("profiles").all("profile")...) {
		for _, e := range part.at("dependencyManagement", "dependencies").all("dependency") {
			r.declare(m, p, e, "override")
		}
		for _, e := range part.at("dependencies").all("dependency") {
			if r.depend(m, p, t, e, part != p.root) {
				foreign++
			}
		}
		for _, from := range []*element{part.at("build", "plugins"), part.at("build", "pluginManagement", "plugins")} {
			for _, e := range from.all("plugin") {
				r.declare(m, p, e, "build")
			}
		}
		for _, e := range part.at("build", "extensions").all("extension") {
			r.declare(m, p, e, "build")
		}
	}
	if foreign > 0 && len(t.outside) > 0 {
		var names []string
		for _, entry := range t.outside {
			names = append(names, entry.name)
		}
		slices.Sort(names)
		m.problem(p.file, 0, "%d versions are decided by %s, not in the repository", foreign, strings.Join(slices.Compact(names), ", "))
	}
}

// declare adds a declaration with the version that stands beside it.
func (r *mavenReader) declare(m *Module, p *pom, e *element, group string) *Declaration {
	owner := p.expand(e.value("groupId"))
	if owner == "" && e.name == "plugin" {
		owner = "org.apache.maven.plugins"
	}
	d := Declaration{
		Name: owner + ":" + p.expand(e.value("artifactId")), Constraint: e.value("version"),
		Group: group, Path: p.file, Line: e.line, EndLine: e.end,
	}
	if version := e.child("version"); version != nil && version.text != "" {
		d.point(p.decide(version, p.file))
	}
	m.Declared = append(m.Declared, d)
	return &m.Declared[len(m.Declared)-1]
}

func (d *Declaration) point(at decided) {
	if at.line > 0 && (at.file != d.Path || at.line != d.Line) {
		d.ValuePath, d.ValueLine = at.file, at.line
	}
}

// depend adds a dependency; it says whether something outside of the
// repository decides the version.
func (r *mavenReader) depend(m *Module, p *pom, t *table, e *element, profile bool) (foreign bool) {
	scope := e.value("scope")
	key := p.expandKey(mavenKey(e))
	group := "production"
	switch {
	case scope == "test":
		group = "test"
	case e.value("optional") == "true":
		group = "optional"
	case scope == "provided":
		group = "build"
	}
	d := r.declare(m, p, e, group)
	found := Package{
		Name: d.Name, Key: strings.TrimSuffix(strings.TrimSuffix(key, ":"), ":jar"), Path: p.file, Line: e.line, EndLine: e.end,
		Direct: true, Dev: scope == "test", Optional: group == "optional" || profile, Declared: []int{len(m.Declared) - 1},
	}
	if d.Name == ":" || strings.HasPrefix(d.Name, ":") || strings.HasSuffix(d.Name, ":") {
		m.problem(p.file, e.line, "dependency without groupId or artifactId")
		return false
	}
	version := decided{}
	switch managed, ok := t.entries[key]; {
	case e.value("version") != "":
		version = p.decide(e.child("version"), p.file)
	case ok:
		version = managed.owner.decide(managed.version, managed.file)
		d.Constraint = managed.version.text
		if managed.twice {
			m.problem(managed.file, managed.version.line, "%s is managed at two versions; Maven wants one", d.Name)
		}
		d.point(version)
	case len(t.outside) == 0:
		m.problem(p.file, e.line, "%s has no version, and nothing in the repository gives one", d.Name)
	default:
		foreign = true
		if len(t.outside) == 1 && t.outside[0].version != nil {
			d.point(p.decide(t.outside[0].version, t.outside[0].file))
		}
	}
	if above, file := p.outsideParent(); version.lack != "" && above != nil { // a property of that parent
		foreign = true
		if chosen := above.child("version"); chosen != nil {
			d.point(p.decide(chosen, file))
		}
	} else if version.lack != "" {
		m.problem(version.file, version.line, "version of %s: property %q is not in the repository", d.Name, version.lack)
	} else if version.ok {
		found.Version = exactMaven(version.text)
	}
	switch {
	case scope == "system":
		found.Source = "path"
	case len(r.here[d.Name]) > 0:
		found.Source = "workspace"
	}
	if t.used[found.Key] { // a profile may repeat what the project has
		found.Key += fmt.Sprintf("#%d.%d", e.line, len(m.Packages))
	}
	t.used[found.Key] = true
	m.Packages = append(m.Packages, found)
	return foreign
}

// exactMaven gives the version that a requirement names, "" for a range or a
// word such as LATEST.
func exactMaven(text string) string {
	inner, open := strings.CutPrefix(text, "[")
	switch {
	case text == "LATEST" || text == "RELEASE":
		return ""
	case open && strings.HasSuffix(inner, "]") && !strings.Contains(inner, ","):
		return strings.TrimSpace(strings.TrimSuffix(inner, "]"))
	case strings.ContainsAny(text, "[](),"):
		return ""
	}
	return text
}
