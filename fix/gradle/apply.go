package gradle

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fix"
)

func (fixer) Apply(ctx context.Context, dir string, p fix.Path) ([]string, error) {
	if len(p.Edits) == 0 {
		return nil, fmt.Errorf("path %s: expected edits", p.ID)
	}
	if p.Manual {
		return nil, fmt.Errorf("path %s: the build has to rewrite its lock, which runs the repository's code", p.ID)
	}
	for _, change := range p.Changes {
		if !fix.IsMavenName(change.Package) || !fix.IsMavenVersion(change.To) {
			return nil, fmt.Errorf("%q %q: expected group:artifact and a version", change.Package, change.To)
		}
	}
	before := map[string][]byte{}
	for _, edit := range p.Edits {
		if !lockfile.Wants(edit.Path) || edit.Digest == "" {
			return nil, fmt.Errorf("%s: expected a file of Gradle that is there", edit.Path)
		}
		data, err := fix.ReadFile(dir, edit.Path)
		if err != nil {
			return nil, err
		}
		before[edit.Path] = data
	}
	was, err := stated(ctx, dir)
	if err != nil {
		return nil, err
	}
	if _, err = fix.EditFiles(dir, p.Edits); err == nil {
		var is []statement
		if is, err = stated(ctx, dir); err == nil {
			err = compare(was, is, p)
		}
	}
	if err != nil {
		for name, data := range before {
			err = errors.Join(err, fix.WriteFile(dir, name, data))
		}
		return nil, err
	}
	var changed []string
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if after, err := fix.ReadFile(dir, name); err == nil && string(after) != string(before[name]) {
			changed = append(changed, name)
		}
	}
	return changed, nil
}

// statement is a version that a file states or locks.
type statement struct{ file, name, version string }

// stated reads all versions of the working copy's files of Gradle.
func stated(ctx context.Context, dir string) ([]statement, error) {
	tree, err := code.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	names, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool {
		base := path.Base(name)
		return !strings.Contains(base, "gradle") && !strings.HasSuffix(base, ".versions.toml")
	})
	modules, err := lockfile.ReadPaths(ctx, tree, names)
	if err != nil {
		return nil, err
	}
	var all []statement
	for _, m := range modules {
		if m.Tool != "gradle" {
			continue
		}
		for _, d := range m.Declared {
			all = append(all, statement{d.Path, d.Name, d.Constraint})
		}
		if len(m.Locks) > 0 {
			for _, p := range m.Packages {
				all = append(all, statement{p.Path, p.Name, p.Version})
			}
		}
	}
	return all, nil
}

// compare checks two readings: what moved are packages of the path's changes, from
// and to its versions; an override may add a constraint.
func compare(was, is []statement, p fix.Path) error {
	left := map[statement]int{}
	for _, s := range was {
		left[s]++
	}
	var come []statement
	for _, s := range is {
		if left[s] > 0 {
			left[s]--
		} else {
			come = append(come, s)
		}
	}
	moves := func(s statement, to bool) bool {
		return slices.ContainsFunc(p.Changes, func(c fix.Change) bool {
			return c.Package == s.name && (to && c.To == s.version || !to && c.From == s.version)
		})
	}
	gone := 0
	for s, n := range left {
		if n > 0 && !moves(s, false) {
			return fmt.Errorf("%s: the edit would move %s %s, which the path does not say", s.file, s.name, s.version)
		}
		gone += n
	}
	for _, s := range come {
		if !moves(s, true) {
			return fmt.Errorf("%s: the edit would bring %s %s, which the path does not say", s.file, s.name, s.version)
		}
	}
	want := gone
	if p.Kind == fix.Override {
		want++
	}
	if len(come) != want || len(come) == 0 {
		return fmt.Errorf("the edit changed %d versions and brought %d, expected %d", gone, len(come), want)
	}
	return nil
}
