package app_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/fix"
)

func TestToolsReachTheListedHostsOnly(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "egress.yaml")
	if err := os.WriteFile(list, []byte("hosts:\n  - host: registry.example.org\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HTTPS_PROXY", "http://user:password@elsewhere.test:3128")
	t.Setenv(fix.ToolProxy, "") // so that it is put back
	c := config(filepath.Join(dir, "state"))
	c.Egress = list
	a, err := app.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	tool, err := fix.NewTool()
	if err != nil {
		t.Fatal(err)
	}
	defer tool.Close()
	out, err := tool.Run(t.Context(), dir, "env")
	if err != nil || !strings.Contains(string(out), "HTTPS_PROXY=http://127.0.0.1:") || strings.Contains(string(out), "elsewhere.test") {
		t.Errorf("%s, %v", out, err)
	}
	if err := a.Close(); err != nil || os.Getenv(fix.ToolProxy) != "" {
		t.Errorf("%v, left behind %q", err, os.Getenv(fix.ToolProxy))
	}
	c.Egress = filepath.Join(dir, "absent.yaml")
	if _, err := app.Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), "absent.yaml") {
		t.Errorf("an absent list: %v", err)
	}
}
