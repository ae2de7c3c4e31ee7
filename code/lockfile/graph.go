package lockfile

import (
	"cmp"
	"path"
	"strings"

	"github.com/google/osv-scalibr/semantic"
)

// maxSameName bounds how many versions of one name are looked at when a lock
// does not say which of them is meant.
const maxSameName = 256

// some gives at most maxSameName of a list.
func some(list []int) []int { return list[:min(len(list), maxSameName)] }

// markDev says of each package whether only development asks for it, from the
// groups of the declarations. Workspace members are not walked through: what
// they ask for is declared by themselves.
func (m *Module) markDev() {
	reach := func(dev bool) []bool {
		seen := make([]bool, len(m.Packages))
		var stack []int
		for i := range m.Packages {
			for _, d := range m.Packages[i].Declared {
				group := m.Declared[d].Group
				if (group == "development" || group == "test") == dev && !seen[i] {
					seen[i] = true
					stack = append(stack, i)
				}
			}
		}
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			if m.Packages[at].Source == "workspace" {
				continue
			}
			for _, next := range m.Packages[at].Requires {
				if !seen[next] {
					seen[next] = true
					stack = append(stack, next)
				}
			}
		}
		return seen
	}
	dev, other := reach(true), reach(false)
	for i := range m.Packages {
		m.Packages[i].Dev = dev[i] && !other[i]
	}
}

// newer says whether a semantic version is later than another.
func newer(a, b string) bool {
	order, err := semantic.ParseSemverVersion(a).CompareStr(b)
	if err != nil {
		return cmp.Compare(a, b) > 0
	}
	return order > 0
}

// globPath says whether a pattern of workspace members matches a folder: "*"
// stays within a name, "**" is any number of names.
func globPath(pattern, dir string) bool {
	parts, names := strings.Split(pattern, "/"), strings.Split(dir, "/")
	star, retry := -1, 0
	at := 0
	for i := 0; i < len(names); {
		switch {
		case at < len(parts) && parts[at] == "**":
			star, retry = at, i
			at++
			continue
		case at < len(parts):
			if ok, err := path.Match(parts[at], names[i]); err == nil && ok {
				at++
				i++
				continue
			}
		}
		if star < 0 {
			return false
		}
		retry++
		at, i = star+1, retry
	}
	for at < len(parts) && parts[at] == "**" {
		at++
	}
	return at == len(parts)
}
