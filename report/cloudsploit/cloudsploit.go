// Package cloudsploit reads the JSON reports of CloudSploit.
package cloudsploit

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
		ID: "report/cloudsploit", Name: "CloudSploit", Formats: "JSON",
		Docs: "Produce it with `cloudsploit --json OUT`. One finding a result that fails or warns; a resource is known by its ARN or id. Results that are OK are no findings; they say that the resource was looked at. " +
			"Results that are UNKNOWN make the report incomplete. Severities are not told. Results that name no resource are told apart by plugin and region.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	if o.Kind == report.KindArray && o.Has("plugin", "category", "resource", "status") {
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "cloudsploit", Format: "cloudsploit", Complete: true}, func(d *report.Document) {
		account := ""
		d.Array(func(int) {
			d.Item(func(f *fact.Finding) {
				resource := result(d, f)
				if parts := strings.Split(resource, ":"); account == "" && len(parts) > 5 && parts[4] != "" {
					account = parts[4]
				}
			})
		})
		if d.Run.Target = "aws/" + account; account == "" {
			d.Run.Target, d.Run.Complete = "", false // whose resources were looked at is not told
		}
	})
}

// result reads a result and gives the resource that it names.
func result(d *report.Document, f *fact.Finding) (resource string) {
	status, region := "", ""
	d.Object(func(key string) {
		switch key {
		case "plugin":
			f.Rule = d.Text()
		case "title":
			f.Title = d.Text()
		case "description":
			f.Description = d.Text()
		case "message":
			f.Description = strings.TrimSpace(f.Description + "\n\n" + d.Text())
		case "resource":
			resource = d.Text()
		case "region":
			region = d.Text()
		case "status":
			status = d.Text()
		case "category", "compliance":
			report.Attribute(f, key, d.Text())
		}
	})
	report.Attribute(f, "region", region)
	if resource == "N/A" || resource == "" {
		f.Anchor = region
	} else {
		f.Asset = report.CloudAsset(resource, "")
	}
	switch strings.ToUpper(status) {
	case "FAIL", "WARN":
		report.Attribute(f, "status", status)
		f.Kind = fact.Misconfiguration
	case "OK", "PASS":
		d.Looked(f.Asset)
	default:
		d.Run.Complete = false
	}
	return resource
}
