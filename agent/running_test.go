package agent_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/issue"
)

const (
	scannedImage = `{"SchemaVersion": 2, "ArtifactName": "registry.internal/acme/shop:1", "ArtifactType": "container_image",
"Metadata": {"OS": {"Family": "debian", "Name": "12.4"}, "ImageID": "sha256:` + "1111111111111111111111111111111111111111111111111111111111111111" + `",
"ImageConfig": {"architecture": "amd64", "os": "linux", "history": [
 {"created_by": "/bin/sh -c #(nop) ADD file:770e381defc5e4a0ba5df52265a96494b9f5d94309234cb3f7bc6b00e1d18f9a in / "},
 {"created_by": "RUN /bin/sh -c apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/* # buildkit", "comment": "buildkit.dockerfile.v0"},
 {"created_by": "COPY app /srv # buildkit", "comment": "buildkit.dockerfile.v0"},
 {"created_by": "RUN /bin/sh -c make -C /srv install # buildkit", "comment": "buildkit.dockerfile.v0"}],
 "rootfs": {"type": "layers", "diff_ids": ["sha256:a1", "sha256:a2", "sha256:a3", "sha256:a4"]}}},
"Results": [{"Target": "registry.internal/acme/shop:1 (debian 12.4)", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": [
 {"VulnerabilityID": "CVE-2026-10", "PkgName": "libnghttp2-14", "InstalledVersion": "1.52", "Severity": "HIGH", "Layer": {"DiffID": "sha256:a2"}},
 {"VulnerabilityID": "CVE-2026-11", "PkgName": "zlib1g", "InstalledVersion": "1.2.13", "Severity": "HIGH", "Layer": {"DiffID": "sha256:a1"}}]}]}`

	shopDockerfile = "FROM debian:12\nRUN apt-get update && apt-get install -y curl && rm -rf /var/lib/apt/lists/*\nCOPY app /srv\nRUN make -C /srv install\n"
	decoy          = "FROM alpine:3.19\nCOPY mail /srv\nRUN adduser -D mail\nRUN apk add --no-cache postfix\n"

	bucketState = `{"version": 4, "terraform_version": "1.9.0", "serial": 1, "lineage": "x", "outputs": {}, "resources": [{"mode": "managed", "type": "aws_s3_bucket", "name": "logs",
"provider": "provider[\"registry.terraform.io/hashicorp/aws\"]", "instances": [{"schema_version": 0, "attributes": {"arn": "arn:aws:s3:::acme-logs-7f3a", "id": "acme-logs-7f3a", "bucket": "acme-logs-7f3a"}}]}]}`
	securityHub = `{"Findings": [{"SchemaVersion": "2018-10-08", "Id": "arn:aws:securityhub:eu-west-1:123456789012:finding/1", "ProductArn": "arn:aws:securityhub:eu-west-1::product/aws/securityhub",
"GeneratorId": "S3.8", "AwsAccountId": "123456789012", "CreatedAt": "2026-01-01T00:00:00Z", "UpdatedAt": "2026-01-01T00:00:00Z", "Severity": {"Label": "HIGH"}, "Title": "S3 buckets should block public access",
"Description": "It does not.", "Resources": [{"Type": "AwsS3Bucket", "Id": "arn:aws:s3:::acme-logs-7f3a", "Region": "eu-west-1"}], "Compliance": {"Status": "FAILED"}, "Workflow": {"Status": "NEW"}, "RecordState": "ACTIVE"}]}`
)

// held makes a repository of files with a remote, and gives its folder.
func held(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	run(t, dir, "init", "-q", "-b", "main")
	run(t, dir, "remote", "add", "origin", "https://example.com/acme/shop.git")
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	run(t, dir, "add", ".")
	run(t, dir, "commit", "-q", "-m", "first")
	return dir
}

func written(t *testing.T, name, text string) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

// line gives where the issue of a rule has its cause.
func line(t *testing.T, result agent.Triage, rule string) (issue.Issue, string) {
	t.Helper()
	for _, it := range result.Issues {
		if it.Rule == rule {
			text := string(it.Cause.Status)
			for _, l := range it.Cause.Locations {
				text += fmt.Sprintf(" %s:%d", l.Path, l.Line)
			}
			return it, text
		}
	}
	t.Fatalf("no issue of %s", rule)
	return issue.Issue{}, ""
}

func TestAScannedImageLeadsThroughItsLayersToTheDockerfile(t *testing.T) {
	t.Parallel()
	later := 0
	_, desk := build(t, &later)
	repo := held(t, map[string]string{"build/shop.Dockerfile": shopDockerfile, "mail/Dockerfile": decoy})
	report := written(t, "trivy.json", scannedImage)
	result := triage(t, desk, agent.Request{Repo: repo, Reports: []string{report}})
	for rule, want := range map[string]string{"CVE-2026-10": "found build/shop.Dockerfile:2", "CVE-2026-11": "found build/shop.Dockerfile:1"} {
		if it, got := line(t, result, rule); got != want {
			t.Errorf("%s: %s, want %s\n%+v", rule, got, want, it.Cause)
		}
	}
	if it, _ := line(t, result, "CVE-2026-10"); len(it.Owners) == 0 {
		t.Error("nobody owns the line of the Dockerfile")
	}
	again := triage(t, desk, agent.Request{Repo: repo, Reports: []string{report}})
	if string(document(t, again.Issues)) != string(document(t, result.Issues)) {
		t.Error("the same report gives another answer the second time")
	}
}

func TestAnImageThatHasALockfilesPackagesIsBuiltWithIt(t *testing.T) {
	t.Parallel()
	later := 0
	_, desk := build(t, &later)
	repo := held(t, map[string]string{
		"package.json":      "{\n  \"dependencies\": {\n    \"qs\": \"6.1.0\",\n    \"ms\": \"1.0.0\",\n    \"ini\": \"1.3.0\"\n  }\n}\n",
		"package-lock.json": `{"lockfileVersion": 3, "packages": {"": {"dependencies": {"qs": "6.1.0", "ms": "1.0.0", "ini": "1.3.0"}}, "node_modules/qs": {"version": "6.1.0"}, "node_modules/ms": {"version": "1.0.0"}, "node_modules/ini": {"version": "1.3.0"}}}`,
	})
	for name, c := range map[string]struct{ packages, want string }{
		"one":   {"qs 6.1.0", "unknown"},
		"three": {"qs 6.1.0,ms 1.0.0,ini 1.3.0", "found package.json:3"},
	} {
		var flaws []string
		for _, one := range strings.Split(c.packages, ",") {
			pkg, version, _ := strings.Cut(one, " ")
			flaws = append(flaws, fmt.Sprintf(`{"VulnerabilityID": "CVE-2026-%s", "PkgName": %q, "PkgPath": "srv/node_modules/%s/package.json", "InstalledVersion": %q, "Severity": "HIGH"}`, pkg, pkg, pkg, version))
		}
		report := written(t, "trivy.json", fmt.Sprintf(`{"SchemaVersion": 2, "ArtifactName": "local:%s", "ArtifactType": "container_image", "Metadata": {"ImageID": "sha256:%s"},
"Results": [{"Target": "Node.js", "Class": "lang-pkgs", "Type": "node-pkg", "Vulnerabilities": [%s]}]}`, name, strings.Repeat(fmt.Sprint(len(flaws)), 64), strings.Join(flaws, ",")))
		if it, got := line(t, triage(t, desk, agent.Request{Repo: repo, Reports: []string{report}}), "CVE-2026-qs"); got != c.want {
			t.Errorf("%s: %s, want %s\n%+v", name, got, c.want, it.Cause)
		}
	}
}

func TestACloudFindingLeadsThroughTheStateToTheBlock(t *testing.T) {
	t.Parallel()
	later := 0
	_, desk := build(t, &later)
	repo := held(t, map[string]string{"infra/main.tf": "variable \"region\" {\n  default = \"eu-west-1\"\n}\n\nresource \"aws_s3_bucket\" \"logs\" {\n  bucket_prefix = \"acme-logs-\"\n}\n"})
	hub := written(t, "hub.json", securityHub)
	result := triage(t, desk, agent.Request{Repo: repo, Reports: []string{hub}})
	it, got := line(t, result, "S3.8")
	if got != "unknown" || len(it.Cause.Missing) == 0 {
		t.Errorf("without a state: %s %v", got, it.Cause.Missing)
	}
	state := written(t, "terraform.tfstate", bucketState)
	source := app.Source{Name: "state", Type: "terraformstate", Settings: map[string]string{"path": state, "repository": "example.com/acme/shop", "root": "infra"}}
	if synced, err := desk.SyncSource(t.Context(), source); err != nil || !synced.Complete {
		t.Fatalf("%+v, %v", synced, err)
	}
	result = triage(t, desk, agent.Request{Repo: repo, Reports: []string{hub}})
	it, got = line(t, result, "S3.8")
	if got != "found infra/main.tf:5" {
		t.Errorf("with its state: %s\n%+v", got, it.Cause)
	}
	if it.Kind != fact.Misconfiguration || len(it.Owners) == 0 {
		t.Errorf("kind %s, owners %v", it.Kind, it.Owners)
	}
}

const liveCluster = `{"apiVersion": "v1", "kind": "List", "items": [
{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "shop", "namespace": "prod"}, "spec": {"selector": {"matchLabels": {"app": "shop"}}, "template": {"metadata": {"labels": {"app": "shop"}},
 "spec": {"containers": [{"name": "shop", "image": "registry.internal/acme/shop:1"}]}}}},
{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "shop", "namespace": "prod"}, "spec": {"type": "LoadBalancer", "selector": {"app": "shop"}, "ports": [{"port": 443}]}, "status": {"loadBalancer": {"ingress": [{"ip": "203.0.113.7"}]}}}]}`

func TestWhatTheInternetReachesLeadsToTheRepositoryAndRaisesTheRisk(t *testing.T) {
	t.Parallel()
	later := 0
	_, desk := build(t, &later)
	repo := held(t, map[string]string{
		"build/Dockerfile":    shopDockerfile,
		"docker-compose.yaml": "services:\n  shop:\n    build: build\n    image: registry.internal/acme/shop\n",
		"deploy/shop.yaml":    "apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: shop\n  namespace: prod\nspec:\n  template:\n    spec:\n      containers:\n        - name: shop\n          image: registry.internal/acme/shop:1\n",
	})
	report := written(t, "trivy.json", strings.Replace(scannedImage, `"ImageConfig"`, `"Unread"`, 1))
	before, _ := line(t, triage(t, desk, agent.Request{Repo: repo, Reports: []string{report}}), "CVE-2026-10")
	source := app.Source{Name: "prod", Type: "kubernetes", Settings: map[string]string{"path": written(t, "live.json", liveCluster), "cluster": "prod"}}
	if synced, err := desk.SyncSource(t.Context(), source); err != nil {
		t.Fatalf("%+v, %v", synced, err)
	}
	after, where := line(t, triage(t, desk, agent.Request{Repo: repo, Reports: []string{report}}), "CVE-2026-10")
	if where != "ambiguous build/Dockerfile:1 build/Dockerfile:2" {
		t.Errorf("the cause is %s", where)
	}
	exposed := slices.ContainsFunc(after.RiskTerms, func(term issue.Term) bool { return term.Name == "exposure" && term.Effect > 0 })
	if after.Risk <= before.Risk || !exposed {
		t.Errorf("risk %.1f before and %.1f after it is known to be reached: %+v", before.Risk, after.Risk, after.RiskTerms)
	}
	ways, err := desk.Graph().Paths(t.Context(), fact.Asset{Kind: fact.AssetInternet, Key: "internet"}, fact.Asset{Kind: fact.AssetRepository, Key: "example.com/acme/shop"}, graph.PathOptions{})
	if err != nil || len(ways.Paths) == 0 {
		t.Fatalf("no way from the internet to the repository: %+v, %v", ways, err)
	}
}
