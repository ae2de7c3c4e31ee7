package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
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

// HandOffRequest asks for an issue to be handed to a coding agent.
type HandOffRequest struct {
	Issue  string
	Remote string
	Target string // branch to start from, "" for the default one
	Mode   string // assign, label, mention, rest; "" makes the ticket only
	Agent  string // login, label or name, by the mode
	By     string
	Again  bool // although an earlier change for it was declined
}

// HandedOff is what came of a hand-off.
type HandedOff struct {
	Ticket      connector.Ticket        `json:"ticket"`
	Receipt     connector.Receipt       `json:"receipt"`
	Delegated   connector.Receipt       `json:"delegated"`
	Remediation remediation.Remediation `json:"remediation"`
}

// Errors of a hand-off.
var (
	// ErrNoTracker says that a remote's forge keeps no tickets.
	ErrNoTracker = errors.New("the forge keeps no tickets that can be handed over")
	// ErrIncomplete says that the text would leave something open, so that nobody is
	// asked to act on it.
	ErrIncomplete = errors.New("the issue is not understood well enough to be handed over")
)

// Task writes the ticket of an issue as it is handed to a coding agent or a person.
func (d *Desk) Task(ctx context.Context, request HandOffRequest) (connector.Ticket, issue.Issue, error) {
	it, err := d.Issue(ctx, request.Issue)
	if err != nil {
		return connector.Ticket{}, it, err
	}
	if it.Cause.Status != fact.CauseFound || len(it.Cause.Locations) == 0 {
		missing := "its cause is " + string(it.Cause.Status)
		if len(it.Cause.Missing) > 0 {
			missing += ": " + it.Cause.Missing[0]
		}
		return connector.Ticket{}, it, fmt.Errorf("issue %s: %w: %s", it.ID, ErrIncomplete, missing)
	}
	if name := it.Cause.Locations[0].Path; fix.Guarded(name) {
		return connector.Ticket{}, it, fmt.Errorf("issue %s: %w: %s says who judges or owns the repository, so that people change it and no agent does", it.ID, ErrIncomplete, name)
	}
	named := []issue.Issue{it}
	if err := d.Owned(ctx, named); err != nil {
		return connector.Ticket{}, it, err
	}
	key := taskKey(it)
	return connector.Ticket{
		Remote: request.Remote, Key: key, Title: cut("Fix "+it.ID+": "+oneLine(it.Title), 120), Body: taskText(named[0], key),
		Labels: []string{"backstitch", "security"}, Assignees: reviewers(named),
	}, named[0], nil
}

// taskKey names the task of an issue by value.
func taskKey(it issue.Issue) string {
	sum := sha256.Sum256([]byte("task\x00" + it.ID))
	return "bs-" + hex.EncodeToString(sum[:8])
}

// taskText writes the text that stands alone: an agent reads it once, when it is asked.
func taskText(it issue.Issue, key string) string {
	var b strings.Builder
	section := func(title string) { fmt.Fprintf(&b, "\n## %s\n\n", title) }
	at := it.Cause.Locations[0]
	b.WriteString("## What is wrong\n\n")
	fmt.Fprintf(&b, "%s (%s, %s). %s\n", quote(it.Title), it.ID, it.Severity, quote(strings.Join(it.Advisories, ", ")))
	section("Where")
	for i, l := range it.Cause.Locations {
		if i == maxTaskLines {
			fmt.Fprintf(&b, "- and %d more places\n", len(it.Cause.Locations)-i)
			break
		}
		fmt.Fprintf(&b, "- %s", quote(l.Path))
		if l.Line > 0 {
			fmt.Fprintf(&b, ", line %d", l.Line)
			if l.EndLine > l.Line {
				fmt.Fprintf(&b, " to %d", l.EndLine)
			}
		}
		fmt.Fprintf(&b, " at commit %.12s\n", l.Commit)
	}
	for i, link := range it.Cause.Chain {
		if i == maxChainLinks {
			break
		}
		fmt.Fprintf(&b, "  - %s %s (%s)\n", link.Kind, quote(link.Key), link.Evidence.Strength)
	}
	section("Do exactly this")
	path := recommendedPath(it)
	files := []string{at.Path}
	switch {
	case path == nil:
		b.WriteString("Change what stands at the place above so that the flaw is gone, and nothing else.\n")
	default:
		fmt.Fprintf(&b, "%s\n\n", quote(path.Summary))
		for i, step := range path.Steps {
			if i == maxTaskLines {
				fmt.Fprintf(&b, "- and %d more steps, which `backstitch fix plan %s` lists\n", len(path.Steps)-i, it.ID)
				break
			}
			if path.Kind == fix.EditSource && step.Command != "" {
				continue // how it is handed over is not for whoever gets it
			}
			fmt.Fprintf(&b, "- %s", quote(step.Text))
			if step.Location != nil {
				fmt.Fprintf(&b, " (%s, line %d)", quote(step.Location.Path), step.Location.Line)
			}
			if step.Command != "" {
				fmt.Fprintf(&b, ": `%s`", strings.ReplaceAll(oneLine(step.Command), "`", "'"))
			}
			b.WriteString("\n")
		}
		for _, edit := range path.Edits {
			if !slices.Contains(files, edit.Path) {
				files = append(files, edit.Path)
			}
		}
	}
	section("Do not touch")
	b.WriteString("Anything else: no unrelated code, no reformatting, no test deleted or switched off, no new dependency, no file that says what scanners ignore, and none of `.github/`, `CODEOWNERS` and the configuration of the build service.\n")
	section("Done when")
	fmt.Fprintf(&b, "- The build and the tests of the repository pass as before.\n- `backstitch triage --repo .` no longer lists %s.\n- The change touches only what the fix needs, beginning with %s.\n", it.ID, quote(strings.Join(files, ", ")))
	section("How it will be verified")
	b.WriteString("By us, not by what the change says of itself: the same detector has to see the flaw before the change, still see it after a change that does nothing, and no longer see it after yours, with nothing new that is as bad and no file outside of what is asked. A check on the pull request says what came out.\n")
	section("Owner")
	if len(it.Owners) == 0 {
		b.WriteString("Unknown: no ownership claim reaches this line.\n")
	}
	for i, owner := range it.Owners {
		if i == maxReviewers {
			break
		}
		fmt.Fprintf(&b, "- %s (%s, confidence %.2f)\n", quote(owner.Name), owner.Role, owner.Confidence)
	}
	fmt.Fprintf(&b, "\n%s: %s\n%s: %s\n", trailerKey, key, trailerCloses, it.ID)
	return b.String()
}

// maxTaskLines bounds the places and the steps of a task.
const maxTaskLines = 20

func recommendedPath(it issue.Issue) *fix.Path {
	for i := range it.FixPaths {
		if it.FixPaths[i].Recommended {
			return &it.FixPaths[i]
		}
	}
	return nil
}

// HandOff makes the ticket of an issue at its forge and hands it to a coding agent. The
// text is complete before anybody is asked; each of the two happens once. The agent's
// change is adopted by Follow and judged by our own proof.
func (d *Desk) HandOff(ctx context.Context, request HandOffRequest) (HandedOff, error) {
	ticket, it, err := d.Task(ctx, request)
	if err != nil {
		return HandedOff{}, err
	}
	handed := HandedOff{Ticket: ticket}
	modes := []string{connector.DelegateAssign, connector.DelegateLabel, connector.DelegateMention, connector.DelegateREST}
	switch {
	case request.Mode != "" && !slices.Contains(modes, request.Mode):
		return handed, fmt.Errorf("hand issue %s over by %q: expected one of %s", it.ID, oneLine(request.Mode), strings.Join(modes, ", "))
	case request.Mode != "" && strings.TrimSpace(request.Agent) == "":
		return handed, fmt.Errorf("hand issue %s over by %s: expected the agent's name", it.ID, request.Mode)
	}
	forge, err := d.Forge(request.Remote)
	if err != nil {
		return handed, err
	}
	tracker, ok := forge.(connector.Tracker)
	if !ok {
		return handed, fmt.Errorf("%s: %w", forge.Describe().ID, ErrNoTracker)
	}
	r, err := remediation.Load(ctx, d.DB, ticket.Key)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return handed, err
	}
	if r.State == remediation.Rejected && !request.Again {
		return handed, fmt.Errorf("change %s: %w (--again): %s", ticket.Key, ErrDeclined, r.Reason)
	}
	if r.State == "" || !r.State.Active() {
		r.ID, r.Repository, r.Issues = ticket.Key, it.Cause.Locations[0].Repository, []string{it.ID}
		r.Forge, r.Remote, r.Target, r.Base = forge.Describe().ID, withoutUser(request.Remote), request.Target, it.Cause.Locations[0].Commit
		r.Path = fix.Path{ID: "handoff:" + it.ID, Kind: fix.EditSource, Summary: it.Title, Manual: true, Closes: []string{it.ID}, Steps: []fix.Step{}, Changes: []fix.Change{}}
		if path := recommendedPath(it); path != nil {
			r.Path.Summary = path.Summary
		}
		if r, err = d.step(ctx, r, remediation.Proposed, cmp.Or(request.By, actor), "to be handed over"); err != nil {
			return handed, err
		}
	}
	if handed.Receipt, err = d.ticket(ctx, tracker, ticket); err != nil {
		return handed, err
	}
	r.Ticket, r.Agent, r.URL = handed.Receipt.Number, request.Agent, cmp.Or(handed.Receipt.URL, r.URL)
	if request.Mode != "" {
		if handed.Delegated, err = d.delegate(ctx, tracker, ticket, handed.Receipt.Number, request); err != nil {
			_, stepErr := d.step(ctx, r, remediation.Failed, actor, cut(oneLine(err.Error()), 300))
			return handed, errors.Join(err, stepErr)
		}
	}
	if r.State != remediation.ChangeOpen {
		r, err = d.step(ctx, r, remediation.Applying, actor, "handed over as ticket "+cmp.Or(handed.Receipt.URL, handed.Receipt.Ref))
	}
	handed.Remediation = r
	return handed, err
}

// step moves a remediation at this moment.
func (d *Desk) step(ctx context.Context, r remediation.Remediation, to remediation.State, by, reason string, evidence ...fact.Evidence) (remediation.Remediation, error) {
	return remediation.Take(ctx, d.DB, r, remediation.Move{
		To: to, Actor: by, Reason: reason, Evidence: evidence, Key: fmt.Sprintf("%s %s %d", r.ID, to, d.Now().UnixMicro()),
	}, d.Now())
}

func digestText(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// ticket makes the ticket through the delivery log.
func (d *Desk) ticket(ctx context.Context, tracker connector.Tracker, ticket connector.Ticket) (receipt connector.Receipt, err error) {
	_, err = d.Log.Do(ctx, action.Effect{
		Key: ticket.Key + " ticket", Kind: action.KindTicket, Target: withoutUser(ticket.Remote), Payload: digestText(ticket.Title + "\x00" + ticket.Body), Idempotent: true,
		Send: func(ctx context.Context) (action.Answer, error) {
			receipt, err = tracker.OpenTicket(ctx, ticket)
			return action.Answer{Ref: receipt.Ref, URL: receipt.URL, Reply: receipt.Outcome}, action.ForgeError(err)
		},
	})
	return receipt, err
}

// delegate asks the agent, once: asking a second time could start it a second time.
func (d *Desk) delegate(ctx context.Context, tracker connector.Tracker, ticket connector.Ticket, number int, request HandOffRequest) (receipt connector.Receipt, err error) {
	to := connector.Delegation{Mode: request.Mode, Agent: request.Agent, Target: request.Target, Text: "please work on this ticket as it says. Open one pull request that refers to it."}
	if request.Mode == connector.DelegateREST {
		to.Text = ticket.Title + "\n\n" + ticket.Body
	}
	answer, err := d.Log.Do(ctx, action.Effect{
		Key: ticket.Key + " " + request.Mode + " " + request.Agent, Kind: action.KindDelegate, Target: withoutUser(ticket.Remote), Payload: digestText(to.Mode + to.Agent + to.Text),
		Look: func(context.Context) (action.Answer, bool, error) {
			return action.Answer{}, false, fmt.Errorf("%w: whether the agent was asked shows at the ticket", action.ErrUnclear)
		},
		Send: func(ctx context.Context) (action.Answer, error) {
			receipt, err = tracker.Delegate(ctx, ticket.Remote, number, to)
			return action.Answer{Ref: receipt.Ref, URL: receipt.URL, Reply: receipt.Outcome}, action.ForgeError(err)
		},
	})
	receipt.URL = cmp.Or(receipt.URL, answer.URL)
	return receipt, err
}
