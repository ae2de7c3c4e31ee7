package fix_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/backstitch/backstitch/fix"
)

// tally sums what chosen options close and cost, and says whether two share a site.
func tally(options []fix.Option, risk []float64, chosen []int) (closed, effort float64, clash bool) {
	seen, sites := map[int]bool{}, map[string]bool{}
	for _, o := range chosen {
		effort += options[o].Effort
		if site := options[o].Site; site != "" {
			clash = clash || sites[site]
			sites[site] = true
		}
		for _, issue := range options[o].Closes {
			if !seen[issue] {
				seen[issue] = true
				closed += risk[issue]
			}
		}
	}
	return closed, effort, clash
}

// optimum looks at every choice.
func optimum(options []fix.Option, risk []float64) (closed, effort float64) {
	for choice := range 1 << len(options) {
		var chosen []int
		for i := range options {
			if choice&(1<<i) != 0 {
				chosen = append(chosen, i)
			}
		}
		c, e, clash := tally(options, risk, chosen)
		if !clash && (c > closed+1e-9 || c > closed-1e-9 && e < effort-1e-9) {
			closed, effort = c, e
		}
	}
	return closed, effort
}

// estate makes options that overlap as those of images, modules and packages do.
func estate(random *rand.Rand, options, issues int) ([]fix.Option, []float64) {
	risk := make([]float64, issues)
	for i := range risk {
		risk[i] = float64(1 + random.IntN(100))
	}
	list := make([]fix.Option, options)
	for i := range list {
		list[i].Effort = float64([]int{1, 1, 3, 8}[random.IntN(4)])
		if random.IntN(3) == 0 {
			list[i].Site = fmt.Sprint(random.IntN(max(1, options/3)))
		}
		at := random.IntN(issues)
		for range 1 + random.IntN(1+issues/6) {
			list[i].Closes = append(list[i].Closes, (at+random.IntN(1+issues/4))%issues)
		}
	}
	return list, risk
}

func TestASmallSetIsTheOptimum(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 150 {
		options, risk := estate(random, 1+random.IntN(11), 1+random.IntN(25))
		set := fix.Smallest(options, risk)
		closed, effort, clash := tally(options, risk, set.Chosen)
		wantClosed, wantEffort := optimum(options, risk)
		if clash || !set.Exact || closed < wantClosed-1e-9 || effort > wantEffort+1e-9 {
			t.Fatalf("case %d: closes %v for %v (sites clash: %t), the optimum closes %v for %v", n, closed, effort, clash, wantClosed, wantEffort)
		}
		if last := len(set.Curve) - 1; last >= 0 && (set.Curve[last].Effort != set.Effort || set.Curve[last].Risk < closed-1e-6) {
			t.Fatalf("case %d: the curve ends at %+v, the set closes %v for %v", n, set.Curve[last], closed, set.Effort)
		}
	}
}

// Larger parts whose optimum is known, because it was hidden in them: disjoint options
// that close everything, among cheaper-looking ones that each close a part of several.
func TestALargerSetIsNearTheOptimum(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	found, hidden := 0.0, 0.0
	for range 20 {
		const issues, blocks = 240, 24
		risk := make([]float64, issues)
		for i := range risk {
			risk[i] = 1
		}
		var options []fix.Option
		for b := range blocks {
			o := fix.Option{Effort: 1}
			for i := range issues / blocks {
				o.Closes = append(o.Closes, b*issues/blocks+i)
			}
			options = append(options, o)
		}
		for range 60 {
			o := fix.Option{Effort: 1}
			at := random.IntN(issues)
			for range 4 + random.IntN(5) {
				o.Closes = append(o.Closes, (at+random.IntN(30))%issues)
			}
			options = append(options, o)
		}
		set := fix.Smallest(options, risk)
		closed, effort, _ := tally(options, risk, set.Chosen)
		if closed != issues {
			t.Fatalf("%v of %d are closed", closed, issues)
		}
		found, hidden = found+effort, hidden+blocks
	}
	if found > 1.02*hidden {
		t.Errorf("effort %v, where %v is enough: more than 2 %% above", found, hidden)
	}
}

func TestTheSameInputGivesTheSameSetAndTheCurveFalls(t *testing.T) {
	t.Parallel()
	options, risk := estate(rand.New(rand.NewPCG(5, 6)), 300, 800)
	first, second := fix.Smallest(options, risk), fix.Smallest(options, risk)
	if !slices.Equal(first.Chosen, second.Chosen) || first.Exact {
		t.Error("the same input gives another set, or a large one is called exact")
	}
	before, rate := fix.Point{}, 1e18
	for _, p := range first.Curve {
		now := (p.Risk - before.Risk) / (p.Effort - before.Effort)
		if now > rate+1e-6 {
			t.Fatalf("the curve rises from %v to %v at %+v", rate, now, p)
		}
		before, rate = p, now
	}
	if empty := fix.Smallest(nil, nil); len(empty.Chosen) != 0 || !empty.Exact {
		t.Errorf("of nothing: %+v", empty)
	}
}

func TestNoChosenOptionIsNeedless(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(5, 8))
	for n := range 600 {
		options, risk := estate(random, 20+random.IntN(80), 20+random.IntN(80))
		for i := range options {
			options[i].Closes = options[i].Closes[:min(len(options[i].Closes), 1+random.IntN(5))]
		}
		set := fix.Smallest(options, risk)
		for i, o := range set.Chosen {
			others := slices.Delete(slices.Clone(set.Chosen), i, i+1)
			all, _, _ := tally(options, risk, set.Chosen)
			if without, _, _ := tally(options, risk, others); without > all-1e-9 {
				t.Fatalf("case %d: option %d of %d closes nothing that the others leave", n, o, len(set.Chosen))
			}
		}
	}
}
