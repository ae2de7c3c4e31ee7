package issue

import (
	"encoding/json"
	"slices"

	"github.com/backstitch/backstitch/fact"
)

// Holds says whether a finding is one of those that the issue groups, as far as the
// finding and the issue's key tell; the cause is not traced again.
func (i *Issue) Holds(f *StoredFinding) bool {
	if f.Kind != i.Kind || !slices.ContainsFunc(i.Assets, func(a fact.Asset) bool { return a.Kind == f.Asset.Kind && a.Key == f.Asset.Key }) {
		return false
	}
	if i.Kind == fact.Vulnerability {
		pkg, _ := fact.ParsePURL(i.purl())
		named := func(id string) bool { return slices.Contains(i.Advisories, id) }
		return (named(f.Rule) || slices.ContainsFunc(f.Aliases, named)) && (pkg.Name == "" || f.Package.Name == pkg.Name)
	}
	if f.Rule != i.Rule {
		return false
	}
	if i.Kind != fact.Secret && i.Kind != fact.Misconfiguration {
		return true
	}
	var parts []string
	return json.Unmarshal([]byte(i.Key), &parts) != nil || len(parts) < 4 || parts[3] == f.Anchor
}

func (i *Issue) purl() string {
	if i.Package == nil {
		return ""
	}
	return i.Package.PURL
}
