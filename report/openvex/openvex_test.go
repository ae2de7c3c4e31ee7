package openvex

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report/reporttest"
)

const newer = `{"@context":"https://openvex.dev/ns/v0.2.0","@id":"https://v.test/1","author":"Team A","timestamp":"2024-05-01T00:00:00Z","version":1,"statements":[
 {"vulnerability":{"@id":"https://n.test/CVE-2024-1","name":"CVE-2024-1","aliases":["GHSA-aaaa-bbbb-cccc","CVE-2024-1"]},
  "products":[{"@id":"pkg:oci/img@sha256:aa","subcomponents":[{"@id":"pkg:npm/a@1"},{"@id":"x","identifiers":{"purl":"pkg:npm/b@2"}}]},{"@id":"pkg:npm/c@3"}],
  "status":"not_affected","justification":"vulnerable_code_not_present","impact_statement":"not built in"},
 {"vulnerability":{"@id":"https://n.test/CVE-2024-22222"},"status":"under_investigation"}]}`

const older = `{"@context":"","author":"B","statements":[{"vulnerability":"CVE-2024-2","products":["pkg:npm/a@1"],"status":"affected","action_statement":"update"},{"vulnerability":"CVE-2024-3","products":["p"],"status":"fixed"}]}`

func TestConformance(t *testing.T) {
	t.Parallel()
	reporttest.Conformance(t, New(), newer, older)
}

func FuzzRead(f *testing.F) { reporttest.Fuzz(f, New(), newer, older) }

func TestEachProductHasItsStatement(t *testing.T) {
	t.Parallel()
	not := fact.Analysis{State: fact.AnalysisNotAffected, Justification: "vulnerable_code_not_present", Detail: "not built in", Source: "openvex"}
	alias := []string{"GHSA-aaaa-bbbb-cccc"}
	for text, want := range map[string][]fact.Statement{
		newer: {
			{Advisory: "CVE-2024-1", Aliases: alias, Products: []string{"pkg:npm/a@1"}, Analysis: not},
			{Advisory: "CVE-2024-1", Aliases: alias, Products: []string{"pkg:npm/b@2"}, Analysis: not},
			{Advisory: "CVE-2024-1", Aliases: alias, Products: []string{"pkg:npm/c@3"}, Analysis: not},
			{Advisory: "CVE-2024-22222", Analysis: fact.Analysis{State: fact.AnalysisInTriage, Source: "openvex"}},
		},
		older: {
			{Advisory: "CVE-2024-2", Products: []string{"pkg:npm/a@1"}, Analysis: fact.Analysis{State: fact.AnalysisExploitable, Detail: "update", Source: "openvex"}},
			{Advisory: "CVE-2024-3", Products: []string{"p"}, Analysis: fact.Analysis{State: fact.AnalysisResolved, Source: "openvex"}},
		},
	} {
		facts := reporttest.Read(t, New(), text)
		if diff := cmp.Diff(want, facts.Statements, cmpopts.IgnoreFields(fact.Statement{}, "Position")); diff != "" {
			t.Errorf("statements (-want +got):\n%s", diff)
		}
		if len(facts.Findings) != 0 || len(facts.Runs) != 1 || facts.Runs[0].Complete {
			t.Errorf("%d findings, runs %+v; want none, and one run that proves no absence", len(facts.Findings), facts.Runs)
		}
	}
}

func TestAStatementThatIsNotUnderstoodIsRefused(t *testing.T) {
	t.Parallel()
	for _, change := range [][2]string{{`"affected"`, `"harmless"`}, {`"status":"affected",`, ""}, {`"vulnerability":"CVE-2024-2",`, ""}} {
		err := New().Read(t.Context(), strings.NewReader(strings.Replace(older, change[0], change[1], 1)), &reporttest.Facts{})
		if err == nil || !strings.Contains(err.Error(), "status") {
			t.Errorf("%s for %s: %v, want a fault that names the status", change[1], change[0], err)
		}
	}
}
