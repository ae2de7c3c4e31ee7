package scoutsuite

import (
	"strings"
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
	reporttest.Conformance(t, New(), cases[1].Report, cases[2].Report)
}

func FuzzRead(f *testing.F) { reporttest.FuzzTable(f, New(), cases) }

const document = `{"account_id":"111122223333","provider_code":"aws","result_format":"json","last_run":{"version":"5.14.0","time":"2021-01-08 17:16:19+0100","ruleset_name":"default"},"services":{"s3":{
"findings":{"s3-public":{"items":["s3.buckets.b1.acl","s3.buckets.b2","s3.buckets.b9.acl"],"description":"Bucket is public","rationale":"r","level":"danger","path":"s3.buckets.id.acl","references":["https://x.test"]},"s3-none":{"items":[],"level":"warning"},
"iam-password":{"items":["iam.password_policy.Length"],"level":"danger","description":"Short","path":"iam.password_policy"},"s3-log":{"items":["s3.buckets.b1.logging"],"level":"warning","description":"No log"}},
"buckets":{"b1":{"arn":"arn:aws:s3:::logs","name":"logs","acl":{"x":1}},"b2":{"id":"b2","arn":"arn:aws:s3:::quiet"},"b3":{"name":"unnamed"}},"buckets_count":3}}}`

var want = []string{"misconfiguration s3-public high", "misconfiguration s3-public high", "misconfiguration s3-public high", "misconfiguration iam-password high", "misconfiguration s3-log medium"}

var cases = []reporttest.Case{
	{Name: "JavaScript", Score: 95, Complete: true, Report: "scoutsuite_results =\n" + document, Want: want},
	{Name: "JSON", Score: 90, Complete: true, Report: document, Want: want},
	{Name: "nothing", Score: 90, Complete: true, Report: `{"provider_code":"gcp","result_format":"json","services":{"kms":{"findings":{}}}}`},
}

func TestAssetsJoinTheGraph(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), cases[0].Report)
	var got []string
	for _, f := range facts.Findings {
		got = append(got, f.Asset.Key+" "+f.Asset.Name+" "+f.Anchor)
	}
	want := []string{"arn:aws:s3:::logs logs acl", "arn:aws:s3:::quiet quiet ", "aws/111122223333/s3.buckets.b9 b9 acl", "aws/111122223333 111122223333 iam.password_policy.Length", "arn:aws:s3:::logs logs logging"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("assets (-want +got):\n%s", diff)
	}
	run := facts.Runs[0]
	if run.ToolVersion != "5.14.0" || run.Rules != "default" || run.Started != 1610122579000000 || len(run.Assets) != 4 {
		t.Errorf("run %+v", run)
	}
}

func TestPlacesAreThoseOfTheFile(t *testing.T) {
	t.Parallel()
	text := cases[0].Report
	at := reporttest.Read(t, New(), text).Findings[0].Position
	if part := text[at.Offset : at.Offset+at.Length]; !strings.HasPrefix(part, `{"items":["s3.buckets.b1.acl"`) || !strings.HasSuffix(part, `]}`) {
		t.Errorf("the finding stands at %q", part)
	}
	err := New().Read(t.Context(), strings.NewReader("scoutsuite_results =\n{\"services\":[]}"), &reporttest.Facts{})
	if err == nil || !strings.Contains(err.Error(), "report:2 (byte 33): services: expected an object") {
		t.Errorf("fault %v", err)
	}
}
