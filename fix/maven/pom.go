package maven

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
)

// maxParents bounds a chain of parents or properties, and how often properties
// are put into one value.
const maxParents = 50

// pom is one project file.
type pom struct {
	file   string
	data   []byte
	root   *element
	parent *pom // in the repository, nil else
	// outside is the <parent> that is not in the repository, nil else.
	outside *element
}

func parsePOM(file string, data []byte) (*pom, error) {
	root, err := parseXML(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if root.name != "project" {
		return nil, fmt.Errorf("%s:%d: expected <project>, found <%s>", file, root.line, root.name)
	}
	return &pom{file: file, data: data, root: root}, nil
}

// own gives groupId or version, which a project may have from its parent.
func (p *pom) own(name string) string {
	if text := p.root.value(name); text != "" {
		return text
	}
	return p.root.child("parent").value(name)
}

// parts are the project itself and its profiles.
func (p *pom) parts() []*element {
	return append([]*element{p.root}, p.root.at("profiles").all("profile")...)
}

// project is what a repository holds of poms.
type project struct {
	poms map[string]*pom
	here map[string][]*pom // by group:artifact
}

// load reads poms of a tree, those that cannot be read left out, and joins them
// with their parents.
func load(ctx context.Context, tree code.Tree, files []string, parse func(string, []byte) (*pom, error)) (*project, error) {
	p := &project{poms: map[string]*pom{}, here: map[string][]*pom{}}
	for _, file := range files {
		if _, err := p.read(ctx, tree, file, parse); err != nil {
			return nil, err
		}
	}
	for _, file := range files {
		for at, n := p.poms[file], 0; at != nil && at.parent == nil && at.outside == nil && n < maxParents; at, n = at.parent, n+1 {
			if err := p.link(ctx, tree, at, parse); err != nil {
				return nil, err
			}
		}
	}
	return p, nil
}

// read gives the pom of a file, nil when there is none that can be read.
func (p *project) read(ctx context.Context, tree code.Tree, file string, parse func(string, []byte) (*pom, error)) (*pom, error) {
	if found, known := p.poms[file]; known {
		return found, nil
	}
	data, err := tree.Read(ctx, file)
	if err != nil {
		if ctx.Err() == nil && (errors.Is(err, fs.ErrNotExist) || errors.Is(err, code.ErrTooLarge)) {
			return nil, nil
		}
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	found, err := parse(file, data)
	if err != nil {
		found = nil // the reader of manifests has told of it
	}
	p.poms[file] = found
	if found != nil {
		key := found.own("groupId") + ":" + found.root.value("artifactId")
		p.here[key] = append(p.here[key], found)
	}
	return found, nil
}

// link finds a parent: by its relative path, as Maven does, else by its
// coordinates.
func (p *project) link(ctx context.Context, tree code.Tree, at *pom, parse func(string, []byte) (*pom, error)) error {
	declared := at.root.child("parent")
	if declared == nil {
		return nil
	}
	key := declared.value("groupId") + ":" + declared.value("artifactId")
	relative := "../pom.xml"
	if e := declared.child("relativePath"); e != nil {
		relative = strings.ReplaceAll(e.text, `\`, "/")
	}
	if relative != "" {
		file := path.Join(path.Dir(at.file), relative)
		names := []string{path.Join(file, "pom.xml")}
		if path.Ext(file) != "" {
			names = []string{file, names[0]}
		}
		for _, name := range names {
			if strings.HasPrefix(name, "../") {
				continue
			}
			found, err := p.read(ctx, tree, name, parse)
			if err != nil {
				return err
			}
			if found != nil && found != at && slices.Contains(p.here[key], found) {
				at.parent = found
				return nil
			}
		}
	}
	for _, found := range p.here[key] {
		if found != at && found.own("version") == declared.value("version") {
			at.parent = found
			return nil
		}
	}
	at.outside = declared
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

// property gives a property as the project sees it, with the file it is in. It
// is nil for what is not in the repository. self says that it is a coordinate
// of the project itself.
func (p *pom) property(name string) (found *element, in *pom, self bool) {
	chain := p.chain()
	for _, active := range []bool{true, false} {
		for _, at := range chain {
			for _, part := range at.parts() {
				on := part == at.root || strings.EqualFold(part.child("activation").value("activeByDefault"), "true")
				if e := part.at("properties", name); on == active && e != nil {
					found, in = e, at // the last one counts
				}
			}
			if found != nil {
				return found, in, false
			}
		}
		if short := strings.TrimPrefix(strings.TrimPrefix(name, "project."), "pom."); active {
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
					return e, at, true
				}
			}
		}
	}
	return nil, nil, false
}

// literal is the element whose text decides a value.
type literal struct {
	at       *element
	in       *pom
	property string // the property that it is, "" for none
}

// decide follows a value that is one property and nothing else to its literal,
// and puts properties into what is there. ok is false when something is not in
// the repository. edit is false when no single literal decides: the text is put
// together, or is the project's own version.
func (p *pom) decide(e *element, in *pom) (lit literal, text string, edit, ok bool) {
	lit = literal{at: e, in: in}
	edit = true
	for range maxParents {
		name, whole := wholeProperty(lit.at.text)
		if !whole {
			break
		}
		found, where, self := p.property(name)
		if found == nil {
			return lit, lit.at.text, false, false
		}
		lit = literal{at: found, in: where, property: name}
		edit = edit && !self
	}
	text, ok = p.interpolate(lit.at.text)
	return lit, text, edit && text == lit.at.text && lit.at.to > 0, ok
}

// wholeProperty gives the name of the property that a text consists of.
func wholeProperty(text string) (string, bool) {
	name, ok := strings.CutPrefix(text, "${")
	if !ok || !strings.HasSuffix(name, "}") || strings.Contains(name, "${") {
		return "", false
	}
	return strings.TrimSpace(strings.TrimSuffix(name, "}")), true
}

// interpolate puts properties into a text; ok is false when one is not known.
func (p *pom) interpolate(text string) (result string, ok bool) {
	for range maxParents {
		start := strings.LastIndex(text, "${")
		if start < 0 {
			return text, true
		}
		length := strings.IndexByte(text[start:], '}')
		if length < 0 {
			return text, true
		}
		found, _, _ := p.property(strings.TrimSpace(text[start+2 : start+length]))
		if found == nil || len(text)+len(found.text) > maxText {
			return text, false
		}
		text = text[:start] + found.text + text[start+length+1:]
	}
	return text, false
}

func (p *pom) expand(text string) string {
	result, _ := p.interpolate(text)
	return result
}

// coordinates are what tells artifacts apart.
type coordinates struct {
	name             string // group:artifact
	kind, classifier string
}

// coordinates of a dependency, a plugin or a parent.
func (p *pom) coordinates(e *element) coordinates {
	group := p.expand(e.value("groupId"))
	if group == "" && e.name == "plugin" {
		group = "org.apache.maven.plugins"
	}
	c := coordinates{name: group + ":" + p.expand(e.value("artifactId")), kind: p.expand(e.value("type")), classifier: p.expand(e.value("classifier"))}
	if c.kind == "" {
		c.kind = "jar"
	}
	return c
}

// Roles of a place that states a version.
const (
	roleDependency = "dependency"
	roleManaged    = "managed" // an entry of dependencyManagement
	roleBill       = "bill"    // an imported bill of materials
	roleParent     = "parent"
	rolePlugin     = "plugin" // a plugin, an extension, or a dependency of one
)

// place is an element that may state a version.
type place struct {
	at   *element
	in   *pom
	role string
}

// places lists the places of one pom, in file order by kind.
func (p *pom) places() []place {
	var all []place
	add := func(role string, elements []*element) {
		for _, e := range elements {
			all = append(all, place{e, p, role})
		}
	}
	if parent := p.root.child("parent"); parent != nil {
		add(roleParent, []*element{parent})
	}
	for _, part := range p.parts() {
		add(roleDependency, part.at("dependencies").all("dependency"))
		for _, e := range part.at("dependencyManagement", "dependencies").all("dependency") {
			if e.value("scope") == "import" {
				add(roleBill, []*element{e})
			} else {
				add(roleManaged, []*element{e})
			}
		}
		for _, list := range []*element{part.at("build", "plugins"), part.at("build", "pluginManagement", "plugins")} {
			for _, e := range list.all("plugin") {
				add(rolePlugin, append([]*element{e}, e.child("dependencies").all("dependency")...))
			}
		}
		add(rolePlugin, part.at("build", "extensions").all("extension"))
	}
	return all
}
