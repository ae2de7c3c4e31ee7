package owner

import (
	"math"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/git"
)

// The signals that rank people. Each is a share: a person's part of everything
// of that sort that humans did before the commit that is asked about, so that
// the shares of all persons sum to at most 1.
const (
	lines     = iota // lines asked about, by who last wrote them
	linesNew         // the same with decay of 180 days
	lineLast         // newest of the lines asked about
	fileAll          // commits to the files or their former names, half-life 2 years
	fileNew          // the same, half-life 90 days
	fileLast         // last commit to each file
	filePrev         // the author other than the last who touched each file before
	folderNew        // commits to other files of the folder, half-life 45 days
	aboveNew         // commits below the folder above, half-life 90 days
	topNew           // commits below the first folder of the path, half-life 90 days
	typeNew          // commits to files of the same ending, half-life 60 days
	pairNew          // commits to files that changed along with these, half-life 180 days
	repoMonth        // commits to the repository, half-life 30 days
	repoYear         // the same, half-life 180 days
	latest           // the very last commit
	latest3          // the last commits, each counting 0.7 of the one after it
	latest20         // the same with 0.93
	repoWeek         // commits to the repository, half-life 4 days
	fileWeek         // commits to the files, half-life 14 days
	pairWeek         // commits to files that changed along with these, half-life 30 days
	signals
)

var signalNames = [signals]string{
	"line_history", "line_history_recent", "line_last", "file_history", "file_recent", "file_last", "file_previous",
	"folder_activity", "parent_folder_activity", "subsystem_activity", "same_type_activity", "co_change",
	"repository_month", "repository_activity", "last_commit", "last_commits", "last_commits_20",
	"repository_week", "file_week", "co_change_recent",
}

const day = 86400.0

func decay(seconds int64, days float64) float64 {
	return math.Exp2(-math.Max(0, float64(seconds)) / day / days)
}

// proof remembers the newest commit behind a signal.
type proof struct {
	entry int32
	file  int // index of the file asked about
	line  int
}

// table holds the signals of one question, per person.
type table struct {
	share  [signals][]float64
	proof  [signals][]proof
	active []int64 // last time each person did anything
}

func newTable(people int) *table {
	t := &table{active: make([]int64, people)}
	for s := range t.share {
		t.share[s] = make([]float64, people)
		t.proof[s] = make([]proof, people)
		for i := range t.proof[s] {
			t.proof[s][i].entry = -1
		}
	}
	return t
}

func (t *table) add(signal int, who int32, weight float64, at proof) {
	t.share[signal][who] += weight
	if p := &t.proof[signal][who]; at.entry >= p.entry {
		*p = at
	}
}

// normalise makes shares of sums.
func (t *table) normalise() {
	for s := range t.share {
		total := 0.0
		for _, x := range t.share[s] {
			total += x
		}
		if total > 0 {
			for i := range t.share[s] {
				t.share[s][i] /= total
			}
		}
	}
}

// near says how a path lies to the files asked about.
type near uint8

const (
	inFile near = 1 << iota
	inFolder
	inAbove
	inTop
	ofType
	ofPair
	known
)

// fullPass is how many of the newest commits the wide signals look at.
const fullPass = 60_000

// measure computes the signals for files with line ranges as of the view.
func (r *Resolver) measure(files []File) *table {
	v, h := r.view, r.view.History()
	t := newTable(len(r.people.list))
	kinds := make([]near, h.Paths())
	folders, aboves, tops, types := map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	former := map[string]bool{}
	var buffer []credit
	for i, f := range files {
		folder := path.Dir(f.Path)
		folders[folder] = true
		aboves[path.Dir(folder)] = true
		top, _, _ := strings.Cut(f.Path, "/")
		tops[top] = true
		types[ending(f.Path)] = true
		names := v.Names(f.Path)
		var touched []int32
		for _, name := range names {
			former[name] = true
			touched = append(touched, v.Touched(name)...)
		}
		slices.Sort(touched)
		touched = slices.Compact(touched)
		buffer = r.measureFile(t, i, touched, buffer)
		r.measurePairs(kinds, touched)
		buffer = r.measureLines(t, i, f, buffer)
	}
	kindOf := func(id int32) near {
		k := kinds[id]
		if k&known != 0 {
			return k
		}
		name := h.Path(id)
		if former[name] {
			k |= inFile
		}
		folder := path.Dir(name)
		if folders[folder] {
			k |= inFolder
		}
		for a := range aboves {
			if a == "." || strings.HasPrefix(folder+"/", a+"/") {
				k |= inAbove
			}
		}
		if top, _, _ := strings.Cut(name, "/"); tops[top] {
			k |= inTop
		}
		if types[ending(name)] {
			k |= ofType
		}
		kinds[id] = k | known
		return k
	}
	rank3, rank20 := 1.0, 1.0
	first := true
	pass := 0
	for i := v.Commit(); i >= 0 && pass < fullPass; i-- {
		if !v.Sees(i) {
			continue
		}
		pass++
		e := h.Entry(i)
		age := r.now - e.Committed
		buffer = r.people.credits(e, buffer)
		for _, c := range buffer {
			t.active[c.who] = max(t.active[c.who], e.Committed)
		}
		if len(buffer) > 0 {
			for _, c := range buffer {
				if first {
					t.add(latest, c.who, c.weight, proof{entry: i})
				}
				t.add(latest3, c.who, c.weight*rank3, proof{entry: i})
				t.add(latest20, c.who, c.weight*rank20, proof{entry: i})
			}
			first = false
			rank3, rank20 = rank3*.7, rank20*.93
		}
		if len(e.Parents) > 1 {
			continue
		}
		var all near
		size := 0
		for j := range e.Touches {
			k := kindOf(e.Touches[j].Path)
			if k&inFile == 0 {
				all |= k
			} else {
				all |= k &^ inFolder
			}
			size++
		}
		if e.Bulk || r.ignored(i) {
			all = 0
		}
		for _, c := range buffer {
			w := c.weight
			t.add(repoMonth, c.who, w*decay(age, 30), proof{entry: i})
			t.add(repoYear, c.who, w*decay(age, 180), proof{entry: i})
			t.add(repoWeek, c.who, w*decay(age, 4), proof{entry: i})
			if all&inFolder != 0 {
				t.add(folderNew, c.who, w*decay(age, 45), proof{entry: i})
			}
			if all&inAbove != 0 {
				t.add(aboveNew, c.who, w*decay(age, 90), proof{entry: i})
			}
			if all&inTop != 0 {
				t.add(topNew, c.who, w*decay(age, 90), proof{entry: i})
			}
			if all&ofType != 0 {
				t.add(typeNew, c.who, w*decay(age, 60), proof{entry: i})
			}
			if all&ofPair != 0 {
				t.add(pairNew, c.who, w*decay(age, 180), proof{entry: i})
				t.add(pairWeek, c.who, w*decay(age, 30), proof{entry: i})
			}
		}
	}
	t.normalise()
	return t
}

// ending is what files of one type share: the extension, else the name.
func ending(name string) string {
	if e := path.Ext(name); e != "" {
		return e
	}
	return path.Base(name)
}

func (r *Resolver) measureFile(t *table, file int, touched []int32, buffer []credit) []credit {
	h := r.view.History()
	last, previous := int32(-1), int32(-1)
	for n := len(touched) - 1; n >= 0; n-- {
		i := touched[n]
		e := h.Entry(i)
		if e.Bulk || r.ignored(i) || len(e.Parents) > 1 {
			continue
		}
		age := r.now - e.Committed
		at := proof{entry: i, file: file}
		buffer = r.people.credits(e, buffer)
		for _, c := range buffer {
			t.add(fileAll, c.who, c.weight*decay(age, 730), at)
			t.add(fileNew, c.who, c.weight*decay(age, 90), at)
			t.add(fileWeek, c.who, c.weight*decay(age, 14), at)
		}
		if len(buffer) == 0 {
			continue
		}
		if last < 0 {
			last = buffer[0].who
			t.add(fileLast, last, 1, at)
		} else if previous < 0 && buffer[0].who != last {
			previous = buffer[0].who
			t.add(filePrev, previous, 1, at)
		}
	}
	return buffer
}

// Bounds of what counts as changing along: commits of at most pairFiles files,
// the pairCommits newest of a file.
const (
	pairFiles   = 12
	pairCommits = 40
)

func (r *Resolver) measurePairs(kinds []near, touched []int32) {
	h := r.view.History()
	for n := len(touched) - 1; n >= max(0, len(touched)-pairCommits); n-- {
		e := h.Entry(touched[n])
		if len(e.Touches) > pairFiles || len(e.Parents) > 1 || e.Bulk {
			continue
		}
		for j := range e.Touches {
			kinds[e.Touches[j].Path] |= ofPair
		}
	}
}

func (r *Resolver) measureLines(t *table, file int, f File, buffer []credit) []credit {
	h := r.view.History()
	origins := r.view.Trace(f.Path, f.Lines, r.ignored)
	newest := git.Origin{Entry: -1}
	n := float64(len(origins))
	for _, o := range origins {
		if o.Entry < 0 {
			continue
		}
		e := h.Entry(o.Entry)
		buffer = r.people.credits(e, buffer)
		at := proof{o.Entry, file, o.Line}
		for _, c := range buffer {
			t.add(lines, c.who, c.weight/n, at)
			t.add(linesNew, c.who, c.weight/n*decay(r.now-e.Committed, 180), at)
		}
		if len(buffer) > 0 && o.Entry > newest.Entry {
			newest = o
		}
	}
	if newest.Entry >= 0 {
		buffer = r.people.credits(h.Entry(newest.Entry), buffer)
		t.add(lineLast, buffer[0].who, 1, proof{newest.Entry, file, newest.Line})
	}
	return buffer
}
