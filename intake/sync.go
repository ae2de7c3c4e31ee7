package intake

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/store"
)

//go:embed sync.sql
var syncText string

var syncQueries = store.ParseQueries("sync", syncText)

// SyncQueries lists the queries of syncs, for the conformance suite of engines.
func SyncQueries() *store.Queries { return syncQueries }

var detectorsOfTarget = syncQueries.Named("detectors_of_target")

// Synced is what one run of a source brought.
type Synced struct {
	Source  string        `json:"source"`
	Resumed bool          `json:"resumed,omitempty"` // an earlier run was taken up
	Graph   graph.Summary `json:"graph"`
	// Findings counts what the system itself had found.
	Findings    int `json:"findings"`
	New         int `json:"new_findings"`
	Changed     int `json:"changed_findings"`
	Reopened    int `json:"reopened_findings"`
	Unconfirmed int `json:"unconfirmed_findings"`
	// Exposures counts what the internet reaches in the graph, of all sources.
	Exposures int  `json:"exposures"`
	Complete  bool `json:"complete"` // no scope was a gap
}

// SyncOptions say what the caller knows.
type SyncOptions struct {
	Readers []report.Reader // of reports that a source hands on
	Now     time.Time
	// Anew reads everything, though an earlier run was cut off and could be taken up.
	Anew bool
	// Shrink is the share of a scope's assets that may go in one run, 0 for half. A
	// scope that lost as much was more likely read wrong than emptied: it is kept as
	// it was, and becomes a gap. 1 takes any scope as it comes.
	Shrink   float64
	Progress func(stage string, done, total int)
}

// Sync runs a source once under a name: assets, relations and claims go into the
// graph, findings into the store by the laws of every import. A run that was cut off
// is taken up; what could not be read is a gap of the summary, and nothing of it is
// gone. When ctx ends or the source fails, what was covered stays and the run can be
// taken up later.
func Sync(ctx context.Context, db store.Engine, g *graph.Graph, name string, source connector.Source, values connector.Values, opts SyncOptions) (Synced, error) {
	run, err := g.Begin(ctx, name, opts.Now, !opts.Anew)
	if err != nil {
		return Synced{Source: name}, err
	}
	// What is left of the imports of scopes ends with the run.
	inner, stop := context.WithCancel(ctx)
	defer stop()
	s := &sink{Run: run, ctx: inner, db: db, name: name, opts: opts, imports: map[string]*scopeImport{}, closed: map[string]bool{}}
	s.result = Synced{Source: name, Resumed: run.Resumed()}
	if err := source.Sync(ctx, values, s); err != nil || ctx.Err() != nil {
		stop()
		s.drop()
		run.Abort()
		return s.result, fmt.Errorf("source %s: %w", name, errors.Join(err, ctx.Err()))
	}
	// Findings of scopes that were not covered are kept; none of theirs is gone.
	for _, scope := range slices.Sorted(maps.Keys(s.imports)) {
		if err := s.close(scope, false); err != nil {
			stop()
			s.drop()
			run.Abort()
			return s.result, err
		}
	}
	s.result.Graph, err = run.Finish(ctx)
	s.result.Complete = err == nil && len(s.result.Graph.Gaps) == 0
	return s.result, err
}

// sink is the connector.Sink of one run.
type sink struct {
	*graph.Run
	ctx  context.Context
	db   store.Engine
	name string
	opts SyncOptions

	mu      sync.Mutex
	imports map[string]*scopeImport
	closed  map[string]bool // scopes whose findings were imported by this run
	result  Synced
}

// scopeImport is the import of what is found in one scope. It reads while it is given,
// so that the findings of a scope need not fit into memory.
type scopeImport struct {
	facts chan found

	mu     sync.RWMutex // held for reading while something is given
	closed bool
	whole  bool // the scope was given whole; valid once facts is closed

	ended  chan struct{} // closed when the import has ended
	result Result
	err    error
}

// found is what a detector saw. With neither finding nor statement it only says that
// the detector looked.
type found struct {
	detector  fact.Run
	finding   *fact.Finding
	statement *fact.Statement
}

// partly ends an import whose scope was not given whole: as a report that breaks off
// it keeps what was read and takes nothing as gone.
var partly = &report.Error{Offset: -1, Expected: "a scope that was read to its end"}

// open gives the import of a scope.
func (s *sink) open(scope string) *scopeImport {
	s.mu.Lock()
	defer s.mu.Unlock()
	im := s.imports[scope]
	if im != nil {
		return im
	}
	im = &scopeImport{facts: make(chan found, 64), ended: make(chan struct{})}
	s.imports[scope] = im
	target := s.name + "//" + scope
	go func() {
		defer close(im.ended)
		im.result, im.err = Facts(s.ctx, s.db, s.name+" "+scope, Options{Target: target, Now: s.opts.Now}, nil, func(to report.Sink) error {
			return im.feed(s.ctx, s.db, target, to)
		})
	}()
	return im
}

type detector struct{ tool, format string }

// feed gives an import what comes in, until there is no more. Of a scope that was
// given whole, detectors that saw something there before have looked as well.
func (im *scopeImport) feed(ctx context.Context, db store.Engine, target string, to report.Sink) error {
	var current *fact.Run
	looked, unsure := map[detector]bool{}, map[detector]bool{}
	for {
		var f found
		var more bool
		select {
		case <-ctx.Done():
			return ctx.Err()
		case f, more = <-im.facts:
		}
		if !more {
			break
		}
		key := detector{strings.ToLower(f.detector.Tool), f.detector.Format}
		unsure[key] = unsure[key] || !f.detector.Complete
		if f.finding == nil && f.statement == nil && len(f.detector.Assets) == 0 {
			continue
		}
		looked[key] = true
		if current == nil || !sameRun(current, &f.detector) {
			current = &f.detector
			run := f.detector
			if len(run.Assets) == 0 && f.finding != nil {
				run.Assets = []fact.Asset{f.finding.Asset} // without one the scope itself would become an asset
			}
			if err := to.Run(run); err != nil {
				return err
			}
		}
		var err error
		switch {
		case f.finding != nil:
			err = to.Finding(*f.finding)
		case f.statement != nil:
			err = to.Statement(*f.statement)
		}
		if err != nil {
			return err
		}
	}
	if !im.whole {
		return partly
	}
	var silent []fact.Run
	err := db.Read(ctx, func(tx store.Tx) error {
		return tx.Query(ctx, detectorsOfTarget, func(row store.Row) error {
			if key := (detector{row.Text(0), row.Text(1)}); !looked[key] && !unsure[key] {
				asset := fact.Asset{Kind: row.Text(2), Key: row.Text(3), Name: row.Text(4)}
				silent = append(silent, fact.Run{Tool: key.tool, Format: key.format, Complete: true, Assets: []fact.Asset{asset}})
			}
			return nil
		}, store.Text(target))
	})
	for _, run := range silent {
		if err == nil {
			err = to.Run(run)
		}
	}
	return err
}

func sameRun(a, b *fact.Run) bool {
	return a.Tool == b.Tool && a.Format == b.Format && a.ToolVersion == b.ToolVersion && a.Rules == b.Rules && a.Target == b.Target && a.Started == b.Started &&
		a.Complete == b.Complete && slices.Equal(a.Assets, b.Assets)
}

// send gives something to the import of a scope.
func (s *sink) send(scope string, f found) error {
	for {
		im := s.open(scope)
		im.mu.RLock()
		if im.closed { // another one was opened since
			im.mu.RUnlock()
			continue
		}
		defer im.mu.RUnlock()
		select {
		case im.facts <- f:
			return nil
		case <-im.ended:
			return fmt.Errorf("findings of %s %s: %w", s.name, scope, im.err)
		case <-s.ctx.Done():
			return s.ctx.Err()
		}
	}
}

// close ends the import of a scope and waits for it. A scope that was given whole says
// of what it no longer holds that it was looked for and not seen.
func (s *sink) close(scope string, whole bool) error {
	s.mu.Lock()
	im := s.imports[scope]
	again := s.closed[scope]
	s.closed[scope] = true
	s.mu.Unlock()
	whole = whole && !again
	if im == nil {
		if !whole {
			return nil
		}
		im = s.open(scope) // for what was found there before
	}
	s.mu.Lock()
	delete(s.imports, scope)
	s.mu.Unlock()
	im.mu.Lock()
	im.closed, im.whole = true, whole
	close(im.facts)
	im.mu.Unlock()
	<-im.ended
	var fault *report.Error
	if im.err != nil && !errors.As(im.err, &fault) {
		return fmt.Errorf("findings of %s %s: %w", s.name, scope, im.err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, run := range im.result.Runs {
		s.result.Findings += run.Seen
		s.result.New += run.New
		s.result.Changed += run.Changed
		s.result.Reopened += run.Reopened
		s.result.Unconfirmed += run.Unconfirmed
	}
	for _, problem := range im.result.Problems {
		s.Note(scope, problem)
	}
	return nil
}

// drop waits for the imports of a run that has ended.
func (s *sink) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, im := range s.imports {
		<-im.ended
	}
}

// Finding implements connector.Sink.
func (s *sink) Finding(scope string, run fact.Run, finding *fact.Finding) error {
	own := *finding
	run.Complete = true // which the scope says at its end
	return s.send(scope, found{detector: run, finding: &own})
}

// Report implements connector.Sink: it reads a system's own export with the reader
// that recognises it.
func (s *sink) Report(scope, name string, data io.Reader) error {
	err := report.Read(s.ctx, s.opts.Readers, name, data, &handedOn{sink: s, scope: scope})
	var fault *report.Error
	switch {
	case s.ctx.Err() != nil:
		return s.ctx.Err()
	case errors.As(err, &fault) || errors.Is(err, report.ErrUnknownFormat):
		s.Gap(scope, err)
		return nil
	}
	return err
}

// handedOn takes what a reader finds in a report that a source handed on.
type handedOn struct {
	sink  *sink
	scope string
	run   fact.Run
}

// Run implements report.Sink.
func (h *handedOn) Run(run fact.Run) error {
	h.run = run
	return h.sink.send(h.scope, found{detector: run})
}

// Finding implements report.Sink.
func (h *handedOn) Finding(f fact.Finding) error {
	return h.sink.send(h.scope, found{detector: h.run, finding: &f})
}

// Component implements report.Sink; an inventory inside an export is not kept.
func (h *handedOn) Component(fact.Component) error { return nil }

// Statement implements report.Sink.
func (h *handedOn) Statement(f fact.Statement) error {
	return h.sink.send(h.scope, found{detector: h.run, statement: &f})
}

// Bounds of what may go in one run.
const (
	defaultShrink = 0.5
	smallScope    = 10 // assets; smaller scopes may lose all of them
)

// bound makes a gap of a scope that lost too much.
func (s *sink) bound(scope string) error {
	most := s.opts.Shrink
	if most == 0 {
		most = defaultShrink
	}
	if most >= 1 || !s.Whole(scope) {
		return nil
	}
	stored, given, err := s.Sizes(scope)
	if err == nil && stored >= smallScope && float64(stored-given) >= most*float64(stored) {
		s.Gap(scope, fmt.Errorf("it held %d assets and holds %d now, which is too much for one run: what is missing is kept until the loss is accepted (source sync --accept-shrink)", stored, given))
	}
	return err
}

// Covered implements connector.Sink.
func (s *sink) Covered(scope string) error {
	if err := s.bound(scope); err != nil {
		return fmt.Errorf("scope %s of %s: %w", scope, s.name, err)
	}
	if err := s.close(scope, s.Whole(scope)); err != nil {
		return err
	}
	return s.Run.Covered(scope)
}

// Progress implements connector.Sink.
func (s *sink) Progress(stage string, done, total int) {
	if s.opts.Progress != nil {
		s.opts.Progress(stage, done, total)
	}
}
