package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/app"
)

func config(state string) app.Config {
	return app.Config{State: state, Version: "test", Now: func() time.Time { return time.Unix(1.7e9, 0) }, Progress: func(string, int, int) {}}
}

func TestTheStateIsItsOwnersAloneAndKeepsTheIndex(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	state := filepath.Join(dir, "a", "state")
	record := filepath.Join(dir, "X-1.json")
	if err := os.WriteFile(record, []byte(`{"id": "X-1", "modified": "2024-01-01T00:00:00Z", "affected": [{"package": {"ecosystem": "npm", "name": "a"}, "versions": ["1.0.0"]}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for pass := range 2 {
		desk, err := app.Open(t.Context(), config(state))
		if err != nil {
			t.Fatal(err)
		}
		if _, known := desk.AdvisoryStatus(); known != (pass == 1) {
			t.Errorf("pass %d: an index is known: %t", pass, known)
		}
		for range 2 { // the second import replaces an index that is open
			if _, err := desk.ImportAdvisories(t.Context(), []string{record}); err != nil {
				t.Fatal(err)
			}
		}
		if status, known := desk.AdvisoryStatus(); !known || status.Advisories != 1 {
			t.Errorf("pass %d: status %+v", pass, status)
		}
		if err := desk.Close(); err != nil {
			t.Error(err)
		}
	}
	info, err := os.Stat(state)
	if err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("state folder: mode %v, %v; want 0700", info.Mode(), err)
	}
}

func TestAStateThatCannotBeOpenedIsNamed(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(dir string) error{
		"advisory.index": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "advisory.index"), []byte("no index"), 0o600)
		},
		"backstitch.db": func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "backstitch.db"), []byte(strings.Repeat("no database ", 1000)), 0o600)
		},
	} {
		dir := t.TempDir()
		if err := spoil(dir); err != nil {
			t.Fatal(err)
		}
		desk, err := app.Open(t.Context(), config(dir))
		if err == nil {
			desk.Close()
		}
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("a broken %s: error %v, want one that names it", name, err)
		}
	}
	c := config(t.TempDir())
	c.SigningKey = filepath.Join(c.State, "absent.pem")
	if _, err := app.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "absent.pem") {
		t.Errorf("no signing key: error %v, want one that names it", err)
	}
}

func TestAnIndexThatCannotBeReadCanBeMadeAnew(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "advisory.index"), []byte("BSADVIX\x01 of a former version"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := app.Open(t.Context(), config(dir)); err == nil || !strings.Contains(err.Error(), "backstitch advisory import") {
		t.Fatalf("error %v, want one that says what to do", err)
	}
	c := config(dir)
	c.Reindex = true
	desk, err := app.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	defer desk.Close()
	lives := filepath.Join(dir, "lives.jsonl")
	if err := os.WriteFile(lives, []byte(`{"product":"p","releases":[{"releaseCycle":"1","eol":true}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	if summary, err := desk.ImportAdvisories(t.Context(), []string{lives}); err != nil || summary.Products != 1 {
		t.Errorf("import = %+v, %v", summary, err)
	}
}
