package action

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backstitch/backstitch/store"
)

// Reasons that decide what is done next.
const (
	putOff   = "put off by the target: "
	existing = "the target has it already"
)

var errUnknownKind = errors.New("this program cannot make effects of the kind again; ask for it the way it was asked for")

// errHalted ends effects that are under way when the kill switch is thrown.
var errHalted = errors.New("halted by the kill switch")

// job is what is to be done next to a delivery that this process holds.
type job struct {
	do  func(ctx context.Context, d Delivery, e *Effect) (job, error) // nil when it is over
	d   Delivery
	err error // when it is over: why there is no answer
}

// Do sends an effect, once, or says why not: *Waiting when it is held, not
// approved or in doubt, *Ended when it failed before or was refused, ErrOther when
// another effect was sent under its key. When it was sent before the answer is
// the recorded one; an idempotent effect is sent again, and the target says so.
func (l *Log) Do(ctx context.Context, e Effect) (Answer, error) {
	if err := e.check(); err != nil {
		return Answer{}, err
	}
	d, err := l.advance(ctx, e.Key, &e, true)
	return Answer{d.Ref, d.URL, d.Reply}, err
}

// advance takes a delivery as far as it goes now. asked says that e is a fresh
// request, which is written down first.
func (l *Log) advance(ctx context.Context, key string, e *Effect, asked bool) (Delivery, error) {
	var next job
	err := l.db.Write(ctx, store.Durable, func(tx store.Tx) (err error) {
		next, err = l.begin(ctx, tx, key, e, asked)
		return err
	})
	for err == nil && next.do != nil {
		next, err = next.do(ctx, next.d, e)
	}
	if err != nil {
		return next.d, err
	}
	return next.d, next.err
}

// begin decides what is to be done to a delivery, and writes that it is begun.
func (l *Log) begin(ctx context.Context, tx store.Tx, key string, e *Effect, asked bool) (job, error) {
	d, err := get(ctx, tx, key)
	fresh := errors.Is(err, store.ErrNotFound) && asked
	if err != nil && !fresh {
		return job{}, err
	}
	before := d
	if asked {
		if over, err := l.ask(ctx, tx, &d, e, fresh); over.err != nil || err != nil || d.State == Sent && !e.Idempotent {
			return over, err
		}
	}
	terms := l.policy.Terms(d.Kind, d.Target)
	switch d.State {
	case Sending, Doubt:
		if !e.Idempotent {
			if l.micros() < d.SettleAt {
				return job{d: d, err: &Waiting{d}}, nil
			}
			l.claim(&d, terms)
			if err := l.move(ctx, tx, &d, Doubt, l.Holder, "the target is asked what it has"); err != nil {
				return job{}, err
			}
			return job{do: l.look, d: d}, l.save(ctx, tx, &d, before.Fence)
		}
		if !asked && d.Attempts >= terms.Attempts {
			d.Stands = false
			if err := l.move(ctx, tx, &d, Failed, l.Holder, fmt.Sprintf("sent %d times without an answer", d.Attempts)); err != nil {
				return job{}, err
			}
			return job{d: d, err: ended(d)}, l.save(ctx, tx, &d, before.Fence)
		}
	case Failed, Refused, Undone:
		if !asked { // by Reconcile, which takes up nothing that ended
			return job{d: d, err: ended(d)}, nil
		}
	case Sent:
		if !asked {
			return job{d: d}, nil
		}
	}
	return l.admit(ctx, tx, &d, before, terms, cmp.Or(e.Override, l.Override))
}

func ended(d Delivery) error {
	if d.State == Sent {
		return nil
	}
	return &Ended{Delivery: d}
}

// ask writes down a request: as a new delivery, or as what is left of an earlier
// one under the same key. The job is over when its err is set.
func (l *Log) ask(ctx context.Context, tx store.Tx, d *Delivery, e *Effect, fresh bool) (job, error) {
	requester := clean(e.Requester)
	if requester == "" {
		requester = clean(l.Actor)
	}
	asked := Delivery{Key: e.Key, Kind: e.Kind, Target: e.Target, Payload: clean(e.Payload), Plan: clean(e.Plan), Base: clean(e.Base), Requester: requester, Doc: e.Doc}
	if fresh {
		*d = asked
		d.CreatedAt, d.At = l.micros(), l.micros()
		return job{}, nil
	}
	if d.binding() == asked.binding() {
		if !e.Idempotent && (d.State == Failed || d.State == Undone) || d.State == Refused {
			return job{d: *d, err: ended(*d)}, nil
		}
		return job{d: *d}, nil
	}
	switch d.State {
	case Sending, Doubt:
		if !e.Idempotent {
			return job{d: *d, err: &Waiting{*d}}, nil
		}
	case Sent:
		if !e.Idempotent {
			return job{d: *d, err: fmt.Errorf("delivery %s to %s: %w", d.Key, clean(d.Target), ErrOther)}, nil
		}
	}
	changed := d.differs(asked)
	if err := l.void(ctx, tx, d, "changed: "+strings.Join(changed, ", ")); err != nil {
		return job{}, err
	}
	d.Kind, d.Target, d.Payload, d.Plan, d.Base, d.Doc, d.Requester = asked.Kind, asked.Target, asked.Payload, asked.Plan, asked.Base, asked.Doc, asked.Requester
	if d.State != Sent && d.State != Sending && d.State != Doubt {
		d.Attempts, d.NotBefore = 0, 0
	}
	return job{}, l.move(ctx, tx, d, d.State, requester, "asked for with another "+strings.Join(changed, ", "))
}

// differs names what differs of what an approval is bound to.
func (d *Delivery) differs(other Delivery) []string {
	var list []string
	for _, part := range []struct{ name, a, b string }{
		{"kind", d.Kind, other.Kind}, {"target", d.Target, other.Target}, {"plan", d.Plan, other.Plan}, {"base", d.Base, other.Base}, {"payload", d.Payload, other.Payload},
	} {
		if part.a != part.b {
			list = append(list, part.name)
		}
	}
	return list
}

// claim makes this process the holder of d, until one request and the settle
// window are over.
func (l *Log) claim(d *Delivery, terms Terms) {
	now := l.now()
	d.Fence++
	d.Holder = clean(l.Holder)
	d.Deadline = now.Add(terms.Timeout).UnixMicro()
	d.SettleAt = now.Add(terms.Timeout + terms.Settle).UnixMicro()
}

// admit lets a delivery go when nothing holds it, and writes the intent. before
// is what the store has of it, without a key when that is nothing.
func (l *Log) admit(ctx context.Context, tx store.Tx, d *Delivery, before Delivery, terms Terms, override string) (job, error) {
	if l.broken != nil {
		return job{}, fmt.Errorf("delivery %s: nothing is sent without a policy: %w", d.Key, l.broken)
	}
	if override = clean(override); override != "" {
		d.OverrideBy = override
	}
	hold, err := l.hold(ctx, tx, d, terms)
	if err != nil {
		return job{}, err
	}
	save := func() error {
		switch {
		case before.Key == "":
			return l.insert(ctx, tx, d)
		case d.events == before.events && d.OverrideBy == before.OverrideBy:
			return nil // held as before
		}
		return l.save(ctx, tx, d, before.Fence)
	}
	if hold != nil {
		if d.State != hold.state || d.Why != clean(hold.why) || d.NotBefore != hold.notBefore {
			d.NotBefore = hold.notBefore
			if err := l.move(ctx, tx, d, hold.state, l.Holder, hold.why); err != nil {
				return job{}, err
			}
		}
		return job{d: *d, err: &Waiting{*d}}, save()
	}
	l.claim(d, terms)
	d.Attempts++
	if !d.Stands {
		d.IntendedAt = l.micros()
	}
	d.stood = d.Stands && d.Ref != ""
	d.NotBefore, d.Stands = 0, true
	why := fmt.Sprintf("attempt %d", d.Attempts)
	if d.OverrideBy != "" {
		why += ", past limits and quiet hours by " + d.OverrideBy
	}
	if err := l.move(ctx, tx, d, Sending, l.Holder, why); err != nil {
		return job{}, err
	}
	return job{do: l.send, d: *d}, save()
}

// send sends an effect whose intent is written, and records the answer.
func (l *Log) send(ctx context.Context, d Delivery, e *Effect) (job, error) {
	left := time.UnixMicro(d.Deadline).Sub(l.now())
	if left <= 0 {
		// The process stood still since it wrote the intent: nothing has left it.
		return l.record(ctx, d, func(d *Delivery) (State, string) {
			d.SettleAt = l.micros()
			return Doubt, "the deadline passed before it was sent"
		}, nil)
	}
	sending, cancel := context.WithTimeoutCause(ctx, left, fmt.Errorf("no answer within %v", left.Round(time.Millisecond)))
	stop := l.watch(sending, cancel)
	answer, err := e.Send(sending)
	halted := stop()
	if err != nil && sending.Err() != nil {
		// The target did not say this; the end of the time did.
		cause := context.Cause(sending)
		if halted {
			cause = errHalted
		}
		err = fmt.Errorf("%w: %w", cause, err)
	}
	unclear := sending.Err() != nil || errors.Is(err, ErrUnclear)
	cancel()
	var no *Rejection
	var later *Postponement
	return l.record(ctx, d, func(d *Delivery) (State, string) {
		if err != nil {
			d.Reply = clean(err.Error())
		}
		switch {
		case err == nil:
			d.Ref, d.URL, d.Reply = clean(answer.Ref), clean(answer.URL), clean(answer.Reply)
			return Sent, "the target answered"
		case errors.As(err, &later):
			d.Stands, d.Attempts = d.stood, d.Attempts-1
			d.NotBefore = l.now().Add(later.After).UnixMicro()
			return Held, putOff + d.Reply
		case errors.Is(err, ErrExists):
			return Doubt, existing
		case errors.As(err, &no), e.Idempotent && !unclear:
			d.Stands = d.stood
			return Failed, "the target did not take it"
		}
		if e.Idempotent {
			d.SettleAt = l.micros()
		}
		return Doubt, "it may have happened: " + d.Reply
	}, err)
}

// watch ends an effect that is under way when the kill switch is thrown. The
// function that it gives ends the watch and says whether that happened.
func (l *Log) watch(ctx context.Context, cancel context.CancelFunc) (stop func() (halted bool)) {
	quit, done := make(chan struct{}), make(chan bool, 1)
	go func() {
		ticker := time.NewTicker(l.poll)
		defer ticker.Stop()
		for {
			select {
			case <-quit:
				done <- false
				return
			case <-ctx.Done():
				done <- false
				return
			case <-ticker.C:
				// A read that fails is no reason to go on: what cannot be read may be a halt.
				if halt, err := l.Halted(ctx); ctx.Err() == nil && (err != nil || halt.Halted) {
					cancel()
					done <- true
					return
				}
			}
		}
	}()
	return func() bool {
		close(quit)
		return <-done
	}
}

// record writes what became of a delivery that this process holds. cause is the
// error behind it.
func (l *Log) record(ctx context.Context, d Delivery, become func(*Delivery) (State, string), cause error) (job, error) {
	// It has happened or not: that is recorded even when the caller has given up.
	ctx = context.WithoutCancel(ctx)
	attempted := d
	var state State
	err := l.db.Write(ctx, store.Durable, func(tx store.Tx) error {
		now, err := get(ctx, tx, attempted.Key)
		switch {
		case err != nil:
			return err
		case now.Fence != attempted.Fence:
			return fmt.Errorf("record delivery %s: %w", d.Key, ErrTakenOver)
		}
		d = attempted
		d.events = now.events
		var why string
		state, why = become(&d)
		if err := l.move(ctx, tx, &d, state, l.Holder, why); err != nil {
			return err
		}
		if err := l.save(ctx, tx, &d, attempted.Fence); err != nil {
			return err
		}
		return l.undone(ctx, tx, d)
	})
	switch {
	case err != nil && cause != nil:
		return job{d: attempted}, fmt.Errorf("%w, after: %w", err, cause)
	case err != nil:
		return job{d: attempted}, err
	}
	switch {
	case state == Sent:
		return job{d: d}, nil
	case state == Failed:
		return job{d: d, err: &Ended{d, cause}}, nil
	case state == Doubt && errors.Is(cause, ErrExists):
		return job{do: l.look, d: d}, nil
	}
	return job{d: d, err: &Waiting{d}}, nil
}

// look asks the target for a delivery in doubt that this process holds: what it
// has is adopted, what it has not may be sent again.
func (l *Log) look(ctx context.Context, d Delivery, e *Effect) (job, error) {
	if e.Look == nil { // an idempotent effect that exists already
		return l.record(ctx, d, func(*Delivery) (State, string) { return Sent, existing }, nil)
	}
	terms := l.policy.Terms(d.Kind, d.Target)
	looking, cancel := context.WithTimeout(ctx, terms.Timeout)
	answer, found, err := e.Look(looking)
	cancel()
	switch {
	case err != nil:
		return l.record(ctx, d, func(d *Delivery) (State, string) {
			d.SettleAt = l.now().Add(terms.Settle).UnixMicro()
			return Doubt, "the target could not be asked: " + err.Error()
		}, nil)
	case found:
		return l.record(ctx, d, func(d *Delivery) (State, string) {
			d.Ref, d.URL, d.Reply, d.Stands = clean(answer.Ref), clean(answer.URL), clean(answer.Reply), true
			return Sent, "adopted: the target shows it"
		}, nil)
	case d.Why == existing:
		return l.record(ctx, d, func(d *Delivery) (State, string) {
			d.SettleAt = l.now().Add(terms.Settle).UnixMicro()
			return Doubt, "the target says that it has it, and does not show it yet"
		}, nil)
	case d.Attempts >= terms.Attempts:
		return l.record(ctx, d, func(d *Delivery) (State, string) {
			if d.Stands = false; d.Reply == "" {
				d.Reply = "no trace of it at the target"
			}
			return Failed, fmt.Sprintf("sent %d times, and the target does not show it", d.Attempts)
		}, nil)
	}
	var next job
	err = l.db.Write(ctx, store.Durable, func(tx store.Tx) error {
		now, err := get(ctx, tx, d.Key)
		if err != nil {
			return err
		}
		if now.Fence != d.Fence || now.State != Doubt {
			return fmt.Errorf("delivery %s: %w", d.Key, ErrTakenOver)
		}
		before := now
		now.Stands = false
		next, err = l.admit(ctx, tx, &now, before, terms, cmp.Or(e.Override, l.Override))
		return err
	})
	return next, err
}

// Reconciled is what a reconciliation did, each list sorted by key.
type Reconciled struct {
	Settled  []Delivery `json:"settled"`
	Waiting  []Delivery `json:"waiting"`
	Problems []string   `json:"problems"` // of deliveries that could not be taken up
}

// reconcileWidth is how many deliveries are taken up at a time.
const reconcileWidth = 8

// Reconcile takes up every delivery that may go on now: what is in doubt and
// past its settle window is looked for and adopted or sent, what was held or
// approved is sent. It is called at the start of a process, and whenever there
// is time. One delivery that cannot be taken up does not hinder the others.
func (l *Log) Reconcile(ctx context.Context) (Reconciled, error) {
	var keys []string
	err := l.db.Read(ctx, func(tx store.Tx) error {
		for _, query := range []*store.Query{dueSettle, dueHeld} {
			if err := tx.Query(ctx, query, func(row store.Row) error {
				keys = append(keys, row.Text(0))
				return nil
			}, store.Int(l.micros())); err != nil {
				return err
			}
		}
		return nil
	})
	result := Reconciled{Settled: []Delivery{}, Waiting: []Delivery{}, Problems: []string{}}
	if err != nil {
		return result, err
	}
	var mu sync.Mutex
	var group sync.WaitGroup
	slots := make(chan struct{}, reconcileWidth)
	for _, key := range keys {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		group.Go(func() {
			defer func() { <-slots }()
			d, err := l.Settle(ctx, key)
			var waiting *Waiting
			var over *Ended
			mu.Lock()
			defer mu.Unlock()
			switch {
			case errors.As(err, &waiting):
				result.Waiting = append(result.Waiting, waiting.Delivery)
			case err == nil, errors.As(err, &over):
				result.Settled = append(result.Settled, d)
			case errors.Is(err, ErrTakenOver): // it is in good hands
			case errors.Is(err, errUnknownKind) && d.State != Sending && d.State != Doubt:
				result.Waiting = append(result.Waiting, d) // until it is asked for again
			default:
				result.Problems = append(result.Problems, err.Error())
			}
		})
	}
	group.Wait()
	byKey := func(a, b Delivery) int { return strings.Compare(a.Key, b.Key) }
	slices.SortFunc(result.Settled, byKey)
	slices.SortFunc(result.Waiting, byKey)
	slices.Sort(result.Problems)
	return result, ctx.Err()
}

var (
	dueSettle = queries.Named("due_settle")
	dueHeld   = queries.Named("due_held")
)

// Settle takes one stored delivery as far as it goes now; errors are those of Do.
func (l *Log) Settle(ctx context.Context, key string) (Delivery, error) {
	var d Delivery
	if err := l.db.Read(ctx, func(tx store.Tx) (err error) {
		d, err = get(ctx, tx, key)
		return err
	}); err != nil {
		return d, err
	}
	if d.State.Settled() {
		return d, ended(d)
	}
	e, err := l.revive(ctx, d)
	if err != nil {
		return d, err
	}
	return l.advance(ctx, key, &e, false)
}

// revive makes the effect of a delivery again.
func (l *Log) revive(ctx context.Context, d Delivery) (Effect, error) {
	if d.UndoOf != "" {
		var of Delivery
		if err := l.db.Read(ctx, func(tx store.Tx) (err error) {
			of, err = get(ctx, tx, d.UndoOf)
			return err
		}); err != nil {
			return Effect{}, err
		}
		e, err := l.undoOf(ctx, of, d.Requester)
		if err == nil && e.Key != d.Key {
			err = fmt.Errorf("delivery %s: what it undoes was sent anew: %w", d.Key, ErrState)
		}
		return e, err
	}
	if !l.Knows(d.Kind) {
		return Effect{}, fmt.Errorf("delivery %s of kind %s: %w", clean(d.Key), d.Kind, errUnknownKind)
	}
	e, err := l.kinds[d.Kind](ctx, d)
	if err != nil {
		return Effect{}, fmt.Errorf("make delivery %s again: %w", clean(d.Key), err)
	}
	e.Key, e.Kind, e.Target = d.Key, d.Kind, d.Target
	return e, e.checkRevived()
}

// checkRevived holds an effect that was made again to what protocol needs of it.
func (e *Effect) checkRevived() error {
	if e.Send == nil || e.Look == nil && !e.Idempotent {
		return fmt.Errorf("make delivery %s again: expected how to send it and how to look for it", e.Key)
	}
	return nil
}
