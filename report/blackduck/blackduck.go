// Package blackduck reads the tables of vulnerabilities that Black Duck exports.
package blackduck

import (
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "blackduck"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/blackduck", Name: "Black Duck", Formats: "CSV of the security part of a version's report",
		Docs: "Create a version detail report and take its file `security`. One finding a component and vulnerability, with package URL where its origin tells one. " +
			"Ignored ones are accepted risks, patched, mitigated and remediated ones resolved. The table does not name what was scanned, so that it never proves that something is gone.",
	}
}

var needed = []string{"Channel version origin", "Channel version origin id", "Vulnerability id", "Vulnerability source", "Remediation status", "Security Risk"}

func (reader) Detect(head []byte) int {
	if report.HasColumns(head, needed...) {
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Rows(ctx, in, sink, fact.Run{Tool: tool, Format: "blackduck"}, needed, row)
}

func row(r *report.Row) error {
	id, source := r.Text("Vulnerability id"), r.Text("Vulnerability source")
	if id == "" {
		return nil
	}
	if _, err := strconv.Atoi(id); err == nil && source != "" {
		id = source + "-" + id // VulnDB counts its entries
	}
	f := fact.Finding{Kind: fact.Vulnerability, Rule: id, Description: r.Text("Description"), Asset: fact.Asset{Kind: fact.AssetRepository}}
	f.Package = pkg(r.Text("Channel version origin"), r.Text("Channel version origin id"), r.Text("Project name"), r.Text("Version"))
	f.Title = id + " in " + f.Package.Name + ":" + f.Package.Version
	report.Rate(&f, r.Text("Security Risk"))
	if score, err := strconv.ParseFloat(r.Text("Base score"), 64); err == nil && score > 0 && score <= 10 {
		f.Score = score
	}
	if url := r.Text("URL"); url != "" {
		f.References = []string{url}
	}
	status := strings.ToUpper(r.Text("Remediation status"))
	if state := states[status]; state != "" {
		f.Analysis = fact.Analysis{State: state, Detail: r.Text("Remediation comment"), Source: tool}
	}
	report.Attribute(&f, "remediation_status", status)
	report.Attribute(&f, "component", r.Text("Project name"))
	report.Attribute(&f, "source", source)
	return r.Finding(f)
}

var states = map[string]string{
	"IGNORED": fact.AnalysisAcceptedRisk, "MITIGATED": fact.AnalysisResolved, "PATCHED": fact.AnalysisResolved, "REMEDIATION_COMPLETE": fact.AnalysisResolved,
	"NEEDS_REVIEW": fact.AnalysisInTriage, "NOT_AFFECTED": fact.AnalysisNotAffected, "AFFECTED": fact.AnalysisExploitable,
}

var origins = map[string]string{"npmjs": "npm", "pypi": "PyPI", "rubygems": "RubyGems", "nuget": "NuGet", "golang": "Go", "crates": "crates.io", "packagist": "Packagist"}

// pkg is the package of an origin: "group:artifact:version" of Maven, "name/version" of
// others; else the component as Black Duck calls it.
func pkg(origin, id, component, version string) fact.Package {
	if at := strings.LastIndexByte(id, ':'); origin == "maven" && strings.Count(id, ":") == 2 {
		return report.Named("Maven", id[:at], id[at+1:])
	}
	if at := strings.LastIndexByte(id, '/'); origins[origin] != "" && at > 0 {
		return report.Named(origins[origin], id[:at], id[at+1:])
	}
	return fact.Package{Name: component, Version: version}
}
