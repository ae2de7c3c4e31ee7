package owner

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/codeowners"
	"github.com/backstitch/backstitch/code/git"
)

// File is a file and the lines of it that are asked about.
type File struct {
	Path  string   `json:"path"`
	Lines [][2]int `json:"lines"` // 1-based, inclusive; none asks about the whole file
}

// Subject is what an owner is asked for: one file by Path and Lines, or several.
type Subject struct {
	Path  string
	Lines [][2]int
	Files []File // further files
}

func (s Subject) files() []File {
	files := s.Files
	if s.Path != "" {
		files = append([]File{{s.Path, s.Lines}}, files...)
	}
	return files
}

// Index is a repository's history prepared for suggestions as of any of its
// commits. It is safe for concurrent use.
type Index struct {
	repo     *git.Repository
	history  *git.History
	identity string
	machine  []bool // per entry: its subject is one that only tools write
	learner  *learner
}

// NewIndex prepares a history.
func NewIndex(ctx context.Context, repo *git.Repository, history *git.History) (*Index, error) {
	identity, err := repo.Identity(ctx)
	if err != nil {
		return nil, err
	}
	x := &Index{repo: repo, history: history, identity: identity, machine: make([]bool, history.Len())}
	for i := range x.machine {
		x.machine[i] = machineSubject(history.Entry(int32(i)).Subject)
	}
	x.learner = x.newLearner()
	return x, nil
}

// Resolver suggests owners as of one commit of one repository. It is safe for
// concurrent use.
type Resolver struct {
	index    *Index
	view     *git.View
	tree     code.Tree
	commit   string
	now      int64
	people   *people
	model    model
	rules    *codeowners.Rules
	problems []codeowners.Problem
	skip     map[string]bool // commits of .git-blame-ignore-revs
}

// New prepares suggestions as of a commit. The history is kept in cacheDir, if
// not empty. The clock says how long ago things happened.
func New(ctx context.Context, repo *git.Repository, commit, cacheDir string, now time.Time) (*Resolver, error) {
	history, err := repo.History(ctx, commit, cacheDir)
	if err != nil {
		return nil, err
	}
	index, err := NewIndex(ctx, repo, history)
	if err != nil {
		return nil, err
	}
	return index.At(ctx, commit, now)
}

// At gives the resolver as of a commit of the history. Only the commit and its
// ancestors are looked at, whatever else the history holds, and a clock that
// stands before the commit is moved to it.
func (x *Index) At(ctx context.Context, commit string, now time.Time) (*Resolver, error) {
	r, err := x.at(ctx, commit, now)
	if err == nil {
		r.model, err = r.learned(ctx)
	}
	return r, err
}

// at is At with the general model.
func (x *Index) at(ctx context.Context, commit string, now time.Time) (*Resolver, error) {
	view, err := x.history.At(commit)
	if err != nil {
		return nil, err
	}
	r := &Resolver{index: x, view: view, model: general(), tree: x.repo.Tree(commit), commit: commit, now: now.Unix(), skip: map[string]bool{}}
	r.now = max(r.now, x.history.Entry(view.Commit()).Committed)
	data, err := r.read(ctx, ".mailmap")
	if err != nil {
		return nil, err
	}
	r.people = joinPeople(view, parseMailmap(data), x.machine)
	if data, err = r.read(ctx, ".git-blame-ignore-revs"); err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(data)) {
		line, _, _ = strings.Cut(line, "#")
		if id := strings.ToLower(strings.TrimSpace(line)); id != "" {
			r.skip[id] = true
		}
	}
	r.rules, r.problems, err = codeowners.Find(ctx, r.tree, codeowners.DialectOf(x.identity))
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Problems lists the lines of the commit's CODEOWNERS file that were skipped.
func (r *Resolver) Problems() []codeowners.Problem { return r.problems }

// read gives a file of the commit, nothing when it has none.
func (r *Resolver) read(ctx context.Context, name string) ([]byte, error) {
	data, err := r.tree.Read(ctx, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, code.ErrTooLarge) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s at %s: %w", name, r.commit, err)
	}
	return data, nil
}

func (r *Resolver) ignored(entry int32) bool {
	return len(r.skip) > 0 && r.skip[r.view.History().Entry(entry).ID]
}
