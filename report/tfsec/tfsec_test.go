package tfsec

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
		Name: "words for the status", Score: 90, Complete: true,
		Report: `{"results":[{"rule_id":"aws-vpc-open","legacy_rule_id":"AWS050","rule_description":"All ports open.","rule_provider":"aws","resolution":"Close them","links":["https://x.test"],"description":"Resource 'module.NET:module.sub:aws_rule.in[0]' is open.","severity":"CRITICAL","status":"failed","location":{"filename":"/m/r.tf","start_line":3,"end_line":5}},{"rule_id":"aws-x","status":"passed","location":{"filename":"a.tf"}}]}`,
		Want:   []string{"misconfiguration aws-vpc-open critical /m/r.tf:3-5 aka AWS050"},
	},
	{
		Name: "numbers for the status", Score: 90, Complete: true,
		Report: `{"results":[{"rule_id":"AVD-AWS-0102","long_id":"aws-vpc-open","rule_description":"d","severity":"LOW","status":0,"resource":"aws_rule.in","location":{"filename":"r.tf","start_line":1,"end_line":1}},{"rule_id":"AVD-1","long_id":"l","severity":"LOW","status":1,"location":{}},{"rule_id":"AVD-2","long_id":"m","severity":"LOW","status":2,"location":{}}]}`,
		Want:   []string{"misconfiguration aws-vpc-open low r.tf:1-1 aka AVD-AWS-0102", "misconfiguration m low aka AVD-2 accepted_risk"},
	},
	{Name: "nothing", Score: 30, Complete: true, Report: `{"results": null}`},
	{Name: "nothing, of some tool", Score: 30, Report: `{"results": []}`},
}

func TestTheAddressOfTheResourceIsTheAnchor(t *testing.T) {
	t.Parallel()
	for i, want := range []string{"module.NET.module.sub.aws_rule.in[0]", "aws_rule.in"} {
		if got := reporttest.Read(t, New(), cases[i].Report).Findings[0].Anchor; got != want {
			t.Errorf("%s: anchor %q, want %q", cases[i].Name, got, want)
		}
	}
}
