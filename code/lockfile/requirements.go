package lockfile

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// requirementsFile is one requirements or constraints file as written.
type requirementsFile struct {
	name     string
	lines    []requirementLine
	includes []include
	via      bool // written by a tool that notes what asked for each package
}

type requirementLine struct {
	requirement
	line, end int
	via       []string // what asked for it, as the comments of pip-compile and uv say
}

type include struct {
	name       string // path in the repository
	constraint bool   // -c rather than -r
}

// readRequirements adds to modules one of all requirements files that include
// each other or were compiled from each other. A pyproject.toml or setup file
// from which one was compiled becomes part of it.
func readRequirements(s *source, names []string, modules []Module) []Module {
	parsed := make(map[string]*requirementsFile)
	problems := make(map[string][]Problem)
	var order []string
	var load func(name string)
	load = func(name string) {
		if parsed[name] != nil {
			return
		}
		f, bad := parseRequirements(s, name)
		parsed[name], problems[name] = f, bad
		order = append(order, name)
		for _, in := range f.includes {
			if s.has(in.name) {
				load(in.name)
			}
		}
	}
	for _, name := range names {
		if !s.claimed[name] && isRequirements(name) {
			load(name)
		}
	}
	slices.Sort(order)
	group := make(map[string]string) // file -> representative of its module
	top := func(name string) string {
		for group[name] != "" && group[name] != name {
			name = group[name]
		}
		return name
	}
	join := func(a, b string) {
		if a, b = top(a), top(b); a != b {
			group[max(a, b)] = min(a, b)
		}
	}
	constraints := make(map[string]bool)
	required := make(map[string]bool)
	for _, name := range order {
		for _, in := range parsed[name].includes {
			if parsed[in.name] == nil {
				continue
			}
			join(name, in.name)
			if in.constraint {
				constraints[in.name] = true
			} else {
				required[in.name] = true
			}
		}
		if stem, ok := strings.CutSuffix(name, ".in"); ok && parsed[stem+".txt"] != nil {
			join(name, stem+".txt")
			parsed[stem+".txt"].via = true
			required[stem+".txt"] = true
		}
	}
	members := make(map[string][]string)
	for _, name := range order {
		members[top(name)] = append(members[top(name)], name)
	}
	for _, name := range order {
		list := members[name]
		if len(list) == 0 {
			continue
		}
		slices.SortStableFunc(list, func(a, b string) int { return requirementsRank(a) - requirementsRank(b) })
		m := Module{Dir: folderOf(list[0]), Ecosystem: "PyPI", Tool: "pip", Manifests: list}
		r := &requirementsTree{pythonTree: pythonTree{&m, make(map[string][]int)}, vias: make(map[int][]string), projects: make(map[string]bool)}
		only := func(name string) bool { // constrains, and asks for nothing itself
			return !required[name] && (constraints[name] || strings.Contains(path.Base(name), "constraints"))
		}
		for _, file := range list {
			m.Problems = append(m.Problems, problems[file]...)
			if only(file) {
				r.constraints = append(r.constraints, parsed[file])
			} else {
				r.files = append(r.files, parsed[file])
			}
		}
		if len(r.files) == 0 {
			if len(m.Problems) > 0 {
				modules = append(modules, m)
			}
			continue
		}
		r.build()
		compiled := func(p Module) bool {
			return p.Dir == m.Dir && p.Tool == "pip" && len(p.Locks) == 0 && len(p.Manifests) == 1 && r.projects[path.Base(p.Manifests[0])]
		}
		if i := slices.IndexFunc(modules, compiled); i >= 0 {
			r.adopt(&modules[i])
			modules = slices.Delete(modules, i, i+1)
		}
		if len(m.Declared) > 0 || len(m.Packages) > 0 || len(m.Problems) > 0 {
			modules = append(modules, m)
		}
	}
	return modules
}

// requirementsRank puts sources before what was compiled from them, and the
// main file before those for development.
func requirementsRank(name string) int {
	rank := 2
	if strings.HasPrefix(path.Base(name), "requirements.") {
		rank = 0
	}
	if strings.HasSuffix(name, ".in") {
		return rank
	}
	return rank + 1
}

var developmentFile = regexp.MustCompile(`(?i)(?:^|[._-])(?:dev|develop|development|test|tests|testing|lint|docs?|ci)(?:[._-]|$)`)

type requirementsTree struct {
	pythonTree
	files, constraints []*requirementsFile
	vias               map[int][]string
	projects           map[string]bool // project files that a comment names as what asked
}

var projectFile = regexp.MustCompile(`(?:pyproject\.toml|setup\.(?:py|cfg))`)

// adopt makes the module of the project file that the requirements were
// compiled from part of theirs: its declarations ask for the compiled packages.
func (r *requirementsTree) adopt(project *Module) {
	m := r.m
	own := make(map[string]bool)
	for _, d := range project.Declared {
		own[d.Name] = true
	}
	declared := slices.Clone(project.Declared)
	moved := make(map[int]int)
	for i, d := range m.Declared {
		if !own[d.Name] || !r.compiled(d.Path) {
			moved[i] = len(declared)
			declared = append(declared, d)
		}
	}
	for i := range m.Packages {
		p := &m.Packages[i]
		var list []int
		for _, d := range p.Declared {
			if to, ok := moved[d]; ok {
				list = append(list, to)
			}
		}
		p.Declared = list
	}
	m.Name, m.Version = project.Name, project.Version
	m.Manifests = append(slices.Clone(project.Manifests), m.Manifests...)
	m.Problems = append(slices.Clone(project.Problems), m.Problems...)
	m.Declared = declared
	for i, d := range project.Declared {
		if d.Group == "override" || d.Group == "build" {
			continue
		}
		found := r.find(d.Name, "")
		for _, j := range found {
			m.Packages[j].Direct = true
			m.Packages[j].Declared = append(m.Packages[j].Declared, i)
		}
		if len(found) > 0 {
			r.contradiction(d.Path, d.Line, d.Name, d.Constraint, found)
		}
	}
}

// compiled says whether a file of the module was written by a tool.
func (r *requirementsTree) compiled(name string) bool {
	return slices.ContainsFunc(r.files, func(f *requirementsFile) bool { return f.name == name && f.via })
}

func (r *requirementsTree) build() {
	m := r.m
	pins := make(map[string]requirementLine)
	pinned := make(map[string]string)
	for _, f := range r.constraints {
		for _, l := range f.lines {
			if pythonPin(l.constraint) != "" {
				pins[l.name], pinned[l.name] = l, f.name
			}
		}
	}
	sources := false
	for _, f := range r.files {
		sources = sources || strings.HasSuffix(f.name, ".in")
	}
	for _, f := range r.files {
		if !f.via {
			continue
		}
		dev := developmentFile.MatchString(path.Base(f.name))
		sourced := sources && r.hasSource(f.name)
		for _, l := range f.lines {
			p := Package{
				Name: l.name, Version: pythonPin(l.constraint), Path: f.name, Line: l.line, EndLine: l.end,
				Source: pythonSource(l.address), Dev: dev, EdgesKnown: len(l.via) > 0,
			}
			i := r.add(p)
			r.m.Packages[i].Dev = r.m.Packages[i].Dev && dev
			r.vias[i] = append(r.vias[i], l.via...)
			for _, via := range l.via {
				if name := projectFile.FindString(via); name != "" {
					r.projects[name] = true
				}
			}
			if !sourced && (len(l.via) == 0 || slices.ContainsFunc(l.via, viaAsks)) {
				r.declare(f, l, i)
			}
		}
	}
	compiled := len(m.Packages)
	for _, f := range r.files {
		if f.via {
			continue
		}
		source := strings.HasSuffix(f.name, ".in")
		dev := developmentFile.MatchString(path.Base(f.name))
		for _, l := range f.lines {
			version := pythonPin(l.constraint)
			if found := r.find(l.name, version); len(found) > 0 && (source || version == "" && l.address == "") && found[0] < compiled {
				r.declare(f, l, found...)
				r.contradiction(f.name, l.line, l.name, l.constraint, found)
				continue
			}
			if source && compiled > 0 && l.address == "" && l.marker == "" {
				m.conflict(f.name, l.line, "declares %s %s, which no compiled file pins", l.name, l.constraint)
			}
			p := Package{Name: l.name, Version: version, Path: f.name, Line: l.line, EndLine: l.end, Source: pythonSource(l.address), Dev: dev}
			pin, constrained := pins[l.name]
			constrained = constrained && version == "" && l.address == ""
			if constrained {
				p.Version, p.Path, p.Line, p.EndLine = pythonPin(pin.constraint), pinned[l.name], pin.line, pin.end
			}
			i := r.same(p)
			if i < 0 {
				i = r.add(p)
			}
			m.Packages[i].Dev = m.Packages[i].Dev && dev
			r.declare(f, l, i)
			if constrained {
				d := &m.Declared[len(m.Declared)-1]
				d.ValuePath, d.ValueLine = pinned[l.name], pin.line
			}
		}
	}
	for i := range m.Packages {
		for _, via := range r.vias[i] {
			if viaSource(via) {
				continue
			}
			for _, j := range r.find(via, "") {
				if j != i {
					m.Packages[j].Requires = append(m.Packages[j].Requires, i)
				}
			}
		}
	}
}

// hasSource says whether a compiled file's own source is in the module.
func (r *requirementsTree) hasSource(name string) bool {
	stem := strings.TrimSuffix(name, path.Ext(name))
	return slices.ContainsFunc(r.files, func(f *requirementsFile) bool { return f.name == stem+".in" })
}

// same finds a package of the same name and version, -1 for none.
func (r *requirementsTree) same(p Package) int {
	for _, i := range r.at[p.Name] {
		if r.m.Packages[i].Version == p.Version {
			return i
		}
	}
	return -1
}

func (r *requirementsTree) declare(f *requirementsFile, l requirementLine, packages ...int) {
	group := "production"
	if developmentFile.MatchString(path.Base(f.name)) {
		group = "development"
	}
	constraint := l.constraint
	if l.address != "" {
		constraint = "@ " + l.address
	}
	for _, i := range packages {
		p := &r.m.Packages[i]
		p.Direct = true
		p.Declared = append(p.Declared, len(r.m.Declared))
	}
	r.m.Declared = append(r.m.Declared, Declaration{Name: l.name, Constraint: constraint, Group: group, Path: f.name, Line: l.line, EndLine: l.end})
}

func (r *requirementsTree) contradiction(file string, line int, name, constraint string, found []int) {
	for _, i := range found {
		if fits, understood := pythonSatisfies(constraint, r.m.Packages[i].Version); fits || !understood {
			return
		}
	}
	p := r.m.Packages[found[0]]
	r.m.conflict(file, line, "declares %s %s; %s line %d locks %s", name, constraint, p.Path, p.Line, p.Version)
}

// viaAsks says whether a "via" names a source file that asks for the package.
func viaAsks(via string) bool { return viaSource(via) && !strings.HasPrefix(via, "-c") }

// viaSource says whether a "via" names a source file rather than a package.
func viaSource(via string) bool {
	return strings.HasPrefix(via, "-r") || strings.HasPrefix(via, "-c") || strings.Contains(via, "(") || strings.Contains(via, ".toml") || strings.Contains(via, ".in")
}

var requirementOption = regexp.MustCompile(`\s--?[A-Za-z].*$`)

func parseRequirements(s *source, name string) (*requirementsFile, []Problem) {
	f := &requirementsFile{name: name}
	var m Module
	data, err := s.text(name)
	if err != nil {
		m.fail(name, err)
		return f, m.Problems
	}
	bad := 0
	line, start := 0, 0
	var joined strings.Builder
	inVia := false
	last := -1
	for raw := range strings.Lines(string(data)) {
		line++
		text := strings.TrimRight(raw, "\r\n")
		trimmed := strings.TrimSpace(text)
		if strings.HasPrefix(trimmed, "#") {
			comment := strings.TrimSpace(strings.TrimPrefix(trimmed, "#"))
			via, ok := strings.CutPrefix(comment, "via")
			switch {
			case last < 0:
			case ok && (via == "" || via[0] == ' '):
				inVia = true
				f.note(last, via)
			case inVia && comment != "":
				f.note(last, comment)
			}
			continue // a comment does not end a continued line
		}
		if joined.Len() == 0 {
			if trimmed == "" {
				inVia = false
				continue
			}
			start = line
		}
		if before, ok := strings.CutSuffix(text, `\`); ok {
			joined.WriteString(before + " ")
			continue
		}
		joined.WriteString(text)
		whole := joined.String()
		joined.Reset()
		inVia = false
		code, comment := whole, ""
		if i := strings.Index(whole, " #"); i >= 0 {
			code, comment = whole[:i], strings.TrimSpace(whole[i+2:])
		} else if i := strings.Index(whole, "\t#"); i >= 0 {
			code, comment = whole[:i], strings.TrimSpace(whole[i+2:])
		}
		before := len(f.lines)
		if !f.statement(strings.TrimSpace(code), start, line) {
			if bad++; bad <= 20 {
				m.problem(name, start, "is no requirement: %q", clip(strings.TrimSpace(code)))
			}
		}
		last = -1
		if len(f.lines) > before {
			last = before
			if via, ok := strings.CutPrefix(comment, "via"); ok {
				f.note(last, via)
			}
		}
	}
	if joined.Len() > 0 && !f.statement(strings.TrimSpace(joined.String()), start, line) {
		m.problem(name, start, "is no requirement: %q", clip(strings.TrimSpace(joined.String())))
	}
	return f, m.Problems
}

func (f *requirementsFile) note(at int, text string) {
	for via := range strings.SplitSeq(text, ",") {
		if via = strings.TrimSpace(via); via != "" {
			f.lines[at].via = append(f.lines[at].via, via)
			f.via = true
		}
	}
}

// statement reads one logical line; false when it is nothing that pip knows.
func (f *requirementsFile) statement(text string, line, end int) bool {
	if text == "" {
		return true
	}
	if strings.HasPrefix(text, "-") {
		option, value, _ := strings.Cut(text, " ")
		if long, v, ok := strings.Cut(text, "="); ok && strings.HasPrefix(long, "--") && !strings.Contains(long, " ") {
			option, value = long, v
		} else if len(text) > 2 && (strings.HasPrefix(text, "-r") || strings.HasPrefix(text, "-c") || strings.HasPrefix(text, "-e")) && text[2] != ' ' {
			option, value = text[:2], text[2:]
		}
		value = strings.TrimSpace(value)
		switch option {
		case "-r", "--requirement", "-c", "--constraint":
			if !strings.Contains(value, "://") {
				f.includes = append(f.includes, include{path.Join(path.Dir(f.name), value), strings.HasSuffix(option, "c") || strings.HasSuffix(option, "constraint")})
			}
		case "-e", "--editable":
			f.address(value, line, end)
		}
		return true
	}
	text = requirementOption.ReplaceAllString(text, "")
	if r, ok := parseRequirement(text); ok {
		f.lines = append(f.lines, requirementLine{requirement: r, line: line, end: end})
		return true
	}
	return f.address(text, line, end)
}

// address reads a bare address or path, whose package is known when it has an
// egg fragment.
func (f *requirementsFile) address(text string, line, end int) bool {
	_, fragment, _ := strings.Cut(text, "#")
	for part := range strings.SplitSeq(fragment, "&") {
		if egg, ok := strings.CutPrefix(part, "egg="); ok {
			if r, ok := parseRequirement(egg); ok {
				r.address = text
				f.lines = append(f.lines, requirementLine{requirement: r, line: line, end: end})
				return true
			}
		}
	}
	return strings.ContainsAny(text, "/\\") || strings.HasPrefix(text, ".") || strings.HasSuffix(text, ".whl")
}
