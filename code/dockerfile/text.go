package dockerfile

import (
	"bytes"
	"slices"
	"strings"
)

// Text is the bytes of a Dockerfile by lines, for edits that leave every other byte
// as it is.
type Text struct {
	Data   []byte
	escape byte
	starts []int // offset of each line
}

// NewText prepares a file's bytes; file is what Parse read of them.
func NewText(data []byte, file *File) *Text {
	t := &Text{Data: data, escape: '\\', starts: []int{0}}
	if file != nil && file.Escape == '`' {
		t.escape = '`'
	}
	for i, b := range data {
		if b == '\n' && i+1 < len(data) {
			t.starts = append(t.starts, i+1)
		}
	}
	return t
}

// Span gives the bytes of lines first to last, both counted from 1, without the end
// of the last line. Lines that are not there give an empty span at the end.
func (t *Text) Span(first, last int) (start, end int) {
	if first < 1 || first > len(t.starts) || last < first {
		return len(t.Data), len(t.Data)
	}
	start, end = t.starts[first-1], len(t.Data)
	if last < len(t.starts) {
		end = t.starts[last] - 1
	}
	if end > start && t.Data[end-1] == '\n' {
		end--
	}
	if end > start && t.Data[end-1] == '\r' {
		end--
	}
	if first == 1 && bytes.HasPrefix(t.Data[start:end], []byte("\ufeff")) {
		start += len("\ufeff")
	}
	return start, end
}

// Ending is the line ending of the file, "\r\n" when its first line has that.
func (t *Text) Ending() string {
	if i := bytes.IndexByte(t.Data, '\n'); i > 0 && t.Data[i-1] == '\r' {
		return "\r\n"
	}
	return "\n"
}

// Token is a word or an operator; Start and End are byte offsets in the file.
type Token struct {
	Text       string // as written, quotes kept, continuation marks left out
	Start, End int
	Operator   bool // && || ; | & ( ) or "\n" for the end of a line that is not continued
}

// Tokens takes bytes [start, end) apart as the shell does. Comment lines between
// continued lines are left out.
func (t *Text) Tokens(start, end int) []Token {
	var tokens []Token
	var word strings.Builder
	from := -1
	open := map[byte]bool{} // marks that are not closed before the end
	flush := func(to int) {
		if from >= 0 {
			tokens = append(tokens, Token{Text: word.String(), Start: from, End: to})
			word.Reset()
			from = -1
		}
	}
	for i := start; i < end; {
		b := t.Data[i]
		if next, ok := t.continued(i, end); ok {
			// A word may go on behind the mark.
			if next >= end || t.Data[next] == ' ' || t.Data[next] == '\t' {
				flush(i)
			}
			i = next
			continue
		}
		switch {
		case b == ' ' || b == '\t' || b == '\r':
			flush(i)
			i++
		case b == '\n':
			flush(i)
			tokens = append(tokens, Token{"\n", i, i + 1, true})
			i++
		case b == '#' && from < 0:
			for i < end && t.Data[i] != '\n' {
				i++
			}
		case strings.IndexByte("&|;()", b) >= 0 && (from < 0 || t.Data[i-1] != '>' && t.Data[i-1] != '<'):
			flush(i)
			size := 1
			if i+1 < end && (b == '&' || b == '|' || b == ';') && t.Data[i+1] == b {
				size = 2
			}
			if b == '&' && i+1 < end && t.Data[i+1] == '>' {
				from = i // &>file is part of a word
				word.WriteByte(b)
				i++
				continue
			}
			tokens = append(tokens, Token{string(t.Data[i : i+size]), i, i + size, true})
			i += size
		default:
			if from < 0 {
				from = i
			}
			next := t.quoted(i, end, open)
			for ; i < next; i++ {
				if skip, ok := t.continued(i, next); ok {
					i = skip - 1
					continue
				}
				word.WriteByte(t.Data[i])
			}
		}
	}
	flush(end)
	return tokens
}

// continued says whether a continuation mark stands at i, and where the text goes on:
// behind the line's end and the comment lines that follow.
func (t *Text) continued(i, end int) (int, bool) {
	if t.Data[i] != t.escape {
		return i, false
	}
	j := i + 1
	for j < end && (t.Data[j] == ' ' || t.Data[j] == '\t' || t.Data[j] == '\r') {
		j++
	}
	if j >= end || t.Data[j] != '\n' {
		return i, false
	}
	for j++; j < end; {
		k := j
		for k < end && (t.Data[k] == ' ' || t.Data[k] == '\t' || t.Data[k] == '\r') {
			k++
		}
		if k >= end || t.Data[k] != '#' && t.Data[k] != '\n' {
			return j, true
		}
		for k < end && t.Data[k] != '\n' {
			k++
		}
		if k >= end {
			return end, true
		}
		j = k + 1
	}
	return end, true
}

// quoted gives the end of what stands together at i: a quoted text, a substitution,
// an escaped byte, or one byte. A mark that was not closed once is not looked for again.
func (t *Text) quoted(i, end int, open map[byte]bool) int {
	data := t.Data[:end]
	b := data[i]
	if b == '$' && i+1 < end {
		b = data[i+1]
	}
	if open[b] {
		return i + 1
	}
	switch b := data[i]; {
	case b == '\'':
		if j := bytes.IndexByte(data[i+1:], '\''); j >= 0 {
			return i + j + 2
		}
		open[b] = true
	case b == '"' || b == '`' && t.escape != '`':
		for j := i + 1; j < end; j++ {
			if data[j] == '\\' {
				j++
			} else if data[j] == b {
				return j + 1
			}
		}
		open[b] = true
	case b == '$' && i+1 < end && (data[i+1] == '(' || data[i+1] == '{'):
		begin, shut, depth := data[i+1], byte(')'), 0
		if begin == '{' {
			shut = '}'
		}
		for j := i + 1; j < end; j++ {
			switch data[j] {
			case '\\':
				j++
			case begin:
				depth++
			case shut:
				if depth--; depth == 0 {
					return j + 1
				}
			}
		}
		open[begin] = true
	case b == '\\' && i+1 < end && data[i+1] != '\n' && data[i+1] != '\r':
		return i + 2
	}
	return i + 1
}

// Command is one simple command of a RUN.
type Command struct {
	Words  []Token
	Before Token // the operator before it, empty for the first
	After  Token // the operator behind it, empty for the last
}

// Commands takes a RUN in shell form apart into its commands, heredocs that a shell
// reads included. It is nil for the list form and for other instructions.
func (t *Text) Commands(in *Instruction) []Command {
	if in.Kind != "RUN" || in.JSON {
		return nil
	}
	start, end := t.Span(in.Line, in.EndLine)
	if len(in.Heredocs) > 0 && !t.shellReads(in) {
		if i := bytes.IndexByte(t.Data[start:end], '\n'); i >= 0 {
			end = start + i
		}
	}
	tokens := t.Tokens(start, end)
	if len(tokens) == 0 || !strings.EqualFold(tokens[0].Text, "RUN") {
		return nil
	}
	tokens = tokens[1:]
	for len(tokens) > 0 && strings.HasPrefix(tokens[0].Text, "--") {
		tokens = tokens[1:]
	}
	var commands []Command
	var now Command
	put := func() {
		marks := len(now.Words) == 1 && slices.ContainsFunc(in.Heredocs, func(h Heredoc) bool {
			return strings.Trim(strings.TrimLeft(now.Words[0].Text, "<-"), `"'`) == h.Name
		})
		if len(now.Words) > 0 && !marks {
			commands = append(commands, now)
		}
	}
	for _, token := range tokens {
		if !token.Operator {
			now.Words = append(now.Words, token)
			continue
		}
		now.After = token
		put()
		now = Command{Before: token}
	}
	put()
	return commands
}

// shellReads says whether the text of an instruction's heredoc goes to a shell.
func (t *Text) shellReads(in *Instruction) bool {
	start, end := t.Span(in.Line, in.Line)
	for _, token := range t.Tokens(start, end) {
		switch text := token.Text; {
		case strings.EqualFold(text, "RUN"), strings.HasPrefix(text, "--"), strings.HasPrefix(text, "<<"):
		case shells[text[strings.LastIndexByte(text, '/')+1:]], text == "-e", text == "-ex", text == "-eux":
		default:
			return false
		}
	}
	return !strings.HasPrefix(in.Heredocs[0].Content, "#!")
}

var shells = map[string]bool{"sh": true, "bash": true, "ash": true, "dash": true, "zsh": true}

// Start and End are the bytes of the command.
func (c *Command) Start() int { return c.Words[0].Start }

// End is the byte behind the command.
func (c *Command) End() int { return c.Words[len(c.Words)-1].End }

// Program gives the name of what is run and the index of its first argument: what
// stands behind assignments, sudo, env and words of the shell's grammar.
func (c *Command) Program() (name string, args int) {
	for i, word := range c.Words {
		text := word.Text
		switch {
		case assignment(text), text == "sudo", text == "env", text == "exec", text == "then", text == "else", text == "do", text == "if", text == "!", text == "{", text == "time", text == "eatmydata":
		case i > 0 && strings.HasPrefix(text, "-") && c.Words[i-1].Text == "sudo":
		default:
			return strings.ToLower(text[strings.LastIndexByte(text, '/')+1:]), i + 1
		}
	}
	return "", len(c.Words)
}

// assignment says whether a word is NAME=value.
func assignment(word string) bool {
	name, _, ok := strings.Cut(word, "=")
	return ok && name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return r != '_' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	})
}

// Image gives the word of a FROM instruction that names the image; false when it does
// not stand there as the reference says.
func (t *Text) Image(ref *Reference) (Token, bool) {
	start, end := t.Span(ref.Line, ref.EndLine)
	tokens := t.Tokens(start, end)
	if len(tokens) == 0 || !strings.EqualFold(tokens[0].Text, "FROM") {
		return Token{}, false
	}
	for _, token := range tokens[1:] {
		if strings.HasPrefix(token.Text, "--") {
			continue
		}
		return token, !token.Operator && string(t.Data[token.Start:token.End]) == ref.Written
	}
	return Token{}, false
}
