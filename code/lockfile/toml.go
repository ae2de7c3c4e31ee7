package lockfile

import (
	"errors"
	"fmt"
	"sort"

	"github.com/pelletier/go-toml/v2/unstable"
)

// parseTOML reads a document into nodes with their lines: tables are objects,
// arrays of tables are arrays of objects. A table ends at the line of its last
// value. The parser refuses values nested deeper than 10,000, so that nothing
// here overflows the stack. Errors are *lineError.
func parseTOML(data []byte) (*node, error) {
	p := &tomlParser{newlines: []int{}}
	for i, c := range data {
		if c == '\n' {
			p.newlines = append(p.newlines, i)
		}
	}
	p.Reset(data)
	root := p.new(nodeObject, 1)
	trail := []*node{root}
	for p.NextExpression() {
		e := p.Expression()
		switch e.Kind {
		case unstable.Table, unstable.ArrayTable:
			var err error
			if trail, err = p.table(root, e); err != nil {
				return nil, err
			}
		case unstable.KeyValue:
			end, err := p.assign(trail[len(trail)-1], e, 0)
			if err != nil {
				return nil, err
			}
			for _, n := range trail {
				n.end = max(n.end, end)
			}
		}
		if p.count > maxNodes {
			return nil, &lineError{trail[len(trail)-1].line, fmt.Sprintf("has more than %d values", maxNodes)}
		}
	}
	if err := p.Error(); err != nil {
		var bad *unstable.ParserError
		if errors.As(err, &bad) {
			offset := min(max(0, cap(data)-cap(bad.Highlight)), len(data))
			return nil, &lineError{p.lineAt(offset), "is no TOML: " + bad.Message}
		}
		return nil, &lineError{0, "is no TOML: " + err.Error()}
	}
	return root, nil
}

type tomlParser struct {
	unstable.Parser
	nodes
	newlines []int
}

func (p *tomlParser) lineAt(offset int) int {
	return sort.SearchInts(p.newlines, offset) + 1
}

func (p *tomlParser) lines(n *unstable.Node) (first, last int) {
	if n.Raw.Length == 0 {
		return 0, 0
	}
	return p.lineAt(int(n.Raw.Offset)), p.lineAt(int(n.Raw.Offset + n.Raw.Length - 1))
}

// table finds or makes the table that a header names and gives the nodes from
// the root to it.
func (p *tomlParser) table(root *node, e *unstable.Node) ([]*node, error) {
	trail := []*node{root}
	at := root
	keys := e.Key()
	for keys.Next() {
		k := keys.Node()
		line, _ := p.lines(k)
		next := at.get(string(k.Data))
		last := keys.IsLast()
		switch {
		case next == nil && last && e.Kind == unstable.ArrayTable:
			next = p.new(nodeArray, line)
			p.put(at, string(k.Data), line, next)
		case next == nil:
			next = p.new(nodeObject, line)
			p.put(at, string(k.Data), line, next)
		}
		if next.kind == nodeArray {
			if last && e.Kind == unstable.ArrayTable {
				next.items = append(next.items, p.new(nodeObject, line))
			}
			trail = append(trail, next)
			if len(next.items) == 0 {
				return nil, &lineError{line, fmt.Sprintf("is no TOML: %q is no table", k.Data)}
			}
			next = next.items[len(next.items)-1]
		}
		if next.kind != nodeObject {
			return nil, &lineError{line, fmt.Sprintf("is no TOML: %q is no table", k.Data)}
		}
		if last {
			if len(next.members) == 0 {
				next.line = line
			}
			next.end = max(next.end, line)
		}
		trail = append(trail, next)
		at = next
		if len(trail) > maxDepth {
			return nil, &lineError{line, fmt.Sprintf("is nested deeper than %d", maxDepth)}
		}
	}
	return trail, nil
}

func (p *tomlParser) put(at *node, key string, line int, value *node) {
	at.members = append(at.members, member{key, line, value})
	if at.index != nil {
		at.index[key] = len(at.members) - 1
	}
}

// assign puts a key and its value under a table and gives the value's last line.
func (p *tomlParser) assign(at *node, e *unstable.Node, depth int) (int, error) {
	keys := e.Key()
	line := at.line
	for keys.Next() {
		k := keys.Node()
		line, _ = p.lines(k)
		key := string(k.Data)
		if keys.IsLast() {
			value, err := p.value(e.Value(), line, depth+1)
			if err != nil {
				return 0, err
			}
			_, last := p.lines(e)
			value.end = max(value.end, last)
			p.put(at, key, line, value)
			return value.end, nil
		}
		next := at.get(key)
		if next == nil {
			next = p.new(nodeObject, line)
			p.put(at, key, line, next)
		}
		if next.kind != nodeObject {
			return 0, &lineError{line, fmt.Sprintf("is no TOML: %q is no table", key)}
		}
		next.end = max(next.end, line)
		at = next
		if depth++; depth > maxDepth {
			return 0, &lineError{line, fmt.Sprintf("is nested deeper than %d", maxDepth)}
		}
	}
	return line, nil
}

func (p *tomlParser) value(e *unstable.Node, line, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, &lineError{line, fmt.Sprintf("is nested deeper than %d", maxDepth)}
	}
	first, last := p.lines(e)
	if first == 0 {
		first, last = line, line
	}
	n := p.new(nodeNumber, first)
	n.end = last
	switch e.Kind {
	case unstable.String:
		n.kind, n.text = nodeText, string(e.Data)
	case unstable.Bool:
		n.kind, n.text = nodeBool, string(e.Data)
	case unstable.Array:
		n.kind = nodeArray
		for items := e.Children(); items.Next(); {
			if items.Node().Kind == unstable.Comment {
				continue
			}
			item, err := p.value(items.Node(), n.end, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, item)
			n.end = max(n.end, item.end)
		}
	case unstable.InlineTable:
		n.kind = nodeObject
		for items := e.Children(); items.Next(); {
			if items.Node().Kind != unstable.KeyValue {
				continue
			}
			end, err := p.assign(n, items.Node(), depth+1)
			if err != nil {
				return nil, err
			}
			n.end = max(n.end, end)
		}
	default:
		n.text = string(e.Data)
	}
	return n, nil
}
