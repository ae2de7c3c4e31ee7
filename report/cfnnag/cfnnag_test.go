package cfnnag

import (
	"testing"

	"github.com/google/go-cmp/cmp"

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
		Name: "violations", Score: 95, Complete: true,
		Report: `[{"filename":"./t.yaml","file_results":{"failure_count":1,"violations":[{"id":"F38","name":"Rule","type":"FAIL","message":"m","logical_resource_ids":["A"],"line_numbers":[18]},{"id":"W48","type":"WARN","message":"m","logical_resource_ids":["Q","R"],"line_numbers":[36,40]},{"id":"W1","type":"WARN","message":"whole"}]}}]`,
		Want: []string{
			"misconfiguration F38 unknown ./t.yaml:18-18 aka Rule", "misconfiguration W48 medium ./t.yaml:36-36", "misconfiguration W48 medium ./t.yaml:40-40", "misconfiguration W1 medium ./t.yaml:0-0",
		},
	},
	{Name: "a template that is none", Score: 95, Report: `[{"filename":"x","file_results":{"violations":[{"id":"FATAL","type":"FAIL","message":"no YAML"}]}}]`},
}

func TestTheLogicalIDIsTheAnchor(t *testing.T) {
	t.Parallel()
	var got []string
	for _, f := range reporttest.Read(t, New(), cases[0].Report).Findings {
		got = append(got, f.Anchor)
	}
	if diff := cmp.Diff([]string{"A", "Q", "R", ""}, got); diff != "" {
		t.Errorf("anchors (-want +got):\n%s", diff)
	}
}
