package gitleaks

import (
	"testing"

	"github.com/backstitch/backstitch/report/reporttest"
)

func TestEachLayoutIsReadIntoFindings(t *testing.T) {
	t.Parallel()
	reporttest.Table(t, New(), cases)
}

func TestConformance(t *testing.T) {
	t.Parallel()
	reporttest.Conformance(t, New(), reporttest.Samples(cases)...)
}

func FuzzRead(f *testing.F) { reporttest.FuzzTable(f, New(), cases) }

var cases = []reporttest.Case{
	{
		Name: "version 8", Score: 90, Complete: true,
		Report: `[{"Description":"AWS key","StartLine":2,"EndLine":3,"Match":"k=AKIAQQQQZZZZ","Secret":"AKIAQQQQZZZZ","File":"a/b.tf","Commit":"c1","Author":"x AKIAQQQQZZZZ","Tags":["t"],"RuleID":"aws","Fingerprint":"c1:a/b.tf:aws:2"}]`,
		Want: []string{
			"secret aws high a/b.tf:2-3",
		},
	},
	{
		Name: "version 7", Score: 90, Complete: true,
		Report: `[{"line":"k=REDACTED","lineNumber":9,"offender":"REDACTED","commit":"c2","rule":"AWS Access Key","file":"z.yml","tags":"key, AWS"}]`,
		Want: []string{
			"secret AWS Access Key high z.yml:9-9",
		},
	},
	{
		Name: "nothing found", Score: 5, Complete: false,
		Report: `[]`,
		Want:   nil,
	},
}
