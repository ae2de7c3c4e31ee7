package inspector

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

const image = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var cases = []reporttest.Case{
	{
		Name: "packages of an image and a machine", Score: 90,
		Report: `{"findings":[{"findingArn":"arn:f1","awsAccountId":"111122223333","title":"CVE-2024-1 - libssl","severity":"HIGH","status":"ACTIVE","type":"PACKAGE_VULNERABILITY","fixAvailable":"YES","epss":{"score":0.25},"inspectorScore":7.1,
"packageVulnerabilityDetails":{"relatedVulnerabilities":["GHSA-1","CVE-2024-1"],"cvss":[{"baseScore":9.1,"scoringVector":"v"}],"vulnerablePackages":[
{"name":"libssl","version":"1.1","release":"2","epoch":1,"packageManager":"OS","fixedInVersion":"1:1.2-1","sourceLayerHash":"sha256:aa"},
{"name":"left-pad","version":"1.0.0","epoch":0,"packageManager":"NODEPKG","fixedInVersion":"1.0.1","filePath":"app/package-lock.json"}],"vulnerabilityId":"CVE-2024-1"},
"resources":[{"type":"AWS_ECR_CONTAINER_IMAGE","id":"arn:aws:ecr:eu-west-1:111122223333:repository/shop/` + image + `","region":"eu-west-1","details":{"awsEcrContainerImage":{"platform":"DEBIAN_10","imageTags":["1.2","latest"],"imageHash":"` + image + `"}}}]},
{"findingArn":"arn:f2","awsAccountId":"111122223333","title":"CVE-2024-2 - kernel","severity":"UNTRIAGED","status":"SUPPRESSED","type":"PACKAGE_VULNERABILITY",
"packageVulnerabilityDetails":{"vulnerabilityId":"CVE-2024-2","vulnerablePackages":[{"name":"kernel","version":"5","packageManager":"OS","fixedInVersion":"NotAvailable"}]},
"resources":[{"type":"AWS_EC2_INSTANCE","id":"i-1","partition":"aws","region":"eu-west-1","tags":{"Name":"web"},"details":{"awsEc2Instance":{"platform":"AMAZON_LINUX_2"}}}]}],"nextToken":"n"}`,
		Want: []string{
			"vulnerability CVE-2024-1 high pkg:deb/debian/libssl@1:1.1-2?distro=debian-10@1:1.1-2 aka GHSA-1 fixed 1:1.2-1",
			"vulnerability CVE-2024-1 high pkg:npm/left-pad@1.0.0@1.0.0 app/package-lock.json:0-0 aka GHSA-1 fixed 1.0.1",
			"vulnerability CVE-2024-2 unknown pkg:rpm/amzn/kernel@5?distro=amzn-2@5 accepted_risk",
		},
	},
	{
		Name: "a list with a way in and a flaw in code", Score: 90, Complete: true,
		Report: `[{"findingArn":"arn:f3","awsAccountId":"1","title":"Port 22 is reachable","severity":"MEDIUM","type":"NETWORK_REACHABILITY","networkReachabilityDetails":{"protocol":"TCP","openPortRange":{"begin":22,"end":22}},"resources":[{"type":"AWS_EC2_INSTANCE","id":"i-1"}]},
{"findingArn":"arn:f4","awsAccountId":"1","title":"CWE-89 - SQL injection","severity":"HIGH","status":"CLOSED","type":"CODE_VULNERABILITY","codeVulnerabilityDetails":{"ruleId":"python-sql","detectorId":"d","cwes":["CWE-89"],"filePath":{"filePath":"a.py","startLine":3,"endLine":4}},"resources":[{"type":"AWS_LAMBDA_FUNCTION","id":"arn:aws:lambda:eu-west-1:1:function:pay:$LATEST"}]}]`,
		Want: []string{"exposure NETWORK_REACHABILITY medium", "code python-sql high a.py:3-4 resolved"},
	},
	{
		Name: "one finding with little in it", Score: 90,
		Report: `{"findingArn":"arn:f5","awsAccountId":"111122223333","severity":"HIGH","type":"PACKAGE_VULNERABILITY","firstObservedAt":1700000000.5}`,
		Want:   []string{"vulnerability PACKAGE_VULNERABILITY high"},
	},
	{Name: "nothing", Score: 10, Report: `{"findings":[]}`},
}

func TestAssetsJoinTheGraph(t *testing.T) {
	t.Parallel()
	findings := reporttest.Read(t, New(), cases[0].Report).Findings
	for i, want := range []fact.Asset{
		{Kind: fact.AssetImage, Key: image, Name: "111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop:1.2"},
		{Kind: fact.AssetImage, Key: image, Name: "111122223333.dkr.ecr.eu-west-1.amazonaws.com/shop:1.2"},
		{Kind: fact.AssetResource, Key: "arn:aws:ec2:eu-west-1:111122223333:instance/i-1", Name: "web"},
	} {
		if got := findings[i].Asset; got != want {
			t.Errorf("finding %d is in %+v, want %+v", i, got, want)
		}
	}
	if f := findings[0]; f.Score != 7.1 || f.EPSS != 0.25 || f.Attributes["layer"] != "sha256:aa" || findings[1].Attributes["layer"] != "" {
		t.Errorf("score %v, EPSS %v, layers %q and %q", f.Score, f.EPSS, f.Attributes["layer"], findings[1].Attributes["layer"])
	}
	findings = reporttest.Read(t, New(), cases[1].Report).Findings
	if findings[0].Anchor != "TCP 22-22" || findings[1].Asset.Key != "arn:aws:lambda:eu-west-1:1:function:pay" {
		t.Errorf("anchor %q, function %q", findings[0].Anchor, findings[1].Asset.Key)
	}
}
