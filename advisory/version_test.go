package advisory

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
)

func intro(v string) fact.RangeEvent { return fact.RangeEvent{Introduced: v} }
func fixed(v string) fact.RangeEvent { return fact.RangeEvent{Fixed: v} }
func last(v string) fact.RangeEvent  { return fact.RangeEvent{LastAffected: v} }
func limit(v string) fact.RangeEvent { return fact.RangeEvent{Limit: v} }

func ranges(events ...fact.RangeEvent) []fact.Range {
	return []fact.Range{{Type: "ECOSYSTEM", Events: events}}
}

func TestARangeIsEvaluatedAsTheSchemaSays(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name     string
		affected fact.Affected
		eco      string
		version  string
		want     bool
	}{
		{"before the fix", fact.Affected{Ranges: ranges(intro("0"), fixed("1.14.14"))}, "Go", "v1.14.13", true},
		{"at the fix", fact.Affected{Ranges: ranges(intro("0"), fixed("1.14.14"))}, "Go", "1.14.14", false},
		{"between two branches", fact.Affected{Ranges: ranges(intro("0"), fixed("1.14.14"), intro("1.15.0"), fixed("1.15.17"))}, "Go", "1.14.20", false},
		{"in the second branch", fact.Affected{Ranges: ranges(intro("0"), fixed("1.14.14"), intro("1.15.0"), fixed("1.15.17"))}, "Go", "1.15.16", true},
		{"events out of order", fact.Affected{Ranges: ranges(fixed("1.15.17"), intro("1.15.0"), fixed("1.14.14"), intro("0"))}, "Go", "1.15.16", true},
		{"events out of order, between", fact.Affected{Ranges: ranges(fixed("1.15.17"), intro("1.15.0"), fixed("1.14.14"), intro("0"))}, "Go", "1.14.20", false},
		{"before it was introduced", fact.Affected{Ranges: ranges(intro("1.0.0"), fixed("2.0.0"))}, "npm", "0.9.0", false},
		{"a prerelease of the introduction", fact.Affected{Ranges: ranges(intro("1.0.0"), fixed("2.0.0"))}, "npm", "1.0.0-rc.1", false},
		{"a prerelease of the fix", fact.Affected{Ranges: ranges(intro("1.0.0"), fixed("2.0.0"))}, "npm", "2.0.0-rc.1", true},
		{"at the last affected", fact.Affected{Ranges: ranges(intro("0"), last("2.1.0"))}, "PyPI", "2.1", true},
		{"past the last affected", fact.Affected{Ranges: ranges(intro("0"), last("2.1.0"))}, "PyPI", "2.1.0.post1", false},
		{"introduced and last affected at once", fact.Affected{Ranges: ranges(last("2.1.0"), intro("2.1.0"))}, "PyPI", "2.1.1", false},
		{"under a limit", fact.Affected{Ranges: ranges(intro("1.0.0"), limit("3.0.0"))}, "npm", "2.9.9", true},
		{"at a limit", fact.Affected{Ranges: ranges(intro("1.0.0"), limit("3.0.0"))}, "npm", "3.0.0", false},
		{"an open limit", fact.Affected{Ranges: ranges(intro("1.0.0"), limit("*"))}, "npm", "9.0.0", true},
		{"listed", fact.Affected{Versions: []string{"1.0.0"}, Ranges: ranges(intro("2.0.0"))}, "npm", "1.0.0", true},
		{"listed in another spelling", fact.Affected{Versions: []string{"1.0.0rc1"}}, "PyPI", "1.0rc1", true},
		{"listed without v", fact.Affected{Versions: []string{"1.2.3"}}, "Go", "v1.2.3", true},
		{"GIT says nothing", fact.Affected{Ranges: []fact.Range{{Type: "GIT", Events: []fact.RangeEvent{intro("0")}}}}, "npm", "1.0.0", false},
		{"no range at all", fact.Affected{}, "npm", "1.0.0", false},
		{"every version, even one that is none", fact.Affected{Ranges: ranges(intro("0"))}, "npm", "git+ssh://host/x", true},
		{"Debian epoch", fact.Affected{Ranges: ranges(intro("0"), fixed("1:2.0-1"))}, "Debian:12", "9.9-1", true},
		{"Debian tilde", fact.Affected{Ranges: ranges(intro("0"), fixed("2.0-1"))}, "Debian", "2.0~rc1-1", true},
		{"Alpine revision", fact.Affected{Ranges: ranges(intro("0"), fixed("3.0.8-r1"))}, "Alpine:v3.19", "3.0.8-r0", true},
		{"rpm", fact.Affected{Ranges: ranges(intro("0"), fixed("0:1.1.1k-9.el8"))}, "Red Hat", "1.1.1k-7.el8", true},
		{"Maven qualifier", fact.Affected{Ranges: ranges(intro("2.0-beta9"), fixed("2.15.0"))}, "Maven", "2.14.1", true},
		{"RubyGems prerelease", fact.Affected{Ranges: ranges(intro("0"), fixed("7.0.0"))}, "RubyGems", "7.0.0.rc1", true},
		{"Go toolchain spelling", fact.Affected{Name: "stdlib", Ranges: ranges(intro("1.22.0-0"), fixed("1.22.1"))}, "Go", "go1.22rc1", true},
		{"Go release", fact.Affected{Name: "stdlib", Ranges: ranges(intro("0"), fixed("1.21.8"))}, "Go", "go1.21.8", false},
		{"Go incompatible", fact.Affected{Ranges: ranges(intro("0"), fixed("2.0.0+incompatible"))}, "Go", "v2.0.0+incompatible", false},
		{"Go pseudo version", fact.Affected{Ranges: ranges(intro("0"), fixed("0.0.0-20200220183623-bac4c82f6975"))}, "Go", "v0.0.0-20190308221718-c2843e01d9a2", true},
		{"another release of the distribution", fact.Affected{Ecosystem: "Debian:11", Ranges: ranges(intro("0"))}, "Debian:12", "1.0-1", false},
		{"another ecosystem", fact.Affected{Ecosystem: "npm", Ranges: ranges(intro("0"))}, "PyPI", "1.0", false},
		{"semantic versions of an ecosystem without an order", fact.Affected{Ranges: []fact.Range{{Type: "SEMVER", Events: []fact.RangeEvent{intro("1.9.0"), fixed("1.10.0")}}}}, "Klingon", "1.9.5", true},
		{"an action", fact.Affected{Ranges: ranges(intro("0"), fixed("45.0.8"))}, "GitHub Actions", "v44", true},
		{"an action's tag that moves with the fix", fact.Affected{Ranges: ranges(intro("0"), fixed("45.0.8"))}, "GitHub Actions", "v45", false},
		{"an action's minor tag", fact.Affected{Ranges: ranges(intro("0"), fixed("45.1.8"))}, "GitHub Actions", "45.0", true},
	} {
		got, err := Affects(&test.affected, test.eco, test.version)
		if err != nil || got != test.want {
			t.Errorf("%s: %s %s is affected: %v, %v; want %v", test.name, test.eco, test.version, got, err, test.want)
		}
	}
}

func TestAVersionThatIsNoneIsNamed(t *testing.T) {
	t.Parallel()
	for eco, versions := range map[string][]string{
		"npm":            {"", "latest", "^1.2.3", ">=1", "1.x", "git+https://host/a.git", "1.0.0 || 2", "*", "file:../a", strings.Repeat("1", 300), "\x00", "workspace:*"},
		"PyPI":           {"not-a-version", "==1.0", "1.*", "${version}", "~=2"},
		"Go":             {"master", "latest", "(devel)"},
		"Packagist":      {"dev-main"},
		"Maven":          {"${guava.version}", "[1.0,2.0)", "..."},
		"Debian":         {"<unknown>", " "},
		"Alpine":         {"edge"},
		"GitHub Actions": {"main"},
	} {
		for _, version := range versions {
			affected := fact.Affected{Ranges: ranges(intro("0"), fixed("2.0.0"))}
			in, err := Affects(&affected, eco, version)
			if in || !errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), fmt.Sprintf("%q", clip(version, 80))) {
				t.Errorf("%s %q: affected %v, error %v; want an error that names it", eco, version, in, err)
			}
		}
	}
	if _, err := Compare("Klingon", "1", "2"); !errors.Is(err, ErrOrder) {
		t.Errorf("an unknown ecosystem gave %v, want ErrOrder", err)
	}
}

func TestVersionsAreOrderedAsTheirEcosystemsDo(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ eco, a, b string }{
		{"npm", "1.0.0-alpha.9", "1.0.0-alpha.10"}, {"npm", "1.9.0", "1.10.0"}, {"npm", "v1.0.0-rc", "1.0.0"},
		{"PyPI", "1.0.dev1", "1.0a1"}, {"PyPI", "1.0", "1.0.post1"}, {"PyPI", "2.0", "1!1.0"},
		{"Maven", "1.0-SNAPSHOT", "1.0"}, {"Maven", "1.0-alpha-1", "1.0-beta-1"}, {"Maven", "1.0", "1.0-sp"},
		{"Debian", "1.0~beta", "1.0"}, {"Debian:12", "1.0-1", "1.0-1+deb12u1"}, {"Alpine", "1.0_rc1", "1.0"},
		{"RubyGems", "1.0.a", "1.0"}, {"NuGet", "1.0.0-beta", "1.0.0.1"}, {"Packagist", "1.0.0-beta", "1.0.0"},
		{"crates.io", "0.9.1", "0.10.0"}, {"golang", "go1.22rc1", "go1.22.0"}, {"go", "1.22beta1", "1.22rc1"},
		{"Red Hat", "1.0~rc1-1", "1.0-1"}, {"Hex", "1.0.0-dev", "1.0.0"}, {"Pub", "1.0.0-a", "1.0.0"},
	} {
		for _, pair := range []struct {
			a, b string
			want int
		}{{test.a, test.b, -1}, {test.b, test.a, 1}, {test.a, test.a, 0}} {
			if got, err := Compare(test.eco, pair.a, pair.b); err != nil || got != pair.want {
				t.Errorf("%s: compare %s with %s = %d, %v; want %d", test.eco, pair.a, pair.b, got, err, pair.want)
			}
		}
	}
}

// bySchema is the evaluation in the words of the schema: sort, then walk.
func bySchema(t *testing.T, eco string, a *fact.Affected, version string) bool {
	t.Helper()
	order := func(x, y string) int {
		if x == "0" || y == "0" {
			switch {
			case x == y:
				return 0
			case x == "0":
				return -1
			}
			return 1
		}
		c, err := Compare(eco, x, y)
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	text := func(e fact.RangeEvent) string { return e.Introduced + e.Fixed + e.LastAffected + e.Limit }
	if slices.Contains(a.Versions, version) {
		return true
	}
	for _, r := range a.Ranges {
		if r.Type == "GIT" {
			continue
		}
		limits, below := false, false
		events := slices.Clone(r.Events)
		slices.SortStableFunc(events, func(x, y fact.RangeEvent) int { return order(text(x), text(y)) })
		vulnerable := false
		for _, e := range events {
			switch {
			case e.Introduced != "" && order(version, e.Introduced) >= 0:
				vulnerable = true
			case e.Fixed != "" && order(version, e.Fixed) >= 0:
				vulnerable = false
			case e.LastAffected != "" && order(version, e.LastAffected) > 0:
				vulnerable = false
			case e.Limit != "":
				limits = true
				below = below || e.Limit == "*" || order(version, e.Limit) < 0
			}
		}
		if vulnerable && (!limits || below) {
			return true
		}
	}
	return false
}

// someRange makes a range of distinct versions, events in any order.
func someRange(random *rand.Rand) fact.Range {
	r := fact.Range{Type: "SEMVER"}
	used := map[string]bool{}
	for range 1 + random.IntN(5) {
		v := fmt.Sprintf("%d.%d.0", random.IntN(4), random.IntN(4))
		if random.IntN(6) == 0 {
			v = "0"
		}
		if used[v] {
			continue
		}
		used[v] = true
		switch random.IntN(7) {
		case 0, 1, 2:
			r.Events = append(r.Events, intro(v))
		case 3, 4:
			r.Events = append(r.Events, fixed(v))
		case 5:
			r.Events = append(r.Events, last(v))
		default:
			if v != "0" {
				r.Events = append(r.Events, limit(v))
			}
		}
	}
	return r
}

func TestEvaluationEqualsTheSchemasAlgorithm(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(7, 7))
	for range 5000 {
		a := fact.Affected{Ranges: []fact.Range{someRange(random), someRange(random)}}
		// "0" as Fixed or LastAffected is a version like any other to us.
		for i := range a.Ranges {
			a.Ranges[i].Events = slices.DeleteFunc(a.Ranges[i].Events, func(e fact.RangeEvent) bool { return e.Fixed == "0" || e.LastAffected == "0" })
		}
		version := fmt.Sprintf("%d.%d.%d", random.IntN(4), random.IntN(4), random.IntN(2))
		got, err := Affects(&a, "npm", version)
		if want := bySchema(t, "npm", &a, version); err != nil || got != want {
			t.Fatalf("%s in %+v: %v, %v; the schema says %v", version, a.Ranges, got, err, want)
		}
	}
}

func TestNothingChangesBetweenEvents(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(8, 8))
	for range 2000 {
		a := fact.Affected{Ranges: []fact.Range{someRange(random)}}
		minor := fmt.Sprintf("%d.%d.", random.IntN(4), random.IntN(4))
		first, err1 := Affects(&a, "npm", minor+"1")
		second, err2 := Affects(&a, "npm", minor+"99")
		if err1 != nil || err2 != nil || first != second {
			t.Fatalf("%s1 is %v and %s99 is %v, though no event of %+v lies between (%v, %v)", minor, first, minor, second, a.Ranges, err1, err2)
		}
	}
}

func FuzzAffects(f *testing.F) {
	f.Add("npm", "1.2.3", "1.0.0", "2.0.0", "")
	f.Add("PyPI", "1.0.post1", "0", "", "1!2.0")
	f.Add("Debian:12", "1:1.0~rc1-1", "0", "1.0-1", "")
	f.Add("Maven", "1.0-SNAPSHOT", "${x}", "[1,2)", "2")
	f.Add("Alpine", "1.2_p3-r1", "0", "1.2_rc9", "")
	f.Add("RubyGems", "1.0.a.-", "0", "1.", ".")
	f.Fuzz(func(t *testing.T, eco, version, introduced, fixedAt, lastAt string) {
		a := fact.Affected{Ranges: ranges(single(fact.RangeEvent{Introduced: introduced, Fixed: fixedAt, LastAffected: lastAt})...)}
		in, err := Affects(&a, eco, version)
		if in && err != nil {
			t.Fatal("affected and an error at once")
		}
		for i := 0; i < 2; i++ {
			again, err2 := Affects(&a, eco, version)
			if again != in || (err2 == nil) != (err == nil) {
				t.Fatalf("asked twice: %v, %v and %v, %v", in, err, again, err2)
			}
		}
		forth, err1 := Compare(eco, version, introduced)
		back, err2 := Compare(eco, introduced, version)
		if err1 == nil && err2 == nil && forth != -back {
			base, _ := canonicalEcosystem(eco)
			if base == "npm" || base == "Go" || base == "PyPI" {
				t.Fatalf("%s: %q to %q is %d, back %d", eco, version, introduced, forth, back)
			}
		}
	})
}
