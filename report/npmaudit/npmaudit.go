// Package npmaudit reads the JSON reports of npm audit, version 1 (npm 6, pnpm,
// and the lines that Yarn writes) and version 2 (npm 7 and later).
package npmaudit

import (
	"context"
	"errors"
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
		ID: "report/npmaudit", Name: "npm audit", Formats: "JSON of npm audit, pnpm audit and yarn audit (Yarn 1), yarn npm audit (later ones)",
		Docs: "Produce it with `npm audit --json`, `pnpm audit --json`, `yarn audit --json` or `yarn npm audit --json`. One finding a package, version and advisory; the paths to it are merged, the first is kept and all are counted. " +
			"Packages that npm 7 and later call vulnerable only because of what they require are no findings of their own: they are the path to the flaw, and listed in the attribute effects.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Kind != report.KindObject:
	case o.Has("auditReportVersion") && o.Keys["vulnerabilities"] == report.KindObject:
		return 98
	case o.Keys["advisories"] == report.KindObject && (o.Has("metadata.vulnerabilities") || o.Has("actions", "muted") || o.Has("metadata.dependencies")):
		return 90
	case o.Keys["vulnerabilities"] == report.KindObject && o.Has("metadata.vulnerabilities"):
		return 70
	case o.Has("actions[].resolves") && o.Has("actions[].module"): // the advisories come after many actions
		return 80
	case strings.HasPrefix(o.Texts["type"], "audit"), o.Has("type", "data") && (strings.Contains(string(head), `"auditAdvisory"`) || strings.Contains(string(head), `"auditSummary"`)):
		return 85
	case o.Inside("advisories", "module_name", "vulnerable_versions"), o.Inside("vulnerabilities", "via", "effects"): // what names the format comes later
		return 85
	case o.Has("value", "children.Severity", "children.Tree Versions"): // Yarn 2 and later
		return 85
	case o.Has("error.code", "error.summary"):
		return 60
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	var held report.Spool
	defer held.Close()
	run := fact.Run{Tool: "npm audit", Format: "npmaudit"}
	packages := map[string]dependent{}
	s := report.NewScanner(ctx, in)
	if !s.More() && s.Err() == nil {
		return &report.Error{Offset: s.Offset(), Expected: "a JSON document"}
	}
	add := func(list []fact.Finding) {
		for _, f := range list {
			s.Fail(held.Add(f))
		}
	}
	seen := map[string]bool{}
	failed := ""
	for s.More() {
		name := ""
		var flaws []fact.Finding
		s.Object(func(key string) {
			switch key {
			case "value": // one package of Yarn 2 and later, the tree's only level
				run.Tool, run.Complete = "yarn npm audit", true
				name = s.Text()
			case "children":
				flaws = berry(s)
			case "advisories":
				run.Complete = true
				s.Object(func(string) { add(advisory(s, nil)) })
			case "vulnerabilities":
				run.Complete = true
				s.Object(func(name string) {
					list, d := vulnerable(s, name)
					packages[name] = d
					add(list)
				})
			case "data":
				run.Tool = "yarn audit"
				if s.Kind() == report.KindObject { // a text is a message for people
					run.Complete = true
					add(yarnLine(s, seen))
				}
			case "error":
				failed = failure(s)
			}
		})
		for i := range flaws {
			f := &flaws[i]
			if f.Package = report.Named("npm", name, f.Package.Version); f.Title == "" {
				f.Title = f.Rule + " in " + name
			}
		}
		add(flaws)
	}
	err := s.End()
	if err == nil && failed != "" {
		err = &report.Error{Offset: -1, Item: "error", Expected: "an audit that went through", Err: errors.New(failed)}
	}
	run.Complete = run.Complete && err == nil
	if sinkErr := sink.Run(run); sinkErr != nil {
		return sinkErr
	}
	replayErr := held.Replay(func(f fact.Finding) error {
		if d, ok := packages[f.Package.Name]; ok {
			introduce(&f, d, packages)
		}
		return sink.Finding(f)
	})
	if replayErr != nil {
		return replayErr
	}
	return err
}

// failure reads why there was no audit.
func failure(s *report.Scanner) string {
	code, summary := "an error", ""
	if s.Kind() != report.KindObject {
		return s.Text()
	}
	s.Object(func(key string) {
		switch key {
		case "code":
			code = s.Text()
		case "summary":
			summary = s.Text()
		}
	})
	return strings.TrimSuffix(code+": "+summary, ": ")
}

// berry reads one advisory as Yarn 2 and later write it: a finding for each
// version in the tree, of a package that is named beside it.
func berry(s *report.Scanner) []fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Vulnerability, Asset: fact.Asset{Kind: fact.AssetRepository}}
	id := ""
	var versions []string
	s.Object(func(key string) {
		switch key {
		case "ID":
			id = s.Text()
		case "Issue":
			f.Title = s.Text()
		case "URL":
			if url := s.Text(); url != "" {
				f.References = []string{url}
			}
		case "Severity":
			report.Rate(&f, s.Text())
		case "Vulnerable Versions":
			report.Attribute(&f, "vulnerable_versions", s.Text())
		case "Tree Versions":
			versions = s.Texts()
		case "Dependents":
			report.Attribute(&f, "dependents", strings.Join(s.Texts(), ", "))
		}
	})
	if s.Err() != nil {
		return nil
	}
	if f.Rule = "npm:" + id; len(f.References) > 0 && advisoryID(f.References[0]) != "" {
		f.Rule = advisoryID(f.References[0])
	}
	f.Aliases = report.Aliases(f.Rule, "npm:"+id)
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	if len(versions) == 0 {
		versions = []string{""}
	}
	var list []fact.Finding
	for _, version := range versions {
		one := f
		one.Attributes = maps.Clone(f.Attributes)
		one.Package.Version = version
		list = append(list, one)
	}
	return list
}

// yarnLine reads the data of one line of Yarn 1, which repeats an advisory for
// each path to the package; seen remembers what was given.
func yarnLine(s *report.Scanner, seen map[string]bool) (list []fact.Finding) {
	path := ""
	s.Object(func(key string) {
		switch key {
		case "resolution":
			s.Object(func(key string) {
				if key == "path" {
					path = s.Text()
				}
			})
		case "advisory":
			list = advisory(s, nil)
		}
	})
	return slices.DeleteFunc(list, func(f fact.Finding) bool {
		id := f.Rule + "\x00" + f.Package.Name + "\x00" + f.Package.Version
		again := seen[id]
		seen[id] = true
		if len(f.Introduced) == 0 && path != "" {
			f.Introduced = strings.Split(path, ">")
		}
		return again
	})
}

// installed is one version of the package that an advisory is about.
type installed struct {
	version string
	paths   []string
}

// advisory reads one advisory of report version 1: a finding for each version.
func advisory(s *report.Scanner, list []fact.Finding) []fact.Finding {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Vulnerability, Asset: fact.Asset{Kind: fact.AssetRepository}}
	var versions []installed
	var cves []string
	ghsa, id, name, references := "", "", "", ""
	s.Object(func(key string) {
		switch key {
		case "id":
			id = s.Text()
		case "github_advisory_id":
			ghsa = s.Text()
		case "title":
			f.Title = s.Text()
		case "module_name", "name":
			name = s.Text()
		case "cves":
			cves = s.Texts()
		case "cwe":
			f.CWE = report.CWEs(s.Texts()...)
		case "severity":
			report.Rate(&f, s.Text())
		case "cvss":
			rate(s, &f)
		case "overview":
			f.Description = s.Text()
		case "recommendation":
			f.Mitigation = s.Text()
		case "url":
			if url := s.Text(); url != "" {
				f.References = append(f.References, url)
			}
		case "references":
			references = strings.Join(s.Texts(), "\n")
		case "vulnerable_versions", "patched_versions":
			report.Attribute(&f, key, s.Text())
		case "findings":
			s.Array(func(int) {
				at := installed{}
				s.Object(func(key string) {
					switch key {
					case "version":
						at.version = s.Text()
					case "paths":
						at.paths = s.Texts()
					}
				})
				versions = append(versions, at)
			})
		}
	})
	if s.Err() != nil {
		return list
	}
	if ghsa == "" && len(f.References) > 0 {
		ghsa = advisoryID(f.References[0])
	}
	if f.Rule = ghsa; ghsa == "" {
		f.Rule = "npm:" + id
	}
	if f.Title == "" {
		f.Title = f.Rule + " in " + name
	}
	f.References = append(f.References, links(references, f.References)...)
	f.FixedVersions = lowerBounds(f.Attributes["patched_versions"])
	f.Aliases = report.Aliases(f.Rule, append(slices.Clone(cves), "npm:"+id)...)
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	if versions == nil {
		versions = []installed{{}}
	}
	// Entries of one version differ by their paths only.
	var order []string
	paths := map[string][]string{}
	for _, v := range versions {
		if _, ok := paths[v.version]; !ok {
			order = append(order, v.version)
		}
		paths[v.version] = append(paths[v.version], v.paths...)
	}
	for _, version := range order {
		one := f
		one.Attributes = nil
		for name, value := range f.Attributes {
			report.Attribute(&one, name, value)
		}
		one.Package = report.Named("npm", name, version)
		if all := paths[version]; len(all) > 0 {
			one.Introduced = strings.Split(strings.TrimPrefix(all[0], ".>"), ">")
			report.Attribute(&one, "paths", strings.Join(all[:min(len(all), maxPaths)], ", "))
		}
		list = append(list, one)
	}
	return list
}

// maxPaths bounds how many paths to a package are kept.
const maxPaths = 50

func rate(s *report.Scanner, f *fact.Finding) {
	s.Object(func(key string) {
		switch key {
		case "score":
			f.Score = s.Float()
		case "vectorString":
			f.Vector = s.Text()
		}
	})
}

// advisoryID takes the id from the address of an advisory.
func advisoryID(url string) string {
	id := url[strings.LastIndexByte(url, '/')+1:]
	if strings.HasPrefix(id, "GHSA-") {
		return id
	}
	return ""
}

// links finds the addresses in a list written as Markdown.
func links(text string, known []string) (urls []string) {
	for _, word := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(" \t\r\n()<>[]\"", r) }) {
		if (strings.HasPrefix(word, "https://") || strings.HasPrefix(word, "http://")) && !slices.Contains(known, word) && !slices.Contains(urls, word) {
			urls = append(urls, word)
		}
	}
	return urls
}

// lowerBounds reads the versions that contain the fix from a range such as
// ">=2.6.9 <3.0.0 || >=3.1.0"; "<0.0.0" says that there is none.
func lowerBounds(versions string) (list []string) {
	for part := range strings.SplitSeq(versions, "||") {
		part = strings.TrimSpace(part)
		rest, ok := strings.CutPrefix(part, ">=")
		if !ok {
			continue
		}
		if words := strings.Fields(rest); len(words) > 0 {
			list = append(list, strings.TrimRight(words[0], ","))
		}
	}
	return list
}
