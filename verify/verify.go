// Package verify proves a change: it carries a fix path out in a throw-away
// folder and shows, by the detector that saw the flaw, that it is gone.
//
// A proof has a negative control. The detector must see the flaw before the
// change and still after a change that does nothing; only then does it mean
// something that it does not see it after the change. Nothing new may have come
// at or above the severity of what went, only planned files may differ, and the
// manifest and lock must still parse, agree and hold the planned versions. Then
// the repository's own build and tests run, in a sandbox; without one no project
// code runs and the record says so. Tests that were red before the change say
// nothing against it.
//
// The verdict comes from our own scans, comparisons and exit codes, never from
// what a program printed. The record is an in-toto statement in a DSSE envelope;
// equal input and clock give equal bytes.
//
// The package does not choose fixes and writes nothing into the repository.
package verify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/scan"
)

// Repository is what a proof asks of one: the files of a commit.
type Repository interface {
	// Checkout writes the files of a commit into an empty folder, without
	// running anything.
	Checkout(ctx context.Context, commit, dir string) error
}

// Request is one change to prove.
type Request struct {
	Repo       Repository
	Repository string // its identity, "github.com/acme/shop", for the record
	Commit     string // full commit id that the path was planned for
	Scanner    scan.Scanner
	Fixer      fix.Fixer
	Path       fix.Path
	// Closes are the issues that must be gone from the path's module.
	Closes []Closes
	// Class gives the alias class of an advisory id; nil means that each id
	// stands for itself.
	Class func(id string) []string
	// Reported is what others resolved for modules whose files list only what they
	// declare, with its basis. The scanner has to know it too.
	Reported []lockfile.Reported
	// Advisories is the digest of the advisory index, Tool the name and
	// version of the program, both for the record.
	Advisories string
	Tool       string

	// Build asks for build and tests in Sandbox; nil means the one that
	// FindBuildSandbox finds, with Consent. When there is none, no project code runs and the
	// record says why.
	Build   bool
	Consent bool
	Sandbox Sandbox
	// Cache is a folder for build caches that only code of this repository
	// writes to, "" for a fresh one.
	Cache   string
	Timeout time.Duration // for one command of the project, default 5 minutes
	Memory  int64         // bytes for the processes of one command, default 4 GiB

	Now    time.Time
	Signer Signer // nil leaves the record unsigned, which it then says
}

// Closes is one issue to close: ids of the advisories of its alias class or of
// its rule, the package it was seen in ("" means any), and its severity, which
// decides what may not come instead (unknown means that of the findings).
type Closes struct {
	Issue      string
	Advisories []string
	Package    string
	Severity   fact.Severity
	// Objects are what a flaw that is not about a module's package was seen in, by
	// the attribute fix.AttributeObject of our scanner's findings; none means any.
	Objects []string
}

// Record is a proof. Files are the changed files with their new content, nil
// for a removed one. Log is what commands said, for people; it is not part of
// the statement.
type Record struct {
	Verification fact.Verification
	Files        map[string][]byte
	Statement    []byte // in-toto statement
	Envelope     []byte // the statement in DSSE
	Log          string
}

// Names of the checks, in the order in which they are made.
const (
	CheckBefore    = "seen before"
	CheckNoOp      = "still seen after a no-op"
	CheckApplies   = "the change applies"
	CheckPaths     = "only planned files changed"
	CheckAfter     = "not seen after the change"
	CheckNothing   = "nothing new at or above its severity"
	CheckSync      = "manifest and lock parse and agree"
	CheckVersions  = "the planned versions are there, none is lower"
	CheckBuild     = "build"
	CheckTests     = "tests"
	CheckSignature = "signature"
	CheckParses    = "the changed files can be read"
)

// required are the checks without which nothing is proven: of a module's package, and
// of anything else.
var (
	required     = []string{CheckBefore, CheckNoOp, CheckApplies, CheckPaths, CheckAfter, CheckNothing, CheckSync, CheckVersions}
	requiredSite = []string{CheckBefore, CheckNoOp, CheckApplies, CheckPaths, CheckAfter, CheckNothing, CheckParses}
)

// maxFindings bounds what one look may give.
const maxFindings = 1_000_000

// Prove carries the path out and checks it. A change that does not hold is a
// Record that says so, not an error; an error says that nothing could be
// judged.
func Prove(ctx context.Context, request Request) (Record, error) {
	dir, err := os.MkdirTemp("", "backstitch-proof-")
	if err != nil {
		return Record{}, fmt.Errorf("prove: %w", err)
	}
	defer removeAll(dir)
	modular, _ := request.Fixer.(fix.ModuleFixer)
	p := &prover{
		request: request, modular: modular, dir: dir, before: filepath.Join(dir, "before"), after: filepath.Join(dir, "after"),
		record: Record{Files: map[string][]byte{}}, modes: map[string]bool{},
	}
	for _, folder := range []string{p.before, p.after} {
		if err := os.Mkdir(folder, 0o700); err != nil {
			return Record{}, fmt.Errorf("prove: %w", err)
		}
		if err := request.Repo.Checkout(ctx, request.Commit, folder); err != nil {
			return Record{}, fmt.Errorf("prove: check out %s: %w", request.Commit, err)
		}
	}
	if err := p.run(ctx); err != nil {
		return Record{}, fmt.Errorf("prove: %w", err)
	}
	return p.finish()
}

// prover is one proof while it is made.
type prover struct {
	request       Request
	modular       fix.ModuleFixer // nil when the path is not about a module's package
	dir           string
	before, after string
	record        Record
	checks        []fact.Check
	packaged      bool            // a path of a site is about a module's package after all
	modes         map[string]bool // files whose mode changed
	log           strings.Builder
}

func (p *prover) check(name, status, format string, args ...any) {
	detail := fmt.Sprintf(format, args...)
	for _, folder := range []string{p.before, p.after, p.dir} { // proofs of equal input are equal
		detail = strings.ReplaceAll(detail, folder+string(filepath.Separator), "")
		detail = strings.ReplaceAll(detail, folder, ".")
	}
	p.checks = append(p.checks, fact.Check{Name: name, Status: status, Detail: fix.Scrub(detail)})
}

// look is what the detector and the readers of locks say about a folder.
type look struct {
	findings []fact.Finding
	problems []scan.Problem
	modules  []lockfile.Module
}

func (p *prover) look(ctx context.Context, dir string) (*look, error) {
	tree, err := code.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	seen := &look{}
	seen.problems, err = p.request.Scanner.Scan(ctx, tree, func(f fact.Finding) error {
		if len(seen.findings) == maxFindings {
			return fmt.Errorf("more than %d findings", maxFindings)
		}
		seen.findings = append(seen.findings, f)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", p.request.Scanner.Describe().ID, err)
	}
	if seen.modules, err = lockfile.Read(ctx, tree); err != nil {
		return nil, fmt.Errorf("read manifests: %w", err)
	}
	if _, err = lockfile.Complete(ctx, tree, seen.modules, p.request.Reported); err != nil {
		return nil, fmt.Errorf("read manifests: %w", err)
	}
	return seen, nil
}

// scope gives the modules that the path is about: those of its folder that the fixer
// handles, and of several those that hold a file that the path names.
func (p *prover) scope(l *look) []lockfile.Module {
	var modules, named []lockfile.Module
	for i := range l.modules {
		if p.modular == nil || l.modules[i].Dir != p.request.Path.Module || !p.modular.Handles(&l.modules[i]) {
			continue
		}
		modules = append(modules, l.modules[i])
		inside := files(l.modules[i : i+1])
		if slices.ContainsFunc(p.request.Path.Steps, func(s fix.Step) bool { return s.Location != nil && inside[s.Location.Path] }) ||
			slices.ContainsFunc(p.request.Path.Edits, func(e fix.FileEdit) bool { return inside[e.Path] }) {
			named = append(named, l.modules[i])
		}
	}
	if len(modules) > 1 && len(named) > 0 {
		return named
	}
	return modules
}

func files(modules []lockfile.Module) map[string]bool {
	names := map[string]bool{}
	for _, m := range modules {
		for _, name := range slices.Concat(m.Manifests, m.Locks) {
			names[name] = true
		}
		for _, pkg := range m.Packages {
			if pkg.Path != "" {
				names[pkg.Path] = true
			}
		}
	}
	return names
}

func (p *prover) class(id string) []string {
	if p.request.Class == nil {
		return []string{id}
	}
	return p.request.Class(id)
}

// classOf is the first id of the alias class of a finding.
func (p *prover) classOf(f *fact.Finding) string {
	first := ""
	for _, id := range append([]string{f.Rule}, f.Aliases...) {
		for _, member := range p.class(id) {
			if first == "" || member < first {
				first = member
			}
		}
	}
	return first
}

func (p *prover) closes() []string {
	ids := []string{}
	for _, target := range p.request.Closes {
		if class := p.classes(target); len(class) > 0 {
			ids = append(ids, class[0])
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// classes are all ids that name the flaw of an issue, sorted.
func (p *prover) classes(target Closes) []string {
	var ids []string
	for _, id := range target.Advisories {
		ids = append(append(ids, id), p.class(id)...)
	}
	slices.Sort(ids)
	return slices.Compact(ids)
}

// finds lists the findings of a target in the files of the module.
func (p *prover) finds(l *look, target Closes, in map[string]bool) []*fact.Finding {
	class := p.classes(target)
	var found []*fact.Finding
	for i := range l.findings {
		f := &l.findings[i]
		if target.Package != "" && f.Package.Name != target.Package || in != nil && !in[code.CleanPath(f.Path)] {
			continue
		}
		if len(target.Objects) > 0 && !slices.Contains(target.Objects, f.Attributes[fix.AttributeObject]) {
			continue
		}
		if slices.ContainsFunc(append([]string{f.Rule}, f.Aliases...), func(id string) bool { return slices.Contains(class, id) }) {
			found = append(found, f)
		}
	}
	return found
}

// unseen lists the targets that a look does not show.
func (p *prover) unseen(l *look, in map[string]bool) []string {
	var missing []string
	for _, target := range p.request.Closes {
		if len(p.finds(l, target, in)) == 0 {
			missing = append(missing, target.text())
		}
	}
	return missing
}

func (c Closes) text() string {
	ids := strings.Join(c.Advisories[:min(len(c.Advisories), 3)], "/")
	switch {
	case c.Package != "":
		return ids + " in " + c.Package
	case len(c.Objects) > 0:
		return ids + " in " + strings.Join(c.Objects[:min(len(c.Objects), 3)], ", ")
	}
	return ids
}

// run makes the checks in order. It returns early when a later check would
// have nothing to stand on.
func (p *prover) run(ctx context.Context) error {
	first, err := p.look(ctx, p.before)
	if err != nil {
		return err
	}
	if p.modular == nil {
		return p.runSite(ctx, first)
	}
	modules := p.scope(first)
	scope := files(modules)
	switch missing := p.unseen(first, scope); {
	case len(p.request.Closes) == 0:
		p.check(CheckBefore, fact.CheckFail, "no flaw to close was named")
		return nil
	case len(modules) == 0:
		p.check(CheckBefore, fact.CheckFail, "there is no module in folder %q that %s handles", p.request.Path.Module, p.request.Fixer.Describe().ID)
		return nil
	case len(missing) > 0:
		p.check(CheckBefore, fact.CheckFail, "%s does not see %s", p.request.Scanner.Describe().ID, strings.Join(missing, ", "))
		return nil
	default:
		p.check(CheckBefore, fact.CheckPass, "%s sees %s", p.request.Scanner.Describe().ID, p.targets())
	}
	var names []string
	for _, m := range modules {
		names = slices.Concat(names, m.Manifests, m.Locks)
	}
	if err := p.noOp(ctx, names, scope); err != nil {
		return err
	}
	changed, reported, err := p.apply(ctx)
	if err != nil || len(changed) == 0 {
		return err
	}
	second, err := p.look(ctx, p.after)
	if err != nil {
		return err
	}
	p.onlyPlanned(p.planned(first, second), changed, reported)
	p.gone(second, scope)
	p.nothingNew(first, second, scope)
	p.inSync(first, second)
	p.versions(first, second)
	return p.buildAndTest(ctx, modules)
}

// apply carries the path out and tells what changed and what the fixer says that it
// changed; nothing when the change does not hold.
func (p *prover) apply(ctx context.Context) (changed, reported []string, err error) {
	original, err := snapshot(p.after)
	if err != nil {
		return nil, nil, err
	}
	reported, err = p.request.Fixer.Apply(ctx, p.after, p.request.Path)
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	if err != nil {
		p.check(CheckApplies, fact.CheckFail, "%s: %v", p.request.Fixer.Describe().ID, err)
		return nil, nil, nil
	}
	if changed, err = p.changed(original); err != nil {
		return nil, nil, err
	}
	if len(changed) == 0 {
		p.check(CheckApplies, fact.CheckFail, "it changes no file")
		return nil, nil, nil
	}
	p.check(CheckApplies, fact.CheckPass, "it changes %s", strings.Join(changed, ", "))
	return changed, reported, nil
}

func (p *prover) targets() string {
	var texts []string
	for _, target := range p.request.Closes {
		texts = append(texts, target.text())
	}
	slices.Sort(texts)
	return strings.Join(slices.Compact(texts), ", ")
}

// noOp changes bytes of each of the files that mean nothing, looks, and puts
// them back.
func (p *prover) noOp(ctx context.Context, files []string, scope map[string]bool) error {
	originals := map[string][]byte{}
	for _, name := range files {
		content, err := fix.ReadFile(p.before, name)
		if err != nil {
			continue // a file that cannot be read cannot be changed either
		}
		originals[name] = content
		if err := fix.WriteFile(p.before, name, append(slices.Clone(content), insignificant(name)...)); err != nil {
			return err
		}
	}
	control, err := p.look(ctx, p.before)
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(originals)) {
		if err := fix.WriteFile(p.before, name, originals[name]); err != nil {
			return err
		}
	}
	names := strings.Join(slices.Sorted(maps.Keys(originals)), ", ")
	switch missing := p.unseen(control, scope); {
	case len(originals) == 0:
		p.check(CheckNoOp, fact.CheckSkip, "there is no file to change")
	case len(missing) > 0:
		p.check(CheckNoOp, fact.CheckFail, "after a change of %s that does nothing, %s is not seen: the detector reacts to any change", names, strings.Join(missing, ", "))
	default:
		p.check(CheckNoOp, fact.CheckPass, "seen after bytes that mean nothing were added to %s", names)
	}
	return nil
}

// insignificant is what may stand at the end of a file without meaning
// anything, by its format.
func insignificant(name string) string {
	base := filepath.Base(name)
	switch strings.ToLower(filepath.Ext(base)) {
	case ".mod", ".work", ".gradle", ".kts", ".bicep":
		return "\n// nothing\n"
	case ".toml", ".txt", ".in", ".tf", ".tfvars", ".hcl", ".yaml", ".yml", ".properties":
		return "\n# nothing\n"
	case ".xml":
		return "\n<!-- nothing -->\n"
	}
	if base == "Gemfile" || base == "Pipfile" || dockerfile.Named(name) {
		return "\n# nothing\n"
	}
	return "\n"
}

// planned are the files that the change may touch: manifests and locks of the
// module, and those of other modules that a step of the path names.
func (p *prover) planned(looks ...*look) map[string]bool {
	allowed := map[string]bool{}
	all := map[string]bool{}
	for _, l := range looks {
		maps.Copy(allowed, files(p.scope(l)))
		maps.Copy(all, files(l.modules))
	}
	if before := p.scope(looks[0]); slices.ContainsFunc(before, func(m lockfile.Module) bool { return len(m.Locks) > 0 }) {
		for _, m := range p.scope(looks[len(looks)-1]) {
			for _, name := range m.Locks { // a second lock may take the place of the first
				if !slices.ContainsFunc(before, func(was lockfile.Module) bool { return slices.Contains(was.Locks, name) }) {
					delete(allowed, name)
				}
			}
		}
	}
	for _, step := range p.request.Path.Steps {
		if step.Location != nil && all[step.Location.Path] {
			allowed[step.Location.Path] = true
		}
	}
	return allowed
}

func (p *prover) onlyPlanned(allowed map[string]bool, changed, reported []string) {
	var others, silent []string
	for _, name := range changed {
		if !allowed[name] {
			others = append(others, name)
		}
		if !slices.Contains(reported, name) {
			silent = append(silent, name)
		}
		if p.record.Files[name] == nil {
			others = append(others, name+" (removed)")
		}
		if p.modes[name] {
			others = append(others, name+" (its mode)")
		}
	}
	switch {
	case len(others) > 0:
		p.check(CheckPaths, fact.CheckFail, "it also changes %s", strings.Join(others, ", "))
	case len(silent) > 0:
		p.check(CheckPaths, fact.CheckFail, "it changes %s without saying so", strings.Join(silent, ", "))
	default:
		p.check(CheckPaths, fact.CheckPass, "only %s changed", strings.Join(changed, ", "))
	}
}

func (p *prover) gone(second *look, scope map[string]bool) {
	inside := maps.Clone(scope) // nil stays nil: anywhere
	if inside != nil {
		maps.Copy(inside, files(p.scope(second)))
	}
	var left []string
	for _, target := range p.request.Closes {
		for _, f := range p.finds(second, target, inside) {
			text := target.text()
			if f.Package.Version != "" {
				text += " at " + f.Package.Version
			}
			left = append(left, fmt.Sprintf("%s (%s:%d)", text, f.Path, f.Line))
		}
	}
	slices.Sort(left)
	if len(left) > 0 {
		p.check(CheckAfter, fact.CheckFail, "still seen: %s", strings.Join(left, ", "))
		return
	}
	if open := p.unresolved(second); len(open) > 0 {
		p.check(CheckAfter, fact.CheckSkip, "%s", strings.Join(open, "; "))
		return
	}
	p.check(CheckAfter, fact.CheckPass, "%s no longer sees %s", p.request.Scanner.Describe().ID, p.targets())
}

// unresolved tells of the packages of the targets whose version only a report told,
// from something that the change touches.
func (p *prover) unresolved(second *look) []string {
	var open []string
	for _, m := range second.modules {
		for _, pkg := range m.Packages {
			if pkg.Reported == "" || pkg.Version != "" || !slices.ContainsFunc(p.request.Closes, func(c Closes) bool { return c.Package == "" || c.Package == pkg.Name }) {
				continue
			}
			open = append(open, fmt.Sprintf("which version of %s %s resolves after the change is not told by its files; %s would, in a new run", pkg.Name, m.Manifests[0], pkg.Reported))
		}
	}
	slices.Sort(open)
	return slices.Compact(open)
}

// nothingNew compares what was seen before and after, by class, package and
// file. What nobody rated counts as new at any severity.
func (p *prover) nothingNew(first, second *look, scope map[string]bool) {
	floor := fact.SeverityCritical
	for _, target := range p.request.Closes {
		if target.Severity != fact.SeverityUnknown {
			floor = min(floor, target.Severity)
			continue
		}
		for _, f := range p.finds(first, target, scope) {
			floor = min(floor, f.Severity)
		}
	}
	key := func(f *fact.Finding) string {
		anchor := f.Anchor
		if f.Package.Name != "" {
			anchor = "" // where in the lock a package stands moves with other packages
		}
		return strings.Join([]string{p.classOf(f), f.Package.Name, code.CleanPath(f.Path), anchor}, "\x00")
	}
	known := map[string]bool{}
	for i := range first.findings {
		known[key(&first.findings[i])] = true
	}
	var fresh []string
	for i := range second.findings {
		f := &second.findings[i]
		if !known[key(f)] && (f.Severity >= floor || f.Severity == fact.SeverityUnknown) {
			in := cmp.Or(f.Package.Name, f.Attributes[fix.AttributeObject], f.Anchor)
			fresh = append(fresh, strings.TrimSpace(fmt.Sprintf("%s (%s) in %s %s", p.classOf(f), f.Severity, in, f.Package.Version))+fmt.Sprintf(", %s:%d", f.Path, f.Line))
		}
	}
	slices.Sort(fresh)
	fresh = slices.Compact(fresh)
	if len(fresh) > 0 {
		p.check(CheckNothing, fact.CheckFail, "new: %s", strings.Join(fresh[:min(len(fresh), 20)], ", "))
		return
	}
	p.check(CheckNothing, fact.CheckPass, "nothing new at %s or above", floor)
}

// inSync fails when a file cannot be read any more, or contradicts another, and
// did not before.
func (p *prover) inSync(first, second *look) {
	known := map[string]bool{}
	for _, problem := range problems(first) {
		known[problem] = true
	}
	var fresh []string
	for _, problem := range problems(second) {
		if !known[problem] {
			fresh = append(fresh, problem)
		}
	}
	switch {
	case len(p.scope(second)) < len(p.scope(first)):
		p.check(CheckSync, fact.CheckFail, "the module in folder %q cannot be read any more", p.request.Path.Module)
	case len(fresh) > 0:
		p.check(CheckSync, fact.CheckFail, "%s", strings.Join(fresh[:min(len(fresh), 20)], "; "))
	default:
		p.check(CheckSync, fact.CheckPass, "%s", strings.Join(slices.Sorted(maps.Keys(files(p.scope(second)))), ", "))
	}
}

// problems lists what could not be understood, without lines, which shift.
func problems(l *look) []string {
	var texts []string
	for _, problem := range l.problems {
		if !problem.Unknown {
			texts = append(texts, problem.Path+": "+problem.Text)
		}
	}
	for _, m := range l.modules {
		for _, problem := range m.Problems {
			texts = append(texts, problem.Path+": "+problem.Text)
		}
	}
	slices.Sort(texts)
	return slices.Compact(texts)
}

// versions checks that each planned version, or a higher one, is there, and
// that no package that was asked for by name is lower than before. A package
// that only others brought may have gone with what brought it.
func (p *prover) versions(first, second *look) {
	had, has := resolved(p.scope(first)), resolved(p.scope(second))
	var wrong []string
	for _, change := range p.request.Path.Changes {
		if change.To == "" {
			continue
		}
		reached := false
		for _, pkg := range has[change.Package] {
			order, err := advisory.Compare(pkg.ecosystem, pkg.version, change.To)
			reached = reached || pkg.version == change.To || err == nil && order >= 0
		}
		gone := len(has[change.Package]) == 0 && !change.Direct &&
			!slices.ContainsFunc(had[change.Package], func(h held) bool { return h.direct })
		if !reached && !gone {
			wrong = append(wrong, fmt.Sprintf("%s is at %s, planned was %s", change.Package, versionsOf(has[change.Package]), change.To))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(has)) {
		before, after := had[name], has[name]
		planned := slices.ContainsFunc(p.request.Path.Changes, func(c fix.Change) bool { return c.Package == name })
		if len(before) != 1 || len(after) != 1 || !planned && !after[0].direct {
			continue
		}
		if order, err := advisory.Compare(after[0].ecosystem, after[0].version, before[0].version); err == nil && order < 0 {
			wrong = append(wrong, fmt.Sprintf("%s goes down from %s to %s", name, before[0].version, after[0].version))
		}
	}
	if len(wrong) > 0 {
		p.check(CheckVersions, fact.CheckFail, "%s", strings.Join(wrong, "; "))
		return
	}
	var planned []string
	for _, change := range p.request.Path.Changes {
		planned = append(planned, change.Package+" "+versionsOf(has[change.Package]))
	}
	p.check(CheckVersions, fact.CheckPass, "%s", strings.Join(planned, ", "))
}

// held is one resolved version of a package.
type held struct {
	ecosystem, version string
	direct             bool
}

func versionsOf(list []held) string {
	if len(list) == 0 {
		return "no version"
	}
	var texts []string
	for _, h := range list {
		texts = append(texts, h.version)
	}
	return strings.Join(texts, ", ")
}

func resolved(modules []lockfile.Module) map[string][]held {
	packages := map[string][]held{}
	for _, m := range modules {
		for _, pkg := range m.Packages {
			if pkg.Version == "" {
				continue
			}
			list := packages[pkg.Name]
			if i := slices.IndexFunc(list, func(h held) bool { return h.version == pkg.Version }); i >= 0 {
				list[i].direct = list[i].direct || pkg.Direct
				continue
			}
			packages[pkg.Name] = append(list, held{m.Ecosystem, pkg.Version, pkg.Direct})
		}
	}
	return packages
}

// snapshot gives whether each file may be run with a digest of it, and the type of what
// is no file.
func snapshot(dir string) (map[string]string, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	digests := map[string]string{}
	err = fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			digests[name] = entry.Type().String()
			return nil
		}
		file, err := root.Open(filepath.FromSlash(name))
		if err != nil {
			return err
		}
		defer file.Close()
		info, err := file.Stat()
		if err != nil {
			return err
		}
		sum := sha256.New()
		_, err = io.Copy(sum, file)
		digests[name] = fmt.Sprintf("%t %x", info.Mode()&0o111 != 0, sum.Sum(nil))
		return err
	})
	return digests, err
}

// changed compares the folder of the change with its snapshot, keeps the new
// content of what differs and lists it, sorted.
func (p *prover) changed(original map[string]string) ([]string, error) {
	now, err := snapshot(p.after)
	if err != nil {
		return nil, err
	}
	var names []string
	for name, digest := range now {
		if original[name] == digest {
			continue
		}
		names = append(names, name)
		if was, _, _ := strings.Cut(original[name], " "); was != "" && !strings.HasPrefix(digest, was+" ") {
			p.modes[name] = true
		}
		content, err := fix.ReadFile(p.after, name)
		if err != nil {
			p.record.Files[name] = nil // a link or worse: reported as not planned
			continue
		}
		p.record.Files[name] = content
	}
	for name := range original {
		if _, still := now[name]; !still {
			names = append(names, name)
			p.record.Files[name] = nil
		}
	}
	slices.Sort(names)
	return names, nil
}

// finish gives the verdict and writes the record.
func (p *prover) finish() (Record, error) {
	v := fact.Verification{Status: fact.VerificationProven, Checks: p.checks}
	needed := required
	if p.modular == nil {
		needed = requiredSite
		if p.packaged {
			needed = append(slices.Clone(needed), CheckVersions)
		}
	}
	for _, name := range needed {
		if !slices.ContainsFunc(p.checks, func(c fact.Check) bool { return c.Name == name && c.Status == fact.CheckPass }) {
			v.Status = fact.VerificationUnchecked
		}
	}
	if slices.ContainsFunc(p.checks, func(c fact.Check) bool { return c.Status == fact.CheckFail }) {
		v.Status = fact.VerificationFailed
	}
	body, err := p.state(v, p.record.Files)
	if err != nil {
		return Record{}, err
	}
	p.record.Statement = body
	if p.record.Envelope, err = envelope(body, p.request.Signer); err != nil {
		return Record{}, err
	}
	v.Digest = hexDigest(body)
	v.Checks = append(slices.Clone(v.Checks), p.signature())
	p.record.Verification = v
	p.record.Log = p.log.String()
	return p.record, nil
}

func (p *prover) signature() fact.Check {
	if p.request.Signer == nil {
		return fact.Check{Name: CheckSignature, Status: fact.CheckSkip, Detail: "the record is not signed: no signing key is configured"}
	}
	return fact.Check{Name: CheckSignature, Status: fact.CheckPass, Detail: "signed with key " + p.request.Signer.KeyID()}
}

func (p *prover) sandboxName() string {
	if p.request.Sandbox == nil {
		return "none"
	}
	return cmp.Or(p.request.Sandbox.Name(), "sandbox")
}

// removeAll removes a folder in which project code may have taken rights away.
func removeAll(dir string) {
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = os.Chmod(name, 0o700)
		}
		return err
	})
	if err = errors.Join(err, os.RemoveAll(dir)); err != nil {
		_ = os.RemoveAll(dir) // a second try, after what the walk could still change
	}
}
