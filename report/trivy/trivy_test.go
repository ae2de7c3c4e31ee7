package trivy

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/report/reporttest"
)

const image = `{
  "SchemaVersion": 2, "CreatedAt": "2026-03-01T10:00:00Z", "ArtifactName": "registry.test/shop:1.2", "ArtifactType": "container_image", "Trivy": {"Version": "0.70.0"},
  "Metadata": {"OS": {"Family": "debian", "Name": "12.5"}, "ImageID": "sha256:aaaa", "RepoDigests": ["registry.test/shop@sha256:bbbb"]},
  "Results": [
    {"Target": "registry.test/shop:1.2 (debian 12.5)", "Class": "os-pkgs", "Type": "debian", "Vulnerabilities": [
      {"VulnerabilityID": "CVE-2024-0001", "VendorIDs": ["DSA-1-1"], "PkgName": "libx", "PkgIdentifier": {"PURL": "pkg:deb/debian/libx@1.0-1?distro=debian-12.5"},
       "InstalledVersion": "1.0-1", "FixedVersion": "1.0-2, 1.1", "Status": "fixed", "Layer": {"DiffID": "sha256:cccc"}, "SeveritySource": "debian",
       "PrimaryURL": "https://advisories.test/1", "Title": "libx: overflow", "Severity": "HIGH", "CweIDs": ["CWE-787"],
       "CVSS": {"nvd": {"V2Score": 5, "V2Vector": "AV:N", "V3Vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", "V3Score": 9.8}}, "References": ["https://example.test/r"]}]},
    {"Target": "app/package-lock.json", "Class": "lang-pkgs", "Type": "npm", "Vulnerabilities": [
      {"VulnerabilityID": "CVE-2024-0002", "PkgName": "@scope/left", "InstalledVersion": "1.0.0", "Severity": "LOW", "Locations": [{"StartLine": 10, "EndLine": 12}, {"StartLine": 30, "EndLine": 31}]}]},
    {"Target": "main.tf", "Class": "config", "Type": "terraform", "Misconfigurations": [
      {"ID": "AVD-1", "AVDID": "AVD-AWS-1", "Title": "open bucket", "Description": "d", "Message": "bucket is open", "Resolution": "close it", "Severity": "CRITICAL", "Status": "FAIL",
       "CauseMetadata": {"Resource": "aws_s3_bucket.a", "Provider": "AWS", "StartLine": 3, "EndLine": 5}},
      {"ID": "AVD-2", "Title": "fine", "Severity": "LOW", "Status": "PASS"},
      {"ID": "AVD-3", "Title": "excepted", "Severity": "LOW", "Status": "EXCEPTION"}]},
    {"Target": "/app/.env", "Class": "secret", "Secrets": [{"RuleID": "some-key", "Category": "AWS", "Severity": "CRITICAL", "Title": "Some key", "StartLine": 2, "EndLine": 2, "Match": "KEY=****"}]}
  ]}`

const legacy = `[{"Target": "alpine:3.9 (alpine 3.9.4)", "Type": "alpine", "Vulnerabilities": [{"VulnerabilityID": "CVE-2019-1", "PkgName": "musl", "InstalledVersion": "1.1", "FixedVersion": "1.2", "Severity": "MEDIUM"}]},
 {"Target": "x", "Vulnerabilities": null}]`

const cluster = `{"ClusterName": "test", "Resources": [{"Namespace": "default", "Kind": "Deployment", "Name": "web", "Results": [
 {"Target": "Deployment/web", "Class": "config", "Type": "kubernetes", "Misconfigurations": [{"ID": "KSV001", "Title": "escalation", "Severity": "MEDIUM", "Status": "FAIL"}]}]}]}`

func TestConformance(t *testing.T) { reporttest.Conformance(t, New(), image, legacy, cluster) }

func FuzzRead(f *testing.F) { reporttest.Fuzz(f, New(), image, legacy, cluster) }

func TestReadsWhatTrivySaysOfAnImage(t *testing.T) {
	facts := reporttest.Read(t, New(), image)
	asset := fact.Asset{Kind: fact.AssetImage, Key: "sha256:bbbb", Name: "registry.test/shop:1.2"}
	if len(facts.Findings) != 5 {
		t.Fatalf("%d findings, want 5 (a passed check is none)", len(facts.Findings))
	}
	for i := range facts.Findings {
		if facts.Findings[i].Asset != asset {
			t.Errorf("finding %d is of %+v, want %+v", i, facts.Findings[i].Asset, asset)
		}
		facts.Findings[i].Asset, facts.Findings[i].Position = fact.Asset{}, fact.Position{}
	}
	want := fact.Finding{
		Kind: fact.Vulnerability, Rule: "CVE-2024-0001", Aliases: []string{"DSA-1-1"}, Title: "libx: overflow",
		Severity: fact.SeverityHigh, SeverityText: "HIGH", Score: 9.8, Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H", CWE: []int{787},
		References:    []string{"https://advisories.test/1", "https://example.test/r"},
		Package:       fact.Package{Ecosystem: "Debian:12", Name: "libx", Version: "1.0-1", PURL: "pkg:deb/debian/libx@1.0-1?distro=debian-12.5"},
		FixedVersions: []string{"1.0-2", "1.1"}, Path: "registry.test/shop:1.2 (debian 12.5)",
		Attributes: map[string]string{"status": "fixed", "layer_diff_id": "sha256:cccc"},
	}
	if diff := cmp.Diff(want, facts.Findings[0]); diff != "" {
		t.Errorf("vulnerability of a system package (-want +got):\n%s", diff)
	}
	if f := facts.Findings[1]; f.Path != "app/package-lock.json" || f.Line != 10 || f.EndLine != 12 || f.Package.PURL != "pkg:npm/%40scope/left@1.0.0" {
		t.Errorf("vulnerability of a lockfile: %+v", f)
	}
	if f := facts.Findings[2]; f.Kind != fact.Misconfiguration || f.Anchor != "aws_s3_bucket.a" || f.Line != 3 || f.Severity != fact.SeverityCritical {
		t.Errorf("misconfiguration: %+v", f)
	}
	if f := facts.Findings[3]; f.Analysis.State != fact.AnalysisAcceptedRisk {
		t.Errorf("an exception is %+v, want an accepted risk", f.Analysis)
	}
	if f := facts.Findings[4]; f.Kind != fact.Secret || f.Rule != "some-key" || f.Line != 2 {
		t.Errorf("secret: %+v", f)
	}
	if run := facts.Runs[0]; !run.Complete || run.ToolVersion != "0.70.0" || run.Started != 1772359200000000 {
		t.Errorf("run: %+v", run)
	}
}

func TestReadsTheArrayBeforeSchemaVersion2(t *testing.T) {
	facts := reporttest.Read(t, New(), legacy)
	if len(facts.Findings) != 1 || facts.Findings[0].Package.Name != "musl" {
		t.Fatalf("findings: %+v", facts.Findings)
	}
}

func TestNamesTheObjectOfACluster(t *testing.T) {
	facts := reporttest.Read(t, New(), cluster)
	if len(facts.Findings) != 1 || facts.Findings[0].Asset.Key != "default/Deployment/web" {
		t.Fatalf("findings: %+v", facts.Findings)
	}
}

func TestAnAdvisoryReadsTheSameWhereverItRepeats(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(3, 4))
	member := func(key string, values ...string) string {
		return `"` + key + `": ` + values[random.IntN(len(values))]
	}
	item := func() string {
		members := []string{
			member("VulnerabilityID", `"CVE-1"`, `"CVE-2"`), member("PkgName", `"a"`), member("InstalledVersion", `"1"`),
			member("Title", `"t"`, `"t"`, `"\u0074"`), member("Description", `"d"`, `"d"`, `"e"`), member("Severity", `"HIGH"`, `"LOW"`),
			member("References", `["r"]`, `["r"]`, `[ "r" ]`, `["s"]`, `null`), member("CVSS", `{"nvd": {"V3Score": 5, "V3Vector": "x"}}`, `{}`),
			member("VendorIDs", `["V-1"]`, `["V-1"]`, `[]`), member("DataSource", `{"ID": "x"}`, `7`),
		}
		if random.IntN(4) == 0 { // in another order
			random.Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })
		}
		if random.IntN(4) == 0 { // one is absent
			at := 1 + random.IntN(len(members)-1)
			members = append(members[:at], members[at+1:]...)
		}
		if random.IntN(6) == 0 { // one stands there twice
			members = append(members, members[random.IntN(len(members))])
		}
		return "{" + strings.Join(members, ", ") + "}"
	}
	const around = `{"SchemaVersion": 2, "ArtifactName": "a", "Results": [{"Target": "t", "Type": "npm", "Vulnerabilities": [%s]}]}`
	for round := range 200 {
		var items []string
		for range 1 + random.IntN(12) {
			items = append(items, item())
		}
		read := func(items string) *reporttest.Facts {
			var facts reporttest.Facts
			err := New().Read(t.Context(), strings.NewReader(fmt.Sprintf(around, items)), &facts)
			if err != nil && !errors.Is(err, report.ErrRepeated) {
				t.Fatalf("round %d: %v", round, err)
			}
			return &facts
		}
		together := read(strings.Join(items, ",\n"))
		if len(together.Findings) != len(items) {
			t.Fatalf("round %d: %d findings of %d items", round, len(together.Findings), len(items))
		}
		for i, one := range items {
			alone := read(one).Findings[0]
			got := together.Findings[i]
			got.Position, alone.Position = fact.Position{}, fact.Position{}
			if diff := cmp.Diff(alone, got); diff != "" {
				t.Fatalf("round %d, item %d of\n%s\n%s", round, i, strings.Join(items, "\n"), diff)
			}
		}
	}
}

func TestAPackageURLOfADistributionKeepsTheEcosystemOfTheImage(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), `{"Results":[{"Vulnerabilities":[{"VulnerabilityID":"CVE-2021-1","PkgName":"openssl-libs","InstalledVersion":"1.1.1k-4.el8",
	 "PkgIdentifier":{"PURL":"pkg:rpm/alma/openssl-libs@1.1.1k-4.el8?distro=alma-8.5"}}],"Type":"alma","Class":"os-pkgs","Target":"shop (alma 8.5)"}],
	 "Metadata":{"OS":{"Family":"alma","Name":"8.5"}},"ArtifactType":"container_image","ArtifactName":"shop","SchemaVersion":2}`)
	if len(facts.Findings) != 1 || facts.Findings[0].Package.Ecosystem != "AlmaLinux:8" || facts.Findings[0].Path != "shop (alma 8.5)" {
		t.Errorf("findings = %+v", facts.Findings)
	}
}

func TestTheFolderThatWasScannedIsTold(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		".": "", "./": "", "infra/live": "infra/live", `.\\infra`: "infra", "/src": "", "../x": "", "https://example.test/a/b": "", "C:/src": "",
	} {
		for _, text := range []string{
			`{"SchemaVersion":2,"ArtifactName":"` + name + `","ArtifactType":"filesystem","Results":[{"Target":"a","Class":"lang-pkgs","Type":"npm","Vulnerabilities":[{"VulnerabilityID":"CVE-1-1","PkgName":"a","InstalledVersion":"1"}]}]}`,
			`{"ArtifactName":"` + name + `","ArtifactType":"filesystem","Results":[{"Class":"lang-pkgs","Type":"npm","Vulnerabilities":[{"VulnerabilityID":"CVE-1-1","PkgName":"a","InstalledVersion":"1"}],"Target":"a"}],"SchemaVersion":2}`,
		} {
			facts := reporttest.Read(t, New(), text)
			if len(facts.Findings) != 1 || facts.Findings[0].Attributes["scanned"] != want || facts.Findings[0].Path != "a" {
				t.Errorf("%s: %+v, want scanned %q", name, facts.Findings, want)
			}
		}
	}
}
