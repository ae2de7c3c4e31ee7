// Package xray reads what JFrog Xray writes as JSON: vulnerability reports, scans on
// demand, summaries of artifacts and older exports.
package xray

import (
	"cmp"
	"context"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/xray", Name: "JFrog Xray", Formats: "JSON: vulnerability reports (unified), scans on demand (`jf docker scan`, `jf scan`), summaries of artifacts, exports of components",
		Docs: "Export a vulnerability report, keep the output of `jf docker scan IMAGE --format json`, or take the answer of `POST /xray/api/v1/summary/artifact`. " +
			"One finding a component and CVE, or the issue of Xray where it has none. Xray tells the ecosystem by the scheme of a component. A report is what its filter lets through and one answer of an API is a page, so only a scan on demand is complete.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("rows[].issue_id", "rows[].vulnerable_component"), o.Has("rows[].issue_id", "rows[].impacted_artifact"):
		return 95
	case o.Kind == report.KindArray && o.Has("scan_id", "vulnerabilities[].components"), o.Kind == report.KindArray && o.Has("scan_id", "component_id"):
		return 95
	case o.Has("artifacts[].general.component_id", "artifacts[].issues"):
		return 95
	case o.Has("data[].source_comp_id", "data[].component_versions"):
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: "xray", Format: "xray"}, func(d *report.Document) {
		if d.Kind() == report.KindArray {
			d.Run.Complete = true
			d.Array(func(int) { scan(d) })
			return
		}
		d.Object(func(key string) {
			switch key {
			case "rows", "data":
				d.Array(func(int) {
					place := d.Place()
					one := draft{}
					d.Object(func(key string) { one.field(d, key) })
					one.give(d, place())
				})
			case "artifacts":
				d.Array(func(int) { artifact(d) })
			}
		})
	})
}

// scan reads a scan on demand of one thing.
func scan(d *report.Document) {
	var root string
	d.Early(func() {
		d.Object(func(key string) {
			switch key {
			case "component_id":
				root = d.Text()
			case "status":
				if d.Text() != "completed" {
					d.Run.Complete = false
				}
			case "vulnerabilities":
				d.Array(func(int) {
					place := d.Place()
					one := draft{}
					d.Object(func(key string) { one.field(d, key) })
					one.give(d, place())
				})
			}
		})
	}, func(f *fact.Finding) {
		if named := asset(root); named.Kind != fact.AssetUnknown {
			f.Asset = named
		}
	})
	d.Looked(asset(root))
}

// artifact reads the summary of one artifact.
func artifact(d *report.Document) {
	var name, digest, kind string
	d.Early(func() {
		d.Object(func(key string) {
			switch key {
			case "general":
				d.Object(func(key string) {
					switch key {
					case "component_id":
						name = d.Text()
					case "pkg_type":
						kind = d.Text()
					case "sha256":
						digest = d.Text()
					}
				})
			case "issues":
				d.Array(func(int) {
					place := d.Place()
					one := draft{}
					d.Object(func(key string) { one.field(d, key) })
					one.give(d, place())
				})
			}
		})
	}, func(f *fact.Finding) {
		switch {
		case strings.EqualFold(kind, "docker") && digest != "":
			f.Asset = report.ImageAsset(name, "sha256:"+digest)
		case name != "":
			f.Asset = fact.Asset{Kind: fact.AssetPackage, Key: name, Name: name}
		}
	})
}

// asset is what a component that was scanned is: an image, or a package.
func asset(component string) fact.Asset {
	scheme, name, ok := strings.Cut(component, "://")
	switch {
	case !ok:
		return fact.Asset{Kind: fact.AssetUnknown}
	case scheme == "docker":
		return report.ImageAsset(name)
	}
	return fact.Asset{Kind: fact.AssetPackage, Key: component, Name: name}
}

// flaw is one CVE of an issue.
type flaw struct {
	id, vector string
	score      float64
	weaknesses []string
}

// component is one of those that an issue is in.
type component struct {
	id, root, path string
	fixed          []string
}

// draft is an issue that is being read, in any layout.
type draft struct {
	f              fact.Finding
	id, root, path string
	flaws          []flaw
	components     []component
	inPath         string // component at the end of the path of a summary
	fixed          []string
	plain          bool // it is about a licence, not about a flaw
}

// maxComponents bounds the components and the CVEs of one issue: of each pair a finding
// is made.
const maxComponents = 2000

func (v *draft) field(d *report.Document, key string) {
	switch key {
	case "issue_id":
		v.id = d.Text()
	case "issue_type":
		v.plain = d.Text() != "security"
	case "summary":
		v.f.Title = d.Text()
	case "description":
		v.f.Description = d.Text()
	case "severity":
		report.Rate(&v.f, d.Text())
	case "references":
		v.f.References = d.Texts()
	case "cves":
		v.cves(d)
	case "vulnerable_component", "source_comp_id":
		v.components = append(v.components, component{id: d.Text()})
	case "impacted_artifact":
		v.root = d.Text()
	case "path":
		v.path = d.Text()
	case "fixed_versions":
		v.fixed = append(v.fixed, d.Texts()...)
	case "impact_path":
		if paths := d.Texts(); len(paths) > 0 {
			v.inPath = paths[0][strings.LastIndexByte(paths[0], '/')+1:]
		}
	case "applicability_result":
		report.Attribute(&v.f, "applicability", d.Text())
	case "component_versions":
		d.Object(func(key string) {
			switch key {
			case "fixed_versions":
				v.fixed = append(v.fixed, d.Texts()...)
			case "more_details":
				d.Object(func(key string) {
					switch key {
					case "cves":
						v.cves(d)
					case "description":
						v.f.Description = d.Text()
					}
				})
			}
		})
	case "components":
		d.Object(func(id string) {
			c := component{id: id}
			d.Object(func(key string) {
				switch key {
				case "fixed_versions":
					c.fixed = d.Texts()
				case "impact_paths":
					c.way(d)
				}
			})
			if len(v.components) < maxComponents {
				v.components = append(v.components, c)
			}
		})
	}
}

// way reads the ways that lead to a component, of which the first is kept.
func (c *component) way(d *report.Document) {
	d.Array(func(way int) {
		d.Array(func(step int) {
			d.Object(func(key string) {
				switch {
				case way > 0:
				case key == "component_id" && step == 0:
					c.root = d.Text()
				case key == "full_path":
					c.path = d.Text()
				}
			})
		})
	})
}

func (v *draft) cves(d *report.Document) {
	d.Array(func(int) {
		var one flaw
		var score2, score3 float64
		var vector2, vector3 string
		d.Object(func(key string) {
			switch key {
			case "cve":
				one.id = d.Text()
			case "cwe":
				one.weaknesses = d.Texts()
			case "cvss_v2_score":
				score2 = max(0, d.Float())
			case "cvss_v3_score":
				score3 = max(0, d.Float())
			case "cvss_v2_vector":
				vector2 = d.Text()
			case "cvss_v3_vector":
				vector3 = d.Text()
			case "cvss_v2":
				score2, vector2 = rating(d.Text())
			case "cvss_v3":
				score3, vector3 = rating(d.Text())
			}
		})
		if one.score, one.vector = score3, vector3; score3 == 0 && vector3 == "" {
			one.score, one.vector = score2, vector2
		}
		if len(v.flaws) < maxComponents {
			v.flaws = append(v.flaws, one)
		}
	})
}

// rating splits "9.8/CVSS:3.0/AV:N/...".
func rating(text string) (score float64, vector string) {
	number, vector, _ := strings.Cut(text, "/")
	score, err := strconv.ParseFloat(number, 64)
	if err != nil || score < 0 || score > 10 {
		return 0, vector
	}
	return score, vector
}

// give gives a finding for each component and CVE. An issue with several CVEs is as
// many flaws, so that its own id is an alias only of a single one.
func (v *draft) give(d *report.Document, at fact.Position) {
	if v.plain || v.id == "" && v.f.Title == "" {
		return
	}
	if len(v.components) == 0 && v.inPath != "" {
		v.components = []component{{id: v.inPath}}
	}
	flaws := slices.DeleteFunc(slices.Clone(v.flaws), func(f flaw) bool { return f.id == "" })
	alias := ""
	if len(flaws) <= 1 {
		alias = v.id
	}
	if len(flaws) == 0 {
		flaws = []flaw{{id: v.id}}
		if len(v.flaws) > 0 {
			flaws[0] = v.flaws[0]
			flaws[0].id = v.id
		}
	}
	for _, c := range v.components {
		for _, one := range flaws {
			f := v.f
			f.Kind, f.Position = fact.Vulnerability, at
			f.Rule = cmp.Or(one.id, v.f.Title)
			f.Aliases = report.Aliases(f.Rule, alias)
			f.Score, f.Vector, f.CWE = one.score, one.vector, report.CWEs(one.weaknesses...)
			f.Package = pkg(c.id)
			if one.id != "" {
				f.Title, f.Description = one.id+" in "+f.Package.Name+":"+f.Package.Version, cmp.Or(v.f.Description, v.f.Title)
			}
			f.Path = cmp.Or(v.path, c.path)
			f.FixedVersions = versions(append(slices.Clone(v.fixed), c.fixed...))
			f.Asset = asset(cmp.Or(v.root, c.root))
			d.Give(f)
		}
	}
}

// versions cleans "[1.26]" and "≥ 1.3".
func versions(list []string) []string {
	var clean []string
	for _, text := range list {
		if text = strings.Trim(text, "[]() ≥="); text != "" && !strings.Contains(text, ",") {
			clean = append(clean, text)
		}
	}
	return clean
}

// pkg reads a component: "pypi://Jinja2:2.11.2", "gav://group:artifact:1",
// "deb://debian:stretch:libx11:2:1.6.4-3", "alpine://3.18:libssl3:3.1.1-r1", and in
// summaries without the scheme.
func pkg(id string) fact.Package {
	scheme, rest, ok := strings.Cut(id, "://")
	if !ok {
		scheme, rest = "", id
	}
	parts := strings.Split(rest, ":")
	last := len(parts) - 1
	if last < 1 || scheme == "gav" && last < 2 {
		return fact.Package{Ecosystem: report.PackageType(scheme), Name: rest}
	}
	switch scheme {
	case "deb":
		if last >= 3 {
			return report.Named(distribution(parts[0], parts[1]), parts[2], strings.Join(parts[3:], ":"))
		}
	case "alpine":
		if last >= 2 {
			return report.Named(report.Distribution("alpine", parts[0]), parts[1], strings.Join(parts[2:], ":"))
		}
	case "rpm":
		if last >= 3 { // release, epoch, name, version
			return fact.Package{Name: parts[2], Version: strings.Join(parts[3:], ":")}
		}
	case "":
		return fact.Package{Name: parts[last-1], Version: parts[last]}
	}
	return report.Named(report.PackageType(scheme), strings.Join(parts[:last], ":"), parts[last])
}

// distribution is one that a component names by the code name of its release.
func distribution(family, release string) string {
	named := report.Distribution(family, "")
	if named == "" || release == "" {
		return named
	}
	return named + ":" + release
}
