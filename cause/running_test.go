package cause_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/cause"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/image"
	"github.com/backstitch/backstitch/store/sqlite"
)

// fleet is a repository that builds two images, deploys them and one of another
// maker, and declares cloud resources.
func fleet() code.Files {
	files := code.Files{}
	for name, text := range map[string]string{
		"docker-compose.yaml": "services:\n  shop:\n    build: shop\n    image: acme/shop:1\n  mail:\n    build: mail\n    image: acme/mail:1\n",
		"shop/Dockerfile":     "ARG DEBIAN=12\nFROM debian:${DEBIAN}\nRUN apt-get update && apt-get install -y curl=7.88 && rm -rf /var/lib/apt/lists/*\nCOPY package.json package-lock.json /app/\nRUN npm ci --omit=dev --prefix /app\n",
		"shop/package.json":   "{\n  \"dependencies\": {\n    \"qs\": \"6.1.0\"\n  }\n}\n",
		"shop/package-lock.json": "{\n  \"lockfileVersion\": 3,\n  \"packages\": {\n    \"\": {\"dependencies\": {\"qs\": \"6.1.0\"}},\n" +
			"    \"node_modules/qs\": {\"version\": \"6.1.0\"}\n  }\n}\n",
		"mail/Dockerfile":   "FROM alpine:3.19\nCOPY . /srv\nRUN adduser -D mail && chown -R mail /srv\n",
		"mail/package.json": "{\n  \"dependencies\": {\n    \"qs\": \"6.1.0\"\n  }\n}\n",
		"mail/package-lock.json": "{\n  \"lockfileVersion\": 3,\n  \"packages\": {\n    \"\": {\"dependencies\": {\"qs\": \"6.1.0\"}},\n" +
			"    \"node_modules/qs\": {\"version\": \"6.1.0\"}\n  }\n}\n",
		"k8s/cache.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: cache\n  namespace: prod\nspec:\n  template:\n    spec:\n      containers:\n" +
			"        - name: redis\n          image: redis:7.0\n          securityContext:\n            privileged: true\n",
		"legacy/main.tf":       "resource \"aws_sns_topic\" \"t\" {\n  name = \"t\"\n}\n",
		"versions.tf":          "terraform {\n  required_version = \">= 1.5\"\n}\n",
		"infra/main.tf":        "module \"logs\" {\n  source = \"./bucket\"\n  name   = \"acme-logs\"\n}\n\nresource \"aws_iam_role\" \"ci\" {\n  name = \"ci\"\n}\n\nresource \"azurerm_storage_account\" \"a\" {\n  name = \"acmelogs\"\n}\nresource \"google_compute_instance\" \"vm\" {\n  name = \"jump\"\n}\nresource \"google_sql_database_instance\" \"db\" {\n  name = \"main\"\n}\n",
		"infra/bucket/main.tf": "variable \"name\" {}\n\nresource \"aws_s3_bucket\" \"this\" {\n  bucket = var.name\n  acl    = data.x_y.z.acl\n}\n",
	} {
		files[name] = []byte(text)
	}
	return files
}

func running(t *testing.T, tree code.Files, known cause.Running) *cause.Tracer {
	t.Helper()
	modules, err := lockfile.Read(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	tracer, err := cause.New(t.Context(), cause.Context{Repository: "github.com/acme/fleet", Commit: "c0ffee", Modules: modules, Tree: tree, Running: known})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

func flawIn(asset fact.Asset, ecosystem, name, version string) *fact.Finding {
	return &fact.Finding{Kind: fact.Vulnerability, Rule: "CVE-2026-1", Asset: asset, Package: fact.Package{Ecosystem: ecosystem, Name: name, Version: version}}
}

func imageCalled(name string) fact.Asset {
	return fact.Asset{Kind: fact.AssetImage, Key: name, Name: name}
}

func TestFindingsOfWhatRunsLeadToLines(t *testing.T) {
	t.Parallel()
	tree := fleet()
	tracer := running(t, tree, cause.Running{})
	resource := func(arn string) fact.Asset { return fact.Asset{Kind: fact.AssetResource, Key: arn, Name: arn} }
	cache := fact.Asset{Kind: fact.AssetKubernetes, Key: "east/prod/Deployment.apps/cache", Name: "cache"}
	for name, c := range map[string]struct {
		finding *fact.Finding
		want    string
	}{
		"a locked package leads into the folder of its image":  {flawIn(imageCalled("ghcr.io/acme/shop:1"), "npm", "qs", "6.1.0"), "found shop/package.json:3"},
		"and that of another image into another":               {flawIn(imageCalled("acme/mail:1"), "npm", "qs", "6.1.0"), "found mail/package.json:3"},
		"of an image that nobody builds here it is unknown":    {flawIn(imageCalled("other/thing:2"), "npm", "qs", "6.1.0"), "unknown "},
		"a system package that a RUN installs by name":         {flawIn(imageCalled("acme/shop:1"), "Debian:12", "curl", "7.88"), "found shop/Dockerfile:3"},
		"another comes from the base or what the RUN drags in": {flawIn(imageCalled("acme/shop:1"), "Debian:12", "zlib1g", "1.2"), "ambiguous shop/Dockerfile:1 shop/Dockerfile:2 shop/Dockerfile:3"},
		"with nothing installed it is the base":                {flawIn(imageCalled("acme/mail:1"), "Alpine:v3.19", "musl", "1.2"), "found mail/Dockerfile:1"},
		"an image of another maker leads to where it is named": {flawIn(imageCalled("docker.io/library/redis:7.0"), "Debian:11", "zlib1g", "1.2"), "found k8s/cache.yaml:11"},
		"or to the FROM that names it":                         {flawIn(imageCalled("alpine:3.19"), "Alpine:v3.19", "musl", "1.2"), "found mail/Dockerfile:1"},
		"an image of nobody is unknown":                        {flawIn(imageCalled("other/thing:2"), "Debian:12", "curl", "7.88"), "unknown "},
		"an object leads to its manifest":                      {&fact.Finding{Kind: fact.Misconfiguration, Rule: "C-0057", Asset: cache}, "found k8s/cache.yaml:1"},
		"and with a field to the field": {
			&fact.Finding{Kind: fact.Misconfiguration, Rule: "C-0057", Asset: cache, Attributes: map[string]string{"field": "spec.template.spec.containers[name=redis].securityContext.privileged"}},
			"found k8s/cache.yaml:13"},
		"a flaw in an object's image leads through the image": {
			&fact.Finding{Kind: fact.Vulnerability, Rule: "CVE-2026-2", Asset: cache, Path: "redis:7.0 (debian 11.6)", Package: fact.Package{Ecosystem: "Debian:11", Name: "zlib1g", Version: "1.2"}},
			"found k8s/cache.yaml:11"},
		"a pod leads to its controller's manifest": {
			&fact.Finding{Kind: fact.Misconfiguration, Rule: "C-0057", Asset: fact.Asset{Kind: fact.AssetKubernetes, Key: "prod/Pod/cache-7d9f8c4d5-x7k2p"}, Attributes: map[string]string{"field": "spec.containers[0].securityContext.privileged"}},
			"found k8s/cache.yaml:13"},
		"a field that the text quotes": {
			&fact.Finding{Kind: fact.Misconfiguration, Rule: "KSV017", Asset: cache, Attributes: map[string]string{"message": "Container 'redis' of Deployment 'cache' should set 'securityContext.privileged' to false"}},
			"found k8s/cache.yaml:13"},
		"also in a pod's": {
			&fact.Finding{Kind: fact.Misconfiguration, Rule: "KSV017", Asset: fact.Asset{Kind: fact.AssetKubernetes, Key: "prod/Pod/cache-7d9f8c4d5-x7k2p"}, Description: "Privileged\n\nContainer \"redis\" of Pod \"cache-7d9f8c4d5-x7k2p\" should set \"securityContext.privileged\" to false"},
			"found k8s/cache.yaml:13"},
		"one that is not set leads to what it belongs in": {
			&fact.Finding{Kind: fact.Misconfiguration, Rule: "KSV009", Asset: cache, Attributes: map[string]string{"message": "Deployment 'cache' should not set 'spec.template.spec.hostNetwork' to true"}},
			"found k8s/cache.yaml:9"},
		"a ReplicaSet, too":                          {&fact.Finding{Kind: fact.Misconfiguration, Rule: "C-0057", Asset: fact.Asset{Kind: fact.AssetKubernetes, Key: "prod/ReplicaSet.apps/cache-7d9f8"}}, "found k8s/cache.yaml:1"},
		"in its own namespace only":                  {&fact.Finding{Kind: fact.Misconfiguration, Rule: "C-0057", Asset: fact.Asset{Kind: fact.AssetKubernetes, Key: "lab/ReplicaSet.apps/cache-7d9f8"}}, "unknown "},
		"an object that is nowhere":                  {&fact.Finding{Kind: fact.Misconfiguration, Rule: "C-0057", Asset: fact.Asset{Kind: fact.AssetKubernetes, Key: "east/prod/Deployment.apps/none"}}, "unknown "},
		"a bucket leads through its module's name":   {&fact.Finding{Kind: fact.Misconfiguration, Rule: "s3_x", Asset: resource("arn:aws:s3:::acme-logs")}, "found infra/bucket/main.tf:3"},
		"a role leads to its block":                  {&fact.Finding{Kind: fact.Misconfiguration, Rule: "iam_x", Asset: resource("arn:aws:iam::123456789012:role/ops/ci")}, "found infra/main.tf:6"},
		"an account of Azure":                        {&fact.Finding{Kind: fact.Misconfiguration, Rule: "x", Asset: resource("/subscriptions/1/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/acmelogs")}, "found infra/main.tf:10"},
		"a machine of Google":                        {&fact.Finding{Kind: fact.Misconfiguration, Rule: "x", Asset: resource("https://www.googleapis.com/compute/v1/projects/p/zones/z/instances/jump")}, "found infra/main.tf:13"},
		"a bucket of nobody is unknown":              {&fact.Finding{Kind: fact.Misconfiguration, Rule: "s3_x", Asset: resource("arn:aws:s3:::elsewhere")}, "unknown "},
		"a resource of no known form is unknown too": {&fact.Finding{Kind: fact.Misconfiguration, Rule: "x", Asset: resource("vol-1")}, "unknown "},
	} {
		found := trace(t, tracer, tree, *c.finding)
		if found.Status == fact.CauseAmbiguous {
			slices.SortFunc(found.Locations, func(a, b fact.Location) int { return strings.Compare(a.Path, b.Path) })
		}
		if got := places(found); got != c.want {
			t.Errorf("%s: %s, want %s\n%+v", name, got, c.want, found)
		}
	}
}

func inFile(f *fact.Finding, name string) *fact.Finding { f.Path = name; return f }

// One version of a package may be in any image. A line is only named for one that is
// built from what it stands in.
func TestAPackageOfAnImageLeadsOnlyToWhatTheImageIsBuiltFrom(t *testing.T) {
	t.Parallel()
	tree := code.Files{}
	lock := "{\n  \"lockfileVersion\": 3,\n  \"packages\": {\n    \"\": {\"dependencies\": {\"qs\": \"6.1.0\"}},\n    \"node_modules/qs\": {\"version\": \"6.1.0\"},\n" +
		"    \"node_modules/ms\": {\"version\": \"1.0.0\"},\n    \"node_modules/ini\": {\"version\": \"1.3.0\"}\n  }\n}\n"
	for name, text := range map[string]string{
		"compose.yaml": "services:\n  api:\n    build: api\n    image: acme/api:1\n  web:\n    build: web\n    image: acme/web:1\n  jobs:\n    build: {context: ., dockerfile: docker/jobs.Dockerfile}\n    image: acme/jobs:1\n" +
			"  tool:\n    build: tool\n    image: acme/tool:1\n  dash:\n    image: grafana/grafana:9.0.0\n",
		"api/Dockerfile":         "FROM node:18-alpine AS deps\nCOPY package.json ./\nRUN npm ci\nFROM gcr.io/distroless/nodejs18\nCOPY --from=deps /app /app\nCOPY . .\n",
		"web/Dockerfile":         "FROM node:18-alpine\nCOPY . .\n",
		"web/package.json":       "{\n  \"dependencies\": {\n    \"qs\": \"6.1.0\"\n  }\n}\n",
		"web/package-lock.json":  lock,
		"docker/jobs.Dockerfile": "FROM node:18-alpine\nCOPY web/package*.json ./\nRUN npm ci && npm install -g pm2@5\n",
		"tool/Dockerfile":        "ARG GO=1.21\nFROM golang:${GO}-alpine AS build\nCOPY . .\nRUN go build -o /tool\nFROM scratch\nCOPY --from=build /tool /tool\n",
		"tool/go.mod":            "module example.com/tool\n\ngo 1.21.5\n",
	} {
		tree[name] = []byte(text)
	}
	packages := map[string][]fact.Package{}
	for _, name := range []string{"qs 6.1.0", "ms 1.0.0", "ini 1.3.0", "left 1.0.0"} {
		name, version, _ := strings.Cut(name, " ")
		for _, image := range []string{"ours:ci", "ours:ci"} {
			packages["image:"+image] = append(packages["image:"+image], fact.Package{Ecosystem: "npm", Name: name, Version: version})
		}
	}
	packages["image:other:1"] = packages["image:ours:ci"][:4] // two packages, each found twice
	tracer := running(t, tree, cause.Running{Packages: packages})
	for name, c := range map[string]struct {
		finding *fact.Finding
		want    string
	}{
		"the folder that it is built in":                  {flawIn(imageCalled("acme/web:1"), "npm", "qs", "6.1.0"), "found web/package.json:3"},
		"not that of another":                             {flawIn(imageCalled("acme/api:1"), "npm", "qs", "6.1.0"), "ambiguous api/Dockerfile:4 api/Dockerfile:5 api/Dockerfile:6"},
		"a folder that the Dockerfile copies":             {flawIn(imageCalled("acme/jobs:1"), "npm", "qs", "6.1.0"), "found web/package.json:3"},
		"what a RUN installs by name":                     {flawIn(imageCalled("acme/jobs:1"), "npm", "pm2", "5.1.0"), "found docker/jobs.Dockerfile:3"},
		"what the base has in its own folder":             {inFile(flawIn(imageCalled("acme/web:1"), "npm", "qs", "6.1.0"), "usr/local/lib/node_modules/npm/node_modules/qs/package.json"), "ambiguous web/Dockerfile:1 web/Dockerfile:2"},
		"a system package is of the last stage's base":    {flawIn(imageCalled("acme/api:1"), "Debian:12", "openssl", "3.0"), "ambiguous api/Dockerfile:4 api/Dockerfile:5"},
		"the standard library is of the toolchain":        {flawIn(imageCalled("acme/tool:1"), "Go", "stdlib", "v1.21.5"), "found tool/Dockerfile:1 tool/Dockerfile:2"},
		"but of no other version":                         {flawIn(imageCalled("acme/tool:1"), "Go", "stdlib", "1.20.1"), "unknown "},
		"what an image is set up without":                 {&fact.Finding{Kind: fact.Misconfiguration, Rule: "CIS-DI-0001", Asset: imageCalled("acme/api:1")}, "found api/Dockerfile:4"},
		"an image of another maker":                       {flawIn(imageCalled("grafana/grafana:9.0.0"), "npm", "qs", "6.1.0"), "found compose.yaml:15"},
		"one that is named as a base":                     {flawIn(imageCalled("node:18-alpine"), "npm", "qs", "6.1.0"), "found api/Dockerfile:1 docker/jobs.Dockerfile:1 web/Dockerfile:1"},
		"one that a Compose file names":                   {flawIn(imageCalled("docker.io/grafana/grafana:9.0.0"), "Alpine:v3.15", "musl", "1.2"), "found compose.yaml:15"},
		"an image with more in common with a lockfile":    {flawIn(imageCalled("ours:ci"), "npm", "qs", "6.1.0"), "found web/package.json:3"},
		"too little in common, however often it is found": {flawIn(imageCalled("other:1"), "npm", "qs", "6.1.0"), "unknown "},
	} {
		found := trace(t, tracer, tree, *c.finding)
		slices.SortFunc(found.Locations, func(a, b fact.Location) int { return cmp.Or(strings.Compare(a.Path, b.Path), a.Line-b.Line) })
		if got := places(found); got != c.want {
			t.Errorf("%s: %s, want %s\n%+v", name, got, c.want, found)
		}
	}
}

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == kubernetes.RenderCommand {
		if err := kubernetes.ServeRenders(os.Stdin, os.Stdout); err != nil {
			os.Exit(2)
		}
		return
	}
	os.Exit(m.Run())
}

func TestAnImageOfAChartLeadsToTheLineOfItsTag(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	tree := code.Files{
		"chart/Chart.yaml":               []byte("apiVersion: v2\nname: shop\nversion: 0.1.0\nappVersion: \"1.5.0\"\n"),
		"chart/values.yaml":              []byte("registry: ghcr.io/acme\nimage:\n  name: shop\n  tag: \"\"\ncache:\n  name: redis\n  tag: \"7.0\"\n"),
		"chart/values-staging.yaml":      []byte("image:\n  tag: \"2.1.0\"\n"),
		"chart/templates/deployment.yml": []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: shop\nspec:\n  template:\n    spec:\n      containers:\n        - name: shop\n          image: {{ .Values.registry }}/{{ .Values.image.name }}:{{ .Values.image.tag | default .Chart.AppVersion }}\n        - name: cache\n          image: {{ .Values.cache.name }}:{{ .Values.cache.tag }}\n"),
	}
	for name, want := range map[string]string{
		"redis:7.0":               "found chart/values.yaml:7",
		"ghcr.io/acme/shop:1.5.0": "found chart/values.yaml:4",
		"ghcr.io/acme/shop:2.1.0": "found chart/values-staging.yaml:2",
		"ghcr.io/acme/shop:7.0":   "unknown ",
	} {
		tracer := running(t, tree, cause.Running{Renderer: kubernetes.ChildRenderer(self)})
		found := trace(t, tracer, tree, *flawIn(imageCalled(name), "Debian:12", "zlib1g", "1.2"))
		if got := places(found); got != want {
			t.Errorf("%s: %s, want %s\n%+v", name, got, want, found)
		}
	}
}

func TestAFileInAnImageLeadsToTheFileThatIsCopied(t *testing.T) {
	t.Parallel()
	tree := code.Files{}
	for name, text := range map[string]string{
		"compose.yaml":      "services:\n  api:\n    build: api\n    image: acme/api:1\n",
		"api/Dockerfile":    "FROM node:18 AS build\nCOPY . /src\nFROM alpine:3.19\nWORKDIR /app\nCOPY config/*.json /etc/app/\nCOPY key.pem /etc/ssl/own.pem\nCOPY . .\nCOPY --from=build /src/out /out\nRUN ./make-token > /token\n",
		"api/.env":          "A=1\nTOKEN=x\n",
		"api/key.pem":       "x\n",
		"api/config/a.json": "{}\n",
		".env":              "OTHER=1\n",
	} {
		tree[name] = []byte(text)
	}
	tracer := running(t, tree, cause.Running{})
	for inside, want := range map[string]string{
		"/app/.env:2":         "found api/.env:2",
		"etc/ssl/own.pem:1":   "found api/key.pem:1",
		"etc/app/a.json:1":    "found api/config/a.json:1",
		"app/config/a.json:9": "found api/config/a.json:0", // it has no such line any more
		"token:1":             "ambiguous api/Dockerfile:5 api/Dockerfile:6 api/Dockerfile:7 api/Dockerfile:8",
	} {
		name, line, _ := strings.Cut(inside, ":")
		f := &fact.Finding{Kind: fact.Secret, Rule: "token", Asset: imageCalled("acme/api:1"), Path: name, Line: int(line[0] - '0')}
		if got := places(trace(t, tracer, tree, *f)); got != want {
			t.Errorf("%s: %s, want %s", inside, got, want)
		}
	}
}

// counting counts how often a chart is rendered.
type counting struct{ opened int }

func (c *counting) Open(context.Context, kubernetes.RenderJob) (kubernetes.Rendering, error) {
	c.opened++
	return nil, errors.New("no renderer here")
}

func TestChartsAreRenderedOnlyForWhatTheyMayName(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		finding *fact.Finding
		packed  bool
		renders bool
	}{
		"an image that no file names":          {flawIn(imageCalled("quay.io/other/thing:1.2.3"), "Debian:12", "curl", "7.88"), false, false},
		"another tag of one":                   {flawIn(imageCalled("redis:6.0-alpine"), "Debian:12", "curl", "7.88"), false, false},
		"one whose name is put together":       {flawIn(imageCalled("acme/tiny-redis:v7.1.0-alpine"), "Debian:12", "curl", "7.88"), false, true},
		"one that a packed chart may name":     {flawIn(imageCalled("quay.io/other/thing:1.2.3"), "Debian:12", "curl", "7.88"), true, true},
		"an object that no file names":         {&fact.Finding{Kind: fact.Misconfiguration, Rule: "x", Asset: fact.Asset{Kind: fact.AssetKubernetes, Key: "prod/Deployment/thing"}}, false, false},
		"a pod of one that the chart may name": {&fact.Finding{Kind: fact.Misconfiguration, Rule: "x", Asset: fact.Asset{Kind: fact.AssetKubernetes, Key: "prod/Pod/tiny-redis-7d9f8c4d5-x7k2p"}}, false, true},
	} {
		tree := code.Files{
			"charts/tiny/Chart.yaml":                []byte("apiVersion: v2\nname: tiny\nversion: 0.1.0\nappVersion: \"7.1.0\"\n"),
			"charts/tiny/values.yaml":               []byte("name: redis\nvariant: alpine\n"),
			"charts/tiny/templates/deployment.yaml": []byte("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: {{ .Chart.Name }}-{{ .Values.name }}\nspec:\n  template:\n    spec:\n      containers:\n        - name: x\n          image: acme/{{ .Chart.Name }}-{{ .Values.name }}:v{{ .Chart.AppVersion }}-{{ .Values.variant }}\n"),
		}
		if c.packed {
			tree["charts/tiny/charts/sub-1.0.0.tgz"] = []byte("x")
		}
		renderer := &counting{}
		trace(t, running(t, tree, cause.Running{Renderer: renderer}), tree, *c.finding)
		if got := renderer.opened > 0; got != c.renders {
			t.Errorf("%s: rendered %d times", name, renderer.opened)
		}
	}
}

// known makes a graph that holds what fill gives it.
func known(t *testing.T, fill func(run *graph.Run) error) *graph.Graph {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	g := graph.Open(db)
	run, err := g.Begin(t.Context(), "test", time.UnixMicro(1_700_000_000_000_000), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := fill(run); err != nil {
		t.Fatal(err)
	}
	if err := run.Covered("all"); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestTheHistoryOfAnImageInTheGraphDecidesBetweenLines(t *testing.T) {
	t.Parallel()
	asset := fact.Asset{Kind: fact.AssetImage, Key: "sha256:" + strings.Repeat("a", 64), Name: "registry.internal/x:9"}
	config, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"diff_ids": []string{"sha256:1", "sha256:2", "sha256:3", "sha256:4"}},
		"history": []map[string]any{
			{"created_by": "/bin/sh -c #(nop) ADD file:770e381defc5e4a0ba5df52265a96494b9f5d94309234cb3f7bc6b00e1d18f9a in / "},
			{"created_by": "/bin/sh -c #(nop)  CMD [\"bash\"]", "empty_layer": true},
			{"created_by": "RUN |1 DEBIAN=12 /bin/sh -c apt-get update && apt-get install -y curl=7.88 && rm -rf /var/lib/apt/lists/* # buildkit", "comment": "buildkit.dockerfile.v0"},
			{"created_by": "COPY package.json package-lock.json /app/ # buildkit", "comment": "buildkit.dockerfile.v0"},
			{"created_by": "RUN |1 DEBIAN=12 /bin/sh -c npm ci --omit=dev --prefix /app # buildkit", "comment": "buildkit.dockerfile.v0"},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	one, err := image.FromConfig(asset, config)
	if err != nil {
		t.Fatal(err)
	}
	g := known(t, func(run *graph.Run) error {
		nodes, relations := image.Facts(asset, one)
		for _, node := range nodes {
			if err := run.Node("all", node); err != nil {
				return err
			}
		}
		for _, relation := range relations {
			if err := run.Relation("all", relation); err != nil {
				return err
			}
		}
		return nil
	})
	tree := fleet()
	tracer := running(t, tree, cause.Running{Graph: g})
	for layer, want := range map[string]string{"sha256:1": "found shop/Dockerfile:1 shop/Dockerfile:2", "sha256:2": "found shop/Dockerfile:3", "sha256:4": "found shop/Dockerfile:5", "sha256:9": "unknown ", "": "unknown "} {
		f := flawIn(asset, "Debian:12", "zlib1g", "1.2")
		f.Attributes = map[string]string{"layer_diff_id": layer}
		found := trace(t, tracer, tree, *f)
		if got := places(found); got != want {
			t.Errorf("layer %q: %s, want %s\n%+v", layer, got, want, found)
		}
	}
}

func TestAHistorySpeaksAgainstABuildOfTheSameName(t *testing.T) {
	t.Parallel()
	tree := code.Files{"proxy/Dockerfile": []byte("FROM alpine:3.19\nRUN apk add --no-cache haproxy\nCOPY haproxy.cfg /etc/haproxy/\nRUN adduser -D proxy\n")}
	asset := fact.Asset{Kind: fact.AssetImage, Key: "sha256:" + strings.Repeat("b", 64), Name: "example.com/vendor/proxy:3"}
	with := func(commands ...string) cause.Running {
		history, ids := []map[string]any{}, []string{}
		for i, command := range commands {
			history = append(history, map[string]any{"created_by": command + " # buildkit", "comment": "buildkit.dockerfile.v0"})
			ids = append(ids, "sha256:"+string(rune('1'+i)))
		}
		config, err := json.Marshal(map[string]any{"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"diff_ids": ids}, "history": history})
		if err != nil {
			t.Fatal(err)
		}
		one, err := image.FromConfig(asset, config)
		if err != nil {
			t.Fatal(err)
		}
		return cause.Running{Graph: known(t, func(run *graph.Run) error {
			nodes, _ := image.Facts(asset, one)
			return run.Node("all", nodes[0])
		})}
	}
	for name, c := range map[string]struct {
		known cause.Running
		want  string
	}{
		"another maker's":    {with("ADD rootfs.tar / ", "RUN /bin/sh -c curl -fsSL https://example.com/x | tar xz", "COPY /build/proxy /usr/bin/proxy", "RUN /bin/sh -c mkdir /data"), "unknown "},
		"its own, but older": {with("ADD rootfs.tar / ", "RUN /bin/sh -c apk add --no-cache haproxy", "COPY haproxy.cfg /etc/haproxy/"), "ambiguous proxy/Dockerfile:1 proxy/Dockerfile:2"},
		"nothing is known":   {cause.Running{}, "ambiguous proxy/Dockerfile:1 proxy/Dockerfile:2"},
	} {
		found := trace(t, running(t, tree, c.known), tree, *flawIn(asset, "Alpine:v3.19", "musl", "1.2"))
		if got := places(found); got != c.want {
			t.Errorf("%s: %s, want %s\n%+v", name, got, c.want, found)
		}
	}
}

func TestTheStateLeadsACloudResourceToItsAddress(t *testing.T) {
	t.Parallel()
	own := fact.Asset{Kind: fact.AssetResource, Key: "arn:aws:s3:::random-suffix-1", Name: "logs"}
	other := fact.Asset{Kind: fact.AssetResource, Key: "arn:aws:s3:::of-another", Name: "other"}
	stray := fact.Asset{Kind: fact.AssetResource, Key: "arn:aws:s3:::random-suffix-2", Name: "stray"}
	removed := fact.Asset{Kind: fact.AssetResource, Key: "arn:aws:kms:eu-west-1:1:key/1", Name: "removed"}
	alike := fact.Asset{Kind: fact.AssetResource, Key: "arn:aws:iam::123456789012:role/deployer", Name: "deployer"}
	g := known(t, func(run *graph.Run) error {
		declared := func(from fact.Asset, key string) error {
			return run.Relation("all", fact.Relation{
				From: from, Kind: fact.DeclaredBy, To: fact.Asset{Kind: fact.AssetTerraform, Key: key, Name: key},
				Evidence: fact.Evidence{Method: "terraform state", Source: "terraform.tfstate", Strength: fact.Attested},
			})
		}
		if err := declared(own, "github.com/acme/fleet//infra:module.logs.aws_s3_bucket.this"); err != nil {
			return err
		}
		if err := declared(stray, "github.com/acme/fleet//:module.logs.aws_s3_bucket.this"); err != nil {
			return err
		}
		if err := declared(removed, "github.com/acme/fleet//legacy:aws_iam_role.ci"); err != nil {
			return err
		}
		if err := declared(alike, "//infra:aws_iam_role.ci"); err != nil {
			return err
		}
		return declared(other, "github.com/acme/other//.:aws_s3_bucket.b")
	})
	tree := fleet()
	tracer := running(t, tree, cause.Running{Graph: g})
	lead := func(asset fact.Asset, field string) fact.Cause {
		f := &fact.Finding{Kind: fact.Misconfiguration, Rule: "x", Asset: asset}
		if field != "" {
			f.Attributes = map[string]string{"field": field}
		}
		return trace(t, tracer, tree, *f)
	}
	found := lead(own, "")
	if got := places(found); got != "found infra/bucket/main.tf:3" {
		t.Errorf("%s\n%+v", got, found)
	}
	if !slices.ContainsFunc(found.Chain, func(l fact.Link) bool {
		return l.Evidence.Source == "terraform.tfstate" && l.Evidence.Strength == fact.Attested
	}) {
		t.Errorf("the chain does not hold the state's word: %+v", found.Chain)
	}
	if got := places(lead(own, "bucket")); got != "found infra/main.tf:3" {
		t.Errorf("the literal behind the attribute: %s", got)
	}
	if got := places(lead(own, "acl")); got != "found infra/bucket/main.tf:3" {
		t.Errorf("an attribute that a data source gives: %s", got)
	}
	if got := places(lead(stray, "")); got != "found infra/bucket/main.tf:3" {
		t.Errorf("a state that lies elsewhere: %s", got)
	}
	if got := places(lead(removed, "")); got != "unknown " {
		t.Errorf("a resource that its own folder declares no more, and another one by the same address: %s", got)
	}
	if got := places(lead(alike, "")); got != "unknown " {
		t.Errorf("a state that names no repository, whose resource is called otherwise here: %s", got)
	}
	if found := lead(other, ""); found.Status != fact.CauseUnknown || !strings.Contains(strings.Join(found.Missing, " "), "github.com/acme/other//.:aws_s3_bucket.b") {
		t.Errorf("a resource of another repository: %+v", found)
	}
}

func TestAReportedAttributeLeadsToTheLiteralThatDecidesIt(t *testing.T) {
	t.Parallel()
	tree := code.Files{}
	for name, text := range map[string]string{
		"main.tf":          "module \"a\" {\n  source = \"./m\"\n  open   = var.open\n  size   = 1\n}\nmodule \"b\" {\n  source = \"./m\"\n  open   = var.open\n  size   = 2\n}\nvariable \"open\" {\n  default = true\n}\n",
		"prod.auto.tfvars": "# reviewed\nopen = false\n",
		"m/main.tf":        "variable \"open\" {}\nvariable \"size\" {}\ndata \"x_y\" \"z\" {}\nresource \"aws_db_instance\" \"db\" {\n  publicly_accessible = var.open\n  allocated_storage   = var.size\n  engine              = \"mysql\"\n  password            = data.x_y.z.secret\n  restore {\n    from = var.size\n  }\n}\n",
	} {
		tree[name] = []byte(text)
	}
	tracer := running(t, tree, cause.Running{})
	at := func(line, end int, anchor, keys string) *fact.Finding {
		f := &fact.Finding{Kind: fact.Misconfiguration, Rule: "AVD-1", Asset: fact.Asset{Kind: fact.AssetRepository, Key: "x"}, Path: "m/main.tf", Line: line, EndLine: end, Anchor: anchor}
		if keys != "" {
			f.Attributes = map[string]string{"evaluated_keys": keys}
		}
		return f
	}
	for name, c := range map[string]struct {
		finding *fact.Finding
		want    string
	}{
		"one literal for both instances":    {at(5, 5, "", ""), "found prod.auto.tfvars:2"},
		"two instances, two literals":       {at(6, 6, "", ""), "ambiguous main.tf:4 main.tf:9"},
		"the named instance":                {at(6, 6, "module.b.aws_db_instance.db", ""), "found main.tf:9"},
		"in a nested block":                 {at(10, 10, "module.a.aws_db_instance.db", ""), "found main.tf:4"},
		"a literal where it stands":         {at(7, 7, "", ""), "found m/main.tf:7"},
		"a block as a whole stays":          {at(4, 12, "", ""), "found m/main.tf:4"},
		"unless the tool names the key":     {at(4, 12, "module.b.aws_db_instance.db", "publicly_accessible"), "found prod.auto.tfvars:2"},
		"a key of a nested block":           {at(4, 12, "module.b.aws_db_instance.db", "nothing, restore/[0]/from"), "found main.tf:9"},
		"a literal of a key in the block":   {at(4, 12, "", "engine"), "found m/main.tf:7"},
		"several keys, one from elsewhere":  {at(4, 12, "module.b.aws_db_instance.db", "engine, publicly_accessible"), "found prod.auto.tfvars:2 m/main.tf:4"},
		"several keys, all in the block":    {at(4, 12, "module.b.aws_db_instance.db", "engine, engine"), "found m/main.tf:4"},
		"what a data source gives stays":    {at(8, 8, "", ""), "found m/main.tf:8"},
		"a key that is not set stays there": {at(4, 12, "", "absent"), "found m/main.tf:4"},
	} {
		if got := places(trace(t, tracer, tree, *c.finding)); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
	if found := trace(t, tracer, tree, *at(8, 8, "", "")); !strings.Contains(strings.Join(found.Missing, " "), "data.x_y.z") {
		t.Errorf("the data source is not named: %v", found.Missing)
	}
}
