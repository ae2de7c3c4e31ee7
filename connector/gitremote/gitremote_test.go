package gitremote

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
)

func run(t *testing.T, dir string, args ...string) string {
	t.Helper()
	command := exec.Command("git", args...)
	command.Dir = dir
	command.Env = append(os.Environ(), "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL="+os.DevNull,
		"GIT_AUTHOR_NAME=a", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=a", "GIT_COMMITTER_EMAIL=a@example.org")
	output, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("git %v: %v\n%s", args, err, output)
	}
	return strings.TrimSpace(string(output))
}

// estate makes a repository with one commit and a bare remote that holds it.
func estate(t *testing.T) (repository *git.Repository, remote string) {
	t.Helper()
	dir := t.TempDir()
	work := filepath.Join(dir, "work")
	remote = filepath.Join(dir, "remote.git")
	run(t, dir, "init", "-q", "-b", "main", work)
	if err := os.WriteFile(filepath.Join(work, "a.txt"), []byte("one\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, work, "add", "a.txt")
	run(t, work, "commit", "-q", "-m", "first")
	run(t, dir, "clone", "-q", "--bare", work, remote)
	repository, err := git.Open(t.Context(), work)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { repository.Close() })
	return repository, remote
}

func proposal(t *testing.T, repository *git.Repository, remote, text, key string) connector.Proposal {
	t.Helper()
	head, err := repository.Resolve(t.Context(), "HEAD")
	if err != nil {
		t.Fatal(err)
	}
	commit, err := repository.Commit(t.Context(), head, map[string][]byte{"a.txt": []byte(text)},
		"change\n\nBackstitch-Key: "+key+"\n", git.Signature{Name: "b", Email: "b@example.org", When: time.Unix(1e9, 0)})
	if err != nil {
		t.Fatal(err)
	}
	return connector.Proposal{Repository: repository.Root(), Remote: remote, Branch: "backstitch/x", Base: head, Commit: commit, Key: key}
}

func TestAChangeIsCreatedThenUnchangedThenUpdated(t *testing.T) {
	repository, remote := estate(t)
	forge := New("")
	for i, step := range []struct{ text, outcome string }{{"two\n", "created"}, {"two\n", "unchanged"}, {"three\n", "updated"}} {
		change := proposal(t, repository, remote, step.text, "bs-1")
		receipt, err := forge.Propose(t.Context(), change)
		if err != nil {
			t.Fatalf("step %d: %v", i, err)
		}
		if receipt.Outcome != step.outcome {
			t.Errorf("step %d: outcome %s, want %s", i, receipt.Outcome, step.outcome)
		}
		if at := run(t, remote, "rev-parse", "refs/heads/backstitch/x"); at != change.Commit {
			t.Errorf("step %d: the remote's branch is at %s, want %s", i, at, change.Commit)
		}
	}
	if branches := run(t, remote, "for-each-ref", "--format=%(refname)"); strings.Count(branches, "\n") != 1 {
		t.Errorf("branches of the remote:\n%s\nwant main and one more", branches)
	}
}

func TestTheSameChangeMadeLaterLeavesTheCommitThatIsThere(t *testing.T) {
	repository, remote := estate(t)
	change := proposal(t, repository, remote, "two\n", "bs-1")
	if _, err := New("").Propose(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	first := change.Commit
	var err error
	if change.Commit, err = repository.Commit(t.Context(), change.Base, map[string][]byte{"a.txt": []byte("two\n")},
		"change, told anew\n\nBackstitch-Key: bs-1\n", git.Signature{Name: "b", Email: "b@example.org", When: time.Unix(2e9, 0)}); err != nil {
		t.Fatal(err)
	}
	if change.Commit == first {
		t.Fatal("the later commit has the id of the first")
	}
	receipt, err := New("").Propose(t.Context(), change)
	if err != nil || receipt.Outcome != "unchanged" || receipt.Commit != first {
		t.Errorf("receipt %+v, %v; want unchanged at %s", receipt, err, first)
	}
	if at := run(t, remote, "rev-parse", "refs/heads/backstitch/x"); at != first {
		t.Errorf("the remote's branch is at %s, want %s", at, first)
	}
}

func TestABranchOfSomebodyElseIsLeftAsItIs(t *testing.T) {
	repository, remote := estate(t)
	run(t, remote, "branch", "backstitch/x", "main")
	before := run(t, remote, "rev-parse", "backstitch/x")
	_, err := New("").Propose(t.Context(), proposal(t, repository, remote, "two\n", "bs-1"))
	if !errors.Is(err, connector.ErrForeign) {
		t.Errorf("error %v, want ErrForeign", err)
	}
	if after := run(t, remote, "rev-parse", "backstitch/x"); after != before {
		t.Errorf("the branch moved from %s to %s", before, after)
	}
}

func TestAPushOverAnUnexpectedCommitIsStale(t *testing.T) {
	repository, remote := estate(t)
	change := proposal(t, repository, remote, "two\n", "bs-1")
	err := repository.Push(t.Context(), git.Remote{URL: remote}, change.Commit, "main", "")
	if !errors.Is(err, git.ErrStale) {
		t.Errorf("error %v, want ErrStale: main exists and was expected to be absent", err)
	}
	if at := run(t, remote, "rev-parse", "main"); at != change.Base {
		t.Errorf("main moved to %s", at)
	}
}

func TestARemoteThatCouldRunAProgramIsRefused(t *testing.T) {
	repository, _ := estate(t)
	canary := filepath.Join(t.TempDir(), "canary")
	for _, remote := range []string{"ext::sh -c touch% " + canary, "--upload-pack=touch " + canary, "", "a\nb", "fd::17"} {
		if _, err := repository.RemoteBranch(t.Context(), git.Remote{URL: remote}, "main"); err == nil {
			t.Errorf("remote %q was spoken to", remote)
		}
	}
	if _, err := os.Stat(canary); err == nil {
		t.Error("a program ran")
	}
}

func TestTheHooksOfTheRepositoryDoNotRun(t *testing.T) {
	repository, remote := estate(t)
	canary := filepath.Join(t.TempDir(), "canary")
	hooks := filepath.Join(repository.Root(), ".git", "hooks")
	for _, hook := range []string{"pre-push", "reference-transaction", "post-commit"} {
		if err := os.WriteFile(filepath.Join(hooks, hook), []byte("#!/bin/sh\ntouch "+canary+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := New("").Propose(t.Context(), proposal(t, repository, remote, "two\n", "bs-1")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(canary); err == nil {
		t.Error("a hook of the repository ran")
	}
}

// feed gives git fast-import a stream.
func feed(t *testing.T, dir, stream string) {
	t.Helper()
	command := exec.Command("git", "fast-import", "--quiet", "--force")
	command.Dir, command.Stdin = dir, strings.NewReader(stream)
	if output, err := command.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, output)
	}
}
