package agent

import (
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

func finding(rule, version string, fixed ...string) fact.Finding {
	return fact.Finding{
		Kind: fact.Vulnerability, Rule: rule, Severity: fact.SeverityHigh,
		Package:       fact.Package{Ecosystem: "npm", Name: "lodash", Version: version},
		FixedVersions: fixed,
	}
}

func affects(t *testing.T, k *known, version string) []string {
	t.Helper()
	list, err := k.Affecting(fact.Package{Ecosystem: "npm", Name: "lodash", Version: version})
	if err != nil {
		t.Fatal(err)
	}
	ids := []string{}
	for _, a := range list {
		ids = append(ids, a.ID)
	}
	return ids
}

func TestAFindingTellsOfAFlawThatTheIndexLacks(t *testing.T) {
	k, err := newKnown(nil, []fact.Finding{finding("CVE-1-1", "4.17.20", "3.9.9", "4.17.21", "5.0.0")})
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[string][]string{"4.17.20": {"CVE-1-1"}, "4.17.21": {}, "4.17.19": {}} {
		if got := affects(t, k, version); !slices.Equal(got, want) {
			t.Errorf("%s: affected by %v, want %v", version, got, want)
		}
	}
}

func TestAFindingWithoutAFixedVersionAffectsTheVersionItNames(t *testing.T) {
	k, err := newKnown(nil, []fact.Finding{finding("CVE-1-1", "4.17.20")})
	if err != nil {
		t.Fatal(err)
	}
	if got := affects(t, k, "4.17.20"); !slices.Equal(got, []string{"CVE-1-1"}) {
		t.Errorf("affected by %v, want the flaw that was found", got)
	}
}

func TestTheIndexOutweighsWhatAFindingSays(t *testing.T) {
	index := advisory.FromMemory([]fact.Advisory{{
		ID: "GHSA-aaaa-aaaa-aaaa", Aliases: []string{"CVE-1-1"},
		Affected: []fact.Affected{{Ecosystem: "npm", Name: "lodash", Ranges: []fact.Range{{Type: "SEMVER", Events: []fact.RangeEvent{{Introduced: "0"}, {Fixed: "4.17.22"}}}}}},
	}})
	told := finding("GHSA-aaaa-aaaa-aaaa", "4.17.20", "4.17.21")
	told.Aliases = []string{"CVE-1-1"}
	k, err := newKnown(index, []fact.Finding{told})
	if err != nil {
		t.Fatal(err)
	}
	if got := affects(t, k, "4.17.21"); !slices.Equal(got, []string{"GHSA-aaaa-aaaa-aaaa"}) {
		t.Errorf("4.17.21: affected by %v, want what the index says", got)
	}
	if got := k.Class("CVE-1-1"); !slices.Equal(got, []string{"CVE-1-1", "GHSA-aaaa-aaaa-aaaa"}) {
		t.Errorf("class of CVE-1-1: %v", got)
	}
}

func TestTheSameFindingsInAnyOrderGiveTheSameKnowledge(t *testing.T) {
	findings := []fact.Finding{finding("CVE-1-1", "4.17.20", "4.17.21"), finding("CVE-1-2", "4.17.20"), finding("CVE-1-1", "4.17.19", "4.17.21")}
	forth, err := newKnown(nil, findings)
	if err != nil {
		t.Fatal(err)
	}
	slices.Reverse(findings)
	back, err := newKnown(nil, findings)
	if err != nil {
		t.Fatal(err)
	}
	if forth.Digest() != back.Digest() {
		t.Error("the digest depends on the order of the findings")
	}
	other, err := newKnown(nil, findings[:1])
	if err != nil {
		t.Fatal(err)
	}
	if other.Digest() == back.Digest() {
		t.Error("other findings give the same digest")
	}
}

func TestAnAdvisoryThatNobodyCanOrderBlocksNoFix(t *testing.T) {
	affected := func(introduced, fixed string) []fact.Affected {
		return []fact.Affected{{Ecosystem: "npm", Name: "lodash", Ranges: []fact.Range{{Type: "SEMVER", Events: []fact.RangeEvent{{Introduced: introduced}, {Fixed: fixed}}}}}}
	}
	index := advisory.FromMemory([]fact.Advisory{
		{ID: "CVE-1-1", Affected: affected("0", "4.17.21")},
		{ID: "CVE-1-2", Affected: affected("the first one", "the last one")},
	})
	k, err := newKnown(index, nil)
	if err != nil {
		t.Fatal(err)
	}
	pkg := fact.Package{Ecosystem: "npm", Name: "lodash", Version: "4.17.20"}
	if _, err := k.Affecting(pkg); err == nil {
		t.Error("a scanner hears nothing of the advisory that could not be judged")
	}
	var told []string
	choice, err := fix.Choose(judged{k, func(problem string) { told = append(told, problem) }}, fix.Need{Package: pkg})
	if err != nil || choice.Version != "4.17.21" {
		t.Errorf("chose %q, %v; want 4.17.21", choice.Version, err)
	}
	if len(told) == 0 || !strings.Contains(told[0], "CVE-1-2") {
		t.Errorf("told %q; want the advisory that was left out", told)
	}
}
