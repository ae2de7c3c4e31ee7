package owner

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// Precedence says how much claims are worth. It is configuration; Default holds
// where nobody says otherwise.
type Precedence struct {
	// Sources multiply a claim's own confidence, by the first part of its source
	// ("backstage" of "backstage:prod"); one that is not listed counts Other.
	Sources map[string]float64
	Other   float64
	// Roles multiply it by what the owner is to the subject.
	Roles map[string]float64
	// Inherited multiplies it for each step that the claim was inherited over, from
	// an asset to its service, project or account.
	Inherited float64
	// HalfLife is how fast the word of a creator or last author loses worth, in days.
	HalfLife float64
	// Clear is the least confidence of the first suggestion at which there is a
	// clear owner.
	Clear float64
	// Lead is how far the first has to be ahead of another of its kind, or they are
	// in conflict.
	Lead float64
}

// Sources of claims that are known here. Others name themselves.
const (
	SourceHuman   = "human"   // a person's word in Backstitch
	SourceTagRule = "tagrule" // a rule over tags
	SourceCode    = "code"    // CODEOWNERS and history, through code to cloud
)

// DefaultPrecedence are the worths that hold by themselves: what somebody declared
// and keeps in a catalog before what can be read off tags, both before who
// happened to make something.
func DefaultPrecedence() Precedence {
	return Precedence{
		Sources: map[string]float64{
			"backstage": 1, "project": .95, "servicenow": .9, SourceTagRule: .9, "pagerduty": .8, "opsgenie": .8, SourceCode: .85, "kubernetes": .8, "auditlog": .6,
		},
		Other: .7,
		Roles: map[string]float64{
			"owner": 1, "primary": .95, "on_call": .75, "security_champion": .6, "reviewer": .6, "creator": .7, "last_author": .6,
		},
		Inherited: .85, HalfLife: 540, Clear: .5, Lead: .1,
	}
}

// Claimed is a claim as it reaches a subject.
type Claimed struct {
	fact.Claim
	// Via are the assets that it was inherited over, nearest first; none for the
	// subject's own.
	Via []fact.Asset
}

// Ruling is a human decision about who owns a subject.
type Ruling struct {
	Owner  fact.Party
	Accept bool // assigned or accepted; else rejected
	Pinned bool
	By     string
	Reason string
	At     int64
}

// Suggested is the answer for one subject.
type Suggested struct {
	Owners []fact.Owner // teams and persons, surest first
	// Clear says that the first one may be taken; Why says why not.
	Clear bool
	Why   string
	// Conflicts are claims of like worth for different owners; Stale those that
	// lost worth by age or ended.
	Conflicts []string
	Stale     []string
}

// day in microseconds.
const dayMicros = 86400 * 1e6

// Weigh ranks who owns a subject. Claims of one source for one owner count once,
// those of several sources together: 1 - (1-a)(1-b). A human's word outweighs
// everything, a rejected owner is left out. The answer depends on the claims and
// not on their order.
func (p *Precedence) Weigh(claims []Claimed, rulings []Ruling, now int64) Suggested {
	var s Suggested
	type tally struct {
		party   fact.Party
		role    string
		best    float64 // of the claim that gives the role
		sources map[string]float64
		reasons []fact.OwnerEvidence
		ruled   bool
	}
	byParty := map[[2]string]*tally{}
	var order []*tally
	of := func(party fact.Party) *tally {
		key := [2]string{party.Kind, strings.ToLower(party.ID)}
		t := byParty[key]
		if t == nil {
			t = &tally{party: party, sources: map[string]float64{}}
			byParty[key] = t
			order = append(order, t)
		}
		if t.party.Name == "" || t.party.Name == t.party.ID && party.Name != "" {
			t.party.Name = cmp.Or(party.Name, party.ID)
		}
		return t
	}
	rejected := map[[2]string]Ruling{}
	for _, r := range rulings {
		key := [2]string{r.Owner.Kind, strings.ToLower(r.Owner.ID)}
		if !r.Accept {
			rejected[key] = r
			continue
		}
		t := of(r.Owner)
		t.ruled, t.role, t.best = true, RoleOwner, 2
		word := "accepted"
		if r.Pinned {
			word = "pinned"
		}
		t.sources[SourceHuman] = 1
		t.reasons = append(t.reasons, fact.OwnerEvidence{Kind: SourceHuman, Source: r.By, Detail: strings.TrimSpace(word + " " + r.Reason), Weight: 1})
	}
	sorted := slices.Clone(claims)
	slices.SortFunc(sorted, compareClaims)
	for i := range sorted {
		c := &sorted[i]
		source, _, _ := strings.Cut(c.Source, ":")
		worth, note := p.worth(c, source, now)
		detail := c.Role
		if len(c.Via) > 0 {
			names := make([]string, len(c.Via))
			for j, a := range c.Via {
				names[j] = cmp.Or(a.Name, a.Key)
			}
			detail += " through " + strings.Join(names, ", ")
		}
		if c.Evidence.Detail != "" {
			detail += ": " + c.Evidence.Detail
		}
		if note != "" {
			s.Stale = append(s.Stale, fmt.Sprintf("%s by %s: %s", cmp.Or(c.Owner.Name, c.Owner.ID), c.Source, note))
			detail += " (" + note + ")"
		}
		if worth <= 0 {
			continue
		}
		if r, no := rejected[[2]string{c.Owner.Kind, strings.ToLower(c.Owner.ID)}]; no {
			s.Stale = append(s.Stale, fmt.Sprintf("%s by %s: %s rejected it %s", cmp.Or(c.Owner.Name, c.Owner.ID), c.Source, r.By, r.Reason))
			continue
		}
		t := of(c.Owner)
		if worth > t.best {
			t.best, t.role = worth, c.Role
		}
		t.sources[source] = max(t.sources[source], worth)
		t.reasons = append(t.reasons, fact.OwnerEvidence{Kind: source, Source: c.Evidence.Source, Detail: detail, Weight: round(worth)})
	}
	for _, t := range order {
		rest := 1.0
		for _, name := range sortedKeys(t.sources) {
			rest *= 1 - t.sources[name]
		}
		confidence := 1 - rest
		slices.SortStableFunc(t.reasons, func(a, b fact.OwnerEvidence) int { return cmp.Compare(b.Weight, a.Weight) })
		s.Owners = append(s.Owners, fact.Owner{Kind: t.party.Kind, ID: t.party.ID, Name: t.party.Name, Role: t.role, Confidence: round(confidence), Evidence: t.reasons})
	}
	slices.SortStableFunc(s.Owners, func(a, b fact.Owner) int {
		return cmp.Or(cmp.Compare(b.Confidence, a.Confidence), cmp.Compare(b.Kind, a.Kind), cmp.Compare(a.ID, b.ID)) // a team before a person
	})
	p.judge(&s, len(rulings) > 0)
	return s
}

func compareClaims(a, b Claimed) int {
	return cmp.Or(
		cmp.Compare(len(a.Via), len(b.Via)), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Owner.Kind, b.Owner.Kind),
		cmp.Compare(a.Owner.ID, b.Owner.ID), cmp.Compare(a.Evidence.Source, b.Evidence.Source), cmp.Compare(a.Evidence.Detail, b.Evidence.Detail), cmp.Compare(b.Confidence, a.Confidence))
}

func sortedKeys(m map[string]float64) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// worth is what a claim counts, with a note when age took from it.
func (p *Precedence) worth(c *Claimed, source string, now int64) (worth float64, note string) {
	if c.Until != 0 && c.Until <= now {
		return 0, "ended"
	}
	worth = c.Confidence
	if w, ok := p.Sources[source]; ok {
		worth *= w
	} else {
		worth *= p.Other
	}
	if w, ok := p.Roles[c.Role]; ok {
		worth *= w
	} else {
		worth *= p.Other
	}
	for range c.Via {
		worth *= p.Inherited
	}
	if (c.Role == "creator" || c.Role == "last_author") && c.Since > 0 && p.HalfLife > 0 && now > c.Since {
		days := float64(now-c.Since) / dayMicros
		kept := math.Exp2(-days / p.HalfLife)
		if worth *= kept; kept < .5 {
			note = fmt.Sprintf("%.0f days ago", days)
		}
	}
	return min(1, max(0, worth)), note
}

// judge says whether the first suggestion is clear, and names conflicts.
func (p *Precedence) judge(s *Suggested, ruled bool) {
	if len(s.Owners) == 0 {
		s.Why = "nobody claims it"
		return
	}
	first := s.Owners[0]
	for _, other := range s.Owners[1:] {
		if !ruled && other.Kind == first.Kind && other.Role == first.Role && first.Confidence-other.Confidence < p.Lead {
			s.Conflicts = append(s.Conflicts, fmt.Sprintf("%s %s (%.2f) and %s %s (%.2f)", first.Kind, first.Name, first.Confidence, other.Kind, other.Name, other.Confidence))
		}
	}
	switch {
	case first.Confidence < p.Clear:
		s.Why = fmt.Sprintf("no clear owner: the surest, %s, has %.2f of the %.2f that it takes", first.Name, first.Confidence, p.Clear)
	case len(s.Conflicts) > 0:
		s.Why = "no clear owner: " + s.Conflicts[0] + " are claimed alike"
	default:
		s.Clear = true
	}
}
