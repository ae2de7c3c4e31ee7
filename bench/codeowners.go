package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"regexp"
	"strings"
	"time"

	"github.com/backstitch/backstitch/code/codeowners"
)

// measureCodeowners is who owns every path of a large tree by a file of a few
// hundred rules, and by one of a hundred thousand. The baseline compiles each
// pattern to a regular expression and tries them from the last.
var measureCodeowners = Measurement{ID: "codeowners", Run: ownEveryPath}

const (
	ownedPaths      = 20_000
	ownerRules      = 400
	ownerRulesLarge = 100_000
	ownedLimit      = 50 * time.Millisecond
	ownedLargeLimit = 250 * time.Millisecond
	ownedRuns       = 3
)

func ownEveryPath(context.Context) ([]Row, error) {
	random := rand.New(rand.NewPCG(5, 6))
	paths := make([]string, ownedPaths)
	for i := range paths {
		paths[i] = ownedPath(random)
	}
	text := ownersFile(random, ownerRules)
	rules, lines, took := ownByRules(text, paths)
	if rules == 0 {
		return nil, errors.New("the generated file owns none of the generated paths")
	}
	expressions, err := ownerExpressions(text)
	if err != nil {
		return nil, err
	}
	before := ownCPU()
	for i, path := range paths {
		line := 0
		for j := len(expressions) - 1; j >= 0; j-- {
			if expressions[j].MatchString(path) {
				line = j + 1
				break
			}
		}
		if line != lines[i] {
			return nil, fmt.Errorf("%s: line %d decides, the regular expressions say %d", path, lines[i], line)
		}
	}
	naive := ownCPU() - before
	ownedLarge, _, large := ownByRules(ownersFile(random, ownerRulesLarge), paths)
	if ownedLarge < ownedPaths/2 {
		return nil, fmt.Errorf("the large generated file owns %d of the generated paths", ownedLarge)
	}
	return []Row{
		{
			What: "owners of 20,000 paths by 400 rules, CPU", Value: milliseconds(took), Unit: "ms",
			Baseline: milliseconds(naive), Against: "a regular expression a pattern, tried from the last; same answers",
			Target: "under 50 ms", OK: took < ownedLimit,
		},
		{
			What: "owners of 20,000 paths by 100,000 rules, CPU", Value: milliseconds(large), Unit: "ms",
			Target: "under 250 ms", OK: large < ownedLargeLimit,
		},
	}, nil
}

// ownByRules gives how many paths are owned, the deciding lines, and the least
// CPU time of ownedRuns runs, reading of the file apart.
func ownByRules(text string, paths []string) (owned int, lines []int, least time.Duration) {
	rules, _ := codeowners.Parse(codeowners.GitHub, "CODEOWNERS", []byte(text))
	lines = make([]int, len(paths))
	for run := range ownedRuns {
		before := ownCPU()
		owned = 0
		for i, path := range paths {
			match := rules.Match(path)
			lines[i] = match.Line
			if len(match.Owners) > 0 {
				owned++
			}
		}
		if took := ownCPU() - before; run == 0 || took < least {
			least = took
		}
	}
	return owned, lines, least
}

func ownedPath(random *rand.Rand) string {
	var path strings.Builder
	for range 1 + random.IntN(6) {
		fmt.Fprintf(&path, "p%d/", random.IntN(20))
	}
	fmt.Fprintf(&path, "f%d.%s", random.IntN(100), []string{"go", "ts", "md", "yaml", "tf"}[random.IntN(5)])
	return path.String()
}

// ownersFile writes rules in the mix of real files: mostly anchored folders,
// some by extension, some with wildcards between.
func ownersFile(random *rand.Rand, rules int) string {
	var file strings.Builder
	file.WriteString("* @a/all\n")
	for i := range rules - 1 {
		n, m := random.IntN(20), random.IntN(max(20, rules/20))
		switch i % 10 {
		case 0:
			fmt.Fprintf(&file, "*.x%d @a/t%d\n", m, n)
		case 1:
			fmt.Fprintf(&file, "/p%d/**/p%d/*.go @a/t%d\n", n, m, i%40)
		case 2:
			fmt.Fprintf(&file, "p%d/p%d/ @a/t%d\n", m, n, i%40)
		case 3:
			fmt.Fprintf(&file, "/p%d/f%d* @a/t%d\n", n, m, i%40)
		default:
			fmt.Fprintf(&file, "/p%d/p%d/p%d/ @a/t%d\n", n, m, random.IntN(20), i%40)
		}
	}
	return file.String()
}

// ownerExpressions compiles the patterns of ownersFile one by one.
func ownerExpressions(text string) ([]*regexp.Regexp, error) {
	var expressions []*regexp.Regexp
	for line := range strings.Lines(text) {
		pattern := strings.Fields(line)[0]
		source := regexp.QuoteMeta(strings.TrimSuffix(strings.TrimPrefix(pattern, "/"), "/"))
		source = strings.ReplaceAll(source, `/\*\*/`, `/(?:.*/)?`)
		source = strings.ReplaceAll(source, `\*`, `[^/]*`)
		if !strings.Contains(strings.TrimSuffix(pattern, "/"), "/") {
			source = `(?:.*/)?` + source
		}
		if strings.HasSuffix(pattern, "/") {
			source += "/.*"
		} else {
			source += "(?:/.*)?"
		}
		expression, err := regexp.Compile(`\A(?:` + source + `)\z`)
		if err != nil {
			return nil, err
		}
		expressions = append(expressions, expression)
	}
	return expressions, nil
}
