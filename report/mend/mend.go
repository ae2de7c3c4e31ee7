// Package mend reads what Mend SCA (once WhiteSource) says of libraries.
package mend

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "mend"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/mend", Name: "Mend SCA", Formats: "JSON of vulnerability reports and of the platform's API 3",
		Docs: "Take the vulnerability report of a project or organization as JSON, or the answer of `GET /projects/ID/dependencies/findings/security`. One finding a vulnerability and library, with package URL where its type tells the ecosystem. " +
			"Ignored findings are accepted risks, those whose library was removed resolved. Pages and filtered reports never prove that something is gone.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("vulnerabilities[].library.keyUuid"), o.Has("vulnerabilities[].library.artifactId", "vulnerabilities[].topFix"):
		return 95
	case o.Has("response[].findingInfo", "response[].component", "response[].vulnerability"), o.Has("supportToken", "response", "additionalData"):
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: tool, Format: "mend"}, func(d *report.Document) {
		d.Object(func(key string) {
			if key == "vulnerabilities" || key == "response" {
				d.Array(func(int) { d.Item(func(f *fact.Finding) { flaw(d, f) }) })
			}
		})
	})
}

// library is one as both layouts write it.
type library struct{ name, file, group, artifact, version, kind string }

func (l *library) read(d *report.Document) {
	d.Object(func(key string) {
		switch key {
		case "name":
			l.name = d.Text()
		case "filename":
			l.file = d.Text()
		case "groupId":
			l.group = d.Text()
		case "artifactId":
			l.artifact = d.Text()
		case "version":
			l.version = d.Text()
		case "type", "libraryType":
			l.kind = d.Text()
		}
	})
}

var ecosystems = map[string]string{
	"MAVEN_ARTIFACT": "Maven", "NODE_PACKAGED_MODULE": "npm", "PYTHON_PACKAGE": "PyPI", "NUGET_PACKAGE": "NuGet", "NUGET_PACKAGE_MODULE": "NuGet",
	"RUBY_GEM": "RubyGems", "GO_PACKAGE": "Go", "PHP_PACKAGE": "Packagist", "CRATE": "crates.io", "RUST_CRATE": "crates.io",
}

func (l *library) pkg() fact.Package {
	ecosystem := ecosystems[l.kind]
	switch {
	case ecosystem == "Maven" && l.group != "" && l.artifact != "":
		return report.Named(ecosystem, l.group+":"+l.artifact, l.version)
	case ecosystem != "" && ecosystem != "Maven" && l.group != "":
		return report.Named(ecosystem, l.group, l.version)
	case l.name != "":
		return fact.Package{Name: l.name, Version: l.version}
	}
	return fact.Package{Name: l.file, Version: l.version}
}

func flaw(d *report.Document, f *fact.Finding) {
	f.Asset = fact.Asset{Kind: fact.AssetRepository}
	var of library
	var severity2, severity3, fix, status, comment string
	var score2, score3 float64
	d.Object(func(key string) {
		switch key {
		case "name":
			f.Rule = d.Text()
		case "severity":
			severity2 = d.Text()
		case "cvss3_severity":
			severity3 = d.Text()
		case "score":
			score2 = max(0, d.Float())
		case "cvss3_score":
			score3 = max(0, d.Float())
		case "scoreMetadataVector":
			f.Vector = d.Text()
		case "description":
			f.Description = d.Text()
		case "url":
			if url := d.Text(); url != "" {
				f.References = append(f.References, url)
			}
		case "library", "component":
			of.read(d)
		case "vulnerability":
			d.Object(func(key string) {
				switch key {
				case "description":
					f.Description = d.Text()
				case "severity":
					severity3 = d.Text()
				case "score":
					score3 = max(0, d.Float())
				}
			})
		case "topFix":
			d.Object(func(key string) {
				switch key {
				case "fixResolution":
					fix = d.Text()
				case "url":
					if url := d.Text(); url != "" && !slices.Contains(f.References, url) {
						f.References = append(f.References, url)
					}
				}
			})
		case "findingInfo":
			d.Object(func(key string) {
				switch key {
				case "status":
					status = d.Text()
				case "comment":
					d.Object(func(key string) {
						if key == "comment" {
							comment = d.Text()
						}
					})
				}
			})
		case "threatAssessment":
			d.Object(func(key string) {
				switch key {
				case "epssPercentage":
					f.EPSS = min(max(0, d.Float())/100, 1)
				case "exploitCodeMaturity":
					report.Attribute(f, "exploit_code_maturity", d.Text())
				}
			})
		case "project", "application":
			report.Attribute(f, key, named(d))
		case "product":
			report.Attribute(f, "application", d.Text())
		}
	})
	f.Package = of.pkg()
	if f.Rule == "" || f.Package.Name == "" {
		return
	}
	f.Kind = fact.Vulnerability
	f.Title = f.Rule + " in " + f.Package.Name + ":" + f.Package.Version
	if f.Score = score3; score3 == 0 {
		f.Score = score2
	}
	if severity3 == "" {
		severity3 = severity2
	}
	report.Rate(f, severity3)
	if versions, ok := strings.CutPrefix(fix, f.Package.Name+":"); ok && f.Package.Ecosystem == "Maven" {
		f.FixedVersions = report.Versions(versions)
	} else if fix != "no_fix" {
		f.Mitigation = fix
	}
	switch status {
	case "LIBRARY_REMOVED", "RESOLVED":
		f.Analysis = fact.Analysis{State: fact.AnalysisResolved, Source: tool}
	case "IGNORED", "SUPPRESSED":
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: comment, Source: tool}
	}
	report.Attribute(f, "library", of.file)
	report.Attribute(f, "library_type", of.kind)
}

// named reads a name, or the name of an object.
func named(d *report.Document) (name string) {
	if d.Kind() != report.KindObject {
		return d.Text()
	}
	d.Object(func(key string) {
		if key == "name" {
			name = d.Text()
		}
	})
	return name
}
