package agent

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/code/gocalls"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/verify"
)

// Bounds of following the calls of one module.
const (
	callsTimeout = 4 * time.Minute
	callsMemory  = 6 << 30
)

// ErrNoCalls says that the calls of a module cannot be followed here.
var ErrNoCalls = errors.New("calls cannot be followed")

// FollowCalls follows the calls of the Go program that an issue is in to the symbols
// that its advisories name, at the commit that the request names, puts what it found
// into the issue's fix paths and keeps it. No code of the program runs; it is
// type-checked in a sandbox without a network.
func (d *Desk) FollowCalls(ctx context.Context, request FixRequest) (issue.Issue, error) {
	s, it, chosen, _, err := d.chosen(ctx, request)
	if err != nil {
		return it, err
	}
	w := &weigher{desk: d, scene: s}
	m := w.module(&chosen)
	if m == nil || m.Ecosystem != "Go" || it.Package == nil {
		return it, fmt.Errorf("issue %s: %w: only those of Go are", it.ID, ErrNoCalls)
	}
	pkg, _ := fact.ParsePURL(it.Package.PURL)
	var advisories []fact.Advisory
	for _, id := range it.Advisories {
		if a, ok := s.known.lookup(id); ok && slices.ContainsFunc(a.Affected, func(f fact.Affected) bool { return f.Name == pkg.Name && len(f.Symbols) > 0 }) {
			advisories = append(advisories, a)
		}
	}
	if len(advisories) == 0 {
		return it, fmt.Errorf("issue %s: %w: no advisory at hand names the flawed symbols", it.ID, ErrNoCalls)
	}
	d.Progress("following calls", 0, 0)
	calls, by, err := d.callsOf(ctx, s, m, advisories)
	if err != nil {
		return it, fmt.Errorf("issue %s: %w", it.ID, err)
	}
	reached := w.called(calls, m, by)
	for i := range it.FixPaths {
		if p := &it.FixPaths[i]; w.module(p) == m {
			p.Reachability = reached
		}
	}
	if compared(it.FixPaths) {
		it.FixPaths = fix.Compare(it.FixPaths)
	}
	it.RiskTerms = slices.DeleteFunc(it.RiskTerms, func(t issue.Term) bool {
		if t.Name != reachabilityTerm {
			return false
		}
		it.Risk = math.Round(10*(it.Risk-t.Effect)) / 10
		return true
	})
	lower(&it)
	d.Progress("", 0, 0)
	return it, issue.Save(ctx, d.DB, []issue.Issue{it}, d.Now())
}

// callsOf runs the child over a checkout in a sandbox. by says what did it.
func (d *Desk) callsOf(ctx context.Context, s *scene, m *lockfile.Module, advisories []fact.Advisory) (calls []gocalls.Call, by string, err error) {
	if d.Self == "" || d.Modules == "" {
		return nil, "", fmt.Errorf("%w: there is no module cache", ErrNoCalls)
	}
	sandbox, err := verify.FindSandbox(ctx)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrNoCalls, err)
	}
	program, err := exec.LookPath("go")
	if err != nil {
		return nil, "", fmt.Errorf("%w: go is not installed", ErrNoCalls)
	}
	tool, err := fix.NewTool("GOENV=off", "GOTOOLCHAIN=local")
	if err != nil {
		return nil, "", err
	}
	said, err := tool.Run(ctx, tool.Home(), program, "env", "GOROOT")
	if err = errors.Join(err, tool.Close()); err != nil {
		return nil, "", err
	}
	root := strings.TrimSpace(string(said))
	work, err := os.MkdirTemp("", "backstitch-calls-")
	if err != nil {
		return nil, "", err
	}
	defer os.RemoveAll(work)
	if _, err := gocalls.WriteDatabase(filepath.Join(work, "db"), advisories); err != nil {
		return nil, "", err
	}
	if err := s.repository.Checkout(ctx, s.commit, filepath.Join(work, "src")); err != nil {
		return nil, "", err
	}
	cache := filepath.Join(d.Cache, "calls")
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return nil, "", err
	}
	outcome, err := sandbox.Run(ctx, verify.Command{
		Work: work, Cache: cache, ReadOnly: []string{root, d.Modules, d.Self},
		Env: append([]string{
			"PATH=" + filepath.Join(root, "bin") + ":/usr/local/bin:/usr/bin:/bin", "GOROOT=" + root, "GOMODCACHE=" + d.Modules, "GOCACHE=/cache", "GOPATH=/tmp/go",
		}, gocalls.Environment...),
		Argv:    append([]string{d.Self}, gocalls.Arguments(path.Join("/work/src", m.Dir), "/work/db", "/work/calls.json")...),
		Timeout: callsTimeout, Memory: callsMemory,
	})
	if err != nil {
		return nil, "", err
	}
	if outcome.Exit != 0 {
		lines := strings.Split(fix.Scrub(string(outcome.Output)+"\n"+outcome.Reason), "\n")
		return nil, "", fmt.Errorf("%w: %s", ErrNoCalls, strings.Join(lines[max(len(lines)-4, 0):], "; "))
	}
	// The child may have made anything of its folder.
	data, err := fix.ReadFile(work, "calls.json")
	if err != nil {
		return nil, "", err
	}
	calls, err = gocalls.Read(strings.NewReader(string(data)))
	return calls, sandbox.Name(), err
}

// called makes evidence of calls.
func (w *weigher) called(calls []gocalls.Call, m *lockfile.Module, by string) *fix.Reachability {
	source := fmt.Sprintf("%s@%.12s", w.scene.identity, w.scene.commit)
	if len(calls) == 0 { // a module that is required is said to be
		return &fix.Reachability{Verdict: fix.ReachUnknown, Evidence: []fact.Evidence{fix.NotKnown("call graph", source, "the flawed module is not among those that the go command lists")}}
	}
	r := &fix.Reachability{Verdict: fix.ReachesModule}
	detail := "no package of the program is one of the flawed ones"
	nearest := 0
	for _, c := range calls {
		switch {
		case c.Symbol != "":
			if nearest < 2 {
				nearest, r.Verdict, r.Uses = 2, fix.ReachesSymbol, nil
				detail = "a call leads to " + c.Package + "." + c.Symbol
				var chain []string
				for _, frame := range c.Trace {
					chain = append(chain, frame.Function)
				}
				if len(chain) > 1 {
					detail += ": " + strings.Join(chain, " > ")
				}
			}
			if len(r.Uses) >= 10 {
				continue
			}
			for i := len(c.Trace) - 1; i >= 0; i-- { // where the program's own code leaves it
				if f := c.Trace[i]; f.Own && f.File != "" && filepath.IsLocal(f.File) {
					at := path.Join(m.Dir, f.File)
					use := fix.Use{Symbol: c.Package + "." + c.Symbol, Location: fact.Location{Repository: w.scene.identity, Commit: w.scene.commit, Path: at, Line: f.Line, EndLine: f.Line}}
					if !slices.Contains(r.Uses, use) {
						r.Uses = append(r.Uses, use)
					}
					break
				}
			}
		case c.Package != "" && nearest < 1:
			nearest, r.Verdict = 1, fix.ReachesPackage
			detail = c.Package + " is part of the program, and no call leads to what is flawed in it; calls by reflection are not seen"
		}
	}
	r.Evidence = []fact.Evidence{{Method: "call graph", Source: source, Strength: fact.Derived, Detail: detail + "; type-checked in " + by + ", nothing of it was run"}}
	return r
}
