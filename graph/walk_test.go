package graph_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
)

func TestPathsCarryTheirEvidence(t *testing.T) {
	t.Parallel()
	g := estate(t)
	ways := func(from, to string, opts graph.PathOptions) []string {
		t.Helper()
		found, err := g.Paths(t.Context(), asset(from), asset(to), opts)
		must(t, err)
		list := []string{}
		for _, p := range found.Paths {
			text := p.Assets[0].Key
			for i, s := range p.Steps {
				if len(s.Evidence) == 0 || s.Evidence[0].By != "all" || s.Evidence[0].First != day(1).UnixMicro() {
					t.Errorf("step %+v has no evidence", s)
				}
				text += map[bool]string{true: " <", false: " >"}[s.Backward] + string(s.Kind) + " " + p.Assets[i+1].Key
			}
			list = append(list, text+" "+string(p.Strength))
		}
		return list
	}
	for _, test := range []struct {
		from, to string
		opts     graph.PathOptions
		want     []string
	}{
		{"internet:net", "repository:r1", graph.PathOptions{}, []string{"net >exposes w1 >instance_of i1 >packaged_from r1 attested"}},
		{"repository:r1", "internet:net", graph.PathOptions{}, []string{"r1 <packaged_from i1 <instance_of w1 <exposes net attested"}},
		{"workload:w2", "workload:w3", graph.PathOptions{}, []string{"w2 >instance_of i1 >has_layer l1 <has_layer i2 <instance_of w3 attested"}},
		{"workload:w2", "workload:w3", graph.PathOptions{Depth: 3}, []string{}},
		{"workload:w2", "workload:w3", graph.PathOptions{Follow: []graph.Follow{{Way: graph.Forward}}}, []string{}},
		{"workload:w1", "team:web", graph.PathOptions{Follow: []graph.Follow{{fact.PartOf, graph.Forward}, {fact.OwnedBy, graph.Forward}}}, []string{"w1 >part_of shop >owned_by web attested"}},
		{"workload:w1", "workload:w1", graph.PathOptions{}, []string{"w1 "}},
	} {
		if diff := cmp.Diff(test.want, ways(test.from, test.to, test.opts)); diff != "" {
			t.Errorf("%s to %s %+v: %s", test.from, test.to, test.opts, diff)
		}
	}
	if _, err := g.Paths(t.Context(), asset("host:none"), asset("image:i1"), graph.PathOptions{}); !errors.Is(err, graph.ErrNotFound) {
		t.Errorf("from an asset that is not there: %v", err)
	}
	if _, err := g.Paths(t.Context(), asset("workload:w1"), asset("image:i1"), graph.PathOptions{AsOf: day(0)}); !errors.Is(err, graph.ErrNotFound) {
		t.Errorf("before they were there: %v", err)
	}
	found, err := g.Nearest(t.Context(), asset("workload:w2"), []string{fact.AssetRepository, fact.AssetTeam}, graph.PathOptions{Follow: []graph.Follow{{Way: graph.Forward}}})
	if err != nil || len(found.Paths) != 1 || found.Paths[0].Assets[2].Key != "r1" {
		t.Errorf("the nearest repository or team: %+v, %v", found, err)
	}
}

func TestEquallyShortWaysAreAllGivenTheStrongestFirst(t *testing.T) {
	t.Parallel()
	g := graph.Open(database(t))
	run := begin(t, g, "s", 1, false)
	for i, strength := range []fact.Strength{fact.Guess, fact.Proven, fact.Declared} {
		must(t, run.Relation("x", relation(fmt.Sprintf("host:a controls host:m%d", i), strength)),
			run.Relation("x", relation(fmt.Sprintf("host:m%d controls host:z", i), fact.Proven)))
	}
	must(t, run.Covered("x"))
	_, err := run.Finish(t.Context())
	must(t, err)
	found, err := g.Paths(t.Context(), asset("host:a"), asset("host:z"), graph.PathOptions{})
	must(t, err)
	var got []string
	for _, p := range found.Paths {
		got = append(got, p.Assets[1].Key+" "+string(p.Strength))
	}
	if diff := cmp.Diff([]string{"m1 proven", "m2 declared", "m0 guess"}, got); diff != "" || found.More {
		t.Error(diff)
	}
	if found, err = g.Paths(t.Context(), asset("host:a"), asset("host:z"), graph.PathOptions{Limit: 2}); err != nil || len(found.Paths) != 2 || !found.More {
		t.Errorf("two of three: %+v, %v", found, err)
	}
}

// randomIndex makes an index of n assets with ids from 1 and m relations.
func randomIndex(t testing.TB, random *rand.Rand, n, m int) (*graph.Index, []graph.Arc) {
	t.Helper()
	ids := make([]int64, n)
	for i := range ids {
		ids[i] = int64(i + 1)
	}
	verbs := []fact.RelationKind{"", fact.PartOf, fact.Controls, fact.Exposes}
	arcs := make([]graph.Arc, m)
	for i := range arcs {
		arcs[i] = graph.Arc{From: int64(random.IntN(n) + 1), To: int64(random.IntN(n) + 1), Verb: uint8(1 + random.IntN(3))}
	}
	x, err := graph.NewIndex(ids, func(i int) string { return []string{"host", "team"}[i%2] }, verbs, slices.Clone(arcs))
	must(t, err)
	return x, arcs
}

func TestShortestWaysAreThoseOfASlowSearch(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	for round := range 300 {
		n := 2 + random.IntN(12)
		x, arcs := randomIndex(t, random, n, random.IntN(3*n))
		follow := [][]graph.Follow{nil, {{Way: graph.Forward}}, {{fact.PartOf, graph.Forward}, {fact.Exposes, graph.Backward}}}[round%3]
		allowed := func(a graph.Arc, way graph.Direction) bool {
			switch round % 3 {
			case 0:
				return true
			case 1:
				return way == graph.Forward
			}
			return a.Verb == 1 && way == graph.Forward || a.Verb == 3 && way == graph.Backward
		}
		from, to := int64(1+random.IntN(n)), int64(1+random.IntN(n))
		// Slow: all ways of one length after the other, steps as text.
		type walk struct {
			at   int64
			text string
		}
		want, level := []string{}, []walk{{from, fmt.Sprint(from)}}
		best := map[int64]int{from: 0}
		for length := 0; length <= n && len(want) == 0 && len(level) > 0; length++ {
			next := map[string]walk{}
			for _, w := range level {
				if w.at == to {
					want = append(want, w.text)
				}
				for _, a := range arcs {
					for _, way := range []graph.Direction{graph.Forward, graph.Backward} {
						here, there := a.From, a.To
						if way == graph.Backward {
							here, there = there, here
						}
						if here != w.at || !allowed(a, way) {
							continue
						}
						if d, seen := best[there]; seen && d <= length {
							continue
						}
						best[there] = length + 1
						text := fmt.Sprintf("%s %d/%d %d", w.text, a.Verb, way, there)
						next[text] = walk{there, text}
					}
				}
			}
			level = nil
			for _, w := range next {
				level = append(level, w)
			}
		}
		slices.Sort(want)
		node := func(id int64) uint32 { n, _ := x.Node(id); return n }
		ways, more, err := x.Shortest(t.Context(), node(from), node(to), 12, 100_000, follow)
		must(t, err)
		got := []string{}
		for _, way := range ways {
			text := fmt.Sprint(x.Asset(way[0].Node))
			for _, hop := range way[1:] {
				text += fmt.Sprintf(" %d/%d %d", hop.Verb, hop.Way, x.Asset(hop.Node))
			}
			got = append(got, text)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" || more {
			t.Fatalf("round %d, %d to %d in %v: %s", round, from, to, arcs, diff)
		}
		nearest, err := x.Nearest(t.Context(), node(from), 12, follow, func(n uint32) bool { return n == node(to) })
		if must(t, err); (len(nearest) > 0) != (len(want) > 0) || len(nearest) > 0 && len(nearest[0]) != len(ways[0]) {
			t.Fatalf("round %d: the nearest %v, the shortest %v", round, nearest, ways)
		}
	}
}

func TestASearchEndsWithItsContext(t *testing.T) {
	t.Parallel()
	x, _ := randomIndex(t, rand.New(rand.NewPCG(1, 1)), 5000, 40_000)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, _, err := x.Shortest(ended, 0, 4999, 12, 1, nil); !errors.Is(err, context.Canceled) {
		t.Errorf("shortest: %v", err)
	}
	if _, err := x.Nearest(ended, 0, 12, nil, func(uint32) bool { return false }); !errors.Is(err, context.Canceled) {
		t.Errorf("nearest: %v", err)
	}
	p, err := graph.ParsePattern("* -*1..12- *")
	must(t, err)
	g := graph.Open(database(t))
	run := begin(t, g, "s", 1, false)
	for i := range 400 {
		must(t, run.Relation("x", relation(fmt.Sprintf("host:a%d controls host:b%d", i%20, i%37), fact.Guess)))
	}
	must(t, run.Covered("x"))
	if _, err := g.Query(t.Context(), p, graph.QueryOptions{Timeout: time.Nanosecond}); !errors.Is(err, graph.ErrTooWide) || !strings.Contains(err.Error(), "longer than 1ns") {
		t.Errorf("a query that takes too long: %v", err)
	}
}

// TestAnIndexIsSmallAndAnswersAtOnce is the measurement of the bench on a fifth of
// its size, with room for a busy machine.
func TestAnIndexIsSmallAndAnswersAtOnce(t *testing.T) {
	if testing.Short() {
		t.Skip("builds 200,000 assets")
	}
	random := rand.New(rand.NewPCG(3, 4))
	x, _ := randomIndex(t, random, 200_000, 1_000_000)
	assets, relations := x.Len()
	if per := float64(x.Bytes()) / float64(relations); assets != 200_000 || per >= 20 {
		t.Errorf("%d assets, %.1f bytes an edge, want under 20", assets, per)
	}
	var times []time.Duration
	for range 2000 {
		from := uint32(random.IntN(assets))
		began := time.Now()
		found, err := x.Nearest(t.Context(), from, 5, []graph.Follow{{Way: graph.Forward}}, func(n uint32) bool { return n != from && x.Kind(n) == "team" })
		times = append(times, time.Since(began))
		must(t, err)
		_ = found
	}
	slices.Sort(times)
	if p99 := times[len(times)*99/100]; p99 > 20*time.Millisecond {
		t.Errorf("the nearest team: p99 %s", p99)
	}
}
