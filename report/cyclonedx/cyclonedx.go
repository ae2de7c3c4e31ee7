// Package cyclonedx reads CycloneDX documents, JSON and XML, versions 1.4 to 1.7
// (and the older ones as far as they agree): the inventory, its dependencies,
// vulnerabilities, and their analysis, which is VEX.
package cyclonedx

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

// maxComponents bounds the components of which the names are kept to resolve
// references.
const maxComponents = 1_000_000

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/cyclonedx", Name: "CycloneDX", Formats: "JSON and XML, 1.4 to 1.7",
		Docs: "Components become the inventory. One finding for each vulnerability and component that it affects. An analysis beside it is honoured; " +
			"where a document speaks of components of another document, or holds none, its analyses are statements (VEX) and no findings.",
	}
}

func (reader) Detect(head []byte) int {
	trimmed := bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")))
	if bytes.HasPrefix(trimmed, []byte("<")) {
		if bytes.Contains(trimmed, []byte("cyclonedx.org/schema/bom")) {
			return 95
		}
		return 0
	}
	o := report.OutlineOf(head)
	switch {
	case o.Texts["bomFormat"] == "CycloneDX", strings.Contains(o.Texts["$schema"], "cyclonedx"):
		return 98
	case o.Has("specVersion") && (o.Has("components") || o.Has("vulnerabilities")):
		return 80
	// Some libraries sort the members: what names the format then comes after many
	// components.
	case o.Has("components[].bom-ref", "components[].type"), o.Has("components[].purl", "components[].type"):
		return 75
	case o.Kind == report.KindObject && o.Has("components[].name", "components[].type") && !o.Has("spdxVersion"):
		return 40
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	head := make([]byte, 512)
	n, err := io.ReadFull(in, head)
	if err != nil && n == 0 {
		return &report.Error{Offset: 0, Expected: "a CycloneDX document", Err: err}
	}
	head = head[:n]
	in = io.MultiReader(bytes.NewReader(head), in)
	d := &document{
		Inventory: report.NewInventory(sink, fact.Run{Tool: "cyclonedx", Format: "cyclonedx", Complete: true}),
		known:     map[string]fact.Package{},
	}
	defer d.Close()
	defer d.held.Close()
	if bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))), []byte("<")) {
		err = d.readXML(ctx, in)
	} else {
		err = report.JSON(ctx, in, d.readJSON)
	}
	return d.End(cmp.Or(d.settle(), err))
}

// document is the state of reading one document.
type document struct {
	*report.Inventory
	known map[string]fact.Package // by bom-ref
	held  report.Spool            // vulnerabilities, whose components may come after them
}

// component gives an entry of the inventory on and keeps its name.
func (d *document) component(c fact.Component) error {
	if c.Ref != "" && len(d.known) < maxComponents {
		d.known[c.Ref] = c.Package
	}
	return d.Component(c)
}

// Attributes that only live until the document's end.
const heldRef = "\x00ref"

// vulnerability holds one finding for each component that it affects.
func (d *document) vulnerability(f fact.Finding, refs []string) error {
	if len(refs) == 0 {
		refs = []string{""}
	}
	for i, ref := range refs {
		one := f
		one.Attributes = map[string]string{heldRef: ref}
		for name, value := range f.Attributes {
			one.Attributes[name] = value
		}
		if i > 0 {
			one.Position.Item = fmt.Sprintf("%s.affects[%d]", f.Position.Item, i)
		}
		if err := d.held.Add(one); err != nil {
			return err
		}
	}
	return nil
}

// settle resolves what was held, after the last component.
func (d *document) settle() error {
	return d.held.Replay(func(f fact.Finding) error {
		ref := f.Attributes[heldRef]
		delete(f.Attributes, heldRef)
		pkg, ok := d.known[ref]
		if !ok {
			pkg, ok = fact.ParsePURL(ref)
		}
		foreign := strings.HasPrefix(ref, "urn:cdx:")
		if f.Analysis.State != "" && (foreign || !ok && len(d.known) == 0) {
			if hash := strings.IndexByte(ref, '#'); foreign && hash > 0 {
				ref = ref[hash+1:]
			}
			s := fact.Statement{Advisory: f.Rule, Aliases: f.Aliases, Analysis: f.Analysis, Position: f.Position}
			if ref != "" {
				s.Products = []string{ref}
			}
			return d.Statement(s)
		}
		if f.Analysis.State != "" && pkg.PURL != "" && len(d.known) == 0 {
			// A document without inventory speaks about what others find.
			s := fact.Statement{Advisory: f.Rule, Aliases: f.Aliases, Products: []string{pkg.PURL}, Analysis: f.Analysis, Position: f.Position}
			if err := d.Statement(s); err != nil {
				return err
			}
		}
		f.Package = pkg
		name, version := pkg.Name, pkg.Version
		if !ok {
			name, version = "None", "None"
		}
		if f.Title == "" {
			f.Title = name + ":" + version + " | " + f.Rule
		}
		return d.Finding(f)
	})
}

func (d *document) readJSON(s *report.Scanner) {
	s.Object(func(key string) {
		switch key {
		case "metadata":
			s.Object(func(key string) {
				switch key {
				case "timestamp":
					d.Run.Started = report.Micros(s.Text())
				case "tools":
					d.tools(s)
				case "component":
					c, kind := readComponent(s, nil)
					d.setSubject(c, kind)
				}
			})
		case "components", "services":
			s.Array(func(int) { readComponent(s, func(c fact.Component) { s.Fail(d.component(c)) }) })
		case "vulnerabilities":
			s.Array(func(int) { d.readVulnerability(s) })
		case "dependencies":
			s.Array(func(int) {
				ref := ""
				var on []string
				s.Object(func(key string) {
					switch key {
					case "ref":
						ref = s.Text()
					case "dependsOn":
						on = s.Texts()
					}
				})
				d.Requires(ref, on...)
			})
		}
	})
}

func (d *document) setSubject(c fact.Component, kind string) {
	if c.Ref != "" {
		d.known[c.Ref] = c.Package
	}
	d.Run.Target = c.Package.Name
	switch kind {
	case "container":
		d.Subject = report.ImageAsset(c.Package.Name, c.Package.Version)
	case "application", "library", "file":
		d.Subject = fact.Asset{Kind: fact.AssetRepository, Key: c.Package.Name, Name: c.Package.Name}
	}
}

// tools reads the array of 1.4 and the object that came with 1.5.
func (d *document) tools(s *report.Scanner) {
	tool := func() {
		name, version := "", ""
		s.Object(func(key string) {
			switch key {
			case "name":
				name = s.Text()
			case "version":
				version = s.Text()
			}
		})
		if name != "" && d.Run.ToolVersion == "" {
			d.Run.Tool, d.Run.ToolVersion = name, version
		}
	}
	if s.Kind() == report.KindArray {
		s.Array(func(int) { tool() })
		return
	}
	s.Object(func(key string) {
		if key == "components" {
			s.Array(func(int) { tool() })
		}
	})
}

// readComponent reads a component, and gives it and those nested in it to each.
func readComponent(s *report.Scanner, each func(fact.Component)) (fact.Component, string) {
	from, item := s.Offset(), s.Item()
	var c fact.Component
	group, purl := "", ""
	var nested []fact.Component
	s.Object(func(key string) {
		switch key {
		case "type":
			c.Type = s.Text()
		case "bom-ref":
			c.Ref = s.Text()
		case "group":
			group = s.Text()
		case "name":
			c.Package.Name = s.Text()
		case "version":
			c.Package.Version = s.Text()
		case "purl":
			purl = s.Text()
		case "licenses":
			s.Array(func(int) { c.Licenses = append(c.Licenses, license(s)) })
		case "hashes":
			s.Array(func(int) {
				algorithm, content := "", ""
				s.Object(func(key string) {
					switch key {
					case "alg":
						algorithm = s.Text()
					case "content":
						content = s.Text()
					}
				})
				if c.Hashes == nil {
					c.Hashes = map[string]string{}
				}
				c.Hashes[algorithm] = content
			})
		case "evidence":
			s.Object(func(key string) {
				if key == "occurrences" {
					s.Array(func(i int) {
						s.Object(func(key string) {
							if key == "location" && i == 0 {
								c.Path = s.Text()
							}
						})
					})
				}
			})
		case "components":
			s.Array(func(int) { readComponent(s, func(inner fact.Component) { nested = append(nested, inner) }) })
		}
	})
	name(&c.Package, group, purl)
	c.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	if each != nil && s.Err() == nil {
		each(c)
		for _, inner := range nested {
			each(inner)
		}
	}
	return c, c.Type
}

// name completes a package by its package URL; name and version of the document
// stay as they are for people when there is none.
func name(p *fact.Package, group, purl string) {
	if parsed, ok := fact.ParsePURL(purl); ok {
		version := p.Version
		plain := p.Name
		*p = parsed
		if p.Version == "" {
			p.Version = version
		}
		if p.Ecosystem == "" {
			p.Name = plain
		}
		return
	}
	if group != "" {
		p.Name = group + ":" + p.Name
	}
}

func license(s *report.Scanner) string {
	text := ""
	s.Object(func(key string) {
		switch key {
		case "license":
			s.Object(func(key string) {
				switch key {
				case "id", "name":
					if value := s.Text(); text == "" {
						text = value
					}
				}
			})
		case "expression":
			text = s.Text()
		}
	})
	return text
}

func (d *document) readVulnerability(s *report.Scanner) {
	from, item := s.Offset(), s.Item()
	f := fact.Finding{Kind: fact.Vulnerability}
	var refs, aliases []string
	var ratings ratings
	s.Object(func(key string) {
		switch key {
		case "id":
			f.Rule = s.Text()
		case "source":
			s.Object(func(key string) {
				if key == "url" {
					f.References = append(f.References, s.Text())
				}
			})
		case "references":
			s.Array(func(int) {
				s.Object(func(key string) {
					switch key {
					case "id":
						aliases = append(aliases, s.Text())
					case "source":
						s.Object(func(key string) {
							if key == "url" {
								f.References = append(f.References, s.Text())
							}
						})
					}
				})
			})
		case "advisories":
			s.Array(func(int) {
				s.Object(func(key string) {
					if key == "url" {
						f.References = append(f.References, s.Text())
					}
				})
			})
		case "ratings":
			s.Array(func(int) {
				var r rating
				s.Object(func(key string) {
					switch key {
					case "score":
						r.score = s.Float()
					case "severity":
						r.severity = s.Text()
					case "method":
						r.method = s.Text()
					case "vector":
						r.vector = s.Text()
					}
				})
				ratings = append(ratings, r)
			})
		case "cwes":
			s.Array(func(int) {
				if n := s.Int(); n > 0 {
					f.CWE = append(f.CWE, n)
				}
			})
		case "description":
			f.Description = s.Text()
		case "detail":
			if text := s.Text(); text != "" {
				f.Description = strings.TrimSpace(f.Description + "\n\n" + text)
			}
		case "recommendation":
			f.Mitigation = s.Text()
		case "analysis":
			var responses []string
			state := ""
			s.Object(func(key string) {
				switch key {
				case "state":
					state = s.Text()
				case "justification":
					f.Analysis.Justification = s.Text()
				case "response":
					responses = s.Texts()
				case "detail":
					f.Analysis.Detail = s.Text()
				}
			})
			analyse(&f, state, responses)
		case "affects":
			s.Array(func(int) {
				s.Object(func(key string) {
					if key == "ref" {
						refs = append(refs, s.Text())
					}
				})
			})
		}
	})
	ratings.apply(&f)
	f.Aliases = report.Aliases(f.Rule, aliases...)
	f.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	if s.Err() == nil {
		s.Fail(d.vulnerability(f, refs))
	}
}

// analyse sets the statement of a vulnerability. A response that says that it
// will not be fixed is a decision to accept the risk.
func analyse(f *fact.Finding, state string, responses []string) {
	switch state {
	case "exploitable":
		f.Analysis.State = fact.AnalysisExploitable
	case "in_triage":
		f.Analysis.State = fact.AnalysisInTriage
	case "false_positive":
		f.Analysis.State = fact.AnalysisFalsePositive
	case "not_affected":
		f.Analysis.State = fact.AnalysisNotAffected
	case "resolved", "resolved_with_pedigree":
		f.Analysis.State = fact.AnalysisResolved
	}
	for _, response := range responses {
		if (response == "will_not_fix" || response == "can_not_fix") && (f.Analysis.State == "" || f.Analysis.State == fact.AnalysisExploitable) {
			f.Analysis.State = fact.AnalysisAcceptedRisk
		}
	}
	if f.Analysis.State != "" {
		f.Analysis.Source = "cyclonedx"
	}
}

type rating struct {
	score                    float64
	severity, method, vector string
}

type ratings []rating

// apply takes severity, score and vector of the rating by the highest CVSS version
// below 4, else of any; what it does not give comes from the first that does.
func (list ratings) apply(f *fact.Finding) {
	best := -1
	for i, r := range list {
		if best < 0 || r.rank() > list[best].rank() {
			best = i
		}
	}
	if best < 0 {
		return
	}
	f.Score, f.Vector = list[best].score, list[best].vector
	report.Rate(f, list[best].severity)
	for _, r := range list {
		if f.SeverityText == "" && r.severity != "" {
			report.Rate(f, r.severity)
		}
		if f.Score == 0 && r.score > 0 {
			f.Score, f.Vector = r.score, r.vector
		}
	}
	if f.Severity == fact.SeverityUnknown && f.Score > 0 {
		f.Severity = fact.SeverityOfScore(f.Score)
		if f.SeverityText == "" {
			f.SeverityText = strconv.FormatFloat(f.Score, 'g', -1, 64)
		}
	}
}

// rank orders the methods of ratings.
func (r rating) rank() int {
	rank := 0
	switch r.method {
	case "CVSSv31":
		rank = 8
	case "CVSSv3":
		rank = 7
	case "CVSSv2":
		rank = 6
	case "CVSSv4":
		rank = 5
	}
	if r.score > 0 {
		rank++
	}
	return 2*rank + min(len(r.severity), 1)
}
