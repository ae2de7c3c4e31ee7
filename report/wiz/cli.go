package wiz

import (
	"cmp"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

// scan is a report of the command line; what was scanned may stand after what was
// found in it.
type scan struct {
	origin, name, digest string
	held                 report.Spool
}

func (s *scan) field(d *report.Document, key string) {
	switch key {
	case "scanOriginResource":
		d.Object(func(key string) {
			switch key {
			case "__typename":
				s.origin = d.Text()
			case "name":
				s.name = d.Text()
			case "digest":
				s.digest = d.Text()
			}
		})
	case "createdAt":
		d.All().Started = report.Micros(d.Text())
	case "status":
		d.Object(func(key string) {
			if key == "state" && !strings.EqualFold(d.Text(), "SUCCESS") {
				d.All().Complete = false
			}
		})
	case "result":
		d.Object(func(key string) {
			switch key {
			case "osPackages", "libraries", "applications", "cpes":
				d.Array(func(int) { s.pack(d, key) })
			case "secrets":
				d.Array(func(int) { s.secret(d) })
			case "ruleMatches":
				d.Array(func(int) { s.rule(d) })
			}
		})
	}
}

// pack reads a package with its vulnerabilities, which may stand before its name.
func (s *scan) pack(d *report.Document, list string) {
	name, version, path, layer := "", "", "", ""
	var found []fact.Finding
	d.Object(func(key string) {
		switch key {
		case "name":
			name = d.Text()
		case "version":
			version = d.Text()
		case "path":
			path = d.Text()
		case "layerMetadata":
			d.Object(func(key string) {
				if key == "id" {
					layer = d.Text()
				}
			})
		case "vulnerabilities":
			d.Array(func(int) { found = append(found, flaw(d)) })
		}
	})
	if d.Err() != nil {
		return
	}
	for _, f := range found {
		f.Package = report.Named(ecosystem(path), name, version)
		f.Title = f.Rule + " in " + name
		f.Path = path
		report.Attribute(&f, "layer", layer)
		report.Attribute(&f, "list", list)
		d.Fail(s.held.Add(f))
	}
}

func flaw(d *report.Document) fact.Finding {
	f, place := fact.Finding{Kind: fact.Vulnerability}, d.Place()
	d.Object(func(key string) {
		switch key {
		case "name":
			f.Rule = d.Text()
		case "severity":
			report.Rate(&f, d.Text())
		case "description":
			f.Description = d.Text()
		case "score":
			f.Score = d.Float()
		case "epssProbability":
			f.EPSS = d.Float() / 100 // percent
		case "source":
			f.References = append(f.References, d.Texts()...)
		case "fixedVersion":
			f.FixedVersions = d.Texts()
		case "hasExploit":
			report.Attribute(&f, "exploit_available", d.Text())
		case "hasCisaKevExploit":
			report.Attribute(&f, "known_exploited", d.Text())
		}
	})
	f.Position = place()
	return f
}

// secret reads a secret without its snippet.
func (s *scan) secret(d *report.Document) {
	f, place := fact.Finding{Kind: fact.Secret}, d.Place()
	d.Object(func(key string) {
		switch key {
		case "type":
			f.Rule = d.Text()
		case "description":
			f.Title = d.Text()
		case "path":
			f.Path = d.Text()
		case "lineNumber":
			f.Line = d.Int()
		}
	})
	f.Anchor = report.SecretAnchor("", f.Title) // in which Wiz has blackened it
	f.Position = place()
	if d.Err() == nil {
		d.Fail(s.held.Add(f))
	}
}

// rule reads a rule with the places where it fails, which may stand before it.
func (s *scan) rule(d *report.Document) {
	all := fact.Finding{Kind: fact.Misconfiguration}
	var matches []fact.Finding
	d.Object(func(key string) {
		switch key {
		case "rule":
			d.Object(func(key string) {
				switch key {
				case "id":
					all.Rule = d.Text()
				case "name":
					all.Title = d.Text()
				}
			})
		case "severity":
			report.Rate(&all, d.Text())
		case "matches":
			d.Array(func(int) { matches = append(matches, match(d)) })
		}
	})
	if d.Err() != nil {
		return
	}
	for _, f := range matches {
		f.Kind, f.Rule, f.Title, f.Severity, f.SeverityText = all.Kind, all.Rule, all.Title, all.Severity, all.SeverityText
		d.Fail(s.held.Add(f))
	}
}

func match(d *report.Document) fact.Finding {
	var f fact.Finding
	place, expected := d.Place(), ""
	d.Object(func(key string) {
		switch key {
		case "resourceName":
			f.Anchor = d.Text()
		case "fileName":
			f.Path = d.Text()
		case "lineNumber":
			f.Line = d.Int()
		case "expected":
			expected = d.Text()
		case "remediationInstructions":
			f.Mitigation = d.Text()
		case "fileType":
			report.Attribute(&f, "file_type", d.Text())
		}
	})
	f.Mitigation = cmp.Or(f.Mitigation, expected)
	f.Position = place()
	return f
}

func (s *scan) give(d *report.Document) {
	if d.Err() != nil && s.origin == "" {
		return // what was scanned is not known
	}
	asset := fact.Asset{Kind: fact.AssetRepository}
	switch { // which of the scans it is: what one does not see, another may
	case strings.Contains(s.origin, "Image"):
		asset = report.ImageAsset(s.name, s.digest)
		d.As(tool+"/image", s.name)
		d.Looked(asset)
	case strings.Contains(s.origin, "IAC"):
		d.As(tool+"/iac", "")
	default:
		d.As(tool+"/dir", "")
	}
	d.Fail(s.held.Replay(func(f fact.Finding) error {
		f.Asset = asset
		return d.Emitter.Give(f)
	}))
}
