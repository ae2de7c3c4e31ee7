package action

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/backstitch/backstitch/store"
)

// Verdicts of an approval.
const (
	VerdictApprove = "approve"
	VerdictRefuse  = "refuse"
)

// Approval is what a person said of a delivery.
type Approval struct {
	N        int64  `json:"n"`
	Verdict  string `json:"verdict"`
	Approver string `json:"approver"`
	At       int64  `json:"at"`
	Expires  int64  `json:"expires"`
	Binding  string `json:"binding"` // digest of all that it is bound to
	Plan     string `json:"plan"`
	Base     string `json:"base"`
	Reason   string `json:"reason,omitempty"`
	VoidedAt int64  `json:"voided_at,omitempty"`
	VoidWhy  string `json:"void_why,omitempty"`
}

var (
	insertApproval  = queries.Named("insert_approval")
	selectApprovals = queries.Named("approvals")
	voidApprovals   = queries.Named("void_approvals")
)

// binding is the digest of all that an approval is bound to.
func (d *Delivery) binding() string {
	sum := sha256.New()
	for _, part := range []string{d.Kind, d.Target, d.Plan, d.Base, d.Payload} {
		fmt.Fprintf(sum, "%d:%s", len(part), part)
	}
	return "sha256:" + hex.EncodeToString(sum.Sum(nil))
}

func approvalsOf(ctx context.Context, tx store.Tx, key string) ([]Approval, error) {
	var list []Approval
	err := tx.Query(ctx, selectApprovals, func(row store.Row) error {
		list = append(list, Approval{
			N: row.Int(0), Verdict: row.Text(1), Approver: row.Text(2), At: row.Int(3), Expires: row.Int(4), Binding: row.Text(5),
			Plan: row.Text(6), Base: row.Text(7), Reason: row.Text(8), VoidedAt: row.Int(9), VoidWhy: row.Text(10),
		})
		return nil
	}, store.Text(key))
	return list, err
}

// unapproved says why no approval holds for d, "" when one does.
func (l *Log) unapproved(ctx context.Context, tx store.Tx, d *Delivery) (string, error) {
	list, err := approvalsOf(ctx, tx, d.Key)
	if err != nil {
		return "", err
	}
	why := "it needs a person's approval"
	for _, a := range list {
		switch {
		case a.Verdict != VerdictApprove:
		case a.VoidedAt != 0:
			why = fmt.Sprintf("the approval of %s is void: %s", a.Approver, a.VoidWhy)
		case a.Binding != d.binding():
			why = fmt.Sprintf("the approval of %s is for something else", a.Approver)
		case same(a.Approver, d.Requester):
			why = fmt.Sprintf("%s asked for it and cannot approve it", a.Approver)
		case a.Expires <= l.micros():
			why = fmt.Sprintf("the approval of %s expired at %s", a.Approver, time.UnixMicro(a.Expires).UTC().Format(time.RFC3339))
		default:
			return "", nil
		}
	}
	return why, nil
}

// same says whether two names are one person's, however they are written.
func same(a, b string) bool {
	return strings.EqualFold(strings.Join(strings.Fields(a), " "), strings.Join(strings.Fields(b), " "))
}

// void takes the approvals of d back.
func (l *Log) void(ctx context.Context, tx store.Tx, d *Delivery, why string) error {
	if _, err := tx.Exec(ctx, voidApprovals, store.Int(l.micros()), store.Text(clean(why)), store.Text(d.Key)); err != nil {
		return fmt.Errorf("delivery %s: void its approvals: %w", d.Key, err)
	}
	if d.State == Approved {
		return l.move(ctx, tx, d, AwaitingApproval, l.Holder, "its approval is void: "+why)
	}
	return nil
}

// Word is what a person says of a delivery.
type Word struct {
	Actor  string
	Reason string
	// Binding is what the person saw, "" for whatever the delivery is now. An
	// approval of another one is refused.
	Binding string
	// Valid is how long an approval holds, default that of the policy.
	Valid time.Duration
	// Override lets the delivery pass limits and quiet hours from now on.
	Override bool
}

func (w *Word) check() error {
	w.Actor, w.Reason = clean(strings.Join(strings.Fields(w.Actor), " ")), clean(w.Reason)
	switch {
	case w.Actor == "":
		return fmt.Errorf("expected the name of who says so")
	case w.Valid < 0 || w.Valid > maxSpan:
		return fmt.Errorf("an approval for %v: expected at most %v", w.Valid, maxSpan)
	}
	return nil
}

// Approve approves a delivery that awaits it. Settle sends it then.
func (l *Log) Approve(ctx context.Context, key string, word Word) (Delivery, error) {
	if l.broken != nil {
		return Delivery{}, fmt.Errorf("nothing is approved without a policy: %w", l.broken)
	}
	if word.Valid == 0 {
		word.Valid = l.policy.ApprovalValid
	}
	return l.say(ctx, key, word, VerdictApprove, func(tx store.Tx, d *Delivery) error {
		switch {
		case d.State != AwaitingApproval:
			return fmt.Errorf("approve delivery %s, which is %s: %w", d.Key, d.State, ErrState)
		case d.Requester == "":
			return fmt.Errorf("approve delivery %s: nobody is recorded as having asked for it, so that anybody might be", d.Key)
		case same(word.Actor, d.Requester):
			return fmt.Errorf("approve delivery %s: %s asked for it; another person has to approve it", d.Key, d.Requester)
		}
		return l.move(ctx, tx, d, Approved, word.Actor, "approved until "+l.now().Add(word.Valid).UTC().Format(time.RFC3339)+reason(word.Reason))
	})
}

// Refuse says no to a delivery that was not sent yet.
func (l *Log) Refuse(ctx context.Context, key string, word Word) (Delivery, error) {
	return l.say(ctx, key, word, VerdictRefuse, func(tx store.Tx, d *Delivery) error {
		if d.State != AwaitingApproval && d.State != Approved && d.State != Held {
			return fmt.Errorf("refuse delivery %s, which is %s: %w", d.Key, d.State, ErrState)
		}
		if err := l.void(ctx, tx, d, "refused by "+word.Actor); err != nil {
			return err
		}
		return l.move(ctx, tx, d, Refused, word.Actor, "refused by "+word.Actor+reason(word.Reason))
	})
}

func reason(text string) string {
	if text == "" {
		return ""
	}
	return ": " + text
}

func (l *Log) say(ctx context.Context, key string, word Word, verdict string, move func(store.Tx, *Delivery) error) (d Delivery, err error) {
	if err := word.check(); err != nil {
		return d, fmt.Errorf("%s delivery %s: %w", verdict, clean(key), err)
	}
	err = l.db.Write(ctx, store.Durable, func(tx store.Tx) (err error) {
		if d, err = get(ctx, tx, key); err != nil {
			return err
		}
		if word.Binding != "" && word.Binding != d.binding() {
			return fmt.Errorf("%s delivery %s: it is not what you saw (%s) any longer, but %s", verdict, d.Key, clean(word.Binding), d.binding())
		}
		fence := d.Fence
		if err := move(tx, &d); err != nil {
			return err
		}
		d.NotBefore = 0
		if word.Override {
			d.OverrideBy = word.Actor
		}
		approvals, err := approvalsOf(ctx, tx, key)
		if err != nil {
			return err
		}
		expires := int64(0)
		if verdict == VerdictApprove {
			expires = l.now().Add(word.Valid).UnixMicro()
		}
		if _, err := tx.Exec(ctx, insertApproval, store.Text(key), store.Int(int64(len(approvals)+1)), store.Text(verdict), store.Text(word.Actor),
			store.Int(l.micros()), store.Int(expires), store.Text(d.binding()), store.Text(d.Plan), store.Text(d.Base), store.Text(word.Reason)); err != nil {
			return fmt.Errorf("%s delivery %s: %w", verdict, d.Key, err)
		}
		return l.save(ctx, tx, &d, fence)
	})
	return d, err
}
