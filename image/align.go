package image

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/dockerfile"
)

// Match is a history step with the instruction that made it. Several
// instructions mean that they fit equally well.
type Match struct {
	Step         int // index into the steps
	Instructions []dockerfile.Step
	Similarity   float64 // 0..1
}

// Alignment is how a history fits one stage of a Dockerfile.
type Alignment struct {
	Score   float64 // 0..1: weight of what fits of all that should
	First   int     // index of the first step that the file made; those before are the base's
	Matches []Match // in the order of the steps
	// Weight is the weight of what fits: 3 for RUN, 2 for COPY and ADD, less
	// for the rest. One that is small proves little.
	Weight float64
	// Exact is the share of RUN, COPY and ADD on both sides that fit as they
	// stand, 0..1.
	Exact float64
}

const (
	maxCells = 4 << 20
	epsilon  = 1e-9
)

// kindWeight says how much an instruction of a kind tells.
func kindWeight(kind string) float64 {
	switch kind {
	case "RUN":
		return 3
	case "COPY", "ADD":
		return 2
	case "ARG", "ONBUILD", "SHELL", "MAINTAINER":
		return .25
	}
	return .75
}

// optional says that builders may leave an instruction out of the history.
func optional(kind string) bool {
	return kind == "ARG" || kind == "ONBUILD" || kind == "SHELL" || kind == "MAINTAINER"
}

// Align fits a history to a chain of instructions: a global alignment in which
// the base's steps in front cost nothing, what is left out later does, and
// every instruction on some best alignment is returned for its step.
func Align(steps []Step, chain []dockerfile.Step) Alignment {
	n, m := len(chain), len(steps)
	if n == 0 || m == 0 || (n+1)*(m+1) > maxCells {
		return Alignment{First: m}
	}
	metadata := writesMetadata(steps)
	missing := func(kind string) float64 {
		if optional(kind) || !metadata && kindWeight(kind) < 2 {
			return 0
		}
		return .4 * kindWeight(kind)
	}
	extra := func(step *Step) float64 {
		if optional(step.Kind) {
			return 0
		}
		return .4 * kindWeight(step.Kind)
	}
	width := m + 1
	sim := make([]float32, n*m)
	prepared := make([]prepared, n)
	for i := range chain {
		prepared[i] = prepare(chain[i])
	}
	words := make([]map[string]int, m)
	for j := range steps {
		words[j] = bag(steps[j].Text)
	}
	for i := range chain {
		for j := range steps {
			sim[i*m+j] = float32(similarity(&prepared[i], &steps[j], words[j]))
		}
	}
	gain := func(i, j int) float64 {
		s := float64(sim[i*m+j])
		if s == 0 {
			return math.Inf(-1)
		}
		return kindWeight(chain[i].Kind) * s
	}
	// forward[i][j]: best of the first i instructions and j steps.
	forward := make([]float64, (n+1)*width)
	for i := 1; i <= n; i++ {
		forward[i*width] = forward[(i-1)*width] - missing(chain[i-1].Kind)
	}
	for i := 1; i <= n; i++ {
		for j := 1; j <= m; j++ {
			best := forward[(i-1)*width+j] - missing(chain[i-1].Kind)
			best = max(best, forward[i*width+j-1]-extra(&steps[j-1]))
			forward[i*width+j] = max(best, forward[(i-1)*width+j-1]+gain(i-1, j-1))
		}
	}
	// Leading steps are free only before the first instruction that fits, so
	// row 0 is all zero; an instruction left out at the very start costs.
	backward := make([]float64, (n+1)*width)
	for i := n - 1; i >= 0; i-- {
		backward[i*width+m] = backward[(i+1)*width+m] - missing(chain[i].Kind)
	}
	for j := m - 1; j >= 0; j-- {
		backward[n*width+j] = backward[n*width+j+1] - extra(&steps[j])
	}
	for i := n - 1; i >= 0; i-- {
		for j := m - 1; j >= 0; j-- {
			free := extra(&steps[j])
			if i == 0 {
				free = 0
			}
			best := backward[(i+1)*width+j] - missing(chain[i].Kind)
			best = max(best, backward[i*width+j+1]-free)
			backward[i*width+j] = max(best, backward[(i+1)*width+j+1]+gain(i, j))
		}
	}
	best := forward[n*width+m]
	out := Alignment{First: m}
	// One best path gives the score; all best paths give the candidates.
	i, j := n, m
	path := map[int]float64{} // step -> similarity
	onPath := make([]bool, n)
	for i > 0 && j > 0 {
		here := forward[i*width+j]
		switch {
		case gain(i-1, j-1) > 0 && near(here, forward[(i-1)*width+j-1]+gain(i-1, j-1)):
			i, j = i-1, j-1
			path[j], onPath[i] = float64(sim[i*m+j]), true
			out.First = j
			out.Weight += gain(i, j)
		case near(here, forward[i*width+j-1]-extra(&steps[j-1])):
			j--
		default:
			i--
		}
	}
	total, heavy, exact := 0.0, 0.0, 0.0
	for i := range chain {
		if weight := kindWeight(chain[i].Kind); weight >= 2 {
			heavy += weight
		}
		if onPath[i] || missing(chain[i].Kind) > 0 {
			total += kindWeight(chain[i].Kind)
		}
	}
	for j := out.First; j < m; j++ {
		similar, fits := path[j]
		if !fits {
			if extra(&steps[j]) > 0 {
				total += kindWeight(steps[j].Kind)
			}
			if weight := kindWeight(steps[j].Kind); weight >= 2 {
				heavy += weight
			}
			continue
		}
		if weight := kindWeight(steps[j].Kind); weight >= 2 && similar >= .95 {
			exact += weight
		}
		match := Match{Step: j, Similarity: similar}
		for i := range chain {
			if near(forward[i*width+j]+gain(i, j)+backward[(i+1)*width+j+1], best) {
				match.Instructions = append(match.Instructions, chain[i])
			}
		}
		out.Matches = append(out.Matches, match)
	}
	if total > 0 {
		out.Score = out.Weight / total
	}
	if heavy > 0 {
		out.Exact = exact / heavy
	}
	return out
}

// writesMetadata says whether the builder of the newest steps writes entries
// for instructions that make no layer; some do not.
func writesMetadata(steps []Step) bool {
	newest := DialectUnknown
	for i := len(steps) - 1; i >= 0; i-- {
		switch {
		case steps[i].Dialect == DialectUnknown:
		case newest == DialectUnknown:
			newest = steps[i].Dialect
		case steps[i].Dialect != newest:
			// Another builder made what lies below: the base.
			return false
		}
		if steps[i].Dialect != DialectUnknown && steps[i].Layer < 0 {
			return true
		}
	}
	return false
}

func near(a, b float64) bool { return math.Abs(a-b) < 1e-6 }

// prepared is an instruction with what comparing needs.
type prepared struct {
	kind, text string
	dest       string
	words      map[string]int
}

func prepare(step dockerfile.Step) prepared {
	p := prepared{kind: step.Kind, text: step.Text, dest: step.Dest, words: bag(step.Text)}
	return p
}

// bag counts the words of a text, at most 4000.
func bag(text string) map[string]int {
	words := map[string]int{}
	for i, word := range strings.Fields(text) {
		if i == 4000 {
			break
		}
		words[word]++
	}
	return words
}

// similarity is 1 for equal, 0 for what cannot be the same, else how much the
// words agree.
func similarity(p *prepared, step *Step, words map[string]int) float64 {
	if step.Kind == "" {
		// A bare command: an exec form that stands there word for word.
		if p.kind == "RUN" && p.text == step.Text && p.text != "" {
			return 1
		}
		return 0
	}
	if p.kind != step.Kind {
		return 0
	}
	if p.text == step.Text {
		return 1
	}
	switch p.kind {
	case "RUN":
		if p.text != "" && strings.HasSuffix(step.Text, " "+p.text) && strings.HasPrefix(step.Text, "/") {
			return 1
		}
		if s := dice(p.words, words); s >= .5 {
			return min(s, .99)
		}
		return 0
	case "COPY", "ADD":
		if step.Hashed {
			switch {
			case step.Dest == p.dest || step.Dest == lastWord(p.text):
				return .98
			case sameDest(step.Dest, p.dest):
				return .96
			}
			return 0
		}
		s := dice(p.words, words)
		if sameDest(step.Dest, p.dest) || sameDest(step.Dest, lastWord(p.text)) {
			if sameSources(p.text, step.Text) {
				return .99
			}
			return .3 + .6*s
		}
		if s > .6 {
			return .8 * s
		}
		return 0
	}
	if s := dice(p.words, words); s >= .5 {
		return min(s, .99)
	}
	switch p.kind {
	case "USER", "WORKDIR", "ENV", "LABEL", "EXPOSE", "CMD", "ENTRYPOINT", "HEALTHCHECK", "ARG":
		// A value that was given at build time, or a variable of the base.
		if strings.Contains(p.text, "$") || p.kind == "ARG" && before(p.text, "=") == before(step.Text, "=") {
			return .6
		}
		if p.kind == "WORKDIR" && sameDest(p.text, step.Text) {
			return .9
		}
	}
	return 0
}

func before(text, sep string) string { head, _, _ := strings.Cut(text, sep); return head }

func lastWord(text string) string { return text[strings.LastIndexByte(text, ' ')+1:] }

func sameSources(a, b string) bool {
	x, y := strings.Fields(a), strings.Fields(b)
	return len(x) == len(y) && len(x) > 1 && slices.Equal(x[:len(x)-1], y[:len(y)-1])
}

// dice is how much two bags of words agree, 0..1.
func dice(a, b map[string]int) float64 {
	common, total := 0, 0
	for word, n := range a {
		common += min(n, b[word])
		total += n
	}
	for _, n := range b {
		total += n
	}
	if total == 0 {
		return 0
	}
	return 2 * float64(common) / float64(total)
}

// Candidate is a Dockerfile that may have made an image.
type Candidate struct {
	Repository string
	Commit     string
	Path       string
	File       *dockerfile.File
}

// Fit is a candidate with how the history fits its best stage.
type Fit struct {
	Candidate int // index into the candidates
	Stage     int // the target stage
	Alignment Alignment
}

// Ranking is the answer to "which Dockerfile": the best fits, equal ones all
// listed, or none when nothing fits well enough.
type Ranking struct {
	Best   []Fit   // more than one is a tie
	Margin float64 // to the runner-up, 1 when there is none
	// Answered says that the best fit is good enough to be named. When it is
	// not, Best still holds what came closest and Reason says what is missing.
	Answered bool
	Reason   string
}

// Limits of an answer, chosen on generated images with decoys.
const (
	minScore   = .75
	sureScore  = .92
	minMargin  = .12 // for a score below sureScore
	sameMargin = .005
	minExact   = .72
	minWeight  = 3.5 // one RUN and a bit: less is found in any file
)

// Rank fits a history to every candidate and says which made it. base is the
// name of the base image where it is known, "" else; a candidate that starts
// from it is preferred among equals.
func Rank(steps []Step, candidates []Candidate, base string) Ranking {
	var fits []Fit
	for c := range candidates {
		file := candidates[c].File
		var best []Fit
		for _, stage := range file.Finals() {
			fit := Fit{c, stage, Align(steps, file.Chain(stage))}
			if len(best) == 0 || fit.Alignment.Score > best[0].Alignment.Score+epsilon {
				best = []Fit{fit}
			} else if near(fit.Alignment.Score, best[0].Alignment.Score) && fit.Alignment.Score > 0 && differentLines(&fit, &best[0]) {
				best = append(best, fit)
			}
		}
		fits = append(fits, best...)
	}
	slices.SortStableFunc(fits, func(a, b Fit) int {
		return cmp.Or(cmp.Compare(b.Alignment.Score, a.Alignment.Score), cmp.Compare(a.Candidate, b.Candidate))
	})
	if len(fits) == 0 || fits[0].Alignment.Score <= 0 {
		return Ranking{Reason: "no candidate has an instruction that the history names"}
	}
	top := fits[0].Alignment.Score
	r := Ranking{Margin: 1}
	for _, fit := range fits {
		if top-fit.Alignment.Score < sameMargin {
			r.Best = append(r.Best, fit)
		} else {
			r.Margin = top - fit.Alignment.Score
			break
		}
	}
	if len(r.Best) > 1 && base != "" {
		var same []Fit
		for _, fit := range r.Best {
			file := candidates[fit.Candidate].File
			if sameImage(file.Stages[file.Root(fit.Stage)].Base.Image, base) {
				same = append(same, fit)
			}
		}
		if len(same) > 0 {
			r.Best = same
		}
	}
	switch weight := r.Best[0].Alignment.Weight; {
	case top < minScore:
		r.Reason = "the closest candidate fits too little of the history"
	case r.Best[0].Alignment.Exact < minExact:
		r.Reason = "the closest candidate has too few instructions that stand in the history word for word"
	case weight < minWeight:
		r.Reason = "the history holds too few instructions to tell files apart"
	case top < sureScore && r.Margin < minMargin:
		r.Reason = "several candidates fit in part and none stands out"
	default:
		r.Answered = true
	}
	return r
}

// differentLines says whether two fits of one file lead a step to different lines.
func differentLines(a, b *Fit) bool {
	line := map[int]int{}
	for _, match := range a.Alignment.Matches {
		line[match.Step] = match.Instructions[0].Line
	}
	for _, match := range b.Alignment.Matches {
		if at, ok := line[match.Step]; !ok || at != match.Instructions[0].Line {
			return true
		}
	}
	return len(a.Alignment.Matches) != len(b.Alignment.Matches)
}

// sameImage compares two names of an image, with or without the default
// registry, folder and tag.
func sameImage(a, b string) bool { return familiar(a) == familiar(b) }

func familiar(name string) string {
	name, _, _ = strings.Cut(name, "@")
	for _, prefix := range []string{"docker.io/", "index.docker.io/", "library/"} {
		name = strings.TrimPrefix(name, prefix)
	}
	return strings.TrimSuffix(name, ":latest")
}
