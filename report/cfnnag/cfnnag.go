// Package cfnnag reads the JSON reports of cfn_nag.
package cfnnag

import (
	"context"
	"io"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "cfn_nag"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/cfnnag", Name: "cfn_nag", Formats: "JSON",
		Docs: "Produce it with `cfn_nag_scan --input-path DIR --output-format json`. One finding a violation of a resource of a CloudFormation template, with its logical id and line. " +
			"A warning is read as medium; a failure has no severity. A template that could not be parsed (FATAL) is no finding and makes the report incomplete.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	if o.Kind == report.KindArray && o.Has("filename", "file_results.violations") {
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: tool, Format: "cfnnag", Complete: true}, func(d *report.Document) {
		d.Array(func(int) { template(d) })
	})
}

// template reads the violations of a file, whose name may stand after them.
func template(d *report.Document) {
	var held report.Spool
	defer held.Close()
	name, parsed := "", true
	d.Object(func(key string) {
		switch key {
		case "filename":
			name = d.Text()
		case "file_results":
			d.Object(func(key string) {
				if key == "violations" {
					d.Array(func(int) { parsed = violation(d, &held) && parsed })
				}
			})
		}
	})
	if d.Err() != nil {
		return // which file it is, is not known
	}
	d.As(tool, "file:"+name)
	d.Run.Complete = d.Run.Complete && parsed
	d.Fail(held.Replay(func(f fact.Finding) error {
		f.Path = name
		return d.Emitter.Give(f)
	}))
}

// violation reads a violation; false says that the template could not be parsed.
func violation(d *report.Document, held *report.Spool) bool {
	f := fact.Finding{Kind: fact.Misconfiguration, Asset: fact.Asset{Kind: fact.AssetRepository}}
	var resources []string
	var lines []int
	kind, name, place := "", "", d.Place()
	d.Object(func(key string) {
		switch key {
		case "id":
			f.Rule = d.Text()
		case "name":
			name = d.Text()
		case "type":
			kind = d.Text()
		case "message":
			f.Title = d.Text()
		case "logical_resource_ids":
			resources = d.Texts()
		case "line_numbers":
			d.Each(func(int) { lines = append(lines, max(0, d.Int())) })
		}
	})
	f.Position = place()
	switch {
	case d.Err() != nil:
		return true
	case strings.EqualFold(f.Rule, "FATAL"):
		return false
	case strings.EqualFold(kind, "WARN"):
		report.Rate(&f, "warning")
	default:
		f.SeverityText = "failure"
	}
	f.Aliases = report.Aliases(f.Rule, name)
	if len(resources) == 0 {
		resources = []string{""} // the template as a whole
	}
	for i, resource := range resources {
		own := f
		own.Anchor = resource
		if i < len(lines) {
			own.Line, own.EndLine = lines[i], lines[i]
		}
		d.Fail(held.Add(own))
	}
	return true
}
