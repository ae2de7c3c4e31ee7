package wiz

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

const digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

var cases = []reporttest.Case{
	{
		Name: "an image", Score: 95, Complete: true,
		Report: `{"id":"1","policies":[],"status":{"state":"SUCCESS"},"result":{"__typename":"CICDDiskScanResult","osPackages":null,"libraries":[{"vulnerabilities":[{"name":"CVE-2024-1","severity":"MEDIUM","fixedVersion":"0.17.0","score":7.5,"source":"https://x.test","hasCisaKevExploit":true}],"name":"golang.org/x/net","version":"0.14.0","path":"/app/go.mod"}],
"secrets":[{"description":"Password in URL","path":"/app/t.go","lineNumber":35,"type":"PASSWORD","snippet":"hunter2-in-the-open"}]},"scanOriginResource":{"__typename":"CICDScanOriginContainerImage","name":"registry.test/shop:1","digest":"` + digest + `"}}`,
		Want: []string{"vulnerability CVE-2024-1 medium pkg:golang/golang.org/x/net@0.14.0@0.14.0 /app/go.mod:0-0 fixed 0.17.0", "secret PASSWORD unknown /app/t.go:35-35"},
	},
	{
		Name: "infrastructure code", Score: 95,
		Report: `{"status":{"state":"FAILED"},"policies":[],"scanOriginResource":{"__typename":"CICDScanOriginIAC","name":"n"},"result":{"__typename":"CICDIACScanResult","ruleMatches":[{"matches":[{"resourceName":"FROM={{a}}","fileName":"Dockerfile","lineNumber":8,"matchContent":"RUN x","expected":"e","found":"f"}],"severity":"LOW","rule":{"id":"r1","name":"Healthcheck missing"}}],"secrets":null}}`,
		Want:   []string{"misconfiguration r1 low Dockerfile:8-8"},
	},
}

const issues = "Created At,Title,Severity,Status,Description,Resource Type,Resource external ID,Subscription ID,Resolution,Control ID,Resource Name,Resource Platform,Resource original JSON,Issue ID,Resource Tags,Kubernetes Cluster,Kubernetes Namespace,Note\n"

var tables = []reporttest.Case{
	{
		Name: "issues", Score: 95,
		Report: issues +
			`2026-01-01T00:00:00Z,Wide role,INFORMATIONAL,OPEN,"two` + "\n" + `lines",User,k8s/user/1/robot,s,,c1,robot,Kubernetes,"{""kind"":""User"",""apiGroup"":""rbac.authorization.k8s.io"",""namespace"":""""}",i1,{},prod,,` + "\n" +
			`2026-01-01T00:00:00Z,Open cluster,HIGH,RESOLVED,d,T,0123,s,ISSUE_FIXED,c2,aks,Azure,"{""id"":""/subscriptions/s/x/aks""}",i2,"{""team"":""shop""}",,,` + "\n" +
			`2026-01-01T00:00:00Z,Open bucket,CRITICAL,RESOLVED,d,T,arn:aws:s3:::logs,s,CONTROL_DISABLED,c3,logs,AWS,broken{,i3,,,,` + "\n" +
			`2026-01-01T00:00:00Z,Open bucket,CRITICAL,REJECTED,d,T,arn:aws:s3:::b,s,,c3,b,AWS,,i4,,,,agreed` + "\n",
		Want: []string{"misconfiguration c1 info", "misconfiguration c2 high resolved", "misconfiguration c3 critical accepted_risk", "misconfiguration c3 critical accepted_risk"},
	},
	{
		Name: "vulnerabilities", Score: 95,
		Report: "WizURL,Name,CVSSSeverity,VendorSeverity,HasExploit,FindingStatus,DetailedName,Version,FixedVersion,LocationPath,ProviderUniqueId,AssetName,ResolutionReason\n" +
			"https://w.test,CVE-2024-1,High,Critical,TRUE,OPEN,left-pad,1.0.0,1.0.1,/app/package-lock.json,registry.test/shop@" + digest + ",shop,\n",
		Want: []string{"vulnerability CVE-2024-1 critical pkg:npm/left-pad@1.0.0@1.0.0 /app/package-lock.json:0-0 fixed 1.0.1"},
	},
}

func TestAssetsJoinTheGraph(t *testing.T) {
	t.Parallel()
	var got []string
	for _, sample := range []string{cases[0].Report, tables[0].Report, tables[1].Report} {
		for _, f := range reporttest.Read(t, New(), sample).Findings {
			got = append(got, f.Asset.Kind+" "+f.Asset.Key)
		}
	}
	want := []string{
		"image " + digest, "image " + digest, "kubernetes_object prod/-/User.rbac.authorization.k8s.io/robot", "cloud_resource /subscriptions/s/x/aks",
		"cloud_resource arn:aws:s3:::logs", "cloud_resource arn:aws:s3:::b", "image " + digest,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("assets (-want +got):\n%s", diff)
	}
	issue := reporttest.Read(t, New(), tables[0].Report).Findings[1]
	if issue.Attributes["tag:team"] != "shop" || issue.Attributes["id"] != "i2" {
		t.Errorf("attributes %v", issue.Attributes)
	}
}

func TestSecretsAreNotKept(t *testing.T) {
	t.Parallel()
	for _, f := range reporttest.Read(t, New(), cases[0].Report).Findings {
		if strings.Contains(f.Title+f.Description+f.Anchor, "hunter2") {
			t.Errorf("the secret is in %+v", f)
		}
	}
}
