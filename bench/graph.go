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
	// graphSQL is how many relations are in the database that walks by SQL are
	// measured on.
	graphSQL = 200_000
)

// measureGraph builds the index of a million assets and five million relations, and
// walks from findings' workloads to owners, by the index and by a recursive query.
var measureGraph = Measurement{ID: "graph", Run: func(ctx context.Context) ([]Row, error) {
	ids, kinds, triples := graphFacts(graphAssets, graphEdges)
	began := processCPU()
	x, err := graph.NewIndex(ids, func(i int) string { return kinds[i] }, triples)
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
		found += len(x.Nearest(from, 5, graphFollow, func(n uint32) bool { return x.Kind(n) == fact.AssetTeam }))
		times = append(times, time.Since(start))
	}
	if found < len(times) {
		return nil, fmt.Errorf("%d owners of %d workloads were found", found, len(times))
	}
	slices.Sort(times)
	p99 := times[len(times)*99/100]
	bySQL, err := graphBySQL(ctx)
	if err != nil {
		return nil, err
	}
	return []Row{
		{What: fmt.Sprintf("graph index, %d assets, %d relations", graphAssets, edges), Value: build, Unit: "CPU s", Target: "under 1", OK: build < 1},
		{What: "graph index, memory", Value: perEdge, Unit: "B an edge", Target: "under 20", OK: perEdge < 20},
		{What: "workload to owner, p99", Value: milliseconds(p99), Unit: "ms", Baseline: milliseconds(bySQL), Against: "recursive query, mean", Target: "under 1 ms", OK: p99 < time.Millisecond},
	}, nil
}}

func graphFollow(verb fact.RelationKind, way graph.Direction) bool {
	return way == graph.Forward && verb != fact.MayAct
}

// graphFacts makes assets with ids from 1 and relations between them, sorted.
func graphFacts(assets, edges int) (ids []int64, kinds []string, triples []graph.Triple) {
	random := rand.New(rand.NewPCG(1, 2))
	fifth := assets / 5
	names := []string{fact.AssetWorkload, fact.AssetImage, fact.AssetFile, fact.AssetTeam, fact.AssetResource}
	for i := range assets {
		ids = append(ids, int64(i+1))
		kinds = append(kinds, names[min(i/fifth, 4)])
	}
	in := func(group int) int64 { return int64(group*fifth + random.IntN(fifth) + 1) }
	for i := range fifth {
		triples = append(triples,
			graph.Triple{From: int64(i + 1), To: in(1), Verb: string(fact.InstanceOf)},
			graph.Triple{From: int64(fifth + i + 1), To: in(2), Verb: string(fact.CreatedBy)},
			graph.Triple{From: int64(2*fifth + i + 1), To: in(3), Verb: string(fact.OwnedBy)})
	}
	for len(triples) < edges {
		triples = append(triples, graph.Triple{From: in(4), To: in(4), Verb: string(fact.MayAct)})
	}
	slices.SortFunc(triples, func(a, b graph.Triple) int { return int(a.From - b.From) })
	return ids, kinds, triples
}

var graphWalk = store.ParseQueries("bench", `
-- name: walk
WITH RECURSIVE way (at, depth) AS (
  SELECT CAST($1 AS BIGINT), 0
  UNION
  SELECT e.dst, w.depth + 1 FROM way w JOIN edge e ON e.src = w.at WHERE w.depth < 5 AND e.kind <> 'may_act' AND e.gone_run = 0
)
SELECT w.at FROM way w JOIN asset a ON a.id = w.at WHERE a.kind = 'team'
`).Named("walk")

// graphBySQL gives the mean time of the same walk by a recursive query.
func graphBySQL(ctx context.Context) (time.Duration, error) {
	dir, err := os.MkdirTemp("", "backstitch-bench-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	db, err := sqlite.Open(ctx, filepath.Join(dir, "graph.db"))
	if err != nil {
		return 0, err
	}
	defer db.Close()
	run, err := graph.Open(db).Begin(ctx, "bench", time.Unix(1, 0))
	if err != nil {
		return 0, err
	}
	ids, kinds, triples := graphFacts(graphSQL/5, graphSQL)
	asset := func(id int64) fact.Asset { return fact.Asset{Kind: kinds[id-1], Key: fmt.Sprint(id)} }
	for _, id := range ids {
		if err := run.Node("all", fact.Node{Asset: asset(id)}); err != nil {
			return 0, err
		}
	}
	for _, t := range triples {
		relation := fact.Relation{From: asset(t.From), Kind: fact.RelationKind(t.Verb), To: asset(t.To), Evidence: fact.Evidence{Method: "bench", Source: "bench", Strength: fact.Attested}}
		if err := run.Relation("all", relation); err != nil {
			return 0, err
		}
	}
	if err := run.Covered("all"); err != nil {
		return 0, err
	}
	if _, err := run.Finish(); err != nil {
		return 0, err
	}
	const walks = 300
	began := time.Now()
	for i := range walks {
		err := db.Read(ctx, func(tx store.Tx) error {
			return tx.Query(ctx, graphWalk, func(store.Row) error { return nil }, store.Int(int64(i+1)))
		})
		if err != nil {
			return 0, err
		}
	}
	return time.Since(began) / walks, nil
}
