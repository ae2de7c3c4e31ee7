package dependabot

import (
	"testing"

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
		Name: "pages in an array", Score: 95, Complete: false,
		Report: `[[{"number":1,"state":"open","dependency":{"package":{"ecosystem":"npm","name":"ms"},"manifest_path":"package-lock.json"},"security_advisory":{"ghsa_id":"GHSA-1-2-3","summary":"s","severity":"high"},"security_vulnerability":{"severity":"high"}}],[]]`,
		Want:   []string{"vulnerability GHSA-1-2-3 high pkg:npm/ms@ package-lock.json:0-0"},
	},
	{
		Name: "REST with decisions", Score: 95, Complete: false,
		Report: `[{"number":1,"state":"open","dismissed_reason":null,"dependency":{"package":{"ecosystem":"npm","name":"ms"},"manifest_path":"package-lock.json"},"security_advisory":{"ghsa_id":"GHSA-1-2-3","cve_id":"CVE-1-1","summary":"s","severity":"high","cvss":{"score":7.5,"vector_string":"CVSS:3.1/AV:N"},"cwes":[{"cwe_id":"CWE-400"}]},"security_vulnerability":{"package":{"ecosystem":"npm","name":"ms"},"severity":"high","first_patched_version":{"identifier":"2.0.0"}},"html_url":"https://github.com/acme/shop/security/dependabot/1"},{"number":1,"state":"dismissed","dismissed_reason":"tolerable_risk","dependency":{"package":{"ecosystem":"npm","name":"ms"},"manifest_path":"package-lock.json"},"security_advisory":{"ghsa_id":"GHSA-1-2-3","cve_id":"CVE-1-1","summary":"s","severity":"high","cvss":{"score":7.5,"vector_string":"CVSS:3.1/AV:N"},"cwes":[{"cwe_id":"CWE-400"}]},"security_vulnerability":{"package":{"ecosystem":"npm","name":"ms"},"severity":"high","first_patched_version":{"identifier":"2.0.0"}},"html_url":"https://github.com/acme/shop/security/dependabot/1"},{"number":1,"state":"dismissed","dismissed_reason":"no_bandwidth","dependency":{"package":{"ecosystem":"npm","name":"ms"},"manifest_path":"package-lock.json"},"security_advisory":{"ghsa_id":"GHSA-1-2-3","cve_id":"CVE-1-1","summary":"s","severity":"high","cvss":{"score":7.5,"vector_string":"CVSS:3.1/AV:N"},"cwes":[{"cwe_id":"CWE-400"}]},"security_vulnerability":{"package":{"ecosystem":"npm","name":"ms"},"severity":"high","first_patched_version":{"identifier":"2.0.0"}},"html_url":"https://github.com/acme/shop/security/dependabot/1"},{"number":1,"state":"dismissed","dismissed_reason":"inaccurate","dependency":{"package":{"ecosystem":"npm","name":"ms"},"manifest_path":"package-lock.json"},"security_advisory":{"ghsa_id":"GHSA-1-2-3","cve_id":"CVE-1-1","summary":"s","severity":"high","cvss":{"score":7.5,"vector_string":"CVSS:3.1/AV:N"},"cwes":[{"cwe_id":"CWE-400"}]},"security_vulnerability":{"package":{"ecosystem":"npm","name":"ms"},"severity":"high","first_patched_version":{"identifier":"2.0.0"}},"html_url":"https://github.com/acme/shop/security/dependabot/1"},{"number":1,"state":"dismissed","dismissed_reason":"not_used","dependency":{"package":{"ecosystem":"npm","name":"ms"},"manifest_path":"package-lock.json"},"security_advisory":{"ghsa_id":"GHSA-1-2-3","cve_id":"CVE-1-1","summary":"s","severity":"high","cvss":{"score":7.5,"vector_string":"CVSS:3.1/AV:N"},"cwes":[{"cwe_id":"CWE-400"}]},"security_vulnerability":{"package":{"ecosystem":"npm","name":"ms"},"severity":"high","first_patched_version":{"identifier":"2.0.0"}},"html_url":"https://github.com/acme/shop/security/dependabot/1"},{"number":1,"state":"fixed","dismissed_reason":null,"dependency":{"package":{"ecosystem":"npm","name":"ms"},"manifest_path":"package-lock.json"},"security_advisory":{"ghsa_id":"GHSA-1-2-3","cve_id":"CVE-1-1","summary":"s","severity":"high","cvss":{"score":7.5,"vector_string":"CVSS:3.1/AV:N"},"cwes":[{"cwe_id":"CWE-400"}]},"security_vulnerability":{"package":{"ecosystem":"npm","name":"ms"},"severity":"high","first_patched_version":{"identifier":"2.0.0"}},"html_url":"https://github.com/acme/shop/security/dependabot/1"},{"number":1,"state":"auto_dismissed","dismissed_reason":null,"dependency":{"package":{"ecosystem":"npm","name":"ms"},"manifest_path":"package-lock.json"},"security_advisory":{"ghsa_id":"GHSA-1-2-3","cve_id":"CVE-1-1","summary":"s","severity":"high","cvss":{"score":7.5,"vector_string":"CVSS:3.1/AV:N"},"cwes":[{"cwe_id":"CWE-400"}]},"security_vulnerability":{"package":{"ecosystem":"npm","name":"ms"},"severity":"high","first_patched_version":{"identifier":"2.0.0"}},"html_url":"https://github.com/acme/shop/security/dependabot/1"}]`,
		Want: []string{
			"vulnerability GHSA-1-2-3 high pkg:npm/ms@ package-lock.json:0-0 aka CVE-1-1 fixed 2.0.0",
			"vulnerability GHSA-1-2-3 high pkg:npm/ms@ package-lock.json:0-0 aka CVE-1-1 fixed 2.0.0 accepted_risk",
			"vulnerability GHSA-1-2-3 high pkg:npm/ms@ package-lock.json:0-0 aka CVE-1-1 fixed 2.0.0 accepted_risk",
			"vulnerability GHSA-1-2-3 high pkg:npm/ms@ package-lock.json:0-0 aka CVE-1-1 fixed 2.0.0 false_positive",
			"vulnerability GHSA-1-2-3 high pkg:npm/ms@ package-lock.json:0-0 aka CVE-1-1 fixed 2.0.0 not_affected",
			"vulnerability GHSA-1-2-3 high pkg:npm/ms@ package-lock.json:0-0 aka CVE-1-1 fixed 2.0.0 resolved",
			"vulnerability GHSA-1-2-3 high pkg:npm/ms@ package-lock.json:0-0 aka CVE-1-1 fixed 2.0.0 accepted_risk",
		},
	},
	{
		Name: "GraphQL", Score: 90, Complete: false,
		Report: `{"data":{"repository":{"vulnerabilityAlerts":{"nodes":[{"id":"x","vulnerableManifestPath":"pom.xml","vulnerableRequirements":"= 1.5.0","state":"OPEN","securityVulnerability":{"severity":"CRITICAL","package":{"name":"g:a","ecosystem":"MAVEN"},"firstPatchedVersion":{"identifier":"1.6"},"advisory":{"summary":"s","identifiers":[{"type":"GHSA","value":"GHSA-9-9-9"},{"type":"CVE","value":"CVE-9-9"}],"cwes":{"nodes":[{"cweId":"CWE-1"}]}}}}]},"url":"https://github.com/acme/shop"}}}`,
		Want: []string{
			"vulnerability GHSA-9-9-9 critical pkg:maven/g/a@1.5.0@1.5.0 pom.xml:0-0 aka CVE-9-9 fixed 1.6",
		},
	},
	{
		Name: "code scanning", Score: 90, Complete: false,
		Report: `[{"number":3,"state":"dismissed","dismissed_reason":"won't fix","rule":{"id":"py/x","severity":"error","security_severity_level":"high","tags":["external/cwe/cwe-312"]},"tool":{"name":"CodeQL"},"most_recent_instance":{"commit_sha":"abc","message":{"text":"m"},"location":{"path":"a.py","start_line":4,"end_line":5}}}]`,
		Want: []string{
			"code py/x high a.py:4-5 accepted_risk",
		},
	},
	{
		Name: "secret scanning", Score: 90, Complete: false,
		Report: `[{"number":2,"state":"resolved","resolution":"revoked","secret_type":"aws","secret":"AKIAQQQQZZZZ","html_url":"https://github.com/acme/shop/security/secret-scanning/2"}]`,
		Want: []string{
			"secret aws high resolved",
		},
	},
}
