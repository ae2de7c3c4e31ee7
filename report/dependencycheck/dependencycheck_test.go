package dependencycheck

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
		Name: "XML", Score: 95, Complete: true,
		Report: `<?xml version="1.0"?><analysis xmlns="https://jeremylong.github.io/DependencyCheck/dependency-check.4.0.xsd"><scanInfo><engineVersion>9.0</engineVersion></scanInfo>
<projectInfo><name>shop</name><reportDate>2024-05-01T00:00:00Z</reportDate></projectInfo><dependencies>
<dependency isVirtual="false"><fileName>a.jar</fileName><filePath>/w/a.jar</filePath><evidenceCollected><evidence type="vendor"><source>s</source><name>n</name></evidence></evidenceCollected>
<identifiers><package confidence="HIGH"><id>pkg:maven/org.test/a@1.0</id><url>https://x.test</url></package><vulnerabilityIds><id>cpe:2.3:a:b</id></vulnerabilityIds></identifiers>
<vulnerabilities><vulnerability source="NVD"><name>CVE-2024-1</name><severity>HIGH</severity><cvssV2><score>5.0</score><severity>MEDIUM</severity></cvssV2><cvssV3><baseScore>8.1</baseScore><baseSeverity>HIGH</baseSeverity></cvssV3><cwes><cwe>CWE-79</cwe></cwes><description>bad</description><references><reference><source>S</source><url>https://r.test</url><name>N</name></reference></references></vulnerability>
<suppressedVulnerability><name>CVE-2024-2</name><severity>LOW</severity><notes>not used</notes></suppressedVulnerability></vulnerabilities></dependency>
<dependency><fileName>c.dll</fileName><filePath>C:\c.dll</filePath><vulnerabilities><vulnerability><name>CVE-2024-3</name><cvssScore>9.5</cvssScore></vulnerability></vulnerabilities></dependency>
<dependency><fileName>d.jar</fileName><filePath>d.jar</filePath><identifiers><identifier type="maven"><name>(org.test:d:2.0)</name></identifier></identifiers><vulnerabilities><vulnerability><name>CVE-2024-4</name><severity>Moderate</severity></vulnerability></vulnerabilities></dependency>
</dependencies></analysis>`,
		Want: []string{
			"vulnerability CVE-2024-1 high pkg:maven/org.test/a@1.0@1.0 /w/a.jar:0-0",
			"vulnerability CVE-2024-2 low pkg:maven/org.test/a@1.0@1.0 /w/a.jar:0-0 accepted_risk",
			`vulnerability CVE-2024-3 critical @ C:\c.dll:0-0`,
			"vulnerability CVE-2024-4 medium pkg:maven/org.test/d@2.0@2.0 d.jar:0-0",
		},
	},
	{
		Name: "JSON", Score: 95, Complete: true,
		Report: `{"reportSchema":"1.1","scanInfo":{"engineVersion":"9.0"},"projectInfo":{"name":"shop","reportDate":"2024-05-01T00:00:00Z"},"dependencies":[{"isVirtual":false,"fileName":"a.jar","filePath":"/w/a.jar","packages":[{"id":"pkg:maven/org.test/a@1.0","confidence":"HIGH"}],"vulnerabilities":[{"source":"NVD","name":"CVE-2024-1","severity":"HIGH","cvssv2":{"score":5.0},"cvssv3":{"baseScore":8.1,"baseSeverity":"HIGH"},"cwes":["CWE-79"],"description":"bad","references":[{"source":"S","url":"https://r.test","name":"N"}]}],"suppressedVulnerabilities":[{"name":"CVE-2024-2","severity":"LOW","notes":"not used"}]},{"fileName":"e.jar","filePath":"e.jar"}]}`,
		Want: []string{
			"vulnerability CVE-2024-1 high pkg:maven/org.test/a@1.0@1.0 /w/a.jar:0-0",
			"vulnerability CVE-2024-2 low pkg:maven/org.test/a@1.0@1.0 /w/a.jar:0-0 accepted_risk",
		},
	},
}

func TestXMLAndJSONTellTheSame(t *testing.T) {
	t.Parallel()
	inXML, inJSON := reporttest.Read(t, New(), cases[0].Report), reporttest.Read(t, New(), cases[1].Report)
	for i, f := range inJSON.Findings {
		other := inXML.Findings[i]
		f.Position = other.Position
		if diff := cmp.Diff(f, other); diff != "" {
			t.Errorf("finding %d (-JSON +XML):\n%s", i, diff)
		}
	}
	if diff := cmp.Diff(inJSON.Runs, inXML.Runs); diff != "" {
		t.Errorf("runs (-JSON +XML):\n%s", diff)
	}
	if f := inXML.Findings[0]; f.Score != 8.1 || len(f.CWE) != 1 || f.Analysis.State != "" {
		t.Errorf("finding %+v", f)
	}
	if f := inXML.Findings[1]; f.Analysis.Detail != "not used" {
		t.Errorf("suppressed finding %+v", f)
	}
}
