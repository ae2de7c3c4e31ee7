// Package policyreport reads the policy reports that Kyverno and others keep in a
// cluster, in the groups of the policy working group and of OpenReports.
package policyreport

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
		ID: "report/policyreport", Name: "Policy reports (Kyverno, OpenReports)", Formats: "JSON of PolicyReport, ClusterPolicyReport, Report and ClusterReport, alone or as lists",
		Docs: "Produce it with `kubectl get policyreports,clusterpolicyreports -A -o json`. One finding a result that failed, warned or could not be judged, at the object that it is about; each source is a detector. " +
			"Results that name an advisory and a package are vulnerabilities. Reports come and go with their objects, so that none proves that something is gone.",
	}
}

func known(group string) bool {
	return strings.HasPrefix(group, "wgpolicyk8s.io/") || strings.HasPrefix(group, "openreports.io/")
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	if known(o.Texts["apiVersion"]) || known(o.Texts["items[].apiVersion"]) {
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "policyreport", Format: "policyreport"}, func(d *report.Document) {
		read(d, func() { d.Array(func(int) { read(d, d.Skip) }) })
	})
}

// object names one of a cluster.
type object struct{ group, kind, namespace, name string }

func (o *object) read(d *report.Document) {
	d.Object(func(key string) {
		switch key {
		case "apiVersion":
			o.group = d.Text()
		case "kind":
			o.kind = d.Text()
		case "namespace":
			o.namespace = d.Text()
		case "name":
			o.name = d.Text()
		}
	})
}

// asset is the object, in the namespace of its report where it names none.
func (o object) asset(namespace string) fact.Asset {
	if o.kind == "" || o.name == "" {
		return fact.Asset{Kind: fact.AssetUnknown}
	}
	return report.KubernetesAsset("", cmp.Or(o.namespace, namespace), o.group, o.kind, o.name)
}

// read reads a report; items is called where it is a list of them.
func read(d *report.Document, items func()) {
	var scope object
	namespace := ""
	d.Early(func() {
		d.Object(func(key string) {
			switch key {
			case "items":
				items()
			case "scope":
				scope.read(d)
			case "metadata":
				d.Object(func(key string) {
					if key == "namespace" {
						namespace = d.Text()
					}
				})
			case "results":
				d.Array(func(int) { result(d) })
			}
		})
	}, func(f *fact.Finding) {
		if f.Asset.Kind == "" {
			f.Asset = scope.asset(namespace)
		}
		d.As(cmp.Or(f.Attributes["source"], d.All().Tool), "")
	})
}

// maxObjects bounds the objects of one result, of each of which a finding is made.
const maxObjects = 5000

func result(d *report.Document) {
	place := d.Place()
	var f fact.Finding
	var objects []object
	policy, rule, verdict, name, version := "", "", "", "", ""
	texts := map[string]string{}
	d.Object(func(key string) {
		switch key {
		case "policy":
			policy = d.Text()
		case "rule":
			rule = d.Text()
		case "message", "description": // of OpenReports
			texts[key] = d.Text()
		case "result":
			verdict = d.Text()
		case "severity":
			report.Rate(&f, d.Text())
		case "source", "category":
			report.Attribute(&f, key, d.Text())
		case "resources", "subjects":
			d.Array(func(int) {
				var one object
				one.read(d)
				if len(objects) < maxObjects {
					objects = append(objects, one)
				}
			})
		case "properties":
			d.Object(func(key string) {
				switch key {
				case "pkgName":
					name = d.Text()
				case "installedVersion":
					version = d.Text()
				case "fixedVersion":
					f.FixedVersions = report.Versions(d.Text())
				case "primaryURL":
					if url := d.Text(); url != "" {
						f.References = []string{url}
					}
				}
			})
		}
	})
	if policy == "" || verdict != "fail" && verdict != "warn" && verdict != "error" {
		return
	}
	f.Description = cmp.Or(texts["message"], texts["description"])
	f.Kind, f.Rule, f.Title = fact.Misconfiguration, policy, f.Description
	if rule != "" {
		f.Rule += "/" + rule
	}
	if name != "" && report.AdvisoryID(policy) == policy {
		f.Kind, f.Rule, f.Package = fact.Vulnerability, policy, fact.Package{Name: name, Version: version}
		f.Title = policy + " in " + name + ":" + version
	}
	if verdict == "error" {
		f.Analysis = fact.Analysis{State: fact.AnalysisInTriage, Detail: "the policy could not be judged", Source: f.Attributes["source"]}
	}
	report.Attribute(&f, "result", verdict)
	f.Position = place()
	if len(objects) == 0 {
		d.Give(f)
	}
	for _, one := range objects {
		f.Asset = one.asset("")
		report.WithAttributes(&f, nil)
		d.Give(f)
	}
}
