package dockle

import (
	"testing"

	"github.com/backstitch/backstitch/fact"
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
		Name: "each level", Score: 95, Complete: true,
		Report: `{"image":"r/app@sha256:ab","summary":{"fatal":1,"warn":1,"info":1,"skip":1,"pass":9},"details":[{"code":"CIS-DI-0010","title":"No credentials","level":"FATAL","alerts":["key in ENV","file found"]},{"code":"CIS-DI-0001","title":"Create a user","level":"WARN","alerts":["last user is root"]},{"code":"CIS-DI-0005","title":"Trust","level":"INFO","alerts":[]},{"code":"DKL-LI-0003","title":"Only needed files","level":"IGNORE","alerts":[]},{"code":"DKL-LI-0001","title":"Passwords","level":"SKIP","alerts":["no shadow"]}]}`,
		Want: []string{
			"misconfiguration CIS-DI-0010 high",
			"misconfiguration CIS-DI-0001 medium",
			"misconfiguration CIS-DI-0005 low",
			"misconfiguration DKL-LI-0003 unknown accepted_risk",
		},
	},
	{
		Name: "nothing found, before the image was named", Score: 95, Complete: true,
		Report: `{"summary":{"fatal":0,"warn":0,"info":0,"skip":0,"pass":16},"details":[]}`,
		Want:   nil,
	},
}

func TestFindingsAreOfTheImage(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), cases[0].Report)
	f := facts.Findings[0]
	want := fact.Asset{Kind: fact.AssetImage, Key: "sha256:ab", Name: "r/app@sha256:ab"}
	if f.Asset != want || f.Description != "key in ENV\nfile found" {
		t.Errorf("finding %+v", f)
	}
	if got := facts.Runs[0].Assets; len(got) != 1 || got[0] != want {
		t.Errorf("assets that were looked at: %+v, want the image", got)
	}
}
