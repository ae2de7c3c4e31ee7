package kubehunter

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
		Name: "weaknesses", Score: 95,
		Report: `{"nodes":[{"type":"Node/Master","location":"10.1.1.1"}],"services":[{"service":"Kubelet API","location":"10.0.1.1:10250"}],"vulnerabilities":[{"location":"10.0.1.1:10255","vid":"KHV044","category":"c","severity":"high","vulnerability":"Privileged Container","description":"d","evidence":"token","avd_reference":"https://x.test","hunter":"h"},{"location":"Local to Pod","vid":"None","severity":"low","vulnerability":"CAP_NET_RAW Enabled","hunter":"h"}]}`,
		Want:   []string{"exposure KHV044 high", "exposure CAP_NET_RAW Enabled low"},
	},
	{Name: "nothing", Score: 90, Report: `{"nodes":[{"type":"Node/Master","location":"10.1.1.1"}],"services":[],"vulnerabilities":[]}`},
}

func TestAFindingIsAtItsHost(t *testing.T) {
	t.Parallel()
	found := reporttest.Read(t, New(), cases[0].Report).Findings
	if found[0].Asset.Key != "10.0.1.1" || found[0].Anchor != "10.0.1.1:10255" || found[1].Asset.Kind != "unknown" {
		t.Errorf("findings %+v", found)
	}
}
