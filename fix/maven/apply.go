package maven

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

func (f *fixer) Apply(ctx context.Context, dir string, p fix.Path) ([]string, error) {
	if len(p.Edits) == 0 {
		return nil, fmt.Errorf("path %s: expected edits of poms", p.ID)
	}
	if err := check(p.Changes); err != nil {
		return nil, err
	}
	before := map[string][]byte{}
	for _, edit := range p.Edits {
		if ext := path.Ext(edit.Path); ext != ".xml" && ext != ".pom" {
			return nil, fmt.Errorf("%s: expected a pom", edit.Path)
		}
		if edit.Digest == "" {
			return nil, fmt.Errorf("%s: expected the edit of a pom that is there", edit.Path)
		}
		if _, known := before[edit.Path]; known {
			continue
		}
		data, err := fix.ReadFile(dir, edit.Path)
		if err != nil {
			return nil, err
		}
		before[edit.Path] = data
	}
	was, err := f.standing(ctx, dir, p)
	if err != nil {
		return nil, err
	}
	var stands *plan
	if _, err = fix.EditFiles(dir, p.Edits); err == nil {
		stands, err = f.verify(ctx, dir, p, before, was)
	}
	if err == nil && stands.complete() {
		err = judged(ctx, dir, p.Module, before)
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

// check refuses names and versions that are none.
func check(changes []fix.Change) error {
	for _, change := range changes {
		if !fix.IsMavenName(change.Package) {
			return fmt.Errorf("%q: expected group:artifact", change.Package)
		}
		if change.To != "" && !fix.IsMavenVersion(change.To) {
			return fmt.Errorf("%s: %q: expected a version", change.Package, change.To)
		}
	}
	return nil
}

// standing reads the project of a path as it is in a working copy.
func (f *fixer) standing(ctx context.Context, dir string, p fix.Path) (*plan, error) {
	tree, err := code.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	names, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	names = slices.DeleteFunc(names, func(name string) bool { return path.Base(name) != "pom.xml" || !lockfile.Wants(name) })
	project, err := load(ctx, tree, names, f.parse)
	if err != nil {
		return nil, err
	}
	main := path.Join(p.Module, "pom.xml")
	if project.poms[main] == nil {
		return nil, fmt.Errorf("%s: expected a pom that can be read", main)
	}
	return &plan{project: project, own: project.poms[main]}, nil
}

// verify reads the files again: exactly the planned values may differ, and what
// the path raises is stated at the new version in more places than before, and at
// the old one in no more.
func (f *fixer) verify(ctx context.Context, dir string, p fix.Path, before map[string][]byte, was *plan) (*plan, error) {
	for name, data := range before {
		after, err := fix.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		if err := differAsPlanned(name, data, after, p.Edits); err != nil {
			return nil, err
		}
	}
	is, err := f.standing(ctx, dir, p)
	if err != nil {
		return nil, err
	}
	for _, change := range p.Changes {
		if change.To == "" || strings.HasPrefix(change.Reason, "companion of ") {
			continue
		}
		if is.count(change.Package, change.To) <= was.count(change.Package, change.To) || is.count(change.Package, change.From) > was.count(change.Package, change.From) {
			return nil, fmt.Errorf("%s: the edit does not move %s from %s to %s", is.own.file, change.Package, change.From, change.To)
		}
	}
	return is, nil
}

// count says in how many places that decide about the project a version of an
// artifact is stated.
func (p *plan) count(name, version string) int {
	n := 0
	for _, list := range [][]*pom{p.own.chain(), p.bills()} {
		for _, in := range list {
			viewer := p.own
			if !slices.Contains(p.own.chain(), in) {
				viewer = in
			}
			for _, at := range in.places() {
				stated := at.at.child("version")
				if stated == nil || viewer.coordinates(at.at).name != name {
					continue
				}
				if _, text, _, ok := viewer.decide(stated, in); ok && exact(text) == version {
					n++
				}
			}
		}
	}
	return n
}

// complete says whether mvn finds all that decides about the project in the
// repository: no parent is elsewhere, and no bill of materials is imported.
func (p *plan) complete() bool {
	for _, in := range p.own.chain() {
		if in.outside != nil {
			return false
		}
		for _, at := range in.places() {
			if at.role == roleBill { // mvn looks for it in a repository, whoever builds it
				return false
			}
		}
	}
	return true
}

// differAsPlanned compares the values of two readings of a file.
func differAsPlanned(name string, before, after []byte, edits []fix.FileEdit) error {
	var values [2]map[string]int
	for i, data := range [][]byte{before, after} {
		root, err := parseXML(data)
		if err != nil {
			return fmt.Errorf("%s after the edit: %w", name, err)
		}
		values[i] = map[string]int{}
		root.leaves("", values[i])
	}
	gone, come, wantGone, wantCome := 0, 0, 0, 0
	for key, n := range values[0] {
		if !strings.HasSuffix(key, "=") { // an element that is filled was an empty value
			gone += max(n-values[1][key], 0)
		}
	}
	for key, n := range values[1] {
		if !strings.HasSuffix(key, "=") {
			come += max(n-values[0][key], 0)
		}
	}
	for _, edit := range edits {
		if edit.Path != name {
			continue
		}
		out, err := countValues(edit.Old)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, edit.Line, err)
		}
		in, err := countValues(edit.New)
		if err != nil {
			return fmt.Errorf("%s:%d: %w", name, edit.Line, err)
		}
		wantGone, wantCome = wantGone+out, wantCome+in
	}
	if gone != wantGone || come != wantCome {
		return fmt.Errorf("%s: the edit took %d values away and brought %d, expected %d and %d", name, gone, come, wantGone, wantCome)
	}
	return nil
}

// countValues counts the values of a piece of a file: a text is one.
func countValues(text string) (int, error) {
	if strings.TrimSpace(text) == "" {
		return 0, nil
	}
	if !strings.Contains(text, "<") {
		return 1, nil
	}
	root, err := parseXML([]byte("<piece>" + text + "</piece>"))
	if err != nil {
		return 0, err
	}
	values := map[string]int{}
	root.leaves("", values)
	n := 0
	for key, count := range values {
		if !strings.HasSuffix(key, "=") {
			n += count
		}
	}
	return n, nil
}
