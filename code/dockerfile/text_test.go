package dockerfile

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// spoken gives the commands of the first RUN, words joined by spaces and commands by
// the operators between them.
func spoken(t *testing.T, text string) []string {
	t.Helper()
	file, err := Parse("Dockerfile", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	at := NewText([]byte(text), file)
	var list []string
	for i := range file.Stages[0].Instructions {
		in := &file.Stages[0].Instructions[i]
		for _, command := range at.Commands(in) {
			var words []string
			for _, word := range command.Words {
				words = append(words, word.Text)
				if got := string(at.Data[word.Start:word.End]); !strings.Contains(got, "\n") && got != word.Text {
					t.Errorf("bytes %d to %d hold %q, the word is %q", word.Start, word.End, got, word.Text)
				}
			}
			list = append(list, strings.TrimSpace(strings.Join(words, " ")+" "+strings.TrimSpace(command.After.Text)))
		}
		if in.Kind == "RUN" {
			break
		}
	}
	return list
}

func TestARunIsTakenApartIntoItsCommands(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text string
		want []string
	}{
		"continued lines with a comment":  {"FROM a\nRUN apt-get update && \\\n  # why\n\n  apt-get install -y \\\n    'a b' c\n", []string{"apt-get update &&", "apt-get install -y 'a b' c"}},
		"CRLF":                            {"FROM a\r\nRUN a \\\r\n  b && c\r\n", []string{"a b &&", "c"}},
		"operators":                       {"FROM a\nRUN (a; b) | c || d & e 2>&1 &>f\n", []string{"a ;", "b )", "c ||", "d &", "e 2>&1 &>f"}},
		"quotes hide operators":           {"FROM a\nRUN echo \"a && b\" 'c | d' $(e; f) ${g:-h;i} \\; j\n", []string{`echo "a && b" 'c | d' $(e; f) ${g:-h;i} \; j`}},
		"a word goes on in the next line": {"FROM a\nRUN ec\\\nho x\n", []string{"echo x"}},
		"flags of RUN":                    {"FROM a\nRUN --mount=type=cache,target=/x --network=none make\n", []string{"make"}},
		"a heredoc for the shell":         {"FROM a\nRUN <<EOF\napt-get update\nmake all\nEOF\n", []string{"apt-get update", "make all"}},
		"a heredoc that is data":          {"FROM a\nRUN cat <<EOF > /x\napt-get update\nEOF\n", []string{"cat <<EOF > /x"}},
		"the list form":                   {"FROM a\nRUN [\"apt-get\", \"update\"]\n", nil},
		"tabs":                            {"FROM a\n\tRUN\ta\t&&\tb\n", []string{"a &&", "b"}},
		"another mark for continuation":   {"# escape=`\nFROM a\nRUN a `\n b C:\\x\n", []string{`a b C:\x`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(c.want, spoken(t, c.text)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestTheImageOfAFromIsFoundByItsBytes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ text, want string }{
		{"FROM a:1\n", "a:1"},
		{"\ufefffrom\t--platform=linux/amd64 \\\n  a:1@sha256:x as b", "a:1@sha256:x"},
		{"ARG V=1\r\nFROM a:${V}-slim AS b\r\n", "a:${V}-slim"},
	} {
		file, err := Parse("Dockerfile", []byte(c.text))
		if err != nil {
			t.Fatal(err)
		}
		text := NewText([]byte(c.text), file)
		word, ok := text.Image(&file.Stages[0].Base)
		if got := c.text[word.Start:word.End]; !ok || got != c.want {
			t.Errorf("%q: the image is %q (%v), expected %q", c.text, got, ok, c.want)
		}
	}
}

func FuzzTokens(f *testing.F) {
	for _, seed := range []string{"RUN a && b", "RUN 'a", "RUN \"\\", "RUN $(", "a\\\n#b\n", "RUN a\\\r\n\r\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		at := NewText([]byte(text), nil)
		last := 0
		for _, token := range at.Tokens(0, len(text)) {
			if token.Start < last || token.End <= token.Start || token.End > len(text) {
				t.Fatalf("token %+v begins before byte %d or leaves the text of %d bytes", token, last, len(text))
			}
			last = token.End
		}
		for line := range 5 {
			if start, end := at.Span(line, line+1); start > end || end > len(text) {
				t.Fatalf("span of line %d is %d to %d", line, start, end)
			}
		}
		if !slices.Contains([]string{"\n", "\r\n"}, at.Ending()) {
			t.Fatal("no line ending")
		}
	})
}

func TestMarksThatAreNeverClosedTakeNoSquareOfTime(t *testing.T) {
	t.Parallel()
	for _, piece := range []string{"$(", "${", "\" '", "` ", "\\\n", "\\ \\", "<<A "} {
		text := "RUN " + strings.Repeat(piece, MaxFile/len(piece))
		// A square of it would take minutes and end the test.
		NewText([]byte(text), nil).Tokens(0, len(text))
	}
}
