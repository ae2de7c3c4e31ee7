package checkov

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
		Name: "one check type", Score: 90, Parts: map[string]bool{"terraform": true},
		Report: `{"check_type":"terraform","results":{"passed_checks":[{"check_id":"CKV_9"}],"failed_checks":[{"check_id":"CKV_1","bc_check_id":"BC_1","check_name":"n","severity":"HIGH","file_path":"/m.tf","file_line_range":[1,4],"resource":"a.b","guideline":"https://x.test/1"}],"skipped_checks":[{"check_id":"CKV_2","check_name":"s","check_result":{"result":"SKIPPED","suppress_comment":"ok"},"file_path":"/m.tf","file_line_range":[5,6],"severity":null}],"parsing_errors":[]},"summary":{"checkov_version":"3.2.0"}}`,
		Want: []string{
			"misconfiguration CKV_1 high /m.tf:1-4 aka BC_1",
			"misconfiguration CKV_2 unknown /m.tf:5-6 accepted_risk",
		},
	},
	{
		Name: "several with packages and secrets", Score: 90, Parts: map[string]bool{"sca_package": false, "secrets": true},
		Report: `[{"check_type":"sca_package","results":{"failed_checks":[{"check_id":"CKV_CVE_2020_1","file_path":"/r.txt","file_line_range":[0,0],"vulnerability_details":{"id":"CVE-2020-1","package_name":"django","package_version":"1.2","package_type":"python","severity":"critical","cvss":9.8,"lowest_fixed_version":"1.2.2"}}],"parsing_errors":["/x.tf"]}},{"results":{"failed_checks":[{"check_id":"CKV_SECRET_2","check_name":"AWS","file_path":"/k","file_line_range":[3,4],"resource":"h"}]},"check_type":"secrets"}]`,
		Want: []string{
			"vulnerability CVE-2020-1 critical pkg:pypi/django@1.2@1.2 /r.txt:0-0 aka CKV_CVE_2020_1 fixed 1.2.2",
			"secret CKV_SECRET_2 unknown /k:3-4",
		},
	},
	{
		Name: "nothing to check", Score: 90, Complete: true,
		Report: `{"passed":0,"failed":0,"skipped":0,"parsing_errors":0,"resource_count":0,"checkov_version":"2.1.1"}`,
		Want:   nil,
	},
}

func TestTheBeginningOfALargeReportIsKnown(t *testing.T) {
	t.Parallel()
	for _, head := range []string{
		`{"results":{"passed_checks":[{"check_id":"CKV_1","check_name":"cut `,
	} {
		if score := New().Detect([]byte(head)); score < 60 {
			t.Errorf("Detect = %d for %s", score, head)
		}
	}
}
