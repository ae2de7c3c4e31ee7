// Package legitify reads the JSON reports of Legitify, which looks at how organizations
// and repositories of forges are set up.
package legitify

import (
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
		ID: "report/legitify", Name: "Legitify", Formats: "JSON (flattened)",
		Docs: "Produce it with `legitify analyze --output-format json --output-scheme flattened`. One finding a policy and repository, organization, member or runner group that failed it, by its link. " +
			"What passed was looked at; policies that were skipped, for want of permission, make the report incomplete.",
	}
}

func (reader) Detect(head []byte) int {
	if o := report.OutlineOf(head); o.Texts["type"] == "flattened" && o.Keys["content"] == report.KindObject {
		for key := range o.Keys {
			if strings.HasPrefix(key, "content.data.") {
				return 95
			}
		}
		return 60 // nothing was looked at
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "legitify", Format: "legitify"}, func(d *report.Document) {
		d.Object(func(key string) {
			if key != "content" {
				return
			}
			some, skipped := false, false
			d.Object(func(string) {
				some = true
				skipped = policy(d) || skipped
			})
			d.Run.Complete = some && !skipped
		})
	})
}

// policy reads the results of one policy and says whether any was skipped.
func policy(d *report.Document) (skipped bool) {
	var of fact.Finding
	d.Early(func() {
		d.Object(func(key string) {
			switch key {
			case "policyInfo":
				info(d, &of)
			case "violations":
				d.Array(func(int) {
					d.Item(func(f *fact.Finding) {
						status, asset := result(d, f)
						switch status {
						case "FAILED":
							f.Kind, f.Asset = fact.Misconfiguration, asset
						case "SKIPPED":
							skipped = true
						default:
							d.Looked(asset)
						}
					})
				})
			}
		})
	}, func(f *fact.Finding) {
		f.Rule, f.Title, f.Description, f.Mitigation = of.Rule, of.Title, of.Description, of.Mitigation
		f.Severity, f.SeverityText = of.Severity, of.SeverityText
		report.WithAttributes(f, of.Attributes)
	})
	return skipped
}

func info(d *report.Document, of *fact.Finding) {
	d.Object(func(key string) {
		switch key {
		case "policyName":
			of.Rule = d.Text()
		case "title":
			of.Title = d.Text()
		case "description":
			of.Description = d.Text()
		case "severity":
			report.Rate(of, d.Text())
		case "remediationSteps":
			of.Mitigation = strings.Join(d.Texts(), "\n")
		case "namespace", "fullyQualifiedPolicyName":
			report.Attribute(of, key, d.Text())
		}
	})
}

// result reads what came of a policy for one thing of a forge.
func result(d *report.Document, f *fact.Finding) (status string, asset fact.Asset) {
	kind, link, name := "", "", ""
	d.Object(func(key string) {
		switch key {
		case "violationEntityType":
			kind = d.Text()
		case "canonicalLink":
			link = d.Text()
		case "status":
			status = d.Text()
		case "aux":
			d.Object(func(key string) {
				if key == "entityName" {
					name = d.Text()
				}
			})
		}
	})
	report.Attribute(f, "entity", kind)
	if link == "" {
		return status, fact.Asset{Kind: fact.AssetUnknown}
	}
	if kind == "repository" {
		_, rest, _ := strings.Cut(link, "://")
		host, path, _ := strings.Cut(strings.TrimSuffix(rest, "/"), "/")
		return status, fact.Asset{Kind: fact.AssetRepository, Key: strings.ToLower(host) + "/" + path, Name: name}
	}
	return status, fact.Asset{Kind: fact.AssetResource, Key: link, Name: name}
}
