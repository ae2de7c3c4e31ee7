package owner

import (
	"context"
	"math"
	"slices"
	"sync"
	"time"
)

// Weights are learned twice. The general ones (weights) were fitted on fix commits
// of several repositories. In each repository its own past commits are examples
// too: who changed these lines next. From the general weights on, those that
// explain the last commits better are found by maximum likelihood, held near the
// general ones, so that a repository with few commits keeps these.
const (
	maxExamples  = 400  // last commits that are learned from
	minExamples  = 30   // below, the general weights hold
	blockSize    = 32   // weights are learned again after as many commits
	exampleFiles = 12   // commits that touch more files are no examples
	pull         = 0.01 // how strongly the general weights hold
	descents     = 30   // steps of the search
)

// parameters are the weights of the signals, then those of being awake and of
// being named in CODEOWNERS.
const (
	awake      = signals
	named      = signals + 1
	parameters = signals + 2
)

type model [parameters]float64

// general is the model that holds everywhere.
func general() model {
	var m model
	copy(m[:], weights[:])
	m[awake], m[named] = -idleWeight, codeOwnerLift
	return m
}

// example is one past commit: the features of every human then, and who made it.
type example struct {
	features []model
	who      int
	at       int64 // when it was committed
}

// learner keeps the examples of an index and what was learned from them.
type learner struct {
	mu       sync.Mutex
	eligible []int32 // entries that may be examples, oldest first
	examples map[int32]*example
	models   map[[2]int32]model // by the first and last example
}

func (x *Index) newLearner() *learner {
	l := &learner{examples: map[int32]*example{}, models: map[[2]int32]model{}}
	for i := range x.history.Len() {
		l.consider(x, int32(i))
	}
	return l
}

// consider takes an entry among those that may be examples, when it is fit for one.
func (l *learner) consider(x *Index, i int32) {
	e := x.history.Entry(i)
	if len(e.Parents) != 1 || e.Parents[0] < 0 || e.Bulk || x.machine[i] || len(e.Touches) > exampleFiles {
		return
	}
	for t := range e.Touches {
		for _, h := range e.Touches[t].Hunks {
			if h.OldCount > 0 && !h.Format {
				l.eligible = append(l.eligible, i)
				return
			}
		}
	}
}

// learned gives the model for a resolver: from the last examples that it sees, in
// whole blocks, so that the same history gives the same model.
func (r *Resolver) learned(ctx context.Context) (model, error) {
	l := r.index.learner
	l.mu.Lock()
	defer l.mu.Unlock()
	var seen []int32
	total := 0
	for _, i := range l.eligible {
		if r.view.Sees(i) && r.index.history.Entry(i).Committed < r.now {
			total++
			seen = append(seen, i)
		}
	}
	seen = seen[:total/blockSize*blockSize]
	if len(seen) > maxExamples {
		seen = seen[len(seen)-maxExamples:]
	}
	if len(seen) < minExamples {
		return general(), nil
	}
	key := [2]int32{seen[0], seen[len(seen)-1]}
	if m, ok := l.models[key]; ok {
		return m, nil
	}
	var list []*example
	for _, i := range seen {
		e, ok := l.examples[i]
		if !ok {
			var err error
			if e, err = r.index.example(ctx, i); err != nil {
				return model{}, err
			}
			l.examples[i] = e
		}
		if e != nil {
			list = append(list, e)
		}
	}
	m := general()
	if len(list) >= minExamples {
		m = fit(list, m)
	}
	l.models[key] = m
	return m, nil
}

// example measures a commit as of its parent; nil when its author is no human that
// the history knew then.
func (x *Index) example(ctx context.Context, i int32) (*example, error) {
	e := x.history.Entry(i)
	parent := x.history.Entry(e.Parents[0])
	r, err := x.at(ctx, parent.ID, time.Unix(e.Committed, 0))
	if err != nil {
		return nil, err
	}
	var files []File
	for t := range e.Touches {
		touch := &e.Touches[t]
		name := touch.Path
		if touch.Old >= 0 {
			name = touch.Old
		}
		f := File{Path: x.history.Path(name)}
		for _, h := range touch.Hunks {
			if h.OldCount > 0 && !h.Format {
				f.Lines = append(f.Lines, [2]int{int(h.OldStart), int(h.OldStart + h.OldCount - 1)})
			}
		}
		if len(f.Lines) > 0 {
			files = append(files, f)
		}
	}
	who := r.people.human(e)
	if who < 0 || len(files) == 0 {
		return nil, nil
	}
	claims, _ := r.claims(files)
	features, people := r.features(r.measure(files), claims)
	at := slices.Index(people, who)
	if at < 0 || len(people) < 2 {
		return nil, nil
	}
	return &example{features: features, who: at, at: e.Committed}, nil
}

// fit finds the weights that explain the examples best, none below 0, near those
// that it starts from.
func fit(examples []*example, from model) model {
	return descend(examples, from, descents, func(int) bool { return true })
}

// descend searches in a number of steps; free says which weights may move.
func descend(examples []*example, from model, steps int, free func(k int) bool) model {
	loss := func(m *model, gradient *model) float64 {
		sum := 0.0
		*gradient = model{}
		var utilities []float64
		for _, e := range examples {
			utilities = utilities[:0]
			best := math.Inf(-1)
			for i := range e.features {
				u := e.features[i].dot(m)
				utilities = append(utilities, u)
				best = max(best, u)
			}
			total := 0.0
			for i, u := range utilities {
				utilities[i] = math.Exp(u - best)
				total += utilities[i]
			}
			sum -= math.Log(utilities[e.who]/total + 1e-12)
			for i := range e.features {
				p := utilities[i] / total
				if i == e.who {
					p--
				}
				if p > 1e-9 || p < -1e-9 {
					for k := range gradient {
						gradient[k] += p * e.features[i][k]
					}
				}
			}
		}
		n := float64(len(examples))
		sum /= n
		for k := range gradient {
			d := m[k] - from[k]
			if gradient[k] = gradient[k]/n + 2*pull*d; !free(k) {
				gradient[k] = 0
			}
			sum += pull * d * d
		}
		return sum
	}
	current := from
	var gradient, next, nextGradient model
	value := loss(&current, &gradient)
	step := 1.0
	for range steps {
		improved := false
		for range 20 {
			moved := 0.0
			for k := range next {
				next[k] = max(0, current[k]-step*gradient[k])
				moved += (next[k] - current[k]) * (next[k] - current[k])
			}
			nextValue := loss(&next, &nextGradient)
			if nextValue <= value-moved/(4*step) {
				improved = value-nextValue > 1e-6
				// The next step's length from how the gradient changed (Barzilai and Borwein).
				along, across := 0.0, 0.0
				for k := range next {
					d, g := next[k]-current[k], nextGradient[k]-gradient[k]
					along += d * d
					across += d * g
				}
				current, gradient, value = next, nextGradient, nextValue
				step = 1
				if across > 1e-12 {
					step = min(100, max(1e-3, along/across))
				}
				break
			}
			step /= 2
		}
		if !improved {
			break
		}
	}
	return current
}

func (m *model) dot(other *model) float64 {
	sum := 0.0
	for k := range m {
		sum += m[k] * other[k]
	}
	return sum
}
