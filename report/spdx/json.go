package spdx

import (
	"cmp"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

// readJSON reads both the JSON of versions 2 and the JSON-LD of version 3, which is
// known by its graph.
func (d *document) readJSON(s *report.Scanner) {
	var g *graph
	d.members(s, &g, true)
	if s.Err() != nil {
		return
	}
	if g != nil {
		g.end(s)
		return
	}
	d.check(func(expected string, cause error) {
		s.Fail(&report.Error{Offset: s.Offset(), Expected: expected, Err: cause})
	})
}

// members reads the members of a document. Outermost, they may be those of an envelope:
// of GitHub's dependency graph, of Docker's inspection or of an in-toto statement.
func (d *document) members(s *report.Scanner, g **graph, outermost bool) {
	s.Object(func(key string) {
		switch key {
		case "sbom", "SPDX", "predicate":
			if outermost && s.Kind() == report.KindObject {
				d.members(s, g, false)
			}
		case "@graph":
			*g = newGraph(d)
			s.Array(func(int) { (*g).element(s) })
		case "SPDXID":
			d.id = s.Text()
		case "spdxVersion":
			d.version = s.Text()
		case "name":
			d.name = s.Text()
		case "creationInfo":
			s.Object(func(key string) {
				switch key {
				case "created":
					d.Run.Started = max(0, report.Micros(s.Text()))
				case "creators":
					s.Array(func(int) {
						if s.Kind() == report.KindString {
							d.creator(s.Text())
						}
					})
				}
			})
		case "documentDescribes":
			for _, ref := range s.Texts() {
				d.about(ref)
			}
		case "packages":
			s.Array(func(int) {
				e := readPackage(s)
				if s.Err() == nil {
					s.Fail(d.add(&e))
				}
			})
		case "relationships":
			s.Array(func(int) {
				from, kind, to := "", "", ""
				s.Object(func(key string) {
					switch key {
					case "spdxElementId":
						from = s.Text()
					case "relationshipType":
						kind = s.Text()
					case "relatedSpdxElement":
						to = s.Text()
					}
				})
				d.relate(from, kind, to)
			})
		}
	})
}

func readPackage(s *report.Scanner) entry {
	from, item := s.Offset(), s.Item()
	var e entry
	c := &e.component
	s.Object(func(key string) {
		switch key {
		case "SPDXID":
			c.Ref = s.Text()
		case "name":
			c.Package.Name = s.Text()
		case "versionInfo":
			c.Package.Version = s.Text()
		case "packageFileName":
			c.Path = s.Text()
		case "primaryPackagePurpose":
			c.Type = purpose(s.Text())
		case "licenseConcluded":
			e.concluded = s.Text()
		case "licenseDeclared":
			e.declared = s.Text()
		case "checksums":
			s.Array(func(int) {
				algorithm, value := "", ""
				s.Object(func(key string) {
					switch key {
					case "algorithm":
						algorithm = s.Text()
					case "checksumValue":
						value = s.Text()
					}
				})
				hash(c, algorithm, value)
			})
		case "externalRefs":
			s.Array(func(int) {
				kind, locator := "", ""
				s.Object(func(key string) {
					switch key {
					case "referenceType":
						kind = s.Text()
					case "referenceLocator":
						locator = s.Text()
					}
				})
				e.external(kind, locator)
			})
		}
	})
	c.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	return e
}

// maxNames bounds the names, licences and tools of a graph that are kept to resolve
// references.
const maxNames = 200_000

// graph is the state of reading a document of version 3: a list of elements, in any
// order, that refer to each other by ids.
type graph struct {
	*document
	version  string
	tools    []string // ids of what made the document, in order
	names    map[string]string
	licences map[string]string   // expression or name by id
	licensed map[string][]string // ids of licences by package
	declared map[string][]string
	roots    map[string][]string // of documents and inventories
	flaws    map[string]flaw
	verdicts []verdict
	kept     int
}

func newGraph(d *document) *graph {
	g := &graph{
		document: d, names: map[string]string{}, licences: map[string]string{}, licensed: map[string][]string{}, declared: map[string][]string{},
		roots: map[string][]string{}, flaws: map[string]flaw{},
	}
	d.Finish = g.licence
	return g
}

// licence sets the licences of a package: those concluded, else those declared.
func (g *graph) licence(c *fact.Component) {
	for _, ids := range [][]string{g.licensed[c.Ref], g.declared[c.Ref]} {
		for _, id := range ids {
			if text := stated(g.licences[id]); text != "" {
				c.Licenses = append(c.Licenses, text)
			}
		}
		if len(c.Licenses) > 0 {
			return
		}
	}
}

// keep says whether another name may be kept.
func (g *graph) keep() bool {
	g.kept++
	return g.kept <= maxNames
}

// element reads one element. Its type may come after what belongs to it.
func (g *graph) element(s *report.Scanner) {
	from, item := s.Offset(), s.Item()
	var e entry
	c := &e.component
	kind, relation, source, name, expression, version, started := "", "", "", "", "", "", int64(0)
	justification, impact, action, text := "", "", "", ""
	var targets, tools, roots, ids []string
	s.Object(func(key string) {
		switch local(key) {
		case "type", "@type":
			kind = local(s.Text())
		case "spdxId", "@id":
			c.Ref = s.Text()
		case "name":
			name = s.Text()
		case "packageVersion":
			c.Package.Version = s.Text()
		case "packageUrl":
			e.purl = s.Text()
		case "primaryPurpose":
			c.Type = purpose(s.Text())
		case "licenseExpression":
			expression = s.Text()
		case "specVersion":
			version = s.Text()
		case "created":
			started = max(0, report.Micros(s.Text()))
		case "createdUsing":
			tools = s.Texts()
		case "rootElement":
			roots = s.Texts()
		case "relationshipType":
			relation = local(s.Text())
		case "from":
			source = s.Text()
		case "to":
			targets = s.Texts()
		case "verifiedUsing":
			s.Each(func(int) { verified(s, c) })
		case "externalIdentifier":
			s.Each(func(int) {
				if id := identified(s, &e); id != "" {
					ids = append(ids, id)
				}
			})
		case "justificationType":
			justification = snake(local(s.Text()))
		case "impactStatement":
			impact = s.Text()
		case "actionStatement":
			action = s.Text()
		case "description":
			text = s.Text()
		case "externalRef":
			s.Each(func(int) { referred(s, &e) })
		}
	})
	if s.Err() != nil {
		return
	}
	c.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	switch kind {
	case "Package", "DatasetPackage", "AIPackage":
		c.Package.Name = name
		s.Fail(g.add(&e))
	case "CreationInfo":
		g.version = cmp.Or(g.version, version)
		if g.Run.Started == 0 {
			g.Run.Started = started
		}
		if len(g.tools) == 0 {
			g.tools = tools
		}
	case "SpdxDocument":
		g.id, g.name = c.Ref, name
		g.roots[""] = roots
	case "Sbom", "Bom", "Bundle":
		if g.keep() {
			g.roots[c.Ref] = roots
		}
	case "Tool":
		if g.keep() {
			g.names[c.Ref] = name
		}
	case "LicenseExpression", "SimpleLicensingText", "CustomLicense", "ListedLicense":
		if g.keep() {
			g.licences[c.Ref] = cmp.Or(expression, name)
		}
	case "Vulnerability":
		if g.keep() {
			g.flaws[c.Ref] = vulnerability(ids, name, text)
		}
	case "Relationship", "LifecycleScopedRelationship":
		if relation == "hasAssociatedVulnerability" {
			for _, target := range targets {
				g.verdict(verdict{flaw: target, packages: []string{source}, position: c.Position})
			}
			return
		}
		g.relations(source, relation, targets)
	default:
		if state := assessments[kind]; state != "" {
			a := fact.Analysis{State: state, Justification: justification, Detail: cmp.Or(impact, action), Source: "spdx"}
			g.verdict(verdict{flaw: source, packages: targets, analysis: a, position: c.Position})
		}
	}
}

// verdict keeps what is said of a flaw, which may come later.
func (g *graph) verdict(v verdict) {
	if g.keep() {
		g.verdicts = append(g.verdicts, v)
	}
}

func (g *graph) relations(source, relation string, targets []string) {
	for _, target := range targets {
		switch relation {
		case "hasConcludedLicense":
			if g.keep() {
				g.licensed[source] = append(g.licensed[source], target)
			}
		case "hasDeclaredLicense":
			if g.keep() {
				g.declared[source] = append(g.declared[source], target)
			}
		case "describes":
			g.about(target)
		default:
			g.relate(source, relation, target)
		}
	}
}

// local is a word of the model without its profile: software_Package,
// software:Package and the full address of a word are Package.
func local(word string) string {
	if strings.HasPrefix(word, "@") {
		return word
	}
	return word[strings.LastIndexAny(word, "_:/#")+1:]
}

func verified(s *report.Scanner, c *fact.Component) {
	algorithm, value := "", ""
	s.Object(func(key string) {
		switch local(key) {
		case "algorithm":
			algorithm = local(s.Text())
		case "hashValue":
			value = s.Text()
		}
	})
	hash(c, algorithm, value)
}

// identified reads an identifier, and gives one that names a flaw.
func identified(s *report.Scanner, e *entry) string {
	kind, value := "", ""
	s.Object(func(key string) {
		switch local(key) {
		case "externalIdentifierType":
			kind = local(s.Text())
		case "identifier":
			value = s.Text()
		}
	})
	if strings.EqualFold(kind, "packageUrl") || kind == "purl" {
		e.external("purl", value)
	}
	if kind == "cve" || kind == "securityOther" {
		return value
	}
	return ""
}

func referred(s *report.Scanner, e *entry) {
	kind := ""
	var locators []string
	s.Object(func(key string) {
		switch local(key) {
		case "externalRefType":
			kind = local(s.Text())
		case "locator":
			locators = s.Texts()
		}
	})
	for _, locator := range locators {
		switch kind {
		case "securityAdvisory":
			e.external("advisory", locator)
		case "securityFix":
			e.external("fix", locator)
		}
	}
}

// end resolves what the document is about. Its root may be an inventory, which has
// roots of its own.
func (g *graph) end(s *report.Scanner) {
	switch {
	case g.version == "":
		s.Fail(&report.Error{Offset: s.Offset(), Item: "@graph", Expected: "an element CreationInfo with its specVersion"})
		return
	case !strings.HasPrefix(g.version, "3."):
		s.Fail(&report.Error{Offset: s.Offset(), Item: "@graph", Expected: "specVersion 3.0"})
		return
	}
	s.Fail(g.judge())
	for _, id := range g.tools {
		if name := g.names[id]; name != "" {
			g.tool(name)
			break
		}
	}
	for _, root := range g.roots[""] {
		inner, ok := g.roots[root]
		if root == "" || !ok {
			g.about(root)
			continue
		}
		for _, ref := range inner {
			g.about(ref)
		}
	}
}
