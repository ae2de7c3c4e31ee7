package dockerfile

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/dockerfile/practice"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/image/advice"
)

// practice plans for what a rule of good practice finds, in all places of the stage, so
// that the rule is content afterwards.
func (p *plan) practice(ctx context.Context, flaw *fix.Flaw) error {
	names := slices.Clone(flaw.Rules)
	objects := []string{}
	for _, seen := range flaw.Seen {
		names = append(names, seen.Rule)
		objects = append(objects, seen.Attributes[fix.AttributeObject])
	}
	is := func(rule *practice.Rule) bool {
		return slices.ContainsFunc(append([]string{rule.ID}, rule.Aliases...), func(id string) bool {
			return slices.ContainsFunc(names, func(name string) bool { return strings.EqualFold(name, id) })
		})
	}
	byStage := map[int][]practice.Verdict{}
	var stages []int
	if p.verdicts == nil {
		p.verdicts = practice.Judge(p.file, p.text)
	}
	for _, v := range p.verdicts {
		// A line before the first FROM, or none, is about the file as a whole.
		whole := p.site.Location.Line < p.file.Stages[0].Line
		if !is(v.Rule) || !whole && !p.within(v.Stage) && !slices.Contains(objects, practice.Object(p.name, p.file, v.Stage)) {
			continue
		}
		if byStage[v.Stage] == nil {
			stages = append(stages, v.Stage)
		}
		byStage[v.Stage] = append(byStage[v.Stage], v)
	}
	for _, stage := range stages {
		verdicts := byStage[stage]
		rule := verdicts[0].Rule
		// Ids of several rules may be one: each is mended on its own.
		verdicts = slices.DeleteFunc(slices.Clone(verdicts), func(v practice.Verdict) bool { return v.Rule != rule })
		switch {
		case rule.Latest():
			if err := p.release(ctx, flaw, stage); err != nil {
				return err
			}
		case rule.Secret():
			p.rotate(flaw, verdicts)
		default:
			p.mend(flaw, rule, verdicts)
		}
	}
	return nil
}

// within says whether the site's line stands in a stage.
func (p *plan) within(stage int) bool {
	s := &p.file.Stages[stage]
	return s.Line <= p.site.Location.Line && p.site.Location.Line <= s.EndLine
}

func (p *plan) mend(flaw *fix.Flaw, rule *practice.Rule, verdicts []practice.Verdict) {
	path := fix.Path{Kind: fix.EditValue, Effort: fix.EffortSmall, Risk: fix.RiskPatch, Closes: []string{flaw.Issue}, Summary: rule.Do}
	path.Reach = "this instruction only"
	if len(verdicts) > 1 {
		path.Reach = fmt.Sprintf("%d instructions of the stage", len(verdicts))
	}
	for _, v := range verdicts {
		step := fix.Step{Text: v.Detail, Location: p.at(v.Line, v.EndLine)}
		if wanted, ok := strings.CutPrefix(v.Wanted, "?"); ok {
			step.Text += "; to be said: " + wanted
		}
		path.Steps = append(path.Steps, step)
		if len(v.Edits) == 0 && !v.Covered {
			path.Manual = true
		}
		if v.Risk == fix.RiskMajor || v.Risk == fix.RiskMinor && path.Risk == fix.RiskPatch {
			path.Risk = v.Risk
		}
		for _, e := range v.Edits {
			path.Edits = append(path.Edits, p.edit(e.Start, e.End, e.New))
		}
	}
	if path.Manual {
		path.Edits, path.Effort = nil, fix.EffortMedium
	}
	path.Steps = append(path.Steps, fix.Step{Text: "build the image and run its tests", Command: p.build()})
	p.offer(path)
}

// rotate tells what to do about a secret: it is in every image that was built.
func (p *plan) rotate(flaw *fix.Flaw, verdicts []practice.Verdict) {
	path := fix.Path{
		Kind: fix.Rotate, Effort: fix.EffortLarge, Risk: fix.RiskUnknown, Manual: true, Closes: []string{flaw.Issue}, Summary: verdicts[0].Rule.Do, Reach: "every image that was built from this file",
		Steps: []fix.Step{{Text: "change the secret at its provider, and let the old one end: images that were built hold it in their history, and so does the repository"}},
	}
	for _, v := range verdicts {
		path.Steps = append(path.Steps, fix.Step{Text: v.Detail + "; take it out, and hand it in with RUN --mount=type=secret where the build needs it, or in the environment where the program does", Location: p.at(v.Line, v.EndLine)})
	}
	path.Steps = append(path.Steps, fix.Step{Text: "build anew, deploy, and remove the old images from the registry"})
	p.offer(path)
}

// release gives a base image without a release a tag that names one, or its digest.
func (p *plan) release(ctx context.Context, flaw *fix.Flaw, stage int) error {
	from := &p.file.Stages[stage].Base
	ref, ok := kubernetes.ParseReference(from.Image)
	if !ok || len(from.Unknown) > 0 {
		return nil
	}
	known, err := p.known(ctx, ref)
	if err != nil {
		return err
	}
	b := &base{plan: p, stage: stage, ref: ref, now: from.Image, flaws: []*fix.Flaw{flaw}}
	name := strings.TrimSuffix(from.Image, ":"+ref.Tag)
	var digest string
	for _, k := range known {
		if k.Name == "latest" && k.Digest != "" {
			digest = k.Digest
		}
	}
	if digest == "" {
		digest = b.digest(ctx, name+":latest")
	}
	newest, same := advice.Newest(known, digest)
	if newest != nil {
		path := fix.Path{
			Kind: fix.EditValue, Effort: fix.EffortSmall, Risk: fix.RiskMinor, Closes: []string{flaw.Issue},
			Summary: fmt.Sprintf("name the release %s of %s", newest.Tag, name),
		}
		told := fmt.Sprintf("%s is the newest release by %s", newest.Tag, newest.Source)
		if same {
			path.Risk, told = fix.RiskPatch, fmt.Sprintf("%s is what latest means now, by %s", newest.Tag, newest.Source)
		}
		b.steps(&path, name+":"+newest.Tag, told)
		p.offer(path)
	} else {
		p.site.Block("no release of " + ref.Registry + "/" + ref.Repository + " is known")
	}
	if digest != "" {
		path := fix.Path{Kind: fix.PinDigest, Effort: fix.EffortSmall, Risk: fix.RiskPatch, Closes: []string{flaw.Issue}, Summary: "pin the digest that " + from.Image + " has now"}
		b.steps(&path, from.Image+"@"+digest, "fixes of the base come only with a newer digest; let a bot raise it")
		p.offer(path)
	}
	return nil
}
