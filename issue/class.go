package issue

import (
	"cmp"
	"slices"
	"strings"
)

// singular are the databases that give one flaw one id, so that an id of theirs
// may join a class. Distribution notices (RHSA, DSA, USN ...) cover several
// flaws and join nothing.
var singular = []string{"CVE-", "GHSA-", "GO-", "PYSEC-", "RUSTSEC-", "OSV-", "SNYK-", "GMS-", "NSWG-", "PSF-", "CURL-", "BIT-", "HSEC-", "RSEC-", "EEF-", "JLSEC-", "MAL-"}

// isSingular says whether an id names one flaw of one package for everybody.
func isSingular(id string) bool {
	if len(id) > 100 || strings.ContainsAny(id, " \t\r\n") {
		return false
	}
	for _, prefix := range singular {
		if len(id) > len(prefix) && strings.EqualFold(id[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}

// Joinable picks, from a finding's rule and aliases, the ids that may form one class. Two CVE ids are two flaws:
// when the ids name several, none of them is joined through the others.
func Joinable(rule string, aliases []string) []string {
	var ids []string
	cves := 0
	for i := -1; i < len(aliases); i++ {
		id := rule
		if i >= 0 {
			id = aliases[i]
		}
		if !isSingular(id) || slices.Contains(ids, id) {
			continue
		}
		if IsCVE(id) {
			cves++
		}
		ids = append(ids, id)
	}
	if cves > 1 || len(ids) < 2 {
		return nil
	}
	return ids
}

// IsCVE says whether id has the form of a CVE id.
func IsCVE(id string) bool { return len(id) > 4 && strings.EqualFold(id[:4], "CVE-") }

// preference orders ids for people: the first is the one to show.
func preference(id string) int {
	for i, prefix := range []string{"CVE-", "GHSA-", "GO-", "PYSEC-", "RUSTSEC-", "OSV-"} {
		if len(id) >= len(prefix) && strings.EqualFold(id[:len(prefix)], prefix) {
			return i
		}
	}
	return 100
}

// comparePreference orders ids by preference, then by text.
func comparePreference(a, b string) int {
	return cmp.Or(cmp.Compare(preference(a), preference(b)), cmp.Compare(a, b))
}

// partition joins ids into classes, each with at most one CVE id: sets that
// would bring two together stay apart.
type partition struct {
	parent map[string]string
	cve    map[string]string // of each root
}

func newPartition() *partition {
	return &partition{map[string]string{}, map[string]string{}}
}

func (p *partition) root(id string) string {
	parent, ok := p.parent[id]
	if !ok {
		p.parent[id] = id
		if IsCVE(id) {
			p.cve[id] = id
		}
		return id
	}
	if parent == id {
		return id
	}
	root := p.root(parent)
	p.parent[id] = root
	return root
}

func (p *partition) join(ids []string) {
	for _, id := range ids[min(1, len(ids)):] {
		a, b := p.root(ids[0]), p.root(id)
		if a == b || p.cve[a] != "" && p.cve[b] != "" {
			continue
		}
		if b < a {
			a, b = b, a
		}
		p.parent[b] = a
		if p.cve[a] == "" && p.cve[b] != "" {
			p.cve[a] = p.cve[b]
		}
	}
}

// classes lists the members of each class by root, preferred first.
func (p *partition) classes() map[string][]string {
	members := map[string][]string{}
	for id := range p.parent {
		root := p.root(id)
		members[root] = append(members[root], id)
	}
	for _, ids := range members {
		slices.SortFunc(ids, comparePreference)
	}
	return members
}
