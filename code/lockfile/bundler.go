package lockfile

import (
	"path"
	"regexp"
	"slices"
	"strings"
)

// Bundler: one module for each Gemfile (or gems.rb) with its lock and the
// gemspecs beside it, one for each gemspec by itself. The Ruby of these files
// is not run: declarations are read line by line where they are written as
// literals, as nearly all are.

func wantsBundler(base string) bool {
	switch base {
	case "Gemfile", "Gemfile.lock", "gems.rb", "gems.locked":
		return true
	}
	return strings.HasSuffix(base, ".gemspec")
}

var (
	gemCall    = regexp.MustCompile(`^\s*gem[\s(]+["']([A-Za-z0-9._-]+)["'](.*)$`)
	specCall   = regexp.MustCompile(`\.add_(runtime_|development_)?dependency[\s(]+["']([A-Za-z0-9._-]+)["'](.*)$`)
	gemName    = regexp.MustCompile(`\.name\s*=\s*["']([^"']+)["']`)
	gemVersion = regexp.MustCompile(`\.version\s*=\s*["']([^"']+)["']`)
	gemText    = regexp.MustCompile(`^\s*,?\s*["']([^"']*)["']`)
	gemGroups  = regexp.MustCompile(`\bgroups?(?::|\s*=>)\s*\[?((?:\s*[:"'][\w"']+,?)+)`)
	gemBlock   = regexp.MustCompile(`^\s*group[\s(]+(.*?)\)?\s*do\b`)
	gemOpens   = regexp.MustCompile(`(?:\bdo\b(?:\s*\|[^|]*\|)?|^\s*(?:if|unless|case|begin|def|while)\b.*)\s*$`)
	gemCloses  = regexp.MustCompile(`^\s*end\b`)
	lockSpec   = regexp.MustCompile(`^    ([A-Za-z0-9._-]+) \(([^()]+)\)$`)
	lockNeed   = regexp.MustCompile(`^      ([A-Za-z0-9._-]+)(?: \(([^()]*)\))?!?$`)
	lockAsked  = regexp.MustCompile(`^  ([A-Za-z0-9._-]+)(?: \(([^()]*)\))?(!)?$`)
)

func readBundler(s *source, files []string) []Module {
	var modules []Module
	folders, in := byFolder(files)
	for _, dir := range folders {
		var m Module
		var lock string
		var specs []string
		for _, file := range in[dir] {
			switch base := path.Base(file); {
			case base == "Gemfile" || base == "gems.rb" && len(m.Manifests) == 0:
				m.Manifests = []string{file}
			case base == "Gemfile.lock" || base == "gems.locked" && lock == "":
				lock = file
			case strings.HasSuffix(base, ".gemspec"):
				specs = append(specs, file)
			}
		}
		m.Dir, m.Ecosystem, m.Tool = dir, "RubyGems", "bundler"
		g := &gems{m: &m, at: map[string][]int{}}
		gemfile := slices.Clone(m.Manifests)
		m.Manifests = nil
		for _, file := range append(gemfile, specs...) {
			g.manifest(s, file)
		}
		if lock == "" || !g.lock(s, lock) {
			g.pinned()
		}
		modules = append(modules, m)
	}
	return modules
}

type gems struct {
	m     *Module
	at    map[string][]int // name -> packages
	asked map[string]gemAsked
}

type gemAsked struct {
	constraint string
	line       int
}

func (g *gems) manifest(s *source, file string) {
	m := g.m
	m.Manifests = append(m.Manifests, file)
	data, err := s.text(file)
	if err != nil {
		m.fail(file, err)
		return
	}
	var blocks []string // groups of the open blocks, "" for other blocks
	lines := strings.Split(string(data), "\n")
	for i := 0; i < len(lines); i++ {
		text := uncomment(lines[i])
		number := i + 1
		if block := gemBlock.FindStringSubmatch(text); block != nil {
			blocks = append(blocks, block[1])
			continue
		}
		var name, rest, group string
		if call := gemCall.FindStringSubmatch(text); call != nil {
			name, rest, group = call[1], call[2], "production"
			for _, b := range blocks {
				if b != "" {
					group = gemGroup(b)
				}
			}
		} else if call := specCall.FindStringSubmatch(text); call != nil {
			name, rest, group = call[2], call[3], "production"
			if call[1] == "development_" {
				group = "development"
			}
		} else {
			g.own(file, text)
			switch {
			case gemCloses.MatchString(text) && len(blocks) > 0:
				blocks = blocks[:len(blocks)-1]
			case gemOpens.MatchString(text) && len(blocks) < maxDepth:
				blocks = append(blocks, "")
			}
			continue
		}
		end := number
		for strings.HasSuffix(strings.TrimSpace(rest), ",") && end < len(lines) && end-number < 50 { // goes on below
			rest += " " + strings.TrimSpace(uncomment(lines[end]))
			end++
		}
		i = end - 1
		d := Declaration{Name: name, Group: group, Path: file, Line: number, EndLine: end}
		var constraints []string
		for after := rest; ; {
			match := gemText.FindStringSubmatchIndex(after)
			if match == nil || strings.HasPrefix(strings.TrimSpace(after[match[1]:]), "=>") {
				break
			}
			constraints = append(constraints, after[match[2]:match[3]])
			after = after[match[1]:]
		}
		d.Constraint = strings.Join(constraints, ", ")
		if groups := gemGroups.FindStringSubmatch(rest); groups != nil {
			d.Group = gemGroup(groups[1])
		}
		if len(constraints) > 0 && end > number {
			for n := number; n <= end; n++ {
				if strings.Contains(lines[n-1], constraints[0]) {
					if n != number {
						d.ValuePath, d.ValueLine = file, n
					}
					break
				}
			}
		}
		m.Declared = append(m.Declared, d)
	}
}

// own takes name and version of a gemspec.
func (g *gems) own(file, text string) {
	if !strings.HasSuffix(file, ".gemspec") || g.m.Name != "" && g.m.Version != "" {
		return
	}
	if found := gemName.FindStringSubmatch(text); found != nil && g.m.Name == "" {
		g.m.Name = found[1]
	}
	if found := gemVersion.FindStringSubmatch(text); found != nil && g.m.Version == "" {
		g.m.Version = found[1]
	}
}

// uncomment cuts a Ruby comment.
func uncomment(line string) string {
	line = strings.TrimRight(line, "\r")
	var quote byte
	for i := range len(line) {
		switch c := line[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '#' && (i == 0 || line[i-1] == ' ' || line[i-1] == '\t'):
			return line[:i]
		}
	}
	return line
}

// gemGroup turns a list of Bundler groups into a group: a gem of any other
// group than development and test is for production.
func gemGroup(text string) string {
	group := ""
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" ,:'\"[]()", r) }) {
		switch word {
		case "development", "test":
			if group == "" || group == "test" {
				group = word
			}
		default:
			return "production"
		}
	}
	if group == "" {
		return "production"
	}
	return group
}

// lock reads a Gemfile.lock; false when it cannot be read.
func (g *gems) lock(s *source, file string) bool {
	m := g.m
	m.Locks = append(m.Locks, file)
	data, err := s.text(file)
	if err != nil {
		m.fail(file, err)
		return false
	}
	type need struct {
		from, line int
		name       string
	}
	var needs []need
	g.asked = map[string]gemAsked{}
	keys := map[string]bool{}
	section, path, last := "", "", -1
	known := false
	for i, text := range strings.Split(string(data), "\n") {
		number := i + 1
		text = strings.TrimRight(text, "\r ")
		switch {
		case text == "":
			continue
		case text[0] != ' ':
			section, path, last = text, "", -1
			known = known || section == "GEM" || section == "PATH" || section == "GIT" || section == "DEPENDENCIES"
			if strings.HasPrefix(text, "<<<<<<<") || strings.HasPrefix(text, "=======") || strings.HasPrefix(text, ">>>>>>>") {
				m.problem(file, number, "holds an unresolved merge")
			}
			continue
		}
		switch section {
		case "GEM", "GIT", "PATH", "PLUGIN SOURCE":
			if remote, ok := strings.CutPrefix(text, "  remote: "); ok {
				path = remote
			} else if spec := lockSpec.FindStringSubmatch(text); spec != nil {
				last = -1
				key := spec[1] + " " + spec[2]
				if keys[key] {
					m.problem(file, number, "%s is locked twice", key)
					continue
				}
				keys[key] = true
				version, _, _ := strings.Cut(spec[2], "-") // "1.15.0-x86_64-linux"
				p := Package{Name: spec[1], Version: version, Key: key, Path: file, Line: number, EndLine: number, EdgesKnown: true}
				switch section {
				case "GIT":
					p.Source = "git"
				case "PATH":
					p.Source = "path"
					if path == "." {
						p.Source = "workspace"
					}
				}
				last = len(m.Packages)
				g.at[p.Name] = append(g.at[p.Name], last)
				m.Packages = append(m.Packages, p)
			} else if dep := lockNeed.FindStringSubmatch(text); dep != nil && last >= 0 {
				needs = append(needs, need{last, number, dep[1]})
				m.Packages[last].EndLine = number
			}
		case "DEPENDENCIES":
			if dep := lockAsked.FindStringSubmatch(text); dep != nil {
				g.asked[dep[1]] = gemAsked{dep[2], number}
			}
		}
	}
	if !known {
		m.problem(file, 1, `is no Gemfile.lock: expected a section "GEM"`)
		return false
	}
	for _, n := range needs {
		if list := g.at[n.name]; len(list) > 0 {
			m.Packages[n.from].Requires = append(m.Packages[n.from].Requires, some(list)...)
		} else if n.name != "bundler" {
			m.problem(file, n.line, "%s requires %s, which is not locked", m.Packages[n.from].Name, n.name)
		}
	}
	g.match(file)
	return true
}

func (g *gems) match(file string) {
	m := g.m
	for i, d := range m.Declared {
		for _, j := range some(g.at[d.Name]) {
			m.Packages[j].Direct = true
			m.Packages[j].Declared = append(m.Packages[j].Declared, i)
		}
		if strings.HasSuffix(d.Path, ".gemspec") {
			continue
		}
		asked, ok := g.asked[d.Name]
		switch {
		case !ok && len(g.at[d.Name]) == 0:
			m.problem(d.Path, d.Line, "declares %s, which %s does not lock", d.Name, file)
		case ok && d.Constraint != "" && gemSet(d.Constraint) != gemSet(asked.constraint):
			m.problem(d.Path, d.Line, "declares %s %s; %s line %d was made for %s", d.Name, d.Constraint, file, asked.line, or(asked.constraint, "any version"))
		}
	}
	for name := range g.asked { // declared in a way that is not read
		for _, j := range g.at[name] {
			m.Packages[j].Direct = true
		}
	}
	m.markDev()
}

func or(text, other string) string {
	if text == "" {
		return other
	}
	return text
}

// gemSet writes constraints in one order and spelling.
func gemSet(text string) string {
	var parts []string
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part != "" && part[0] >= '0' && part[0] <= '9' {
			part = "= " + part
		}
		if operator := strings.TrimRight(part, "0123456789.abcdefghijklmnopqrstuvwxyz- "); operator != "" {
			part = operator + " " + strings.TrimSpace(strings.TrimPrefix(part, operator))
		}
		if part != ">= 0" && part != "" {
			parts = append(parts, part)
		}
	}
	slices.Sort(parts)
	return strings.Join(slices.Compact(parts), ", ")
}

// pinned gives what the manifests alone say.
func (g *gems) pinned() {
	m := g.m
	seen := map[string]int{}
	for i, d := range m.Declared {
		if j, ok := seen[d.Name]; ok {
			m.Packages[j].Declared = append(m.Packages[j].Declared, i)
			continue
		}
		seen[d.Name] = len(m.Packages)
		p := Package{
			Name: d.Name, Key: d.Name, Path: d.Path, Line: d.Line, EndLine: d.EndLine, Direct: true,
			Dev: d.Group == "development" || d.Group == "test", Declared: []int{i},
		}
		exact := strings.TrimSpace(strings.TrimPrefix(d.Constraint, "="))
		if exact != "" && exact[0] >= '0' && exact[0] <= '9' && !strings.Contains(exact, ",") {
			p.Version = exact
		}
		m.Packages = append(m.Packages, p)
	}
}
