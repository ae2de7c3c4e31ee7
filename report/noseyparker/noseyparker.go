// Package noseyparker reads the JSON reports of Nosey Parker, as a list or as lines.
//
// The value of a secret is never kept, see report.SecretAnchor.
package noseyparker

import (
	"cmp"
	"context"
	"encoding/base64"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/noseyparker", Name: "Nosey Parker", Formats: "JSON and lines of JSON, versions 0.13 to 0.24",
		Docs: "Produce it with `noseyparker report -f json`. One finding a match, at the file and commit where it was first seen. " +
			"Findings that were rejected are false positives, with the comment. Lines do not say whether more would have followed, so only a list is taken as all there is.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	if o.Has("rule_name", "matches") && (o.Has("num_matches") || o.Has("finding_id") || o.Has("match_content")) {
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "noseyparker", Format: "noseyparker"}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		if d.Kind() == report.KindArray {
			d.Run.Complete = true
			d.Array(func(int) { finding(d) })
			return
		}
		for d.More() {
			finding(d)
		}
	})
}

// maxMatches bounds the matches of one finding, which are held until it is known.
const maxMatches = 100_000

// finding reads one secret with the places where it is.
func finding(d *report.Document) {
	var all fact.Finding // what holds for each place
	var places []fact.Finding
	var secrets []string
	status := ""
	d.Object(func(key string) {
		switch key {
		case "rule_name":
			all.Rule = d.Text()
		case "comment":
			all.Analysis.Detail = d.Text()
		case "statuses":
			if list := d.Texts(); len(list) == 1 { // the same for each match
				status = list[0]
			}
		case "match_content":
			secrets = append(secrets, d.Text())
		case "groups":
			secrets = append(secrets, groups(d.Scanner)...)
		case "matches":
			d.Array(func(int) {
				place := d.Place()
				f, more := match(d.Scanner)
				f.Position = place()
				if len(places) == maxMatches {
					d.Expect("fewer matches of one finding")
					return
				}
				places = append(places, f)
				if len(secrets) == 0 {
					secrets = more
				}
			})
		}
	})
	anchor := report.SecretAnchor(strings.Join(secrets, "\x00"))
	for _, f := range places {
		f.Kind, f.Severity, f.Rule, f.Title, f.Anchor = fact.Secret, fact.SeverityHigh, all.Rule, all.Rule, anchor
		f.Asset = fact.Asset{Kind: fact.AssetRepository}
		if status == "reject" {
			f.Analysis = fact.Analysis{State: fact.AnalysisFalsePositive, Detail: all.Analysis.Detail, Source: "noseyparker"}
		}
		for _, secret := range secrets {
			report.ClearSecret(&f, secret)
		}
		d.Give(f)
	}
}

// groups reads what a rule's groups matched, which newer versions write as base64.
func groups(s *report.Scanner) []string {
	list := s.Texts()
	for i, text := range list {
		if plain, err := base64.StdEncoding.DecodeString(text); err == nil && utf8.Valid(plain) {
			list[i] = string(plain)
		}
	}
	return list
}

// match reads one place, and what was matched there.
func match(s *report.Scanner) (fact.Finding, []string) {
	var f fact.Finding
	var secrets []string
	file, blob := "", ""
	s.Object(func(key string) {
		switch key {
		case "provenance":
			s.Array(func(int) {
				path, inGit, commit := provenance(s)
				file, blob, f.Commit = cmp.Or(file, path), cmp.Or(blob, inGit), cmp.Or(f.Commit, commit)
			})
		case "match_content":
			secrets = append(secrets, s.Text())
		case "groups":
			secrets = append(secrets, groups(s)...)
		case "location":
			s.Object(func(key string) {
				if key != "source_span" {
					return
				}
				s.Object(func(key string) {
					line := 0
					s.Object(func(inner string) {
						if inner == "line" {
							line = s.Int()
						}
					})
					switch key {
					case "start":
						f.Line = line
					case "end":
						f.EndLine = line
					}
				})
			})
		}
	})
	f.Path = cmp.Or(blob, file)
	return f, secrets
}

// provenance reads where a blob was found: a file, or a commit of a repository.
func provenance(s *report.Scanner) (file, blob, commit string) {
	s.Object(func(key string) {
		switch key {
		case "path":
			file = s.Text()
		case "commit_provenance", "first_commit":
			s.Object(func(key string) {
				switch key {
				case "blob_path":
					blob = s.Text()
				case "commit_metadata":
					s.Object(func(key string) {
						if key == "commit_id" {
							commit = s.Text()
						}
					})
				}
			})
		}
	})
	return file, blob, commit
}
