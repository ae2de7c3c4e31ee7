package reporttest

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

// Case is a good report of one layout of a format and what a reader must make of it.
type Case struct {
	Name   string
	Report string
	// Score is the least that Detect must give for the report, from 0 to 100.
	Score int
	// Complete is what the run of the report must say of itself.
	Complete bool
	// Parts takes the place of Complete where a report tells which parts of the
	// detector ran: whether each was complete.
	Parts map[string]bool
	// Want are the findings in their order, as InShort writes them; nil for none.
	Want []string
}

// Samples are the reports of the cases, for Conformance.
func Samples(cases []Case) []string {
	var list []string
	for _, c := range cases {
		list = append(list, c.Report)
	}
	return list
}

// Table checks for each case that the reader knows the report for its own, gives its
// run or runs and the wanted findings, and places each finding within the report.
func Table(t *testing.T, reader report.Reader, cases []Case) {
	t.Helper()
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			if score := reader.Detect([]byte(c.Report)); score < c.Score {
				t.Errorf("Detect = %d, want at least %d", score, c.Score)
			}
			var facts Facts
			if err := reader.Read(t.Context(), strings.NewReader(c.Report), &facts); err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, f := range facts.Findings {
				got = append(got, InShort(f))
				at := f.Position
				if at.Offset < 0 || at.Length <= 0 || at.Offset+at.Length > int64(len(c.Report)) {
					t.Errorf("position %+v is outside the report of %d bytes", at, len(c.Report))
				}
			}
			if diff := cmp.Diff(c.Want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
			want := c.Parts
			if want == nil {
				want = map[string]bool{"": c.Complete}
			}
			runs := map[string]bool{}
			for _, run := range facts.Runs {
				runs[run.Part] = run.Complete
			}
			if diff := cmp.Diff(want, runs); diff != "" || c.Parts == nil && len(facts.Runs) != 1 {
				t.Errorf("%d runs, by part complete (-want +got):\n%s", len(facts.Runs), diff)
			}
		})
	}
}

// FuzzTable checks what Fuzz checks, from the reports of the cases on.
func FuzzTable(f *testing.F, reader report.Reader, cases []Case) {
	Fuzz(f, reader, Samples(cases)...)
}

// InShort writes a finding on one line: kind, rule and severity, then what it has of
// "PURL@version", "path:line-endline", "aka" aliases, "fixed" versions, "via" the
// path of dependencies and the state of its analysis.
func InShort(f fact.Finding) string {
	text := fmt.Sprintf("%s %s %s", f.Kind, f.Rule, f.Severity)
	if f.Package.Name != "" {
		text += fmt.Sprintf(" %s@%s", f.Package.PURL, f.Package.Version)
	}
	if f.Path != "" {
		text += fmt.Sprintf(" %s:%d-%d", f.Path, f.Line, f.EndLine)
	}
	for _, part := range []struct {
		name string
		list []string
	}{{"aka", f.Aliases}, {"fixed", f.FixedVersions}, {"via", f.Introduced}} {
		if len(part.list) > 0 {
			text += " " + part.name + " " + strings.Join(part.list, ",")
		}
	}
	if f.Analysis.State != "" {
		text += " " + f.Analysis.State
	}
	return text
}
