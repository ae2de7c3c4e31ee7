package kubernetes

import (
	"context"
	"fmt"
	"slices"
	"strconv"
)

// Release gives the release of a chart that an object is rendered by, nil for others.
func (o *Object) Release() *Release { return o.release }

// PodSpec gives the pod's specification of a workload with its path, nil for others.
func (o *Object) PodSpec() (*Node, string) { return o.podSpec() }

// Names are the earlier names of an object, before an overlay renamed it.
func (o *Object) Names() []string { return o.names }

// Values are the merged values of the release, each with the place that it is from.
func (r *Release) Values() *Node { return r.values }

// Template gives the rendered text that an object of a chart is from and the path of
// its template, "" for other objects.
func (o *Object) Template() (rendered, path string) {
	if o.release == nil {
		return "", ""
	}
	return o.release.base[o.file], o.release.source(o.file)
}

// TemplateLine gives the line of a template that a line of its rendered text is from, 0
// when that is not clear. exact says that the two are the same text.
func TemplateLine(template, rendered string, line int) (at int, exact bool) {
	return templateLine(template, rendered, line)
}

// TemplateLines gives for each line of a rendered text the line of its template, 0 where
// that is not clear.
func TemplateLines(template, rendered string) []int {
	lines, _ := templateLines(trimmedLines(template), trimmedLines(rendered))
	return lines
}

// ReadFile reads a file of the tree that was loaded.
func (e *Estate) ReadFile(ctx context.Context, name string) ([]byte, error) {
	return e.tree.Read(ctx, name)
}

// Where gives the place of a value of an object in the repository: its own, or for an
// object of a chart the line of the template, 0 when that is not clear.
func (e *Estate) Where(ctx context.Context, o *Object, n *Node) Place {
	if o.release == nil || n == nil {
		if n == nil {
			return o.Place
		}
		return n.Place
	}
	rendered, template := o.Template()
	line, _ := templateLine(string(e.bytes(ctx, template)), rendered, n.Place.Line)
	return Place{Path: template, Line: line, EndLine: line}
}

// Value is the value that decides, with the place that it is from.
func (d Decider) Value() *Node { return d.node }

// Path leads to the value in the values of the release.
func (d Decider) Path() []string { return d.path }

// Setting is a value for a key of a chart's values.
type Setting struct {
	Path  []string
	Value *Node // nil takes the key away
}

// Settings gives those with which, set alone in the values, a field of an object of a
// chart holds what is accepted; the field is nil where there is none.
func (e *Estate) Settings(ctx context.Context, o *Object, field []Segment, accept func(*Node) bool, settings []Setting) ([]Setting, error) {
	if o.release == nil || e.options.Renderer == nil {
		return nil, fmt.Errorf("%s is no object of a rendered chart", o.ID())
	}
	session, err := e.options.Renderer.Open(ctx, o.release.job)
	if err != nil {
		return nil, err
	}
	defer session.Close()
	p := &perturbation{ctx: ctx, r: o.release, session: session, target: o, field: field}
	var found []Setting
	for _, s := range settings {
		if p.renders++; p.renders > maxRenders || ctx.Err() != nil {
			break
		}
		values, _ := o.release.values.Value().(map[string]any)
		if !putValue(values, s.Path, s.Value) {
			continue
		}
		files, err := session.Render(ctx, values)
		if err != nil {
			continue // a value that the chart cannot use
		}
		other := p.find(files)
		if other == nil {
			continue
		}
		if got, _ := other.Root.Find(field); accept(got) {
			found = append(found, s)
		}
	}
	return found, ctx.Err()
}

// Same says whether two trees hold the same values; nothing and an empty value differ.
func (n *Node) Same(o *Node) bool { return n.same(o) && o.same(n) }

// putValue sets a key of plain values, or takes it away, and makes the maps above it.
func putValue(values map[string]any, path []string, value *Node) bool {
	var at any = values
	for i, key := range path {
		last := i == len(path)-1
		switch v := at.(type) {
		case map[string]any:
			if last {
				if value == nil {
					delete(v, key)
				} else {
					v[key] = value.Value()
				}
				return true
			}
			if v[key] == nil {
				v[key] = map[string]any{}
			}
			if list, ok := v[key].([]any); ok && value == nil && i == len(path)-2 {
				n, err := strconv.Atoi(path[i+1])
				if err != nil || n < 0 || n >= len(list) {
					return false
				}
				v[key] = slices.Delete(slices.Clone(list), n, n+1)
				return true
			}
			at = v[key]
		case []any:
			n, err := strconv.Atoi(key)
			if err != nil || n < 0 || n >= len(v) {
				return false
			}
			if last {
				if value == nil {
					return false
				}
				v[n] = value.Value()
				return true
			}
			at = v[n]
		default:
			return false
		}
	}
	return false
}

// ValuePath is a path in values as segments: indexes where the values hold lists.
func ValuePath(values *Node, path []string) []Segment {
	var out []Segment
	for _, key := range path {
		s := Segment{Key: key, Index: -1}
		if n, err := strconv.Atoi(key); err == nil && values != nil && values.Shape == List {
			s = Segment{Index: n}
		}
		out = append(out, s)
		if values != nil {
			values, _ = values.Find([]Segment{s})
		}
	}
	return slices.Clip(out)
}

// BlockText writes a map or list as YAML lines with an indentation, without a break at
// the end.
func BlockText(n *Node, indent int, eol string, indentless bool) string {
	return blockText(n, indent, 2, eol, indentless)
}

// NewMap makes a map of keys and values in turn.
func NewMap(fields ...Field) *Node { return &Node{Shape: Map, Fields: fields} }

// NewList makes a list.
func NewList(items ...*Node) *Node { return &Node{Shape: List, Items: items} }

// Nest wraps a value into the maps and lists of a path.
func Nest(path []Segment, value *Node) *Node { return nest(path, value) }

// JSON writes a value on one line.
func (n *Node) JSON() string {
	if n == nil {
		return "null"
	}
	return inlineText(n, true)
}
