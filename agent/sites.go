package agent

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/scan"
)

// look is what our own scanners of configuration see in a tree, by scanner.
type ownLook struct {
	scanner  scan.Scanner
	findings []fact.Finding
}

// ownLooks lets each scanner of ours that judges configuration, and that any of the
// issues may concern, look at the tree, once a scene. Files that one cannot read are
// problems.
func (d *Desk) ownLooks(ctx context.Context, s *scene, issues []*issue.Issue, problem func(string)) ([]ownLook, error) {
	if d.Detectors == nil {
		return nil, nil
	}
	files := s.siteFiles(issues)
	var looks []ownLook
	for _, scanner := range d.Detectors(s.known, s.images(d), d.Renderer) {
		id := scanner.Describe().ID
		if at := slices.IndexFunc(s.own, func(known ownLook) bool { return known.scanner.Describe().ID == id }); at >= 0 {
			looks = append(looks, s.own[at])
			continue
		}
		if selective, ok := scanner.(scan.Selective); ok && !slices.ContainsFunc(files, func(f siteFile) bool { return selective.Concerns(f.kind, f.path) }) {
			continue
		}
		one := ownLook{scanner: scanner}
		d.Progress("looking at the configuration with "+id, 0, 0)
		problems, err := scanner.Scan(ctx, s.tree, func(f fact.Finding) error {
			one.findings = append(one.findings, f)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		for _, p := range problems {
			problem(fmt.Sprintf("%s: %s:%d: %s", id, p.Path, p.Line, p.Text))
		}
		s.own, looks = append(s.own, one), append(looks, one)
	}
	return looks, nil
}

// siteFile is a file that an issue of a kind is about.
type siteFile struct {
	kind fact.Kind
	path string
}

// siteFiles lists the files that issues are about: the cause's, those that lead to it,
// and those that detectors named.
func (s *scene) siteFiles(issues []*issue.Issue) []siteFile {
	seen := map[siteFile]bool{}
	var files []siteFile
	for _, it := range issues {
		add := func(name string) {
			if one := (siteFile{it.Kind, name}); name != "" && !seen[one] {
				seen[one] = true
				files = append(files, one)
			}
		}
		for _, place := range it.Cause.Locations {
			add(place.Path)
		}
		for _, link := range it.Cause.Chain {
			add(link.Location.Path)
		}
		for i := range s.findings {
			if f := &s.findings[i]; f.Path != "" && it.Holds(f) {
				add(code.CleanPath(f.Path))
			}
		}
	}
	return files
}

// flaw puts together what is known of an issue at its site. used are the scanners of
// ours that see it.
func (s *scene) flaw(it *issue.Issue, looks []ownLook) (flaw fix.Flaw, used []scan.Scanner) {
	flaw = fix.Flaw{
		Issue: it.ID, Kind: it.Kind, Rules: slices.Clone(it.Class), Title: it.Title, Severity: it.Severity,
		Cause: it.Cause, Assets: it.Assets, Findings: it.Findings,
	}
	for _, id := range it.Advisories {
		if !slices.Contains(flaw.Rules, id) {
			flaw.Rules = append(flaw.Rules, id)
		}
	}
	if it.Package != nil {
		flaw.Package, _ = fact.ParsePURL(it.Package.PURL)
		flaw.Package.Version = it.Package.Version
	}
	places := slices.Clone(it.Cause.Locations)
	for _, link := range it.Cause.Chain {
		if link.Location.Path != "" {
			places = append(places, link.Location)
		}
	}
	names := []string{}
	for i := range s.findings {
		f := &s.findings[i]
		if !it.Holds(f) {
			continue
		}
		flaw.Told = append(flaw.Told, f.Finding)
		for _, version := range f.FixedVersions {
			if !slices.Contains(flaw.Fixed, version) {
				flaw.Fixed = append(flaw.Fixed, version)
			}
		}
		if f.Path != "" {
			places = append(places, fact.Location{Path: code.CleanPath(f.Path), Line: f.Line, EndLine: f.EndLine})
		}
		names = append(names, f.Anchor, f.Asset.Key, f.Asset.Name)
	}
	for _, one := range looks {
		seen := matching(one.findings, flaw.Rules, places, names)
		if len(seen) > 0 {
			flaw.Seen = append(flaw.Seen, seen...)
			used = append(used, one.scanner)
		}
	}
	return flaw, used
}

// leaveGenerated leaves a path to people that would edit what a program writes.
func (s *scene) leaveGenerated(ctx context.Context, p fix.Path) fix.Path {
	for _, edit := range p.Edits {
		if p.Manual || edit.Digest == "" {
			break
		}
		if data, err := s.tree.Read(ctx, edit.Path); err == nil && fix.Generated(data) {
			p.Manual, p.Edits = true, nil
			p.Summary += "; in what generates " + edit.Path
			p.Steps = append(slices.Clone(p.Steps), fix.Step{Text: edit.Path + " says that it is generated: change what it is made from, and make it anew"})
		}
	}
	return p
}

// matching gives the findings of one of the rules at the places or objects: those at an
// object that is named, of these those in a file that is named when there are any, since
// overlays and charts share names; else those whose lines meet a place.
func matching(findings []fact.Finding, rules []string, places []fact.Location, names []string) []fact.Finding {
	var byName, byLine []fact.Finding
	for _, f := range findings {
		if !slices.ContainsFunc(append([]string{f.Rule}, f.Aliases...), func(id string) bool {
			return slices.ContainsFunc(rules, func(rule string) bool { return strings.EqualFold(rule, id) })
		}) {
			continue
		}
		object := f.Attributes[fix.AttributeObject]
		if object != "" && slices.ContainsFunc(names, func(name string) bool { return sameObject(object, name) }) {
			byName = append(byName, f)
			continue
		}
		path := code.CleanPath(f.Path)
		if slices.ContainsFunc(places, func(place fact.Location) bool {
			if place.Path != path {
				return false
			}
			first, last := place.Line, max(place.Line, place.EndLine)
			return first == 0 || f.Line == 0 || first <= max(f.Line, f.EndLine) && f.Line <= last
		}) {
			byLine = append(byLine, f)
		}
	}
	if len(byName) > 0 {
		there := slices.DeleteFunc(slices.Clone(byName), func(f fact.Finding) bool {
			return !slices.ContainsFunc(places, func(place fact.Location) bool { return place.Path == code.CleanPath(f.Path) })
		})
		if len(there) > 0 {
			return there
		}
		return byName
	}
	return byLine
}

// sameObject says whether a detector's name of an object is that of ours, which may be
// longer at its beginning (a root, a cluster) or its end (a container).
func sameObject(object, name string) bool {
	if name == "" {
		return false
	}
	object, _, _ = strings.Cut(object, " (") // the overlay of objects of one name
	if name == object || strings.HasSuffix(object, ":"+name) || strings.HasSuffix(name, ":"+object) || strings.HasSuffix(name, "/"+object) {
		return true
	}
	base, _, inside := strings.Cut(object, "#")
	return inside && base != "" && (name == base || strings.HasSuffix(name, "/"+base))
}

// siteIssue says whether an issue is fixed at its cause's line and not by moving a
// package of a module.
func siteIssue(it *issue.Issue) bool {
	return it.Cause.Status == fact.CauseFound && len(it.Cause.Locations) > 0 && len(it.FixPaths) == 0
}

// planSites plans the ways to fix what stands at a line: issues of one line together,
// since one edit may close them all.
func (d *Desk) planSites(ctx context.Context, s *scene, issues []issue.Issue, ask bool, result *Triage) error {
	type place struct {
		path string
		line int
	}
	sites := map[place][]int{}
	var order []place
	for i := range issues {
		if !siteIssue(&issues[i]) {
			continue
		}
		at := place{issues[i].Cause.Locations[0].Path, issues[i].Cause.Locations[0].Line}
		if sites[at] == nil {
			order = append(order, at)
		}
		sites[at] = append(sites[at], i)
	}
	if len(order) == 0 {
		return nil
	}
	var sited []*issue.Issue
	for _, list := range sites {
		for _, i := range list {
			sited = append(sited, &issues[i])
		}
	}
	looks, err := d.ownLooks(ctx, s, sited, result.problem)
	if err != nil {
		return err
	}
	kept := s.secretsOf(ctx)
	slices.SortFunc(order, func(a, b place) int { return cmp.Or(cmp.Compare(a.path, b.path), cmp.Compare(a.line, b.line)) })
	for n, at := range order {
		d.Progress("comparing fixes", n, len(order))
		site := &fix.Site{
			Location: issues[sites[at][0]].Cause.Locations[0], Repository: s.identity, Commit: s.commit,
			Tree: s.tree, Images: s.images(d), Now: d.Now().UnixMicro(), Ask: ask,
		}
		index := map[string]int{}
		for _, i := range sites[at] {
			flaw, _ := s.flaw(&issues[i], looks)
			site.Flaws = append(site.Flaws, flaw)
			index[issues[i].ID] = i
		}
		planned := map[int][]fix.Path{}
		for _, one := range d.Fixers {
			fixer, ok := one.(fix.SiteFixer)
			if !ok {
				continue
			}
			paths, err := fixer.PlanSite(ctx, site)
			if ctx.Err() != nil {
				return ctx.Err()
			}
			if err != nil {
				result.problem(fmt.Sprintf("no fix by %s at %s:%d: %v", fixer.Describe().ID, at.path, at.line, err))
				continue
			}
			site.Planned = append(site.Planned, paths...)
			for _, path := range paths {
				path = kept.keep(s.leaveGenerated(ctx, path))
				path.Findings = 0
				if path.Changes == nil {
					path.Changes = []fix.Change{}
				}
				if path.Steps == nil {
					path.Steps = []fix.Step{}
				}
				slices.Sort(path.Closes)
				for _, id := range path.Closes {
					path.Findings += issues[index[id]].Findings
				}
				for _, id := range path.Closes {
					planned[index[id]] = append(planned[index[id]], path)
				}
			}
		}
		for _, i := range sites[at] {
			issues[i].FixPaths = fix.Compare(planned[i])
			if slices.ContainsFunc(planned[i], func(p fix.Path) bool { return !p.Manual }) {
				issues[i].Blocked = []string{}
			} else {
				for _, why := range site.Blocked {
					if !slices.Contains(issues[i].Blocked, why) {
						issues[i].Blocked = append(issues[i].Blocked, why)
					}
				}
			}
		}
	}
	return nil
}
