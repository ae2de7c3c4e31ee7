package twistlock

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
	reporttest.Conformance(t, New(), reporttest.Samples(cases[:2])...)
	reporttest.ConformanceOfTables(t, New(), cases[2].Report)
}

func FuzzRead(f *testing.F) { reporttest.FuzzTable(f, New(), cases) }

var cases = []reporttest.Case{
	{
		Name: "twistcli", Score: 95, Complete: true,
		Report: `{"results":[{"id":"sha256:cf","name":"a:1","distro":"Debian GNU/Linux 9 (stretch)","digest":"sha256:ab","packages":[{"type":"os","name":"libx","version":"1"},{"type":"python","name":"six","version":"2"}],"compliances":[{"id":404,"title":"Add HEALTHCHECK","severity":"medium","description":"d","category":"Docker"}],"complianceDistribution":{"total":1},"vulnerabilities":[{"id":"CVE-1","status":"fixed in 2, 1.1","cvss":9.8,"severity":"critical","packageName":"libx","packageVersion":"1","riskFactors":["Has fix"]},{"id":"CVE-2","status":"open","severity":"low","packageName":"six","packageVersion":"2","riskFactors":{"Recent":{}}},{"id":"CVE-3","severity":"high","packageName":"org.x_y-z","packageVersion":"3","packagePath":"/a/y.jar","link":"https://x.test"}],"vulnerabilityDistribution":{"total":3}}]}`,
		Want: []string{
			"misconfiguration 404 medium",
			"vulnerability CVE-1 critical pkg:deb/debian/libx@1?distro=debian-9@1 fixed 2,1.1",
			"vulnerability CVE-2 low pkg:pypi/six@2@2",
			"vulnerability CVE-3 high pkg:maven/org.x/y-z@3@3 /a/y.jar:0-0",
		},
	},
	{
		Name: "nothing found", Score: 95, Complete: true,
		Report: `{"results":[{"id":"sha256:cf","distro":"","compliances":[],"complianceDistribution":{"total":0},"vulnerabilityDistribution":{"total":0}}]}`,
	},
	{
		Name: "an export", Score: 95, Complete: false,
		Report: "Registry,Repository,Tag,Id,Distro,CVE ID,Compliance ID,Type,Severity,Packages,Package Version,CVSS,Fix Status,Risk Factors,Description,Cause\n" +
			"r.test,m/a,1,sha256:cf,alpine-3.11.5,CVE-4,46,OS,medium,libxml2,2.9.10-r2,6.50,fixed in 2.9.10-r4,Has fix,text,\n" +
			"r.test,m/a,1,sha256:cf,alpine-3.11.5,,41,image,high,,,0,,,Run as user,User root\n",
		Want: []string{
			"vulnerability CVE-4 medium pkg:apk/alpine/libxml2@2.9.10-r2?distro=alpine-v3.11@2.9.10-r2 fixed 2.9.10-r4",
			"misconfiguration 41 high",
		},
	},
}

func TestImagesGoByDigestAndThenByName(t *testing.T) {
	t.Parallel()
	for i, want := range []string{"sha256:ab", "sha256:cf"} {
		runs := reporttest.Read(t, New(), cases[i].Report).Runs
		if len(runs[0].Assets) != 1 || runs[0].Assets[0].Key != want {
			t.Errorf("%s: looked at %+v, want %s", cases[i].Name, runs[0].Assets, want)
		}
	}
	if f := reporttest.Read(t, New(), cases[2].Report).Findings[0]; f.Asset.Key != "r.test/m/a:1" || f.Score != 6.5 {
		t.Errorf("an exported row is of %+v with score %v", f.Asset, f.Score)
	}
}
