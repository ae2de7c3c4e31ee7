package git

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// maxCommits bounds the commits of one History.
const maxCommits = 2_000_000

// History is what the commits of a repository did, from one forward pass: who,
// when, which files and which lines. It holds no file contents. Entries are in
// topological order, parents before children, so that one History answers as of
// any of its commits: see At. It is safe for concurrent reading.
type History struct {
	entries []Entry
	idents  []Ident
	paths   []string

	byID    map[string]int32
	pathIDs map[string]int32
	idIDs   map[Ident]int32
	touched [][]place // per path: entries that touched it, in order

	// Euler tour over the tree of first parents: a is on the first-parent chain
	// of b when enter[a] <= enter[b] < leave[a].
	enter, leave []int32
}

// Ident is a person as commits write them, made safe to show.
type Ident struct{ Name, Email string }

// Entry is one commit.
type Entry struct {
	ID      string
	Parents []int32 // indexes of entries; -1 for one outside the history
	// Author, Committer, CoAuthors and Approvers are indexes of idents.
	// Approvers come from the trailers Reviewed-by, Approved-by, Merged-by,
	// Acked-by and, last, Signed-off-by.
	Author, Committer    int32
	CoAuthors, Approvers []int32
	Authored, Committed  int64 // seconds since 1970 UTC
	Subject              string
	// Bulk says that the commit rewrote very many files in one uniform way
	// (reformatting, licence headers, a renamed import path).
	Bulk    bool
	Touches []Touch // against the first parent
}

// Touch is what one commit did to one file.
type Touch struct {
	Path   int32 // index of the path, the old one for a deletion
	Old    int32 // index of the former path of a rename, else -1
	Status byte  // A, M, D, R or T
	// Opaque says that no hunks are known, for binary files and where objects
	// are missing: all lines count as changed.
	Opaque         bool
	Added, Deleted int32
	Blob           uint64 // first 8 bytes of the new object's id, 0 for a deletion
	Hunks          []Hunk
}

// Hunk is one changed range with the numbers of a unified diff without context.
type Hunk struct {
	OldStart, OldCount, NewStart, NewCount int32
	// Format says that only white space differs.
	Format bool
}

type place struct{ entry, touch int32 }

// History reads the history up to a commit. With a cacheDir it keeps what it
// read there and later reads only the commits that are new.
func (r *Repository) History(ctx context.Context, commit, cacheDir string) (*History, error) {
	if !isID(commit) {
		return nil, fmt.Errorf("history of %q: expected a full commit id", clean(commit, 64))
	}
	r.histLock.Lock()
	defer r.histLock.Unlock()
	var name string
	h := &History{}
	if cacheDir != "" {
		var err error
		if name, err = r.cacheName(ctx, cacheDir); err != nil {
			return nil, err
		}
		if cached, err := loadHistory(name); err == nil {
			h = cached
		}
	}
	h.index()
	if h.Has(commit) {
		return h, nil
	}
	if err := r.Extend(ctx, h, commit); err != nil {
		if ctx.Err() != nil || len(h.entries) == 0 {
			return nil, err
		}
		h = &History{}
		h.index()
		if err := r.Extend(ctx, h, commit); err != nil {
			return nil, err
		}
	}
	if name != "" {
		if err := h.save(name); err != nil {
			return nil, fmt.Errorf("keep history: %w", err)
		}
	}
	return h, nil
}

// Extend adds the commits up to commit that a History lacks. It must not run
// beside readers of h.
func (r *Repository) Extend(ctx context.Context, h *History, commit string) error {
	if h.Has(commit) {
		return nil
	}
	before := len(h.entries)
	err := r.readLog(ctx, h, commit, "-p", "-U0", "-M", "-l1000")
	if err != nil && ctx.Err() == nil {
		// A missing object stops a diff of contents, not one of names.
		h.truncate(before)
		err = r.readLog(ctx, h, commit, "--no-renames")
	}
	if err != nil {
		h.truncate(before)
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return fmt.Errorf("history of %s: %w", commit, err)
	}
	if !h.Has(commit) {
		return fmt.Errorf("history of %s: git did not list it", commit)
	}
	h.index()
	return nil
}

func (r *Repository) readLog(ctx context.Context, h *History, commit string, how ...string) error {
	shadow, err := r.shadow()
	if err != nil {
		return err
	}
	defer os.RemoveAll(shadow)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	args := append([]string{
		"log", "--stdin", "--topo-order", "--reverse", "--diff-merges=first-parent", "--raw", "--no-abbrev", "--no-color",
		"--no-ext-diff", "--no-textconv", "--no-show-signature", "--no-notes", "--no-decorate", "--no-mailmap", "--submodule=short",
		"--src-prefix=a/", "--dst-prefix=b/", "--encoding=UTF-8", "--format=" + logFormat,
	}, how...)
	cmd := r.command(ctx, shadow, nil, args...)
	var question strings.Builder
	question.WriteString(commit + "\n")
	for _, tip := range h.tips() {
		question.WriteString("^" + tip + "\n")
	}
	cmd.Stdin = strings.NewReader(question.String())
	stderr := &bounded{limit: 4096, drop: true}
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	parseErr := parseLog(out, h)
	if parseErr != nil {
		cancel()
	}
	io.Copy(io.Discard, out)
	err = cmd.Wait()
	if parseErr != nil {
		return parseErr
	}
	if err != nil {
		return fmt.Errorf("git log: %w: %s", err, clean(stderr.data.String(), 400))
	}
	return nil
}

// tips are the ids of the entries without children.
func (h *History) tips() []string {
	parent := make([]bool, len(h.entries))
	for i := range h.entries {
		for _, p := range h.entries[i].Parents {
			if p >= 0 {
				parent[p] = true
			}
		}
	}
	var tips []string
	for i := range h.entries {
		if !parent[i] {
			tips = append(tips, h.entries[i].ID)
		}
	}
	return tips
}

func (h *History) truncate(n int) {
	for i := n; i < len(h.entries); i++ {
		delete(h.byID, h.entries[i].ID)
	}
	h.entries = h.entries[:n]
}

// index builds what is derived from entries, idents and paths.
func (h *History) index() {
	h.byID = make(map[string]int32, len(h.entries))
	h.pathIDs = make(map[string]int32, len(h.paths))
	h.idIDs = make(map[Ident]int32, len(h.idents))
	for i := range h.entries {
		h.byID[h.entries[i].ID] = int32(i)
	}
	for i, name := range h.paths {
		h.pathIDs[name] = int32(i)
	}
	for i, ident := range h.idents {
		h.idIDs[ident] = int32(i)
	}
	h.touched = make([][]place, len(h.paths))
	first := make([][]int32, len(h.entries))
	for i := range h.entries {
		e := &h.entries[i]
		for j := range e.Touches {
			t := &e.Touches[j]
			h.touched[t.Path] = append(h.touched[t.Path], place{int32(i), int32(j)})
			if t.Old >= 0 {
				// A rename ends its old path.
				h.touched[t.Old] = append(h.touched[t.Old], place{int32(i), int32(j)})
			}
		}
		if len(e.Parents) > 0 && e.Parents[0] >= 0 {
			first[e.Parents[0]] = append(first[e.Parents[0]], int32(i))
		}
	}
	h.enter, h.leave = make([]int32, len(h.entries)), make([]int32, len(h.entries))
	clock := int32(0)
	var stack []int32
	for i := range h.entries {
		if p := h.entries[i].Parents; len(p) > 0 && p[0] >= 0 {
			continue
		}
		stack = append(stack[:0], int32(i))
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			if at < 0 {
				h.leave[^at] = clock
				stack = stack[:len(stack)-1]
				continue
			}
			h.enter[at] = clock
			clock++
			stack[len(stack)-1] = ^at
			stack = append(stack, first[at]...)
		}
	}
}

// Len is the number of commits.
func (h *History) Len() int { return len(h.entries) }

// Has says whether the history holds a commit.
func (h *History) Has(commit string) bool { _, ok := h.byID[commit]; return ok }

// Entry gives the commit at an index. It must not be changed.
func (h *History) Entry(i int32) *Entry { return &h.entries[i] }

// Ident gives the person at an index.
func (h *History) Ident(i int32) Ident { return h.idents[i] }

// Idents is the number of persons as written.
func (h *History) Idents() int { return len(h.idents) }

// Path gives the path at an index.
func (h *History) Path(i int32) string { return h.paths[i] }

func (h *History) ident(name, email string) int32 {
	ident := Ident{clean(name, 200), clean(email, 200)}
	id, ok := h.idIDs[ident]
	if !ok {
		id = int32(len(h.idents))
		h.idents = append(h.idents, ident)
		h.idIDs[ident] = id
	}
	return id
}

func (h *History) path(name string) int32 {
	id, ok := h.pathIDs[name]
	if !ok {
		id = int32(len(h.paths))
		h.paths = append(h.paths, name)
		h.pathIDs[name] = id
	}
	return id
}

// View is a History as of one commit: it sees that commit and its ancestors
// only.
type View struct {
	h      *History
	commit int32
	seen   []bool
}

// At gives the view as of a commit of the history.
func (h *History) At(commit string) (*View, error) {
	i, ok := h.byID[commit]
	if !ok {
		return nil, fmt.Errorf("history does not hold %s: %w", clean(commit, 64), ErrUnknownRev)
	}
	seen := make([]bool, i+1)
	seen[i] = true
	for at := i; at >= 0; at-- {
		if seen[at] {
			for _, p := range h.entries[at].Parents {
				if p >= 0 {
					seen[p] = true
				}
			}
		}
	}
	return &View{h, i, seen}, nil
}

// History is what the view is of.
func (v *View) History() *History { return v.h }

// Commit is the index of the commit the view is as of.
func (v *View) Commit() int32 { return v.commit }

// Sees says whether the entry at an index is the view's commit or an ancestor.
func (v *View) Sees(i int32) bool { return i >= 0 && int(i) < len(v.seen) && v.seen[i] }

// Touched lists the entries of the view that touched a path, oldest first.
func (v *View) Touched(name string) []int32 {
	id, ok := v.h.pathIDs[name]
	if !ok {
		return nil
	}
	var list []int32
	for _, p := range v.h.touched[id] {
		if v.Sees(p.entry) {
			list = append(list, p.entry)
		}
	}
	return list
}

// last finds the newest commit on the first-parent chain of at that touched a
// path, and its touch; ok is false when there is none.
func (h *History) last(at, path int32) (place, bool) {
	list := h.touched[path]
	n, _ := slices.BinarySearchFunc(list, at+1, func(p place, at int32) int { return int(p.entry) - int(at) })
	for i := n - 1; i >= 0; i-- {
		if c := list[i].entry; h.enter[c] <= h.enter[at] && h.enter[at] < h.leave[c] {
			return list[i], true
		}
	}
	return place{}, false
}

// blob gives the object id prefix of a path as of a commit, 0 for no such file.
func (h *History) blob(at, path int32) uint64 {
	p, ok := h.last(at, path)
	if !ok {
		return 0
	}
	t := &h.entries[p.entry].Touches[p.touch]
	if t.Status == 'D' || t.Path != path {
		return 0
	}
	return t.Blob
}

// Names lists the path and the names that the file had before, newest first.
func (v *View) Names(name string) []string {
	names := []string{name}
	at := v.commit
	id, ok := v.h.pathIDs[name]
	for ok && len(names) < 64 {
		p, found := v.h.last(at, id)
		if !found {
			break
		}
		e := &v.h.entries[p.entry]
		t := &e.Touches[p.touch]
		if t.Path != id || t.Status == 'D' {
			break
		}
		if t.Old >= 0 {
			id = t.Old
			if !slices.Contains(names, v.h.paths[id]) {
				names = append(names, v.h.paths[id])
			}
		}
		if len(e.Parents) == 0 || e.Parents[0] < 0 {
			break
		}
		at = e.Parents[0]
	}
	return names
}

// Origin is the commit that a line comes from.
type Origin struct {
	Line  int   // 1-based, as asked
	Entry int32 // index of the entry; -1 when the history does not say
}

// maxTraced bounds the lines of one Trace.
const maxTraced = 100_000

type traced struct{ line, at int32 }

// Trace says which commit last changed each line of the ranges (1-based,
// inclusive) of a file as of the view's commit. Lines pass through commits for
// which ignore is true, through those that are Bulk and through hunks that
// changed only white space, to the author before. Lines that a merge brought
// count for the merged side's commits. Lines past the end of the file are the
// caller's mistake and give an unspecified origin.
func (v *View) Trace(name string, ranges [][2]int, ignore func(entry int32) bool) []Origin {
	id, ok := v.h.pathIDs[name]
	var lines []traced
	for _, r := range ranges {
		for line := max(r[0], 1); line <= r[1] && len(lines) < maxTraced; line++ {
			lines = append(lines, traced{int32(line), int32(line)})
		}
	}
	slices.SortFunc(lines, func(a, b traced) int { return int(a.line) - int(b.line) })
	lines = slices.Compact(lines)
	origin := make(map[int32]int32, len(lines))
	if ok {
		v.h.trace(v.commit, id, lines, ignore, origin)
	}
	result := make([]Origin, len(lines))
	for i, l := range lines {
		entry, ok := origin[l.line]
		if !ok {
			entry = -1
		}
		result[i] = Origin{int(l.line), entry}
	}
	return result
}

// maxSteps bounds how many versions of a file one Trace looks at.
const maxSteps = 200_000

func (h *History) trace(at, path int32, lines []traced, ignore func(int32) bool, origin map[int32]int32) {
	type work struct {
		at, path int32
		lines    []traced
	}
	todo := []work{{at, path, lines}}
	for steps := 0; len(todo) > 0 && steps < maxSteps; steps++ {
		w := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		p, ok := h.last(w.at, w.path)
		if !ok {
			continue
		}
		e := &h.entries[p.entry]
		t := &e.Touches[p.touch]
		if t.Path != w.path || t.Status == 'D' {
			continue
		}
		before := int32(-1)
		if len(e.Parents) > 0 {
			before = e.Parents[0]
		}
		old := t.Path
		if t.Old >= 0 {
			old = t.Old
		}
		skip := e.Bulk || ignore != nil && ignore(p.entry)
		var older, changed []traced
		if t.Status == 'A' || t.Opaque || before < 0 {
			changed = w.lines
		} else {
			older, changed = split(t.Hunks, w.lines, skip)
		}
		if len(older) > 0 {
			todo = append(todo, work{before, old, older})
		}
		if len(changed) == 0 {
			continue
		}
		side := int32(-1)
		for _, parent := range e.Parents[min(1, len(e.Parents)):] {
			if parent < 0 {
				continue
			}
			if t.Blob != 0 && h.blob(parent, w.path) == t.Blob {
				side = parent
				break
			}
		}
		if side >= 0 {
			todo = append(todo, work{side, w.path, changed})
			continue
		}
		by := p.entry
		for _, parent := range e.Parents[min(1, len(e.Parents)):] {
			if parent < 0 {
				continue
			}
			// Both sides changed the file: the side's last word on it.
			if q, ok := h.last(parent, w.path); ok && (before < 0 || !h.onChain(q.entry, before)) {
				by = q.entry
				break
			}
		}
		for _, l := range changed {
			origin[l.line] = by
		}
	}
}

// onChain says whether a is on the first-parent chain of b.
func (h *History) onChain(a, b int32) bool {
	return h.enter[a] <= h.enter[b] && h.enter[b] < h.leave[a]
}

// split maps lines of the new version through the hunks: older gets those that
// were there before, with their old numbers, changed those that a hunk wrote.
// With skip, lines of a hunk that replaced others map to the replaced ones.
func split(hunks []Hunk, lines []traced, skip bool) (older, changed []traced) {
	delta, i := int32(0), 0
	for _, l := range lines {
		for i < len(hunks) {
			k := &hunks[i]
			if k.NewCount == 0 && l.at <= k.NewStart || k.NewCount > 0 && l.at < k.NewStart+k.NewCount {
				break
			}
			delta += k.OldCount - k.NewCount
			i++
		}
		if i < len(hunks) && hunks[i].NewCount > 0 && l.at >= hunks[i].NewStart {
			k := &hunks[i]
			if (skip || k.Format) && k.OldCount > 0 {
				back := int64(l.at-k.NewStart) * int64(k.OldCount) / int64(k.NewCount)
				older = append(older, traced{l.line, k.OldStart + int32(back)})
			} else {
				changed = append(changed, l)
			}
			continue
		}
		older = append(older, traced{l.line, l.at + delta})
	}
	// Mapping through a shrunk hunk may repeat or, in hostile data, reorder.
	slices.SortStableFunc(older, func(a, b traced) int { return int(a.at) - int(b.at) })
	return older, changed
}

// Paths is the number of paths.
func (h *History) Paths() int { return len(h.paths) }
