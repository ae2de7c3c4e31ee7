package grype

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report/reporttest"
)

const sample = `{
 "matches": [{
   "vulnerability": {"id": "GHSA-aaaa-bbbb-cccc", "dataSource": "https://advisories.test/1", "namespace": "github:language:go", "severity": "High", "urls": ["https://example.test/r"],
     "description": "bad", "cvss": [{"version": "2.0", "vector": "AV:N", "metrics": {"baseScore": 5}}, {"version": "3.1", "vector": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", "metrics": {"baseScore": 7.5}}],
     "epss": [{"cve": "CVE-2024-1", "epss": 0.25, "percentile": 0.9}], "knownExploited": [{"cve": "CVE-2024-1"}], "cwes": [{"cve": "CVE-2024-1", "cwe": "CWE-22"}], "fix": {"versions": ["1.2.4"], "state": "fixed"}},
   "relatedVulnerabilities": [{"id": "CVE-2024-1", "description": "worse"}],
   "matchDetails": [{"type": "exact-direct-match"}],
   "artifact": {"name": "example.test/mod", "version": "v1.2.3", "type": "go-module", "locations": [{"path": "/app", "layerID": "sha256:aa"}], "purl": "pkg:golang/example.test/mod@v1.2.3"}},
  {"vulnerability": {"id": "CVE-2024-2", "severity": "Negligible", "namespace": "debian:distro:debian:12", "fix": {"versions": [], "state": "wont-fix"}},
   "artifact": {"name": "libx", "version": "1.0-1", "type": "deb", "locations": [{"path": "/var/lib/dpkg/status"}], "purl": ""}}],
 "ignoredMatches": [{"vulnerability": {"id": "CVE-2024-3", "severity": "Low"}, "artifact": {"name": "b", "version": "1", "type": "npm"}, "appliedIgnoreRules": []}],
 "source": {"type": "image", "target": {"userInput": "shop:1", "imageID": "sha256:bb", "manifestDigest": "sha256:cc", "repoDigests": []}},
 "distro": {"name": "debian", "version": "12"},
 "descriptor": {"name": "grype", "version": "0.100.0", "db": {"built": "2026-01-01T00:00:00Z"}}}`

func TestConformance(t *testing.T) {
	reporttest.Conformance(t, New(), sample, `{"matches":[],"source":{"type":"directory","target":"."},"descriptor":{"name":"grype"}}`)
}

func FuzzRead(f *testing.F) { reporttest.Fuzz(f, New(), sample) }

func TestReadsMatches(t *testing.T) {
	facts := reporttest.Read(t, New(), sample)
	if len(facts.Findings) != 3 {
		t.Fatalf("%d findings, want 3", len(facts.Findings))
	}
	asset := fact.Asset{Kind: fact.AssetImage, Key: "sha256:bb", Name: "shop:1"}
	got := facts.Findings[0]
	got.Position = fact.Position{}
	want := fact.Finding{
		Kind: fact.Vulnerability, Rule: "GHSA-aaaa-bbbb-cccc", Aliases: []string{"CVE-2024-1"}, Title: "GHSA-aaaa-bbbb-cccc in example.test/mod:v1.2.3", Description: "bad",
		Severity: fact.SeverityHigh, SeverityText: "High", Score: 7.5, Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", CWE: []int{22}, EPSS: .25,
		References: []string{"https://advisories.test/1", "https://example.test/r"}, Asset: asset,
		Package:       fact.Package{Ecosystem: "Go", Name: "example.test/mod", Version: "v1.2.3", PURL: "pkg:golang/example.test/mod@v1.2.3"},
		FixedVersions: []string{"1.2.4"}, Path: "/app", Attributes: map[string]string{"exploited": "true", "fix_state": "fixed", "layer_diff_id": "sha256:aa"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("match (-want +got):\n%s", diff)
	}
	if f := facts.Findings[1]; f.Package.Ecosystem != "Debian:12" || f.Severity != fact.SeverityInfo || len(f.FixedVersions) != 0 {
		t.Errorf("match of a system package: %+v", f)
	}
	if f := facts.Findings[2]; f.Analysis.State != fact.AnalysisAcceptedRisk {
		t.Errorf("an ignored match is %+v, want an accepted risk", f.Analysis)
	}
	if run := facts.Runs[0]; run.Target != "shop:1" || run.Rules != "2026-01-01T00:00:00Z" || run.ToolVersion != "0.100.0" {
		t.Errorf("run: %+v", run)
	}
}

func TestTheFolderThatWasScannedIsTold(t *testing.T) {
	for target, want := range map[string]string{"web": "web", ".": "", "/src/web": ""} {
		facts := reporttest.Read(t, New(), `{"matches":[{"vulnerability":{"id":"CVE-1-1"},"artifact":{"name":"a","version":"1","type":"npm","locations":[{"path":"/package-lock.json"}]}}],"source":{"type":"directory","target":"`+target+`"},"descriptor":{"name":"grype"}}`)
		if len(facts.Findings) != 1 || facts.Findings[0].Attributes["scanned"] != want {
			t.Errorf("%s: %+v, want scanned %q", target, facts.Findings, want)
		}
	}
}

func TestTheBeginningOfALargeReportIsKnown(t *testing.T) {
	t.Parallel()
	for _, head := range []string{
		`{"ignoredMatches":[{"vulnerability":{"id":"CVE-1-1"},"artifact":{"name":"a"}},{"vulnerability":{"description":"cut `,
	} {
		if score := New().Detect([]byte(head)); score < 60 {
			t.Errorf("Detect = %d for %s", score, head)
		}
	}
}
