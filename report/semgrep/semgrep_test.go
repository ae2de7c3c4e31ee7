package semgrep

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
		Name: "command line", Score: 95, Complete: true,
		Report: `{"version":"1.2.3","results":[{"check_id":"a.b.eval","path":"x.py","start":{"line":3,"col":1},"end":{"line":4,"col":2},"extra":{"message":"m","severity":"ERROR","lines":"eval(x)","metadata":{"cwe":["CWE-95: Eval"],"references":["https://x.test"]}}},{"check_id":"g.secrets.key","path":"k","start":{"line":1},"end":{"line":1},"extra":{"severity":"WARNING","is_ignored":true,"lines":"k","metadata":{"cwe":"CWE-798"}}},{"check_id":"ssc-1","path":"go.sum","start":{"line":1},"end":{"line":1},"extra":{"severity":"HIGH","metadata":{"sca-vuln-database-identifier":"CVE-2020-2","sca-fix-versions":[{"m/x":"1.1"}]},"sca_info":{"reachable":true,"dependency_match":{"lockfile":"go.sum","found_dependency":{"package":"m/x","version":"1.0","ecosystem":"gomod"}}}}}],"errors":[{"level":"warn"}]}`,
		Want: []string{
			"code a.b.eval high x.py:3-4",
			"secret g.secrets.key medium k:1-1 accepted_risk",
			"vulnerability ssc-1 high pkg:golang/m/x@1.0@1.0 go.sum:1-1 aka CVE-2020-2 fixed 1.1",
		},
	},
	{
		Name: "findings of the API", Score: 90, Complete: false,
		Report: `{"findings":[{"id":1,"rule_name":"a.b","rule_message":"m","severity":"medium","triage_state":"ignored","triage_reason":"false_positive","location":{"file_path":"a.ts","line":7,"end_line":8},"rule":{"cwe_names":["CWE-319: x"]},"match_based_id":"mm"}]}`,
		Want: []string{
			"code a.b medium a.ts:7-8 false_positive",
		},
	},
	{
		Name: "supply chain API", Score: 90, Complete: false,
		Report: `{"vulns":[{"title":"T","advisory":{"ruleId":"ssc-1","ecosystem":"pypi","severity":"HIGH","references":{"cveIds":["CVE-1-1"],"cweIds":["CWE-617: x"]}},"exposureType":"REACHABLE","matchedDependency":{"name":"grpcio","versionSpecifier":"1.4"},"dependencyFileLocation":{"path":"r.txt","startLine":"22","endLine":"0"},"closestSafeDependency":{"name":"grpcio","versionSpecifier":"1.5"},"triage":{"status":"NEW"}}],"hasMore":true}`,
		Want: []string{
			"vulnerability ssc-1 high pkg:pypi/grpcio@1.4@1.4 r.txt:22-22 aka CVE-1-1 fixed 1.5",
		},
	},
}

func TestTheBeginningOfALargeReportIsKnown(t *testing.T) {
	t.Parallel()
	for _, head := range []string{
		`{"errors":[],"paths":{"_comment":"c","scanned":["a.py","cut `,
		`{"errors":[{"code":3,"level":"warn","message":"m","type":"Syntax error"},{"message":"cut `,
	} {
		if score := New().Detect([]byte(head)); score < 60 {
			t.Errorf("Detect = %d for %s", score, head)
		}
	}
}
