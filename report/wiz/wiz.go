// Package wiz reads the tables that Wiz exports and the JSON reports of its command
// line.
package wiz

import (
	"cmp"
	"context"
	"io"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

// tool is the command line; exports are of wiz itself.
const tool = "wizcli"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/wiz", Name: "Wiz", Formats: "CSV exports of issues and of vulnerabilities, JSON of the command line (directory, infrastructure code, image)",
		Docs: "Export issues or vulnerability findings as CSV, or run `wizcli dir scan --path DIR --format json`. Cloud resources are known by the id of their cloud where the export holds one, objects of a cluster by cluster, namespace, kind and name, images by digest. " +
			"Issues that Wiz has resolved are read as resolved, rejected ones by their reason. An export may be filtered, so that it is never complete; reports of the command line are. " +
			"Secrets themselves, code, found values and the resources' own JSON are left out.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("scanOriginResource", "policies"), strings.HasPrefix(o.Texts["result.__typename"], "CICD"), strings.HasPrefix(o.Texts["scanOriginResource.__typename"], "CICD"):
		return 95
	case report.HasColumns(head, "Control ID", "Resource external ID", "Issue ID"), report.HasColumns(head, "WizURL", "DetailedName", "FixedVersion"):
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	json, in := report.IsJSON(in)
	if !json {
		return report.Rows(ctx, in, sink, fact.Run{Tool: "wiz", Format: "wiz"}, nil, func(r *report.Row) error {
			if r.Has("DetailedName") {
				return vulnerability(r)
			}
			return issue(ctx, r)
		})
	}
	s := &scan{}
	defer s.held.Close()
	return report.Findings(ctx, in, sink, fact.Run{Tool: tool, Format: "wiz", Complete: true}, func(d *report.Document) {
		d.Object(func(key string) { s.field(d, key) })
		s.give(d)
	})
}

// issue reads a row of an export of issues.
func issue(ctx context.Context, r *report.Row) error {
	f := fact.Finding{Kind: fact.Misconfiguration, Rule: r.Text("Control ID"), Title: r.Text("Title"), Description: r.Text("Description"), Mitigation: r.Text("Remediation Recommendation")}
	if f.Rule == "" && f.Title == "" {
		r.Expect("Title", "the title of an issue")
		return nil
	}
	report.Rate(&f, r.Text("Severity"))
	f.Asset = issueAsset(ctx, r)
	f.Analysis = analysis(r.Text("Status"), cmp.Or(r.Text("Resolution"), r.Text("Note")))
	if url := r.Text("Wiz URL"); url != "" {
		f.References = []string{url}
	}
	for name, column := range map[string]string{
		"id": "Issue ID", "resource_type": "Resource Type", "region": "Resource Region", "account": "Subscription ID", "provider": "Resource Platform", "projects": "Project Names", "resource_id": "Resource external ID",
	} {
		report.Attribute(&f, name, r.Text(column))
	}
	tags(ctx, &f, r.Text("Resource Tags"))
	return r.Finding(f)
}

// tags reads the tags of a resource, which stand as JSON in a cell.
func tags(ctx context.Context, f *fact.Finding, text string) {
	if !strings.HasPrefix(text, "{") {
		return
	}
	s := report.NewScanner(ctx, strings.NewReader(text))
	s.Object(func(tag string) { report.Attribute(f, "tag:"+tag, s.Text()) })
}

// issueAsset is the resource of an issue. Its own JSON knows better what it is than
// the export's columns; a fault in it leaves the columns.
func issueAsset(ctx context.Context, r *report.Row) fact.Asset {
	id, name := r.Text("Resource external ID"), r.Text("Resource Name")
	var own struct{ id, kind, group, namespace string }
	if text := r.Text("Resource original JSON"); strings.HasPrefix(text, "{") {
		s := report.NewScanner(ctx, strings.NewReader(text))
		s.Object(func(key string) {
			switch strings.ToLower(key) {
			case "arn":
				own.id = s.Text()
			case "id", "selflink":
				own.id = cmp.Or(own.id, s.Text())
			case "kind":
				own.kind = s.Text()
			case "apigroup", "apiversion":
				own.group = cmp.Or(own.group, s.Text())
			case "namespace":
				own.namespace = s.Text()
			}
		})
	}
	if strings.EqualFold(r.Text("Resource Platform"), "Kubernetes") {
		kind := own.kind
		if kind == "" {
			kind = r.Text("Resource Type")
		}
		return report.KubernetesAsset(r.Text("Kubernetes Cluster"), cmp.Or(own.namespace, r.Text("Kubernetes Namespace")), own.group, kind, name)
	}
	for _, candidate := range []string{id, own.id} {
		if cloudID(candidate) {
			return report.CloudAsset(candidate, name)
		}
	}
	return report.CloudAsset(cmp.Or(id, own.id), name)
}

// cloudID says whether a text is an id of its cloud, not one of Wiz.
func cloudID(id string) bool {
	for _, prefix := range []string{"arn:", "/subscriptions/", "//", "https://", "projects/"} {
		if strings.HasPrefix(id, prefix) {
			return true
		}
	}
	return false
}

// analysis is what the state of an issue says.
func analysis(status, reason string) fact.Analysis {
	a := fact.Analysis{Justification: reason, Source: "wiz"}
	switch strings.ToUpper(reason) {
	case "FALSE_POSITIVE":
		a.State = fact.AnalysisFalsePositive
	case "EXCEPTION", "WONT_FIX", "CONTROL_DISABLED", "CONTROL_CHANGED", "CONTROL_DELETED":
		a.State = fact.AnalysisAcceptedRisk // nothing was fixed, somebody decided
	default:
		switch strings.ToUpper(status) {
		case "RESOLVED":
			a.State = fact.AnalysisResolved
		case "REJECTED", "IGNORED":
			a.State = fact.AnalysisAcceptedRisk
		default:
			return fact.Analysis{}
		}
	}
	return a
}

// vulnerability reads a row of an export of vulnerability findings.
func vulnerability(r *report.Row) error {
	f := fact.Finding{Kind: fact.Vulnerability, Rule: r.Text("Name"), Mitigation: r.Text("Remediation"), Path: r.Text("LocationPath")}
	if f.Rule == "" {
		r.Expect("Name", "the id of a vulnerability")
		return nil
	}
	f.Package = report.Named(ecosystem(f.Path), r.Text("DetailedName"), r.Text("Version"))
	f.Title = f.Rule + " in " + f.Package.Name
	report.Rate(&f, cmp.Or(r.Text("VendorSeverity"), r.Text("CVSSSeverity")))
	if fixed := r.Text("FixedVersion"); fixed != "" {
		f.FixedVersions = []string{fixed}
	}
	for _, link := range []string{r.Text("Link"), r.Text("WizURL")} {
		if link != "" {
			f.References = append(f.References, link)
		}
	}
	id, name := r.Text("ProviderUniqueId"), r.Text("AssetName")
	if strings.Contains(id, "sha256:") {
		f.Asset = report.ImageAsset(id)
		f.Asset.Name = cmp.Or(name, f.Asset.Name)
	} else {
		f.Asset = report.CloudAsset(cmp.Or(id, r.Text("AssetID")), name)
	}
	f.Analysis = analysis(cmp.Or(r.Text("FindingStatus"), r.Text("Status")), r.Text("ResolutionReason"))
	for attribute, column := range map[string]string{"exploit_available": "HasExploit", "known_exploited": "HasCisaKevExploit", "detection": "DetectionMethod", "region": "AssetRegion", "account": "SubscriptionExternalId", "provider": "CloudPlatform"} {
		report.Attribute(&f, attribute, strings.ToLower(r.Text(column)))
	}
	return r.Finding(f)
}

// ecosystem is that of the file in which a package was found.
func ecosystem(path string) string {
	file := path[strings.LastIndexByte(path, '/')+1:]
	if name := files[file]; name != "" {
		return name
	}
	return files[file[strings.LastIndexByte(file, '.')+1:]]
}

// files are names and endings of files that packages are listed in.
var files = map[string]string{
	"go.mod": "Go", "go.sum": "Go", "package.json": "npm", "package-lock.json": "npm", "yarn.lock": "npm", "pnpm-lock.yaml": "npm", "requirements.txt": "PyPI", "poetry.lock": "PyPI",
	"Pipfile.lock": "PyPI", "METADATA": "PyPI", "pom.xml": "Maven", "jar": "Maven", "war": "Maven", "Gemfile.lock": "RubyGems", "gemspec": "RubyGems", "Cargo.lock": "crates.io",
	"composer.lock": "Packagist", "packages.lock.json": "NuGet", "csproj": "NuGet",
}
