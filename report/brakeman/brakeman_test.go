package brakeman

import (
	"testing"

	"github.com/google/go-cmp/cmp"

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
		Name: "warnings", Score: 95, Complete: true,
		Report: `{"scan_info":{"app_path":"/w","rails_version":"7.0","start_time":"2024-05-01 00:00:00 +0000","brakeman_version":"6.1.2"},"warnings":[{"warning_type":"SQL Injection","warning_code":0,"fingerprint":"ab12","check_name":"SQL","message":"Possible SQL injection","file":"app/a.rb","line":7,"link":"https://b.test/sql","code":"where(\"x\")","confidence":"High","cwe_id":[89]}],"ignored_warnings":[{"warning_type":"XSS","fingerprint":"cd34","check_name":"CrossSiteScripting","message":"Unescaped","file":"app/b.erb","line":3,"confidence":"Weak","note":"sanitised"}],"errors":[],"obsolete":[]}`,
		Want: []string{
			"code SQL unknown app/a.rb:7-7",
			"code CrossSiteScripting unknown app/b.erb:3-3 accepted_risk",
		},
	},
	{
		Name: "with an error", Score: 95, Complete: false,
		Report: `{"scan_info":{"brakeman_version":"6.1.2"},"warnings":[],"ignored_warnings":[],"errors":[{"error":"parse error","location":"app/c.rb"}]}`,
		Want:   nil,
	},
}

func TestTheFingerprintIsTheAnchor(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), cases[0].Report)
	if f := facts.Findings[0]; f.Anchor != "ab12" || !cmp.Equal(f.CWE, []int{89}) || f.Attributes["confidence"] != "high" {
		t.Errorf("finding %+v", f)
	}
	if f := facts.Findings[1]; f.Analysis.Detail != "sanitised" {
		t.Errorf("ignored finding %+v", f)
	}
	if got := facts.Runs[0].Started; got != 1714521600000000 {
		t.Errorf("started %d", got)
	}
}
