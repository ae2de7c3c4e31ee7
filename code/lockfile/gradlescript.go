package lockfile

import (
	"slices"
	"strings"
)

// gradleToken is a word, a string or a sign of a build script.
type gradleToken struct {
	kind       byte   // 'w' word, 's' string, else the sign itself; '\n' ends a line
	text       string // of a string what stands between its quotes
	start, end int    // bytes, of a string with its quotes
	line       int
}

// gradleStatement is a piece of a script up to a line's end or a block, with the
// names of the blocks around it.
type gradleStatement struct {
	tokens []gradleToken
	blocks []string
}

// maxGradleTokens bounds one script.
const maxGradleTokens = 2_000_000

// gradleTokens takes a script of either language apart. Comments are left out.
func gradleTokens(data string) []gradleToken {
	var tokens []gradleToken
	line := 1
	for at := 0; at < len(data) && len(tokens) < maxGradleTokens; {
		c, rest := data[at], data[at:]
		switch {
		case c == '\n':
			tokens = append(tokens, gradleToken{'\n', "\n", at, at + 1, line})
			line++
			at++
		case strings.HasPrefix(rest, "//"):
			if end := strings.IndexByte(rest, '\n'); end >= 0 {
				at += end
			} else {
				at = len(data)
			}
		case strings.HasPrefix(rest, "/*"):
			end := strings.Index(rest[2:], "*/")
			if end < 0 {
				return tokens
			}
			line += strings.Count(rest[:end+4], "\n")
			at += end + 4
		case c == '"' || c == '\'':
			quote := string(c)
			if triple := strings.Repeat(quote, 3); strings.HasPrefix(rest, triple) {
				quote = triple
			}
			end := gradleStringEnd(rest, quote)
			if end < 0 {
				at += len(quote)
				continue
			}
			tokens = append(tokens, gradleToken{'s', rest[len(quote) : end-len(quote)], at, at + end, line})
			line += strings.Count(rest[:end], "\n")
			at += end
		case wordByte(c):
			end := at
			for end < len(data) && wordByte(data[end]) {
				end++
			}
			tokens = append(tokens, gradleToken{'w', data[at:end], at, end, line})
			at = end
		default:
			if c != ' ' && c != '\t' && c != '\r' {
				tokens = append(tokens, gradleToken{c, data[at : at+1], at, at + 1, line})
			}
			at++
		}
	}
	return tokens
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}

// gradleStringEnd gives the offset behind the closing quote, -1 when there is
// none; a string in single signs ends on its line. What "${" and "}" enclose may
// hold quotes.
func gradleStringEnd(text, quote string) int {
	for at := len(quote); at < len(text); at++ {
		switch {
		case text[at] == '\\':
			at++
		case text[at] == '\n' && len(quote) == 1:
			return -1
		case quote[0] == '"' && strings.HasPrefix(text[at:], "${"):
			end := strings.IndexAny(text[at:], "}\n")
			if end < 0 || text[at+end] == '\n' {
				return -1
			}
			at += end
		case strings.HasPrefix(text[at:], quote):
			return at + len(quote)
		}
	}
	return -1
}

// gradleStatements joins tokens to statements. Lines within brackets, and those
// after a comma, go on.
func gradleStatements(tokens []gradleToken) []gradleStatement {
	var all []gradleStatement
	var current []gradleToken
	blocks := []string{}
	depths := []int{0} // of brackets, by block
	flush := func() {
		if len(current) > 0 {
			all = append(all, gradleStatement{current, slices.Clone(blocks)})
		}
		current = nil
	}
	for _, t := range tokens {
		depth := &depths[len(depths)-1]
		switch t.kind {
		case '{':
			name := gradleBlockName(current)
			flush()
			if len(blocks) < maxDepth {
				blocks, depths = append(blocks, name), append(depths, 0)
			}
		case '}':
			flush()
			if len(blocks) > 0 {
				blocks, depths = blocks[:len(blocks)-1], depths[:len(depths)-1]
			}
		case '\n':
			if *depth <= 0 && (len(current) == 0 || current[len(current)-1].kind != ',') {
				flush()
			}
		case ';':
			flush()
		default:
			if t.kind == '(' || t.kind == '[' {
				*depth++
			} else if t.kind == ')' || t.kind == ']' {
				*depth--
			}
			current = append(current, t)
		}
	}
	flush()
	return all
}

// gradleBlockName is the last word outside of brackets: dependencies of
// "project.dependencies {".
func gradleBlockName(statement []gradleToken) string {
	name, depth := "", 0
	for _, t := range statement {
		switch t.kind {
		case '(', '[':
			depth++
		case ')', ']':
			depth--
		case 'w':
			if depth == 0 {
				name = t.text
			}
		}
	}
	return name
}

// GradleBlock finds a block of a build script by the names of the blocks that lead
// to it from the top, and gives the bytes of its inside. ok is false when there is
// none.
func GradleBlock(script []byte, names ...string) (from, to int, ok bool) {
	var blocks []string
	var current []gradleToken
	inside := 0
	for _, t := range gradleTokens(string(script)) {
		switch t.kind {
		case '{':
			blocks = append(blocks, gradleBlockName(current))
			current = nil
			if inside == 0 && slices.Equal(blocks, names) {
				from, inside = t.end, len(blocks)
			}
		case '}':
			if inside > 0 && len(blocks) == inside {
				return from, t.start, true
			}
			if len(blocks) > 0 {
				blocks = blocks[:len(blocks)-1]
			}
			current = nil
		case '\n', ';':
			current = nil
		default:
			current = append(current, t)
		}
	}
	return 0, 0, false
}
