package graph

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/store"
)

// QueryOptions bound a query. The zero value is good.
type QueryOptions struct {
	AsOf    time.Time
	Limit   int           // rows at most, 0 for 1000
	Timeout time.Duration // 0 for 30 s
}

// Bounds of a query.
const (
	maxRows        = 10_000
	defaultRows    = 1000
	defaultTimeout = 30 * time.Second
	// maxWork bounds the relations that one query looks at.
	maxWork = 200_000_000
)

// Answer is what a query found.
type Answer struct {
	Rows [][]fact.Asset `json:"rows"` // one asset for each of the pattern
	More bool           `json:"more"` // there are more than were asked for
}

// Query gives the chains of assets that fit a pattern, sorted, now or as of a time.
func (g *Graph) Query(ctx context.Context, p *Pattern, opts QueryOptions) (Answer, error) {
	if opts.Limit <= 0 {
		opts.Limit = defaultRows
	}
	opts.Limit = min(opts.Limit, maxRows)
	if opts.Timeout <= 0 {
		opts.Timeout = defaultTimeout
	}
	answer := Answer{Rows: [][]fact.Asset{}}
	limited, cancel := context.WithTimeout(ctx, opts.Timeout)
	defer cancel()
	err := g.read(limited, opts.AsOf, func(b *book) error {
		x, err := g.indexOf(b)
		if err != nil {
			return err
		}
		if err := p.check(x); err != nil {
			return err
		}
		q := newSearch(limited, b, x, p, opts.Limit)
		if err := q.run(); err != nil {
			return err
		}
		answer.More = q.more
		for _, row := range q.rows {
			assets := make([]fact.Asset, len(row))
			for i, n := range row {
				if assets[i], err = b.asset(x.Asset(n)); err != nil {
					return err
				}
			}
			answer.Rows = append(answer.Rows, assets)
		}
		return nil
	})
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		return Answer{Rows: [][]fact.Asset{}}, fmt.Errorf("%w: the query took longer than %s; name more kinds or filters", ErrTooWide, opts.Timeout)
	}
	slices.SortFunc(answer.Rows, func(a, b []fact.Asset) int { return slices.CompareFunc(a, b, compareAssets) })
	return answer, err
}

type fitKey struct {
	at   int
	node uint32
}

// search looks for the rows of a pattern, from the end with fewer assets.
type search struct {
	ctx      context.Context
	b        *book
	x        *Index
	nodes    []nodePattern
	kinds    [][]bool // per asset of the pattern: which kinds of the index fit, nil for all
	steps    []edgePattern
	masks    []*mask
	reversed bool
	limit    int
	rows     [][]uint32
	more     bool
	row      []uint32
	fits     map[fitKey]bool
	work     int
}

func newSearch(ctx context.Context, b *book, x *Index, p *Pattern, limit int) *search {
	q := &search{ctx: ctx, b: b, x: x, nodes: slices.Clone(p.nodes), steps: slices.Clone(p.edges), limit: limit, fits: map[fitKey]bool{}}
	if q.estimate(&q.nodes[len(q.nodes)-1]) < q.estimate(&q.nodes[0]) {
		q.reversed = true
		slices.Reverse(q.nodes)
		slices.Reverse(q.steps)
		for i := range q.steps {
			if q.steps[i].way != Both {
				q.steps[i].way ^= Both
			}
		}
	}
	for i := range q.nodes {
		var fit []bool
		if kinds := q.nodes[i].kinds; len(kinds) > 0 {
			fit = make([]bool, len(x.kindNames))
			for n, name := range x.kindNames {
				fit[n] = slices.ContainsFunc(kinds, func(w wordAt) bool { return w.word == name })
			}
		}
		q.kinds = append(q.kinds, fit)
	}
	for _, s := range q.steps {
		follow := []Follow{{Way: s.way}}
		if len(s.kinds) > 0 {
			follow = nil
			for _, w := range s.kinds {
				follow = append(follow, Follow{fact.RelationKind(w.word), s.way})
			}
		}
		q.masks = append(q.masks, x.mask(follow))
	}
	return q
}

// estimate says how many assets an end of the pattern has at most.
func (q *search) estimate(p *nodePattern) int {
	if p.key() != "" {
		return 1
	}
	if len(p.kinds) == 0 {
		return len(q.x.ids)
	}
	n := 0
	for i, name := range q.x.kindNames {
		if slices.ContainsFunc(p.kinds, func(w wordAt) bool { return w.word == name }) {
			n += q.x.counts[i]
		}
	}
	return n
}

// key gives the key that a pattern of an asset asks for.
func (p *nodePattern) key() string {
	for _, f := range p.filters {
		if f.name == "key" && f.op == equals {
			return f.value
		}
	}
	return ""
}

func (q *search) run() error {
	starts, err := q.starts()
	if err != nil {
		return err
	}
	for n := range starts {
		fits, err := q.fit(0, n)
		if err != nil {
			return err
		}
		if fits {
			q.row = append(q.row[:0], n)
			if err := q.from(0); err != nil {
				return err
			}
		}
		if q.more {
			return nil
		}
	}
	return nil
}

// manyStarts is from how many assets on it pays to ask SQL for those that say what a
// filter asks for.
const manyStarts = 2000

// starts gives the nodes that may fit the first asset of the pattern.
func (q *search) starts() (func(yield func(uint32) bool), error) {
	p := &q.nodes[0]
	var ids []int64
	collect := func(row store.Row) error { ids = append(ids, row.Int(0)); return nil }
	if key := p.key(); key != "" {
		kinds := q.x.kindNames
		for _, kind := range kinds {
			if err := q.b.tx.Query(q.ctx, selectAsset, collect, store.Text(kind), store.Text(key)); err != nil {
				return nil, err
			}
		}
		return q.listed(ids), nil
	}
	if q.b.now() && q.estimate(p) > manyStarts {
		for _, f := range p.filters {
			if f.op != equals || own(f.name) {
				continue
			}
			said, err := encode(map[string]string{f.name: f.value})
			if err != nil {
				return nil, err
			}
			said = strings.TrimSuffix(strings.TrimPrefix(said, "{"), "}")
			if err := q.b.tx.Query(q.ctx, nodesSaying, collect, store.Text("%"+likeText(said)+"%")); err != nil {
				return nil, err
			}
			return q.listed(ids), nil
		}
	}
	return func(yield func(uint32) bool) {
		for n := range uint32(len(q.x.ids)) {
			if q.kindFits(0, n) && !yield(n) {
				return
			}
		}
	}, nil
}

// listed gives the nodes of assets.
func (q *search) listed(ids []int64) func(yield func(uint32) bool) {
	slices.Sort(ids)
	ids = slices.Compact(ids)
	return func(yield func(uint32) bool) {
		for _, id := range ids {
			if n, ok := q.x.Node(id); ok && !yield(n) {
				return
			}
		}
	}
}

// own says whether a name is of the asset itself and not a property.
func own(name string) bool { return name == "key" || name == "name" || name == "kind" }

func (q *search) kindFits(i int, n uint32) bool { return q.kinds[i] == nil || q.kinds[i][q.x.kinds[n]] }

// tick ends a search that goes on for too long.
func (q *search) tick() error {
	if q.work++; q.work > maxWork {
		return fmt.Errorf("%w: the query looks at more than %d relations; name more kinds or filters", ErrTooWide, maxWork)
	}
	if q.work%4096 == 0 {
		return q.ctx.Err()
	}
	return nil
}

// from continues the row behind asset i of the pattern.
func (q *search) from(i int) error {
	if i == len(q.steps) {
		if len(q.rows) == q.limit {
			q.more = true
			return nil
		}
		row := slices.Clone(q.row)
		if q.reversed {
			slices.Reverse(row)
		}
		q.rows = append(q.rows, row)
		return nil
	}
	ends, err := q.ends(i, q.row[len(q.row)-1])
	if err != nil {
		return err
	}
	size := len(q.row)
	for _, n := range ends {
		if slices.Contains(q.row[:size], n) {
			continue
		}
		fits, err := q.fit(i+1, n)
		if err != nil {
			return err
		}
		if fits {
			q.row = append(q.row[:size], n)
			if err := q.from(i + 1); err != nil {
				return err
			}
		}
		if q.more {
			break
		}
	}
	q.row = q.row[:size]
	return nil
}

// ends gives the nodes to which a relation of the pattern leads, sorted.
func (q *search) ends(i int, from uint32) ([]uint32, error) {
	step := &q.steps[i]
	level, ends := []uint32{from}, []uint32(nil)
	var err error
	for length := 1; length <= step.max && len(level) > 0; length++ {
		var next []uint32
		for _, n := range level {
			q.x.each(n, q.masks[i], func(to uint32, _ uint8, _ Direction) bool {
				next = append(next, to)
				err = q.tick()
				return err == nil
			})
			if err != nil {
				return nil, err
			}
		}
		slices.Sort(next)
		level = slices.Compact(next)
		if length >= step.min {
			ends = append(ends, level...)
		}
	}
	slices.Sort(ends)
	return slices.Compact(ends), nil
}

// fit says whether a node fits asset i of the pattern.
func (q *search) fit(i int, n uint32) (bool, error) {
	if !q.kindFits(i, n) {
		return false, nil
	}
	p := &q.nodes[i]
	if len(p.filters) == 0 {
		return true, nil
	}
	key := fitKey{i, n}
	if known, ok := q.fits[key]; ok {
		return known, nil
	}
	if err := q.ctx.Err(); err != nil {
		return false, err
	}
	fits, err := q.check(p, q.x.Asset(n))
	if len(q.fits) > maxCached {
		clear(q.fits)
	}
	q.fits[key] = fits
	return fits, err
}

func (q *search) check(p *nodePattern, id int64) (bool, error) {
	a, err := q.b.asset(id)
	if err != nil {
		return false, err
	}
	var properties map[string]string
	for i := range p.filters {
		f := &p.filters[i]
		value, there := "", true
		switch f.name {
		case "key":
			value = a.Key
		case "name":
			value = a.Name
		case "kind":
			value = a.Kind
		default:
			if properties == nil {
				said, err := q.b.said(id)
				if err != nil {
					return false, err
				}
				properties, _ = joined(said)
			}
			value, there = properties[f.name]
		}
		if !f.matches(value, there) {
			return false, nil
		}
	}
	return true, nil
}
