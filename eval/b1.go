package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"sort"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

// B1 reads real reports and compares what comes out with what the test suite of
// a peer, DefectDojo, asserts for the same files: the number of findings, after
// the peer's merging of equal ones, and single attributes.
//
// The folder tells which tool wrote a file, and so which rule of the peer
// applies; formats are recognised from content. Every file of every folder, whole
// and cut off at ten points, must be read without a panic.
var benchmarkB1 = Benchmark{
	ID: "B1", Title: "reports", Needs: "scanner-reports/expectations.json",
	Targets: map[string]float64{"files_equal": .98, "attributes_equal": .95, "crashes": 0},
	Most:    map[string]bool{"crashes": true},
	Run:     runB1,
}

// peerKind is what the peer does with the reports of one tool.
type peerKind struct {
	folders []string
	// same gives equal texts for findings that the peer merges into one; nil
	// when it merges none.
	same func(f *fact.Finding) string
	// drops says which findings the peer leaves out on purpose; nil for none.
	drops func(f *fact.Finding) bool
	// more counts what the peer makes findings of and we do not, in a report; nil
	// for nothing.
	more func(content []byte) int
	why  string // what same, drops and more do, in words
	// ending is what the names of those files end in whose layout is read; "" for all.
	ending string
	// invented names attributes that the peer sets itself, as a constant, since
	// reports of this tool do not hold them. They are not compared.
	invented []string
}

// peerKinds are the thirteen formats.
var peerKinds = []peerKind{
	{folders: []string{"trivy"}},
	{
		folders: []string{"anchore_grype"},
		same:    func(f *fact.Finding) string { return f.Rule + " in " + f.Package.Name + ":" + f.Package.Version },
		why:     "merges matches of one advisory and package version; here each place stays its own finding, since each may have another cause",
	},
	{folders: []string{"osv_scanner"}},
	{folders: []string{"sarif"}},
	{folders: []string{"cyclonedx"}},
	{
		folders: []string{"snyk", "snyk_issue_api"},
		drops:   func(f *fact.Finding) bool { return strings.Contains(f.Position.Item, "applications[") },
		why:     "leaves out the applications inside an image",
	},
	{
		folders: []string{"semgrep", "semgrep_pro"},
		same: func(f *fact.Finding) string {
			return f.Title + "\x00" + f.Path + "\x00" + strconv.Itoa(f.Line) + "\x00" + f.Rule + "\x00" + f.Package.Name
		},
		why: "merges results of one rule at one line; here they stay apart by their fingerprint",
	},
	{
		folders: []string{"gitleaks"},
		same: func(f *fact.Finding) string {
			return f.Rule + "\x00" + f.Path + "\x00" + strconv.Itoa(f.Line) + "\x00" + f.Anchor
		},
		why: "merges secrets of one rule at one line",
	},
	{folders: []string{"checkov"}},
	{
		folders: []string{"npm_audit", "npm_audit_7_plus"},
		same:    func(f *fact.Finding) string { return f.Position.Item + "\x00" + f.Rule + "\x00" + f.Package.Name },
		why:     "makes one finding of an advisory; here each installed version stays its own, since each is fixed for itself",
	},
	// The peer makes a finding of every advisory that a stream names. In a newer
	// stream most of them were looked up and not found, so no finding is made of
	// them here and the counts differ.
	{folders: []string{"govulncheck"}, invented: []string{"severity"}},
	{folders: []string{"pip_audit"}, invented: []string{"severity", "cwe"}},
	{folders: []string{"github_vulnerability"}},
	{
		folders: []string{"asff", "awssecurityhub"}, same: sameItem, more: passedControls,
		why: "makes one finding of an item and one of each passed control; here each resource and package stays its own and what passed is no finding",
	},
	{
		folders: []string{"aws_prowler"}, same: func(f *fact.Finding) string { return f.Title }, more: otherChecks, invented: []string{"cwe"},
		why: "makes a finding also of each check that passed or tells something; here only what failed is one",
	},
	{
		folders: []string{"aws_prowler_v3plus"}, drops: func(f *fact.Finding) bool { return f.Analysis.State == fact.AnalysisAcceptedRisk },
		why: "leaves out what was muted; here it is an accepted risk",
	},
	{
		folders: []string{"prowler"}, same: func(f *fact.Finding) string { return f.Rule + "\x00" + f.Asset.Key + "\x00" + f.Description },
		why: "merges equal results of one resource",
	},
	{folders: []string{"trivy_operator"}},
	{folders: []string{"kubescape"}},
	{
		folders: []string{"tfsec"}, same: func(f *fact.Finding) string {
			return fmt.Sprintf("%s\x00%s\x00%d\x00%d", f.Rule, f.Path, f.Line, f.EndLine)
		},
		why: "merges results of one rule at one place; here each instance of the resource stays its own",
	},
	{folders: []string{"kics"}},
	{folders: []string{"terrascan"}},
	{folders: []string{"kubebench"}},
	{folders: []string{"wiz", "wizcli_dir", "wizcli_iac", "wizcli_img"}},
	{folders: []string{"cloudsploit"}},
	{folders: []string{"conftest"}},
	{folders: []string{"popeye"}},
	{folders: []string{"cfn_nag"}},
	{folders: []string{"scout_suite"}},
	{folders: []string{"azure_security_center_recommendations", "ms_defender"}, invented: []string{"cwe"}},
	{folders: []string{"aws_inspector2"}, same: sameItem, why: "makes one finding of an item; here each resource and package stays its own"},
	{folders: []string{"gitlab_sast", "gitlab_dast", "gitlab_dep_scan", "gitlab_container_scan", "gitlab_secret_detection_report", "gitlab_api_fuzzing"}},
	{folders: []string{"github_sast"}},
	{folders: []string{"github_secrets_detection_report"}, invented: []string{"severity"}},
	{folders: []string{"spdx"}, invented: []string{"severity"}},
	// The peer writes a package URL where others write the name.
	{folders: []string{"openvex"}, invented: []string{"severity", "component_name"}},
	{folders: []string{"yarn_audit"}}, {folders: []string{"pnpm_audit"}},
	{folders: []string{"hadolint"}}, {folders: []string{"dockle"}}, {folders: []string{"gosec"}}, {folders: []string{"bandit"}},
	{folders: []string{"kubelinter"}, invented: []string{"severity"}},
	{folders: []string{"rusty_hog"}},
	{
		folders: []string{"trufflehog", "trufflehog3"}, invented: []string{"cwe"},
		same: func(f *fact.Finding) string { return f.Rule + "\x00" + f.Path },
		why:  "merges secrets of one rule in one file; here each secret and commit stays its own",
	},
	{folders: []string{"detect_secrets"}, invented: []string{"cwe"}},
	{folders: []string{"composer_audit"}}, {folders: []string{"dependency_check"}}, {folders: []string{"cargo_audit"}}, {folders: []string{"dependency_track"}},
	{folders: []string{"brakeman"}}, {folders: []string{"ggshield"}},
	{folders: []string{"anchore_engine", "anchorectl_vulns"}},
	// The peer composes a title of ids, and takes its own severity where the text has none.
	{folders: []string{"anchorectl_policies"}, invented: []string{"title", "severity"}},
	// The peer keeps how the tool writes packages of Java, "group_artifact".
	{folders: []string{"twistlock"}, invented: []string{"component_name"}},
	{folders: []string{"harbor_vulnerability"}},
	{
		folders: []string{"jfrog_xray_unified", "jfrogxray", "jfrog_xray_on_demand_binary_scan", "jfrog_xray_api_summary_artifact"},
		same: func(f *fact.Finding) string {
			return f.Position.Item + "\x00" + f.Package.Name + "\x00" + f.Package.Version
		},
		why: "makes one finding of an issue and component; here each CVE stays its own",
	},
	{folders: []string{"sysdig_cli", "sysdig_reports"}},
	{folders: []string{"aqua"}},
	{
		folders: []string{"nuclei"}, same: func(f *fact.Finding) string { return f.Rule + "\x00" + f.Attributes["matcher"] + "\x00" + f.Asset.Key },
		why: "merges what one template matches at several ports and addresses of a host",
	},
	{folders: []string{"zap"}},
	{
		folders: []string{"tenable"}, same: func(f *fact.Finding) string { return f.Title + "\x00" + f.Asset.Key + "\x00" + f.Anchor },
		why: "makes one finding of a plugin at a port; here each CVE stays its own",
	},
	{folders: []string{"clair"}},
	{folders: []string{"gcloud_artifact_scan"}},
	{folders: []string{"kubehunter"}, same: func(f *fact.Finding) string { return f.Rule }, why: "merges one weakness at several places"},
	{folders: []string{"cfn_lint"}},
	{folders: []string{"neuvector"}},
	{folders: []string{"wazuh"}},
	{folders: []string{"legitify"}, invented: []string{"title"}},
	{folders: []string{"openreports"}, invented: []string{"title"}},
	{folders: []string{"orca_security"}},
	{folders: []string{"sonarqube"}, ending: ".json"},
	{
		folders: []string{"qualys", "qualys_vmdr"}, same: sameItem, why: "makes one finding of a row; here each CVE stays its own",
	},
	{
		folders: []string{"mend"}, drops: func(f *fact.Finding) bool { return f.Analysis.State == fact.AnalysisResolved },
		why: "leaves out findings whose library was removed; here they are resolved",
	},
	// The peer writes how the tool calls a component; here it is the package of its origin.
	{folders: []string{"blackduck"}, invented: []string{"component_name"}},
	{
		folders: []string{"openvas"}, ending: ".csv",
		same: func(f *fact.Finding) string {
			return f.Attributes["rule"] + "\x00" + f.Title + "\x00" + f.Asset.Key + "\x00" + f.Anchor
		},
		why: "makes one finding of a test at a port; here each CVE stays its own",
	},
	// One of the peer's files is refused here: a log of Yarn.
	{folders: []string{"noseyparker"}, invented: []string{"cwe"}},
}

// sameItem merges what was made of one item of a report.
func sameItem(f *fact.Finding) string { return f.Position.Item }

// passedControls counts the controls of an export of Security Hub that passed.
func passedControls(content []byte) int {
	var export struct {
		Findings []struct {
			ID         string
			Compliance struct{ Status string }
		}
	}
	if json.Unmarshal(content, &export) != nil {
		return 0
	}
	passed := map[string]bool{}
	for _, f := range export.Findings {
		if f.Compliance.Status == "PASSED" {
			passed[f.ID] = true
		}
	}
	return len(passed)
}

// otherChecks counts the rows of a table of Prowler 2 that are no failures.
func otherChecks(content []byte) int {
	table := csv.NewReader(bytes.NewReader(content))
	table.LazyQuotes, table.FieldsPerRecord = true, -1
	rows, err := table.ReadAll()
	if err != nil || len(rows) == 0 || len(rows[0]) < 9 {
		return 0
	}
	others := map[string]bool{}
	for _, row := range rows[1:] {
		if row[4] != "FAIL" {
			others[row[8]] = true
		}
	}
	return len(others)
}

type peerExpectation struct {
	Count    json.RawMessage
	Findings map[string]map[string]json.RawMessage
}

// collected is a sink that keeps findings; statements are kept as findings too,
// as the peer knows no difference.
type collected struct{ findings []fact.Finding }

func (c *collected) Run(fact.Run) error             { return nil }
func (c *collected) Component(fact.Component) error { return nil }
func (c *collected) Finding(f fact.Finding) error   { c.findings = append(c.findings, f); return nil }
func (c *collected) Statement(s fact.Statement) error {
	f := fact.Finding{Kind: fact.Vulnerability, Rule: s.Advisory, Aliases: s.Aliases, Analysis: s.Analysis}
	if len(s.Products) > 0 {
		f.Package, _ = fact.ParsePURL(s.Products[0])
	}
	c.findings = append(c.findings, f)
	return nil
}

// readReport reads a report and turns a panic into a text.
func readReport(ctx context.Context, readers []report.Reader, name string, data []byte) (list []fact.Finding, crash string, err error) {
	defer func() {
		if p := recover(); p != nil {
			crash = fmt.Sprintf("%v at %s", p, firstFrame(debug.Stack()))
		}
	}()
	var sink collected
	err = report.Read(ctx, readers, name, bytes.NewReader(data), &sink)
	return sink.findings, "", err
}

func firstFrame(stack []byte) string {
	for line := range strings.Lines(string(stack)) {
		if strings.Contains(line, "/report/") {
			return strings.TrimSpace(line)
		}
	}
	return "unknown place"
}

func runB1(ctx context.Context, data string) (Result, error) {
	result := Result{Metrics: map[string]float64{}}
	root := filepath.Join(data, "scanner-reports")
	readers := builtin.Readers()
	text, err := os.ReadFile(filepath.Join(root, "expectations.json"))
	if err != nil {
		return result, err
	}
	var truth struct{ Files map[string]peerExpectation }
	if err := json.Unmarshal(text, &truth); err != nil {
		return result, fmt.Errorf("expectations.json: %w", err)
	}
	var names []string
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() && entry.Name() != "expectations.json" {
			names = append(names, path)
		}
		return err
	})
	if err != nil {
		return result, err
	}
	crashes, filesEqual, asserted, attributesEqual := 0, 0, 0, 0
	for _, path := range names {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return result, err
		}
		relative, err := filepath.Rel(root, path)
		if err != nil {
			return result, err
		}
		name := filepath.ToSlash(relative)
		found, crash, readErr := readReport(ctx, readers, name, content)
		if crash != "" {
			crashes++
			result.Notes = append(result.Notes, name+": crash: "+crash)
		}
		for cut := 1; cut <= 10; cut++ {
			if _, crash, _ := readReport(ctx, readers, name, content[:len(content)*cut/11]); crash != "" {
				crashes++
				result.Notes = append(result.Notes, fmt.Sprintf("%s cut off at %d/11: crash: %s", name, cut, crash))
			}
		}
		kind := peerKindOf(name)
		expected, has := truth.Files[name]
		if kind == nil || !has {
			continue
		}
		if !strings.HasSuffix(name, kind.ending) {
			result.Notes = append(result.Notes, name+": not counted: of this kind only files of "+kind.ending+" are read")
			continue
		}
		if text := string(bytes.TrimSpace(content)); text == "" || text == "{}" {
			if readErr == nil || len(found) > 0 {
				return result, fmt.Errorf("%s holds nothing and was read as a report", name)
			}
			result.Notes = append(result.Notes, name+": not counted: it holds nothing that names a tool and is refused; the peer is told the tool by its user")
			continue
		}
		result.Cases++
		merged, more := kind.merge(found), 0
		if kind.more != nil {
			more = kind.more(content)
		}
		if len(merged) != len(found) {
			result.Notes = append(result.Notes, fmt.Sprintf("%s: %d findings, %d as the peer counts, on purpose: it %s", name, len(found), len(merged), kind.why))
		}
		switch {
		case readErr != nil:
			result.Notes = append(result.Notes, fmt.Sprintf("%s: MISS: not read: %v", name, readErr))
		case !countEquals(expected.Count, len(merged)+more):
			result.Notes = append(result.Notes, fmt.Sprintf("%s: MISS: %d findings, the peer has %s", name, len(merged)+more, expected.Count))
		default:
			filesEqual++
		}
		equal, all, notes := compareAttributes(kind, merged, expected.Findings)
		attributesEqual += equal
		asserted += all
		for _, note := range notes {
			result.Notes = append(result.Notes, name+": "+note)
		}
	}
	result.Metrics["crashes"] = float64(crashes)
	result.Metrics["files_equal"] = share(filesEqual, result.Cases)
	result.Metrics["attributes_equal"] = share(attributesEqual, asserted)
	if result.Cases == 0 {
		return result, errors.New("no report of a known kind has an expectation")
	}
	return result, nil
}

func share(part, whole int) float64 {
	if whole == 0 {
		return 1
	}
	return float64(part) / float64(whole)
}

func peerKindOf(name string) *peerKind {
	folder, _, _ := strings.Cut(name, "/")
	for i := range peerKinds {
		if slices.Contains(peerKinds[i].folders, folder) {
			return &peerKinds[i]
		}
	}
	return nil
}

func (k *peerKind) merge(list []fact.Finding) []fact.Finding {
	seen := map[string]bool{}
	var merged []fact.Finding
	for _, f := range list {
		if k.drops != nil && k.drops(&f) {
			continue
		}
		if k.same != nil {
			key := k.same(&f)
			if seen[key] {
				continue
			}
			seen[key] = true
		}
		merged = append(merged, f)
	}
	return merged
}

// countEquals compares with a count, or with any of a list of counts, which
// stem from tests of several modes.
func countEquals(expected json.RawMessage, n int) bool {
	var one int
	if json.Unmarshal(expected, &one) == nil {
		return one == n
	}
	var several []int
	return json.Unmarshal(expected, &several) == nil && slices.Contains(several, n)
}

// compareAttributes compares the attributes that the peer asserts of its i-th
// finding with those of ours that agrees best, since neither order of findings
// is promised; of equals, the i-th.
func compareAttributes(kind *peerKind, found []fact.Finding, asserted map[string]map[string]json.RawMessage) (equal, all int, notes []string) {
	indexes := make([]string, 0, len(asserted))
	for index := range asserted {
		indexes = append(indexes, index)
	}
	sort.Strings(indexes)
	for _, index := range indexes {
		attributes := asserted[index]
		names := make([]string, 0, len(attributes))
		for name := range attributes {
			if slices.Contains(kind.invented, name) {
				notes = append(notes, fmt.Sprintf("finding %s: %s not compared: the report does not hold it, the peer sets a constant", index, name))
				continue
			}
			names = append(names, name)
		}
		sort.Strings(names)
		all += len(names)
		at, err := strconv.Atoi(index)
		if err != nil {
			at = -1
		}
		bestMissing := names
		if at >= 0 && at < len(found) {
			bestMissing = missing(&found[at], names, attributes)
		}
		for i := range found {
			if m := missing(&found[i], names, attributes); len(m) < len(bestMissing) {
				bestMissing = m
			}
		}
		equal += len(names) - len(bestMissing)
		for _, name := range bestMissing {
			notes = append(notes, fmt.Sprintf("finding %s: MISS: %s is not %s", index, name, attributes[name]))
		}
	}
	return equal, all, notes
}

func missing(f *fact.Finding, names []string, attributes map[string]json.RawMessage) []string {
	var list []string
	for _, name := range names {
		if !attributeEquals(f, name, attributes[name]) {
			list = append(list, name)
		}
	}
	return list
}

// attributeEquals compares one attribute in the peer's words.
func attributeEquals(f *fact.Finding, name string, raw json.RawMessage) bool {
	var value any
	if json.Unmarshal(raw, &value) != nil {
		return false
	}
	text := ""
	switch v := value.(type) {
	case string:
		text = v
	case float64:
		text = strconv.FormatFloat(v, 'f', -1, 64)
	case bool:
		text = strconv.FormatBool(v)
	}
	ids := append([]string{f.Rule}, f.Aliases...)
	switch name {
	case "severity":
		word := f.Severity.String()
		return strings.EqualFold(word, text) || f.Severity == fact.SeverityUnknown && text == "Info" ||
			f.Severity == fact.SeverityInfo && text == "Informational"
	case "title": // the peer's own sentence: it must speak of the same flaw
		return strings.Contains(text, f.Title) || strings.Contains(f.Title, text) || f.Rule != "" && strings.Contains(text, f.Rule) ||
			slices.ContainsFunc(f.Aliases, func(id string) bool { return strings.Contains(text, id) }) ||
			f.Kind == fact.Secret && f.Path != "" && strings.HasSuffix(text, " "+f.Path)
	case "vuln_id_from_tool", "cve":
		return text == "" || slices.Contains(ids, text) || strings.EqualFold(f.Attributes["rule"], text) || f.Attributes["number"] == text ||
			f.Rule != "" && text == f.Attributes["test_name"]+":"+f.Rule
	case "component_name": // the peer leaves out a Maven group; of what is no package, it writes the resource or its type
		if f.Package.Name == "" && (f.Asset.Key == text || f.Asset.Name == text || strings.Replace(f.Anchor, ".", "/", 1) == text || f.Attributes["resource_type"] == text || f.Attributes["object"] == text) {
			return true
		}
		_, artifact, _ := strings.Cut(f.Package.Name, ":")
		return strings.EqualFold(f.Package.Name, text) || artifact != "" && artifact == text
	case "component_version":
		return strings.TrimPrefix(f.Package.Version, "v") == strings.TrimPrefix(text, "v")
	case "cwe": // the peer has room for one, ours is among them; 0 is none
		if n, err := strconv.Atoi(strings.TrimPrefix(text, "CWE-")); err == nil && n > 0 {
			return slices.Contains(f.CWE, n)
		}
		return len(f.CWE) == 0
	case "file_path": // of a Go package without a file, the peer writes its import path
		return f.Path == text || f.Attributes["package"] == text || strings.TrimPrefix(f.Path, "/") == strings.TrimPrefix(text, "/")
	case "line":
		return strconv.Itoa(f.Line) == text || f.Line == 0 && text == ""
	case "fix_available": // some detectors know of a fix and do not name its version
		return (len(f.FixedVersions) > 0 || f.Attributes["fix_available"] == "true") == (text == "true")
	case "fix_version":
		return text == "" && len(f.FixedVersions) == 0 || slices.ContainsFunc(f.FixedVersions, func(v string) bool {
			return strings.TrimPrefix(v, "v") == strings.TrimPrefix(text, "v")
		})
	}
	return false
}
