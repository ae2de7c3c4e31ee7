// Command eval measures the accuracy of Backstitch on real data with ground
// truth, one benchmark a file. It prints a table, or JSON with -o json.
//
// Each benchmark predicts from inputs only and reads truth after predicting.
// A folder that lacks a benchmark's files leaves that benchmark out.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"os/signal"
	"sort"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/backstitch/backstitch/code/kubernetes"
)

// Benchmark is one measurement of accuracy.
type Benchmark struct {
	ID      string // B1, B3 ...
	Title   string
	Needs   string             // folder below the data folder without which it is left out
	Targets map[string]float64 // metric -> figure to reach; a metric named in Most is at most that
	Most    map[string]bool
	// Asked are figures that were asked for and are not reached yet; Targets then hold
	// what must not get worse.
	Asked map[string]float64
	Run   func(ctx context.Context, data string) (Result, error)
}

// Result is what a benchmark measured.
type Result struct {
	Cases   int                `json:"cases"`
	Seconds float64            `json:"seconds"`
	Metrics map[string]float64 `json:"metrics"`
	// Notes list differences with their reasons; printed with -v.
	Notes []string `json:"notes,omitempty"`
}

func benchmarks() []Benchmark {
	return []Benchmark{benchmarkB1, benchmarkB2, benchmarkB3, benchmarkB4, benchmarkB5, benchmarkB7, benchmarkB6, benchmarkB8, benchmarkB9, benchmarkB10, benchmarkB12, benchmarkB11, benchmarkB13, benchmarkB16, benchmarkB14}
}

func main() {
	if len(os.Args) == 2 && os.Args[1] == kubernetes.RenderCommand {
		if err := kubernetes.ServeRenders(os.Stdin, os.Stdout); err != nil {
			os.Exit(2)
		}
		return
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns 0 when every target is reached, 1 when one is missed, 2 on wrong
// use or failure, 3 when no benchmark found its files.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("eval", flag.ContinueOnError)
	flags.SetOutput(stderr)
	data := flags.String("data", "", "folder of the data")
	only := flags.String("only", "", "comma-separated ids of benchmarks to run")
	output := flags.String("o", "table", "table or json")
	verbose := flags.Bool("v", false, "print each difference with its reason")
	fit := flags.Bool("fit", false, "fit the weights of the owner's signals anew, instead of running benchmarks")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	if *data == "" || (*output != "table" && *output != "json") {
		fmt.Fprintln(stderr, "usage: eval -data DIR [-only B1,B9] [-o table|json] [-v] | eval -data DIR -fit")
		return 2
	}
	if *fit {
		if err := fitOwners(ctx, *data, stdout); err != nil {
			fmt.Fprintln(stderr, err)
			return 2
		}
		return 0
	}
	wanted := map[string]bool{}
	for _, id := range strings.Split(*only, ",") {
		if id != "" {
			wanted[id] = true
		}
	}
	results := map[string]Result{}
	missed := false
	table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
	if *output == "table" {
		fmt.Fprintln(table, "BENCHMARK\tMETRIC\tVALUE\tTARGET\tCASES\tSECONDS")
	}
	for _, b := range benchmarks() {
		if len(wanted) > 0 && !wanted[b.ID] {
			continue
		}
		if _, err := os.Stat(*data + "/" + b.Needs); err != nil {
			fmt.Fprintf(stderr, "%s left out: no %s in the data\n", b.ID, b.Needs)
			continue
		}
		start := time.Now()
		result, err := b.Run(ctx, *data)
		if err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", b.ID, err)
			return 2
		}
		result.Seconds = float64(time.Since(start).Milliseconds()) / 1000
		names := make([]string, 0, len(result.Metrics))
		for name := range result.Metrics {
			names = append(names, name)
		}
		sort.Strings(names)
		for _, name := range names {
			value, mark := result.Metrics[name], ""
			target, has := b.Targets[name]
			if has {
				sign, ok := ">=", reached(value, target, b.Most[name])
				if b.Most[name] {
					sign = "<="
				}
				mark = fmt.Sprintf("%s %.4g", sign, target)
				if !ok {
					mark += " MISSED"
					missed = true
				}
				if asked, more := b.Asked[name]; more && !reached(value, asked, b.Most[name]) {
					mark += fmt.Sprintf(" (short of the %.4g that was asked for)", asked)
				}
			}
			if *output == "table" {
				fmt.Fprintf(table, "%s %s\t%s\t%.4f\t%s\t%d\t%.1f\n", b.ID, b.Title, name, value, mark, result.Cases, result.Seconds)
			}
		}
		if *verbose {
			for _, note := range result.Notes {
				fmt.Fprintf(stderr, "%s: %s\n", b.ID, note)
			}
		}
		result.Notes = nil
		results[b.ID] = result
	}
	if *output == "json" {
		encoder := json.NewEncoder(stdout)
		if err := encoder.Encode(results); err != nil {
			fmt.Fprintln(stderr, err)
			return 2
		}
	} else if err := table.Flush(); err != nil {
		fmt.Fprintln(stderr, err)
		return 2
	}
	switch {
	case len(results) == 0:
		return 3
	case missed:
		return 1
	}
	return 0
}

// reached says whether a figure is at least (or, with most, at most) its
// target, at the decimals in which the target is stated: .7596 is .76. A target
// that is a whole number is met exactly.
func reached(value, target float64, most bool) bool {
	if _, decimals, ok := strings.Cut(strconv.FormatFloat(target, 'f', -1, 64), "."); ok {
		scale := math.Pow10(max(2, len(decimals))) // .80 is stated in two
		value, target = math.Round(value*scale), math.Round(target*scale)
	}
	if most {
		return value <= target
	}
	return value >= target
}
