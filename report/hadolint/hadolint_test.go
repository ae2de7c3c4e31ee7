package hadolint

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
		Name: "each level", Score: 90, Complete: true,
		Report: `[{"code":"DL3008","column":1,"file":"a/Dockerfile","level":"warning","line":3,"message":"Pin versions"},{"code":"SC2086","column":5,"file":"a/Dockerfile","level":"info","line":7,"message":"Quote"},{"code":"DL3059","file":"b","level":"style","line":1,"message":"Join"},{"code":"DL1000","file":"b","level":"error","line":2,"message":"unexpected end"}]`,
		Want: []string{
			"misconfiguration DL3008 medium a/Dockerfile:3-3",
			"misconfiguration SC2086 info a/Dockerfile:7-7",
			"misconfiguration DL3059 info b:1-1",
			"misconfiguration DL1000 high b:2-2",
		},
	},
}

func TestRulesLinkToTheirPages(t *testing.T) {
	t.Parallel()
	found := reporttest.Read(t, New(), cases[0].Report).Findings
	if at := found[0].References; len(at) != 1 || at[0] != "https://github.com/hadolint/hadolint/wiki/DL3008" {
		t.Errorf("references of a rule of Hadolint: %v", at)
	}
	if at := found[1].References; len(at) != 1 || at[0] != "https://www.shellcheck.net/wiki/SC2086" {
		t.Errorf("references of a rule of ShellCheck: %v", at)
	}
}

func TestShellCheckIsNotTakenForHadolint(t *testing.T) {
	t.Parallel()
	if score := New().Detect([]byte(`[{"file":"a.sh","line":1,"endLine":1,"column":1,"level":"info","code":2086,"message":"Quote"}]`)); score != 0 {
		t.Errorf("Detect = %d, want 0", score)
	}
}
