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
	_, err := fix.EditFiles(dir, p.Edits)
	var stands *plan
	if err == nil {
		stands, err = f.verify(ctx, dir, p, before)
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

// verify reads the files again: exactly the planned values may differ, and what
// the path raises is no longer stated at the version before.
func (f *fixer) verify(ctx context.Context, dir string, p fix.Path, before map[string][]byte) (*plan, error) {
	for name, data := range before {
		after, err := fix.ReadFile(dir, name)
		if err != nil {
			return nil, err
		}
		if err := differAsPlanned(name, data, after, p.Edits); err != nil {
			return nil, err
		}
	}
	tree, err := code.OpenDir(dir)
	if err != nil {
		return nil, err
	}
	defer tree.Close()
	main := path.Join(p.Module, "pom.xml")
	project, err := load(ctx, tree, []string{main}, f.parse)
	if err != nil {
		return nil, err
	}
	own := project.poms[main]
	if own == nil {
		return nil, fmt.Errorf("%s after the edit: expected a pom that can be read", main)
	}
	stands := &plan{project: project, own: own}
	for _, change := range p.Changes {
		if change.To == "" || strings.HasPrefix(change.Reason, "companion of ") {
			continue
		}
		for _, at := range stands.everywhere(change.Package) {
			if _, text, _, ok := at.viewer.decide(at.at.child("version"), at.in); ok && exact(text) == change.From {
				return nil, fmt.Errorf("%s:%d: %s is still at %s after the edit", at.in.file, at.at.line, change.Package, change.From)
			}
		}
	}
	return stands, nil
}

// complete says whether the repository holds all that decides about the project:
// no parent and no bill of materials is elsewhere.
func (p *plan) complete() bool {
	for _, in := range p.own.chain() {
		if in.outside != nil {
			return false
		}
		for _, at := range in.places() {
			if at.role == roleBill && len(p.project.here[p.own.coordinates(at.at).name]) == 0 {
				return false
			}
		}
	}
	return true
}

// everywhere lists the places of the chain that state a version of an artifact,
// without classifiers told apart by version.
func (p *plan) everywhere(name string) []stating {
	var found []stating
	for _, in := range p.own.chain() {
		for _, at := range in.places() {
			if c := p.own.coordinates(at.at); c.name == name && c.classifier == "" && at.at.child("version") != nil {
				found = append(found, stating{place: at, viewer: p.own})
			}
		}
	}
	return found
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
