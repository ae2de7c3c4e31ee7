package builtin

import (
	"errors"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/report/reporttest"
)

// A report that a wrong reader takes for its own and finds nothing in would make real
// findings unconfirmed.
func TestReportsOfOtherToolsAreRefused(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"target of a web scanner":  `{"Generated":"x","Target":{"ScanId":"1","Url":"https://a.test"},"Vulnerabilities":[{"Name":"Cookie","Type":"Cookie","Severity":"High"}]}`,
		"errata with packages":     `{"total":1,"page":1,"results":[{"errata_id":"RHSA-1","severity":"Important","packages":["a-1.rpm"],"cves":[{"cve_id":"CVE-1"}]}]}`,
		"errata without packages":  `{"total":1,"results":[{"errata_id":"RHSA-1","packages":[]}]}`,
		"bounties":                 `{"findings":[{"id":"1","title":"t","severity_rating":"medium","state":"open"}]}`,
		"items of a generic list":  `{"findings":[{"title":"t","severity":"High","description":"d"}]}`,
		"results of nothing known": `{"results":[{"name":"a","status":"failed"}],"version":"1"}`,
		"vulnerabilities":          `{"vulnerabilities":[{"name":"a","severity":"High"}]}`,
		"issues":                   `{"issues":[{"title":"a","severity":"High"}],"total":1}`,
		"matches":                  `{"matches":[{"id":1}]}`,
		"a list of rows":           `[{"id":1,"title":"t","severity":"High"}]`,
		"a table of rows":          "Name,Severity,Description\na,High,d\n",
		"XML":                      `<?xml version="1.0"?><report><item/></report>`,
		"an empty object":          `{}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var facts reporttest.Facts
			err := report.Read(t.Context(), Readers(), "r", strings.NewReader(text), &facts)
			if !errors.Is(err, report.ErrUnknownFormat) || len(facts.Runs) > 0 {
				t.Errorf("read as %+v with %v", facts.Runs, err)
			}
		})
	}
}

// Where two tools write alike, a part of both decides.
func TestKindsThatLookAlikeAreToldApart(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"results":[{"id":"sha256:a","packages":[{"type":"os","name":"bash"}],"vulnerabilityDistribution":{}}]}`:                                                                      "twistlock",
		`{"results":[{"source":{"path":"go.mod","type":"lockfile"},"packages":[{"package":{"name":"a"}}]}]}`:                                                                           "osvscanner",
		`{"generated_at":"x","scanner":{"name":"Trivy","vendor":"Aqua Security"},"vulnerabilities":[]}`:                                                                                "harbor",
		`[{"Target":"alpine","Type":"alpine","Vulnerabilities":null}]`:                                                                                                                 "trivy",
		`{"image":"a","scan_started":{"seconds":1},"resources":[{"resource":{"name":"a"},"vulnerabilities":[]}]}`:                                                                      "aqua",
		`{"@version":"2","site":[{"@name":"http://a.test","alerts":[]}],"scan":{"type":"dast"},"vulnerabilities":[{"identifiers":[],"location":{"hostname":"a"}}],"version":"15.0.0"}`: "gitlab",
		`{"@version":"2","@programName":"ZAP","site":[{"@name":"http://a.test","alerts":[]}]}`:                                                                                         "zap",
		`[{"filename":"t.yaml","file_results":{"failure_count":0,"violations":[]}}]`:                                                                                                   "cfnnag",
		`[{"Filename":"t.yaml","Level":"Error","Location":{"Start":{"LineNumber":1}},"Rule":{"Id":"E1"}}]`:                                                                             "cfnlint",
		`{"vulnerabilities":[{"vuln":"CVE-1","package_name":"a"}],"vulnerability_type":"all","imageDigest":"sha256:a"}`:                                                                "anchore",
		`{"matches":[{"vulnerability":{"id":"CVE-1"},"artifact":{"name":"a"}}]}`:                                                                                                       "grype",
		`{"vulnerabilities":[{"vid":"KHV1","hunter":"h","location":"a"}]}`:                                                                                                             "kubehunter",
		`{"vulnerabilities":[{"name":"CVE-1","library":{"keyUuid":"1"}}]}`:                                                                                                             "mend",
		`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"wgpolicyk8s.io/v1alpha2","kind":"PolicyReport"}]}`:                                                                   "policyreport",
		`{"apiVersion":"v1","kind":"List","items":[{"apiVersion":"aquasecurity.github.io/v1alpha1","kind":"VulnerabilityReport"}]}`:                                                    "trivyoperator",
		"Plugin ID,CVE,CVSS,Risk,Host,Protocol,Port,Name,Synopsis,Description,Solution,See Also,Plugin Output\n":                                                                       "tenable",
		"\"A report\",\"x\"\n\"QID\",\"Title\",\"Severity\",\"Port\",\"Protocol\",\"Asset Id\"\n":                                                                                      "qualys",
		"CVE ID,CVE Severity,Package Name,Package Version,Package Type,Package Path,Fix Version,Vuln Disclosure Date\n":                                                                "sysdig",
	} {
		reader, err := report.Detect(Readers(), []byte(text))
		if err != nil {
			t.Errorf("%s: %v, want %s", text, err, want)
			continue
		}
		if got := strings.TrimPrefix(reader.Describe().ID, "report/"); got != want {
			t.Errorf("%s: read by %s, want %s", text, got, want)
		}
	}
}

// What names no tool may be the empty report of any, so it proves nothing.
func TestAnEmptyListOfNoToolIsNeverComplete(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"[]", "null", "[{}]", "[[]]", `{"results":[]}`, `{"findings":[]}`, `{"vulnerabilities":[]}`, `{"Vulnerabilities":[]}`, `{"issues":[]}`, `{"matches":[]}`,
		`{"data":[]}`, `{"results":[],"errors":[]}`, `{"advisories":{}}`, `{"advisories":[]}`, `{"dependencies":[]}`, `{"items":[]}`, `{"value":[]}`, `{"Findings":[]}`,
		`{"runs":[]}`, `{"alerts":[]}`, `{"checks":[]}`, `{"components":[]}`, `{"packages":[]}`, `{"violations":[]}`,
	} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			var facts reporttest.Facts
			err := report.Read(t.Context(), Readers(), "r", strings.NewReader(text), &facts)
			for _, run := range facts.Runs {
				if err == nil && run.Complete {
					t.Errorf("read as a complete run of %s", run.Tool)
				}
			}
		})
	}
}

func TestAnUnknownReportNamesWhatItComesNearTo(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"results":[{"check_id":"a"}],"stamp":1}`:                   "semgrep",
		`{"artifacts":[{"id":"a"}],"stamp":1}`:                       "syft",
		`{"RuleID":"a","File":"b","line":1}`:                         "gitleaks",
		"Nobody,Knows\na,b\n":                                        `a table with "nobody", "knows"`,
		`<?xml version="1.0"?><!-- x --><elsewhere><a/></elsewhere>`: `outermost element "elsewhere"`,
		`{"b":1,"a":2}`:                                              `an object of JSON with "a", "b"`,
	} {
		err := report.Read(t.Context(), Readers(), "r", strings.NewReader(text), &reporttest.Facts{})
		if !errors.Is(err, report.ErrUnknownFormat) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want a word of %s", text, err, want)
		}
	}
}

// Detect sees only the beginning of a report, which in a large one is a part of its
// first list.
func TestLargeReportsAreKnownFromTheirBeginning(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"results":[{"id":"sha256:a","name":"a:1","distro":"Debian","packages":[{"type":"os","name":"bash"},`:   "twistlock",
		`{"date":"d","projectName":"p","sonarBaseURL":"https://s.test","rules":{"a:S1":{"name":"n","htmlDesc":"`: "sonarqube",
		`{"image":"a:1","unapproved":["CVE-1","CVE-2",`:                                                          "clair",
		`{"report":{"vulnerabilities":[{"name":"CVE-1","package_name":"a","score_v3":1},{"name":`:                "neuvector",
		`[{"detail":[{"gate":"dockerfile","triggerId":"a"},{"gate":`:                                             "anchore",
		`{"imageDigest":"sha256:a","vulnerabilities":[{"vuln":"CVE-1","package_name":"a"},{"vuln":`:              "anchore",
		`{"total_rows":9,"rows":[{"issue_id":"XRAY-1","vulnerable_component":"npm://a:1"},{"issue_id":`:          "xray",
		`[{"scan_id":"1","vulnerabilities":[{"components":{"npm://a:1":{}}},{"components":`:                      "xray",
		`{"image":"a","scan_started":{"seconds":1},"resources":[{"resource":{"name":"a"}},{"resource":`:          "aqua",
		`{"generated_at":"x","artifact":null,"scanner":{"vendor":"v"},"vulnerabilities":[{"id":"CVE-1"},{"id":`:  "harbor",
		`{"total":9,"p":1,"issues":[{"key":"k","rule":"a:S1","component":"p:a"},{"key":`:                         "sonarqube",
		`{"vulnerabilities":[{"name":"CVE-1","library":{"keyUuid":"1"}},{"name":`:                                "mend",
	} {
		reader, err := report.Detect(Readers(), []byte(text))
		if err != nil {
			t.Errorf("%s: %v, want %s", text, err, want)
			continue
		}
		if got := strings.TrimPrefix(reader.Describe().ID, "report/"); got != want {
			t.Errorf("%s: read by %s, want %s", text, got, want)
		}
	}
}
