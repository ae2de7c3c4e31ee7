package conftest

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
		Name: "results", Score: 95, Complete: true,
		Report: `[{"filename":"a.yaml","namespace":"main","successes":1,"warnings":[{"msg":"add a label","metadata":{"query":"data.main.warn"}}],"failures":[{"msg":"no :latest"}],"exceptions":[{"msg":"old","metadata":{"query":"data.main.exception"}}]}]`,
		Want: []string{
			"misconfiguration data.main.warn medium a.yaml:0-0", "misconfiguration data.main unknown a.yaml:0-0", "misconfiguration data.main.exception unknown a.yaml:0-0 accepted_risk",
		},
	},
	{Name: "nothing", Score: 95, Complete: true, Report: `[{"filename":"a.yaml","namespace":"main","successes":3}]`},
}

func TestTheMessageTellsResultsOfOneQueryApart(t *testing.T) {
	t.Parallel()
	if f := reporttest.Read(t, New(), cases[0].Report).Findings[1]; f.Anchor != "no :latest" || f.Title != "no :latest" || f.SeverityText != "failure" {
		t.Errorf("finding %+v", f)
	}
}
