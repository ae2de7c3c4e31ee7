package kics

import (
	"strings"
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
		Name: "places before and after the words", Score: 90, Complete: true,
		Report: `{"kics_version":"v2.1.0","files_scanned":3,"files_failed_to_scan":0,"queries_total":9,"queries":[
{"query_name":"Bucket is public","query_id":"q1","query_url":"https://x.test","severity":"HIGH","platform":"Terraform","cwe":"284","category":"Access Control","description":"d","files":[{"file_name":"m/b.tf","line":4,"resource_type":"aws_s3_bucket","resource_name":"logs","search_key":"aws_s3_bucket[logs].acl","expected_value":"'acl' should be private"},{"file_name":"m/c.tf","line":9,"search_key":"aws_s3_bucket[b]"}]},
{"files":[{"file_name":"k.env","line":2,"search_key":"password=hunter2-in-the-open","actual_value":"hunter2-in-the-open"}],"query_name":"Passwords","query_id":"q2","severity":"TRACE","platform":"Common","category":"Secret Management"}]}`,
		Want: []string{"misconfiguration q1 high m/b.tf:4-4", "misconfiguration q1 high m/c.tf:9-9", "secret q2 info k.env:2-2"},
	},
	{Name: "a file that was not read", Score: 90, Report: `{"files_scanned":3,"files_failed_to_scan":1,"queries_total":9,"severity_counters":{},"queries":[]}`},
}

func TestTheTerraformResourceAndItsFieldAreKept(t *testing.T) {
	t.Parallel()
	findings := reporttest.Read(t, New(), cases[0].Report).Findings
	f := findings[0]
	if f.Anchor != "aws_s3_bucket.logs" || f.Attributes["field"] != "acl" || f.Mitigation != "'acl' should be private" || len(f.CWE) != 1 || f.CWE[0] != 284 {
		t.Errorf("finding %+v", f)
	}
	if f := findings[2]; !strings.HasPrefix(f.Anchor, "context:") {
		t.Errorf("a secret has the anchor %q, want a hash", f.Anchor)
	}
	if f := findings[1]; f.Anchor != "aws_s3_bucket.b" || f.Attributes["field"] != "" || f.Attributes["resource_type"] != "" {
		t.Errorf("the second place of a query has %+v", f)
	}
}

func TestNothingIsGivenThatWasReadHalf(t *testing.T) {
	t.Parallel()
	cut := strings.Index(cases[0].Report, `"query_name":"Passwords"`)
	var facts reporttest.Facts
	err := New().Read(t.Context(), strings.NewReader(cases[0].Report[:cut]), &facts)
	if err == nil || len(facts.Findings) != 2 || facts.Runs[0].Complete {
		t.Errorf("error %v, findings %+v, want those of the first query", err, facts.Findings)
	}
}
