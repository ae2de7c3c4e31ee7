package nuclei

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
		Name: "lines", Score: 95,
		Report: `{"templateID":"panel","info":{"name":"Panel","severity":"low","tags":"panel,php","reference":"- https://x.test\n- https://y.test\n"},"type":"http","host":"https://shop.test","matched":"https://shop.test/admin?token=secret","ip":"1.2.3.4"}` + "\n" +
			`{"templateID":"xss","info":{"name":"XSS","severity":"high","classification":{"cwe-id":["CWE-79"],"cve-id":["CVE-2021-1001","CVE-2021-1002"]}},"host":"shop.test","matched":"shop.test:80"}` + "\n",
		Want: []string{"exposure panel low", "vulnerability xss high"},
	},
	{
		Name: "a list", Score: 95,
		Report: `[{"template-id":"CVE-2021-44228","info":{"name":"Log4j","tags":["cve"],"severity":"critical","classification":{"cve-id":["cve-2021-44228"],"cvss-score":10}},"host":"www.a.test","matched-at":"www.a.test:443","matcher-name":"m","extracted-results":["x"],"matcher-status":true},{"template-id":"b","info":{"name":"B","severity":"info","tags":["misconfig"],"classification":{"cve-id":"CVE-2020-1234","cwe-id":null}},"host":"h"},{"template-id":"c","info":{"name":"C"},"host":"h","matcher-status":false}]`,
		Want:   []string{"vulnerability CVE-2021-44228 critical", "vulnerability b info aka CVE-2020-1234"},
	},
}

func TestAPlaceIsKeptWithoutItsQuery(t *testing.T) {
	t.Parallel()
	f := reporttest.Read(t, New(), cases[0].Report).Findings[0]
	if f.Asset.Key != "shop.test" || f.Anchor != "https://shop.test/admin" || f.Attributes["matched_at"] != "https://shop.test/admin" || len(f.References) != 2 {
		t.Errorf("finding %+v", f)
	}
}
