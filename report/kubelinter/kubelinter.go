// Package kubelinter reads the JSON reports of KubeLinter, which checks manifests and
// charts of Kubernetes.
package kubelinter

import (
	"cmp"
	"context"
	"io"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/kubelinter", Name: "KubeLinter", Formats: "JSON",
		Docs: "Produce it with `kube-linter lint DIR --format json`. One misconfiguration a check and object, with the file of its manifest; " +
			"KubeLinter gives neither lines nor severities. The object is the anchor of the finding, and its path the manifest's.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("Reports[].Diagnostic"), o.Has("Checks", "Reports"), o.Has("Summary.KubeLinterVersion"):
		return 95
	case o.Has("Checks[].template", "Checks[].remediation"):
		return 90 // the list of checks is long
	}
	return 0
}

const maxChecks = 10_000

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "kube-linter", Format: "kubelinter", Complete: true}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		var held report.Spool // the checks may come after what they found
		defer held.Close()
		descriptions := map[string]string{}
		d.Object(func(key string) {
			switch key {
			case "Checks":
				d.Array(func(int) {
					if name, text := check(d.Scanner); len(descriptions) < maxChecks {
						descriptions[name] = text
					}
				})
			case "Reports":
				d.Array(func(int) {
					place := d.Place()
					f := diagnostic(d.Scanner)
					f.Position = place()
					d.Fail(held.Add(f))
				})
			case "Summary":
				d.Object(func(key string) {
					switch key {
					case "KubeLinterVersion":
						d.Run.ToolVersion = d.Text()
					case "CheckEndTime":
						d.Run.Started = report.Micros(d.Text())
					}
				})
			}
		})
		d.Fail(held.Replay(func(f fact.Finding) error {
			f.Description = descriptions[f.Rule]
			d.Give(f)
			return nil
		}))
	})
}

func check(s *report.Scanner) (name, description string) {
	s.Object(func(key string) {
		switch key {
		case "name":
			name = s.Text()
		case "description":
			description = s.Text()
		}
	})
	return name, description
}

func diagnostic(s *report.Scanner) fact.Finding {
	f := fact.Finding{Kind: fact.Misconfiguration, Asset: fact.Asset{Kind: fact.AssetRepository}}
	namespace, name, group, kind := "", "", "", ""
	s.Object(func(key string) {
		switch key {
		case "Check":
			f.Rule = s.Text()
		case "Remediation":
			f.Mitigation = s.Text()
		case "Diagnostic":
			s.Object(func(key string) {
				if key == "Message" {
					f.Title = s.Text()
				}
			})
		case "Object":
			s.Object(func(key string) {
				switch key {
				case "Metadata":
					s.Object(func(key string) {
						if key == "FilePath" {
							f.Path = s.Text()
						}
					})
				case "K8sObject":
					s.Object(func(key string) {
						switch key {
						case "Namespace":
							namespace = s.Text()
						case "Name":
							name = s.Text()
						case "GroupVersionKind":
							s.Object(func(key string) {
								switch key {
								case "Group":
									group = s.Text()
								case "Kind":
									kind = s.Text()
								}
							})
						}
					})
				}
			})
		}
	})
	if name != "" {
		f.Anchor = report.KubernetesAsset("", namespace, group, kind, name).Key
		report.Attribute(&f, "object", cmp.Or(kind, "object")+"/"+name)
	}
	return f
}
