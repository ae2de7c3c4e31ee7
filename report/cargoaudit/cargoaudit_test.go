package cargoaudit

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
		Name: "a vulnerability and warnings", Score: 95, Complete: true,
		Report: `{"database":{"advisory-count":9,"last-commit":"c1"},"lockfile":{"dependency-count":2},"settings":{},"vulnerabilities":{"found":true,"count":1,"list":[{"advisory":{"id":"RUSTSEC-2024-0001","package":"a","title":"UAF","description":"d","aliases":["CVE-2024-1"],"cvss":"CVSS:3.1/AV:N","references":["https://r.test"],"url":"https://u.test"},"versions":{"patched":[">=1.2.3","^1.1.9",">=1.0.5, <1.1.0","> 3"],"unaffected":[]},"package":{"name":"a","version":"1.0.0"}}]},"warnings":{"unmaintained":[{"kind":"unmaintained","package":{"name":"b","version":"2.0.0"},"advisory":{"id":"RUSTSEC-2023-0002","title":"b is unmaintained"}}],"unsound":[{"kind":"unsound","package":{"name":"d","version":"1.0.0"},"advisory":{"id":"RUSTSEC-2023-0003","title":"unsound"}}],"yanked":[{"kind":"yanked","package":{"name":"c","version":"3.0.0"},"advisory":null}]}}`,
		Want: []string{
			"vulnerability RUSTSEC-2024-0001 unknown pkg:cargo/a@1.0.0@1.0.0 Cargo.lock:0-0 aka CVE-2024-1 fixed 1.2.3,1.1.9,1.0.5",
			"end_of_life RUSTSEC-2023-0002 info pkg:cargo/b@2.0.0@2.0.0 Cargo.lock:0-0",
			"vulnerability RUSTSEC-2023-0003 info pkg:cargo/d@1.0.0@1.0.0 Cargo.lock:0-0",
			"end_of_life yanked info pkg:cargo/c@3.0.0@3.0.0 Cargo.lock:0-0",
		},
	},
	{
		Name: "nothing found", Score: 95, Complete: true,
		Report: `{"database":{"advisory-count":9},"lockfile":{"dependency-count":1},"vulnerabilities":{"found":false,"count":0,"list":[]},"warnings":{}}`,
		Want:   nil,
	},
}

func TestTheRevisionOfTheDatabaseIsKept(t *testing.T) {
	t.Parallel()
	if got := reporttest.Read(t, New(), cases[0].Report).Runs[0].Rules; got != "c1" {
		t.Errorf("rules %q, want the database's last commit", got)
	}
}
