package pipaudit

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
		Name: "object with fixes", Score: 90, Complete: true,
		Report: `{"dependencies":[{"name":"flask","version":"0.5","vulns":[{"id":"PYSEC-1","fix_versions":["1.0"],"aliases":["CVE-2019-1"],"description":"d"}]}],"fixes":[{"name":"flask","old_version":"0.5","new_version":"1.0"}]}`,
		Want: []string{
			"vulnerability PYSEC-1 unknown pkg:pypi/flask@0.5@0.5 aka CVE-2019-1 fixed 1.0",
		},
	},
	{
		Name: "array of the first versions", Score: 80, Complete: true,
		Report: `[{"name":"jinja2","version":"2.0","vulns":[{"id":"PYSEC-2","fix_versions":[]}]},{"name":"ok","version":"1","vulns":[]}]`,
		Want: []string{
			"vulnerability PYSEC-2 unknown pkg:pypi/jinja2@2.0@2.0",
		},
	},
	{
		Name: "a skipped dependency", Score: 80, Complete: false,
		Report: `{"dependencies":[{"name":"own","skip_reason":"not on the index"}]}`,
		Want:   nil,
	},
	{
		Name: "nothing", Score: 60, Complete: true,
		Report: `{"dependencies":[],"fixes":[]}`,
		Want:   nil,
	},
	{
		Name: "nothing, of some tool", Score: 60, Complete: false,
		Report: `{"dependencies":[]}`,
		Want:   nil,
	},
}
