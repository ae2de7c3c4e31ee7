package ggshield

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

const hash = "06b15f1d8c0095386c7bbc4f423f5ec30b41b22b1565a836e55b978202ba569b"

var cases = []reporttest.Case{
	{
		Name: "commits", Score: 95, Complete: true,
		Report: `{"id":"x","type":"commit-range","scans":[{"id":"c1","type":"commit","entities_with_incidents":[{"mode":"MODIFY","filename":"a.py","incidents":[{"policy":"Secrets detection","type":"Django Secret Key","validity":"no_checker","ignore_sha":"` + hash + `","occurrences":[{"match":"&dtz*****ji5","type":"apikey","line_start":3,"line_end":4},{"match":"&dtz*****ji5","line_start":9,"line_end":9}],"total_occurrences":2}]}],"total_incidents":1}],"total_incidents":1,"total_occurrences":2}`,
		Want: []string{
			"secret Django Secret Key high a.py:3-4",
		},
	},
	{
		Name: "a folder", Score: 90, Complete: true,
		Report: `{"id":"p","type":"path_scan","entities_with_incidents":[{"filename":"b","incidents":[{"type":"AWS Keys","validity":"valid","ignore_sha":"` + hash + `","incident_url":"https://g.test/1","occurrences":[{"line_start":null}],"ignore_reason":{"kind":"ignored_sha"}}]}],"total_incidents":1,"total_occurrences":1}`,
		Want: []string{
			"secret AWS Keys critical b:0-0 accepted_risk",
		},
	},
	{
		Name: "nothing found", Score: 95, Complete: true,
		Report: `{"id":"x","type":"commit-range","scans":[{"id":"c1","type":"commit","total_incidents":0,"total_occurrences":0}],"total_incidents":0,"total_occurrences":0}`,
		Want:   nil,
	},
}

func TestNothingOfTheSecretIsKept(t *testing.T) {
	t.Parallel()
	for _, c := range cases[:2] {
		for _, f := range reporttest.Read(t, New(), c.Report).Findings {
			if text := fmt.Sprintf("%+v", f); strings.Contains(text, "dtz") || strings.Contains(text, hash) || f.Anchor == "" {
				t.Errorf("the secret, or the hash of the report, is kept: %s", text)
			}
		}
	}
}

func TestACommitIsNamedOnlyOfACommit(t *testing.T) {
	t.Parallel()
	if got := reporttest.Read(t, New(), cases[0].Report).Findings[0].Commit; got != "c1" {
		t.Errorf("commit %q, want c1", got)
	}
	if got := reporttest.Read(t, New(), cases[1].Report).Findings[0].Commit; got != "" {
		t.Errorf("commit %q of a scan of a folder", got)
	}
}
