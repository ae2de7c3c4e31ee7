package npm

import (
	"regexp"
	"strconv"
	"strings"
)

// version is a release number; what follows a dash is kept in pre.
type version struct {
	n   [3]int
	pre string
}

var (
	versionText = regexp.MustCompile(`^[v=\s]*(\d+)\.(\d+)\.(\d+)(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?$`)
	partialText = regexp.MustCompile(`^[v=\s]*(?:(\d+|[xX*])(?:\.(\d+|[xX*])(?:\.(\d+|[xX*])(?:-([0-9A-Za-z.-]+))?(?:\+[0-9A-Za-z.-]+)?)?)?)?$`)
	comparator  = regexp.MustCompile(`(\^|~>?|>=|<=|>|<|=)?\s*([^\s<>=^~|]+)`)
)

func parseVersion(text string) (version, bool) {
	m := versionText.FindStringSubmatch(text)
	if m == nil {
		return version{}, false
	}
	var v version
	for i := range v.n {
		n, err := strconv.Atoi(m[i+1])
		if err != nil {
			return version{}, false
		}
		v.n[i] = n
	}
	v.pre = m[4]
	return v, true
}

// less orders versions by their numbers; a pre-release comes before its release.
func (v version) less(w version) bool {
	for i := range v.n {
		if v.n[i] != w.n[i] {
			return v.n[i] < w.n[i]
		}
	}
	return v.pre != "" && w.pre == ""
}

// admits says whether a range of package.json allows a release, and whether
// the range could be understood. Tags, URLs and aliases are no ranges.
func admits(constraint, text string) (ok, understood bool) {
	v, isVersion := parseVersion(text)
	if !isVersion || len(constraint) > 1024 {
		return false, false
	}
	for _, alternative := range strings.Split(constraint, "||") {
		inside, valid := admitsAll(strings.TrimSpace(alternative), v)
		if !valid {
			return false, false
		}
		ok = ok || inside
	}
	return ok, true
}

func admitsAll(text string, v version) (ok, valid bool) {
	if text == "" {
		return v.pre == "", true
	}
	if low, high, found := strings.Cut(text, " - "); found {
		text = ">=" + strings.TrimSpace(low) + " <=" + strings.TrimSpace(high)
	}
	if strings.TrimSpace(comparator.ReplaceAllString(text, "")) != "" {
		return false, false
	}
	ok = true
	for _, m := range comparator.FindAllStringSubmatch(text, -1) {
		from, to, valid := bounds(m[1], m[2])
		if !valid {
			return false, false
		}
		if v.less(from) || to != nil && !v.less(*to) {
			ok = false
		}
	}
	return ok && v.pre == "", true
}

// bounds gives the half-open interval of one comparator; to is nil when it is
// open.
func bounds(operator, text string) (from version, to *version, valid bool) {
	m := partialText.FindStringSubmatch(text)
	if m == nil {
		return version{}, nil, false
	}
	given := 0
	for i := range from.n {
		n, err := strconv.Atoi(m[i+1])
		if err != nil {
			break // absent or a wildcard: the rest is free
		}
		from.n[i] = n
		given++
	}
	from.pre = m[4]
	next := func(at int) *version {
		up := from
		up.pre = ""
		up.n[at]++
		for i := at + 1; i < len(up.n); i++ {
			up.n[i] = 0
		}
		return &up
	}
	end := next(2) // just after an exact version
	if given < 3 {
		end = nil
		if given > 0 {
			end = next(given - 1)
		}
	}
	switch operator {
	case "", "=":
		return from, end, true
	case ">=":
		return from, nil, true
	case ">":
		if end == nil {
			return from, &version{}, true // nothing is above everything
		}
		return *end, nil, true
	case "<":
		limit := from
		return version{}, &limit, true
	case "<=":
		return version{}, end, true
	case "~", "~>":
		if given == 0 {
			return from, nil, true
		}
		return from, next(min(given, 2) - 1), true
	case "^":
		if given == 0 {
			return from, nil, true
		}
		at := 0
		for at < given-1 && from.n[at] == 0 {
			at++
		}
		return from, next(at), true
	}
	return version{}, nil, false
}

var simpleRange = regexp.MustCompile(`^(\s*(?:\^|~|>=|=|v)?\s*)v?\d+(?:\.\d+){0,2}(?:-[0-9A-Za-z.-]+)?\s*$`)

// rangeOf is the range of a constraint that names a package or a protocol before
// it: "npm:name@^1" and "npm:^1".
func rangeOf(constraint string) string {
	rest, ok := strings.CutPrefix(constraint, "npm:")
	if !ok {
		return constraint
	}
	if at := strings.LastIndex(rest, "@"); at > 0 {
		return rest[at+1:]
	}
	if _, understood := admits(rest, "1.0.0"); understood {
		return rest
	}
	return "*" // a name alone
}

// raise rewrites a constraint so that it starts at a version. Operators of
// simple ranges stay; anything else becomes a caret range. It fails for what
// does not come from the registry.
func raise(constraint, to string) (string, bool) {
	if strings.HasPrefix(constraint, "npm:") {
		within := rangeOf(constraint)
		if prefix, ok := strings.CutSuffix(constraint, within); !ok {
			return constraint + "@^" + to, true
		} else if text, ok := raise(within, to); ok {
			return prefix + text, true
		}
		return "", false
	}
	if m := simpleRange.FindStringSubmatch(constraint); m != nil {
		return m[1] + to, true
	}
	if _, understood := admits(constraint, to); !understood {
		return "", false
	}
	return "^" + to, true
}
