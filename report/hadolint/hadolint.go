// Package hadolint reads the JSON reports of Hadolint, which checks Dockerfiles.
package hadolint

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
		ID: "report/hadolint", Name: "Hadolint", Formats: "JSON",
		Docs: "Produce it with `hadolint -f json Dockerfile`. One misconfiguration a broken rule and line. " +
			"An empty list names no tool, so it never proves that a flaw is gone.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	// ShellCheck writes the same with numbers for codes.
	if o.Kind == report.KindArray && o.Has("code", "level", "line", "message", "file") && o.Keys["code"] == report.KindString && !o.Has("endLine") {
		return 92
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "hadolint", Format: "hadolint", Complete: true}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		d.Array(func(int) {
			d.Item(func(f *fact.Finding) {
				f.Kind, f.Asset = fact.Misconfiguration, fact.Asset{Kind: fact.AssetRepository}
				d.Object(func(key string) {
					switch key {
					case "code":
						f.Rule = d.Text()
					case "message":
						f.Title = d.Text()
					case "file":
						f.Path = d.Text()
					case "line":
						f.Line = d.Int()
					case "level":
						rate(f, d.Text())
					}
				})
				if number, ok := strings.CutPrefix(f.Rule, "SC"); ok {
					f.References = []string{"https://www.shellcheck.net/wiki/SC" + number}
				} else if strings.HasPrefix(f.Rule, "DL") {
					f.References = []string{"https://github.com/hadolint/hadolint/wiki/" + f.Rule}
				}
			})
		})
	})
}

func rate(f *fact.Finding, level string) {
	report.Rate(f, level)
	if level == "style" {
		f.Severity = fact.SeverityInfo
	}
}
