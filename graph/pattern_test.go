package graph_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
)

func TestPatternsFindChains(t *testing.T) {
	t.Parallel()
	g := estate(t)
	for pattern, want := range map[string]string{
		"workload -instance_of-> image -packaged_from-> repository": "w1-i1-r1 w2-i1-r1",
		"image <-instance_of- workload":                             "i1-w1 i1-w2 i2-w3",
		"internet -exposes-> workload -*2-> layer":                  "net-w1-l1",
		"workload -*1..3- internet":                                 "w1-net w2-net",
		"workload -part_of*1..2-> *":                                "w1-retail w1-shop",
		"workload -part_of*2-> *":                                   "w1-retail",
		"workload -part_of|instance_of-> service|image":             "w1-i1 w1-shop w2-i1 w3-i2",
		"workload -instance_of- image -instance_of- workload":       "w1-i1-w2 w2-i1-w1",
		"workload[name~*w2]":                                        "w2",
		"workload[name~w2]":                                         "w2",
		"workload[name=w2]":                                         "",
		"workload[key!=w2]":                                         "w1 w3",
		"workload[tag:env]":                                         "w1 w2 w3",
		"workload[tag:env=prod]":                                    "w1",
		"workload[tag:env~prod*]":                                   "w1 w2",
		"workload[ tag:env ~ prod* , key != w1 ]":                   "w2",
		"workload[tag:env!~prod*]":                                  "w3",
		`workload["tag:env"="a,b]\"c"]`:                             "w3",
		"workload|internet[key~*]":                                  "net w1 w2 w3",
		"*[key~l?]":                                                 "l1",
		"*[key=l1]":                                                 "l1",
		"*[kind=layer]":                                             "l1",
		"layer[key=l1] <-has_layer- image <-instance_of- workload":  "l1-i1-w1 l1-i1-w2 l1-i2-w3",
		"workload -instance_of-> image -has_layer-> layer[key=l1]":  "w1-i1-l1 w2-i1-l1 w3-i2-l1",
		"service[owner]":                                            "",
	} {
		if got := rows(t, g, pattern, time.Time{}); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
	for pattern, want := range map[string]string{
		"": "position 1: expected a kind", "workload -": "position 11: expected a kind of relation", "workload -a": `position 12: expected "->"`, "workload x": `position 10: expected a relation`,
		"workload[": "position 10: expected a property", "workload[a": `position 11: expected "," or "]"`, "workload[=x]": "position 10: expected a property", "a -*9..2-> b": "position 5: expected a length", "a <-b-> c": `position 6: expected "-" to end`, "a -b-> ": "position 8: expected a kind",
		"a -*99-> b": "at most 12", "a -b*-> c": "position 6: expected a length", strings.Repeat("a -b-> ", 20) + "a": "at most 12 relations", strings.Repeat("a", 3000): "at most 2000 bytes", "2a": "position 1: expected a kind",
		`a[b="c`: `position 7: expected " to end`, `a[b="\c"]`: `position 7: expected \" or \\`, "a -*1.3-> b": "position 5: expected a length", "a[" + strings.Repeat("b,", 30) + "b]": "at most 20 filters",
	} {
		_, err := graph.ParsePattern(pattern)
		var fault *graph.PatternError
		if !errors.As(err, &fault) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v, want %q", pattern, err, want)
		}
	}
	for pattern, want := range map[string]string{
		"wokload": `position 1: expected a kind of asset, "wokload" is none; perhaps workload`, "workload -instance_off-> image": `position 11: expected a kind of relation, "instance_off" is none; perhaps instance_of`,
		"workload|qqqqqqqq": "position 10: expected a kind of asset, \"qqqqqqqq\" is none; one of account,",
	} {
		p, err := graph.ParsePattern(pattern)
		must(t, err)
		if _, err := g.Query(t.Context(), p, graph.QueryOptions{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", pattern, err, want)
		}
	}
	p, err := graph.ParsePattern("workload")
	must(t, err)
	if answer, err := g.Query(t.Context(), p, graph.QueryOptions{Limit: 2}); err != nil || len(answer.Rows) != 2 || !answer.More {
		t.Errorf("two of three: %+v, %v", answer, err)
	}
	if answer, err := g.Query(t.Context(), p, graph.QueryOptions{Limit: 3}); err != nil || len(answer.Rows) != 3 || answer.More {
		t.Errorf("three of three: %+v, %v", answer, err)
	}
}

func TestAFilterOnManyAssetsAsksSQLAndFindsTheSame(t *testing.T) {
	t.Parallel()
	g := graph.Open(database(t))
	run := begin(t, g, "s", 1, false)
	for i := range 2500 {
		must(t, run.Node("x", fact.Node{Asset: fact.Asset{Kind: "host", Key: fmt.Sprint(i)}, Properties: map[string]string{"tag:a_b": fmt.Sprintf("v%%%d", i%1250), "x": "<&>"}}))
	}
	must(t, run.Covered("x"))
	_, err := run.Finish(t.Context())
	must(t, err)
	for pattern, want := range map[string]string{`host[tag:a_b=v%7]`: "1257 7", `host[tag:axb=v%7]`: "", `host[x=<&>,key~125?]`: "1250 1251 1252 1253 1254 1255 1256 1257 1258 1259"} {
		if got := rows(t, g, pattern, time.Time{}); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
		if got := rows(t, g, pattern, day(1)); got != want {
			t.Errorf("%s as of a time: %q, want %q", pattern, got, want)
		}
	}
}

// TestAPatternFindsWhatASlowSearchFinds compares with a walk over all relations.
func TestAPatternFindsWhatASlowSearchFinds(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(11, 2))
	kinds := []string{"host", "team", "image"}
	verbs := []string{"controls", "part_of"}
	for range 12 {
		var facts []string
		type edge struct{ from, verb, to string }
		var edges []edge
		name := func() string { n := random.IntN(9); return fmt.Sprintf("%s:%d", kinds[n%3], n) }
		for range 14 {
			e := edge{name(), verbs[random.IntN(2)], name()}
			edges = append(edges, e)
			facts = append(facts, e.from+" "+e.verb+" "+e.to)
		}
		g := graph.Open(database(t))
		look(t, g, "s", 1, map[string][]string{"x": facts})
		for range 12 {
			type step struct {
				verb     string
				way      int // 1 forward, 2 backward, 3 both
				min, max int
			}
			nodes := []string{append(kinds, "*")[random.IntN(4)]}
			pattern := nodes[0]
			var steps []step
			for range 1 + random.IntN(3) {
				s := step{append(verbs, "")[random.IntN(3)], 1 + random.IntN(3), 1, 1}
				length := ""
				if random.IntN(3) == 0 {
					s.max = 1 + random.IntN(3)
					s.min = 1 + random.IntN(s.max)
					length = fmt.Sprintf("*%d..%d", s.min, s.max)
				} else if s.verb == "" {
					length = "*"
				}
				steps = append(steps, s)
				nodes = append(nodes, append(kinds, "*")[random.IntN(4)])
				pattern += [...]string{1: " -%s%s-> ", 2: " <-%s%s- ", 3: " -%s%s- "}[s.way]
				pattern = fmt.Sprintf(pattern, s.verb, length) + nodes[len(nodes)-1]
			}
			fits := func(i int, node string) bool { return nodes[i] == "*" || strings.HasPrefix(node, nodes[i]+":") }
			found := map[string]bool{}
			var walk func(row []string)
			walk = func(row []string) {
				i := len(row) - 1
				if i == len(steps) {
					var keys []string
					for _, node := range row {
						keys = append(keys, node[strings.Index(node, ":")+1:])
					}
					found[strings.Join(keys, "-")] = true
					return
				}
				level := map[string]bool{row[i]: true}
				for length := 1; length <= steps[i].max; length++ {
					next := map[string]bool{}
					for _, e := range edges {
						if steps[i].verb != "" && steps[i].verb != e.verb {
							continue
						}
						if level[e.from] && steps[i].way&1 != 0 {
							next[e.to] = true
						}
						if level[e.to] && steps[i].way&2 != 0 {
							next[e.from] = true
						}
					}
					if level = next; length < steps[i].min {
						continue
					}
					for node := range level {
						if fits(i+1, node) && !slices.Contains(row, node) {
							walk(append(slices.Clone(row), node))
						}
					}
				}
			}
			for n := range 9 {
				node := fmt.Sprintf("%s:%d", kinds[n%3], n)
				if fits(0, node) && slices.ContainsFunc(edges, func(e edge) bool { return e.from == node || e.to == node }) {
					walk([]string{node})
				}
			}
			var want []string
			for row := range found {
				want = append(want, row)
			}
			slices.Sort(want)
			if got := rows(t, g, pattern, time.Time{}); got != strings.Join(want, " ") {
				t.Fatalf("%s over %v:\ngot  %s\nwant %s", pattern, facts, got, strings.Join(want, " "))
			}
		}
	}
}

func FuzzPattern(f *testing.F) {
	for _, p := range []string{"workload -instance_of-> image[tag:a=b*,c]", "a|b <-*1..3- *", "* -x|y- *[k!=v]", `a[b~"c\"]"] -x*2-> *`} {
		f.Add(p)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := graph.ParsePattern(text)
		if err != nil {
			var fault *graph.PatternError
			if !errors.As(err, &fault) || fault.At < 0 || fault.At > len(text) {
				t.Errorf("%q: %v", text, err)
			}
			return
		}
		written := p.String()
		if len(written) > 2000 {
			return
		}
		again, err := graph.ParsePattern(written)
		if err != nil || again.String() != written {
			t.Errorf("%q, written as %q, is read as %v, %v", text, written, again, err)
		}
	})
}
