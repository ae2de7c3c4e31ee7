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
			"a pinned commit to the commit of the tag together with the version in its comment. Every use in the folder's workflows is changed; the rest of each file stays. " +
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
	pinned := commit.MatchString(uses[0].Constraint)
	to := restyled(present.Version, choice.Version)
	if pinned { // the comment says the whole version, since the commit is that of one
		to = prefixed(present.Version, choice.Version)
	}
	p := target.NewPath(ID, fix.RaiseDirect, choice)
	p.ID = fmt.Sprintf("%s:%s:%s@%s:%s", fix.RaiseDirect, target.Module.Dir+"/actions", present.Name, choice.Version, present.Key)
	p.Changes[0].Direct = true
	p.Changes[0].To = to
	p.Summary = fmt.Sprintf("raise %s from %s to %s in %s", present.Name, present.Version, to, places(uses))
	if pinned {
		p.Summary = fmt.Sprintf("raise %s from the commit of %s to that of %s in %s", present.Name, present.Version, to, places(uses))
	}
	for _, d := range uses {
		text := fmt.Sprintf("Change %s@%s to %s.", d.Name, d.Constraint, to)
		if pinned {
			text = fmt.Sprintf("Change %s@%s to the commit of %s, and the version in the comment behind it.", d.Name, d.Constraint, to)
		}
		p.Steps = append(p.Steps, fix.Step{Text: text, Location: fix.At(d.Path, d.Line, d.EndLine)})
	}
	if target.Registry == nil {
		p.Steps = append(p.Steps, fix.Step{
			Text:    fmt.Sprintf("Check that the tag %s exists; the forge was not asked.", to),
			Command: "git ls-remote --tags " + Address(DefaultForge, present.Name),
		})
	}
	return []fix.Path{p}, nil
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
	if len(p.Changes) != 1 {
		return nil, fmt.Errorf("the path changes %d actions, expected 1", len(p.Changes))
	}
	change := p.Changes[0]
	if !actor.MatchString(change.Package) || !release.MatchString(change.To) || !release.MatchString(change.From) {
		return nil, fmt.Errorf("%q %q %q: expected an action and two versions", change.Package, change.From, change.To)
	}
	about := func(u *lockfile.ActionUse) bool { return u.Name == change.Package && u.Version() == change.From }
	return f.change(dir, p, about, func(u *lockfile.ActionUse) (string, string, error) {
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
