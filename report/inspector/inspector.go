// Package inspector reads the findings of Amazon Inspector as its API and exports
// give them.
package inspector

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "inspector"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/inspector", Name: "Amazon Inspector", Formats: "JSON: an answer of the API, a list, or one finding",
		Docs: "Produce it with `aws inspector2 list-findings --query findings`: a list counts as everything that was found, `{\"findings\": [...]}` may be one page of several and does not. " +
			"One finding for each resource and vulnerable package; flaws of packages and of code and network exposures are told apart. Container images are known by their digest, all else by its ARN. " +
			"Suppressed findings are accepted risks; closed ones are read as resolved.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("findings[].findingArn"), o.Has("findingArn", "awsAccountId"):
		return 95
	case o.Keys["findings"] == report.KindArray && (len(o.Keys) == 1 || len(o.Keys) == 2 && o.Has("nextToken")):
		return 10 // an answer without findings, of any tool
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: tool, Format: "inspector"}, func(d *report.Document) {
		if d.Kind() == report.KindArray {
			d.Run.Complete = true
			d.Array(func(int) { item(d) })
			return
		}
		one, list, place := &draft{}, false, d.Place()
		d.Object(func(key string) {
			if key == "findings" {
				list = true
				d.Array(func(int) { item(d) })
				return
			}
			one.field(d, key)
		})
		if !list {
			one.give(d, place())
		}
	})
}

func item(d *report.Document) {
	one, place := &draft{}, d.Place()
	if d.Object(func(key string) { one.field(d, key) }) {
		one.give(d, place())
	}
}

// draft is a finding as it is read.
type draft struct {
	f                   fact.Finding
	arn, account        string
	status, kind, flaw  string
	related             []string
	score               float64 // Inspector's own, which holds over that of the advisory
	vector              string
	resources           []report.AmazonResource
	packages            []report.AmazonPackage
	detector, firstPort string
	lastPort, protocol  string
}

func (one *draft) field(d *report.Document, key string) {
	switch key {
	case "findingArn":
		one.arn = d.Text()
	case "awsAccountId":
		one.account = d.Text()
	case "title":
		one.f.Title = d.Text()
	case "description":
		one.f.Description = d.Text()
	case "severity":
		report.Rate(&one.f, d.Text())
	case "status":
		one.status = d.Text()
	case "type":
		one.kind = d.Text()
	case "inspectorScore":
		one.score = d.Float()
	case "fixAvailable":
		report.Attribute(&one.f, "fix_available", report.YesNo(d.Text()))
	case "exploitAvailable":
		report.Attribute(&one.f, "exploit_available", report.YesNo(d.Text()))
	case "epss":
		d.Object(func(key string) {
			if key == "score" {
				one.f.EPSS = d.Float()
			}
		})
	case "inspectorScoreDetails":
		d.Object(func(string) {
			d.Object(func(key string) {
				if key == "scoringVector" {
					one.vector = d.Text()
				}
			})
		})
	case "remediation":
		d.Object(func(string) {
			d.Object(func(key string) {
				switch key {
				case "text":
					if text := d.Text(); text != "None Provided" {
						one.f.Mitigation = text
					}
				case "Url", "url":
					one.f.References = append(one.f.References, d.Texts()...)
				}
			})
		})
	case "packageVulnerabilityDetails":
		d.Object(func(key string) { one.packaged(d, key) })
	case "codeVulnerabilityDetails":
		d.Object(func(key string) { one.coded(d, key) })
	case "networkReachabilityDetails":
		d.Object(func(key string) { one.reached(d, key) })
	case "resources":
		d.Array(func(int) {
			var r report.AmazonResource
			d.Object(func(key string) { r.Read(d.Scanner, key) })
			one.resources = append(one.resources, r)
		})
	}
}

// packaged reads what is said of the flaw of a package.
func (one *draft) packaged(d *report.Document, key string) {
	switch key {
	case "vulnerabilityId":
		one.flaw = d.Text()
	case "relatedVulnerabilities":
		one.related = d.Texts()
	case "referenceUrls", "sourceUrl":
		one.f.References = append(one.f.References, d.Texts()...)
	case "vendorSeverity":
		report.Attribute(&one.f, "vendor_severity", d.Text())
	case "cvss":
		d.Array(func(int) {
			score, vector := 0.0, ""
			d.Object(func(key string) {
				switch key {
				case "baseScore":
					score = d.Float()
				case "scoringVector":
					vector = d.Text()
				}
			})
			if score > one.f.Score {
				one.f.Score, one.f.Vector = score, vector
			}
		})
	case "vulnerablePackages":
		d.Array(func(int) {
			var p report.AmazonPackage
			d.Object(func(key string) { p.Read(d.Scanner, key) })
			one.packages = append(one.packages, p)
		})
	}
}

// coded reads what is said of a flaw in code.
func (one *draft) coded(d *report.Document, key string) {
	switch key {
	case "ruleId":
		one.detector = cmp.Or(d.Text(), one.detector)
	case "detectorId":
		one.detector = cmp.Or(one.detector, d.Text())
	case "cwes":
		one.f.CWE = report.CWEs(d.Texts()...)
	case "referenceUrls":
		one.f.References = append(one.f.References, d.Texts()...)
	case "filePath":
		d.Object(func(key string) {
			switch key {
			case "filePath":
				one.f.Path = d.Text()
			case "startLine":
				one.f.Line = d.Int()
			case "endLine":
				one.f.EndLine = d.Int()
			}
		})
	}
}

// reached reads what is said of a way in.
func (one *draft) reached(d *report.Document, key string) {
	switch key {
	case "protocol":
		one.protocol = d.Text()
	case "openPortRange":
		d.Object(func(key string) {
			switch key {
			case "begin":
				one.firstPort = d.Text()
			case "end":
				one.lastPort = d.Text()
			}
		})
	}
}

// give gives one finding for each resource and package.
func (one *draft) give(d *report.Document, at fact.Position) {
	if one.arn == "" && one.f.Title == "" {
		d.Expect("a finding with a findingArn or a title")
		return
	}
	f := one.f
	f.Position = at
	one.judge(&f)
	report.Attribute(&f, "id", one.arn)
	report.Attribute(&f, "account", one.account)
	if len(one.resources) == 0 {
		one.resources = []report.AmazonResource{{ID: "AWS::::Account:" + one.account}}
	}
	d.As(tool, "aws/"+one.account+"/"+one.resources[0].Region)
	for _, r := range one.resources {
		own := f
		own.Asset = r.Asset(one.account)
		report.WithAttributes(&own, r.Attributes())
		if len(one.packages) == 0 {
			d.Give(own)
		}
		for _, p := range one.packages {
			packaged := own
			p.Fill(&packaged, r.Platform)
			d.Give(packaged)
		}
	}
}

// judge sets kind, rule, score and analysis.
func (one *draft) judge(f *fact.Finding) {
	f.Title = cmp.Or(f.Title, one.flaw, one.kind, one.arn)
	f.References = slices.Compact(f.References)
	if one.score > 0 {
		f.Score, f.Vector = one.score, cmp.Or(one.vector, f.Vector)
	}
	switch {
	case one.flaw != "":
		f.Kind, f.Rule = fact.Vulnerability, one.flaw
		f.Aliases = report.Aliases(one.flaw, one.related...)
	case strings.Contains(one.kind, "NETWORK"):
		f.Kind, f.Rule = fact.Exposure, one.kind
		if one.firstPort != "" {
			f.Anchor = fmt.Sprintf("%s %s-%s", one.protocol, one.firstPort, cmp.Or(one.lastPort, one.firstPort))
		}
	case strings.Contains(one.kind, "PACKAGE"):
		f.Kind = fact.Vulnerability
	default:
		f.Kind, f.Rule = fact.CodeFlaw, one.detector
	}
	switch strings.ToUpper(one.status) {
	case "SUPPRESSED":
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: "suppressed in Inspector", Source: tool}
	case "CLOSED":
		f.Analysis = fact.Analysis{State: fact.AnalysisResolved, Detail: "closed in Inspector", Source: tool}
	}
}
