package owner

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// Share counts how many have an owner.
type Share struct {
	All       int `json:"all"`
	Clear     int `json:"clear"`     // have a clear owner
	Suggested int `json:"suggested"` // have at least somebody suggested
}

// Add counts one.
func (s *Share) Add(clear, suggested bool) {
	s.All++
	if clear {
		s.Clear++
	}
	if suggested {
		s.Suggested++
	}
}

// Coverage is what share of assets has an owner, by kind and by source, and what
// would close the gaps.
type Coverage struct {
	Assets Share            `json:"assets"`
	Kinds  map[string]Share `json:"assets_by_kind"`
	// Sources counts the assets with a claim of a source, and how many of these have a
	// clear owner.
	Sources map[string]Share `json:"assets_by_source"`
	Gaps    []Gap            `json:"gaps"`
	// Agreements are how often people named the first suggestion, by its confidence.
	Agreements []Agreement `json:"agreements"`
}

// Gap is one thing that would give many assets an owner.
type Gap struct {
	Kind    string   `json:"kind"` // tag_rule, codeowners, owner, identity
	Closes  int      `json:"closes"`
	Text    string   `json:"text"`
	Samples []string `json:"samples"` // assets
	Propose string   `json:"propose"` // the rule or line to add, as far as it is known
}

// maxGaps is how many gaps are listed.
const maxGaps = 20

// gapKey tells gaps apart while they are gathered.
type gapKey struct {
	kind string
	at   int64 // the asset to claim, 0 for others
	text string
}

// Coverage counts who is owned over the whole graph.
func (e *Estate) Coverage(ctx context.Context) (Coverage, error) {
	s, err := e.Survey(ctx)
	if err != nil {
		return Coverage{}, err
	}
	return s.Coverage(ctx)
}

// Coverage counts who is owned.
func (s *Survey) Coverage(ctx context.Context) (Coverage, error) {
	c := Coverage{Kinds: map[string]Share{}, Sources: map[string]Share{}, Gaps: []Gap{}, Agreements: s.learned.Agreements()}
	open := map[gapKey][]int32{}
	unowned := map[int32]bool{}
	err := s.Each(ctx, func(one *Surveyed) error {
		c.Assets.Add(one.Clear, len(one.Owners) > 0)
		kind := c.Kinds[one.Asset.Kind]
		kind.Add(one.Clear, len(one.Owners) > 0)
		c.Kinds[one.Asset.Kind] = kind
		for _, source := range one.Sources {
			share := c.Sources[source]
			share.Add(one.Clear, true)
			c.Sources[source] = share
		}
		if one.Clear {
			return nil
		}
		unowned[int32(one.id)] = true
		for _, reached := range one.reached {
			a := &s.assets[reached.id]
			worth := reached.worth
			switch a.Kind {
			case fact.AssetRepository:
				if worth*claimConfidence(&claim{catchAll: true, files: 1}, 1) >= s.precedence.Clear {
					open[gapKey{"codeowners", reached.id, ""}] = append(open[gapKey{"codeowners", reached.id, ""}], int32(one.id))
				}
			case fact.AssetAccount, fact.AssetProject, fact.AssetService, fact.AssetCluster:
				if worth*.9*s.precedence.Sources["project"] >= s.precedence.Clear {
					open[gapKey{"owner", reached.id, ""}] = append(open[gapKey{"owner", reached.id, ""}], int32(one.id))
				}
			case fact.AssetKubernetes:
				if strings.Contains(a.Key, "/-/Namespace/") && worth*.9*s.precedence.Sources["kubernetes"] >= s.precedence.Clear {
					open[gapKey{"owner", reached.id, ""}] = append(open[gapKey{"owner", reached.id, ""}], int32(one.id))
				}
			}
		}
		if one.unknown != "" {
			open[gapKey{"identity", 0, one.unknown}] = append(open[gapKey{"identity", 0, one.unknown}], int32(one.id))
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	for key, u := range s.untaken {
		for _, id := range u.assets {
			if unowned[id] {
				open[gapKey{"tag_rule", 0, key}] = append(open[gapKey{"tag_rule", 0, key}], id)
			}
		}
	}
	c.Gaps = s.gaps(open)
	return c, nil
}

// gaps picks what closes most, then what closes most of the rest, and so on.
func (s *Survey) gaps(open map[gapKey][]int32) []Gap {
	list := []Gap{}
	closed := make([]bool, len(s.assets))
	keys := slices.SortedFunc(maps.Keys(open), func(a, b gapKey) int {
		return cmp.Or(cmp.Compare(len(open[b]), len(open[a])), cmp.Compare(a.kind, b.kind), cmp.Compare(a.at, b.at), cmp.Compare(a.text, b.text))
	})
	for len(list) < maxGaps && len(keys) > 0 {
		// What is left of each only shrinks: the first whose rest is still the longest wins.
		best, most := -1, 0
		for i, key := range keys {
			if len(open[key]) <= most {
				break
			}
			open[key] = slices.DeleteFunc(open[key], func(id int32) bool { return closed[id] })
			if len(open[key]) > most {
				best, most = i, len(open[key])
			}
		}
		if best < 0 {
			break
		}
		key := keys[best]
		list = append(list, s.gap(key, open[key]))
		for _, id := range open[key] {
			closed[id] = true
		}
		keys = slices.Delete(keys, best, best+1)
		slices.SortStableFunc(keys, func(a, b gapKey) int { return cmp.Compare(len(open[b]), len(open[a])) })
	}
	return list
}

func (s *Survey) gap(key gapKey, ids []int32) Gap {
	g := Gap{Kind: key.kind, Closes: len(ids), Samples: []string{}}
	for _, id := range ids[:min(len(ids), 3)] {
		g.Samples = append(g.Samples, s.assets[id].Kind+":"+s.assets[id].Key)
	}
	switch key.kind {
	case "codeowners":
		g.Text = fmt.Sprintf("one line of CODEOWNERS in %s, for everything", s.assets[key.at].Key)
		g.Propose = "* @OWNER"
	case "owner":
		a := &s.assets[key.at]
		g.Text = fmt.Sprintf("an owner of the %s %s, in a catalog or register", a.Kind, cmp.Or(a.Name, a.Key))
		g.Propose = fmt.Sprintf("backstitch owner assign %s OWNER", shellWord(a.Kind+":"+a.Key))
	case "identity":
		g.Text = "a source of people or teams that knows " + key.text + ", whom only tags or event logs name"
		g.Propose = "backstitch source add"
	case "tag_rule":
		u := s.untaken[key.text]
		values := slices.SortedFunc(maps.Keys(u.values), func(a, b string) int { return cmp.Or(cmp.Compare(u.values[b], u.values[a]), cmp.Compare(a, b)) })
		known := 0
		for _, value := range values {
			for _, kind := range []string{fact.AssetTeam, fact.AssetPerson} {
				if n, ok := s.directory.find(fact.Party{Kind: kind, ID: value}); ok && s.directory.list[n].known {
					known++
					break
				}
			}
		}
		g.Text = fmt.Sprintf("a rule for the tag %s, with %d values of which %d name somebody known: %s", key.text, len(values), known, strings.Join(values[:min(len(values), 5)], ", "))
		g.Propose = fmt.Sprintf("- keys: [%q]", key.text)
	}
	return g
}

// OwnersChange is whose owners change, by other tag rules or by another look.
type OwnersChange struct {
	Assets int           `json:"assets"`
	Gained int           `json:"gained"` // have a clear owner now
	Lost   int           `json:"lost"`   // have none any longer
	Moved  int           `json:"moved"`  // have another one
	Said   int           `json:"said"`   // would change, and a person's word holds
	Pinned int           `json:"pinned"` // of these, pinned
	Sample []OwnerChange `json:"sample"` // the first ones, by id
}

// OwnerChange is one asset whose clear owner changes; "" is none.
type OwnerChange struct {
	Asset  fact.Asset `json:"asset"`
	Before string     `json:"before"`
	After  string     `json:"after"`
}

// maxChanges bounds the changes that are listed.
const maxChanges = 200

// Change tells whose owners other tag rules change. What people said holds.
func (e *Estate) Change(ctx context.Context, rules TagRules) (OwnersChange, error) {
	return compare(ctx, func() (*Survey, error) { return e.Survey(ctx) }, func() (*Survey, error) { return e.SurveyBy(ctx, rules) })
}

// Compare tells whose owners are others in a later state of the same graph.
func (e *Estate) Compare(ctx context.Context, later *Estate) (OwnersChange, error) {
	return compare(ctx, func() (*Survey, error) { return e.Survey(ctx) }, func() (*Survey, error) { return later.Survey(ctx) })
}

// compare makes one survey after the other, so that only one is in memory.
func compare(ctx context.Context, earlier, later func() (*Survey, error)) (OwnersChange, error) {
	c := OwnersChange{Sample: []OwnerChange{}}
	before := map[int64]string{}
	assets := map[int64]fact.Asset{} // of before
	answer := func(one *Surveyed) string {
		if !one.Clear {
			return ""
		}
		return one.Owners[0].Kind + " " + one.Owners[0].ID
	}
	names := map[string]string{}
	ruled := func(one *Surveyed) bool {
		return slices.ContainsFunc(one.Rulings, func(r Ruling) bool { return r.Accept })
	}
	sample := func(a fact.Asset, was, is string) {
		if len(c.Sample) < maxChanges {
			c.Sample = append(c.Sample, OwnerChange{a, was, is})
		}
	}
	for pass, survey := range []func() (*Survey, error){earlier, later} {
		s, err := survey()
		if err != nil {
			return c, err
		}
		if err := s.Each(ctx, func(one *Surveyed) error {
			text := answer(one)
			if ruled(one) {
				text = one.tagged // what tags would say: a person's word hides it
			}
			if known, ok := names[text]; ok {
				text = known
			}
			names[text] = text
			if pass == 0 {
				c.Assets++
				if text != "" {
					before[one.id], assets[one.id] = text, one.Asset
				}
				return nil
			}
			was := before[one.id]
			delete(before, one.id)
			switch {
			case was == text:
				return nil
			case ruled(one):
				c.Said++
				if one.Rulings[0].Pinned {
					c.Pinned++
				}
				return nil
			case was == "":
				c.Gained++
			case text == "":
				c.Lost++
			default:
				c.Moved++
			}
			sample(one.Asset, was, text)
			return nil
		}); err != nil {
			return c, err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(before)) { // what is gone
		c.Lost++
		sample(assets[id], before[id], "")
	}
	return c, nil
}

// Bulk is what accepting many suggestions did.
type Bulk struct {
	Accepted int      `json:"accepted"`
	Said     int      `json:"said"` // left as a person said
	Below    int      `json:"below"`
	Samples  []string `json:"samples"`
}

// bulk is how many answers are kept in one transaction.
const bulk = 1000

// AcceptAbove accepts every clear suggestion of at least a confidence on which nobody
// has spoken. Since nobody looked at each, it teaches nothing.
func (e *Estate) AcceptAbove(ctx context.Context, confidence float64, by string, try bool) (Bulk, error) {
	b := Bulk{Samples: []string{}}
	if !(confidence >= e.precedence.Clear && confidence <= 1) {
		return b, fmt.Errorf("accept above %v: expected at least %v, at which an owner is clear, and at most 1", confidence, e.precedence.Clear)
	}
	s, err := e.Survey(ctx)
	if err != nil {
		return b, err
	}
	var answers []Answer
	keep := func() error {
		if try || len(answers) == 0 {
			answers = answers[:0]
			return nil
		}
		kept, err := record(ctx, e.db, answers, true)
		b.Accepted += kept
		b.Said += len(answers) - kept
		answers = answers[:0]
		return err
	}
	err = s.Each(ctx, func(one *Surveyed) error {
		switch {
		case len(one.Rulings) > 0:
			b.Said++
			return nil
		case !one.Clear || one.Owners[0].Confidence < confidence:
			b.Below++
			return nil
		}
		o := one.Owners[0]
		if len(b.Samples) < 20 {
			b.Samples = append(b.Samples, fmt.Sprintf("%s:%s: %s %s (%.2f)", one.Asset.Kind, one.Asset.Key, o.Kind, cmp.Or(o.Name, o.ID), o.Confidence))
		}
		if try {
			b.Accepted++
			return nil
		}
		answers = append(answers, Answer{
			At: s.now, By: by, Subject: fact.Asset{Kind: one.Asset.Kind, Key: one.Asset.Key}, Verb: Accept, Owner: fact.Party{Kind: o.Kind, ID: o.ID, Name: o.Name},
			Role: o.Role, Reason: fmt.Sprintf("one of all above %v", confidence), Bulk: true,
		})
		if len(answers) >= bulk {
			return keep()
		}
		return nil
	})
	if err != nil {
		return b, err
	}
	return b, keep()
}
