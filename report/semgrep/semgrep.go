// Package semgrep reads the JSON reports of Semgrep: of the command line, of the
// findings API and of the supply chain API.
package semgrep

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
		ID: "report/semgrep", Name: "Semgrep", Formats: "JSON of the command line, of the findings API and of the supply chain API",
		Docs: "Produce it with `semgrep scan --json`. One finding a result. Results ignored by a comment are read as accepted risks, triaged ones by their reason. " +
			"Supply chain results are vulnerabilities with the package, secret ones are secrets; matched lines are kept as a hash only. " +
			"Errors of the scan make the report incomplete, and so does a page of the API, unless it says that no more follow.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("results[].check_id", "results[].path"):
		return 95
	case o.Keys["results"] == report.KindArray && o.Keys["errors"] == report.KindArray && !o.Has("results[].test_id") && !o.Has("metrics") && !o.Has("generated_at") &&
		(o.Has("paths") || o.Has("version") || len(o.Keys) == 2):
		return 60
	case o.Keys["errors"] == report.KindArray && o.Keys["paths.scanned"] == report.KindArray, // the results come after many paths
		o.Has("errors[].level", "errors[].type", "errors[].message"):
		return 70
	case o.Has("vulns[].advisory"), o.Has("vulns[].matchedDependency"):
		return 90
	case o.Has("findings[].rule_name", "findings[].location"), o.Has("findings[].syntactic_id"), o.Has("findings[].match_based_id"):
		return 90
	case len(o.Keys) == 1 && o.Keys["findings"] == report.KindArray:
		return 20
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	var held report.Spool
	defer held.Close()
	run := fact.Run{Tool: "semgrep", Format: "semgrep", Complete: true}
	named := false // by more than lists that are empty, as other tools write them too
	err := report.JSON(ctx, in, func(s *report.Scanner) {
		s.Object(func(key string) {
			switch key {
			case "results":
				s.Array(func(int) {
					named = true
					s.Fail(held.Add(result(s)))
				})
			case "paths":
				named = true
			case "findings":
				run.Complete = false // one page of the API
				s.Array(func(int) { s.Fail(held.Add(apiFinding(s))) })
			case "vulns":
				s.Array(func(int) {
					named = true
					s.Fail(held.Add(supplyChain(s)))
				})
			case "errors":
				s.Array(func(int) { run.Complete = run.Complete && !fails(s) })
			case "hasMore":
				run.Complete = run.Complete && !s.Bool()
			case "version":
				run.ToolVersion = s.Text()
				named = true
			}
		})
	})
	run.Complete = run.Complete && named && err == nil
	if sinkErr := sink.Run(run); sinkErr != nil {
		return sinkErr
	}
	if replayErr := held.Replay(sink.Finding); replayErr != nil {
		return replayErr
	}
	return err
}

// fails reads an error of the scan; warnings, such as of a file parsed in part,
// do not stop a rule from being applied.
func fails(s *report.Scanner) bool {
	level := "error"
	s.Object(func(key string) {
		if key == "level" {
			level = s.Text()
		}
	})
	return strings.EqualFold(level, "error")
}

func result(s *report.Scanner) fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.CodeFlaw, Asset: fact.Asset{Kind: fact.AssetRepository}}
	secret, ignored := false, false
	text, fingerprint, fix := "", "", ""
	s.Object(func(key string) {
		switch key {
		case "check_id":
			f.Rule = s.Text()
		case "path":
			f.Path = s.Text()
		case "start":
			f.Line = line(s)
		case "end":
			f.EndLine = line(s)
		case "extra":
			s.Object(func(key string) {
				switch key {
				case "message":
					f.Description = s.Text()
				case "severity":
					report.Rate(&f, s.Text())
				case "is_ignored":
					ignored = s.Bool()
				case "lines":
					text = s.Text()
				case "fingerprint":
					fingerprint = s.Text()
				case "fix":
					fix = s.Text()
				case "engine_kind", "validation_state":
					report.Attribute(&f, key, s.Text())
				case "metadata":
					secret = metadata(s, &f) || secret
				case "sca_info":
					dependency(s, &f)
				}
			})
		}
	})
	f.EndLine = max(f.EndLine, f.Line)
	f.Title = lastWord(f.Rule)
	f.Anchor = anchor(fingerprint, text)
	if f.Kind != fact.Vulnerability && (secret || strings.Contains(f.Rule, ".secrets.")) {
		f.Kind = fact.Secret
	}
	if f.Kind == fact.CodeFlaw {
		f.Mitigation = fix
	}
	if ignored {
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: "ignored by a comment in the code", Source: "semgrep"}
	}
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	return f
}

func line(s *report.Scanner) (n int) {
	s.Object(func(key string) {
		if key == "line" {
			n = max(s.Int(), 0)
		}
	})
	return n
}

// lastWord is the name of a rule without its place in the rules' tree.
func lastWord(rule string) string { return rule[strings.LastIndexByte(rule, '.')+1:] }

// anchor holds a hash of the matched lines without their indentation, or the
// fingerprint, which also tells equal lines of one file apart.
func anchor(fingerprint, text string) string {
	if hidden(fingerprint) && hidden(text) {
		return ""
	}
	if !hidden(fingerprint) {
		return fingerprint
	}
	sum := sha256.Sum256([]byte(strings.Join(strings.Fields(text), " ")))
	return "sha256:" + hex.EncodeToString(sum[:])
}

// hidden knows what is written to people who have not logged in.
func hidden(text string) bool { return text == "" || text == "requires login" }

// metadata reads what the rule's author says, and whether it is a rule about
// secrets.
func metadata(s *report.Scanner, f *fact.Finding) (secret bool) {
	var shared []string
	s.Object(func(key string) {
		switch key {
		case "cwe":
			f.CWE = report.CWEs(s.Texts()...)
		case "references":
			f.References = append(f.References, s.Texts()...)
		case "source", "shortlink", "source-rule-url":
			if url := s.Text(); url != "" {
				shared = append(shared, url)
			}
		case "technology":
			list := s.Texts()
			secret = secret || slices.Contains(list, "secrets")
			report.Attribute(f, key, strings.Join(list, ", "))
		case "owasp", "vulnerability_class", "subcategory":
			report.Attribute(f, key, strings.Join(s.Texts(), ", "))
		case "confidence", "impact", "likelihood", "category", "sca-severity", "sca-kind":
			report.Attribute(f, key, s.Text())
		case "sca-vuln-database-identifier", "cve":
			f.Aliases = report.Aliases(f.Rule, append(f.Aliases, s.Texts()...)...)
		case "sca-fix-versions":
			s.Each(func(int) {
				s.Object(func(string) { f.FixedVersions = append(f.FixedVersions, s.Texts()...) })
			})
		}
	})
	f.References = append(f.References, shared...)
	return secret
}

var ecosystems = map[string]string{
	"npm": "npm", "pypi": "PyPI", "gem": "RubyGems", "gomod": "Go", "cargo": "crates.io", "maven": "Maven", "composer": "Packagist", "nuget": "NuGet",
	"pub": "Pub", "swiftpm": "SwiftURL", "hex": "Hex", "mix": "Hex",
}

// dependency reads the match of a supply chain rule.
func dependency(s *report.Scanner, f *fact.Finding) {
	name, version, ecosystem, lockfile := "", "", "", ""
	row := 0
	s.Object(func(key string) {
		switch key {
		case "reachable":
			report.Attribute(f, "reachable", s.Text())
		case "dependency_match":
			s.Object(func(key string) {
				switch key {
				case "lockfile":
					lockfile = s.Text()
				case "found_dependency":
					s.Object(func(key string) {
						switch key {
						case "package":
							name = s.Text()
						case "version":
							version = s.Text()
						case "ecosystem":
							ecosystem = s.Text()
						case "transitivity":
							report.Attribute(f, key, s.Text())
						case "line_number":
							row = max(s.Int(), 0)
						case "lockfile_path":
							if path := s.Text(); path != "" {
								lockfile = path
							}
						}
					})
				}
			})
		}
	})
	if name == "" {
		return
	}
	f.Kind = fact.Vulnerability
	f.Package = report.Named(ecosystems[strings.ToLower(ecosystem)], name, version)
	report.Attribute(f, "lockfile", lockfile)
	if f.Line == 0 && f.Path == lockfile {
		f.Line = row
	}
}

// triage reads the decision of a person as the API writes it.
func triage(state, reason, comment string) fact.Analysis {
	state, reason = strings.ToLower(state), strings.ToLower(reason)
	if state != "ignored" && state != "dismissed" {
		if state == "fixed" {
			return fact.Analysis{State: fact.AnalysisResolved, Detail: comment, Source: "semgrep"}
		}
		return fact.Analysis{}
	}
	a := fact.Analysis{State: fact.AnalysisAcceptedRisk, Justification: reason, Detail: comment, Source: "semgrep"}
	if strings.Contains(reason, "false_positive") {
		a.State = fact.AnalysisFalsePositive
	}
	return a
}

func apiFinding(s *report.Scanner) fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.CodeFlaw, Asset: fact.Asset{Kind: fact.AssetRepository}}
	status, state, reason, comment, syntactic, matched := "", "", "", "", "", ""
	s.Object(func(key string) {
		switch key {
		case "rule_name":
			f.Rule = s.Text()
		case "rule_message":
			f.Description = s.Text()
		case "severity":
			report.Rate(&f, s.Text())
		case "syntactic_id":
			syntactic = s.Text()
		case "match_based_id":
			matched = s.Text()
		case "status":
			status = s.Text()
		case "triage_state":
			state = s.Text()
		case "triage_reason":
			reason = s.Text()
		case "triage_comment":
			comment = s.Text()
		case "line_of_code_url":
			if url := s.Text(); url != "" {
				f.References = append(f.References, url)
			}
		case "confidence", "id", "ref", "state":
			report.Attribute(&f, key, s.Text())
		case "repository":
			s.Object(func(key string) {
				if key == "name" {
					f.Asset.Name = s.Text()
					report.Attribute(&f, "repository", f.Asset.Name)
				}
			})
		case "location":
			s.Object(func(key string) {
				switch key {
				case "file_path":
					f.Path = s.Text()
				case "line":
					f.Line = max(s.Int(), 0)
				case "end_line":
					f.EndLine = max(s.Int(), 0)
				}
			})
		case "rule":
			s.Object(func(key string) {
				switch key {
				case "cwe_names":
					f.CWE = report.CWEs(s.Texts()...)
				case "owasp_names":
					report.Attribute(&f, key, strings.Join(s.Texts(), ", "))
				}
			})
		case "assistant":
			assistant(s, &f)
		}
	})
	f.EndLine = max(f.EndLine, f.Line)
	f.Title = lastWord(f.Rule)
	if f.Anchor = matched; matched == "" {
		f.Anchor = syntactic
	}
	if strings.Contains(f.Rule, ".secrets.") {
		f.Kind = fact.Secret
	}
	if f.Analysis = triage(state, reason, comment); f.Analysis.State == "" {
		f.Analysis = triage(status, reason, comment)
	}
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	return f
}

func assistant(s *report.Scanner, f *fact.Finding) {
	s.Object(func(key string) {
		switch key {
		case "guidance":
			s.Object(func(key string) {
				if key == "instructions" {
					f.Mitigation = s.Text()
				}
			})
		case "autotriage":
			s.Object(func(key string) {
				if key == "verdict" {
					report.Attribute(f, "autotriage", s.Text())
				}
			})
		}
	})
}

func supplyChain(s *report.Scanner) fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Vulnerability, Asset: fact.Asset{Kind: fact.AssetRepository}}
	name, version, ecosystem, state, reason := "", "", "", "", ""
	s.Object(func(key string) {
		switch key {
		case "title":
			f.Title = s.Text()
		case "advisory":
			s.Object(func(key string) {
				switch key {
				case "ruleId":
					f.Rule = s.Text()
				case "description":
					f.Description = s.Text()
				case "severity":
					report.Rate(&f, s.Text())
				case "ecosystem":
					ecosystem = s.Text()
				case "reachability", "reachableIf":
					report.Attribute(&f, key, s.Text())
				case "references":
					s.Object(func(key string) {
						switch key {
						case "cveIds":
							f.Aliases = s.Texts()
						case "cweIds":
							f.CWE = report.CWEs(s.Texts()...)
						case "urls":
							f.References = s.Texts()
						}
					})
				}
			})
		case "matchedDependency":
			name, version = named(s)
		case "closestSafeDependency":
			if _, safe := named(s); safe != "" {
				f.FixedVersions = []string{safe}
			}
		case "dependencyFileLocation":
			s.Object(func(key string) {
				switch key {
				case "path":
					f.Path = s.Text()
				case "startLine":
					f.Line = max(s.Int(), 0)
				case "endLine":
					f.EndLine = max(s.Int(), 0)
				}
			})
		case "exposureType":
			exposure := s.Text()
			report.Attribute(&f, key, exposure)
			switch exposure {
			case "REACHABLE":
				report.Attribute(&f, "reachable", "true")
			case "UNREACHABLE":
				report.Attribute(&f, "reachable", "false")
			}
		case "triage":
			s.Object(func(key string) {
				switch key {
				case "status":
					state = s.Text()
				case "dismissReason":
					reason = s.Text()
				}
			})
		case "repositoryName":
			f.Asset.Name = s.Text()
			report.Attribute(&f, "repository", f.Asset.Name)
		case "transitivity", "subdirectory", "openedAt":
			report.Attribute(&f, key, s.Text())
		}
	})
	f.EndLine = max(f.EndLine, f.Line)
	if f.Title == "" {
		f.Title = f.Rule
	}
	f.Aliases = report.Aliases(f.Rule, f.Aliases...)
	f.Package = report.Named(ecosystems[strings.ToLower(ecosystem)], name, version)
	f.Analysis = triage(state, reason, "")
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	return f
}

func named(s *report.Scanner) (name, version string) {
	s.Object(func(key string) {
		switch key {
		case "name":
			name = s.Text()
		case "versionSpecifier":
			version = s.Text()
		}
	})
	return name, version
}
