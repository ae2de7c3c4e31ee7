package main

import (
	"context"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// wished is a question about Terraform: an instance, one of its fields, and the value
// that it should get, "?" when the text does not give one.
type wished struct {
	root, address, field, wanted string
	remove                       bool
}

// placeTerraform asks, in this order, what is the first to give a question:
//
//  1. what our scanner sees before and no longer after, as it tells it;
//  2. the fields whose evaluated values differ before and after, with the value after,
//     as a look at the running estate would show them;
//  3. the fields of resources and data sources whose text differs, where the values
//     hang on something outside the text. What is asked is the field only.
//  4. calls of modules that are not in the repository, whose arguments differ: what is
//     asked is a resource in the module, as a look at the running estate names it.
//
// The files at hand are those that the commit changed, so that calls of other modules, outputs,
// locals and variables that no resource at hand uses cannot be asked about, and neither
// can resources that did not exist before.
func placeTerraform(ctx context.Context, c *placed) ([]placedAt, string, error) {
	questions, err := askedByScanner(ctx, c)
	if err == nil && len(questions) == 0 {
		questions, err = askedByValue(ctx, c)
	}
	if err == nil && len(questions) == 0 {
		questions, err = askedByText(ctx, c)
	}
	if err != nil {
		return nil, "", err
	}
	if len(questions) == 0 {
		answers, err := placeInCalls(ctx, c)
		if err != nil || len(answers) > 0 {
			return answers, "", err
		}
		return nil, "of the files at hand differ " + beyond(c), nil
	}
	fixer := terraformFixer()
	groups := map[string][]wished{}
	for _, q := range questions {
		key := q.field + "\x00" + q.wanted + "\x00" + resourceOf(q.address)
		groups[key] = append(groups[key], q)
	}
	var answers []placedAt
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		answer, err := answerTerraform(ctx, c, fixer, groups[key])
		if err != nil {
			return nil, "", err
		}
		answers = append(answers, answer)
	}
	return answers, "", nil
}

// placeInCalls asks about resources that modules from elsewhere make.
func placeInCalls(ctx context.Context, c *placed) ([]placedAt, error) {
	calls := func(tree map[string][]byte) map[string]string {
		found := map[string]string{}
		for name, data := range tree {
			file, _ := hclsyntax.ParseConfig(data, name, hcl.InitialPos)
			if file == nil {
				continue
			}
			if body, ok := file.Body.(*hclsyntax.Body); ok {
				for _, b := range body.Blocks {
					if b.Type == "module" && len(b.Labels) == 1 {
						found[path.Dir(name)+" "+b.Labels[0]] = string(data[b.OpenBraceRange.End.Byte:b.CloseBraceRange.Start.Byte])
					}
				}
			}
		}
		return found
	}
	roots, err := terraform.Roots(ctx, c.before)
	if err != nil {
		return nil, err
	}
	before, after := calls(c.before), calls(c.after)
	var answers []placedAt
	for _, root := range roots {
		loaded, err := terraform.Load(ctx, c.before, root, terraform.Options{})
		if err != nil {
			return nil, err
		}
		for _, u := range loaded.Unevaluated {
			key := path.Dir(u.Place.Path) + " " + u.Address[strings.LastIndexByte(u.Address, '.')+1:]
			if text, still := after[key]; !still || text == before[key] {
				continue
			}
			site := &fix.Site{Tree: c.before, Location: fact.Location{Path: "main.tf"}, Flaws: []fix.Flaw{{
				Issue: "asked", Kind: fact.Misconfiguration, Rules: []string{"asked"}, Told: []fact.Finding{{Anchor: u.Address + ".asked_resource.this"}},
			}}}
			paths, err := terraformFixer().PlanSite(ctx, site)
			if err != nil {
				return nil, err
			}
			answer := placedAt{question: "a resource of " + u.Address}
			for _, p := range paths {
				for _, step := range p.Steps {
					if step.Location != nil && answer.path == "" {
						at := offsetOf(c.before[step.Location.Path], step.Location.Line)
						answer.path, answer.lines = step.Location.Path, span{step.Location.Line, max(step.Location.Line, step.Location.EndLine)}
						answer.block = blockAround(c.before[step.Location.Path], at, at)
					}
				}
			}
			answers = append(answers, answer)
		}
	}
	return answers, nil
}

// terraformFixer is the fixer of Terraform.
func terraformFixer() fix.SiteFixer {
	for _, one := range builtin.Fixers(nil) {
		if s, ok := one.(fix.SiteFixer); ok && one.Describe().ID == "fix/terraform" {
			return s
		}
	}
	return nil
}

// resourceOf is an address without its last key.
func resourceOf(address string) string {
	if a, _, err := terraform.ParseAddress(address); err == nil {
		return a.Type + "." + a.Name
	}
	return address
}

func answerTerraform(ctx context.Context, c *placed, fixer fix.SiteFixer, group []wished) (placedAt, error) {
	answer := placedAt{question: fmt.Sprintf("%s of %s", group[0].field, group[0].address)}
	flaw := fix.Flaw{Issue: "asked", Kind: fact.Misconfiguration, Rules: []string{"asked"}}
	for _, q := range group {
		f := fact.Finding{Kind: fact.Misconfiguration, Attributes: map[string]string{
			fix.AttributeField: q.field, fix.AttributeObject: path.Clean(q.root) + ":" + q.address, fix.AttributeRoot: q.root, fix.AttributeWanted: q.wanted,
		}}
		if q.remove {
			f.Attributes[fix.AttributeRemove] = "true"
			delete(f.Attributes, fix.AttributeWanted)
		}
		flaw.Seen = append(flaw.Seen, f)
	}
	site := &fix.Site{Flaws: []fix.Flaw{flaw}, Tree: c.before, Location: fact.Location{Path: "main.tf", Line: 1}}
	paths, err := fixer.PlanSite(ctx, site)
	if err != nil || len(paths) == 0 {
		return answer, err
	}
	for _, p := range paths {
		if len(p.Edits) > 0 {
			edit := p.Edits[0]
			answer.path = edit.Path
			answer.lines = span{edit.Line, edit.Line + strings.Count(edit.Old, "\n")}
			if edit.Old == "" {
				answer.lines = span{edit.Line - 1, edit.Line}
			}
			answer.block = blockAround(c.before[edit.Path], edit.Start, edit.End)
			return answer, nil
		}
		if len(p.Steps) > 0 && p.Steps[0].Location != nil {
			l := p.Steps[0].Location
			answer.path, answer.lines = l.Path, span{l.Line, max(l.Line, l.EndLine)}
			at := offsetOf(c.before[l.Path], l.Line)
			answer.block = blockAround(c.before[l.Path], at, at)
			return answer, nil
		}
	}
	return answer, nil
}

// offsetOf is where the text of a line begins.
func offsetOf(data []byte, line int) int {
	at := 0
	for ; line > 1; line-- {
		next := strings.IndexByte(string(data[at:]), '\n')
		if next < 0 {
			break
		}
		at += next + 1
	}
	for at < len(data) && (data[at] == ' ' || data[at] == '\t') {
		at++
	}
	return at
}

// blockAround gives the lines of the innermost block that holds a range of bytes; of
// locals and of files of variables those of the attribute.
func blockAround(data []byte, start, end int) span {
	line := 1 + strings.Count(string(data[:min(start, len(data))]), "\n")
	found := span{line, line + strings.Count(string(data[min(start, len(data)):min(end, len(data))]), "\n")}
	file, _ := hclsyntax.ParseConfig(data, "f", hcl.InitialPos)
	if file == nil {
		return found
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return found
	}
	var walk func(b *hclsyntax.Body, kind string)
	walk = func(b *hclsyntax.Body, kind string) {
		if kind == "" || kind == "locals" {
			for _, a := range b.Attributes {
				if a.SrcRange.Start.Byte <= start && end <= a.SrcRange.End.Byte {
					found = span{a.SrcRange.Start.Line, a.SrcRange.End.Line}
				}
			}
		}
		for _, block := range b.Blocks {
			if block.TypeRange.Start.Byte <= start && end <= block.CloseBraceRange.End.Byte {
				if block.Type != "locals" {
					found = span{block.TypeRange.Start.Line, block.CloseBraceRange.End.Line}
				}
				walk(block.Body, block.Type)
			}
		}
	}
	walk(body, "")
	return found
}

// askedByScanner gives what our scanner sees before and not after.
func askedByScanner(ctx context.Context, c *placed) ([]wished, error) {
	look := func(tree map[string][]byte) (map[string]wished, error) {
		found := map[string]wished{}
		for _, one := range builtin.Detectors(nil, nil, nil) {
			if one.Describe().ID != "scan/terraform" {
				continue
			}
			if _, err := one.Scan(ctx, code.Files(tree), func(f fact.Finding) error {
				q := wished{f.Attributes[fix.AttributeRoot], f.Anchor, f.Attributes[fix.AttributeField], f.Attributes[fix.AttributeWanted], f.Attributes[fix.AttributeRemove] == "true"}
				found[f.Rule+" "+q.root+" "+q.address] = q
				return nil
			}); err != nil {
				return nil, err
			}
		}
		return found, nil
	}
	before, err := look(c.before)
	if err != nil {
		return nil, err
	}
	after, err := look(c.after)
	if err != nil {
		return nil, err
	}
	states, err := evaluated(ctx, c.after)
	if err != nil {
		return nil, err
	}
	var list []wished
	for _, key := range slices.Sorted(maps.Keys(before)) {
		q := before[key]
		if _, still := after[key]; still {
			continue
		}
		if _, there := states[q.root][q.address]; there {
			list = append(list, q)
		}
	}
	return list, nil
}

// evaluated gives the instances of every root, also of data sources.
func evaluated(ctx context.Context, tree map[string][]byte) (map[string]map[string]cty.Value, error) {
	files := code.Files(tree)
	roots, err := terraform.Roots(ctx, files)
	if err != nil {
		return nil, err
	}
	all := map[string]map[string]cty.Value{}
	for _, dir := range roots {
		c, err := terraform.Load(ctx, files, dir, terraform.Options{})
		if err != nil {
			return nil, err
		}
		all[dir] = map[string]cty.Value{}
		for _, a := range append(c.Instances(), c.DataInstances()...) {
			if v, ok := c.Evaluated(a); ok {
				all[dir][a.String()] = v
			}
		}
	}
	return all, nil
}

// askedByValue gives the fields of instances whose known values differ.
func askedByValue(ctx context.Context, c *placed) ([]wished, error) {
	before, err := evaluated(ctx, c.before)
	if err != nil {
		return nil, err
	}
	after, err := evaluated(ctx, c.after)
	if err != nil {
		return nil, err
	}
	var list []wished
	for _, root := range slices.Sorted(maps.Keys(before)) {
		for _, address := range slices.Sorted(maps.Keys(before[root])) {
			fresh, still := after[root][address]
			if !still {
				continue
			}
			differing(before[root][address], fresh, "", func(field, wanted string, remove bool) {
				list = append(list, wished{root, address, field, wanted, remove})
			})
		}
	}
	return list, nil
}

// differing tells the innermost fields at which two values differ; those that are not
// known on one side are left out.
func differing(a, b cty.Value, field string, tell func(field, wanted string, remove bool)) {
	if !a.IsKnown() || !b.IsKnown() || a.RawEquals(b) {
		return
	}
	if !a.IsNull() && !b.IsNull() && a.Type().IsObjectType() && b.Type().IsObjectType() {
		names := map[string]bool{}
		for name := range a.Type().AttributeTypes() {
			names[name] = true
		}
		for name := range b.Type().AttributeTypes() {
			names[name] = true
		}
		for _, name := range slices.Sorted(maps.Keys(names)) {
			at := name
			if !hclsyntax.ValidIdentifier(name) {
				at = fmt.Sprintf("[%q]", name)
			}
			if field != "" && at == name {
				at = field + "." + name
			} else if field != "" {
				at = field + at
			}
			switch had, has := a.Type().HasAttribute(name), b.Type().HasAttribute(name); {
			case had && has:
				differing(a.GetAttr(name), b.GetAttr(name), at, tell)
			case had:
				tell(at, "", true)
			default:
				tell(at, wantedOf(b.GetAttr(name)), false)
			}
		}
		return
	}
	if blocksOf(a) && blocksOf(b) {
		x, y := a.AsValueSlice(), b.AsValueSlice()
		if len(x) == len(y) {
			for i := range x {
				differing(x[i], y[i], fmt.Sprintf("%s[%d]", field, i), tell)
			}
			return
		}
		if len(x) > len(y) {
			for i := range x {
				if !slices.ContainsFunc(y, x[i].RawEquals) {
					tell(fmt.Sprintf("%s[%d]", field, i), "", true)
					return
				}
			}
		}
		tell(fmt.Sprintf("%s[%d]", field, len(x)), "?what is to be added", false)
		return
	}
	tell(field, wantedOf(b), false)
}

func blocksOf(v cty.Value) bool {
	return !v.IsNull() && v.Type().IsTupleType() && (v.LengthInt() == 0 || v.Index(cty.Zero).Type().IsObjectType())
}

// wantedOf is a value as JSON, or that it is not known.
func wantedOf(v cty.Value) string {
	if !v.IsWhollyKnown() {
		return "?a value that is not known from the text"
	}
	data, err := ctyjson.Marshal(v, v.Type())
	if err != nil {
		return "?a value"
	}
	return string(data)
}

// askedByText gives the fields of resources and data sources whose text differs.
func askedByText(ctx context.Context, c *placed) ([]wished, error) {
	roots, err := terraform.Roots(ctx, c.before)
	if err != nil {
		return nil, err
	}
	rootOf := map[string]wished{} // folder and resource -> an instance of it
	for _, root := range roots {
		loaded, err := terraform.Load(ctx, c.before, root, terraform.Options{})
		if err != nil {
			return nil, err
		}
		for _, a := range append(loaded.Instances(), loaded.DataInstances()...) {
			d, _, ok := loaded.Locate(a)
			if !ok {
				continue
			}
			key := path.Dir(d.Place.Path) + " " + a.Type + "." + a.Name
			if a.Data {
				key = path.Dir(d.Place.Path) + " data." + a.Type + "." + a.Name
			}
			if _, known := rootOf[key]; !known {
				rootOf[key] = wished{root: root, address: a.String()}
			}
		}
	}
	before, after := resourcesOf(c.before), resourcesOf(c.after)
	var list []wished
	for _, key := range slices.Sorted(maps.Keys(before)) {
		q, made := rootOf[key]
		fresh := after[key]
		if fresh.body == nil || !made {
			continue
		}
		differingText(before[key], fresh, "", func(field string, remove bool) {
			q.field, q.remove, q.wanted = field, remove, "?what it is to be"
			list = append(list, q)
		})
	}
	return list, nil
}

// beyond lists what differs where nothing can be asked about, by kinds of blocks.
func beyond(c *placed) string {
	list := func(tree map[string][]byte) map[string]string {
		found := map[string]string{}
		for name, data := range tree {
			file, _ := hclsyntax.ParseConfig(data, name, hcl.InitialPos)
			if file == nil {
				continue
			}
			if body, ok := file.Body.(*hclsyntax.Body); ok {
				for i, b := range body.Blocks {
					key := path.Dir(name) + " " + b.Type + " " + strings.Join(b.Labels, ".")
					if len(b.Labels) == 0 {
						key += fmt.Sprint(name, i)
					}
					found[key] = string(data[b.OpenBraceRange.End.Byte:b.CloseBraceRange.Start.Byte])
				}
			}
		}
		return found
	}
	before, after := list(c.before), list(c.after)
	count := map[string]int{}
	kind := func(key string) string { return strings.Fields(key)[1] }
	for key, text := range before {
		switch fresh, still := after[key]; {
		case !still:
			count[kind(key)+" blocks that go"]++
		case fresh != text:
			count[kind(key)+" blocks"]++
		}
	}
	for key := range after {
		if _, was := before[key]; !was {
			count[kind(key)+" blocks that are new"]++
		}
	}
	var words []string
	for _, what := range slices.Sorted(maps.Keys(count)) {
		words = append(words, fmt.Sprintf("%d %s", count[what], what))
	}
	if len(words) == 0 {
		return "comments and white space only"
	}
	return strings.Join(words, ", ")
}

// written is a body with the text that it stands in.
type written struct {
	body *hclsyntax.Body
	data []byte
}

func (w written) text(r hcl.Range) string { return string(w.data[r.Start.Byte:r.End.Byte]) }

func resourcesOf(tree map[string][]byte) map[string]written {
	found := map[string]written{}
	for name, data := range tree {
		if !strings.HasSuffix(name, ".tf") {
			continue
		}
		file, _ := hclsyntax.ParseConfig(data, name, hcl.InitialPos)
		if file == nil {
			continue
		}
		body, ok := file.Body.(*hclsyntax.Body)
		if !ok {
			continue
		}
		for _, b := range body.Blocks {
			if len(b.Labels) == 2 && (b.Type == "resource" || b.Type == "data") {
				key := b.Labels[0] + "." + b.Labels[1]
				if b.Type == "data" {
					key = "data." + key
				}
				found[path.Dir(name)+" "+key] = written{b.Body, data}
			}
		}
	}
	return found
}

func differingText(a, b written, field string, tell func(field string, remove bool)) {
	prefix := ""
	if field != "" {
		prefix = field + "."
	}
	names := map[string]bool{}
	for name := range a.body.Attributes {
		names[name] = true
	}
	for name := range b.body.Attributes {
		names[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		x, y := a.body.Attributes[name], b.body.Attributes[name]
		switch {
		case x != nil && y != nil && a.text(x.Expr.Range()) == b.text(y.Expr.Range()):
		default:
			tell(prefix+name, y == nil)
		}
	}
	kinds := map[string]bool{}
	group := func(w written) map[string][]*hclsyntax.Block {
		all := map[string][]*hclsyntax.Block{}
		for _, block := range w.body.Blocks {
			kind := block.Type
			if kind == "dynamic" && len(block.Labels) == 1 {
				kind = block.Labels[0]
			}
			all[kind], kinds[kind] = append(all[kind], block), true
		}
		return all
	}
	x, y := group(a), group(b)
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		if len(x[kind]) == len(y[kind]) {
			for i := range x[kind] {
				differingText(written{x[kind][i].Body, a.data}, written{y[kind][i].Body, b.data}, fmt.Sprintf("%s%s[%d]", prefix, kind, i), tell)
			}
			continue
		}
		at := 0
		for at < len(x[kind]) && at < len(y[kind]) && a.text(x[kind][at].Range()) == b.text(y[kind][at].Range()) &&
			a.text(hcl.RangeBetween(x[kind][at].OpenBraceRange, x[kind][at].CloseBraceRange)) == b.text(hcl.RangeBetween(y[kind][at].OpenBraceRange, y[kind][at].CloseBraceRange)) {
			at++
		}
		tell(fmt.Sprintf("%s%s[%d]", prefix, kind, at), len(x[kind]) > len(y[kind]))
	}
}
