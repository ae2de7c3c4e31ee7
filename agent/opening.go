package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/action"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/remediation"
	"github.com/backstitch/backstitch/store"
)

// Reasons why a change is not offered.
var (
	// ErrDeclined says that people closed the change without merging it.
	ErrDeclined = errors.New("it was declined before; ask again for it only with a reason")
	// ErrHandsOff says that others work on the change's branch.
	ErrHandsOff = errors.New("others put commits on its branch, so that it is theirs now")
	// ErrMerged says that the change is merged and was not looked at since.
	ErrMerged = errors.New("it is merged; triage again, then backstitch change follow says what it brought")
)

// actor is how this program signs its moves.
const actor = "backstitch"

// OpenFix proves a fix path and, when it is proven, publishes the change: a branch, and
// where the forge has them a pull request. Opening the same change again brings it up
// to date and duplicates nothing. What becomes of it is remembered as a remediation,
// also when it fails.
func (d *Desk) OpenFix(ctx context.Context, request FixRequest) (Opened, error) {
	s, _, path, closed, err := d.chosen(ctx, request)
	if err != nil {
		return Opened{}, err
	}
	defer s.repository.Close()
	if request.Remote == "" {
		if request.Remote, err = s.repository.Remote(ctx); err != nil {
			return Opened{}, err
		}
	}
	if request.Remote == "" {
		return Opened{}, fmt.Errorf("issue %s: %s has no remote to offer the change to; expected one to be named", request.Issue, s.repository.Root())
	}
	forge, err := d.Forge(request.Remote)
	if err != nil {
		return Opened{}, err
	}
	key := changeKey(s.identity, path)
	r, err := remediation.Load(ctx, d.DB, key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return Opened{}, err
	}
	opened := Opened{Path: path, Remediation: r}
	switch {
	case r.State == remediation.Rejected && !request.Again:
		return opened, fmt.Errorf("change %s: %w (--again): %s", key, ErrDeclined, r.Reason)
	case len(r.HandsOff) > 0 && r.State == remediation.ChangeOpen && !request.TakeOver:
		return opened, fmt.Errorf("change %s: %w (--take-over to write over them): %s", key, ErrHandsOff, strings.Join(r.HandsOff, ", "))
	}
	r.ID, r.Repository, r.Path = key, s.identity, path
	r.Forge, r.Remote, r.Branch, r.Target, r.Base = forge.Describe().ID, withoutUser(request.Remote), branch(key, path), request.Target, s.commit
	r.Issues = r.Issues[:0]
	for _, one := range closed {
		r.Issues = append(r.Issues, one.ID)
	}
	by := cmp.Or(request.By, actor)
	step := func(to remediation.State, reason string, evidence ...fact.Evidence) error {
		r, err = remediation.Take(ctx, d.DB, r, remediation.Move{
			To: to, Actor: by, Reason: reason, Evidence: evidence, Key: fmt.Sprintf("%s %s %s %d", key, to, s.commit, d.Now().UnixMicro()),
		}, d.Now())
		opened.Remediation = r
		return err
	}
	if slices.Contains([]remediation.State{remediation.Merged, remediation.Built, remediation.Deployed, remediation.Verifying, remediation.Verified}, r.State) {
		return opened, fmt.Errorf("change %s: %w: %s", key, ErrMerged, r.Reason)
	}
	if r.State == "" || !r.State.Active() && r.State != remediation.Failed {
		if err := step(remediation.Proposed, "chosen: "+cmp.Or(path.Reason, path.Summary)); err != nil {
			return opened, err
		}
	}
	if err := d.publish(ctx, s, forge, request, closed, &r, &opened, step); err != nil {
		return opened, err
	}
	d.Progress("", 0, 0)
	return opened, nil
}

// publish proves the remediation's path and sends it. A definite failure is a state of
// the remediation, with its name, beside the error.
func (d *Desk) publish(ctx context.Context, s *scene, forge connector.Forge, request FixRequest, closed []issue.Issue, r *remediation.Remediation, opened *Opened, step func(remediation.State, string, ...fact.Evidence) error) error {
	d.Progress("proving the fix", 0, 0)
	path := r.Path
	record, diff, err := d.prove(ctx, s, path, closed)
	if err != nil {
		return err
	}
	path.Verification, path.Diff = &record.Verification, diff
	opened.Path, opened.Verification = path, record.Verification
	r.Path, r.Draft = path, record.Verification.Status != fact.VerificationProven
	update := r.State == remediation.ChangeOpen
	if r.Draft && (!request.Unproven || record.Verification.Status == fact.VerificationFailed || len(record.Files) == 0) {
		if update {
			return nil // what is open stays as it was proven; following decides about it
		}
		return step(remediation.Failed, "the fix is not proven: "+firstFault(record.Verification))
	}
	if !update {
		if err := step(remediation.Applying, ""); err != nil {
			return err
		}
	}
	named := slices.Clone(closed) // its reviewers are those whom people name, too
	if err := d.Owned(ctx, named); err != nil {
		return err
	}
	opened.PullRequest = describe(r.ID, path, named, record.Verification)
	message := opened.PullRequest.Title + "\n\n" + opened.PullRequest.Body
	if opened.Commit, err = s.repository.Commit(ctx, s.commit, record.Files, message, d.author()); err != nil {
		return err
	}
	d.Progress("publishing the change", 0, 0)
	opened.Receipt, err = d.Log.Propose(ctx, forge, connector.Proposal{
		Repository: s.repository.Root(), Remote: request.Remote,
		Branch: r.Branch, Base: s.commit, Target: request.Target, Commit: opened.Commit, Key: r.ID,
		Title: opened.PullRequest.Title, Body: opened.PullRequest.Body, Draft: r.Draft,
		Labels: []string{"backstitch"}, Reviewers: reviewers(named),
	}, payload(s.commit, record.Files), withoutUser(request.Remote))
	var waiting *action.Waiting
	switch {
	case err != nil && update || errors.Is(err, action.ErrTakenOver):
		// What is open stays open as it was; whoever took the delivery up says what came of it.
		return fmt.Errorf("publish the change of issue %s: %w", closed[0].ID, err)
	case errors.As(err, &waiting) && waiting.Delivery.State == action.AwaitingApproval:
		return errors.Join(step(remediation.AwaitingApproval, waiting.Error()), err)
	case errors.As(err, &waiting):
		return errors.Join(step(remediation.Applying, waiting.Error()), err)
	case err != nil:
		return errors.Join(fmt.Errorf("publish the change of issue %s: %w", closed[0].ID, err), step(remediation.Failed, cut(oneLine(err.Error()), 500)))
	}
	opened.Commit = cmp.Or(opened.Receipt.Commit, opened.Commit)
	r.Head, r.URL, r.Number = opened.Commit, opened.Receipt.URL, opened.Receipt.Number
	if r.Opened == 0 || r.State != remediation.ChangeOpen {
		r.Opened = d.Now().UnixMicro()
	}
	r.HandsOff = nil
	evidence := fact.Evidence{Method: "change published", Source: cmp.Or(opened.Receipt.URL, opened.Receipt.Ref), Strength: fact.Proven, Detail: opened.Commit}
	if opened.Receipt.Outcome != "unchanged" || !update || opened.Remediation.Path.ID != r.Path.ID {
		if err := step(remediation.ChangeOpen, opened.Receipt.Outcome, evidence); err != nil {
			return err
		}
	}
	return d.noteOpen(ctx, closed, path, evidence)
}

// noteOpen keeps the proof with the issues and moves them.
func (d *Desk) noteOpen(ctx context.Context, closed []issue.Issue, path fix.Path, evidence fact.Evidence) error {
	for i := range closed {
		for j := range closed[i].FixPaths {
			if closed[i].FixPaths[j].ID == path.ID {
				closed[i].FixPaths[j].Verification, closed[i].FixPaths[j].Diff = path.Verification, path.Diff
			}
		}
	}
	if err := issue.Save(ctx, d.DB, closed, d.Now()); err != nil {
		return err
	}
	return d.moveIssues(ctx, ids(closed), issue.InProgress, issue.ChangeOpen, evidence)
}

func ids(issues []issue.Issue) []string {
	list := make([]string, len(issues))
	for i := range issues {
		list[i] = issues[i].ID
	}
	return list
}

// moveIssues moves issues that still ask for something; those that do not stay.
func (d *Desk) moveIssues(ctx context.Context, ids []string, to issue.State, reason string, evidence fact.Evidence) error {
	for _, id := range ids {
		it, err := issue.Load(ctx, d.DB, id)
		if errors.Is(err, store.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		if it.State == to && it.Reason == reason || it.State == issue.Rejected || it.State == issue.Resolved && to != issue.Open || it.State == issue.Open && to == issue.Open {
			continue
		}
		if _, err := issue.SetState(ctx, d.DB, it.ID, issue.Move{
			To: to, Reason: reason, Actor: actor, Evidence: []fact.Evidence{evidence},
			Key: strings.Join([]string{reason, it.ID, evidence.Source, evidence.Detail}, " "),
		}, d.Now()); err != nil {
			return err
		}
	}
	return nil
}

// firstFault names the check that kept a verification from being proven.
func firstFault(v fact.Verification) string {
	for _, status := range []string{fact.CheckFail, fact.CheckSkip} {
		for _, check := range v.Checks {
			if check.Status == status {
				return cut(oneLine(check.Name+": "+check.Detail), 300)
			}
		}
	}
	return v.Status
}

// maxReviewers bounds who is asked to look at a change.
const maxReviewers = 3

// reviewers are the owners of the issues' causes whom a forge may know: their ids are
// logins or teams there, without the @.
func reviewers(issues []issue.Issue) []connector.Reviewer {
	list := []connector.Reviewer{}
	for _, it := range issues {
		for _, owner := range it.Owners {
			name, ok := strings.CutPrefix(owner.Name, "@")
			if !ok || len(list) == maxReviewers || slices.ContainsFunc(list, func(r connector.Reviewer) bool { return r.Name == name }) {
				continue
			}
			r := connector.Reviewer{Name: name, Team: owner.Kind == "team", Confidence: owner.Confidence}
			if len(owner.Evidence) > 0 {
				r.Rationale = cut(oneLine(owner.Evidence[0].Kind+": "+owner.Evidence[0].Detail), 200)
			}
			list = append(list, r)
		}
	}
	return list
}
