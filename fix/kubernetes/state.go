package kubernetes

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fix"
)

// view is a tree with some files changed and others hidden.
type view struct {
	code.Tree
	hidden func(name string) bool
	files  map[string][]byte
}

// Paths implements code.Tree.
func (v *view) Paths(ctx context.Context) ([]string, error) {
	paths, err := v.Tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(paths), v.hidden), nil
}

// Read implements code.Tree.
func (v *view) Read(ctx context.Context, name string) ([]byte, error) {
	if data, ok := v.files[name]; ok {
		return data, nil
	}
	return v.Tree.Read(ctx, name)
}

// state is a tree while it is edited.
type state struct {
	view    *view
	options kubernetes.Options
	only    func(*kubernetes.Release) bool // the releases that are edited
	first   *kubernetes.Estate             // before any edit
	now     *kubernetes.Estate             // nil when it has to be read again; of the releases that are edited
	aliases int
	made    int
	gone    map[objectKey][][]kubernetes.Segment // items of lists that were taken out, where they were at first
}

type saved struct {
	files         map[string][]byte
	now           *kubernetes.Estate
	aliases, made int
	gone          map[objectKey][][]kubernetes.Segment
}

func (s *state) save() saved {
	return saved{maps.Clone(s.view.files), s.now, s.aliases, s.made, maps.Clone(s.gone)}
}

func (s *state) restore(to saved) {
	s.view.files, s.now, s.aliases, s.made, s.gone = maps.Clone(to.files), to.now, to.aliases, to.made, maps.Clone(to.gone)
}

// start prepares a tree for edits: as much of it as the objects of the tasks need.
func (p *planner) start(ctx context.Context, tasks []task) (*state, error) {
	charts, units, files := map[string]bool{}, false, map[string]bool{}
	targets, carriers := map[string]bool{}, map[string]bool{}
	for _, t := range tasks {
		for _, o := range t.objects {
			switch {
			case o.Release() != nil:
				charts[o.Release().Chart] = true
				targets[releaseKey(o.Release())] = true
				for _, r := range p.estate.Releases {
					// The chart of an Application that asks for the release.
					if from := o.Release().From; from != nil && r.Chart != o.Release().Chart && within(r.Chart, from.Path) {
						charts[r.Chart], carriers[r.Chart] = true, true
					}
				}
			case o.Unit != "":
				units = true
			default:
				files[o.Place.Path] = true
			}
		}
	}
	var others []string
	for _, r := range p.estate.Releases {
		if !charts[r.Chart] && !slices.Contains(others, r.Chart) {
			others = append(others, r.Chart)
		}
	}
	alone := map[string]bool{} // files of plain manifests, which no chart or overlay builds on
	for _, o := range p.estate.Objects {
		if o.Unit == "" && o.Kind != "Application" && o.Kind != "HelmRelease" && !files[o.Place.Path] {
			alone[o.Place.Path] = true
		}
	}
	for _, o := range p.estate.Objects {
		if o.Unit == "" && (o.Kind == "Application" || o.Kind == "HelmRelease") {
			delete(alone, o.Place.Path)
		}
	}
	v := &view{Tree: p.site.Tree, files: map[string][]byte{}, hidden: func(name string) bool {
		if len(charts) == 0 && !units {
			return !files[name]
		}
		if alone[name] {
			return true
		}
		return slices.ContainsFunc(others, func(chart string) bool {
			return chart == "." && (name == "Chart.yaml" || strings.HasPrefix(name, "templates/")) || strings.HasPrefix(name, chart+"/")
		})
	}}
	s := &state{view: v, gone: map[objectKey][][]kubernetes.Segment{}, options: kubernetes.Options{Repository: p.site.Repository, ObjectsOnly: true}}
	if len(charts) > 0 {
		s.options.Renderer = p.renderer
	}
	s.only = func(r *kubernetes.Release) bool { return carriers[r.Chart] || targets[releaseKey(r)] }
	key := fmt.Sprint(slices.Sorted(maps.Keys(charts)), units, slices.Sorted(maps.Keys(files)))
	if p.firsts == nil {
		p.firsts = map[string]*kubernetes.Estate{}
	}
	if p.firsts[key] == nil {
		first, err := kubernetes.Load(ctx, v, s.options)
		if err != nil {
			return nil, err
		}
		p.firsts[key] = first
	}
	s.first = p.firsts[key]
	s.now = s.first
	return s, nil
}

// releaseKey tells the releases of a chart apart, wherever their files stand.
func releaseKey(r *kubernetes.Release) string {
	key := r.Chart + "\n" + r.Name + "\n" + r.Namespace + "\n" + strings.Join(r.ValueFiles, "\n")
	if r.From != nil {
		key += "\nfrom " + r.From.Path
	}
	return key
}

// whole reads all of the tree as it is by now.
func (s *state) whole(ctx context.Context) (*kubernetes.Estate, error) {
	return kubernetes.Load(ctx, s.view, s.options)
}

// reload reads the tree as it is by now.
func (s *state) reload(ctx context.Context) (*kubernetes.Estate, error) {
	if s.now == nil {
		options := s.options
		options.Only = s.only
		e, err := kubernetes.Load(ctx, s.view, options)
		if err != nil {
			return nil, err
		}
		s.now = e
	}
	return s.now, nil
}

func (s *state) read(ctx context.Context, name string) ([]byte, error) {
	if s.view.hidden(name) {
		return nil, fmt.Errorf("%s is no part of what is edited", name)
	}
	return s.view.Read(ctx, name)
}

func (s *state) write(name string, data []byte) {
	s.view.files[name] = data
	s.now = nil
	s.made++
}

// set makes the value at a spot of a file the wanted one; nil removes it.
func (s *state) set(ctx context.Context, name string, at kubernetes.Spot, want *kubernetes.Node) error {
	data, err := s.read(ctx, name)
	if err != nil {
		return err
	}
	if fix.Generated(data) {
		return fmt.Errorf("%s says that it is generated: change what generates it", name)
	}
	var edited kubernetes.Edited
	if want == nil {
		edited, err = kubernetes.Remove(data, at)
	} else {
		edited, err = kubernetes.Set(data, at, want)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	s.aliases += edited.Aliases
	s.write(name, edited.Data)
	return nil
}

// objectKey finds an object again in another reading of the tree.
type objectKey struct {
	unit, id string
	file     string
	nth      int
}

func (k objectKey) kind() string {
	parts := strings.Split(k.id, "/")
	return parts[max(0, len(parts)-2)]
}

func (k objectKey) String() string {
	if k.unit != "" {
		return k.id + " (" + k.unit + ")"
	}
	return k.id + " (" + k.file + ")"
}

// keysOf gives the keys of all objects. The release of a chart has its place in its
// label, which an edit moves; so its line is left out.
func keysOf(e *kubernetes.Estate) []objectKey {
	seen := map[objectKey]int{}
	keys := make([]objectKey, len(e.Objects))
	for i, o := range e.Objects {
		k := objectKey{unit: o.Unit, id: o.ID(), file: o.Place.Path}
		if r := o.Release(); r != nil && r.From != nil {
			k.unit = strings.Replace(k.unit, fmt.Sprintf("%s:%d says", r.From.Path, r.From.Line), r.From.Path+" says", 1)
		}
		seen[k]++
		k.nth = seen[k]
		keys[i] = k
	}
	return keys
}

func keyOf(e *kubernetes.Estate, o *kubernetes.Object) objectKey {
	for i, k := range keysOf(e) {
		if e.Objects[i] == o {
			return k
		}
	}
	return objectKey{}
}

func (s *state) object(key objectKey) *kubernetes.Object {
	if s.now == nil {
		return nil
	}
	for i, k := range keysOf(s.now) {
		if k == key {
			return s.now.Objects[i]
		}
	}
	// A key with another count is one that was read from a larger tree.
	for i, k := range keysOf(s.now) {
		if k.unit == key.unit && k.id == key.id && k.file == key.file {
			return s.now.Objects[i]
		}
	}
	// Its namespace was changed, which is part of its id.
	for _, o := range s.now.Objects {
		if o.Unit == key.unit && o.Place.Path == key.file && strings.HasSuffix(key.id, o.Kind+"/"+o.Name) {
			return o
		}
	}
	return nil
}

// change is one field of one object that differs.
type change struct {
	key        objectKey
	difference kubernetes.Difference
}

// secret says whether the value may be one that must not be shown.
func (c change) secret() bool {
	return c.key.kind() == "Secret" || slices.ContainsFunc(c.difference.Path, func(s kubernetes.Segment) bool {
		return s.Key == "env" || s.Key == "data" || s.Key == "stringData" || s.Key == "binaryData"
	})
}

// String tells the change on one line. Of maps and lists that were there only the size
// is told, since they may hold what must not be shown.
func (c change) String() string {
	d := c.difference
	switch {
	case c.secret() && d.To == nil:
		return fmt.Sprintf("%s: %s: removed", c.key, kubernetes.PathText(d.Path))
	case c.secret():
		return fmt.Sprintf("%s: %s: changed", c.key, kubernetes.PathText(d.Path))
	case d.From != nil && d.From.Shape != kubernetes.Scalar:
		d.From = kubernetes.TextValue(fmt.Sprintf("%d entries", len(d.From.Fields)+len(d.From.Items)))
	}
	return fmt.Sprintf("%s: %s", c.key, d)
}

// changesOf lists the fields that differ between two readings of a tree. It fails when
// objects came or went.
func changesOf(a, b *kubernetes.Estate) ([]change, error) {
	before, after := keysOf(a), keysOf(b)
	byKey := map[objectKey]*kubernetes.Object{}
	for i, k := range after {
		byKey[k] = b.Objects[i]
	}
	var all []change
	inOrder := len(before) == len(after)
	for i, k := range before {
		other := byKey[k]
		if other == nil && inOrder && a.Objects[i].Kind == b.Objects[i].Kind && a.Objects[i].Place.Path == b.Objects[i].Place.Path {
			other = b.Objects[i] // its name or namespace changed
		}
		if other == nil {
			return nil, fmt.Errorf("%s is not there any more", k)
		}
		for _, d := range kubernetes.Differences(a.Objects[i].Root, other.Root) {
			all = append(all, change{k, d})
		}
	}
	if len(after) > len(before) {
		return nil, fmt.Errorf("%d objects became %d", len(before), len(after))
	}
	return all, nil
}

// edits gives what changed as edits of the files as they were, by whole lines.
func (s *state) edits(ctx context.Context) ([]fix.FileEdit, error) {
	var all []fix.FileEdit
	for _, name := range slices.Sorted(maps.Keys(s.view.files)) {
		before, err := s.view.Tree.Read(ctx, name)
		if err != nil {
			return nil, err
		}
		all = append(all, fix.LineEdits(name, before, s.view.files[name])...)
	}
	return all, nil
}
