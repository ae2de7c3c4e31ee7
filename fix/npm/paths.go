package npm

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// planLocked raises the package in the lock; every constraint allows it.
func (p *project) planLocked(choice fix.Choice, holds []hold) fix.Path {
	present := p.target.Present()
	path := p.target.NewPath(ID, fix.RaiseLocked, choice)
	path.ID += ":" + p.key
	by, allows := "package.json", "allows it ("+holds[0].constraint+")"
	if holds[0].by != "" {
		by = holds[0].by
	}
	if holds[0].unknown {
		allows = "has to allow it"
	}
	path.Summary = fmt.Sprintf("raise %s from %s to %s in the lock; %s %s", present.Name, present.Version, choice.Version, by, allows)
	location := p.locate(p.key)
	path.Steps = append(path.Steps, fix.Step{
		Text:     fmt.Sprintf("Raise %s to %s in the lock; no constraint has to change.", present.Name, choice.Version),
		Command:  p.rewrite().Command,
		Location: &location,
	})
	for _, h := range holds {
		if h.unknown {
			path.Steps = append(path.Steps, fix.Step{
				Text:     fmt.Sprintf("The lock does not say which versions of %s %s asks for; the change fails when %s is not among them.", present.Name, h.by, choice.Version),
				Location: &h.location,
			})
		}
	}
	return path
}

// planDirect raises the constraints in package.json, in those of workspaces and
// in catalogs, with companions.
func (p *project) planDirect(choice fix.Choice, stated []hold) (fix.Path, bool) {
	present := p.target.Present()
	path := p.target.NewPath(ID, fix.RaiseDirect, choice)
	path.Changes[0].Direct = true
	seen := map[fact.Location]bool{}
	for _, h := range stated {
		if seen[h.location] {
			continue // several manifests take it from one catalog
		}
		text, ok := raise(h.constraint, choice.Version)
		if !ok {
			return fix.Path{}, false
		}
		if len(seen) == 0 {
			path.Summary = fmt.Sprintf("raise %s from %s to %s in %s", present.Name, h.constraint, text, h.location.Path)
		} else {
			path.Effort = fix.EffortMedium
		}
		seen[h.location] = true
		path.Steps = append(path.Steps, fix.Step{
			Text:     fmt.Sprintf("Change the constraint of %s from %s to %s.", present.Name, h.constraint, text),
			Location: &h.location,
		})
	}
	for _, companion := range fix.Lockstep(p.target.Module, p.target.Package) {
		c := p.target.Module.Packages[companion.Package]
		s, where, ok := p.stated(p.manifest, c.Name)
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
			Location: fix.At(where.path, s.line, 0),
		})
	}
	if p.lock != nil {
		path.Steps = append(path.Steps, p.rewrite())
	}
	return path, true
}

// planForced raises the overrides that decide the package's version already.
func (p *project) planForced(choice fix.Choice, spans []span, files []*manifest) []fix.Path {
	target, present := p.target, p.target.Present()
	path := target.NewPath(ID, fix.Override, choice)
	path.ID += ":" + p.key
	path.Temporary = true
	for i, s := range spans {
		location := fix.At(files[i].path, s.line, 0)
		if ok, _ := admits(rangeOf(s.text), present.Version); !ok && len(spans) > 1 {
			continue // for another copy
		}
		text, ok := raise(s.text, choice.Version)
		if !ok || strings.HasPrefix(s.text, "$") {
			target.Block(*location, fmt.Sprintf("an override sets %s to %s", present.Name, s.text), choice.Version)
			return nil
		}
		path.Steps = append(path.Steps, fix.Step{Text: fmt.Sprintf("Change the override of %s from %s to %s.", present.Name, s.text, text), Location: location})
	}
	if len(path.Steps) == 0 {
		target.Block(*fix.At(files[0].path, spans[0].line, 0), fmt.Sprintf("overrides set %s", present.Name), choice.Version)
		return nil
	}
	path.Summary = fmt.Sprintf("raise the override of %s from %s to %s in %s", present.Name, present.Version, choice.Version, path.Steps[0].Location.Path)
	path.Moves = p.copies(present.Name, present.Version)
	path.Steps = append(path.Steps, p.rewrite())
	return []fix.Path{path}
}

// copies lists the keys of the copies of a package at a version that an override
// reaches.
func (p *project) copies(name, version string) []string {
	var keys []string
	for _, key := range p.lock.instances(name) {
		if p.lock.entries[key].Version == version && !p.lock.entries[key].InBundle {
			keys = append(keys, key)
		}
	}
	return keys
}

// planOverride forces the version on whoever asks for the package. Where other
// versions of it are installed, only on those who have this one.
func (p *project) planOverride(choice fix.Choice, holds []hold) fix.Path {
	present := p.target.Present()
	path := p.target.NewPath(ID, fix.Override, choice)
	path.ID += ":" + p.key
	path.Temporary = true
	path.Effort = effortOf(path.Risk)
	in, container := p.container()
	path.Summary = fmt.Sprintf("override %s %s with %s in %s until its ancestors allow it", present.Name, present.Version, choice.Version, in.path)
	path.Moves = p.copies(present.Name, present.Version)
	path.Steps = append(path.Steps, added(in, container, p.overrides(present.Name, present.Version, choice.Version, false)), p.rewrite())
	for _, h := range holds {
		if !h.fits(present.Version, choice.Version) {
			path.Steps = append(path.Steps, fix.Step{
				Text:     strings.TrimSpace(fmt.Sprintf("Take the override back when %s no longer asks for %s %s", h.by, present.Name, h.constraint)) + ".",
				Location: &h.location,
			})
		}
	}
	return path
}

// effortOf is the work of an override: across a major version, the code of whoever
// asked for the version before has to follow.
func effortOf(risk string) string {
	if risk == fix.RiskMajor {
		return fix.EffortLarge
	}
	return fix.EffortMedium
}

// added is the step that adds overrides.
func added(in *manifest, container string, members []forcing) fix.Step {
	var texts []string
	for _, member := range members {
		texts = append(texts, member.String())
	}
	text := "{" + strings.Join(texts, ", ") + "}"
	names := strings.Split(container, "/")
	for i := len(names) - 1; i >= 0; i-- {
		text = `"` + names[i] + `": ` + text
		if i > 0 {
			text = "{" + text + "}"
		}
	}
	return fix.Step{Text: "Add " + text + ".", Location: &fact.Location{Path: in.path}}
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
	path.Moves = moves
	path.Changes = nil
	var froms []string
	for _, change := range changes {
		change.To = highest.Version
		path.Add(change)
		froms = append(froms, change.From)
	}
	path.Effort = effortOf(path.Risk)
	name := target.Present().Name
	in, container := p.container()
	path.Summary = fmt.Sprintf("override every %s (%s) with %s in %s until its ancestors allow it", name, strings.Join(froms, ", "), highest.Version, in.path)
	path.Steps = append(path.Steps,
		added(in, container, []forcing{everyone(name, highest.Version)}),
		p.rewrite(),
		fix.Step{Text: fmt.Sprintf("Take the override back when the packages that ask for %s allow %s themselves.", name, highest.Version)})
	return &path, nil
}

// higher says whether a version is above another; one that is none is not.
func higher(a, b string) bool {
	x, ok := parseVersion(a)
	y, known := parseVersion(b)
	return ok && known && y.less(x)
}

// everyone is the override for whoever asks for a package.
func everyone(name, to string) forcing { return forcing{[]string{name}, to} }

// overrides gives the overrides so that whoever has name at a version gets
// another: all of them by name when that lowers nobody and takes nobody to another
// major version, else one for each package that asks for it. With alone, they are
// by name only when nobody has another version.
func (p *project) overrides(name, from, to string, alone bool) []forcing {
	var parents []forcing
	all := true
	want, _ := parseVersion(to)
	for _, key := range p.lock.instances(name) {
		e := p.lock.entries[key]
		if e.InBundle {
			continue
		}
		if e.Version != from {
			if v, ok := parseVersion(e.Version); alone || !ok || want.less(v) || v.n[0] != want.n[0] {
				all = false
			}
			continue
		}
		if p.tool == "yarn" && p.format != "1" {
			for _, spec := range e.Specs {
				if _, constraint := splitSpec(spec); !strings.HasPrefix(constraint, "npm:") {
					continue // a patch of what another entry resolves
				}
				parents = append(parents, forcing{[]string{spec}, to})
			}
			continue
		}
		for _, r := range p.lock.requirers(key) {
			if p.lock.isManifest(r.key) {
				continue
			}
			parents = append(parents, p.below(r.key, name, to)...)
		}
	}
	if all || len(parents) == 0 {
		return []forcing{everyone(name, to)}
	}
	slices.SortFunc(parents, func(a, b forcing) int { return slices.Compare(a.keys, b.keys) })
	return slices.CompactFunc(parents, func(a, b forcing) bool { return slices.Equal(a.keys, b.keys) })
}

// below are the overrides for what one package asks for. Classic yarn knows
// packages by those who ask for them only.
func (p *project) below(parent, name, to string) []forcing {
	e := p.lock.entries[parent]
	several := len(p.lock.instances(e.Name)) > 1
	one := func(keys ...string) []forcing { return []forcing{{keys, to}} }
	switch {
	case p.tool == "pnpm" && several:
		return one(e.Name + "@" + e.Version + ">" + name)
	case p.tool == "pnpm":
		return one(e.Name + ">" + name)
	case p.tool == "yarn" && several:
		var paths []forcing
		for _, r := range p.lock.requirers(parent) {
			if p.lock.isManifest(r.key) {
				paths = append(paths, one(r.as+"/"+name)...)
			} else {
				paths = append(paths, one("**/"+p.lock.entries[r.key].As+"/"+r.as+"/"+name)...)
			}
		}
		return paths
	case p.tool == "yarn":
		return one("**/" + e.As + "/" + name)
	case several:
		return one(e.As+"@"+e.Version, name)
	}
	return one(e.As, name)
}
