package cli

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
)

func TestTheGraphIsShownWithItsEvidence(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	desk, err := app.Open(t.Context(), app.Config{State: state, Now: time.Now, Progress: func(string, int, int) {}})
	if err != nil {
		t.Fatal(err)
	}
	run, err := desk.Graph().Begin(t.Context(), "test", time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC), false)
	if err != nil {
		t.Fatal(err)
	}
	web, image := fact.Asset{Kind: fact.AssetWorkload, Key: "prod/shop/Deployment.apps/web", Name: "web"}, fact.Asset{Kind: fact.AssetImage, Key: "sha256:abc", Name: "shop:1"}
	for _, err := range []error{
		run.Node("s", fact.Node{Asset: web, Properties: map[string]string{"label:app": "shop\x1b[31m"}}),
		run.Relation("s", fact.Relation{From: web, Kind: fact.InstanceOf, To: image, Evidence: fact.Evidence{Method: "image reference", Source: "cluster prod", Strength: fact.Attested}}),
		run.Claim("s", fact.Claim{Subject: web, Owner: fact.Party{Kind: "team", ID: "web", Name: "Web"}, Role: "owner", Source: "backstage:x", Confidence: .9, Evidence: fact.Evidence{Method: "spec.owner", Source: "f:1", Strength: fact.Declared}}),
		run.Covered("s"),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	if _, err := run.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := desk.Close(); err != nil {
		t.Fatal(err)
	}
	code, stdout, _ := command(t, state, "graph", "show", "web")
	for _, want := range []string{"-instance_of-> image sha256:abc\n      image reference, attested, from cluster prod (test in s, 2026-05-04", "team Web as owner, 0.90", "label:app = shop [31m"} {
		if code != exitClean || !strings.Contains(stdout, want) {
			t.Errorf("show: exit code %d, no %q in\n%s", code, want, stdout)
		}
	}
	code, stdout, _ = command(t, state, "graph", "path", "image:sha256:abc", "web", "-o", "json")
	var ways graph.Ways
	if err := json.Unmarshal([]byte(stdout), &ways); err != nil || code != exitClean || len(ways.Paths) != 1 || ways.Paths[0].Strength != fact.Attested || !ways.Paths[0].Steps[0].Backward {
		t.Errorf("path: exit code %d, %v\n%s", code, err, stdout)
	}
	if code, stdout, _ = command(t, state, "graph", "query", "workload[label:app~shop*] -*-> image"); code != exitClean || !strings.Contains(stdout, "workload prod/shop/Deployment.apps/web  image sha256:abc") {
		t.Errorf("query: exit code %d\n%s", code, stdout)
	}
	if code, stdout, _ = command(t, state, "graph", "query", "workload", "--as-of", "2026-01-01"); code != exitClean || stdout != "" {
		t.Errorf("before it was there: exit code %d\n%s", code, stdout)
	}
	if code, stdout, _ = command(t, state, "graph", "show", "web", "--as-of", "2026-05-04", "-o", "json"); code != exitClean || !strings.Contains(stdout, `"first_seen": 1777896000000000`) {
		t.Errorf("on the day of the look: exit code %d\n%s", code, stdout)
	}
	if code, stdout, _ = command(t, state, "graph", "path", "web", "image:sha256:abc", "--follow", "part_of"); code != exitClean || !strings.Contains(stdout, "no way") {
		t.Errorf("a way over other relations: exit code %d\n%s", code, stdout)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"show", "nowhere"}, "no such asset"},
		{[]string{"show", "shop/Deployment.apps/wbe"}, "close to it are workload:prod/shop/Deployment.apps/web"},
		{[]string{"path", "web", "sha256:abd"}, "close to it are image:sha256:abc"},
		{[]string{"show", "a"}, `"a" fits 2 assets, name one of them as KIND:KEY: image:sha256:abc, workload:`},
		{[]string{"query", "workload -"}, "position 11"},
		{[]string{"query", "wrkload"}, "perhaps workload"},
		{[]string{"path", "web", "web", "--follow", "knows"}, "expected some of built_from"},
		{[]string{"show", "web", "--as-of", "yesterday"}, "expected a time"},
		{[]string{"show", "web", "--as-of", "2026-05-03"}, "no such asset"},
	} {
		if code, _, stderr := command(t, state, append([]string{"graph"}, test.args...)...); code != exitFailure || !strings.Contains(stderr, test.want) {
			t.Errorf("%v: exit code %d, %s; want %s", test.args, code, stderr, test.want)
		}
	}
	if code, _, stderr := command(t, t.TempDir(), "graph", "query", "workload"); code != exitIncomplete || !strings.Contains(stderr, "the graph is empty") {
		t.Errorf("an empty graph: exit code %d, %s", code, stderr)
	}
}
