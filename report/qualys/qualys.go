// Package qualys reads the tables of vulnerabilities of hosts that Qualys exports.
package qualys

import (
	"cmp"
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "qualys"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/qualys", Name: "Qualys", Formats: "CSV of VMDR, of scan reports and of PCI",
		Docs: "Download a report as CSV. One finding a host, port and CVE, or the QID where the row tells no CVE; what only informs is an exposure. Fixed ones are resolved, ignored and disabled ones accepted risks, approved false positives that. " +
			"Results of checks are not kept. A report holds what its filter lets through, so that none proves that something is gone.",
	}
}

var (
	needed  = []string{"QID", "Severity", "Port", "Protocol"}
	layouts = [][]string{{"Asset Id", "Title"}, {"IS_PCI", "VULN TITLE"}, {"Vuln Status", "Title"}}
)

func (reader) Detect(head []byte) int {
	for _, columns := range layouts {
		if report.HasColumnsBelow(head, append(columns, needed...)...) {
			return 95
		}
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.RowsBelow(ctx, in, sink, fact.Run{Tool: tool, Format: "qualys"}, needed, row)
}

var severities = map[string]string{"1": "info", "2": "low", "3": "medium", "4": "high", "5": "critical"}

func row(r *report.Row) error {
	qid := r.Text("QID")
	host := cmp.Or(r.Text("FQDN"), r.Text("DNS"), r.Text("HOSTNAME"), r.Text("Asset Name"), r.Text("IP"), r.Text("Asset IPV4"))
	if qid == "" || host == "" {
		return nil
	}
	f := fact.Finding{
		Kind: fact.Vulnerability, Title: cmp.Or(r.Text("Title"), r.Text("VULN TITLE")), Mitigation: r.Text("Solution"),
		Description: strings.TrimSpace(cmp.Or(r.Text("CVE-Description"), r.Text("Threat")) + "\n\n" + r.Text("Impact")),
		Asset:       report.HostAsset(host), Anchor: strings.Trim(strings.ToLower(plain(r.Text("Protocol"))+"/"+plain(r.Text("Port"))), "/"),
	}
	if kind := strings.ToLower(r.Text("Type")); kind == "ig" || strings.HasPrefix(kind, "info") {
		f.Kind = fact.Exposure
	}
	word := cmp.Or(r.Text("Q_SEVERITY"), r.Text("Severity"))
	f.SeverityText, f.Severity = word, fact.ParseSeverity(cmp.Or(severities[word], word))
	for _, column := range []string{"CVSSv3.1 Base (nvd)", "CVSS3.1 Base", "CVSS_BASE", "CVSSv2 Base (nvd)", "CVSS Base"} {
		text, _, _ := strings.Cut(r.Text(column), " ")
		if n, err := strconv.ParseFloat(text, 64); err == nil && n > 0 && n <= 10 {
			f.Score = n
			break
		}
	}
	f.Analysis = analysis(r)
	for name, column := range map[string]string{"ip": "IP", "asset_id": "Asset Id", "os": "Operating System", "category": "Category", "type": "Type Detected"} {
		report.Attribute(&f, name, r.Text(column))
	}
	report.Attribute(&f, "ip", r.Text("Asset IPV4"))
	report.Attribute(&f, "qid", qid)
	rules := cves(cmp.Or(r.Text("CVE"), r.Text("CVE ID"), r.Text("CVEID")))
	if len(rules) == 0 {
		rules = []string{qid}
	}
	for _, rule := range rules {
		f.Rule = rule
		report.WithAttributes(&f, nil)
		if err := r.Finding(f); err != nil {
			return err
		}
	}
	return nil
}

// plain takes away the words that stand for nothing.
func plain(text string) string {
	if text == "'-" || text == "-" || text == "0" {
		return ""
	}
	return text
}

func cves(text string) []string {
	var ids []string
	for _, id := range strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' || r == ';' }) {
		if report.AdvisoryID(id) == id {
			ids = append(ids, id)
		}
	}
	return report.Aliases("", ids...)
}

func analysis(r *report.Row) fact.Analysis {
	state := ""
	switch {
	case strings.EqualFold(cmp.Or(r.Text("Status"), r.Text("Vuln Status")), "fixed"):
		state = fact.AnalysisResolved
	case strings.EqualFold(r.Text("Ignored"), "yes"), strings.EqualFold(r.Text("Disabled"), "yes"):
		state = fact.AnalysisAcceptedRisk
	case strings.EqualFold(r.Text("FALSE POSITIVE STATUS"), "approved"):
		state = fact.AnalysisFalsePositive
	case strings.EqualFold(r.Text("FALSE POSITIVE STATUS"), "requested"):
		state = fact.AnalysisInTriage
	default:
		return fact.Analysis{}
	}
	return fact.Analysis{State: state, Source: tool}
}
