package main

import (
	"context"
	"fmt"
	"math/rand/v2"

	"github.com/backstitch/backstitch/fix"
)

// measureSet chooses the smallest set of 20,000 changes that close 100,000 issues,
// against taking every change that still closes something, in the order of the list.
var measureSet = Measurement{ID: "set", Run: runSet}

const (
	setIssues  = 100_000
	setChanges = 20_000
)

func runSet(context.Context) ([]Row, error) {
	random := rand.New(rand.NewPCG(11, 12))
	risk := make([]float64, setIssues)
	for i := range risk {
		risk[i] = 10 + 90*random.Float64()
	}
	options := make([]fix.Option, setChanges)
	for i := range options {
		o := fix.Option{Effort: float64([]int{1, 1, 1, 3, 8}[random.IntN(5)]), Site: fmt.Sprint("site", random.IntN(setChanges*3/4))}
		at := random.IntN(setIssues) // what one change closes lies near: an image's packages, a module's advisories
		for range 1 + random.IntN(40) {
			o.Closes = append(o.Closes, (at+random.IntN(200))%setIssues)
		}
		options[i] = o
	}
	start := ownCPU()
	set := fix.Smallest(options, risk)
	spent := (ownCPU() - start).Seconds()
	start = ownCPU()
	closed, sites, effort := make([]bool, setIssues), map[string]bool{}, 0.0
	for _, o := range options {
		fresh := false
		for _, issue := range o.Closes {
			fresh = fresh || !closed[issue]
		}
		if !fresh || sites[o.Site] {
			continue
		}
		sites[o.Site] = true
		effort += o.Effort
		for _, issue := range o.Closes {
			closed[issue] = true
		}
	}
	plain := (ownCPU() - start).Seconds()
	return []Row{
		{What: fmt.Sprintf("smallest set, %d issues and %d changes", setIssues, setChanges), Value: spent, Unit: "CPU s", Baseline: plain, Against: "every change that still closes something", Target: "under 0.5", OK: spent < .5},
		{What: "the effort of that set", Value: set.Effort, Unit: "", Baseline: effort, Against: "every change that still closes something", Target: "less", OK: set.Effort < effort},
	}, nil
}
