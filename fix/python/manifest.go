package python

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/pelletier/go-toml/v2"
	"github.com/pelletier/go-toml/v2/unstable"
)

// parseRequirements reads a requirements file. Lines that are options, URLs,
// paths or unreadable are passed over.
func parseRequirements(file string, data []byte) []requirement {
	var found []requirement
	line, at := 0, 0
	for at < len(data) {
		// A logical line goes on after a backslash.
		start, first := at, line+1
		for {
			end := bytes.IndexByte(data[at:], '\n')
			line++
			if end < 0 {
				at = len(data)
				break
			}
			at += end + 1
			if !bytes.HasSuffix(bytes.TrimRight(data[start:at], "\r\n"), []byte(`\`)) {
				break
			}
		}
		text := string(data[start:at])
		physical := strings.TrimRight(firstLine(text), "\\\r\n")
		name, clauses, insert, ok := parseRequirement(physical)
		if !ok {
			continue
		}
		found = append(found, requirement{
			file: file, line: first, name: name, text: written(physical, clauses), clauses: clauses,
			base: start, insert: insert, hashed: strings.Contains(text, "--hash="),
		})
	}
	return found
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// stringAt is a string of a TOML document with the keys that lead to it.
type stringAt struct {
	path       []string
	value      string
	start, end int // without the quotes
}

// tomlStrings lists the strings of a TOML document, in order.
func tomlStrings(file string, data []byte) ([]stringAt, error) {
	// The full parser judges the document; the one below only finds places.
	var document map[string]any
	if err := toml.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var parser unstable.Parser
	parser.Reset(data)
	var found []stringAt
	var table []string
	for parser.NextExpression() {
		node := parser.Expression()
		switch node.Kind {
		case unstable.Table, unstable.ArrayTable:
			table = keys(node.Key())
		case unstable.KeyValue:
			found = appendStrings(found, &parser, node, table, 0)
		}
	}
	if err := parser.Error(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return found, nil
}

const maxDepth = 100

func appendStrings(found []stringAt, parser *unstable.Parser, node *unstable.Node, under []string, depth int) []stringAt {
	if depth > maxDepth {
		return found
	}
	path := append(append([]string(nil), under...), keys(node.Key())...)
	return appendValue(found, parser, node.Value(), path, depth)
}

func appendValue(found []stringAt, parser *unstable.Parser, value *unstable.Node, path []string, depth int) []stringAt {
	switch value.Kind {
	case unstable.String:
		raw := parser.Raw(value.Raw)
		start, end := int(value.Raw.Offset), int(value.Raw.Offset)+len(raw)
		// Strings with escapes or on several lines are left alone.
		if len(raw) == len(value.Data)+2 {
			found = append(found, stringAt{path, string(value.Data), start + 1, end - 1})
		}
	case unstable.InlineTable:
		for children := value.Children(); children.Next(); {
			found = appendStrings(found, parser, children.Node(), path, depth+1)
		}
	case unstable.Array:
		for children := value.Children(); children.Next(); {
			if depth < maxDepth {
				found = appendValue(found, parser, children.Node(), path, depth+1)
			}
		}
	}
	return found
}

func keys(iterator unstable.Iterator) []string {
	var parts []string
	for iterator.Next() {
		parts = append(parts, string(iterator.Node().Data))
	}
	return parts
}

// parsePyproject lists what a pyproject.toml requires: of the standard tables,
// and of poetry's.
func parsePyproject(file string, data []byte) ([]requirement, error) {
	stringsFound, err := tomlStrings(file, data)
	if err != nil {
		return nil, err
	}
	var found []requirement
	for _, s := range stringsFound {
		line := 1 + bytes.Count(data[:s.start], []byte("\n"))
		switch {
		case is(s.path, "project", "dependencies"), is(s.path, "project", "optional-dependencies", "*"), is(s.path, "dependency-groups", "*"),
			is(s.path, "tool", "uv", "dev-dependencies"), is(s.path, "tool", "uv", "constraint-dependencies"):
			if name, clauses, insert, ok := parseRequirement(s.value); ok {
				found = append(found, requirement{
					file: file, line: line, name: name, text: written(s.value, clauses), clauses: clauses, base: s.start, insert: insert,
				})
			}
		default:
			name := poetryName(s.path)
			if name == "" || normal(name) == "python" {
				continue
			}
			if clauses, ok := parseClauses(s.value, 0); ok && len(clauses) > 0 {
				found = append(found, requirement{
					file: file, line: line, name: name, text: s.value, clauses: clauses, base: s.start, bare: true,
				})
			}
		}
	}
	return found, nil
}

// poetryName is the package whose version a key of poetry's tables states.
func poetryName(path []string) string {
	if len(path) > 0 && path[len(path)-1] == "version" {
		path = path[:len(path)-1]
	}
	if is(path, "tool", "poetry", "dependencies", "*") || is(path, "tool", "poetry", "dev-dependencies", "*") || is(path, "tool", "poetry", "group", "*", "dependencies", "*") {
		return path[len(path)-1]
	}
	return ""
}

// is compares a path of keys with a pattern in which a star is any key.
func is(path []string, pattern ...string) bool {
	if len(path) != len(pattern) {
		return false
	}
	for i := range path {
		if pattern[i] != "*" && pattern[i] != path[i] {
			return false
		}
	}
	return true
}
