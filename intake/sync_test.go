package intake_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/intake"
	"github.com/backstitch/backstitch/report"
	trivyreader "github.com/backstitch/backstitch/report/trivy"
	"github.com/backstitch/backstitch/store"
	"github.com/backstitch/backstitch/store/sqlite"
	"github.com/backstitch/backstitch/store/storetest"
)

// cloud is a source that a test tells what to say.
type cloud func(ctx context.Context, sink connector.Sink) error

func (cloud) Describe() connector.Description { return connector.Description{ID: "connector/cloud"} }
func (cloud) Settings() []connector.Setting   { return nil }
func (c cloud) Sync(ctx context.Context, _ connector.Values, sink connector.Sink) error {
	return c(ctx, sink)
}

var bucket = fact.Asset{Kind: fact.AssetResource, Key: "arn:aws:s3:::logs", Name: "logs"}

func open(rule string) *fact.Finding {
	return &fact.Finding{Kind: fact.Misconfiguration, Rule: rule, Title: "open bucket", Severity: fact.SeverityHigh, Asset: bucket}
}

func TestFindingsOfASourceFollowTheLawsOfEveryImport(t *testing.T) {
	t.Parallel()
	db := database(t)
	g := graph.Open(db)
	detector := fact.Run{Tool: "security hub", Format: "cloud"}
	sync := func(source cloud) intake.Synced {
		t.Helper()
		got, err := intake.Sync(t.Context(), db, g, "aws:prod", source, nil, intake.SyncOptions{Now: start.AddDate(0, 0, 1), Readers: []report.Reader{trivyreader.New()}})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	give := func(rules []string, then func(sink connector.Sink) error) cloud {
		return func(_ context.Context, sink connector.Sink) error {
			if err := sink.Node("eu", fact.Node{Asset: bucket}); err != nil {
				return err
			}
			for _, rule := range rules {
				if err := sink.Finding("eu", detector, open(rule)); err != nil {
					return err
				}
			}
			return then(sink)
		}
	}
	covered := func(sink connector.Sink) error { return sink.Covered("eu") }
	failed := func(sink connector.Sink) error {
		sink.Gap("eu", errors.New("throttled"))
		return sink.Covered("eu")
	}
	states := func() string {
		t.Helper()
		list, err := intake.Load(t.Context(), db, []fact.Asset{bucket})
		if err != nil {
			t.Fatal(err)
		}
		var text []string
		for _, f := range list {
			text = append(text, f.Rule+" "+f.State)
		}
		return strings.Join(text, ", ")
	}
	if got := sync(give([]string{"S3.1", "S3.2"}, covered)); got.Findings != 2 || got.New != 2 || !got.Complete {
		t.Errorf("first run %+v", got)
	}
	if got := sync(give([]string{"S3.1", "S3.2"}, covered)); got.New != 0 || got.Graph.Nodes.Written() != 0 {
		t.Errorf("the same again %+v", got)
	}
	if got := sync(give([]string{"S3.1"}, failed)); got.Complete || len(got.Graph.Gaps) != 1 {
		t.Errorf("a gap %+v", got)
	}
	if got := states(); strings.Contains(got, "unconfirmed") {
		t.Errorf("after a look that failed: %s", got)
	}
	sync(give([]string{"S3.1"}, covered))
	if got := states(); !strings.Contains(got, "S3.2 unconfirmed") || !strings.Contains(got, "S3.1 open") {
		t.Errorf("after a whole look: %s", got)
	}
	handed := func(text string) cloud {
		return give([]string{"S3.1"}, func(sink connector.Sink) error {
			if err := sink.Report("eu", "export", strings.NewReader(text)); err != nil {
				return err
			}
			return sink.Covered("eu")
		})
	}
	if got := sync(handed(`{"SchemaVersion": 2, "ArtifactName": "a", "Results": [{"Target": "t", "Vulnerabilities": [{"VulnerabilityID": "CVE-1", "PkgName": "p", "InstalledVersion": "1"}]}]}`)); got.Findings != 2 || !got.Complete {
		t.Errorf("a report that the source hands on: %+v", got)
	}
	if got := sync(handed(`{"what": "is this"}`)); got.Complete || len(got.Graph.Gaps) != 1 || !strings.Contains(got.Graph.Gaps[0], "format of the report is not known") {
		t.Errorf("a report that nobody knows: %+v", got)
	}
}

func TestASyncThatEndsEarlyIsTakenUp(t *testing.T) {
	t.Parallel()
	db := database(t)
	g := graph.Open(db)
	var read []string
	regions := func(stopAt string) cloud {
		return func(ctx context.Context, sink connector.Sink) error {
			for _, region := range []string{"eu", "us", "ap"} {
				if region == stopAt {
					return errors.New("the network is gone")
				}
				if sink.Done(region) {
					continue
				}
				read = append(read, region)
				if err := sink.Node(region, fact.Node{Asset: fact.Asset{Kind: fact.AssetHost, Key: region}}); err != nil {
					return err
				}
				if err := sink.Covered(region); err != nil {
					return err
				}
			}
			return nil
		}
	}
	if _, err := intake.Sync(t.Context(), db, g, "aws", regions("ap"), nil, intake.SyncOptions{Now: start.AddDate(0, 0, 1)}); err == nil || !strings.Contains(err.Error(), "source aws: the network is gone") {
		t.Errorf("got %v", err)
	}
	got, err := intake.Sync(t.Context(), db, g, "aws", regions(""), nil, intake.SyncOptions{Now: start.AddDate(0, 0, 2)})
	if err != nil || !got.Resumed || strings.Join(read, " ") != "eu us ap" {
		t.Errorf("%+v, %v, read %v; want each region once", got, err, read)
	}
	x, err := g.Index(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if assets, _ := x.Len(); assets != 3 {
		t.Errorf("%d assets, want 3", assets)
	}
	read = nil
	if _, err := intake.Sync(t.Context(), db, g, "aws", regions("us"), nil, intake.SyncOptions{Now: start.AddDate(0, 0, 3)}); err == nil {
		t.Error("the failure of a source was swallowed")
	}
	if got, err := intake.Sync(t.Context(), db, g, "aws", regions(""), nil, intake.SyncOptions{Now: start.AddDate(0, 0, 3), Anew: true}); err != nil || got.Resumed || strings.Join(read, " ") != "eu eu us ap" {
		t.Errorf("anew: %+v, %v, read %v", got, err, read)
	}
}

func TestSyncQueriesAreInTheCommonSubset(t *testing.T) {
	storetest.CheckQueries(t, sqlite.Open, intake.SyncQueries())
}

// said is what a source says in one scope.
type said struct {
	scope string
	gap   bool
	hosts []string
	rules []string // findings, "rule@asset"
}

func (s said) give(sink connector.Sink) error {
	if sink.Done(s.scope) {
		return nil
	}
	evidence := fact.Evidence{Method: "m", Source: "s", Strength: fact.Attested}
	var steps []func() error
	for _, host := range s.hosts {
		from, to := fact.Asset{Kind: fact.AssetHost, Key: host}, fact.Asset{Kind: fact.AssetAccount, Key: "1"}
		steps = append(steps, func() error {
			return sink.Relation(s.scope, fact.Relation{From: from, Kind: fact.PartOf, To: to, Evidence: evidence})
		},
			func() error {
				return sink.Claim(s.scope, fact.Claim{Subject: from, Owner: fact.Party{Kind: "team", ID: "t"}, Role: "owner", Source: "tags", Evidence: evidence})
			})
	}
	for i, rule := range s.rules {
		name, host, _ := strings.Cut(rule, "@")
		run := fact.Run{Tool: []string{"Inspector", "hub"}[i%2], Format: "cloud"}
		steps = append(steps, func() error {
			return sink.Finding(s.scope, run, &fact.Finding{Kind: fact.Misconfiguration, Rule: name, Title: name, Severity: fact.SeverityLow, Asset: fact.Asset{Kind: fact.AssetHost, Key: host}})
		})
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	if s.gap {
		sink.Gap(s.scope, errors.New("denied"))
	}
	return sink.Covered(s.scope)
}

// world is all that the graph and the findings hold, as text.
func world(t *testing.T, db store.Engine) string {
	t.Helper()
	g := graph.Open(db)
	p, err := graph.ParsePattern("*")
	if err != nil {
		t.Fatal(err)
	}
	answer, err := g.Query(t.Context(), p, graph.QueryOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for _, row := range answer.Rows {
		v, err := g.Asset(t.Context(), row[0].Kind, row[0].Key, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		line := row[0].Kind + ":" + row[0].Key
		for _, n := range v.Out {
			line += fmt.Sprintf(" %s %s by %d", n.Kind, n.Asset.Key, len(n.Evidence))
		}
		line += fmt.Sprintf(" %d claims", len(v.Claims))
		findings, err := intake.Load(t.Context(), db, row[:1])
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range findings {
			line += fmt.Sprintf(" %s by %s %s", f.Rule, f.Tool, f.State)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestSyncsKeepTheirLaws(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			random := rand.New(rand.NewPCG(seed, 5))
			pick := func() []said {
				var all []said
				for _, scope := range []string{"eu", "us", "ap"} {
					s := said{scope: scope}
					for range random.IntN(4) {
						s.hosts = append(s.hosts, fmt.Sprint("h", random.IntN(5)))
					}
					for range random.IntN(5) {
						s.rules = append(s.rules, fmt.Sprintf("R%d@%s-h%d", random.IntN(3), scope, random.IntN(3)))
					}
					all = append(all, s)
				}
				return all
			}
			db, other := database(t), database(t)
			run := func(db store.Engine, n int, all []said, stopAt int) intake.Synced {
				t.Helper()
				got, err := intake.Sync(t.Context(), db, graph.Open(db), "aws", cloud(func(_ context.Context, sink connector.Sink) error {
					for i, s := range all {
						if i == stopAt {
							return errors.New("cut off")
						}
						if err := s.give(sink); err != nil {
							return err
						}
					}
					return nil
				}), nil, intake.SyncOptions{Now: start.Add(time.Duration(n) * time.Hour)})
				if (err != nil) != (stopAt >= 0) {
					t.Fatalf("stopped at %d: %v", stopAt, err)
				}
				return got
			}
			written := func(s intake.Synced) int {
				return s.Graph.Nodes.Written() + s.Graph.Edges.Written() + s.Graph.Claims.Written() + s.New + s.Changed + s.Reopened + s.Unconfirmed
			}
			for n := range 4 {
				all := pick()
				// One database takes them in one go, the other cut off and in another order.
				run(db, 10*n, all, -1)
				shuffled := slices.Clone(all)
				random.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
				run(other, 10*n, shuffled, random.IntN(3))
				run(other, 10*n+1, shuffled, -1)
				before := world(t, db)
				if diff := cmp.Diff(before, world(t, other)); diff != "" {
					t.Fatalf("round %d, %+v: a run that was taken up differs from one in one go: %s", n, all, diff)
				}
				if got := run(db, 10*n+2, all, -1); written(got) != 0 {
					t.Fatalf("the same again wrote %+v", got)
				}
				// A look that fails everywhere deletes nothing, whatever it saw.
				var failed []said
				for _, s := range all {
					s.gap = true
					s.hosts, s.rules = s.hosts[:len(s.hosts)/2], s.rules[:len(s.rules)/2]
					failed = append(failed, s)
				}
				if got := run(db, 10*n+3, failed, -1); written(got) != 0 || got.Complete || len(got.Graph.Gaps) != 3 {
					t.Fatalf("a look with gaps wrote %+v", got)
				}
				if after := world(t, db); after != before {
					t.Fatalf("a look with gaps changed\n%s\nto\n%s", before, after)
				}
			}
		})
	}
}

func TestWhatAScopeNoLongerHoldsIsUnconfirmedThoughNothingIsFound(t *testing.T) {
	t.Parallel()
	db := database(t)
	g := graph.Open(db)
	sync := func(n int, rules ...string) intake.Synced {
		t.Helper()
		got, err := intake.Sync(t.Context(), db, g, "aws", cloud(func(_ context.Context, sink connector.Sink) error {
			return said{scope: "eu", rules: rules}.give(sink)
		}), nil, intake.SyncOptions{Now: start.AddDate(0, 0, n)})
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	sync(1, "A@h1", "B@h2", "C@h1")
	if got := sync(2); got.Unconfirmed != 3 {
		t.Errorf("%+v: want all three unconfirmed", got)
	}
	if got := sync(3, "A@h1"); got.Reopened != 1 {
		t.Errorf("%+v: want one reopened", got)
	}
	if text := world(t, db); strings.Contains(text, "unknown:") {
		t.Errorf("a scope became an asset:\n%s", text)
	}
}

func TestACancelledSyncEndsSoonAndIsTakenUp(t *testing.T) {
	t.Parallel()
	db := database(t)
	g := graph.Open(db)
	ctx, cancel := context.WithCancel(t.Context())
	endless := cloud(func(ctx context.Context, sink connector.Sink) error {
		if err := (said{scope: "eu", hosts: []string{"a"}, rules: []string{"A@a"}}).give(sink); err != nil {
			return err
		}
		for i := 0; ; i++ {
			if i == 100 {
				cancel()
			}
			if err := sink.Finding("us", fact.Run{Tool: "hub"}, open(fmt.Sprint("R", i))); err != nil {
				return err
			}
		}
	})
	if _, err := intake.Sync(ctx, db, g, "aws", endless, nil, intake.SyncOptions{Now: start}); !errors.Is(err, context.Canceled) {
		t.Fatalf("got %v", err)
	}
	if list, err := intake.Load(t.Context(), db, []fact.Asset{bucket}); err != nil || len(list) != 0 {
		t.Errorf("%d findings of a scope that was not covered, %v", len(list), err)
	}
	got, err := intake.Sync(t.Context(), db, g, "aws", cloud(func(_ context.Context, sink connector.Sink) error {
		if !sink.Done("eu") || sink.Done("us") {
			t.Errorf("eu done %v, us done %v", sink.Done("eu"), sink.Done("us"))
		}
		return said{scope: "us"}.give(sink)
	}), nil, intake.SyncOptions{Now: start})
	if err != nil || !got.Resumed || !got.Complete || got.Graph.Scopes != 2 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestManyScopesAtOnceLoseNothing(t *testing.T) {
	t.Parallel()
	db := database(t)
	got, err := intake.Sync(t.Context(), db, graph.Open(db), "aws", cloud(func(_ context.Context, sink connector.Sink) error {
		var group sync.WaitGroup
		errs := make([]error, 8)
		for i := range errs {
			group.Go(func() {
				s := said{scope: fmt.Sprint(i)}
				for n := range 50 {
					s.hosts = append(s.hosts, fmt.Sprintf("h%d-%d", i, n))
					s.rules = append(s.rules, fmt.Sprintf("R@h%d-%d", i, n))
				}
				errs[i] = s.give(sink)
			})
		}
		group.Wait()
		return errors.Join(errs...)
	}), nil, intake.SyncOptions{Now: start})
	if err != nil || got.Findings != 400 || got.New != 400 || got.Graph.Nodes.New != 8*51 || got.Graph.Scopes != 8 {
		t.Errorf("%+v, %v", got, err)
	}
}
