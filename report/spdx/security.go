package spdx

import (
	"cmp"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

// flaw is a vulnerability of the security profile of version 3.
type flaw struct {
	id      string // CVE or other id
	aliases []string
	text    string
}

// verdict is a relationship between a flaw and packages: that a package has it, or, as
// an assessment, whether it matters there.
type verdict struct {
	flaw     string // reference
	packages []string
	analysis fact.Analysis // empty when a package has the flaw
	position fact.Position
}

// assessments are the kinds of VEX, with what they say.
var assessments = map[string]string{
	"VexAffectedVulnAssessmentRelationship": fact.AnalysisExploitable, "VexNotAffectedVulnAssessmentRelationship": fact.AnalysisNotAffected,
	"VexFixedVulnAssessmentRelationship": fact.AnalysisResolved, "VexUnderInvestigationVulnAssessmentRelationship": fact.AnalysisInTriage,
}

// vulnerability names a flaw by its CVE, else by another identifier, else by its name.
func vulnerability(ids []string, name, text string) flaw {
	if len(ids) == 0 || report.AdvisoryID(name) == name {
		ids = append(ids, name)
	}
	for i, id := range ids {
		if strings.HasPrefix(id, "CVE-") {
			ids[0], ids[i] = id, ids[0]
			break
		}
	}
	return flaw{id: ids[0], aliases: report.Aliases(ids[0], ids...), text: text}
}

// snake writes vulnerableCodeNotPresent as other statements do:
// vulnerable_code_not_present.
func snake(word string) string {
	var b strings.Builder
	for _, r := range word {
		if 'A' <= r && r <= 'Z' {
			b.WriteByte('_')
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// judge gives what a document says of flaws, after all elements are known: a finding for
// a package that has one, a statement for an assessment.
func (g *graph) judge() error {
	for _, v := range g.verdicts {
		one, ok := g.flaws[v.flaw]
		if !ok || one.id == "" {
			continue
		}
		for _, ref := range v.packages {
			pkg := fact.Package{Name: ref}
			if c := g.Find(ref); c != nil {
				pkg = c.Package
			}
			if v.analysis.State != "" {
				err := g.Statement(fact.Statement{
					Advisory: one.id, Aliases: one.aliases, Products: []string{cmp.Or(pkg.PURL, ref)}, Analysis: v.analysis, Position: v.position,
				})
				if err != nil {
					return err
				}
				continue
			}
			err := g.Finding(fact.Finding{
				Kind: fact.Vulnerability, Rule: one.id, Aliases: one.aliases, Title: one.id + " in " + pkg.Name + ":" + pkg.Version, Description: one.text,
				Package: pkg, Position: v.position,
			})
			if err != nil {
				return err
			}
		}
	}
	return nil
}
