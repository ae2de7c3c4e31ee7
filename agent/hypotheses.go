package agent

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// investigator asks the questions of one domain where they apply.
type investigator struct {
	domain  string
	applies func(q *inquiry) bool
	ask     []func(q *inquiry) (text, verdict, why string, evidence []int)
}

func investigators() []investigator {
	kinds := func(kinds ...string) func(*inquiry) bool {
		return func(q *inquiry) bool {
			return slices.ContainsFunc(q.it.Assets, func(a fact.Asset) bool { return slices.Contains(kinds, a.Kind) })
		}
	}
	return []investigator{
		{"image", kinds(fact.AssetImage), []func(*inquiry) (string, string, string, []int){fromBase, staleImage}},
		{"dependency", func(q *inquiry) bool { return q.it.Package != nil }, []func(*inquiry) (string, string, string, []int){direct, reached, fixKnown}},
		{"cloud", kinds(fact.AssetResource, fact.AssetCluster), []func(*inquiry) (string, string, string, []int){declaredInCode, openToAll}},
		{"identity", func(q *inquiry) bool {
			return len(q.privy) > 0 || kinds(fact.AssetResource, fact.AssetWorkload, fact.AssetIdentity)(q)
		}, []func(*inquiry) (string, string, string, []int){powers}},
		{"kubernetes", kinds(fact.AssetKubernetes, fact.AssetWorkload), []func(*inquiry) (string, string, string, []int){fromManifest, openToAll}},
		{"secret", func(q *inquiry) bool { return q.it.Kind == fact.Secret }, []func(*inquiry) (string, string, string, []int){stillThere}},
	}
}

func (q *inquiry) hypotheses() {
	for _, one := range investigators() {
		if !one.applies(q) {
			continue
		}
		for _, ask := range one.ask {
			text, verdict, why, evidence := ask(q)
			if evidence == nil {
				evidence = []int{q.told()}
			}
			q.record.Hypotheses = append(q.record.Hypotheses, Hypothesis{Domain: one.domain, Text: text, Verdict: verdict, Why: oneLine(why), Evidence: once(evidence)})
		}
	}
}

// link finds a step of the chain whose kind is one of those, and the number of its
// evidence.
func (q *inquiry) link(kinds ...string) (fact.Link, []int, bool) {
	for _, link := range q.it.Cause.Chain {
		if slices.Contains(kinds, link.Kind) {
			at := link.Location
			return link, []int{q.number(link.Evidence, &at)}, true
		}
	}
	return fact.Link{}, nil, false
}

func fromBase(q *inquiry) (text, verdict, why string, evidence []int) {
	text = "The flaw comes with the base image."
	if link, n, ok := q.link("base", "base_image"); ok {
		return text, Supported, "the chain leads to the base " + link.Key, n
	}
	if link, n, ok := q.link("instruction", "layer"); ok {
		return text, Refuted, "a line of our own brought it: " + link.Key + plainPlace(link.Location), n
	}
	return text, Unknown, "the image's layers were not looked into; backstitch triage --image REF does", nil
}

func staleImage(q *inquiry) (text, verdict, why string, evidence []int) {
	text = "A rebuild without any change of lines would do."
	for _, p := range q.it.FixPaths {
		if p.Kind == fix.Rebuild {
			return text, Supported, p.Summary, q.chain()
		}
	}
	if len(q.it.FixPaths) > 0 {
		return text, Refuted, "the ways that are known change lines", q.chain()
	}
	return text, Unknown, "no way to fix it is known", nil
}

func direct(q *inquiry) (text, verdict, why string, evidence []int) {
	text = "The package is a direct dependency."
	if link, n, ok := q.link("ancestor"); ok {
		return text, Refuted, "it comes through " + link.Key, n
	}
	if link, n, ok := q.link("manifest", "declaration"); ok {
		return text, Supported, "a manifest names it" + plainPlace(link.Location), n
	}
	return text, Unknown, "the chain does not lead to a manifest", nil
}

func reached(q *inquiry) (text, verdict, why string, evidence []int) {
	text = "The program reaches the flawed code."
	for _, p := range q.it.FixPaths {
		if p.Reachability == nil || p.Reachability.Verdict == fix.ReachUnknown {
			continue
		}
		for _, e := range p.Reachability.Evidence {
			evidence = append(evidence, q.number(e, nil))
		}
		switch p.Reachability.Verdict {
		case fix.ReachesSymbol:
			return text, Supported, "a call leads to a flawed symbol", evidence
		case fix.ReachesPackage:
			return text, Unknown, "the flawed package is part of the program; no call is known", evidence
		}
		return text, Refuted, "the module is required and the flawed package is not part of the program; that lowers the risk and closes nothing", evidence
	}
	return text, Unknown, "nobody looked: reachability is known for Go modules only", nil
}

func fixKnown(q *inquiry) (text, verdict, why string, evidence []int) {
	text = "A version without the flaw exists."
	for _, p := range q.it.FixPaths {
		for _, change := range p.Changes {
			if change.To != "" {
				return text, Supported, fmt.Sprintf("%s %s", change.Package, change.To), q.chain()
			}
		}
	}
	return text, Unknown, cmp.Or(strings.Join(q.it.Blocked, "; "), "no advisory names one"), nil
}

func declaredInCode(q *inquiry) (text, verdict, why string, evidence []int) {
	text = "The resource is declared in code, and not made by hand."
	if link, n, ok := q.link("terraform_resource", "resource", "block", "attribute", "literal"); ok {
		return text, Supported, link.Key + plainPlace(link.Location), n
	}
	for _, view := range q.views {
		for _, one := range view.Out {
			if one.Kind == fact.DeclaredBy {
				return text, Supported, "declared by " + one.Asset.Key, q.witnesses(one.Evidence[:min(1, len(one.Evidence))])
			}
			if one.Kind == fact.CreatedBy {
				return text, Unknown, "made by " + cmp.Or(one.Asset.Name, one.Asset.Key) + "; no state declares it", q.witnesses(one.Evidence[:min(1, len(one.Evidence))])
			}
		}
	}
	return text, Unknown, "no Terraform state that is known declares it; backstitch source add terraformstate would settle it", nil
}

func openToAll(q *inquiry) (text, verdict, why string, evidence []int) {
	text = "It can be reached from the internet."
	for i, numbers := range q.outside {
		if len(numbers) > 0 {
			return text, Supported, cmp.Or(q.it.Assets[i].Name, q.it.Assets[i].Key), numbers
		}
	}
	if len(q.views) == 0 {
		return text, Unknown, "no source tells of it", nil
	}
	return text, Unknown, "no way is known; that a source did not look is no proof that there is none", nil
}

func powers(q *inquiry) (text, verdict, why string, evidence []int) {
	text = "What runs here holds powers that an attacker would use."
	if len(q.privy) > 0 {
		return text, Supported, "it runs as, can assume or may act on other identities and assets", q.privy
	}
	return text, Unknown, "no identity of it is known", nil
}

func fromManifest(q *inquiry) (text, verdict, why string, evidence []int) {
	text = "A file of a repository decides the value, and nothing in the cluster."
	if link, n, ok := q.link("manifest", "value", "values", "overlay", "template", "file"); ok {
		return text, Supported, link.Key + plainPlace(link.Location), n
	}
	return text, Unknown, "the object was not led to a manifest, chart or overlay", nil
}

func stillThere(q *inquiry) (text, verdict, why string, evidence []int) {
	text = "The secret still stands in the repository."
	if q.it.Cause.Status == fact.CauseFound && len(q.it.Cause.Locations) > 0 {
		return text, Supported, "at" + strings.TrimPrefix(plainPlace(q.it.Cause.Locations[0]), " at") + "; what is in the history stays there, so rotate it first", q.chain()
	}
	return text, Unknown, "its line was not found at the commit that was looked at; it may be in the history", nil
}
