package intake_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/intake"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/scan"
	"github.com/backstitch/backstitch/store"
	"github.com/backstitch/backstitch/store/sqlite"
	"github.com/backstitch/backstitch/store/storetest"
)

const repository = "github.com/acme/shop"

var start = time.Date(2026, 5, 4, 3, 2, 1, 0, time.UTC)

func database(t testing.TB) store.Engine {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "backstitch.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func at(day int) intake.Options {
	return intake.Options{Repository: repository, Now: start.AddDate(0, 0, day)}
}

func vulnerability(id, pkg, version, path string) fact.Finding {
	return fact.Finding{
		Kind: fact.Vulnerability, Rule: id, Title: "flaw of " + pkg, Severity: fact.SeverityHigh,
		Package: fact.Package{Ecosystem: "npm", Name: pkg, Version: version, PURL: fact.PURL("npm", pkg, version)}, Path: path,
	}
}

// feed imports findings as one complete run of one tool.
func feed(t testing.TB, db store.Engine, opts intake.Options, run fact.Run, findings ...fact.Finding) intake.Result {
	t.Helper()
	result, err := give(t.Context(), db, opts, run, nil, findings...)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

func give(ctx context.Context, db store.Engine, opts intake.Options, run fact.Run, end error, findings ...fact.Finding) (intake.Result, error) {
	return intake.Facts(ctx, db, "report.json", opts, nil, func(sink report.Sink) error {
		if err := sink.Run(run); err != nil {
			return err
		}
		for _, f := range findings {
			if err := sink.Finding(f); err != nil {
				return err
			}
		}
		return end
	})
}

var trivy = fact.Run{Tool: "Trivy", Format: "trivy", Complete: true}

func load(t testing.TB, db store.Engine) []issue.StoredFinding {
	t.Helper()
	findings, err := intake.Load(t.Context(), db, nil)
	if err != nil {
		t.Fatal(err)
	}
	return findings
}

type counts struct{ New, Changed, Reopened, Unconfirmed, Unchanged int }

func countsOf(r intake.Result) counts {
	var c counts
	for _, run := range r.Runs {
		c.New += run.New
		c.Changed += run.Changed
		c.Reopened += run.Reopened
		c.Unconfirmed += run.Unconfirmed
		c.Unchanged += run.Unchanged
	}
	return c
}

func TestQueriesAreInTheCommonSubset(t *testing.T) {
	storetest.CheckQueries(t, sqlite.Open, intake.Queries())
}

func TestALifeOfFindings(t *testing.T) {
	t.Parallel()
	db := database(t)
	a, b := vulnerability("CVE-2026-1", "a", "1.0.0", "package-lock.json"), vulnerability("CVE-2026-2", "b", "1.0.0", "package-lock.json")
	raised := a
	raised.Package = fact.Package{Ecosystem: "npm", Name: "a", Version: "1.0.1", PURL: "pkg:npm/a@1.0.1"}
	partial := trivy
	partial.Complete = false
	grype := fact.Run{Tool: "grype", Format: "grype", Complete: true}
	elsewhere := trivy
	elsewhere.Target = "other/module"
	for i, step := range []struct {
		name     string
		run      fact.Run
		findings []fact.Finding
		want     counts
	}{
		{"first", trivy, []fact.Finding{a, b}, counts{New: 2}},
		{"again", trivy, []fact.Finding{b, a}, counts{Unchanged: 2}},
		{"version moved", trivy, []fact.Finding{raised, b}, counts{Changed: 1, Unchanged: 1}},
		{"another detector sees nothing", grype, nil, counts{}},
		{"a partial run sees nothing", partial, nil, counts{}},
		{"another target sees nothing", elsewhere, nil, counts{}},
		{"complete run misses one", trivy, []fact.Finding{b}, counts{Unconfirmed: 1, Unchanged: 1}},
		{"misses it again", trivy, []fact.Finding{b}, counts{Unchanged: 1}},
		{"sees it again", trivy, []fact.Finding{a, b}, counts{Reopened: 1, Unchanged: 1}},
		{"sees nothing at all", trivy, nil, counts{Unconfirmed: 2}},
	} {
		result := feed(t, db, at(i), step.run, step.findings...)
		if got := countsOf(result); got != step.want {
			t.Errorf("%s: %+v, want %+v", step.name, got, step.want)
		}
		if want := step.want.New + step.want.Changed + step.want.Reopened + step.want.Unconfirmed; result.Written() != want {
			t.Errorf("%s: wrote %d rows, want %d", step.name, result.Written(), want)
		}
	}
	for _, f := range load(t, db) {
		if f.State != issue.FindingUnconfirmed {
			t.Errorf("%s is %s", f.Rule, f.State)
		}
		if got, want := f.FirstSeen, start.UnixMicro(); got != want {
			t.Errorf("%s first seen %d, want %d", f.Rule, got, want)
		}
		if got, want := f.LastSeen, start.AddDate(0, 0, 8).UnixMicro(); got != want {
			t.Errorf("%s last seen on day %v, want 8", f.Rule, time.UnixMicro(got).Sub(start).Hours()/24)
		}
	}
}

func TestAPartOfADetectorSaysNothingOfAnother(t *testing.T) {
	t.Parallel()
	db := database(t)
	whole := func(part string) fact.Run {
		return fact.Run{Tool: "checkov", Format: "checkov", Part: part, Complete: true}
	}
	finding := fact.Finding{Kind: fact.Misconfiguration, Rule: "CKV_1", Severity: fact.SeverityHigh, Path: "main.tf", Line: 1}
	for i, step := range []struct {
		name     string
		run      fact.Run
		findings []fact.Finding
		want     counts
	}{
		{"terraform finds one", whole("terraform"), []fact.Finding{finding}, counts{New: 1}},
		{"kubernetes sees nothing", whole("kubernetes"), nil, counts{}},
		{"a report without parts sees nothing", whole(""), nil, counts{}},
		{"terraform sees nothing", whole("terraform"), nil, counts{Unconfirmed: 1}},
	} {
		if got := countsOf(feed(t, db, at(i), step.run, step.findings...)); got != step.want {
			t.Errorf("%s: %+v, want %+v", step.name, got, step.want)
		}
	}
}

func TestAFindingComesBackAsItWentIn(t *testing.T) {
	t.Parallel()
	db := database(t)
	want := fact.Finding{
		Kind: fact.Vulnerability, Rule: "GHSA-a", Aliases: []string{"CVE-2026-1"}, Title: "t <&>", Description: "d\u2028", Severity: fact.SeverityLow,
		SeverityText: "LOWISH", Score: 3.7, Vector: "CVSS:3.1/AV:N", CWE: []int{79, 80}, EPSS: 0.25, References: []string{"https://a", "https://b"},
		Mitigation: "raise it", Package: fact.Package{Ecosystem: "npm", Name: "a", Version: "1", PURL: "pkg:npm/a@1"},
		FixedVersions: []string{"2", "1.1"}, Introduced: []string{"x", "a"}, Path: "web/package-lock.json", Line: 3, EndLine: 4, Anchor: "node_modules/a",
		Commit: "c0ffee", Analysis: fact.Analysis{State: fact.AnalysisInTriage, Detail: "looking"}, Position: fact.Position{Offset: 12, Length: 34},
		Attributes: map[string]string{"k": "v", "a": "b"}, Asset: fact.Asset{Kind: fact.AssetRepository, Key: repository, Name: repository},
	}
	feed(t, db, at(0), trivy, want)
	got := load(t, db)
	if len(got) != 1 {
		t.Fatalf("%d findings", len(got))
	}
	if diff := cmp.Diff(want, got[0].Finding); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"CVE-2026-1", "GHSA-a"}, got[0].Class); diff != "" {
		t.Error(diff)
	}
}

func TestEqualFingerprintsOfOneReportAllSurvive(t *testing.T) {
	t.Parallel()
	db := database(t)
	line := func(n int) fact.Finding {
		return fact.Finding{Kind: fact.CodeFlaw, Rule: "G1", Path: "a.go", Line: n}
	}
	if got := countsOf(feed(t, db, at(0), trivy, line(20), line(10), line(10))); got != (counts{New: 3}) {
		t.Errorf("first %+v", got)
	}
	if got := countsOf(feed(t, db, at(1), trivy, line(10), line(20), line(10))); got != (counts{Unchanged: 3}) {
		t.Errorf("again, in another order %+v", got)
	}
	if got := countsOf(feed(t, db, at(2), trivy, line(5), line(10), line(20), line(10))); got != (counts{New: 1, Unchanged: 3}) {
		t.Errorf("one more before them %+v", got)
	}
	if got := countsOf(feed(t, db, at(3), trivy, line(6), line(11), line(11), line(21))); got != (counts{Changed: 4}) {
		t.Errorf("all lines shifted %+v", got)
	}
	if got := countsOf(feed(t, db, at(4), trivy, line(6), line(11), line(21))); got != (counts{Unconfirmed: 1, Unchanged: 3}) {
		t.Errorf("one gone %+v", got)
	}
}

func TestABrokenReportKeepsWhatWasReadAndUnconfirmsNothing(t *testing.T) {
	t.Parallel()
	db := database(t)
	a, b, c := vulnerability("CVE-2026-1", "a", "1", "p"), vulnerability("CVE-2026-2", "b", "1", "p"), vulnerability("CVE-2026-3", "c", "1", "p")
	feed(t, db, at(0), trivy, a, b)
	fault := &report.Error{Offset: 10, Expected: "]"}
	result, err := give(t.Context(), db, at(1), trivy, fault, c)
	if !errors.Is(err, fault) {
		t.Errorf("error %v, want that of the report", err)
	}
	if got := countsOf(result); got != (counts{New: 1}) || result.Complete || result.Runs[0].Complete {
		t.Errorf("%+v, complete %v", got, result.Complete)
	}
	if n := len(load(t, db)); n != 3 {
		t.Errorf("%d findings, want 3", n)
	}
	failed := errors.New("disk")
	result, err = give(t.Context(), db, at(2), trivy, failed, vulnerability("CVE-2026-4", "d", "1", "p"))
	if !errors.Is(err, failed) || len(result.Runs) != 0 {
		t.Errorf("result %+v, error %v, want only the error", result, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = intake.Facts(ctx, db, "r", at(3), nil, func(sink report.Sink) error {
		if err := sink.Run(trivy); err != nil {
			return err
		}
		cancel()
		return nil
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	for _, f := range load(t, db) {
		if f.State != issue.FindingOpen {
			t.Errorf("%s is %s", f.Rule, f.State)
		}
	}
}

func TestRunsOfOneDetectorInOneReportAreUnited(t *testing.T) {
	t.Parallel()
	db := database(t)
	two := func(day int) intake.Result {
		result, err := intake.Facts(t.Context(), db, "r", at(day), nil, func(sink report.Sink) error {
			for i := range 2 {
				if err := sink.Run(trivy); err != nil {
					return err
				}
				if err := sink.Finding(vulnerability(fmt.Sprint("CVE-2026-", i), "a", "1", "p")); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	two(0)
	if got := countsOf(two(1)); got != (counts{Unchanged: 2}) {
		t.Errorf("%+v", got)
	}
}

func TestAssetsAreCompletedAndCovered(t *testing.T) {
	t.Parallel()
	db := database(t)
	image := vulnerability("CVE-2026-1", "a", "1", "usr/lib")
	image.Asset = fact.Asset{Kind: fact.AssetImage, Key: "sha256:1", Name: "shop:1"}
	file := vulnerability("CVE-2026-1", "a", "1", "/home/ada/shop/package-lock.json")
	file.Asset = fact.Asset{Kind: fact.AssetFile, Key: "package-lock.json"}
	run := trivy
	run.Target = "/home/ada/shop"
	opts := at(0)
	opts.Root = "/home/ada/shop"
	result := feed(t, db, opts, run, image, file)
	want := []fact.Asset{{Kind: fact.AssetImage, Key: "sha256:1", Name: "shop:1"}, {Kind: fact.AssetRepository, Key: repository, Name: repository}}
	if diff := cmp.Diff(want, result.Assets); diff != "" {
		t.Error(diff)
	}
	for _, f := range load(t, db) {
		if f.Asset.Kind == fact.AssetRepository && f.Path != "package-lock.json" {
			t.Errorf("path %q", f.Path)
		}
	}
	// Another checkout of the same repository; the image is gone from the
	// report, although its run is complete for the same target.
	run.Target, opts.Root, opts.Now = "/tmp/shop", "/tmp/shop", start.AddDate(0, 0, 1)
	file.Path = "/tmp/shop/package-lock.json"
	if got := countsOf(feed(t, db, opts, run, file)); got != (counts{Unchanged: 1, Unconfirmed: 1}) {
		t.Errorf("%+v", got)
	}
	found, err := intake.Load(t.Context(), db, []fact.Asset{{Kind: fact.AssetImage, Key: "sha256:1"}})
	if err != nil || len(found) != 1 || found[0].State != issue.FindingUnconfirmed {
		t.Errorf("%+v, %v", found, err)
	}
}

func TestScoresMoveWithoutTouchingFindings(t *testing.T) {
	t.Parallel()
	db := database(t)
	f := vulnerability("CVE-2026-1", "a", "1", "p")
	for day, score := range []float64{0.1, 0.2, 0.2} {
		f.EPSS = score
		result := feed(t, db, at(day), trivy, f)
		if day > 0 && result.Written() != 0 {
			t.Errorf("day %d wrote %d rows", day, result.Written())
		}
		if got := load(t, db)[0].EPSS; got != score {
			t.Errorf("day %d: EPSS %v, want %v", day, got, score)
		}
	}
}

func TestStatementsApplyToTheirClassAndProduct(t *testing.T) {
	t.Parallel()
	db := database(t)
	a, b := vulnerability("GHSA-1", "a", "1", "p"), vulnerability("GHSA-1", "b", "1", "p")
	a.Aliases = []string{"CVE-2026-1"}
	b.Aliases = a.Aliases
	feed(t, db, at(0), trivy, a, b)
	vex := func(day int, statements ...fact.Statement) {
		t.Helper()
		_, err := intake.Facts(t.Context(), db, "vex", at(day), nil, func(sink report.Sink) error {
			if err := sink.Run(fact.Run{Tool: "vendor", Format: "cyclonedx", Complete: true}); err != nil {
				return err
			}
			for _, s := range statements {
				if err := sink.Statement(s); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	states := func() string {
		var list []string
		for _, f := range load(t, db) {
			list = append(list, f.Package.Name+"="+f.Analysis.State)
		}
		slices.Sort(list)
		return fmt.Sprint(list)
	}
	harmless := fact.Statement{Advisory: "CVE-2026-1", Products: []string{"pkg:npm/a@1"}, Analysis: fact.Analysis{State: fact.AnalysisNotAffected, Justification: "code_not_reachable"}}
	vex(1, harmless)
	if got := states(); got != "[a=not_affected b=]" {
		t.Error(got)
	}
	accepted := fact.Statement{Advisory: "CVE-2026-1", Analysis: fact.Analysis{State: fact.AnalysisAcceptedRisk}}
	vex(2, harmless, accepted)
	if got := states(); got != "[a=accepted_risk b=accepted_risk]" {
		t.Error(got)
	}
	other := harmless
	other.Products = []string{"pkg:npm/a@2", "pkg:npm/c"}
	vex(3, other)
	if got := states(); got != "[a= b=]" {
		t.Error(got)
	}
	other.Products = []string{"pkg:npm/b"}
	vex(4, other)
	if got := states(); got != "[a= b=not_affected]" {
		t.Error(got)
	}
}

func TestClassesJoinButNeverTwoCVEs(t *testing.T) {
	t.Parallel()
	db := database(t)
	f := func(rule string, aliases ...string) fact.Finding {
		v := vulnerability(rule, "a", "1", rule)
		v.Aliases = aliases
		return v
	}
	result := feed(t, db, at(0), trivy, f("GHSA-1", "CVE-2026-1"), f("GO-1", "CVE-2026-1"), f("PYSEC-1"), f("PYSEC-2", "GHSA-2"),
		f("SNYK-1", "CVE-2026-8", "CVE-2026-9"), f("RHSA-1:1", "CVE-2026-1", "CVE-2026-8"), f("GHSA-3", "CVE-2026-3"))
	if len(result.Problems) != 0 {
		t.Errorf("problems %q", result.Problems)
	}
	feed(t, db, at(1), fact.Run{Tool: "late", Complete: true}, f("PYSEC-2", "CVE-2026-1"))
	result = feed(t, db, at(2), fact.Run{Tool: "liar", Complete: true}, f("GHSA-3", "CVE-2026-1"))
	if len(result.Problems) != 1 {
		t.Errorf("problems %q, want the refused join", result.Problems)
	}
	classes := map[string][]string{}
	for _, found := range load(t, db) {
		classes[found.Rule] = found.Class
	}
	joined := []string{"CVE-2026-1", "GHSA-1", "GHSA-2", "GO-1", "PYSEC-2"}
	want := map[string][]string{
		"GHSA-1": joined, "GO-1": joined, "PYSEC-2": joined, "PYSEC-1": {"PYSEC-1"}, "SNYK-1": {"SNYK-1"}, "RHSA-1:1": {"RHSA-1:1"},
		"GHSA-3": {"CVE-2026-3", "GHSA-3"},
	}
	if diff := cmp.Diff(want, classes); diff != "" {
		t.Error(diff)
	}
}

type scanner struct {
	findings []fact.Finding
	problems []scan.Problem
}

func (s scanner) Describe() scan.Description {
	return scan.Description{ID: "scan/test", Rules: "sha256:0"}
}

func (s scanner) Scan(_ context.Context, _ code.Tree, found func(fact.Finding) error) ([]scan.Problem, error) {
	for _, f := range s.findings {
		if err := found(f); err != nil {
			return nil, err
		}
	}
	return s.problems, nil
}

func TestOurOwnScansFollowTheSameRules(t *testing.T) {
	t.Parallel()
	db := database(t)
	f := vulnerability("CVE-2026-1", "a", "1", "p")
	for day, step := range []struct {
		scanner scanner
		want    counts
	}{
		{scanner{findings: []fact.Finding{f}}, counts{New: 1}},
		{scanner{findings: []fact.Finding{f}}, counts{Unchanged: 1}},
		{scanner{problems: []scan.Problem{{Path: "p", Line: 3, Text: "no lock"}}}, counts{}},
		{scanner{}, counts{Unconfirmed: 1}},
	} {
		result, err := intake.Scan(t.Context(), db, step.scanner, code.Files{}, at(day))
		if err != nil {
			t.Fatal(err)
		}
		if got := countsOf(result); got != step.want {
			t.Errorf("day %d: %+v, want %+v", day, got, step.want)
		}
		if len(step.scanner.problems) > 0 && (result.Complete || !slices.Equal(result.Problems, []string{"p:3: no lock"})) {
			t.Errorf("day %d: complete %v, problems %q", day, result.Complete, result.Problems)
		}
	}
}

// model is what a store of findings must hold, by the laws alone: how many
// findings of each identity are open.
type model map[string]map[string]bool

func TestLaws1And2HoldForAnySequenceOfRuns(t *testing.T) {
	t.Parallel()
	seed := uint64(20260504)
	for round := range 12 {
		random := rand.New(rand.NewPCG(seed, uint64(round)))
		db := database(t)
		tools := []fact.Run{{Tool: "a", Complete: true}, {Tool: "b", Complete: true}}
		state := model{"a": {}, "b": {}}
		for step := range 12 {
			run := tools[random.IntN(2)]
			run.Complete = random.IntN(4) > 0
			var end error
			if random.IntN(5) == 0 {
				end = &report.Error{Offset: -1}
			}
			var findings []fact.Finding
			seen := map[string]bool{}
			shift := random.IntN(50)
			for i := range 8 {
				if random.IntN(3) == 0 {
					continue
				}
				f := vulnerability(fmt.Sprint("CVE-2026-", i%5), fmt.Sprint("p", i), fmt.Sprint("1.", random.IntN(2)), "lock")
				f.Line = 10*i + shift
				findings = append(findings, f)
				seen[f.Package.Name] = true
			}
			random.Shuffle(len(findings), func(i, j int) { findings[i], findings[j] = findings[j], findings[i] })
			for again := range 2 {
				result, err := give(t.Context(), db, at(2*step+again), run, end, findings...)
				if !errors.Is(err, end) {
					t.Fatal(err)
				}
				if again == 1 && result.Written() != 0 {
					t.Fatalf("seed %d round %d step %d: the same report wrote %d rows again (law 1)", seed, round, step, result.Written())
				}
			}
			for name := range seen {
				state[run.Tool][name] = true
			}
			if run.Complete && end == nil {
				for name := range state[run.Tool] {
					state[run.Tool][name] = seen[name]
				}
			}
			stored := model{"a": {}, "b": {}}
			for _, f := range load(t, db) {
				if _, twice := stored[f.Tool][f.Package.Name]; twice {
					t.Fatalf("seed %d round %d step %d: %s is there twice", seed, round, step, f.Package.Name)
				}
				stored[f.Tool][f.Package.Name] = f.State == issue.FindingOpen
			}
			if diff := cmp.Diff(state, stored); diff != "" {
				t.Fatalf("seed %d round %d step %d: open findings differ from the laws:\n%s", seed, round, step, diff)
			}
		}
	}
}

func TestLaw4TheSameImportsGiveTheSameFindings(t *testing.T) {
	t.Parallel()
	var first []issue.StoredFinding
	for i := range 2 {
		db := database(t)
		for day := range 3 {
			var findings []fact.Finding
			for n := range 40 {
				f := vulnerability(fmt.Sprint("CVE-2026-", n%7), fmt.Sprint("p", n%9), fmt.Sprint(n%3), "lock")
				f.Asset = fact.Asset{Kind: fact.AssetImage, Key: fmt.Sprint("image", n%4)}
				f.Aliases = []string{fmt.Sprint("GHSA-", n%7)}
				f.Line = n + day
				findings = append(findings, f)
			}
			feed(t, db, at(day), trivy, findings...)
		}
		if got := load(t, db); i == 0 {
			first = got
		} else if diff := cmp.Diff(first, got); diff != "" {
			t.Error(diff)
		}
	}
}

func TestNastyFactsAreStoredOnce(t *testing.T) {
	t.Parallel()
	db := database(t)
	nasty := []fact.Finding{
		{},
		{Rule: "\x00\xff\xfe", Path: "../../etc/passwd", Title: "\u202e", Anchor: "\x00"},
		{Rule: "'; DROP TABLE finding; --", Kind: "made up", Severity: 99, Score: math.NaN(), EPSS: math.Inf(1), Line: -5, EndLine: math.MaxInt},
		{Rule: "CVE-2026-1", Aliases: []string{"", " ", "CVE-2026-1", strings.Repeat("GHSA-", 1000)}, Description: strings.Repeat("x", 1<<20), CWE: []int{-1}},
		{Rule: "a", Attributes: map[string]string{"": "", "\xff": "\xff"}, Introduced: []string{""}, FixedVersions: []string{"\xff"}, Package: fact.Package{PURL: "pkg:"}},
		{Rule: "b", Position: fact.Position{Offset: -1, Length: -1}, Analysis: fact.Analysis{State: "\xff"}},
	}
	first := feed(t, db, at(0), trivy, nasty...)
	if got := countsOf(first); got != (counts{New: len(nasty)}) {
		t.Errorf("%+v", got)
	}
	if got := countsOf(feed(t, db, at(1), trivy, nasty...)); got != (counts{Unchanged: len(nasty)}) {
		t.Errorf("again: %+v", got)
	}
	for _, f := range load(t, db) {
		if f.Line < 0 || f.Severity > fact.SeverityCritical || math.IsNaN(f.Score) || math.IsInf(f.EPSS, 0) {
			t.Errorf("%q came back as %+v", f.Rule, f.Finding)
		}
	}
	if got := issue.Group(load(t, db), issue.Context{}); len(got) != len(nasty) {
		t.Errorf("%d issues, want %d", len(got), len(nasty))
	}
}

func TestOneFileOfTwoScannedFoldersIsTwoFindings(t *testing.T) {
	t.Parallel()
	db := database(t)
	in := func(folder, path string) fact.Finding {
		f := vulnerability("CVE-2026-1", "a", "1.0.0", path)
		if folder != "" {
			f.Attributes = map[string]string{"scanned": folder}
		}
		return f
	}
	run := func(target string) fact.Run {
		return fact.Run{Tool: "trivy", Format: "trivy", Target: target, Complete: true}
	}
	feed(t, db, at(0), run("web"), in("web", "package-lock.json"))
	second := feed(t, db, at(0), run("api"), in("api", "/package-lock.json"))
	if second.Runs[0].New != 1 {
		t.Errorf("the second folder brought %d new findings, want 1", second.Runs[0].New)
	}
	// The same file by a scan of the whole repository, or of a folder beside it.
	whole := feed(t, db, at(1), run("."), in("", "web/package-lock.json"), in("api/live", "../package-lock.json"))
	if whole.Runs[0].New != 0 || whole.Runs[0].Seen != 2 {
		t.Errorf("the whole repository brought %d new findings of %d, want none of 2", whole.Runs[0].New, whole.Runs[0].Seen)
	}
}
