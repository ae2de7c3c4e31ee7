// Package detectsecrets reads the baselines and scan results of detect-secrets.
//
// They hold no secret but its SHA-1, which is hashed again, so that no table of such
// hashes leads back to the secret.
package detectsecrets

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
		ID: "report/detectsecrets", Name: "detect-secrets", Formats: "JSON, versions 0.12 to 1.5",
		Docs: "Produce it with `detect-secrets scan > .secrets.baseline`. One finding a secret and file. " +
			"What `detect-secrets audit` marked as no secret is read as a false positive, as a real one as exploitable.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("plugins_used", "results"), o.Has("plugins_used", "generated_at"):
		return 95
	case o.Has("plugins_used", "version"):
		return 90
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "detect-secrets", Format: "detectsecrets", Complete: true}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		d.Object(func(key string) {
			switch key {
			case "version":
				d.Run.ToolVersion = d.Text()
			case "generated_at":
				d.Run.Started = report.Micros(d.Text())
			case "results":
				d.Object(func(file string) {
					d.Array(func(int) { d.Item(func(f *fact.Finding) { secret(d.Scanner, f, file) }) })
				})
			}
		})
	})
}

func secret(s *report.Scanner, f *fact.Finding, file string) {
	f.Kind, f.Severity, f.Path, f.Asset = fact.Secret, fact.SeverityHigh, file, fact.Asset{Kind: fact.AssetRepository}
	s.Object(func(key string) {
		switch key {
		case "type":
			f.Rule = s.Text()
		case "line_number":
			f.Line = s.Int()
		case "hashed_secret":
			if hash := s.Text(); hash != "" {
				f.Anchor = report.SecretAnchor("", "sha1", hash)
			}
		case "is_verified":
			if s.Bool() {
				report.Attribute(f, "verified", "true")
			}
		case "is_secret":
			switch s.Kind() {
			case report.KindTrue:
				f.Analysis = fact.Analysis{State: fact.AnalysisExploitable, Detail: "marked as a secret in the audit", Source: "detect-secrets"}
			case report.KindFalse:
				f.Analysis = fact.Analysis{State: fact.AnalysisFalsePositive, Detail: "marked as no secret in the audit", Source: "detect-secrets"}
			}
		}
	})
}
