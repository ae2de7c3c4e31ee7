package tenable

import (
	"testing"

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

var cases = []reporttest.Case{{
	Name: "a scan", Score: 98,
	Report: `<?xml version="1.0" ?><NessusClientData_v2><Policy><policyName>p</policyName></Policy><Report name="r"><ReportHost name="10.0.0.1"><HostProperties><tag name="host-ip">10.0.0.1</tag><tag name="aws-instance-instanceId">i-1</tag><tag name="other">x</tag></HostProperties><ReportItem port="443" svc_name="https" protocol="tcp" severity="3" pluginID="42873" pluginName="Ciphers" pluginFamily="General"><cve>CVE-1</cve><cve>CVE-2</cve><cvss3_base_score>7.5</cvss3_base_score><cvss3_vector>CVSS:3.0/AV:N</cvss3_vector><synopsis>s</synopsis><description>d</description><solution>fix</solution><plugin_output>secret</plugin_output><cwe>327</cwe></ReportItem><ReportItem port="0" protocol="tcp" severity="0" pluginID="10287" pluginName="Traceroute" pluginFamily="General"/></ReportHost></Report></NessusClientData_v2>`,
	Want:   []string{"vulnerability CVE-1 high", "vulnerability CVE-2 high", "exposure 10287 info"},
}}

var tables = []reporttest.Case{
	{
		Name: "Nessus", Score: 95,
		Report: "Plugin ID,CVE,CVSS,Risk,Host,Protocol,Port,Name,Synopsis,Description,Solution,See Also,Plugin Output\n" +
			"42873,CVE-1,5.0,High,10.0.0.1,tcp,443,Ciphers,s,\"two\nlines\",fix,https://x.test,secret\n" +
			"11213,,5.0,Medium,10.0.0.1,tcp,80,TRACE,s,d,fix,,o\n10287,,,None,10.0.0.1,udp,0,Traceroute,s,d,n/a,,o\n98104,,7.5,High,shop.test,http,,XSS,s,d,fix,,o\n",
		Want: []string{"vulnerability CVE-1 high", "misconfiguration 11213 medium", "exposure 10287 info", "code 98104 high"},
	},
	{
		Name: "Security Center", Score: 95,
		Report: "Plugin,Plugin Name,Family,Severity,IP Address,Protocol,Port,DNS Name,Plugin Output,CVSS V3 Base Score,CVE,Accept Risk Comment\n" +
			"1,Old,General,Critical,10.0.0.1,TCP,443,shop.test,o,9.8,\"CVE-1,CVE-2\",known\n",
		Want: []string{"vulnerability CVE-1 critical accepted_risk", "vulnerability CVE-2 critical accepted_risk"},
	},
}

func TestAFindingIsOfAPortOfAHost(t *testing.T) {
	t.Parallel()
	f := reporttest.Read(t, New(), cases[0].Report).Findings[0]
	if f.Asset.Key != "10.0.0.1" || f.Anchor != "tcp/443" || f.Score != 7.5 || f.Attributes["aws-instance-instanceId"] != "i-1" || f.Attributes["other"] != "" || f.Attributes["plugin"] != "42873" {
		t.Errorf("finding %+v", f)
	}
	if f := reporttest.Read(t, New(), tables[1].Report).Findings[0]; f.Asset.Key != "shop.test" || f.Attributes["ip"] != "10.0.0.1" {
		t.Errorf("finding %+v", f)
	}
}
