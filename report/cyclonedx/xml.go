package cyclonedx

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

func (d *document) readXML(ctx context.Context, in io.Reader) error {
	return report.XML(ctx, in, "bom", func(x *report.Elements, _ report.Element) { d.bom(x) })
}

func (d *document) bom(x *report.Elements) {
	x.Children(func(t report.Element) {
		switch t.Name {
		case "metadata":
			d.metadata(x)
		case "components", "services":
			x.Children(func(t report.Element) { d.xmlComponent(x, t, true) })
		case "vulnerabilities":
			x.Children(func(t report.Element) {
				if f, refs, ok := d.readXMLVulnerability(x, t); ok {
					x.Fail(d.vulnerability(f, refs))
				}
			})
		case "dependencies":
			x.Children(func(t report.Element) {
				var on []string
				x.Children(func(inner report.Element) {
					if ref := inner.Attribute("ref"); ref != "" && inner.Name == "dependency" {
						on = append(on, ref)
					}
				})
				d.Requires(t.Attribute("ref"), on...)
			})
		}
	})
}

func (d *document) metadata(x *report.Elements) {
	x.Children(func(t report.Element) {
		switch t.Name {
		case "timestamp":
			d.Run.Started = report.Micros(x.Text())
		case "component":
			c := d.xmlComponent(x, t, false)
			d.setSubject(c, c.Type)
		case "tools":
			d.xmlTools(x)
		}
	})
}

func (d *document) xmlTools(x *report.Elements) {
	x.Children(func(t report.Element) {
		switch t.Name {
		case "tool", "component":
			name, version := "", ""
			x.Children(func(t report.Element) {
				switch t.Name {
				case "name":
					name = x.Text()
				case "version":
					version = x.Text()
				}
			})
			if name != "" && d.Run.ToolVersion == "" {
				d.Run.Tool, d.Run.ToolVersion = name, version
			}
		case "components":
			d.xmlTools(x)
		}
	})
}

func (d *document) xmlComponent(x *report.Elements, t report.Element, give bool) fact.Component {
	c := fact.Component{Type: t.Attribute("type"), Ref: t.Attribute("bom-ref"), Position: fact.Position{Offset: t.Offset, Item: x.Item()}}
	group, purl := "", ""
	var later []func()
	x.Children(func(t report.Element) {
		switch t.Name {
		case "group":
			group = x.Text()
		case "name":
			c.Package.Name = x.Text()
		case "version":
			c.Package.Version = x.Text()
		case "purl":
			purl = x.Text()
		case "licenses":
			x.Children(func(t report.Element) {
				if t.Name == "expression" {
					c.Licenses = append(c.Licenses, x.Text())
					return
				}
				x.Children(func(t report.Element) {
					switch t.Name {
					case "id", "name":
						c.Licenses = append(c.Licenses, x.Text())
					}
				})
			})
		case "hashes":
			x.Children(func(t report.Element) {
				if c.Hashes == nil {
					c.Hashes = map[string]string{}
				}
				c.Hashes[t.Attribute("alg")] = x.Text()
			})
		case "components":
			x.Children(func(t report.Element) { d.xmlComponent(x, t, give) })
		case "vulnerabilities": // the extension of 1.0 to 1.3
			x.Children(func(t report.Element) {
				if f, _, ok := d.readXMLVulnerability(x, t); ok { // it is of this component, whatever it refers to
					later = append(later, func() { x.Fail(d.vulnerability(f, []string{c.Ref})) })
				}
			})
		}
	})
	name(&c.Package, group, purl)
	if c.Ref == "" {
		c.Ref = c.Package.PURL
	}
	if c.Ref == "" && len(later) > 0 {
		c.Ref = fmt.Sprintf("component at byte %d", c.Position.Offset)
	}
	c.Position.Length = x.Offset() - c.Position.Offset
	if give && x.Err() == nil {
		x.Fail(d.component(c))
		for _, emit := range later {
			emit()
		}
	}
	return c
}

func (d *document) readXMLVulnerability(x *report.Elements, t report.Element) (fact.Finding, []string, bool) {
	f := fact.Finding{Kind: fact.Vulnerability, Position: fact.Position{Offset: t.Offset, Item: x.Item()}}
	var refs, aliases []string
	var list ratings
	if ref := t.Attribute("ref"); ref != "" {
		refs = append(refs, ref)
	}
	x.Children(func(t report.Element) {
		switch t.Name {
		case "id":
			f.Rule = x.Text()
		case "source":
			if url := t.Attribute("url"); url != "" {
				f.References = append(f.References, url)
			}
			x.Children(func(t report.Element) {
				if t.Name == "url" {
					f.References = append(f.References, x.Text())
				}
			})
		case "references":
			x.Children(func(report.Element) {
				x.Children(func(t report.Element) {
					if t.Name == "id" {
						aliases = append(aliases, x.Text())
					}
				})
			})
		case "ratings":
			x.Children(func(report.Element) { list = append(list, xmlRating(x)) })
		case "cwes":
			x.Children(func(report.Element) {
				if n, err := strconv.Atoi(x.Text()); err == nil && n > 0 {
					f.CWE = append(f.CWE, n)
				}
			})
		case "description":
			f.Description = x.Text()
		case "detail":
			f.Description = strings.TrimSpace(f.Description + "\n\n" + x.Text())
		case "recommendation":
			f.Mitigation = x.Text()
		case "recommendations":
			x.Children(func(report.Element) { f.Mitigation = strings.TrimSpace(f.Mitigation + "\n" + x.Text()) })
		case "advisories":
			x.Children(func(t report.Element) {
				if t.Name == "advisory" {
					f.References = append(f.References, xmlAdvisory(x)...)
				}
			})
		case "analysis":
			state := ""
			var responses []string
			x.Children(func(t report.Element) {
				switch t.Name {
				case "state":
					state = x.Text()
				case "justification":
					f.Analysis.Justification = x.Text()
				case "detail":
					f.Analysis.Detail = x.Text()
				case "responses":
					x.Children(func(report.Element) { responses = append(responses, x.Text()) })
				}
			})
			analyse(&f, state, responses)
		case "affects":
			x.Children(func(report.Element) {
				x.Children(func(t report.Element) {
					if t.Name == "ref" {
						refs = append(refs, x.Text())
					}
				})
			})
		}
	})
	list.apply(&f)
	f.Aliases = report.Aliases(f.Rule, aliases...)
	f.Position.Length = x.Offset() - f.Position.Offset
	return f, refs, x.Err() == nil
}

// xmlAdvisory reads an advisory, which is an element url or, in the old
// extension, plain text.
func xmlAdvisory(x *report.Elements) []string {
	var urls []string
	x.Children(func(t report.Element) {
		if t.Name == "url" {
			urls = append(urls, x.Text())
		}
	})
	return urls
}

func xmlRating(x *report.Elements) rating {
	var r rating
	number := func(text string) float64 {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f-f != 0 {
			return 0
		}
		return f
	}
	x.Children(func(t report.Element) {
		switch t.Name {
		case "score":
			// Plain in 1.4 and later, with an element base in the old extension.
			base := ""
			plain := x.Mixed(func(t report.Element) {
				if t.Name == "base" {
					base = x.Text()
				}
			})
			r.score = number(cmp.Or(base, plain))
		case "severity":
			r.severity = x.Text()
		case "method":
			r.method = x.Text()
		case "vector":
			r.vector = x.Text()
		}
	})
	return r
}
