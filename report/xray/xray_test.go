package xray

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
		Name: "a report", Score: 95, Complete: false,
		Report: `{"total_rows":2,"rows":[{"cves":[{"cve":"CVE-1","cvss_v2_score":5,"cvss_v3_score":5.3,"cvss_v3_vector":"CVSS:3.1/AV:N"}],"summary":"s","severity":"Medium","vulnerable_component":"pypi://Jinja2:2.11.2","impacted_artifact":"docker://r.test/a:1","path":"p/x.whl","fixed_versions":["2.11.3"],"issue_id":"XRAY-1"},{"cves":[{"cve":"CVE-2"},{"cve":"CVE-3"}],"summary":"s","severity":"High","vulnerable_component":"npm://@a/b:1.0.0","impacted_artifact":"build://x","issue_id":"XRAY-2"}]}`,
		Want: []string{
			"vulnerability CVE-1 medium pkg:pypi/Jinja2@2.11.2@2.11.2 p/x.whl:0-0 aka XRAY-1 fixed 2.11.3",
			"vulnerability CVE-2 high pkg:npm/%40a/b@1.0.0@1.0.0",
			"vulnerability CVE-3 high pkg:npm/%40a/b@1.0.0@1.0.0",
		},
	},
	{
		Name: "a scan on demand", Score: 95, Complete: true,
		Report: `[{"scan_id":"1","vulnerabilities":[{"cves":[{"cvss_v2_score":"7.5"}],"summary":"s","severity":"High","components":{"alpine://3.18:libssl3:3.1.1-r1":{"fixed_versions":["[3.1.1-r3]"],"impact_paths":[[{"component_id":"docker://a:1"},{"component_id":"alpine://3.18:libssl3:3.1.1-r1","full_path":"3.18:libssl3"}]]},"gav://g:a:1.16":{"fixed_versions":["[1.26]"]}},"issue_id":"XRAY-3"}],"component_id":"docker://a:1","package_type":"Docker","status":"completed"}]`,
		Want: []string{
			"vulnerability XRAY-3 high pkg:apk/alpine/libssl3@3.1.1-r1?distro=alpine-v3.18@3.1.1-r1 3.18:libssl3:0-0 fixed 3.1.1-r3",
			"vulnerability XRAY-3 high pkg:maven/g/a@1.16@1.16 fixed 1.26",
		},
	},
	{
		Name: "a summary", Score: 95, Complete: false,
		Report: `{"artifacts":[{"general":{"name":"a:1","component_id":"a:1","pkg_type":"Docker","sha256":"ab"},"issues":[{"issue_id":"XRAY-4","summary":"s","issue_type":"security","severity":"Critical","cves":[{"cve":"CVE-4","cwe":["CWE-787"],"cvss_v3":"9.8/CVSS:3.0/AV:N"}],"impact_path":["p/sha256__cb.tar.gz/3.12:openssl:1.1.1k-r0"]},{"issue_id":"XRAY-5","summary":"l","issue_type":"license","severity":"High","impact_path":["p/x:1"]}],"licenses":[]}]}`,
		Want:   []string{"vulnerability CVE-4 critical @1.1.1k-r0 aka XRAY-4"},
	},
	{
		Name: "an export", Score: 95, Complete: false,
		Report: `{"total_count":1,"data":[{"id":"","severity":"High","summary":"s","issue_type":"security","source_id":"deb://debian:stretch:libx11","source_comp_id":"deb://debian:stretch:libx11:2:1.6.4-3","component_versions":{"fixed_versions":["≥ 2:1.6.4-3+deb9u1"],"more_details":{"cves":[{"cve":"CVE-5","cvss_v2":"7.5/CVSS:2.0/AV:L"}]}}}]}`,
		Want:   []string{"vulnerability CVE-5 high pkg:deb/debian/libx11@2:1.6.4-3?distro=debian-stretch@2:1.6.4-3 fixed 2:1.6.4-3+deb9u1"},
	},
}

func TestFindingsBelongToWhatWasScanned(t *testing.T) {
	t.Parallel()
	for i, want := range []string{"r.test/a:1", "a:1", "sha256:ab"} {
		if f := reporttest.Read(t, New(), cases[i].Report).Findings[0]; f.Asset.Key != want || f.Asset.Kind != "image" {
			t.Errorf("%s: asset %+v, want image %s", cases[i].Name, f.Asset, want)
		}
	}
}
