// Package brakeman reads the JSON reports of Brakeman, which checks Ruby on Rails.
package brakeman

import (
	"context"
	"io"
	"strings"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/brakeman", Name: "Brakeman", Formats: "JSON",
		Docs: "Produce it with `brakeman -f json -o FILE`. One finding a warning, told apart by Brakeman's own fingerprint; code is not kept. " +
			"Brakeman knows confidence and no severity. Warnings that config/brakeman.ignore names are accepted risks with their note. Errors make the report incomplete.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("scan_info.brakeman_version"), o.Has("warnings[].check_name", "warnings[].fingerprint"), o.Has("scan_info.rails_version"):
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "brakeman", Format: "brakeman", Complete: true}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		d.Object(func(key string) {
			switch key {
			case "scan_info":
				d.Object(func(key string) {
					switch key {
					case "brakeman_version":
						d.Run.ToolVersion = d.Text()
					case "start_time":
						if when, err := time.Parse("2006-01-02 15:04:05 -0700", d.Text()); err == nil {
							d.Run.Started = when.UnixMicro()
						}
					}
				})
			case "warnings":
				d.Array(func(int) { d.Item(func(f *fact.Finding) { warning(d.Scanner, f) }) })
			case "ignored_warnings":
				d.Array(func(int) {
					d.Item(func(f *fact.Finding) {
						note := warning(d.Scanner, f)
						f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: note, Source: "brakeman"}
					})
				})
			case "errors":
				d.Array(func(int) { d.Run.Complete = false })
			}
		})
	})
}

// warning gives the note of one that is ignored.
func warning(s *report.Scanner, f *fact.Finding) (note string) {
	f.Kind, f.Asset = fact.CodeFlaw, fact.Asset{Kind: fact.AssetRepository}
	s.Object(func(key string) {
		switch key {
		case "check_name":
			f.Rule = s.Text()
		case "warning_type":
			report.Attribute(f, key, s.Text())
		case "fingerprint":
			f.Anchor = s.Text()
		case "message":
			f.Title = s.Text()
		case "file":
			f.Path = s.Text()
		case "line":
			f.Line = s.Int()
		case "link":
			if url := s.Text(); url != "" {
				f.References = append(f.References, url)
			}
		case "cwe_id":
			for _, id := range s.Texts() {
				f.CWE = append(f.CWE, report.CWEs("CWE-"+id)...)
			}
		case "confidence":
			report.Attribute(f, key, strings.ToLower(s.Text()))
		case "note":
			note = s.Text()
		}
	})
	return note
}
