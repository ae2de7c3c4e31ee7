package snyk

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
		Name: "one project", Score: 95, Complete: true,
		Report: `{"vulnerabilities":[{"id":"SNYK-JS-MS-1","title":"ReDoS","severity":"high","severityWithCritical":"critical","cvssScore":9.1,"packageManager":"npm","packageName":"ms","name":"ms","version":"1.0.0","from":["shop@1.0.0","debug@2.0.0","ms@1.0.0"],"upgradePath":[false,"debug@2.1.0","ms@2.0.0"],"fixedIn":["2.0.0"],"identifiers":{"CVE":["CVE-1-1"],"CWE":["CWE-400"],"GHSA":["GHSA-1-2-3"]}},{"id":"snyk:lic:npm:x:GPL-3.0","type":"license","severity":"medium","packageManager":"npm","packageName":"x","version":"1.0.0","from":["shop@1","x@1.0.0"]}],"ok":false,"dependencyCount":5,"packageManager":"npm","filtered":{"ignore":[{"id":"SNYK-JS-Q-2","severity":"low","packageName":"q","version":"1.0.0","from":["shop@1","q@1.0.0"],"filtered":{"ignored":[{"reason":"later","reasonType":"wont-fix"}]}}],"patch":[]},"projectName":"shop","displayTargetFile":"package-lock.json","path":"/src"}`,
		Want: []string{
			"vulnerability SNYK-JS-MS-1 critical pkg:npm/ms@1.0.0@1.0.0 package-lock.json:0-0 aka CVE-1-1,GHSA-1-2-3 fixed 2.0.0 via debug@2.0.0,ms@1.0.0",
			"misconfiguration snyk:lic:npm:x:GPL-3.0 medium pkg:npm/x@1.0.0@1.0.0 package-lock.json:0-0 via x@1.0.0",
			"vulnerability SNYK-JS-Q-2 low pkg:npm/q@1.0.0@1.0.0 package-lock.json:0-0 via q@1.0.0 accepted_risk",
		},
	},
	{
		Name: "an image with an application, one project failed", Score: 95, Complete: false,
		Report: `[{"vulnerabilities":[{"id":"SNYK-DEBIAN11-GCC10-1","severity":"low","packageManager":"debian:11","packageName":"gcc-10","name":"gcc-10/libgcc-s1","version":"10.2","from":["docker-image|x@latest","gcc-10/libgcc-s1@10.2"]}],"ok":false,"dependencyCount":1,"packageManager":"deb","docker":{},"projectName":"docker-image|x","path":"x:latest","applications":[{"vulnerabilities":[{"id":"SNYK-JS-A-1","severity":"high","packageName":"a","version":"1.0.0","from":["app@1","a@1.0.0"]}],"packageManager":"npm","docker":{},"projectName":"app","displayTargetFile":"/app/package.json","path":"x:latest"}]},{"ok":false,"error":"no","path":"/y"}]`,
		Want: []string{
			"vulnerability SNYK-JS-A-1 high pkg:npm/a@1.0.0@1.0.0 /app/package.json:0-0 via a@1.0.0",
			"vulnerability SNYK-DEBIAN11-GCC10-1 low pkg:deb/debian/gcc-10@10.2?distro=debian-11@10.2 via gcc-10/libgcc-s1@10.2",
		},
	},
	{
		Name: "infrastructure as code", Score: 95, Complete: true,
		Report: `[{"infrastructureAsCodeIssues":[{"id":"SNYK-CC-TF-1","publicId":"SNYK-CC-TF-1","title":"open","severity":"medium","issue":"i","impact":"m","resolve":"r","msg":"resource.a","path":["resource","a"],"lineNumber":7,"isIgnored":true,"documentation":"https://x.test"}],"targetFile":"main.tf","projectType":"terraformconfig"}]`,
		Want: []string{
			"misconfiguration SNYK-CC-TF-1 medium main.tf:7-7 accepted_risk",
		},
	},
	{
		Name: "issues API", Score: 90, Complete: false,
		Report: `{"jsonapi":{"version":"1.0"},"data":[{"id":"u","type":"issue","attributes":{"title":"DoS","type":"package_vulnerability","key":"SNYK-PYTHON-PILLOW-1","effective_severity_level":"high","status":"open","ignored":false,"classes":[{"id":"CWE-400"}],"coordinates":[{"is_fixable_snyk":true,"representations":[{"dependency":{"package_name":"pillow","package_version":"9.5.0"}}]}]}}],"links":{"next":"/more"}}`,
		Want: []string{
			"vulnerability SNYK-PYTHON-PILLOW-1 high pkg:pypi/pillow@9.5.0@9.5.0",
		},
	},
}

func TestTheBeginningOfALargeReportIsKnown(t *testing.T) {
	t.Parallel()
	for _, head := range []string{
		`{"vulnerabilities":[{"id":"SNYK-1","packageName":"a","from":["p@1","a@1"],"description":"cut `,
	} {
		if score := New().Detect([]byte(head)); score < 60 {
			t.Errorf("Detect = %d for %s", score, head)
		}
	}
}
