// Package agent does the whole job over a repository: it investigates findings
// (where, who, how), compares the ways to fix them, proves the chosen one and
// opens the change. It needs no language model.
//
// A Desk is what a command line, a server or a tool calls, so that none of them
// can differ. Everything that it reaches outside goes through the delivery log.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/action"
	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/intake"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/scan"
	"github.com/backstitch/backstitch/store"
	"github.com/backstitch/backstitch/verify"
)

// Desk is where the work is done: what is built in, over one state. It is safe
// for one job at a time.
type Desk struct {
	DB         store.Engine
	Graph      *graph.Graph
	Advisories *advisory.Index // nil when nothing was imported yet
	Readers    []report.Reader
	// Scanner makes the dependency scanner over what is known of flaws; reported is
	// what others resolved for modules.
	Scanner func(advisories scan.Advisories, reported ...lockfile.Reported) scan.Scanner
	// Lifecycle makes the scanner for what its maker no longer supports.
	Lifecycle func(lives scan.Lives, now func() time.Time) scan.Scanner
	// Detectors makes the scanners of ours that judge configuration; they see again, for
	// a proof, what detectors told of.
	Detectors func(advisories scan.Advisories, images fix.Images, renderer kubernetes.Renderer) []scan.Scanner
	// Images tells what is known of images outside repositories; nil for nothing.
	Images func(advisories scan.Advisories) fix.Images
	Fixers []fix.Fixer
	// Registry prepares what an ecosystem's registry is asked with, for requests
	// that allow it; close releases it.
	Registry func(ctx context.Context, ecosystem string) (registry fix.Registry, close func() error, err error)
	Renderer kubernetes.Renderer // renders charts
	// Owned puts the owners that all sources and people name into issues.
	Owned func(ctx context.Context, issues []issue.Issue) error
	// Forge gives the forge that a remote belongs to; plain git when no other does.
	Forge   func(remote string) (connector.Forge, error)
	Log     *action.Log
	Cache   string        // folder of indexes that can be made again
	Signer  verify.Signer // nil leaves proofs unsigned
	Version string        // of the program, for the record of a proof
	// Consent says that the operator takes bubblewrap for enough to run a repository's own
	// build and tests in.
	Consent bool
	Self    string // this program, which is its own child
	// Modules is the folder of the operator's cache of Go modules, "" for none; only
	// sources are read there.
	Modules string
	Now     func() time.Time
	// Progress hears of the stages of long work; total is 0 when unknown.
	Progress func(stage string, done, total int)
}

// Request asks for a triage.
type Request struct {
	Repo    string   // a folder of the repository
	Commit  string   // commit to look at, "" for HEAD
	Reports []string // files of reports; none means that we scan ourselves
	Verify  bool     // prove each recommended fix
	// Images are references or files of images to look into, so that what was
	// found in them leads to the lines that brought it.
	Images []string
	// Registries allows asking the ecosystems' registries which versions exist
	// and what they require, through the ecosystems' own tools. Without it
	// nothing is asked, and raising an ancestor cannot be planned.
	Registries bool
}

// Triage is the answer: issues with where, who and how, worst first.
type Triage struct {
	Repository string
	Commit     string
	Issues     []issue.Issue
	// Complete says that everything that was asked to be looked at was; Why
	// tells what was not.
	Complete bool
	Why      string
	Problems []string // what was left out, for people to read
}

// Imported is what one report brought.
type Imported struct {
	Name        string   `json:"name"`
	Tool        string   `json:"tool"`
	Seen        int      `json:"findings"`
	New         int      `json:"new"`
	Changed     int      `json:"changed"`
	Reopened    int      `json:"reopened"`
	Unconfirmed int      `json:"unconfirmed"`
	Complete    bool     `json:"complete"`
	Problems    []string `json:"problems,omitempty"`

	assets []fact.Asset
}

// ErrNothing says that there was nothing to look at.
var ErrNothing = errors.New("nothing was looked at")

// Import reads reports about the repository at repo into the store. A report
// that cannot be read, or only in part, becomes a problem; the others go on.
func (d *Desk) Import(ctx context.Context, repo string, names []string) ([]Imported, []string, error) {
	repository, err := git.Open(ctx, repo)
	if err != nil {
		return nil, nil, err
	}
	identity, err := repository.Identity(ctx)
	if err != nil {
		return nil, nil, err
	}
	return d.importReports(ctx, repository, identity, names)
}

func (d *Desk) importReports(ctx context.Context, repository *git.Repository, identity string, names []string) (results []Imported, problems []string, err error) {
	for i, name := range names {
		d.Progress("reading reports", i, len(names))
		result, err := d.importReport(ctx, repository, identity, name)
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		var fault *report.Error
		switch {
		case err == nil:
		case errors.As(err, &fault), errors.Is(err, os.ErrNotExist), errors.Is(err, os.ErrPermission):
			problems = append(problems, err.Error())
		default:
			return nil, nil, fmt.Errorf("import %s: %w", name, err)
		}
		whole := err == nil
		if whole && !result.Complete && result.Seen() == 0 && len(result.Problems) == 0 {
			result.Problems = append(result.Problems, "no finding is in it, and nothing says that its run was complete")
		}
		unread, err := d.tellImages(ctx, result.Assets, result.Images)
		if err != nil {
			return nil, nil, fmt.Errorf("import %s: %w", name, err)
		}
		for _, problem := range append(result.Problems, unread...) {
			problems = append(problems, filepath.Base(name)+": "+problem)
		}
		tools := []string{}
		brought := Imported{Name: filepath.Base(name), Complete: result.Complete && whole, Problems: result.Problems, assets: result.Assets}
		for _, run := range result.Runs {
			if !slices.Contains(tools, run.Tool) {
				tools = append(tools, run.Tool)
			}
			brought.Seen += run.Seen
			brought.New += run.New
			brought.Changed += run.Changed
			brought.Reopened += run.Reopened
			brought.Unconfirmed += run.Unconfirmed
		}
		brought.Tool = strings.Join(tools, ", ")
		results = append(results, brought)
	}
	d.Progress("", 0, 0)
	return results, problems, nil
}

func (d *Desk) importReport(ctx context.Context, repository *git.Repository, identity, name string) (intake.Result, error) {
	file, err := os.Open(name)
	if err != nil {
		return intake.Result{}, err
	}
	defer file.Close()
	return intake.Import(ctx, d.DB, d.Readers, name, file, intake.Options{
		Repository: identity,
		Root:       repository.Root(),
		Keep:       true,
		Now:        d.Now(),
	})
}

// Shown is what a report holds, as it would be imported.
type Shown struct {
	Runs       []fact.Run     `json:"runs"`
	Findings   []fact.Finding `json:"findings"`
	Components int            `json:"components"`
	Statements int            `json:"statements"`
}

// ShowReport reads a report without importing it. What was read before an error
// is returned beside it.
func ShowReport(ctx context.Context, readers []report.Reader, name string, in io.Reader) (Shown, error) {
	shown := Shown{Runs: []fact.Run{}, Findings: []fact.Finding{}}
	err := report.Read(ctx, readers, name, in, (*shownSink)(&shown))
	return shown, err
}

type shownSink Shown

func (s *shownSink) Run(run fact.Run) error {
	s.Runs = append(s.Runs, run)
	return nil
}

func (s *shownSink) Finding(f fact.Finding) error {
	s.Findings = append(s.Findings, f)
	return nil
}

func (s *shownSink) Component(fact.Component) error {
	s.Components++
	return nil
}

func (s *shownSink) Statement(fact.Statement) error {
	s.Statements++
	return nil
}
