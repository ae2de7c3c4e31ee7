package bundleraudit

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
		Name: "gems and sources", Score: 95, Complete: true,
		Report: `{"version":"0.9.1","created_at":"2023-01-01 00:00:00 +0000","results":[{"type":"unpatched_gem","gem":{"name":"rack","version":"1.6.13"},"advisory":{"path":"/db/rack.yml","id":"CVE-2020-8161","url":"https://x.test","title":"Traversal","date":"2020-05-12","description":"d","cvss_v2":null,"cvss_v3":8.6,"cve":"2020-8161","osvdb":null,"ghsa":"5f9h-9pjv-v6j7","unaffected_versions":[],"patched_versions":["~> 2.1.3",">= 2.2.0"],"criticality":"high"}},{"type":"insecure_source","source":"http://gems.test/"}]}`,
		Want: []string{
			"vulnerability CVE-2020-8161 high pkg:gem/rack@1.6.13@1.6.13 aka GHSA-5f9h-9pjv-v6j7",
			"misconfiguration insecure_source unknown",
		},
	},
	{Name: "nothing", Score: 85, Complete: true, Report: `{"version":"0.9.1","created_at":"2023-01-01","results":[]}`},
}

func TestWhatPatchesIsKept(t *testing.T) {
	t.Parallel()
	if f := reporttest.Read(t, New(), cases[0].Report).Findings[0]; f.Mitigation != "upgrade to ~> 2.1.3 or >= 2.2.0" || f.Score != 8.6 {
		t.Errorf("finding %+v", f)
	}
}
