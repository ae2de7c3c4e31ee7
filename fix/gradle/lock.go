package gradle

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/backstitch/backstitch/fix"
)

// lock completes a path for a module with a lock: the lines of what moves are
// changed when the registry shows that the rest of the lock stays as it is. Else
// the path is for people, since the build has to rewrite the lock.
func (p *plan) lock(ctx context.Context, path *fix.Path) error {
	m := p.target.Module
	if len(m.Locks) == 0 {
		return nil
	}
	why, err := p.movesMore(ctx, path)
	if err != nil {
		return err
	}
	if why != "" {
		path.Manual = true
		path.Effort = fix.EffortMedium
		path.Steps = append(path.Steps, fix.Step{
			Text:     "Let the build rewrite the lock and look at what else moved: " + why + ". Gradle runs the repository's code for that, so nothing is proven before.",
			Command:  WriteLocks,
			Location: fix.At(m.Locks[0], 0, 0),
		})
		return nil
	}
	for _, change := range path.Changes {
		for _, pkg := range m.Packages {
			if pkg.Name != change.Package || pkg.Version != change.From {
				continue
			}
			at, err := p.find(ctx, pkg.Path, pkg.Line, change.From)
			if err != nil {
				return err
			}
			path.Edits = append(path.Edits, fix.NewFileEdit(pkg.Path, p.files[pkg.Path], at.start, at.end, change.To))
			path.Steps = append(path.Steps, fix.Step{
				Text:     fmt.Sprintf("Change %s in the lock from %s to %s; nothing else in it moves.", change.Package, change.From, change.To),
				Location: fix.At(pkg.Path, pkg.Line, pkg.EndLine),
			})
		}
	}
	return nil
}

// movesMore says why more of the lock may move than the changes of a path, "" when
// it is known that nothing does: what the new versions require is locked already,
// at no lower a version, and is what the old ones required.
func (p *plan) movesMore(ctx context.Context, path *fix.Path) (string, error) {
	if p.target.Registry == nil {
		return "no registry was asked what the new version requires", nil
	}
	m := p.target.Module
	versions := map[string]string{}
	for _, pkg := range m.Packages {
		versions[pkg.Name] = pkg.Version
	}
	for _, change := range path.Changes {
		versions[change.Package] = change.To
	}
	for _, change := range path.Changes {
		before, err := p.target.Registry.Requirements(ctx, change.Package, change.From)
		if errors.Is(err, fs.ErrNotExist) {
			return "nobody at hand knows what " + change.Package + " " + change.From + " requires", nil
		}
		if err != nil {
			return "", fmt.Errorf("requirements of %s %s: %w", change.Package, change.From, err)
		}
		after, err := p.target.Registry.Requirements(ctx, change.Package, change.To)
		if errors.Is(err, fs.ErrNotExist) {
			return "nobody at hand knows what " + change.Package + " " + change.To + " requires", nil
		}
		if err != nil {
			return "", fmt.Errorf("requirements of %s %s: %w", change.Package, change.To, err)
		}
		for name := range before {
			if after[name] == "" {
				return change.Package + " " + change.To + " no longer requires " + name, nil
			}
		}
		for name, wants := range after {
			if before[name] == "" {
				return change.Package + " " + change.To + " requires " + name + ", which " + change.From + " did not", nil
			}
			if strings.ContainsAny(wants, "[](),") || versions[name] == "" {
				return change.Package + " " + change.To + " requires " + name + " " + wants, nil
			}
			if order, err := p.target.Advisories.Compare("Maven", versions[name], wants); err != nil || order < 0 {
				return change.Package + " " + change.To + " requires " + name + " " + wants + ", and " + versions[name] + " is locked", nil
			}
		}
	}
	return "", nil
}
