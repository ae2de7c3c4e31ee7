package gitlab

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
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
		Name: "SAST", Score: 95, Complete: true,
		Report: `{"version":"15.0.0","vulnerabilities":[{"id":"1","name":"XSS","severity":"High","location":{"file":"a.js","start_line":3,"class":"C","method":"m"},"identifiers":[{"type":"semgrep_id","name":"js.xss","value":"js.xss","url":"https://r.test"},{"type":"cwe","name":"CWE-79","value":"79"},{"type":"owasp","name":"A1","value":"A1"}]},
			{"id":"2","message":"njs","severity":"Low","location":{"file":"b.js","start_line":"4","end_line":"5"},"identifiers":[{"type":"njsscan_rule_type","name":"node_x","value":"A long sentence."}],"flags":[{"type":"flagged-as-likely-false-positive","origin":"vet","description":"test file"}]}],
			"scan":{"scanner":{"id":"semgrep","version":"1.2"},"type":"sast","start_time":"2024-05-01T00:00:00","status":"success"}}`,
		Want: []string{
			"code js.xss high a.js:3-3",
			"code node_x low b.js:4-5 in_triage",
		},
	},
	{
		Name: "dependencies", Score: 95, Complete: true,
		Report: `{"vulnerabilities":[{"id":"1","name":"DoS","severity":"Critical","solution":"Upgrade to versions 1.2.3, 2.0.1 or above.","location":{"file":"x/go.sum","dependency":{"package":{"name":"example.org/m"},"version":"v1.2.0"}},"identifiers":[{"type":"gemnasium","name":"Gemnasium-uuid","value":"uuid"},{"type":"cve","value":"CVE-2024-1"},{"type":"cve","value":"CVE-2024-2"}]},
			{"id":"2","name":"RCE","severity":"Unknown","solution":"There is no solution for now.","location":{"file":"deps.xml","dependency":{"package":{"name":"org.test/a"},"version":"1"}},"identifiers":[{"type":"ghsa","value":"GHSA-aaaa-bbbb-cccc"}]}],
			"dependency_files":[{"path":"deps.xml","package_manager":"maven"}],"scan":{"type":"dependency_scanning","analyzer":{"id":"gemnasium"},"status":"success"}}`,
		Want: []string{
			"vulnerability CVE-2024-1 critical pkg:golang/example.org/m@v1.2.0@v1.2.0 x/go.sum:0-0 aka CVE-2024-2,Gemnasium-uuid fixed 1.2.3,2.0.1",
			"vulnerability GHSA-aaaa-bbbb-cccc unknown pkg:maven/org.test/a@1@1 deps.xml:0-0",
		},
	},
	{
		Name: "image", Score: 95, Complete: false,
		Report: `{"vulnerabilities":[{"id":"1","severity":"High","solution":"Upgrade apt from 1.4.8 to 1.4.9","location":{"dependency":{"package":{"name":"apt"},"version":"1.4.8"},"operating_system":"debian:9.4","image":"r/i@sha256:ab"},"identifiers":[{"type":"cve","value":"CVE-2019-1"}]}],"scan":{"scanner":{"id":"trivy"},"type":"container_scanning","status":"failure"}}`,
		Want: []string{
			"vulnerability CVE-2019-1 high pkg:deb/debian/apt@1.4.8?distro=debian-9@1.4.8 fixed 1.4.9",
		},
	},
	{
		Name: "DAST and fuzzing of an old schema", Score: 85, Complete: true,
		Report: `{"version":"3.0","vulnerabilities":[{"category":"dast","name":"PII","severity":"Medium","evidence":{"summary":"4111"},"location":{"hostname":"http://h","method":"GET","param":"q","path":"/p"},"identifiers":[{"type":"ZAProxy_PluginId","name":"PII","value":"10062"},{"type":"CWE","value":"359"}]},
			{"category":"coverage_fuzzing","name":"crash","location":{"crash_type":"Index","crash_state":"f\ng\n"},"identifiers":[{"type":"cwe","name":"Index","value":"129"}]}],"remediations":[]}`,
		Want: []string{
			"code 10062 medium",
			"code crash unknown",
		},
	},
	{
		Name: "secrets", Score: 90, Complete: true,
		Report: `{"version":"14.0.0","vulnerabilities":[{"category":"secret_detection","name":"AWS","description":"AKIAQQQQZZZZ in code","severity":"Critical","raw_source_code_extract":"AKIAQQQQZZZZ","location":{"file":"k","commit":{"sha":"0000000"},"start_line":5,"end_line":5},"identifiers":[{"type":"gitleaks_rule_id","name":"Gitleaks rule ID AWS","value":"AWS"}]}]}`,
		Want: []string{
			"secret AWS critical k:5-5",
		},
	},
	{
		Name: "nothing found", Score: 85, Complete: true,
		Report: `{"version":"2.3","vulnerabilities":[],"remediations":[]}`,
		Want:   nil,
	},
}

func TestWhatIsAffectedIsTheImageOrTheHost(t *testing.T) {
	t.Parallel()
	image := reporttest.Read(t, New(), cases[2].Report).Findings[0]
	if image.Asset != (fact.Asset{Kind: fact.AssetImage, Key: "sha256:ab", Name: "r/i@sha256:ab"}) || image.Package.Ecosystem != "Debian:9" {
		t.Errorf("asset %+v of ecosystem %q", image.Asset, image.Package.Ecosystem)
	}
	found := reporttest.Read(t, New(), cases[3].Report).Findings
	if f := found[0]; f.Asset != (fact.Asset{Kind: fact.AssetHost, Key: "http://h", Name: "http://h"}) || f.Anchor != "GET /p q" || !cmp.Equal(f.CWE, []int{359}) {
		t.Errorf("DAST finding %+v", f)
	}
	if f := found[1]; f.Anchor != "f\ng" || !cmp.Equal(f.CWE, []int{129}) {
		t.Errorf("fuzzing finding %+v", f)
	}
}

func TestAFindingWithoutANameIsCalledByItsIdentifier(t *testing.T) {
	t.Parallel()
	if got := reporttest.Read(t, New(), cases[2].Report).Findings[0].Title; got != "CVE-2019-1 in apt:1.4.8" {
		t.Errorf("title %q of a vulnerability", got)
	}
	text := strings.Replace(cases[3].Report, `"name":"PII","severity"`, `"severity"`, 1)
	if got := reporttest.Read(t, New(), text).Findings[0].Title; got != "PII" {
		t.Errorf("title %q of a flaw, want the name of its primary identifier", got)
	}
}

func TestNeitherSecretNorEvidenceIsKept(t *testing.T) {
	t.Parallel()
	for text, secret := range map[string]string{cases[4].Report: "AKIAQQQQZZZZ", cases[3].Report: "4111"} {
		for _, f := range reporttest.Read(t, New(), text).Findings {
			if strings.Contains(fmt.Sprintf("%+v", f), secret) {
				t.Errorf("%s is kept: %+v", secret, f)
			}
		}
	}
	if f := reporttest.Read(t, New(), cases[4].Report).Findings[0]; !strings.HasPrefix(f.Anchor, "sha256:") || f.Commit != "" {
		t.Errorf("anchor %q, commit %q; want a hash and no commit", f.Anchor, f.Commit)
	}
}

func TestVersionsOfASolution(t *testing.T) {
	t.Parallel()
	for solution, want := range map[string][]string{
		"Upgrade to version v0.0.0-2020-8b5 or above.":        {"v0.0.0-2020-8b5"},
		"Upgrade to versions 1.2, 2.3, or 3.4 or above.":      {"1.2", "2.3", "3.4"},
		"Update glibc to 2.24-11+deb9u4":                      {"2.24-11+deb9u4"},
		"Upgrade to a newer release":                          nil,
		"Unfortunately, there is no solution available yet.":  nil,
		"Do not upgrade to 2.0; rewrite the call instead.":    nil,
		"Upgrade from 1.0 to the version that your team uses": nil,
	} {
		if diff := cmp.Diff(want, fixed(solution)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", solution, diff)
		}
	}
}
