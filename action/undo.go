package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/backstitch/backstitch/store"
)

// ErrNoUndo says that a target does not allow an effect to be taken back.
var ErrNoUndo = errors.New("effects of this kind cannot be undone")

// Replay takes up a delivery that failed, was refused or undone, under the same
// key, on a person's word. It is looked for before it is sent; approvals and
// limits hold as ever.
func (l *Log) Replay(ctx context.Context, key string, word Word) (Delivery, error) {
	if err := word.check(); err != nil {
		return Delivery{}, fmt.Errorf("replay delivery %s: %w", clean(key), err)
	}
	err := l.db.Write(ctx, store.Durable, func(tx store.Tx) error {
		d, err := get(ctx, tx, key)
		if err != nil {
			return err
		}
		if d.State != Failed && d.State != Refused && d.State != Undone {
			return fmt.Errorf("replay delivery %s, which is %s: %w", d.Key, d.State, ErrState)
		}
		if d.UndoOf == "" && !l.Knows(d.Kind) {
			_, err := l.revive(ctx, d)
			return err
		}
		if d.State != Failed {
			if err := l.void(ctx, tx, &d, "it was "+string(d.State)+" and is replayed"); err != nil {
				return err
			}
		}
		fence := d.Fence
		d.Attempts, d.NotBefore, d.SettleAt = 0, 0, l.micros()
		if word.Override {
			d.OverrideBy = word.Actor
		}
		if err := l.move(ctx, tx, &d, Doubt, word.Actor, "replayed by "+word.Actor+reason(word.Reason)); err != nil {
			return err
		}
		return l.save(ctx, tx, &d, fence)
	})
	if err != nil {
		return Delivery{}, err
	}
	return l.Settle(ctx, key)
}

// Undo takes back what a sent delivery made, as an effect of its own that obeys
// the rules of its kind, and gives that. The first one is undone when it was sent.
func (l *Log) Undo(ctx context.Context, key string, word Word) (Delivery, error) {
	if err := word.check(); err != nil {
		return Delivery{}, fmt.Errorf("undo delivery %s: %w", clean(key), err)
	}
	var d Delivery
	if err := l.db.Read(ctx, func(tx store.Tx) (err error) {
		d, err = get(ctx, tx, key)
		return err
	}); err != nil {
		return Delivery{}, err
	}
	switch {
	case d.UndoOf != "":
		return Delivery{}, fmt.Errorf("undo delivery %s, which is an undo itself: replay %s: %w", d.Key, d.UndoOf, ErrState)
	case d.State != Sent:
		return Delivery{}, fmt.Errorf("undo delivery %s, which is %s: %w", d.Key, d.State, ErrState)
	}
	e, err := l.undoOf(ctx, d, word.Actor)
	if err != nil {
		return Delivery{}, err
	}
	if word.Override {
		e.Override = word.Actor
	}
	if err := e.check(); err != nil {
		return Delivery{}, err
	}
	// Its row names what it undoes before anything is sent.
	fresh := Delivery{
		Key: e.Key, Kind: e.Kind, Target: e.Target, Payload: e.Payload, Plan: e.Plan, Base: e.Base, Requester: word.Actor, UndoOf: d.Key,
		OverrideBy: e.Override, CreatedAt: l.micros(), At: l.micros(),
	}
	err = l.db.Write(ctx, store.Durable, func(tx store.Tx) error {
		if _, err := get(ctx, tx, e.Key); !errors.Is(err, store.ErrNotFound) {
			return err
		}
		if err := l.move(ctx, tx, &fresh, Held, word.Actor, "asked for by "+word.Actor+reason(word.Reason)); err != nil {
			return err
		}
		return l.insert(ctx, tx, &fresh)
	})
	if err != nil {
		return Delivery{}, err
	}
	return l.advance(ctx, e.Key, &e, true)
}

// undoOf makes the effect that undoes d. Its key holds the number of the life of
// d that it ends, so that a replay can be undone again.
func (l *Log) undoOf(ctx context.Context, d Delivery, actor string) (Effect, error) {
	e, err := l.revive(ctx, d)
	if err != nil {
		return Effect{}, err
	}
	if e.Undo == nil {
		return Effect{}, fmt.Errorf("undo delivery %s of kind %s: %w", d.Key, d.Kind, ErrNoUndo)
	}
	return Effect{
		Key: fmt.Sprintf("undo:%s:%d", d.Key, d.Fence), Kind: undoPrefix + d.Kind, Target: d.Target, Payload: d.Payload, Plan: d.Plan, Base: d.Base,
		Requester: actor, Idempotent: true, Send: e.Undo,
	}, nil
}

// undone marks the delivery that a sent undo undid.
func (l *Log) undone(ctx context.Context, tx store.Tx, undo Delivery) error {
	if undo.UndoOf == "" || undo.State != Sent {
		return nil
	}
	d, err := get(ctx, tx, undo.UndoOf)
	if err != nil || d.State != Sent {
		return err
	}
	d.Stands = false
	if err := l.move(ctx, tx, &d, Undone, undo.Requester, "undone by "+undo.Key); err != nil {
		return err
	}
	return l.save(ctx, tx, &d, d.Fence)
}

// MarkClosed notes that what a delivery made does not stand open any longer, for
// example because its pull request was merged, so that it stops counting. An
// update of it that was not sent yet is not sent any more.
func (l *Log) MarkClosed(ctx context.Context, key, actor, why string) error {
	return l.db.Write(ctx, store.Durable, func(tx store.Tx) error {
		d, err := get(ctx, tx, key)
		if err != nil {
			return err
		}
		to := d.State
		if d.State == Held || d.State == Approved || d.State == AwaitingApproval {
			to = Refused
		}
		if !d.Stands && to == d.State {
			return nil
		}
		d.Stands = false
		if err := l.move(ctx, tx, &d, to, actor, "closed: "+why); err != nil {
			return err
		}
		return l.save(ctx, tx, &d, d.Fence)
	})
}

var selectHalts = queries.Named("halts")

// Export writes all that the log holds as of one moment, a JSON object a line:
// every delivery with its approvals and events in the order in which they were
// asked for, then the uses of the kill switch.
func (l *Log) Export(ctx context.Context, to io.Writer) error {
	encoder := json.NewEncoder(to)
	encoder.SetEscapeHTML(false)
	return l.db.Read(ctx, func(tx store.Tx) error {
		if err := tx.Query(ctx, listDeliveries, func(row store.Row) error {
			record, err := history(ctx, tx, scan(row))
			if err != nil {
				return err
			}
			return encoder.Encode(struct {
				Delivery Record `json:"delivery"`
			}{record})
		}); err != nil {
			return err
		}
		return tx.Query(ctx, selectHalts, func(row store.Row) error {
			return encoder.Encode(struct {
				Switch Halt `json:"switch"`
			}{scanHalt(row)})
		})
	})
}
