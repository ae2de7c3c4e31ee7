// Package anchore reads what Anchore Engine, Anchore Enterprise and anchorectl write as
// JSON of an image: its vulnerabilities, and how its policies judge it.
package anchore

import (
	"cmp"
	"context"
	"io"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "anchore"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/anchore", Name: "Anchore", Formats: "JSON of vulnerabilities (Engine, Enterprise, anchorectl) and of policy checks (anchorectl)",
		Docs: "Produce it with `anchorectl image vulnerabilities IMAGE -o json` or `anchorectl image check IMAGE --detail -o json`, or take the answers of the API. " +
			"One finding a vulnerability and package, with package URL and fixed version; one finding a policy's check that stops or warns, where those of the gate `vulnerabilities` are vulnerabilities. " +
			"A list of vulnerabilities alone does not name the image, so that it never proves that something is gone; neither does a list of checks, which stand for vulnerabilities too.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("vulnerabilities[].vuln", "vulnerabilities[].package_name"), o.Has("vulnerabilities[].vuln", "vulnerabilities[].packageName"):
		return 95
	case o.Has("imageDigest", "vulnerabilities", "vulnerability_type"), o.Has("image_digest", "vulnerabilities", "vulnerability_type"), o.Has("imageDigest", "vulnerabilities", "vulnerabilityType"):
		return 95 // nothing was found
	case o.Kind == report.KindArray && o.Has("vuln", "feedGroup", "packageName"), o.Kind == report.KindArray && o.Has("vuln", "feed_group", "package_name"):
		return 95
	case o.Has("policyId", "imageDigest", "evaluations"), o.Has("policyId", "finalAction", "detail"):
		return 95
	case o.Kind == report.KindArray && o.Has("detail[].gate", "detail[].triggerId"): // many checks come before the rest
		return 90
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	return report.Findings(ctx, in, sink, fact.Run{Tool: tool, Format: "anchore"}, func(d *report.Document) {
		if d.Kind() != report.KindArray {
			image(d)
			return
		}
		d.Array(func(int) { // of vulnerabilities, or of judgements of images
			place := d.Place()
			one, judged := draft{}, false
			var name, digest string
			d.Early(func() {
				d.Object(func(key string) {
					switch key {
					case "detail":
						judged = true
						checks(d)
					case "tag":
						name = d.Text()
					case "digest":
						digest = d.Text()
					default:
						one.field(d, key)
					}
				})
			}, func(f *fact.Finding) { f.Asset = imageAsset(name, digest) })
			if f := one.finding(); !judged && f.Kind != "" {
				f.Position = place()
				d.Give(f)
			}
		})
	})
}

// image reads what is told of one image. Its list of vulnerabilities is whole only when
// those of every type were asked for.
func image(d *report.Document) {
	var name, digest string
	list, all := false, false
	d.Early(func() {
		d.Object(func(key string) {
			switch key {
			case "imageDigest", "image_digest":
				digest = d.Text()
			case "imageFullTag", "evaluatedTag", "image_full_tag":
				name = d.Text()
			case "vulnerabilities":
				list = d.Kind() == report.KindArray
				d.Array(func(int) {
					d.Item(func(f *fact.Finding) {
						one := draft{}
						d.Object(func(key string) { one.field(d, key) })
						*f = one.finding()
					})
				})
			case "vulnerability_type", "vulnerabilityType":
				all = d.Text() == "all"
			case "evaluations":
				d.Array(func(int) {
					d.Object(func(key string) {
						if key == "details" {
							checks(d)
						}
					})
				})
			}
		})
	}, func(f *fact.Finding) { f.Asset = imageAsset(name, digest) })
	if list && all {
		d.Run.Complete = true
		d.Looked(imageAsset(name, digest))
	}
}

func imageAsset(name, digest string) fact.Asset {
	if name == "" && digest == "" {
		return fact.Asset{Kind: fact.AssetUnknown}
	}
	return report.ImageAsset(cmp.Or(name, digest), digest)
}

// draft is a vulnerability that is being read, in one of two spellings.
type draft struct {
	f                                     fact.Finding
	id, name, version, kind, group, fixed string
	vendorScore, score                    float64
}

func (v *draft) field(d *report.Document, key string) {
	switch key {
	case "vuln":
		v.id = d.Text()
	case "package_name", "packageName":
		v.name = d.Text()
	case "package_version", "packageVersion":
		v.version = d.Text()
	case "package_type", "packageType":
		v.kind = d.Text()
	case "package_path", "packagePath":
		v.f.Path = told(d.Text())
	case "feed_group", "feedGroup":
		v.group = d.Text()
	case "fix":
		v.fixed = told(d.Text())
	case "severity":
		report.Rate(&v.f, d.Text())
	case "description":
		v.f.Description = d.Text()
	case "url":
		if url := told(d.Text()); url != "" {
			v.f.References = append(v.f.References, url)
		}
	case "nvd_data", "nvdData":
		v.score = cmp.Or(score(d), v.score)
	case "vendor_data", "vendorData":
		v.vendorScore = cmp.Or(score(d), v.vendorScore)
	case "will_not_fix", "willNotFix", "inherited_from_base", "inheritedFromBase":
		report.Attribute(&v.f, snake[key], d.Text())
	}
}

var snake = map[string]string{
	"will_not_fix": "will_not_fix", "willNotFix": "will_not_fix", "inherited_from_base": "inherited_from_base", "inheritedFromBase": "inherited_from_base",
}

// score reads the base score of the first flaw that has one, the newest version first.
func score(d *report.Document) (base float64) {
	d.Array(func(int) {
		scores := map[string]float64{}
		d.Object(func(version string) {
			if d.Kind() != report.KindObject {
				return
			}
			d.Object(func(key string) {
				if key == "base_score" || key == "baseScore" {
					scores[strings.Replace(version, "_v", "V", 1)] = max(0, d.Float())
				}
			})
		})
		base = cmp.Or(base, scores["cvssV3"], scores["cvssV2"])
	})
	return base
}

// told is a text without the words that stand for nothing.
func told(text string) string {
	if text == "None" || text == "pkgdb" {
		return ""
	}
	return text
}

// finding gives the vulnerability, without a kind when it is none.
func (v *draft) finding() fact.Finding {
	if v.id == "" || v.name == "" {
		return fact.Finding{}
	}
	f := v.f
	f.Kind, f.Rule, f.Score = fact.Vulnerability, v.id, cmp.Or(v.vendorScore, v.score)
	f.Title = v.id + " in " + v.name + ":" + v.version
	f.Package = report.Named(ecosystem(v.kind, v.group), v.name, v.version)
	f.FixedVersions = report.Versions(v.fixed)
	report.Attribute(&f, "package_type", v.kind)
	report.Attribute(&f, "feed_group", v.group)
	return f
}

// ecosystem is that of a package's type; for packages of an operating system that of
// the feed which names its distribution ("debian:9").
func ecosystem(kind, group string) string {
	if named := report.PackageType(kind); named != "" {
		return named
	}
	return report.DistributionNamed(group)
}

// checks reads the checks of a policy over one image.
func checks(d *report.Document) {
	d.Array(func(int) {
		d.Item(func(f *fact.Finding) { check(d, f) })
	})
}

func check(d *report.Document, f *fact.Finding) {
	gate, trigger, id, status := "", "", "", ""
	allowed := false
	d.Object(func(key string) {
		switch key {
		case "description":
			f.Title = d.Text()
		case "gate":
			gate = d.Text()
		case "triggerName":
			trigger = d.Text()
		case "triggerId":
			id = d.Text()
		case "status":
			status = d.Text()
		case "policyId":
			report.Attribute(f, "policy", d.Text())
		case "allowlisted":
			d.Object(func(key string) {
				allowed = true
				if key == "matchedRuleId" {
					f.Analysis.Detail = d.Text()
				}
			})
		}
	})
	if gate == "" || status == "go" {
		return
	}
	f.Kind, f.Rule, f.Anchor = fact.Misconfiguration, gate+"/"+trigger, id
	if gate == "secret_scans" {
		f.Kind = fact.Secret
	}
	if flaw, name, ok := strings.Cut(id, "+"); ok && gate == "vulnerabilities" && report.AdvisoryID(flaw) == flaw {
		f.Kind, f.Rule, f.Anchor = fact.Vulnerability, flaw, ""
		f.Package = report.Named("", name, "")
	}
	if word, _, _ := strings.Cut(f.Title, " "); strings.ToUpper(word) == word {
		if severity := fact.ParseSeverity(word); severity != fact.SeverityUnknown {
			report.Rate(f, word)
		}
	}
	report.Attribute(f, "gate", gate)
	report.Attribute(f, "trigger", trigger)
	report.Attribute(f, "status", status)
	if allowed {
		f.Analysis.State, f.Analysis.Source = fact.AnalysisAcceptedRisk, tool
	}
}
