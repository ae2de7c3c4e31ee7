package terraform

import (
	"bytes"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// meta are the parts of a block that are about Terraform and not about what it makes.
var meta = map[string]bool{
	"count": true, "for_each": true, "depends_on": true, "provider": true, "providers": true, "lifecycle": true, "provisioner": true, "connection": true,
}

// Evaluated gives what the configuration states for an instance of a resource: an object
// of its attributes, and of nested blocks as tuples of objects, in order. Values that
// are not known or sensitive are unknown, and so is a kind of nested block of which an
// unknown number is made. False when nothing declares the address.
func (c *Configuration) Evaluated(a Address) (cty.Value, bool) {
	a = c.follow(a)
	_, at, _, ok := c.locate(a)
	if !ok {
		return cty.NilVal, false
	}
	f := c.frameOf(a)
	b := at.module.resources[a.resource()]
	s := &scope{frame: f}
	s.iterated = iteratedOf(b.body, a.Key, &scope{frame: f})
	return c.stated(b.body, s, 0), true
}

// stated evaluates a body.
func (c *Configuration) stated(b body, s *scope, depth int) cty.Value {
	members := map[string]cty.Value{}
	for _, name := range slices.Sorted(maps.Keys(b.attributes)) {
		if depth == 0 && meta[name] {
			continue
		}
		members[name] = told(c.eval(b.attributes[name].expr, s))
	}
	nested, open := map[string][]cty.Value{}, map[string]bool{}
	for _, n := range b.blocks {
		switch {
		case depth == 0 && meta[n.kind] || depth > maxDepth:
		case n.kind == "dynamic" && len(n.labels) == 1:
			made, known := c.made(n, s)
			if !known {
				open[n.labels[0]] = true
			}
			for _, one := range made {
				nested[n.labels[0]] = append(nested[n.labels[0]], c.stated(one.content.body, one.scope, depth+1))
			}
		default:
			nested[n.kind] = append(nested[n.kind], c.stated(n.body, s, depth+1))
		}
	}
	for kind, list := range nested {
		members[kind] = cty.TupleVal(list)
	}
	for kind := range open {
		members[kind] = cty.DynamicVal
	}
	return cty.ObjectVal(members)
}

// told gives a value as it may be shown: without marks, and unknown when any of it is
// sensitive.
func told(v cty.Value) cty.Value {
	if _, sensitive := blockers(v); sensitive {
		return cty.DynamicVal
	}
	v, _ = v.UnmarkDeep()
	return v
}

// maxMade bounds the nested blocks that one dynamic block makes.
const maxMade = 1000

// generated is one block that a dynamic block makes.
type generated struct {
	content *block
	scope   *scope
}

// made lists the blocks that a dynamic block makes; false when that is not known.
func (c *Configuration) made(d *block, s *scope) ([]generated, bool) {
	each := d.body.attributes["for_each"]
	var content *block
	for _, n := range d.body.blocks {
		if n.kind == "content" {
			content = n
		}
	}
	if each == nil || content == nil {
		return nil, false
	}
	iterator := d.labels[0]
	if own := d.body.attributes["iterator"]; own != nil && parsable(own.expr) {
		if name := hcl.ExprAsKeyword(own.expr); name != "" {
			iterator = name
		}
	}
	all, _ := c.eval(each.expr, s).Unmark()
	if !all.IsKnown() || all.IsNull() || !all.CanIterateElements() || all.LengthInt() > maxMade {
		return nil, false
	}
	var list []generated
	for it := all.ElementIterator(); it.Next(); {
		key, element := it.Element()
		if all.Type().IsSetType() {
			key = element
		}
		list = append(list, generated{content, &scope{frame: s.frame, iterated: s.iterated, bound: &binding{
			name: iterator, dynamic: true, key: key, value: element, from: each.expr, scope: s, previous: s.bound,
		}}})
	}
	return list, true
}

// maxRefers bounds the references that are followed from one attribute.
const maxRefers = 2000

// Refers lists the resources that an attribute of an instance refers to, directly or
// through locals, inputs and outputs. A key is given only where it is written; where it
// is not, the reference is to the resource as a whole or to an instance that is chosen
// while evaluating.
func (c *Configuration) Refers(a Address, attribute string) []Address {
	a = c.follow(a)
	_, at, _, ok := c.locate(a)
	if !ok {
		return nil
	}
	b := at.module.resources[a.resource()]
	attr := b.body.attributes[attribute]
	if attr == nil {
		return nil
	}
	f := c.frameOf(a)
	s := &scope{frame: f}
	s.iterated = iteratedOf(b.body, a.Key, &scope{frame: f})
	r := &referrer{c: c, seen: map[string]bool{}}
	r.expr(attr.expr, s, 0)
	slices.SortFunc(r.found, func(a, b Address) int { return strings.Compare(a.String(), b.String()) })
	return r.found
}

type referrer struct {
	c      *Configuration
	found  []Address
	seen   map[string]bool
	looked int
}

func (r *referrer) expr(expr hcl.Expression, s *scope, depth int) {
	if depth > maxDepth {
		return
	}
	for _, ref := range referencesOf(expr) {
		id := s.frame.address() + " " + traversalID(ref)
		if r.looked++; r.looked > maxRefers || r.seen[id] {
			continue
		}
		r.seen[id] = true
		r.reference(ref, s, depth)
	}
}

func (r *referrer) reference(ref hcl.Traversal, s *scope, depth int) {
	root, name := ref.RootName(), attrName(ref, 1)
	if b := s.binding(root); b != nil {
		r.expr(b.from, b.scope, depth+1)
		return
	}
	switch root {
	case "path", "terraform", "self", "provider", "ephemeral", "count":
	case "each":
		if s.iterated != nil && s.iterated.scope != nil {
			r.expr(s.iterated.attr.expr, s.iterated.scope, depth+1)
		}
	case "local":
		if attr := s.frame.call.module.locals[name]; attr != nil {
			r.expr(attr.expr, &scope{frame: s.frame}, depth+1)
		}
	case "var":
		if expr, inner, _, _ := r.c.given(s.frame, name); expr != nil {
			r.expr(expr, inner, depth+1)
		}
	case "module":
		child := s.frame.call.children[name]
		if child == nil || child.module == nil {
			return
		}
		out := child.module.outputs[output(ref)]
		if out == nil || out.body.attributes["value"] == nil {
			return
		}
		key := cty.NilVal
		if len(ref) > 2 {
			if index, ok := ref[2].(hcl.TraverseIndex); ok {
				key = index.Key
			}
		}
		r.expr(out.body.attributes["value"].expr, &scope{frame: s.frame.child(name, key)}, depth+1)
	default:
		a := Address{Modules: s.frame.steps(), Type: root, Name: name}
		at := 2
		if root == "data" {
			a.Data, a.Type, a.Name, at = true, name, attrName(ref, 2), 3
		}
		if a.Name == "" {
			return
		}
		if len(ref) > at {
			if index, ok := ref[at].(hcl.TraverseIndex); ok {
				a.Key = index.Key
			}
		}
		r.found = append(r.found, a)
	}
}

// steps are the calls from the root to a frame.
func (f *frame) steps() []Step {
	if f.parent == nil {
		return nil
	}
	return append(f.parent.steps(), Step{f.call.name, f.key})
}

// DataInstances lists every instance of a data source, as Instances does for resources.
func (c *Configuration) DataInstances() []Address {
	var list []Address
	seen := map[*module]bool{}
	var walk func(at *call)
	walk = func(at *call) {
		if !seen[at.module] {
			seen[at.module] = true
			for _, key := range at.module.order {
				if strings.HasPrefix(key, "data.") {
					list = append(list, c.instancesOf(at.module, key)...)
				}
			}
		}
		for _, name := range at.module.callOrder {
			if child := at.children[name]; child != nil && child.module != nil {
				walk(child)
			}
		}
	}
	walk(c.root)
	slices.SortFunc(list, func(a, b Address) int { return strings.Compare(a.String(), b.String()) })
	return list
}

// Companion is the field of a finding about something that another resource states: of
// which kind it is, and by which of its attributes it names what it belongs to.
type Companion struct{ Kind, Link string }

// String writes it as a field: "+aws_s3_bucket_public_access_block.bucket".
func (c Companion) String() string { return "+" + c.Kind + "." + c.Link }

// ParseCompanion reads what String writes; false for the path of an attribute.
func ParseCompanion(field string) (Companion, bool) {
	rest, ok := strings.CutPrefix(field, "+")
	kind, link, cut := strings.Cut(rest, ".")
	if !ok || !cut || kind == "" || link == "" {
		return Companion{}, false
	}
	return Companion{kind, link}, true
}

// unreadable stands in a text for a part that is not known; no file holds it.
const unreadable = "\x00\x01unknown\x01\x00"

// Document gives what a JSON document in an attribute holds, with the parts that are not
// known unknown, whether it is encoded from a value, written as text or made of both.
// False when it is none, or nothing of it is known.
func (c *Configuration) Document(a Address, attribute string) (cty.Value, bool) {
	a = c.follow(a)
	_, at, _, ok := c.locate(a)
	if !ok {
		return cty.NilVal, false
	}
	b := at.module.resources[a.resource()]
	attr := b.body.attributes[attribute]
	if attr == nil {
		return cty.NilVal, false
	}
	f := c.frameOf(a)
	s := &scope{frame: f}
	s.iterated = iteratedOf(b.body, a.Key, &scope{frame: f})
	return c.document(attr.expr, s, 0)
}

func (c *Configuration) document(expr hcl.Expression, s *scope, depth int) (cty.Value, bool) {
	if depth > maxDepth {
		return cty.NilVal, false
	}
	if j, ok := fromJSON(expr); ok {
		if j.template != nil {
			return c.document(j.template, s, depth+1)
		}
		return decoded(c.eval(expr, s))
	}
	switch e := bare(expr).(type) {
	case *hclsyntax.ParenthesesExpr:
		return c.document(e.Expression, s, depth+1)
	case *hclsyntax.TemplateWrapExpr:
		return c.document(e.Wrapped, s, depth+1)
	case *hclsyntax.FunctionCallExpr:
		if e.Name == "jsonencode" && len(e.Args) == 1 {
			return told(c.eval(e.Args[0], s)), true
		}
	case *hclsyntax.TemplateExpr:
		var text strings.Builder
		for _, part := range e.Parts {
			v, _ := c.eval(part, s).Unmark()
			if piece, ok := keyText(v); ok {
				text.WriteString(piece)
				continue
			}
			text.WriteString(unreadable)
		}
		return decoded(cty.StringVal(text.String()))
	case *hclsyntax.ScopeTraversalExpr:
		if len(e.Traversal) != 2 || s.binding(e.Traversal.RootName()) != nil {
			break
		}
		name := attrName(e.Traversal, 1)
		switch e.Traversal.RootName() {
		case "local":
			if attr := s.frame.call.module.locals[name]; attr != nil {
				return c.document(attr.expr, &scope{frame: s.frame}, depth+1)
			}
		case "var":
			if from, inner, _, _ := c.given(s.frame, name); from != nil {
				return c.document(from, inner, depth+1)
			}
		}
	}
	return decoded(c.eval(expr, s))
}

// decoded reads a text as JSON.
func decoded(v cty.Value) (cty.Value, bool) {
	v, _ = v.Unmark()
	text, ok := keyText(v)
	if !ok || len(text) > maxText {
		return cty.NilVal, false
	}
	data := []byte(text)
	// A part that is not known stands within quotes, or it is not read.
	data = bytes.ReplaceAll(data, []byte(unreadable), []byte(`\u0000`))
	if line, _ := jsonNesting(data); line > 0 {
		return cty.NilVal, false
	}
	kind, err := ctyjson.ImpliedType(data)
	if err != nil {
		return cty.NilVal, false
	}
	value, err := ctyjson.Unmarshal(data, kind)
	if err != nil {
		return cty.NilVal, false
	}
	value, err = cty.Transform(value, func(_ cty.Path, v cty.Value) (cty.Value, error) {
		if v.IsKnown() && !v.IsNull() && v.Type() == cty.String && strings.Contains(v.AsString(), "\x00") {
			return cty.UnknownVal(cty.String), nil
		}
		return v, nil
	})
	return value, err == nil
}
