package service

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// repositories lists what the members of a group are built from, sorted.
func (g *group) repositories() []string {
	var list []string
	for _, m := range g.members {
		if m.thing.repository != "" {
			list = append(list, m.thing.repository)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// form is a name as names are compared.
func form(name string) string {
	return strings.Map(func(r rune) rune {
		if r == '-' || r == '_' || r == '.' || r == ' ' {
			return -1
		}
		return r
	}, strings.ToLower(name))
}

// joined puts entities of the catalog in the place of groups that are built from
// their source: the only entity of the repository, or of several the one that is
// called alike. Groups that came to the same entity become one, and so do groups of
// one name built from one repository.
func (f *finder) joined(groups []*group) []*group {
	byKey := map[string]*group{}
	var list []*group
	for _, g := range groups {
		key := g.key
		repositories := g.repositories()
		if g.entity == nil && len(repositories) == 1 {
			candidates := f.byRepo[repositories[0]]
			if len(candidates) > 1 {
				candidates = slices.DeleteFunc(slices.Clone(candidates), func(e *entity) bool {
					return form(e.asset.Name) != form(g.name) && form(e.asset.Key[strings.LastIndex(e.asset.Key, "/")+1:]) != form(g.name)
				})
			}
			if len(candidates) == 1 {
				g.entity = candidates[0]
				g.also, g.key, g.name = append(g.also, g.key), g.entity.asset.Key, g.entity.asset.Name
				g.joined = "built from " + repositories[0] + ", the source of " + g.key
				key = g.key
			} else {
				key = repositories[0] + "//" + form(g.name)
			}
		}
		if into := byKey[key]; into != nil {
			into.take(g)
			continue
		}
		byKey[key] = g
		list = append(list, g)
	}
	return list
}

// take makes another group a part of this one.
func (g *group) take(other *group) {
	g.members = append(g.members, other.members...)
	for _, key := range append([]string{other.key}, other.also...) {
		if !g.means(key) {
			g.also = append(g.also, key)
		}
	}
	g.merged = append(g.merged, other.merged...)
	if other.entity != nil && other.entity != g.entity {
		g.merged = append(g.merged, other.entity)
	}
	if g.joined == "" {
		g.joined = other.joined
	}
}

// alone gives groups without members of the catalogs' services that nothing was
// found for, so that people can say what runs them.
func (f *finder) alone(groups []*group) []*group {
	for _, e := range f.entities {
		if !slices.ContainsFunc(groups, func(g *group) bool { return g.means(e.asset.Key) }) {
			groups = append(groups, &group{key: e.asset.Key, name: e.asset.Name, entity: e})
		}
	}
	return groups
}

// edited applies what people said, in its order. An edit whose service is not there
// stays for when it is again, and is told of.
func (f *finder) edited(groups []*group, edits []Edit) []*group {
	find := func(key string) *group {
		for _, g := range groups {
			if g.means(key) {
				return g
			}
		}
		return nil
	}
	lost := func(e *Edit, what string) {
		f.notes = append(f.notes, fmt.Sprintf("edit %d (%s by %s): there is no %s any longer; it is kept", e.ID, e.Verb, e.By, what))
	}
	for i := range edits {
		e := &edits[i]
		g := find(e.Service)
		switch e.Verb {
		case Rename:
			if g == nil {
				lost(e, "service "+e.Service)
				continue
			}
			g.name = e.Name
		case Merge:
			into := find(e.Into)
			switch {
			case g == nil:
				lost(e, "service "+e.Service)
			case into == nil: // it comes in the place of one that was there
				g.also, g.key = append(g.also, g.key), e.Into
			case into != g:
				into.take(g)
				groups = slices.DeleteFunc(groups, func(other *group) bool { return other == g })
			}
		case Split:
			moved := false
			for _, from := range groups {
				rest := from.members[:0:0]
				for _, m := range from.members {
					if m.thing.asset.Kind != e.Member.Kind || m.thing.asset.Key != e.Member.Key {
						rest = append(rest, m)
						continue
					}
					moved = true
					into := find(e.Into)
					if into == from {
						rest = append(rest, m)
						continue
					}
					if into == nil {
						into = &group{key: e.Into, name: e.Name}
						groups = append(groups, into)
					}
					m.verdict = verdict{reason: "split off by " + e.By + because(e.Reason), strength: fact.Declared}
					into.members = append(into.members, m)
				}
				from.members = rest
			}
			if !moved {
				lost(e, e.Member.Kind+" "+e.Member.Key)
			}
		}
	}
	return slices.DeleteFunc(groups, func(g *group) bool { return len(g.members) == 0 && g.entity == nil })
}

func because(reason string) string {
	if reason == "" {
		return ""
	}
	return ": " + reason
}

// found makes the answer of groups.
func (f *finder) found(groups []*group) Found {
	answer := Found{Services: []Service{}, Notes: []string{}}
	for _, g := range groups {
		s := Service{Key: g.key, Name: g.name, Also: slices.Sorted(slices.Values(g.also)), Repositories: g.repositories(), Reasons: []Reason{}, Members: []Member{}, Same: []Same{}}
		if s.Also == nil {
			s.Also = []string{}
		}
		if s.Repositories == nil {
			s.Repositories = []string{}
		}
		if g.entity != nil {
			s.Catalog = g.entity.catalog()
		}
		counts := map[Reason]int{}
		for _, m := range g.members {
			by := m.thing.teller
			if teller := m.thing.by[m.verdict.property]; teller != "" {
				by = teller
			}
			s.Members = append(s.Members, Member{m.thing.asset, m.verdict.reason, by, m.verdict.strength})
			counts[Reason{Text: m.verdict.reason, Strength: m.verdict.strength}]++
		}
		for reason, n := range counts {
			reason.Members = n
			s.Reasons = append(s.Reasons, reason)
		}
		if g.entity != nil && len(g.members) == 0 {
			s.Reasons = append(s.Reasons, Reason{"the catalog has it, and nothing that runs was found for it", fact.Declared, 0})
		}
		if g.joined != "" {
			s.Reasons = append(s.Reasons, Reason{g.joined, fact.Declared, len(g.members)})
		}
		slices.SortFunc(s.Reasons, func(a, b Reason) int { return cmp.Or(cmp.Compare(b.Members, a.Members), cmp.Compare(a.Text, b.Text)) })
		slices.SortFunc(s.Members, func(a, b Member) int { return compareAssets(a.Asset, b.Asset) })
		answer.Services = append(answer.Services, s)
	}
	uses := map[string]int{}
	for i := range answer.Services {
		for _, repository := range answer.Services[i].Repositories {
			uses[repository]++
		}
	}
	for i := range answer.Services {
		s := &answer.Services[i]
		s.Alone = slices.DeleteFunc(append([]string{}, s.Repositories...), func(repository string) bool { return uses[repository] > 1 })
	}
	answer.Services = f.same(answer.Services, groups)
	slices.SortFunc(answer.Services, func(a, b Service) int { return cmp.Or(cmp.Compare(a.Name, b.Name), cmp.Compare(a.Key, b.Key)) })
	slices.Sort(f.notes)
	answer.Notes = append(answer.Notes, slices.Compact(f.notes)...)
	return answer
}

// same says which services of other catalogs are one that was found: an entity's
// annotation names it, or it alone is called so on both sides.
// Services of catalogs that are another one, and have no members, are left out.
func (f *finder) same(services []Service, groups []*group) []Service {
	byName := map[string][]int{}
	for i := range services {
		if len(services[i].Members) > 0 {
			byName[form(services[i].Name)] = append(byName[form(services[i].Name)], i)
		}
	}
	called := map[string]int{}
	for _, e := range f.entities {
		called[e.catalog()+" "+form(e.asset.Name)]++
	}
	taken := map[string]bool{} // services that are another one
	take := func(i int, e *entity, reason string, strength fact.Strength) {
		if !taken[e.asset.Key] && services[i].Key != e.asset.Key {
			taken[e.asset.Key] = true
			services[i].Same = append(services[i].Same, Same{e.asset, reason, strength})
		}
	}
	for i, g := range groups {
		for _, e := range g.merged {
			take(i, e, "merged by a person", fact.Declared)
		}
		if g.entity == nil {
			continue
		}
		for _, system := range []string{"pagerduty", "opsgenie"} {
			annotation := "annotation:" + system + ".com/service-id"
			id := g.entity.properties[annotation]
			for _, e := range f.entities {
				if id != "" && e.asset.Key == system+":service:"+id {
					take(i, e, word(annotation)+"="+id, fact.Declared)
				}
			}
		}
	}
	for _, e := range f.entities {
		name := form(e.asset.Name)
		if called[e.catalog()+" "+name] > 1 || len(byName[name]) != 1 {
			continue
		}
		if i := byName[name][0]; services[i].Catalog != e.catalog() {
			take(i, e, "it alone is called "+e.asset.Name+", here and there", fact.Guess)
		}
	}
	for i := range services {
		slices.SortFunc(services[i].Same, func(a, b Same) int { return compareAssets(a.Asset, b.Asset) })
	}
	return slices.DeleteFunc(services, func(s Service) bool { return len(s.Members) == 0 && taken[s.Key] })
}
