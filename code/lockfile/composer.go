package lockfile

import (
	"path"
	"slices"
	"strings"
)

// Composer: one module for each folder with a composer.json or composer.lock.

func wantsComposer(base string) bool { return base == "composer.json" || base == "composer.lock" }

func readComposer(s *source, files []string) []Module {
	var modules []Module
	folders, in := byFolder(files)
	for _, dir := range folders {
		m := Module{Dir: dir, Ecosystem: "Packagist", Tool: "composer"}
		c := &composer{m: &m, at: map[string]int{}, provided: map[string]int{}}
		for _, file := range in[dir] { // composer.json sorts first
			if path.Base(file) == "composer.json" {
				c.manifest(s, file)
			} else {
				c.lockFile = file
			}
		}
		if c.lockFile == "" || !c.lock(s) {
			c.pinned()
		}
		modules = append(modules, m)
	}
	return modules
}

type composer struct {
	m        *Module
	lockFile string
	at       map[string]int // name -> package
	provided map[string]int // name that a package provides or replaces -> package
}

// json reads an object; nil when it cannot be read.
func (m *Module) json(s *source, name string) *node {
	data, err := s.text(name)
	var root *node
	if err == nil {
		root, err = parseJSON(data)
	}
	if err == nil && root.kind != nodeObject {
		err = &lineError{root.line, "is no object"}
	}
	if err != nil {
		m.fail(name, err)
		return nil
	}
	return root
}

// platform says whether a requirement is no package: php, ext-json ...
func platform(name string) bool { return !strings.Contains(name, "/") }

func (c *composer) manifest(s *source, file string) {
	m := c.m
	m.Manifests = append(m.Manifests, file)
	root := m.json(s, file)
	if root == nil {
		return
	}
	m.Name, m.Version = strings.ToLower(root.str("name")), root.str("version")
	for _, list := range []struct{ key, group string }{{"require", "production"}, {"require-dev", "development"}} {
		for _, d := range root.get(list.key).fields() {
			if !platform(d.key) && d.value.kind == nodeText {
				m.Declared = append(m.Declared, Declaration{
					Name: strings.ToLower(d.key), Constraint: d.value.text, Group: list.group, Path: file, Line: d.line, EndLine: d.value.end,
				})
			}
		}
	}
}

// lock reads a composer.lock; false when it cannot be read.
func (c *composer) lock(s *source) bool {
	m := c.m
	m.Locks = append(m.Locks, c.lockFile)
	root := m.json(s, c.lockFile)
	if root == nil {
		return false
	}
	if root.get("packages") == nil {
		m.problem(c.lockFile, root.line, `is no composer.lock: expected "packages"`)
		return false
	}
	var rows []*node
	for _, key := range []string{"packages", "packages-dev"} {
		for _, row := range root.get(key).list() {
			name := strings.ToLower(row.str("name"))
			if name == "" {
				m.problem(c.lockFile, row.line, "package without a name")
				continue
			}
			if _, twice := c.at[name]; twice {
				m.problem(c.lockFile, row.line, "%s is locked twice", name)
				continue
			}
			p := Package{
				Name: name, Version: row.str("version"), Key: name, Path: c.lockFile, Line: row.line, EndLine: row.end,
				Dev: key == "packages-dev", EdgesKnown: true,
			}
			switch {
			case row.get("dist").str("type") == "path":
				p.Source = "path"
			case row.get("dist") == nil && row.get("source").str("type") == "git":
				p.Source = "git"
			}
			c.at[name] = len(m.Packages)
			for _, list := range []string{"provide", "replace"} {
				for _, other := range row.get(list).fields() {
					if _, taken := c.provided[strings.ToLower(other.key)]; !taken {
						c.provided[strings.ToLower(other.key)] = len(m.Packages)
					}
				}
			}
			m.Packages = append(m.Packages, p)
			rows = append(rows, row)
		}
	}
	for i, row := range rows {
		for _, d := range row.get("require").fields() {
			if platform(d.key) {
				continue
			}
			if j, ok := c.find(d.key); ok {
				m.Packages[i].Requires = append(m.Packages[i].Requires, j)
			} else {
				m.problem(c.lockFile, d.line, "%s requires %s, which is not locked", m.Packages[i].Name, d.key)
			}
		}
	}
	c.match()
	return true
}

func (c *composer) find(name string) (int, bool) {
	name = strings.ToLower(name)
	if i, ok := c.at[name]; ok {
		return i, true
	}
	i, ok := c.provided[name]
	return i, ok
}

func (c *composer) match() {
	m := c.m
	for i, d := range m.Declared {
		j, ok := c.at[d.Name]
		if !ok {
			if _, ok := c.provided[d.Name]; !ok && d.Name != m.Name {
				m.problem(d.Path, d.Line, "declares %s %s, which %s does not lock", d.Name, d.Constraint, c.lockFile)
			}
			continue
		}
		p := &m.Packages[j]
		p.Direct = true
		p.Declared = append(p.Declared, i)
		if fits, understood := composerAdmits(d.Constraint, p.Version); understood && !fits {
			m.problem(d.Path, d.Line, "declares %s %s; %s line %d locks %s", d.Name, d.Constraint, c.lockFile, p.Line, p.Version)
		}
	}
}

// composerAdmits says whether a constraint admits a version, and whether it is
// one that can be told: numbers with the usual operators.
func composerAdmits(constraint, version string) (fits, understood bool) {
	parts := strings.Split(strings.TrimLeft(version, "vV"), ".")
	if len(parts) > 3 || slices.ContainsFunc(parts, func(s string) bool { return strings.Trim(s, "0123456789") != "" || s == "" }) {
		return false, false
	}
	for len(parts) < 3 {
		parts = append(parts, "0")
	}
	version = strings.Join(parts, ".")
	for alternative := range strings.SplitSeq(strings.ReplaceAll(constraint, "||", "|"), "|") {
		alternative = strings.ReplaceAll(alternative, ",", " ")
		if strings.ContainsAny(alternative, "@#!") || strings.Contains(alternative, "dev") {
			return false, false
		}
		words := strings.Fields(alternative)
		for i, word := range words { // "~1.2" goes up to 2.0 here, and so does ^
			if rest, ok := strings.CutPrefix(word, "~"); ok && strings.Count(rest, ".") < 2 {
				words[i] = "^" + rest
				if strings.HasPrefix(strings.TrimLeft(rest, "vV"), "0.") {
					return false, false
				}
			}
			if digits := strings.TrimLeft(word, "vV"); digits != "" && strings.Trim(digits, "0123456789.") == "" {
				words[i] = "=" + digits
				for n := strings.Count(digits, "."); n < 2; n++ { // "1.2" is exactly 1.2.0 here
					words[i] += ".0"
				}
			}
		}
		in, ok := npmSatisfies(strings.Join(words, " "), version)
		if !ok {
			return false, false
		}
		fits = fits || in
	}
	return fits, true
}

// pinned gives what the manifest alone says.
func (c *composer) pinned() {
	m := c.m
	for i, d := range m.Declared {
		if j, ok := c.at[d.Name]; ok {
			m.Packages[j].Declared = append(m.Packages[j].Declared, i)
			m.Packages[j].Dev = false
			continue
		}
		p := Package{
			Name: d.Name, Key: d.Name, Path: d.Path, Line: d.Line, EndLine: d.EndLine,
			Direct: true, Dev: d.Group == "development", Declared: []int{i},
		}
		if exact := strings.TrimPrefix(d.Constraint, "="); strings.Count(exact, ".") >= 2 && strings.Trim(exact, "v0123456789.") == "" {
			p.Version = exact
		}
		c.at[d.Name] = len(m.Packages)
		m.Packages = append(m.Packages, p)
	}
}
