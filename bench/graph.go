package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/store"
	"github.com/backstitch/backstitch/store/sqlite"
)

// The graph of measureGraph: workloads run images, images have layers and come from
// files, files have owners; the rest are random relations between cloud resources.
const (
	graphAssets = 1_000_000
	graphEdges  = 5_000_000
	// graphSQL is how many relations are in the database that syncs and walks by SQL
	// are measured on, in scopes of graphScope.
	graphSQL   = 500_000
	graphScope = 50_000
)

// measureGraph builds the index of a million assets and five million relations, and
// walks from findings' workloads to owners, by the index and by a recursive query;
// then it syncs a tenth of that into SQL, again unchanged, and with a few changes.
var measureGraph = Measurement{ID: "graph", Run: func(ctx context.Context) ([]Row, error) {
	ids, kinds, arcs := graphFacts(graphAssets, graphEdges)
	began := processCPU()
	x, err := graph.NewIndex(ids, func(i int) string { return kinds[i] }, graphVerbs, arcs)
	if err != nil {
		return nil, err
	}
	build := processCPU() - began
	_, edges := x.Len()
	perEdge := float64(x.Bytes()) / float64(edges)
	var times []time.Duration
	random := rand.New(rand.NewPCG(5, 5))
	found := 0
	for range 10_000 {
		from, _ := x.Node(int64(1 + random.IntN(graphAssets/5)))
		start := time.Now()
		ways, err := x.Nearest(ctx, from, 5, graphFollow, func(n uint32) bool { return x.Kind(n) == fact.AssetTeam })
		times = append(times, time.Since(start))
		if err != nil {
			return nil, err
		}
		found += len(ways)
	}
	if found < len(times) {
		return nil, fmt.Errorf("%d owners of %d workloads were found", found, len(times))
	}
	slices.Sort(times)
	p99 := times[len(times)*99/100]
	var ways []time.Duration
	for range 200 {
		from, _ := x.Node(int64(1 + 4*graphAssets/5 + random.IntN(graphAssets/5)))
		to, _ := x.Node(int64(1 + 4*graphAssets/5 + random.IntN(graphAssets/5)))
		start := time.Now()
		if _, _, err := x.Shortest(ctx, from, to, 12, 16, nil); err != nil {
			return nil, err
		}
		ways = append(ways, time.Since(start))
	}
	slices.Sort(ways)
	rows := []Row{
		{What: fmt.Sprintf("graph index, %d assets, %d relations", graphAssets, edges), Value: build, Unit: "CPU s", Target: "under 1", OK: build < 1},
		{What: "graph index, memory", Value: perEdge, Unit: "B an edge", Target: "under 20", OK: perEdge < 20},
		{What: "workload to owner, p99", Value: milliseconds(p99), Unit: "ms", Target: "under 1 ms", OK: p99 < time.Millisecond},
		{What: "shortest way between two of the million, p99", Value: milliseconds(ways[len(ways)*99/100]), Unit: "ms", Target: "under 50 ms", OK: ways[len(ways)*99/100] < 50*time.Millisecond},
	}
	more, bySQL, err := graphInSQL(ctx)
	if err != nil {
		return nil, err
	}
	rows[2].Baseline, rows[2].Against = milliseconds(bySQL), fmt.Sprintf("recursive query over %d relations, mean", graphSQL)
	return append(rows, more...), nil
}}

var graphFollow = []graph.Follow{{Kind: fact.InstanceOf, Way: graph.Forward}, {Kind: fact.CreatedBy, Way: graph.Forward}, {Kind: fact.OwnedBy, Way: graph.Forward}}

// graphVerbs are numbered as a new database numbers them: by name.
var graphVerbs = []fact.RelationKind{"", fact.CreatedBy, fact.InstanceOf, fact.MayAct, fact.OwnedBy}

// graphFacts makes assets with ids from 1 and relations between them.
func graphFacts(assets, edges int) (ids []int64, kinds []string, arcs []graph.Arc) {
	random := rand.New(rand.NewPCG(1, 2))
	fifth := assets / 5
	names := []string{fact.AssetWorkload, fact.AssetImage, fact.AssetFile, fact.AssetTeam, fact.AssetResource}
	for i := range assets {
		ids = append(ids, int64(i+1))
		kinds = append(kinds, names[min(i/fifth, 4)])
	}
	in := func(group int) int64 { return int64(group*fifth + random.IntN(fifth) + 1) }
	for i := range fifth {
		arcs = append(arcs, graph.Arc{From: int64(i + 1), To: in(1), Verb: 2}, graph.Arc{From: int64(fifth + i + 1), To: in(2), Verb: 1}, graph.Arc{From: int64(2*fifth + i + 1), To: in(3), Verb: 4})
	}
	for len(arcs) < edges {
		arcs = append(arcs, graph.Arc{From: in(4), To: in(4), Verb: 3})
	}
	return ids, kinds, arcs
}

var graphWalk = store.ParseQueries("bench", `
-- name: walk
WITH RECURSIVE way (at, depth) AS (
  SELECT CAST($1 AS BIGINT), 0
  UNION
  SELECT e.dst, w.depth + 1 FROM way w JOIN node n ON n.asset_id = w.at JOIN edge e ON e.scope_id = n.scope_id AND e.src = w.at
  JOIN edge_kind k ON k.id = e.kind WHERE w.depth < 5 AND k.name <> 'may_act' AND e.gone_run = 0
)
SELECT w.at FROM way w JOIN asset a ON a.id = w.at WHERE a.kind = 'team'
-- name: workloads
SELECT id FROM asset WHERE kind = 'workload' ORDER BY id LIMIT 300
`)

// graphInSQL syncs a graph into a new database and gives its rows, and the mean time
// of the walk by a recursive query.
func graphInSQL(ctx context.Context) ([]Row, time.Duration, error) {
	dir, err := os.MkdirTemp("", "backstitch-bench-")
	if err != nil {
		return nil, 0, err
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "graph.db")
	db, err := sqlite.Open(ctx, name)
	if err != nil {
		return nil, 0, err
	}
	defer db.Close()
	g := graph.Open(db)
	_, kinds, arcs := graphFacts(graphSQL/5, graphSQL)
	asset := func(id int64) fact.Asset { return fact.Asset{Kind: kinds[id-1], Key: fmt.Sprint(id)} }
	sync := func(day int64, arcs []graph.Arc, from, to int) (graph.Summary, float64, error) {
		began := processCPU()
		run, err := g.Begin(ctx, "bench", time.Unix(day*86400, 0), false)
		if err != nil {
			return graph.Summary{}, 0, err
		}
		for i := from; i < to; i += graphScope {
			scope := fmt.Sprint(i / graphScope)
			for _, a := range arcs[i:min(i+graphScope, to)] {
				relation := fact.Relation{From: asset(a.From), Kind: graphVerbs[a.Verb], To: asset(a.To), Evidence: fact.Evidence{Method: "bench", Source: "bench", Strength: fact.Attested}}
				if err := run.Relation(scope, relation); err != nil {
					return graph.Summary{}, 0, err
				}
			}
			if err := run.Covered(scope); err != nil {
				return graph.Summary{}, 0, err
			}
		}
		summary, err := run.Finish(ctx)
		return summary, processCPU() - began, err
	}
	_, first, err := sync(1, arcs, 0, len(arcs))
	if err != nil {
		return nil, 0, err
	}
	again, unchanged, err := sync(2, arcs, 0, len(arcs))
	if err != nil {
		return nil, 0, err
	}
	written := again.Nodes.Written() + again.Edges.Written()
	began := processCPU()
	if _, err := g.Index(ctx); err != nil {
		return nil, 0, err
	}
	load := processCPU() - began
	// One relation in five of a scope leads elsewhere.
	for i := 0; i < graphScope; i += 5 {
		arcs[i].To = arcs[i].To%int64(graphSQL/5) + 1
	}
	if _, _, err := sync(3, arcs, 0, graphScope); err != nil {
		return nil, 0, err
	}
	start := time.Now()
	if _, err := g.Index(ctx); err != nil {
		return nil, 0, err
	}
	follows := time.Since(start)
	bytes := int64(0)
	for _, file := range []string{name, name + "-wal"} {
		if info, err := os.Stat(file); err == nil {
			bytes += info.Size()
		}
	}
	starts := []int64{}
	const walks = 300
	if err := db.Read(ctx, func(tx store.Tx) error {
		return tx.Query(ctx, graphWalk.Named("workloads"), func(row store.Row) error { starts = append(starts, row.Int(0)); return nil })
	}); err != nil {
		return nil, 0, err
	}
	start = time.Now()
	for i := range walks {
		found := 0
		err := db.Read(ctx, func(tx store.Tx) error {
			return tx.Query(ctx, graphWalk.Named("walk"), func(store.Row) error { found++; return nil }, store.Int(starts[i]))
		})
		if err == nil && found == 0 {
			err = fmt.Errorf("no owner of workload %d is found by SQL", starts[i])
		}
		if err != nil {
			return nil, 0, err
		}
	}
	bySQL := time.Since(start) / walks
	return []Row{
		{What: fmt.Sprintf("sync of %d relations", graphSQL), Value: first, Unit: "CPU s", Target: "under 15", OK: first < 15},
		{What: "the same sync again, rows written: " + fmt.Sprint(written), Value: unchanged, Unit: "CPU s", Baseline: first, Against: "first sync", Target: "0 rows, under the first", OK: written == 0 && unchanged < first},
		{What: fmt.Sprintf("graph index of %d relations from SQL", graphSQL), Value: load, Unit: "CPU s", Target: "under 1.5", OK: load < 1.5},
		{What: "graph index after a sync that changed 20,000 of them", Value: milliseconds(follows), Unit: "ms", Baseline: 1000 * load, Against: "from SQL", Target: "under 50 ms", OK: follows < 50*time.Millisecond},
		{What: "graph on disk, with assets and all", Value: float64(bytes) / graphSQL, Unit: "B an edge", OK: true},
	}, bySQL, nil
}
