package forgetest

import (
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
)

// Start is the time at which the servers of the suite begin.
var Start = time.Date(2026, 3, 2, 8, 0, 0, 0, time.UTC)

// Whole is a forge that does everything which the contract names.
type Whole interface {
	connector.OpenForge
	connector.Follower
	connector.Commenter
	connector.CheckWriter
	connector.Tracker
	connector.HookReader
}

// Case is a forge and the server that it asks.
type Case struct {
	*GitHub        // what the server holds
	Forge   Whole  // with the token of the server
	Remote  string // URL of the repository
	// Making and Moving are the operations by which a change is brought out, and by which
	// a later form of it is; the answer of each is lost in turn.
	Making, Moving []string
	// Meanwhile is the last operation before whose answer a push of somebody else is seen,
	// while a later form is brought out.
	Meanwhile string
	// Teams says that teams are asked for reviews.
	Teams bool
	// Mistaken answers as the server does when the base is not there.
	Mistaken func()
	local    string
	t        *testing.T
}

const suiteKey = "bs-0123456789abcdef"

// Life checks what every forge must hold from the publication of a change to its end, on
// servers that open makes for a bare repository.
func Life(t *testing.T, open func(t *testing.T, bare string) *Case) {
	for name, test := range map[string]func(c *Case){
		"a change is published once without a checkout":       published,
		"a draft becomes ready":                               drafted,
		"a branch of others is left as it is":                 foreign,
		"a branch that moves meanwhile is left as it is":      moving,
		"strangers as reviewers are a note":                   strangers,
		"a change is followed to its end":                     followed,
		"a change that was closed is published anew":          reopened,
		"commits of others are named":                         named,
		"an overtaken change is closed with its reason":       overtaken,
		"one comment is kept up to date":                      commented,
		"a status is said once":                               checked,
		"tickets are made once and handed over":               ticketed,
		"what is linked to a ticket is found":                 linked,
		"a base that is not there is told from other refusal": based,
	} {
		t.Run(name, func(t *testing.T) { test(begin(t, open)) })
	}
	t.Run("what breaks in the middle is taken up again", func(t *testing.T) { broken(t, open) })
	t.Run("refusals have names", func(t *testing.T) { refused(t, open) })
}

// begin makes a bare repository with two files, a clone of it, and the forge.
func begin(t *testing.T, open func(t *testing.T, bare string) *Case) *Case {
	t.Helper()
	dir := t.TempDir()
	bare, local := filepath.Join(dir, "shop.git"), filepath.Join(dir, "shop")
	c := &Case{t: t, local: local}
	c.in(dir, "init", "-q", "--bare", "-b", "main", bare)
	c.in(dir, "clone", "-q", bare, local)
	c.write("go.mod", "module shop\n\nrequire left v1.0.0\n")
	c.write("old.txt", "old\n")
	c.in(local, "add", "-A")
	c.in(local, "commit", "-q", "-m", "start")
	c.in(local, "push", "-q", "origin", "HEAD:main")
	opened := open(t, bare)
	opened.t, opened.local = t, local
	return opened
}

func (c *Case) in(dir string, args ...string) string {
	c.t.Helper()
	command := exec.CommandContext(c.t.Context(), "git", args...)
	command.Dir = dir
	command.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.DevNull, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_AUTHOR_NAME=Ada", "GIT_AUTHOR_EMAIL=ada@example.org", "GIT_COMMITTER_NAME=Ada", "GIT_COMMITTER_EMAIL=ada@example.org"}
	out, err := command.CombinedOutput()
	if err != nil {
		c.t.Fatalf("git %v: %v: %s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

func (c *Case) write(name, text string) {
	c.t.Helper()
	if err := os.WriteFile(filepath.Join(c.local, name), []byte(text), 0o644); err != nil {
		c.t.Fatal(err)
	}
}

// change makes a commit on the clone's commit that gives a file a text, adds one and
// removes one.
func (c *Case) change(text string) connector.Proposal {
	c.t.Helper()
	repository, err := git.Open(c.t.Context(), c.local)
	if err != nil {
		c.t.Fatal(err)
	}
	defer repository.Close()
	base := c.in(c.local, "rev-parse", "HEAD")
	// A line of a report that some forges would take for a command.
	title, body := "fix: raise left", "Closes `left`: /close\n\n/close\n\nBackstitch-Key: "+suiteKey+"\n"
	commit, err := repository.Commit(c.t.Context(), base, map[string][]byte{"go.mod": []byte(text), "sub/new.bin": {0, 255, 10}, "old.txt": nil}, title+"\n\n"+body, git.Signature{Name: "Backstitch", Email: "b@example.org", When: Start})
	if err != nil {
		c.t.Fatal(err)
	}
	return connector.Proposal{
		Repository: c.local, Remote: c.Remote, Branch: "backstitch/left-0123", Base: base, Commit: commit, Key: suiteKey, Title: title, Body: body,
		Labels: []string{"backstitch"}, Reviewers: []connector.Reviewer{{Name: "ada"}},
	}
}

func (c *Case) place(change connector.Proposal) connector.Place {
	return connector.Place{Repository: c.local, Remote: change.Remote, Branch: change.Branch, Key: change.Key, Base: change.Base}
}

func (c *Case) propose(change connector.Proposal) connector.Receipt {
	c.t.Helper()
	receipt, err := c.Forge.Propose(c.t.Context(), change)
	if err != nil {
		c.t.Fatal(err)
	}
	return receipt
}

// same checks that the server's branch holds exactly the change, in one commit, and that
// nothing else of ours is there.
func (c *Case) same(change connector.Proposal) {
	c.t.Helper()
	if theirs, ours := c.Git(nil, "rev-parse", change.Branch+"^{tree}"), c.in(c.local, "rev-parse", change.Commit+"^{tree}"); theirs != ours {
		c.t.Errorf("the branch holds another tree than the change: %s", c.Git(nil, "diff", "--stat", "main", change.Branch))
	}
	if parent := c.Git(nil, "rev-parse", change.Branch+"^"); parent != change.Base {
		c.t.Errorf("made on %s, expected %s", parent, change.Base)
	}
	if branches := c.Git(nil, "for-each-ref", "--format=%(refname:short)", "refs/heads"); branches != change.Branch+"\nmain" {
		c.t.Errorf("branches %q", branches)
	}
	if open := slices.IndexFunc(c.Pulls, func(p *Pull) bool { return p.State == "open" }); open != len(c.Pulls)-1 || len(c.Pulls) != 1 {
		c.t.Errorf("%d changes", len(c.Pulls))
	}
}

func published(c *Case) {
	change := c.change("module shop\n\nrequire left v1.0.1\n")
	if c.Teams {
		change.Reviewers = append(change.Reviewers, connector.Reviewer{Name: "acme/platform", Team: true})
	}
	receipt := c.propose(change)
	if receipt.Outcome != "created" || receipt.Number != 1 || !strings.HasSuffix(receipt.URL, "/1") || len(receipt.Notes) > 0 || receipt.Commit != c.Git(nil, "rev-parse", change.Branch) {
		c.t.Errorf("receipt %+v", receipt)
	}
	c.same(change)
	p := c.Pulls[0]
	if p.Base != "main" || p.Head != change.Branch || p.Title != change.Title || !strings.Contains(p.Body, "`left`: /close") || git.Trailer(p.Body, "Backstitch-Key") != change.Key || !slices.Equal(p.Labels, change.Labels) || len(p.Reviewers) != len(change.Reviewers) {
		c.t.Errorf("pull request %+v", p)
	}
	if again := c.propose(change); again.Outcome != "unchanged" || again.Commit != receipt.Commit {
		c.t.Errorf("again: %+v", again)
	}
	later := c.change("module shop\n\nrequire left v1.0.2\n")
	later.Title = "fix: raise left to v1.0.2"
	if updated := c.propose(later); updated.Outcome != "updated" || updated.Number != 1 || p.Title != later.Title {
		c.t.Errorf("later form: %+v", updated)
	}
	c.same(later)
	c.write("go.mod", "module shop\n\nrequire left v1.0.0\n\nrequire right v1.0.0\n")
	c.in(c.local, "commit", "-q", "-am", "more")
	c.in(c.local, "push", "-q", "origin", "HEAD:main")
	moved := c.change("module shop\n\nrequire left v1.0.2\n\nrequire right v1.0.0\n")
	if updated := c.propose(moved); updated.Outcome != "updated" {
		c.t.Errorf("on a base that moved: %+v", updated)
	}
	c.same(moved)
}

func drafted(c *Case) {
	change := c.change("x\n")
	change.Draft = true
	receipt := c.propose(change)
	standing, err := c.Forge.Follow(c.t.Context(), c.place(change))
	if err != nil || !standing.Draft {
		c.t.Errorf("%+v, %v", standing, err)
	}
	if again := c.propose(change); again.Outcome != "unchanged" || again.Commit != receipt.Commit {
		c.t.Errorf("again: %+v", again)
	}
	change.Draft = false
	c.propose(change)
	if standing, err = c.Forge.Follow(c.t.Context(), c.place(change)); err != nil || standing.Draft || c.Pulls[0].Title != change.Title {
		c.t.Errorf("%+v, %v", standing, err)
	}
}

func foreign(c *Case) {
	change := c.change("x\n")
	c.theirs(change.Branch)
	before := c.Git(nil, "rev-parse", change.Branch)
	if _, err := c.Forge.Propose(c.t.Context(), change); !errors.Is(err, connector.ErrForeign) {
		c.t.Errorf("error %v", err)
	}
	if c.Git(nil, "rev-parse", change.Branch) != before || len(c.Pulls) > 0 {
		c.t.Error("the branch was touched")
	}
}

// theirs puts a commit of somebody else on a branch.
func (c *Case) theirs(branch string) {
	c.write("theirs.txt", "theirs\n")
	c.in(c.local, "add", "-A")
	c.in(c.local, "commit", "-q", "-m", "theirs")
	c.in(c.local, "push", "-q", "-f", "origin", "HEAD:"+branch)
	c.in(c.local, "reset", "-q", "--hard", "HEAD^")
}

// moving has somebody push to the branch while a later form of the change is made.
func moving(c *Case) {
	change := c.change("x\n")
	c.propose(change)
	handler := c.handlers[c.Meanwhile]
	c.On(c.Meanwhile, func(w http.ResponseWriter, r *http.Request, path map[string]string) {
		if c.Git(nil, "log", "-1", "--format=%s", change.Branch) != "theirs" {
			c.theirs(change.Branch)
		}
		handler(w, r, path)
	})
	if _, err := c.Forge.Propose(c.t.Context(), c.change("y\n")); !errors.Is(err, connector.ErrForeign) {
		c.t.Errorf("error %v", err)
	}
	if text := c.Git(nil, "log", "-1", "--format=%s", change.Branch); text != "theirs" {
		c.t.Errorf("the branch ends in %q", text)
	}
}

func strangers(c *Case) {
	c.Strangers = []string{"ada"}
	receipt := c.propose(c.change("x\n"))
	if len(receipt.Notes) != 1 || !strings.Contains(receipt.Notes[0], "ada") || len(c.Pulls[0].Reviewers) > 0 {
		c.t.Errorf("%+v, %v", receipt, c.Pulls[0].Reviewers)
	}
}

func followed(c *Case) {
	change := c.change("module shop\n\nrequire left v1.0.1\n")
	if _, err := c.Forge.Follow(c.t.Context(), c.place(change)); !errors.Is(err, connector.ErrNoChange) {
		c.t.Errorf("before: %v", err)
	}
	receipt := c.propose(change)
	c.Say(1, "ada", "MEMBER", "/backstitch rebase")
	c.Say(1, "mallory", "NONE", "/backstitch ignore")
	c.Statuses[receipt.Commit] = append(c.Statuses[receipt.Commit], map[string]any{"context": "test", "name": "test", "state": "success"})
	standing, err := c.Forge.Follow(c.t.Context(), c.place(change))
	if err != nil {
		c.t.Fatal(err)
	}
	if standing.State != connector.ChangeOpen || standing.Head != receipt.Commit || standing.Tip != change.Base || standing.Target != "main" || standing.Checks != "success" || standing.Conflict || len(standing.Authors) > 0 || len(standing.Comments) != 2 || !standing.Comments[0].Member || standing.Comments[1].Member || standing.Comments[0].At == 0 {
		c.t.Errorf("open: %+v", standing)
	}
	c.write("go.mod", "elsewhere\n")
	c.in(c.local, "commit", "-q", "-am", "conflict")
	c.in(c.local, "push", "-q", "origin", "HEAD:main")
	if standing, err = c.Forge.Follow(c.t.Context(), c.place(change)); err != nil || !standing.Conflict {
		c.t.Errorf("in conflict: %+v, %v", standing, err)
	}
	c.in(c.local, "reset", "-q", "--hard", "HEAD^")
	c.in(c.local, "push", "-q", "-f", "origin", "HEAD:main")
	merge := c.MergePull(1, "ada", true)
	standing, err = c.Forge.Follow(c.t.Context(), c.place(change))
	if err != nil || standing.State != connector.ChangeMerged || standing.Merge != merge || standing.By != "ada" || standing.At == 0 || standing.Tip != merge {
		c.t.Errorf("merged: %+v, %v", standing, err)
	}
	c.Git(nil, "update-ref", "-d", "refs/heads/"+change.Branch)
	if standing, err = c.Forge.Follow(c.t.Context(), c.place(change)); err != nil || standing.State != connector.ChangeMerged || standing.Head != receipt.Commit {
		c.t.Errorf("merged, branch gone: %+v, %v", standing, err)
	}
}

func reopened(c *Case) {
	change := c.change("x\n")
	c.propose(change)
	c.ClosePull(1, "ada")
	standing, err := c.Forge.Follow(c.t.Context(), c.place(change))
	if err != nil || standing.State != connector.ChangeClosed || standing.By != "ada" {
		c.t.Errorf("closed: %+v, %v", standing, err)
	}
	if again := c.propose(change); again.Number != 2 || again.Outcome != "created" {
		c.t.Errorf("anew: %+v", again)
	}
	if standing, err = c.Forge.Follow(c.t.Context(), c.place(change)); err != nil || standing.State != connector.ChangeOpen || standing.Number != 2 {
		c.t.Errorf("open again: %+v, %v", standing, err)
	}
}

func named(c *Case) {
	change := c.change("x\n")
	c.propose(change)
	c.in(c.local, "fetch", "-q", "origin", change.Branch)
	c.in(c.local, "checkout", "-q", "FETCH_HEAD")
	c.write("go.mod", "y\n")
	c.in(c.local, "commit", "-q", "-am", "more")
	c.in(c.local, "push", "-q", "origin", "HEAD:"+change.Branch)
	standing, err := c.Forge.Follow(c.t.Context(), c.place(change))
	if err != nil || len(standing.Authors) != 1 || !strings.EqualFold(standing.Authors[0], "ada") {
		c.t.Errorf("%+v, %v", standing, err)
	}
	if _, err := c.Forge.Withdraw(c.t.Context(), c.place(change), change.Base, "x"); !errors.Is(err, connector.ErrForeign) || c.Pulls[0].State != "open" {
		c.t.Errorf("withdraw: %v", err)
	}
}

func overtaken(c *Case) {
	change := c.change("x\n")
	receipt := c.propose(change)
	for _, want := range []string{"closed", "unchanged"} {
		got, err := c.Forge.Withdraw(c.t.Context(), c.place(change), receipt.Commit, "left is gone")
		if err != nil || got.Outcome != want {
			c.t.Errorf("%+v, %v, expected %s", got, err, want)
		}
	}
	if c.Pulls[0].State != "closed" || len(c.Comments[1]) != 1 || !strings.Contains(c.Comments[1][0].Body, "left is gone") || c.tip(change.Branch) != "" {
		c.t.Errorf("%+v, comments %d, branch at %q", c.Pulls[0], len(c.Comments[1]), c.tip(change.Branch))
	}
	standing, err := c.Forge.Follow(c.t.Context(), c.place(change))
	if err != nil || standing.State != connector.ChangeClosed {
		c.t.Errorf("%+v, %v", standing, err)
	}
}

func commented(c *Case) {
	change := c.change("x\n")
	c.propose(change)
	for range 120 { // so that the comment is looked for on a second page, where there are pages
		c.Say(1, "ada", "MEMBER", "hm")
	}
	for _, step := range [][2]string{{"one\n/close", "created"}, {"one\n/close", "unchanged"}, {"/merge\ntwo", "updated"}} {
		receipt, err := c.Forge.Comment(c.t.Context(), c.place(change), "k", step[0])
		if err != nil || receipt.Outcome != step[1] || receipt.Number != 1 {
			c.t.Errorf("%s: %+v, %v", step[0], receipt, err)
		}
	}
	if list := c.Comments[1]; len(list) != 121 || !strings.HasSuffix(list[120].Body, "two") {
		c.t.Errorf("%d comments", len(list))
	}
	if _, err := c.Forge.Comment(c.t.Context(), connector.Place{Remote: c.Remote, Branch: "nothing"}, "k", "x"); !errors.Is(err, connector.ErrNoChange) {
		c.t.Errorf("on nothing: %v", err)
	}
}

func checked(c *Case) {
	commit := c.Git(nil, "rev-parse", "main")
	run := connector.CheckRun{Commit: commit, Name: "backstitch", Conclusion: "failure", Title: "not proven", Summary: "x", URL: "https://example.org/1"}
	for i, want := range []string{"created", "unchanged", "updated"} {
		if i == 2 {
			run.Conclusion = "neutral"
		}
		receipt, err := c.Forge.Check(c.t.Context(), c.Remote, run)
		if err != nil || receipt.Outcome != want {
			c.t.Errorf("%+v, %v, expected %s", receipt, err, want)
		}
	}
	if len(c.Statuses[commit]) != 2 {
		c.t.Errorf("statuses %v", c.Statuses[commit])
	}
}

func ticketed(c *Case) {
	c.Agents = []string{"fixer"}
	ticket := connector.Ticket{Remote: c.Remote, Key: "bs-1", Title: "Raise left", Body: "What is wrong\n/close\n\nBackstitch-Key: bs-1\n", Labels: []string{"security"}, Assignees: []connector.Reviewer{{Name: "ada", Confidence: .84, Rationale: "owns the line"}}}
	for _, want := range []string{"created", "unchanged", "updated"} {
		if want == "updated" {
			ticket.Title = "Raise left to v2"
		}
		receipt, err := c.Forge.OpenTicket(c.t.Context(), ticket)
		if err != nil || receipt.Outcome != want || receipt.Number != 1 || len(receipt.Notes) > 0 {
			c.t.Errorf("%+v, %v", receipt, err)
		}
	}
	if len(c.Tickets) != 1 {
		c.t.Fatalf("%d tickets", len(c.Tickets))
	}
	one := c.Tickets[0]
	said := c.saidOn(one)
	if len(said) != 1 || !strings.Contains(said[0].Body, "@ada (confidence high): owns the line") || one.Title != ticket.Title || len(one.Assigned) > 0 {
		c.t.Errorf("suggested %v, %+v", said, one)
	}
	for key, want := range map[string]int{"bs-1": 1, "bs-2": 0} {
		if number, err := c.Forge.FindTicket(c.t.Context(), c.Remote, key); err != nil || number != want {
			c.t.Errorf("found %d, %v", number, err)
		}
	}
	one.Assigned = []string{"ada"}
	for range 2 {
		for _, to := range []connector.Delegation{{Mode: connector.DelegateAssign, Agent: "fixer", Target: "main"}, {Mode: connector.DelegateLabel, Agent: "fix-me"}, {Mode: connector.DelegateMention, Agent: "claude", Text: "please"}} {
			if _, err := c.Forge.Delegate(c.t.Context(), c.Remote, 1, to); err != nil {
				c.t.Errorf("%s: %v", to.Mode, err)
			}
		}
	}
	slices.Sort(one.Labels)
	if said := c.saidOn(one); !slices.Equal(one.Assigned, []string{"ada", "fixer"}) || !slices.Equal(one.Labels, []string{"backstitch", "fix-me", "security"}) || len(said) != 2 || !strings.Contains(said[1].Body, "@claude please") {
		c.t.Errorf("%+v, comments %d", one, len(said))
	}
	for mode, want := range map[string]error{connector.DelegateAssign: connector.ErrRights, connector.DelegateREST: connector.ErrRefused} {
		if _, err := c.Forge.Delegate(c.t.Context(), c.Remote, 1, connector.Delegation{Mode: mode, Agent: "nobody"}); !errors.Is(err, want) {
			c.t.Errorf("%s of an agent that is not there: %v", mode, err)
		}
	}
	ticket.Body = "without a key"
	if _, err := c.Forge.OpenTicket(c.t.Context(), ticket); err == nil {
		c.t.Error("a ticket without its key is opened")
	}
}

// saidOn gives the comments on a ticket; servers that count tickets and changes apart keep
// them below the negative number.
func (c *Case) saidOn(one *GitHubTicket) []*GitHubComment {
	if list := c.Comments[-one.Number]; len(list) > 0 {
		return list
	}
	return c.Comments[one.Number]
}

func linked(c *Case) {
	receipt, err := c.Forge.OpenTicket(c.t.Context(), connector.Ticket{Remote: c.Remote, Key: "bs-1", Title: "t", Body: "Backstitch-Key: bs-1\n"})
	if err != nil {
		c.t.Fatal(err)
	}
	c.theirs("agent/fix")
	p := &Pull{Number: 50, Title: "agent's", Head: "agent/fix", Base: "main", State: "open", At: c.clock}
	c.Pulls = append(c.Pulls, p)
	c.Tickets[0].Linked = []int{50}
	list, err := c.Forge.Linked(c.t.Context(), c.Remote, receipt.Number)
	if err != nil || len(list) != 1 || list[0].Number != 50 || list[0].Branch != "agent/fix" || list[0].State != connector.ChangeOpen || list[0].Head != c.tip("agent/fix") || list[0].Target != "main" {
		c.t.Errorf("%+v, %v", list, err)
	}
}

func based(c *Case) {
	change := c.change("x\n")
	c.Mistaken()
	if _, err := c.Forge.Propose(c.t.Context(), change); !errors.Is(err, connector.ErrMoved) {
		c.t.Errorf("error %v", err)
	}
}

// broken has the answer of every request that changes something lost, before or after the
// deed, and the change proposed again.
func broken(t *testing.T, open func(t *testing.T, bare string) *Case) {
	faults := map[string]Fault{"cut": {Executed: true, Cut: true}, "502": {Executed: true, Status: 502}, "not executed": {Status: 503}, "cut before": {Cut: true}}
	asked := begin(t, open)
	for name, fault := range faults {
		for _, operation := range asked.Making {
			t.Run(operation+", "+name, func(t *testing.T) {
				c := begin(t, open)
				change := c.change("module shop\n\nrequire left v1.0.1\n")
				c.Break(operation, fault)
				if _, err := c.Forge.Propose(t.Context(), change); !errors.Is(err, connector.ErrInDoubt) {
					t.Errorf("error %v, expected doubt", err)
				}
				if receipt := c.propose(change); receipt.Number != 1 {
					t.Errorf("%+v", receipt)
				}
				c.same(change)
			})
		}
		for _, operation := range asked.Moving {
			t.Run("later form, "+operation+", "+name, func(t *testing.T) {
				c := begin(t, open)
				c.propose(c.change("module shop\n\nrequire left v1.0.1\n"))
				later := c.change("module shop\n\nrequire left v1.0.2\n")
				c.Break(operation, fault)
				if _, err := c.Forge.Propose(t.Context(), later); !errors.Is(err, connector.ErrInDoubt) {
					t.Errorf("error %v, expected doubt", err)
				}
				if receipt := c.propose(later); receipt.Number != 1 {
					t.Errorf("%+v", receipt)
				}
				c.same(later)
			})
		}
	}
}

func refused(t *testing.T, open func(t *testing.T, bare string) *Case) {
	first := begin(t, open).Making[0]
	for name, test := range map[string]struct {
		do   func(c *Case)
		want error
	}{
		"archived":            {func(c *Case) { c.Archived = true }, connector.ErrArchived},
		"a fork would be due": {func(c *Case) { c.NoPush = true }, connector.ErrRights},
		"protected":           {func(c *Case) { c.Protected = "backstitch/" }, connector.ErrProtected},
		"bad credentials":     {func(c *Case) { c.Token = "another" }, connector.ErrRights},
		"gone":                {func(c *Case) { c.Name = "acme/elsewhere" }, connector.ErrGone},
		"asked to wait": {func(c *Case) {
			c.Break(first, Fault{Status: 429, Header: map[string]string{"Retry-After": "90"}, Body: `{"message":"Too Many Requests"}`})
		}, connector.ErrLimited},
		"limit used up": {func(c *Case) {
			c.Break(first, Fault{Status: 429, Header: map[string]string{"RateLimit-Remaining": "0", "RateLimit-Reset": "4102444800"}})
		}, connector.ErrLimited},
	} {
		t.Run(name, func(t *testing.T) {
			c := begin(t, open)
			change := c.change("x\n")
			token := c.Token
			test.do(c)
			_, err := c.Forge.Propose(t.Context(), change)
			if !errors.Is(err, test.want) {
				t.Errorf("error %v, expected %v", err, test.want)
			}
			if err != nil && strings.Contains(err.Error(), token) {
				t.Error("the error tells the token")
			}
			if len(c.Pulls) > 0 {
				t.Error("a change stands all the same")
			}
			var limit *connector.LimitError
			if errors.As(err, &limit) && (limit.After < time.Minute || limit.After > 24*time.Hour) {
				t.Errorf("to come back after %v", limit.After)
			}
		})
	}
}
