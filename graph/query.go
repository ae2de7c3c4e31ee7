package graph

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backstitch/backstitch/fact"
)

// Pattern is a chain of kinds of assets and relations between them:
//
//	workload -instance_of-> image -has_layer-> layer
//	cloud_resource[tag:env=prod] <-exposes- internet
//	workload -*1..4-> repository|file
//	*[name=web*] -part_of|runs_in- *
//
// An asset is a kind, several parted by "|", or "*". Filters in brackets, parted by
// commas, are on key, name or a property: = equal, != not, with "*" and "?" as
// wildcards; a property alone asks that it is there. A relation is "-kind->",
// "<-kind-" or "-kind-" for both directions; "*" is any, "*2..4" a chain of any from
// two to four long.
type Pattern struct {
	nodes []nodePattern
	edges []edgePattern
}

type nodePattern struct {
	kinds   []string // none for any
	filters []filter
}

type filter struct {
	name, value string
	op          byte // '=' equal, '!' not, '?' is there
}

type edgePattern struct {
	kinds    []string
	way      Direction
	min, max int
}

// Bounds of a query.
const (
	maxPattern = 2000
	maxChain   = 12
	maxRows    = 1000
)

// PatternError is a fault of a pattern.
type PatternError struct {
	At       int // byte, from 0
	Expected string
}

func (e *PatternError) Error() string {
	return fmt.Sprintf("pattern, position %d: expected %s", e.At+1, e.Expected)
}

// ParsePattern reads a pattern.
func ParsePattern(text string) (*Pattern, error) {
	if len(text) > maxPattern {
		return nil, &PatternError{maxPattern, fmt.Sprintf("at most %d bytes", maxPattern)}
	}
	r := &patternReader{text: text}
	p := &Pattern{}
	for {
		node, err := r.node()
		if err != nil {
			return nil, err
		}
		p.nodes = append(p.nodes, node)
		r.blanks()
		if r.at == len(r.text) {
			return p, nil
		}
		edge, err := r.edge()
		if err != nil {
			return nil, err
		}
		if p.edges = append(p.edges, edge); len(p.edges) > maxChain {
			return nil, &PatternError{r.at, fmt.Sprintf("at most %d relations", maxChain)}
		}
	}
}

type patternReader struct {
	text string
	at   int
}

func (r *patternReader) blanks() {
	for r.at < len(r.text) && r.text[r.at] == ' ' {
		r.at++
	}
}

func (r *patternReader) fail(expected string) error { return &PatternError{r.at, expected} }

func (r *patternReader) word() string {
	from := r.at
	for r.at < len(r.text) && (r.text[r.at] == '_' || 'a' <= r.text[r.at] && r.text[r.at] <= 'z' || '0' <= r.text[r.at] && r.text[r.at] <= '9') {
		r.at++
	}
	return r.text[from:r.at]
}

// words reads names parted by "|", none for "*".
func (r *patternReader) words(what string) ([]string, error) {
	if r.at < len(r.text) && r.text[r.at] == '*' {
		r.at++
		return nil, nil
	}
	var list []string
	for {
		word := r.word()
		if word == "" {
			return nil, r.fail(what)
		}
		list = append(list, word)
		if r.at == len(r.text) || r.text[r.at] != '|' {
			return list, nil
		}
		r.at++
	}
}

func (r *patternReader) node() (nodePattern, error) {
	r.blanks()
	kinds, err := r.words(`a kind of asset or "*"`)
	if err != nil {
		return nodePattern{}, err
	}
	n := nodePattern{kinds: kinds}
	if r.at == len(r.text) || r.text[r.at] != '[' {
		return n, nil
	}
	r.at++
	end := strings.IndexByte(r.text[r.at:], ']')
	if end < 0 {
		r.at = len(r.text)
		return n, r.fail(`"]"`)
	}
	for part := range strings.SplitSeq(r.text[r.at:r.at+end], ",") {
		part = strings.TrimSpace(part)
		f := filter{name: part, op: '?'}
		if name, value, ok := strings.Cut(part, "="); ok {
			f = filter{strings.TrimSpace(strings.TrimSuffix(name, "!")), strings.TrimSpace(value), '='}
			if strings.HasSuffix(name, "!") {
				f.op = '!'
			}
			if _, err := path.Match(escapeClass(f.value), ""); err != nil {
				return n, r.fail("a value with * and ? for wildcards")
			}
		}
		if f.name == "" {
			return n, r.fail("a property, for example [tag:env=prod]")
		}
		n.filters = append(n.filters, f)
	}
	r.at += end + 1
	return n, nil
}

// escapeClass makes everything but * and ? literal for path.Match, to which a slash
// is nothing special here.
func escapeClass(pattern string) string {
	return strings.NewReplacer(`\`, `\\`, "[", `\[`, "/", "\x00").Replace(pattern)
}

func (r *patternReader) edge() (edgePattern, error) {
	e := edgePattern{way: Both, min: 1, max: 1}
	left := strings.HasPrefix(r.text[r.at:], "<-")
	switch {
	case left:
		r.at += 2
	case strings.HasPrefix(r.text[r.at:], "-"):
		r.at++
	default:
		return e, r.fail(`a relation such as "-part_of->"`)
	}
	kinds, err := r.words(`a kind of relation or "*"`)
	if err != nil {
		return e, err
	}
	if e.kinds = kinds; kinds == nil && r.at < len(r.text) && '0' <= r.text[r.at] && r.text[r.at] <= '9' {
		from := r.at
		for r.at < len(r.text) && (r.text[r.at] == '.' || '0' <= r.text[r.at] && r.text[r.at] <= '9') {
			r.at++
		}
		low, high, ok := strings.Cut(r.text[from:r.at], "..")
		e.min, err = strconv.Atoi(low)
		if e.max = e.min; ok && err == nil {
			e.max, err = strconv.Atoi(high)
		}
		if err != nil || e.min < 1 || e.max < e.min || e.max > maxChain {
			r.at = from
			return e, r.fail(fmt.Sprintf("a length such as 2 or 1..4, at most %d", maxChain))
		}
	}
	right := strings.HasPrefix(r.text[r.at:], "->")
	switch {
	case left && right:
		return e, r.fail(`"-" to end the relation`)
	case right:
		r.at += 2
		e.way = Forward
	case strings.HasPrefix(r.text[r.at:], "-"):
		r.at++
		if left {
			e.way = Backward
		}
	default:
		return e, r.fail(`"->" or "-" to end the relation`)
	}
	return e, nil
}

// Answer is what a query found.
type Answer struct {
	Rows [][]fact.Asset `json:"rows"` // one asset for each of the pattern
	More bool           `json:"more"` // there are more than were asked for
}

// Query gives the chains of assets that fit a pattern, at most limit of them (0 for
// 1000), in a fixed order, now or as of a time.
func (g *Graph) Query(ctx context.Context, p *Pattern, limit int, asOf time.Time) (Answer, error) {
	if limit <= 0 || limit > maxRows {
		limit = maxRows
	}
	answer := Answer{Rows: [][]fact.Asset{}}
	err := g.read(ctx, asOf, func(b *book) error {
		x, err := g.indexOf(ctx, b)
		if err != nil {
			return err
		}
		q := &search{ctx: ctx, b: b, x: x, p: p, limit: limit, answer: &answer, fits: map[fitKey]bool{}}
		for n := range uint32(len(x.ids)) {
			if answer.More || q.err != nil {
				break
			}
			if q.fit(0, n) {
				q.row = append(q.row[:0], n)
				q.from(0)
			}
		}
		return q.err
	})
	return answer, err
}

type fitKey struct {
	at   int
	node uint32
}

type search struct {
	ctx    context.Context
	b      *book
	x      *Index
	p      *Pattern
	limit  int
	answer *Answer
	row    []uint32
	fits   map[fitKey]bool
	work   int
	err    error
}

// maxWork bounds the steps of one query.
const maxWork = 20_000_000

// from continues the row behind asset i of the pattern.
func (q *search) from(i int) {
	if q.work++; q.work > maxWork {
		q.err = fmt.Errorf("the pattern takes more than %d steps: make it narrower", maxWork)
	}
	if q.work%4096 == 0 && q.ctx.Err() != nil {
		q.err = q.ctx.Err()
	}
	if q.err != nil || q.answer.More {
		return
	}
	if i == len(q.p.edges) {
		if len(q.answer.Rows) == q.limit {
			q.answer.More = true
			return
		}
		assets := make([]fact.Asset, len(q.row))
		for j, n := range q.row {
			if assets[j], q.err = q.b.asset(q.x.Asset(n)); q.err != nil {
				return
			}
		}
		q.answer.Rows = append(q.answer.Rows, assets)
		return
	}
	e := &q.p.edges[i]
	depth := map[uint32]int{q.row[len(q.row)-1]: 0}
	level := []uint32{q.row[len(q.row)-1]}
	var ends []uint32
	for length := 1; length <= e.max && len(level) > 0; length++ {
		var next []uint32
		for _, n := range level {
			q.x.Neighbours(n, e.way, func(to uint32, verb fact.RelationKind, _ Direction) bool {
				q.work++
				if _, seen := depth[to]; seen || len(e.kinds) > 0 && !slices.Contains(e.kinds, string(verb)) {
					return true
				}
				depth[to] = length
				next = append(next, to)
				return true
			})
		}
		if length >= e.min {
			ends = append(ends, next...)
		}
		level = next
	}
	slices.Sort(ends)
	own := len(q.row)
	for _, n := range ends {
		if q.fit(i+1, n) {
			q.row = append(q.row[:own], n)
			q.from(i + 1)
		}
	}
	q.row = q.row[:own]
}

// fit says whether a node fits asset i of the pattern.
func (q *search) fit(i int, n uint32) bool {
	p := &q.p.nodes[i]
	if len(p.kinds) > 0 && !slices.Contains(p.kinds, q.x.Kind(n)) {
		return false
	}
	if len(p.filters) == 0 {
		return true
	}
	key := fitKey{i, n}
	if known, ok := q.fits[key]; ok {
		return known
	}
	fits, err := q.check(p, q.x.Asset(n))
	if err != nil {
		q.err = err
		return false
	}
	q.fits[key] = fits
	return fits
}

func (q *search) check(p *nodePattern, id int64) (bool, error) {
	asset, err := q.b.asset(id)
	if err != nil {
		return false, err
	}
	properties := map[string]string{"key": asset.Key, "name": asset.Name, "kind": asset.Kind}
	var needed bool
	for _, f := range p.filters {
		needed = needed || f.name != "key" && f.name != "name" && f.name != "kind"
	}
	if needed {
		said, err := q.b.said(id)
		if err != nil {
			return false, err
		}
		v := View{Properties: maps.Clone(properties), Said: said}
		v.join()
		properties = v.Properties
	}
	for _, f := range p.filters {
		value, there := properties[f.name]
		matches := false
		if there && f.op != '?' {
			matches, _ = path.Match(escapeClass(f.value), strings.ReplaceAll(value, "/", "\x00"))
		}
		switch f.op {
		case '?':
			matches = there
		case '!':
			matches = !matches
		}
		if !matches {
			return false, nil
		}
	}
	return true, nil
}
