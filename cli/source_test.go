package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/owner"
)

func TestSourcesAreDefinedListedAndForgotten(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	if code, _, stderr := command(t, state, "source", "add", "gitlocal", "repos", "--set", "path="+state); code != exitClean {
		t.Fatalf("add: %d %s", code, stderr)
	}
	code, out, _ := command(t, state, "source", "list", "-o", "json")
	var list []struct {
		Name, Type string
		Settings   map[string]string
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != exitClean || len(list) != 1 || list[0].Name != "repos" || list[0].Settings["path"] != state {
		t.Errorf("list: %d %s %v", code, out, err)
	}
	if code, out, _ := command(t, state, "source", "list"); code != exitClean || !strings.Contains(out, "repos  gitlocal  path="+state) {
		t.Errorf("list: %d %s", code, out)
	}
	if code, _, _ := command(t, state, "source", "remove", "repos"); code != exitClean {
		t.Errorf("remove: %d", code)
	}
	for _, args := range [][]string{
		{"source", "remove", "repos"},
		{"source", "add", "aws", "prod", "--set", "regions"},
		{"source", "add", "aws", "prod", "--set", "secret-key=hunter2"},
		{"source", "types", "nonsense"},
	} {
		code, out, stderr := command(t, state, args...)
		if code != exitFailure || out != "" || strings.TrimSpace(stderr) == "" || strings.Contains(stderr, "hunter2") {
			t.Errorf("%v: %d %q %q; want 2, nothing, a reason without the secret", args, code, out, stderr)
		}
	}
}

func TestEveryKindOfSourceTellsWhatItIsTold(t *testing.T) {
	t.Parallel()
	code, out, _ := command(t, t.TempDir(), "source", "types", "-o", "json")
	var types []struct {
		Type, Name, Docs string
		Settings         []connector.Setting
	}
	if err := json.Unmarshal([]byte(out), &types); err != nil || code != exitClean || len(types) < 5 {
		t.Fatalf("types: %d %v %s", code, err, out)
	}
	for _, kind := range types {
		if kind.Docs == "" || kind.Name == "" || len(kind.Settings) == 0 {
			t.Errorf("%s tells %+v", kind.Type, kind)
		}
	}
	if code, out, _ := command(t, t.TempDir(), "source", "types", "aws"); code != exitClean || !strings.Contains(out, "secret-key") || !strings.Contains(out, "env:NAME or file:PATH") || strings.Contains(out, "gitlocal:") {
		t.Errorf("types aws: %d %s", code, out)
	}
}

func TestASyncKeepsWhatItSawAndNamesTheRest(t *testing.T) {
	t.Parallel()
	state, states := t.TempDir(), t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(states, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	sync := func(want int) (list []struct {
		Source, Error string
		Graph         struct {
			Assets struct{ New, Changed, Gone, Unchanged int }
			Gaps   []string
		}
	}) {
		t.Helper()
		code, out, stderr := command(t, state, "source", "sync", "-o", "json")
		if code != want {
			t.Fatalf("sync: exit code %d, want %d: %s", code, want, stderr)
		}
		if err := json.Unmarshal([]byte(out), &list); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return list
	}
	if code, _, stderr := command(t, state, "source", "sync"); code != exitIncomplete || !strings.Contains(stderr, "no source is defined") {
		t.Errorf("sync of nothing: %d %s", code, stderr)
	}
	bucket := `{"mode": "managed", "type": "aws_s3_bucket", "name": "NAME", "instances": [{"attributes": {"id": "NAME", "arn": "arn:aws:s3:::NAME"}}]}`
	both := `{"version": 4, "resources": [` + strings.ReplaceAll(bucket, "NAME", "a") + "," + strings.ReplaceAll(bucket, "NAME", "b") + `]}`
	write("x.tfstate", both)
	for _, args := range [][]string{
		{"source", "add", "terraformstate", "infra", "--set", "path=" + states},
		{"source", "add", "terraformstate", "locked", "--set", "url=https://x.test/state", "--set", "password=env:BACKSTITCH_TEST_NOT_SET"},
	} {
		if code, _, stderr := command(t, state, args...); code != exitClean {
			t.Fatalf("%v: %d %s", args, code, stderr)
		}
	}
	list := sync(exitIncomplete)
	if len(list) != 2 || list[0].Graph.Assets.New != 4 || len(list[0].Graph.Gaps) != 0 || !strings.Contains(list[1].Error, "BACKSTITCH_TEST_NOT_SET is not set") {
		t.Fatalf("first sync: %+v", list)
	}
	if code, _, stderr := command(t, state, "source", "remove", "locked"); code != exitClean {
		t.Fatalf("remove: %s", stderr)
	}
	if list = sync(exitClean); list[0].Graph.Assets.New != 0 || list[0].Graph.Assets.Unchanged != 4 {
		t.Errorf("the same again: %+v", list)
	}
	write("x.tfstate", "{")
	if list = sync(exitIncomplete); list[0].Graph.Assets.Gone != 0 || len(list[0].Graph.Gaps) != 1 || !strings.Contains(list[0].Graph.Gaps[0], "x.tfstate") {
		t.Errorf("a broken state: %+v", list)
	}
	write("x.tfstate", `{"version": 4, "resources": [`+strings.ReplaceAll(bucket, "NAME", "a")+`]}`)
	if list = sync(exitClean); list[0].Graph.Assets.Gone != 2 {
		t.Errorf("a bucket less: %+v", list)
	}
	if code, out, _ := command(t, state, "source", "sync", "infra"); code != exitClean || !strings.Contains(out, "infra") || !strings.Contains(out, "2 (+0 ~0 -0)") {
		t.Errorf("as a table: %d %s", code, out)
	}
}

func TestADryRunShowsWhatASyncWouldChangeAndKeepsNothing(t *testing.T) {
	t.Parallel()
	state, file := t.TempDir(), filepath.Join(t.TempDir(), "projects.yaml")
	write := func(text string) {
		if err := os.WriteFile(file, []byte("projects:\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("  - {name: Retail, owner: \"team:retail\"}\n  - {name: Old, owner: \"team:old\"}\n")
	for _, args := range [][]string{{"source", "add", "project", "register", "--set", "path=" + file}, {"source", "sync"}} {
		if code, _, stderr := command(t, state, args...); code != exitClean {
			t.Fatalf("%v: %d %s", args, code, stderr)
		}
	}
	write("  - {name: Retail, owner: \"team:shop\"}\n  - {name: New, owner: ada@acme.test}\n")
	code, out, stderr := command(t, state, "source", "sync", "--dry-run")
	for _, want := range []string{"2 (+1 ~0 -1)", "nothing was kept", "-     team retail\n+     team shop", "project:Old\n-     team old\nof ", "1 gain a clear owner, 1 lose theirs, 1 get another"} {
		if code != exitClean || !strings.Contains(out, want) {
			t.Errorf("dry run: %d %s\n%s; want %q", code, stderr, out, want)
		}
	}
	if _, out, _ := command(t, state, "owner", "explain", "project:Retail"); !strings.Contains(out, "owner: team retail") {
		t.Errorf("after a dry run: %s", out)
	}
	if left, err := filepath.Glob(filepath.Join(state, "trial.*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	tried := decoded[struct {
		Sources []sourceSynced     `json:"sources"`
		Owners  owner.OwnersChange `json:"owners"`
	}](t, state, "source", "sync", "--dry-run")
	if len(tried.Sources) != 1 || tried.Owners.Moved != 1 || tried.Sources[0].Graph.Nodes.New != 1 {
		t.Errorf("as JSON: %+v", tried)
	}
}

func TestASyncTellsOfWhatFoundNoMatch(t *testing.T) {
	t.Parallel()
	state, dir := t.TempDir(), t.TempDir()
	text := "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: shop}\nspec: {type: service, owner: ghosts}\n---\napiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {name: web}\nspec: {type: team}\n"
	if err := os.WriteFile(filepath.Join(dir, "catalog-info.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	command(t, state, "source", "add", "backstage", "catalog", "--set", "path="+dir)
	if code, _, stderr := command(t, state, "source", "sync"); code != exitClean || !strings.Contains(stderr, "note: catalog:") || !strings.Contains(stderr, "group:default/ghosts, which the catalog does not hold") {
		t.Errorf("sync: %d %s, want the dangling reference", code, stderr)
	}
}
