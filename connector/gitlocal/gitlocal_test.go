package gitlocal

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/fact"
)

const shop = `
-- Dockerfile --
FROM scratch
-- web/dev.Dockerfile --
FROM scratch
-- Dockerfile.dockerignore --
x
-- deploy/Chart.yaml --
name: shop
-- deploy/base/kustomization.yaml --
resources: []
-- infra/prod/main.tf --
module "net" {
  source = "../modules/net"
}
-- infra/modules/net/main.tf --
-- .github/CODEOWNERS --
* @acme/shop
-- .gitmodules --
[submodule "lib"]
	path = lib
	url = https://git.example/acme/lib.git
[submodule "near"]
	path = near
	url = ../near
[submodule "odd"]
	path = odd
	url = /srv/odd
`

// repository makes one with a commit, in dir.
func repository(t *testing.T, dir, remote, archive string) {
	t.Helper()
	run := func(args ...string) {
		t.Helper()
		cmd := exec.Command("git", args...)
		cmd.Dir = dir
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.test", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.test",
			"GIT_AUTHOR_DATE=2026-01-01T00:00:00Z", "GIT_COMMITTER_DATE=2026-01-01T00:00:00Z"}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v\n%s", args, err, out)
		}
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	run("init", "-q", "-b", "main")
	for _, file := range txtar.Parse([]byte(archive)).Files {
		name := filepath.Join(dir, filepath.FromSlash(file.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, file.Data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if remote != "" {
		run("remote", "add", "origin", remote)
	}
	run("add", "-A")
	run("commit", "-q", "--allow-empty", "-m", "first")
}

// estate is a folder with a work tree, a bare repository, an empty one and one
// whose configuration wants a program run.
func estate(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	repository(t, filepath.Join(dir, "team", "shop"), "git@git.example:acme/shop.git", shop)
	repository(t, filepath.Join(dir, "hostile"), "https://git.example/evil/repo", "-- Dockerfile --\nFROM scratch\n")
	config, err := os.OpenFile(filepath.Join(dir, "hostile", ".git", "config"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := config.WriteString("[core]\n\tfsmonitor = touch " + filepath.Join(dir, "ran") + "\n\tsshCommand = touch " + filepath.Join(dir, "ran") + "\n"); err != nil {
		t.Fatal(err)
	}
	if err := config.Close(); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("git", "clone", "-q", "--bare", filepath.Join(dir, "team", "shop"), filepath.Join(dir, "mirror.git")).CombinedOutput(); err != nil {
		t.Fatalf("clone: %v\n%s", err, out)
	}
	if out, err := exec.Command("git", "init", "-q", filepath.Join(dir, "empty")).CombinedOutput(); err != nil {
		t.Fatalf("init: %v\n%s", err, out)
	}
	return dir
}

func TestLocalRepositoriesHoldWhatEverySourceMust(t *testing.T) {
	t.Parallel()
	connectortest.Conformance(t, New(), map[string]string{"path": estate(t)})
}

func TestAFolderOfRepositoriesTellsWhatEachHolds(t *testing.T) {
	t.Parallel()
	dir := estate(t)
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, New(), map[string]string{"path": dir}, r); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"hostile", "mirror.git", "team/shop"}, r.Complete); diff != "" {
		t.Errorf("covered (-want +got):\n%s", diff)
	}
	if len(r.Gaps) != 1 || r.Gaps[0].Scope != "empty" || !strings.Contains(r.Gaps[0].Value, "no commits") {
		t.Errorf("gaps: %v", r.Gaps)
	}
	if _, err := os.Stat(filepath.Join(dir, "ran")); err == nil {
		t.Error("a program that the repository's configuration names was run")
	}
	var parts []string
	for _, edge := range r.Edges(fact.PartOf) {
		if strings.HasSuffix(edge, " -> git.example/acme/shop") {
			parts = append(parts, strings.TrimPrefix(strings.TrimSuffix(edge, " -> git.example/acme/shop"), "git.example/acme/shop//"))
		}
	}
	if diff := cmp.Diff([]string{"Dockerfile", "deploy/Chart.yaml", "deploy/base/kustomization.yaml", "infra/prod", "web/dev.Dockerfile"}, parts); diff != "" {
		t.Errorf("parts of the repository (-want +got):\n%s", diff)
	}
	mirror := r.Complete[1]
	for _, node := range r.Nodes {
		if node.Scope == mirror && node.Value.Kind == fact.AssetRepository {
			mirror = node.Value.Key
		}
	}
	// The mirror's remote is a folder, so a relative submodule of it leads nowhere.
	want := []string{"git.example/acme/shop -> git.example/acme/lib", "git.example/acme/shop -> git.example/acme/near", mirror + " -> git.example/acme/lib"}
	if diff := cmp.Diff(want, r.Edges(fact.DependsOn)); diff != "" {
		t.Errorf("submodules (-want +got):\n%s", diff)
	}
	home, _ := r.Asset(fact.AssetRepository, "git.example/acme/shop")
	if home.Properties["codeowners:github"] != ".github/CODEOWNERS" || len(home.Properties["commit"]) != 40 {
		t.Errorf("repository: %v", home.Properties)
	}
}

func TestAFolderWithoutRepositoriesIsNamed(t *testing.T) {
	t.Parallel()
	err := connectortest.Run(t, New(), map[string]string{"path": t.TempDir()}, &connectortest.Recorder{})
	if err == nil || !strings.Contains(err.Error(), "holds no git repository") {
		t.Errorf("error %v", err)
	}
}
