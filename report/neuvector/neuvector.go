// Package neuvector reads the results of NeuVector's scans of images.
package neuvector

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
		ID: "report/neuvector", Name: "NeuVector", Formats: "JSON of scans of images and registries",
		Docs: "Take the answer of `POST /v1/scan/repository` or `GET /v1/scan/image/ID`. One finding a vulnerability and package, with the distribution of the base system where it is told. " +
			"Only a report that names its image proves that something is gone. Checks of benchmarks, environments and secrets are not read.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	if o.Has("report.vulnerabilities") && (o.Has("report.modules") || o.Has("report.setid_perms") || o.Has("report.base_os") || o.Has("report.cvedb_version")) {
		return 95
	}
	if o.Has("report.vulnerabilities[].package_name", "report.vulnerabilities[].in_base_image") || o.Has("report.vulnerabilities[].package_name", "report.vulnerabilities[].score_v3") {
		return 90 // many vulnerabilities come before the rest
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "neuvector", Format: "neuvector"}, func(d *report.Document) {
		d.Object(func(key string) {
			if key == "report" {
				image(d)
			}
		})
	})
}

func image(d *report.Document) {
	var registry, repository, tag, digest, system string
	list := false
	asset := func() fact.Asset {
		if repository == "" && digest == "" {
			return fact.Asset{Kind: fact.AssetUnknown}
		}
		name := repository
		if name != "" && tag != "" {
			name += ":" + tag
		}
		if name != "" && registry != "" {
			name = address(registry) + "/" + name
		}
		return report.ImageAsset(cmp.Or(name, digest), digest)
	}
	d.Early(func() {
		d.Object(func(key string) {
			switch key {
			case "registry":
				registry = d.Text()
			case "repository":
				repository = d.Text()
			case "tag":
				tag = d.Text()
			case "digest":
				digest = d.Text()
			case "base_os":
				system = d.Text()
			case "vulnerabilities":
				list = true
				d.Array(func(int) { d.Item(func(f *fact.Finding) { vulnerability(d, f) }) })
			}
		})
	}, func(f *fact.Finding) {
		f.Asset = asset()
		f.Package = report.Named(report.DistributionNamed(system), f.Package.Name, f.Package.Version)
	})
	if named := asset(); list && named.Kind != fact.AssetUnknown {
		d.Run.Complete = true
		d.Looked(named)
	}
}

// address is how images of a registry are named: without scheme and closing slash.
func address(registry string) string {
	if _, rest, ok := strings.Cut(registry, "://"); ok {
		registry = rest
	}
	return strings.TrimRight(registry, "/")
}

func vulnerability(d *report.Document, f *fact.Finding) {
	var score2, score3 float64
	var vector2, vector3 string
	d.Object(func(key string) {
		switch key {
		case "name":
			f.Rule = d.Text()
		case "severity":
			report.Rate(f, d.Text())
		case "description":
			f.Description = d.Text()
		case "package_name":
			f.Package.Name = d.Text()
		case "package_version":
			f.Package.Version = d.Text()
		case "fixed_version":
			if fixed := d.Text(); fixed != "" {
				f.FixedVersions = []string{fixed}
			}
		case "link":
			if url := d.Text(); url != "" {
				f.References = []string{url}
			}
		case "score":
			score2 = max(0, d.Float())
		case "score_v3":
			score3 = max(0, d.Float())
		case "vectors":
			vector2 = d.Text()
		case "vectors_v3":
			vector3 = d.Text()
		case "in_base_image":
			report.Attribute(f, key, d.Text())
		}
	})
	if f.Rule == "" || f.Package.Name == "" {
		return
	}
	f.Kind = fact.Vulnerability
	f.Title = f.Rule + " in " + f.Package.Name + ":" + f.Package.Version
	if f.Score, f.Vector = score3, vector3; score3 == 0 {
		f.Score, f.Vector = score2, vector2
	}
}
