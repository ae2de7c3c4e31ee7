package owner

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/store"
)

// Estate answers who owns any asset of the graph: from the claims on it and on what
// it belongs to, from its tags, and from what people said. It is safe for concurrent
// use.
type Estate struct {
	db         store.Engine
	precedence Precedence
	rules      TagRules
	now        func() time.Time

	mu         sync.Mutex
	directory  *Directory
	members    *memberships
	generation int64 // of the graph that both are of
	day        int64 // on which it was made: people leave by date
	learned    *Learned
	ruling     int64 // the last one that was learned from
}

// NewEstate prepares the answers of a database.
func NewEstate(db store.Engine, precedence Precedence, rules TagRules, now func() time.Time) *Estate {
	return &Estate{db: db, precedence: precedence, rules: rules, now: now}
}

// AssetExplanation is why somebody is suggested for an asset.
type AssetExplanation struct {
	Subject fact.Asset `json:"subject"`
	Suggested
	// Rulings are what people said of the asset itself, as it stands.
	Rulings []Ruling `json:"rulings"`
	// Lessons are what people's answers made of the kinds of evidence.
	Lessons []Lesson `json:"lessons"`
	// Looked are the assets that owners were inherited from, or looked for at.
	Looked []fact.Asset `json:"looked"`
}

// Explain answers who owns an asset.
func (e *Estate) Explain(ctx context.Context, subject fact.Asset) (*AssetExplanation, error) {
	return e.explain(ctx, subject, nil)
}

// ExplainWith is Explain with further claims on the subject, which need not be an
// asset of the graph then, and on what it concerns: the assets of an issue.
func (e *Estate) ExplainWith(ctx context.Context, subject fact.Asset, claims []Claimed, concerns []fact.Asset) (*AssetExplanation, error) {
	return e.explain(ctx, subject, &more{claims, concerns})
}

type more struct {
	claims   []Claimed
	concerns []fact.Asset
}

func (e *Estate) explain(ctx context.Context, subject fact.Asset, with *more) (*AssetExplanation, error) {
	x := &AssetExplanation{Subject: subject, Rulings: []Ruling{}, Lessons: []Lesson{}, Looked: []fact.Asset{}}
	err := e.db.Read(ctx, func(tx store.Tx) error {
		g, err := e.gathered(ctx, tx, subject, with)
		if err != nil {
			return err
		}
		answers, err := history(ctx, tx, subject)
		if err != nil {
			return err
		}
		learned, err := e.taught(ctx, tx)
		if err != nil {
			return err
		}
		x.Rulings = append(x.Rulings, Standing(answers)...)
		claims, stale := g.resolved(e.now().UnixMicro(), false)
		x.Lessons = learned.Lessons(claims)
		w := weigher{p: &e.precedence, learned: learned, now: e.now().UnixMicro()}
		x.Suggested = w.weigh(claims, x.Rulings)
		x.Stale = append(x.Stale, stale...)
		x.Looked = append(x.Looked, g.looked...)
		x.settle(g)
		return nil
	})
	return x, err
}

// gathered collects the claims that reach a subject.
func (e *Estate) gathered(ctx context.Context, tx store.Tx, subject fact.Asset, with *more) (*gathering, error) {
	directory, members, err := e.knows(ctx, tx)
	if err != nil {
		return nil, err
	}
	ground, err := newLiveGround(ctx, tx, e.rules, members)
	if err != nil {
		return nil, err
	}
	g := &gathering{ground: ground, directory: directory, precedence: &e.precedence}
	if with == nil {
		id, err := ground.id(subject)
		there := false
		if err == nil {
			err = tx.Query(ctx, assetThere, func(store.Row) error { there = true; return nil }, store.Int(id))
		}
		if err == nil && !there {
			err = fmt.Errorf("%s:%s: %w, or not any longer", subject.Kind, subject.Key, graph.ErrNotFound)
		}
		if err != nil {
			return nil, err
		}
		return g, g.gather(id, nil)
	}
	g.claims = append(g.claims, with.claims...)
	for _, a := range with.concerns {
		id, err := ground.id(a)
		if err != nil {
			return nil, err
		}
		if id == 0 {
			continue
		}
		if err := g.gather(id, []graph.Via{{Kind: concerns, Asset: a, Strength: fact.Attested}}); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// Say keeps what a person says of an asset, and what it teaches: the kinds of
// evidence that name the owner are right, those that name another one of its kind in
// the role are wrong. It says whether anything changed.
func (e *Estate) Say(ctx context.Context, a Answer) (bool, error) { return e.say(ctx, a, nil) }

// SayWith is Say of a subject that is not an asset; see ExplainWith.
func (e *Estate) SayWith(ctx context.Context, a Answer, claims []Claimed, concerns []fact.Asset) (bool, error) {
	return e.say(ctx, a, &more{claims, concerns})
}

func (e *Estate) say(ctx context.Context, a Answer, with *more) (bool, error) {
	a.Role = cmp.Or(a.Role, RoleOwner)
	a.At = e.now().UnixMicro()
	err := e.db.Read(ctx, func(tx store.Tx) error {
		g, err := e.gathered(ctx, tx, a.Subject, with)
		if err != nil {
			return err
		}
		claims, _ := g.resolved(a.At, true)
		a.Right, a.Wrong = lessons(&a, claims)
		learned, err := e.taught(ctx, tx)
		if err != nil {
			return err
		}
		before, err := history(ctx, tx, a.Subject)
		if err != nil || len(before) > 0 {
			return err // the first suggestion was a person's already
		}
		w := weigher{p: &e.precedence, learned: learned, now: a.At, terse: true}
		a.judge(w.weigh(claims, nil).Owners)
		return nil
	})
	if err != nil {
		return false, err
	}
	kept, err := Record(ctx, e.db, []Answer{a})
	return kept > 0, err
}

// judge notes what an answer says of the first suggestion.
func (a *Answer) judge(owners []fact.Owner) {
	if len(owners) == 0 || a.Verb == Unpin {
		return
	}
	first := fact.Party{Kind: owners[0].Kind, ID: owners[0].ID}
	mine := sameParty(first, a.Owner)
	if a.Verb == Reject && !mine {
		return // of another one
	}
	a.First, a.Agreed = owners[0].Confidence, mine && a.Verb != Reject
}

// lessons gives the kinds of evidence that an answer speaks for and against.
func lessons(a *Answer, claims []Claimed) (right, wrong []string) {
	for i := range claims {
		c := &claims[i]
		kind := lesson(c.Source)
		switch mine := sameParty(c.Owner, a.Owner); {
		case c.Source == SourceHuman || a.Verb == Unpin:
		case mine && a.Verb != Reject:
			right = append(right, kind)
		case mine, a.Verb != Reject && c.Owner.Kind == a.Owner.Kind && c.Role == a.Role:
			wrong = append(wrong, kind)
		}
	}
	slices.Sort(right)
	right = slices.Compact(right)
	slices.Sort(wrong)
	wrong = slices.DeleteFunc(slices.Compact(wrong), func(kind string) bool { return slices.Contains(right, kind) })
	return right, wrong
}

// Steps that are no relations of the graph: from an issue to an asset that it is about,
// and between two assets that are one thing told of twice, as a workload and as the
// cloud's resource. Of such a pair each inherits from the other, and no step is lost.
const (
	concerns fact.RelationKind = "concerns"
	sameAs   fact.RelationKind = "same_as"
)

// saidTrue is the value of a property that is so.
const saidTrue = "true"

// leadsBack says whether an asset of a kind is looked at for others that are the same
// thing. Services are not, since much may be part of one.
func leadsBack(kind string) bool { return kind == fact.AssetResource || kind == fact.AssetKubernetes }

// known gives the directory of the graph as it is.
func (e *Estate) known(ctx context.Context, tx store.Tx) (*Directory, error) {
	d, _, err := e.knows(ctx, tx)
	return d, err
}

// knows gives the directory of the graph as it is, and what belongs to its projects.
func (e *Estate) knows(ctx context.Context, tx store.Tx) (*Directory, *memberships, error) {
	generation := int64(0)
	if err := tx.Query(ctx, selectGeneration, func(row store.Row) error { generation = row.Int(0); return nil }); err != nil {
		return nil, nil, err
	}
	now := e.now().UnixMicro()
	day := now / dayMicros
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.directory != nil && e.generation == generation && e.day == day {
		return e.directory, e.members, nil
	}
	d, err := loadDirectory(ctx, tx, e.precedence.Hearsay, now)
	if err != nil {
		return nil, nil, fmt.Errorf("people and teams: %w", err)
	}
	members, err := loadMemberships(ctx, tx)
	if err != nil {
		return nil, nil, fmt.Errorf("members of projects: %w", err)
	}
	e.directory, e.members, e.generation, e.day = d, members, generation, day
	return d, members, nil
}

// taught gives what was learned from all answers up to now.
func (e *Estate) taught(ctx context.Context, tx store.Tx) (*Learned, error) {
	last := int64(0)
	if err := tx.Query(ctx, lastRuling, func(row store.Row) error { last = row.Int(0); return nil }); err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.learned != nil && e.ruling == last {
		return e.learned, nil
	}
	l, err := loadLearned(ctx, tx)
	if err == nil {
		e.learned, e.ruling = l, last
	}
	return l, err
}

// Find gives the person or team that a text means.
func (e *Estate) Find(ctx context.Context, text string) (fact.Party, error) {
	var party fact.Party
	err := e.db.Read(ctx, func(tx store.Tx) error {
		d, err := e.known(ctx, tx)
		if err == nil {
			party, err = d.Known(text)
		}
		return err
	})
	return party, err
}

// ground is what is known of assets: the graph as it stands, or all of it in memory.
type ground interface {
	asset(id int64) (fact.Asset, error)
	// links gives what an asset inherits from; an image that is asked about itself also
	// from what runs it.
	links(id int64, asked bool) ([]groundLink, error)
	// claims gives the claims on an asset itself and those that rules make of its tags.
	claims(id int64, give func(fact.Claim)) error
	// rulings gives what people said of an asset.
	rulings(a fact.Asset) ([]Ruling, error)
}

// groundLink is a step to another asset.
type groundLink struct {
	to       int64
	kind     fact.RelationKind
	backward bool
	strength fact.Strength
}

// Bounds of inheriting.
const (
	maxSteps  = 6
	maxLooked = 1000
)

// gathering collects the claims that reach a subject.
type gathering struct {
	ground     ground
	directory  *Directory
	precedence *Precedence

	claims []Claimed
	looked []fact.Asset
	queue  []gathered
	seen   []int64
	many   map[int64]bool       // seen, when they are many
	finds  map[fact.Party]int32 // identities found before, -1 for none
	room   []Claimed
	vouch  map[string]bool // who is named by another claim than hearsay, made when it is needed
}

// reset makes a gathering ready for another subject.
func (g *gathering) reset() {
	g.claims, g.looked, g.queue, g.seen = g.claims[:0], g.looked[:0], g.queue[:0], g.seen[:0]
	clear(g.many)
	g.vouch = nil
}

// meet says whether an asset is met for the first time.
func (g *gathering) meet(id int64) bool {
	const few = 32
	if len(g.seen) < few {
		if slices.Contains(g.seen, id) {
			return false
		}
	} else {
		if g.many == nil {
			g.many = map[int64]bool{}
		}
		if len(g.many) == 0 {
			for _, one := range g.seen {
				g.many[one] = true
			}
		}
		if g.many[id] {
			return false
		}
		g.many[id] = true
	}
	g.seen = append(g.seen, id)
	return true
}

// gathered is an asset that was reached, with the way to it and who was rejected on
// that way.
type gathered struct {
	id       int64
	via      []graph.Via
	rejected []fact.Party
}

// gather collects the claims on an asset and on all that it inherits from, nearest
// first; each asset once, over a nearest way.
func (g *gathering) gather(from int64, via []graph.Via) error {
	if !g.meet(from) {
		return nil
	}
	own := len(via)
	g.queue = append(g.queue[:0], gathered{from, via, nil})
	for at := 0; at < len(g.queue); at++ {
		here := g.queue[at]
		a, err := g.ground.asset(here.id)
		if err != nil {
			return err
		}
		g.looked = append(g.looked, a)
		if len(here.via) > 0 { // what was said of the subject itself counts by itself
			rulings, err := g.ground.rulings(a)
			if err != nil {
				return err
			}
			for _, r := range rulings {
				if !r.Accept {
					here.rejected = append(here.rejected[:len(here.rejected):len(here.rejected)], r.Owner)
					continue
				}
				if r.Bulk || g.rejects(here.rejected, r.Owner) {
					continue // what it was accepted for in bulk is inherited itself; who was rejected nearer is out
				}
				g.claims = append(g.claims, Claimed{Via: here.via, Claim: fact.Claim{
					Subject: a, Owner: r.Owner, Role: r.Role, Source: SourceHuman, Confidence: 1, Since: r.At,
					Evidence: fact.Evidence{Method: "ruling", Source: r.By, Strength: fact.Declared, Detail: r.Reason},
				}})
			}
		}
		if err := g.ground.claims(here.id, func(c fact.Claim) {
			if !g.rejects(here.rejected, c.Owner) {
				c.Subject = a
				g.claims = append(g.claims, Claimed{Claim: c, Via: here.via})
			}
		}); err != nil {
			return err
		}
		if len(here.via)-own >= maxSteps {
			continue
		}
		links, err := g.ground.links(here.id, len(here.via) == own)
		if err != nil {
			return err
		}
		for _, l := range links {
			if len(g.seen) >= maxLooked || !g.meet(l.to) {
				continue
			}
			to, err := g.ground.asset(l.to)
			if err != nil {
				return err
			}
			step := graph.Via{Kind: l.kind, Backward: l.backward, Asset: to, Strength: l.strength}
			g.queue = append(g.queue, gathered{l.to, append(here.via[:len(here.via):len(here.via)], step), here.rejected})
		}
	}
	return nil
}

// resolved gives the claims with their owners as they are known: who left is
// replaced by who answers instead, and who is known by hearsay only is marked.
func (g *gathering) resolved(now int64, terse bool) (claims []Claimed, stale []string) {
	d := g.directory
	claims = g.room[:0]
	for i := range g.claims {
		c := g.claims[i]
		n, ok := g.find(c.Owner)
		source, _, _ := strings.Cut(c.Source, ":")
		if !ok || !d.list[n].known {
			if slices.Contains(g.precedence.Hearsay, source) && !g.vouched(&c) {
				c.unknown = true
			}
			claims = append(claims, c)
			continue
		}
		who := &d.list[n]
		name := c.Owner.Name
		c.Owner = who.party
		if c.Owner.Name == "" || c.Owner.Name == c.Owner.ID {
			c.Owner.Name = cmp.Or(name, c.Owner.ID)
		}
		absence := who.absence()
		if absence == "" || c.Until != 0 && c.Until <= now {
			claims = append(claims, c)
			continue
		}
		instead := d.standIns(n, g.precedence)
		how := "; nobody is known who answers instead"
		for _, s := range instead {
			stand := c
			stand.Owner, stand.share = d.list[s.who].party, s.factor
			if how = s.how; !terse {
				stand.note = fmt.Sprintf("for %s, %s%s", c.Owner.Name, absence, s.how)
			}
			claims = append(claims, stand)
		}
		if !terse {
			stale = append(stale, fmt.Sprintf("%s by %s: %s%s", c.Owner.Name, c.Source, absence, how))
		}
	}
	g.room = claims
	return claims, stale
}

// rejects says whether somebody is among those who were rejected, however sources write them.
func (g *gathering) rejects(rejected []fact.Party, who fact.Party) bool {
	return slices.ContainsFunc(rejected, func(p fact.Party) bool {
		if sameParty(p, who) {
			return true
		}
		a, one := g.find(p)
		b, other := g.find(who)
		return one && other && a == b
	})
}

// find is the directory's, once for each party.
func (g *gathering) find(p fact.Party) (int32, bool) {
	n, known := g.finds[p]
	if !known {
		ok := false
		if n, ok = g.directory.find(p); !ok {
			n = -1
		}
		if g.finds == nil {
			g.finds = map[fact.Party]int32{}
		}
		g.finds[p] = n
	}
	return n, n >= 0
}

// vouched says whether another claim than hearsay names the same owner.
func (g *gathering) vouched(c *Claimed) bool {
	if g.vouch == nil {
		g.vouch = map[string]bool{}
		for i := range g.claims {
			other := &g.claims[i]
			if source, _, _ := strings.Cut(other.Source, ":"); !slices.Contains(g.precedence.Hearsay, source) {
				g.vouch[other.Owner.Kind+" "+strings.ToLower(other.Owner.ID)] = true
				g.vouch[other.Owner.Kind+" "+strings.ToLower(other.Owner.Name)] = true
			}
		}
	}
	return g.vouch[c.Owner.Kind+" "+strings.ToLower(c.Owner.ID)]
}

// settle says what would make a clear owner of one that is not.
func (x *AssetExplanation) settle(g *gathering) {
	if x.Clear {
		return
	}
	subject := shellWord(x.Subject.Kind + ":" + x.Subject.Key)
	add := func(format string, args ...any) { x.Settle = append(x.Settle, fmt.Sprintf(format, args...)) }
	if len(x.Unknown) > 0 {
		add("a source of people or teams that knows %s, or a person's word for it", x.Owners[0].Name)
	}
	if len(x.Owners) > 0 {
		add("a person's word: backstitch owner accept %s %s", subject, shellWord(x.Owners[0].Kind+":"+x.Owners[0].ID))
	} else {
		add("a person's word: backstitch owner assign %s OWNER", subject)
	}
	reached := map[string]bool{}
	for _, a := range x.Looked {
		reached[a.Kind] = true
	}
	if live, ok := g.ground.(*liveGround); ok {
		for _, tag := range live.tags {
			add("a tag rule that reads %s", tag)
		}
	}
	switch kind := x.Subject.Kind; {
	case kind == fact.AssetWorkload && !reached[fact.AssetImage]:
		add("which image it runs: no source says")
	case reached[fact.AssetImage] && !reached[fact.AssetRepository]:
		add("which repository its image was built from: a label org.opencontainers.image.source or provenance says so")
	case kind == fact.AssetResource && !reached[fact.AssetTerraform]:
		add("which Terraform address made it: a source of kind terraformstate says so")
	}
	if !reached[fact.AssetService] && !reached[fact.AssetProject] {
		add("a service of a catalog or a project that it is part of")
	}
}

// shellWord writes a text from outside as one word of a shell, so that a command can be
// copied.
func shellWord(text string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./:@+=,", r)
	}
	if text != "" && !strings.ContainsFunc(text, func(r rune) bool { return !plain(r) }) {
		return text
	}
	return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'"
}

// inherits are the relations that ownership is inherited over: those of the graph,
// and from what a pipeline made to the pipeline's repository.
func inherits() map[fact.RelationKind]graph.Direction {
	ways := map[fact.RelationKind]graph.Direction{fact.CreatedBy: graph.Forward}
	for _, f := range graph.Inherits() {
		ways[f.Kind] |= f.Way
	}
	return ways
}

// objectKey says whether a key is that of an object in a cluster that is named by its
// ARN: a kind follows, which begins with a capital.
func objectKey(key string) bool {
	parts := strings.Split(key, "/")
	n := len(parts)
	return n >= 5 && parts[n-2] != "" && parts[n-2][0] >= 'A' && parts[n-2][0] <= 'Z' && strings.Contains(key, ":cluster/")
}

// implied are assets that the key of one names without any relation: the account of
// an ARN, the namespace of an object, the repository of a file.
func implied(a *fact.Asset) []fact.Asset {
	switch a.Kind {
	case fact.AssetResource, fact.AssetWorkload, fact.AssetIdentity, fact.AssetKubernetes:
		if a.Kind != fact.AssetKubernetes && strings.HasPrefix(a.Key, "arn:") && !objectKey(a.Key) {
			if parts := strings.SplitN(a.Key, ":", 6); len(parts) == 6 && parts[4] != "" {
				return []fact.Asset{{Kind: fact.AssetAccount, Key: "aws/" + parts[4]}}
			}
			return nil
		}
		if a.Kind == fact.AssetResource {
			return nil
		}
		if cluster, namespace := namespaceOf(a.Key); namespace != "" && !strings.HasSuffix(a.Key, "/-/Namespace/"+namespace) {
			return []fact.Asset{{Kind: fact.AssetKubernetes, Key: cluster + "/-/Namespace/" + namespace}}
		}
	case fact.AssetFile, fact.AssetDockerfile, fact.AssetTerraform, fact.AssetModule:
		if home, _, ok := strings.Cut(a.Key, "//"); ok {
			return []fact.Asset{{Kind: fact.AssetRepository, Key: home}}
		}
	}
	return nil
}

// liveGround reads the graph as it stands.
type liveGround struct {
	ctx   context.Context
	tx    store.Tx
	rules TagRules
	ways  map[int64]graph.Direction // by number of a kind of relation
	names map[int64]fact.RelationKind
	tags  []string // that look like an owner's and no rule took

	members *memberships
	nodes   map[int64]*fact.Node
}

func newLiveGround(ctx context.Context, tx store.Tx, rules TagRules, members *memberships) (*liveGround, error) {
	g := &liveGround{ctx: ctx, tx: tx, rules: rules, ways: map[int64]graph.Direction{}, names: map[int64]fact.RelationKind{}, members: members, nodes: map[int64]*fact.Node{}}
	ways := inherits()
	err := tx.Query(ctx, linkKinds, func(row store.Row) error {
		kind := fact.RelationKind(row.Text(1))
		g.names[row.Int(0)] = kind
		if way := ways[kind]; way != 0 {
			g.ways[row.Int(0)] = way
		}
		return nil
	})
	return g, err
}

func (g *liveGround) id(a fact.Asset) (id int64, err error) {
	err = g.tx.Query(g.ctx, assetID, func(row store.Row) error { id = row.Int(0); return nil }, store.Text(a.Kind), store.Text(a.Key))
	return id, err
}

func (g *liveGround) asset(id int64) (a fact.Asset, err error) {
	err = g.tx.Query(g.ctx, assetOf, func(row store.Row) error {
		a = fact.Asset{Kind: row.Text(0), Key: row.Text(1), Name: row.Text(2)}
		return nil
	}, store.Int(id))
	return a, err
}

func (g *liveGround) links(id int64, asked bool) ([]groundLink, error) {
	var list []groundLink
	take := func(way graph.Direction) func(store.Row) error {
		return func(row store.Row) error {
			kind := g.names[row.Int(0)]
			same := kind == fact.PartOf && row.Text(3) == saidTrue
			if same {
				kind = sameAs
			}
			runs := kind == fact.InstanceOf && way == graph.Backward
			if g.ways[row.Int(0)]&way != 0 || same || runs {
				list = append(list, groundLink{row.Int(1), kind, way == graph.Backward, fact.Strength(row.Text(2))})
			}
			return nil
		}
	}
	if err := g.tx.Query(g.ctx, linksOut, take(graph.Forward), store.Int(id)); err != nil {
		return nil, err
	}
	node, err := g.node(id)
	if err != nil {
		return nil, err
	}
	for kind, way := range g.ways {
		runs := asked && node.Kind == fact.AssetImage && g.names[kind] == fact.InstanceOf
		if way&graph.Backward != 0 || g.names[kind] == fact.PartOf && leadsBack(node.Kind) || runs {
			if err := g.tx.Query(g.ctx, linksIn, take(graph.Backward), store.Int(id), store.Int(kind)); err != nil {
				return nil, err
			}
		}
	}
	if !g.members.empty() {
		var room [16]tag
		tags := room[:0]
		for name, value := range node.Properties {
			tags = addTag(tags, name, value)
		}
		for _, to := range g.members.of(&node.Asset, tags) {
			list = append(list, groundLink{to, fact.PartOf, false, fact.Declared})
		}
	}
	for _, other := range implied(&node.Asset) {
		to, err := g.id(other)
		if err != nil {
			return nil, err
		}
		if to != 0 {
			list = append(list, groundLink{to, fact.PartOf, false, fact.Derived})
		}
	}
	kept := list[:0]
	for _, l := range list {
		if l.kind == fact.CreatedBy {
			to, err := g.asset(l.to)
			if err != nil {
				return nil, err
			}
			if to.Kind != fact.AssetRepository {
				continue
			}
		}
		kept = append(kept, l)
	}
	return few(strongestLinks(kept)), nil
}

// runByMany is how many workloads may run an image for their owners to say anything of it.
const runByMany = 50

// runs says whether a link leads from an image to what runs it. Who runs it did not
// always make it, so that the step is a derived one.
func (l *groundLink) runs() bool { return l.kind == fact.InstanceOf && l.backward }

// few leaves out what runs an image when that is much: everybody's image is nobody's.
func few(list []groundLink) []groundLink {
	count := 0
	for i := range list {
		if l := &list[i]; l.runs() {
			count++
			if strengthRank(l.strength) < strengthRank(fact.Derived) {
				l.strength = fact.Derived
			}
		}
	}
	if count <= runByMany {
		return list
	}
	return slices.DeleteFunc(list, func(l groundLink) bool { return l.runs() })
}

// strongestLinks leaves one step to each asset, the strongest, in a fixed order.
func strongestLinks(list []groundLink) []groundLink {
	slices.SortFunc(list, func(a, b groundLink) int {
		back := func(l groundLink) int {
			if l.backward {
				return 1
			}
			return 0
		}
		part := func(l groundLink) int {
			if l.kind == sameAs {
				return 0
			}
			return 1
		}
		return cmp.Or(cmp.Compare(a.to, b.to), cmp.Compare(strengthRank(a.strength), strengthRank(b.strength)), part(a)-part(b), cmp.Compare(a.kind, b.kind), back(a)-back(b))
	})
	return slices.CompactFunc(list, func(a, b groundLink) bool { return a.to == b.to })
}

func strengthRank(s fact.Strength) int {
	if at := slices.Index(strengthOrder, s); at >= 0 {
		return at
	}
	return len(strengthOrder)
}

var strengthOrder = []fact.Strength{fact.Proven, fact.Attested, fact.Declared, fact.Derived, fact.Guess}

// claimed is what the graph keeps of a claim.
type claimed struct {
	Owner      fact.Party    `json:"owner"`
	Role       string        `json:"role"`
	Source     string        `json:"source"`
	Evidence   fact.Evidence `json:"evidence"`
	Confidence float64       `json:"confidence"`
	Since      int64         `json:"since"`
	Until      int64         `json:"until"`
}

func (g *liveGround) claims(id int64, give func(fact.Claim)) error {
	stored := false
	err := g.tx.Query(g.ctx, claimsOn, func(row store.Row) error {
		var c claimed
		if err := json.Unmarshal([]byte(row.Text(0)), &c); err != nil {
			return fmt.Errorf("a claim of asset %d: %w", id, err)
		}
		stored = true
		give(fact.Claim{Owner: c.Owner, Role: c.Role, Source: c.Source, Evidence: c.Evidence, Confidence: confidenceOf(c.Confidence, c.Evidence.Strength), Since: c.Since, Until: c.Until})
		return nil
	}, store.Int(id))
	if err != nil {
		return err
	}
	if !stored {
		err = g.tx.Query(g.ctx, ownedBy, func(row store.Row) error {
			var e struct{ Evidence fact.Evidence }
			if err := json.Unmarshal([]byte(row.Text(4)), &e); err != nil {
				return fmt.Errorf("evidence of asset %d: %w", id, err)
			}
			give(fact.Claim{
				Owner: fact.Party{Kind: row.Text(0), ID: row.Text(1), Name: row.Text(2)}, Role: RoleOwner, Source: row.Text(3),
				Evidence: e.Evidence, Confidence: graph.ConfidenceOf(e.Evidence.Strength),
			})
			return nil
		}, store.Int(id))
		if err != nil {
			return err
		}
	}
	node, err := g.node(id)
	if err != nil {
		return err
	}
	took := false
	g.rules.Apply(node, func(_ *TagRule, c fact.Claim) {
		took = true
		give(c)
	})
	for _, name := range slices.Sorted(maps.Keys(node.Properties)) {
		if key, ok := strings.CutPrefix(name, "tag:"); ok && !took && likeOwner(strings.ToLower(key)) {
			g.tags = append(g.tags, fmt.Sprintf("%s=%s of %s %s", key, node.Properties[name], node.Kind, cmp.Or(node.Name, node.Key)))
		}
	}
	return nil
}

// node gives an asset with what all scopes state of it.
func (g *liveGround) node(id int64) (*fact.Node, error) {
	if node, ok := g.nodes[id]; ok {
		return node, nil
	}
	node := &fact.Node{Properties: map[string]string{}}
	var err error
	if node.Asset, err = g.asset(id); err != nil {
		return nil, err
	}
	err = g.tx.Query(g.ctx, selectStated, func(row store.Row) error {
		var doc stated
		if err := json.Unmarshal([]byte(row.Text(0)), &doc); err != nil {
			return fmt.Errorf("%s:%s: %w", node.Kind, node.Key, err)
		}
		for name, value := range doc.Properties {
			if _, said := node.Properties[name]; !said {
				node.Properties[name] = value
			}
		}
		return nil
	}, store.Text(node.Kind), store.Text(node.Key))
	g.nodes[id] = node
	return node, err
}

// confidenceOf is a claim's confidence, or that of its evidence when it has none.
func confidenceOf(said float64, strength fact.Strength) float64 {
	if said > 0 {
		return said
	}
	return graph.ConfidenceOf(strength)
}

func (g *liveGround) rulings(a fact.Asset) ([]Ruling, error) {
	answers, err := history(g.ctx, g.tx, a)
	return Standing(answers), err
}
