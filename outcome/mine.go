package outcome

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/git"
)

// Bounds of one repository.
const (
	maxSteps   = 50_000 // newest commits of the first-parent history
	maxChanges = 400_000
	maxCache   = 256 << 20
	maxNames   = 8 // of one commit's reviewers
)

// scheme begins a kept index; raise it when step or what is read from lines changes.
const scheme = "backstitch outcomes 1\n"

type kept struct {
	Repository, Commit string
	Steps              []step
}

// New mines the history of a repository up to a commit. With a cacheDir it keeps what
// it read there and later reads only the commits that are new.
func New(ctx context.Context, repository *git.Repository, commit, cacheDir string) (*Index, error) {
	identity, err := repository.Identity(ctx)
	if err != nil {
		return nil, err
	}
	x := &Index{Repository: identity, Commit: commit, shallow: repository.Shallow()}
	name := ""
	if cacheDir != "" && !x.shallow {
		sum := sha256.Sum256([]byte(identity))
		name = filepath.Join(cacheDir, "outcomes-"+hex.EncodeToString(sum[:12])+".gob")
	}
	since := ""
	if name != "" {
		if have, err := load(name); err == nil && have.Repository == identity {
			if have.Commit == commit {
				x.steps = have.Steps
				x.judge()
				return x, nil
			}
			line, err := repository.FirstParents(ctx, commit)
			if err != nil {
				return nil, fmt.Errorf("history of %s: %w", identity, err)
			}
			if slices.Contains(line, have.Commit) {
				x.steps, since = have.Steps, have.Commit
			}
		}
	}
	if err := x.mine(ctx, repository, since); err != nil {
		return nil, err
	}
	x.judge()
	if name != "" {
		if err := save(name, kept{identity, commit, x.steps}); err != nil {
			return nil, fmt.Errorf("keep outcomes of %s: %w", identity, err)
		}
	}
	return x, nil
}

// mine appends the steps after since.
func (x *Index) mine(ctx context.Context, repository *git.Repository, since string) error {
	first, total := len(x.steps), x.Len()
	words := map[string]string{}
	one := func(s string) string { // equal texts share their bytes
		if known, ok := words[s]; ok {
			return known
		}
		s = strings.Clone(s)
		words[s] = s
		return s
	}
	err := repository.Land(ctx, x.Commit, since, patterns, maxSteps, func(l *git.Landed) error {
		if total >= maxChanges {
			return nil
		}
		s := step{ID: l.ID, Second: l.Second, Subject: l.Subject, Reverts: l.Reverts, Authored: l.Authored, Committed: l.Committed, By: by(l)}
		for i := range l.Files {
			for _, c := range read(&l.Files[i]) {
				c.Name, c.Path, c.From, c.To = one(c.Name), one(c.Path), one(c.From), one(c.To)
				s.Changes = append(s.Changes, c)
			}
		}
		total += len(s.Changes)
		if len(s.Changes) > 0 {
			x.steps = append(x.steps, s)
		}
		return nil
	})
	if err != nil {
		return err
	}
	var merged []string
	for i := first; i < len(x.steps); i++ {
		if id := x.steps[i].Second; id != "" {
			merged = append(merged, id)
		}
	}
	authored, err := repository.Authored(ctx, merged)
	if err != nil {
		return err
	}
	for i := first; i < len(x.steps); i++ {
		if at := authored[x.steps[i].Second]; at > 0 {
			x.steps[i].Authored = at
		}
	}
	return nil
}

// by names who let a step in: reviewers whom its trailers name, and who committed
// the work of another. Forges and bots that commit for people are nobody.
func by(l *git.Landed) []string {
	var names []string
	add := func(who git.Ident) {
		name := cmp.Or(who.Name, who.Email)
		machine := strings.HasSuffix(name, "[bot]") || strings.Contains(who.Email, "[bot]") || strings.HasPrefix(who.Email, "noreply@") || name == ""
		if !machine && who.Email != l.Author.Email && !slices.Contains(names, name) && len(names) < maxNames {
			names = append(names, name)
		}
	}
	for _, who := range l.People {
		add(who)
	}
	add(l.Committer)
	if l.Second != "" && len(names) == 0 && !strings.HasSuffix(l.Author.Name, "[bot]") && !strings.HasPrefix(l.Author.Email, "noreply@") {
		names = append(names, cmp.Or(l.Author.Name, l.Author.Email)) // who made the merge
	}
	return names
}

// judge finds what was taken back, and lists the changes by subject and kind.
func (x *Index) judge() {
	x.subjects, x.kinds = map[subject][]*change{}, map[kind][]*change{}
	type place struct {
		subject
		path string
	}
	standing := map[place][]*change{} // not taken back so far, oldest first
	bySubject := map[string]*step{}
	byID := map[string]*step{}
	for i := range x.steps {
		s := &x.steps[i]
		named := x.named(s, bySubject, byID)
		for j := range s.Changes {
			c := &s.Changes[j]
			c.at = s
			key := place{c.subject(), c.Path}
			before := standing[key]
			for k := len(before) - 1; k >= 0; k-- {
				p := before[k]
				if s.Committed-p.at.Committed > undoWithin || p.at == s {
					break
				}
				if c.takesBack(p, slices.Contains(named, p.at)) {
					c.undo = true
					if !p.undo {
						p.reverted = s
					}
					before = slices.Delete(before, k, k+1)
				}
			}
			if c.Kind != Config && !c.undo && order(c.To, c.From) < 0 {
				c.undo = true // a step down is no bump
			}
			standing[key] = append(before, c)
		}
		bySubject[plainSubject(s.Subject)] = s
		byID[s.ID] = s
		if s.Second != "" {
			byID[s.Second] = s
		}
		x.now = max(x.now, s.Committed)
	}
	for i := range x.steps {
		for j := range x.steps[i].Changes {
			x.list(&x.steps[i].Changes[j])
		}
	}
}

// named lists the steps that a step says it reverts.
func (x *Index) named(s *step, bySubject, byID map[string]*step) []*step {
	var list []*step
	for _, id := range s.Reverts {
		if at, ok := byID[id]; ok {
			list = append(list, at)
			continue
		}
		for i := len(x.steps) - 1; i >= 0 && len(id) < 40; i-- { // an abbreviated id
			if at := &x.steps[i]; byID[at.ID] == at && (strings.HasPrefix(at.ID, id) || at.Second != "" && strings.HasPrefix(at.Second, id)) {
				list = append(list, at)
				break
			}
		}
	}
	if text, ok := strings.CutPrefix(s.Subject, `Revert "`); ok {
		if end := strings.LastIndexByte(text, '"'); end > 0 {
			if at, ok := bySubject[plainSubject(text[:end])]; ok {
				list = append(list, at)
			}
		}
	}
	return list
}

// plainSubject is a subject without the number of its pull request.
func plainSubject(s string) string {
	if at := strings.LastIndex(s, " (#"); at > 0 && strings.HasSuffix(s, ")") {
		return s[:at]
	}
	return s
}

// takesBack says whether c undoes p, a change of the same thing in the same file.
// named says that the commit of c is said to revert that of p.
func (c *change) takesBack(p *change, named bool) bool {
	if c.Kind == Config {
		swapped := c.Removed == p.Added && c.Added == p.Removed
		return swapped || named
	}
	if c.From != p.To {
		return false // p was overtaken before
	}
	return c.To == p.From && named || order(c.To, c.From) < 0 && order(c.To, p.From) <= 0
}

// digest is of lines, apart from white space at their ends.
func digest(lines []string) uint64 {
	sum := fnv.New64a()
	for _, line := range lines {
		io.WriteString(sum, strings.TrimSpace(line))
		sum.Write([]byte{'\n'})
	}
	return sum.Sum64()
}

// load reads a kept index; one that is damaged in any way is an error.
func load(name string) (kept, error) {
	var k kept
	file, err := os.Open(name)
	if err != nil {
		return k, err
	}
	defer file.Close()
	data, err := io.ReadAll(io.LimitReader(file, maxCache))
	if err != nil {
		return k, err
	}
	body, ok := bytes.CutPrefix(data, []byte(scheme))
	if !ok || len(body) < sha256.Size {
		return k, errors.New("kept outcomes: of another version")
	}
	if sum := sha256.Sum256(body[sha256.Size:]); !bytes.Equal(sum[:], body[:sha256.Size]) {
		return k, errors.New("kept outcomes: damaged")
	}
	err = gob.NewDecoder(bytes.NewReader(body[sha256.Size:])).Decode(&k)
	return k, err
}

// save replaces a kept index in one step.
func save(name string, k kept) error {
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(k); err != nil {
		return err
	}
	if body.Len() > maxCache/2 {
		return nil // it is mined anew each time
	}
	sum := sha256.Sum256(body.Bytes())
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return err
	}
	file, err := os.CreateTemp(filepath.Dir(name), ".outcomes-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	for _, part := range [][]byte{[]byte(scheme), sum[:], body.Bytes()} {
		if _, err := file.Write(part); err != nil {
			file.Close()
			return err
		}
	}
	if err := file.Close(); err != nil {
		return err
	}
	return os.Rename(file.Name(), name)
}
