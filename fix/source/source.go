// Package source plans what nothing of ours can write: a change of the program text or
// of a declaration by a person, or by a coding agent that the issue is handed to. It
// says where, what the detector advises, and how the result is judged. It is asked after
// the other fixers and speaks only where none of them mends the flaw.
package source

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// ID names the fixer in paths.
const ID = "fix/source"

// Bounds of what is said: places, and bytes of a detector's own words.
const (
	maxPlaces = 5
	maxAdvice = 400
)

type fixer struct{}

// New makes the fixer.
func New() fix.SiteFixer { return fixer{} }

func (fixer) Describe() fix.Description {
	return fix.Description{
		ID: ID, Name: "source",
		Docs: "Where no other fixer mends a flaw: the place, what the detector advises, and how the issue is handed to a person or a coding agent whose change is then proven.",
	}
}

// Apply refuses: people and coding agents write these changes.
func (fixer) Apply(context.Context, string, fix.Path) ([]string, error) {
	return nil, errors.New("people or a coding agent write this change; nothing is applied here")
}

// PlanSite implements fix.SiteFixer.
func (fixer) PlanSite(ctx context.Context, site *fix.Site) ([]fix.Path, error) {
	var paths []fix.Path
	for i := range site.Flaws {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		flaw := &site.Flaws[i]
		if !written(flaw.Kind) || slices.ContainsFunc(site.Planned, func(p fix.Path) bool { return mends(&p) && slices.Contains(p.Closes, flaw.Issue) }) {
			continue
		}
		p := plan(site, flaw)
		if data, err := site.Tree.Read(ctx, site.Location.Path); err == nil && fix.Generated(data) {
			p.Summary = "change what generates " + site.Location.Path
			p.Steps[0] = fix.Step{Text: "the file says that it is generated: change what it is made from, and make it anew", Location: p.Steps[0].Location}
		}
		paths = append(paths, p)
	}
	return paths, nil
}

// written says whether flaws of a kind go away by what somebody writes at their place.
// A package is moved and a secret is rotated.
func written(kind fact.Kind) bool {
	switch kind {
	case fact.CodeFlaw, fact.Misconfiguration, fact.Exposure:
		return true
	}
	return false
}

// mends says whether a path is more than a stopgap or an exception.
func mends(p *fix.Path) bool {
	return p.Kind != fix.Accept && p.Kind != fix.Stopgap && p.Kind != fix.PatchLayer && p.Expires == 0
}

func plan(site *fix.Site, flaw *fix.Flaw) fix.Path {
	places := placesOf(site, flaw)
	at := site.Location.Path
	if site.Location.Line > 0 {
		at += fmt.Sprintf(":%d", site.Location.Line)
	}
	what := "the declaration"
	if flaw.Kind == fact.CodeFlaw {
		what = "the program text"
	}
	p := fix.Path{
		Kind: fix.EditSource, Summary: fmt.Sprintf("change %s at %s", what, at), Effort: fix.EffortLarge, Risk: fix.RiskUnknown,
		Fixer: ID, Module: folder(site.Location.Path), Manual: true, Closes: []string{flaw.Issue}, Findings: flaw.Findings,
		Changes: []fix.Change{}, Reach: "whatever runs this line",
	}
	if flaw.Kind != fact.CodeFlaw {
		p.Effort, p.Reach = fix.EffortMedium, "whatever is made from this declaration"
	}
	for i := range places {
		p.Steps = append(p.Steps, fix.Step{Text: "change it here so that " + ruleOf(flaw) + " no longer holds", Location: &places[i]})
	}
	if advice := adviceOf(flaw); advice != "" {
		p.Steps = append(p.Steps, fix.Step{Text: "the detector advises: " + advice})
	}
	if weakness := weaknessOf(flaw); weakness != "" {
		p.Steps = append(p.Steps, fix.Step{Text: "the weakness is " + weakness})
	}
	if !fix.Guarded(site.Location.Path) {
		p.Steps = append(p.Steps, fix.Step{Text: "or hand it to a coding agent, whose change is judged by our proof; this shows what it is told", Command: "backstitch fix handoff " + flaw.Issue + " --show"})
	}
	sum := sha256.New()
	fmt.Fprintf(sum, "%s\x00%s", flaw.Issue, p.Summary)
	p.ID = "source-" + hex.EncodeToString(sum.Sum(nil))[:16]
	return p
}

func folder(name string) string {
	if dir := path.Dir(name); dir != "." {
		return dir
	}
	return ""
}

// placesOf lists where the flaw is: its cause first, then where detectors saw it.
func placesOf(site *fix.Site, flaw *fix.Flaw) []fact.Location {
	all := append([]fact.Location{site.Location}, flaw.Cause.Locations...)
	for _, told := range flaw.Told {
		if name := code.CleanPath(told.Path); name != "" {
			all = append(all, fact.Location{Path: name, Line: told.Line, EndLine: max(told.Line, told.EndLine)})
		}
	}
	var list []fact.Location
	for _, l := range all {
		if l.Path == "" || len(list) == maxPlaces || slices.ContainsFunc(list, func(known fact.Location) bool {
			return known.Path == l.Path && known.Line == l.Line
		}) {
			continue
		}
		list = append(list, *fix.At(l.Path, l.Line, l.EndLine))
	}
	return list
}

func ruleOf(flaw *fix.Flaw) string {
	if len(flaw.Rules) > 0 {
		return flaw.Rules[0]
	}
	return "the flaw"
}

// adviceOf is the first advice of a detector, on one line.
func adviceOf(flaw *fix.Flaw) string {
	for _, told := range flaw.Told {
		text := strings.Join(strings.Fields(fix.Scrub(told.Mitigation)), " ")
		if text == "" {
			continue
		}
		if len(text) > maxAdvice {
			text = strings.ToValidUTF8(text[:maxAdvice], "") + " ..."
		}
		return text
	}
	return ""
}

// weaknessOf names the weaknesses that detectors name, rising.
func weaknessOf(flaw *fix.Flaw) string {
	var numbers []int
	for _, told := range flaw.Told {
		for _, n := range told.CWE {
			if n > 0 && !slices.Contains(numbers, n) {
				numbers = append(numbers, n)
			}
		}
	}
	slices.Sort(numbers)
	var names []string
	for _, n := range numbers {
		names = append(names, fmt.Sprintf("CWE-%d", n))
	}
	return strings.Join(names, ", ")
}
