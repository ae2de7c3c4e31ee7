package git

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
)

// Landed is one step of the first-parent history: what a commit, or a merge with
// all that it brought, did to the files that were asked about.
type Landed struct {
	ID, First string // commit, and its first parent, "" for none
	Second    string // of a merge, what it merged
	Author    Ident
	Committer Ident
	People    []Ident // whom trailers name: reviewers, approvers, mergers
	Authored  int64   // seconds since 1970 UTC
	Committed int64
	Subject   string
	Reverts   []string // commits that the message says it reverts
	Files     []Rewritten
}

// Rewritten is what became of a file's lines, without what stands around them.
type Rewritten struct {
	Path           string
	Removed, Added []string
	Created        bool // there was no such file before
}

// Bounds of one step.
const (
	maxLandedLines = 4000 // of one file; what is past them is not kept
	maxLandedFiles = 2000
	maxLandedLine  = 400
	maxReverts     = 16
)

// Land reads the steps of the first-parent history up to commit that touch files
// under the patterns (git's :(glob) syntax), oldest first, at most the newest
// `most` of them. With since, a commit of that history, only those after it are
// read.
func (r *Repository) Land(ctx context.Context, commit, since string, patterns []string, most int, step func(*Landed) error) error {
	if !isID(commit) || since != "" && !isID(since) {
		return fmt.Errorf("history of %q: expected full commit ids", clean(commit, 64))
	}
	shadow, err := r.shadow()
	if err != nil {
		return err
	}
	defer os.RemoveAll(shadow)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	args := []string{
		"log", "--stdin", "--first-parent", "--diff-merges=first-parent", "--root", "-p", "-U0", "--no-renames", "--no-color",
		"--no-ext-diff", "--no-textconv", "--no-show-signature", "--no-notes", "--no-decorate", "--no-mailmap", "--submodule=short",
		"--src-prefix=a/", "--dst-prefix=b/", "--encoding=UTF-8", "--reverse", "--max-count=" + strconv.Itoa(most), "--format=" + logFormat, "--",
	}
	for _, pattern := range patterns {
		args = append(args, ":(glob)"+pattern)
	}
	cmd := r.command(ctx, shadow, []string{"GIT_LITERAL_PATHSPECS=0"}, args...)
	question := commit + "\n"
	if since != "" {
		question += "^" + since + "\n"
	}
	cmd.Stdin = strings.NewReader(question)
	stderr := &bounded{limit: 4096, drop: true}
	cmd.Stderr = stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	p := &landedParser{logParser: logParser{in: bufio.NewReaderSize(out, 1<<17)}}
	parseErr := p.parse(step)
	if parseErr != nil {
		cancel()
	}
	io.Copy(io.Discard, out)
	err = cmd.Wait()
	switch {
	case parseErr != nil:
		return fmt.Errorf("history of %s: %w", commit, parseErr)
	case err != nil && ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		return fmt.Errorf("history of %s: git log: %w: %s", commit, err, clean(stderr.data.String(), 400))
	}
	return nil
}

// Authored gives the author dates of commits, in seconds since 1970 UTC.
func (r *Repository) Authored(ctx context.Context, commits []string) (map[string]int64, error) {
	authored := map[string]int64{}
	if len(commits) == 0 {
		return authored, nil
	}
	var question strings.Builder
	for _, id := range commits {
		if !isID(id) {
			return nil, fmt.Errorf("%q: expected a full commit id", clean(id, 100))
		}
		question.WriteString(id + "\n")
	}
	out, err := r.run(ctx, maxBlobLog, []byte(question.String()), nil, "log", "--stdin", "--no-walk=unsorted", "--no-show-signature", "--no-notes", "--no-decorate", "--format=%H %at")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(out)) {
		if id, at, ok := strings.Cut(strings.TrimSpace(line), " "); ok {
			authored[id] = seconds(at)
		}
	}
	return authored, nil
}

type landedParser struct {
	logParser
	step *Landed
	file *Rewritten
	old  string
}

func (p *landedParser) parse(done func(*Landed) error) error {
	finish := func() error {
		step := p.step
		p.step, p.file = nil, nil
		if step == nil || len(step.Files) == 0 {
			return nil
		}
		return done(step)
	}
	for {
		first, err := p.in.Peek(1)
		if err == io.EOF {
			return finish()
		}
		if err != nil {
			return err
		}
		switch first[0] {
		case 0:
			if err = finish(); err == nil {
				err = p.head()
			}
		case '@':
			err = p.lines()
		default:
			err = p.names()
		}
		if err != nil {
			return err
		}
	}
}

func (p *landedParser) head() error {
	if _, err := p.in.Discard(1); err != nil {
		return err
	}
	var fields [9]string
	for i := range fields {
		limit := maxField
		if i == 8 {
			limit = maxMessage
		}
		var err error
		if fields[i], err = p.field(limit); err != nil {
			return err
		}
	}
	if !isID(fields[0]) {
		return fmt.Errorf("expected a commit id, found %q", clean(fields[0], 64))
	}
	ident := func(name, email string) Ident { return Ident{clean(name, 200), clean(email, 200)} }
	s := &Landed{ID: fields[0], Author: ident(fields[2], fields[3]), Committer: ident(fields[5], fields[6]), Authored: seconds(fields[4]), Committed: seconds(fields[7])}
	for i, parent := range strings.Fields(fields[1]) {
		switch i {
		case 0:
			s.First = parent
		case 1:
			s.Second = parent
		}
	}
	// The people of trailers are read as for a History, into one of its own.
	people := &History{idIDs: map[Ident]int32{}}
	trailers := logParser{h: people}
	_, approvers := trailers.trailers(fields[8])
	for _, i := range approvers {
		s.People = append(s.People, people.idents[i])
	}
	subject, _, _ := strings.Cut(strings.TrimLeft(fields[8], "\n"), "\n")
	s.Subject = clean(subject, 200)
	for line := range strings.Lines(fields[8]) {
		_, rest, ok := strings.Cut(strings.ToLower(line), "this reverts commit ")
		if id, _, _ := strings.Cut(strings.TrimSpace(rest)+" ", " "); ok && len(s.Reverts) < maxReverts {
			if id = strings.TrimRight(id, ".,;)"); len(id) >= 7 && strings.Trim(id, "0123456789abcdef") == "" {
				s.Reverts = append(s.Reverts, id)
			}
		}
	}
	p.step = s
	return nil
}

// names reads a line of a patch's head, or an empty one.
func (p *landedParser) names() error {
	line, err := p.line()
	if err != nil || p.step == nil {
		return err
	}
	switch {
	case bytes.HasPrefix(line, []byte("diff --git ")):
		p.file, p.old = nil, ""
	case bytes.HasPrefix(line, []byte("--- ")):
		p.old = sideName(string(line[4:]), "a/")
	case bytes.HasPrefix(line, []byte("+++ ")):
		name := sideName(string(line[4:]), "b/")
		if name == "" {
			name = p.old
		}
		if len(p.step.Files) < maxLandedFiles {
			p.step.Files = append(p.step.Files, Rewritten{Path: name, Created: p.old == ""})
			p.file = &p.step.Files[len(p.step.Files)-1]
		}
	}
	return nil
}

func (p *landedParser) lines() error {
	line, err := p.line()
	if err != nil {
		return err
	}
	k, err := parseHunk(string(line))
	if err != nil {
		return err
	}
	left := [2]int32{k.OldCount, k.NewCount}
	for left[0] > 0 || left[1] > 0 {
		if line, err = p.line(); err != nil {
			return fmt.Errorf("hunk ends early: %w", err)
		}
		if len(line) > 0 && line[0] == '\\' {
			continue
		}
		side := -1
		if len(line) > 0 {
			side = strings.IndexByte("-+", line[0])
		}
		if side < 0 {
			return fmt.Errorf("expected a changed line, found %q", clean(string(line), 80))
		}
		if left[side]--; left[side] < 0 {
			return errors.New("hunk with more lines than it says")
		}
		if p.file == nil || len(line) > maxLandedLine || len(p.file.Removed)+len(p.file.Added) >= maxLandedLines {
			continue
		}
		into := &p.file.Removed
		if side == 1 {
			into = &p.file.Added
		}
		*into = append(*into, string(line[1:]))
	}
	return nil
}
