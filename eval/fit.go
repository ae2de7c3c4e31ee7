package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"text/tabwriter"
	"time"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/owner"
)

// fitOwners fits the general weights of the owner's signals on the fix commits that
// B9 asks about, says how good they are on repositories that they were not fitted on,
// beside those that are compiled in, and what each signal adds: how much worse
// the answers get without it. The weights of all repositories are printed as they
// stand in owner/suggest.go.
func fitOwners(ctx context.Context, data string, out io.Writer) error {
	bundles, err := filepath.Glob(filepath.Join(data, "ownership", "backtest", "*", "history.bundle"))
	if err != nil {
		return err
	}
	if len(bundles) < 2 {
		return errors.New("fit: expected the histories of at least two repositories in ownership/backtest")
	}
	sort.Strings(bundles)
	cases := make([][]*owner.Case, len(bundles))
	for i, bundle := range bundles {
		if cases[i], err = fitCases(ctx, filepath.Dir(bundle)); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(filepath.Dir(bundle)), err)
		}
	}
	others := func(left int) (list []*owner.Case) {
		for i := range cases {
			if i != left {
				list = append(list, cases[i]...)
			}
		}
		return list
	}
	// crossed is how often the right person is first, and among the first three, in
	// repositories that the weights were not fitted on.
	crossed := func(without int) (first, three []int) {
		for left := range cases {
			f := owner.Fit(others(left), without)
			one, some := ranks(f, cases[left])
			first, three = append(first, one), append(three, some)
		}
		return first, three
	}
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "REPOSITORY\tCASES\tFIRST\tFIRST THREE\tCOMPILED IN: FIRST\tFIRST THREE")
	first, three := crossed(-1)
	total, sum1, sum3 := 0, 0, 0
	all1, all3 := 0, 0
	for i, bundle := range bundles {
		one, some := ranks(owner.General(), cases[i])
		n := float64(len(cases[i]))
		fmt.Fprintf(table, "%s\t%d\t%.3f\t%.3f\t%.3f\t%.3f\n", filepath.Base(filepath.Dir(bundle)), len(cases[i]), float64(first[i])/n, float64(three[i])/n, float64(one)/n, float64(some)/n)
		total, sum1, sum3, all1, all3 = total+len(cases[i]), sum1+first[i], sum3+three[i], all1+one, all3+some
	}
	n := float64(total)
	fmt.Fprintf(table, "all\t%d\t%.3f\t%.3f\t%.3f\t%.3f\n\n", total, float64(sum1)/n, float64(sum3)/n, float64(all1)/n, float64(all3)/n)

	weights := owner.Fit(others(-1), -1).Weights()
	compiled := owner.General().Weights()
	fmt.Fprintln(table, "SIGNAL\tWEIGHT\tCOMPILED IN\tADDS TO FIRST\tADDS TO FIRST THREE")
	for k, name := range owner.FittedSignals() {
		if err := ctx.Err(); err != nil {
			return err
		}
		without1, without3 := 0, 0
		one, some := crossed(k)
		for i := range one {
			without1, without3 = without1+one[i], without3+some[i]
		}
		fmt.Fprintf(table, "%s\t%.3f\t%.3f\t%+.3f\t%+.3f\n", name, weights[k], compiled[k], float64(sum1-without1)/n, float64(sum3-without3)/n)
	}
	return table.Flush()
}

// ranks counts the cases with the right person first, and among the first three.
func ranks(f owner.Fitted, cases []*owner.Case) (first, three int) {
	for _, c := range cases {
		switch rank := f.Rank(c); {
		case rank == 0:
			first++
			three++
		case rank == 1, rank == 2:
			three++
		}
	}
	return first, three
}

// fitCases measures the cases of one repository.
func fitCases(ctx context.Context, folder string) ([]*owner.Case, error) {
	questions, lines, err := readOwnerCases(filepath.Join(folder, "cases.jsonl"))
	if err != nil {
		return nil, err
	}
	temporary, err := os.MkdirTemp("", "backstitch-fit-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(temporary)
	clone := filepath.Join(temporary, "clone.git")
	bundle, err := filepath.Abs(filepath.Join(folder, "history.bundle"))
	if err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "git", "clone", "-q", "--bare", "--", bundle, clone).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("git clone: %w: %s", err, out)
	}
	repo, err := git.Open(ctx, clone)
	if err != nil {
		return nil, err
	}
	defer repo.Close()
	index, _, err := indexAll(ctx, repo, questions)
	if err != nil {
		return nil, err
	}
	list := make([]*owner.Case, len(questions))
	for i, q := range questions {
		var files []owner.File
		for name, ranges := range q.Files {
			files = append(files, owner.File{Path: name, Lines: ranges})
		}
		truth, err := truthOf(lines[i])
		if err != nil {
			return nil, err
		}
		if list[i], err = index.Case(ctx, q.Parent, time.Unix(q.Time, 0), files, truth); err != nil {
			return nil, err
		}
	}
	return list, nil
}
