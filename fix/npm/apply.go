package npm

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fix"
)

var packageName = regexp.MustCompile(`^(?:@[A-Za-z0-9._~-]+/)?[A-Za-z0-9._~-]+$`)

// check refuses names and versions that are none, before they become arguments.
func check(changes []fix.Change) error {
	for _, change := range changes {
		if !packageName.MatchString(change.Package) || strings.HasPrefix(change.Package, "-") || len(change.Package) > 214 {
			return fmt.Errorf("%q: expected the name of a package", change.Package)
		}
		if _, ok := parseVersion(change.To); !ok || strings.ContainsAny(change.To, " \t\n") {
			return fmt.Errorf("%s: %q: expected a version", change.Package, change.To)
		}
	}
	return nil
}

func (*fixer) Apply(ctx context.Context, dir string, p fix.Path) ([]string, error) {
	if err := check(p.Changes); err != nil {
		return nil, err
	}
	before := map[string][]byte{}
	var manifests []*manifest
	for _, name := range manifestPaths(p) {
		data, err := fix.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		m, err := parseManifest(name, data)
		if err != nil {
			return nil, err
		}
		before[name] = data
		manifests = append(manifests, m)
	}
	project := &project{manifest: manifests[0]}
	for _, name := range []string{"npm-shrinkwrap.json", "package-lock.json"} {
		name = path.Join(p.Module, name)
		data, err := fix.ReadFile(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			project.lock, err = parseLock(name, data)
		}
		if err != nil {
			return nil, err
		}
		project.lockPath, before[name] = name, data
		break
	}
	exact, final, err := project.edited(p, manifests)
	if err != nil {
		return nil, err
	}
	if project.lock != nil {
		if final[project.lockPath], err = project.relock(ctx, dir, p, before[project.lockPath], exact, final); err != nil {
			return nil, err
		}
	}
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(final)) {
		if string(final[name]) == string(before[name]) {
			continue
		}
		if err := fix.WriteFile(dir, name, final[name]); err != nil {
			for _, done := range changed {
				err = errors.Join(err, fix.WriteFile(dir, done, before[done]))
			}
			return nil, err
		}
		changed = append(changed, name)
	}
	return changed, nil
}

// manifestPaths lists the module's package.json and those of workspaces that
// steps of a path name.
func manifestPaths(p fix.Path) []string {
	names := []string{path.Join(p.Module, "package.json")}
	for _, step := range p.Steps {
		if step.Location != nil && path.Base(step.Location.Path) == "package.json" && !slices.Contains(names, step.Location.Path) {
			names = append(names, step.Location.Path)
		}
	}
	return names
}

// edited gives two versions of each package.json, the module's own first: one
// that pins every change exactly, which makes npm choose the lowest version
// that will do, and the one to keep.
func (p *project) edited(path fix.Path, manifests []*manifest) (exact, final map[string][]byte, err error) {
	exact, final = map[string][]byte{}, map[string][]byte{}
	stated := map[string]bool{}
	var rootPins, rootEdits []fix.Edit
	for i, m := range manifests {
		var pins, edits []fix.Edit
		for _, change := range path.Changes {
			pin, err := m.edits(change.Package, func(old string) (string, bool) { return pinned(old, change.To) })
			if err != nil {
				return nil, nil, err
			}
			stated[change.Package] = stated[change.Package] || len(pin) > 0
			if path.Kind == fix.Override {
				continue
			}
			pins = append(pins, pin...)
			if path.Kind == fix.RaiseLocked {
				continue
			}
			edit, err := m.edits(change.Package, func(old string) (string, bool) {
				if ok, _ := admits(old, change.To); ok && path.Kind == fix.RaiseAncestor {
					return old, true
				}
				return raise(old, change.To)
			})
			if err != nil {
				return nil, nil, err
			}
			edits = append(edits, edit...)
		}
		if i == 0 {
			rootPins, rootEdits = pins, edits
			continue
		}
		if exact[m.path], err = m.spliced(pins, len(pins)); err != nil {
			return nil, nil, err
		}
		if final[m.path], err = m.spliced(edits, len(edits)); err != nil {
			return nil, nil, err
		}
	}
	// What no manifest states is forced by an override, to be kept or only
	// for the first run.
	var members []string
	for _, change := range path.Changes {
		if p.lock == nil || stated[change.Package] && path.Kind != fix.Override {
			continue
		}
		if p.manifest.overridden[change.Package] {
			return nil, nil, fmt.Errorf("%s: overrides names %s already", p.manifest.path, change.Package)
		}
		several := func(c fix.Change) bool { return c.Package == change.Package && c.From != change.From }
		if path.Kind != fix.Override || !slices.ContainsFunc(path.Changes, several) {
			members = append(members, p.overrides(change.Package, change.From, change.To)...)
		} else if member := everyone(change.Package, change.To); !slices.Contains(members, member) {
			members = append(members, member) // every copy at once
		}
	}
	values := len(rootEdits)
	if len(members) > 0 {
		rootPins = append(rootPins, p.manifest.override(members))
		if path.Kind == fix.Override {
			rootEdits = append(rootEdits, p.manifest.override(members))
			values += len(members)
		}
	}
	name := p.manifest.path
	if exact[name], err = fix.Splice(p.manifest.data, rootPins...); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	final[name], err = p.manifest.spliced(rootEdits, values)
	return exact, final, err
}

// spliced carries out edits and checks that as many values changed.
func (m *manifest) spliced(edits []fix.Edit, values int) ([]byte, error) {
	data, err := fix.Splice(m.data, edits...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.path, err)
	}
	n, err := differences(m.data, data)
	if err != nil {
		return nil, fmt.Errorf("%s after the edit: %w", m.path, err)
	}
	if n != values {
		return nil, fmt.Errorf("%s: the edit changed %d values, expected %d", m.path, n, values)
	}
	return data, nil
}

// pinned is the constraint that allows one version only.
func pinned(old, to string) (string, bool) {
	if strings.HasPrefix(old, "npm:") {
		name, _, _ := strings.Cut(strings.TrimPrefix(old, "npm:@"), "@")
		if strings.HasPrefix(old, "npm:@") {
			name = "@" + name
		} else {
			name, _, _ = strings.Cut(strings.TrimPrefix(old, "npm:"), "@")
		}
		return "npm:" + name + "@" + to, true
	}
	return to, true
}

// differences counts the values in which two JSON documents differ.
func differences(a, b []byte) (int, error) {
	var documents [2]map[string]any
	for i, data := range [][]byte{a, b} {
		if err := json.Unmarshal([]byte(strings.TrimPrefix(string(data), "\ufeff")), &documents[i]); err != nil {
			return 0, err
		}
	}
	return differ(documents[0], documents[1]), nil
}

func differ(a, b any) int {
	ma, okA := a.(map[string]any)
	mb, okB := b.(map[string]any)
	if b == nil && okA {
		mb, okB = map[string]any{}, true
	}
	if a == nil && okB {
		ma, okA = map[string]any{}, true
	}
	if !okA || !okB {
		ta, errA := json.Marshal(a)
		tb, errB := json.Marshal(b)
		if errA != nil || errB != nil || string(ta) != string(tb) {
			return 1
		}
		return 0
	}
	n := 0
	for key, value := range ma {
		n += differ(value, mb[key])
	}
	for key, value := range mb {
		if _, ok := ma[key]; !ok {
			n += differ(nil, value)
		}
	}
	return n
}

// relock lets npm rewrite the lock in a folder of its own that holds the
// manifests and the lock only.
func (p *project) relock(ctx context.Context, dir string, fixPath fix.Path, lockData []byte, exact, final map[string][]byte) ([]byte, error) {
	tool, err := newTool(ctx)
	if err != nil {
		return nil, err
	}
	defer tool.Close()
	work := filepath.Join(tool.Home(), "work")
	if err := os.Mkdir(work, 0o700); err != nil {
		return nil, err
	}
	if p.manifest.workspaces {
		if err := copyManifests(ctx, dir, fixPath.Module, work); err != nil {
			return nil, err
		}
	}
	lockName := path.Base(p.lockPath)
	if err := os.WriteFile(filepath.Join(work, lockName), lockData, 0o600); err != nil {
		return nil, err
	}
	args := []string{"install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error"}
	if p.lock.version > 0 {
		args = append(args, "--lockfile-version="+strconv.Itoa(p.lock.version))
	}
	for _, files := range []map[string][]byte{exact, final} {
		for name, data := range files {
			below := strings.TrimPrefix(strings.TrimPrefix(name, fixPath.Module), "/")
			if err := os.WriteFile(filepath.Join(work, filepath.FromSlash(below)), data, 0o600); err != nil {
				return nil, err
			}
		}
		if _, err := tool.Run(ctx, work, "npm", args...); err != nil {
			return nil, err
		}
	}
	after, err := os.ReadFile(filepath.Join(work, lockName))
	if err != nil {
		return nil, err
	}
	written, err := parseLock(p.lockPath, after)
	if err != nil {
		return nil, err
	}
	// npm ends well even when it changed nothing.
	for _, change := range fixPath.Changes {
		if err := p.lock.raised(written, change); err != nil {
			return nil, fmt.Errorf("%s: %w", p.lockPath, err)
		}
	}
	return after, nil
}

// raised checks that a lock written by npm holds a change: the version before
// is gone, and no copy of the package went down.
func (l *lock) raised(written *lock, change fix.Change) error {
	to, _ := parseVersion(change.To)
	reached := len(written.instances(change.Package)) == 0
	for _, key := range written.instances(change.Package) {
		text := written.entries[key].Version
		if text == change.From && !written.entries[key].InBundle {
			return fmt.Errorf("%s is still at %s (%s) after the change", change.Package, text, key)
		}
		v, ok := parseVersion(text)
		reached = reached || ok && !v.less(to)
		before, had := l.entries[key]
		if old, valid := parseVersion(before.Version); had && valid && ok && v.less(old) {
			return fmt.Errorf("%s: the change would lower it from %s to %s", key, before.Version, text)
		}
	}
	if !reached {
		return fmt.Errorf("%s does not reach %s after the change", change.Package, change.To)
	}
	return nil
}

// maxManifests is how many package.json files a project with workspaces may have.
const maxManifests = 5000

// copyManifests copies the package.json files below a module, so that npm
// finds the workspaces.
func copyManifests(ctx context.Context, dir, module, work string) error {
	tree, err := code.OpenDir(dir)
	if err != nil {
		return err
	}
	defer tree.Close()
	names, err := tree.Paths(ctx)
	if err != nil {
		return err
	}
	copied := 0
	for _, name := range names {
		below := strings.TrimPrefix(name, strings.TrimSuffix(module+"/", "/")+"/")
		if module == "" {
			below = name
		} else if below == name {
			continue
		}
		if path.Base(name) != "package.json" {
			continue
		}
		if copied++; copied > maxManifests {
			return fmt.Errorf("%s: more than %d package.json files", module, maxManifests)
		}
		data, err := tree.Read(ctx, name)
		if err != nil {
			return err
		}
		to := filepath.Join(work, filepath.FromSlash(below))
		if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
			return err
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			return err
		}
	}
	return nil
}

// newTool prepares runs of npm: the registry of the operator, and nothing else
// of his settings.
func newTool(ctx context.Context) (*fix.Tool, error) {
	registry := cmp.Or(os.Getenv("npm_config_registry"), os.Getenv("NPM_CONFIG_REGISTRY"))
	if registry == "" {
		var err error
		if registry, err = configured(ctx); err != nil {
			return nil, err
		}
	}
	return fix.NewTool(
		"npm_config_registry="+fix.WithoutUser(registry), "npm_config_globalconfig="+os.DevNull,
		"npm_config_update_notifier=false", "npm_config_fetch_retries=1", "npm_config_ignore_scripts=true", "npm_config_git="+os.DevNull,
	)
}

// configured asks npm for the registry of the operator's own settings.
func configured(ctx context.Context) (string, error) {
	var settings []string
	if home, err := os.UserHomeDir(); err == nil {
		settings = append(settings, "HOME="+home)
	}
	ask, err := fix.NewTool(append(settings, "npm_config_update_notifier=false")...)
	if err != nil {
		return "", err
	}
	defer ask.Close()
	out, err := ask.Run(ctx, ask.Home(), "npm", "config", "get", "registry")
	return strings.TrimSpace(string(out)), err
}

// Registry asks the npm registry of the operator through npm.
// It asks each question once and is safe for concurrent use.
type Registry struct {
	tool *fix.Tool

	mu      sync.Mutex
	answers map[string][]byte
}

// ask runs a command whose answer does not change, once.
func (r *Registry) ask(ctx context.Context, args ...string) ([]byte, error) {
	key := strings.Join(args, "\x00")
	r.mu.Lock()
	defer r.mu.Unlock()
	if answer, ok := r.answers[key]; ok {
		return answer, nil
	}
	answer, err := r.tool.Run(ctx, r.tool.Home(), "npm", args...)
	if err == nil {
		r.answers[key] = answer
	}
	return answer, err
}

// NewRegistry prepares a Registry. Close it when done.
func NewRegistry(ctx context.Context) (*Registry, error) {
	tool, err := newTool(ctx)
	if err != nil {
		return nil, err
	}
	return &Registry{tool: tool, answers: map[string][]byte{}}, nil
}

// Close removes what the registry kept.
func (r *Registry) Close() error { return r.tool.Close() }

// Versions implements fix.Registry with npm view.
func (r *Registry) Versions(ctx context.Context, name string) ([]string, error) {
	out, err := r.view(ctx, name, "versions")
	if err != nil {
		return nil, err
	}
	var versions []string
	if json.Unmarshal(out, &versions) == nil {
		return versions, nil
	}
	var one string // npm writes a list of one as its element
	if err := json.Unmarshal(out, &one); err != nil {
		return nil, fmt.Errorf("npm view %s: %w", name, err)
	}
	return []string{one}, nil
}

// Requirements implements fix.Registry with npm view.
func (r *Registry) Requirements(ctx context.Context, name, version string) (map[string]string, error) {
	if err := check([]fix.Change{{Package: name, To: version}}); err != nil {
		return nil, err
	}
	out, err := r.view(ctx, name+"@"+version, "dependencies")
	if err != nil {
		return nil, err
	}
	requires := map[string]string{}
	if len(strings.TrimSpace(string(out))) == 0 {
		return requires, nil
	}
	if err := json.Unmarshal(out, &requires); err != nil {
		return nil, fmt.Errorf("npm view %s@%s: %w", name, version, err)
	}
	return requires, nil
}

func (r *Registry) view(ctx context.Context, what, field string) ([]byte, error) {
	name := what
	if at := strings.LastIndex(what, "@"); at > 0 {
		name = what[:at]
	}
	if !packageName.MatchString(name) {
		return nil, fmt.Errorf("%q: expected the name of a package", name)
	}
	return r.ask(ctx, "view", "--json", "--", what, field)
}
