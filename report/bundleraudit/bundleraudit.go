// Package bundleraudit reads the JSON reports of bundler-audit.
package bundleraudit

import (
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
		ID: "report/bundleraudit", Name: "bundler-audit", Formats: "JSON",
		Docs: "Produce it with `bundle-audit check --format json`. One finding a gem and advisory, with the requirements that patched versions meet; insecure sources of gems are misconfigurations. " +
			"Ignored advisories are not in the report.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("results[].gem", "results[].advisory"):
		return 95
	case len(o.Keys) == 3 && o.Has("version", "created_at") && o.Keys["results"] == report.KindArray:
		return 85 // nothing was found
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "bundler-audit", Format: "bundleraudit", Complete: true}, func(d *report.Document) {
		d.Object(func(key string) {
			switch key {
			case "version":
				d.Run.ToolVersion = d.Text()
			case "results":
				d.Array(func(int) { d.Item(func(f *fact.Finding) { result(d, f) }) })
			}
		})
	})
}

func result(d *report.Document, f *fact.Finding) {
	f.Asset = fact.Asset{Kind: fact.AssetRepository}
	name, version, source := "", "", ""
	var ids []string
	d.Object(func(key string) {
		switch key {
		case "source":
			source = d.Text()
		case "gem":
			d.Object(func(key string) {
				switch key {
				case "name":
					name = d.Text()
				case "version":
					version = d.Text()
				}
			})
		case "advisory":
			ids = advisory(d, f)
		}
	})
	switch {
	case name != "" && len(ids) > 0:
		f.Kind, f.Rule = fact.Vulnerability, ids[0]
		f.Aliases = report.Aliases(f.Rule, ids...)
		f.Package = report.Named("RubyGems", name, version)
	case source != "":
		f.Kind, f.Rule, f.Title = fact.Misconfiguration, "insecure_source", "gems come from an insecure source"
		f.Anchor = report.PlainURL(source)
	}
}

// advisory reads an advisory and gives its ids, the CVE first.
func advisory(d *report.Document, f *fact.Finding) []string {
	ids := map[string]string{}
	var score2, score3 float64
	d.Object(func(key string) {
		switch key {
		case "id":
			ids[key] = d.Text()
		case "cve":
			if number := d.Text(); number != "" {
				ids[key] = "CVE-" + strings.TrimPrefix(number, "CVE-")
			}
		case "ghsa":
			if number := d.Text(); number != "" {
				ids[key] = "GHSA-" + strings.TrimPrefix(number, "GHSA-")
			}
		case "title":
			f.Title = d.Text()
		case "description":
			f.Description = d.Text()
		case "url":
			if url := d.Text(); url != "" {
				f.References = []string{url}
			}
		case "cvss_v2":
			score2 = max(0, d.Float())
		case "cvss_v3":
			score3 = max(0, d.Float())
		case "criticality":
			report.Rate(f, d.Text())
		case "patched_versions":
			if patched := strings.Join(d.Texts(), " or "); patched != "" {
				f.Mitigation = "upgrade to " + patched
			}
		}
	})
	if f.Score = score3; score3 == 0 {
		f.Score = score2
	}
	return report.Aliases("", ids["cve"], ids["ghsa"], ids["id"])
}
