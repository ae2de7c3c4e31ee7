// Package dependabot reads the security alerts of GitHub: Dependabot alerts as
// the GraphQL and the REST interface give them, and the code scanning and secret
// scanning alerts of the REST interface.
package dependabot

import (
	"bytes"
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
		ID: "report/dependabot", Name: "GitHub security alerts", Formats: "JSON: vulnerabilityAlerts of GraphQL; arrays of Dependabot, code scanning and secret scanning alerts of REST",
		Docs: "Produce it with `gh api --paginate repos/OWNER/REPO/dependabot/alerts`, or the same of code-scanning or secret-scanning. One finding an alert. " +
			"Alerts dismissed as tolerable_risk, no_bandwidth or won't fix are accepted risks, as inaccurate or false positive false positives, as not_used not affected; fixed ones are resolved. " +
			"The value of a secret is not kept, only its hash. As answers come in pages, a report is never taken as all there is.",
	}
}

func (reader) Detect(head []byte) int {
	// Pages in an array of their own, as of gh api --slurp.
	if trimmed := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n"); len(trimmed) > 0 && trimmed[0] == '[' {
		if inner := bytes.TrimLeft(trimmed[1:], " \t\r\n"); len(inner) > 0 && inner[0] == '[' {
			head = inner
		}
	}
	o := report.OutlineOf(head)
	switch {
	case o.Has("security_advisory") && (o.Has("security_vulnerability") || o.Has("dependency")):
		return 95
	case o.Has("rule", "most_recent_instance"), o.Has("secret_type", "locations_url"), o.Has("secret_type", "html_url"):
		return 90
	case o.Kind == report.KindObject && o.Keys["data"] == report.KindObject && strings.Contains(string(head), `"vulnerabilityAlerts"`):
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	if err := sink.Run(fact.Run{Tool: "github", Format: "dependabot"}); err != nil {
		return err
	}
	s := report.NewScanner(ctx, in)
	if !s.More() && s.Err() == nil {
		return &report.Error{Offset: s.Offset(), Expected: "a JSON document"}
	}
	for s.More() { // pages may follow each other
		walk(s, sink, "")
	}
	return s.End()
}

// walk looks for alerts: in arrays of REST, and under vulnerabilityAlerts in
// whatever a GraphQL query put around it. What the alerts of one object belong
// to is known when the object ends; a page holds at most a hundred.
func walk(s *report.Scanner, sink report.Sink, repository string) {
	give := func(f fact.Finding) {
		if s.Err() == nil {
			s.Fail(sink.Finding(f))
		}
	}
	switch s.Kind() {
	case report.KindArray:
		s.Array(func(int) { walk(s, sink, repository) })
	case report.KindObject:
		var alerts []fact.Finding
		name := ""
		rest := restAlert{from: s.Offset(), item: s.Item()}
		s.Object(func(key string) {
			switch key {
			case "nameWithOwner":
				name = "github.com/" + s.Text()
			case "name":
				if text := s.Text(); name == "" {
					name = text
				}
			case "url":
				text := s.Text()
				if at := repositoryOf(text); at != "" && !strings.Contains(name, "/") {
					name = at
				}
				rest.url = text
			case "vulnerabilityAlerts":
				alertNodes(s, func(f fact.Finding) { alerts = append(alerts, f) })
			default:
				if !rest.field(s, key) && (s.Kind() == report.KindObject || s.Kind() == report.KindArray) {
					if name != "" {
						walk(s, sink, name)
					} else {
						walk(s, sink, repository)
					}
				}
			}
		})
		if name == "" {
			name = repository
		}
		for _, f := range alerts {
			if f.Asset.Key == "" {
				f.Asset = assetOf(name)
			}
			give(f)
		}
		if f, ok := rest.finding(s); ok {
			give(f)
		}
	default:
		s.Skip()
	}
}

// assetOf names a repository. A bare name does not identify one.
func assetOf(name string) fact.Asset {
	a := fact.Asset{Kind: fact.AssetRepository, Name: name}
	if strings.Contains(name, "/") {
		a.Key = name
	}
	return a
}

// repositoryOf takes "github.com/owner/name" from an address of a repository,
// of something in one, or of the interface.
func repositoryOf(url string) string {
	rest, ok := strings.CutPrefix(url, "https://")
	if !ok {
		return ""
	}
	parts := strings.Split(rest, "/")
	if len(parts) > 3 && parts[1] == "repos" && strings.HasPrefix(parts[0], "api.") {
		parts = append([]string{strings.TrimPrefix(parts[0], "api.")}, parts[2:]...)
	}
	if len(parts) < 3 || parts[1] == "" || parts[2] == "" || parts[1] == "advisories" {
		return ""
	}
	return strings.ToLower(parts[0]) + "/" + parts[1] + "/" + strings.TrimSuffix(parts[2], ".git")
}

func alertNodes(s *report.Scanner, give func(fact.Finding)) {
	s.Object(func(key string) {
		switch key {
		case "nodes":
			s.Array(func(int) { give(alert(s)) })
		case "edges":
			s.Array(func(int) {
				s.Object(func(key string) {
					if key == "node" {
						give(alert(s))
					}
				})
			})
		}
	})
}

// alert reads one alert of GraphQL.
func alert(s *report.Scanner) fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Vulnerability, Asset: fact.Asset{Kind: fact.AssetRepository}}
	a := advisory{}
	state, reason, comment, dismissed, fixed, file, requirement := "", "", "", "", "", "", ""
	s.Object(func(key string) {
		switch key {
		case "vulnerableManifestPath":
			f.Path = s.Text()
		case "vulnerableManifestFilename":
			file = s.Text()
		case "vulnerableRequirements":
			requirement = s.Text()
		case "securityVulnerability":
			a.vulnerability(s, &f)
		case "securityAdvisory":
			a.read(s, &f)
		case "state":
			state = s.Text()
		case "dismissReason":
			reason = s.Text()
		case "dismissComment":
			comment = s.Text()
		case "dismissedAt":
			dismissed = s.Text()
		case "fixedAt":
			fixed = s.Text()
		case "id", "number", "createdAt", "dependencyScope", "dependencyRelationship":
			report.Attribute(&f, key, s.Text())
		case "dependabotUpdate":
			s.Object(func(key string) {
				if key == "pullRequest" {
					s.Object(func(key string) {
						if key == "permalink" {
							report.Attribute(&f, "pull_request", s.Text())
						}
					})
				}
			})
		}
	})
	if f.Path == "" {
		f.Path = file
	}
	a.finish(&f, requirement)
	switch {
	case state != "":
	case fixed != "":
		state = "fixed"
	case dismissed != "":
		state = "dismissed"
	}
	f.Analysis = decision(state, reason, comment)
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	return f
}

// decision reads what became of an alert.
func decision(state, reason, comment string) fact.Analysis {
	a := fact.Analysis{Detail: comment, Source: "github"}
	if reason != "None" {
		a.Justification = reason
	}
	switch strings.ToLower(state) {
	case "fixed":
		a.State = fact.AnalysisResolved
	case "resolved", "dismissed", "auto_dismissed":
		switch strings.NewReplacer(" ", "_", "'", "").Replace(strings.ToLower(reason)) {
		case "inaccurate", "false_positive":
			a.State = fact.AnalysisFalsePositive
		case "not_used":
			a.State = fact.AnalysisNotAffected
		case "fix_started":
			a.State = fact.AnalysisExploitable
		case "revoked":
			a.State = fact.AnalysisResolved
		default:
			a.State = fact.AnalysisAcceptedRisk
		}
	default:
		return fact.Analysis{}
	}
	return a
}

// advisory collects what names the flaw and the package.
type advisory struct {
	ids                       []string
	ghsa, cve, ecosystem, pkg string
	summary                   string
}

// ecosystems are the names of GitHub in both interfaces, in lower case.
var ecosystems = map[string]string{
	"npm": "npm", "pip": "PyPI", "maven": "Maven", "go": "Go", "rubygems": "RubyGems", "composer": "Packagist", "nuget": "NuGet", "rust": "crates.io",
	"erlang": "Hex", "pub": "Pub", "swift": "SwiftURL", "actions": "GitHub Actions",
}

func (a *advisory) packageOf(s *report.Scanner) {
	s.Object(func(key string) {
		switch key {
		case "name":
			a.pkg = s.Text()
		case "ecosystem":
			a.ecosystem = ecosystems[strings.ToLower(s.Text())]
		}
	})
}

// vulnerability reads the flaw in one package, of either interface.
func (a *advisory) vulnerability(s *report.Scanner, f *fact.Finding) {
	s.Object(func(key string) {
		switch key {
		case "severity":
			report.Rate(f, s.Text())
		case "package":
			a.packageOf(s)
		case "vulnerableVersionRange", "vulnerable_version_range":
			report.Attribute(f, "vulnerable_versions", s.Text())
		case "firstPatchedVersion", "first_patched_version":
			s.Each(func(int) {
				if s.Kind() != report.KindObject {
					f.FixedVersions = report.Aliases("", s.Text())
					return
				}
				s.Object(func(key string) {
					if key == "identifier" {
						f.FixedVersions = report.Aliases("", s.Text())
					}
				})
			})
		case "advisory":
			a.read(s, f)
		}
	})
}

// read reads the advisory itself, of either interface.
func (a *advisory) read(s *report.Scanner, f *fact.Finding) {
	s.Object(func(key string) {
		switch key {
		case "ghsaId", "ghsa_id":
			a.ghsa = s.Text()
		case "cve_id":
			a.cve = s.Text()
		case "summary":
			a.summary = s.Text()
		case "description":
			f.Description = s.Text()
		case "severity":
			if word := s.Text(); f.SeverityText == "" {
				report.Rate(f, word)
			}
		case "identifiers":
			s.Array(func(int) {
				s.Object(func(key string) {
					if key == "value" {
						a.ids = append(a.ids, s.Text())
					}
				})
			})
		case "references":
			s.Array(func(int) {
				if s.Kind() != report.KindObject {
					f.References = append(f.References, s.Text())
					return
				}
				s.Object(func(key string) {
					if key == "url" {
						f.References = append(f.References, s.Text())
					}
				})
			})
		case "cvss":
			rate(s, f)
		case "cvss_severities", "cvssSeverities":
			s.Object(func(key string) {
				if (key == "cvss_v3" || key == "cvssV3") && f.Score == 0 {
					rate(s, f)
				}
			})
		case "epss":
			s.Object(func(key string) {
				if key == "percentage" {
					f.EPSS = s.Float()
				}
			})
		case "cwes":
			if s.Kind() == report.KindObject {
				s.Object(func(key string) {
					if key == "nodes" {
						weaknesses(s, f)
					}
				})
				return
			}
			weaknesses(s, f)
		}
	})
}

func rate(s *report.Scanner, f *fact.Finding) {
	s.Object(func(key string) {
		switch key {
		case "score":
			f.Score = s.Float()
		case "vectorString", "vector_string":
			f.Vector = s.Text()
		}
	})
}

func weaknesses(s *report.Scanner, f *fact.Finding) {
	s.Array(func(int) {
		s.Object(func(key string) {
			if key == "cweId" || key == "cwe_id" {
				f.CWE = append(f.CWE, report.CWEs(s.Text())...)
			}
		})
	})
}

// finish names the finding. The GHSA id is GitHub's own.
func (a *advisory) finish(f *fact.Finding, requirement string) {
	ids := append([]string{a.ghsa}, a.ids...)
	ids = append(ids, a.cve)
	for _, id := range ids {
		if id != "" && (f.Rule == "" || strings.HasPrefix(id, "GHSA-") && !strings.HasPrefix(f.Rule, "GHSA-")) {
			f.Rule = id
		}
	}
	f.Aliases = report.Aliases(f.Rule, ids...)
	version := ""
	if exact, ok := strings.CutPrefix(requirement, "="); ok && !strings.ContainsAny(exact, ",|<>") {
		version = strings.TrimSpace(strings.TrimPrefix(exact, "="))
	}
	report.Attribute(f, "requirement", requirement)
	f.Package = report.Named(a.ecosystem, a.pkg, version)
	if f.Title = a.summary; f.Title == "" {
		f.Title = f.Rule + " in " + a.pkg
	}
}

// restAlert is an object that may be an alert of the REST interface; its fields
// decide which.
type restAlert struct {
	from                                    int64
	item                                    string
	kind                                    fact.Kind
	f                                       fact.Finding
	a                                       advisory
	url, html, state, reason, comment, repo string
	severity, secret                        string
}

// field reads a field of an alert; false when it is none.
func (r *restAlert) field(s *report.Scanner, key string) bool {
	switch key {
	case "security_advisory":
		r.kind = fact.Vulnerability
		r.a.read(s, &r.f)
	case "security_vulnerability":
		r.kind = fact.Vulnerability
		r.a.vulnerability(s, &r.f)
	case "dependency":
		s.Object(func(key string) {
			switch key {
			case "package":
				r.a.packageOf(s)
			case "manifest_path":
				r.f.Path = s.Text()
			case "scope", "relationship":
				report.Attribute(&r.f, key, s.Text())
			}
		})
	case "most_recent_instance":
		r.kind = fact.CodeFlaw
		r.instance(s)
	case "rule":
		if s.Kind() != report.KindObject {
			return false
		}
		r.rule(s)
	case "tool":
		s.Each(func(int) {
			s.Object(func(key string) {
				if key == "name" || key == "version" {
					report.Attribute(&r.f, "tool_"+key, s.Text())
				}
			})
		})
	case "secret_type":
		r.kind = fact.Secret
		r.f.Rule = s.Text()
	case "secret_type_display_name":
		r.f.Title = s.Text()
	case "secret":
		r.secret = s.Text()
		r.f.Anchor = report.SecretAnchor(r.secret)
	case "validity", "created_at", "number", "publicly_leaked":
		report.Attribute(&r.f, key, s.Text())
	case "first_location_detected":
		s.Object(func(key string) {
			switch key {
			case "path":
				r.f.Path = s.Text()
			case "start_line":
				r.f.Line = max(s.Int(), 0)
			case "end_line":
				r.f.EndLine = max(s.Int(), 0)
			case "commit_sha":
				r.f.Commit = s.Text()
			}
		})
	case "html_url":
		r.html = s.Text()
	case "state":
		r.state = s.Text()
	case "dismissed_reason", "resolution":
		if text := s.Text(); text != "" {
			r.reason = text
		}
	case "dismissed_comment", "resolution_comment":
		if text := s.Text(); text != "" && text != "None" {
			r.comment = text
		}
	case "repository":
		if s.Kind() != report.KindObject || r.kind == "" && r.html == "" && r.url == "" && r.state == "" {
			return false // a repository of GraphQL, which holds alerts
		}
		s.Object(func(key string) {
			if key == "full_name" {
				r.repo = s.Text()
			}
		})
	default:
		return false
	}
	return true
}

func (r *restAlert) rule(s *report.Scanner) {
	id, name := "", ""
	s.Object(func(key string) {
		switch key {
		case "id":
			id = s.Text()
		case "name":
			name = s.Text()
		case "severity":
			if word := s.Text(); r.severity == "" {
				r.severity = word
			}
		case "security_severity_level":
			if word := s.Text(); word != "" && word != "None" {
				r.severity = word
			}
		case "description":
			r.f.Title = s.Text()
		case "full_description":
			r.f.Description = s.Text()
		case "help":
			r.f.Mitigation = s.Text()
		case "help_uri":
			if url := s.Text(); url != "" {
				r.f.References = append(r.f.References, url)
			}
		case "tags":
			tags := s.Texts()
			r.f.CWE = report.CWEs(tags...)
			report.Attribute(&r.f, key, strings.Join(tags, ", "))
		}
	})
	if id == "" {
		id = name
	}
	r.f.Rule = id
}

func (r *restAlert) instance(s *report.Scanner) {
	s.Object(func(key string) {
		switch key {
		case "commit_sha":
			r.f.Commit = s.Text()
		case "ref", "category":
			report.Attribute(&r.f, key, s.Text())
		case "message":
			s.Object(func(key string) {
				if text := s.Text(); key == "text" {
					report.Attribute(&r.f, "message", text)
				}
			})
		case "location":
			s.Object(func(key string) {
				switch key {
				case "path":
					r.f.Path = s.Text()
				case "start_line":
					r.f.Line = max(s.Int(), 0)
				case "end_line":
					r.f.EndLine = max(s.Int(), 0)
				}
			})
		}
	})
}

// finding makes the finding; false when the object was no alert.
func (r *restAlert) finding(s *report.Scanner) (fact.Finding, bool) {
	if r.kind == "" {
		return fact.Finding{}, false
	}
	f := r.f
	f.Kind = r.kind
	switch r.kind {
	case fact.Vulnerability:
		r.a.finish(&f, "")
	case fact.CodeFlaw:
		report.Rate(&f, r.severity)
	case fact.Secret:
		f.Severity = fact.SeverityHigh
	}
	if f.Title == "" {
		f.Title = f.Rule
	}
	if f.Description == "" {
		f.Description = f.Attributes["message"]
	}
	f.EndLine = max(f.EndLine, f.Line)
	name := ""
	for _, url := range []string{r.html, r.url} {
		if name == "" {
			name = repositoryOf(url)
		}
	}
	if name == "" && r.repo != "" {
		name = "github.com/" + r.repo
	}
	f.Asset = assetOf(name)
	if r.html != "" {
		f.References = append([]string{r.html}, f.References...)
	}
	report.Attribute(&f, "alert", r.url)
	f.Analysis = decision(r.state, r.reason, r.comment)
	report.ClearSecret(&f, r.secret)
	f.Position = fact.Position{Offset: r.from, Length: s.Offset() - r.from, Item: r.item}
	return f, true
}
