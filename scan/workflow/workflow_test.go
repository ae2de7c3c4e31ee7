package workflow

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
)

func scanned(t *testing.T, text string) []fact.Finding {
	t.Helper()
	var all []fact.Finding
	if _, err := New().Scan(t.Context(), code.Files{".github/workflows/x.yml": []byte(text)}, func(f fact.Finding) error {
		all = append(all, f)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func TestEachRuleFailsAndPasses(t *testing.T) {
	const sha = "0123456789012345678901234567890123456789"
	step := func(text string) string {
		return "on: pull_request_target\npermissions: {}\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n    - " + text + "\n"
	}
	seen := map[string]bool{}
	for _, test := range []struct {
		r          *rule
		fail, pass string
	}{
		{&noPermissions, "on: push\njobs: {a: {steps: []}}\n", "on: push\njobs: {a: {permissions: {}, steps: []}}\n"},
		{&writeAll, "on: push\npermissions: write-all\njobs: {a: {steps: []}}\n", "on: push\npermissions: read-all\njobs: {a: {steps: []}}\n"},
		{&foreignCheckout, step("uses: actions/checkout@v4\n      with: {ref: '${{ github.event.pull_request.head.sha }}'}"), strings.Replace(step("uses: actions/checkout@v4\n      with: {ref: '${{ github.event.pull_request.head.sha }}'}"), "pull_request_target", "pull_request", 1)},
		{&unpinned, step("uses: a/b@v1"), step("uses: a/b@" + sha)},
		{&unpinned, step("uses: a/b/c@main"), step("uses: ./local")},
		{&injection, step("run: echo ${{ github.event.issue.title }}"), step("run: echo ${{ github.event.issue.number }}")},
		{&injection, step("run: |\n        x\n        echo ${{github.head_ref}}"), step("run: echo ${{ github.sha }}")},
		{&keptCredentials, step("uses: actions/checkout@" + sha), step("uses: actions/checkout@" + sha + "\n      with: {persist-credentials: false}")},
		{&oldCommands, "on: push\nenv: {ACTIONS_ALLOW_UNSECURE_COMMANDS: true}\njobs: {a: {}}\n", "on: push\nenv: {ACTIONS_ALLOW_UNSECURE_COMMANDS: false}\njobs: {a: {}}\n"},
		{&inheritSecrets, "on: push\njobs: {a: {uses: a/b/c.yml@v1, secrets: inherit}}\n", "on: push\njobs: {a: {uses: a/b/c.yml@v1, secrets: {a: b}}}\n"},
	} {
		seen[test.r.id] = true
		has := func(text string) bool {
			return slices.ContainsFunc(scanned(t, text), func(f fact.Finding) bool { return f.Rule == test.r.id })
		}
		if !has(test.fail) {
			t.Errorf("%s is not given for\n%s", test.r.id, test.fail)
		}
		if has(test.pass) {
			t.Errorf("%s is given for\n%s", test.r.id, test.pass)
		}
	}
	for _, r := range allRules() {
		if !seen[r.id] {
			t.Errorf("no case fails %s", r.id)
		}
	}
}

func TestOnlyWorkflowsAreLookedAt(t *testing.T) {
	for name, want := range map[string]bool{".github/workflows/a.yml": true, ".gitea/workflows/a.yaml": true, ".github/a.yml": false, "x/.github/workflows/a.yml": false, ".github/workflows/a.txt": false} {
		if Named(name) != want {
			t.Errorf("%s: %v", name, !want)
		}
	}
}

func TestNastyWorkflowsAreSurvived(t *testing.T) {
	for _, text := range []string{"jobs: x\n", "jobs: {a: [], b: null, c: {steps: {}}}\n", "jobs: {a: {steps: [x, [], {uses: []}, {run: {}}]}}\n", "on: [[]]\njobs: {a: {steps: [{run: x}]}}\n", "a: &a {b: *a}\n", "x\x00y\n", "\t: x\n"} {
		scanned(t, text)
	}
}

func FuzzScan(f *testing.F) {
	f.Add("on: push\njobs:\n  a:\n    steps:\n    - run: echo ${{ github.head_ref }}\n")
	f.Fuzz(func(t *testing.T, text string) { scanned(t, text) })
}

func TestRealWorkflowsAreRead(t *testing.T) {
	dir := os.Getenv("BACKSTITCH_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	names, _ := filepath.Glob(filepath.Join(dir, "fixes", "workflow-change", "*", "before", ".github__workflows__*"))
	if len(names) == 0 {
		if os.Getenv("CI") != "" || os.Getenv("BACKSTITCH_DATA_REQUIRED") == "1" {
			t.Fatal("no real workflows")
		}
		t.Skip("no data folder")
	}
	count := map[string]int{}
	for _, name := range names {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range scanned(t, string(data)) {
			count[f.Rule]++
			if f.Line < 1 {
				t.Errorf("%s: %s has no line", name, f.Rule)
			}
		}
	}
	t.Logf("%d workflows: %v", len(names), count)
	if count[unpinned.id] == 0 || count[noPermissions.id] == 0 {
		t.Error("nothing was found in real workflows")
	}
}
