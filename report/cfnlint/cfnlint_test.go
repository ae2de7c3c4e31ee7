package cfnlint

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

var cases = []reporttest.Case{{
	Name: "matches", Score: 95, Complete: true,
	Report: `[{"Filename":"t.yaml","Id":"1","Level":"Warning","Location":{"End":{"ColumnNumber":18,"LineNumber":5},"Path":["Parameters","Unused"],"Start":{"ColumnNumber":3,"LineNumber":4}},"Message":"Parameter Unused not used.","Rule":{"Description":"d","Id":"W2001","Source":"https://x.test"}},{"Filename":"t.yaml","Level":"Error","Location":{"Path":["Resources",0],"Start":{"LineNumber":15},"End":{"LineNumber":15}},"Message":"m","Rule":{"Id":"E3002"}}]`,
	Want:   []string{"misconfiguration W2001 low t.yaml:4-5", "misconfiguration E3002 medium t.yaml:15-15"},
}}

func TestThePlaceInTheTemplateIsTheAnchor(t *testing.T) {
	t.Parallel()
	found := reporttest.Read(t, New(), cases[0].Report).Findings
	if found[0].Anchor != "Parameters.Unused" || found[1].Anchor != "Resources.0" {
		t.Errorf("anchors %q, %q", found[0].Anchor, found[1].Anchor)
	}
}
