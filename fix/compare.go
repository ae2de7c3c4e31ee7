package fix

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// Efforts of a path.
const (
	EffortSmall  = "small"  // one literal or one entry of a lock
	EffortMedium = "medium" // several literals, or something to take back later
	EffortLarge  = "large"  // code may have to follow
)

// criterion is one reason to prefer a path; the lesser rank wins.
type criterion struct {
	rank func(p *Path) int
	// because says why a path lost to the recommended one.
	because func(p, recommended *Path) string
}

func criteria(paths []Path) []criterion {
	return []criterion{
		{func(p *Path) int { return boolRank(failed(p)) }, func(p, _ *Path) string {
			return "its proof failed"
		}},
		{func(p *Path) int { return yields(paths, p) }, func(p, _ *Path) string { return shortfall(p) }},
		{func(p *Path) int { return len(p.Residual) + len(p.Brings) }, func(p, _ *Path) string {
			var parts []string
			if len(p.Residual) > 0 {
				parts = append(parts, "leaves "+list(p.Residual))
			}
			if len(p.Brings) > 0 {
				parts = append(parts, "brings "+list(p.Brings))
			}
			return strings.Join(parts, " and ")
		}},
		{func(p *Path) int { return -len(p.Closes) }, func(p, r *Path) string {
			return fmt.Sprintf("closes %d where %d can be closed", len(p.Closes), len(r.Closes))
		}},
		{standing, func(p, r *Path) string { return shortfall(p) }},
		{proof, func(p, r *Path) string {
			if r.tested() {
				return "the recommended path is proven and its tests pass"
			}
			return "the recommended path is proven"
		}},
		{func(p *Path) int { return boolRank(p.Breaking != nil && p.Breaking.Verdict == BreaksUsed) }, func(p, _ *Path) string {
			return "breaks what is used here" + used(p.Breaking.Uses)
		}},
		{func(p *Path) int { return boolRank(p.History != nil && p.History.RevertedLately) }, func(p, _ *Path) string {
			return "such a change was taken back lately: " + p.History.Text
		}},
		{breakage, func(p, r *Path) string {
			if p.Temporary && !r.Temporary {
				return "an override works against what the dependency asked for and has to be taken back later"
			}
			text := fmt.Sprintf("a step of risk %q where %q will do", p.Risk, r.Risk)
			if p.Risk == r.Risk {
				text += "; of the recommended path it is known that nothing used here changes"
			}
			return text
		}},
		{func(p *Path) int { return effortRank(p.Effort) }, func(p, r *Path) string {
			return fmt.Sprintf("more work: %s where %s will do", p.Effort, r.Effort)
		}},
		{func(p *Path) int { return len(p.Changes) }, func(p, r *Path) string {
			return fmt.Sprintf("moves %d packages where %d will do", len(p.Changes), len(r.Changes))
		}},
		{kindRank, func(_, r *Path) string {
			return "equal otherwise; " + strings.ReplaceAll(r.Kind, "_", " ") + " is the more ordinary way"
		}},
		{func(p *Path) int { return takes(p) }, func(p, r *Path) string {
			return "takes longer here until it runs: " + Days(p.Live.Total) + " where " + Days(r.Live.Total) + " will do"
		}},
	}
}

func boolRank(is bool) int {
	if is {
		return 1
	}
	return 0
}

// effortRank orders efforts; one that nobody stated counts as large.
func effortRank(effort string) int {
	if i := slices.Index([]string{EffortSmall, EffortMedium}, effort); i >= 0 {
		return i
	}
	return 2
}

// kindRank orders kinds from the most ordinary; one that is not listed is last.
func kindRank(p *Path) int {
	kinds := []string{
		RaiseLocked, RaiseDirect, RaiseAncestor, EditValue, AddBlock, RaiseModule, Rebuild, ChangeBase, UpgradePackage,
		PinDigest, Replace, Override, Reconcile, EditSource, Rotate, PatchLayer, Stopgap, Accept,
	}
	if i := slices.Index(kinds, p.Kind); i >= 0 {
		return i
	}
	return len(kinds)
}

// takes is the time until a path runs, where all of it is known, in hours.
func takes(p *Path) int {
	if p.Live == nil || !p.Live.Whole {
		return 0
	}
	return int(p.Live.Total / 3600e6)
}

// How long what a path does stands, and who carries it out.
const (
	durable = iota
	byHand
	passing // ends, or is undone by the next build
	waiver
)

func standing(p *Path) int {
	switch {
	case p.Kind == Accept:
		return waiver
	case p.Kind == Stopgap || p.Kind == PatchLayer || p.Expires > 0:
		return passing
	case p.Manual:
		return byHand
	}
	return durable
}

// yields says that another path does more lastingly, or with less work of people,
// what this one does: it closes as much. The greater, the further behind.
func yields(paths []Path, p *Path) int {
	own := standing(p)
	for i := range paths {
		if q := &paths[i]; standing(q) < own && len(q.Closes) >= len(p.Closes) && !failed(q) {
			return own
		}
	}
	return 0
}

func failed(p *Path) bool {
	return p.Verification != nil && p.Verification.Status == fact.VerificationFailed
}

func shortfall(p *Path) string {
	switch standing(p) {
	case waiver:
		return "an exception accepts the risk and closes nothing for good"
	case passing:
		if p.Expires > 0 {
			return fmt.Sprintf("a stopgap: it ends after %s, and the cause stays", count(int64(p.Expires), "hour"))
		}
		return "a stopgap: the next build or deploy undoes it, and the cause stays"
	}
	return "people have to carry it out, and nothing proves it"
}

// proof orders paths by what was proven of them: with tests, without, not tried.
func proof(p *Path) int {
	switch {
	case p.tested():
		return 0
	case p.Verification != nil && p.Verification.Status == fact.VerificationProven:
		return 1
	}
	return 2
}

// testsCheck is the name of the check that runs a repository's tests.
const testsCheck = "tests"

// tested says that a path is proven and that the repository's own tests pass on it.
func (p *Path) tested() bool {
	return p.Verification != nil && p.Verification.Status == fact.VerificationProven && slices.ContainsFunc(p.Verification.Checks, func(c fact.Check) bool {
		return c.Name == testsCheck && c.Status == fact.CheckPass
	})
}

// breakage orders what may break: small steps, then overrides, then steps
// nobody promised anything about, then major steps. Where it is known that nothing
// used here changes, a long step counts as a minor one.
func breakage(p *Path) int {
	rank, known := map[string]int{RiskPatch: 0, RiskMinor: 1, RiskUnknown: 3, RiskMajor: 4}[p.Risk]
	if !known {
		rank = 3
	}
	if b := p.Breaking; b != nil && (b.Verdict == BreaksNothing || b.Verdict == BreaksUnused) {
		rank = min(rank, 1)
	}
	if p.Temporary && rank < 2 {
		rank = 2
	}
	return rank
}

// Compare orders paths, the recommended first, and says for each in words why
// it is or is not recommended: the lowest residual risk at the least effort.
// An exception mends nothing, so none is recommended: where there is nothing else, no
// path is. Ties are kept apart by id. It is deterministic and leaves its argument as
// it is.
func Compare(paths []Path) []Path {
	paths = slices.Clone(paths)
	for i := range paths {
		paths[i].Recommended, paths[i].Reason = false, ""
	}
	all := slices.Clone(paths)
	rules := criteria(all)
	slices.SortStableFunc(paths, func(a, b Path) int {
		for _, rule := range rules {
			if order := cmp.Compare(rule.rank(&a), rule.rank(&b)); order != 0 {
				return order
			}
		}
		return cmp.Or(cmp.Compare(a.ID, b.ID), bytes.Compare(content(a), content(b)))
	})
	for i := range paths {
		p := &paths[i]
		if p.Kind == Accept && paths[0].Kind == Accept {
			p.Reason = "nothing else is known, and " + shortfall(p) + "; whether to take the risk is its owner's to decide"
			continue
		}
		p.Recommended = i == 0
		if i == 0 {
			p.Reason = praise(p, all)
			continue
		}
		p.Reason = "equal to the recommended path; listed after it by name"
		for _, rule := range rules {
			if rule.rank(p) != rule.rank(&paths[0]) {
				p.Reason = rule.because(p, &paths[0])
				break
			}
		}
	}
	return paths
}

// content is a path as text, to tell two of one id apart.
func content(p Path) []byte {
	data, err := json.Marshal(p)
	if err != nil {
		return nil // a path holds nothing that cannot be written
	}
	return data
}

// praise says why a path is recommended among all.
func praise(p *Path, all []Path) string {
	parts := []string{fmt.Sprintf("closes %d", len(p.Closes))}
	left := func(p *Path) int { return len(p.Residual) + len(p.Brings) }
	if left(p) == 0 {
		parts = append(parts, "leaves nothing known and brings nothing new")
	} else {
		if len(p.Residual) > 0 {
			parts = append(parts, "leaves "+list(p.Residual))
		}
		if len(p.Brings) > 0 {
			parts = append(parts, "brings "+list(p.Brings))
		}
		if slices.ContainsFunc(all, func(q Path) bool { return left(&q) < left(p) && !failed(&q) }) {
			parts = append(parts, "what leaves less does not last or needs people")
		} else {
			parts = append(parts, "no candidate leaves less")
		}
	}
	switch {
	case failed(p):
		parts = append(parts, "its proof failed, and there is no other path")
	case p.tested():
		parts = append(parts, "proven, and its tests pass")
	case proof(p) == 1:
		parts = append(parts, "proven")
	}
	parts = append(parts, fmt.Sprintf("%s step, %s effort", p.Risk, p.Effort))
	if b := p.Breaking; b != nil {
		switch b.Verdict {
		case BreaksNothing:
			parts = append(parts, "takes nothing away that is exported")
		case BreaksUnused:
			parts = append(parts, "changes nothing that is used here")
		case BreaksUsed:
			parts = append(parts, "code has to follow: it changes what is used here"+used(b.Uses))
		}
	}
	if h := p.History; h != nil && h.Same.Merged > 0 {
		parts = append(parts, "before: "+h.Text)
	}
	switch standing(p) {
	case durable:
		if p.Temporary {
			parts = append(parts, "to be taken back later")
		}
	default:
		parts = append(parts, shortfall(p))
	}
	return strings.Join(parts, "; ")
}

// used names the first place that uses what changes.
func used(uses []Use) string {
	if len(uses) == 0 {
		return ""
	}
	text := ": " + uses[0].Symbol
	if at := uses[0].Location; at.Path != "" {
		text += fmt.Sprintf(" (%s:%d)", at.Path, at.Line)
	}
	if n := len(uses) - 1; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// list names up to three ids.
func list(ids []string) string {
	if len(ids) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(ids[:3], ", "), len(ids)-3)
	}
	return strings.Join(ids, ", ")
}

// Group joins paths that are the same change: same fixer, module, kind, versions,
// files and edits. The joined path closes what each of them closes. Order is that of
// the first of each group.
func Group(paths []Path) []Path {
	var result []Path
	at := map[string]int{}
	for _, p := range paths {
		key := fmt.Sprintf("%q %q %q", p.Fixer, p.Module, p.Kind)
		for _, change := range p.Changes {
			key += fmt.Sprintf(" %q %q", change.Package, change.To)
		}
		for _, step := range p.Steps {
			if step.Location != nil {
				key += fmt.Sprintf(" %q", step.Location.Path)
			}
		}
		for _, edit := range p.Edits {
			key += fmt.Sprintf(" %q %d-%d %q", edit.Path, edit.Start, edit.End, edit.New)
		}
		if p.Manual {
			key += fmt.Sprintf(" %q", p.ID) // what people do is told by its steps
		}
		i, seen := at[key]
		if !seen {
			at[key] = len(result)
			result = append(result, p)
			continue
		}
		joined := &result[i]
		joined.Findings += p.Findings
		joined.Closes = union(joined.Closes, p.Closes)
		joined.Residual = union(joined.Residual, p.Residual)
		joined.Brings = union(joined.Brings, p.Brings)
		joined.Risk = worse(joined.Risk, p.Risk)
	}
	return result
}

func union(a, b []string) []string {
	both := slices.Concat(a, b)
	slices.Sort(both)
	return slices.Compact(both)
}
