package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/fix"
)

// benchmarkB11 measures whether our change is as small as that of people.
//
// A case is one real commit in Go or Python manifests that closes advisories. The
// question is what a report puts, as in B10: every package of every manifest that
// the commit raised out of an advisory. The answer is the union of the paths that
// are recommended for them, each planned alone and compared, without a registry. It
// is judged by the number of requirements that move, a requirement being a package
// in a manifest: people's count are those that close advisories, so that what they
// raised on the way does not excuse ours. Commits in manifests of other ecosystems do
// not say which advisories they close.
//
//	at_most_human  share of cases where we move at most as many requirements, with a
//	               path for every package
//	planned        share of packages that have a path
var benchmarkB11 = Benchmark{
	ID:      "B11",
	Title:   "smallest change",
	Needs:   "fixes/index.jsonl",
	Targets: map[string]float64{"at_most_human": .90, "planned": 1},
	Run:     runB11,
}

func runB11(ctx context.Context, data string) (Result, error) {
	index, done, err := b10Index(ctx, data)
	if err != nil {
		return Result{}, err
	}
	defer done()
	commits, err := b10Commits(data)
	if err != nil {
		return Result{}, err
	}
	result := Result{Metrics: map[string]float64{"at_most_human": 0, "planned": 0}}
	packages, cases := 0, map[string]int{}
	for _, c := range commits {
		people, ours, missing := map[string]bool{}, map[string]bool{}, 0
		for i := range c.Changes {
			change := &c.Changes[i]
			if len(change.Fixes) == 0 {
				continue
			}
			people[change.File+" "+b10Name(b10Ecosystem(c.Kind), change.name())] = true
			target, err := b10Target(ctx, data, index, &c, change)
			if err != nil {
				return Result{}, fmt.Errorf("%s: %w", c.Dir, err)
			}
			path, err := recommendB11(ctx, target)
			if err != nil {
				return Result{}, fmt.Errorf("%s: %s: %w", c.Dir, change.name(), err)
			}
			if path == nil {
				missing++
				result.Notes = append(result.Notes, fmt.Sprintf("%s %s %s: no path", c.Dir, change.name(), change.From))
				continue
			}
			for _, moved := range path.Changes {
				ours[change.File+" "+b10Name(target.Module.Ecosystem, moved.Package)] = true
			}
		}
		if len(people) == 0 {
			continue
		}
		suffix := "_" + strings.ToLower(b10Ecosystem(c.Kind))
		result.Cases++
		cases[suffix]++
		packages += len(people)
		result.Metrics["planned"] += float64(len(people) - missing)
		result.Metrics["at_most_human"+suffix] += 0
		if missing == 0 && len(ours) <= len(people) {
			result.Metrics["at_most_human"]++
			result.Metrics["at_most_human"+suffix]++
		} else if missing == 0 {
			names := []string{}
			for name := range ours {
				names = append(names, name)
			}
			slices.Sort(names)
			result.Notes = append(result.Notes, fmt.Sprintf("%s: we move %d requirements, people moved %d: %s", c.Dir, len(ours), len(people), strings.Join(names, ", ")))
		}
	}
	if packages > 0 {
		result.Metrics["planned"] /= float64(packages)
	}
	cases[""] = result.Cases
	for suffix, n := range cases {
		if n > 0 {
			result.Metrics["at_most_human"+suffix] /= float64(n)
		}
	}
	return result, nil
}

// recommendB11 plans and compares the paths for one target; nil when there is none.
func recommendB11(ctx context.Context, target *fix.Target) (*fix.Path, error) {
	var paths []fix.Path
	for _, fixer := range builtin.Fixers(nil) {
		planner, ok := fixer.(fix.ModuleFixer)
		if !ok || !planner.Handles(target.Module) {
			continue
		}
		planned, err := planner.Plan(ctx, target)
		if err != nil {
			return nil, err
		}
		paths = append(paths, planned...)
	}
	if len(paths) == 0 {
		return nil, nil
	}
	return &fix.Compare(fix.Group(paths))[0], nil
}
