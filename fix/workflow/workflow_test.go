package workflow

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	scanworkflow "github.com/backstitch/backstitch/scan/workflow"
)

const file = ".github/workflows/ci.yml"

func seen(t *testing.T, text string) []fact.Finding {
	t.Helper()
	var all []fact.Finding
	if _, err := scanworkflow.New().Scan(t.Context(), code.Files{file: []byte(text)}, func(f fact.Finding) error {
		all = append(all, f)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

// site has a flaw for each finding of one of the rules.
func site(t *testing.T, text string, rules ...string) *fix.Site {
	t.Helper()
	s := &fix.Site{Location: fact.Location{Path: file}, Tree: code.Files{file: []byte(text)}}
	for _, f := range seen(t, text) {
		for _, rule := range rules {
			if f.Rule == "workflow/"+rule {
				s.Flaws = append(s.Flaws, fix.Flaw{Issue: f.Rule + f.Anchor, Kind: fact.Misconfiguration, Seen: []fact.Finding{f}, Findings: 1})
			}
		}
	}
	if len(s.Flaws) == 0 {
		t.Fatalf("the scanner sees none of %v", rules)
	}
	return s
}

func applied(t *testing.T, text string, path fix.Path) string {
	t.Helper()
	dir := t.TempDir()
	name := filepath.Join(dir, filepath.FromSlash(file))
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := New(nil).Apply(t.Context(), dir, path); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

type tags map[string]string

func (t tags) Tags(context.Context, string) (map[string]string, error) { return t, nil }

const workflow = `name: CI
on: [issues, pull_request]
env:
  ACTIONS_ALLOW_UNSECURE_COMMANDS: true   # old
  A: b

# all the work
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - name: greet
        run: |
          echo "${{ github.event.issue.title }} by ${{ github.actor }}"
          echo "${{github.event.issue.title}}" # again
`

func TestEachFindingIsMended(t *testing.T) {
	for _, test := range []struct{ rule, from, to string }{
		{"no-permissions", "# all the work\n", "permissions:\n  contents: read\n\n# all the work\n"},
		{"unsecure-commands", "  ACTIONS_ALLOW_UNSECURE_COMMANDS: true   # old\n", ""},
		{"kept-credentials", "- uses: actions/checkout@v4\n", "- uses: actions/checkout@v4\n        with:\n          persist-credentials: false\n"},
		{"script-injection", `"${{ github.event.issue.title }} by ${{ github.actor }}"
          echo "${{github.event.issue.title}}" # again
`, `"${ISSUE_TITLE} by ${{ github.actor }}"
          echo "${ISSUE_TITLE}" # again
        env:
          ISSUE_TITLE: ${{ github.event.issue.title }}
`},
	} {
		t.Run(test.rule, func(t *testing.T) {
			paths, err := New(nil).(fix.SiteFixer).PlanSite(t.Context(), site(t, workflow, test.rule))
			if err != nil || len(paths) != 1 || paths[0].Manual {
				t.Fatalf("%v %+v", err, paths)
			}
			got := applied(t, workflow, paths[0])
			if want := strings.Replace(workflow, test.from, test.to, 1); got != want {
				t.Errorf("got\n%s", got)
			}
			for _, f := range seen(t, got) {
				if f.Rule == "workflow/"+test.rule {
					t.Errorf("still seen: %s", f.Anchor)
				}
			}
		})
	}
}

func TestActionsArePinnedWhereTheForgeMayBeAsked(t *testing.T) {
	sha := strings.Repeat("ab", 20)
	s := site(t, workflow, "unpinned-action")
	if paths, err := New(tags{"v4": sha}).(fix.SiteFixer).PlanSite(t.Context(), s); err != nil || len(paths) != 1 || !paths[0].Manual {
		t.Errorf("a forge is asked that may not be: %v %+v", err, paths)
	}
	s.Ask = true
	paths, err := New(tags{"v4": sha}).(fix.SiteFixer).PlanSite(t.Context(), s)
	if err != nil || len(paths) != 1 || paths[0].Kind != fix.PinDigest {
		t.Fatalf("%v %+v", err, paths)
	}
	if got, want := applied(t, workflow, paths[0]), strings.Replace(workflow, "actions/checkout@v4", "actions/checkout@"+sha+" # v4", 1); got != want {
		t.Errorf("got\n%s", got)
	}
	if paths, err = New(nil).(fix.SiteFixer).PlanSite(t.Context(), s); err != nil || len(paths) != 1 || !paths[0].Manual || !strings.HasPrefix(paths[0].Steps[0].Command, "git ls-remote https://github.com/actions/checkout ") {
		t.Errorf("%v %+v", err, paths)
	}
	s.Planned = []fix.Path{{Kind: fix.PinDigest, Closes: []string{s.Flaws[0].Issue}}}
	if paths, err = New(tags{"v4": sha}).(fix.SiteFixer).PlanSite(t.Context(), s); err != nil || len(paths) != 0 {
		t.Errorf("what is pinned already is planned again: %v %+v", err, paths)
	}
}

func TestFindingsOfOneWorkflowAreMendedTogether(t *testing.T) {
	s := site(t, workflow, "no-permissions", "kept-credentials", "script-injection", "unsecure-commands", "unpinned-action")
	paths, err := New(nil).(fix.SiteFixer).PlanSite(t.Context(), s)
	if err != nil || len(paths) != 6 {
		t.Fatalf("%v: %d paths", err, len(paths))
	}
	if len(paths[0].Closes) != 4 || !paths[5].Manual {
		t.Errorf("%+v", paths)
	}
	if left := seen(t, applied(t, workflow, paths[0])); len(left) != 1 {
		t.Errorf("%d are left", len(left))
	}
}

func TestWhatAVariableWouldBreakIsLeftToPeople(t *testing.T) {
	for _, script := range []string{"run: echo '${{ github.head_ref }}'", "run: |\n          cat <<'X'\n          ${{ github.head_ref }}\n          X", "shell: pwsh\n        run: echo ${{ github.head_ref }}"} {
		text := "on: push\njobs:\n  a:\n    steps:\n      - " + script + "\n"
		paths, err := New(nil).(fix.SiteFixer).PlanSite(t.Context(), site(t, text, "script-injection"))
		if err != nil || len(paths) != 1 || !paths[0].Manual || len(paths[0].Edits) > 0 {
			t.Errorf("%s: %v %+v", script, err, paths)
		}
	}
}

func TestAReusedVariableKeepsItsMeaning(t *testing.T) {
	text := "on: push\njobs:\n  a:\n    steps:\n      - run: echo \"${{ github.head_ref }}\"\n        env: {HEAD_REF: x}\n"
	paths, err := New(nil).(fix.SiteFixer).PlanSite(t.Context(), site(t, text, "script-injection"))
	if err != nil || len(paths) != 1 {
		t.Fatalf("%v %+v", err, paths)
	}
	if got := applied(t, text, paths[0]); !strings.Contains(got, `"${HEAD_REF_TEXT}"`) || !strings.Contains(got, `{HEAD_REF: x, HEAD_REF_TEXT: "${{ github.head_ref }}"}`) {
		t.Errorf("got\n%s", got)
	}
}
