// Package gitleaks reads the JSON reports of Gitleaks, of version 8 and of the
// versions before it.
//
// The value of a secret is never kept: of it and of the text around it a
// finding holds a hash, and every text that is kept is cleared of it.
package gitleaks

import (
	"bytes"
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
		ID: "report/gitleaks", Name: "Gitleaks", Formats: "JSON",
		Docs: "Produce it with `gitleaks detect -f json -r FILE`. One finding a leak and commit. The secret itself is not kept, only a hash that tells whether " +
			"two findings are of the same secret; of a report written with `--redact` the hash is of the redacted text around it. An empty list names no tool, so it never proves that a leak is gone.",
	}
}

func (reader) Detect(head []byte) int {
	if trimmed := string(bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")))); trimmed == "[]" || trimmed == "null" {
		return 5 // what Gitleaks writes when it found nothing, and others too
	}
	o := report.OutlineOf(head)
	switch {
	case o.Has("RuleID", "File", "StartLine") && (o.Has("Secret") || o.Has("Match") || o.Has("Fingerprint")):
		return 95
	case o.Has("rule", "file", "lineNumber", "offender"), o.Has("rule", "file", "offender", "commit"):
		return 90
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "gitleaks", Format: "gitleaks"}
	begun := false
	err := report.JSON(ctx, in, func(s *report.Scanner) {
		s.Each(func(int) {
			f := leak(s)
			if s.Err() != nil {
				return
			}
			if !begun {
				begun, run.Complete = true, true
				s.Fail(sink.Run(run))
			}
			s.Fail(sink.Finding(f))
		})
	})
	if begun {
		return err
	}
	if sinkErr := sink.Run(run); sinkErr != nil {
		return sinkErr
	}
	return err
}

func leak(s *report.Scanner) fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Secret, Asset: fact.Asset{Kind: fact.AssetRepository}, Severity: fact.SeverityHigh}
	secret, match, label := "", "", ""
	s.Object(func(key string) {
		switch key {
		case "RuleID":
			f.Rule = s.Text()
		case "rule":
			label = s.Text()
		case "Description":
			f.Description = s.Text()
		case "File", "file":
			f.Path = s.Text()
		case "StartLine", "lineNumber":
			f.Line = max(s.Int(), 0)
		case "EndLine":
			f.EndLine = max(s.Int(), 0)
		case "Secret", "offender":
			secret = s.Text()
		case "Match", "line":
			match = s.Text()
		case "Commit", "commit":
			f.Commit = s.Text()
		case "Author", "author":
			report.Attribute(&f, "author", s.Text())
		case "Email", "email":
			report.Attribute(&f, "email", s.Text())
		case "Date", "date":
			report.Attribute(&f, "date", s.Text())
		case "SymlinkFile":
			report.Attribute(&f, "symlink", s.Text())
		case "Entropy":
			report.Attribute(&f, "entropy", s.Text())
		case "Tags", "tags":
			report.Attribute(&f, "tags", strings.Join(s.Texts(), ", "))
		case "Link", "leakURL":
			if url := s.Text(); url != "" {
				f.References = append(f.References, url)
			}
		case "repo":
			report.Attribute(&f, "repository", s.Text())
		}
	})
	if f.Rule == "" {
		f.Rule = label
	}
	f.EndLine = max(f.EndLine, f.Line)
	f.Anchor = anchor(&f, secret, match)
	f.Title = title(&f, label)
	report.ClearSecret(&f, secret)
	report.ClearSecret(&f, match)
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	return f
}

func title(f *fact.Finding, label string) string {
	name := label
	if name == "" {
		name = f.Description
	}
	if name == "" {
		name = f.Rule
	}
	return name
}

// anchor tells secrets of one rule in one file apart. For a redacted secret the text
// around it, and the line in a named commit, which never shifts, stand in.
func anchor(f *fact.Finding, secret, match string) string {
	if f.Commit != "" {
		return report.SecretAnchor(secret, f.Commit, strconv.Itoa(f.Line), match)
	}
	return report.SecretAnchor(secret, match)
}
