// Package terraform judges Terraform configurations of AWS, Azure, Google Cloud and the
// Kubernetes provider: what would be made public, unencrypted, unlogged or too powerful.
//
// Every root module is evaluated with the modules that it calls, so that a value is
// judged as each instance gets it; a module that nothing calls is judged by itself. A
// finding names the instance, the field and a value that would satisfy the rule, or what
// a person has to choose. A value that depends on something outside the text is never
// taken for good or bad: it is counted, and the look says of the file that it was
// incomplete.
//
// It needs no network and runs nothing. Which tools call a rule by which id was read in
// those tools' own rules; an id that is not surely the same rule is left out.
package terraform

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/scan"
)

// ID names the scanner in findings and runs.
const ID = "scan/terraform"

// Attributes of a finding, by the names of the contract for fixers.
const (
	attributeField  = "field"
	attributeWanted = "wanted"
	attributeRemove = "remove"
	attributeObject = "object"
	attributeRoot   = "root"
	attributeValue  = "value" // what the field is now, as JSON
)

// Tally counts judgements: a rule over an instance. Unknown ones are neither good nor bad.
type Tally struct{ Passed, Failed, Unknown int }

type scanner struct{ rules []Rule }

// New makes the scanner.
func New() scan.Scanner { return scanner{Rules()} }

// Rules lists what is judged, by id.
func Rules() []Rule {
	list := slices.Concat(awsStorage(), awsCompute(), awsData(), awsIdentity(), azure(), google(), kubernetes())
	slices.SortFunc(list, func(a, b Rule) int { return strings.Compare(a.ID, b.ID) })
	return list
}

func (s scanner) Describe() scan.Description {
	sum := sha256.New()
	for _, r := range s.rules {
		fmt.Fprintf(sum, "%s|%s|%d|%s|%s\n", r.ID, r.Title, r.Severity, strings.Join(r.Aliases, " "), strings.Join(r.Kinds, " "))
	}
	return scan.Description{
		ID: ID, Name: "terraform",
		Docs:  fmt.Sprintf("Judges resources of Terraform by %d rules, as each instance gets its values through modules, variables and files of variables. Values that are not known from the text are counted and told.", len(s.rules)),
		Rules: "sha256:" + hex.EncodeToString(sum.Sum(nil)),
	}
}

// Concerns implements scan.Selective.
func (scanner) Concerns(kind fact.Kind, name string) bool {
	return kind != fact.Vulnerability && strings.Contains(path.Base(name), ".tf")
}

// Scan implements scan.Scanner.
func (s scanner) Scan(ctx context.Context, tree code.Tree, found func(fact.Finding) error) ([]scan.Problem, error) {
	_, problems, err := s.look(ctx, tree, found)
	return problems, err
}

// Look is the scan with its counts.
func Look(ctx context.Context, tree code.Tree, found func(fact.Finding) error) (Tally, []scan.Problem, error) {
	return scanner{Rules()}.look(ctx, tree, found)
}

func (s scanner) look(ctx context.Context, tree code.Tree, found func(fact.Finding) error) (tally Tally, problems []scan.Problem, err error) {
	roots, err := terraform.Roots(ctx, tree)
	if err != nil {
		return tally, nil, err
	}
	told := map[scan.Problem]bool{}
	tell := func(p scan.Problem) {
		if !told[p] {
			told[p] = true
			problems = append(problems, p)
		}
	}
	for _, dir := range roots {
		c, err := terraform.Load(ctx, tree, dir, terraform.Options{})
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return tally, problems, err
		}
		for _, p := range c.Problems {
			tell(scan.Problem{Path: p.Path, Line: p.Line, Text: p.Text})
		}
		for _, u := range c.Unevaluated {
			tell(scan.Problem{Path: u.Place.Path, Line: u.Place.Line, Text: fmt.Sprintf("%s comes from %s, which is not in the tree, so that what it makes was not judged", u.Address, u.Source)})
		}
		j := &judging{estate: survey(c), dir: dir, found: found, unknown: func(file string) {
			tell(scan.Problem{Path: file, Text: "rules over its resources were left without a judgement: they need values that the text does not give"})
		}}
		if err := j.judge(ctx, s.rules); err != nil {
			return tally, problems, err
		}
		tally.Passed, tally.Failed, tally.Unknown = tally.Passed+j.tally.Passed, tally.Failed+j.tally.Failed, tally.Unknown+j.tally.Unknown
	}
	return tally, problems, nil
}

// survey evaluates every instance of a configuration.
func survey(c *terraform.Configuration) *estate {
	e := &estate{c: c, byKind: map[string][]subject{}}
	for _, a := range append(c.Instances(), c.DataInstances()...) {
		if v, ok := c.Evaluated(a); ok {
			e.byKind[kindOf(a)] = append(e.byKind[kindOf(a)], subject{e, a, v})
		}
	}
	return e
}

// judging is the judging of one configuration.
type judging struct {
	*estate
	dir     string
	found   func(fact.Finding) error
	unknown func(file string)
	tally   Tally
}

func (j *judging) judge(ctx context.Context, rules []Rule) error {
	for _, r := range rules {
		for _, kind := range r.Kinds {
			for i := range j.byKind[kind] {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				s := &j.byKind[kind][i]
				flaws, known := r.judge(s)
				for _, f := range flaws {
					if err := j.found(j.finding(&r, s, f)); err != nil {
						return err
					}
				}
				switch {
				case len(flaws) > 0:
					j.tally.Failed++
				case known:
					j.tally.Passed++
				default:
					j.tally.Unknown++
					d, _, _ := j.c.Locate(s.address)
					j.unknown(d.Place.Path)
				}
			}
		}
	}
	return nil
}

// Object names an instance of a configuration: "root:address", "." for the tree's own.
func Object(dir string, a terraform.Address) string { return path.Clean(dir) + ":" + a.String() }

func (j *judging) finding(r *Rule, s *subject, f flaw) fact.Finding {
	place := j.place(s.address, f.field)
	object := Object(j.dir, s.address)
	finding := fact.Finding{
		Kind: fact.Misconfiguration, Rule: r.ID, Aliases: r.Aliases, Title: r.Title, Severity: r.Severity, SeverityText: r.Severity.String(),
		Asset: fact.Asset{Kind: fact.AssetRepository}, Path: place.Path, Line: place.Line, EndLine: max(place.Line, place.EndLine), Anchor: s.address.String(),
		Attributes: map[string]string{attributeField: f.field, attributeObject: object, attributeRoot: j.dir},
	}
	if f.remove {
		finding.Attributes[attributeRemove] = "true"
	} else {
		finding.Attributes[attributeWanted] = f.wanted
	}
	for name, value := range f.more {
		finding.Attributes[name] = value
	}
	if f.detail != "" {
		finding.Attributes[attributeValue] = f.detail
	}
	return finding
}

// place is the part of the resource's own block that a field stands in.
func (j *judging) place(a terraform.Address, field string) terraform.Place {
	d, _, _ := j.c.Locate(a)
	place := d.Place
	place.EndLine = place.Line
	field, _, _ = strings.Cut(field, "#")
	keys, ok := terraform.FieldPath(field)
	if !ok {
		return place
	}
	t := j.c.Origin(a, keys)
	for _, step := range t.Steps {
		if step.Kind != terraform.StepAttribute && step.Kind != terraform.StepBlock || step.Place.Path != place.Path && step.Place.Path != d.Place.Path {
			break
		}
		place = step.Place
		if step.Kind == terraform.StepAttribute {
			return place
		}
		place.EndLine = place.Line
	}
	return place
}
