// Package actions fixes workflows and actions that use actions of other repositories:
// it raises the tag or the pinned commit of a vulnerable one, in its own style, and
// pins what moves to a commit.
//
// Edits are of the ref and of the version in the comment behind it, byte by byte.
// Which commit a tag is comes from the forge, through git; nothing is fetched.
package actions

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fix"
)

// ID is the fixer's id.
const ID = "fix/actions"

// Resolver knows the refs of actions.
type Resolver interface {
	// Refs lists the refs of a repository named owner/name.
	Refs(ctx context.Context, repository string) (Refs, error)
}

// Refs are tags and branches with the commit of each.
type Refs struct{ Tags, Branches map[string]string }

type fixer struct{ resolver Resolver }

// New returns the fixer of workflows. The resolver is asked when a path that pins a
// commit is carried out.
func New(resolver Resolver) fix.ModuleFixer { return fixer{resolver} }

func (fixer) Describe() fix.Description {
	return fix.Description{
		ID:   ID,
		Name: "GitHub Actions",
		Docs: "Raises the tag of a vulnerable action to the lowest that closes everything known: a major tag to a major tag, a full tag to a full tag, " +
			"a pinned commit to the commit of the tag together with the version in its comment. Every use in the folder's workflows is changed, in one change where they name several versions; the rest of each file stays. " +
			"A use that a finding says is not pinned is pinned to the commit that its ref stands for, with the version in a comment.",
		Commands: []string{"git"},
	}
}

func (fixer) Handles(m *lockfile.Module) bool { return m.Tool == "actions" }

// needed are the uses of the target's package: declarations of its module.
func needed(target *fix.Target) []lockfile.Declaration {
	var found []lockfile.Declaration
	for _, d := range target.Present().Declared {
		found = append(found, target.Module.Declared[d])
	}
	return found
}

func (fixer) Plan(ctx context.Context, target *fix.Target) ([]fix.Path, error) {
	target.Blocked = nil
	present := target.Present()
	uses := needed(target)
	if len(uses) == 0 {
		return nil, nil
	}
	if present.Source != "" {
		target.Block(*fix.At(present.Path, present.Line, present.EndLine), present.Name+" is used at "+uses[0].Constraint+", which names no version", "a tag or commit of a release")
		return nil, nil
	}
	var known []string
	if target.Registry != nil {
		var err error
		if known, err = target.Registry.Versions(ctx, present.Name); err != nil {
			return nil, fmt.Errorf("tags of %s: %w", present.Name, err)
		}
	}
	choice, err := fix.Pick(target, known)
	if errors.Is(err, fix.ErrNoVersion) {
		return nil, nil // nothing stands in the way of a version that is not known
	}
	if err != nil {
		return nil, err
	}
	p := target.NewPath(ID, fix.RaiseDirect, choice)
	p.ID = fmt.Sprintf("%s:%s:%s@%s:%s", fix.RaiseDirect, target.Module.Dir+"/actions", present.Name, choice.Version, present.Key)
	p.Changes = nil
	raise(target, &p, choice, uses)
	p.Summary = fmt.Sprintf("raise %s from %s to %s in %s", present.Name, present.Version, p.Changes[0].To, places(uses))
	if pinned(uses) {
		p.Summary = fmt.Sprintf("raise %s from the commit of %s to that of %s in %s", present.Name, present.Version, p.Changes[0].To, places(uses))
	}
	checked(target, &p)
	paths := []fix.Path{p}
	if len(target.Others) > 0 && target.Package < target.Others[0] {
		all, err := planAll(target, choice, known)
		if err != nil {
			return nil, err
		}
		if all != nil {
			paths = append(paths, *all)
		}
	}
	return paths, nil
}

// pinned says whether uses name a commit.
func pinned(uses []lockfile.Declaration) bool { return commit.MatchString(uses[0].Constraint) }

// raise adds the change of the target's package and its steps to a path.
func raise(target *fix.Target, p *fix.Path, choice fix.Choice, uses []lockfile.Declaration) {
	present := target.Present()
	to := restyled(present.Version, choice.Version)
	if pinned(uses) { // the comment says the whole version, since the commit is that of one
		to = prefixed(present.Version, choice.Version)
	}
	change := fix.Change{Package: present.Name, From: present.Version, To: to, Direct: true}
	if len(p.Changes) == 0 {
		p.Changes = []fix.Change{change}
	} else {
		p.Add(change)
	}
	p.Moves = append(p.Moves, present.Key)
	for _, d := range uses {
		text := fmt.Sprintf("Change %s@%s to %s.", d.Name, d.Constraint, to)
		if pinned(uses) {
			text = fmt.Sprintf("Change %s@%s to the commit of %s, and the version in the comment behind it.", d.Name, d.Constraint, to)
		}
		p.Steps = append(p.Steps, fix.Step{Text: text, Location: fix.At(d.Path, d.Line, d.EndLine)})
	}
}

// checked adds the step that looks for the tags of a path, where nobody did.
func checked(target *fix.Target, p *fix.Path) {
	if target.Registry != nil {
		return
	}
	var tags []string
	for _, change := range p.Changes {
		if !slices.Contains(tags, change.To) {
			tags = append(tags, change.To)
		}
	}
	what := "the tag " + tags[0] + " exists"
	if len(tags) > 1 {
		what = "the tags " + strings.Join(tags, ", ") + " exist"
	}
	p.Steps = append(p.Steps, fix.Step{
		Text:    fmt.Sprintf("Check that %s; the forge was not asked.", what),
		Command: "git ls-remote --tags " + Address(DefaultForge, target.Present().Name),
	})
}

// planAll raises every copy of the action that must change, each in its own style. It
// gives nil where one of them names no version, or has none that does.
func planAll(target *fix.Target, choice fix.Choice, known []string) (*fix.Path, error) {
	p := target.NewPath(ID, fix.RaiseDirect, choice)
	p.ID += ":all"
	p.Changes = nil
	var every []lockfile.Declaration
	var froms []string
	for _, index := range append([]int{target.Package}, target.Others...) {
		one := *target
		one.Package = index
		uses := needed(&one)
		if one.Present().Name != target.Present().Name || one.Present().Source != "" || len(uses) == 0 {
			return nil, nil
		}
		picked, err := fix.Pick(&one, known)
		if errors.Is(err, fix.ErrNoVersion) || errors.Is(err, fix.ErrNotAffected) {
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		each := one.NewPath(ID, fix.RaiseDirect, picked)
		p.Closes = slices.DeleteFunc(slices.Clone(p.Closes), func(id string) bool { return !slices.Contains(each.Closes, id) })
		p.Residual, p.Brings = united(p.Residual, each.Residual), united(p.Brings, each.Brings)
		raise(&one, &p, picked, uses)
		every, froms = append(every, uses...), append(froms, one.Present().Version)
	}
	p.Findings = len(p.Closes)
	p.Summary = fmt.Sprintf("raise every %s (%s) to %s or its tag in %s", target.Present().Name, strings.Join(froms, ", "), choice.Version, places(every))
	checked(target, &p)
	return &p, nil
}

// united gives the ids of both lists, in order.
func united(a, b []string) []string {
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}

func places(uses []lockfile.Declaration) string {
	if len(uses) == 1 {
		return uses[0].Path
	}
	return fmt.Sprintf("%s and %d more places", uses[0].Path, len(uses)-1)
}

var (
	commit  = regexp.MustCompile(`^[0-9a-f]{40}$`)
	release = regexp.MustCompile(`^v?\d+(?:\.\d+){0,3}$`)
	actor   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]*/[A-Za-z0-9_.-]+$`)
)

// restyled writes a version as another is written: with or without "v", and with as
// many numbers.
func restyled(like, version string) string {
	parts := strings.Split(strings.TrimPrefix(version, "v"), ".")
	if n := strings.Count(like, ".") + 1; n < len(parts) {
		parts = parts[:n]
	}
	return prefixed(like, strings.Join(parts, "."))
}

// prefixed writes a version with or without "v", as another is.
func prefixed(like, version string) string {
	version = strings.TrimPrefix(version, "v")
	if strings.HasPrefix(like, "v") {
		version = "v" + version
	}
	return version
}

func (f fixer) Apply(ctx context.Context, dir string, p fix.Path) ([]string, error) {
	if p.Kind == fix.PinDigest {
		return f.change(dir, p, func(u *lockfile.ActionUse) bool { return !u.Pinned() }, func(u *lockfile.ActionUse) (string, string, error) {
			return Resolve(ctx, f.resolver, u)
		})
	}
	if len(p.Changes) == 0 {
		return nil, errors.New("the path changes no action")
	}
	for _, change := range p.Changes {
		if !actor.MatchString(change.Package) || !release.MatchString(change.To) || !release.MatchString(change.From) {
			return nil, fmt.Errorf("%q %q %q: expected an action and two versions", change.Package, change.From, change.To)
		}
	}
	changeOf := func(u *lockfile.ActionUse) int {
		return slices.IndexFunc(p.Changes, func(c fix.Change) bool { return u.Name == c.Package && u.Version() == c.From })
	}
	about := func(u *lockfile.ActionUse) bool { return changeOf(u) >= 0 }
	return f.change(dir, p, about, func(u *lockfile.ActionUse) (string, string, error) {
		change := p.Changes[changeOf(u)]
		if !u.Pinned() {
			return change.To, "", nil
		}
		refs, err := f.resolver.Refs(ctx, change.Package)
		if err != nil {
			return "", "", fmt.Errorf("tags of %s: %w", change.Package, err)
		}
		ref := tagged(refs.Tags, change.To)
		if ref == "" {
			return "", "", fmt.Errorf("%s has no tag %s", change.Package, change.To)
		}
		return ref, change.To, nil
	})
}

// change edits the uses on the lines of a path's steps that it is about, each to the
// ref and the version that to gives.
func (f fixer) change(dir string, p fix.Path, about func(*lockfile.ActionUse) bool, to func(*lockfile.ActionUse) (ref, version string, err error)) ([]string, error) {
	lines := map[string][]int{}
	for _, step := range p.Steps {
		if step.Location != nil {
			lines[step.Location.Path] = append(lines[step.Location.Path], step.Location.Line)
		}
	}
	if len(lines) == 0 {
		return nil, errors.New("the path names no line")
	}
	before, after := map[string][]byte{}, map[string][]byte{}
	for _, name := range slices.Sorted(maps.Keys(lines)) {
		data, err := fix.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		uses, err := lockfile.ActionUses(data)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		var edits []fix.Edit
		count := 0
		for i := range uses {
			u := &uses[i]
			if !slices.Contains(lines[name], u.Line) || !about(u) {
				continue
			}
			ref, version, err := to(u)
			var more []fix.Edit
			if err == nil {
				more, err = Edits(data, uses, i, ref, version)
			}
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", name, u.Line, err)
			}
			edits = append(edits, more...)
			count++
		}
		if count == 0 {
			return nil, fmt.Errorf("%s: the lines hold no use that the path is about; plan again", name)
		}
		before[name] = data
		if after[name], err = fix.Splice(data, edits...); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if err := judge(uses, after[name], count); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
	}
	return fix.WriteAll(dir, before, after)
}

// tagged gives the commit of the tag of a version, with or without "v".
func tagged(tags map[string]string, version string) string {
	bare := strings.TrimPrefix(version, "v")
	for _, name := range []string{"v" + bare, bare} {
		if id := tags[name]; commit.MatchString(id) {
			return id
		}
	}
	return ""
}

// judge checks that as many uses changed as were to.
func judge(uses []lockfile.ActionUse, data []byte, want int) error {
	after, err := lockfile.ActionUses(data)
	if err != nil {
		return fmt.Errorf("after the edit: %w", err)
	}
	differ := 0
	for i := range min(len(uses), len(after)) {
		if uses[i].Name != after[i].Name || uses[i].Path != after[i].Path || uses[i].Line != after[i].Line {
			differ = -1
			break
		}
		if uses[i].Ref != after[i].Ref {
			differ++
		}
	}
	if len(after) != len(uses) || differ != want {
		return fmt.Errorf("the edit changed %d refs, expected %d", differ, want)
	}
	return nil
}
