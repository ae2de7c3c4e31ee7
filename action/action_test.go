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

// forge is a connector.Forge that looks at the log while the effect happens.
type forge struct {
	during func()
	err    error
	calls  int
}

func (f *forge) Describe() connector.Description { return connector.Description{ID: "connector/test"} }

func (f *forge) Propose(context.Context, connector.Proposal) (connector.Receipt, error) {
	f.calls++
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
	return New(db, func() time.Time { return time.UnixMicro(42) })
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
	want := Delivery{Key: "k", Kind: "propose", Target: "there", Payload: "sha256:1", State: Pending, Attempts: 1, At: 42}
	f := &forge{during: func() {
		if diff := cmp.Diff([]Delivery{want}, list(t, log)); diff != "" {
			t.Errorf("log while the effect happens (-want +got):\n%s", diff)
		}
	}}
	if _, err := log.Propose(t.Context(), f, connector.Proposal{Key: "k"}, "sha256:1", "there"); err != nil {
		t.Fatal(err)
	}
	want.State, want.Reply = Sent, "created refs/heads/x"
	if diff := cmp.Diff([]Delivery{want}, list(t, log)); diff != "" {
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
