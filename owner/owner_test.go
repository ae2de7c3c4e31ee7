package owner

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/fact"
)

// start is when the histories of these tests begin.
var start = time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)

// fixture is a repository that a test writes commit by commit.
type fixture struct {
	t   *testing.T
	dir string
	day int
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir()}
	f.git(nil, "init", "-q", "-b", "main")
	return f
}

func (f *fixture) git(env []string, args ...string) string {
	f.t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = f.dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1"}, env...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		f.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// commit writes files as somebody ("Name <address>"), some days after the last
// commit; committer is the author when empty.
func (f *fixture) commit(author, committer string, days int, message string, files map[string]string) string {
	f.t.Helper()
	f.day += days
	for name, content := range files {
		name = filepath.Join(f.dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			f.t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			f.t.Fatal(err)
		}
	}
	if committer == "" {
		committer = author
	}
	when := fmt.Sprintf("%d +0000", start.AddDate(0, 0, f.day).Unix())
	env := []string{"GIT_AUTHOR_DATE=" + when, "GIT_COMMITTER_DATE=" + when}
	for role, who := range map[string]string{"AUTHOR": author, "COMMITTER": committer} {
		name, email, _ := strings.Cut(strings.TrimSuffix(who, ">"), " <")
		env = append(env, "GIT_"+role+"_NAME="+name, "GIT_"+role+"_EMAIL="+email)
	}
	f.git(env, "add", "-A")
	f.git(env, "commit", "-q", "--allow-empty", "-m", message)
	return f.git(nil, "rev-parse", "HEAD")
}

func (f *fixture) resolver(days int) *Resolver {
	f.t.Helper()
	repo, err := git.Open(f.t.Context(), f.dir)
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(func() { repo.Close() })
	head, err := repo.Resolve(f.t.Context(), "HEAD")
	if err != nil {
		f.t.Fatal(err)
	}
	r, err := New(f.t.Context(), repo, head, "", start.AddDate(0, 0, f.day+days))
	if err != nil {
		f.t.Fatal(err)
	}
	return r
}

func (f *fixture) suggest(days int, s Subject) []fact.Owner {
	f.t.Helper()
	owners, err := f.resolver(days).Suggest(f.t.Context(), s)
	if err != nil {
		f.t.Fatal(err)
	}
	sum := 0.0
	for _, o := range owners {
		if o.Kind == "person" {
			sum += o.Confidence
		}
		if o.Confidence < 0 || o.Confidence > 1 || len(o.Evidence) == 0 {
			f.t.Errorf("%s has confidence %v and %d reasons", o.Name, o.Confidence, len(o.Evidence))
		}
		for _, e := range o.Evidence {
			if e.Source == "" || e.Kind == "" || e.Detail == "" {
				f.t.Errorf("%s: evidence without kind, source or detail: %+v", o.Name, e)
			}
		}
	}
	if sum > 1 {
		f.t.Errorf("the persons' confidences sum to %v", sum)
	}
	return owners
}

func ids(owners []fact.Owner) []string {
	var list []string
	for _, o := range owners {
		list = append(list, o.ID)
	}
	return list
}

func evidence(owners []fact.Owner, kind, part string) bool {
	for _, o := range owners {
		for _, e := range o.Evidence {
			if e.Kind == kind && strings.Contains(e.Detail, part) {
				return true
			}
		}
	}
	return false
}

const (
	ann = "Ann Author <ann@example.org>"
	ben = "Ben Builder <ben@example.org>"
	cem = "Cem Coder <cem@example.org>"
	bot = "dependabot[bot] <49699333+dependabot[bot]@users.noreply.github.com>"
)

func TestTheAuthorOfTheLinesComesFirstWithTheLineAsEvidence(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.commit(ann, "", 0, "first", map[string]string{"a.go": "1\n2\n3\n", "b/c.go": "x\n"})
	id := f.commit(ben, "", 5, "second", map[string]string{"a.go": "1\nBEN\n3\n"})
	owners := f.suggest(1, Subject{Path: "a.go", Lines: [][2]int{{2, 2}}})
	if diff := cmp.Diff([]string{"ben@example.org", "ann@example.org"}, ids(owners)); diff != "" {
		t.Fatal(diff)
	}
	if owners[0].Role != RoleLastAuthor || owners[0].Name != "Ben Builder" {
		t.Errorf("first is %+v", owners[0])
	}
	found := false
	for _, e := range owners[0].Evidence {
		found = found || e.Source == "a.go:2 "+id[:12] && e.Kind == "line_last"
	}
	if !found {
		t.Errorf("no evidence for a.go:2 in %+v", owners[0].Evidence)
	}
	if again := f.suggest(1, Subject{Path: "a.go", Lines: [][2]int{{2, 2}}}); cmp.Diff(owners, again) != "" {
		t.Error("the same question has two answers")
	}
}

func TestTeamsOfCodeownersComeFirstAndSayWhatTheyOverrule(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.commit(ann, "", 0, "first", map[string]string{
		"api/a.go":   "1\n",
		"CODEOWNERS": "* @acme/everyone\n/api/ @acme/api ben@example.org @stranger\n[bad\n",
	})
	f.commit(ben, "", 1, "second", map[string]string{"x.go": "1\n"})
	owners := f.suggest(1, Subject{Path: "api/a.go"})
	if owners[0].Kind != "team" || owners[0].ID != "@acme/api" || owners[0].Role != RoleOwner {
		t.Fatalf("first is %+v", owners[0])
	}
	if !strings.HasPrefix(owners[0].Evidence[0].Source, "CODEOWNERS:2 ") {
		t.Errorf("source is %q", owners[0].Evidence[0].Source)
	}
	roles := map[string]string{}
	for _, o := range owners {
		roles[o.ID] = o.Kind + " " + o.Role
	}
	for id, want := range map[string]string{"@stranger": "person owner", "ben@example.org": "person owner", "ann@example.org": "person last_author"} {
		if roles[id] != want {
			t.Errorf("%s is %q, want %q", id, roles[id], want)
		}
	}
	if _, ok := roles["@acme/everyone"]; ok {
		t.Error("a team whose rule does not count is suggested")
	}
	if !evidence(owners, "codeowners", "overruled") {
		t.Error("the rule that does not count is not named")
	}
}

func TestBotsNeverOwn(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.commit(ann, "", 0, "first", map[string]string{"go.mod": "1\n2\n3\n", "a.go": "x\n"})
	f.commit(bot, ben, 1, "Bump x from 1 to 2 (#12)", map[string]string{"go.mod": "1\nbot\n3\n"})
	f.commit(bot, "GitHub <noreply@github.com>", 1, "Bump y from 1 to 2 (#13)\n\nReviewed-by: Cem Coder <cem@example.org>\nSigned-off-by: dependabot[bot] <support@github.com>", map[string]string{"go.mod": "1\nbot\nbot\n"})
	owners := f.suggest(1, Subject{Path: "go.mod", Lines: [][2]int{{2, 3}}})
	for _, o := range owners {
		if strings.Contains(o.ID, "bot") || strings.Contains(o.ID, "noreply@") {
			t.Errorf("%s is suggested", o.ID)
		}
	}
	got := map[string]bool{}
	for _, id := range ids(owners) {
		got[id] = true
	}
	if !got["ben@example.org"] || !got["cem@example.org"] {
		t.Errorf("the humans who let the bot's commits in are missing: %v", ids(owners))
	}
	if !evidence(owners, "bot", "dependabot[bot]") {
		t.Error("the bot is not named as overruled")
	}
}

func TestAnAccountThatOnlyBumpsVersionsIsABot(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.commit(ann, "", 0, "first", map[string]string{"go.mod": "0\n"})
	for i := range 12 {
		f.commit("Mira Smith <mira@example.org>", "", 1, fmt.Sprintf("chore(deps): bump github.com/x/y from 1.%d to 1.%d (#%d)", i, i+1, i), map[string]string{"go.mod": fmt.Sprintln(i + 1)})
	}
	if got := ids(f.suggest(1, Subject{Path: "go.mod"})); len(got) != 1 || got[0] != "ann@example.org" {
		t.Errorf("suggested are %v", got)
	}
}

func TestLeaversFallBehindThoseWhoWorkThere(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.commit(ann, "", 0, "first", map[string]string{"api/a.go": "1\n2\n3\n"})
	for i := range 6 {
		f.commit(ben, "", 150, "work", map[string]string{"api/b.go": fmt.Sprintln(i), "api/c.go": fmt.Sprintln(i)})
	}
	owners := f.suggest(1, Subject{Path: "api/a.go", Lines: [][2]int{{1, 3}}})
	if owners[0].ID != "ben@example.org" {
		t.Fatalf("suggested are %v", ids(owners))
	}
	if !evidence(owners[:1], "line_history", "Ann Author with 100 % of the lines; idle for 901 days") {
		t.Errorf("what was overruled is missing: %+v", owners[0].Evidence)
	}
}

func TestInASleepingRepositoryNobodyHasLeft(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.commit(ann, "", 0, "first", map[string]string{"a.go": "1\n"})
	f.commit(ben, "", 1, "second", map[string]string{"b.go": "1\n"})
	soon, late := f.suggest(7, Subject{Path: "a.go"}), f.suggest(2000, Subject{Path: "a.go"})
	for i := range soon {
		if soon[i].ID != late[i].ID || soon[i].Confidence != late[i].Confidence {
			t.Errorf("after a week %s %v, after years %s %v", soon[i].ID, soon[i].Confidence, late[i].ID, late[i].Confidence)
		}
	}
	if !evidence(late, "inactive", "did nothing here for") {
		t.Error("that nobody did anything for years is not said")
	}
}

func TestMailmapAndCoAuthorsCount(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.commit("ann <ann@old.example>", "", 0, "first", map[string]string{
		"a.go": "1\n", ".mailmap": "Ann Author <ann@example.org> <ann@old.example>\nAnn Author <ann@example.org> Root <root@host>\n<loop@x> <ann@example.org>\n<ann@example.org> <loop@x>\nbroken\n",
	})
	f.commit("Root <root@host>", "", 1, "second (#7)\n\nCo-authored-by: Cem Coder <cem@example.org>", map[string]string{"a.go": "2\n"})
	owners := f.suggest(1, Subject{Path: "a.go"})
	if diff := cmp.Diff([]string{"ann@example.org", "cem@example.org"}, ids(owners)); diff != "" {
		t.Error(diff)
	}
}

func TestIgnoredRevisionsAreLookedThrough(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.commit(ann, "", 0, "first", map[string]string{"a.go": "one\ntwo\n"})
	id := f.commit(ben, "", 1, "reformat", map[string]string{"a.go": "ONE\nTWO\n"})
	f.commit(cem, "", 1, "list it", map[string]string{".git-blame-ignore-revs": "# reformat\n" + id + "\n"})
	owners := f.suggest(1, Subject{Path: "a.go", Lines: [][2]int{{1, 2}}})
	if owners[0].ID != "ann@example.org" || !evidence(owners, "ignored_revision", "Ben Builder") {
		t.Errorf("suggested are %v, %+v", ids(owners), owners[0].Evidence)
	}
}

func TestAnswersAsOfACommitIgnoreLaterOnes(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	first := f.commit(ann, "", 0, "first", map[string]string{"a.go": "1\n"})
	f.commit(ben, "", 1, "second", map[string]string{"a.go": "2\n", "CODEOWNERS": "* @acme/later\n", ".mailmap": "Zoe <zoe@example.org> <ann@example.org>\n"})
	repo, err := git.Open(t.Context(), f.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer repo.Close()
	head, err := repo.Resolve(t.Context(), "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	history, err := repo.History(t.Context(), head, "")
	if err != nil {
		t.Fatal(err)
	}
	index, err := NewIndex(t.Context(), repo, history)
	if err != nil {
		t.Fatal(err)
	}
	r, err := index.At(t.Context(), first, start)
	if err != nil {
		t.Fatal(err)
	}
	later, err := r.Suggest(t.Context(), Subject{Path: "a.go"})
	if err != nil {
		t.Fatal(err)
	}
	alone, err := New(t.Context(), repo, first, "", start)
	if err != nil {
		t.Fatal(err)
	}
	only, err := alone.Suggest(t.Context(), Subject{Path: "a.go"})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(only, later); diff != "" || len(only) != 1 || only[0].ID != "ann@example.org" {
		t.Errorf("as of the first commit: %v; %s", ids(later), diff)
	}
}

func TestAFileThatHistoryDoesNotKnowIsAnsweredFromItsSurroundings(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.commit(ann, "", 0, "first", map[string]string{"api/a.go": "1\n", "web/b.ts": "1\n"})
	f.commit(ben, "", 1, "second", map[string]string{"web/b.ts": "2\n"})
	owners := f.suggest(1, Subject{Files: []File{{Path: "web/new.ts"}}})
	if owners[0].ID != "ben@example.org" || owners[0].Role != RoleReviewer {
		t.Errorf("first is %+v", owners[0])
	}
	if _, err := f.resolver(1).Suggest(t.Context(), Subject{}); err == nil {
		t.Error("a question about nothing was answered")
	}
}

func TestExplainSaysWhoWhyAndWhatWasOverruled(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	f.commit(ann, "", 0, "first", map[string]string{"a.go": "1\n2\n3\n", "CODEOWNERS": "*.go @acme/go\nbad[ @x\n"})
	f.commit("Mal\x1b[31mory <mal@example.org>", "", 1, "second", map[string]string{"a.go": "1\nM\n3\n"})
	x, err := Explain(t.Context(), f.dir, "", "a.go", [2]int{2, 3}, t.TempDir(), start.AddDate(0, 0, 2))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := x.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	text := b.String()
	for _, want := range []string{"a.go:2-3 in local/", "1. acme/go (team, owner) 90 %", "CODEOWNERS:1", "Mal [31mory", "a.go:2"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "\x1b") {
		t.Error("a control character reached the terminal")
	}
	for _, test := range []struct {
		path  string
		lines [2]int
		want  error
	}{{"nope.go", [2]int{}, fs.ErrNotExist}, {"a.go", [2]int{9, 9}, nil}, {"../a.go", [2]int{}, fs.ErrNotExist}} {
		if _, err := Explain(t.Context(), f.dir, "", test.path, test.lines, "", start); err == nil || test.want != nil && !errors.Is(err, test.want) {
			t.Errorf("%s:%v: %v", test.path, test.lines, err)
		}
	}
	if _, err := Explain(t.Context(), f.dir, "--all", "a.go", [2]int{}, "", start); !errors.Is(err, git.ErrUnknownRev) {
		t.Errorf("an option as revision: %v", err)
	}
}

func TestParseSubjectReadsLinesAfterThePath(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]struct {
		path  string
		lines [2]int
		ok    bool
	}{
		"a.go": {"a.go", [2]int{}, true}, "a.go:3": {"a.go", [2]int{3, 3}, true}, "a:b.go:3-9": {"a:b.go", [2]int{3, 9}, true},
		"a:b": {"a:b", [2]int{}, true}, "a:": {"a:", [2]int{}, true}, "a:9-3": {}, "a:0": {}, "a:1-": {}, "a:99999999999": {}, "a:1-2-3": {},
	} {
		path, lines, err := ParseSubject(in)
		if (err == nil) != want.ok || err == nil && (path != want.path || lines != want.lines) {
			t.Errorf("%q is %q %v, %v", in, path, lines, err)
		}
	}
}

func TestBotsAreKnownByNameAndAddress(t *testing.T) {
	t.Parallel()
	for name, email := range map[string]string{
		"renovate[bot]": "29139614+renovate[bot]@users.noreply.github.com", "Renovate Bot": "bot@renovateapp.com", "dependabot-preview[bot]": "x@y",
		"github-actions": "x@y", "acme-ci-bot": "x@y", "Release Robot": "x@y", "GitHub": "noreply@github.com", "Somebody": "41898282+github-actions[bot]@users.noreply.github.com",
		"snyk-bot": "snyk-bot@snyk.io", "greenkeeper": "support@greenkeeper.io", "svc": "svc@acme.example",
	} {
		if botIdent(git.Ident{Name: name, Email: email}) == "" {
			t.Errorf("%s <%s> passes as human", name, email)
		}
	}
	for name, email := range map[string]string{
		"Abbott Botha": "abbott@example.org", "Cirobot Lee": "lee@example.org", "Travis Smith": "travis.smith@example.org", "Gerrit van der Berg": "gerrit.berg@example.org", "Mend Y": "mendy@example.org",
		"Ann Author": "123+ann@users.noreply.github.com",
	} {
		if why := botIdent(git.Ident{Name: name, Email: email}); why != "" {
			t.Errorf("%s <%s>: %s", name, email, why)
		}
	}
}

func TestUtilityGrowsWithTheShare(t *testing.T) {
	t.Parallel()
	for s := range signals {
		r := &Resolver{model: general()}
		if weights[s] <= 0 || math.Abs(r.utility(s, 1)-weights[s]) > 1e-9 || r.utility(s, .2) >= r.utility(s, .4) || r.utility(s, 0) != 0 {
			t.Errorf("%s: %v %v", signalNames[s], r.utility(s, 0), r.utility(s, 1))
		}
	}
}

func FuzzMailmap(f *testing.F) {
	f.Add("A <a@b> C <c@d>\n<x@y> <c@d> # comment\nN <n@n>", "C", "c@d")
	f.Fuzz(func(t *testing.T, text, name, email string) {
		m := parseMailmap([]byte(text))
		got := m.apply(git.Ident{Name: name, Email: email})
		if strings.ContainsAny(got.Name, "\n<") && !strings.ContainsAny(name, "\n<") || strings.ContainsAny(got.Email, "\n>") && !strings.ContainsAny(email, "\n>") {
			t.Fatalf("%q maps to %q", git.Ident{Name: name, Email: email}, got)
		}
	})
}
