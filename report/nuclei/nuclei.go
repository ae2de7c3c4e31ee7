// Package nuclei reads the results of Nuclei.
package nuclei

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/nuclei", Name: "Nuclei", Formats: "lines of JSON and JSON, versions 2 and 3",
		Docs: "Produce it with `nuclei -l HOSTS -jsonl -o FILE` or `-json-export FILE`. One finding a template and place that matched, at its host. Templates for CVEs are vulnerabilities, those that recognise something exposures. " +
			"Requests, responses, extracted texts and the query of addresses are not kept, since they may hold secrets. Nuclei does not tell which templates it ran, so that no report proves that something is gone.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	if (o.Has("template-id") || o.Has("templateID")) && o.Has("info.name") && (o.Has("matched-at") || o.Has("matched") || o.Has("host")) {
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "nuclei", Format: "nuclei"}, func(d *report.Document) {
		if d.Kind() == report.KindArray {
			d.Array(func(int) { d.Item(func(f *fact.Finding) { result(d, f) }) })
			return
		}
		for d.More() {
			d.Item(func(f *fact.Finding) { result(d, f) })
		}
	})
}

func result(d *report.Document, f *fact.Finding) {
	var host, matched, matcher string
	var tags, ids []string
	failed := false
	d.Object(func(key string) {
		switch key {
		case "template-id", "templateID":
			f.Rule = d.Text()
		case "host":
			host = d.Text()
		case "matched-at", "matched":
			matched = d.Text()
		case "matcher-name", "matcher_name":
			matcher = d.Text()
		case "matcher-status":
			failed = !d.Bool()
		case "type":
			report.Attribute(f, "type", d.Text())
		case "template-url":
			report.Attribute(f, "template_url", d.Text())
		case "info":
			d.Object(func(key string) {
				switch key {
				case "name":
					f.Title = d.Text()
				case "severity":
					report.Rate(f, d.Text())
				case "description":
					f.Description = d.Text()
				case "remediation":
					f.Mitigation = d.Text()
				case "tags":
					tags = list(d, ",")
				case "reference":
					f.References = list(d, "\n")
				case "classification":
					ids = append(ids, classification(d, f)...)
				}
			})
		}
	})
	if f.Rule == "" || failed {
		return
	}
	if report.AdvisoryID(f.Rule) == f.Rule {
		ids = append([]string{f.Rule}, ids...)
	}
	f.Kind = kind(tags)
	if len(ids) > 0 {
		f.Kind = fact.Vulnerability
	}
	if len(ids) == 1 && ids[0] != f.Rule { // of several, none is the same flaw as the template
		f.Aliases = ids
	}
	f.Asset = report.HostAsset(cmp.Or(host, matched))
	f.Anchor = strings.TrimSpace(report.PlainURL(cmp.Or(matched, host)) + " " + matcher)
	report.Attribute(f, "matched_at", report.PlainURL(matched))
	report.Attribute(f, "matcher", matcher)
}

// kind is what the tags of a template say that it looks for.
func kind(tags []string) fact.Kind {
	for _, tag := range tags {
		switch tag {
		case "misconfig", "misconfiguration", "default-login":
			return fact.Misconfiguration
		}
	}
	for _, tag := range tags {
		switch tag {
		case "exposure", "panel", "tech", "detect", "discovery", "dns", "ssl", "network":
			return fact.Exposure
		}
	}
	return fact.CodeFlaw
}

// list reads a list, or a text of which older versions make one.
func list(d *report.Document, separator string) []string {
	if d.Kind() == report.KindArray {
		return d.Texts()
	}
	var texts []string
	for _, text := range strings.Split(d.Text(), separator) {
		if text = strings.TrimPrefix(strings.TrimSpace(text), "- "); text != "" {
			texts = append(texts, text)
		}
	}
	return texts
}

// classification reads how a flaw is classified, and gives its CVEs.
func classification(d *report.Document, f *fact.Finding) (ids []string) {
	d.Object(func(key string) {
		switch key {
		case "cve-id":
			for _, id := range list(d, ",") {
				if id = strings.ToUpper(id); report.AdvisoryID(id) == id && !slices.Contains(ids, id) {
					ids = append(ids, id)
				}
			}
		case "cwe-id":
			f.CWE = report.CWEs(list(d, ",")...)
		case "cvss-score":
			f.Score = max(0, d.Float())
		case "cvss-metrics":
			f.Vector = d.Text()
		case "epss-score":
			f.EPSS = max(0, d.Float())
		}
	})
	return ids
}
