package kubebench

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

const one = `{"id":"4","version":"cis-1.8","text":"Worker nodes","node_type":"node","tests":[{"section":"4.1","results":[{"test_number":"4.1.1","test_desc":"t","remediation":"chmod","status":"FAIL","scored":true,"actual_value":"hunter2-in-the-open"},{"test_number":"4.1.2","test_desc":"u","status":"WARN"},{"test_number":"4.1.3","status":"PASS"},{"test_number":"4.1.4","status":"INFO"}]}]}`

var want = []string{"misconfiguration 4.1.1 unknown", "misconfiguration 4.1.2 unknown in_triage"}

var cases = []reporttest.Case{
	{Name: "one group", Score: 95, Report: one, Want: want},
	{Name: "controls and totals", Score: 95, Report: `{"Controls":[` + one + `],"Totals":{"total_fail":1}}`, Want: want},
	{Name: "a list", Score: 95, Report: `[` + one + `]`, Want: want},
}

func TestWhatStandsAroundATestIsKept(t *testing.T) {
	t.Parallel()
	f := reporttest.Read(t, New(), one).Findings[0]
	if f.Attributes["benchmark"] != "cis-1.8" || f.Anchor != "node" || f.Mitigation != "chmod" || f.Asset.Kind != "unknown" {
		t.Errorf("finding %+v", f)
	}
}
