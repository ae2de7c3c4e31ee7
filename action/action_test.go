package action

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/store/sqlite"
	"github.com/backstitch/backstitch/store/storetest"
)

// start is a Monday.
var start = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// forge is a connector.Forge that looks at the log while the effect happens.
type forge struct {
	connector.Forge
	during func()
	err    error
	calls  int
	last   connector.Proposal
}

// proposalOf is a change whose remote holds credentials.
func proposalOf(key string) connector.Proposal {
	return connector.Proposal{Repository: "/src/shop", Remote: "https://u:hunter2@forge.test/shop", Branch: "backstitch/" + key, Base: "c0", Commit: "c1", Key: key, Title: "Raise a", Body: "It closes b."}
}

func (f *forge) Describe() connector.Description { return connector.Description{ID: "connector/test"} }

func (f *forge) Propose(_ context.Context, change connector.Proposal) (connector.Receipt, error) {
	f.calls++
	f.last = change
	f.during()
	return connector.Receipt{Ref: "refs/heads/x", Outcome: "created"}, f.err
}

func openLog(t *testing.T) *Log {
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
	return New(db, func() time.Time { return start })
}

func list(t *testing.T, log *Log) []Delivery {
	t.Helper()
	deliveries, err := log.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return deliveries
}

func TestTheIntentIsWrittenBeforeTheEffectAndTheAnswerAfter(t *testing.T) {
	log := openLog(t)
	at := start.UnixMicro()
	want := Delivery{
		Key: "k", Kind: "propose", Target: "there", Payload: "sha256:1", Plan: "sha256:1", State: Sending, Why: "attempt 1", Attempts: 1, Fence: 1, Holder: "backstitch",
		Deadline: at + 5*60e6, SettleAt: at + 7*60e6, IntendedAt: at, Stands: true, CreatedAt: at, At: at, events: 1,
	}
	without := cmp.FilterPath(func(p cmp.Path) bool { return p.String() == "Doc" }, cmp.Ignore())
	internal := cmp.AllowUnexported(Delivery{})
	f := &forge{during: func() {
		if diff := cmp.Diff([]Delivery{want}, list(t, log), without, internal); diff != "" {
			t.Errorf("log while the effect happens (-want +got):\n%s", diff)
		}
	}}
	if _, err := log.Propose(t.Context(), f, connector.Proposal{Key: "k"}, "sha256:1", "there"); err != nil {
		t.Fatal(err)
	}
	want.State, want.Why, want.Ref, want.Reply, want.events = Sent, "the target answered", "refs/heads/x", "created refs/heads/x", 2
	if diff := cmp.Diff([]Delivery{want}, list(t, log), without, internal); diff != "" {
		t.Errorf("log after the effect (-want +got):\n%s", diff)
	}
}

func TestAFailedEffectStaysVisibleAndIsCountedWhenTriedAgain(t *testing.T) {
	log := openLog(t)
	f := &forge{during: func() {}, err: errors.New("the remote hung up")}
	for range 2 {
		if _, err := log.Propose(t.Context(), f, connector.Proposal{Key: "k"}, "sha256:1", "there"); !errors.Is(err, f.err) {
			t.Fatalf("error %v, want that of the forge", err)
		}
	}
	got := list(t, log)
	if len(got) != 1 || got[0].State != Failed || got[0].Attempts != 2 || got[0].Reply != "the remote hung up" {
		t.Errorf("log %+v, want one failed delivery with two attempts and the reply", got)
	}
}

func TestTheAnswerIsRecordedWhenTheCallerHasGivenUp(t *testing.T) {
	log := openLog(t)
	ctx, cancel := context.WithCancel(t.Context())
	f := &forge{during: cancel}
	if _, err := log.Propose(ctx, f, connector.Proposal{Key: "k"}, "sha256:1", "there"); err != nil {
		t.Fatal(err)
	}
	if got := list(t, log); len(got) != 1 || got[0].State != Sent {
		t.Errorf("log %+v, want the effect that happened as sent", got)
	}
}

func TestEveryQueryIsPreparedOnTheEngine(t *testing.T) {
	storetest.CheckQueries(t, sqlite.Open, Queries())
}
