package owner

import (
	"math"
	"math/rand/v2"
	"testing"
)

// ask makes examples whose author is drawn by the probabilities of a model.
func ask(random *rand.Rand, truth model, n int) []*example {
	var list []*example
	for range n {
		e := &example{}
		total := 0.0
		var odds []float64
		for range 6 {
			var f model
			for k := range f {
				f[k] = random.Float64()
			}
			e.features = append(e.features, f)
			odds = append(odds, math.Exp(f.dot(&truth)))
			total += odds[len(odds)-1]
		}
		at := random.Float64() * total
		for at > odds[e.who] && e.who < len(odds)-1 {
			at -= odds[e.who]
			e.who++
		}
		list = append(list, e)
	}
	return list
}

func likelihood(m model, examples []*example) float64 {
	sum := 0.0
	for _, e := range examples {
		total := 0.0
		for i := range e.features {
			total += math.Exp(e.features[i].dot(&m))
		}
		sum += e.features[e.who].dot(&m) - math.Log(total)
	}
	return sum / float64(len(examples))
}

func TestLearningExplainsCommitsItHasNotSeenBetter(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(9, 9))
	truth := general()
	truth[fileLast], truth[latest], truth[lines] = 4, 0, 3
	learnedFrom, unseen := ask(random, truth, 400), ask(random, truth, 2000)
	got := fit(learnedFrom, general())
	for k, w := range got {
		if w < 0 || math.IsNaN(w) {
			t.Errorf("weight %d is %v", k, w)
		}
	}
	if before, after, best := likelihood(general(), unseen), likelihood(got, unseen), likelihood(truth, unseen); after < before+(best-before)/3 {
		t.Errorf("log likelihood %.3f before, %.3f after learning, %.3f at best", before, after, best)
	}
	if again := fit(learnedFrom, general()); again != got {
		t.Error("the same examples gave another model")
	}
}

func TestConfidenceKeepsTheOrderAndSumsToOne(t *testing.T) {
	t.Parallel()
	last := 0.0
	for first := 0.02; first <= 1; first += 0.01 {
		all := []candidate{{confidence: first}, {confidence: (1 - first) * .6}, {confidence: (1 - first) * .4}}
		if all[1].confidence > first {
			continue
		}
		calibrate(all)
		sum := 0.0
		for i, c := range all {
			sum += c.confidence
			if c.confidence < 0 || i > 0 && c.confidence > all[i-1].confidence+1e-9 {
				t.Errorf("%.2f becomes %+v", first, all)
			}
		}
		if all[0].confidence < last || sum > 1+1e-9 {
			t.Errorf("%.2f becomes %.3f after %.3f, sum %.3f", first, all[0].confidence, last, sum)
		}
		last = all[0].confidence
	}
	calibrate(nil)
}
