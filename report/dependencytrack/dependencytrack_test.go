package dependencytrack

import (
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
		Name: "with decisions", Score: 95, Complete: true,
		Report: `{"version":"1.3","meta":{"application":"Dependency-Track","version":"4.14.0","timestamp":"2024-05-01T00:00:00Z"},"project":{"name":"shop","version":"1"},"findings":[{"component":{"name":"a","group":"org.test","version":"1.0","purl":"pkg:maven/org.test/a@1.0"},"vulnerability":{"vulnId":"CVE-2024-1","source":"NVD","severity":"HIGH","cvssV2BaseScore":5.0,"cvssV3BaseScore":8.1,"cvssV3Vector":"V3","cvssV2Vector":"V2","epssScore":0.5,"cwes":[{"cweId":79}],"aliases":[{"cveId":"CVE-2024-1","ghsaId":"GHSA-aaaa-bbbb-cccc"}],"references":"* [https://r.test/1](https://r.test/1)\n* <https://r.test/2>"},"analysis":{"state":"NOT_AFFECTED","justification":"CODE_NOT_REACHABLE","isSuppressed":true,"detail":"unused"},"matrix":"m"},
			{"component":{"name":"b","group":"g","version":"2"},"vulnerability":{"vulnId":"INT-1","severity":"UNASSIGNED","title":"own"},"analysis":{"state":"NOT_SET","isSuppressed":true}},{"component":{"name":"c","version":"3","purl":"pkg:npm/c@3"},"vulnerability":{"vulnId":"CVE-2024-3","severity":"LOW"},"analysis":{"isSuppressed":false}}]}`,
		Want: []string{
			"vulnerability CVE-2024-1 high pkg:maven/org.test/a@1.0@1.0 aka GHSA-aaaa-bbbb-cccc not_affected",
			"vulnerability INT-1 unknown @2 accepted_risk",
			"vulnerability CVE-2024-3 low pkg:npm/c@3@3",
		},
	},
	{
		Name: "nothing found", Score: 95, Complete: true,
		Report: `{"meta":{"application":"Dependency-Track"},"project":{"name":"shop"},"version":"1.0"}`,
		Want:   nil,
	},
}

func TestWhatIsKnownOfAFlawIsKept(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), cases[0].Report)
	f := facts.Findings[0]
	if f.Score != 8.1 || f.Vector != "V3" || f.EPSS != .5 || !cmp.Equal(f.CWE, []int{79}) || !cmp.Equal(f.References, []string{"https://r.test/1", "https://r.test/2"}) {
		t.Errorf("finding %+v", f)
	}
	want := fact.Asset{Kind: fact.AssetRepository, Key: "shop", Name: "shop"}
	if f.Asset != want || !cmp.Equal(facts.Runs[0].Assets, []fact.Asset{want}) {
		t.Errorf("asset %+v, looked at %+v; want the project", f.Asset, facts.Runs[0].Assets)
	}
	if got := facts.Findings[1].Package.Name; got != "g:b" {
		t.Errorf("package %q without a package URL", got)
	}
}
