package sonarqube

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
		Name: "issues of the API", Score: 95,
		Report: `{"total":3,"paging":{"total":3},"effortTotal":1,"issues":[{"key":"k1","rule":"python:S2","severity":"CRITICAL","component":"org:app:src/a.py","project":"org:app","line":4,"textRange":{"startLine":4,"endLine":6},"status":"OPEN","message":"m","type":"VULNERABILITY","hash":"ab"},{"key":"k2","rule":"python:S3","severity":"MINOR","component":"app:b.py","project":"app","status":"RESOLVED","resolution":"WONTFIX","message":"n","type":"VULNERABILITY"},{"key":"k3","rule":"python:S4","component":"app:c.py","project":"app","type":"CODE_SMELL"}]}`,
		Want:   []string{"code python:S2 critical src/a.py:4-6", "code python:S3 low b.py:0-0 accepted_risk"},
	},
	{
		Name: "hotspots of the API", Score: 95,
		Report: `{"paging":{"total":1},"hotspots":[{"key":"h","ruleKey":"js:S5","component":"app:d.js","project":"app","securityCategory":"sql","vulnerabilityProbability":"HIGH","status":"REVIEWED","resolution":"SAFE","line":7,"message":"m"}]}`,
		Want:   []string{"code js:S5 high d.js:7-7 false_positive"},
	},
	{
		Name: "sonar-report", Score: 95,
		Report: `{"date":"d","sonarBaseURL":"https://sonar.test","rules":{"python:S4502":{"name":"CSRF","htmlDesc":"<p>x</p>"}},"issues":[{"rule":"python:S4502","severity":"HIGH","status":"TO_REVIEW","component":"app.py","line":8,"description":"d","message":"m","key":"k"}],"hotspotKeys":["k"]}`,
		Want:   []string{"code python:S4502 high app.py:8-8 in_triage"},
	},
	{Name: "nothing", Score: 95, Report: `{"total":0,"paging":{"total":0},"effortTotal":0,"issues":[],"components":[]}`},
}
