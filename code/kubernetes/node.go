// Package kubernetes reads what a repository says about Kubernetes objects:
// manifests, Kustomize overlays and Helm charts, every value with the file and
// line that decides it; leads live objects back to those lines; and joins
// workloads with the folders their images are built from.
//
// Nothing of a repository is run. Charts are rendered by Helm's own engine in a
// child process with a deadline and a memory limit (see Renderer); Kustomize is
// read by this package, restricted to the transforms it names, since origins of
// fields are its purpose. What cannot be read is a Problem, and the rest goes on.
package kubernetes

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Limits of one file.
const (
	maxDepth     = 512
	maxNodes     = 1_000_000
	maxAliases   = 100_000 // nodes that aliases may repeat
	maxDocuments = 20_000
)

// Place is a line range of a file of the repository; 0 is unknown.
type Place struct {
	Path    string `json:"path"`
	Line    int    `json:"line,omitempty"`
	EndLine int    `json:"end_line,omitempty"`
}

// Problem is something that could not be read, or is not followed.
type Problem struct {
	Place Place  `json:"place"`
	Text  string `json:"text"`
}

func (p Problem) String() string {
	if p.Place.Line == 0 {
		return fmt.Sprintf("%s: %s", p.Place.Path, p.Text)
	}
	return fmt.Sprintf("%s:%d: %s", p.Place.Path, p.Place.Line, p.Text)
}

// Shape is what a Node is.
type Shape int8

// Shapes.
const (
	Scalar Shape = iota
	Map
	List
)

// Node is a YAML value that knows where it was written, and what it replaced.
type Node struct {
	Shape  Shape
	Tag    string // !!str, !!int, !!bool, !!null ... of a scalar
	Text   string // of a scalar, as its value
	Fields []Field
	Items  []*Node
	Place  Place
	By     string // what wrote it: "manifest", "patch", "images" ...
	Over   *Node  // what it replaced, nil for nothing
	block  bool   // a literal or folded scalar: its text starts on the next line
	column int    // 1-based, in characters of the text that was read; 0 for what was made
}

// Field is one entry of a map.
type Field struct {
	Key   string
	Line  int
	Value *Node
}

// Get gives the value of a key, nil when there is none or n is no map.
func (n *Node) Get(keys ...string) *Node {
	for _, key := range keys {
		if n == nil || n.Shape != Map {
			return nil
		}
		var next *Node
		for i := range n.Fields {
			if n.Fields[i].Key == key {
				next = n.Fields[i].Value
			}
		}
		n = next
	}
	return n
}

// String gives the text of a scalar at the keys, "" when there is none.
func (n *Node) String(keys ...string) string {
	if v := n.Get(keys...); v != nil && v.Shape == Scalar && v.Tag != "!!null" {
		return v.Text
	}
	return ""
}

// List gives the items of the list at the keys.
func (n *Node) List(keys ...string) []*Node {
	if v := n.Get(keys...); v != nil && v.Shape == List {
		return v.Items
	}
	return nil
}

// Entries gives the fields of the map at the keys.
func (n *Node) Entries(keys ...string) []Field {
	if v := n.Get(keys...); v != nil && v.Shape == Map {
		return v.Fields
	}
	return nil
}

func (n *Node) set(key string, value *Node) {
	for i := range n.Fields {
		if n.Fields[i].Key == key {
			n.Fields[i].Value = value
			return
		}
	}
	n.Fields = append(n.Fields, Field{key, value.Place.Line, value})
}

func (n *Node) remove(key string) {
	for i := range n.Fields {
		if n.Fields[i].Key == key {
			n.Fields = append(n.Fields[:i:i], n.Fields[i+1:]...)
			return
		}
	}
}

// clone copies a tree; the history of its values is shared.
func (n *Node) clone() *Node {
	if n == nil {
		return nil
	}
	c := *n
	c.Fields = make([]Field, len(n.Fields))
	for i, f := range n.Fields {
		c.Fields[i] = Field{f.Key, f.Line, f.Value.clone()}
	}
	c.Items = make([]*Node, len(n.Items))
	for i, item := range n.Items {
		c.Items[i] = item.clone()
	}
	return &c
}

// Value gives the tree as plain values: map[string]any, []any, string, bool, int,
// float64 or nil.
func (n *Node) Value() any {
	switch {
	case n == nil:
		return nil
	case n.Shape == Map:
		m := make(map[string]any, len(n.Fields))
		for _, f := range n.Fields {
			m[f.Key] = f.Value.Value()
		}
		return m
	case n.Shape == List:
		list := make([]any, len(n.Items))
		for i, item := range n.Items {
			list[i] = item.Value()
		}
		return list
	}
	switch n.Tag {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Text, "true") || strings.EqualFold(n.Text, "yes") || strings.EqualFold(n.Text, "on")
	case "!!int":
		if v, err := strconv.ParseInt(strings.ReplaceAll(n.Text, "_", ""), 0, 64); err == nil {
			return v
		}
	case "!!float":
		if v, err := strconv.ParseFloat(n.Text, 64); err == nil && v-v == 0 {
			return v
		}
	}
	return n.Text
}

// same says whether two trees hold the same values.
func (n *Node) same(o *Node) bool {
	if n == nil || o == nil {
		return n == o
	}
	if n.Shape != o.Shape || n.Text != o.Text || len(n.Items) != len(o.Items) || len(n.Fields) != len(o.Fields) {
		return false
	}
	for i := range n.Items {
		if !n.Items[i].same(o.Items[i]) {
			return false
		}
	}
	for _, f := range n.Fields {
		other := o.Get(f.Key)
		if other == nil || !f.Value.same(other) {
			return false
		}
	}
	return true
}

func text(value, by string, at Place) *Node {
	return &Node{Tag: "!!str", Text: value, By: by, Place: at}
}

var errBudget = errors.New("too many values, or aliases that repeat too much")

type decoder struct {
	path    string
	offset  int // lines before the document
	nodes   int
	aliases int
	by      string
}

// Documents reads the YAML or JSON documents of a file. A document that cannot
// be read is a problem; the others are returned.
func Documents(path string, data []byte) ([]*Node, []Problem) {
	return documents(path, data, 0, "manifest")
}

func documents(path string, data []byte, offset int, by string) ([]*Node, []Problem) {
	var found []*Node
	var problems []Problem
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	if bytes.ContainsRune(data, 0) {
		return nil, []Problem{{Place{Path: path}, "expected YAML text, found a NUL byte"}}
	}
	if head := bytes.TrimSpace(data); len(head) > 0 && (head[0] == '{' || head[0] == '[') {
		data = tabsOut(data)
	}
	d := decoder{path: path, by: by}
	count := 0
	for len(data) > 0 {
		var part []byte
		part, data = cutDocument(data)
		lines := bytes.Count(part, []byte("\n"))
		d.offset, offset = offset, offset+lines
		if !hasContent(part) {
			continue
		}
		if count++; count > maxDocuments {
			problems = append(problems, Problem{Place{Path: path, Line: d.offset + 1}, fmt.Sprintf("more than %d documents; the rest is left out", maxDocuments)})
			break
		}
		var root yaml.Node
		err := yaml.NewDecoder(bytes.NewReader(part)).Decode(&root)
		if errors.Is(err, io.EOF) {
			continue
		}
		if err != nil {
			problems = append(problems, Problem{Place{Path: path, Line: d.offset + 1}, "not YAML: " + err.Error()})
			continue
		}
		node, err := d.node(&root, 0, map[*yaml.Node]bool{}, false)
		if err != nil {
			problems = append(problems, Problem{Place{Path: path, Line: d.offset + 1}, err.Error()})
			if errors.Is(err, errBudget) {
				break
			}
			continue
		}
		if node != nil && !(node.Shape == Scalar && node.Tag == "!!null") {
			found = append(found, node)
		}
	}
	return found, problems
}

// cutDocument cuts a stream before the next line that starts a document, which
// no block of a document can contain.
func cutDocument(data []byte) (part, rest []byte) {
	for at := 0; ; {
		next := bytes.Index(data[at:], []byte("\n---"))
		if next < 0 {
			return data, nil
		}
		at += next + 1
		if end := at + 3; end == len(data) || strings.ContainsRune(" \t\r\n", rune(data[end])) {
			return data[:at], data[at:]
		}
	}
}

func hasContent(part []byte) bool {
	for line := range bytes.Lines(part) {
		line = bytes.TrimSpace(bytes.TrimPrefix(line, []byte("---")))
		if len(line) > 0 && line[0] != '#' {
			return true
		}
	}
	return false
}

// tabsOut makes the indentation of JSON readable as YAML, line for line.
func tabsOut(data []byte) []byte {
	var out []byte
	for line := range bytes.Lines(data) {
		rest := bytes.TrimLeft(line, " \t")
		for range len(line) - len(rest) {
			out = append(out, ' ')
		}
		out = append(out, rest...)
	}
	return out
}

func (d *decoder) node(y *yaml.Node, depth int, open map[*yaml.Node]bool, alias bool) (*Node, error) {
	if d.nodes++; alias {
		d.aliases++
	}
	if d.nodes > maxNodes || d.aliases > maxAliases {
		return nil, errBudget
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("nested deeper than %d", maxDepth)
	}
	n := &Node{Place: Place{d.path, y.Line + d.offset, y.Line + d.offset}, By: d.by, column: y.Column}
	switch y.Kind {
	case yaml.DocumentNode:
		if len(y.Content) == 0 {
			return nil, nil
		}
		return d.node(y.Content[0], depth, open, alias)
	case yaml.AliasNode:
		if open[y.Alias] {
			return nil, errors.New("an alias inside its own anchor")
		}
		open[y.Alias] = true
		defer delete(open, y.Alias)
		return d.node(y.Alias, depth+1, open, true)
	case yaml.ScalarNode:
		n.Tag, n.Text = y.ShortTag(), y.Value
		n.block = y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0
		n.Place.EndLine += strings.Count(strings.TrimSuffix(y.Value, "\n"), "\n")
		if n.block {
			n.Place.EndLine++
		}
	case yaml.SequenceNode:
		n.Shape = List
		for _, item := range y.Content {
			child, err := d.node(item, depth+1, open, alias)
			if err != nil {
				return nil, err
			}
			n.Items = append(n.Items, child)
			n.Place.EndLine = max(n.Place.EndLine, child.Place.EndLine)
		}
	case yaml.MappingNode:
		n.Shape = Map
		seen := make(map[string]int, len(y.Content)/2)
		var merges []*Node
		for i := 0; i+1 < len(y.Content); i += 2 {
			key := y.Content[i]
			child, err := d.node(y.Content[i+1], depth+1, open, alias)
			if err != nil {
				return nil, err
			}
			n.Place.EndLine = max(n.Place.EndLine, child.Place.EndLine)
			if key.Kind == yaml.ScalarNode && key.Tag == "!!merge" {
				merges = append(merges, child)
				continue
			}
			name := key.Value
			if key.Kind == yaml.AliasNode && key.Alias != nil {
				name = key.Alias.Value
			}
			if at, twice := seen[name]; twice {
				n.Fields[at] = Field{name, key.Line + d.offset, child}
				continue
			}
			seen[name] = len(n.Fields)
			n.Fields = append(n.Fields, Field{name, key.Line + d.offset, child})
		}
		for _, merge := range merges {
			from := []*Node{merge}
			if merge.Shape == List {
				from = merge.Items
			}
			for _, m := range from {
				for _, f := range m.Fields {
					if _, has := seen[f.Key]; !has {
						seen[f.Key] = len(n.Fields)
						n.Fields = append(n.Fields, f)
					}
				}
			}
		}
	default:
		return nil, errors.New("empty value")
	}
	return n, nil
}
