package owner

import (
	"context"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/fact"
)

// Explanation is why people are suggested for lines of a file.
type Explanation struct {
	Subject fact.Location `json:"subject"`
	Owners  []fact.Owner  `json:"owners"`
	// Overruled is what single signals would have said and why it does not
	// count; the first person's evidence ends with the same.
	Overruled []fact.OwnerEvidence `json:"overruled"`
	// Problems are lines of CODEOWNERS that were skipped.
	Problems []string `json:"problems"`
	// Shallow says that history was cut off, so that older work is unknown.
	Shallow bool `json:"shallow,omitempty"`
}

// Explain answers "owner explain PATH[:LINE[-LINE]]": who should act on the
// lines of a file as of a revision ("" is HEAD) of the repository around a
// folder, and why. Lines of 0 ask about the whole file. A path that the commit
// does not have is an error that wraps fs.ErrNotExist.
func Explain(ctx context.Context, dir, at, path string, lines [2]int, cacheDir string, now time.Time) (*Explanation, error) {
	repo, err := git.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer repo.Close()
	commit, err := repo.Resolve(ctx, at)
	if err != nil {
		return nil, err
	}
	data, err := repo.Tree(commit).Read(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("at %.12s: %w", commit, err)
	}
	count := strings.Count(string(data), "\n")
	if len(data) > 0 && data[len(data)-1] != '\n' {
		count++
	}
	subject := Subject{Path: path}
	if lines[0] != 0 || lines[1] != 0 {
		lines[1] = max(lines[0], lines[1])
		if lines[0] < 1 || lines[0] > count {
			return nil, fmt.Errorf("%s:%d: expected a line from 1 to %d", path, lines[0], count)
		}
		lines[1] = min(lines[1], count)
		subject.Lines = [][2]int{lines}
	}
	resolver, err := New(ctx, repo, commit, cacheDir, now)
	if err != nil {
		return nil, err
	}
	x := &Explanation{
		Subject:   fact.Location{Repository: resolver.index.identity, Commit: commit, Path: path, Line: lines[0], EndLine: lines[1]},
		Overruled: []fact.OwnerEvidence{}, Problems: []string{}, Shallow: repo.Shallow(),
	}
	if x.Owners, x.Overruled, err = resolver.suggest(ctx, subject); err != nil {
		return nil, err
	}
	for _, p := range resolver.Problems() {
		x.Problems = append(x.Problems, p.String())
	}
	return x, nil
}

// ParseSubject reads PATH, PATH:LINE or PATH:LINE-LINE; lines are 0 when none
// are named.
func ParseSubject(s string) (path string, lines [2]int, err error) {
	path = s
	if at := strings.LastIndexByte(s, ':'); at > 0 && at < len(s)-1 && strings.Trim(s[at+1:], "0123456789-") == "" {
		first, last, two := strings.Cut(s[at+1:], "-")
		path = s[:at]
		if !two {
			last = first
		}
		for i, text := range [2]string{first, last} {
			if lines[i], err = number(text); err != nil {
				return "", [2]int{}, fmt.Errorf("%q: expected PATH, PATH:LINE or PATH:LINE-LINE: %w", s, err)
			}
		}
		if lines[1] < lines[0] {
			return "", [2]int{}, fmt.Errorf("%q: the last line stands before the first", s)
		}
	}
	return path, lines, nil
}

func number(text string) (int, error) {
	n := 0
	for _, c := range text {
		if c < '0' || c > '9' || n > 1<<30 {
			return 0, fmt.Errorf("%q is no line number", text)
		}
		n = n*10 + int(c-'0')
	}
	if n == 0 {
		return 0, fmt.Errorf("%q is no line number", text)
	}
	return n, nil
}

// WriteText writes the explanation for a terminal: control characters of names
// and messages are shown as spaces.
func (x *Explanation) WriteText(w io.Writer) error {
	var b strings.Builder
	place := x.Subject.Path
	if x.Subject.Line > 0 {
		place += fmt.Sprintf(":%d", x.Subject.Line)
		if x.Subject.EndLine > x.Subject.Line {
			place += fmt.Sprintf("-%d", x.Subject.EndLine)
		}
	}
	fmt.Fprintf(&b, "%s in %s at %.12s\n", plain(place), plain(x.Subject.Repository), x.Subject.Commit)
	if len(x.Owners) == 0 {
		b.WriteString("nobody is known: no CODEOWNERS rule matches and no human's commit is in the history\n")
	}
	for i, o := range x.Owners {
		fmt.Fprintf(&b, "\n%d. %s (%s, %s) %.0f %%\n", i+1, plain(o.Name), o.Kind, o.Role, o.Confidence*100)
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, e := range o.Evidence {
			if strings.HasPrefix(e.Detail, "overruled: ") {
				continue
			}
			fmt.Fprintf(table, "   %s\t%s\t%s\n", e.Kind, plain(e.Detail), plain(e.Source))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	if len(x.Overruled) > 0 {
		b.WriteString("\nOverruled\n")
		table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		for _, e := range x.Overruled {
			fmt.Fprintf(table, "   %s\t%s\t%s\n", e.Kind, plain(strings.TrimPrefix(e.Detail, "overruled: ")), plain(e.Source))
		}
		if err := table.Flush(); err != nil {
			return err
		}
	}
	for _, p := range x.Problems {
		fmt.Fprintf(&b, "\nskipped: %s", plain(p))
	}
	if x.Shallow {
		b.WriteString("\nThe clone is shallow: work before its first commit is unknown.")
	}
	if len(x.Problems) > 0 || x.Shallow {
		b.WriteByte('\n')
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func plain(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsControl(c) || unicode.Is(unicode.Cf, c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
