package verify

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/scan"
)

// runSite makes the checks of a path that edits a place in files. Where no scanner of
// ours sees the flaw, the change is still carried out and read, but what it closes
// stays unchecked.
func (p *prover) runSite(ctx context.Context, first *look) error {
	names, seen := p.edited(), false
	switch missing := p.unseen(first, nil); {
	case len(p.request.Closes) == 0:
		p.check(CheckBefore, fact.CheckFail, "no flaw to close was named")
		return nil
	case len(missing) == len(p.request.Closes):
		p.check(CheckBefore, fact.CheckSkip, "no scanner of ours judges %s, so that its absence would show nothing", strings.Join(missing, ", "))
	case len(missing) > 0:
		p.check(CheckBefore, fact.CheckFail, "%s does not see %s", p.request.Scanner.Describe().ID, strings.Join(missing, ", "))
		return nil
	default:
		seen = true
		p.check(CheckBefore, fact.CheckPass, "%s sees %s", p.request.Scanner.Describe().ID, p.targets())
		for _, target := range p.request.Closes {
			for _, f := range p.finds(first, target, nil) {
				names = append(names, code.CleanPath(f.Path))
			}
		}
		slices.Sort(names)
		if err := p.noOp(ctx, slices.Compact(names), nil); err != nil {
			return err
		}
	}
	changed, reported, err := p.apply(ctx)
	if err != nil || len(changed) == 0 {
		return err
	}
	second, err := p.look(ctx, p.after)
	if err != nil {
		return err
	}
	allowed := map[string]bool{}
	for _, name := range p.edited() {
		allowed[name] = true
	}
	p.onlyPlanned(allowed, changed, reported)
	if seen {
		if blind := unknown(first, second); len(blind) > 0 && len(p.unseen(second, nil)) == len(p.request.Closes) {
			p.check(CheckAfter, fact.CheckSkip, "not seen, which shows nothing: %s", strings.Join(blind, "; "))
		} else if err := p.goneFrom(ctx, first, second); err != nil {
			return err
		}
		p.nothingNew(first, second, nil)
		p.kept(first, second)
	}
	p.parses(first, second, changed)
	if err := p.examine(ctx); err != nil {
		return err
	}
	if modules := touched(second.modules, changed); p.request.Path.Kind == fix.EditSource && len(modules) > 0 {
		return p.buildAndTest(ctx, modules)
	}
	return nil
}

// goneFrom is gone for what has objects: it means something only while the scanner still
// judges the object, and everything that was in it.
func (p *prover) goneFrom(ctx context.Context, first, second *look) error {
	surveyor, ok := p.request.Scanner.(scan.Surveyor)
	if !ok || len(p.unseen(second, nil)) < len(p.request.Closes) {
		p.gone(second, nil)
		return nil
	}
	before, err := survey(ctx, surveyor, p.before)
	if err != nil {
		return err
	}
	after, err := survey(ctx, surveyor, p.after)
	if err != nil {
		return err
	}
	var why []string
	for _, target := range p.request.Closes {
		rules := map[string]bool{"*": true}
		for _, f := range p.finds(first, target, nil) {
			rules[f.Rule] = true
		}
		for _, object := range target.Objects {
			if _, judged := before[object]; !judged {
				continue // no object that the scanner tells of
			}
			if _, left := after[object]; !left {
				why = append(why, object+" is no longer there, or no longer judged")
			}
			for _, rule := range after[object] {
				if rules[rule] {
					why = append(why, object+" can no longer be judged by "+target.text()+": what decides is not in the text, or elsewhere")
				}
			}
			whole, _, _ := strings.Cut(object, "#")
			for part := range before {
				if _, left := after[part]; !left && strings.HasPrefix(part, whole+"#") {
					why = append(why, part+" is no longer there")
				}
			}
		}
	}
	slices.Sort(why)
	if why = slices.Compact(why); len(why) > 0 {
		p.check(CheckAfter, fact.CheckSkip, "not seen, which shows nothing: %s", strings.Join(why[:min(len(why), 20)], "; "))
		return nil
	}
	p.gone(second, nil)
	return nil
}

func survey(ctx context.Context, surveyor scan.Surveyor, dir string) (scan.Survey, error) {
	tree, err := code.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	found, err := surveyor.Survey(ctx, tree)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", surveyor.Describe().ID, err)
	}
	return found, nil
}

// unknown lists what a second look could not judge for want of knowledge, and the first
// one could.
func unknown(first, second *look) []string {
	known := map[string]bool{}
	for _, problem := range first.problems {
		known[problem.Path+": "+problem.Text] = true
	}
	var texts []string
	for _, problem := range second.problems {
		if text := problem.Path + ": " + problem.Text; problem.Unknown && !known[text] {
			texts = append(texts, text)
		}
	}
	return texts[:min(len(texts), 20)]
}

// touched gives the modules in whose folders files changed, the innermost of each.
func touched(modules []lockfile.Module, changed []string) []lockfile.Module {
	var list []lockfile.Module
	for _, name := range changed {
		best := -1
		for i := range modules {
			inside := modules[i].Dir == "" || modules[i].Dir == "." || strings.HasPrefix(name, modules[i].Dir+"/")
			if inside && (best < 0 || len(modules[i].Dir) > len(modules[best].Dir)) {
				best = i
			}
		}
		if best >= 0 && !slices.ContainsFunc(list, func(m lockfile.Module) bool { return m.Dir == modules[best].Dir && m.Tool == modules[best].Tool }) {
			list = append(list, modules[best])
		}
	}
	return list
}

// edited lists the files that the path says it edits.
func (p *prover) edited() []string {
	var names []string
	for _, edit := range p.request.Path.Edits {
		names = append(names, edit.Path)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// kept looks at the modules of a change that somebody else made for a package: it may
// not go down, and neither it nor what was declared beside it may just go.
func (p *prover) kept(first, second *look) {
	type place struct{ dir, tool string }
	after := map[place]*lockfile.Module{}
	for i := range second.modules {
		m := &second.modules[i]
		after[place{m.Dir, m.Tool}] = m
	}
	var lower, lost []string
	modules := 0
	for i := range first.modules {
		m := &first.modules[i]
		had, from := resolved([]lockfile.Module{*m}), map[[2]string]bool{}
		for _, pkg := range m.Packages {
			from[[2]string{pkg.Name, pkg.Source}] = true
		}
		if !slices.ContainsFunc(p.request.Closes, func(c Closes) bool { return c.Package != "" && len(had[c.Package]) > 0 }) {
			continue
		}
		modules++
		has := map[string][]held{}
		if m := after[place{m.Dir, m.Tool}]; m != nil {
			same := *m // what now comes from a folder or an address is not what was asked for
			same.Packages = slices.DeleteFunc(slices.Clone(m.Packages), func(p lockfile.Package) bool {
				return p.Source != "" && !from[[2]string{p.Name, p.Source}]
			})
			has = resolved([]lockfile.Module{same})
		}
		for _, name := range slices.Sorted(maps.Keys(had)) {
			target := slices.ContainsFunc(p.request.Closes, func(c Closes) bool { return c.Package == name })
			direct := slices.ContainsFunc(had[name], func(h held) bool { return h.direct })
			switch now := has[name]; {
			case !target && !direct:
			case len(now) == 0:
				lost = append(lost, name)
			case slices.ContainsFunc(now, func(h held) bool {
				return !slices.ContainsFunc(had[name], func(was held) bool {
					order, err := advisory.Compare(h.ecosystem, h.version, was.version)
					return err != nil || order >= 0
				})
			}):
				lower = append(lower, fmt.Sprintf("%s goes down from %s to %s", name, versionsOf(had[name]), versionsOf(now)))
			}
		}
	}
	if modules == 0 {
		return
	}
	p.packaged = true
	switch {
	case len(lower) > 0:
		p.check(CheckVersions, fact.CheckFail, "%s", strings.Join(lower, "; "))
	case len(lost) > 0:
		p.check(CheckVersions, fact.CheckSkip, "no longer there: %s; whether the program does without is not shown", strings.Join(lost[:min(len(lost), 20)], ", "))
	default:
		p.check(CheckVersions, fact.CheckPass, "nothing that is asked for went, or went down")
	}
}

// maxStrict is the size of a YAML file up to which it is read once more, in bytes.
const maxStrict = 4 << 20

// twice tells of changed YAML files that state a key twice and did not before: readers
// do not agree which one counts.
func (p *prover) twice(changed []string) []string {
	strict := func(dir, name string) error {
		content, err := fix.ReadFile(dir, name)
		if err != nil || len(content) > maxStrict {
			return nil
		}
		decoder := yaml.NewDecoder(bytes.NewReader(content))
		for {
			var document any
			if err := decoder.Decode(&document); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
		}
	}
	var texts []string
	for _, name := range changed {
		if ext := path.Ext(name); ext != ".yaml" && ext != ".yml" {
			continue
		}
		if err := strict(p.after, name); err != nil && strict(p.before, name) == nil {
			texts = append(texts, name+": "+err.Error())
		}
	}
	return texts
}

// parses fails when a file cannot be understood that could be before.
func (p *prover) parses(first, second *look, changed []string) {
	known := problems(first)
	fresh := slices.DeleteFunc(problems(second), func(text string) bool { return slices.Contains(known, text) })
	fresh = append(fresh, p.twice(changed)...)
	if len(fresh) > 0 {
		p.check(CheckParses, fact.CheckFail, "%s", strings.Join(fresh[:min(len(fresh), 20)], "; "))
		return
	}
	p.check(CheckParses, fact.CheckPass, "%s", strings.Join(changed, ", "))
}

// examine lets the fixer check what only it understands.
func (p *prover) examine(ctx context.Context) error {
	examiner, ok := p.request.Fixer.(fix.Examiner)
	if !ok {
		return nil
	}
	checks, err := examiner.Examine(ctx, p.before, p.after, p.request.Path)
	if err != nil {
		return fmt.Errorf("examine the change: %w", err)
	}
	for _, check := range checks {
		p.check(check.Name, check.Status, "%s", check.Detail)
	}
	return nil
}
