package actions_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/actions"
	"github.com/backstitch/backstitch/fix/fixtest"
)

// advisories are advisories of actions, whose versions are ordered like npm's; a tag
// of fewer than three numbers is at the newest of them.
type advisories struct{ fixtest.Advisories }

func (a advisories) Of(_, name string) ([]fact.Advisory, error) { return a.Advisories.Of("npm", name) }

func (a advisories) Affecting(pkg fact.Package) ([]fact.Advisory, error) {
	pkg.Ecosystem = "npm"
	pkg.Version += strings.Repeat(".999", 2-strings.Count(pkg.Version, "."))
	return a.Advisories.Affecting(pkg)
}

func (a advisories) Compare(_, x, y string) (int, error) { return a.Advisories.Compare("npm", x, y) }

// forge makes repositories with tags and returns the folder that holds them, and the
// commit of each owner/name@tag.
func forge(t *testing.T, tags map[string][]string) (string, map[string]string) {
	t.Helper()
	dir := t.TempDir()
	ids := map[string]string{}
	for name, list := range tags {
		repository := filepath.Join(dir, name)
		if err := os.MkdirAll(repository, 0o755); err != nil {
			t.Fatal(err)
		}
		git := func(args ...string) string {
			cmd := exec.Command("git", args...)
			cmd.Dir = repository
			cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.com", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.com")
			out, err := cmd.CombinedOutput()
			if err != nil {
				t.Fatalf("git %q: %v: %s", args, err, out)
			}
			return strings.TrimSpace(string(out))
		}
		git("init", "--quiet")
		for _, tag := range list {
			git("commit", "--quiet", "--allow-empty", "-m", tag)
			for one := range strings.FieldsSeq(tag) {
				if strings.Count(one, ".") == 2 {
					git("tag", "-a", "-m", one, one) // annotated: its commit counts
				} else {
					git("tag", "-f", one)
				}
				ids[name+"@"+one] = git("rev-parse", "HEAD")
			}
		}
	}
	return dir, ids
}

const old = "0123456789abcdef0123456789abcdef01234567"

func workflows() map[string]string {
	return map[string]string{
		".github/workflows/ci.yml": "jobs:\r\n  a:\r\n    steps:\r\n    - uses: acme/files@v45   # changed files\r\n    - uses: \"acme/files@" + old + "\" # tag=v45.0.2, kept\r\n    - run: echo acme/files@v45\r\n",
		".github/workflows/go.yml": "jobs:\n  a:\n    steps:\n    - uses: acme/files@v45\n    - {uses: acme/files/sub@v45.0.3}\n",
	}
}

func about(t *testing.T, files map[string]string, version string, flaw fact.Advisory) func() *fix.Target {
	t.Helper()
	tree := code.Files{}
	for file, text := range files {
		tree[file] = []byte(text)
	}
	modules, err := lockfile.Read(t.Context(), tree)
	if err != nil || len(modules) != 1 {
		t.Fatalf("%d modules, %v", len(modules), err)
	}
	at := slices.IndexFunc(modules[0].Packages, func(p lockfile.Package) bool { return p.Version == version })
	if at < 0 {
		t.Fatalf("no %s in %+v", version, modules[0].Packages)
	}
	return func() *fix.Target {
		return &fix.Target{Module: &modules[0], Modules: modules, Package: at, Tree: tree, Advisories: advisories{fixtest.Advisories{flaw}}}
	}
}

func TestVulnerableActionsAreRaisedInTheirStyle(t *testing.T) {
	dir, ids := forge(t, map[string][]string{"acme/files": {"v45.0.8 v45", "v46.0.0", "v46.0.1 v46"}})
	files := workflows()
	both := []string{".github/workflows/ci.yml", ".github/workflows/go.yml"}
	flaw := fixtest.Flaw("GHSA-1", "npm", "acme/files", "0", "46.0.1")
	fixtest.Conformance(t, actions.New(&actions.Git{Forge: dir}), []fixtest.Case{
		{
			Name: "a major tag, wherever it is used", Files: files, May: both, Target: about(t, files, "v45", flaw), Lines: map[string]int{both[0]: 1, both[1]: 1},
			Want: map[string][]string{both[0]: {"acme/files@v46   # changed files\r\n", "echo acme/files@v45\r\n"}, both[1]: {"- uses: acme/files@v46\n", "sub@v45.0.3}"}},
		},
		{
			Name: "a full tag", Files: files, May: both[1:], Target: about(t, files, "v45.0.3", flaw), Lines: map[string]int{both[1]: 1},
			Want: map[string][]string{both[1]: {"{uses: acme/files/sub@v46.0.1}\n"}},
		},
		{
			Name: "a pinned commit with its comment", Files: files, May: both[:1], Target: about(t, files, "v45.0.2", flaw), Lines: map[string]int{both[0]: 1}, Needs: []string{"git"},
			Want: map[string][]string{both[0]: {"- uses: \"acme/files@" + ids["acme/files@v46.0.1"] + "\" # tag=v46.0.1, kept\r\n"}},
		},
	})
}

func TestEveryVersionOfAnActionIsRaisedInOneChange(t *testing.T) {
	dir, ids := forge(t, map[string][]string{"acme/files": {"v45.0.8 v45", "v46.0.0", "v46.0.1 v46"}})
	files := workflows()
	target := about(t, files, "v45.0.3", fixtest.Flaw("GHSA-1", "npm", "acme/files", "0", "46.0.1"))()
	target.Package = 0
	for i := range target.Module.Packages[1:] {
		target.Others = append(target.Others, i+1)
	}
	fixer := actions.New(&actions.Git{Forge: dir})
	paths, err := fixer.Plan(t.Context(), target)
	if err != nil || len(paths) != 2 || len(paths[1].Moves) != 3 || len(paths[1].Changes) != 3 || paths[0].ID == paths[1].ID {
		t.Fatalf("Plan() = %+v, %v, expected a second path that moves all three", paths, err)
	}
	root := t.TempDir()
	for name, text := range files {
		if err := os.MkdirAll(filepath.Join(root, filepath.Dir(name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := fixer.Apply(t.Context(), root, paths[1]); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		want := strings.NewReplacer("uses: acme/files@v45", "uses: acme/files@v46", old, ids["acme/files@v46.0.1"], "v45.0.2", "v46.0.1", "v45.0.3", "v46.0.1").Replace(text)
		if got, err := os.ReadFile(filepath.Join(root, name)); err != nil || string(got) != want {
			t.Errorf("%s: %v:\n%s", name, err, cmp.Diff(want, string(got)))
		}
	}
	target.Package, target.Others = 1, []int{0, 2}
	if paths, err := fixer.Plan(t.Context(), target); err != nil || len(paths) != 1 {
		t.Errorf("Plan() = %+v, %v, expected the path of all to be planned once", paths, err)
	}
}

func TestATagThatMovesWithTheFixNeedsNoChange(t *testing.T) {
	t.Parallel()
	target := about(t, workflows(), "v45", fixtest.Flaw("GHSA-1", "npm", "acme/files", "0", "45.0.8"))()
	if paths, err := actions.New(&actions.Git{}).Plan(t.Context(), target); err == nil || len(paths) > 0 {
		t.Errorf("Plan() = %v, %v, expected that no advisory affects the tag", paths, err)
	}
}

func TestACommitWithoutAVersionIsNamedAsWhatBlocks(t *testing.T) {
	t.Parallel()
	files := map[string]string{".github/workflows/ci.yml": "jobs: {a: {uses: acme/files/x.yml@" + old + "}}\n"}
	target := about(t, files, "git:"+old, fixtest.Flaw("GHSA-1", "npm", "acme/files", "0", "46.0.1"))()
	paths, err := actions.New(&actions.Git{}).Plan(t.Context(), target)
	if err != nil || len(paths) > 0 || len(target.Blocked) != 1 || target.Blocked[0].Location.Line != 1 {
		t.Errorf("Plan() = %v, %v, blocked by %+v", paths, err, target.Blocked)
	}
}

func TestWhatCannotBeDoneLeavesEveryFileAsItWas(t *testing.T) {
	dir, _ := forge(t, map[string][]string{"acme/files": {"v45.0.8"}})
	files := workflows()
	ci := ".github/workflows/ci.yml"
	for _, test := range []struct {
		change fix.Change
		step   fix.Step
		want   string
	}{
		{fix.Change{Package: "acme/files", From: "v45.0.2", To: "46.0.1"}, fix.Step{Location: fix.At(ci, 5, 0)}, "acme/files has no tag 46.0.1"},
		{fix.Change{Package: "acme/files", From: "v44", To: "46.0.1"}, fix.Step{Location: fix.At(ci, 4, 0)}, "the lines hold no use"},
		{fix.Change{Package: "acme/files", From: "v45", To: "46.0.1"}, fix.Step{Location: fix.At("../x.yml", 4, 0)}, "x.yml"},
		{fix.Change{Package: "acme/files", From: "v45", To: "46.0.1"}, fix.Step{}, "names no line"},
		{fix.Change{Package: "--upload-pack=x", From: "v45", To: "46.0.1"}, fix.Step{Location: fix.At(ci, 4, 0)}, "expected an action"},
		{fix.Change{Package: "acme/files", From: "v45", To: "v46 # x"}, fix.Step{Location: fix.At(ci, 4, 0)}, "expected an action"},
	} {
		fixtest.Unchanged(t, actions.New(&actions.Git{Forge: dir}), files, fix.Path{Kind: fix.RaiseDirect, Changes: []fix.Change{test.change}, Steps: []fix.Step{test.step}}, test.want)
	}
	if _, err := (&actions.Git{Forge: "ext::sh -c x"}).Refs(t.Context(), "a/b"); err == nil {
		t.Error("an address that is none was asked")
	}
	if _, err := (&actions.Git{Forge: dir}).Refs(t.Context(), "acme/.."); err == nil {
		t.Error("a repository out of the forge was asked")
	}
}

func TestTagsAreThoseOfTheForge(t *testing.T) {
	t.Parallel()
	dir, ids := forge(t, map[string][]string{"acme/files": {"v4.2.0 v4", "v4.2.1 v4 v4.2", "v4.10.0 nightly v5"}})
	git := &actions.Git{Forge: dir}
	refs, err := git.Refs(t.Context(), "acme/files")
	if tags := refs.Tags; err != nil || tags["v4"] != ids["acme/files@v4.2.1"] || tags["v4.10.0"] != ids["acme/files@v4.10.0"] || len(tags) != 7 || len(refs.Branches) != 1 {
		t.Errorf("Refs() = %v, %v, expected %v", refs, err, ids)
	}
	if versions, err := (actions.Registry{Resolver: git}).Versions(t.Context(), "acme/files"); err != nil || !slices.Equal(versions, []string{"v4.2.0", "v4.2.1", "v4.10.0"}) {
		t.Errorf("Versions() = %q, %v", versions, err)
	}
	for ref, want := range map[string]string{"v4": "v4.2.1", "v5": "v4.10.0", "v4.2.0": "v4.2.0", "nightly": "v4.10.0"} {
		id, version, err := actions.Resolve(t.Context(), git, &lockfile.ActionUse{Name: "acme/files", Ref: ref})
		if err != nil || version != want || id != ids["acme/files@"+ref] {
			t.Errorf("Resolve(%s) = %s, %s, %v, expected %s", ref, id, version, err, want)
		}
	}
	for branch, head := range refs.Branches {
		if id, version, err := actions.Resolve(t.Context(), git, &lockfile.ActionUse{Name: "acme/files", Ref: branch}); err != nil || id != head || version != "v4.10.0" {
			t.Errorf("Resolve(%s) = %s, %s, %v, expected the head and its tag", branch, id, version, err)
		}
	}
	if _, _, err := actions.Resolve(t.Context(), git, &lockfile.ActionUse{Name: "acme/files", Ref: "absent"}); err == nil {
		t.Error("a ref that is none was resolved")
	}
}

func TestWhatAFindingSaysIsNotPinnedIsPinned(t *testing.T) {
	t.Parallel()
	dir, ids := forge(t, map[string][]string{"acme/files": {"v45.0.8 v45"}})
	fixer := actions.New(&actions.Git{Forge: dir}).(fix.SiteFixer)
	name := ".github/workflows/go.yml"
	text := workflows()[name]
	for _, test := range []struct {
		line  int
		kind  fact.Kind
		rule  string
		title string
		want  string // "" for no path
	}{
		{4, fact.Misconfiguration, "zizmor/unpinned-uses", "", "    - uses: acme/files@ID # v45.0.8\n"},
		{4, fact.CodeFlaw, "yaml.github-actions.security.third-party-action-not-pinned-to-commit-sha", "", "    - uses: acme/files@ID # v45.0.8\n"},
		{4, fact.Misconfiguration, "PinnedDependenciesID", "", "    - uses: acme/files@ID # v45.0.8\n"},
		{4, fact.Misconfiguration, "555ab8f9", "Unpinned Actions Full Length Commit SHA", "    - uses: acme/files@ID # v45.0.8\n"},
		{4, fact.Misconfiguration, "CKV2_GHA_1", "Ensure top-level permissions are not set to write-all", ""},
		{4, fact.Vulnerability, "GHSA-1", "pinned to a commit", ""},
		{3, fact.Misconfiguration, "unpinned-uses", "", ""},
	} {
		tree := code.Files{name: []byte(text)}
		site := &fix.Site{Location: *fix.At(name, test.line, 0), Tree: tree, Flaws: []fix.Flaw{{Issue: "i1", Kind: test.kind, Rules: []string{test.rule}, Title: test.title, Findings: 2}}}
		paths, err := fixer.PlanSite(t.Context(), site)
		if err != nil || (len(paths) == 1) != (test.want != "") {
			t.Errorf("%s: PlanSite() = %+v, %v", test.rule, paths, err)
			continue
		}
		if len(paths) == 0 {
			continue
		}
		if p := paths[0]; p.ID == "" || p.Summary == "" || p.Kind != fix.PinDigest || p.Findings != 2 || !slices.Equal(p.Closes, []string{"i1"}) {
			t.Errorf("%s: path %+v", test.rule, p)
		}
		work := t.TempDir()
		if err := os.MkdirAll(filepath.Join(work, ".github", "workflows"), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(work, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := fixer.Apply(t.Context(), work, paths[0]); err != nil {
			t.Errorf("%s: %v", test.rule, err)
		}
		got, err := os.ReadFile(filepath.Join(work, name))
		want := strings.Replace(text, "    - uses: acme/files@v45\n", strings.Replace(test.want, "ID", ids["acme/files@v45"], 1), 1)
		if err != nil || string(got) != want {
			t.Errorf("%s: %v:\n%s", test.rule, err, cmp.Diff(want, string(got)))
		}
	}
}

func TestUsesArePinnedInPlace(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("ab", 20)
	for _, test := range []struct{ text, want string }{
		{"- uses: a/b@v4\n", "- uses: a/b@ID # v4.2.1\n"},
		{"- uses: 'a/b@v4'\r\n", "- uses: 'a/b@ID' # v4.2.1\r\n"},
		{"- uses: a/b@v4 # v4 is enough\n", "- uses: a/b@ID # v4.2.1 is enough\n"},
		{"- uses: a/b@v4 #nolint\n", "- uses: a/b@ID # v4.2.1 nolint\n"},
		{"- uses: a/b@v4 # TODO pin 2 times\n", "- uses: a/b@ID # v4.2.1 TODO pin 2 times\n"},
		{"- uses: a/b@v4", "- uses: a/b@ID # v4.2.1"},
		{"- uses: a/b@" + old + " # v4\n", "- uses: a/b@" + old + " # v4\n"},
		{"- {uses: a/b@v4}\n", ""},
		{"- uses: >-\n      a/b@v4\n", ""},
	} {
		text := "runs:\n  steps:\n" + strings.ReplaceAll(test.text, "- ", "  - ")
		uses, err := lockfile.ActionUses([]byte(text))
		if err != nil || len(uses) == 0 {
			t.Fatalf("%q: %v, %v", test.text, uses, err)
		}
		edits, err := actions.Pin([]byte(text), uses, 0, id, "v4.2.1")
		if (err != nil) != (test.want == "") {
			t.Errorf("%q: %v", test.text, err)
		}
		if err != nil {
			continue
		}
		got, err := fix.Splice([]byte(text), edits...)
		if want := "runs:\n  steps:\n" + strings.NewReplacer("ID", id, "- ", "  - ").Replace(test.want); err != nil || string(got) != want {
			t.Errorf("%q: %v:\n%s", test.text, err, cmp.Diff(want, string(got)))
		}
	}
	if _, err := actions.Pin(nil, []lockfile.ActionUse{{Ref: "v4"}}, 0, "v4.2.1", ""); err == nil {
		t.Error("pinned to what is no commit")
	}
}

// TestEditsAreWhatPeopleChanged reads the workflows of real commits as they were
// before, makes the edit that leads to the ref and the version that people chose, and
// compares the line with theirs.
func TestEditsAreWhatPeopleChanged(t *testing.T) {
	t.Parallel()
	root := filepath.Join(fixtest.Data(t), "fixes", "workflow-change")
	cases, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	read, same, total := 0, 0, 0
	var differ []string
	for _, c := range cases {
		before, err := os.ReadDir(filepath.Join(root, c.Name(), "before"))
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range before {
			old, err := os.ReadFile(filepath.Join(root, c.Name(), "before", entry.Name()))
			if err != nil {
				t.Fatal(err)
			}
			after, err := os.ReadFile(filepath.Join(root, c.Name(), "after", entry.Name()))
			if os.IsNotExist(err) {
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			uses, err := lockfile.ActionUses(old)
			if err != nil {
				t.Errorf("%s: %v", c.Name(), err)
				continue
			}
			changed, err := lockfile.ActionUses(after)
			if err != nil {
				t.Errorf("%s: %v", c.Name(), err)
				continue
			}
			read++
			for i, j := range pairs(uses, changed) {
				u, to := uses[i], changed[j]
				if u.Ref == to.Ref {
					continue // a comment or its spaces
				}
				total++
				version := strings.TrimSpace(to.Comment)
				if start, end := to.CommentVersion(); end > 0 {
					version = to.Comment[start:end]
				} else if strings.Contains(version, " ") {
					version = "" // words, such as why it stays
				}
				edits, err := actions.Edits(old, uses, i, to.Ref, version)
				if err != nil {
					t.Errorf("%s %s:%d: %v", c.Name(), entry.Name(), u.Line, err)
					continue
				}
				result, err := fix.Splice(old, edits...)
				got, want := line(result, u.Line), line(after, to.Line)
				if err != nil || got != want {
					differ = append(differ, fmt.Sprintf("%s: %v\n  ours   %s\n  theirs %s", c.Name(), err, got, want))
					continue
				}
				same++
			}
		}
	}
	for _, text := range differ {
		t.Log(text)
	}
	t.Logf("%d files read, %d of %d changed refs equal", read, same, total)
	if read == 0 || total == 0 || float64(same) < .9*float64(total) {
		t.Errorf("%d of %d changed refs are as people wrote them, expected at least 90 %%", same, total)
	}
}

// pairs matches uses before with those after: the same action, in order, where it is
// used as often.
func pairs(before, after []lockfile.ActionUse) map[int]int {
	places := func(uses []lockfile.ActionUse) map[string][]int {
		at := map[string][]int{}
		for i, u := range uses {
			key := u.Name + "/" + u.Path
			at[key] = append(at[key], i)
		}
		return at
	}
	matched := map[int]int{}
	later := places(after)
	for key, list := range places(before) {
		if len(list) == len(later[key]) {
			for n, i := range list {
				matched[i] = later[key][n]
			}
		}
	}
	return matched
}

func line(data []byte, n int) string {
	lines := strings.Split(string(data), "\n")
	if n > len(lines) {
		return ""
	}
	return lines[n-1]
}
