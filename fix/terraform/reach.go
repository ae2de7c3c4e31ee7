package terraform

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fix"
)

// Bounds of what is evaluated to measure a reach.
const (
	maxRoots     = 60
	maxInstances = 3000 // of one configuration
)

// states are the evaluated instances of a configuration by address.
type states map[string]cty.Value

// whose says which instances a change may reach; nil is for all.
type whose func(a terraform.Address) bool

func statesOf(c *terraform.Configuration, only whose) states {
	s := states{}
	for _, a := range c.Instances() {
		if len(s) == maxInstances {
			break
		}
		if only != nil && !only(a) {
			continue
		}
		if v, ok := c.Evaluated(a); ok {
			s[a.String()] = v
		}
	}
	return s
}

// before gives the states of a root as it is.
func (e *estate) before(ctx context.Context, dir string, only whose) (states, error) {
	c, err := e.load(ctx, dir)
	if err != nil {
		return nil, err
	}
	if only != nil {
		return statesOf(c, only), nil
	}
	if s, ok := e.states[dir]; ok {
		return s, nil
	}
	e.states[dir] = statesOf(c, nil)
	return e.states[dir], nil
}

// difference is an attribute of an instance that a change changes.
type difference struct{ root, address, attribute string }

func (d difference) object() string { return object(d.root, d.address) }

func object(root, address string) string { return path.Clean(root) + ":" + address }

// differ lists what differs between two states of a root.
func differ(root string, a, b states) (list []difference) {
	for address, old := range a {
		fresh, still := b[address]
		if !still {
			list = append(list, difference{root, address, ""})
			continue
		}
		names := map[string]bool{}
		for name := range old.Type().AttributeTypes() {
			names[name] = true
		}
		for name := range fresh.Type().AttributeTypes() {
			names[name] = true
		}
		for name := range names {
			if !sameMember(old, fresh, name) {
				list = append(list, difference{root, address, name})
			}
		}
	}
	for address := range b {
		if _, was := a[address]; !was {
			list = append(list, difference{root, address, ""})
		}
	}
	slices.SortFunc(list, func(x, y difference) int {
		return strings.Compare(x.root+"\x00"+x.address+"\x00"+x.attribute, y.root+"\x00"+y.address+"\x00"+y.attribute)
	})
	return list
}

func sameMember(a, b cty.Value, name string) bool {
	has, also := a.Type().HasAttribute(name), b.Type().HasAttribute(name)
	if !has || !also {
		return has == also
	}
	return a.GetAttr(name).RawEquals(b.GetAttr(name))
}

// trial carries edits out in memory and evaluates every root that reads a changed file.
type trial struct {
	configurations map[string]*terraform.Configuration // after
	differences    []difference
	problems       []string // that were not there before
}

func (e *estate) try(ctx context.Context, edits []fix.FileEdit, only whose) (*trial, error) {
	files, err := e.edited(ctx, edits)
	if err != nil {
		return nil, err
	}
	t := &trial{configurations: map[string]*terraform.Configuration{}}
	tree := overlay{e.tree, files}
	looked := 0
	for _, dir := range e.roots {
		before, err := e.load(ctx, dir)
		if err != nil {
			return nil, err
		}
		if !e.concerns(dir, files) {
			continue
		}
		if looked++; looked > maxRoots {
			break
		}
		old, err := e.before(ctx, dir, only)
		if err != nil {
			return nil, err
		}
		after, err := terraform.Load(ctx, tree, dir, terraform.Options{})
		if err != nil {
			return nil, err
		}
		for _, p := range after.Problems {
			if !slices.ContainsFunc(before.Problems, func(q terraform.Problem) bool { return q.Path == p.Path && q.Text == p.Text }) {
				t.problems = append(t.problems, p.String())
			}
		}
		t.configurations[dir] = after
		t.differences = append(t.differences, differ(dir, old, statesOf(after, only))...)
	}
	return t, nil
}

// concerns says whether a root reads one of some files.
func (e *estate) concerns(dir string, files map[string][]byte) bool {
	for name := range files {
		folder := path.Dir(name)
		if folder == "." {
			folder = ""
		}
		if e.reads[dir][folder] || strings.Contains(path.Base(name), ".tfvars") && (dir == folder || strings.HasPrefix(folder, dir+"/")) {
			return true
		}
	}
	return false
}

// reached tells whom edits may reach: what stands inside the block of a resource decides
// about its instances only, a new resource about itself.
func reached(w *wish, edits []fix.FileEdit) whose {
	kind, name := w.members[0].address.Type, w.members[0].address.Name
	if companion, ok := terraform.ParseCompanion(w.field); ok {
		return func(a terraform.Address) bool { return a.Type == companion.Kind }
	}
	for _, edit := range edits {
		if edit.Path != w.block.Place.Path || edit.Start < w.block.Place.Start || edit.End > w.block.Place.End || strings.HasSuffix(edit.Path, ".json") {
			return nil
		}
	}
	return func(a terraform.Address) bool { return a.Type == kind && a.Name == name }
}

// none reaches nobody: only the configurations are wanted.
func none(terraform.Address) bool { return false }

// edited gives the files as edits leave them.
func (e *estate) edited(ctx context.Context, edits []fix.FileEdit) (map[string][]byte, error) {
	byFile := map[string][]fix.Edit{}
	for _, edit := range edits {
		byFile[edit.Path] = append(byFile[edit.Path], fix.Edit{Start: edit.Start, End: edit.End, Old: edit.Old, New: edit.New})
	}
	files := map[string][]byte{}
	for name, list := range byFile {
		data, err := e.tree.Read(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("edit %s: %w", name, err)
		}
		if files[name], err = fix.Splice(data, list...); err != nil {
			return nil, fmt.Errorf("edit %s: %w", name, err)
		}
	}
	return files, nil
}
