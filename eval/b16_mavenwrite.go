package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// b16MavenWritten answers the cases in which the peer tests how a pom is written:
// given versions for given artifacts. What is asked for is read off the expected
// pom; where it is written is ours. The answer is as good when both poms hold the
// same values.
func b16MavenWritten(ctx context.Context, root string) ([]b16Case, error) {
	const folder = "osv-scalibr-guidedremediation/internal/manifest/maven/testdata"
	var results []b16Case
	for _, c := range []struct{ dir, want string }{{"my-app", "write_want.pom.xml"}, {"no-dependency-management", "want.pom.xml"}} {
		tree := code.Files{}
		for _, name := range []string{c.dir + "/pom.xml", "parent/pom.xml", "parent/grandparent/pom.xml"} {
			text, err := os.ReadFile(filepath.Join(root, folder, filepath.FromSlash(name)))
			if err == nil {
				tree[name] = text
			} else if !errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
		}
		want, err := os.ReadFile(filepath.Join(root, folder, c.dir, c.want))
		if errors.Is(err, fs.ErrNotExist) || tree[c.dir+"/pom.xml"] == nil {
			continue
		}
		if err != nil {
			return nil, err
		}
		outcome, err := b16Written(ctx, tree, c.dir, want)
		if err != nil {
			return nil, fmt.Errorf("%s/%s: %w", folder, c.dir, err)
		}
		outcome.Name = folder + "/" + c.dir
		results = append(results, outcome)
	}
	return results, nil
}

// mavenStated is a version that a pom states.
type mavenStated struct{ where, name, version string }

func b16Written(ctx context.Context, tree code.Files, dir string, want []byte) (b16Case, error) {
	file := dir + "/pom.xml"
	before, _, err := mavenStatements(tree[file])
	if err != nil {
		return b16Case{}, err
	}
	after, expected, err := mavenStatements(want)
	if err != nil {
		return b16Case{}, err
	}
	fixer, err := b16Fixer("maven")
	if err != nil {
		return b16Case{}, err
	}
	for _, ask := range after {
		from := "0"
		if at := slices.IndexFunc(before, func(s mavenStated) bool { return s.where == ask.where && s.name == ask.name }); at >= 0 {
			from = before[at].version
		}
		if from == ask.version {
			continue
		}
		modules, err := lockfile.Read(ctx, tree)
		if err != nil {
			return b16Case{}, err
		}
		m := &modules[slices.IndexFunc(modules, func(m lockfile.Module) bool { return m.Dir == dir })]
		i := slices.IndexFunc(m.Packages, func(p lockfile.Package) bool { return p.Name == ask.name && p.Version == from })
		if i < 0 {
			i = len(m.Packages)
			m.Packages = append(m.Packages, lockfile.Package{Name: ask.name, Version: from, Key: ask.name})
		}
		index := advisory.FromMemory([]fact.Advisory{{ID: "ASKED", Affected: []fact.Affected{{Ecosystem: "Maven", Name: ask.name,
			Ranges: []fact.Range{{Type: "ECOSYSTEM", Events: []fact.RangeEvent{{Introduced: "0"}, {Fixed: ask.version}}}}}}}})
		target := &fix.Target{Module: m, Modules: modules, Package: i, Tree: tree, Advisories: index}
		paths, err := fixer.Plan(ctx, target)
		if err != nil {
			return b16Case{}, err
		}
		if len(paths) == 0 {
			return b16Case{Note: "no path for " + ask.name}, nil
		}
		if tree, err = b16Apply(ctx, fixer, tree, fix.Compare(paths)[0]); err != nil {
			return b16Case{}, err
		}
	}
	_, ours, err := mavenStatements(tree[file])
	if err != nil {
		return b16Case{}, err
	}
	result := b16Case{Equal: maps.Equal(ours, expected)}
	if !result.Equal {
		result.Note = "values differ from the peer's:"
		for _, key := range slices.Sorted(maps.Keys(expected)) {
			if ours[key] != expected[key] {
				result.Note += " " + key
			}
		}
	}
	return result, nil
}

// mavenStatements reads the versions that a pom states, with properties of the
// same file put in, and counts all its values by path.
func mavenStatements(text []byte) ([]mavenStated, map[string]int, error) {
	type element struct {
		where, text string
		values      map[string]string
		parts       int
	}
	values := map[string]int{}
	properties := map[string]string{}
	var stated []mavenStated
	open := []*element{{values: map[string]string{}}}
	decoder := xml.NewDecoder(bytes.NewReader(text))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		top := open[len(open)-1]
		switch t := token.(type) {
		case xml.StartElement:
			top.parts++
			open = append(open, &element{where: top.where + "/" + t.Name.Local, values: map[string]string{}})
		case xml.CharData:
			top.text += strings.TrimSpace(string(t))
		case xml.EndElement:
			open = open[:len(open)-1]
			if top.parts == 0 {
				values[top.where+"="+top.text]++
				open[len(open)-1].values[t.Name.Local] = top.text
				if strings.HasSuffix(strings.TrimSuffix(top.where, "/"+t.Name.Local), "/properties") {
					properties[t.Name.Local] = top.text
				}
			} else if top.values["artifactId"] != "" && top.values["version"] != "" && strings.Count(top.where, "/") > 1 {
				stated = append(stated, mavenStated{top.where, top.values["groupId"] + ":" + top.values["artifactId"], top.values["version"]})
			}
		}
	}
	for i := range stated {
		if name, ok := strings.CutPrefix(stated[i].version, "${"); ok {
			stated[i].version = properties[strings.TrimSuffix(name, "}")]
		}
	}
	return stated, values, nil
}
