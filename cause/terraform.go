package cause

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fact"
)

// TerraformRequest asks where a Terraform resource, or one of its attributes, is
// decided.
type TerraformRequest struct {
	Repository string // canonical identity, may be empty
	Commit     string // may be empty
	Tree       code.Tree
	// Address of a resource or instance, with an attribute's path after it or not:
	// module.a["x"].aws_s3_bucket.logs.acl.
	Address string
	// State or plan that tells what stands, nil for none.
	State *terraform.State
	// Near is the path of the plan or state below the root of the tree, "" unknown.
	Near     string
	VarFiles []string // below the root of the tree
	Root     string   // folder of the root module, "" to find it
}

// TerraformAnswer is where it is decided: one location for each root module that
// declares the address alike.
type TerraformAnswer struct {
	Address     string                  `json:"address"`
	Attribute   string                  `json:"attribute,omitempty"`
	Declaration []terraform.Declaration `json:"declarations"`
	Traces      []terraform.Trace       `json:"traces,omitempty"`
	// Verdict is proven when the traced value stands in the state, drift when
	// another one does, unverified when one of the two is not known.
	Verdict string     `json:"verdict"`
	Cause   fact.Cause `json:"cause"`
	// Unevaluated are module calls that could not be followed.
	Unevaluated []string `json:"unevaluated"`
	Problems    []string `json:"problems"`
}

// Terraform leads from an address to the block that declares it and, for an
// attribute, to the literal that decides it.
func Terraform(ctx context.Context, r TerraformRequest) (TerraformAnswer, error) {
	address, attribute, err := terraform.ParseAddress(r.Address)
	if err != nil {
		return TerraformAnswer{}, err
	}
	answer := TerraformAnswer{
		Address: address.String(), Verdict: terraform.Unverified, Declaration: []terraform.Declaration{}, Unevaluated: []string{}, Problems: []string{},
		Cause: fact.Cause{Status: fact.CauseUnknown, Locations: []fact.Location{}, Chain: []fact.Link{}, Missing: []string{}},
	}
	roots, err := terraformRoots(ctx, r, address)
	if err != nil {
		return answer, err
	}
	if len(roots) == 0 {
		answer.Cause.Missing = append(answer.Cause.Missing, fmt.Sprintf("no configuration in the repository declares %s", address))
	}
	t := terraformTracer{r: r, answer: &answer, address: address, attribute: attribute}
	for _, c := range roots {
		t.root(c)
	}
	cause := &answer.Cause
	switch {
	case len(cause.Locations) == 1 || len(cause.Locations) > 1 && len(roots) == 1:
		cause.Status = fact.CauseFound
	case len(cause.Locations) > 1:
		cause.Status = fact.CauseAmbiguous
		var dirs []string
		for _, c := range roots {
			dirs = append(dirs, cmp.Or(c.Dir, "the root of the repository"))
		}
		cause.Missing = append(cause.Missing, fmt.Sprintf("%d root modules declare it alike (%s): the one that the state belongs to would tell", len(roots), strings.Join(dirs, ", ")))
	}
	slices.Sort(cause.Missing)
	cause.Missing = slices.Compact(cause.Missing)
	return answer, nil
}

func terraformRoots(ctx context.Context, r TerraformRequest, address terraform.Address) ([]*terraform.Configuration, error) {
	options := terraform.Options{VarFiles: r.VarFiles}
	if r.Root != "" {
		c, err := terraform.Load(ctx, r.Tree, r.Root, options)
		if err != nil {
			return nil, err
		}
		return []*terraform.Configuration{c}, nil
	}
	addresses := []terraform.Address{address}
	if r.State != nil {
		for _, i := range r.State.Instances {
			addresses = append(addresses, i.Address)
		}
	}
	found, err := terraform.RootsOf(ctx, r.Tree, addresses, r.Near)
	if err != nil || len(r.VarFiles) == 0 {
		return found, err
	}
	for i, c := range found {
		if found[i], err = terraform.Load(ctx, r.Tree, c.Dir, options); err != nil {
			return nil, err
		}
	}
	return found, nil
}

type terraformTracer struct {
	r         TerraformRequest
	answer    *TerraformAnswer
	address   terraform.Address
	attribute []cty.Value
}

func (t *terraformTracer) at(p terraform.Place) fact.Location {
	return fact.Location{Repository: t.r.Repository, Commit: t.r.Commit, Path: p.Path, Line: p.Line, EndLine: max(p.Line, p.EndLine)}
}

// root adds what one root module says.
func (t *terraformTracer) root(c *terraform.Configuration) {
	answer, cause := t.answer, &t.answer.Cause
	for _, p := range c.Problems {
		answer.Problems = append(answer.Problems, p.String())
	}
	for _, u := range c.Unevaluated {
		answer.Unevaluated = append(answer.Unevaluated, fmt.Sprintf("%s from %s (%s:%d)", u.Address, u.Source, u.Place.Path, u.Place.Line))
	}
	declaration, missing, ok := c.Locate(t.address)
	if !ok {
		cause.Missing = append(cause.Missing, missing...)
		return
	}
	answer.Declaration = append(answer.Declaration, declaration)
	var standing *terraform.Instance
	strength := fact.Declared
	if t.r.State != nil {
		if standing = t.r.State.Find(t.address); standing != nil {
			strength = fact.Attested // the state says that this address stands
		}
	}
	link := func(kind, key string, p terraform.Place, method string, strength fact.Strength, detail string) {
		l := fact.Link{Kind: kind, Key: key, Location: t.at(p), Evidence: fact.Evidence{Method: method, Source: p.Path, Strength: strength, Detail: detail}}
		if !slices.Contains(cause.Chain, l) {
			cause.Chain = append(cause.Chain, l)
		}
	}
	for _, call := range declaration.Calls {
		link("module_call", call.Address, call.Place, "calls "+call.Source, strength, "")
	}
	link("terraform_resource", t.address.String(), declaration.Place, "declares", strength, "")
	if len(t.attribute) == 0 {
		t.locate(t.at(declaration.Place))
		return
	}
	trace := c.Trace(t.address, t.attribute)
	answer.Attribute = trace.Attribute
	verdict := trace.Compare(standing, t.attribute)
	if verdict != terraform.Unverified {
		answer.Verdict = verdict
	}
	answer.Traces = append(answer.Traces, trace)
	how := fact.Declared
	switch verdict {
	case terraform.Proven:
		how = fact.Proven
	case terraform.Drift:
		cause.Missing = append(cause.Missing, "another value stands than the configuration gives: it was changed elsewhere, so that applying or importing it settles it, not an edit")
	}
	for _, step := range trace.Steps {
		link(step.Kind, cmp.Or(step.Name, trace.Attribute), step.Place, "leads to", how, step.Module)
	}
	for _, control := range trace.Controls {
		link("control", cmp.Or(control.Name, "condition"), control.Place, "chose the branch", how, control.Module)
	}
	cause.Missing = append(append(cause.Missing, trace.Missing...), elsewhere(&trace)...)
	if trace.Status == terraform.TraceFound {
		t.locate(t.at(trace.Origins[0].Place))
		return
	}
	if trace.Status == terraform.TraceAbsent {
		t.locate(t.at(declaration.Place)) // the block where it would have to be set
	}
}

// elsewhere says which files of variables decide where they are given.
func elsewhere(trace *terraform.Trace) []string {
	if len(trace.Elsewhere) == 0 {
		return nil
	}
	var places []string
	for _, p := range trace.Elsewhere {
		places = append(places, fmt.Sprintf("%s:%d", p.Path, p.Line))
	}
	return []string{"a file of variables that Terraform reads only when it is given sets it, too, and decides then: " + listed(places)}
}

func (t *terraformTracer) locate(l fact.Location) {
	if !slices.Contains(t.answer.Cause.Locations, l) {
		t.answer.Cause.Locations = append(t.answer.Cause.Locations, l)
	}
}

// WriteText writes the answer for people; clean makes text from outside safe to
// print.
func (a *TerraformAnswer) WriteText(w io.Writer, clean func(string) string) error {
	var b strings.Builder
	say := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	place := func(p terraform.Place) string { return fmt.Sprintf("%s:%d", clean(p.Path), p.Line) }
	say("%s", clean(a.Address))
	for _, d := range a.Declaration {
		say("declared at %s", place(d.Place))
		for _, call := range d.Calls {
			say("  called at %s as %s from %s", place(call.Place), clean(call.Address), clean(call.Source))
		}
	}
	for _, t := range a.Traces {
		value := t.Value
		if t.Sensitive {
			value = "(sensitive)"
		}
		say("")
		say("%s is %s %s", clean(t.Attribute), t.Status, clean(value))
		for _, s := range t.Steps {
			say("  %-22s %s %s", place(s.Place), s.Kind, clean(s.Name))
		}
		for i, o := range t.Origins {
			word := "decided by"
			if t.Status != terraform.TraceFound {
				word = "in part by"
			} else if i > 0 {
				word = "and by"
			}
			say("%s %s:%d", word, place(o.Place), o.Place.Column)
		}
		for _, c := range t.Controls {
			say("chosen by %s:%d", place(c.Place), c.Place.Column)
		}
		for _, other := range t.Shared {
			say("shared with %s", clean(other))
		}
	}
	if len(a.Traces) > 0 {
		say("against what stands: %s", a.Verdict)
	}
	for _, missing := range a.Cause.Missing {
		say("missing: %s", clean(missing))
	}
	for _, u := range a.Unevaluated {
		say("not evaluated: %s", clean(u))
	}
	_, err := io.WriteString(w, b.String())
	return err
}
