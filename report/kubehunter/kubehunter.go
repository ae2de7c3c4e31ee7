// Package kubehunter reads the JSON reports of kube-hunter.
package kubehunter

import (
	"cmp"
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
		ID: "report/kubehunter", Name: "kube-hunter", Formats: "JSON",
		Docs: "Produce it with `kube-hunter --report json`. One finding a weakness of a service or pod that was reached; evidence is not kept, since it may hold tokens. " +
			"What is found depends on where it is started from, so that no report proves that something is gone.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("vulnerabilities[].vid", "vulnerabilities[].hunter"):
		return 95
	case o.Has("nodes", "services", "vulnerabilities") && (o.Has("nodes[].location") || o.Has("services[].location")):
		return 90
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "kube-hunter", Format: "kubehunter"}, func(d *report.Document) {
		d.Object(func(key string) {
			if key == "vulnerabilities" {
				d.Array(func(int) { d.Item(func(f *fact.Finding) { weakness(d, f) }) })
			}
		})
	})
}

func weakness(d *report.Document, f *fact.Finding) {
	location := ""
	d.Object(func(key string) {
		switch key {
		case "location":
			location = d.Text()
		case "vid":
			f.Rule = d.Text()
		case "vulnerability":
			f.Title = d.Text()
		case "severity":
			report.Rate(f, d.Text())
		case "description":
			f.Description = d.Text()
		case "avd_reference":
			if url := d.Text(); url != "" {
				f.References = []string{url}
			}
		case "category", "hunter":
			report.Attribute(f, key, d.Text())
		}
	})
	if f.Rule == "" || f.Rule == "None" {
		f.Rule = f.Title
	}
	if f.Rule == "" {
		return
	}
	f.Kind = fact.Exposure
	f.Anchor = cmp.Or(location, f.Title)
	f.Asset = fact.Asset{Kind: fact.AssetUnknown}
	if location != "" && location != "Local to Pod" {
		f.Asset = report.HostAsset(location)
	}
}
