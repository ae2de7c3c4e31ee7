// Package graph is the security graph: assets, the relations between them and who
// claims to own them, each with the evidence for it.
//
// Facts come in runs of sources. A source reads in scopes; what an earlier run saw
// in a scope is gone only when a later run covered that scope and did not see it
// (law 2), so that a look that failed half way deletes nothing. Several scopes may
// say the same of an asset: it is gone when all of them say so. Every relation has
// evidence (law 3); rows that did not change are not written again, "last seen" is
// that of the newest run that covered the scope.
//
// An Index answers walks from memory: a compressed adjacency list in both
// directions of about 14 bytes an edge, made from SQL, replaced as a whole when
// something changed, so that readers never lock.
package graph

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/store"
)

//go:embed queries.sql
var queryText string

var queries = store.ParseQueries("graph", queryText)

// Queries lists the queries of this package, for the conformance suite.
func Queries() *store.Queries { return queries }

var (
	selectSource  = queries.Named("source")
	insertSource  = queries.Named("insert_source")
	listSources   = queries.Named("sources")
	selectScope   = queries.Named("scope")
	insertScope   = queries.Named("insert_scope")
	listScopes    = queries.Named("scopes")
	openRun       = queries.Named("open_run")
	lastRun       = queries.Named("last_run")
	insertRun     = queries.Named("insert_run")
	finishRun     = queries.Named("finish_run")
	listRuns      = queries.Named("runs")
	listCovered   = queries.Named("covered")
	coverScope    = queries.Named("cover")
	lastCovered   = queries.Named("last_covered")
	selectAsset   = queries.Named("asset")
	insertAsset   = queries.Named("insert_asset")
	renameAsset   = queries.Named("rename_asset")
	assetByID     = queries.Named("asset_by_id")
	assetsNamed   = queries.Named("assets_named")
	assetsLike    = queries.Named("assets_like")
	selectText    = queries.Named("text")
	insertText    = queries.Named("insert_text")
	textDoc       = queries.Named("text_doc")
	nodesOfScope  = queries.Named("nodes_of_scope")
	insertNode    = queries.Named("insert_node")
	changeNode    = queries.Named("change_node")
	buryNode      = queries.Named("bury_node")
	nodesOfAsset  = queries.Named("nodes_of_asset")
	edgesOfScope  = queries.Named("edges_of_scope")
	insertEdge    = queries.Named("insert_edge")
	changeEdge    = queries.Named("change_edge")
	buryEdge      = queries.Named("bury_edge")
	edgesOut      = queries.Named("edges_out")
	edgesIn       = queries.Named("edges_in")
	edgesBetween  = queries.Named("edges_between")
	liveEdges     = queries.Named("live_edges")
	edgesAsOf     = queries.Named("edges_as_of")
	liveAssets    = queries.Named("live_assets")
	assetsAsOf    = queries.Named("assets_as_of")
	kindOfAsset   = queries.Named("kind_of_asset")
	claimsOfScope = queries.Named("claims_of_scope")
	insertClaim   = queries.Named("insert_claim")
	reviveClaim   = queries.Named("revive_claim")
	buryClaim     = queries.Named("bury_claim")
	claimsOf      = queries.Named("claims_of_subject")
)

// Graph is the graph of one database. It is safe for concurrent use.
type Graph struct {
	db    store.Engine
	index atomic.Pointer[Index]
	build sync.Mutex
}

// Open prepares the graph of a database. The index is made when it is first asked
// for.
func Open(db store.Engine) *Graph { return &Graph{db: db} }

// Errors of the graph.
var (
	ErrNoEvidence = errors.New("a relation needs evidence with method, source and strength")
	ErrNotFound   = errors.New("there is no such asset")
)

// maxHeld bounds the facts of one run that wait to be written.
const maxHeld = 5_000_000

// Run is one run of a source that writes into the graph. It is safe for concurrent
// use.
type Run struct {
	g    *Graph
	ctx  context.Context
	now  time.Time
	name string

	mu      sync.Mutex
	id      int64
	source  int64
	scopes  map[string]*held
	done    map[string]bool // covered before, by the run that is resumed
	held    int
	summary Summary
}

// held are the facts of a scope that wait to be written.
type held struct {
	nodes  map[[2]string]fact.Node
	edges  map[edgeID]fact.Relation
	claims []fact.Claim
	gaps   []string
}

type edgeID struct {
	from, to [2]string
	kind     fact.RelationKind
}

// Summary says what a run changed.
type Summary struct {
	Run    int64    `json:"run"`
	Nodes  Counts   `json:"assets"`
	Edges  Counts   `json:"relations"`
	Claims Counts   `json:"claims"`
	Scopes int      `json:"scopes"` // that were covered
	Gaps   []string `json:"gaps"`   // "scope: why", of scopes that were not
	Notes  []string `json:"notes"`
}

// Counts count rows.
type Counts struct {
	New       int `json:"new"`
	Changed   int `json:"changed"`
	Gone      int `json:"gone"`
	Unchanged int `json:"unchanged"`
}

// Written counts the rows that were written.
func (c Counts) Written() int { return c.New + c.Changed + c.Gone }

// Begin starts a run of a named source, or takes up the one that was cut off.
func (g *Graph) Begin(ctx context.Context, source string, now time.Time) (*Run, error) {
	r := &Run{g: g, ctx: ctx, now: now, name: source, scopes: map[string]*held{}, done: map[string]bool{}}
	err := g.db.Write(ctx, store.Replayable, func(tx store.Tx) error {
		var err error
		if r.source, err = ensure(ctx, tx, "source", selectSource, insertSource, store.Text(source)); err != nil {
			return err
		}
		r.id = 0
		if err := tx.Query(ctx, openRun, func(row store.Row) error { r.id = row.Int(0); return nil }, store.Int(r.source)); err != nil {
			return err
		}
		if r.id != 0 {
			return tx.Query(ctx, listCovered, func(row store.Row) error { r.done[row.Text(0)] = true; return nil }, store.Int(r.id))
		}
		if r.id, err = store.ReserveIDs(ctx, tx, "source_run", 1); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, insertRun, store.Int(r.id), store.Int(r.source), store.Int(now.UnixMicro()))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("run of %s: %w", source, err)
	}
	r.summary.Run = r.id
	return r, nil
}

// ensure gives the id of a row found by its key, inserting it when there is none.
func ensure(ctx context.Context, tx store.Tx, sequence string, find, insert *store.Query, key ...store.Value) (id int64, err error) {
	if err := tx.Query(ctx, find, func(row store.Row) error { id = row.Int(0); return nil }, key...); err != nil || id != 0 {
		return id, err
	}
	if id, err = store.ReserveIDs(ctx, tx, sequence, 1); err != nil {
		return 0, err
	}
	_, err = tx.Exec(ctx, insert, append([]store.Value{store.Int(id)}, key...)...)
	return id, err
}

// Done says whether the run that this one takes up covered a scope.
func (r *Run) Done(scope string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done[scope]
}

// Resumed says whether an earlier run was taken up.
func (r *Run) Resumed() bool { return len(r.done) > 0 }

func (r *Run) scope(name string) *held {
	h := r.scopes[name]
	if h == nil {
		h = &held{nodes: map[[2]string]fact.Node{}, edges: map[edgeID]fact.Relation{}}
		r.scopes[name] = h
	}
	return h
}

func (r *Run) hold() error {
	if r.held++; r.held > maxHeld {
		return fmt.Errorf("source %s gave more than %d facts without covering a scope", r.name, maxHeld)
	}
	return r.ctx.Err()
}

func checkAsset(a fact.Asset) error {
	if a.Kind == "" || a.Key == "" || len(a.Key) > 4096 {
		return fmt.Errorf("asset %q %.80q: expected a kind and a key of at most 4096 bytes", a.Kind, a.Key)
	}
	return nil
}

// Node takes an asset with what the scope says of it. Said twice in one scope, the
// properties are joined.
func (r *Run) Node(scope string, node fact.Node) error {
	if err := checkAsset(node.Asset); err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.scope(scope)
	key := [2]string{node.Kind, node.Key}
	known, twice := h.nodes[key]
	if twice {
		if known.Name == "" {
			known.Name = node.Name
		}
		joined := maps.Clone(known.Properties)
		if joined == nil {
			joined = map[string]string{}
		}
		maps.Copy(joined, node.Properties)
		known.Properties = joined
		h.nodes[key] = known
		return r.ctx.Err()
	}
	h.nodes[key] = node
	return r.hold()
}

// Relation takes an edge; its ends become assets when no scope told of them. Of
// two with the same ends and kind the one with the stronger evidence counts.
func (r *Run) Relation(scope string, relation fact.Relation) error {
	if err := errors.Join(checkAsset(relation.From), checkAsset(relation.To)); err != nil {
		return err
	}
	if relation.Kind == "" || relation.Evidence.Method == "" || relation.Evidence.Source == "" || relation.Evidence.Strength == "" {
		return fmt.Errorf("%s %s %s: %w", relation.From.Key, relation.Kind, relation.To.Key, ErrNoEvidence)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.scope(scope)
	id := edgeID{[2]string{relation.From.Kind, relation.From.Key}, [2]string{relation.To.Kind, relation.To.Key}, relation.Kind}
	if known, twice := h.edges[id]; twice && rankOf(known.Evidence.Strength) <= rankOf(relation.Evidence.Strength) {
		return r.ctx.Err()
	}
	h.edges[id] = relation
	return r.hold()
}

// rankOf orders strengths, the strongest first.
func rankOf(s fact.Strength) int {
	at := slices.Index([]fact.Strength{fact.Proven, fact.Attested, fact.Declared, fact.Derived, fact.Guess}, s)
	if at < 0 {
		return 5
	}
	return at
}

// Claim takes an ownership claim.
func (r *Run) Claim(scope string, claim fact.Claim) error {
	if err := checkAsset(claim.Subject); err != nil {
		return err
	}
	if claim.Owner.ID == "" || claim.Owner.Kind == "" || claim.Source == "" {
		return fmt.Errorf("claim on %s: expected an owner's kind and id, and a source", claim.Subject.Key)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.scope(scope)
	h.claims = append(h.claims, claim)
	return r.hold()
}

// Gap notes that a scope could not be read, or only in part: what it gave is kept,
// and nothing of it is gone.
func (r *Run) Gap(scope string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	h := r.scope(scope)
	h.gaps = append(h.gaps, err.Error())
	if text := scope + ": " + err.Error(); !slices.Contains(r.summary.Gaps, text) {
		r.summary.Gaps = append(r.summary.Gaps, text)
	}
}

// Note keeps something odd for people.
func (r *Run) Note(scope, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.summary.Notes = append(r.summary.Notes, scope+": "+text)
}

// Covered writes a scope that was given whole: what it no longer holds is gone.
// A scope with a gap is written, and nothing of it is gone.
func (r *Run) Covered(scope string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.write(scope, true)
}

// write writes a scope in one transaction.
func (r *Run) write(scope string, whole bool) error {
	h := r.scope(scope)
	whole = whole && len(h.gaps) == 0
	var counts [3]Counts
	err := r.g.db.Write(r.ctx, store.Replayable, func(tx store.Tx) error {
		w := &writer{ctx: r.ctx, tx: tx, run: r.id, whole: whole, assets: map[[2]string]int64{}, texts: map[[32]byte]int64{}}
		scopeID, err := ensure(r.ctx, tx, "source_scope", selectScope, insertScope, store.Int(r.source), store.Text(scope))
		if err != nil {
			return err
		}
		w.scope = scopeID
		if err := w.nodes(h); err != nil {
			return err
		}
		if err := w.edges(h); err != nil {
			return err
		}
		if err := w.claims(h); err != nil {
			return err
		}
		counts = w.counts
		if whole {
			_, err = tx.Exec(r.ctx, coverScope, store.Int(scopeID), store.Int(r.id))
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("scope %s of %s: %w", scope, r.name, err)
	}
	r.held -= len(h.nodes) + len(h.edges) + len(h.claims)
	delete(r.scopes, scope)
	r.summary.Nodes.add(counts[0])
	r.summary.Edges.add(counts[1])
	r.summary.Claims.add(counts[2])
	if whole {
		r.summary.Scopes++
		r.done[scope] = true
	}
	return nil
}

func (c *Counts) add(other Counts) {
	c.New += other.New
	c.Changed += other.Changed
	c.Gone += other.Gone
	c.Unchanged += other.Unchanged
}

// Finish ends the run: scopes that were neither covered nor a gap are written as
// seen in part. The index is made anew when it is next asked for.
func (r *Run) Finish() (Summary, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	names := slices.Sorted(maps.Keys(r.scopes))
	for _, name := range names {
		if err := r.write(name, false); err != nil {
			return r.summary, err
		}
	}
	err := r.g.db.Write(r.ctx, store.Replayable, func(tx store.Tx) error {
		_, err := tx.Exec(r.ctx, finishRun, store.Int(r.now.UnixMicro()), store.Int(r.id))
		return err
	})
	slices.Sort(r.summary.Gaps)
	slices.Sort(r.summary.Notes)
	r.summary.Notes = slices.Compact(r.summary.Notes)
	if r.summary.Nodes.Written()+r.summary.Edges.Written() > 0 {
		r.g.index.Store(nil)
	}
	return r.summary, err
}

// Suspend ends the work without ending the run, so that it can be taken up later:
// covered scopes stay, the rest is dropped.
func (r *Run) Suspend() {
	r.mu.Lock()
	defer r.mu.Unlock()
	clear(r.scopes)
	r.held = 0
	r.g.index.Store(nil)
}

// writer merges one scope with what is stored of it.
type writer struct {
	ctx    context.Context
	tx     store.Tx
	run    int64
	scope  int64
	whole  bool
	assets map[[2]string]int64
	texts  map[[32]byte]int64
	counts [3]Counts
}

// asset gives the id of an asset, making it when it is new; a name that is known
// now replaces none.
func (w *writer) asset(a fact.Asset) (int64, error) {
	key := [2]string{a.Kind, a.Key}
	if id, ok := w.assets[key]; ok {
		return id, nil
	}
	id, name := int64(0), ""
	if err := w.tx.Query(w.ctx, selectAsset, func(row store.Row) error { id, name = row.Int(0), row.Text(1); return nil }, store.Text(a.Kind), store.Text(a.Key)); err != nil {
		return 0, err
	}
	switch {
	case id == 0:
		var err error
		if id, err = store.ReserveIDs(w.ctx, w.tx, "asset", 1); err != nil {
			return 0, err
		}
		if _, err := w.tx.Exec(w.ctx, insertAsset, store.Int(id), store.Text(a.Kind), store.Text(a.Key), store.Text(a.Name)); err != nil {
			return 0, err
		}
	case name == "" && a.Name != "":
		if _, err := w.tx.Exec(w.ctx, renameAsset, store.Text(a.Name), store.Int(id)); err != nil {
			return 0, err
		}
	}
	w.assets[key] = id
	return id, nil
}

// text gives the id of a document, storing it when it is new.
func (w *writer) text(doc any) (int64, error) {
	data, err := encode(doc)
	if err != nil {
		return 0, err
	}
	digest := sha256.Sum256(data)
	if id, ok := w.texts[digest]; ok {
		return id, nil
	}
	id := int64(0)
	if err := w.tx.Query(w.ctx, selectText, func(row store.Row) error { id = row.Int(0); return nil }, store.Blob(digest[:])); err != nil {
		return 0, err
	}
	if id == 0 {
		if id, err = store.ReserveIDs(w.ctx, w.tx, "graph_text", 1); err != nil {
			return 0, err
		}
		if _, err := w.tx.Exec(w.ctx, insertText, store.Int(id), store.Blob(digest[:]), store.Text(string(data))); err != nil {
			return 0, err
		}
	}
	w.texts[digest] = id
	return id, nil
}

// encode writes plain data as JSON with sorted keys; text that is not UTF-8 is made
// so.
func encode(doc any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(doc); err != nil {
		return nil, err
	}
	return bytes.TrimSpace(out.Bytes()), nil
}

type storedNode struct{ text, gone int64 }

func (w *writer) nodes(h *held) error {
	stored := map[int64]storedNode{}
	err := w.tx.Query(w.ctx, nodesOfScope, func(row store.Row) error {
		stored[row.Int(0)] = storedNode{row.Int(1), row.Int(2)}
		return nil
	}, store.Int(w.scope))
	if err != nil {
		return err
	}
	// Ends of relations are assets too, though nothing more is said of them.
	for id, relation := range h.edges {
		for key, a := range map[[2]string]fact.Asset{id.from: relation.From, id.to: relation.To} {
			if _, ok := h.nodes[key]; !ok {
				h.nodes[key] = fact.Node{Asset: a}
			}
		}
	}
	count := &w.counts[0]
	seen := map[int64]bool{}
	for _, key := range slices.SortedFunc(maps.Keys(h.nodes), comparePairs) {
		node := h.nodes[key]
		id, err := w.asset(node.Asset)
		if err != nil {
			return err
		}
		properties := node.Properties
		if properties == nil {
			properties = map[string]string{}
		}
		text, err := w.text(properties)
		if err != nil {
			return err
		}
		seen[id] = true
		before, known := stored[id]
		switch {
		case !known:
			count.New++
			_, err = w.tx.Exec(w.ctx, insertNode, store.Int(w.scope), store.Int(id), store.Int(text), store.Int(w.run), store.Int(w.run))
		case before.text != text || before.gone != 0:
			count.Changed++
			_, err = w.tx.Exec(w.ctx, changeNode, store.Int(text), store.Int(w.run), store.Int(w.scope), store.Int(id))
		default:
			count.Unchanged++
		}
		if err != nil {
			return err
		}
	}
	if !w.whole {
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(stored)) {
		if seen[id] || stored[id].gone != 0 {
			continue
		}
		count.Gone++
		if _, err := w.tx.Exec(w.ctx, buryNode, store.Int(w.run), store.Int(w.scope), store.Int(id)); err != nil {
			return err
		}
	}
	return nil
}

func comparePairs(a, b [2]string) int { return slices.Compare(a[:], b[:]) }

// edgeDoc is what is kept of a relation beyond its ends.
type edgeDoc struct {
	Evidence   fact.Evidence     `json:"evidence"`
	Confidence float64           `json:"confidence,omitempty"`
	Location   *fact.Location    `json:"location,omitempty"`
	Properties map[string]string `json:"properties,omitempty"`
}

type storedEdge struct {
	src, dst int64
	kind     string
}

func (w *writer) edges(h *held) error {
	stored := map[storedEdge]storedNode{}
	err := w.tx.Query(w.ctx, edgesOfScope, func(row store.Row) error {
		stored[storedEdge{row.Int(0), row.Int(2), row.Text(1)}] = storedNode{row.Int(3), row.Int(4)}
		return nil
	}, store.Int(w.scope))
	if err != nil {
		return err
	}
	count := &w.counts[1]
	seen := map[storedEdge]bool{}
	ids := slices.SortedFunc(maps.Keys(h.edges), func(a, b edgeID) int {
		return slices.Compare([]string{a.from[0], a.from[1], string(a.kind), a.to[0], a.to[1]}, []string{b.from[0], b.from[1], string(b.kind), b.to[0], b.to[1]})
	})
	for _, id := range ids {
		relation := h.edges[id]
		src, err := w.asset(relation.From)
		if err != nil {
			return err
		}
		dst, err := w.asset(relation.To)
		if err != nil {
			return err
		}
		text, err := w.text(edgeDoc{relation.Evidence, relation.Confidence, relation.Location, relation.Properties})
		if err != nil {
			return err
		}
		key := storedEdge{src, dst, string(relation.Kind)}
		seen[key] = true
		before, known := stored[key]
		switch {
		case !known:
			count.New++
			_, err = w.tx.Exec(w.ctx, insertEdge, store.Int(w.scope), store.Int(src), store.Text(key.kind), store.Int(dst), store.Int(text), store.Int(w.run), store.Int(w.run))
		case before.text != text || before.gone != 0:
			count.Changed++
			_, err = w.tx.Exec(w.ctx, changeEdge, store.Int(text), store.Int(w.run), store.Int(w.scope), store.Int(src), store.Text(key.kind), store.Int(dst))
		default:
			count.Unchanged++
		}
		if err != nil {
			return err
		}
	}
	if !w.whole {
		return nil
	}
	for key, before := range stored {
		if seen[key] || before.gone != 0 {
			continue
		}
		count.Gone++
		if _, err := w.tx.Exec(w.ctx, buryEdge, store.Int(w.run), store.Int(w.scope), store.Int(key.src), store.Text(key.kind), store.Int(key.dst)); err != nil {
			return err
		}
	}
	return nil
}

// claimDoc is a claim without its subject.
type claimDoc struct {
	Owner      fact.Party    `json:"owner"`
	Role       string        `json:"role"`
	Source     string        `json:"source"`
	Evidence   fact.Evidence `json:"evidence"`
	Confidence float64       `json:"confidence"`
	Since      int64         `json:"since,omitempty"`
	Until      int64         `json:"until,omitempty"`
}

func (w *writer) claims(h *held) error {
	stored := map[[2]int64]int64{}
	err := w.tx.Query(w.ctx, claimsOfScope, func(row store.Row) error {
		stored[[2]int64{row.Int(0), row.Int(1)}] = row.Int(2)
		return nil
	}, store.Int(w.scope))
	if err != nil {
		return err
	}
	count := &w.counts[2]
	seen := map[[2]int64]bool{}
	for _, c := range h.claims {
		subject, err := w.asset(c.Subject)
		if err != nil {
			return err
		}
		text, err := w.text(claimDoc{c.Owner, c.Role, c.Source, c.Evidence, c.Confidence, c.Since, c.Until})
		if err != nil {
			return err
		}
		key := [2]int64{subject, text}
		if seen[key] {
			continue
		}
		seen[key] = true
		gone, known := stored[key]
		switch {
		case !known:
			count.New++
			_, err = w.tx.Exec(w.ctx, insertClaim, store.Int(w.scope), store.Int(subject), store.Int(text), store.Int(w.run))
		case gone != 0:
			count.Changed++
			_, err = w.tx.Exec(w.ctx, reviveClaim, store.Int(w.scope), store.Int(subject), store.Int(text))
		default:
			count.Unchanged++
		}
		if err != nil {
			return err
		}
	}
	if !w.whole {
		return nil
	}
	for key, gone := range stored {
		if seen[key] || gone != 0 {
			continue
		}
		count.Gone++
		if _, err := w.tx.Exec(w.ctx, buryClaim, store.Int(w.run), store.Int(w.scope), store.Int(key[0]), store.Int(key[1])); err != nil {
			return err
		}
	}
	return nil
}

// likePattern makes a pattern of LIKE that finds a text anywhere.
func likePattern(text string) string {
	return "%" + strings.NewReplacer("!", "!!", "%", "!%", "_", "!_").Replace(text) + "%"
}
