// Package sonarqube reads the security issues and hotspots of SonarQube.
package sonarqube

import (
	"cmp"
	"context"
	"io"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "sonarqube"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/sonarqube", Name: "SonarQube", Formats: "JSON of the API (issues, hotspots) and of sonar-report",
		Docs: "Take the answer of `GET /api/issues/search?types=VULNERABILITY` or `GET /api/hotspots/search`, or the file of `sonar-report`. One finding a vulnerability or hotspot at its lines, by its key; bugs and smells are left out. " +
			"False positives, accepted issues and reviewed hotspots are what people made of them; hotspots to review are in triage. A page or a filtered report never proves that something is gone.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("issues[].rule", "issues[].component", "issues[].key"), o.Has("hotspots[].ruleKey", "hotspots[].component"):
		return 95
	case o.Has("paging", "issues", "effortTotal"), o.Has("sonarBaseURL", "projectName"): // rules come before issues
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: tool, Format: "sonarqube"}, func(d *report.Document) {
		names := map[string]string{} // of rules, by id
		d.Early(func() {
			d.Object(func(key string) {
				switch key {
				case "issues", "hotspots":
					d.Array(func(int) { d.Item(func(f *fact.Finding) { issue(d, f, key == "hotspots") }) })
				case "rules":
					if d.Kind() == report.KindObject { // of sonar-report
						d.Object(func(id string) { readRule(d, id, names) })
					}
				}
			})
		}, func(f *fact.Finding) {
			f.Title = cmp.Or(f.Title, names[f.Rule])
			report.WithAttributes(f, map[string]string{"rule_name": names[f.Rule]})
		})
	})
}

// maxRules bounds the rules that are held.
const maxRules = 20_000

func readRule(d *report.Document, id string, names map[string]string) {
	d.Object(func(key string) {
		if key != "name" {
			return
		}
		if name := d.Text(); len(names) < maxRules {
			names[id] = name
		}
	})
}

func issue(d *report.Document, f *fact.Finding, hotspot bool) {
	f.Asset = fact.Asset{Kind: fact.AssetRepository}
	var component, project, kind, status, resolution, probability, hash string
	d.Object(func(key string) {
		switch key {
		case "rule", "ruleKey":
			f.Rule = d.Text()
		case "severity":
			report.Rate(f, d.Text())
		case "vulnerabilityProbability":
			probability = d.Text()
		case "component":
			component = d.Text()
		case "project":
			project = d.Text()
		case "line":
			f.Line = cmp.Or(f.Line, max(0, d.Int()))
		case "textRange":
			d.Object(func(key string) {
				switch key {
				case "startLine":
					f.Line = max(0, d.Int())
				case "endLine":
					f.EndLine = max(0, d.Int())
				}
			})
		case "message":
			f.Title = d.Text()
		case "description":
			f.Description = d.Text()
		case "type":
			kind = d.Text()
		case "status":
			status = d.Text()
		case "resolution":
			resolution = d.Text()
		case "hash":
			hash = d.Text()
		case "key", "securityCategory":
			report.Attribute(f, key, d.Text())
		}
	})
	if f.Rule == "" || kind == "BUG" || kind == "CODE_SMELL" {
		return
	}
	f.Kind = fact.CodeFlaw
	if hotspot {
		report.Rate(f, probability)
	}
	f.Path = pathOf(component, project)
	if hash != "" {
		f.Anchor = "line:" + hash
	}
	f.Analysis = analysis(status, resolution)
	report.Attribute(f, "status", status)
}

// pathOf takes the key of the project from that of a file: "project:src/x.py".
func pathOf(component, project string) string {
	if path, ok := strings.CutPrefix(component, project+":"); ok && project != "" {
		return path
	}
	return component[strings.LastIndexByte(component, ':')+1:]
}

func analysis(status, resolution string) fact.Analysis {
	word := strings.ToUpper(cmp.Or(resolution, status))
	switch word {
	case "FALSE-POSITIVE", "FALSE_POSITIVE":
		return fact.Analysis{State: fact.AnalysisFalsePositive, Source: tool}
	case "WONTFIX", "ACCEPTED", "ACKNOWLEDGED":
		return fact.Analysis{State: fact.AnalysisAcceptedRisk, Source: tool}
	case "SAFE":
		return fact.Analysis{State: fact.AnalysisFalsePositive, Detail: "reviewed as safe", Source: tool}
	case "FIXED", "CLOSED":
		return fact.Analysis{State: fact.AnalysisResolved, Source: tool}
	case "TO_REVIEW":
		return fact.Analysis{State: fact.AnalysisInTriage, Source: tool}
	}
	return fact.Analysis{}
}
