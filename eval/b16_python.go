package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// pythonSyntax is how Python's constraints are judged here, of our answer and of the
// peer's.
var pythonSyntax = fix.Syntax{Operators: map[string]fix.Meaning{
	"": fix.Exact, "==": fix.Exact, "===": fix.Exact, "!=": fix.NotThe, "~=": fix.Compatible,
	"<": fix.Below, "<=": fix.UpTo, ">": fix.Above, ">=": fix.From, "^": fix.Caret, "~": fix.Tilde,
}}

// b16Python answers the peer's cases of Python: manifests to relax within a universe,
// and manifests that are written with versions given.
func b16Python(ctx context.Context, data string) ([]b16Case, error) {
	root := filepath.Join(data, "fix-engines")
	const peer = "osv-scalibr-guidedremediation/"
	manifests := []struct{ folder, file string }{{"requirements", "requirements.txt"}, {"pipfile", "Pipfile"}, {"poetry", "pyproject.toml"}}
	var results []b16Case
	for _, kind := range []struct {
		folder string
		run    func(ctx context.Context, file string, text []byte, dir string) (*pythonAnswer, error)
	}{
		{peer + "testdata/python/relax/", b16Relax}, {peer + "internal/manifest/python/testdata/", b16Write},
	} {
		for _, m := range manifests {
			dir := filepath.Join(root, filepath.FromSlash(kind.folder), m.folder)
			text, err := os.ReadFile(filepath.Join(dir, m.file))
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			if err != nil {
				return nil, err
			}
			answer, err := kind.run(ctx, m.file, text, dir)
			if err != nil {
				return nil, fmt.Errorf("%s%s: %w", kind.folder, m.folder, err)
			}
			want, err := os.ReadFile(filepath.Join(dir, "want."+m.file))
			if err != nil {
				return nil, err
			}
			outcome, err := answer.judge(ctx, want)
			if err != nil {
				return nil, fmt.Errorf("%s%s: %w", kind.folder, m.folder, err)
			}
			outcome.Name = kind.folder + m.folder
			results = append(results, outcome)
		}
	}
	return results, nil
}

// pythonAnswer is a manifest before and after our paths, with what it is judged by.
type pythonAnswer struct {
	file          string
	before, after []byte
	universe      pythonUniverse // nil for a case without one
	index         *advisory.Index
}

// pythonUniverse is what each version of each package requires: name, version, then
// constraint by name. It implements fix.Registry.
type pythonUniverse map[string]map[string]map[string]string

// Versions implements fix.Registry.
func (u pythonUniverse) Versions(_ context.Context, name string) ([]string, error) {
	var versions []string
	for version := range u[name] {
		versions = append(versions, version)
	}
	slices.SortFunc(versions, comparePython)
	return versions, nil
}

// Requirements implements fix.Registry.
func (u pythonUniverse) Requirements(_ context.Context, name, version string) (map[string]string, error) {
	return u[name][version], nil
}

func comparePython(a, b string) int {
	order, err := advisory.Compare("PyPI", a, b)
	if err != nil {
		return strings.Compare(a, b)
	}
	return order
}

// parsePythonUniverse reads the indented list of names, versions and requirements
// below "schema".
func parsePythonUniverse(text []byte) (pythonUniverse, error) {
	universe := pythonUniverse{}
	var name, version string
	inside := false
	for i, line := range strings.Split(string(text), "\n") {
		switch entry := strings.TrimSpace(line); {
		case strings.HasPrefix(line, "schema:"):
			inside = true
		case !inside || entry == "":
		case strings.HasPrefix(line, "      ") && version != "":
			of, constraint, ok := strings.Cut(entry, "@")
			if !ok {
				return nil, fmt.Errorf("universe.yaml:%d: expected a requirement", i+1)
			}
			universe[name][version][of] = constraint
		case strings.HasPrefix(line, "    ") && name != "":
			version = entry
			universe[name][version] = map[string]string{}
		case strings.HasPrefix(line, "  "):
			name, version = entry, ""
			universe[name] = map[string]map[string]string{}
		}
	}
	if len(universe) == 0 {
		return nil, errors.New("universe.yaml: expected packages")
	}
	return universe, nil
}

// resolve gives the module of a manifest with what it leads to: each requirement by
// itself to the highest version that it allows, since the universe's requirements
// contradict each other.
func (u pythonUniverse) resolve(ctx context.Context, file string, text []byte) (*lockfile.Module, error) {
	modules, err := lockfile.ReadPaths(ctx, code.Files{file: text}, []string{file})
	if err != nil {
		return nil, err
	}
	if len(modules) != 1 {
		return nil, fmt.Errorf("%s: %d modules were read, expected 1", file, len(modules))
	}
	m := &modules[0]
	m.Packages = nil
	at := map[string]int{}
	var add func(name, constraint string) int
	add = func(name, constraint string) int {
		versions, _ := u.Versions(ctx, name)
		for _, version := range slices.Backward(versions) {
			if fits, _ := pythonSyntax.Admits(constraint, version); !fits {
				continue
			}
			key := name + "@" + version
			i, known := at[key]
			if !known {
				i = len(m.Packages)
				at[key] = i
				m.Packages = append(m.Packages, lockfile.Package{Name: name, Version: version, Key: key, EdgesKnown: true})
				for other, constraint := range u[name][version] {
					if j := add(other, constraint); j >= 0 {
						m.Packages[i].Requires = append(m.Packages[i].Requires, j)
					}
				}
			}
			return i
		}
		return -1
	}
	for d, declared := range m.Declared {
		if i := add(declared.Name, declared.Constraint); i >= 0 {
			p := &m.Packages[i]
			p.Direct, p.Path, p.Line = true, declared.Path, declared.Line
			p.Declared = append(p.Declared, d)
		}
	}
	return m, nil
}

// open lists the advisories of what a manifest leads to, with the packages of each.
func (a *pythonAnswer) open(ctx context.Context, text []byte) (*lockfile.Module, map[string][]int, error) {
	m, err := a.universe.resolve(ctx, a.file, text)
	if err != nil {
		return nil, nil, err
	}
	found := map[string][]int{}
	for i := range m.Packages {
		affecting, err := a.index.Affecting(m.Fact(i))
		if err != nil {
			return nil, nil, err
		}
		for _, one := range affecting {
			found[one.ID] = append(found[one.ID], i)
		}
	}
	return m, found, nil
}

// b16Relax closes what a manifest leads to in a universe, the advisory first that
// takes the fewest changes. What a path of ours brings back is not chased, since in
// this universe that has no end.
func b16Relax(ctx context.Context, file string, text []byte, dir string) (*pythonAnswer, error) {
	answer := &pythonAnswer{file: file, before: text, after: text}
	above := filepath.Dir(filepath.Dir(dir))
	schema, err := os.ReadFile(filepath.Join(above, "universe.yaml"))
	if err != nil {
		return nil, err
	}
	if answer.universe, err = parsePythonUniverse(schema); err != nil {
		return nil, err
	}
	flaws, err := os.ReadFile(filepath.Join(above, "vulnerabilities.json"))
	if err != nil {
		return nil, err
	}
	list, err := b16Flaws(flaws, false)
	if err != nil {
		return nil, err
	}
	answer.index = advisory.FromMemory(list)
	fixer, err := b16Fixer("pip")
	if err != nil {
		return nil, err
	}
	_, start, err := answer.open(ctx, text)
	if err != nil {
		return nil, err
	}
	left := map[string]bool{}
	for id := range start {
		left[id] = true
	}
	for range 100 {
		m, open, err := answer.open(ctx, answer.after)
		if err != nil {
			return nil, err
		}
		var best *fix.Path
		var closes string
		for id := range left {
			if len(open[id]) == 0 {
				delete(left, id)
				continue
			}
			target := &fix.Target{
				Module: m, Modules: []lockfile.Module{*m}, Package: open[id][0], Tree: code.Files{file: answer.after},
				Advisories: answer.index, Close: []string{id}, Registry: answer.universe,
			}
			paths, err := fixer.Plan(ctx, target)
			if err != nil {
				return nil, err
			}
			if len(paths) == 0 {
				delete(left, id)
				continue
			}
			p := fix.Compare(paths)[0]
			if best == nil || cmp.Or(cmp.Compare(len(p.Changes), len(best.Changes)), cmp.Compare(id, closes)) < 0 {
				best, closes = &p, id
			}
		}
		if best == nil {
			return answer, nil
		}
		tree, err := b16Apply(ctx, fixer, code.Files{file: answer.after}, *best)
		if err != nil {
			return nil, err
		}
		if bytes.Equal(tree[file], answer.after) {
			delete(left, closes)
		}
		answer.after = tree[file]
	}
	return nil, errors.New("no end after 100 paths")
}

var statedVersion = regexp.MustCompile(`(?:>=|==|~=|>)\s*([0-9][0-9A-Za-z.]*)`)

// b16Write raises a manifest's requirements to the versions that the peer's manifest
// begins at: the peer's test gives versions, and asks how they are written.
func b16Write(ctx context.Context, file string, text []byte, dir string) (*pythonAnswer, error) {
	answer := &pythonAnswer{file: file, before: text, after: text}
	want, err := os.ReadFile(filepath.Join(dir, "want."+file)) // the versions to write; the form is judged later
	if err != nil {
		return nil, err
	}
	before, err := pythonDeclared(ctx, file, text)
	if err != nil {
		return nil, err
	}
	asked, err := pythonDeclared(ctx, file, want)
	if err != nil || len(asked) != len(before) {
		return nil, errors.Join(err, fmt.Errorf("%d requirements before, %d after", len(before), len(asked)))
	}
	fixer, err := b16Fixer("pip")
	if err != nil {
		return nil, err
	}
	for i, d := range asked {
		if d.Constraint == before[i].Constraint {
			continue
		}
		from, to := statedVersion.FindStringSubmatch(before[i].Constraint), statedVersion.FindStringSubmatch(d.Constraint)
		if from == nil || to == nil {
			return nil, fmt.Errorf("%s %s: expected versions", d.Name, d.Constraint)
		}
		if now, err := pythonDeclared(ctx, file, answer.after); err != nil || now[i].Constraint != before[i].Constraint {
			if err != nil {
				return nil, err
			}
			continue // raised together with another requirement of the package
		}
		modules, err := lockfile.ReadPaths(ctx, code.Files{file: answer.after}, []string{file})
		if err != nil {
			return nil, err
		}
		m := &modules[0]
		at := len(m.Packages)
		m.Packages = append(m.Packages, lockfile.Package{Name: d.Name, Version: from[1], Key: "asked", Direct: true, Path: d.Path, Line: d.Line})
		flaw := fact.Advisory{ID: "ASKED", Affected: []fact.Affected{{Ecosystem: "PyPI", Name: d.Name,
			Ranges: []fact.Range{{Type: "ECOSYSTEM", Events: []fact.RangeEvent{{Introduced: "0"}, {Fixed: to[1]}}}}}}}
		target := &fix.Target{Module: m, Modules: modules, Package: at, Tree: code.Files{file: answer.after}, Advisories: advisory.FromMemory([]fact.Advisory{flaw})}
		paths, err := fixer.Plan(ctx, target)
		if err != nil {
			return nil, err
		}
		if len(paths) == 0 {
			continue
		}
		tree, err := b16Apply(ctx, fixer, code.Files{file: answer.after}, fix.Compare(paths)[0])
		if err != nil {
			return nil, err
		}
		answer.after = tree[file]
	}
	return answer, nil
}

func pythonDeclared(ctx context.Context, file string, text []byte) ([]lockfile.Declaration, error) {
	modules, err := lockfile.ReadPaths(ctx, code.Files{file: text}, []string{file})
	if err != nil {
		return nil, err
	}
	if len(modules) != 1 {
		return nil, fmt.Errorf("%s: %d modules were read, expected 1", file, len(modules))
	}
	return modules[0].Declared, nil
}

// judge compares an answer with the peer's manifest.
func (a *pythonAnswer) judge(ctx context.Context, want []byte) (b16Case, error) {
	var lists [3][]lockfile.Declaration
	for i, text := range [][]byte{a.before, a.after, want} {
		var err error
		if lists[i], err = pythonDeclared(ctx, a.file, text); err != nil {
			return b16Case{}, err
		}
	}
	before, ours, theirs := lists[0], lists[1], lists[2]
	if len(ours) != len(before) || len(theirs) != len(before) {
		return b16Case{Note: fmt.Sprintf("%d requirements became %d; the peer has %d", len(before), len(ours), len(theirs))}, nil
	}
	var wrong, differ []string
	moved, peerMoved := 0, 0
	highest := map[string]string{} // that the peer's manifest begins at, by name
	for i, d := range theirs {
		if to := statedVersion.FindStringSubmatch(d.Constraint); to != nil && d.Constraint != before[i].Constraint && (highest[d.Name] == "" || comparePython(to[1], highest[d.Name]) > 0) {
			highest[d.Name] = to[1]
		}
	}
	for i := range before {
		if ours[i].Constraint != before[i].Constraint {
			moved++
		}
		if theirs[i].Constraint != before[i].Constraint {
			peerMoved++
		}
		if spaceless(ours[i].Constraint) != spaceless(theirs[i].Constraint) {
			differ = append(differ, fmt.Sprintf("%s %s, the peer %s", ours[i].Name, ours[i].Constraint, theirs[i].Constraint))
		}
		if a.universe != nil || theirs[i].Constraint == before[i].Constraint {
			continue
		}
		from := statedVersion.FindStringSubmatch(before[i].Constraint)
		fits, _ := pythonSyntax.Admits(ours[i].Constraint, highest[ours[i].Name])
		still, _ := pythonSyntax.Admits(ours[i].Constraint, from[1])
		if !fits || still {
			wrong = append(wrong, fmt.Sprintf("%s %s does not begin at %s", ours[i].Name, ours[i].Constraint, highest[ours[i].Name]))
		}
	}
	if n := otherLines(a.before, a.after, ours, before); n > 0 {
		wrong = append(wrong, fmt.Sprintf("%d lines changed that state no changed requirement", n))
	}
	if moved > peerMoved {
		wrong = append(wrong, fmt.Sprintf("%d requirements moved, the peer %d", moved, peerMoved))
	}
	if a.universe != nil {
		more, err := a.compare(ctx, want)
		if err != nil {
			return b16Case{}, err
		}
		wrong = append(wrong, more...)
	}
	result := b16Case{Equal: len(wrong) == 0}
	if len(wrong) > 0 {
		result.Note = strings.Join(wrong, "; ")
	}
	if len(differ) > 0 {
		result.Note = strings.TrimPrefix(result.Note+"; ", "; ") + "operators are kept: " + strings.Join(differ, "; ")
	}
	return result, nil
}

func spaceless(text string) string { return strings.ReplaceAll(text, " ", "") }

// otherLines counts the lines that changed though no requirement on them did.
func otherLines(before, after []byte, ours, was []lockfile.Declaration) int {
	changed := map[int]bool{}
	for i := range was {
		if ours[i].Constraint != was[i].Constraint {
			changed[was[i].Line] = true
		}
	}
	x, y := bytes.Split(before, []byte("\n")), bytes.Split(after, []byte("\n"))
	if len(x) != len(y) {
		return max(len(x), len(y))
	}
	n := 0
	for i := range x {
		if !bytes.Equal(x[i], y[i]) && !changed[i+1] {
			n++
		}
	}
	return n
}

// compare lists what the peer's manifest closes and ours does not, and what ours
// brings.
func (a *pythonAnswer) compare(ctx context.Context, want []byte) ([]string, error) {
	var open [3]map[string][]int
	for i, text := range [][]byte{a.before, a.after, want} {
		var err error
		if _, open[i], err = a.open(ctx, text); err != nil {
			return nil, err
		}
	}
	var wrong []string
	for id := range open[1] {
		switch {
		case open[0][id] == nil:
			wrong = append(wrong, "brings "+id)
		case open[2][id] == nil:
			wrong = append(wrong, "leaves "+id+", which the peer closes")
		}
	}
	slices.Sort(wrong)
	return wrong, nil
}
