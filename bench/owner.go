package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/owner"
)

// measureOwner is a suggestion of owners for twenty lines of a file, once the
// history is indexed, each as of another commit so that nothing is kept from
// the one before. The baseline is what others start from: one git blame of the
// same file, without any ranking. The index itself is timed beside one blame of
// every file.
var measureOwner = Measurement{ID: "owner", Run: suggestOwners}

const (
	ownerCommits   = 4000
	ownerFiles     = 300
	ownerPeople    = 25
	ownerLines     = 400
	ownerQuestions = 60
	ownerLimit     = 50 * time.Millisecond
)

func suggestOwners(ctx context.Context) (rows []Row, err error) {
	dir, err := os.MkdirTemp("", "backstitch-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bare := filepath.Join(dir, "shop.git")
	if _, err := cpu(ctx, "", "git", "init", "-q", "--bare", "-b", "main", bare); err != nil {
		return nil, err
	}
	load := exec.CommandContext(ctx, "git", "--git-dir", bare, "fast-import", "--quiet")
	load.Stdin = bytes.NewReader(ownerHistory())
	if out, err := load.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("git fast-import: %w: %s", err, out)
	}
	repo, err := git.Open(ctx, bare)
	if err != nil {
		return nil, err
	}
	defer repo.Close()
	head, err := repo.Resolve(ctx, "main")
	if err != nil {
		return nil, err
	}
	began := time.Now()
	history, err := repo.History(ctx, head, "")
	if err != nil {
		return nil, err
	}
	index, err := owner.NewIndex(ctx, repo, history)
	if err != nil {
		return nil, err
	}
	// The first question makes the index learn from the last commits.
	if _, err := index.At(ctx, head, time.Unix(history.Entry(int32(history.Len()-1)).Committed, 0)); err != nil {
		return nil, err
	}
	indexed := time.Since(began)

	var slowest, total, blame time.Duration
	for i := range ownerQuestions {
		entry := history.Entry(int32(history.Len() - 1 - i))
		name := ownerFile(i * 5)
		began := time.Now()
		resolver, err := index.At(ctx, entry.ID, time.Unix(entry.Committed, 0))
		if err != nil {
			return nil, err
		}
		owners, err := resolver.Suggest(ctx, owner.Subject{Path: name, Lines: [][2]int{{100, 119}}})
		if err != nil {
			return nil, err
		}
		if len(owners) == 0 {
			return nil, fmt.Errorf("%s at %s: nobody suggested", name, entry.ID)
		}
		took := time.Since(began)
		total += took
		slowest = max(slowest, took)

		began = time.Now()
		if _, err := cpu(ctx, "", "git", "--git-dir", bare, "blame", "--porcelain", entry.ID, "--", name); err != nil {
			return nil, err
		}
		blame += time.Since(began)
	}
	mean, meanBlame := total/ownerQuestions, blame/ownerQuestions
	return []Row{
		{
			What: "owner suggestion, mean", Value: milliseconds(mean), Unit: "ms", Baseline: milliseconds(meanBlame), Against: "git blame of the file",
			Target: "under 50 ms and under the blame", OK: mean < ownerLimit && mean < meanBlame,
		},
		{What: "owner suggestion, slowest", Value: milliseconds(slowest), Unit: "ms", Target: "under 50 ms", OK: slowest < ownerLimit},
		{
			What: fmt.Sprintf("history index, %d commits", history.Len()), Value: indexed.Seconds(), Unit: "s",
			Baseline: (meanBlame * ownerFiles).Seconds(), Against: "git blame of each file", Target: "under the blames", OK: indexed < meanBlame*ownerFiles,
		},
	}, nil
}

func ownerFile(i int) string {
	i %= ownerFiles
	return fmt.Sprintf("service%d/part%d/file%d.go", i%6, i%20, i)
}

// ownerHistory is a history in the form that git fast-import reads: people who
// come and go edit a few lines of some files a commit.
func ownerHistory() []byte {
	random := rand.New(rand.NewPCG(1, 2))
	files := make([][]string, ownerFiles)
	for i := range files {
		for n := range ownerLines {
			files[i] = append(files[i], fmt.Sprintf("line %d of %d", n, i))
		}
	}
	var b bytes.Buffer
	for c := range ownerCommits {
		person := (c*ownerPeople/ownerCommits + random.IntN(8)) % ownerPeople
		who := fmt.Sprintf("Person %d <p%d@example.org> %d +0000", person, person, 1_600_000_000+c*7200)
		message := fmt.Sprintf("Change %d", c)
		fmt.Fprintf(&b, "commit refs/heads/main\nmark :%d\nauthor %s\ncommitter %s\ndata %d\n%s\n", c+1, who, who, len(message), message)
		if c > 0 {
			fmt.Fprintf(&b, "from :%d\n", c)
		}
		touched := map[int]bool{}
		for range 1 + random.IntN(3) {
			touched[random.IntN(ownerFiles)] = true
		}
		for i := range files {
			if c > 0 && !touched[i] {
				continue
			}
			for range 1 + random.IntN(6) {
				files[i][random.IntN(ownerLines)] = fmt.Sprintf("line of change %d, %d", c, random.Uint32())
			}
			text := strings.Join(files[i], "\n") + "\n"
			fmt.Fprintf(&b, "M 100644 inline %s\ndata %d\n%s\n", ownerFile(i), len(text), text)
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}
