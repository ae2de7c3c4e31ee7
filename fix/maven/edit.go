package maven

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/backstitch/backstitch/fix"
)

// replace makes the edit of an element's text.
func (p *pom) replace(e *element, text string) fix.FileEdit {
	return fix.NewFileEdit(p.file, p.data, e.from, e.to, text)
}

// insert makes the edit that puts text at an offset.
func (p *pom) insert(at int, text string) fix.FileEdit {
	return fix.NewFileEdit(p.file, p.data, at, at, text)
}

// newline is the line ending of a file.
func (p *pom) newline() string {
	if at := bytes.IndexByte(p.data, '\n'); at > 0 && p.data[at-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// indent is what stands before an element on its line, "" unless that is space.
func (p *pom) indent(e *element) string {
	from := bytes.LastIndexByte(p.data[:e.start], '\n') + 1
	before := string(p.data[from:e.start])
	if strings.Trim(before, " \t") != "" {
		return ""
	}
	return before
}

// unit is one step of indentation.
func (p *pom) unit() string {
	if len(p.root.children) > 0 {
		if text := strings.TrimPrefix(p.indent(p.root.children[0]), p.indent(p.root)); text != "" {
			return text
		}
	}
	return "  "
}

// tree is an element to write: a name with a text, or with children.
type tree struct {
	name     string
	text     string
	children []tree
}

func (t tree) write(b *strings.Builder, indent, unit, newline string) {
	if len(t.children) == 0 {
		fmt.Fprintf(b, "%s<%s>%s</%s>", indent, t.name, t.text, t.name)
		return
	}
	fmt.Fprintf(b, "%s<%s>%s", indent, t.name, newline)
	for _, c := range t.children {
		c.write(b, indent+unit, unit, newline)
		b.WriteString(newline)
	}
	fmt.Fprintf(b, "%s</%s>", indent, t.name)
}

// appendTo makes the edit that puts an element behind the last child of another,
// laid out as what stands there.
func (p *pom) appendTo(e *element, t tree) fix.FileEdit {
	var b strings.Builder
	newline, unit := p.newline(), p.unit()
	if n := len(e.children); n > 0 {
		last := e.children[n-1]
		b.WriteString(newline)
		t.write(&b, p.indent(last), unit, newline)
		return p.insert(last.stop, b.String())
	}
	outer := p.indent(e)
	if e.open == e.stop { // <dependencies/>
		fmt.Fprintf(&b, "<%s>%s", e.name, newline)
		t.write(&b, outer+unit, unit, newline)
		fmt.Fprintf(&b, "%s%s</%s>", newline, outer, e.name)
		return fix.NewFileEdit(p.file, p.data, e.start, e.stop, b.String())
	}
	b.WriteString(newline)
	t.write(&b, outer+unit, unit, newline)
	if bytes.IndexByte(p.data[e.open:e.shut], '\n') < 0 {
		b.WriteString(newline + outer)
	}
	return p.insert(e.open, b.String())
}

// entry is a dependency to write.
func entry(c coordinates, version string) tree {
	group, artifact, _ := strings.Cut(c.name, ":")
	t := tree{name: "dependency", children: []tree{{name: "groupId", text: group}, {name: "artifactId", text: artifact}, {name: "version", text: version}}}
	if c.kind != "" && c.kind != "jar" {
		t.children = append(t.children, tree{name: "type", text: c.kind})
	}
	if c.classifier != "" {
		t.children = append(t.children, tree{name: "classifier", text: c.classifier})
	}
	return t
}

// manage makes the edit that adds an entry to dependencyManagement.
func (p *pom) manage(c coordinates, version string) fix.FileEdit {
	t := entry(c, version)
	section := p.root.child("dependencyManagement")
	if list := section.child("dependencies"); list != nil {
		return p.appendTo(list, t)
	}
	list := tree{name: "dependencies", children: []tree{t}}
	if section != nil {
		return p.appendTo(section, list)
	}
	block := tree{name: "dependencyManagement", children: []tree{list}}
	if after := p.root.child("dependencies"); after != nil {
		var b strings.Builder
		b.WriteString(p.newline())
		block.write(&b, p.indent(after), p.unit(), p.newline())
		return p.insert(after.stop, b.String())
	}
	return p.appendTo(p.root, block)
}

// exclude makes the edit that keeps an artifact out of a dependency.
func (p *pom) exclude(dependency *element, name string) fix.FileEdit {
	group, artifact, _ := strings.Cut(name, ":")
	t := tree{name: "exclusion", children: []tree{{name: "groupId", text: group}, {name: "artifactId", text: artifact}}}
	if list := dependency.child("exclusions"); list != nil {
		return p.appendTo(list, t)
	}
	return p.appendTo(dependency, tree{name: "exclusions", children: []tree{t}})
}

// state makes the edit that writes a version beside a dependency that has none,
// or in place of what it has.
func (p *pom) state(e *element, version string) (fix.FileEdit, bool) {
	if v := e.child("version"); v != nil {
		return p.replace(v, version), v.to > 0
	}
	after := e.child("artifactId")
	if after == nil {
		return fix.FileEdit{}, false
	}
	var b strings.Builder
	b.WriteString(p.newline())
	tree{name: "version", text: version}.write(&b, p.indent(after), p.unit(), p.newline())
	return p.insert(after.stop, b.String()), true
}
