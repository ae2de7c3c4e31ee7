package npm

import (
	"context"
	"fmt"
	"slices"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

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
		key   string
		name  string   // what it asks for
		needs []string // any of them will do
		depth int
	}
	var queue []step
	for _, h := range blocking {
		queue = append(queue, step{h.key, h.as, accepted, 0})
	}
	to := map[string]string{} // lock key -> version
	reached, highest := "", version{}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		if s.depth > maxClimb || to[s.key] != "" {
			continue
		}
		if p.lock.isManifest(s.key) {
			continue // a manifest's own constraint, raised by Apply
		}
		e := p.lock.entries[s.key]
		version, need, err := lowestAllowing(ctx, p.target.Registry, e.Name, e.Version, s.name, s.needs)
		if err != nil {
			return nil, err
		}
		if version == "" {
			return nil, nil
		}
		to[s.key] = version
		if v, ok := parseVersion(need); ok && s.depth == 0 && (reached == "" || highest.less(v)) {
			reached, highest = need, v
		}
		change := fix.Change{Package: e.Name, From: e.Version, To: version, Reason: fmt.Sprintf("allows %s %s", s.name, need)}
		requirers, err := p.requirers(ctx, s.key)
		if err != nil {
			return nil, err
		}
		action := fix.Step{Text: fmt.Sprintf("Raise %s from %s to %s, which allows %s %s.", e.Name, e.Version, version, s.name, need)}
		location := p.locate(s.key)
		action.Location = &location
		for _, r := range requirers {
			if m := p.manifests[p.lock.entries[r.key].Manifest]; m != nil {
				change.Direct = true
				if spec, where, ok := p.stated(m, r.as); ok {
					r.constraint = spec.text
					action.Location = fix.At(where.path, spec.line, 0)
				}
			}
			h := hold{requirer: r}
			if !h.fits(e.Version, version) {
				queue = append(queue, step{r.key, r.as, []string{version}, s.depth + 1})
			}
		}
		path.Add(change)
		path.Steps = append(path.Steps, action)
	}
	if len(path.Changes) == 0 {
		return nil, nil
	}
	path.Add(fix.Change{Package: present.Name, From: present.Version, To: reached, Reason: "follows from its ancestors"})
	if len(path.Changes) == 2 {
		path.Effort = fix.EffortSmall
	}
	path.ID += ":" + path.Changes[0].Package + "@" + path.Changes[0].To
	path.Summary = fmt.Sprintf("raise %s from %s to %s, which allows %s %s", path.Changes[0].Package, path.Changes[0].From, path.Changes[0].To, present.Name, reached)
	path.Steps = append(path.Steps, p.rewrite())
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
			if ok, _ := admits(rangeOf(constraint), need); ok {
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
