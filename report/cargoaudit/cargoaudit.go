// Package cargoaudit reads the JSON reports of cargo audit.
package cargoaudit

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
		ID: "report/cargoaudit", Name: "cargo audit", Formats: "JSON",
		Docs: "Produce it with `cargo audit --json`. One vulnerability an advisory and crate, with the patched versions; of the warnings, unsound crates are vulnerabilities too, " +
			"unmaintained and yanked ones are at the end of their life. cargo audit gives CVSS vectors and no severity words.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("database.advisory-count"), o.Has("lockfile.dependency-count"):
		return 95
	case o.Has("vulnerabilities.found", "vulnerabilities.list"):
		return 85
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "cargo audit", Format: "cargoaudit", Complete: true}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		d.Object(func(key string) {
			switch key {
			case "database":
				d.Object(func(key string) {
					if key == "last-commit" {
						d.Run.Rules = d.Text()
					}
				})
			case "vulnerabilities":
				d.Object(func(key string) {
					if key == "list" {
						d.Array(func(int) { d.Item(func(f *fact.Finding) { entry(d.Scanner, f, "") }) })
					}
				})
			case "warnings":
				d.Object(func(kind string) {
					d.Array(func(int) { d.Item(func(f *fact.Finding) { entry(d.Scanner, f, kind) }) })
				})
			}
		})
	})
}

// entry reads a vulnerability, or a warning of a kind.
func entry(s *report.Scanner, f *fact.Finding, kind string) {
	f.Kind, f.Asset, f.Path = fact.Vulnerability, fact.Asset{Kind: fact.AssetRepository}, "Cargo.lock"
	name, version := "", ""
	s.Object(func(key string) {
		switch key {
		case "advisory":
			advisory(s, f)
		case "versions":
			s.Object(func(key string) {
				if key == "patched" {
					for _, text := range s.Texts() {
						if fixed := lowest(text); fixed != "" {
							f.FixedVersions = append(f.FixedVersions, fixed)
						}
					}
				}
			})
		case "package":
			s.Object(func(key string) {
				switch key {
				case "name":
					name = s.Text()
				case "version":
					version = s.Text()
				}
			})
		}
	})
	f.Package = report.Named("crates.io", name, version)
	if kind == "unmaintained" || kind == "yanked" {
		f.Kind = fact.EndOfLife
	}
	if kind == "" {
		return
	}
	report.Attribute(f, "warning", kind)
	f.Severity = fact.SeverityInfo
	if f.Rule == "" { // a yanked version has no advisory
		f.Rule, f.Title = kind, name+" "+version+" is "+kind
	}
}

func advisory(s *report.Scanner, f *fact.Finding) {
	var aliases []string
	s.Object(func(key string) {
		switch key {
		case "id":
			f.Rule = s.Text()
		case "title":
			f.Title = s.Text()
		case "description":
			f.Description = s.Text()
		case "aliases":
			aliases = s.Texts()
		case "cvss":
			f.Vector = s.Text()
		case "references":
			f.References = append(f.References, s.Texts()...)
		case "url":
			if url := s.Text(); url != "" {
				f.References = append([]string{url}, f.References...)
			}
		}
	})
	f.Aliases = report.Aliases(f.Rule, aliases...)
}

// lowest is the version from which a requirement holds: 1.2.3 for ">=1.2.3", "^1.2.3"
// and ">=1.2.3, <2"; "" for one without such a version.
func lowest(requirement string) string {
	for part := range strings.SplitSeq(requirement, ",") {
		part = strings.TrimSpace(part)
		version := strings.TrimSpace(strings.TrimLeft(part, ">=^~"))
		if strings.HasPrefix(part, "<") || strings.HasPrefix(part, ">") && !strings.HasPrefix(part, ">=") || version == "" {
			continue
		}
		return version
	}
	return ""
}
