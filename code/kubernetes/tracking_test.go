package kubernetes

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
)

const deploymentText = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop}\nspec: {replicas: 2, template: {spec: {containers: [{name: web, image: \"web:1\"}]}}}\n"

// liveOf reads live objects as a dump gives them.
func liveOf(t *testing.T, kind string, texts ...string) Live {
	t.Helper()
	live, problems, err := ReadLive(t.Context(), "dump", strings.NewReader(strings.Join(texts, "\n---\n")), kind)
	if err != nil || len(problems) > 0 {
		t.Fatalf("dump: %v, problems %v", err, problems)
	}
	return live
}

// marked is a live Deployment shop/web with metadata of its own.
func marked(metadata string) string {
	return strings.Replace(deploymentText, "namespace: shop", "namespace: shop, "+metadata, 1)
}

func traceOf(t *testing.T, e *Estate, r Request) Answer {
	t.Helper()
	a, err := e.Trace(t.Context(), r)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// says writes an answer's places, its strength and what is missing.
func says(a Answer) string {
	var at []string
	for _, l := range a.Cause.Locations {
		at = append(at, fmt.Sprintf("%s:%d", l.Path, l.Line))
	}
	slices.Sort(at)
	by := a.Cause.Chain[0].Evidence
	return fmt.Sprintf("%s %s %s %s", a.Cause.Status, strings.Join(at, ","), by.Method, by.Strength)
}

func TestTheToolThatDeploysIsBelievedForItsOwnRepositoryOnly(t *testing.T) {
	t.Parallel()
	const argo = `annotations: {argocd.argoproj.io/tracking-id: "front:apps/Deployment:shop/web"}`
	const flux = `labels: {kustomize.toolkit.fluxcd.io/name: apps, kustomize.toolkit.fluxcd.io/namespace: flux-system}`
	application := func(url string) string {
		return "apiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: front, namespace: argocd}\nspec: {source: {path: ./one, repoURL: \"" + url + "\"}}\n"
	}
	kustomization := "apiVersion: kustomize.toolkit.fluxcd.io/v1\nkind: Kustomization\nmetadata: {name: apps, namespace: flux-system}\nspec: {path: ./one, sourceRef: {kind: GitRepository, name: apps}}\n"
	repository := func(name, url string) string {
		return "apiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: " + name + ", namespace: flux-system}\nspec: {url: \"" + url + "\", ref: {branch: main}}\n"
	}
	files := "-- one/web.yaml --\n" + deploymentText + "-- two/web.yaml --\n" + strings.Replace(deploymentText, "web:1", "web:2", 1)
	for name, c := range map[string]struct {
		mark string
		with []string
		want string
	}{
		"argo, ours":         {argo, []string{application("git@github.com:acme/deploy.git")}, "found one/web.yaml:1 argocd_tracking attested"},
		"argo, another's":    {argo, []string{application("https://github.com/other/deploy")}, "ambiguous one/web.yaml:1,two/web.yaml:1 kubernetes_name guess"},
		"argo, not known":    {argo, nil, "ambiguous one/web.yaml:1,two/web.yaml:1 kubernetes_name guess"},
		"argo, a copy":       {strings.Replace(argo, "shop/web", "shop/other", 1), []string{application("https://github.com/acme/deploy")}, "ambiguous one/web.yaml:1,two/web.yaml:1 kubernetes_name guess"},
		"instance, ours":     {"labels: {app.kubernetes.io/instance: front}", []string{application("https://github.com/acme/deploy")}, "found one/web.yaml:1 argocd_instance declared"},
		"instance of none":   {"labels: {app.kubernetes.io/instance: shop}", []string{application("https://github.com/acme/deploy")}, "ambiguous one/web.yaml:1,two/web.yaml:1 kubernetes_name guess"},
		"flux, ours":         {flux, []string{kustomization, repository("apps", "ssh://git@github.com/acme/deploy")}, "found one/web.yaml:1 flux_kustomize attested"},
		"flux, another's":    {flux, []string{kustomization, repository("apps", "https://github.com/other/deploy"), repository("ours", "https://github.com/acme/deploy")}, "ambiguous one/web.yaml:1,two/web.yaml:1 kubernetes_name guess"},
		"flux, no such name": {flux, []string{kustomization, repository("ours", "https://github.com/acme/deploy")}, "found one/web.yaml:1 flux_kustomize declared"},
		"origin, ours":       {"annotations: {config.kubernetes.io/origin: \"path: ../../one/web.yaml\"}", nil, "found one/web.yaml:1 kustomize_origin attested"},
		"origin, another's":  {"annotations: {config.kubernetes.io/origin: \"{path: one/web.yaml, repo: 'https://github.com/other/deploy'}\"}", nil, "ambiguous one/web.yaml:1,two/web.yaml:1 kubernetes_name guess"},
	} {
		e := loadText(t, files)
		a := traceOf(t, e, Request{Kind: "Deployment", Name: "web", Repository: "github.com/acme/deploy", Live: liveOf(t, "Deployment", append(c.with, marked(c.mark))...)})
		if got := says(a); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
		if foreign := strings.HasSuffix(name, "another's"); foreign != strings.Contains(strings.Join(a.Cause.Missing, "\n"), "github.com/other/deploy") {
			t.Errorf("%s: missing %q", name, a.Cause.Missing)
		}
	}
}

func TestAChartOfAnotherRepositoryIsNotRenderedAsOneOfThisOne(t *testing.T) {
	t.Parallel()
	text := chartText + "-- app.yaml --\napiVersion: argoproj.io/v1alpha1\nkind: Application\nmetadata: {name: front}\nspec: {source: {path: shop, repoURL: \"https://github.com/other/deploy\"}}\n" +
		"-- release.yaml --\napiVersion: helm.toolkit.fluxcd.io/v2\nkind: HelmRelease\nmetadata: {name: back}\nspec: {chart: {spec: {chart: ./shop, sourceRef: {kind: GitRepository, name: x}}}}\n---\napiVersion: source.toolkit.fluxcd.io/v1\nkind: GitRepository\nmetadata: {name: x}\nspec: {url: \"https://github.com/other/deploy\"}\n"
	for repository, want := range map[string]string{"github.com/acme/deploy": "[shop shop]", "github.com/other/deploy": "[shop shop front back]", "": "[shop shop front back]"} {
		e, err := Load(t.Context(), filesOf(text), Options{Repository: repository})
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, r := range e.Releases {
			names = append(names, r.Name)
		}
		if got := fmt.Sprint(names); got != want {
			t.Errorf("as %q: releases %s, want %s", repository, got, want)
		}
	}
}

func TestEqualContentIsProofOfOneManifestAndATieOfTwo(t *testing.T) {
	t.Parallel()
	applied := func(text string) string {
		return "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\n  namespace: shop\n  annotations:\n    kubectl.kubernetes.io/last-applied-configuration: |\n      " + text + "\nspec: {replicas: 2}\n"
	}
	equal := `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"annotations": {}, "name": "web", "namespace": "shop"}, "spec": {"replicas": 2, "template": {"spec": {"containers": [{"name": "web", "image": "web:1"}]}}}}`
	other := strings.Replace(deploymentText, "web:1", "web:2", 1)
	for name, c := range map[string]struct{ files, applied, want string }{
		"one":            {"-- a.yaml --\n" + deploymentText + "-- b.yaml --\n" + other, equal, "found a.yaml:1 last_applied proven"},
		"two":            {"-- a.yaml --\n" + deploymentText + "-- b.yaml --\n" + deploymentText + "-- c.yaml --\n" + other, equal, "ambiguous a.yaml:1,b.yaml:1 last_applied declared"},
		"none":           {"-- b.yaml --\n" + other, equal, "found b.yaml:1 last_applied guess"},
		"another label":  {"-- a.yaml --\n" + strings.Replace(deploymentText, "namespace: shop", "namespace: shop, labels: {a: b}", 1), equal, "found a.yaml:1 last_applied guess"},
		"a name alone":   {"-- a.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\n", `{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}}`, "found a.yaml:1 last_applied guess"},
		"broken applied": {"-- a.yaml --\n" + deploymentText, "{[", "found a.yaml:1 kubernetes_name guess"},
	} {
		a := traceOf(t, loadText(t, c.files), Request{Kind: "Deployment", Name: "web", Live: liveOf(t, "Deployment", applied(c.applied))})
		if got := says(a); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

// releaseSecret encodes a release as Helm keeps it in a secret.
func releaseSecret(t *testing.T, revision int, status, given string) string {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprintf(z, `{"name": "front", "namespace": "shop", "version": %d, "info": {"status": %q}, "chart": {"metadata": {"name": "shop", "version": "1.0.0"}, "values": {"image": {"repository": "example.com/shop/web", "tag": ""}, "replicas": 2, "debug": false, "port": 80}}, "config": %s}`, revision, status, given)
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	data := base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(packed.Bytes())))
	return fmt.Sprintf("apiVersion: v1\nkind: Secret\ntype: helm.sh/release.v1\nmetadata: {name: sh.helm.release.v1.front.v%d, namespace: shop, labels: {owner: helm}}\ndata: {release: %s}\n", revision, data)
}

func TestHelmsRecordOfAReleaseLeadsToItsValuesFile(t *testing.T) {
	t.Parallel()
	live := strings.NewReplacer("name: web, namespace", "name: front-web, namespace").Replace(marked(`labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: front, meta.helm.sh/release-namespace: shop}`))
	image := "spec.template.spec.containers[name=web].image"
	for name, c := range map[string]struct {
		given, field, want string
		missing            string
	}{
		"a values file":       {`{"image": {"tag": "v9"}}`, image, "found shop/values-prod.yaml:2,shop/values.yaml:2 helm_record attested", ""},
		"none":                {`{}`, "spec.replicas", "found shop/values.yaml:4 helm_record attested", ""},
		"set by hand":         {`{"image": {"tag": "v9"}, "replicas": 7}`, "spec.replicas", "found shop/values.yaml:4 helm_record derived", "made with another value of replicas than shop/values.yaml:4 gives"},
		"set to a secret tag": {`{"image": {"tag": "hunter2"}}`, image, "found shop/values-prod.yaml:2,shop/values.yaml:2,shop/values.yaml:3 helm_record derived", "another value of image.tag than shop/values-prod.yaml:2 gives"},
	} {
		e := loadText(t, chartText)
		r := Request{Kind: "Deployment", Name: "front-web", Field: c.field,
			Live: liveOf(t, "Deployment", releaseSecret(t, 2, "superseded", `{"replicas": 99}`), releaseSecret(t, 1, "deployed", c.given), live)}
		a := traceOf(t, e, r)
		if got := says(a); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
		missing := strings.Join(a.Cause.Missing, "\n")
		if (c.missing == "") == strings.Contains(missing, "another value") || !strings.Contains(missing, c.missing) || strings.Contains(missing, "hunter2") {
			t.Errorf("%s: missing %q, want %q", name, missing, c.missing)
		}
		if l := a.Cause.Chain[1]; l.Kind != "helm_release" || l.Key != "shop/front" || l.Evidence.Detail != "shop-1.0.0, revision 1" {
			t.Errorf("%s: the chain does not go through the release: %+v", name, l)
		}
	}
}

func TestAReleaseThatCannotBeDecodedIsAProblemAndQuotesNothing(t *testing.T) {
	t.Parallel()
	secret := "apiVersion: v1\nkind: Secret\nmetadata: {name: sh.helm.release.v1.x.v1, namespace: shop}\ndata: {release: %s}\n"
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	zeros := make([]byte, 1<<20)
	for range 80 {
		if _, err := z.Write(zeros); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	twice := func(data []byte) string {
		return base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(data)))
	}
	for data, want := range map[string]string{
		"'*hunter2*'":              "the secret is not base64",
		"aHVudGVyMg==":             "the release is not base64",
		twice([]byte("hunter2")):   "it holds no chart",
		twice([]byte("\x1f\x8bx")): "expected a release of Helm",
		twice(bomb.Bytes()):        "larger than 64 MiB when unpacked",
	} {
		_, problems, err := ReadLive(t.Context(), "dump", strings.NewReader(fmt.Sprintf(secret, data)), "Deployment")
		if err != nil || len(problems) != 1 || !strings.Contains(problems[0].Text, want) || strings.Contains(problems[0].Text, "hunter2") {
			t.Errorf("%.20q: problems %v, error %v; want %s", data, problems, err, want)
		}
	}
}

func TestWhatASwitchHidesIsFoundWithTheSwitch(t *testing.T) {
	t.Parallel()
	e := loadText(t, `
-- shop/Chart.yaml --
apiVersion: v2
name: shop
version: 1.0.0
-- shop/values.yaml --
debug: false
ingress:
  enabled: false
  host: shop.example.com
  tls:
    enabled: false
metrics: {enabled: false}
broken: {enabled: false}
-- shop/templates/ingress.yaml --
{{- if and .Values.ingress.enabled .Values.ingress.tls.enabled }}
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: shop
spec:
  rules:
  - host: {{ .Values.ingress.host }}
{{- end }}
-- shop/templates/metrics.yaml --
{{- if .Values.metrics.enabled }}
apiVersion: v1
kind: Service
metadata: {name: "{{ .Release.Name }}-metrics"}
spec: {type: NodePort}
{{- end }}
-- shop/templates/never.yaml --
{{- if and .Values.broken.enabled .Values.debug .Values.metrics.enabled .Values.never }}
apiVersion: v1
kind: Service
metadata: {name: never}
{{- end }}
`)
	a := traceOf(t, e, Request{Kind: "Ingress", Name: "shop", Field: "spec.rules[0].host"})
	if a.Cause.Status != fact.CauseFound || len(a.Cause.Locations) != 1 || a.Cause.Locations[0].Line != 4 || a.Cause.Locations[0].Path != "shop/values.yaml" {
		t.Errorf("locations: %+v, problems %v", a.Cause.Locations, a.Problems)
	}
	want := []string{"ingress.enabled is off at shop/values.yaml:3, so that the chart leaves Ingress/shop out; what turns it on is not in the repository",
		"ingress.tls.enabled is off at shop/values.yaml:6, so that the chart leaves Ingress/shop out; what turns it on is not in the repository"}
	if !slices.Equal(a.Cause.Missing, want) {
		t.Errorf("missing: %q", a.Cause.Missing)
	}
	if a = traceOf(t, e, Request{Kind: "Service", Name: "shop-metrics", Field: "spec.type"}); a.Cause.Status != fact.CauseFound || a.Cause.Locations[0].Path != "shop/templates/metrics.yaml" || a.Cause.Locations[0].Line != 5 {
		t.Errorf("a literal that a switch hides: %+v", a.Cause.Locations)
	}
	live := liveOf(t, "Service", "apiVersion: v1\nkind: Service\nmetadata: {name: front-metrics, namespace: x, labels: {helm.sh/chart: shop-1.0.0}, annotations: {meta.helm.sh/release-name: front}}\nspec: {type: NodePort}\n")
	if a = traceOf(t, e, Request{Kind: "Service", Name: "front-metrics", Field: "spec.type", Live: live}); a.Cause.Status != fact.CauseFound || a.Verdict != Proven || a.Cause.Locations[0].Path != "shop/templates/metrics.yaml" {
		t.Errorf("of a release of another name: %s %+v", a.Verdict, a.Cause)
	}
	if a = traceOf(t, e, Request{Kind: "Service", Name: "never"}); a.Cause.Status != fact.CauseUnknown {
		t.Errorf("an object that no switch brings: %+v", a.Cause)
	}
}

func TestMarksOfToolsAreRead(t *testing.T) {
	t.Parallel()
	for metadata, want := range map[string]string{
		`annotations: {argocd.argoproj.io/tracking-id: "team_front:apps/Deployment:shop/web"}, labels: {argocd.argoproj.io/instance: other}`: "argocd_tracking team/Application/front",
		`labels: {argocd.argoproj.io/instance: front}`:                                                      "argocd_tracking /Application/front",
		`labels: {helm.toolkit.fluxcd.io/name: web, helm.toolkit.fluxcd.io/namespace: apps}`:                "flux_helm apps/HelmRelease/web",
		`labels: {app.kubernetes.io/managed-by: Helm}, annotations: {meta.helm.sh/release-name: web}`:       "helm_release shop/Release/web",
		`labels: {app.kubernetes.io/managed-by: somebody}, annotations: {config.kubernetes.io/origin: "["}`: "",
	} {
		objects, _ := Objects("x", []byte(marked(metadata)))
		var got []string
		for _, mark := range objects[0].Tracking() {
			got = append(got, fmt.Sprintf("%s %s/%s/%s", mark.Method, mark.Namespace, mark.Kind, mark.Name))
		}
		if joined := strings.Join(got, ", "); joined != want {
			t.Errorf("%s: got %q, want %q", metadata, joined, want)
		}
	}
}

func TestAPodIsFollowedToTheManifestOfItsController(t *testing.T) {
	t.Parallel()
	files := "-- a.yaml --\n" + deploymentText + "-- job.yaml --\napiVersion: batch/v1\nkind: CronJob\nmetadata: {name: tidy}\nspec:\n  jobTemplate:\n    spec:\n      template:\n        spec:\n          containers:\n          - {name: a, image: \"tidy:1\"}\n"
	pod := func(name, owner, image string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: " + name + ", namespace: shop, labels: {pod-template-hash: 7d8f}, ownerReferences: [" + owner + "]}\nspec: {containers: [{name: web, image: \"" + image + "\"}]}\n"
	}
	set := "apiVersion: apps/v1\nkind: ReplicaSet\nmetadata: {name: web-7d8f, namespace: shop, ownerReferences: [{kind: Deployment, name: web, controller: true}]}\n"
	ofSet := "{kind: ReplicaSet, name: web-7d8f, controller: true}"
	job := "apiVersion: batch/v1\nkind: Job\nmetadata: {name: tidy-1, namespace: shop, ownerReferences: [{kind: CronJob, name: tidy, controller: true}]}\nspec: {template: {spec: {containers: [{name: a, image: \"tidy:1\"}]}}}\n"
	for name, c := range map[string]struct {
		kind, object, field string
		live                []string
		want, verdict       string
		chain               string
	}{
		"whole chain":   {"Pod", "web-7d8f-x", "spec.containers[name=web].image", []string{pod("web-7d8f-x", ofSet, "web:1"), set, marked("labels: {a: b}")}, "found a.yaml:4", Proven, "shop/Pod/web-7d8f-x attested, shop/ReplicaSet/web-7d8f attested, shop/Deployment/web guess"},
		"drift":         {"Pod", "web-7d8f-x", "spec.containers[name=web].image", []string{pod("web-7d8f-x", ofSet, "web:9"), set}, "found a.yaml:4", Drift, "shop/Pod/web-7d8f-x attested, shop/ReplicaSet/web-7d8f attested"},
		"a pod alone":   {"Pod", "web-7d8f-x", "spec.containers[name=web].image", []string{pod("web-7d8f-x", ofSet, "web:1")}, "found a.yaml:4", Proven, "shop/Pod/web-7d8f-x derived"},
		"a set alone":   {"ReplicaSet", "web-7d8f", "spec.template.spec.containers[name=web].image", []string{set}, "found a.yaml:4", Unverified, "shop/ReplicaSet/web-7d8f attested"},
		"job":           {"Job", "tidy-1", "spec.template.spec.containers[name=a].image", []string{job}, "found job.yaml:10", Proven, "shop/Job/tidy-1 attested"},
		"nobody's pod":  {"Pod", "web-7d8f-x", "spec.containers[name=web].image", []string{pod("web-7d8f-x", "", "web:1")}, "unknown ", Unverified, "shop/Pod/web-7d8f-x guess"},
		"another's pod": {"Pod", "x", "", []string{pod("x", "{kind: ReplicaSet, name: other-7d8f, controller: true}", "web:1")}, "unknown ", Unverified, "shop/Pod/x derived"},
	} {
		a := traceOf(t, loadText(t, files), Request{Kind: c.kind, Name: c.object, Field: c.field, Live: liveOf(t, c.kind, c.live...)})
		var chain, at []string
		for _, l := range a.Cause.Chain {
			if l.Kind == "kubernetes_object" {
				chain = append(chain, l.Key+" "+string(l.Evidence.Strength))
			}
		}
		for _, l := range a.Cause.Locations {
			at = append(at, fmt.Sprintf("%s:%d", l.Path, l.Line))
		}
		if got := fmt.Sprintf("%s %s", a.Cause.Status, strings.Join(at, ",")); got != c.want || a.Verdict != c.verdict || strings.Join(chain, ", ") != c.chain {
			t.Errorf("%s: got %s, %s by %s; want %s, %s by %s", name, got, a.Verdict, strings.Join(chain, ", "), c.want, c.verdict, c.chain)
		}
	}
}

func TestAHelmReleaseOfFluxLeadsToItsOwnValues(t *testing.T) {
	t.Parallel()
	e := loadText(t, chartText+`-- release.yaml --
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata: {name: front, namespace: shop}
spec:
  chart: {spec: {chart: ./shop, sourceRef: {kind: GitRepository, name: here}}}
  values:
    replicas: 5
---
apiVersion: source.toolkit.fluxcd.io/v1
kind: GitRepository
metadata: {name: here, namespace: shop}
spec: {url: "https://github.com/acme/deploy"}
`)
	live := strings.Replace(marked("labels: {helm.toolkit.fluxcd.io/name: front, helm.toolkit.fluxcd.io/namespace: shop}"), "name: web, namespace", "name: front-web, namespace", 1)
	for field, want := range map[string]string{
		"spec.replicas": "found release.yaml:7 flux_helm attested",
		"spec.template.spec.containers[name=web].image": "found shop/values.yaml:2,shop/values.yaml:3 flux_helm attested",
	} {
		a := traceOf(t, e, Request{Kind: "Deployment", Name: "front-web", Field: field, Repository: "github.com/acme/deploy", Live: liveOf(t, "Deployment", live)})
		if got := says(a); got != want {
			t.Errorf("%s: got %s, want %s", field, got, want)
		}
	}
}
