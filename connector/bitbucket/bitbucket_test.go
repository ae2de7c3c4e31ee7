package bitbucket

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/connector/forgetest"
)

var start = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// bench is a Bitbucket with its repository, and a local clone that changes are made in.
type bench struct {
	*forgetest.Bitbucket
	t     *testing.T
	local string
	waits []time.Duration
}

func newBench(t *testing.T) *bench {
	t.Helper()
	dir := t.TempDir()
	bare, local := filepath.Join(dir, "shop.git"), filepath.Join(dir, "shop")
	b := &bench{t: t, local: local}
	b.in(dir, "init", "-q", "--template=", "--bare", "-b", "main", bare)
	b.in(dir, "clone", "-q", "--template=", bare, local)
	b.write("go.mod", "module shop\n\nrequire left v1.0.0\n")
	b.write("old.txt", "old\n")
	b.in(local, "add", "-A")
	b.in(local, "commit", "-q", "-m", "start")
	b.in(local, "push", "-q", "origin", "HEAD:main")
	b.Bitbucket = forgetest.NewBitbucket(t, bare, "acme/shop", start)
	return b
}

func (b *bench) in(dir string, args ...string) string {
	b.t.Helper()
	command := exec.CommandContext(b.t.Context(), "git", args...)
	command.Dir = dir
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org"}
	out, err := command.CombinedOutput()
	if err != nil {
		b.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (b *bench) write(name, text string) {
	b.t.Helper()
	if err := os.WriteFile(filepath.Join(b.local, name), []byte(text), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// push commits what the work tree holds and pushes it to a branch.
func (b *bench) push(branch, message string) string {
	b.t.Helper()
	b.in(b.local, "add", "-A")
	b.in(b.local, "commit", "-q", "-m", message)
	b.in(b.local, "push", "-q", "origin", "HEAD:"+branch)
	return b.head()
}

func (b *bench) head() string {
	b.t.Helper()
	return b.in(b.local, "rev-parse", "HEAD")
}

func (b *bench) source() connector.ForgeSource {
	return New(func(_ context.Context, d time.Duration) error { b.waits = append(b.waits, d); return nil })
}

func (b *bench) values(more ...string) connector.Values {
	values := connector.Values{"address": b.URL + "/2.0", "token": b.Token, "workspaces": "acme"}
	for i := 0; i < len(more); i += 2 {
		values[more[i]] = more[i+1]
	}
	return values
}

func (b *bench) forge(more ...string) forge {
	b.t.Helper()
	f, err := b.source().Forge(b.values(more...))
	if err != nil {
		b.t.Fatal(err)
	}
	return f.(forge)
}

// change makes a commit on a base that gives a file a text and removes another.
func (b *bench) change(base, text string) connector.Proposal {
	b.t.Helper()
	return b.edit(base, map[string][]byte{"go.mod": []byte(text), "old.txt": nil})
}

func (b *bench) edit(base string, files map[string][]byte) connector.Proposal {
	b.t.Helper()
	repository, err := git.Open(b.t.Context(), b.local)
	if err != nil {
		b.t.Fatal(err)
	}
	defer repository.Close()
	const key = "bs-0123456789abcdef"
	title, body := "fix: raise left", "Closes it.\n\n"+keyTrailer+": "+key+"\n"
	commit, err := repository.Commit(b.t.Context(), base, files, title+"\n\n"+body, git.Signature{Name: "Backstitch", Email: "b@example.org", When: start})
	if err != nil {
		b.t.Fatal(err)
	}
	return connector.Proposal{
		Repository: b.local, Remote: b.URL + "/acme/shop.git", Branch: "backstitch/left-0123", Base: base, Commit: commit, Key: key, Title: title, Body: body,
		Labels: []string{"backstitch"}, Reviewers: []connector.Reviewer{{Name: "ada"}},
	}
}

func (b *bench) place(change connector.Proposal) connector.Place {
	return connector.Place{Repository: b.local, Remote: change.Remote, Branch: change.Branch, Key: change.Key, Base: change.Base}
}

// sameTree says that what stands at the forge is the tree of the change.
func (b *bench) sameTree(change connector.Proposal, commit string) {
	b.t.Helper()
	if b.Git(nil, "rev-parse", commit+"^{tree}") != b.in(b.local, "rev-parse", change.Commit+"^{tree}") {
		b.t.Error("the commit made by the API has another tree than the change")
	}
}

func TestAChangeIsPublishedOnceWithoutACheckout(t *testing.T) {
	b := newBench(t)
	b.Defaults = []string{"lin", "backstitch-bot"}
	f := b.forge()
	base := b.head()
	change := b.change(base, "module shop\n\nrequire left v1.0.1\n")
	receipt, err := f.Propose(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	if receipt.Outcome != "created" || receipt.Number != 1 || !strings.HasSuffix(receipt.URL, "/pull-requests/1") || len(receipt.Notes) > 0 {
		t.Errorf("receipt %+v", receipt)
	}
	b.sameTree(change, receipt.Commit)
	if parent := b.Git(nil, "rev-parse", receipt.Commit+"^"); parent != base {
		t.Errorf("made on %s, expected %s", parent, base)
	}
	if message := b.Git(nil, "show", "-s", "--format=%B", receipt.Commit); git.Trailer(message, keyTrailer) != change.Key {
		t.Errorf("the message lacks its key: %s", message)
	}
	p := b.Pulls[0]
	if p.Base != "main" || p.Head != change.Branch || p.Title != change.Title || p.Body != change.Body || !slices.Equal(p.Reviewers, []string{"lin", "ada"}) {
		t.Errorf("pull request %+v", p)
	}
	p.Reviewers = []string{"ada"} // somebody found that lin need not look
	again, err := f.Propose(t.Context(), change)
	if err != nil || again.Outcome != "unchanged" || again.Commit != receipt.Commit || len(b.Pulls) != 1 || len(p.Reviewers) != 1 || b.Calls("POST /repositories/{workspace}/{repo_slug}/src") != 1 {
		t.Errorf("again: %+v, %v, %d pull requests", again, err, len(b.Pulls))
	}
}

func TestALaterFormIsACommitOnTopWithItsTree(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	base := b.head()
	first, err := f.Propose(t.Context(), b.change(base, "module shop\n\nrequire left v1.0.1\n"))
	if err != nil {
		t.Fatal(err)
	}
	later := b.edit(base, map[string][]byte{"go.mod": []byte("module shop\n\nrequire left v1.0.2\n"), "new.txt": []byte("new\n")})
	later.Title = "fix: raise left to v1.0.2"
	updated, err := f.Propose(t.Context(), later)
	if err != nil || updated.Outcome != "updated" || updated.Number != 1 || b.Pulls[0].Title != later.Title || len(b.Pulls) != 1 {
		t.Fatalf("later form: %+v, %v", updated, err)
	}
	b.sameTree(later, updated.Commit) // old.txt is there again
	if parents := b.Git(nil, "show", "-s", "--format=%P", updated.Commit); parents != first.Commit {
		t.Errorf("parents %s, expected %s", parents, first.Commit)
	}
	b.write("upstream.txt", "upstream\n")
	b.write("empty.txt", "")
	moved := b.push("main", "upstream")
	rebased := b.change(moved, "module shop\n\nrequire left v1.0.2\n")
	again, err := f.Propose(t.Context(), rebased)
	if err != nil || again.Outcome != "updated" {
		t.Fatalf("on a base that moved: %+v, %v", again, err)
	}
	b.sameTree(rebased, again.Commit)
	if parents := b.Git(nil, "show", "-s", "--format=%P", again.Commit); parents != updated.Commit+" "+moved {
		t.Errorf("parents %s, expected the former form and the base", parents)
	}
	if names := b.Git(nil, "diff", "--name-only", "main..."+rebased.Branch); names != "go.mod\nold.txt" {
		t.Errorf("the pull request shows %q", names)
	}
	same, err := f.Propose(t.Context(), rebased)
	if err != nil || same.Outcome != "unchanged" || same.Commit != again.Commit {
		t.Errorf("the same: %+v, %v", same, err)
	}
	standing, err := f.Follow(t.Context(), b.place(rebased))
	if err != nil || len(standing.Authors) > 0 {
		t.Errorf("%+v, %v: commits of ours are nobody else's", standing, err)
	}
}

func TestALinkOfTheBaseIsNotMadeAFile(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	base := b.head()
	if _, err := f.Propose(t.Context(), b.change(base, "x\n")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("go.mod", filepath.Join(b.local, "link")); err != nil {
		t.Fatal(err)
	}
	if _, err := f.Propose(t.Context(), b.change(b.push("main", "link"), "y\n")); !errors.Is(err, connector.ErrRefused) {
		t.Errorf("error %v", err)
	}
}

func TestWhatBreaksInTheMiddleIsTakenUpAgain(t *testing.T) {
	for name, breaks := range map[string]string{
		"the answer to the commit is lost": "POST /repositories/{workspace}/{repo_slug}/src", "the answer to the pull request is lost": "POST /repositories/{workspace}/{repo_slug}/pullrequests",
	} {
		for fault, one := range map[string]forgetest.Fault{
			"cut": {Executed: true, Cut: true}, "502": {Executed: true, Status: 502}, "not executed": {Status: 503}, "cut before": {Cut: true},
		} {
			t.Run(name+", "+fault, func(t *testing.T) {
				b := newBench(t)
				f := b.forge()
				change := b.change(b.head(), "module shop\n\nrequire left v1.0.1\n")
				b.Break(breaks, one)
				if _, err := f.Propose(t.Context(), change); !errors.Is(err, connector.ErrInDoubt) {
					t.Fatalf("error %v, expected doubt", err)
				}
				receipt, err := f.Propose(t.Context(), change)
				if err != nil || receipt.Number != 1 || len(b.Pulls) != 1 || b.Git(nil, "rev-list", "--count", "main.."+change.Branch) != "1" {
					t.Errorf("%+v, %v, %d pull requests", receipt, err, len(b.Pulls))
				}
			})
		}
	}
}

func TestRefusalsHaveNames(t *testing.T) {
	const src, pulls = "POST /repositories/{workspace}/{repo_slug}/src", "POST /repositories/{workspace}/{repo_slug}/pullrequests"
	for name, test := range map[string]struct {
		do   func(b *bench)
		want error
	}{
		"read-only":       {func(b *bench) { b.ReadOnly = true }, connector.ErrArchived},
		"no right":        {func(b *bench) { b.NoPush = true }, connector.ErrRights},
		"protected":       {func(b *bench) { b.Protected = "backstitch/" }, connector.ErrProtected},
		"bad credentials": {func(b *bench) { b.Token = "another" }, connector.ErrRights},
		"gone":            {func(b *bench) { b.Name = "acme/elsewhere" }, connector.ErrGone},
		"moved twice": {func(b *bench) {
			b.Break(src, forgetest.Fault{Status: 409}, forgetest.Fault{Status: 409})
		}, connector.ErrMoved},
		"a base that is not there": {func(b *bench) { b.Break(src, forgetest.Fault{Status: 404}) }, connector.ErrMoved},
		"limit": {func(b *bench) {
			b.Break(src, forgetest.Fault{Status: 429, Header: map[string]string{"Retry-After": "90"}, Body: `{"type":"error","error":{"message":"Rate limit for this resource has been exceeded"}}`})
		}, connector.ErrLimited},
		"limit without a word when": {func(b *bench) { b.Break(pulls, forgetest.Fault{Status: 429}) }, connector.ErrLimited},
		"invalid":                   {func(b *bench) { b.Break(pulls, forgetest.Fault{Status: 400}) }, connector.ErrRefused},
		"unprocessable":             {func(b *bench) { b.Break(pulls, forgetest.Fault{Status: 422}) }, connector.ErrRefused},
		"server":                    {func(b *bench) { b.Break(pulls, forgetest.Fault{Status: 500}) }, connector.ErrInDoubt},
		"a draft that is not taken": {func(b *bench) { b.NoDrafts = true }, connector.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			f := b.forge()
			change := b.change(b.head(), "x\n")
			change.Draft = name == "a draft that is not taken"
			test.do(b)
			_, err := f.Propose(t.Context(), change)
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, expected %v", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret-token") {
				t.Error("the error tells the token")
			}
			if change.Draft && (len(b.Pulls) != 1 || b.Pulls[0].State != "closed") {
				t.Error("what is not proven stands as if it were")
			}
			var limit *connector.LimitError
			if name == "limit" && (!errors.As(err, &limit) || limit.After != 90*time.Second) {
				t.Errorf("to come back after %+v", limit)
			}
		})
	}
}

func TestARaceForTheBranchIsDecidedByTheForge(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	change := b.change(b.head(), "x\n")
	// Another run of ours is faster: the branch is there once the first request comes.
	b.Break("POST /repositories/{workspace}/{repo_slug}/src", forgetest.Fault{Executed: true, Status: 409})
	receipt, err := f.Propose(t.Context(), change)
	if err != nil || b.Git(nil, "rev-list", "--count", "main.."+change.Branch) != "1" || len(b.Pulls) != 1 {
		t.Errorf("%+v, %v", receipt, err)
	}
}

func TestABranchOfOthersIsLeftAsItIs(t *testing.T) {
	b := newBench(t)
	change := b.change(b.head(), "x\n")
	b.write("theirs.txt", "theirs\n")
	before := b.push(change.Branch, "theirs")
	if _, err := b.forge().Propose(t.Context(), change); !errors.Is(err, connector.ErrForeign) {
		t.Errorf("error %v", err)
	}
	if b.Git(nil, "rev-parse", change.Branch) != before || len(b.Pulls) > 0 {
		t.Error("the branch was touched")
	}
}

func TestABranchThatMovesMeanwhileIsLeftAsItIs(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	if _, err := f.Propose(t.Context(), b.change(b.head(), "x\n")); err != nil {
		t.Fatal(err)
	}
	later := b.change(b.head(), "y\n")
	theirs := ""
	b.On("GET /repositories/{workspace}/{repo_slug}/diffstat/{spec}", b.Allowed(func(w http.ResponseWriter, r *http.Request, _ map[string]string) {
		b.in(b.local, "fetch", "-q", "origin", later.Branch)
		b.in(b.local, "checkout", "-q", "FETCH_HEAD")
		b.write("theirs.txt", "theirs\n")
		theirs = b.push(later.Branch, "theirs")
		b.Paged(w, r, nil)
	}))
	if _, err := f.Propose(t.Context(), later); !errors.Is(err, connector.ErrForeign) {
		t.Errorf("error %v", err)
	}
	if tip := b.Git(nil, "rev-parse", later.Branch); theirs == "" || tip != theirs {
		t.Errorf("the branch stands at %s, expected %s", tip, theirs)
	}
}

func TestADraftBecomesReadyAndAClosedChangeIsPublishedAnew(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	change := b.change(b.head(), "x\n")
	for i, draft := range []bool{true, false} {
		change.Draft = draft
		receipt, err := f.Propose(t.Context(), change)
		if err != nil || receipt.Outcome != []string{"created", "updated"}[i] || b.Pulls[0].Draft != draft {
			t.Errorf("%+v, %v", receipt, err)
		}
	}
	b.ClosePull(1, "ada")
	receipt, err := f.Propose(t.Context(), change)
	if err != nil || receipt.Number != 2 || receipt.Outcome != "created" || len(b.Pulls) != 2 {
		t.Errorf("%+v, %v", receipt, err)
	}
	if standing, err := f.Follow(t.Context(), b.place(change)); err != nil || standing.State != connector.ChangeOpen || standing.Number != 2 {
		t.Errorf("%+v, %v", standing, err)
	}
}

func TestStrangersAsReviewersAreANote(t *testing.T) {
	b := newBench(t)
	b.Strangers = []string{"lin"}
	change := b.change(b.head(), "x\n")
	change.Reviewers = []connector.Reviewer{{Name: "Lin"}, {Name: "mallory"}, {Name: "acme/platform", Team: true}, {Name: "ada"}}
	receipt, err := b.forge().Propose(t.Context(), change)
	if err != nil || len(receipt.Notes) != 3 || !slices.Equal(b.Pulls[0].Reviewers, []string{"ada"}) {
		t.Errorf("%+v, %v, %v", receipt, err, b.Pulls[0].Reviewers)
	}
	for i, name := range []string{"acme/platform", "mallory", "lin"} {
		if i < len(receipt.Notes) && !strings.Contains(receipt.Notes[i], name) {
			t.Errorf("note %q, expected %s", receipt.Notes[i], name)
		}
	}
}

func TestAChangeIsFollowedToItsEnd(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	base := b.head()
	change := b.change(base, "module shop\n\nrequire left v1.0.1\n")
	if _, err := f.Follow(t.Context(), b.place(change)); !errors.Is(err, connector.ErrNoChange) {
		t.Errorf("before: %v", err)
	}
	receipt, err := f.Propose(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	b.Say(1, "ada", "", "/backstitch rebase")
	b.Say(1, "mallory", "", "/backstitch ignore")
	b.Say(1, "ci[bot]", "", "built")
	b.Statuses[receipt.Commit] = []map[string]any{{"key": "a", "state": "SUCCESSFUL"}, {"key": "b", "state": "INPROGRESS"}}
	standing, err := f.Follow(t.Context(), b.place(change))
	if err != nil {
		t.Fatal(err)
	}
	if standing.State != connector.ChangeOpen || standing.Head != receipt.Commit || standing.Tip != base || standing.Target != "main" || standing.Checks != "pending" || standing.Conflict || len(standing.Authors) > 0 || len(standing.Comments) != 2 || !standing.Comments[0].Member || standing.Comments[1].Member {
		t.Errorf("open: %+v", standing)
	}
	b.Hidden = true
	if standing, err = f.Follow(t.Context(), b.place(change)); err != nil || standing.Comments[0].Member {
		t.Errorf("who may write is not told: %+v, %v", standing, err)
	}
	merge := b.MergePull(1, "ada", true)
	b.Git(nil, "update-ref", "-d", "refs/heads/"+change.Branch)
	standing, err = f.Follow(t.Context(), b.place(change))
	if err != nil || standing.State != connector.ChangeMerged || standing.Merge != merge || standing.Head != receipt.Commit || standing.By != "ada" || standing.At == 0 {
		t.Errorf("merged: %+v, %v", standing, err)
	}
}

func TestCommitsOfOthersAndConflictsAreNamed(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	change := b.change(b.head(), "x\n")
	if _, err := f.Propose(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	b.write("go.mod", "z\n")
	b.push("main", "upstream")
	b.in(b.local, "fetch", "-q", "origin", change.Branch)
	b.in(b.local, "checkout", "-q", "FETCH_HEAD")
	b.write("go.mod", "y\n")
	b.push(change.Branch, "more")
	standing, err := f.Follow(t.Context(), b.place(change))
	if err != nil || !slices.Equal(standing.Authors, []string{"ada"}) || !standing.Conflict {
		t.Errorf("%+v, %v", standing, err)
	}
	if _, err := f.Withdraw(t.Context(), b.place(change), standing.Head+"0", "x"); !errors.Is(err, connector.ErrForeign) {
		t.Errorf("withdraw: %v", err)
	}
}

func TestAnOvertakenChangeIsClosedWithItsReason(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	change := b.change(b.head(), "x\n")
	receipt, err := f.Propose(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	b.Break("POST /repositories/{workspace}/{repo_slug}/pullrequests/{pull_request_id}/decline", forgetest.Fault{Executed: true, Cut: true})
	if _, err := f.Withdraw(t.Context(), b.place(change), receipt.Commit, "left is gone"); !errors.Is(err, connector.ErrInDoubt) {
		t.Errorf("error %v, expected doubt", err)
	}
	for _, want := range []string{"closed", "unchanged"} {
		got, err := f.Withdraw(t.Context(), b.place(change), receipt.Commit, "left is gone")
		if err != nil || got.Outcome != want {
			t.Errorf("%+v, %v, expected %s", got, err, want)
		}
	}
	if b.Pulls[0].State != "closed" || len(b.Comments[1]) != 1 || !strings.Contains(b.Comments[1][0].Body, "left is gone") {
		t.Errorf("%+v, comments %d", b.Pulls[0], len(b.Comments[1]))
	}
	standing, err := f.Follow(t.Context(), b.place(change))
	if err != nil || standing.State != connector.ChangeClosed || standing.By != "backstitch-bot" {
		t.Errorf("%+v, %v", standing, err)
	}
}

func TestOneCommentIsKeptUpToDate(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	change := b.change(b.head(), "x\n")
	if _, err := f.Propose(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	for range 120 { // so that the comment is looked for on a further page, too
		b.Say(1, "ada", "", "hm")
	}
	for _, step := range [][2]string{{"one", "created"}, {"one", "unchanged"}, {"two", "updated"}} {
		receipt, err := f.Comment(t.Context(), b.place(change), "k", step[0])
		if err != nil || receipt.Outcome != step[1] {
			t.Errorf("%s: %+v, %v", step[0], receipt, err)
		}
	}
	if len(b.Comments[1]) != 121 || !strings.HasSuffix(b.Comments[1][120].Body, "two") || strings.Contains(b.Comments[1][120].Body, "<!--") {
		t.Errorf("%d comments, the last %q", len(b.Comments[1]), b.Comments[1][len(b.Comments[1])-1].Body)
	}
}

func TestPagesAreFollowedOnTheSameServerOnly(t *testing.T) {
	b := newBench(t)
	b.On("GET /workspaces/{workspace}/members", func(w http.ResponseWriter, _ *http.Request, _ map[string]string) {
		forgetest.JSON(w, 200, map[string]any{"values": []any{}, "next": "http://127.0.0.1:1/2.0/steal"})
	})
	r := &connectortest.Recorder{}
	b.estate()
	if err := b.source().Sync(t.Context(), b.values(), r); err != nil {
		t.Fatal(err)
	}
	if len(r.Gaps) != 1 || !strings.Contains(r.Gaps[0].Value, "does not lead to") {
		t.Errorf("gaps %v", r.Gaps)
	}
}

func TestChecksAreWrittenOnce(t *testing.T) {
	b := newBench(t)
	commit := b.Git(nil, "rev-parse", "main")
	run := connector.CheckRun{Commit: commit, Name: strings.Repeat("backstitch ", 5), Conclusion: "failure", Title: "not proven", Summary: "x"}
	for range 2 {
		if _, err := b.forge().Check(t.Context(), b.URL+"/acme/shop", run); err != nil {
			t.Fatal(err)
		}
	}
	if list := b.Statuses[commit]; len(list) != 1 || list[0]["state"] != "FAILED" || list[0]["name"] != run.Name {
		t.Errorf("statuses %v", list)
	}
	run.Conclusion = "odd"
	if _, err := b.forge().Check(t.Context(), b.URL+"/acme/shop", run); err == nil {
		t.Error("an odd conclusion was written")
	}
}

func TestTicketsAreMadeOnceAndHandedOver(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	remote := b.URL + "/acme/shop"
	ticket := connector.Ticket{Remote: remote, Key: "bs-1", Title: "Raise left", Body: "What is wrong\n\n" + keyTrailer + ": bs-1\n", Assignees: []connector.Reviewer{{Name: "ada", Confidence: .84, Rationale: "owns the line"}}}
	b.Break("POST /repositories/{workspace}/{repo_slug}/issues", forgetest.Fault{Executed: true, Cut: true})
	if _, err := f.OpenTicket(t.Context(), ticket); !errors.Is(err, connector.ErrInDoubt) {
		t.Errorf("error %v, expected doubt", err)
	}
	receipt, err := f.OpenTicket(t.Context(), ticket)
	if err != nil || receipt.Outcome != "unchanged" || receipt.Number != 1 || len(b.Tickets) != 1 || !strings.Contains(b.Tickets[0].Body, "ada (84 %): owns the line") {
		t.Errorf("%+v, %v", receipt, err)
	}
	ticket.Title = "Raise left, please"
	if receipt, err := f.OpenTicket(t.Context(), ticket); err != nil || receipt.Outcome != "updated" || b.Tickets[0].Title != ticket.Title {
		t.Errorf("%+v, %v", receipt, err)
	}
	for key, want := range map[string]int{"bs-1": 1, "bs-2": 0} {
		if number, err := f.FindTicket(t.Context(), remote, key); err != nil || number != want {
			t.Errorf("%s: found %d, %v", key, number, err)
		}
	}
	for _, to := range []connector.Delegation{{Mode: connector.DelegateMention, Agent: "claude", Text: "please"}, {Mode: connector.DelegateAssign, Agent: "lin"}} {
		for range 2 {
			if _, err := f.Delegate(t.Context(), remote, 1, to); err != nil {
				t.Errorf("%s: %v", to.Mode, err)
			}
		}
	}
	comments := b.Comments[forgetest.BitbucketTickets+1]
	if len(comments) != 1 || !strings.Contains(comments[0].Body, "@claude please") || !slices.Equal(b.Tickets[0].Assigned, []string{"lin"}) {
		t.Errorf("%d comments, assigned %v", len(comments), b.Tickets[0].Assigned)
	}
	for to, want := range map[connector.Delegation]error{
		{Mode: connector.DelegateAssign, Agent: "ada"}: connector.ErrRefused, {Mode: connector.DelegateLabel, Agent: "x"}: connector.ErrRefused, {Mode: connector.DelegateREST}: connector.ErrRefused,
	} {
		if _, err := f.Delegate(t.Context(), remote, 1, to); !errors.Is(err, want) {
			t.Errorf("%+v: %v", to, err)
		}
	}
	change := b.change(b.head(), "x\n")
	change.Body = "Settles #1.\n\n" + keyTrailer + ": " + change.Key + "\n"
	made, err := f.Propose(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	list, err := f.Linked(t.Context(), remote, 1)
	if err != nil || len(list) != 1 || list[0].Number != made.Number || list[0].Head != made.Commit || list[0].Branch != change.Branch {
		t.Errorf("linked %+v, %v", list, err)
	}
	b.NoTracker = true
	if _, err := f.OpenTicket(t.Context(), ticket); !errors.Is(err, connector.ErrRefused) || !strings.Contains(fmt.Sprint(err), "no issue tracker") {
		t.Errorf("without a tracker: %v", err)
	}
}

func TestWebhooksAreJudgedBeforeTheyAreRead(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	body := []byte(`{"repository":{"full_name":"acme/shop"},"pullrequest":{"id":3,"source":{"branch":{"name":"backstitch/x"}}}}`)
	request := connector.HookRequest{Body: body, Header: map[string]string{"content-type": "application/json", "x-event-key": "pullrequest:fulfilled", "x-request-uuid": "d1", "x-hub-signature": "sha256=" + sign("s", body)}}
	event, err := f.ReadHook("s", request)
	if err != nil || event.ID != "d1" || event.Kind != "pull_request" || event.Number != 3 || event.Branch != "backstitch/x" || !strings.HasSuffix(event.Remote, "/acme/shop") {
		t.Errorf("%+v, %v", event, err)
	}
	for key, want := range map[string]string{"repo:push": "push", "repo:commit_status_updated": "check", "pullrequest:comment_created": "comment", "issue:updated": "ticket", "repo:fork": "other"} {
		other := connector.HookRequest{Body: body, Header: maps.Clone(request.Header)}
		other.Header["x-event-key"] = key
		if event, err := f.ReadHook("s", other); err != nil || event.Kind != want {
			t.Errorf("%s: %+v, %v", key, event, err)
		}
	}
	for name, change := range map[string]func(*connector.HookRequest){
		"another secret": func(r *connector.HookRequest) { r.Header["x-hub-signature"] = "sha256=" + sign("t", body) },
		"no signature":   func(r *connector.HookRequest) { delete(r.Header, "x-hub-signature") },
		"another body":   func(r *connector.HookRequest) { r.Body = append(slices.Clone(body), ' ') },
		"a form":         func(r *connector.HookRequest) { r.Header["content-type"] = "application/x-www-form-urlencoded" },
		"too large":      func(r *connector.HookRequest) { r.Body = make([]byte, maxHook+1) },
	} {
		bad := connector.HookRequest{Body: body, Header: maps.Clone(request.Header)}
		change(&bad)
		if _, err := f.ReadHook("s", bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := f.ReadHook("", request); err == nil {
		t.Error("an empty secret judges nothing")
	}
}

func TestOnlyItsOwnRemotesAreServed(t *testing.T) {
	f, err := New(nil).Forge(connector.Values{"address": "https://api.bitbucket.org/2.0", "token": "env:T"})
	if err != nil {
		t.Fatal(err)
	}
	for remote, want := range map[string]bool{
		"https://bitbucket.org/acme/shop": true, "git@bitbucket.org:acme/shop.git": true, "ssh://git@bitbucket.org/acme/shop": true, "https://user:pw@bitbucket.org/acme/shop.git": true, "ssh://git@altssh.bitbucket.org:443/acme/shop.git": true,
		"https://github.com/acme/shop": false, "https://bitbucket.org.evil.test/acme/shop": false, "https://bitbucket.org/acme": false, "https://bitbucket.org/acme/shop/x": false, "/srv/shop": false, "https://bitbucket.org/../x": false, "": false,
	} {
		if got := f.Serves(remote); got != want {
			t.Errorf("%q: %v", remote, got)
		}
	}
}

func TestAnAPITokenGoesWithItsUser(t *testing.T) {
	b := newBench(t)
	if _, err := b.forge("user", "ada@example.org").Propose(t.Context(), b.change(b.head(), "x\n")); err != nil {
		t.Error(err)
	}
	f := b.forge("user", "ada@example.org")
	b.Token = "another"
	_, err := f.Propose(t.Context(), b.change(b.head(), "y\n"))
	if encoded := base64.StdEncoding.EncodeToString([]byte("ada@example.org:secret-token")); !errors.Is(err, connector.ErrRights) || strings.Contains(err.Error(), encoded) || strings.Contains(err.Error(), "secret-token") {
		t.Errorf("error %v", err)
	}
}

func (b *bench) estate() {
	list := func(values ...map[string]any) forgetest.Handler {
		return b.Allowed(func(w http.ResponseWriter, r *http.Request, _ map[string]string) { b.Paged(w, r, values) })
	}
	b.On("GET /repositories/{workspace}", list(b.RepositoryJSON()))
	b.On("GET /workspaces/{workspace}/projects", list(map[string]any{"key": "SHOP", "name": "Shop", "is_private": true}))
	b.On("GET /repositories/{workspace}/{repo_slug}/permissions-config/groups", list(
		map[string]any{"permission": "admin", "group": map[string]string{"slug": "platform", "name": "Platform"}}, map[string]any{"permission": "read", "group": map[string]string{"slug": "all", "name": "All"}},
		map[string]any{"permission": "admin", "group": map[string]string{"slug": "administrators", "name": "Administrators"}}))
}

func TestRepositoriesProjectsMembersAndGroupsAreRead(t *testing.T) {
	b := newBench(t)
	b.estate()
	r := &connectortest.Recorder{}
	if err := b.source().Sync(t.Context(), b.values("repositories", "acme/shop"), r); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(r.Lines(), "\n")
	host := strings.TrimPrefix(b.URL, "http://")
	for _, want := range []string{host + "/acme/shop", "@acme/platform", "bitbucket:{ada}", host + "/ada", "part_of", host + "/acme/projects/SHOP", `"owner"`, "covered repository acme/shop", "covered groups acme/shop"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "@acme/all") || strings.Contains(text, "@acme/administrators") {
		t.Error("a group that only reads owns nothing, nor one that administers everything")
	}
}

func TestAPartThatFailsIsAGapAndIsReadByTheNextRun(t *testing.T) {
	b := newBench(t)
	b.estate()
	b.Break("GET /repositories/{workspace}/{repo_slug}/permissions-config/groups", forgetest.Fault{Status: 403, Body: `{"error":{"message":"not an administrator"}}`})
	r := &connectortest.Recorder{}
	if err := b.source().Sync(t.Context(), b.values(), r); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(r.Lines(), "\n"); !strings.Contains(text, "not an administrator") || !strings.Contains(text, "/acme/shop") || len(r.Gaps) != 1 {
		t.Errorf("%s", text)
	}
	resumed := &connectortest.Recorder{Skip: map[string]bool{}}
	for _, scope := range r.Complete {
		resumed.Skip[scope] = true
	}
	if err := b.source().Sync(t.Context(), b.values(), resumed); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(resumed.Complete, []string{"groups acme/shop"}) || len(resumed.Claims) != 1 || len(resumed.Nodes) != 1 {
		t.Errorf("the resumed run said\n%s", strings.Join(resumed.Lines(), "\n"))
	}
}

// TestOnceWhateverRequestFails lets each request of a change's first and later form fail,
// and asks again as the delivery log does.
func TestOnceWhateverRequestFails(t *testing.T) {
	sample := newBench(t)
	for _, text := range []string{"x\n", "y\n"} {
		if _, err := sample.forge().Propose(t.Context(), sample.change(sample.head(), text)); err != nil {
			t.Fatal(err)
		}
	}
	for _, operation := range sample.Asked() {
		faults := map[string][]forgetest.Fault{"lost": {{Executed: true, Cut: true}}, "before": {{Status: 502}}, "limited": {{Status: 429, Header: map[string]string{"Retry-After": "1"}}}}
		if strings.HasPrefix(operation, "GET ") {
			faults = map[string][]forgetest.Fault{"down": slices.Repeat([]forgetest.Fault{{Status: 503}}, 5)} // more than are tried again
		}
		for name, list := range faults {
			for form, text := range []string{"x\n", "y\n"} {
				if form == 0 && name == "down" || form == 1 && name == "limited" {
					continue // the same as in the other form
				}
				t.Run(fmt.Sprint(operation, ", ", name, ", form ", form), func(t *testing.T) {
					b := newBench(t)
					f := b.forge()
					var last connector.Proposal
					for i, now := range []string{"x\n", text} {
						last = b.change(b.head(), now)
						if i == form {
							b.Break(operation, list...)
						}
						var err error
						for range 3 {
							if _, err = f.Propose(t.Context(), last); err == nil {
								break
							}
						}
						if err != nil {
							t.Fatal(err)
						}
					}
					commits := b.Git(nil, "rev-list", "--count", "main.."+last.Branch)
					if refs := b.Git(nil, "for-each-ref", "--format=%(refname:short)"); refs != last.Branch+"\nmain" || commits != fmt.Sprint(form+1) || len(b.Pulls) != 1 {
						t.Errorf("refs %q, %s commits, %d pull requests", refs, commits, len(b.Pulls))
					}
					b.sameTree(last, b.Git(nil, "rev-parse", last.Branch))
				})
			}
		}
	}
}

func TestConformance(t *testing.T) {
	b := newBench(t)
	b.estate()
	connectortest.Conformance(t, b.source(), b.values())
}

func sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
