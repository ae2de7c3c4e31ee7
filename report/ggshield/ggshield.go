// Package ggshield reads the JSON reports of GitGuardian's ggshield.
//
// They hold secrets blackened in part, of which nothing is kept, and a hash of each,
// which is hashed again.
package ggshield

import (
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
		ID: "report/ggshield", Name: "GitGuardian ggshield", Formats: "JSON of secret scans",
		Docs: "Produce it with `ggshield secret scan repo . --json`. One finding an incident and file, critical when GitGuardian found that the secret works. " +
			"Of a scan of commits each finding names its commit. Nothing of the secret is kept, also where ggshield blackened only a part of it.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("total_incidents", "total_occurrences", "type"), o.Has("scans[].total_incidents"), o.Has("scans[].entities_with_incidents"):
		return 95
	case o.Has("entities_with_incidents"):
		return 90
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "ggshield", Format: "ggshield", Complete: true}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) { scan(d) })
}

// scan reads a scan, which may be made of scans of commits.
func scan(d *report.Document) {
	var held report.Spool // id and type may come after what was found
	defer held.Close()
	id, kind := "", ""
	d.Object(func(key string) {
		switch key {
		case "id":
			id = d.Text()
		case "type":
			kind = d.Text()
		case "scans":
			d.Array(func(int) { scan(d) })
		case "entities_with_incidents":
			d.Array(func(int) { entity(d, &held) })
		}
	})
	d.Fail(held.Replay(func(f fact.Finding) error {
		if kind == "commit" {
			f.Commit = id
		}
		d.Give(f)
		return nil
	}))
}

// entity reads the incidents of one file.
func entity(d *report.Document, scan *report.Spool) {
	var held report.Spool
	defer held.Close()
	file := ""
	d.Object(func(key string) {
		switch key {
		case "filename":
			file = d.Text()
		case "incidents":
			d.Array(func(int) {
				place := d.Place()
				f := incident(d.Scanner)
				f.Position = place()
				d.Fail(held.Add(f))
			})
		}
	})
	d.Fail(held.Replay(func(f fact.Finding) error {
		f.Path = file
		return scan.Add(f)
	}))
}

func incident(s *report.Scanner) fact.Finding {
	f := fact.Finding{Kind: fact.Secret, Severity: fact.SeverityHigh, Asset: fact.Asset{Kind: fact.AssetRepository}}
	ignored := ""
	s.Object(func(key string) {
		switch key {
		case "type":
			f.Rule = s.Text()
		case "detector":
			report.Attribute(&f, key, s.Text())
		case "validity":
			validity := s.Text()
			report.Attribute(&f, key, validity)
			if validity == "valid" {
				f.Severity = fact.SeverityCritical
			}
		case "ignore_sha":
			if hash := s.Text(); hash != "" {
				f.Anchor = report.SecretAnchor("", "ignore_sha", hash)
			}
		case "incident_url":
			if url := s.Text(); url != "" {
				f.References = append(f.References, url)
			}
		case "ignore_reason":
			switch s.Kind() {
			case report.KindObject:
				s.Object(func(key string) {
					if key == "kind" {
						ignored = s.Text()
					}
				})
			default:
				ignored = s.Text()
			}
		case "occurrences":
			s.Array(func(i int) {
				s.Object(func(key string) {
					switch {
					case i > 0:
					case key == "line_start":
						f.Line = s.Int()
					case key == "line_end":
						f.EndLine = s.Int()
					}
				})
			})
		}
	})
	f.Title = f.Rule
	if ignored != "" {
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: ignored, Source: "ggshield"}
	}
	return f
}
