package intake_test

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/intake"
	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/store"
)

// lines reads a made-up format: "findings" and then a rule and a package a line.
type lines struct{}

func (lines) Describe() report.Description { return report.Description{ID: "report/lines"} }

func (lines) Detect(head []byte) int {
	if strings.HasPrefix(string(head), "findings\n") {
		return 100
	}
	return 0
}

func (lines) Read(_ context.Context, in io.Reader, sink report.Sink) error {
	if err := sink.Run(fact.Run{Tool: "lines", Format: "lines", Complete: true}); err != nil {
		return err
	}
	scanner := bufio.NewScanner(in)
	offset := int64(0)
	for n := 1; scanner.Scan(); n++ {
		line := scanner.Text()
		if n > 1 {
			rule, pkg, ok := strings.Cut(line, " ")
			if !ok {
				return &report.Error{Offset: offset, Line: n, Expected: "a rule and a package"}
			}
			f := vulnerability(rule, pkg, "1", "lock")
			f.Position = fact.Position{Offset: offset, Length: int64(len(line))}
			if err := sink.Finding(f); err != nil {
				return err
			}
		}
		offset += int64(len(line)) + 1
	}
	return scanner.Err()
}

func TestAReportIsImportedAndKept(t *testing.T) {
	t.Parallel()
	db := database(t)
	const whole = "findings\nCVE-2026-1 a\nCVE-2026-2 b\n"
	for day, step := range []struct {
		text     string
		want     counts
		complete bool
		fault    string
	}{
		{whole, counts{New: 2}, true, ""},
		{whole, counts{Unchanged: 2}, true, ""},
		{whole + "CVE-2026-3 c\ncut", counts{New: 1, Unchanged: 2}, false, "shop.txt:5 (byte 48): expected a rule and a package"},
		{"findings\ncut", counts{}, false, "shop.txt:2 (byte 9)"},
		{"findings\nCVE-2026-1 a\n", counts{Unconfirmed: 2, Unchanged: 1}, true, ""},
	} {
		opts := at(day)
		opts.Keep = true
		result, err := intake.Import(t.Context(), db, []report.Reader{lines{}}, "shop.txt", strings.NewReader(step.text), opts)
		var fault *report.Error
		if step.fault == "" && err != nil || step.fault != "" && (!errors.As(err, &fault) || !strings.Contains(err.Error(), step.fault)) {
			t.Errorf("day %d: error %v, want %q", day, err, step.fault)
		}
		if got := countsOf(result); got != step.want || result.Complete != step.complete {
			t.Errorf("day %d: %+v, complete %v, want %+v, %v", day, got, result.Complete, step.want, step.complete)
		}
	}
	for _, f := range load(t, db) {
		if f.Report != "shop.txt" || f.Blob == 0 {
			t.Errorf("%s was read from %q, blob %d", f.Rule, f.Report, f.Blob)
		}
		err := db.Read(t.Context(), func(tx store.Tx) error {
			raw, err := store.ReadBlob(t.Context(), tx, f.Blob, f.Position.Offset, f.Position.Length)
			if want := f.Rule + " " + f.Package.Name; string(raw) != want {
				t.Errorf("the evidence of %s is %q, want %q", f.Rule, raw, want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}

func TestAReportThatNobodyReadsLeavesNothing(t *testing.T) {
	t.Parallel()
	db := database(t)
	for _, text := range []string{"", "something else", "\x00\x01\x02"} {
		opts := at(0)
		opts.Keep = true
		result, err := intake.Import(t.Context(), db, []report.Reader{lines{}}, "x", strings.NewReader(text), opts)
		if err == nil || len(result.Runs) != 0 {
			t.Errorf("%q: %+v, %v", text, result, err)
		}
	}
	if n := len(load(t, db)); n != 0 {
		t.Errorf("%d findings", n)
	}
}
