package graph

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"slices"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/store"
)

// cache holds what the scopes of a run look up again and again.
type cache struct {
	assets   map[assetKey]int64
	byID     map[int64]fact.Asset
	evidence map[[16]byte]int64
	kinds    map[fact.RelationKind]int64
	names    []fact.RelationKind // by number
}

type assetKey struct{ kind, key string }

// maxCached bounds each list of a cache.
const maxCached = 200_000

func newCache() *cache {
	c := &cache{}
	c.forget()
	return c
}

func (c *cache) forget() {
	c.assets, c.byID = map[assetKey]int64{}, map[int64]fact.Asset{}
	c.evidence, c.kinds, c.names = map[[16]byte]int64{}, map[fact.RelationKind]int64{}, nil
}

func (c *cache) asset(id int64, a fact.Asset) {
	c.assets[assetKey{a.Kind, a.Key}], c.byID[id] = id, a
}

// change is what a committed scope changed, for the index.
type change struct {
	generation int64
	names      []fact.RelationKind
	nodes      []int64    // that may be new
	edges      [][3]int64 // src, kind, dst that may be new
	lost       []int64    // nodes that no scope holds any longer
	cut        [][3]int64 // relations that no scope holds any longer
	kindOf     map[int64]string
}

// writer merges what a scope holds now with what is stored of it.
type writer struct {
	ctx    context.Context
	tx     store.Tx
	run    int64
	scope  int64
	cache  *cache
	counts [3]Counts
	change *change
}

// row is a fact with its key: an asset; source, kind and target of a relation;
// subject and owner of a claim.
type row struct {
	key [3]int64
	doc string
}

// rows gives facts the ids of what they name, by what they are.
func (w *writer) rows(entries []entry) ([3][]row, error) {
	var rows [3][]row
	if err := w.resolve(entries); err != nil {
		return rows, err
	}
	id := func(a fact.Asset) int64 { return w.cache.assets[assetKey{a.Kind, a.Key}] }
	for i := range entries {
		e := &entries[i]
		r := row{key: [3]int64{id(e.a)}, doc: e.doc}
		switch e.what {
		case whatEdge:
			r.key[1], r.key[2] = w.cache.kinds[e.kind], id(e.b)
		case whatClaim:
			r.key[1] = e.who
		}
		rows[e.what] = append(rows[e.what], r)
	}
	return rows, nil
}

// resolve fills the cache with the assets and kinds that facts name, making those
// that are new in an order that does not depend on that of the facts.
func (w *writer) resolve(entries []entry) error {
	if len(w.cache.assets) > maxCached {
		clear(w.cache.assets)
		clear(w.cache.byID)
	}
	known, newKinds := map[assetKey]string{}, map[fact.RelationKind]bool{}
	for i := range entries {
		e := &entries[i]
		if e.what != whatNode {
			if e.what == whatEdge && w.cache.kinds[e.kind] == 0 {
				newKinds[e.kind] = true
			}
			continue // its ends are nodes too
		}
		key := assetKey{e.a.Kind, e.a.Key}
		if _, ok := w.cache.assets[key]; ok {
			continue
		}
		if name, ok := known[key]; !ok || name == "" || e.a.Name != "" && e.a.Name < name {
			known[key] = e.a.Name
		}
	}
	var missing []assetKey
	for key := range known {
		found, name := int64(0), ""
		err := w.tx.Query(w.ctx, selectAsset, func(r store.Row) error { found, name = r.Int(0), r.Text(1); return nil }, store.Text(key.kind), store.Text(key.key))
		if err != nil {
			return err
		}
		if found == 0 {
			missing = append(missing, key)
			continue
		}
		w.cache.asset(found, fact.Asset{Kind: key.kind, Key: key.key, Name: name})
	}
	slices.SortFunc(missing, func(a, b assetKey) int { return cmp.Or(cmp.Compare(a.kind, b.kind), cmp.Compare(a.key, b.key)) })
	if len(missing) > 0 {
		id, err := store.ReserveIDs(w.ctx, w.tx, "asset", int64(len(missing)))
		if err != nil {
			return err
		}
		for _, key := range missing {
			if _, err := w.tx.Exec(w.ctx, insertAsset, store.Int(id), store.Text(key.kind), store.Text(key.key), store.Text(known[key])); err != nil {
				return err
			}
			w.cache.asset(id, fact.Asset{Kind: key.kind, Key: key.key, Name: known[key]})
			id++
		}
	}
	return w.resolveKinds(newKinds)
}

func (w *writer) resolveKinds(wanted map[fact.RelationKind]bool) error {
	if len(wanted) == 0 && w.cache.names != nil {
		return nil
	}
	names, err := kinds(w.ctx, w.tx)
	if err != nil {
		return err
	}
	for _, name := range names {
		delete(wanted, name)
	}
	var missing []fact.RelationKind
	for name := range wanted {
		missing = append(missing, name)
	}
	slices.Sort(missing)
	for _, name := range missing {
		if len(names) > maxKinds {
			return fmt.Errorf("relation %q: there are %d kinds of relations already, which is as many as a graph holds", name, maxKinds)
		}
		if _, err := w.tx.Exec(w.ctx, insertKind, store.Int(int64(len(names))), store.Text(string(name))); err != nil {
			return err
		}
		names = append(names, name)
	}
	w.cache.names = names
	for n, name := range names {
		if n > 0 {
			w.cache.kinds[name] = int64(n)
		}
	}
	return nil
}

// stage puts the facts of a scope aside.
func (w *writer) stage(s *scope) error {
	rows, err := w.rows(s.entries)
	if err != nil {
		return err
	}
	n := s.staged
	for what, list := range rows {
		for _, row := range list {
			if _, err := w.tx.Exec(w.ctx, insertStage, store.Int(w.scope), store.Int(int64(what)), store.Int(row.key[0]), store.Int(row.key[1]), store.Int(row.key[2]),
				store.Int(int64(n)), store.Text(row.doc)); err != nil {
				return err
			}
			n++
		}
	}
	return nil
}

// pageSize is how many stored rows are held at once.
const pageSize = 4096

// merge writes the difference between what a scope holds now and what is stored.
func (w *writer) merge(s *scope, whole bool) error {
	w.change = &change{kindOf: map[int64]string{}}
	var rows [3][]row
	var err error
	if s.staged > 0 {
		err = w.stage(s)
	} else {
		rows, err = w.rows(s.entries)
	}
	if err != nil {
		return err
	}
	if err := w.resolveKinds(nil); err != nil {
		return err
	}
	for what, table := range tables {
		next := fromRows(rows[what])
		if s.staged > 0 {
			next = w.fromStage(int64(what))
		}
		if err := w.mergeTable(&table, grouped(next, table.combine), whole); err != nil {
			return err
		}
	}
	if s.staged > 0 {
		if _, err := w.tx.Exec(w.ctx, clearStage, store.Int(w.scope)); err != nil {
			return err
		}
	}
	if err := w.forgetLost(); err != nil {
		return err
	}
	if whole {
		if _, err := w.tx.Exec(w.ctx, coverScope, store.Int(w.scope), store.Int(w.run)); err != nil {
			return err
		}
	}
	if w.counts[whatNode].Written()+w.counts[whatEdge].Written() == 0 {
		return nil
	}
	first, err := store.ReserveIDs(w.ctx, w.tx, "graph_change", 1)
	w.change.generation, w.change.names = first+1, w.cache.names
	return err
}

// next gives rows one by one, in the order of their keys.
type next func() (r row, ok bool, err error)

func compareKeys(a, b [3]int64) int { return slices.Compare(a[:], b[:]) }

func fromRows(rows []row) next {
	slices.SortFunc(rows, func(a, b row) int { return compareKeys(a.key, b.key) })
	return func() (row, bool, error) {
		if len(rows) == 0 {
			return row{}, false, nil
		}
		r := rows[0]
		rows = rows[1:]
		return r, true, nil
	}
}

func (w *writer) fromStage(what int64) next {
	var page []row
	last, n, ended := [3]int64{math.MinInt64, math.MinInt64, math.MinInt64}, int64(math.MinInt64), false
	return func() (row, bool, error) {
		if len(page) == 0 && !ended {
			err := w.tx.Query(w.ctx, stagePage, func(r store.Row) error {
				last, n = [3]int64{r.Int(0), r.Int(1), r.Int(2)}, r.Int(3)
				page = append(page, row{last, r.Text(4)})
				return nil
			}, store.Int(w.scope), store.Int(what), store.Int(last[0]), store.Int(last[1]), store.Int(last[2]), store.Int(n), store.Int(pageSize))
			if err != nil {
				return row{}, false, err
			}
			ended = len(page) < pageSize
		}
		if len(page) == 0 {
			return row{}, false, nil
		}
		r := page[0]
		page = page[1:]
		return r, true, nil
	}
}

// grouped joins what was said of one key.
func grouped(from next, combine func(docs []string) (string, error)) next {
	waiting, ok, err := from()
	return func() (row, bool, error) {
		if err != nil || !ok {
			return row{}, false, err
		}
		r, docs := waiting, []string(nil)
		for {
			if waiting, ok, err = from(); err != nil {
				return row{}, false, err
			}
			if !ok || waiting.key != r.key {
				break
			}
			if docs == nil {
				docs = append(docs, r.doc)
			}
			docs = append(docs, waiting.doc)
		}
		if docs == nil {
			return r, true, nil
		}
		slices.Sort(docs)
		if docs = slices.Compact(docs); len(docs) == 1 {
			return row{r.key, docs[0]}, true, nil
		}
		var failed error
		r.doc, failed = combine(docs)
		return r, true, failed
	}
}

// combineNodes joins what one scope says of an asset. A name given with its own
// facts counts before one given in passing.
func combineNodes(docs []string) (string, error) {
	all := nodeDoc{End: true}
	passing := ""
	smaller := func(a, b string) string {
		if a == "" || b != "" && b < a {
			return b
		}
		return a
	}
	for _, doc := range docs {
		var n nodeDoc
		if err := json.Unmarshal([]byte(doc), &n); err != nil {
			return "", err
		}
		if n.End {
			passing = smaller(passing, n.Name)
			continue
		}
		all.End = false
		all.Name = smaller(all.Name, n.Name)
		for name, value := range n.Properties {
			if all.Properties == nil {
				all.Properties = map[string]string{}
			}
			if known, ok := all.Properties[name]; !ok || value < known {
				all.Properties[name] = value
			}
		}
	}
	if all.Name == "" {
		all.Name = passing
	}
	return encode(all)
}

// strongest gives the document with the strongest evidence; among equals that with
// the highest confidence, then the smallest.
func strongest(docs []string) (string, error) {
	best, bestRank, bestConfidence := "", 0, 0.0
	for _, doc := range docs {
		var e struct {
			Evidence   fact.Evidence `json:"evidence"`
			Confidence float64       `json:"confidence"`
		}
		if err := json.Unmarshal([]byte(doc), &e); err != nil {
			return "", err
		}
		rank, sure := rankOf(e.Evidence.Strength), confidence(e.Confidence, e.Evidence)
		if best == "" || rank < bestRank || rank == bestRank && sure > bestConfidence {
			best, bestRank, bestConfidence = doc, rank, sure
		}
	}
	return best, nil
}

// table is how one kind of fact is stored. The queries of all take their arguments
// in the same order.
type table struct {
	what                             what
	width                            int // of the key
	page, insert, change, bury, past *store.Query
	combine                          func(docs []string) (string, error)
}

var tables = [3]table{
	{whatNode, 1, queries.Named("nodes_page"), queries.Named("insert_node"), queries.Named("change_node"), queries.Named("bury_node"), queries.Named("past_node"), combineNodes},
	{whatEdge, 3, queries.Named("edges_page"), queries.Named("insert_edge"), queries.Named("change_edge"), queries.Named("bury_edge"), queries.Named("past_edge"), strongest},
	{whatClaim, 2, queries.Named("claims_page"), queries.Named("insert_claim"), queries.Named("change_claim"), queries.Named("bury_claim"), queries.Named("past_claim"), strongest},
}

// stored is a row as it is stored. Relations hold the number of their evidence, the
// others their document.
type stored struct {
	key         [3]int64
	id          int64
	doc         string
	since, gone int64
}

func (t *table) value(id int64, doc string) store.Value {
	if t.what == whatEdge {
		return store.Int(id)
	}
	return store.Text(doc)
}

func (t *table) key(args []store.Value, key [3]int64) []store.Value {
	for _, part := range key[:t.width] {
		args = append(args, store.Int(part))
	}
	return args
}

// pages reads the stored rows of a scope.
func (w *writer) pages(t *table) func() (stored, bool, error) {
	var page []stored
	last, ended := [3]int64{math.MinInt64, math.MinInt64, math.MinInt64}, false
	return func() (stored, bool, error) {
		if len(page) == 0 && !ended {
			args := append(t.key([]store.Value{store.Int(w.scope)}, last), store.Int(pageSize))
			err := w.tx.Query(w.ctx, t.page, func(r store.Row) error {
				s := stored{since: r.Int(t.width + 1), gone: r.Int(t.width + 2)}
				for i := range t.width {
					s.key[i] = r.Int(i)
				}
				if t.what == whatEdge {
					s.id = r.Int(t.width)
				} else {
					s.doc = r.Text(t.width)
				}
				page, last = append(page, s), s.key
				return nil
			}, args...)
			if err != nil {
				return stored{}, false, err
			}
			ended = len(page) < pageSize
		}
		if len(page) == 0 {
			return stored{}, false, nil
		}
		s := page[0]
		page = page[1:]
		return s, true, nil
	}
}

func (w *writer) mergeTable(t *table, from next, whole bool) error {
	before := w.pages(t)
	fresh, more, err := from()
	if err != nil {
		return err
	}
	old, there, err := before()
	for err == nil && (more || there) {
		order := 1
		switch {
		case more && there:
			order = compareKeys(fresh.key, old.key)
		case more:
			order = -1
		}
		if order <= 0 {
			var was *stored
			if order == 0 {
				was = &old
			}
			if was != nil && !whole && t.what == whatNode && was.gone == 0 && passing(fresh.doc) && !passing(was.doc) {
				// Half a look that met an asset in passing takes nothing back.
				fresh.doc = was.doc
			}
			if err = w.put(t, fresh, was); err != nil {
				return err
			}
			fresh, more, err = from()
		} else if whole && old.gone == 0 {
			err = w.goes(t, &old)
		}
		if order >= 0 && err == nil {
			old, there, err = before()
		}
	}
	return err
}

// passing says whether a document names an asset only in passing.
func passing(doc string) bool {
	var n nodeDoc
	return json.Unmarshal([]byte(doc), &n) == nil && n.End
}

// put writes a fact that is new, differs or is there again.
func (w *writer) put(t *table, r row, was *stored) error {
	count := &w.counts[t.what]
	id := int64(0)
	if t.what == whatEdge {
		var err error
		if id, err = w.evidence(r.doc); err != nil {
			return err
		}
	}
	value := t.value(id, r.doc)
	switch {
	case was == nil:
		count.New++
		args := append(t.key([]store.Value{store.Int(w.scope)}, r.key), value, store.Int(w.run))
		if _, err := w.tx.Exec(w.ctx, t.insert, args...); err != nil {
			return err
		}
	case was.gone == 0 && was.id == id && (t.what == whatEdge || was.doc == r.doc):
		count.Unchanged++
		return nil
	default:
		count.Changed++
		until := was.gone
		if until == 0 {
			until = w.run
		}
		if was.since < until {
			args := append(t.key([]store.Value{store.Int(w.scope)}, r.key), store.Int(was.since), store.Int(until), t.value(was.id, was.doc))
			if _, err := w.tx.Exec(w.ctx, t.past, args...); err != nil {
				return err
			}
		}
		args := t.key([]store.Value{value, store.Int(w.run), store.Int(w.scope)}, r.key)
		if _, err := w.tx.Exec(w.ctx, t.change, args...); err != nil {
			return err
		}
	}
	switch t.what {
	case whatEdge:
		if was == nil || was.gone != 0 {
			w.change.edges = append(w.change.edges, r.key)
		}
	case whatNode:
		if was == nil || was.gone != 0 {
			w.change.nodes = append(w.change.nodes, r.key[0])
		}
		return w.rename(r)
	}
	return nil
}

func (w *writer) goes(t *table, old *stored) error {
	w.counts[t.what].Gone++
	switch t.what {
	case whatNode:
		w.change.lost = append(w.change.lost, old.key[0])
	case whatEdge:
		w.change.cut = append(w.change.cut, old.key)
	}
	_, err := w.tx.Exec(w.ctx, t.bury, t.key([]store.Value{store.Int(w.run), store.Int(w.scope)}, old.key)...)
	return err
}

// rename gives an asset the name that its sources agree on by their order, when a
// scope says another than the stored one.
func (w *writer) rename(r row) error {
	var n nodeDoc
	if err := json.Unmarshal([]byte(r.doc), &n); err != nil {
		return err
	}
	b := newBook(w.ctx, w.tx, math.MaxInt64)
	a, known := w.cache.byID[r.key[0]]
	if !known {
		var err error
		if a, err = b.asset(r.key[0]); err != nil {
			return err
		}
	}
	w.change.kindOf[r.key[0]] = a.Kind
	if n.Name == "" || n.Name == a.Name {
		return nil
	}
	said, err := b.said(r.key[0])
	if err != nil {
		return err
	}
	if name := nameOf(said); name != "" && name != a.Name {
		if _, err := w.tx.Exec(w.ctx, renameAsset, store.Text(name), store.Int(r.key[0])); err != nil {
			return err
		}
		a.Name = name
		w.cache.asset(r.key[0], a)
	}
	return nil
}

// forgetLost drops from what is lost that which another scope still holds.
func (w *writer) forgetLost() error {
	lives := func(query *store.Query, args ...store.Value) (bool, error) {
		n, err := number(w.ctx, w.tx, query, args...)
		return n != 0, err
	}
	var err error
	keep := func(alive bool, failed error) bool {
		if failed != nil {
			err = failed
		}
		return alive
	}
	w.change.lost = slices.DeleteFunc(w.change.lost, func(id int64) bool { return err == nil && keep(lives(nodeLives, store.Int(id))) })
	w.change.cut = slices.DeleteFunc(w.change.cut, func(k [3]int64) bool {
		return err == nil && keep(lives(edgeLives, store.Int(k[2]), store.Int(k[1]), store.Int(k[0])))
	})
	return err
}

// evidence gives the number of a document, storing it when it is new.
func (w *writer) evidence(doc string) (int64, error) {
	sum := sha256.Sum256([]byte(doc))
	key := [16]byte(sum[:16])
	if id, ok := w.cache.evidence[key]; ok {
		return id, nil
	}
	id, err := number(w.ctx, w.tx, selectEvidence, store.Blob(key[:]))
	if err != nil {
		return 0, err
	}
	if id == 0 {
		if id, err = store.ReserveIDs(w.ctx, w.tx, "evidence", 1); err != nil {
			return 0, err
		}
		if _, err := w.tx.Exec(w.ctx, insertEvidence, store.Int(id), store.Blob(key[:]), store.Text(doc)); err != nil {
			return 0, err
		}
	}
	if len(w.cache.evidence) >= maxCached {
		clear(w.cache.evidence)
	}
	w.cache.evidence[key] = id
	return id, nil
}
