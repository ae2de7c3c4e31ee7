package asff

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
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

const (
	account = `"AwsAccountId":"111122223333","Region":"eu-west-1","ProductArn":"arn:aws:securityhub:eu-west-1::product/aws/securityhub","SchemaVersion":"2018-10-08"`
	bucket  = `"Resources":[{"Type":"AwsS3Bucket","Id":"arn:aws:s3:::logs","Region":"eu-west-1","Tags":{"team":"data"}}]`
	digest  = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

var cases = []reporttest.Case{
	{
		Name: "a list is everything", Score: 90, Complete: true,
		Report: `[{"Id":"1",` + account + `,"Title":"S3.1 open bucket","Severity":{"Label":"HIGH","Normalized":70},"Compliance":{"Status":"FAILED","SecurityControlId":"S3.1"},` + bucket + `},
{"Id":"2",` + account + `,"Title":"S3.9","Compliance":{"Status":"PASSED","SecurityControlId":"S3.9"},"Resources":[{"Type":"AwsS3Bucket","Id":"arn:aws:s3:::quiet"}]},
{"Id":"3",` + account + `,"Title":"old","RecordState":"ARCHIVED",` + bucket + `},
{"Id":"4",` + account + `,"Title":"waived","GeneratorId":"cis/v/1.2.0/1.4","Severity":{"Normalized":40},"Workflow":{"Status":"SUPPRESSED"},"Note":{"Text":"agreed"},` + bucket + `}]`,
		Want: []string{"misconfiguration S3.1 high", "misconfiguration cis/v/1.2.0/1.4 medium accepted_risk"},
	},
	{
		Name: "a page of the API is not", Score: 90,
		Report: `{"Findings":[{"Id":"1",` + account + `,"Title":"CVE-2024-1 - openssl","Severity":{"Label":"CRITICAL"},"Types":["Software and Configuration Checks/Vulnerabilities/CVE"],
"ProductFields":{"aws/inspector/resources/1/resourceDetails/awsEc2InstanceDetails/platform":"UBUNTU_20_04"},
"Resources":[{"Type":"AwsEc2Instance","Id":"arn:aws:ec2:eu-west-1:111122223333:instance/i-1"},{"Type":"AwsEcrContainerImage","Id":"arn:aws:ecr:eu-west-1:111122223333:repository/shop/` + digest + `"}],
"Vulnerabilities":[{"Id":"CVE-2024-1","RelatedVulnerabilities":["GHSA-1","CVE-2024-1"],"Cvss":[{"BaseScore":5,"BaseVector":"low"},{"BaseScore":9.8,"BaseVector":"high"}],"FixAvailable":"YES",
"VulnerablePackages":[{"Name":"openssl","Version":"1.1.1","Epoch":"2","Release":"3","PackageManager":"OS","FixedInVersion":"0:1.1.2"},{"Name":"org.a:b","Version":"1","Epoch":"0","PackageManager":"JAR","FilePath":"/b.jar","FixedInVersion":"NotAvailable"}]}]}],"NextToken":"x"}`,
		Want: []string{
			"vulnerability CVE-2024-1 critical pkg:deb/ubuntu/openssl@2:1.1.1-3?distro=ubuntu-20.04@2:1.1.1-3 aka GHSA-1 fixed 1.1.2",
			"vulnerability CVE-2024-1 critical pkg:maven/org.a/b@1@1 /b.jar:0-0 aka GHSA-1",
			"vulnerability CVE-2024-1 critical pkg:deb/ubuntu/openssl@2:1.1.1-3?distro=ubuntu-20.04@2:1.1.1-3 aka GHSA-1 fixed 1.1.2",
			"vulnerability CVE-2024-1 critical pkg:maven/org.a/b@1@1 /b.jar:0-0 aka GHSA-1",
		},
	},
	{
		Name: "one finding of a threat, with a number for a severity and without an id", Score: 90,
		Report: `{` + account + `,"GeneratorId":"arn:aws:guardduty:eu-west-1:1:detector/d","Types":["TTPs/Discovery/Recon"],"Title":"a port was probed","Severity":{"Product":8},` + bucket + `}`,
		Want:   []string{"exposure TTPs/Discovery/Recon high"},
	},
	{
		Name: "rules by the name of their generator", Score: 90, Complete: true,
		Report: `[{"Id":"1",` + account + `,"Title":"t","GeneratorId":"rds-finding","Types":["Software and Configuration Checks/x"],"Severity":{"Normalized":0,"Product":0},` + bucket + `},
{"Id":"2",` + account + `,"Title":"required-tags","GeneratorId":"arn:aws:config:eu-west-1:111122223333:config-rule/config-rule-1","Types":["Software and Configuration Checks/x"],"Severity":{"Label":"LOW"},` + bucket + `}]`,
		Want: []string{"misconfiguration rds-finding info", "misconfiguration required-tags low"},
	},
	{
		Name: "an event", Score: 90,
		Report: `{"version":"0","detail-type":"Security Hub Findings - Imported","detail":{"findings":[{"Id":"1",` + account + `,"Title":"t","Compliance":{"Status":"FAILED"},"GeneratorId":"security-control/EC2.2"}]}}`,
		Want:   []string{"misconfiguration security-control/EC2.2 unknown"},
	},
	{
		Name: "what could not be judged leaves the run incomplete", Score: 90,
		Report: `[{"Id":"1",` + account + `,"Title":"t","Compliance":{"Status":"NOT_AVAILABLE"},` + bucket + `}]`,
	},
	{Name: "nothing", Score: 40, Report: `{"Findings":[]}`},
}

func TestAssetsJoinTheGraph(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), cases[0].Report)
	want := []fact.Asset{{Kind: fact.AssetResource, Key: "arn:aws:s3:::logs", Name: "logs"}, {Kind: fact.AssetResource, Key: "arn:aws:s3:::quiet", Name: "quiet"}}
	if diff := cmp.Diff(want, facts.Runs[0].Assets); diff != "" {
		t.Errorf("assets that were looked at, also where the control passed (-want +got):\n%s", diff)
	}
	if got := facts.Findings[0].Attributes["tag:team"]; got != "data" {
		t.Errorf("tag team = %q", got)
	}
	facts = reporttest.Read(t, New(), cases[1].Report)
	if got := facts.Findings[2].Asset; got.Kind != fact.AssetImage || got.Key != digest || got.Name != "111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop@"+digest {
		t.Errorf("image asset = %+v, want its digest as the key", got)
	}
	if f := facts.Findings[0]; f.Asset.Key != "arn:aws:ec2:eu-west-1:111122223333:instance/i-1" || f.Score != 9.8 || f.Vector != "high" || f.Attributes["fix_available"] != "true" {
		t.Errorf("finding = %+v", f)
	}
	facts = reporttest.Read(t, New(), cases[4].Report)
	if got := facts.Findings[0].Asset; got.Kind != fact.AssetAccount || got.Key != "aws/111122223333" {
		t.Errorf("asset of a finding without resources = %+v, want the account", got)
	}
}

func TestWhatIsNoFindingIsNotDroppedInSilence(t *testing.T) {
	t.Parallel()
	var facts reporttest.Facts
	err := report.Read(t.Context(), []report.Reader{New()}, "r.json", strings.NewReader(`[{"Id":"1",`+account+`,"Title":"t",`+bucket+`},{"AwsAccountId":"1"}]`), &facts)
	if err == nil || !strings.Contains(err.Error(), "a finding with an Id, a Title or a GeneratorId") || len(facts.Findings) != 1 || facts.Runs[0].Complete {
		t.Errorf("error %v, %d findings, runs %+v; want the fault named, the first finding kept and the run incomplete", err, len(facts.Findings), facts.Runs)
	}
}

func TestEachProductIsADetectorOfItsOwn(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), `[{"Id":"1",`+account+`,"ProductName":"GuardDuty","Title":"t","Types":["TTPs/x"],`+bucket+`},{"Id":"2",`+account+`,"Title":"u","Compliance":{"Status":"NOT_AVAILABLE"},`+bucket+`},{"Id":"3",`+account+`,"Title":"v","Compliance":{"Status":"PASSED"},`+bucket+`}]`)
	if len(facts.Runs) != 2 || facts.Runs[0].Target != "aws/111122223333/eu-west-1" || facts.Runs[0].Tool != "security hub" || facts.Runs[0].Complete || facts.Runs[1].Tool != "security hub/guardduty" || !facts.Runs[1].Complete {
		t.Errorf("runs = %+v, want that of Security Hub incomplete and that of GuardDuty complete", facts.Runs)
	}
}
