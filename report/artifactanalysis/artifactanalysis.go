// Package artifactanalysis reads what Google Cloud's Artifact Analysis says of an image.
package artifactanalysis

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
		ID: "report/artifactanalysis", Name: "Google Artifact Analysis", Formats: "JSON of `gcloud artifacts docker images describe`",
		Docs: "Produce it with `gcloud artifacts docker images describe IMAGE --show-package-vulnerability --format json`. One finding a vulnerability and package of the image, by its digest. " +
			"The report is complete when the analysis has finished.",
	}
}

func (reader) Detect(head []byte) int {
	if o := report.OutlineOf(head); o.Has("image_summary.fully_qualified_digest") && (o.Has("package_vulnerability_summary") || o.Has("discovery_summary")) {
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "artifact-analysis", Format: "artifactanalysis"}, func(d *report.Document) {
		var name, digest string
		finished, summary := false, false
		asset := func() fact.Asset { return report.ImageAsset(cmp.Or(name, digest), digest) }
		d.Early(func() {
			d.Object(func(key string) {
				switch key {
				case "image_summary":
					d.Object(func(key string) {
						switch key {
						case "digest":
							digest = d.Text()
						case "fully_qualified_digest":
							name = d.Text()
						}
					})
				case "discovery_summary":
					d.Object(func(key string) {
						if key == "discovery" {
							d.Array(func(int) { finished = discovery(d) || finished })
						}
					})
				case "package_vulnerability_summary":
					summary = true
					d.Object(func(key string) {
						if key != "vulnerabilities" {
							return
						}
						d.Object(func(string) { // by severity
							d.Array(func(int) { occurrence(d) })
						})
					})
				}
			})
		}, func(f *fact.Finding) { f.Asset = asset() })
		if summary && finished && (name != "" || digest != "") {
			d.Run.Complete = true
			d.Looked(asset())
		}
	})
}

// discovery says whether an analysis has finished.
func discovery(d *report.Document) (finished bool) {
	d.Object(func(key string) {
		if key != "discovery" {
			return
		}
		d.Object(func(key string) {
			if key == "analysisStatus" {
				finished = d.Text() == "FINISHED_SUCCESS"
			}
		})
	})
	return finished
}

// occurrence reads a vulnerability with the packages that it is in.
func occurrence(d *report.Document) {
	place := d.Place()
	var f fact.Finding
	var packages []issue
	d.Object(func(key string) {
		switch key {
		case "noteName":
			note := d.Text()
			f.Rule = note[strings.LastIndexByte(note, '/')+1:]
		case "vulnerability":
			packages = vulnerability(d, &f)
		}
	})
	for _, p := range packages {
		one := f
		one.Kind, one.Position = fact.Vulnerability, place()
		one.Package, one.Path = p.pkg(), p.path
		one.Title = one.Rule + " in " + p.name + ":" + p.version
		if p.fixed != "" {
			one.FixedVersions = []string{p.fixed}
		}
		if p.severity != "" {
			report.Rate(&one, p.severity)
		}
		report.WithAttributes(&one, map[string]string{"package_type": p.kind})
		if one.Rule != "" {
			d.Give(one)
		}
	}
}

// issue is a package that a vulnerability is in.
type issue struct{ name, version, fixed, kind, cpe, path, severity string }

// maxIssues bounds the packages of one vulnerability, of each of which a finding is made.
const maxIssues = 5000

func vulnerability(d *report.Document, f *fact.Finding) (packages []issue) {
	effective := ""
	d.Object(func(key string) {
		switch key {
		case "cvssScore":
			f.Score = max(0, d.Float())
		case "effectiveSeverity":
			effective = d.Text()
		case "severity":
			report.Rate(f, d.Text())
		case "longDescription":
			f.Description = d.Text()
		case "relatedUrls":
			d.Array(func(int) {
				d.Object(func(key string) {
					if key == "url" {
						f.References = append(f.References, d.Text())
					}
				})
			})
		case "packageIssue":
			d.Array(func(int) {
				p := readIssue(d)
				if p.name != "" && len(packages) < maxIssues {
					packages = append(packages, p)
				}
			})
		}
	})
	if effective != "" {
		report.Rate(f, effective)
	}
	return packages
}

func readIssue(d *report.Document) (p issue) {
	d.Object(func(key string) {
		switch key {
		case "affectedPackage":
			p.name = d.Text()
		case "affectedVersion":
			p.version = fullName(d)
		case "fixedVersion":
			p.fixed = fullName(d)
		case "affectedCpeUri":
			p.cpe = d.Text()
		case "packageType":
			p.kind = d.Text()
		case "effectiveSeverity":
			p.severity = d.Text()
		case "fileLocation":
			d.Array(func(int) {
				d.Object(func(key string) {
					if key == "filePath" && p.path == "" {
						p.path = d.Text()
					}
				})
			})
		}
	})
	return p
}

// fullName reads a version; one of kind MAXIMUM means that there is none.
func fullName(d *report.Document) (version string) {
	kind := ""
	d.Object(func(key string) {
		switch key {
		case "fullName":
			version = d.Text()
		case "kind":
			kind = d.Text()
		}
	})
	if kind == "MAXIMUM" {
		return ""
	}
	return version
}

func (p *issue) pkg() fact.Package {
	switch p.kind {
	case "GO_STDLIB":
		return report.Named("Go", "stdlib", p.version)
	case "OS":
		return report.Named(distribution(p.cpe), p.name, p.version)
	}
	return report.Named(report.PackageType(p.kind), p.name, p.version)
}

// distribution reads "cpe:/o:debian:debian_linux:12".
func distribution(cpe string) string {
	parts := strings.Split(cpe, ":")
	if len(parts) < 5 {
		return ""
	}
	return report.Distribution(parts[2], parts[4])
}
