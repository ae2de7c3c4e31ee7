package agent_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/demo"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/owner"
	"github.com/backstitch/backstitch/store/sqlite"
	"github.com/backstitch/backstitch/store/storetest"
)

func TestQueriesAreInTheCommonSubset(t *testing.T) {
	t.Parallel()
	storetest.CheckQueries(t, sqlite.Open, agent.Queries())
}

// build makes the demonstration estate and an app over a state of its own whose
// clock is later by the minutes of *later.
func build(t *testing.T, later *int) (demo.Estate, *app.App) {
	t.Helper()
	dir := t.TempDir()
	estate, err := demo.Build(t.Context(), filepath.Join(dir, "estate"))
	if err != nil {
		t.Fatal(err)
	}
	desk, err := app.Open(t.Context(), app.Config{
		State: filepath.Join(dir, "state"), Version: "test",
		Now:      func() time.Time { return estate.Now.Add(time.Duration(*later) * time.Minute) },
		Progress: func(string, int, int) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := desk.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := desk.ImportAdvisories(t.Context(), []string{estate.Advisories}); err != nil {
		t.Fatal(err)
	}
	return estate, desk
}

func triage(t *testing.T, desk *app.App, request agent.Request) agent.Triage {
	t.Helper()
	result, err := desk.Triage(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func document(t *testing.T, v any) []byte {
	t.Helper()
	data, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func ids(issues []issue.Issue) []string {
	list := make([]string, 0, len(issues))
	for _, it := range issues {
		list = append(list, it.ID)
	}
	slices.Sort(list)
	return list
}

func repository(t *testing.T, estate demo.Estate, name string) demo.Repository {
	t.Helper()
	for _, r := range estate.Repositories {
		if r.Name == name {
			return r
		}
	}
	t.Fatalf("no repository %s", name)
	return demo.Repository{}
}

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	command := exec.CommandContext(t.Context(), "git", args...)
	command.Dir = dir
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org"}
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, output)
	}
	return strings.TrimSpace(string(output))
}

func TestTriageAnswersWhereWhoAndHowTheSameOnAnyMachine(t *testing.T) {
	t.Parallel()
	later := 0
	first, here := build(t, &later)
	second, there := build(t, &later)
	for i, r := range first.Repositories {
		request := agent.Request{Repo: r.Dir, Reports: r.Reports}
		result := triage(t, here, request)
		if len(result.Issues) == 0 || !result.Complete {
			t.Fatalf("%s: %d issues, complete %t: %s", r.Name, len(result.Issues), result.Complete, result.Why)
		}
		who, how := 0, 0
		for _, it := range result.Issues {
			if it.Cause.Status == fact.CauseUnknown {
				if len(it.Cause.Missing) == 0 || len(it.Cause.Locations) != 0 {
					t.Errorf("%s %s: unknown without what would settle it, or with a place: %+v", r.Name, it.Title, it.Cause)
				}
				continue
			}
			if len(it.Cause.Locations) == 0 {
				t.Errorf("%s %s: %s without a place", r.Name, it.Title, it.Cause.Status)
			}
			for _, owner := range it.Owners {
				who++
				if len(owner.Evidence) == 0 || owner.Confidence <= 0 {
					t.Errorf("%s %s: owner without evidence: %+v", r.Name, it.Title, owner)
				}
			}
			how += len(it.FixPaths)
		}
		if who == 0 || how == 0 {
			t.Errorf("%s: %d owners and %d fix paths", r.Name, who, how)
		}
		again := triage(t, here, request)
		want := document(t, result.Issues)
		if got := document(t, again.Issues); !bytes.Equal(got, want) {
			t.Errorf("%s: the second triage differs:\n%s", r.Name, cmp.Diff(string(want), string(got)))
		}
		other := triage(t, there, agent.Request{Repo: second.Repositories[i].Dir, Reports: second.Repositories[i].Reports})
		if got := document(t, other.Issues); !bytes.Equal(got, want) {
			t.Errorf("%s: in another folder the triage differs:\n%s", r.Name, cmp.Diff(string(want), string(got)))
		}
	}
}

func TestImportingAReportTwiceChangesNothing(t *testing.T) {
	t.Parallel()
	later := 0
	estate, desk := build(t, &later)
	for _, r := range estate.Repositories {
		for pass := range 2 {
			later++
			results, problems, err := desk.Import(t.Context(), r.Dir, r.Reports)
			if err != nil || len(problems) > 0 {
				t.Fatalf("%s: %v %q", r.Name, err, problems)
			}
			for _, result := range results {
				switch {
				case pass == 0 && (result.New == 0 || result.Seen == 0):
					t.Errorf("%s %s: the first import brought %d of %d", r.Name, result.Name, result.New, result.Seen)
				case pass == 1 && result.New+result.Changed+result.Reopened+result.Unconfirmed != 0:
					t.Errorf("%s %s: the second import changed something: %+v", r.Name, result.Name, result)
				}
			}
		}
	}
}

func TestTriageWithoutReportsScansItself(t *testing.T) {
	t.Parallel()
	later := 0
	estate, desk := build(t, &later)
	result := triage(t, desk, agent.Request{Repo: repository(t, estate, "platform").Dir})
	if len(result.Issues) == 0 {
		t.Fatalf("no issue: %+v", result)
	}
	for _, it := range result.Issues {
		if it.Cause.Status != fact.CauseFound || len(it.FixPaths) == 0 {
			t.Errorf("%s: cause %s, %d paths", it.Title, it.Cause.Status, len(it.FixPaths))
		}
	}
}

// broken is a registry that cannot tell.
type broken struct{}

func (broken) Versions(context.Context, string) ([]string, error) {
	return nil, errors.New("the registry answered 500")
}

func (broken) Requirements(context.Context, string, string) (map[string]string, error) {
	return nil, errors.New("the registry answered 500")
}

func TestARegistryThatCannotTellLeavesThePathsThatNeedNone(t *testing.T) {
	t.Parallel()
	later := 0
	estate, desk := build(t, &later)
	desk.Registry = func(context.Context, string) (fix.Registry, func() error, error) {
		return broken{}, func() error { return nil }, nil
	}
	platform := repository(t, estate, "platform")
	want := triage(t, desk, agent.Request{Repo: platform.Dir})
	got := triage(t, desk, agent.Request{Repo: platform.Dir, Registries: true})
	planned := func(result agent.Triage) (list []string) {
		for _, it := range result.Issues {
			for _, p := range it.FixPaths {
				list = append(list, it.ID+" "+p.ID)
			}
		}
		return list
	}
	if diff := cmp.Diff(planned(want), planned(got)); diff != "" || len(planned(want)) == 0 {
		t.Errorf("without and with a registry that is broken:\n%s", diff)
	}
	if !slices.ContainsFunc(got.Problems, func(p string) bool {
		return strings.Contains(p, "exist is not known: ") && strings.Contains(p, "answered 500")
	}) {
		t.Errorf("problems %q, expected what the registry said", got.Problems)
	}
}

func TestAChangeIsProvenAndOpenedOnceWhateverTheTime(t *testing.T) {
	t.Parallel()
	later := 0
	estate, desk := build(t, &later)
	platform := repository(t, estate, "platform")
	result := triage(t, desk, agent.Request{Repo: platform.Dir, Reports: platform.Reports, Verify: true})
	var chosen issue.Issue
	for _, it := range result.Issues {
		for _, path := range it.FixPaths {
			if path.Recommended && path.Verification != nil && path.Verification.Status == fact.VerificationProven {
				if len(path.Verification.Checks) < 3 || path.Diff == "" {
					t.Errorf("%s is proven by %d checks with diff %q", path.ID, len(path.Verification.Checks), path.Diff)
				}
				chosen = it
			}
		}
	}
	if chosen.ID == "" {
		t.Fatalf("no path was proven:\n%s", document(t, result.Issues))
	}
	word := owner.Answer{
		By: "ada", Subject: fact.Asset{Kind: owner.SubjectIssue, Key: chosen.ID}, Verb: owner.Assign, Role: "owner",
		Owner: fact.Party{Kind: "team", ID: "ledgerworks/treasury", Name: "ledgerworks/treasury"}, Reason: "they pay for it",
	}
	if _, err := desk.SayOwner(t.Context(), word); err != nil {
		t.Fatal(err)
	}
	request := agent.FixRequest{Issue: chosen.ID, Remote: platform.Remote}
	first, err := desk.OpenFix(t.Context(), request)
	if err != nil || first.Receipt.Outcome != "created" {
		t.Fatalf("first: %+v, %v", first.Receipt, err)
	}
	if !strings.Contains(first.PullRequest.Body, "ledgerworks/treasury") {
		t.Errorf("the pull request does not name whom a person named:\n%s", first.PullRequest.Body)
	}
	later = 90
	second, err := desk.OpenFix(t.Context(), request)
	if err != nil || second.Receipt.Outcome != "unchanged" || second.Commit != first.Commit {
		t.Errorf("second: %+v at %s, %v; want unchanged at %s", second.Receipt, second.Commit, err, first.Commit)
	}
	if branches := strings.Fields(run(t, platform.Remote, "for-each-ref", "--format=%(refname)", "refs/heads/backstitch")); len(branches) != 1 {
		t.Errorf("branches %v, want one", branches)
	}
	it, err := desk.Issue(t.Context(), chosen.ID)
	if err != nil || it.State != issue.InProgress {
		t.Errorf("state %s, %v; want in_progress", it.State, err)
	}

	// The repository moves on: the change is made anew on its head.
	if err := os.WriteFile(filepath.Join(platform.Dir, "NEWS"), []byte("moved\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, platform.Dir, "add", "NEWS")
	run(t, platform.Dir, "commit", "-q", "-m", "move on")
	head := run(t, platform.Dir, "rev-parse", "HEAD")
	third, err := desk.OpenFix(t.Context(), request)
	if err != nil || third.Receipt.Outcome != "updated" {
		t.Fatalf("third: %+v, %v", third.Receipt, err)
	}
	if parent := run(t, platform.Remote, "rev-parse", third.Commit+"^"); parent != head {
		t.Errorf("the change is on %s, want the head %s", parent, head)
	}
}

func TestATruncatedReportLeavesTheOthersAndIsSaid(t *testing.T) {
	t.Parallel()
	later := 0
	estate, desk := build(t, &later)
	ledger := repository(t, estate, "ledger")
	whole, err := os.ReadFile(ledger.Reports[0])
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, whole[:len(whole)-20], 0o644); err != nil {
		t.Fatal(err)
	}
	missing := filepath.Join(t.TempDir(), "missing.json")
	result := triage(t, desk, agent.Request{Repo: ledger.Dir, Reports: append([]string{broken, missing}, ledger.Reports...)})
	if result.Complete || !strings.Contains(result.Why, "broken.json") || !strings.Contains(result.Why, "missing.json") {
		t.Errorf("complete %t, why %q; want both reports named", result.Complete, result.Why)
	}
	if len(result.Issues) == 0 {
		t.Error("the issues of the other reports are gone")
	}
}

func TestAnAcceptedRiskStaysRejectedAndIsNoVEXStatement(t *testing.T) {
	t.Parallel()
	later := 0
	estate, desk := build(t, &later)
	r := repository(t, estate, "platform")
	request := agent.Request{Repo: r.Dir, Reports: r.Reports}
	id := triage(t, desk, request).Issues[0].ID
	if err := desk.Reject(t.Context(), id, issue.WontFix, "behind a wall"); err != nil {
		t.Fatal(err)
	}
	triage(t, desk, request)
	it, err := desk.Issue(t.Context(), id)
	if err != nil || it.State != issue.Rejected || it.Reason != issue.WontFix {
		t.Errorf("state %s %s, %v; want rejected wont_fix", it.State, it.Reason, err)
	}
	if strings.Contains(string(document(t, it)), issue.NotAffected) {
		t.Error("an accepted risk is told as not_affected")
	}
	open, err := desk.Issues(t.Context(), false)
	if err != nil {
		t.Fatal(err)
	}
	for _, it := range open {
		if it.ID == id {
			t.Error("a rejected issue is listed as one that asks for something")
		}
	}
}

func TestRepositoriesOfEveryShapeWorkOrSayWhyNot(t *testing.T) {
	t.Parallel()
	later := 0
	estate, desk := build(t, &later)
	r := repository(t, estate, "platform")
	dir := t.TempDir()
	empty, bare, shallow := filepath.Join(dir, "empty"), r.Remote, filepath.Join(dir, "shallow")
	run(t, dir, "init", "-q", empty)
	run(t, dir, "clone", "-q", "--depth=1", "file://"+r.Remote, shallow)
	for _, c := range []struct {
		name, dir string
		want      error
	}{
		{"no repository", t.TempDir(), git.ErrNotRepository},
		{"no commit", empty, git.ErrNoCommits},
		{"a bare repository", bare, nil},
		{"a shallow clone", shallow, nil},
	} {
		result, err := desk.Triage(t.Context(), agent.Request{Repo: c.dir, Reports: r.Reports})
		if !errors.Is(err, c.want) {
			t.Errorf("%s: error %v, want %v", c.name, err, c.want)
		}
		if c.want == nil && len(result.Issues) == 0 {
			t.Errorf("%s: no issue", c.name)
		}
		told := slices.ContainsFunc(result.Problems, func(p string) bool { return strings.Contains(p, "shallow") })
		if told != (c.dir == shallow) {
			t.Errorf("%s: problems %q; a cut history is told of exactly when there is one", c.name, result.Problems)
		}
	}
}

func TestReportsThatContradictAreKeptBesideEachOther(t *testing.T) {
	t.Parallel()
	later := 0
	estate, desk := build(t, &later)
	platform := repository(t, estate, "platform")
	report := func(name, severity, fixed string) string {
		file := filepath.Join(t.TempDir(), name)
		text := `{"SchemaVersion": 2, "CreatedAt": "2024-07-01T06:00:00Z", "ArtifactName": ".", "ArtifactType": "filesystem", "Results": [{
"Target": "oncall/requirements.txt", "Class": "lang-pkgs", "Type": "pip", "Vulnerabilities": [{
"VulnerabilityID": "CVE-2018-18074", "PkgName": "requests", "PkgIdentifier": {"PURL": "pkg:pypi/requests@2.19.1"},
"InstalledVersion": "2.19.1", "FixedVersion": "` + fixed + `", "Severity": "` + severity + `"}]}]}`
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return file
	}
	low, critical := report("low.json", "LOW", "2.20.0"), report("critical.json", "CRITICAL", "9.0.0")
	reports := append([]string{low, critical}, platform.Reports...)
	result := triage(t, desk, agent.Request{Repo: platform.Dir, Reports: reports})
	about := 0
	for _, it := range result.Issues {
		for _, id := range it.Advisories {
			if id != "CVE-2018-18074" {
				continue
			}
			about++
			if len(it.Tools) < 2 || it.Cause.Status != fact.CauseFound {
				t.Errorf("%s: seen by %v, cause %s; want both tools and one place", it.ID, it.Tools, it.Cause.Status)
			}
		}
	}
	if about != 1 {
		t.Errorf("%d issues about one flaw in one place, want 1", about)
	}
	moved, other := build(t, &later)
	reports[0], reports[1] = reports[1], reports[0]
	swapped := triage(t, other, agent.Request{Repo: repository(t, moved, "platform").Dir, Reports: reports})
	// Of two runs of one tool the later import is what it says now; which issues
	// there are does not depend on the order.
	if diff := cmp.Diff(ids(result.Issues), ids(swapped.Issues)); diff != "" {
		t.Errorf("the order of the reports decides which issues there are:\n%s", diff)
	}
}

func TestAnIssueWithoutAFixPathSaysWhy(t *testing.T) {
	t.Parallel()
	later := 0
	_, desk := build(t, &later)
	dir := t.TempDir()
	run(t, dir, "init", "-q", ".")
	for name, text := range map[string]string{
		"a/requirements.txt": "flask==1.0\n",
		"b/package.json":     `{"name": "b", "dependencies": {"left": "^1.0.0"}}`,
		"b/yarn.lock":        "# yarn lockfile v1\n\nleft@^1.0.0:\n  version \"1.0.0\"\n",
		"trivy.json": `{"SchemaVersion": 2, "ArtifactName": ".", "ArtifactType": "filesystem", "Results": [
{"Target": "a/requirements.txt", "Class": "lang-pkgs", "Type": "pip", "Vulnerabilities": [{"VulnerabilityID": "CVE-2024-1", "PkgName": "flask", "InstalledVersion": "1.0", "Severity": "HIGH"}]},
{"Target": "b/yarn.lock", "Class": "lang-pkgs", "Type": "yarn", "Vulnerabilities": [{"VulnerabilityID": "CVE-2024-2", "PkgName": "left", "InstalledVersion": "1.0.0", "Severity": "LOW"}]}]}`,
	} {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, "add", "-A")
	run(t, dir, "commit", "-q", "-m", "start")
	var got []string
	for _, it := range triage(t, desk, agent.Request{Repo: dir, Reports: []string{filepath.Join(dir, "trivy.json")}}).Issues {
		got = append(got, strings.Join(it.Blocked, "; "))
	}
	want := []string{"a/requirements.txt:1: no fixed version of flask is known", "b/yarn.lock:3: no fixed version of left is known"}
	if !slices.Equal(got, want) {
		t.Errorf("reasons = %q, want %q", got, want)
	}
}

func TestAPathClosesAnIssueOnlyWhenItReachesEveryCopy(t *testing.T) {
	t.Parallel()
	lock := func(bundled string) string {
		return `{"name": "m", "lockfileVersion": 3, "packages": {
"": {"name": "m", "dependencies": {"a": "1.0.0", "b": "1.0.0"}},
"node_modules/a": {"version": "1.0.0", "dependencies": {"left": "^1.0.0"}},
"node_modules/b": {"version": "1.0.0", "dependencies": {"left": "~2.0.0"}},
"node_modules/left": {"version": "1.0.0"},
"node_modules/b/node_modules/left": {"version": "2.0.0"` + bundled + `}}}`
	}
	for name, c := range map[string]struct{ bundled, want, reason string }{
		"two versions":        {"", "override every left (1.0.0, 2.0.0) with 2.0.1 in package.json until its ancestors allow it", ""},
		"one that is bundled": {`, "inBundle": true`, "", "leaves 1 of 2 places: left 2.0.0 (package-lock.json:6)"},
	} {
		later := 0
		_, desk := build(t, &later)
		dir := t.TempDir()
		run(t, dir, "init", "-q", ".")
		vulnerability := func(version string) string {
			return `{"VulnerabilityID": "CVE-2024-1", "PkgName": "left", "InstalledVersion": "` + version + `", "FixedVersion": "1.0.1, 2.0.1", "Severity": "HIGH", "PkgIdentifier": {"PURL": "pkg:npm/left@` + version + `"}}`
		}
		for file, text := range map[string]string{
			"package.json": "{\n  \"name\": \"m\",\n  \"dependencies\": {\n    \"a\": \"1.0.0\",\n    \"b\": \"1.0.0\"\n  }\n}\n", "package-lock.json": lock(c.bundled),
			"trivy.json": `{"SchemaVersion": 2, "ArtifactName": ".", "ArtifactType": "filesystem", "Results": [{"Target": "package-lock.json", "Class": "lang-pkgs", "Type": "npm", "Vulnerabilities": [` + vulnerability("1.0.0") + "," + vulnerability("2.0.0") + `]}]}`,
		} {
			if err := os.WriteFile(filepath.Join(dir, file), []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		run(t, dir, "add", "-A")
		run(t, dir, "commit", "-q", "-m", "start")
		issues := triage(t, desk, agent.Request{Repo: dir, Reports: []string{filepath.Join(dir, "trivy.json")}}).Issues
		if len(issues) != 1 || len(issues[0].FixPaths) == 0 {
			t.Fatalf("%s: issues = %+v", name, issues)
		}
		var places []int
		for _, l := range issues[0].Cause.Locations {
			places = append(places, l.Line)
		}
		slices.Sort(places)
		if !slices.Equal(places, []int{4, 5}) {
			t.Errorf("%s: places on lines %v of package.json, want those of a and b", name, places)
		}
		recommended := ""
		for _, path := range issues[0].FixPaths {
			if path.Recommended {
				recommended = path.Summary
			}
			if len(path.Closes) > 0 != (path.Summary == c.want) {
				t.Errorf("%s: %s closes %v", name, path.Summary, path.Closes)
			}
		}
		if recommended != c.want || c.reason != "" && issues[0].FixPaths[0].Reason != c.reason {
			t.Errorf("%s: recommended %q because %q, want %q, %q", name, recommended, issues[0].FixPaths[0].Reason, c.want, c.reason)
		}
	}
}
