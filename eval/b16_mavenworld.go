package main

import (
	"context"
	"encoding/xml"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
)

// universe is what a case says that exists: artifacts, their versions, and what
// each version requires. It is a fix.Registry and resolves as Maven does: the
// nearest request wins, managed versions of the project go before all others.
type universe struct {
	versions map[string][]string
	requires map[string][]mavenRequest // by name@version
}

// mavenRequest is one dependency as a version or a pom states it.
type mavenRequest struct {
	name, classifier, version, scope string
	optional                         bool
	exclusions                       []string
}

// readUniverse reads a schema: a name, below it its versions, below each what it
// requires as "attributes|name@version".
func readUniverse(text []byte) *universe {
	u := &universe{versions: map[string][]string{}, requires: map[string][]mavenRequest{}}
	_, schema, _ := strings.Cut(string(text), "schema: |\n")
	name, version := "", ""
	for line := range strings.Lines(schema) {
		line = strings.TrimRight(strings.TrimPrefix(line, "  "), "\r\n")
		word := strings.TrimSpace(line)
		switch {
		case word == "" || word[0] == '#':
		case word == line:
			name = word
		case !strings.Contains(word, "@"):
			version = word
			u.versions[name] = append(u.versions[name], version)
		default:
			attributes, what := "", word
			if at := strings.LastIndex(word, "|"); at >= 0 {
				attributes, what = word[:at], word[at+1:]
			}
			r := mavenRequest{}
			r.name, r.version, _ = strings.Cut(what, "@")
			words := strings.Fields(attributes)
			for i := 0; i < len(words); i++ {
				value := ""
				if words[i] != "Opt" && words[i] != "Test" && i+1 < len(words) {
					value = words[i+1]
				}
				switch words[i] {
				case "Opt":
					r.optional = true
				case "Test":
					r.scope = "test"
				case "Scope":
					r.scope = value
				case "MavenClassifier":
					r.classifier = value
				case "MavenExclusions":
					r.exclusions = strings.Split(value, ",")
				}
			}
			u.requires[name+"@"+version] = append(u.requires[name+"@"+version], r)
		}
	}
	return u
}

// Versions implements fix.Registry.
func (u *universe) Versions(_ context.Context, name string) ([]string, error) {
	return u.versions[name], nil
}

// Requirements implements fix.Registry.
func (u *universe) Requirements(_ context.Context, name, version string) (map[string]string, error) {
	requires := map[string]string{}
	for _, r := range u.requires[name+"@"+version] {
		if r.passesOn() && r.classifier == "" {
			requires[r.name] = r.version
		}
	}
	return requires, nil
}

// passesOn says whether who depends on the asking version gets this one too.
func (r *mavenRequest) passesOn() bool {
	return !r.optional && (r.scope == "" || r.scope == "compile" || r.scope == "runtime")
}

// mavenNode is an artifact of a resolution.
type mavenNode struct {
	name, classifier, version string
	parent                    int // index, -1 for the project
}

// resolve resolves the project pom.xml; forced versions go before all others.
func (u *universe) resolve(tree code.Files, forced map[string]string) ([]mavenNode, error) {
	project, err := readMavenProject(tree, "pom.xml")
	if err != nil {
		return nil, err
	}
	type ask struct {
		mavenRequest
		parent  int
		without []string
	}
	var queue []ask
	for _, r := range project.dependencies {
		queue = append(queue, ask{r, -1, r.exclusions})
	}
	var nodes []mavenNode
	seen := map[string]bool{}
	for len(queue) > 0 {
		a := queue[0]
		queue = queue[1:]
		key := a.name + ":" + a.classifier
		if seen[key] {
			continue
		}
		version := a.version
		if managed := project.managed[key]; managed != "" && (a.parent >= 0 || version == "") {
			version = managed
		}
		if to := forced[a.name]; to != "" && a.classifier == "" {
			version = to
		}
		if version, err = u.pick(a.name, version); err != nil {
			return nil, err
		}
		if version == "" || strings.Contains(version, "${") {
			continue
		}
		seen[key] = true
		nodes = append(nodes, mavenNode{a.name, a.classifier, version, a.parent})
		for _, r := range u.requires[a.name+"@"+version] {
			if r.passesOn() && !excluded(a.without, r.name) {
				queue = append(queue, ask{r, len(nodes) - 1, slices.Concat(a.without, r.exclusions)})
			}
		}
	}
	return nodes, nil
}

func excluded(list []string, name string) bool {
	group, _, _ := strings.Cut(name, ":")
	return slices.Contains(list, name) || slices.Contains(list, group+":*") || slices.Contains(list, "*:*")
}

// pick gives the version that a requirement leads to: the highest of a range.
func (u *universe) pick(name, text string) (string, error) {
	if !strings.ContainsAny(text, "[](") {
		return text, nil
	}
	best := ""
	for _, v := range u.versions[name] {
		inside, err := inMavenRange(text, v)
		if err != nil {
			return "", err
		}
		if !inside {
			continue
		}
		if best != "" {
			if order, err := advisory.Compare("Maven", v, best); err != nil || order < 0 {
				continue
			}
		}
		best = v
	}
	return best, nil
}

// inMavenRange says whether a version lies in one of the intervals.
func inMavenRange(text, version string) (bool, error) {
	for text = strings.TrimSpace(text); text != ""; {
		end := strings.IndexAny(text, "])")
		if end < 0 || text[0] != '[' && text[0] != '(' {
			return false, fmt.Errorf("%q: expected a range", text)
		}
		low, high, isRange := strings.Cut(text[1:end], ",")
		if !isRange {
			high = low
		}
		inside := true
		for _, bound := range []struct {
			text string
			sign int
			open bool
		}{{strings.TrimSpace(low), 1, text[0] == '('}, {strings.TrimSpace(high), -1, text[end] == ')'}} {
			if bound.text == "" {
				continue
			}
			order, err := advisory.Compare("Maven", version, bound.text)
			if err != nil {
				return false, err
			}
			inside = inside && (order == bound.sign || order == 0 && !bound.open)
		}
		if inside {
			return true, nil
		}
		text = strings.TrimLeft(text[end+1:], ", ")
	}
	return false, nil
}

// affecting gives the advisories that affect the resolved project.
func (u *universe) affecting(tree code.Files, index *advisory.Index) (map[string]bool, error) {
	return u.affectingWith(tree, index, nil)
}

func (u *universe) affectingWith(tree code.Files, index *advisory.Index, forced map[string]string) (map[string]bool, error) {
	nodes, err := u.resolve(tree, forced)
	if err != nil {
		return nil, err
	}
	ids := map[string]bool{}
	for _, n := range nodes {
		found, err := index.Affecting(fact.Package{Ecosystem: "Maven", Name: n.name, Version: n.version})
		if err != nil {
			return nil, err
		}
		for _, a := range found {
			ids[a.ID] = true
		}
	}
	return ids, nil
}

// module reads the project and adds to it what the resolution brings, as a
// report of the built project would. affected are the packages that an advisory
// affects, nearest first.
func (u *universe) module(ctx context.Context, tree code.Files, index *advisory.Index) (m *lockfile.Module, modules []lockfile.Module, affected []int, err error) {
	if modules, err = lockfile.Read(ctx, tree); err != nil {
		return nil, nil, nil, err
	}
	at := slices.IndexFunc(modules, func(m lockfile.Module) bool { return m.Dir == "" && m.Tool == "maven" })
	if at < 0 {
		return nil, nil, nil, fmt.Errorf("pom.xml: no module was read")
	}
	m = &modules[at]
	nodes, err := u.resolve(tree, nil)
	if err != nil {
		return nil, nil, nil, err
	}
	place := make([]int, len(nodes))
	for i, n := range nodes {
		key := n.name
		if n.classifier != "" {
			key += ":jar:" + n.classifier
		}
		place[i] = slices.IndexFunc(m.Packages, func(p lockfile.Package) bool { return p.Key == key })
		if place[i] < 0 {
			place[i] = len(m.Packages)
			m.Packages = append(m.Packages, lockfile.Package{Name: n.name, Key: key, Path: "pom.xml", Direct: n.parent < 0, EdgesKnown: true})
		}
		p := &m.Packages[place[i]]
		p.Version, p.EdgesKnown = n.version, true
		if n.parent >= 0 {
			parent := &m.Packages[place[n.parent]]
			parent.Requires = append(parent.Requires, place[i])
		}
	}
	for _, i := range place {
		found, err := index.Affecting(m.Fact(i))
		if err != nil {
			return nil, nil, nil, err
		}
		if len(found) > 0 {
			affected = append(affected, i)
		}
	}
	return m, modules, affected, nil
}

// mavenProject is a pom with its parents as far as the tree holds them.
type mavenProject struct {
	dependencies []mavenRequest
	managed      map[string]string // name:classifier to version
}

type mavenPOM struct {
	GroupID    string `xml:"groupId"`
	ArtifactID string `xml:"artifactId"`
	Version    string `xml:"version"`
	Packaging  string `xml:"packaging"`
	Parent     *struct {
		GroupID      string  `xml:"groupId"`
		ArtifactID   string  `xml:"artifactId"`
		Version      string  `xml:"version"`
		RelativePath *string `xml:"relativePath"`
	} `xml:"parent"`
	Properties struct {
		List []struct {
			XMLName xml.Name
			Value   string `xml:",chardata"`
		} `xml:",any"`
	} `xml:"properties"`
	Dependencies []mavenDependency `xml:"dependencies>dependency"`
	Managed      []mavenDependency `xml:"dependencyManagement>dependencies>dependency"`
}

type mavenDependency struct {
	GroupID    string `xml:"groupId"`
	ArtifactID string `xml:"artifactId"`
	Version    string `xml:"version"`
	Scope      string `xml:"scope"`
	Classifier string `xml:"classifier"`
	Exclusions []struct {
		GroupID    string `xml:"groupId"`
		ArtifactID string `xml:"artifactId"`
	} `xml:"exclusions>exclusion"`
}

func readMavenProject(tree code.Files, file string) (*mavenProject, error) {
	var chain []mavenPOM
	properties := map[string]string{}
	define := func(name, value string) {
		if _, ok := properties[name]; !ok && value != "" {
			properties[name] = strings.TrimSpace(value)
		}
	}
	for file != "" && len(chain) < 20 {
		var p mavenPOM
		if err := xml.Unmarshal(tree[file], &p); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		for _, e := range p.Properties.List {
			define(e.XMLName.Local, e.Value)
		}
		define("project.version", p.Version)
		define("project.groupId", p.GroupID)
		define("project.artifactId", p.ArtifactID)
		chain = append(chain, p)
		parent := ""
		if p.Parent != nil {
			define("project.version", p.Parent.Version)
			define("project.groupId", p.Parent.GroupID)
			relative := "../pom.xml"
			if p.Parent.RelativePath != nil {
				relative = strings.TrimSpace(*p.Parent.RelativePath)
			}
			for _, name := range []string{path.Join(path.Dir(file), relative), path.Join(path.Dir(file), relative, "pom.xml")} {
				if _, ok := tree[name]; ok && relative != "" {
					parent = name
				}
			}
		}
		file = parent
	}
	expand := func(text string) string {
		for range 20 {
			start := strings.LastIndex(text, "${")
			if start < 0 {
				break
			}
			end := strings.Index(text[start:], "}")
			if end < 0 {
				break
			}
			value, ok := properties[text[start+2:start+end]]
			if !ok {
				break
			}
			text = text[:start] + value + text[start+end+1:]
		}
		return strings.TrimSpace(text)
	}
	project := &mavenProject{managed: map[string]string{}}
	seen := map[string]bool{}
	if chain[0].Packaging == "pom" { // what a parent manages is what its children get
		chain[0].Dependencies = append(chain[0].Dependencies, chain[0].Managed...)
	}
	for _, p := range chain {
		for _, d := range p.Managed {
			key := expand(d.GroupID) + ":" + expand(d.ArtifactID) + ":" + expand(d.Classifier)
			if _, ok := project.managed[key]; !ok && d.Scope != "import" {
				project.managed[key] = expand(d.Version)
			}
		}
		for _, d := range p.Dependencies {
			r := mavenRequest{name: expand(d.GroupID) + ":" + expand(d.ArtifactID), classifier: expand(d.Classifier), version: expand(d.Version), scope: d.Scope}
			for _, e := range d.Exclusions {
				r.exclusions = append(r.exclusions, expand(e.GroupID)+":"+expand(e.ArtifactID))
			}
			if key := r.name + ":" + r.classifier; !seen[key] && d.Scope != "import" {
				seen[key] = true
				project.dependencies = append(project.dependencies, r)
			}
		}
	}
	return project, nil
}
