package issue_test

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/issue"
)

const repository = "github.com/acme/shop"

func finding(tool, rule, pkg, version, path string, aliases ...string) issue.StoredFinding {
	f := issue.StoredFinding{Tool: tool, State: issue.FindingOpen, Class: []string{rule}}
	f.Kind, f.Rule, f.Aliases, f.Title, f.Severity = fact.Vulnerability, rule, aliases, "flaw", fact.SeverityHigh
	f.Package = fact.Package{Ecosystem: "npm", Name: pkg, Version: version}
	f.Path = path
	f.Asset = fact.Asset{Kind: fact.AssetRepository, Key: repository, Name: repository}
	return f
}

// manifests says that everything in a lock comes from the manifest beside it.
func manifests(f *issue.StoredFinding) fact.Cause {
	path := strings.ReplaceAll(f.Path, "package-lock.json", "package.json")
	return fact.Cause{Status: fact.CauseFound, Locations: []fact.Location{{Repository: repository, Path: path, Line: f.Line}}}
}

func group(findings ...issue.StoredFinding) []issue.Issue {
	return issue.Group(findings, issue.Context{Repository: repository, Cause: manifests})
}

func TestOneFlawSeenByThreeToolsIsOneIssue(t *testing.T) {
	t.Parallel()
	got := group(
		finding("grype", "GHSA-1", "a", "1", "package-lock.json", "CVE-2026-1"),
		finding("trivy", "CVE-2026-1", "a", "1", "package-lock.json"),
		finding("osv", "GHSA-1", "a", "1", "package-lock.json"),
		finding("osv", "GHSA-1", "a", "1", "other/package-lock.json"),
		finding("osv", "GHSA-1", "b", "1", "package-lock.json"),
		finding("osv", "GHSA-2", "a", "1", "package-lock.json"),
	)
	var have []string
	for _, i := range got {
		have = append(have, fmt.Sprint(i.Rule, i.Advisories, i.Package.PURL+" ", i.Findings, i.Tools, i.Cause.Locations[0].Path))
	}
	slices.Sort(have)
	want := []string{
		"CVE-2026-1[CVE-2026-1 GHSA-1]pkg:npm/a@1 1 [osv]other/package.json",
		"CVE-2026-1[CVE-2026-1 GHSA-1]pkg:npm/a@1 3 [grype osv trivy]package.json",
		"CVE-2026-1[CVE-2026-1 GHSA-1]pkg:npm/b@1 1 [osv]package.json",
		"GHSA-2[GHSA-2]pkg:npm/a@1 1 [osv]package.json",
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Error(diff)
	}
}

func TestAnAdvisoryIndexJoinsAndEnriches(t *testing.T) {
	t.Parallel()
	a := finding("x", "GO-2026-1", "a", "1", "go.mod")
	a.Title, a.Severity = "", fact.SeverityUnknown
	got := issue.Group([]issue.StoredFinding{a, finding("y", "CVE-2026-1", "a", "1", "go.mod")}, issue.Context{
		Cause:   manifests,
		Classes: func(id string) []string { return []string{"CVE-2026-1", "GO-2026-1"} },
		Advisory: func(id string) (fact.Advisory, bool) {
			return fact.Advisory{Severity: fact.SeverityLow, Score: 9, Exploited: true, EPSS: 0.5}, id == "GO-2026-1"
		},
	})
	if len(got) != 1 || !got[0].Exploit || got[0].EPSS != 0.5 || got[0].Severity != fact.SeverityHigh || got[0].Risk < 90 {
		t.Errorf("%+v", got)
	}
}

func TestWithoutACauseAssetAndPathStandIn(t *testing.T) {
	t.Parallel()
	a := finding("x", "CVE-2026-1", "a", "1", "usr/lib/a")
	b := a
	b.Asset = fact.Asset{Kind: fact.AssetImage, Key: "sha256:1"}
	got := issue.Group([]issue.StoredFinding{a, b, b}, issue.Context{})
	if len(got) != 2 || got[0].Cause.Status != fact.CauseUnknown || got[0].Cause.Locations == nil || got[0].Cause.Chain == nil || got[0].Cause.Missing == nil {
		t.Errorf("%+v", got)
	}
}

func TestSecretsAndResourcesAreApartByAnchorAndCodeIsNot(t *testing.T) {
	t.Parallel()
	for kind, want := range map[fact.Kind]int{fact.Secret: 2, fact.Misconfiguration: 2, fact.CodeFlaw: 1} {
		a := finding("x", "R", "", "", "main.tf")
		a.Kind, a.Anchor = kind, "one"
		b := a
		b.Anchor = "two"
		if got := group(a, b); len(got) != want {
			t.Errorf("%s: %d issues, want %d", kind, len(got), want)
		} else if len(got[0].Advisories) != 0 {
			t.Errorf("%s has advisories %q", kind, got[0].Advisories)
		}
	}
}

func TestStateFollowsFindings(t *testing.T) {
	t.Parallel()
	const unconfirmed = "unconfirmed"
	for _, test := range []struct {
		findings string
		state    issue.State
		reason   string
	}{
		{"", issue.Open, ""},
		{"unconfirmed", issue.Unconfirmed, ""},
		{"unconfirmed,", issue.Open, ""},
		{"not_affected", issue.Rejected, issue.NotAffected},
		{"not_affected,", issue.Open, ""},
		{"not_affected,unconfirmed", issue.Unconfirmed, ""},
		{"false_positive", issue.Rejected, issue.FalsePositive},
		{"false_positive,not_affected", issue.Rejected, issue.NotAffected},
		{"accepted_risk,not_affected", issue.Rejected, issue.Exception},
		{"accepted_risk,unconfirmed", issue.Rejected, issue.Exception},
		{"accepted_risk,", issue.Open, ""},
		{"resolved", issue.Open, ""},
		{"in_triage", issue.Open, ""},
		{"exploitable", issue.Open, ""},
	} {
		var findings []issue.StoredFinding
		for i, word := range strings.Split(test.findings, ",") {
			f := finding(fmt.Sprint("tool", i), "CVE-2026-1", "a", "1", "p")
			if word == unconfirmed {
				f.State = issue.FindingUnconfirmed
			} else {
				f.Analysis.State = word
			}
			findings = append(findings, f)
		}
		got := group(findings...)
		if len(got) != 1 || got[0].State != test.state || got[0].Reason != test.reason {
			t.Errorf("%q: %s %s, want %s %s", test.findings, got[0].State, got[0].Reason, test.state, test.reason)
		}
	}
}

func TestRiskGrowsWithEachFactor(t *testing.T) {
	t.Parallel()
	ascending := []issue.Factors{
		{Severity: fact.SeverityInfo},
		{Severity: fact.SeverityLow},
		{},
		{Severity: fact.SeverityHigh, Development: true},
		{Severity: fact.SeverityMedium},
		{Severity: fact.SeverityHigh, Score: 7},
		{Severity: fact.SeverityHigh},
		{Severity: fact.SeverityHigh, Direct: true},
		{Severity: fact.SeverityHigh, EPSS: 0.1},
		{Severity: fact.SeverityCritical, Score: 9.8},
		{Severity: fact.SeverityLow, Exploited: true, Development: true, EPSS: 0.01},
		{Severity: fact.SeverityCritical, Score: 10, EPSS: 0.9},
		{Severity: fact.SeverityCritical, Score: 10, EPSS: 1, Exploited: true, Direct: true},
	}
	last := -1.0
	for _, f := range ascending {
		risk, _ := issue.Risk(f)
		if risk < last || risk < 0 || risk > 100 {
			t.Errorf("%+v has risk %v after %v", f, risk, last)
		}
		last = risk
	}
}

// Law 1: identity survives line shifts and version bumps of unrelated things.
// Law 4: the order of findings does not matter, to the byte.
func TestLaws1And4IDsSurviveShiftsBumpsAndOrder(t *testing.T) {
	t.Parallel()
	const seed = 4711
	random := rand.New(rand.NewPCG(seed, 1))
	for round := range 60 {
		var findings []issue.StoredFinding
		for n := range 2 + random.IntN(20) {
			id, alias := fmt.Sprint("CVE-2026-", random.IntN(4)), ""
			if random.IntN(2) == 0 {
				id, alias = strings.Replace(id, "CVE-2026", "GHSA", 1), id
			}
			f := finding(fmt.Sprint("t", random.IntN(3)), id, fmt.Sprint("p", random.IntN(3)), "1", fmt.Sprint(random.IntN(2), "/package-lock.json"))
			if alias != "" {
				f.Aliases = []string{alias}
			}
			f.Kind = []fact.Kind{fact.Vulnerability, fact.Vulnerability, fact.CodeFlaw, fact.Secret}[random.IntN(4)]
			f.Line, f.ID = 10*n, fmt.Sprint(n)
			findings = append(findings, f)
		}
		before := text(t, group(findings...))
		shuffled := slices.Clone(findings)
		random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		if after := text(t, group(shuffled...)); after != before {
			t.Fatalf("seed %d round %d: another order gives other bytes\n%s", seed, round, cmp.Diff(before, after))
		}
		moved := slices.Clone(findings)
		shift := random.IntN(1000)
		for i := range moved {
			moved[i].Line += shift
			if random.IntN(2) == 0 {
				moved[i].Package.Version = "2"
			}
			moved[i].LastSeen += int64(shift)
		}
		if got, want := ids(group(moved...)), ids(group(findings...)); !slices.Equal(got, want) {
			t.Fatalf("seed %d round %d: ids %q became %q", seed, round, want, got)
		}
	}
}

func text(t *testing.T, issues []issue.Issue) string {
	t.Helper()
	data, err := json.MarshalIndent(issues, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(data), "null") {
		t.Errorf("a list is null in %s", data)
	}
	return string(data)
}

func ids(issues []issue.Issue) []string {
	var list []string
	for _, i := range issues {
		list = append(list, i.ID)
	}
	slices.Sort(list)
	return list
}

// Law 7: an accepted risk is never exported as not_affected, whatever else is
// said about it.
func TestWhereAnAssetStandsMovesItsRisk(t *testing.T) {
	t.Parallel()
	base := issue.Factors{Severity: fact.SeverityMedium, Score: 5, EPSS: 0.1}
	plain, _ := issue.Risk(base)
	for _, c := range []struct {
		name   string
		place  issue.Situation
		higher bool
	}{
		{"internet", issue.Situation{Exposure: issue.ExposureInternet}, true},
		{"unreachable", issue.Situation{Exposure: issue.ExposureNone}, false},
		{"admin", issue.Situation{Privileges: issue.PrivilegesAdmin}, true},
		{"wide", issue.Situation{Privileges: issue.PrivilegesWide}, true},
		{"production", issue.Situation{Environment: issue.EnvironmentProduction}, true},
		{"development", issue.Situation{Environment: issue.EnvironmentDevelopment}, false},
		{"high impact", issue.Situation{Impact: issue.ImpactHigh}, true},
		{"low impact", issue.Situation{Impact: issue.ImpactLow}, false},
	} {
		f := base
		f.Situation = c.place
		if risk, _ := issue.Risk(f); risk == plain || risk > plain != c.higher {
			t.Errorf("%s: risk %v where it is %v without it", c.name, risk, plain)
		}
	}
	for _, same := range []issue.Situation{
		{Exposure: issue.ExposureInternal}, {Privileges: issue.PrivilegesLimited}, {Environment: issue.EnvironmentStaging}, {Impact: issue.ImpactMedium},
	} {
		f := base
		f.Situation = same
		if risk, _ := issue.Risk(f); risk != plain {
			t.Errorf("%+v: risk %v, want %v as when nothing is known", same, risk, plain)
		}
	}
}

func TestTheTermsOfARiskAddUpToIt(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(6, 6))
	cut := 0
	for range 5000 {
		f := issue.Factors{
			Severity: fact.Severity(random.IntN(6)), Score: float64(random.IntN(110)) / 10, Exploited: random.IntN(4) == 0,
			EPSS: random.Float64(), Direct: random.IntN(2) == 0, Development: random.IntN(3) == 0,
			Situation: issue.Situation{
				Exposure:    []issue.Exposure{"", issue.ExposureInternet, issue.ExposureInternal, issue.ExposureNone}[random.IntN(4)],
				Privileges:  []issue.Privileges{"", issue.PrivilegesAdmin, issue.PrivilegesWide}[random.IntN(3)],
				Environment: []issue.Environment{"", issue.EnvironmentProduction, issue.EnvironmentDevelopment}[random.IntN(3)],
				Impact:      []issue.Impact{"", issue.ImpactHigh, issue.ImpactLow}[random.IntN(3)],
			},
		}
		risk, terms := issue.Risk(f)
		sum := 0.0
		for _, term := range terms {
			if term.Detail == "" || term.Effect == 0 {
				t.Fatalf("%+v: term %+v says nothing", f, term)
			}
			sum += term.Effect
			if term.Name == "limit" {
				cut++
			}
		}
		if math.Abs(sum-risk) > 0.001 || risk < 0 || risk > 100 {
			t.Fatalf("%+v: terms %+v add up to %v, risk %v", f, terms, sum, risk)
		}
		if f.Exploited && f.Exposure != issue.ExposureNone && risk < 90 {
			t.Fatalf("%+v: risk %v of an exploited flaw", f, risk)
		}
	}
	if cut == 0 {
		t.Error("no case reached the limit")
	}
}

func TestLaw7AnAcceptedRiskIsNeverExportedAsNotAffected(t *testing.T) {
	t.Parallel()
	const seed = 77
	random := rand.New(rand.NewPCG(seed, 7))
	states := []string{"", fact.AnalysisExploitable, fact.AnalysisInTriage, fact.AnalysisFalsePositive, fact.AnalysisNotAffected, fact.AnalysisResolved, fact.AnalysisAcceptedRisk, "made up"}
	accepted, rejected := 0, 0
	for round := range 3000 {
		var findings []issue.StoredFinding
		risk := false
		for n := range 1 + random.IntN(3) {
			f := finding(fmt.Sprint("t", n), "CVE-2026-1", "a", "1", "p")
			var list []fact.Analysis
			for range 1 + random.IntN(3) {
				state := states[random.IntN(len(states))]
				risk = risk || state == fact.AnalysisAcceptedRisk
				list = append(list, fact.Analysis{State: state, Source: fmt.Sprint(random.IntN(2))})
			}
			f.Analysis = issue.CombineAnalyses(list...)
			if random.IntN(3) == 0 {
				f.State = issue.FindingUnconfirmed
			}
			findings = append(findings, f)
		}
		got := group(findings...)[0]
		if got.State == issue.Resolved {
			t.Fatalf("seed %d round %d: resolved by words alone: %+v", seed, round, got)
		}
		vex := got.Export()
		if got.State == issue.Rejected {
			rejected++
		}
		if !risk {
			continue
		}
		accepted++
		if vex.CycloneDX == "not_affected" || vex.CycloneDX == "false_positive" || vex.OpenVEX == "not_affected" || vex.OpenVEX == "fixed" {
			t.Fatalf("seed %d round %d: %+v is exported as %+v", seed, round, got, vex)
		}
	}
	if accepted < 100 || rejected < 100 {
		t.Errorf("only %d accepted and %d rejected were tried", accepted, rejected)
	}
}

func TestWhatIsNoLongerSeenDoesNotSpeakForAnIssueThatIs(t *testing.T) {
	t.Parallel()
	gone := finding("scan", "GHSA-1", "a", "1.0.0", "package.json")
	gone.State = issue.FindingUnconfirmed
	seen := finding("scan", "GHSA-1", "a", "1.1.0", "package-lock.json")
	got := group(gone, seen)
	if len(got) != 1 || got[0].State != issue.Open || got[0].Findings != 1 || got[0].Package.Version != "1.1.0" {
		t.Errorf("issues = %+v, want one open of one finding at 1.1.0", got)
	}
	again := gone
	again.Tool = "other"
	if got = group(gone, again); len(got) != 1 || got[0].State != issue.Unconfirmed || got[0].Findings != 2 {
		t.Errorf("issues = %+v, want one unconfirmed of two findings", got)
	}
}
