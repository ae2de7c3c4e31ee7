package gitea

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
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

// live is a running Gitea behind a proxy that loses answers, and a clone of its
// repository.
type live struct {
	forge
	t       *testing.T
	address string
	tokens  []string // of backstitch, ada, mallory
	proxy   *httptest.Server
	remote  string
	local   string

	mu     sync.Mutex
	lost   map[string]bool // "POST branches": the answer to the next one is lost
	before map[string]func()
}

// calls names a request by its method and what of a repository it is about.
func calls(r *http.Request) string {
	parts := strings.Split(strings.TrimPrefix(r.URL.Path, apiPath+"/repos/acme/shop/"), "/")
	return r.Method + " " + parts[0]
}

func (l *live) serve(to *httputil.ReverseProxy) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		name := calls(r)
		l.mu.Lock()
		lost, before := l.lost[name], l.before[name]
		delete(l.lost, name)
		delete(l.before, name)
		l.mu.Unlock()
		if before != nil {
			before()
		}
		if !lost {
			to.ServeHTTP(w, r)
			return
		}
		to.ServeHTTP(httptest.NewRecorder(), r)
		panic(http.ErrAbortHandler)
	}
}

// call asks the server itself, as one of its users.
func (l *live) call(who int, method, way string, body, into any) int {
	l.t.Helper()
	data, err := json.Marshal(body)
	if err != nil {
		l.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(l.t.Context(), method, l.address+apiPath+way, bytes.NewReader(data))
	if err != nil {
		l.t.Fatal(err)
	}
	request.Header.Set("Authorization", "token "+l.tokens[who])
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		l.t.Fatal(err)
	}
	defer response.Body.Close()
	if data, err = io.ReadAll(response.Body); err != nil {
		l.t.Fatal(err)
	}
	if into != nil {
		if err := json.Unmarshal(data, into); err != nil || response.StatusCode >= 300 {
			l.t.Fatalf("%s %s: %d %s", method, way, response.StatusCode, data)
		}
	}
	return response.StatusCode
}

func (l *live) must(who int, method, way string, body any) {
	l.t.Helper()
	if code := l.call(who, method, way, body, nil); code >= 300 {
		l.t.Fatalf("%s %s: %d", method, way, code)
	}
}

func (l *live) in(args ...string) string {
	l.t.Helper()
	command := exec.CommandContext(l.t.Context(), "git", args...)
	command.Dir = l.local
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org"}
	out, err := command.CombinedOutput()
	if err != nil {
		l.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (l *live) write(name, text string) {
	l.t.Helper()
	if err := os.WriteFile(filepath.Join(l.local, name), []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
}

func (l *live) change(branch, text string) connector.Proposal {
	l.t.Helper()
	repository, err := git.Open(l.t.Context(), l.local)
	if err != nil {
		l.t.Fatal(err)
	}
	defer repository.Close()
	base := l.in("rev-parse", "HEAD")
	key := "bs-" + branch
	title, body := "fix: "+branch, "Closes it.\n\n"+keyTrailer+": "+key+"\n"
	commit, err := repository.Commit(l.t.Context(), base, map[string][]byte{"go.mod": []byte(text), "sub/" + branch: {0, 255, 10}, "old.txt": nil}, title+"\n\n"+body, git.Signature{Name: "Backstitch", Email: "b@example.org", When: forgetest.Start})
	if err != nil {
		l.t.Fatal(err)
	}
	return connector.Proposal{
		Repository: l.local, Remote: l.remote, Branch: "backstitch/" + branch, Base: base, Commit: commit, Key: key, Title: title, Body: body,
		Labels: []string{"backstitch"}, Reviewers: []connector.Reviewer{{Name: "ada"}, {Name: "acme/platform", Team: true}},
	}
}

func (l *live) place(change connector.Proposal) connector.Place {
	return connector.Place{Repository: l.local, Remote: change.Remote, Branch: change.Branch, Key: change.Key, Base: change.Base}
}

// same checks that the branch holds the change alone, that one pull request is open for
// it, and that no branch beside is left.
func (l *live) same(change connector.Proposal) {
	l.t.Helper()
	l.in("fetch", "-q", "origin", "+refs/heads/"+change.Branch+":refs/remotes/origin/"+change.Branch)
	at := "origin/" + change.Branch
	if l.in("rev-parse", at+"^{tree}") != l.in("rev-parse", change.Commit+"^{tree}") || l.in("rev-parse", at+"^") != change.Base {
		l.t.Errorf("%s holds something else than the change: %s", change.Branch, l.in("log", "--stat", "-2", at))
	}
	var open []pull
	l.call(0, "GET", "/repos/acme/shop/pulls?state=all&limit=50", nil, &open)
	open = slices.DeleteFunc(open, func(p pull) bool { return p.Head.Label != change.Branch })
	if len(open) != 1 || open[0].State != "open" || open[0].Title != change.Title {
		l.t.Errorf("%d pull requests for %s: %+v", len(open), change.Branch, open)
	}
	if code := l.call(0, "GET", "/repos/acme/shop/branches/"+change.Branch+besideSuffix, nil, nil); code != 404 {
		l.t.Errorf("the branch beside %s is still there", change.Branch)
	}
}

// until tries again what a server does in its own time.
func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for range 150 {
		if done() {
			return
		}
		select {
		case <-t.Context().Done():
		case <-time.After(200 * time.Millisecond):
		}
	}
	t.Fatalf("%s: not within 30 seconds", what)
}

func begin(t *testing.T) *live {
	t.Helper()
	address := os.Getenv("BACKSTITCH_GITEA")
	if address == "" {
		t.Skip("BACKSTITCH_GITEA names no running Gitea; make test-gitea starts one")
	}
	l := &live{t: t, address: address, tokens: strings.Split(os.Getenv("BACKSTITCH_GITEA_TOKENS"), ","), local: t.TempDir(), lost: map[string]bool{}, before: map[string]func(){}}
	to, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	l.proxy = httptest.NewServer(l.serve(httputil.NewSingleHostReverseProxy(to)))
	t.Cleanup(l.proxy.Close)
	l.remote = l.proxy.URL + "/acme/shop.git"
	opened, err := newSource().Forge(connector.Values{"address": l.proxy.URL, "token": l.tokens[0]})
	if err != nil {
		t.Fatal(err)
	}
	l.forge = opened.(forge)
	l.must(0, "POST", "/orgs", map[string]any{"username": "acme"})
	l.must(0, "POST", "/orgs/acme/repos", map[string]any{"name": "shop", "default_branch": "main"})
	var team struct{ ID int }
	l.call(0, "POST", "/orgs/acme/teams", map[string]any{"name": "platform", "permission": "write", "units": []string{"repo.code", "repo.issues", "repo.pulls"}}, &team)
	l.must(0, "PUT", fmt.Sprintf("/teams/%d/members/ada", team.ID), nil)
	l.must(0, "PUT", fmt.Sprintf("/teams/%d/repos/acme/shop", team.ID), nil)
	l.in("init", "-q", "-b", "main")
	l.in("remote", "add", "origin", strings.Replace(address, "://", "://ada:"+l.tokens[1]+"@", 1)+"/acme/shop.git")
	l.write("go.mod", "module shop\n\nrequire left v1.0.0\n")
	l.write("old.txt", "old\n")
	l.in("add", "-A")
	l.in("commit", "-q", "-m", "start")
	l.in("push", "-q", "origin", "HEAD:main")
	until(t, "the first push is seen", func() bool {
		var about struct{ Empty bool }
		l.call(0, "GET", "/repos/acme/shop", nil, &about)
		return !about.Empty
	})
	return l
}

func TestThePublishedGitea(t *testing.T) {
	l := begin(t)
	for i, operation := range []string{"", "POST branches", "POST contents", "POST pulls"} {
		change := l.change(fmt.Sprintf("made-%d", i), "module shop\n\nrequire left v1.0.1\n")
		if operation != "" {
			l.lost[operation] = true
			if _, err := l.Propose(t.Context(), change); !errors.Is(err, connector.ErrInDoubt) {
				t.Errorf("%s is lost: %v", operation, err)
			}
		}
		receipt, err := l.Propose(t.Context(), change)
		if err != nil || receipt.Number == 0 || len(receipt.Notes) > 0 {
			t.Errorf("after %q: %+v, %v", operation, receipt, err)
		}
		l.same(change)
		if again, err := l.Propose(t.Context(), change); err != nil || again.Outcome != "unchanged" || again.Commit != receipt.Commit {
			t.Errorf("again: %+v, %v", again, err)
		}
	}
	for i, operation := range []string{"", "POST branches", "POST contents", "PUT branches", "DELETE branches"} {
		later := l.change("made-0", fmt.Sprintf("module shop\n\nrequire left v1.1.%d\n", i))
		if operation != "" {
			l.lost[operation] = true
			if _, err := l.Propose(t.Context(), later); !errors.Is(err, connector.ErrInDoubt) {
				t.Errorf("later form, %s is lost: %v", operation, err)
			}
		}
		if receipt, err := l.Propose(t.Context(), later); err != nil || receipt.Number == 0 {
			t.Errorf("later form after %q: %+v, %v", operation, receipt, err)
		}
		l.same(later)
	}
	l.people()
	l.moved()
	l.life()
	l.tickets()
	l.hooks()
	connectortest.Conformance(t, newSource(), connector.Values{"address": l.proxy.URL, "token": l.tokens[0], "organizations": "acme"})
	r := &connectortest.Recorder{}
	if err := newSource().Sync(t.Context(), connector.Values{"address": l.address, "token": l.tokens[0], "organizations": "acme"}, r); err != nil || len(r.Gaps) > 0 {
		t.Errorf("sync: %v, gaps %v", err, r.Gaps)
	}
	if text := strings.Join(r.Lines(), "\n"); !strings.Contains(text, "/acme/shop") || !strings.Contains(text, "@acme/platform") || !strings.Contains(text, "/ada") {
		t.Errorf("%s", text)
	}
}

// people checks who was asked for a review, and with which labels.
func (l *live) people() {
	t := l.t
	var one struct {
		Labels    []label
		Reviewers []user `json:"requested_reviewers"`
		Teams     []struct {
			Name string
		} `json:"requested_reviewers_teams"`
	}
	l.call(0, "GET", "/repos/acme/shop/pulls/1", nil, &one)
	if len(one.Labels) != 1 || one.Labels[0].Name != "backstitch" || len(one.Reviewers) != 1 || one.Reviewers[0].Login != "ada" || len(one.Teams) != 1 || one.Teams[0].Name != "platform" {
		t.Errorf("dressed as %+v", one)
	}
}

// moved has somebody push while a later form of a change is put in place.
func (l *live) moved() {
	t := l.t
	later := l.change("made-1", "module shop\n\nrequire left v1.9.9\n")
	l.in("fetch", "-q", "origin", "+refs/heads/"+later.Branch+":refs/remotes/origin/"+later.Branch)
	l.before["PUT branches"] = func() {
		l.in("checkout", "-q", "origin/"+later.Branch)
		l.write("theirs.txt", "theirs\n")
		l.in("add", "-A")
		l.in("commit", "-q", "-m", "theirs")
		l.in("push", "-q", "origin", "HEAD:"+later.Branch)
		l.in("checkout", "-q", "main")
	}
	if _, err := l.Propose(t.Context(), later); !errors.Is(err, connector.ErrForeign) {
		t.Errorf("a branch that moves: %v", err)
	}
	standing, err := l.Follow(t.Context(), l.place(later))
	if err != nil || len(standing.Authors) != 1 || !strings.EqualFold(standing.Authors[0], "ada") {
		t.Errorf("commits of others: %+v, %v", standing, err)
	}
}

func (l *live) life() {
	t := l.t
	change := l.change("life", "module shop\n\nrequire left v1.2.0\n")
	change.Draft = true
	receipt, err := l.Propose(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	place := l.place(change)
	if standing, err := l.Follow(t.Context(), place); err != nil || !standing.Draft {
		t.Errorf("draft: %+v, %v", standing, err)
	}
	change.Draft = false
	if _, err := l.Propose(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	for who, text := range map[int]string{1: "/backstitch rebase", 2: "/backstitch ignore"} {
		l.must(who, "POST", fmt.Sprintf("/repos/acme/shop/issues/%d/comments", receipt.Number), map[string]string{"body": text})
	}
	for _, want := range []string{"created", "unchanged"} {
		if got, err := l.Comment(t.Context(), place, "k", "ours"); err != nil || got.Outcome != want {
			t.Errorf("comment: %+v, %v", got, err)
		}
		if got, err := l.Check(t.Context(), l.remote, connector.CheckRun{Commit: receipt.Commit, Name: "backstitch", Conclusion: "failure", Title: "not proven", URL: "https://example.org/1"}); err != nil || got.Outcome != want {
			t.Errorf("status: %+v, %v", got, err)
		}
	}
	standing, err := l.Follow(t.Context(), place)
	if err != nil || standing.State != connector.ChangeOpen || standing.Head != receipt.Commit || standing.Tip != change.Base || standing.Checks != "failure" || standing.Draft || len(standing.Authors) > 0 || len(standing.Comments) != 2 {
		t.Errorf("open: %+v, %v", standing, err)
	}
	for _, one := range standing.Comments {
		if one.Member != (one.Author == "ada") || one.At == 0 {
			t.Errorf("comment %+v", one)
		}
	}
	until(t, "merge", func() bool {
		return l.call(1, "POST", fmt.Sprintf("/repos/acme/shop/pulls/%d/merge", receipt.Number), map[string]any{"Do": "squash"}, nil) == 200
	})
	standing, err = l.Follow(t.Context(), place)
	if err != nil || standing.State != connector.ChangeMerged || standing.Merge == "" || standing.Merge != standing.Tip || standing.By != "ada" || standing.At == 0 {
		t.Errorf("merged: %+v, %v", standing, err)
	}
	conflicting := connector.Place{Remote: l.remote, Branch: "backstitch/made-0", Key: "bs-made-0"}
	until(t, "conflict", func() bool {
		standing, err = l.Follow(t.Context(), conflicting)
		return err == nil && standing.Conflict
	})
	for _, want := range []string{"closed", "unchanged"} {
		if got, err := l.Withdraw(t.Context(), conflicting, standing.Head, "left is gone"); err != nil || got.Outcome != want {
			t.Errorf("withdraw: %+v, %v", got, err)
		}
	}
	if standing, err = l.Follow(t.Context(), conflicting); err != nil || standing.State != connector.ChangeClosed || standing.By != "backstitch" {
		t.Errorf("closed: %+v, %v", standing, err)
	}
}

func (l *live) tickets() {
	t := l.t
	ticket := connector.Ticket{Remote: l.remote, Key: "bs-t", Title: "Raise left", Body: "x\n\n" + keyTrailer + ": bs-t\n", Labels: []string{"security"}, Assignees: []connector.Reviewer{{Name: "ada", Confidence: .9, Rationale: "owns it"}}}
	number := 0
	for _, want := range []string{"created", "unchanged"} {
		receipt, err := l.OpenTicket(t.Context(), ticket)
		if err != nil || receipt.Outcome != want || len(receipt.Notes) > 0 {
			t.Errorf("ticket: %+v, %v", receipt, err)
		}
		number = receipt.Number
	}
	for _, to := range []connector.Delegation{{Mode: connector.DelegateAssign, Agent: "ada"}, {Mode: connector.DelegateLabel, Agent: "fix-me"}, {Mode: connector.DelegateMention, Agent: "claude", Text: "please"}} {
		if _, err := l.Delegate(t.Context(), l.remote, number, to); err != nil {
			t.Errorf("%s: %v", to.Mode, err)
		}
	}
	if _, err := l.Delegate(t.Context(), l.remote, number, connector.Delegation{Mode: connector.DelegateAssign, Agent: "mallory"}); !errors.Is(err, connector.ErrRights) {
		t.Errorf("who may not: %v", err)
	}
	var one struct {
		Labels    []label
		Assignees []user
	}
	l.call(0, "GET", fmt.Sprintf("/repos/acme/shop/issues/%d", number), nil, &one)
	if len(one.Labels) != 3 || len(one.Assignees) != 1 || one.Assignees[0].Login != "ada" {
		t.Errorf("ticket %+v", one)
	}
	var made pull
	l.in("push", "-q", "origin", "origin/backstitch/made-2:refs/heads/agent/fix")
	l.call(1, "POST", "/repos/acme/shop/pulls", map[string]any{"title": "agent's", "body": fmt.Sprintf("Fixes #%d", number), "head": "agent/fix", "base": "main"}, &made)
	list, err := l.Linked(t.Context(), l.remote, number)
	if err != nil || len(list) != 1 || list[0].Number != made.Number || list[0].Branch != "agent/fix" || list[0].State != connector.ChangeOpen {
		t.Errorf("linked: %+v, %v", list, err)
	}
}

func (l *live) hooks() {
	t := l.t
	got := make(chan connector.HookRequest, 10)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		request := connector.HookRequest{Header: map[string]string{}, Body: body}
		for name, values := range r.Header {
			request.Header[strings.ToLower(name)] = values[0]
		}
		got <- request
	}))
	defer receiver.Close()
	l.must(0, "POST", "/repos/acme/shop/hooks", map[string]any{"type": "gitea", "active": true, "events": []string{"push"}, "config": map[string]string{"url": receiver.URL, "content_type": "json", "secret": "s3"}})
	l.in("push", "-q", "origin", "HEAD:refs/heads/hooked")
	select {
	case request := <-got:
		event, err := l.ReadHook("s3", request)
		if err != nil || event.Kind != "push" || event.Branch != "hooked" || event.ID == "" || !l.Serves(event.Remote) {
			t.Errorf("webhook: %+v, %v", event, err)
		}
		if _, err := l.ReadHook("another", request); err == nil {
			t.Error("webhook: another secret is taken")
		}
	case <-time.After(30 * time.Second):
		t.Error("no webhook came")
	}
}
