// Package tfsec reads the JSON reports of tfsec.
package tfsec

import (
	"cmp"
	"context"
	"io"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/tfsec", Name: "tfsec", Formats: "JSON",
		Docs: "Produce it with `tfsec DIR --format json`. One finding a failed rule at a place, with the address of the Terraform resource where the report names one. " +
			"Results that were ignored by a comment (`--include-ignored`) are accepted risks; passed ones (`--include-passed`) are left out. An empty list of results names no tool, so it never proves that something is gone.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("results[].rule_id", "results[].location", "results[].rule_provider"), o.Has("results[].long_id", "results[].location"):
		return 95
	case o.Has("results[].rule_id", "results[].location", "results[].resolution"):
		return 90
	case o.Has("results") && len(o.Keys) == 1 && (o.Keys["results"] == report.KindNull || o.Keys["results"] == report.KindArray):
		return 30 // nothing was found
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "tfsec", Format: "tfsec", Complete: true}, func(d *report.Document) {
		d.Object(func(key string) {
			if key != "results" {
				return
			}
			some, list := false, d.Kind() == report.KindArray
			d.Array(func(int) {
				some = true
				d.Item(func(f *fact.Finding) { result(d, f) })
			})
			if list && !some {
				d.Run.Complete = false // null is tfsec's own word for nothing, an empty list that of others too
			}
		})
	})
}

func result(d *report.Document, f *fact.Finding) {
	f.Asset = fact.Asset{Kind: fact.AssetRepository}
	id, long, legacy, status := "", "", "", ""
	d.Object(func(key string) {
		switch key {
		case "rule_id":
			id = d.Text()
		case "long_id":
			long = d.Text()
		case "legacy_rule_id":
			legacy = d.Text()
		case "rule_description":
			f.Title = d.Text()
		case "description":
			f.Description = d.Text()
		case "impact", "rule_provider", "rule_service":
			report.Attribute(f, key, d.Text())
		case "resolution":
			f.Mitigation = d.Text()
		case "links":
			f.References = append(f.References, d.Texts()...)
		case "severity":
			report.Rate(f, d.Text())
		case "status":
			status = d.Text()
		case "resource":
			f.Anchor = d.Text()
		case "location":
			d.Object(func(key string) {
				switch key {
				case "filename":
					f.Path = d.Text()
				case "start_line":
					f.Line = d.Int()
				case "end_line":
					f.EndLine = d.Int()
				}
			})
		}
	})
	f.Rule = cmp.Or(long, id)
	f.Aliases = report.Aliases(f.Rule, id, legacy)
	f.Anchor = cmp.Or(f.Anchor, address(f.Description))
	switch status { // words in older versions, numbers in newer ones
	case "passed", "1":
		return
	case "ignored", "2":
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: "ignored by a comment in the code", Source: "tfsec"}
	}
	if f.Rule != "" {
		f.Kind = fact.Misconfiguration
	}
}

// address finds the address that older versions write into their sentence:
// "Resource 'module.A:module.b:aws_x.y[0]' has ...".
func address(text string) string {
	rest, ok := strings.CutPrefix(text, "Resource '")
	if !ok {
		return ""
	}
	name, _, ok := strings.Cut(rest, "' ")
	if !ok || strings.ContainsAny(name, " '") {
		return ""
	}
	return strings.ReplaceAll(name, ":", ".")
}
