package graph

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/store"
)

// Run is one run of a source that writes into the graph. It is safe for concurrent
// use.
type Run struct {
	g   *Graph
	ctx context.Context
	now time.Time

	name    string
	id      int64
	source  int64
	resumed bool

	mu      sync.Mutex
	ended   bool
	scopes  map[string]*scope
	done    map[string]bool // covered by this run or the one that it takes up
	written map[string]bool // written by this run: what comes later is added to it
	gaps    map[string]bool
	held    int
	docs    map[string]string // equal documents share their bytes
	cache   *cache
	summary Summary
}

// scope is what waits of one scope.
type scope struct {
	id      int64
	entries []entry
	ends    map[fact.Asset]bool // ends of relations among entries
	staged  int                 // facts put aside in SQL
}

// what tells facts apart.
type what int8

const (
	whatNode what = iota
	whatEdge
	whatClaim
)

// entry is one fact that waits.
type entry struct {
	what what
	a, b fact.Asset
	kind fact.RelationKind
	who  int64
	doc  string
}

// Summary says what a run changed.
type Summary struct {
	Run    int64    `json:"run"`
	Nodes  Counts   `json:"assets"`
	Edges  Counts   `json:"relations"`
	Claims Counts   `json:"claims"`
	Scopes int      `json:"scopes"` // that were covered, those of a run that was taken up among them
	Gaps   []string `json:"gaps"`   // "scope: why", of scopes that were not
	Notes  []string `json:"notes"`
}

// Counts count rows.
type Counts struct {
	New       int `json:"new"`
	Changed   int `json:"changed"` // or there again
	Gone      int `json:"gone"`
	Unchanged int `json:"unchanged"`
}

// Written counts the rows that were written.
func (c Counts) Written() int { return c.New + c.Changed + c.Gone }

func (c *Counts) add(other Counts) {
	c.New += other.New
	c.Changed += other.Changed
	c.Gone += other.Gone
	c.Unchanged += other.Unchanged
}

// resumeWithin is how old a run may be that is taken up: what it covered before is
// no look at today.
const resumeWithin = 24 * time.Hour

// Begin starts a run of a named source. With resume it goes on where the last one
// was cut off, within a day: Done names the scopes that need not be read again.
func (g *Graph) Begin(ctx context.Context, source string, now time.Time, resume bool) (*Run, error) {
	r := &Run{g: g, ctx: ctx, now: now, name: source, scopes: map[string]*scope{}, done: map[string]bool{}, written: map[string]bool{}, gaps: map[string]bool{}, docs: map[string]string{}, cache: newCache()}
	r.summary.Gaps, r.summary.Notes = []string{}, []string{}
	err := g.db.Write(ctx, store.Replayable, func(tx store.Tx) error {
		clear(r.done)
		var err error
		if r.source, err = ensure(ctx, tx, "source", selectSource, insertSource, store.Text(source)); err != nil {
			return err
		}
		started := now.UnixMicro()
		if resume {
			if _, err := tx.Exec(ctx, endOldRuns, store.Int(started), store.Int(r.source), store.Int(now.Add(-resumeWithin).UnixMicro())); err != nil {
				return err
			}
			err = tx.Query(ctx, listCovered, func(row store.Row) error { r.done[row.Text(0)] = true; return nil }, store.Int(r.source))
		} else {
			_, err = tx.Exec(ctx, endRuns, store.Int(started), store.Int(r.source))
		}
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, clearStages, store.Int(r.source)); err != nil {
			return err
		}
		// Runs start in the order of their numbers, whatever the clock does.
		latest, err := number(ctx, tx, latestStart)
		if err != nil {
			return err
		}
		if r.id, err = store.ReserveIDs(ctx, tx, "source_run", 1); err != nil {
			return err
		}
		_, err = tx.Exec(ctx, insertRun, store.Int(r.id), store.Int(r.source), store.Int(max(started, latest)))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("run of %s: %w", source, err)
	}
	r.summary.Run, r.resumed, r.summary.Scopes = r.id, len(r.done) > 0, len(r.done)
	return r, nil
}

// Done says whether a scope was covered, by this run or the one that it takes up.
func (r *Run) Done(scope string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.done[scope]
}

// Resumed says whether an earlier run was taken up.
func (r *Run) Resumed() bool { return r.resumed }

func (r *Run) scope(name string) *scope {
	s := r.scopes[name]
	if s == nil {
		s = &scope{ends: map[fact.Asset]bool{}}
		r.scopes[name] = s
	}
	return s
}

// Bounds of what a source says.
const (
	maxKey   = 4096
	maxValue = 16 << 10
)

// word says whether a kind can be written in a pattern.
func word(kind string) bool {
	for i, c := range []byte(kind) {
		if (c < 'a' || c > 'z') && (i == 0 || c != '_' && (c < '0' || c > '9')) {
			return false
		}
	}
	return kind != "" && len(kind) <= 40
}

// clean makes text of outside storable everywhere: UTF-8 without NUL.
func clean(text string) string {
	if utf8.ValidString(text) && !strings.Contains(text, "\x00") {
		return text
	}
	return strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
}

// asset checks an asset. One of no kind or key is a fault of the source; one whose
// key is too long, which contents of outside can bring about, is a gap.
func (r *Run) asset(scope string, a fact.Asset) (fact.Asset, bool, error) {
	if !word(a.Kind) || a.Key == "" {
		return a, false, fmt.Errorf("source %s, scope %s: asset %q %.80q: expected a kind of small letters and a key", r.name, scope, a.Kind, a.Key)
	}
	if len(a.Key) > maxKey {
		r.gap(scope, fmt.Errorf("%s %.80q: its key is longer than %d bytes", a.Kind, a.Key, maxKey))
		return a, false, nil
	}
	return fact.Asset{Kind: a.Kind, Key: clean(a.Key), Name: r.cut(scope, a.Name)}, true, nil
}

// cut bounds a text, and says so.
func (r *Run) cut(scope, text string) string {
	if len(text) > maxValue {
		end := maxValue
		for end > 0 && !utf8.RuneStart(text[end]) {
			end--
		}
		r.note(scope, fmt.Sprintf("%.40q is cut at %d bytes", text, maxValue))
		text = text[:end]
	}
	return clean(text)
}

func (r *Run) properties(scope string, given map[string]string) map[string]string {
	if len(given) == 0 {
		return nil
	}
	properties := make(map[string]string, len(given))
	for _, name := range slices.Sorted(maps.Keys(given)) {
		properties[r.cut(scope, name)] = r.cut(scope, given[name])
	}
	return properties
}

// nodeDoc is what a scope says of an asset.
type nodeDoc struct {
	Name       string            `json:"name,omitempty"`
	End        bool              `json:"end,omitempty"` // only met as the end of a relation or the subject of a claim
	Properties map[string]string `json:"said,omitempty"`
}

// edgeDoc is what is kept of a relation beside its ends.
type edgeDoc struct {
	Evidence   fact.Evidence     `json:"evidence"`
	Confidence float64           `json:"confidence,omitempty"`
	Location   *fact.Location    `json:"location,omitempty"`
	Properties map[string]string `json:"properties,omitempty"`
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

// encode writes plain data as JSON with sorted keys.
func encode(doc any) (string, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(doc)
	return strings.TrimSuffix(out.String(), "\n"), err
}

// encode writes a document. Equal ones of a run share their bytes, since many
// relations have the same evidence.
func (r *Run) encode(doc any) (string, error) {
	text, err := encode(doc)
	if known, ok := r.docs[text]; ok || err != nil {
		return known, err
	}
	if len(r.docs) >= 10_000 {
		clear(r.docs)
	}
	r.docs[text] = text
	return text, nil
}

// Node takes an asset with what the scope says of it. Said twice in one scope, the
// properties are joined; of two values of one the smaller counts.
func (r *Run) Node(scope string, node fact.Node) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok, err := r.asset(scope, node.Asset)
	if err != nil || !ok {
		return err
	}
	doc, err := r.encode(nodeDoc{Name: a.Name, Properties: r.properties(scope, node.Properties)})
	if err != nil {
		return err
	}
	return r.hold(scope, entry{what: whatNode, a: a, doc: doc})
}

// end keeps an asset that a fact names.
func (r *Run) end(scope string, a fact.Asset) error {
	s := r.scope(scope)
	if s.ends[a] {
		return nil
	}
	s.ends[a] = true
	doc, err := r.encode(nodeDoc{Name: a.Name, End: true})
	if err != nil {
		return err
	}
	return r.hold(scope, entry{what: whatNode, a: a, doc: doc})
}

// Relation takes an edge; its ends become assets when nothing more is said of them.
// Of two with the same ends and kind in one scope the one with the stronger evidence
// counts. One without evidence is refused (law 3).
func (r *Run) Relation(scope string, relation fact.Relation) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !evident(relation.Evidence) {
		return fmt.Errorf("source %s, scope %s: %.80s %s %.80s: %w", r.name, scope, relation.From.Key, relation.Kind, relation.To.Key, ErrNoEvidence)
	}
	if !word(string(relation.Kind)) || !(relation.Confidence >= 0 && relation.Confidence <= 1) {
		return fmt.Errorf("source %s, scope %s: relation %q with confidence %v: expected a kind of small letters and a confidence from 0 to 1", r.name, scope, relation.Kind, relation.Confidence)
	}
	from, ok, err := r.asset(scope, relation.From)
	if err != nil || !ok {
		return err
	}
	to, ok, err := r.asset(scope, relation.To)
	if err != nil || !ok {
		return err
	}
	doc, err := r.encode(edgeDoc{r.evidence(scope, relation.Evidence), relation.Confidence, relation.Location, r.properties(scope, relation.Properties)})
	if err != nil {
		return err
	}
	for _, a := range []fact.Asset{from, to} {
		if err := r.end(scope, a); err != nil {
			return err
		}
	}
	return r.hold(scope, entry{what: whatEdge, a: from, b: to, kind: relation.Kind, doc: doc})
}

// evident says whether something is evidence (law 3).
func evident(e fact.Evidence) bool {
	return e.Method != "" && e.Source != "" && rankOf(e.Strength) < len(strengths)
}

func (r *Run) evidence(scope string, e fact.Evidence) fact.Evidence {
	return fact.Evidence{Method: r.cut(scope, e.Method), Source: r.cut(scope, e.Source), Strength: e.Strength, Detail: r.cut(scope, e.Detail)}
}

// Claim takes an ownership claim. Claims of different owners, roles or sources stand
// beside each other; of one said twice in a scope the stronger counts.
func (r *Run) Claim(scope string, claim fact.Claim) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if claim.Owner.ID == "" || claim.Owner.Kind == "" || claim.Source == "" || !(claim.Confidence >= 0 && claim.Confidence <= 1) {
		return fmt.Errorf("source %s, scope %s: claim on %.80s: expected an owner's kind and id, a source, and a confidence from 0 to 1", r.name, scope, claim.Subject.Key)
	}
	if !evident(claim.Evidence) {
		return fmt.Errorf("source %s, scope %s: claim on %.80s: %w", r.name, scope, claim.Subject.Key, ErrNoEvidence)
	}
	subject, ok, err := r.asset(scope, claim.Subject)
	if err != nil || !ok {
		return err
	}
	owner := fact.Party{Kind: claim.Owner.Kind, ID: r.cut(scope, claim.Owner.ID), Name: r.cut(scope, claim.Owner.Name)}
	doc, err := r.encode(claimDoc{owner, claim.Role, r.cut(scope, claim.Source), r.evidence(scope, claim.Evidence), claim.Confidence, claim.Since, claim.Until})
	if err != nil {
		return err
	}
	if err := r.end(scope, subject); err != nil {
		return err
	}
	return r.hold(scope, entry{what: whatClaim, a: subject, who: digest(owner.Kind, owner.ID, claim.Role, claim.Source), doc: doc})
}

// digest makes one number of texts.
func digest(texts ...string) int64 {
	var buf []byte
	for _, text := range texts {
		buf = append(binary.AppendUvarint(buf, uint64(len(text))), text...)
	}
	sum := sha256.Sum256(buf)
	return int64(binary.BigEndian.Uint64(sum[:8]))
}

// hold keeps a fact until its scope is written. When too many wait, all are put
// aside in SQL.
func (r *Run) hold(name string, e entry) error {
	if r.ended {
		return fmt.Errorf("the run of source %s has ended", r.name)
	}
	s := r.scope(name)
	s.entries = append(s.entries, e)
	if r.held++; r.held < r.g.held {
		return r.ctx.Err()
	}
	for _, name := range slices.Sorted(maps.Keys(r.scopes)) {
		if err := r.spill(name); err != nil {
			return fmt.Errorf("scope %s of %s: %w", name, r.name, err)
		}
	}
	return nil
}

// spill puts the facts of a scope aside.
func (r *Run) spill(name string) error {
	s := r.scope(name)
	if len(s.entries) == 0 {
		return nil
	}
	if err := r.write(name, func(w *writer) error { return w.stage(s) }); err != nil {
		r.cache.forget()
		return err
	}
	s.staged += len(s.entries)
	r.held -= len(s.entries)
	s.entries = nil
	clear(s.ends)
	return nil
}

// Gap notes that a scope could not be read, or only in part: what it gave is kept,
// and nothing of it is gone.
func (r *Run) Gap(scope string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gap(scope, err)
}

// Bounds of what a run tells people.
const maxTold = 10_000

func (r *Run) gap(scope string, err error) {
	r.gaps[scope] = true
	if len(r.summary.Gaps) < maxTold {
		r.summary.Gaps = append(r.summary.Gaps, clean(scope+": "+err.Error()))
	}
}

// Note keeps something odd for people.
func (r *Run) Note(scope, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.note(scope, text)
}

func (r *Run) note(scope, text string) {
	if len(r.summary.Notes) < maxTold {
		r.summary.Notes = append(r.summary.Notes, clean(scope+": "+text))
	}
}

// Whole says whether a scope has had no gap until now.
func (r *Run) Whole(scope string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return !r.gaps[scope]
}

// Sizes gives how many assets are stored of a scope, and how many this run was given
// of it until now.
func (r *Run) Sizes(scope string) (stored, given int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.scope(scope)
	distinct := map[assetKey]bool{}
	for i := range s.entries {
		if e := &s.entries[i]; e.what == whatNode {
			distinct[assetKey{e.a.Kind, e.a.Key}] = true
		}
	}
	err = r.g.db.Read(r.ctx, func(tx store.Tx) error {
		id, err := number(r.ctx, tx, selectScope, store.Int(r.source), store.Text(clean(scope)))
		if err != nil || id == 0 {
			return err
		}
		was, err := number(r.ctx, tx, scopeSize, store.Int(id))
		if err != nil {
			return err
		}
		aside := int64(0)
		if s.staged > 0 {
			aside, err = number(r.ctx, tx, stageSize, store.Int(id), store.Int(int64(whatNode)))
		}
		stored, given = int(was), int(aside)
		return err
	})
	return stored, given + len(distinct), err
}

// Covered writes a scope that was given whole, all of it at once: what it no longer
// holds is gone. A scope with a gap is written, and nothing of it is gone.
func (r *Run) Covered(scope string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return fmt.Errorf("the run of source %s has ended", r.name)
	}
	return r.merge(scope, true)
}

// write runs fn in one transaction over the rows of a scope.
func (r *Run) write(name string, fn func(w *writer) error) error {
	s, id := r.scope(name), int64(0)
	r.g.writing.Add(1)
	defer r.g.writing.Add(-1)
	err := r.g.db.Write(r.ctx, store.Replayable, func(tx store.Tx) error {
		var err error
		if id = s.id; id == 0 {
			if id, err = ensure(r.ctx, tx, "source_scope", selectScope, insertScope, store.Int(r.source), store.Text(clean(name))); err != nil {
				return err
			}
		}
		return fn(&writer{ctx: r.ctx, tx: tx, run: r.id, scope: id, cache: r.cache})
	})
	if err == nil {
		s.id = id
	}
	return err
}

// merge writes what waits of a scope. What comes after a scope was written is added
// to it, and says nothing of what is gone.
func (r *Run) merge(name string, whole bool) error {
	s := r.scope(name)
	whole = whole && !r.gaps[name] && !r.written[name]
	var done *writer
	r.g.writing.Add(1)
	defer r.g.writing.Add(-1)
	err := r.write(name, func(w *writer) error {
		done = w
		return w.merge(s, whole)
	})
	if err != nil {
		r.cache.forget() // ids of a transaction that was rolled back
		return fmt.Errorf("scope %s of %s: %w", name, r.name, err)
	}
	r.held -= len(s.entries)
	delete(r.scopes, name)
	r.written[name] = true
	r.summary.Nodes.add(done.counts[whatNode])
	r.summary.Edges.add(done.counts[whatEdge])
	r.summary.Claims.add(done.counts[whatClaim])
	if whole && !r.done[name] {
		r.summary.Scopes++
		r.done[name] = true
	}
	r.g.changed(done.change)
	return nil
}

// Finish ends the run: scopes that were not covered are written as seen in part.
func (r *Run) Finish(ctx context.Context) (Summary, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended {
		return r.summary, fmt.Errorf("the run of source %s has ended", r.name)
	}
	for _, name := range slices.Sorted(maps.Keys(r.scopes)) {
		if err := r.merge(name, false); err != nil {
			return r.summary, err
		}
	}
	r.ended = true
	err := r.g.db.Write(ctx, store.Replayable, func(tx store.Tx) error {
		_, err := tx.Exec(ctx, endRuns, store.Int(r.now.UnixMicro()), store.Int(r.source))
		return err
	})
	slices.Sort(r.summary.Gaps)
	slices.Sort(r.summary.Notes)
	r.summary.Gaps, r.summary.Notes = slices.Compact(r.summary.Gaps), slices.Compact(r.summary.Notes)
	r.g.settle()
	return r.summary, err
}

// Abort ends the work and leaves the run open to be taken up: covered scopes stay,
// what waits of the others is dropped. It does nothing after Finish.
func (r *Run) Abort() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
	clear(r.scopes)
	r.held = 0
	r.g.settle()
}

// confidence completes a confidence that a source did not give.
func confidence(given float64, e fact.Evidence) float64 {
	if given == 0 {
		return ConfidenceOf(e.Strength)
	}
	return math.Min(given, 1)
}

func compareAssets(a, b fact.Asset) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
}
