package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/demo"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/remediation"
	"github.com/backstitch/backstitch/store/sqlite"
	"github.com/backstitch/backstitch/store/storetest"
)

func TestQueriesOfRemediationsAreInTheCommonSubset(t *testing.T) {
	t.Parallel()
	storetest.CheckQueries(t, sqlite.Open, remediation.Queries())
}

// world is an estate in which the npm change of one repository can be opened and followed.
type world struct {
	t      *testing.T
	desk   *app.App
	r      demo.Repository
	later  *int
	issue  issue.Issue
	opened agent.Opened
}

func newWorld(t *testing.T) *world {
	t.Helper()
	later := 0
	w := &world{t: t, later: &later}
	var estate demo.Estate
	estate, w.desk = build(t, &later)
	w.r = repository(t, estate, "platform")
	run(t, w.r.Dir, "remote", "set-url", "origin", w.r.Remote)
	for _, it := range triage(t, w.desk, agent.Request{Repo: w.r.Dir}).Issues {
		for _, path := range it.FixPaths {
			if path.Recommended && !path.Manual && len(path.Changes) > 0 {
				w.issue = it
			}
		}
	}
	if w.issue.ID == "" {
		t.Fatal("no issue with a recommended path that moves a package")
	}
	return w
}

func (w *world) open(change ...func(*agent.FixRequest)) (agent.Opened, error) {
	request := agent.FixRequest{Issue: w.issue.ID, Remote: w.r.Remote}
	for _, c := range change {
		c(&request)
	}
	return w.desk.OpenFix(w.t.Context(), request)
}

func (w *world) mustOpen() {
	w.t.Helper()
	var err error
	if w.opened, err = w.open(); err != nil || w.opened.Remediation.State != remediation.ChangeOpen {
		w.t.Fatalf("%s (%s), %v; checks %+v", w.opened.Remediation.State, w.opened.Remediation.Reason, err, w.opened.Verification.Checks)
	}
}

func (w *world) follow() agent.Followed {
	w.t.Helper()
	*w.later++
	list, err := w.desk.Follow(w.t.Context(), w.opened.Remediation.ID)
	if err != nil || len(list) != 1 {
		w.t.Fatalf("%+v, %v", list, err)
	}
	return list[0]
}

func (w *world) expect(state remediation.State, words ...string) {
	w.t.Helper()
	got := w.follow()
	if got.Problem != "" || got.Remediation.State != state {
		w.t.Fatalf("%s: %s, problem %q; expected %s", got.Remediation.State, got.Remediation.Reason, got.Problem, state)
	}
	for _, word := range words {
		if !strings.Contains(got.Remediation.Reason, word) {
			w.t.Errorf("reason %q, expected %q in it", got.Remediation.Reason, word)
		}
	}
}

func (w *world) state() string {
	w.t.Helper()
	it, err := w.desk.Issue(w.t.Context(), w.issue.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return string(it.State) + " " + it.Reason
}

// merge takes the change's branch into the default branch, and the clone after it.
func (w *world) merge() {
	w.t.Helper()
	run(w.t, w.r.Dir, "fetch", "-q", "origin")
	run(w.t, w.r.Dir, "merge", "-q", "--no-ff", "-m", "take it", "origin/"+w.opened.Remediation.Branch)
	run(w.t, w.r.Dir, "push", "-q", "origin", "HEAD")
}

func TestAMergedChangeIsVerifiedByALaterLookAndFoundAgainWhenItIsReverted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustOpen()
	if got := w.state(); got != "in_progress change_open" {
		t.Errorf("issue is %q", got)
	}
	w.expect(remediation.ChangeOpen)
	w.merge()
	w.expect(remediation.Merged, "merged into")
	if got := w.state(); got != "in_progress merged" {
		t.Errorf("issue is %q", got)
	}
	w.expect(remediation.Merged) // nothing looked since
	*w.later += 5
	triage(t, w.desk, agent.Request{Repo: w.r.Dir})
	w.expect(remediation.Verified, "no longer sees it")
	if got := w.state(); got != "resolved fixed_verified" {
		t.Errorf("issue is %q", got)
	}
	w.expect(remediation.Verified)

	run(t, w.r.Dir, "revert", "--no-edit", "-m", "1", "HEAD")
	*w.later += 5
	triage(t, w.desk, agent.Request{Repo: w.r.Dir})
	w.expect(remediation.RolledBack, "reverts the change")
	if got := w.state(); got != "open " {
		t.Errorf("issue is %q", got)
	}
	_, events, err := w.desk.Change(t.Context(), w.opened.Remediation.ID)
	if err != nil {
		t.Fatal(err)
	}
	var states []remediation.State
	for _, e := range events {
		states = append(states, e.To)
	}
	want := []remediation.State{remediation.Proposed, remediation.Applying, remediation.ChangeOpen, remediation.Merged, remediation.Verified, remediation.RolledBack}
	if !slices.Equal(states, want) {
		t.Errorf("life %v, expected %v", states, want)
	}
}

func TestAChangeThatIsClosedIsANoThatIsRemembered(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustOpen()
	run(t, w.r.Remote, "update-ref", "-d", "refs/heads/"+w.opened.Remediation.Branch)
	w.expect(remediation.Rejected, "closed without being merged")
	if got := w.state(); got != "open " {
		t.Errorf("issue is %q", got)
	}
	if _, err := w.open(); !errors.Is(err, agent.ErrDeclined) {
		t.Errorf("offered again: %v", err)
	}
	*w.later++
	again, err := w.open(func(r *agent.FixRequest) { r.Again = true })
	if err != nil || again.Remediation.State != remediation.ChangeOpen {
		t.Errorf("asked for again: %s, %v", again.Remediation.State, err)
	}
}

func TestACommitOfSomebodyElseMakesTheChangeTheirs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustOpen()
	run(t, w.r.Dir, "fetch", "-q", "origin")
	run(t, w.r.Dir, "checkout", "-q", "-b", "mine", "origin/"+w.opened.Remediation.Branch)
	if err := os.WriteFile(filepath.Join(w.r.Dir, "NOTES"), []byte("more\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	run(t, w.r.Dir, "add", "NOTES")
	run(t, w.r.Dir, "commit", "-q", "-m", "more")
	run(t, w.r.Dir, "push", "-q", "origin", "HEAD:"+w.opened.Remediation.Branch)
	run(t, w.r.Dir, "checkout", "-q", "-")
	theirs := run(t, w.r.Remote, "rev-parse", w.opened.Remediation.Branch)
	w.expect(remediation.ChangeOpen, "hands off", "Ada")
	w.expect(remediation.ChangeOpen)
	if _, err := w.open(); !errors.Is(err, agent.ErrHandsOff) {
		t.Errorf("written over: %v", err)
	}
	if now := run(t, w.r.Remote, "rev-parse", w.opened.Remediation.Branch); now != theirs {
		t.Error("their commit is gone")
	}
}

func TestAnOpenChangeFollowsItsTarget(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustOpen()
	before := run(t, w.r.Remote, "rev-parse", w.opened.Remediation.Branch)

	// Something else moves: the change stays as reviewers know it.
	commit := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(w.r.Dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		run(t, w.r.Dir, "add", name)
		run(t, w.r.Dir, "commit", "-q", "-m", "change "+name)
		run(t, w.r.Dir, "push", "-q", "origin", "HEAD")
	}
	commit("NEWS", "moved\n")
	w.expect(remediation.ChangeOpen)
	if now := run(t, w.r.Remote, "rev-parse", w.opened.Remediation.Branch); now != before {
		t.Error("the change was made anew although nothing that it touches moved")
	}

	// What it changes moves: it is made anew on the target as it is now.
	var manifest string
	for _, location := range w.issue.Cause.Locations {
		manifest = location.Path
	}
	text, err := os.ReadFile(filepath.Join(w.r.Dir, manifest))
	if err != nil {
		t.Fatal(err)
	}
	commit(manifest, string(text)+"\n// moved\n")
	w.expect(remediation.ChangeOpen)
	if parent := run(t, w.r.Remote, "rev-parse", w.opened.Remediation.Branch+"^"); parent != run(t, w.r.Dir, "rev-parse", "HEAD") {
		t.Error("the change is not on the target's tip")
	}

	// Somebody fixes it: the change is overtaken, and closed with the reason.
	run(t, w.r.Dir, "fetch", "-q", "origin")
	run(t, w.r.Dir, "checkout", "-q", "origin/"+w.opened.Remediation.Branch, "--", ".")
	if text, err = os.ReadFile(filepath.Join(w.r.Dir, manifest)); err != nil {
		t.Fatal(err)
	}
	commit(manifest, string(text)+"\n// and more\n")
	w.expect(remediation.Superseded, "does not see")
	if branches := run(t, w.r.Remote, "for-each-ref", "refs/heads/backstitch"); branches != "" {
		t.Errorf("left behind: %s", branches)
	}
}

func TestAFailedProofIsAStateWithItsReason(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// The flaw is gone at the head, so that there is nothing to show.
	w.mustOpen()
	w.merge()
	*w.later++
	r, _, err := w.desk.Change(t.Context(), w.opened.Remediation.ID)
	if err != nil {
		t.Fatal(err)
	}
	opened, err := w.open()
	if err == nil && opened.Receipt.Ref != "" {
		t.Errorf("offered although the flaw is gone: %+v", opened.Receipt)
	}
	if opened.Verification.Status != fact.VerificationFailed {
		t.Errorf("verification %s, %v; was %s", opened.Verification.Status, err, r.State)
	}
}
