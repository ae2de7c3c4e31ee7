package detectsecrets

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

const sum = "5baa61e4c9b93f3f0682250b6cf8331b7ee68fd8"

var cases = []reporttest.Case{
	{
		Name: "with an audit", Score: 90, Complete: true,
		Report: `{"version":"1.4.0","plugins_used":[{"name":"AWSKeyDetector"}],"filters_used":[],"results":{"a/b.txt":[{"type":"Secret Keyword","filename":"a/b.txt","hashed_secret":"` + sum + `","is_verified":false,"line_number":5},{"type":"AWS Access Key","filename":"a/b.txt","hashed_secret":"` + sum + `","is_verified":true,"line_number":6,"is_secret":true}],"c":[{"type":"Secret Keyword","filename":"c","hashed_secret":"` + sum + `","line_number":1,"is_secret":false}]},"generated_at":"2024-05-01T00:00:00Z"}`,
		Want: []string{
			"secret Secret Keyword high a/b.txt:5-5",
			"secret AWS Access Key high a/b.txt:6-6 exploitable",
			"secret Secret Keyword high c:1-1 false_positive",
		},
	},
	{
		Name: "older, nothing found", Score: 90, Complete: true,
		Report: `{"exclude":{"files":null,"lines":null},"generated_at":"2019-05-01T00:00:00Z","plugins_used":[],"results":{},"version":"0.12.0"}`,
		Want:   nil,
	},
}

func TestTheHashOfTheReportIsNotKept(t *testing.T) {
	t.Parallel()
	found := reporttest.Read(t, New(), cases[0].Report).Findings
	if strings.Contains(fmt.Sprintf("%+v", found), sum) {
		t.Errorf("the SHA-1 of the secret is kept: %+v", found)
	}
	other := reporttest.Read(t, New(), strings.Replace(cases[0].Report, sum, strings.Repeat("0", 40), 1)).Findings
	if found[0].Anchor == "" || found[0].Anchor != found[2].Anchor || found[0].Anchor == other[0].Anchor {
		t.Errorf("anchors %q and %q of one secret, %q of another", found[0].Anchor, found[2].Anchor, other[0].Anchor)
	}
}
