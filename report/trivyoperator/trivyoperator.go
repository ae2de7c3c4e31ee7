// Package trivyoperator reads the reports that Trivy Operator keeps in a cluster as
// custom resources.
package trivyoperator

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const (
	tool  = "trivy operator"
	group = "aquasecurity.github.io"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/trivyoperator", Name: "Trivy Operator", Formats: "JSON: one report, a list of kubectl, or lists by resource name",
		Docs: "Produce it with `kubectl get vulnerabilityreports,configauditreports,exposedsecretreports,rbacassessmentreports -A -o json`. Vulnerabilities and secrets belong to the image, by its digest where the report names one; " +
			"failed checks belong to the object of the cluster. Passed checks are no findings. Each kind of report is a detector of its own, and what it no longer sees in a namespace is taken as such only from a list. Inventories (SbomReport) and the counts of compliance summaries are left out; secrets themselves are never kept.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	ours := func(key string) bool { return strings.HasPrefix(o.Texts[key], group+"/") }
	switch {
	case ours("apiVersion"), ours("items[].apiVersion"):
		return 95
	}
	for key := range o.Keys {
		if strings.HasSuffix(key, "reports."+group) {
			return 95
		}
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: tool, Format: "trivyoperator", Complete: true}, func(d *report.Document) {
		if d.Kind() == report.KindArray {
			d.Array(func(int) { resource(d) })
			return
		}
		one := &draft{}
		d.Object(func(key string) {
			switch {
			case key == "items", strings.HasSuffix(key, "reports."+group):
				d.Array(func(int) { resource(d) })
			case key == "metadata": // of a list or of a report
				d.Object(func(key string) {
					if key == "continue" && d.Text() != "" {
						d.All().Complete = false // one page of several
						return
					}
					one.metadata(d, key)
				})
			default:
				one.field(d, key)
			}
		})
		if one.kind != "" && !strings.HasSuffix(one.kind, "List") {
			d.All().Complete = false // one report, of many that a namespace has
		}
		one.give(d)
	})
}

func resource(d *report.Document) {
	one := &draft{}
	d.Object(func(key string) {
		if key == "metadata" {
			d.Object(func(key string) { one.metadata(d, key) })
			return
		}
		one.field(d, key)
	})
	one.give(d)
}

// draft is a report as it is read: what it is about may stand after its findings.
type draft struct {
	kind, version               string
	namespace, ownerAPI         string
	objectKind, object, space   string
	ownerKind, owner, container string
	registry, repository        string
	tag, digest                 string
	family, release             string
	findings                    []found
}

// maxFindings bounds the findings of one report, which a cluster keeps in 1.5 MB.
const maxFindings = 100_000

// add keeps a finding until it is known what it is about.
func (one *draft) add(d *report.Document, v found) {
	if one.findings = append(one.findings, v); len(one.findings) > maxFindings {
		d.Expect(fmt.Sprintf("at most %d findings in one report", maxFindings))
	}
}

// found is a finding with what its package is called.
type found struct {
	fact.Finding
	name, version, purl, class, kind string
}

func (one *draft) metadata(d *report.Document, key string) {
	switch key {
	case "namespace":
		one.namespace = d.Text()
	case "labels", "annotations":
		d.Object(func(key string) {
			switch key {
			case "trivy-operator.resource.kind":
				one.objectKind = d.Text()
			case "trivy-operator.resource.name":
				one.object = d.Text()
			case "trivy-operator.resource.namespace":
				one.space = d.Text()
			case "trivy-operator.container.name":
				one.container = d.Text()
			}
		})
	case "ownerReferences":
		d.Array(func(i int) {
			if i > 0 {
				return
			}
			d.Object(func(key string) {
				switch key {
				case "apiVersion":
					one.ownerAPI = d.Text()
				case "kind":
					one.ownerKind = d.Text()
				case "name":
					one.owner = d.Text()
				}
			})
		})
	}
}

func (one *draft) field(d *report.Document, key string) {
	switch key {
	case "kind":
		one.kind = d.Text()
	case "report":
		d.Object(func(key string) { one.report(d, key) })
	case "status":
		d.Object(func(key string) {
			if key == "detailReport" {
				d.Object(func(key string) {
					if key == "results" {
						d.Array(func(int) { one.control(d) })
					}
				})
			}
		})
	}
}

func (one *draft) report(d *report.Document, key string) {
	switch key {
	case "scanner":
		d.Object(func(key string) {
			if key == "version" {
				one.version = d.Text()
			}
		})
	case "registry":
		d.Object(func(key string) {
			if key == "server" {
				one.registry = d.Text()
			}
		})
	case "artifact":
		d.Object(func(key string) {
			switch key {
			case "repository":
				one.repository = d.Text()
			case "tag":
				one.tag = d.Text()
			case "digest":
				one.digest = d.Text()
			}
		})
	case "os":
		d.Object(func(key string) {
			switch key {
			case "family":
				one.family = d.Text()
			case "name":
				one.release = d.Text()
			}
		})
	case "vulnerabilities":
		d.Array(func(int) { one.vulnerability(d) })
	case "secrets":
		d.Array(func(int) { one.secret(d) })
	case "checks":
		d.Array(func(int) { one.check(d, "") })
	}
}

// control reads a control of a compliance report, whose severity holds for checks
// without one.
func (one *draft) control(d *report.Document) {
	id, severity, from := "", "", len(one.findings)
	d.Object(func(key string) {
		switch key {
		case "id":
			id = d.Text()
		case "severity":
			severity = d.Text()
		case "checks":
			d.Array(func(int) { one.check(d, id) })
		}
	})
	for i := from; i < len(one.findings); i++ {
		if f := &one.findings[i].Finding; f.SeverityText == "" {
			report.Rate(f, severity)
		}
	}
}

func (one *draft) check(d *report.Document, control string) {
	success, target := false, ""
	f := fact.Finding{Kind: fact.Misconfiguration}
	place := d.Place()
	d.Object(func(key string) {
		switch key {
		case "checkID":
			f.Rule = d.Text()
		case "title":
			f.Title = d.Text()
		case "description":
			f.Description = d.Text()
		case "messages":
			f.Description = strings.TrimSpace(f.Description + "\n\n" + strings.Join(d.Texts(), "\n"))
		case "remediation":
			f.Mitigation = d.Text()
		case "severity":
			report.Rate(&f, d.Text())
		case "success":
			success = d.Bool()
		case "target":
			target = d.Text()
		case "category":
			report.Attribute(&f, "category", d.Text())
		}
	})
	if success || d.Err() != nil {
		return
	}
	f.Anchor = target
	report.Attribute(&f, "control", control)
	f.Position = place()
	one.add(d, found{Finding: f})
}

func (one *draft) secret(d *report.Document) {
	f := fact.Finding{Kind: fact.Secret}
	place := d.Place()
	d.Object(func(key string) {
		switch key {
		case "ruleID":
			f.Rule = d.Text()
		case "title":
			f.Title = d.Text()
		case "severity":
			report.Rate(&f, d.Text())
		case "target":
			f.Path = d.Text()
		case "category":
			report.Attribute(&f, "category", d.Text())
		case "match":
			f.Anchor = report.SecretAnchor("", d.Text()) // in which Trivy has blackened it
		}
	})
	f.Position = place()
	one.add(d, found{Finding: f})
}

func (one *draft) vulnerability(d *report.Document) {
	var v found
	f := &v.Finding
	f.Kind = fact.Vulnerability
	place := d.Place()
	target, packagePath := "", ""
	d.Object(func(key string) {
		switch key {
		case "vulnerabilityID":
			f.Rule = d.Text()
		case "title":
			f.Title = d.Text()
		case "description":
			f.Description = d.Text()
		case "severity":
			report.Rate(f, d.Text())
		case "score":
			f.Score = d.Float()
		case "primaryLink", "links":
			f.References = append(f.References, d.Texts()...)
		case "fixedVersion":
			for version := range strings.SplitSeq(d.Text(), ",") {
				if version = strings.TrimSpace(version); version != "" {
					f.FixedVersions = append(f.FixedVersions, version)
				}
			}
		case "resource":
			v.name = d.Text()
		case "installedVersion":
			v.version = d.Text()
		case "packagePURL":
			v.purl = d.Text()
		case "class":
			v.class = d.Text()
		case "packageType":
			v.kind = d.Text()
		case "target":
			target = d.Text()
		case "packagePath":
			packagePath = d.Text()
		}
	})
	f.Path = cmp.Or(packagePath, target)
	f.Position = place()
	one.add(d, v)
}

// object is what the report is about in the cluster.
func (one *draft) asset() fact.Asset {
	kind, name := cmp.Or(one.objectKind, one.ownerKind), cmp.Or(one.object, one.owner)
	if kind == "" || name == "" {
		return fact.Asset{Kind: fact.AssetUnknown}
	}
	api := ""
	if kind == one.ownerKind {
		api = one.ownerAPI
	}
	space := cmp.Or(one.space, one.namespace)
	if strings.HasPrefix(one.kind, "Cluster") {
		space = one.space
	}
	return report.KubernetesAsset("", space, api, kind, name)
}

// image is the image that was looked into, with the reference that names it.
func (one *draft) image() fact.Asset {
	name := one.repository
	if one.registry != "" {
		name = one.registry + "/" + name
	}
	if one.tag != "" {
		name += ":" + one.tag
	}
	return report.ImageAsset(name, one.digest)
}

// give gives what was found, once it is known what it was found in.
func (one *draft) give(d *report.Document) {
	switch {
	case d.Err() != nil, one.kind == "", strings.HasSuffix(one.kind, "List"):
		return
	case !strings.HasSuffix(one.kind, "Report"):
		d.Expect("a report of Trivy Operator, not a " + one.kind)
		return
	}
	target := "cluster"
	if space := cmp.Or(one.space, one.namespace); space != "" {
		target = "namespace/" + space
	}
	d.As(tool+"/"+strings.ToLower(one.kind), target)
	d.Run.ToolVersion = cmp.Or(one.version, d.Run.ToolVersion)
	object := one.asset()
	looked := object
	if one.repository != "" {
		looked = one.image()
	}
	d.Looked(looked)
	for _, v := range one.findings {
		f := v.Finding
		f.Asset = looked
		if f.Kind == fact.Vulnerability {
			v.pack(&f, one.family, one.release)
		}
		report.Attribute(&f, "container", one.container)
		if object.Key != "" && looked.Kind == fact.AssetImage {
			report.Attribute(&f, "object", object.Key)
		}
		d.Give(f)
	}
}

var languages = map[string]string{
	"gomod": "Go", "gobinary": "Go", "npm": "npm", "yarn": "npm", "pnpm": "npm", "node-pkg": "npm", "pip": "PyPI", "pipenv": "PyPI", "poetry": "PyPI", "python-pkg": "PyPI",
	"pom": "Maven", "jar": "Maven", "gradle": "Maven", "cargo": "crates.io", "rustbinary": "crates.io", "bundler": "RubyGems", "gemspec": "RubyGems",
	"composer": "Packagist", "nuget": "NuGet", "dotnet-core": "NuGet",
}

// pack sets the package of a vulnerability.
func (v *found) pack(f *fact.Finding, family, release string) {
	if p, ok := fact.ParsePURL(v.purl); ok {
		f.Package = p
		f.Package.Version = cmp.Or(v.version, p.Version)
		return
	}
	ecosystem := languages[v.kind]
	if ecosystem == "" && (v.class == "os-pkgs" || v.kind != "" && v.kind == family) {
		ecosystem = report.Distribution(cmp.Or(family, v.kind), release)
	}
	f.Package = report.Named(ecosystem, v.name, v.version)
}
