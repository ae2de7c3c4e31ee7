// Command bench measures performance, each figure against a baseline that runs
// in the same process or beside it. Times are CPU seconds of this process and
// its children (getrusage), which hold on a busy machine.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"text/tabwriter"
)

// Measurement is one figure.
type Measurement struct {
	ID  string // "import", "start" ...
	Run func(ctx context.Context) ([]Row, error)
}

// Row is one line of the table. Baseline is 0 when the figure is absolute.
type Row struct {
	What     string  `json:"what"`
	Value    float64 `json:"value"`
	Unit     string  `json:"unit"`
	Baseline float64 `json:"baseline,omitempty"`
	Against  string  `json:"against,omitempty"` // what the baseline is
	Target   string  `json:"target"`            // the figure to reach, in words
	OK       bool    `json:"ok"`
}

func measurements() []Measurement {
	return []Measurement{measureImport, measureGraph, measureScanner, measureStart, measureCodeowners, measureOwner, measureImage, measureTerraform, measureSet, measureOnce, measureChange}
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run returns 0 when every figure is reached, 1 when one is missed and 2 on
// wrong use or failure.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.SetOutput(stderr)
	only := flags.String("only", "", "comma-separated ids of measurements to run")
	output := flags.String("o", "table", "table or json")
	if err := flags.Parse(args); err != nil {
		return 2
	}
	wanted := map[string]bool{}
	for _, id := range strings.Split(*only, ",") {
		if id != "" {
			wanted[id] = true
		}
	}
	var rows []Row
	for _, m := range measurements() {
		if len(wanted) > 0 && !wanted[m.ID] {
			continue
		}
		measured, err := m.Run(ctx)
		if err != nil {
			fmt.Fprintf(stderr, "%s: %v\n", m.ID, err)
			return 2
		}
		rows = append(rows, measured...)
	}
	missed := false
	for _, row := range rows {
		missed = missed || !row.OK
	}
	if *output == "json" {
		if err := json.NewEncoder(stdout).Encode(rows); err != nil {
			fmt.Fprintln(stderr, err)
			return 2
		}
	} else {
		table := tabwriter.NewWriter(stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(table, "WHAT\tVALUE\tUNIT\tBASELINE\tAGAINST\tTARGET\tREACHED")
		for _, r := range rows {
			base, reached := "", "yes"
			if r.Baseline != 0 {
				base = fmt.Sprintf("%.4g", r.Baseline)
			}
			if !r.OK {
				reached = "NO"
			}
			fmt.Fprintf(table, "%s\t%.4g\t%s\t%s\t%s\t%s\t%s\n", r.What, r.Value, r.Unit, base, r.Against, r.Target, reached)
		}
		if err := table.Flush(); err != nil {
			fmt.Fprintln(stderr, err)
			return 2
		}
	}
	if missed {
		return 1
	}
	return 0
}
