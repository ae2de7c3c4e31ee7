package anchore

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
		Name: "all vulnerabilities of an image", Score: 95, Complete: true,
		Report: `{"imageDigest":"sha256:ab","imageFullTag":"r.test/a:1","vulnerabilities":[{"feed":"vulnerabilities","feed_group":"debian:9","fix":"1.1, 1.2","nvd_data":[{"id":"CVE-1","cvss_v2":{"base_score":6.4},"cvss_v3":{"base_score":6.5}}],"package":"libx-1.0","package_name":"libx","package_path":"pkgdb","package_type":"dpkg","package_version":"1.0","severity":"Medium","url":"https://x.test","vuln":"CVE-2020-1"},{"feed_group":"vulndb:vulnerabilities","fix":"None","package_name":"g:a","package_path":"/app/a.jar","package_type":"java","package_version":"2","severity":"High","url":"None","vuln":"VULNDB-2"}],"vulnerability_type":"all"}`,
		Want: []string{
			"vulnerability CVE-2020-1 medium pkg:deb/debian/libx@1.0?distro=debian-9@1.0 fixed 1.1,1.2",
			"vulnerability VULNDB-2 high pkg:maven/g/a@2@2 /app/a.jar:0-0",
		},
	},
	{
		Name: "only those of the operating system", Score: 95, Complete: false,
		Report: `{"imageDigest":"sha256:ab","vulnerabilities":[],"vulnerability_type":"os"}`,
	},
	{
		Name: "a list of vulnerabilities", Score: 95, Complete: false,
		Report: `[{"feed":"f","feedGroup":"alpine:3.12","fix":"None","packageName":"musl","packageType":"APKG","packageVersion":"1.2-r0","severity":"Low","vuln":"CVE-2021-3","willNotFix":false}]`,
		Want:   []string{"vulnerability CVE-2021-3 low pkg:apk/alpine/musl@1.2-r0?distro=alpine-v3.12@1.2-r0"},
	},
	{
		Name: "checks of a policy", Score: 95, Complete: false,
		Report: `{"evaluatedTag":"a:1","policyId":"p","imageDigest":"sha256:ab","evaluations":[{"details":[{"description":"HIGH Vulnerability found in x","gate":"vulnerabilities","policyId":"P","status":"stop","triggerId":"CVE-2022-1001+x","triggerName":"package"},{"description":"User root found","gate":"dockerfile","status":"warn","triggerId":"0a","triggerName":"effective_user"},{"description":"fine","gate":"dockerfile","status":"go","triggerId":"0b","triggerName":"port"}]}]}`,
		Want:   []string{"vulnerability CVE-2022-1001 high @", "misconfiguration dockerfile/effective_user unknown"},
	},
	{
		Name: "judgements of older versions", Score: 95, Complete: false,
		Report: `[{"detail":[{"description":"CRITICAL Secret found","gate":"secret_scans","status":"stop","triggerId":"0c","triggerName":"content","allowlisted":{"matchedRuleId":"r"}}],"digest":"sha256:ab","finalAction":"stop","policyId":"p","tag":"a:1"}]`,
		Want:   []string{"secret secret_scans/content critical accepted_risk"},
	},
}

func TestFindingsBelongToTheImageByDigest(t *testing.T) {
	t.Parallel()
	for i, want := range []string{0: "sha256:ab", 2: "", 3: "sha256:ab", 4: "sha256:ab"} {
		for _, f := range reporttest.Read(t, New(), cases[i].Report).Findings {
			if f.Asset.Key != want {
				t.Errorf("%s: asset %+v, want the key %q", cases[i].Name, f.Asset, want)
			}
		}
	}
}
