// Package dependencies scans manifests and lockfiles: which resolved packages
// does an advisory affect. It reads text only and needs no network.
//
// A dependency whose version no file tells cannot be judged; it is a problem of
// the scan, so that an empty answer is never mistaken for a clean one. Packages
// from a folder of the repository itself are not judged. Packages that somebody else
// resolved for a module can be given; what became of their versions is read from the
// files, and one that they no longer tell is left out.
package dependencies

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/scan"
)

// ID names the scanner in findings, runs and proofs.
const ID = "scan/dependencies"

type scanner struct {
	advisories scan.Advisories
	reported   []lockfile.Reported
}

// New makes the scanner over what is known of flaws. reported is what others resolved
// for modules, with its basis, none in a plain scan.
func New(advisories scan.Advisories, reported ...lockfile.Reported) scan.Scanner {
	return scanner{advisories, reported}
}

func (s scanner) Describe() scan.Description {
	rules := s.advisories.Digest()
	if len(s.reported) > 0 {
		sum := sha256.New()
		fmt.Fprintf(sum, "%s\n", rules)
		for _, r := range s.reported {
			fmt.Fprintf(sum, "%q\n", append([]string{r.Manifest, r.Name, r.Version, r.By, r.Basis}, r.Through...))
		}
		rules = "sha256:" + hex.EncodeToString(sum.Sum(nil))
	}
	return scan.Description{
		ID: ID, Name: "dependencies",
		Docs:  "Matches the resolved packages of manifests and lockfiles with the local advisory index. One finding for each module, package version and advisory.",
		Rules: rules,
	}
}

// Scan implements scan.Scanner.
func (s scanner) Scan(ctx context.Context, tree code.Tree, found func(fact.Finding) error) ([]scan.Problem, error) {
	modules, err := lockfile.Read(ctx, tree)
	if err != nil {
		return nil, err
	}
	if _, err := lockfile.Complete(ctx, tree, modules, s.reported); err != nil {
		return nil, err
	}
	var problems []scan.Problem
	resolved := make(map[place]bool)
	for i := range modules {
		m := &modules[i]
		for _, p := range m.Packages {
			if p.Version != "" {
				resolved[place{m.Dir, m.Ecosystem, p.Name}] = true
			}
		}
	}
	for i := range modules {
		m := &modules[i]
		for _, p := range m.Problems {
			if p.Conflict {
				continue // both files were read; what they disagree on is no gap
			}
			problems = append(problems, scan.Problem{Path: p.Path, Line: p.Line, Text: p.Text})
		}
		failed, err := s.module(ctx, m, resolved, found)
		if err != nil {
			return problems, err
		}
		problems = append(problems, failed...)
	}
	return problems, nil
}

// place is a package of a folder, whichever module of the folder has it.
type place struct{ dir, ecosystem, name string }

// module gives the findings of one module. A package that it has without a
// version is a gap unless another module of the folder has resolved it.
func (s scanner) module(ctx context.Context, m *lockfile.Module, resolved map[place]bool, found func(fact.Finding) error) ([]scan.Problem, error) {
	var problems []scan.Problem
	type seen struct{ name, version, advisory string }
	given := map[seen]bool{}
	var graph *lockfile.Graph
	open, first := 0, 0
	for i := range m.Packages {
		if i%256 == 0 && ctx.Err() != nil {
			return problems, ctx.Err()
		}
		p := &m.Packages[i]
		if p.Source == "path" || p.Source == "workspace" {
			continue
		}
		if p.Version == "" {
			if p.Reported != "" || resolved[place{m.Dir, m.Ecosystem, p.Name}] {
				continue
			}
			if open++; open == 1 {
				first = i
			}
			continue
		}
		if p.Source != "" && !releaseLike(p.Version) {
			continue // a commit or an address; no advisory orders it
		}
		pkg := m.Fact(i)
		advisories, err := s.advisories.Affecting(pkg)
		if err != nil {
			problems = append(problems, scan.Problem{Path: p.Path, Line: p.Line, Text: fmt.Sprintf("%s: %v", p.Name, err)})
		}
		for j := range advisories {
			a := &advisories[j]
			if key := (seen{p.Name, p.Version, a.ID}); given[key] {
				continue
			} else {
				given[key] = true
			}
			if graph == nil {
				graph = m.Graph()
			}
			if err := found(finding(m, graph, i, pkg, a)); err != nil {
				return problems, err
			}
		}
	}
	if open > 0 {
		p := &m.Packages[first]
		problems = append(problems, scan.Problem{Path: p.Path, Line: p.Line, Text: fmt.Sprintf(
			"%d of %d dependencies have no exact version, %s first; commit a lockfile so that they can be judged", open, len(m.Packages), p.Name)})
	}
	return problems, nil
}

// releaseLike says whether a version starts as a release does.
func releaseLike(version string) bool {
	version = strings.TrimPrefix(version, "v")
	return version != "" && version[0] >= '0' && version[0] <= '9' && !strings.Contains(version, ":")
}

func finding(m *lockfile.Module, graph *lockfile.Graph, i int, pkg fact.Package, a *fact.Advisory) fact.Finding {
	p := &m.Packages[i]
	f := fact.Finding{
		Kind: fact.Vulnerability, Rule: a.ID, Aliases: a.Aliases, Title: a.Summary,
		Severity: a.Severity, SeverityText: a.Severity.String(), Score: a.Score, Vector: a.Vector, EPSS: a.EPSS,
		References: a.URLs, Asset: fact.Asset{Kind: fact.AssetRepository},
		Package: pkg, Path: p.Path, Line: p.Line, EndLine: p.EndLine,
	}
	if f.Title == "" {
		f.Title = a.ID + " in " + p.Name
	}
	for _, affected := range a.Affected {
		if !lockfile.SameName(m.Ecosystem, affected.Name, p.Name) {
			continue
		}
		for _, r := range affected.Ranges {
			for _, event := range r.Events {
				if event.Fixed != "" && r.Type != "GIT" && !slices.Contains(f.FixedVersions, event.Fixed) {
					f.FixedVersions = append(f.FixedVersions, event.Fixed)
				}
			}
		}
	}
	if paths := graph.Paths(i); len(paths) > 0 {
		for _, step := range paths[0] {
			f.Introduced = append(f.Introduced, m.Packages[step].Name+"@"+m.Packages[step].Version)
		}
	}
	if a.Exploited {
		f.Attributes = map[string]string{"exploited": "true"}
	}
	if p.Reported != "" {
		if f.Attributes == nil {
			f.Attributes = map[string]string{}
		}
		f.Attributes["reported_by"] = p.Reported
	}
	return f
}
