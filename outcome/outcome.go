// Package outcome tells what became of earlier changes of a kind in a repository:
// how many were merged, how many were taken back, how long they took and who let
// them in. It is mined from the first-parent history in one pass of git over the
// files that hold versions and settings, and kept beside the other indexes.
//
// It is not a judgement of a version: it says what happened here, with the commits
// that show it. Squashed merges hide how long a change waited; then the time is not
// known and is not guessed.
package outcome

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// Kinds of changes.
const (
	Dependency = "dependency"
	BaseImage  = "base_image"
	Action     = "action" // of a workflow
	Module     = "module" // of Terraform
	Config     = "config" // any change of a file that holds settings
)

// Bounds in time, in seconds.
const (
	undoWithin   = 183 * 86400 // a version that goes back later is another decision
	lately       = 183 * 86400
	leastWait    = 60 // what was merged sooner was squashed, or not reviewed
	mostReviewer = 3
)

// Index holds the changes of one repository up to a commit. It is safe for
// concurrent reading.
type Index struct {
	Repository string
	Commit     string
	steps      []step
	now        int64 // when the commit was made, seconds
	shallow    bool
	subjects   map[subject][]*change
	kinds      map[kind][]*change
}

type kind struct{ kind, ecosystem string }

type subject struct {
	kind
	name string // package, image, action, module; of a setting its path
}

// step is one commit of the first-parent history with the changes that it made.
type step struct {
	ID, Second, Subject string
	Reverts             []string
	Authored, Committed int64
	By                  []string
	Changes             []change
}

// change is one version that moved, or one file of settings that changed.
type change struct {
	Kind, Ecosystem, Name, Path string
	From, To                    string
	Indirect                    bool
	// Removed and Added are digests of the lines of a setting, so that the change
	// that swaps them is known for what it is.
	Removed, Added uint64

	at       *step
	undo     bool  // it takes another back
	reverted *step // what took it back
	told     *Past // known from elsewhere than git
}

func (c *change) subject() subject {
	name := c.Name
	if c.Kind == Config {
		name = c.Path
	}
	return subject{kind{c.Kind, c.Ecosystem}, name}
}

// took is how long the change waited, in microseconds; 0 when that is not known.
func (c *change) took() int64 {
	if c.told != nil {
		return c.told.Took
	}
	if wait := c.at.Committed - c.at.Authored; c.at.Authored > 0 && wait >= leastWait {
		return wait * 1e6
	}
	return 0
}

// Past is a change that is known from elsewhere than git, as remediations of our own
// are, with what came of it.
type Past struct {
	Kind, Ecosystem, Subject string // Subject of Config is the path
	Commit                   string // where it landed; one that git shows, too, counts once
	Landed                   int64  // microseconds since 1970 UTC
	Took                     int64  // microseconds from the proposal until then, 0 for unknown
	RevertedBy               string // commit that took it back, "" for none
	Reverted                 int64  // when, microseconds since 1970 UTC
}

// Include adds what is known from elsewhere. What git shows, too, is counted once, with
// what the other source knows of its end. It must not run beside readers.
func (x *Index) Include(past ...Past) {
	known := map[string]*step{}
	for i := range x.steps {
		for _, id := range []string{x.steps[i].ID, x.steps[i].Second} {
			if id != "" {
				known[id] = &x.steps[i]
			}
		}
	}
	for _, p := range past {
		c := &change{Kind: p.Kind, Ecosystem: p.Ecosystem, Name: normal(p.Ecosystem, p.Subject), at: &step{ID: p.Commit, Committed: p.Landed / 1e6}, told: &p}
		if p.Kind == Config {
			c.Path = p.Subject
		}
		if p.Reverted > 0 {
			c.reverted = &step{ID: p.RevertedBy, Committed: p.Reverted / 1e6}
		}
		at, shown := known[p.Commit]
		if !shown {
			x.list(c)
			continue
		}
		for i := range at.Changes {
			if same := &at.Changes[i]; same.subject() == c.subject() && same.reverted == nil {
				same.reverted = c.reverted
			}
		}
	}
}

func (x *Index) list(c *change) {
	if c.undo {
		return
	}
	s := c.subject()
	x.subjects[s] = append(x.subjects[s], c)
	if !c.Indirect {
		x.kinds[s.kind] = append(x.kinds[s.kind], c)
	}
}

// Question asks what became of changes like one that is planned.
type Question struct {
	Kind, Ecosystem string
	Subject         string // package, image, action or module; of Config the path
}

// Of answers a question; nil when nothing of the kind was ever changed here.
func (x *Index) Of(q Question) *fix.History {
	s := subject{kind{q.Kind, q.Ecosystem}, normal(q.Ecosystem, q.Subject)}
	same, all := x.subjects[s], x.kinds[s.kind]
	if len(same)+len(all) == 0 {
		return nil
	}
	h := &fix.History{Same: tally(same), Kind: tally(all)}
	noun, of := nouns(q)
	median := func(t fix.Tally) string {
		if t.Timed == 0 {
			return ""
		}
		return ", median " + fix.Days(t.Median) + " to merge"
	}
	if h.Same.Merged > 0 {
		h.Text = fmt.Sprintf("%s of %s, %d reverted%s", several(h.Same.Merged, noun), q.Subject, h.Same.Reverted, median(h.Same))
	} else {
		h.Text = fmt.Sprintf("no %s of %s before; %s%s, %d reverted%s", noun, q.Subject, several(h.Kind.Merged, noun), of, h.Kind.Reverted, median(h.Kind))
	}
	source := fmt.Sprintf("%s@%.12s", x.Repository, x.Commit)
	if newest := newestOf(same); newest != nil {
		detail := fmt.Sprintf("the newest is %.12s", newest.at.ID)
		if newest.From != "" {
			detail += fmt.Sprintf(", %s to %s", newest.From, newest.To)
		}
		if newest.reverted != nil {
			detail += ", taken back"
			if newest.reverted.ID != "" {
				detail += fmt.Sprintf(" by %.12s", newest.reverted.ID)
			}
			h.RevertedLately = x.now-newest.reverted.Committed <= lately
		}
		h.Evidence = append(h.Evidence, fact.Evidence{Method: "git history", Source: source, Strength: fact.Derived, Detail: detail})
	}
	scope := same
	if len(same) == 0 {
		scope = all
	}
	if by := approvers(scope); by != "" {
		h.Evidence = append(h.Evidence, fact.Evidence{Method: "trailers and committers", Source: source, Strength: fact.Derived, Detail: by})
	}
	if len(h.Evidence) == 0 {
		h.Evidence = append(h.Evidence, fact.Evidence{Method: "git history", Source: source, Strength: fact.Derived, Detail: fmt.Sprintf("%s%s", several(h.Kind.Merged, noun), of)})
	}
	if x.shallow {
		h.Evidence = append(h.Evidence, fix.NotKnown("git history", source, "what was before the first commit of this shallow clone"))
	}
	return h
}

func nouns(q Question) (noun, of string) {
	switch q.Kind {
	case Config:
		return "change", " of settings here"
	case BaseImage:
		return "bump", " of base images here"
	case Action:
		return "bump", " of workflow actions here"
	case Module:
		return "bump", " of modules here"
	}
	return "bump", " of " + cmp.Or(q.Ecosystem, "other") + " packages here"
}

func several(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// tally counts changes, each subject once a commit.
func tally(list []*change) fix.Tally {
	type landing struct {
		s  subject
		id string
	}
	var t fix.Tally
	var waits []int64
	at := map[landing]bool{} // whether it was counted as reverted
	for _, c := range list {
		key := landing{c.subject(), c.at.ID}
		reverted, seen := at[key]
		if !seen {
			t.Merged++
			if wait := c.took(); wait > 0 {
				waits = append(waits, wait)
			}
		}
		if c.reverted != nil && !reverted {
			t.Reverted++
			reverted = true
		}
		at[key] = reverted
	}
	if t.Timed = len(waits); t.Timed > 0 {
		slices.Sort(waits)
		t.Median = waits[len(waits)/2]
	}
	return t
}

func newestOf(list []*change) *change {
	var newest *change
	for _, c := range list {
		if newest == nil || c.at.Committed >= newest.at.Committed {
			newest = c
		}
	}
	return newest
}

// approvers names who let changes in, the most frequent first.
func approvers(list []*change) string {
	counts := map[string]int{}
	landed := map[*step]bool{}
	for _, c := range list {
		if landed[c.at] {
			continue
		}
		landed[c.at] = true
		for _, name := range c.at.By {
			counts[name]++
		}
	}
	names := make([]string, 0, len(counts))
	for name := range counts {
		names = append(names, name)
	}
	slices.SortFunc(names, func(a, b string) int { return cmp.Or(cmp.Compare(counts[b], counts[a]), strings.Compare(a, b)) })
	var parts []string
	for _, name := range names[:min(len(names), mostReviewer)] {
		parts = append(parts, fmt.Sprintf("%s (%d of %d)", name, counts[name], len(landed)))
	}
	if len(parts) == 0 {
		return ""
	}
	return "reviewed or merged by " + strings.Join(parts, ", ")
}

// Len is the number of changes that the index holds.
func (x *Index) Len() int {
	n := 0
	for i := range x.steps {
		n += len(x.steps[i].Changes)
	}
	return n
}
