package prowler

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report/reporttest"
)

func TestEachLayoutIsReadIntoFindings(t *testing.T) {
	t.Parallel()
	reporttest.Table(t, New(), append(cases, tables...))
}

func TestConformance(t *testing.T) {
	t.Parallel()
	reporttest.Conformance(t, New(), reporttest.Samples(cases)...)
}

func FuzzRead(f *testing.F) { reporttest.FuzzTable(f, New(), append(cases, tables...)) }

var cases = []reporttest.Case{
	{
		Name: "OCSF", Score: 95, Complete: true,
		Report: `[{"metadata":{"event_code":"s3_public","product":{"name":"Prowler","version":"5.4.0"}},"severity":"High","status":"New","status_code":"FAIL","status_detail":"Bucket logs is public.","finding_info":{"product_uid":"prowler","title":"No public buckets","uid":"p-1","created_time":1739539623},"resources":[{"uid":"arn:aws:s3:::logs","name":"logs","type":"AwsS3Bucket","region":"eu-west-1","labels":["team:data"]}],"cloud":` + cloud + `,"remediation":{"desc":"Close it.","references":["aws s3api x","https://x.test/1"]}},
{"metadata":{"event_code":"s3_public"},"status_code":"PASS","severity":"High","finding_info":{"title":"t"},"resources":[{"uid":"arn:aws:s3:::quiet","name":"quiet"}],"cloud":` + cloud + `},
{"metadata":{"event_code":"mfa"},"status_code":"MANUAL","severity":"Low","finding_info":{"title":"t"},"resources":[{"uid":"arn:aws:iam::111122223333:root"}],"cloud":` + cloud + `}]`,
		Want: []string{"misconfiguration s3_public high", "misconfiguration mfa low in_triage"},
	},
	{
		Name: "JSON of version 3", Score: 95, Complete: true,
		Report: `[{"FindingUniqueId":"p-1","Provider":"aws","CheckID":"acm_expiry","CheckTitle":"t","ServiceName":"acm","Status":"FAIL","StatusExtended":"soon","Severity":"high","ResourceType":"AwsCertificateManagerCertificate","AccountId":"111122223333","Region":"eu-west-1","ResourceId":"shop.test","ResourceArn":"arn:aws:acm:eu-west-1:111122223333:certificate/1","ResourceTags":{"team":"shop"},"Remediation":{"Code":{"CLI":"x"},"Recommendation":{"Text":"Renew.","Url":"https://x.test"}}}]`,
		Want:   []string{"misconfiguration acm_expiry high"},
	},
	{
		Name: "JSON of version 2, an object a line", Score: 95, Complete: true,
		Report: `{"Profile":"default","Account Number":"111122223333","Control":"[check114] Ensure hardware MFA","Message":"eu-west-1: only virtual MFA","Severity":"Critical","Status":"FAIL","Region":"eu-west-1","Remediation":"Use a key.","Resource ID":"MFA"}
{"Account Number":"111122223333","Control":"[check115] More","Message":"fine","Severity":"Low","Status":"PASS","Region":"eu-west-1"}
`,
		Want: []string{"misconfiguration check114 critical"},
	},
	{
		Name: "OCSF of a cluster", Score: 90, Complete: true,
		Report: `[{"metadata":{"event_code":"apiserver"},"status":"Suppressed","status_code":"FAIL","severity":"Medium","finding_info":{"title":"t"},"resources":[{"uid":"u-1","name":"kube-apiserver-n1","namespace":"kube-system","type":"KubernetesAPIServer","group":{"name":"apiserver"}}]}]`,
		Want:   []string{"misconfiguration apiserver medium accepted_risk"},
	},
}

const cloud = `{"provider":"aws","region":"eu-west-1","account":{"uid":"111122223333"}}`

var tables = []reporttest.Case{
	{
		Name: "table of versions 3 to 5", Score: 95, Complete: true,
		Report: "AUTH_METHOD;ACCOUNT_UID;ACCOUNT_NAME;FINDING_UID;PROVIDER;CHECK_ID;CHECK_TITLE;STATUS;STATUS_EXTENDED;MUTED;SEVERITY;RESOURCE_TYPE;RESOURCE_UID;RESOURCE_NAME;RESOURCE_TAGS;REGION;RISK;PROWLER_VERSION\n" +
			"x;111122223333;a;f1;aws;s3_public;t;FAIL;is public;False;high;AwsS3Bucket;arn:aws:s3:::logs;logs;team=data | env=prod;eu-west-1;\"all can\nread it\";5.1\n" +
			"x;111122223333;a;f2;aws;s3_public;t;PASS;fine;False;high;AwsS3Bucket;arn:aws:s3:::quiet;quiet;;eu-west-1;;5.1\n",
		Want: []string{"misconfiguration s3_public high"},
	},
	{
		Name: "table of a cluster", Score: 95, Complete: true,
		Report: "SERVICE_NAME;ACCOUNT_UID;ACCOUNT_NAME;FINDING_UID;PROVIDER;CHECK_ID;CHECK_TITLE;STATUS;STATUS_EXTENDED;MUTED;SEVERITY;RESOURCE_TYPE;RESOURCE_UID;RESOURCE_NAME;RESOURCE_TAGS;REGION;RISK;PROWLER_VERSION\n" +
			"rbac;c;context: prod;f3;kubernetes;rbac;t;FAIL;wide;True;medium;KubernetesClusterRole;u1;reader;;;;5.1\n",
		Want: []string{"misconfiguration rbac medium accepted_risk"},
	},
	{
		Name: "table of version 2", Score: 95, Complete: true,
		Report: "PROFILE,ACCOUNT_NUM,REGION,TITLE_ID,CHECK_RESULT,TITLE_TEXT,CHECK_RESULT_EXTENDED,CHECK_SEVERITY\n" +
			",111122223333,eu-west-1,1.2,FAIL,[check12] Ensure MFA (Scored),User \"joe\" has no MFA,High,\n,111122223333,eu-west-1,1.3,INFO,[check13] x,none,Low\n",
		Want: []string{"misconfiguration check12 high"},
	},
}

func TestAssetsJoinTheGraph(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		sample, target string
		want           []string
	}{
		{cases[0].Report, "aws/111122223333/eu-west-1/", []string{"cloud_resource arn:aws:s3:::logs", "cloud_resource arn:aws:s3:::quiet", "account aws/111122223333"}},
		{cases[1].Report, "aws/111122223333/eu-west-1/acm", []string{"cloud_resource arn:aws:acm:eu-west-1:111122223333:certificate/1"}},
		{cases[2].Report, "aws/111122223333/eu-west-1/", []string{"account aws/111122223333"}},
		{cases[3].Report, "kubernetes//kube-system/apiserver", []string{"kubernetes_object kube-system/Pod/kube-apiserver-n1"}},
		{tables[0].Report, "aws/111122223333/eu-west-1/", []string{"cloud_resource arn:aws:s3:::logs", "cloud_resource arn:aws:s3:::quiet"}},
		{tables[1].Report, "kubernetes/prod//rbac", []string{"kubernetes_object prod/-/ClusterRole.rbac.authorization.k8s.io/reader"}},
		{tables[2].Report, "aws/111122223333/eu-west-1/", []string{"account aws/111122223333"}},
	} {
		facts := reporttest.Read(t, New(), c.sample)
		var got []string
		for _, a := range facts.Runs[0].Assets {
			got = append(got, a.Kind+" "+a.Key)
		}
		if diff := cmp.Diff(c.want, got); diff != "" || facts.Runs[0].Target != c.target {
			t.Errorf("target %q, want %q; assets that were looked at (-want +got):\n%s", facts.Runs[0].Target, c.target, diff)
		}
	}
}

func TestWhatProwlerSaysIsKept(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), cases[0].Report)
	want := fact.Finding{
		Kind: fact.Misconfiguration, Rule: "s3_public", Title: "No public buckets", Description: "Bucket logs is public.", Severity: fact.SeverityHigh, SeverityText: "High",
		Mitigation: "Close it.", References: []string{"https://x.test/1"}, Asset: fact.Asset{Kind: fact.AssetResource, Key: "arn:aws:s3:::logs", Name: "logs"},
		Attributes: map[string]string{"id": "p-1", "provider": "aws", "account": "111122223333", "region": "eu-west-1", "resource_type": "AwsS3Bucket", "tag:team": "data"},
	}
	got := facts.Findings[0]
	got.Position = fact.Position{}
	if diff := cmp.Diff(want, got); diff != "" || facts.Runs[0].ToolVersion != "5.4.0" || facts.Runs[0].Started != 1739539623000000 {
		t.Errorf("version %q, finding (-want +got):\n%s", facts.Runs[0].ToolVersion, diff)
	}
	row := reporttest.Read(t, New(), tables[0].Report).Findings[0]
	if row.Attributes["tag:env"] != "prod" || row.Description != "is public\n\nall can\nread it" || row.Position.Item != "row 2" {
		t.Errorf("finding of a row: %+v", row)
	}
}

func TestWhatAScanDidNotLookAtStaysApart(t *testing.T) {
	t.Parallel()
	row := func(account, region, service string) string {
		return account + ";f;aws;c;t;FAIL;d;high;arn:aws:x:::" + account + region + service + ";n;" + region + ";" + service + "\n"
	}
	facts := reporttest.Read(t, New(), "ACCOUNT_UID;FINDING_UID;PROVIDER;CHECK_ID;CHECK_TITLE;STATUS;STATUS_EXTENDED;SEVERITY;RESOURCE_UID;RESOURCE_NAME;REGION;SERVICE_NAME\n"+
		row("1", "eu-west-1", "s3")+row("1", "eu-west-1", "ec2")+row("1", "us-east-1", "s3")+row("2", "eu-west-1", "s3")+row("1", "eu-west-1", "s3"))
	var got []string
	for _, run := range facts.Runs {
		got = append(got, run.Target)
	}
	if diff := cmp.Diff([]string{"aws/1/eu-west-1/ec2", "aws/1/eu-west-1/s3", "aws/1/us-east-1/s3", "aws/2/eu-west-1/s3"}, got); diff != "" || len(facts.Findings) != 5 {
		t.Errorf("%d findings; targets (-want +got):\n%s", len(facts.Findings), diff)
	}
}
