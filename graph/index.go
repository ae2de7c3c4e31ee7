package graph

import (
	"context"
	"fmt"
	"slices"
	"sort"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/store"
)

// Index is the graph in memory: which assets there are, of which kind, and the
// relations between them in both directions. It never changes.
type Index struct {
	ids       []int64 // asset ids, rising; the position is the node
	kinds     []uint8 // per node, an index of kindNames
	kindNames []string
	verbs     []string // kinds of relations

	out, in adjacency
}

// adjacency lists the neighbours of each node: those of node n are from start[n] to
// start[n+1].
type adjacency struct {
	start []uint32
	to    []uint32
	verb  []uint8
}

// Triple is one relation between nodes, for building an index.
type Triple struct {
	From, To int64 // asset ids
	Verb     string
}

// maxNames is how many kinds of assets and of relations an index tells apart.
const maxNames = 255

// NewIndex makes an index of assets, rising by id with their kinds, and of relations
// between them. Relations with an end that is no asset are left out.
func NewIndex(ids []int64, kindOf func(i int) string, triples []Triple) (*Index, error) {
	x := &Index{ids: ids, kinds: make([]uint8, len(ids))}
	intern := func(list *[]string, known map[string]uint8, name string) (uint8, error) {
		if n, ok := known[name]; ok {
			return n, nil
		}
		if len(*list) >= maxNames {
			return 0, fmt.Errorf("graph: more than %d kinds", maxNames)
		}
		known[name] = uint8(len(*list))
		*list = append(*list, name)
		return known[name], nil
	}
	knownKinds, knownVerbs := map[string]uint8{}, map[string]uint8{}
	for i := range ids {
		var err error
		if x.kinds[i], err = intern(&x.kindNames, knownKinds, kindOf(i)); err != nil {
			return nil, err
		}
	}
	n := len(ids)
	x.out.start, x.in.start = make([]uint32, n+1), make([]uint32, n+1)
	type edge struct {
		from, to uint32
		verb     uint8
	}
	edges := make([]edge, 0, len(triples))
	at := func(id int64) (uint32, bool) {
		i, ok := slices.BinarySearch(ids, id)
		return uint32(i), ok
	}
	lastFrom, lastAt, lastOK := int64(-1), uint32(0), false
	for i := range triples {
		t := &triples[i]
		if t.From != lastFrom {
			lastFrom = t.From
			lastAt, lastOK = at(t.From)
		}
		to, ok := at(t.To)
		if !lastOK || !ok {
			continue
		}
		verb, err := intern(&x.verbs, knownVerbs, t.Verb)
		if err != nil {
			return nil, err
		}
		edges = append(edges, edge{lastAt, to, verb})
		x.out.start[lastAt+1]++
		x.in.start[to+1]++
	}
	for i := range n {
		x.out.start[i+1] += x.out.start[i]
		x.in.start[i+1] += x.in.start[i]
	}
	x.out.to, x.out.verb = make([]uint32, len(edges)), make([]uint8, len(edges))
	x.in.to, x.in.verb = make([]uint32, len(edges)), make([]uint8, len(edges))
	nextOut, nextIn := slices.Clone(x.out.start), slices.Clone(x.in.start)
	for _, e := range edges {
		o, i := nextOut[e.from], nextIn[e.to]
		nextOut[e.from]++
		nextIn[e.to]++
		x.out.to[o], x.out.verb[o] = e.to, e.verb
		x.in.to[i], x.in.verb[i] = e.from, e.verb
	}
	return x, nil
}

// Len gives how many assets and relations the index holds.
func (x *Index) Len() (assets, relations int) { return len(x.ids), len(x.out.to) }

// Bytes gives how much memory the index holds.
func (x *Index) Bytes() int {
	n := 8*cap(x.ids) + cap(x.kinds)
	for _, side := range []*adjacency{&x.out, &x.in} {
		n += 4*cap(side.start) + 4*cap(side.to) + cap(side.verb)
	}
	return n
}

// Node gives the position of an asset.
func (x *Index) Node(id int64) (uint32, bool) {
	i := sort.Search(len(x.ids), func(i int) bool { return x.ids[i] >= id })
	return uint32(i), i < len(x.ids) && x.ids[i] == id
}

// Asset gives the asset id of a node.
func (x *Index) Asset(n uint32) int64 { return x.ids[n] }

// Kind gives the kind of a node's asset.
func (x *Index) Kind(n uint32) string { return x.kindNames[x.kinds[n]] }

// Direction says which way relations are followed.
type Direction uint8

// Directions.
const (
	Forward  Direction = 1
	Backward Direction = 2
	Both     Direction = 3
)

// Neighbours gives every neighbour of a node; visit returns false to end.
func (x *Index) Neighbours(n uint32, way Direction, visit func(to uint32, verb fact.RelationKind, way Direction) bool) {
	for _, side := range []struct {
		way Direction
		of  *adjacency
	}{{Forward, &x.out}, {Backward, &x.in}} {
		if way&side.way == 0 {
			continue
		}
		for i := side.of.start[n]; i < side.of.start[n+1]; i++ {
			if !visit(side.of.to[i], fact.RelationKind(x.verbs[side.of.verb[i]]), side.way) {
				return
			}
		}
	}
}

// Hop is one step of a walk.
type Hop struct {
	Node uint32
	Verb fact.RelationKind // of the step that leads here, "" for the first
	Way  Direction
}

// maxVisited bounds a search.
const maxVisited = 2_000_000

// Nearest finds the nearest nodes that a test accepts, with the way to each: all
// that are equally far. follow says which relations are followed.
func (x *Index) Nearest(from uint32, depth int, follow func(verb fact.RelationKind, way Direction) bool, accept func(n uint32) bool) [][]Hop {
	type trace struct {
		previous int32
		hop      Hop
	}
	list := []trace{{-1, Hop{Node: from}}}
	seen := map[uint32]bool{from: true}
	var found [][]Hop
	wayTo := func(i int32) []Hop {
		var hops []Hop
		for ; i >= 0; i = list[i].previous {
			hops = append(hops, list[i].hop)
		}
		slices.Reverse(hops)
		return hops
	}
	if accept(from) {
		return [][]Hop{wayTo(0)}
	}
	begin := 0
	for range depth {
		end := len(list)
		for i := begin; i < end; i++ {
			x.Neighbours(list[i].hop.Node, Both, func(to uint32, verb fact.RelationKind, way Direction) bool {
				if seen[to] || !follow(verb, way) || len(list) > maxVisited {
					return true
				}
				seen[to] = true
				list = append(list, trace{int32(i), Hop{to, verb, way}})
				if accept(to) {
					found = append(found, wayTo(int32(len(list)-1)))
				}
				return true
			})
		}
		if len(found) > 0 || len(list) == end {
			return found
		}
		begin = end
	}
	return found
}

// Index gives the graph in memory, made from SQL when something changed since.
func (g *Graph) Index(ctx context.Context) (*Index, error) {
	if x := g.index.Load(); x != nil {
		return x, nil
	}
	g.build.Lock()
	defer g.build.Unlock()
	if x := g.index.Load(); x != nil {
		return x, nil
	}
	x, err := g.load(ctx, 0)
	if err == nil {
		g.index.Store(x)
	}
	return x, err
}

// load makes an index of what is there, or was there after a run.
func (g *Graph) load(ctx context.Context, run int64) (*Index, error) {
	var ids []int64
	var kinds []string
	var triples []Triple
	names := map[string]string{}
	same := func(s string) string {
		if known, ok := names[s]; ok {
			return known
		}
		names[s] = s
		return s
	}
	err := g.db.Read(ctx, func(tx store.Tx) error {
		assets, edges, args := liveAssets, liveEdges, []store.Value(nil)
		if run != 0 {
			assets, edges, args = assetsAsOf, edgesAsOf, []store.Value{store.Int(run)}
		}
		err := tx.Query(ctx, assets, func(row store.Row) error {
			ids = append(ids, row.Int(0))
			kinds = append(kinds, same(row.Text(1)))
			return nil
		}, args...)
		if err != nil {
			return err
		}
		return tx.Query(ctx, edges, func(row store.Row) error {
			triples = append(triples, Triple{row.Int(0), row.Int(2), same(row.Text(1))})
			return nil
		}, args...)
	})
	if err != nil {
		return nil, fmt.Errorf("index of the graph: %w", err)
	}
	return NewIndex(ids, func(i int) string { return kinds[i] }, triples)
}
