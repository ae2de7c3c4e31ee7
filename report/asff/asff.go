// Package asff reads findings in the AWS Security Finding Format, as Security Hub
// exports them and its API answers.
package asff

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "security hub"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/asff", Name: "AWS Security Hub (ASFF)", Formats: "JSON: a list, an answer of the API, an event, or one finding",
		Docs: "Produce it with `aws securityhub get-findings --query Findings`: a list counts as everything that was found, `{\"Findings\": [...]}` may be one page of several and does not. " +
			"One finding for each resource, and of vulnerabilities for each flaw and package. Container images are known by their digest, all else by its ARN. " +
			"Passed controls are no findings; they say that the resource was looked at. Archived findings are left out; suppressed ones are accepted risks. " +
			"Controls that could not be judged are left out and make the run incomplete. Each product whose findings Security Hub collects is a detector of its own.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	for _, prefix := range []string{"", "Findings[].", "findings[].", "detail.findings[]."} {
		if o.Has(prefix+"ProductArn") && (o.Has(prefix+"AwsAccountId") || o.Has(prefix+"GeneratorId") || o.Has(prefix+"SchemaVersion")) {
			return 95
		}
	}
	if o.Keys["Findings"] == report.KindArray && (len(o.Keys) == 1 || o.Has("NextToken")) {
		return 40 // an answer without findings
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: tool, Format: "asff"}, func(d *report.Document) {
		if d.Kind() == report.KindArray {
			d.Run.Complete = true
			d.Array(func(int) { item(d) })
			return
		}
		one, list, place := &draft{}, false, d.Place()
		findings := func() {
			list = true
			d.Array(func(int) { item(d) })
		}
		d.Object(func(key string) {
			switch key {
			case "Findings", "findings":
				findings()
			case "detail":
				d.Object(func(key string) {
					if key == "findings" {
						findings()
					}
				})
			default:
				one.field(d, key)
			}
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
	f                  fact.Finding
	id, generator      string
	control, product   string
	productARN         string
	account, region    string
	platform           string
	types              []string
	record, status     string
	compliance, reason string
	label              string
	rated              bool // there is a number up to 100
	normalized, native float64
	resources          []report.AmazonResource
	flaws              []flaw
}

type flaw struct {
	f        fact.Finding // id, aliases, score, links
	packages []report.AmazonPackage
}

func (one *draft) field(d *report.Document, key string) {
	switch key {
	case "Id":
		one.id = d.Text()
	case "GeneratorId":
		one.generator = d.Text()
	case "Title":
		one.f.Title = d.Text()
	case "Description":
		one.f.Description = d.Text()
	case "Types":
		one.types = d.Texts()
	case "ProductArn":
		one.productARN = d.Text()
	case "ProductName":
		one.product = d.Text()
	case "AwsAccountId":
		one.account = d.Text()
	case "Region":
		one.region = d.Text()
	case "RecordState":
		one.record = d.Text()
	case "Severity":
		one.severity(d)
	case "Workflow":
		d.Object(func(key string) {
			if key == "Status" {
				one.status = d.Text()
			}
		})
	case "Note":
		d.Object(func(key string) {
			if key == "Text" {
				one.reason = d.Text()
			}
		})
	case "Compliance":
		d.Object(func(key string) {
			switch key {
			case "Status":
				one.compliance = d.Text()
			case "SecurityControlId":
				one.control = d.Text()
			}
		})
	case "ProductFields":
		d.Object(func(key string) {
			if strings.HasSuffix(key, "/platform") {
				one.platform = cmp.Or(one.platform, d.Text())
			}
		})
	case "Remediation":
		d.Object(func(string) {
			d.Object(func(key string) {
				switch key {
				case "Text":
					one.f.Mitigation = d.Text()
				case "Url":
					one.f.References = append(one.f.References, d.Texts()...)
				}
			})
		})
	case "Resources":
		d.Array(func(int) {
			var r report.AmazonResource
			d.Object(func(key string) { r.Read(d.Scanner, key) })
			one.resources = append(one.resources, r)
		})
	case "Vulnerabilities":
		d.Array(func(int) { one.flaws = append(one.flaws, readFlaw(d)) })
	}
}

func (one *draft) severity(d *report.Document) {
	d.Object(func(key string) {
		switch key {
		case "Label":
			one.label = d.Text()
		case "Normalized":
			one.rated, one.normalized = d.Kind() == report.KindNumber, d.Float()
		case "Product":
			one.native = d.Float()
		}
	})
}

// rate takes the label, which older findings do not have: these have a number up
// to 100, or the product's own up to 10.
func (one *draft) rate() {
	report.Rate(&one.f, one.label)
	number := cmp.Or(one.normalized, 10*one.native)
	switch {
	case one.f.Severity != fact.SeverityUnknown, number <= 0 && !one.rated:
	case number <= 0:
		one.f.Severity = fact.SeverityInfo
	case number >= 90:
		one.f.Severity = fact.SeverityCritical
	case number >= 70:
		one.f.Severity = fact.SeverityHigh
	case number >= 40:
		one.f.Severity = fact.SeverityMedium
	default:
		one.f.Severity = fact.SeverityLow
	}
}

func readFlaw(d *report.Document) flaw {
	var v flaw
	var related []string
	d.Object(func(key string) {
		switch key {
		case "Id":
			v.f.Rule = d.Text()
		case "RelatedVulnerabilities":
			related = d.Texts()
		case "EpssScore":
			v.f.EPSS = d.Float()
		case "FixAvailable":
			report.Attribute(&v.f, "fix_available", report.YesNo(d.Text()))
		case "ExploitAvailable":
			report.Attribute(&v.f, "exploit_available", report.YesNo(d.Text()))
		case "VulnerablePackages":
			d.Array(func(int) {
				var p report.AmazonPackage
				d.Object(func(key string) { p.Read(d.Scanner, key) })
				v.packages = append(v.packages, p)
			})
		case "Cvss":
			d.Array(func(int) { score(d, &v.f) })
		case "ReferenceUrls":
			v.f.References = append(v.f.References, d.Texts()...)
		}
	})
	v.f.Aliases = report.Aliases(v.f.Rule, related...)
	return v
}

// score keeps the worst of several scores, with its own vector.
func score(d *report.Document, f *fact.Finding) {
	score, vector := 0.0, ""
	d.Object(func(key string) {
		switch key {
		case "BaseScore":
			score = d.Float()
		case "BaseVector":
			vector = d.Text()
		}
	})
	if score > f.Score {
		f.Score, f.Vector = score, vector
	}
}

// give gives one finding for each resource, and of vulnerabilities one for each
// flaw and package.
func (one *draft) give(d *report.Document, at fact.Position) {
	if one.id == "" && one.f.Title == "" && one.generator == "" {
		d.Expect("a finding with an Id, a Title or a GeneratorId")
		return
	}
	if strings.EqualFold(one.record, "ARCHIVED") {
		return
	}
	d.As(one.detector(), one.target())
	switch {
	case strings.EqualFold(one.compliance, "PASSED"):
		for _, r := range one.resources {
			d.Looked(r.Asset(one.account))
		}
		return
	case strings.EqualFold(one.compliance, "NOT_AVAILABLE"), strings.EqualFold(one.compliance, "WARNING"):
		d.Run.Complete = false
		return
	}
	one.rate()
	f := one.f
	f.Position = at
	one.judge(&f)
	report.Attribute(&f, "id", one.id)
	report.Attribute(&f, "product", one.product)
	report.Attribute(&f, "account", one.account)
	if len(one.resources) == 0 {
		one.resources = []report.AmazonResource{{ID: "AWS::::Account:" + one.account}}
	}
	for _, r := range one.resources {
		own := f
		own.Asset = r.Asset(one.account)
		report.WithAttributes(&own, r.Attributes())
		if len(one.flaws) == 0 {
			d.Give(own)
			continue
		}
		for _, v := range one.flaws {
			v.give(d, own, cmp.Or(r.Platform, one.platform))
		}
	}
}

// detector is the product that found it.
func (one *draft) detector() string {
	name := one.product
	if name == "" {
		name = one.productARN[strings.LastIndexByte(one.productARN, '/')+1:]
	}
	if name = strings.ToLower(name); name == "" || name == "security hub" || name == "securityhub" {
		return tool
	}
	return tool + "/" + name
}

// target is the account and region that was looked at.
func (one *draft) target() string {
	region := one.region
	if region == "" && len(one.resources) > 0 {
		region = one.resources[0].Region
	}
	return "aws/" + one.account + "/" + region
}

// judge sets kind, rule and analysis.
func (one *draft) judge(f *fact.Finding) {
	f.Kind = fact.Misconfiguration
	for _, kind := range one.types {
		for _, part := range []string{"TTPs", "Effects", "Unusual", "Network Reachability"} {
			if strings.Contains(kind, part) {
				f.Kind = fact.Exposure
			}
		}
		if strings.Contains(kind, "Vulnerabilities/CVE") {
			f.Kind = fact.Vulnerability
		}
	}
	f.Rule = cmp.Or(one.control, one.generator)
	product := strings.HasPrefix(one.generator, "arn:") || strings.HasPrefix(one.generator, "AWS") || strings.HasPrefix(one.generator, "aws/")
	switch {
	case one.control != "":
	case strings.Contains(one.generator, ":config-rule/"):
		f.Rule = cmp.Or(one.f.Title, one.generator) // which names the rule; its ARN is that of one account
	case product && len(one.types) > 0:
		// A detector or a whole product generated it, no rule.
		f.Rule, f.Anchor = one.types[0], one.f.Title
	}
	switch strings.ToUpper(one.status) {
	case "SUPPRESSED":
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: cmp.Or(one.reason, "suppressed in Security Hub"), Source: tool}
	case "RESOLVED":
		f.Analysis = fact.Analysis{State: fact.AnalysisResolved, Detail: cmp.Or(one.reason, "resolved in Security Hub"), Source: tool}
	}
}

func (v *flaw) give(d *report.Document, f fact.Finding, platform string) {
	f.Kind, f.Anchor = fact.Vulnerability, ""
	f.Rule = cmp.Or(v.f.Rule, f.Rule)
	f.Aliases, f.Score, f.Vector, f.EPSS = v.f.Aliases, v.f.Score, v.f.Vector, v.f.EPSS
	f.References = slices.Concat(v.f.References, f.References)
	report.WithAttributes(&f, v.f.Attributes)
	if len(v.packages) == 0 {
		d.Give(f)
	}
	for _, p := range v.packages {
		own := f
		p.Fill(&own, platform)
		d.Give(own)
	}
}
