// Package tenable reads what Nessus, Tenable Vulnerability Management and Tenable Security
// Center export of hosts.
package tenable

import (
	"cmp"
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const root = "NessusClientData_v2"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/tenable", Name: "Tenable Nessus", Formats: ".nessus (XML, version 2) and CSV of Nessus, Vulnerability Management and Security Center",
		Docs: "Export a scan as .nessus or CSV. One finding a plugin, host and port; of a plugin for CVEs one a CVE, which is a vulnerability. Plugins without CVE are misconfigurations, on web ports of Web App Scanning flaws of code, and those that only inform exposures. " +
			"Recast and accepted risks stay accepted. Output of plugins is not kept. An export may be filtered and does not tell which plugins were run, so that none proves that something is gone.",
	}
}

var (
	nessus = []string{"Plugin ID", "CVE", "Risk", "Host", "Protocol", "Port", "Name", "Synopsis", "Plugin Output"}
	center = []string{"Plugin", "Plugin Name", "Family", "Severity", "IP Address", "Protocol", "Port", "Plugin Output"}
)

func (reader) Detect(head []byte) int {
	switch {
	case report.Outermost(head) == root:
		return 98
	case report.HasColumns(head, nessus...), report.HasColumns(head, center...):
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "tenable", Format: "tenable"}
	isXML, in := report.IsXML(in)
	if isXML {
		return report.XMLFindings(ctx, in, sink, run, root, readXML)
	}
	return report.Rows(ctx, in, sink, run, []string{"Protocol", "Port", "Plugin Output"}, row)
}

// plugin is one result that is being read.
type plugin struct {
	f                        fact.Finding
	id, host, protocol, port string
	cves                     []string
	web                      bool // of Web App Scanning
}

// findings are those of the plugin: one for each CVE, or one without.
func (p *plugin) findings() []fact.Finding {
	if p.id == "" || p.host == "" {
		return nil
	}
	f := p.f
	f.Asset = report.HostAsset(p.host)
	f.Anchor = strings.ToLower(p.protocol + "/" + p.port)
	report.Attribute(&f, "plugin", p.id)
	report.Attribute(&f, "port", p.port)
	report.Attribute(&f, "protocol", p.protocol)
	if len(p.cves) == 0 {
		f.Rule, f.Kind = p.id, fact.Misconfiguration
		switch {
		case f.Severity == fact.SeverityInfo:
			f.Kind = fact.Exposure
		case p.web:
			f.Kind = fact.CodeFlaw
		}
		return []fact.Finding{f}
	}
	var list []fact.Finding
	for _, id := range report.Aliases("", p.cves...) {
		one := f
		one.Kind, one.Rule = fact.Vulnerability, id
		report.WithAttributes(&one, map[string]string{"plugin": p.id})
		list = append(list, one)
	}
	return list
}

// rate takes a word, or a number from 0 to 4.
func (p *plugin) rate(word string) {
	if names := []string{"Info", "Low", "Medium", "High", "Critical"}; len(word) == 1 && "0" <= word && word <= "4" {
		word = names[word[0]-'0']
	}
	report.Rate(&p.f, word)
	if strings.EqualFold(word, "none") {
		p.f.Severity = fact.SeverityInfo
	}
}

// score takes the first score that is one.
func (p *plugin) score(texts ...string) {
	for _, text := range texts {
		if n, err := strconv.ParseFloat(text, 64); err == nil && n > 0 && n <= 10 {
			p.f.Score = n
			return
		}
	}
}

func row(r *report.Row) error {
	p := plugin{
		id: cmp.Or(r.Text("Plugin ID"), r.Text("Plugin")), host: cmp.Or(r.Text("Host"), r.Text("DNS Name"), r.Text("IP Address")), protocol: r.Text("Protocol"), port: r.Text("Port"),
	}
	p.web = strings.HasPrefix(strings.ToLower(p.protocol), "http")
	p.f.Title = cmp.Or(r.Text("Name"), r.Text("Plugin Name"))
	p.f.Description = strings.TrimSpace(r.Text("Synopsis") + "\n\n" + r.Text("Description"))
	p.f.Mitigation = cmp.Or(r.Text("Solution"), r.Text("Steps to Remediate"))
	p.f.References = strings.Fields(r.Text("See Also"))
	p.f.Vector = cmp.Or(r.Text("CVSS V3 Vector"), r.Text("CVSS3 Vector"), r.Text("CVSS V2 Vector"), r.Text("CVSS Vector"))
	p.rate(cmp.Or(r.Text("Risk"), r.Text("Severity")))
	p.score(r.Text("CVSS v3.0 Base Score"), r.Text("CVSS V3 Base Score"), r.Text("CVSS3 Base Score"), r.Text("CVSSv3"), r.Text("CVSS v2.0 Base Score"), r.Text("CVSS V2 Base Score"), r.Text("CVSS Base Score"), r.Text("CVSS"))
	for _, id := range strings.Split(r.Text("CVE"), ",") {
		p.cves = append(p.cves, strings.TrimSpace(id))
	}
	p.cves = report.Aliases("", p.cves...)
	if reason := r.Text("Accept Risk Comment"); reason != "" {
		p.f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: reason, Source: "tenable"}
	}
	if strings.EqualFold(r.Text("Vulnerability State"), "fixed") {
		p.f.Analysis = fact.Analysis{State: fact.AnalysisResolved, Source: "tenable"}
	}
	report.Attribute(&p.f, "ip", r.Text("IP Address"))
	report.Attribute(&p.f, "family", cmp.Or(r.Text("Plugin Family"), r.Text("Family")))
	for _, f := range p.findings() {
		if err := r.Finding(f); err != nil {
			return err
		}
	}
	return nil
}

func readXML(d *report.XMLDocument, _ report.Element) {
	d.Children(func(part report.Element) {
		if part.Name != "Report" {
			return
		}
		d.Children(func(host report.Element) {
			if host.Name != "ReportHost" {
				return
			}
			name, tags := host.Attribute("name"), map[string]string{}
			d.Children(func(item report.Element) {
				switch item.Name {
				case "HostProperties":
					d.Children(func(tag report.Element) {
						if key := tag.Attribute("name"); hostTags[key] {
							tags[key] = d.Text()
						}
					})
				case "ReportItem":
					readItem(d, item, name, tags)
				}
			})
		})
	})
}

// hostTags are the properties of a host that are kept: they lead from its address to
// the machine of a cloud.
var hostTags = map[string]bool{
	"host-ip": true, "host-fqdn": true, "operating-system": true, "system-type": true,
	"aws-instance-instanceId": true, "aws-instance-accountId": true, "aws-instance-region": true, "azure-vm-resource-id": true,
}

func readItem(d *report.XMLDocument, item report.Element, host string, tags map[string]string) {
	place := d.Place(item)
	p := plugin{id: item.Attribute("pluginID"), host: host, protocol: item.Attribute("protocol"), port: item.Attribute("port"), web: tags["system-type"] == "web_application"}
	p.f.Title = item.Attribute("pluginName")
	p.rate(item.Attribute("severity"))
	report.Attribute(&p.f, "family", item.Attribute("pluginFamily"))
	var synopsis, score2, score3, vector2, vector3 string
	d.Children(func(e report.Element) {
		switch e.Name {
		case "synopsis":
			synopsis = d.Text()
		case "description":
			p.f.Description = d.Text()
		case "solution":
			p.f.Mitigation = d.Text()
		case "see_also":
			p.f.References = append(p.f.References, strings.Fields(d.Text())...)
		case "cve":
			p.cves = append(p.cves, d.Text())
		case "cwe":
			p.f.CWE = append(p.f.CWE, report.CWEs("CWE-"+d.Text())...)
		case "xref":
			if text := d.Text(); strings.HasPrefix(text, "CWE:") {
				p.f.CWE = append(p.f.CWE, report.CWEs(text)...)
			}
		case "cvss3_base_score", "cvssv3":
			score3 = d.Text()
		case "cvss_base_score", "cvss":
			score2 = d.Text()
		case "cvss3_vector":
			vector3 = d.Text()
		case "cvss_vector":
			vector2 = d.Text()
		case "exploit_available":
			report.Attribute(&p.f, "exploit_available", d.Text())
		case "epss_score":
			if n, err := strconv.ParseFloat(d.Text(), 64); err == nil && n >= 0 && n <= 1 {
				p.f.EPSS = n
			}
		}
	})
	p.f.Description = strings.TrimSpace(synopsis + "\n\n" + p.f.Description)
	p.score(score3, score2)
	p.f.Vector = cmp.Or(vector3, vector2)
	p.cves = report.Aliases("", p.cves...)
	report.WithAttributes(&p.f, tags)
	for _, f := range p.findings() {
		f.Position = place()
		d.Give(f)
	}
}
