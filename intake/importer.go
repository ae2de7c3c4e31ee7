package intake

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/store"
)

// maxFindings bounds what one import holds in memory, at about 110 bytes each.
const maxFindings = 5_000_000

var (
	selectAsset      = queries.Named("asset")
	insertAsset      = queries.Named("insert_asset")
	renameAsset      = queries.Named("rename_asset")
	selectDetector   = queries.Named("detector")
	insertDetector   = queries.Named("insert_detector")
	selectScope      = queries.Named("scope")
	scopesOfTarget   = queries.Named("scopes_of_target")
	insertScope      = queries.Named("insert_scope")
	insertRun        = queries.Named("insert_run")
	insertRunScope   = queries.Named("insert_run_scope")
	lastCompleteRun  = queries.Named("last_complete_run")
	selectStored     = queries.Named("stored")
	insertFinding    = queries.Named("insert_finding")
	insertFindings   = insertFinding.Rows(rowsAtOnce)
	updateFinding    = queries.Named("update_finding")
	unconfirmFinding = queries.Named("unconfirm_finding")
	insertEvent      = queries.Named("insert_event")
	selectStatements = queries.Named("statements")
	insertStatement  = queries.Named("insert_statement")
	deleteStatement  = queries.Named("delete_statement")
)

// rowsAtOnce is how many findings one statement inserts. More gain nothing.
const rowsAtOnce = 16

// States of finding rows.
const (
	stateOpen        = 1
	stateUnconfirmed = 2
)

type assetKey struct{ kind, key string }

// scope is one detector's look, or that of a part of it, at one asset under one target.
type scope struct {
	run      *runState
	asset    assetKey
	target   string
	complete bool
	number   int32
	id       int64
	batch    *batch
}

// batch is what one detector saw in one asset.
type batch struct {
	run        *runState
	asset      fact.Asset
	assetID    int64
	records    [][]record // blocks of blockSize, so that growing copies nothing
	scopes     []*scope
	statements []statement
	// statementsKnown says that the run is one of statements, so that those it
	// no longer makes are withdrawn.
	statementsKnown bool
}

const blockSize = 512

// add makes room for one more record.
func (b *batch) add() *record {
	last := len(b.records) - 1
	if last < 0 || len(b.records[last]) == cap(b.records[last]) {
		size := blockSize
		if last < 0 {
			size = 8 // many reports hold few findings an asset
		}
		b.records = append(b.records, make([]record, 0, size))
		last++
	}
	b.records[last] = append(b.records[last], record{})
	return &b.records[last][len(b.records[last])-1]
}

type statement struct {
	digest   digest
	advisory string
	doc      string
}

// runState is one detector of the report; runs of the same one are united.
type runState struct {
	fact       fact.Run
	detectorID int64
	out        Run
	targets    []string // complete targets
}

type detectorKey struct{ tool, format string }

// importer is the Sink of one import.
type importer struct {
	ctx     context.Context
	db      store.Engine
	name    string
	opts    Options
	words   *dictionary
	broken  bool // the report ended in an error
	runs    []*runState
	images  []fact.ImageConfig
	byName  map[detectorKey]*runState
	current *runState
	latest  fact.Run // the report's own words for the current run
	target  string
	look    string // the target, and the part of the detector where it tells one
	count   int

	texts   *texts
	events  store.IDs
	scopes  map[scopeKey]*scope
	order   []*scope // by number
	batches map[batchKey]*batch
	buf     []byte
	keys    []string

	flaws     map[string]*remembered // by rule
	flawBytes int
	fixed     map[string]int32 // texts of lists of fixed versions
	lastAsset fact.Asset       // as the reader wrote it
	lastScope *scope
	lastPath  string // as the reader wrote it
	// lastFolder is the one that the path is relative to, when it is told.
	lastFolder string
	path       string // the same, below the root
	lastPlace  lastPlace
	// The package of the finding before.
	lastPackage       fact.Package
	lastPackageNumber int32
	lastPackageKnown  bool
	lastExtras        map[string]string
	lastExtra         int32
	lastVersions      []string // as the reader gave them; readers do not change what they gave
	lastFixed         int32
}

// lastPlace is the place of the finding before, which often repeats.
type lastPlace struct {
	path, anchor, commit string
	number               int32
	known                bool
}

type scopeKey struct {
	run    *runState
	asset  assetKey
	target string
}

type batchKey struct {
	run   *runState
	asset assetKey
}

func newImporter(ctx context.Context, db store.Engine, name string, opts Options) *importer {
	return &importer{
		ctx: ctx, db: db, name: name, opts: opts, words: newDictionary(db), texts: newTexts(), events: store.IDs{Sequence: "finding_event", Block: 256},
		byName: map[detectorKey]*runState{}, scopes: map[scopeKey]*scope{}, batches: map[batchKey]*batch{}, fixed: map[string]int32{}, flaws: map[string]*remembered{},
	}
}

// Run implements report.Sink.
func (im *importer) Run(run fact.Run) error {
	if run.Tool == "" {
		run.Tool = "unknown"
	}
	key := detectorKey{strings.ToLower(run.Tool), run.Format}
	state := im.byName[key]
	if state == nil {
		state = &runState{fact: run, out: Run{Tool: key.tool, Format: key.format, Complete: true}}
		im.byName[key] = state
		im.runs = append(im.runs, state)
	}
	if !run.Complete || im.opts.Partial {
		state.out.Complete = false
	}
	im.current, im.latest = state, run
	im.lastScope, im.lastPath, im.lastFolder, im.path = nil, "", "", ""
	im.target = im.opts.Target
	if im.target == "" {
		im.target = strings.ReplaceAll(run.Target, `\`, "/")
		if im.target == "." || im.target == "./" || im.opts.Root != "" && strings.TrimSuffix(im.target, "/") == strings.TrimSuffix(im.opts.Root, "/") {
			im.target = ""
		}
	}
	if im.opts.Repository != "" {
		im.target = im.opts.Repository + "//" + im.target
	}
	if im.look = im.target; run.Part != "" {
		im.look += "#" + run.Part
	}
	if run.Image != nil {
		im.images = append(im.images, *run.Image)
	}
	complete := run.Complete && !im.opts.Partial
	if complete && im.target != "" && !slices.Contains(state.targets, im.look) {
		state.targets = append(state.targets, im.look)
	}
	if len(run.Assets) == 0 {
		im.scope(im.asset(fact.Asset{})).complete = complete
	}
	for _, asset := range run.Assets {
		im.scope(im.asset(asset)).complete = complete
	}
	for _, asset := range im.opts.Complete {
		im.scope(im.asset(asset)).complete = true
	}
	return im.ctx.Err()
}

// asset completes what a reader says is affected.
func (im *importer) asset(a fact.Asset) fact.Asset {
	switch a.Kind {
	case "", fact.AssetUnknown, fact.AssetRepository, fact.AssetFile, fact.AssetPackage:
	default:
		if a.Key != "" {
			return a
		}
	}
	switch {
	case im.opts.Repository != "":
		return fact.Asset{Kind: fact.AssetRepository, Key: im.opts.Repository, Name: im.opts.Repository}
	case a.Kind == fact.AssetRepository && a.Key != "":
		return a
	case im.target != "":
		return fact.Asset{Kind: fact.AssetUnknown, Key: im.target, Name: im.target}
	}
	return fact.Asset{Kind: fact.AssetUnknown, Key: fact.AssetUnknown, Name: fact.AssetUnknown}
}

// scope gives the scope of an asset in the current run.
func (im *importer) scope(a fact.Asset) *scope {
	key := scopeKey{im.current, assetKey{a.Kind, a.Key}, im.look}
	if s := im.scopes[key]; s != nil {
		return s
	}
	s := &scope{run: im.current, asset: key.asset, target: im.look, complete: im.latest.Complete && !im.opts.Partial}
	s.number = int32(len(im.order))
	im.order = append(im.order, s)
	im.scopes[key] = s
	bkey := batchKey{im.current, key.asset}
	b := im.batches[bkey]
	if b == nil {
		b = &batch{run: im.current, asset: a}
		im.batches[bkey] = b
	}
	b.scopes = append(b.scopes, s)
	s.batch = b
	return s
}

// Finding implements report.Sink.
func (im *importer) Finding(f fact.Finding) error {
	if im.current == nil {
		if err := im.Run(fact.Run{}); err != nil {
			return err
		}
	}
	if im.count++; im.count > maxFindings {
		return fmt.Errorf("%s: more than %d findings in one report", im.name, maxFindings)
	}
	if im.count%1024 == 0 && im.ctx.Err() != nil {
		return im.ctx.Err()
	}
	clean(&f)
	if im.lastScope == nil || f.Asset != im.lastAsset {
		im.lastAsset, im.lastScope = f.Asset, im.scope(im.asset(f.Asset))
	}
	if folder := f.Attributes["scanned"]; f.Path != im.lastPath || folder != im.lastFolder {
		im.lastPath, im.lastFolder = f.Path, folder
		im.path = relative(below(folder, f.Path), im.opts.Root, im.latest.Target)
	}
	s := im.lastScope
	r := record{scope: s.number, offset: f.Position.Offset, length: f.Position.Length, line: int32(f.Line), endLine: int32(f.EndLine), severity: int8(f.Severity)}
	if r.length == 0 {
		r.item = im.texts.add(f.Position.Item)
	}
	r.fp, im.buf = fingerprint(im.buf, &f, im.path)
	var err error
	if r.flaw, err = im.flaw(&f); err != nil {
		return err
	}
	if r.pkg, err = im.pkg(&f.Package); err != nil {
		return err
	}
	if r.place, err = im.place(&f); err != nil {
		return err
	}
	if r.extra, err = im.extra(f.Attributes); err != nil {
		return err
	}
	r.fixed = im.fixedVersions(f.FixedVersions)
	if f.Analysis != (fact.Analysis{}) {
		r.analysis = im.texts.intern(encode(f.Analysis))
	}
	im.seal(&r)
	*s.batch.add() = r
	s.run.out.Seen++
	return nil
}

// maxRemembered bounds the text that remembered flaws hold, in bytes.
const maxRemembered = 32 << 20

// remembered is the flaw that a rule meant last. Reports repeat an advisory
// for each package, and comparing its texts is cheaper than hashing them.
type remembered struct {
	kind                                               fact.Kind
	title, description, severityText, vector, solution string
	score                                              float64
	aliases, references                                []string
	cwe                                                []int
	number                                             int32
}

func (r *remembered) is(f *fact.Finding) bool {
	return r.kind == f.Kind && r.score == f.Score && r.title == f.Title && r.severityText == f.SeverityText && r.vector == f.Vector &&
		r.description == f.Description && r.solution == f.Mitigation &&
		equal(r.aliases, f.Aliases) && equal(r.references, f.References) && equal(r.cwe, f.CWE)
}

// equal compares lists; one that is the very same need not be read.
func equal[T comparable](a, b []T) bool {
	return len(a) == len(b) && (len(a) == 0 || &a[0] == &b[0] || slices.Equal(a, b))
}

// flaw gives the entry of what a finding says of its flaw.
func (im *importer) flaw(f *fact.Finding) (int32, error) {
	r, known := im.flaws[f.Rule]
	if !known || !r.is(f) {
		n, err := im.newFlaw(f)
		if err != nil {
			return 0, err
		}
		if im.flawBytes += len(f.Rule) + len(f.Title) + len(f.Description) + len(f.Mitigation) + 64*(4+len(f.References)+len(f.Aliases)); im.flawBytes > maxRemembered {
			clear(im.flaws)
			im.flawBytes = 0
		}
		r = &remembered{f.Kind, f.Title, f.Description, f.SeverityText, f.Vector, f.Mitigation, f.Score, f.Aliases, f.References, f.CWE, n}
		im.flaws[f.Rule] = r
	}
	if f.EPSS > 0 {
		im.words.scores[r.number] = max(im.words.scores[r.number], f.EPSS)
	}
	return r.number, nil
}

func (im *importer) newFlaw(f *fact.Finding) (int32, error) {
	im.buf = appendFlaw(im.buf[:0], f)
	n, fast, ok := im.words.find(im.buf)
	if ok {
		return n, nil
	}
	return im.words.add(im.ctx, im.buf, fast, pendingEntry{flaw: true, kind: string(f.Kind), rule: f.Rule, aliases: issue.Joinable(f.Rule, f.Aliases),
		doc: encode(flawDoc{
			Aliases: f.Aliases, Title: f.Title, Description: f.Description, SeverityText: f.SeverityText, Score: f.Score,
			Vector: f.Vector, CWE: f.CWE, References: f.References, Mitigation: f.Mitigation,
		})})
}

// pkg gives the entry of a package.
func (im *importer) pkg(p *fact.Package) (int32, error) {
	if im.lastPackageKnown && *p == im.lastPackage {
		return im.lastPackageNumber, nil
	}
	im.buf = appendPackage(im.buf[:0], p)
	n, fast, ok := im.words.find(im.buf)
	if !ok {
		var err error
		if n, err = im.words.add(im.ctx, im.buf, fast, pendingEntry{doc: encode(*p)}); err != nil {
			return 0, err
		}
	}
	im.lastPackage, im.lastPackageNumber, im.lastPackageKnown = *p, n, true
	return n, nil
}

// place gives the entry of a finding's place.
func (im *importer) place(f *fact.Finding) (int32, error) {
	last := &im.lastPlace
	if last.known && len(f.Introduced) == 0 && last.path == im.path && last.anchor == f.Anchor && last.commit == f.Commit {
		return last.number, nil
	}
	im.buf = appendPlace(im.buf[:0], f, im.path)
	n, fast, ok := im.words.find(im.buf)
	if !ok {
		var err error
		if n, err = im.words.add(im.ctx, im.buf, fast, pendingEntry{doc: encode(placeDoc{im.path, f.Anchor, f.Commit, f.Introduced})}); err != nil {
			return 0, err
		}
	}
	*last = lastPlace{im.path, f.Anchor, f.Commit, n, len(f.Introduced) == 0}
	return n, nil
}

// extra gives the entry of a finding's attributes.
func (im *importer) extra(attributes map[string]string) (int32, error) {
	if im.lastExtras != nil && maps.Equal(attributes, im.lastExtras) {
		return im.lastExtra, nil
	}
	im.buf, im.keys = appendExtra(im.buf[:0], attributes, im.keys)
	n, fast, ok := im.words.find(im.buf)
	if !ok {
		var err error
		if n, err = im.words.add(im.ctx, im.buf, fast, pendingEntry{doc: encode(attributes)}); err != nil {
			return 0, err
		}
	}
	im.lastExtra = n
	if im.lastExtras = maps.Clone(attributes); im.lastExtras == nil {
		im.lastExtras = map[string]string{}
	}
	return n, nil
}

// fixedVersions gives the text of a list of versions.
func (im *importer) fixedVersions(versions []string) int32 {
	if len(versions) == 0 {
		return 0
	}
	if len(versions) == len(im.lastVersions) && &versions[0] == &im.lastVersions[0] {
		return im.lastFixed
	}
	im.lastVersions = versions
	im.buf = appendText(im.buf[:0], versions...)
	n, ok := im.fixed[string(im.buf)]
	if !ok {
		n = im.texts.intern(encode(versions))
		im.fixed[string(im.buf)] = n
	}
	im.lastFixed = n
	return n
}

// Component implements report.Sink. Inventories are not kept yet.
func (im *importer) Component(fact.Component) error { return nil }

// Statement implements report.Sink.
func (im *importer) Statement(s fact.Statement) error {
	if im.current == nil {
		if err := im.Run(fact.Run{}); err != nil {
			return err
		}
	}
	s.Position = fact.Position{}
	doc := encode(s)
	sum := sha256.Sum256([]byte(doc))
	asset := im.asset(fact.Asset{})
	if len(im.latest.Assets) == 1 {
		asset = im.asset(im.latest.Assets[0])
	}
	b := im.scope(asset).batch
	b.statementsKnown = true
	b.statements = append(b.statements, statement{digest(sum[:16]), s.Advisory, doc})
	im.current.out.Statements++
	return nil
}

// finish merges what was read with what is stored, in one transaction.
func (im *importer) finish(blobID int64) (Result, error) {
	if err := im.words.flush(im.ctx); err != nil {
		return Result{}, err
	}
	var result Result
	err := im.db.Write(im.ctx, store.Replayable, func(tx store.Tx) error {
		var err error
		result, err = im.merge(tx, blobID)
		return err
	})
	if err != nil {
		return Result{}, err
	}
	result.Problems = append(result.Problems, im.words.classes.refused...)
	return result, nil
}

func (im *importer) merge(tx store.Tx, blobID int64) (Result, error) {
	ctx := im.ctx
	first, err := store.ReserveIDs(ctx, tx, "run", int64(len(im.runs)))
	if err != nil {
		return Result{}, err
	}
	for i, run := range im.runs {
		run.out.ID = first + int64(i)
		run.out.Complete = run.out.Complete && !im.broken
		if run.detectorID, err = im.ensure(tx, "detector", selectDetector, insertDetector, store.Text(run.out.Tool), store.Text(run.out.Format)); err != nil {
			return Result{}, err
		}
	}
	batches, err := im.resolve(tx)
	if err != nil {
		return Result{}, err
	}
	for _, b := range batches {
		if err := im.mergeBatch(tx, b); err != nil {
			return Result{}, err
		}
	}
	result := Result{Complete: !im.broken, Images: im.images}
	for _, run := range im.runs {
		o := run.out
		blob := store.Null()
		if blobID != 0 {
			blob = store.Int(blobID)
		}
		if _, err := tx.Exec(ctx, insertRun, store.Int(o.ID), store.Int(im.opts.Now.UnixMicro()), store.Int(run.detectorID),
			store.Text(run.fact.ToolVersion), store.Text(run.fact.Rules), store.Text(im.name), blob, store.Int(run.fact.Started), store.Bool(o.Complete),
			store.Int(int64(o.Seen)), store.Int(int64(o.New)), store.Int(int64(o.Changed)), store.Int(int64(o.Reopened)), store.Int(int64(o.Unconfirmed))); err != nil {
			return Result{}, err
		}
		result.Runs = append(result.Runs, o)
		result.Complete = result.Complete && o.Complete
	}
	for _, b := range batches {
		for _, s := range b.scopes {
			if _, err := tx.Exec(ctx, insertRunScope, store.Int(s.id), store.Int(b.run.out.ID), store.Bool(s.complete && !im.broken)); err != nil {
				return Result{}, err
			}
		}
		result.Assets = append(result.Assets, b.asset)
	}
	slices.SortFunc(result.Assets, func(a, b fact.Asset) int { return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key)) })
	result.Assets = slices.CompactFunc(result.Assets, func(a, b fact.Asset) bool { return a.Kind == b.Kind && a.Key == b.Key })
	return result, im.updateScores(tx)
}

// ensure gives the id of a row found by its key, inserting it when there is none.
func (im *importer) ensure(tx store.Tx, sequence string, find, insert *store.Query, key ...store.Value) (id int64, err error) {
	if err := tx.Query(im.ctx, find, func(row store.Row) error { id = row.Int(0); return nil }, key...); err != nil || id != 0 {
		return id, err
	}
	if id, err = store.ReserveIDs(im.ctx, tx, sequence, 1); err != nil {
		return 0, err
	}
	_, err = tx.Exec(im.ctx, insert, append([]store.Value{store.Int(id)}, key...)...)
	return id, err
}

// resolve gives assets and scopes their ids, adds what complete targets cover
// without naming it, and returns the batches in the order of the finding table.
func (im *importer) resolve(tx store.Tx) ([]*batch, error) {
	ctx := im.ctx
	var batches []*batch
	for _, b := range im.batches {
		batches = append(batches, b)
	}
	// In an order that does not depend on the map, so that ids do not either.
	slices.SortFunc(batches, func(a, b *batch) int {
		return cmp.Or(cmp.Compare(a.asset.Kind, b.asset.Kind), cmp.Compare(a.asset.Key, b.asset.Key), cmp.Compare(a.run.out.ID, b.run.out.ID))
	})
	named := map[int64]map[*runState]bool{}
	for _, b := range batches {
		name := ""
		if err := tx.Query(ctx, selectAsset, func(row store.Row) error {
			b.assetID, name = row.Int(0), row.Text(1)
			return nil
		}, store.Text(b.asset.Kind), store.Text(b.asset.Key)); err != nil {
			return nil, err
		}
		switch {
		case b.assetID == 0:
			id, err := store.ReserveIDs(ctx, tx, "asset", 1)
			if err != nil {
				return nil, err
			}
			b.assetID = id
			if _, err := tx.Exec(ctx, insertAsset, store.Int(id), store.Text(b.asset.Kind), store.Text(b.asset.Key), store.Text(b.asset.Name)); err != nil {
				return nil, err
			}
		case b.asset.Name == "":
			b.asset.Name = name
		case name != b.asset.Name:
			if _, err := tx.Exec(ctx, renameAsset, store.Text(b.asset.Name), store.Int(b.assetID)); err != nil {
				return nil, err
			}
		}
		slices.SortFunc(b.scopes, func(a, b *scope) int { return cmp.Compare(a.target, b.target) })
		for _, s := range b.scopes {
			id, err := im.ensure(tx, "scope", selectScope, insertScope, store.Int(b.assetID), store.Int(b.run.detectorID), store.Text(s.target))
			if err != nil {
				return nil, err
			}
			s.id = id
		}
		if named[b.assetID] == nil {
			named[b.assetID] = map[*runState]bool{}
		}
		named[b.assetID][b.run] = true
	}
	if !im.broken {
		for _, run := range im.runs {
			more, err := im.silent(tx, run, named)
			if err != nil {
				return nil, err
			}
			batches = append(batches, more...)
		}
	}
	slices.SortStableFunc(batches, func(a, b *batch) int {
		return cmp.Or(cmp.Compare(a.assetID, b.assetID), cmp.Compare(a.run.detectorID, b.run.detectorID))
	})
	return batches, nil
}

// silent lists assets in which the detector saw something under a target that
// it now looked at completely, and which the report no longer names.
func (im *importer) silent(tx store.Tx, run *runState, named map[int64]map[*runState]bool) ([]*batch, error) {
	var batches []*batch
	byAsset := map[int64]*batch{}
	for _, target := range run.targets {
		err := tx.Query(im.ctx, scopesOfTarget, func(row store.Row) error {
			id, assetID := row.Int(0), row.Int(1)
			if named[assetID][run] {
				return nil
			}
			b := byAsset[assetID]
			if b == nil {
				b = &batch{run: run, assetID: assetID}
				byAsset[assetID] = b
				batches = append(batches, b)
			}
			b.scopes = append(b.scopes, &scope{run: run, target: target, complete: true, id: id, batch: b})
			return nil
		}, store.Int(run.detectorID), store.Text(target))
		if err != nil {
			return nil, err
		}
	}
	return batches, nil
}

type storedRow struct {
	fp      digest
	n       int64
	content digest
	scopeID int64
	state   int64
	seenRun int64
}

// mergeBatch merges the sorted records of one asset and detector with the
// stored rows, which are in the same order.
func (im *importer) mergeBatch(tx store.Tx, b *batch) error {
	var records []*record
	for _, block := range b.records {
		for i := range block {
			records = append(records, &block[i])
		}
	}
	slices.SortFunc(records, im.words.compare)
	var stored []storedRow
	var buf []byte
	err := tx.Query(im.ctx, selectStored, func(row store.Row) error {
		s := storedRow{n: row.Int(1), scopeID: row.Int(3), state: row.Int(4), seenRun: row.Int(5)}
		buf = row.Bytes(0, buf[:0])
		copy(s.fp[:], buf)
		buf = row.Bytes(2, buf[:0])
		copy(s.content[:], buf)
		stored = append(stored, s)
		return nil
	}, store.Int(b.assetID), store.Int(b.run.detectorID))
	if err != nil {
		return err
	}
	m := merger{im: im, tx: tx, batch: b, covered: map[int64]int64{}}
	for _, s := range b.scopes {
		if s.complete && !im.broken {
			last := int64(0)
			if err := tx.Query(im.ctx, lastCompleteRun, func(row store.Row) error { last = row.Int(0); return nil }, store.Int(s.id)); err != nil {
				return err
			}
			m.covered[s.id] = last
		}
	}
	for len(records) > 0 || len(stored) > 0 {
		if im.ctx.Err() != nil {
			return im.ctx.Err()
		}
		var fp digest
		switch {
		case len(records) == 0:
			fp = stored[0].fp
		case len(stored) == 0 || bytes.Compare(records[0].fp[:], stored[0].fp[:]) < 0:
			fp = records[0].fp
		default:
			fp = stored[0].fp
		}
		nr, ns := 0, 0
		for nr < len(records) && records[nr].fp == fp {
			nr++
		}
		for ns < len(stored) && stored[ns].fp == fp {
			ns++
		}
		if err := m.group(records[:nr], stored[:ns]); err != nil {
			return err
		}
		records, stored = records[nr:], stored[ns:]
	}
	if err := m.flush(); err != nil {
		return err
	}
	return im.mergeStatements(tx, b)
}

// merger writes the differences of one batch.
type merger struct {
	im      *importer
	tx      store.Tx
	batch   *batch
	covered map[int64]int64 // scopes looked at completely, with their complete run before this one
	args    []store.Value
	rows    []store.Value // arguments of findings to insert
	waiting int           // how many
	taken   []bool
	left    []int
}

// group decides about the records and rows of one fingerprint: equal contents
// are the same finding, then the rest in order; what is over is new or gone.
func (m *merger) group(records []*record, stored []storedRow) error {
	out := &m.batch.run.out
	if len(records) == 1 && len(stored) == 1 {
		return m.same(records[0], &stored[0])
	}
	m.taken = append(m.taken[:0], make([]bool, len(stored))...)
	m.left = m.left[:0]
	byContent := map[digest][]int{}
	for j := range stored {
		byContent[stored[j].content] = append(byContent[stored[j].content], j)
	}
	for i := range records {
		same := byContent[records[i].content]
		if len(same) == 0 {
			m.left = append(m.left, i)
			continue
		}
		byContent[records[i].content] = same[1:]
		m.taken[same[0]] = true
		if err := m.same(records[i], &stored[same[0]]); err != nil {
			return err
		}
	}
	next, j := int64(0), 0
	if len(stored) > 0 {
		next = stored[len(stored)-1].n + 1
	}
	for _, i := range m.left {
		for j < len(stored) && m.taken[j] {
			j++
		}
		if j < len(stored) {
			m.taken[j] = true
			if err := m.same(records[i], &stored[j]); err != nil {
				return err
			}
			continue
		}
		if err := m.insert(records[i], next); err != nil {
			return err
		}
		out.New++
		next++
	}
	for j := range stored {
		if m.taken[j] || stored[j].state != stateOpen {
			continue
		}
		last, looked := m.covered[stored[j].scopeID]
		if !looked {
			continue
		}
		if err := m.unconfirm(&stored[j], last); err != nil {
			return err
		}
		out.Unconfirmed++
	}
	return nil
}

// same handles a stored finding that was seen again.
func (m *merger) same(r *record, s *storedRow) error {
	out := &m.batch.run.out
	scopeID, kind := s.scopeID, "changed"
	switch {
	case s.state == stateUnconfirmed:
		scopeID, kind = m.im.order[r.scope].id, "reopened"
		out.Reopened++
	case s.content == r.content:
		out.Unchanged++
		return nil
	default:
		out.Changed++
	}
	m.args = append(m.args[:0], store.Blob(r.content[:]), store.Int(scopeID))
	m.args = m.body(m.args, r)
	m.args = append(m.args, store.Int(m.batch.assetID), store.Int(m.batch.run.detectorID), store.Blob(s.fp[:]), store.Int(s.n))
	if _, err := m.tx.Exec(m.im.ctx, updateFinding, m.args...); err != nil {
		return err
	}
	return m.event(s, kind)
}

// body appends what is said of a finding, in the order of both statements.
func (m *merger) body(args []store.Value, r *record) []store.Value {
	entries, texts := m.im.words.entries, m.im.texts.list
	return append(args, store.Int(entries[r.flaw].id), store.Int(entries[r.pkg].id), store.Int(entries[r.place].id), store.Int(entries[r.extra].id),
		optional(texts[r.fixed]), store.Int(int64(r.line)), store.Int(int64(r.endLine)), store.Int(int64(r.severity)), optional(texts[r.analysis]),
		store.Int(m.batch.run.out.ID), optional(texts[r.item]), store.Int(r.offset), store.Int(r.length))
}

func optional(text string) store.Value {
	if text == "" {
		return store.Null()
	}
	return store.Text(text)
}

func (m *merger) insert(r *record, n int64) error {
	m.rows = append(m.rows, store.Int(m.batch.assetID), store.Int(m.batch.run.detectorID), store.Blob(r.fp[:]), store.Int(n), store.Blob(r.content[:]), store.Int(m.im.order[r.scope].id))
	m.rows = m.body(m.rows, r)
	if m.waiting++; m.waiting < rowsAtOnce {
		return nil
	}
	_, err := m.tx.Exec(m.im.ctx, insertFindings, m.rows...)
	m.rows, m.waiting = m.rows[:0], 0
	return err
}

// flush inserts the findings that wait.
func (m *merger) flush() error {
	if m.waiting == 0 {
		return nil
	}
	width := len(m.rows) / m.waiting
	for rows := m.rows; len(rows) > 0; rows = rows[width:] {
		if _, err := m.tx.Exec(m.im.ctx, insertFinding, rows[:width]...); err != nil {
			return err
		}
	}
	m.rows, m.waiting = m.rows[:0], 0
	return nil
}

func (m *merger) unconfirm(s *storedRow, last int64) error {
	if _, err := m.tx.Exec(m.im.ctx, unconfirmFinding, store.Int(max(last, s.seenRun)), store.Int(m.batch.run.out.ID),
		store.Int(m.batch.assetID), store.Int(m.batch.run.detectorID), store.Blob(s.fp[:]), store.Int(s.n)); err != nil {
		return err
	}
	return m.event(s, "unconfirmed")
}

func (m *merger) event(s *storedRow, kind string) error {
	id, err := m.im.events.Next(m.im.ctx, m.tx)
	if err != nil {
		return err
	}
	_, err = m.tx.Exec(m.im.ctx, insertEvent, store.Int(id), store.Int(m.batch.run.out.ID), store.Int(m.batch.assetID),
		store.Int(m.batch.run.detectorID), store.Blob(s.fp[:]), store.Int(s.n), store.Text(kind))
	return err
}

// mergeStatements keeps the statements of a batch; a complete document of
// statements withdraws those that it no longer makes.
func (im *importer) mergeStatements(tx store.Tx, b *batch) error {
	if !b.statementsKnown {
		return nil
	}
	known := map[digest]bool{}
	var order []digest
	var buf []byte
	if err := tx.Query(im.ctx, selectStatements, func(row store.Row) error {
		buf = row.Bytes(0, buf[:0])
		d := digest(buf)
		known[d] = true
		order = append(order, d)
		return nil
	}, store.Int(b.assetID), store.Int(b.run.detectorID)); err != nil {
		return err
	}
	made := map[digest]bool{}
	for _, s := range b.statements {
		if !known[s.digest] && !made[s.digest] {
			if _, err := tx.Exec(im.ctx, insertStatement, store.Int(b.assetID), store.Int(b.run.detectorID), store.Blob(s.digest[:]),
				store.Int(b.run.out.ID), store.Text(s.advisory), store.Text(s.doc)); err != nil {
				return err
			}
		}
		made[s.digest] = true
	}
	if !b.run.out.Complete {
		return nil
	}
	for _, d := range order {
		if !made[d] {
			if _, err := tx.Exec(im.ctx, deleteStatement, store.Int(b.assetID), store.Int(b.run.detectorID), store.Blob(d[:])); err != nil {
				return err
			}
		}
	}
	return nil
}

// updateScores writes the EPSS values that moved, once a flaw; no finding row
// is touched.
func (im *importer) updateScores(tx store.Tx) error {
	scores, stored := map[int64]float64{}, map[int64]float64{}
	var ids []int64
	for n, score := range im.words.scores {
		e := im.words.entries[n]
		if _, ok := scores[e.id]; !ok {
			ids = append(ids, e.id)
		}
		scores[e.id] = max(scores[e.id], score)
		stored[e.id] = e.epss
	}
	slices.Sort(ids)
	for _, id := range ids {
		if scores[id] == stored[id] {
			continue
		}
		if _, err := tx.Exec(im.ctx, updateEPSS, store.Float(scores[id]), store.Int(id)); err != nil {
			return err
		}
	}
	return nil
}
