package graph_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
)

func TestAssetsAreListedWithWhatSourcesSayAndWhereTheyLead(t *testing.T) {
	t.Parallel()
	db := database(t)
	g := graph.Open(db)
	now := time.UnixMicro(1_700_000_000_000_000)
	say := func(source string) {
		run, err := g.Begin(t.Context(), source, now, false)
		if err != nil {
			t.Fatal(err)
		}
		now = now.Add(time.Minute)
		evidence := fact.Evidence{Method: "test", Source: source, Strength: fact.Declared}
		image := fact.Asset{Kind: "image", Key: "sha256:1", Name: "web"}
		for _, key := range []string{"b", "a"} {
			w := fact.Asset{Kind: "workload", Key: key, Name: "name of " + key}
			err = errors.Join(err, run.Node("all", fact.Node{Asset: w, Properties: map[string]string{"label:app": key + source}}),
				run.Relation("all", fact.Relation{From: w, Kind: fact.InstanceOf, To: image, Evidence: evidence}))
		}
		if err = errors.Join(err, run.Covered("all")); err != nil {
			t.Fatal(err)
		}
		if _, err := run.Finish(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	say("one")
	say("two")
	var lines []string
	collect := func(one graph.Listed) error {
		line := one.Asset.Kind + " " + one.Asset.Key + " (" + one.Asset.Name + ")"
		for _, said := range one.Said {
			line += " " + said.By + ":" + said.Properties["label:app"]
		}
		for _, link := range one.Out {
			line += " -> " + string(link.Kind) + " " + link.To.Key
		}
		lines = append(lines, line)
		return nil
	}
	if err := g.List(t.Context(), []string{"workload", "image", "team"}, collect); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"workload a (name of a) one:aone two:atwo -> instance_of sha256:1",
		"workload b (name of b) one:bone two:btwo -> instance_of sha256:1",
		"image sha256:1 (web) one: two:",
	}
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Error(diff)
	}
	lines = nil
	if err := g.Told(t.Context(), []fact.Asset{{Kind: "workload", Key: "b"}, {Kind: "workload", Key: "unknown"}}, collect); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want[1:2], lines); diff != "" {
		t.Error(diff)
	}
	stop := errors.New("enough")
	if err := g.List(t.Context(), []string{"workload"}, func(graph.Listed) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("got %v, want the error of the function", err)
	}
}

func TestTheSizeOfAScopeCountsWhatIsPutAside(t *testing.T) {
	t.Parallel()
	g := graph.Open(database(t))
	g.KeepInMemory(7)
	run, err := g.Begin(t.Context(), "one", time.UnixMicro(1_700_000_000_000_000), false)
	if err != nil {
		t.Fatal(err)
	}
	for n := range 20 {
		if err := run.Node("all", fact.Node{Asset: fact.Asset{Kind: "host", Key: string(rune('a' + n))}}); err != nil {
			t.Fatal(err)
		}
	}
	if stored, given, err := run.Sizes("all"); stored != 0 || given != 20 || err != nil {
		t.Errorf("before: %d stored, %d given, %v", stored, given, err)
	}
	if err := run.Covered("all"); err != nil {
		t.Fatal(err)
	}
	if stored, given, err := run.Sizes("all"); stored != 20 || given != 0 || err != nil {
		t.Errorf("after: %d stored, %d given, %v", stored, given, err)
	}
}
