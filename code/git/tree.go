package git

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/backstitch/backstitch/code"
)

// maxEntries bounds the entries of one commit's tree.
const maxEntries = 2_000_000

// entry is one file of a tree.
type entry struct {
	path, mode, kind, id string
}

// Tree is the files of one commit as a code.Tree. Like code.Dir it leaves out
// of its list, but still reads, files in folders that code.SkipFolder names.
func (r *Repository) Tree(commit string) code.Tree { return &tree{repo: r, commit: commit} }

type tree struct {
	repo   *Repository
	commit string

	mu     sync.Mutex
	paths  []string
	loaded bool
}

func (e entry) regular() bool { return e.mode == "100644" || e.mode == "100755" || e.mode == "100664" }

// Paths implements code.Tree.
func (t *tree) Paths(ctx context.Context) ([]string, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.loaded {
		return slices.Clone(t.paths), nil
	}
	entries, err := t.repo.entries(ctx, t.commit)
	if err != nil {
		return nil, err
	}
	paths := make([]string, 0, len(entries))
	for _, e := range entries {
		if e.regular() && fs.ValidPath(e.path) && !slices.ContainsFunc(strings.Split(e.path, "/"), code.SkipFolder) {
			paths = append(paths, e.path)
		}
	}
	slices.Sort(paths)
	t.paths, t.loaded = paths, true
	return slices.Clone(paths), nil
}

// Read implements code.Tree. It walks the tree objects along the path, so that
// reading a few files of a commit needs no list of all.
func (t *tree) Read(ctx context.Context, name string) ([]byte, error) {
	missing := &fs.PathError{Op: "read", Path: name, Err: fs.ErrNotExist}
	if !fs.ValidPath(name) || name == "." {
		return nil, missing
	}
	if !isID(t.commit) {
		return nil, fmt.Errorf("tree of %q: expected a full commit id", clean(t.commit, 64))
	}
	id := t.commit + "^{tree}"
	parts := strings.Split(name, "/")
	for i, part := range parts {
		object, err := t.repo.object(ctx, id, "tree")
		if err != nil {
			return nil, fmt.Errorf("%s: %w", clean(name, 1024), err)
		}
		e, ok := treeEntry(object, part, len(t.commit)/2)
		last := i == len(parts)-1
		if !ok || last && !e.regular() || !last && e.mode != "40000" {
			return nil, missing
		}
		id = e.id
	}
	data, err := t.repo.object(ctx, id, "blob")
	if err != nil {
		return nil, fmt.Errorf("%s: %w", clean(name, 1024), err)
	}
	return data, nil
}

// treeEntry finds a name in a tree object, whose ids have size bytes.
func treeEntry(object []byte, name string, size int) (entry, bool) {
	for len(object) > 0 {
		space := bytes.IndexByte(object, ' ')
		end := bytes.IndexByte(object, 0)
		if space < 0 || end < space || len(object) < end+1+size {
			return entry{}, false
		}
		if string(object[space+1:end]) == name {
			return entry{path: name, mode: string(object[:space]), id: hex.EncodeToString(object[end+1 : end+1+size])}, true
		}
		object = object[end+1+size:]
	}
	return entry{}, false
}

// entries lists every entry of a commit's tree, in git's order.
func (r *Repository) entries(ctx context.Context, commit string) ([]entry, error) {
	if !isID(commit) {
		return nil, fmt.Errorf("tree of %q: expected a full commit id", clean(commit, 64))
	}
	out, err := r.run(ctx, maxOutput, nil, nil, "ls-tree", "-r", "-z", "--full-tree", commit)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for _, item := range strings.Split(string(out), "\x00") {
		meta, name, ok := strings.Cut(item, "\t")
		words := strings.Fields(meta)
		if !ok || len(words) != 3 {
			continue
		}
		if len(entries) >= maxEntries {
			return nil, fmt.Errorf("tree of %s: more than %d entries", commit, maxEntries)
		}
		entries = append(entries, entry{name, words[0], words[1], words[2]})
	}
	return entries, nil
}

// Links lists the symbolic links of a commit, sorted. Their targets are text
// that nothing here follows.
func (r *Repository) Links(ctx context.Context, commit string) ([]string, error) {
	entries, err := r.entries(ctx, commit)
	if err != nil {
		return nil, err
	}
	var links []string
	for _, e := range entries {
		if e.mode == "120000" {
			links = append(links, e.path)
		}
	}
	slices.Sort(links)
	return links, nil
}

// Omission is something of a commit that its Tree does not list.
type Omission struct {
	Path string // as git names it; it need not be UTF-8
	Why  string
	// Submodule says that it is a folder whose files another repository holds.
	Submodule bool
}

// Omissions lists what Tree leaves out though it is part of the commit, sorted:
// submodules, and of the paths that wants names symbolic links to what the
// commit does not hold and paths that are no valid UTF-8. Folders that
// code.SkipFolder names are left out on purpose and are not among them.
func (r *Repository) Omissions(ctx context.Context, commit string, wants func(path string) bool) ([]Omission, error) {
	entries, err := r.entries(ctx, commit)
	if err != nil {
		return nil, err
	}
	var list []Omission
	var links []entry
	for _, e := range entries {
		switch {
		case slices.ContainsFunc(strings.Split(e.path, "/"), code.SkipFolder):
		case e.mode == "160000":
			list = append(list, Omission{e.path, "is a submodule; its files belong to another repository", true})
		case !wants(e.path):
		case e.mode == "120000":
			links = append(links, e)
		case e.regular() && !fs.ValidPath(e.path):
			list = append(list, Omission{e.path, "has a path that is no valid UTF-8", false})
		}
	}
	if len(links) > 0 {
		listed := make(map[string]bool, len(entries))
		for _, e := range entries {
			listed[e.path] = e.regular()
		}
		for _, e := range links {
			target, err := r.object(ctx, e.id, "blob")
			if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, code.ErrTooLarge) {
				return nil, fmt.Errorf("%s: %w", clean(e.path, 1024), err)
			}
			if err != nil || path.IsAbs(string(target)) || !listed[path.Join(path.Dir(e.path), string(target))] {
				list = append(list, Omission{e.path, "is a symbolic link to what the commit does not hold", false})
			}
		}
	}
	slices.SortFunc(list, func(a, b Omission) int { return strings.Compare(a.Path, b.Path) })
	return list, nil
}

// object reads one object through the process kept for that.
func (r *Repository) object(ctx context.Context, id, kind string) ([]byte, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.batch == nil {
		b, err := r.startBatch()
		if err != nil {
			return nil, err
		}
		r.batch = b
	}
	data, err := r.batch.read(ctx, id, kind)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, code.ErrTooLarge) {
		r.batch.stop()
		r.batch = nil
		if ctx.Err() != nil {
			err = ctx.Err()
		}
	}
	return data, err
}

// batch is a running "git cat-file --batch-command".
type batch struct {
	cancel context.CancelFunc
	cmd    *exec.Cmd
	in     io.WriteCloser
	out    *bufio.Reader
	once   *sync.Once
}

func (r *Repository) startBatch() (*batch, error) {
	shadow, err := r.shadow()
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(shadow)
	ctx, cancel := context.WithCancel(context.Background())
	cmd := r.command(ctx, shadow, nil, "cat-file", "--batch-command")
	in, err := cmd.StdinPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		cancel()
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		cancel()
		return nil, err
	}
	b := &batch{cancel: cancel, cmd: cmd, in: in, out: bufio.NewReaderSize(out, 1<<16), once: new(sync.Once)}
	// The answer to a first question shows that git has read its folder, which
	// is removed on return.
	if _, err := b.ask("info " + strings.Repeat("0", 40)); err != nil {
		b.stop()
		return nil, fmt.Errorf("git cat-file: %w", err)
	}
	once := b.once
	runtime.AddCleanup(r, func(once *sync.Once) { once.Do(func() { in.Close(); cancel(); cmd.Wait() }) }, once)
	return b, nil
}

func (b *batch) stop() {
	b.once.Do(func() {
		b.in.Close()
		b.cancel()
		b.cmd.Wait()
	})
}

func (b *batch) ask(question string) (string, error) {
	if _, err := io.WriteString(b.in, question+"\n"); err != nil {
		return "", err
	}
	line, err := b.out.ReadString('\n')
	return strings.TrimSuffix(line, "\n"), err
}

func (b *batch) read(ctx context.Context, id, kind string) ([]byte, error) {
	stop := context.AfterFunc(ctx, b.cancel)
	defer stop()
	answer, err := b.ask("info " + id)
	if err != nil {
		return nil, err
	}
	size, err := objectSize(answer, id, kind)
	if err != nil {
		return nil, err
	}
	if size > code.MaxFile {
		return nil, code.ErrTooLarge
	}
	if answer, err = b.ask("contents " + id); err != nil {
		return nil, err
	}
	if again, err := objectSize(answer, id, kind); err != nil || again != size {
		return nil, fmt.Errorf("object %s: unexpected answer %q", id, clean(answer, 100))
	}
	data := make([]byte, size+1)
	if _, err := io.ReadFull(b.out, data); err != nil {
		return nil, err
	}
	return data[:size:size], nil
}

func objectSize(answer, id, kind string) (int64, error) {
	words := strings.Fields(answer)
	switch {
	case len(words) == 2 && words[1] == "missing":
		return 0, fmt.Errorf("object %s is not in this clone: %w", id, fs.ErrNotExist)
	case len(words) != 3 || words[1] != kind:
		return 0, fmt.Errorf("object %s: unexpected answer %q", id, clean(answer, 100))
	}
	return strconv.ParseInt(words[2], 10, 64)
}
