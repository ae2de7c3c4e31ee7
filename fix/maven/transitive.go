package maven

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fix"
)

// unstated plans for a package whose version no place of the repository states:
// a parent or a bill from elsewhere decides it, or another dependency brings it.
func (p *plan) unstated(ctx context.Context, silent []place) ([]fix.Path, error) {
	present := p.target.Present()
	if p.what.classifier != "" && len(silent) == 0 {
		p.target.Block(*fix.At(p.own.file, 0, 0), fmt.Sprintf("%s is used with the classifier %s, and repositories list versions without classifiers", present.Name, p.what.classifier), p.choice.Version+" with that classifier")
		return nil, nil
	}
	var paths []fix.Path
	if len(silent) > 0 {
		path, ok := p.besideSilent(silent)
		if ok {
			paths = append(paths, path)
		}
	} else {
		ancestors, err := p.ancestors(ctx)
		if err != nil {
			return nil, err
		}
		paths = append(paths, ancestors...)
	}
	deciders, err := p.deciders(ctx)
	if err != nil {
		return nil, err
	}
	paths = append(paths, deciders...)
	at := p.home()
	paths = append(paths, p.managed(at, ""))
	if at != p.own {
		paths = append(paths, p.managed(p.own, "-here"))
	}
	return paths, nil
}

// home is the pom that a managed version goes into: the nearest one that manages
// versions, else the project's own.
func (p *plan) home() *pom {
	for _, at := range p.own.chain() {
		if at.root.at("dependencyManagement", "dependencies") != nil {
			return at
		}
	}
	return p.own
}

// managed plans a managed version.
func (p *plan) managed(at *pom, suffix string) fix.Path {
	present := p.target.Present()
	path := p.target.NewPath(ID, fix.Override, p.choice)
	path.ID += suffix
	path.Moves = p.moves()
	path.Temporary = true
	path.Effort = fix.EffortMedium
	path.Summary = fmt.Sprintf("manage %s at %s in %s, whoever brings %s", present.Name, p.choice.Version, at.file, present.Version)
	path.Edits = append(path.Edits, at.manage(p.what, p.choice.Version))
	path.Reach = "this project only"
	below := 0
	for _, other := range p.project.poms {
		if other != nil && other != at && slices.Contains(other.chain(), at) {
			below++
		}
	}
	if below > 0 {
		path.Reach = fmt.Sprintf("this project and %d modules below it", below)
	}
	line := 0
	if section := at.root.child("dependencyManagement"); section != nil {
		line = section.line
	}
	path.Steps = append(path.Steps,
		fix.Step{Text: fmt.Sprintf("Add %s %s to dependencyManagement.", present.Name, p.choice.Version), Location: fix.At(at.file, line, 0)},
		fix.Step{Text: fmt.Sprintf("Take the entry back when what brings %s asks for %s or more itself; until then it holds the version.", present.Name, p.choice.Version)})
	return path
}

// besideSilent plans to state the version beside dependencies that leave it to a
// parent or a bill from elsewhere.
func (p *plan) besideSilent(silent []place) (fix.Path, bool) {
	present := p.target.Present()
	path := p.target.NewPath(ID, fix.RaiseDirect, p.choice)
	path.Moves = p.moves()
	path.Reach = "this dependency only"
	path.Summary = fmt.Sprintf("state %s for %s in %s, over what its parent or bill of materials says", p.choice.Version, present.Name, p.own.file)
	for _, at := range silent {
		edit, ok := at.in.state(at.at, p.choice.Version)
		if !ok || at.at.child("version") != nil {
			return fix.Path{}, false
		}
		path.Edits = append(path.Edits, edit)
		path.Steps = append(path.Steps, fix.Step{
			Text:     fmt.Sprintf("Write the version %s beside %s.", p.choice.Version, present.Name),
			Location: fix.At(at.in.file, at.at.line, at.at.end),
		})
	}
	return path, true
}

// Managing is a registry that knows which versions a bill of materials or a
// parent manages: group:artifact to version.
type Managing interface {
	Managed(ctx context.Context, name, version string) (map[string]string, error)
}

// deciders plans to raise a parent or a bill from elsewhere that decides the
// version, where the registry knows what they manage.
func (p *plan) deciders(ctx context.Context) ([]fix.Path, error) {
	registry, ok := p.target.Registry.(Managing)
	if !ok {
		return nil, nil
	}
	present := p.target.Present()
	for _, in := range p.own.chain() {
		for _, at := range in.places() {
			version := at.at.child("version")
			if version == nil || at.role != roleBill && (at.role != roleParent || in.outside != at.at) {
				continue
			}
			lit, text, edit, known := p.own.decide(version, in)
			name := p.own.coordinates(at.at).name
			if !known || !fix.IsMavenName(name) {
				continue
			}
			manages, err := registry.Managed(ctx, name, text)
			if err != nil {
				return nil, fmt.Errorf("what %s %s manages: %w", name, text, err)
			}
			if manages[present.Name] != present.Version {
				continue
			}
			next, err := p.lowest(ctx, name, text, func(candidate string) (bool, error) {
				manages, err := registry.Managed(ctx, name, candidate)
				if err != nil || manages[present.Name] == "" {
					return false, err
				}
				return p.reaches(manages[present.Name]), nil
			})
			if err != nil {
				return nil, err
			}
			if next == "" || !edit {
				p.target.Block(*fix.At(in.file, version.line, version.end), name+" "+text+" manages "+present.Name+" "+present.Version, p.choice.Version)
				return nil, nil
			}
			path := p.target.NewPath(ID, fix.RaiseAncestor, p.choice)
			path.ID += ":" + name + "@" + next
			path.Moves = p.moves()
			path.Changes = nil
			path.Add(fix.Change{Package: name, From: text, To: next, Direct: true, Reason: "manages " + present.Name})
			path.Effort = fix.EffortSmall
			path.Risk = fix.Distance(text, next)
			path.Summary = fmt.Sprintf("raise %s from %s to %s, which manages %s at %s or more", name, text, next, present.Name, p.choice.Version)
			path.Edits = append(path.Edits, lit.in.replace(lit.at, strings.Replace(lit.at.text, text, next, 1)))
			path.Reach = "every version that " + name + " manages for this project"
			path.Steps = append(path.Steps, fix.Step{
				Text:     fmt.Sprintf("Change the version of %s from %s to %s.", name, text, next),
				Location: fix.At(lit.in.file, lit.at.line, lit.at.end),
			})
			return []fix.Path{path}, nil
		}
	}
	return nil, nil
}

// reaches says whether a version is the chosen one or above and free of what is
// to be closed.
func (p *plan) reaches(version string) bool {
	version = lowerBound(version)
	if !fix.IsMavenVersion(version) {
		return false
	}
	order, err := fix.MavenOrder{Advisories: p.target.Advisories}.Compare("Maven", version, p.choice.Version)
	if err != nil {
		return false
	}
	if order == 0 {
		return true
	}
	found, err := p.affecting(p.target.Present().Name, version)
	if err != nil || order < 0 {
		return false
	}
	for _, id := range found {
		if !slices.Contains(p.choice.Residual, id) && !slices.Contains(p.choice.Brings, id) {
			return false
		}
	}
	return true
}

// lowerBound is the version that a requirement leads to at the least.
func lowerBound(text string) string {
	text = strings.TrimSpace(strings.TrimLeft(text, "[("))
	if at := strings.IndexAny(text, ",])"); at >= 0 {
		text = strings.TrimSpace(text[:at])
	}
	return text
}

// Bounds of the search for another version.
const (
	maxRoots    = 16
	maxVersions = 24
	maxAsked    = 400
)

// lowest finds the lowest release of an artifact above a version that will do,
// "" when none of the next ones does.
func (p *plan) lowest(ctx context.Context, name, from string, does func(string) (bool, error)) (string, error) {
	versions, err := p.target.Registry.Versions(ctx, name)
	if err != nil {
		return "", fmt.Errorf("versions of %s: %w", name, err)
	}
	order := fix.MavenOrder{Advisories: p.target.Advisories}
	versions = slices.DeleteFunc(slices.Clone(versions), func(v string) bool {
		up, err := order.Compare("Maven", v, from)
		return err != nil || up <= 0 || !fix.SuitsPlatform(from, v) || !fix.IsMavenVersion(v) || fix.PreRelease("Maven", v)
	})
	slices.SortStableFunc(versions, func(a, b string) int {
		up, _ := order.Compare("Maven", a, b)
		return up
	})
	for _, candidate := range versions[:min(len(versions), maxVersions)] {
		ok, err := does(candidate)
		if err != nil {
			return "", err
		}
		if ok {
			return candidate, nil
		}
	}
	return "", nil
}

// ancestors plans to raise the direct dependencies that bring the package.
func (p *plan) ancestors(ctx context.Context) ([]fix.Path, error) {
	if p.target.Registry == nil {
		return nil, nil
	}
	present := p.target.Present()
	path := p.target.NewPath(ID, fix.RaiseAncestor, p.choice)
	path.Moves = p.moves()
	path.Changes = nil
	path.Risk = fix.RiskPatch
	seen := map[string]bool{}
	for _, root := range p.roots() {
		dep := p.target.Module.Packages[root]
		if seen[dep.Name] || dep.Version == "" {
			continue
		}
		seen[dep.Name] = true
		what := coordinatesOf(&dep)
		places, _ := p.places(what, dep.Version)
		block := func(why string) {
			p.target.Block(*fix.At(dep.Path, dep.Line, dep.EndLine), dep.Name+" "+dep.Version+" brings "+present.Name+" "+present.Version+why, p.choice.Version)
		}
		if len(places) == 0 || slices.ContainsFunc(places, func(s stating) bool { return !s.edit || len(p.users(s.lit, places)) > 0 && s.lit.property != "" }) {
			block(", and its version is decided together with others")
			return nil, nil
		}
		next, err := p.lowest(ctx, dep.Name, dep.Version, func(candidate string) (bool, error) {
			brought, err := p.brought(ctx, dep.Name, candidate)
			if errors.Is(err, fs.ErrNotExist) { // the registry does not hold what it requires
				return false, nil
			}
			return err == nil && (brought == "" || p.reaches(brought)), err
		})
		if err != nil {
			return nil, err
		}
		if next == "" {
			block("")
			return nil, nil
		}
		path.Add(fix.Change{Package: dep.Name, From: dep.Version, To: next, Direct: true, Reason: "brings " + present.Name})
		if err := p.brings(&path, dep.Name, dep.Version, next); err != nil {
			return nil, err
		}
		path.ID += ":" + dep.Name + "@" + next
		done := map[*element]bool{}
		for _, at := range places {
			if done[at.lit.at] {
				continue
			}
			done[at.lit.at] = true
			path.Edits = append(path.Edits, at.lit.in.replace(at.lit.at, strings.Replace(at.lit.at.text, dep.Version, next, 1)))
			path.Steps = append(path.Steps, fix.Step{
				Text:     fmt.Sprintf("Change the version of %s from %s to %s.", dep.Name, dep.Version, next),
				Location: fix.At(at.lit.in.file, at.lit.at.line, at.lit.at.end),
			})
		}
	}
	if len(path.Changes) == 0 {
		return nil, nil
	}
	path.Effort = fix.EffortSmall
	if len(path.Changes) > 1 {
		path.Effort = fix.EffortMedium
	}
	var names []string
	for _, change := range path.Changes {
		names = append(names, change.Package+" to "+change.To)
	}
	path.Summary = fmt.Sprintf("raise %s, which no longer brings %s %s", strings.Join(names, ", "), present.Name, present.Version)
	path.Reach = "this project and those that take the same version"
	return []fix.Path{path}, nil
}

// roots are the direct dependencies from which known edges lead to the package.
func (p *plan) roots() []int {
	var roots []int
	seen := map[int]bool{p.target.Package: true}
	level := []int{p.target.Package}
	for len(level) > 0 && len(roots) < maxRoots {
		var next []int
		for _, i := range level {
			for _, parent := range fix.Parents(p.target.Module, i) {
				if seen[parent] {
					continue
				}
				seen[parent] = true
				if p.target.Module.Packages[parent].Direct {
					roots = append(roots, parent)
				} else {
					next = append(next, parent)
				}
			}
		}
		level = next
	}
	slices.Sort(roots)
	return roots
}

// brought is the nearest version of the package that an artifact leads to, "" when
// it leads to none.
func (p *plan) brought(ctx context.Context, name, version string) (string, error) {
	type node struct{ name, version string }
	level := []node{{name, version}}
	seen := map[string]bool{name: true}
	for asked := 0; len(level) > 0; {
		var next []node
		for _, at := range level {
			if asked++; asked > maxAsked {
				return "", fmt.Errorf("%s %s requires more than %d artifacts; not looked through", name, version, maxAsked)
			}
			requires, err := p.target.Registry.Requirements(ctx, at.name, at.version)
			if err != nil {
				return "", fmt.Errorf("requirements of %s %s: %w", at.name, at.version, err)
			}
			if text := requires[p.what.name]; text != "" {
				return text, nil
			}
			names := make([]string, 0, len(requires))
			for n := range requires {
				names = append(names, n)
			}
			slices.Sort(names)
			for _, n := range names {
				if v := lowerBound(requires[n]); !seen[n] && fix.IsMavenVersion(v) {
					seen[n] = true
					next = append(next, node{n, v})
				}
			}
		}
		level = next
	}
	return "", nil
}

// exclusions plans to keep a package out that nobody fixes and that only others
// bring.
func (p *plan) exclusions() []fix.Path {
	present := p.target.Present()
	if present.Direct {
		return nil
	}
	path := p.target.NewPath(ID, fix.Replace, fix.Choice{Closes: p.target.Close})
	path.ID = strings.TrimSuffix(path.ID, "@") + ":excluded"
	path.Moves = p.moves()
	path.Risk = fix.RiskMajor
	path.Effort = fix.EffortLarge
	path.Reach = "this project only"
	path.Changes[0].Reason = "excluded; no version without the flaw is known"
	for _, root := range p.roots() {
		dep := p.target.Module.Packages[root]
		found := false
		for _, at := range p.own.places() {
			if at.role != roleDependency || p.own.coordinates(at.at).name != dep.Name {
				continue
			}
			found = true
			path.Edits = append(path.Edits, at.in.exclude(at.at, present.Name))
			path.Steps = append(path.Steps, fix.Step{
				Text:     fmt.Sprintf("Exclude %s from %s.", present.Name, dep.Name),
				Location: fix.At(at.in.file, at.at.line, at.at.end),
			})
		}
		if !found {
			return nil
		}
	}
	if len(path.Edits) == 0 {
		return nil
	}
	path.Summary = fmt.Sprintf("exclude %s, of which no version without the flaw is known", present.Name)
	path.Steps = append(path.Steps, fix.Step{Text: fmt.Sprintf("See by tests that nothing at run time needs %s.", present.Name)})
	return []fix.Path{path}
}
