// Package gitlab reads the security reports of GitLab, of all report types: SAST,
// secret detection, dependency, container and cluster image scanning, DAST, API and
// coverage fuzzing, schema versions 2 to 15.
//
// The value of a secret is never kept, see report.SecretAnchor.
package gitlab

import (
	"cmp"
	"context"
	"io"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/gitlab", Name: "GitLab security reports", Formats: "JSON, schema versions 2 to 15, all report types",
		Docs: "The analyzers of GitLab CI write them as `gl-sast-report.json` and alike; each tells its type. Findings of dependencies and images are vulnerabilities of packages, " +
			"with the fixed version that the solution names; those of secret detection are secrets, of which only a hash is kept; all others are flaws of code. " +
			"Requests and responses, which may hold secrets, are not kept. What an analyzer flags as likely false stays in triage. A scan that failed makes the report incomplete.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("specVersion"), o.Has("bomFormat"):
		return 0
	case o.Has("vulnerabilities", "scan.scanner"), o.Has("vulnerabilities", "scan.analyzer"):
		return 95
	case o.Has("vulnerabilities[].identifiers", "vulnerabilities[].location"):
		return 90
	case o.Keys["vulnerabilities"] == report.KindArray && o.Keys["remediations"] == report.KindArray:
		return 85
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "gitlab", Format: "gitlab", Complete: true}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		// The type of the report comes after its findings.
		var held report.Spool
		defer held.Close()
		kind, seen := "", false
		packages := map[string]string{} // manager by path of a lockfile
		d.Object(func(key string) {
			switch key {
			case "vulnerabilities":
				seen = true
				d.Each(func(int) {
					place := d.Place()
					f := vulnerability(d.Scanner)
					f.Position = place()
					d.Fail(held.Add(f))
				})
			case "scan":
				kind = scan(d)
			case "dependency_files":
				d.Each(func(int) { dependencyFile(d.Scanner, packages) })
			}
		})
		if d.Err() == nil && !seen {
			d.Fail(&report.Error{Offset: d.Offset(), Expected: "vulnerabilities"})
		}
		err := held.Replay(func(f fact.Finding) error {
			settle(&f, kind, packages)
			d.Give(f)
			return nil
		})
		d.Fail(err)
	})
}

// scan tells what made the report, and gives the type.
func scan(d *report.Document) string {
	kind, analyzer, analyzerVersion := "", "", ""
	named := func() (id, name, version string) {
		d.Object(func(key string) {
			switch key {
			case "id":
				id = d.Text()
			case "name":
				name = d.Text()
			case "version":
				version = d.Text()
			}
		})
		return id, name, version
	}
	d.Object(func(key string) {
		switch key {
		case "type":
			kind = d.Text()
		case "scanner":
			id, name, version := named()
			d.Run.Tool, d.Run.ToolVersion = cmp.Or(id, name, d.Run.Tool), version
		case "analyzer":
			id, name, version := named()
			analyzer, analyzerVersion = cmp.Or(id, name), version
		case "start_time":
			d.Run.Started = started(d.Text())
		case "status":
			if d.Text() == "failure" {
				d.Run.Complete = false
			}
		}
	})
	if d.Run.Tool == "gitlab" && analyzer != "" {
		d.Run.Tool, d.Run.ToolVersion = analyzer, analyzerVersion
	}
	return kind
}

// started reads a time without zone, which is UTC.
func started(text string) int64 {
	if when, err := time.Parse("2006-01-02T15:04:05", text); err == nil {
		return when.UnixMicro()
	}
	return report.Micros(text)
}

const maxFiles = 10_000

func dependencyFile(s *report.Scanner, packages map[string]string) {
	file, manager := "", ""
	s.Object(func(key string) {
		switch key {
		case "path":
			file = s.Text()
		case "package_manager":
			manager = s.Text()
		}
	})
	if len(packages) < maxFiles {
		packages[file] = manager
	}
}

// identifier is one name of a flaw.
type identifier struct{ kind, name, value, url string }

// Attributes that only live until the type of the report is known.
const (
	heldSecret = "\x00secret"
	heldOS     = "\x00os"
)

func vulnerability(s *report.Scanner) fact.Finding {
	f := fact.Finding{Kind: fact.CodeFlaw}
	id, message, extract := "", "", ""
	var names []identifier
	s.Object(func(key string) {
		switch key {
		case "id":
			id = s.Text()
		case "category":
			report.Attribute(&f, "category", s.Text())
		case "name":
			f.Title = s.Text()
		case "message":
			message = s.Text()
		case "description":
			f.Description = s.Text()
		case "solution":
			f.Mitigation = s.Text()
		case "severity":
			report.Rate(&f, s.Text())
		case "confidence":
			report.Attribute(&f, "confidence", s.Text())
		case "raw_source_code_extract":
			extract = s.Text()
		case "scanner":
			s.Object(func(key string) {
				if key == "id" {
					report.Attribute(&f, "scanner", s.Text())
				}
			})
		case "location":
			location(s, &f)
		case "identifiers":
			s.Each(func(int) { names = append(names, readIdentifier(s)) })
		case "links":
			s.Each(func(int) {
				s.Object(func(key string) {
					if key == "url" {
						f.References = append(f.References, s.Text())
					}
				})
			})
		case "flags":
			s.Each(func(int) { flag(s, &f) })
		case "cvss_vectors":
			s.Each(func(i int) {
				s.Object(func(key string) {
					if key == "vector" && i == 0 {
						f.Vector = s.Text()
					}
				})
			})
		}
	})
	name(&f, names)
	called := "" // what the primary identifier is called, for reports without names
	if len(names) > 0 {
		called = names[0].name
	}
	first, _, _ := strings.Cut(f.Description, "\n")
	f.Title = cmp.Or(f.Title, message, called, f.Rule, first, id)
	f.Description = cmp.Or(f.Description, message)
	f.Rule = cmp.Or(f.Rule, f.Title)
	// An extract of the source is only there when it is a secret.
	if extract != "" {
		report.Attribute(&f, heldSecret, cmp.Or(report.SecretAnchor(extract), "redacted"))
		report.ClearSecret(&f, extract)
	}
	return f
}

func readIdentifier(s *report.Scanner) identifier {
	var one identifier
	s.Object(func(key string) {
		switch key {
		case "type":
			one.kind = strings.ToLower(s.Text())
		case "name":
			one.name = s.Text()
		case "value":
			one.value = s.Text()
		case "url":
			one.url = s.Text()
		}
	})
	return one
}

// advisories are the types of identifiers that name a flaw of a package, in the order
// in which one becomes the rule.
var advisories = []string{"cve", "ghsa", "osvdb", "usn", "rhsa", "elsa", "gemnasium"}

// name sets the rule, its aliases and CWE numbers. Other identifiers than those of
// advisories are rules of the scanner; the first is the primary one.
func name(f *fact.Finding, names []identifier) {
	var rule string
	var ids []string
	for _, kind := range advisories {
		for _, one := range names {
			switch {
			case one.kind != kind:
			case kind == "gemnasium": // the value is a bare UUID
				ids = append(ids, cmp.Or(one.name, one.value))
			default:
				ids = append(ids, cmp.Or(one.value, one.name))
			}
		}
	}
	for _, one := range names {
		if one.url != "" {
			f.References = append(f.References, one.url)
		}
		switch {
		case one.kind == "cwe":
			n := report.CWEs(one.value, one.name, "CWE-"+one.value)
			f.CWE = append(f.CWE, n[:min(1, len(n))]...)
		case one.kind == "owasp":
			report.Attribute(f, "owasp", cmp.Or(one.value, one.name))
		case rule == "" && !slices.Contains(advisories, one.kind):
			// The value is what machines know a rule by; some analyzers put a sentence there.
			if rule = cmp.Or(one.value, one.name); strings.Contains(rule, " ") && !strings.Contains(one.name, " ") {
				rule = cmp.Or(one.name, rule)
			}
		}
	}
	if len(ids) == 0 {
		f.Rule = rule
	} else {
		f.Rule = ids[0]
		f.Aliases = report.Aliases(f.Rule, ids...)
		report.Attribute(f, "rule", rule)
	}
	slices.Sort(f.References)
	f.References = slices.DeleteFunc(slices.Compact(f.References), func(url string) bool { return url == "" })
}

// flag takes what the analyzer itself doubts. It is a hint and no decision.
func flag(s *report.Scanner, f *fact.Finding) {
	kind, origin, detail := "", "", ""
	s.Object(func(key string) {
		switch key {
		case "type":
			kind = s.Text()
		case "origin":
			origin = s.Text()
		case "description":
			detail = s.Text()
		}
	})
	if kind == "flagged-as-likely-false-positive" {
		f.Analysis = fact.Analysis{State: fact.AnalysisInTriage, Detail: cmp.Or(detail, kind), Source: cmp.Or(origin, "gitlab")}
	}
}

// location reads where a flaw is. Each report type has members of its own.
func location(s *report.Scanner, f *fact.Finding) {
	host, method, at, parameter, class, function, state := "", "", "", "", "", "", ""
	s.Object(func(key string) {
		switch key {
		case "file":
			f.Path = s.Text()
		case "start_line":
			f.Line = max(0, s.Int())
		case "end_line":
			f.EndLine = max(0, s.Int())
		case "class":
			class = s.Text()
		case "method":
			method = s.Text()
			function = method
		case "commit":
			s.Object(func(key string) {
				if key == "sha" {
					if sha := s.Text(); strings.Trim(sha, "0") != "" {
						f.Commit = sha
					}
				}
			})
		case "dependency":
			dependency(s, f)
		case "operating_system":
			report.Attribute(f, heldOS, s.Text())
		case "image":
			f.Asset = report.ImageAsset(s.Text())
		case "default_branch_image":
			report.Attribute(f, key, s.Text())
		case "kubernetes_resource":
			s.Object(func(key string) {
				switch key {
				case "namespace", "kind", "name", "container_name", "cluster_id", "agent_id":
					report.Attribute(f, "kubernetes_"+key, s.Text())
				}
			})
		case "hostname", "host":
			host = s.Text()
		case "path":
			at = s.Text()
		case "param":
			parameter = s.Text()
		case "crash_type":
			report.Attribute(f, key, s.Text())
		case "crash_state":
			state = s.Text()
		}
	})
	switch {
	case host != "":
		f.Asset = fact.Asset{Kind: fact.AssetHost, Key: host, Name: host}
		f.Anchor = strings.TrimSpace(method + " " + at + " " + parameter)
		report.Attribute(f, "url", host+at)
		report.Attribute(f, "method", method)
		report.Attribute(f, "parameter", parameter)
	case state != "":
		f.Anchor = strings.TrimSpace(state)
	case class != "" || function != "":
		f.Anchor = strings.Trim(class+"."+function, ".")
	}
}

func dependency(s *report.Scanner, f *fact.Finding) {
	s.Object(func(key string) {
		switch key {
		case "package":
			s.Object(func(key string) {
				if key == "name" {
					f.Package.Name = s.Text()
				}
			})
		case "version":
			f.Package.Version = s.Text()
		case "direct":
			if s.Bool() {
				report.Attribute(f, "direct", "true")
			}
		}
	})
}

// settle sets what depends on the type of the report.
func settle(f *fact.Finding, kind string, packages map[string]string) {
	kind = cmp.Or(kind, f.Attributes["category"])
	anchor, secret := f.Attributes[heldSecret]
	system := f.Attributes[heldOS]
	delete(f.Attributes, heldSecret)
	delete(f.Attributes, heldOS)
	switch {
	case kind == "secret_detection", kind == "" && secret:
		f.Kind = fact.Secret
		if anchor != "redacted" {
			f.Anchor = anchor
		}
	case kind == "dependency_scanning", kind == "container_scanning", kind == "cluster_image_scanning", kind == "" && f.Package.Name != "",
		strings.HasPrefix(f.Rule, "CVE-") && f.Package.Name != "":
		f.Kind = fact.Vulnerability
		family, release, _ := strings.Cut(system, ":")
		ecosystem := cmp.Or(managers[packages[f.Path]], files[path.Base(f.Path)], report.Distribution(family, release))
		if name := f.Package.Name; name != "" {
			if ecosystem == "Maven" {
				name = strings.Replace(name, "/", ":", 1)
			}
			f.Package = report.Named(ecosystem, name, f.Package.Version)
			if f.Title == f.Rule {
				f.Title += " in " + name + ":" + f.Package.Version
			}
		}
		f.FixedVersions = fixed(f.Mitigation)
	}
	if f.Asset.Kind == "" {
		f.Asset = fact.Asset{Kind: fact.AssetRepository}
	}
}

var managers = map[string]string{
	"go": "Go", "npm": "npm", "yarn": "npm", "pnpm": "npm", "bundler": "RubyGems", "pip": "PyPI", "pipenv": "PyPI", "poetry": "PyPI", "setuptools": "PyPI", "uv": "PyPI",
	"maven": "Maven", "gradle": "Maven", "sbt": "Maven", "composer": "Packagist", "nuget": "NuGet", "conan": "ConanCenter", "cargo": "crates.io", "pub": "Pub", "swift": "SwiftURL",
}

var files = map[string]string{
	"go.sum": "Go", "go.mod": "Go", "package-lock.json": "npm", "npm-shrinkwrap.json": "npm", "yarn.lock": "npm", "pnpm-lock.yaml": "npm", "package.json": "npm",
	"Gemfile.lock": "RubyGems", "gems.locked": "RubyGems", "requirements.txt": "PyPI", "requirements.pip": "PyPI", "Pipfile": "PyPI", "Pipfile.lock": "PyPI", "poetry.lock": "PyPI",
	"setup.py": "PyPI", "uv.lock": "PyPI", "pom.xml": "Maven", "build.gradle": "Maven", "build.gradle.kts": "Maven", "build.sbt": "Maven", "composer.lock": "Packagist",
	"packages.lock.json": "NuGet", "conan.lock": "ConanCenter", "Cargo.lock": "crates.io", "pubspec.lock": "Pub", "Package.resolved": "SwiftURL",
}

var (
	upgrade = regexp.MustCompile(`^(?i:upgrade|update)\b.{0,200}?\bto\s+(?:versions?\s+)?(v?\d[^\s,;]*(?:(?:\s*,\s*(?:or\s+)?|\s+or\s+)v?\d[^\s,;]*)*)`)
	between = regexp.MustCompile(`(?:\s|,|\bor\b)+`)
)

// fixed finds the versions in a solution: "Upgrade to versions 1.2.3, 2.0.1 or
// above", "Upgrade apt from 1.4.8 to 1.4.9".
func fixed(solution string) []string {
	match := upgrade.FindStringSubmatch(solution)
	if match == nil {
		return nil
	}
	var list []string
	for _, version := range between.Split(match[1], -1) {
		if version = strings.TrimSuffix(version, "."); version != "" && strings.ContainsAny(version, "0123456789") {
			list = append(list, version)
		}
	}
	return list
}
