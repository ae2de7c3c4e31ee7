// Package dependencycheck reads the reports of OWASP Dependency-Check, XML and JSON.
package dependencycheck

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
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
		ID: "report/dependencycheck", Name: "OWASP Dependency-Check", Formats: "XML of all schema versions, JSON",
		Docs: "Produce it with `dependency-check --scan DIR --format XML`. One vulnerability a dependency and advisory; the package is the dependency's package URL or Maven coordinates, " +
			"else only the name of its file. Suppressed vulnerabilities are accepted risks with their notes. Dependency-Check names no fixed versions.",
	}
}

func (reader) Detect(head []byte) int {
	trimmed := bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")))
	if bytes.HasPrefix(trimmed, []byte("<")) {
		if bytes.Contains(trimmed, []byte("<analysis")) && bytes.Contains(trimmed, []byte("dependency-check")) {
			return 95
		}
		return 0
	}
	o := report.OutlineOf(head)
	switch {
	case o.Has("reportSchema", "scanInfo"), o.Has("scanInfo", "projectInfo", "dependencies"):
		return 95
	case o.Has("dependencies[].fileName", "dependencies[].isVirtual"), o.Has("dependencies[].fileName", "dependencies[].evidenceCollected"):
		return 85
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	run := fact.Run{Tool: "dependency-check", Format: "dependencycheck", Complete: true}
	buffered := bufio.NewReaderSize(in, 64<<10)
	head, err := buffered.Peek(512)
	if err != nil && !errors.Is(err, io.EOF) && len(head) == 0 {
		return &report.Error{Offset: 0, Expected: "a report of Dependency-Check", Err: err}
	}
	if bytes.HasPrefix(bytes.TrimSpace(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf"))), []byte("<")) {
		return report.XMLFindings(ctx, buffered, sink, run, "analysis", func(d *report.XMLDocument, _ report.Element) { readXML(d) })
	}
	return report.Findings(ctx, buffered, sink, run, readJSON)
}

// dependency is one that was looked at.
type dependency struct {
	name, path string
	purl       string
	group      string // Maven coordinates group:artifact:version
	found      []fact.Finding
}

// identifier takes a package URL, or the coordinates that older versions wrote; the
// first of either holds.
func (d *dependency) identifier(kind, id string) {
	switch {
	case strings.HasPrefix(id, "pkg:"):
		d.purl = cmp.Or(d.purl, id)
	case kind == "maven" && strings.Count(id, ":") == 2:
		d.group = cmp.Or(d.group, id)
	}
}

func (d *dependency) pkg() fact.Package {
	if p, ok := fact.ParsePURL(d.purl); ok {
		return p
	}
	if at := strings.LastIndexByte(d.group, ':'); at > 0 {
		return report.Named("Maven", d.group[:at], d.group[at+1:])
	}
	return fact.Package{Name: d.name}
}

// each gives the findings of the dependency.
func (d *dependency) each(give func(fact.Finding)) {
	for i := range d.found {
		f := &d.found[i]
		f.Kind, f.Asset, f.Path, f.Package = fact.Vulnerability, fact.Asset{Kind: fact.AssetRepository}, d.path, d.pkg()
		f.Title = f.Rule + " in " + f.Package.Name + ":" + f.Package.Version
		if f.Package.Version == "" {
			f.Title = f.Rule + " in " + f.Package.Name
		}
		give(*f)
	}
}

// scores are what the versions of CVSS say. The newest below 4 wins.
type scores struct {
	plain, two, three, four float64
	word, threeWord         string
	vector                  string
}

func (c *scores) apply(f *fact.Finding) {
	f.Score, f.Vector = cmp.Or(c.three, c.two, c.plain, c.four), c.vector
	report.Rate(f, cmp.Or(c.word, c.threeWord))
	if f.Severity == fact.SeverityUnknown && f.Score > 0 {
		f.Severity = fact.SeverityOfScore(f.Score)
	}
}

func number(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n-n != 0 {
		return 0
	}
	return n
}

func suppressed(f *fact.Finding, notes string) {
	f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: notes, Source: "dependency-check"}
}

// maxFound bounds the findings of one dependency, which are held until it is known.
const maxFound = 100_000

func (d *dependency) add(f fact.Finding, fail func(error)) {
	if len(d.found) == maxFound {
		fail(&report.Error{Offset: f.Position.Offset, Item: f.Position.Item, Expected: fmt.Sprintf("at most %d vulnerabilities of one dependency", maxFound)})
		return
	}
	d.found = append(d.found, f)
}

func readJSON(d *report.Document) {
	d.Object(func(key string) {
		switch key {
		case "scanInfo":
			d.Object(func(key string) {
				if key == "engineVersion" {
					d.Run.ToolVersion = d.Text()
				}
			})
		case "projectInfo":
			d.Object(func(key string) {
				switch key {
				case "name":
					d.Run.Target = d.Text()
				case "reportDate":
					d.Run.Started = report.Micros(d.Text())
				}
			})
		case "dependencies":
			d.Array(func(int) {
				var one dependency
				d.Object(func(key string) {
					switch key {
					case "fileName":
						one.name = d.Text()
					case "filePath":
						one.path = d.Text()
					case "packages":
						d.Array(func(int) {
							d.Object(func(key string) {
								if key == "id" {
									one.identifier("", d.Text())
								}
							})
						})
					case "vulnerabilities", "suppressedVulnerabilities":
						d.Array(func(int) {
							place := d.Place()
							f := vulnerability(d.Scanner, key != "vulnerabilities")
							f.Position = place()
							one.add(f, d.Fail)
						})
					}
				})
				one.each(d.Give)
			})
		}
	})
}

func vulnerability(s *report.Scanner, accepted bool) fact.Finding {
	var f fact.Finding
	var c scores
	notes := ""
	s.Object(func(key string) {
		switch key {
		case "name":
			f.Rule = s.Text()
		case "source":
			report.Attribute(&f, key, s.Text())
		case "severity":
			c.word = s.Text()
		case "description":
			f.Description = s.Text()
		case "notes":
			notes = s.Text()
		case "cwes":
			f.CWE = report.CWEs(s.Texts()...)
		case "cvssv2", "cvssv3", "cvssv4":
			s.Object(func(inner string) {
				switch inner {
				case "score", "baseScore":
					switch n := s.Float(); key {
					case "cvssv2":
						c.two = n
					case "cvssv3":
						c.three = n
					default:
						c.four = n
					}
				case "baseSeverity":
					c.threeWord = s.Text()
				case "vectorString":
					c.vector = cmp.Or(c.vector, s.Text())
				}
			})
		case "references":
			s.Array(func(int) {
				s.Object(func(key string) {
					if key == "url" {
						if url := s.Text(); url != "" {
							f.References = append(f.References, url)
						}
					}
				})
			})
		}
	})
	c.apply(&f)
	if accepted {
		suppressed(&f, notes)
	}
	return f
}

func readXML(d *report.XMLDocument) {
	d.Children(func(e report.Element) {
		switch e.Name {
		case "scanInfo":
			d.Children(func(e report.Element) {
				if e.Name == "engineVersion" {
					d.Run.ToolVersion = d.Text()
				}
			})
		case "projectInfo":
			d.Children(func(e report.Element) {
				switch e.Name {
				case "name":
					d.Run.Target = d.Text()
				case "reportDate":
					d.Run.Started = report.Micros(d.Text())
				}
			})
		case "dependencies":
			d.Children(func(report.Element) {
				one := dependencyXML(d)
				one.each(d.Give)
			})
		}
	})
}

func dependencyXML(d *report.XMLDocument) dependency {
	var one dependency
	d.Children(func(e report.Element) {
		switch e.Name {
		case "fileName":
			one.name = d.Text()
		case "filePath":
			one.path = d.Text()
		case "identifiers":
			d.Children(func(e report.Element) {
				kind := e.Attribute("type")
				d.Children(func(e report.Element) {
					if e.Name == "id" || e.Name == "name" {
						one.identifier(kind, strings.Trim(d.Text(), "()"))
					}
				})
			})
		case "vulnerabilities":
			d.Children(func(e report.Element) {
				if e.Name != "vulnerability" && e.Name != "suppressedVulnerability" {
					return
				}
				place := d.Place(e)
				f := vulnerabilityXML(d, e)
				f.Position = place()
				one.add(f, d.Fail)
			})
		}
	})
	return one
}

func vulnerabilityXML(d *report.XMLDocument, e report.Element) fact.Finding {
	var f fact.Finding
	var c scores
	notes := ""
	report.Attribute(&f, "source", e.Attribute("source"))
	accepted := e.Name == "suppressedVulnerability"
	d.Children(func(e report.Element) {
		switch e.Name {
		case "name":
			f.Rule = d.Text()
		case "severity":
			c.word = d.Text()
		case "description":
			f.Description = d.Text()
		case "notes":
			notes = d.Text()
		case "cwe":
			f.CWE = append(f.CWE, report.CWEs(d.Text())...)
		case "cwes":
			d.Children(func(report.Element) { f.CWE = append(f.CWE, report.CWEs(d.Text())...) })
		case "cvssScore": // before 5.0
			c.plain = number(d.Text())
		case "cvssV2", "cvssV3", "cvssV4":
			version := e.Name
			d.Children(func(e report.Element) {
				switch e.Name {
				case "score", "baseScore":
					switch n := number(d.Text()); version {
					case "cvssV2":
						c.two = n
					case "cvssV3":
						c.three = n
					default:
						c.four = n
					}
				case "baseSeverity":
					c.threeWord = d.Text()
				case "vectorString":
					c.vector = cmp.Or(c.vector, d.Text())
				}
			})
		case "references":
			d.Children(func(report.Element) {
				d.Children(func(e report.Element) {
					if e.Name == "url" {
						if url := d.Text(); url != "" {
							f.References = append(f.References, url)
						}
					}
				})
			})
		}
	})
	c.apply(&f)
	if accepted {
		suppressed(&f, notes)
	}
	return f
}
