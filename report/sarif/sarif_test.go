package sarif

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report/reporttest"
)

const sample = `{"$schema": "https://json.schemastore.org/sarif-2.1.0.json", "version": "2.1.0", "runs": [{
 "results": [
  {"ruleId": "go/sql", "ruleIndex": 0, "message": {"id": "default", "arguments": ["query"]}, "kind": "fail",
   "locations": [{"physicalLocation": {"artifactLocation": {"uri": "src/a%20b.go"}, "region": {"startLine": 7, "endLine": 9, "snippet": {"text": "db.Query(q)"}}}, "logicalLocations": [{"fullyQualifiedName": "main.run"}]}],
   "partialFingerprints": {"primaryLocationLineHash": "abc:1"}, "codeFlows": [{"threadFlows": [{"locations": []}]}]},
  {"ruleId": "go/two", "level": "note", "message": {"text": "twice"}, "locations": [
    {"physicalLocation": {"artifactLocation": {"uri": "a.go"}, "region": {"startLine": 1}}}, {"physicalLocation": {"artifactLocation": {"uri": "b.go"}, "region": {"startLine": 2, "endLine": 1}}}]},
  {"ruleId": "go/quiet", "message": {"text": "hidden"}, "suppressions": [{"kind": "external", "status": "accepted", "justification": "known"}]},
  {"ruleId": "go/open", "message": {"text": "asked"}, "suppressions": [{"kind": "external", "status": "underReview"}]},
  {"ruleId": "go/pass", "kind": "pass", "message": {"text": "fine"}},
  {"ruleId": "X", "ruleIndex": 99, "message": {"text": "out of range"}},
  {"rule": {"index": 0, "toolComponent": {"index": 0}}, "message": {"text": "of an extension"}}],
 "tool": {"driver": {"name": "Analyser", "semanticVersion": "1.2.3", "rules": [
   {"id": "go/sql", "name": "SQL", "shortDescription": {"text": "SQL injection"}, "helpUri": "https://example.test/sql", "messageStrings": {"default": {"text": "{0} is built from input"}},
    "defaultConfiguration": {"level": "error"}, "properties": {"security-severity": "8.8", "tags": ["external/cwe/cwe-089"]}}]},
  "extensions": [{"name": "more", "rules": [{"id": "ext/1", "shortDescription": {"text": "Extended"}, "defaultConfiguration": {"level": "error"}}]}]}}]}`

const vulnerabilities = `{"version": "2.1.0", "runs": [{"tool": {"driver": {"name": "Trivy", "rules": []}}, "results": [
 {"ruleId": "CVE-2024-0001", "level": "error", "message": {"text": "Package: libx\nInstalled Version: 1.0\nVulnerability CVE-2024-0001\nSeverity: HIGH\nFixed Version: 1.1, 2.0"}}]},
 {"tool": {"driver": {"name": "gitleaks"}}, "invocations": [{"executionSuccessful": false}], "results": [{"ruleId": "key", "message": {"text": "a key"}}]}]}`

func TestConformance(t *testing.T) { reporttest.Conformance(t, New(), sample, vulnerabilities) }

func FuzzRead(f *testing.F) { reporttest.Fuzz(f, New(), sample, vulnerabilities) }

func TestJoinsResultsWithRulesThatComeAfterThem(t *testing.T) {
	facts := reporttest.Read(t, New(), sample)
	if len(facts.Findings) != 7 {
		t.Fatalf("%d findings, want 7: one a location, none for a pass", len(facts.Findings))
	}
	f := facts.Findings[0]
	if f.Title != "query is built from input" || f.Severity != fact.SeverityHigh || f.Score != 8.8 || len(f.CWE) != 1 || f.CWE[0] != 89 {
		t.Errorf("title %q, severity %v, score %v, CWE %v", f.Title, f.Severity, f.Score, f.CWE)
	}
	if f.Path != "src/a b.go" || f.Line != 7 || f.EndLine != 9 || f.Anchor != "main.run" {
		t.Errorf("place %q:%d-%d %q", f.Path, f.Line, f.EndLine, f.Anchor)
	}
	if a, b := facts.Findings[1], facts.Findings[2]; a.Path != "a.go" || b.Path != "b.go" || b.EndLine != 2 || a.Severity != fact.SeverityInfo {
		t.Errorf("two locations: %q and %q, end %d, severity %v", a.Path, b.Path, b.EndLine, a.Severity)
	}
	if got := facts.Findings[3].Analysis; got.State != fact.AnalysisAcceptedRisk || got.Detail != "known" {
		t.Errorf("a suppression is %+v, want an accepted risk", got)
	}
	if got := facts.Findings[4].Analysis; got.State != "" {
		t.Errorf("a suppression under review is %+v, want none", got)
	}
	if f := facts.Findings[5]; f.Severity != fact.SeverityMedium {
		t.Errorf("without a rule severity is %v, want that of a warning", f.Severity)
	}
	if f := facts.Findings[6]; f.Rule != "ext/1" || f.Severity != fact.SeverityHigh {
		t.Errorf("of an extension: rule %q, severity %v", f.Rule, f.Severity)
	}
}

func TestTellsVulnerabilitiesAndSecretsFromCode(t *testing.T) {
	facts := reporttest.Read(t, New(), vulnerabilities)
	f := facts.Findings[0]
	if f.Kind != fact.Vulnerability || f.Package.Name != "libx" || f.Package.Version != "1.0" || len(f.FixedVersions) != 2 {
		t.Errorf("vulnerability: %+v", f)
	}
	if f := facts.Findings[1]; f.Kind != fact.Secret {
		t.Errorf("kind of a secret scanner's result is %s", f.Kind)
	}
	if facts.Runs[1].Complete {
		t.Error("a run that says that it failed is complete")
	}
}

func TestAFileIsNamedByIndexBaseOrTarget(t *testing.T) {
	t.Parallel()
	facts := reporttest.Read(t, New(), `{"version":"2.1.0","runs":[{"results":[
 {"ruleId":"a","message":{"text":"m"},"locations":[{"physicalLocation":{"artifactLocation":{"index":1},"region":{"startLine":3}}}]},
 {"ruleId":"b","message":{"text":"m"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"x%20y.js","uriBaseId":"WEB"},"region":{"startLine":4}}}]},
 {"ruleId":"c","message":{"text":"m"},"analysisTarget":{"uri":"lib/z.c"}},
 {"ruleId":"d","message":{"text":"m"},"locations":[{"physicalLocation":{"artifactLocation":{"index":7},"region":{"startLine":5}}}]},
 {"ruleId":"e","message":{"text":"m"},"locations":[{"physicalLocation":{"artifactLocation":{"uri":"y.js","uriBaseId":"LOOP"}}}]}],
 "artifacts":[{"location":{"uri":"src/a.py"}},{"location":{"uri":"b.py","uriBaseId":"WEB"}}],
 "originalUriBaseIds":{"ROOT":{"uri":"file:///home/build/"},"WEB":{"uri":"web/","uriBaseId":"ROOT"},"LOOP":{"uri":"l/","uriBaseId":"LOOP"}},
 "tool":{"driver":{"name":"t"}}}]}`)
	var got []string
	for _, f := range facts.Findings {
		got = append(got, fmt.Sprintf("%s %s:%d %s", f.Rule, f.Path, f.Line, f.Attributes["repo_file_path"]))
	}
	want := []string{"a b.py:3 web/b.py", "b x y.js:4 web/x y.js", "c lib/z.c:0 ", "d :5 ", "e y.js:0 l/y.js"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("places (-want +got):\n%s", diff)
	}
}
