package intake

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/store"
)

// Synced is what one run of a source brought.
type Synced struct {
	Source  string        `json:"source"`
	Resumed bool          `json:"resumed,omitempty"` // an earlier run was taken up
	Graph   graph.Summary `json:"graph"`
	// Findings counts what the system itself had found.
	Findings int  `json:"findings"`
	New      int  `json:"new_findings"`
	Complete bool `json:"complete"` // no scope was a gap
}

// SyncOptions say what the caller knows.
type SyncOptions struct {
	Readers  []report.Reader // of reports that a source hands on
	Now      time.Time
	Progress func(stage string, done, total int)
}

// Sync runs a source once under a name: assets, relations and claims go into the
// graph, findings into the store by the laws of every import. A run that was cut off
// is taken up; what could not be read is a gap of the summary, and nothing of it is
// gone. When ctx ends, what was covered stays and the run can be taken up later.
func Sync(ctx context.Context, db store.Engine, g *graph.Graph, name string, source connector.Source, values connector.Values, opts SyncOptions) (Synced, error) {
	run, err := g.Begin(ctx, name, opts.Now)
	if err != nil {
		return Synced{Source: name}, err
	}
	s := &sink{Run: run, ctx: ctx, db: db, name: name, opts: opts, found: map[string][]runFindings{}}
	s.result = Synced{Source: name, Resumed: run.Resumed()}
	err = source.Sync(ctx, values, s)
	if err == nil {
		err = ctx.Err()
	}
	if err != nil {
		run.Suspend()
		return s.result, fmt.Errorf("source %s: %w", name, err)
	}
	// Findings of scopes that were not covered are kept; none of theirs is gone.
	for _, scope := range slices.Sorted(maps.Keys(s.found)) {
		if err := s.findings(scope, false); err != nil {
			run.Suspend()
			return s.result, err
		}
	}
	s.result.Graph, err = run.Finish()
	s.result.Complete = len(s.result.Graph.Gaps) == 0
	return s.result, err
}

// runFindings are what one detector found in a scope.
type runFindings struct {
	run      fact.Run
	findings []fact.Finding
}

// sink is the connector.Sink of one run.
type sink struct {
	*graph.Run
	ctx    context.Context
	db     store.Engine
	name   string
	opts   SyncOptions
	mu     sync.Mutex
	found  map[string][]runFindings
	gaps   map[string]bool
	result Synced
}

// Finding implements connector.Sink.
func (s *sink) Finding(scope string, run fact.Run, finding *fact.Finding) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hold(scope, run).findings = append(s.hold(scope, run).findings, *finding)
	return s.ctx.Err()
}

// hold gives the findings of a detector in a scope.
func (s *sink) hold(scope string, run fact.Run) *runFindings {
	list := s.found[scope]
	for i := range list {
		if list[i].run.Tool == run.Tool && list[i].run.Format == run.Format {
			list[i].run.Assets = append(list[i].run.Assets, run.Assets...)
			return &list[i]
		}
	}
	s.found[scope] = append(list, runFindings{run: run})
	return &s.found[scope][len(list)]
}

// Report implements connector.Sink: it reads a system's own export with the reader
// that recognises it.
func (s *sink) Report(scope, name string, data io.Reader) error {
	collected := &collector{sink: s, scope: scope}
	err := report.Read(s.ctx, s.opts.Readers, name, data, collected)
	switch {
	case s.ctx.Err() != nil:
		return s.ctx.Err()
	case err != nil:
		s.Gap(scope, err)
	}
	return nil
}

// collector takes what a reader finds in a report that a source handed on.
type collector struct {
	*sink
	scope string
	run   fact.Run
}

func (c *collector) Run(run fact.Run) error {
	c.run = run
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hold(c.scope, run)
	return nil
}

func (c *collector) Finding(f fact.Finding) error { return c.sink.Finding(c.scope, c.run, &f) }

// Component implements report.Sink; an inventory inside an export is not kept.
func (c *collector) Component(fact.Component) error { return nil }

// Statement implements report.Sink.
func (c *collector) Statement(fact.Statement) error { return nil }

// Gap implements connector.Sink.
func (s *sink) Gap(scope string, err error) {
	s.mu.Lock()
	if s.gaps == nil {
		s.gaps = map[string]bool{}
	}
	s.gaps[scope] = true
	s.mu.Unlock()
	s.Run.Gap(scope, err)
}

// Covered implements connector.Sink.
func (s *sink) Covered(scope string) error {
	s.mu.Lock()
	whole := !s.gaps[scope]
	s.mu.Unlock()
	if err := s.findings(scope, whole); err != nil {
		return err
	}
	return s.Run.Covered(scope)
}

// findings imports what was found in a scope. Only a scope that was given whole says
// that what it no longer holds was looked for and not seen.
func (s *sink) findings(scope string, whole bool) error {
	s.mu.Lock()
	list := s.found[scope]
	delete(s.found, scope)
	s.mu.Unlock()
	if len(list) == 0 {
		return nil
	}
	imported, err := Facts(s.ctx, s.db, s.name+" "+scope, Options{Target: s.name + "//" + scope, Partial: !whole, Now: s.opts.Now}, nil, func(to report.Sink) error {
		for _, one := range list {
			one.run.Complete = whole
			if err := to.Run(one.run); err != nil {
				return err
			}
			for _, f := range one.findings {
				if err := to.Finding(f); err != nil {
					return err
				}
			}
		}
		return nil
	})
	var fault *report.Error
	if err != nil && !errors.As(err, &fault) {
		return fmt.Errorf("findings of %s %s: %w", s.name, scope, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.result.Findings += imported.Seen()
	for _, run := range imported.Runs {
		s.result.New += run.New
	}
	return nil
}

// Progress implements connector.Sink.
func (s *sink) Progress(stage string, done, total int) {
	if s.opts.Progress != nil {
		s.opts.Progress(stage, done, total)
	}
}
