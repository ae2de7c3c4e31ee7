package connector

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// Person is a person as a directory or an on-call system tells of them. Sources
// say it in the same words, so that one person of several systems is one asset
// when the systems know the same address.
type Person struct {
	ID     string // what the system calls the person, with its own prefix: "scim:2819c223"
	Name   string
	Emails []string // the first is the one that the person goes by
	Logins []string // at forges, with the host: "github.com/ada"; others as the system has them
	Active *bool    // nil when the system does not say
	Left   string   // day, "2006-01-02"
	// Manager is the key of the person's manager.
	Manager string
	Bot     bool
	// Said are further properties, by the system's own names.
	Said map[string]string
}

// Address gives a mail address as it is compared, in small letters, "" for text
// that is none. Domains know no case, and no system that counts tells people
// apart by the case of what stands before the "@".
func Address(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	text = strings.TrimPrefix(text, "mailto:")
	local, domain, found := strings.Cut(text, "@")
	if !found || local == "" || domain == "" || len(text) > 320 || strings.ContainsAny(text, " \t\r\n,;<>\"()") || strings.Contains(domain, "@") {
		return ""
	}
	return text
}

// Asset names the person: by the first address, else by the system's own id.
func (p *Person) Asset() fact.Asset {
	for _, email := range p.Emails {
		if key := Address(email); key != "" {
			return fact.Asset{Kind: fact.AssetPerson, Key: key, Name: p.Name}
		}
	}
	return fact.Asset{Kind: fact.AssetPerson, Key: p.ID, Name: p.Name}
}

// Node gives the person with the properties that every source of people uses.
func (p *Person) Node() fact.Node {
	said := maps.Clone(p.Said)
	if said == nil {
		said = map[string]string{}
	}
	set := func(name, value string) {
		if value != "" {
			said[name] = value
		}
	}
	var emails []string
	for _, email := range p.Emails {
		if email = Address(email); email != "" && !slices.Contains(emails, email) {
			emails = append(emails, email)
		}
	}
	set("emails", strings.Join(emails, ","))
	var logins []string
	for _, login := range p.Logins {
		if login = strings.TrimSpace(login); login == "" || strings.Contains(login, ",") || slices.Contains(logins, login) {
			continue
		}
		logins = append(logins, login)
		// CODEOWNERS names people by the login alone.
		for _, forge := range []string{"github", "gitlab"} {
			if name, of := strings.CutPrefix(login, forge+".com/"); of && said[forge] == "" {
				said[forge] = name
			}
		}
	}
	set("logins", strings.Join(logins, ","))
	if p.Active != nil {
		set("active", strconv.FormatBool(*p.Active))
	}
	set("left", p.Left)
	set("manager", p.Manager)
	if p.Bot {
		set("bot", "true")
	}
	set("id", p.ID)
	return fact.Node{Asset: p.Asset(), Properties: said}
}

// Party names the person in a claim.
func (p *Person) Party() fact.Party {
	return fact.Party{Kind: "person", ID: p.Asset().Key, Name: p.Name}
}
