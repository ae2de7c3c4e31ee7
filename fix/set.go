package fix

import (
	"cmp"
	"container/heap"
	"math/bits"
	"math/rand/v2"
	"slices"
)

// Option is a change that may be made: what it costs and what it closes.
type Option struct {
	Effort float64 // above 0
	Closes []int   // indexes of issues
	// Site is the place that it edits: of options of one site at most one is
	// chosen, since two of them cannot both stand there. "" is a place of its own.
	Site string
}

// Set is a choice of options.
type Set struct {
	Chosen []int // indexes of options, the one that closes the most risk for its effort first
	Effort float64
	// Curve has a point after each chosen option.
	Curve []Point
	// Exact says that nothing closes as much for less effort; without it the set is
	// the best that was found.
	Exact bool
}

// Point is how far the options up to one of a set lead.
type Point struct {
	Effort float64 `json:"effort"`
	Issues int     `json:"issues"` // closed
	Risk   float64 `json:"risk"`   // closed
}

// Bounds of the search, in work and not in time, so that the same input gives the
// same set everywhere.
const (
	exactOptions = 18      // of a part that is searched through
	repairs      = 400     // of each larger part
	repairWork   = 300_000 // members looked at while repairing
	least        = 1e-9
)

// Smallest chooses options that close as much risk as all of them together, for the
// least effort. Risk is that of each issue.
//
// Parts of the input that share no issue and no site are solved apart: small ones by
// looking at every choice, large ones greedily, and then again and again with some of
// the choices taken back.
func Smallest(options []Option, risk []float64) Set {
	chosen := Set{Chosen: []int{}, Curve: []Point{}, Exact: true}
	s := newSolver(options, risk)
	for _, part := range s.parts() {
		picked, exact := s.solve(part)
		chosen.Chosen = append(chosen.Chosen, picked...)
		chosen.Exact = chosen.Exact && exact
	}
	s.order(&chosen)
	return chosen
}

// solver holds the input without what can be of no use.
type solver struct {
	options []Option
	risk    []float64
	sites   []int   // of each option, -1 for a place of its own
	peers   [][]int // options of each site
	by      [][]int // options that close an issue
	covered []int32 // of a state; parts share no issue, so that they share this
}

func newSolver(options []Option, risk []float64) *solver {
	s := &solver{options: make([]Option, len(options)), risk: risk, sites: make([]int, len(options)), by: make([][]int, len(risk)), covered: make([]int32, len(risk))}
	names := map[string]int{}
	for i, o := range options {
		s.options[i], s.sites[i] = Option{Effort: o.Effort}, -1
		closes := slices.Clone(o.Closes)
		slices.Sort(closes)
		for _, issue := range slices.Compact(closes) {
			if issue >= 0 && issue < len(risk) && risk[issue] > 0 {
				s.options[i].Closes = append(s.options[i].Closes, issue)
				s.by[issue] = append(s.by[issue], i)
			}
		}
		if o.Site == "" || len(s.options[i].Closes) == 0 {
			continue
		}
		site, known := names[o.Site]
		if !known {
			site = len(s.peers)
			names[o.Site] = site
			s.peers = append(s.peers, nil)
		}
		s.sites[i] = site
		s.peers[site] = append(s.peers[site], i)
	}
	return s
}

// parts lists the options that hang together, each part and all of them in order.
func (s *solver) parts() [][]int {
	root := make([]int, len(s.options))
	for i := range root {
		root[i] = i
	}
	find := func(i int) int {
		for root[i] != i {
			root[i] = root[root[i]]
			i = root[i]
		}
		return i
	}
	join := func(group []int) {
		for _, i := range group[min(1, len(group)):] {
			a, b := find(group[0]), find(i)
			root[max(a, b)] = min(a, b)
		}
	}
	for _, group := range s.by {
		join(group)
	}
	for _, group := range s.peers {
		join(group)
	}
	at := map[int]int{}
	var parts [][]int
	for i := range s.options {
		if len(s.options[i].Closes) == 0 {
			continue
		}
		r := find(i)
		n, known := at[r]
		if !known {
			n = len(parts)
			at[r] = n
			parts = append(parts, nil)
		}
		parts[n] = append(parts[n], i)
	}
	return parts
}

func (s *solver) solve(part []int) (picked []int, exact bool) {
	if len(part) <= exactOptions {
		return s.search(part), true
	}
	return s.improve(part), false
}

// worth is what a choice of a part comes to: the risk it closes and its effort.
type worth struct{ risk, effort float64 }

func (w worth) better(other worth) bool {
	if d := w.risk - other.risk; d > least || d < -least {
		return d > 0
	}
	return w.effort < other.effort-least
}

// search looks at every choice of a small part.
func (s *solver) search(part []int) []int {
	local := map[int]int{}
	var risk []float64
	masks := make([][]uint64, len(part))
	for _, o := range part {
		for _, issue := range s.options[o].Closes {
			if _, known := local[issue]; !known {
				local[issue] = len(risk)
				risk = append(risk, s.risk[issue])
			}
		}
	}
	words := (len(risk) + 63) / 64
	for i, o := range part {
		masks[i] = make([]uint64, words)
		for _, issue := range s.options[o].Closes {
			n := local[issue]
			masks[i][n/64] |= 1 << (n % 64)
		}
	}
	// What the options from one on can still add.
	rest := make([][]uint64, len(part)+1)
	rest[len(part)] = make([]uint64, words)
	for i := len(part) - 1; i >= 0; i-- {
		rest[i] = make([]uint64, words)
		for w := range words {
			rest[i][w] = rest[i+1][w] | masks[i][w]
		}
	}
	best, bestChoice := worth{risk: -1}, uint32(0)
	weigh := func(covered []uint64) (sum float64) {
		for w, word := range covered {
			for ; word != 0; word &= word - 1 {
				sum += risk[w*64+bits.TrailingZeros64(word)]
			}
		}
		return sum
	}
	var walk func(i int, covered []uint64, effort float64, choice uint32)
	walk = func(i int, covered []uint64, effort float64, choice uint32) {
		now := worth{weigh(covered), effort}
		if now.better(best) {
			best, bestChoice = now, choice
		}
		if i == len(part) {
			return
		}
		reach := make([]uint64, words)
		for w := range words {
			reach[w] = covered[w] | rest[i][w]
		}
		if !(worth{weigh(reach), effort}).better(best) {
			return
		}
		site := s.sites[part[i]]
		taken := site >= 0 && slices.ContainsFunc(part[:i], func(o int) bool { return s.sites[o] == site && choice&(1<<slices.Index(part, o)) != 0 })
		if !taken {
			with := make([]uint64, words)
			for w := range words {
				with[w] = covered[w] | masks[i][w]
			}
			walk(i+1, with, effort+s.options[part[i]].Effort, choice|1<<i)
		}
		walk(i+1, covered, effort, choice)
	}
	walk(0, make([]uint64, words), 0, 0)
	var picked []int
	for i, o := range part {
		if bestChoice&(1<<i) != 0 {
			picked = append(picked, o)
		}
	}
	return picked
}

// state is a choice under way.
type state struct {
	s       *solver
	chosen  map[int]bool
	site    map[int]int // option chosen at a site
	covered []int32     // by issue, how many chosen options close it
	worth
}

func (st *state) take(o int) {
	st.chosen[o] = true
	if site := st.s.sites[o]; site >= 0 {
		st.site[site] = o
	}
	st.effort += st.s.options[o].Effort
	for _, issue := range st.s.options[o].Closes {
		if st.covered[issue]++; st.covered[issue] == 1 {
			st.risk += st.s.risk[issue]
		}
	}
}

func (st *state) drop(o int) {
	delete(st.chosen, o)
	if site := st.s.sites[o]; site >= 0 {
		delete(st.site, site)
	}
	st.effort -= st.s.options[o].Effort
	for _, issue := range st.s.options[o].Closes {
		if st.covered[issue]--; st.covered[issue] == 0 {
			st.risk -= st.s.risk[issue]
		}
	}
}

// gain is the risk that an option would close beyond what is closed.
func (st *state) gain(o int) (sum float64) {
	for _, issue := range st.s.options[o].Closes {
		if st.covered[issue] == 0 {
			sum += st.s.risk[issue]
		}
	}
	return sum
}

// entry of the queue: an option with the gain for its effort as it was last known.
type entry struct {
	option int
	rate   float64
}

type queue []entry

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return cmp.Or(cmp.Compare(q[j].rate, q[i].rate), cmp.Compare(q[i].option, q[j].option)) < 0
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(entry)) }
func (q *queue) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// greedy takes the option of the best rate until none adds anything, and drops what
// the later ones made needless. A gain only falls, so that an option whose rate is
// still the best when it is looked at again is the best of all.
func (st *state) greedy(from []int) {
	q := make(queue, 0, len(from))
	for _, o := range from {
		if gain := st.gain(o); gain > least && !st.chosen[o] {
			q = append(q, entry{o, gain / st.s.options[o].Effort})
		}
	}
	heap.Init(&q)
	for len(q) > 0 {
		top := q[0]
		site := st.s.sites[top.option]
		_, taken := st.site[site]
		gain := st.gain(top.option)
		if gain <= least || site >= 0 && taken {
			heap.Pop(&q)
			continue
		}
		if rate := gain / st.s.options[top.option].Effort; rate < top.rate-least {
			q[0].rate = rate
			heap.Fix(&q, 0)
			continue
		}
		heap.Pop(&q)
		st.take(top.option)
	}
}

// trim drops chosen options that others make needless, the dearest first.
func (st *state) trim(among []int) {
	list := slices.DeleteFunc(slices.Clone(among), func(o int) bool { return !st.chosen[o] })
	slices.SortFunc(list, func(a, b int) int {
		return cmp.Or(cmp.Compare(st.s.options[b].Effort, st.s.options[a].Effort), cmp.Compare(a, b))
	})
	for _, o := range list {
		if !slices.ContainsFunc(st.s.options[o].Closes, func(issue int) bool { return st.covered[issue] == 1 }) {
			st.drop(o)
		}
	}
}

// improve solves a large part: greedily, then again and again with what stands around
// one issue taken back.
func (s *solver) improve(part []int) []int {
	st := &state{s: s, chosen: map[int]bool{}, site: map[int]int{}, covered: s.covered}
	st.greedy(part)
	st.trim(part)
	var issues []int
	for _, o := range part {
		issues = append(issues, s.options[o].Closes...)
	}
	slices.Sort(issues)
	issues = slices.Compact(issues)
	random := rand.New(rand.NewPCG(uint64(len(part)), uint64(len(issues))))
	work := 0
	for round := 0; round < repairs && work < repairWork; round++ {
		near := s.around(issues[random.IntN(len(issues))], 3+random.IntN(6))
		before := st.worth
		var dropped []int
		for _, o := range near {
			if st.chosen[o] {
				dropped = append(dropped, o)
			}
			work += len(s.options[o].Closes)
		}
		for _, o := range dropped {
			st.drop(o)
		}
		// Another order leads to another choice.
		if len(near) > 0 {
			if first := near[random.IntN(len(near))]; !st.chosen[first] && st.gain(first) > least && st.free(first) {
				st.take(first)
			}
		}
		st.greedy(near)
		st.trim(near)
		if st.better(before) || !before.better(st.worth) {
			continue
		}
		for _, o := range near {
			if st.chosen[o] && !slices.Contains(dropped, o) {
				st.drop(o)
			}
		}
		for _, o := range dropped {
			if !st.chosen[o] {
				st.take(o)
			}
		}
	}
	st.trim(part) // what was chosen around one issue may have made more needless
	var picked []int
	for _, o := range part {
		if st.chosen[o] {
			picked = append(picked, o)
		}
	}
	return picked
}

func (st *state) free(o int) bool {
	site := st.s.sites[o]
	_, taken := st.site[site]
	return site < 0 || !taken
}

// around lists options that hang together with an issue, about as many as asked for.
func (s *solver) around(issue, n int) []int {
	list := slices.Clone(s.by[issue])
	for i := 0; i < len(list) && len(list) < 8*n; i++ {
		if site := s.sites[list[i]]; site >= 0 {
			list = append(list, s.peers[site]...)
		}
		closes := s.options[list[i]].Closes
		for step := 0; step < len(closes) && step < n; step++ {
			list = append(list, s.by[closes[step*len(closes)/n%len(closes)]]...)
		}
		if i >= n {
			break
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// order puts a set into the order in which it pays, and draws its curve.
func (s *solver) order(set *Set) {
	st := &state{s: s, chosen: map[int]bool{}, site: map[int]int{}, covered: make([]int32, len(s.risk))}
	q := make(queue, 0, len(set.Chosen))
	for _, o := range set.Chosen {
		q = append(q, entry{o, st.gain(o) / s.options[o].Effort})
	}
	heap.Init(&q)
	set.Chosen = set.Chosen[:0]
	closed := 0
	for len(q) > 0 {
		top := q[0]
		if rate := st.gain(top.option) / s.options[top.option].Effort; rate < top.rate-least {
			q[0].rate = rate
			heap.Fix(&q, 0)
			continue
		}
		heap.Pop(&q)
		for _, issue := range s.options[top.option].Closes {
			if st.covered[issue] == 0 {
				closed++
			}
		}
		st.take(top.option)
		set.Chosen = append(set.Chosen, top.option)
		set.Curve = append(set.Curve, Point{Effort: st.effort, Issues: closed, Risk: st.risk})
	}
	set.Effort = st.effort
}
