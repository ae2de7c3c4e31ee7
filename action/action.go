// Package action is the delivery log of outside effects.
//
// An effect (a branch pushed, later a pull request, a ticket, a message) happens
// once. Its intent is written before it is sent, under a key that the same
// effect always has; what came back is written after. An intent without an
// answer, left by a crash or a time-out, is in doubt: it is sent again only
// because the systems it goes to refuse a second object of the same key (a
// branch is pushed with a lease on what stood there).
package action

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/store"
)

// State is the state of a delivery.
type State string

// States of a delivery.
const (
	Pending State = "pending" // intent written, no answer yet
	Sent    State = "sent"
	Failed  State = "failed"
)

// Delivery is one outside effect and what became of it.
type Delivery struct {
	Key      string // once-only key
	Kind     string // for now "propose"
	Target   string // where it goes, credentials removed
	Payload  string // digest of what is sent, "sha256:..."
	State    State
	Attempts int
	Reply    string // what the other side said, or the error
	At       int64  // microseconds since 1970 UTC of the last change
}

//go:embed queries.sql
var queryText string

var queries = store.ParseQueries("action", queryText)

// Queries lists the queries of this package, for the conformance suite.
func Queries() *store.Queries { return queries }

var (
	intendDelivery = queries.Named("intend")
	answerDelivery = queries.Named("answer")
	listDeliveries = queries.Named("list")
)

// Log is the delivery log of one store. It is safe for concurrent use.
type Log struct {
	db  store.Engine
	now func() time.Time
}

// New opens the delivery log of a store.
func New(db store.Engine, now func() time.Time) *Log { return &Log{db, now} }

// Propose publishes a change through a forge, once. When the log says that the
// very payload was sent before, the forge is still asked, since it recognises
// its own branch; the answer is then "unchanged".
func (l *Log) Propose(ctx context.Context, forge connector.Forge, change connector.Proposal, payload, target string) (connector.Receipt, error) {
	delivery := Delivery{Key: change.Key, Kind: "propose", Target: target, Payload: payload, State: Pending}
	if err := l.intend(ctx, &delivery); err != nil {
		return connector.Receipt{}, err
	}
	receipt, err := forge.Propose(ctx, change)
	delivery.State, delivery.Reply = Sent, receipt.Outcome+" "+receipt.Ref
	if err != nil {
		delivery.State, delivery.Reply = Failed, err.Error()
	}
	// The effect has happened or not: its answer is recorded even when the
	// caller has given up meanwhile.
	if recordErr := l.answer(context.WithoutCancel(ctx), delivery); recordErr != nil {
		return receipt, errors.Join(err, fmt.Errorf("record delivery %s: %w", delivery.Key, recordErr))
	}
	return receipt, err
}

// intend writes the intent of a delivery; a later form of the same effect
// replaces an earlier one.
func (l *Log) intend(ctx context.Context, d *Delivery) error {
	err := l.db.Write(ctx, store.Durable, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, intendDelivery, store.Text(d.Key), store.Text(d.Kind), store.Text(d.Target), store.Text(d.Payload), store.Int(l.now().UnixMicro()))
		return err
	})
	if err != nil {
		return fmt.Errorf("write the intent of delivery %s: %w", d.Key, err)
	}
	return nil
}

func (l *Log) answer(ctx context.Context, d Delivery) error {
	return l.db.Write(ctx, store.Durable, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, answerDelivery, store.Text(string(d.State)), store.Text(d.Reply), store.Int(l.now().UnixMicro()), store.Text(d.Key))
		return err
	})
}

// List gives every delivery, oldest change first.
func (l *Log) List(ctx context.Context) ([]Delivery, error) {
	var list []Delivery
	err := l.db.Read(ctx, func(tx store.Tx) error {
		return tx.Query(ctx, listDeliveries, func(row store.Row) error {
			list = append(list, Delivery{
				Key: row.Text(0), Kind: row.Text(1), Target: row.Text(2), Payload: row.Text(3),
				State: State(row.Text(4)), Attempts: int(row.Int(5)), Reply: row.Text(6), At: row.Int(7),
			})
			return nil
		})
	})
	return list, err
}
