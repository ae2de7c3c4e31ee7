// Package gosec reads the JSON reports of gosec, which checks Go code.
package gosec

import (
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/gosec", Name: "gosec", Formats: "JSON",
		Docs: "Produce it with `gosec -fmt json -out FILE ./...`. One finding an issue; code is not kept, only a hash of the lines that anchors the finding. " +
			"Hard-coded credentials (G101) are secrets. Issues that a #nosec comment suppresses are accepted risks with its reason. Packages that did not compile make the report incomplete.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("Golang errors", "Issues"), o.Has("Issues", "GosecVersion"), o.Has("Issues", "Stats.nosec"), o.Has("Issues[].rule_id", "Issues[].details"):
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "gosec", Format: "gosec", Complete: true}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		d.Object(func(key string) {
			switch key {
			case "Issues":
				d.Array(func(int) { d.Item(func(f *fact.Finding) { issue(d.Scanner, f) }) })
			case "Golang errors":
				d.Object(func(string) { d.Run.Complete = false })
			case "GosecVersion":
				d.Run.ToolVersion = d.Text()
			}
		})
	})
}

func issue(s *report.Scanner, f *fact.Finding) {
	f.Kind, f.Asset = fact.CodeFlaw, fact.Asset{Kind: fact.AssetRepository}
	code := ""
	suppressed, reasons := false, []string{}
	s.Object(func(key string) {
		switch key {
		case "rule_id":
			f.Rule = s.Text()
		case "details":
			f.Title = s.Text()
		case "severity":
			report.Rate(f, s.Text())
		case "confidence", "column":
			report.Attribute(f, key, s.Text())
		case "cwe":
			s.Object(func(key string) {
				switch key {
				case "id":
					f.CWE = report.CWEs("CWE-" + s.Text())
				case "url":
					if url := s.Text(); url != "" {
						f.References = append(f.References, url)
					}
				}
			})
		case "file":
			f.Path = s.Text()
		case "line":
			f.Line, f.EndLine = lines(s.Text())
		case "code":
			code = s.Text()
		case "nosec":
			suppressed = s.Bool() || suppressed
		case "suppressions":
			s.Array(func(int) {
				suppressed = true
				s.Object(func(key string) {
					if key == "justification" {
						reasons = append(reasons, s.Text())
					}
				})
			})
		case "autofix":
			f.Mitigation = s.Text()
		}
	})
	f.Anchor = report.SnippetAnchor(code, f.Line, f.EndLine)
	if f.Rule == "G101" {
		f.Kind = fact.Secret
	}
	if suppressed {
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: strings.TrimSpace(strings.Join(reasons, "\n")), Source: "gosec"}
	}
}

// lines reads "12" or "12-14".
func lines(text string) (first, last int) {
	from, to, ranged := strings.Cut(text, "-")
	first, err := strconv.Atoi(from)
	if err != nil || first < 0 {
		return 0, 0
	}
	if last, err = strconv.Atoi(to); !ranged || err != nil {
		last = first
	}
	return first, max(first, last)
}
