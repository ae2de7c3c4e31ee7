package zap

import (
	"testing"

	"github.com/google/go-cmp/cmp"

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
		Name: "JSON", Score: 95,
		Report: `{"@programName":"ZAP","@version":"2.16","site":[{"@name":"https://shop.test","@host":"shop.test","@port":"443","alerts":[{"pluginid":"10055","alertRef":"10055-4","alert":"CSP: Wildcard","name":"CSP","riskcode":"2","confidence":"3","desc":"<p>d</p>","instances":[{"uri":"https://shop.test/a?token=1","method":"GET","param":"p","evidence":"secret"},{"uri":"https://shop.test/b","method":"GET"}],"solution":"<p>s</p>","reference":"<p>https://x.test</p>","cweid":"693"},{"pluginid":"10098","name":"CORS","riskcode":"1","confidence":"0","cweid":"-1"}]}]}`,
		Want:   []string{"code 10055 medium", "code 10098 low false_positive"},
	},
	{
		Name: "XML", Score: 98,
		Report: `<?xml version="1.0"?><OWASPZAPReport programName="ZAP" version="2.16"><site name="https://shop.test" host="shop.test" port="443" ssl="true"><alerts><alertitem><pluginid>10055</pluginid><alertRef>10055-4</alertRef><alert>CSP: Wildcard</alert><name>CSP</name><riskcode>2</riskcode><confidence>3</confidence><desc>&lt;p&gt;d&lt;/p&gt;</desc><instances><instance><uri>https://shop.test/a?token=1</uri><method>GET</method><param>p</param><evidence>secret</evidence></instance><instance><uri>https://shop.test/b</uri><method>GET</method></instance></instances><solution>s</solution><reference>https://x.test</reference><cweid>693</cweid></alertitem></alerts></site></OWASPZAPReport>`,
		Want:   []string{"code 10055 medium"},
	},
	{Name: "nothing", Score: 98, Report: `<OWASPZAPReport version="2.9.0"><site name="https://a.test" host="a.test"><alerts></alerts></site></OWASPZAPReport>`},
}

func TestBothLayoutsGiveTheSameFinding(t *testing.T) {
	t.Parallel()
	one, two := reporttest.Read(t, New(), cases[0].Report).Findings[0], reporttest.Read(t, New(), cases[1].Report).Findings[0]
	one.Position = two.Position
	if diff := cmp.Diff(one, two); diff != "" {
		t.Errorf("JSON and XML differ:\n%s", diff)
	}
	if one.Asset.Key != "shop.test" || one.Anchor != "https://shop.test CSP: Wildcard" || one.Attributes["place"] != "GET https://shop.test/a" || one.Attributes["places"] != "2" {
		t.Errorf("finding %+v", one)
	}
}

func TestAReportOfGitLabIsNone(t *testing.T) {
	t.Parallel()
	if score := New().Detect([]byte(`{"@version":"2","site":[{"@name":"http://a.test","alerts":[]}],"version":"14","vulnerabilities":[]}`)); score != 0 {
		t.Errorf("Detect = %d", score)
	}
}
