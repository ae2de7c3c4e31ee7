// Package orca reads the alerts that Orca Security exports.
package orca

import (
	"cmp"
	"context"
	"encoding/json"
	"io"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "orca"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/orca", Name: "Orca Security", Formats: "JSON and CSV of alerts",
		Docs: "Export the alerts of the console as JSON or CSV. One finding an alert of an asset in a cloud account, with the severity of its score. Alerts that were closed are resolved, those that were dismissed or snoozed accepted risks. " +
			"The export names accounts and assets only by their names, and holds what its filter lets through, so that it never proves that something is gone.",
	}
}

var needed = []string{"OrcaScore", "Title", "Category", "Inventory.Name", "CloudAccount.Name", "Status"}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("OrcaScore", "Title", "CloudAccount"):
		return 95
	case o.Kind == report.KindEnd && report.HasColumns(head, needed...):
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: tool, Format: "orca"}
	isJSON, in := report.IsJSON(in)
	if !isJSON {
		return report.Rows(ctx, in, sink, run, needed, func(r *report.Row) error {
			a := alert{
				title: r.Text("Title"), category: r.Text("Category"), status: r.Text("Status"), score: r.Text("OrcaScore"), source: r.Text("Source"),
				account: r.Text("CloudAccount.Name"), asset: r.Text("Inventory.Name"), labels: labels(r.Text("Labels")),
			}
			f := a.finding()
			if f.Kind == "" {
				return nil
			}
			return r.Finding(f)
		})
	}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		d.Each(func(int) {
			d.Item(func(f *fact.Finding) { *f = read(d) })
		})
	})
}

// labels reads the list that a cell holds as JSON; nil for any other text.
func labels(cell string) (list []string) {
	if json.Unmarshal([]byte(cell), &list) != nil {
		return nil
	}
	return list
}

// alert is one in the words of an export.
type alert struct {
	title, category, status, score, source, account, asset string
	labels                                                 []string
}

func read(d *report.Document) fact.Finding {
	var a alert
	d.Object(func(key string) {
		switch key {
		case "Title":
			a.title = d.Text()
		case "Category":
			a.category = d.Text()
		case "Status":
			a.status = d.Text()
		case "OrcaScore":
			a.score = d.Text()
		case "Source":
			a.source = d.Text()
		case "Labels":
			a.labels = d.Texts()
		case "CloudAccount":
			a.account = name(d)
		case "Inventory":
			a.asset = name(d)
		}
	})
	return a.finding()
}

func name(d *report.Document) (name string) {
	d.Object(func(key string) {
		if key == "Name" {
			name = d.Text()
		}
	})
	return name
}

// finding gives the alert as a finding, without a kind when it is none.
func (a *alert) finding() fact.Finding {
	if a.title == "" {
		return fact.Finding{}
	}
	f := fact.Finding{Kind: fact.Misconfiguration, Rule: a.title, Title: a.title, SeverityText: a.score, Asset: fact.Asset{Kind: fact.AssetUnknown}}
	switch category := strings.ToLower(a.category); {
	case strings.Contains(category, "vulnerabilit"):
		f.Kind = fact.Vulnerability
	case strings.Contains(category, "exposure"):
		f.Kind = fact.Exposure
	}
	f.Severity = severity(a.score)
	if asset := cmp.Or(a.asset, a.source); asset != "" {
		f.Asset = fact.Asset{Kind: fact.AssetResource, Key: strings.TrimPrefix(a.account+"/"+asset, "/"), Name: asset}
	}
	switch strings.ToLower(a.status) {
	case "closed":
		f.Analysis = fact.Analysis{State: fact.AnalysisResolved, Source: tool}
	case "dismissed", "snoozed":
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: a.status, Source: tool}
	}
	for name, value := range map[string]string{"category": a.category, "status": a.status, "account": a.account, "source": a.source, "labels": strings.Join(a.labels, ", ")} {
		report.Attribute(&f, name, value)
	}
	return f
}

// severity is that of a score from 0 to 10, in the bands that CVSS has.
func severity(score string) fact.Severity {
	n, err := strconv.ParseFloat(score, 64)
	switch {
	case err != nil || n < 0 || n > 10:
		return fact.SeverityUnknown
	case n >= 9:
		return fact.SeverityCritical
	case n >= 7:
		return fact.SeverityHigh
	case n >= 4:
		return fact.SeverityMedium
	case n > 0:
		return fact.SeverityLow
	}
	return fact.SeverityInfo
}
