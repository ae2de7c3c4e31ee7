package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
)

func TestCallsThatCannotBeFollowedSayWhyAndChangeNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	files(t, dir,
		"repo/go.mod", "module example.org/program\n\ngo 1.99\n\nrequire example.org/lib v1.0.0\n",
		"repo/main.go", "package main\n\nfunc main() {}\n",
		"osv.json", `{"id":"GO-2024-1","modified":"2024-01-01T00:00:00Z","affected":[{"package":{"ecosystem":"Go","name":"example.org/lib"},
			"ranges":[{"type":"SEMVER","events":[{"introduced":"0"},{"fixed":"1.1.0"}]}],"ecosystem_specific":{"imports":[{"path":"example.org/lib","symbols":["F"]}]}}]}`,
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
	if _, err := desk.ImportAdvisories(t.Context(), []string{filepath.Join(dir, "osv.json")}); err != nil {
		t.Fatal(err)
	}
	desk.Modules = ""
	it := triage(t, desk, agent.Request{Repo: repo}).Issues[0]
	before := document(t, it)
	if _, err := desk.FollowCalls(t.Context(), agent.FixRequest{Issue: it.ID}); !errors.Is(err, agent.ErrNoCalls) {
		t.Errorf("without a module cache: %v, expected ErrNoCalls", err)
	}
	// A child that fails, as this test's program does, which knows no such command.
	desk.Modules = filepath.Join(dir, "modules")
	if err := os.Mkdir(desk.Modules, 0o755); err != nil {
		t.Fatal(err)
	}
	desk.Self = "/bin/false"
	if _, err := desk.FollowCalls(t.Context(), agent.FixRequest{Issue: it.ID}); !errors.Is(err, agent.ErrNoCalls) {
		t.Errorf("with a child that fails: %v, expected ErrNoCalls", err)
	}
	again, err := desk.Issue(t.Context(), it.ID)
	if err != nil {
		t.Fatal(err)
	}
	if string(document(t, again)) != string(before) {
		t.Errorf("the issue changed:\n%s\n%s", before, document(t, again))
	}
}
