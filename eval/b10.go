package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/advisory"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// benchmarkB10 measures to which version we would raise a vulnerable package.
//
// A case is one version change of a real commit in a Go or Python manifest that
// closes at least one advisory. The question is what a scanner's report puts:
// this manifest holds this package at this version; these advisories are to be
// closed; a report also names a fixed version of an advisory that the index
// does not have. The answer is the version that fix.Pick chooses, from the
// manifest as it was before the commit and the advisories that were asked about
// or surely known on the day of the commit. What people chose is read after
// the answer is given.
//
//	sufficient  share of cases whose version no listed advisory affects
//	equal       share of cases whose version is the one that people chose
//	downgrades  number of cases whose version is below the one before
//	named       share of cases where people chose a version that some advisory of
//	            the package names as fixed: without a registry, others can only be
//	            met by aligning packages that are released together
//
// Each of the first three is also given per ecosystem: equal_go, equal_pypi ...
var benchmarkB10 = Benchmark{
	ID:    "B10",
	Title: "dependency fix version",
	Needs: "fixes/index.jsonl",
	Targets: map[string]float64{
		"sufficient": 1, "equal": .76, "downgrades": 0,
		"sufficient_go": 1, "sufficient_pypi": 1, "downgrades_go": 0, "downgrades_pypi": 0,
	},
	Asked: map[string]float64{"equal": .80},
	Most:  map[string]bool{"downgrades": true, "downgrades_go": true, "downgrades_pypi": true},
	Run:   runB10,
}

// upgrade is one changed version as fixes/*/metadata.json lists it.
type upgrade struct {
	File    string
	Module  string // Go
	Package string // Python
	From    string
	To      string // the truth; read in judge only
	Fixes   []struct {
		ID      string
		Aliases []string
		FixedIn string `json:"fixed_in"`
	}
}

func (u *upgrade) name() string { return u.Module + u.Package }

// commit is one fix commit.
type commit struct {
	Kind, Dir, Date string
	Changes         []upgrade
}

// knownThen is the index as far as it was known on a day, and what was asked,
// some of which only a report told of.
type knownThen struct {
	*advisory.Index
	told  *advisory.Index
	date  string // yyyy-mm-dd
	asked map[string]bool
}

func (k *knownThen) standing(a *fact.Advisory) bool {
	if k.asked[a.ID] || slices.ContainsFunc(a.Aliases, func(id string) bool { return k.asked[id] }) {
		return true
	}
	if a.Published > 0 {
		return time.UnixMicro(a.Published).UTC().Format(time.DateOnly) <= k.date
	}
	// Go advisories carry no date; the year of the id is a bound.
	parts := strings.Split(a.ID, "-")
	return len(parts) > 2 && len(parts[1]) == 4 && parts[1] < k.date[:4]
}

func (k *knownThen) filter(found []fact.Advisory, err error) ([]fact.Advisory, error) {
	return slices.DeleteFunc(found, func(a fact.Advisory) bool { return !k.standing(&a) }), err
}

// Of implements fix.Advisories.
func (k *knownThen) Of(ecosystem, name string) ([]fact.Advisory, error) {
	told, err := k.told.Of(ecosystem, name)
	if err != nil {
		return nil, err
	}
	found, err := k.filter(k.Index.Of(ecosystem, name))
	return append(found, told...), err
}

// Affecting implements fix.Advisories.
func (k *knownThen) Affecting(pkg fact.Package) ([]fact.Advisory, error) {
	told, err := k.told.Affecting(pkg)
	if err != nil {
		return nil, err
	}
	found, err := k.filter(k.Index.Affecting(pkg))
	return append(found, told...), err
}

func runB10(ctx context.Context, data string) (Result, error) {
	index, done, err := b10Index(ctx, data)
	if err != nil {
		return Result{}, err
	}
	defer done()
	commits, err := b10Commits(data)
	if err != nil {
		return Result{}, err
	}
	result := Result{Metrics: map[string]float64{"sufficient": 0, "equal": 0, "downgrades": 0, "named": 0}}
	cases := map[string]int{}
	for _, c := range commits {
		suffix := "_" + strings.ToLower(b10Ecosystem(c.Kind))
		for i := range c.Changes {
			change := &c.Changes[i]
			if len(change.Fixes) == 0 {
				continue
			}
			if ctx.Err() != nil {
				return Result{}, ctx.Err()
			}
			result.Cases++
			for _, metric := range b10PerEcosystem {
				result.Metrics[metric+suffix] += 0
			}
			cases[suffix]++
			named, err := b10Named(index, b10Ecosystem(c.Kind), change)
			if err != nil {
				return Result{}, err
			}
			if named {
				result.Metrics["named"]++
			}
			before := maps.Clone(result.Metrics)
			chosen, err := predictB10(ctx, data, index, &c, change)
			if err != nil {
				result.Notes = append(result.Notes, fmt.Sprintf("%s %s %s: no version: %v", c.Dir, change.name(), change.From, err))
				continue
			}
			if err := judgeB10(&result, index, &c, change, chosen, named); err != nil {
				return Result{}, err
			}
			for _, metric := range b10PerEcosystem {
				result.Metrics[metric+suffix] += result.Metrics[metric] - before[metric]
			}
		}
	}
	cases[""] = result.Cases
	for suffix, n := range cases {
		for _, metric := range []string{"sufficient", "equal", "named"} {
			if _, has := result.Metrics[metric+suffix]; has && n > 0 {
				result.Metrics[metric+suffix] /= float64(n)
			}
		}
	}
	return result, nil
}

// b10PerEcosystem are the metrics that are also given per ecosystem.
var b10PerEcosystem = []string{"sufficient", "equal", "downgrades"}

// b10Named says whether an advisory of the package names the version that people
// chose as fixed.
func b10Named(index *advisory.Index, ecosystem string, change *upgrade) (bool, error) {
	standing, err := index.Of(ecosystem, change.name())
	if err != nil {
		return false, err
	}
	fixed := []string{}
	for _, f := range change.Fixes {
		fixed = append(fixed, f.FixedIn)
	}
	for _, a := range standing {
		for _, affected := range a.Affected {
			for _, r := range affected.Ranges {
				for _, event := range r.Events {
					fixed = append(fixed, event.Fixed)
				}
			}
		}
	}
	return slices.ContainsFunc(fixed, func(version string) bool {
		order, err := index.Compare(ecosystem, version, change.To)
		return version != "" && err == nil && order == 0
	}), nil
}

// predictB10 answers one case without looking at what people chose.
func predictB10(ctx context.Context, data string, index *advisory.Index, c *commit, change *upgrade) (string, error) {
	target, err := b10Target(ctx, data, index, c, change)
	if err != nil {
		return "", err
	}
	choice, err := fix.Pick(target, nil)
	return choice.Version, err
}

// b10Target states a case as a scanner's report does, as of the day of the commit.
func b10Target(ctx context.Context, data string, index *advisory.Index, c *commit, change *upgrade) (*fix.Target, error) {
	text, err := os.ReadFile(filepath.Join(data, filepath.FromSlash(c.Dir), "before", strings.ReplaceAll(change.File, "/", "__")))
	if err != nil {
		return nil, err
	}
	tree := code.Files{change.File: text}
	modules, err := lockfile.ReadPaths(ctx, tree, []string{change.File})
	if err != nil {
		return nil, err
	}
	if len(modules) != 1 {
		return nil, fmt.Errorf("%s: %d modules were read, expected 1", change.File, len(modules))
	}
	module := &modules[0]
	view := &knownThen{Index: index, date: c.Date, asked: map[string]bool{}}
	target := &fix.Target{Module: module, Modules: modules, Package: -1, Tree: tree, Advisories: view}
	var told []fact.Advisory
	for _, other := range c.Changes {
		if other.File != change.File {
			continue
		}
		for _, f := range other.Fixes {
			view.asked[f.ID] = true
			if _, known, err := index.Lookup(f.ID); err != nil {
				return nil, err
			} else if !known {
				told = append(told, fact.Advisory{ID: f.ID, Aliases: f.Aliases, Affected: []fact.Affected{{
					Ecosystem: module.Ecosystem, Name: other.name(),
					Ranges: []fact.Range{{Type: "ECOSYSTEM", Events: []fact.RangeEvent{{Introduced: "0"}, {Fixed: f.FixedIn}}}},
				}}})
			}
		}
	}
	view.told = advisory.FromMemory(told)
	for _, f := range change.Fixes {
		target.Close = append(target.Close, f.ID)
	}
	for i, p := range module.Packages {
		if b10Name(module.Ecosystem, p.Name) == b10Name(module.Ecosystem, change.name()) && p.Version == change.From {
			target.Package = i
		}
	}
	if target.Package < 0 {
		return nil, fmt.Errorf("%s does not hold %s %s", change.File, change.name(), change.From)
	}
	return target, nil
}

// judgeB10 compares an answer with the truth.
func judgeB10(result *Result, index *advisory.Index, c *commit, change *upgrade, chosen string, named bool) error {
	ecosystem := b10Ecosystem(c.Kind)
	affecting, err := index.Affecting(fact.Package{Ecosystem: ecosystem, Name: change.name(), Version: chosen})
	if err != nil {
		return err
	}
	sufficient := true
	for _, f := range change.Fixes {
		open := slices.ContainsFunc(affecting, func(a fact.Advisory) bool { return a.ID == f.ID })
		if _, known, err := index.Lookup(f.ID); err != nil {
			return err
		} else if !known {
			order, err := index.Compare(ecosystem, chosen, f.FixedIn)
			if err != nil {
				return err
			}
			open = order < 0
		}
		if open {
			sufficient = false
			result.Notes = append(result.Notes, fmt.Sprintf("%s %s %s: %s does not close %s", c.Dir, change.name(), change.From, chosen, f.ID))
		}
	}
	if sufficient {
		result.Metrics["sufficient"]++
	}
	order, err := index.Compare(ecosystem, chosen, change.To)
	if err != nil {
		return err
	}
	if order == 0 {
		result.Metrics["equal"]++
	} else {
		which := "which no advisory names"
		if named {
			which = "which an advisory names"
		}
		result.Notes = append(result.Notes, fmt.Sprintf("%s %s %s: we choose %s, people chose %s, %s", c.Dir, change.name(), change.From, chosen, change.To, which))
	}
	if order, err = index.Compare(ecosystem, chosen, change.From); err != nil {
		return err
	}
	if order < 0 {
		result.Metrics["downgrades"]++
	}
	return nil
}

func b10Ecosystem(kind string) string {
	if kind == "go-bump" {
		return "Go"
	}
	return "PyPI"
}

func b10Name(ecosystem, name string) string {
	if ecosystem == "PyPI" {
		return strings.ToLower(strings.NewReplacer("_", "-", ".", "-").Replace(name))
	}
	return name
}

func b10Index(ctx context.Context, data string) (*advisory.Index, func(), error) {
	dir, err := os.MkdirTemp("", "backstitch-eval-")
	if err != nil {
		return nil, nil, err
	}
	name := filepath.Join(dir, "advisories")
	_, err = advisory.Import(ctx, name, []string{
		filepath.Join(data, "advisories", "go.osv.jsonl.zst"),
		filepath.Join(data, "advisories", "pypi.osv.jsonl.zst"),
	}, time.Unix(0, 0))
	var index *advisory.Index
	if err == nil {
		index, err = advisory.Open(name)
	}
	if err != nil {
		return nil, nil, errors.Join(err, os.RemoveAll(dir))
	}
	return index, func() {
		_ = index.Close()
		_ = os.RemoveAll(dir)
	}, nil
}

// b10Commits reads the Go and Python commits that fixes/index.jsonl lists.
func b10Commits(data string) ([]commit, error) {
	file, err := os.Open(filepath.Join(data, "fixes", "index.jsonl"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var commits []commit
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var listed struct{ Kind, Dir string }
		if err := json.Unmarshal(lines.Bytes(), &listed); err != nil {
			return nil, fmt.Errorf("fixes/index.jsonl: %w", err)
		}
		if listed.Kind != "go-bump" && listed.Kind != "pypi-bump" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(data, filepath.FromSlash(listed.Dir), "metadata.json"))
		if err != nil {
			return nil, err
		}
		var c commit
		if err := json.Unmarshal(text, &c); err != nil {
			return nil, fmt.Errorf("%s/metadata.json: %w", listed.Dir, err)
		}
		commits = append(commits, c)
	}
	return commits, lines.Err()
}
