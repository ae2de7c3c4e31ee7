package terraform

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/typeexpr"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// blocked marks an unknown value with the name that would have to be known.
type blocked string

// secret marks a sensitive value.
type secret struct{}

// assigned is a root variable's value from a file of variables.
type assigned struct {
	expr  hcl.Expression
	place Place
}

// frame is one instance of a module call.
type frame struct {
	call   *call
	parent *frame
	key    cty.Value // cty.NilVal for a call without count and for_each
	memo   map[string]cty.Value
	busy   map[string]bool
	kids   map[string]*frame
}

// child gives the frame of a call inside this one.
func (f *frame) child(name string, key cty.Value) *frame {
	id := name + indexText(key)
	if kid := f.kids[id]; kid != nil {
		return kid
	}
	kid := newFrame(f.call.children[name], f, key)
	f.kids[id] = kid
	return kid
}

func newFrame(c *call, parent *frame, key cty.Value) *frame {
	return &frame{call: c, parent: parent, key: key, memo: map[string]cty.Value{}, busy: map[string]bool{}, kids: map[string]*frame{}}
}

// address of the module instance, with keys.
func (f *frame) address() string {
	if f.parent == nil {
		return ""
	}
	own := "module." + f.call.name + indexText(f.key)
	if above := f.parent.address(); above != "" {
		return above + "." + own
	}
	return own
}

// scope is what an expression can refer to.
type scope struct {
	frame    *frame
	iterated *iterated // of the block that holds the expression
	bound    *binding
}

// iterated is the count or for_each of a block and the key of the instance.
type iterated struct {
	attr  *attribute
	count bool
	key   cty.Value // cty.NilVal when the instance is not known
	scope *scope    // of attr
}

// binding is a name that a for expression or a dynamic block brings: an element
// of a collection, by its key.
type binding struct {
	name     string
	isKey    bool
	dynamic  bool // name.key and name.value
	key      cty.Value
	value    cty.Value
	from     hcl.Expression // the collection
	scope    *scope         // of from
	previous *binding
}

func (s *scope) binding(name string) *binding {
	for b := s.bound; b != nil; b = b.previous {
		if b.name == name {
			return b
		}
	}
	return nil
}

func unknown(name string) cty.Value { return cty.DynamicVal.Mark(blocked(name)) }

// blockers lists the names that keep a value unknown, sorted, and whether it is
// sensitive.
func blockers(v cty.Value) (names []string, sensitive bool) {
	_, marks := v.UnmarkDeep()
	for mark := range marks {
		switch m := mark.(type) {
		case blocked:
			names = append(names, string(m))
		case secret:
			sensitive = true
		}
	}
	slices.Sort(names)
	return names, sensitive
}

// maxEvaluations bounds the expressions that are evaluated for one configuration,
// so that no configuration keeps the process busy for long.
const maxEvaluations = 2_000_000

// maxChain bounds how far values lead to others.
const maxChain = 1000

// eval gives the value of an expression; what cannot be told is unknown, marked
// with the names that block it.
func (c *Configuration) eval(expr hcl.Expression, s *scope) cty.Value {
	if c.budget++; c.budget > maxEvaluations {
		return unknown("a configuration of this size")
	}
	if c.depth++; c.depth > maxChain {
		c.depth--
		return unknown("a chain of this length")
	}
	defer func() { c.depth-- }()
	if native, ok := fromJSON(expr); ok {
		value := c.evalJSON(native, s)
		if new(sizes).over(value, 0) {
			return unknown("a value of this size")
		}
		return value
	}
	references := expr.Variables()
	context, extra := c.context(expr, references, s)
	if len(references) > 64 {
		bytes := 0
		for _, value := range context.Variables {
			more, _ := texts(value)
			bytes += more
		}
		if len(references)*bytes > 16*maxText {
			return unknown("a value of this size")
		}
	}
	value, diags := expr.Value(context)
	if new(sizes).over(value, 0) {
		return unknown("a value of this size")
	}
	if diags.HasErrors() {
		// Unknown values inside may be what makes it fail.
		if len(extra) > 0 {
			value = cty.DynamicVal
			for _, name := range extra {
				value = value.Mark(blocked(name))
			}
			return value
		}
		r := expr.Range()
		return unknown(fmt.Sprintf("%s:%d: %s", r.Filename, r.Start.Line, diags[0].Summary))
	}
	return value
}

// context makes what an expression refers to, and lists the names in it that are
// unknown.
func (c *Configuration) context(expr hcl.Expression, references []hcl.Traversal, s *scope) (*hcl.EvalContext, []string) {
	groups := map[string]map[string]cty.Value{}
	roots := map[string]cty.Value{}
	put := func(root, name string, value cty.Value) {
		if groups[root] == nil {
			groups[root] = map[string]cty.Value{}
		}
		groups[root][name] = value
	}
	resources := map[string]map[string]bool{} // "type.name" -> attributes, "" for all
	outputs := map[string]map[string]bool{}
	for _, t := range references {
		root, name := t.RootName(), attrName(t, 1)
		if b := s.binding(root); b != nil {
			roots[root] = b.whole()
			continue
		}
		switch root {
		case "var":
			if name != "" {
				put(root, name, c.variable(s.frame, name))
			}
		case "local":
			if name != "" {
				put(root, name, c.local(s.frame, name))
			}
		case "each":
			put(root, "key", c.each(s, false))
			put(root, "value", c.each(s, true))
		case "count":
			put(root, "index", c.each(s, false))
		case "path":
			roots[root] = cty.ObjectVal(map[string]cty.Value{
				"module": cty.StringVal(dot(s.frame.call.module.dir)), "root": cty.StringVal(dot(c.Dir)), "cwd": unknown("path.cwd"),
			})
		case "terraform":
			workspace := unknown("terraform.workspace")
			if c.options.Workspace != "" {
				workspace = cty.StringVal(c.options.Workspace)
			}
			roots[root] = cty.ObjectVal(map[string]cty.Value{"workspace": workspace, "env": workspace, "applying": unknown("terraform.applying")})
		case "module":
			if name != "" {
				note(outputs, name, output(t))
			}
		case "data":
			if second := attrName(t, 2); second != "" {
				put("data."+name, second, unknown("data."+name+"."+second))
			}
		case "self", "provider", "ephemeral":
			roots[root] = unknown(root)
		default:
			if name != "" {
				note(resources, root+"."+name, output(t))
			} else {
				roots[root] = unknown(root)
			}
		}
	}
	for name, wanted := range outputs {
		put("module", name, c.moduleValue(s.frame, name, wanted))
	}
	for key, wanted := range resources {
		kind, name, _ := strings.Cut(key, ".")
		put(kind, name, c.resourceValue(s.frame, key, wanted))
	}
	data := map[string]cty.Value{}
	for root, members := range groups {
		if kind, ok := strings.CutPrefix(root, "data."); ok {
			data[kind] = cty.ObjectVal(members)
			continue
		}
		roots[root] = cty.ObjectVal(members)
	}
	if len(data) > 0 {
		roots["data"] = cty.ObjectVal(data)
	}
	var names []string
	for _, value := range roots {
		more, _ := blockers(value)
		names = append(names, more...)
	}
	slices.Sort(names)
	return &hcl.EvalContext{Variables: roots, Functions: functionsOf(expr)}, slices.Compact(names)
}

func note(into map[string]map[string]bool, key, attr string) {
	if into[key] == nil {
		into[key] = map[string]bool{}
	}
	into[key][attr] = true
}

func dot(dir string) string {
	if dir == "" {
		return "."
	}
	return dir
}

// attrName gives the name at a place of a traversal, "" when there is none.
func attrName(t hcl.Traversal, at int) string {
	if at < len(t) {
		if attr, ok := t[at].(hcl.TraverseAttr); ok {
			return attr.Name
		}
	}
	return ""
}

// output gives the attribute that a reference to a module or resource is about,
// past an instance key.
func output(t hcl.Traversal) string {
	if name := attrName(t, 2); name != "" {
		return name
	}
	if len(t) > 2 {
		if _, ok := t[2].(hcl.TraverseIndex); ok {
			return attrName(t, 3)
		}
	}
	return ""
}

// whole is the value of a bound name.
func (b *binding) whole() cty.Value {
	if !b.dynamic {
		if b.isKey {
			return b.key
		}
		return b.value
	}
	return cty.ObjectVal(map[string]cty.Value{"key": b.key, "value": b.value})
}

// once computes a value of a frame, and unknown for one that needs itself.
func (f *frame) once(name string, compute func() cty.Value) cty.Value {
	if value, ok := f.memo[name]; ok {
		return value
	}
	if f.busy[name] {
		return unknown(name + ", which refers to itself")
	}
	f.busy[name] = true
	value := compute()
	delete(f.busy, name)
	f.memo[name] = value
	return value
}

// given finds the expression that a variable takes its value from: the call's
// argument, a file of variables or the default.
func (c *Configuration) given(f *frame, name string) (expr hcl.Expression, s *scope, how string, place Place) {
	declared := f.call.module.variables[name]
	if f.parent == nil {
		if value, ok := c.vars[name]; ok {
			return value.expr, &scope{frame: f}, "tfvars", value.place
		}
	} else if argument := f.call.declared.body.attributes[name]; argument != nil {
		return argument.expr, c.callScope(f), "input", argument.place
	}
	if declared != nil {
		if def := declared.body.attributes["default"]; def != nil {
			return def.expr, &scope{frame: f}, "default", def.place
		}
	}
	return nil, nil, "", Place{}
}

// callScope is the scope of the arguments of the call that a frame is.
func (c *Configuration) callScope(f *frame) *scope {
	s := &scope{frame: f.parent}
	s.iterated = iteratedOf(f.call.declared.body, f.key, &scope{frame: f.parent})
	return s
}

func iteratedOf(b body, key cty.Value, s *scope) *iterated {
	if attr := b.attributes["for_each"]; attr != nil {
		return &iterated{attr, false, key, s}
	}
	if attr := b.attributes["count"]; attr != nil {
		return &iterated{attr, true, key, s}
	}
	return nil
}

// variable gives a variable's value in a frame, converted to its type.
func (c *Configuration) variable(f *frame, name string) cty.Value {
	return f.once("var."+name, func() cty.Value {
		declared := f.call.module.variables[name]
		expr, s, _, _ := c.given(f, name)
		if expr == nil {
			at := f.address()
			if at != "" {
				at += "."
			}
			return unknown(at + "var." + name)
		}
		value := c.eval(expr, s)
		if declared == nil {
			return value
		}
		if plain, _ := value.Unmark(); plain.IsKnown() && plain.IsNull() && isFalse(declared.body.attributes["nullable"]) {
			if def := declared.body.attributes["default"]; def != nil {
				value = c.eval(def.expr, &scope{frame: f})
			}
		}
		if kind := declared.body.attributes["type"]; kind != nil && parsable(kind.expr) {
			if want, defaults, diags := typeexpr.TypeConstraintWithDefaults(kind.expr); !diags.HasErrors() {
				if defaults != nil && value.IsKnown() && !value.IsMarked() && !value.IsNull() {
					value = defaults.Apply(value)
				}
				if converted, err := convert.Convert(value, want); err == nil {
					value = converted
				}
			}
		}
		if isTrue(declared.body.attributes["sensitive"]) {
			value = value.Mark(secret{})
		}
		return value
	})
}

func isTrue(a *attribute) bool  { return isBool(a, cty.True) }
func isFalse(a *attribute) bool { return isBool(a, cty.False) }

func isBool(a *attribute, want cty.Value) bool {
	if a == nil {
		return false
	}
	value, diags := a.expr.Value(nil)
	return !diags.HasErrors() && value.RawEquals(want)
}

// local gives a local value of a frame.
func (c *Configuration) local(f *frame, name string) cty.Value {
	return f.once("local."+name, func() cty.Value {
		attr := f.call.module.locals[name]
		if attr == nil {
			return unknown("local." + name)
		}
		return c.eval(attr.expr, &scope{frame: f})
	})
}

// each gives each.key (or count.index), or each.value.
func (c *Configuration) each(s *scope, value bool) cty.Value {
	if s.iterated == nil || s.iterated.key == cty.NilVal {
		return unknown("the instance's key")
	}
	if !value || s.iterated.count {
		return s.iterated.key
	}
	all := c.eval(s.iterated.attr.expr, s.iterated.scope)
	return elementAt(all, s.iterated.key)
}

// elementAt gives the element of a collection under a key; of a set the key
// itself.
func elementAt(all, key cty.Value) cty.Value {
	plain, marks := all.Unmark()
	key, _ = key.Unmark()
	switch {
	case !plain.IsKnown() || plain.IsNull():
		return cty.DynamicVal.WithMarks(marks)
	case plain.Type().IsSetType():
		return key.WithMarks(marks)
	case plain.Type().IsObjectType():
		if text, err := convert.Convert(key, cty.String); err == nil && text.IsKnown() && !text.IsNull() && plain.Type().HasAttribute(text.AsString()) {
			return plain.GetAttr(text.AsString()).WithMarks(marks)
		}
	case plain.Type().IsMapType(), plain.Type().IsListType(), plain.Type().IsTupleType():
		want := cty.Number
		if plain.Type().IsMapType() {
			want = cty.String
		}
		if at, err := convert.Convert(key, want); err == nil && at.IsKnown() && !at.IsNull() && plain.HasIndex(at).True() {
			return plain.Index(at).WithMarks(marks)
		}
	}
	return cty.DynamicVal.WithMarks(marks)
}

// maxInstances bounds the instances of one block.
const maxInstances = 10_000

// instanceKeys lists the keys of a block's instances; nil and false when count or
// for_each is not known. A block without either has one instance of cty.NilVal.
func (c *Configuration) instanceKeys(b body, s *scope) ([]cty.Value, bool) {
	loop := iteratedOf(b, cty.NilVal, s)
	if loop == nil {
		return []cty.Value{cty.NilVal}, true
	}
	value, _ := c.eval(loop.attr.expr, s).Unmark()
	if !value.IsKnown() || value.IsNull() {
		return nil, false
	}
	if loop.count {
		number, err := convert.Convert(value, cty.Number)
		if err != nil || !number.IsKnown() || number.IsNull() {
			return nil, false
		}
		n, _ := number.AsBigFloat().Int64()
		if n < 0 || n > maxInstances {
			return nil, false
		}
		keys := make([]cty.Value, n)
		for i := range keys {
			keys[i] = cty.NumberIntVal(int64(i))
		}
		return keys, true
	}
	if !value.CanIterateElements() || value.LengthInt() > maxInstances {
		return nil, false
	}
	var keys []cty.Value
	for it := value.ElementIterator(); it.Next(); {
		key, element := it.Element()
		if value.Type().IsSetType() {
			key = element
		}
		key, _ = key.Unmark()
		if !key.IsKnown() || key.IsNull() {
			return nil, false
		}
		keys = append(keys, key)
	}
	return keys, true
}

// moduleValue gives the outputs of a module call that are wanted.
func (c *Configuration) moduleValue(f *frame, name string, wanted map[string]bool) cty.Value {
	child := f.call.children[name]
	if child == nil || child.module == nil {
		return unknown("module." + name)
	}
	keys, ok := c.instanceKeys(child.declared.body, &scope{frame: f})
	if !ok {
		return unknown("the instances of module." + name)
	}
	one := func(key cty.Value) cty.Value {
		of := f.child(name, key)
		members := map[string]cty.Value{}
		for out := range child.module.outputs {
			if wanted[""] || wanted[out] {
				members[out] = c.outputValue(of, out)
			}
		}
		for out := range wanted {
			if out != "" && child.module.outputs[out] == nil {
				members[out] = unknown("module." + name + "." + out)
			}
		}
		return cty.ObjectVal(members)
	}
	return collected(child.declared.body, keys, one)
}

// collected makes the value of all instances of a block.
func collected(b body, keys []cty.Value, one func(key cty.Value) cty.Value) cty.Value {
	switch {
	case b.attributes["for_each"] != nil:
		members := map[string]cty.Value{}
		for _, key := range keys {
			if text, err := convert.Convert(key, cty.String); err == nil {
				members[text.AsString()] = one(key)
			}
		}
		return cty.ObjectVal(members)
	case b.attributes["count"] != nil:
		members := make([]cty.Value, len(keys))
		for i, key := range keys {
			members[i] = one(key)
		}
		return cty.TupleVal(members)
	}
	return one(cty.NilVal)
}

func (c *Configuration) outputValue(f *frame, name string) cty.Value {
	return f.once("output."+name, func() cty.Value {
		declared := f.call.module.outputs[name]
		if declared == nil || declared.body.attributes["value"] == nil {
			return unknown("output " + name)
		}
		value := c.eval(declared.body.attributes["value"].expr, &scope{frame: f})
		if isTrue(declared.body.attributes["sensitive"]) {
			value = value.Mark(secret{})
		}
		return value
	})
}

// resourceValue gives the attributes of a resource that are wanted, as far as the
// configuration states them; the provider computes the others.
func (c *Configuration) resourceValue(f *frame, key string, wanted map[string]bool) cty.Value {
	b := f.call.module.resources[key]
	if b == nil || wanted[""] {
		return unknown(key)
	}
	keys, ok := c.instanceKeys(b.body, &scope{frame: f})
	if !ok {
		return unknown("the instances of " + key)
	}
	return collected(b.body, keys, func(instance cty.Value) cty.Value {
		s := &scope{frame: f, iterated: iteratedOf(b.body, instance, &scope{frame: f})}
		members := map[string]cty.Value{}
		for name := range wanted {
			attr := b.body.attributes[name]
			if attr == nil {
				members[name] = unknown(key + "." + name)
				continue
			}
			members[name] = f.once("resource."+key+indexText(instance)+"."+name, func() cty.Value { return c.eval(attr.expr, s) })
		}
		return cty.ObjectVal(members)
	})
}

// jsonExpr is an expression of the JSON syntax, taken apart.
type jsonExpr struct {
	pairs    []hcl.KeyValuePair
	list     []hcl.Expression
	template hclsyntax.Expression
	value    cty.Value
	r        hcl.Range
}

// fromJSON takes an expression of the JSON syntax apart; false for a native one.
func fromJSON(expr hcl.Expression) (*jsonExpr, bool) {
	if _, native := expr.(hclsyntax.Expression); native || expr == nil {
		return nil, false
	}
	j := &jsonExpr{r: expr.Range()}
	if pairs, diags := hcl.ExprMap(expr); !diags.HasErrors() {
		j.pairs = pairs
		return j, true
	}
	if list, diags := hcl.ExprList(expr); !diags.HasErrors() {
		j.list = list
		return j, true
	}
	value, diags := expr.Value(nil)
	if diags.HasErrors() {
		j.value = unknown(fmt.Sprintf("%s:%d", j.r.Filename, j.r.Start.Line))
		return j, true
	}
	j.value = value
	if value.Type() == cty.String && value.IsKnown() && !value.IsNull() && strings.ContainsAny(value.AsString(), "$%") {
		text := []byte(value.AsString())
		if line, _ := nesting(j.r.Filename, text, true); line == 0 {
			start := j.r.Start
			start.Column++
			start.Byte++
			if template, diags := hclsyntax.ParseTemplate(text, j.r.Filename, start); !diags.HasErrors() {
				j.template = template
			}
		}
	}
	return j, true
}

// references lists the names in an expression of either syntax.
func referencesOf(expr hcl.Expression) (all []hcl.Traversal) {
	j, ok := fromJSON(expr)
	if !ok {
		return expr.Variables()
	}
	for _, pair := range j.pairs {
		all = append(all, referencesOf(pair.Value)...)
	}
	for _, element := range j.list {
		all = append(all, referencesOf(element)...)
	}
	if j.template != nil {
		all = append(all, j.template.Variables()...)
	}
	return all
}

func (c *Configuration) evalJSON(j *jsonExpr, s *scope) cty.Value {
	switch {
	case j.pairs != nil:
		members := map[string]cty.Value{}
		for _, pair := range j.pairs {
			key, diags := pair.Key.Value(nil)
			if diags.HasErrors() || key.Type() != cty.String || !key.IsKnown() {
				return unknown(fmt.Sprintf("%s:%d", j.r.Filename, j.r.Start.Line))
			}
			members[key.AsString()] = c.eval(pair.Value, s)
		}
		return cty.ObjectVal(members)
	case j.list != nil:
		members := make([]cty.Value, len(j.list))
		for i, element := range j.list {
			members[i] = c.eval(element, s)
		}
		return cty.TupleVal(members)
	case j.template != nil:
		return c.eval(j.template, s)
	}
	return j.value
}
