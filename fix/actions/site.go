package actions

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"regexp"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// unpinned recognises, in the ids and titles of detectors' rules, those about what is
// not pinned.
var unpinned = regexp.MustCompile(`(?i)\bunpinned|not[-_ ]pinned|pinned[-_ ]?dependenc|\bpin(?:ned|ning)?\b.*\b(?:commit|sha|hash|digest)\b`)

// about says whether a flaw is that an action is not pinned.
func about(flaw *fix.Flaw) bool {
	if flaw.Kind == fact.Vulnerability {
		return false
	}
	for _, text := range append([]string{flaw.Title}, flaw.Rules...) {
		if unpinned.MatchString(text) {
			return true
		}
	}
	return false
}

// PlanSite implements fix.SiteFixer: it pins the uses on the lines of a site whose
// flaw is that they are not. Which commit a ref stands for is asked when the path is
// carried out.
func (f fixer) PlanSite(ctx context.Context, site *fix.Site) ([]fix.Path, error) {
	p := fix.Path{Kind: fix.PinDigest, Effort: fix.EffortSmall, Risk: fix.RiskPatch, Fixer: ID, Closes: []string{}, Steps: []fix.Step{}, Changes: []fix.Change{}, Reach: "this one only"}
	for i := range site.Flaws {
		if flaw := &site.Flaws[i]; about(flaw) {
			p.Closes = append(p.Closes, flaw.Issue)
			p.Findings += flaw.Findings
		}
	}
	if len(p.Closes) == 0 || site.Location.Path == "" || !lockfile.Wants(site.Location.Path) {
		return nil, nil
	}
	data, err := site.Tree.Read(ctx, site.Location.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", site.Location.Path, err)
	}
	uses, err := lockfile.ActionUses(data)
	if err != nil {
		return nil, nil // a file of another kind
	}
	for _, u := range uses {
		if u.Line < site.Location.Line || u.Line > max(site.Location.Line, site.Location.EndLine) || u.Pinned() {
			continue
		}
		if u.End == 0 {
			site.Block(fmt.Sprintf("%s:%d: %s@%s does not stand on one line as it is", site.Location.Path, u.Line, u.Name, u.Ref))
			return nil, nil
		}
		if len(p.Steps) == 0 {
			p.ID = fmt.Sprintf("%s:%s:%d:%s@%s", fix.PinDigest, site.Location.Path, u.Line, u.Name, u.Ref)
			p.Summary = fmt.Sprintf("pin %s@%s to the commit that it stands for", u.Name, u.Ref)
		} else {
			p.Reach = fmt.Sprintf("%d uses", len(p.Steps)+1)
		}
		p.Steps = append(p.Steps, fix.Step{
			Text:     fmt.Sprintf("Replace %s in %s@%s by the commit that it stands for, with the version behind it in a comment.", u.Ref, u.Name, u.Ref),
			Command:  "git ls-remote --tags --heads " + Address(DefaultForge, u.Name),
			Location: fix.At(site.Location.Path, u.Line, 0),
		})
	}
	if len(p.Steps) == 0 {
		return nil, nil
	}
	return []fix.Path{p}, nil
}
