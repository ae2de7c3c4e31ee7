package github

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
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

// hub is a GitHub with its repository, and a local clone that changes are made in.
type hub struct {
	*forgetest.GitHub
	t     *testing.T
	local string
	waits []time.Duration
	now   time.Time
}

func newHub(t *testing.T) *hub {
	t.Helper()
	dir := t.TempDir()
	bare, local := filepath.Join(dir, "shop.git"), filepath.Join(dir, "shop")
	h := &hub{t: t, local: local, now: start}
	h.in(dir, "init", "-q", "--bare", "-b", "main", bare)
	h.in(dir, "clone", "-q", bare, local)
	h.write("go.mod", "module shop\n\nrequire left v1.0.0\n")
	h.write("old.txt", "old\n")
	h.in(local, "add", "-A")
	h.in(local, "commit", "-q", "-m", "start")
	h.in(local, "push", "-q", "origin", "HEAD:main")
	h.GitHub = forgetest.NewGitHub(t, bare, "acme/shop", start)
	return h
}

func (h *hub) in(dir string, args ...string) string {
	h.t.Helper()
	command := exec.CommandContext(h.t.Context(), "git", args...)
	command.Dir = dir
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org"}
	out, err := command.CombinedOutput()
	if err != nil {
		h.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (h *hub) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.local, name), []byte(text), 0o644); err != nil {
		h.t.Fatal(err)
	}
}

func (h *hub) source() connector.ForgeSource {
	return New(func(_ context.Context, d time.Duration) error { h.waits = append(h.waits, d); return nil }, func() time.Time { return h.now })
}

func (h *hub) values(more ...string) connector.Values {
	values := connector.Values{"address": h.URL + "/api/v3", "token": h.Token, "organizations": "acme", "alerts": "yes"}
	for i := 0; i < len(more); i += 2 {
		values[more[i]] = more[i+1]
	}
	return values
}

func (h *hub) forge(more ...string) forge {
	h.t.Helper()
	f, err := h.source().Forge(h.values(more...))
	if err != nil {
		h.t.Fatal(err)
	}
	return f.(forge)
}

// change makes a commit on a base that gives a file a text and removes another.
func (h *hub) change(base, text string) connector.Proposal {
	h.t.Helper()
	repository, err := git.Open(h.t.Context(), h.local)
	if err != nil {
		h.t.Fatal(err)
	}
	defer repository.Close()
	const key = "bs-0123456789abcdef"
	title, body := "fix: raise left", "Closes it.\n\n"+keyTrailer+": "+key+"\n"
	commit, err := repository.Commit(h.t.Context(), base, map[string][]byte{"go.mod": []byte(text), "old.txt": nil}, title+"\n\n"+body, git.Signature{Name: "Backstitch", Email: "b@example.org", When: start})
	if err != nil {
		h.t.Fatal(err)
	}
	return connector.Proposal{
		Repository: h.local, Remote: h.URL + "/acme/shop.git", Branch: "backstitch/left-0123", Base: base, Commit: commit, Key: key, Title: title, Body: body,
		Labels: []string{"backstitch"}, Reviewers: []connector.Reviewer{{Name: "ada"}, {Name: "acme/platform", Team: true}},
	}
}

func (h *hub) place(change connector.Proposal) connector.Place {
	return connector.Place{Repository: h.local, Remote: change.Remote, Branch: change.Branch, Key: change.Key, Base: change.Base}
}

func TestAChangeIsPublishedOnceWithoutACheckout(t *testing.T) {
	h := newHub(t)
	f := h.forge()
	base := h.in(h.local, "rev-parse", "HEAD")
	change := h.change(base, "module shop\n\nrequire left v1.0.1\n")
	receipt, err := f.Propose(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	if receipt.Outcome != "created" || receipt.Number != 1 || !strings.HasSuffix(receipt.URL, "/pull/1") || len(receipt.Notes) > 0 {
		t.Errorf("receipt %+v", receipt)
	}
	if tree := h.Git(nil, "rev-parse", receipt.Commit+"^{tree}"); tree != h.in(h.local, "rev-parse", change.Commit+"^{tree}") {
		t.Error("the commit made by the API has another tree than the change")
	}
	if parent := h.Git(nil, "rev-parse", receipt.Commit+"^"); parent != base {
		t.Errorf("made on %s, expected %s", parent, base)
	}
	p := h.Pulls[0]
	if p.Base != "main" || p.Head != change.Branch || p.Title != change.Title || !slices.Equal(p.Labels, []string{"backstitch"}) || !slices.Equal(p.Reviewers, []string{"ada", "platform"}) {
		t.Errorf("pull request %+v", p)
	}
	again, err := f.Propose(t.Context(), change)
	if err != nil || again.Outcome != "unchanged" || again.Commit != receipt.Commit || len(h.Pulls) != 1 {
		t.Errorf("again: %+v, %v, %d pull requests", again, err, len(h.Pulls))
	}
	later := h.change(base, "module shop\n\nrequire left v1.0.2\n")
	later.Title = "fix: raise left to v1.0.2"
	updated, err := f.Propose(t.Context(), later)
	if err != nil || updated.Outcome != "updated" || updated.Number != 1 || h.Pulls[0].Title != later.Title {
		t.Errorf("later form: %+v, %v", updated, err)
	}
	if text := h.Git(nil, "show", change.Branch+":go.mod"); !strings.Contains(text, "v1.0.2") || h.Git(nil, "rev-list", "--count", "main.."+change.Branch) != "1" {
		t.Errorf("the branch holds %q in more than one commit", text)
	}
	if _, err := exec.Command("git", "--git-dir", h.Dir, "rev-parse", "--verify", "--quiet", change.Branch+"-next").Output(); err == nil {
		t.Error("the branch beside is still there")
	}
}

func TestWhatBreaksInTheMiddleIsTakenUpAgain(t *testing.T) {
	for name, breaks := range map[string]string{
		"the answer to the branch is lost": "POST /repos/{owner}/{repo}/git/refs", "the answer to the commit is lost": "POST /api/graphql", "the answer to the pull request is lost": "POST /repos/{owner}/{repo}/pulls",
	} {
		for fault, one := range map[string]forgetest.Fault{
			"cut": {Executed: true, Cut: true}, "502": {Executed: true, Status: 502}, "not executed": {Status: 503},
		} {
			t.Run(name+", "+fault, func(t *testing.T) {
				h := newHub(t)
				f := h.forge()
				change := h.change(h.in(h.local, "rev-parse", "HEAD"), "module shop\n\nrequire left v1.0.1\n")
				h.Break(breaks, one)
				if _, err := f.Propose(t.Context(), change); !errors.Is(err, connector.ErrInDoubt) {
					t.Fatalf("error %v, expected doubt", err)
				}
				receipt, err := f.Propose(t.Context(), change)
				if err != nil || receipt.Number != 1 || len(h.Pulls) != 1 || h.Git(nil, "rev-list", "--count", "main.."+change.Branch) != "1" {
					t.Errorf("%+v, %v, %d pull requests", receipt, err, len(h.Pulls))
				}
			})
		}
	}
}

func TestRefusalsHaveNames(t *testing.T) {
	for name, test := range map[string]struct {
		do   func(h *hub)
		want error
	}{
		"archived":            {func(h *hub) { h.Archived = true }, connector.ErrArchived},
		"a fork would be due": {func(h *hub) { h.NoPush = true }, connector.ErrRights},
		"protected":           {func(h *hub) { h.Protected = "backstitch/" }, connector.ErrProtected},
		"bad credentials":     {func(h *hub) { h.Token = "another" }, connector.ErrRights},
		"gone":                {func(h *hub) { h.Name = "acme/elsewhere" }, connector.ErrGone},
		"secondary limit": {func(h *hub) {
			h.Break("POST /repos/{owner}/{repo}/git/refs", forgetest.Fault{Status: 403, Header: map[string]string{"Retry-After": "90"}, Body: `{"message":"You have exceeded a secondary rate limit."}`})
		}, connector.ErrLimited},
		"limit used up": {func(h *hub) {
			h.Break("POST /repos/{owner}/{repo}/pulls", forgetest.Fault{Status: 429, Header: map[string]string{"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "4102444800"}})
		}, connector.ErrLimited},
		"a base that is not there": {func(h *hub) {
			h.Break("POST /repos/{owner}/{repo}/git/refs", forgetest.Fault{Status: 422, Body: `{"message":"Object does not exist"}`})
		}, connector.ErrMoved},
		"a draft that is not taken": {func(h *hub) { h.NoDrafts = true }, connector.ErrRefused},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t)
			f := h.forge()
			change := h.change(h.in(h.local, "rev-parse", "HEAD"), "x\n")
			change.Draft = name == "a draft that is not taken"
			test.do(h)
			_, err := f.Propose(t.Context(), change)
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, expected %v", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), "secret-token") {
				t.Error("the error tells the token")
			}
			var limit *connector.LimitError
			if errors.As(err, &limit) && (limit.After < time.Minute || limit.After > 24*time.Hour) {
				t.Errorf("to come back after %v", limit.After)
			}
		})
	}
}

func TestABranchOfOthersIsLeftAsItIs(t *testing.T) {
	h := newHub(t)
	change := h.change(h.in(h.local, "rev-parse", "HEAD"), "x\n")
	h.write("theirs.txt", "theirs\n")
	h.in(h.local, "add", "-A")
	h.in(h.local, "commit", "-q", "-m", "theirs")
	h.in(h.local, "push", "-q", "origin", "HEAD:"+change.Branch)
	before := h.Git(nil, "rev-parse", change.Branch)
	if _, err := h.forge().Propose(t.Context(), change); !errors.Is(err, connector.ErrForeign) {
		t.Errorf("error %v", err)
	}
	if h.Git(nil, "rev-parse", change.Branch) != before || len(h.Pulls) > 0 {
		t.Error("the branch was touched")
	}
}

func TestStrangersAsReviewersAreANote(t *testing.T) {
	h := newHub(t)
	h.Strangers = []string{"ada"}
	receipt, err := h.forge().Propose(t.Context(), h.change(h.in(h.local, "rev-parse", "HEAD"), "x\n"))
	if err != nil || len(receipt.Notes) != 1 || !strings.Contains(receipt.Notes[0], "ada") || !slices.Equal(h.Pulls[0].Reviewers, []string{"platform"}) {
		t.Errorf("%+v, %v, %v", receipt, err, h.Pulls[0].Reviewers)
	}
}

func TestAChangeIsFollowedToItsEnd(t *testing.T) {
	h := newHub(t)
	f := h.forge()
	base := h.in(h.local, "rev-parse", "HEAD")
	change := h.change(base, "module shop\n\nrequire left v1.0.1\n")
	if _, err := f.Follow(t.Context(), h.place(change)); !errors.Is(err, connector.ErrNoChange) {
		t.Errorf("before: %v", err)
	}
	receipt, err := f.Propose(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	h.Say(1, "ada", "MEMBER", "/backstitch rebase")
	h.Say(1, "mallory", "NONE", "/backstitch ignore")
	h.Say(1, "ci[bot]", "NONE", "built")
	h.Runs = append(h.Runs, map[string]any{"id": 1, "name": "test", "status": "completed", "conclusion": "success", "head_sha": receipt.Commit})
	standing, err := f.Follow(t.Context(), h.place(change))
	if err != nil {
		t.Fatal(err)
	}
	if standing.State != connector.ChangeOpen || standing.Head != receipt.Commit || standing.Tip != base || standing.Target != "main" || standing.Checks != "success" || len(standing.Authors) > 0 || len(standing.Comments) != 2 || !standing.Comments[0].Member || standing.Comments[1].Member {
		t.Errorf("open: %+v", standing)
	}
	merge := h.MergePull(1, "ada", true)
	standing, err = f.Follow(t.Context(), h.place(change))
	if err != nil || standing.State != connector.ChangeMerged || standing.Merge != merge || standing.By != "ada" || standing.At == 0 {
		t.Errorf("merged: %+v, %v", standing, err)
	}
}

func TestCommitsOfOthersAreNamed(t *testing.T) {
	h := newHub(t)
	f := h.forge()
	change := h.change(h.in(h.local, "rev-parse", "HEAD"), "x\n")
	if _, err := f.Propose(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	h.in(h.local, "fetch", "-q", "origin", change.Branch)
	h.in(h.local, "checkout", "-q", "FETCH_HEAD")
	h.write("go.mod", "y\n")
	h.in(h.local, "commit", "-q", "-am", "more")
	h.in(h.local, "push", "-q", "origin", "HEAD:"+change.Branch)
	standing, err := f.Follow(t.Context(), h.place(change))
	if err != nil || !slices.Equal(standing.Authors, []string{"ada"}) {
		t.Errorf("%+v, %v", standing, err)
	}
	if _, err := f.Withdraw(t.Context(), h.place(change), standing.Head+"0", "x"); !errors.Is(err, connector.ErrForeign) {
		t.Errorf("withdraw: %v", err)
	}
}

func TestAnOvertakenChangeIsClosedWithItsReason(t *testing.T) {
	h := newHub(t)
	f := h.forge()
	change := h.change(h.in(h.local, "rev-parse", "HEAD"), "x\n")
	receipt, err := f.Propose(t.Context(), change)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"closed", "unchanged"} {
		got, err := f.Withdraw(t.Context(), h.place(change), receipt.Commit, "left is gone")
		if err != nil || got.Outcome != want {
			t.Errorf("%+v, %v, expected %s", got, err, want)
		}
	}
	if h.Pulls[0].State != "closed" || len(h.Comments[1]) != 1 || !strings.Contains(h.Comments[1][0].Body, "left is gone") {
		t.Errorf("%+v, comments %d", h.Pulls[0], len(h.Comments[1]))
	}
	standing, err := f.Follow(t.Context(), h.place(change))
	if err != nil || standing.State != connector.ChangeClosed {
		t.Errorf("%+v, %v", standing, err)
	}
}

func TestOneCommentIsKeptUpToDate(t *testing.T) {
	h := newHub(t)
	f := h.forge()
	change := h.change(h.in(h.local, "rev-parse", "HEAD"), "x\n")
	if _, err := f.Propose(t.Context(), change); err != nil {
		t.Fatal(err)
	}
	for range 120 { // so that the comment is looked for on a second page, too
		h.Say(1, "ada", "MEMBER", "hm")
	}
	for _, step := range [][2]string{{"one", "created"}, {"one", "unchanged"}, {"two", "updated"}} {
		receipt, err := f.Comment(t.Context(), h.place(change), "k", step[0])
		if err != nil || receipt.Outcome != step[1] {
			t.Errorf("%s: %+v, %v", step[0], receipt, err)
		}
	}
	if len(h.Comments[1]) != 121 || !strings.HasSuffix(h.Comments[1][120].Body, "two") {
		t.Errorf("%d comments", len(h.Comments[1]))
	}
}

func TestChecksAreWrittenOnce(t *testing.T) {
	h := newHub(t)
	commit := h.Git(nil, "rev-parse", "main")
	run := connector.CheckRun{Commit: commit, Name: "backstitch", Conclusion: "failure", Title: "not proven", Summary: "x"}
	if _, err := h.forge().Check(t.Context(), h.URL+"/acme/shop", run); err != nil {
		t.Fatal(err)
	}
	if list := h.Statuses[commit]; len(list) != 1 || list[0]["state"] != "failure" || list[0]["context"] != "backstitch" {
		t.Errorf("statuses %v", list)
	}
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	h.On("GET /repos/{owner}/{repo}/installation", func(w http.ResponseWriter, r *http.Request, _ map[string]string) {
		if parts := strings.Split(r.Header.Get("Authorization"), "."); len(parts) != 3 {
			t.Errorf("authorization %q", r.Header.Get("Authorization"))
		}
		forgetest.JSON(w, 200, map[string]any{"id": 5})
	})
	h.On("POST /app/installations/{installation_id}/access_tokens", func(w http.ResponseWriter, _ *http.Request, path map[string]string) {
		asked++
		forgetest.JSON(w, 201, map[string]any{"token": h.Token, "expires_at": h.now.Add(time.Hour).Format(time.RFC3339)})
	})
	pemKey := string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}))
	app := h.forge("token", "", "app", "7", "app-key", pemKey)
	for _, want := range []string{"created", "updated"} {
		receipt, err := app.Check(t.Context(), h.URL+"/acme/shop", run)
		if err != nil || receipt.Outcome != want {
			t.Errorf("%+v, %v", receipt, err)
		}
	}
	h.now = h.now.Add(time.Hour)
	if _, err := app.Check(t.Context(), h.URL+"/acme/shop", run); err != nil || len(h.Runs) != 1 || asked != 2 {
		t.Errorf("%v, %d check runs, %d tokens", err, len(h.Runs), asked)
	}
}

func TestTicketsAreMadeOnceAndHandedOver(t *testing.T) {
	h := newHub(t)
	h.Agents = []string{"copilot-swe-agent"}
	f := h.forge()
	remote := h.URL + "/acme/shop"
	ticket := connector.Ticket{Remote: remote, Key: "bs-1", Title: "Raise left", Body: "What is wrong\n\n" + keyTrailer + ": bs-1\n", Assignees: []connector.Reviewer{{Name: "ada", Confidence: .84, Rationale: "owns the line"}, {Name: "acme/platform", Team: true}}}
	for _, want := range []string{"created", "unchanged"} {
		receipt, err := f.OpenTicket(t.Context(), ticket)
		if err != nil || receipt.Outcome != want || receipt.Number != 1 || len(receipt.Notes) > 0 {
			t.Errorf("%+v, %v", receipt, err)
		}
	}
	if got := h.Tickets[0].Suggested[0]; got["login"] != "ada" || got["confidence"] != "high" || got["suggest"] != true || got["rationale"] != "owns the line" {
		t.Errorf("suggested %v", got)
	}
	if number, err := f.FindTicket(t.Context(), remote, "bs-1"); err != nil || number != 1 {
		t.Errorf("found %d, %v", number, err)
	}
	if number, err := f.FindTicket(t.Context(), remote, "bs-2"); err != nil || number != 0 {
		t.Errorf("found %d, %v", number, err)
	}
	h.Tickets[0].Assigned = []string{"ada"}
	for _, to := range []connector.Delegation{{Mode: connector.DelegateAssign, Agent: "copilot-swe-agent", Target: "main"}, {Mode: connector.DelegateLabel, Agent: "fix-me"}, {Mode: connector.DelegateMention, Agent: "claude", Text: "please"}, {Mode: connector.DelegateREST, Text: "do exactly this"}} {
		if _, err := f.Delegate(t.Context(), remote, 1, to); err != nil {
			t.Errorf("%s: %v", to.Mode, err)
		}
	}
	one := h.Tickets[0]
	if !slices.Equal(one.Assigned, []string{"ada", "copilot-swe-agent"}) || !slices.Contains(one.Labels, "fix-me") || len(h.Comments[1]) != 1 || !strings.Contains(h.Comments[1][0].Body, "@claude please") || len(h.Tasks) != 1 {
		t.Errorf("%+v, %d comments, tasks %v", one, len(h.Comments[1]), h.Tasks)
	}
	if _, err := f.Delegate(t.Context(), remote, 1, connector.Delegation{Mode: connector.DelegateAssign, Agent: "nobody"}); !errors.Is(err, connector.ErrRights) {
		t.Errorf("an agent that is not there: %v", err)
	}
}

func TestWebhooksAreJudgedBeforeTheyAreRead(t *testing.T) {
	h := newHub(t)
	f := h.forge()
	body := []byte(`{"ref":"refs/heads/x","repository":{"full_name":"acme/shop"},"pull_request":{"number":3,"head":{"ref":"backstitch/x"}}}`)
	request := connector.HookRequest{Body: body, Header: map[string]string{"content-type": "application/json", "x-github-event": "pull_request", "x-github-delivery": "d1", "x-hub-signature-256": "sha256=" + sign("s", body)}}
	event, err := f.ReadHook("s", request)
	if err != nil || event.ID != "d1" || event.Kind != "pull_request" || event.Number != 3 || event.Branch != "backstitch/x" || !f.Serves(event.Remote) && event.Remote != "" {
		t.Errorf("%+v, %v", event, err)
	}
	for name, change := range map[string]func(*connector.HookRequest){
		"another secret": func(r *connector.HookRequest) { r.Header["x-hub-signature-256"] = "sha256=" + sign("t", body) },
		"no signature":   func(r *connector.HookRequest) { delete(r.Header, "x-hub-signature-256") },
		"another body":   func(r *connector.HookRequest) { r.Body = append(slices.Clone(body), ' ') },
		"a form":         func(r *connector.HookRequest) { r.Header["content-type"] = "application/x-www-form-urlencoded" },
		"too large":      func(r *connector.HookRequest) { r.Body = make([]byte, maxHook+1) },
	} {
		bad := connector.HookRequest{Body: body, Header: map[string]string{}}
		for k, v := range request.Header {
			bad.Header[k] = v
		}
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
	f, err := New(nil, nil).Forge(connector.Values{"address": "https://api.github.com", "token": "env:T"})
	if err != nil {
		t.Fatal(err)
	}
	for remote, want := range map[string]bool{
		"https://github.com/acme/shop": true, "git@github.com:acme/shop.git": true, "ssh://git@github.com/acme/shop": true, "https://user:pw@github.com/acme/shop.git": true,
		"https://gitlab.com/acme/shop": false, "https://github.com.evil.test/acme/shop": false, "https://github.com/acme": false, "https://github.com/acme/shop/x": false, "/srv/shop": false, "https://github.com/../x": false, "": false,
	} {
		if got := f.Serves(remote); got != want {
			t.Errorf("%q: %v", remote, got)
		}
	}
}

func (h *hub) estate() {
	list := func(values ...map[string]any) forgetest.Handler {
		return func(w http.ResponseWriter, r *http.Request, _ map[string]string) {
			if r.Header.Get("Authorization") != "Bearer "+h.Token {
				forgetest.JSON(w, 401, map[string]string{"message": "Bad credentials"})
				return
			}
			if page := r.URL.Query().Get("page"); page != "" && page != "1" {
				values = nil
			}
			forgetest.JSON(w, 200, values)
		}
	}
	h.On("GET /orgs/{org}/repos", list(map[string]any{"full_name": "acme/shop", "default_branch": "main", "html_url": "u", "topics": []string{"a", "b"}}, map[string]any{"full_name": "acme/old", "archived": true}))
	h.On("GET /orgs/{org}/teams", list(map[string]any{"slug": "platform", "name": "Platform", "parent": map[string]string{"slug": "all"}}))
	h.On("GET /orgs/{org}/teams/{team_slug}/members", list(map[string]any{"login": "ada", "type": "User"}))
	h.On("GET /orgs/{org}/teams/{team_slug}/repos", list(map[string]any{"full_name": "acme/shop", "role_name": "maintain"}, map[string]any{"full_name": "acme/old", "role_name": "pull"}))
	h.On("GET /repos/{owner}/{repo}/dependabot/alerts", list(map[string]any{"number": 1}))
	h.On("GET /repos/{owner}/{repo}/code-scanning/alerts", list())
	h.On("GET /repos/{owner}/{repo}/secret-scanning/alerts", func(w http.ResponseWriter, _ *http.Request, _ map[string]string) {
		forgetest.JSON(w, 404, map[string]string{"message": "Secret scanning is disabled on this repository."})
	})
}

func TestRepositoriesTeamsAndAlertsAreRead(t *testing.T) {
	h := newHub(t)
	h.estate()
	r := &connectortest.Recorder{}
	if err := h.source().Sync(t.Context(), h.values(), r); err != nil {
		t.Fatal(err)
	}
	text := strings.Join(r.Lines(), "\n")
	host := strings.TrimPrefix(h.URL, "http://")
	for _, want := range []string{host + "/acme/shop", "@acme/platform", "github:ada", "member_of", "part_of", "dependabot alerts of acme/shop", "secret-scanning alerts are switched off", "owner"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
	if strings.Contains(text, "alerts acme/old") {
		t.Error("alerts of an archived repository were asked for")
	}
}

func TestAnInterruptedRunGoesOnWithAlerts(t *testing.T) {
	h := newHub(t)
	h.estate()
	r := &connectortest.Recorder{Skip: map[string]bool{"teams acme": true, "repositories acme": true}}
	if err := h.source().Sync(t.Context(), h.values(), r); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(r.Lines(), "\n"); !strings.Contains(text, "dependabot alerts of acme/shop") {
		t.Errorf("%s", text)
	}
}

func TestAPartThatFailsIsAGap(t *testing.T) {
	h := newHub(t)
	h.estate()
	h.Break("GET /orgs/{org}/teams/{team_slug}/members", forgetest.Fault{Status: 403, Body: `{"message":"Must have admin rights"}`})
	r := &connectortest.Recorder{}
	if err := h.source().Sync(t.Context(), h.values(), r); err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(r.Lines(), "\n"); !strings.Contains(text, "Must have admin rights") || !strings.Contains(text, "/acme/shop") {
		t.Errorf("%s", text)
	}
}

func TestConformance(t *testing.T) {
	h := newHub(t)
	h.estate()
	connectortest.Conformance(t, h.source(), h.values())
}

func sign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}
