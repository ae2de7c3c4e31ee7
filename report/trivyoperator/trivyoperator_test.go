package trivyoperator

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
	reporttest.Conformance(t, New(), append(reporttest.Samples(cases), everything)...)
}

func FuzzRead(f *testing.F) { reporttest.FuzzTable(f, New(), cases) }

const (
	digest = "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
	labels = `"metadata":{"name":"r","namespace":"shop","labels":{"trivy-operator.container.name":"web","trivy-operator.resource.kind":"ReplicaSet","trivy-operator.resource.name":"web-1","trivy-operator.resource.namespace":"shop"},"ownerReferences":[{"apiVersion":"apps/v1","kind":"ReplicaSet","name":"web-1"}]}`
	audit  = `{"apiVersion":"aquasecurity.github.io/v1alpha1","kind":"ConfigAuditReport",` + labels + `,"report":{"checks":[{"checkID":"KSV014","title":"root file system","severity":"LOW","success":false,"messages":["container web"]},{"checkID":"KSV1","severity":"LOW","success":true}]}}`
	secret = `{"kind":"ExposedSecretReport","report":{"artifact":{"repository":"library/shop","tag":"1.2"},"registry":{"server":"index.docker.io"},"secrets":[{"ruleID":"aws-secret-access-key","title":"AWS key","severity":"CRITICAL","target":"root/k.txt","match":"KEY=***"}]},` + labels + `,"apiVersion":"aquasecurity.github.io/v1alpha1"}`
	// everything is an export by the names of the resources.
	everything = `{"sbomreports.aquasecurity.github.io":[],"configauditreports.aquasecurity.github.io":[` + audit + `],"exposedsecretreports.aquasecurity.github.io":[` + secret + `]}`
)

var cases = []reporttest.Case{
	{
		Name: "vulnerabilities of an image, one report of many", Score: 95,
		Report: `{"apiVersion":"aquasecurity.github.io/v1alpha1","kind":"VulnerabilityReport",` + labels + `,"report":{"scanner":{"name":"Trivy","version":"0.48.3"},"registry":{"server":"registry.test"},"artifact":{"repository":"shop/web","tag":"1.2","digest":"` + digest + `"},"os":{"family":"ubuntu","name":"20.04"},
"vulnerabilities":[{"vulnerabilityID":"CVE-2024-1","resource":"libssl","installedVersion":"1.1","fixedVersion":"1.2, 1.3","severity":"HIGH","score":7.5,"title":"t","target":"shop (ubuntu 20.04)","class":"os-pkgs","packageType":"ubuntu","primaryLink":"https://x.test/1","links":[]},
{"vulnerabilityID":"CVE-2024-2","resource":"golang.org/x/net","installedVersion":"v0.1.0","severity":"UNKNOWN","target":"app","class":"lang-pkgs","packageType":"gobinary","packagePath":"usr/bin/app"},
{"vulnerabilityID":"CVE-2024-3","resource":"left-pad","installedVersion":"1.0.0","severity":"LOW","packagePURL":"pkg:npm/left-pad@1.0.0"},
{"vulnerabilityID":"CVE-2024-4","resource":"curl","installedVersion":"7","severity":"LOW","target":""}]}}`,
		Want: []string{
			"vulnerability CVE-2024-1 high pkg:deb/ubuntu/libssl@1.1?distro=ubuntu-20.04@1.1 shop (ubuntu 20.04):0-0 fixed 1.2,1.3",
			"vulnerability CVE-2024-2 unknown pkg:golang/golang.org/x/net@v0.1.0@v0.1.0 usr/bin/app:0-0",
			"vulnerability CVE-2024-3 low pkg:npm/left-pad@1.0.0@1.0.0",
			"vulnerability CVE-2024-4 low @7",
		},
	},
	{Name: "checks of an object", Score: 95, Complete: true, Report: `[` + audit + `]`, Want: []string{"misconfiguration KSV014 low"}},
	{Name: "secrets of an image, a page of a list", Score: 95, Report: `{"apiVersion":"v1","kind":"List","metadata":{"continue":"x"},"items":[` + secret + `]}`, Want: []string{"secret aws-secret-access-key critical root/k.txt:0-0"}},
	{
		Name: "compliance of a cluster", Score: 95, Complete: true,
		Report: `[{"apiVersion":"aquasecurity.github.io/v1alpha1","kind":"ClusterComplianceReport","metadata":{"name":"cis"},"status":{"detailReport":{"results":[{"id":"1.1","severity":"HIGH","checks":[{"checkID":"KSV1","severity":"MEDIUM","success":false,"target":"/a","title":"t"},{"checkID":"KSV2","severity":"","success":false,"title":"u"}]}]}}}]`,
		Want:   []string{"misconfiguration KSV1 medium", "misconfiguration KSV2 high"},
	},
}

func TestAssetsJoinTheGraph(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	for _, sample := range []string{cases[0].Report, everything} {
		for _, f := range reporttest.Read(t, New(), sample).Findings {
			got[f.Rule] = f.Asset.Kind + " " + f.Asset.Key + " " + f.Attributes["object"]
		}
	}
	want := map[string]string{
		"CVE-2024-1": "image " + digest + " shop/ReplicaSet.apps/web-1", "CVE-2024-2": "image " + digest + " shop/ReplicaSet.apps/web-1",
		"CVE-2024-3": "image " + digest + " shop/ReplicaSet.apps/web-1", "CVE-2024-4": "image " + digest + " shop/ReplicaSet.apps/web-1",
		"KSV014": "kubernetes_object shop/ReplicaSet.apps/web-1 ", "aws-secret-access-key": "image index.docker.io/library/shop:1.2 shop/ReplicaSet.apps/web-1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("assets (-want +got):\n%s", diff)
	}
}

func TestEachKindOfReportIsADetectorOfItsOwn(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), everything)
	if len(facts.Runs) != 2 || facts.Runs[0].Target != "namespace/shop" || !facts.Runs[0].Complete || facts.Runs[0].Tool != "trivy operator/configauditreport" || facts.Runs[1].Tool != "trivy operator/exposedsecretreport" {
		t.Errorf("runs = %+v", facts.Runs)
	}
}
