package lockfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxDocuments bounds the documents of a YAML file.
const maxDocuments = 16

// parseYAML reads the last document of a file into nodes with their lines: pnpm
// keeps what it needs itself, such as its own version, in one before.
// Nesting is bounded before and after parsing, and so are the values that
// aliases stand for; errors are *lineError.
func parseYAML(data []byte) (*node, error) {
	if err := yamlNesting(data); err != nil {
		return nil, err
	}
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(oneBreak(data)))
	for n := 0; ; n++ {
		var next yaml.Node
		err := decoder.Decode(&next)
		switch {
		case err == nil && n == maxDocuments:
			return nil, &lineError{next.Line, fmt.Sprintf("holds more than %d documents", maxDocuments)}
		case err == nil:
			document = next
			continue
		case !errors.Is(err, io.EOF):
			return nil, &lineError{yamlLine(err, bytes.Count(data, []byte("\n"))+1), "is no YAML: " + strings.TrimPrefix(err.Error(), "yaml: ")}
		case n == 0:
			return nil, &lineError{1, "is empty; expected YAML"}
		}
		break
	}
	p := &yamlReader{}
	if len(document.Content) == 0 {
		return p.new(nodeNull, 1), nil
	}
	return p.convert(document.Content[0], 0)
}

// yamlLine takes the line out of "yaml: line 3: ...".
func yamlLine(err error, lines int) int {
	text, ok := strings.CutPrefix(err.Error(), "yaml: line ")
	if !ok {
		return 0
	}
	text, _, _ = strings.Cut(text, ":")
	line, err := strconv.Atoi(text)
	if err != nil || line > lines {
		return 0
	}
	return line
}

// yamlNesting refuses brackets and list marks that nest deeper than maxDepth.
// It counts those in strings too; one line of a real file does not come near.
func yamlNesting(data []byte) error {
	depth, marks, line := 0, 0, 1
	for i, c := range data {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(0, depth-1)
		case '-', '?', ':':
			if i+1 < len(data) && data[i+1] == ' ' {
				marks++
			}
		case '\n':
			line++
			marks = 0
		}
		if depth > maxDepth || marks > maxDepth {
			return &lineError{line, fmt.Sprintf("is nested deeper than %d", maxDepth)}
		}
	}
	return nil
}

type yamlReader struct{ nodes }

func (p *yamlReader) convert(y *yaml.Node, depth int) (*node, error) {
	if depth > maxDepth {
		return nil, &lineError{y.Line, fmt.Sprintf("is nested deeper than %d", maxDepth)}
	}
	if p.count > maxNodes/4 {
		return nil, &lineError{y.Line, fmt.Sprintf("has more than %d values, aliases included", maxNodes/4)}
	}
	n := p.new(nodeNull, y.Line)
	switch y.Kind {
	case yaml.AliasNode:
		target, err := p.convert(y.Alias, depth+1)
		if err != nil {
			return nil, err
		}
		*n = *target
		n.line, n.end = y.Line, y.Line
	case yaml.MappingNode:
		n.kind = nodeObject
		for i := 0; i+1 < len(y.Content); i += 2 {
			key := y.Content[i]
			value, err := p.convert(y.Content[i+1], depth+1)
			if err != nil {
				return nil, err
			}
			n.members = append(n.members, member{key.Value, key.Line, value})
			n.end = max(n.end, key.Line, value.end)
		}
	case yaml.SequenceNode:
		n.kind = nodeArray
		for _, item := range y.Content {
			value, err := p.convert(item, depth+1)
			if err != nil {
				return nil, err
			}
			n.items = append(n.items, value)
			n.end = max(n.end, value.end)
		}
	case yaml.ScalarNode:
		n.text = y.Value
		switch y.Tag {
		case "!!null":
			n.text = ""
		case "!!bool":
			n.kind = nodeBool
		case "!!int", "!!float":
			n.kind = nodeNumber
		default:
			n.kind = nodeText
		}
	}
	return n, nil
}

// scalar gives a key's value as written, whatever YAML takes it for: a version
// such as 1.0 is text to a lock.
func (n *node) scalar(key string) string {
	if v := n.get(key); v != nil {
		return v.text
	}
	return ""
}

// oneBreak makes spaces of what YAML takes for the end of a line and nobody else
// does, such as a carriage return alone, so that lines count as everywhere.
func oneBreak(data []byte) []byte {
	if bytes.IndexByte(data, '\r') < 0 && !bytes.Contains(data, []byte("\u0085")) && !bytes.Contains(data, []byte("\u2028")) && !bytes.Contains(data, []byte("\u2029")) {
		return data
	}
	data = bytes.Clone(data)
	for i, c := range data {
		if c == '\r' && (i+1 == len(data) || data[i+1] != '\n') {
			data[i] = ' '
		}
	}
	for _, mark := range []string{"\u0085", "\u2028", "\u2029"} {
		data = bytes.ReplaceAll(data, []byte(mark), bytes.Repeat([]byte(" "), len(mark)))
	}
	return data
}
