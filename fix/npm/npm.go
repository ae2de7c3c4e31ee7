// Package npm fixes projects of npm with a package-lock.json or
// npm-shrinkwrap.json: it raises a package in the lock when every constraint
// allows it, raises a constraint of package.json, raises the nearest ancestor
// of a transitive package, or adds an override.
//
// Constraints are literals of package.json that are replaced byte by byte. The
// lock is npm's own work, done in a folder that holds nothing but manifests
// and lock, without scripts, settings of the repository, or credentials.
package npm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// ID is the fixer's id.
const ID = "fix/npm"

type fixer struct {
	locks fix.Cache[*lock]
}

// New returns the fixer of npm projects.
func New() fix.ModuleFixer { return &fixer{} }

func (*fixer) Describe() fix.Description {
	return fix.Description{
		ID:   ID,
		Name: "npm",
		Docs: "Raises packages in package-lock.json to the lowest version that closes everything known, where constraints allow it; " +
			"else raises the constraint, the nearest ancestor, or adds an override, which is to be taken back later. " +
			"package.json keeps its layout; the lock is rewritten by npm without running scripts.",
		Commands: []string{"npm"},
	}
}

func (*fixer) Handles(m *lockfile.Module) bool { return m.Tool == "npm" && len(m.Manifests) > 0 }

// project is a module with its files read.
type project struct {
	target   *fix.Target
	manifest *manifest
	// workspaces are the manifests of workspaces by their key in the lock.
	workspaces map[string]*manifest
	lock       *lock
	lockPath   string
	key        string // the target's package in the lock
}

func (f *fixer) load(ctx context.Context, target *fix.Target) (*project, error) {
	p := &project{target: target, key: target.Present().Key, workspaces: map[string]*manifest{}}
	name := target.Module.Manifests[0]
	data, err := target.Tree.Read(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	if p.manifest, err = parseManifest(name, data); err != nil {
		return nil, err
	}
	if len(target.Module.Locks) == 0 {
		return p, nil
	}
	p.lockPath = target.Module.Locks[0]
	if data, err = target.Tree.Read(ctx, p.lockPath); err != nil {
		return nil, fmt.Errorf("%s: %w", p.lockPath, err)
	}
	if p.lock, err = f.locks.Get(p.lockPath, data, parseLock); err != nil {
		return nil, err
	}
	for key := range p.lock.entries {
		if key == "" || strings.Contains("/"+key, "/node_modules/") {
			continue
		}
		name := path.Join(target.Module.Dir, key, "package.json")
		data, err := target.Tree.Read(ctx, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a link out of the repository
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if p.workspaces[key], err = parseManifest(name, data); err != nil {
			return nil, err
		}
	}
	if _, ok := p.lock.entries[p.key]; !ok {
		for _, key := range p.lock.instances(target.Present().Name) {
			if p.lock.entries[key].Version == target.Present().Version {
				p.key = key
				break
			}
		}
	}
	return p, nil
}

// hold is a constraint on the target's package, and who states it.
type hold struct {
	constraint string
	by         string // name and version of the package, "" for the manifest
	key        string // lock key of the package, "" for the manifest
	manifest   bool   // a manifest of the project states it, the root's or a workspace's
	location   fact.Location
}

// holds lists who asks for the target's package.
func (p *project) holds() []hold {
	var holds []hold
	name := nameOf(p.key)
	if p.key == "" {
		name = p.target.Present().Name
	}
	if p.lock == nil {
		if s, ok := p.manifest.spec(name); ok {
			holds = append(holds, hold{constraint: s.text, manifest: true, location: *fix.At(p.manifest.path, s.line, 0)})
		}
		return holds
	}
	for _, r := range p.lock.requirers(p.key) {
		h := hold{constraint: r.constraint, key: r.key, by: nameOf(r.key) + " " + p.lock.entries[r.key].Version, location: p.locate(r.key)}
		switch {
		case r.key == "":
			h.by, h.manifest = "", true
			if s, ok := p.manifest.spec(name); ok {
				h.constraint, h.location = s.text, *fix.At(p.manifest.path, s.line, 0)
			}
		case p.workspaces[r.key] != nil:
			h.by, h.manifest = r.key, true
			if s, ok := p.workspaces[r.key].spec(name); ok {
				h.constraint, h.location = s.text, *fix.At(p.workspaces[r.key].path, s.line, 0)
			}
		}
		holds = append(holds, h)
	}
	if len(holds) == 0 {
		if s, ok := p.manifest.spec(name); ok {
			holds = append(holds, hold{constraint: s.text, manifest: true, location: *fix.At(p.manifest.path, s.line, 0)})
		}
	}
	return holds
}

// locate gives the lines of a package in the lock.
func (p *project) locate(key string) fact.Location {
	for _, other := range p.target.Module.Packages {
		if other.Key == key {
			return *fix.At(other.Path, other.Line, other.EndLine)
		}
	}
	return fact.Location{Path: p.lockPath}
}

func (f *fixer) Plan(ctx context.Context, target *fix.Target) ([]fix.Path, error) {
	target.Blocked = nil
	p, err := f.load(ctx, target)
	if err != nil {
		return nil, err
	}
	present := target.Present()
	if present.Source != "" {
		target.Block(*fix.At(present.Path, present.Line, present.EndLine), present.Name+" comes from "+present.Source, "a release of the registry")
		return nil, nil
	}
	if p.lock != nil && p.lock.entries[p.key].InBundle {
		target.Block(p.locate(p.key), present.Name+" "+present.Version+" is bundled in "+p.lock.bundler(p.key), "a release of "+p.lock.bundler(p.key)+" that bundles another")
		return nil, nil
	}
	var known []string
	if target.Registry != nil {
		if known, err = target.Registry.Versions(ctx, present.Name); err != nil {
			return nil, fmt.Errorf("versions of %s: %w", present.Name, err)
		}
	}
	choice, err := fix.Pick(target, known)
	if errors.Is(err, fix.ErrNoVersion) {
		return nil, nil // nothing stands in the way of a version that is not known
	}
	if err != nil {
		return nil, err
	}
	var stated, blocking, others []hold
	holds := p.holds()
	for _, h := range holds {
		ok, _ := admits(h.constraint, choice.Version)
		if !ok {
			blocking = append(blocking, h)
		}
		switch {
		case h.manifest:
			stated = append(stated, h)
		case !ok:
			others = append(others, h)
		}
	}
	var paths []fix.Path
	if len(blocking) == 0 && p.lock != nil && len(holds) > 0 {
		paths = append(paths, p.planLocked(choice, holds))
	}
	if len(stated) > 0 && len(others) == 0 {
		if path, ok := p.planDirect(choice, stated); ok {
			paths = append(paths, path)
		} else {
			for _, h := range stated {
				target.Block(h.location, fmt.Sprintf("%s %s", present.Name, h.constraint), choice.Version)
			}
		}
	}
	if len(others) > 0 {
		ancestor, err := p.planAncestor(ctx, choice, others, p.acceptable(choice, known))
		if err != nil {
			return nil, err
		}
		if ancestor != nil {
			paths = append(paths, *ancestor)
		}
	}
	if len(stated) == 0 && p.lock != nil && !p.manifest.overridden[present.Name] {
		paths = append(paths, p.planOverride(choice, holds))
		if len(target.Others) > 0 && target.Package < target.Others[0] {
			all, err := p.planOverrideOfAll(choice, known)
			if err != nil {
				return nil, err
			}
			if all != nil {
				paths = append(paths, *all)
			}
		}
	}
	if len(paths) == 0 || len(blocking) > 0 && len(stated) == 0 {
		for _, h := range blocking {
			target.Block(h.location, strings.TrimSpace(h.by+" requires "+present.Name+" "+h.constraint), choice.Version)
		}
	}
	if target.Registry == nil {
		for i := range paths {
			paths[i].Steps = append(paths[i].Steps, fix.Step{
				Text:    fmt.Sprintf("Check that %s %s exists; no registry was asked, neither for ancestors that allow it.", present.Name, choice.Version),
				Command: "npm view " + present.Name + " versions",
			})
		}
	}
	return paths, nil
}

const refresh = "npm install --package-lock-only --ignore-scripts --no-audit --no-fund"

// planLocked raises the package in the lock; every constraint allows it.
func (p *project) planLocked(choice fix.Choice, holds []hold) fix.Path {
	present := p.target.Present()
	path := p.target.NewPath(ID, fix.RaiseLocked, choice)
	path.ID += ":" + p.key
	by := "package.json"
	if holds[0].by != "" {
		by = holds[0].by
	}
	path.Summary = fmt.Sprintf("raise %s from %s to %s in the lock; %s allows it (%s)", present.Name, present.Version, choice.Version, by, holds[0].constraint)
	location := p.locate(p.key)
	path.Steps = append(path.Steps, fix.Step{
		Text:     fmt.Sprintf("Raise %s to %s in the lock; no constraint has to change.", present.Name, choice.Version),
		Command:  refresh,
		Location: &location,
	})
	return path
}

// planDirect raises the constraints in package.json and in those of
// workspaces, with companions.
func (p *project) planDirect(choice fix.Choice, stated []hold) (fix.Path, bool) {
	present := p.target.Present()
	path := p.target.NewPath(ID, fix.RaiseDirect, choice)
	path.Changes[0].Direct = true
	for i, h := range stated {
		text, ok := raise(h.constraint, choice.Version)
		if !ok {
			return fix.Path{}, false
		}
		if i == 0 {
			path.Summary = fmt.Sprintf("raise %s from %s to %s in %s", present.Name, h.constraint, text, h.location.Path)
		} else {
			path.Effort = fix.EffortMedium
		}
		path.Steps = append(path.Steps, fix.Step{
			Text:     fmt.Sprintf("Change the constraint of %s from %s to %s.", present.Name, h.constraint, text),
			Location: &h.location,
		})
	}
	for _, companion := range fix.Lockstep(p.target.Module, p.target.Package) {
		c := p.target.Module.Packages[companion.Package]
		s, ok := p.manifest.spec(c.Name)
		if !ok {
			continue
		}
		text, ok := raise(s.text, choice.Version)
		if !ok {
			continue
		}
		path.Add(fix.Change{Package: c.Name, From: c.Version, To: choice.Version, Direct: true, Reason: companion.Reason})
		path.Steps = append(path.Steps, fix.Step{
			Text:     fmt.Sprintf("Change the constraint of %s from %s to %s.", c.Name, s.text, text),
			Location: fix.At(p.manifest.path, s.line, 0),
		})
	}
	if p.lock != nil {
		path.Steps = append(path.Steps, fix.Step{Text: "Let npm rewrite the lock.", Command: refresh})
	}
	return path, true
}

// planOverride forces the version on whoever asks for the package. Where other
// versions of it are installed, only on those who have this one.
func (p *project) planOverride(choice fix.Choice, holds []hold) fix.Path {
	present := p.target.Present()
	path := p.target.NewPath(ID, fix.Override, choice)
	path.ID += ":" + p.key
	path.Temporary = true
	path.Effort = fix.EffortMedium
	path.Summary = fmt.Sprintf("override %s %s with %s in package.json until its ancestors allow it", present.Name, present.Version, choice.Version)
	members := p.overrides(present.Name, present.Version, choice.Version)
	text := `"overrides": {` + strings.Join(members, ", ") + "}"
	for _, key := range p.lock.instances(present.Name) {
		if p.lock.entries[key].Version == present.Version && !p.lock.entries[key].InBundle {
			path.Moves = append(path.Moves, key)
		}
	}
	path.Steps = append(path.Steps,
		fix.Step{Text: "Add " + text + ".", Location: &fact.Location{Path: p.manifest.path}},
		fix.Step{Text: "Let npm rewrite the lock.", Command: refresh})
	for _, h := range holds {
		if ok, _ := admits(h.constraint, choice.Version); !ok {
			path.Steps = append(path.Steps, fix.Step{
				Text:     fmt.Sprintf("Take the override back when %s no longer asks for %s %s.", h.by, present.Name, h.constraint),
				Location: &h.location,
			})
		}
	}
	return path
}

// planOverrideOfAll forces one version on whoever asks for any of the copies that
// must change and are not bundled: the highest of those that close each. It gives
// nil where a copy would go down.
func (p *project) planOverrideOfAll(choice fix.Choice, known []string) (*fix.Path, error) {
	target := p.target
	highest, changes := choice, []fix.Change{}
	var moves []string
	for _, index := range append([]int{target.Package}, target.Others...) {
		pkg := target.Module.Packages[index]
		entry, locked := p.lock.entries[pkg.Key]
		if locked && entry.InBundle {
			continue // no override reaches it
		}
		if _, states := p.manifest.spec(pkg.Name); states || !locked || pkg.Source != "" {
			return nil, nil
		}
		one := *target
		one.Package = index
		picked, err := fix.Pick(&one, known)
		if errors.Is(err, fix.ErrNoVersion) || errors.Is(err, fix.ErrNotAffected) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		if higher(picked.Version, highest.Version) {
			highest = picked
		}
		if !slices.ContainsFunc(changes, func(c fix.Change) bool { return c.From == pkg.Version }) {
			changes = append(changes, fix.Change{Package: pkg.Name, From: pkg.Version, Direct: pkg.Direct})
		}
	}
	for _, key := range p.lock.instances(target.Present().Name) {
		entry := p.lock.entries[key]
		if higher(entry.Version, highest.Version) && !entry.InBundle {
			return nil, nil
		}
		if !entry.InBundle {
			moves = append(moves, key)
		}
	}
	path := target.NewPath(ID, fix.Override, highest)
	path.ID += ":all"
	path.Temporary = true
	path.Effort = fix.EffortMedium
	path.Moves = moves
	path.Changes = nil
	var froms []string
	for _, change := range changes {
		change.To = highest.Version
		path.Add(change)
		froms = append(froms, change.From)
	}
	name := target.Present().Name
	path.Summary = fmt.Sprintf("override every %s (%s) with %s in package.json until its ancestors allow it", name, strings.Join(froms, ", "), highest.Version)
	path.Steps = append(path.Steps,
		fix.Step{Text: "Add " + `"overrides": {` + everyone(name, highest.Version) + "}.", Location: &fact.Location{Path: p.manifest.path}},
		fix.Step{Text: "Let npm rewrite the lock.", Command: refresh},
		fix.Step{Text: fmt.Sprintf("Take the override back when the packages that ask for %s allow %s themselves.", name, highest.Version)})
	return &path, nil
}

// higher says whether a version is above another; one that is none is not.
func higher(a, b string) bool {
	x, ok := parseVersion(a)
	y, known := parseVersion(b)
	return ok && known && y.less(x)
}

// everyone is the member of "overrides" for whoever asks for a package.
func everyone(name, to string) string { return fmt.Sprintf(`"%s": "%s"`, quote(name), quote(to)) }

// overrides gives the members to add to "overrides" so that whoever has name
// at a version gets another: all of them by name when that lowers nobody and
// takes nobody to another major version, else one member for each package that
// asks for it.
func (p *project) overrides(name, from, to string) []string {
	var parents []string
	all := true
	want, _ := parseVersion(to)
	for _, key := range p.lock.instances(name) {
		if p.lock.entries[key].InBundle {
			continue
		}
		if v, ok := parseVersion(p.lock.entries[key].Version); p.lock.entries[key].Version != from && (!ok || want.less(v) || v.n[0] != want.n[0]) {
			all = false
		}
		if p.lock.entries[key].Version != from {
			continue
		}
		for _, r := range p.lock.requirers(key) {
			if !strings.Contains("/"+r.key, "/node_modules/") {
				continue
			}
			parent := nameOf(r.key)
			if len(p.lock.instances(parent)) > 1 {
				parent += "@" + p.lock.entries[r.key].Version
			}
			parents = append(parents, parent)
		}
	}
	if all || len(parents) == 0 {
		return []string{everyone(name, to)}
	}
	slices.Sort(parents)
	var members []string
	for _, parent := range slices.Compact(parents) {
		members = append(members, fmt.Sprintf(`"%s": { "%s": "%s" }`, quote(parent), quote(name), quote(to)))
	}
	return members
}

// Bounds of the search for an ancestor.
const (
	maxClimb    = 6
	maxVersions = 30
)

// acceptable lists the versions that do as well as the chosen one, rising from it.
func (p *project) acceptable(choice fix.Choice, known []string) []string {
	versions := []string{choice.Version}
	least, ok := parseVersion(choice.Version)
	if !ok {
		return versions
	}
	var above []string
	for _, text := range known {
		if v, ok := parseVersion(text); ok && v.pre == "" && least.less(v) {
			above = append(above, text)
		}
	}
	sortVersions(above)
	pkg := p.target.Module.Fact(p.target.Package)
	for _, text := range above {
		pkg.Version, pkg.PURL = text, ""
		found, err := p.target.Advisories.Affecting(pkg)
		if err != nil {
			continue // a version that cannot be judged is no answer
		}
		if !slices.ContainsFunc(found, func(a fact.Advisory) bool { return !slices.Contains(choice.Residual, a.ID) }) {
			versions = append(versions, text)
		}
	}
	return versions
}

// planAncestor raises the packages that hold the target's package back to the
// lowest versions that allow one of accepted, and those that hold them back in
// turn, up to package.json. It returns nil when some constraint stays in the
// way, after noting it as a block.
func (p *project) planAncestor(ctx context.Context, choice fix.Choice, blocking []hold, accepted []string) (*fix.Path, error) {
	if p.target.Registry == nil {
		return nil, nil
	}
	present := p.target.Present()
	path := p.target.NewPath(ID, fix.RaiseAncestor, choice)
	path.Changes = nil
	type step struct {
		h     hold
		name  string
		needs []string // any of them will do
		depth int
	}
	var queue []step
	for _, h := range blocking {
		queue = append(queue, step{h, present.Name, accepted, 0})
	}
	to := map[string]string{} // lock key -> version
	reached, highest := "", version{}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		if s.depth > maxClimb || to[s.h.key] != "" {
			continue
		}
		if !strings.Contains("/"+s.h.key, "/node_modules/") {
			continue // a manifest's own constraint, raised by Apply
		}
		name, from := nameOf(s.h.key), p.lock.entries[s.h.key].Version
		version, need, err := lowestAllowing(ctx, p.target.Registry, name, from, s.name, s.needs)
		if err != nil {
			return nil, err
		}
		if version == "" {
			return nil, nil
		}
		to[s.h.key] = version
		if v, ok := parseVersion(need); ok && s.depth == 0 && (reached == "" || highest.less(v)) {
			reached, highest = need, v
		}
		change := fix.Change{Package: name, From: from, To: version, Reason: fmt.Sprintf("allows %s %s", s.name, need)}
		for _, r := range p.lock.requirers(s.h.key) {
			if r.key == "" {
				change.Direct = true
			}
			if ok, _ := admits(r.constraint, version); !ok {
				queue = append(queue, step{hold{constraint: r.constraint, key: r.key}, name, []string{version}, s.depth + 1})
			}
		}
		path.Add(change)
		step := fix.Step{Text: fmt.Sprintf("Raise %s from %s to %s, which allows %s %s.", name, from, version, s.name, need)}
		if spec, ok := p.manifest.spec(name); ok && change.Direct {
			step.Location = fix.At(p.manifest.path, spec.line, 0)
		} else {
			location := p.locate(s.h.key)
			step.Location = &location
		}
		path.Steps = append(path.Steps, step)
	}
	if len(path.Changes) == 0 {
		return nil, nil
	}
	if len(path.Changes) == 1 {
		path.Effort = fix.EffortSmall
	}
	path.Add(fix.Change{Package: present.Name, From: present.Version, To: reached, Reason: "follows from its ancestors"})
	path.ID += ":" + path.Changes[0].Package + "@" + path.Changes[0].To
	path.Summary = fmt.Sprintf("raise %s from %s to %s, which allows %s %s", path.Changes[0].Package, path.Changes[0].From, path.Changes[0].To, present.Name, reached)
	path.Steps = append(path.Steps, fix.Step{Text: "Let npm rewrite the lock.", Command: refresh})
	return &path, nil
}

// lowestAllowing returns the lowest version of a package above from that lets
// another have one of needs, and which: the first when it no longer
// asks for the other at all, "" when none of the next versions does.
func lowestAllowing(ctx context.Context, registry fix.Registry, name, from, other string, needs []string) (allowing, need string, err error) {
	versions, err := registry.Versions(ctx, name)
	if err != nil {
		return "", "", fmt.Errorf("versions of %s: %w", name, err)
	}
	start, ok := parseVersion(from)
	if !ok {
		return "", "", nil
	}
	var above []string
	for _, text := range versions {
		if v, ok := parseVersion(text); ok && v.pre == "" && start.less(v) {
			above = append(above, text)
		}
	}
	sortVersions(above)
	for _, candidate := range above[:min(len(above), maxVersions)] {
		requires, err := registry.Requirements(ctx, name, candidate)
		if err != nil {
			return "", "", fmt.Errorf("requirements of %s@%s: %w", name, candidate, err)
		}
		constraint, asks := requires[other]
		if !asks {
			return candidate, needs[0], nil
		}
		for _, need := range needs {
			if ok, _ := admits(constraint, need); ok {
				return candidate, need, nil
			}
		}
	}
	return "", "", nil
}

// sortVersions puts versions in rising order; all of them can be read.
func sortVersions(list []string) {
	slices.SortStableFunc(list, func(a, b string) int {
		va, _ := parseVersion(a)
		vb, _ := parseVersion(b)
		switch {
		case va.less(vb):
			return -1
		case vb.less(va):
			return 1
		}
		return 0
	})
}
