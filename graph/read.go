package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/store"
)

// Seen says who told of something, and when.
type Seen struct {
	By    string `json:"seen_by"` // name of the source
	Scope string `json:"scope"`
	Run   int64  `json:"run"`        // that saw it as it is
	First int64  `json:"first_seen"` // microseconds since 1970 UTC
	Last  int64  `json:"last_seen"`  // by the newest run that covered the scope, or that changed it
}

// View is an asset with all that is known of it.
type View struct {
	Asset fact.Asset `json:"asset"`
	// Properties join what the sources say; of two values of one that of the first
	// source by name counts, and Contradictions names all.
	Properties     map[string]string `json:"properties"`
	Contradictions []Contradiction   `json:"contradictions"`
	Said           []Said            `json:"said"`
	Out            []Neighbour       `json:"relations"`
	In             []Neighbour       `json:"referrers"`
	More           bool              `json:"more"` // there are more relations than are listed
	Claims         []ClaimView       `json:"claims"`
}

// Contradiction is something of which sources say different things.
type Contradiction struct {
	About  string  `json:"about"` // a property, or a kind of relation that leads to one asset only
	Values []Value `json:"values"`
	// Disputed says that no value has stronger evidence than the others.
	Disputed bool `json:"disputed"`
}

// Value is what a source says.
type Value struct {
	Value string `json:"value"`
	By    string `json:"seen_by"`
}

func (c Contradiction) String() string {
	var parts []string
	for _, v := range c.Values {
		parts = append(parts, fmt.Sprintf("%s says %q", v.By, v.Value))
	}
	return c.About + ": " + strings.Join(parts, ", ")
}

// Said is what one scope of a source says of an asset.
type Said struct {
	Seen
	Name       string            `json:"name,omitempty"`
	Passing    bool              `json:"in_passing,omitempty"` // only named by a relation or a claim
	Properties map[string]string `json:"properties"`
}

// Witness is the evidence of one source for a relation.
type Witness struct {
	fact.Evidence
	Confidence float64           `json:"confidence"`
	Location   *fact.Location    `json:"location,omitempty"`
	Properties map[string]string `json:"properties,omitempty"`
	Seen
}

// Neighbour is an asset at the other end of a relation.
type Neighbour struct {
	Kind     fact.RelationKind `json:"kind"`
	Asset    fact.Asset        `json:"asset"`
	Strength fact.Strength     `json:"strength"` // of the strongest evidence
	Evidence []Witness         `json:"evidence"` // strongest first, then by source
}

// ClaimView is one ownership claim.
type ClaimView struct {
	claimDoc
	Seen
	// Strength is that of the claim, or of the weakest relation it was inherited over.
	Strength fact.Strength `json:"strength"`
	// Via are the steps that it was inherited over, nearest first.
	Via []Via `json:"via,omitempty"`
}

// Via is a step to another asset.
type Via struct {
	Kind     fact.RelationKind `json:"kind"`
	Backward bool              `json:"backward,omitempty"` // the relation leads the other way
	Asset    fact.Asset        `json:"asset"`
	Strength fact.Strength     `json:"strength"`
}

// Claim gives the claim on a subject.
func (c *ClaimView) Claim(subject fact.Asset) fact.Claim {
	return fact.Claim{Subject: subject, Owner: c.Owner, Role: c.Role, Source: c.Source(), Evidence: c.Evidence, Confidence: c.Confidence, Since: c.Since, Until: c.Until}
}

// Source is who made the claim.
func (c *ClaimView) Source() string { return c.claimDoc.Source }

// book holds what reading looks up again and again in one transaction.
type book struct {
	ctx      context.Context
	tx       store.Tx
	run      int64 // as of this run, the largest number for now
	scopes   map[int64][2]string
	last     map[int64]int64
	times    map[int64]int64
	assets   map[int64]fact.Asset
	evidence map[int64]edgeDoc
	kinds    []fact.RelationKind
	numbers  map[fact.RelationKind]int64
}

func newBook(ctx context.Context, tx store.Tx, run int64) *book {
	return &book{ctx: ctx, tx: tx, run: run, scopes: map[int64][2]string{}, last: map[int64]int64{}, times: map[int64]int64{}, assets: map[int64]fact.Asset{}, evidence: map[int64]edgeDoc{}}
}

// now says that the graph is read as it is, not as it was.
func (b *book) now() bool { return b.run == math.MaxInt64 }

func (g *Graph) read(ctx context.Context, asOf time.Time, fn func(b *book) error) error {
	return g.db.Read(ctx, func(tx store.Tx) error {
		run := int64(math.MaxInt64)
		if !asOf.IsZero() {
			var err error
			if run, err = number(ctx, tx, runAsOf, store.Int(asOf.UnixMicro())); err != nil {
				return err
			}
		}
		b := newBook(ctx, tx, run)
		var err error
		if b.kinds, err = kinds(ctx, tx); err != nil {
			return err
		}
		b.numbers = map[fact.RelationKind]int64{}
		for n, kind := range b.kinds {
			b.numbers[kind] = int64(n)
		}
		return fn(b)
	})
}

// indexOf gives the index that fits the time of a book.
func (g *Graph) indexOf(b *book) (*Index, error) {
	if b.now() {
		return g.current(b.ctx, b.tx)
	}
	generation, err := number(b.ctx, b.tx, selectGeneration)
	if err != nil {
		return nil, err
	}
	if p := g.past.Load(); p != nil && p.run == b.run && p.generation == generation {
		return p.index, nil
	}
	x, err := load(b.ctx, b.tx, b.run)
	if err == nil {
		g.past.Store(&pastIndex{b.run, generation, x})
	}
	return x, err
}

// memo looks a value up once.
func memo[T any](known map[int64]T, id int64, look func() (T, error)) (T, error) {
	if v, ok := known[id]; ok {
		return v, nil
	}
	v, err := look()
	if err == nil {
		if len(known) >= maxCached {
			clear(known)
		}
		known[id] = v
	}
	return v, err
}

func (b *book) seen(scope, first, since int64) (Seen, error) {
	names, err := memo(b.scopes, scope, func() (names [2]string, err error) {
		err = b.tx.Query(b.ctx, scopeNames, func(row store.Row) error { names = [2]string{row.Text(0), row.Text(1)}; return nil }, store.Int(scope))
		return names, err
	})
	if err != nil {
		return Seen{}, err
	}
	covered, err := memo(b.last, scope, func() (int64, error) { return number(b.ctx, b.tx, lastCovered, store.Int(scope), store.Int(b.run)) })
	if err != nil {
		return Seen{}, err
	}
	s := Seen{By: names[0], Scope: names[1], Run: since}
	if s.First, err = b.time(first); err != nil {
		return s, err
	}
	s.Last, err = b.time(max(since, covered))
	return s, err
}

func (b *book) time(run int64) (int64, error) {
	return memo(b.times, run, func() (int64, error) { return number(b.ctx, b.tx, runStarted, store.Int(run)) })
}

func (b *book) asset(id int64) (fact.Asset, error) {
	return memo(b.assets, id, func() (a fact.Asset, err error) {
		err = b.tx.Query(b.ctx, assetByID, func(row store.Row) error {
			a = fact.Asset{Kind: row.Text(0), Key: row.Text(1), Name: row.Text(2)}
			return nil
		}, store.Int(id))
		return a, err
	})
}

// both runs a query over what stands and, for a time that has passed, one over what
// stood.
func (b *book) both(stands, stood *store.Query, row func(store.Row) error, args ...store.Value) error {
	err := b.tx.Query(b.ctx, stands, row, args...)
	if err == nil && !b.now() {
		err = b.tx.Query(b.ctx, stood, row, args...)
	}
	return err
}

// said lists what the sources say of an asset, by source and scope.
func (b *book) said(id int64) ([]Said, error) {
	type raw struct {
		scope, first, since int64
		doc                 string
	}
	var rows []raw
	err := b.both(nodesOfAsset, pastNodesOfAsset, func(r store.Row) error {
		rows = append(rows, raw{r.Int(0), r.Int(2), r.Int(3), r.Text(1)})
		return nil
	}, store.Int(id), store.Int(b.run))
	list := []Said{}
	for _, r := range rows {
		if err != nil {
			return nil, err
		}
		var doc nodeDoc
		if err = json.Unmarshal([]byte(r.doc), &doc); err != nil {
			return nil, err
		}
		s := Said{Name: doc.Name, Passing: doc.End, Properties: doc.Properties}
		if s.Properties == nil {
			s.Properties = map[string]string{}
		}
		s.Seen, err = b.seen(r.scope, r.first, r.since)
		list = append(list, s)
	}
	slices.SortStableFunc(list, func(a, b Said) int { return cmp.Or(cmp.Compare(a.By, b.By), cmp.Compare(a.Scope, b.Scope)) })
	return list, err
}

// nameOf gives the name that counts: that of the first source which tells of the
// asset itself, before those that name it in passing.
func nameOf(said []Said) string {
	for _, passing := range []bool{false, true} {
		for _, s := range said {
			if s.Passing == passing && s.Name != "" {
				return s.Name
			}
		}
	}
	return ""
}

// joined joins what sources say into one view, and lists what contradicts.
func joined(said []Said) (map[string]string, []Contradiction) {
	properties := map[string]string{}
	values := map[string][]Value{}
	for _, s := range said {
		for name, value := range s.Properties {
			if _, known := properties[name]; !known {
				properties[name] = value
			}
			if !slices.ContainsFunc(values[name], func(v Value) bool { return v.Value == value }) {
				values[name] = append(values[name], Value{value, s.By})
			}
		}
	}
	contradictions := []Contradiction{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		if len(values[name]) > 1 {
			contradictions = append(contradictions, Contradiction{name, values[name], true})
		}
	}
	return properties, contradictions
}

// single are the relations that lead to one asset only, so that two are a
// contradiction.
var single = []fact.RelationKind{fact.DeclaredBy, fact.InModule, fact.PackagedFrom, fact.RunsAs}

func contradicting(out []Neighbour) []Contradiction {
	var list []Contradiction
	for _, kind := range single {
		var values []Value
		best, ties := len(strengths), 0
		for _, n := range out {
			if n.Kind != kind {
				continue
			}
			values = append(values, Value{n.Asset.Key, n.Evidence[0].By})
			switch rank := rankOf(n.Strength); {
			case rank < best:
				best, ties = rank, 1
			case rank == best:
				ties++
			}
		}
		if len(values) > 1 {
			list = append(list, Contradiction{string(kind), values, ties > 1})
		}
	}
	return list
}

// maxNeighbours bounds the relations of a view, in each direction.
const maxNeighbours = 2000

// rawEdge is a stored relation.
type rawEdge struct {
	scope, kind, other, evidence, first, since int64
}

// neighbours groups relations by what they lead to.
func (b *book) neighbours(rows []rawEdge) ([]Neighbour, error) {
	list := []Neighbour{}
	slices.SortFunc(rows, func(a, b rawEdge) int {
		return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.other, b.other), cmp.Compare(a.scope, b.scope))
	})
	for len(rows) > 0 {
		n := 1
		for n < len(rows) && rows[n].kind == rows[0].kind && rows[n].other == rows[0].other {
			n++
		}
		one := Neighbour{Kind: b.kinds[rows[0].kind]}
		var err error
		if one.Asset, err = b.asset(rows[0].other); err != nil {
			return nil, err
		}
		if one.Evidence, err = b.witnesses(rows[:n]); err != nil {
			return nil, err
		}
		one.Strength = one.Evidence[0].Strength
		list, rows = append(list, one), rows[n:]
	}
	slices.SortFunc(list, func(a, b Neighbour) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), compareAssets(a.Asset, b.Asset)) })
	return list, nil
}

// witnesses gives the evidence of relations, strongest first.
func (b *book) witnesses(rows []rawEdge) ([]Witness, error) {
	var list []Witness
	for _, r := range rows {
		doc, err := memo(b.evidence, r.evidence, func() (doc edgeDoc, err error) {
			text := ""
			if err := b.tx.Query(b.ctx, evidenceDoc, func(row store.Row) error { text = row.Text(0); return nil }, store.Int(r.evidence)); err != nil {
				return doc, err
			}
			return doc, json.Unmarshal([]byte(text), &doc)
		})
		if err != nil {
			return nil, err
		}
		w := Witness{Evidence: doc.Evidence, Confidence: confidence(doc.Confidence, doc.Evidence), Location: doc.Location, Properties: doc.Properties}
		if w.Seen, err = b.seen(r.scope, r.first, r.since); err != nil {
			return nil, err
		}
		list = append(list, w)
	}
	slices.SortStableFunc(list, func(a, b Witness) int {
		return cmp.Or(cmp.Compare(rankOf(a.Strength), rankOf(b.Strength)), cmp.Compare(a.By, b.By), cmp.Compare(a.Scope, b.Scope))
	})
	return list, nil
}

func edgeRow(into *[]rawEdge) func(r store.Row) error {
	return func(r store.Row) error {
		*into = append(*into, rawEdge{r.Int(0), r.Int(1), r.Int(2), r.Int(3), r.Int(4), r.Int(5)})
		return nil
	}
}

// claims lists the claims on an asset itself.
func (b *book) claims(id int64) ([]ClaimView, error) {
	type raw struct {
		scope, first, since int64
		doc                 string
	}
	var rows []raw
	err := b.both(claimsOf, pastClaimsOf, func(r store.Row) error {
		rows = append(rows, raw{r.Int(0), r.Int(2), r.Int(3), r.Text(1)})
		return nil
	}, store.Int(id), store.Int(b.run))
	list := []ClaimView{}
	for _, r := range rows {
		if err != nil {
			return nil, err
		}
		c := ClaimView{}
		if err = json.Unmarshal([]byte(r.doc), &c.claimDoc); err != nil {
			return nil, err
		}
		c.Strength, c.Confidence = c.Evidence.Strength, confidence(c.Confidence, c.Evidence)
		c.Seen, err = b.seen(r.scope, r.first, r.since)
		list = append(list, c)
	}
	slices.SortStableFunc(list, func(a, b ClaimView) int {
		return cmp.Or(cmp.Compare(rankOf(a.Strength), rankOf(b.Strength)), cmp.Compare(a.claimDoc.Source, b.claimDoc.Source), cmp.Compare(a.Role, b.Role),
			cmp.Compare(a.Owner.ID, b.Owner.ID), cmp.Compare(a.By, b.By), cmp.Compare(a.Scope, b.Scope))
	})
	return list, err
}

// id gives the id of an asset that the graph, or a finding, knows.
func (b *book) id(a fact.Asset) (int64, error) {
	id, err := number(b.ctx, b.tx, selectAsset, store.Text(a.Kind), store.Text(a.Key))
	if err == nil && id == 0 {
		err = fmt.Errorf("%s:%s: %w", a.Kind, a.Key, ErrNotFound)
	}
	return id, err
}

// Asset gives an asset with all that is known of it, now or as of a time.
func (g *Graph) Asset(ctx context.Context, kind, key string, asOf time.Time) (View, error) {
	v := View{}
	err := g.read(ctx, asOf, func(b *book) error {
		id, err := b.id(fact.Asset{Kind: kind, Key: key})
		if err != nil {
			return err
		}
		if v.Asset, err = b.asset(id); err != nil {
			return err
		}
		if v.Said, err = b.said(id); err != nil {
			return err
		}
		if len(v.Said) == 0 {
			if err := b.absent(id, v.Asset, asOf); err != nil {
				return err
			}
		}
		if name := nameOf(v.Said); name != "" {
			v.Asset.Name = name
		}
		v.Properties, v.Contradictions = joined(v.Said)
		for _, side := range []struct {
			stands, stood *store.Query
			into          *[]Neighbour
		}{{edgesOut, pastEdgesOut, &v.Out}, {edgesIn, pastEdgesIn, &v.In}} {
			var rows []rawEdge
			if err := b.both(side.stands, side.stood, edgeRow(&rows), store.Int(id), store.Int(b.run), store.Int(maxNeighbours+1)); err != nil {
				return err
			}
			if len(rows) > maxNeighbours {
				v.More, rows = true, rows[:maxNeighbours]
			}
			if *side.into, err = b.neighbours(rows); err != nil {
				return err
			}
		}
		v.Contradictions = append(v.Contradictions, contradicting(v.Out)...)
		v.Claims, err = b.claims(id)
		return err
	})
	return v, err
}

// absent says why no source tells of an asset, unless findings do.
func (b *book) absent(id int64, a fact.Asset, asOf time.Time) error {
	at, err := number(b.ctx, b.tx, firstAffected, store.Int(id))
	if err != nil || at != 0 && (asOf.IsZero() || at <= asOf.UnixMicro()) {
		return err
	}
	if !asOf.IsZero() {
		return fmt.Errorf("%s:%s at %s: %w", a.Kind, a.Key, asOf.UTC().Format(time.RFC3339), ErrNotFound)
	}
	run, err := number(b.ctx, b.tx, lastGone, store.Int(id))
	if err != nil {
		return err
	}
	gone, err := b.time(run)
	if err != nil || gone == 0 {
		return cmp.Or(err, fmt.Errorf("%s:%s: %w", a.Kind, a.Key, ErrNotFound))
	}
	return fmt.Errorf("%s:%s is gone since %s: %w", a.Kind, a.Key, time.UnixMicro(gone).UTC().Format(time.RFC3339), ErrNotFound)
}

// Inherits are the relations over which an asset inherits its owners: it is part of a
// service, a service of a project; an object is controlled by another; a workload
// runs an image that was packaged from a repository; a resource is declared somewhere.
func Inherits() []Follow {
	return []Follow{
		{fact.PartOf, Forward}, {fact.Controls, Backward}, {fact.InstanceOf, Forward}, {fact.PackagedFrom, Forward},
		{fact.DeclaredBy, Forward}, {fact.DeclaredAt, Forward}, {fact.InModule, Forward},
	}
}

// ClaimOptions say how claims are looked for. The zero value is good.
type ClaimOptions struct {
	AsOf   time.Time
	Follow []Follow // over which claims are inherited; none for Inherits
}

// Bounds of inheriting.
const (
	maxInherit      = 6
	maxInheritNodes = 1000
)

// Claims gives every claim on an asset: its own, then those that it inherits, nearest
// first. A claim is inherited from every asset once, over the nearest way.
func (g *Graph) Claims(ctx context.Context, subject fact.Asset, opts ClaimOptions) ([]ClaimView, error) {
	if len(opts.Follow) == 0 {
		opts.Follow = Inherits()
	}
	all := []ClaimView{}
	err := g.read(ctx, opts.AsOf, func(b *book) error {
		id, err := b.id(subject)
		if err != nil {
			return err
		}
		x, err := g.indexOf(b)
		if err != nil {
			return err
		}
		from, ok := x.Node(id)
		if !ok {
			all, err = b.claims(id)
			return err
		}
		type step struct {
			node uint32
			via  []Via
		}
		mask, seen := x.mask(opts.Follow), map[uint32]bool{from: true}
		for queue := []step{{node: from}}; len(queue) > 0; queue = queue[1:] {
			at := queue[0]
			list, err := b.claims(x.Asset(at.node))
			if err != nil {
				return err
			}
			for i := range list {
				list[i].Via = at.via
				for _, v := range at.via {
					list[i].Strength = weaker(list[i].Strength, v.Strength)
				}
			}
			all = append(all, list...)
			if len(at.via) == maxInherit {
				continue
			}
			var hops []Hop
			x.each(at.node, mask, func(to uint32, verb uint8, way Direction) bool {
				if !seen[to] && len(seen) < maxInheritNodes {
					seen[to] = true
					hops = append(hops, Hop{to, verb, way})
				}
				return true
			})
			for _, hop := range hops {
				s, err := b.step(x, at.node, hop)
				if err != nil {
					return err
				}
				a, err := b.asset(x.Asset(hop.Node))
				if err != nil {
					return err
				}
				queue = append(queue, step{hop.Node, append(at.via[:len(at.via):len(at.via)], Via{s.Kind, s.Backward, a, s.Strength})})
			}
		}
		return nil
	})
	return all, err
}

func weaker(a, b fact.Strength) fact.Strength {
	if rankOf(b) > rankOf(a) {
		return b
	}
	return a
}

// Path is a way from one asset to another.
type Path struct {
	Assets   []fact.Asset  `json:"assets"`
	Steps    []PathStep    `json:"steps"`    // one less than assets
	Strength fact.Strength `json:"strength"` // of the weakest step, "" when there is none
}

// PathStep is one relation of a path.
type PathStep struct {
	Kind     fact.RelationKind `json:"kind"`
	Backward bool              `json:"backward,omitempty"` // the relation leads the other way
	Strength fact.Strength     `json:"strength"`           // of the strongest evidence
	Evidence []Witness         `json:"evidence"`           // strongest first
}

// PathOptions say how ways are looked for. The zero value is good.
type PathOptions struct {
	AsOf   time.Time
	Follow []Follow // relations that are followed; none for all, both ways
	Depth  int      // steps at most, 0 for 12
	Limit  int      // ways at most, 0 for 16
}

func (o *PathOptions) complete() {
	if o.Depth <= 0 || o.Depth > maxDepth {
		o.Depth = maxDepth
	}
	if o.Limit <= 0 || o.Limit > maxWays {
		o.Limit = 16
	}
}

// Bounds of a search for ways.
const (
	maxDepth = 12
	maxWays  = 1000
)

// Ways are the shortest paths between two assets, equally long; the strongest first.
type Ways struct {
	Paths []Path `json:"paths"`
	More  bool   `json:"more"` // there are others as short
}

// Paths gives the shortest ways from one asset to another, with the evidence of each
// step; a path is as strong as its weakest step.
func (g *Graph) Paths(ctx context.Context, from, to fact.Asset, opts PathOptions) (Ways, error) {
	opts.complete()
	found := Ways{Paths: []Path{}}
	err := g.read(ctx, opts.AsOf, func(b *book) error {
		x, err := g.indexOf(b)
		if err != nil {
			return err
		}
		var ends [2]uint32
		for i, a := range []fact.Asset{from, to} {
			id, err := b.id(a)
			if err != nil {
				return err
			}
			var ok bool
			if ends[i], ok = x.Node(id); !ok {
				return b.notThere(a, opts.AsOf)
			}
		}
		ways, more, err := x.Shortest(ctx, ends[0], ends[1], opts.Depth, opts.Limit, opts.Follow)
		if err != nil {
			return err
		}
		found.More = more
		found.Paths, err = b.paths(x, ways)
		return err
	})
	return found, err
}

// Nearest gives the nearest assets of the named kinds, all that are equally far, each
// with a way to it: the owner of a workload, the repository of a finding.
func (g *Graph) Nearest(ctx context.Context, from fact.Asset, kinds []string, opts PathOptions) (Ways, error) {
	opts.complete()
	found := Ways{Paths: []Path{}}
	err := g.read(ctx, opts.AsOf, func(b *book) error {
		x, err := g.indexOf(b)
		if err != nil {
			return err
		}
		id, err := b.id(from)
		if err != nil {
			return err
		}
		node, ok := x.Node(id)
		if !ok {
			return b.notThere(from, opts.AsOf)
		}
		ways, err := x.Nearest(ctx, node, opts.Depth, opts.Follow, func(n uint32) bool { return slices.Contains(kinds, x.Kind(n)) })
		if err != nil {
			return err
		}
		if found.More = len(ways) > opts.Limit; found.More {
			ways = ways[:opts.Limit]
		}
		found.Paths, err = b.paths(x, ways)
		return err
	})
	return found, err
}

func (b *book) notThere(a fact.Asset, asOf time.Time) error {
	if id, err := b.id(a); err != nil {
		return err
	} else if err := b.absent(id, a, asOf); err != nil {
		return err
	}
	return fmt.Errorf("%s:%s: %w", a.Kind, a.Key, ErrNotFound)
}

func (b *book) paths(x *Index, ways [][]Hop) ([]Path, error) {
	list := []Path{}
	for _, hops := range ways {
		p := Path{Steps: []PathStep{}}
		for i, hop := range hops {
			a, err := b.asset(x.Asset(hop.Node))
			if err != nil {
				return nil, err
			}
			p.Assets = append(p.Assets, a)
			if i == 0 {
				continue
			}
			step, err := b.step(x, hops[i-1].Node, hop)
			if err != nil {
				return nil, err
			}
			if p.Steps = append(p.Steps, step); i == 1 {
				p.Strength = step.Strength
			}
			p.Strength = weaker(p.Strength, step.Strength)
		}
		list = append(list, p)
	}
	slices.SortStableFunc(list, func(a, b Path) int {
		if c := cmp.Compare(rankOf(a.Strength), rankOf(b.Strength)); c != 0 {
			return c
		}
		return slices.CompareFunc(a.Assets, b.Assets, compareAssets)
	})
	return list, nil
}

// step gives the relation of a hop with its evidence.
func (b *book) step(x *Index, from uint32, hop Hop) (PathStep, error) {
	src, dst := x.Asset(from), x.Asset(hop.Node)
	if hop.Way == Backward {
		src, dst = dst, src
	}
	step := PathStep{Kind: x.Verb(hop.Verb), Backward: hop.Way == Backward, Evidence: []Witness{}}
	var rows []rawEdge
	err := b.both(edgesBetween, pastEdgesBetween, edgeRow(&rows), store.Int(dst), store.Int(int64(hop.Verb)), store.Int(src), store.Int(b.run))
	if err != nil {
		return step, err
	}
	if step.Evidence, err = b.witnesses(rows); err == nil && len(step.Evidence) > 0 {
		step.Strength = step.Evidence[0].Strength
	}
	return step, err
}
