package terraform

import (
	"slices"
	"strings"

	"github.com/zclconf/go-cty/cty"
)

// Site is where a scanner points: a resource instance and, when what it points at
// lies inside one, an attribute.
type Site struct {
	Address   Address
	Attribute []cty.Value // path, empty for the block as a whole
}

// maxSites bounds the instances of a block that are told.
const maxSites = 200

// SitesAt lists the instances of the resource whose block holds lines of a file,
// with the innermost attribute that holds all of them. Blocks of the JSON syntax are
// told as a whole.
func (c *Configuration) SitesAt(path string, line, end int) []Site {
	end = max(line, end)
	var sites []Site
	seen := map[*module]bool{}
	var walk func(at *call)
	walk = func(at *call) {
		if !seen[at.module] {
			seen[at.module] = true
			for _, key := range at.module.order {
				b := at.module.resources[key]
				if strings.HasPrefix(key, "data.") || !b.place.holds(path, line, end) {
					continue
				}
				attribute := b.body.at(path, line, end)
				for _, address := range c.instancesOf(at.module, key) {
					if len(sites) < maxSites {
						sites = append(sites, Site{address, attribute})
					}
				}
			}
		}
		for _, name := range at.module.callOrder {
			if child := at.children[name]; child != nil && child.module != nil {
				walk(child)
			}
		}
	}
	walk(c.root)
	slices.SortFunc(sites, func(a, b Site) int { return strings.Compare(a.Address.String(), b.Address.String()) })
	return sites
}

// holds says whether lines of a file lie inside a place.
func (p Place) holds(path string, line, end int) bool {
	return p.Path == path && p.Line <= line && end <= max(p.Line, p.EndLine)
}

// at gives the path of the innermost attribute that holds lines, none when they are
// those of a block.
func (b body) at(path string, line, end int) []cty.Value {
	for name, a := range b.attributes {
		if a.place.holds(path, line, end) {
			return []cty.Value{cty.StringVal(name)}
		}
	}
	made := map[string]bool{} // kinds of which a dynamic block makes an unknown number
	count := map[string]int64{}
	for _, nested := range b.blocks {
		if nested.kind == "dynamic" && len(nested.labels) == 1 {
			made[nested.labels[0]] = true
		}
		if made[nested.kind] {
			continue
		}
		index := count[nested.kind]
		count[nested.kind]++
		if !nested.place.holds(path, line, end) {
			continue
		}
		if inner := nested.body.at(path, line, end); inner != nil {
			return append([]cty.Value{cty.StringVal(nested.kind), cty.NumberIntVal(index)}, inner...)
		}
	}
	return nil
}

// FieldPath reads an attribute's path as scanners write them: logging[0].bucket, or
// logging/[0]/bucket. False for what is none.
func FieldPath(text string) ([]cty.Value, bool) {
	text = strings.ReplaceAll(strings.ReplaceAll(text, "/[", "["), "/", ".")
	_, path, err := ParseAddress("x.y." + text)
	return path, err == nil && len(path) > 0
}
