package cli

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/action"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/connector"
)

func TestADeliveryIsApprovedHaltedSentAndTakenBack(t *testing.T) {
	t.Parallel()
	state, work, remote := t.TempDir(), t.TempDir(), filepath.Join(t.TempDir(), "remote.git")
	git := func(args ...string) string {
		t.Helper()
		cmd := exec.Command("git", append([]string{"-C", work, "-c", "user.name=Ada", "-c", "user.email=ada@acme.test"}, args...)...)
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	git("init", "-q", "-b", "main")
	git("init", "-q", "--bare", "-b", "main", remote)
	git("commit", "-q", "--allow-empty", "-m", "first")
	git("push", "-q", remote, "main")
	base := git("rev-parse", "HEAD")
	git("commit", "-q", "--allow-empty", "-m", "Raise a\n\nBackstitch-Key: k1")
	change := connector.Proposal{Repository: work, Remote: remote, Branch: "backstitch/k1", Base: base, Commit: git("rev-parse", "HEAD"), Key: "k1", Title: "Raise a"}

	if err := os.WriteFile(filepath.Join(state, app.DeliveryFile), []byte("rules: [{kind: propose, approval: true}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	propose := func(key, requester string) error {
		t.Helper()
		desk, err := app.Open(t.Context(), app.Config{State: state, Now: time.Now, Progress: func(string, int, int) {}, Actor: requester})
		if err != nil {
			t.Fatal(err)
		}
		defer desk.Close()
		one := change
		one.Key = key
		_, err = desk.Deliveries().Propose(t.Context(), builtin.Remote(""), one, "sha256:1", remote)
		return err
	}
	run := func(want int, args ...string) string {
		t.Helper()
		code, out, stderr := command(t, state, append([]string{"delivery"}, args...)...)
		if code != want {
			t.Errorf("%v: exit code %d, want %d: %s%s", args, code, want, out, stderr)
		}
		return out + stderr
	}
	pushed := func(want string) {
		t.Helper()
		if got := git("ls-remote", remote, "refs/heads/backstitch/k1"); (got != "") != (want != "") || !strings.HasPrefix(got, want) {
			t.Errorf("the remote has %q, want %q", got, want)
		}
	}
	var waiting *action.Waiting
	if err := propose("k1", "somebody else"); !errors.As(err, &waiting) {
		t.Fatalf("proposal: %v, want that it waits", err)
	}
	if err := propose("own", actor()); !errors.As(err, &waiting) {
		t.Fatalf("proposal: %v, want that it waits", err)
	}
	if out := run(exitClean, "list"); !strings.Contains(out, "k1") || !strings.Contains(out, "awaiting_approval") || !strings.Contains(out, "needs a person's approval") {
		t.Errorf("list:\n%s", out)
	}
	if out := run(exitFailure, "approve", "own"); !strings.Contains(out, "another person has to approve it") {
		t.Errorf("approval of one's own:\n%s", out)
	}
	run(exitFailure, "refuse", "own") // without a reason
	if out := run(exitClean, "refuse", "own", "--reason", "not\x1b[31m now"); !strings.Contains(out, "refused by") || strings.Contains(out, "\x1b") {
		t.Errorf("refuse:\n%s", out)
	}
	run(exitFailure, "halt")
	run(exitClean, "halt", "--reason", "incident 7")
	run(exitFailure, "approve", "k1", "--binding", "sha256:seen")
	if out := run(exitGate, "approve", "k1", "--reason", "fine"); !strings.Contains(out, "incident 7") || !strings.Contains(out, "approve by "+actor()+": fine (until ") {
		t.Errorf("approve while halted:\n%s", out)
	}
	run(exitGate, "reconcile")
	pushed("")
	if out := run(exitClean, "limits"); !strings.Contains(out, "halted by") || !strings.Contains(out, "0 of 200") || !strings.Contains(out, "needed") {
		t.Errorf("limits:\n%s", out)
	}
	run(exitClean, "resume", "--reason", "over")
	if out := run(exitClean, "reconcile"); !strings.Contains(out, "sent") {
		t.Errorf("reconcile:\n%s", out)
	}
	pushed(change.Commit)
	var shown action.Record
	if out := run(exitClean, "show", "k1", "-o", "json"); json.Unmarshal([]byte(out), &shown) != nil || shown.State != action.Sent || len(shown.Approvals) != 1 || shown.Requester != "somebody else" {
		t.Errorf("show:\n%s", out)
	}
	run(exitFailure, "replay", "k1")
	run(exitFailure, "show", "nothing")
	if out := run(exitClean, "list", "--only", "refused", "-o", "json"); !strings.Contains(out, `"own"`) || strings.Contains(out, `"k1"`) {
		t.Errorf("list of refused ones:\n%s", out)
	}
	run(exitFailure, "list", "--only", "lost")

	if err := os.WriteFile(filepath.Join(state, app.DeliveryFile), []byte("rules: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(exitClean, "undo", "k1", "--reason", "wrong"); !strings.Contains(out, "undone by undo:k1:") {
		t.Errorf("undo:\n%s", out)
	}
	pushed("")
	if out := run(exitClean, "replay", "k1"); !strings.Contains(out, "replayed by "+actor()) {
		t.Errorf("replay:\n%s", out)
	}
	pushed(change.Commit)
	if lines := strings.Split(strings.TrimSpace(run(exitClean, "export")), "\n"); len(lines) != 5 || !strings.HasPrefix(lines[0], `{"delivery":{"key":"k1"`) || !strings.HasPrefix(lines[4], `{"switch":`) {
		t.Errorf("export:\n%s", strings.Join(lines, "\n"))
	}
	if err := os.WriteFile(filepath.Join(state, app.DeliveryFile), []byte("per_hour: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(exitFailure, "limits"); !strings.Contains(out, "delivery.yaml") || !strings.Contains(out, "per_hour") {
		t.Errorf("limits of a broken policy:\n%s", out)
	}
	run(exitClean, "list")
}
