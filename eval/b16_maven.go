package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// b16MavenCase is one of the peer's cases of Maven, with what its test asks for.
type b16MavenCase struct {
	name     string // below fix-engines
	folder   string // of the pom, below fix-engines
	universe string
	flaws    string // OSV; "" when the case gives none, and they are read off the patches
	patches  string // expected patches
	want     string // expected pom; "" when only patches are given
	// limit is how many requirements the test allows to move, 0 for any; noManage
	// says that the test allows no new managed version.
	limit    int
	noManage bool
}

func b16MavenCases() []b16MavenCase {
	const root, override = "osv-scalibr-guidedremediation/testdata/maven/", "osv-scalibr-guidedremediation/internal/strategy/override/testdata/"
	var cases []b16MavenCase
	for _, c := range []b16MavenCase{
		{name: "basic", folder: "basic"}, {name: "patchchoice", folder: "patchchoice"},
		// These two tests run on the pom of patchchoice, each with one option.
		{name: "nodepmgmt", folder: "patchchoice", noManage: true}, {name: "maxupgrades", folder: "patchchoice", limit: 2},
	} {
		c.patches, c.want = root+c.name+"/result.json", root+c.name+"/want.pom.xml"
		c.name, c.folder, c.universe, c.flaws = root+c.name, root+c.folder, root+"universe.yaml", root+"vulnerabilities.json"
		cases = append(cases, c)
	}
	for _, name := range []string{"workaround/commons", "workaround/guava/android-to-android", "workaround/guava/none-to-jre", "workaround/guava/jre-to-jre", "maven-classifier", "zeppelin-server", "zeppelin-server/parent"} {
		family, _, _ := strings.Cut(name, "/")
		c := b16MavenCase{name: override + name, folder: override + name, patches: override + name + "/patches.json", universe: override + family + "/universe.yaml"}
		if family != "zeppelin-server" {
			c.flaws = override + family + "/vulnerabilities.json"
		}
		cases = append(cases, c)
	}
	return cases
}

// b16Patch is a patch as the peer expects it.
type b16Patch struct {
	PackageUpdates []struct{ Name, VersionFrom, VersionTo string }
	Fixed          []b16Fixed
	Introduced     []b16Fixed
}

type b16Fixed struct {
	ID       string
	Packages []struct{ Name, Version string }
}

// b16Maven answers the peer's cases of Maven.
func b16Maven(ctx context.Context, data string) ([]b16Case, error) {
	root := filepath.Join(data, "fix-engines")
	var results []b16Case
	for _, c := range b16MavenCases() {
		outcome, err := c.run(ctx, root)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the data lacks the case
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", c.name, err)
		}
		results = append(results, outcome)
	}
	written, err := b16MavenWritten(ctx, root)
	if err != nil {
		return nil, err
	}
	results = append(results, written...)
	for _, aside := range [][2]string{
		{"osv-scalibr-guidedremediation/testdata/maven/update", "asks for the latest versions, of which no flaw is known; that is no remediation"},
		{"osv-scalibr-guidedremediation/internal/manifest/maven/testdata/parent", "tests how poms are read; it serves the case my-app as its parent"},
		{"osv-scalibr-guidedremediation/internal/resolution/testdata/universe/maven.yaml", "tests a resolution; no manifest is changed"},
		{"osv-scanner-fix/fix/testdata/override-maven", "gives a pom only: no advisories, no universe and no answer"},
	} {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(aside[0]))); err == nil {
			results = append(results, b16Case{Name: aside[0], Aside: true, Note: aside[1]})
		}
	}
	return results, nil
}

func (c *b16MavenCase) run(ctx context.Context, root string) (b16Case, error) {
	read := func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(root, filepath.FromSlash(name))) }
	text, err := read(c.universe)
	if err != nil {
		return b16Case{}, err
	}
	universe := readUniverse(text)
	tree, err := b16Poms(filepath.Join(root, filepath.FromSlash(c.folder)))
	if err != nil {
		return b16Case{}, err
	}
	if c.flaws != "" {
		if text, err = read(c.flaws); err != nil {
			return b16Case{}, err
		}
	} else if text, err = read(c.patches); err != nil {
		return b16Case{}, err
	}
	flaws, err := b16Flaws(text, c.flaws == "")
	if err != nil {
		return b16Case{}, err
	}
	index := advisory.FromMemory(flaws)
	before, err := universe.affecting(tree, index)
	if err != nil {
		return b16Case{}, err
	}
	ours, moved, err := c.answer(ctx, tree, universe, index)
	if err != nil {
		return b16Case{}, err
	}
	after, err := universe.affecting(ours, index)
	if err != nil {
		return b16Case{}, err
	}
	// From here on the peer's answer is read.
	if text, err = read(c.patches); err != nil {
		return b16Case{}, err
	}
	patches, err := b16Patches(text)
	if err != nil {
		return b16Case{}, err
	}
	theirMoves := map[string]string{}
	for _, patch := range patches {
		for _, update := range patch.PackageUpdates {
			theirMoves[update.Name] = update.VersionTo
		}
	}
	theirs := maps.Clone(tree)
	var theirAfter map[string]bool
	if c.want != "" {
		if theirs["pom.xml"], err = read(c.want); err != nil {
			return b16Case{}, err
		}
		theirAfter, err = universe.affecting(theirs, index)
	} else {
		theirAfter, err = universe.affectingWith(tree, index, theirMoves)
	}
	if err != nil {
		return b16Case{}, err
	}
	return c.compare(before, after, theirAfter, moved, theirMoves), nil
}

// compare judges our answer by the peer's.
func (c *b16MavenCase) compare(before, ours, theirs map[string]bool, moved, theirMoves map[string]string) b16Case {
	minus := func(a, b map[string]bool) []string {
		var ids []string
		for _, id := range slices.Sorted(maps.Keys(a)) {
			if !b[id] {
				ids = append(ids, id)
			}
		}
		return ids
	}
	result := b16Case{Name: c.name, Equal: true}
	var notes []string
	if missed := minus(ours, theirs); len(missed) > 0 {
		result.Equal = false
		notes = append(notes, fmt.Sprintf("leaves or brings %s, which the peer's does not", strings.Join(missed, ", ")))
	}
	more := minus(theirs, ours)
	if len(more) > 0 {
		notes = append(notes, fmt.Sprintf("closes or keeps out %d that stay in the peer's: %s", len(more), strings.Join(more, ", ")))
	}
	if extra := len(moved) - len(theirMoves); extra > 0 {
		// A move beyond the peer's count has to close something that stays in the peer's.
		result.Equal = result.Equal && extra <= len(more)
		notes = append(notes, fmt.Sprintf("moves %d requirements, the peer %d", len(moved), len(theirMoves)))
	}
	var differ []string
	for _, name := range slices.Sorted(maps.Keys(theirMoves)) {
		if moved[name] != theirMoves[name] {
			differ = append(differ, fmt.Sprintf("%s to %s where the peer has %s", name, cmp.Or(moved[name], "no other version"), theirMoves[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(moved)) {
		if theirMoves[name] == "" {
			differ = append(differ, fmt.Sprintf("%s to %s where the peer has no other version", name, moved[name]))
		}
	}
	if len(differ) > 0 {
		notes = append(notes, strings.Join(differ, ", "))
	}
	result.Note = strings.Join(notes, "; ")
	if len(before) == 0 {
		result.Note = "no advisory affects the case"
	}
	return result
}

// maxSteps bounds how many paths are carried out for one case.
const maxSteps = 200

// answer carries out recommended paths, the one that closes the most first, until
// none is left or the case allows no more.
func (c *b16MavenCase) answer(ctx context.Context, tree code.Files, universe *universe, index *advisory.Index) (code.Files, map[string]string, error) {
	fixer, err := b16Fixer("maven")
	if err != nil {
		return nil, nil, err
	}
	moved := map[string]string{}
	tried := map[string]bool{}
	for range maxSteps {
		module, modules, affected, err := universe.module(ctx, tree, index)
		if err != nil {
			return nil, nil, err
		}
		var best *fix.Path
		for _, i := range affected {
			p := module.Packages[i]
			if tried[p.Name+"@"+p.Version] {
				continue
			}
			target := &fix.Target{Module: module, Modules: modules, Package: i, Tree: tree, Advisories: index, Registry: universe}
			paths, err := fixer.Plan(ctx, target)
			if err != nil {
				return nil, nil, err
			}
			paths = slices.DeleteFunc(paths, func(p fix.Path) bool {
				fresh := 0
				for _, change := range p.Changes {
					if moved[change.Package] == "" {
						fresh++
					}
				}
				return c.noManage && p.Kind == fix.Override || c.limit > 0 && len(moved)+fresh > c.limit
			})
			if len(paths) == 0 {
				continue
			}
			chosen := fix.Compare(paths)[0]
			if best == nil || len(chosen.Closes)-len(chosen.Brings) > len(best.Closes)-len(best.Brings) {
				best = &chosen
			}
		}
		if best == nil {
			return tree, moved, nil
		}
		for _, change := range best.Changes {
			tried[change.Package+"@"+change.From], tried[change.Package+"@"+change.To] = true, true
			moved[change.Package] = change.To
		}
		if tree, err = b16Apply(ctx, fixer, tree, *best); err != nil {
			return nil, nil, err
		}
	}
	return nil, nil, fmt.Errorf("no end after %d paths", maxSteps)
}

// b16Fixer gives the fixer of a tool.
func b16Fixer(tool string) (fix.ModuleFixer, error) {
	for _, one := range builtin.Fixers(nil) {
		if fixer, ok := one.(fix.ModuleFixer); ok && fixer.Handles(&lockfile.Module{Tool: tool, Manifests: []string{"manifest"}, Locks: []string{"lock"}}) {
			return fixer, nil
		}
	}
	return nil, fmt.Errorf("no fixer of %s is built in", tool)
}

// b16Apply carries out a path on files.
func b16Apply(ctx context.Context, fixer fix.Fixer, tree code.Files, p fix.Path) (code.Files, error) {
	dir, err := os.MkdirTemp("", "backstitch-eval-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for name, text := range tree {
		if err := os.MkdirAll(filepath.Join(dir, filepath.Dir(filepath.FromSlash(name))), 0o755); err != nil {
			return nil, err
		}
		if err := os.WriteFile(filepath.Join(dir, filepath.FromSlash(name)), text, 0o600); err != nil {
			return nil, err
		}
	}
	changed, err := fixer.Apply(ctx, dir, p)
	if err != nil {
		return nil, fmt.Errorf("path %s: %w", p.ID, err)
	}
	after := maps.Clone(tree)
	for _, name := range changed {
		if after[name], err = os.ReadFile(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return nil, err
		}
	}
	return after, nil
}

// b16Poms reads the poms of a folder.
func b16Poms(folder string) (code.Files, error) {
	tree := code.Files{}
	err := filepath.WalkDir(folder, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || path.Base(filepath.ToSlash(name)) != "pom.xml" {
			return err
		}
		relative, err := filepath.Rel(folder, name)
		if err == nil {
			tree[filepath.ToSlash(relative)], err = os.ReadFile(name)
		}
		return err
	})
	if err == nil && tree["pom.xml"] == nil {
		err = &fs.PathError{Op: "read", Path: filepath.Join(folder, "pom.xml"), Err: fs.ErrNotExist}
	}
	return tree, err
}

// b16Patches reads the patches that the peer expects. A list holds alternatives,
// best first; of those that move the same package the first one counts.
func b16Patches(text []byte) ([]b16Patch, error) {
	var list []b16Patch
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("[")) {
		if err := json.Unmarshal(text, &list); err != nil {
			return nil, err
		}
	} else {
		var result struct{ Patches []b16Patch }
		if err := json.Unmarshal(text, &result); err != nil {
			return nil, err
		}
		list = result.Patches
	}
	var taken []b16Patch
	names := map[string]bool{}
	for _, patch := range list {
		clash := false
		for _, update := range patch.PackageUpdates {
			clash = clash || names[update.Name]
		}
		if clash {
			continue
		}
		for _, update := range patch.PackageUpdates {
			names[update.Name] = true
		}
		taken = append(taken, patch)
	}
	return taken, nil
}

// b16Flaws reads advisories: OSV records or, where a case gives none, what its
// patches say: an advisory ends at the lowest version of its package with which a
// patch fixes it.
func b16Flaws(text []byte, fromPatches bool) ([]fact.Advisory, error) {
	if !fromPatches {
		var file struct {
			Vulns []struct {
				ID       string
				Affected []struct {
					Package  struct{ Ecosystem, Name string }
					Versions []string
					Ranges   []struct {
						Type   string
						Events []struct{ Introduced, Fixed, LastAffected string }
					}
				}
			}
		}
		if err := json.Unmarshal(text, &file); err != nil {
			return nil, err
		}
		var flaws []fact.Advisory
		for _, v := range file.Vulns {
			a := fact.Advisory{ID: v.ID}
			for _, affected := range v.Affected {
				one := fact.Affected{Ecosystem: affected.Package.Ecosystem, Name: affected.Package.Name, Versions: affected.Versions}
				for _, r := range affected.Ranges {
					into := fact.Range{Type: r.Type}
					for _, e := range r.Events {
						into.Events = append(into.Events, fact.RangeEvent{Introduced: e.Introduced, Fixed: e.Fixed, LastAffected: e.LastAffected})
					}
					one.Ranges = append(one.Ranges, into)
				}
				a.Affected = append(a.Affected, one)
			}
			flaws = append(flaws, a)
		}
		return flaws, nil
	}
	var patches []b16Patch
	if err := json.Unmarshal(text, &patches); err != nil {
		return nil, err
	}
	type key struct{ id, name string }
	ends := map[key]string{}
	note := func(id, name, version string) {
		at := key{id, name}
		if old, ok := ends[at]; ok {
			if order, err := advisory.Compare("Maven", old, version); err != nil || order <= 0 {
				return
			}
		}
		ends[at] = version
	}
	updates := func(patch *b16Patch, name string) string {
		for _, update := range patch.PackageUpdates {
			if update.Name == name {
				return update.VersionTo
			}
		}
		return ""
	}
	for i := range patches {
		for _, fixed := range patches[i].Fixed {
			for _, p := range fixed.Packages {
				if to := updates(&patches[i], p.Name); to != "" {
					note(fixed.ID, p.Name, to)
				}
			}
		}
		for _, brought := range patches[i].Introduced {
			for _, p := range brought.Packages {
				for j := range patches {
					if to := updates(&patches[j], p.Name); to != "" {
						note(brought.ID, p.Name, to)
					}
				}
			}
		}
	}
	var flaws []fact.Advisory
	for at, end := range ends {
		flaws = append(flaws, fact.Advisory{ID: at.id, Affected: []fact.Affected{{Ecosystem: "Maven", Name: at.name,
			Ranges: []fact.Range{{Type: "ECOSYSTEM", Events: []fact.RangeEvent{{Introduced: "0"}, {Fixed: end}}}}}}})
	}
	slices.SortFunc(flaws, func(a, b fact.Advisory) int {
		return cmp.Or(cmp.Compare(a.ID, b.ID), cmp.Compare(a.Affected[0].Name, b.Affected[0].Name))
	})
	return flaws, nil
}
