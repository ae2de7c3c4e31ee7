package kubescape

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
	reporttest.Conformance(t, New(), reporttest.Samples(cases)...)
}

func FuzzRead(f *testing.F) { reporttest.FuzzTable(f, New(), cases) }

var cases = []reporttest.Case{
	{
		Name: "a cluster", Score: 95, Complete: true,
		Report: `{"generationTime":"2026-01-01T00:00:00Z","customerGUID":"","reportGUID":"","clusterName":"prod","results":[
{"resourceID":"apps/v1/shop/Deployment/web","controls":[{"controlID":"C-0017","name":"Immutable container filesystem","status":{"status":"failed"},"rules":[{"name":"immutable-fs","status":"failed","paths":[{"failedPath":"","fixPath":{"path":"spec.a","value":"true"}},{"failedPath":"spec.b"}]},{"name":"other","status":"passed"}]},
{"controlID":"C-0016","severity":"Critical","name":"n","rules":[{"name":"escalation","status":"failed","exception":[{"name":"agreed"}]}]}]},
{"resourceID":"//ServiceAccount/robot/path=1/api=rbac.authorization.k8s.io/v1//ClusterRole/reader","controls":[{"controlID":"C-0035","name":"n","rules":[{"name":"r","status":"failed"}]}]},
{"resourceID":"/v1/shop/Pod/quiet","controls":[{"controlID":"C-0016","name":"n","rules":[{"name":"escalation","status":"passed"}]}]}],
"resources":[{"resourceID":"apps/v1/shop/Deployment/web","object":{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web","namespace":"shop"}}},{"resourceID":"//ServiceAccount/robot/path=1/api=rbac.authorization.k8s.io/v1//ClusterRole/reader","object":{"kind":"ServiceAccount","name":"robot","namespace":"shop"}}],
"summaryDetails":{"controls":{"C-0017":{"name":"Immutable","scoreFactor":3},"C-0035":{"scoreFactor":7}}}}`,
		Want: []string{"misconfiguration C-0017 low", "misconfiguration C-0016 critical accepted_risk", "misconfiguration C-0035 high"},
	},
	{
		Name: "files", Score: 90, Complete: true,
		Report: `{"summaryDetails":{"controls":{"C-0017":{"name":"Immutable","scoreFactor":3}}},"resources":[{"resourceID":"path=1/api=apps/v1//Deployment/web","object":{"apiVersion":"apps/v1","kind":"Deployment","metadata":{"name":"web"}},"source":{"relativePath":"deploy/web.yaml"}}],"results":[{"resourceID":"path=1/api=apps/v1//Deployment/web","controls":[{"controlID":"C-0017","name":"","rules":[{"name":"fs","status":"failed"}]}]}]}`,
		Want:   []string{"misconfiguration C-0017 low deploy/web.yaml:0-0"},
	},
}

func TestAssetsJoinTheGraph(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), cases[0].Report)
	var got []string
	for _, a := range facts.Runs[0].Assets {
		got = append(got, a.Kind+" "+a.Key)
	}
	want := []string{"kubernetes_object prod/shop/Deployment.apps/web", "kubernetes_object prod/shop/ServiceAccount/robot", "kubernetes_object prod/shop/Pod/quiet"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("assets that were looked at (-want +got):\n%s", diff)
	}
	if target := facts.Runs[0].Target; target != "kubernetes/prod/shop" {
		t.Errorf("target %q", target)
	}
	if started := facts.Runs[0].Started; started != 1767225600000000 {
		t.Errorf("started %d", started)
	}
	if f := facts.Findings[0]; f.Attributes["field"] != "spec.a" || f.Attributes["fields"] != "spec.a, spec.b" || f.Mitigation != "spec.a = true" || f.Anchor != "immutable-fs" || f.Title != "Immutable container filesystem" {
		t.Errorf("finding %+v", f)
	}
	file := reporttest.Read(t, New(), cases[1].Report).Findings[0]
	if file.Asset.Kind != "repository" || file.Anchor != "-/Deployment.apps/web fs" || file.Title != "Immutable" {
		t.Errorf("finding of a file: %+v", file)
	}
}

func TestNothingIsGivenWhoseResourceIsNotKnown(t *testing.T) {
	t.Parallel()
	report := cases[0].Report
	for text, want := range map[string]int{report[:strings.Index(report, `"resources":`)]: 0, report[:len(report)-1]: 3} {
		var facts reporttest.Facts
		if err := New().Read(t.Context(), strings.NewReader(text), &facts); err == nil || len(facts.Findings) != want || facts.Runs[0].Complete {
			t.Errorf("cut off at %d: error %v, %d findings, want %d and an incomplete run", len(text), err, len(facts.Findings), want)
		}
	}
}

func TestFieldsKeepWhatWouldSatisfyTheRule(t *testing.T) {
	for _, test := range []struct{ field, value, want string }{
		{"spec.hostPID", "false", "false"},
		{"spec.securityContext.runAsUser", "1000", "1000"},
		{"metadata.labels.tier", "1000", `"1000"`},
		{"spec.containers[0].args[2]", "--profiling=false", `"--profiling=false"`},
		{"spec.containers[0].args[2]", "--client-ca-file=<path/to/ca.crt>", "?a value like --client-ca-file=<path/to/ca.crt>"},
		{"spec.containers[0].resources.limits.cpu", "YOUR_VALUE", "?a value"},
		{"spec.containers[0].securityContext.capabilities.drop[0]", "NET_RAW", `"NET_RAW"`},
		{"spec.securityContext.sysctls", "REMOVE_UNSAFE_SYSCTLS", "?a value like REMOVE_UNSAFE_SYSCTLS"},
		{"spec.strategy.type", "RollingUpdate", `"RollingUpdate"`},
		{"relatedObjects[1].rules[0]", "x", ""},
		{"spec.a", "", ""},
	} {
		if got := wantedOf(test.field, test.value); got != test.want {
			t.Errorf("%s = %s: wanted %s, expected %s", test.field, test.value, got, test.want)
		}
	}
}

func TestEveryFieldOfARuleIsKept(t *testing.T) {
	text := `{"resources":[],"results":[{"resourceID":"apps/v1/shop/Deployment/web","controls":[{"controlID":"C-1","name":"n","rules":[{"name":"r","status":"failed","paths":[
{"failedPath":"spec.hostPID"},{"deletePath":"spec.hostPID"},{"fixPath":{"path":"metadata.labels[YOUR_LABEL]","value":"YOUR_VALUE"}},{"reviewPath":"spec.x"},{"deletePath":"relatedObjects[0].subjects[0]"}]}]}]}]}`
	facts := reporttest.Read(t, New(), text)
	got := facts.Findings[0].Attributes
	for key, want := range map[string]string{
		"field": "spec.hostPID", "remove": "true", "field.2": "metadata.labels", "wanted.2": "?an entry and its value", "field.3": "spec.x", "remove.3": "", "field.4": "relatedObjects[0].subjects[0]", "remove.4": "",
	} {
		if got[key] != want {
			t.Errorf("%s is %q, expected %q", key, got[key], want)
		}
	}
}
