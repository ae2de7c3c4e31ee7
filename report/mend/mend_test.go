package mend

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
		Name: "a report", Score: 95,
		Report: `{"vulnerabilities":[{"name":"CVE-1","type":"CVE","severity":"medium","score":"5.0","cvss3_severity":"HIGH","cvss3_score":"7.3","scoreMetadataVector":"CVSS:3.0/AV:N","url":"https://x.test","description":"d","project":"slack","product":"okhttp","library":{"keyUuid":"1","filename":"c-8.15.jar","name":"c","groupId":"com.c","artifactId":"c","version":"8.15","type":"MAVEN_ARTIFACT"},"topFix":{"url":"https://y.test","fixResolution":"Upgrade To Version 8.18"}},{"name":"WS-2","severity":"low","library":{"keyUuid":"2","filename":"a.jar","name":"axis","version":"1.4","type":"JAVA_ARCHIVE"}}]}`,
		Want:   []string{"vulnerability CVE-1 high pkg:maven/com.c/c@8.15@8.15", "vulnerability WS-2 low @1.4"},
	},
	{
		Name: "the platform", Score: 95,
		Report: `{"additionalData":{"totalItems":2},"supportToken":"s","response":[{"name":"CVE-3","type":"SECURITY_VULNERABILITY","component":{"name":"j-2.jar","libraryType":"MAVEN_ARTIFACT","groupId":"g","artifactId":"j","version":"2"},"findingInfo":{"status":"LIBRARY_REMOVED","comment":{}},"project":{"name":"p"},"vulnerability":{"description":"d","score":7.5,"severity":"HIGH"},"topFix":{"fixResolution":"g:j:2.1,3.0"},"threatAssessment":{"epssPercentage":86.2}},{"name":"CVE-4","component":{"name":"b-1.tgz","libraryType":"NODE_PACKAGED_MODULE","groupId":"b","artifactId":"b-1.tgz","version":"1"},"findingInfo":{"status":"IGNORED","comment":{"comment":"known"}},"vulnerability":{"severity":"LOW"}}]}`,
		Want:   []string{"vulnerability CVE-3 high pkg:maven/g/j@2@2 fixed 2.1,3.0 resolved", "vulnerability CVE-4 low pkg:npm/b@1@1 accepted_risk"},
	},
	{Name: "nothing", Score: 95, Report: `{"additionalData":{"totalItems":0},"supportToken":"s","response":[]}`},
}

func TestWhatIsToldOfRisk(t *testing.T) {
	t.Parallel()
	f := reporttest.Read(t, New(), cases[1].Report).Findings[0]
	if f.EPSS != 0.862 || f.Score != 7.5 || f.Attributes["project"] != "p" {
		t.Errorf("finding %+v", f)
	}
	if f := reporttest.Read(t, New(), cases[0].Report).Findings[0]; f.Score != 7.3 || f.Mitigation != "Upgrade To Version 8.18" || len(f.References) != 2 {
		t.Errorf("finding %+v", f)
	}
}
