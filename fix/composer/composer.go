// Package composer fixes projects of Composer: it raises a package in composer.lock
// when every constraint allows it, raises a constraint of composer.json, raises the
// nearest ancestor of a transitive package, or keeps a package from lower versions
// by an entry in "conflict".
//
// Constraints are literals that are replaced byte by byte. The lock is Composer's
// own work, done in a folder that holds manifests and the lock only, without
// scripts, plugins, installation, or credentials.
package composer

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// ID is the fixer's id.
const ID = "fix/composer"

type fixer struct {
	locks fix.Cache[[]lockPackage]
}

// New returns the fixer of Composer projects.
func New() fix.ModuleFixer { return &fixer{} }

func (*fixer) Describe() fix.Description {
	return fix.Description{
		ID:   ID,
		Name: "Composer",
		Docs: "Raises packages in composer.lock to the lowest version that closes everything known, where constraints allow it; " +
			"else raises the constraint of composer.json or the nearest ancestor. A transitive package can be kept from lower versions by \"conflict\". " +
			"composer.json keeps its layout; the lock is rewritten by composer without scripts and plugins.",
		Commands: []string{"composer"},
	}
}

func (*fixer) Handles(m *lockfile.Module) bool {
	return m.Tool == "composer" && len(m.Manifests) > 0
}

var syntax = fix.Syntax{
	Operators: map[string]fix.Meaning{
		"": fix.Exact, "=": fix.Exact, "==": fix.Exact, "!=": fix.NotThe, "<>": fix.NotThe,
		"^": fix.Caret, "~": fix.Compatible, ">=": fix.From, ">": fix.Above, "<": fix.Below, "<=": fix.UpTo,
	},
	Or: "||", Join: " ", AtLeast: ">=",
}

// admits reads "|" as "||", which Composer takes too.
func admits(constraint, version string) (fits, known bool) {
	return syntax.Admits(strings.ReplaceAll(strings.ReplaceAll(constraint, "||", "|"), "|", "||"), version)
}

func (f *fixer) Plan(ctx context.Context, target *fix.Target) ([]fix.Path, error) {
	plan := fix.Locked{
		Fixer: ID, Lock: "composer.lock",
		Holds: f.holds, Admits: admits, Raise: syntax.Raise, Refresh: refresh,
		Ask:   func(name string) string { return "composer show --all " + name },
		Force: force,
	}
	return plan.Plan(ctx, target)
}

func refresh(changes []fix.Change) string {
	text := "composer update --no-install"
	for _, change := range changes {
		text += fmt.Sprintf(" %s --with %s:%s", change.Package, change.Package, change.To)
	}
	return text
}

// force keeps a package from lower versions. It cannot make others accept one.
func force(target *fix.Target, choice fix.Choice, fits bool) (fix.Step, bool) {
	return fix.Step{
		Text:     fmt.Sprintf(`Add "%s": "<%s" to "conflict".`, target.Present().Name, choice.Version),
		Location: &fact.Location{Path: target.Module.Manifests[0]},
	}, fits
}

// lockPackage is one package of composer.lock.
type lockPackage struct {
	Name    string            `json:"name"`
	Version string            `json:"version"`
	Require map[string]string `json:"require"`
}

func parseLock(file string, data []byte) ([]lockPackage, error) {
	var document struct {
		Packages []lockPackage `json:"packages"`
		Dev      []lockPackage `json:"packages-dev"`
	}
	if err := json.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return append(document.Packages, document.Dev...), nil
}

// stated lists the constraints of a composer.json on a package.
func stated(file string, data []byte, name string) ([]fix.TextAt, error) {
	texts, _, err := fix.JSONStrings(file, data)
	if err != nil {
		return nil, err
	}
	var found []fix.TextAt
	for _, t := range texts {
		if (t.Under("require", "*") || t.Under("require-dev", "*")) && strings.EqualFold(t.Path[1], name) {
			found = append(found, t)
		}
	}
	return found, nil
}

func (f *fixer) holds(ctx context.Context, target *fix.Target, i int) ([]fix.Hold, error) {
	m := target.Module
	name := m.Packages[i].Name
	var found []fix.Hold
	for _, file := range m.Manifests {
		data, err := target.Tree.Read(ctx, file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		texts, err := stated(file, data, name)
		if err != nil {
			return nil, err
		}
		for _, t := range texts {
			found = append(found, fix.Hold{Constraint: t.Value, Holder: -1, Location: *fix.At(file, t.Line, 0)})
		}
	}
	if len(m.Locks) == 0 {
		return found, nil
	}
	data, err := target.Tree.Read(ctx, m.Locks[0])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.Locks[0], err)
	}
	packages, err := f.locks.Get(m.Locks[0], data, parseLock)
	if err != nil {
		return nil, err
	}
	for _, j := range fix.Parents(m, i) {
		parent := &m.Packages[j]
		for _, p := range packages {
			if !strings.EqualFold(p.Name, parent.Name) {
				continue
			}
			for other, constraint := range p.Require {
				if strings.EqualFold(other, name) {
					found = append(found, fix.Hold{Constraint: constraint, Holder: j, Location: *fix.At(parent.Path, parent.Line, parent.EndLine)})
				}
			}
		}
	}
	return found, nil
}
