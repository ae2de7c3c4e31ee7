package kubelinter

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
		Name: "two objects", Score: 95, Complete: true,
		Report: `{"Checks":[{"name":"no-ro-fs","description":"why","remediation":"r","template":"t"}],"Reports":[{"Diagnostic":{"Message":"container \"c\" is writable"},"Check":"no-ro-fs","Remediation":"Set it.","Object":{"Metadata":{"FilePath":"m/a.yaml"},"K8sObject":{"Namespace":"shop","Name":"web","GroupVersionKind":{"Group":"apps","Version":"v1","Kind":"Deployment"}}}},{"Diagnostic":{"Message":"no pods"},"Check":"dangling-service","Object":{"Metadata":{"FilePath":"m/b.yaml"},"K8sObject":{"Name":"web","GroupVersionKind":{"Group":"","Version":"v1","Kind":"Service"}}}}],"Summary":{"ChecksStatus":"Failed","CheckEndTime":"2024-05-01T00:00:00.5Z","KubeLinterVersion":"0.6.8"}}`,
		Want: []string{
			"misconfiguration no-ro-fs unknown m/a.yaml:0-0",
			"misconfiguration dangling-service unknown m/b.yaml:0-0",
		},
	},
	{
		Name: "nothing found", Score: 95, Complete: true,
		Report: `{"Checks":[],"Reports":null,"Summary":{"KubeLinterVersion":"development"}}`,
		Want:   nil,
	},
}

func TestTheObjectIsTheAnchor(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), cases[0].Report)
	for i, want := range []string{"shop/Deployment.apps/web", "-/Service/web"} {
		if got := facts.Findings[i].Anchor; got != want {
			t.Errorf("anchor %q, want %q", got, want)
		}
	}
	if f := facts.Findings[0]; f.Description != "why" || f.Mitigation != "Set it." || f.Title != `container "c" is writable` {
		t.Errorf("finding %+v", f)
	}
	if r := facts.Runs[0]; r.ToolVersion != "0.6.8" || r.Started != 1714521600500000 {
		t.Errorf("run %+v", r)
	}
}
