// Package openvex reads OpenVEX documents: statements about whether flaws matter in
// products, without findings.
package openvex

import (
	"cmp"
	"context"
	"io"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/openvex", Name: "OpenVEX", Formats: "JSON, 0.0.1 to 0.2.0",
		Docs: "Produce it with `vexctl create` or any other maker of OpenVEX. One statement for each product, or for each of its subcomponents where some are named: " +
			"not_affected with its justification, affected as exploitable, fixed as resolved, under_investigation as in triage. A statement without a product is of the document's subject.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case strings.Contains(o.Texts["@context"], "openvex"):
		return 97
	case o.Has("statements") && (o.Has("statements[].status", "statements[].vulnerability") || o.Has("statements[].vuln_description")):
		return 90
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	v := report.NewInventory(sink, fact.Run{Tool: "openvex", Format: "openvex"})
	defer v.Close()
	return v.End(report.JSON(ctx, in, func(s *report.Scanner) {
		seen := false
		s.Object(func(key string) {
			switch key {
			case "@id", "id":
				v.Run.Target = s.Text()
			case "timestamp":
				v.Run.Started = report.Micros(s.Text())
			case "tooling":
				v.Run.ToolVersion = s.Text()
			case "statements":
				seen = true
				s.Array(func(int) {
					for _, one := range statement(s) {
						if s.Err() == nil {
							s.Fail(v.Statement(one))
						}
					}
				})
			}
		})
		if s.Err() == nil && !seen {
			s.Fail(&report.Error{Offset: s.Offset(), Expected: "statements"})
		}
	}))
}

var states = map[string]string{
	"not_affected": fact.AnalysisNotAffected, "affected": fact.AnalysisExploitable, "fixed": fact.AnalysisResolved, "under_investigation": fact.AnalysisInTriage,
}

// statement reads one statement into one for each product. A status that is not known
// ends the reading: a statement must not be taken for another.
func statement(s *report.Scanner) []fact.Statement {
	from, item := s.Offset(), s.Item()
	one := fact.Statement{Analysis: fact.Analysis{Source: "openvex"}}
	var details, aliases, products []string
	s.Object(func(key string) {
		switch key {
		case "vulnerability":
			if s.Kind() != report.KindObject {
				one.Advisory = s.Text()
				return
			}
			id := ""
			s.Object(func(key string) {
				switch key {
				case "@id":
					id = s.Text()
				case "name":
					one.Advisory = s.Text()
				case "aliases":
					aliases = s.Texts()
				}
			})
			one.Advisory = cmp.Or(one.Advisory, report.AdvisoryID(id), id)
		case "products":
			s.Each(func(int) { products = append(products, product(s)...) })
		case "status":
			word := s.Text()
			if one.Analysis.State = states[word]; one.Analysis.State == "" && s.Err() == nil {
				s.Expect("a status not_affected, affected, fixed or under_investigation")
			}
		case "justification":
			one.Analysis.Justification = s.Text()
		case "status_notes", "impact_statement", "action_statement":
			if text := s.Text(); text != "" {
				details = append(details, text)
			}
		}
	})
	if s.Err() == nil && (one.Advisory == "" || one.Analysis.State == "") {
		s.Expect("a vulnerability and a status in the statement")
	}
	one.Aliases = report.Aliases(one.Advisory, aliases...)
	one.Analysis.Detail = strings.Join(details, "\n")
	one.Position = fact.Position{Offset: from, Length: s.Offset() - from, Item: item}
	if len(products) == 0 {
		return []fact.Statement{one}
	}
	list := make([]fact.Statement, 0, len(products))
	for _, id := range products {
		each := one
		each.Products = []string{id}
		list = append(list, each)
	}
	return list
}

// product gives what a statement is about: the subcomponents of a product where it
// names some, since the flaw is in them, else the product.
func product(s *report.Scanner) []string {
	if s.Kind() != report.KindObject {
		if id := s.Text(); id != "" {
			return []string{id}
		}
		return nil
	}
	id, purl := "", ""
	var parts []string
	s.Object(func(key string) {
		switch key {
		case "@id":
			id = s.Text()
		case "identifiers":
			s.Object(func(key string) {
				if key == "purl" {
					purl = s.Text()
				}
			})
		case "subcomponents":
			s.Each(func(int) { parts = append(parts, product(s)...) })
		}
	})
	if len(parts) > 0 {
		return parts
	}
	if name := cmp.Or(purl, id); name != "" {
		return []string{name}
	}
	return nil
}
