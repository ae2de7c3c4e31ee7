package blackduck

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
	Name: "security", Score: 95,
	Report: "Project name,Version,Channel version origin,Channel version origin id,Vulnerability id,Description,Base score,Vulnerability source,Remediation status,Remediation comment,URL,Security Risk\n" +
		"Apache Commons BeanUtils,1.8.3,maven,commons-beanutils:commons-beanutils:1.8.3,106409,d,7.5,VULNDB,NEW,,,HIGH\n" +
		"Left,2,npmjs,@a/left/2.0.0,CVE-2020-1234,d,5,NVD,IGNORED,known,https://x.test,MEDIUM\n" +
		"zlib,1.2,debian,zlib/1.2/amd64,CVE-2020-1235,d,x,NVD,PATCHED,,,LOW\n",
	Want: []string{
		"vulnerability VULNDB-106409 high pkg:maven/commons-beanutils/commons-beanutils@1.8.3@1.8.3",
		"vulnerability CVE-2020-1234 medium pkg:npm/%40a/left@2.0.0@2.0.0 accepted_risk",
		"vulnerability CVE-2020-1235 low @1.2 resolved",
	},
}}

func TestTheReasonOfADecisionIsKept(t *testing.T) {
	t.Parallel()
	if f := reporttest.Read(t, New(), cases[0].Report).Findings[1]; f.Analysis.Detail != "known" || f.Score != 5 {
		t.Errorf("finding %+v", f)
	}
}
