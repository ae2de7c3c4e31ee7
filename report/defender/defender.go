// Package defender reads what Microsoft Defender exports: recommendations of Defender
// for Cloud and vulnerabilities of Defender for Endpoint.
package defender

import (
	"cmp"
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
		ID: "report/defender", Name: "Microsoft Defender", Formats: "CSV of Defender for Cloud's recommendations, JSON of Defender for Endpoint's vulnerabilities",
		Docs: "Download the recommendations of Defender for Cloud as CSV, or ask Defender for Endpoint for `/api/vulnerabilities/machinesVulnerabilities`. One finding an unhealthy resource and recommendation, by the id of the resource; healthy ones are no findings, they say that the resource was looked at. " +
			"One finding a vulnerability of a machine and product. An answer of the API may be one page of several and is not complete. Recommendations that do not apply are left out.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("value[].cveId", "value[].machineId"), report.HasColumns(head, "recommendationId", "recommendationDisplayName", "resourceId", "state"):
		return 95
	case strings.Contains(o.Texts["@odata.context"], ".securitycenter.") && o.Keys["value"] == report.KindArray:
		return 60
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	json, in := report.IsJSON(in)
	if !json {
		need := []string{"recommendationName", "resourceId", "state"}
		return report.Rows(ctx, in, sink, fact.Run{Tool: "defender for cloud", Format: "defender", Complete: true}, need, recommendation)
	}
	return report.Findings(ctx, in, sink, fact.Run{Tool: "defender for endpoint", Format: "defender"}, func(d *report.Document) {
		d.Object(func(key string) {
			if key == "value" {
				d.Array(func(int) { d.Item(func(f *fact.Finding) { vulnerability(d, f) }) })
			}
		})
	})
}

// recommendation reads a row of the recommendations.
func recommendation(r *report.Row) error {
	f := fact.Finding{
		Kind: fact.Misconfiguration, Rule: r.Text("recommendationName"), Title: r.Text("recommendationDisplayName"),
		Description: r.Text("description"), Mitigation: r.Text("remediationSteps"),
		Asset: report.CloudAsset(r.Text("resourceId"), r.Text("resourceName")),
	}
	r.As("defender for cloud", "azure/"+r.Text("subscriptionId"))
	switch state := r.Text("state"); {
	case strings.EqualFold(state, "Healthy"):
		r.Looked(f.Asset)
		return nil
	case strings.EqualFold(state, "NotApplicable"):
		return nil
	case !strings.EqualFold(state, "Unhealthy"):
		r.Expect("state", "Healthy, Unhealthy or NotApplicable")
		return nil
	}
	report.Rate(&f, r.Text("severity"))
	for name, column := range map[string]string{"id": "recommendationId", "account": "subscriptionId", "account_name": "subscriptionName", "resource_group": "resourceGroup", "resource_type": "resourceType"} {
		report.Attribute(&f, name, r.Text(column))
	}
	if link := r.Text("azurePortalRecommendationLink"); link != "" {
		f.References = []string{link}
	}
	return r.Finding(f)
}

// vulnerability reads a vulnerability of a product on a machine.
func vulnerability(d *report.Document, f *fact.Finding) {
	machine, product, vendor, version := "", "", "", ""
	d.Object(func(key string) {
		switch key {
		case "id":
			report.Attribute(f, "id", d.Text())
		case "cveId":
			f.Rule = d.Text()
		case "machineId":
			machine = d.Text()
		case "productName":
			product = d.Text()
		case "productVendor":
			vendor = d.Text()
		case "productVersion":
			version = d.Text()
		case "severity":
			report.Rate(f, d.Text())
		case "fixingKbId":
			if update := d.Text(); update != "" {
				f.Mitigation = "Install the update KB" + strings.TrimPrefix(update, "KB")
				report.Attribute(f, "fix_available", "true")
			}
		}
	})
	if f.Rule == "" || machine == "" {
		if d.Err() == nil {
			d.Expect("a vulnerability with its cveId and machineId")
		}
		return
	}
	f.Kind = fact.Vulnerability
	f.Title = f.Rule + " in " + cmp.Or(product, "a product without a name")
	f.Package = fact.Package{Name: product, Version: version}
	f.Asset = fact.Asset{Kind: fact.AssetHost, Key: machine, Name: machine}
	report.Attribute(f, "vendor", vendor)
}
