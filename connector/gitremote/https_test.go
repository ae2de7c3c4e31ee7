package gitremote

import (
	"encoding/pem"
	"net/http"
	"net/http/cgi"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/connector"
)

// served puts a bare repository behind git's own server over https, which takes pushes
// from whoever has the token.
func served(t *testing.T, bare, token string) string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "git", "--exec-path").Output()
	if err != nil {
		t.Fatal(err)
	}
	backend := filepath.Join(strings.TrimSpace(string(out)), "git-http-backend")
	if _, err := os.Stat(backend); err != nil {
		t.Skipf("skipped: git was installed without its server: %v", err)
	}
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		user, password, _ := r.BasicAuth()
		if user != "x-access-token" || password != token {
			w.Header().Set("WWW-Authenticate", "Basic")
			http.Error(w, "who are you", http.StatusUnauthorized)
			return
		}
		(&cgi.Handler{Path: backend, Env: []string{"GIT_PROJECT_ROOT=" + filepath.Dir(bare), "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=bot", "GIT_CONFIG_NOSYSTEM=1"}}).ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	certificate := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(certificate, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GIT_SSL_CAINFO", certificate)
	t.Setenv("NO_PROXY", "127.0.0.1")
	t.Setenv("no_proxy", "127.0.0.1")
	return server.URL + "/" + filepath.Base(bare)
}

func TestARealServerOverHTTPSTakesTheChangeAndTellsOfIt(t *testing.T) {
	dir := t.TempDir()
	bare, local := filepath.Join(dir, "shop.git"), filepath.Join(dir, "shop")
	in := func(where string, args ...string) string {
		t.Helper()
		command := exec.CommandContext(t.Context(), "git", args...)
		command.Dir = where
		command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
			"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org"}
		out, err := command.CombinedOutput()
		if err != nil {
			t.Fatalf("git %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	in(dir, "init", "-q", "--bare", "-b", "main", bare)
	in(bare, "config", "http.receivepack", "true")
	in(dir, "clone", "-q", bare, local)
	in(local, "commit", "-q", "--allow-empty", "-m", "start")
	in(local, "push", "-q", "origin", "HEAD:main")
	base := in(local, "rev-parse", "HEAD")
	in(local, "commit", "-q", "--allow-empty", "-m", "fix\n\n"+keyTrailer+": bs-1")
	commit := in(local, "rev-parse", "HEAD")

	remote := served(t, bare, "the-token")
	change := connector.Proposal{Repository: local, Remote: remote, Branch: "backstitch/x-1", Base: base, Commit: commit, Key: "bs-1", Title: "fix"}
	_, err := New("wrong").Propose(t.Context(), change)
	if err == nil || strings.Contains(err.Error(), "wrong") {
		t.Errorf("with another token: %v", err)
	}
	forge := New("the-token")
	for _, want := range []string{"created", "unchanged"} {
		receipt, err := forge.Propose(t.Context(), change)
		if err != nil || receipt.Outcome != want || in(bare, "rev-parse", change.Branch) != commit {
			t.Fatalf("%+v, %v, want %s", receipt, err, want)
		}
	}
	place := connector.Place{Repository: local, Remote: remote, Branch: change.Branch, Key: "bs-1", Base: base}
	standing, err := forge.Follow(t.Context(), place)
	if err != nil || standing.State != connector.ChangeOpen || standing.Head != commit || standing.Target != "main" || standing.Tip != base {
		t.Errorf("%+v, %v", standing, err)
	}
	in(bare, "update-ref", "refs/heads/main", commit)
	if standing, err = forge.Follow(t.Context(), place); err != nil || standing.State != connector.ChangeMerged || standing.Merge != commit {
		t.Errorf("%+v, %v", standing, err)
	}
}
