package fix

import (
	"bytes"
	"fmt"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// TextAt is a string of a document with the keys that lead to it.
type TextAt struct {
	Path       []string
	Value      string
	Start, End int // bytes without the quotes
	Line       int
}

// maxNesting is how deep the values of a document may be nested.
const maxNesting = 100

// TOMLStrings lists the strings of a TOML document, in order. Strings with escapes
// or on several lines are left out, since they cannot be replaced as they stand.
func TOMLStrings(file string, data []byte) ([]TextAt, error) {
	// The full parser judges the document; the one below only finds places.
	var document map[string]any
	if err := toml.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	r := &tomlReader{data: data}
	r.parser.Reset(data)
	var table []string
	for r.parser.NextExpression() {
		node := r.parser.Expression()
		switch node.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = tomlKeys(node.Key())
		case unstable.KeyValue:
			r.pair(node, table, 0)
		}
	}
	if err := r.parser.Error(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r.found, nil
}

type tomlReader struct {
	data   []byte
	parser unstable.Parser
	found  []TextAt
	line   int // newlines before at
	at     int
}

func (r *tomlReader) pair(node *unstable.Node, under []string, depth int) {
	r.value(node.Value(), append(append([]string(nil), under...), tomlKeys(node.Key())...), depth)
}

func (r *tomlReader) value(value *unstable.Node, path []string, depth int) {
	if depth > maxNesting {
		return
	}
	switch value.Kind {
	case unstable.String:
		raw := r.parser.Raw(value.Raw)
		start, end := int(value.Raw.Offset), int(value.Raw.Offset)+len(raw)
		if len(raw) == len(value.Data)+2 {
			r.line += bytes.Count(r.data[r.at:start], []byte("\n"))
			r.at = start
			r.found = append(r.found, TextAt{path, string(value.Data), start + 1, end - 1, r.line + 1})
		}
	case unstable.InlineTable:
		for children := value.Children(); children.Next(); {
			r.pair(children.Node(), path, depth+1)
		}
	case unstable.Array:
		for children := value.Children(); children.Next(); {
			r.value(children.Node(), path, depth+1)
		}
	}
}

func tomlKeys(iterator unstable.Iterator) []string {
	var parts []string
	for iterator.Next() {
		parts = append(parts, string(iterator.Node().Data))
	}
	return parts
}

// Under says whether a path of keys is the pattern, in which a star is any key.
func (t *TextAt) Under(pattern ...string) bool {
	if len(t.Path) != len(pattern) {
		return false
	}
	for i := range pattern {
		if pattern[i] != "*" && pattern[i] != t.Path[i] {
			return false
		}
	}
	return true
}
