package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
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
var benchmarkB10 = Benchmark{
	ID:    "B10",
	Title: "dependency fix version",
	Needs: "fixes/index.jsonl",
	Targets: map[string]float64{
		"sufficient": 1, "equal": .76, "downgrades": 0,
	},
	Most: map[string]bool{"downgrades": true},
	Run:  runB10,
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
	result := Result{Metrics: map[string]float64{"sufficient": 0, "equal": 0, "downgrades": 0}}
	for _, c := range commits {
		for i := range c.Changes {
			change := &c.Changes[i]
			if len(change.Fixes) == 0 {
				continue
			}
			if ctx.Err() != nil {
				return Result{}, ctx.Err()
			}
			result.Cases++
			chosen, err := predictB10(ctx, data, index, &c, change)
			if err != nil {
				result.Notes = append(result.Notes, fmt.Sprintf("%s %s %s: no version: %v", c.Dir, change.name(), change.From, err))
				continue
			}
			if err := judgeB10(&result, index, &c, change, chosen); err != nil {
				return Result{}, err
			}
		}
	}
	if result.Cases > 0 {
		result.Metrics["sufficient"] /= float64(result.Cases)
		result.Metrics["equal"] /= float64(result.Cases)
	}
	return result, nil
}

// predictB10 answers one case without looking at what people chose.
func predictB10(ctx context.Context, data string, index *advisory.Index, c *commit, change *upgrade) (string, error) {
	text, err := os.ReadFile(filepath.Join(data, filepath.FromSlash(c.Dir), "before", strings.ReplaceAll(change.File, "/", "__")))
	if err != nil {
		return "", err
	}
	modules, err := lockfile.ReadPaths(ctx, code.Files{change.File: text}, []string{change.File})
	if err != nil {
		return "", err
	}
	if len(modules) != 1 {
		return "", fmt.Errorf("%s: %d modules were read, expected 1", change.File, len(modules))
	}
	module := &modules[0]
	view := &knownThen{Index: index, date: c.Date, asked: map[string]bool{}}
	target := &fix.Target{Module: module, Package: -1, Advisories: view}
	var told []fact.Advisory
	for _, other := range c.Changes {
		if other.File != change.File {
			continue
		}
		for _, f := range other.Fixes {
			view.asked[f.ID] = true
			if _, known, err := index.Lookup(f.ID); err != nil {
				return "", err
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
		return "", fmt.Errorf("%s does not hold %s %s", change.File, change.name(), change.From)
	}
	choice, err := fix.Pick(target, nil)
	return choice.Version, err
}

// judgeB10 compares an answer with the truth.
func judgeB10(result *Result, index *advisory.Index, c *commit, change *upgrade, chosen string) error {
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
		result.Notes = append(result.Notes, fmt.Sprintf("%s %s %s: we choose %s, people chose %s", c.Dir, change.name(), change.From, chosen, change.To))
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
