// Package bundler fixes projects of Bundler: it raises a gem in Gemfile.lock when
// every constraint allows it, raises a constraint of a Gemfile, raises the nearest
// ancestor of a transitive gem, or keeps a gem from lower versions by a line of its
// own.
//
// Gemfiles and gemspecs are programs of people nobody vouches for and are never
// run. Constraints are literals that are replaced byte by byte. Bundler resolves a
// Gemfile written here from what the lock says; of its answer the gems of the
// registry, their checksums and the list of dependencies go into the lock, the rest
// of which stays.
package bundler

import (
	"context"
	"fmt"
	"path"
	"strings"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// ID is the fixer's id.
const ID = "fix/bundler"

type fixer struct {
	locks fix.Cache[*lock]
}

// New returns the fixer of Bundler projects.
func New() fix.ModuleFixer { return &fixer{} }

func (*fixer) Describe() fix.Description {
	return fix.Description{
		ID:   ID,
		Name: "Bundler",
		Docs: "Raises gems in Gemfile.lock to the lowest version that closes everything known, where constraints allow it; " +
			"else raises the constraint of the Gemfile or the nearest ancestor. A transitive gem can be kept from lower versions by a line of its own. " +
			"The Gemfile keeps its layout and is not run; the lock is resolved by bundler from what it says.",
		Commands: []string{"bundle", "gem"},
	}
}

func (*fixer) Handles(m *lockfile.Module) bool { return m.Tool == "bundler" && len(m.Manifests) > 0 }

var syntax = fix.Syntax{
	Operators: map[string]fix.Meaning{
		"": fix.Exact, "=": fix.Exact, "!=": fix.NotThe, "~>": fix.Compatible, ">=": fix.From, ">": fix.Above, "<": fix.Below, "<=": fix.UpTo,
	},
	Join: ", ", AtLeast: ">= ",
}

func (f *fixer) Plan(ctx context.Context, target *fix.Target) ([]fix.Path, error) {
	plan := fix.Locked{
		Fixer: ID, Lock: "Gemfile.lock",
		Holds: f.holds, Admits: syntax.Admits, Raise: syntax.Raise, Refresh: refresh,
		Ask:   func(name string) string { return "gem list --remote --all --exact " + name },
		Force: force,
	}
	return plan.Plan(ctx, target)
}

func refresh(changes []fix.Change) string {
	var names []string
	for _, change := range changes {
		names = append(names, change.Package)
	}
	return "bundle lock --conservative --update " + strings.Join(names, " ")
}

// force keeps a gem from lower versions. It cannot make others accept one.
func force(target *fix.Target, choice fix.Choice, fits bool) (fix.Step, bool) {
	gemfile := target.Module.Manifests[0]
	return fix.Step{
		Text:     fmt.Sprintf(`Add gem "%s", ">= %s".`, target.Present().Name, choice.Version),
		Location: &fact.Location{Path: gemfile},
	}, fits && isGemfile(gemfile)
}

func isGemfile(name string) bool {
	return path.Base(name) == "Gemfile" || path.Base(name) == "gems.rb"
}

// computed marks a constraint that no literal states, so that it is not understood
// where it stands in the way.
const computed = " (not a literal)"

func (f *fixer) holds(ctx context.Context, target *fix.Target, i int) ([]fix.Hold, error) {
	m := target.Module
	gem := &m.Packages[i]
	var l *lock
	if len(m.Locks) > 0 {
		data, err := target.Tree.Read(ctx, m.Locks[0])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", m.Locks[0], err)
		}
		if l, err = f.locks.Get(m.Locks[0], data, parseLock); err != nil {
			return nil, err
		}
	}
	var found []fix.Hold
	for _, d := range m.Declared {
		if d.Name != gem.Name {
			continue
		}
		h := fix.Hold{Constraint: d.Constraint, Holder: -1, Location: *fix.At(d.Path, max(d.Line, d.ValueLine), d.EndLine)}
		found = append(found, h)
	}
	if l == nil {
		return found, nil
	}
	if asked, ok := l.asked[gem.Name]; ok {
		read := len(found) > 0
		for n := range found {
			if isGemfile(found[n].Location.Path) && clauses(found[n].Constraint) != clauses(asked) {
				found[n].Constraint = asked + computed
			}
		}
		if !read {
			h := fix.Hold{Constraint: asked, Holder: -1, Location: fact.Location{Path: m.Locks[0]}}
			if fits, _ := syntax.Admits(asked, gem.Version); !fits {
				h.Constraint += computed
			}
			found = append(found, h)
		}
	}
	seen := map[string]bool{}
	for _, j := range fix.Parents(m, i) {
		parent := &m.Packages[j]
		for _, s := range l.specs {
			if s.key() != parent.Key {
				continue
			}
			for _, d := range s.needs {
				if key := parent.Name + " " + parent.Version + " " + d.constraint; d.name == gem.Name && !seen[key] && parent.Source != "workspace" {
					seen[key] = true
					found = append(found, fix.Hold{Constraint: d.constraint, Holder: j, Location: *fix.At(parent.Path, parent.Line, parent.EndLine)})
				}
			}
		}
	}
	return found, nil
}
