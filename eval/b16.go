package main

import (
	"context"
	"fmt"
)

// benchmarkB16 measures our fixes on the cases with which a peer's remediation
// engine tests itself.
//
// A case is a manifest with a small universe of packages and its advisories.
// Our answer is the manifest after the recommended paths were applied, one
// after the other, until no path is left. It is at least as good as the
// manifest that the peer expects when it closes at least the advisories that
// the peer's closes, brings none that was not there before, and moves no more
// requirements. Both manifests are judged by the same resolution over the
// case's universe. The peer's manifest is read after ours was made.
//
//	peer_equal  share of cases with an answer at least as good
var benchmarkB16 = Benchmark{
	ID:      "B16",
	Title:   "peers' own cases",
	Needs:   "fix-engines",
	Targets: map[string]float64{"peer_equal": .95},
	Run:     runB16,
}

// b16Case is the outcome of one case.
type b16Case struct {
	Name  string // path of the case below fix-engines
	Equal bool   // our answer is at least as good as the peer's
	// Aside says that the case tests no remediation; it is noted and not counted.
	Aside bool
	Note  string // how it differs and why, or why it is less good; "" when it is the same
}

func runB16(ctx context.Context, data string) (Result, error) {
	result := Result{Metrics: map[string]float64{"peer_equal": 0}}
	for _, part := range []func(context.Context, string) ([]b16Case, error){b16Maven, b16NPM, b16Python} {
		cases, err := part(ctx, data)
		if err != nil {
			return Result{}, err
		}
		for _, c := range cases {
			if c.Aside {
				result.Notes = append(result.Notes, fmt.Sprintf("%s is not counted: %s", c.Name, c.Note))
				continue
			}
			result.Cases++
			if c.Equal {
				result.Metrics["peer_equal"]++
			}
			if c.Note != "" {
				result.Notes = append(result.Notes, fmt.Sprintf("%s (equal: %t): %s", c.Name, c.Equal, c.Note))
			}
		}
	}
	if result.Cases > 0 {
		result.Metrics["peer_equal"] /= float64(result.Cases)
	}
	return result, nil
}
