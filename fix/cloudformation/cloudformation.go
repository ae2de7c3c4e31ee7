// Package cloudformation plans changes to templates of AWS CloudFormation: the value of
// a property that is written in the template, or a property that it lacks. Bytes are
// spliced at the value; values that functions make are left to people.
package cloudformation

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/cloudformation"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// ID names the fixer in paths.
const ID = "fix/cloudformation"

type fixer struct{}

// New makes the fixer.
func New() fix.SiteFixer { return fixer{} }

func (fixer) Describe() fix.Description {
	return fix.Description{ID: ID, Name: "CloudFormation", Docs: "Edits the properties of resources in templates where they are written."}
}

// Apply implements fix.Fixer.
func (fixer) Apply(_ context.Context, dir string, path fix.Path) ([]string, error) {
	return fix.EditFiles(dir, path.Edits)
}

// PlanSite implements fix.SiteFixer.
func (fixer) PlanSite(ctx context.Context, site *fix.Site) ([]fix.Path, error) {
	var paths []fix.Path
	for i := range site.Flaws {
		flaw := &site.Flaws[i]
		seen := slices.DeleteFunc(slices.Clone(flaw.Seen), func(f fact.Finding) bool { return !strings.HasPrefix(f.Rule, "cloudformation/") })
		if len(seen) == 0 {
			continue
		}
		if len(seen) > 1 && slices.ContainsFunc(seen, func(f fact.Finding) bool {
			return f.Attributes[fix.AttributeObject] != seen[0].Attributes[fix.AttributeObject]
		}) {
			site.Block("several resources of templates have the flaw; each is planned for by itself")
			continue
		}
		p, err := plan(ctx, site, flaw, &seen[0])
		if err != nil {
			return nil, err
		}
		if p == nil {
			continue
		}
		at := slices.IndexFunc(paths, func(o fix.Path) bool { return o.ID == p.ID })
		if at >= 0 {
			paths[at].Closes = append(paths[at].Closes, p.Closes...)
			continue
		}
		paths = append(paths, *p)
	}
	return paths, nil
}

// plan makes the path for one finding, nil when there is none.
func plan(ctx context.Context, site *fix.Site, flaw *fix.Flaw, f *fact.Finding) (*fix.Path, error) {
	name := code.CleanPath(f.Path)
	data, err := site.Tree.Read(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	resources, _ := cloudformation.Resources(name, data)
	at := slices.IndexFunc(resources, func(r cloudformation.Resource) bool { return name+":"+r.Address() == f.Attributes[fix.AttributeObject] })
	if at < 0 {
		site.Block(name + " no longer declares " + f.Anchor)
		return nil, nil
	}
	field, wanted := f.Attributes[fix.AttributeField], f.Attributes[fix.AttributeWanted]
	location := fact.Location{Path: name, Line: f.Line, EndLine: max(f.Line, f.EndLine)}
	p := &fix.Path{
		Kind: fix.EditValue, Effort: fix.EffortSmall, Risk: "patch", Closes: []string{flaw.Issue}, Fixer: ID, Module: ".", Changes: []fix.Change{},
		Reach: "1 of 1 resources " + resources[at].Address(), Summary: fmt.Sprintf("set %s of %s to %s", field, resources[at].Name, wanted),
	}
	p.Steps = []fix.Step{{Text: p.Summary, Location: &location}}
	if ask, choose := strings.CutPrefix(wanted, "?"); choose {
		p.Summary = fmt.Sprintf("set %s of %s: choose %s", field, resources[at].Name, ask)
		p.Manual, p.Effort, p.Risk, p.Steps[0].Text = true, fix.EffortMedium, "unknown", p.Summary
		return named(p), nil
	}
	edit, err := edited(name, data, &resources[at], field, wanted)
	if err != nil {
		site.Block(fmt.Sprintf("%s of %s: %v", field, resources[at].Address(), err))
		p.Manual = true
		return named(p), nil
	}
	p.Edits = []fix.FileEdit{edit}
	p.Steps[0].Location = &fact.Location{Path: name, Line: edit.Line, EndLine: edit.Line + strings.Count(edit.Old, "\n")}
	if own := resources[at].Node.Get(strings.Split(field, ".")...); own != nil && resources[at].Resolve(own) != own {
		p.Reach = "every resource that takes the parameter"
		p.Risk = "minor"
		p.Steps = append(p.Steps, fix.Step{Text: "it is the default of a parameter: where a deployment passes another value, change it there"})
	}
	p.Steps = append(p.Steps, fix.Step{Text: "see in the change set that nothing is replaced"})
	return named(p), nil
}

// edited makes the edit of one field.
func edited(name string, data []byte, r *cloudformation.Resource, field, wanted string) (fix.FileEdit, error) {
	segments, err := kubernetes.ParsePath(field)
	if err != nil {
		return fix.FileEdit{}, err
	}
	node, below := r.Node, segments
	// A value that refers to a parameter is decided by the parameter's default.
	if own := r.Node.Get(strings.Split(field, ".")...); own != nil && r.Resolve(own) != own {
		node, below = r.Resolve(own), nil
	}
	spot, ok := kubernetes.Locate(data, node)
	if !ok {
		return fix.FileEdit{}, fmt.Errorf("%s stands nowhere in the text beyond doubt", r.Name)
	}
	values, problems := kubernetes.Documents("wanted.json", []byte(wanted))
	if len(values) != 1 || len(problems) > 0 {
		return fix.FileEdit{}, fmt.Errorf("the wanted value %q is none", wanted)
	}
	after, err := kubernetes.Set(data, spot.Below(below...), values[0])
	if err != nil {
		return fix.FileEdit{}, err
	}
	if after.Aliases > 0 {
		return fix.FileEdit{}, fmt.Errorf("%d other places are the same by an anchor", after.Aliases)
	}
	start := 0
	for start < len(data) && start < len(after.Data) && data[start] == after.Data[start] {
		start++
	}
	end, tail := len(data), len(after.Data)
	for end > start && tail > start && data[end-1] == after.Data[tail-1] {
		end, tail = end-1, tail-1
	}
	return fix.NewFileEdit(name, data, start, end, string(after.Data[start:tail])), nil
}

func named(p *fix.Path) *fix.Path {
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\x00%s\x00%s", p.Kind, p.Summary, p.Steps[0].Location.Path)
	for _, e := range p.Edits {
		fmt.Fprintf(sum, "\x00%d %d %s", e.Start, e.End, e.New)
	}
	p.ID = "cloudformation-" + hex.EncodeToString(sum.Sum(nil))[:16]
	return p
}
