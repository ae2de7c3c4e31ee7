package fix_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// drawPath makes a path of what chance says.
func drawPath(r *rand.Rand, id int) fix.Path {
	pick := func(words ...string) string { return words[r.IntN(len(words))] }
	ids := func(prefix string, most int) (list []string) {
		for i := range r.IntN(most + 1) {
			list = append(list, fmt.Sprint(prefix, i))
		}
		return list
	}
	p := fix.Path{
		ID:     fmt.Sprintf("path-%02d", id),
		Kind:   pick(fix.RaiseLocked, fix.RaiseDirect, fix.Override, fix.ChangeBase, fix.EditValue, fix.Stopgap, fix.PatchLayer, fix.Rotate, fix.Accept, "another"),
		Effort: pick(fix.EffortSmall, fix.EffortMedium, fix.EffortLarge, ""),
		Risk:   pick(fix.RiskPatch, fix.RiskMinor, fix.RiskMajor, fix.RiskUnknown, ""),
		Closes: ids("i", 3), Residual: ids("r", 1), Brings: ids("b", 1),
		Temporary: r.IntN(4) == 0, Manual: r.IntN(4) == 0,
		Recommended: r.IntN(2) == 0, Reason: pick("", "of another comparison"),
	}
	if r.IntN(3) == 0 {
		p.Breaking = &fix.Breaking{Verdict: pick(fix.BreaksNothing, fix.BreaksUnused, fix.BreaksUsed, fix.BreaksUnknown)}
	}
	if r.IntN(3) == 0 {
		p.History = &fix.History{RevertedLately: r.IntN(2) == 0, Text: "2 bumps"}
	}
	if r.IntN(3) == 0 {
		p.Verification = &fact.Verification{Status: pick(fact.VerificationProven, fact.VerificationFailed, fact.VerificationUnchecked)}
	}
	return p
}

// lasting says that a path closes what it closes for good and without people.
func lasting(p fix.Path) bool {
	return !p.Manual && !slices.Contains([]string{fix.Stopgap, fix.PatchLayer, fix.Accept}, p.Kind) && (p.Verification == nil || p.Verification.Status != fact.VerificationFailed)
}

func TestComparisonDoesNotDependOnTheOrderOfPaths(t *testing.T) {
	t.Parallel()
	for seed := range uint64(400) {
		r := rand.New(rand.NewPCG(seed, 5))
		var paths []fix.Path
		for i := range 1 + r.IntN(9) {
			paths = append(paths, drawPath(r, r.IntN(i+1))) // some share an id
		}
		before, err := json.Marshal(paths)
		if err != nil {
			t.Fatal(err)
		}
		first, err := json.Marshal(fix.Compare(paths))
		if err != nil {
			t.Fatal(err)
		}
		if after, _ := json.Marshal(paths); string(after) != string(before) {
			t.Fatalf("seed %d: Compare changed its argument", seed)
		}
		for range 4 {
			r.Shuffle(len(paths), func(i, j int) { paths[i], paths[j] = paths[j], paths[i] })
			// What an earlier comparison said plays no part.
			for i := range paths {
				paths[i].Recommended, paths[i].Reason = r.IntN(2) == 0, fmt.Sprint(r.IntN(3))
			}
			if again, _ := json.Marshal(fix.Compare(paths)); string(again) != string(first) {
				t.Fatalf("seed %d: shuffled paths compare otherwise:\n%s\n%s", seed, first, again)
			}
		}
	}
}

func TestNothingThatDoesNotLastBeatsALastingPathThatClosesAsMuch(t *testing.T) {
	t.Parallel()
	met := 0
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 7))
		var paths []fix.Path
		for i := range 2 + r.IntN(6) {
			paths = append(paths, drawPath(r, i))
		}
		compared := fix.Compare(paths)
		for i, p := range compared {
			if lasting(p) {
				continue
			}
			for _, q := range compared[i+1:] {
				if lasting(q) && len(q.Closes) >= len(p.Closes) {
					t.Fatalf("seed %d: %s (%s, manual %t, closes %d) stands before %s (%s, closes %d)", seed, p.ID, p.Kind, p.Manual, len(p.Closes), q.ID, q.Kind, len(q.Closes))
				}
			}
			met++
		}
	}
	if met == 0 {
		t.Error("no case had a path that does not last")
	}
}

func TestEveryPathThatIsNotRecommendedSaysWhy(t *testing.T) {
	t.Parallel()
	for seed := range uint64(2000) {
		r := rand.New(rand.NewPCG(seed, 9))
		var paths []fix.Path
		for i := range 2 + r.IntN(6) {
			paths = append(paths, drawPath(r, i))
		}
		for i, p := range fix.Compare(paths) {
			if p.Recommended != (i == 0 && p.Kind != fix.Accept) || strings.TrimSpace(p.Reason) == "" || p.Reason == "of another comparison" {
				t.Fatalf("seed %d: path %d: recommended %t, because %q", seed, i, p.Recommended, p.Reason)
			}
		}
	}
}

func TestEvidenceDecidesBetweenPathsThatCloseAsMuch(t *testing.T) {
	t.Parallel()
	base := fix.Path{ID: "b", Kind: fix.RaiseDirect, Effort: fix.EffortSmall, Risk: fix.RiskMinor, Closes: []string{"i"}}
	with := func(change func(p *fix.Path)) fix.Path {
		p := base
		change(&p)
		return p
	}
	proven := func(tests string) *fact.Verification {
		return &fact.Verification{Status: fact.VerificationProven, Checks: []fact.Check{{Name: "tests", Status: tests}}}
	}
	breaks := func(verdict string, uses ...fix.Use) *fix.Breaking {
		return &fix.Breaking{Verdict: verdict, Uses: uses}
	}
	for _, test := range []struct {
		name          string
		winner, loser fix.Path
		reason        string
	}{
		{
			"a proof with tests that pass outweighs a smaller step",
			with(func(p *fix.Path) { p.Verification, p.Risk = proven(fact.CheckPass), fix.RiskMajor }),
			with(func(p *fix.Path) { p.ID, p.Risk, p.Verification = "a", fix.RiskPatch, proven(fact.CheckSkip) }),
			"the recommended path is proven and its tests pass",
		},
		{
			"what failed its proof is last, whatever it promised",
			with(func(p *fix.Path) { p.Residual = []string{"r"} }),
			with(func(p *fix.Path) { p.ID, p.Verification = "a", &fact.Verification{Status: fact.VerificationFailed} }),
			"its proof failed",
		},
		{
			"a major step is better than one that takes away what is used",
			with(func(p *fix.Path) { p.Risk = fix.RiskMajor }),
			with(func(p *fix.Path) {
				p.ID, p.Breaking = "a", breaks(fix.BreaksUsed, fix.Use{Symbol: "p.F", Location: fact.Location{Path: "m.go", Line: 3}}, fix.Use{Symbol: "p.G"})
			}),
			"breaks what is used here: p.F (m.go:3) and 1 more",
		},
		{
			"a long step of which nothing used changes counts as a short one",
			with(func(p *fix.Path) { p.Risk, p.Breaking = fix.RiskMajor, breaks(fix.BreaksUnused) }),
			with(func(p *fix.Path) { p.ID, p.Risk = "a", fix.RiskMajor }),
			`a step of risk "major" where "major" will do; of the recommended path it is known that nothing used here changes`,
		},
		{
			"a change that was taken back lately is put behind",
			with(func(p *fix.Path) { p.Risk = fix.RiskMajor }),
			with(func(p *fix.Path) {
				p.ID, p.History = "a", &fix.History{RevertedLately: true, Text: "3 bumps of p, 1 reverted"}
			}),
			"such a change was taken back lately: 3 bumps of p, 1 reverted",
		},
		{
			"a stopgap leaves nothing and still does not win",
			with(func(p *fix.Path) { p.Brings, p.Risk = []string{"n"}, fix.RiskMajor }),
			with(func(p *fix.Path) { p.ID, p.Kind, p.Expires = "a", fix.Stopgap, 24 }),
			"a stopgap: it ends after 24 hours, and the cause stays",
		},
		{
			"an exception does not win against work of people",
			with(func(p *fix.Path) { p.Kind, p.Manual, p.Risk = fix.Rotate, true, fix.RiskUnknown }),
			with(func(p *fix.Path) { p.ID, p.Kind = "a", fix.Accept }),
			"an exception accepts the risk and closes nothing for good",
		},
		{
			"what is unknown is neither for nor against",
			base,
			with(func(p *fix.Path) { p.ID, p.Breaking = "c", breaks(fix.BreaksUnknown) }),
			"equal to the recommended path; listed after it by name",
		},
		{
			"of equal paths the faster one is taken",
			with(func(p *fix.Path) { p.Live = fix.NewLive(fix.Stage{Name: "review", Known: true, Takes: 5 * 3600e6}) }),
			with(func(p *fix.Path) {
				p.ID, p.Live = "a", fix.NewLive(fix.Stage{Name: "review", Known: true, Takes: 72 * 3600e6})
			}),
			"takes longer here until it runs: 3 days where 5 hours will do",
		},
	} {
		got := fix.Compare([]fix.Path{test.loser, test.winner})
		if got[0].ID != test.winner.ID || got[1].Reason != test.reason {
			t.Errorf("%s: recommended %s; the other: %q, expected %q", test.name, got[0].ID, got[1].Reason, test.reason)
		}
	}
}

func TestAStopgapIsTakenWhereNothingElseClosesAsMuch(t *testing.T) {
	t.Parallel()
	got := fix.Compare([]fix.Path{
		{ID: "durable", Kind: fix.EditValue, Effort: fix.EffortSmall, Risk: fix.RiskPatch, Closes: []string{"i"}, Residual: []string{"r"}},
		{ID: "stopgap", Kind: fix.Stopgap, Effort: fix.EffortSmall, Risk: fix.RiskPatch, Closes: []string{"i", "j"}},
	})
	if got[0].ID != "stopgap" || !strings.Contains(got[0].Reason, "a stopgap: the next build or deploy undoes it") {
		t.Errorf("recommended %s because %q, expected the stopgap, called one", got[0].ID, got[0].Reason)
	}
}

func TestReachabilityLowersARiskAndNeverThatOfAnExploitedFlaw(t *testing.T) {
	t.Parallel()
	var nobody *fix.Reachability
	last := 1.0
	for _, r := range []*fix.Reachability{nobody, {Verdict: fix.ReachUnknown}, {Verdict: fix.ReachesSymbol}, {Verdict: fix.ReachesPackage}, {Verdict: fix.ReachesModule}} {
		weight := r.Weight(false)
		if weight <= 0 || weight > last {
			t.Errorf("%+v weighs %v, expected above 0 and at most %v", r, weight, last)
		}
		if r.Weight(true) != 1 {
			t.Errorf("%+v lowers the risk of an exploited flaw", r)
		}
		last = weight
	}
	if (&fix.Reachability{Verdict: fix.ReachUnknown}).Weight(false) != 1 || last == 1 {
		t.Error("unknown is to be neutral, and what is only required is to be lower")
	}
}

// An exception is the decision of a person. It is listed, and never what we advise.
func TestAnExceptionIsNeverRecommended(t *testing.T) {
	t.Parallel()
	accept := fix.Path{ID: "accept", Kind: fix.Accept, Closes: []string{"i"}, Manual: true, Expires: 24}
	wrong := fix.Path{ID: "wrong", Kind: fix.EditValue, Closes: []string{"i"}, Verification: &fact.Verification{Status: fact.VerificationFailed}}
	for _, paths := range [][]fix.Path{{accept}, {wrong, accept}, {accept, wrong}} {
		for _, p := range fix.Compare(paths) {
			if p.Recommended || p.Reason == "" {
				t.Errorf("of %d paths, %s: recommended %t, because %q", len(paths), p.ID, p.Recommended, p.Reason)
			}
		}
	}
	byHand := fix.Path{ID: "hand", Kind: fix.EditSource, Manual: true, Closes: []string{"i"}}
	if got := fix.Compare([]fix.Path{accept, byHand}); got[0].ID != "hand" || !got[0].Recommended || got[1].Recommended {
		t.Errorf("an exception stands before what mends: %+v", got)
	}
}
