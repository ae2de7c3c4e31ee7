package graph

import (
	"context"
	"fmt"
	"slices"

	"github.com/backstitch/backstitch/fact"
)

// Direction says which way relations are followed.
type Direction uint8

// Directions.
const (
	Forward  Direction = 1
	Backward Direction = 2
	Both     Direction = 3
)

// Follow says that relations of a kind are followed, and which way. An empty kind is
// any.
type Follow struct {
	Kind fact.RelationKind
	Way  Direction
}

// mask says by number which relations are followed forward and backward.
type mask struct{ out, in [maxKinds + 1]bool }

// mask makes the mask of what is followed: everything both ways when nothing is said.
func (x *Index) mask(follow []Follow) *mask {
	if len(follow) == 0 {
		follow = []Follow{{Way: Both}}
	}
	m := &mask{}
	for n, verb := range x.verbs {
		for _, f := range follow {
			if f.Kind == "" || f.Kind == verb {
				m.out[n] = m.out[n] || f.Way&Forward != 0
				m.in[n] = m.in[n] || f.Way&Backward != 0
			}
		}
	}
	return m
}

// turned is the mask of walking the other way.
func (m *mask) turned() *mask { return &mask{out: m.in, in: m.out} }

// each gives the neighbours of a node that a mask leads to; visit returns false to
// end.
func (x *Index) each(n uint32, m *mask, visit func(to uint32, verb uint8, way Direction) bool) {
	for i := x.out.start[n]; i < x.out.start[n+1]; i++ {
		if verb := x.out.verb[i]; m.out[verb] && !visit(x.out.to[i], verb, Forward) {
			return
		}
	}
	for i := x.in.start[n]; i < x.in.start[n+1]; i++ {
		if verb := x.in.verb[i]; m.in[verb] && !visit(x.in.to[i], verb, Backward) {
			return
		}
	}
}

// marks are the nodes that a search has met, in their order.
type marks struct {
	at   []int32 // by node: place in list counted from 1, 0 when not met
	list []met
}

type met struct {
	node     uint32
	distance int32
	previous int32 // place in list counted from 0, -1 for none
	verb     uint8
	way      Direction
}

func (x *Index) take() *marks {
	if m, ok := x.scratch.Get().(*marks); ok {
		return m
	}
	return &marks{at: make([]int32, len(x.ids))}
}

func (x *Index) give(m *marks) {
	for _, one := range m.list {
		m.at[one.node] = 0
	}
	m.list = m.list[:0]
	x.scratch.Put(m)
}

func (m *marks) add(one met) {
	m.list = append(m.list, one)
	m.at[one.node] = int32(len(m.list))
}

// Hop is one step of a walk.
type Hop struct {
	Node uint32
	Verb uint8     // number of the kind of the step that leads here
	Way  Direction // 0 for the first
}

// Verb gives the kind of relation of a number.
func (x *Index) Verb(n uint8) fact.RelationKind { return x.verbs[n] }

// maxVisited bounds a search.
const maxVisited = 4_000_000

// Nearest finds the nearest nodes that a test accepts, within depth steps: all that
// are equally far, with one of the shortest ways to each.
func (x *Index) Nearest(ctx context.Context, from uint32, depth int, follow []Follow, accept func(n uint32) bool) ([][]Hop, error) {
	return x.nearest(ctx, from, depth, x.mask(follow), accept)
}

func (x *Index) nearest(ctx context.Context, from uint32, depth int, mask *mask, accept func(n uint32) bool) ([][]Hop, error) {
	m := x.take()
	defer x.give(m)
	m.add(met{node: from, previous: -1})
	if accept(from) {
		return [][]Hop{{{Node: from}}}, nil
	}
	var found [][]Hop
	begin := 0
	for level := range depth {
		end := len(m.list)
		for i := begin; i < end; i++ {
			x.each(m.list[i].node, mask, func(to uint32, verb uint8, way Direction) bool {
				if m.at[to] == 0 {
					m.add(met{to, int32(level + 1), int32(i), verb, way})
					if accept(to) {
						found = append(found, m.way(len(m.list)-1))
					}
				}
				return len(m.list) <= maxVisited
			})
			if err := tooWide(ctx, i, len(m.list)); err != nil {
				return nil, err
			}
		}
		if len(found) > 0 || len(m.list) == end {
			return found, nil
		}
		begin = end
	}
	return nil, nil
}

func tooWide(ctx context.Context, step, visited int) error {
	if visited > maxVisited {
		return fmt.Errorf("%w: more than %d assets; follow fewer kinds of relations", ErrTooWide, maxVisited)
	}
	if step%1024 == 0 {
		return ctx.Err()
	}
	return nil
}

// way gives the steps that lead to what was met.
func (m *marks) way(i int) []Hop {
	var hops []Hop
	for ; i >= 0; i = int(m.list[i].previous) {
		hops = append(hops, Hop{m.list[i].node, m.list[i].verb, m.list[i].way})
	}
	slices.Reverse(hops)
	return hops
}

// side is one of the two searches that meet.
type side struct {
	*marks
	mask  *mask
	begin int // of the newest level
	depth int
}

// Shortest finds the shortest ways between two nodes, at most limit of them, within
// depth steps; more says that there are others as short. Two searches go towards
// each other, the one with the smaller front first.
func (x *Index) Shortest(ctx context.Context, from, to uint32, depth, limit int, follow []Follow) (ways [][]Hop, more bool, err error) {
	if from == to {
		return [][]Hop{{{Node: from}}}, false, nil
	}
	forward := x.mask(follow)
	a, b := &side{marks: x.take(), mask: forward}, &side{marks: x.take(), mask: forward.turned()}
	defer x.give(a.marks)
	defer x.give(b.marks)
	a.add(met{node: from, previous: -1})
	b.add(met{node: to, previous: -1})
	for a.depth+b.depth < depth {
		near, far := a, b
		if len(b.list)-b.begin < len(a.list)-a.begin {
			near, far = b, a
		}
		end := len(near.list)
		near.depth++
		meeting := []uint32{}
		for i := near.begin; i < end; i++ {
			x.each(near.list[i].node, near.mask, func(n uint32, verb uint8, way Direction) bool {
				if near.at[n] == 0 {
					near.add(met{n, int32(near.depth), int32(i), verb, way})
					if far.at[n] != 0 {
						meeting = append(meeting, n)
					}
				}
				return len(near.list) <= maxVisited
			})
			if err := tooWide(ctx, i, len(near.list)); err != nil {
				return nil, false, err
			}
		}
		near.begin = end
		if len(meeting) > 0 {
			slices.Sort(meeting)
			ways, more = x.between(a, b, meeting, limit)
			return ways, more, nil
		}
		if len(near.list) == end {
			return nil, false, nil
		}
	}
	return nil, false, nil
}

// between lists the ways through the nodes in which two searches met.
func (x *Index) between(a, b *side, meeting []uint32, limit int) (ways [][]Hop, more bool) {
	var head, tail []Hop // head from the meeting back to the start, tail on to the end
	var on func(n uint32) bool
	on = func(n uint32) bool {
		distance := b.list[b.at[n]-1].distance
		if distance == 0 {
			if len(ways) == limit {
				more = true
				return false
			}
			way := make([]Hop, 0, len(head)+len(tail)+1)
			for i := len(head) - 1; i >= 0; i-- {
				way = append(way, head[i])
			}
			ways = append(ways, append(way, tail...))
			return true
		}
		own, going := len(tail), true
		x.each(n, a.mask, func(to uint32, verb uint8, way Direction) bool {
			if at := b.at[to]; at != 0 && b.list[at-1].distance == distance-1 {
				tail = append(tail[:own], Hop{to, verb, way})
				going = on(to)
				tail = tail[:own]
			}
			return going
		})
		return going
	}
	var back func(n uint32, middle uint32) bool
	back = func(n, middle uint32) bool {
		distance := a.list[a.at[n]-1].distance
		if distance == 0 {
			head = append(head, Hop{Node: n})
			going := on(middle)
			head = head[:len(head)-1]
			return going
		}
		own, going := len(head), true
		// Walking backward: a relation that leads here forward is followed from its
		// other end.
		x.each(n, b.mask, func(previous uint32, verb uint8, way Direction) bool {
			if at := a.at[previous]; at != 0 && a.list[at-1].distance == distance-1 {
				head = append(head[:own], Hop{n, verb, way ^ Both})
				going = back(previous, middle)
				head = head[:own]
			}
			return going
		})
		return going
	}
	for _, n := range meeting {
		if !back(n, n) {
			break
		}
	}
	return ways, more
}
