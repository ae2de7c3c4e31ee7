package cyclonedx

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

// maxXMLDepth bounds nested elements.
const maxXMLDepth = 200

// tree reads the XML form. It goes by local names, so that the namespaces of
// all versions and of the old vulnerability extension read alike.
type tree struct {
	ctx     context.Context
	decoder *xml.Decoder
	depth   int
	err     error
}

func (d *document) readXML(ctx context.Context, in io.Reader) error {
	x := &tree{ctx: ctx, decoder: xml.NewDecoder(io.LimitReader(in, report.MaxDocument))}
	seen := false
	for x.err == nil {
		token, err := x.decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			x.fault("", err)
			break
		}
		switch t := token.(type) {
		case xml.StartElement:
			if t.Name.Local != "bom" || seen {
				x.fault("one element bom", fmt.Errorf("found %s", t.Name.Local))
				break
			}
			seen = true
			d.bom(x)
		case xml.Directive:
			x.fault("no document type", nil)
		}
	}
	if x.err == nil && !seen {
		x.fault("an element bom", io.ErrUnexpectedEOF)
	}
	return x.err
}

func (x *tree) fault(expected string, cause error) {
	if x.err != nil {
		return
	}
	line, _ := x.decoder.InputPos()
	x.err = &report.Error{Offset: x.decoder.InputOffset(), Line: line, Expected: expected, Err: cause}
}

// children calls each with every element inside the present one.
func (x *tree) children(each func(xml.StartElement)) {
	if x.depth++; x.depth > maxXMLDepth {
		x.fault(fmt.Sprintf("at most %d nested elements", maxXMLDepth), nil)
		return
	}
	for x.err == nil {
		if x.ctx.Err() != nil {
			x.err = x.ctx.Err()
			return
		}
		token, err := x.decoder.Token()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			x.fault("", err)
			return
		}
		switch t := token.(type) {
		case xml.StartElement:
			each(t)
		case xml.EndElement:
			x.depth--
			return
		}
	}
}

// text reads the text of the present element.
func (x *tree) text() string {
	var b strings.Builder
	for x.err == nil {
		token, err := x.decoder.Token()
		if err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			x.fault("", err)
			return ""
		}
		switch t := token.(type) {
		case xml.CharData:
			if b.Len()+len(t) > report.MaxString {
				x.fault(fmt.Sprintf("a text of at most %d bytes", report.MaxString), nil)
				return ""
			}
			b.Write(t)
		case xml.StartElement:
			x.skip()
		case xml.EndElement:
			return strings.TrimSpace(b.String())
		}
	}
	return ""
}

func (x *tree) skip() { x.children(func(xml.StartElement) { x.skip() }) }

func attribute(t xml.StartElement, name string) string {
	for _, a := range t.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (d *document) bom(x *tree) {
	x.children(func(t xml.StartElement) {
		switch t.Name.Local {
		case "metadata":
			d.metadata(x)
		case "components", "services":
			d.start()
			x.children(func(t xml.StartElement) { d.xmlComponent(x, t, true) })
		case "vulnerabilities":
			d.start()
			x.children(func(t xml.StartElement) {
				if f, refs, ok := d.readXMLVulnerability(x, t); ok {
					d.vulnerability(f, refs)
				}
			})
		case "dependencies":
			x.children(func(t xml.StartElement) {
				var on []string
				x.children(func(inner xml.StartElement) {
					if ref := attribute(inner, "ref"); ref != "" && inner.Name.Local == "dependency" {
						on = append(on, ref)
					}
					x.skip()
				})
				d.dependency(attribute(t, "ref"), on)
			})
		default:
			x.skip()
		}
		if d.sinkErr != nil {
			x.err = d.sinkErr
		}
	})
}

func (d *document) metadata(x *tree) {
	x.children(func(t xml.StartElement) {
		switch t.Name.Local {
		case "timestamp":
			d.run.Started = report.Micros(x.text())
		case "component":
			c := d.xmlComponent(x, t, false)
			d.setSubject(c, c.Type)
		case "tools":
			d.xmlTools(x)
		default:
			x.skip()
		}
	})
}

func (d *document) xmlTools(x *tree) {
	x.children(func(t xml.StartElement) {
		switch t.Name.Local {
		case "tool", "component":
			name, version := "", ""
			x.children(func(t xml.StartElement) {
				switch t.Name.Local {
				case "name":
					name = x.text()
				case "version":
					version = x.text()
				default:
					x.skip()
				}
			})
			if name != "" && d.run.ToolVersion == "" {
				d.run.Tool, d.run.ToolVersion = name, version
			}
		case "components":
			d.xmlTools(x)
		default:
			x.skip()
		}
	})
}

func (d *document) xmlComponent(x *tree, t xml.StartElement, give bool) fact.Component {
	c := fact.Component{Type: attribute(t, "type"), Ref: attribute(t, "bom-ref"), Position: fact.Position{Offset: x.decoder.InputOffset()}}
	group, purl := "", ""
	var later []func()
	x.children(func(t xml.StartElement) {
		switch t.Name.Local {
		case "group":
			group = x.text()
		case "name":
			c.Package.Name = x.text()
		case "version":
			c.Package.Version = x.text()
		case "purl":
			purl = x.text()
		case "licenses":
			x.children(func(t xml.StartElement) {
				if t.Name.Local == "expression" {
					c.Licenses = append(c.Licenses, x.text())
					return
				}
				x.children(func(t xml.StartElement) {
					switch t.Name.Local {
					case "id", "name":
						c.Licenses = append(c.Licenses, x.text())
					default:
						x.skip()
					}
				})
			})
		case "hashes":
			x.children(func(t xml.StartElement) {
				if c.Hashes == nil {
					c.Hashes = map[string]string{}
				}
				c.Hashes[attribute(t, "alg")] = x.text()
			})
		case "components":
			x.children(func(t xml.StartElement) { d.xmlComponent(x, t, give) })
		case "vulnerabilities": // the extension of 1.0 to 1.3
			x.children(func(t xml.StartElement) {
				if f, _, ok := d.readXMLVulnerability(x, t); ok { // it is of this component, whatever it refers to
					later = append(later, func() { d.vulnerability(f, []string{c.Ref}) })
				}
			})
		default:
			x.skip()
		}
	})
	name(&c.Package, group, purl)
	if c.Ref == "" {
		c.Ref = c.Package.PURL
	}
	if c.Ref == "" && len(later) > 0 {
		c.Ref = fmt.Sprintf("component at byte %d", c.Position.Offset)
	}
	c.Position.Length = x.decoder.InputOffset() - c.Position.Offset
	if give && x.err == nil {
		d.component(c)
		for _, emit := range later {
			emit()
		}
	}
	return c
}

func (d *document) readXMLVulnerability(x *tree, t xml.StartElement) (fact.Finding, []string, bool) {
	f := fact.Finding{Kind: fact.Vulnerability, Position: fact.Position{Offset: x.decoder.InputOffset()}}
	var refs, aliases []string
	var list ratings
	if ref := attribute(t, "ref"); ref != "" {
		refs = append(refs, ref)
	}
	x.children(func(t xml.StartElement) {
		switch t.Name.Local {
		case "id":
			f.Rule = x.text()
		case "source":
			if url := attribute(t, "url"); url != "" {
				f.References = append(f.References, url)
			}
			x.children(func(t xml.StartElement) {
				if t.Name.Local == "url" {
					f.References = append(f.References, x.text())
				} else {
					x.skip()
				}
			})
		case "references":
			x.children(func(xml.StartElement) {
				x.children(func(t xml.StartElement) {
					if t.Name.Local == "id" {
						aliases = append(aliases, x.text())
					} else {
						x.skip()
					}
				})
			})
		case "ratings":
			x.children(func(xml.StartElement) { list = append(list, xmlRating(x)) })
		case "cwes":
			x.children(func(xml.StartElement) {
				if n, err := strconv.Atoi(x.text()); err == nil && n > 0 {
					f.CWE = append(f.CWE, n)
				}
			})
		case "description":
			f.Description = x.text()
		case "detail":
			f.Description = strings.TrimSpace(f.Description + "\n\n" + x.text())
		case "recommendation":
			f.Mitigation = x.text()
		case "recommendations":
			x.children(func(xml.StartElement) { f.Mitigation = strings.TrimSpace(f.Mitigation + "\n" + x.text()) })
		case "advisories":
			x.children(func(t xml.StartElement) {
				if t.Name.Local == "advisory" {
					f.References = append(f.References, xmlAdvisory(x)...)
				} else {
					x.skip()
				}
			})
		case "analysis":
			state := ""
			var responses []string
			x.children(func(t xml.StartElement) {
				switch t.Name.Local {
				case "state":
					state = x.text()
				case "justification":
					f.Analysis.Justification = x.text()
				case "detail":
					f.Analysis.Detail = x.text()
				case "responses":
					x.children(func(xml.StartElement) { responses = append(responses, x.text()) })
				default:
					x.skip()
				}
			})
			analyse(&f, state, responses)
		case "affects":
			x.children(func(xml.StartElement) {
				x.children(func(t xml.StartElement) {
					if t.Name.Local == "ref" {
						refs = append(refs, x.text())
					} else {
						x.skip()
					}
				})
			})
		default:
			x.skip()
		}
	})
	list.apply(&f)
	f.Aliases = report.Aliases(f.Rule, aliases...)
	f.Position.Length = x.decoder.InputOffset() - f.Position.Offset
	return f, refs, x.err == nil
}

// xmlAdvisory reads an advisory, which is an element url or, in the old
// extension, plain text.
func xmlAdvisory(x *tree) []string {
	var urls []string
	x.children(func(t xml.StartElement) {
		if t.Name.Local == "url" {
			urls = append(urls, x.text())
		} else {
			x.skip()
		}
	})
	return urls
}

func xmlRating(x *tree) rating {
	var r rating
	number := func(text string) float64 {
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || f-f != 0 {
			return 0
		}
		return f
	}
	x.children(func(t xml.StartElement) {
		switch t.Name.Local {
		case "score":
			base := ""
			var plain strings.Builder
			// Plain in 1.4 and later, with an element base in the old extension.
			for x.err == nil {
				token, err := x.decoder.Token()
				if err != nil {
					x.fault("", err)
					return
				}
				switch t := token.(type) {
				case xml.CharData:
					plain.Write(t)
				case xml.StartElement:
					if t.Name.Local == "base" {
						base = x.text()
					} else {
						x.skip()
					}
				case xml.EndElement:
					if base == "" {
						base = strings.TrimSpace(plain.String())
					}
					r.score = number(base)
					return
				}
			}
		case "severity":
			r.severity = x.text()
		case "method":
			r.method = x.text()
		case "vector":
			r.vector = x.text()
		default:
			x.skip()
		}
	})
	return r
}
