package action

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/store"
	"github.com/backstitch/backstitch/store/sqlite"
)

// clock is a time that a test moves.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

// target is an outside system that makes whatever it is asked to.
type target struct {
	made    []string
	shown   int // how many of made its list shows
	sends   int
	looks   int
	undos   int
	answers []error // of the next requests; nil answers when there are no more
	skip    int     // requests that make nothing
	lookErr error
	during  func(ctx context.Context)
}

func (t *target) effect(key string) Effect {
	return Effect{
		Key: key, Kind: KindPullRequest, Target: "forge.test/shop", Payload: "sha256:p", Plan: "sha256:plan", Base: "c0", Requester: "ada", Doc: []byte(`"` + key + `"`),
		Look: func(context.Context) (Answer, bool, error) {
			t.looks++
			for _, made := range t.made[:min(t.shown, len(t.made))] {
				if made == key {
					return Answer{Ref: made, Reply: "found"}, true, t.lookErr
				}
			}
			return Answer{}, false, t.lookErr
		},
		Send: func(ctx context.Context) (Answer, error) {
			t.sends++
			if t.skip > 0 {
				t.skip--
			} else {
				t.made = append(t.made, key)
				t.shown = len(t.made)
			}
			if t.during != nil {
				t.during(ctx)
			}
			var err error
			if len(t.answers) > 0 {
				err, t.answers = t.answers[0], t.answers[1:]
			}
			return Answer{Ref: key, URL: "https://forge.test/1", Reply: "created"}, err
		},
		Undo: func(context.Context) (Answer, error) {
			t.undos++
			return Answer{Reply: "closed"}, nil
		},
	}
}

// bench is a log over a target, with a clock and an engine that a test moves.
type bench struct {
	*Log
	*target
	clock  *clock
	engine *faulty
	t      *testing.T
}

func newBench(t *testing.T, policy string) *bench {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &bench{target: &target{}, clock: &clock{t: start}, engine: &faulty{Engine: db}, t: t}
	b.Log = b.process("one", policy)
	return b
}

// process is another process on the same database and target.
func (b *bench) process(name, policy string) *Log {
	b.t.Helper()
	log := New(b.engine, b.clock.now)
	p, err := ReadPolicy("test", strings.NewReader(policy))
	if err != nil {
		b.t.Fatal(err)
	}
	log.Use(p, nil)
	log.Holder = name
	for _, kind := range []string{KindPullRequest, KindStopgap} {
		log.RegisterKind(kind, func(_ context.Context, d Delivery) (Effect, error) { return b.effect(d.Key), nil })
	}
	return log
}

// faulty is an engine whose commits can be made to fail.
type faulty struct {
	store.Engine
	fail atomic.Int64 // the number of the write that fails, from 1; 0 for none
}

var errLost = errors.New("the disk is gone")

func (f *faulty) Write(ctx context.Context, durability store.Durability, fn func(store.Tx) error) error {
	if f.fail.Add(-1) == 0 {
		return errLost
	}
	return f.Engine.Write(ctx, durability, fn)
}

// moves are all transitions that there are, apart from notes that change no state.
var moves = map[State][]State{
	"":               {Sending, Held, AwaitingApproval},
	AwaitingApproval: {Approved, Refused, Sending, Held},
	Approved:         {Sending, Held, AwaitingApproval, Refused},
	Held:             {Sending, AwaitingApproval, Refused},
	Sending:          {Sent, Failed, Held, Doubt},
	Doubt:            {Sent, Failed, Held, AwaitingApproval, Sending},
	Sent:             {Undone, Sending, Held, AwaitingApproval},
	Failed:           {Doubt, Sending, Held, AwaitingApproval},
	Refused:          {Doubt, Sending, Held, AwaitingApproval},
	Undone:           {Doubt, Sending, Held, AwaitingApproval},
}

// want checks a delivery and what it cost the target.
func (b *bench) want(key string, state State, sends, looks int) Record {
	b.t.Helper()
	record, err := b.Show(b.t.Context(), key)
	if err != nil {
		b.t.Fatal(err)
	}
	if record.State != state || b.sends != sends || b.looks != looks {
		b.t.Errorf("%s is %s (%s) after %d requests and %d looks, want %s after %d and %d", key, record.State, record.Why, b.sends, b.looks, state, sends, looks)
	}
	for i, e := range record.Events {
		if i > 0 && e.From != record.Events[i-1].To {
			b.t.Errorf("event %d begins in %s, the one before ended in %s", e.N, e.From, record.Events[i-1].To)
		}
		if e.From != e.To && !slices.Contains(moves[e.From], e.To) {
			b.t.Errorf("event %d leads from %s to %s", e.N, e.From, e.To)
		}
		if e.Actor == "" || e.Why == "" || e.N != int64(i+1) {
			b.t.Errorf("event %+v: expected an actor, a reason and number %d", e, i+1)
		}
	}
	if last := record.Events[len(record.Events)-1].To; last != state {
		b.t.Errorf("the last event leads to %s, want %s", last, state)
	}
	return record
}

// do sends an effect and checks the kind of its error.
func (b *bench) do(e Effect, want string) Answer {
	b.t.Helper()
	answer, err := b.Do(b.t.Context(), e)
	if got := word(err); got != want {
		b.t.Errorf("%s: %s (%v), want %s", e.Key, got, err, want)
	}
	return answer
}

func word(err error) string {
	var waiting *Waiting
	var over *Ended
	switch {
	case err == nil:
		return "done"
	case errors.As(err, &waiting):
		return "waiting"
	case errors.As(err, &over):
		return "ended"
	case errors.Is(err, ErrOther):
		return "other"
	case errors.Is(err, ErrTakenOver):
		return "taken over"
	}
	return "failure"
}

// reconcile takes up what is due.
func (b *bench) reconcile(settled, waiting int) Reconciled {
	b.t.Helper()
	result, err := b.Reconcile(b.t.Context())
	if err != nil || len(result.Problems) > 0 {
		b.t.Errorf("reconcile: %v %v", err, result.Problems)
	}
	if len(result.Settled) != settled || len(result.Waiting) != waiting {
		b.t.Errorf("reconcile settled %d and left %d waiting, want %d and %d", len(result.Settled), len(result.Waiting), settled, waiting)
	}
	return result
}

const (
	timeout = 5 * time.Minute
	settle  = 2 * time.Minute
)

func TestAnEffectThatWasSentIsNotSentAgain(t *testing.T) {
	b := newBench(t, "")
	first := b.do(b.effect("k"), "done")
	b.clock.add(1000 * time.Hour)
	if again := b.do(b.effect("k"), "done"); again != first || again.Ref != "k" || again.URL == "" {
		t.Errorf("the second answer is %+v, the first was %+v", again, first)
	}
	b.reconcile(0, 0)
	if got := b.want("k", Sent, 1, 0); len(got.Events) != 2 || got.Events[0].To != Sending {
		t.Errorf("events %+v, want intent and answer", got.Events)
	}
	other := b.effect("k")
	other.Payload = "sha256:other"
	b.do(other, "other")
}

func TestARejectedEffectIsTakenUpOnAPersonsWordOnly(t *testing.T) {
	b := newBench(t, "")
	b.answers, b.skip = []error{Reject(errors.New("422 no such\nbranch"))}, 1
	b.do(b.effect("k"), "ended")
	if got := b.want("k", Failed, 1, 0); got.Stands || got.Reply != "422 no such branch" {
		t.Errorf("delivery %+v, want the reply in one line and nothing that stands", got.Delivery)
	}
	b.do(b.effect("k"), "ended")
	b.clock.add(1000 * time.Hour)
	b.reconcile(0, 0)
	if _, err := b.Replay(t.Context(), "k", Word{}); err == nil {
		t.Error("nobody replayed it")
	}
	b.want("k", Failed, 1, 0)
	if d, err := b.Replay(t.Context(), "k", Word{Actor: "eve", Reason: "the branch is there"}); err != nil || d.State != Sent {
		t.Errorf("replay: %+v, %v", d, err)
	}
	b.want("k", Sent, 2, 1) // it is looked for before it is sent
	if _, err := b.Replay(t.Context(), "k", Word{Actor: "eve"}); !errors.Is(err, ErrState) {
		t.Errorf("a sent effect was replayed: %v", err)
	}
}

func TestAFailedEffectWithAnotherPayloadIsAnotherTry(t *testing.T) {
	b := newBench(t, "")
	b.answers, b.skip = []error{Reject(errors.New("no"))}, 1
	b.do(b.effect("k"), "ended")
	other := b.effect("k")
	other.Payload = "sha256:mended"
	b.do(other, "done")
	b.want("k", Sent, 2, 0)
}

func TestWhatIsInDoubtIsLeftAloneUntilItsWindowIsOver(t *testing.T) {
	for name, executed := range map[string]bool{"adopted": true, "sent again": false} {
		b := newBench(t, "")
		b.answers = []error{errors.New("502")}
		if !executed {
			b.skip = 1
		}
		b.do(b.effect("k"), "waiting")
		if got := b.want("k", Doubt, 1, 0); got.Deadline != start.Add(timeout).UnixMicro() || got.SettleAt != start.Add(timeout+settle).UnixMicro() {
			t.Errorf("%s: deadline %d, settle %d", name, got.Deadline, got.SettleAt)
		}
		b.clock.add(timeout + settle - time.Microsecond)
		b.do(b.effect("k"), "waiting")
		b.reconcile(0, 0)
		b.want("k", Doubt, 1, 0)
		b.clock.add(time.Microsecond)
		b.reconcile(1, 0)
		sends := 1
		if !executed {
			sends = 2
		}
		if b.want("k", Sent, sends, 1); len(b.made) != 1 {
			t.Errorf("%s: the target has %v", name, b.made)
		}
	}
}

func TestDoSettlesWhatIsDueToo(t *testing.T) {
	b := newBench(t, "")
	b.answers = []error{errors.New("cut")}
	b.do(b.effect("k"), "waiting")
	b.clock.add(timeout + settle)
	if answer := b.do(b.effect("k"), "done"); answer.Reply != "found" {
		t.Errorf("answer %+v, want that of the list", answer)
	}
	b.want("k", Sent, 1, 1)
}

func TestAnotherPayloadDoesNotOvertakeOneInDoubt(t *testing.T) {
	b := newBench(t, "")
	b.answers = []error{errors.New("cut")}
	b.do(b.effect("k"), "waiting")
	b.clock.add(timeout + settle)
	other := b.effect("k")
	other.Payload = "sha256:other"
	b.do(other, "waiting")
	b.reconcile(1, 0)
	b.do(other, "other")
	b.want("k", Sent, 1, 1)
}

func TestACrashLeavesWhatAnotherProcessSettles(t *testing.T) {
	crash := func(b *bench) {
		defer func() {
			if recover() == nil {
				b.t.Error("no crash")
			}
		}()
		_, _ = b.Do(b.t.Context(), b.effect("k"))
	}
	for name, test := range map[string]struct {
		crash func(*bench)
		sends int
	}{
		"between intent and effect": {func(b *bench) {
			b.skip = 1
			b.during = func(context.Context) { b.during = nil; panic("killed") }
			crash(b)
		}, 2},
		"between effect and answer": {func(b *bench) {
			b.during = func(context.Context) { b.during = nil; panic("killed") }
			crash(b)
		}, 1},
		"the answer is not recorded": {func(b *bench) {
			b.engine.fail.Store(2)
			if _, err := b.Do(b.t.Context(), b.effect("k")); !errors.Is(err, errLost) {
				b.t.Errorf("error %v, want that of the store", err)
			}
		}, 1},
	} {
		b := newBench(t, "")
		test.crash(b)
		b.want("k", Sending, 1, 0)
		b.Log = b.process("two", "")
		b.reconcile(0, 0)
		b.do(b.effect("k"), "waiting")
		b.clock.add(timeout + settle)
		b.reconcile(1, 0)
		if got := b.want("k", Sent, test.sends, 1); len(b.made) != 1 || got.Holder != "two" {
			t.Errorf("%s: the target has %v, the holder is %s", name, b.made, got.Holder)
		}
	}
}

func TestNothingIsSentWhenTheIntentIsNotWritten(t *testing.T) {
	b := newBench(t, "")
	b.engine.fail.Store(1)
	b.do(b.effect("k"), "failure")
	if b.sends != 0 {
		t.Error("it was sent without an intent")
	}
}

func TestALookThatCrashesIsTakenUpAgain(t *testing.T) {
	b := newBench(t, "")
	b.answers = []error{errors.New("cut")}
	b.do(b.effect("k"), "waiting")
	b.clock.add(timeout + settle)
	b.engine.fail.Store(2) // the first write claims it, the second would adopt it
	if result, err := b.Reconcile(t.Context()); err != nil || len(result.Problems) != 1 {
		t.Errorf("reconcile: %+v, %v", result, err)
	}
	b.reconcile(0, 0) // it belongs to the one that died
	b.clock.add(timeout + settle)
	b.reconcile(1, 0)
	b.want("k", Sent, 1, 2)
}

func TestATargetThatCannotBeAskedKeepsItInDoubt(t *testing.T) {
	b := newBench(t, "")
	b.answers = []error{errors.New("cut")}
	b.do(b.effect("k"), "waiting")
	b.lookErr = errors.New("503")
	for range 20 {
		b.clock.add(timeout + settle)
		b.reconcile(0, 1)
	}
	b.want("k", Doubt, 1, 20)
	b.lookErr = nil
	b.clock.add(settle)
	b.reconcile(1, 0)
	b.want("k", Sent, 1, 21)
}

func TestExistsAlreadyLeadsToALook(t *testing.T) {
	b := newBench(t, "")
	b.answers = []error{fmt.Errorf("422: %w", ErrExists)}
	b.do(b.effect("k"), "done")
	b.want("k", Sent, 1, 1)

	late := newBench(t, "")
	late.answers = []error{ErrExists}
	late.during = func(context.Context) { late.shown = 0 }
	late.do(late.effect("k"), "waiting")
	late.want("k", Doubt, 1, 1)
	late.clock.add(settle - time.Microsecond)
	late.reconcile(0, 0)
	late.clock.add(time.Microsecond)
	late.shown = 1
	late.reconcile(1, 0)
	late.want("k", Sent, 1, 2)

	never := newBench(t, "")
	never.answers = []error{ErrExists, ErrExists, ErrExists, ErrExists, ErrExists}
	never.during = func(context.Context) { never.shown = 0 }
	_, _ = never.Do(t.Context(), never.effect("k"))
	for range 10 {
		never.clock.add(timeout + settle)
		if _, err := never.Reconcile(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if got := never.want("k", Failed, 5, 10); got.Attempts != 5 || !strings.Contains(got.Why, "does not show it") {
		t.Errorf("attempts %d: %s", got.Attempts, got.Why)
	}
}

func TestAnEffectWithoutATraceFailsAfterItsAttempts(t *testing.T) {
	b := newBench(t, "rules: [{kind: pull_request, attempts: 3}]")
	b.skip, b.answers = 3, []error{errors.New("a"), errors.New("b"), errors.New("c")}
	_, _ = b.Do(t.Context(), b.effect("k"))
	for range 2 {
		b.clock.add(timeout + settle)
		b.reconcile(0, 1)
	}
	b.clock.add(timeout + settle)
	b.reconcile(1, 0)
	if got := b.want("k", Failed, 3, 3); got.Reply != "c" || got.Stands {
		t.Errorf("delivery %+v", got.Delivery)
	}
}

func TestWhatTheTargetPutsOffWaitsThatLong(t *testing.T) {
	b := newBench(t, "rules: [{kind: pull_request, attempts: 1}]")
	b.skip, b.answers = 1, []error{Postpone(time.Hour, errors.New("429"))}
	b.do(b.effect("k"), "waiting")
	if got := b.want("k", Held, 1, 0); got.NotBefore != start.Add(time.Hour).UnixMicro() || got.Stands || !strings.Contains(got.Why, "429") {
		t.Errorf("delivery %+v", got.Delivery)
	}
	b.clock.add(time.Hour - time.Microsecond)
	b.reconcile(0, 0)
	e := b.effect("k")
	e.Override = "ada"
	b.do(e, "waiting")
	b.want("k", Held, 1, 0)
	for _, halt := range []bool{true, false} { // the kill switch does not make it forget
		if _, err := b.Throw(t.Context(), halt, "eve", "a test"); err != nil {
			t.Fatal(err)
		}
		b.do(e, "waiting")
		b.do(e, "waiting")
		if got := b.want("k", Held, 1, 0); strings.Contains(got.Why, "halted") != halt || strings.Count(got.Why, "429") != 1 || got.NotBefore != start.Add(time.Hour).UnixMicro() {
			t.Errorf("halted %t: not before %d: %s", halt, got.NotBefore, got.Why)
		}
	}
	b.clock.add(time.Microsecond)
	b.reconcile(1, 0)
	b.want("k", Sent, 2, 0)
}

func TestARequestEndsAtItsDeadlineAndIsInDoubt(t *testing.T) {
	b := newBench(t, "rules: [{kind: pull_request, timeout: 1ms, settle: 1h}]")
	b.during = func(ctx context.Context) { <-ctx.Done() }
	b.answers = []error{context.DeadlineExceeded}
	b.do(b.effect("k"), "waiting")
	if got := b.want("k", Doubt, 1, 0); !strings.Contains(got.Reply, "no answer within 1ms") || got.SettleAt != start.Add(time.Hour+time.Millisecond).UnixMicro() {
		t.Errorf("delivery %+v", got.Delivery)
	}
}

func TestACallerThatGivesUpLeavesADoubt(t *testing.T) {
	b := newBench(t, "")
	ctx, cancel := context.WithCancel(t.Context())
	b.during, b.answers = func(context.Context) { cancel() }, []error{context.Canceled}
	if _, err := b.Do(ctx, b.effect("k")); word(err) != "waiting" {
		t.Errorf("error %v", err)
	}
	b.want("k", Doubt, 1, 0)
}

func TestNothingIsSentAfterItsDeadline(t *testing.T) {
	b := newBench(t, "")
	late := New(b.engine, func() time.Time {
		now := b.clock.now()
		b.clock.add(timeout / 2) // a process that stands still all the time
		return now
	})
	late.Holder = "late"
	_, err := late.Do(t.Context(), b.effect("k"))
	if word(err) != "waiting" || b.sends != 0 {
		t.Errorf("%v after %d requests, want none", err, b.sends)
	}
	b.clock.add(timeout + settle)
	b.reconcile(1, 0)
	b.want("k", Sent, 1, 1)
}

func TestOneWhoWasOvertakenRecordsNothing(t *testing.T) {
	b := newBench(t, "")
	two := b.process("two", "")
	b.during = func(context.Context) {
		b.during = nil
		b.clock.add(timeout + settle) // the first stands still in its request
		if result, err := two.Reconcile(t.Context()); err != nil || len(result.Settled) != 1 {
			t.Errorf("the second process: %+v, %v", result, err)
		}
	}
	b.answers = []error{Reject(errors.New("too late"))}
	b.do(b.effect("k"), "taken over")
	if got := b.want("k", Sent, 1, 1); got.Holder != "two" || got.Fence != 2 {
		t.Errorf("holder %s with fence %d", got.Holder, got.Fence)
	}
}

func TestTwoProcessesDoNotBothSend(t *testing.T) {
	b := newBench(t, "")
	two := b.process("two", "")
	b.during = func(context.Context) {
		if _, err := two.Do(t.Context(), b.effect("k")); word(err) != "waiting" {
			t.Errorf("the second process: %v", err)
		}
		if result, err := two.Reconcile(t.Context()); err != nil || len(result.Settled)+len(result.Waiting) != 0 {
			t.Errorf("the second process: %+v, %v", result, err)
		}
	}
	b.do(b.effect("k"), "done")
	b.want("k", Sent, 1, 0)
}

func TestManyAtOnceSendEachEffectOnce(t *testing.T) {
	b := newBench(t, "per_day: unlimited\nrules: [{kind: pull_request, per_hour: unlimited, open: unlimited}]")
	logs := []*Log{b.Log, b.process("two", "per_day: unlimited\nrules: [{kind: pull_request, per_hour: unlimited, open: unlimited}]")}
	var mu sync.Mutex
	sent := map[string]int{}
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			for n := range 40 {
				key := fmt.Sprint("k", (n*7+worker)%40)
				e := (&target{}).effect(key)
				e.Send = func(context.Context) (Answer, error) {
					mu.Lock()
					defer mu.Unlock()
					sent[key]++
					return Answer{}, nil
				}
				if _, err := logs[worker%2].Do(t.Context(), e); err != nil && word(err) != "waiting" {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	for n := range 40 {
		if got := sent[fmt.Sprint("k", n)]; got != 1 {
			t.Errorf("k%d was sent %d times", n, got)
		}
	}
}

func TestAnIdempotentEffectIsSentAgainAtAnyTime(t *testing.T) {
	b := newBench(t, "")
	e := b.effect("k")
	e.Idempotent, e.Look = true, nil
	b.do(e, "done")
	b.do(e, "done")
	e.Payload = "sha256:updated"
	b.do(e, "done")
	b.want("k", Sent, 3, 0)
	b.answers = []error{errors.New("no"), ErrExists}
	b.do(e, "ended")
	b.want("k", Failed, 4, 0)
	b.do(e, "done")
	b.want("k", Sent, 5, 0)
	ctx, cancel := context.WithCancel(t.Context())
	b.during, b.answers = func(context.Context) { cancel() }, []error{context.Canceled}
	if _, err := b.Do(ctx, e); word(err) != "waiting" {
		t.Errorf("error %v", err)
	}
	b.want("k", Doubt, 6, 0)
	b.during = nil
	b.do(e, "done")
	b.want("k", Sent, 7, 0)
}

func TestAProposalIsSettledFromWhatIsStored(t *testing.T) {
	b := newBench(t, "")
	f := &forge{during: func() { panic("killed") }}
	change := proposalOf("k")
	func() {
		defer func() { _ = recover() }()
		_, _ = b.Propose(t.Context(), f, change, "sha256:1", "forge.test/shop")
	}()
	b.Log = b.process("two", "")
	f.during, f.err = func() {}, errors.New("no such remote")
	if _, err := b.Propose(t.Context(), f, change, "sha256:1", "forge.test/shop"); word(err) != "ended" {
		t.Errorf("error %v", err)
	}
	if record, err := b.Show(t.Context(), "k"); err != nil || record.Stands {
		t.Errorf("what was never answered stands (%v)", err)
	}
	f.during = func() { panic("killed") }
	func() {
		defer func() { _ = recover() }()
		_, _ = b.Propose(t.Context(), f, change, "sha256:1", "forge.test/shop")
	}()
	f.during, f.err = func() {}, nil
	b.RegisterKind(KindPropose, ProposeBy(func(string) (connector.Forge, error) { return f, nil }))
	b.clock.add(time.Hour)
	b.reconcile(1, 0)
	if f.calls != 4 {
		t.Errorf("%d calls, want one after the three", f.calls)
	}
	change.Remote = "forge.test/shop"
	if diff := cmp.Diff(change, f.last); diff != "" {
		t.Errorf("the stored proposal (-want +got):\n%s", diff)
	}
	if record, err := b.Show(t.Context(), "k"); err != nil || record.State != Sent || strings.Contains(string(record.Doc), "hunter2") {
		t.Errorf("record %+v, %v", record, err)
	}
}

// pulls is a forge with pull requests.
type pulls struct{ *forge }

func (pulls) Serves(string) bool { return true }

func TestAProposalAtAForgeWithPullRequestsCountsAsOne(t *testing.T) {
	b := newBench(t, "")
	f := &forge{during: func() {}}
	for n, want := range []string{"done", "done", "waiting"} {
		if _, err := b.Propose(t.Context(), pulls{f}, proposalOf(fmt.Sprint("k", n)), "sha256:1", "forge.test/shop"); word(err) != want {
			t.Errorf("proposal %d: %v, want %s", n, err, want)
		}
	}
	for n := range 9 {
		if _, err := b.Propose(t.Context(), f, proposalOf(fmt.Sprint("b", n)), "sha256:1", "forge.test/shop"); err != nil {
			t.Errorf("branch %d: %v", n, err)
		}
	}
	b.Override = "ada"
	if _, err := b.Propose(t.Context(), pulls{f}, proposalOf("k2"), "sha256:1", "forge.test/shop"); err != nil {
		t.Errorf("passed by ada: %v", err)
	}
	if record, err := b.Show(t.Context(), "k2"); err != nil || record.OverrideBy != "ada" {
		t.Errorf("%+v, %v", record, err)
	}
}

// followed is a forge that tells how a change stands.
type followed struct {
	*forge
	standing  connector.Standing
	err       error
	withdrawn string
}

func (f *followed) Follow(context.Context, connector.Place) (connector.Standing, error) {
	return f.standing, f.err
}

func (f *followed) Withdraw(_ context.Context, _ connector.Place, head, _ string) (connector.Receipt, error) {
	f.withdrawn = head
	return connector.Receipt{Outcome: "closed"}, nil
}

func TestAProposalIsTakenBackUnlessPeopleBuiltOnIt(t *testing.T) {
	for name, test := range map[string]struct {
		standing  connector.Standing
		err       error
		state     State
		withdrawn string
	}{
		"open":           {connector.Standing{State: connector.ChangeOpen, Head: "c1"}, nil, Undone, "c1"},
		"closed already": {connector.Standing{State: connector.ChangeClosed}, nil, Undone, ""},
		"gone":           {connector.Standing{}, connector.ErrNoChange, Undone, ""},
		"merged":         {connector.Standing{State: connector.ChangeMerged, Merge: "c9"}, nil, Sent, ""},
		"of others too":  {connector.Standing{State: connector.ChangeOpen, Head: "c2", Authors: []string{"Bob"}}, nil, Sent, ""},
	} {
		b := newBench(t, "")
		f := &followed{forge: &forge{during: func() {}}, standing: test.standing, err: test.err}
		b.RegisterKind(KindPropose, ProposeBy(func(string) (connector.Forge, error) { return f, nil }))
		if _, err := b.Propose(t.Context(), f, proposalOf("k"), "sha256:1", "forge.test/shop"); err != nil {
			t.Fatal(err)
		}
		_, err := b.Undo(t.Context(), "k", Word{Actor: "eve"})
		if (err == nil) != (test.state == Undone) {
			t.Errorf("%s: %v", name, err)
		}
		if record, err := b.Show(t.Context(), "k"); err != nil || record.State != test.state || f.withdrawn != test.withdrawn {
			t.Errorf("%s: %s and withdrawn at %q (%v), want %s and %q", name, record.State, f.withdrawn, err, test.state, test.withdrawn)
		}
	}
}

func TestErrorsOfForgesAreTakenForWhatTheyMean(t *testing.T) {
	for _, test := range []struct {
		err   error
		state State
	}{
		{connector.ErrInDoubt, Doubt}, {connector.ErrLimited, Held}, {connector.ErrForeign, Failed}, {connector.ErrRights, Failed}, {errors.New("any other"), Failed},
	} {
		b := newBench(t, "")
		f := &forge{during: func() {}}
		propose := func() error {
			_, err := b.Propose(t.Context(), f, proposalOf("k"), "sha256:1", "forge.test/shop")
			return err
		}
		if err := propose(); err != nil {
			t.Fatal(err)
		}
		f.err = fmt.Errorf("push: %w", test.err)
		if err := propose(); err == nil {
			t.Errorf("%v: no error", test.err)
		}
		record, err := b.Show(t.Context(), "k")
		if err != nil || record.State != test.state || !record.Stands {
			t.Errorf("%v: %s, stands %t (%v); want %s, and what was made before stands", test.err, record.State, record.Stands, err, test.state)
		}
	}
}

func TestWhatIsClosedIsNotUpdatedAnyMore(t *testing.T) {
	b := newBench(t, "")
	e := b.effect("k")
	e.Idempotent = true
	b.do(e, "done")
	if _, err := b.Throw(t.Context(), true, "eve", "stop"); err != nil {
		t.Fatal(err)
	}
	e.Payload = "sha256:update"
	b.do(e, "waiting")
	if got := b.want("k", Held, 1, 0); !got.Stands {
		t.Error("what was made before does not stand any longer")
	}
	if err := b.MarkClosed(t.Context(), "k", "forge", "merged"); err != nil {
		t.Fatal(err)
	}
	if got := b.want("k", Refused, 1, 0); got.Stands || got.Why != "closed: merged" {
		t.Errorf("delivery %+v", got.Delivery)
	}
	b.during = func(context.Context) {
		if err := b.MarkClosed(t.Context(), "n", "forge", "closed while it was sent"); err != nil {
			t.Error(err)
		}
	}
	if _, err := b.Throw(t.Context(), false, "eve", "go"); err != nil {
		t.Fatal(err)
	}
	b.do(b.effect("n"), "done")
	b.want("n", Sent, 2, 0)
}

func TestWhatCannotBeMadeAgainIsAProblemAndNotInTheWay(t *testing.T) {
	b := newBench(t, "")
	b.answers = []error{errors.New("cut"), errors.New("cut")}
	odd := b.effect("a")
	odd.Kind, odd.Target = KindComment, "elsewhere"
	b.do(odd, "waiting")
	b.do(b.effect("k"), "waiting")
	b.clock.add(timeout + settle)
	if _, err := b.Throw(t.Context(), true, "eve", "stop"); err != nil {
		t.Fatal(err)
	}
	held := b.effect("held")
	held.Kind = KindComment
	b.do(held, "waiting")
	result, err := b.Reconcile(t.Context())
	if err != nil || len(result.Settled) != 1 || len(result.Problems) != 1 || !strings.Contains(result.Problems[0], "comment") || len(result.Waiting) != 1 || result.Waiting[0].Key != "held" {
		t.Errorf("reconcile: %+v, %v", result, err)
	}
}

func TestAnEffectThatIsNotWholeIsRefused(t *testing.T) {
	b := newBench(t, "")
	for name, spoil := range map[string]func(*Effect){
		"no key":        func(e *Effect) { e.Key = "" },
		"line in key":   func(e *Effect) { e.Key = "a\nb" },
		"long key":      func(e *Effect) { e.Key = strings.Repeat("k", 513) },
		"kind":          func(e *Effect) { e.Kind = "Pull Request" },
		"no target":     func(e *Effect) { e.Target = "" },
		"credentials":   func(e *Effect) { e.Target = "https://u:hunter2@forge.test/shop" },
		"no payload":    func(e *Effect) { e.Payload = "" },
		"no send":       func(e *Effect) { e.Send = nil },
		"no look":       func(e *Effect) { e.Look = nil },
		"doc":           func(e *Effect) { e.Doc = []byte("{") },
		"large doc":     func(e *Effect) { e.Doc = []byte(`"` + strings.Repeat("x", maxDoc) + `"`) },
		"escape in key": func(e *Effect) { e.Key = "\x1b[31m" },
	} {
		e := b.effect("k")
		spoil(&e)
		_, err := b.Do(t.Context(), e)
		if word(err) != "failure" || strings.ContainsAny(fmt.Sprint(err), "\n\x1b") || strings.Contains(fmt.Sprint(err), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if deliveries, err := b.List(t.Context()); err != nil || len(deliveries) != 0 {
		t.Errorf("%v, %v", deliveries, err)
	}
}
