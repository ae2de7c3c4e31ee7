package outcome

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/fix"
)

const day = 86400

// history is a repository whose commits are made at times of their own.
type history struct {
	t   *testing.T
	dir string
}

func newHistory(t *testing.T) *history {
	t.Helper()
	h := &history{t, t.TempDir()}
	h.git(0, 0, "init", "-q", "-b", "main")
	return h
}

// git runs git; author and committer dates are days since the first commit.
func (h *history) git(authored, committed int, args ...string) string {
	h.t.Helper()
	date := func(days int) string { return fmt.Sprint(1_700_000_000+days*day) + " +0000" }
	cmd := exec.Command("git", args...)
	cmd.Dir = h.dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1",
		"GIT_AUTHOR_NAME=renewal[bot]", "GIT_AUTHOR_EMAIL=bot@example.org", "GIT_AUTHOR_DATE=" + date(authored),
		"GIT_COMMITTER_NAME=Rea", "GIT_COMMITTER_EMAIL=rea@example.org", "GIT_COMMITTER_DATE=" + date(committed),
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		h.t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// land commits files, written as name, content and so on.
func (h *history) land(authored, committed int, message string, files ...string) string {
	h.t.Helper()
	for i := 0; i < len(files); i += 2 {
		name := filepath.Join(h.dir, files[i])
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			h.t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(files[i+1]), 0o644); err != nil {
			h.t.Fatal(err)
		}
	}
	h.git(0, 0, "add", "-A")
	h.git(authored, committed, "commit", "-q", "--allow-empty", "-m", message)
	return h.git(0, 0, "rev-parse", "HEAD")
}

func (h *history) mine(cache string) *Index {
	h.t.Helper()
	r, err := git.Open(h.t.Context(), h.dir)
	if err != nil {
		h.t.Fatal(err)
	}
	defer r.Close()
	x, err := New(h.t.Context(), r, h.git(0, 0, "rev-parse", "HEAD"), cache)
	if err != nil {
		h.t.Fatal(err)
	}
	return x
}

func goMod(version string) string { return "module m\n\nrequire example.org/p " + version + "\n" }

func TestBumpsAreCountedWithWhatWasTakenBackAndHowLongTheyTook(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.land(0, 0, "first", "go.mod", goMod("v1.0.0"))
	h.land(1, 3, "bump p to v1.1.0", "go.mod", goMod("v1.1.0"))
	bad := h.land(10, 14, "bump p to v1.2.0 (#7)", "go.mod", goMod("v1.2.0"))
	back := h.land(15, 15, `Revert "bump p to v1.2.0"`, "go.mod", goMod("v1.1.0"))
	got := h.mine("").Of(Question{Dependency, "Go", "example.org/p"})
	want := fix.Tally{Merged: 2, Reverted: 1, Median: 4 * day * 1e6, Timed: 2}
	if diff := cmp.Diff(want, got.Same); diff != "" {
		t.Error(diff)
	}
	if !got.RevertedLately {
		t.Error("the newest bump was taken back one day ago, and it is not said")
	}
	if text := "2 bumps of example.org/p, 1 reverted, median 4 days to merge"; got.Text != text {
		t.Errorf("text %q, expected %q", got.Text, text)
	}
	if detail := fmt.Sprintf("the newest is %.12s, v1.1.0 to v1.2.0, taken back by %.12s", bad, back); got.Evidence[0].Detail != detail {
		t.Errorf("evidence %q, expected %q", got.Evidence[0].Detail, detail)
	}
	if by := "reviewed or merged by Rea (2 of 2)"; got.Evidence[1].Detail != by {
		t.Errorf("people %q, expected %q", got.Evidence[1].Detail, by)
	}

	h.land(20, 21, "bump p to v1.3.0", "go.mod", goMod("v1.3.0"))
	if again := h.mine("").Of(Question{Dependency, "Go", "example.org/p"}); again.RevertedLately || again.Same.Merged != 3 || again.Same.Reverted != 1 {
		t.Errorf("after a bump that stayed: %+v", again)
	}
}

func TestAVersionThatGoesBackTakesBackTheBumpBeforeItOnly(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	for i, version := range []string{"v1.0.0", "v1.1.0", "v1.2.0", "v1.0.5"} {
		h.land(i, i, "go.mod says "+version, "go.mod", goMod(version))
	}
	if got := h.mine("").Of(Question{Dependency, "Go", "example.org/p"}); got.Same.Merged != 2 || got.Same.Reverted != 1 {
		t.Errorf("below both bumps: %+v, expected 2 merged, the newer reverted", got.Same)
	}
	h.land(10, 10, "up", "go.mod", goMod("v1.2.0"))
	h.land(300, 300, "another decision", "go.mod", goMod("v1.0.5"))
	if got := h.mine("").Of(Question{Dependency, "Go", "example.org/p"}); got.Same.Merged != 3 || got.Same.Reverted != 1 {
		t.Errorf("after ten months: %+v, expected 3 merged, no further one reverted", got.Same)
	}
}

func TestAMergeTookAsLongAsWhatItMerged(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.land(0, 0, "first", "Dockerfile", "FROM registry.example/base:1.0\n")
	h.git(0, 0, "checkout", "-q", "-b", "side")
	side := h.land(2, 2, "raise the base", "Dockerfile", "FROM registry.example/base:1.1\n")
	h.git(0, 0, "checkout", "-q", "main")
	h.land(3, 3, "something else", "x.txt", "x")
	h.git(5, 5, "merge", "-q", "--no-ff", "-m", "Merge side", "side")
	got := h.mine("").Of(Question{BaseImage, "", "registry.example/base"})
	if want := (fix.Tally{Merged: 1, Median: 3 * day * 1e6, Timed: 1}); got.Same != want {
		t.Errorf("%+v, expected %+v", got.Same, want)
	}
	h.land(6, 6, "no\n\nThis reverts commit "+side+".", "Dockerfile", "FROM registry.example/base:1.0\n")
	if got := h.mine("").Of(Question{BaseImage, "", "registry.example/base"}); got.Same.Reverted != 1 || got.Same.Merged != 1 {
		t.Errorf("%+v, expected the merge to be taken back by the id of what it merged", got.Same)
	}
}

func TestSettingsThatAreSwappedBackAreReverted(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.land(0, 0, "first", "main.tf", "acl = \"public\"\n")
	h.land(1, 1, "close it", "main.tf", "acl = \"private\"\n")
	h.land(2, 2, "open it", "main.tf", "acl = \"public\"\n")
	h.land(3, 3, "note", "main.tf", "acl = \"public\"\n# note\n")
	got := h.mine("").Of(Question{Config, "", "main.tf"})
	if got.Same.Merged != 2 || got.Same.Reverted != 1 || got.RevertedLately {
		t.Errorf("%+v, expected 2 changes, 1 reverted, the newest standing", got)
	}
}

func TestAnIndexThatGrowsIsTheOneThatIsMinedAtOnce(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	cache := t.TempDir()
	h.land(0, 0, "first", "go.mod", goMod("v1.0.0"))
	ask := func(x *Index) *fix.History { return x.Of(Question{Dependency, "Go", "example.org/p"}) }
	for i := 1; i < 6; i++ {
		version := fmt.Sprintf("v1.%d.0", i)
		if i == 4 {
			version = "v1.2.0"
		}
		h.land(i, i+1, "p to "+version, "go.mod", goMod(version))
		if diff := cmp.Diff(ask(h.mine("")), ask(h.mine(cache))); diff != "" {
			t.Fatalf("step %d:\n%s", i, diff)
		}
	}
	files, err := filepath.Glob(filepath.Join(cache, "outcomes-*.gob"))
	if err != nil || len(files) != 1 {
		t.Fatalf("kept %v, %v; expected one file", files, err)
	}
	// What is damaged is mined anew, and so is what does not lead here.
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)-1] ^= 1
	if err := os.WriteFile(files[0], data, 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ask(h.mine("")), ask(h.mine(cache))); diff != "" {
		t.Errorf("over a damaged file:\n%s", diff)
	}
	h.git(0, 0, "reset", "-q", "--hard", "HEAD~2")
	h.land(9, 9, "another way", "go.mod", goMod("v2.0.0"))
	if diff := cmp.Diff(ask(h.mine("")), ask(h.mine(cache))); diff != "" {
		t.Errorf("over a file of another line:\n%s", diff)
	}
}

func TestRemediationsOfOurOwnCountAndThoseThatGitShowsCountOnce(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.land(0, 0, "first", "go.mod", goMod("v1.0.0"))
	known := h.land(1, 2, "p", "go.mod", goMod("v1.1.0"))
	x := h.mine("")
	ours := Past{Kind: Dependency, Ecosystem: "Go", Subject: "example.org/p", Commit: known, Landed: 1}
	elsewhere := ours
	elsewhere.Commit, elsewhere.Took, elsewhere.Landed = strings.Repeat("a", 40), 7*day*1e6, 1_700_000_000_000_000+5*day*1e6
	elsewhere.Reverted, elsewhere.RevertedBy = elsewhere.Landed+day*1e6, strings.Repeat("b", 40)
	x.Include(ours, elsewhere)
	got := x.Of(Question{Dependency, "Go", "example.org/p"})
	if got.Same.Merged != 2 || got.Same.Reverted != 1 || got.Same.Timed != 2 || !got.RevertedLately {
		t.Errorf("%+v, expected 2 merged, 1 reverted lately, both timed", got)
	}
	ours.Reverted = elsewhere.Reverted
	x.Include(ours)
	if got := x.Of(Question{Dependency, "Go", "example.org/p"}); got.Same.Merged != 2 || got.Same.Reverted != 2 {
		t.Errorf("%+v, expected what git shows to be known as taken back", got)
	}
}

func TestNothingOfAKindIsNoHistory(t *testing.T) {
	t.Parallel()
	h := newHistory(t)
	h.land(0, 0, "first", "go.mod", goMod("v1.0.0"))
	if got := h.mine("").Of(Question{Dependency, "Go", "example.org/p"}); got != nil {
		t.Errorf("%+v, expected nothing", got)
	}
	h.land(1, 1, "p", "go.mod", goMod("v1.1.0"))
	got := h.mine("").Of(Question{Dependency, "Go", "example.org/q"})
	if text := "no bump of example.org/q before; 1 bump of Go packages here, 0 reverted"; got == nil || got.Text != text {
		t.Errorf("%+v, expected %q", got, text)
	}
}

func TestVersionsAreReadFromTheLinesOfManyManifests(t *testing.T) {
	t.Parallel()
	digest := strings.Repeat("a", 64)
	pin := strings.Repeat("b", 40)
	for _, test := range []struct{ path, line, name, version string }{
		{"go.mod", "\texample.org/p v1.2.3 // indirect", "example.org/p", "v1.2.3"},
		{"go.mod", "replace example.org/q => example.org/p v1.2.3", "example.org/p", "v1.2.3"},
		{"go.mod", "go 1.22.1", "stdlib", "1.22.1"},
		{"web/package.json", `    "@scope/p": "^1.2.3",`, "@scope/p", "^1.2.3"},
		{"package.json", `  "version": "1.2.3",`, "", ""},
		{"package.json", `  "build": "tsc -p 3",`, "", ""},
		{"requirements.txt", "Some_Pkg[extra]==1.2.3 ; python_version > '3'", "Some_Pkg", "1.2.3"},
		{"pyproject.toml", `some-pkg = "^1.2"`, "some-pkg", "^1.2"},
		{"pyproject.toml", `    "some-pkg>=1.2,<2",`, "some-pkg", "1.2"},
		{"Cargo.toml", `serde = { features = ["derive"], version = "1.0.1" }`, "serde", "1.0.1"},
		{"Cargo.toml", `edition = "2021"`, "", ""},
		{"pom.xml", "    <jackson.version>2.15.0</jackson.version>", "jackson.version", "2.15.0"},
		{"app/build.gradle.kts", `    implementation("org.acme:lib:1.2")`, "org.acme:lib", "1.2"},
		{"Gemfile", `gem "rails", "~> 7.0.4"`, "rails", "~> 7.0.4"},
		{"build/Dockerfile", "FROM --platform=$BUILDPLATFORM host:5000/base:1.2@sha256:" + digest + " AS b", "host:5000/base", "1.2@sha256:" + digest},
		{"Dockerfile", "FROM $BASE", "", ""},
		{"Dockerfile", "FROM host:5000/base", "", ""},
		{".github/workflows/ci.yml", "      - uses: acme/setup@" + pin + " # v4.1.0", "acme/setup", "4.1.0@" + pin},
		{".github/workflows/ci.yml", "      - uses: acme/setup@v3", "acme/setup", "v3"},
		{"main.tf", `  source = "git::https://host.example/net.git?ref=v1.2"`, "git::https://host.example/net.git", "v1.2"},
	} {
		list, _ := readers(test.path)
		if len(list) != 1 {
			t.Errorf("%s has %d readers, expected 1", test.path, len(list))
			continue
		}
		if name, version, _ := list[0].line(test.line); name != test.name || version != test.version {
			t.Errorf("%s: %q is %q %q, expected %q %q", test.path, test.line, name, version, test.name, test.version)
		}
	}
}

func TestVersionsAreOrderedByTheirNumbers(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		less, more string
		want       int
	}{
		{"v1.9.0", "v1.10.0", -1},
		{"^1.2.3", "~1.2.4", -1},
		{"1.0.0-rc.1", "1.0.0", -1},
		{"1.0", "1.0.0", 0},
		{"1.0", "1.0.1", -1},
		{"bookworm", "trixie", 0},
		{"1.2@sha256:ff", "1.2@sha256:00", 0},
		{"v0.0.0-20210101000000-ffffffffffff", "v0.0.0-20220101000000-000000000000", -1},
		{"v20.10.7+incompatible", "v20.10.9+incompatible", -1},
	} {
		if a, b := order(test.less, test.more), order(test.more, test.less); a != test.want || b != -test.want {
			t.Errorf("order of %s and %s: %d and %d, expected %d and %d", test.less, test.more, a, b, test.want, -test.want)
		}
	}
}
