package owner

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/store"
)

// Directory is who is known: the people and teams that sources tell of, those of
// several sources that are the same joined, who is in which team, and who left. It
// does not change once it is made.
type Directory struct {
	list  []identity
	forms map[string]int32 // how somebody may be written, to whom; -1 when it fits several
	orgs  map[string]bool  // of a forge whose teams a source tells of, "@acme"
}

// identity is one person or team.
type identity struct {
	party   fact.Party
	asset   fact.Asset
	known   bool // a source tells of it, not only a claim
	gone    bool // a team that no source tells of any longer
	left    bool // a person who is not active
	bot     bool
	mailed  bool   // an address is known
	since   string // when a person left, as it is written
	manager string
	login   string  // at a forge
	teams   []int32 // of a person
	parents []int32 // of a team
}

// member is one asset of a person or team while a directory is made.
type member struct {
	asset      fact.Asset
	properties map[string]string
	accounts   []Account // of a person, one for each source that tells of it now
	known      bool
	alive      bool
	told       bool // and not only as what another asset leads to
	kept       bool // another source than CODEOWNERS and history tells of it now
}

// stated is what the graph keeps of an asset for each scope.
type stated struct {
	Name       string            `json:"name"`
	End        bool              `json:"end"`
	Properties map[string]string `json:"said"`
}

// loadDirectory reads who is known from the graph.
func loadDirectory(ctx context.Context, tx store.Tx, hearsay []string, now int64) (*Directory, error) {
	var members []member
	at := map[int64]int32{}
	err := tx.Query(ctx, selectParties, func(row store.Row) error {
		id := row.Int(0)
		n, ok := at[id]
		if !ok {
			n = int32(len(members))
			at[id] = n
			members = append(members, member{asset: fact.Asset{Kind: row.Text(1), Key: row.Text(2), Name: row.Text(3)}, properties: map[string]string{}})
		}
		var doc stated
		if err := json.Unmarshal([]byte(row.Text(4)), &doc); err != nil {
			return fmt.Errorf("%s:%s: %w", row.Text(1), row.Text(2), err)
		}
		m := &members[n]
		m.known = m.known || !doc.End
		if row.Int(5) != 0 {
			return nil
		}
		m.alive = true
		m.told = m.told || !doc.End
		m.kept = m.kept || !doc.End && !ofCode(row.Text(6))
		if !doc.End && m.asset.Kind == fact.AssetPerson {
			m.accounts = append(m.accounts, entryOf(row.Text(6), m.asset.Key, cmp.Or(doc.Name, m.asset.Name), doc.Properties))
		}
		for name, value := range doc.Properties {
			if _, said := m.properties[name]; !said {
				m.properties[name] = value
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	type link struct {
		from, to int32
		kind     fact.RelationKind
		gone     bool
	}
	var links []link
	err = tx.Query(ctx, selectPartyLinks, func(row store.Row) error {
		from, one := at[row.Int(0)]
		to, other := at[row.Int(2)]
		if one && other {
			links = append(links, link{from, to, fact.RelationKind(row.Text(1)), row.Int(3) != 0})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var named []fact.Party
	err = tx.Query(ctx, selectVouched, func(row store.Row) error {
		if source, _, _ := strings.Cut(row.Text(0), ":"); !slices.Contains(hearsay, source) {
			named = append(named, fact.Party{Kind: row.Text(1), ID: row.Text(2), Name: row.Text(3)})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	d, of := newDirectory(members, named, now)
	for _, gone := range []bool{false, true} { // who left may have lost the team as well: it counts as it was
		for _, l := range links {
			from, to := of[l.from], of[l.to]
			if l.gone != gone || from == to {
				continue
			}
			who := &d.list[from]
			for _, end := range []*identity{who, &d.list[to]} {
				// A team that was part of something was there, whoever still names it.
				end.known = end.known || gone && end.gone
			}
			into := &who.teams
			if l.kind == fact.PartOf {
				into = &who.parents
			}
			if gone && (len(*into) > 0 || !who.left && !who.gone) || slices.Contains(*into, to) {
				continue
			}
			*into = append(*into, to)
		}
	}
	for i := range d.list {
		d.list[i].gone = d.list[i].gone && d.list[i].known // of others it is not known that they were there
	}
	return d, nil
}

// newDirectory joins members into identities, and says to which each belongs.
func newDirectory(members []member, named []fact.Party, now int64) (*Directory, []int32) {
	d := &Directory{forms: map[string]int32{}, orgs: map[string]bool{}}
	joined := make([]int32, len(members))
	for i := range joined {
		joined[i] = int32(i)
	}
	root := func(i int32) int32 {
		for joined[i] != i {
			joined[i] = joined[joined[i]]
			i = joined[i]
		}
		return i
	}
	union := func(a, b int32) {
		a, b = root(a), root(b)
		joined[max(a, b)] = min(a, b)
	}
	// People are joined as everywhere. The name of a team joins what different sources
	// call alike, when no source calls two so.
	humans := joinMembers(members, union, time.UnixMicro(now))
	type called struct {
		list    []int32
		several bool
	}
	byName := map[string]*called{}
	for i := range members {
		m := &members[i]
		if m.asset.Kind != fact.AssetTeam {
			continue
		}
		if name := joinName(m.asset.Kind, m.asset.Name, m.asset.Key); name != "" {
			c := byName[name]
			if c == nil {
				c = &called{}
				byName[name] = c
			}
			source := sourceOfKey(m.asset.Key)
			c.several = c.several || slices.ContainsFunc(c.list, func(other int32) bool {
				return sourceOfKey(members[other].asset.Key) == source && root(other) != root(int32(i))
			})
			c.list = append(c.list, int32(i))
		}
	}
	for _, c := range byName {
		for _, other := range c.list[1:] {
			if !c.several {
				union(c.list[0], other)
			}
		}
	}
	of := make([]int32, len(members))
	seen := map[int32]int32{}
	for i := range members { // in the order of assets, so that the first one seen names it
		m := &members[i]
		n, ok := seen[root(int32(i))]
		if !ok {
			n = int32(len(d.list))
			seen[root(int32(i))] = n
			d.list = append(d.list, identity{party: fact.Party{Kind: m.asset.Kind, ID: m.asset.Key, Name: m.asset.Name}, asset: m.asset, gone: true})
		}
		of[i] = n
		who := &d.list[n]
		if m.known && !who.known {
			who.party.ID, who.party.Name, who.asset = m.asset.Key, m.asset.Name, m.asset
		}
		if m.asset.Kind == fact.AssetTeam {
			// That CODEOWNERS names a team no longer ends nothing: only a catalog can tell.
			code := strings.HasPrefix(m.asset.Key, "@")
			who.known = who.known || m.known
			who.gone = who.gone && !m.told && !code
			if org, _, ok := strings.Cut(m.asset.Key, "/"); ok && code && m.kept {
				d.orgs[strings.ToLower(org)] = true
			}
		} else {
			// A person who is named nowhere any longer has not left for that.
			who.known = who.known || m.known && m.alive
			who.gone = false
		}
		who.manager = cmp.Or(who.manager, m.properties["manager"])
		who.login = cmp.Or(who.login, m.properties["login"], m.properties["github"], m.properties["gitlab"])
		if m.asset.Kind == fact.AssetPerson {
			who.bot = who.bot || humans[i].Bot
			who.left, who.since = who.left || humans[i].Gone, cmp.Or(who.since, humans[i].Left)
			if mails := m.mails(); len(mails) > 0 {
				if who.mailed = true; !strings.Contains(who.party.ID, "@") {
					who.party.ID = mails[0]
				}
			}
		}
	}
	for i := range members {
		for _, form := range members[i].forms() {
			d.form(form, of[i])
		}
	}
	for _, p := range named {
		if _, ok := d.find(p); ok {
			continue
		}
		n := int32(len(d.list))
		d.list = append(d.list, identity{party: p, asset: fact.Asset{Kind: p.Kind, Key: p.ID, Name: p.Name}, known: true})
		m := member{asset: fact.Asset{Kind: p.Kind, Key: p.ID, Name: p.Name}}
		for _, form := range m.forms() {
			d.form(form, n)
		}
	}
	return d, of
}

// joinMembers joins the people among members that are one human, and gives the human of
// each.
func joinMembers(members []member, union func(a, b int32), now time.Time) map[int]*Human {
	var accounts []Account
	at := map[string]int32{} // by key
	for i := range members {
		m := &members[i]
		if m.asset.Kind != fact.AssetPerson {
			continue
		}
		at[m.asset.Key] = int32(i)
		if len(m.accounts) == 0 { // only met, or gone: known by what its key says
			one := entryOf("", m.asset.Key, m.asset.Name, nil)
			one.Entry = false
			m.accounts = []Account{one}
		}
		accounts = append(accounts, m.accounts...)
	}
	of := map[int]*Human{}
	humans := JoinAccounts(accounts, now)
	for i := range humans.List {
		h := &humans.List[i]
		first := at[h.Accounts[0].Key]
		for _, a := range h.Accounts {
			other := at[a.Key]
			union(first, other)
			of[int(other)] = h
		}
	}
	return of
}

func (d *Directory) form(form string, who int32) {
	if other, ok := d.forms[form]; ok && other != who {
		who = -1
	}
	d.forms[form] = who
}

// mails are the addresses of a member, the first first.
func (m *member) mails() []string {
	if m.asset.Kind != fact.AssetPerson {
		return nil
	}
	var list []string
	add := func(text string) {
		text = strings.ToLower(strings.TrimSpace(text))
		if strings.Contains(text, "@") && !strings.HasPrefix(text, "@") && !slices.Contains(list, text) && len(list) < maxAddresses {
			list = append(list, text)
		}
	}
	add(m.properties["email"])
	for part := range strings.SplitSeq(m.properties["emails"], ",") {
		add(part)
	}
	add(m.asset.Key)
	return list
}

// maxAddresses bounds the addresses of one person.
const maxAddresses = 1000

// forms are the ways in which a claim may write somebody.
func (m *member) forms() []string {
	kind := m.asset.Kind + " "
	key := strings.ToLower(m.asset.Key)
	list := []string{kind + key}
	if _, rest, ok := strings.Cut(key, ":"); ok {
		list = append(list, kind+rest)
	}
	for _, mail := range m.mails() {
		list = append(list, kind+mail)
		if login, _, forge := forgeLogin(mail); forge {
			list = append(list, kind+login)
		}
	}
	for login := range strings.SplitSeq(strings.ToLower(m.properties["logins"]), ",") {
		if strings.Contains(login, "/") {
			list = append(list, kind+login)
		}
	}
	for _, name := range []string{"login", "username", "github", "gitlab"} {
		if value := strings.ToLower(m.properties[name]); value != "" {
			list = append(list, kind+value, kind+"@"+value)
		}
	}
	for _, text := range []string{m.asset.Name, m.asset.Key} {
		if name := joinName(m.asset.Kind, text, ""); name != "" {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// sourceOfKey is the source that an asset's key names.
func sourceOfKey(key string) string {
	source, _, ok := strings.Cut(key, ":")
	if !ok {
		return ""
	}
	return source
}

// joinName is the form of a name by which sources are joined: of a team its last
// part without signs; of a person the full name, since a first name is anybody's.
func joinName(kind, name, key string) string {
	if name == "" {
		name = key
	}
	if kind == fact.AssetTeam {
		name = name[strings.LastIndexAny(name, "/:")+1:]
	} else if !strings.Contains(strings.TrimSpace(name), " ") {
		return ""
	}
	var b strings.Builder
	b.WriteString(kind + " ~")
	gap := false
	for _, r := range strings.ToLower(name) {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !unicode.IsMark(r) {
			gap = b.Len() > len(kind)+2
			continue
		}
		if gap {
			b.WriteByte('-')
			gap = false
		}
		b.WriteRune(r)
	}
	if b.Len() == len(kind)+2 {
		return ""
	}
	return b.String()
}

// find gives the identity that a party of a claim names. A name that fits several
// names nobody.
func (d *Directory) find(p fact.Party) (int32, bool) {
	id := strings.ToLower(strings.TrimSpace(p.ID))
	forms := [...]string{p.Kind + " " + id, "", "", "", ""}
	if _, rest, ok := strings.Cut(id, ":"); ok {
		forms[1] = p.Kind + " " + rest
	}
	forms[3] = joinName(p.Kind, p.ID, "")
	if p.Name != p.ID {
		forms[4] = joinName(p.Kind, p.Name, "")
	}
	addressed := false
	if p.Kind == fact.AssetPerson && strings.Contains(id, "@") && !strings.HasPrefix(id, "@") {
		addressed = true
		if login, _, forge := forgeLogin(id); forge {
			forms[2] = p.Kind + " " + login
		}
	}
	for i, form := range forms {
		if n, ok := d.forms[form]; ok && form != "" {
			if i > 2 && n >= 0 && addressed && d.list[n].mailed {
				return -1, false // of the same name, and of another address
			}
			return n, n >= 0
		}
	}
	return -1, false
}

// Known finds who a text means: "team:x" and "person:x" say which, else either. It
// fails when nobody is known so, or several are.
func (d *Directory) Known(text string) (fact.Party, error) {
	kinds := []string{fact.AssetTeam, fact.AssetPerson}
	kind, rest, ok := strings.Cut(text, ":")
	if ok && slices.Contains(kinds, kind) {
		kinds, text = []string{kind}, rest
	}
	var found []fact.Party
	several := false
	for _, kind := range kinds {
		n, ok := d.find(fact.Party{Kind: kind, ID: text})
		switch {
		case ok && d.list[n].known:
			found = append(found, d.list[n].party)
		case n < 0:
			_, two := d.forms[kind+" "+strings.ToLower(text)]
			_, alike := d.forms[joinName(kind, text, "")]
			several = several || two || alike
		}
	}
	switch {
	case len(found) == 1:
		return found[0], nil
	case len(found) > 1 || several:
		return fact.Party{}, fmt.Errorf("owner %q: several are called so, expected team:KEY or person:ADDRESS", text)
	case len(kinds) == 1 && text != "":
		return fact.Party{Kind: kinds[0], ID: text, Name: text}, nil
	}
	return fact.Party{}, fmt.Errorf("owner %q: no source knows a person or team of this name; team:%s or person:%s says that it is meant all the same", text, text, text)
}

// standIn is who answers instead of somebody who left or a team that is no more.
type standIn struct {
	who    int32
	factor float64
	how    string
}

// maxFallback bounds a chain of teams and managers; cycles end by what was seen.
const maxFallback = 10

// standIns gives who answers instead: of a person the teams, else the manager; of a
// team that is gone the team that it was part of.
func (d *Directory) standIns(n int32, p *Precedence) []standIn {
	seen := []int32{n}
	factor, how := 1.0, ""
	for range maxFallback {
		who := &d.list[n]
		var next []int32
		word := "the team"
		share := p.Fallback.Team
		for _, team := range slices.Concat(who.teams, who.parents) {
			if !slices.Contains(seen, team) {
				next = append(next, team)
			}
		}
		if alive := slices.DeleteFunc(slices.Clone(next), func(t int32) bool { return d.list[t].gone }); len(alive) > 0 {
			next = alive
		} else if who.manager != "" {
			if m, ok := d.find(fact.Party{Kind: fact.AssetPerson, ID: who.manager}); ok && !slices.Contains(seen, m) {
				next, word, share = []int32{m}, "the manager", p.Fallback.Manager
			}
		}
		if len(next) == 0 {
			return nil
		}
		factor *= share
		how += "; falls to " + word
		var list []standIn
		for _, t := range next {
			if who := &d.list[t]; !who.left && !who.gone && !who.bot {
				list = append(list, standIn{t, factor, how + " " + who.party.Name})
			}
		}
		if len(list) > 0 {
			return list
		}
		n = next[0]
		how += " " + d.list[n].party.Name + ", " + d.list[n].absence()
		seen = append(seen, next...)
	}
	return nil
}

// absence says why an identity does not answer, "" when it does.
func (i *identity) absence() string {
	switch {
	case i.left && i.since != "":
		return "who left " + i.since
	case i.left:
		return "who is not active any longer"
	case i.bot:
		return "which is a bot"
	case i.gone && i.known:
		return "which no source tells of any longer"
	}
	return ""
}
