// Package action is the delivery log of outside effects: branches, pull
// requests, comments, stopgaps, and later tickets and messages. Nothing leaves
// Backstitch except through it.
//
// # Once
//
// An effect has a natural key that the same effect always has and that its
// target shows in a list. Log.Do writes the intent with a deadline, durably,
// before the effect is sent, and the answer after it. What is not a definite
// answer (time-out, cut connection, server error, crash) leaves the delivery in
// doubt. One in doubt is never sent again before its deadline and the settle
// window of its target have passed; then the target is asked for the key by a
// list, and what it has is adopted; only what it has not is sent again. "Already
// exists" leads to the same look. Each holder of a delivery takes the next fence
// number, and what a former holder still reports is not recorded. Delivery is at
// least once; this and the key make it one visible effect as long as
//
//   - a request is over, or refused, when its deadline has passed. Send is given a
//     context that ends then, and is not begun after it; a machine that stands still
//     between that check and the first byte is not helped by this, nor is a target that
//     works on a request for longer than the settle window;
//   - the target's list shows what was made before the settle window is over, which
//     therefore is at least its lag and the difference of clocks of the processes.
//
// An effect that its target itself refuses a second time (a branch pushed with a
// lease on what stood there) is Idempotent: it is sent again at once.
//
// # States
//
//	awaiting_approval  a rule asks for a person's word, and there is none that holds
//	approved           it was said, and nothing was sent yet
//	held               a limit, quiet hours, the kill switch or the target hold it; Why and NotBefore say so
//	sending            the intent is written; it belongs to its holder until SettleAt
//	doubt              it may have happened; nobody sends it before SettleAt
//	sent               the target said so, or showed it
//	failed             the target did not take it, or every attempt went by without a trace
//	refused            a person said no
//	undone             it happened, and its undo did too
//
// Nothing is dropped: held and doubtful deliveries stay and are taken up by
// Log.Reconcile, failed, refused and undone ones by Log.Replay on a person's word.
// Every transition is kept as an event with its actor and reason.
//
// # Approvals
//
// An approval is bound to kind, target, plan digest, base commit and the digest
// of what is sent. Any change of these voids it for good; so does its expiry. Who
// asked for an effect cannot approve it.
//
// The package knows no forge: an Effect brings functions that look, send and
// undo. RegisterKind tells how to make them again from a stored delivery, so
// that a later process can settle what an earlier one left.
package action

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/backstitch/backstitch/store"
)

// State is the state of a delivery.
type State string

// States of a delivery; the package's documentation explains them.
const (
	AwaitingApproval State = "awaiting_approval"
	Approved         State = "approved"
	Held             State = "held"
	Sending          State = "sending"
	Doubt            State = "doubt"
	Sent             State = "sent"
	Failed           State = "failed"
	Refused          State = "refused"
	Undone           State = "undone"
)

// Settled says whether nothing more happens by itself.
func (s State) Settled() bool {
	return s == Sent || s == Failed || s == Refused || s == Undone
}

// Delivery is one outside effect and what became of it. Times are microseconds
// since 1970 UTC, 0 for none.
type Delivery struct {
	Key        string          `json:"key"`    // natural key, once only
	Kind       string          `json:"kind"`   // "propose", "pull_request" ...; "undo:KIND" for the undo of one
	Target     string          `json:"target"` // where it goes, without credentials
	Payload    string          `json:"payload"`
	Plan       string          `json:"plan,omitempty"`
	Base       string          `json:"base,omitempty"`
	Requester  string          `json:"requester,omitempty"`
	UndoOf     string          `json:"undo_of,omitempty"` // key of the delivery that this undoes
	State      State           `json:"state"`
	Why        string          `json:"why,omitempty"` // why it is in this state
	NotBefore  int64           `json:"not_before,omitempty"`
	Attempts   int             `json:"attempts"` // how often it was sent and not put off
	Fence      int64           `json:"fence"`    // how often it was taken up
	Holder     string          `json:"holder,omitempty"`
	Deadline   int64           `json:"deadline,omitempty"`  // of the last attempt
	SettleAt   int64           `json:"settle_at,omitempty"` // until when nobody but the holder may touch it
	IntendedAt int64           `json:"intended_at,omitempty"`
	Stands     bool            `json:"stands"` // what it made counts as open at the target
	OverrideBy string          `json:"override_by,omitempty"`
	Ref        string          `json:"ref,omitempty"`
	URL        string          `json:"url,omitempty"`
	Reply      string          `json:"reply,omitempty"` // what the other side said, or the error
	CreatedAt  int64           `json:"created_at"`
	At         int64           `json:"at"` // of the last change
	Doc        json.RawMessage `json:"doc,omitempty"`
	events     int64
	stood      bool // while it is sent: what an earlier form made stands
}

// Event is one transition of a delivery.
type Event struct {
	N     int64  `json:"n"`
	At    int64  `json:"at"`
	Actor string `json:"actor"`
	From  State  `json:"from,omitempty"`
	To    State  `json:"to"`
	Fence int64  `json:"fence"`
	Why   string `json:"why,omitempty"`
}

//go:embed queries.sql
var queryText string

var queries = store.ParseQueries("action", queryText)

// Queries lists the queries of this package, for the conformance suite.
func Queries() *store.Queries { return queries }

var (
	getDelivery    = queries.Named("get")
	listDeliveries = queries.Named("list")
	insertDelivery = queries.Named("insert")
	updateDelivery = queries.Named("update")
	insertEvent    = queries.Named("insert_event")
	selectEvents   = queries.Named("events")
)

// Errors of a delivery log.
var (
	// ErrTakenOver says that another process took a delivery up meanwhile; what
	// became of it is in the log.
	ErrTakenOver = errors.New("another process took the delivery up meanwhile")
	// ErrOther says that the key was used for another effect.
	ErrOther = errors.New("another effect was sent under this key")
	// ErrState says that a delivery is in no state for what was asked.
	ErrState = errors.New("the delivery is not in a state for this")
)

// Log is the delivery log of one store. It is safe for concurrent use, by
// several processes on one store too.
type Log struct {
	// Actor is who asks for effects that name no requester, "" for unknown.
	Actor string
	// Override is who lets all that this log sends pass limits and quiet hours, ""
	// for nobody. It is recorded with every delivery.
	Override string
	// Holder names this process in the log, default "backstitch".
	Holder string

	db     store.Engine
	now    func() time.Time
	poll   time.Duration // how often an effect under way looks for the kill switch
	policy *Policy
	broken error // why there is no policy
	kinds  map[string]Revive
}

// haltPoll leaves room for several looks in the second within which the kill
// switch has to halt everything.
const haltPoll = 200 * time.Millisecond

// New opens the delivery log of a store under the default policy.
func New(db store.Engine, now func() time.Time) *Log {
	return &Log{Holder: "backstitch", db: db, now: now, poll: haltPoll, policy: &Policy{location: time.UTC, PerDay: defaultPerDay, ApprovalValid: defaultApprovalValid}, kinds: map[string]Revive{}}
}

// Use puts a log under a policy. With an error in its place nothing is sent
// until there is a policy: what cannot be read might forbid it.
func (l *Log) Use(policy *Policy, broken error) { l.policy, l.broken = policy, broken }

// Revive makes the effect of a stored delivery again, from its Doc.
type Revive func(ctx context.Context, d Delivery) (Effect, error)

// RegisterKind tells how effects of a kind are made again. It is called before
// the log is used.
func (l *Log) RegisterKind(kind string, revive Revive) { l.kinds[kind] = revive }

// Knows says whether effects of a kind can be made again, so that Settle and
// Reconcile can send them.
func (l *Log) Knows(kind string) bool { return l.kinds[kind] != nil }

// List gives every delivery in the order in which they were asked for.
func (l *Log) List(ctx context.Context) ([]Delivery, error) {
	var list []Delivery
	err := l.db.Read(ctx, func(tx store.Tx) error {
		return tx.Query(ctx, listDeliveries, func(row store.Row) error {
			list = append(list, scan(row))
			return nil
		})
	})
	return list, err
}

// Record is a delivery with its whole history.
type Record struct {
	Delivery
	Binding   string     `json:"binding"` // what an approval is bound to
	Approvals []Approval `json:"approvals"`
	Events    []Event    `json:"events"`
}

// Show gives a delivery with its history. The error is store.ErrNotFound when
// there is none.
func (l *Log) Show(ctx context.Context, key string) (Record, error) {
	var record Record
	err := l.db.Read(ctx, func(tx store.Tx) (err error) {
		d, err := get(ctx, tx, key)
		if err != nil {
			return err
		}
		record, err = history(ctx, tx, d)
		return err
	})
	return record, err
}

func history(ctx context.Context, tx store.Tx, d Delivery) (Record, error) {
	record := Record{Delivery: d, Binding: d.binding(), Approvals: []Approval{}, Events: []Event{}}
	approvals, err := approvalsOf(ctx, tx, d.Key)
	if err != nil {
		return record, err
	}
	record.Approvals = append(record.Approvals, approvals...)
	err = tx.Query(ctx, selectEvents, func(row store.Row) error {
		record.Events = append(record.Events, Event{
			N: row.Int(0), At: row.Int(1), Actor: row.Text(2), From: State(row.Text(3)), To: State(row.Text(4)), Fence: row.Int(5), Why: row.Text(6),
		})
		return nil
	}, store.Text(d.Key))
	return record, err
}

func scan(row store.Row) Delivery {
	d := Delivery{
		Key: row.Text(0), Kind: row.Text(1), Target: row.Text(2), Payload: row.Text(3), Plan: row.Text(5), Base: row.Text(6), Requester: row.Text(7),
		UndoOf: row.Text(8), State: State(row.Text(9)), Why: row.Text(10), NotBefore: row.Int(11), Attempts: int(row.Int(12)), Fence: row.Int(13),
		Holder: row.Text(14), Deadline: row.Int(15), SettleAt: row.Int(16), IntendedAt: row.Int(17), Stands: row.Int(18) != 0, OverrideBy: row.Text(19),
		Ref: row.Text(20), URL: row.Text(21), Reply: row.Text(22), events: row.Int(23), CreatedAt: row.Int(24), At: row.Int(25),
	}
	if doc := row.Text(4); doc != "" {
		d.Doc = json.RawMessage(doc)
	}
	return d
}

// get reads a delivery; the error is store.ErrNotFound when there is none.
func get(ctx context.Context, tx store.Tx, key string) (Delivery, error) {
	var d Delivery
	err := tx.Query(ctx, getDelivery, func(row store.Row) error {
		d = scan(row)
		return nil
	}, store.Text(key))
	switch {
	case err != nil:
		return d, fmt.Errorf("delivery %s: %w", clean(key), err)
	case d.Key == "":
		return d, fmt.Errorf("delivery %s: %w", clean(key), store.ErrNotFound)
	}
	return d, nil
}

func (l *Log) micros() int64 { return l.now().UnixMicro() }

// move changes the state of d and notes the transition; save writes the rest.
func (l *Log) move(ctx context.Context, tx store.Tx, d *Delivery, to State, actor, why string) error {
	at := l.micros()
	why = clean(why)
	if _, err := tx.Exec(ctx, insertEvent, store.Text(d.Key), store.Int(d.events+1), store.Int(at), store.Text(clean(actor)), store.Text(string(d.State)),
		store.Text(string(to)), store.Int(d.Fence), store.Text(why)); err != nil {
		return fmt.Errorf("delivery %s: %w", clean(d.Key), err)
	}
	d.events++
	d.State, d.Why, d.At = to, why, at
	return nil
}

func (l *Log) insert(ctx context.Context, tx store.Tx, d *Delivery) error {
	_, err := tx.Exec(ctx, insertDelivery, store.Text(d.Key), store.Text(d.Kind), store.Text(d.Target), store.Text(d.Payload), store.Text(string(d.Doc)),
		store.Text(d.Plan), store.Text(d.Base), store.Text(d.Requester), store.Text(d.UndoOf), store.Text(string(d.State)), store.Text(d.Why),
		store.Int(d.NotBefore), store.Int(int64(d.Attempts)), store.Int(d.Fence), store.Text(d.Holder), store.Int(d.Deadline), store.Int(d.SettleAt),
		store.Int(d.IntendedAt), store.Bool(d.Stands), store.Text(d.OverrideBy), store.Text(d.Ref), store.Text(d.URL), store.Text(d.Reply),
		store.Int(d.events), store.Int(d.CreatedAt), store.Int(d.At))
	if err != nil {
		return fmt.Errorf("write the intent of delivery %s: %w", clean(d.Key), err)
	}
	return nil
}

// save writes d when the stored fence is still the given one.
func (l *Log) save(ctx context.Context, tx store.Tx, d *Delivery, fence int64) error {
	changed, err := tx.Exec(ctx, updateDelivery, store.Text(d.Kind), store.Text(d.Target), store.Text(d.Payload), store.Text(string(d.Doc)), store.Text(d.Plan),
		store.Text(d.Base), store.Text(d.Requester), store.Text(string(d.State)), store.Text(d.Why), store.Int(d.NotBefore), store.Int(int64(d.Attempts)),
		store.Int(d.Fence), store.Text(d.Holder), store.Int(d.Deadline), store.Int(d.SettleAt), store.Int(d.IntendedAt), store.Bool(d.Stands),
		store.Text(d.OverrideBy), store.Text(d.Ref), store.Text(d.URL), store.Text(d.Reply), store.Int(d.events), store.Int(d.At),
		store.Text(d.Key), store.Int(fence))
	switch {
	case err != nil:
		return fmt.Errorf("record delivery %s: %w", clean(d.Key), err)
	case changed == 0:
		return fmt.Errorf("record delivery %s: %w", clean(d.Key), ErrTakenOver)
	}
	return nil
}
