package lockfile

import (
	"bufio"
	"bytes"
	"path"
	"strings"
)

// yarn: one module for each yarn.lock, classic or of version 2 and later, with
// the package.json beside it and those of its workspaces.

const yarnLock = "yarn.lock"

func wantsYarn(base string) bool { return base == yarnLock || base == npmManifest }

// yarnEntry is one entry of a lock of either kind.
type yarnEntry struct {
	specs     []string // "name@range", at least one
	line, end int
	version   string
	resolved  string // classic: address; later: "name@npm:1.2.3"
	requires  []yarnRequirement
}

type yarnRequirement struct {
	name, constraint string
	line             int
	optional         bool
}

func readYarn(s *source, files []string) []Module {
	var modules []Module
	locked := map[string]bool{}
	for _, file := range files {
		if path.Base(file) == yarnLock {
			locked[folderOf(file)] = true
		}
	}
	for _, file := range files {
		if path.Base(file) != yarnLock {
			continue
		}
		dir := folderOf(file)
		y := &yarn{
			m:      &Module{Dir: dir, Ecosystem: "npm", Tool: "yarn", Locks: []string{file}},
			bySpec: map[string]int{}, byName: map[string][]int{}, members: map[string]bool{},
		}
		entries := y.entries(s, file)
		y.manifests(s, files, entries, locked)
		y.packages(file, entries)
		y.direct(file)
		modules = append(modules, *y.m)
	}
	return modules
}

type yarn struct {
	m       *Module
	bySpec  map[string]int
	byName  map[string][]int // name as asked for -> packages
	members map[string]bool  // names of the workspaces
	// rewritten holds the range that a resolution puts in place of others.
	rewritten map[string]string
	failed    bool
}

func (y *yarn) entries(s *source, file string) []yarnEntry {
	data, err := s.text(file)
	if err != nil {
		y.m.fail(file, err)
		y.failed = true
		return nil
	}
	if !bytes.Contains(data, []byte("__metadata:")) {
		return y.classic(file, data)
	}
	root, err := parseYAML(data)
	if err != nil {
		y.m.fail(file, err)
		y.failed = true
		return nil
	}
	var entries []yarnEntry
	for _, row := range root.fields() {
		if row.key == "__metadata" {
			continue
		}
		e := yarnEntry{line: row.line, end: max(row.line, row.value.end), version: row.value.scalar("version"), resolved: row.value.str("resolution")}
		for spec := range strings.SplitSeq(row.key, ",") {
			if spec = strings.TrimSpace(spec); spec != "" {
				e.specs = append(e.specs, spec)
			}
		}
		optional := row.value.get("dependenciesMeta")
		for _, d := range row.value.get("dependencies").fields() {
			e.requires = append(e.requires, yarnRequirement{d.key, d.value.text, d.line, optional.get(d.key).yes("optional")})
		}
		if len(e.specs) == 0 {
			y.m.problem(file, row.line, "entry without a name")
			continue
		}
		entries = append(entries, e)
	}
	return entries
}

// classic reads the first format, which is no YAML: two spaces a level, keys
// and values apart by a space, either of them quoted when needed.
func (y *yarn) classic(file string, data []byte) []yarnEntry {
	var entries []yarnEntry
	lines := bufio.NewScanner(bytes.NewReader(data))
	lines.Buffer(nil, len(data)+1)
	section := ""
	for number := 1; lines.Scan(); number++ {
		text := strings.TrimRight(lines.Text(), " \t\r")
		body := strings.TrimLeft(text, " ")
		if body == "" || body[0] == '#' {
			continue
		}
		level := (len(text) - len(body)) / 2
		if level == 0 {
			specs, ok := yarnSpecs(body)
			if !ok {
				y.m.problem(file, number, "expected \"name@range\": and found %q", clipped(body))
				section = "skip"
				continue
			}
			entries = append(entries, yarnEntry{specs: specs, line: number, end: number})
			section = ""
			continue
		}
		if len(entries) == 0 || section == "skip" {
			continue
		}
		e := &entries[len(entries)-1]
		e.end = number
		words := yarnWords(body)
		switch {
		case level == 1 && len(words) == 1 && strings.HasSuffix(words[0], ":"):
			section = strings.TrimSuffix(words[0], ":")
		case level == 1 && len(words) == 2:
			section = ""
			switch words[0] {
			case "version":
				e.version = words[1]
			case "resolved":
				e.resolved = words[1]
			}
		case level == 2 && len(words) == 2 && (section == "dependencies" || section == "optionalDependencies"):
			e.requires = append(e.requires, yarnRequirement{words[0], words[1], number, section == "optionalDependencies"})
		}
	}
	return entries
}

// yarnSpecs splits `a@^1, "@b/c@1 || 2":`.
func yarnSpecs(text string) ([]string, bool) {
	text, ok := strings.CutSuffix(text, ":")
	if !ok {
		return nil, false
	}
	var specs []string
	for text != "" {
		var spec string
		if rest, quoted := strings.CutPrefix(text, `"`); quoted {
			if spec, text, ok = strings.Cut(rest, `"`); !ok {
				return nil, false
			}
			text = strings.TrimLeft(strings.TrimPrefix(text, ","), " ")
		} else {
			spec, text, _ = strings.Cut(text, ",")
			text = strings.TrimLeft(text, " ")
		}
		if name, _ := splitSpec(spec); name == "" {
			return nil, false
		}
		specs = append(specs, spec)
	}
	return specs, len(specs) > 0
}

// yarnWords splits a line into one or two words, quotes removed.
func yarnWords(text string) []string {
	var words []string
	for text != "" && len(words) < 3 {
		var word string
		if rest, quoted := strings.CutPrefix(text, `"`); quoted {
			word, text, _ = strings.Cut(rest, `"`)
			if strings.HasPrefix(text, ":") {
				word, text = word+":", text[1:]
			}
		} else {
			word, text, _ = strings.Cut(text, " ")
		}
		words = append(words, word)
		text = strings.TrimLeft(text, " ")
	}
	return words
}

// splitSpec splits "name@range" at the @ that is no scope's.
func splitSpec(spec string) (name, constraint string) {
	if len(spec) < 2 {
		return "", ""
	}
	at := strings.IndexByte(spec[1:], '@')
	if at < 0 {
		return spec, ""
	}
	return spec[:at+1], spec[at+2:]
}

func clipped(text string) string {
	if runes := []rune(text); len(runes) > 60 {
		return string(runes[:60]) + "..."
	}
	return text
}

// manifests reads the package.json beside the lock and those of workspaces:
// named by the lock, or by the first one's globs.
func (y *yarn) manifests(s *source, files []string, entries []yarnEntry, locked map[string]bool) {
	m := y.m
	main := path.Join(m.Dir, npmManifest)
	if !s.has(main) || s.claimed[main] {
		return
	}
	take := func(name string) *node {
		if dir := folderOf(name); !s.has(path.Join(dir, npmLock)) && !s.has(path.Join(dir, npmShrinkwrap)) {
			s.claim(name)
		}
		root := m.npmManifest(s, name)
		if own := root.str("name"); own != "" {
			y.members[own] = true
		}
		return root
	}
	root := take(main)
	workspaces := root.get("workspaces")
	if list := workspaces.get("packages"); list != nil {
		workspaces = list
	}
	named := map[string]bool{}
	for _, e := range entries {
		if name, at, ok := strings.Cut(e.resolved, "@workspace:"); ok {
			named[path.Join(m.Dir, at)] = true
			y.members[name] = true
		}
	}
	for _, file := range files {
		dir := folderOf(file)
		if path.Base(file) != npmManifest || file == main || locked[dir] || s.claimed[file] {
			continue
		}
		inner := dir
		if m.Dir != "" {
			var below bool
			if inner, below = strings.CutPrefix(dir, m.Dir+"/"); !below {
				continue
			}
		}
		if named[dir] || inGlobs(workspaces, inner) {
			take(file)
		}
	}
}

// inGlobs says whether a list of globs, those with "!" excluding, has a folder.
func inGlobs(list *node, dir string) bool {
	in := false
	for _, item := range list.list() {
		glob, not := strings.CutPrefix(item.text, "!")
		if globPath(path.Clean(glob), dir) {
			in = !not
		}
	}
	return in
}

func (y *yarn) packages(file string, entries []yarnEntry) {
	m := y.m
	y.rewritten = map[string]string{}
	for _, d := range m.Declared {
		if d.Group == "override" {
			y.rewritten[d.Name] = d.Constraint
		}
	}
	kept := entries[:0]
	for _, e := range entries {
		if strings.Contains(e.resolved, "@workspace:") {
			continue
		}
		if _, twice := y.bySpec[e.specs[0]]; twice {
			m.problem(file, e.line, "%s is locked twice", e.specs[0])
			continue
		}
		asked, constraint := splitSpec(e.specs[0])
		p := Package{
			Name: asked, Version: e.version, Key: e.specs[0], Path: file, Line: e.line, EndLine: e.end, EdgesKnown: true,
			Source: npmSourceOf(constraint),
		}
		if real, _, ok := npmAlias(constraint); ok && real != "" && strings.Contains(constraint, "@") {
			p.Name = real
		}
		if name, from := splitSpec(e.resolved); from != "" && !strings.Contains(name, ":") { // later locks
			p.Name = name
			switch protocol, _, _ := strings.Cut(from, ":"); protocol {
			case "npm", "patch":
				p.Source = ""
			default:
				p.Source = npmSourceOf(from)
			}
		} else if p.Source == "" {
			p.Source = npmSourceOf(e.resolved)
		}
		for _, spec := range e.specs {
			if _, twice := y.bySpec[spec]; twice {
				continue
			}
			y.bySpec[spec] = len(m.Packages)
			name, _ := splitSpec(spec)
			if list := y.byName[name]; len(list) == 0 || list[len(list)-1] != len(m.Packages) {
				y.byName[name] = append(list, len(m.Packages))
			}
		}
		m.Packages = append(m.Packages, p)
		kept = append(kept, e)
	}
	for i, e := range kept {
		for _, r := range e.requires {
			if j, ok := y.find(r.name, r.constraint); ok {
				m.Packages[i].Requires = append(m.Packages[i].Requires, j)
			} else if !r.optional && !y.members[r.name] {
				m.problem(file, r.line, "%s requires %s %s, which is not locked", m.Packages[i].Name, r.name, r.constraint)
			}
		}
	}
}

// find gives the package that a range resolves to: the one locked for this
// very range, for the range that a resolution puts in its place, else the only one of the
// name, else
// the newest that the range admits.
func (y *yarn) find(name, constraint string) (int, bool) {
	wanted := []string{constraint}
	if other, ok := y.rewritten[name]; ok {
		wanted = append(wanted, other)
	}
	for _, constraint := range wanted {
		for _, spec := range []string{name + "@" + constraint, name + "@npm:" + constraint} {
			if i, ok := y.bySpec[spec]; ok {
				return i, true
			}
		}
	}
	list := y.byName[name]
	if len(list) == 1 {
		return list[0], true
	}
	best := -1
	for _, i := range some(list) {
		fits, _ := npmSatisfies(strings.TrimPrefix(constraint, "npm:"), y.m.Packages[i].Version)
		if fits && (best < 0 || newer(y.m.Packages[i].Version, y.m.Packages[best].Version)) {
			best = i
		}
	}
	return best, best >= 0
}

func (y *yarn) direct(file string) {
	m := y.m
	if y.failed {
		m.npmPinned()
		return
	}
	for i, d := range m.Declared {
		name := d.Name
		if d.Alias != "" {
			name = d.Alias
		}
		if d.Group == "override" || y.members[name] {
			continue
		}
		j, ok := y.find(name, d.Constraint)
		if !ok {
			if source := npmSourceOf(d.Constraint); d.Group != "peer" && d.Group != "optional" && source != "path" && source != "workspace" {
				m.problem(d.Path, d.Line, "declares %s %s, which %s does not lock", name, d.Constraint, file)
			}
			continue
		}
		if d.Group == "peer" && !m.Packages[j].Direct {
			continue
		}
		p := &m.Packages[j]
		p.Direct = true
		p.Declared = append(p.Declared, i)
		constraint := d.Constraint
		if _, c, ok := npmAlias(constraint); ok && c != "" {
			constraint = c
		}
		constraint = strings.TrimPrefix(constraint, "npm:")
		if fits, understood := npmSatisfies(constraint, p.Version); understood && !fits && d.Group != "peer" && y.rewritten[d.Name] == "" {
			m.problem(d.Path, d.Line, "declares %s %s; %s line %d locks %s", name, d.Constraint, file, p.Line, p.Version)
		}
	}
	m.markDev()
	m.markOptional()
}

// markOptional says of each package whether only optional declarations ask
// for it.
func (m *Module) markOptional() {
	needed := make([]bool, len(m.Packages))
	var stack []int
	for i := range m.Packages {
		for _, d := range m.Packages[i].Declared {
			if m.Declared[d].Group != "optional" && !needed[i] {
				needed[i] = true
				stack = append(stack, i)
			}
		}
	}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, next := range m.Packages[at].Requires {
			if !needed[next] {
				needed[next] = true
				stack = append(stack, next)
			}
		}
	}
	for i := range m.Packages {
		for _, d := range m.Packages[i].Declared {
			if m.Declared[d].Group == "optional" && !needed[i] {
				m.Packages[i].Optional = true
			}
		}
	}
}
