package osvscanner

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report/reporttest"
)

const sample = `{"results": [{"source": {"path": "/src/go.mod", "type": "lockfile"}, "packages": [
 {"package": {"name": "example.test/mod", "version": "1.2.3", "ecosystem": "Go"},
  "vulnerabilities": [{"id": "GO-2024-1", "aliases": ["CVE-2024-1", "GHSA-aaaa-bbbb-cccc"], "summary": "bad", "details": "very",
    "severity": [{"type": "CVSS_V3", "score": "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N"}], "database_specific": {"severity": "HIGH", "cwe_ids": ["CWE-22"]},
    "references": [{"type": "WEB", "url": "https://example.test/r"}],
    "affected": [{"package": {"name": "example.test/mod", "ecosystem": "Go"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "1.2.4"}]}]},
                 {"package": {"name": "example.test/other", "ecosystem": "Go"}, "ranges": [{"type": "SEMVER", "events": [{"introduced": "0"}, {"fixed": "9.9.9"}]}]}]},
   {"id": "GO-2024-2"}],
  "groups": [{"ids": ["GO-2024-1"], "max_severity": "7.5"}, {"ids": ["GO-2024-2"], "max_severity": ""}]}]}],
 "experimental_config": {"licenses": {"summary": false}}}`

func TestConformance(t *testing.T) { reporttest.Conformance(t, New(), sample) }

func FuzzRead(f *testing.F) { reporttest.Fuzz(f, New(), sample) }

func TestGivesAFindingAVulnerabilityOfAPackage(t *testing.T) {
	facts := reporttest.Read(t, New(), sample)
	if len(facts.Findings) != 2 {
		t.Fatalf("%d findings, want 2", len(facts.Findings))
	}
	got := facts.Findings[0]
	got.Position = fact.Position{}
	want := fact.Finding{
		Kind: fact.Vulnerability, Rule: "GO-2024-1", Aliases: []string{"CVE-2024-1", "GHSA-aaaa-bbbb-cccc"}, Title: "bad", Description: "very",
		Severity: fact.SeverityHigh, SeverityText: "HIGH", Score: 7.5, Vector: "CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:N/A:N", CWE: []int{22},
		References: []string{"https://example.test/r"}, Asset: fact.Asset{Kind: fact.AssetRepository},
		Package:       fact.Package{Ecosystem: "Go", Name: "example.test/mod", Version: "1.2.3", PURL: "pkg:golang/example.test/mod@1.2.3"},
		FixedVersions: []string{"1.2.4"}, Path: "/src/go.mod",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("finding (-want +got):\n%s", diff)
	}
}

func TestNoResults(t *testing.T) {
	for text, complete := range map[string]bool{
		`{"results":[]}`: false,
		`{"results":[],"experimental_config":{"licenses":{"summary":false,"allowlist":null}}}`: true,
	} {
		facts := reporttest.Read(t, New(), text)
		if len(facts.Findings) != 0 || len(facts.Runs) != 1 || facts.Runs[0].Complete != complete {
			t.Errorf("%s: %d findings, runs %+v, want Complete %t", text, len(facts.Findings), facts.Runs, complete)
		}
	}
}

func TestAPackageThatIsTheAttackIsCritical(t *testing.T) {
	facts := reporttest.Read(t, New(), `{"results":[{"source":{"path":"yarn.lock","type":"lockfile"},"packages":[{"package":{"name":"evil","version":"1.0.0","ecosystem":"npm"},
	 "vulnerabilities":[{"id":"MAL-2023-1","summary":"Malicious code in evil"}],"groups":[{"ids":["MAL-2023-1"]}]}]}]}`)
	if len(facts.Findings) != 1 || facts.Findings[0].Severity != fact.SeverityCritical {
		t.Errorf("findings = %+v", facts.Findings)
	}
}
