package graph

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/store"
)

// Index is the graph in memory: which assets there are, of which kind, and the
// relations between them in both directions. It never changes; a change makes
// another one. Nodes are numbered from 0 in the order of their assets' ids.
type Index struct {
	generation int64
	ids        []int64 // asset ids, rising
	kinds      []uint8 // per node, an index of kindNames
	kindNames  []string
	counts     []int // nodes of each kind
	verbs      []fact.RelationKind

	out, in adjacency
	scratch sync.Pool // of *marks
}

// adjacency lists the neighbours of each node: those of node n are from start[n] to
// start[n+1], by kind of relation and node, each once.
type adjacency struct {
	start []uint32
	to    []uint32
	verb  []uint8
}

// Arc is one relation between assets by their ids, for making an index. Verb is an
// index of the names of relations.
type Arc struct {
	From, To int64
	Verb     uint8
}

// maxAssetKinds is how many kinds of assets an index tells apart.
const maxAssetKinds = 255

// none is no node.
const none = math.MaxUint32

// NewIndex makes an index of assets, rising by id with their kinds, and of relations
// between them. Relations with an end that is no asset are left out. The arcs are not
// kept.
func NewIndex(ids []int64, kindOf func(i int) string, verbs []fact.RelationKind, arcs []Arc) (*Index, error) {
	x := &Index{ids: ids, kinds: make([]uint8, len(ids)), verbs: verbs}
	if len(ids) >= none || len(arcs) >= none {
		return nil, fmt.Errorf("graph: %d assets and %d relations are more than an index holds", len(ids), len(arcs))
	}
	known := map[string]uint8{}
	for i := range ids {
		kind := kindOf(i)
		n, ok := known[kind]
		if !ok {
			if len(known) > maxAssetKinds {
				return nil, fmt.Errorf("graph: more than %d kinds of assets", maxAssetKinds)
			}
			n = uint8(len(known))
			known[kind] = n
			x.kindNames, x.counts = append(x.kindNames, kind), append(x.counts, 0)
		}
		x.kinds[i] = n
		x.counts[n]++
	}
	at := positions(ids)
	type edge struct {
		from, to uint32
		verb     uint8
	}
	edges := make([]edge, 0, len(arcs))
	for i := range arcs {
		from, to := at(arcs[i].From), at(arcs[i].To)
		if from != none && to != none {
			edges = append(edges, edge{from, to, arcs[i].Verb})
		}
	}
	// Two passes of a counting sort: by target, then by source.
	n := len(ids)
	fill := func(count func(yield func(at uint32)), each func(put func(at, to uint32, verb uint8))) adjacency {
		a := adjacency{make([]uint32, n+1), make([]uint32, len(edges)), make([]uint8, len(edges))}
		count(func(at uint32) { a.start[at+1]++ })
		for i := range n {
			a.start[i+1] += a.start[i]
		}
		each(func(at, to uint32, verb uint8) {
			i := a.start[at]
			a.start[at]++
			a.to[i], a.verb[i] = to, verb
		})
		copy(a.start[1:], a.start[:n]) // each start has moved to its end
		a.start[0] = 0
		return a
	}
	x.in = fill(func(yield func(uint32)) {
		for i := range edges {
			yield(edges[i].to)
		}
	}, func(put func(at, to uint32, verb uint8)) {
		for i := range edges {
			put(edges[i].to, edges[i].from, edges[i].verb)
		}
	})
	x.out = x.in.turned(n)
	x.out.sort()
	x.in = x.out.turned(n)
	x.in.sort()
	return x, nil
}

// positions gives a function from asset ids to nodes.
func positions(ids []int64) func(id int64) uint32 {
	if len(ids) > 0 && ids[0] >= 0 && ids[len(ids)-1] < int64(4*len(ids)+1<<16) {
		table := make([]uint32, ids[len(ids)-1]+1)
		for i := range table {
			table[i] = none
		}
		for i, id := range ids {
			table[id] = uint32(i)
		}
		return func(id int64) uint32 {
			if id < 0 || id >= int64(len(table)) {
				return none
			}
			return table[id]
		}
	}
	return func(id int64) uint32 {
		if i, ok := slices.BinarySearch(ids, id); ok {
			return uint32(i)
		}
		return none
	}
}

// turned gives the same relations from their other ends; the lists come out sorted
// by node.
func (a *adjacency) turned(n int) adjacency {
	t := adjacency{make([]uint32, n+1), make([]uint32, len(a.to)), make([]uint8, len(a.to))}
	for _, to := range a.to {
		t.start[to+1]++
	}
	for i := range n {
		t.start[i+1] += t.start[i]
	}
	for from := range n {
		for i := a.start[from]; i < a.start[from+1]; i++ {
			at := t.start[a.to[i]]
			t.start[a.to[i]]++
			t.to[at], t.verb[at] = uint32(from), a.verb[i]
		}
	}
	copy(t.start[1:], t.start[:n])
	t.start[0] = 0
	return t
}

// sort orders each list by kind and node, and drops what is there twice.
func (a *adjacency) sort() {
	var keys []uint64
	kept, begin := uint32(0), uint32(0)
	for n := range len(a.start) - 1 {
		end := a.start[n+1]
		if end-begin > 1 {
			keys = keys[:0]
			for i := begin; i < end; i++ {
				keys = append(keys, uint64(a.verb[i])<<32|uint64(a.to[i]))
			}
			if !slices.IsSorted(keys) {
				slices.Sort(keys)
			}
			for i, key := range keys {
				a.to[begin+uint32(i)], a.verb[begin+uint32(i)] = uint32(key), uint8(key>>32)
			}
		}
		first := kept
		for i := begin; i < end; i++ {
			if kept > first && a.to[kept-1] == a.to[i] && a.verb[kept-1] == a.verb[i] {
				continue
			}
			a.to[kept], a.verb[kept] = a.to[i], a.verb[i]
			kept++
		}
		begin, a.start[n+1] = end, kept
	}
	a.to, a.verb = a.to[:kept], a.verb[:kept]
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

// Node gives the node of an asset.
func (x *Index) Node(id int64) (uint32, bool) {
	i, ok := slices.BinarySearch(x.ids, id)
	return uint32(i), ok
}

// Asset gives the asset id of a node.
func (x *Index) Asset(n uint32) int64 { return x.ids[n] }

// Kind gives the kind of a node's asset.
func (x *Index) Kind(n uint32) string { return x.kindNames[x.kinds[n]] }

// delta is what came and what went, by asset ids.
type delta struct {
	nodes map[int64]string // that came, with their kinds
	lost  map[int64]bool
	edges map[[3]int64]bool // src, verb, dst: true came, false went
	verbs []fact.RelationKind
}

// join gathers changes in their order.
func join(changes []*change) delta {
	d := delta{nodes: map[int64]string{}, lost: map[int64]bool{}, edges: map[[3]int64]bool{}}
	for _, c := range changes {
		for _, id := range c.nodes {
			d.nodes[id] = c.kindOf[id]
			delete(d.lost, id)
		}
		for _, id := range c.lost {
			d.lost[id] = true
			delete(d.nodes, id)
		}
		for _, key := range c.edges {
			d.edges[key] = true
		}
		for _, key := range c.cut {
			d.edges[key] = false
		}
		if len(c.names) > len(d.verbs) {
			d.verbs = c.names
		}
	}
	return d
}

// with gives the index after changes: one pass over the old lists, merged with the
// sorted new relations.
func (x *Index) with(changes []*change) (*Index, error) {
	d := join(changes)
	y := &Index{generation: changes[len(changes)-1].generation, verbs: x.verbs, kindNames: slices.Clone(x.kindNames), counts: make([]int, len(x.kindNames), len(x.kindNames)+4)}
	if len(d.verbs) > len(y.verbs) {
		y.verbs = d.verbs
	}
	fresh := make([]int64, 0, len(d.nodes))
	for id := range d.nodes {
		if _, known := x.Node(id); !known {
			fresh = append(fresh, id)
		}
	}
	slices.Sort(fresh)
	// moved leads from old nodes to new ones.
	moved := make([]uint32, len(x.ids))
	y.ids, y.kinds = make([]int64, 0, len(x.ids)+len(fresh)), make([]uint8, 0, len(x.ids)+len(fresh))
	add := func(id int64) error {
		kind := slices.Index(y.kindNames, d.nodes[id])
		if kind < 0 {
			if kind = len(y.kindNames); kind > maxAssetKinds {
				return fmt.Errorf("graph: more than %d kinds of assets", maxAssetKinds)
			}
			y.kindNames, y.counts = append(y.kindNames, d.nodes[id]), append(y.counts, 0)
		}
		y.ids, y.kinds = append(y.ids, id), append(y.kinds, uint8(kind))
		y.counts[kind]++
		return nil
	}
	for n, id := range x.ids {
		for len(fresh) > 0 && fresh[0] < id {
			if err := add(fresh[0]); err != nil {
				return nil, err
			}
			fresh = fresh[1:]
		}
		if d.lost[id] {
			moved[n] = none
			continue
		}
		moved[n] = uint32(len(y.ids))
		y.ids, y.kinds = append(y.ids, id), append(y.kinds, x.kinds[n])
		y.counts[x.kinds[n]]++
	}
	for _, id := range fresh {
		if err := add(id); err != nil {
			return nil, err
		}
	}
	var came, went []adjacent
	for key, there := range d.edges {
		from, ok := y.Node(key[0])
		to, also := y.Node(key[2])
		if !ok || !also {
			continue
		}
		e := adjacent{from, to, uint8(key[1])}
		if there {
			came = append(came, e)
		} else {
			went = append(went, e)
		}
	}
	y.out = x.out.merged(len(y.ids), moved, came, went)
	for _, list := range [][]adjacent{came, went} {
		for i, e := range list {
			list[i] = adjacent{e.to, e.at, e.verb}
		}
	}
	y.in = x.in.merged(len(y.ids), moved, came, went)
	return y, nil
}

// adjacent is one entry of a list of an adjacency.
type adjacent struct {
	at, to uint32
	verb   uint8
}

func (e adjacent) compare(other adjacent) int {
	switch {
	case e.at != other.at:
		return int(int64(e.at) - int64(other.at))
	case e.verb != other.verb:
		return int(e.verb) - int(other.verb)
	}
	return int(int64(e.to) - int64(other.to))
}

// merged gives the lists with what came and without what went; moved leads from
// old nodes to new ones and keeps their order.
func (a *adjacency) merged(n int, moved []uint32, came, went []adjacent) adjacency {
	slices.SortFunc(came, adjacent.compare)
	slices.SortFunc(went, adjacent.compare)
	size := len(a.to) + len(came)
	m := adjacency{make([]uint32, n+1), make([]uint32, 0, size), make([]uint8, 0, size)}
	put := func(e adjacent) {
		m.to, m.verb = append(m.to, e.to), append(m.verb, e.verb)
		m.start[e.at+1] = uint32(len(m.to))
	}
	for old := range len(a.start) - 1 {
		if moved[old] == none {
			continue
		}
		for i := a.start[old]; i < a.start[old+1]; i++ {
			e := adjacent{moved[old], moved[a.to[i]], a.verb[i]}
			if e.to == none {
				continue
			}
			for len(came) > 0 && came[0].compare(e) < 0 {
				put(came[0])
				came = came[1:]
			}
			if len(came) > 0 && came[0] == e {
				came = came[1:]
			}
			for len(went) > 0 && went[0].compare(e) < 0 {
				went = went[1:]
			}
			if len(went) > 0 && went[0] == e {
				continue
			}
			put(e)
		}
	}
	for _, e := range came {
		put(e)
	}
	for i := range n {
		m.start[i+1] = max(m.start[i+1], m.start[i])
	}
	return m
}

// Index gives the graph in memory. It is made from SQL when it is asked for the first
// time or when another process changed the graph; while that goes on, others go on
// with the one before. It may lack what a run that still goes on has written.
func (g *Graph) Index(ctx context.Context) (*Index, error) {
	var x *Index
	err := g.db.Read(ctx, func(tx store.Tx) error {
		var err error
		x, err = g.current(ctx, tx)
		return err
	})
	return x, err
}

// current gives the index to a transaction.
func (g *Graph) current(ctx context.Context, tx store.Tx) (*Index, error) {
	x := g.index.Load()
	if x != nil {
		generation, err := number(ctx, tx, selectGeneration)
		if err != nil || generation <= g.latest.Load() || g.writing.Load() > 0 {
			return x, err
		}
		if !g.build.TryLock() {
			return x, nil
		}
	} else {
		g.build.Lock()
	}
	defer g.build.Unlock()
	if y := g.index.Load(); y != x && y != nil {
		return y, nil
	}
	y, err := load(ctx, tx, math.MaxInt64)
	if err != nil {
		return nil, err
	}
	g.index.Store(y)
	g.pending = slices.DeleteFunc(g.pending, func(c *change) bool { return c.generation <= y.generation })
	g.follow()
	return y, nil
}

// follow notes the generation that the index and what is pending reach without a
// gap, which would be a change of another process.
func (g *Graph) follow() {
	x := g.index.Load()
	if x == nil {
		g.latest.Store(0)
		return
	}
	slices.SortFunc(g.pending, func(a, b *change) int { return int(a.generation - b.generation) })
	latest := x.generation
	for _, c := range g.pending {
		if c.generation == latest+1 {
			latest++
		}
	}
	g.latest.Store(latest)
}

// changed takes a committed change. The index follows when there is enough to merge.
func (g *Graph) changed(c *change) {
	if c == nil || c.generation == 0 {
		return
	}
	g.build.Lock()
	defer g.build.Unlock()
	x := g.index.Load()
	if x == nil || c.generation <= x.generation {
		return
	}
	g.pending = append(g.pending, c)
	g.follow()
	waiting := 0
	for _, c := range g.pending {
		waiting += len(c.nodes) + len(c.edges) + len(c.lost) + len(c.cut)
	}
	if waiting >= max(4096, len(x.out.to)/16) {
		g.apply()
	}
}

// settle brings the index up to what was committed.
func (g *Graph) settle() {
	g.build.Lock()
	defer g.build.Unlock()
	g.apply()
}

// apply merges what is pending into the index. When the changes of another process
// lie between, the index is made anew when it is next asked for.
func (g *Graph) apply() {
	x := g.index.Load()
	if x == nil || len(g.pending) == 0 {
		g.pending = nil
		return
	}
	g.follow()
	var y *Index
	if g.latest.Load() == g.pending[len(g.pending)-1].generation {
		var err error
		if y, err = x.with(g.pending); err != nil {
			y = nil
		}
	}
	g.pending = nil
	g.index.Store(y)
	g.follow()
}

// load makes an index of what stood after a run, or stands now.
func load(ctx context.Context, tx store.Tx, run int64) (*Index, error) {
	generation, err := number(ctx, tx, selectGeneration)
	if err != nil {
		return nil, err
	}
	names, err := kinds(ctx, tx)
	if err != nil {
		return nil, err
	}
	var there []bool // by id: ids are given out without large gaps
	for _, q := range []struct {
		query *store.Query
		args  []store.Value
		past  bool
	}{{everyNode, []store.Value{store.Int(run)}, false}, {everyPastNode, []store.Value{store.Int(run)}, true}, {everyAffected, nil, false}} {
		if q.past && run == math.MaxInt64 {
			continue
		}
		if q.query == everyAffected && run != math.MaxInt64 {
			at, err := number(ctx, tx, runStarted, store.Int(run))
			if err != nil {
				return nil, err
			}
			q.query, q.args = everyAffectedAt, []store.Value{store.Int(at)}
		}
		if err := tx.Query(ctx, q.query, func(row store.Row) error {
			id := row.Int(0)
			for int64(len(there)) <= id {
				there = append(there, make([]bool, id+1-int64(len(there)))...)
			}
			there[id] = true
			return nil
		}, q.args...); err != nil {
			return nil, err
		}
	}
	var ids []int64
	var kindOf []string
	words := map[string]string{}
	// In the order of their ids, which is that of the table.
	err = tx.Query(ctx, everyKind, func(row store.Row) error {
		if id := row.Int(0); id >= int64(len(there)) || !there[id] {
			return nil
		}
		kind := row.Text(1)
		if known, ok := words[kind]; ok {
			kind = known
		}
		words[kind] = kind
		ids, kindOf = append(ids, row.Int(0)), append(kindOf, kind)
		return nil
	})
	if err != nil {
		return nil, err
	}
	var arcs []Arc
	take := func(row store.Row) error {
		arcs = append(arcs, Arc{row.Int(0), row.Int(2), uint8(row.Int(1))})
		return nil
	}
	if err := tx.Query(ctx, everyEdge, take, store.Int(run)); err != nil {
		return nil, err
	}
	if run != math.MaxInt64 {
		if err := tx.Query(ctx, everyPastEdge, take, store.Int(run)); err != nil {
			return nil, err
		}
	}
	x, err := NewIndex(ids, func(i int) string { return kindOf[i] }, names, arcs)
	if err != nil {
		return nil, fmt.Errorf("index of the graph: %w", err)
	}
	x.generation = generation
	return x, nil
}
