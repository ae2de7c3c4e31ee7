package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/terraform"
)

// B6: from a Terraform address to the file and line of its block. Truth is a map
// made by a static walk of real module trees, and what plans and states beside
// real sources hold.
//
//   - all, modules, ambiguous, deep: share of addresses that lead to the very file
//     and line: of all, of those inside modules, of those whose type and name
//     stand in several places of the tree, of those three modules deep.
//   - naive_all, naive_ambiguous: the same for the first block of that type and
//     name in the order of the files, as a baseline.
//   - literal: share of generated attributes whose deciding literal is found, or
//     that are unknown with the name that blocks them (b6_literal.go).
var benchmarkB6 = Benchmark{
	ID: "B6", Title: "Terraform address to line", Needs: "terraform",
	Targets: map[string]float64{"all": .995, "modules": .99, "ambiguous": .99, "deep": .99, "literal": .98},
	Run:     b6,
}

// b6Case is one address to be located: in a root module, or in the one that a
// plan's addresses belong to.
type b6Case struct {
	tree, root, plan, address, truth string
}

func b6(ctx context.Context, data string) (Result, error) {
	result := Result{Metrics: map[string]float64{}}
	cases, err := b6Cases(data)
	if err != nil {
		return result, err
	}
	type count struct{ asked, right int }
	counts := map[string]*count{}
	tally := func(name string, right bool) {
		if counts[name] == nil {
			counts[name] = &count{}
		}
		counts[name].asked++
		if right {
			counts[name].right++
		}
	}
	var loaded *terraform.Configuration
	var naive map[string][]string
	last, lastTree := "", ""
	for i, c := range cases {
		if ctx.Err() != nil {
			return result, ctx.Err()
		}
		tree, err := code.OpenDir(filepath.Join(data, filepath.FromSlash(c.tree)))
		if err != nil {
			return result, err
		}
		if lastTree != c.tree {
			if naive, err = b6Naive(ctx, tree); err != nil {
				return result, err
			}
		}
		if key := c.tree + "|" + c.root + "|" + c.plan; last != key {
			if c.plan == "" {
				loaded, err = terraform.Load(ctx, tree, c.root, terraform.Options{})
			} else {
				loaded, err = b6Root(ctx, tree, c, cases[i:])
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return result, err
			}
			last = key
		}
		lastTree = c.tree
		if err := tree.Close(); err != nil {
			return result, err
		}
		got := ""
		address, _, err := terraform.ParseAddress(c.address)
		if err == nil && loaded != nil {
			if found, _, ok := loaded.Locate(address); ok {
				got = fmt.Sprintf("%s:%d", found.Place.Path, found.Place.Line)
			}
		}
		result.Cases++
		resource := address.Type + "." + address.Name
		first := ""
		if len(naive[resource]) > 0 {
			first = naive[resource][0]
		}
		right, naively := got == c.truth, first == c.truth
		tally("all", right)
		tally("naive_all", naively)
		if len(address.Modules) > 0 {
			tally("modules", right)
		}
		if len(address.Modules) >= 3 {
			tally("deep", right)
		}
		if len(naive[resource]) > 1 {
			tally("ambiguous", right)
			tally("naive_ambiguous", naively)
		}
		if !right {
			result.Notes = append(result.Notes, fmt.Sprintf("%s %s: %s is at %q, expected %s", c.tree, c.root, c.address, got, c.truth))
		}
	}
	for name, n := range counts {
		result.Metrics[name] = float64(n.right) / float64(n.asked)
	}
	literal, notes, err := b6Literals(ctx)
	if err != nil {
		return result, err
	}
	result.Metrics["literal"] = literal
	result.Notes = append(result.Notes, notes...)
	return result, nil
}

// b6Root finds the root module of a plan from the addresses that it holds; a tie
// is no answer.
func b6Root(ctx context.Context, tree code.Tree, c b6Case, rest []b6Case) (*terraform.Configuration, error) {
	var addresses []terraform.Address
	for _, other := range rest {
		if other.tree == c.tree && other.plan == c.plan {
			if address, _, err := terraform.ParseAddress(other.address); err == nil {
				addresses = append(addresses, address)
			}
		}
	}
	roots, err := terraform.RootsOf(ctx, tree, addresses, c.plan)
	if err != nil || len(roots) != 1 {
		return nil, err
	}
	return roots[0], nil
}

// b6Cases reads the addresses of trees and of plans with sources beside them.
func b6Cases(data string) ([]b6Case, error) {
	var cases []b6Case
	var trees map[string]struct {
		Addresses map[string]string `json:"addresses"`
	}
	if err := b6Read(filepath.Join(data, "terraform", "trees", "address-map.json"), &trees); err != nil {
		return nil, err
	}
	for root, of := range trees {
		tree, below, _ := strings.Cut(root, "/")
		for address, truth := range of.Addresses {
			cases = append(cases, b6Case{"terraform/trees/" + tree, below, "", address, truth})
		}
	}
	var plans map[string]struct {
		Mapped map[string]string `json:"mapped"`
	}
	err := b6Read(filepath.Join(data, "terraform", "plan-pairs", "expectations.json"), &plans)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for file, of := range plans {
		for address, truth := range of.Mapped {
			parts := strings.SplitN(file, "/", 4) // terraform/plan-pairs/PAIR/FILE
			cases = append(cases, b6Case{path.Join(parts[:3]...), "", parts[3], address, truth})
		}
	}
	slices.SortFunc(cases, func(a, b b6Case) int {
		return strings.Compare(a.tree+"\x00"+a.root+"\x00"+a.plan+"\x00"+a.address, b.tree+"\x00"+b.root+"\x00"+b.plan+"\x00"+b.address)
	})
	return cases, nil
}

func b6Read(name string, into any) error {
	text, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, into); err != nil {
		return fmt.Errorf("%s: %w", filepath.Base(name), err)
	}
	return nil
}

// b6Naive finds the blocks of each type and name by their first lines alone, in the
// order of the files.
func b6Naive(ctx context.Context, tree code.Tree) (map[string][]string, error) {
	paths, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	found := map[string][]string{}
	for _, name := range paths {
		if !strings.HasSuffix(name, ".tf") {
			continue
		}
		text, err := tree.Read(ctx, name)
		if err != nil {
			return nil, err
		}
		for i, line := range strings.Split(string(text), "\n") {
			if words := strings.Split(line, `"`); strings.HasPrefix(line, "resource ") && len(words) >= 4 {
				key := words[1] + "." + words[3]
				found[key] = append(found[key], fmt.Sprintf("%s:%d", name, i+1))
			}
		}
	}
	return found, nil
}
