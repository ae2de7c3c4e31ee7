package cli

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/connector"
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
