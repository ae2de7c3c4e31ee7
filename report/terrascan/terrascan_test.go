package terrascan

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
		Name: "violations", Score: 95, Complete: true,
		Report: `{"results":{"violations":[{"rule_name":"noPublic","description":"Keep it closed.","rule_id":"AC_1","severity":"HIGH","category":"Network","resource_name":"web","resource_type":"google_container_cluster","file":"c.tf","plan_root":"./","line":52},{"rule_name":"onlyName","severity":"LOW"}],"skipped_violations":[{"rule_id":"AC_2","severity":"MEDIUM","skip_comment":"agreed","file":"d.tf","line":1}],"scan_summary":{}}}`,
		Want:   []string{"misconfiguration AC_1 high c.tf:52-52 aka noPublic", "misconfiguration onlyName low", "misconfiguration AC_2 medium d.tf:1-1 accepted_risk"},
	},
	{Name: "errors", Score: 90, Report: `{"results":{"scan_errors":[{"iac_type":"k8s","directory":"d","errMsg":"m"}],"violations":null}}`},
}

func TestTheAddressOfTheResourceIsTheAnchor(t *testing.T) {
	t.Parallel()
	if got := reporttest.Read(t, New(), cases[0].Report).Findings[0].Anchor; got != "google_container_cluster.web" {
		t.Errorf("anchor %q", got)
	}
}
