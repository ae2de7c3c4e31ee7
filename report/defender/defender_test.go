package defender

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/report/reporttest"
)

func TestEachLayoutIsReadIntoFindings(t *testing.T) {
	t.Parallel()
	reporttest.Table(t, New(), append(cases, tables...))
}

func TestConformance(t *testing.T) {
	t.Parallel()
	reporttest.Conformance(t, New(), reporttest.Samples(cases)...)
}

func FuzzRead(f *testing.F) { reporttest.FuzzTable(f, New(), append(cases, tables...)) }

var cases = []reporttest.Case{
	{
		Name: "vulnerabilities of machines", Score: 95,
		Report: `{"@odata.context":"https://api.securitycenter.windows.test/api","value":[{"id":"m-_-CVE-2024-1","cveId":"CVE-2024-1","machineId":"m1","fixingKbId":"KB5","productName":"tools","productVendor":"v","productVersion":"1.2","severity":"Low"}],"@odata.nextLink":"https://x.test"}`,
		Want:   []string{"vulnerability CVE-2024-1 low @1.2"},
	},
	{Name: "nothing", Score: 60, Report: `{"@odata.context":"https://api.securitycenter.windows.test/api","value":[]}`},
}

const header = "\xef\xbb\xbf\"subscriptionId\",\"resourceName\",\"resourceId\",\"recommendationId\",\"recommendationName\",\"recommendationDisplayName\",\"description\",\"severity\",\"state\"\n"

var tables = []reporttest.Case{{
	Name: "recommendations", Score: 95, Complete: true,
	Report: header + `"s","net","/subscriptions/s/net","/subscriptions/s/net/assessments/r1","r1","Use a firewall","two` + "\n" + `lines","High","Unhealthy"` + "\n" +
		`"s","ok","/subscriptions/s/ok","x","r1","Use a firewall","d","High","Healthy"` + "\n" + `"s","na","/subscriptions/s/na","x","r1","Use a firewall","d","High","NotApplicable"` + "\n" +
		`"s","s","/subscriptions/s","x","r2","Turn on Defender","d","Medium","Unhealthy"` + "\n",
	Want: []string{"misconfiguration r1 high", "misconfiguration r2 medium"},
}}

func TestAssetsJoinTheGraph(t *testing.T) {
	t.Parallel()
	var got []string
	for _, sample := range []string{cases[0].Report, tables[0].Report} {
		for _, a := range reporttest.Read(t, New(), sample).Runs[0].Assets {
			got = append(got, a.Kind+" "+a.Key)
		}
	}
	want := []string{"host m1", "cloud_resource /subscriptions/s/net", "cloud_resource /subscriptions/s/ok", "account azure/s"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("assets that were looked at (-want +got):\n%s", diff)
	}
}

func TestAStateThatIsNotKnownIsAFault(t *testing.T) {
	t.Parallel()
	err := New().Read(t.Context(), strings.NewReader(header+`"s","a","/subscriptions/s/a","x","r","t","d","High","Odd"`+"\n"), &reporttest.Facts{})
	if err == nil || !strings.Contains(err.Error(), `row 2, column state: expected Healthy, Unhealthy or NotApplicable: it is "Odd"`) {
		t.Errorf("fault %v", err)
	}
}
