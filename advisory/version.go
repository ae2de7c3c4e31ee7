package advisory

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/google/osv-scalibr/semantic"

	"github.com/backstitch/backstitch/fact"
)

// ErrVersion marks a version that its ecosystem cannot order.
var ErrVersion = errors.New("not a version")

// ErrOrder marks an ecosystem whose versions cannot be ordered.
var ErrOrder = errors.New("no version order known for ecosystem")

// maxVersion bounds a version's length: comparison takes big numbers apart.
const maxVersion = 256

// orders names the version order of ecosystems that follow another one's.
var orders = map[string]string{
	"GitHub Actions": "npm", "VSCode": "npm", "Kubernetes": "npm",
	"Amazon Linux": "Red Hat", "Azure Linux": "Red Hat", "Photon OS": "Red Hat",
}

// digitFirst are the ecosystems in which a version starts with a digit.
var digitFirst = map[string]bool{
	"Bitnami": true, "Bioconductor": true, "crates.io": true, "Docker Hardened Images": true, "GHC": true, "Go": true, "Hex": true,
	"Julia": true, "npm": true, "SwiftURL": true, "NuGet": true, "Packagist": true, "Pub": true, "PyPI": true, "RubyGems": true,
	"Alpine": true, "Chainguard": true, "Wolfi": true, "CRAN": true, "Hackage": true, "ConanCenter": true,
}

// Compare orders two versions of an ecosystem: -1, 0 or 1. It fails with
// ErrVersion or ErrOrder and names the text that is at fault.
func Compare(ecosystem, a, b string) (int, error) {
	base, _ := canonicalEcosystem(ecosystem)
	va, err := parseVersion(base, a)
	if err != nil {
		return 0, err
	}
	vb, err := parseVersion(base, b)
	if err != nil {
		return 0, err
	}
	return compareParsed(va, vb)
}

// parsed is a version that was checked and parsed, with its text.
type parsed struct {
	text  string
	value semantic.Version
}

func parseVersion(base, text string) (p parsed, err error) {
	order := base
	if other, ok := orders[base]; ok {
		order = other
	}
	plain, err := checkVersion(order, text)
	if err != nil {
		return parsed{}, fmt.Errorf("%s version %q: %w", base, clip(text, 80), err)
	}
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("%s version %q: %w: %v", base, clip(text, 80), ErrVersion, fault)
		}
	}()
	value, err := semantic.Parse(plain, order)
	switch {
	case errors.Is(err, semantic.ErrUnsupportedEcosystem):
		return parsed{}, fmt.Errorf("%w %q", ErrOrder, base)
	case err != nil:
		return parsed{}, fmt.Errorf("%s version %q: %w: %w", base, clip(text, 80), ErrVersion, err)
	}
	return parsed{text, value}, nil
}

// checkVersion refuses text that is a constraint, a branch, an address or
// nothing, and gives the form that the version order expects.
func checkVersion(order, text string) (string, error) {
	plain := strings.TrimSpace(text)
	if plain == "" {
		return "", fmt.Errorf("%w: it is empty", ErrVersion)
	}
	if len(plain) > maxVersion {
		return "", fmt.Errorf("%w: longer than %d bytes", ErrVersion, maxVersion)
	}
	some := false
	for i := 0; i < len(plain); i++ {
		c := plain[i]
		switch {
		case c <= ' ' || c == 0x7f || strings.IndexByte("<>=^*|,;()[]{}$@/\\\"'`?#%&", c) >= 0:
			return "", fmt.Errorf("%w: it holds %q", ErrVersion, c)
		case '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z':
			some = true
		}
	}
	if !some {
		return "", fmt.Errorf("%w: expected a digit or a letter", ErrVersion)
	}
	if order == "Go" {
		plain = goVersion(plain)
	}
	if !digitFirst[order] {
		return plain, nil
	}
	core := plain
	if core[0] == 'v' || core[0] == 'V' {
		core = core[1:]
	}
	if core == "" || core[0] < '0' || core[0] > '9' {
		return "", fmt.Errorf("%w: expected a digit first", ErrVersion)
	}
	if end := strings.IndexAny(core, "-+"); end >= 0 {
		core = core[:end]
	}
	if order == "npm" && strings.ContainsAny(core, "xX") {
		return "", fmt.Errorf("%w: it is a range", ErrVersion)
	}
	if plain[0] == 'V' {
		plain = "v" + plain[1:]
	}
	return plain, nil
}

// goVersion turns the toolchain's own spelling, "go1.22rc1", into the one of
// the Go vulnerability database, "1.22.0-rc.1".
func goVersion(text string) string {
	plain := text
	if rest, ok := strings.CutPrefix(plain, "go"); ok && rest != "" && '0' <= rest[0] && rest[0] <= '9' {
		plain = rest
	}
	for _, word := range []string{"rc", "beta"} {
		core, number, found := strings.Cut(plain, word)
		if !found || core == "" || number == "" || strings.Trim(core, "0123456789.") != "" || strings.Trim(number, "0123456789") != "" || core[len(core)-1] == '.' {
			continue
		}
		if strings.Count(core, ".") == 1 {
			core += ".0"
		}
		return core + "-" + word + "." + number
	}
	return plain
}

func compareParsed(a, b parsed) (order int, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("compare %q with %q: %w: %v", clip(a.text, 80), clip(b.text, 80), ErrVersion, fault)
		}
	}()
	order, err = a.value.Compare(b.value)
	if err != nil {
		return 0, fmt.Errorf("compare %q with %q: %w: %w", clip(a.text, 80), clip(b.text, 80), ErrVersion, err)
	}
	return max(-1, min(1, order)), nil
}

// Affects evaluates one entry of an advisory at a version, as the OSV schema
// says: the version is listed, or lies in a range. GIT ranges say nothing
// about versions and are passed over. An error says that some part could not
// be ordered; it is only given when no other part says that the version is
// affected.
func Affects(affected *fact.Affected, ecosystem, version string) (bool, error) {
	base, release := canonicalEcosystem(ecosystem)
	theirs, theirRelease := canonicalEcosystem(affected.Ecosystem)
	if affected.Ecosystem != "" && (theirs != base || !releaseMatches(theirRelease, release)) {
		return false, nil
	}
	return (&question{base: base, version: version}).affected(affected)
}

// question is one version that is asked about; it is parsed once, and only
// when a range needs it.
type question struct {
	base    string
	version string
	asked   bool
	value   parsed
	err     error
}

func (q *question) parse() (parsed, error) {
	if !q.asked {
		q.asked = true
		q.value, q.err = parseVersion(q.base, newest(q.base, q.version))
	}
	return q.value, q.err
}

var movingTag = regexp.MustCompile(`^v?\d+(?:\.\d+)?$`)

// newest gives the version to judge by. A tag of an action with fewer than three
// numbers moves with its releases, so that the newest of them is what runs.
func newest(base, version string) string {
	if base != "GitHub Actions" || !movingTag.MatchString(version) {
		return version
	}
	return version + strings.Repeat(".999999999", 2-strings.Count(version, "."))
}

func (q *question) affected(a *fact.Affected) (bool, error) {
	if listed(q.base, a.Versions, q.version) {
		return true, nil
	}
	var failed []error
	ordered := false
	for i := range a.Ranges {
		if a.Ranges[i].Type == "GIT" {
			continue
		}
		in, err := q.inRange(&a.Ranges[i])
		if in {
			return true, nil
		}
		if err != nil {
			failed = append(failed, err)
			continue
		}
		ordered = true
	}
	if !ordered && len(a.Versions) > 0 {
		equal, err := q.equalsAny(a.Versions)
		if equal {
			return true, nil
		}
		if err != nil {
			failed = append(failed, err)
		}
	}
	return false, errors.Join(failed...)
}

// listed says whether the version is written in the list, up to a leading "v".
func listed(base string, versions []string, version string) bool {
	if slices.Contains(versions, version) {
		return true
	}
	if base != "Go" && base != "npm" && base != "Packagist" && base != "GitHub Actions" {
		return false
	}
	bare := strings.TrimPrefix(version, "v")
	return slices.ContainsFunc(versions, func(v string) bool { return strings.TrimPrefix(v, "v") == bare })
}

// equalsAny compares by order, for advisories that only list versions: 1.0 and
// 1.0.0 are one version to PyPI.
func (q *question) equalsAny(versions []string) (bool, error) {
	v, err := q.parse()
	if err != nil {
		if errors.Is(err, ErrOrder) {
			return false, nil
		}
		return false, err
	}
	for _, text := range versions {
		other, err := parseVersion(q.base, text)
		if err != nil {
			continue
		}
		if order, err := compareParsed(v, other); err == nil && order == 0 {
			return true, nil
		}
	}
	return false, nil
}

// inRange finds the last event at or before the version; the version is
// affected when that event introduces the flaw. It is the OSV algorithm
// without sorting: one comparison an event, more only between events that lie
// before the version.
func (q *question) inRange(r *fact.Range) (bool, error) {
	if always(r) {
		return true, nil
	}
	base := q.base
	v, err := q.parse()
	if errors.Is(err, ErrOrder) && r.Type == "SEMVER" { // the range itself says how to order
		base = "npm"
		v, err = parseVersion(base, q.version)
	}
	if err != nil {
		return false, err
	}
	limits, below := 0, false
	var last event
	for i, e := range r.Events {
		if e.Limit != "" {
			limits++
			if e.Limit == "*" {
				below = true
				continue
			}
			limit, err := parseVersion(base, e.Limit)
			if err != nil {
				return false, fmt.Errorf("limit: %w", err)
			}
			order, err := compareParsed(v, limit)
			if err != nil {
				return false, err
			}
			below = below || order < 0
			continue
		}
		next := event{set: true, index: i, introduces: e.Introduced != "", past: e.LastAffected != ""}
		text := e.Introduced + e.Fixed + e.LastAffected
		if next.introduces && text == "0" {
			next.first = true
		} else {
			if next.at, err = parseVersion(base, text); err != nil {
				return false, fmt.Errorf("range event: %w", err)
			}
			order, err := compareParsed(v, next.at)
			if err != nil {
				return false, err
			}
			if order < 0 || next.past && order == 0 {
				continue
			}
		}
		after, err := next.after(&last)
		if err != nil {
			return false, err
		}
		if after {
			last = next
		}
	}
	return last.introduces && (limits == 0 || below), nil
}

// always says whether a range holds every version, whatever it is.
func always(r *fact.Range) bool {
	for _, e := range r.Events {
		if e.Introduced != "0" && e.Limit != "*" {
			return false
		}
	}
	return slices.ContainsFunc(r.Events, func(e fact.RangeEvent) bool { return e.Introduced == "0" })
}

// event is a range event that lies before the version in question.
type event struct {
	set        bool
	first      bool // before every version
	introduces bool
	past       bool // takes effect after its version, not at it
	index      int
	at         parsed
}

// after says whether e takes effect after other; of two at one version the one
// written later does.
func (e *event) after(other *event) (bool, error) {
	switch {
	case !other.set:
		return true, nil
	case e.first || other.first:
		return !e.first || other.first, nil
	}
	order, err := compareParsed(e.at, other.at)
	if err != nil || order != 0 {
		return order > 0, err
	}
	if e.past != other.past {
		return e.past, nil
	}
	return e.index > other.index, nil
}

// clip shortens text of others for a message.
func clip(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}
