package lockfile

import (
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"
)

// Gradle: build scripts in Groovy and Kotlin with what stands in them as literals,
// version catalogs (*.versions.toml), gradle.properties, gradle.lockfile. Scripts
// are programs; nothing is run, so what a program computes stays unknown. Each
// script is a module; entries of a catalog that no script below it names, since a
// plugin of the build may, belong to the folder of the catalog's build.

func wantsGradle(base string) bool {
	return strings.HasSuffix(base, ".gradle") || strings.HasSuffix(base, ".gradle.kts") || strings.HasSuffix(base, ".versions.toml") ||
		base == "gradle.properties" || base == "gradle.lockfile" || base == "buildscript-gradle.lockfile"
}

// gradleValue is a version with the place of its literal.
type gradleValue struct {
	text string
	file string
	line int
}

// gradleLibrary is an entry of a catalog.
type gradleLibrary struct {
	name    string // group:artifact
	version gradleValue
	file    string
	line    int
	end     int
	used    bool
}

// gradleCatalog is one *.versions.toml.
type gradleCatalog struct {
	file, name string // name is what scripts call it: libs
	home       string // folder of the build
	versions   map[string]gradleValue
	libraries  map[string]*gradleLibrary
	bundles    map[string][]string
}

type gradleScript struct {
	file       string
	statements []gradleStatement
	values     map[string]gradleValue
}

type gradleReader struct {
	scripts  []*gradleScript
	catalogs []*gradleCatalog
	values   map[string]map[string]gradleValue // by folder
}

func readGradle(s *source, files []string) []Module {
	r := &gradleReader{values: map[string]map[string]gradleValue{}}
	var modules []Module
	var locks []string
	for _, file := range files {
		data, err := s.text(file)
		if err != nil {
			modules = append(modules, broken("Maven", "gradle", file, err))
			continue
		}
		switch base := path.Base(file); {
		case strings.HasSuffix(base, ".lockfile"):
			locks = append(locks, file)
		case base == "gradle.properties":
			r.properties(file, string(data))
		case strings.HasSuffix(base, ".toml"):
			catalog, err := readCatalog(file, data)
			if err != nil {
				modules = append(modules, broken("Maven", "gradle", file, err))
				continue
			}
			r.catalogs = append(r.catalogs, catalog)
		default:
			script := &gradleScript{file: file, statements: gradleStatements(gradleTokens(string(data)))}
			script.assign()
			r.scripts = append(r.scripts, script)
			home := folderOf(file)
			if path.Base(home) == "gradle" { // scripts that others apply
				home = folderOf(home)
			}
			r.define(home, script.values)
		}
	}
	byScript := map[string]int{}
	for _, script := range r.scripts {
		m := Module{Dir: folderOf(script.file), Ecosystem: "Maven", Tool: "gradle", Manifests: []string{script.file}}
		r.fill(&m, script)
		for _, d := range m.Declared { // files that decide versions are manifests too
			if d.ValueLine > 0 && !slices.Contains(m.Manifests, d.ValuePath) {
				m.Manifests = append(m.Manifests, d.ValuePath)
			}
		}
		if base := path.Base(script.file); len(m.Declared) == 0 && base != "build.gradle" && base != "build.gradle.kts" {
			continue
		}
		if strings.HasPrefix(path.Base(script.file), "build.gradle") {
			byScript[m.Dir] = len(modules)
		}
		modules = append(modules, m)
	}
	for _, catalog := range r.catalogs {
		if m := catalog.unnamed(); len(m.Declared) > 0 {
			modules = append(modules, m)
		}
	}
	for _, file := range locks {
		at, ok := byScript[folderOf(file)]
		if !ok || path.Base(file) != "gradle.lockfile" {
			at = len(modules)
			modules = append(modules, Module{Dir: folderOf(file), Ecosystem: "Maven", Tool: "gradle"})
		}
		modules[at].gradleLock(s, file)
	}
	for i := range modules {
		modules[i].gradlePinned()
	}
	return modules
}

// define adds values to a folder; the first of a name counts.
func (r *gradleReader) define(folder string, values map[string]gradleValue) {
	if r.values[folder] == nil {
		r.values[folder] = map[string]gradleValue{}
	}
	for name, value := range values {
		if _, ok := r.values[folder][name]; !ok {
			r.values[folder][name] = value
		}
	}
}

func (r *gradleReader) properties(file, text string) {
	values := map[string]gradleValue{}
	line := 0
	for raw := range strings.Lines(text) {
		line++
		raw = strings.TrimSpace(raw)
		name, value, ok := strings.Cut(raw, "=")
		if ok && raw[0] != '#' && raw[0] != '!' {
			values[strings.TrimSpace(name)] = gradleValue{strings.TrimSpace(value), file, line}
		}
	}
	r.define(folderOf(file), values)
}

func readCatalog(file string, data []byte) (*gradleCatalog, error) {
	root, err := parseTOML(data)
	if err != nil {
		return nil, err
	}
	c := &gradleCatalog{
		file: file, name: strings.TrimSuffix(path.Base(file), ".versions.toml"), home: folderOf(file),
		versions: map[string]gradleValue{}, libraries: map[string]*gradleLibrary{}, bundles: map[string][]string{},
	}
	if path.Base(c.home) == "gradle" {
		c.home = folderOf(c.home)
	}
	for _, f := range root.get("versions").fields() {
		c.versions[accessor(f.key)] = c.value(f.value)
	}
	for _, f := range root.get("libraries").fields() {
		library := &gradleLibrary{file: file, line: f.line, end: max(f.line, f.value.end)}
		if f.value.kind == nodeText {
			parts := strings.SplitN(f.value.text, ":", 3)
			if len(parts) < 2 {
				continue
			}
			library.name = parts[0] + ":" + parts[1]
			if len(parts) == 3 {
				library.version = gradleValue{parts[2], file, f.value.line}
			}
		} else {
			library.name = f.value.str("module")
			if library.name == "" {
				library.name = f.value.str("group") + ":" + f.value.str("name")
			}
			if version := f.value.get("version"); version != nil {
				if ref := version.str("ref"); ref != "" {
					library.version = c.versions[accessor(ref)]
				} else {
					library.version = c.value(version)
				}
			}
		}
		if strings.Count(library.name, ":") == 1 && !strings.HasPrefix(library.name, ":") && !strings.HasSuffix(library.name, ":") {
			c.libraries[accessor(f.key)] = library
		}
	}
	for _, f := range root.get("bundles").fields() {
		for _, e := range f.value.list() {
			c.bundles[accessor(f.key)] = append(c.bundles[accessor(f.key)], accessor(e.text))
		}
	}
	return c, nil
}

// value reads a version of a catalog: a text, or a table in which one word decides.
func (c *gradleCatalog) value(n *node) gradleValue {
	if n.kind == nodeText {
		return gradleValue{n.text, c.file, n.line}
	}
	for _, word := range []string{"strictly", "require", "prefer"} {
		if e := n.get(word); e != nil && e.kind == nodeText {
			return gradleValue{e.text, c.file, e.line}
		}
	}
	return gradleValue{}
}

// accessor is how scripts spell the name of a catalog's entry.
func accessor(name string) string {
	return strings.NewReplacer("-", ".", "_", ".").Replace(name)
}

// unnamed gives the module of the entries that no script names.
func (c *gradleCatalog) unnamed() Module {
	m := Module{Dir: c.home, Ecosystem: "Maven", Tool: "gradle", Manifests: []string{c.file}}
	for _, name := range slices.Sorted(maps.Keys(c.libraries)) {
		if library := c.libraries[name]; !library.used {
			m.gradleDeclare(Declaration{Name: library.name, Group: "production", Path: c.file, Line: library.line, EndLine: library.end}, library.version)
		}
	}
	slices.SortStableFunc(m.Declared, func(a, b Declaration) int { return a.Line - b.Line })
	return m
}

// gradleDeclare adds a declaration with its version and where that is decided.
func (m *Module) gradleDeclare(d Declaration, version gradleValue) {
	d.Constraint = version.text
	if version.line > 0 && (version.file != d.Path || version.line != d.Line) {
		d.ValuePath, d.ValueLine = version.file, version.line
	}
	m.Declared = append(m.Declared, d)
}

// assign collects the values that a script gives to names.
func (g *gradleScript) assign() {
	g.values = map[string]gradleValue{}
	put := func(name string, t gradleToken) {
		name = plainName(name)
		if _, ok := g.values[name]; !ok && name != "" {
			g.values[name] = gradleValue{t.text, g.file, t.line}
		}
	}
	for _, statement := range g.statements {
		tokens := statement.tokens
		if len(tokens) >= 4 && tokens[0].text == "set" && tokens[1].kind == '(' && tokens[2].kind == 's' && tokens[3].kind == ',' && len(tokens) > 4 && tokens[4].kind == 's' {
			put(tokens[2].text, tokens[4])
			continue
		}
		if i := slices.IndexFunc(tokens, func(t gradleToken) bool { return t.text == "by" && t.kind == 'w' }); i > 0 && len(tokens) > i+3 && tokens[i+1].text == "extra" && tokens[i+3].kind == 's' {
			put(tokens[i-1].text, tokens[i+3])
			continue
		}
		depth := 0
		equals := slices.IndexFunc(tokens, func(t gradleToken) bool {
			if t.kind == '(' {
				depth++
			} else if t.kind == ')' {
				depth--
			}
			return t.kind == '=' && depth == 0
		})
		if equals < 1 || equals+1 >= len(tokens) || tokens[equals+1].kind == '=' {
			continue
		}
		name := gradleTarget(tokens[:equals])
		switch first := tokens[equals+1]; {
		case first.kind == 's' && equals+2 == len(tokens):
			put(name, first)
		case first.kind == '[':
			for i := equals + 2; i+2 < len(tokens); i++ {
				if (tokens[i].kind == 'w' || tokens[i].kind == 's') && tokens[i+1].kind == ':' && tokens[i+2].kind == 's' {
					put(name+"."+tokens[i].text, tokens[i+2])
				}
			}
		}
	}
}

// gradleTarget spells what stands before an equals sign: a.b, ext["c"].
func gradleTarget(tokens []gradleToken) string {
	var words []string
	for i, t := range tokens {
		switch {
		case t.kind == 's':
			words = append(words, t.text)
		case t.kind == 'w':
			if i == 0 || tokens[i-1].kind != '.' { // "def x", "val x": the last one counts
				words = nil
			}
			words = append(words, t.text)
		}
	}
	return strings.Join(words, ".")
}

// plainName drops the words with which a name is reached.
func plainName(name string) string {
	for {
		word, rest, ok := strings.Cut(name, ".")
		if !ok || word != "project" && word != "rootProject" && word != "ext" && word != "extra" {
			return name
		}
		name = rest
	}
}

var (
	gradleCoordinate = regexp.MustCompile(`^([A-Za-z0-9_.-]+):([A-Za-z0-9_.-]+)(?::([^:@\s]*))?(?::([A-Za-z0-9_.-]+))?(?:@[a-z0-9.]+)?$`)
	gradleReference  = regexp.MustCompile(`^\$(?:\{([^{}]+)\}|([A-Za-z_][A-Za-z0-9_.]*))$`)
	gradleCall       = regexp.MustCompile(`^(?:[A-Za-z]+\.)*(?:property|findProperty|extra|ext|get)[(\[]\s*['"]([^'"]+)['"]\s*[)\]](?:!!)?(?:\s*as\s+String)?$`)
)

// resolve gives the value of a version as written: itself, or that of the name in
// it. It is empty when the name is not known or is a part of it only.
func (r *gradleReader) resolve(script *gradleScript, text string, line int) gradleValue {
	if !strings.Contains(text, "$") {
		return gradleValue{text, script.file, line}
	}
	m := gradleReference.FindStringSubmatch(text)
	if m == nil {
		return gradleValue{}
	}
	return r.named(script, m[1]+m[2])
}

// named gives the value of a name, from the script outwards.
func (r *gradleReader) named(script *gradleScript, name string) gradleValue {
	name = strings.TrimSpace(name)
	if m := gradleCall.FindStringSubmatch(name); m != nil {
		name = m[1]
	}
	for _, catalog := range r.catalogs {
		if rest, ok := strings.CutPrefix(name, catalog.name+".versions."); ok && below(folderOf(script.file), catalog.home) {
			return catalog.versions[accessor(strings.TrimSuffix(rest, ".get()"))]
		}
	}
	name = plainName(name)
	value, ok := script.values[name]
	for folder := folderOf(script.file); !ok; folder = folderOf(folder) {
		value, ok = r.values[folder][name]
		if folder == "" {
			break
		}
	}
	if strings.Contains(value.text, "$") {
		return gradleValue{}
	}
	return value
}

// below says whether a folder is another one or lies in it.
func below(folder, home string) bool {
	return home == "" || folder == home || strings.HasPrefix(folder, home+"/")
}

// fill reads the dependencies of a script.
func (r *gradleReader) fill(m *Module, script *gradleScript) {
	for _, statement := range script.statements {
		at := slices.Index(statement.blocks, "dependencies")
		if at < 0 {
			if slices.Contains(statement.blocks, "plugins") {
				m.gradlePlugin(r, script, statement.tokens)
			}
			continue
		}
		tokens := statement.tokens
		group := gradleGroup(tokens[0].text)
		switch {
		case slices.Contains(statement.blocks, "buildscript"):
			group = "build"
		case slices.Contains(statement.blocks[at:], "constraints") ||
			slices.ContainsFunc(tokens, func(t gradleToken) bool { return t.text == "platform" || t.text == "enforcedPlatform" }):
			group = "override"
		}
		if len(statement.blocks) > at+1 && group != "override" && gradleGroup(statement.blocks[len(statement.blocks)-1]) != "" {
			continue // what stands inside of a dependency: exclusions, a rich version
		}
		if group == "" {
			continue
		}
		r.statement(m, script, tokens, group)
	}
}

// gradleGroup gives the group of a configuration, "" for a word that is none.
func gradleGroup(word string) string {
	lower := strings.ToLower(word)
	switch {
	case word == "exclude" || word == "def" || word == "val" || word == "if" || word == "else" || word == "because" || word == "modules" || word == "components":
		return ""
	case strings.HasPrefix(lower, "test") || strings.Contains(lower, "test") && (strings.HasSuffix(lower, "implementation") || strings.HasSuffix(lower, "only")):
		return "test"
	case word == "classpath" || strings.HasSuffix(lower, "processor") || strings.HasPrefix(lower, "kapt") || strings.HasPrefix(lower, "ksp") || lower == "provided" || strings.HasSuffix(lower, "compileonly"):
		return "build"
	case lower == "developmentonly":
		return "development"
	case lower == "add" || lower == "api" || lower == "compile" || lower == "runtime":
		return "production"
	}
	for _, ending := range []string{"implementation", "api", "only", "compile", "runtime", "provided", "constraints"} {
		if strings.HasSuffix(lower, ending) {
			return "production"
		}
	}
	return ""
}

// statement reads what one statement declares.
func (r *gradleReader) statement(m *Module, script *gradleScript, tokens []gradleToken, group string) {
	last := tokens[len(tokens)-1].line
	declare := func(name string, line int, version gradleValue) {
		m.gradleDeclare(Declaration{Name: name, Group: group, Path: script.file, Line: line, EndLine: max(line, min(last, line))}, version)
	}
	named := map[string]gradleToken{}
	for i, t := range tokens {
		switch {
		case t.kind == 's' && i > 1 && (tokens[i-1].kind == ':' || tokens[i-1].kind == '=') && tokens[i-2].kind == 'w':
			named[tokens[i-2].text] = t
		case t.kind == 'w' && i > 1 && tokens[i-1].kind == ':' && tokens[i-2].text == "version":
			named["version"] = gradleToken{kind: 'w', text: "${" + joined(tokens[i:]) + "}", line: t.line}
		case t.kind == 's':
			text := t.text
			if strings.HasSuffix(text, ":") && i+2 < len(tokens) && tokens[i+1].kind == '+' && tokens[i+2].kind == 'w' {
				text += "${" + joined(tokens[i+2:]) + "}"
			}
			text, _, _ = strings.Cut(text, "!!")
			if c := gradleCoordinate.FindStringSubmatch(gradleSafe(text)); c != nil {
				version := gradleValue{}
				if parts := strings.SplitN(text, ":", 4); len(parts) > 2 && parts[2] != "" {
					ref, _, _ := strings.Cut(strings.Join(parts[2:], ":"), "@")
					if c[4] != "" && !strings.Contains(ref, "{") {
						ref, _, _ = strings.Cut(ref, ":")
					}
					version = r.resolve(script, ref, t.line)
				}
				declare(c[1]+":"+c[2], t.line, version)
			}
		case t.kind == 'w' && (i == 0 || tokens[i-1].kind != '.') && i+2 < len(tokens) && tokens[i+1].kind == '.':
			r.fromCatalog(script, joined(tokens[i:]), func(library *gradleLibrary) {
				library.used = true
				declare(library.name, t.line, library.version)
			})
		}
	}
	if artifact, ok := named["name"]; ok && named["group"].text != "" {
		if name := named["group"].text + ":" + artifact.text; gradleCoordinate.MatchString(name) {
			version := gradleValue{}
			if v, ok := named["version"]; ok {
				version = r.resolve(script, v.text, v.line)
			}
			declare(name, artifact.line, version)
		}
	}
}

// gradleSafe takes references out of a coordinate, so that its shape can be seen.
func gradleSafe(text string) string {
	for {
		start := strings.Index(text, "${")
		if start < 0 {
			return strings.ReplaceAll(text, "$", "v")
		}
		end := strings.IndexByte(text[start:], '}')
		if end < 0 {
			return text
		}
		text = text[:start] + "v" + text[start+end+1:]
	}
}

// joined spells a dotted name from the tokens that begin with it.
func joined(tokens []gradleToken) string {
	name := tokens[0].text
	for i := 1; i+1 < len(tokens) && tokens[i].kind == '.' && tokens[i+1].kind == 'w'; i += 2 {
		name += "." + tokens[i+1].text
	}
	return name
}

// fromCatalog finds the entries that a script names: libs.a.b, libs.bundles.c.
func (r *gradleReader) fromCatalog(script *gradleScript, name string, found func(*gradleLibrary)) {
	for _, catalog := range r.catalogs {
		rest, ok := strings.CutPrefix(name, catalog.name+".")
		if !ok || !below(folderOf(script.file), catalog.home) {
			continue
		}
		rest = strings.TrimSuffix(rest, ".get")
		if bundle, ok := strings.CutPrefix(rest, "bundles."); ok {
			for _, entry := range catalog.bundles[bundle] {
				if library := catalog.libraries[entry]; library != nil {
					found(library)
				}
			}
		} else if library := catalog.libraries[rest]; library != nil {
			found(library)
		}
		return
	}
}

// gradlePlugin reads id "x" version "1".
func (m *Module) gradlePlugin(r *gradleReader, script *gradleScript, tokens []gradleToken) {
	id, at := "", -1
	for i, t := range tokens {
		if t.kind == 's' && id == "" && tokens[0].text == "id" {
			id = t.text
		}
		if t.text == "version" && t.kind == 'w' && i+1 < len(tokens) {
			at = i + 1
		}
	}
	if id == "" || at < 0 || tokens[at].kind != 's' {
		return
	}
	m.gradleDeclare(Declaration{Name: id + ":" + id + ".gradle.plugin", Group: "build", Path: script.file, Line: tokens[0].line, EndLine: tokens[0].line},
		r.resolve(script, tokens[at].text, tokens[at].line))
}

// gradleLock reads a lockfile: group:artifact:version=configurations.
func (m *Module) gradleLock(s *source, file string) {
	m.Locks = append(m.Locks, file)
	data, err := s.text(file)
	if err != nil {
		m.fail(file, err)
		return
	}
	declared := map[string][]int{}
	for i, d := range m.Declared {
		if d.Group != "override" {
			declared[d.Name] = append(declared[d.Name], i)
		}
	}
	locked := map[string]bool{}
	for _, p := range m.Packages {
		locked[p.Key] = true
	}
	line := 0
	for raw := range strings.Lines(string(data)) {
		line++
		raw = strings.TrimSpace(raw)
		if raw == "" || raw[0] == '#' {
			continue
		}
		what, configurations, ok := strings.Cut(raw, "=")
		parts := strings.Split(what, ":")
		if ok && what == "empty" {
			continue
		}
		if !ok || len(parts) != 3 || slices.Contains(parts, "") || len(what) > maxKey {
			m.problem(file, line, "expected group:artifact:version=configurations, found %.80q", raw)
			continue
		}
		if locked[what] {
			m.problem(file, line, "%.80q is locked twice", what)
			continue
		}
		locked[what] = true
		p := Package{Name: parts[0] + ":" + parts[1], Version: parts[2], Key: what, Path: file, Line: line, EndLine: line}
		p.Dev = true
		for configuration := range strings.SplitSeq(configurations, ",") {
			lower := strings.ToLower(configuration)
			p.Dev = p.Dev && (strings.HasPrefix(lower, "test") || strings.Contains(lower, "test") && strings.HasSuffix(lower, "classpath"))
		}
		p.Declared = slices.Clone(declared[p.Name])
		p.Direct = len(p.Declared) > 0
		m.Packages = append(m.Packages, p)
	}
}

// gradlePinned makes packages of what is declared, for a module without a lock.
func (m *Module) gradlePinned() {
	if len(m.Locks) > 0 {
		return
	}
	used := map[string]int{}
	for i, d := range m.Declared {
		if d.Group == "override" || strings.HasSuffix(d.Name, ".gradle.plugin") {
			continue
		}
		version := exactGradle(d.Constraint)
		key := d.Name + ":" + version
		if at, ok := used[key]; ok {
			p := &m.Packages[at]
			p.Declared = append(p.Declared, i)
			p.Dev = p.Dev && d.Group == "test"
			continue
		}
		used[key] = len(m.Packages)
		m.Packages = append(m.Packages, Package{
			Name: d.Name, Version: version, Key: key, Path: d.Path, Line: d.Line, EndLine: d.EndLine,
			Direct: true, Dev: d.Group == "test", Declared: []int{i},
		})
	}
}

// exactGradle gives the version that a requirement names, "" for a range, a prefix
// or a word such as latest.release.
func exactGradle(text string) string {
	if strings.HasPrefix(text, "latest.") || strings.HasSuffix(text, "+") {
		return ""
	}
	return exactMaven(text)
}
