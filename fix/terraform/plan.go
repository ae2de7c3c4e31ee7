package terraform

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// wish is what has to become of a field of instances of one block.
type wish struct {
	field   string
	wanted  string // JSON, or "?" and what is asked for
	remove  bool
	close   bool // taking away what lets the world in is the usual remedy
	block   terraform.Declaration
	members []member
	issues  []string
	text    string // the rule's words
}

// member is one instance.
type member struct {
	root    string
	address terraform.Address
}

func (m member) object() string { return object(m.root, m.address.String()) }

// maxWishes bounds the fields that are planned for at one site.
const maxWishes = 40

// PlanSite implements fix.SiteFixer.
func (f *fixer) PlanSite(ctx context.Context, site *fix.Site) ([]fix.Path, error) {
	if !concerned(site) {
		return nil, nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	e, err := f.estate(ctx, site)
	if err != nil {
		return nil, err
	}
	wishes, err := e.wishes(ctx, site)
	if err != nil {
		return nil, err
	}
	var paths []fix.Path
	var best []fix.Path
	for i := range wishes {
		own, err := e.plan(ctx, site, &wishes[i])
		if err != nil {
			return nil, err
		}
		// What makes a resource anew is a change of its own.
		if len(own) > 0 && !own[0].Manual && !replaces(wishes[i].members[0].address.Type, wishes[i].field) {
			best = append(best, own[0])
		}
		paths = append(paths, own...)
	}
	if all, ok := e.together(ctx, site, best); ok {
		paths = append(paths, all)
	}
	for i := range site.Flaws {
		flaw := &site.Flaws[i]
		if slices.ContainsFunc(wishes, func(w wish) bool { return slices.Contains(w.issues, flaw.Issue) }) {
			if drifted(flaw) {
				paths = append(paths, reconcile(site, flaw))
			}
			continue
		}
		more, err := e.byHand(ctx, site, flaw)
		if err != nil {
			return nil, err
		}
		paths = append(paths, more...)
	}
	return merged(paths), nil
}

// concerned says whether a site is Terraform's.
func concerned(site *fix.Site) bool {
	for _, suffix := range []string{".tf", ".tf.json", ".tfvars", ".tfvars.json"} {
		if strings.HasSuffix(site.Location.Path, suffix) {
			return true
		}
	}
	return slices.ContainsFunc(site.Flaws, func(f fix.Flaw) bool { return len(ours(&f)) > 0 })
}

// ours are the findings of the scanner of Terraform.
func ours(flaw *fix.Flaw) []fact.Finding {
	return slices.DeleteFunc(slices.Clone(flaw.Seen), func(f fact.Finding) bool {
		_, ok := f.Attributes[fix.AttributeRoot]
		return !ok || f.Attributes[fix.AttributeObject] == "" || f.Attributes[fix.AttributeField] == ""
	})
}

// wishes groups what scanners of ours see by field and block.
func (e *estate) wishes(ctx context.Context, site *fix.Site) ([]wish, error) {
	var list []wish
	for i := range site.Flaws {
		flaw := &site.Flaws[i]
		for _, finding := range ours(flaw) {
			root := finding.Attributes[fix.AttributeRoot]
			_, text, ok := strings.Cut(finding.Attributes[fix.AttributeObject], ":")
			if !ok {
				text = finding.Attributes[fix.AttributeObject]
			}
			address, _, err := terraform.ParseAddress(text)
			if err != nil {
				site.Block(fmt.Sprintf("%q is no address of Terraform", text))
				continue
			}
			if !slices.Contains(e.roots, root) {
				site.Block(fmt.Sprintf("%s is no root module of the tree", path.Clean(root)))
				continue
			}
			c, err := e.load(ctx, root)
			if err != nil {
				return nil, err
			}
			block, missing, ok := c.Locate(address)
			if !ok {
				site.Block(strings.Join(missing, "; "))
				continue
			}
			w := wish{
				field: finding.Attributes[fix.AttributeField], wanted: finding.Attributes[fix.AttributeWanted],
				remove: finding.Attributes[fix.AttributeRemove] == "true", close: finding.Attributes["close"] == "true", block: block, text: finding.Title,
			}
			at := slices.IndexFunc(list, func(o wish) bool {
				return o.field == w.field && o.wanted == w.wanted && o.remove == w.remove && o.block.Place == w.block.Place
			})
			if at < 0 {
				if len(list) == maxWishes {
					site.Block(fmt.Sprintf("more than %d fields are to be changed here; the rest is planned once these are", maxWishes))
					return list, nil
				}
				list = append(list, w)
				at = len(list) - 1
			}
			list[at].close = list[at].close || w.close
			m := member{root, address}
			if !slices.ContainsFunc(list[at].members, func(o member) bool { return o.object() == m.object() }) {
				list[at].members = append(list[at].members, m)
			}
			if !slices.Contains(list[at].issues, flaw.Issue) {
				list[at].issues = append(list[at].issues, flaw.Issue)
			}
		}
	}
	return list, nil
}

// candidate is one way to grant a wish.
type candidate struct {
	kind    string
	summary string
	edits   []fix.FileEdit
	rank    int // of ways that reach equally far
	others  int // changes beside those that are asked for
	reach   string
}

// plan lists the ways to grant one wish.
func (e *estate) plan(ctx context.Context, site *fix.Site, w *wish) ([]fix.Path, error) {
	if strings.HasPrefix(w.wanted, "?") {
		return e.choose(ctx, site, w)
	}
	candidates, err := e.candidates(ctx, site, w)
	if err != nil {
		return nil, err
	}
	var good []candidate
	for _, one := range candidates {
		if len(one.edits) == 0 || slices.ContainsFunc(good, func(o candidate) bool { return slices.Equal(o.edits, one.edits) }) {
			continue
		}
		granted, err := e.granted(ctx, w, &one)
		if err != nil {
			return nil, err
		}
		if granted {
			good = append(good, one)
		}
	}
	slices.SortStableFunc(good, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(min(a.others, 1), min(b.others, 1)), cmp.Compare(a.rank, b.rank), cmp.Compare(a.others, b.others))
	})
	var paths []fix.Path
	for i := range good {
		paths = append(paths, e.path(ctx, w, &good[i]))
	}
	if len(paths) == 0 {
		paths = append(paths, manual(w, e.origin(ctx, w), fmt.Sprintf("set %s to %s", w.field, w.wanted)))
		site.Block(fmt.Sprintf("%s of %s: no single place in the text is known to decide it", w.field, w.block.Address))
	}
	return paths, nil
}

// granted carries a candidate out in memory and measures its reach.
func (e *estate) granted(ctx context.Context, w *wish, one *candidate) (bool, error) {
	t, err := e.try(ctx, one.edits, reached(w, one.edits))
	if err != nil || len(t.problems) > 0 {
		return false, ctx.Err()
	}
	asked := map[string]bool{}
	for _, m := range w.members {
		asked[m.object()] = true
		c := t.configurations[m.root]
		if c == nil || !satisfied(c, m.address, w) {
			return false, nil
		}
	}
	top, _, _ := strings.Cut(strings.TrimPrefix(w.field, "+"), ".")
	top, _, _ = strings.Cut(top, "[")
	top, _, _ = strings.Cut(top, "#")
	alike := map[string]bool{} // instances of the block
	touched := map[string]bool{}
	elsewhere := map[string]bool{}
	for root, c := range t.configurations {
		for _, a := range c.Instances() {
			if a.Type != w.members[0].address.Type || a.Name != w.members[0].address.Name {
				continue
			}
			if d, _, ok := c.Locate(a); ok && d.Place.Path == w.block.Place.Path {
				alike[object(root, a.String())] = true
			}
		}
	}
	for _, d := range t.differences {
		switch {
		case asked[d.object()] && (d.attribute == top || d.attribute == ""):
			touched[d.object()] = true
		case alike[d.object()] && d.attribute == top:
			touched[d.object()] = true
			one.others++
		case strings.HasPrefix(w.field, "+"):
			touched[d.object()] = true
		default:
			elsewhere[d.object()+" "+d.attribute] = true
			one.others++
		}
	}
	if strings.HasPrefix(w.field, "+") {
		one.reach = fmt.Sprintf("a new resource for each of %d of %d instances of %s", len(w.members), max(len(alike), len(w.members)), w.members[0].address.Type+"."+w.members[0].address.Name)
		return true, nil
	}
	decided := len(touched)
	if reached(w, one.edits) != nil {
		decided = max(len(alike), decided) // what stands in the block decides about all of its instances
	}
	one.reach = fmt.Sprintf("decides %s of %d of %d instances of %s", top, decided, max(len(alike), len(touched)), w.members[0].address.Type+"."+w.members[0].address.Name)
	if len(elsewhere) > 0 {
		one.reach += fmt.Sprintf(", and %d values beside", len(elsewhere))
	}
	return true, nil
}

// satisfied says whether an instance has what is wished.
func satisfied(c *terraform.Configuration, a terraform.Address, w *wish) bool {
	if companion, ok := terraform.ParseCompanion(w.field); ok {
		for _, other := range c.Instances() {
			if other.Type != companion.Kind {
				continue
			}
			for _, ref := range c.Refers(other, companion.Link) {
				if ref.Type == a.Type && ref.Name == a.Name && len(ref.Modules) == len(a.Modules) {
					return true
				}
			}
		}
		return false
	}
	if attribute, path, ok := inner(w.field); ok {
		doc, known := c.Document(a, attribute)
		wanted, err := valueOf(w.wanted)
		if err != nil || !known {
			return false
		}
		at, present := field(doc, path)
		return present && at.IsWhollyKnown() && alike(at, wanted)
	}
	keys, ok := terraform.FieldPath(w.field)
	if !ok {
		return false
	}
	value, found := c.Evaluated(a)
	if !found {
		return w.remove
	}
	at, present := field(value, partsOf(keys))
	if w.remove {
		return !present
	}
	wanted, err := valueOf(w.wanted)
	if err != nil || !present || !at.IsWhollyKnown() {
		return false
	}
	return alike(at, wanted)
}

// field gives the value at a path of an evaluated instance.
func field(v cty.Value, path []part) (cty.Value, bool) {
	for _, p := range path {
		if !v.IsKnown() || v.IsNull() {
			return v, !v.IsNull()
		}
		if p.name != "" {
			switch {
			case v.Type().IsObjectType() && v.Type().HasAttribute(p.name):
				v = v.GetAttr(p.name)
			case v.Type().IsMapType() && v.HasIndex(cty.StringVal(p.name)).True():
				v = v.Index(cty.StringVal(p.name))
			default:
				return cty.NilVal, false
			}
		}
		if p.index < 0 || !v.IsKnown() || v.IsNull() {
			continue
		}
		if !v.Type().IsTupleType() && !v.Type().IsListType() && !v.Type().IsSetType() {
			if p.index > 0 {
				return cty.NilVal, false
			}
			continue
		}
		if p.index >= v.LengthInt() {
			return cty.NilVal, false
		}
		n := 0
		for it := v.ElementIterator(); it.Next(); n++ {
			if _, element := it.Element(); n == p.index {
				v = element
				break
			}
		}
	}
	return v, !v.IsNull()
}

// alike compares a value with the wanted one, as providers convert them.
func alike(v, wanted cty.Value) bool {
	switch {
	case wanted.IsNull() || v.IsNull():
		return wanted.IsNull() && v.IsNull()
	case wanted.Type().IsPrimitiveType():
		return v.Type().IsPrimitiveType() && text(v) == text(wanted)
	case wanted.Type().IsTupleType():
		if !v.CanIterateElements() || v.Type().IsObjectType() || v.LengthInt() != wanted.LengthInt() {
			return false
		}
		a, b := v.AsValueSlice(), wanted.AsValueSlice()
		for i := range a {
			if !alike(a[i], b[i]) {
				return false
			}
		}
		return true
	case wanted.Type().IsObjectType():
		if v.Type().IsTupleType() && v.LengthInt() == 1 {
			v = v.AsValueSlice()[0]
		}
		for name, member := range wanted.AsValueMap() {
			own, ok := field(v, []part{{name, -1}})
			if !ok || !alike(own, member) {
				return false
			}
		}
		return true
	}
	return false
}

// path makes the path of a candidate.
func (e *estate) path(ctx context.Context, w *wish, one *candidate) fix.Path {
	p := fix.Path{
		Kind: one.kind, Summary: one.summary, Effort: fix.EffortSmall, Risk: "patch", Closes: slices.Clone(w.issues), Fixer: ID,
		Module: w.members[0].root, Edits: one.edits, Reach: one.reach, Steps: []fix.Step{}, Changes: []fix.Change{},
	}
	if one.others > 0 {
		p.Risk = "minor"
	}
	if w.remove {
		p.Risk = "major"
	}
	if len(one.edits) > 1 {
		p.Effort = fix.EffortMedium
	}
	for _, edit := range one.edits {
		p.Steps = append(p.Steps, fix.Step{Text: one.summary, Location: &fact.Location{Path: edit.Path, Line: edit.Line, EndLine: edit.Line + strings.Count(edit.Old, "\n")}})
	}
	for _, edit := range one.edits {
		if generated(ctx, e, edit.Path) {
			p.Manual = true
			p.Summary += "; the file is made by a program, so that the change belongs where it is made from"
			p.Steps = append(p.Steps, fix.Step{Text: edit.Path + " says that it is generated and not to be edited: change what generates it"})
			break
		}
	}
	look := "see in the plan that nothing else changes and nothing is replaced"
	if address := w.members[0].address; replaces(address.Type, w.field) {
		p.Risk, p.Effort = "major", fix.EffortLarge
		p.Summary += "; the provider makes " + address.Type + "." + address.Name + " anew for it, and what it holds is lost unless it is copied"
		p.Steps = append([]fix.Step{{Text: "copy what the resource holds, and settle how the copy comes into the new one: the provider destroys the resource and makes it anew"}}, p.Steps...)
		look = "see in the plan that only this resource is replaced, and apply it when the copy is there"
	}
	p.Steps = append(p.Steps, fix.Step{Text: look, Command: "terraform -chdir=" + quoted(path.Clean(w.members[0].root)) + " plan"})
	p.ID = identity(&p)
	return p
}

// generated says whether a file says of itself that it is made by a program.
func generated(ctx context.Context, e *estate, name string) bool {
	data, err := e.tree.Read(ctx, name)
	if err != nil {
		return false
	}
	return fix.Generated(data)
}

// quoted writes a name as one word of a POSIX shell.
func quoted(name string) string {
	plain := strings.IndexFunc(name, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("./_-@:", r))
	}) < 0
	if plain && name != "" && name[0] != '-' {
		return name
	}
	return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'"
}

// identity names a path by what it does.
func identity(p *fix.Path) string {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\x00%s\x00%s\x00%t", p.Fixer, p.Kind, p.Module, p.Manual)
	for _, edit := range p.Edits {
		fmt.Fprintf(sum, "\x00%s %d %d %s", edit.Path, edit.Start, edit.End, edit.New)
	}
	if len(p.Edits) == 0 {
		fmt.Fprintf(sum, "\x00%s", p.Summary)
		for _, step := range p.Steps {
			fmt.Fprintf(sum, "\x00%s\x00%s", step.Text, step.Command)
		}
	}
	return "terraform-" + hex.EncodeToString(sum.Sum(nil))[:16]
}

// merged joins paths that make the same edits.
func merged(paths []fix.Path) []fix.Path {
	var list []fix.Path
	for _, p := range paths {
		at := slices.IndexFunc(list, func(o fix.Path) bool { return o.ID == p.ID })
		if at < 0 {
			list = append(list, p)
			continue
		}
		for _, id := range p.Closes {
			if !slices.Contains(list[at].Closes, id) {
				list[at].Closes = append(list[at].Closes, id)
			}
		}
	}
	return list
}

// together makes one path of the best ones of several wishes, when they can be carried
// out at once.
func (e *estate) together(ctx context.Context, site *fix.Site, best []fix.Path) (fix.Path, bool) {
	best = merged(best)
	if len(best) < 2 {
		return fix.Path{}, false
	}
	var what []string
	for _, p := range best {
		what = append(what, p.Summary)
	}
	summary := fmt.Sprintf("make the %d changes of this place at once: %s", len(what), strings.Join(what[:min(3, len(what))], "; "))
	if len(what) > 3 {
		summary += fmt.Sprintf("; and %d more", len(what)-3)
	}
	all := fix.Path{
		Kind: fix.EditValue, Summary: summary, Effort: fix.EffortMedium, Risk: "patch",
		Fixer: ID, Module: best[0].Module, Steps: []fix.Step{}, Changes: []fix.Change{}, Reach: best[0].Reach,
	}
	for _, p := range best {
		for _, edit := range p.Edits {
			if !slices.Contains(all.Edits, edit) {
				all.Edits = append(all.Edits, edit)
			}
		}
		for _, id := range p.Closes {
			if !slices.Contains(all.Closes, id) {
				all.Closes = append(all.Closes, id)
			}
		}
		all.Steps = append(all.Steps, p.Steps[:max(0, len(p.Steps)-1)]...)
		if p.Risk != "patch" {
			all.Risk = p.Risk
		}
		all.Manual = all.Manual || p.Manual
	}
	if t, err := e.try(ctx, all.Edits, none); err != nil || len(t.problems) > 0 || all.Manual {
		return fix.Path{}, false
	}
	all.Steps = append(all.Steps, best[0].Steps[len(best[0].Steps)-1])
	all.ID = identity(&all)
	return all, true
}
