package agent_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/issue"
)

func TestTheSmallestSetClosesWhatCanBeClosed(t *testing.T) {
	t.Parallel()
	later := 0
	estate, desk := build(t, &later)
	closable := map[string]bool{}
	for _, r := range estate.Repositories {
		for _, it := range triage(t, desk, agent.Request{Repo: r.Dir, Reports: r.Reports}).Issues {
			if slices.ContainsFunc(it.FixPaths, func(p fix.Path) bool { return !p.Manual }) {
				closable[it.ID] = true
			}
		}
	}
	set, err := desk.Smallest(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	closed := map[string]bool{}
	share, sites := 0.0, map[string]bool{}
	for _, change := range set.Changes {
		if len(change.Closes) == 0 || change.Share <= share {
			t.Errorf("%s closes %v and leads to %.2f after %.2f", change.Path.Summary, change.Closes, change.Share, share)
		}
		share = change.Share
		for _, id := range change.Closes {
			if closed[id] || !closable[id] {
				t.Errorf("%s: %s is closed twice or by no path of its own", change.Path.Summary, id)
			}
			closed[id] = true
		}
		site := change.Repository + change.Path.Fixer + change.Path.Module
		for _, one := range change.Path.Changes[:min(1, len(change.Path.Changes))] {
			site += one.Package
		}
		for _, edit := range change.Path.Edits {
			site += fmt.Sprint(edit.Path, edit.Start)
		}
		if sites[site] {
			t.Errorf("two changes of %s", site)
		}
		sites[site] = true
	}
	if len(closed) != len(closable) || !set.Exact || len(set.Open) != set.Issues-len(closed) {
		t.Errorf("%d of %d are closed, exact %t, open %v of %d", len(closed), len(closable), set.Exact, set.Open, set.Issues)
	}
	severe, err := desk.Smallest(t.Context(), func(it *issue.Issue) bool { return it.Severity >= fact.SeverityCritical })
	if err != nil {
		t.Fatal(err)
	}
	if severe.Issues == 0 || severe.Issues >= set.Issues || slices.ContainsFunc(severe.Changes, func(c agent.SetChange) bool { return len(c.Closes) > severe.Issues }) {
		t.Errorf("of the critical ones: %+v", severe)
	}
}
