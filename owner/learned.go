package owner

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/backstitch/backstitch/store"
)

// Learned is what people's answers say about kinds of evidence: how often each was
// right, over all and for a kind of assets. It does not change once it is loaded.
type Learned struct {
	counts map[string]count // by kind of evidence
	scoped map[[2]string]count
	firsts [10]count // by tenths of the confidence that the first suggestion had
}

type count struct{ Right, Wrong int }

// Bounds of learning. A kind of evidence is taken to be right in prior of the cases
// with the certainty of as many answers as priorAnswers, so that one answer moves
// its worth by less than half of what makes a lead (Precedence.Lead): one answer
// can never turn a clear owner into another.
const (
	prior        = .8
	priorAnswers = 40
	leastFactor  = .5
	mostFactor   = 1.2
)

// taught is what one answer says about the evidence that there was.
type taught struct {
	Right []string `json:"right,omitempty"`
	Wrong []string `json:"wrong,omitempty"`
	// First is the confidence that the first suggestion had, 0 when there was none or
	// the answer says nothing of it, and Agreed whether the answer names the same.
	First  float64 `json:"first,omitempty"`
	Agreed bool    `json:"agreed,omitempty"`
	// Bulk says that it was one of many accepted at once, which teaches nothing.
	Bulk bool `json:"bulk,omitempty"`
}

// lesson is the name of a kind of evidence: the source, and of tags the rule.
func lesson(source string) string {
	kind, _, _ := strings.Cut(source, ":")
	if kind == SourceTagRule {
		return source
	}
	return kind
}

func newLearned() *Learned {
	return &Learned{counts: map[string]count{}, scoped: map[[2]string]count{}}
}

// loadLearned counts all answers.
func loadLearned(ctx context.Context, tx store.Tx) (*Learned, error) {
	l := newLearned()
	err := tx.Query(ctx, selectTeachings, func(row store.Row) error {
		var t taught
		if err := json.Unmarshal([]byte(row.Text(1)), &t); err != nil {
			return fmt.Errorf("what an answer taught: %w", err)
		}
		l.take(row.Text(0), t)
		return nil
	})
	return l, err
}

// take counts one answer about a subject of a kind.
func (l *Learned) take(scope string, t taught) {
	if t.First > 0 {
		bin := &l.firsts[min(9, int(t.First*10))]
		if t.Agreed {
			bin.Right++
		} else {
			bin.Wrong++
		}
	}
	for _, kind := range t.Right {
		c, s := l.counts[kind], l.scoped[[2]string{kind, scope}]
		c.Right++
		s.Right++
		l.counts[kind], l.scoped[[2]string{kind, scope}] = c, s
	}
	for _, kind := range t.Wrong {
		c, s := l.counts[kind], l.scoped[[2]string{kind, scope}]
		c.Wrong++
		s.Wrong++
		l.counts[kind], l.scoped[[2]string{kind, scope}] = c, s
	}
}

// rate is how often something is right by its counts, near what was believed before.
func (c count) rate(before float64) float64 {
	return (float64(c.Right) + before*priorAnswers) / (float64(c.Right+c.Wrong) + priorAnswers)
}

// factor is what the answers make of a claim's worth: 1 where there are none. An
// inherited claim is judged by what it was made of.
func (l *Learned) factor(c *Claimed, source string) float64 {
	if len(l.counts) == 0 || source == SourceHuman {
		return 1
	}
	key := [2]string{source, c.Subject.Kind}
	if source == SourceTagRule {
		key[0] = c.Source
	}
	value := l.scoped[key].rate(l.counts[key[0]].rate(prior)) / prior
	return min(mostFactor, max(leastFactor, value))
}

// Lessons lists what the answers say about the kinds of evidence of claims, for an
// explanation.
func (l *Learned) Lessons(claims []Claimed) []Lesson {
	list := []Lesson{}
	seen := map[[2]string]bool{}
	for i := range claims {
		c := &claims[i]
		kind := lesson(c.Source)
		key := [2]string{kind, c.Subject.Kind}
		all := l.counts[kind]
		if seen[key] || all == (count{}) {
			continue
		}
		seen[key] = true
		source, _, _ := strings.Cut(c.Source, ":")
		here := l.scoped[key]
		list = append(list, Lesson{Kind: kind, Scope: c.Subject.Kind, Right: all.Right, Wrong: all.Wrong, RightHere: here.Right, WrongHere: here.Wrong, Factor: round(l.factor(c, source))})
	}
	return list
}

// Agreement is how often people's answers named the first suggestion, of those that
// had a confidence from From up to a tenth more.
type Agreement struct {
	From    float64 `json:"from"`
	Answers int     `json:"answers"`
	Agreed  int     `json:"agreed"`
}

// Agreements lists the tenths of confidence with answers.
func (l *Learned) Agreements() []Agreement {
	list := []Agreement{}
	for i, c := range l.firsts {
		if n := c.Right + c.Wrong; n > 0 {
			list = append(list, Agreement{float64(i) / 10, n, c.Right})
		}
	}
	return list
}

// Lesson is what people's answers made of a kind of evidence.
type Lesson struct {
	Kind      string  `json:"kind"`
	Scope     string  `json:"scope"` // kind of assets
	Right     int     `json:"right"`
	Wrong     int     `json:"wrong"`
	RightHere int     `json:"right_here"` // of that kind of assets
	WrongHere int     `json:"wrong_here"`
	Factor    float64 `json:"factor"`
}
