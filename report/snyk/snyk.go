// Package snyk reads the JSON reports of the Snyk command line (open source,
// container and infrastructure as code) and of its issues API. What `snyk code`
// writes is SARIF.
package snyk

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
		ID: "report/snyk", Name: "Snyk", Formats: "JSON of snyk test, snyk container test and snyk iac test, one project or an array; JSON of the issues API",
		Docs: "Produce it with `snyk test --all-projects --json`, `snyk container test IMAGE --json` or `snyk iac test --json`. One finding a vulnerability and path to the package, as Snyk lists them; " +
			"applications of an image are read as well. What a policy ignores is an accepted risk, or not affected where the reason says not-vulnerable. Issues of licences are misconfigurations. " +
			"A project that could not be tested makes the report incomplete, and so does a page of the API with more to come.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("runs"):
		return 0
	case o.Has("infrastructureAsCodeIssues"):
		return 95
	case o.Keys["vulnerabilities"] == report.KindArray && (o.Has("dependencyCount") || o.Has("licensesPolicy") || o.Has("vulnerabilities[].semver") || o.Has("vulnerabilities[].packageName", "vulnerabilities[].from") || o.Has("projectName", "packageManager")):
		return 95
	case o.Has("jsonapi", "data") && o.Has("data[].attributes") && (strings.Contains(string(head), `"effective_severity_level"`) || o.Texts["data[].type"] == "issue"):
		return 90
	case o.Has("ok", "error", "path") && len(o.Keys) <= 5:
		return 40
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	var held report.Spool
	defer held.Close()
	run := fact.Run{Tool: "snyk", Format: "snyk", Complete: true}
	err := report.JSON(ctx, in, func(s *report.Scanner) {
		s.Each(func(int) { project(s, &held, &run) })
	})
	run.Complete = run.Complete && err == nil
	if sinkErr := sink.Run(run); sinkErr != nil {
		return sinkErr
	}
	if replayErr := held.Replay(sink.Finding); replayErr != nil {
		return replayErr
	}
	return err
}

// project reads one tested project, one file of infrastructure, or one page of
// the API. What its findings belong to comes after them.
func project(s *report.Scanner, held *report.Spool, run *fact.Run) {
	var own report.Spool
	defer own.Close()
	manager, target, display, path, name := "", "", "", "", ""
	image := false
	add := func(f fact.Finding) { s.Fail(own.Add(f)) }
	s.Object(func(key string) {
		switch key {
		case "vulnerabilities":
			s.Array(func(int) { add(vulnerability(s)) })
		case "infrastructureAsCodeIssues":
			s.Array(func(int) { add(infrastructure(s)) })
		case "applications":
			s.Array(func(int) { project(s, held, run) })
		case "data":
			s.Array(func(int) {
				if s.Kind() == report.KindObject {
					add(issue(s))
				}
			})
		case "links":
			s.Object(func(key string) {
				if key == "next" {
					run.Complete = run.Complete && s.Text() == "" && s.Kind() != report.KindObject
				}
			})
		case "filtered":
			s.Object(func(key string) {
				if key == "ignore" {
					s.Array(func(int) {
						f := vulnerability(s)
						if f.Analysis.State == "" {
							f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Source: "snyk"}
						}
						add(f)
					})
				}
			})
		case "packageManager":
			manager = s.Text()
		case "targetFile":
			target = s.Text()
		case "displayTargetFile":
			display = s.Text()
		case "path":
			path = s.Text()
		case "projectName":
			name = s.Text()
		case "docker":
			image = s.Object(func(string) {})
		case "error":
			run.Complete = false
		}
	})
	if run.Target == "" {
		run.Target = path
	}
	if display != "" {
		target = display
	}
	image = image && (strings.HasPrefix(name, "docker-image|") || distribution(manager))
	replayErr := own.Replay(func(f fact.Finding) error {
		if image {
			f.Asset = report.ImageAsset(path)
		}
		if f.Path == "" {
			f.Path = target
		}
		if f.Package.Name != "" && f.Package.Ecosystem == "" {
			f.Package = report.Named(ecosystem(manager), f.Package.Name, f.Package.Version)
		}
		report.Attribute(&f, "project", name)
		return held.Add(f)
	})
	s.Fail(replayErr)
}

var managers = map[string]string{
	"npm": "npm", "yarn": "npm", "pnpm": "npm", "yarn-workspace": "npm", "pip": "PyPI", "poetry": "PyPI", "pipenv": "PyPI", "maven": "Maven", "gradle": "Maven", "sbt": "Maven",
	"golang": "Go", "gomodules": "Go", "golangdep": "Go", "govendor": "Go", "rubygems": "RubyGems", "composer": "Packagist", "nuget": "NuGet", "paket": "NuGet",
	"hex": "Hex", "swift": "SwiftURL", "pub": "Pub", "cargo": "crates.io",
}

// ecosystem reads Snyk's name of a package manager, such as "maven" or
// "debian:11".
func ecosystem(manager string) string {
	if family, version, ok := strings.Cut(manager, ":"); ok {
		return report.Distribution(family, version)
	}
	return managers[strings.ToLower(manager)]
}

// distribution knows the package managers of operating systems.
func distribution(manager string) bool {
	switch manager {
	case "deb", "rpm", "apk", "linux":
		return true
	}
	return strings.Contains(manager, ":")
}

func vulnerability(s *report.Scanner) fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Vulnerability, Asset: fact.Asset{Kind: fact.AssetRepository}}
	severity, critical, manager, name, full, version, nearest, kind := "", "", "", "", "", "", "", ""
	var ids []string
	s.Object(func(key string) {
		switch key {
		case "id":
			f.Rule = s.Text()
		case "title":
			f.Title = s.Text()
		case "description":
			f.Description = s.Text()
		case "severity":
			severity = s.Text()
		case "severityWithCritical":
			critical = s.Text()
		case "cvssScore":
			f.Score = s.Float()
		case "CVSSv3":
			f.Vector = s.Text()
		case "type":
			kind = s.Text()
		case "packageManager":
			manager = s.Text()
		case "packageName", "moduleName":
			if text := s.Text(); name == "" || key == "packageName" {
				name = text
			}
		case "name":
			full = s.Text()
		case "version":
			version = s.Text()
		case "fixedIn":
			f.FixedVersions = s.Texts()
		case "nearestFixedInVersion":
			nearest = s.Text()
		case "from":
			f.Introduced = s.Texts()
		case "upgradePath":
			upgrade(s, &f)
		case "isUpgradable", "isPatchable", "isPinnable", "exploit", "reachability", "dockerfileInstruction", "dockerBaseImage", "nvdSeverity", "language":
			report.Attribute(&f, key, s.Text())
		case "epssDetails":
			s.Object(func(key string) {
				if key == "probability" {
					f.EPSS = s.Float()
				}
			})
		case "identifiers":
			s.Object(func(key string) {
				list := s.Texts()
				if key == "CWE" {
					f.CWE = report.CWEs(list...)
					return
				}
				ids = append(ids, list...)
			})
		case "references":
			s.Array(func(int) {
				s.Object(func(key string) {
					if key == "url" {
						f.References = append(f.References, s.Text())
					}
				})
			})
		case "filtered":
			ignored(s, &f)
		}
	})
	if kind == "license" || strings.HasPrefix(f.Rule, "snyk:lic:") {
		f.Kind = fact.Misconfiguration
		report.Attribute(&f, "type", "license")
	}
	if f.Title == "" {
		f.Title = f.Rule
	}
	if severity = strings.TrimSpace(severity); critical != "" {
		severity = critical
	}
	report.Rate(&f, severity)
	if name == "" {
		name = full
	}
	if full != name {
		report.Attribute(&f, "binary", full)
	}
	if len(f.FixedVersions) == 0 && nearest != "" {
		f.FixedVersions = []string{nearest}
	}
	// The first name is the project itself.
	if len(f.Introduced) > 1 {
		f.Introduced = f.Introduced[1:]
	}
	f.Package = report.Named(ecosystem(manager), name, version)
	f.Aliases = report.Aliases(f.Rule, ids...)
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	return f
}

// upgrade reads the path of versions to raise, in which false stands for what
// stays: the first version is the direct dependency to raise.
func upgrade(s *report.Scanner, f *fact.Finding) {
	target := ""
	s.Array(func(int) {
		if text := s.Text(); target == "" && text != "false" {
			target = text
		}
	})
	report.Attribute(f, "upgrade", target)
}

// ignored reads the entries of the policy that hide a finding.
func ignored(s *report.Scanner, f *fact.Finding) {
	s.Object(func(key string) {
		if key != "ignored" {
			return
		}
		s.Array(func(int) {
			a := fact.Analysis{State: fact.AnalysisAcceptedRisk, Source: "snyk"}
			s.Object(func(key string) {
				switch key {
				case "reason":
					a.Detail = s.Text()
				case "reasonType":
					a.Justification = s.Text()
				case "expires":
					report.Attribute(f, "ignore_expires", s.Text())
				}
			})
			if a.Justification == "not-vulnerable" {
				a.State = fact.AnalysisNotAffected
			}
			f.Analysis = a
		})
	})
}

func infrastructure(s *report.Scanner) fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Misconfiguration, Asset: fact.Asset{Kind: fact.AssetRepository}}
	public, issueText, impact, message := "", "", "", ""
	var path []string
	s.Object(func(key string) {
		switch key {
		case "id":
			f.Rule = s.Text()
		case "publicId":
			public = s.Text()
		case "title":
			f.Title = s.Text()
		case "severity":
			report.Rate(&f, s.Text())
		case "issue":
			issueText = s.Text()
		case "impact":
			impact = s.Text()
		case "resolve":
			f.Mitigation = s.Text()
		case "msg":
			message = s.Text()
		case "path":
			path = s.Texts()
		case "lineNumber":
			f.Line = max(s.Int(), 0)
		case "documentation":
			if url := s.Text(); url != "" {
				f.References = append([]string{url}, f.References...)
			}
		case "references":
			f.References = append(f.References, s.Texts()...)
		case "isIgnored":
			if s.Bool() {
				f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Source: "snyk"}
			}
		case "type", "subType":
			report.Attribute(&f, key, s.Text())
		case "iacDescription":
			s.Object(func(key string) {
				switch text := s.Text(); key {
				case "issue":
					issueText = text
				case "impact":
					impact = text
				case "resolve":
					f.Mitigation = text
				}
			})
		}
	})
	if public != "" {
		f.Aliases = report.Aliases(public, f.Rule)
		f.Rule = public
	}
	if f.Title == "" {
		f.Title = f.Rule
	}
	f.Description = strings.Join(report.Aliases("", issueText, impact), "\n\n")
	if f.Anchor = message; message == "" {
		f.Anchor = strings.Join(path, " > ")
	}
	f.EndLine = f.Line
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	return f
}

// issue reads one issue of the API.
func issue(s *report.Scanner) fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Vulnerability, Asset: fact.Asset{Kind: fact.AssetRepository}}
	rule, kind, status := "", "", ""
	name, version := "", ""
	isIgnored, fixable := false, false
	var ids []string
	s.Object(func(key string) {
		switch key {
		case "id":
			report.Attribute(&f, "issue", s.Text())
		case "attributes":
			s.Object(func(key string) {
				switch key {
				case "title":
					f.Title = s.Text()
				case "description":
					f.Description = s.Text()
				case "type":
					kind = s.Text()
				case "key":
					rule = s.Text()
				case "status":
					status = s.Text()
				case "ignored":
					isIgnored = s.Bool()
				case "effective_severity_level":
					report.Rate(&f, s.Text())
				case "created_at":
					report.Attribute(&f, key, s.Text())
				case "classes":
					s.Array(func(int) {
						s.Object(func(key string) {
							if key == "id" {
								f.CWE = append(f.CWE, report.CWEs(s.Text())...)
							}
						})
					})
				case "problems":
					s.Array(func(int) {
						s.Object(func(key string) {
							switch key {
							case "id":
								ids = append(ids, s.Text())
							case "url":
								f.References = append(f.References, s.Text())
							}
						})
					})
				case "severities":
					s.Array(func(i int) { apiRating(s, &f) })
				case "coordinates":
					s.Array(func(int) {
						s.Object(func(key string) {
							switch key {
							case "is_fixable_manually", "is_fixable_snyk", "is_fixable_upstream", "is_upgradeable", "is_pinnable", "is_patchable":
								fixable = s.Bool() || fixable
							case "reachability":
								report.Attribute(&f, key, s.Text())
							case "representations":
								s.Array(func(int) {
									if n, v := representation(s, &f); name == "" {
										name, version = n, v
									}
								})
							}
						})
					})
				}
			})
		}
	})
	f.Rule = rule
	if f.Title == "" {
		f.Title = rule
	}
	switch kind {
	case "code":
		f.Kind, f.Anchor = fact.CodeFlaw, rule
	case "config", "cloud", "license":
		f.Kind = fact.Misconfiguration
	}
	if fixable {
		report.Attribute(&f, "fix_available", "true")
	} else {
		report.Attribute(&f, "fix_available", "false")
	}
	report.Attribute(&f, "type", kind)
	if name != "" {
		f.Package = report.Named(ecosystemOfID(rule), name, version)
	}
	f.Aliases = report.Aliases(rule, ids...)
	switch {
	case status == "resolved":
		f.Analysis = fact.Analysis{State: fact.AnalysisResolved, Source: "snyk"}
	case isIgnored:
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Source: "snyk"}
	}
	f.EndLine = max(f.EndLine, f.Line)
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	return f
}

// apiRating takes Snyk's own rating, or else the first.
func apiRating(s *report.Scanner, f *fact.Finding) {
	source, vector, score := "", "", 0.0
	s.Object(func(key string) {
		switch key {
		case "source":
			source = s.Text()
		case "vector":
			vector = s.Text()
		case "score":
			score = s.Float()
		}
	})
	if f.Score == 0 || strings.EqualFold(source, "snyk") && !strings.HasPrefix(vector, "CVSS:4") {
		f.Score, f.Vector = score, vector
	}
}

func representation(s *report.Scanner, f *fact.Finding) (name, version string) {
	s.Object(func(key string) {
		switch key {
		case "dependency":
			s.Object(func(key string) {
				switch key {
				case "package_name":
					name = s.Text()
				case "package_version":
					version = s.Text()
				}
			})
		case "resourcePath":
			f.Anchor = s.Text()
		case "sourceLocation":
			s.Object(func(key string) {
				switch key {
				case "file":
					f.Path = s.Text()
				case "commit_id":
					f.Commit = s.Text()
				case "region":
					s.Object(func(key string) {
						switch key {
						case "start":
							f.Line = lineOf(s)
						case "end":
							f.EndLine = lineOf(s)
						}
					})
				}
			})
		}
	})
	return name, version
}

func lineOf(s *report.Scanner) (n int) {
	s.Object(func(key string) {
		if key == "line" {
			n = max(s.Int(), 0)
		}
	})
	return n
}

var languages = map[string]string{
	"JS": "npm", "PYTHON": "PyPI", "JAVA": "Maven", "GOLANG": "Go", "RUBY": "RubyGems", "PHP": "Packagist", "DOTNET": "NuGet", "HEX": "Hex", "SWIFT": "SwiftURL",
	"PUB": "Pub", "RUST": "crates.io",
}

// ecosystemOfID reads the second word of an id such as "SNYK-PYTHON-PILLOW-1".
func ecosystemOfID(id string) string {
	parts := strings.Split(id, "-")
	if len(parts) < 4 || parts[0] != "SNYK" {
		return ""
	}
	if name := languages[parts[1]]; name != "" {
		return name
	}
	digits := strings.IndexAny(parts[1], "0123456789")
	if digits < 1 || !slices.Contains([]string{"DEBIAN", "ALPINE", "UBUNTU", "RHEL", "ROCKY"}, parts[1][:digits]) {
		return ""
	}
	// Alpine and Ubuntu write 3.18 as 318 and 20.04 as 2004.
	version := parts[1][digits:]
	switch family := parts[1][:digits]; {
	case family == "ALPINE" && len(version) > 1:
		return report.Distribution(family, version[:1]+"."+version[1:])
	case family == "UBUNTU" && len(version) == 4:
		return report.Distribution(family, version[:2]+"."+version[2:])
	default:
		return report.Distribution(family, version)
	}
}
