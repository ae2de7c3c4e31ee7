package intake_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/intake"
)

func TestACatalogThatShrinksByHalfIsKeptAndNamed(t *testing.T) {
	t.Parallel()
	db := database(t)
	g := graph.Open(db)
	day := 0
	detector := fact.Run{Tool: "catalog", Format: "cloud"}
	sync := func(count int, shrink float64) intake.Synced {
		t.Helper()
		day++
		got, err := intake.Sync(t.Context(), db, g, "catalog", cloud(func(_ context.Context, sink connector.Sink) error {
			for n := range count {
				if err := sink.Node("all", fact.Node{Asset: fact.Asset{Kind: fact.AssetService, Key: fmt.Sprint("s", n)}}); err != nil {
					return err
				}
			}
			if count >= 100 {
				if err := sink.Finding("all", detector, open("S3.1")); err != nil {
					return err
				}
			}
			return sink.Covered("all")
		}), nil, intake.SyncOptions{Now: start.AddDate(0, 0, day), Shrink: shrink})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	if got := sync(100, 0); !got.Complete || got.Graph.Nodes.New != 100 {
		t.Fatalf("first: %+v", got)
	}
	for range 2 { // it stays an alarm, run after run
		if got := sync(50, 0); got.Complete || got.Graph.Nodes.Gone != 0 || got.Graph.Scopes != 0 || got.Unconfirmed != 0 ||
			len(got.Graph.Gaps) != 1 || !strings.Contains(got.Graph.Gaps[0], "all: it held 100 assets and holds 50 now") {
			t.Errorf("half is gone: %+v", got)
		}
	}
	if got := sync(0, 0); got.Complete || got.Graph.Nodes.Gone != 0 {
		t.Errorf("everything is gone: %+v", got)
	}
	if got := sync(51, 0); !got.Complete || got.Graph.Nodes.Gone != 49 || got.Unconfirmed != 1 {
		t.Errorf("less than half is gone: %+v", got)
	}
	if got := sync(40, .2); got.Complete || got.Graph.Nodes.Gone != 0 {
		t.Errorf("more than the share that was asked for: %+v", got)
	}
	if got := sync(9, 1); !got.Complete || got.Graph.Nodes.Gone != 42 {
		t.Errorf("the loss is accepted: %+v", got)
	}
	if got := sync(1, 0); !got.Complete || got.Graph.Nodes.Gone != 8 {
		t.Errorf("a small scope: %+v", got)
	}
}
