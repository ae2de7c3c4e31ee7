// Package cargo fixes workspaces of Cargo: it raises a crate in Cargo.lock when
// every requirement allows it, raises a requirement of a Cargo.toml, or raises the
// nearest ancestor of a transitive crate.
//
// Requirements are literals that are replaced byte by byte. The lock is cargo's own
// work, done in a folder that holds manifests, the lock and empty sources, without
// settings of the repository or credentials; nothing is compiled. [patch] is not
// used to force a version, since a registry cannot be patched with itself.
package cargo

import (
	"context"
	"fmt"
	"strings"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fix"
)

// ID is the fixer's id.
const ID = "fix/cargo"

type fixer struct{}

// New returns the fixer of Cargo workspaces.
func New() fix.ModuleFixer { return fixer{} }

func (fixer) Describe() fix.Description {
	return fix.Description{
		ID:   ID,
		Name: "Cargo",
		Docs: "Raises crates in Cargo.lock to the lowest version that closes everything known, where requirements allow it; " +
			"else raises the requirement, in every Cargo.toml of the workspace that states it, or the nearest ancestor. " +
			"Manifests keep their layout; the lock is rewritten by cargo without compiling anything.",
		Commands: []string{"cargo"},
	}
}

func (fixer) Handles(m *lockfile.Module) bool { return m.Tool == "cargo" && len(m.Manifests) > 0 }

var syntax = fix.Syntax{
	Operators: map[string]fix.Meaning{
		"": fix.Caret, "^": fix.Caret, "~": fix.Tilde, "=": fix.Exact, ">=": fix.From, ">": fix.Above, "<": fix.Below, "<=": fix.UpTo,
	},
	Join: ", ", AtLeast: ">=",
}

func (fixer) Plan(ctx context.Context, target *fix.Target) ([]fix.Path, error) {
	plan := fix.Locked{
		Fixer: ID, Lock: "Cargo.lock",
		Holds: holds, Admits: syntax.Admits, Raise: syntax.Raise, Refresh: refresh,
		Ask: func(name string) string { return "cargo info " + name },
	}
	return plan.Plan(ctx, target)
}

func refresh(changes []fix.Change) string {
	var commands []string
	for _, change := range changes {
		commands = append(commands, fmt.Sprintf("cargo update -p %s@%s --precise %s", change.Package, change.From, change.To))
	}
	return strings.Join(commands, " && ")
}

// holds lists the requirements on crate i. Cargo.lock keeps none: those of other
// crates are the registry's word, else taken to be what cargo writes by itself.
func holds(ctx context.Context, target *fix.Target, i int) ([]fix.Hold, error) {
	m := target.Module
	crate := &m.Packages[i]
	var found []fix.Hold
	for _, name := range m.Manifests {
		data, err := target.Tree.Read(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		list, err := requirements(name, data)
		if err != nil {
			return nil, err
		}
		for _, r := range list {
			if r.crate == crate.Name && r.about(crate.Version) {
				found = append(found, fix.Hold{Constraint: r.Value, Holder: -1, Location: *fix.At(name, r.Line, 0)})
			}
		}
	}
	for _, j := range fix.Parents(m, i) {
		parent := &m.Packages[j]
		if parent.Source == "workspace" {
			continue // its manifest was read
		}
		h := fix.Hold{Constraint: "^" + crate.Version, Holder: j, Location: *fix.At(parent.Path, parent.Line, parent.EndLine), Assumed: true}
		if target.Registry != nil && parent.Source == "" {
			requires, err := target.Registry.Requirements(ctx, parent.Name, parent.Version)
			if err != nil {
				return nil, fmt.Errorf("requirements of %s %s: %w", parent.Name, parent.Version, err)
			}
			if text, ok := requires[crate.Name]; ok {
				h.Constraint, h.Assumed = text, false
			}
		}
		found = append(found, h)
	}
	return found, nil
}
