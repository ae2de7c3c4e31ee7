package lockfile

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/google/osv-scalibr/semantic"
)

var (
	npmComparator = regexp.MustCompile(`^(\^|~>?|>=|<=|>|<|=)?\s*v?(\d+|[xX*])(?:\.(\d+|[xX*]))?(?:\.(\d+|[xX*]))?(-[0-9A-Za-z.-]+)?(?:\+[0-9A-Za-z.-]+)?$`)
	npmHyphen     = regexp.MustCompile(`^(\S+)\s+-\s+(\S+)$`)
	npmGap        = regexp.MustCompile(`([\^~><=])\s+`)
)

// npmSatisfies says whether a version lies in a range of package.json, and
// whether the range could be understood; tags and addresses are no ranges.
// Pre-releases are compared by order only.
func npmSatisfies(constraint, version string) (fits, understood bool) {
	if len(constraint) > 1024 || npmExact.FindString(version) == "" {
		return false, false
	}
	at := semantic.ParseSemverVersion(version)
	for alternative := range strings.SplitSeq(constraint, "||") {
		alternative = strings.TrimSpace(alternative)
		if h := npmHyphen.FindStringSubmatch(alternative); h != nil {
			alternative = ">=" + h[1] + " <=" + h[2]
		}
		all := true
		for _, word := range strings.Fields(npmGap.ReplaceAllString(alternative, "$1")) {
			in, ok := npmCompares(word, at)
			if !ok {
				return false, false
			}
			all = all && in
		}
		fits = fits || all
	}
	return fits, true
}

func npmCompares(word string, at semantic.Version) (fits, understood bool) {
	m := npmComparator.FindStringSubmatch(word)
	if m == nil {
		return false, false
	}
	var n [3]int
	given := 0
	for i := range n {
		v, err := strconv.Atoi(m[i+2])
		if err != nil {
			if m[i+2] != "" && !strings.ContainsAny(m[i+2], "xX*") {
				return false, false
			}
			break
		}
		n[i] = v
		given++
	}
	if given == 0 {
		return true, true
	}
	text := func(a, b, c int) string {
		return strconv.Itoa(a) + "." + strconv.Itoa(b) + "." + strconv.Itoa(c)
	}
	low := text(n[0], n[1], n[2]) + m[5]
	var high string // first release above what the word names
	switch {
	case given == 1 || m[1] == "^" && n[0] > 0:
		high = text(n[0]+1, 0, 0)
	case given == 2 || m[1] == "~" || m[1] == "~>" || m[1] == "^" && n[1] > 0:
		high = text(n[0], n[1]+1, 0)
	default:
		high = text(n[0], n[1], n[2]+1)
	}
	order := func(other string) int {
		c, err := at.CompareStr(other)
		if err != nil {
			return 0
		}
		return c
	}
	switch m[1] {
	case ">=":
		return order(low) >= 0, true
	case ">":
		if given < 3 {
			return order(high) >= 0, true
		}
		return order(low) > 0, true
	case "<":
		return order(low) < 0, true
	case "<=":
		if given < 3 {
			return order(high) < 0, true
		}
		return order(low) <= 0, true
	case "", "=":
		if given == 3 {
			return order(low) == 0, true
		}
	}
	return order(low) >= 0 && order(high) < 0, true
}
