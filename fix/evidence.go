package fix

import (
	"context"
	"fmt"
	"io/fs"
	"slices"

	"github.com/backstitch/backstitch/fact"
)

// Weighed is what is known for and against a path beyond what it closes. Each
// part is absent where nobody looked.
type Weighed struct {
	Breaking     *Breaking     `json:"breaking,omitempty"`
	Reachability *Reachability `json:"reachability,omitempty"`
	History      *History      `json:"history,omitempty"`
	Live         *Live         `json:"live,omitempty"`
	// Reviewers are those who have to agree, or are asked first.
	Reviewers []fact.Owner `json:"reviewers,omitempty"`
}

// What is known of whether a change breaks those who use what it moves.
const (
	BreaksNothing = "none"    // nothing exported goes away or changes its type
	BreaksUnused  = "unused"  // something does, and nothing of it is used here
	BreaksUsed    = "used"    // something that is used here does
	BreaksUnknown = "unknown" // nobody looked, or could; Evidence says why
)

// Breaking is evidence of what a change breaks. It is about signatures: what a
// program means by them may change all the same.
type Breaking struct {
	Verdict string `json:"verdict"`
	// Changed counts the incompatible changes of what is exported.
	Changed int `json:"changed,omitempty"`
	// Uses are those that meet the repository, where they do first.
	Uses     []Use           `json:"uses,omitempty"`
	Evidence []fact.Evidence `json:"evidence"`
}

// Use is a place of the repository that uses a symbol which changes or is flawed.
type Use struct {
	Symbol   string        `json:"symbol"`
	Change   string        `json:"change,omitempty"` // what becomes of it
	Location fact.Location `json:"location"`
}

// How far a program reaches a flaw, from the nearest.
const (
	ReachesSymbol   = "reachable" // a call leads to a flawed symbol
	ReachesPackage  = "imported"  // the flawed package is part of the program; no call is known
	ReachesModule   = "required"  // the module is required; the flawed package is not part of the program
	ReachUnknown    = "unknown"   // nobody looked, or could
	maxUsesKept     = 20
	maxEvidenceKept = 20
)

// Reachability is evidence of whether the program meets the flaw that a path
// closes. It may lower a risk and never closes anything; "unknown" changes nothing.
type Reachability struct {
	Verdict  string          `json:"verdict"`
	Uses     []Use           `json:"uses,omitempty"` // where a call begins
	Evidence []fact.Evidence `json:"evidence"`
}

// Weight is what the risk of a flaw is to be multiplied with: 1 unless it is
// known that the program does not reach it, and always 1 when it is exploited.
func (r *Reachability) Weight(exploited bool) float64 {
	if r == nil || exploited {
		return 1
	}
	switch r.Verdict {
	case ReachesPackage:
		return .9
	case ReachesModule:
		return .5
	}
	return 1
}

// History is what became of changes of the same kind before.
type History struct {
	// Same counts changes of the same package or file, Kind those of the same
	// kind in the repository.
	Same Tally `json:"same"`
	Kind Tally `json:"kind"`
	// RevertedLately says that the newest change of the same package or file
	// that was taken back was so within half a year before the commit.
	RevertedLately bool            `json:"reverted_lately,omitempty"`
	Text           string          `json:"text"` // "14 bumps of x, 1 reverted, median 2 days to merge"
	Evidence       []fact.Evidence `json:"evidence"`
}

// Tally counts changes that were merged.
type Tally struct {
	Merged   int `json:"merged"`
	Reverted int `json:"reverted"`
	// Median is the time from the author's date to the merge, in microseconds;
	// Timed is of how many changes it is known.
	Median int64 `json:"median_us,omitempty"`
	Timed  int   `json:"timed,omitempty"`
}

// Live is the time that a path takes until it runs, by stages. The sum counts
// the stages that are known.
type Live struct {
	Total  int64   `json:"total_us"`
	Whole  bool    `json:"whole"` // every stage is known
	Stages []Stage `json:"stages"`
}

// Stage is one step on the way of a change.
type Stage struct {
	Name     string        `json:"name"` // review, build, deploy
	Known    bool          `json:"known"`
	Takes    int64         `json:"us,omitempty"` // microseconds
	Evidence fact.Evidence `json:"evidence"`     // where it was read, or why it is not known
}

// NewLive adds stages up.
func NewLive(stages ...Stage) *Live {
	live := &Live{Whole: len(stages) > 0, Stages: stages}
	for _, stage := range stages {
		live.Whole = live.Whole && stage.Known
		if stage.Known {
			live.Total += stage.Takes
		}
	}
	return live
}

// Join takes what is known of another change of the same path into account: the
// worse verdict holds, unknown being worse than that nothing breaks and better
// than that something does.
func (b *Breaking) Join(other Breaking) {
	order := []string{"", BreaksNothing, BreaksUnused, BreaksUnknown, BreaksUsed}
	if slices.Index(order, other.Verdict) > slices.Index(order, b.Verdict) {
		b.Verdict = other.Verdict
	}
	b.Changed += other.Changed
	b.Uses = append(b.Uses, other.Uses...)
	b.Uses = b.Uses[:min(len(b.Uses), maxUsesKept)]
	b.Evidence = append(b.Evidence, other.Evidence...)
	b.Evidence = b.Evidence[:min(len(b.Evidence), maxEvidenceKept)]
}

// NotKnown is the evidence of something that nobody knows, and why.
func NotKnown(method, source, why string) fact.Evidence {
	return fact.Evidence{Method: method, Source: source, Strength: fact.Guess, Detail: "not known: " + why}
}

// Days writes a time as people say it.
func Days(us int64) string {
	const hour = int64(3600e6)
	switch {
	case us < hour:
		return "under an hour"
	case us < 48*hour:
		return count(us/hour, "hour")
	}
	return count((us+12*hour)/(24*hour), "day")
}

func count(n int64, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// Sources gives the sources of package versions; a Registry may be one. Close them
// when done.
type Sources interface {
	Sources(ctx context.Context, name, version string) (sources fs.FS, close func() error, err error)
}
