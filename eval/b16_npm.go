package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/eval/npmregistry"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// b16NPM answers the peer's cases of npm.
//
// Our answer is what npm makes of the recommended paths, one after the other,
// against a registry on the loopback interface that holds the case's universe. It
// is at least as good as the peer's when it closes at least what the peer's
// patches close, brings no advisory that was not there, moves no requirement and
// no package more, and none of them higher.
func b16NPM(ctx context.Context, data string) ([]b16Case, error) {
	root := filepath.Join(data, "fix-engines")
	const folder = "osv-scalibr-guidedremediation/testdata/npm/"
	var results []b16Case
	for _, name := range []string{"basic", "basicrelax"} {
		outcome, err := b16NPMCase(ctx, root, folder, name)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the data lacks the case
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", folder+name, err)
		}
		results = append(results, outcome)
	}
	for _, aside := range [][2]string{
		{"osv-scalibr-guidedremediation/internal/resolution/testdata/universe/npm.yaml", "tests a resolution; no manifest is changed"},
		{"osv-scanner-fix/fix/testdata/relax-npm", "gives a package.json only: no advisories, no universe and no answer"},
	} {
		if _, err := os.Stat(filepath.Join(root, filepath.FromSlash(aside[0]))); err == nil {
			results = append(results, b16Case{Name: aside[0], Aside: true, Note: aside[1]})
		}
	}
	return results, nil
}

func b16NPMCase(ctx context.Context, root, folder, name string) (b16Case, error) {
	read := func(name string) ([]byte, error) {
		return os.ReadFile(filepath.Join(root, filepath.FromSlash(folder+name)))
	}
	var texts [3][]byte
	for i, file := range []string{"universe.yaml", "vulnerabilities.json", name + "/package-lock.json"} {
		var err error
		if texts[i], err = read(file); err != nil {
			return b16Case{}, err
		}
	}
	universe := readUniverse(texts[0])
	flaws, err := b16Flaws(texts[1], false)
	if err != nil {
		return b16Case{}, err
	}
	index := advisory.FromMemory(flaws)
	tree := code.Files{"package-lock.json": texts[2]}
	var notes []string
	tree["package.json"], err = read(name + "/package.json")
	if errors.Is(err, fs.ErrNotExist) {
		notes = append(notes, "the case gives a lock only; beside it we put the package.json that it was made for")
		tree["package.json"], err = b16RootOf(texts[2])
	}
	if err != nil {
		return b16Case{}, err
	}
	packages := map[string]map[string]string{}
	for name, versions := range universe.versions {
		for _, version := range versions {
			if packages[name+"@"+version], err = universe.Requirements(ctx, name, version); err != nil {
				return b16Case{}, err
			}
		}
	}
	registry := npmregistry.New(packages)
	defer registry.Close()
	const setting = "npm_config_registry"
	defer func(before string, was bool) {
		_ = os.Unsetenv(setting)
		if was {
			_ = os.Setenv(setting, before)
		}
	}(os.LookupEnv(setting))
	if err := os.Setenv(setting, registry.URL); err != nil {
		return b16Case{}, err
	}
	ours, err := b16NPMAnswer(ctx, tree, universe, index)
	if err != nil {
		return b16Case{}, err
	}
	// From here on the peer's answer is read.
	theirs := maps.Clone(tree)
	for _, file := range []string{"package.json", "package-lock.json"} {
		text, err := read(name + "/want." + file)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return b16Case{}, err
		}
		theirs[file] = text
	}
	text, err := read(name + "/result.json")
	if err != nil {
		return b16Case{}, err
	}
	patches, err := b16Patches(text)
	if err != nil {
		return b16Case{}, err
	}
	outcome := b16Case{Name: folder + name, Equal: true}
	worse := func(format string, args ...any) {
		outcome.Equal = false
		notes = append(notes, fmt.Sprintf(format, args...))
	}
	before, err := b16NPMState(ctx, tree, index)
	if err != nil {
		return b16Case{}, err
	}
	after, err := b16NPMState(ctx, ours, index)
	if err != nil {
		return b16Case{}, err
	}
	for _, patch := range patches {
		for _, closed := range patch.Fixed {
			for _, p := range closed.Packages {
				if flaw := closed.ID + " " + p.Name + "@" + p.Version; after.flaws[flaw] {
					worse("we leave %s, which the peer closes", flaw)
				}
			}
		}
	}
	for flaw := range after.flaws {
		if !before.flaws[flaw] {
			worse("we bring %s", flaw)
		}
	}
	peer, err := b16NPMState(ctx, theirs, index)
	if err != nil {
		return b16Case{}, err
	}
	for requirement, constraint := range after.stated {
		switch want := peer.stated[requirement]; {
		case constraint == want:
		case want == before.stated[requirement]:
			worse("we change the requirement %s to %s, which the peer leaves", requirement, constraint)
		case constraint == before.stated[requirement]:
			notes = append(notes, fmt.Sprintf("we leave the requirement %s, which the peer changes to %s", requirement, want))
		default:
			order, err := index.Compare("npm", strings.TrimLeft(constraint, "^~>= "), strings.TrimLeft(want, "^~>= "))
			if err != nil || order > 0 {
				worse("we change the requirement %s to %s, the peer to %s", requirement, constraint, want)
			} else {
				notes = append(notes, fmt.Sprintf("we change the requirement %s to %s, the peer no lower than %s", requirement, constraint, want))
			}
		}
	}
	if string(theirs["package-lock.json"]) != string(tree["package-lock.json"]) {
		for key, version := range after.packages {
			want := peer.packages[key]
			if order, err := index.Compare("npm", version, want); want != version && (err != nil || order > 0) {
				worse("we lock %s at %s, the peer at %s", key, version, want)
			}
		}
	} else {
		for key, version := range after.packages {
			was := before.packages[key]
			if was == version {
				continue
			}
			name := key[strings.LastIndex(key, "node_modules/")+len("node_modules/"):]
			lower := slices.ContainsFunc(universe.versions[name], func(v string) bool {
				up, errUp := index.Compare("npm", v, was)
				down, errDown := index.Compare("npm", v, version)
				flaws, err := index.Affecting(fact.Package{Ecosystem: "npm", Name: name, Version: v})
				return errUp == nil && errDown == nil && err == nil && up > 0 && down < 0 && len(flaws) == 0
			})
			// A requirer may need more than the lowest version, as its new requirement says.
			if lower && after.stated["production "+name] == before.stated["production "+name] {
				worse("we lock %s at %s although a lower version would do", key, version)
			}
		}
		notes = append(notes, "the peer gives no lock; in ours the versions are no higher than needed")
	}
	outcome.Note = strings.Join(notes, "; ")
	return outcome, nil
}

// b16NPMAnswer applies the recommended paths until none is left.
func b16NPMAnswer(ctx context.Context, tree code.Files, registry fix.Registry, index *advisory.Index) (code.Files, error) {
	fixer, err := b16Fixer("npm")
	if err != nil {
		return nil, err
	}
	for range maxSteps {
		modules, err := lockfile.Read(ctx, tree)
		if err != nil || len(modules) != 1 {
			return nil, fmt.Errorf("%d modules were read, expected 1: %w", len(modules), err)
		}
		var best *fix.Path
		for i := range modules[0].Packages {
			found, err := index.Affecting(modules[0].Fact(i))
			if err != nil {
				return nil, err
			}
			if len(found) == 0 {
				continue
			}
			target := &fix.Target{Module: &modules[0], Modules: modules, Package: i, Tree: tree, Advisories: index, Registry: registry}
			paths, err := fixer.Plan(ctx, target)
			if err != nil {
				return nil, err
			}
			if len(paths) > 0 {
				best = &fix.Compare(paths)[0]
				break
			}
		}
		if best == nil {
			return tree, nil
		}
		if tree, err = b16Apply(ctx, fixer, tree, *best); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("no end after %d paths", maxSteps)
}

// b16State is what a project of npm states, holds and is affected by.
type b16State struct {
	stated   map[string]string // section and name to constraint, overrides included
	packages map[string]string // key of the lock to version
	flaws    map[string]bool   // "ID name@version"
}

func b16NPMState(ctx context.Context, tree code.Files, index *advisory.Index) (*b16State, error) {
	modules, err := lockfile.Read(ctx, tree)
	if err != nil || len(modules) != 1 {
		return nil, fmt.Errorf("%d modules were read, expected 1: %w", len(modules), err)
	}
	s := &b16State{stated: map[string]string{}, packages: map[string]string{}, flaws: map[string]bool{}}
	for _, d := range modules[0].Declared {
		s.stated[d.Group+" "+d.Name] = d.Constraint
	}
	for i, p := range modules[0].Packages {
		s.packages[p.Key] = p.Version
		found, err := index.Affecting(modules[0].Fact(i))
		if err != nil {
			return nil, err
		}
		for _, a := range found {
			s.flaws[a.ID+" "+p.Name+"@"+p.Version] = true
		}
	}
	return s, nil
}

// b16RootOf is the package.json that a lock was made for, by its root entry.
func b16RootOf(lock []byte) ([]byte, error) {
	var document struct {
		Packages map[string]json.RawMessage
	}
	if err := json.Unmarshal(lock, &document); err != nil {
		return nil, err
	}
	if document.Packages[""] == nil {
		return nil, errors.New("package-lock.json: no entry of the root")
	}
	return document.Packages[""], nil
}
