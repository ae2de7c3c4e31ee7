// Package bandit reads the JSON reports of Bandit, which checks Python code.
package bandit

import (
	"context"
	"io"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/bandit", Name: "Bandit", Formats: "JSON",
		Docs: "Produce it with `bandit -r DIR -f json -o FILE`. One finding a result; code is not kept, only a hash of the lines that anchors the finding. " +
			"Hard-coded passwords (B105 to B107) are secrets, and the password is taken out of the text. Files that could not be read make the report incomplete.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("results[].test_id", "results[].issue_text"), o.Has("generated_at", "metrics._totals"):
		return 95
	case o.Has("errors", "generated_at", "metrics"), o.Has("metrics._totals"):
		return 85
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "bandit", Format: "bandit", Complete: true}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		d.Object(func(key string) {
			switch key {
			case "generated_at":
				d.Run.Started = report.Micros(d.Text())
			case "errors":
				d.Array(func(int) { d.Run.Complete = false })
			case "results":
				d.Array(func(int) { d.Item(func(f *fact.Finding) { result(d.Scanner, f) }) })
			}
		})
	})
}

// passwords are the tests that quote the password that they found.
var passwords = []string{"B105", "B106", "B107"}

func result(s *report.Scanner, f *fact.Finding) {
	f.Kind, f.Asset = fact.CodeFlaw, fact.Asset{Kind: fact.AssetRepository}
	code, link := "", ""
	s.Object(func(key string) {
		switch key {
		case "test_id":
			f.Rule = s.Text()
		case "test_name":
			report.Attribute(f, key, s.Text())
		case "issue_text":
			f.Title = s.Text()
		case "issue_severity":
			report.Rate(f, s.Text())
		case "issue_confidence":
			report.Attribute(f, "confidence", s.Text())
		case "issue_cwe":
			s.Object(func(key string) {
				switch key {
				case "id":
					f.CWE = report.CWEs("CWE-" + s.Text())
				case "link":
					link = s.Text()
				}
			})
		case "filename":
			f.Path = s.Text()
		case "line_number":
			f.Line = max(0, s.Int())
		case "line_range":
			s.Array(func(int) { f.EndLine = max(f.EndLine, s.Int()) })
		case "more_info":
			if url := s.Text(); url != "" {
				f.References = append(f.References, url)
			}
		case "code":
			code = s.Text()
		}
	})
	if link != "" {
		f.References = append(f.References, link)
	}
	f.EndLine = max(f.EndLine, f.Line)
	f.Anchor = report.SnippetAnchor(code, f.Line, f.EndLine)
	if slices.Contains(passwords, f.Rule) {
		f.Kind = fact.Secret
		// "Possible hardcoded password: 'value'"
		if before, rest, ok := strings.Cut(f.Title, ": "); ok {
			secret := strings.Trim(rest, `'"`)
			f.Title, f.Anchor = before, report.SecretAnchor(secret, f.Anchor)
			report.ClearSecret(f, secret)
		}
	}
}
