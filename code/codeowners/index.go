package codeowners

import (
	"slices"
	"strings"
	"sync"
)

// index holds all patterns of a file as one tree of segments, so that a path
// walks the tree once whatever the number of patterns. Literal segments are
// looked up; globs are looked up by the literal text they begin or end with,
// and only then matched.
type index struct {
	root    *node
	folders int32 // number of nodes that stand for "**"
	scratch sync.Pool
}

// node is a place in the tree: what has been matched so far.
type node struct {
	literal map[string]*node
	globs   *globs
	any     *node // through "**"
	self    int32 // number of a "**" node, from 1; it stays active for every further segment

	ends [3][]int32 // rules whose pattern is complete here, by ending
}

// globs are the children of a node that hold wildcards.
type globs struct {
	byText map[string]*globChild
	fronts table
	backs  table
	rest   []*globChild // neither begins nor ends with literal text
}

type globChild struct {
	segment segment
	node    *node
}

// table finds globs by a literal text at one end, a lookup for each length.
type table struct {
	lengths []int // ascending
	entries map[string][]*globChild
}

func (t *table) add(key string, child *globChild) {
	if t.entries == nil {
		t.entries = map[string][]*globChild{}
	}
	if at, found := slices.BinarySearch(t.lengths, len(key)); !found {
		t.lengths = slices.Insert(t.lengths, at, len(key))
	}
	t.entries[key] = append(t.entries[key], child)
}

// walk is the working memory of one match.
type walk struct {
	now, next []*node
	seen      []uint32 // by node.self: the step in which it was last added
	step      uint32
	hits      []int32
}

func newIndex(rules []*Rule, patterns []pattern) *index {
	x := &index{root: &node{}}
	for i, p := range patterns {
		if p.never {
			continue
		}
		at := x.root
		for _, s := range p.segments {
			at = x.child(at, s)
		}
		at.ends[p.end] = keepLast(at.ends[p.end], int32(i), rules)
	}
	x.scratch.New = func() any { return &walk{seen: make([]uint32, x.folders+1)} }
	return x
}

// keepLast adds a rule to those of an equal pattern and now and then drops
// the oldest that no Match could list: a section's overruled rules beyond
// maxShadowed. A section's first exclusion decides for good and stays.
func keepLast(list []int32, rule int32, rules []*Rule) []int32 {
	list = append(list, rule)
	if n := len(list); n < 2*maxShadowed || n&(n-1) != 0 {
		return list
	}
	exclusion := map[*Section]int32{}
	for _, i := range list {
		if _, ok := exclusion[rules[i].Section]; !ok && rules[i].Exclude {
			exclusion[rules[i].Section] = i
		}
	}
	count := map[*Section]int{}
	var kept []int32
	for _, i := range slices.Backward(list) {
		section := rules[i].Section
		first, ok := exclusion[section]
		if count[section] <= maxShadowed || ok && first == i {
			count[section]++
			kept = append(kept, i)
		}
	}
	slices.Reverse(kept)
	return kept
}

func (x *index) child(at *node, s segment) *node {
	switch {
	case s.any:
		if at.self > 0 { // "**/**" is "**"
			return at
		}
		if at.any == nil {
			x.folders++
			at.any = &node{self: x.folders}
		}
		return at.any
	case len(s.glob) == 0:
		if at.literal == nil {
			at.literal = map[string]*node{}
		}
		next := at.literal[s.text]
		if next == nil {
			next = &node{}
			at.literal[s.text] = next
		}
		return next
	}
	if at.globs == nil {
		at.globs = &globs{byText: map[string]*globChild{}}
	}
	child := at.globs.byText[s.text]
	if child == nil {
		child = &globChild{s, &node{}}
		at.globs.byText[s.text] = child
		switch {
		case s.front == "" && s.back == "":
			at.globs.rest = append(at.globs.rest, child)
		case len(s.front) >= len(s.back):
			at.globs.fronts.add(s.front, child)
		default:
			at.globs.backs.add(s.back, child)
		}
	}
	return child.node
}

// match lists the rules that match a path, ascending.
func (x *index) match(path string) []int32 {
	if path == "" {
		return nil
	}
	w := x.scratch.Get().(*walk)
	w.now, w.hits = w.now[:0], w.hits[:0]
	w.nextStep()
	w.hits = append(w.hits, x.root.ends[endInside]...)
	w.reach(x.root, &w.now)
	for rest, more := path, true; more && len(w.now) > 0; {
		var name string
		name, rest, more = strings.Cut(rest, "/")
		w.next = w.next[:0]
		w.nextStep()
		for _, n := range w.now {
			w.advance(n, name, more)
		}
		w.now, w.next = w.next, w.now
	}
	for _, n := range w.now {
		w.hits = append(w.hits, n.ends[endExact]...)
	}
	slices.Sort(w.hits)
	hits := slices.Clone(slices.Compact(w.hits))
	x.scratch.Put(w)
	return hits
}

func (w *walk) nextStep() {
	if w.step++; w.step == 0 { // wrapped: forget all marks
		clear(w.seen)
		w.step = 1
	}
}

// advance takes one name of the path from a node. more says whether further
// names follow it.
func (w *walk) advance(n *node, name string, more bool) {
	if n.self > 0 {
		w.reach(n, &w.next)
	}
	if next := n.literal[name]; next != nil {
		w.arrive(next, more)
	}
	if n.globs == nil {
		return
	}
	for _, child := range n.globs.rest {
		w.try(child, name, more)
	}
	for _, length := range n.globs.fronts.lengths {
		if length > len(name) {
			break
		}
		for _, child := range n.globs.fronts.entries[name[:length]] {
			w.try(child, name, more)
		}
	}
	for _, length := range n.globs.backs.lengths {
		if length > len(name) {
			break
		}
		for _, child := range n.globs.backs.entries[name[len(name)-length:]] {
			w.try(child, name, more)
		}
	}
}

func (w *walk) try(child *globChild, name string, more bool) {
	if child.segment.match(name) {
		w.arrive(child.node, more)
	}
}

// arrive enters a node through a named segment.
func (w *walk) arrive(n *node, more bool) {
	w.hits = append(w.hits, n.ends[endBelow]...)
	if more {
		w.hits = append(w.hits, n.ends[endInside]...)
	}
	w.reach(n, &w.next)
}

// reach makes a node active, and with it the "**" that may follow it without
// taking a segment.
func (w *walk) reach(n *node, into *[]*node) {
	if n.self > 0 {
		if w.seen[n.self] == w.step {
			return
		}
		w.seen[n.self] = w.step
	}
	*into = append(*into, n)
	if n.any != nil {
		w.reach(n.any, into)
	}
}
