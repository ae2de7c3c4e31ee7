package npm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
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

func (f *fixer) Apply(ctx context.Context, dir string, p fix.Path) ([]string, error) {
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
	project := &project{tool: "npm", manifest: manifests[0]}
	if err := project.open(ctx, f, dir, p, before); err != nil {
		return nil, err
	}
	if project.workspace != nil {
		manifests = append(manifests, project.workspace)
	}
	exact, final, err := project.edited(p, manifests)
	if err != nil {
		return nil, err
	}
	if project.lock != nil {
		if final[project.lockPath], err = project.relock(ctx, dir, p, before[project.lockPath], exact, final); err != nil {
			return nil, fmt.Errorf("%s: %w", project.lockPath, err)
		}
	}
	return fix.WriteAll(dir, before, final)
}

// locks are the names of locks with their tool, in the order in which they count
// when a path does not say which it is about.
var locks = [][2]string{{"npm-shrinkwrap.json", "npm"}, {"package-lock.json", "npm"}, {"pnpm-lock.yaml", "pnpm"}, {"yarn.lock", "yarn"}}

// open finds and reads the lock that a path is about, and what else its tool
// reads.
func (p *project) open(ctx context.Context, f *fixer, dir string, fixPath fix.Path, before map[string][]byte) error {
	named := func(name string) bool {
		return slices.ContainsFunc(fixPath.Steps, func(s fix.Step) bool { return s.Location != nil && s.Location.Path == name })
	}
	order := slices.Clone(locks)
	slices.SortStableFunc(order, func(a, b [2]string) int {
		rank := map[bool]int{true: 0, false: 1}
		return rank[named(path.Join(fixPath.Module, a[0]))] - rank[named(path.Join(fixPath.Module, b[0]))]
	})
	for _, one := range order {
		name := path.Join(fixPath.Module, one[0])
		data, err := fix.ReadFile(dir, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		p.tool, p.lockPath, before[name] = one[1], name, data
		break
	}
	if p.tool == "pnpm" {
		name := path.Join(fixPath.Module, workspaceFile)
		data, err := fix.ReadFile(dir, name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err == nil {
			before[name] = data
		}
		if p.workspace, err = parseWorkspace(name, data); err != nil {
			return err
		}
	}
	if p.lockPath == "" {
		return nil
	}
	module := &lockfile.Module{Tool: p.tool}
	if p.tool != "npm" {
		tree, err := code.OpenDir(dir)
		if err != nil {
			return err
		}
		defer tree.Close()
		if module, err = moduleOf(ctx, tree, fixPath.Module, p.lockPath); err != nil {
			return err
		}
	}
	var err error
	if p.lock, err = f.read(p.lockPath, before[p.lockPath], module); err == nil {
		p.format = p.lock.version
	}
	return err
}

// moduleOf reads the module of a lock of pnpm or yarn.
func moduleOf(ctx context.Context, tree code.Tree, dir, lockPath string) (*lockfile.Module, error) {
	paths, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	paths = slices.DeleteFunc(slices.Clone(paths), func(name string) bool {
		base := path.Base(name)
		known := base == "package.json" || base == workspaceFile || slices.ContainsFunc(locks, func(l [2]string) bool { return l[0] == base })
		return !known || dir != "" && !strings.HasPrefix(name, dir+"/")
	})
	modules, err := lockfile.ReadPaths(ctx, tree, paths)
	if err != nil {
		return nil, err
	}
	for i := range modules {
		if slices.Contains(modules[i].Locks, lockPath) {
			return &modules[i], nil
		}
	}
	return nil, errors.New("cannot be read as a lock")
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

// revision is a manifest being edited: the edits that pin versions for the first
// run of the tool, those to keep, and how many values the latter change.
type revision struct {
	pins, edits []fix.Edit
	values      int
}

// edited gives two versions of each manifest: one that pins every change exactly,
// which makes the tool choose the lowest version that will do, and the one to keep.
func (p *project) edited(path fix.Path, manifests []*manifest) (exact, final map[string][]byte, err error) {
	revisions := map[*manifest]*revision{}
	for _, m := range manifests {
		revisions[m] = &revision{}
	}
	var members []forcing
	for _, change := range path.Changes {
		done, err := p.state(path, change, manifests, revisions)
		if err != nil {
			return nil, nil, err
		}
		if p.lock == nil || done {
			continue
		}
		// What no manifest states is forced by an override, to be kept or only
		// for the first run.
		several := func(c fix.Change) bool { return c.Package == change.Package && c.From != change.From }
		if path.Kind != fix.Override || !slices.ContainsFunc(path.Changes, several) {
			members = append(members, p.overrides(change.Package, change.From, change.To, path.Kind != fix.Override)...)
		} else if member := everyone(change.Package, change.To); !slices.ContainsFunc(members, func(f forcing) bool { return slices.Equal(f.keys, member.keys) }) {
			members = append(members, member) // every copy at once
		}
	}
	if len(members) > 0 {
		in, container := p.container()
		edit, err := in.override(container, members)
		if err != nil {
			return nil, nil, err
		}
		r := revisions[in]
		r.pins = append(r.pins, edit)
		if path.Kind == fix.Override {
			r.edits = append(r.edits, edit)
			r.values += len(members)
		}
	}
	exact, final = map[string][]byte{}, map[string][]byte{}
	for _, m := range manifests {
		r := revisions[m]
		if m.yaml && m.data == nil && len(r.pins) == 0 {
			continue // there is none, and none is needed
		}
		if exact[m.path], err = fix.Splice(m.data, r.pins...); err != nil {
			return nil, nil, fmt.Errorf("%s: %w", m.path, err)
		}
		if m.yaml && m.data == nil && len(r.edits) == 0 {
			continue
		}
		if final[m.path], err = m.spliced(r.edits, r.values); err != nil {
			return nil, nil, err
		}
	}
	return exact, final, nil
}

// state edits what manifests state about a package: their constraints, and the
// overrides that name it. It says whether anything decides the version now.
func (p *project) state(path fix.Path, change fix.Change, manifests []*manifest, revisions map[*manifest]*revision) (bool, error) {
	done := false
	spans, files := p.forced(change.Package)
	texts := map[string]bool{}
	for i, s := range spans {
		if ok, _ := admits(rangeOf(s.text), change.From); !ok && len(spans) > 1 {
			continue // for another copy
		}
		done, texts[s.text] = true, true
		pins, err := files[i].replace([]span{s}, func(old string) (string, bool) { return pinned(old, change.To) })
		if err != nil {
			return false, err
		}
		r := revisions[files[i]]
		r.pins = append(r.pins, pins...)
		if path.Kind != fix.Override {
			continue
		}
		edits, err := files[i].replace([]span{s}, func(old string) (string, bool) { return raise(old, change.To) })
		if err != nil {
			return false, err
		}
		r.edits, r.values = append(r.edits, edits...), r.values+len(edits)
	}
	for _, m := range manifests {
		if !p.states(m, change) {
			continue
		}
		wanted := func(old string) bool {
			if ok, understood := admits(rangeOf(old), change.From); m.yaml && understood && !ok {
				return false // a catalog of another version
			}
			return path.Kind != fix.Override || texts[old]
		}
		pins, err := m.edits(change.Package, func(old string) (string, bool) {
			if !wanted(old) {
				return old, true
			}
			return pinned(old, change.To)
		})
		if err != nil {
			return false, err
		}
		r := revisions[m]
		r.pins = append(r.pins, pins...)
		done = done || len(pins) > 0
		if path.Kind == fix.RaiseLocked {
			continue
		}
		edits, err := m.edits(change.Package, func(old string) (string, bool) {
			if ok, _ := admits(rangeOf(old), change.To); !wanted(old) || ok && path.Kind == fix.RaiseAncestor {
				return old, true
			}
			return raise(old, change.To)
		})
		if err != nil {
			return false, err
		}
		r.edits, r.values = append(r.edits, edits...), r.values+len(edits)
	}
	return done, nil
}

// states says whether a manifest asks for the copy of a package that changes, and
// not for another; it does where the lock does not know.
func (p *project) states(m *manifest, change fix.Change) bool {
	if p.lock == nil {
		return true
	}
	known := false
	for _, key := range p.lock.instances(change.Package) {
		for _, r := range p.lock.requirers(key) {
			if !p.lock.isManifest(r.key) {
				continue
			}
			known = true
			if p.lock.entries[key].Version == change.From && (m.yaml || p.lock.entries[r.key].Manifest == m.path) {
				return true
			}
		}
	}
	return !known
}

// spliced carries out edits and checks that as many values changed.
func (m *manifest) spliced(edits []fix.Edit, values int) ([]byte, error) {
	data, err := fix.Splice(m.data, edits...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", m.path, err)
	}
	n, err := m.differences(data)
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
	if !strings.HasPrefix(old, "npm:") {
		return to, true
	}
	prefix, ranged := strings.CutSuffix(old, rangeOf(old))
	if !ranged {
		return old + "@" + to, true
	}
	return prefix + to, true
}

// differences counts the values in which a later text of a manifest differs.
func (m *manifest) differences(after []byte) (int, error) {
	if !m.yaml {
		return differences(m.data, after)
	}
	var documents [2]map[string]any
	for i, data := range [][]byte{m.data, after} {
		if err := yaml.Unmarshal(data, &documents[i]); err != nil {
			return 0, err
		}
	}
	return differ(documents[0], documents[1]), nil
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
