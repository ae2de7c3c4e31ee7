// Package kics reads the JSON reports of KICS.
package kics

import (
	"context"
	"io"
	"regexp"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/kics", Name: "KICS", Formats: "JSON",
		Docs: "Produce it with `kics scan -p DIR --report-formats json -o OUT`. One finding for each place that a query found, with the address of the Terraform resource and the field. " +
			"Findings of the category Secret Management without a resource are secrets; found values are never kept. Files and queries that failed make the report incomplete. The bill of materials is left out.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("kics_version"), o.Has("files_scanned", "queries_total"):
		return 95
	case o.Has("queries[].query_id", "queries[].files"), o.Has("queries_total", "severity_counters"):
		return 90
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "kics", Format: "kics", Complete: true}, func(d *report.Document) {
		d.Object(func(key string) {
			switch key {
			case "kics_version":
				d.Run.ToolVersion = d.Text()
			case "files_failed_to_scan", "queries_failed_to_execute":
				if d.Int() > 0 {
					d.Run.Complete = false
				}
			case "queries":
				d.Array(func(int) { query(d) })
			}
		})
	})
}

// query reads a query; what it says of itself may stand after the places.
func query(d *report.Document) {
	var held report.Spool
	defer held.Close()
	all, category, platform := fact.Finding{Kind: fact.Misconfiguration, Asset: fact.Asset{Kind: fact.AssetRepository}}, "", ""
	d.Object(func(key string) {
		switch key {
		case "query_id":
			all.Rule = d.Text()
		case "query_name":
			all.Title = d.Text()
		case "query_url":
			all.References = append(all.References, d.Texts()...)
		case "description":
			all.Description = d.Text()
		case "severity":
			report.Rate(&all, d.Text())
		case "cwe":
			if cwe := d.Text(); cwe != "" {
				all.CWE = report.CWEs("CWE-" + strings.TrimPrefix(cwe, "CWE-"))
			}
		case "category":
			category = d.Text()
		case "platform":
			platform = d.Text()
		case "files":
			d.Array(func(int) { d.Fail(held.Add(place(d))) })
		}
	})
	if d.Err() != nil {
		return // what the places are about is not known
	}
	if strings.EqualFold(all.SeverityText, "TRACE") {
		all.Severity = fact.SeverityInfo
	}
	report.Attribute(&all, "category", category)
	report.Attribute(&all, "platform", platform)
	secret := strings.EqualFold(category, "Secret Management")
	d.Fail(held.Replay(func(f fact.Finding) error {
		own := all
		if secret && f.Attributes["address"] == "" {
			f.Anchor = report.SecretAnchor("", f.Anchor) // a line of code may stand there
		}
		if secret && f.Attributes["resource_type"] == "" && !strings.EqualFold(platform, "Terraform") {
			own.Kind = fact.Secret
		}
		own.Path, own.Line, own.EndLine, own.Anchor, own.Position, own.Mitigation = f.Path, f.Line, f.EndLine, f.Anchor, f.Position, f.Mitigation
		report.WithAttributes(&own, f.Attributes)
		return d.Emitter.Give(own)
	}))
}

// terraformKey is where KICS found something in Terraform: type[label].field.
var terraformKey = regexp.MustCompile(`^([a-z][a-z0-9_]*)\[([^\]]+)\](?:\.(.*))?$`)

func place(d *report.Document) fact.Finding {
	var f fact.Finding
	at, expected, search, remediation := d.Place(), "", "", ""
	d.Object(func(key string) {
		switch key {
		case "file_name":
			f.Path = d.Text()
		case "line":
			f.Line = d.Int()
		case "search_key":
			search = d.Text()
		case "expected_value":
			expected = d.Text()
		case "remediation":
			remediation = d.Text()
		case "resource_type", "resource_name", "issue_type", "similarity_id":
			report.Attribute(&f, key, d.Text())
		}
	})
	f.Position = at()
	f.Mitigation = strings.TrimSpace(expected + "\n" + remediation)
	f.Line = max(f.Line, 0)
	f.EndLine = f.Line
	if m := terraformKey.FindStringSubmatch(search); m != nil {
		f.Anchor = m[1] + "." + m[2]
		report.Attribute(&f, "address", f.Anchor)
		report.Attribute(&f, "field", m[3])
	} else {
		f.Anchor = search
	}
	return f
}
