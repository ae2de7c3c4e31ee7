// Package openvas reads the tables that Greenbone (OpenVAS) exports of hosts.
package openvas

import (
	"cmp"
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/openvas", Name: "Greenbone (OpenVAS)", Formats: "CSV of results",
		Docs: "Export a report as CSV Results. One finding a test, host and port, and of a test for CVEs one a CVE, which is a vulnerability; tests without CVE are misconfigurations, those that only inform exposures. " +
			"Results of tests are not kept. A report holds what its filter lets through (by default only what is at least 70 % sure), so that none proves that something is gone.",
	}
}

var needed = []string{"IP", "Port", "Port Protocol", "CVSS", "Severity", "NVT Name", "NVT OID", "CVEs"}

func (reader) Detect(head []byte) int {
	if report.HasColumns(head, needed...) {
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Rows(ctx, in, sink, fact.Run{Tool: "openvas", Format: "openvas"}, needed, row)
}

func row(r *report.Row) error {
	oid, host := r.Text("NVT OID"), cmp.Or(r.Text("Hostname"), r.Text("IP"))
	if host == "" || oid == "" && r.Text("CVEs") == "" {
		return nil
	}
	f := fact.Finding{
		Title: r.Text("NVT Name"), Description: strings.TrimSpace(r.Text("Summary") + "\n\n" + r.Text("Vulnerability Insight")), Mitigation: r.Text("Solution"),
		References: addresses(r.Text("Other References")),
		Asset:      report.HostAsset(host), Anchor: strings.Trim(strings.ToLower(r.Text("Port Protocol")+"/"+r.Text("Port")), "/"),
	}
	report.Rate(&f, r.Text("Severity"))
	if strings.EqualFold(f.SeverityText, "log") {
		f.Severity = fact.SeverityInfo
	}
	f.Score = number(r.Text("CVSS"), 10)
	f.EPSS = number(r.Text("Max Severity EPSS score"), 1)
	for name, column := range map[string]string{"ip": "IP", "rule": "NVT OID", "quality": "QoD", "solution_type": "Solution Type"} {
		report.Attribute(&f, name, r.Text(column))
	}
	ids := report.Versions(r.Text("CVEs"))
	if len(ids) == 0 {
		f.Rule, f.Kind = oid, fact.Misconfiguration
		if f.Severity == fact.SeverityInfo {
			f.Kind = fact.Exposure
		}
		return r.Finding(f)
	}
	for _, id := range report.Aliases("", ids...) {
		f.Rule, f.Kind = id, fact.Vulnerability
		report.WithAttributes(&f, nil)
		if err := r.Finding(f); err != nil {
			return err
		}
	}
	return nil
}

// addresses are the words of a text that are addresses.
func addresses(text string) (list []string) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == ',' || r == '\n' }) {
		if strings.HasPrefix(word, "https://") || strings.HasPrefix(word, "http://") {
			list = append(list, word)
		}
	}
	return list
}

// number reads a number from 0 to most; 0 for anything else.
func number(text string, most float64) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || !(n >= 0 && n <= most) {
		return 0
	}
	return n
}
