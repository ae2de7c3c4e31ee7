// Package aqua reads what Aqua Enterprise says of images as JSON.
package aqua

import (
	"cmp"
	"context"
	"io"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "aqua"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/aqua", Name: "Aqua", Formats: "JSON of scannercli, of scans in pipelines, and of the API's risks of vulnerabilities",
		Docs: "Produce it with `scannercli scan --jsonfile FILE IMAGE`, or take the answer of `GET /api/v2/risks/vulnerabilities`. One finding a vulnerability and package or file of an image. " +
			"Acknowledged ones are accepted risks. A scan of an image lists all that was found; an answer of the API is a page of what its query lets through and never complete.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("image", "scan_started", "resources"), o.Has("image", "scan_started", "vulnerability_summary"), o.Has("image", "resources[].resource", "resources[].scanned"):
		return 95
	case o.Has("image_name", "cves_counts"), o.Has("image_name", "cves[].publishdate"):
		return 95
	case o.Has("result[].aqua_score"), o.Has("count", "pagesize", "result", "query.image_name_exact_match"):
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: tool, Format: "aqua"}, func(d *report.Document) {
		var image, system, version string
		scanned, pages := false, false
		asset := func() fact.Asset {
			if image == "" {
				return fact.Asset{Kind: fact.AssetUnknown}
			}
			return report.ImageAsset(image)
		}
		d.Early(func() {
			d.Object(func(key string) {
				switch key {
				case "image", "image_name":
					image = d.Text()
				case "os":
					system = d.Text()
				case "version":
					version = d.Text()
				case "resources":
					scanned = d.Kind() == report.KindArray
					d.Array(func(int) { resource(d) })
				case "cves":
					scanned = d.Kind() == report.KindArray
					d.Array(func(int) { given(d) })
				case "vulnerability_summary":
					scanned = true
				case "result":
					pages = true
					d.Array(func(int) { given(d) })
				}
			})
		}, func(f *fact.Finding) {
			if f.Asset.Kind == "" {
				f.Asset = asset()
			}
			if kind := f.Attributes["package_type"]; f.Package.Name != "" && f.Package.PURL == "" && report.PackageType(kind) == "" && systems[kind] && system != "" {
				f.Package = report.Named(report.DistributionNamed(system+" "+version), f.Package.Name, f.Package.Version)
			}
		})
		if scanned && !pages {
			d.Run.Complete = true
			d.Looked(asset())
		}
	})
}

// systems are the formats of packages of operating systems.
var systems = map[string]bool{"apk": true, "deb": true, "dpkg": true, "rpm": true}

// resource reads a package or file with its vulnerabilities.
func resource(d *report.Document) {
	var at target
	d.Early(func() {
		d.Object(func(key string) {
			switch key {
			case "resource":
				at.read(d)
			case "vulnerabilities":
				d.Array(func(int) { given(d) })
			}
		})
	}, func(f *fact.Finding) { at.fill(f, "") })
}

// target is a package or file as Aqua writes it.
type target struct{ name, version, path, format string }

func (t *target) read(d *report.Document) {
	d.Object(func(key string) {
		switch key {
		case "name":
			t.name = d.Text()
		case "version":
			t.version = d.Text()
		case "path":
			t.path = d.Text()
		case "format":
			t.format = d.Text()
		}
	})
}

// fill makes a finding one of this target in a distribution.
func (t *target) fill(f *fact.Finding, distribution string) {
	ecosystem := report.PackageType(t.format)
	if systems[t.format] {
		ecosystem = distribution
	}
	if t.name != "" {
		f.Package = report.Named(ecosystem, t.name, t.version)
	}
	f.Path = cmp.Or(t.path, f.Path)
	f.Title = f.Rule + " in " + cmp.Or(t.name, t.path) + ":" + t.version
	report.Attribute(f, "package_type", t.format)
}

// given reads a vulnerability and gives it.
func given(d *report.Document) {
	d.Item(func(f *fact.Finding) {
		var at target
		var image, digest, registry, system, version, file string
		severities, scores, vectors := map[string]string{}, map[string]float64{}, map[string]string{}
		d.Object(func(key string) {
			switch key {
			case "name":
				f.Rule = d.Text()
			case "description":
				f.Description = d.Text()
			case "solution":
				f.Mitigation = d.Text()
			case "fix_version":
				f.FixedVersions = report.Versions(d.Text())
			case "nvd_url", "vendor_url", "url":
				if url := d.Text(); url != "" {
					f.References = append(f.References, url)
				}
			case "acknowledged":
				if d.Bool() {
					f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Source: tool}
				}
			case "file":
				file = d.Text()
			case "resource":
				at.read(d)
			case "image_name":
				image = d.Text()
			case "image_digest":
				digest = d.Text()
			case "registry":
				registry = d.Text()
			case "os":
				system = d.Text()
			case "os_version":
				version = d.Text()
			case "cwe_info":
				if d.Kind() != report.KindArray {
					return // an object where there is none
				}
				d.Array(func(int) {
					d.Object(func(key string) {
						if key == "Id" {
							f.CWE = append(f.CWE, report.CWEs(d.Text())...)
						}
					})
				})
			case "severity", "aqua_severity", "nvd_severity", "nvd_severity_v3", "nvd_cvss3_severity", "vendor_severity", "vendor_severity_v3":
				severities[key] = d.Text()
			case "score", "aqua_score", "nvd_score", "nvd_score_v3", "nvd_cvss3_score", "nvd_cvss2_score":
				scores[key] = max(0, d.Float())
			case "aqua_vectors", "nvd_vectors", "nvd_vectors_v3", "nvd_cvss3_vectors", "nvd_cvss2_vectors":
				vectors[key] = d.Text()
			}
		})
		if f.Rule == "" {
			return
		}
		f.Kind, f.Title = fact.Vulnerability, f.Rule
		report.Rate(f, first(severities, "severity", "aqua_severity", "nvd_cvss3_severity", "nvd_severity_v3", "vendor_severity_v3", "nvd_severity", "vendor_severity"))
		f.Score = first(scores, "score", "aqua_score", "nvd_cvss3_score", "nvd_score_v3", "nvd_score", "nvd_cvss2_score")
		f.Vector = first(vectors, "aqua_vectors", "nvd_cvss3_vectors", "nvd_vectors_v3", "nvd_vectors", "nvd_cvss2_vectors")
		switch {
		case strings.Contains(file, "/"):
			f.Path = file
		case file != "":
			f.Package = fact.Package{Name: file}
		}
		if at.name != "" || at.path != "" {
			at.fill(f, report.DistributionNamed(system+" "+version))
		}
		if image != "" || digest != "" {
			f.Asset = report.ImageAsset(cmp.Or(image, digest), digest)
			report.Attribute(f, "registry", registry)
		}
	})
}

// first gives the first value of these keys that is there.
func first[T comparable](values map[string]T, keys ...string) T {
	var none T
	for _, key := range keys {
		if value := values[key]; value != none {
			return value
		}
	}
	return none
}
