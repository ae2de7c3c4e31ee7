package graph

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
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
	First int64  `json:"first_seen"` // microseconds since 1970 UTC
	Last  int64  `json:"last_seen"`  // by the newest run that covered the scope, or that changed it
	Gone  int64  `json:"gone,omitempty"`
}

// View is an asset with all that is known of it.
type View struct {
	Asset fact.Asset `json:"asset"`
	// Properties join what the sources say; of two that contradict the first by name
	// counts, and Contradictions names both.
	Properties     map[string]string `json:"properties"`
	Contradictions []string          `json:"contradictions"`
	Said           []Said            `json:"said"`
	Out            []Edge            `json:"relations"`
	In             []Edge            `json:"referrers"`
	Claims         []ClaimView       `json:"claims"`
}

// Said is what one source says of an asset.
type Said struct {
	Seen
	Properties map[string]string `json:"properties"`
}

// Edge is one relation of an asset with its other end.
type Edge struct {
	Kind       fact.RelationKind `json:"kind"`
	Other      fact.Asset        `json:"asset"`
	Evidence   fact.Evidence     `json:"evidence"`
	Confidence float64           `json:"confidence,omitempty"`
	Location   *fact.Location    `json:"location,omitempty"`
	Properties map[string]string `json:"properties,omitempty"`
	Seen
}

// ClaimView is one ownership claim.
type ClaimView struct {
	claimDoc
	Seen
	// Via are the assets that it was inherited over, nearest first.
	Via []fact.Asset `json:"via,omitempty"`
}

// Claim gives the claim on a subject.
func (c *ClaimView) Claim(subject fact.Asset) fact.Claim {
	return fact.Claim{Subject: subject, Owner: c.Owner, Role: c.Role, Source: c.Source, Evidence: c.Evidence, Confidence: c.Confidence, Since: c.Since, Until: c.Until}
}

// book holds what reading looks up again and again.
type book struct {
	ctx    context.Context
	tx     store.Tx
	run    int64 // as of this run, 0 for now
	scopes map[int64][2]string
	last   map[int64]int64
	times  map[int64]int64
	assets map[int64]fact.Asset
}

func (g *Graph) read(ctx context.Context, asOf time.Time, fn func(b *book) error) error {
	return g.db.Read(ctx, func(tx store.Tx) error {
		b := &book{ctx: ctx, tx: tx, scopes: map[int64][2]string{}, last: map[int64]int64{}, times: map[int64]int64{}, assets: map[int64]fact.Asset{}}
		if err := tx.Query(ctx, listScopes, func(row store.Row) error {
			b.scopes[row.Int(0)] = [2]string{row.Text(1), row.Text(2)}
			return nil
		}); err != nil {
			return err
		}
		if err := tx.Query(ctx, lastCovered, func(row store.Row) error { b.last[row.Int(0)] = row.Int(1); return nil }); err != nil {
			return err
		}
		if err := tx.Query(ctx, listRuns, func(row store.Row) error {
			b.times[row.Int(0)] = row.Int(1)
			if !asOf.IsZero() && row.Int(1) <= asOf.UnixMicro() {
				b.run = row.Int(0)
			}
			return nil
		}); err != nil {
			return err
		}
		if !asOf.IsZero() && b.run == 0 {
			b.run = -1 // before the first run
		}
		return fn(b)
	})
}

// stands says whether a row stands now, or stood as of the run.
func (b *book) stands(first, gone int64) bool {
	if b.run == 0 {
		return gone == 0
	}
	return first <= b.run && (gone == 0 || gone > b.run)
}

func (b *book) seen(scope, first, changed, gone int64) Seen {
	last := max(changed, first)
	if gone == 0 {
		last = max(last, b.last[scope])
	}
	s := Seen{By: b.scopes[scope][0], Scope: b.scopes[scope][1], First: b.times[first], Last: b.times[last]}
	if gone != 0 {
		s.Gone = b.times[gone]
	}
	return s
}

func (b *book) asset(id int64) (fact.Asset, error) {
	if a, ok := b.assets[id]; ok {
		return a, nil
	}
	var a fact.Asset
	err := b.tx.Query(b.ctx, assetByID, func(row store.Row) error {
		a = fact.Asset{Kind: row.Text(0), Key: row.Text(1), Name: row.Text(2)}
		return nil
	}, store.Int(id))
	b.assets[id] = a
	return a, err
}

func (b *book) text(id int64, into any) error {
	doc := ""
	if err := b.tx.Query(b.ctx, textDoc, func(row store.Row) error { doc = row.Text(0); return nil }, store.Int(id)); err != nil {
		return err
	}
	return json.Unmarshal([]byte(doc), into)
}

// Find looks an asset up: "kind:key", a key or a name, or a part of one. It gives
// all that fit, those that fit wholly only when there are any.
func (g *Graph) Find(ctx context.Context, text string) ([]fact.Asset, error) {
	kind, rest, ok := strings.Cut(text, ":")
	var found []fact.Asset
	collect := func(row store.Row) error {
		found = append(found, fact.Asset{Kind: row.Text(1), Key: row.Text(2), Name: row.Text(3)})
		return nil
	}
	err := g.db.Read(ctx, func(tx store.Tx) error {
		if ok && !strings.Contains(kind, "/") {
			err := tx.Query(ctx, assetsNamed, collect, store.Text(kind), store.Text(rest))
			if err != nil || len(found) > 0 {
				return err
			}
		}
		for _, q := range []struct {
			query *store.Query
			text  string
		}{{assetsNamed, text}, {assetsLike, likePattern(text)}} {
			if err := tx.Query(ctx, q.query, collect, store.Text(""), store.Text(q.text)); err != nil || len(found) > 0 {
				return err
			}
		}
		return nil
	})
	return found, err
}

// Show gives an asset with all that is known of it, now or as of a time.
func (g *Graph) Show(ctx context.Context, asset fact.Asset, asOf time.Time) (View, error) {
	v := View{Asset: asset, Properties: map[string]string{}, Contradictions: []string{}, Said: []Said{}, Out: []Edge{}, In: []Edge{}, Claims: []ClaimView{}}
	err := g.read(ctx, asOf, func(b *book) error {
		id, err := b.id(asset)
		if err != nil {
			return err
		}
		if v.Asset, err = b.asset(id); err != nil {
			return err
		}
		if v.Said, err = b.said(id); err != nil {
			return err
		}
		v.join()
		if v.Out, err = b.edges(edgesOut, id); err != nil {
			return err
		}
		if v.In, err = b.edges(edgesIn, id); err != nil {
			return err
		}
		v.Claims, err = b.claims(id)
		return err
	})
	return v, err
}

func (b *book) id(asset fact.Asset) (int64, error) {
	id := int64(0)
	if err := b.tx.Query(b.ctx, selectAsset, func(row store.Row) error { id = row.Int(0); return nil }, store.Text(asset.Kind), store.Text(asset.Key)); err != nil {
		return 0, err
	}
	if id == 0 {
		return 0, fmt.Errorf("%s:%s: %w", asset.Kind, asset.Key, ErrNotFound)
	}
	return id, nil
}

func (b *book) said(id int64) ([]Said, error) {
	type row struct{ scope, text, first, changed, gone int64 }
	var rows []row
	err := b.tx.Query(b.ctx, nodesOfAsset, func(r store.Row) error {
		rows = append(rows, row{r.Int(0), r.Int(1), r.Int(2), r.Int(3), r.Int(4)})
		return nil
	}, store.Int(id))
	list := []Said{}
	for _, r := range rows {
		if err != nil {
			return nil, err
		}
		if !b.stands(r.first, r.gone) {
			continue
		}
		s := Said{Seen: b.seen(r.scope, r.first, r.changed, r.gone), Properties: map[string]string{}}
		err = b.text(r.text, &s.Properties)
		list = append(list, s)
	}
	slices.SortStableFunc(list, func(a, b Said) int { return cmp.Or(cmp.Compare(a.By, b.By), cmp.Compare(a.Scope, b.Scope)) })
	return list, err
}

// join makes one view of what the sources say.
func (v *View) join() {
	by := map[string]string{}
	for _, s := range v.Said {
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
			value := s.Properties[name]
			switch first, known := v.Properties[name]; {
			case !known:
				v.Properties[name], by[name] = value, s.By
			case first != value:
				v.Contradictions = append(v.Contradictions, fmt.Sprintf("%s: %s says %q, %s says %q", name, by[name], first, s.By, value))
			}
		}
	}
}

func (b *book) edges(query *store.Query, id int64) ([]Edge, error) {
	type row struct {
		scope, other, text, first, changed, gone int64
		kind                                     string
	}
	var rows []row
	err := b.tx.Query(b.ctx, query, func(r store.Row) error {
		rows = append(rows, row{r.Int(0), r.Int(2), r.Int(3), r.Int(4), r.Int(5), r.Int(6), r.Text(1)})
		return nil
	}, store.Int(id))
	list := []Edge{}
	for _, r := range rows {
		if err != nil {
			return nil, err
		}
		if !b.stands(r.first, r.gone) {
			continue
		}
		var doc edgeDoc
		if err = b.text(r.text, &doc); err != nil {
			return nil, err
		}
		e := Edge{Kind: fact.RelationKind(r.kind), Evidence: doc.Evidence, Confidence: doc.Confidence, Location: doc.Location, Properties: doc.Properties, Seen: b.seen(r.scope, r.first, r.changed, r.gone)}
		e.Other, err = b.asset(r.other)
		list = append(list, e)
	}
	slices.SortStableFunc(list, func(a, b Edge) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Other.Kind, b.Other.Kind), cmp.Compare(a.Other.Key, b.Other.Key), cmp.Compare(rankOf(a.Evidence.Strength), rankOf(b.Evidence.Strength)), cmp.Compare(a.By, b.By))
	})
	return list, err
}

func (b *book) claims(id int64) ([]ClaimView, error) {
	type row struct{ scope, text, first, gone int64 }
	var rows []row
	err := b.tx.Query(b.ctx, claimsOf, func(r store.Row) error {
		rows = append(rows, row{r.Int(0), r.Int(1), r.Int(2), r.Int(3)})
		return nil
	}, store.Int(id))
	list := []ClaimView{}
	for _, r := range rows {
		if err != nil {
			return nil, err
		}
		if !b.stands(r.first, r.gone) {
			continue
		}
		c := ClaimView{Seen: b.seen(r.scope, r.first, r.first, r.gone)}
		err = b.text(r.text, &c.claimDoc)
		list = append(list, c)
	}
	slices.SortStableFunc(list, func(a, b ClaimView) int {
		return cmp.Or(cmp.Compare(a.claimDoc.Source, b.claimDoc.Source), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Owner.ID, b.Owner.ID))
	})
	return list, err
}

// maxInherit bounds the steps over which claims are inherited.
const maxInherit = 6

// inherits are the relations over which an asset inherits its owners, forward and
// backward: it is part of a service, a service of a project, an object is controlled
// by another, a workload runs an image that was packaged from a repository.
func inherits(verb fact.RelationKind, way Direction) bool {
	switch verb {
	case fact.PartOf, fact.InstanceOf, fact.PackagedFrom, fact.DeclaredBy, fact.DeclaredAt, fact.InModule:
		return way == Forward
	case fact.Controls:
		return way == Backward
	}
	return false
}

// Claims gives every claim on an asset: its own, and those that it inherits.
func (g *Graph) Claims(ctx context.Context, asset fact.Asset) ([]ClaimView, error) {
	x, err := g.Index(ctx)
	if err != nil {
		return nil, err
	}
	var all []ClaimView
	err = g.read(ctx, time.Time{}, func(b *book) error {
		id, err := b.id(asset)
		if err != nil {
			return err
		}
		type step struct {
			node uint32
			via  []fact.Asset
		}
		from, ok := x.Node(id)
		if !ok {
			all, err = b.claims(id)
			return err
		}
		seen := map[uint32]bool{from: true}
		for queue := []step{{node: from}}; len(queue) > 0; queue = queue[1:] {
			at := queue[0]
			list, err := b.claims(x.Asset(at.node))
			if err != nil {
				return err
			}
			for i := range list {
				list[i].Via = at.via
			}
			all = append(all, list...)
			if len(at.via) >= maxInherit {
				continue
			}
			var next []uint32
			x.Neighbours(at.node, Both, func(to uint32, verb fact.RelationKind, way Direction) bool {
				if inherits(verb, way) && !seen[to] {
					seen[to] = true
					next = append(next, to)
				}
				return true
			})
			for _, to := range next {
				a, err := b.asset(x.Asset(to))
				if err != nil {
					return err
				}
				queue = append(queue, step{to, append(at.via[:len(at.via):len(at.via)], a)})
			}
		}
		return nil
	})
	return all, err
}

// Path is a way from one asset to another.
type Path struct {
	Assets  []fact.Asset  `json:"assets"`
	Steps   []PathStep    `json:"steps"` // one less than assets
	Weakest fact.Strength `json:"strength"`
}

// PathStep is one relation of a path.
type PathStep struct {
	Kind     fact.RelationKind `json:"kind"`
	Backward bool              `json:"backward,omitempty"` // the relation leads the other way
	Evidence []fact.Evidence   `json:"evidence"`           // strongest first
}

// maxPath is how far Paths looks.
const maxPath = 12

// Paths gives the shortest ways between two assets, relations in either direction,
// with the evidence of each step; a path is as strong as its weakest step.
func (g *Graph) Paths(ctx context.Context, from, to fact.Asset, asOf time.Time) ([]Path, error) {
	paths := []Path{}
	err := g.read(ctx, asOf, func(b *book) error {
		x, err := g.indexOf(ctx, b)
		if err != nil {
			return err
		}
		a, err := b.id(from)
		if err != nil {
			return err
		}
		z, err := b.id(to)
		if err != nil {
			return err
		}
		start, ok := x.Node(a)
		end, also := x.Node(z)
		if !ok || !also {
			return nil
		}
		for _, hops := range x.Nearest(start, maxPath, func(fact.RelationKind, Direction) bool { return true }, func(n uint32) bool { return n == end }) {
			p, err := b.path(x, hops)
			if err != nil {
				return err
			}
			paths = append(paths, p)
		}
		return nil
	})
	return paths, err
}

// indexOf gives the index that fits the time of a book.
func (g *Graph) indexOf(ctx context.Context, b *book) (*Index, error) {
	if b.run == 0 {
		return g.Index(ctx)
	}
	return g.load(ctx, b.run)
}

func (b *book) path(x *Index, hops []Hop) (Path, error) {
	p := Path{Weakest: fact.Proven, Steps: []PathStep{}}
	for i, hop := range hops {
		a, err := b.asset(x.Asset(hop.Node))
		if err != nil {
			return p, err
		}
		p.Assets = append(p.Assets, a)
		if i == 0 {
			continue
		}
		src, dst := x.Asset(hops[i-1].Node), x.Asset(hop.Node)
		if hop.Way == Backward {
			src, dst = dst, src
		}
		step := PathStep{Kind: hop.Verb, Backward: hop.Way == Backward, Evidence: []fact.Evidence{}}
		var texts []int64
		err = b.tx.Query(b.ctx, edgesBetween, func(r store.Row) error {
			if b.stands(r.Int(2), r.Int(4)) {
				texts = append(texts, r.Int(1))
			}
			return nil
		}, store.Int(src), store.Text(string(hop.Verb)), store.Int(dst))
		if err != nil {
			return p, err
		}
		for _, text := range texts {
			var doc edgeDoc
			if err := b.text(text, &doc); err != nil {
				return p, err
			}
			step.Evidence = append(step.Evidence, doc.Evidence)
		}
		slices.SortStableFunc(step.Evidence, func(a, b fact.Evidence) int {
			return cmp.Or(cmp.Compare(rankOf(a.Strength), rankOf(b.Strength)), cmp.Compare(a.Source, b.Source))
		})
		if len(step.Evidence) > 0 && rankOf(step.Evidence[0].Strength) > rankOf(p.Weakest) {
			p.Weakest = step.Evidence[0].Strength
		}
		p.Steps = append(p.Steps, step)
	}
	return p, nil
}
