package orca

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/report/reporttest"
)

func TestEachLayoutIsReadIntoFindings(t *testing.T) {
	t.Parallel()
	reporttest.Table(t, New(), append(cases, tables...))
}

func TestConformance(t *testing.T) {
	t.Parallel()
	reporttest.Conformance(t, New(), reporttest.Samples(cases)...)
	reporttest.ConformanceOfTables(t, New(), reporttest.Samples(tables)...)
}

func FuzzRead(f *testing.F) { reporttest.FuzzTable(f, New(), append(cases, tables...)) }

var want = []string{"misconfiguration Public bucket high", "vulnerability Old kernel info resolved", "misconfiguration Root key critical accepted_risk"}

var cases = []reporttest.Case{{
	Name: "JSON", Score: 95,
	Report: `[{"Title":"Public bucket","Labels":["CSPM","x"],"Status":"open","Category":"Data at risk","OrcaScore":7.5,"Source":"b","CloudAccount":{"Name":"prod"},"Inventory":{"Name":"b"}},{"Title":"Old kernel","Labels":[],"Status":"closed","Category":"Vulnerabilities","OrcaScore":0,"Source":"h","CloudAccount":{"Name":"prod"},"Inventory":{"Name":"h"}},{"Title":"Root key","Labels":null,"Status":"snoozed","Category":"IAM misconfigurations","OrcaScore":9.5,"Source":"root","CloudAccount":{"Name":"prod"},"Inventory":{"Name":"root"}}]`,
	Want:   want,
}}

var tables = []reporttest.Case{{
	Name: "CSV", Score: 95,
	Report: "OrcaScore,Title,Category,Inventory,Inventory.Name,CloudAccount,CloudAccount.Name,Source,Status,Labels\n" +
		`7.5,Public bucket,Data at risk,1,b,1,prod,b,open,"[""CSPM"",""x""]"` + "\n" +
		"0,Old kernel,Vulnerabilities,1,h,1,prod,h,closed,[]\n9.5,Root key,IAM misconfigurations,1,root,1,prod,root,snoozed,\n",
	Want: want,
}}

func TestBothLayoutsGiveTheSameFindings(t *testing.T) {
	t.Parallel()
	one, two := reporttest.Read(t, New(), cases[0].Report).Findings, reporttest.Read(t, New(), tables[0].Report).Findings
	for i := range one {
		one[i].Position = two[i].Position
	}
	if diff := cmp.Diff(one, two); diff != "" {
		t.Errorf("JSON and CSV differ:\n%s", diff)
	}
	if one[0].Asset.Key != "prod/b" || one[0].Attributes["labels"] != "CSPM, x" {
		t.Errorf("finding %+v", one[0])
	}
}
