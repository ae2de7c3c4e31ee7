// Package npm fixes projects of npm, pnpm and yarn: it raises a package in the
// lock when every constraint allows it, raises a constraint of a manifest, raises
// the nearest ancestor of a transitive package, or adds an override.
//
// Constraints are literals of package.json, or of a catalog in
// pnpm-workspace.yaml, that are replaced byte by byte. The lock is the work of
// the tool that wrote it, done in a folder that holds nothing but manifests, lock
// and patches, without scripts, hooks, credentials, or settings of the repository
// other than those that decide what a lock holds.
package npm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// ID is the fixer's id.
const ID = "fix/npm"

type fixer struct {
	locks  fix.Cache[*lock]
	blocks fix.Cache[map[string]block]
}

// New returns the fixer of projects of npm, pnpm and yarn.
func New() fix.ModuleFixer { return &fixer{} }

func (*fixer) Describe() fix.Description {
	return fix.Description{
		ID:   ID,
		Name: "npm, pnpm, yarn",
		Docs: "Raises packages in package-lock.json, pnpm-lock.yaml and yarn.lock to the lowest version that closes everything known, where constraints allow it; " +
			"else raises the constraint, the nearest ancestor, or adds an override, which is to be taken back later. " +
			"package.json keeps its layout; the lock is rewritten by the tool that wrote it, without running scripts. " +
			"Classic yarn can only do so by an installation into a folder that is thrown away.",
		Commands: []string{"npm", "pnpm", "yarn", "yarn-berry"},
	}
}

func (*fixer) Handles(m *lockfile.Module) bool {
	switch m.Tool {
	case "npm":
		return len(m.Manifests) > 0
	case "pnpm", "yarn":
		return len(m.Manifests) > 0 && len(m.Locks) > 0
	}
	return false
}

// project is a module with its files read.
type project struct {
	target   *fix.Target
	tool     string // npm, pnpm, yarn
	manifest *manifest
	// manifests are the manifest and those of workspaces by path.
	manifests map[string]*manifest
	workspace *manifest // of pnpm: its pnpm-workspace.yaml, which may have no byte
	lock      *lock
	lockPath  string
	format    string // of the lock
	key       string // the target's package in the lock
}

func (f *fixer) load(ctx context.Context, target *fix.Target) (*project, error) {
	m := target.Module
	p := &project{target: target, tool: m.Tool, key: target.Present().Key, manifests: map[string]*manifest{}}
	read := func(name string) ([]byte, error) {
		data, err := target.Tree.Read(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		return data, nil
	}
	for _, name := range m.Manifests {
		if path.Base(name) == workspaceFile {
			continue
		}
		data, err := read(name)
		if err != nil {
			return nil, err
		}
		one, err := parseManifest(name, data)
		if err != nil {
			return nil, err
		}
		p.manifests[name] = one
		if p.manifest == nil {
			p.manifest = one
		}
	}
	if p.manifest == nil {
		return nil, fmt.Errorf("%s: no package.json to edit", m.Locks[0])
	}
	if p.tool == "pnpm" {
		name := path.Join(m.Dir, workspaceFile)
		var data []byte
		if slices.Contains(m.Manifests, name) {
			var err error
			if data, err = read(name); err != nil {
				return nil, err
			}
		}
		var err error
		if p.workspace, err = parseWorkspace(name, data); err != nil {
			return nil, err
		}
	}
	if len(m.Locks) == 0 {
		return p, nil
	}
	p.lockPath = m.Locks[0]
	data, err := read(p.lockPath)
	if err != nil {
		return nil, err
	}
	if p.lock, err = f.read(p.lockPath, data, m); err != nil {
		return nil, err
	}
	p.format = p.lock.version
	for _, e := range p.lock.entries {
		if e.Manifest == "" || p.manifests[e.Manifest] != nil {
			continue
		}
		data, err := target.Tree.Read(ctx, e.Manifest)
		if errors.Is(err, fs.ErrNotExist) {
			continue // a link out of the repository
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", e.Manifest, err)
		}
		if p.manifests[e.Manifest], err = parseManifest(e.Manifest, data); err != nil {
			return nil, err
		}
	}
	if _, ok := p.lock.entries[p.key]; !ok {
		for _, key := range p.lock.instances(target.Present().Name) {
			if p.lock.entries[key].Version == target.Present().Version {
				p.key = key
				break
			}
		}
	}
	return p, nil
}

// read reads a lock of the module's tool. Of pnpm and yarn, it is the module
// that says which packages there are.
func (f *fixer) read(name string, data []byte, m *lockfile.Module) (*lock, error) {
	switch m.Tool {
	case "pnpm":
		return lockOf(m, pnpmFormat(data), nil), nil
	case "yarn":
		blocks, err := f.blocks.Get(name, data, func(_ string, data []byte) (map[string]block, error) { return byKey(parseYarn(data)), nil })
		return lockOf(m, yarnFormat(data), blocks), err
	}
	return f.locks.Get(name, data, parseLock)
}

// hold is a constraint on the target's package, and who states it.
type hold struct {
	requirer
	by       string // name and version of the package, "" for the manifest, the folder of a workspace
	manifest bool   // a manifest of the project states it, the root's or a workspace's
	location fact.Location
}

// fits says whether a constraint, as far as it is known, allows a version. What
// is not known is taken for the range that tools write when they add a package.
func (h *hold) fits(present, version string) bool {
	if h.unknown {
		ok, _ := admits("^"+present, version)
		return ok
	}
	ok, _ := admits(rangeOf(h.constraint), version)
	return ok
}

// holds lists who asks for the target's package.
func (p *project) holds(ctx context.Context) ([]hold, error) {
	var holds []hold
	name := p.target.Present().Name
	if p.lock != nil {
		if e, ok := p.lock.entries[p.key]; ok {
			name = e.As
		}
		requirers, err := p.requirers(ctx, p.key)
		if err != nil {
			return nil, err
		}
		for _, r := range requirers {
			h := hold{requirer: r, by: p.lock.label(r.key), location: p.locate(r.key)}
			if m := p.manifests[p.lock.entries[r.key].Manifest]; m != nil {
				h.by, h.manifest, h.location = "", true, fact.Location{Path: m.path}
				if m != p.manifest {
					h.by = path.Dir(m.path)
				}
				if s, where, ok := p.stated(m, r.as); ok {
					h.constraint, h.location = s.text, *fix.At(where.path, s.line, 0)
				}
			}
			holds = append(holds, h)
		}
	}
	if len(holds) == 0 {
		if s, where, ok := p.stated(p.manifest, name); ok {
			holds = append(holds, hold{requirer: requirer{as: name, constraint: s.text}, manifest: true, location: *fix.At(where.path, s.line, 0)})
		}
	}
	return holds, nil
}

// stated finds what a manifest states for a package, and the file in which its
// range stands: the manifest, or the workspace file when it names a catalog.
func (p *project) stated(m *manifest, name string) (span, *manifest, bool) {
	s, ok := m.spec(name)
	if ok && p.workspace != nil && strings.HasPrefix(s.text, "catalog:") {
		section := s.text
		if section == "catalog:default" {
			section = "catalog:"
		}
		if in, listed := p.workspace.specs[section][name]; listed {
			return in, p.workspace, true
		}
	}
	return s, m, ok
}

// requirers lists who asks for the package of a key. Constraints that the lock
// does not tell are those of the registry, when it is asked.
func (p *project) requirers(ctx context.Context, key string) ([]requirer, error) {
	found := slices.Clone(p.lock.requirers(key))
	for i := range found {
		r := &found[i]
		from := p.lock.entries[r.key]
		if !r.unknown || p.target.Registry == nil || from.Name == "" {
			continue
		}
		requires, err := p.target.Registry.Requirements(ctx, from.Name, from.Version)
		if err != nil {
			return nil, fmt.Errorf("requirements of %s@%s: %w", from.Name, from.Version, err)
		}
		if as, constraint := asked(requires, p.lock.entries[key].Name); as != "" {
			r.as, r.constraint, r.unknown = as, constraint, false
		}
	}
	return found, nil
}

// locate gives the lines of a package in the lock.
func (p *project) locate(key string) fact.Location {
	for _, other := range p.target.Module.Packages {
		if other.Key == key {
			return *fix.At(other.Path, other.Line, other.EndLine)
		}
	}
	return fact.Location{Path: p.lockPath}
}

// forced lists the values of overrides for a package, with the files they are in.
func (p *project) forced(name string) (spans []span, files []*manifest) {
	for _, m := range []*manifest{p.manifest, p.workspace} {
		if m == nil {
			continue
		}
		for _, s := range m.forced[name] {
			spans, files = append(spans, s), append(files, m)
		}
	}
	return spans, files
}

func (f *fixer) Plan(ctx context.Context, target *fix.Target) ([]fix.Path, error) {
	target.Blocked = nil
	p, err := f.load(ctx, target)
	if err != nil {
		return nil, err
	}
	present := target.Present()
	if present.Source != "" {
		target.Block(*fix.At(present.Path, present.Line, present.EndLine), present.Name+" comes from "+present.Source, "a release of the registry")
		return nil, nil
	}
	if p.lock != nil && p.lock.entries[p.key].InBundle {
		target.Block(p.locate(p.key), present.Name+" "+present.Version+" is bundled in "+p.lock.bundler(p.key), "a release of "+p.lock.bundler(p.key)+" that bundles another")
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
	holds, err := p.holds(ctx)
	if err != nil {
		return nil, err
	}
	var stated, blocking, others []hold
	for _, h := range holds {
		ok := h.fits(present.Version, choice.Version)
		if !ok {
			blocking = append(blocking, h)
		}
		switch {
		case h.manifest:
			stated = append(stated, h)
		case !ok:
			others = append(others, h)
		}
	}
	spans, files := p.forced(present.Name)
	if p.lock != nil && len(spans) > 0 {
		return p.planForced(choice, spans, files), nil
	}
	var paths []fix.Path
	if len(blocking) == 0 && p.lock != nil && len(holds) > 0 {
		paths = append(paths, p.planLocked(choice, holds))
	}
	if len(stated) > 0 && len(others) == 0 {
		if path, ok := p.planDirect(choice, stated); ok {
			paths = append(paths, path)
		} else {
			for _, h := range stated {
				target.Block(h.location, fmt.Sprintf("%s %s", present.Name, h.constraint), choice.Version)
			}
		}
	}
	if len(others) > 0 {
		ancestor, err := p.planAncestor(ctx, choice, others, p.acceptable(choice, known))
		if err != nil {
			return nil, err
		}
		if ancestor != nil {
			paths = append(paths, *ancestor)
		}
	}
	if len(stated) == 0 && p.lock != nil {
		paths = append(paths, p.planOverride(choice, holds))
		if len(target.Others) > 0 && target.Package < target.Others[0] {
			all, err := p.planOverrideOfAll(choice, known)
			if err != nil {
				return nil, err
			}
			if all != nil {
				paths = append(paths, *all)
			}
		}
	}
	if len(paths) == 0 || len(blocking) > 0 && len(stated) == 0 {
		for _, h := range blocking {
			target.Block(h.location, strings.TrimSpace(h.by+" requires "+present.Name+" "+h.constraint), choice.Version)
		}
	}
	if p.tool == "yarn" && p.format != "1" {
		name := path.Join(target.Module.Dir, ".pnp.cjs")
		if _, err := target.Tree.Read(ctx, name); !errors.Is(err, fs.ErrNotExist) {
			for i := range paths {
				paths[i].Steps = append(paths[i].Steps, fix.Step{
					Text:    name + " is kept in the repository and is not rewritten with the lock; let yarn install do that, and add what it changes.",
					Command: "yarn install", Location: &fact.Location{Path: name},
				})
			}
		}
	}
	if target.Registry == nil {
		for i := range paths {
			paths[i].Steps = append(paths[i].Steps, fix.Step{
				Text:    fmt.Sprintf("Check that %s %s exists; no registry was asked, neither for ancestors that allow it.", present.Name, choice.Version),
				Command: "npm view " + present.Name + " versions",
			})
		}
	}
	return paths, nil
}

// rewrite is the step that rewrites the lock.
func (p *project) rewrite() fix.Step {
	step := fix.Step{Text: "Let npm rewrite the lock.", Command: "npm install --package-lock-only --ignore-scripts --no-audit --no-fund", Location: &fact.Location{Path: p.lockPath}}
	switch {
	case p.tool == "pnpm":
		step.Text, step.Command = "Let pnpm rewrite the lock.", "pnpm install --lockfile-only --ignore-scripts"
	case p.tool == "yarn" && p.format == "1":
		step.Text, step.Command = "Let yarn rewrite the lock.", "yarn install --ignore-scripts"
	case p.tool == "yarn":
		step.Text, step.Command = "Let yarn rewrite the lock.", "yarn install --mode=update-lockfile"
	}
	return step
}

// container is where the tool reads overrides from: a file and a name in it.
func (p *project) container() (*manifest, string) {
	switch {
	case p.tool == "pnpm" && forceInWorkspace(p.manifest, p.workspace):
		return p.workspace, "overrides"
	case p.tool == "pnpm":
		return p.manifest, "pnpm/overrides"
	case p.tool == "yarn":
		return p.manifest, "resolutions"
	}
	return p.manifest, "overrides"
}
