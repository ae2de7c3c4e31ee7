package gitremote

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
)

// published is a change on its branch, beside a clone in which people work.
func published(t *testing.T) (repository *git.Repository, clone string, change connector.Proposal, place connector.Place) {
	t.Helper()
	repository, remote := estate(t)
	change = proposal(t, repository, remote, "two\n", "bs-1")
	if _, err := New("").Propose(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	clone = filepath.Join(t.TempDir(), "clone")
	run(t, filepath.Dir(clone), "clone", "-q", remote, clone)
	place = connector.Place{Repository: repository.Root(), Remote: remote, Branch: change.Branch, Base: change.Base, Key: change.Key, Head: change.Commit}
	return repository, clone, change, place
}

func write(t *testing.T, dir, name, text string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, dir, "add", name)
}

func follow(t *testing.T, place connector.Place) connector.Standing {
	t.Helper()
	standing, err := New("").Follow(t.Context(), place)
	if err != nil {
		t.Fatal(err)
	}
	return standing
}

func TestAMergeIsSeenHoweverItWasMade(t *testing.T) {
	for name, merge := range map[string]func(t *testing.T, clone, branch string){
		"merge": func(t *testing.T, clone, branch string) {
			run(t, clone, "merge", "-q", "--no-ff", "-m", "take", branch)
		},
		"fast-forward": func(t *testing.T, clone, branch string) { run(t, clone, "merge", "-q", "--ff-only", branch) },
		"rebase": func(t *testing.T, clone, branch string) {
			write(t, clone, "b.txt", "other\n")
			run(t, clone, "commit", "-q", "-m", "other")
			run(t, clone, "cherry-pick", branch)
		},
		"squash under a message of its own": func(t *testing.T, clone, branch string) {
			write(t, clone, "b.txt", "other\n")
			run(t, clone, "commit", "-q", "-m", "other")
			run(t, clone, "merge", "-q", "--squash", branch)
			run(t, clone, "commit", "-q", "-m", "take it")
		},
	} {
		for _, kept := range []bool{true, false} {
			t.Run(name+map[bool]string{true: ", branch kept", false: ", branch removed"}[kept], func(t *testing.T) {
				_, clone, change, place := published(t)
				merge(t, clone, "origin/"+change.Branch)
				want := run(t, clone, "rev-parse", "HEAD")
				write(t, clone, "later.txt", "more\n")
				run(t, clone, "commit", "-q", "-m", "later")
				run(t, clone, "push", "-q", "origin", "HEAD")
				if !kept {
					run(t, clone, "push", "-q", "origin", ":"+change.Branch)
				}
				if got := follow(t, place); got.State != connector.ChangeMerged || got.Merge != want || got.Target != "main" {
					t.Errorf("%+v, expected it to be merged by %s", got, want)
				}
			})
		}
	}
}

func TestAMergeThatManyCommitsBuryIsSeen(t *testing.T) {
	_, clone, change, place := published(t)
	run(t, clone, "merge", "-q", "--squash", "origin/"+change.Branch)
	run(t, clone, "commit", "-q", "-m", "take it\n\nBackstitch-Key: bs-1")
	want := run(t, clone, "rev-parse", "HEAD")
	tree := run(t, clone, "rev-parse", "HEAD^{tree}")
	var stream strings.Builder
	for range 1100 { // more than one look lists
		stream.WriteString("commit refs/heads/main\ncommitter a <a@example.org> 1700000000 +0000\ndata 1\nx\nfrom refs/heads/main^0\nM 040000 " + tree + " \n\n")
	}
	importing := strings.Replace(stream.String(), "from refs/heads/main^0\n", "from "+want+"\n", 1)
	importing = strings.ReplaceAll(importing, "from refs/heads/main^0\n", "")
	feed(t, clone, importing)
	run(t, clone, "push", "-q", "origin", "main", ":"+change.Branch)
	place.Head = ""
	if got := follow(t, place); got.State != connector.ChangeMerged {
		t.Errorf("%+v, expected it to be merged", got)
	}
}

func TestABranchThatIsGoneWithoutAMergeIsClosed(t *testing.T) {
	_, clone, change, place := published(t)
	write(t, clone, "a.txt", "three\n")
	run(t, clone, "commit", "-q", "-m", "another way")
	run(t, clone, "push", "-q", "origin", "HEAD", ":"+change.Branch)
	if got := follow(t, place); got.State != connector.ChangeClosed {
		t.Errorf("%+v, expected it to be closed", got)
	}
}

func TestATargetThatIsWrittenAnewMakesNobodyAnAuthor(t *testing.T) {
	_, clone, _, place := published(t)
	run(t, clone, "checkout", "-q", "--orphan", "anew")
	run(t, clone, "commit", "-q", "-m", "anew")
	run(t, clone, "push", "-q", "-f", "origin", "HEAD:main")
	got := follow(t, place)
	if got.State != connector.ChangeOpen || len(got.Authors) > 0 {
		t.Errorf("%+v, expected it to be open without commits of others", got)
	}
}

func TestTheDefaultBranchMayBeRenamed(t *testing.T) {
	_, _, _, place := published(t)
	run(t, place.Remote, "branch", "-m", "main", "trunk")
	if got := follow(t, place); got.State != connector.ChangeOpen || got.Target != "trunk" {
		t.Errorf("%+v, expected it to be open for trunk", got)
	}
	place.Target = "main"
	if _, err := New("").Follow(t.Context(), place); !errors.Is(err, connector.ErrGone) {
		t.Errorf("error %v, expected ErrGone: the branch that it was meant for is not there", err)
	}
}

// TestTwoThatPublishTheSameAtOnceBothSucceed lets the second come between the look and the
// push of the first.
func TestTwoThatPublishTheSameAtOnceBothSucceed(t *testing.T) {
	repository, remote := estate(t)
	change := proposal(t, repository, remote, "two\n", "bs-1")
	hook := "#!/bin/sh\nunset GIT_QUARANTINE_PATH\nrm -f hooks/pre-receive\ngit update-ref refs/heads/backstitch/x " + change.Commit + "\n"
	run(t, repository.Root(), "push", "-q", remote, change.Commit+":refs/heads/other") // the object is there
	if err := os.WriteFile(filepath.Join(remote, "hooks", "pre-receive"), []byte(hook), 0o755); err != nil {
		t.Fatal(err)
	}
	receipt, err := New("").Propose(t.Context(), change)
	if err != nil || receipt.Outcome != "unchanged" || receipt.Commit != change.Commit {
		t.Errorf("%+v, %v; expected the branch that the other one made", receipt, err)
	}
}

func TestARemoteThatRefusesIsAnError(t *testing.T) {
	repository, remote := estate(t)
	if err := os.WriteFile(filepath.Join(remote, "hooks", "pre-receive"), []byte("#!/bin/sh\necho protected >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := New("").Propose(t.Context(), proposal(t, repository, remote, "two\n", "bs-1")); err == nil || !strings.Contains(err.Error(), "protected") {
		t.Errorf("error %v, expected what the remote said", err)
	}
	if branches := run(t, remote, "for-each-ref", "refs/heads/backstitch"); branches != "" {
		t.Errorf("left behind: %s", branches)
	}
}
