package agent_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
)

// files writes files, given as name and content in turn, below a folder.
func files(t *testing.T, dir string, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		name := filepath.Join(dir, filepath.FromSlash(pairs[i]))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(pairs[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// weighed triages a Go program that uses a library with a flaw in its package deep, and
// gives the issue. The library's next version takes Gone away.
func weighed(t *testing.T, modules bool, program string, exploited bool) issue.Issue {
	t.Helper()
	dir := t.TempDir()
	files(t, dir,
		"cache/example.org/lib@v1.0.0/lib.go", "package lib\n\nimport _ \"elsewhere.example/other\"\n\nfunc F() {}\nfunc Gone() {}\n",
		"cache/example.org/lib@v1.0.0/deep/deep.go", "package deep\n\nfunc Flawed() {}\nfunc Fine() {}\n",
		"cache/example.org/lib@v1.1.0/lib.go", "package lib\n\nfunc F() {}\n",
		"cache/example.org/lib@v1.1.0/deep/deep.go", "package deep\n\nfunc Flawed() {}\nfunc Fine() {}\n",
		"cache/elsewhere.example/other@v1.0.0/other.go", "package other\n",
		"repo/go.mod", "module example.org/program\n\ngo 1.99\n\nrequire (\n\texample.org/lib v1.0.0\n\telsewhere.example/other v1.0.0\n)\n",
		"repo/main.go", program,
		"repo/.github/CODEOWNERS", "/go.mod @acme/core\n",
		"osv.json", `{"id":"GO-2024-1","modified":"2024-01-01T00:00:00Z","published":"2024-01-01T00:00:00Z","summary":"Flaw","affected":[{"package":{"ecosystem":"Go","name":"example.org/lib"},
			"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.1.0"}]}],"ecosystem_specific":{"imports":[{"path":"example.org/lib/deep","symbols":["Flawed"]}]}}],"aliases":["CVE-2024-1"]}`,
		"kev.json", `{"catalogVersion":"1","vulnerabilities":[{"cveID":"CVE-2024-1","dateAdded":"2024-02-01"}]}`,
	)
	repo := filepath.Join(dir, "repo")
	run(t, repo, "init", "-q", "-b", "main")
	run(t, repo, "add", "-A")
	run(t, repo, "commit", "-q", "-m", "first")
	desk, err := app.Open(t.Context(), app.Config{
		State: filepath.Join(dir, "state"), Version: "test",
		Now: func() time.Time { return time.Unix(1_800_000_000, 0) }, Progress: func(string, int, int) {},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	sources := []string{filepath.Join(dir, "osv.json")}
	if exploited {
		sources = append(sources, filepath.Join(dir, "kev.json"))
	}
	if _, err := desk.ImportAdvisories(t.Context(), sources); err != nil {
		t.Fatal(err)
	}
	desk.Modules = ""
	if modules {
		desk.Modules = filepath.Join(dir, "cache")
	}
	found := triage(t, desk, agent.Request{Repo: repo})
	if len(found.Issues) != 1 || len(found.Issues[0].FixPaths) != 1 {
		t.Fatalf("%d issues %v, problems %q; expected one with one path", len(found.Issues), ids(found.Issues), found.Problems)
	}
	again := triage(t, desk, agent.Request{Repo: repo})
	if diff := cmp.Diff(found.Issues[0].FixPaths, again.Issues[0].FixPaths); diff != "" {
		t.Errorf("a second look answers otherwise:\n%s", diff)
	}
	return found.Issues[0]
}

func TestAPathSaysWhetherItBreaksWhatIsUsedAndWhetherTheFlawIsReached(t *testing.T) {
	t.Parallel()
	program := func(body string, imports ...string) string {
		text := "package main\n\n"
		for _, one := range imports {
			text += fmt.Sprintf("import %q\n", one)
		}
		return text + "\nfunc main() {\n" + body + "\n}\n"
	}
	for _, test := range []struct {
		name, program      string
		modules            bool
		breaking, reached  string
		symbol             string
		reason, reachable  string // parts of the words
		exploited, lowered bool
	}{
		{
			name: "used and not reached", program: program("\tlib.F()\n\tlib.Gone()", "example.org/lib"), modules: true,
			breaking: fix.BreaksUsed, reached: fix.ReachesModule, symbol: "example.org/lib.Gone", lowered: true,
			reason: "code has to follow: it changes what is used here: example.org/lib.Gone (main.go:7)", reachable: "none of the 2 packages of the program",
		},
		{
			name: "exploited is never lowered", program: program("\tlib.F()", "example.org/lib"), modules: true, exploited: true,
			breaking: fix.BreaksUnused, reached: fix.ReachesModule, reason: "changes nothing that is used here",
		},
		{
			name: "reached", program: program("\tdeep.Flawed()", "example.org/lib/deep"), modules: true,
			breaking: fix.BreaksUnused, reached: fix.ReachesSymbol, reason: "changes nothing that is used here", reachable: "1 of 1 flawed symbols",
		},
		{
			name: "imported", program: program("\tdeep.Fine()", "example.org/lib/deep"), modules: true,
			breaking: fix.BreaksUnused, reached: fix.ReachesPackage, lowered: true, reachable: "none of the flawed symbols is named",
		},
		{
			name: "without sources nothing is known", program: program("\tlib.Gone()", "example.org/lib"),
			breaking: fix.BreaksUnknown, reached: fix.ReachUnknown, reachable: "the sources of example.org/lib are not at hand",
		},
	} {
		it := weighed(t, test.modules, test.program, test.exploited)
		p := it.FixPaths[0]
		if p.Breaking == nil || p.Breaking.Verdict != test.breaking || p.Reachability == nil || p.Reachability.Verdict != test.reached {
			t.Errorf("%s: breaking %+v, reachability %+v; expected %s and %s", test.name, p.Breaking, p.Reachability, test.breaking, test.reached)
			continue
		}
		if test.symbol != "" && (len(p.Breaking.Uses) != 1 || p.Breaking.Uses[0].Symbol != test.symbol) {
			t.Errorf("%s: uses %+v, expected %s", test.name, p.Breaking.Uses, test.symbol)
		}
		if !strings.Contains(p.Reason, test.reason) || !strings.Contains(p.Reachability.Evidence[0].Detail, test.reachable) {
			t.Errorf("%s: reason %q, reachability %q; expected %q and %q in them", test.name, p.Reason, p.Reachability.Evidence[0].Detail, test.reason, test.reachable)
		}
		sum, lowered := 0.0, false
		for _, term := range it.RiskTerms {
			sum += term.Effect
			lowered = lowered || term.Name == "reachability" && term.Effect < 0
		}
		if lowered != test.lowered || sum < it.Risk-.05 || sum > it.Risk+.05 || it.Risk <= 0 || it.State != issue.Open {
			t.Errorf("%s: risk %.1f of terms %+v, state %s; expected lowered %t and the terms to add up", test.name, it.Risk, it.RiskTerms, it.State, test.lowered)
		}
		if want := []string{"@acme/core"}; len(p.Reviewers) != 1 || p.Reviewers[0].ID != want[0] || p.Reviewers[0].Evidence[0].Source != ".github/CODEOWNERS:1" {
			t.Errorf("%s: reviewers %+v, expected %v", test.name, p.Reviewers, want)
		}
		if p.Live == nil || p.Live.Whole || len(p.Live.Stages) != 3 || p.Live.Stages[1].Evidence.Strength != fact.Guess {
			t.Errorf("%s: time to live %+v, expected three stages that are not known", test.name, p.Live)
		}
	}
}
