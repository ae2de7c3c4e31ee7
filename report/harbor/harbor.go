// Package harbor reads the vulnerability reports of the Harbor registry.
package harbor

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
		ID: "report/harbor", Name: "Harbor", Formats: "JSON of an artifact's vulnerabilities, bare or below its media type",
		Docs: "Take the answer of `GET /api/v2.0/projects/PROJECT/repositories/REPOSITORY/artifacts/DIGEST/additions/vulnerabilities`. One finding a vulnerability and package of the artifact, by its digest. " +
			"Harbor tells no type of packages, so that they have no package URL. A report that names neither artifact nor digests never proves that something is gone.",
	}
}

// mediaTypes begin the members below which Harbor puts the report of each scanner.
var mediaTypes = []string{"application/vnd.security.vulnerability.report", "application/vnd.scanner.adapter.vuln.report"}

func isMediaType(key string) bool {
	return strings.HasPrefix(key, mediaTypes[0]) || strings.HasPrefix(key, mediaTypes[1])
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	if o.Kind != report.KindObject {
		return 0
	}
	if o.Has("generated_at", "scanner.vendor", "vulnerabilities") {
		return 95
	}
	for key := range o.Keys {
		if isMediaType(key) {
			return 95
		}
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "harbor", Format: "harbor", Complete: true}, func(d *report.Document) {
		artifact(d, func(key string) {
			if isMediaType(key) && d.Kind() == report.KindObject {
				artifact(d, nil)
			}
		})
	})
}

// artifact reads the report of one artifact; other is told of members that it does not
// know.
func artifact(d *report.Document, other func(key string)) {
	var name, tag, digest, scanner string
	d.Early(func() {
		d.Object(func(key string) {
			switch key {
			case "generated_at":
				d.Run.Started = report.Micros(d.Text())
			case "artifact":
				d.Object(func(key string) {
					switch key {
					case "repository":
						name = d.Text()
					case "tag":
						tag = d.Text()
					case "digest":
						digest = d.Text()
					}
				})
			case "scanner":
				d.Object(func(key string) {
					if key == "name" {
						scanner = d.Text()
					}
				})
			case "vulnerabilities":
				d.Array(func(int) {
					d.Item(func(f *fact.Finding) { vulnerability(d, f) })
				})
			default:
				if other != nil {
					other(key)
				}
			}
		})
	}, func(f *fact.Finding) {
		if name != "" || digest != "" {
			f.Asset = image(name, tag, digest)
		}
		report.Attribute(f, "scanner", scanner)
	})
	if name != "" || digest != "" {
		d.Looked(image(name, tag, digest))
	}
}

func image(name, tag, digest string) fact.Asset {
	if name != "" && tag != "" {
		name += ":" + tag
	}
	return report.ImageAsset(cmp.Or(name, digest), digest)
}

func vulnerability(d *report.Document, f *fact.Finding) {
	var digests []string
	d.Object(func(key string) {
		switch key {
		case "id":
			f.Rule = d.Text()
		case "package":
			f.Package.Name = d.Text()
		case "version":
			f.Package.Version = d.Text()
		case "fix_version":
			f.FixedVersions = report.Versions(d.Text())
		case "severity":
			report.Rate(f, d.Text())
		case "description":
			f.Description = d.Text()
		case "links":
			f.References = append(f.References, d.Texts()...)
		case "cwe_ids":
			f.CWE = report.CWEs(d.Texts()...)
		case "artifact_digests":
			digests = d.Texts()
		case "preferred_cvss":
			cvss(d, f)
		}
	})
	if f.Rule == "" || f.Package.Name == "" {
		return
	}
	f.Kind = fact.Vulnerability
	f.Title = f.Rule + " in " + f.Package.Name + ":" + f.Package.Version
	if len(digests) > 0 {
		f.Asset = report.ImageAsset(digests[0], digests...)
	}
	if len(digests) > 1 { // an index of images, of which the first stands for all
		d.Run.Complete = false
	}
}

func cvss(d *report.Document, f *fact.Finding) {
	var score2, score3 float64
	var vector2, vector3 string
	d.Object(func(key string) {
		switch key {
		case "score_v3":
			score3 = max(0, d.Float())
		case "score_v2":
			score2 = max(0, d.Float())
		case "vector_v3":
			vector3 = d.Text()
		case "vector_v2":
			vector2 = d.Text()
		}
	})
	if score3 > 0 || vector3 != "" {
		f.Score, f.Vector = score3, vector3
		return
	}
	f.Score, f.Vector = score2, vector2
}
