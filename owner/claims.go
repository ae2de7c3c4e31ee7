package owner

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
)

// Precedence says how much claims are worth. It is configuration; DefaultPrecedence
// holds where nobody says otherwise.
type Precedence struct {
	// Sources multiply a claim's own confidence, by the first part of its source
	// ("backstage" of "backstage:prod"); one that is not listed counts Other.
	Sources map[string]float64
	Other   float64
	// Roles multiply it by what the owner is to the subject.
	Roles map[string]float64
	// Inherited multiplies it for each step that the claim was inherited over, from
	// an asset to its service, project or account, and Strengths by how well the step
	// is known.
	Inherited float64
	Strengths map[fact.Strength]float64
	// HalfLife is how fast the word of a creator or last author loses worth, in days.
	HalfLife float64
	// Unknown multiplies what only hearsay says of somebody whom no other source
	// knows. It stays below Clear, so that nobody becomes an owner by hearsay alone.
	Unknown float64
	// Hearsay are the sources whose names are no proof that somebody exists: anybody
	// may write a tag or a label, or name a session.
	Hearsay []string
	// Fallback multiplies what goes to the team or the manager of who left.
	Fallback struct{ Team, Manager float64 }
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

	SourceKubernetes = "kubernetes" // labels and annotations of objects
)

// DefaultPrecedence are the worths that hold by themselves: what somebody declared
// and keeps in a catalog before what can be read off tags, both before who
// happened to make something. What code says is calibrated already.
func DefaultPrecedence() Precedence {
	p := Precedence{
		Sources: map[string]float64{
			SourceHuman: 1, "backstage": 1, "project": .95, "servicenow": .9, SourceTagRule: .9, "pagerduty": .8, "opsgenie": .8, SourceCode: 1, SourceKubernetes: .8, "auditlog": .6,
		},
		Other: .7,
		Roles: map[string]float64{
			RoleOwner: 1, RolePrimary: .95, "on_call": .75, "security_champion": .6, RoleReviewer: .6, "creator": .7, RoleLastAuthor: .6,
		},
		Inherited: .85,
		Strengths: map[fact.Strength]float64{fact.Proven: 1, fact.Attested: 1, fact.Declared: 1, fact.Derived: .9, fact.Guess: .5},
		HalfLife:  540, Unknown: .4, Hearsay: []string{SourceTagRule, SourceKubernetes, "auditlog"}, Clear: .5, Lead: .1,
	}
	p.Fallback.Team, p.Fallback.Manager = .8, .6
	return p
}

// Claimed is a claim as it reaches a subject.
type Claimed struct {
	fact.Claim
	// Via are the steps that it was inherited over, nearest first; none for the
	// subject's own.
	Via []graph.Via

	unknown bool    // nobody but hearsay knows the owner
	share   float64 // of somebody's who left, 0 for all
	note    string  // why it is the share of another
}

// Ruling is a human decision about who owns a subject, as it stands.
type Ruling struct {
	Owner  fact.Party `json:"owner"`
	Role   string     `json:"role"`
	Accept bool       `json:"accept"` // assigned or accepted; else rejected
	Pinned bool       `json:"pinned"`
	Bulk   bool       `json:"bulk,omitempty"` // one of many accepted at once
	By     string     `json:"by"`
	Reason string     `json:"reason"`
	At     int64      `json:"at"` // microseconds since 1970 UTC
}

// Suggested is the answer for one subject.
type Suggested struct {
	Owners []fact.Owner `json:"owners"` // teams and persons, surest first
	// Clear says that the first one may be taken; Why says why not, and Settle what
	// would settle it.
	Clear  bool     `json:"clear"`
	Why    string   `json:"why,omitempty"`
	Settle []string `json:"settle"`
	// Overruled are the best claims for the others, with the arithmetic that left
	// them behind, and what people rejected.
	Overruled []fact.OwnerEvidence `json:"overruled"`
	// Conflicts are claims of like worth for different owners; Stale those that
	// lost worth by age, ended, or name somebody who left.
	Conflicts []string `json:"conflicts"`
	Stale     []string `json:"stale"`
	// Unknown are owners whom nobody but hearsay knows.
	Unknown []string `json:"unknown"`
}

// confirmAfter is how old a person's word may be before an explanation asks to confirm
// it, in days. It holds all the same.
const confirmAfter = 365

// day in microseconds.
const dayMicros = 86400 * 1e6

// tally is what speaks for one owner.
type tally struct {
	party   fact.Party
	role    string
	best    float64 // of the claim that gives the role
	top     int     // that claim
	ruled   int     // 1 by a person, 2 pinned
	unknown bool
	worths  []sourceWorth
	reasons []fact.OwnerEvidence
	total   float64
}

type sourceWorth struct {
	source string
	worth  float64
}

// weigher holds what weighing one subject after the other uses again. Terse leaves
// out every text.
type weigher struct {
	p       *Precedence
	learned *Learned
	now     int64
	terse   bool
	tallies []tally
	many    map[string]int // tallies by owner, when they are many
}

// Weigh ranks who owns a subject. Claims of one source for one owner count once,
// those of several sources together: 1 - (1-a)(1-b). A human's word outweighs
// everything, a rejected owner is left out. The answer depends on the claims and
// not on their order.
func (p *Precedence) Weigh(claims []Claimed, rulings []Ruling, now int64) Suggested {
	w := weigher{p: p, now: now}
	return w.weigh(slices.Clone(claims), rulings)
}

// weigh sorts the claims that it is given.
func (w *weigher) weigh(claims []Claimed, rulings []Ruling) Suggested {
	p := w.p
	s := Suggested{Owners: []fact.Owner{}, Settle: []string{}, Overruled: []fact.OwnerEvidence{}, Conflicts: []string{}, Stale: []string{}, Unknown: []string{}}
	w.tallies, w.many = w.tallies[:0], nil
	for _, r := range rulings {
		if !r.Accept {
			continue
		}
		t := w.of(r.Owner)
		word := "accepted"
		t.role, t.best, t.top, t.ruled = cmp.Or(r.Role, RoleOwner), 2, -1, 1
		if r.Pinned {
			word, t.ruled = "pinned", 2
		}
		t.worths = append(t.worths, sourceWorth{SourceHuman, 1})
		if days := float64(w.now-r.At) / dayMicros; days >= confirmAfter && r.At > 0 && !w.terse {
			s.Stale = append(s.Stale, fmt.Sprintf("%s by %s: said %.0f days ago, and to be confirmed: backstitch owner accept says it anew", cmp.Or(r.Owner.Name, r.Owner.ID), r.By, days))
		}
		if !w.terse {
			t.reasons = append(t.reasons, fact.OwnerEvidence{Kind: SourceHuman, Source: r.By, Detail: strings.TrimSpace(word + " " + r.Reason), Weight: 1})
		}
	}
	slices.SortFunc(claims, compareClaims)
	for i := range claims {
		c := &claims[i]
		source, _, _ := strings.Cut(c.Source, ":")
		worth, note := w.worth(c, source)
		if note != "" && !w.terse {
			s.Stale = append(s.Stale, fmt.Sprintf("%s by %s: %s", cmp.Or(c.Owner.Name, c.Owner.ID), c.Source, note))
		}
		if worth <= 0 {
			continue
		}
		if r := rejection(rulings, c); r != nil {
			if !w.terse {
				s.Overruled = append(s.Overruled, fact.OwnerEvidence{Kind: source, Source: c.Evidence.Source, Detail: fmt.Sprintf("overruled: %s as %s; %s rejected it: %s", cmp.Or(c.Owner.Name, c.Owner.ID), c.Role, r.By, r.Reason)})
			}
			continue
		}
		t := w.of(c.Owner)
		if worth > t.best {
			t.best, t.role, t.top = worth, c.Role, i
		}
		t.unknown = c.unknown
		witness := source
		if source == SourceKubernetes {
			witness = SourceTagRule // both read the same labels
		}
		at := slices.IndexFunc(t.worths, func(s sourceWorth) bool { return s.source == witness })
		if at < 0 {
			t.worths = append(t.worths, sourceWorth{witness, worth})
		} else {
			t.worths[at].worth = max(t.worths[at].worth, worth)
		}
		if !w.terse {
			t.reasons = append(t.reasons, fact.OwnerEvidence{Kind: source, Source: c.Evidence.Source, Detail: w.detail(c, source), Weight: round(worth)})
		}
	}
	for i := range w.tallies {
		t := &w.tallies[i]
		slices.SortFunc(t.worths, func(a, b sourceWorth) int { return strings.Compare(a.source, b.source) })
		rest := 1.0
		for _, one := range t.worths {
			rest *= 1 - one.worth
		}
		if t.total = round(1 - rest); t.unknown && t.ruled == 0 {
			// Any number of tags together is still hearsay.
			t.total = min(t.total, round(p.Unknown))
		}
		slices.SortStableFunc(t.reasons, func(a, b fact.OwnerEvidence) int { return cmp.Compare(b.Weight, a.Weight) })
	}
	slices.SortFunc(w.tallies, func(a, b tally) int {
		return cmp.Or(cmp.Compare(b.ruled, a.ruled), cmp.Compare(b.total, a.total), cmp.Compare(b.party.Kind, a.party.Kind), // a team before a person
			cmp.Compare(a.party.ID, b.party.ID))
	})
	for i := range w.tallies {
		t := &w.tallies[i]
		s.Owners = append(s.Owners, fact.Owner{Kind: t.party.Kind, ID: t.party.ID, Name: t.party.Name, Role: t.role, Confidence: t.total, Evidence: t.reasons})
		if t.unknown && t.ruled == 0 && !w.terse {
			s.Unknown = append(s.Unknown, fmt.Sprintf("%s %s: only %s names it", t.party.Kind, t.party.Name, t.worths[0].source))
		}
	}
	w.judge(&s, claims)
	return s
}

// of gives the tally of an owner, whatever the capitals of its id.
func (w *weigher) of(party fact.Party) *tally {
	const few = 32
	at := -1
	if len(w.tallies) < few {
		at = slices.IndexFunc(w.tallies, func(t tally) bool { return sameParty(t.party, party) })
	} else {
		if w.many == nil {
			w.many = map[string]int{}
			for i := range w.tallies {
				w.many[partyKey(w.tallies[i].party)] = i
			}
		}
		if n, ok := w.many[partyKey(party)]; ok {
			at = n
		}
	}
	if at < 0 {
		at = len(w.tallies)
		w.tallies = append(w.tallies, tally{party: party, top: -1})
		if w.many != nil {
			w.many[partyKey(party)] = at
		}
	}
	t := &w.tallies[at]
	if t.party.Name == "" || t.party.Name == t.party.ID && party.Name != "" {
		t.party.Name = cmp.Or(party.Name, party.ID)
	}
	return t
}

func partyKey(p fact.Party) string { return p.Kind + " " + strings.ToLower(p.ID) }

// rejection gives the ruling that rejects a claim's owner, nil when there is none.
func rejection(rulings []Ruling, c *Claimed) *Ruling {
	for i := range rulings {
		r := &rulings[i]
		if !r.Accept && r.Owner.Kind == c.Owner.Kind && strings.EqualFold(r.Owner.ID, c.Owner.ID) {
			return r
		}
	}
	return nil
}

func compareClaims(a, b Claimed) int {
	return cmp.Or(
		cmp.Compare(len(a.Via), len(b.Via)), cmp.Compare(a.Source, b.Source), cmp.Compare(a.Role, b.Role), cmp.Compare(a.Owner.Kind, b.Owner.Kind),
		cmp.Compare(a.Owner.ID, b.Owner.ID), cmp.Compare(a.Evidence.Source, b.Evidence.Source), cmp.Compare(a.Evidence.Detail, b.Evidence.Detail),
		cmp.Compare(b.Confidence, a.Confidence), cmp.Compare(a.note, b.note), cmp.Compare(a.Since, b.Since))
}

// terms gives the factors of a claim's worth one by one.
func (w *weigher) terms(c *Claimed, source string, give func(value float64, name string)) {
	p := w.p
	give(c.Confidence, "said")
	or := func(of map[string]float64, name string) float64 {
		if value, ok := of[name]; ok {
			return value
		}
		return p.Other
	}
	give(or(p.Sources, source), source)
	if source != SourceCode { // which says how often such a one is right, whatever the role
		give(or(p.Roles, c.Role), c.Role)
	}
	for i := range c.Via {
		give(p.step(&c.Via[i]), string(c.Via[i].Kind))
	}
	if w.learned != nil {
		if value := w.learned.factor(c, source); value != 1 {
			give(value, "answers")
		}
	}
	if (c.Role == "creator" || c.Role == "last_author") && source != SourceCode && c.Since > 0 && p.HalfLife > 0 && w.now > c.Since {
		give(math.Exp2(-float64(w.now-c.Since)/dayMicros/p.HalfLife), "age")
	}
	if c.share > 0 {
		give(c.share, "stands in")
	}
	if c.unknown {
		give(p.Unknown, "unknown")
	}
}

// step is what is left of a claim's worth after one step. From an issue to what it is
// about nothing is lost: who owns a bucket is asked about the issues of the bucket.
func (p *Precedence) step(v *graph.Via) float64 {
	if v.Kind == sameAs || v.Kind == concerns {
		return p.Strengths[v.Strength]
	}
	return p.Inherited * p.Strengths[v.Strength]
}

// worth is what a claim counts, with a note when age took from it.
func (w *weigher) worth(c *Claimed, source string) (worth float64, note string) {
	if c.Until != 0 && c.Until <= w.now {
		return 0, "ended"
	}
	worth = 1
	w.terms(c, source, func(value float64, name string) {
		worth *= value
		if name == "age" && value < .5 {
			note = fmt.Sprintf("%.0f days ago", float64(w.now-c.Since)/dayMicros)
		}
	})
	return min(1, max(0, worth)), note
}

// detail says in words what a claim is, and by which arithmetic it counts.
func (w *weigher) detail(c *Claimed, source string) string {
	var b strings.Builder
	b.WriteString(c.Role)
	for i := range c.Via {
		word := ", "
		if i == 0 {
			word = " through "
		}
		v := &c.Via[i]
		fmt.Fprintf(&b, "%s%s %s (%s, %s)", word, v.Asset.Kind, cmp.Or(v.Asset.Name, v.Asset.Key), v.Kind, v.Strength)
	}
	if c.Evidence.Detail != "" {
		b.WriteString(": " + c.Evidence.Detail)
	}
	if c.note != "" {
		b.WriteString("; " + c.note)
	}
	b.WriteString(" = ")
	first := true
	w.terms(c, source, func(value float64, name string) {
		if !first {
			b.WriteString(" × ")
		}
		first = false
		fmt.Fprintf(&b, "%.2f %s", value, name)
	})
	return b.String()
}

// judge says whether the first suggestion is clear, what it overruled, and names
// conflicts.
func (w *weigher) judge(s *Suggested, claims []Claimed) {
	p := w.p
	if len(w.tallies) == 0 {
		s.Why = "nobody claims it"
		return
	}
	first := &w.tallies[0]
	conflict := false
	for i := range w.tallies[1:] {
		other := &w.tallies[i+1]
		alike := first.ruled == 0 && other.party.Kind == first.party.Kind && other.role == first.role && round(first.total-other.total) < p.Lead
		conflict = conflict || alike
		if w.terse {
			continue
		}
		if alike {
			s.Conflicts = append(s.Conflicts, fmt.Sprintf("%s %s (%.2f) and %s %s (%.2f)", first.party.Kind, first.party.Name, first.total, other.party.Kind, other.party.Name, other.total))
		} else if other.top >= 0 && len(s.Overruled) < maxOverruled {
			c := &claims[other.top]
			source, _, _ := strings.Cut(c.Source, ":")
			s.Overruled = append(s.Overruled, fact.OwnerEvidence{
				Kind: source, Source: c.Evidence.Source, Weight: other.total,
				Detail: fmt.Sprintf("overruled: %s as %s; %s against %.2f of %s", other.party.Name, w.detail(c, source), counts(other), first.total, first.party.Name),
			})
		}
	}
	switch {
	case first.unknown && first.ruled == 0:
		s.Why = "no clear owner: nobody but hearsay knows the surest"
		if !w.terse {
			s.Why = fmt.Sprintf("no clear owner: the surest, %s, is named by %s only and known to no other source", first.party.Name, first.worths[0].source)
		}
	case first.total < p.Clear:
		s.Why = "no clear owner: too little speaks for the surest"
		if !w.terse {
			s.Why = fmt.Sprintf("no clear owner: the surest, %s, has %.2f of the %.2f that it takes", first.party.Name, first.total, p.Clear)
		}
	case conflict:
		s.Why = "no clear owner: several are claimed alike"
		if !w.terse {
			s.Why = "no clear owner: " + s.Conflicts[0] + " are claimed alike"
		}
	default:
		s.Clear = true
	}
}

// maxOverruled bounds what is listed as overruled.
const maxOverruled = 12

// counts says what speaks for an owner together.
func counts(t *tally) string {
	if len(t.worths) == 1 {
		return fmt.Sprintf("%.2f", t.total)
	}
	return fmt.Sprintf("%.2f of %d sources", t.total, len(t.worths))
}
