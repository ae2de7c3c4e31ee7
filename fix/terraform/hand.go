package terraform

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// driftWords stand in a cause that says that another value stands than is declared.
const driftWords = "another value stands than the configuration gives"

func drifted(flaw *fix.Flaw) bool {
	return slices.ContainsFunc(flaw.Cause.Missing, func(text string) bool { return strings.Contains(text, driftWords) })
}

// reconcile is the path for what was changed outside of the configuration.
func reconcile(site *fix.Site, flaw *fix.Flaw) fix.Path {
	root := path.Dir(site.Location.Path)
	chdir := "terraform -chdir=" + quoted(root)
	p := fix.Path{
		Kind: fix.Reconcile, Summary: "make what runs what is declared again: apply the configuration as it is", Effort: fix.EffortSmall, Risk: "unknown",
		Closes: []string{flaw.Issue}, Fixer: ID, Manual: true, Module: root, Changes: []fix.Change{}, Reach: "what was changed outside of the configuration",
		Steps: []fix.Step{
			{Text: "see what differs", Command: chdir + " plan"},
			{Text: "find in the cloud's log who changed it and why; where the change has to stay, write it into the configuration instead"},
			{Text: "apply what the plan shows", Command: chdir + " apply"},
		},
	}
	p.ID = identity(&p)
	return p
}

// byHand is for a flaw that no scanner of ours sees.
func (e *estate) byHand(ctx context.Context, site *fix.Site, flaw *fix.Flaw) ([]fix.Path, error) {
	if flaw.Kind != fact.Misconfiguration {
		return nil, nil
	}
	if drifted(flaw) {
		return []fix.Path{reconcile(site, flaw)}, nil
	}
	for _, told := range flaw.Told {
		address, _, err := terraform.ParseAddress(told.Anchor)
		if err != nil || len(address.Modules) == 0 {
			continue
		}
		for _, root := range e.roots {
			c, err := e.load(ctx, root)
			if err != nil {
				return nil, err
			}
			for _, call := range c.Unevaluated {
				if inside(address, call.Address) {
					return []fix.Path{outsideModule(flaw, root, address, call)}, nil
				}
			}
		}
	}
	name := code.CleanPath(site.Location.Path)
	site.Block(fmt.Sprintf("no scanner of ours judges %s, so that no edit of %s could be shown to close it", strings.Join(flaw.Rules[:min(len(flaw.Rules), 3)], ", "), name))
	return nil, nil
}

// inside says whether an address lies in a module call, such as module.a.module.b.
func inside(a terraform.Address, call string) bool {
	names := strings.Split(strings.TrimPrefix(call, "module."), ".module.")
	if len(names) > len(a.Modules) {
		return false
	}
	for i, name := range names {
		if a.Modules[i].Name != name {
			return false
		}
	}
	return true
}

// outsideModule is for a resource of a module that the repository does not hold.
func outsideModule(flaw *fix.Flaw, root string, a terraform.Address, call terraform.Unevaluated) fix.Path {
	p := fix.Path{
		Kind: fix.RaiseModule, Summary: fmt.Sprintf("pass the safe value to %s, or raise it to a version that has it", call.Address), Effort: fix.EffortMedium, Risk: "unknown",
		Closes: []string{flaw.Issue}, Fixer: ID, Manual: true, Module: root, Changes: []fix.Change{}, Reach: "every resource that " + call.Address + " makes",
		Steps: []fix.Step{
			{Text: fmt.Sprintf("%s is made by the module %s, which is not in the repository: bring it here to see its variables", a, call.Source), Command: "terraform -chdir=" + quoted(path.Clean(root)) + " init -backend=false"},
			{Text: "pass an argument for the value in the call, where the module has a variable for it", Location: &fact.Location{Path: call.Place.Path, Line: call.Place.Line, EndLine: call.Place.EndLine}},
			{Text: "where it has none, raise its version once a later one does, or propose the change to the module"},
		},
	}
	p.ID = identity(&p)
	return p
}
