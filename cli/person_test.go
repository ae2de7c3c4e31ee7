package cli

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/owner"
)

func TestPeopleOfSourcesAreJoinedAndShown(t *testing.T) {
	t.Parallel()
	state, dir := t.TempDir(), t.TempDir()
	for name, text := range map[string]string{
		"staff.csv":    "name,email,github,active,left,manager\nAda Lovelace,ada@acme.test,ada-l,true,,\nBob Bobson,bob@acme.test,,false,2026-01-02,ada@acme.test\nBob Bobson,bob2@acme.test,,true,,\n",
		"on-call.json": `{"users": [{"id": "U1", "name": "Ada", "email": "ADA@acme.test"}]}`,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(want int, args ...string) string {
		t.Helper()
		code, out, stderr := command(t, state, args...)
		if code != want {
			t.Fatalf("%v: exit code %d, want %d: %s", args, code, want, stderr)
		}
		return out
	}
	run(exitIncomplete, "person", "list")
	run(exitClean, "source", "add", "people", "staff", "--set", "path="+filepath.Join(dir, "staff.csv"))
	run(exitClean, "source", "add", "pagerduty", "calls", "--set", "path="+filepath.Join(dir, "on-call.json"))
	run(exitClean, "source", "sync")
	if out := run(exitClean, "person", "list"); !strings.Contains(out, "ada@acme.test   Ada Lovelace  2 ") || !strings.Contains(out, "left 2026-01-02") || !strings.Contains(out, "bob bobson: the same name, different people: bob2@acme.test, bob@acme.test") {
		t.Errorf("list:\n%s", out)
	}
	var ada owner.Human
	if err := json.Unmarshal([]byte(run(exitClean, "person", "show", "github.com/ada-l", "-o", "json")), &ada); err != nil || ada.ID != "ada@acme.test" || len(ada.Accounts) != 2 {
		t.Errorf("show: %+v %v", ada, err)
	}
	if out := run(exitClean, "person", "show", "bob@acme.test"); !strings.Contains(out, "manager  ada@acme.test") {
		t.Errorf("show:\n%s", out)
	}
	run(exitFailure, "person", "show", "Ada Lovelace")
}
