package graph_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
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

func database(t testing.TB) store.Engine {
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

// ledger is an engine that counts what is written to the tables of the graph.
type ledger struct {
	store.Engine
	mu     sync.Mutex
	counts map[string]int
}

type ledgerTx struct {
	store.Tx
	of *ledger
}

func (l *ledger) Write(ctx context.Context, d store.Durability, fn func(store.Tx) error) error {
	return l.Engine.Write(ctx, d, func(tx store.Tx) error { return fn(ledgerTx{tx, l}) })
}

func (t ledgerTx) Exec(ctx context.Context, q *store.Query, args ...store.Value) (int64, error) {
	t.of.mu.Lock()
	t.of.counts[strings.TrimPrefix(q.Name(), "graph.")]++
	t.of.mu.Unlock()
	return t.Tx.Exec(ctx, q, args...)
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

func begin(t testing.TB, g *graph.Graph, source string, n int, resume bool) *graph.Run {
	t.Helper()
	run, err := g.Begin(t.Context(), source, day(n), resume)
	if err != nil {
		t.Fatal(err)
	}
	return run
}

func must(t testing.TB, errs ...error) {
	t.Helper()
	for _, err := range errs {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// give gives a scope facts, each "kind:a", "kind:a name=value" or a relation.
func give(t testing.TB, run *graph.Run, scope string, facts []string) {
	t.Helper()
	for _, text := range facts {
		words := strings.Fields(text)
		switch len(words) {
		case 1:
			must(t, run.Node(scope, fact.Node{Asset: asset(text)}))
		case 2:
			name, value, _ := strings.Cut(words[1], "=")
			must(t, run.Node(scope, fact.Node{Asset: asset(words[0]), Properties: map[string]string{name: value}}))
		default:
			must(t, run.Relation(scope, relation(text, fact.Attested)))
		}
	}
}

// look runs a source once; scopes that begin with "!" have a gap.
func look(t testing.TB, g *graph.Graph, source string, n int, scopes map[string][]string) graph.Summary {
	t.Helper()
	run := begin(t, g, source, n, false)
	for _, scope := range slices.Sorted(maps.Keys(scopes)) {
		name, failed := strings.CutPrefix(scope, "!")
		give(t, run, name, scopes[scope])
		if failed {
			run.Gap(name, errors.New("throttled"))
		}
		must(t, run.Covered(name))
	}
	summary, err := run.Finish(t.Context())
	must(t, err)
	return summary
}

// rows gives what a pattern finds, "a-b c-d".
func rows(t testing.TB, g *graph.Graph, pattern string, at time.Time) string {
	t.Helper()
	p, err := graph.ParsePattern(pattern)
	must(t, err)
	answer, err := g.Query(t.Context(), p, graph.QueryOptions{AsOf: at, Limit: 10_000})
	must(t, err)
	var list []string
	for _, row := range answer.Rows {
		var keys []string
		for _, a := range row {
			keys = append(keys, a.Key)
		}
		list = append(list, strings.Join(keys, "-"))
	}
	slices.Sort(list)
	return strings.Join(list, " ")
}

func view(t testing.TB, g *graph.Graph, text string, at time.Time) graph.View {
	t.Helper()
	a := asset(text)
	v, err := g.Asset(t.Context(), a.Kind, a.Key, at)
	must(t, err)
	return v
}

func TestAPartialLookDeletesNothing(t *testing.T) {
	t.Parallel()
	g := graph.Open(database(t))
	look(t, g, "aws", 1, map[string][]string{"eu": {"host:a", "host:b", "host:a runs_in cluster:c"}, "us": {"host:d"}})
	if s := look(t, g, "aws", 2, map[string][]string{"!eu": {"host:a"}}); s.Nodes.Gone != 0 || s.Edges.Gone != 0 || len(s.Gaps) != 1 || s.Scopes != 0 {
		t.Errorf("%+v: a scope with a gap deleted or covered something", s)
	}
	if got := rows(t, g, "host", time.Time{}); got != "a b d" {
		t.Errorf("hosts %q, want all", got)
	}
	if s := look(t, g, "aws", 3, map[string][]string{"eu": {"host:a"}}); s.Nodes.Gone != 2 || s.Edges.Gone != 1 {
		t.Errorf("%+v: want b, c and the relation gone", s)
	}
	if got := rows(t, g, "host", time.Time{}); got != "a d" {
		t.Errorf("hosts %q, want a and d, which another scope holds", got)
	}
	if got := rows(t, g, "host -runs_in-> cluster", day(2)); got != "a-c" {
		t.Errorf("as of day 2: %q", got)
	}
	if got := rows(t, g, "host", day(0)); got != "" {
		t.Errorf("before the first run: %q", got)
	}
	if _, err := g.Asset(t.Context(), "host", "b", time.Time{}); !errors.Is(err, graph.ErrNotFound) || !strings.Contains(err.Error(), "gone since 2026-05-04") {
		t.Errorf("an asset that is gone: %v", err)
	}
	if s := look(t, g, "aws", 4, map[string][]string{"eu": {"host:a", "host:b"}}); s.Nodes.Changed != 1 {
		t.Errorf("%+v: want b back", s)
	}
	if got := rows(t, g, "host", day(3)); got != "a d" {
		t.Errorf("as of the day on which b was gone: %q", got)
	}
	run := begin(t, g, "aws", 5, false)
	give(t, run, "eu", []string{"host:e"})
	if s, err := run.Finish(t.Context()); err != nil || s.Nodes.Gone != 0 || s.Scopes != 0 {
		t.Errorf("a run that covered nothing: %+v, %v", s, err)
	}
	if got := rows(t, g, "host", time.Time{}); got != "a b d e" {
		t.Errorf("hosts %q, want e beside the others", got)
	}
}

func TestAScopeIsNotCoveredTwiceByOneRun(t *testing.T) {
	t.Parallel()
	g := graph.Open(database(t))
	run := begin(t, g, "s", 1, false)
	give(t, run, "x", []string{"host:a"})
	must(t, run.Covered("x"))
	give(t, run, "x", []string{"host:b"})
	must(t, run.Covered("x"))
	_, err := run.Finish(t.Context())
	must(t, err)
	if got := rows(t, g, "host", time.Time{}); got != "a b" {
		t.Errorf("hosts %q: what was given after a scope was covered is beside what was given before", got)
	}
	if err := run.Node("x", fact.Node{Asset: asset("host:c")}); err == nil {
		t.Error("a run that ended took a fact")
	}
	if _, err := run.Finish(t.Context()); err == nil {
		t.Error("a run ended twice")
	}
}

func TestAnAssetIsThereAsLongAsOneSourceSaysSo(t *testing.T) {
	t.Parallel()
	g := graph.Open(database(t))
	look(t, g, "aws", 1, map[string][]string{"x": {"host:a"}})
	look(t, g, "kubernetes", 1, map[string][]string{"x": {"host:a"}})
	if s := look(t, g, "aws", 2, map[string][]string{"x": {}}); s.Nodes.Gone != 1 {
		t.Errorf("%+v", s)
	}
	if got := rows(t, g, "host", time.Time{}); got != "a" {
		t.Errorf("hosts %q", got)
	}
	if v := view(t, g, "host:a", time.Time{}); len(v.Said) != 1 || v.Said[0].By != "kubernetes" {
		t.Errorf("%+v", v.Said)
	}
	look(t, g, "kubernetes", 3, map[string][]string{"x": {}})
	if got := rows(t, g, "host", time.Time{}); got != "" {
		t.Errorf("hosts %q, want none", got)
	}
}

func TestTheSameFactsTwiceWriteNoRow(t *testing.T) {
	t.Parallel()
	db := &ledger{Engine: database(t), counts: map[string]int{}}
	for _, held := range []int{1000, 3} {
		g := graph.Open(db)
		g.KeepInMemory(held)
		source := fmt.Sprint("s", held)
		facts := map[string][]string{"a": {"host:a", "host:a runs_in cluster:c", "host:a x=1", "host:b"}, "b": {"image:i", "image:i has_layer layer:l"}}
		look(t, g, source, 1, facts)
		clear(db.counts)
		s := look(t, g, source, 2, facts)
		if n := s.Nodes.Written() + s.Edges.Written() + s.Claims.Written(); n != 0 || s.Nodes.Unchanged != 5 || s.Edges.Unchanged != 2 {
			t.Errorf("%+v: %d rows written", s, n)
		}
		for _, name := range slices.Sorted(maps.Keys(db.counts)) {
			switch name {
			case "insert_run", "end_runs", "cover", "clear_stages": // the run itself
			case "stage", "clear_stage":
				if held > 100 {
					t.Errorf("%s: %d times, though all fits in memory", name, db.counts[name])
				}
			default:
				t.Errorf("%s ran %d times", name, db.counts[name])
			}
		}
		v := view(t, g, "host:a", time.Time{})
		if v.Out[0].Evidence[0].First != day(1).UnixMicro() || v.Out[0].Evidence[0].Last != day(2).UnixMicro() || v.Said[0].Last != day(2).UnixMicro() {
			t.Errorf("%+v: want it first seen on day 1 and last on day 2", v.Out)
		}
	}
}

func TestLaw3NothingIsTakenWithoutEvidence(t *testing.T) {
	t.Parallel()
	g := graph.Open(database(t))
	run := begin(t, g, "s", 1, false)
	for _, e := range []fact.Evidence{{}, {Method: "m"}, {Method: "m", Source: "s"}, {Source: "s", Strength: fact.Proven}, {Method: "m", Strength: fact.Proven}, {Method: "m", Source: "s", Strength: "surely"}} {
		r := relation("host:a runs_in cluster:c", fact.Proven)
		r.Evidence = e
		if err := run.Relation("x", r); !errors.Is(err, graph.ErrNoEvidence) {
			t.Errorf("relation with %+v: %v", e, err)
		}
		if err := run.Claim("x", fact.Claim{Subject: asset("host:a"), Owner: fact.Party{Kind: "team", ID: "t"}, Source: "s", Evidence: e}); !errors.Is(err, graph.ErrNoEvidence) {
			t.Errorf("claim with %+v: %v", e, err)
		}
	}
	for name, err := range map[string]error{
		"no kind":            run.Node("x", fact.Node{}),
		"a kind of capitals": run.Node("x", fact.Node{Asset: fact.Asset{Kind: "Host", Key: "a"}}),
		"a sure sureness": run.Relation("x", func() fact.Relation {
			r := relation("host:a runs_in cluster:c", fact.Proven)
			r.Confidence = 2
			return r
		}()),
		"a relation of no kind":  run.Relation("x", fact.Relation{From: asset("host:a"), To: asset("host:b"), Evidence: fact.Evidence{Method: "m", Source: "s", Strength: fact.Guess}}),
		"a claim without source": run.Claim("x", fact.Claim{Subject: asset("host:a"), Owner: fact.Party{Kind: "team", ID: "t"}}),
	} {
		if err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	must(t, run.Covered("x"))
	if _, err := run.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := rows(t, g, "*", time.Time{}); got != "" {
		t.Errorf("the graph holds %q", got)
	}
}

func TestContentsOfOutsideAreBoundedAndSaid(t *testing.T) {
	t.Parallel()
	g := graph.Open(database(t))
	run := begin(t, g, "s", 1, false)
	must(t, run.Node("x", fact.Node{Asset: fact.Asset{Kind: "host", Key: "a\x00b\xff", Name: strings.Repeat("ä", 20_000)}, Properties: map[string]string{"tag:\x00": strings.Repeat("v", 1<<20)}}))
	must(t, run.Node("x", fact.Node{Asset: fact.Asset{Kind: "host", Key: strings.Repeat("k", 5000)}}))
	must(t, run.Covered("x"))
	s, err := run.Finish(t.Context())
	must(t, err)
	if len(s.Gaps) != 1 || !strings.Contains(s.Gaps[0], "longer than 4096") || len(s.Notes) != 2 || s.Scopes != 0 {
		t.Errorf("gaps %q, notes %q, %d scopes", s.Gaps, s.Notes, s.Scopes)
	}
	v := view(t, g, "host:a\uFFFDb\uFFFD", time.Time{})
	if n := len(v.Properties["tag:\uFFFD"]); n != 16<<10 || len(v.Asset.Name) != 16<<10 {
		t.Errorf("a property of %d bytes, a name of %d", n, len(v.Asset.Name))
	}
}

func TestARunThatWasCutOffIsTakenUp(t *testing.T) {
	t.Parallel()
	g := graph.Open(database(t))
	run := begin(t, g, "s", 1, true)
	give(t, run, "one", []string{"host:one"})
	give(t, run, "two", []string{"host:half"})
	must(t, run.Covered("one"))
	run.Abort()
	if got := rows(t, g, "host", time.Time{}); got != "one" {
		t.Errorf("hosts %q: half of a scope is there", got)
	}
	second, err := g.Begin(t.Context(), "s", day(1).Add(time.Hour), true)
	must(t, err)
	if !second.Resumed() || !second.Done("one") || second.Done("two") {
		t.Errorf("resumed %v, one %v, two %v", second.Resumed(), second.Done("one"), second.Done("two"))
	}
	give(t, second, "two", []string{"host:two"})
	must(t, second.Covered("two"))
	second.Abort() // cut off again: both are done for the third
	third, err := g.Begin(t.Context(), "s", day(1).Add(2*time.Hour), true)
	must(t, err)
	if !third.Done("one") || !third.Done("two") {
		t.Error("what two runs covered is not done for the third")
	}
	s, err := third.Finish(t.Context())
	if err != nil || s.Scopes != 2 {
		t.Errorf("%+v, %v", s, err)
	}
	if got := rows(t, g, "host", time.Time{}); got != "one two" {
		t.Errorf("hosts %q", got)
	}
	if begin(t, g, "s", 2, true).Resumed() {
		t.Error("a run that ended was taken up")
	}
	old := begin(t, g, "t", 3, true)
	must(t, old.Covered("one"))
	old.Abort()
	if begin(t, g, "t", 5, true).Resumed() {
		t.Error("a run of two days ago was taken up: that is no look at today")
	}
	fresh := begin(t, g, "u", 5, true)
	must(t, fresh.Covered("one"))
	fresh.Abort()
	if begin(t, g, "u", 5, false).Resumed() {
		t.Error("a run was taken up though it was not asked for")
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := g.Begin(ended, "s", day(6), true); !errors.Is(err, context.Canceled) {
		t.Errorf("after the end of its context: %v", err)
	}
}

func TestACancelledRunLeavesNoHalfScope(t *testing.T) {
	t.Parallel()
	g := graph.Open(database(t))
	g.KeepInMemory(4)
	ctx, cancel := context.WithCancel(t.Context())
	run, err := g.Begin(ctx, "s", day(1), true)
	must(t, err)
	give(t, run, "x", []string{"host:a", "host:b", "host:c", "host:d", "host:e"})
	cancel()
	if err := run.Covered("x"); !errors.Is(err, context.Canceled) {
		t.Errorf("covered after the end: %v", err)
	}
	run.Abort()
	if got := rows(t, g, "host", time.Time{}); got != "" {
		t.Errorf("hosts %q", got)
	}
	if found, err := g.Find(t.Context(), "", "host:a"); !errors.Is(err, graph.ErrNotFound) {
		t.Errorf("an asset of a scope that never was covered is found: %v, %v", found, err)
	}
	again := begin(t, g, "s", 1, true)
	give(t, again, "x", []string{"host:f"})
	must(t, again.Covered("x"))
	if got := rows(t, g, "host", time.Time{}); got != "f" {
		t.Errorf("hosts %q: what was put aside by the run before came back", got)
	}
}

func TestTheOrderOfFactsDecidesNothing(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 9))
	var want []graph.View
	for round := range 8 {
		g := graph.Open(database(t))
		g.KeepInMemory([]int{1000, 7}[round%2])
		run := begin(t, g, "s", 1, false)
		var steps []func() error
		for i := range 12 {
			a, b := fmt.Sprintf("host:h%d", i), fmt.Sprintf("host:h%d", (i*5+1)%12)
			claim := fact.Claim{Subject: asset(a), Owner: fact.Party{Kind: "team", ID: "t"}, Role: "owner", Source: "s", Evidence: fact.Evidence{Method: "m", Source: "f", Strength: fact.Guess}}
			stronger := claim
			stronger.Evidence.Strength = fact.Declared
			steps = append(steps,
				func() error {
					return run.Node("x", fact.Node{Asset: fact.Asset{Kind: "host", Key: fmt.Sprint("h", i)}, Properties: map[string]string{"a": "1", "b": "2"}})
				},
				func() error {
					return run.Node("x", fact.Node{Asset: fact.Asset{Kind: "host", Key: fmt.Sprint("h", i), Name: "n"}, Properties: map[string]string{"a": "0"}})
				},
				func() error { return run.Relation("x", relation(a+" controls "+b, fact.Guess)) },
				func() error { return run.Relation("x", relation(a+" controls "+b, fact.Proven)) },
				func() error { return run.Claim("x", claim) }, func() error { return run.Claim("x", stronger) })
		}
		random.Shuffle(len(steps), func(i, j int) { steps[i], steps[j] = steps[j], steps[i] })
		for _, step := range steps {
			must(t, step())
		}
		must(t, run.Covered("x"))
		_, err := run.Finish(t.Context())
		must(t, err)
		var got []graph.View
		for i := range 12 {
			got = append(got, view(t, g, fmt.Sprint("host:h", i), time.Time{}))
		}
		if round == 0 {
			want = got
		} else if diff := cmp.Diff(want, got, cmp.AllowUnexported(graph.ClaimView{})); diff != "" {
			t.Fatalf("round %d: %s", round, diff)
		}
	}
	one := want[3]
	if one.Out[0].Strength != fact.Proven || one.Properties["a"] != "0" || one.Properties["b"] != "2" || one.Asset.Name != "n" || len(one.Claims) != 1 || one.Claims[0].Strength != fact.Declared {
		t.Errorf("%+v", one)
	}
}

// TestTheGraphHoldsWhatItsSourcesSaidAtEveryTime runs random looks beside a model.
func TestTheGraphHoldsWhatItsSourcesSaidAtEveryTime(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 3))
			db := database(t)
			g := graph.Open(db)
			g.KeepInMemory([]int{1000, 5}[seed%2])
			type state map[string]map[string]string // by scope: facts with their values
			model := state{}
			var days []string
			describe := func() string {
				hosts, edges := map[string][]string{}, map[string]bool{}
				for _, scope := range slices.Sorted(maps.Keys(model)) {
					for what, value := range model[scope] {
						if from, to, ok := strings.Cut(what, ">"); ok {
							edges[from+"-"+to] = true
							for _, end := range []string{from, to} {
								if _, said := model[scope][end]; !said {
									hosts[end] = append(hosts[end], scope+":")
								}
							}
						} else {
							hosts[what] = append(hosts[what], scope+":"+value)
						}
					}
				}
				var lines []string
				for host, said := range hosts {
					slices.Sort(said)
					lines = append(lines, host+" "+strings.Join(slices.Compact(said), " "))
				}
				slices.Sort(lines)
				return strings.Join(append(lines, slices.Sorted(maps.Keys(edges))...), "\n")
			}
			ask := func(g *graph.Graph, at time.Time) string {
				var lines []string
				for host := range strings.FieldsSeq(rows(t, g, "host", at)) {
					line := host
					for _, said := range view(t, g, "host:"+host, at).Said {
						line += " " + said.By + said.Scope + ":" + said.Properties["v"]
					}
					lines = append(lines, line)
				}
				return strings.Join(append(lines, strings.Fields(rows(t, g, "host -controls-> host", at))...), "\n")
			}
			for n := range 14 {
				source := []string{"p", "q"}[random.IntN(2)]
				run := begin(t, g, source, n, random.IntN(2) == 0)
				cut := random.IntN(5) == 0
				for _, scope := range []string{"x", "y"} {
					if run.Done(scope) {
						continue
					}
					said := map[string]string{}
					for range random.IntN(6) {
						if host := fmt.Sprint("h", random.IntN(6)); random.IntN(2) == 0 {
							value := fmt.Sprint(random.IntN(2))
							must(t, run.Node(scope, fact.Node{Asset: asset("host:" + host), Properties: map[string]string{"v": value}}))
							if before, twice := said[host]; !twice || value < before {
								said[host] = value
							}
						} else if other := fmt.Sprint("h", random.IntN(6)); other != host {
							said[host+">"+other] = ""
							must(t, run.Relation(scope, relation("host:"+host+" controls host:"+other, fact.Attested)))
						}
					}
					key := source + scope
					if random.IntN(4) == 0 {
						run.Gap(scope, errors.New("denied"))
						if model[key] == nil {
							model[key] = map[string]string{}
						}
						for what, value := range said {
							model[key][what] = value
						}
					} else {
						model[key] = said
					}
					must(t, run.Covered(scope))
					if cut {
						break
					}
				}
				if cut {
					run.Abort()
				} else if _, err := run.Finish(t.Context()); err != nil {
					t.Fatal(err)
				}
				days = append(days, describe())
				if got := ask(g, time.Time{}); got != days[n] {
					t.Fatalf("day %d: got\n%s\nwant\n%s", n, got, days[n])
				}
				kept, err := g.Index(t.Context())
				must(t, err)
				made, err := graph.Open(db).Index(t.Context())
				must(t, err)
				if diff := cmp.Diff(sorted(made), sorted(kept)); diff != "" {
					t.Fatalf("day %d: the index that was kept up differs from one made anew: %s", n, diff)
				}
			}
			for n, want := range days {
				if got := ask(g, day(n).Add(time.Hour)); got != want {
					t.Fatalf("as of day %d: got\n%s\nwant\n%s", n, got, want)
				}
			}
		})
	}
}

// sorted describes an index without the order of its kinds of assets.
func sorted(x *graph.Index) []string {
	lines := x.Describe()
	lines = lines[:len(lines)-1]
	slices.Sort(lines)
	return lines
}

func TestScopesWriteAndReadersReadAtTheSameTime(t *testing.T) {
	t.Parallel()
	g := graph.Open(database(t))
	look(t, g, "first", 0, map[string][]string{"x": {"host:first"}})
	_, err := g.Index(t.Context())
	must(t, err)
	run := begin(t, g, "s", 1, false)
	var group sync.WaitGroup
	for scope := range 8 {
		group.Go(func() {
			for i := range 40 {
				name := fmt.Sprint(scope)
				if err := run.Relation(name, relation(fmt.Sprintf("host:h%d controls host:h%d-%d", scope, scope, i), fact.Attested)); err != nil {
					t.Error(err)
				}
			}
			if err := run.Covered(fmt.Sprint(scope)); err != nil {
				t.Error(err)
			}
		})
		group.Go(func() {
			for range 20 {
				p, _ := graph.ParsePattern("host -controls-> host")
				answer, err := g.Query(context.Background(), p, graph.QueryOptions{})
				if err != nil || len(answer.Rows)%40 != 0 {
					t.Errorf("%d rows, %v: want whole scopes", len(answer.Rows), err)
				}
			}
		})
	}
	group.Wait()
	_, err = run.Finish(t.Context())
	must(t, err)
	if got := len(strings.Fields(rows(t, g, "host -controls-> host", time.Time{}))); got != 320 {
		t.Errorf("%d relations", got)
	}
}

func TestAnotherProcessIsSeen(t *testing.T) {
	t.Parallel()
	db := database(t)
	ours, theirs := graph.Open(db), graph.Open(db)
	look(t, ours, "s", 1, map[string][]string{"x": {"host:a"}})
	if got := rows(t, ours, "host", time.Time{}); got != "a" {
		t.Fatal(got)
	}
	look(t, theirs, "t", 2, map[string][]string{"x": {"host:b"}})
	if got := rows(t, ours, "host", time.Time{}); got != "a b" {
		t.Errorf("hosts %q after another wrote", got)
	}
	look(t, ours, "u", 3, map[string][]string{"x": {"host:c"}})
	if got := rows(t, theirs, "host", time.Time{}) + ", " + rows(t, ours, "host", time.Time{}); got != "a b c, a b c" {
		t.Errorf("hosts %q after both wrote", got)
	}
}

func TestSourcesAreJoinedByOneRuleAndContradictionsAreListed(t *testing.T) {
	t.Parallel()
	for _, order := range [][]string{{"aws", "terraform"}, {"terraform", "aws"}} {
		g := graph.Open(database(t))
		for i, source := range order {
			run := begin(t, g, source, i, false)
			a := fact.Asset{Kind: "cloud_resource", Key: "arn:1", Name: source + "'s"}
			must(t, run.Node("x", fact.Node{Asset: a, Properties: map[string]string{"tag:env": source, "region": "eu", source: "yes"}}))
			r := fact.Relation{From: a, Kind: fact.DeclaredBy, To: asset("terraform_resource:" + source), Evidence: fact.Evidence{Method: "m", Source: "f", Strength: fact.Declared}}
			must(t, run.Relation("x", r))
			r.To, r.Kind = asset("account:1"), fact.PartOf
			r.Evidence.Strength = map[string]fact.Strength{"aws": fact.Derived, "terraform": fact.Attested}[source]
			must(t, run.Relation("x", r))
			must(t, run.Covered("x"))
			_, err := run.Finish(t.Context())
			must(t, err)
		}
		v := view(t, g, "cloud_resource:arn:1", time.Time{})
		if v.Asset.Name != "aws's" || v.Properties["tag:env"] != "aws" || v.Properties["region"] != "eu" || v.Properties["terraform"] != "yes" || len(v.Said) != 2 {
			t.Errorf("%v: %+v", order, v)
		}
		var got []string
		for _, c := range v.Contradictions {
			got = append(got, c.String())
		}
		if diff := cmp.Diff([]string{`tag:env: aws says "aws", terraform says "terraform"`, `declared_by: aws says "aws", terraform says "terraform"`}, got); diff != "" {
			t.Errorf("%v: %s", order, diff)
		}
		if c := v.Contradictions; len(c) == 2 && !c[1].Disputed {
			t.Error("equally strong relations to two are not disputed")
		}
		for _, n := range v.Out {
			if n.Kind == fact.PartOf && (n.Strength != fact.Attested || len(n.Evidence) != 2 || n.Evidence[0].By != "terraform" || n.Evidence[0].Confidence != .9) {
				t.Errorf("%v: %+v: want the stronger evidence first", order, n)
			}
		}
		found, err := g.Find(t.Context(), "", "aws's")
		if err != nil || len(found) != 1 {
			t.Errorf("%v: by its name: %v, %v", order, found, err)
		}
	}
}

func estate(t testing.TB) *graph.Graph {
	t.Helper()
	g := graph.Open(database(t))
	look(t, g, "all", 1, map[string][]string{"x": {
		"workload:w1 instance_of image:i1", "workload:w2 instance_of image:i1", "workload:w3 instance_of image:i2", "image:i1 packaged_from repository:r1",
		"internet:net exposes workload:w1", "workload:w1 part_of service:shop", "service:shop part_of project:retail", "image:i1 has_layer layer:l1", "image:i2 has_layer layer:l1",
		"workload:w1 tag:env=prod", "workload:w2 tag:env=production", `workload:w3 tag:env=a,b]"c`, "service:shop owned_by team:web",
	}})
	run := begin(t, g, "claims", 2, false)
	for subject, owner := range map[string]string{"service:shop": "web", "project:retail": "retail", "repository:r1": "code"} {
		must(t, run.Claim("c", fact.Claim{Subject: asset(subject), Owner: fact.Party{Kind: "team", ID: owner, Name: owner}, Role: "owner", Source: "backstage:x", Evidence: fact.Evidence{Method: "m", Source: "s", Strength: fact.Declared}}))
	}
	must(t, run.Covered("c"))
	_, err := run.Finish(t.Context())
	must(t, err)
	return g
}

func TestClaimsAreInheritedWithTheirWay(t *testing.T) {
	t.Parallel()
	g := estate(t)
	tell := func(opts graph.ClaimOptions) []string {
		claims, err := g.Claims(t.Context(), asset("workload:w1"), opts)
		must(t, err)
		var got []string
		for _, c := range claims {
			var via []string
			for _, v := range c.Via {
				via = append(via, string(v.Kind)+" "+v.Asset.Key)
			}
			got = append(got, fmt.Sprintf("%s via %s, %s %.2f", c.Owner.ID, strings.Join(via, ", "), c.Strength, c.Claim(asset("workload:w1")).Confidence))
		}
		slices.Sort(got)
		return got
	}
	want := []string{"code via instance_of i1, packaged_from r1, declared 0.75", "retail via part_of shop, part_of retail, declared 0.75", "web via part_of shop, declared 0.75"}
	if diff := cmp.Diff(want, tell(graph.ClaimOptions{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[1:], tell(graph.ClaimOptions{Follow: []graph.Follow{{Kind: fact.PartOf, Way: graph.Forward}}})); diff != "" {
		t.Error(diff)
	}
	if got := tell(graph.ClaimOptions{AsOf: day(1)}); len(got) != 0 {
		t.Errorf("before they were made: %v", got)
	}
	if _, err := g.Claims(t.Context(), asset("host:none"), graph.ClaimOptions{}); !errors.Is(err, graph.ErrNotFound) {
		t.Errorf("of an asset that is not there: %v", err)
	}
	look(t, g, "claims", 3, map[string][]string{"c": {}})
	if got := tell(graph.ClaimOptions{}); len(got) != 0 {
		t.Errorf("after they are gone: %v", got)
	}
	if got := tell(graph.ClaimOptions{AsOf: day(2)}); len(got) != 3 {
		t.Errorf("as of the time when they were made: %v", got)
	}
}

func TestAssetsAreFoundByKeyNameOrAPart(t *testing.T) {
	t.Parallel()
	g := estate(t)
	look(t, g, "k", 3, map[string][]string{"x": {"kubernetes_object:prod/shop/Deployment.apps/checkout", "cloud_resource:arn:aws:s3:::acme-logs", "file:checkout.go", "image:100%"}})
	for text, want := range map[string]string{
		"workload:w1": "w1", "w1": "w1", "the w2": "w2", "ret": "retail", "the w": "w1 w2 w3 web", "100%": "100%", "%": "100%", "0_": "",
		"checkout": "prod/shop/Deployment.apps/checkout", "acme-logs": "arn:aws:s3:::acme-logs", "aws:s3": "arn:aws:s3:::acme-logs", "cloud_resource:logs": "arn:aws:s3:::acme-logs",
	} {
		found, err := g.Find(t.Context(), "", text)
		if want == "" {
			if !errors.Is(err, graph.ErrNotFound) {
				t.Errorf("%s: %v, %v", text, found, err)
			}
			continue
		}
		must(t, err)
		var keys []string
		for _, a := range found {
			keys = append(keys, a.Key)
		}
		slices.Sort(keys)
		if got := strings.Join(keys, " "); got != want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if found, err := g.Find(t.Context(), "team", "web"); err != nil || len(found) != 1 {
		t.Errorf("of a kind: %v, %v", found, err)
	}
	for text, want := range map[string]string{"chekout": "Deployment.apps/checkout", "workload:w9": "workload:w1", "retial": "project:retail", "zzzzzzzzzzz": "no such asset", "": "no such asset"} {
		_, err := g.Find(t.Context(), "", text)
		if !errors.Is(err, graph.ErrNotFound) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}
