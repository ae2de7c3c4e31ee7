// Package terrascan reads the JSON reports of Terrascan.
package terrascan

import (
	"context"
	"io"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/terrascan", Name: "Terrascan", Formats: "JSON",
		Docs: "Produce it with `terrascan scan -o json`. One finding a violation, with the address of the resource. Skipped violations are accepted risks with their comment; passed rules are left out. " +
			"Scan errors make the report incomplete.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("results.violations", "results.scan_summary"):
		return 95
	case o.Has("results.violations"), o.Has("results.skipped_violations"), o.Has("results.scan_errors"):
		return 90
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "terrascan", Format: "terrascan", Complete: true}, func(d *report.Document) {
		d.Object(func(key string) {
			if key != "results" {
				return
			}
			d.Object(func(key string) {
				switch key {
				case "scan_errors":
					d.Array(func(int) { d.Run.Complete = false })
				case "violations":
					d.Array(func(int) { d.Item(func(f *fact.Finding) { violation(d, f, false) }) })
				case "skipped_violations":
					d.Array(func(int) { d.Item(func(f *fact.Finding) { violation(d, f, true) }) })
				}
			})
		})
	})
}

func violation(d *report.Document, f *fact.Finding, skipped bool) {
	f.Asset = fact.Asset{Kind: fact.AssetRepository}
	name, kind, resource, comment := "", "", "", ""
	d.Object(func(key string) {
		switch key {
		case "rule_id":
			f.Rule = d.Text()
		case "rule_name":
			name = d.Text()
		case "description":
			f.Title = d.Text()
		case "severity":
			report.Rate(f, d.Text())
		case "resource_name":
			resource = d.Text()
		case "resource_type":
			kind = d.Text()
		case "file":
			f.Path = d.Text()
		case "line":
			f.Line = d.Int()
		case "skip_comment":
			comment = d.Text()
		case "category", "plan_root", "module_name":
			report.Attribute(f, key, d.Text())
		}
	})
	if f.Rule == "" && name == "" {
		return
	}
	f.Kind = fact.Misconfiguration
	if f.Rule == "" {
		f.Rule = name
	}
	f.Aliases = report.Aliases(f.Rule, name)
	if kind != "" && resource != "" {
		f.Anchor = kind + "." + resource
	}
	report.Attribute(f, "resource_type", kind)
	if skipped {
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: comment, Source: "terrascan"}
	}
}
