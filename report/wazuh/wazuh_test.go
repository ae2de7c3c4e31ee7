package wazuh

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
		Name: "the API", Score: 90,
		Report: `{"data":{"affected_items":[{"architecture":"amd64","condition":"Package unfixed","cve":"CVE-1","cvss2_score":7.5,"cvss3_score":9.8,"external_references":["https://x.test"],"name":"x","severity":"Critical","status":"VALID","type":"PACKAGE","version":"2.11"}],"failed_items":[],"total_affected_items":1,"total_failed_items":0},"error":0}`,
		Want:   []string{"vulnerability CVE-1 critical @2.11"},
	},
	{
		Name: "the indexer", Score: 95,
		Report: `{"took":8,"hits":{"total":{"value":1},"hits":[{"_index":"wazuh-states-vulnerabilities-a","_id":"1","_source":{"agent":{"id":"001","name":"myhost"},"host":{"os":{"full":"Ubuntu 24.04.2 LTS","name":"Ubuntu","version":"24.04.2"}},"package":{"name":"linux","type":"deb","version":"6.8"},"vulnerability":{"description":"d","id":"CVE-2","reference":"https://x.test, https://y.test","score":{"base":9.1},"severity":"Critical"}}}]}}`,
		Want:   []string{"vulnerability CVE-2 critical pkg:deb/ubuntu/linux@6.8?distro=ubuntu-24.04@6.8"},
	},
}

func TestAFindingIsOfTheAgent(t *testing.T) {
	t.Parallel()
	if f := reporttest.Read(t, New(), cases[1].Report).Findings[0]; f.Asset.Key != "myhost" || len(f.References) != 2 || f.Score != 9.1 {
		t.Errorf("finding %+v", f)
	}
}
