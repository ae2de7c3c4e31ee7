package qualys

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

var cases = []reporttest.Case{
	{
		Name: "VMDR by CVE", Score: 95,
		Report: "\"Asset Vuln Datalist Report\",\"04 Feb 2026\",\"1\"\n\"Somebody\",\"A street\"\n" +
			"\"CVE\",\"CVE-Description\",\"CVSSv3.1 Base (nvd)\",\"QID\",\"Title\",\"Severity\",\"Protocol\",\"Port\",\"Status\",\"Asset Id\",\"Asset Name\",\"Asset IPV4\",\"Solution\",\"Disabled\",\"Ignored\",\"Results\"\n" +
			"\"CVE-2021-44228\",\"d\",\"10.0\",\"730143\",\"Log4Shell\",\"5\",\"TCP\",\"8080\",\"ACTIVE\",\"2\",\"APP01\",\"10.1.0.50\",\"Upgrade\",\"No\",\"No\",\"secret\"\n" +
			"\"CVE-2020-1234\",\"d\",\"'-\",\"1\",\"t\",\"3\",\"'-\",\"0\",\"FIXED\",\"2\",\"APP01\",\"10.1.0.50\",\"s\",\"No\",\"No\",\"\"\n",
		Want: []string{"vulnerability CVE-2021-44228 critical", "vulnerability CVE-2020-1234 medium resolved"},
	},
	{
		Name: "PCI", Score: 95,
		Report: "IP,HOSTNAME,QID,VULN TITLE,TYPE,SEVERITY,PORT,PROTOCOL,IS_PCI,FALSE POSITIVE STATUS,CVSS_BASE,Q_SEVERITY,THREAT,IMPACT,SOLUTION,RESULT,CVEID\n" +
			"10.0.0.1,a.test,86476,Stopped,POTENTIAL,Medium,80,tcp,Fail,Requested,6.4,3,t,i,s,r,\n" +
			"10.0.0.1,a.test,9,Two,CONFIRMED,High,443,tcp,Fail,,6.4,4,t,i,s,r,\"CVE-2020-1111, CVE-2020-2222\"\n",
		Want: []string{"vulnerability 86476 medium in_triage", "vulnerability CVE-2020-1111 high", "vulnerability CVE-2020-2222 high"},
	},
	{
		Name: "a scan report, without findings but information", Score: 95,
		Report: "IP,DNS,OS,QID,Title,Vuln Status,Type,Severity,Port,Protocol,CVE ID\n10.0.0.1,,Linux,45017,OS detected,,Ig,1,,,\n",
		Want:   []string{"exposure 45017 info"},
	},
}

func TestAFindingIsOfAPortOfAHost(t *testing.T) {
	t.Parallel()
	f := reporttest.Read(t, New(), cases[0].Report).Findings[0]
	if f.Asset.Key != "app01" || f.Anchor != "tcp/8080" || f.Score != 10 || f.Attributes["qid"] != "730143" || f.Attributes["ip"] != "10.1.0.50" {
		t.Errorf("finding %+v", f)
	}
}
