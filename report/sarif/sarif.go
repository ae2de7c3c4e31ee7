// Package sarif reads SARIF 2.1.0, the format that many static analysers write.
package sarif

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"maps"
	"net/url"
	"regexp"
	"slices"
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
		ID: "report/sarif", Name: "SARIF", Formats: "SARIF 2.1.0",
		Docs: "One finding for each location of a result, since each has its line to change, and one for a result without locations. Results of the kinds pass, notApplicable and informational are left out. " +
			"Severity is the rule's security-severity, else the result's level. Suppressions are read as statements.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Kind != report.KindObject:
		return 0
	case strings.Contains(o.Texts["$schema"], "sarif"):
		return 98
	case o.Keys["runs"] == report.KindArray && (o.Has("version") || o.Has("runs[].tool") || o.Has("runs[].results")):
		return 85
	}
	return 0
}

// rule is what a rule says about its results.
type rule struct {
	id, title, text, level, help, uri string
	severity                          string // security-severity
	tags                              []string
	cwe                               []int
	messages                          map[string]string // by id
}

// maxLocations bounds the findings made of one result.
const maxLocations = 10_000

// Names of attributes that only live between reading a result and its rules.
const (
	heldIndex     = "\x00index"
	heldExtension = "\x00extension"
	heldLevel     = "\x00level"
	heldSeverity  = "\x00severity"
	heldMessage   = "\x00message"
	heldArguments = "\x00arguments"
	heldArtifact  = "\x00artifact"
	heldBase      = "\x00base"
)

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.JSON(ctx, in, func(s *report.Scanner) {
		s.Object(func(key string) {
			if key == "runs" {
				s.Array(func(int) { readRun(s, sink) })
			}
		})
	})
}

// readRun reads one run. Results may come before the tool that explains them,
// so they are held until the run's end, or until a fault.
func readRun(s *report.Scanner, sink report.Sink) {
	var held report.Spool
	defer held.Close()
	run := fact.Run{Tool: "sarif", Format: "sarif", Complete: true}
	var driver []rule
	var extensions [][]rule
	where := places{bases: map[string]artifact{}}
	ended := s.Object(func(key string) {
		switch key {
		case "tool":
			s.Object(func(key string) {
				switch key {
				case "driver":
					driver = component(s, &run)
				case "extensions":
					s.Array(func(int) { extensions = append(extensions, component(s, nil)) })
				}
			})
		case "results":
			s.Array(func(int) {
				for _, f := range result(s) {
					s.Fail(held.Add(f))
				}
			})
		case "artifacts":
			s.Array(func(int) {
				var a artifact
				s.Object(func(key string) {
					if key == "location" {
						a = artifactLocation(s)
					}
				})
				if len(where.artifacts) < maxArtifacts {
					where.artifacts = append(where.artifacts, a)
				}
			})
		case "originalUriBaseIds":
			s.Object(func(name string) {
				if base := artifactLocation(s); len(where.bases) < maxArtifacts {
					where.bases[name] = base
				}
			})
		case "invocations":
			s.Array(func(int) {
				s.Object(func(key string) {
					switch key {
					case "executionSuccessful":
						if kind := s.Kind(); !s.Bool() && kind == report.KindFalse {
							run.Complete = false
						}
					case "startTimeUtc":
						run.Started = report.Micros(s.Text())
					}
				})
			})
		case "versionControlProvenance":
			s.Array(func(int) {
				s.Object(func(key string) {
					if key == "repositoryUri" {
						run.Target = s.Text()
					}
				})
			})
		}
	})
	if !ended && s.Err() == nil {
		return // null
	}
	byID := map[string]*rule{}
	for _, list := range append([][]rule{driver}, extensions...) {
		for i := range list {
			if byID[list[i].id] == nil {
				byID[list[i].id] = &list[i]
			}
		}
	}
	err := sink.Run(run)
	if err == nil {
		err = held.Replay(func(f fact.Finding) error {
			list := driver
			if n, e := strconv.Atoi(f.Attributes[heldExtension]); e == nil && n >= 0 && n < len(extensions) {
				list = extensions[n]
			}
			r := byID[f.Rule]
			if n, e := strconv.Atoi(f.Attributes[heldIndex]); e == nil && n >= 0 && n < len(list) && (f.Rule == "" || strings.HasPrefix(f.Rule, list[n].id)) {
				r = &list[n]
			}
			if r == nil { // hierarchical ids: "rule/part"
				if at := strings.LastIndexByte(f.Rule, '/'); at > 0 {
					r = byID[f.Rule[:at]]
				}
			}
			below := ""
			f.Path, below = where.resolve(artifact{path: f.Path, base: f.Attributes[heldBase], index: f.Attributes[heldArtifact]})
			report.Attribute(&f, "repo_file_path", below)
			complete(&f, r, run.Tool)
			return sink.Finding(f)
		})
	}
	s.Fail(err)
}

// component reads a tool component with its rules; run is filled in from a driver.
func component(s *report.Scanner, run *fact.Run) []rule {
	var rules []rule
	s.Object(func(key string) {
		switch key {
		case "name":
			if name := s.Text(); run != nil && name != "" {
				run.Tool = name
			}
		case "semanticVersion", "version":
			if version := s.Text(); run != nil && (run.ToolVersion == "" || key == "semanticVersion") {
				run.ToolVersion = version
			}
		case "rules":
			s.Array(func(int) { rules = append(rules, readRule(s)) })
		}
	})
	return rules
}

func readRule(s *report.Scanner) rule {
	var r rule
	name, short, full := "", "", ""
	s.Object(func(key string) {
		switch key {
		case "id":
			r.id = s.Text()
		case "name":
			name = s.Text()
		case "shortDescription":
			short = message(s)
		case "fullDescription":
			full = message(s)
		case "help":
			r.help = message(s)
		case "helpUri":
			r.uri = s.Text()
		case "messageStrings":
			s.Object(func(id string) {
				if r.messages == nil {
					r.messages = map[string]string{}
				}
				r.messages[id] = message(s)
			})
		case "defaultConfiguration":
			s.Object(func(key string) {
				if key == "level" {
					r.level = s.Text()
				}
			})
		case "properties":
			s.Object(func(key string) {
				switch key {
				case "security-severity":
					r.severity = s.Text()
				case "tags":
					r.tags = s.Texts()
				case "cwe":
					r.cwe = append(r.cwe, report.CWEs(s.Texts()...)...)
				}
			})
		case "relationships":
			s.Array(func(int) {
				s.Object(func(key string) {
					if key == "target" {
						s.Object(func(key string) {
							if key == "id" {
								r.cwe = append(r.cwe, report.CWEs(s.Text())...)
							}
						})
					}
				})
			})
		}
	})
	r.cwe = append(r.cwe, report.CWEs(r.tags...)...)
	if len(r.cwe) == 0 {
		r.cwe = report.CWEs(short, full)
	}
	r.title, r.text = firstOf(short, name, full), firstOf(full, short)
	return r
}

func message(s *report.Scanner) string {
	text, markdown := "", ""
	s.Object(func(key string) {
		switch key {
		case "text":
			text = s.Text()
		case "markdown":
			markdown = s.Text()
		}
	})
	return firstOf(text, markdown)
}

func firstOf(texts ...string) string {
	for _, text := range texts {
		if text != "" {
			return text
		}
	}
	return ""
}

// result reads one result as one finding a location; none for a result that
// reports no flaw.
func result(s *report.Scanner) []fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.CodeFlaw, Attributes: map[string]string{}}
	var found []spot
	prints := map[string]string{}
	kind, text := "", ""
	var target artifact // what was analysed, for a result without locations
	s.Object(func(key string) {
		switch key {
		case "ruleId":
			f.Rule = s.Text()
		case "ruleIndex":
			f.Attributes[heldIndex] = s.Text()
		case "rule":
			s.Object(func(key string) {
				switch key {
				case "id":
					f.Rule = firstOf(f.Rule, s.Text())
				case "index":
					f.Attributes[heldIndex] = s.Text()
				case "toolComponent":
					s.Object(func(key string) {
						if key == "index" {
							f.Attributes[heldExtension] = s.Text()
						}
					})
				}
			})
		case "kind":
			kind = s.Text()
		case "level":
			f.Attributes[heldLevel] = s.Text()
		case "message":
			text = resultMessage(s, &f)
		case "locations":
			s.Array(func(i int) {
				if i < maxLocations {
					found = append(found, location(s))
				}
			})
		case "analysisTarget":
			target = artifactLocation(s)
		case "fingerprints", "partialFingerprints":
			s.Object(func(name string) {
				if s.Kind() == report.KindString {
					prints[name] = s.Text()
				}
			})
		case "properties":
			s.Object(func(key string) {
				switch key {
				case "security-severity", "cvss_score", "cvssScore":
					f.Attributes[heldSeverity] = s.Text()
				case "tags":
					f.CWE = append(f.CWE, report.CWEs(s.Texts()...)...)
				case "cwe":
					f.CWE = append(f.CWE, report.CWEs(s.Texts()...)...)
				}
			})
		case "taxa":
			s.Array(func(int) {
				id, component := "", ""
				s.Object(func(key string) {
					switch key {
					case "id":
						id = s.Text()
					case "toolComponent":
						s.Object(func(key string) {
							if key == "name" {
								component = s.Text()
							}
						})
					}
				})
				if strings.EqualFold(component, "CWE") && !strings.HasPrefix(strings.ToUpper(id), "CWE") {
					id = "CWE-" + id
				}
				f.CWE = append(f.CWE, report.CWEs(id)...)
			})
		case "suppressions":
			s.Array(func(int) { suppression(s, &f) })
		}
	})
	switch kind {
	case "pass", "notApplicable", "informational":
		return nil
	}
	if s.Err() != nil {
		return nil
	}
	f.Description = text
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	print := ""
	for _, name := range slices.Sorted(maps.Keys(prints)) {
		report.Attribute(&f, "fingerprint "+name, prints[name])
		if print == "" && !strings.Contains(name, "Line") {
			print = prints[name]
		}
	}
	if len(found) == 0 {
		found = append(found, spot{artifact: target})
	}
	list := make([]fact.Finding, 0, len(found))
	for i, at := range found {
		one := f
		one.Attributes = maps.Clone(f.Attributes)
		one.Path, one.Line, one.EndLine = at.path, at.line, at.end
		report.Attribute(&one, heldArtifact, at.index)
		report.Attribute(&one, heldBase, at.base)
		snippet := digest(at.snippet)
		report.Attribute(&one, "snippet_sha256", snippet)
		one.Anchor = firstOf(at.logical, print, snippet)
		if len(found) > 1 {
			one.Anchor = firstOf(at.logical, snippet, print)
			one.Position.Item = item + ".locations[" + strconv.Itoa(i) + "]"
		}
		list = append(list, one)
	}
	return list
}

// resultMessage reads the message of a result, which may only name one of its
// rule's messages.
func resultMessage(s *report.Scanner, f *fact.Finding) string {
	text, markdown := "", ""
	s.Object(func(key string) {
		switch key {
		case "text":
			text = s.Text()
		case "markdown":
			markdown = s.Text()
		case "id":
			report.Attribute(f, heldMessage, s.Text())
		case "arguments":
			report.Attribute(f, heldArguments, strings.Join(s.Texts(), "\x00"))
		}
	})
	return firstOf(text, markdown)
}

// fill puts arguments in the place of {0}, {1} ...
func fill(text, arguments string) string {
	if arguments == "" || !strings.Contains(text, "{") {
		return text
	}
	var pairs []string
	for i, argument := range strings.Split(arguments, "\x00") {
		pairs = append(pairs, "{"+strconv.Itoa(i)+"}", argument)
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

type spot struct {
	artifact
	logical, snippet string
	line, end        int
}

// artifact is a file as a location names it: by its URI, perhaps relative to a
// base, or by its index among the artifacts of the run.
type artifact struct{ path, base, index string }

func artifactLocation(s *report.Scanner) (a artifact) {
	s.Object(func(key string) {
		switch key {
		case "uri":
			a.path = file(s.Text())
		case "uriBaseId":
			a.base = s.Text()
		case "index":
			a.index = s.Text()
		}
	})
	return a
}

// places are the artifacts and the bases that the locations of a run refer to.
type places struct {
	artifacts []artifact
	bases     map[string]artifact
}

// maxArtifacts bounds the artifacts of a run that are kept to resolve indexes.
const maxArtifacts = 200_000

// resolve gives the path of a file as the report writes it, and below the bases
// where these are folders of the root; absolute ones are the root as another
// machine has it.
func (p *places) resolve(a artifact) (name, below string) {
	if n, err := strconv.Atoi(a.index); a.path == "" && err == nil && n >= 0 && n < len(p.artifacts) {
		a = p.artifacts[n]
	}
	name = a.path
	seen := map[string]bool{}
	for a.path != "" && !seen[a.base] { // bases refer to each other
		seen[a.base] = true
		base, ok := p.bases[a.base]
		folder := strings.Trim(base.path, " /")
		if !ok || folder == "" || strings.Contains(folder, ":") || strings.HasPrefix(base.path, "/") {
			break
		}
		a.path, a.base, below = folder+"/"+a.path, base.base, folder+"/"+a.path
	}
	return name, below
}

func location(s *report.Scanner) spot {
	var at spot
	s.Object(func(key string) {
		switch key {
		case "physicalLocation":
			s.Object(func(key string) {
				switch key {
				case "artifactLocation":
					at.artifact = artifactLocation(s)
				case "region":
					s.Object(func(key string) {
						switch key {
						case "startLine":
							at.line = max(s.Int(), 0)
						case "endLine":
							at.end = max(s.Int(), 0)
						case "snippet":
							at.snippet = message(s)
						}
					})
				}
			})
		case "logicalLocations":
			s.Array(func(i int) {
				name, full := "", ""
				s.Object(func(key string) {
					switch key {
					case "name":
						name = s.Text()
					case "fullyQualifiedName":
						full = s.Text()
					}
				})
				if i == 0 {
					at.logical = firstOf(full, name)
				}
			})
		}
	})
	if at.end < at.line {
		at.end = at.line
	}
	return at
}

// file decodes the percent signs of a URI without changing its form otherwise.
func file(uri string) string {
	if plain, err := url.PathUnescape(uri); err == nil {
		return plain
	}
	return uri
}

func digest(text string) string {
	if strings.TrimSpace(text) == "" {
		return ""
	}
	sum := sha256.Sum256([]byte(strings.Join(strings.Fields(text), " ")))
	return hex.EncodeToString(sum[:8])
}

// suppression reads one suppression: a statement by somebody that the result
// does not matter, which is an accepted risk and never more.
func suppression(s *report.Scanner, f *fact.Finding) {
	status, detail := "", ""
	s.Object(func(key string) {
		switch key {
		case "status":
			status = s.Text()
		case "justification":
			detail = s.Text()
		}
	})
	if status == "" || status == "accepted" {
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: detail, Source: "sarif"}
	}
}

var (
	advisoryID = regexp.MustCompile(`(?i)^(CVE-\d{4}-\d{4,}|GHSA(-[23456789cfghjmpqrvwx]{4}){3}|GO-\d{4}-\d+|PYSEC-\d{4}-\d+|RUSTSEC-\d{4}-\d+|SNYK-[A-Z]+-.+)`)
	packageOf  = regexp.MustCompile(`(?m)^Package: (\S+)$`)
	versionOf  = regexp.MustCompile(`(?m)^(?:Installed )?Version: (\S+)$`)
	fixedOf    = regexp.MustCompile(`(?m)^Fixed Version: (.+)$`)
)

// complete fills in what the rule says: title, severity, kind.
func complete(f *fact.Finding, r *rule, tool string) {
	level, severity := f.Attributes[heldLevel], f.Attributes[heldSeverity]
	if id := f.Attributes[heldMessage]; id != "" && f.Description == "" && r != nil {
		f.Description = r.messages[id]
	}
	f.Description = fill(f.Description, f.Attributes[heldArguments])
	f.Title = strings.TrimSpace(f.Description)
	for _, name := range []string{heldIndex, heldExtension, heldLevel, heldSeverity, heldMessage, heldArguments, heldArtifact, heldBase} {
		delete(f.Attributes, name)
	}
	if r != nil {
		if f.Rule == "" {
			f.Rule = r.id
		}
		if f.Title == "" {
			f.Title = firstOf(r.title, r.id)
		}
		if r.text != "" && r.text != f.Description {
			f.Description = strings.TrimSpace(f.Description + "\n\n" + r.text)
		}
		f.Mitigation = r.help
		if r.uri != "" {
			f.References = append(f.References, r.uri)
		}
		for _, n := range r.cwe {
			if !slices.Contains(f.CWE, n) {
				f.CWE = append(f.CWE, n)
			}
		}
		level, severity = firstOf(level, r.level), firstOf(severity, r.severity)
		report.Attribute(f, "rule_name", r.title)
	}
	if at := strings.IndexByte(f.Title, '\n'); at > 0 {
		f.Title = f.Title[:at]
	}
	if f.Title == "" {
		f.Title = f.Rule
	}
	report.Rate(f, firstOf(level, "warning"))
	if level == "note" { // "a minor problem or an opportunity to improve"
		f.Severity = fact.SeverityInfo
	}
	if score, err := strconv.ParseFloat(severity, 64); err == nil && score > 0 && score <= 10 {
		f.Score, f.Severity, f.SeverityText = score, fact.SeverityOfScore(score), severity
	}
	f.Kind = kindOf(f, r, tool)
	if f.Kind == fact.Vulnerability {
		id := advisoryID.FindString(f.Rule)
		if strings.HasPrefix(strings.ToUpper(id), "CVE-") && id != f.Rule {
			report.Attribute(f, "rule", f.Rule)
			f.Rule = id
		}
		if m := packageOf.FindStringSubmatch(f.Description); m != nil {
			f.Package.Name = m[1]
		}
		if m := versionOf.FindStringSubmatch(f.Description); m != nil {
			f.Package.Version = m[1]
		}
		if m := fixedOf.FindStringSubmatch(f.Description); m != nil {
			for version := range strings.SplitSeq(m[1], ",") {
				f.FixedVersions = append(f.FixedVersions, strings.TrimSpace(version))
			}
		}
	}
	f.Asset = fact.Asset{Kind: fact.AssetRepository}
}

func kindOf(f *fact.Finding, r *rule, tool string) fact.Kind {
	name := strings.ToLower(tool)
	for _, word := range []string{"gitleaks", "trufflehog", "secret", "ggshield", "talisman"} {
		if strings.Contains(name, word) {
			return fact.Secret
		}
	}
	if advisoryID.MatchString(f.Rule) {
		return fact.Vulnerability
	}
	for _, word := range []string{"checkov", "tfsec", "kics", "terrascan", "hadolint", "dockle", "kube-linter", "kubescape", "cfn", "trivy"} {
		if strings.Contains(name, word) {
			return fact.Misconfiguration
		}
	}
	if r != nil && slices.ContainsFunc(r.tags, func(tag string) bool { return strings.EqualFold(tag, "secret") || strings.EqualFold(tag, "secrets") }) {
		return fact.Secret
	}
	return fact.CodeFlaw
}
