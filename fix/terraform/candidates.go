package terraform

import (
	"bytes"
	"context"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"

	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

func text(v cty.Value) string {
	s, err := convert.Convert(v, cty.String)
	if err != nil || !s.IsKnown() || s.IsNull() {
		return ""
	}
	return s.AsString()
}

// read gives a file to edit; nil for one that the repository does not hold, such as a
// module that was downloaded.
func (e *estate) read(ctx context.Context, name string) *source {
	for part := range strings.SplitSeq(name, "/") {
		if part == ".terraform" {
			return nil
		}
	}
	data, err := e.tree.Read(ctx, name)
	if err != nil {
		return nil
	}
	return newSource(name, data)
}

// candidates lists the places that may be edited, each for all members of the wish.
func (e *estate) candidates(ctx context.Context, site *fix.Site, w *wish) ([]candidate, error) {
	if companion, ok := terraform.ParseCompanion(w.field); ok {
		return e.companion(ctx, w, companion), nil
	}
	if _, _, ok := inner(w.field); ok {
		return []candidate{e.insideDocument(ctx, w)}, nil
	}
	keys, ok := terraform.FieldPath(w.field)
	if !ok {
		site.Block(fmt.Sprintf("%q is no field", w.field))
		return nil, nil
	}
	literals := candidate{kind: fix.EditValue}
	arguments := candidate{kind: fix.EditValue, rank: 2}
	controls := candidate{kind: fix.EditValue, rank: 3}
	own := candidate{kind: fix.EditValue, rank: 4}
	files := map[string]bool{}
	branch := false
	for _, m := range w.members {
		c, err := e.load(ctx, m.root)
		if err != nil {
			return nil, err
		}
		t := c.Origin(m.address, keys)
		if t.Status == terraform.TraceUnknown && len(t.Missing) > 0 {
			site.Block(fmt.Sprintf("%s.%s: %s", m.address, w.field, strings.Join(t.Missing, ", ")))
		}
		branch = branch || slices.ContainsFunc(t.Steps, func(s terraform.TraceStep) bool { return s.Kind == terraform.StepBranch })
		if w.remove {
			own.put(e.removal(ctx, &t))
			continue
		}
		if t.Status == terraform.TraceFound {
			literals.put(e.literal(ctx, &t, w.wanted))
			if len(t.Origins) > 0 {
				files[t.Origins[0].Place.Path+":"+strconv.Itoa(t.Origins[0].Place.Line)] = true
			}
			arguments.put(e.argument(ctx, c, m, &t, w.wanted))
			controls.put(e.control(ctx, &t))
		}
		own.put(e.replace(ctx, &t, w.wanted))
		if t.Status != terraform.TraceFound {
			arguments.spoiled()
		}
	}
	what := fmt.Sprintf("set %s to %s", w.field, short(w.wanted))
	literals.summary = what
	if len(files) == 1 {
		for at := range files {
			literals.summary += " where it is decided, at " + at
		}
	}
	if branch {
		literals.rank = 5 // both branches would be alike
	}
	arguments.summary = what + " by an argument of the module's call"
	controls.summary = what + " by the condition that chooses it"
	own.summary = what + " in the block itself"
	if w.remove {
		own.summary = "remove " + w.field
		return []candidate{own}, nil
	}
	added := candidate{kind: fix.AddBlock, summary: what + " in the block", rank: 1}
	if data := e.read(ctx, w.block.Place.Path); data != nil {
		edit, err := e.addition(data, w, keys)
		if err == nil {
			added.put(&edit)
		}
	}
	return []candidate{literals, added, arguments, controls, own}, nil
}

func short(value string) string {
	if len(value) > 80 {
		return value[:77] + "..."
	}
	return value
}

// failed marks a candidate that cannot be carried out for all members.
var failed = fix.FileEdit{Path: "\x00"}

func (c *candidate) spoiled() { c.edits = []fix.FileEdit{failed} }

// put adds the edit for one member; nil spoils the candidate.
func (c *candidate) put(edit *fix.FileEdit) {
	switch {
	case len(c.edits) == 1 && c.edits[0] == failed:
	case edit == nil:
		c.spoiled()
	case !slices.Contains(c.edits, *edit):
		c.edits = append(c.edits, *edit)
	}
}

// literal edits the literal that decides.
func (e *estate) literal(ctx context.Context, t *terraform.Trace, wanted string) *fix.FileEdit {
	if len(t.Origins) != 1 || t.Origins[0].Kind != terraform.StepLiteral || t.Origins[0].Name != "" {
		return nil
	}
	return e.over(ctx, t.Origins[0].Place, wanted)
}

// over replaces what stands at a place by a value.
func (e *estate) over(ctx context.Context, place terraform.Place, wanted string) *fix.FileEdit {
	s := e.read(ctx, place.Path)
	if s == nil || place.End > len(s.data) || place.Start >= place.End {
		return nil
	}
	value, err := s.literal(wanted, s.indentAt(place.Start))
	if err != nil {
		return nil
	}
	end := place.End
	for end > place.Start && (s.data[end-1] == '\n' || s.data[end-1] == '\r') {
		end-- // a heredoc ends with its line
	}
	edit := s.edit(place.Start, end, value)
	return &edit
}

// replace puts the value in place of the expression in the block itself.
func (e *estate) replace(ctx context.Context, t *terraform.Trace, wanted string) *fix.FileEdit {
	var last *terraform.TraceStep
	for i := range t.Steps {
		if t.Steps[i].Kind == terraform.StepAttribute {
			last = &t.Steps[i]
			break
		}
		if t.Steps[i].Kind != terraform.StepBlock {
			break
		}
	}
	if last == nil || strings.HasSuffix(last.Place.Path, ".json") || !endsWith(t.Attribute, last.Name) {
		return nil
	}
	s := e.read(ctx, last.Place.Path)
	if s == nil || last.Place.End > len(s.data) {
		return nil
	}
	expr := s.expression(last.Place.Start)
	if expr == nil {
		return nil
	}
	place := last.Place
	place.Start, place.End = expr.Range().Start.Byte, expr.Range().End.Byte
	return e.over(ctx, place, wanted)
}

func endsWith(field, name string) bool {
	return field == name || strings.HasSuffix(field, "."+name) || strings.HasSuffix(field, "["+strconv.Quote(name)+"]")
}

// expression is that of the attribute that begins at an offset.
func (s *source) expression(start int) hclsyntax.Expression {
	file, _ := hclsyntax.ParseConfig(s.data, s.path, hcl.InitialPos)
	if file == nil {
		return nil
	}
	var found hclsyntax.Expression
	var walk func(b *hclsyntax.Body)
	walk = func(b *hclsyntax.Body) {
		for _, a := range b.Attributes {
			if a.SrcRange.Start.Byte == start {
				found = a.Expr
			}
		}
		for _, block := range b.Blocks {
			walk(block.Body)
		}
	}
	if body, ok := file.Body.(*hclsyntax.Body); ok {
		walk(body)
	}
	return found
}

// argument passes the value in the call of the module, where it now comes from the
// default of a variable.
func (e *estate) argument(ctx context.Context, c *terraform.Configuration, m member, t *terraform.Trace, wanted string) *fix.FileEdit {
	d, _, ok := c.Locate(m.address)
	if !ok || len(d.Calls) == 0 {
		return nil
	}
	name, plain := "", false
	for i, step := range t.Steps {
		if step.Kind == terraform.StepDefault && strings.HasPrefix(step.Name, "var.") {
			name = strings.TrimPrefix(step.Name, "var.")
			// Only a variable that is the value as a whole can be given as a whole.
			plain = i+2 == len(t.Steps) && t.Steps[i+1].Kind == terraform.StepLiteral
			depth := strings.Count(step.Module, "module.")
			if depth == 0 || depth > len(d.Calls) {
				return nil
			}
			d.Calls = d.Calls[:depth]
		}
	}
	if name == "" || !plain {
		return nil
	}
	place := d.Calls[len(d.Calls)-1].Place
	s := e.read(ctx, place.Path)
	if s == nil || s.isJSON() {
		return nil
	}
	block := s.blockAt(place.Start)
	if block == nil {
		return nil
	}
	edit, err := s.add(block, []part{{name, -1}}, wanted)
	if err != nil {
		return nil
	}
	return &edit
}

// control turns the condition that chose the branch, where it is a yes or no.
func (e *estate) control(ctx context.Context, t *terraform.Trace) *fix.FileEdit {
	if len(t.Controls) != 1 || t.Controls[0].Kind != terraform.StepLiteral {
		return nil
	}
	place := t.Controls[0].Place
	s := e.read(ctx, place.Path)
	if s == nil || place.End > len(s.data) {
		return nil
	}
	switch string(s.data[place.Start:place.End]) {
	case "true":
		return e.over(ctx, place, "false")
	case "false":
		return e.over(ctx, place, "true")
	}
	return nil
}

// removal takes an attribute or nested block out.
func (e *estate) removal(ctx context.Context, t *terraform.Trace) *fix.FileEdit {
	var place *terraform.Place
	for i := range t.Steps {
		switch step := &t.Steps[i]; {
		case step.Kind == terraform.StepAttribute, step.Kind == terraform.StepBlock && !strings.HasPrefix(step.Name, "dynamic "):
			place = &step.Place
		case step.Kind == terraform.StepBlock:
			return nil
		}
		if t.Steps[i].Kind == terraform.StepAttribute {
			break
		}
	}
	if place == nil || strings.HasSuffix(place.Path, ".json") {
		return nil
	}
	s := e.read(ctx, place.Path)
	if s == nil || place.End > len(s.data) {
		return nil
	}
	edit, err := s.remove(place.Start, place.End)
	if err != nil {
		return nil
	}
	return &edit
}

// addition puts the field into the resource's block.
func (e *estate) addition(s *source, w *wish, keys []cty.Value) (fix.FileEdit, error) {
	if s.isJSON() {
		a := w.members[0].address
		return s.addJSON(a.Type, a.Name, partsOf(keys), w.wanted)
	}
	block := s.blockAt(w.block.Place.Start)
	if block == nil {
		return fix.FileEdit{}, errPlace
	}
	return s.add(block, partsOf(keys), w.wanted)
}

// companion writes a new resource behind the block that it belongs to.
func (e *estate) companion(ctx context.Context, w *wish, companion terraform.Companion) []candidate {
	s := e.read(ctx, w.block.Place.Path)
	if s == nil || s.isJSON() {
		return nil
	}
	block := s.blockAt(w.block.Place.Start)
	value, err := valueOf(w.wanted)
	if block == nil || err != nil || len(block.Labels) != 2 {
		return nil
	}
	name := block.Labels[1]
	for n := 2; e.taken(ctx, w, companion.Kind, name); n++ {
		name = fmt.Sprintf("%s_%d", block.Labels[1], n)
	}
	const indent = "  "
	body, err := s.body(value, indent)
	if err != nil {
		return nil
	}
	lines := []string{}
	reference := block.Labels[0] + "." + block.Labels[1]
	for _, loop := range []string{"count", "for_each"} {
		if attr := block.Body.Attributes[loop]; attr != nil {
			lines = append(lines, indent+loop+" = "+string(s.data[attr.Expr.Range().Start.Byte:attr.Expr.Range().End.Byte]))
			if loop == "count" {
				reference += "[count.index]"
			} else {
				reference += "[each.key]"
			}
		}
	}
	if provider := block.Body.Attributes["provider"]; provider != nil {
		lines = append(lines, indent+"provider = "+string(s.data[provider.Expr.Range().Start.Byte:provider.Expr.Range().End.Byte]))
	}
	if len(lines) > 0 {
		lines = append(lines, "")
	}
	lines = append(lines, indent+companion.Link+" = "+reference+".id", "")
	text := s.nl + fmt.Sprintf("resource %q %q {", companion.Kind, name) + s.nl + strings.Join(lines, s.nl) + s.nl + body + "}" + s.nl
	at := s.lineEnd(block.CloseBraceRange.End.Byte)
	if at == len(s.data) && (at == 0 || s.data[at-1] != '\n') {
		text = s.nl + text
	}
	return []candidate{{
		kind: fix.AddBlock, edits: []fix.FileEdit{s.edit(at, at, text)},
		summary: fmt.Sprintf("add %s.%s beside %s.%s", companion.Kind, name, block.Labels[0], block.Labels[1]),
	}}
}

// taken says whether the module has a resource of a name.
func (e *estate) taken(ctx context.Context, w *wish, kind, name string) bool {
	m := w.members[0]
	c, err := e.load(ctx, m.root)
	if err != nil {
		return false
	}
	_, _, ok := c.Locate(terraform.Address{Modules: m.address.Modules, Type: kind, Name: name})
	return ok
}

// origin is the line that decides about a wish's field.
func (e *estate) origin(ctx context.Context, w *wish) terraform.Place {
	place := w.block.Place
	place.EndLine = place.Line
	c, err := e.load(ctx, w.members[0].root)
	if err != nil {
		return place
	}
	if s, start, end, _, ok := e.written(ctx, c, w.members[0].address, w.field); ok {
		line := 1 + bytes.Count(s.data[:start], []byte("\n"))
		return terraform.Place{Path: s.path, Line: line, EndLine: line + bytes.Count(s.data[start:end], []byte("\n")), Start: start, End: end}
	}
	attribute, _, _ := strings.Cut(w.field, "#")
	keys, ok := terraform.FieldPath(attribute)
	if !ok {
		return place
	}
	t := c.Origin(w.members[0].address, keys)
	if len(t.Origins) > 0 {
		return t.Origins[0].Place
	}
	for _, step := range t.Steps {
		if step.Kind == terraform.StepAttribute {
			return step.Place
		}
	}
	return place
}

// manual is a path that a person carries out.
func manual(w *wish, place terraform.Place, text string) fix.Path {
	p := fix.Path{
		Kind: fix.EditValue, Summary: text, Effort: fix.EffortMedium, Risk: "unknown", Closes: slices.Clone(w.issues), Fixer: ID, Manual: true,
		Module: w.members[0].root, Changes: []fix.Change{}, Reach: fmt.Sprintf("%d instances of %s.%s", len(w.members), w.members[0].address.Type, w.members[0].address.Name),
		Steps: []fix.Step{
			{Text: text, Location: &fact.Location{Path: place.Path, Line: place.Line, EndLine: max(place.Line, place.EndLine)}},
			{Text: "see in the plan that nothing else changes and nothing is replaced", Command: "terraform -chdir=" + quoted(path.Clean(w.members[0].root)) + " plan"},
		},
	}
	if _, ok := terraform.ParseCompanion(w.field); ok {
		p.Kind = fix.AddBlock
	}
	p.ID = identity(&p)
	return p
}

// choose is for a wish whose value only a person knows. What lets the whole internet in
// can be taken away without choosing where the rule says that this is the usual remedy.
func (e *estate) choose(ctx context.Context, site *fix.Site, w *wish) ([]fix.Path, error) {
	ask := strings.TrimPrefix(w.wanted, "?")
	what := "set " + w.field + ": choose " + ask
	if companion, ok := terraform.ParseCompanion(w.field); ok {
		what = fmt.Sprintf("add a resource of %s for %s: choose %s", companion.Kind, w.members[0].address, ask)
	}
	hand := manual(w, e.origin(ctx, w), what)
	paths := []fix.Path{hand}
	if !w.close {
		return paths, nil
	}
	closed, err := e.closing(ctx, w)
	if err != nil || len(closed.edits) == 0 {
		return paths, err
	}
	granted, err := e.closes(ctx, w, &closed)
	if err != nil || !granted {
		return paths, err
	}
	p := e.path(ctx, w, &closed)
	p.Risk = "major"
	p.Steps = append([]fix.Step{{Text: "make sure that nothing that is needed comes from the open range: " + ask}}, p.Steps...)
	p.ID = identity(&p)
	return append(paths, p), nil
}

// alone are resources that are one rule each, so that the rule goes with them.
var alone = []string{
	"aws_security_group_rule", "aws_vpc_security_group_ingress_rule", "aws_vpc_security_group_egress_rule", "aws_network_acl_rule",
	"azurerm_network_security_rule", "google_compute_firewall", "google_storage_bucket_iam_member", "google_cloud_run_service_iam_member",
	"google_pubsub_topic_iam_member", "google_kms_crypto_key_iam_member", "google_cloudfunctions_function_iam_member", "aws_lambda_permission",
}

// dropped takes the block of a resource out, where all of its instances fail by what
// they are given alike and nothing refers to it.
func (e *estate) dropped(ctx context.Context, w *wish) *fix.FileEdit {
	m := w.members[0]
	s := e.read(ctx, w.block.Place.Path)
	if s == nil || s.isJSON() || w.block.Place.End > len(s.data) {
		return nil
	}
	c, err := e.load(ctx, m.root)
	if err != nil {
		return nil
	}
	failing := map[string]bool{}
	for _, one := range w.members {
		failing[one.object()] = true
	}
	for _, a := range c.Instances() {
		if d, _, ok := c.Locate(a); ok && d.Place == w.block.Place && !failing[object(m.root, a.String())] {
			return nil
		}
	}
	if keys, ok := terraform.FieldPath(w.field); ok {
		for _, one := range w.members {
			t := c.Origin(one.address, keys)
			if v, known := t.Known(); known && v.CanIterateElements() && v.LengthInt() > 1 {
				return nil // other ranges are let in too
			}
		}
	}
	names, err := e.tree.Paths(ctx)
	if err != nil {
		return nil
	}
	reference := regexp.MustCompile(`\b` + regexp.QuoteMeta(m.address.Type+"."+m.address.Name) + `\b`)
	for _, name := range names {
		if path.Dir(name) != path.Dir(w.block.Place.Path) || !strings.HasSuffix(name, ".tf") && !strings.HasSuffix(name, ".tf.json") {
			continue
		}
		if data, err := e.tree.Read(ctx, name); err != nil || reference.Match(data) {
			return nil
		}
	}
	edit, err := s.remove(w.block.Place.Start, w.block.Place.End)
	if err != nil {
		return nil
	}
	return &edit
}

// open are the ranges that are taken out of a list.
var open = []string{"0.0.0.0/0", "::/0", "0000:0000:0000:0000:0000:0000:0000:0000/0"}

// closing takes the whole internet out of the list that a wish is about, where the list
// holds other ranges, else the rule with it.
func (e *estate) closing(ctx context.Context, w *wish) (candidate, error) {
	keys, ok := terraform.FieldPath(w.field)
	if !ok {
		return candidate{}, nil
	}
	if slices.Contains(alone, w.members[0].address.Type) {
		if edit := e.dropped(ctx, w); edit != nil {
			a := w.members[0].address
			return candidate{kind: fix.EditValue, edits: []fix.FileEdit{*edit}, summary: fmt.Sprintf("remove %s.%s, which lets the whole internet in", a.Type, a.Name)}, nil
		}
	}
	one := candidate{kind: fix.EditValue, summary: "take the whole internet out of " + w.field}
	for _, m := range w.members {
		c, err := e.load(ctx, m.root)
		if err != nil {
			return candidate{}, err
		}
		t := c.Origin(m.address, keys)
		v, known := t.Known()
		if !known || !v.CanIterateElements() || v.Type().IsObjectType() || v.Type().IsMapType() {
			return candidate{}, nil
		}
		var rest []string
		all := 0
		for _, element := range v.AsValueSlice() {
			all++
			if s := text(element); !slices.Contains(open, s) {
				rest = append(rest, strconv.Quote(s))
			}
		}
		if len(rest) == all {
			return candidate{}, nil
		}
		if len(rest) > 0 {
			one.put(e.literal(ctx, &t, "["+strings.Join(rest, ",")+"]"))
			continue
		}
		rule, inside := keys[:max(0, len(keys)-1)], len(keys) > 1
		if !inside {
			return candidate{}, nil
		}
		one.summary = "remove the rule that lets the whole internet in"
		block := c.Origin(m.address, rule)
		one.put(e.removal(ctx, &block))
	}
	if slices.Contains(one.edits, failed) {
		return candidate{}, nil
	}
	return one, nil
}

// closes says whether, after edits, nothing of the open ranges is left at the field.
func (e *estate) closes(ctx context.Context, w *wish, one *candidate) (bool, error) {
	t, err := e.try(ctx, one.edits, none)
	if err != nil || len(t.problems) > 0 {
		return false, ctx.Err()
	}
	keys, _ := terraform.FieldPath(w.field)
	for _, m := range w.members {
		c := t.configurations[m.root]
		if c == nil {
			return false, nil
		}
		old, err := e.load(ctx, m.root)
		if err != nil {
			return false, err
		}
		was, _ := old.Evaluated(m.address)
		is, ok := c.Evaluated(m.address)
		if !ok && slices.Contains(alone, m.address.Type) {
			continue // the rule is gone
		}
		if !ok || openAt(is, keys) >= openAt(was, keys) {
			return false, nil
		}
	}
	one.reach = fmt.Sprintf("%d instances of %s.%s", len(w.members), w.members[0].address.Type, w.members[0].address.Name)
	return true, nil
}

// openAt counts the open ranges in the lists of a field over all blocks of its kind.
func openAt(v cty.Value, keys []cty.Value) int {
	path := partsOf(keys)
	n := 0
	count := func(at cty.Value, ok bool) {
		if ok && at.IsWhollyKnown() && !at.IsNull() && at.CanIterateElements() && !at.Type().IsObjectType() {
			for _, element := range at.AsValueSlice() {
				if slices.Contains(open, text(element)) {
					n++
				}
			}
		}
	}
	if len(path) < 2 || path[0].index < 0 {
		count(field(v, path))
		return n
	}
	all, ok := field(v, []part{{path[0].name, -1}})
	if !ok || !all.IsKnown() || !all.CanIterateElements() || all.Type().IsObjectType() {
		return 0
	}
	for _, block := range all.AsValueSlice() {
		count(field(block, path[1:]))
	}
	return n
}
