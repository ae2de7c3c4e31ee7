package harbor

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
		Name: "bare", Score: 95, Complete: true,
		Report: `{"generated_at":"2023-11-16T00:14:12Z","artifact":{"repository":"p/a","tag":"1","digest":"sha256:ab"},"scanner":{"name":"Trivy","vendor":"Aqua Security","version":"v1"},"severity":"High","vulnerabilities":[{"id":"CVE-1","package":"libs","version":"1.2","fix_version":"1.3, 2.0","severity":"Medium","description":"d","links":["https://x.test"],"preferred_cvss":{"score_v3":9.8,"score_v2":null,"vector_v3":"CVSS:3.1/AV:N"},"cwe_ids":["CWE-787"]},{"id":"CVE-2","package":"b","version":"2","fix_version":"","severity":"None","preferred_cvss":{"score_v2":5}}]}`,
		Want:   []string{"vulnerability CVE-1 medium @1.2 fixed 1.3,2.0", "vulnerability CVE-2 info @2"},
	},
	{
		Name: "below a media type, without an artifact", Score: 95, Complete: true,
		Report: `{"application/vnd.security.vulnerability.report; version=1.1":{"generated_at":"2020-01-01T00:00:00Z","artifact":null,"scanner":{"name":"Clair","vendor":"CoreOS","version":"2.x"},"severity":"High","vulnerabilities":[{"id":"CVE-3","package":"c","version":"3","severity":"High","artifact_digests":["sha256:cd"]}]}}`,
		Want:   []string{"vulnerability CVE-3 high @3"},
	},
	{
		Name: "nothing found", Score: 95, Complete: true,
		Report: `{"application/vnd.scanner.adapter.vuln.report.harbor+json; version=1.0":{"generated_at":"2020-01-01T00:00:00Z","scanner":{"name":"Clair","vendor":"CoreOS"},"severity":"None","vulnerabilities":null}}`,
	},
}

func TestTheArtifactIsTheImage(t *testing.T) {
	t.Parallel()
	for i, want := range []string{"sha256:ab", "sha256:cd"} {
		facts := reporttest.Read(t, New(), cases[i].Report)
		if f := facts.Findings[0]; f.Asset.Key != want || len(facts.Runs[0].Assets) != 1 {
			t.Errorf("%s: a finding of %+v, looked at %+v", cases[i].Name, f.Asset, facts.Runs[0].Assets)
		}
	}
	if f := reporttest.Read(t, New(), cases[0].Report).Findings[0]; f.Score != 9.8 || f.Vector != "CVSS:3.1/AV:N" || len(f.CWE) != 1 {
		t.Errorf("score %v, vector %q, weaknesses %v", f.Score, f.Vector, f.CWE)
	}
}
