package advice

import (
	"regexp"
	"slices"
	"strconv"
)

// Sibling is a repository that differs from another by a release that its name tells.
type Sibling struct {
	Repository string
	What       string // "Debian 13", "node 22"
}

var distroless = regexp.MustCompile(`^(.*/distroless/)([a-z][a-z-]*?)([0-9]*)-debian([0-9]+)$`)

// Siblings are repositories of images without a distribution's tools whose names tell
// what they hold, on the newest release of the distribution and with the newest of the
// runtime, one thing at a time. releases tells the supported versions of the product of
// an official image.
func Siblings(repository string, releases func(repository string) []Known) []Sibling {
	m := distroless.FindStringSubmatch(repository)
	if m == nil {
		return nil
	}
	var list []Sibling
	if n := newest(releases("docker.io/library/debian"), m[4], 1); n != "" {
		list = append(list, Sibling{m[1] + m[2] + m[3] + "-debian" + n, "Debian " + n})
	}
	if m[2] == "nodejs" && m[3] != "" {
		// Only even ones are supported for long.
		if n := newest(releases("docker.io/library/node"), m[3], 2); n != "" {
			list = append(list, Sibling{m[1] + m[2] + n + "-debian" + m[4], "node " + n})
		}
	}
	return list
}

// newest gives the highest of the releases that are one number above another and a
// multiple of step, "" for none.
func newest(known []Known, now string, step int) string {
	least, err := strconv.Atoi(now)
	if err != nil {
		return ""
	}
	var list []int
	for _, k := range known {
		if n, err := strconv.Atoi(k.Name); err == nil && n > least && n%step == 0 && k.Release {
			list = append(list, n)
		}
	}
	if len(list) == 0 {
		return ""
	}
	return strconv.Itoa(slices.Max(list))
}
