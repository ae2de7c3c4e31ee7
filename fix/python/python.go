// Package python fixes Python projects: pins in requirements files, and
// constraints of pyproject.toml with the lock of poetry or uv.
//
// Versions are literals that are replaced byte by byte; poetry.lock and uv.lock
// are the work of their tools, done in a folder that holds nothing but
// manifests and lock, without credentials. uv builds no package to learn what
// it requires; poetry may have to.
package python

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// ID is the fixer's id.
const ID = "fix/python"

// Tools whose projects it fixes.
const (
	toolPip    = "pip"
	toolPoetry = "poetry"
	toolUV     = "uv"
	toolPipenv = "pipenv"
)

type fixer struct {
	locks fix.Cache[[]lockPackage]
}

// New returns the fixer of Python projects.
func New() fix.ModuleFixer { return &fixer{} }

func (*fixer) Describe() fix.Description {
	return fix.Description{
		ID:   ID,
		Name: "Python",
		Docs: "Raises pins in requirements files and constraints in pyproject.toml and Pipfile to the lowest version that closes everything known; " +
			"where constraints allow it, only the lock of poetry or uv. With uv, a transitive package can be overridden. " +
			"Where files pin a package differently, every pin below is raised in one change and none goes down. " +
			"Where an index can be asked, the nearest ancestor that holds a package back is raised. " +
			"Requirements with hashes need the tool that wrote them.",
		Commands: []string{"uv", "poetry", "pipenv"},
	}
}

func (*fixer) Handles(m *lockfile.Module) bool {
	return len(m.Manifests) > 0 && slices.Contains([]string{toolPip, toolPoetry, toolUV, toolPipenv}, m.Tool)
}

// requirements reads what a module's manifests require.
func requirements(ctx context.Context, target *fix.Target) ([]requirement, error) {
	files := slices.Clone(target.Module.Manifests)
	for _, d := range target.Module.Declared {
		files = append(files, d.Path, d.ValuePath)
	}
	var found []requirement
	seen := map[string]bool{"": true}
	for _, file := range files {
		if seen[file] || slices.Contains(target.Module.Locks, file) {
			continue
		}
		seen[file] = true
		data, err := target.Tree.Read(ctx, file)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		read, err := parse(file, data)
		if err != nil {
			return nil, err
		}
		found = append(found, read...)
	}
	return found, nil
}

// parse reads a manifest by its name.
func parse(file string, data []byte) ([]requirement, error) {
	switch {
	case path.Base(file) == "Pipfile":
		return parsePipfile(file, data)
	case path.Ext(file) == ".toml":
		return parsePyproject(file, data)
	case path.Ext(file) == ".txt", path.Ext(file) == ".in", path.Ext(file) == ".pip":
		return parseRequirements(file, data), nil
	}
	return nil, nil
}

func (f *fixer) Plan(ctx context.Context, target *fix.Target) ([]fix.Path, error) {
	target.Blocked = nil
	present := target.Present()
	all, err := requirements(ctx, target)
	if err != nil {
		return nil, err
	}
	stated := slices.DeleteFunc(all, func(r requirement) bool { return normal(r.name) != normal(present.Name) })
	if present.Source != "" {
		target.Block(*fix.At(present.Path, present.Line, present.EndLine), present.Name+" comes from "+present.Source, "a release of the index")
		return nil, nil
	}
	var known []string
	if target.Registry != nil {
		if known, err = target.Registry.Versions(ctx, present.Name); err != nil {
			return nil, fmt.Errorf("versions of %s: %w", present.Name, err)
		}
	}
	choice, err := fix.Pick(target, known)
	if errors.Is(err, fix.ErrNoVersion) {
		return nil, nil // nothing stands in the way of a version that is not known
	}
	if err != nil {
		return nil, err
	}
	locked := len(target.Module.Locks) > 0
	if err := f.blockByLock(ctx, target, choice.Version); err != nil {
		return nil, err
	}
	fits := true
	for _, r := range stated {
		fits = fits && admitsAll(r.clauses, choice.Version)
		if starts(r.clauses, choice.Version) {
			continue // for another copy, which stays
		}
		if _, in := raise(r.clauses, r.insert, choice.Version); in != nil {
			target.Block(*fix.At(r.file, r.line, 0), r.name+in.operator+in.version, choice.Version)
		}
	}
	var paths []fix.Path
	held := len(target.Blocked) > 0
	if locked && fits && !held {
		paths = append(paths, planLocked(target, choice))
	}
	if slices.ContainsFunc(stated, func(r requirement) bool { return !starts(r.clauses, choice.Version) }) && !held {
		paths = append(paths, planDirect(target, choice, stated))
	}
	if len(stated) == 0 && target.Module.Tool == toolUV {
		paths = append(paths, planOverride(target, choice))
	}
	ancestor, err := f.planAncestor(ctx, target, choice, all, known)
	if err != nil {
		return nil, err
	}
	if ancestor != nil {
		paths = append(paths, *ancestor)
	}
	if len(paths) == 0 && len(target.Blocked) == 0 {
		target.Block(*fix.At(present.Path, present.Line, present.EndLine), "no manifest states a version of "+present.Name, choice.Version)
	}
	if target.Registry == nil {
		for i := range paths {
			paths[i].Steps = append(paths[i].Steps, fix.Step{
				Text:    fmt.Sprintf("Check that %s %s exists; no index was asked.", present.Name, choice.Version),
				Command: "pip index versions " + present.Name,
			})
		}
	}
	return paths, nil
}

// refresh is the command that rewrites a lock.
func refresh(tool, name, version string) string {
	switch tool {
	case toolUV:
		return fmt.Sprintf("uv lock --upgrade-package %s==%s", name, version)
	case toolPoetry:
		return "poetry update --lock " + name
	case toolPipenv:
		return fmt.Sprintf("pipenv upgrade --lock-only %s==%s", name, version)
	}
	return ""
}

func planLocked(target *fix.Target, choice fix.Choice) fix.Path {
	present := target.Present()
	p := target.NewPath(ID, fix.RaiseLocked, choice)
	p.Summary = fmt.Sprintf("raise %s from %s to %s in %s; no constraint of the manifest forbids it", present.Name, present.Version, choice.Version, path.Base(target.Module.Locks[0]))
	p.Steps = append(p.Steps, fix.Step{
		Text:     fmt.Sprintf("Raise %s to %s in the lock.", present.Name, choice.Version),
		Command:  refresh(target.Module.Tool, present.Name, choice.Version),
		Location: fix.At(target.Module.Locks[0], present.Line, present.EndLine),
	})
	return p
}

// planDirect raises every requirement of the package in the module that begins below
// the version, whichever copy it is for.
func planDirect(target *fix.Target, choice fix.Choice, stated []requirement) fix.Path {
	present := target.Present()
	p := target.NewPath(ID, fix.RaiseDirect, choice)
	p.Changes[0].Direct = true
	for _, other := range target.Module.Packages {
		if normal(other.Name) != normal(present.Name) || other.Source != "" || other.Version == "" {
			continue
		}
		if order, err := target.Advisories.Compare(target.Module.Ecosystem, other.Version, choice.Version); err != nil || order >= 0 {
			continue
		}
		p.Moves = append(p.Moves, other.Key)
		if !slices.ContainsFunc(p.Changes, func(c fix.Change) bool { return c.From == other.Version }) {
			p.Add(fix.Change{Package: present.Name, From: other.Version, To: choice.Version, Direct: true})
		}
	}
	edited := 0
	for _, r := range stated {
		edit, in := raise(r.clauses, r.insert, choice.Version)
		if in != nil || starts(r.clauses, choice.Version) {
			continue
		}
		if edited++; edited == 1 {
			p.Summary = fmt.Sprintf("raise %s from %s to %s in %s", present.Name, present.Version, choice.Version, r.file)
		}
		text := fmt.Sprintf("Change %s to start at %s.", strings.TrimSpace(r.name+" "+r.text), choice.Version)
		if edit.Old != "" && edit.Old == strings.TrimLeft(r.text, "=~^<>! ") {
			text = fmt.Sprintf("Change %s from %s to %s.", r.name, edit.Old, edit.New)
		}
		p.Steps = append(p.Steps, fix.Step{Text: text, Location: fix.At(r.file, r.line, 0)})
		if r.hashed {
			p.Effort = fix.EffortMedium
			p.Steps = append(p.Steps, fix.Step{
				Text:     "The pin has hashes; let the tool that wrote the file write them anew.",
				Command:  fmt.Sprintf("pip-compile --generate-hashes --upgrade-package %s==%s", present.Name, choice.Version),
				Location: fix.At(r.file, r.line, 0),
			})
		}
	}
	if edited > 1 {
		p.Effort = fix.EffortMedium
	}
	if len(target.Module.Locks) > 0 {
		p.Steps = append(p.Steps, fix.Step{Text: "Rewrite the lock.", Command: refresh(target.Module.Tool, present.Name, choice.Version)})
	}
	return p
}

func planOverride(target *fix.Target, choice fix.Choice) fix.Path {
	present := target.Present()
	p := target.NewPath(ID, fix.Override, choice)
	p.Temporary = true
	p.Effort = fix.EffortMedium
	p.Summary = fmt.Sprintf("override %s %s with %s or later in pyproject.toml until its ancestors allow it", present.Name, present.Version, choice.Version)
	p.Steps = append(p.Steps,
		fix.Step{
			Text:     fmt.Sprintf(`Add "%s>=%s" to override-dependencies of [tool.uv].`, present.Name, choice.Version),
			Location: &fact.Location{Path: target.Module.Manifests[0]},
		},
		fix.Step{Text: "Rewrite the lock.", Command: refresh(toolUV, present.Name, choice.Version)},
		fix.Step{Text: "Take the override back when nothing that requires " + present.Name + " forbids that version any more."})
	return p
}

// lockPackage is one package of poetry.lock or uv.lock.
type lockPackage struct {
	Name    string `toml:"name"`
	Version string `toml:"version"`
	// Dependencies is a table in poetry.lock and an array in uv.lock.
	Dependencies any `toml:"dependencies"`
}

func parseLock(file string, data []byte) ([]lockPackage, error) {
	if path.Base(file) == "Pipfile.lock" {
		return parsePipfileLock(file, data)
	}
	var document struct {
		Package []lockPackage `toml:"package"`
	}
	if err := toml.Unmarshal(data, &document); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return document.Package, nil
}

// parsePipfileLock reads the sections of a Pipfile.lock: name to a pin.
func parsePipfileLock(file string, data []byte) ([]lockPackage, error) {
	var sections map[string]map[string]json.RawMessage
	if err := json.Unmarshal(data, &sections); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	var packages []lockPackage
	for _, section := range slices.Sorted(maps.Keys(sections)) {
		if section == "_meta" {
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(sections[section])) {
			var entry struct {
				Version string `json:"version"`
			}
			if err := json.Unmarshal(sections[section][name], &entry); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", file, name, err)
			}
			packages = append(packages, lockPackage{Name: name, Version: strings.TrimPrefix(entry.Version, "==")})
		}
	}
	return packages, nil
}

// blockByLock notes the packages of a poetry.lock whose constraints forbid a
// version of the target's package. uv.lock keeps no constraints; there uv says
// so itself.
func (f *fixer) blockByLock(ctx context.Context, target *fix.Target, version string) error {
	if target.Module.Tool != toolPoetry || len(target.Module.Locks) == 0 {
		return nil
	}
	file := target.Module.Locks[0]
	data, err := target.Tree.Read(ctx, file)
	if err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	packages, err := f.locks.Get(file, data, parseLock)
	if err != nil {
		return err
	}
	for _, p := range packages {
		for _, text := range constraints(p, target.Present().Name) {
			clauses, ok := parseClauses(text, 0)
			if !ok || admitsAll(clauses, version) {
				continue
			}
			location := fact.Location{Path: file}
			for _, other := range target.Module.Packages {
				if normal(other.Name) == normal(p.Name) {
					location = *fix.At(other.Path, other.Line, other.EndLine)
				}
			}
			target.Block(location, fmt.Sprintf("%s %s requires %s %s", p.Name, p.Version, target.Present().Name, text), version)
		}
	}
	return nil
}

// constraints lists what a package of poetry.lock asks of another: a string, a
// table with a version, or a list of such tables.
func constraints(p lockPackage, name string) []string {
	dependencies, _ := p.Dependencies.(map[string]any)
	var found []string
	for key, value := range dependencies {
		if normal(key) != normal(name) {
			continue
		}
		values, many := value.([]any)
		if !many {
			values = []any{value}
		}
		for _, v := range values {
			if table, ok := v.(map[string]any); ok {
				v = table["version"]
			}
			if text, ok := v.(string); ok {
				found = append(found, text)
			}
		}
	}
	return found
}
