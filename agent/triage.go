package agent

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/cause"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/intake"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/owner"
)

// scene is a repository at a commit, with what is known of flaws: everything
// that an investigation looks at.
type scene struct {
	repository *git.Repository
	identity   string
	commit     string
	tree       code.Tree
	modules    []lockfile.Module
	reported   []lockfile.Reported // what reports resolved for modules; modules hold it too
	assets     []fact.Asset        // whose findings were loaded
	findings   []issue.StoredFinding
	known      *known
	own        []ownLook // what our scanners of configuration see, once they looked
	outside    fix.Images
}

// images is what is known of images outside the repository, nil for nothing.
func (s *scene) images(d *Desk) fix.Images {
	if s.outside == nil && d.Images != nil {
		s.outside = d.Images(s.known)
	}
	return s.outside
}

// Triage turns the findings of a repository into issues with where, who and how.
func (d *Desk) Triage(ctx context.Context, request Request) (Triage, error) {
	s, result, err := d.look(ctx, request)
	if err != nil {
		return result, err
	}
	running, release, err := d.runs(ctx, s, request.Images)
	if err == nil && d.Images == nil {
		s.outside, err = d.outsideImages(ctx, s, running, request.Registries)
	}
	if err != nil {
		return result, errors.Join(err, release())
	}
	issues, err := d.investigate(ctx, s, running, request.Registries, &result)
	if err = errors.Join(err, release()); err != nil {
		return result, err
	}
	if request.Verify {
		if err := d.proveAll(ctx, s, issues); err != nil {
			return result, err
		}
	}
	d.Progress("keeping what was found", 0, 0)
	if err := issue.Save(ctx, d.DB, issues, d.Now()); err != nil {
		return result, err
	}
	if _, err := issue.Unsee(ctx, d.DB, s.identity, s.assets, issues, d.Now()); err != nil {
		return result, err
	}
	if err := d.remember(ctx, s); err != nil {
		return result, err
	}
	result.Issues = issues
	d.Progress("", 0, 0)
	return result, nil
}

// look opens the repository and brings the findings in: those of the reports,
// or without any those of our own scan.
func (d *Desk) look(ctx context.Context, request Request) (*scene, Triage, error) {
	s := &scene{}
	result := Triage{Issues: []issue.Issue{}, Complete: true}
	err := d.open(ctx, s, request.Repo, request.Commit)
	if err != nil {
		return nil, result, err
	}
	result.Repository, result.Commit = s.identity, s.commit
	if s.repository.Shallow() {
		text := "the clone is shallow: who worked here before its first commit is unknown; git fetch --unshallow brings it"
		if strings.HasPrefix(s.identity, "local/") {
			text += ". It has no remote either, so that it is taken for another repository than the whole clone"
		}
		result.problem(text)
	}
	for _, module := range s.modules {
		for _, problem := range module.Problems {
			result.Problems = append(result.Problems, problem.String())
		}
	}
	omitted, partial, err := s.omitted(ctx)
	if err != nil {
		return nil, result, err
	}
	result.Problems = append(result.Problems, omitted...)
	assets := []fact.Asset{}
	if len(request.Reports) > 0 {
		imported, problems, err := d.importReports(ctx, s.repository, s.identity, request.Reports)
		if err != nil {
			return nil, result, err
		}
		result.Problems = append(result.Problems, problems...)
		for _, report := range imported {
			assets = append(assets, report.assets...)
			if !report.Complete {
				result.incomplete(fmt.Sprintf("report %s was not read as a complete run", report.Name))
			}
		}
	} else {
		if d.Advisories == nil {
			return nil, result, fmt.Errorf("%w: there are no reports, and no advisory index to scan with; make one with backstitch advisory import", ErrNothing)
		}
		looked, err := d.lifecycle(ctx, s, partial, &result)
		if err != nil {
			return nil, result, err
		}
		running, err := d.declared(ctx, s, &result)
		if err != nil {
			return nil, result, err
		}
		if len(s.modules) == 0 && !looked && len(running) == 0 {
			why := ""
			if len(omitted) > 0 {
				why = ": " + omitted[0]
			}
			return nil, result, fmt.Errorf("%w: there are no reports, and no manifest or lockfile in %s at %.12s%s", ErrNothing, s.identity, s.commit, why)
		}
		blind, err := uncovered(d.Advisories, s.modules)
		if err != nil {
			return nil, result, err
		}
		if len(blind) > 0 {
			result.incomplete("the advisory index holds nothing about " + strings.Join(blind, ", "))
		}
		d.Progress("scanning dependencies", 0, 0)
		known, err := newKnown(d.Advisories, nil)
		if err != nil {
			return nil, result, err
		}
		scanned, err := intake.Scan(ctx, d.DB, d.Scanner(known), s.tree, intake.Options{
			Repository: s.identity,
			Target:     s.identity,
			Partial:    partial || len(blind) > 0,
			Complete:   []fact.Asset{{Kind: fact.AssetRepository, Key: s.identity, Name: s.identity}},
			Now:        d.Now(),
		})
		if err != nil {
			return nil, result, err
		}
		assets = scanned.Assets
		if partial || len(scanned.Problems) > 0 || !scanned.Complete && len(blind) == 0 {
			result.incomplete("some manifests or lockfiles could not be read")
		}
		for _, problem := range scanned.Problems {
			result.problem(problem)
		}
	}
	s.assets = assets
	if len(assets) > 0 {
		if s.findings, err = intake.Load(ctx, d.DB, assets); err != nil {
			return nil, result, err
		}
	}
	plain := make([]fact.Finding, len(s.findings))
	for i := range s.findings {
		plain[i] = s.findings[i].Finding
	}
	if err = s.complete(ctx); err != nil {
		return nil, result, err
	}
	s.known, err = newKnown(d.Advisories, plain)
	return s, result, err
}

// omitted tells of manifests and lockfiles of the commit that are not looked at,
// and of submodules. partial says that the repository's own are among them.
func (s *scene) omitted(ctx context.Context) (problems []string, partial bool, err error) {
	list, err := s.repository.Omissions(ctx, s.commit, lockfile.Wants)
	if err != nil {
		return nil, false, err
	}
	for _, o := range list {
		problems = append(problems, strings.ToValidUTF8(o.Path, "\ufffd")+" "+o.Why)
		partial = partial || !o.Submodule
	}
	return problems, partial, nil
}

// uncovered lists the ecosystems of the modules' packages that the index holds
// nothing about, sorted.
func uncovered(index *advisory.Index, modules []lockfile.Module) ([]string, error) {
	covered := map[string]bool{}
	for i := range modules {
		ecosystem := modules[i].Ecosystem
		if _, asked := covered[ecosystem]; asked || len(modules[i].Packages) == 0 {
			continue
		}
		var err error
		if covered[ecosystem], err = index.Covers(ecosystem); err != nil {
			return nil, fmt.Errorf("advisory index: %w", err)
		}
	}
	maps.DeleteFunc(covered, func(_ string, known bool) bool { return known })
	return slices.Sorted(maps.Keys(covered)), nil
}

// problem tells of something that was left out, once.
func (t *Triage) problem(text string) {
	if !slices.Contains(t.Problems, text) {
		t.Problems = append(t.Problems, text)
	}
}

func (t *Triage) incomplete(why string) {
	t.Complete = false
	if t.Why == "" {
		t.Why = why
	} else if !strings.Contains(t.Why, why) {
		t.Why += "; " + why
	}
}

// open reads a repository at a commit.
func (d *Desk) open(ctx context.Context, s *scene, repo, commit string) error {
	var err error
	if s.repository, err = git.Open(ctx, repo); err != nil {
		return err
	}
	if s.identity, err = s.repository.Identity(ctx); err != nil {
		return err
	}
	if s.commit, err = s.repository.Resolve(ctx, cmp.Or(commit, "HEAD")); err != nil {
		return err
	}
	s.tree = newMemo(s.repository.Tree(s.commit))
	d.Progress("reading manifests and lockfiles", 0, 0)
	s.modules, err = lockfile.Read(ctx, s.tree)
	return err
}

// investigate answers where, who and how for all findings of the scene.
func (d *Desk) investigate(ctx context.Context, s *scene, running cause.Running, ask bool, result *Triage) ([]issue.Issue, error) {
	d.Progress("tracing causes", 0, 0)
	tracer, err := cause.New(ctx, cause.Context{Repository: s.identity, Commit: s.commit, Modules: s.modules, Tree: s.tree, Running: running})
	if err != nil {
		return nil, err
	}
	if err := d.link(ctx, tracer, result); err != nil {
		return nil, err
	}
	if err := d.loadDeclared(ctx, s, result); err != nil {
		return nil, err
	}
	around, err := issue.NewSurroundings(ctx, d.Graph)
	if err != nil {
		return nil, err
	}
	var traceErr error
	issues := issue.Group(s.findings, issue.Context{
		Repository: s.identity,
		Cause: func(f *issue.StoredFinding) fact.Cause {
			found, err := s.trace(ctx, tracer, &f.Finding)
			if err != nil {
				traceErr = errors.Join(traceErr, err)
			}
			return found
		},
		Situation: func(assets []fact.Asset) issue.Situation {
			situation, err := around.Of(ctx, assets)
			if err != nil {
				traceErr = errors.Join(traceErr, err)
			}
			return situation
		},
		Advisory: s.known.lookup,
		Classes:  s.known.Class,
		Dependency: func(f *issue.StoredFinding) (direct, development bool) {
			development = true
			found := false
			for _, t := range locate(s.modules, f.Package) {
				p := t.module.Packages[t.index]
				direct = direct || p.Direct
				development = development && p.Dev
				found = true
			}
			return direct, development && found
		},
	})
	if traceErr != nil {
		return nil, traceErr
	}
	if err := issue.Adopt(ctx, d.DB, issues); err != nil {
		return nil, err
	}
	if err := d.owners(ctx, s, issues); err != nil {
		return nil, err
	}
	if err := d.paths(ctx, s, issues, ask, result); err != nil {
		return nil, err
	}
	if err := d.planSites(ctx, s, issues, ask, result); err != nil {
		return nil, err
	}
	return issues, d.weigh(ctx, s, issues, ask, result)
}

// owners suggests who should act on each issue, from the lines of its cause.
func (d *Desk) owners(ctx context.Context, s *scene, issues []issue.Issue) error {
	type place struct {
		path       string
		first, end int
	}
	var resolver *owner.Resolver
	answers := map[place][]fact.Owner{}
	for i := range issues {
		issues[i].Owners = []fact.Owner{}
		if len(issues[i].Cause.Locations) == 0 {
			continue
		}
		if resolver == nil {
			d.Progress("reading history", 0, 0)
			var err error
			if resolver, err = owner.New(ctx, s.repository, s.commit, d.Cache, d.Now()); err != nil {
				return fmt.Errorf("history of %s: %w", s.identity, err)
			}
		}
		location := issues[i].Cause.Locations[0]
		key := place{location.Path, location.Line, max(location.Line, location.EndLine)}
		owners, ok := answers[key]
		if !ok {
			subject := owner.Subject{Path: key.path}
			if key.first > 0 {
				subject.Lines = [][2]int{{key.first, key.end}}
			}
			var err error
			if owners, err = resolver.Suggest(ctx, subject); err != nil {
				return fmt.Errorf("owner of %s: %w", key.path, err)
			}
			answers[key] = owners
		}
		issues[i].Owners = append(issues[i].Owners, owners...)
	}
	return nil
}

// spot is a package of a module.
type spot struct {
	module *lockfile.Module
	index  int
}

// String names the place for people.
func (at spot) String() string {
	p := at.module.Packages[at.index]
	return fmt.Sprintf("%s %s (%s:%d)", p.Name, p.Version, p.Path, p.Line)
}

// plainName is a key under which equal names of any ecosystem meet.
func plainName(name string) string {
	return strings.NewReplacer("_", "-", ".", "-").Replace(strings.ToLower(name))
}

// byName gives the findings of packages that are still seen, by name.
func (s *scene) byName() map[string][]int {
	list := map[string][]int{}
	for i := range s.findings {
		if f := &s.findings[i]; f.Kind == fact.Vulnerability && f.Package.Name != "" && f.State != issue.FindingUnconfirmed {
			list[plainName(f.Package.Name)] = append(list[plainName(f.Package.Name)], i)
		}
	}
	return list
}

// copies gives the places of an issue's package that must change, in the modules
// that hold its cause: each version that a detector saw, and when one named none,
// each that the advisories affect.
func (s *scene) copies(it *issue.Issue, pkg fact.Package, seen map[string][]int, advisories fix.Advisories) []spot {
	versions := []string{pkg.Version}
	for _, n := range seen[plainName(pkg.Name)] {
		f := &s.findings[n]
		ids := append([]string{f.Rule}, f.Aliases...)
		if slices.ContainsFunc(ids, func(id string) bool { return slices.Contains(it.Advisories, id) }) && !slices.Contains(versions, f.Package.Version) {
			versions = append(versions, f.Package.Version)
		}
	}
	pkg.Version = ""
	var list []spot
	for _, found := range locate(s.modules, pkg) {
		if !holds(found.module, it.Cause) {
			continue
		}
		version := found.module.Packages[found.index].Version
		affected := slices.ContainsFunc(versions, func(v string) bool { return v != "" && lockfile.SameVersion(found.module.Ecosystem, version, v) })
		if !affected && slices.Contains(versions, "") {
			known, err := advisories.Affecting(found.module.Fact(found.index))
			affected = err != nil || slices.ContainsFunc(known, func(a fact.Advisory) bool {
				return slices.Contains(it.Advisories, a.ID) || slices.ContainsFunc(a.Aliases, func(id string) bool { return slices.Contains(it.Advisories, id) })
			}) // one that cannot be judged counts
		}
		if affected {
			list = append(list, found)
		}
	}
	return list
}

// locate finds a package in the modules, at its version when it names one.
func locate(modules []lockfile.Module, pkg fact.Package) []spot {
	var spots []spot
	if pkg.Name == "" {
		return nil
	}
	for i := range modules {
		m := &modules[i]
		if pkg.Ecosystem != "" && m.Ecosystem != pkg.Ecosystem {
			continue
		}
		for j := range m.Packages {
			if lockfile.SameName(m.Ecosystem, m.Packages[j].Name, pkg.Name) && (pkg.Version == "" || lockfile.SameVersion(m.Ecosystem, m.Packages[j].Version, pkg.Version)) {
				spots = append(spots, spot{m, j})
			}
		}
	}
	return spots
}

// holds says whether a module's files are where a cause lies.
func holds(m *lockfile.Module, found fact.Cause) bool {
	return slices.ContainsFunc(found.Locations, func(l fact.Location) bool {
		return slices.Contains(m.Manifests, l.Path) || slices.Contains(m.Locks, l.Path) ||
			slices.ContainsFunc(m.Declared, func(d lockfile.Declaration) bool { return d.Path == l.Path || d.ValuePath == l.Path })
	})
}

// paths plans and compares the ways to fix each issue about a package.
func (d *Desk) paths(ctx context.Context, s *scene, issues []issue.Issue, ask bool, result *Triage) error {
	registries := map[string]fix.Registry{}
	if ask {
		release, err := d.registries(ctx, s.modules, registries, result)
		defer release()
		if err != nil {
			return err
		}
	}
	type target struct {
		spot
		issues []int
	}
	var targets []target
	where := map[spot]int{}
	spots := make([][]spot, len(issues)) // the places that each issue must be fixed in
	seen := s.byName()
	advisories := judged{s.known, result.problem}
	for i := range issues {
		issues[i].FixPaths, issues[i].Blocked = []fix.Path{}, []string{}
		if issues[i].Package == nil || issues[i].Kind != fact.Vulnerability {
			continue
		}
		pkg, ok := fact.ParsePURL(issues[i].Package.PURL)
		if !ok {
			continue
		}
		pkg.Version = issues[i].Package.Version
		spots[i] = s.copies(&issues[i], pkg, seen, advisories)
		for _, found := range spots[i] {
			n, seen := where[found]
			if !seen {
				n = len(targets)
				where[found] = n
				targets = append(targets, target{spot: found})
			}
			targets[n].issues = append(targets[n].issues, i)
		}
	}
	planned := make([][]fix.Path, len(issues))
	type rest struct {
		fix.Path
		left int
	}
	partial := make([][]rest, len(issues)) // paths that leave some of an issue's places
	without := make([]string, len(issues)) // why an issue may have no path although nothing blocks one
	for n, t := range targets {
		d.Progress("comparing fixes", n, len(targets))
		request := fix.Target{Module: t.module, Modules: s.modules, Package: t.index, Tree: s.tree, Advisories: advisories, Registry: registries[t.module.Ecosystem]}
		for _, i := range t.issues {
			request.Close = append(request.Close, issues[i].Advisories...)
			for _, other := range spots[i] {
				if other.module == t.module && other.index != t.index && !slices.Contains(request.Others, other.index) {
					request.Others = append(request.Others, other.index)
				}
			}
		}
		slices.Sort(request.Others)
		present := t.module.Packages[t.index]
		why := "fixes are not planned for " + t.module.Tool
		for _, one := range d.Fixers {
			fixer, ok := one.(fix.ModuleFixer)
			if !ok || !fixer.Handles(t.module) {
				continue
			}
			why = "no fixed version of " + present.Name + " is known"
			paths, err := fixer.Plan(ctx, &request)
			if err != nil && request.Registry != nil && ctx.Err() == nil {
				// The versions that advisories name are planned for without it.
				result.problem(fmt.Sprintf("which versions of %s exist is not known: %v", present.Name, err))
				request.Registry = nil
				paths, err = fixer.Plan(ctx, &request)
			}
			if err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				result.problem(fmt.Sprintf("no fix for %s in %s: %v", present.Name, cmp.Or(t.module.Dir, "."), err))
				why = "no fix could be planned: " + err.Error()
				continue
			}
			for _, block := range request.Blocked {
				text := fmt.Sprintf("%s:%d: %s keeps %s from %s", block.Location.Path, block.Location.Line, block.Constraint, present.Name, block.Needs)
				for _, i := range t.issues {
					if !slices.Contains(issues[i].Blocked, text) {
						issues[i].Blocked = append(issues[i].Blocked, text)
					}
				}
			}
			for _, path := range paths {
				moves := path.Moves
				if len(moves) == 0 {
					moves = []string{present.Key}
				}
				closes, findings := []string{}, 0
				for _, i := range t.issues {
					if !slices.ContainsFunc(issues[i].Advisories, func(id string) bool { return slices.Contains(path.Closes, id) }) {
						continue
					}
					left := slices.DeleteFunc(slices.Clone(spots[i]), func(at spot) bool {
						return at.module == t.module && slices.Contains(moves, at.module.Packages[at.index].Key)
					})
					if len(left) == 0 {
						closes = append(closes, issues[i].ID)
						findings += issues[i].Findings
						continue
					}
					some := path
					some.Closes, some.Findings = []string{}, 0
					some.Reason = fmt.Sprintf("leaves %d of %d places: %s", len(left), len(spots[i]), left[0].String())
					partial[i] = append(partial[i], rest{some, len(left)})
				}
				if len(closes) == 0 {
					continue
				}
				slices.Sort(closes)
				path.Closes, path.Findings = closes, findings
				for _, i := range t.issues {
					if slices.Contains(closes, issues[i].ID) {
						planned[i] = append(planned[i], path)
					}
				}
			}
		}
		for _, i := range t.issues {
			without[i] = fmt.Sprintf("%s:%d: %s", present.Path, present.Line, why)
		}
	}
	for i := range issues {
		switch {
		case len(planned[i]) > 0:
			issues[i].FixPaths = fix.Compare(fix.Group(planned[i]))
		case len(partial[i]) > 0:
			slices.SortStableFunc(partial[i], func(a, b rest) int { return a.left - b.left })
			var list []fix.Path
			for _, r := range partial[i] {
				list = append(list, r.Path)
			}
			issues[i].FixPaths = fix.Group(list)
		case len(issues[i].Blocked) == 0 && without[i] != "":
			issues[i].Blocked = append(issues[i].Blocked, without[i])
		}
	}
	return nil
}

// registries prepares the registries of the modules' ecosystems. One that cannot
// be asked is a problem, and planning goes on without it.
func (d *Desk) registries(ctx context.Context, modules []lockfile.Module, into map[string]fix.Registry, result *Triage) (release func(), err error) {
	var closers []func() error
	release = func() {
		for _, closer := range closers {
			if err := closer(); err != nil {
				result.Problems = append(result.Problems, err.Error())
			}
		}
	}
	asked := map[string]bool{}
	for i := range modules {
		ecosystem := modules[i].Ecosystem
		if asked[ecosystem] {
			continue
		}
		asked[ecosystem] = true
		registry, closer, err := d.Registry(ctx, ecosystem)
		if ctx.Err() != nil {
			return release, ctx.Err()
		}
		if err != nil {
			result.Problems = append(result.Problems, "versions that exist are not known: "+err.Error())
			continue
		}
		into[ecosystem] = registry
		closers = append(closers, closer)
	}
	return release, nil
}
