package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"syscall"
	"time"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/owner"
)

// benchmarkB9 asks who would fix given lines, for real fix commits: the
// suggestion is made at the fix's parent from the parent and its ancestors
// only, and counts as right when the person who made the fix is first, or among
// the first three persons that the history names. Teams, and handles and
// addresses that only CODEOWNERS knows, are left out: the truth is a person
// under the history's pseudonym.
var benchmarkB9 = Benchmark{
	ID:      "B9",
	Title:   "owner suggestion",
	Needs:   "ownership/backtest",
	Targets: map[string]float64{"top1": .52, "top3": .83, "case_ms": 200, "precision_at_8": .80, "coverage_at_8": .35, "calibration_error": .05},
	// How long a case takes judges the machine as well (50 and 57 ms were seen on one): the bench
	// holds it against its baseline, and here only what is wholly off is a miss.
	Asked: map[string]float64{"case_ms": 50},
	Most:  map[string]bool{"case_ms": true, "calibration_error": true},
	Run:   runB9,
}

// ownerQuestion is what a prediction may look at.
type ownerQuestion struct {
	Parent string              `json:"parent"`
	Time   int64               `json:"time"`
	Files  map[string][][2]int `json:"files"`
}

// ownerScore counts right answers; calibration sums the confidence of the first
// suggestion beside the rate of right ones, by tenths of confidence.
type ownerScore struct {
	cases, first, three int
	slowest             time.Duration
	predicting          time.Duration
	confidence          [10]float64
	right, asked        [10]int
	sure, surelyRight   int // of those with confidence .8 or more
}

func runB9(ctx context.Context, data string) (Result, error) {
	folders, err := filepath.Glob(filepath.Join(data, "ownership", "backtest", "*", "history.bundle"))
	if err != nil {
		return Result{}, err
	}
	sort.Strings(folders)
	var all ownerScore
	var notes []string
	for _, bundle := range folders {
		score, note, err := backtest(ctx, filepath.Dir(bundle))
		if err != nil {
			return Result{}, fmt.Errorf("%s: %w", filepath.Base(filepath.Dir(bundle)), err)
		}
		notes = append(notes, note)
		all.cases += score.cases
		all.first += score.first
		all.three += score.three
		all.slowest = max(all.slowest, score.slowest)
		all.predicting += score.predicting
		for i := range all.asked {
			all.confidence[i] += score.confidence[i]
			all.right[i] += score.right[i]
			all.asked[i] += score.asked[i]
		}
		all.sure += score.sure
		all.surelyRight += score.surelyRight
	}
	if all.cases == 0 {
		return Result{}, errors.New("no cases")
	}
	for i, asked := range all.asked {
		if asked > 0 {
			notes = append(notes, fmt.Sprintf("calibration: %d cases of mean confidence %.2f, %.2f right", asked, all.confidence[i]/float64(asked), float64(all.right[i])/float64(asked)))
		}
	}
	n := float64(all.cases)
	gap := 0.0
	for i := range all.asked {
		gap += math.Abs(all.confidence[i] - float64(all.right[i]))
	}
	return Result{Cases: all.cases, Notes: notes, Metrics: map[string]float64{
		"top1": float64(all.first) / n, "top3": float64(all.three) / n,
		"case_ms":        float64(all.predicting.Microseconds()) / 1000 / n,
		"precision_at_8": float64(all.surelyRight) / float64(max(1, all.sure)), "coverage_at_8": float64(all.sure) / n,
		"calibration_error": gap / n,
		"slowest_case_ms":   float64(all.slowest.Microseconds()) / 1000,
	}}, nil
}

func backtest(ctx context.Context, folder string) (ownerScore, string, error) {
	var score ownerScore
	questions, lines, err := readOwnerCases(filepath.Join(folder, "cases.jsonl"))
	if err != nil {
		return score, "", err
	}
	temporary, err := os.MkdirTemp("", "backstitch-b9-")
	if err != nil {
		return score, "", err
	}
	defer os.RemoveAll(temporary)
	clone := filepath.Join(temporary, "clone.git")
	bundle, err := filepath.Abs(filepath.Join(folder, "history.bundle"))
	if err != nil {
		return score, "", err
	}
	if out, err := exec.CommandContext(ctx, "git", "clone", "-q", "--bare", "--", bundle, clone).CombinedOutput(); err != nil {
		return score, "", fmt.Errorf("git clone: %w: %s", err, out)
	}
	repo, err := git.Open(ctx, clone)
	if err != nil {
		return score, "", err
	}
	defer repo.Close()
	start := time.Now()
	index, history, err := indexAll(ctx, repo, questions)
	if err != nil {
		return score, "", err
	}
	indexed := time.Since(start)

	answers := make([][]fact.Owner, len(questions))
	for i, q := range questions {
		start := ownCPU()
		subject := owner.Subject{}
		for name, ranges := range q.Files {
			subject.Files = append(subject.Files, owner.File{Path: name, Lines: ranges})
		}
		resolver, err := index.At(ctx, q.Parent, time.Unix(q.Time, 0))
		if err != nil {
			return score, "", err
		}
		if answers[i], err = resolver.Suggest(ctx, subject); err != nil {
			return score, "", err
		}
		took := ownCPU() - start
		score.predicting += took
		score.slowest = max(score.slowest, took)
	}
	for i, line := range lines {
		truth, err := truthOf(line)
		if err != nil {
			return score, "", err
		}
		score.count(answers[i], truth)
	}
	n := float64(score.cases)
	note := fmt.Sprintf("%s: %d cases, first %.3f, first three %.3f; %d commits indexed in %v, %.1f ms a case",
		filepath.Base(folder), score.cases, float64(score.first)/n, float64(score.three)/n, history.Len(), indexed.Round(time.Millisecond),
		float64(score.predicting.Microseconds())/1000/n)
	return score, note, nil
}

// readOwnerCases gives the questions, and the lines in which the truth stays
// unread until every question is answered.
func readOwnerCases(name string) ([]ownerQuestion, [][]byte, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	var questions []ownerQuestion
	var lines [][]byte
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 64<<20)
	for n := 1; scanner.Scan(); n++ {
		var q ownerQuestion
		if err := json.Unmarshal(scanner.Bytes(), &q); err != nil {
			return nil, nil, fmt.Errorf("%s:%d: %w", name, n, err)
		}
		questions = append(questions, q)
		lines = append(lines, append([]byte(nil), scanner.Bytes()...))
	}
	return questions, lines, scanner.Err()
}

// truthOf reads who made the fix.
func truthOf(line []byte) (string, error) {
	var truth struct{ Truth string }
	err := json.Unmarshal(line, &truth)
	return truth.Truth, err
}

// indexAll reads the history of the newest branch once, and what the questions'
// commits need beyond it.
func indexAll(ctx context.Context, repo *git.Repository, questions []ownerQuestion) (*owner.Index, *git.History, error) {
	branches, err := repo.Branches(ctx)
	if err != nil {
		return nil, nil, err
	}
	if len(branches) == 0 {
		return nil, nil, git.ErrNoCommits
	}
	history, err := repo.History(ctx, branches[0].Commit, "")
	if err != nil {
		return nil, nil, err
	}
	for _, q := range questions {
		if err := repo.Extend(ctx, history, q.Parent); err != nil {
			return nil, nil, err
		}
	}
	index, err := owner.NewIndex(ctx, repo, history)
	return index, history, err
}

func (s *ownerScore) count(suggestions []fact.Owner, truth string) {
	s.cases++
	rank, confidence := 0, 0.0
	for _, o := range suggestions {
		if o.Kind != "person" || declaredOnly(o) {
			continue
		}
		rank++
		if rank == 1 {
			confidence = o.Confidence
			bin := min(int(confidence*10), 9)
			s.confidence[bin] += confidence
			s.asked[bin]++
			if o.Name == truth {
				s.right[bin]++
			}
			if confidence >= .8 {
				s.sure++
				if o.Name == truth {
					s.surelyRight++
				}
			}
		}
		if o.Name != truth || rank > 3 {
			continue
		}
		if rank == 1 {
			s.first++
		}
		s.three++
		return
	}
}

func declaredOnly(o fact.Owner) bool {
	for _, e := range o.Evidence {
		if e.Kind != "codeowners" && e.Weight > 0 {
			return false
		}
	}
	return true
}

// ownCPU is the time that this process has computed for, which holds on a busy
// machine.
func ownCPU() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
