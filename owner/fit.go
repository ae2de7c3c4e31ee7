package owner

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Case is a question whose answer is known: lines that somebody changed next. Weights
// are fitted and judged on cases.
type Case struct{ example }

// Case measures who might change files of a commit next, as an Index knows it, when
// the person named truth did. The files hold the lines that were changed.
func (x *Index) Case(ctx context.Context, commit string, at time.Time, files []File, truth string) (*Case, error) {
	r, err := x.at(ctx, commit, at)
	if err != nil {
		return nil, err
	}
	files = slices.Clone(files)
	slices.SortStableFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	claims, _ := r.claims(files)
	features, people := r.features(r.measure(files), claims)
	c := &Case{example{features: features, who: -1, at: at.Unix()}}
	for i, who := range people {
		if r.people.list[who].name == truth {
			c.who = i
		}
	}
	return c, nil
}

// Fitted are weights of the signals.
type Fitted struct{ m model }

// FittedSignals names what has a weight, in the order of Fitted.Weights.
func FittedSignals() []string {
	return append(slices.Clone(signalNames[:]), "awake", "named")
}

// General are the weights that are compiled in.
func General() Fitted { return Fitted{general()} }

// fitSteps is how many steps a fit takes; it ends when it gains nothing any more.
const fitSteps = 400

// Fit finds the weights by which the answers of cases are likeliest: none below 0,
// with a pull towards 0, so that a signal which says nothing has none. The signal
// numbered without is left out; -1 leaves none out. The lift of who is named in
// CODEOWNERS is a decision and is not fitted.
func Fit(cases []*Case, without int) Fitted {
	var list []*example
	for _, c := range cases {
		if c.who < 0 || len(c.features) < 2 {
			continue
		}
		e := &c.example
		if without >= 0 {
			kept := &example{who: e.who, at: e.at, features: slices.Clone(e.features)}
			for i := range kept.features {
				kept.features[i][without] = 0
			}
			e = kept
		}
		list = append(list, e)
	}
	var from model
	from[named] = codeOwnerLift
	m := descend(list, from, fitSteps, func(k int) bool { return k != named })
	return Fitted{m}
}

// Weights are those of the signals, in the order of FittedSignals.
func (f Fitted) Weights() []float64 { return slices.Clone(f.m[:]) }

// Rank gives the place of the right person among those of a case, from 0; -1 when
// the person was not known.
func (f Fitted) Rank(c *Case) int {
	if c.who < 0 {
		return -1
	}
	rank := 0
	mine := c.features[c.who].dot(&f.m)
	for i := range c.features {
		if i != c.who {
			if u := c.features[i].dot(&f.m); u > mine || u == mine && i < c.who {
				rank++
			}
		}
	}
	return rank
}
