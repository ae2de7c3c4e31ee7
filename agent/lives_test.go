package agent_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/action"
	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/remediation"
)

// manifest is the file that the issue's cause is in.
func (w *world) manifest() string {
	locations := w.issue.Cause.Locations
	return locations[len(locations)-1].Path
}

// edit appends to a file and pushes that to the default branch.
func (w *world) edit(name, text string) {
	w.t.Helper()
	file := filepath.Join(w.r.Dir, name)
	before, err := os.ReadFile(file)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := os.WriteFile(file, append(before, text...), 0o644); err != nil {
		w.t.Fatal(err)
	}
	run(w.t, w.r.Dir, "commit", "-q", "-a", "-m", "change "+name)
	run(w.t, w.r.Dir, "push", "-q", "origin", "HEAD")
}

// replan changes the issue's chosen path as a new triage would.
func (w *world) replan(change func(*fix.Path)) {
	w.t.Helper()
	it, err := w.desk.Issue(w.t.Context(), w.issue.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	at := slices.IndexFunc(it.FixPaths, func(p fix.Path) bool { return p.Recommended })
	change(&it.FixPaths[at])
	if err := issue.Save(w.t.Context(), w.desk.DB, []issue.Issue{it}, w.desk.Now()); err != nil {
		w.t.Fatal(err)
	}
}

func TestAChangeThatPeopleOpenAgainIsOpenAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustOpen()
	branch := "refs/heads/" + w.opened.Remediation.Branch
	for range 2 {
		head := run(t, w.r.Remote, "rev-parse", branch)
		run(t, w.r.Remote, "update-ref", "-d", branch)
		w.expect(remediation.Rejected, "closed without being merged")
		run(t, w.r.Remote, "update-ref", branch, head)
		w.expect(remediation.ChangeOpen, "opened again")
		if got := w.state(); got != "in_progress change_open" {
			t.Errorf("issue is %q", got)
		}
	}
	w.merge()
	w.expect(remediation.Merged)
	if _, err := w.open(); !errors.Is(err, agent.ErrMerged) {
		t.Errorf("offered although it is merged: %v", err)
	}
}

func TestABranchIsOursAgainWhenTheCommitsOfOthersAreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustOpen()
	branch := "refs/heads/" + w.opened.Remediation.Branch
	ours := run(t, w.r.Remote, "rev-parse", branch)
	run(t, w.r.Dir, "fetch", "-q", "origin")
	run(t, w.r.Dir, "checkout", "-q", "--detach", ours)
	run(t, w.r.Dir, "commit", "-q", "--allow-empty", "-m", "more")
	run(t, w.r.Dir, "push", "-q", "origin", "HEAD:"+branch)
	theirs := run(t, w.r.Dir, "rev-parse", "HEAD")
	run(t, w.r.Dir, "checkout", "-q", "main")
	for range 2 {
		w.expect(remediation.ChangeOpen, "hands off")
		run(t, w.r.Remote, "update-ref", branch, ours)
		w.expect(remediation.ChangeOpen, "any more")
		run(t, w.r.Remote, "update-ref", branch, theirs)
	}
	run(t, w.r.Remote, "update-ref", branch, ours)
	w.edit(w.manifest(), "\n# moved\n")
	w.expect(remediation.ChangeOpen)
	if parent := run(t, w.r.Remote, "rev-parse", branch+"^"); parent != run(t, w.r.Dir, "rev-parse", "HEAD") {
		t.Error("the change was not made anew although its branch is ours again")
	}
}

func TestAChangeWhoseSenderDiedIsFoundAtItsForge(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustOpen()
	head := w.opened.Remediation.Head
	r := w.opened.Remediation
	r.Head, r.Opened = "", 0 // as it is before the answer comes
	if _, err := remediation.Take(t.Context(), w.desk.DB, r, remediation.Move{To: remediation.Applying, Actor: "test", Key: "died"}, w.desk.Now()); err != nil {
		t.Fatal(err)
	}
	branch := "refs/heads/" + r.Branch
	run(t, w.r.Remote, "update-ref", "-d", branch)
	w.expect(remediation.Applying) // not there: whether it comes is not known
	run(t, w.r.Remote, "update-ref", branch, head)
	w.expect(remediation.ChangeOpen, "found")
	if r, _, err := w.desk.Change(t.Context(), r.ID); err != nil || r.Head != head {
		t.Errorf("head %s, %v; expected %s", r.Head, err, head)
	}
}

func TestAChangeThatAPersonApprovedIsFollowedAndOneThatWasRefusedIsANo(t *testing.T) {
	t.Parallel()
	for _, approved := range []bool{true, false} {
		w := newWorld(t)
		w.desk.Log.Actor = "asker"
		w.desk.Log.Use(action.ReadPolicy("delivery.yaml", strings.NewReader("rules:\n  - {kind: propose, approval: true}\n")))
		var err error
		if w.opened, err = w.open(); err == nil || w.opened.Remediation.State != remediation.AwaitingApproval {
			t.Fatalf("%s, %v; expected it to wait", w.opened.Remediation.State, err)
		}
		w.expect(remediation.AwaitingApproval)
		if !approved {
			if _, err := w.desk.Log.Refuse(t.Context(), w.opened.Remediation.ID, action.Word{Actor: "other", Reason: "not now"}); err != nil {
				t.Fatal(err)
			}
			w.expect(remediation.Rejected, "refused")
			continue
		}
		if _, err := w.desk.Log.Approve(t.Context(), w.opened.Remediation.ID, action.Word{Actor: "other"}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.desk.Log.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.expect(remediation.ChangeOpen, "found")
		if got := w.state(); got != "in_progress change_open" {
			t.Errorf("issue is %q", got)
		}
	}
}

func TestAnUpdateThatIsRefusedLeavesTheChangeOpenAndSaysSo(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustOpen()
	before := run(t, w.r.Remote, "rev-parse", w.opened.Remediation.Branch)
	w.edit(w.manifest(), "\n# moved\n")
	hook := filepath.Join(w.r.Remote, "hooks", "pre-receive")
	if err := os.WriteFile(hook, []byte("#!/bin/sh\necho protected >&2\nexit 1\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	got := w.follow()
	if got.Remediation.State != remediation.ChangeOpen || !strings.Contains(got.Problem, "protected") {
		t.Errorf("%s, problem %q; expected an open change and what the remote said", got.Remediation.State, got.Problem)
	}
	if err := os.Remove(hook); err != nil {
		t.Fatal(err)
	}
	w.expect(remediation.ChangeOpen)
	if now := run(t, w.r.Remote, "rev-parse", w.opened.Remediation.Branch); now == before {
		t.Error("the change was not brought up to date once it could be")
	}
}

func TestARevertBeforeAnyLookIsNamed(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustOpen()
	w.merge()
	w.expect(remediation.Merged)
	run(t, w.r.Dir, "revert", "--no-edit", "-m", "1", "HEAD")
	*w.later += 5
	triage(t, w.desk, agent.Request{Repo: w.r.Dir})
	w.expect(remediation.RolledBack, "reverts the change")
	if got := w.state(); got != "open " {
		t.Errorf("issue is %q", got)
	}
}

func TestAnOpenChangeFollowsItsRecommendation(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mustOpen()
	w.replan(func(p *fix.Path) { p.ID += "-anew" })
	w.expect(remediation.ChangeOpen)
	r, _, err := w.desk.Change(t.Context(), w.opened.Remediation.ID)
	if err != nil || !strings.HasSuffix(r.Path.ID, "-anew") {
		t.Errorf("path %s, %v; expected the one that is recommended now", r.Path.ID, err)
	}
}

func TestAnIssueThatWasResolvedOtherwiseKeepsNoChangeFromClosingTheRest(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all, err := w.desk.Issues(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(all, func(it issue.Issue) bool { return it.ID != w.issue.ID && it.Package != nil })
	other := all[at].ID
	if _, err := issue.SetState(t.Context(), w.desk.DB, other, issue.Move{To: issue.Resolved, Reason: issue.FixedVerified, Actor: "test", Key: "gone",
		Evidence: []fact.Evidence{{Method: "look", Source: "test", Strength: fact.Proven}}}, w.desk.Now()); err != nil {
		t.Fatal(err)
	}
	w.replan(func(p *fix.Path) { p.Closes = append(p.Closes, other) })
	w.mustOpen()
	if got := w.opened.Remediation.Issues; !slices.Equal(got, []string{w.issue.ID}) {
		t.Errorf("closes %v, expected %s alone", got, w.issue.ID)
	}
}
