package fix

import (
	"fmt"
	"path"
	"slices"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
)

// Present is the package that the target is about.
func (t *Target) Present() *lockfile.Package { return &t.Module.Packages[t.Package] }

// Block notes a constraint that stands between the package and a version.
func (t *Target) Block(location fact.Location, constraint, needs string) {
	block := Block{Location: location, Constraint: constraint, Needs: needs}
	if !slices.Contains(t.Blocked, block) {
		t.Blocked = append(t.Blocked, block)
	}
}

// place names the target's module in ids: its folder and tool, and its first manifest
// where a folder holds several modules of the tool, such as files of requirements.
func (t *Target) place() string {
	name := path.Join(t.Module.Dir, t.Module.Tool)
	if len(t.Module.Manifests) > 0 && slices.ContainsFunc(t.Modules, func(m lockfile.Module) bool {
		return m.Dir == t.Module.Dir && m.Tool == t.Module.Tool && !slices.Equal(m.Manifests, t.Module.Manifests)
	}) {
		name = path.Join(name, path.Base(t.Module.Manifests[0]))
	}
	return name
}

// NewPath starts a path of a kind for a fixer with what a choice says. Its
// first change is that of the target's package.
func (t *Target) NewPath(fixer, kind string, choice Choice) Path {
	p := t.Present()
	change := Change{Package: p.Name, From: p.Version, To: choice.Version, Direct: p.Direct}
	return Path{
		ID:       fmt.Sprintf("%s:%s:%s@%s", kind, t.place(), p.Name, choice.Version),
		Kind:     kind,
		Effort:   EffortSmall,
		Risk:     Distance(p.Version, choice.Version),
		Closes:   choice.Closes,
		Steps:    []Step{},
		Fixer:    fixer,
		Module:   t.Module.Dir,
		Changes:  []Change{change},
		Findings: len(choice.Closes),
		Residual: choice.Residual,
		Brings:   choice.Brings,
	}
}

// Add appends a change of another package and takes its risk into account.
func (p *Path) Add(change Change) {
	p.Changes = append(p.Changes, change)
	p.Risk = worse(p.Risk, Distance(change.From, change.To))
	p.Effort = EffortMedium
}

// At makes a Step's location.
func At(name string, line, end int) *fact.Location {
	return &fact.Location{Path: name, Line: line, EndLine: max(line, end)}
}

// Parents lists the packages of a module that require package i, by what the
// lock says, in order.
func Parents(module *lockfile.Module, i int) []int {
	var parents []int
	for j := range module.Packages {
		if slices.Contains(module.Packages[j].Requires, i) {
			parents = append(parents, j)
		}
	}
	return parents
}
