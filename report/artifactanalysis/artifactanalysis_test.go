package artifactanalysis

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
		Name: "an image", Score: 95, Complete: true,
		Report: `{"discovery_summary":{"discovery":[{"discovery":{"analysisStatus":"FINISHED_SUCCESS"},"kind":"DISCOVERY"}]},"image_summary":{"digest":"sha256:ab","fully_qualified_digest":"r.test/p/a@sha256:ab"},"package_vulnerability_summary":{"vulnerabilities":{"CRITICAL":[{"noteName":"projects/goog-vulnz/notes/CVE-1","vulnerability":{"cvssScore":9.8,"effectiveSeverity":"CRITICAL","longDescription":"d","packageIssue":[{"affectedCpeUri":"cpe:/o:debian:debian_linux:12","affectedPackage":"go","affectedVersion":{"fullName":"1.17.6","kind":"NORMAL"},"fileLocation":[{"filePath":"/x"}],"fixedVersion":{"fullName":"1.19.10","kind":"NORMAL"},"packageType":"GO_STDLIB"},{"affectedCpeUri":"cpe:/o:debian:debian_linux:12","affectedPackage":"libx","affectedVersion":{"fullName":"1"},"fixedVersion":{"kind":"MAXIMUM"},"effectiveSeverity":"LOW","packageType":"OS"}],"relatedUrls":[{"url":"https://x.test"}],"severity":"HIGH"}}]}}}`,
		Want: []string{
			"vulnerability CVE-1 critical pkg:golang/stdlib@1.17.6@1.17.6 /x:0-0 fixed 1.19.10",
			"vulnerability CVE-1 low pkg:deb/debian/libx@1?distro=debian-12@1",
		},
	},
	{
		Name: "not yet analysed", Score: 95, Complete: false,
		Report: `{"discovery_summary":{"discovery":[{"discovery":{"analysisStatus":"SCANNING"}}]},"image_summary":{"digest":"sha256:ab","fully_qualified_digest":"r.test/p/a@sha256:ab"},"package_vulnerability_summary":{"vulnerabilities":{}}}`,
	},
}

func TestFindingsAreOfTheImageByDigest(t *testing.T) {
	t.Parallel()
	if f := reporttest.Read(t, New(), cases[0].Report).Findings[0]; f.Asset.Key != "sha256:ab" || f.Score != 9.8 {
		t.Errorf("finding %+v", f)
	}
}
