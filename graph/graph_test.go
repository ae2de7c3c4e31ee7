package graph_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/store"
	"github.com/backstitch/backstitch/store/sqlite"
	"github.com/backstitch/backstitch/store/storetest"
)

func TestQueriesAreInTheCommonSubset(t *testing.T) {
	storetest.CheckQueries(t, sqlite.Open, graph.Queries())
}

func database(t *testing.T) store.Engine {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "backstitch.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

func day(n int) time.Time { return time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n) }

func asset(text string) fact.Asset {
	kind, key, _ := strings.Cut(text, ":")
	return fact.Asset{Kind: kind, Key: key, Name: "the " + key}
}

// relation reads "kind:a verb kind:b".
func relation(text string, strength fact.Strength) fact.Relation {
	words := strings.Fields(text)
	return fact.Relation{From: asset(words[0]), Kind: fact.RelationKind(words[1]), To: asset(words[2]), Evidence: fact.Evidence{Method: "test", Source: "here", Strength: strength}}
}

// sync runs a source once: facts by scope, each "kind:a" or a relation; scopes that
// begin with "!" have a gap.
func sync(t *testing.T, g *graph.Graph, source string, n int, scopes map[string][]string) graph.Summary {
	t.Helper()
	run, err := g.Begin(t.Context(), source, day(n))
	if err != nil {
		t.Fatal(err)
	}
	for scope, facts := range scopes {
		name, failed := strings.CutPrefix(scope, "!")
		for _, text := range facts {
			if strings.Contains(text, " ") {
				err = run.Relation(name, relation(text, fact.Attested))
			} else {
				err = run.Node(name, fact.Node{Asset: asset(text), Properties: map[string]string{"from": source}})
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if failed {
			run.Gap(name, errors.New("throttled"))
		}
		if err := run.Covered(name); err != nil {
			t.Fatal(err)
		}
	}
	summary, err := run.Finish()
	if err != nil {
		t.Fatal(err)
	}
	return summary
}

// there lists the assets of a kind that the graph holds.
func there(t *testing.T, g *graph.Graph, pattern string, at time.Time) string {
	t.Helper()
	p, err := graph.ParsePattern(pattern)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := g.Query(t.Context(), p, 0, at)
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for _, row := range answer.Rows {
		var keys []string
		for _, a := range row {
			keys = append(keys, a.Key)
		}
		rows = append(rows, strings.Join(keys, "-"))
	}
	slices.Sort(rows)
	return strings.Join(rows, " ")
}

func TestAPartialLookDeletesNothing(t *testing.T) {
	t.Parallel()
	g := graph.Open(database(t))
	sync(t, g, "aws", 1, map[string][]string{"eu": {"host:a", "host:b", "host:a runs_in cluster:c"}, "us": {"host:d"}})
	if s := sync(t, g, "aws", 2, map[string][]string{"!eu": {"host:a"}}); s.Nodes.Gone != 0 || s.Edges.Gone != 0 || len(s.Gaps) != 1 || s.Scopes != 0 {
		t.Errorf("%+v: a scope with a gap deleted or covered something", s)
	}
	if got := there(t, g, "host", time.Time{}); got != "a b d" {
		t.Errorf("hosts %q, want all", got)
	}
	if s := sync(t, g, "aws", 3, map[string][]string{"eu": {"host:a"}}); s.Nodes.Gone != 2 || s.Edges.Gone != 1 {
		t.Errorf("%+v: want b, c and the relation gone", s)
	}
	if got := there(t, g, "host", time.Time{}); got != "a d" {
		t.Errorf("hosts %q, want a and d, which another scope holds", got)
	}
	if got := there(t, g, "host -runs_in-> cluster", day(2)); got != "a-c" {
		t.Errorf("as of day 2: %q", got)
	}
	if got := there(t, g, "host", day(0)); got != "" {
		t.Errorf("before the first run: %q", got)
	}
	if s := sync(t, g, "aws", 4, map[string][]string{"eu": {"host:a", "host:b"}}); s.Nodes.Changed != 1 {
		t.Errorf("%+v: want b back", s)
	}
}

func TestAnAssetIsThereAsLongAsOneSourceSaysSo(t *testing.T) {
	t.Parallel()
	g := graph.Open(database(t))
	sync(t, g, "aws", 1, map[string][]string{"x": {"host:a"}})
	sync(t, g, "kubernetes", 1, map[string][]string{"x": {"host:a"}})
	sync(t, g, "aws", 2, map[string][]string{"x": {}})
	if got := there(t, g, "host", time.Time{}); got != "a" {
		t.Errorf("hosts %q", got)
	}
	view, err := g.Show(t.Context(), asset("host:a"), time.Time{})
	if err != nil || len(view.Said) != 1 || view.Said[0].By != "kubernetes" {
		t.Errorf("%+v, %v", view.Said, err)
	}
	sync(t, g, "kubernetes", 3, map[string][]string{"x": {}})
	if got := there(t, g, "host", time.Time{}); got != "" {
		t.Errorf("hosts %q, want none", got)
	}
}

func TestTheSameFactsTwiceWriteNothing(t *testing.T) {
	t.Parallel()
	g := graph.Open(database(t))
	facts := map[string][]string{"a": {"host:a", "host:a runs_in cluster:c", "host:a"}, "b": {"image:i", "image:i has_layer layer:l"}}
	sync(t, g, "s", 1, facts)
	s := sync(t, g, "s", 2, facts)
	if n := s.Nodes.Written() + s.Edges.Written() + s.Claims.Written(); n != 0 || s.Nodes.Unchanged != 4 || s.Edges.Unchanged != 2 {
		t.Errorf("%+v: %d rows written", s, n)
	}
	view, err := g.Show(t.Context(), asset("host:a"), time.Time{})
	if err != nil || view.Out[0].First != day(1).UnixMicro() || view.Out[0].Last != day(2).UnixMicro() {
		t.Errorf("%+v, %v: want it first seen on day 1 and last on day 2", view.Out, err)
	}
}

func TestLaw3NoRelationIsTakenWithoutEvidence(t *testing.T) {
	t.Parallel()
	g := graph.Open(database(t))
	run, err := g.Begin(t.Context(), "s", day(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range []fact.Evidence{{}, {Method: "m"}, {Method: "m", Source: "s"}, {Source: "s", Strength: fact.Proven}} {
		r := relation("host:a runs_in cluster:c", fact.Proven)
		r.Evidence = e
		if err := run.Relation("x", r); !errors.Is(err, graph.ErrNoEvidence) {
			t.Errorf("%+v: %v", e, err)
		}
	}
	if err := run.Node("x", fact.Node{}); err == nil {
		t.Error("an asset without kind and key was taken")
	}
}

func TestARunThatWasCutOffIsTakenUp(t *testing.T) {
	t.Parallel()
	db := database(t)
	g := graph.Open(db)
	run, err := g.Begin(t.Context(), "s", day(1))
	if err != nil {
		t.Fatal(err)
	}
	for _, scope := range []string{"one", "two"} {
		if err := run.Node(scope, fact.Node{Asset: asset("host:" + scope)}); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.Covered("one"); err != nil {
		t.Fatal(err)
	}
	run.Suspend()
	again, err := g.Begin(t.Context(), "s", day(2))
	if err != nil {
		t.Fatal(err)
	}
	if !again.Resumed() || !again.Done("one") || again.Done("two") {
		t.Errorf("resumed %v, one %v, two %v", again.Resumed(), again.Done("one"), again.Done("two"))
	}
	if err := again.Node("two", fact.Node{Asset: asset("host:two")}); err != nil {
		t.Fatal(err)
	}
	if err := again.Covered("two"); err != nil {
		t.Fatal(err)
	}
	if _, err := again.Finish(); err != nil {
		t.Fatal(err)
	}
	if got := there(t, g, "host", time.Time{}); got != "one two" {
		t.Errorf("hosts %q", got)
	}
	if fresh, err := g.Begin(t.Context(), "s", day(3)); err != nil || fresh.Resumed() {
		t.Errorf("a run that ended was taken up, %v", err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Begin(ended, "s", day(4)); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

func TestTheOrderOfFactsDecidesNothing(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 9))
	var want string
	for round := range 6 {
		g := graph.Open(database(t))
		run, err := g.Begin(t.Context(), "s", day(1))
		if err != nil {
			t.Fatal(err)
		}
		var steps []func() error
		for i := range 12 {
			a, b := fmt.Sprintf("host:h%d", i), fmt.Sprintf("host:h%d", (i*5+1)%12)
			steps = append(steps,
				func() error { return run.Node("x", fact.Node{Asset: asset(a)}) },
				func() error { return run.Relation("x", relation(a+" controls "+b, fact.Guess)) },
				func() error { return run.Relation("x", relation(a+" controls "+b, fact.Proven)) })
		}
		random.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		for _, step := range steps {
			if err := step(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := run.Finish(); err != nil {
			t.Fatal(err)
		}
		got := there(t, g, "host -controls-> host", time.Time{})
		view, err := g.Show(t.Context(), asset("host:h3"), time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		if got += fmt.Sprintf("%+v", view.Out); round == 0 {
			want = got
		} else if got != want {
			t.Fatalf("round %d:\n%s\nwant\n%s", round, got, want)
		}
	}
	if !strings.Contains(want, "proven") || strings.Contains(want, "guess") {
		t.Errorf("the stronger evidence does not count: %s", want)
	}
}

func estate(t *testing.T) *graph.Graph {
	t.Helper()
	g := graph.Open(database(t))
	sync(t, g, "all", 1, map[string][]string{"x": {
		"workload:w1 instance_of image:i1", "workload:w2 instance_of image:i1", "workload:w3 instance_of image:i2", "image:i1 packaged_from repository:r1",
		"internet:net exposes workload:w1", "workload:w1 part_of service:shop", "service:shop part_of project:retail", "image:i1 has_layer layer:l1", "image:i2 has_layer layer:l1",
	}})
	run, err := g.Begin(t.Context(), "claims", day(2))
	if err != nil {
		t.Fatal(err)
	}
	for subject, owner := range map[string]string{"service:shop": "web", "project:retail": "retail", "repository:r1": "code"} {
		claim := fact.Claim{Subject: asset(subject), Owner: fact.Party{Kind: "team", ID: owner, Name: owner}, Role: "owner", Source: "backstage:x", Confidence: .9, Evidence: fact.Evidence{Method: "m", Source: "s", Strength: fact.Declared}}
		if err := run.Claim("c", claim); err != nil {
			t.Fatal(err)
		}
	}
	if err := run.Covered("c"); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Finish(); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestPatternsFindChains(t *testing.T) {
	t.Parallel()
	g := estate(t)
	for pattern, want := range map[string]string{
		"workload -instance_of-> image -packaged_from-> repository": "w1-i1-r1 w2-i1-r1",
		"image <-instance_of- workload":                             "i1-w1 i1-w2 i2-w3",
		"internet -exposes-> workload -*2-> layer":                  "net-w1-l1",
		"workload -*1..3- internet":                                 "w1-net w2-net",
		"workload[name=*w2]":                                        "w2",
		"workload[key!=w2]":                                         "w1 w3",
		"workload|internet[key=*]":                                  "net w1 w2 w3",
		"*[key=l?]":                                                 "l1",
		"service[owner]":                                            "",
	} {
		if got := there(t, g, pattern, time.Time{}); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
	for pattern, want := range map[string]string{
		"": "position 1: expected a kind", "workload -": "position 11: expected a kind of relation", "workload -a": `position 12: expected "->"`, "workload x": `position 10: expected a relation`,
		"workload[": `expected "]"`, "workload[=x]": "expected a property", "a -*9..2-> b": "a length such as", "a <-b-> c": `"-" to end`, "a -b-> ": "position 8: expected a kind",
		"a -*99-> b": "at most 12", strings.Repeat("a -b-> ", 20) + "a": "at most 12 relations", strings.Repeat("a", 3000): "at most 2000 bytes",
	} {
		if _, err := graph.ParsePattern(pattern); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want %q", pattern, err, want)
		}
	}
}

func TestPathsCarryTheirEvidence(t *testing.T) {
	t.Parallel()
	g := estate(t)
	paths, err := g.Paths(t.Context(), asset("internet:net"), asset("repository:r1"), time.Time{})
	if err != nil || len(paths) != 1 || len(paths[0].Steps) != 3 || paths[0].Weakest != fact.Attested {
		t.Fatalf("%+v, %v", paths, err)
	}
	for _, s := range paths[0].Steps {
		if len(s.Evidence) == 0 {
			t.Errorf("step %+v has no evidence", s)
		}
	}
	if paths, err := g.Paths(t.Context(), asset("workload:w2"), asset("workload:w3"), time.Time{}); err != nil || len(paths) != 1 {
		t.Errorf("by the layer that both have: %+v, %v", paths, err)
	}
	if _, err := g.Paths(t.Context(), asset("host:none"), asset("image:i1"), time.Time{}); !errors.Is(err, graph.ErrNotFound) {
		t.Errorf("from an asset that is not there: %v", err)
	}
}

func TestClaimsAreInheritedWithTheirWay(t *testing.T) {
	t.Parallel()
	g := estate(t)
	claims, err := g.Claims(t.Context(), asset("workload:w1"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, c := range claims {
		var via []string
		for _, a := range c.Via {
			via = append(via, a.Key)
		}
		got = append(got, c.Owner.ID+" via "+strings.Join(via, ","))
	}
	slices.Sort(got)
	if diff := cmp.Diff([]string{"code via i1,r1", "retail via shop,retail", "web via shop"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestAssetsAreFoundByKeyNameOrAPart(t *testing.T) {
	t.Parallel()
	g := estate(t)
	for text, want := range map[string]string{"workload:w1": "w1", "w1": "w1", "the w2": "w2", "ret": "retail", "w": "w1 w2 w3", "100%": "", "image:w1": ""} {
		found, err := g.Find(t.Context(), text)
		if err != nil {
			t.Fatal(err)
		}
		var keys []string
		for _, a := range found {
			if a.Kind != "internet" {
				keys = append(keys, a.Key)
			}
		}
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, p := range []string{"workload -instance_of-> image[tag:a=b*,c]", "a|b <-*1..3- *", "* -x|y- *[k!=v]"} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, text string) {
		_, err := graph.ParsePattern(text)
		var fault *graph.PatternError
		if err != nil && (!errors.As(err, &fault) || fault.At < 0 || fault.At > len(text)) {
			t.Errorf("%q: %v", text, err)
		}
	})
}
