// Package gomod fixes Go modules: it raises a requirement of go.mod, raises an
// ancestor that brings a newer version, or moves a replace directive.
//
// Versions are literals of go.mod that are replaced byte by byte; go.sum, and
// requirements that have to follow, are the go command's own work. The go
// command runs without credentials, version control programs and toolchain
// downloads.
package gomod

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
	"golang.org/x/mod/module"
	"golang.org/x/mod/semver"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fix"
)

// ID is the fixer's id.
const ID = "fix/gomod"

// standardLibrary is the name that advisories give to Go's own packages.
const standardLibrary = "stdlib"

type fixer struct{}

// New returns the fixer of Go modules.
func New() fix.ModuleFixer { return fixer{} }

func (fixer) Describe() fix.Description {
	return fix.Description{
		ID:   ID,
		Name: "Go modules",
		Docs: "Raises requirements in go.mod to the lowest version that closes everything known. " +
			"`go get` brings along what the new version requires and completes go.sum; no other requirement moves down, and a module that was tidy stays tidy. " +
			"A flaw of the standard library is closed by the go or toolchain line.",
		Commands: []string{"go"},
	}
}

func (fixer) Handles(m *lockfile.Module) bool { return m.Tool == "gomod" && len(m.Manifests) > 0 }

// manifest is a parsed go.mod with its bytes.
type manifest struct {
	path string
	data []byte
	file *modfile.File
}

func parse(name string, data []byte) (*manifest, error) {
	file, err := modfile.Parse(name, data, nil)
	if err != nil {
		return nil, err
	}
	return &manifest{path: name, data: data, file: file}, nil
}

// literal finds the last token of a line, which is where versions stand.
func (m *manifest) literal(line *modfile.Line, want string) (fix.Edit, error) {
	text := string(m.data[line.Start.Byte:line.End.Byte])
	at := strings.LastIndex(text, want)
	if at < 0 {
		return fix.Edit{}, fmt.Errorf("%s:%d: expected %q in %q", m.path, line.Start.Line, want, text)
	}
	start := line.Start.Byte + at
	return fix.Edit{Start: start, End: start + len(want), Old: want}, nil
}

func (m *manifest) require(name string) *modfile.Require {
	for _, r := range m.file.Require {
		if r.Mod.Path == name {
			return r
		}
	}
	return nil
}

// replaced finds the replace directive that decides about a module's version.
func (m *manifest) replaced(name, version string) *modfile.Replace {
	var found *modfile.Replace
	for _, r := range m.file.Replace {
		if r.Old.Path == name && (r.Old.Version == version || r.Old.Version == "" && found == nil) {
			found = r
		}
	}
	return found
}

func (fixer) Plan(ctx context.Context, target *fix.Target) ([]fix.Path, error) {
	target.Blocked = nil
	name := target.Module.Manifests[0]
	data, err := target.Tree.Read(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	m, err := parse(name, data)
	if err != nil {
		return nil, err
	}
	present := target.Present()
	var known []string
	if target.Registry != nil && present.Name != standardLibrary {
		if known, err = target.Registry.Versions(ctx, present.Name); err != nil {
			return nil, fmt.Errorf("versions of %s: %w", present.Name, err)
		}
		known = slices.DeleteFunc(known, func(v string) bool { return m.excludes(present.Name, v) != nil })
	}
	choice, err := fix.Pick(target, known)
	if errors.Is(err, fix.ErrNoVersion) {
		return nil, nil // nothing stands in the way of a version that is not known
	}
	if err != nil {
		return nil, err
	}
	if x := m.excludes(present.Name, choice.Version); x != nil {
		line := x.Syntax.Start.Line
		target.Block(*fix.At(name, line, 0), "exclude "+present.Name+" "+x.Mod.Version, choice.Version)
		return nil, nil
	}
	if present.Name == standardLibrary {
		return m.planToolchain(target, choice), nil
	}
	if r := m.replaced(present.Name, present.Version); r != nil {
		return m.planReplace(target, choice, r), nil
	}
	paths := []fix.Path{m.planRaise(target, choice)}
	if !present.Direct {
		ancestors, err := m.planAncestors(ctx, target, choice)
		if err != nil {
			return nil, err
		}
		paths = append(paths, ancestors...)
		if target.Registry == nil {
			p := &paths[0]
			p.Steps = append(p.Steps, fix.Step{Text: "Not looked at, for want of a registry: whether a newer version of a module that requires " + present.Name + " brings it along."})
		}
	}
	return paths, nil
}

func (m *manifest) excludes(name, version string) *modfile.Exclude {
	for _, x := range m.file.Exclude {
		if x.Mod.Path == name && x.Mod.Version == version {
			return x
		}
	}
	return nil
}

// planRaise raises the requirement of the module itself, with its companions.
// A module that go.mod does not list gets a requirement.
func (m *manifest) planRaise(target *fix.Target, choice fix.Choice) fix.Path {
	present := target.Present()
	kind := fix.RaiseDirect
	r := m.require(present.Name)
	if r == nil {
		kind = fix.Override
	}
	p := target.NewPath(ID, kind, choice)
	p.Summary = fmt.Sprintf("raise %s from %s to %s", present.Name, present.Version, choice.Version)
	if r == nil {
		p.Summary = fmt.Sprintf("require %s %s, which other modules bring at %s", present.Name, choice.Version, present.Version)
		p.Effort = fix.EffortMedium
	}
	for _, companion := range fix.Lockstep(target.Module, target.Package) {
		c := target.Module.Packages[companion.Package]
		if other := m.require(c.Name); other != nil && other.Mod.Version == present.Version {
			p.Add(fix.Change{Package: c.Name, From: c.Version, To: choice.Version, Direct: c.Direct, Reason: companion.Reason})
		}
	}
	m.steps(target, &p)
	return p
}

// steps writes what a person would do to carry out the changes of a path.
func (m *manifest) steps(target *fix.Target, p *fix.Path) {
	args := []string{"go", "get"}
	for _, change := range p.Changes {
		args = append(args, change.Package+"@"+change.To)
		if r := m.require(change.Package); r != nil {
			p.Steps = append(p.Steps, fix.Step{
				Text:     fmt.Sprintf("Raise %s from %s to %s.", change.Package, change.From, change.To),
				Location: fix.At(m.path, r.Syntax.Start.Line, 0),
			})
		} else {
			p.Steps = append(p.Steps, fix.Step{
				Text:     fmt.Sprintf("Require %s %s // indirect.", change.Package, change.To),
				Location: fix.At(m.path, 0, 0),
			})
		}
	}
	p.Steps = append(p.Steps, fix.Step{Text: "Let go bring along what the new version requires and complete go.sum.", Command: strings.Join(args, " ")})
	if target.Registry == nil {
		p.Steps = append(p.Steps, fix.Step{
			Text:    fmt.Sprintf("Check that %s exists; no registry was asked.", p.Changes[0].To),
			Command: "go list -m -versions " + p.Changes[0].Package,
		})
	}
}

// planToolchain raises the line that decides which standard library is built in.
func (m *manifest) planToolchain(target *fix.Target, choice fix.Choice) []fix.Path {
	line, directive := m.toolchain()
	if line == nil {
		target.Block(*fix.At(m.path, 1, 0), "go.mod has no go line", "go "+choice.Version)
		return nil
	}
	p := target.NewPath(ID, fix.RaiseDirect, choice)
	p.Changes[0].Direct = true
	p.Summary = fmt.Sprintf("raise the %s line from %s to %s", directive, p.Changes[0].From, choice.Version)
	p.Steps = append(p.Steps,
		fix.Step{Text: fmt.Sprintf("Raise the %s line to %s.", directive, choice.Version), Location: fix.At(m.path, line.Start.Line, 0)},
		fix.Step{Text: "Build with that version of Go wherever the module is built: images, pipelines."})
	return []fix.Path{p}
}

func (m *manifest) toolchain() (*modfile.Line, string) {
	if m.file.Toolchain != nil && strings.HasPrefix(m.file.Toolchain.Name, "go1.") {
		return m.file.Toolchain.Syntax, "toolchain"
	}
	if m.file.Go != nil {
		return m.file.Go.Syntax, "go"
	}
	return nil, ""
}

// planReplace moves a replace directive to the fixed version. A replacement by
// a folder or another module cannot be judged by the advisories of this one.
func (m *manifest) planReplace(target *fix.Target, choice fix.Choice, r *modfile.Replace) []fix.Path {
	if r.New.Version == "" || r.New.Path != r.Old.Path {
		target.Block(*fix.At(m.path, r.Syntax.Start.Line, 0), strings.TrimSpace("replace "+r.Old.Path+" => "+r.New.Path+" "+r.New.Version), choice.Version)
		return nil
	}
	p := target.NewPath(ID, fix.Replace, choice)
	p.Changes[0].From = r.New.Version
	p.Summary = fmt.Sprintf("move the replace directive of %s from %s to %s", r.Old.Path, r.New.Version, choice.Version)
	p.Steps = append(p.Steps,
		fix.Step{Text: fmt.Sprintf("Replace %s by %s %s.", r.Old.Path, r.New.Path, choice.Version), Location: fix.At(m.path, r.Syntax.Start.Line, 0)},
		fix.Step{Text: "Let go complete go.sum.", Command: "go mod download " + r.Old.Path})
	return []fix.Path{p}
}

// Bounds of the search for an ancestor.
const (
	maxAncestors = 40
	maxVersions  = 16
)

// planAncestors looks for the lowest version of each direct dependency whose
// own go.mod asks for the fixed version.
func (m *manifest) planAncestors(ctx context.Context, target *fix.Target, choice fix.Choice) ([]fix.Path, error) {
	if target.Registry == nil {
		return nil, nil
	}
	present := target.Present()
	var paths []fix.Path
	asked := 0
	for _, r := range m.file.Require {
		if r.Indirect || asked == maxAncestors {
			continue
		}
		asked++
		requires, err := target.Registry.Requirements(ctx, r.Mod.Path, r.Mod.Version)
		if err != nil {
			return nil, fmt.Errorf("requirements of %s: %w", r.Mod, err)
		}
		if requires[present.Name] == "" {
			continue
		}
		version, err := lowestBringing(ctx, target.Registry, r.Mod, present.Name, choice.Version)
		if err != nil {
			return nil, err
		}
		if version == "" {
			target.Block(*fix.At(m.path, r.Syntax.Start.Line, 0), r.Mod.Path+" "+r.Mod.Version+" requires "+present.Name+" "+requires[present.Name], choice.Version)
			continue
		}
		p := target.NewPath(ID, fix.RaiseAncestor, choice)
		p.ID += ":" + r.Mod.Path + "@" + version
		p.Summary = fmt.Sprintf("raise %s from %s to %s, which requires %s %s", r.Mod.Path, r.Mod.Version, version, present.Name, choice.Version)
		p.Changes = nil
		p.Add(fix.Change{Package: r.Mod.Path, From: r.Mod.Version, To: version, Direct: true, Reason: "requires " + present.Name + " " + choice.Version})
		p.Effort = fix.EffortSmall
		m.steps(target, &p)
		paths = append(paths, p)
	}
	return paths, nil
}

// lowestBringing returns the lowest version of a module that requires name at
// least at version, "" when none of the next ones does.
func lowestBringing(ctx context.Context, registry fix.Registry, from module.Version, name, version string) (string, error) {
	versions, err := registry.Versions(ctx, from.Path)
	if err != nil {
		return "", fmt.Errorf("versions of %s: %w", from.Path, err)
	}
	semver.Sort(versions)
	tried := 0
	for _, candidate := range versions {
		if semver.Compare(candidate, from.Version) <= 0 || semver.Prerelease(candidate) != "" {
			continue
		}
		if tried++; tried > maxVersions {
			break
		}
		requires, err := registry.Requirements(ctx, from.Path, candidate)
		if err != nil {
			return "", fmt.Errorf("requirements of %s@%s: %w", from.Path, candidate, err)
		}
		if semver.Compare(requires[name], version) >= 0 {
			return candidate, nil
		}
	}
	return "", nil
}

func (fixer) Apply(ctx context.Context, dir string, p fix.Path) ([]string, error) {
	name := path.Join(p.Module, "go.mod")
	sum := path.Join(p.Module, "go.sum")
	before, err := fix.ReadFile(dir, name)
	if err != nil {
		return nil, err
	}
	sumBefore, sumErr := fix.ReadFile(dir, sum)
	m, err := parse(name, before)
	if err != nil {
		return nil, err
	}
	if err := check(p.Changes); err != nil {
		return nil, err
	}
	err = m.apply(ctx, dir, p)
	if err != nil {
		restore := []error{err, fix.WriteFile(dir, name, before)}
		if sumErr == nil {
			restore = append(restore, fix.WriteFile(dir, sum, sumBefore))
		} else if _, made := fix.ReadFile(dir, sum); made == nil {
			restore = append(restore, fix.Remove(dir, sum))
		}
		return nil, errors.Join(restore...)
	}
	var changed []string
	if after, err := fix.ReadFile(dir, name); err == nil && string(after) != string(before) {
		changed = append(changed, name)
	}
	if after, err := fix.ReadFile(dir, sum); err == nil && (sumErr != nil || string(after) != string(sumBefore)) {
		changed = append(changed, sum)
	}
	return changed, nil
}

// check refuses names and versions that are none, before they become arguments.
func check(changes []fix.Change) error {
	for _, change := range changes {
		if change.Package == standardLibrary {
			if !modfile.GoVersionRE.MatchString(strings.TrimPrefix(change.To, "go")) {
				return fmt.Errorf("%q: expected a version of Go", change.To)
			}
			continue
		}
		if err := module.CheckPath(change.Package); err != nil {
			return err
		}
		if !semver.IsValid(change.To) || module.CanonicalVersion(change.To) != change.To {
			return fmt.Errorf("%s: %q: expected a canonical version", change.Package, change.To)
		}
	}
	return nil
}
