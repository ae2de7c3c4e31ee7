package gosec

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
		Name: "newer", Score: 95, Complete: true,
		Report: `{"Golang errors":{},"Issues":[{"severity":"HIGH","confidence":"LOW","cwe":{"id":"798","url":"https://c.test/798"},"rule_id":"G101","details":"Potential hardcoded credentials","file":"/w/a.go","code":"11: x\n12: password := \"hunter22\"\n13: y\n","line":"12","column":"2","nosec":false,"suppressions":null},{"severity":"MEDIUM","confidence":"HIGH","cwe":{"id":"22","url":""},"rule_id":"G304","details":"File inclusion","file":"/w/b.go","code":"a","line":"3-5","column":"1","nosec":true,"suppressions":[{"kind":"inSource","justification":"fixed path"}]}],"Stats":{"files":2,"lines":9,"nosec":1,"found":2},"GosecVersion":"2.18.0"}`,
		Want: []string{
			"secret G101 high /w/a.go:12-12",
			"code G304 medium /w/b.go:3-5 accepted_risk",
		},
	},
	{
		Name: "older, with a package that does not compile", Score: 95, Complete: false,
		Report: `{"Golang errors":{"/w/c.go":[{"line":1,"column":1,"error":"expected package"}]},"Issues":[{"severity":"LOW","confidence":"HIGH","rule_id":"G104","details":"Errors unhandled.","file":"/w/a.go","code":"f()","line":"79"}],"Stats":{"files":2,"lines":9,"nosec":0,"found":1}}`,
		Want: []string{
			"code G104 low /w/a.go:79-79",
		},
	},
	{
		Name: "nothing found", Score: 95, Complete: true,
		Report: `{"Golang errors":{},"Issues":null,"Stats":{"files":0,"lines":0,"nosec":0,"found":0},"GosecVersion":"dev"}`,
		Want:   nil,
	},
}

func TestTheAnchorStaysWhenLinesShiftAndKeepsNoCode(t *testing.T) {
	t.Parallel()
	before := reporttest.Read(t, New(), cases[0].Report).Findings[0]
	shifted := strings.NewReplacer("11:", "21:", "12:", "22:", "13:", "23:", `"line":"12"`, `"line":"22"`, `: y`, `: z`).Replace(cases[0].Report)
	after := reporttest.Read(t, New(), shifted).Findings[0]
	if before.Anchor == "" || before.Anchor != after.Anchor || after.Line != 22 {
		t.Errorf("anchor %q of line %d, then %q of line %d", before.Anchor, before.Line, after.Anchor, after.Line)
	}
	other := reporttest.Read(t, New(), strings.Replace(cases[0].Report, "hunter22", "hunter23", 1)).Findings[0]
	if other.Anchor == before.Anchor {
		t.Error("another line has the same anchor")
	}
	if strings.Contains(fmt.Sprintf("%+v", before), "hunter22") {
		t.Errorf("the code is kept: %+v", before)
	}
}
