// Package cfnlint reads the JSON reports of cfn-lint.
package cfnlint

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
		ID: "report/cfnlint", Name: "cfn-lint", Formats: "JSON",
		Docs: "Produce it with `cfn-lint --format json TEMPLATE`. One finding a broken rule at its lines, with the path in the template as what tells it apart. Errors are medium, warnings low, the rest informs. " +
			"A file with only these findings does not list the templates that were clean.",
	}
}

func (reader) Detect(head []byte) int {
	if o := report.OutlineOf(head); o.Kind == report.KindArray && o.Has("Filename", "Location.Start", "Rule.Id", "Level") {
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "cfn-lint", Format: "cfnlint", Complete: true}, func(d *report.Document) {
		some := false
		d.Array(func(int) {
			some = true
			d.Item(func(f *fact.Finding) { match(d, f) })
		})
		d.Run.Complete = some // an empty list is that of any tool
	})
}

var levels = map[string]string{"Error": "medium", "Warning": "low", "Informational": "info"}

func match(d *report.Document, f *fact.Finding) {
	f.Asset = fact.Asset{Kind: fact.AssetRepository}
	var path []string
	level := ""
	d.Object(func(key string) {
		switch key {
		case "Filename":
			f.Path = d.Text()
		case "Level":
			level = d.Text()
		case "Message":
			f.Title = d.Text()
		case "Location":
			d.Object(func(key string) {
				switch key {
				case "Start":
					f.Line = line(d)
				case "End":
					f.EndLine = line(d)
				case "Path":
					path = d.Texts()
				}
			})
		case "Rule":
			d.Object(func(key string) {
				switch key {
				case "Id":
					f.Rule = d.Text()
				case "Description":
					f.Description = d.Text()
				case "Source":
					if url := d.Text(); url != "" {
						f.References = []string{url}
					}
				}
			})
		}
	})
	if f.Rule == "" {
		return
	}
	f.Kind, f.Anchor = fact.Misconfiguration, strings.Join(path, ".")
	f.SeverityText, f.Severity = level, fact.ParseSeverity(levels[level])
}

func line(d *report.Document) (n int) {
	d.Object(func(key string) {
		if key == "LineNumber" {
			n = max(0, d.Int())
		}
	})
	return n
}
