package legitify

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
		Name: "with a policy that was skipped", Score: 95, Complete: false,
		Report: `{"type":"flattened","content":{"data.repository.a":{"policyInfo":{"title":"Review","description":"d","policyName":"review_not_required","severity":"HIGH","remediationSteps":["1","2"],"namespace":"repository"},"violations":[{"violationEntityType":"repository","canonicalLink":"https://Forge.test/o/r","aux":{"entityName":"r"},"status":"FAILED"},{"violationEntityType":"repository","canonicalLink":"https://forge.test/o/s","status":"PASSED"}]},"data.organization.b":{"policyInfo":{"title":"T","policyName":"b","severity":"LOW"},"violations":[{"violationEntityType":"organization","canonicalLink":"https://forge.test/o","status":"SKIPPED"}]}}}`,
		Want:   []string{"misconfiguration review_not_required high"},
	},
	{
		Name: "all looked at", Score: 95, Complete: true,
		Report: `{"type":"flattened","content":{"data.organization.b":{"policyInfo":{"title":"T","policyName":"b","severity":"LOW"},"violations":[{"violationEntityType":"organization","canonicalLink":"https://forge.test/o","status":"FAILED"}]}}}`,
		Want:   []string{"misconfiguration b low"},
	},
}

func TestWhatPassedWasLookedAt(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), cases[0].Report)
	if f := facts.Findings[0]; f.Asset.Kind != "repository" || f.Asset.Key != "forge.test/o/r" || f.Mitigation != "1\n2" || len(facts.Runs[0].Assets) != 2 {
		t.Errorf("finding %+v, looked at %+v", f, facts.Runs[0].Assets)
	}
}
