// Package composeraudit reads what composer audit says of PHP packages.
package composeraudit

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
		ID: "report/composeraudit", Name: "composer audit", Formats: "JSON",
		Docs: "Produce it with `composer audit --format=json`. One vulnerability an advisory and package; abandoned packages are at the end of their life, with the package that follows. " +
			"Advisories that the configuration ignores are accepted risks. Composer tells neither installed nor fixed versions, only which versions are affected.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	if o.Kind != report.KindObject || !o.Has("advisories") || o.Has("metadata") || o.Has("muted") {
		return 0
	}
	if strings.Contains(string(head), `"advisoryId"`) {
		return 95
	}
	if o.Has("abandoned") || o.Has("ignored-advisories") {
		return 90
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "composer audit", Format: "composeraudit", Complete: true}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		d.Object(func(key string) {
			switch key {
			case "advisories":
				packages(d, func(name string) { advisories(d, name, false) })
			case "ignored-advisories":
				packages(d, func(name string) { advisories(d, name, true) })
			case "abandoned":
				packages(d, func(name string) { d.Item(func(f *fact.Finding) { abandoned(d.Scanner, f, name) }) })
			}
		})
	})
}

// packages reads an object by package; PHP writes an empty one as an array.
func packages(d *report.Document, each func(name string)) {
	if d.Kind() == report.KindArray {
		d.Array(func(int) { d.Expect("no entry without the name of a package") })
		return
	}
	d.Object(each)
}

// advisories reads those of one package: an array, or an object by number where some
// were taken out.
func advisories(d *report.Document, name string, ignored bool) {
	one := func() { d.Item(func(f *fact.Finding) { advisory(d.Scanner, f, name, ignored) }) }
	if d.Kind() == report.KindObject {
		d.Object(func(string) { one() })
		return
	}
	d.Array(func(int) { one() })
}

func advisory(s *report.Scanner, f *fact.Finding, name string, ignored bool) {
	f.Kind, f.Asset, f.Path = fact.Vulnerability, fact.Asset{Kind: fact.AssetRepository}, "composer.lock"
	id, cve, reason := "", "", ""
	var sources []string
	s.Object(func(key string) {
		switch key {
		case "advisoryId":
			id = s.Text()
		case "cve":
			cve = s.Text()
		case "packageName":
			name = cmp.Or(s.Text(), name)
		case "title":
			f.Title = s.Text()
		case "link":
			if url := s.Text(); url != "" {
				f.References = append(f.References, url)
			}
		case "severity":
			report.Rate(f, s.Text())
		case "affectedVersions":
			report.Attribute(f, "affected_versions", s.Text())
		case "reportedAt":
			report.Attribute(f, "reported_at", s.Text())
		case "ignoreReason":
			reason = s.Text()
		case "sources":
			s.Array(func(int) {
				s.Object(func(key string) {
					if key == "remoteId" {
						// Some are paths of a file named after the advisory.
						if remote := s.Text(); !strings.Contains(remote, "/") {
							sources = append(sources, remote)
						}
					}
				})
			})
		}
	})
	f.Rule = cmp.Or(cve, id)
	f.Aliases = report.Aliases(f.Rule, append([]string{id}, sources...)...)
	f.Package = report.Named("Packagist", name, "")
	if ignored {
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: reason, Source: "composer"}
	}
}

// abandoned reads the package that follows an abandoned one, or null.
func abandoned(s *report.Scanner, f *fact.Finding, name string) {
	f.Kind, f.Asset, f.Path = fact.EndOfLife, fact.Asset{Kind: fact.AssetRepository}, "composer.lock"
	f.Rule, f.Title, f.Severity = "abandoned", name+" is abandoned", fact.SeverityInfo
	f.Package = report.Named("Packagist", name, "")
	if next := s.Text(); next != "" && next != "true" {
		f.Mitigation = "Use " + next + " instead."
	}
}
