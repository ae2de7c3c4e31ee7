// Package wazuh reads the vulnerabilities that Wazuh finds on its agents.
package wazuh

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
		ID: "report/wazuh", Name: "Wazuh", Formats: "JSON of the API (4.7 and older) and of the indexer (4.8 and newer)",
		Docs: "Take the answer of `GET /vulnerability/AGENT`, or of a search in `wazuh-states-vulnerabilities-*`. One finding a vulnerability and package of a host, with its distribution where the indexer tells it. " +
			"The older API does not name the agent in its answer, so that its findings have no host. One answer is a page, so that none proves that something is gone.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("data.affected_items", "data.total_affected_items"):
		return 90
	case o.Has("hits.hits") && strings.Contains(string(head), "wazuh-states-vulnerabilities"):
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "wazuh", Format: "wazuh"}, func(d *report.Document) {
		d.Object(func(key string) {
			switch key {
			case "data":
				d.Object(func(key string) {
					if key == "affected_items" {
						d.Array(func(int) { d.Item(func(f *fact.Finding) { older(d, f) }) })
					}
				})
			case "hits":
				d.Object(func(key string) {
					if key == "hits" {
						d.Array(func(int) { d.Item(func(f *fact.Finding) { hit(d, f) }) })
					}
				})
			}
		})
	})
}

// older reads an item of the API.
func older(d *report.Document, f *fact.Finding) {
	name, version, status := "", "", ""
	var score2, score3 float64
	d.Object(func(key string) {
		switch key {
		case "cve":
			f.Rule = d.Text()
		case "name":
			name = d.Text()
		case "version":
			version = d.Text()
		case "severity":
			report.Rate(f, d.Text())
		case "cvss2_score":
			score2 = max(0, d.Float())
		case "cvss3_score":
			score3 = max(0, d.Float())
		case "status":
			status = d.Text()
		case "external_references":
			f.References = d.Texts()
		case "condition", "type", "architecture":
			report.Attribute(f, key, d.Text())
		case "agent_ip":
			f.Asset = report.HostAsset(d.Text())
		}
	})
	if f.Score = score3; score3 == 0 {
		f.Score = score2
	}
	f.Package = fact.Package{Name: name, Version: version}
	complete(f, status)
}

// complete makes what was read a vulnerability.
func complete(f *fact.Finding, status string) {
	if f.Rule == "" || f.Package.Name == "" {
		return
	}
	f.Kind = fact.Vulnerability
	f.Title = f.Rule + " in " + f.Package.Name + ":" + f.Package.Version
	if f.Asset.Kind == "" {
		f.Asset = fact.Asset{Kind: fact.AssetUnknown}
	}
	report.Attribute(f, "status", status)
}

// hit reads a document of the indexer.
func hit(d *report.Document, f *fact.Finding) {
	var name, version, kind, system string
	d.Object(func(key string) {
		if key != "_source" {
			return
		}
		d.Object(func(key string) {
			switch key {
			case "agent":
				d.Object(func(key string) {
					switch key {
					case "name":
						f.Asset = report.HostAsset(d.Text())
					case "id":
						report.Attribute(f, "agent", d.Text())
					}
				})
			case "host":
				d.Object(func(key string) {
					if key == "os" {
						system = readSystem(d)
					}
				})
			case "package":
				d.Object(func(key string) {
					switch key {
					case "name":
						name = d.Text()
					case "version":
						version = d.Text()
					case "type":
						kind = d.Text()
					case "path":
						f.Path = d.Text()
					}
				})
			case "vulnerability":
				readFlaw(d, f)
			}
		})
	})
	ecosystem := report.PackageType(kind)
	if kind == "deb" || kind == "rpm" || kind == "apk" {
		ecosystem = report.DistributionNamed(system)
	}
	f.Package = report.Named(ecosystem, name, version)
	complete(f, "")
}

func readSystem(d *report.Document) string {
	name, version := "", ""
	d.Object(func(key string) {
		switch key {
		case "name":
			name = d.Text()
		case "version":
			version = d.Text()
		}
	})
	return name + " " + version
}

func readFlaw(d *report.Document, f *fact.Finding) {
	d.Object(func(key string) {
		switch key {
		case "id":
			f.Rule = d.Text()
		case "severity":
			report.Rate(f, d.Text())
		case "description":
			f.Description = d.Text()
		case "reference":
			for _, url := range strings.Split(d.Text(), ",") {
				if url = strings.TrimSpace(url); url != "" {
					f.References = append(f.References, url)
				}
			}
		case "score":
			d.Object(func(key string) {
				if key == "base" {
					f.Score = max(0, d.Float())
				}
			})
		case "under_evaluation":
			report.Attribute(f, key, d.Text())
		}
	})
}
