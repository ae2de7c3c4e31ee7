package report

import (
	"strconv"
	"strings"
)

// SnippetAnchor is a hash of the lines first to last of a piece of code, without
// indentation. Tools give some lines around them and write a number before each, which
// would change with every line above; where no line has such a number all lines count.
func SnippetAnchor(code string, first, last int) string {
	var numbered, all []string
	for line := range strings.Lines(code) {
		text := strings.TrimSpace(line)
		digits := len(text) - len(strings.TrimLeft(text, "0123456789"))
		if n, err := strconv.Atoi(text[:digits]); err == nil && first <= n && n <= max(first, last) {
			if rest, ok := cutNumber(text[digits:]); ok {
				numbered = append(numbered, rest)
			}
		}
		all = append(all, text)
	}
	if len(numbered) == 0 {
		numbered = all
	}
	text := strings.Join(strings.Fields(strings.Join(numbered, " ")), " ")
	if text == "" {
		return ""
	}
	return "snippet:" + digest(text)
}

// cutNumber takes what stands between a line's number and the line: ":" or a blank.
func cutNumber(rest string) (string, bool) {
	if rest == "" {
		return "", true
	}
	if rest[0] == ':' || rest[0] == ' ' || rest[0] == '\t' {
		return rest[1:], true
	}
	return "", false
}
