package kubernetes

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/tools/txtar"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == kubernetes.RenderCommand {
		if kubernetes.ServeRenders(os.Stdin, os.Stdout) != nil {
			os.Exit(2)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func files(text string) code.Files {
	all := code.Files{}
	for _, f := range txtar.Parse([]byte(text)).Files {
		all[f.Name] = f.Data
	}
	return all
}

// flaw is one finding of an object: fields to set as "field=JSON", to remove as "-field".
func flaw(object, path string, fields ...string) fix.Flaw {
	f := fact.Finding{Kind: fact.Misconfiguration, Rule: "R", Path: path, Attributes: map[string]string{fix.AttributeObject: object}}
	for i, field := range fields {
		suffix := ""
		if i > 0 {
			suffix = "." + string(rune('1'+i))
		}
		if name, gone := strings.CutPrefix(field, "-"); gone {
			f.Attributes["field"+suffix], f.Attributes["remove"+suffix] = name, "true"
			continue
		}
		name, want, _ := strings.Cut(field, "=")
		if strings.HasSuffix(name, "[name") { // a name in the path
			rest, after, _ := strings.Cut(want, "=")
			name, want = name+"="+rest, after
		}
		f.Attributes["field"+suffix], f.Attributes["wanted"+suffix] = name, want
	}
	return fix.Flaw{Issue: "i-" + object + strings.Join(fields, ","), Kind: fact.Misconfiguration, Seen: []fact.Finding{f}, Findings: 1}
}

func plan(t *testing.T, tree code.Files, at string, flaws ...fix.Flaw) ([]fix.Path, *fix.Site) {
	t.Helper()
	site := &fix.Site{Location: fact.Location{Path: at}, Flaws: flaws, Tree: tree}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	paths, err := New(kubernetes.ChildRenderer(self)).(fix.SiteFixer).PlanSite(t.Context(), site)
	if err != nil {
		t.Fatal(err)
	}
	return paths, site
}

// apply carries a path out in a folder and gives what changed, with the checks.
func apply(t *testing.T, tree code.Files, path fix.Path) (code.Files, []fact.Check) {
	t.Helper()
	before, after := t.TempDir(), t.TempDir()
	for name, data := range tree {
		for _, dir := range []string{before, after} {
			to := filepath.Join(dir, filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(to, data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	self, _ := os.Executable()
	f := New(kubernetes.ChildRenderer(self))
	changed, err := f.Apply(context.Background(), after, path)
	if err != nil {
		t.Fatal(err)
	}
	got := code.Files{}
	for _, name := range changed {
		data, err := os.ReadFile(filepath.Join(after, filepath.FromSlash(name)))
		if err != nil {
			t.Fatal(err)
		}
		got[name] = data
	}
	checks, err := f.(fix.Examiner).Examine(t.Context(), before, after, path)
	if err != nil {
		t.Fatal(err)
	}
	for _, check := range checks {
		if check.Status != fact.CheckPass {
			t.Errorf("%s: %s: %s", check.Name, check.Status, check.Detail)
		}
	}
	return got, checks
}

const manifest = `-- app/web.yaml --
# the shop
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  template:
    spec:
      containers:
      - name: server   # the one
        image: shop:1
        securityContext:
          privileged: true   # legacy
      - name: side
        image: side:1
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
`

func TestAManifestIsEditedAtItsLine(t *testing.T) {
	tree := files(manifest)
	paths, site := plan(t, tree, "app/web.yaml",
		flaw("shop/Deployment.apps/web#server", "app/web.yaml", "spec.template.spec.containers[0].securityContext.privileged=false"),
		flaw("shop/Deployment.apps/web#side", "app/web.yaml", `spec.template.spec.containers[1].securityContext.capabilities.drop=["ALL"]`))
	if len(paths) != 3 {
		t.Fatalf("%d paths, blocked by %q", len(paths), site.Blocked)
	}
	if p := paths[0]; len(p.Closes) != 2 || p.Reach != "this one only" || p.Kind != fix.AddBlock || p.Manual {
		t.Errorf("%+v", p)
	}
	if p := paths[1]; len(p.Closes) != 1 || p.Kind != fix.EditValue {
		t.Errorf("%+v", p)
	}
	got, _ := apply(t, tree, paths[0])
	want := strings.Replace(string(tree["app/web.yaml"]), "privileged: true   # legacy", "privileged: false   # legacy", 1)
	want = strings.Replace(want, "        image: side:1\n", "        image: side:1\n        securityContext:\n          capabilities:\n            drop:\n            - ALL\n", 1)
	if string(got["app/web.yaml"]) != want {
		t.Errorf("got\n%s", got["app/web.yaml"])
	}
}

func TestOnlyPeopleChooseWhatIsTheirs(t *testing.T) {
	paths, _ := plan(t, files(manifest), "app/web.yaml", flaw("shop/Deployment.apps/web#server", "app/web.yaml", "spec.template.spec.containers[0].resources.limits.memory=?how much memory it may use"))
	if len(paths) != 1 || !paths[0].Manual || len(paths[0].Edits) > 0 || paths[0].Steps[0].Location == nil || !strings.Contains(paths[0].Steps[0].Text, "how much memory") {
		t.Fatalf("%+v", paths)
	}
}

func TestRemovalsDoNotMoveEachOther(t *testing.T) {
	tree := files("-- p.yaml --\napiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  hostNetwork: true\n  volumes:\n  - name: a\n    hostPath: {path: /a}\n  - name: b\n    emptyDir: {}\n  - name: c\n    hostPath: {path: /c}\n")
	paths, site := plan(t, tree, "p.yaml", flaw("Pod/p", "p.yaml", "-spec.volumes[0]", "-spec.volumes[2]", "-spec.hostNetwork"))
	if len(paths) == 0 {
		// The object's name needs its namespace or two parts before it.
		t.Fatalf("no path: %q", site.Blocked)
	}
	got, _ := apply(t, tree, paths[0])
	if want := "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  volumes:\n  - name: b\n    emptyDir: {}\n"; string(got["p.yaml"]) != want {
		t.Errorf("got %q", got["p.yaml"])
	}
}

const overlays = `-- base/kustomization.yaml --
resources:
- web.yaml
-- base/web.yaml --
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 1
  template:
    spec:
      hostNetwork: true
      containers:
      - name: server
        image: shop:1
-- overlays/dev/kustomization.yaml --
resources:
- ../../base
namePrefix: dev-
-- overlays/prod/kustomization.yaml --
# production
resources:
- ../../base
patches:
- path: patch.yaml
-- overlays/prod/patch.yaml --
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
spec:
  replicas: 3
`

func TestABaseReachesAllOverlaysAndAnOverlayOnlyItself(t *testing.T) {
	tree := files(overlays)
	paths, site := plan(t, tree, "base/web.yaml", flaw("Deployment.apps/web", "base/web.yaml", "spec.template.spec.hostNetwork=false"))
	if len(paths) < 2 {
		t.Fatalf("%d paths, blocked by %q", len(paths), site.Blocked)
	}
	if !strings.Contains(paths[0].Reach, "2 of 2") || paths[0].Edits[0].Path != "base/web.yaml" {
		t.Errorf("%+v", paths[0])
	}
	apply(t, tree, paths[0])
	only := flaw("Deployment.apps/web", "base/web.yaml", "spec.template.spec.hostNetwork=false")
	only.Seen[0].Attributes["unit"] = "overlays/prod"
	paths, site = plan(t, tree, "base/web.yaml", only)
	if len(paths) < 2 {
		t.Fatalf("%d paths, blocked by %q", len(paths), site.Blocked)
	}
	got, _ := apply(t, tree, paths[1])
	if paths[1].Reach != "this one only" || !strings.HasSuffix(string(got["overlays/prod/patch.yaml"]), "  replicas: 3\n  template:\n    spec:\n      hostNetwork: false\n") {
		t.Errorf("%s: %q", paths[1].Reach, got)
	}
}

func TestAnOverlayWithoutAPatchGetsOne(t *testing.T) {
	tree := files(overlays)
	only := flaw("Deployment.apps/dev-web", "base/web.yaml", "spec.template.spec.hostNetwork=false", `spec.template.spec.containers[0].command=["a b","c"]`)
	only.Seen[0].Attributes["unit"] = "overlays/dev"
	paths, site := plan(t, tree, "base/web.yaml", only)
	if len(paths) < 2 {
		t.Fatalf("%d paths, blocked by %q", len(paths), site.Blocked)
	}
	got, _ := apply(t, tree, paths[1])
	want := "resources:\n- ../../base\nnamePrefix: dev-\npatches:\n- target:\n    kind: Deployment\n    name: web\n  patch: |-\n" +
		"    - op: replace\n      path: \"/spec/template/spec/hostNetwork\"\n      value: false\n" +
		"    - op: add\n      path: \"/spec/template/spec/containers/0/command\"\n      value: [\"a b\", \"c\"]\n"
	if string(got["overlays/dev/kustomization.yaml"]) != want {
		t.Errorf("got\n%s", got["overlays/dev/kustomization.yaml"])
	}
}

const chart = `-- chart/Chart.yaml --
name: shop
version: 1.0.0
-- chart/values.yaml --
# values
hostNetwork: true
image:
  repository: shop
  tag: "1.0"
podSecurityContext: {}
securityContext:
  capabilities:
    add: [NET_ADMIN]
-- chart/values-prod.yaml --
image:
  tag: "2.0"
-- chart/templates/web.yaml --
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  template:
    spec:
      hostNetwork: {{ .Values.hostNetwork }}
      hostPID: true
      {{- with .Values.podSecurityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
      - name: server
        image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
        {{- with .Values.securityContext }}
        securityContext:
          {{- toYaml . | nindent 10 }}
        {{- end }}
        ports:
        - containerPort: 80
-- chart/templates/job.yaml --
apiVersion: batch/v1
kind: Job
metadata:
  name: {{ .Release.Name }}
spec:
  template:
    spec:
      {{- if .Values.hostNetwork }}
      hostNetwork: true
      {{- end }}
      containers:
      - name: server
        image: x
`

func TestAChartIsEditedWhereItsValuesDecide(t *testing.T) {
	tree := files(chart)
	for _, test := range []struct{ name, field, file, from, to, reach string }{
		{"a value", "spec.template.spec.hostNetwork=false", "chart/values.yaml", "hostNetwork: true", "hostNetwork: false", "4 of 4"},
		{"an empty map of values", `spec.template.spec.securityContext.runAsNonRoot=true`, "chart/values.yaml", "podSecurityContext: {}", "podSecurityContext:\n  runAsNonRoot: true", "2 of 2"},
		{"a map of values", `spec.template.spec.containers[0].securityContext.allowPrivilegeEscalation=false`, "chart/values.yaml", "    add: [NET_ADMIN]", "    add: [NET_ADMIN]\n  allowPrivilegeEscalation: false", "2 of 2"},
		{"literal in the template", "spec.template.spec.hostPID=false", "chart/templates/web.yaml", "hostPID: true", "hostPID: false", "2 of 2"},
		{"missing in the template", "spec.template.spec.automountServiceAccountToken=false", "chart/templates/web.yaml", "hostPID: true\n", "hostPID: true\n      automountServiceAccountToken: false\n", "2 of 2"},
		{"missing beside maps only", `spec.template.metadata={"labels": {"a": "b"}}`, "chart/templates/web.yaml", "    spec:\n      hostNetwork", "    metadata:\n      labels:\n        a: b\n    spec:\n      hostNetwork", "2 of 2"},
		{"removed from the template", "-spec.template.spec.hostPID", "chart/templates/web.yaml", "      hostPID: true\n", "", "2 of 2"},
		{"removed from the values", "-spec.template.spec.containers[0].securityContext.capabilities.add[0]", "chart/values.yaml", "add: [NET_ADMIN]", "add: []", "2 of 2"},
	} {
		t.Run(test.name, func(t *testing.T) {
			paths, site := plan(t, tree, "chart/templates/web.yaml", flaw("default/Deployment.apps/shop", "chart/templates/web.yaml", test.field))
			if len(paths) == 0 {
				t.Fatalf("no path: %q", site.Blocked)
			}
			got, _ := apply(t, tree, paths[0])
			if want := strings.Replace(string(tree[test.file]), test.from, test.to, 1); string(got[test.file]) != want {
				t.Errorf("got\n%s", got[test.file])
			}
			if !strings.HasPrefix(paths[0].Reach, test.reach) {
				t.Errorf("reach %q, expected %q", paths[0].Reach, test.reach)
			}
		})
	}
}

func TestPartOfAFieldIsEditedInTheEnvironmentThatDecides(t *testing.T) {
	tree := files(chart)
	only := flaw("default/Deployment.apps/shop", "chart/templates/web.yaml", `spec.template.spec.containers[0].image="shop:3.0"`)
	only.Seen[0].Attributes["unit"] = "chart with chart/values-prod.yaml"
	paths, site := plan(t, tree, "chart/values-prod.yaml", only)
	if len(paths) == 0 {
		t.Fatalf("no path: %q", site.Blocked)
	}
	got, _ := apply(t, tree, paths[0])
	if string(got["chart/values-prod.yaml"]) != "image:\n  tag: \"3.0\"\n" || paths[0].Reach != "this one only" {
		t.Errorf("%s %q", paths[0].Reach, got)
	}
}

func TestWhatIsGeneratedIsNotEdited(t *testing.T) {
	tree := files("-- p.yaml --\n# Code generated by tool; DO NOT EDIT.\napiVersion: v1\nkind: Pod\nmetadata:\n  name: p\nspec:\n  hostNetwork: true\n")
	paths, site := plan(t, tree, "p.yaml", flaw("-/Pod/p", "p.yaml", "spec.hostNetwork=false"))
	if len(paths) != 0 || len(site.Blocked) != 1 {
		t.Errorf("%v %q", paths, site.Blocked)
	}
}

func TestTheSameSiteGivesTheSamePaths(t *testing.T) {
	ids := func() string {
		paths, _ := plan(t, files(chart), "", flaw("default/Deployment.apps/shop", "", "spec.template.spec.hostNetwork=false"))
		var all []string
		for _, p := range paths {
			all = append(all, p.ID+p.Summary+p.Reach)
		}
		return strings.Join(all, "\n")
	}
	if first := ids(); first == "" || first != ids() {
		t.Error("two plans differ")
	}
}

const hosted = `-- charts/web/Chart.yaml --
name: web
version: 1.0.0
dependencies:
- name: cache
  version: 2.0.0
-- charts/web/values.yaml --
hostNetwork: true
-- charts/web/templates/web.yaml --
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}
spec:
  template:
    spec:
      hostNetwork: {{ .Values.hostNetwork }}
      hostPID: {{ .Values.pid }}
      containers:
      - name: server
        image: x
-- apps/argo.yaml --
apiVersion: argoproj.io/v1alpha1
kind: Application
metadata:
  name: web-argo
  namespace: argocd
spec:
  source:
    path: charts/web
    helm:
      values: |
        # of production
        pid: true
-- apps/flux.yaml --
apiVersion: helm.toolkit.fluxcd.io/v2
kind: HelmRelease
metadata:
  name: web-flux
  namespace: web
spec:
  chart:
    spec:
      chart: ./charts/web
      sourceRef: {kind: GitRepository, name: self}
  values:
    pid: true   # why
`

func TestValuesOfApplicationsAndReleasesAreEditedThere(t *testing.T) {
	tree := files(hosted)
	for _, test := range []struct{ object, file, from, to string }{
		{"default/Deployment.apps/web-argo", "apps/argo.yaml", "        pid: true\n", "        pid: false\n"},
		{"default/Deployment.apps/web-flux", "apps/flux.yaml", "pid: true   # why", "pid: false   # why"},
	} {
		paths, site := plan(t, tree, "charts/web/templates/web.yaml", flaw(test.object, "charts/web/templates/web.yaml", "spec.template.spec.hostPID=false"))
		if len(paths) == 0 {
			t.Errorf("%s: no path: %q", test.object, site.Blocked)
			continue
		}
		got, _ := apply(t, tree, paths[0])
		if want := strings.Replace(string(tree[test.file]), test.from, test.to, 1); string(got[test.file]) != want || len(got) != 1 || paths[0].Reach != "this one only" {
			t.Errorf("%s: reach %q, got %q", test.object, paths[0].Reach, got)
		}
	}
}

func TestAChartFromElsewhereIsRaisedByPeople(t *testing.T) {
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	w := tar.NewWriter(z)
	for _, f := range [][2]string{{"cache/Chart.yaml", "name: cache\nversion: 2.0.0\n"}, {"cache/values.yaml", "user: 0\n"}, {"cache/templates/d.yaml",
		"apiVersion: apps/v1\nkind: StatefulSet\nmetadata:\n  name: cache\nspec:\n  template:\n    spec:\n      hostIPC: true\n      containers:\n      - name: c\n        image: c\n        securityContext:\n          runAsUser: {{ .Values.user }}\n"}} {
		if err := w.WriteHeader(&tar.Header{Name: f[0], Mode: 0o644, Size: int64(len(f[1])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(f[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	tree := files(hosted)
	tree["charts/web/charts/cache-2.0.0.tgz"] = packed.Bytes()
	paths, site := plan(t, tree, "", flaw("default/StatefulSet.apps/cache", "", "spec.template.spec.hostIPC=false"))
	if len(paths) != 1 || paths[0].Kind != fix.RaiseModule || !paths[0].Manual || paths[0].Steps[0].Location.Line != 5 {
		t.Errorf("%+v, blocked by %q", paths, site.Blocked)
	}
	// Its values are set in those of the chart that uses it.
	paths, site = plan(t, tree, "", flaw("default/StatefulSet.apps/cache", "", "spec.template.spec.containers[0].securityContext.runAsUser=20000"))
	if len(paths) == 0 {
		t.Fatalf("no path: %q", site.Blocked)
	}
	got, _ := apply(t, tree, paths[0])
	if string(got["charts/web/values.yaml"]) != "hostNetwork: true\ncache:\n  user: 20000\n" {
		t.Errorf("got %q", got)
	}
}

func TestTheRightOneOfManyDocumentsIsEdited(t *testing.T) {
	var all strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&all, "---\napiVersion: v1\nkind: Pod\nmetadata: {name: p%d, namespace: a}\nspec:\n  hostPID: true\n", i)
	}
	tree := code.Files{"x.yaml": []byte(all.String())}
	paths, site := plan(t, tree, "x.yaml", flaw("a/Pod/p7777", "x.yaml", "spec.hostPID=false"))
	if len(paths) != 1 {
		t.Fatalf("%d paths, %q", len(paths), site.Blocked)
	}
	if e := paths[0].Edits; len(e) != 1 || e[0].Line != 7777*6+6 || e[0].Old != "  hostPID: true" {
		t.Errorf("%+v", e)
	}
}

func TestNastyFilesGiveNoPathAndAReason(t *testing.T) {
	head := "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: a}\n"
	for name, text := range map[string]string{
		"a scalar in the way": head + "spec: text\n", "a list in the way": head + "spec: [x]\n", "an alias of itself": head + "spec: &a {b: *a}\n",
		"NUL": head + "spec: {a: \"\x00\"}\n", "nothing": "", "not YAML": head + "spec: [\n",
	} {
		paths, _ := plan(t, code.Files{"x.yaml": []byte(text)}, "x.yaml", flaw("a/Pod/p", "x.yaml", "spec.securityContext.runAsNonRoot=true"))
		if len(paths) > 0 {
			t.Errorf("%s: %+v", name, paths[0].Edits)
		}
	}
}

func TestSecretsAreNotShown(t *testing.T) {
	tree := files("-- p.yaml --\napiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  namespace: a\nspec:\n  containers:\n  - name: c\n    env:\n    - name: PASSWORD\n      value: hunter2\n")
	for _, field := range []string{"-spec.containers[0].env[0].value", "-spec.containers[0].env[0]", "-spec.containers[0].env", "-spec.containers[0]"} {
		paths, site := plan(t, tree, "p.yaml", flaw("a/Pod/p", "p.yaml", field))
		if len(paths) == 0 {
			t.Fatalf("%s: no path: %q", field, site.Blocked)
		}
		p := paths[0]
		if told := fmt.Sprint(p.Summary, p.Steps, p.Reach, p.Reason); strings.Contains(told, "hunter2") {
			t.Errorf("%s: %s", field, told)
		}
		apply(t, tree, p)
	}
}

func TestImagesOfAKustomizationAreSetThere(t *testing.T) {
	tree := files("-- kustomization.yaml --\nresources: [web.yaml]\nimages:\n- name: shop\n  newTag: \"1\" # held\n-- web.yaml --\napiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: web\nspec:\n  template:\n    spec:\n      containers:\n      - name: c\n        image: shop\n")
	for image, want := range map[string]string{"shop:2": "newTag: \"2\" # held\n", "shop@sha256:" + strings.Repeat("a", 64): "newTag: \"1\" # held\n  digest: sha256:" + strings.Repeat("a", 64) + "\n"} {
		paths, site := plan(t, tree, "web.yaml", flaw("Deployment.apps/web", "web.yaml", "spec.template.spec.containers[0].image="+image))
		if len(paths) == 0 {
			t.Fatalf("no path: %q", site.Blocked)
		}
		got, _ := apply(t, tree, paths[0])
		if text := strings.Replace(string(tree["kustomization.yaml"]), "newTag: \"1\" # held\n", want, 1); string(got["kustomization.yaml"]) != text {
			t.Errorf("got %q", got)
		}
	}
}
