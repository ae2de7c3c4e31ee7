package verify

import (
	"context"
	"fmt"
	"slices"
	"strings"

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
		} else if err := p.goneFrom(ctx, second); err != nil {
			return err
		}
		p.nothingNew(first, second, nil)
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
func (p *prover) goneFrom(ctx context.Context, second *look) error {
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
		ids := p.classes(target)
		for _, object := range target.Objects {
			if _, judged := before[object]; !judged {
				continue // not an object that the scanner tells of
			}
			if _, left := after[object]; !left {
				why = append(why, object+" is no longer there, or no longer judged")
			}
			for _, rule := range after[object] {
				if rule == "*" || slices.Contains(ids, rule) {
					why = append(why, object+" cannot be judged by "+strings.Join(ids[:min(len(ids), 3)], "/")+" any more: the value is not in the text")
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

// parses fails when a file cannot be understood that could be before.
func (p *prover) parses(first, second *look, changed []string) {
	known := problems(first)
	fresh := slices.DeleteFunc(problems(second), func(text string) bool { return slices.Contains(known, text) })
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
