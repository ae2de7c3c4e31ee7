package agent

import (
	"cmp"
	"context"
	"slices"

	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
)

// Set is the smallest set of changes for many issues.
type Set struct {
	Changes []SetChange `json:"changes"` // the one that pays the most first
	Issues  int         `json:"issues"`  // that were looked at
	Risk    float64     `json:"risk"`    // of all of them
	// Open are issues that no known fix path closes by a change.
	Open   []string `json:"open"`
	Effort float64  `json:"effort"`
	Exact  bool     `json:"exact"` // nothing closes as much for less effort
}

// SetChange is one change of a set.
type SetChange struct {
	Repository string   `json:"repository"`
	Path       fix.Path `json:"path"`
	Closes     []string `json:"closes"` // issues that no change before it closes
	// After it: what is closed, with the share of the risk of all issues.
	fix.Point
	Share float64 `json:"share"`
}

// efforts weighs the words for the effort of a path against each other.
var efforts = map[string]float64{fix.EffortSmall: 1, fix.EffortMedium: 3, fix.EffortLarge: 8}

// risks adds to the effort what may break, which somebody has to look after.
var risks = map[string]float64{fix.RiskMinor: .5, fix.RiskUnknown: 1, fix.RiskMajor: 4}

// Smallest chooses the changes that close as much risk of open issues as can be
// closed, for the least effort. wanted chooses the issues, nil all of them.
func (d *Desk) Smallest(ctx context.Context, wanted func(*issue.Issue) bool) (Set, error) {
	issues, err := d.Issues(ctx, false)
	if err != nil {
		return Set{}, err
	}
	if wanted != nil {
		if err := d.Owned(ctx, issues); err != nil {
			return Set{}, err
		}
	}
	issues = slices.DeleteFunc(issues, func(it issue.Issue) bool {
		return it.State != issue.Open && it.State != issue.InProgress || wanted != nil && !wanted(&it)
	})
	at := map[string]int{}
	risk := make([]float64, len(issues))
	set := Set{Changes: []SetChange{}, Issues: len(issues), Open: []string{}}
	for i := range issues {
		at[issues[i].ID], risk[i] = i, issues[i].Risk
		set.Risk += risk[i]
	}
	type way struct {
		repository string
		path       fix.Path
	}
	var list []way
	known := map[string]bool{}
	for i := range issues {
		repository := ""
		if locations := issues[i].Cause.Locations; len(locations) > 0 {
			repository = locations[0].Repository
		}
		for _, path := range issues[i].FixPaths {
			if path.Manual {
				continue // no change comes of it by itself, and an exception would win every time
			}
			if key := repository + "\x00" + path.ID; !known[key] {
				known[key] = true
				list = append(list, way{repository, path})
			}
		}
	}
	slices.SortFunc(list, func(a, b way) int {
		return cmp.Or(cmp.Compare(a.repository, b.repository), cmp.Compare(a.path.ID, b.path.ID))
	})
	options := make([]fix.Option, len(list))
	for n, w := range list {
		options[n] = fix.Option{Effort: cmp.Or(efforts[w.path.Effort], efforts[fix.EffortLarge]) + risks[w.path.Risk], Site: w.repository + "\x00" + site(w.path)}
		for _, id := range w.path.Closes {
			if i, ok := at[id]; ok {
				options[n].Closes = append(options[n].Closes, i)
			}
		}
	}
	smallest := fix.Smallest(options, risk)
	closed := map[string]bool{}
	for n, o := range smallest.Chosen {
		change := SetChange{Repository: list[o].repository, Path: list[o].path, Closes: []string{}, Point: smallest.Curve[n]}
		for _, i := range options[o].Closes {
			if id := issues[i].ID; !closed[id] {
				closed[id] = true
				change.Closes = append(change.Closes, id)
			}
		}
		slices.Sort(change.Closes)
		if set.Risk > 0 {
			change.Share = change.Risk / set.Risk
		}
		set.Changes = append(set.Changes, change)
	}
	for i := range issues {
		if !closed[issues[i].ID] {
			set.Open = append(set.Open, issues[i].ID)
		}
	}
	set.Effort, set.Exact = smallest.Effort, smallest.Exact
	return set, nil
}

// site is the place that a path edits: of the ways to move one package of one module
// only one can be taken.
func site(path fix.Path) string {
	return path.Fixer + "\x00" + path.Module + "\x00" + subject(path)
}
