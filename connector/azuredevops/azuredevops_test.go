package azuredevops

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/connector/forgetest"
)

var start = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// bench is an Azure DevOps with its repository, and a local clone that changes are made in.
type bench struct {
	*forgetest.AzureDevOps
	t     *testing.T
	local string
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
	b.AzureDevOps = forgetest.NewAzureDevOps(t, bare, "acme/Web Shop/shop", start)
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
	return b.in(b.local, "rev-parse", "HEAD")
}

func (b *bench) source() connector.ForgeSource {
	return New(func(context.Context, time.Duration) error { return nil })
}

func (b *bench) values(more ...string) connector.Values {
	values := connector.Values{"address": b.URL, "token": b.Token, "organizations": "acme", "work-item-type": "Issue"}
	for i := 0; i < len(more); i += 2 {
		values[more[i]] = more[i+1]
	}
	return values
}

func (b *bench) forge() forge {
	b.t.Helper()
	f, err := b.source().Forge(b.values())
	if err != nil {
		b.t.Fatal(err)
	}
	return f.(forge)
}

func (b *bench) remote() string { return b.URL + "/acme/Web%20Shop/_git/shop" }

// change makes a commit on a base that gives a file a text, removes another and adds one.
func (b *bench) change(base, text string) connector.Proposal {
	b.t.Helper()
	repository, err := git.Open(b.t.Context(), b.local)
	if err != nil {
		b.t.Fatal(err)
	}
	defer repository.Close()
	const key = "bs-0123456789abcdef"
	title, body := "fix: raise left", "Closes it.\n\n"+keyTrailer+": "+key+"\n"
	commit, err := repository.Commit(b.t.Context(), base, map[string][]byte{"go.mod": []byte(text), "old.txt": nil, "new.bin": {0, 0xff, '\r', '\n'}}, title+"\n\n"+body, git.Signature{Name: "Backstitch", Email: "b@example.org", When: start})
	if err != nil {
		b.t.Fatal(err)
	}
	return connector.Proposal{
		Repository: b.local, Remote: b.remote(), Branch: "backstitch/left-0123", Base: base, Commit: commit, Key: key, Title: title, Body: body,
		Labels: []string{"backstitch"}, Reviewers: []connector.Reviewer{{Name: "ada@example.org"}, {Name: "acme/Platform", Team: true}},
	}
}

func (b *bench) head() string { return b.in(b.local, "rev-parse", "HEAD") }

func (b *bench) place(change connector.Proposal) connector.Place {
	return connector.Place{Repository: b.local, Remote: change.Remote, Branch: change.Branch, Key: change.Key, Base: change.Base}
}

// holds says that one commit with the tree of the change stands on its base.
func (b *bench) holds(change connector.Proposal, commit string) {
	b.t.Helper()
	if b.Git(nil, "rev-parse", commit+"^{tree}") != b.in(b.local, "rev-parse", change.Commit+"^{tree}") {
		b.t.Error("the commit made by the API has another tree than the change")
	}
	if parent := b.Git(nil, "show", "-s", "--format=%P", commit); parent != change.Base {
		b.t.Errorf("made on %s, expected %s", parent, change.Base)
	}
	if refs := b.Git(nil, "for-each-ref", "--format=%(refname:short)"); refs != change.Branch+"\nmain" {
		b.t.Errorf("refs %q", refs)
	}
}

func TestAChangeIsPublishedOnceWithoutACheckout(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	change := b.change(b.head(), "module shop\n\nrequire left v1.0.1\n")
	receipt, err := f.Propose(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	if receipt.Outcome != "created" || receipt.Number != 1 || receipt.URL != b.remote()+"/pullrequest/1" || len(receipt.Notes) > 0 {
		t.Errorf("receipt %+v", receipt)
	}
	b.holds(change, receipt.Commit)
	p := b.Pulls[0]
	if p.Base != "main" || p.Head != change.Branch || p.Title != change.Title || git.Trailer(p.Body, keyTrailer) != change.Key || !slices.Equal(p.Labels, []string{"backstitch"}) || !slices.Equal(p.Reviewers, []string{"id-ada", "id-platform"}) {
		t.Errorf("pull request %+v", p)
	}
	b.Votes["id-ada"] = 10
	again, err := f.Propose(t.Context(), change)
	if err != nil || again.Outcome != "unchanged" || again.Commit != receipt.Commit || len(b.Pulls) != 1 || b.Votes["id-ada"] != 10 {
		t.Errorf("again: %+v, %v, %d pull requests, votes %v", again, err, len(b.Pulls), b.Votes)
	}
	b.write("upstream.txt", "upstream\n")
	later := b.change(b.push("main", "upstream"), "module shop\n\nrequire left v1.0.2\n")
	later.Title, later.Draft = "fix: raise left to v1.0.2", true
	updated, err := f.Propose(t.Context(), later)
	if err != nil || updated.Outcome != "updated" || updated.Number != 1 || b.Pulls[0].Title != later.Title || !b.Pulls[0].Draft {
		t.Errorf("later form: %+v, %v", updated, err)
	}
	b.holds(later, updated.Commit)
}

func TestALongTextIsShortenedAndKeepsItsTrailers(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	change := b.change(b.head(), "x\n")
	change.Body = strings.Repeat("Zoë says so. ", 500) + "\n\n" + keyTrailer + ": " + change.Key + "\n"
	for _, want := range []string{"created", "unchanged"} {
		receipt, err := f.Propose(t.Context(), change)
		if err != nil || receipt.Outcome != want {
			t.Fatalf("%+v, %v, expected %s", receipt, err, want)
		}
		if message := b.Git(nil, "show", "-s", "--format=%B", receipt.Commit); !strings.Contains(message, strings.TrimSpace(change.Body)) {
			t.Error("the commit does not hold all of the text")
		}
	}
	if text := b.Pulls[0].Body; len([]rune(text)) != maxDescription || git.Trailer(text, keyTrailer) != change.Key || !strings.Contains(text, "(shortened)") {
		t.Errorf("%d characters, ending in %q", len([]rune(text)), text[len(text)-60:])
	}
	if text := fitting(strings.Repeat("x", maxDescription) + "\n\n" + strings.Repeat("y", maxDescription)); len(text) != maxDescription {
		t.Errorf("a last paragraph that is too long: %d", len(text))
	}
}

// TestOnceWhateverRequestFails lets each request of a change's first and later form fail,
// and asks again as the delivery log does.
func TestOnceWhateverRequestFails(t *testing.T) {
	sample := newBench(t)
	title := func(change connector.Proposal, text string) connector.Proposal {
		change.Title = "raise to " + strings.TrimSpace(text)
		return change
	}
	for _, text := range []string{"x\n", "y\n"} {
		if _, err := sample.forge().Propose(t.Context(), title(sample.change(sample.head(), text), text)); err != nil {
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
						last = title(b.change(b.head(), now), now)
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
					if len(b.Pulls) != 1 || b.Pulls[0].Title != last.Title {
						t.Errorf("%d pull requests, %+v", len(b.Pulls), b.Pulls[0])
					}
					b.holds(last, b.Git(nil, "rev-parse", last.Branch))
				})
			}
		}
	}
}

func TestALostAnswerIsADoubt(t *testing.T) {
	const repo = "/{organization}/{project}/_apis/git/repositories/{repositoryId}"
	for operation, later := range map[string]bool{"POST " + repo + "/pushes": false, "POST " + repo + "/pullrequests": false, "POST " + repo + "/refs": true} {
		for name, fault := range map[string]forgetest.Fault{"cut": {Executed: true, Cut: true}, "502": {Executed: true, Status: 502}, "before": {Status: 503}, "cut before": {Cut: true}} {
			b := newBench(t)
			f := b.forge()
			change := b.change(b.head(), "x\n")
			if later {
				if _, err := f.Propose(t.Context(), change); err != nil {
					t.Fatal(err)
				}
				change = b.change(b.head(), "y\n")
			}
			b.Break(operation, fault)
			if _, err := f.Propose(t.Context(), change); !errors.Is(err, connector.ErrInDoubt) {
				t.Errorf("%s, %s: error %v, expected doubt", operation, name, err)
			}
		}
	}
}

func TestABranchBesideThatWasLeftIsUsedOrRemoved(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	if _, err := f.Propose(t.Context(), b.change(b.head(), "x\n")); err != nil {
		t.Fatal(err)
	}
	const refs = "POST /{organization}/{project}/_apis/git/repositories/{repositoryId}/refs"
	b.Break(refs, forgetest.Fault{Status: 503})
	if _, err := f.Propose(t.Context(), b.change(b.head(), "y\n")); err == nil {
		t.Fatal("expected doubt")
	}
	if b.Git(nil, "rev-parse", "--verify", "backstitch/left-0123-next") == "" {
		t.Fatal("the branch beside is not there")
	}
	newest := b.change(b.head(), "z\n") // yet another form: what is beside is of no use
	receipt, err := f.Propose(t.Context(), newest)
	if err != nil || receipt.Outcome != "updated" {
		t.Fatalf("%+v, %v", receipt, err)
	}
	b.holds(newest, receipt.Commit)
	// The branch is in place, and its last step was lost.
	b.Git(nil, "update-ref", "refs/heads/backstitch/left-0123-next", receipt.Commit)
	if receipt, err = f.Propose(t.Context(), newest); err != nil || receipt.Outcome != "unchanged" {
		t.Fatalf("%+v, %v", receipt, err)
	}
	b.holds(newest, receipt.Commit)
}

func TestRefusalsHaveNames(t *testing.T) {
	const repo = "/{organization}/{project}/_apis/git/repositories/{repositoryId}"
	const push, pulls = "POST " + repo + "/pushes", "POST " + repo + "/pullrequests"
	for name, test := range map[string]struct {
		do   func(b *bench)
		want error
	}{
		"switched off":      {func(b *bench) { b.Disabled = true }, connector.ErrArchived},
		"no right":          {func(b *bench) { b.NoPush = true }, connector.ErrRights},
		"protected":         {func(b *bench) { b.Protected = "backstitch/" }, connector.ErrProtected},
		"bad credentials":   {func(b *bench) { b.Token = "another" }, connector.ErrRights},
		"a page to sign in": {func(b *bench) { b.Token, b.SignIn = "another", true }, connector.ErrRights},
		"gone":              {func(b *bench) { b.Name = "acme/Web Shop/elsewhere" }, connector.ErrGone},
		"moved twice":       {func(b *bench) { b.Break(push, forgetest.Fault{Status: 409}, forgetest.Fault{Status: 409}) }, connector.ErrMoved},
		"a base not there": {func(b *bench) {
			b.Break(push, forgetest.Fault{Status: 409, Body: `{"message":"TF401035: The object does not exist."}`}, forgetest.Fault{Status: 409})
		}, connector.ErrMoved},
		"limit": {func(b *bench) {
			b.Break(push, forgetest.Fault{Status: 429, Header: map[string]string{"Retry-After": "90"}})
		}, connector.ErrLimited},
		"limit by its header": {func(b *bench) {
			b.Break(pulls, forgetest.Fault{Status: 429, Header: map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4102444800"}})
		}, connector.ErrLimited},
		"invalid":       {func(b *bench) { b.Break(pulls, forgetest.Fault{Status: 400}) }, connector.ErrRefused},
		"unprocessable": {func(b *bench) { b.Break(pulls, forgetest.Fault{Status: 422}) }, connector.ErrRefused},
		"server":        {func(b *bench) { b.Break(pulls, forgetest.Fault{Status: 500}) }, connector.ErrInDoubt},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			f := b.forge()
			change := b.change(b.head(), "x\n")
			test.do(b)
			_, err := f.Propose(t.Context(), change)
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, expected %v", err, test.want)
			}
			if encoded := base64.StdEncoding.EncodeToString([]byte(":secret-token")); err != nil && (strings.Contains(err.Error(), "secret-token") || strings.Contains(err.Error(), encoded)) {
				t.Error("the error tells the token")
			}
			var limit *connector.LimitError
			if errors.As(err, &limit) && (limit.After < time.Minute || limit.After > 24*time.Hour) {
				t.Errorf("to come back after %v", limit.After)
			}
		})
	}
}

func TestABranchThatMayNotBeMovedBackIsARefusal(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	first, err := f.Propose(t.Context(), b.change(b.head(), "x\n"))
	if err != nil {
		t.Fatal(err)
	}
	b.NoForce = true
	if _, err := f.Propose(t.Context(), b.change(b.head(), "y\n")); !errors.Is(err, connector.ErrRights) || !strings.Contains(err.Error(), "forcePushRequired") {
		t.Errorf("error %v", err)
	}
	if tip := b.Git(nil, "rev-parse", "backstitch/left-0123"); tip != first.Commit {
		t.Errorf("the branch stands at %s", tip)
	}
}

func TestARaceForTheBranchIsDecidedByTheForge(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	change := b.change(b.head(), "x\n")
	// Another run of ours is faster: the branch is there once the first request comes.
	b.Break("POST /{organization}/{project}/_apis/git/repositories/{repositoryId}/pushes", forgetest.Fault{Executed: true, Status: 409})
	receipt, err := f.Propose(t.Context(), change)
	if err != nil || len(b.Pulls) != 1 {
		t.Fatalf("%+v, %v", receipt, err)
	}
	b.holds(change, receipt.Commit)
	// And one opens the pull request in between.
	b.Break("GET /{organization}/{project}/_apis/git/repositories/{repositoryId}/pullrequests", forgetest.Fault{Status: 200, Body: `{"value":[]}`})
	if again, err := f.Propose(t.Context(), change); err != nil || again.Number != 1 || len(b.Pulls) != 1 {
		t.Errorf("%+v, %v", again, err)
	}
}

func TestRunsAtOnceMakeOneChange(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	change := b.change(b.head(), "x\n")
	change.Reviewers = nil
	var all sync.WaitGroup
	errs, numbers := make([]error, 4), make([]int, 4)
	for i := range errs {
		all.Go(func() {
			receipt, err := f.Propose(t.Context(), change)
			errs[i], numbers[i] = err, receipt.Number
		})
	}
	all.Wait()
	if err := errors.Join(errs...); err != nil || !slices.Equal(numbers, []int{1, 1, 1, 1}) || len(b.Pulls) != 1 {
		t.Errorf("%v, numbers %v, %d pull requests", err, numbers, len(b.Pulls))
	}
	b.holds(change, b.Git(nil, "rev-parse", change.Branch))
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
	first, err := f.Propose(t.Context(), b.change(b.head(), "x\n"))
	if err != nil {
		t.Fatal(err)
	}
	const refs = "POST /{organization}/{project}/_apis/git/repositories/{repositoryId}/refs"
	b.Break(refs, forgetest.Fault{Status: 200, Body: `{"value":[{"success":false,"updateStatus":"staleOldObjectId"}]}`})
	if _, err := f.Propose(t.Context(), b.change(b.head(), "y\n")); !errors.Is(err, connector.ErrForeign) {
		t.Errorf("error %v", err)
	}
	b.Break(refs, forgetest.Fault{Status: 200, Body: `{"value":[{"success":false,"updateStatus":"staleOldObjectId"}]}`})
	if _, err := f.Withdraw(t.Context(), b.place(b.change(b.head(), "x\n")), first.Commit, "x"); !errors.Is(err, connector.ErrForeign) {
		t.Errorf("withdraw: %v", err)
	}
	if tip := b.Git(nil, "rev-parse", "backstitch/left-0123"); tip != first.Commit {
		t.Errorf("the branch stands at %s", tip)
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
	b.Strangers, b.People = []string{"id-lin"}, []string{"bada", "ada", "lin", "adam", "adah"}
	change := b.change(b.head(), "x\n")
	change.Reviewers = []connector.Reviewer{{Name: "lin@example.org"}, {Name: "mallory"}, {Name: "ada"}, {Name: "acme/Nobody", Team: true}, {Name: "ADA@example.org"}}
	receipt, err := b.forge().Propose(t.Context(), change)
	if err != nil || len(receipt.Notes) != 4 || !slices.Equal(b.Pulls[0].Reviewers, []string{"id-ada"}) {
		t.Errorf("%+v, %v, %v", receipt, err, b.Pulls[0].Reviewers)
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
	b.PullState[1] = []map[string]any{{"id": 1, "state": "failed", "context": map[string]string{"name": "outside"}}, {"id": 2, "state": "succeeded", "context": map[string]string{"name": "outside"}}}
	standing, err := f.Follow(t.Context(), b.place(change))
	if err != nil {
		t.Fatal(err)
	}
	if standing.State != connector.ChangeOpen || standing.Head != receipt.Commit || standing.Tip != base || standing.Target != "main" || standing.Checks != "success" || standing.Merge != "" || standing.Conflict || len(standing.Authors) > 0 || len(standing.Comments) != 2 || !standing.Comments[0].Member || standing.Comments[1].Member {
		t.Errorf("open: %+v", standing)
	}
	b.Builds[1] = "running"
	if standing, err = f.Follow(t.Context(), b.place(change)); err != nil || standing.Checks != "pending" {
		t.Errorf("a build runs: %+v, %v", standing, err)
	}
	b.Statuses[receipt.Commit] = []map[string]any{{"state": "error"}}
	if standing, err = f.Follow(t.Context(), b.place(change)); err != nil || standing.Checks != "failure" {
		t.Errorf("a status failed: %+v, %v", standing, err)
	}
	merge := b.MergePull(1, "ada", true)
	b.Git(nil, "update-ref", "-d", "refs/heads/"+change.Branch)
	standing, err = f.Follow(t.Context(), b.place(change))
	if err != nil || standing.State != connector.ChangeMerged || standing.Merge != merge || standing.Head != receipt.Commit || standing.By != "ada@example.org" || standing.At == 0 {
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
	for range 120 { // so that ours is on a second page
		b.in(b.local, "commit", "-q", "--allow-empty", "-m", "more")
	}
	b.write("go.mod", "y\n")
	b.push(change.Branch, "more")
	standing, err := f.Follow(t.Context(), b.place(change))
	if err != nil || !slices.Equal(standing.Authors, []string{"ada@example.org"}) || !standing.Conflict {
		t.Errorf("%+v, %v", standing, err)
	}
	if _, err := f.Withdraw(t.Context(), b.place(change), change.Base, "x"); !errors.Is(err, connector.ErrForeign) || len(b.Comments[1]) > 0 {
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
	b.Break("PATCH /{organization}/{project}/_apis/git/repositories/{repositoryId}/pullrequests/{pullRequestId}", forgetest.Fault{Executed: true, Cut: true})
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
	if err != nil || standing.State != connector.ChangeClosed || standing.By != "backstitch-bot@example.org" || len(standing.Comments) > 0 {
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
	b.Say(1, "ada", "", "hm")
	for _, step := range [][2]string{{"one", "created"}, {"one", "unchanged"}, {"two", "updated"}} {
		receipt, err := f.Comment(t.Context(), b.place(change), "k", step[0])
		if err != nil || receipt.Outcome != step[1] {
			t.Errorf("%s: %+v, %v", step[0], receipt, err)
		}
	}
	if len(b.Comments[1]) != 2 || !strings.HasSuffix(b.Comments[1][1].Body, "two") {
		t.Errorf("%d comments", len(b.Comments[1]))
	}
}

func TestChecksAreWrittenOnce(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	made, err := f.Propose(t.Context(), b.change(b.head(), "x\n"))
	if err != nil {
		t.Fatal(err)
	}
	run := connector.CheckRun{Commit: made.Commit, Name: "proof", Conclusion: "failure", Title: "not proven", Summary: "x"}
	b.Break("POST /{organization}/{project}/_apis/git/repositories/{repositoryId}/pullRequests/{pullRequestId}/statuses", forgetest.Fault{Status: 403, Body: `{"message":"no right"}`})
	for i, want := range []string{"created", "unchanged", "unchanged", "updated"} {
		if want == "updated" {
			run.Conclusion, run.Title = "success", "proven"
		}
		receipt, err := f.Check(t.Context(), b.remote(), run)
		if err != nil || receipt.Outcome != want || (i == 0) != (len(receipt.Notes) == 1) {
			t.Errorf("%+v, %v, expected %s", receipt, err, want)
		}
	}
	for what, list := range map[string][]map[string]any{"commit": b.Statuses[made.Commit], "pull request": b.PullState[1]} {
		if len(list) != 2 || list[0]["state"] != "failed" || list[1]["state"] != "succeeded" {
			t.Errorf("statuses of the %s: %v", what, list)
		}
	}
	run.Conclusion = "odd"
	if _, err := f.Check(t.Context(), b.remote(), run); err == nil {
		t.Error("an odd conclusion was written")
	}
}

func TestTicketsAreMadeOnceAndHandedOver(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	ticket := connector.Ticket{Remote: b.remote(), Key: "bs-1", Title: "Raise left", Body: "What is <wrong> & where\n\n" + keyTrailer + ": bs-1\n", Labels: []string{"security"}, Assignees: []connector.Reviewer{{Name: "ada", Confidence: .84, Rationale: "owns the <line>"}}}
	b.Break("POST /{organization}/{project}/_apis/wit/workitems/{item}", forgetest.Fault{Executed: true, Cut: true})
	if _, err := f.OpenTicket(t.Context(), ticket); !errors.Is(err, connector.ErrInDoubt) {
		t.Errorf("error %v, expected doubt", err)
	}
	receipt, err := f.OpenTicket(t.Context(), ticket)
	if err != nil || receipt.Outcome != "unchanged" || receipt.Number != 1 || len(b.Tickets) != 1 {
		t.Errorf("%+v, %v", receipt, err)
	}
	fields := b.Fields[1]
	if text := fields["System.Description"].(string); fields["System.WorkItemType"] != "Issue" || fields["System.Tags"] != "security; backstitch" || !strings.Contains(text, "&lt;wrong&gt; &amp; where") || !strings.Contains(text, "ada (84 %): owns the &lt;line&gt;") {
		t.Errorf("fields %v", fields)
	}
	ticket.Title = "Raise left, please"
	if receipt, err := f.OpenTicket(t.Context(), ticket); err != nil || receipt.Outcome != "updated" || fields["System.Title"] != ticket.Title || !strings.HasSuffix(receipt.URL, "/_workitems/edit/1") {
		t.Errorf("%+v, %v", receipt, err)
	}
	for key, want := range map[string]int{"bs-1": 1, "bs-2": 0} {
		if number, err := f.FindTicket(t.Context(), b.remote(), key); err != nil || number != want {
			t.Errorf("%s: found %d, %v", key, number, err)
		}
	}
	for _, to := range []connector.Delegation{{Mode: connector.DelegateLabel, Agent: "fix-me"}, {Mode: connector.DelegateMention, Agent: "claude", Text: "please & thanks"}, {Mode: connector.DelegateAssign, Agent: "Lin"}} {
		for i := range 2 {
			receipt, err := f.Delegate(t.Context(), b.remote(), 1, to)
			if err != nil || i == 1 && receipt.Outcome != "unchanged" {
				t.Errorf("%s: %+v, %v", to.Mode, receipt, err)
			}
		}
	}
	if comments := b.Comments[forgetest.AzureTickets+1]; len(comments) != 1 || !strings.Contains(comments[0].Body, "@claude") || fields["System.Tags"] != "security; backstitch; fix-me" {
		t.Errorf("%d comments, fields %v", len(comments), fields)
	}
	for to, want := range map[connector.Delegation]error{{Mode: connector.DelegateAssign, Agent: "ada"}: connector.ErrRefused, {Mode: connector.DelegateREST}: connector.ErrRefused} {
		if _, err := f.Delegate(t.Context(), b.remote(), 1, to); !errors.Is(err, want) {
			t.Errorf("%+v: %v", to, err)
		}
	}
	made, err := f.Propose(t.Context(), b.change(b.head(), "x\n"))
	if err != nil {
		t.Fatal(err)
	}
	b.Relations[1] = []string{"vstfs:///Git/PullRequestId/" + forgetest.AzureProject + "%2F" + forgetest.AzureRepository + "%2F1", "vstfs:///Git/PullRequestId/" + forgetest.AzureProject + "%2Fanother%2F2", "vstfs:///Git/Commit/x", "https://elsewhere.test/1"}
	list, err := f.Linked(t.Context(), b.remote(), 1)
	if err != nil || len(list) != 1 || list[0].Number != 1 || list[0].Head != made.Commit || list[0].Branch != "backstitch/left-0123" {
		t.Errorf("linked %+v, %v", list, err)
	}
}

func TestATicketIsFoundAmongMany(t *testing.T) {
	b := newBench(t)
	f := b.forge()
	for _, key := range []string{"bs-first", "bs-last"} {
		if _, err := f.OpenTicket(t.Context(), connector.Ticket{Remote: b.remote(), Key: key, Title: "t", Body: keyTrailer + ": " + key}); err != nil {
			t.Fatal(err)
		}
		for range 210 {
			n := len(b.Tickets) + 1
			b.Tickets = append(b.Tickets, &forgetest.GitHubTicket{Number: n})
			b.Fields[n] = maps.Clone(b.Fields[1])
			b.Fields[n]["System.Description"] = "<div>somebody wrote over it</div>"
		}
	}
	if number, err := f.FindTicket(t.Context(), b.remote(), "bs-first"); err != nil || number != 1 {
		t.Errorf("found %d, %v", number, err)
	}
}

func TestWebhooksAreJudgedBeforeTheyAreRead(t *testing.T) {
	f, err := New(nil).Forge(connector.Values{"address": "https://dev.azure.com", "work-item-type": "Issue"})
	if err != nil {
		t.Fatal(err)
	}
	hooks := f.(connector.HookReader)
	basic := func(text string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(text)) }
	body := func(kind, resource string) []byte {
		return []byte(`{"id":"d1","eventType":"` + kind + `","resource":` + resource + `}`)
	}
	const pull = `{"pullRequestId":3,"sourceRefName":"refs/heads/backstitch/x","repository":{"remoteUrl":"https://acme@dev.azure.com/acme/Web%20Shop/_git/shop"}}`
	request := connector.HookRequest{Body: body("git.pullrequest.merged", pull), Header: map[string]string{"content-type": "application/json; charset=utf-8", "authorization": basic("hook:s")}}
	event, err := hooks.ReadHook("s", request)
	if err != nil || event.ID != "d1" || event.Kind != "pull_request" || event.Number != 3 || event.Branch != "backstitch/x" || event.Remote != "https://dev.azure.com/acme/Web%20Shop/_git/shop" {
		t.Errorf("%+v, %v", event, err)
	}
	for _, c := range []struct {
		kind, resource string
		want           connector.Event
	}{
		{"git.push", `{"repository":{"remoteUrl":"https://acme.visualstudio.com/shop/_git/shop"},"refUpdates":[{"name":"refs/heads/main"}]}`, connector.Event{Kind: "push", Branch: "main", Remote: "https://dev.azure.com/acme/shop/_git/shop"}},
		{"ms.vss-code.git-pullrequest-comment-event", `{"comment":{},"pullRequest":` + pull + `}`, connector.Event{Kind: "comment", Branch: "backstitch/x", Number: 3, Remote: "https://dev.azure.com/acme/Web%20Shop/_git/shop"}},
		{"workitem.updated", `{"id":5,"workItemId":7}`, connector.Event{Kind: "ticket", Number: 7}},
		{"build.complete", `{"id":5}`, connector.Event{Kind: "check"}},
		{"tfvc.checkin", `{}`, connector.Event{Kind: "other"}},
	} {
		c.want.ID = "d1"
		other := connector.HookRequest{Header: request.Header, Body: body(c.kind, c.resource)}
		if event, err := hooks.ReadHook("s", other); err != nil || event != c.want {
			t.Errorf("%s: %+v, %v", c.kind, event, err)
		}
	}
	for name, change := range map[string]func(*connector.HookRequest){
		"another secret":  func(r *connector.HookRequest) { r.Header["authorization"] = basic("hook:t") },
		"no credentials":  func(r *connector.HookRequest) { delete(r.Header, "authorization") },
		"a bearer":        func(r *connector.HookRequest) { r.Header["authorization"] = "Bearer s" },
		"no password":     func(r *connector.HookRequest) { r.Header["authorization"] = basic("s") },
		"not JSON":        func(r *connector.HookRequest) { r.Body = []byte("x") },
		"a form":          func(r *connector.HookRequest) { r.Header["content-type"] = "application/x-www-form-urlencoded" },
		"too large":       func(r *connector.HookRequest) { r.Body = make([]byte, maxHook+1) },
		"not base64 text": func(r *connector.HookRequest) { r.Header["authorization"] = "Basic *" },
	} {
		bad := connector.HookRequest{Body: request.Body, Header: maps.Clone(request.Header)}
		change(&bad)
		if _, err := hooks.ReadHook("s", bad); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := hooks.ReadHook("", connector.HookRequest{Body: request.Body, Header: map[string]string{"content-type": "application/json", "authorization": basic("hook:")}}); err == nil {
		t.Error("an empty secret judges nothing")
	}
}

func TestOnlyItsOwnRemotesAreServed(t *testing.T) {
	for address, remotes := range map[string]map[string]string{
		"https://dev.azure.com": {
			"https://dev.azure.com/acme/Web%20Shop/_git/shop": "acme/Web Shop/shop", "https://acme@dev.azure.com/acme/web/_git/shop": "acme/web/shop", "https://dev.azure.com/acme/_git/shop": "acme/shop/shop",
			"git@ssh.dev.azure.com:v3/acme/Web%20Shop/shop": "acme/Web Shop/shop", "ssh://git@ssh.dev.azure.com/v3/acme/web/shop": "acme/web/shop", "acme@vs-ssh.visualstudio.com:v3/acme/web/shop": "acme/web/shop",
			"https://acme.visualstudio.com/web/_git/shop": "acme/web/shop", "https://acme.visualstudio.com/DefaultCollection/web/_git/shop": "acme/web/shop", "https://acme.visualstudio.com/_git/shop": "acme/shop/shop",
			"https://dev.azure.com.evil.test/acme/web/_git/shop": "", "https://evil.test/acme/web/_git/shop": "", "https://dev.azure.com/acme/web/shop": "", "https://dev.azure.com/acme/web/_git/a/b": "", "https://dev.azure.com/acme/..%2Fx/_git/shop": "",
			"git@ssh.dev.azure.com:v2/acme/web/shop": "", "https://dev.azure.com/../web/_git/shop": "", "/srv/shop": "", "": "", "git@ssh.dev.azure.com:v3/acme/web/%zz": "", "https://github.com/acme/shop": "",
		},
		"https://tfs.acme.test/tfs": {"https://tfs.acme.test/tfs/Main/web/_git/shop": "Main/web/shop", "https://dev.azure.com/acme/web/_git/shop": "", "https://acme.visualstudio.com/web/_git/shop": "", "https://tfs.acme.test/other/Main/web/_git/shop": ""},
	} {
		f, err := New(nil).Forge(connector.Values{"address": address, "token": "env:T", "work-item-type": "Issue"})
		if err != nil {
			t.Fatal(err)
		}
		for remote, want := range remotes {
			at, ok := f.(forge).repository(remote)
			if got := at.String(); ok != (want != "") || ok && got != want || f.Serves(remote) != ok {
				t.Errorf("%q: %v %v, expected %q", remote, got, ok, want)
			}
		}
	}
}

func (b *bench) estate() {
	list := func(values ...map[string]any) forgetest.Handler {
		return b.Allowed(func(w http.ResponseWriter, r *http.Request, _ map[string]string) { b.List(w, r, values) })
	}
	b.On("GET /{organization}/_apis/projects", list(map[string]any{"name": "Web Shop", "state": "wellFormed", "visibility": "private"}, map[string]any{"name": "Old", "state": "deleting"}))
	b.On("GET /{organization}/{project}/_apis/git/repositories", list(b.RepositoryJSON()))
	scope := []map[string]string{{"repositoryId": forgetest.AzureRepository}}
	b.On("GET /{organization}/{project}/_apis/policy/configurations", list(
		map[string]any{"id": 1, "isEnabled": true, "settings": map[string]any{"requiredReviewerIds": []string{"ID-PLATFORM"}, "scope": scope}},
		map[string]any{"id": 2, "isEnabled": true, "settings": map[string]any{"requiredReviewerIds": []string{"id-ada", "id-nobody"}, "filenamePatterns": []string{"/deploy/*"}, "scope": scope}},
		map[string]any{"id": 3, "isEnabled": false, "settings": map[string]any{"requiredReviewerIds": []string{"id-off"}, "scope": scope}}))
}

func TestProjectsRepositoriesTeamsAndReviewersAreRead(t *testing.T) {
	b := newBench(t)
	b.estate()
	r := &connectortest.Recorder{}
	if err := b.source().Sync(t.Context(), b.values("projects", "acme/Web Shop"), r); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(r.Lines(), "\n")
	host := strings.TrimPrefix(b.URL, "http://")
	for _, want := range []string{host + "/acme/Web Shop/_git/shop", "@acme/Web Shop/Platform", "ada@example.org", "member_of", "part_of", "required reviewer by branch policy", "/deploy/*", "policy 2 asks a reviewer who is in no team", "covered owners acme/Web Shop"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if len(r.Claims) != 2 || strings.Contains(text, "acme/Old") {
		t.Errorf("%d claims in\n%s", len(r.Claims), text)
	}
}

func TestAPartThatFailsIsAGapAndIsReadByTheNextRun(t *testing.T) {
	b := newBench(t)
	b.estate()
	b.Break("GET /{organization}/_apis/projects/{project}/teams/{teamId}/members", forgetest.Fault{Status: 403, Body: `{"message":"VS403xxx: not allowed"}`})
	r := &connectortest.Recorder{}
	if err := b.source().Sync(t.Context(), b.values(), r); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(r.Lines(), "\n"); len(r.Gaps) != 1 || !strings.Contains(text, "not allowed") || !strings.Contains(text, "_git/shop") {
		t.Errorf("%s", text)
	}
	resumed := &connectortest.Recorder{Skip: map[string]bool{}}
	for _, scope := range r.Complete {
		resumed.Skip[scope] = true
	}
	if err := b.source().Sync(t.Context(), b.values(), resumed); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(resumed.Complete, []string{"owners acme/Web Shop"}) || len(resumed.Claims) != 2 {
		t.Errorf("the resumed run covered %v, %d claims", resumed.Complete, len(resumed.Claims))
	}
}

func TestConformance(t *testing.T) {
	b := newBench(t)
	b.estate()
	connectortest.Conformance(t, b.source(), b.values())
}
