package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/codeowners"
	"github.com/backstitch/backstitch/code/goapi"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/outcome"
	"github.com/backstitch/backstitch/owner"
	"github.com/backstitch/backstitch/remediation"
)

// maxCompared bounds how many pairs of versions one investigation compares anew.
const maxCompared = 60

// weigher gathers what speaks for and against paths, each answer once.
type weigher struct {
	desk     *Desk
	scene    *scene
	history  *outcome.Index
	owners   *codeowners.Rules
	cache    *goapi.Cache // nil when no module cache is known
	fetch    fix.Sources  // nil when registries are not asked
	uses     map[*lockfile.Module]*goapi.Uses
	closures map[*lockfile.Module]*goapi.Closure
	breaking map[string]fix.Breaking
	compared int
}

// weigh puts evidence into the fix paths of issues and compares those that were
// compared before anew: whether they break what is used here, whether the flaw is
// reached, what became of such changes, how long they take, who has to agree.
func (d *Desk) weigh(ctx context.Context, s *scene, issues []issue.Issue, ask bool, result *Triage) (err error) {
	if !slices.ContainsFunc(issues, func(it issue.Issue) bool { return len(it.FixPaths) > 0 }) {
		return nil
	}
	d.Progress("weighing fixes", 0, 0)
	w := &weigher{desk: d, scene: s, uses: map[*lockfile.Module]*goapi.Uses{}, closures: map[*lockfile.Module]*goapi.Closure{}, breaking: map[string]fix.Breaking{}}
	if d.Modules != "" {
		w.cache = goapi.NewCache(d.Modules)
	}
	if ask && slices.ContainsFunc(s.modules, func(m lockfile.Module) bool { return m.Ecosystem == "Go" }) {
		registry, release, err := d.Registry(ctx, "Go")
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err == nil { // that it cannot be asked was said when paths were planned
			defer func() { err = errors.Join(err, release()) }()
			w.fetch, _ = registry.(fix.Sources)
		}
	}
	if w.history, err = outcome.New(ctx, s.repository, s.commit, d.Cache); err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		result.problem(fmt.Sprintf("what became of earlier changes is not known: %v", err))
	}
	if w.history != nil {
		past, err := w.own(ctx)
		if err != nil {
			return err
		}
		w.history.Include(past...)
	}
	if w.owners, _, err = codeowners.Find(ctx, s.tree, codeowners.DialectOf(s.identity)); err != nil {
		return err
	}
	for i := range issues {
		d.Progress("weighing fixes", i, len(issues))
		it := &issues[i]
		for j := range it.FixPaths {
			if err := w.weighPath(ctx, it, &it.FixPaths[j]); err != nil {
				return err
			}
		}
		// Paths that leave a place of the issue are listed and not compared.
		if compared(it.FixPaths) {
			it.FixPaths = fix.Compare(it.FixPaths)
		}
		lower(it)
	}
	issue.Sort(issues)
	return nil
}

// compared says whether an issue's paths stand against each other: one is recommended, or
// none because nothing but an exception is left. Others leave a place of the issue.
func compared(paths []fix.Path) bool {
	return slices.ContainsFunc(paths, func(p fix.Path) bool { return p.Recommended || p.Kind == fix.Accept })
}

// reachabilityTerm is the name of what reachability takes from a risk.
const reachabilityTerm = "reachability"

// lower takes from an issue's risk where the program is known not to meet the flaw in
// any of the modules that hold it. It closes nothing.
func lower(it *issue.Issue) {
	weight, why := 0.0, ""
	for i := range it.FixPaths {
		if r := it.FixPaths[i].Reachability; r != nil && r.Weight(it.Exploit) > weight {
			weight, why = r.Weight(it.Exploit), r.Verdict+": "+r.Evidence[0].Detail
		}
	}
	effect := math.Round(10*(weight-1)*it.Risk) / 10
	if weight == 0 || effect >= 0 {
		return
	}
	it.Risk = math.Round(10*(it.Risk+effect)) / 10
	it.RiskTerms = append(it.RiskTerms, issue.Term{Name: reachabilityTerm, Detail: why, Effect: effect})
}

func (w *weigher) weighPath(ctx context.Context, it *issue.Issue, p *fix.Path) error {
	module := w.module(p)
	var err error
	if module != nil {
		if p.Breaking, err = w.breaks(ctx, module, p); err != nil {
			return err
		}
		if it.Kind == fact.Vulnerability {
			if p.Reachability, err = w.reaches(ctx, module, it); err != nil {
				return err
			}
		}
	}
	if w.history != nil {
		p.History = w.before(module, p)
	}
	p.Reviewers = w.reviewers(it, p)
	p.Live = w.live(p)
	return nil
}

// module finds the module whose packages a path moves.
func (w *weigher) module(p *fix.Path) *lockfile.Module {
	for i := range w.scene.modules {
		m := &w.scene.modules[i]
		if m.Dir != p.Module || len(p.Changes) == 0 {
			continue
		}
		for _, fixer := range w.desk.Fixers {
			planner, ok := fixer.(fix.ModuleFixer)
			if ok && fixer.Describe().ID == p.Fixer && planner.Handles(m) && slices.ContainsFunc(m.Packages, func(q lockfile.Package) bool {
				return lockfile.SameName(m.Ecosystem, q.Name, p.Changes[0].Package)
			}) {
				return m
			}
		}
	}
	return nil
}

// places lists the files that a path changes, as far as it says.
func places(p *fix.Path) []string {
	var list []string
	add := func(name string) {
		if name != "" && !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	for _, edit := range p.Edits {
		add(edit.Path)
	}
	for _, step := range p.Steps {
		if step.Location != nil {
			add(step.Location.Path)
		}
	}
	return list
}

// questions asks what became of changes like a path.
func questions(module *lockfile.Module, p *fix.Path) (list []outcome.Question) {
	files := places(p)
	switch {
	case module != nil:
		for _, change := range p.Changes {
			list = append(list, outcome.Question{Kind: outcome.Dependency, Ecosystem: module.Ecosystem, Subject: change.Package})
		}
		return list
	case p.Manual || p.Kind == fix.Stopgap || p.Kind == fix.Rebuild || p.Kind == fix.Accept:
		return nil // no commit shows it
	case p.Kind == fix.ChangeBase || p.Kind == fix.PinDigest:
		for _, change := range p.Changes {
			list = append(list, outcome.Question{Kind: outcome.BaseImage, Subject: change.Package})
		}
	case p.Kind == fix.RaiseModule:
		for _, change := range p.Changes {
			list = append(list, outcome.Question{Kind: outcome.Module, Subject: change.Package})
		}
	case len(files) > 0 && strings.Contains(files[0], ".github/workflows/") && len(p.Changes) > 0:
		list = append(list, outcome.Question{Kind: outcome.Action, Subject: p.Changes[0].Package})
	}
	if len(files) > 0 {
		list = append(list, outcome.Question{Kind: outcome.Config, Subject: files[0]})
	}
	return list
}

// before tells what became of changes like a path: of the one that was taken back
// lately, or else of the first that was made before.
func (w *weigher) before(module *lockfile.Module, p *fix.Path) *fix.History {
	var answer *fix.History
	for _, question := range questions(module, p) {
		h := w.history.Of(question)
		if h == nil {
			continue
		}
		if answer == nil || h.RevertedLately && !answer.RevertedLately || answer.Same.Merged == 0 && h.Same.Merged > 0 && !answer.RevertedLately {
			answer = h
		}
	}
	return answer
}

// own lists what became of our own remediations in the repository.
func (w *weigher) own(ctx context.Context) ([]outcome.Past, error) {
	list, err := remediation.List(ctx, w.desk.DB)
	if err != nil {
		return nil, err
	}
	var past []outcome.Past
	for i := range list {
		r := &list[i]
		if r.Repository != w.scene.identity || r.Merge == "" {
			continue
		}
		for _, q := range questions(w.module(&r.Path), &r.Path) {
			one := outcome.Past{Kind: q.Kind, Ecosystem: q.Ecosystem, Subject: q.Subject, Commit: r.Merge, Landed: r.Settled}
			if r.Opened > 0 && r.Settled > r.Opened {
				one.Took = r.Settled - r.Opened
			}
			if r.State == remediation.RolledBack {
				one.Reverted = r.Changed
			}
			past = append(past, one)
		}
	}
	return past, nil
}

// reviewers are those whom CODEOWNERS names for the files, or else the one whom the
// issue's owners name first.
func (w *weigher) reviewers(it *issue.Issue, p *fix.Path) []fact.Owner {
	var list []fact.Owner
	if w.owners != nil {
		for _, file := range places(p) {
			match := w.owners.Match(file)
			for _, name := range match.Owners {
				if slices.ContainsFunc(list, func(o fact.Owner) bool { return o.ID == name }) {
					continue
				}
				kind := fact.AssetPerson
				if strings.HasPrefix(name, "@") && (strings.Contains(name, "/") || strings.HasPrefix(name, "@@")) {
					kind = fact.AssetTeam
				}
				list = append(list, fact.Owner{Kind: kind, ID: name, Name: name, Role: owner.RoleOwner, Confidence: 1, Evidence: []fact.OwnerEvidence{{
					Kind: "codeowners", Source: fmt.Sprintf("%s:%d", w.owners.Path, match.Line), Detail: match.Pattern + " decides about " + file,
				}}})
			}
		}
	}
	if len(list) == 0 && len(it.Owners) > 0 {
		list = append(list, it.Owners[0])
	}
	return list
}

// live adds up how long a path takes until it runs.
func (w *weigher) live(p *fix.Path) *fix.Live {
	source := fmt.Sprintf("%s@%.12s", w.scene.identity, w.scene.commit)
	var stages []fix.Stage
	switch {
	case p.Kind == fix.Accept:
		return nil
	case p.Manual || p.Kind == fix.Stopgap:
		return fix.NewLive(fix.Stage{Name: "by hand", Evidence: fix.NotKnown("estimate", source, "people carry it out")})
	case p.Kind == fix.Rebuild:
	default:
		review := fix.Stage{Name: "review", Evidence: fix.NotKnown("git history", source, "no merge of such a change shows how long it waited")}
		if h := p.History; h != nil {
			for _, t := range []fix.Tally{h.Same, h.Kind} {
				if t.Timed > 0 {
					review.Known, review.Takes = true, t.Median
					review.Evidence = fact.Evidence{Method: "git history", Source: source, Strength: fact.Derived, Detail: fmt.Sprintf("median of %d merges from the author's date", t.Timed)}
					break
				}
			}
		}
		stages = append(stages, review)
	}
	for _, name := range []string{"build", "deploy"} {
		stages = append(stages, fix.Stage{Name: name, Evidence: fix.NotKnown("graph", source, "no run of it is recorded")})
	}
	return fix.NewLive(stages...)
}

// breaks compares what the packages of a path export before and after.
func (w *weigher) breaks(ctx context.Context, m *lockfile.Module, p *fix.Path) (*fix.Breaking, error) {
	whole := &fix.Breaking{}
	for _, change := range p.Changes {
		one := fix.Breaking{Verdict: fix.BreaksUnknown}
		if m.Ecosystem != "Go" || change.Package == "stdlib" || change.Package == "toolchain" {
			why := "what packages of " + m.Ecosystem + " export is not compared; the distance of the versions is all that is known"
			if m.Ecosystem == "Go" {
				why = "the standard library is not compared; its exported API is kept by the promise of Go 1"
			}
			one.Evidence = []fact.Evidence{fix.NotKnown("exported API", change.Package, why)}
		} else {
			var err error
			if one, err = w.breaksGo(ctx, m, change); err != nil {
				return nil, err
			}
		}
		whole.Join(one)
	}
	return whole, nil
}

func (w *weigher) breaksGo(ctx context.Context, m *lockfile.Module, change fix.Change) (fix.Breaking, error) {
	key := fmt.Sprintf("%q %s %s %s", m.Dir, change.Package, change.From, change.To)
	if known, ok := w.breaking[key]; ok {
		return known, nil
	}
	source := fmt.Sprintf("%s %s to %s", change.Package, change.From, change.To)
	changes, err := w.incompatible(ctx, change)
	if ctx.Err() != nil {
		return fix.Breaking{}, ctx.Err()
	}
	answer := fix.Breaking{Verdict: fix.BreaksUnknown}
	if err != nil {
		answer.Evidence = []fact.Evidence{fix.NotKnown("exported API", source, err.Error())}
		w.breaking[key] = answer
		return answer, nil
	}
	uses, err := w.scan(ctx, m)
	if err != nil {
		return answer, err
	}
	answer.Changed = len(changes)
	met := uses.Meet(changes)
	for _, use := range met {
		symbol := use.Package
		if use.Symbol != "" {
			symbol += "." + use.Symbol
		}
		if use.ByName {
			symbol += " (by its name)"
		}
		answer.Uses = append(answer.Uses, fix.Use{Symbol: symbol, Change: use.What, Location: w.at(use.Place)})
	}
	detail := fmt.Sprintf("%d incompatible changes of exported declarations, %d of them meet what is named here; compared as they are written", len(changes), len(met))
	switch {
	case len(changes) == 0:
		answer.Verdict = fix.BreaksNothing
	case len(met) > 0:
		answer.Verdict = fix.BreaksUsed
	case !imports(uses, change.Package):
		detail += "; whether the modules between name them was not looked at"
	case len(uses.Skipped) == 0:
		answer.Verdict = fix.BreaksUnused
	}
	answer.Evidence = []fact.Evidence{{Method: "exported API", Source: source, Strength: fact.Derived, Detail: detail}}
	for _, skipped := range uses.Skipped {
		answer.Evidence = append(answer.Evidence, fix.NotKnown("exported API", source, skipped))
	}
	w.breaking[key] = answer
	return answer, nil
}

// imports says whether a package of a module is imported here.
func imports(uses *goapi.Uses, module string) bool {
	for importPath := range uses.Imports {
		if importPath == module || strings.HasPrefix(importPath, module+"/") {
			return true
		}
	}
	return false
}

func (w *weigher) at(p goapi.Place) fact.Location {
	return fact.Location{Repository: w.scene.identity, Commit: w.scene.commit, Path: p.Path, Line: p.Line, EndLine: p.Line}
}

// incompatible lists what two versions of a module change. What was compared once is
// kept, since a version never changes.
func (w *weigher) incompatible(ctx context.Context, change fix.Change) ([]goapi.Change, error) {
	sum := sha256.Sum256([]byte("2\x00" + change.Package + "\x00" + change.From + "\x00" + change.To)) // raise it when goapi compares otherwise
	name := filepath.Join(w.desk.Cache, "goapi", hex.EncodeToString(sum[:12])+".json")
	if data, err := os.ReadFile(name); err == nil && w.desk.Cache != "" {
		var kept []goapi.Change
		if json.Unmarshal(data, &kept) == nil {
			return kept, nil
		}
	}
	if w.compared++; w.compared > maxCompared {
		return nil, fmt.Errorf("more than %d pairs of versions were to be compared", maxCompared)
	}
	var apis [2]*goapi.API
	for i, version := range []string{change.From, change.To} {
		sources, done, err := w.sources(ctx, change.Package, version)
		if err != nil {
			return nil, err
		}
		apis[i], err = goapi.Read(ctx, sources, change.Package)
		if err = errors.Join(err, done()); err != nil {
			return nil, err
		}
	}
	changes := goapi.Incompatible(apis[0], apis[1])
	if w.desk.Cache == "" {
		return changes, nil
	}
	data, err := json.Marshal(changes)
	if err == nil {
		err = keep(name, data)
	}
	return changes, err
}

// keep writes a file in one step.
func keep(name string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(name), ".keep-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(data)
	if err = errors.Join(err, file.Close()); err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}

// sources gives those of a module version from the module cache, or from the registry
// where that is allowed.
func (w *weigher) sources(ctx context.Context, name, version string) (fs.FS, func() error, error) {
	if w.cache != nil {
		sources, done, err := w.cache.Open(name, version)
		if err == nil || !errors.Is(err, goapi.ErrNoSources) {
			return sources, done, err
		}
	}
	if w.fetch == nil {
		return nil, nil, fmt.Errorf("%s@%s: %w, and registries were not asked", name, version, goapi.ErrNoSources)
	}
	return w.fetch.Sources(ctx, name, version)
}

// scan reads the Go files of a module of the repository, once.
func (w *weigher) scan(ctx context.Context, m *lockfile.Module) (*goapi.Uses, error) {
	if known := w.uses[m]; known != nil {
		return known, nil
	}
	var nested []string
	for i := range w.scene.modules {
		if other := &w.scene.modules[i]; other.Ecosystem == "Go" && other.Dir != m.Dir {
			nested = append(nested, other.Dir)
		}
	}
	uses, err := goapi.Scan(ctx, w.scene.tree, m.Dir, nested)
	if err != nil {
		return nil, fmt.Errorf("sources of %s: %w", cmp.Or(m.Dir, "the repository"), err)
	}
	w.uses[m] = uses
	return uses, nil
}

// reaches says whether the program of a module meets an issue's flaw.
func (w *weigher) reaches(ctx context.Context, m *lockfile.Module, it *issue.Issue) (*fix.Reachability, error) {
	source := fmt.Sprintf("%s@%.12s", w.scene.identity, w.scene.commit)
	unknown := func(why string) *fix.Reachability {
		return &fix.Reachability{Verdict: fix.ReachUnknown, Evidence: []fact.Evidence{fix.NotKnown("imports and names", source, why)}}
	}
	pkg, ok := fact.ParsePURL(it.Package.PURL)
	if m.Ecosystem != "Go" || !ok {
		return unknown("calls are only followed in Go"), nil
	}
	symbols := w.flawed(it, pkg.Name)
	if len(symbols) == 0 {
		return unknown("no advisory at hand names the flawed symbols"), nil
	}
	uses, err := w.scan(ctx, m)
	if err != nil {
		return nil, err
	}
	r := &fix.Reachability{}
	packages := map[string]bool{}
	for _, symbol := range symbols {
		importPath, name := goapi.Split(symbol)
		packages[importPath] = true
		if at, byName, named := uses.Names(importPath, name); name != "" && named && !at.Test && len(r.Uses) < 10 {
			if byName {
				symbol += " (by its name)"
			}
			r.Uses = append(r.Uses, fix.Use{Symbol: symbol, Location: w.at(at)})
		}
	}
	if len(r.Uses) > 0 {
		r.Verdict = fix.ReachesSymbol
		r.Evidence = []fact.Evidence{{Method: "imports and names", Source: source, Strength: fact.Derived, Detail: fmt.Sprintf("%d of %d flawed symbols are named here", len(r.Uses), len(symbols))}}
		return r, nil
	}
	flawed := []string{}
	for importPath := range packages {
		flawed = append(flawed, importPath)
	}
	slices.Sort(flawed)
	for _, importPath := range flawed {
		if at, direct := uses.Imports[importPath]; direct && !at.Test {
			return &fix.Reachability{Verdict: fix.ReachesPackage, Uses: []fix.Use{{Symbol: importPath, Location: w.at(at)}}, Evidence: []fact.Evidence{{
				Method: "imports and names", Source: source, Strength: fact.Derived, Detail: "the flawed package is imported here, and none of the flawed symbols is named; calls through other packages were not followed",
			}}}, nil
		}
	}
	if pkg.Name == "stdlib" || pkg.Name == "toolchain" {
		return unknown("imports within the standard library are not followed"), nil
	}
	closure, err := w.close(ctx, m, uses)
	if err != nil {
		return nil, err
	}
	for _, importPath := range flawed {
		if _, in := closure.By[importPath]; in {
			return &fix.Reachability{Verdict: fix.ReachesPackage, Evidence: []fact.Evidence{{
				Method: "imports and names", Source: source, Strength: fact.Derived, Detail: "imported through " + strings.Join(closure.Chain(importPath), ", ") + "; calls were not followed",
			}}}, nil
		}
	}
	if len(closure.Missing)+len(uses.Skipped) > 0 {
		return unknown(fmt.Sprintf("the sources of %s are not at hand, so that not every import was followed", strings.Join(first(slices.Concat(closure.Missing, uses.Skipped), 3), ", "))), nil
	}
	return &fix.Reachability{Verdict: fix.ReachesModule, Evidence: []fact.Evidence{{
		Method: "imports and names", Source: source, Strength: fact.Derived, Detail: fmt.Sprintf("none of the %d packages of the program is one of the flawed ones: %s", len(closure.By), strings.Join(first(flawed, 3), ", ")),
	}}}, nil
}

func first(list []string, n int) []string { return list[:min(len(list), n)] }

// flawed lists the symbols that the issue's advisories name for a module, each once,
// sorted.
func (w *weigher) flawed(it *issue.Issue, module string) []string {
	var symbols []string
	for _, id := range it.Advisories {
		advisory, ok := w.scene.known.lookup(id)
		if !ok {
			continue
		}
		for _, affected := range advisory.Affected {
			if affected.Ecosystem == "Go" && affected.Name == module {
				symbols = append(symbols, affected.Symbols...)
			}
		}
	}
	slices.Sort(symbols)
	return slices.Compact(symbols)
}

// close follows the imports of a module's packages through the sources at hand, once.
func (w *weigher) close(ctx context.Context, m *lockfile.Module, uses *goapi.Uses) (closure *goapi.Closure, err error) {
	if known := w.closures[m]; known != nil {
		return known, nil
	}
	type opened struct {
		sources fs.FS
		done    func() error
	}
	at := map[string]*opened{}
	defer func() {
		for _, o := range at {
			if o != nil {
				err = errors.Join(err, o.done())
			}
		}
	}()
	closure, err = uses.Close(ctx, func(importPath string) bool {
		return importPath == m.Name || strings.HasPrefix(importPath, m.Name+"/")
	}, func(importPath string) (fs.FS, string, bool) {
		var found *lockfile.Package
		for i := range m.Packages {
			p := &m.Packages[i]
			if (importPath == p.Name || strings.HasPrefix(importPath, p.Name+"/")) && (found == nil || len(p.Name) > len(found.Name)) {
				found = p
			}
		}
		if found == nil || w.cache == nil {
			return nil, "", false
		}
		o, tried := at[found.Name]
		if !tried {
			// A module that something replaces is not at its own version.
			if found.Source == "" {
				if sources, done, err := w.cache.Open(found.Name, found.Version); err == nil {
					o = &opened{sources, done}
				}
			}
			at[found.Name] = o
		}
		if o == nil {
			return nil, "", false
		}
		folder := strings.TrimPrefix(strings.TrimPrefix(importPath, found.Name), "/")
		return o.sources, cmp.Or(folder, "."), true
	})
	if err != nil {
		return nil, err
	}
	w.closures[m] = closure
	return closure, nil
}
