package kubernetes

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/kubernetes"
)

// editSource edits the value where it is decided: the literal of a manifest, base or
// patch, or the values of a chart.
func editSource(ctx context.Context, s *state, a *ask, o *kubernetes.Object) error {
	if o.Release() != nil {
		return editValues(ctx, s, a, o)
	}
	value, parent := o.Root.Find(a.path)
	n, rest := value, []kubernetes.Segment(nil)
	if value == nil {
		if a.remove {
			return errors.New("the field is not there")
		}
		depth := reached(o.Root, a.path)
		n, rest = parent, a.path[depth:]
	}
	if value != nil && value.Tag == "!!null" && value.Shape == kubernetes.Scalar && a.remove {
		return errors.New("the field is empty")
	}
	data, err := s.read(ctx, n.Place.Path)
	if err != nil {
		return err
	}
	if n.By == "images" && !a.remove {
		return s.setImage(ctx, n, a.want.Text)
	}
	at, ok := kubernetes.Locate(data, n)
	if !ok {
		return fmt.Errorf("%s of %s is made of several values and has no line of its own", n.By, n.Place.Path)
	}
	want := a.want
	if a.remove {
		want = nil
	}
	return s.set(ctx, n.Place.Path, at.Below(rest...), want)
}

// setImage sets the tag or the digest of the entry of a kustomization's images that
// decides an image.
func (s *state) setImage(ctx context.Context, n *kubernetes.Node, image string) error {
	data, err := s.read(ctx, n.Place.Path)
	if err != nil {
		return err
	}
	ref, ok := kubernetes.ParseReference(image)
	docs, _ := kubernetes.Documents(n.Place.Path, data)
	if !ok || len(docs) == 0 {
		return fmt.Errorf("%q is no image, or %s no kustomization", image, n.Place.Path)
	}
	root, ok := kubernetes.Locate(data, docs[0])
	if !ok {
		return fmt.Errorf("%s has no line to edit", n.Place.Path)
	}
	for i, item := range docs[0].List("images") {
		for _, key := range []string{"digest", "newTag", "newName"} {
			if v := item.Get(key); v == nil || v.Place.Line != n.Place.Line {
				continue
			}
			key, text := "newTag", ref.Tag
			if ref.Digest != "" {
				key, text = "digest", ref.Digest
			}
			at := root.Below(kubernetes.Segment{Key: "images", Index: -1}, kubernetes.Segment{Index: i}, kubernetes.Segment{Key: key, Index: -1})
			return s.set(ctx, n.Place.Path, at, kubernetes.TextValue(text))
		}
	}
	return fmt.Errorf("no entry of the images of %s decides it", n.Place.Path)
}

// reached says how many segments of a path exist.
func reached(root *kubernetes.Node, path []kubernetes.Segment) int {
	for i := len(path); i > 0; i-- {
		if n, _ := root.Find(path[:i]); n != nil {
			return i
		}
	}
	return 0
}

// editOverlay sets the field in the overlay that the object is built by: in a patch that
// is there, or in a new one.
func editOverlay(ctx context.Context, s *state, a *ask, o *kubernetes.Object) error {
	if o.Release() != nil || o.Unit == "" {
		return errors.New("the object is from no overlay")
	}
	value, parent := o.Root.Find(a.path)
	decides := value
	if value == nil {
		decides = parent
	}
	if decides.Place.Path != "" && within(o.Unit, decides.Place.Path) && !s.shared(o) {
		return errors.New("the overlay decides it already")
	}
	file := ""
	for _, name := range []string{"kustomization.yaml", "kustomization.yml", "Kustomization"} {
		if _, err := s.read(ctx, path.Join(o.Unit, name)); err == nil {
			file = path.Join(o.Unit, name)
			break
		}
	}
	if file == "" {
		return fmt.Errorf("%s has no kustomization", o.Unit)
	}
	before := s.save()
	if err := s.patchThere(ctx, file, a, o); err == nil {
		if _, err := s.reload(ctx); err != nil {
			return err
		}
		for i, k := range keysOf(s.now) {
			if k.unit == o.Unit && k.id == o.ID() && a.met(s.now.Objects[i]) {
				return nil
			}
		}
	}
	s.restore(before)
	return s.patchNew(ctx, file, a, o)
}

func within(dir, name string) bool { return dir == "." || strings.HasPrefix(name, dir+"/") }

// shared says whether another overlay builds an object of the same files.
func (s *state) shared(o *kubernetes.Object) bool {
	return slices.ContainsFunc(s.first.Objects, func(other *kubernetes.Object) bool {
		return other.Unit != o.Unit && other.Place == o.Place
	})
}

// patchThere edits a strategic merge patch of the overlay that is for this object.
func (s *state) patchThere(ctx context.Context, file string, a *ask, o *kubernetes.Object) error {
	field, ok := byNames(o.Root, a.path)
	if !ok {
		return errors.New("a list without names is patched by index")
	}
	want := a.want
	if a.remove {
		if a.path[len(a.path)-1].Key == "" {
			return errors.New("an item is taken out by index")
		}
		want = &kubernetes.Node{Tag: "!!null"}
	}
	data, err := s.read(ctx, file)
	if err != nil {
		return err
	}
	docs, _ := kubernetes.Documents(file, data)
	if len(docs) == 0 {
		return errors.New("the kustomization is empty")
	}
	for _, item := range append(docs[0].List("patches"), docs[0].List("patchesStrategicMerge")...) {
		at := item
		if item.Shape == kubernetes.Map {
			if at = item.Get("path"); at == nil {
				at = item.Get("patch")
			}
			if target := item.Get("target"); target != nil && (target.String("name") != "" && target.String("name") != o.Name && !slices.Contains(o.Names(), target.String("name")) || target.String("kind") != o.Kind) {
				continue
			}
		}
		if at == nil || at.Shape != kubernetes.Scalar {
			continue
		}
		if strings.Contains(at.Text, "\n") {
			spot, ok := kubernetes.Locate(data, at)
			if !ok {
				continue
			}
			patch, _ := kubernetes.Documents(file, []byte(at.Text))
			if len(patch) != 1 || !patchOf(patch[0], o) {
				continue
			}
			spot.Inside = &kubernetes.Spot{Path: field}
			return s.set(ctx, file, spot, want)
		}
		name := path.Join(path.Dir(file), at.Text)
		text, err := s.read(ctx, name)
		if err != nil {
			continue
		}
		patches, _ := kubernetes.Documents(name, text)
		for _, patch := range patches {
			if spot, ok := kubernetes.Locate(text, patch); ok && patchOf(patch, o) {
				return s.set(ctx, name, spot.Below(field...), want)
			}
		}
	}
	return errors.New("the overlay has no patch for the object")
}

// patchOf says whether a strategic merge patch is for an object.
func patchOf(patch *kubernetes.Node, o *kubernetes.Object) bool {
	name := patch.String("metadata", "name")
	return patch.Shape == kubernetes.Map && patch.String("kind") == o.Kind && (name == o.Name || slices.Contains(o.Names(), name)) && patch.String("$patch") == ""
}

// merging are the lists whose items a patch finds by their name.
var merging = []string{"containers", "initContainers", "ephemeralContainers", "volumes", "env", "imagePullSecrets"}

// byNames writes a path with the names of list items in the place of indexes, false
// where items have none.
func byNames(root *kubernetes.Node, field []kubernetes.Segment) ([]kubernetes.Segment, bool) {
	var out []kubernetes.Segment
	for i, segment := range field {
		if segment.Key != "" {
			out = append(out, segment)
			continue
		}
		item, _ := root.Find(field[:i+1])
		if item == nil || i == 0 || !slices.Contains(merging, field[i-1].Key) || item.String("name") == "" {
			return nil, false
		}
		out = append(out, kubernetes.Segment{Index: -1, Where: "name", Is: item.String("name")})
	}
	return out, true
}

// patchNew adds a patch to the kustomization.
func (s *state) patchNew(ctx context.Context, file string, a *ask, o *kubernetes.Object) error {
	depth := reached(o.Root, a.path)
	op, value := "replace", a.want
	at := a.path
	switch {
	case a.remove && depth < len(a.path):
		return errors.New("the field is not there")
	case a.remove:
		op = "remove"
	case depth < len(a.path):
		op, at = "add", a.path[:depth+1]
		value = kubernetes.Nest(a.path[depth+1:], a.want)
	}
	pointer := ""
	for i, segment := range at {
		part := segment.Key
		if part == "" {
			list, _ := o.Root.Find(at[:i])
			index := segment.Index
			if segment.Where != "" && list != nil {
				index = slices.IndexFunc(list.Items, func(item *kubernetes.Node) bool { return item.String(segment.Where) == segment.Is })
			}
			if part = fmt.Sprint(index); list == nil || index < 0 || index >= len(list.Items) {
				part = "-"
			}
		}
		pointer += "/" + strings.ReplaceAll(strings.ReplaceAll(part, "~", "~0"), "/", "~1")
	}
	operation := "- op: " + op + "\n  path: " + kubernetes.TextValue(pointer).JSON() + "\n"
	if !a.remove {
		operation += "  value: " + value.JSON() + "\n"
	}
	name := o.Name
	if len(o.Names()) > 0 {
		name = o.Names()[0]
	}
	text := func(s string) *kubernetes.Node { return kubernetes.TextValue(s) }
	entry := kubernetes.NewMap(
		kubernetes.Field{Key: "target", Value: kubernetes.NewMap(kubernetes.Field{Key: "kind", Value: text(o.Kind)}, kubernetes.Field{Key: "name", Value: text(name)})},
		kubernetes.Field{Key: "patch", Value: text(strings.TrimSuffix(operation, "\n"))},
	)
	data, err := s.read(ctx, file)
	if err != nil {
		return err
	}
	docs, _ := kubernetes.Documents(file, data)
	if len(docs) == 0 {
		return errors.New("the kustomization is empty")
	}
	root, ok := kubernetes.Locate(data, docs[0])
	if !ok {
		return errors.New("the kustomization has no line to edit")
	}
	patches := docs[0].List("patches")
	// A patch that an earlier edit added for the object takes one more operation.
	for i, patch := range patches {
		inline := patch.Get("patch")
		if inline == nil || patch.String("target", "kind") != o.Kind || patch.String("target", "name") != name || !strings.HasPrefix(inline.Text, "- op: ") {
			continue
		}
		spot := root.Below(kubernetes.Segment{Key: "patches", Index: -1}, kubernetes.Segment{Index: i}, kubernetes.Segment{Key: "patch", Index: -1})
		return s.set(ctx, file, spot, text(strings.TrimRight(inline.Text, "\n")+"\n"+strings.TrimSuffix(operation, "\n")))
	}
	return s.set(ctx, file, root.Below(kubernetes.Segment{Key: "patches", Index: -1}, kubernetes.Segment{Index: len(patches)}), entry)
}
