// Package clair reads what scanners with Clair write of an image: clair-scanner and Klar.
package clair

import (
	"context"
	"io"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "clair"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/clair", Name: "Clair", Formats: "JSON of clair-scanner and of Klar",
		Docs: "Produce it with `clair-scanner -r FILE IMAGE`, or with `JSON_OUTPUT=true klar IMAGE`. One finding a vulnerability and package, with the distribution of its namespace and the fixed version. " +
			"What clair-scanner does not list as unapproved may be approved or only below its threshold, so that nothing is taken from that. Klar does not name the image, so that its reports never prove that something is gone.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("image", "unapproved", "vulnerabilities"):
		return 95
	case o.Has("LayerCount", "Vulnerabilities"):
		return 95
	case o.Has("image") && o.Keys["unapproved"] == report.KindArray: // many ids come before the rest
		return 85
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: tool, Format: "clair"}, func(d *report.Document) {
		image := ""
		d.Early(func() {
			d.Object(func(key string) {
				switch key {
				case "image":
					image = d.Text()
				case "vulnerabilities":
					d.Array(func(int) {
						d.Item(func(f *fact.Finding) { vulnerability(d, f) })
					})
				case "Vulnerabilities": // of Klar, by severity
					d.Object(func(string) {
						d.Array(func(int) {
							d.Item(func(f *fact.Finding) { vulnerability(d, f) })
						})
					})
				}
			})
		}, func(f *fact.Finding) {
			if image != "" {
				f.Asset = report.ImageAsset(image)
			}
		})
		if image != "" {
			d.Run.Complete = true
			d.Looked(report.ImageAsset(image))
		}
	})
}

// vulnerability reads one in the members of either tool.
func vulnerability(d *report.Document, f *fact.Finding) {
	name, version, namespace := "", "", ""
	d.Object(func(key string) {
		switch strings.ToLower(key) {
		case "vulnerability", "name":
			f.Rule = d.Text()
		case "featurename":
			name = d.Text()
		case "featureversion":
			version = d.Text()
		case "namespace", "namespacename":
			namespace = d.Text()
		case "description":
			f.Description = d.Text()
		case "severity":
			report.Rate(f, d.Text())
		case "link":
			if url := d.Text(); url != "" {
				f.References = append(f.References, url)
			}
		case "fixedby":
			if fixed := d.Text(); fixed != "" {
				f.FixedVersions = []string{fixed}
			}
		}
	})
	if f.Rule == "" || name == "" {
		return
	}
	f.Kind = fact.Vulnerability
	f.Title = f.Rule + " in " + name + ":" + version
	f.Package = report.Named(report.DistributionNamed(namespace), name, version)
}
