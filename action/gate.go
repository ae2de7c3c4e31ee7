package action

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/backstitch/backstitch/store"
)

var (
	nthIntent         = queries.Named("nth_intent")
	nthIntentOfTarget = queries.Named("nth_intent_of_target")
	openOfTarget      = queries.Named("open_of_target")
	selectUsage       = queries.Named("usage")
	selectHalt        = queries.Named("halt")
	insertHalt        = queries.Named("insert_halt")
)

// hold is why a delivery may not go now.
type hold struct {
	state     State
	why       string
	notBefore int64 // 0 when no time is known
}

// and puts another reason before what the target put off.
func (h hold) and(state State, why string) *hold {
	if h.why != "" {
		why += "; " + h.why
	}
	return &hold{state, why, h.notBefore}
}

// hold says what holds a delivery: the kill switch before all, then a missing
// approval, then quiet hours and limits, all of which are named. An update of what
// stands at the target already counts against no limit of the target.
func (l *Log) hold(ctx context.Context, tx store.Tx, d *Delivery, terms Terms) (*hold, error) {
	halt, err := halted(ctx, tx)
	if err != nil {
		return nil, err
	}
	now := l.now()
	// What the target put off is not sent earlier by anybody, whatever holds it beside.
	off := hold{state: Held}
	if at := strings.Index(d.Why, putOff); at >= 0 && d.NotBefore > now.UnixMicro() {
		off.why, off.notBefore = d.Why[at:], d.NotBefore
	}
	if halt.Halted {
		return off.and(Held, halt.String()), nil
	}
	if terms.Approval {
		why, err := l.unapproved(ctx, tx, d)
		if err != nil {
			return nil, err
		}
		if why != "" {
			return off.and(AwaitingApproval, why), nil
		}
	}
	if off.why != "" {
		return &off, nil
	}
	if d.OverrideBy != "" {
		return nil, nil
	}
	var why []string
	latest := int64(0)
	until := func(t int64, format string, args ...any) {
		why = append(why, fmt.Sprintf(format, args...))
		latest = max(latest, t)
	}
	if terms.Quiet {
		if end, _ := l.policy.quietUntil(now); end.After(now) {
			until(end.UnixMicro(), "quiet hours until %s", end.In(l.policy.location).Format("2006-01-02 15:04 MST"))
		}
	}
	if terms.PerHour > 0 && !d.Stands {
		nth, err := first(ctx, tx, nthIntentOfTarget, store.Text(d.Kind), store.Text(d.Target), store.Int(now.Add(-time.Hour).UnixMicro()), store.Text(d.Key), store.Int(int64(terms.PerHour-1)))
		if err != nil {
			return nil, err
		}
		if nth > 0 {
			until(time.UnixMicro(nth).Add(time.Hour).UnixMicro(), "%d of kind %s went to %s within an hour, the limit is %d", terms.PerHour, d.Kind, d.Target, terms.PerHour)
		}
	}
	if l.policy.PerDay > 0 {
		nth, err := first(ctx, tx, nthIntent, store.Int(now.Add(-24*time.Hour).UnixMicro()), store.Text(d.Key), store.Int(int64(l.policy.PerDay-1)))
		if err != nil {
			return nil, err
		}
		if nth > 0 {
			until(time.UnixMicro(nth).Add(24*time.Hour).UnixMicro(), "%d effects went out within a day, the limit is %d", l.policy.PerDay, l.policy.PerDay)
		}
	}
	if terms.Open > 0 && !d.Stands {
		open, err := first(ctx, tx, openOfTarget, store.Text(d.Kind), store.Text(d.Target), store.Text(d.Key))
		if err != nil {
			return nil, err
		}
		if open >= int64(terms.Open) {
			until(0, "%d of kind %s are open at %s, the limit is %d; it may go when one is closed", open, d.Kind, d.Target, terms.Open)
		}
	}
	if len(why) == 0 {
		return nil, nil
	}
	return &hold{Held, strings.Join(why, "; "), latest}, nil
}

// first gives the first column of the only row of a query, 0 when there is none.
func first(ctx context.Context, tx store.Tx, query *store.Query, args ...store.Value) (n int64, err error) {
	err = tx.Query(ctx, query, func(row store.Row) error {
		n = row.Int(0)
		return nil
	}, args...)
	return n, err
}

// Halt is one use of the kill switch.
type Halt struct {
	N      int64  `json:"n"`
	At     int64  `json:"at"`
	Actor  string `json:"actor"`
	Halted bool   `json:"halted"`
	Reason string `json:"reason"`
}

func (h Halt) String() string {
	return fmt.Sprintf("halted by %s at %s: %s", h.Actor, time.UnixMicro(h.At).UTC().Format(time.RFC3339), h.Reason)
}

func scanHalt(row store.Row) Halt {
	return Halt{N: row.Int(0), At: row.Int(1), Actor: row.Text(2), Halted: row.Int(3) != 0, Reason: row.Text(4)}
}

func halted(ctx context.Context, tx store.Tx) (halt Halt, err error) {
	err = tx.Query(ctx, selectHalt, func(row store.Row) error {
		halt = scanHalt(row)
		return nil
	})
	return halt, err
}

// Halted gives the last use of the kill switch.
func (l *Log) Halted(ctx context.Context) (halt Halt, err error) {
	err = l.db.Read(ctx, func(tx store.Tx) (err error) {
		halt, err = halted(ctx, tx)
		return err
	})
	return halt, err
}

// Throw throws the kill switch, or releases it. Thrown, nothing is sent by any
// process, what is under way is cut off within a second and in doubt from then
// on; it stays thrown over restarts. A reason is expected.
func (l *Log) Throw(ctx context.Context, halt bool, actor, reason string) (Halt, error) {
	if clean(reason) == "" || clean(actor) == "" {
		return Halt{}, fmt.Errorf("kill switch: expected who uses it and why")
	}
	now := Halt{At: l.micros(), Actor: clean(actor), Halted: halt, Reason: clean(reason)}
	err := l.db.Write(ctx, store.Durable, func(tx store.Tx) error {
		before, err := halted(ctx, tx)
		if err != nil {
			return err
		}
		now.N = before.N + 1
		_, err = tx.Exec(ctx, insertHalt, store.Int(now.N), store.Int(now.At), store.Text(now.Actor), store.Bool(now.Halted), store.Text(now.Reason))
		return err
	})
	if err != nil {
		return Halt{}, fmt.Errorf("kill switch: %w", err)
	}
	return now, nil
}

// Usage is how much of its limits one kind uses at one target.
type Usage struct {
	Kind     string `json:"kind"`
	Target   string `json:"target"`
	LastHour int    `json:"last_hour"`
	LastDay  int    `json:"last_day"`
	Open     int    `json:"open"`
	Held     int    `json:"held"`
	Terms    Terms  `json:"terms"`
}

// Limits is the policy with what is used of it.
type Limits struct {
	Halt    Halt    `json:"halt"`
	Policy  *Policy `json:"policy"`
	LastDay int     `json:"last_day"` // effects of all kinds
	Usage   []Usage `json:"usage"`
}

// Limits tells the limits and what is used of them now, sorted by kind and target.
func (l *Log) Limits(ctx context.Context) (Limits, error) {
	if l.broken != nil {
		return Limits{}, fmt.Errorf("nothing is sent without a policy: %w", l.broken)
	}
	limits := Limits{Policy: l.policy, Usage: []Usage{}}
	now := l.now()
	err := l.db.Read(ctx, func(tx store.Tx) (err error) {
		if limits.Halt, err = halted(ctx, tx); err != nil {
			return err
		}
		return tx.Query(ctx, selectUsage, func(row store.Row) error {
			u := Usage{Kind: row.Text(0), Target: row.Text(1), LastHour: int(row.Int(2)), LastDay: int(row.Int(3)), Open: int(row.Int(4)), Held: int(row.Int(5))}
			u.Terms = l.policy.Terms(u.Kind, u.Target)
			limits.LastDay += u.LastDay
			limits.Usage = append(limits.Usage, u)
			return nil
		}, store.Int(now.Add(-time.Hour).UnixMicro()), store.Int(now.Add(-24*time.Hour).UnixMicro()))
	})
	return limits, err
}
