package cloudsploit

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
		Name: "results", Score: 95, Complete: true,
		Report: `[{"plugin":"stack","category":"CloudFormation","title":"t","description":"d","resource":"arn:aws:cloudformation:eu-west-1:1:stack/s/1","region":"eu-west-1","status":"FAIL","message":"m"},
{"plugin":"mfa","category":"IAM","title":"u","resource":"N/A","region":"global","status":"WARN","message":"m"},{"plugin":"s3","category":"S3","resource":"arn:aws:s3:::quiet","status":"OK"}]`,
		Want: []string{"misconfiguration stack unknown", "misconfiguration mfa unknown"},
	},
	{Name: "what could not be asked", Score: 95, Report: `[{"plugin":"s3","category":"S3","resource":"N/A","status":"UNKNOWN","message":"denied"}]`},
}

func TestAssetsJoinTheGraph(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), cases[0].Report)
	var got []string
	for _, a := range facts.Runs[0].Assets {
		got = append(got, a.Key)
	}
	if diff := cmp.Diff([]string{"arn:aws:cloudformation:eu-west-1:1:stack/s/1", "arn:aws:s3:::quiet"}, got); diff != "" {
		t.Errorf("assets (-want +got):\n%s", diff)
	}
	if f := facts.Findings[1]; f.Anchor != "global" || f.Asset.Kind != "unknown" {
		t.Errorf("a finding without a resource: %+v", f)
	}
}
