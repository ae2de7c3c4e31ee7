package main

import (
	"context"
	"maps"
)

// benchmarkB2 reads inventories and the statements about how software was made.
//
//	parsed  share of the files below sbom that are read rightly: an inventory with as
//	        many components and package URLs as a plain count of its text finds, a
//	        file that is none, or is broken, refused with an error
//	tampered_refused, valid_accepted, undecided_refused
//	        of attestations, see there
var benchmarkB2 = Benchmark{
	ID: "B2", Title: "SBOM and attestations", Needs: "sbom",
	Targets: map[string]float64{"parsed": 1, "tampered_refused": 1, "valid_accepted": 1, "undecided_refused": 1},
	Run:     runB2,
}

// b2Parts are measured one after the other, each with metrics of its own.
var b2Parts = []func(ctx context.Context, data string) (Result, error){inventories, attestations}

func runB2(ctx context.Context, data string) (Result, error) {
	all := Result{Metrics: map[string]float64{}}
	for _, part := range b2Parts {
		result, err := part(ctx, data)
		if err != nil {
			return all, err
		}
		all.Cases += result.Cases
		maps.Copy(all.Metrics, result.Metrics)
		all.Notes = append(all.Notes, result.Notes...)
	}
	return all, nil
}
