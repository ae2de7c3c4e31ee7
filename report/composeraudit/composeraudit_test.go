package composeraudit

import (
	"strings"
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
		Name: "advisories and abandoned packages", Score: 95, Complete: true,
		Report: `{"advisories":{"acme/a":[{"advisoryId":"PKSA-1","packageName":"acme/a","affectedVersions":"<1.1","title":"RCE","cve":"CVE-2024-1","link":"https://a.test/1","reportedAt":"2024-05-01","sources":[{"name":"GitHub","remoteId":"GHSA-aaaa-bbbb-cccc"},{"name":"FriendsOfPHP","remoteId":"acme/a/CVE-2024-1.yaml"}],"severity":"critical"}],"acme/b":{"1":{"advisoryId":"PKSA-2","title":"XSS","cve":null,"severity":"low"}}},"ignored-advisories":{"acme/c":[{"advisoryId":"PKSA-3","title":"DoS","ignoreReason":"not used"}]},"abandoned":{"acme/old":"acme/new","acme/older":null}}`,
		Want: []string{
			"vulnerability CVE-2024-1 critical pkg:composer/acme/a@ composer.lock:0-0 aka PKSA-1,GHSA-aaaa-bbbb-cccc",
			"vulnerability PKSA-2 low pkg:composer/acme/b@ composer.lock:0-0",
			"vulnerability PKSA-3 unknown pkg:composer/acme/c@ composer.lock:0-0 accepted_risk",
			"end_of_life abandoned info pkg:composer/acme/old@ composer.lock:0-0",
			"end_of_life abandoned info pkg:composer/acme/older@ composer.lock:0-0",
		},
	},
	{
		Name: "nothing found", Score: 90, Complete: true,
		Report: `{"advisories":[],"abandoned":[]}`,
		Want:   nil,
	},
}

func TestTheNextPackageIsTheWayOut(t *testing.T) {
	t.Parallel()
	found := reporttest.Read(t, New(), cases[0].Report).Findings
	if got := found[3].Mitigation; got != "Use acme/new instead." {
		t.Errorf("mitigation %q", got)
	}
	if got := found[4].Mitigation; got != "" {
		t.Errorf("mitigation %q of a package without one that follows", got)
	}
}

func TestAnAdvisoryWithoutAPackageIsRefused(t *testing.T) {
	t.Parallel()
	err := New().Read(t.Context(), strings.NewReader(`{"advisories":[{"advisoryId":"PKSA-1"}],"abandoned":[]}`), &reporttest.Facts{})
	if err == nil || !strings.Contains(err.Error(), "advisories[0]") {
		t.Errorf("%v, want a fault at advisories[0]", err)
	}
}
