// Package intake brings facts into the store: reports through their readers,
// and what our own scanners find.
//
// An import streams. Texts that many findings share are stored once, each
// finding becomes a short record, and at the end the records of each asset,
// sorted by fingerprint, are merged with what is stored. Only new, changed and
// reopened findings are written, so the same report twice writes no finding row
// (law 1); that a finding was seen again is said by the run, which names the
// scopes it covered. All findings of an import become visible in one
// transaction; texts stored before it are invisible until then.
//
// # Identity
//
// A finding is found again by the fingerprint of (scheme version, kind, the
// detector's own rule id, package name or anchor, path) within its asset and
// detector. No version, line or time is part of it. The rule id is the
// detector's own and not that of the alias class, so that learning that two
// ids are one flaw never turns one finding into another; the class joins
// findings in their issue instead. Findings of one report with equal
// fingerprints are numbered; contents decide which is which.
//
// # Absence
//
// A scope is a detector's look at an asset under a target. What a complete run
// no longer sees in a scope that it covered becomes unconfirmed, never closed
// (law 2). A run that is incomplete by its own word, or because its report ended
// in an error, unconfirms nothing.
package intake

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"time"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/scan"
	"github.com/backstitch/backstitch/store"
)

//go:embed queries.sql
var queryText string

var queries = store.ParseQueries("intake", queryText)

// Options say what the caller knows about what is imported.
type Options struct {
	// Repository is the canonical identity of the repository that was looked
	// at. When set, what a reader calls a repository, a file, a package or
	// unknown belongs to it. Images, hosts and cloud resources stay themselves.
	Repository string
	// Root is the folder that absolute paths of the report lie in, for example
	// the checkout; it is cut off.
	Root string
	// Target replaces the report's own word for what was looked at. Runs of one
	// detector with the same target can say that a finding is gone.
	Target string
	// Partial says that the reports do not list everything that was found.
	Partial bool
	// Complete are assets that were looked at completely, whatever the report
	// says.
	Complete []fact.Asset
	// Keep keeps the raw report, compressed, as the evidence of what was read.
	Keep bool
	// Now is the time of the import.
	Now time.Time
}

// Result says what an import did. The rows written are Written().
type Result struct {
	Runs   []Run
	Assets []fact.Asset // assets that findings were seen in or that were covered, sorted
	// Images are the configurations of scanned images that the report holds.
	Images []fact.ImageConfig
	// Complete says that all runs of the report were complete and read to the end.
	Complete bool
	// Problems are things that were left out, for people to read.
	Problems []string
}

// Run is what one detector's run brought.
type Run struct {
	ID     int64
	Tool   string
	Format string
	Seen   int
	New    int
	// Changed, Reopened and Unconfirmed count findings that were there before.
	Changed     int
	Reopened    int
	Unconfirmed int
	Unchanged   int
	Statements  int
	Complete    bool
}

// Written counts the finding rows that the import wrote.
func (r Result) Written() int {
	n := 0
	for _, run := range r.Runs {
		n += run.New + run.Changed + run.Reopened + run.Unconfirmed
	}
	return n
}

// Seen counts the findings that the import read.
func (r Result) Seen() int {
	n := 0
	for _, run := range r.Runs {
		n += run.Seen
	}
	return n
}

// Scan runs one of our own scanners over a tree and imports what it finds, by
// the same rules. The problems of the scan are among those of the result and
// make the run incomplete.
func Scan(ctx context.Context, db store.Engine, scanner scan.Scanner, tree code.Tree, opts Options) (Result, error) {
	about := scanner.Describe()
	var problems []scan.Problem
	result, err := Facts(ctx, db, about.ID, opts, nil, func(sink report.Sink) error {
		found := []fact.Finding{}
		var err error
		problems, err = scanner.Scan(ctx, tree, func(f fact.Finding) error {
			found = append(found, f)
			return nil
		})
		if err != nil {
			return fmt.Errorf("%s: %w", about.ID, err)
		}
		run := fact.Run{Tool: about.ID, Format: "scan", Rules: about.Rules, Complete: len(problems) == 0}
		if err := sink.Run(run); err != nil {
			return err
		}
		for _, f := range found {
			if err := sink.Finding(f); err != nil {
				return err
			}
		}
		return nil
	})
	for _, p := range problems {
		text := p.Path
		if p.Line > 0 {
			text += fmt.Sprintf(":%d", p.Line)
		}
		result.Problems = append(result.Problems, text+": "+p.Text)
	}
	return result, err
}

// Facts imports what feed gives to its sink. A *report.Error of feed keeps what
// was given before it, as an incomplete run; any other error keeps nothing. blob
// is the raw report as far as it is being kept, or nil.
func Facts(ctx context.Context, db store.Engine, name string, opts Options, blob *store.BlobWriter, feed func(report.Sink) error) (Result, error) {
	im := newImporter(ctx, db, name, opts)
	err := feed(im)
	var fault *report.Error
	if err != nil && !errors.As(err, &fault) {
		return Result{}, err
	}
	if ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	im.broken = err != nil
	if len(im.runs) == 0 {
		return Result{}, err
	}
	blobID := int64(0)
	if blob != nil {
		var failed error
		if blobID, failed = blob.Commit(); failed != nil {
			return Result{}, errors.Join(err, failed)
		}
	}
	result, failed := im.finish(blobID)
	if failed != nil {
		return Result{}, errors.Join(err, fmt.Errorf("import %s: %w", name, failed))
	}
	return result, err
}

// Queries lists the package's queries, for the conformance suite of engines.
func Queries() *store.Queries { return queries }
