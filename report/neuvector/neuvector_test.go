package neuvector

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
		Report: `{"report":{"registry":"https://r.test/","repository":"a","tag":"1","digest":"sha256:ab","base_os":"alpine:3.12.1","vulnerabilities":[{"name":"CVE-1","score":7.2,"severity":"High","description":"d","package_name":"openssh","package_version":"7.2_p2-r0","fixed_version":"8","link":"https://x.test","score_v3":7.3,"vectors_v3":"CVSS:3.0/AV:N","in_base_image":true}],"modules":[],"envs":["TOKEN=secret"]}}`,
		Want:   []string{"vulnerability CVE-1 high pkg:apk/alpine/openssh@7.2_p2-r0?distro=alpine-v3.12@7.2_p2-r0 fixed 8"},
	},
	{Name: "one without a name", Score: 95, Complete: false, Report: `{"report":{"vulnerabilities":[{"name":"CVE-2","severity":"Low","package_name":"x","package_version":"1"}],"modules":[]}}`, Want: []string{"vulnerability CVE-2 low @1"}},
}
