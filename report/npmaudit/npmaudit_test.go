package npmaudit

import (
	"strings"
	"testing"

	"github.com/backstitch/backstitch/report"
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
		Name: "version 1", Score: 90, Complete: true,
		Report: `{"actions":[],"advisories":{"106":{"findings":[{"version":"0.5.3","paths":["express>accepts>negotiator","b>negotiator"]},{"version":"0.6.0","paths":["c>negotiator"]}],"id":106,"title":"ReDoS","module_name":"negotiator","cves":["CVE-2016-10539"],"patched_versions":">= 0.6.1 <1.0.0 || >=1.2.0","severity":"high","cwe":"CWE-400","url":"https://x.test/advisories/106"}},"muted":[],"metadata":{"vulnerabilities":{"high":1}}}`,
		Want: []string{
			"vulnerability npm:106 high pkg:npm/negotiator@0.5.3@0.5.3 aka CVE-2016-10539 fixed 0.6.1,1.2.0 via express,accepts,negotiator",
			"vulnerability npm:106 high pkg:npm/negotiator@0.6.0@0.6.0 aka CVE-2016-10539 fixed 0.6.1,1.2.0 via c,negotiator",
		},
	},
	{
		Name: "version 2", Score: 95, Complete: true,
		Report: `{"auditReportVersion":2,"vulnerabilities":{"ms":{"name":"ms","severity":"high","isDirect":false,"via":[{"source":7,"name":"ms","title":"t","url":"https://x.test/GHSA-aaaa-bbbb-cccc","severity":"moderate","cwe":["CWE-400"],"cvss":{"score":5.3,"vectorString":"CVSS:3.0/AV:N"},"range":"<2"}],"effects":["debug"],"range":"<2","nodes":["node_modules/ms"],"fixAvailable":{"name":"express","version":"4.1.0","isSemVerMajor":false}},"debug":{"name":"debug","severity":"high","isDirect":false,"via":["ms"],"effects":["express"],"nodes":[]},"express":{"name":"express","isDirect":true,"via":["debug"],"effects":[]}},"metadata":{"vulnerabilities":{"high":1}}}`,
		Want: []string{
			"vulnerability GHSA-aaaa-bbbb-cccc medium pkg:npm/ms@ aka npm:7 via express,debug,ms",
		},
	},
	{
		Name: "lines of Yarn", Score: 85, Complete: true,
		Report: `{"type":"info","data":"No lockfile found."}
{"type":"auditAdvisory","data":{"resolution":{"id":9,"path":"a>b"},"advisory":{"id":9,"findings":[{"version":"1.0.0","paths":["a>b"]}],"module_name":"b","severity":"low","github_advisory_id":"GHSA-1-2-3"}}}
{"type":"auditAdvisory","data":{"resolution":{"id":9,"path":"c>b"},"advisory":{"id":9,"findings":[{"version":"1.0.0","paths":["a>b"]}],"module_name":"b","severity":"low","github_advisory_id":"GHSA-1-2-3"}}}
{"type":"auditSummary","data":{"vulnerabilities":{"low":1}}}`,
		Want: []string{
			"vulnerability GHSA-1-2-3 low pkg:npm/b@1.0.0@1.0.0 aka npm:9 via a,b",
		},
	},
	{
		Name: "lines of Yarn 2 and later", Score: 85, Complete: true,
		Report: `{"value":"b","children":{"ID":9,"Issue":"t","URL":"https://x.test/GHSA-aaaa-bbbb-cccc","Severity":"moderate","Vulnerable Versions":"<2","Tree Versions":["1.0.0","1.1.0"],"Dependents":["a@workspace:."]}}
{"value":"c","children":{"ID":10,"Issue":"u","Severity":"low","Vulnerable Versions":"<3","Tree Versions":["2.0.0"],"Dependents":["a@workspace:."]}}`,
		Want: []string{
			"vulnerability GHSA-aaaa-bbbb-cccc medium pkg:npm/b@1.0.0@1.0.0 aka npm:9",
			"vulnerability GHSA-aaaa-bbbb-cccc medium pkg:npm/b@1.1.0@1.1.0 aka npm:9",
			"vulnerability npm:10 low pkg:npm/c@2.0.0@2.0.0",
		},
	},
}

func TestAnAuditThatDidNotGoThroughIsAFault(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{"error":{"code":"ENOLOCK","summary":"This command requires an existing lockfile.","detail":"Try creating one first"}}`,
		`{"actions":[],"advisories":{},"muted":[],"metadata":{"vulnerabilities":{"low":0}},"error":{"code":"ENOLOCK","summary":"This command requires an existing lockfile."}}`,
	} {
		var facts reporttest.Facts
		err := report.Read(t.Context(), []report.Reader{New()}, "audit.json", strings.NewReader(text), &facts)
		if err == nil || !strings.Contains(err.Error(), "audit.json") || !strings.Contains(err.Error(), "ENOLOCK: This command requires an existing lockfile.") {
			t.Errorf("%s: %v", text, err)
		}
		if len(facts.Runs) != 1 || facts.Runs[0].Complete {
			t.Errorf("%s: runs %+v, want one that is not complete", text, facts.Runs)
		}
	}
}

func TestTheBeginningOfALargeReportIsKnown(t *testing.T) {
	t.Parallel()
	for _, head := range []string{
		`{"actions":[],"advisories":{"@a/b.c":{"findings":[],"id":1,"module_name":"@a/b.c","vulnerable_versions":"<1","overview":"cut `,
		`{"vulnerabilities":{"a":{"name":"a","via":["b"],"effects":[]},"b":{"name":"b","via":[{"title":"cut `,
	} {
		if score := New().Detect([]byte(head)); score < 60 {
			t.Errorf("Detect = %d for %s", score, head)
		}
	}
}
