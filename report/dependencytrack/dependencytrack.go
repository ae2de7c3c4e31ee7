// Package dependencytrack reads the findings that Dependency-Track exports (its finding
// packaging format).
package dependencytrack

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
		ID: "report/dependencytrack", Name: "Dependency-Track", Formats: "JSON, finding packaging format 1.0 to 1.3",
		Docs: "Produce it with `GET /api/v1/finding/project/UUID/export`. One vulnerability a component and flaw, with what people decided about it: " +
			"NOT_AFFECTED, FALSE_POSITIVE, RESOLVED, EXPLOITABLE and IN_TRIAGE as such; suppressed without such a state is an accepted risk.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Texts["meta.application"] == "Dependency-Track":
		return 96
	case o.Has("findings[].component", "findings[].vulnerability", "findings[].matrix"):
		return 92
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "dependency-track", Format: "dependencytrack", Complete: true}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		var held report.Spool // the project comes after its findings
		defer held.Close()
		asset := fact.Asset{Kind: fact.AssetUnknown}
		d.Object(func(key string) {
			switch key {
			case "meta":
				d.Object(func(key string) {
					switch key {
					case "version":
						d.Run.ToolVersion = d.Text()
					case "timestamp":
						d.Run.Started = report.Micros(d.Text())
					}
				})
			case "project":
				asset = project(d)
			case "findings":
				d.Array(func(int) {
					place := d.Place()
					f := finding(d.Scanner)
					f.Position = place()
					d.Fail(held.Add(f))
				})
			}
		})
		d.Looked(asset)
		d.Fail(held.Replay(func(f fact.Finding) error {
			f.Asset = asset
			d.Give(f)
			return nil
		}))
	})
}

// project tells what was looked at: an image where its package URL says so, else what
// a repository builds.
func project(d *report.Document) fact.Asset {
	name, version, purl := "", "", ""
	d.Object(func(key string) {
		switch key {
		case "name":
			name = d.Text()
		case "version":
			version = d.Text()
		case "purl":
			purl = d.Text()
		}
	})
	d.Run.Target = strings.TrimSuffix(name+":"+version, ":")
	switch {
	case strings.HasPrefix(purl, "pkg:oci/"), strings.HasPrefix(purl, "pkg:docker/"), strings.Contains(version, "sha256:"):
		return report.ImageAsset(name, version, purl)
	case name == "":
		return fact.Asset{Kind: fact.AssetUnknown}
	}
	return fact.Asset{Kind: fact.AssetRepository, Key: name, Name: name}
}

func finding(s *report.Scanner) fact.Finding {
	f := fact.Finding{Kind: fact.Vulnerability}
	name, version, purl, group := "", "", "", ""
	s.Object(func(key string) {
		switch key {
		case "component":
			s.Object(func(key string) {
				switch key {
				case "name":
					name = s.Text()
				case "group":
					group = s.Text()
				case "version":
					version = s.Text()
				case "purl":
					purl = s.Text()
				case "latestVersion":
					report.Attribute(&f, "latest_version", s.Text())
				}
			})
		case "attribution":
			s.Object(func(key string) {
				if key == "analyzerIdentity" {
					report.Attribute(&f, "analyzer", s.Text())
				}
			})
		case "vulnerability":
			vulnerability(s, &f)
		case "analysis":
			analysis(s, &f)
		}
	})
	if group != "" {
		name = group + ":" + name
	}
	f.Package = report.PackageOf(name, version, purl)
	f.Title = cmp.Or(f.Title, f.Rule+" in "+f.Package.Name+":"+f.Package.Version)
	return f
}

func vulnerability(s *report.Scanner, f *fact.Finding) {
	var aliases []string
	two, three, four, vectors := 0.0, 0.0, 0.0, map[string]string{}
	s.Object(func(key string) {
		switch key {
		case "vulnId":
			f.Rule = s.Text()
		case "source":
			report.Attribute(f, key, s.Text())
		case "title":
			f.Title = s.Text()
		case "description":
			f.Description = s.Text()
		case "recommendation":
			f.Mitigation = s.Text()
		case "severity":
			report.Rate(f, s.Text())
		case "cvssV2BaseScore":
			two = s.Float()
		case "cvssV3BaseScore":
			three = s.Float()
		case "cvssV4Score":
			four = s.Float()
		case "cvssV2Vector", "cvssV3Vector", "cvssV4Vector":
			vectors[key] = s.Text()
		case "epssScore":
			f.EPSS = s.Float()
		case "cwes":
			s.Each(func(int) {
				s.Object(func(key string) {
					if key == "cweId" {
						f.CWE = append(f.CWE, report.CWEs("CWE-"+s.Text())...)
					}
				})
			})
		case "aliases":
			s.Each(func(int) {
				s.Object(func(key string) {
					if strings.HasSuffix(key, "Id") {
						aliases = append(aliases, s.Text())
					}
				})
			})
		case "references": // a list in Markdown
			for part := range strings.FieldsFuncSeq(s.Text(), func(r rune) bool { return strings.ContainsRune(" \n*[]()<>", r) }) {
				if strings.HasPrefix(part, "https://") || strings.HasPrefix(part, "http://") {
					f.References = append(f.References, part)
				}
			}
		}
	})
	f.Aliases = report.Aliases(f.Rule, aliases...)
	f.Score = cmp.Or(three, two, four)
	f.Vector = cmp.Or(vectors["cvssV3Vector"], vectors["cvssV2Vector"], vectors["cvssV4Vector"])
	f.References = report.Aliases("", f.References...)
}

var states = map[string]string{
	"NOT_AFFECTED": fact.AnalysisNotAffected, "FALSE_POSITIVE": fact.AnalysisFalsePositive, "RESOLVED": fact.AnalysisResolved,
	"EXPLOITABLE": fact.AnalysisExploitable, "IN_TRIAGE": fact.AnalysisInTriage,
}

func analysis(s *report.Scanner, f *fact.Finding) {
	suppressed := false
	s.Object(func(key string) {
		switch key {
		case "state":
			f.Analysis.State = states[s.Text()]
		case "justification":
			if word := s.Text(); word != "NOT_SET" {
				f.Analysis.Justification = strings.ToLower(word)
			}
		case "detail":
			f.Analysis.Detail = s.Text()
		case "isSuppressed":
			suppressed = s.Bool()
		}
	})
	if suppressed && (f.Analysis.State == "" || f.Analysis.State == fact.AnalysisExploitable || f.Analysis.State == fact.AnalysisInTriage) {
		f.Analysis.State = fact.AnalysisAcceptedRisk
	}
	if f.Analysis.State == "" {
		f.Analysis = fact.Analysis{}
		return
	}
	f.Analysis.Source = "dependency-track"
}
