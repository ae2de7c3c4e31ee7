package git

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLandReadsWhatEachStepOfTheFirstParentHistoryDid(t *testing.T) {
	t.Parallel()
	dir := initRepository(t)
	write(t, dir, "go.mod", "module m\n\nrequire p v1.0.0\n")
	write(t, dir, "other.txt", "nobody asks about it\n")
	first := commitAll(t, dir, "first")
	sh(t, dir, nil, "checkout", "-q", "-b", "side")
	write(t, dir, "go.mod", "module m\n\nrequire p v1.1.0\n")
	side := commitAll(t, dir, "raise p", ben...)
	sh(t, dir, nil, "checkout", "-q", "main")
	write(t, dir, "other.txt", "changed\n")
	commitAll(t, dir, "not asked about")
	sh(t, dir, ben, "merge", "-q", "--no-ff", "-m", "Merge side\n\nReviewed-by: Rea <rea@example.org>", "side")
	merge := sh(t, dir, nil, "rev-parse", "HEAD")
	write(t, dir, "go.mod", "module m\n\nrequire p v1.0.0\n")
	write(t, dir, "sub/go.mod", "module s\n")
	back := commitAll(t, dir, "Revert \"raise p\"\n\nThis reverts commit "+side+".")

	r := open(t, dir)
	var steps []Landed
	read := func(since string, most int) []Landed {
		steps = nil
		if err := r.Land(t.Context(), back, since, []string{"**/go.mod"}, most, func(s *Landed) error { steps = append(steps, *s); return nil }); err != nil {
			t.Fatal(err)
		}
		return steps
	}
	type brief struct {
		ID, First, Second string
		Files             []Rewritten
		Reverts           []string
	}
	var got []brief
	for _, s := range read("", 10) {
		got = append(got, brief{s.ID, s.First, s.Second, s.Files, s.Reverts})
	}
	parents := func(id string) string { return sh(t, dir, nil, "rev-parse", id+"^") }
	want := []brief{
		{first, "", "", []Rewritten{{Path: "go.mod", Added: []string{"module m", "", "require p v1.0.0"}, Created: true}}, nil},
		{merge, parents(merge), side, []Rewritten{{Path: "go.mod", Removed: []string{"require p v1.0.0"}, Added: []string{"require p v1.1.0"}}}, nil},
		{back, merge, "", []Rewritten{
			{Path: "go.mod", Removed: []string{"require p v1.1.0"}, Added: []string{"require p v1.0.0"}},
			{Path: "sub/go.mod", Added: []string{"module s"}, Created: true},
		}, []string{side}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if people := steps[1].People; len(people) != 1 || people[0].Name != "Rea" {
		t.Errorf("the merge names %v, expected Rea", people)
	}
	if newest := read("", 1); len(newest) != 1 || newest[0].ID != back {
		t.Errorf("the newest step is %+v, expected %s", newest, back)
	}
	if later := read(merge, 10); len(later) != 1 || later[0].ID != back {
		t.Errorf("after the merge came %+v, expected %s", later, back)
	}
	authored, err := r.Authored(t.Context(), []string{side})
	if err != nil || authored[side] != 1700001000 {
		t.Errorf("author dates %v, %v; expected 1700001000", authored, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := r.Land(ctx, back, "", []string{"**/go.mod"}, 10, func(*Landed) error { return nil }); err == nil {
		t.Error("a cancelled reading succeeded")
	}
}
