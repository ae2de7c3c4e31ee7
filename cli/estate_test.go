package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/demo"
)

// estate makes the demonstration estate and a state that knows its advisories.
func estate(t *testing.T) (demo.Estate, string) {
	t.Helper()
	built, err := demo.Build(t.Context(), filepath.Join(t.TempDir(), "estate"))
	if err != nil {
		t.Fatal(err)
	}
	state := t.TempDir()
	if code, _, stderr := command(t, state, "advisory", "import", built.Advisories); code != exitClean {
		t.Fatalf("advisory import: exit code %d, %s", code, stderr)
	}
	return built, state
}

// decoded runs a command with -o json and reads its one document.
func decoded[T any](t *testing.T, state string, args ...string) T {
	t.Helper()
	var v T
	code, out, stderr := command(t, state, append(args, "-o", "json")...)
	if code != exitClean {
		t.Fatalf("%v: exit code %d, %s", args, code, stderr)
	}
	if err := json.Unmarshal([]byte(out), &v); err != nil {
		t.Fatalf("%v: %v in\n%s", args, err, out)
	}
	return v
}

func TestExitCodesTellCleanGateFailureAndIncompleteApart(t *testing.T) {
	built, state := estate(t)
	ledger, platform := built.Repositories[0], built.Repositories[2]
	whole, err := os.ReadFile(platform.Reports[0])
	if err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.json")
	if err := os.WriteFile(broken, whole[:len(whole)/2], 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		args []string
		want int
		out  string
		err  string
	}{
		{"without a gate", []string{"triage", "--repo", platform.Dir, platform.Reports[0]}, exitClean, "BS-", ""},
		{"nothing that severe", []string{"triage", "--repo", ledger.Dir, ledger.Reports[0], "--fail-on", "critical"}, exitClean, "BS-", ""},
		{"the gate says no", []string{"triage", "--repo", platform.Dir, platform.Reports[0], "--fail-on", "low"}, exitGate, "BS-", "at or above low"},
		{"no such threshold", []string{"triage", "--repo", platform.Dir, "--fail-on", "awful"}, exitFailure, "", "--fail-on"},
		{"a report that ends early", []string{"triage", "--repo", platform.Dir, broken}, exitIncomplete, "ISSUE", "broken.json"},
		{"a report that is absent", []string{"triage", "--repo", platform.Dir, filepath.Join(state, "absent.json")}, exitIncomplete, "ISSUE", "absent.json"},
	} {
		code, out, stderr := command(t, state, c.args...)
		if code != c.want || !strings.Contains(out, c.out) || !strings.Contains(stderr, c.err) {
			t.Errorf("%s: exit code %d, want %d\n%s\n%s", c.name, code, c.want, out, stderr)
		}
	}
	if code, _, stderr := command(t, t.TempDir(), "advisory", "status"); code != exitIncomplete || !strings.Contains(stderr, "advisory import") {
		t.Errorf("no index: exit code %d, %s; want 3 and what to do", code, stderr)
	}
	if code, _, stderr := command(t, t.TempDir(), "triage", "--repo", platform.Dir); code != exitIncomplete || !strings.Contains(stderr, "nothing was looked at") {
		t.Errorf("nothing to look with: exit code %d, %s; want 3", code, stderr)
	}
}

func TestTheJSONOfAnIssueHasTheFieldsOfTheDesignAndNoNullList(t *testing.T) {
	built, state := estate(t)
	for _, r := range built.Repositories {
		for _, it := range decoded[[]map[string]any](t, state, append([]string{"triage", "--repo", r.Dir}, r.Reports...)...) {
			for _, name := range []string{"id", "title", "kind", "severity", "risk", "state", "advisories", "assets", "cause", "owners", "fix_paths"} {
				if _, ok := it[name]; !ok {
					t.Errorf("%s: an issue has no %s: %v", r.Name, name, it)
				}
			}
			cause, _ := it["cause"].(map[string]any)
			for _, name := range []string{"status", "locations", "chain", "missing"} {
				if _, ok := cause[name]; !ok {
					t.Errorf("%s: a cause has no %s: %v", r.Name, name, cause)
				}
			}
			paths, _ := it["fix_paths"].([]any)
			for _, path := range paths {
				for _, name := range []string{"id", "kind", "summary", "recommended", "reason", "effort", "risk", "closes", "steps"} {
					if _, ok := path.(map[string]any)[name]; !ok {
						t.Errorf("%s: a fix path has no %s: %v", r.Name, name, path)
					}
				}
			}
			if at := null(it, "issue"); at != "" {
				t.Errorf("%s: %s is null", r.Name, at)
			}
		}
	}
	if _, out, _ := command(t, t.TempDir(), "issue", "list", "-o", "json"); out != "[]\n" {
		t.Errorf("an empty list is %q", out)
	}
}

// null finds a null in a decoded document.
func null(v any, at string) string {
	switch v := v.(type) {
	case nil:
		return at
	case []any:
		for _, e := range v {
			if found := null(e, at+"[]"); found != "" {
				return found
			}
		}
	case map[string]any:
		for name, e := range v {
			if found := null(e, at+"."+name); found != "" {
				return found
			}
		}
	}
	return ""
}

func TestEveryNounShowsWhatTriageKept(t *testing.T) {
	built, state := estate(t)
	platform := built.Repositories[2]
	issues := decoded[[]struct {
		ID    string `json:"id"`
		Paths []any  `json:"fix_paths"`
	}](t, state, append([]string{"triage", "--repo", platform.Dir}, platform.Reports...)...)
	at := slices.IndexFunc(issues, func(it struct {
		ID    string `json:"id"`
		Paths []any  `json:"fix_paths"`
	}) bool {
		return len(it.Paths) > 0
	})
	if at < 0 {
		t.Fatal("no issue has a fix path")
	}
	id := issues[at].ID
	if listed := decoded[[]any](t, state, "issue", "list"); len(listed) != len(issues) {
		t.Errorf("%d issues listed, %d triaged", len(listed), len(issues))
	}
	for _, c := range []struct {
		args []string
		want []string
	}{
		{[]string{"issue", "list"}, []string{id, "WHERE"}},
		{[]string{"issue", "show", id}, []string{id, "requirements.txt"}},
		{[]string{"cause", "explain", id}, []string{"requirements.txt"}},
		{[]string{"fix", "plan", id}, []string{"* "}},
		{[]string{"report", "formats"}, []string{"trivy", "sarif"}},
		{[]string{"report", "show", platform.Reports[0]}, []string{"PYSEC-2018-28", "4 findings"}},
		{[]string{"advisory", "status"}, []string{"SOURCE", "sha256:"}},
	} {
		code, out, stderr := command(t, state, c.args...)
		if code != exitClean {
			t.Errorf("%v: exit code %d, %s", c.args, code, stderr)
		}
		for _, want := range c.want {
			if !strings.Contains(strings.ToLower(out), strings.ToLower(want)) {
				t.Errorf("%v does not say %q:\n%s", c.args, want, out)
			}
		}
	}
	if code, _, stderr := command(t, state, "issue", "reject", id, "--reason", "wont_fix", "--note", "accepted"); code != exitClean {
		t.Fatalf("issue reject: exit code %d, %s", code, stderr)
	}
	if listed := decoded[[]any](t, state, "issue", "list"); len(listed) != len(issues)-1 {
		t.Errorf("%d issues listed after one was rejected, want %d", len(listed), len(issues)-1)
	}
	if listed := decoded[[]any](t, state, "issue", "list", "--all"); len(listed) != len(issues) {
		t.Errorf("%d issues listed with --all, want %d", len(listed), len(issues))
	}
}

func TestALineOfADiffKeepsItsTabsAndLosesWhatMovesTheCursor(t *testing.T) {
	if got, want := plainCode("+\tx\x1b[2J\u202ey"), "+\tx [2Jy"; got != want {
		t.Errorf("plainCode gives %q, want %q", got, want)
	}
}

func TestAFixIsVerifiedAndOpenedFromTheCommandLine(t *testing.T) {
	built, state := estate(t)
	platform := built.Repositories[2]
	issues := decoded[[]struct {
		ID    string `json:"id"`
		Paths []any  `json:"fix_paths"`
	}](t, state, append([]string{"triage", "--repo", platform.Dir}, platform.Reports...)...)
	id := ""
	for _, it := range issues {
		if len(it.Paths) > 0 {
			id = it.ID
		}
	}
	statement := filepath.Join(t.TempDir(), "proof.json")
	code, out, stderr := command(t, state, "fix", "verify", id, "--statement", statement)
	if code != exitClean || !strings.Contains(out, "proof: proven") || !strings.Contains(out, "+++ b/") {
		t.Fatalf("fix verify: exit code %d\n%s\n%s", code, out, stderr)
	}
	if data, err := os.ReadFile(statement); err != nil || !strings.Contains(string(data), "payload") {
		t.Errorf("statement %q, %v", data, err)
	}
	for _, want := range []string{"created", "unchanged"} {
		if code, out, stderr := command(t, state, "fix", "open", id, "--remote", platform.Remote); code != exitClean || !strings.HasPrefix(out, want+" refs/heads/backstitch/") {
			t.Errorf("fix open: exit code %d, want %s\n%s\n%s", code, want, out, stderr)
		}
	}
}
