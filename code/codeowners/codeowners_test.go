package codeowners

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backstitch/backstitch/code"
	"github.com/google/go-cmp/cmp"
)

// data gives the folder of the real data, or skips.
func data(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("BACKSTITCH_DATA")
	if dir == "" {
		root, err := filepath.Abs(".")
		if err != nil {
			t.Fatal(err)
		}
		for root != filepath.Dir(root) {
			if _, err := os.Stat(filepath.Join(root, "go.mod")); err == nil {
				break
			}
			root = filepath.Dir(root)
		}
		dir = filepath.Join(root, "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("BACKSTITCH_DATA_REQUIRED") == "1" {
			t.Fatal(err)
		}
		t.Skip("no data folder: " + err.Error())
	}
	return dir
}

func TestPatternsAgreeWithAPeersVerdicts(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(filepath.Join(data(t), "ownership", "codeowners", "patterns.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases []struct {
		Name, Pattern string
		Paths         map[string]bool
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		t.Fatal(err)
	}
	verdicts := 0
	for _, c := range cases {
		rules, _ := Parse(GitHub, "CODEOWNERS", []byte(c.Pattern+" @a"))
		for path, want := range c.Paths {
			verdicts++
			if got := rules.Match(path).Line > 0; got != want {
				t.Errorf("%s: %q matches %q: %v, want %v", c.Name, c.Pattern, path, got, want)
			}
		}
	}
	if verdicts == 0 {
		t.Error("no verdict found")
	}
}

func TestGitHubDecidesByTheLastMatchingRule(t *testing.T) {
	t.Parallel()
	rules, problems := Parse(GitHub, ".github/CODEOWNERS", []byte(strings.Join([]string{
		"# everything", "*  @org/all", "/docs/ @writer docs@example.org # inline", "docs/*.md",
		`/my\ folder/ @space`, "/a/**/z @deep", "/apps/* @apps", "*.go\t@gopher", "logs/ @logs", `/x\*y @star`, "",
	}, "\r\n")))
	if len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
	for path, want := range map[string]string{
		"README.md":         "2 * [@org/all] []",
		"docs/a.txt":        "3 /docs/ [@writer docs@example.org] [2]",
		"docs/a.md":         "4 docs/*.md [] [3 2]",
		"docs/b/a.md":       "3 /docs/ [@writer docs@example.org] [2]",
		"my folder/x":       `5 /my\ folder/ [@space] [2]`,
		"a/z":               "6 /a/**/z [@deep] [2]",
		"a/b/c/z/file":      "6 /a/**/z [@deep] [2]",
		"apps/one":          "7 /apps/* [@apps] [2]",
		"apps/one/two":      "2 * [@org/all] []",
		"apps/main.go":      "8 *.go [@gopher] [7 2]",
		"deep/logs/x.go":    "9 logs/ [@logs] [8 2]",
		"logs":              "2 * [@org/all] []",
		"x*y":               `10 /x\*y [@star] [2]`,
		"xay":               "2 * [@org/all] []",
		"docs/über/日本.md":   "3 /docs/ [@writer docs@example.org] [2]",
		"a/日/語/z":           "6 /a/**/z [@deep] [2]",
		"logs/logs/logs/go": "9 logs/ [@logs] [2]",
	} {
		m := rules.Match(path)
		var shadowed []int
		for _, rule := range m.Shadowed {
			shadowed = append(shadowed, rule.Line)
		}
		if got := fmt.Sprint(m.Line, " ", m.Pattern, " ", m.Owners, " ", shadowed); got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
}

func TestGitHubSkipsAndReportsWhatItDoesNotUnderstand(t *testing.T) {
	t.Parallel()
	rules, problems := Parse(GitHub, "CODEOWNERS", []byte("* @a\n!/x @b\n\\#y @b\n/z nobody\n/w***w @b\n/q[ab] @b\n/\xff @b\n/r @a/b/c\n/ @b\n"))
	var got []string
	for _, p := range problems {
		got = append(got, fmt.Sprint(p.Line))
	}
	if diff := cmp.Diff([]string{"2", "3", "4", "5", "6", "7", "8", "9"}, got); diff != "" {
		t.Errorf("lines with a problem (-want +got):\n%s\n%v", diff, problems)
	}
	for path, line := range map[string]int{"x": 1, "#y": 1, "z": 1, "qa": 1, "q[ab]": 6} {
		if m := rules.Match(path); m.Line != line {
			t.Errorf("%s decided by line %d, want %d", path, m.Line, line)
		}
	}
}

func TestGitLabJudgesEachSectionByItself(t *testing.T) {
	t.Parallel()
	rules, problems := Parse(GitLab, "CODEOWNERS", []byte(`* @default
/docs/ @docs
\#file\ name @hash
[Backend][2] @group/sub/nested
*.go
/cmd/*.go @@maintainers
!generated.go
generated.go @late
^[Style] style@example.org
*.css
[backend]
/api/ @api
/[a-c]x/**/*.txt @set
/flat/** @flat
`))
	if len(problems) > 0 {
		t.Errorf("problems: %v", problems)
	}
	for path, want := range map[string][]string{
		"main.go":         {"1:@default", "5 Backend 2:@group/sub/nested"},
		"cmd/main.go":     {"1:@default", "6 Backend 2:@@maintainers"},
		"sub/cmd/main.go": {"1:@default", "5 Backend 2:@group/sub/nested"},
		"generated.go":    {"1:@default", "7 Backend 2:"},
		"docs/a/b.css":    {"2:@docs", "10 Style optional:style@example.org"},
		"api/x":           {"1:@default", "12 Backend 2:@api"},
		"v1/api/x":        {"1:@default"},
		"#file name":      {"3:@hash"},
		"docs":            {"1:@default"},
		"bx/q.txt":        {"1:@default", "13 Backend 2:@set"},
		"bx/q/r.txt":      {"1:@default", "13 Backend 2:@set"},
		"dx/q.txt":        {"1:@default"},
		"flat/one":        {"1:@default", "14 Backend 2:@flat"},
		"flat/one/two":    {"1:@default"},
	} {
		var got []string
		for _, rule := range rules.Match(path).Deciding {
			text := fmt.Sprint(rule.Line)
			if s := rule.Section; s.Name != "" {
				text += " " + s.Name
				if s.Optional {
					text += " optional"
				} else {
					text += fmt.Sprint(" ", s.Approvals)
				}
			}
			got = append(got, text+":"+strings.Join(rule.Owners, " "))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if m := rules.Match("cmd/main.go"); !slices.Equal(m.Owners, []string{"@default", "@@maintainers"}) || len(m.Shadowed) != 1 || m.Shadowed[0].Line != 5 {
		t.Errorf("owners %v, shadowed %v", m.Owners, m.Shadowed)
	}
}

func TestGitLabReportsHeadersAndOwnersThatCannotBe(t *testing.T) {
	t.Parallel()
	_, problems := Parse(GitLab, "CODEOWNERS", []byte("[Open\n[] @a\n[Zero][0] @a\n^[Opt][3] @a\n[None]\nx\ny nobody\n!z @a\nw @@guest @b\n"))
	var lines []int
	for _, p := range problems {
		lines = append(lines, p.Line)
	}
	if diff := cmp.Diff([]int{1, 2, 3, 4, 6, 7, 7, 8, 9}, lines); diff != "" {
		t.Errorf("lines (-want +got):\n%s\n%v", diff, problems)
	}
}

func TestGiteaAddsTheOwnersOfEveryMatchingExpression(t *testing.T) {
	t.Parallel()
	rules, problems := Parse(Gitea, "CODEOWNERS", []byte(`.*\\.go @gopher
!docs/.* @org/code plain
docs/.* @writer # said
(broken @a
a\ b @space
lonely
.*(?=x) @look
`))
	for path, want := range map[string][]string{
		"main.go":   {"@gopher", "@org/code", "@plain"},
		"docs/x.go": {"@gopher", "@writer"},
		"docs/x":    {"@writer"},
		"maingo":    {"@org/code", "@plain"},
		"a b":       {"@org/code", "@plain", "@space"},
	} {
		if got := rules.Match(path).Owners; !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", path, got, want)
		}
	}
	var lines []int
	for _, p := range problems {
		lines = append(lines, p.Line)
	}
	if !slices.Equal(lines, []int{4, 6, 7}) {
		t.Errorf("problems: %v", problems)
	}
}

func TestFindTakesTheFirstPlaceOfTheDialect(t *testing.T) {
	t.Parallel()
	tree := code.Files{
		".github/CODEOWNERS": []byte("* @dotgithub"), "CODEOWNERS": []byte("* @root"), "docs/CODEOWNERS": []byte("* @docs"),
	}
	for dialect, want := range map[Dialect]string{GitHub: "@dotgithub", GitLab: "@root"} {
		rules, _, err := Find(context.Background(), tree, dialect)
		if err != nil {
			t.Fatal(err)
		}
		if got := rules.Match("x").Owners; !slices.Equal(got, []string{want}) {
			t.Errorf("%s: %v, want %s", dialect, got, want)
		}
	}
	if rules, problems, err := Find(context.Background(), code.Files{}, Gitea); rules != nil || problems != nil || err != nil {
		t.Errorf("empty tree: %v %v %v", rules, problems, err)
	}
	large := code.Files{".github/CODEOWNERS": []byte(strings.Repeat("* @a\n", MaxFile/5+1)), "CODEOWNERS": []byte("* @root")}
	rules, problems, err := Find(context.Background(), large, GitHub)
	if err != nil || len(problems) != 1 || rules.Match("x").Line != 0 {
		t.Errorf("too large a file: %v %v", problems, err)
	}
}

func TestExplainNamesTheDecidingAndTheShadowedLines(t *testing.T) {
	t.Parallel()
	rules, _ := Parse(GitHub, "CODEOWNERS", []byte("* @all\n/docs/ @writer\n/docs/gen/\n"))
	got := rules.Match("docs/gen/x").Explain()
	want := `docs/gen/x: CODEOWNERS:3 "/docs/gen/" leaves it without an owner
shadowed: CODEOWNERS:2 "/docs/" gives it to @writer
shadowed: CODEOWNERS:1 "*" gives it to @all`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	none, _ := Parse(GitHub, "CODEOWNERS", nil)
	if got := none.Match("x").Explain(); got != "x: no rule of CODEOWNERS matches" {
		t.Error(got)
	}
}

func TestCoverListsUnownedPathsAndDeadRules(t *testing.T) {
	t.Parallel()
	rules, _ := Parse(GitHub, "CODEOWNERS", []byte("/a/ @a\n/gone/ @b\n/a/free\n"))
	c := rules.Cover([]string{"a/x", "a/free", "b"})
	if c.Owned != 1 || !slices.Equal(c.Unowned, []string{"a/free", "b"}) || len(c.Dead) != 1 || c.Dead[0].Line != 2 {
		t.Errorf("%+v", c)
	}
}

func TestDialectFollowsTheHost(t *testing.T) {
	t.Parallel()
	for identity, want := range map[string]Dialect{
		"github.com/acme/shop": GitHub, "gitlab.com/acme/shop": GitLab, "gitlab.acme.example/x/gitea": GitLab,
		"codeberg.org/a/b": Gitea, "git.acme.example/x": Unknown, "": Unknown,
	} {
		if got := DialectOf(identity); got != want {
			t.Errorf("%q: %s, want %s", identity, got, want)
		}
	}
}

func TestFindReadsTheDialectOffTheRepositoryWhereTheHostTellsNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		tree code.Tree
		want Dialect
		path string
	}{
		"a file of GitLab":            {code.Files{".gitlab/CODEOWNERS": []byte("* @a\n")}, GitLab, ".gitlab/CODEOWNERS"},
		"a pipeline of GitLab":        {code.Files{".gitlab-ci.yml": nil, "CODEOWNERS": []byte("* @a\n"), ".gitlab/CODEOWNERS": nil}, GitLab, "CODEOWNERS"},
		"sections":                    {code.Files{"docs/CODEOWNERS": []byte("\xef\xbb\xbf# who\r\n* @a\r\n^[Docs][2] @b\r\n")}, GitLab, "docs/CODEOWNERS"},
		"a section of the first line": {code.Files{"CODEOWNERS": []byte("\xef\xbb\xbf[Docs]\n*.md @b\n")}, GitLab, "CODEOWNERS"},
		"a file of Forgejo":           {code.Files{".forgejo/CODEOWNERS": []byte(".* @a\n")}, Gitea, ".forgejo/CODEOWNERS"},
		"nothing that tells":          {code.Files{"CODEOWNERS": []byte("src/[ab].c @a\n")}, GitHub, "CODEOWNERS"},
		"both":                        {code.Files{".github/CODEOWNERS": []byte("* @a\n"), ".gitlab/CODEOWNERS": []byte("* @b\n")}, GitHub, ".github/CODEOWNERS"},
	} {
		rules, _, err := Find(t.Context(), c.tree, Unknown)
		if err != nil || rules == nil || rules.Dialect != c.want || rules.Path != c.path {
			t.Errorf("%s: %+v %v, want %s by %s", name, rules, err, c.path, c.want)
		}
	}
}

// naive is the definition of a pattern of GitHub, by plain recursion.
func naive(pattern, path string) bool {
	pattern, rooted := strings.CutPrefix(pattern, "/")
	inside := strings.HasSuffix(pattern, "/")
	pattern = strings.TrimSuffix(pattern, "/")
	parts := strings.Split(pattern, "/")
	if !rooted && len(parts) == 1 && parts[0] != "**" {
		parts = append([]string{"**"}, parts...)
	}
	last := parts[len(parts)-1]
	if inside && !slices.ContainsFunc(parts, func(p string) bool { return p != "**" }) {
		return strings.Contains(path, "/")
	}
	return naiveParts(parts, strings.Split(path, "/"), func(rest int) bool {
		switch {
		case inside, last == "**":
			return rest > 0
		case last == "*":
			return rest == 0
		}
		return true
	})
}

func naiveParts(parts, names []string, end func(rest int) bool) bool {
	if len(parts) == 0 {
		return end(len(names))
	}
	if parts[0] == "**" {
		if naiveParts(parts[1:], names, end) {
			return true
		}
		return len(names) > 0 && naiveParts(parts, names[1:], end)
	}
	return len(names) > 0 && naiveName(parts[0], names[0]) && naiveParts(parts[1:], names[1:], end)
}

func naiveName(glob, name string) bool {
	switch {
	case glob == "":
		return name == ""
	case glob[0] == '*':
		return naiveName(glob[1:], name) || name != "" && naiveName(glob, name[1:])
	case name == "":
		return false
	}
	return (glob[0] == '?' || glob[0] == name[0]) && naiveName(glob[1:], name[1:])
}

func randomText(random *rand.Rand, parts []string, most int) string {
	var names []string
	for range 1 + random.IntN(most) {
		names = append(names, parts[random.IntN(len(parts))])
	}
	return strings.Join(names, "/")
}

func TestMatcherAgreesWithTheNaiveDefinition(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 11))
	globs := []string{"a", "b", "ab", "*", "**", "a*", "*b", "a*b", "?", "a?*", "*a*b*", "??"}
	names := []string{"a", "b", "ab", "aab", "ba", "abb", "aabb"}
	matched := 0
	for range 3000 {
		var file strings.Builder
		var patterns []string
		for range 1 + random.IntN(6) {
			pattern := randomText(random, globs, 4)
			if random.IntN(2) == 0 {
				pattern = "/" + pattern
			}
			if random.IntN(3) == 0 {
				pattern += "/"
			}
			patterns = append(patterns, pattern)
			fmt.Fprintf(&file, "%s @a\n", pattern)
		}
		rules, _ := Parse(GitHub, "CODEOWNERS", []byte(file.String()))
		for range 10 {
			path := randomText(random, names, 5)
			want := 0
			for i, pattern := range patterns {
				if naive(pattern, path) {
					want = i + 1
				}
			}
			if want > 0 {
				matched++
			}
			if got := rules.Match(path).Line; got != want {
				t.Fatalf("%q decides by line %d, want %d, of:\n%s", path, got, want, file.String())
			}
		}
	}
	if matched < 1000 {
		t.Errorf("only %d paths were matched by anything", matched)
	}
}

func TestNastyPatternsTakeLittleTime(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	for i := range 100_000 {
		fmt.Fprintf(&file, "/d%d/*.x @a\n", i)
	}
	for range 50 {
		file.WriteString("**/" + strings.Repeat("a*", 100) + "b @a\n" + strings.Repeat("**/a/", 50) + "c @b\n")
	}
	start := time.Now()
	rules, problems := Parse(GitHub, "CODEOWNERS", []byte(file.String()))
	if len(problems) > 0 {
		t.Fatal(problems[0])
	}
	path := strings.Repeat("a/", 400) + strings.Repeat("a", 250)
	for range 20 {
		if m := rules.Match(path); m.Line != 0 {
			t.Fatalf("line %d matches", m.Line)
		}
	}
	if m := rules.Match("d99999/y.x"); m.Line != 100_000 {
		t.Errorf("line %d", m.Line)
	}
	if spent := time.Since(start); spent > 20*time.Second {
		t.Errorf("took %v", spent)
	}
}

func TestEqualPatternsWithoutEndStayShort(t *testing.T) {
	t.Parallel()
	rules, _ := Parse(GitHub, "CODEOWNERS", []byte(strings.Repeat("* @a\n", 100_000)))
	m := rules.Match("x")
	if m.Line != 100_000 || len(m.Shadowed) != maxShadowed || m.Shadowed[0].Line != 99_999 {
		t.Errorf("line %d, %d shadowed", m.Line, len(m.Shadowed))
	}
}

func FuzzParse(f *testing.F) {
	for i, dialect := range []Dialect{GitHub, GitLab, Gitea} {
		f.Add(byte(i), "* @a\n/docs/ b@example.org # c\n[S][2] @d\n!x\na|b @c\n**/x/** @@owner\n\\ a @b\n"+string(dialect), "docs/x")
	}
	f.Add(byte(1), "[a-[] @b\n[[:alpha:]]x @c", "x")
	f.Fuzz(func(t *testing.T, kind byte, text, path string) {
		dialect := []Dialect{GitHub, GitLab, Gitea}[int(kind)%3]
		rules, problems := Parse(dialect, "CODEOWNERS", []byte(text))
		lines := strings.Count(text, "\n") + 1
		for _, p := range problems {
			if p.Line < 0 || p.Line > lines {
				t.Fatalf("problem at line %d of %d", p.Line, lines)
			}
		}
		m := rules.Match(path)
		if (m.Line == 0) != (len(m.Deciding) == 0) {
			t.Fatalf("line %d with %d deciding rules", m.Line, len(m.Deciding))
		}
		for _, rule := range append(slices.Clone(m.Deciding), m.Shadowed...) {
			if rule.Line < 1 || rule.Line > lines || !strings.Contains(strings.ReplaceAll(strings.Split(text, "\n")[rule.Line-1], `\`, ""), strings.ReplaceAll(rule.Pattern, `\`, "")) {
				t.Fatalf("rule %q is not on line %d", rule.Pattern, rule.Line)
			}
		}
		if m.Explain() == "" {
			t.Fatal("nothing explained")
		}
	})
}

func TestRulesServeManyAtOnce(t *testing.T) {
	t.Parallel()
	rules, _ := Parse(GitHub, "CODEOWNERS", []byte("* @a\n**/x/**/y/ @b\n/d*/*.go @c\n"))
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for path, want := range map[string]int{"q": 1, "x/y/z": 2, "a/x/b/y/z": 2, "dd/m.go": 3} {
				for range 200 {
					if m := rules.Match(path); m.Line != want {
						t.Errorf("%s: line %d, want %d", path, m.Line, want)
					}
				}
			}
		})
	}
	group.Wait()
}

func TestCompareListsWhereDialectsDisagree(t *testing.T) {
	t.Parallel()
	text := []byte("* @all\n/docs/** @docs\nlib @lib\n")
	github, _ := Parse(GitHub, "CODEOWNERS", text)
	gitlab, _ := Parse(GitLab, "CODEOWNERS", text)
	var got []string
	for _, d := range Compare(github, gitlab, []string{"a", "docs/x", "docs/x/y", "lib", "lib/z"}) {
		got = append(got, fmt.Sprint(d.Path, d.A.Owners, d.B.Owners))
	}
	if diff := cmp.Diff([]string{"docs/x/y[@docs] [@all]", "lib/z[@lib] [@all]"}, got); diff != "" {
		t.Error(diff)
	}
}
