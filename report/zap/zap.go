// Package zap reads the reports of ZAP (Zed Attack Proxy).
package zap

import (
	"cmp"
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const root = "OWASPZAPReport"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/zap", Name: "ZAP", Formats: "XML and JSON (traditional, with and without requests)",
		Docs: "Produce it with the add-on for reports, `zap-baseline.py -x FILE` or `-J FILE`. One finding an alert of a site, with the number of places and the first of them; those that people marked as false positives are that. " +
			"Requests, responses, evidence and the query of addresses are not kept. A report does not tell which rules were run, so that none proves that something is gone.",
	}
}

func (reader) Detect(head []byte) int {
	if report.Outermost(head) == root {
		return 98
	}
	o := report.OutlineOf(head)
	switch {
	case o.Has("site[].@name", "site[].alerts") && !o.Has("vulnerabilities"): // GitLab's reports of DAST hold both
		return 95
	case o.Has("@programName", "site") && o.Texts["@programName"] == "ZAP":
		return 90
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "zap", Format: "zap"}
	isXML, in := report.IsXML(in)
	if isXML {
		return report.XMLFindings(ctx, in, sink, run, root, readXML)
	}
	return report.Findings(ctx, in, sink, run, readJSON)
}

// alert is one that is being read.
type alert struct {
	f                      fact.Finding
	title, risk, certainty string
	places                 int
	place                  string // the first one
	weakness               string
}

// text takes a member that is a plain text in both layouts.
func (a *alert) text(name, text string) {
	switch name {
	case "pluginid":
		a.f.Rule = text
	case "alertRef":
		report.Attribute(&a.f, "alert_ref", text)
	case "alert":
		a.title = text
	case "name":
		a.f.Title = text
	case "riskcode":
		a.risk = text
	case "confidence":
		a.certainty = text
	case "desc":
		a.f.Description = plain(text)
	case "solution":
		a.f.Mitigation = plain(text)
	case "reference":
		for _, url := range strings.Fields(plain(text)) {
			if strings.Contains(url, "://") {
				a.f.References = append(a.f.References, url)
			}
		}
	case "cweid":
		a.weakness = text
	}
}

// seen takes a place where the alert was raised.
func (a *alert) seen(uri, method, parameter string) {
	if a.places++; a.places == 1 {
		a.place = strings.TrimSpace(method + " " + report.PlainURL(uri))
		report.Attribute(&a.f, "parameter", parameter)
	}
}

var risks = map[string]string{"0": "info", "1": "low", "2": "medium", "3": "high"}

// finding gives the alert as a finding of a site, without a kind when it is none.
func (a *alert) finding(site string) fact.Finding {
	f := a.f
	if f.Rule == "" {
		return fact.Finding{}
	}
	f.Kind, f.Title = fact.CodeFlaw, cmp.Or(f.Title, a.title)
	report.Rate(&f, risks[a.risk])
	if n, err := strconv.Atoi(a.weakness); err == nil && n > 0 {
		f.CWE = []int{n}
	}
	if a.certainty == "0" {
		f.Analysis = fact.Analysis{State: fact.AnalysisFalsePositive, Source: "zap"}
	}
	f.Asset = report.HostAsset(site)
	f.Anchor = strings.TrimSpace(report.PlainURL(site) + " " + cmp.Or(a.title, f.Title)) // a rule raises several alerts
	report.Attribute(&f, "confidence", a.certainty)
	report.Attribute(&f, "place", a.place)
	if a.places > 0 {
		report.Attribute(&f, "places", strconv.Itoa(a.places))
	}
	return f
}

var marks = strings.NewReplacer("<p>", "", "</p>", "\n")

// plain takes the paragraphs of HTML out of a text.
func plain(text string) string { return strings.TrimSpace(marks.Replace(text)) }

func readXML(d *report.XMLDocument, e report.Element) {
	d.Run.ToolVersion = e.Attribute("version")
	d.Children(func(site report.Element) {
		if site.Name != "site" {
			return
		}
		name := cmp.Or(site.Attribute("name"), site.Attribute("host"))
		d.Children(func(alerts report.Element) {
			if alerts.Name != "alerts" {
				return
			}
			d.Children(func(item report.Element) {
				if item.Name != "alertitem" {
					return
				}
				place, one := d.Place(item), alert{}
				d.Children(func(member report.Element) {
					if member.Name == "instances" {
						d.Children(func(report.Element) { one.seen(instanceXML(d)) })
						return
					}
					one.text(member.Name, d.Text())
				})
				if f := one.finding(name); f.Kind != "" {
					f.Position = place()
					d.Give(f)
				}
			})
		})
	})
}

func instanceXML(d *report.XMLDocument) (uri, method, parameter string) {
	d.Children(func(e report.Element) {
		switch e.Name {
		case "uri":
			uri = d.Text()
		case "method":
			method = d.Text()
		case "param":
			parameter = d.Text()
		}
	})
	return uri, method, parameter
}

func readJSON(d *report.Document) {
	d.Object(func(key string) {
		switch key {
		case "@version":
			d.Run.ToolVersion = d.Text()
		case "site":
			d.Each(func(int) { siteJSON(d) })
		}
	})
}

func siteJSON(d *report.Document) {
	var name, host string
	d.Early(func() {
		d.Object(func(key string) {
			switch key {
			case "@name":
				name = d.Text()
			case "@host":
				host = d.Text()
			case "alerts":
				d.Array(func(int) {
					d.Item(func(f *fact.Finding) {
						one := alert{}
						d.Object(func(key string) {
							if key == "instances" {
								d.Array(func(int) { one.seen(instanceJSON(d)) })
								return
							}
							one.text(key, d.Text())
						})
						*f = one.finding("")
					})
				})
			}
		})
	}, func(f *fact.Finding) {
		site := cmp.Or(name, host)
		f.Asset = report.HostAsset(site)
		f.Anchor = strings.TrimSpace(report.PlainURL(site) + " " + f.Anchor)
	})
}

func instanceJSON(d *report.Document) (uri, method, parameter string) {
	d.Object(func(key string) {
		switch key {
		case "uri":
			uri = d.Text()
		case "method":
			method = d.Text()
		case "param":
			parameter = d.Text()
		}
	})
	return uri, method, parameter
}
