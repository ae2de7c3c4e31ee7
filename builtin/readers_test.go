package builtin

import (
	"errors"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/report/reporttest"
)

// A report that a wrong reader takes for its own and finds nothing in would make real
// findings unconfirmed.
func TestReportsOfOtherToolsAreRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"target of a web scanner":  `{"Generated":"x","Target":{"ScanId":"1","Url":"https://a.test"},"Vulnerabilities":[{"Name":"Cookie","Type":"Cookie","Severity":"High"}]}`,
		"errata with packages":     `{"total":1,"page":1,"results":[{"errata_id":"RHSA-1","severity":"Important","packages":["a-1.rpm"],"cves":[{"cve_id":"CVE-1"}]}]}`,
		"errata without packages":  `{"total":1,"results":[{"errata_id":"RHSA-1","packages":[]}]}`,
		"bounties":                 `{"findings":[{"id":"1","title":"t","severity_rating":"medium","state":"open"}]}`,
		"items of a generic list":  `{"findings":[{"title":"t","severity":"High","description":"d"}]}`,
		"results of nothing known": `{"results":[{"name":"a","status":"failed"}],"version":"1"}`,
		"vulnerabilities":          `{"vulnerabilities":[{"name":"a","severity":"High"}]}`,
		"issues":                   `{"issues":[{"title":"a","severity":"High"}],"total":1}`,
		"matches":                  `{"matches":[{"id":1}]}`,
		"a list of rows":           `[{"id":1,"title":"t","severity":"High"}]`,
		"a table of rows":          "Name,Severity,Description\na,High,d\n",
		"XML":                      `<?xml version="1.0"?><report><item/></report>`,
		"an empty object":          `{}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var facts reporttest.Facts
			err := report.Read(t.Context(), Readers(), "r", strings.NewReader(text), &facts)
			if !errors.Is(err, report.ErrUnknownFormat) || len(facts.Runs) > 0 {
				t.Errorf("read as %+v with %v", facts.Runs, err)
			}
		})
	}
}

// What names no tool may be the empty report of any, so it proves nothing.
func TestAnEmptyListOfNoToolIsNeverComplete(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"[]", "null", "[{}]", "[[]]", `{"results":[]}`, `{"findings":[]}`, `{"vulnerabilities":[]}`, `{"Vulnerabilities":[]}`, `{"issues":[]}`, `{"matches":[]}`,
		`{"data":[]}`, `{"results":[],"errors":[]}`, `{"advisories":{}}`, `{"advisories":[]}`, `{"dependencies":[]}`, `{"items":[]}`, `{"value":[]}`, `{"Findings":[]}`,
		`{"runs":[]}`, `{"alerts":[]}`, `{"checks":[]}`, `{"components":[]}`, `{"packages":[]}`, `{"violations":[]}`,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			var facts reporttest.Facts
			err := report.Read(t.Context(), Readers(), "r", strings.NewReader(text), &facts)
			for _, run := range facts.Runs {
				if err == nil && run.Complete {
					t.Errorf("read as a complete run of %s", run.Tool)
				}
			}
		})
	}
}

func TestAnUnknownReportNamesWhatItComesNearTo(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"results":[{"check_id":"a"}],"stamp":1}`:                   "semgrep",
		`{"artifacts":[{"id":"a"}],"stamp":1}`:                       "syft",
		`{"RuleID":"a","File":"b","line":1}`:                         "gitleaks",
		"Nobody,Knows\na,b\n":                                        `a table with "nobody", "knows"`,
		`<?xml version="1.0"?><!-- x --><elsewhere><a/></elsewhere>`: `outermost element "elsewhere"`,
		`{"b":1,"a":2}`:                                              `an object of JSON with "a", "b"`,
	} {
		err := report.Read(t.Context(), Readers(), "r", strings.NewReader(text), &reporttest.Facts{})
		if !errors.Is(err, report.ErrUnknownFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a word of %s", text, err, want)
		}
	}
}
