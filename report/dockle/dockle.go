// Package dockle reads the JSON reports of Dockle, which checks container images.
package dockle

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
		ID: "report/dockle", Name: "Dockle", Formats: "JSON",
		Docs: "Produce it with `dockle -f json -o FILE IMAGE`. One misconfiguration of the image a checkpoint, with its alerts in the description: FATAL is high, WARN medium, INFO low. " +
			"What .dockleignore names is read as an accepted risk; a checkpoint that was skipped or passed is no finding. Dockle before 0.4 does not say which image it looked at.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	if o.Has("summary.fatal", "summary.warn", "details") {
		return 95
	}
	return 0
}

var severities = map[string]fact.Severity{"FATAL": fact.SeverityHigh, "WARN": fact.SeverityMedium, "INFO": fact.SeverityLow}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "dockle", Format: "dockle", Complete: true}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		var held report.Spool // the image may come after the details
		defer held.Close()
		image := fact.Asset{Kind: fact.AssetUnknown}
		d.Object(func(key string) {
			switch key {
			case "image":
				if d.Run.Target = d.Text(); d.Run.Target != "" {
					image = report.ImageAsset(d.Run.Target)
					d.Looked(image)
				}
			case "details":
				d.Array(func(int) {
					place := d.Place()
					f, level := detail(d.Scanner)
					f.Position = place()
					if level != "SKIP" && level != "PASS" {
						d.Fail(held.Add(f))
					}
				})
			}
		})
		d.Fail(held.Replay(func(f fact.Finding) error {
			f.Asset = image
			d.Give(f)
			return nil
		}))
	})
}

func detail(s *report.Scanner) (f fact.Finding, level string) {
	f.Kind = fact.Misconfiguration
	s.Object(func(key string) {
		switch key {
		case "code":
			f.Rule = s.Text()
		case "title":
			f.Title = s.Text()
		case "level":
			level = s.Text()
			f.SeverityText, f.Severity = level, severities[level]
		case "alerts":
			f.Description = strings.Join(s.Texts(), "\n")
		}
	})
	if level == "IGNORE" {
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: "ignored by the settings of Dockle", Source: "dockle"}
	}
	if f.Rule != "" {
		f.References = []string{"https://github.com/goodwithtech/dockle/blob/master/CHECKPOINT.md#" + strings.ToLower(f.Rule)}
	}
	return f, level
}
