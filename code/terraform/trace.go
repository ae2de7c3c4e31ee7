package terraform

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
)

// Statuses of a trace.
const (
	TraceFound   = "found"   // the literals that decide are known
	TraceUnknown = "unknown" // Missing names what blocks
	TraceAbsent  = "absent"  // the configuration says nothing; the provider's own default holds
)

// Kinds of steps.
const (
	StepAttribute = "attribute" // of the resource
	StepBlock     = "block"     // a nested block
	StepReference = "reference" // to a variable, local, output, resource
	StepInput     = "input"     // argument of a module call
	StepDefault   = "default"   // of a variable, or of an optional attribute of its type
	StepVarFile   = "tfvars"    // value in a file of variables
	StepLocal     = "local"
	StepOutput    = "output"
	StepElement   = "element" // member of an object, list or for_each
	StepBranch    = "branch"  // of a conditional
	StepFunction  = "function"
	StepTemplate  = "template"
	StepLiteral   = "literal"
)

// TraceStep is one link from the attribute to the literal.
type TraceStep struct {
	Kind   string `json:"kind"`
	Name   string `json:"name"`
	Module string `json:"module"` // module instance, "" for the root
	Place  Place  `json:"place"`
}

// Trace is where an attribute's value comes from.
type Trace struct {
	Address   string      `json:"address"`
	Attribute string      `json:"attribute"`
	Status    string      `json:"status"`
	Value     string      `json:"value,omitempty"` // as JSON; empty when unknown or sensitive
	Sensitive bool        `json:"sensitive,omitempty"`
	Steps     []TraceStep `json:"steps"`
	// Origins are the literals that decide, the first the main one; several when
	// the value is put together.
	Origins []TraceStep `json:"origins"`
	// Controls are the literals that chose a branch or an instance on the way.
	Controls []TraceStep `json:"controls,omitempty"`
	Missing  []string    `json:"missing,omitempty"`
	// Elsewhere are places in files of variables that were not given, and that set a
	// variable on the way: where one of them is given, it decides.
	Elsewhere []Place `json:"elsewhere,omitempty"`
	// Shared are other instances whose same attribute the main literal decides.
	Shared []string `json:"shared,omitempty"`

	value cty.Value
}

// Known gives the value when it is known and not sensitive.
func (t *Trace) Known() (cty.Value, bool) {
	if t.value == cty.NilVal || t.Sensitive || !t.value.IsWhollyKnown() {
		return cty.NilVal, false
	}
	return t.value, true
}

// Bounds of one trace: how long a way is, and how many expressions are looked at.
const (
	maxTrace  = 400
	maxFollow = 20_000
)

// tracer follows one value.
type tracer struct {
	c      *Configuration
	trace  *Trace
	depth  int
	looked int
	// followed are the references of lists and objects that were followed as a whole.
	followed map[string]bool
	control  bool // following a condition: origins go to the controls
	quiet    int
}

// Trace follows an attribute of a resource instance to the literal that decides
// it. Where the address lacks a key that a block with count or for_each needs, the
// trace goes as far as it is the same for all instances.
func (c *Configuration) Trace(a Address, attribute []cty.Value) Trace {
	t := c.Origin(a, attribute)
	if t.Status == TraceFound && len(t.Origins) > 0 {
		t.Shared = c.shared(a, attribute, t.Origins[0].Place)
	}
	return t
}

// Origin is Trace without looking for the other instances that share the literal.
func (c *Configuration) Origin(a Address, attribute []cty.Value) Trace {
	a = c.follow(a)
	trace := Trace{Address: a.String(), Attribute: pathText(attribute), Status: TraceUnknown, Steps: []TraceStep{}, Origins: []TraceStep{}, value: cty.NilVal}
	_, at, missing, ok := c.locate(a)
	if !ok {
		trace.Missing = missing
		return trace
	}
	frame := c.frameOf(a)
	block := at.module.resources[a.resource()]
	s := &scope{frame: frame}
	s.iterated = iteratedOf(block.body, a.Key, &scope{frame: frame})
	t := &tracer{c: c, trace: &trace}
	if len(attribute) == 0 {
		t.step(StepBlock, a.resource(), frame, block.place)
		trace.Status = TraceFound
		return trace
	}
	if part := c.unmade(a); part != "" {
		trace.Missing = append(trace.Missing, fmt.Sprintf("with the variables that are known there is no %s: other files of variables or another commit may give it", part))
		return trace
	}
	t.body(block.body, s, attribute)
	switch {
	case trace.Status == TraceAbsent:
	case len(trace.Missing) > 0 || len(trace.Origins) == 0:
		trace.Status = TraceUnknown
	default:
		trace.Status = TraceFound
	}
	slices.Sort(trace.Missing)
	trace.Missing = slices.Compact(trace.Missing)
	if trace.value != cty.NilVal {
		if _, sensitive := blockers(trace.value); sensitive {
			trace.Sensitive = true
		}
		trace.value, _ = trace.value.UnmarkDeep()
		if !trace.Sensitive {
			trace.Value = jsonText(trace.value)
		}
	}
	return trace
}

// unmade gives the part of an address up to the first key that the configuration
// does not make, "" when it makes all or that is not known.
func (c *Configuration) unmade(a Address) string {
	made := func(b body, f *frame, key cty.Value) bool {
		if key == cty.NilVal || iteratedOf(b, cty.NilVal, nil) == nil {
			return true
		}
		keys, known := c.instanceKeys(b, &scope{frame: f})
		return !known || slices.ContainsFunc(keys, func(k cty.Value) bool { return sameValue(k, key) })
	}
	f, part := c.frameOf(Address{}), ""
	for _, step := range a.Modules {
		part += "module." + step.Name + indexText(step.Key)
		child := f.call.children[step.Name]
		if child == nil || child.module == nil {
			return ""
		}
		if !made(child.declared.body, f, step.Key) {
			return part
		}
		part += "."
		f = f.child(step.Name, step.Key)
	}
	if b := f.call.module.resources[a.resource()]; b != nil && !made(b.body, f, a.Key) {
		return a.String()
	}
	return ""
}

// frameOf gives the frame of an address's module. A call with count or for_each
// whose key the address lacks gets the key when there is only one.
func (c *Configuration) frameOf(a Address) *frame {
	if c.root != nil && c.rootFrame == nil {
		c.rootFrame = newFrame(c.root, nil, cty.NilVal)
	}
	f := c.rootFrame
	for _, step := range a.Modules {
		f = f.child(step.Name, step.Key)
	}
	return f
}

func (t *tracer) step(kind, name string, f *frame, place Place) {
	if t.quiet > 0 {
		return
	}
	if len(t.trace.Steps) < maxTrace {
		t.trace.Steps = append(t.trace.Steps, TraceStep{kind, name, f.address(), place})
	}
}

func (t *tracer) origin(kind, name string, f *frame, place Place) {
	step := TraceStep{kind, name, f.address(), place}
	into := &t.trace.Origins
	if t.control {
		into = &t.trace.Controls
	} else {
		t.step(kind, name, f, place)
	}
	if !slices.Contains(*into, step) && len(*into) < maxTrace {
		*into = append(*into, step)
	}
}

func (t *tracer) missing(names ...string) {
	if t.control {
		return
	}
	t.trace.Missing = append(t.trace.Missing, names...)
}

// body follows a path into a resource or nested block.
func (t *tracer) body(b body, s *scope, path []cty.Value) {
	name, _ := keyText(path[0])
	if attr := b.attributes[name]; attr != nil {
		t.step(StepAttribute, name, s.frame, attr.place)
		t.value(attr.expr, s, path[1:])
		return
	}
	index, rest := 0, path[1:]
	if len(rest) > 0 {
		if n, ok := asNumber(rest[0]); ok {
			index, rest = n, rest[1:]
		}
	}
	met := false
	for _, nested := range b.blocks {
		switch {
		case nested.kind == name:
			met = true
			if index > 0 {
				index--
				continue
			}
			t.step(StepBlock, name, s.frame, nested.place)
			if len(rest) == 0 {
				t.origin(StepLiteral, name, s.frame, nested.place)
				return
			}
			t.body(nested.body, s, rest)
			return
		case nested.kind == "dynamic" && len(nested.labels) == 1 && nested.labels[0] == name:
			met = true
			if done := t.dynamic(nested, s, &index, rest); done {
				return
			}
		}
	}
	if !met && !t.control {
		t.trace.Status = TraceAbsent
		t.missing(name + " is not set in the configuration")
		return
	}
	t.missing(fmt.Sprintf("there is no %s number %s", name, pathText(path[1:])))
}

// dynamic follows a path into the blocks that a dynamic block makes; it counts
// index down by those that it passes.
func (t *tracer) dynamic(d *block, s *scope, index *int, rest []cty.Value) bool {
	each := d.body.attributes["for_each"]
	var content *block
	for _, nested := range d.body.blocks {
		if nested.kind == "content" {
			content = nested
		}
	}
	if each == nil || content == nil {
		return false
	}
	iterator := d.labels[0]
	if own := d.body.attributes["iterator"]; own != nil && parsable(own.expr) {
		if name := hcl.ExprAsKeyword(own.expr); name != "" {
			iterator = name
		}
	}
	all := t.c.eval(each.expr, s)
	plain, _ := all.Unmark()
	if !plain.IsKnown() || plain.IsNull() || !plain.CanIterateElements() {
		names, _ := blockers(all)
		t.missing(orElse(names, "the blocks of dynamic "+d.labels[0])...)
		return true
	}
	for it := plain.ElementIterator(); it.Next(); {
		key, element := it.Element()
		if *index > 0 {
			*index--
			continue
		}
		if plain.Type().IsSetType() {
			key = element
		}
		inner := &scope{frame: s.frame, iterated: s.iterated, bound: &binding{
			name: iterator, dynamic: true, key: key, value: element, from: each.expr, scope: s, previous: s.bound,
		}}
		t.step(StepBlock, "dynamic "+d.labels[0], s.frame, d.place)
		t.chose(each.expr, s)
		if len(rest) == 0 {
			t.origin(StepLiteral, d.labels[0], s.frame, content.place)
			return true
		}
		t.body(content.body, inner, rest)
		return true
	}
	return false
}

func orElse(names []string, other string) []string {
	if len(names) == 0 {
		return []string{other}
	}
	return names
}

// chose follows what decided about a branch or an instance; its literals become
// controls.
func (t *tracer) chose(expr hcl.Expression, s *scope) {
	if t.control || t.depth > maxDepth*4 {
		return
	}
	t.control = true
	t.quiet++
	t.leaves(expr, s)
	t.quiet--
	t.control = false
}

// leaves follows every reference in an expression.
func (t *tracer) leaves(expr hcl.Expression, s *scope) {
	seen := map[string]bool{}
	for _, traversal := range referencesOf(expr) {
		id := traversalID(traversal)
		if seen[id] || s.binding(traversal.RootName()) != nil {
			continue
		}
		seen[id] = true
		t.traversal(traversal, s, nil, placeOf(traversal.SourceRange()))
	}
}

func traversalID(t hcl.Traversal) string {
	id := ""
	for _, step := range t {
		switch s := step.(type) {
		case hcl.TraverseRoot:
			id = s.Name
		case hcl.TraverseAttr:
			id += "." + s.Name
		case hcl.TraverseIndex:
			id += indexText(s.Key)
		}
	}
	return id
}

// value follows an expression, at a path into its value, and remembers the value
// of the outermost one.
func (t *tracer) value(expr hcl.Expression, s *scope, path []cty.Value) {
	whole := t.c.eval(expr, s)
	at := whole
	for _, key := range path {
		if plain, _ := at.Unmark(); !plain.IsKnown() {
			break
		}
		at = elementAt(at, key)
	}
	t.trace.value = at
	t.expr(expr, s, path)
	if len(t.trace.Missing) == 0 && len(t.trace.Origins) == 0 {
		names, _ := blockers(at)
		t.missing(orElse(names, "the value's origin")...)
	}
}

// expr follows an expression at a path into its value.
func (t *tracer) expr(expr hcl.Expression, s *scope, path []cty.Value) {
	if t.depth++; !t.within() {
		t.depth--
		return
	}
	defer func() { t.depth-- }()
	if j, ok := fromJSON(expr); ok {
		t.json(j, s, path)
		return
	}
	place := placeOf(expr.Range())
	switch e := bare(expr).(type) {
	case *hclsyntax.LiteralValueExpr:
		t.origin(StepLiteral, "", s.frame, place)
	case *hclsyntax.TemplateExpr:
		t.template(e, s)
	case *hclsyntax.TemplateWrapExpr:
		t.expr(e.Wrapped, s, path)
	case *hclsyntax.ParenthesesExpr:
		t.expr(e.Expression, s, path)
	case *hclsyntax.ObjectConsKeyExpr:
		t.expr(e.Wrapped, s, path)
	case *hclsyntax.ScopeTraversalExpr:
		t.traversal(e.Traversal, s, path, place)
	case *hclsyntax.RelativeTraversalExpr:
		t.expr(e.Source, s, append(steps(e.Traversal), path...))
	case *hclsyntax.IndexExpr:
		key := t.c.eval(e.Key, s)
		if plain, _ := key.Unmark(); !plain.IsKnown() || plain.IsNull() {
			names, _ := blockers(key)
			t.missing(orElse(names, "an index")...)
			return
		}
		t.chose(e.Key, s)
		t.expr(e.Collection, s, append([]cty.Value{key}, path...))
	case *hclsyntax.SplatExpr:
		t.splat(e, s, path)
	case *hclsyntax.ConditionalExpr:
		t.conditional(e, s, path)
	case *hclsyntax.ObjectConsExpr:
		t.object(e, s, path)
	case *hclsyntax.TupleConsExpr:
		if len(path) == 0 {
			t.members(e.Exprs, s, place)
			return
		}
		if n, ok := asNumber(path[0]); ok && n < len(e.Exprs) {
			t.step(StepElement, pathText(path[:1]), s.frame, placeOf(e.Exprs[n].Range()))
			t.expr(e.Exprs[n], s, path[1:])
			return
		}
		// The element of a set is found by its value.
		for _, element := range e.Exprs {
			if sameValue(t.c.eval(element, s), path[0]) {
				t.expr(element, s, path[1:])
				return
			}
		}
		t.missing("there is no element " + pathText(path[:1]))
	case *hclsyntax.ForExpr:
		t.loop(e, s, path)
	case *hclsyntax.FunctionCallExpr:
		t.call(e, s, path)
	case *hclsyntax.BinaryOpExpr, *hclsyntax.UnaryOpExpr:
		t.parts(expr, s, StepFunction, "operator")
	default:
		t.parts(expr, s, StepFunction, "expression")
	}
}

// within says whether the trace may go on.
func (t *tracer) within() bool {
	if t.looked++; t.depth <= maxTrace && t.looked <= maxFollow {
		return true
	}
	if !slices.Contains(t.trace.Missing, tooMany) {
		t.missing(tooMany)
	}
	return false
}

const tooMany = "more steps than are followed"

// members follows a list or object as a whole: one member to where it comes from,
// several to where they stand together and then to where those that are references
// come from, since any of them may be the one that is meant.
func (t *tracer) members(all []hclsyntax.Expression, s *scope, place Place) {
	if len(all) == 1 && len(referencesOf(all[0])) > 0 {
		t.expr(all[0], s, nil)
		return
	}
	t.origin(StepLiteral, "", s.frame, place)
	for _, member := range all {
		fresh := false
		for _, reference := range referencesOf(member) {
			id := s.frame.address() + " " + traversalID(reference)
			fresh = fresh || !t.followed[id] || s.binding(reference.RootName()) != nil
			if t.followed == nil {
				t.followed = map[string]bool{}
			}
			t.followed[id] = true
		}
		if fresh {
			t.expr(member, s, nil)
		}
	}
}

// parts follows everything that an expression is computed from; without a
// reference it is a literal itself.
func (t *tracer) parts(expr hcl.Expression, s *scope, kind, name string) {
	before := len(t.trace.Origins) + len(t.trace.Missing)
	t.step(kind, name, s.frame, placeOf(expr.Range()))
	references := false
	seen := map[string]bool{}
	for _, traversal := range referencesOf(expr) {
		id := traversalID(traversal)
		if seen[id] {
			continue
		}
		seen[id] = true
		references = true
		t.traversal(traversal, s, nil, placeOf(traversal.SourceRange()))
	}
	value := t.c.eval(expr, s)
	if names, _ := blockers(value); len(names) > 0 {
		t.missing(names...)
	}
	if !references || len(t.trace.Origins)+len(t.trace.Missing) == before && !t.control {
		t.origin(StepLiteral, "", s.frame, placeOf(expr.Range()))
	}
}

func (t *tracer) template(e *hclsyntax.TemplateExpr, s *scope) {
	if len(e.Variables()) == 0 {
		t.origin(StepLiteral, "", s.frame, placeOf(e.Range()))
		return
	}
	if len(e.Parts) == 1 {
		t.expr(e.Parts[0], s, nil)
		return
	}
	t.parts(e, s, StepTemplate, "")
	t.origin(StepLiteral, "template", s.frame, placeOf(e.Range()))
}

func (t *tracer) conditional(e *hclsyntax.ConditionalExpr, s *scope, path []cty.Value) {
	condition := t.c.eval(e.Condition, s)
	plain, _ := condition.Unmark()
	if is, err := convert.Convert(plain, cty.Bool); err == nil && is.IsKnown() && !is.IsNull() {
		t.chose(e.Condition, s)
		branch := e.FalseResult
		if is.True() {
			branch = e.TrueResult
		}
		t.step(StepBranch, boolText(is.True()), s.frame, placeOf(branch.Range()))
		t.expr(branch, s, path)
		return
	}
	names, _ := blockers(condition)
	t.missing(orElse(names, "a condition")...)
}

func boolText(is bool) string {
	if is {
		return "true"
	}
	return "false"
}

func (t *tracer) object(e *hclsyntax.ObjectConsExpr, s *scope, path []cty.Value) {
	if len(path) == 0 {
		var values []hclsyntax.Expression
		for _, item := range e.Items {
			values = append(values, item.ValueExpr)
		}
		t.members(values, s, placeOf(e.Range()))
		return
	}
	want, ok := keyText(path[0])
	if !ok {
		t.missing("a member's name")
		return
	}
	for i := len(e.Items) - 1; i >= 0; i-- {
		item := e.Items[i]
		if key, ok := keyText(t.c.eval(item.KeyExpr, s)); ok && key == want {
			t.step(StepElement, want, s.frame, placeOf(hcl.RangeBetween(item.KeyExpr.Range(), item.ValueExpr.Range())))
			t.expr(item.ValueExpr, s, path[1:])
			return
		}
	}
	t.missing("there is no member " + want)
}

// splat follows list[*].rest: the element of the path, then rest.
func (t *tracer) splat(e *hclsyntax.SplatExpr, s *scope, path []cty.Value) {
	if len(path) == 0 {
		t.parts(e.Source, s, StepFunction, "splat")
		return
	}
	source := t.c.eval(e.Source, s)
	plain, _ := source.Unmark()
	inner := []cty.Value{}
	if plain.IsKnown() && !plain.IsNull() && (plain.Type().IsListType() || plain.Type().IsTupleType() || plain.Type().IsSetType()) {
		inner = append(inner, path[0])
	}
	switch each := e.Each.(type) {
	case *hclsyntax.RelativeTraversalExpr:
		inner = append(inner, steps(each.Traversal)...)
	case *hclsyntax.AnonSymbolExpr:
	default:
		t.parts(e.Source, s, StepFunction, "splat")
		return
	}
	t.expr(e.Source, s, append(inner, path[1:]...))
}

// elements iterates over a known collection.
func elements(all cty.Value, visit func(key, value cty.Value) bool) bool {
	plain, _ := all.Unmark()
	if !plain.IsKnown() || plain.IsNull() || !plain.CanIterateElements() || plain.LengthInt() > maxInstances {
		return false
	}
	for it := plain.ElementIterator(); it.Next(); {
		key, value := it.Element()
		if plain.Type().IsSetType() {
			key = value
		}
		if !visit(key, value) {
			break
		}
	}
	return true
}

// loop follows a for expression: the element that gives the path's key.
func (t *tracer) loop(e *hclsyntax.ForExpr, s *scope, path []cty.Value) {
	if len(path) == 0 {
		t.parts(e.CollExpr, s, StepFunction, "for")
		return
	}
	all := t.c.eval(e.CollExpr, s)
	n, found := 0, false
	var doubts []string
	known := elements(all, func(key, value cty.Value) bool {
		bound := &binding{name: e.ValVar, key: key, value: value, from: e.CollExpr, scope: s, previous: s.bound}
		if e.KeyVar != "" {
			bound = &binding{name: e.KeyVar, isKey: true, key: key, value: value, from: e.CollExpr, scope: s, previous: bound}
		}
		inner := &scope{frame: s.frame, iterated: s.iterated, bound: bound}
		if e.CondExpr != nil {
			condition := t.c.eval(e.CondExpr, inner)
			keep, _ := condition.Unmark()
			if !keep.IsKnown() {
				names, _ := blockers(condition)
				doubts = append(doubts, names...)
				return false // whether the element is there is not known, nor which follow
			}
			if keep.IsNull() || keep.Type() != cty.Bool || keep.False() {
				return true
			}
		}
		match := false
		if e.KeyExpr != nil {
			match = sameValue(t.c.eval(e.KeyExpr, inner), path[0])
		} else if at, ok := asNumber(path[0]); ok {
			match = at == n
		} else {
			match = sameValue(t.c.eval(e.ValExpr, inner), path[0]) // a set made of it
		}
		n++
		if !match {
			return true
		}
		found = true
		t.step(StepElement, pathText(path[:1]), s.frame, placeOf(e.ValExpr.Range()))
		rest := path[1:]
		if e.Group && len(rest) > 0 {
			rest = rest[1:]
		}
		t.expr(e.ValExpr, inner, rest)
		return false
	})
	switch {
	case found:
	case len(doubts) > 0:
		t.missing(doubts...)
	case !known:
		names, _ := blockers(all)
		t.missing(orElse(names, "a collection")...)
	default:
		t.missing("there is no element " + pathText(path[:1]))
	}
}

// call follows a function: those that choose among their arguments to the one that
// they choose, others to all that they compute from.
func (t *tracer) call(e *hclsyntax.FunctionCallExpr, s *scope, path []cty.Value) {
	chosen, rest, ok := t.choose(e, s, path)
	if !ok {
		t.parts(e, s, StepFunction, e.Name+"()")
		return
	}
	t.step(StepFunction, e.Name+"()", s.frame, placeOf(e.Range()))
	t.expr(chosen, s, rest)
}

func (t *tracer) choose(e *hclsyntax.FunctionCallExpr, s *scope, path []cty.Value) (chosen hclsyntax.Expression, rest []cty.Value, ok bool) {
	args := e.Args
	if len(args) == 0 || e.ExpandFinal {
		return nil, nil, false
	}
	eval := func(arg hclsyntax.Expression) (cty.Value, bool) {
		value, _ := t.c.eval(arg, s).Unmark()
		return value, value.IsKnown()
	}
	switch e.Name {
	case "tostring", "tonumber", "tobool", "tolist", "toset", "tomap", "sensitive", "nonsensitive", "ephemeralasnull":
		return args[0], path, true
	case "jsonencode", "yamlencode":
		return args[0], nil, len(path) == 0
	case "merge":
		if len(path) == 0 {
			return nil, nil, false
		}
		for i := len(args) - 1; i >= 0; i-- {
			value, known := eval(args[i])
			if !known {
				return nil, nil, false
			}
			if has(value, path[0]) {
				return args[i], path, true
			}
		}
	case "lookup":
		if len(args) < 2 {
			return nil, nil, false
		}
		of, known := eval(args[0])
		key, also := eval(args[1])
		if !known || !also {
			return nil, nil, false
		}
		t.chose(args[1], s)
		if has(of, key) {
			return args[0], append([]cty.Value{key}, path...), true
		}
		if len(args) > 2 {
			return args[2], path, true
		}
	case "element":
		of, known := eval(args[0])
		if len(args) < 2 || !known || of.IsNull() || !of.CanIterateElements() {
			return nil, nil, false
		}
		index, also := eval(args[1])
		n, fine := asNumber(index)
		if length := of.LengthInt(); also && fine && length > 0 {
			return args[0], append([]cty.Value{cty.NumberIntVal(int64(n % length))}, path...), true
		}
	case "try":
		for _, arg := range args {
			value := t.c.eval(arg, s)
			names, _ := blockers(value)
			plain, _ := value.Unmark()
			if plain.IsKnown() {
				return arg, path, true
			}
			if !failed(names) {
				return nil, nil, false // unknown, but not because it fails
			}
		}
	case "coalesce":
		for _, arg := range args {
			value, known := eval(arg)
			if !known {
				return nil, nil, false
			}
			if !value.IsNull() && !(value.Type() == cty.String && value.AsString() == "") {
				return arg, path, true
			}
		}
	case "coalescelist":
		for _, arg := range args {
			value, known := eval(arg)
			if !known {
				return nil, nil, false
			}
			if !value.IsNull() && value.CanIterateElements() && value.LengthInt() > 0 {
				return arg, path, true
			}
		}
	case "concat":
		if len(path) == 0 {
			return nil, nil, false
		}
		n, fine := asNumber(path[0])
		if !fine {
			return nil, nil, false
		}
		for _, arg := range args {
			value, known := eval(arg)
			if !known || value.IsNull() || !value.CanIterateElements() {
				return nil, nil, false
			}
			if length := value.LengthInt(); n >= length {
				n -= length
				continue
			}
			return arg, append([]cty.Value{cty.NumberIntVal(int64(n))}, path[1:]...), true
		}
	case "one":
		if value, known := eval(args[0]); known && !value.IsNull() && value.CanIterateElements() && value.LengthInt() == 1 {
			return args[0], append([]cty.Value{cty.NumberIntVal(0)}, path...), true
		}
	case "values", "keys":
		value, known := eval(args[0])
		if len(path) == 0 || !known || e.Name == "keys" {
			return nil, nil, false
		}
		if n, fine := asNumber(path[0]); fine {
			at, key := 0, cty.NilVal
			elements(value, func(k, _ cty.Value) bool {
				if at == n {
					key = k
				}
				at++
				return key == cty.NilVal
			})
			if key != cty.NilVal {
				return args[0], append([]cty.Value{key}, path[1:]...), true
			}
		}
	case "zipmap":
		if len(path) == 0 || len(args) != 2 {
			return nil, nil, false
		}
		keys, known := eval(args[0])
		if !known {
			return nil, nil, false
		}
		at, index := 0, -1
		elements(keys, func(_, value cty.Value) bool {
			if sameValue(value, path[0]) {
				index = at
			}
			at++
			return true
		})
		if index >= 0 {
			return args[1], append([]cty.Value{cty.NumberIntVal(int64(index))}, path[1:]...), true
		}
	}
	return nil, nil, false
}

// failed says whether an expression is unknown because evaluating it failed: its
// only blockers name a place.
func failed(names []string) bool {
	if len(names) == 0 {
		return false
	}
	for _, name := range names {
		if strings.Count(name, ":") < 2 || !strings.Contains(name, ".tf") {
			return false
		}
	}
	return true
}

// has says whether a collection holds a key.
func has(of, key cty.Value) bool {
	if of.IsNull() {
		return false
	}
	key, _ = key.Unmark()
	text, isText := keyText(key)
	switch {
	case of.Type().IsObjectType():
		return isText && of.Type().HasAttribute(text)
	case of.Type().IsMapType():
		return isText && of.HasIndex(cty.StringVal(text)).True()
	}
	return false
}

// steps turns a traversal into a path.
func steps(t hcl.Traversal) []cty.Value {
	var path []cty.Value
	for _, step := range t {
		switch s := step.(type) {
		case hcl.TraverseAttr:
			path = append(path, cty.StringVal(s.Name))
		case hcl.TraverseIndex:
			path = append(path, s.Key)
		}
	}
	return path
}

// traversal follows a reference, then a path into what it refers to.
func (t *tracer) traversal(ref hcl.Traversal, s *scope, path []cty.Value, place Place) {
	if t.depth++; !t.within() {
		t.depth--
		return
	}
	defer func() { t.depth-- }()
	root := ref.RootName()
	rest := append(steps(ref[1:]), path...)
	if b := s.binding(root); b != nil {
		t.bound(b, rest, place)
		return
	}
	name := ""
	if len(rest) > 0 {
		name, _ = keyText(rest[0])
	}
	switch root {
	case "var":
		t.step(StepReference, "var."+name, s.frame, place)
		t.variable(s.frame, name, rest[min(1, len(rest)):])
	case "local":
		attr := s.frame.call.module.locals[name]
		if attr == nil {
			t.missing("local." + name)
			return
		}
		t.step(StepLocal, "local."+name, s.frame, attr.place)
		t.guarded("local."+name, s.frame, func() { t.expr(attr.expr, &scope{frame: s.frame}, rest[1:]) })
	case "each", "count":
		t.iteration(s, name, rest[min(1, len(rest)):], place)
	case "path":
		t.origin(StepLiteral, "path."+name, s.frame, place)
	case "terraform":
		if t.c.options.Workspace == "" {
			t.missing("terraform.workspace")
			return
		}
		t.origin(StepLiteral, "terraform.workspace", s.frame, place)
	case "module":
		t.module(s, name, rest[min(1, len(rest)):], place)
	case "data":
		if len(rest) > 1 {
			second, _ := keyText(rest[1])
			name += "." + second
		}
		t.missing("data." + name)
	case "self", "provider", "ephemeral":
		t.missing(root)
	default:
		t.resource(s, root+"."+name, rest[min(1, len(rest)):], place)
	}
}

// guarded follows something that must not need itself.
func (t *tracer) guarded(name string, f *frame, follow func()) {
	key := "trace " + name
	if f.busy[key] {
		t.missing(name + ", which refers to itself")
		return
	}
	f.busy[key] = true
	follow()
	delete(f.busy, key)
}

// bound follows a name of a for expression or a dynamic block into the collection.
func (t *tracer) bound(b *binding, path []cty.Value, place Place) {
	isKey := b.isKey
	if b.dynamic {
		if len(path) == 0 {
			t.missing(b.name)
			return
		}
		word, _ := keyText(path[0])
		isKey, path = word == "key", path[1:]
	}
	if isKey {
		t.key(b.from, b.scope, b.key)
		return
	}
	t.expr(b.from, b.scope, append([]cty.Value{b.key}, path...))
}

// key follows the key of an element to where it stands.
func (t *tracer) key(collection hcl.Expression, s *scope, key cty.Value) {
	switch e := bare(collection).(type) {
	case *hclsyntax.ObjectConsExpr:
		want, _ := keyText(key)
		for _, item := range e.Items {
			if text, ok := keyText(t.c.eval(item.KeyExpr, s)); ok && text == want {
				t.keyExpr(item.KeyExpr, s)
				return
			}
		}
	case *hclsyntax.ParenthesesExpr:
		t.key(e.Expression, s, key)
		return
	case *hclsyntax.FunctionCallExpr:
		if (e.Name == "toset" || e.Name == "tomap" || e.Name == "tolist") && len(e.Args) == 1 {
			t.key(e.Args[0], s, key)
			return
		}
	case *hclsyntax.TupleConsExpr:
		for _, element := range e.Exprs {
			if sameValue(t.c.eval(element, s), key) {
				t.expr(element, s, nil)
				return
			}
		}
	case *hclsyntax.ScopeTraversalExpr:
		if next, inner, ok := t.definition(e.Traversal, s); ok {
			t.key(next, inner, key)
			return
		}
	}
	t.parts(collection, s, StepElement, "key "+pathText([]cty.Value{key}))
}

func (t *tracer) keyExpr(expr hclsyntax.Expression, s *scope) {
	if wrapped, ok := expr.(*hclsyntax.ObjectConsKeyExpr); ok {
		if hcl.ExprAsKeyword(wrapped.Wrapped) != "" && !wrapped.ForceNonLiteral {
			t.origin(StepLiteral, "key", s.frame, placeOf(expr.Range()))
			return
		}
	}
	t.expr(expr, s, nil)
}

// definition gives the expression that a plain variable or local stands for.
func (t *tracer) definition(ref hcl.Traversal, s *scope) (hcl.Expression, *scope, bool) {
	if len(ref) != 2 {
		return nil, nil, false
	}
	name := attrName(ref, 1)
	switch ref.RootName() {
	case "local":
		if attr := s.frame.call.module.locals[name]; attr != nil {
			t.step(StepLocal, "local."+name, s.frame, attr.place)
			return attr.expr, &scope{frame: s.frame}, true
		}
	case "var":
		if expr, inner, how, place := t.c.given(s.frame, name); expr != nil {
			t.step(how, "var."+name, s.frame, place)
			return expr, inner, true
		}
	}
	return nil, nil, false
}

func (t *tracer) variable(f *frame, name string, path []cty.Value) {
	declared := f.call.module.variables[name]
	expr, s, how, place := t.c.given(f, name)
	if f.parent == nil {
		for _, other := range t.c.others[name] {
			if !slices.Contains(t.trace.Elsewhere, other) {
				t.trace.Elsewhere = append(t.trace.Elsewhere, other)
			}
		}
	}
	if expr == nil {
		at := f.address()
		if at != "" {
			at += "."
		}
		t.missing(at + "var." + name)
		return
	}
	// A null where null is not allowed gives way to the default.
	if value, _ := t.c.eval(expr, s).Unmark(); how != "default" && declared != nil && value.IsKnown() && value.IsNull() && isFalse(declared.body.attributes["nullable"]) {
		if def := declared.body.attributes["default"]; def != nil {
			expr, s, how, place = def.expr, &scope{frame: f}, "default", def.place
		}
	}
	t.step(how, "var."+name, f, place)
	t.guarded("var."+name, f, func() {
		if len(path) > 0 && declared != nil && declared.body.attributes["type"] != nil {
			if def := t.optional(declared, expr, s, path); def != nil {
				t.step(StepDefault, "optional "+pathText(path), f, placeOf(def.Range()))
				t.expr(def, &scope{frame: f}, nil)
				return
			}
		}
		t.expr(expr, s, path)
	})
}

// optional gives the default that the variable's type states for a member which
// the given value lacks, nil when it has it or there is none.
func (t *tracer) optional(declared *block, expr hcl.Expression, s *scope, path []cty.Value) hcl.Expression {
	kind, ok := declared.body.attributes["type"].expr.(hclsyntax.Expression)
	if !ok {
		return nil
	}
	at, _ := t.c.eval(expr, s).Unmark()
	for _, key := range path {
		call, isCall := kind.(*hclsyntax.FunctionCallExpr)
		if !isCall || len(call.Args) == 0 {
			return nil
		}
		if call.Name == "optional" {
			if call, isCall = call.Args[0].(*hclsyntax.FunctionCallExpr); !isCall || len(call.Args) == 0 {
				return nil
			}
		}
		switch call.Name {
		case "map", "list", "set":
			kind = call.Args[0]
		case "object":
			members, isObject := call.Args[0].(*hclsyntax.ObjectConsExpr)
			name, isText := keyText(key)
			if !isObject || !isText {
				return nil
			}
			kind = nil
			for _, item := range members.Items {
				if hcl.ExprAsKeyword(item.KeyExpr) == name {
					kind = item.ValueExpr
				}
			}
			if kind == nil {
				return nil
			}
			if opt, isCall := kind.(*hclsyntax.FunctionCallExpr); isCall && opt.Name == "optional" && len(opt.Args) == 2 && at.IsKnown() && !at.IsNull() {
				plain := at
				lacks := plain.Type().IsObjectType() && !plain.Type().HasAttribute(name) || plain.Type().IsMapType() && !has(plain, key)
				if !lacks && plain.Type().IsObjectType() {
					member, _ := plain.GetAttr(name).Unmark()
					lacks = member.IsKnown() && member.IsNull()
				}
				if lacks {
					return opt.Args[1]
				}
			}
		default:
			return nil
		}
		at, _ = elementAt(at, key).Unmark()
	}
	return nil
}

// iteration follows each.key, each.value or count.index.
func (t *tracer) iteration(s *scope, word string, path []cty.Value, place Place) {
	if s.iterated == nil || s.iterated.key == cty.NilVal {
		t.missing("the instance's key")
		return
	}
	loop := s.iterated
	switch {
	case loop.count:
		// Which instance it is nobody writes; how many there are decides nothing.
		t.origin(StepElement, "count.index", s.frame, place)
	case word == "key":
		t.step(StepElement, "each.key", s.frame, place)
		t.key(loop.attr.expr, loop.scope, loop.key)
	default:
		t.step(StepElement, "each.value", s.frame, place)
		t.expr(loop.attr.expr, loop.scope, append([]cty.Value{loop.key}, path...))
	}
}

// module follows an output of a module call.
func (t *tracer) module(s *scope, name string, path []cty.Value, place Place) {
	child := s.frame.call.children[name]
	if child == nil || child.module == nil {
		t.missing("module." + name)
		return
	}
	key := cty.NilVal
	if loop := iteratedOf(child.declared.body, cty.NilVal, nil); loop != nil {
		if len(path) == 0 {
			t.missing("module." + name)
			return
		}
		key, path = path[0], path[1:]
	}
	if len(path) == 0 {
		t.missing("module." + name)
		return
	}
	output, _ := keyText(path[0])
	declared := child.module.outputs[output]
	if declared == nil || declared.body.attributes["value"] == nil {
		t.missing("module." + name + "." + output)
		return
	}
	attr := declared.body.attributes["value"]
	f := s.frame.child(name, key)
	t.step(StepOutput, "module."+name+"."+output, f, attr.place)
	t.guarded("output."+output, f, func() { t.expr(attr.expr, &scope{frame: f}, path[1:]) })
}

// resource follows an attribute of another resource, as far as it is stated.
func (t *tracer) resource(s *scope, key string, path []cty.Value, place Place) {
	b := s.frame.call.module.resources[key]
	if b == nil {
		t.missing(key)
		return
	}
	instance := cty.NilVal
	if iteratedOf(b.body, cty.NilVal, nil) != nil && len(path) > 0 {
		instance, path = path[0], path[1:]
	}
	if len(path) == 0 {
		t.missing(key)
		return
	}
	name, _ := keyText(path[0])
	attr := b.body.attributes[name]
	if attr == nil {
		t.missing(key + "." + name)
		return
	}
	t.step(StepReference, key+"."+name, s.frame, attr.place)
	inner := &scope{frame: s.frame}
	inner.iterated = iteratedOf(b.body, instance, &scope{frame: s.frame})
	t.guarded(key+"."+name, s.frame, func() { t.expr(attr.expr, inner, path[1:]) })
}

// json follows an expression of the JSON syntax.
func (t *tracer) json(j *jsonExpr, s *scope, path []cty.Value) {
	place := placeOf(j.r)
	switch {
	case j.pairs != nil && len(path) > 0:
		want, _ := keyText(path[0])
		for _, pair := range j.pairs {
			if key, diags := pair.Key.Value(nil); !diags.HasErrors() && sameValue(key, cty.StringVal(want)) {
				t.step(StepElement, want, s.frame, placeOf(hcl.RangeBetween(pair.Key.Range(), pair.Value.Range())))
				t.expr(pair.Value, s, path[1:])
				return
			}
		}
		// A single nested block is written without its list.
		if n, ok := asNumber(path[0]); ok && n == 0 {
			t.json(j, s, path[1:])
			return
		}
		t.missing("there is no member " + want)
	case j.list != nil && len(path) > 0:
		if n, ok := asNumber(path[0]); ok && n < len(j.list) {
			t.expr(j.list[n], s, path[1:])
			return
		}
		t.missing("there is no element " + pathText(path[:1]))
	case j.template != nil:
		t.expr(j.template, s, path)
	default:
		t.origin(StepLiteral, "", s.frame, place)
	}
}

// sameValue compares values as keys are compared.
func sameValue(a, b cty.Value) bool {
	x, ok := keyText(a)
	y, also := keyText(b)
	return ok && also && x == y
}

// keyText gives a key as text.
func keyText(key cty.Value) (string, bool) {
	if key == cty.NilVal {
		return "", false
	}
	key, _ = key.Unmark()
	if !key.IsKnown() || key.IsNull() || !key.Type().IsPrimitiveType() {
		return "", false
	}
	text, err := convert.Convert(key, cty.String)
	if err != nil {
		return "", false
	}
	return text.AsString(), true
}

// pathText writes a path as an address does.
func pathText(path []cty.Value) string {
	var b strings.Builder
	for i, key := range path {
		plain, _ := key.Unmark()
		if plain.Type() == cty.String && plain.IsKnown() && !plain.IsNull() && hclsyntax.ValidIdentifier(plain.AsString()) {
			if i > 0 {
				b.WriteByte('.')
			}
			b.WriteString(plain.AsString())
			continue
		}
		b.WriteString(indexText(key))
	}
	return b.String()
}

// maxShared bounds the instances that are looked at for a shared literal.
const maxShared = 500

// shared lists the other instances of the same block, in every call of its module,
// whose attribute the literal decides too.
func (c *Configuration) shared(a Address, attribute []cty.Value, literal Place) []string {
	_, at, _, ok := c.locate(a)
	if !ok {
		return nil
	}
	own := c.follow(a).String()
	var list []string
	looked := 0
	for _, other := range c.instancesOf(at.module, c.follow(a).resource()) {
		if looked++; looked > maxShared {
			break
		}
		if other.String() == own {
			continue
		}
		t := c.Origin(other, attribute)
		if t.Status == TraceFound && slices.ContainsFunc(t.Origins, func(o TraceStep) bool { return o.Place == literal }) {
			list = append(list, other.String())
		}
	}
	slices.Sort(list)
	return list
}

// instancesOf lists the instances of a block over all calls of its module; an
// instance whose keys are not known stands for all of its block.
func (c *Configuration) instancesOf(m *module, resource string) []Address {
	var list []Address
	var walk func(f *frame, steps []Step)
	walk = func(f *frame, steps []Step) {
		if len(list) > maxShared {
			return
		}
		if f.call.module == m {
			if b := m.resources[resource]; b != nil {
				a := Address{Modules: steps, Data: strings.HasPrefix(resource, "data.")}
				a.Type, a.Name, _ = strings.Cut(strings.TrimPrefix(resource, "data."), ".")
				keys, known := c.instanceKeys(b.body, &scope{frame: f})
				if !known {
					keys = []cty.Value{cty.NilVal}
				}
				for _, key := range keys {
					a.Key = key
					list = append(list, a)
				}
			}
		}
		for _, name := range f.call.module.callOrder {
			child := f.call.children[name]
			if child == nil || child.module == nil {
				continue
			}
			keys, known := c.instanceKeys(child.declared.body, &scope{frame: f})
			if !known {
				keys = []cty.Value{cty.NilVal}
			}
			for _, key := range keys {
				walk(f.child(name, key), append(steps[:len(steps):len(steps)], Step{name, key}))
			}
		}
	}
	walk(c.frameOf(Address{}), nil)
	return list
}

// Instances lists every resource instance of the configuration.
func (c *Configuration) Instances() []Address {
	var list []Address
	seen := map[*module]map[string]bool{}
	var walk func(at *call)
	walk = func(at *call) {
		for _, key := range at.module.order {
			if strings.HasPrefix(key, "data.") || seen[at.module][key] {
				continue
			}
			if seen[at.module] == nil {
				seen[at.module] = map[string]bool{}
			}
			seen[at.module][key] = true
			list = append(list, c.instancesOf(at.module, key)...)
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
