package cli

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/owner"
)

func TestAHumansOwnerStandsFirstAndOutlastsATriage(t *testing.T) {
	built, state := estate(t)
	r := built.Repositories[0]
	triage := append([]string{"triage", "--repo", r.Dir}, r.Reports...)
	found := decoded[[]issue.Issue](t, state, triage...)
	if len(found) == 0 || len(found[0].Owners) == 0 {
		t.Fatalf("no issue with owners: %+v", found)
	}
	id, was := found[0].ID, found[0].Owners[0]
	if code, out, stderr := command(t, state, "issue", "assign", id, "Night Watch"); code != exitFailure || !strings.Contains(stderr, "team:Night Watch") || out != "" {
		t.Errorf("somebody whom nobody knows: %d %s %s; want 2 and what to write", code, out, stderr)
	}
	if code, out, stderr := command(t, state, "issue", "assign", id, "team:night-watch", "--reason", "they run it"); code != exitClean || !strings.Contains(out, "night-watch is assigned as owner") {
		t.Fatalf("assign: %d %s %s", code, out, stderr)
	}
	for _, args := range [][]string{triage, {"issue", "list"}} {
		for _, it := range decoded[[]issue.Issue](t, state, args...) {
			if it.ID == id && (it.Owners[0].ID != "night-watch" || it.Owners[0].Evidence[0].Kind != "human" || it.Owners[1].ID != was.ID) {
				t.Errorf("%s: owners %+v, want the person's word first and what was found behind it", args[0], it.Owners)
			}
		}
	}
	if it := decoded[issue.Issue](t, state, "issue", "show", id); it.Owners[0].ID != "night-watch" || !strings.Contains(it.Owners[0].Evidence[0].Detail, "they run it") {
		t.Errorf("issue show: %+v", it.Owners[0])
	}
	if code, _, _ := command(t, state, "issue", "assign", id, "team:day-watch", "--pin"); code != exitClean {
		t.Errorf("pin: %d", code)
	}
	if code, _, stderr := command(t, state, "issue", "assign", id, "team:night-watch"); code != exitFailure || !strings.Contains(stderr, "pinned") {
		t.Errorf("over a pin: %d %s", code, stderr)
	}
	history := decoded[[]owner.Answer](t, state, "owner", "history", id)
	if len(history) != 2 || history[0].Reason != "they run it" || history[1].Verb != owner.Pin || history[0].By == "" {
		t.Errorf("history %+v", history)
	}
	x := decoded[owner.AssetExplanation](t, state, "owner", "explain", id)
	if !x.Clear || x.Owners[0].ID != "day-watch" || len(x.Owners) < 2 || len(x.Rulings) != 1 {
		t.Errorf("explained %+v", x)
	}
	if code, _, stderr := command(t, state, "issue", "assign", "BS-NOTTHERE", "team:x"); code != exitFailure || !strings.Contains(stderr, "not found") {
		t.Errorf("an issue that is not there: %d %s", code, stderr)
	}
}

// finding is one of AWS Security Hub about a resource.
func finding(control, resource string) string {
	return `{"SchemaVersion":"2018-10-08","Id":"` + control + `","ProductArn":"arn:aws:securityhub:eu-west-1::product/aws/securityhub","ProductName":"Security Hub","CompanyName":"AWS",` +
		`"GeneratorId":"` + control + `","AwsAccountId":"123456789012","Types":["Software and Configuration Checks"],"CreatedAt":"2026-01-01T00:00:00Z","UpdatedAt":"2026-01-02T00:00:00Z",` +
		`"Severity":{"Label":"HIGH"},"Title":"` + control + ` is not encrypted","Description":"It is not encrypted","Resources":[{"Type":"AwsSqsQueue","Id":"` + resource + `"}],"RecordState":"ACTIVE"}`
}

func TestAnIssueWithoutALineIsAnsweredByWhoOwnsItsAsset(t *testing.T) {
	t.Parallel()
	state, dir := t.TempDir(), t.TempDir()
	repo, report, register := filepath.Join(dir, "repo"), filepath.Join(dir, "findings.json"), filepath.Join(dir, "projects.yaml")
	for name, text := range map[string]string{
		filepath.Join(repo, "README"): "x\n",
		report:                        `{"Findings":[` + finding("SQS.1", "arn:aws:sqs:eu-west-1:123456789012:orders") + "," + finding("SQS.2", "arn:aws:sqs:eu-west-1:210987654321:stray") + "]}",
		register:                      "projects:\n  - {name: Retail, owner: \"team:retail\", members: [{account: aws/123456789012}]}\n  - {name: Lab, owner: \"team:a, team:b\", members: [{account: aws/210987654321}]}\n",
	} {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, args := range [][]string{{"init", "-q"}, {"add", "README"}, {"-c", "user.name=Ada Lovelace", "-c", "user.email=ada@acme.test", "commit", "-qm", "x"}} {
		if out, err := exec.Command("git", append([]string{"-C", repo}, args...)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	for _, args := range [][]string{{"source", "add", "project", "register", "--set", "path=" + register}, {"source", "sync"}} {
		if code, _, stderr := command(t, state, args...); code != exitClean {
			t.Fatalf("%v: %d %s", args, code, stderr)
		}
	}
	for _, args := range [][]string{{"triage", "--repo", repo, report, "-o", "json"}, {"issue", "list", "-o", "json"}} {
		_, out, stderr := command(t, state, args...)
		var list []issue.Issue
		if err := json.Unmarshal([]byte(out), &list); err != nil || len(list) != 2 {
			t.Fatalf("%s: %d issues, %v\n%s\n%s", args[0], len(list), err, out, stderr)
		}
		for _, it := range list {
			x := decoded[owner.AssetExplanation](t, state, "owner", "explain", it.ID)
			switch {
			case len(it.Cause.Locations) > 0:
				t.Errorf("%s: %+v, want no line", it.ID, it.Cause)
			case strings.Contains(it.Title, "SQS.1") && (!x.Clear || len(it.Owners) != 1 || it.Owners[0].ID != "retail" || it.Owners[0].Confidence != x.Owners[0].Confidence):
				t.Errorf("%s: %+v; explained %+v, want the account's owner in both", args[0], it.Owners, x.Owners)
			case strings.Contains(it.Title, "SQS.2") && (x.Clear || len(x.Owners) != 2 || len(it.Owners) != 0):
				t.Errorf("%s: %+v; explained %+v, want nobody of two alike", args[0], it.Owners, x.Owners)
			}
			asset := decoded[owner.AssetExplanation](t, state, "owner", "explain", it.Assets[0].Kind+":"+it.Assets[0].Key)
			if asset.Owners[0].Confidence != x.Owners[0].Confidence {
				t.Errorf("%s: %v of the asset, %v of its issue", it.ID, asset.Owners[0].Confidence, x.Owners[0].Confidence)
			}
		}
	}
}

// catalog makes a state whose graph holds a small catalog and its people.
func catalog(t *testing.T) string {
	t.Helper()
	state, dir := t.TempDir(), t.TempDir()
	text := "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: shop}\nspec: {type: service, owner: web}\n---\n" +
		"apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: till}\nspec: {type: service, owner: ghosts}\n---\n" +
		"apiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {name: web}\nspec: {type: team, children: []}\n"
	if err := os.WriteFile(filepath.Join(dir, "catalog-info.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"source", "add", "backstage", "catalog", "--set", "path=" + dir}, {"source", "sync"}} {
		if code, _, stderr := command(t, state, args...); code != exitClean {
			t.Fatalf("%v: %d %s", args, code, stderr)
		}
	}
	return state
}

func TestOwnersOfAssetsAreExplainedCountedAndAccepted(t *testing.T) {
	t.Parallel()
	state := catalog(t)
	x := decoded[owner.AssetExplanation](t, state, "owner", "explain", "shop")
	if !x.Clear || x.Owners[0].Name != "web" || x.Owners[0].Role != "owner" || !strings.Contains(x.Owners[0].Evidence[0].Detail, "0.90 said") {
		t.Errorf("shop %+v", x)
	}
	if code, out, _ := command(t, state, "owner", "explain", "till"); code != exitClean || !strings.Contains(out, "no clear owner") || !strings.Contains(out, "WHAT WOULD SETTLE IT") {
		t.Errorf("till: %d\n%s", code, out)
	}
	c := decoded[app.OwnerCoverage](t, state, "owner", "coverage")
	if c.Assets.All != 2 || c.Assets.Clear != 1 || c.Sources["backstage"].All != 2 {
		t.Errorf("coverage %+v", c)
	}
	if code, out, _ := command(t, state, "owner", "accept", "--above", ".8", "--dry-run"); code != exitClean || !strings.Contains(out, "1 suggestions would be accepted") {
		t.Errorf("dry run: %d %s", code, out)
	}
	if code, out, _ := command(t, state, "owner", "accept", "--above", ".8"); code != exitClean || !strings.Contains(out, "1 suggestions are accepted") {
		t.Errorf("accept: %d %s", code, out)
	}
	if code, out, stderr := command(t, state, "owner", "reject", "till", "team:group:default/ghosts", "--reason", "no such team"); code != exitClean {
		t.Errorf("reject: %d %s %s", code, out, stderr)
	}
	if x := decoded[owner.AssetExplanation](t, state, "owner", "explain", "till"); len(x.Owners) != 0 || len(x.Overruled) != 1 {
		t.Errorf("till after the rejection: %+v", x)
	}
	for _, args := range [][]string{
		{"owner", "accept", "--above", ".1"}, {"owner", "accept", "shop"}, {"owner", "reject", "shop", "web"}, {"owner", "explain", "nothing-like-it-at-all"}, {"owner", "unpin", "shop", "web"},
		{"owner", "rules", "test", filepath.Join(state, "absent.yaml")}, {"owner", "export", "sticky-note"},
	} {
		if code, out, stderr := command(t, state, args...); code != exitFailure || out != "" || stderr == "" {
			t.Errorf("%v: %d %q %q; want 2 and why", args, code, out, stderr)
		}
	}
	if code, _, _ := command(t, t.TempDir(), "owner", "coverage"); code != exitIncomplete {
		t.Errorf("coverage of nothing: %d, want 3", code)
	}
}

func TestFilesOfTheStateSayHowOwnersAreFound(t *testing.T) {
	t.Parallel()
	state := catalog(t)
	write := func(name, text string) string {
		t.Helper()
		path := filepath.Join(state, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	write(app.PrecedenceFile, "clear: .95\n")
	if x := decoded[owner.AssetExplanation](t, state, "owner", "explain", "shop"); x.Clear {
		t.Errorf("clear at .95: %+v", x.Owners)
	}
	write(app.PrecedenceFile, "sources:\n  backstage: often\n")
	if code, _, stderr := command(t, state, "owner", "explain", "shop"); code != exitFailure || !strings.Contains(stderr, app.PrecedenceFile+":2: sources.backstage") {
		t.Errorf("a broken file: %d %s; want the line and the field", code, stderr)
	}
	write(app.PrecedenceFile, "")
	rules := write("rules.yaml", "rules:\n- name: kinds\n  keys: [nothing]\n")
	if code, out, _ := command(t, state, "owner", "rules", "test", rules); code != exitClean || !strings.Contains(out, "kinds") {
		t.Errorf("test: %d %s", code, out)
	}
	if code, _, _ := command(t, state, "owner", "rules", "apply", rules, "--dry-run"); code != exitClean {
		t.Errorf("apply --dry-run: %d", code)
	}
	if _, err := os.Stat(filepath.Join(state, app.TagRulesFile)); !os.IsNotExist(err) {
		t.Errorf("a dry run wrote the rules: %v", err)
	}
	if code, out, _ := command(t, state, "owner", "rules", "apply", rules); code != exitClean || !strings.Contains(out, "0 gain a clear owner") {
		t.Errorf("apply: %d %s", code, out)
	}
	if data, err := os.ReadFile(filepath.Join(state, app.TagRulesFile)); err != nil || !strings.Contains(string(data), "name: kinds") {
		t.Errorf("%s %v", data, err)
	}
}

func TestCodeAndExportsWorkOnAFolder(t *testing.T) {
	t.Parallel()
	state, dir := t.TempDir(), t.TempDir()
	for _, args := range [][]string{{"init", "-q", "-b", "main"}, {"-c", "user.name=Ada Byron", "-c", "user.email=ada@x.test", "commit", "-q", "--allow-empty", "-m", "start"}} {
		git := exec.Command("git", append([]string{"-C", dir}, args...)...)
		git.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL=/dev/null")
		if out, err := git.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v %s", args, err, out)
		}
	}
	if code, _, _ := command(t, state, "owner", "code"); code != exitIncomplete {
		t.Errorf("no repository is known: %d, want 3", code)
	}
	other := t.TempDir()
	if code, _, stderr := command(t, other, "source", "add", "gitlocal", "repos", "--set", "path="+dir); code != exitClean {
		t.Fatal(stderr)
	}
	if code, out, stderr := command(t, other, "owner", "code"); code != exitClean || !strings.Contains(out, "1 (+1 ~0 -0)") {
		t.Errorf("code of a source: %d %s %s", code, out, stderr)
	}
	if code, out, stderr := command(t, state, "owner", "code", dir); code != exitClean || !strings.Contains(out, "1 (+1 ~0 -0)") {
		t.Errorf("code: %d %s %s", code, out, stderr)
	}
	if code, _, stderr := command(t, state, "owner", "code", filepath.Join(dir, "absent")); code != exitIncomplete || !strings.Contains(stderr, "absent") {
		t.Errorf("an absent folder: %d %s, want 3 and its name", code, stderr)
	}
	code, out, stderr := command(t, state, "owner", "export", "backstage", "--repo", dir)
	if code != exitClean || !strings.Contains(out, "+  owner: user:default/ada") {
		t.Errorf("export: %d %s %s", code, out, stderr)
	}
	apply := exec.Command("git", "-C", dir, "apply", "--check", "-")
	apply.Stdin = strings.NewReader(out)
	if text, err := apply.CombinedOutput(); err != nil {
		t.Errorf("git apply: %v %s", err, text)
	}
}
