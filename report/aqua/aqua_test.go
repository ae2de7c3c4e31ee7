package aqua

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
		Name: "a scan of an image", Score: 95, Complete: true,
		Report: `{"image":"r.test/a:1","scan_started":{"seconds":1},"digest":"54bc","os":"alpine","version":"3.9.4","resources":[{"resource":{"format":"apk","name":"musl","version":"1.1.20-r4"},"scanned":true,"vulnerabilities":[{"name":"CVE-1","nvd_score":7.5,"nvd_vectors":"AV:N","nvd_severity":"high","fix_version":"1.1.20-r5","solution":"Upgrade","nvd_severity_v3":"critical","aqua_score":7.5,"aqua_severity":"high"}]},{"resource":{"path":"/app/x","name":"x"},"vulnerabilities":[{"name":"CVE-2","aqua_severity":"low","acknowledged":true}]}],"vulnerability_summary":{"total":2}}`,
		Want: []string{
			"vulnerability CVE-1 high pkg:apk/alpine/musl@1.1.20-r4?distro=alpine-v3.9@1.1.20-r4 fixed 1.1.20-r5",
			"vulnerability CVE-2 low @ /app/x:0-0 accepted_risk",
		},
	},
	{
		Name: "a scan in a pipeline", Score: 95, Complete: true,
		Report: `{"status":"SCANNED","image_name":"a:1","registry":"r.test","cves_counts":{"total":2},"cves":[{"file":"/usr/lib/x.so","name":"CVE-3","severity":"high","score":"7.5","url":"https://x.test","fix_version":"1.1"},{"file":"curl","name":"CVE-4","severity":"medium","score":"5","acknowledged":false}]}`,
		Want:   []string{"vulnerability CVE-3 high /usr/lib/x.so:0-0 fixed 1.1", "vulnerability CVE-4 medium @"},
	},
	{
		Name: "a page of the API", Score: 95, Complete: false,
		Report: `{"count":2,"page":1,"pagesize":200,"result":[{"name":"CVE-5","nvd_cvss3_severity":"critical","aqua_score":9.1,"aqua_severity":"high","fix_version":"8.4.0","resource":{"format":"npm","path":"/a","name":"j","version":"0.4.0"},"registry":"m","image_name":"j:1","image_digest":"sha256:ab","os":"debian","os_version":"11.10","cwe_info":[{"Id":"CWE-125"}]},{"name":"CVE-6","aqua_severity":"low","resource":{"format":"deb","name":"x","version":"1"},"image_name":"j:1","image_digest":"sha256:ab","os":"debian","os_version":"11.10","cwe_info":{}}]}`,
		Want:   []string{"vulnerability CVE-5 high pkg:npm/j@0.4.0@0.4.0 /a:0-0 fixed 8.4.0", "vulnerability CVE-6 low pkg:deb/debian/x@1?distro=debian-11@1"},
	},
	{
		Name: "an empty page", Score: 95, Complete: false,
		Report: `{"count":0,"page":1,"pagesize":50,"result":[],"query":{"image_name_exact_match":true}}`,
	},
}

func TestFindingsAreOfTheirImage(t *testing.T) {
	t.Parallel()
	for i, want := range []string{"r.test/a:1", "a:1", "sha256:ab"} {
		if f := reporttest.Read(t, New(), cases[i].Report).Findings[0]; f.Asset.Key != want {
			t.Errorf("%s: asset %+v, want %s", cases[i].Name, f.Asset, want)
		}
	}
}
