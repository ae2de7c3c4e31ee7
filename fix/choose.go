package fix

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/backstitch/backstitch/fact"
)

// ErrNoVersion says that no version is known that closes anything of what was
// asked.
var ErrNoVersion = errors.New("no version is known that closes it")

// ErrNotAffected says that no advisory at hand affects the package.
var ErrNotAffected = errors.New("no advisory at hand affects it at this version")

// Need is the question which version a package should be raised to.
type Need struct {
	Package fact.Package
	// Close are the ids to close; any id of an advisory counts. Empty asks for
	// everything that affects the package.
	Close []string
	// Known are the versions that exist, in any order; nil when nobody can say.
	Known []string
	// Least is a version that the choice must reach, "" for none.
	Least string
	// Train says that the package belongs to a family of Go modules that tags
	// v0.N.0 only, so that an untagged commit leads to the next N.
	Train bool
	// Admits says whether constraints allow a version; nil allows all.
	Admits func(version string) bool
}

// Choice is the answer to a Need.
type Choice struct {
	Version  string
	Closes   []string // ids of Need.Close (or of all advisories) that it closes, sorted
	Open     []string // ids of Need.Close that it does not close, sorted
	Residual []string // standing advisories that stay, sorted
	Brings   []string // advisories that affect it and not the version before, sorted
}

// Clean says that the choice closes everything known and brings nothing new.
func (c Choice) Clean() bool { return len(c.Open) == 0 && len(c.Residual) == 0 && len(c.Brings) == 0 }

// Choose picks the lowest version above the present one that closes everything
// known, not only what was asked, and that no other advisory affects. When no
// version is clean it picks the one that leaves the least of what was asked,
// then the least of the rest, then brings the least, and then the lowest.
//
// Candidates are the versions at which some advisory stops affecting the
// package: its fixed events, and the next version that exists after a
// last-affected event. A fixed event that names a pre-release or an untagged
// commit stands for the release that follows it.
func Choose(advisories Advisories, need Need) (Choice, error) {
	eco, from := need.Package.Ecosystem, need.Package.Version
	standing, err := advisories.Of(eco, need.Package.Name)
	if err != nil {
		return Choice{}, fmt.Errorf("advisories of %s: %w", need.Package.Name, err)
	}
	present, err := affecting(advisories, need, from)
	if err != nil {
		return Choice{}, err
	}
	if len(present) == 0 {
		return Choice{}, fmt.Errorf("%s %s: %w", need.Package.Name, from, ErrNotAffected)
	}
	before := map[string]bool{}
	for _, advisory := range present {
		before[advisory.ID] = true
	}
	wanted := func(advisory fact.Advisory) bool {
		return len(need.Close) == 0 || slices.ContainsFunc(need.Close, func(id string) bool { return names(advisory, id) })
	}
	var best Choice
	found := false
	for _, version := range candidates(advisories, need, standing) {
		after, err := affecting(advisories, need, version)
		if err != nil {
			continue // a version that the ecosystem cannot order is no candidate
		}
		choice := Choice{Version: version}
		stays := map[string]bool{}
		for _, advisory := range after {
			stays[advisory.ID] = true
			if !before[advisory.ID] {
				choice.Brings = append(choice.Brings, advisory.ID)
			} else {
				choice.Residual = append(choice.Residual, advisory.ID)
			}
		}
		for _, advisory := range present {
			if !wanted(advisory) {
				continue
			}
			ids := []string{advisory.ID}
			if len(need.Close) > 0 {
				ids = slices.DeleteFunc(slices.Clone(need.Close), func(id string) bool { return !names(advisory, id) })
			}
			if stays[advisory.ID] {
				choice.Open = append(choice.Open, ids...)
			} else {
				choice.Closes = append(choice.Closes, ids...)
			}
		}
		for _, ids := range []*[]string{&choice.Closes, &choice.Open, &choice.Residual, &choice.Brings} {
			slices.Sort(*ids)
			*ids = slices.Compact(*ids)
		}
		choice.Closes = slices.DeleteFunc(choice.Closes, func(id string) bool { return slices.Contains(choice.Open, id) })
		if len(choice.Closes) == 0 {
			continue
		}
		if !found || better(choice, best) {
			best, found = choice, true
		}
		if best.Clean() {
			break
		}
	}
	if !found {
		return Choice{}, fmt.Errorf("%s %s: %w", need.Package.Name, from, ErrNoVersion)
	}
	return best, nil
}

func better(a, b Choice) bool {
	for _, pair := range [][2]int{
		{len(a.Open), len(b.Open)}, {len(a.Residual), len(b.Residual)}, {len(a.Brings), len(b.Brings)},
	} {
		if pair[0] != pair[1] {
			return pair[0] < pair[1]
		}
	}
	return false // candidates come in rising order
}

// names says whether id is one of an advisory's ids.
func names(advisory fact.Advisory, id string) bool {
	return advisory.ID == id || slices.Contains(advisory.Aliases, id)
}

// affecting lists what affects the package at version.
func affecting(advisories Advisories, need Need, version string) ([]fact.Advisory, error) {
	pkg := need.Package
	pkg.Version = version
	pkg.PURL = fact.PURL(pkg.Ecosystem, pkg.Name, version)
	found, err := advisories.Affecting(pkg)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", pkg.Name, version, err)
	}
	return found, nil
}

// above keeps the versions above from, in rising order, each once.
func above(advisories Advisories, ecosystem string, versions []string, from string) []string {
	versions = slices.DeleteFunc(slices.Clone(versions), func(v string) bool {
		order, err := advisories.Compare(ecosystem, v, from)
		return err != nil || order <= 0
	})
	slices.SortStableFunc(versions, func(a, b string) int {
		if order, err := advisories.Compare(ecosystem, a, b); err == nil && order != 0 {
			return order
		}
		return strings.Compare(a, b)
	})
	return slices.Compact(versions)
}

// candidates lists the versions worth trying, lowest first.
func candidates(advisories Advisories, need Need, standing []fact.Advisory) []string {
	eco, name, from := need.Package.Ecosystem, need.Package.Name, need.Package.Version
	var turning, last, named []string
	for _, advisory := range standing {
		for _, affected := range advisory.Affected {
			if affected.Name != "" && !sameName(eco, affected.Name, name) {
				continue
			}
			named = append(named, affected.Versions...)
			last = append(last, affected.Versions...)
			for _, r := range affected.Ranges {
				if r.Type == "GIT" {
					continue
				}
				for _, event := range r.Events {
					switch {
					case event.Fixed != "":
						turning = append(turning, event.Fixed)
					case event.LastAffected != "":
						last = append(last, event.LastAffected)
					}
				}
			}
		}
	}
	if need.Least != "" {
		turning = append(turning, need.Least)
	}
	known := need.Known
	if known == nil {
		known = named
	}
	known = slices.DeleteFunc(above(advisories, eco, known, from), func(v string) bool { return PreRelease(eco, v) })
	var result []string
	for _, version := range turning {
		order, err := advisories.Compare(eco, version, from)
		if err != nil || order <= 0 {
			continue
		}
		if need.Known == nil {
			result = append(result, release(eco, version, need.Train))
			continue
		}
		if next, ok := firstFrom(advisories, eco, known, version, true); ok {
			result = append(result, next)
		} else if slices.ContainsFunc(need.Known, func(v string) bool {
			order, err := advisories.Compare(eco, v, version)
			return err == nil && order == 0
		}) || eco == "Go" && PreRelease(eco, version) {
			result = append(result, version) // an untagged commit exists without being listed
		}
	}
	for _, version := range last {
		if next, ok := firstFrom(advisories, eco, known, version, false); ok {
			result = append(result, next)
		}
	}
	for i := range result {
		result[i] = spell(eco, name, from, result[i])
	}
	return slices.DeleteFunc(above(advisories, eco, result, from), func(v string) bool {
		if need.Admits != nil && !need.Admits(v) {
			return true
		}
		if need.Least == "" {
			return false
		}
		order, err := advisories.Compare(eco, v, need.Least)
		return err != nil || order < 0
	})
}

// firstFrom finds the lowest of the rising versions at (when equal) or above least.
func firstFrom(advisories Advisories, ecosystem string, versions []string, least string, equal bool) (string, bool) {
	for _, version := range versions {
		order, err := advisories.Compare(ecosystem, version, least)
		if err == nil && (order > 0 || equal && order == 0) {
			return version, true
		}
	}
	return "", false
}

var (
	notName   = regexp.MustCompile(`[-_.]+`)
	pythonPre = regexp.MustCompile(`(?i)^(\d+(?:\.\d+)*)[-_.]?(?:(?:a|b|c|rc|alpha|beta|pre|preview)[-_.]?\d*)?(?:[-_.]?dev[-_.]?\d*)?$`)
	plainNum  = regexp.MustCompile(`^\d+(?:\.\d+)*$`)
	// mavenPre begins with the release that a pre-release leads to. Other words
	// behind a dash, such as jre or incubating, are part of a release.
	mavenPre = regexp.MustCompile(`(?i)^(.*?\d)[-._]?(?:alpha|beta|milestone|rc|cr|snapshot|preview|pre|ea|dev|[abm][-._]?\d+)(?:$|[-._+\d])`)
	// rubyRelease is what a Ruby version has before its first part with a letter.
	rubyRelease = regexp.MustCompile(`^\d+(?:\.\d+)*`)
	threeParts  = regexp.MustCompile(`^v?(\d+)(?:\.(\d+))?(?:\.(\d+))?`)
)

func sameName(ecosystem, a, b string) bool {
	if a == b {
		return true
	}
	if ecosystem == "PyPI" {
		return notName.ReplaceAllString(strings.ToLower(a), "-") == notName.ReplaceAllString(strings.ToLower(b), "-")
	}
	return false
}

// PreRelease says whether a version is not a release of its ecosystem.
func PreRelease(ecosystem, version string) bool {
	switch ecosystem {
	case "PyPI":
		return !plainNum.MatchString(version) && pythonPre.MatchString(version)
	case "RubyGems":
		return strings.ContainsFunc(version, unicode.IsLetter)
	case "Maven":
		return mavenPre.MatchString(version)
	}
	core, _, _ := strings.Cut(version, "+")
	return strings.Contains(core, "-")
}

// release gives the release that a pre-release leads to. Versions before the
// first tag of a Go module (v0.0.0-date-commit) lead to no known release and
// stay as they are, unless the module is on a train.
func release(ecosystem, version string, train bool) string {
	if !PreRelease(ecosystem, version) {
		return version
	}
	switch ecosystem {
	case "PyPI":
		return pythonPre.FindStringSubmatch(version)[1]
	case "RubyGems":
		return rubyRelease.FindString(version)
	case "Maven":
		return mavenPre.FindStringSubmatch(version)[1]
	}
	if parts, _, ok := numbers(version); ok && train && parts[0] == 0 {
		if parts[2] > 0 || parts[1] == 0 {
			parts[1]++
		}
		return fmt.Sprintf("v0.%d.0", parts[1])
	}
	core, build, _ := strings.Cut(version, "+")
	core, _, _ = strings.Cut(core, "-")
	if strings.TrimPrefix(core, "v") == "0.0.0" {
		return version
	}
	if build != "" {
		core += "+" + build
	}
	return core
}

var majorSuffix = regexp.MustCompile(`(/v|\.v)\d+$`)

// spell writes a version as the ecosystem's manifests do: Go versions with a
// leading v, and +incompatible where the module path has no major version.
func spell(ecosystem, name, from, version string) string {
	if ecosystem != "Go" || name == "stdlib" || name == "toolchain" {
		return version
	}
	if !strings.HasPrefix(version, "v") {
		version = "v" + version
	}
	major, _, ok := numbers(version)
	incompatible := strings.HasSuffix(from, "+incompatible") || ok && major[0] >= 2 && !majorSuffix.MatchString(name)
	if incompatible && !strings.HasSuffix(version, "+incompatible") && !strings.Contains(version, "-0.") {
		version += "+incompatible"
	}
	return version
}

// numbers reads the first three numbers of a version and what follows them.
func numbers(version string) (parts [3]int, rest string, ok bool) {
	m := threeParts.FindStringSubmatch(version)
	if m == nil {
		return parts, version, false
	}
	for i := range parts {
		if m[i+1] == "" {
			continue
		}
		n, err := strconv.Atoi(m[i+1])
		if err != nil {
			return parts, version, false
		}
		parts[i] = n
	}
	return parts, version[len(m[0]):], true
}

// Risks of a step from one version to another, by the words of semantic
// versioning.
const (
	RiskPatch   = "patch"
	RiskMinor   = "minor"
	RiskMajor   = "major"
	RiskUnknown = "unknown"
)

// Distance says how far two versions are apart. Steps out of or into an
// untagged commit are unknown, because nothing was promised about them.
func Distance(from, to string) string {
	a, restA, okA := numbers(from)
	b, restB, okB := numbers(to)
	untagged := func(parts [3]int, rest string) bool { return parts == [3]int{} && strings.HasPrefix(rest, "-") }
	switch {
	case !okA || !okB:
		return RiskUnknown
	case a[0] != b[0]:
		return RiskMajor
	case untagged(a, restA) || untagged(b, restB):
		return RiskUnknown
	case a[1] != b[1]:
		return RiskMinor
	}
	return RiskPatch
}

// worse gives the greater of two risks.
func worse(a, b string) string {
	if riskRank(b) > riskRank(a) {
		return b
	}
	return a
}

func riskRank(risk string) int {
	return slices.Index([]string{RiskPatch, RiskMinor, RiskUnknown, RiskMajor}, risk)
}
