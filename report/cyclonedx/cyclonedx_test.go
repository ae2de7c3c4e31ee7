package cyclonedx

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report/reporttest"
)

const sample = `{"bomFormat": "CycloneDX", "specVersion": "1.6",
 "vulnerabilities": [
  {"id": "CVE-2024-1", "source": {"name": "NVD", "url": "https://example.test/nvd"}, "references": [{"id": "GHSA-aaaa-bbbb-cccc", "source": {"url": "https://example.test/ghsa"}}],
   "ratings": [{"severity": "low", "method": "OWASP"}, {"score": 9.8, "severity": "critical", "method": "CVSSv31", "vector": "AV:N"}], "cwes": [79], "description": "bad",
   "analysis": {"state": "not_affected", "justification": "code_not_reachable", "detail": "unused"}, "affects": [{"ref": "a"}, {"ref": "b"}]},
  {"id": "CVE-2024-2", "analysis": {"state": "exploitable", "response": ["will_not_fix"]}, "affects": [{"ref": "urn:cdx:1/1#a"}]}],
 "components": [{"type": "library", "bom-ref": "a", "group": "org.test", "name": "a", "version": "1", "purl": "pkg:maven/org.test/a@1", "licenses": [{"license": {"id": "MIT"}}], "hashes": [{"alg": "SHA-1", "content": "00"}],
   "components": [{"type": "library", "bom-ref": "b", "name": "b", "version": "2"}]}],
 "dependencies": [{"ref": "a", "dependsOn": ["b"]}]}`

const inXML = `<?xml version="1.0" encoding="UTF-8"?>
<bom xmlns="http://cyclonedx.org/schema/bom/1.6" version="1">
 <components><component type="library" bom-ref="a"><group>org.test</group><name>a</name><version>1</version>
  <hashes><hash alg="SHA-1">00</hash></hashes><licenses><license><id>MIT</id></license></licenses><purl>pkg:maven/org.test/a@1</purl>
  <components><component type="library" bom-ref="b"><name>b</name><version>2</version></component></components></component></components>
 <dependencies><dependency ref="a"><dependency ref="b"/></dependency></dependencies>
 <vulnerabilities>
  <vulnerability><id>CVE-2024-1</id><source><name>NVD</name><url>https://example.test/nvd</url></source>
   <references><reference><id>GHSA-aaaa-bbbb-cccc</id></reference></references>
   <ratings><rating><severity>low</severity><method>OWASP</method></rating><rating><score>9.8</score><severity>critical</severity><method>CVSSv31</method><vector>AV:N</vector></rating></ratings>
   <cwes><cwe>79</cwe></cwes><description>bad</description>
   <analysis><state>not_affected</state><justification>code_not_reachable</justification><detail>unused</detail></analysis>
   <affects><target><ref>a</ref></target><target><ref>b</ref></target></affects></vulnerability>
  <vulnerability><id>CVE-2024-2</id><analysis><state>exploitable</state><responses><response>will_not_fix</response></responses></analysis><affects><target><ref>urn:cdx:1/1#a</ref></target></affects></vulnerability>
 </vulnerabilities>
</bom>`

const extension = `<bom xmlns="http://cyclonedx.org/schema/bom/1.2" xmlns:v="http://cyclonedx.org/schema/ext/vulnerability/1.0">
 <components><component type="library"><name>tar</name><version>1.30</version>
  <v:vulnerabilities><v:vulnerability ref="urn:uuid:1"><v:id>CVE-2019-1</v:id><v:ratings><v:rating><v:score><v:base>4.3</v:base></v:score><v:severity>Low</v:severity></v:rating></v:ratings></v:vulnerability></v:vulnerabilities>
 </component></components></bom>`

func TestConformance(t *testing.T) { reporttest.Conformance(t, New(), sample, inXML, extension) }

func FuzzRead(f *testing.F) { reporttest.Fuzz(f, New(), sample, inXML, extension) }

func TestReadsTheSameFromJSONAndXML(t *testing.T) {
	fromJSON, fromXML := reporttest.Read(t, New(), sample), reporttest.Read(t, New(), inXML)
	ignore := cmpopts.IgnoreFields(fact.Finding{}, "Position", "References")
	if diff := cmp.Diff(fromJSON.Findings, fromXML.Findings, ignore); diff != "" {
		t.Errorf("findings (-JSON +XML):\n%s", diff)
	}
	if diff := cmp.Diff(fromJSON.Components, fromXML.Components, cmpopts.IgnoreFields(fact.Component{}, "Position"), cmpopts.SortSlices(func(a, b fact.Component) bool { return a.Ref < b.Ref })); diff != "" {
		t.Errorf("components (-JSON +XML):\n%s", diff)
	}
	if diff := cmp.Diff(fromJSON.Statements, fromXML.Statements, cmpopts.IgnoreFields(fact.Statement{}, "Position")); diff != "" {
		t.Errorf("statements (-JSON +XML):\n%s", diff)
	}
}

func TestResolvesComponentsThatComeAfterVulnerabilities(t *testing.T) {
	facts := reporttest.Read(t, New(), sample)
	if len(facts.Findings) != 2 || len(facts.Components) != 2 || len(facts.Statements) != 1 {
		t.Fatalf("%d findings, %d components, %d statements", len(facts.Findings), len(facts.Components), len(facts.Statements))
	}
	f := facts.Findings[0]
	if f.Package.Name != "org.test:a" || f.Severity != fact.SeverityCritical || f.Score != 9.8 || f.Analysis.State != fact.AnalysisNotAffected || f.Analysis.Justification != "code_not_reachable" {
		t.Errorf("finding: %+v", f)
	}
	if diff := cmp.Diff([]string{"GHSA-aaaa-bbbb-cccc"}, f.Aliases); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"b"}, facts.Components[0].Requires); diff != "" {
		t.Errorf("dependencies of a (-want +got):\n%s", diff)
	}
}

func TestADecisionNotToFixIsAnAcceptedRisk(t *testing.T) {
	s := reporttest.Read(t, New(), sample).Statements[0]
	if s.Advisory != "CVE-2024-2" || s.Analysis.State != fact.AnalysisAcceptedRisk || len(s.Products) != 1 || s.Products[0] != "a" {
		t.Errorf("statement about another document: %+v", s)
	}
}

func TestReadsTheOldExtensionOfAComponent(t *testing.T) {
	facts := reporttest.Read(t, New(), extension)
	if len(facts.Findings) != 1 || facts.Findings[0].Package.Name != "tar" || facts.Findings[0].Score != 4.3 {
		t.Fatalf("findings: %+v", facts.Findings)
	}
}

// A library that sorts members writes the components before all that names the
// format and the tool.
func TestADocumentThatNamesItsFormatLastIsKnown(t *testing.T) {
	t.Parallel()
	var text strings.Builder
	text.WriteString(`{"components":[`)
	for i := range 2000 {
		if i > 0 {
			text.WriteByte(',')
		}
		fmt.Fprintf(&text, `{"bom-ref":"p%d","name":"p%d","purl":"pkg:pypi/p%d@1.0","type":"library","version":"1.0"}`, i, i, i)
	}
	text.WriteString(`],"metadata":{"timestamp":"2025-01-02T03:04:05Z","tools":[{"name":"cyclonedx-py","version":"4.1"}]},"version":1,` +
		`"$schema":"http://cyclonedx.org/schema/bom-1.6.schema.json","bomFormat":"CycloneDX","specVersion":"1.6"}`)
	facts := reporttest.Read(t, New(), text.String())
	if len(facts.Components) != 2000 || len(facts.Runs) != 1 || facts.Runs[0].Tool != "cyclonedx-py" || facts.Runs[0].Started == 0 {
		t.Errorf("%d components, runs %+v", len(facts.Components), facts.Runs)
	}
}
