package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/action"
	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/intake"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/remediation"
	"github.com/backstitch/backstitch/store"
)

// Followed is what one look at a change brought.
type Followed struct {
	Remediation remediation.Remediation `json:"remediation"`
	Before      remediation.State       `json:"before"`
	Problem     string                  `json:"problem,omitempty"`
}

// Changes lists the remediations, the one that changed last first.
func (d *Desk) Changes(ctx context.Context) ([]remediation.Remediation, error) {
	return remediation.List(ctx, d.DB)
}

// Change gives a remediation with its life.
func (d *Desk) Change(ctx context.Context, id string) (remediation.Remediation, []remediation.Event, error) {
	r, err := remediation.Load(ctx, d.DB, id)
	if err != nil {
		return r, nil, err
	}
	events, err := remediation.Events(ctx, d.DB, id)
	return r, events, err
}

// Follow looks at every change that may have moved, or at those with the ids, and takes
// each as far as the evidence goes. A change whose forge cannot be asked is a problem;
// the others go on.
func (d *Desk) Follow(ctx context.Context, ids ...string) ([]Followed, error) {
	list, err := remediation.List(ctx, d.DB)
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if !slices.ContainsFunc(list, func(r remediation.Remediation) bool { return r.ID == id }) {
			_, err := remediation.Load(ctx, d.DB, id)
			return nil, err
		}
	}
	slices.SortFunc(list, func(a, b remediation.Remediation) int { return strings.Compare(a.ID, b.ID) })
	followed := []Followed{}
	for i, r := range list {
		if len(ids) > 0 && !slices.Contains(ids, r.ID) || len(ids) == 0 && !followable(r.State) {
			continue
		}
		d.Progress("following changes", i, len(list))
		one := Followed{Before: r.State}
		one.Remediation, err = d.follow(ctx, r)
		if ctx.Err() != nil {
			return followed, ctx.Err()
		}
		if err != nil && (len(ids) > 0 || r.State.Active() || r.State == remediation.Verified) {
			one.Problem = err.Error() // an end that cannot be looked at any more stays one
		}
		followed = append(followed, one)
	}
	d.Progress("", 0, 0)
	return followed, nil
}

// followable says whether looking may bring something: what is open or on its way, what
// was said no to and may be merged after all, and what is done and may come again.
func followable(s remediation.State) bool {
	return s.Active() || slices.Contains([]remediation.State{remediation.Verified, remediation.Rejected, remediation.Superseded, remediation.Failed, remediation.Abandoned}, s)
}

// underWay are the states in which a change is not at its forge yet, as far as was told.
func underWay(s remediation.State) bool {
	return slices.Contains([]remediation.State{remediation.AwaitingApproval, remediation.Approved, remediation.Applying}, s)
}

// life is one look at a change.
type life struct {
	*Desk
	r          remediation.Remediation
	forge      connector.Forge
	repository *git.Repository
	dir        string
}

func (d *Desk) follow(ctx context.Context, r remediation.Remediation) (remediation.Remediation, error) {
	if r.Head == "" && r.Ticket == 0 && !underWay(r.State) {
		return r, nil // nothing of it is outside
	}
	forge, err := d.Forge(r.Remote)
	if err != nil {
		return r, err
	}
	l := &life{Desk: d, r: r, forge: forge}
	if l.dir, err = d.checkout(ctx, r.Repository); err != nil {
		return r, err
	}
	if l.repository, err = git.Open(ctx, l.dir); err != nil {
		return r, err
	}
	defer l.repository.Close()
	switch {
	case r.Ticket > 0 && slices.Contains([]remediation.State{remediation.Applying, remediation.ChangeOpen, remediation.Rejected}, r.State):
		err = l.adopt(ctx)
	case r.Ticket > 0:
	case underWay(r.State):
		err = l.sent(ctx)
	case slices.Contains([]remediation.State{remediation.ChangeOpen, remediation.Rejected, remediation.Superseded, remediation.Abandoned, remediation.Failed}, r.State):
		err = l.atForge(ctx)
	}
	if err == nil && slices.Contains([]remediation.State{remediation.Merged, remediation.Built, remediation.Deployed, remediation.Verifying}, l.r.State) {
		err = l.afterMerge(ctx)
	}
	if err == nil && l.r.State == remediation.Verified {
		err = l.stillGone(ctx)
	}
	return l.r, err
}

// checkout finds where a repository was last looked at.
func (d *Desk) checkout(ctx context.Context, identity string) (string, error) {
	return d.recall(ctx, issue.Issue{ID: "of " + identity, Cause: fact.Cause{Locations: []fact.Location{{Repository: identity}}}})
}

func (l *life) place() connector.Place {
	return connector.Place{Repository: l.dir, Remote: l.r.Remote, Branch: l.r.Branch, Target: l.r.Target, Key: l.r.ID, Number: l.r.Number, Base: l.r.Base, Head: l.r.Head}
}

// take moves the change once by what is in its key.
func (l *life) take(ctx context.Context, to remediation.State, by, reason, once string, evidence ...fact.Evidence) (err error) {
	if to != l.r.State && !to.Active() || to == remediation.Merged {
		l.r.Settled = l.Now().UnixMicro()
	}
	l.r, err = remediation.Take(ctx, l.DB, l.r, remediation.Move{
		To: to, Actor: by, Reason: reason, Evidence: evidence, Key: strings.Join([]string{l.r.ID, string(to), once}, " "),
	}, l.Now())
	return err
}

// seenAt is evidence of a forge's word.
func (l *life) seenAt(method string, s connector.Standing) fact.Evidence {
	return fact.Evidence{Method: method, Source: cmp.Or(s.URL, l.r.URL, l.r.Remote+" "+l.r.Branch), Strength: fact.Attested, Detail: cmp.Or(s.Merge, s.Head)}
}

// atForge asks the forge how the change stands and acts on it.
func (l *life) atForge(ctx context.Context) error {
	follower, ok := l.forge.(connector.Follower)
	if !ok {
		return fmt.Errorf("%s cannot tell how a change stands", l.forge.Describe().ID)
	}
	standing, err := follower.Follow(ctx, l.place())
	switch {
	case errors.Is(err, connector.ErrNoChange), errors.Is(err, connector.ErrGone) && !errors.Is(err, connector.ErrLimited):
		if !l.r.State.Active() {
			return nil // it ended, and what it was is gone
		}
		return errors.Join(err, l.take(ctx, remediation.Abandoned, actor, cut(oneLine(err.Error()), 300), l.r.Head))
	case err != nil:
		return err
	}
	l.r.Number, l.r.URL = cmp.Or(standing.Number, l.r.Number), cmp.Or(standing.URL, l.r.URL)
	switch standing.State {
	case connector.ChangeMerged:
		return l.merged(ctx, standing)
	case connector.ChangeClosed:
		if l.r.State == remediation.Superseded || l.r.State == remediation.Abandoned {
			return nil
		}
		return l.closed(ctx, standing)
	}
	if l.r.State != remediation.ChangeOpen {
		return l.reopened(ctx, standing)
	}
	if done, err := l.obey(ctx, standing); done || err != nil {
		return err
	}
	authors := standing.Authors
	if !slices.Equal(authors, l.r.HandsOff) {
		reason := "nobody else's commits are on the branch any more"
		if len(authors) > 0 {
			reason = "hands off: " + cut(oneLine(strings.Join(authors, ", ")), 200) + " put commits on the branch"
		}
		l.r.HandsOff = authors
		if err := l.take(ctx, remediation.ChangeOpen, actor, reason, fmt.Sprintf("hands %d %s", l.Now().UnixMicro(), standing.Head), l.seenAt("commits of others", standing)); err != nil {
			return err
		}
	}
	if len(authors) > 0 {
		return nil
	}
	return l.keepCurrent(ctx, standing)
}

// sent looks what became of a change that was to be sent: the delivery log says whether a
// person or the forge refused it, and the forge whether it is there, also when whoever
// sent it died before saying so.
func (l *life) sent(ctx context.Context) error {
	record, err := l.Log.Show(ctx, l.r.ID)
	if err != nil && !errors.Is(err, store.ErrNotFound) {
		return err
	}
	said := fact.Evidence{Method: "delivery", Source: l.r.ID, Strength: fact.Attested, Detail: string(record.State)}
	once := fmt.Sprintf("delivery %d", record.Fence)
	switch record.State {
	case action.Refused:
		return l.take(ctx, remediation.Rejected, actor, "the delivery was refused: "+cut(oneLine(record.Why), 300), once, said)
	case action.Failed:
		return l.take(ctx, remediation.Failed, actor, cut(oneLine("the delivery failed: "+cmp.Or(record.Reply, record.Why)), 500), once, said)
	}
	follower, ok := l.forge.(connector.Follower)
	if !ok {
		return nil
	}
	standing, err := follower.Follow(ctx, l.place())
	if errors.Is(err, connector.ErrNoChange) || err == nil && (standing.Head == "" || standing.State == connector.ChangeClosed) {
		return nil // not there yet
	}
	if err != nil {
		return err
	}
	return l.found(ctx, standing, "found at its forge")
}

// found takes a change that is open or merged at its forge for what it is there.
func (l *life) found(ctx context.Context, s connector.Standing, reason string) error {
	l.r.Head, l.r.Number, l.r.URL = s.Head, cmp.Or(s.Number, l.r.Number), cmp.Or(s.URL, l.r.URL)
	l.r.Opened, l.r.HandsOff, l.r.AskedWhy, l.r.Settled = l.Now().UnixMicro(), nil, false, 0
	evidence := l.seenAt(reason, s)
	if l.r.State != remediation.Applying {
		if err := l.take(ctx, remediation.Applying, actor, "", fmt.Sprintf("%s %d", reason, l.r.Opened)); err != nil {
			return err
		}
	}
	if err := l.take(ctx, remediation.ChangeOpen, actor, reason, fmt.Sprintf("%s %d", reason, l.r.Opened), evidence); err != nil {
		return err
	}
	if s.State == connector.ChangeMerged {
		return l.merged(ctx, s)
	}
	return l.moveIssues(ctx, l.r.Issues, issue.InProgress, issue.ChangeOpen, evidence)
}

// reopened takes back a "no" or an end when people open the change again.
func (l *life) reopened(ctx context.Context, s connector.Standing) error {
	if l.r.State == remediation.Failed {
		return nil // what stands there is an older form of what failed
	}
	if err := l.take(ctx, remediation.Proposed, actor, "people opened it again", fmt.Sprintf("reopened %d", l.Now().UnixMicro()), l.seenAt("open again", s)); err != nil {
		return err
	}
	return l.found(ctx, s, "opened again by people")
}

func (l *life) merged(ctx context.Context, s connector.Standing) error {
	l.r.Merge = cmp.Or(s.Merge, s.Head)
	evidence := l.seenAt("merged", s)
	if err := l.take(ctx, remediation.Merged, cmp.Or(oneLine(s.By), actor), "merged into "+s.Target, l.r.Merge, evidence); err != nil {
		return err
	}
	if err := l.Log.MarkClosed(ctx, l.r.ID, actor, "merged"); err != nil {
		return err
	}
	return l.moveIssues(ctx, l.r.Issues, issue.InProgress, issue.Merged, evidence)
}

// question asks for the reason of a "no".
const question = "This was closed without being merged, so it will not be offered again. Why? Answer with one of\n\n" +
	"    /backstitch reason accepted-risk TEXT\n    /backstitch reason wrong-owner TEXT\n    /backstitch reason bad-fix TEXT\n"

// closed remembers a "no" and asks once for its reason.
func (l *life) closed(ctx context.Context, s connector.Standing) error {
	reason := "closed without being merged"
	if said := reasonOf(s.Comments); said != "" {
		reason += ": " + said
	} else if n := len(s.Comments); n > 0 {
		reason += "; the last word was: " + cut(oneLine(s.Comments[n-1].Text), 200)
	}
	if l.r.State == remediation.Rejected {
		if l.r.Reason == reason || reasonOf(s.Comments) == "" {
			return nil
		}
		return l.learn(ctx, reason, s)
	}
	if commenter, ok := l.forge.(connector.Commenter); ok && reasonOf(s.Comments) == "" && !l.r.AskedWhy {
		if err := l.comment(ctx, commenter, "why", question); err != nil {
			return err
		}
		l.r.AskedWhy = true
	}
	if err := l.take(ctx, remediation.Rejected, cmp.Or(oneLine(s.By), "people"), reason, fmt.Sprintf("%s closed %d", cmp.Or(s.Head, l.r.Head), l.r.Opened), l.seenAt("closed unmerged", s)); err != nil {
		return err
	}
	if err := l.Log.MarkClosed(ctx, l.r.ID, actor, "closed unmerged"); err != nil {
		return err
	}
	return l.moveIssues(ctx, l.r.Issues, issue.Open, "", l.seenAt("change closed unmerged", s))
}

// learn keeps the reason that people gave after they were asked.
func (l *life) learn(ctx context.Context, reason string, s connector.Standing) error {
	if err := l.take(ctx, remediation.Proposed, actor, "the reason of the no was told", reason+" told"); err != nil {
		return err
	}
	return l.take(ctx, remediation.Rejected, cmp.Or(oneLine(s.By), "people"), reason, reason, l.seenAt("reason told", s))
}

// reasonOf reads the last "/backstitch reason" that a member said.
func reasonOf(comments []connector.Comment) (reason string) {
	for _, c := range comments {
		if text, ok := command(c, "reason"); ok && text != "" {
			reason = cut(text, 300)
		}
	}
	return reason
}

// command reads a command of ours from a comment of somebody who may write: the line
// begins with it, and nothing in it is hidden.
func command(c connector.Comment, name string) (rest string, ok bool) {
	if !c.Member {
		return "", false
	}
	for line := range strings.Lines(c.Text) {
		text, found := strings.CutPrefix(oneLine(line), "/backstitch "+name)
		if found && (text == "" || text[0] == ' ') && !strings.Contains(line, "<!--") {
			rest, ok = strings.TrimSpace(text), true
		}
	}
	return rest, ok
}

// obey does what members asked for in comments: rebase, ignore, explain. done says that
// the change was settled by it.
func (l *life) obey(ctx context.Context, s connector.Standing) (done bool, err error) {
	for _, c := range s.Comments {
		if c.At > 0 && c.At < l.r.Opened {
			continue
		}
		if why, ok := command(c, "ignore"); ok {
			if err := l.close(ctx, s, "closed as asked"); err != nil {
				return true, err
			}
			return true, l.closedBy(ctx, c, why, s)
		}
		if _, ok := command(c, "rebase"); ok && len(s.Authors) == 0 {
			once := "rebase " + c.ID
			if seen, err := l.did(ctx, once); err != nil || seen {
				return false, err
			}
			if err := l.take(ctx, remediation.ChangeOpen, oneLine(c.Author), "asked to rebase", once); err != nil {
				return false, err
			}
			return true, l.renew(ctx, s)
		}
		if _, ok := command(c, "explain"); ok {
			if commenter, can := l.forge.(connector.Commenter); can {
				return false, l.comment(ctx, commenter, "explain "+c.ID, l.explanation())
			}
		}
	}
	return false, nil
}

// did says whether a move with the key was taken.
func (l *life) did(ctx context.Context, once string) (bool, error) {
	events, err := remediation.Events(ctx, l.DB, l.r.ID)
	return slices.ContainsFunc(events, func(e remediation.Event) bool { return strings.HasSuffix(e.Key, " "+once) }), err
}

func (l *life) closedBy(ctx context.Context, c connector.Comment, why string, s connector.Standing) error {
	if err := l.take(ctx, remediation.Rejected, oneLine(c.Author), cmp.Or("told to ignore it: "+why), "ignore "+c.ID, l.seenAt("told to ignore it", s)); err != nil {
		return err
	}
	if err := l.Log.MarkClosed(ctx, l.r.ID, actor, "told to ignore it"); err != nil {
		return err
	}
	return l.moveIssues(ctx, l.r.Issues, issue.Open, "", l.seenAt("change ignored", s))
}

func (l *life) explanation() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s\n\n", quote(l.r.Path.Summary))
	fmt.Fprintf(&b, "Chosen because: %s\n\nCloses %s.\n", quote(l.r.Path.Reason), strings.Join(l.r.Issues, ", "))
	if l.r.Path.Verification != nil {
		b.WriteString("\nProof: " + l.r.Path.Verification.Status + "\n\n")
		for _, check := range l.r.Path.Verification.Checks {
			fmt.Fprintf(&b, "- %s: %s (%s)\n", check.Status, quote(check.Name), quote(check.Detail))
		}
	}
	return b.String()
}

func (l *life) comment(ctx context.Context, commenter connector.Commenter, key, body string) error {
	key = l.r.ID + " " + key
	_, err := l.Log.Do(ctx, action.Effect{
		Key: key, Kind: action.KindComment, Target: withoutUser(l.r.Remote), Payload: digestText(body), Base: l.r.Base, Idempotent: true,
		Send: func(ctx context.Context) (action.Answer, error) {
			receipt, err := commenter.Comment(ctx, l.place(), key, body)
			return action.Answer{Ref: receipt.Ref, URL: receipt.URL, Reply: receipt.Outcome}, action.ForgeError(err)
		},
	})
	return err
}

// keepCurrent brings an open change up to date when its target or the recommendation
// moved, and closes it when it is overtaken.
func (l *life) keepCurrent(ctx context.Context, s connector.Standing) error {
	why := ""
	alive := false
	for _, id := range l.r.Issues {
		it, err := issue.Load(ctx, l.DB, id)
		if err != nil {
			continue // merged into another since
		}
		if it.State == issue.Resolved || it.State == issue.Rejected {
			why = fmt.Sprintf("issue %s is %s (%s)", it.ID, it.State, it.Reason)
			continue
		}
		alive = true
		for _, path := range it.FixPaths {
			if path.Recommended && changeKey(l.r.Repository, path) != l.r.ID && !slices.ContainsFunc(it.FixPaths, func(p fix.Path) bool { return changeKey(l.r.Repository, p) == l.r.ID }) {
				why, alive = "another way is better now: "+path.Summary, false
			}
		}
	}
	if !alive && why != "" {
		return l.withdraw(ctx, s, why)
	}
	if current := l.currentPath(ctx); current != l.r.Path.ID {
		return l.renew(ctx, s) // what is recommended moved
	}
	if !s.Conflict && s.Tip == l.r.Base {
		return nil
	}
	contained, err := l.repository.Contains(ctx, s.Tip, l.r.Base)
	if err != nil || contained && !s.Conflict && !l.touched(ctx, s.Tip) {
		return err // the target moved elsewhere
	}
	return l.renew(ctx, s)
}

// touched says whether the target changed files of the change since its base.
func (l *life) touched(ctx context.Context, tip string) bool {
	ours, err := l.repository.Changed(ctx, l.r.Base, l.r.Head)
	if err != nil {
		return true
	}
	theirs, err := l.repository.Changed(ctx, l.r.Base, tip)
	if err != nil {
		return true
	}
	for name := range ours {
		if _, both := theirs[name]; both {
			return true
		}
	}
	return false
}

// close closes the change at its forge, through the delivery log.
func (l *life) close(ctx context.Context, s connector.Standing, why string) error {
	_, err := l.Log.Do(ctx, action.Effect{
		Key: l.r.ID + " close " + s.Head, Kind: action.KindWithdraw, Target: withoutUser(l.r.Remote), Payload: digestText(why), Base: l.r.Base, Idempotent: true,
		Send: func(ctx context.Context) (action.Answer, error) {
			receipt, err := l.forge.(connector.Follower).Withdraw(ctx, l.place(), s.Head, why)
			return action.Answer{Ref: receipt.Ref, URL: receipt.URL, Reply: receipt.Outcome}, action.ForgeError(err)
		},
	})
	return err
}

func (l *life) withdraw(ctx context.Context, s connector.Standing, why string) error {
	if err := l.close(ctx, s, why); err != nil {
		return err
	}
	if err := l.take(ctx, remediation.Superseded, actor, cut(oneLine(why), 300), fmt.Sprintf("%s overtaken %d", s.Head, l.r.Opened), l.seenAt("overtaken", s)); err != nil {
		return err
	}
	return l.Log.MarkClosed(ctx, l.r.ID, actor, "overtaken")
}

// renew proves the change on the target as it is now and puts it on its branch anew.
// When the flaw is no longer there, the change is overtaken.
func (l *life) renew(ctx context.Context, s connector.Standing) error {
	if len(l.r.Issues) == 0 {
		return nil
	}
	if head, err := l.repository.Fetch(ctx, git.Remote{URL: l.r.Remote}, s.Target); err != nil || head != s.Tip {
		if has, checkErr := l.repository.Contains(ctx, s.Tip, s.Tip); checkErr != nil || !has {
			return errors.Join(fmt.Errorf("the target %s at %.12s is not in the checkout %s; fetch it there", s.Target, s.Tip, filepath.Base(l.dir)), err)
		}
	}
	it, err := l.asking(ctx)
	if err != nil {
		return err
	}
	opened, err := l.OpenFix(ctx, FixRequest{
		Issue: it.ID, Path: l.currentPath(ctx), Repo: l.dir, Commit: s.Tip, Remote: l.r.Remote, Target: l.r.Target,
		Unproven: l.r.Draft, By: actor,
	})
	if err != nil {
		return err
	}
	l.r = opened.Remediation
	if opened.Verification.Status == fact.VerificationFailed && opened.Receipt.Ref == "" {
		return l.withdraw(ctx, s, "on "+s.Target+" as it is now: "+firstFault(opened.Verification))
	}
	return nil
}

// asking gives the first of the change's issues that still asks for something, the first
// of all when none does.
func (l *life) asking(ctx context.Context) (issue.Issue, error) {
	for _, id := range l.r.Issues {
		it, err := issue.Load(ctx, l.DB, id)
		if err == nil && it.State != issue.Resolved && it.State != issue.Rejected {
			return it, nil
		}
		if err != nil && !errors.Is(err, store.ErrNotFound) {
			return it, err
		}
	}
	return issue.Load(ctx, l.DB, l.r.Issues[0])
}

// currentPath is the id of the issue's path that is this change, as it was last planned:
// the one that was chosen as long as it is there, else the recommended one that changes
// the same, else any that does.
func (l *life) currentPath(ctx context.Context) string {
	it, err := l.asking(ctx)
	if err != nil {
		return l.r.Path.ID
	}
	current := ""
	for _, path := range it.FixPaths {
		if path.ID == l.r.Path.ID {
			return path.ID
		}
		if changeKey(l.r.Repository, path) == l.r.ID && (current == "" || path.Recommended) {
			current = path.ID
		}
	}
	return cmp.Or(current, l.r.Path.ID)
}

// afterMerge follows a merged change into images, to what runs, and to the look that
// shows it gone or still there.
func (l *life) afterMerge(ctx context.Context) error {
	if err := l.built(ctx); err != nil {
		return err
	}
	issues, findings, err := l.findings(ctx)
	if err != nil {
		return err
	}
	open, newest := 0, int64(0)
	for i := range findings {
		f := &findings[i]
		if f.State == issue.FindingUnconfirmed || !l.concerns(f) {
			continue
		}
		open++
		newest = max(newest, f.LastSeen)
	}
	looked, err := l.lookedAt(ctx)
	if err != nil {
		return err
	}
	switch {
	case len(findings) == 0:
		return nil
	case open == 0 && looked:
		evidence := fact.Evidence{Method: "not seen by a complete look", Source: l.r.Repository, Strength: fact.Proven, Detail: fmt.Sprintf("%d findings that were there before the change are no longer seen, by a look at what holds %.12s", len(findings), l.r.Merge)}
		if err := l.take(ctx, remediation.Verified, actor, "an independent look no longer sees it", l.r.Merge, evidence); err != nil {
			return err
		}
		return l.moveIssues(ctx, issues, issue.Resolved, issue.FixedVerified, evidence)
	case open > 0 && looked && newest > l.r.Settled:
		cause, evidence, err := l.recurrence(ctx, findings)
		if err != nil {
			return err
		}
		if evidence.Method == "revert" {
			if err := l.take(ctx, remediation.RolledBack, actor, cause, l.r.Merge, evidence); err != nil {
				return err
			}
			return l.moveIssues(ctx, issues, issue.Open, "", evidence)
		}
		evidence = fact.Evidence{Method: "seen again", Source: l.r.Repository, Strength: fact.Attested, Detail: fmt.Sprintf("%d findings are still seen where %.12s is in force", open, l.r.Merge)}
		if err := l.take(ctx, remediation.Regressed, actor, evidence.Detail, l.r.Merge, evidence); err != nil {
			return err
		}
		return l.moveIssues(ctx, issues, issue.Open, "", evidence)
	}
	return nil
}

// lastLook gives the commit of the repository that was looked at last, and when.
func (l *life) lastLook(ctx context.Context) (commit string, at int64, err error) {
	err = l.DB.Read(ctx, func(tx store.Tx) error {
		return tx.Query(ctx, lastLook, func(row store.Row) error {
			commit, at = row.Text(0), row.Int(1)
			return nil
		}, store.Text(l.r.Repository))
	})
	return commit, at, err
}

// findings gives the findings of the change's issues.
func (l *life) findings(ctx context.Context) (ids []string, list []issue.StoredFinding, err error) {
	for _, id := range l.r.Issues {
		it, err := issue.Load(ctx, l.DB, id)
		if err != nil {
			continue // merged into another since
		}
		ids = append(ids, it.ID)
		stored, err := intake.Load(ctx, l.DB, it.Assets)
		if err != nil {
			return nil, nil, err
		}
		for i := range stored {
			if it.Holds(&stored[i]) {
				list = append(list, stored[i])
			}
		}
	}
	return ids, list, nil
}

// concerns says whether a finding speaks of something that could hold the change: an
// image only when it is one of those that were built with it.
func (l *life) concerns(f *issue.StoredFinding) bool {
	if f.Asset.Kind != fact.AssetImage || len(l.r.Images) == 0 {
		return true
	}
	return slices.Contains(l.r.Images, f.Asset.Key)
}

// lookedAt says whether something that holds the change was looked at since: the
// repository at a commit that has it, or an image that was built with it.
func (l *life) lookedAt(ctx context.Context) (bool, error) {
	if len(l.r.Images) > 0 {
		return true, nil
	}
	commit, at, err := l.lastLook(ctx)
	if err != nil || commit == "" || at < l.r.Settled {
		return false, err
	}
	return l.repository.Contains(ctx, commit, l.r.Merge)
}

// revisionLabel names the commit that an image was built from.
const revisionLabel = "label:org.opencontainers.image.revision"

// built looks in the graph for images of the merged revision and for what runs them.
func (l *life) built(ctx context.Context) error {
	revisions := map[string]string{}
	names := map[string]string{}
	if err := l.Graph.List(ctx, []string{fact.AssetImage}, func(one graph.Listed) error {
		for _, said := range one.Said {
			if revision := said.Properties[revisionLabel]; revision != "" {
				revisions[one.Asset.Key], names[one.Asset.Key] = revision, cmp.Or(one.Asset.Name, one.Asset.Key)
			}
		}
		return nil
	}); err != nil {
		return fmt.Errorf("images of %s: %w", l.r.Repository, err)
	}
	for _, key := range slices.Sorted(maps.Keys(revisions)) {
		if slices.Contains(l.r.Images, key) {
			continue
		}
		if holds, err := l.repository.Contains(ctx, revisions[key], l.r.Merge); err != nil || !holds {
			continue // a revision of another repository, or none at all
		}
		l.r.Images = append(l.r.Images, key)
		evidence := fact.Evidence{Method: "image label org.opencontainers.image.revision", Source: key, Strength: fact.Declared, Detail: revisions[key]}
		to := remediation.Built
		if l.r.State == remediation.Deployed {
			to = remediation.Deployed
		}
		if err := l.take(ctx, to, actor, "built into "+names[key], key, evidence); err != nil {
			return err
		}
	}
	for _, key := range l.r.Images {
		view, err := l.Graph.Asset(ctx, fact.AssetImage, key, time.Time{})
		if errors.Is(err, graph.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		for _, one := range view.In {
			if one.Kind != fact.InstanceOf || one.Asset.Kind != fact.AssetWorkload || slices.Contains(l.r.Workloads, one.Asset.Key) {
				continue
			}
			l.r.Workloads = append(l.r.Workloads, one.Asset.Key)
			evidence := fact.Evidence{Method: "workload runs the image", Source: one.Asset.Key, Strength: one.Strength, Detail: key}
			if err := l.take(ctx, remediation.Deployed, actor, "runs in "+cmp.Or(one.Asset.Name, one.Asset.Key), one.Asset.Key+" "+key, evidence); err != nil {
				return err
			}
			if err := l.moveIssues(ctx, l.r.Issues, issue.InProgress, issue.Deployed, evidence); err != nil {
				return err
			}
		}
	}
	return nil
}

// stillGone looks whether what was verified came again, and by what.
func (l *life) stillGone(ctx context.Context) error {
	ids, findings, err := l.findings(ctx)
	if err != nil {
		return err
	}
	again := slices.ContainsFunc(findings, func(f issue.StoredFinding) bool {
		return f.State != issue.FindingUnconfirmed && f.LastSeen > l.r.Settled
	})
	if !again {
		return nil
	}
	cause, evidence, err := l.recurrence(ctx, findings)
	if err != nil {
		return err
	}
	to := remediation.Regressed
	if evidence.Method == "revert" {
		to = remediation.RolledBack
	}
	if err := l.take(ctx, to, actor, cause, fmt.Sprint(l.r.Settled), evidence); err != nil {
		return err
	}
	return l.moveIssues(ctx, ids, issue.Open, "", evidence)
}

// recurrence says why a finding is there again: a revert, another change of the same
// lines, an image that was built without the change, or what runs differing from what
// is declared.
func (l *life) recurrence(ctx context.Context, findings []issue.StoredFinding) (string, fact.Evidence, error) {
	commit, _, err := l.lastLook(ctx)
	if err != nil {
		return "", fact.Evidence{}, err
	}
	if commit != "" {
		steps, err := l.repository.Between(ctx, l.r.Merge, commit, false)
		if err != nil {
			return "", fact.Evidence{}, err
		}
		for _, step := range steps {
			for _, undone := range []string{l.r.Merge, l.r.Head} {
				if undone != "" && strings.Contains(step.Message, "This reverts commit "+undone) {
					return fmt.Sprintf("commit %.12s by %s reverts the change", step.ID, step.Author),
						fact.Evidence{Method: "revert", Source: step.ID, Strength: fact.Proven, Detail: cut(oneLine(step.Message), 200)}, nil
				}
			}
		}
		if holds, err := l.repository.Contains(ctx, commit, l.r.Merge); err == nil && !holds {
			return fmt.Sprintf("%.12s does not hold the merged change any more", commit),
				fact.Evidence{Method: "revert", Source: commit, Strength: fact.Proven, Detail: "its history lacks " + l.r.Merge}, nil
		}
		ours, err := l.repository.Changed(ctx, l.r.Base, l.r.Head)
		if err == nil {
			now, err := l.repository.Changed(ctx, l.r.Head, commit)
			if err == nil {
				for name := range ours {
					if _, changed := now[name]; changed {
						return name + " was changed again since", fact.Evidence{Method: "changed again", Source: name, Strength: fact.Derived, Detail: commit}, nil
					}
				}
			}
		}
	}
	for i := range findings {
		f := &findings[i]
		if f.State == issue.FindingUnconfirmed {
			continue
		}
		if f.Asset.Kind == fact.AssetImage && !slices.Contains(l.r.Images, f.Asset.Key) {
			return "an image without the change is seen: " + cmp.Or(f.Asset.Name, f.Asset.Key),
				fact.Evidence{Method: "new image", Source: f.Asset.Key, Strength: fact.Declared, Detail: "no image of the merged revision"}, nil
		}
		if f.Asset.Kind != fact.AssetRepository {
			return "what runs differs from what is declared: " + cmp.Or(f.Asset.Name, f.Asset.Key),
				fact.Evidence{Method: "drift", Source: f.Asset.Key, Strength: fact.Derived, Detail: "the repository still holds the change"}, nil
		}
	}
	return "seen again; what brought it is not known", fact.Evidence{Method: "seen again", Source: l.r.Repository, Strength: fact.Attested, Detail: commit}, nil
}
