package issue

import (
	"cmp"
	"crypto/sha256"
	"encoding/base32"
	"encoding/json"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// Context is what grouping asks of others. Every function may be nil.
type Context struct {
	// Repository stands in where a cause names none.
	Repository string
	// Cause answers where a finding's flaw comes from.
	Cause func(*StoredFinding) fact.Cause
	// Advisory looks an advisory up by any id of its class.
	Advisory func(id string) (fact.Advisory, bool)
	// Classes lists the ids of an advisory's alias class, as far as an advisory
	// index knows it.
	Classes func(id string) []string
	// Dependency says whether the package is a direct dependency, and whether
	// it is one of development only.
	Dependency func(*StoredFinding) (direct, development bool)
	// Situation tells where the affected assets stand: the worst of each.
	Situation func(assets []fact.Asset) Situation
}

// Group makes issues of findings, worst first. The result depends on the
// findings and not on their order.
//
// The key of an issue is by value: kind, repository and path of the root cause,
// package name, and the alias class or rule; for secrets and misconfigurations
// also the stable text of the place (which secret, which resource), because
// each of those is its own piece of work. Where no cause is known the asset and
// the path that the detector named stand in. No line, version or time is part
// of it.
func Group(findings []StoredFinding, c Context) []Issue {
	classes := classify(findings, c)
	groups := map[string]*group{}
	for i := range findings {
		f := &findings[i]
		cause := fact.Cause{Status: fact.CauseUnknown}
		if c.Cause != nil {
			cause = c.Cause(f)
		}
		class := []string{f.Rule}
		if f.Kind == fact.Vulnerability {
			if ids := classes(f.Rule); len(ids) > 0 {
				class = ids
			}
		}
		key := keyOf(f, cause, c.Repository, class[0])
		g := groups[key]
		if g == nil {
			g = &group{key: key, class: class}
			groups[key] = g
		}
		g.members = append(g.members, member{f, cause})
	}
	issues := make([]Issue, 0, len(groups))
	for _, g := range groups {
		issues = append(issues, g.issue(c))
	}
	Sort(issues)
	return issues
}

type member struct {
	*StoredFinding
	cause fact.Cause
}

type group struct {
	key     string
	class   []string // preferred id first
	members []member
}

// classify gives the class of every advisory id that findings name.
func classify(findings []StoredFinding, c Context) func(id string) []string {
	var sets [][]string
	seen := map[string]bool{}
	add := func(ids []string) {
		if len(ids) < 2 {
			return
		}
		set := slices.Clone(ids)
		slices.SortFunc(set, comparePreference)
		if text := strings.Join(set, "\n"); !seen[text] {
			seen[text] = true
			sets = append(sets, set)
		}
	}
	asked := map[string]bool{}
	for i := range findings {
		f := &findings[i]
		if f.Kind != fact.Vulnerability {
			continue
		}
		add(Joinable(f.Rule, f.Aliases))
		if len(f.Class) > 0 {
			add(Joinable(f.Class[0], f.Class[1:]))
		}
		if c.Classes != nil && !asked[f.Rule] {
			asked[f.Rule] = true
			if ids := c.Classes(f.Rule); len(ids) > 0 {
				add(Joinable(ids[0], ids[1:]))
			}
		}
	}
	slices.SortFunc(sets, slices.Compare)
	p := newPartition()
	for _, set := range sets {
		p.join(set)
	}
	members := p.classes()
	return func(id string) []string {
		if _, ok := p.parent[id]; !ok {
			return nil
		}
		return members[p.root(id)]
	}
}

// keyOf writes the value that names an issue, as a JSON list of texts.
func keyOf(f *StoredFinding, cause fact.Cause, repository, class string) string {
	places := []string{}
	for _, location := range cause.Locations {
		if cause.Status == fact.CauseUnknown {
			break
		}
		places = append(places, cmp.Or(location.Repository, repository)+"//"+location.Path)
		if cause.Status == fact.CauseFound {
			break
		}
	}
	slices.Sort(places)
	places = slices.Compact(places)
	if len(places) == 0 {
		places = append(places, f.Asset.Kind+":"+f.Asset.Key+"//"+f.Path)
	}
	anchor := ""
	if f.Kind == fact.Secret || f.Kind == fact.Misconfiguration {
		anchor = f.Anchor
	}
	return keyText(append([]string{string(f.Kind), class, f.Package.Name, anchor}, places...))
}

func keyText(parts []string) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(parts); err != nil {
		panic("issue: " + err.Error()) // strings always encode
	}
	return strings.TrimSuffix(out.String(), "\n")
}

// keys lists every value that names an issue, one for each id of its class: its
// own Key first.
func (i *Issue) keys() []string {
	var parts []string
	if err := json.Unmarshal([]byte(i.Key), &parts); err != nil || len(parts) < 2 {
		return []string{i.Key}
	}
	keys := []string{i.Key}
	if i.Kind != fact.Vulnerability {
		return keys
	}
	for _, id := range i.Class {
		parts[1] = id
		if key := keyText(parts); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	return keys
}

var idEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// IDOf derives an issue's id from its key: "BS-" and the first ten base32
// characters of the key's sha256.
func IDOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return "BS-" + idEncoding.EncodeToString(sum[:])[:10]
}

func (g *group) issue(c Context) Issue {
	gone := func(m member) int {
		if m.State == FindingUnconfirmed {
			return 1
		}
		return 0
	}
	slices.SortFunc(g.members, func(a, b member) int {
		return cmp.Or(
			gone(a)-gone(b), // what is still seen speaks first
			cmp.Compare(a.Asset.Kind, b.Asset.Kind), cmp.Compare(a.Asset.Key, b.Asset.Key), cmp.Compare(a.Path, b.Path),
			cmp.Compare(a.Tool, b.Tool), cmp.Compare(a.Format, b.Format), cmp.Compare(a.Rule, b.Rule),
			cmp.Compare(a.Package.Version, b.Package.Version), cmp.Compare(a.Line, b.Line), cmp.Compare(a.ID, b.ID),
			cmp.Compare(a.Title, b.Title), cmp.Compare(a.Description, b.Description))
	})
	first := g.members[0]
	seen := 0
	for _, m := range g.members {
		if gone(m) == gone(first) {
			seen++
		}
	}
	i := Issue{
		ID: IDOf(g.key), Key: g.key, Kind: first.Kind, Rule: g.class[0], Class: g.class, Findings: seen,
		Advisories: []string{}, Assets: []fact.Asset{}, Owners: []fact.Owner{}, FixPaths: []fix.Path{}, Tools: []string{}, Blocked: []string{},
		Cause: first.cause,
	}
	if i.Kind == fact.Vulnerability {
		i.Advisories = slices.Clone(g.class)
	}
	score, direct, development := 0.0, false, true
	for _, m := range g.members {
		i.Severity = max(i.Severity, m.Severity)
		score = max(score, m.Score)
		i.EPSS = max(i.EPSS, m.EPSS)
		switch {
		case gone(m) != gone(first):
		case better(m.cause, i.Cause):
			i.Cause = m.cause
		case m.cause.Status == fact.CauseFound && i.Cause.Status == fact.CauseFound:
			i.Cause = joined(i.Cause, m.cause)
		}
		if i.Title == "" && (m.Kind != fact.Vulnerability || !strings.HasPrefix(m.Title, m.Rule)) {
			i.Title = m.Title // of a flaw, only a title that says more than its id
		}
		if m.Package.Name != "" && (i.Package == nil || i.Package.Version == "" && m.Package.Version != "") {
			i.Package = &Package{PURL: cmp.Or(m.Package.PURL, fact.PURL(m.Package.Ecosystem, m.Package.Name, m.Package.Version)), Version: m.Package.Version}
		}
		if !slices.ContainsFunc(i.Assets, func(a fact.Asset) bool { return a.Kind == m.Asset.Kind && a.Key == m.Asset.Key }) {
			i.Assets = append(i.Assets, m.Asset)
		}
		if !slices.Contains(i.Tools, m.Tool) {
			i.Tools = append(i.Tools, m.Tool)
		}
		if m.FirstSeen != 0 && (i.FirstSeen == 0 || m.FirstSeen < i.FirstSeen) {
			i.FirstSeen = m.FirstSeen
		}
		i.LastSeen = max(i.LastSeen, m.LastSeen)
		if c.Dependency != nil {
			d, dev := c.Dependency(m.StoredFinding)
			direct, development = direct || d, development && dev
		}
		if i.Kind == fact.Vulnerability {
			// Ids that could not be joined, such as the second CVE of a notice.
			for _, id := range m.Aliases {
				if isSingular(id) && !slices.Contains(i.Advisories, id) {
					i.Advisories = append(i.Advisories, id)
				}
			}
		}
	}
	if c.Dependency == nil {
		development = false
	}
	if n := len(g.class); len(i.Advisories) > n {
		slices.SortFunc(i.Advisories[n:], comparePreference)
	}
	if c.Advisory != nil && i.Kind == fact.Vulnerability {
		for _, id := range i.Advisories {
			advisory, ok := c.Advisory(id)
			if !ok {
				continue
			}
			i.Exploit = i.Exploit || advisory.Exploited
			i.EPSS = max(i.EPSS, advisory.EPSS)
			score = max(score, advisory.Score)
			if i.Severity == fact.SeverityUnknown {
				i.Severity = advisory.Severity
			}
			if i.Title == "" {
				i.Title = advisory.Summary
			}
		}
	}
	if i.Severity == fact.SeverityUnknown && score > 0 {
		i.Severity = fact.SeverityOfScore(score)
	}
	if i.Title == "" {
		i.Title = i.Rule
		if first.Package.Name != "" {
			i.Title += " in " + first.Package.Name
		}
	}
	slices.Sort(i.Tools)
	i.State, i.Reason, i.Analysis = derive(g.members)
	factors := Factors{Severity: i.Severity, Score: score, Exploited: i.Exploit, EPSS: i.EPSS, Direct: direct, Development: development}
	if c.Situation != nil {
		factors.Situation = c.Situation(i.Assets)
	}
	i.Risk, i.RiskTerms = Risk(factors)
	i.Cause = complete(i.Cause)
	return i
}

// maxPlaces bounds the places of a cause that are joined from several findings.
const maxPlaces = 100

// joined adds the places of another finding's cause, such as those through which
// another version of a package came in, with the steps that lead there.
func joined(a, b fact.Cause) fact.Cause {
	fresh := false
	for _, place := range b.Locations {
		if !slices.Contains(a.Locations, place) && len(a.Locations) < maxPlaces {
			a.Locations = append(slices.Clip(a.Locations), place)
			fresh = true
		}
	}
	if !fresh {
		return a
	}
	for _, link := range b.Chain {
		if !slices.ContainsFunc(a.Chain, func(l fact.Link) bool { return l.Kind == link.Kind && l.Key == link.Key && l.Location == link.Location }) {
			a.Chain = append(slices.Clip(a.Chain), link)
		}
	}
	return a
}

// better says whether a cause says more than another.
func better(a, b fact.Cause) bool {
	rank := func(c fact.Cause) int {
		switch c.Status {
		case fact.CauseFound:
			return 2
		case fact.CauseAmbiguous:
			return 1
		}
		return 0
	}
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(len(a.Chain), len(b.Chain))) > 0
}

// complete makes the lists of a cause non-null.
func complete(c fact.Cause) fact.Cause {
	if c.Status == "" {
		c.Status = fact.CauseUnknown
	}
	if c.Locations == nil {
		c.Locations = []fact.Location{}
	}
	if c.Chain == nil {
		c.Chain = []fact.Link{}
	}
	if c.Missing == nil {
		c.Missing = []string{}
	}
	return c
}

// Sort orders issues worst first: open and in progress before unconfirmed
// before resolved and rejected, then by risk, severity and id.
func Sort(issues []Issue) {
	rank := func(s State) int {
		switch s {
		case Open, InProgress:
			return 0
		case Unconfirmed:
			return 1
		}
		return 2
	}
	slices.SortFunc(issues, func(a, b Issue) int {
		return cmp.Or(
			cmp.Compare(rank(a.State), rank(b.State)), cmp.Compare(b.Risk, a.Risk), cmp.Compare(b.Severity, a.Severity), cmp.Compare(a.ID, b.ID))
	})
}
