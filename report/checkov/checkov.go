// Package checkov reads the JSON reports of Checkov: one check type, or an array
// of several.
package checkov

import (
	"cmp"
	"context"
	"io"
	"maps"
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
		ID: "report/checkov", Name: "Checkov", Formats: "JSON",
		Docs: "Produce it with `checkov -d DIR -o json`. One finding a failed check of a resource; skipped checks are read as accepted risks with their comment. " +
			"Findings of the check types sca_package and sca_image are vulnerabilities, those of secrets are secrets; code blocks are not kept. " +
			"Files that could not be parsed make their check type incomplete; findings of check types that did not run stay as they are.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("check_type", "results"), o.Has("summary.checkov_version"), o.Has("results.failed_checks"), o.Has("results.passed_checks"):
		return 95
	case o.Has("checkov_version", "passed", "failed"):
		return 90
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	d := document{run: fact.Run{Tool: "checkov", Format: "checkov"}, whole: map[string]bool{}}
	defer d.held.Close()
	err := report.JSON(ctx, in, func(s *report.Scanner) {
		s.Each(func(int) { d.part(s) })
	})
	tell := func(kind string) error {
		d.run.Part, d.run.Complete = kind, d.whole[kind] && err == nil
		return sink.Run(d.run)
	}
	if len(d.whole) == 0 {
		d.whole[""] = false
	}
	for _, kind := range slices.Sorted(maps.Keys(d.whole)) {
		if sinkErr := tell(kind); sinkErr != nil {
			return sinkErr
		}
	}
	replayErr := d.held.Replay(func(f fact.Finding) error {
		if kind := f.Attributes["check_type"]; kind != d.run.Part {
			if sinkErr := tell(kind); sinkErr != nil {
				return sinkErr
			}
		}
		return sink.Finding(f)
	})
	return cmp.Or(replayErr, err)
}

// document is what was read of a report: an array of check types, or one.
type document struct {
	run   fact.Run
	held  report.Spool
	whole map[string]bool // by check type: nothing was left out
}

// part reads what one check type found.
func (d *document) part(s *report.Scanner) {
	var own report.Spool
	defer own.Close()
	kind, whole := "", true
	s.Object(func(key string) {
		switch key {
		case "check_type":
			kind = s.Text()
		case "checkov_version":
			d.run.ToolVersion = s.Text()
		case "summary":
			s.Object(func(key string) {
				if key == "checkov_version" {
					d.run.ToolVersion = s.Text()
				}
			})
		case "results":
			s.Object(func(key string) {
				switch key {
				case "failed_checks":
					s.Array(func(int) { s.Fail(own.Add(check(s, false))) })
				case "skipped_checks":
					s.Array(func(int) { s.Fail(own.Add(check(s, true))) })
				case "parsing_errors":
					s.Array(func(int) { whole = false })
				}
			})
		}
	})
	// The check type may come after its results.
	s.Fail(own.Replay(func(f fact.Finding) error {
		if kind == "secrets" {
			f.Kind = fact.Secret
		}
		report.Attribute(&f, "check_type", kind)
		return d.held.Add(f)
	}))
	if before, told := d.whole[kind]; told {
		whole = whole && before
	}
	d.whole[kind] = whole
}

func check(s *report.Scanner, skipped bool) fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Misconfiguration, Asset: fact.Asset{Kind: fact.AssetRepository}}
	bridgecrew, short, fix, reason, advisory := "", "", "", "", ""
	s.Object(func(key string) {
		switch key {
		case "check_id":
			f.Rule = s.Text()
		case "bc_check_id":
			bridgecrew = s.Text()
		case "check_name":
			f.Title = s.Text()
		case "short_description":
			short = s.Text()
		case "description":
			f.Description = s.Text()
		case "severity":
			report.Rate(&f, s.Text())
		case "resource":
			f.Anchor = s.Text()
		case "file_path":
			f.Path = s.Text()
		case "repo_file_path", "caller_file_path", "check_class", "bc_category", "resource_address":
			report.Attribute(&f, key, s.Text())
		case "file_line_range":
			f.Line, f.EndLine = lines(s)
		case "guideline":
			if url := s.Text(); url != "" {
				f.References = append(f.References, url)
			}
		case "fixed_definition":
			if s.Kind() == report.KindString {
				fix = s.Text()
			}
		case "check_result":
			s.Object(func(key string) {
				switch key {
				case "evaluated_keys":
					report.Attribute(&f, key, strings.Join(s.Texts(), ", "))
				case "suppress_comment":
					reason = s.Text()
				}
			})
		case "vulnerability_details":
			advisory = vulnerability(s, &f)
		}
	})
	if advisory != "" {
		f.Aliases = append(f.Aliases, f.Rule)
		f.Rule = advisory
		f.Title = advisory + " in " + f.Package.Name + ":" + f.Package.Version
	}
	if f.Title == "" {
		f.Title = f.Rule
	}
	if f.Description == "" {
		f.Description = short
	}
	f.Mitigation = fix
	f.Aliases = report.Aliases(f.Rule, append(f.Aliases, bridgecrew)...)
	if skipped {
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: reason, Source: "checkov"}
	}
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	return f
}

func lines(s *report.Scanner) (first, last int) {
	s.Array(func(i int) {
		switch n := max(s.Int(), 0); i {
		case 0:
			first = n
		case 1:
			last = n
		}
	})
	return first, max(first, last)
}

var ecosystems = map[string]string{
	"python": "PyPI", "javascript": "npm", "nodejs": "npm", "go": "Go", "java": "Maven", "ruby": "RubyGems", "gem": "RubyGems", "php": "Packagist",
	"composer": "Packagist", "nuget": "NuGet", "c#": "NuGet", "rust": "crates.io",
}

// vulnerability makes the finding one of a package and gives its advisory, which
// is then the rule and the check's own id, which derives from it, an alias.
func vulnerability(s *report.Scanner, f *fact.Finding) (id string) {
	name, version, ecosystem, fixed := "", "", "", ""
	seen := s.Object(func(key string) {
		switch key {
		case "id", "cve_id":
			id = s.Text()
		case "package_name":
			name = s.Text()
		case "package_version":
			version = s.Text()
		case "package_type":
			ecosystem = ecosystems[strings.ToLower(s.Text())]
		case "severity":
			report.Rate(f, s.Text())
		case "cvss":
			f.Score = s.Float()
		case "vector":
			f.Vector = s.Text()
		case "description":
			f.Description = s.Text()
		case "link":
			if url := s.Text(); url != "" {
				f.References = append(f.References, url)
			}
		case "lowest_fixed_version":
			fixed = s.Text()
		case "fixed_versions":
			f.FixedVersions = append(f.FixedVersions, s.Texts()...)
		case "status":
			report.Attribute(f, "fix_status", s.Text())
		case "root_package_name":
			report.Attribute(f, key, s.Text())
		}
	})
	if !seen || name == "" {
		return ""
	}
	f.Kind = fact.Vulnerability
	f.Package = report.Named(ecosystem, name, version)
	if len(f.FixedVersions) == 0 && fixed != "" && fixed != "N/A" {
		f.FixedVersions = []string{fixed}
	}
	return id
}
