package spdx

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/report/reporttest"
)

const version2 = `{"SPDXID":"SPDXRef-DOCUMENT","spdxVersion":"SPDX-2.3","name":"doc","dataLicense":"CC0-1.0","creationInfo":{"created":"2024-05-01T00:00:00Z","creators":["Person: x","Tool: syft-1.50.0"]},
 "documentDescribes":["SPDXRef-root"],
 "packages":[
  {"SPDXID":"SPDXRef-root","name":"img","versionInfo":"sha256:abcd","primaryPackagePurpose":"CONTAINER"},
  {"SPDXID":"SPDXRef-a","name":"a","versionInfo":"1.0","licenseConcluded":"NOASSERTION","licenseDeclared":"MIT","packageFileName":"a.jar","checksums":[{"algorithm":"SHA256","checksumValue":"ff"}],
   "externalRefs":[{"referenceCategory":"PACKAGE-MANAGER","referenceType":"purl","referenceLocator":"pkg:maven/org.test/a@1.0"},
    {"referenceCategory":"SECURITY","referenceType":"advisory","referenceLocator":"https://a.test/CVE-2024-12345"},
    {"referenceCategory":"SECURITY","referenceType":"cpe23Type","referenceLocator":"cpe:2.3:a:b:CVE-2024-1"}]},
  {"SPDXID":"SPDXRef-b","name":"b","versionInfo":"2","licenseDeclared":"NONE"}],
 "relationships":[{"spdxElementId":"SPDXRef-root","relationshipType":"DEPENDS_ON","relatedSpdxElement":"SPDXRef-a"},
  {"spdxElementId":"SPDXRef-b","relationshipType":"BUILD_DEPENDENCY_OF","relatedSpdxElement":"SPDXRef-a"},
  {"spdxElementId":"SPDXRef-a","relationshipType":"CONTAINS","relatedSpdxElement":"SPDXRef-b"}]}`

const tagged = `# made by hand
SPDXVersion: SPDX-2.2
DataLicense: CC0-1.0
SPDXID: SPDXRef-DOCUMENT
DocumentName: doc
DocumentComment: <text>two
PackageName: no package
lines</text>
Creator: Person: x
Creator: Tool: syft-1.50.0
Created: 2024-05-01T00:00:00Z
Relationship: SPDXRef-DOCUMENT DESCRIBES SPDXRef-root

##### Package: img

PackageName: img
SPDXID: SPDXRef-root
PackageVersion: sha256:abcd
PrimaryPackagePurpose: CONTAINER

PackageName: a
SPDXID: SPDXRef-a
PackageVersion: 1.0
PackageFileName: a.jar
PackageChecksum: SHA256: ff
PackageLicenseConcluded: NOASSERTION
PackageLicenseDeclared: MIT
ExternalRef: PACKAGE-MANAGER purl pkg:maven/org.test/a@1.0
ExternalRef: SECURITY advisory https://a.test/CVE-2024-12345

PackageName: b
SPDXID: SPDXRef-b
PackageVersion: 2

FileName: ./f
SPDXID: SPDXRef-f
Relationship: SPDXRef-root DEPENDS_ON SPDXRef-a
Relationship: SPDXRef-b BUILD_DEPENDENCY_OF SPDXRef-a
`

const version3 = `{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[
 {"type":"Relationship","spdxId":"u:r1","relationshipType":"hasDeclaredLicense","from":"u:a","to":["u:l"]},
 {"type":"Relationship","spdxId":"u:r2","relationshipType":"dependsOn","from":"u:root","to":["u:a"]},
 {"type":"LifecycleScopedRelationship","spdxId":"u:r3","relationshipType":"dependsOn","scope":"build","from":"u:a","to":["u:b"]},
 {"@id":"_:c","type":"CreationInfo","specVersion":"3.0.1","created":"2024-05-01T00:00:00Z","createdUsing":["u:t"]},
 {"spdxId":"u:t","type":"Tool","name":"syft-1.50.0"},
 {"spdxId":"u:doc","type":"SpdxDocument","name":"doc","rootElement":["u:bom"]},
 {"spdxId":"u:bom","type":"software_Sbom","rootElement":["u:root"]},
 {"spdxId":"u:root","type":"software_Package","name":"img","software_packageVersion":"sha256:abcd","software_primaryPurpose":"container"},
 {"name":"a","software_packageVersion":"1.0","software_packageUrl":"pkg:maven/org.test/a@1.0","spdxId":"u:a","verifiedUsing":[{"type":"Hash","algorithm":"sha256","hashValue":"ff"}],
  "externalRef":[{"type":"ExternalRef","externalRefType":"securityAdvisory","locator":["https://a.test/CVE-2024-12345"]}],"type":"software_Package"},
 {"spdxId":"u:b","type":"software_Package","name":"b","software_packageVersion":"2"},
 {"spdxId":"u:f","type":"software_File","name":"./f"},
 {"spdxId":"u:l","type":"simplelicensing_LicenseExpression","simplelicensing_licenseExpression":"MIT"}]}`

const assessed = `{"@context":"https://spdx.org/rdf/3.0.1/spdx-context.jsonld","@graph":[
 {"type":"security_VexNotAffectedVulnAssessmentRelationship","spdxId":"u:x1","relationshipType":"doesNotAffect","from":"u:v","to":["u:a","u:gone"],"security_justificationType":"vulnerableCodeNotPresent","security_impactStatement":"not built in"},
 {"type":"Relationship","spdxId":"u:r1","relationshipType":"hasAssociatedVulnerability","from":"u:a","to":["u:v","u:unknown"]},
 {"@id":"_:c","type":"CreationInfo","specVersion":"3.0.1","created":"0001-01-01T00:00:00Z"},
 {"type":"security_Vulnerability","spdxId":"u:v","name":"Bad","description":"text","externalIdentifier":[{"type":"ExternalIdentifier","externalIdentifierType":"securityOther","identifier":"GHSA-aaaa-bbbb-cccc"},{"type":"ExternalIdentifier","externalIdentifierType":"cve","identifier":"CVE-2024-1"}]},
 {"type":"security_VexFixedVulnAssessmentRelationship","spdxId":"u:x2","relationshipType":"fixedIn","from":"u:v","to":["u:a"]},
 {"spdxId":"u:a","type":"software_Package","name":"a","software_packageVersion":"1","software_packageUrl":"pkg:npm/a@1"}]}`

func TestTheSecurityProfileIsReadIntoFindingsAndStatements(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), assessed)
	aliases := []string{"GHSA-aaaa-bbbb-cccc"}
	not := fact.Analysis{State: fact.AnalysisNotAffected, Justification: "vulnerable_code_not_present", Detail: "not built in", Source: "spdx"}
	want := []fact.Statement{
		{Advisory: "CVE-2024-1", Aliases: aliases, Products: []string{"pkg:npm/a@1"}, Analysis: not},
		{Advisory: "CVE-2024-1", Aliases: aliases, Products: []string{"u:gone"}, Analysis: not},
		{Advisory: "CVE-2024-1", Aliases: aliases, Products: []string{"pkg:npm/a@1"}, Analysis: fact.Analysis{State: fact.AnalysisResolved, Source: "spdx"}},
	}
	if diff := cmp.Diff(want, facts.Statements, cmpopts.IgnoreFields(fact.Statement{}, "Position")); diff != "" {
		t.Errorf("statements (-want +got):\n%s", diff)
	}
	var got []string
	for _, f := range facts.Findings {
		got = append(got, reporttest.InShort(f))
	}
	if diff := cmp.Diff([]string{"vulnerability CVE-2024-1 unknown pkg:npm/a@1@1 aka GHSA-aaaa-bbbb-cccc"}, got); diff != "" {
		t.Errorf("findings (-want +got):\n%s", diff)
	}
	if started := facts.Runs[0].Started; started != 0 {
		t.Errorf("started %d, want unknown for the year 1", started)
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	reporttest.Conformance(t, New(), version2, version3, assessed)
}

func FuzzRead(f *testing.F) { reporttest.Fuzz(f, New(), version2, version3, tagged, assessed) }

func TestEachFormTellsTheSame(t *testing.T) {
	t.Parallel()
	prefixes := map[string]string{version2: "SPDXRef-", tagged: "SPDXRef-", version3: "u:"}
	for _, text := range []string{version2, tagged, version3} {
		facts := reporttest.Read(t, New(), text)
		at := prefixes[text]
		want := []fact.Component{
			{Package: fact.Package{Name: "img", Version: "sha256:abcd"}, Type: "container", Ref: at + "root", Requires: []string{at + "a"}},
			{
				Package: fact.Package{Ecosystem: "Maven", Name: "org.test:a", Version: "1.0", PURL: "pkg:maven/org.test/a@1.0"}, Ref: at + "a",
				Licenses: []string{"MIT"}, Hashes: map[string]string{"SHA256": "ff"}, Requires: []string{at + "b"},
			},
			{Package: fact.Package{Name: "b", Version: "2"}, Ref: at + "b"},
		}
		if text != version3 { // which names files as elements of their own
			want[1].Path = "a.jar"
		}
		if diff := cmp.Diff(want, facts.Components, cmpopts.IgnoreFields(fact.Component{}, "Position")); diff != "" {
			t.Errorf("%.20s: components (-want +got):\n%s", text, diff)
		}
		for _, c := range facts.Components {
			if p := c.Position; p.Length <= 0 || !strings.Contains(text[p.Offset:p.Offset+p.Length], c.Package.Version) {
				t.Errorf("%.20s: %s is not at %+v", text, c.Ref, p)
			}
		}
		run := fact.Run{Tool: "syft", ToolVersion: "1.50.0", Format: "spdx", Target: "img", Started: 1714521600000000, Complete: true}
		if diff := cmp.Diff([]fact.Run{run}, facts.Runs); diff != "" {
			t.Errorf("%.20s: runs (-want +got):\n%s", text, diff)
		}
		if len(facts.Findings) != 1 {
			t.Fatalf("%.20s: findings %+v, want one", text, facts.Findings)
		}
		f := facts.Findings[0]
		if f.Rule != "CVE-2024-12345" || f.Package.Name != "org.test:a" || f.Asset != (fact.Asset{Kind: fact.AssetImage, Key: "sha256:abcd", Name: "img"}) {
			t.Errorf("%.20s: finding %+v", text, f)
		}
	}
}

func TestADocumentThatDoesNotSayWhatItIsIsRefused(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ what, text, want string }{
		{"no identifier", strings.Replace(version2, `"SPDXID":"SPDXRef-DOCUMENT"`, `"SPDXID":""`, 1), "SPDX identifier"},
		{"a future version", strings.Replace(version2, "SPDX-2.3", "SPDX-7.0", 1), "SPDX-7.0"},
		{"no version", strings.Replace(version2, `"spdxVersion":"SPDX-2.3",`, "", 1), "spdxVersion"},
		{"no identifier, tags", strings.Replace(tagged, "SPDXID: SPDXRef-DOCUMENT\n", "", 1), "SPDX identifier"},
		{"a line that is no tag, tags", strings.Replace(tagged, "PackageName: b\n", "PackageName b\n", 1), ":31 (byte 7"},
		{"a text without end, tags", tagged + "PackageComment: <text>on and on\nand on\n", "begins in line 39"},
		{"no creation, version 3", strings.Replace(version3, "CreationInfo", "Other", 1), "specVersion"},
		{"a future version 4", strings.Replace(version3, `"3.0.1","created"`, `"4.0","created"`, 1), "specVersion 3.0"},
		{"a comma too many", strings.Replace(version2, `"SPDXRef-b"}]}`, `"SPDXRef-b"},]}`, 1), "a value"},
	} {
		var facts reporttest.Facts
		err := report.Read(t.Context(), []report.Reader{New()}, "f", strings.NewReader(test.text), &facts)
		var fault *report.Error
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v, want a fault that names %q", test.what, err, test.want)
		}
		if len(facts.Runs) != 1 || facts.Runs[0].Complete {
			t.Errorf("%s: runs %+v, want one that is not complete", test.what, facts.Runs)
		}
	}
}

func TestADocumentIsReadOutOfItsEnvelope(t *testing.T) {
	t.Parallel()
	plain := reporttest.Read(t, New(), version2)
	for _, text := range []string{
		`{"sbom":` + version2 + `}`, `{"SPDX":` + version2 + `}`,
		`{"_type":"https://in-toto.io/Statement/v1","subject":[],"predicateType":"https://spdx.dev/Document/v2.3","predicate":` + version2 + `}`,
	} {
		facts := reporttest.Read(t, New(), text)
		if diff := cmp.Diff(plain.Components, facts.Components, cmpopts.IgnoreFields(fact.Component{}, "Position")); diff != "" {
			t.Errorf("%.20s: components (-plain +got):\n%s", text, diff)
		}
	}
	nested := `{"sbom":{"sbom":` + version2 + `}}`
	if err := New().Read(t.Context(), strings.NewReader(nested), &reporttest.Facts{}); err == nil {
		t.Error("an envelope in an envelope was read")
	}
}

func TestTagsAreNotTakenFromProse(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a line\nSPDXVersion: SPDX-2.2\n", "<p>\nSPDXVersion: SPDX-2.2", "SPDXVersion: none", "key: value\nlist:\n - SPDXVersion: SPDX-2.2\n"} {
		if score := New().Detect([]byte(text)); score != 0 {
			t.Errorf("Detect(%q) = %d, want 0", text, score)
		}
	}
}

func TestAToolIsNamedWithoutItsVersion(t *testing.T) {
	t.Parallel()
	for creator, want := range map[string][2]string{
		"Tool: apko (devel)": {"apko", "devel"}, "Tool: Plugin 0.7": {"Plugin", "0.7"}, "Tool: Acme.SBOM-v2.2.3-rc1": {"Acme.SBOM", "v2.2.3-rc1"},
		"Tool: github.com/spdx/tools-golang/builder": {"github.com/spdx/tools-golang/builder", ""}, "Organization: Acme-1.0": {"spdx", ""},
	} {
		run := reporttest.Read(t, New(), strings.Replace(version2, "Tool: syft-1.50.0", creator, 1)).Runs[0]
		if run.Tool != want[0] || run.ToolVersion != want[1] {
			t.Errorf("%s is %q of version %q, want %q", creator, run.Tool, run.ToolVersion, want)
		}
	}
}

func TestASubjectThatIsNoImageIsARepository(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), strings.Replace(version2, `"CONTAINER"`, `"APPLICATION"`, 1))
	if got := facts.Findings[0].Asset; got != (fact.Asset{Kind: fact.AssetRepository, Key: "img", Name: "img"}) {
		t.Errorf("asset %+v", got)
	}
}
