package bandit

import (
	"fmt"
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
		Name: "code and a password", Score: 95, Complete: true,
		Report: `{"errors":[],"generated_at":"2024-05-01T00:00:00Z","metrics":{"_totals":{"loc":2}},"results":[{"code":"6 import x\n7 x(\n8   1)\n9 y\n","filename":"a/b.py","issue_confidence":"HIGH","issue_cwe":{"id":327,"link":"https://c.test/327"},"issue_severity":"MEDIUM","issue_text":"Use of MD5.","line_number":7,"line_range":[7,8],"more_info":"https://b.test/b303","test_id":"B303","test_name":"blacklist"},{"code":"3 p = 'hunter22'\n","filename":"a/c.py","issue_confidence":"MEDIUM","issue_severity":"LOW","issue_text":"Possible hardcoded password: 'hunter22'","line_number":3,"line_range":[3],"test_id":"B105","test_name":"hardcoded_password_string"}]}`,
		Want: []string{
			"code B303 medium a/b.py:7-8",
			"secret B105 low a/c.py:3-3",
		},
	},
	{
		Name: "a file that could not be read", Score: 95, Complete: false,
		Report: `{"errors":[{"filename":"x.py","reason":"syntax error while parsing AST from file"}],"generated_at":"2024-05-01T00:00:00Z","metrics":{"_totals":{}},"results":[]}`,
		Want:   nil,
	},
}

func TestTheValueOfAPasswordIsNotKept(t *testing.T) {
	t.Parallel()
	f := reporttest.Read(t, New(), cases[0].Report).Findings[1]
	if strings.Contains(fmt.Sprintf("%+v", f), "hunter22") || f.Title != "Possible hardcoded password" || !strings.HasPrefix(f.Anchor, "sha256:") {
		t.Errorf("finding %+v", f)
	}
}

func TestTheAnchorIsOfTheLinesAlone(t *testing.T) {
	t.Parallel()
	one := reporttest.Read(t, New(), cases[0].Report).Findings[0]
	two := reporttest.Read(t, New(), strings.Replace(cases[0].Report, `9 y`, `9 other`, 1)).Findings[0]
	three := reporttest.Read(t, New(), strings.Replace(cases[0].Report, `8   1)`, `8   2)`, 1)).Findings[0]
	if one.Anchor == "" || one.Anchor != two.Anchor || one.Anchor == three.Anchor {
		t.Errorf("anchors %q, with another line beside %q, with another line %q", one.Anchor, two.Anchor, three.Anchor)
	}
}
