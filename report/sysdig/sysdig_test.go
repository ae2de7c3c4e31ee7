package sysdig

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
		Name: "a report of workloads", Score: 95,
		Report: "Vulnerability ID,Severity,Package name,Package version,Package type,Package path,Image,OS Name,CVSS version,CVSS score,CVSS vector,Vuln link,Fix version,Public Exploit,K8S cluster name,K8S namespace name,K8S workload type,K8S workload name,Image ID,In use,Risk accepted\n" +
			"CVE-1,High,github.com/a/b,v1.1.0,golang,/usr/bin/x,r.test/a:1,ubuntu 22.04,3.1,7.8,CVSS:3.1/AV:L,https://x.test,v1.1.2,false,c,n,deployment,w,sha256:cf,true,false\n" +
			"CVE-2,Low,bash,5.1,os,,r.test/a:1,ubuntu 22.04,3.1,,,,v5.2,false,c,n,deployment,w,sha256:cf,false,true\n",
		Want: []string{
			"vulnerability CVE-1 high pkg:golang/github.com/a/b@v1.1.0@v1.1.0 /usr/bin/x:0-0 fixed v1.1.2",
			"vulnerability CVE-2 low pkg:deb/ubuntu/bash@5.1?distro=ubuntu-22.04@5.1 fixed 5.2 accepted_risk",
		},
	},
	{
		Name: "a single result", Score: 95,
		Report: "CVE ID,CVE Severity,CVSS Score,CVSS Score Version,Package Name,Package Version,Package Path,Package Type,Fix Version,CVE URL,Vuln Disclosure Date,Risk Accepted,EPSS Score\n" +
			"CVE-3,Critical,9.8,3.0,numpy,1.12.1,/usr/lib/numpy,python,v1.16.1,https://x.test,2019-01-16T00:00:00Z,false,0.03\n",
		Want: []string{"vulnerability CVE-3 critical pkg:pypi/numpy@1.12.1@1.12.1 /usr/lib/numpy:0-0 fixed 1.16.1"},
	},
}

func TestAFindingIsOfItsImageAndKeepsItsWorkload(t *testing.T) {
	t.Parallel()
	f := reporttest.Read(t, New(), cases[0].Report).Findings[0]
	if f.Asset.Key != "r.test/a:1" || f.Attributes["k8s_workload_name"] != "w" || f.Score != 7.8 {
		t.Errorf("finding %+v", f)
	}
}
