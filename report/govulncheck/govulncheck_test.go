package govulncheck

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
		Name: "stream of messages", Score: 95, Complete: true,
		Report: `{"config":{"protocol_version":"v1.0.0","scanner_name":"govulncheck","scanner_version":"v1.1.4"}}
{"osv":{"id":"GO-1","aliases":["CVE-1-1"],"summary":"s"}}
{"osv":{"id":"GO-2"}}
{"finding":{"osv":"GO-1","fixed_version":"v0.3.8","trace":[{"module":"x.test/t","version":"v0.3.5"}]}}
{"finding":{"osv":"GO-1","fixed_version":"v0.3.8","trace":[{"module":"x.test/t","version":"v0.3.5","package":"x.test/t/l","function":"Parse"},{"module":"x.test/mid","package":"x.test/mid","function":"F"},{"module":"own.test","package":"own.test","function":"main","position":{"filename":"main.go","line":12}}]}}`,
		Want: []string{
			"vulnerability GO-1 unknown pkg:golang/x.test/t@v0.3.5@v0.3.5 main.go:12-12 aka CVE-1-1 fixed v0.3.8 via x.test/mid,x.test/t",
		},
	},
	{
		Name: "messages in an array", Score: 90, Complete: true,
		Report: `[{"config":{"scanner_name":"govulncheck","protocol_version":"v1"}},{"finding":{"osv":"GO-3","trace":[{"module":"stdlib","version":"v1.2.0","package":"net/http"}]}}]`,
		Want: []string{
			"vulnerability GO-3 unknown pkg:golang/stdlib@v1.2.0@v1.2.0",
		},
	},
	{
		Name: "object of early versions", Score: 90, Complete: true,
		Report: `{"Calls":{"Functions":{"1":{"ID":1,"Name":"main","PkgPath":"own.test","CallSites":[]},"2":{"ID":2,"Name":"Open","PkgPath":"net/http","CallSites":[{"Parent":1,"Pos":{"Filename":"/src/main.go","Line":9}}]}}},"Requires":{"Modules":{"1":{"Path":"stdlib","Version":"v1.19.0"}}},"Vulns":[{"OSV":{"id":"GO-4","aliases":["CVE-4-4"]},"Symbol":"Open","PkgPath":"net/http","ModPath":"stdlib","CallSink":2}],"Modules":null}`,
		Want: []string{
			"vulnerability GO-4 unknown pkg:golang/stdlib@v1.19.0@v1.19.0 /src/main.go:9-9 aka CVE-4-4",
		},
	},
	{
		Name: "object with call stacks", Score: 90, Complete: true,
		Report: `{"Vulns":[{"OSV":{"id":"GO-5"},"Modules":[{"Path":"m.test","FoundVersion":"v1.0.0","FixedVersion":"v1.1.0","Packages":[{"Path":"m.test/p","CallStacks":[{"Symbol":"Do","Frames":[{"PkgPath":"own.test","FuncName":"main","Position":{"Filename":"m.go","Line":5}},{"PkgPath":"m.test/p","FuncName":"Do"}]}]}]}]}]}`,
		Want: []string{
			"vulnerability GO-5 unknown pkg:golang/m.test@v1.0.0@v1.0.0 m.go:5-5 fixed v1.1.0",
		},
	},
}
