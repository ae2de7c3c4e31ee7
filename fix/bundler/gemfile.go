package bundler

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"

	"github.com/backstitch/backstitch/fix"
)

// call is one line of a Gemfile or gemspec that declares a gem.
type call struct {
	name     string
	line     int
	literals []literal // of constraints
	insert   int       // where another may follow
	quote    string
}

type literal struct {
	start, end int // without the quotes
	text       string
}

var (
	callLine = regexp.MustCompile(`(?m)^[ \t]*(?:gem|\w+\.add_(?:runtime_|development_)?dependency)[ \t(]+(["'])([A-Za-z0-9._-]+)(["'])`)
	nextText = regexp.MustCompile(`^\s*,\s*(["'])([^"'\\\n#{}]*)(["'])(\s*=>)?`)
)

// calls lists the declarations of a Gemfile or gemspec that are written as literals.
func calls(data []byte) []call {
	var found []call
	line, at := 1, 0
	for _, m := range callLine.FindAllSubmatchIndex(data, -1) {
		if data[m[2]] != data[m[6]] {
			continue
		}
		line += bytes.Count(data[at:m[0]], []byte("\n"))
		at = m[0]
		c := call{name: string(data[m[4]:m[5]]), line: line, insert: m[1], quote: string(data[m[2]:m[3]])}
		for {
			n := nextText.FindSubmatchIndex(data[c.insert:])
			if n == nil || data[c.insert+n[2]] != data[c.insert+n[6]] || n[8] >= 0 {
				break
			}
			c.literals = append(c.literals, literal{c.insert + n[4], c.insert + n[5], string(data[c.insert+n[4] : c.insert+n[5]])})
			c.insert += n[1]
		}
		found = append(found, c)
	}
	return found
}

func (c *call) constraint() string {
	texts := make([]string, len(c.literals))
	for i, l := range c.literals {
		texts[i] = l.text
	}
	return strings.Join(texts, ", ")
}

// edits gives the edits after which a call states another constraint.
func (c *call) edits(constraint string) ([]fix.Edit, error) {
	parts := strings.Split(constraint, ", ")
	if len(parts) < len(c.literals) {
		return nil, fmt.Errorf("%q has fewer parts than %q", constraint, c.constraint())
	}
	var edits []fix.Edit
	added := ""
	for i, part := range parts {
		if i >= len(c.literals) {
			added += ", " + c.quote + part + c.quote
		} else if l := c.literals[i]; l.text != part {
			edits = append(edits, fix.Edit{Start: l.start, End: l.end, Old: l.text, New: part})
		}
	}
	if added != "" {
		edits = append(edits, fix.Edit{Start: c.insert, End: c.insert, New: added})
	}
	return edits, nil
}

// raised gives a Gemfile or gemspec in which the constraints on a gem start at a
// version, and the new constraint, which is "" when none has to change.
func raised(file string, data []byte, change fix.Change, only func(constraint string) bool) (after []byte, constraint string, err error) {
	var edits []fix.Edit
	before := calls(data)
	wants := map[int]string{}
	for i, c := range before {
		if c.name != change.Package {
			continue
		}
		if !only(c.constraint()) {
			continue
		}
		text, ok := syntax.Raise(c.constraint(), change.To)
		if !ok {
			return nil, "", fmt.Errorf("%s:%d: %s: %q cannot be raised to %s", file, c.line, c.name, c.constraint(), change.To)
		}
		more, err := c.edits(text)
		if err != nil {
			return nil, "", fmt.Errorf("%s:%d: %s: %w", file, c.line, c.name, err)
		}
		edits = append(edits, more...)
		constraint, wants[i] = text, text
	}
	after, err = fix.Splice(data, edits...)
	if err != nil {
		return nil, "", fmt.Errorf("%s: %w", file, err)
	}
	read := calls(after)
	for i := range before {
		want, changed := wants[i]
		if !changed {
			want = before[i].constraint()
		}
		if len(read) != len(before) || read[i].name != before[i].name || read[i].line != before[i].line || read[i].constraint() != want {
			return nil, "", fmt.Errorf("%s: the edit changed more than the constraint on %s", file, change.Package)
		}
	}
	return after, constraint, nil
}

// added gives a Gemfile with a line that keeps a gem from lower versions.
func added(file string, data []byte, change fix.Change) ([]byte, string, error) {
	for _, c := range calls(data) {
		if c.name == change.Package {
			return nil, "", fmt.Errorf("%s:%d: names %s already", file, c.line, c.name)
		}
	}
	newline, quote := "\n", `"`
	if bytes.Contains(data, []byte("\r\n")) {
		newline = "\r\n"
	}
	if list := calls(data); len(list) > 0 {
		quote = list[0].quote
	}
	constraint := ">= " + change.To
	line := fmt.Sprintf("gem %[1]s%[2]s%[1]s, %[1]s%[3]s%[1]s%[4]s", quote, change.Package, constraint, newline)
	if len(data) > 0 && data[len(data)-1] != '\n' {
		line = newline + line
	}
	return append(bytes.Clone(data), line...), constraint, nil
}
