// Package codeowners reads CODEOWNERS files as the forge that serves the
// repository reads them, and answers which rule decides about a path and
// which rules it shadows.
//
// The dialects differ in more than spelling:
//
//   - GitHub: the last matching rule wins. Patterns follow gitignore without
//     "!" and without character sets; "dir/*" does not cross levels. A line
//     that is not understood is skipped as a whole.
//   - GitLab: every section is judged by itself and the last matching rule of
//     each wins; rules before the first section form a section of their own.
//     Patterns follow fnmatch: a pattern without a leading slash matches at
//     any level, and only a trailing slash reaches into a folder.
//   - Gitea and Forgejo: patterns are regular expressions over the whole path,
//     "!" means "does not match", and every matching rule adds its owners.
//
// Files are untrusted: sizes are bounded and matching takes time linear in
// pattern and path whatever they hold.
package codeowners

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
)

// Dialect says whose rules a file follows.
type Dialect string

// The dialects. Gitea stands for Forgejo as well. Of Unknown, Find decides by
// what is in the repository.
const (
	Unknown Dialect = ""
	GitHub  Dialect = "github"
	GitLab  Dialect = "gitlab"
	Gitea   Dialect = "gitea"
)

// MaxFile is the largest file that is read, in bytes: GitHub ignores a larger
// one, and the others have no reason to hold one.
const MaxFile = 3 << 20

// maxShadowed bounds how many overruled rules a Match lists.
const maxShadowed = 64

// DialectOf reads the dialect from a repository's identity or the host of its
// forge ("gitlab.com/acme/shop"); Unknown when the name tells nothing, as of a
// forge under a name of its own.
func DialectOf(identity string) Dialect {
	host, _, _ := strings.Cut(strings.ToLower(identity), "/")
	switch {
	case strings.Contains(host, "gitlab"):
		return GitLab
	case strings.Contains(host, "gitea"), strings.Contains(host, "forgejo"), strings.Contains(host, "codeberg"):
		return Gitea
	case strings.Contains(host, "github"):
		return GitHub
	}
	return Unknown
}

// Places lists where a dialect's forge looks for the file; the first that
// exists is the only one that counts.
func Places(dialect Dialect) []string {
	switch dialect {
	case GitLab:
		return []string{"CODEOWNERS", "docs/CODEOWNERS", ".gitlab/CODEOWNERS"}
	case Gitea:
		return []string{"CODEOWNERS", "docs/CODEOWNERS", ".gitea/CODEOWNERS", ".forgejo/CODEOWNERS"}
	}
	return []string{".github/CODEOWNERS", "CODEOWNERS", "docs/CODEOWNERS"}
}

// Problem is a line that the forge skips, or reads otherwise than it looks.
type Problem struct {
	Path string
	Line int // 0 for the file as a whole
	Text string
}

// String formats p as path:line: text.
func (p Problem) String() string {
	if p.Line > 0 {
		return fmt.Sprintf("%s:%d: %s", p.Path, p.Line, p.Text)
	}
	return fmt.Sprintf("%s: %s", p.Path, p.Text)
}

// Section is a GitLab section; every other rule belongs to the section
// without a name.
type Section struct {
	Name      string   // as first written; "" for rules outside of any section
	Line      int      // of the first header, 0 without one
	Approvals int      // how many approvals it asks for, 1 unless said
	Optional  bool     // written with ^ wherever it appears
	Defaults  []string // owners of its rules that name none, of the last header read
}

// Rule is one line of the file. Rules are shared and must not be changed.
type Rule struct {
	Line    int
	Pattern string   // as written
	Owners  []string // "@user", "@org/team", "@@role", "mail@host"; empty means nobody owns what it matches
	Section *Section
	Exclude bool // GitLab "!pattern": takes paths out of the section for good

	regex   expression // Gitea
	negated bool       // Gitea: applies where the expression does not match
}

// Rules is one file, ready to match. It is safe for concurrent use.
type Rules struct {
	Path     string // of the file
	Dialect  Dialect
	Rules    []*Rule
	Sections []*Section // in order of first appearance; the nameless one first

	index *index
}

// Match is what a file says about one path.
type Match struct {
	// Owners of all deciding rules, in file order, each once. Empty means
	// that nobody owns the path.
	Owners []string
	// Line and Pattern are of the deciding rule, the last one in the file
	// when several sections or rules decide. Line is 0 when none matches.
	Line    int
	Pattern string
	Section string
	// Deciding holds each rule that counts: one at most for GitHub, one a
	// section for GitLab, every matching one for Gitea.
	Deciding []*Rule
	// Shadowed holds the rules that match and do not count, last first, at
	// most 64.
	Shadowed []*Rule

	path string
	file string
}

// Find reads the file that the dialect's forge would use. Rules are nil when
// the tree has none. A file that is too large counts as present and empty.
func Find(ctx context.Context, tree code.Tree, dialect Dialect) (*Rules, []Problem, error) {
	if dialect == Unknown {
		var err error
		if dialect, err = guess(ctx, tree); err != nil {
			return nil, nil, err
		}
	}
	for _, place := range Places(dialect) {
		data, err := tree.Read(ctx, place)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case errors.Is(err, code.ErrTooLarge):
			return build(dialect, place, nil), []Problem{tooLarge(place)}, nil
		case err != nil:
			return nil, nil, fmt.Errorf("read %s: %w", place, err)
		}
		rules, problems := Parse(dialect, place, data)
		return rules, problems, nil
	}
	return nil, nil, nil
}

// sectionLine is a header of a section, which no path looks like.
var sectionLine = regexp.MustCompile(`(?m)^\x{FEFF}?[ \t]*\^?\[[^\[\]\r\n]+\](?:\[[0-9]+\])?[ \t]*(?:@[^\r\n]*|#[^\r\n]*)?\r?$`)

// guess tells the dialect from the files that only one forge reads, or from the
// sections that only GitLab knows; GitHub when nothing tells.
func guess(ctx context.Context, tree code.Tree) (Dialect, error) {
	for _, sign := range []struct {
		file     string
		dialect  Dialect
		sections bool // only when it has some
	}{
		{".github/CODEOWNERS", GitHub, false}, {".gitlab/CODEOWNERS", GitLab, false},
		{".gitea/CODEOWNERS", Gitea, false}, {".forgejo/CODEOWNERS", Gitea, false},
		{".gitlab-ci.yml", GitLab, false}, {"CODEOWNERS", GitLab, true}, {"docs/CODEOWNERS", GitLab, true},
	} {
		data, err := tree.Read(ctx, sign.file)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil && !errors.Is(err, code.ErrTooLarge):
			return Unknown, fmt.Errorf("read %s: %w", sign.file, err)
		case !sign.sections || err == nil && sectionLine.Match(data):
			return sign.dialect, nil
		}
	}
	return GitHub, nil
}

func tooLarge(file string) Problem {
	return Problem{Path: file, Text: "larger than 3 MB: the forge ignores the whole file"}
}

// Match says who owns a path, relative to the repository's root with slashes.
func (r *Rules) Match(path string) Match {
	path = strings.TrimPrefix(path, "/")
	m := Match{path: path, file: r.Path}
	var hits []int32 // indexes of matching rules
	if r.Dialect == Gitea {
		for i, rule := range r.Rules {
			if rule.regex.MatchString(path) != rule.negated {
				hits = append(hits, int32(i))
			}
		}
	} else {
		hits = r.index.match(path)
	}
	if len(hits) == 0 {
		return m
	}
	switch r.Dialect {
	case Gitea:
		for _, i := range hits {
			m.Deciding = append(m.Deciding, r.Rules[i])
		}
	case GitLab:
		r.decideBySection(&m, hits)
	default:
		m.Deciding = []*Rule{r.Rules[hits[len(hits)-1]]}
		m.shadow(r, hits[:len(hits)-1])
	}
	last := m.Deciding[len(m.Deciding)-1]
	m.Line, m.Pattern, m.Section = last.Line, last.Pattern, last.Section.Name
	if len(m.Deciding) == 1 {
		m.Owners = last.Owners
		return m
	}
	for _, rule := range m.Deciding {
		for _, owner := range rule.Owners {
			if !slices.Contains(m.Owners, owner) {
				m.Owners = append(m.Owners, owner)
			}
		}
	}
	return m
}

func (r *Rules) decideBySection(m *Match, hits []int32) {
	winner := map[*Section]int32{}
	for _, i := range hits {
		rule := r.Rules[i]
		if before, ok := winner[rule.Section]; !ok || !r.Rules[before].Exclude {
			winner[rule.Section] = i
		}
	}
	var rest []int32
	for _, i := range hits {
		if winner[r.Rules[i].Section] == i {
			m.Deciding = append(m.Deciding, r.Rules[i])
		} else {
			rest = append(rest, i)
		}
	}
	m.shadow(r, rest)
}

func (m *Match) shadow(r *Rules, hits []int32) {
	if len(hits) == 0 {
		return
	}
	m.Shadowed = make([]*Rule, 0, min(len(hits), maxShadowed))
	for i := len(hits) - 1; i >= 0 && len(m.Shadowed) < maxShadowed; i-- {
		m.Shadowed = append(m.Shadowed, r.Rules[hits[i]])
	}
}

// Explain says in words who owns the path, by which line, and what that line
// overruled; one sentence a line.
func (m Match) Explain() string {
	if len(m.Deciding) == 0 {
		return fmt.Sprintf("%s: no rule of %s matches", m.path, m.file)
	}
	var out strings.Builder
	for i, rule := range m.Deciding {
		if i > 0 {
			out.WriteByte('\n')
		}
		fmt.Fprintf(&out, "%s: %s:%d %s", m.path, m.file, rule.Line, rule.describe())
	}
	for _, rule := range m.Shadowed {
		fmt.Fprintf(&out, "\nshadowed: %s:%d %s", m.file, rule.Line, rule.describe())
	}
	return out.String()
}

func (r *Rule) describe() string {
	section := ""
	if r.Section.Name != "" {
		section = fmt.Sprintf(" in section %q", r.Section.Name)
		switch {
		case r.Section.Optional:
			section += " (optional)"
		case r.Section.Approvals > 1:
			section += fmt.Sprintf(" (%d approvals)", r.Section.Approvals)
		}
	}
	switch {
	case r.Exclude:
		return fmt.Sprintf("%q%s excludes it", r.Pattern, section)
	case len(r.Owners) == 0:
		return fmt.Sprintf("%q%s leaves it without an owner", r.Pattern, section)
	}
	return fmt.Sprintf("%q%s gives it to %s", r.Pattern, section, strings.Join(r.Owners, " "))
}

// Coverage is what a file says about all paths of a tree.
type Coverage struct {
	Owned   int
	Unowned []string
	// Dead holds rules that decide about no path and are in no Match that
	// they could be shadowed in; as a rule, those that match nothing.
	Dead []*Rule
}

// Cover judges every path.
func (r *Rules) Cover(paths []string) Coverage {
	var c Coverage
	used := map[*Rule]bool{}
	for _, path := range paths {
		m := r.Match(path)
		if len(m.Owners) == 0 {
			c.Unowned = append(c.Unowned, path)
		} else {
			c.Owned++
		}
		for _, rule := range m.Deciding {
			used[rule] = true
		}
		for _, rule := range m.Shadowed {
			used[rule] = true
		}
	}
	for _, rule := range r.Rules {
		if !used[rule] {
			c.Dead = append(c.Dead, rule)
		}
	}
	return c
}

// Disagreement is a path that two readings give to different owners.
type Disagreement struct {
	Path string
	A, B Match
}

// Compare lists the paths that two readings disagree about: of one file in two
// dialects, or of two versions of a file.
func Compare(a, b *Rules, paths []string) []Disagreement {
	var all []Disagreement
	for _, path := range paths {
		d := Disagreement{path, a.Match(path), b.Match(path)}
		if !slices.Equal(d.A.Owners, d.B.Owners) {
			all = append(all, d)
		}
	}
	return all
}
