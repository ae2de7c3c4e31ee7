package git

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
)

var ben = []string{"GIT_AUTHOR_NAME=Ben", "GIT_AUTHOR_EMAIL=ben@example.org", "GIT_AUTHOR_DATE=1700001000 +0000", "GIT_COMMITTER_DATE=1700001000 +0000"}

func numbered(n int, change map[int]string) string {
	var b strings.Builder
	for i := 1; i <= n; i++ {
		text := change[i]
		if text == "" {
			text = fmt.Sprintf("line %d", i)
		}
		b.WriteString(text + "\n")
	}
	return b.String()
}

// blamed gives the commit of each line as Trace sees it.
func blamed(t testing.TB, h *History, commit, name string, lines int, ignore func(int32) bool) []string {
	t.Helper()
	v, err := h.At(commit)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for _, o := range v.Trace(name, [][2]int{{1, lines}}, ignore) {
		id := "unknown"
		if o.Entry >= 0 {
			id = h.Entry(o.Entry).ID
		}
		ids = append(ids, id)
	}
	return ids
}

func TestTraceFollowsLinesThroughEditsRenamesAndMerges(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	write(t, dir, "a b.txt", numbered(12, nil))
	first := commitAll(t, dir, "first")
	sh(t, dir, nil, "checkout", "-q", "-b", "side")
	write(t, dir, "a b.txt", numbered(12, map[int]string{2: "side"}))
	side := commitAll(t, dir, "side", ben...)
	sh(t, dir, nil, "checkout", "-q", "main")
	write(t, dir, "other", "x\n")
	commitAll(t, dir, "other")
	sh(t, dir, nil, "merge", "-q", "--no-ff", "-m", "merge", "side")
	sh(t, dir, nil, "mv", "a b.txt", "c\té.txt")
	write(t, dir, "c\té.txt", "new\n"+numbered(12, map[int]string{2: "side", 9: "renamed"}))
	renamed := commitAll(t, dir, "rename")
	h := must(open(t, dir).History(t.Context(), renamed, ""))(t)
	want := []string{renamed, first, side, first, first, first, first, first, first, renamed, first, first, first}
	if diff := cmp.Diff(want, blamed(t, h, renamed, "c\té.txt", 13, nil)); diff != "" {
		t.Error(diff)
	}
	// As of the side's commit, later ones do not exist.
	want = slices.Repeat([]string{first}, 12)
	want[1] = side
	if diff := cmp.Diff(want, blamed(t, h, side, "a b.txt", 12, nil)); diff != "" {
		t.Error(diff)
	}
	if got := blamed(t, h, side, "c\té.txt", 1, nil); got[0] != "unknown" {
		t.Errorf("a file that does not exist yet has line 1 from %s", got[0])
	}
	v := must(h.At(renamed))(t)
	if diff := cmp.Diff([]string{"c\té.txt", "a b.txt"}, v.Names("c\té.txt")); diff != "" {
		t.Error(diff)
	}
}

func TestTraceLooksThroughIgnoredFormattingAndBulkCommits(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	for i := range 25 {
		write(t, dir, fmt.Sprintf("f%02d.go", i), fmt.Sprintf("package p%d\nimport \"old.example/x\"\nvar a = %d\nvar b = 1\n", i, i))
	}
	first := commitAll(t, dir, "first")
	write(t, dir, "f00.go", "package p0\nimport \"old.example/x\"\nvar  a =   0\nvar b = 1\n")
	format := commitAll(t, dir, "format", ben...)
	for i := range 25 {
		name := filepath.Join(dir, fmt.Sprintf("f%02d.go", i))
		text := string(must(os.ReadFile(name))(t))
		write(t, dir, fmt.Sprintf("f%02d.go", i), "// Licence.\n"+strings.Replace(text, "old.example", "new.example", 1))
	}
	bulk := commitAll(t, dir, "licence and new home", ben...)
	write(t, dir, "f00.go", strings.Replace(string(must(os.ReadFile(filepath.Join(dir, "f00.go")))(t)), "b = 1", "b = 2", 1))
	listed := commitAll(t, dir, "listed", ben...)
	h := must(open(t, dir).History(t.Context(), listed, ""))(t)
	ignore := func(i int32) bool { return h.Entry(i).ID == listed }
	// The licence line is new: nobody wrote it before.
	if diff := cmp.Diff([]string{bulk, first, first, first, first}, blamed(t, h, listed, "f00.go", 5, ignore)); diff != "" {
		t.Errorf("first %s format %s bulk %s listed %s\n%s", first, format, bulk, listed, diff)
	}
	if got := blamed(t, h, listed, "f00.go", 5, nil)[4]; got != listed {
		t.Errorf("a commit that nobody ignores is looked through: %s", got)
	}
	for i := range int32(h.Len()) {
		if e := h.Entry(i); e.Bulk != (e.ID == bulk) {
			t.Errorf("%s: bulk is %v", e.Subject, e.Bulk)
		}
	}
}

// randomHistory makes a repository with edits, renames, deletions and merges.
func randomHistory(t testing.TB, seed uint64, commits int) string {
	t.Helper()
	dir := initRepository(t, "--bare")
	random := rand.New(rand.NewPCG(seed, 1))
	var b bytes.Buffer
	files := map[string][]string{}
	next := 0
	for c := 1; c <= commits; c++ {
		who := fmt.Sprintf("P%d <p%d@example.org> %d +0000", c%5, c%5, 1_700_000_000+c*1000)
		fmt.Fprintf(&b, "commit refs/heads/main\nmark :%d\nauthor %s\ncommitter %s\ndata 4\nwork\n", c, who, who)
		if c > 1 {
			fmt.Fprintf(&b, "from :%d\n", c-1)
		}
		if c > 10 && random.IntN(5) == 0 {
			fmt.Fprintf(&b, "merge :%d\n", c-2-random.IntN(6))
		}
		names := make([]string, 0, len(files))
		for name := range files {
			names = append(names, name)
		}
		slices.Sort(names)
		switch k := random.IntN(10); {
		case len(names) < 4 || k == 0:
			next++
			name := fmt.Sprintf("d%d/f%d", next%3, next)
			for i := range 40 {
				files[name] = append(files[name], fmt.Sprintf("%s %d %d", name, i, random.IntN(1000)))
			}
			names = append(names, name)
		case k == 1:
			name := names[random.IntN(len(names))]
			next++
			to := fmt.Sprintf("d%d/r%d", next%3, next)
			fmt.Fprintf(&b, "R %s %s\n", name, to)
			files[to] = files[name]
			delete(files, name)
			names = []string{to}
		case k == 2 && len(names) > 6:
			name := names[random.IntN(len(names))]
			fmt.Fprintf(&b, "D %s\n", name)
			delete(files, name)
			names = nil
		}
		if len(names) > 0 {
			name := names[random.IntN(len(names))]
			text := slices.Clone(files[name])
			for range 1 + random.IntN(3) {
				at := random.IntN(len(text))
				switch random.IntN(3) {
				case 0:
					text[at] = fmt.Sprintf("edit %d %d", c, random.IntN(1000))
				case 1:
					text = slices.Insert(text, at, fmt.Sprintf("insert %d %d", c, random.IntN(1000)))
				case 2:
					if len(text) > 20 {
						text = slices.Delete(text, at, at+1)
					}
				}
			}
			files[name] = text
			for _, n := range names {
				content := strings.Join(files[n], "\n") + "\n"
				fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", n, len(content), content)
			}
		}
		b.WriteByte('\n')
	}
	cmd := exec.Command("git", "--git-dir", dir, "fast-import", "--quiet")
	cmd.Stdin = &b
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("fast-import: %v\n%s", err, out)
	}
	return dir
}

func TestTraceAgreesWithGitBlameOnLinearHistory(t *testing.T) {
	t.Parallel()
	dir := randomHistory(t, 7, 150)
	// Merges of the generator keep only the first parent's files, so that
	// blame along first parents is the truth.
	head := sh(t, dir, nil, "rev-parse", "main")
	h := must(open(t, dir).History(t.Context(), head, ""))(t)
	lines := 0
	for _, name := range strings.Split(sh(t, dir, nil, "ls-tree", "-r", "--name-only", "main"), "\n") {
		var want []string
		for _, line := range strings.Split(sh(t, dir, nil, "blame", "--first-parent", "-s", "-l", "--root", "main", "--", name), "\n") {
			want = append(want, line[:40])
		}
		lines += len(want)
		if diff := cmp.Diff(want, blamed(t, h, head, name, len(want), nil)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if lines < 100 {
		t.Errorf("only %d lines compared", lines)
	}
}

// dump writes everything that a history says, independent of its order.
func dump(h *History) map[string]string {
	all := map[string]string{}
	for i := range h.entries {
		e := h.entries[i]
		var b strings.Builder
		for _, p := range e.Parents {
			fmt.Fprintf(&b, "parent %s\n", h.entries[p].ID)
		}
		fmt.Fprintln(&b, h.idents[e.Author], h.idents[e.Committer], e.Authored, e.Committed, e.Subject, e.Bulk)
		for _, t := range e.Touches {
			old := ""
			if t.Old >= 0 {
				old = h.paths[t.Old]
			}
			fmt.Fprintln(&b, h.paths[t.Path], old, t.Status, t.Opaque, t.Added, t.Deleted, t.Blob, t.Hunks)
		}
		all[e.ID] = b.String()
	}
	return all
}

func TestIncrementalHistoryEqualsAFullOne(t *testing.T) {
	t.Parallel()
	dir, cache := randomHistory(t, 3, 120), t.TempDir()
	r := open(t, dir)
	ids := strings.Fields(sh(t, dir, nil, "rev-list", "--reverse", "--topo-order", "main"))
	for _, n := range []int{0, 30, 31, 80, len(ids) - 1} {
		step := must(r.History(t.Context(), ids[n], cache))(t)
		full := must(r.History(t.Context(), ids[n], ""))(t)
		a, b := dump(step), dump(full)
		for id := range b {
			if a[id] != b[id] {
				t.Fatalf("after %d commits, %s: kept %q, read anew %q", n, id, a[id], b[id])
			}
		}
		name := strings.Split(sh(t, dir, nil, "ls-tree", "-r", "--name-only", ids[n]), "\n")[0]
		if diff := cmp.Diff(blamed(t, full, ids[n], name, 40, nil), blamed(t, step, ids[n], name, 40, nil)); diff != "" {
			t.Errorf("after %d commits, %s: %s", n, name, diff)
		}
	}
}

func TestADamagedCacheIsReadAnew(t *testing.T) {
	t.Parallel()
	dir, cache := randomHistory(t, 4, 20), t.TempDir()
	r := open(t, dir)
	head := sh(t, dir, nil, "rev-parse", "main")
	want := dump(must(r.History(t.Context(), head, cache))(t))
	names := must(filepath.Glob(filepath.Join(cache, "history-*")))(t)
	if len(names) != 1 {
		t.Fatalf("cache holds %v", names)
	}
	good := must(os.ReadFile(names[0]))(t)
	for what, data := range map[string][]byte{"empty": {}, "cut": good[:len(good)/2], "flipped": append(slices.Clone(good[:len(good)-9]), make([]byte, 9)...)} {
		if err := os.WriteFile(names[0], data, 0o600); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, dump(must(r.History(t.Context(), head, cache))(t))); diff != "" {
			t.Errorf("%s: %s", what, diff)
		}
	}
}

func TestHistorySurvivesAForcePush(t *testing.T) {
	t.Parallel()
	dir, cache := initRepository(t), t.TempDir()
	write(t, dir, "a", "one\n")
	first := commitAll(t, dir, "first")
	write(t, dir, "a", "two\n")
	gone := commitAll(t, dir, "gone")
	r := open(t, dir)
	must(r.History(t.Context(), gone, cache))(t)
	sh(t, dir, nil, "reset", "-q", "--hard", first)
	sh(t, dir, nil, "reflog", "expire", "--expire=now", "--all")
	sh(t, dir, nil, "gc", "-q", "--prune=now")
	write(t, dir, "a", "three\n")
	head := commitAll(t, dir, "third", "GIT_COMMITTER_DATE=1700002000 +0000")
	h := must(r.History(t.Context(), head, cache))(t)
	if got := blamed(t, h, head, "a", 1, nil); got[0] != head {
		t.Errorf("line 1 is from %s, want %s", got[0], head)
	}
}

func TestHistoryOfAShallowCloneStopsAtItsEdge(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	write(t, dir, "a", "one\n")
	commitAll(t, dir, "first")
	write(t, dir, "a", "one\ntwo\n")
	head := commitAll(t, dir, "second")
	to := filepath.Join(t.TempDir(), "clone")
	sh(t, dir, nil, "clone", "-q", "--depth=1", "file://"+dir, to)
	r := open(t, to)
	if !r.Shallow() {
		t.Error("the clone is not seen as shallow")
	}
	h := must(r.History(t.Context(), head, t.TempDir()))(t)
	if diff := cmp.Diff([]string{head, head}, blamed(t, h, head, "a", 2, nil)); diff != "" || h.Len() != 1 {
		t.Errorf("%d commits, %s", h.Len(), diff)
	}
}

func TestHistoryWithMissingObjectsKeepsWhatNamesSay(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	write(t, dir, "a", "one\n")
	commitAll(t, dir, "first")
	old := sh(t, dir, nil, "rev-parse", "HEAD:a")
	write(t, dir, "a", "two\n")
	head := commitAll(t, dir, "second")
	if err := os.Remove(filepath.Join(dir, ".git/objects", old[:2], old[2:])); err != nil {
		t.Fatal(err)
	}
	h := must(open(t, dir).History(t.Context(), head, ""))(t)
	if got := blamed(t, h, head, "a", 1, nil); h.Len() != 2 || got[0] != head {
		t.Errorf("%d commits, line 1 from %s, want %s", h.Len(), got[0], head)
	}
}

func TestPeopleAreReadSafely(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	head := commitAll(t, dir, "fix\x1b[2J it\n\nCo-authored-by: Cé <c@example.org>\nReviewed-by: Dan <dan@example.org>\nSigned-off-by: Eve <eve@example.org>\nCo-authored-by: broken\n",
		"GIT_AUTHOR_NAME=Mal\x1b[31mory\u202e", "GIT_AUTHOR_EMAIL=m@example.org")
	h := must(open(t, dir).History(t.Context(), head, ""))(t)
	e := h.Entry(0)
	var got []Ident
	for _, i := range slices.Concat([]int32{e.Author}, e.CoAuthors, e.Approvers) {
		got = append(got, h.Ident(i))
	}
	want := []Ident{{"Mal [31mory", "m@example.org"}, {"Cé", "c@example.org"}, {"Dan", "dan@example.org"}, {"Eve", "eve@example.org"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if e.Subject != "fix [2J it" {
		t.Errorf("subject is %q", e.Subject)
	}
}

func TestTheLogParserSaysWhereItStopped(t *testing.T) {
	t.Parallel()
	id := strings.Repeat("a", 40)
	head := "\x00" + id + "\x00\x00n\x00e@x\x001\x00n\x00e@x\x001\x00subject\x00\n"
	change := ":100644 100644 " + id + " " + strings.Repeat("b", 40) + " M\tf\n\ndiff --git a/f b/f\n--- a/f\n+++ b/f\n"
	for name, test := range map[string]struct{ log, want string }{
		"cut header":   {head[:50], "header ends early"},
		"no id":        {"\x00zz\x00\x00\x00\x00\x00\x00\x00\x00\x00", "expected a commit id"},
		"cut hunk":     {head + change + "@@ -1 +1 @@\n-a\n", "hunk ends early"},
		"bad hunk":     {head + change + "@@ nonsense\n", "expected a hunk"},
		"huge hunk":    {head + change + "@@ -1,99999999999 +1 @@\n", "expected a hunk"},
		"wrong line":   {head + change + "@@ -1 +1 @@\n x\n", "expected a changed line"},
		"too many":     {head + change + "@@ -1,0 +1 @@\n-x\n", "more lines than it says"},
		"early change": {":100644 100644 a b M\tf\n", "before any commit"},
		"early hunk":   {"@@ -0,0 +1 @@\n+x\n", "before any commit"},
		"bad change":   {head + ":100644 M\tf\n", "expected a raw change"},
	} {
		h := &History{}
		h.index()
		if err := parseLog(strings.NewReader(test.log), h); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want %q", name, err, test.want)
		}
	}
	h := &History{}
	h.index()
	if err := parseLog(iotest.ErrReader(errors.New("pipe broke")), h); err == nil || !strings.Contains(err.Error(), "pipe broke") {
		t.Errorf("error of the reader: %v", err)
	}
}

func FuzzParseLog(f *testing.F) {
	id := strings.Repeat("a", 40)
	f.Add([]byte("\x00" + id + "\x00\x00n\x00e@x\x001\x00n\x00e@x\x001\x00s\n\nCo-authored-by: A <a@b>\x00\n\n:100644 100644 " + id + " " + id + " R090\t\"a\\303\\251\"\tf\n\ndiff --git a/x b/f\n--- a/x\n+++ b/f\t\n@@ -1,2 +1 @@\n-a\n-b\n+c\n\\ No newline at end of file\n"))
	f.Add([]byte("\x00" + id + "\x00" + id + " " + id + "\x00\x00\x00x\x00\x00\x00\x00\x00\n:000000 100644 0 " + id + " A\tf\n@@ -0,0 +1 @@\n+x\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		h := &History{}
		h.index()
		if err := parseLog(bytes.NewReader(data), h); err != nil {
			return
		}
		h.index()
		for i := range h.entries {
			e := &h.entries[i]
			v, err := h.At(e.ID)
			if err != nil {
				t.Fatal(err)
			}
			for _, touch := range e.Touches {
				name := h.Path(touch.Path)
				v.Names(name)
				for n, o := range v.Trace(name, [][2]int{{1, 5}}, nil) {
					if o.Line != n+1 || o.Entry < -1 || o.Entry > int32(i) {
						t.Fatalf("line %d comes from entry %d as of %d", o.Line, o.Entry, i)
					}
				}
			}
		}
	})
}

func FuzzDecodeHistory(f *testing.F) {
	h := &History{entries: []Entry{{ID: strings.Repeat("a", 40), Touches: []Touch{{Path: 0, Old: -1, Status: 'A'}}}}, idents: []Ident{{"n", "e"}}, paths: []string{"f"}}
	data, err := h.encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		h, err := decodeHistory(data)
		if err != nil {
			return
		}
		again, err := h.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := decodeHistory(again); err != nil {
			t.Fatalf("what was read cannot be read again: %v", err)
		}
	})
}
