package python

import (
	"context"
	"fmt"

	"github.com/backstitch/backstitch/fix"
)

// index answers with names as indexes compare them.
type index struct{ fix.Registry }

// Requirements implements fix.Registry.
func (i index) Requirements(ctx context.Context, name, version string) (map[string]string, error) {
	all, err := i.Registry.Requirements(ctx, name, version)
	if err != nil {
		return nil, err
	}
	requires := map[string]string{}
	for other, constraint := range all {
		requires[normal(other)] = constraint
	}
	return requires, nil
}

// admits says whether a constraint allows a version.
func admits(constraint, version string) (fits, known bool) {
	clauses, ok := parseClauses(constraint, 0)
	return ok && admitsAll(clauses, version), ok
}

// planAncestor raises what holds the target's package back, where an index tells
// what does. It is nil when nothing does, or something stays in the way.
func (f *fixer) planAncestor(ctx context.Context, target *fix.Target, choice fix.Choice, all []requirement, known []string) (*fix.Path, error) {
	if target.Registry == nil {
		return nil, nil
	}
	asked := *target
	asked.Registry = index{target.Registry}
	plan := fix.Locked{
		Fixer: ID, Lock: "the lock", Admits: admits,
		Holds: func(ctx context.Context, target *fix.Target, i int) ([]fix.Hold, error) {
			return holds(ctx, target, i, all)
		},
		Raise: func(constraint, to string) (string, bool) {
			clauses, ok := parseClauses(constraint, 0)
			if !ok {
				return "", false
			}
			edit, in := raise(clauses, len(constraint), to)
			if in != nil {
				return "", false
			}
			text, err := fix.Splice([]byte(constraint), shift(edit, 0, []byte(constraint)))
			return string(text), err == nil
		},
		Refresh: func(changes []fix.Change) string {
			return refresh(target.Module.Tool, changes[0].Package, changes[0].To)
		},
	}
	found, err := plan.Holds(ctx, &asked, target.Package)
	if err != nil {
		return nil, err
	}
	var blocking []fix.Hold
	for _, h := range found {
		fits, _ := admits(h.Constraint, choice.Version)
		switch {
		case fits:
		case h.Holder < 0:
			return nil, nil // a manifest states it; that is another path
		default:
			blocking = append(blocking, h)
		}
	}
	if len(blocking) == 0 {
		return nil, nil
	}
	return plan.Ancestor(ctx, &asked, choice, blocking, known)
}

// holds lists who asks for package i: manifests, and packages that the lock says
// require it, with what the index says they state.
func holds(ctx context.Context, target *fix.Target, i int, all []requirement) ([]fix.Hold, error) {
	m := target.Module
	name := normal(m.Packages[i].Name)
	var found []fix.Hold
	for _, r := range all {
		if fits, known := admits(r.text, m.Packages[i].Version); normal(r.name) == name && (fits || !known) {
			found = append(found, fix.Hold{Constraint: r.text, Holder: -1, Location: *fix.At(r.file, r.line, 0)})
		}
	}
	for _, j := range fix.Parents(m, i) {
		parent := &m.Packages[j]
		if parent.Source != "" {
			continue
		}
		requires, err := target.Registry.Requirements(ctx, parent.Name, parent.Version)
		if err != nil {
			return nil, fmt.Errorf("requirements of %s %s: %w", parent.Name, parent.Version, err)
		}
		if constraint, ok := requires[name]; ok {
			found = append(found, fix.Hold{Constraint: constraint, Holder: j, Location: *fix.At(parent.Path, parent.Line, parent.EndLine)})
		}
	}
	return found, nil
}
