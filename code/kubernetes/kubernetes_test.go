package kubernetes

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"github.com/backstitch/backstitch/code"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == RenderCommand {
		if err := ServeRenders(os.Stdin, os.Stdout); err != nil {
			os.Exit(2)
		}
		return
	}
	os.Exit(m.Run())
}

func filesOf(text string) code.Files {
	files := code.Files{}
	for _, f := range txtar.Parse([]byte(text)).Files {
		files[f.Name] = f.Data
	}
	return files
}

func loadText(t *testing.T, text string) *Estate {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	e, err := Load(t.Context(), filesOf(text), Options{Renderer: ChildRenderer(self)})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func object(t *testing.T, e *Estate, id string) *Object {
	t.Helper()
	for _, o := range e.Objects {
		if o.Kind+"/"+o.Name == id {
			return o
		}
	}
	t.Fatalf("no object %s; problems: %v", id, e.Problems)
	return nil
}

func TestAnOverlaysLineDecidesWhatItPatches(t *testing.T) {
	t.Parallel()
	e := loadText(t, overlayText)
	o := object(t, e, "Deployment/pre-web")
	for field, want := range map[string]string{
		"spec.template.spec.containers[name=web].image": "example.com/shop/web:2.0 prod/kustomization.yaml:9 images",
		"spec.replicas": "4 prod/kustomization.yaml:12 replicas",
		"spec.template.spec.containers[name=web].securityContext.privileged": "true prod/patch.yaml:11 patch",
		"spec.template.spec.hostNetwork":                                     "true prod/kustomization.yaml:20 patch",
		"metadata.namespace":                                                 "live prod/kustomization.yaml:1 namespace",
		"spec.template.spec.containers[name=web].ports[0].containerPort":     "8080 base/web.yaml:14 manifest",
	} {
		path, err := ParsePath(field)
		if err != nil {
			t.Fatal(err)
		}
		n, _ := o.Root.Find(path)
		if n == nil {
			t.Errorf("%s is missing", field)
			continue
		}
		if got := fmt.Sprintf("%s %s:%d %s", n.Text, n.Place.Path, n.Place.Line, n.By); got != want {
			t.Errorf("%s: got %q, want %q", field, got, want)
		}
	}
	var gaps []string
	for _, p := range e.Problems {
		gaps = append(gaps, p.String())
	}
	if joined := strings.Join(gaps, "\n"); !strings.Contains(joined, `remote base "https://github.com/acme/base?ref=v1"`) {
		t.Errorf("the remote base is no named gap: %s", joined)
	}
}

const overlayText = `
-- base/kustomization.yaml --
resources: [web.yaml]
-- base/web.yaml --
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1
  template:
    spec:
      containers:
      - name: web
        image: web
        ports:
        - name: http
          containerPort: 8080
-- prod/kustomization.yaml --
namespace: live
namePrefix: pre-
resources:
- ../base
- https://github.com/acme/base?ref=v1
images:
- name: web
  newName: example.com/shop/web
  newTag: "2.0"
replicas:
- name: web
  count: 4
patches:
- path: patch.yaml
- target: {kind: Deployment, name: web}
  patch: |-
    - op: add
      path: /spec/template/spec/hostNetwork

      value: true
-- prod/patch.yaml --
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  template:
    spec:
      containers:
      - name: web
        securityContext:
          privileged: true
`

const chartText = `
-- shop/Chart.yaml --
apiVersion: v2
name: shop
version: 1.0.0
-- shop/values.yaml --
image:
  repository: example.com/shop/web
  tag: ""
replicas: 2
debug: false
port: 80
-- shop/values-prod.yaml --
image:
  tag: v9
-- shop/templates/web.yaml --
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-web
spec:
  replicas: {{ .Values.replicas }}
  template:
    spec:
      hostNetwork: true
      containers:
      - name: web
        image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default "latest" }}"
        {{- if .Values.debug }}
        args: [debug]
        {{- end }}
`

func TestChangingOneValueAtATimeFindsTheKeyOfAField(t *testing.T) {
	t.Parallel()
	e := loadText(t, chartText)
	var prod *Object
	for _, o := range e.Objects {
		if len(o.release.ValueFiles) > 0 {
			prod = o
		}
	}
	if prod == nil {
		t.Fatalf("the chart is not rendered: %v", e.Problems)
	}
	for field, want := range map[string]string{
		"spec.template.spec.containers[0].image": "image.repository shop/values.yaml:2, image.tag shop/values-prod.yaml:2",
		"spec.replicas":                          "replicas shop/values.yaml:4",
		"spec.template.spec.hostNetwork":         "",
		"spec.template.spec.containers[0].args":  "debug shop/values.yaml:5", // absent: only the switch brings it
	} {
		path, err := ParsePath(field)
		if err != nil {
			t.Fatal(err)
		}
		found, err := e.Deciders(t.Context(), prod, path)
		if err != nil {
			t.Fatalf("%s: %v", field, err)
		}
		var got []string
		for _, d := range found {
			got = append(got, fmt.Sprintf("%s %s:%d", d.Key, d.Place.Path, d.Place.Line))
		}
		if joined := strings.Join(got, ", "); joined != want {
			t.Errorf("%s: got %q, want %q", field, joined, want)
		}
	}
}

func TestATemplateThatNeverEndsIsAGapAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	for name, template := range map[string]string{
		"recursion": `{{ define "a" }}{{ include "a" . }}{{ include "a" . }}{{ end }}x: {{ include "a" . }}`,
		"memory":    `x: {{ until 900000000 | len }}{{ until 900000000 | len }}`,
		"tpl":       `{{ define "a" }}{{ tpl "{{ include \"a\" . }}" . }}{{ end }}{{ include "a" . }}`,
		"fail":      `{{ fail "no" }}`,
		"parse":     `{{ if }}`,
	} {
		start := time.Now()
		e := loadText(t, "-- c/Chart.yaml --\nname: c\nversion: 1.0.0\napiVersion: v2\n-- c/templates/a.yaml --\n"+template+"\n-- pod.yaml --\napiVersion: v1\nkind: Pod\nmetadata: {name: p}\n")
		if len(e.Objects) != 1 || len(e.Problems) == 0 {
			t.Errorf("%s: %d objects, problems %v", name, len(e.Objects), e.Problems)
		}
		if took := time.Since(start); took > 3*renderDeadline {
			t.Errorf("%s took %s", name, took)
		}
	}
}

func TestABombOfAliasesIsRefused(t *testing.T) {
	t.Parallel()
	bomb := "a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
	for i := 1; i < 12; i++ {
		bomb += fmt.Sprintf("a%d: &a%d [%s]\n", i, i, strings.TrimSuffix(strings.Repeat(fmt.Sprintf("*a%d,", i-1), 10), ","))
	}
	docs, problems := Documents("bomb.yaml", []byte(bomb))
	if len(docs) != 0 || len(problems) != 1 {
		t.Errorf("got %d documents, problems %v", len(docs), problems)
	}
	for _, text := range []string{strings.Repeat("[", 100_000), strings.Repeat("a: {", 20_000), "a: &a [*a]", "a\x00b", strings.Repeat("- ", 60_000)} {
		if docs, problems := Documents("x.yaml", []byte(text)); len(docs) != 0 || len(problems) == 0 {
			t.Errorf("%.10q: %d documents, no problem named", text, len(docs))
		}
	}
}

func TestTenThousandDocumentsAreReadWithTheirLines(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for i := range 10_000 {
		if i == 5000 {
			b.WriteString("---\nbroken: [\n")
		}
		fmt.Fprintf(&b, "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p%d}\n", i)
	}
	objects, problems := Objects("all.yaml", []byte(b.String()))
	if len(objects) != 10_000 || len(problems) != 1 || problems[0].Place.Line != 20_001 {
		t.Fatalf("%d objects, problems %v", len(objects), problems)
	}
	if last := objects[9999]; last.Name != "p9999" || last.Place.Line != 40_000 {
		t.Errorf("last is %s at %v", last.Name, last.Place)
	}
}

func TestLoadStopsWhenItsContextEnds(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Load(ctx, filesOf(overlayText), Options{}); err == nil {
		t.Error("expected the error of the context")
	}
}

const clusterText = `
-- app/web.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    metadata: {labels: {app: web}}
    spec:
      serviceAccountName: web
      containers:
      - {name: web, image: web}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: db, namespace: shop}
spec:
  template:
    metadata: {labels: {app: db}}
    spec: {containers: [{name: db, image: "postgres:16"}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}}
---
apiVersion: v1
kind: Service
metadata: {name: db, namespace: shop}
spec: {selector: {app: db}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny, namespace: shop}
spec: {podSelector: {matchLabels: {app: db}}, policyTypes: [Ingress]}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  rules:
  - http: {paths: [{backend: {service: {name: web}}}]}
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop, annotations: {eks.amazonaws.com/role-arn: "arn:aws:iam::1:role/web"}}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: reader}
rules: [{apiGroups: [""], resources: [secrets], verbs: [list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: web}
roleRef: {kind: ClusterRole, name: reader}
subjects: [{kind: ServiceAccount, name: web, namespace: shop}]
-- other/web.yaml --
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec:
  template:
    spec: {containers: [{name: web, image: other}]}
-- argo.yaml --
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata: {name: front}
spec: {source: {path: app, repoURL: "https://example.com/x.git"}}
`

func TestExposureAndIdentityFollowWhatLeadsToTheWorkload(t *testing.T) {
	t.Parallel()
	e := loadText(t, clusterText)
	levels := map[string]string{}
	for _, x := range Exposures(e.Objects) {
		if x.Workload.Place.Path == "app/web.yaml" {
			levels[x.Workload.Name] = fmt.Sprintf("%s %d %t", x.Level, len(x.Chain), x.Denied)
		}
	}
	if levels["web"] != "internet 2 false" || levels["db"] != "none 1 true" {
		t.Errorf("levels: %v", levels)
	}
	id := Identities(e.Objects)[0]
	if id.Account != "shop/web" || fmt.Sprint(id.Powers) != "[secrets read in all namespaces]" || len(id.Cloud) != 1 || id.Cloud[0].Provider != "aws" {
		t.Errorf("identity: %+v", id)
	}
}

func TestTrackingAnnotationsChooseBetweenEqualNamesAndDriftIsSaid(t *testing.T) {
	t.Parallel()
	e := loadText(t, clusterText)
	r := Request{Kind: "deployment", Name: "web", Field: "spec.template.spec.containers[name=web].image", Repository: "example.com/x"}
	tie, err := e.Trace(t.Context(), r)
	if err != nil || tie.Cause.Status != "ambiguous" || len(tie.Cause.Locations) != 2 {
		t.Errorf("without a live object: %+v, %v", tie.Cause, err)
	}
	r.Live.Objects, _ = Objects("live", []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web, namespace: shop, annotations: {argocd.argoproj.io/tracking-id: \"front:apps/Deployment:shop/web\"}}\nspec: {template: {spec: {containers: [{name: web, image: hotfix}]}}}\n"))
	a, err := e.Trace(t.Context(), r)
	if err != nil || a.Cause.Status != "found" || a.Verdict != Drift || a.Cause.Locations[0].Path != "app/web.yaml" || a.Cause.Locations[0].Line != 10 || a.Cause.Chain[0].Evidence.Strength != "attested" {
		t.Errorf("with a live object: %+v, %v", a, err)
	}
}

func FuzzDocuments(f *testing.F) {
	for _, s := range []string{overlayText, clusterText, "a: &a [*a]", "a: &a {b: 1}\nc: {<<: *a}", "{\n\t\"kind\": \"List\"}"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lines := strings.Count(string(data), "\n") + 1
		objects, _ := Objects("x.yaml", data)
		for _, o := range objects {
			if o.Place.Line < 1 || o.Place.Line > lines {
				t.Errorf("%s at line %d of %d", o.ID(), o.Place.Line, lines)
			}
			o.Containers()
		}
		Exposures(objects)
		Identities(objects)
	})
}

func FuzzKustomization(f *testing.F) {
	f.Add([]byte("resources: [base.yaml]\nnamePrefix: a-\npatches: [{patch: \"- op: remove\\n  path: /spec/x\", target: {kind: Deployment}}]\nimages: [{name: web, newTag: x}]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		files := code.Files{"kustomization.yaml": data, "base.yaml": []byte(clusterText)}
		objects, _, err := Kustomize(t.Context(), files, ".")
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range objects {
			if o.Root == nil {
				t.Error("a deleted object is returned")
			}
		}
	})
}

func FuzzParseReference(f *testing.F) {
	for _, s := range []string{"redis", "localhost:5000/a/b:c", "a@sha256:00", "${X}/y", "a//b", "0::", "a:b:c", "a.b:c:d/e:f"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, ok := ParseReference(s)
		if !ok {
			return
		}
		again, ok := ParseReference(r.String())
		if !ok || again.Repository != r.Repository || again.Registry != r.Registry {
			t.Errorf("%q: %+v becomes %+v", s, r, again)
		}
	})
}

func FuzzValuesPerturbation(f *testing.F) {
	f.Add([]byte("a: 1\nb: [x, {c: true}]\nd: null\ne: 1.5"))
	f.Fuzz(func(t *testing.T, data []byte) {
		docs, _ := Documents("values.yaml", data)
		for _, doc := range docs {
			for _, l := range leaves(doc, nil, nil) {
				values := doc.Value()
				before := fmt.Sprint(values)
				setValue(values, l.path, flipped(l.node))
				if len(l.path) > 0 && before == fmt.Sprint(values) {
					t.Errorf("flipping %v of %v changes nothing", l.path, before)
				}
			}
		}
	})
}
