package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/action"
	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/remediation"
	"github.com/backstitch/backstitch/verify"
)

// foreign carries out a change that somebody else made, so that it is judged by the same
// proof as our own.
type foreign struct{ files map[string][]byte }

func (foreign) Describe() fix.Description {
	return fix.Description{ID: "change/foreign", Name: "somebody's change", Docs: "A change that a person or a coding agent made, as it is."}
}

// Apply implements fix.Fixer.
func (f foreign) Apply(_ context.Context, dir string, _ fix.Path) (changed []string, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	for name, content := range f.files {
		changed = append(changed, name)
		if content == nil {
			err = fix.Remove(dir, name)
		} else if err = root.MkdirAll(filepath.Dir(filepath.FromSlash(name)), 0o755); err == nil {
			err = fix.WriteFile(dir, name, content)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	slices.Sort(changed)
	return changed, nil
}

// Judge proves a change that somebody else made: what lies between two commits, for the
// issues that it says it closes. Only files that are not off limits may differ.
func (d *Desk) Judge(ctx context.Context, repo, base, head string, issues []issue.Issue) (verify.Record, error) {
	s := &scene{}
	if err := d.open(ctx, s, repo, base); err != nil {
		return verify.Record{}, err
	}
	defer s.repository.Close()
	files, err := s.repository.Changed(ctx, s.commit, head)
	if err != nil {
		return verify.Record{}, err
	}
	if err := d.knowing(ctx, s, issues); err != nil {
		return verify.Record{}, err
	}
	p := fix.Path{ID: "foreign:" + head, Kind: fix.EditSource, Fixer: "change/foreign", Steps: []fix.Step{}, Changes: []fix.Change{}}
	for name := range files {
		if !fix.Guarded(name) {
			p.Edits = append(p.Edits, fix.FileEdit{Path: name})
		}
	}
	slices.SortFunc(p.Edits, func(a, b fix.FileEdit) int { return strings.Compare(a.Path, b.Path) })
	return d.proveWith(ctx, s, foreign{files}, p, issues)
}

// adopt looks for the change of an agent that a task was handed to, judges it and says on
// it what came out.
func (l *life) adopt(ctx context.Context) error {
	tracker, ok := l.forge.(connector.Tracker)
	if !ok {
		return fmt.Errorf("%s: %w", l.forge.Describe().ID, ErrNoTracker)
	}
	linked, err := tracker.Linked(ctx, l.r.Remote, l.r.Ticket)
	if err != nil {
		return err
	}
	at := -1
	for i, one := range linked { // the newest that is not closed
		if one.State != connector.ChangeClosed {
			at = i
		}
	}
	if at < 0 {
		if len(linked) > 0 && l.r.State == remediation.ChangeOpen {
			return l.closed(ctx, linked[len(linked)-1])
		}
		return nil
	}
	standing := linked[at]
	l.r.Number, l.r.URL, l.r.Branch = standing.Number, standing.URL, cmp.Or(standing.Branch, l.r.Branch)
	if standing.State == connector.ChangeMerged {
		l.r.Head = standing.Head
		if l.r.State == remediation.Applying {
			if err := l.take(ctx, remediation.ChangeOpen, actor, "adopted", standing.Head, l.seenAt("linked to the ticket", standing)); err != nil {
				return err
			}
		}
		return l.merged(ctx, standing)
	}
	if standing.Head == l.r.Head && l.r.State == remediation.ChangeOpen {
		return nil // judged already
	}
	return l.judge(ctx, standing)
}

func (l *life) judge(ctx context.Context, s connector.Standing) error {
	if here, err := l.repository.Contains(ctx, s.Head, s.Head); err != nil {
		return err
	} else if !here {
		if _, err := l.repository.Fetch(ctx, git.Remote{URL: l.r.Remote}, s.Branch); err != nil {
			return fmt.Errorf("commit %.12s of %s: %w", s.Head, s.URL, err)
		}
	}
	base, err := l.repository.MergeBase(ctx, cmp.Or(s.Tip, l.r.Base), s.Head)
	if err != nil {
		return err
	}
	var issues []issue.Issue
	for _, id := range l.r.Issues {
		it, err := l.Issue(ctx, id)
		if err != nil {
			return err
		}
		issues = append(issues, it)
	}
	record, err := l.Judge(ctx, l.dir, base, s.Head, issues)
	if err != nil {
		return err
	}
	v := record.Verification
	l.r.Head, l.r.Base, l.r.Draft = s.Head, base, v.Status != fact.VerificationProven
	l.r.Path.Verification = &v
	reason := "adopted: its proof is " + v.Status
	if v.Status != fact.VerificationProven {
		reason += ": " + firstFault(v)
	}
	if err := l.take(ctx, remediation.ChangeOpen, actor, reason, s.Head, l.seenAt("linked to the ticket", s)); err != nil {
		return err
	}
	return errors.Join(l.check(ctx, s, v), l.verdict(ctx), l.moveIssues(ctx, l.r.Issues, issue.InProgress, issue.ChangeOpen, l.seenAt("change adopted", s)))
}

// check says beside the commit what the proof came to, where the forge has room for it.
func (l *life) check(ctx context.Context, s connector.Standing, v fact.Verification) error {
	writer, ok := l.forge.(connector.CheckWriter)
	if !ok {
		return nil
	}
	conclusion := map[string]string{fact.VerificationProven: "success", fact.VerificationFailed: "failure"}[v.Status]
	run := connector.CheckRun{Commit: s.Head, Name: "backstitch", Conclusion: cmp.Or(conclusion, "neutral"), Title: cut("proof: "+v.Status, 100), Summary: l.explanation()}
	_, err := l.Log.Do(ctx, action.Effect{
		Key: l.r.ID + " check " + s.Head, Kind: action.KindCheck, Target: withoutUser(l.r.Remote), Payload: digestText(run.Conclusion + run.Summary), Base: l.r.Base, Idempotent: true,
		Send: func(ctx context.Context) (action.Answer, error) {
			receipt, err := writer.Check(ctx, l.r.Remote, run)
			return action.Answer{URL: receipt.URL, Reply: receipt.Outcome}, action.ForgeError(err)
		},
	})
	return err
}

func (l *life) verdict(ctx context.Context) error {
	commenter, ok := l.forge.(connector.Commenter)
	if !ok {
		return nil
	}
	return l.comment(ctx, commenter, "proof", l.explanation())
}
