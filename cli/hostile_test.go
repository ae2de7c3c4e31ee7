package cli

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// repository makes a repository of one commit that holds files, by path; a
// content that begins with "->" is the target of a symbolic link.
func repository(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		file := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		target, link := strings.CutPrefix(content, "->")
		err := error(nil)
		if link {
			err = os.Symlink(target, file)
		} else {
			err = os.WriteFile(file, []byte(content), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "-A"}, {"commit", "-q", "-m", "all"}} {
		cmd := exec.Command("git", append([]string{"-C", dir, "-c", "user.name=Ada", "-c", "user.email=ada@example.com"}, args...)...)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "GIT_CONFIG_GLOBAL=/dev/null", "GIT_CONFIG_NOSYSTEM=1"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	return dir
}

const (
	goMod     = "module example.com/a\n\ngo 1.24\n\nrequire golang.org/x/text v0.3.7\n"
	goSum     = "golang.org/x/text v0.3.7 h1:olpwvP2KacW1ZWvsR7uQhoyTYvKAupfQrRGBFM352Gk=\n"
	anAdvise  = `{"id":"GO-2022-1059","affected":[{"package":{"ecosystem":"Go","name":"golang.org/x/text"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"0.3.8"}]}]}]}`
	someOther = `{"id":"GO-2022-0001","affected":[{"package":{"ecosystem":"Go","name":"example.com/other"},"ranges":[{"type":"SEMVER","events":[{"introduced":"0"}]}]}]}`
)

// stateWith makes a state whose index knows one advisory.
func stateWith(t *testing.T, advisory string) string {
	t.Helper()
	state := t.TempDir()
	file := filepath.Join(t.TempDir(), "advisory.json")
	if err := os.WriteFile(file, []byte(advisory), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := command(t, state, "advisory", "import", file); code != exitClean {
		t.Fatalf("advisory import: exit code %d, %s", code, stderr)
	}
	return state
}

func TestManifestsThatAreNotLookedAtMakeTheScanIncomplete(t *testing.T) {
	state := stateWith(t, someOther)
	for _, c := range []struct {
		name  string
		files map[string]string
		want  int
		err   string
	}{
		{"nothing is left out", map[string]string{"go.mod": goMod, "go.sum": goSum}, exitClean, ""},
		{"a link to a file of the tree", map[string]string{"go.mod": goMod, "go.sum": goSum, "b/go.mod": "->../go.mod"}, exitClean, ""},
		{"a link out of the tree", map[string]string{"go.mod": goMod, "go.sum": goSum, "b/go.mod": "->../../go.mod"}, exitIncomplete, "b/go.mod is a symbolic link"},
		{"an absolute link", map[string]string{"go.mod": goMod, "go.sum": goSum, "package-lock.json": "->/etc/passwd"}, exitIncomplete, "package-lock.json is a symbolic link"},
		{"a path that is no UTF-8", map[string]string{"go.mod": goMod, "go.sum": goSum, "d\xff/go.mod": goMod}, exitIncomplete, "d\ufffd/go.mod has a path that is no valid UTF-8"},
		{"only such a path", map[string]string{"d\xff/go.mod": goMod}, exitIncomplete, "no valid UTF-8"},
		{"no manifest at all", map[string]string{"a.txt": "a\n"}, exitIncomplete, "nothing was looked at"},
	} {
		code, out, stderr := command(t, state, "triage", "--repo", repository(t, c.files))
		if code != c.want || !strings.Contains(stderr, c.err) || c.err == "" && stderr != "" {
			t.Errorf("%s: exit code %d, error %q, want %d, %q\n%s", c.name, code, stderr, c.want, c.err, out)
		}
	}
}

func TestAnEmptyReportIsNotSaidToBeClean(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "empty.json")
	if err := os.WriteFile(empty, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	code, out, _ := command(t, t.TempDir(), "triage", "--repo", repository(t, map[string]string{"go.mod": goMod}), empty)
	if code != exitIncomplete || strings.Contains(out, "no open issues") || !strings.Contains(out, "not everything was") {
		t.Errorf("exit code %d, output %q; want 3 and no word of all being well", code, out)
	}
}

func TestErrorsCannotMoveTheCursor(t *testing.T) {
	code, _, stderr := command(t, t.TempDir(), "report", "show", "no\x1b[2J\nbackstitch: all is well")
	if code != exitFailure || strings.Contains(stderr, "\x1b") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d, error %q; want 2 and one line of plain text", code, stderr)
	}
}

func TestADecisionNeedsANote(t *testing.T) {
	state := stateWith(t, anAdvise)
	if code, _, stderr := command(t, state, "triage", "--repo", repository(t, map[string]string{"go.mod": goMod, "go.sum": goSum})); code != exitClean {
		t.Fatalf("triage: exit code %d, %s", code, stderr)
	}
	_, out, _ := command(t, state, "issue", "list")
	id := ""
	for word := range strings.FieldsSeq(out) {
		if strings.HasPrefix(word, "BS-") {
			id = word
		}
	}
	if id == "" {
		t.Fatalf("no issue in %q", out)
	}
	if code, _, stderr := command(t, state, "issue", "reject", id, "--reason", "wont_fix", "--note", " "); code != exitFailure || !strings.Contains(stderr, "note") {
		t.Errorf("a blank note: exit code %d, error %q; want 2", code, stderr)
	}
	if code, _, stderr := command(t, state, "issue", "reject", id, "--reason", "wont_fix", "--note", "behind a wall"); code != exitClean {
		t.Errorf("a note: exit code %d, error %q; want 0", code, stderr)
	}
}

func TestADocumentOfStatementsReachesWhatAnotherDetectorFound(t *testing.T) {
	dir, state := repository(t, map[string]string{"go.mod": goMod, "go.sum": goSum}), t.TempDir()
	found, vex := filepath.Join(t.TempDir(), "trivy.json"), filepath.Join(t.TempDir(), "vex.json")
	for name, content := range map[string]string{
		found: `{"SchemaVersion":2,"ArtifactName":".","ArtifactType":"filesystem","Results":[{"Target":"go.mod","Class":"lang-pkgs","Type":"gomod","Vulnerabilities":[{"VulnerabilityID":"CVE-2022-32149","PkgName":"golang.org/x/text","InstalledVersion":"v0.3.7","FixedVersion":"0.3.8","Severity":"HIGH"}]}]}`,
		vex:   `{"bomFormat":"CycloneDX","specVersion":"1.5","version":1,"vulnerabilities":[{"id":"CVE-2022-32149","analysis":{"state":"not_affected","justification":"code_not_reachable"},"affects":[{"ref":"pkg:golang/golang.org/x/text@v0.3.7"}]}]}`,
	} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if code, _, stderr := command(t, state, "triage", "--repo", dir, found, "--fail-on", "high"); code != exitGate {
		t.Errorf("before the statement: exit code %d, %s; want 1", code, stderr)
	}
	code, out, stderr := command(t, state, "triage", "--repo", dir, found, vex, "--fail-on", "low")
	if code != exitClean || !strings.Contains(out, "[rejected]") {
		t.Errorf("after it: exit code %d, %s; want 0 and a rejected issue\n%s", code, stderr, out)
	}
}

func TestAnIndexThatKnowsNothingOfAnEcosystemCallsNothingClean(t *testing.T) {
	dir := repository(t, map[string]string{"go.mod": goMod, "go.sum": goSum})
	state := stateWith(t, `{"id":"GHSA-1","affected":[{"package":{"ecosystem":"npm","name":"a"},"versions":["1.0.0"]}]}`)
	code, out, stderr := command(t, state, "triage", "--repo", dir)
	if code != exitIncomplete || !strings.HasSuffix(stderr, "holds nothing about Go\n") || strings.Contains(out, "no open issues") {
		t.Errorf("exit code %d, error %q, output %q; want 3 and what the index lacks", code, stderr, out)
	}
}

func TestAReportThatHoldsNothingIsNamed(t *testing.T) {
	t.Parallel()
	repo := repository(t, map[string]string{"go.mod": goMod, "go.sum": goSum})
	for _, text := range []string{"null", "[]", "[null]"} {
		report := filepath.Join(t.TempDir(), "empty.json")
		if err := os.WriteFile(report, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		code, _, stderr := command(t, t.TempDir(), "triage", "--repo", repo, report)
		if code != exitIncomplete || !strings.Contains(stderr, "empty.json: ") {
			t.Errorf("%s: exit code %d, %q; want %d and a word on the file", text, code, stderr, exitIncomplete)
		}
	}
}
