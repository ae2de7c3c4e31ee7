package policyreport

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
		Name: "of the working group", Score: 95,
		Report: `{"apiVersion":"wgpolicyk8s.io/v1alpha2","kind":"PolicyReport","metadata":{"name":"p","namespace":"shop"},"scope":{"apiVersion":"apps/v1","kind":"Deployment","name":"web","namespace":"shop"},"results":[{"policy":"require-limits","rule":"limits","message":"m","result":"fail","severity":"high","source":"kyverno","category":"c"},{"policy":"require-limits","rule":"x","result":"pass","source":"kyverno"},{"policy":"p","rule":"e","message":"n","result":"error","source":"kyverno"}]}`,
		Want:   []string{"misconfiguration require-limits/limits high", "misconfiguration p/e unknown in_triage"},
	},
	{
		Name: "a list of OpenReports", Score: 95,
		Report: `{"apiVersion":"v1","items":[{"apiVersion":"openreports.io/v1alpha1","kind":"Report","metadata":{"namespace":"test"},"results":[{"message":"m","policy":"CVE-2025-9232","properties":{"fixedVersion":"3.5.4-r0","installedVersion":"3.5.2-r1","pkgName":"libcrypto3","primaryURL":"https://x.test"},"result":"warn","severity":"low","source":"scanner","resources":[{"apiVersion":"v1","kind":"Pod","name":"a","namespace":"test"},{"apiVersion":"v1","kind":"Pod","name":"b","namespace":"test"}]}]}],"kind":"List"}`,
		Want:   []string{"vulnerability CVE-2025-9232 low @3.5.2-r1 fixed 3.5.4-r0", "vulnerability CVE-2025-9232 low @3.5.2-r1 fixed 3.5.4-r0"},
	},
}

func TestAFindingIsOfItsObject(t *testing.T) {
	t.Parallel()
	one, two := reporttest.Read(t, New(), cases[0].Report), reporttest.Read(t, New(), cases[1].Report)
	if f := one.Findings[0]; f.Asset.Key != "shop/Deployment.apps/web" || one.Runs[0].Tool != "kyverno" {
		t.Errorf("finding of %+v by %s", f.Asset, one.Runs[0].Tool)
	}
	if a, b := two.Findings[0].Asset.Key, two.Findings[1].Asset.Key; a != "test/Pod/a" || b != "test/Pod/b" {
		t.Errorf("findings of %s and %s", a, b)
	}
}
