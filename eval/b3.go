package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/codeowners"
	"github.com/klauspost/compress/zstd"
)

// B3: who owns each path of real trees by their CODEOWNERS files. Truth is
// what another parser says: a line a path, its owners after a tab, nothing
// after it when nobody owns the path. A path counts as equal when the owners
// are the same in the same order. Single patterns have verdicts of their own.
var benchmarkB3 = Benchmark{
	ID: "B3", Title: "owners of paths by CODEOWNERS", Needs: "ownership/codeowners",
	Targets: map[string]float64{"paths_equal": .999, "patterns_equal": .999},
	Run:     b3,
}

// b3Notes bounds how many differences are listed for one repository.
const b3Notes = 10

func b3(ctx context.Context, data string) (Result, error) {
	result := Result{Metrics: map[string]float64{}}
	files, err := filepath.Glob(filepath.Join(data, "ownership", "codeowners", "repos", "*", "CODEOWNERS"))
	if err != nil {
		return result, err
	}
	paths, equal := 0, 0
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return result, err
		}
		repository := filepath.Base(filepath.Dir(file))
		rules, problems := codeowners.Parse(codeowners.GitHub, repository+"/CODEOWNERS", text)
		for _, problem := range problems {
			result.Notes = append(result.Notes, problem.String())
		}
		truth, err := b3Truth(filepath.Join(filepath.Dir(file), "expected.tsv.zst"))
		if err != nil {
			return result, err
		}
		different := 0
		for _, t := range truth {
			match := rules.Match(t.path)
			paths++
			if slices.Equal(match.Owners, t.owners) {
				equal++
				continue
			}
			if different++; different <= b3Notes {
				result.Notes = append(result.Notes, fmt.Sprintf("%s: %s: line %d gives %v, expected %v", repository, t.path, match.Line, match.Owners, t.owners))
			}
		}
	}
	result.Cases = paths
	if paths > 0 {
		result.Metrics["paths_equal"] = float64(equal) / float64(paths)
	}
	return result, b3Patterns(filepath.Join(data, "ownership", "codeowners", "patterns.json"), &result)
}

// b3Patterns judges each pattern by itself: does it match each of its paths?
func b3Patterns(name string, result *Result) error {
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var cases []struct {
		Pattern string          `json:"pattern"`
		Paths   map[string]bool `json:"paths"`
	}
	if err := json.Unmarshal(text, &cases); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	verdicts, equal := 0, 0
	for _, c := range cases {
		rules, _ := codeowners.Parse(codeowners.GitHub, "CODEOWNERS", []byte(c.Pattern+" @owner\n"))
		for path, want := range c.Paths {
			verdicts++
			if got := rules.Match(path).Line > 0; got == want {
				equal++
			} else {
				result.Notes = append(result.Notes, fmt.Sprintf("pattern %q matches %q: %v, expected %v", c.Pattern, path, got, want))
			}
		}
	}
	result.Cases += verdicts
	if verdicts > 0 {
		result.Metrics["patterns_equal"] = float64(equal) / float64(verdicts)
	}
	slices.Sort(result.Notes)
	return nil
}

type b3Path struct {
	path   string
	owners []string
}

func b3Truth(name string) ([]b3Path, error) {
	packed, err := os.ReadFile(name)
	if err != nil {
		return nil, err
	}
	reader, err := zstd.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	defer reader.Close()
	var truth []b3Path
	lines := bufio.NewScanner(reader)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		tab := strings.LastIndexByte(line, '\t') // a path may hold one itself
		if tab < 0 {
			return nil, fmt.Errorf("%s:%d: expected a path, a tab and owners", name, len(truth)+1)
		}
		truth = append(truth, b3Path{line[:tab], strings.Fields(line[tab:])})
	}
	return truth, lines.Err()
}
