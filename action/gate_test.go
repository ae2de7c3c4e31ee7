package action

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/store"
)

// stopgap is an effect that needs a person's word.
func (b *bench) stopgap(key string) Effect {
	e := b.effect(key)
	e.Kind = KindStopgap
	return e
}

func (b *bench) approve(key, actor, want string) {
	b.t.Helper()
	_, err := b.Approve(b.t.Context(), key, Word{Actor: actor, Reason: "looks right"})
	if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
		b.t.Errorf("approve by %q: %v, want %q", actor, err, want)
	}
}

func TestWhatNeedsApprovalWaitsForAnothersWord(t *testing.T) {
	b := newBench(t, "")
	b.do(b.stopgap("k"), "waiting")
	b.want("k", AwaitingApproval, 0, 0)
	b.do(b.stopgap("k"), "waiting")
	b.reconcile(0, 1)
	if got := b.want("k", AwaitingApproval, 0, 0); len(got.Events) != 1 {
		t.Errorf("waiting was noted %d times", len(got.Events))
	}
	b.approve("k", "ada", "ada asked for it")
	b.approve("k", " ADA ", "ada asked for it")
	b.approve("k", " ", "name")
	b.approve("nothing", "eve", "not found")
	if _, err := b.Approve(t.Context(), "k", Word{Actor: "eve", Binding: "sha256:seen before"}); err == nil || !strings.Contains(err.Error(), "not what you saw") {
		t.Errorf("an approval of something else: %v", err)
	}
	b.want("k", AwaitingApproval, 0, 0)
	b.approve("k", "eve", "")
	b.want("k", Approved, 0, 0)
	b.approve("k", "eve", "not in a state")
	b.reconcile(1, 0)
	if got := b.want("k", Sent, 1, 0); len(got.Approvals) != 1 || got.Approvals[0].Approver != "eve" || got.Approvals[0].Plan != "sha256:plan" || got.Approvals[0].Base != "c0" || got.Approvals[0].Binding != got.Binding {
		t.Errorf("approvals %+v", got.Approvals)
	}
}

func TestBranchesAndPullRequestsNeedNoApprovalAndWhatActsOnWhatRunsDoes(t *testing.T) {
	p := New(nil, nil).policy
	for kind, want := range map[string]bool{
		KindPropose: false, KindPullRequest: false, KindComment: false, KindWithdraw: false, KindCheck: false, KindTicket: false, KindDelegate: false, KindStopgap: true, KindCredential: true, "anything_new": true,
		"undo:pull_request": false, "undo:stopgap": true,
	} {
		if got := p.Terms(kind, "x").Approval; got != want {
			t.Errorf("%s needs approval: %t", kind, got)
		}
	}
}

func TestAnyChangeVoidsAnApprovalForGood(t *testing.T) {
	for name, change := range map[string]func(*Effect){
		"plan":    func(e *Effect) { e.Plan = "sha256:other" },
		"base":    func(e *Effect) { e.Base = "c1" },
		"target":  func(e *Effect) { e.Target = "forge.test/other" },
		"kind":    func(e *Effect) { e.Kind = KindCredential },
		"payload": func(e *Effect) { e.Payload = "sha256:other" },
	} {
		b := newBench(t, "")
		b.do(b.stopgap("k"), "waiting")
		b.approve("k", "eve", "")
		changed := b.stopgap("k")
		change(&changed)
		b.do(changed, "waiting")
		got := b.want("k", AwaitingApproval, 0, 0)
		if got.Approvals[0].VoidedAt == 0 || !strings.Contains(got.Approvals[0].VoidWhy, name) || !strings.Contains(got.Why, "void") {
			t.Errorf("%s: approval %+v, why %q", name, got.Approvals[0], got.Why)
		}
		b.do(b.stopgap("k"), "waiting") // what was approved once, again
		b.want("k", AwaitingApproval, 0, 0)
		b.approve("k", "eve", "")
		b.do(b.stopgap("k"), "done")
		b.want("k", Sent, 1, 0)
	}
}

func TestAnotherRequesterOfTheSameDoesNotFreeTheFirstToApprove(t *testing.T) {
	b := newBench(t, "")
	b.do(b.stopgap("k"), "waiting")
	e := b.stopgap("k")
	e.Requester = "bob"
	b.do(e, "waiting")
	b.approve("k", "ada", "ada asked for it")
	anonymous := b.stopgap("n")
	anonymous.Requester = ""
	b.do(anonymous, "waiting")
	b.approve("n", "eve", "nobody is recorded")
	b.Actor = "ada"
	b.do(b.stopgap("m"), "waiting")
	b.approve("m", "Ada", "asked for it")
}

func TestAnApprovalExpires(t *testing.T) {
	b := newBench(t, "approval_valid: 1h")
	b.do(b.stopgap("k"), "waiting")
	b.approve("k", "eve", "")
	b.clock.add(time.Hour)
	b.reconcile(0, 1)
	if got := b.want("k", AwaitingApproval, 0, 0); !strings.Contains(got.Why, "expired") {
		t.Errorf("why %q", got.Why)
	}
	b.approve("k", "eve", "")
	b.clock.add(time.Hour - time.Microsecond)
	b.reconcile(1, 0)
	b.want("k", Sent, 1, 0)
}

func TestARefusedEffectEndsUntilAPersonTakesItUp(t *testing.T) {
	b := newBench(t, "")
	b.do(b.stopgap("k"), "waiting")
	b.approve("k", "eve", "")
	if _, err := b.Refuse(t.Context(), "k", Word{Actor: "bob", Reason: "not on a Friday"}); err != nil {
		t.Fatal(err)
	}
	got := b.want("k", Refused, 0, 0)
	if !strings.Contains(got.Why, "not on a Friday") || got.Approvals[0].VoidedAt == 0 || got.Approvals[1].Verdict != VerdictRefuse {
		t.Errorf("record %+v", got)
	}
	b.do(b.stopgap("k"), "ended")
	b.reconcile(0, 0)
	if _, err := b.Replay(t.Context(), "k", Word{Actor: "ada"}); word(err) != "waiting" {
		t.Errorf("replay: %v", err)
	}
	b.want("k", AwaitingApproval, 0, 1)
	b.approve("k", "eve", "")
	b.reconcile(1, 0)
	b.want("k", Sent, 1, 1)
	if _, err := b.Refuse(t.Context(), "k", Word{Actor: "bob"}); !errors.Is(err, ErrState) {
		t.Errorf("a sent effect was refused: %v", err)
	}
}

func TestLimitsOfATargetHoldAndSayUntilWhen(t *testing.T) {
	b := newBench(t, "")
	b.do(b.effect("k1"), "done")
	b.clock.add(10 * time.Minute)
	b.do(b.effect("k2"), "done")
	b.do(b.effect("k3"), "waiting")
	got := b.want("k3", Held, 2, 0)
	if got.NotBefore != start.Add(time.Hour).UnixMicro() || !strings.Contains(got.Why, "the limit is 2") {
		t.Errorf("not before %d: %s", got.NotBefore, got.Why)
	}
	elsewhere := b.effect("other")
	elsewhere.Target = "forge.test/other"
	b.do(elsewhere, "done")
	b.clock.add(50*time.Minute - time.Microsecond)
	b.reconcile(0, 0)
	b.clock.add(time.Microsecond)
	b.reconcile(1, 0)
	b.want("k3", Sent, 4, 0)

	for n := 4; n <= 5; n++ {
		b.clock.add(2 * time.Hour)
		b.do(b.effect(fmt.Sprint("k", n)), "done")
	}
	b.clock.add(2 * time.Hour)
	b.do(b.effect("k6"), "waiting")
	if got := b.want("k6", Held, 6, 0); got.NotBefore != 0 || !strings.Contains(got.Why, "the limit is 5") {
		t.Errorf("not before %d: %s", got.NotBefore, got.Why)
	}
	b.reconcile(0, 1)
	if err := b.MarkClosed(t.Context(), "k1", "forge", "merged"); err != nil {
		t.Fatal(err)
	}
	b.reconcile(1, 0)
	b.want("k6", Sent, 7, 0)
	if err := b.MarkClosed(t.Context(), "nothing", "forge", "merged"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("error %v", err)
	}
}

func TestAnUpdateOfWhatStandsIsNotAnotherOne(t *testing.T) {
	b := newBench(t, "rules: [{kind: pull_request, per_hour: 2, open: 2}]")
	update := b.effect("k1")
	update.Idempotent = true
	b.do(update, "done")
	b.do(b.effect("k2"), "done")
	b.clock.add(59 * time.Minute)
	update.Payload = "sha256:p2"
	b.do(update, "done")
	b.clock.add(time.Minute)
	for _, key := range []string{"k1", "k2"} {
		if err := b.MarkClosed(t.Context(), key, "forge", "merged"); err != nil {
			t.Fatal(err)
		}
	}
	b.do(b.effect("k3"), "done")
	b.do(b.effect("k4"), "done")
	update.Payload = "sha256:p3" // k1 is closed, so this makes another one
	b.do(update, "waiting")
	b.want("k1", Held, 5, 0)
}

func TestOneInDoubtCountsAgainstTheLimitsAndSendingItAgainDoesNot(t *testing.T) {
	b := newBench(t, "rules: [{kind: pull_request, per_hour: 1, open: 1}]")
	b.skip, b.answers = 1, []error{errors.New("cut")}
	b.do(b.effect("k1"), "waiting")
	b.do(b.effect("k2"), "waiting")
	b.clock.add(timeout + settle)
	result := b.reconcile(1, 0)
	if len(result.Settled) != 1 || result.Settled[0].Key != "k1" {
		t.Errorf("settled %+v", result.Settled)
	}
	b.want("k1", Sent, 2, 1)
}

func TestAllEffectsOfADayTogetherAreBounded(t *testing.T) {
	b := newBench(t, "per_day: 2\nrules: [{kind: pull_request, per_hour: unlimited}]")
	b.do(b.effect("k1"), "done")
	b.clock.add(time.Hour)
	comment := b.effect("k2")
	comment.Kind, comment.Target = KindComment, "elsewhere"
	b.do(comment, "done")
	b.do(b.effect("k3"), "waiting")
	if got := b.want("k3", Held, 2, 0); got.NotBefore != start.Add(24*time.Hour).UnixMicro() {
		t.Errorf("not before %d: %s", got.NotBefore, got.Why)
	}
	b.clock.add(23 * time.Hour)
	b.reconcile(1, 0)
	b.want("k3", Sent, 3, 0)
}

func TestAPersonMayPassLimitsAndQuietHoursButNotTheKillSwitchOrApprovals(t *testing.T) {
	b := newBench(t, `{per_day: 1, quiet: [{from: "11:00", to: "13:00"}]}`)
	e := b.effect("k1")
	b.do(e, "waiting")
	e.Override = "ada"
	b.do(e, "done")
	got := b.want("k1", Sent, 1, 0)
	if got.OverrideBy != "ada" || !strings.Contains(got.Events[1].Why, "past limits and quiet hours by ada") {
		t.Errorf("record %+v", got)
	}
	stopgap := b.stopgap("k2")
	stopgap.Override = "ada"
	b.do(stopgap, "waiting")
	b.want("k2", AwaitingApproval, 1, 0)
	if _, err := b.Throw(t.Context(), true, "eve", "incident"); err != nil {
		t.Fatal(err)
	}
	e = b.effect("k3")
	e.Override = "ada"
	b.do(e, "waiting")
	b.want("k3", Held, 1, 0)
}

func TestTheKillSwitchHoldsEverythingAndSurvivesARestart(t *testing.T) {
	b := newBench(t, "")
	b.answers = []error{errors.New("cut")}
	b.do(b.effect("k0"), "waiting")
	b.skip, b.made = 0, nil
	if _, err := b.Throw(t.Context(), true, "eve", ""); err == nil {
		t.Error("halted without a reason")
	}
	if _, err := b.Throw(t.Context(), true, "eve", "a storm of pull requests"); err != nil {
		t.Fatal(err)
	}
	b.Log = b.process("two", "")
	b.do(b.effect("k1"), "waiting")
	if got := b.want("k1", Held, 1, 0); !strings.Contains(got.Why, "halted by eve at 2026-03-02T12:00:00Z: a storm of pull requests") {
		t.Errorf("why %q", got.Why)
	}
	b.clock.add(timeout + settle)
	b.reconcile(0, 2) // the target is asked, and nothing is sent
	b.want("k0", Held, 1, 1)
	b.do(b.stopgap("k2"), "waiting")
	if _, err := b.Throw(t.Context(), false, "eve", "over"); err != nil {
		t.Fatal(err)
	}
	b.reconcile(2, 1)
	b.want("k0", Sent, 3, 1)
	b.want("k2", AwaitingApproval, 3, 1)
}

func TestTheKillSwitchEndsWhatIsUnderWay(t *testing.T) {
	b := newBench(t, "")
	two := b.process("two", "")
	b.poll = time.Millisecond
	b.during = func(ctx context.Context) {
		if _, err := two.Throw(t.Context(), true, "eve", "stop"); err != nil {
			t.Error(err)
		}
		<-ctx.Done()
	}
	b.answers = []error{context.Canceled}
	b.do(b.effect("k"), "waiting")
	if got := b.want("k", Doubt, 1, 0); !strings.Contains(got.Reply, "halted by the kill switch") {
		t.Errorf("reply %q", got.Reply)
	}
	if haltPoll > time.Second/3 {
		t.Errorf("an effect under way looks for the kill switch every %v, want it to end within a second", haltPoll)
	}
}

func TestWithoutAPolicyNothingIsSentOrApproved(t *testing.T) {
	b := newBench(t, "")
	b.do(b.stopgap("k"), "waiting")
	b.Use(b.policy, errors.New("delivery.yaml: line 3"))
	b.do(b.effect("k1"), "failure")
	b.approve("k", "eve", "delivery.yaml: line 3")
	if _, err := b.Limits(t.Context()); err == nil {
		t.Error("limits of no policy")
	}
	b.want("k", AwaitingApproval, 0, 0)
}

func TestAnEffectIsUndoneByAnEffectOfItsOwn(t *testing.T) {
	b := newBench(t, "")
	b.do(b.effect("k"), "done")
	undo, err := b.Undo(t.Context(), "k", Word{Actor: "eve", Reason: "wrong repository"})
	if err != nil || undo.State != Sent || undo.UndoOf != "k" || undo.Kind != "undo:pull_request" || undo.Requester != "eve" {
		t.Errorf("undo %+v, %v", undo, err)
	}
	if got := b.want("k", Undone, 1, 0); got.Stands || b.undos != 1 {
		t.Errorf("%+v after %d undos", got.Delivery, b.undos)
	}
	if _, err := b.Undo(t.Context(), "k", Word{Actor: "eve"}); !errors.Is(err, ErrState) {
		t.Errorf("undone twice: %v", err)
	}
	if _, err := b.Undo(t.Context(), undo.Key, Word{Actor: "eve"}); !errors.Is(err, ErrState) {
		t.Errorf("an undo was undone: %v", err)
	}
	b.do(b.effect("k"), "ended")
	b.shown = 0
	if d, err := b.Replay(t.Context(), "k", Word{Actor: "eve"}); err != nil || d.State != Sent {
		t.Errorf("replay %+v, %v", d, err)
	}
	if again, err := b.Undo(t.Context(), "k", Word{Actor: "eve"}); err != nil || again.Key == undo.Key || b.undos != 2 {
		t.Errorf("second undo %+v, %v", again, err)
	}
	b.want("k", Undone, 2, 1)
}

func TestAnUndoObeysTheRulesOfItsKindAndIsSettledLater(t *testing.T) {
	b := newBench(t, "")
	b.do(b.stopgap("k"), "waiting")
	b.approve("k", "eve", "")
	b.reconcile(1, 0)
	undo, err := b.Undo(t.Context(), "k", Word{Actor: "eve"})
	var waiting *Waiting
	if !errors.As(err, &waiting) || waiting.Delivery.State != AwaitingApproval {
		t.Fatalf("undo %+v, %v", undo, err)
	}
	key := waiting.Delivery.Key
	b.approve(key, "eve", "eve asked for it")
	b.approve(key, "ada", "")
	b.want("k", Sent, 1, 0)
	b.Log = b.process("two", "")
	b.reconcile(1, 0)
	if b.want("k", Undone, 1, 0); b.undos != 1 {
		t.Errorf("%d undos", b.undos)
	}
	fixed := b.effect("fixed")
	fixed.Kind, fixed.Undo = KindComment, nil
	b.do(fixed, "done")
	b.RegisterKind(KindComment, func(context.Context, Delivery) (Effect, error) { return fixed, nil })
	if _, err := b.Undo(t.Context(), "fixed", Word{Actor: "eve"}); !errors.Is(err, ErrNoUndo) {
		t.Errorf("error %v, want ErrNoUndo", err)
	}
}

func TestTheExportHoldsEverythingInAStableOrder(t *testing.T) {
	b := newBench(t, "")
	b.do(b.effect("z"), "done")
	b.do(b.stopgap("a"), "waiting")
	b.approve("a", "eve", "")
	b.clock.add(time.Second)
	b.do(b.effect("b"), "done")
	if _, err := b.Throw(t.Context(), true, "eve", "<stop>"); err != nil {
		t.Fatal(err)
	}
	var first, second bytes.Buffer
	for _, to := range []*bytes.Buffer{&first, &second} {
		if err := b.Export(t.Context(), to); err != nil {
			t.Fatal(err)
		}
	}
	if first.String() != second.String() {
		t.Error("two exports differ")
	}
	var keys []string
	for line := range strings.Lines(first.String()) {
		var one struct {
			Delivery *Record
			Switch   *Halt
		}
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			t.Fatal(err)
		}
		if one.Switch != nil {
			keys = append(keys, "switch "+one.Switch.Reason)
			continue
		}
		keys = append(keys, one.Delivery.Key)
		want, err := b.Show(t.Context(), one.Delivery.Key)
		if err != nil || len(one.Delivery.Events) != len(want.Events) || len(one.Delivery.Approvals) != len(want.Approvals) || string(one.Delivery.Doc) != string(want.Doc) {
			t.Errorf("%s: %+v, want %+v", line, one.Delivery, want)
		}
	}
	if got := strings.Join(keys, " "); got != "a z b switch <stop>" {
		t.Errorf("order %s", got)
	}
}

func TestLimitsTellWhatIsUsed(t *testing.T) {
	b := newBench(t, "")
	for n := range 3 {
		_, _ = b.Do(t.Context(), b.effect(fmt.Sprint("k", n)))
	}
	limits, err := b.Limits(t.Context())
	if err != nil || len(limits.Usage) != 1 || limits.LastDay != 2 {
		t.Fatalf("%+v, %v", limits, err)
	}
	if u := limits.Usage[0]; u.LastHour != 2 || u.Open != 2 || u.Held != 1 || u.Terms.PerHour != 2 || u.Terms.Open != 5 {
		t.Errorf("%+v", u)
	}
}
