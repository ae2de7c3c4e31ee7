package fix

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
)

// Hold is a constraint on a package, and who states it.
type Hold struct {
	Constraint string // as written
	Holder     int    // index into Module.Packages of who states it, -1 for a manifest
	Location   fact.Location
	// Assumed says that the constraint is what such packages usually state, since
	// nothing at hand tells what this one does.
	Assumed bool
}

// Locked plans for modules whose versions a lock decides that the ecosystem's own
// tool writes. It holds what tools differ in; the rest is the same for all.
type Locked struct {
	Fixer string // id of the fixer
	Lock  string // base name of the lock, for sentences
	// Holds lists who asks for package i of the target's module.
	Holds func(ctx context.Context, target *Target, i int) ([]Hold, error)
	// Admits says whether a constraint allows a version; known is false when the
	// constraint is not understood.
	Admits func(constraint, version string) (fits, known bool)
	// Raise rewrites a constraint so that it starts at a version and keeps its
	// operators; false when it cannot.
	Raise func(constraint, to string) (text string, ok bool)
	// Refresh is the command that rewrites the lock after the changes.
	Refresh func(changes []Change) string
	// Ask is the command that lists the versions of a package.
	Ask func(name string) string
	// Force is what to add to a manifest so that the package keeps to the version
	// whoever asks for it, with the place; ok is false where the tool has no such
	// thing or it would not do. nil for no such tool.
	Force func(target *Target, choice Choice, fits bool) (step Step, ok bool)
}

// Plan lists the paths for a target: in the lock only, by a constraint of a
// manifest, by an ancestor, by an override.
func (l *Locked) Plan(ctx context.Context, target *Target) ([]Path, error) {
	target.Blocked = nil
	present := target.Present()
	if present.Source != "" {
		target.Block(*At(present.Path, present.Line, present.EndLine), present.Name+" comes from "+present.Source, "a release of the registry")
		return nil, nil
	}
	var known []string
	var err error
	if target.Registry != nil {
		if known, err = target.Registry.Versions(ctx, present.Name); err != nil {
			return nil, fmt.Errorf("versions of %s: %w", present.Name, err)
		}
	}
	choice, err := Pick(target, known)
	if errors.Is(err, ErrNoVersion) {
		return nil, nil // nothing stands in the way of a version that is not known
	}
	if err != nil {
		return nil, err
	}
	holds, err := l.Holds(ctx, target, target.Package)
	if err != nil {
		return nil, err
	}
	var stated, blocking, others []Hold
	for _, h := range holds {
		fits, _ := l.Admits(h.Constraint, choice.Version)
		if !fits {
			blocking = append(blocking, h)
		}
		switch {
		case h.Holder < 0:
			stated = append(stated, h)
		case !fits:
			others = append(others, h)
		}
	}
	locked := len(target.Module.Locks) > 0
	var paths []Path
	if locked && len(blocking) == 0 {
		paths = append(paths, l.inLock(target, choice, holds))
	}
	if len(stated) > 0 && len(others) == 0 {
		if p, ok := l.direct(target, choice, stated); ok {
			paths = append(paths, p)
		}
	}
	if len(others) > 0 {
		p, err := l.Ancestor(ctx, target, choice, others, known)
		if err != nil {
			return nil, err
		}
		if p != nil {
			paths = append(paths, *p)
		}
	}
	if len(stated) == 0 && locked && l.Force != nil {
		if step, ok := l.Force(target, choice, len(blocking) == 0); ok {
			paths = append(paths, l.force(target, choice, blocking, step))
		}
	}
	if len(paths) == 0 || len(others) > 0 {
		for _, h := range blocking {
			target.Block(h.Location, l.says(target, h, present.Name), choice.Version)
		}
	}
	if target.Registry == nil {
		for i := range paths {
			paths[i].Steps = append(paths[i].Steps, Step{
				Text:    fmt.Sprintf("Check that %s %s exists; no registry was asked, neither for ancestors that allow it.", present.Name, choice.Version),
				Command: l.Ask(present.Name),
			})
		}
	}
	return paths, nil
}

// says words a hold: "web 1.2.0 requires qs <2".
func (l *Locked) says(target *Target, h Hold, name string) string {
	text := strings.TrimSpace(name + " " + h.Constraint)
	if h.Assumed {
		text += " (as is usual; no registry was asked)"
	}
	if h.Holder < 0 {
		return text
	}
	by := target.Module.Packages[h.Holder]
	return by.Name + " " + by.Version + " requires " + text
}

// copies adds what tells copies of one package apart, and which ones move: all that
// have the version, as gems for several platforms do.
func copies(target *Target, p *Path) {
	present := target.Present()
	if slices.ContainsFunc(target.Module.Packages, func(o lockfile.Package) bool { return o.Name == present.Name && o.Key != present.Key }) {
		p.ID += ":" + present.Key
	}
	for _, o := range target.Module.Packages {
		if o.Name == present.Name && o.Version == present.Version {
			p.Moves = append(p.Moves, o.Key)
		}
	}
}

func (l *Locked) inLock(target *Target, choice Choice, holds []Hold) Path {
	present := target.Present()
	p := target.NewPath(l.Fixer, RaiseLocked, choice)
	copies(target, &p)
	p.Summary = fmt.Sprintf("raise %s from %s to %s in %s", present.Name, present.Version, choice.Version, l.Lock)
	if len(holds) > 0 {
		p.Summary += "; " + l.says(target, holds[0], present.Name) + " allows it"
	}
	p.Steps = append(p.Steps, Step{
		Text:     fmt.Sprintf("Raise %s to %s in the lock; no constraint has to change.", present.Name, choice.Version),
		Command:  l.Refresh(p.Changes),
		Location: At(present.Path, present.Line, present.EndLine),
	})
	return p
}

func (l *Locked) direct(target *Target, choice Choice, stated []Hold) (Path, bool) {
	present := target.Present()
	p := target.NewPath(l.Fixer, RaiseDirect, choice)
	copies(target, &p)
	p.Changes[0].Direct = true
	edited := 0
	for _, h := range stated {
		text, ok := l.Raise(h.Constraint, choice.Version)
		if !ok {
			target.Block(h.Location, l.says(target, h, present.Name), choice.Version)
			return Path{}, false
		}
		if text == h.Constraint {
			continue
		}
		if edited++; edited == 1 {
			p.Summary = fmt.Sprintf("raise %s from %s to %s in %s", present.Name, shown(h.Constraint), text, h.Location.Path)
		}
		p.Steps = append(p.Steps, Step{
			Text:     fmt.Sprintf("Change the constraint of %s from %s to %s.", present.Name, shown(h.Constraint), text),
			Location: &h.Location,
		})
	}
	switch {
	case edited == 0:
		return Path{}, false
	case edited > 1:
		p.Effort = EffortMedium
	}
	l.rewrite(target, &p)
	return p, true
}

// shown names a constraint that may be empty.
func shown(constraint string) string {
	if constraint == "" {
		return "any version"
	}
	return constraint
}

// rewrite adds the step that rewrites the lock, where there is one.
func (l *Locked) rewrite(target *Target, p *Path) {
	if len(target.Module.Locks) > 0 {
		p.Steps = append(p.Steps, Step{Text: "Rewrite " + l.Lock + ".", Command: l.Refresh(p.Changes)})
	}
}

func (l *Locked) force(target *Target, choice Choice, blocking []Hold, step Step) Path {
	present := target.Present()
	p := target.NewPath(l.Fixer, Override, choice)
	copies(target, &p)
	p.Temporary = true
	p.Effort = EffortMedium
	p.Summary = fmt.Sprintf("keep %s from below %s by an entry of its own in %s", present.Name, choice.Version, path.Base(step.Location.Path))
	p.Steps = append(p.Steps, step)
	l.rewrite(target, &p)
	for _, h := range blocking {
		p.Steps = append(p.Steps, Step{Text: fmt.Sprintf("Take the entry back when it no longer holds that %s.", l.says(target, h, present.Name)), Location: &h.Location})
	}
	if len(blocking) == 0 {
		p.Steps = append(p.Steps, Step{Text: fmt.Sprintf("Take the entry back when what requires %s asks for %s or later itself.", present.Name, choice.Version)})
	}
	return p
}

// Bounds of the search for an ancestor.
const (
	maxClimb    = 6
	maxReleases = 30
)

// acceptable lists the versions that do as well as the chosen one, rising from it.
func acceptable(target *Target, choice Choice, known []string) []string {
	eco := target.Module.Ecosystem
	versions := []string{choice.Version}
	pkg := target.Module.Fact(target.Package)
	for _, text := range above(target.Advisories, eco, known, choice.Version) {
		if PreRelease(eco, text) {
			continue
		}
		pkg.Version, pkg.PURL = text, ""
		found, err := target.Advisories.Affecting(pkg)
		if err != nil {
			continue // a version that cannot be judged is no answer
		}
		if !slices.ContainsFunc(found, func(a fact.Advisory) bool { return !slices.Contains(choice.Residual, a.ID) }) {
			versions = append(versions, text)
		}
	}
	return versions
}

// Ancestor raises what holds the package back to the lowest versions that allow
// one that will do, and what holds those back in turn, up to the manifests. It is
// nil without a registry and when some constraint stays in the way. Blocking are holds
// of other packages; known are the versions of the target's package.
func (l *Locked) Ancestor(ctx context.Context, target *Target, choice Choice, blocking []Hold, known []string) (*Path, error) {
	if target.Registry == nil {
		return nil, nil
	}
	present := target.Present()
	p := target.NewPath(l.Fixer, RaiseAncestor, choice)
	p.Changes = nil
	type climb struct {
		holder int
		name   string
		needs  []string // any of them will do
		depth  int
	}
	var queue []climb
	for _, h := range blocking {
		queue = append(queue, climb{h.Holder, present.Name, acceptable(target, choice, known), 0})
	}
	to := map[int]string{}
	reached := ""
	for len(queue) > 0 {
		c := queue[0]
		queue = queue[1:]
		if to[c.holder] != "" {
			continue
		}
		holder := target.Module.Packages[c.holder]
		if c.depth > maxClimb || holder.Source != "" {
			return nil, nil
		}
		version, need, err := l.lowestAllowing(ctx, target, holder.Name, holder.Version, c.name, c.needs)
		if err != nil || version == "" {
			return nil, err
		}
		to[c.holder] = version
		if c.depth == 0 {
			if order, err := target.Advisories.Compare(target.Module.Ecosystem, need, reached); reached == "" || err == nil && order > 0 {
				reached = need
			}
		}
		holds, err := l.Holds(ctx, target, c.holder)
		if err != nil {
			return nil, err
		}
		change := Change{Package: holder.Name, From: holder.Version, To: version, Reason: fmt.Sprintf("allows %s %s", c.name, need)}
		location := At(holder.Path, holder.Line, holder.EndLine)
		for _, h := range holds {
			fits, _ := l.Admits(h.Constraint, version)
			switch {
			case h.Holder < 0:
				change.Direct = true
				if !fits {
					if _, ok := l.Raise(h.Constraint, version); !ok {
						return nil, nil
					}
					location = &h.Location
				}
			case !fits:
				queue = append(queue, climb{h.Holder, holder.Name, []string{version}, c.depth + 1})
			}
		}
		p.Add(change)
		p.Steps = append(p.Steps, Step{
			Text:     fmt.Sprintf("Raise %s from %s to %s, which allows %s %s.", holder.Name, holder.Version, version, c.name, need),
			Location: location,
		})
	}
	if len(p.Changes) == 1 {
		p.Effort = EffortSmall
	}
	effort := p.Effort
	p.Add(Change{Package: present.Name, From: present.Version, To: reached, Reason: "follows from its ancestors"})
	p.Effort = effort
	p.ID += ":" + p.Changes[0].Package + "@" + p.Changes[0].To
	p.Summary = fmt.Sprintf("raise %s from %s to %s, which allows %s %s", p.Changes[0].Package, p.Changes[0].From, p.Changes[0].To, present.Name, reached)
	l.rewrite(target, &p)
	return &p, nil
}

// lowestAllowing returns the lowest version of a package above from that lets
// another have one of needs, and which: the first when it no longer asks for the
// other at all. Both are "" when none of the next versions does.
func (l *Locked) lowestAllowing(ctx context.Context, target *Target, name, from, other string, needs []string) (allowing, need string, err error) {
	eco := target.Module.Ecosystem
	versions, err := target.Registry.Versions(ctx, name)
	if err != nil {
		return "", "", fmt.Errorf("versions of %s: %w", name, err)
	}
	versions = slices.DeleteFunc(above(target.Advisories, eco, versions, from), func(v string) bool { return PreRelease(eco, v) })
	for _, candidate := range versions[:min(len(versions), maxReleases)] {
		requires, err := target.Registry.Requirements(ctx, name, candidate)
		if err != nil {
			return "", "", fmt.Errorf("requirements of %s %s: %w", name, candidate, err)
		}
		constraint, asks := requires[other]
		if !asks {
			return candidate, needs[0], nil
		}
		for _, need := range needs {
			if fits, _ := l.Admits(constraint, need); fits {
				return candidate, need, nil
			}
		}
	}
	return "", "", nil
}
