// Package trufflehog reads what TruffleHog writes: the lines of JSON of version 3 and of
// version 2, and the lists of the tools trufflehog3 and Rusty Hog that follow the old one.
//
// The value of a secret is never kept, see report.SecretAnchor.
package trufflehog

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
		ID: "report/trufflehog", Name: "TruffleHog", Formats: "lines of JSON of version 3 and 2; JSON of trufflehog3 and of Rusty Hog",
		Docs: "Produce it with `trufflehog git URL --json > FILE`. One finding a secret and place, critical when TruffleHog verified that it works. " +
			"The secret, also where TruffleHog blackened a part of it, and what else it learned by using it are not kept but for the account. " +
			"Lines do not say whether more would have followed: only with the log line that the scan finished is a report taken as all there is.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("SourceMetadata", "DetectorName"), o.Has("SourceMetadata", "DetectorType"):
		return 96
	case o.Has("stringsFound", "reason"):
		return 95
	case o.Has("rule.id", "secret", "path", "line"), o.Has("rule.id", "secret", "path", "context"):
		return 92
	case o.Texts["logger"] == "trufflehog" && o.Has("level", "msg"):
		return 60
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "trufflehog", Format: "trufflehog"}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		if d.Kind() == report.KindArray {
			d.Array(func(int) {
				d.Run.Complete = true
				d.Item(func(f *fact.Finding) { read(d, f) })
			})
			return
		}
		for d.More() {
			if d.Kind() != report.KindObject {
				d.Expect("an object on each line")
				return
			}
			d.Item(func(f *fact.Finding) { read(d, f) })
		}
	})
}

// result is one object of any version; its members tell which.
type result struct {
	raw, rawV2, redacted string
	texts                []string // what an old version quotes
	decoder, verified    bool
	message, logger      string
	rusty                bool
	url                  string // of a page or ticket
}

func read(d *report.Document, f *fact.Finding) {
	var r result
	detector, hash := "", ""
	f.Asset = fact.Asset{Kind: fact.AssetRepository}
	d.Object(func(key string) {
		switch key {
		case "SourceMetadata":
			f.Kind = fact.Secret
			d.Object(func(key string) {
				if key == "Data" {
					d.Object(func(kind string) {
						report.Attribute(f, "source", kind)
						d.Object(func(key string) { place(d.Scanner, f, key) })
					})
				}
			})
		case "DetectorName":
			f.Kind, detector = fact.Secret, d.Text()
		case "DetectorDescription":
			f.Description = d.Text()
		case "DecoderName":
			r.decoder = true
		case "Verified":
			r.verified = d.Bool()
		case "Raw":
			r.raw = d.Text()
		case "RawV2":
			r.rawV2 = d.Text()
		case "Redacted":
			r.redacted = d.Text()
		case "ExtraData":
			d.Object(func(key string) {
				if key == "account" || key == "arn" || key == "rotation_guide" {
					report.Attribute(f, key, d.Text())
				}
			})
		case "reason": // version 2
			f.Kind, f.Rule = fact.Secret, d.Text()
		case "stringsFound":
			r.texts = append(r.texts, d.Texts()...)
		case "commitHash":
			hash = d.Text()
		case "rule": // trufflehog3
			d.Object(func(key string) {
				switch key {
				case "id":
					f.Rule = d.Text()
				case "message":
					f.Title = d.Text()
				case "severity":
					report.Rate(f, d.Text())
				}
			})
		case "secret":
			f.Kind, r.raw, r.decoder = fact.Secret, d.Text(), true
		case "path", "line", "date", "branch", "author", "commit":
			place(d.Scanner, f, key)
		case "linenum", "new_line_num": // Rusty Hog, from here on
			f.Line, r.rusty = d.Int(), true
		case "parent_commit_hash":
			r.rusty = true
		case "url":
			r.url, r.rusty = d.Text(), true
		case "issue_id", "page_id", "location":
			report.Attribute(f, key, d.Text())
		case "msg":
			r.message = d.Text()
		case "logger":
			r.logger = d.Text()
		}
	})
	if r.logger == "trufflehog" && r.message == "finished scanning" {
		d.Run.Complete = true
	}
	if hash != "" {
		f.Commit = hash // beside it, commit is the message
	}
	f.Rule = cmp.Or(detector, f.Rule)
	if r.rusty {
		d.Run.Tool = "rusty-hog"
	}
	if r.url != "" {
		f.References = append(f.References, r.url)
		if f.Path == "" { // a page or a ticket, and no file
			f.Asset, f.Path = fact.Asset{Kind: fact.AssetUnknown, Key: r.url, Name: r.url}, r.url
		}
	}
	settle(f, &r)
}

// place reads where a secret is. Each kind of source has members of its own.
func place(s *report.Scanner, f *fact.Finding, key string) {
	switch key {
	case "file", "path":
		f.Path = s.Text()
	case "line":
		f.Line = s.Int()
	case "commit":
		f.Commit = s.Text()
	case "link":
		if url := s.Text(); url != "" {
			f.References = append(f.References, url)
		}
	case "repository", "email", "author", "timestamp", "date", "branch", "bucket", "layer", "tag":
		report.Attribute(f, key, s.Text())
	case "image":
		f.Asset = report.ImageAsset(s.Text())
	}
}

// settle keeps of a secret what may be kept.
func settle(f *fact.Finding, r *result) {
	if f.Kind == "" {
		return
	}
	secret := r.raw
	if !r.decoder && secret != "" { // before decoders had names, bytes were written
		if plain, err := base64.StdEncoding.DecodeString(secret); err == nil && utf8.Valid(plain) {
			secret = string(plain)
		}
	}
	if secret == "" {
		secret = strings.Join(r.texts, "\x00")
	}
	f.Anchor = report.SecretAnchor(secret, f.Commit, r.rawV2)
	if f.SeverityText == "" {
		f.Severity = fact.SeverityHigh
		if r.verified {
			f.Severity = fact.SeverityCritical
		}
	}
	if r.verified {
		report.Attribute(f, "verified", "true")
	}
	f.Title = cmp.Or(f.Title, f.Rule)
	for _, text := range append([]string{secret, r.raw, r.rawV2, r.redacted}, r.texts...) {
		report.ClearSecret(f, text)
	}
}
