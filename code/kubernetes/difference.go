package kubernetes

import (
	"bytes"
	"fmt"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Difference is one value that differs between two trees; From or To is nil where
// there is none.
type Difference struct {
	Path     []Segment
	From, To *Node
}

// String writes the difference on one line.
func (d Difference) String() string {
	show := func(n *Node) string {
		if n == nil {
			return "(none)"
		}
		return short(inlineText(n, true), 200)
	}
	return fmt.Sprintf("%s: %s -> %s", pathText(d.Path), show(d.From), show(d.To))
}

// maxDifferences bounds what Differences lists.
const maxDifferences = 10_000

// Differences lists the values that differ between two trees, the outermost of those
// that only one has. Lists are compared item by item.
func Differences(a, b *Node) []Difference {
	var all []Difference
	var walk func(a, b *Node, at []Segment, depth int)
	walk = func(a, b *Node, at []Segment, depth int) {
		if len(all) >= maxDifferences || depth > maxDepth || a == nil && b == nil {
			return
		}
		below := func(s Segment) []Segment { return append(at[:len(at):len(at)], s) }
		switch {
		case a == nil || b == nil || a.Shape != b.Shape || a.Shape == Scalar && (a.Text != b.Text || a.Tag != b.Tag):
			all = append(all, Difference{at, a, b})
		case a.Shape == Map:
			for _, f := range a.Fields {
				walk(f.Value, b.Get(f.Key), below(Segment{Key: f.Key, Index: -1}), depth+1)
			}
			for _, f := range b.Fields {
				if a.Get(f.Key) == nil {
					walk(nil, f.Value, below(Segment{Key: f.Key, Index: -1}), depth+1)
				}
			}
		case a.Shape == List:
			for i := range max(len(a.Items), len(b.Items)) {
				var x, y *Node
				if i < len(a.Items) {
					x = a.Items[i]
				}
				if i < len(b.Items) {
					y = b.Items[i]
				}
				walk(x, y, below(Segment{Index: i}), depth+1)
			}
		}
	}
	walk(a, b, nil, 0)
	return all
}

// pathText writes a path as ParsePath reads it.
func pathText(path []Segment) string {
	var out strings.Builder
	for _, s := range path {
		switch {
		case s.Where != "":
			fmt.Fprintf(&out, "[%s=%s]", s.Where, s.Is)
		case s.Key == "":
			fmt.Fprintf(&out, "[%d]", s.Index)
		case strings.ContainsAny(s.Key, ".[]\"'") || s.Key == "":
			fmt.Fprintf(&out, "[%q]", s.Key)
		default:
			if out.Len() > 0 {
				out.WriteByte('.')
			}
			out.WriteString(s.Key)
		}
	}
	return out.String()
}

// PathText writes a path as ParsePath reads it.
func PathText(path []Segment) string { return pathText(path) }

// Locate finds the spot in a file at which a value stands that was read from it. It is
// false for one that was made of others, and where the text is another one by now.
func Locate(data []byte, n *Node) (Spot, bool) {
	if n == nil || n.column == 0 || n.Place.Line == 0 {
		return Spot{}, false
	}
	return locate(data, n.Place.Line, n.column, n.Shape, 0)
}

func locate(data []byte, line, column int, shape Shape, nesting int) (Spot, bool) {
	if bytes.ContainsRune(data, 0) || nesting > 2 {
		return Spot{}, false
	}
	lines := 0
	for offset := 0; offset < len(data); {
		part, _ := cutDocument(data[offset:])
		height := bytes.Count(part, []byte("\n"))
		if line > lines+height+1 || !hasContent(part) {
			lines, offset = lines+height, offset+len(part)
			continue
		}
		e, err := newEdition(part)
		if err == nil {
			if path, ok := e.find(e.root, line-lines, column, shape, nil, 0); ok {
				return Spot{Offset: offset, Path: path}, true
			}
			if spot, ok := e.findInside(e.root, line-lines, column, shape, nil, nesting); ok {
				spot.Offset = offset
				return spot, true
			}
		}
		lines, offset = lines+height, offset+len(part)
	}
	return Spot{}, false
}

func shapeOf(y *yaml.Node) Shape {
	switch y.Kind {
	case yaml.MappingNode:
		return Map
	case yaml.SequenceNode:
		return List
	}
	return Scalar
}

// below calls each with the children of a node and their segments until it says true.
func below(y *yaml.Node, each func(child *yaml.Node, s Segment) bool) bool {
	switch y.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(y.Content); i += 2 {
			name := y.Content[i].Value
			if y.Content[i].Kind == yaml.AliasNode {
				name = y.Content[i].Alias.Value
			}
			if each(y.Content[i+1], Segment{Key: name, Index: -1}) {
				return true
			}
		}
	case yaml.SequenceNode:
		for i, child := range y.Content {
			if each(child, Segment{Index: i}) {
				return true
			}
		}
	}
	return false
}

func (e *edition) find(y *yaml.Node, line, column int, shape Shape, at []Segment, depth int) (path []Segment, ok bool) {
	if depth > maxDepth || y.Kind == yaml.AliasNode || y.Line > line {
		return nil, false
	}
	if y.Line == line && y.Column == column && shapeOf(y) == shape {
		return at, true
	}
	below(y, func(child *yaml.Node, s Segment) bool {
		path, ok = e.find(child, line, column, shape, append(at[:len(at):len(at)], s), depth+1)
		return ok
	})
	return path, ok
}

// findInside looks in the texts of literal blocks.
func (e *edition) findInside(y *yaml.Node, line, column int, shape Shape, at []Segment, nesting int) (spot Spot, ok bool) {
	if len(at) > maxDepth || y.Line > line || y.Kind == yaml.AliasNode {
		return Spot{}, false
	}
	if y.Kind == yaml.ScalarNode && y.Style&yaml.LiteralStyle != 0 {
		first, last := e.block(e.start(y))
		if first >= last {
			return Spot{}, false
		}
		_, text := e.dedent(first, last)
		inside, found := locate([]byte(text), line-y.Line, column, shape, nesting+1)
		if !found {
			return Spot{}, false
		}
		return Spot{Path: at, Inside: &inside}, true
	}
	below(y, func(child *yaml.Node, s Segment) bool {
		spot, ok = e.findInside(child, line, column, shape, append(at[:len(at):len(at)], s), nesting)
		return ok
	})
	return spot, ok
}
