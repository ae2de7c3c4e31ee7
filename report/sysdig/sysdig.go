// Package sysdig reads the tables of vulnerabilities that Sysdig Secure and its command
// line scanner write.
package sysdig

import (
	"cmp"
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "sysdig"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/sysdig", Name: "Sysdig Secure", Formats: "CSV of vulnerability reports and of a single result",
		Docs: "Export a vulnerability report, or the result of one image, as CSV. One finding a vulnerability and package of an image, with the cluster, namespace and workload where the report names them. " +
			"Accepted risks stay accepted. A report holds what its filter lets through, and a single result does not name its image, so none proves that something is gone.",
	}
}

var (
	reports = []string{"Vulnerability ID", "Severity", "Package name", "Package version", "Package type", "Image", "Fix version"}
	results = []string{"CVE ID", "CVE Severity", "Package Name", "Package Version", "Package Type", "Package Path", "Fix Version"}
)

func (reader) Detect(head []byte) int {
	if report.HasColumns(head, reports...) && report.HasColumns(head, "Risk accepted") || report.HasColumns(head, results...) && report.HasColumns(head, "Vuln Disclosure Date") {
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: tool, Format: "sysdig"}
	return report.Rows(ctx, in, sink, run, []string{"Package name", "Package version", "Package type", "Fix version"}, row)
}

func row(r *report.Row) error {
	f := fact.Finding{
		Kind: fact.Vulnerability, Rule: cmp.Or(r.Text("Vulnerability ID"), r.Text("CVE ID")), Path: r.Text("Package path"), Vector: r.Text("CVSS vector"),
		Asset: fact.Asset{Kind: fact.AssetUnknown},
	}
	name, version := r.Text("Package name"), r.Text("Package version")
	if f.Rule == "" || name == "" {
		return nil
	}
	f.Title = f.Rule + " in " + name + ":" + version
	report.Rate(&f, cmp.Or(r.Text("Severity"), r.Text("CVE Severity")))
	f.Score = number(r.Text("CVSS score"), 10)
	f.EPSS = number(r.Text("EPSS score"), 1)
	ecosystem := report.PackageType(r.Text("Package type"))
	if ecosystem == "" {
		ecosystem = report.DistributionNamed(r.Text("OS Name"))
	}
	f.Package = report.Named(ecosystem, name, version)
	if fixed := r.Text("Fix version"); fixed != "" {
		if !strings.HasPrefix(version, "v") { // Sysdig writes "v" before every version that fixes
			fixed = strings.TrimPrefix(fixed, "v")
		}
		f.FixedVersions = []string{fixed}
	}
	if url := cmp.Or(r.Text("Vuln link"), r.Text("CVE URL")); url != "" {
		f.References = []string{url}
	}
	if image := r.Text("Image"); image != "" {
		f.Asset = report.ImageAsset(image)
	}
	if strings.EqualFold(r.Text("Risk accepted"), "true") {
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Source: tool}
	}
	for _, column := range []string{
		"Image ID", "Public exploit", "In use", "K8S cluster name", "K8S namespace name", "K8S workload type", "K8S workload name", "K8S container name",
	} {
		report.Attribute(&f, strings.ReplaceAll(strings.ToLower(column), " ", "_"), r.Text(column))
	}
	return r.Finding(f)
}

// number reads a number from 0 to most; 0 for anything else.
func number(text string, most float64) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= most) {
		return 0
	}
	return n
}
