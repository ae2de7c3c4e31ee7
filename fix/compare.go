package fix

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
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

func criteria() []criterion {
	return []criterion{
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
		{breakage, func(p, r *Path) string {
			if p.Temporary && !r.Temporary {
				return "an override works against what the dependency asked for and has to be taken back later"
			}
			return fmt.Sprintf("a step of risk %q where %q will do", p.Risk, r.Risk)
		}},
		{func(p *Path) int { return slices.Index([]string{EffortSmall, EffortMedium, EffortLarge}, p.Effort) }, func(p, r *Path) string {
			return fmt.Sprintf("more work: %s where %s will do", p.Effort, r.Effort)
		}},
		{func(p *Path) int { return len(p.Changes) }, func(p, r *Path) string {
			return fmt.Sprintf("moves %d packages where %d will do", len(p.Changes), len(r.Changes))
		}},
		{func(p *Path) int {
			return slices.Index([]string{RaiseLocked, RaiseDirect, RaiseAncestor, Replace, Override}, p.Kind)
		}, func(_, r *Path) string {
			return "equal otherwise; " + strings.ReplaceAll(r.Kind, "_", " ") + " is the more ordinary way"
		}},
	}
}

// breakage orders what may break: small steps, then overrides, then steps
// nobody promised anything about, then major steps.
func breakage(p *Path) int {
	rank := map[string]int{RiskPatch: 0, RiskMinor: 1, RiskUnknown: 3, RiskMajor: 4}[p.Risk]
	if p.Temporary && rank < 2 {
		rank = 2
	}
	return rank
}

// Compare orders paths, the recommended first, and says for each in words why
// it is or is not recommended: the lowest residual risk at the least effort.
// Ties are kept apart by id. It is deterministic and leaves its argument as it
// is.
func Compare(paths []Path) []Path {
	paths = slices.Clone(paths)
	rules := criteria()
	slices.SortStableFunc(paths, func(a, b Path) int {
		for _, rule := range rules {
			if order := cmp.Compare(rule.rank(&a), rule.rank(&b)); order != 0 {
				return order
			}
		}
		return cmp.Compare(a.ID, b.ID)
	})
	for i := range paths {
		p := &paths[i]
		p.Recommended = i == 0
		if i == 0 {
			p.Reason = praise(p)
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

func praise(p *Path) string {
	parts := []string{fmt.Sprintf("closes %d", len(p.Closes))}
	switch {
	case len(p.Residual)+len(p.Brings) == 0:
		parts = append(parts, "leaves nothing known and brings nothing new")
	default:
		if len(p.Residual) > 0 {
			parts = append(parts, "leaves "+list(p.Residual))
		}
		if len(p.Brings) > 0 {
			parts = append(parts, "brings "+list(p.Brings))
		}
		parts = append(parts, "no candidate leaves less")
	}
	parts = append(parts, fmt.Sprintf("%s step, %s effort", p.Risk, p.Effort))
	if p.Temporary {
		parts = append(parts, "to be taken back later")
	}
	return strings.Join(parts, "; ")
}

// list names up to three ids.
func list(ids []string) string {
	if len(ids) > 3 {
		return fmt.Sprintf("%s and %d more", strings.Join(ids[:3], ", "), len(ids)-3)
	}
	return strings.Join(ids, ", ")
}

// Group joins paths that are the same change: same fixer, module, kind,
// versions and files. The joined path closes what each of them closes. Order is that of
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
