package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code"
)

// benchmarkB13 measures whether the place that we would edit is the one that people
// edited.
//
// A case is a commit that changed configuration. What is asked is what a scanner could
// know from the files as they were before: which object, and which field of it. Lines
// are never given; the real hunks are read after the answer. The files b13_*.go say for
// each kind how a question is made. A commit from which no question can be made, since
// all that it changes is beyond the text that is at hand, is counted and told with the
// reason by -v.
//
// An answer is the block that holds the bytes which the first path edits, or the line
// that it names where people have to choose the value. It is right when a hunk of the
// commit touches it; a case with several questions counts by the share that is right.
//
//	overlap             over all cases that were asked
//	overlap_KIND        over those of one kind
//	of_all_KIND         the same, with a case that was not asked counted as wrong
//	lines_KIND          as overlap_KIND, with the lines of the edit in place of its block
//	asked_KIND          number of cases that were asked
//	not_asked_KIND      number of cases from which no question can be made
var benchmarkB13 = Benchmark{
	ID:      "B13",
	Title:   "where configuration is edited",
	Needs:   "fixes/terraform-change",
	Targets: map[string]float64{"overlap": .7},
	Run:     runB13,
}

// placing is one kind of case.
type placing struct {
	name   string // "terraform"
	folder string // below fixes/
	// answer makes the questions of a commit and answers them. No answers with why
	// means that nothing can be asked.
	answer func(ctx context.Context, c *placed) (answers []placedAt, why string, err error)
}

// placed is one commit: its files before and after by their real paths. The hunks are
// for the judge only.
type placed struct {
	dir           string
	before, after code.Files
	hunks         map[string][]span
}

// span is a range of lines of the file before, both ends counted in. One of an
// insertion holds the lines between which it stands.
type span struct{ first, last int }

func (s span) meets(o span) bool { return s.first <= o.last && o.first <= s.last }

// placedAt is an answer: the lines that are edited, the block that holds them, and the
// question for the notes.
type placedAt struct {
	question     string
	path         string // "" for no answer
	lines, block span
}

// placings lists the kinds of cases.
func placings() []placing {
	return []placing{{"terraform", "terraform-change", placeTerraform}, {"kubernetes", "k8s-change", placeKubernetes}}
}

func runB13(ctx context.Context, data string) (Result, error) {
	result := Result{Metrics: map[string]float64{}}
	total, cases := 0.0, 0
	for _, kind := range placings() {
		folders, err := filepath.Glob(filepath.Join(data, "fixes", kind.folder, "*", "metadata.json"))
		if err != nil {
			return Result{}, err
		}
		right, lines, asked, not := 0.0, 0.0, 0, 0
		for _, name := range folders {
			if ctx.Err() != nil {
				return Result{}, ctx.Err()
			}
			c, err := readPlaced(filepath.Dir(name))
			if err != nil {
				return Result{}, err
			}
			hunks := c.hunks
			c.hunks = nil
			answers, why, err := kind.answer(ctx, c)
			if err != nil {
				return Result{}, fmt.Errorf("%s: %w", c.dir, err)
			}
			if len(answers) == 0 {
				not++
				result.Notes = append(result.Notes, fmt.Sprintf("%s not asked: %s", c.dir, why))
				continue
			}
			asked++
			hit, exact := 0, 0
			for _, a := range answers {
				met := slices.ContainsFunc(hunks[a.path], a.block.meets)
				if met {
					hit++
				} else {
					result.Notes = append(result.Notes, fmt.Sprintf("%s: %s: answered %s:%d, people edited %v", c.dir, a.question, a.path, a.lines.first, hunks))
				}
				if slices.ContainsFunc(hunks[a.path], a.lines.meets) {
					exact++
				}
			}
			right += float64(hit) / float64(len(answers))
			lines += float64(exact) / float64(len(answers))
		}
		if asked > 0 {
			result.Metrics["overlap_"+kind.name] = right / float64(asked)
			result.Metrics["lines_"+kind.name] = lines / float64(asked)
			result.Metrics["of_all_"+kind.name] = right / float64(asked+not)
		}
		result.Metrics["asked_"+kind.name], result.Metrics["not_asked_"+kind.name] = float64(asked), float64(not)
		total, cases = total+right, cases+asked
	}
	result.Cases = cases
	if cases > 0 {
		result.Metrics["overlap"] = total / float64(cases)
	}
	return result, nil
}

// readPlaced reads the folder of a commit.
func readPlaced(dir string) (*placed, error) {
	data, err := os.ReadFile(filepath.Join(dir, "metadata.json"))
	if err != nil {
		return nil, err
	}
	var meta struct {
		Files []string
		Hunks map[string][]string
	}
	if err := json.Unmarshal(data, &meta); err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	c := &placed{dir: filepath.Base(dir), before: code.Files{}, after: code.Files{}, hunks: map[string][]span{}}
	for _, name := range meta.Files {
		flat := strings.ReplaceAll(name, "/", "__")
		for side, into := range map[string]code.Files{"before": c.before, "after": c.after} {
			text, err := os.ReadFile(filepath.Join(dir, side, flat))
			if err == nil {
				into[name] = text
			} else if !os.IsNotExist(err) {
				return nil, err
			}
		}
		for _, hunk := range meta.Hunks[name] {
			s, ok := hunkSpan(hunk)
			if !ok {
				return nil, fmt.Errorf("%s: %s: hunk %q is none", dir, name, hunk)
			}
			c.hunks[name] = append(c.hunks[name], s)
		}
		if len(meta.Hunks) == 0 {
			c.hunks[name] = changedSpans(c.before[name], c.after[name])
		}
	}
	return c, nil
}

// hunkSpan reads the lines before from the head of a hunk, "@@ -15,2 +15 @@".
func hunkSpan(text string) (span, bool) {
	fields := strings.Fields(text)
	if len(fields) < 3 || !strings.HasPrefix(fields[1], "-") {
		return span{}, false
	}
	first, count, several := strings.Cut(fields[1][1:], ",")
	from, err := strconv.Atoi(first)
	if err != nil {
		return span{}, false
	}
	n := 1
	if several {
		if n, err = strconv.Atoi(count); err != nil {
			return span{}, false
		}
	}
	if n == 0 {
		return span{from, from + 1}, true
	}
	return span{from, from + n - 1}, true
}
