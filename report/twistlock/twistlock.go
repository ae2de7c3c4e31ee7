// Package twistlock reads what Prisma Cloud Compute (Twistlock) says of images: the JSON
// of twistcli and the tables that its console exports.
package twistlock

import (
	"cmp"
	"context"
	"io"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "twistlock"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/twistlock", Name: "Prisma Cloud Compute (Twistlock)", Formats: "JSON of twistcli and CSV of the console's images",
		Docs: "Produce it with `twistcli images scan --output-file FILE IMAGE`, or export the images of the console as CSV. One finding a vulnerability and package, with the fixed versions of its status; " +
			"one finding a failed check of compliance. The report of twistcli lists all that was found in its images; an export may be filtered and is never complete.",
	}
}

var needed = []string{"CVE ID", "Compliance ID", "Severity", "Packages", "Package Version", "Fix Status"}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("results[].vulnerabilityDistribution"), o.Has("results[].complianceDistribution"):
		return 95
	case o.Has("results[].distro", "results[].packages") && strings.HasPrefix(o.Texts["results[].id"], "sha256:"): // many packages come before the rest
		return 90
	case o.Kind == report.KindEnd && report.HasColumns(head, needed...):
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	isJSON, in := report.IsJSON(in)
	run := fact.Run{Tool: tool, Format: "twistlock", Complete: isJSON}
	if !isJSON {
		return report.Rows(ctx, in, sink, run, needed, row)
	}
	return report.Findings(ctx, in, sink, run, func(d *report.Document) {
		d.Object(func(key string) {
			if key == "results" {
				d.Array(func(int) { image(d) })
			}
		})
	})
}

// maxPackages bounds the packages of an image whose types are held.
const maxPackages = 200_000

// image reads the result of one image.
func image(d *report.Document) {
	var id, name, digest, distro string
	types := map[[2]string]string{} // of its packages, by name and version
	asset := func() fact.Asset {
		if id == "" && name == "" && digest == "" {
			return fact.Asset{Kind: fact.AssetUnknown}
		}
		if digest == "" && name != "" {
			return report.ImageAsset(name) // the id is that of the configuration, which no registry knows
		}
		return report.ImageAsset(cmp.Or(name, id), digest, id)
	}
	d.Early(func() {
		d.Object(func(key string) {
			switch key {
			case "id":
				id = d.Text()
			case "name":
				name = d.Text()
			case "digest":
				digest = d.Text()
			case "distro":
				distro = d.Text()
			case "packages":
				d.Array(func(int) {
					var name, version, kind string
					d.Object(func(key string) {
						switch key {
						case "name":
							name = d.Text()
						case "version":
							version = d.Text()
						case "type":
							kind = d.Text()
						}
					})
					if len(types) < maxPackages {
						types[[2]string{name, version}] = kind
					}
				})
			case "vulnerabilities":
				d.Array(func(int) {
					d.Item(func(f *fact.Finding) { vulnerability(d, f) })
				})
			case "compliances":
				d.Array(func(int) {
					d.Item(func(f *fact.Finding) { compliance(d, f) })
				})
			}
		})
	}, func(f *fact.Finding) {
		f.Asset = asset()
		if f.Package.Name != "" {
			f.Package = pkg(types[[2]string{f.Package.Name, f.Package.Version}], f.Package.Name, f.Package.Version, f.Path, distro)
		}
	})
	d.Looked(asset())
}

func vulnerability(d *report.Document, f *fact.Finding) {
	var risks []string
	status := ""
	d.Object(func(key string) {
		switch key {
		case "id":
			f.Rule = d.Text()
		case "cvss":
			f.Score = max(0, d.Float())
		case "vector":
			f.Vector = d.Text()
		case "description":
			f.Description = d.Text()
		case "severity":
			report.Rate(f, d.Text())
		case "packageName":
			f.Package.Name = d.Text()
		case "packageVersion":
			f.Package.Version = d.Text()
		case "packagePath":
			f.Path = d.Text()
		case "status":
			status = d.Text()
		case "link":
			if url := d.Text(); url != "" {
				f.References = append(f.References, url)
			}
		case "layerInstruction":
			report.Attribute(f, "layer_instruction", d.Text())
		case "riskFactors": // a list, or an object in older versions
			if d.Kind() == report.KindArray {
				risks = d.Texts()
				return
			}
			d.Object(func(risk string) { risks = append(risks, risk) })
		}
	})
	fill(f, status, strings.Join(risks, ", "))
}

// fill makes a finding with a rule and a package a vulnerability.
func fill(f *fact.Finding, status, risks string) {
	if f.Rule == "" || f.Package.Name == "" {
		return
	}
	f.Kind = fact.Vulnerability
	f.Title = f.Rule + " in " + f.Package.Name + ":" + f.Package.Version
	if fixed, ok := strings.CutPrefix(status, "fixed in "); ok {
		f.FixedVersions = report.Versions(fixed)
	} else {
		report.Attribute(f, "fix_status", status)
	}
	report.Attribute(f, "risk_factors", risks)
}

func compliance(d *report.Document, f *fact.Finding) {
	cause := ""
	d.Object(func(key string) {
		switch key {
		case "id":
			f.Rule = d.Text()
		case "title":
			f.Title = d.Text()
		case "severity":
			report.Rate(f, d.Text())
		case "description":
			f.Description = d.Text()
		case "cause":
			cause = d.Text()
		case "category":
			report.Attribute(f, "category", d.Text())
		}
	})
	if f.Description == "" {
		f.Description = cause
	}
	if f.Rule != "" || f.Title != "" {
		f.Kind = fact.Misconfiguration
	}
}

// pkg is a package of a type. Packages of Java are named "group_artifact".
func pkg(kind, name, version, path, distro string) fact.Package {
	if kind == "" && strings.HasSuffix(path, ".jar") {
		kind = "jar"
	}
	ecosystem := report.PackageType(kind)
	switch {
	case ecosystem == "Maven":
		name = strings.Replace(name, "_", ":", 1)
	case kind == "os" || kind == "package":
		ecosystem = report.DistributionNamed(distro)
	}
	return report.Named(ecosystem, name, version)
}

// row reads one row of an export, which is a vulnerability or a failed check.
func row(r *report.Row) error {
	f := fact.Finding{Rule: r.Text("CVE ID"), Description: r.Text("Description"), Asset: fact.Asset{Kind: fact.AssetUnknown}}
	report.Rate(&f, r.Text("Severity"))
	if repository := r.Text("Repository"); repository != "" {
		name := strings.TrimPrefix(r.Text("Registry")+"/"+repository, "/")
		if tag := r.Text("Tag"); tag != "" {
			name += ":" + tag
		}
		f.Asset = report.ImageAsset(name)
	} else if id := r.Text("Id"); strings.HasPrefix(id, "sha256:") {
		f.Asset = report.ImageAsset(id)
	}
	report.Attribute(&f, "cause", r.Text("Cause"))
	if f.Rule != "" {
		f.Package = fact.Package{Name: r.Text("Packages"), Version: r.Text("Package Version")}
		if score, err := strconv.ParseFloat(r.Text("CVSS"), 64); err == nil && score >= 0 && score <= 10 {
			f.Score = score
		}
		fill(&f, r.Text("Fix Status"), r.Text("Risk Factors"))
		kind := strings.ToLower(r.Text("Type"))
		f.Package = pkg(kind, f.Package.Name, f.Package.Version, "", r.Text("Distro"))
	} else if f.Rule = r.Text("Compliance ID"); f.Rule != "" {
		f.Kind, f.Title = fact.Misconfiguration, cmp.Or(r.Text("Cause"), f.Description)
	}
	if f.Kind == "" {
		return nil
	}
	return r.Finding(f)
}
