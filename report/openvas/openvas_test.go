package openvas

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
	reporttest.ConformanceOfTables(t, New(), reporttest.Samples(cases)...)
}

func FuzzRead(f *testing.F) { reporttest.FuzzTable(f, New(), cases) }

var cases = []reporttest.Case{{
	Name: "results", Score: 95,
	Report: "IP,Hostname,Port,Port Protocol,CVSS,Severity,QoD,NVT Name,Summary,Specific Result,NVT OID,CVEs,Solution,Vulnerability Insight,Other References\n" +
		"10.0.0.1,A.test,443,tcp,7.5,High,97,Old,s,secret,1.3.6.1,\"CVE-1,CVE-2\",fix,i,\"https://x.test, none\"\n" +
		"10.0.0.1,,,,2.6,Low,80,Timestamps,s,r,1.3.6.2,,fix,,\n10.0.0.1,,80,tcp,0.0,Log,80,Detected,s,r,1.3.6.3,,,,\n",
	Want: []string{"vulnerability CVE-1 high", "vulnerability CVE-2 high", "misconfiguration 1.3.6.2 low", "exposure 1.3.6.3 info"},
}}

func TestAFindingIsOfAPortOfAHost(t *testing.T) {
	t.Parallel()
	f := reporttest.Read(t, New(), cases[0].Report).Findings[0]
	if f.Asset.Key != "a.test" || f.Anchor != "tcp/443" || f.Score != 7.5 || f.Attributes["rule"] != "1.3.6.1" || len(f.References) != 1 {
		t.Errorf("finding %+v", f)
	}
}
