package owner

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/store"
)

// Survey holds all that says who owns what, in memory, so that every asset can be
// answered: about 250 bytes an asset and 50 a claim. It is as the graph was when it
// was made, and is used from one goroutine.
type Survey struct {
	precedence Precedence
	directory  *Directory
	members    *memberships
	learned    *Learned
	said       map[fact.Asset][]Ruling
	now        int64

	assets  []fact.Asset // by id
	there   []bool       // by id: a source or a finding tells of it
	sources words
	roles   words
	parties []fact.Party
	party   map[fact.Party]int32
	heard   []heardClaim // stored ones, then those of rules, in the order of subjects
	starts  []uint32     // by id, in heard
	steps   []surveyStep
	belongs [][2]int32 // assets and projects whose rules take them
	stepAt  []uint32
	verbs   []fact.RelationKind
	byKey   map[fact.Asset]int64 // assets that keys of others imply
	untaken map[string]*untaken  // by key of a tag
	finds   map[fact.Party]int32
}

// heardClaim is a claim without its evidence.
type heardClaim struct {
	subject      int32
	owner        int32
	source, role uint16
	confidence   float64
	since, until int64
}

// surveyStep is a step from one asset to another.
type surveyStep struct {
	from, to int32
	kind     uint8
	backward bool
	strength uint8
}

// words numbers texts.
type words struct {
	list []string
	at   map[string]uint16
}

func (w *words) number(text string) (uint16, error) {
	if n, ok := w.at[text]; ok {
		return n, nil
	}
	if len(w.list) > maxWords {
		return 0, fmt.Errorf("more than %d sources or roles of claims", maxWords)
	}
	if w.at == nil {
		w.at = map[string]uint16{}
	}
	w.list = append(w.list, text)
	w.at[text] = uint16(len(w.list) - 1)
	return uint16(len(w.list) - 1), nil
}

const maxWords = 60_000

// maxAssets bounds a survey.
const maxAssets = 1 << 28

// Survey reads everything that says who owns what.
func (e *Estate) Survey(ctx context.Context) (*Survey, error) { return e.SurveyBy(ctx, e.rules) }

// SurveyBy is Survey with other tag rules than those of the estate.
func (e *Estate) SurveyBy(ctx context.Context, rules TagRules) (*Survey, error) {
	s := &Survey{precedence: e.precedence, now: e.now().UnixMicro(), party: map[fact.Party]int32{}, byKey: map[fact.Asset]int64{}, finds: map[fact.Party]int32{}}
	err := e.db.Read(ctx, func(tx store.Tx) error {
		var err error
		if s.directory, s.members, err = e.knows(ctx, tx); err != nil {
			return err
		}
		if s.learned, err = e.taught(ctx, tx); err != nil {
			return err
		}
		if s.said, err = allSaid(ctx, tx); err != nil {
			return err
		}
		if err := s.readAssets(ctx, tx); err != nil {
			return err
		}
		if err := s.readStated(ctx, tx, rules); err != nil {
			return err
		}
		owned, err := s.readClaims(ctx, tx)
		if err != nil {
			return err
		}
		if err := s.readLinks(ctx, tx, owned); err != nil {
			return err
		}
		s.order()
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("survey of owners: %w", err)
	}
	return s, nil
}

func (s *Survey) readAssets(ctx context.Context, tx store.Tx) error {
	kinds := map[string]string{}
	return tx.Query(ctx, everyAsset, func(row store.Row) error {
		id := row.Int(0)
		if id < 0 || id > maxAssets {
			return fmt.Errorf("asset %d: expected at most %d assets", id, maxAssets)
		}
		for int64(len(s.assets)) <= id {
			s.assets = append(s.assets, fact.Asset{})
		}
		kind := row.Text(1)
		if known, ok := kinds[kind]; ok {
			kind = known
		}
		kinds[kind] = kind
		a := fact.Asset{Kind: kind, Key: row.Text(2), Name: row.Text(3)}
		if a.Name == a.Key {
			a.Name = a.Key // one text
		}
		s.assets[id] = a
		switch kind {
		case fact.AssetAccount, fact.AssetRepository, fact.AssetKubernetes:
			s.byKey[fact.Asset{Kind: kind, Key: a.Key}] = id
		}
		return nil
	})
}

func (s *Survey) known(id int64) bool { return id > 0 && id < int64(len(s.assets)) }

func (s *Survey) readStated(ctx context.Context, tx store.Tx, rules TagRules) error {
	s.there = make([]bool, len(s.assets))
	if err := tx.Query(ctx, everyAffected, func(row store.Row) error {
		if id := row.Int(0); s.known(id) {
			s.there[id] = true
		}
		return nil
	}); err != nil {
		return err
	}
	s.untaken = map[string]*untaken{}
	stated := make([]bool, len(s.assets))
	err := eachStated(ctx, tx, func(id int64, tags []tag) error {
		if !s.known(id) {
			return nil
		}
		s.there[id], stated[id] = true, true
		for _, to := range s.members.of(&s.assets[id], tags) {
			s.belongs = append(s.belongs, [2]int32{int32(id), int32(to)})
		}
		var err error
		took := false
		rules.apply(&s.assets[id], tags, func(_ *TagRule, c fact.Claim) {
			took = true
			if more := s.add(id, c.Owner, c.Source, c.Role, c.Confidence, 0, 0); more != nil {
				err = more
			}
		})
		if !took {
			s.leave(id, tags)
		}
		return err
	})
	if err != nil || s.members.empty() {
		return err
	}
	for id := range s.assets {
		if s.there[id] && !stated[id] { // only findings tell of it
			for _, to := range s.members.of(&s.assets[id], nil) {
				s.belongs = append(s.belongs, [2]int32{int32(id), int32(to)})
			}
		}
	}
	return nil
}

// untaken are the assets with a tag that looks like an owner's and that no rule took.
type untaken struct {
	assets []int32
	values map[string]int
}

// maxValues bounds the values that are kept of a tag.
const maxValues = 1000

func (s *Survey) leave(id int64, tags []tag) {
	for i := range tags {
		key, ok := strings.CutPrefix(tags[i].name, "tag:")
		if !ok || !likeOwner(tags[i].key) {
			continue
		}
		u := s.untaken[key]
		if u == nil {
			u = &untaken{values: map[string]int{}}
			s.untaken[key] = u
		}
		u.assets = append(u.assets, int32(id))
		if _, known := u.values[tags[i].value]; known || len(u.values) < maxValues {
			u.values[tags[i].value]++
		}
	}
}

// Try is what rules would claim over all assets of the graph, without keeping it.
func (e *Estate) Try(ctx context.Context, rules TagRules) (DryRun, error) {
	try := NewTry(rules)
	err := e.db.Read(ctx, func(tx store.Tx) error {
		s := &Survey{byKey: map[fact.Asset]int64{}}
		if rules.restricted() {
			if err := s.readAssets(ctx, tx); err != nil {
				return err
			}
		}
		unnamed := &fact.Asset{}
		named := func(id int64) *fact.Asset {
			if s.known(id) {
				return &s.assets[id]
			}
			return unnamed
		}
		if err := eachStated(ctx, tx, func(id int64, tags []tag) error {
			try.out.Assets++
			try.add(id, named(id), tags)
			return nil
		}); err != nil {
			return err
		}
		for i := range try.out.Rules {
			for n := range try.out.Rules[i].samples {
				one := &try.out.Rules[i].samples[n]
				if err := tx.Query(ctx, assetOf, func(row store.Row) error { one.key = row.Text(1); return nil }, store.Int(one.id)); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return DryRun{}, fmt.Errorf("dry run of tag rules: %w", err)
	}
	return try.Result(), nil
}

// eachStated gives every asset that a source tells of with its tags, those that
// several scopes tell of once.
func eachStated(ctx context.Context, tx store.Tx, give func(id int64, tags []tag) error) error {
	// Of most assets one scope tells. The others are put together at the end.
	several := map[int64][]tag{}
	if err := tx.Query(ctx, statedOften, func(row store.Row) error { several[row.Int(0)] = nil; return nil }); err != nil {
		return err
	}
	var buf []byte
	var room [16]tag
	err := tx.Query(ctx, everyStated, func(row store.Row) error {
		id := row.Int(0)
		buf = row.Bytes(1, buf[:0])
		tags := room[:0]
		if bytes.Contains(buf, tagMark) || bytes.Contains(buf, labelMark) {
			var err error
			if tags, err = tagsOf(buf, tags); err != nil {
				return fmt.Errorf("tags of asset %d: %w", id, err)
			}
		}
		list, more := several[id]
		if !more {
			return give(id, tags)
		}
		for _, t := range tags {
			if !slices.ContainsFunc(list, func(other tag) bool { return other.name == t.name }) {
				list = addTag(list, t.name, t.value)
			}
		}
		if list == nil {
			list = []tag{} // it is there
		}
		several[id] = list
		return nil
	})
	if err != nil {
		return err
	}
	for _, id := range slices.Sorted(maps.Keys(several)) {
		if tags := several[id]; tags != nil {
			if err := give(id, tags); err != nil {
				return err
			}
		}
	}
	return nil
}

// Marks of tags and labels in what is stated.
var tagMark, labelMark = []byte(`"tag:`), []byte(`"label:`)

// tagsOf reads the tags and labels of what a scope says of an asset.
func tagsOf(doc []byte, tags []tag) ([]tag, error) {
	err := eachString(doc, func(name, value []byte) {
		if t := string(name); strings.HasPrefix(t, "tag:") || strings.HasPrefix(t, "label:") {
			tags = addTag(tags, t, string(value))
		}
	})
	if err != errEscaped {
		return tags, err
	}
	var parsed stated
	if err := json.Unmarshal(doc, &parsed); err != nil {
		return nil, err
	}
	tags = tags[:0]
	for name, value := range parsed.Properties {
		tags = addTag(tags, name, value)
	}
	return tags, nil
}

func (s *Survey) readClaims(ctx context.Context, tx store.Tx) (owned []bool, err error) {
	owned = make([]bool, len(s.assets))
	var buf []byte
	err = tx.Query(ctx, everyClaim, func(row store.Row) error {
		id := row.Int(0)
		if !s.known(id) {
			return nil
		}
		owned[id] = true
		buf = row.Bytes(1, buf[:0])
		var c claimed
		if err := readClaim(buf, &c); err != nil {
			return fmt.Errorf("a claim on %s:%s: %w", s.assets[id].Kind, s.assets[id].Key, err)
		}
		return s.add(id, c.Owner, c.Source, c.Role, confidenceOf(c.Confidence, c.Evidence.Strength), c.Since, c.Until)
	})
	return owned, err
}

// add keeps a claim.
func (s *Survey) add(id int64, owner fact.Party, source, role string, confidence float64, since, until int64) error {
	c := heardClaim{subject: int32(id), confidence: confidence, since: since, until: until}
	n, ok := s.party[owner]
	if !ok {
		n = int32(len(s.parties))
		owner = fact.Party{Kind: strings.Clone(owner.Kind), ID: strings.Clone(owner.ID), Name: strings.Clone(owner.Name)}
		s.parties, s.party[owner] = append(s.parties, owner), n
	}
	c.owner = n
	var err error
	if c.source, err = s.sources.number(source); err == nil {
		c.role, err = s.roles.number(role)
	}
	s.heard = append(s.heard, c)
	return err
}

func (s *Survey) readLinks(ctx context.Context, tx store.Tx, owned []bool) error {
	ways := inherits()
	var way []graph.Direction
	ownedBy := int64(-1)
	err := tx.Query(ctx, linkKinds, func(row store.Row) error {
		for int64(len(way)) <= row.Int(0) {
			way, s.verbs = append(way, 0), append(s.verbs, "")
		}
		kind := fact.RelationKind(row.Text(1))
		way[row.Int(0)], s.verbs[row.Int(0)] = ways[kind], kind
		if kind == fact.OwnedBy {
			ownedBy = row.Int(0)
		}
		return nil
	})
	if err != nil {
		return err
	}
	s.verbs = append(s.verbs, sameAs, fact.PartOf) // the last of what keys and projects imply
	verbSame := uint8(len(s.verbs) - 2)
	var strength []uint8
	same := map[int64]bool{} // evidence of two assets that are one thing
	var buf []byte
	err = tx.Query(ctx, everyEvidence, func(row store.Row) error {
		for int64(len(strength)) <= row.Int(0) {
			strength = append(strength, uint8(len(strengthOrder)))
		}
		buf = row.Bytes(1, buf[:0])
		id := row.Int(0)
		err := eachString(buf, func(name, value []byte) {
			switch string(name) {
			case "strength":
				strength[id] = uint8(strengthRank(fact.Strength(value)))
			case "same":
				same[id] = string(value) == saidTrue
			}
		})
		if err == nil {
			return nil
		}
		var doc struct {
			Evidence   fact.Evidence
			Properties map[string]string
		}
		if err := json.Unmarshal(buf, &doc); err != nil {
			return fmt.Errorf("evidence %d: %w", id, err)
		}
		same[id] = doc.Properties["same"] == saidTrue
		strength[id] = uint8(strengthRank(doc.Evidence.Strength))
		return nil
	})
	if err != nil {
		return err
	}
	sources := map[int64]string{}
	if err := tx.Query(ctx, scopeSources, func(row store.Row) error { sources[row.Int(0)] = row.Text(1); return nil }); err != nil {
		return err
	}
	rank := func(evidence int64) uint8 {
		if evidence < int64(len(strength)) {
			return strength[evidence]
		}
		return uint8(len(strengthOrder))
	}
	err = tx.Query(ctx, everyLink, func(row store.Row) error {
		from, kind, to := row.Int(0), row.Int(1), row.Int(2)
		if !s.known(from) || !s.known(to) || kind >= int64(len(way)) {
			return nil
		}
		target := &s.assets[to]
		if kind == ownedBy && !owned[from] && (target.Kind == fact.AssetTeam || target.Kind == fact.AssetPerson) {
			strength := s.strength(rank(row.Int(3)))
			return s.add(from, fact.Party{Kind: target.Kind, ID: target.Key, Name: target.Name}, sources[row.Int(4)], RoleOwner, graph.ConfidenceOf(strength), 0, 0)
		}
		if s.verbs[kind] == fact.PartOf && same[row.Int(3)] {
			s.steps = append(s.steps, surveyStep{int32(from), int32(to), verbSame, false, rank(row.Int(3))})
			if leadsBack(target.Kind) {
				s.steps = append(s.steps, surveyStep{int32(to), int32(from), verbSame, true, rank(row.Int(3))})
			}
			return nil
		}
		if way[kind]&graph.Forward != 0 && (s.verbs[kind] != fact.CreatedBy || target.Kind == fact.AssetRepository) {
			s.steps = append(s.steps, surveyStep{int32(from), int32(to), uint8(kind), false, rank(row.Int(3))})
		}
		if way[kind]&graph.Backward != 0 || s.verbs[kind] == fact.InstanceOf && target.Kind == fact.AssetImage {
			s.steps = append(s.steps, surveyStep{int32(to), int32(from), uint8(kind), true, rank(row.Int(3))})
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, pair := range s.belongs {
		s.steps = append(s.steps, surveyStep{pair[0], pair[1], uint8(len(s.verbs) - 1), false, uint8(strengthRank(fact.Declared))})
	}
	for id := range s.assets {
		if !s.there[id] {
			continue
		}
		for _, a := range implied(&s.assets[id]) {
			if to, ok := s.byKey[a]; ok {
				s.steps = append(s.steps, surveyStep{int32(id), int32(to), uint8(len(s.verbs) - 1), false, uint8(strengthRank(fact.Derived))})
			}
		}
	}
	return nil
}

func (s *Survey) strength(rank uint8) fact.Strength {
	if int(rank) < len(strengthOrder) {
		return strengthOrder[rank]
	}
	return ""
}

// order sorts claims and steps by what they are about.
func (s *Survey) order() {
	s.starts = make([]uint32, len(s.assets)+1)
	for i := range s.heard {
		s.starts[s.heard[i].subject+1]++
	}
	for i := range s.assets {
		s.starts[i+1] += s.starts[i]
	}
	sorted := make([]heardClaim, len(s.heard))
	next := slices.Clone(s.starts)
	for _, c := range s.heard {
		sorted[next[c.subject]] = c
		next[c.subject]++
	}
	s.heard = sorted
	slices.SortFunc(s.steps, func(a, b surveyStep) int { return cmp.Compare(a.from, b.from) })
	s.stepAt = make([]uint32, len(s.assets)+1)
	for i := range s.steps {
		s.stepAt[s.steps[i].from+1]++
	}
	for i := range s.assets {
		s.stepAt[i+1] += s.stepAt[i]
	}
}

func (s *Survey) asset(id int64) (fact.Asset, error) { return s.assets[id], nil }

func (s *Survey) links(id int64, asked bool) ([]groundLink, error) {
	from, to := s.stepAt[id], s.stepAt[id+1]
	if from == to {
		return nil, nil
	}
	list := make([]groundLink, 0, to-from)
	for i := from; i < to; i++ {
		step := &s.steps[i]
		link := groundLink{int64(step.to), s.verbs[step.kind], step.backward, s.strength(step.strength)}
		if asked || !link.runs() {
			list = append(list, link)
		}
	}
	if len(list) > 1 {
		list = strongestLinks(list)
	}
	return few(list), nil
}

func (s *Survey) claims(id int64, give func(fact.Claim)) error {
	for i := s.starts[id]; i < s.starts[id+1]; i++ {
		c := &s.heard[i]
		give(fact.Claim{Owner: s.parties[c.owner], Role: s.roles.list[c.role], Source: s.sources.list[c.source], Confidence: c.confidence, Since: c.since, Until: c.until})
	}
	return nil
}

func (s *Survey) rulings(a fact.Asset) ([]Ruling, error) {
	if len(s.said) == 0 {
		return nil, nil
	}
	return s.said[fact.Asset{Kind: a.Kind, Key: a.Key}], nil
}

// Surveyed is who is suggested for one asset, without the texts of an explanation.
type Surveyed struct {
	Asset   fact.Asset
	Owners  []fact.Owner // without evidence
	Clear   bool
	Why     string
	Sources []string // of the claims that there are on it, or that it inherits
	Rulings []Ruling // of people, about it

	id      int64
	reached []reach
	unknown string // the surest, whom only hearsay knows
	tagged  string // whom its tags name
}

// reach is an asset that an owner may be inherited from, and what is left of a
// claim's worth on the way.
type reach struct {
	id    int64
	worth float64
}

// Each answers for every asset, in the order of their ids: who the first suggestions
// are and whether there is a clear owner. What it gives is used again for the next.
func (s *Survey) Each(ctx context.Context, give func(*Surveyed) error) error {
	w := weigher{p: &s.precedence, learned: s.learned, now: s.now, terse: true}
	g := &gathering{ground: s, directory: s.directory, precedence: &s.precedence, finds: s.finds}
	var one Surveyed
	for id := range s.assets {
		if !s.there[id] || answersNobody(s.assets[id].Kind) {
			continue
		}
		if id%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		g.reset()
		if err := g.gather(int64(id), nil); err != nil {
			return err
		}
		claims, _ := g.resolved(s.now, true)
		one.Asset = s.assets[id]
		one.Rulings, _ = s.rulings(one.Asset)
		suggested := w.weigh(claims, one.Rulings)
		one.Owners, one.Clear, one.Why, one.Sources = suggested.Owners, suggested.Clear, suggested.Why, one.Sources[:0]
		one.id, one.tagged, one.unknown, one.reached = int64(id), "", "", one.reached[:0]
		for i := range claims {
			c := &claims[i]
			kind, _, _ := strings.Cut(c.Source, ":")
			if !slices.Contains(one.Sources, kind) {
				one.Sources = append(one.Sources, kind)
			}
			if kind == SourceTagRule && one.tagged == "" {
				one.tagged = c.Owner.Kind + " " + c.Owner.ID
			}
		}
		if !one.Clear {
			if len(w.tallies) > 0 && w.tallies[0].unknown {
				one.unknown = w.tallies[0].party.ID
			}
			for i := range g.queue {
				worth := 1.0
				for n := range g.queue[i].via {
					worth *= s.precedence.step(&g.queue[i].via[n])
				}
				one.reached = append(one.reached, reach{g.queue[i].id, worth})
			}
		}
		if err := give(&one); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// answersNobody are the kinds of assets that nobody is asked about.
func answersNobody(kind string) bool {
	return kind == fact.AssetPerson || kind == fact.AssetTeam || kind == fact.AssetInternet
}
