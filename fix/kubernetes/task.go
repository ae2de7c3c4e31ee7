package kubernetes

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// ask is one field that has to hold a value, or to go.
type ask struct {
	kind, namespace, name string
	unit, file            string // "" for any
	line                  int
	field                 string
	path                  []kubernetes.Segment
	want                  *kubernetes.Node
	remove                bool
	choice                string // what a person has to choose, "" for nothing
}

func (a *ask) String() string { return a.objectName() + " " + a.field }

func (a *ask) objectName() string { return a.kind + "/" + a.name }

// wish says what is to be.
func (a *ask) wish() string {
	switch {
	case a.choice != "":
		return fmt.Sprintf("choose %s for %s", a.choice, a.field)
	case a.remove:
		return "remove " + a.field
	}
	value := a.want.JSON()
	if len(value) > 120 {
		value = strings.ToValidUTF8(value[:120], "") + " ..."
	}
	return fmt.Sprintf("set %s to %s", a.field, value)
}

// met says whether an object is as asked. A missing map or list is what an emptied one is.
func (a *ask) met(o *kubernetes.Object) bool {
	got, _ := o.Root.Find(a.path)
	return a.accepts(got)
}

// accepts says whether a field's value, nil for none, is as asked.
func (a *ask) accepts(got *kubernetes.Node) bool {
	if a.remove {
		if n := len(a.path); n > 0 && a.path[n-1].Key == "" && a.want != nil {
			return !got.Same(a.want)
		}
		return got == nil || got.Tag == "!!null"
	}
	return got != nil && got.Same(a.want)
}

// after is the ask once items of lists are gone from the object.
func (a *ask) after(gone [][]kubernetes.Segment) *ask {
	moved := *a
	moved.path = slices.Clone(a.path)
	for i, segment := range a.path {
		if segment.Key != "" || segment.Where != "" {
			continue
		}
		for _, path := range gone {
			if len(path) == i+1 && slices.Equal(path[:i], a.path[:i]) && path[i].Where == "" && path[i].Index < segment.Index {
				moved.path[i].Index--
			}
		}
	}
	return &moved
}

// task is what one flaw asks for, and the objects that it is at.
type task struct {
	flaw    *fix.Flaw
	asks    []ask
	objects []*kubernetes.Object
	keys    []objectKey
}

func (t *task) question() bool {
	return slices.ContainsFunc(t.asks, func(a ask) bool { return a.choice != "" })
}

// taskOf reads what findings ask for: those of our own scanner, else those that the
// detector told.
func taskOf(flaw *fix.Flaw) (task, error) {
	t := task{flaw: flaw}
	if flaw.Kind != fact.Misconfiguration && flaw.Kind != "" {
		return t, nil
	}
	var wrong error
	for _, findings := range [][]fact.Finding{flaw.Seen, flaw.Told} {
		for i := range findings {
			asks, err := asksOf(&findings[i])
			if err != nil {
				wrong = err
				continue
			}
			for _, a := range asks {
				if !slices.ContainsFunc(t.asks, func(b ask) bool {
					return b.field == a.field && b.remove == a.remove && b.objectName() == a.objectName() && b.namespace == a.namespace && b.unit == a.unit && b.file == a.file
				}) {
					t.asks = append(t.asks, a)
				}
			}
		}
		if len(t.asks) > 0 {
			break
		}
	}
	// Items are removed from the last to the first, after everything is set, so that
	// no index moves.
	slices.SortStableFunc(t.asks, func(a, b ask) int {
		switch {
		case a.remove != b.remove:
			return cmp.Compare(btoi(a.remove), btoi(b.remove))
		case a.remove:
			return -comparePaths(a.path, b.path)
		}
		return 0
	})
	if len(t.asks) == 0 {
		return t, wrong
	}
	return t, nil
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

func comparePaths(a, b []kubernetes.Segment) int {
	for i := range min(len(a), len(b)) {
		if c := cmp.Or(cmp.Compare(a[i].Key, b[i].Key), cmp.Compare(a[i].Index, b[i].Index), cmp.Compare(a[i].Is, b[i].Is)); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

// asksOf reads the attributes of one finding: "field", "wanted", "remove", and those of
// more fields with ".2", ".3" and so on behind them.
func asksOf(f *fact.Finding) ([]ask, error) {
	object := f.Attributes[fix.AttributeObject]
	base := ask{unit: f.Attributes["unit"], file: code.CleanPath(f.Path), line: f.Line}
	if object == "" {
		object = f.Asset.Key
		if f.Asset.Kind == fact.AssetRepository || object == "" {
			object, _, _ = strings.Cut(f.Anchor, " ")
		}
	}
	object, _, _ = strings.Cut(object, " (") // the overlay of objects of one name
	object, _, _ = strings.Cut(object, "#")
	if base.namespace, base.kind, base.name = splitObject(object); base.kind == "" {
		return nil, nil
	}
	var all []ask
	for i := 1; i <= 200; i++ {
		suffix := ""
		if i > 1 {
			suffix = "." + strconv.Itoa(i)
		}
		a := base
		a.field = f.Attributes[fix.AttributeField+suffix]
		if a.field == "" {
			break
		}
		wanted, told := f.Attributes[fix.AttributeWanted+suffix]
		a.remove = f.Attributes[fix.AttributeRemove+suffix] == "true"
		if !told && !a.remove {
			continue // a field to look at
		}
		var err error
		if a.path, err = kubernetes.ParsePath(a.field); err != nil {
			return nil, err
		}
		if len(a.path) == 0 {
			return nil, errors.New("expected the path of a field, found the whole object")
		}
		if choice, ok := strings.CutPrefix(wanted, "?"); ok {
			a.choice = cmp.Or(strings.TrimSpace(choice), "a value")
		} else if told {
			if a.want, err = kubernetes.ParseValue(wanted); err != nil {
				return nil, fmt.Errorf("the wanted value of %s: %w", a.field, err)
			}
		}
		all = append(all, a)
	}
	return all, nil
}

// splitObject reads kind/namespace/name, namespace/Kind.group/name or what is longer
// before it.
func splitObject(object string) (namespace, kind, name string) {
	if namespace, kind, name, ok := kubernetes.ObjectKey(object); ok {
		return namespace, kind, name
	}
	parts := strings.Split(object, "/")
	if len(parts) == 3 && parts[0] != "" {
		kind, _, _ = strings.Cut(parts[0], ".")
		if parts[1] != "-" {
			namespace = parts[1]
		}
		return namespace, kind, parts[2]
	}
	return "", "", ""
}

// find looks for the objects of the task: those that the findings name, at the file that
// they or the site name where that tells them apart.
func (t *task) find(e *kubernetes.Estate, at fact.Location) bool {
	for i := range t.asks {
		a := &t.asks[i]
		var named []*kubernetes.Object
		for _, o := range e.Objects {
			if !strings.EqualFold(o.Kind, a.kind) || o.Name != a.name && !slices.Contains(o.Names(), a.name) {
				continue
			}
			if a.namespace != "" && o.Namespace != "" && a.namespace != o.Namespace || a.unit != "" && a.unit != o.Unit {
				continue
			}
			named = append(named, o)
		}
		named = nearest(named, func(o *kubernetes.Object) bool { return from(o, a, a.file) })
		named = nearest(named, func(o *kubernetes.Object) bool { return from(o, a, at.Path) })
		named = nearest(named, func(o *kubernetes.Object) bool { return o.Namespace == a.namespace })
		if a.remove && a.want == nil && len(named) > 0 {
			if v, _ := named[0].Root.Find(a.path); v != nil {
				a.want = v // what has to go, to tell it from what takes its place
			}
		}
		for _, o := range named {
			if !slices.Contains(t.objects, o) {
				t.objects = append(t.objects, o)
				t.keys = append(t.keys, keyOf(e, o))
			}
		}
	}
	return len(t.objects) > 0
}

func nearest(objects []*kubernetes.Object, is func(*kubernetes.Object) bool) []*kubernetes.Object {
	if some := slices.DeleteFunc(slices.Clone(objects), func(o *kubernetes.Object) bool { return !is(o) }); len(some) > 0 {
		return some
	}
	return objects
}

// from says whether a file holds the object or decides the field.
func from(o *kubernetes.Object, a *ask, file string) bool {
	if file == "" {
		return false
	}
	if o.Place.Path == file || o.Unit == file {
		return true
	}
	value, parent := o.Root.Find(a.path)
	for n := value; n != nil; n = n.Over {
		if n.Place.Path == file {
			return true
		}
	}
	return value == nil && parent != nil && parent.Place.Path == file
}
