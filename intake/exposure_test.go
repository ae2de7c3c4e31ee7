package intake_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/intake"
	"github.com/backstitch/backstitch/store"
)

const arn = "arn:aws:ec2:eu-west-1:111122223333:"

// thing is an asset with what is said of it.
type thing struct {
	kind, key string
	said      map[string]string
}

// leads is a relation from one thing to another.
type leads struct {
	from string
	kind fact.RelationKind
	to   string
	said map[string]string
}

// told is a source of things and relations, in one scope.
func told(things []thing, edges []leads, end func(sink connector.Sink) error) cloud {
	return func(_ context.Context, sink connector.Sink) error {
		known := map[string]fact.Asset{"internet": {Kind: fact.AssetInternet, Key: "internet", Name: "internet"}}
		for _, one := range things {
			a := fact.Asset{Kind: one.kind, Key: one.key, Name: one.key[strings.LastIndexAny(one.key, "/:")+1:]}
			if one.kind == fact.AssetImage {
				a.Name = one.key
			}
			known[one.kind+" "+one.key], known[one.key] = a, a
			if err := sink.Node("eu", fact.Node{Asset: a, Properties: one.said}); err != nil {
				return err
			}
		}
		for _, e := range edges {
			if known[e.from].Key == "" || known[e.to].Key == "" {
				return fmt.Errorf("the test names no %s or %s", e.from, e.to)
			}
			if err := sink.Relation("eu", fact.Relation{From: known[e.from], Kind: e.kind, To: known[e.to], Properties: e.said, Evidence: fact.Evidence{Method: "told", Source: "test", Strength: fact.Attested}}); err != nil {
				return err
			}
		}
		return end(sink)
	}
}

func covered(sink connector.Sink) error { return sink.Covered("eu") }

type site struct {
	t  *testing.T
	db store.Engine
	g  *graph.Graph
}

func estate(t *testing.T) *site {
	db := database(t)
	return &site{t, db, graph.Open(db)}
}

// judged syncs a source and gives the exposures' import.
func (s *site) judged(source cloud) intake.Result {
	s.t.Helper()
	if _, err := intake.Sync(s.t.Context(), s.db, s.g, "prod", source, nil, intake.SyncOptions{Now: start, Shrink: 1}); err != nil {
		s.t.Fatal(err)
	}
	result, err := intake.Exposures(s.t.Context(), s.db, s.g, start)
	if err != nil {
		s.t.Fatal(err)
	}
	return result
}

// lines gives "asset rule severity state" of what is stored.
func (s *site) lines() []string {
	s.t.Helper()
	findings, err := intake.Load(s.t.Context(), s.db, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	lines := []string{}
	for _, f := range findings {
		line := fmt.Sprintf("%s %s %s", f.Asset.Key[strings.LastIndexAny(f.Asset.Key, "/:")+1:], strings.TrimPrefix(f.Rule, "exposure/"), f.Severity)
		if f.State != "open" {
			line += " " + f.State
		}
		lines = append(lines, line)
	}
	slices.Sort(lines)
	return lines
}

func group(id string) thing {
	return thing{fact.AssetResource, arn + "security-group/" + id, map[string]string{"type": "ec2:security-group"}}
}

func open2(id, ports string) leads {
	return leads{"internet", fact.Exposes, arn + "security-group/" + id, map[string]string{"ports": ports}}
}

func TestWhatTheInternetReachesIsJudgedByWhatItIs(t *testing.T) {
	t.Parallel()
	const db = "arn:aws:rds:eu-west-1:111122223333:db:shop"
	public, hidden := map[string]string{"type": "ec2:instance", "public_ip": "203.0.113.1"}, map[string]string{"type": "ec2:instance"}
	behind := func(id, what string) leads {
		return leads{arn + "security-group/" + id, fact.Guards, what, nil}
	}
	bucket := func(name string, said map[string]string) thing {
		said["type"] = "s3:bucket"
		return thing{fact.AssetResource, "arn:aws:s3:::" + name, said}
	}
	for name, one := range map[string]struct {
		things []thing
		edges  []leads
		want   string
	}{
		"web":            {[]thing{group("a"), {fact.AssetResource, arn + "instance/i", public}}, []leads{open2("a", "tcp/80, tcp/443, icmp"), behind("a", arn+"instance/i")}, ""},
		"remote access":  {[]thing{group("a"), {fact.AssetResource, arn + "instance/i", public}}, []leads{open2("a", "tcp/443, tcp/22"), behind("a", arn+"instance/i")}, "a ssh high"},
		"several":        {[]thing{group("a"), {fact.AssetResource, arn + "instance/i", public}}, []leads{open2("a", "tcp/9200-9300, tcp/3389, udp/22"), behind("a", arn+"instance/i")}, "a elasticsearch critical, a rdp high"},
		"everything":     {[]thing{group("a"), {fact.AssetResource, arn + "instance/i", public}}, []leads{open2("a", "all"), behind("a", arn+"instance/i")}, "a all-ports high"},
		"no address":     {[]thing{group("a"), {fact.AssetResource, arn + "instance/i", hidden}}, []leads{open2("a", "tcp/22"), behind("a", arn+"instance/i")}, "a ssh low"},
		"nothing behind": {[]thing{group("a")}, []leads{open2("a", "tcp/6379")}, "a redis low"},
		"database": {[]thing{group("a"), {fact.AssetResource, db, map[string]string{"type": "rds:db", "publicly_accessible": "true", "port": "5432", "engine": "postgres"}}},
			[]leads{open2("a", "tcp/5432"), behind("a", db)}, "a postgresql high, shop database critical"},
		"database at another port": {[]thing{group("a"), {fact.AssetResource, db, map[string]string{"type": "rds:db", "publicly_accessible": "true", "port": "5432"}}},
			[]leads{open2("a", "tcp/443"), behind("a", db)}, ""},
		"bucket by policy": {[]thing{bucket("b", map[string]string{"public_policy": "true"})}, []leads{{"internet", fact.Exposes, "arn:aws:s3:::b", map[string]string{"through": "bucket policy"}}}, "b public-bucket high"},
		"bucket that a block closes": {[]thing{bucket("b", map[string]string{"public_policy": "true", "public_access_block": "all"})},
			[]leads{{"internet", fact.Exposes, "arn:aws:s3:::b", map[string]string{"through": "bucket policy"}}}, ""},
		"bucket to write": {[]thing{bucket("b", map[string]string{"public_acl": "write", "public_access_block": "without IgnorePublicAcls"})},
			[]leads{{"internet", fact.Exposes, "arn:aws:s3:::b", map[string]string{"through": "ACL, unless the public access block ignores it", "permission": "WRITE"}}}, "b public-bucket critical"},
		"function": {[]thing{{fact.AssetWorkload, "arn:aws:lambda:eu-west-1:111122223333:function:f", nil}},
			[]leads{{"internet", fact.Exposes, "arn:aws:lambda:eu-west-1:111122223333:function:f", map[string]string{"through": "function URL without authentication", "ports": "tcp/443"}}}, "f function-without-authentication high"},
		"cluster": {[]thing{{fact.AssetCluster, "arn:aws:eks:eu-west-1:111122223333:cluster/c", nil}},
			[]leads{{"internet", fact.Exposes, "arn:aws:eks:eu-west-1:111122223333:cluster/c", map[string]string{"through": "public endpoint", "ports": "tcp/443"}}}, "c cluster-api medium"},
		"balancer": {[]thing{{fact.AssetResource, "arn:aws:elasticloadbalancing:eu:1:loadbalancer/net/x", map[string]string{"type": "elasticloadbalancing:loadbalancer"}}, {fact.AssetResource, "arn:aws:elasticloadbalancing:eu:1:targetgroup/t", nil}},
			[]leads{{"internet", fact.Exposes, "arn:aws:elasticloadbalancing:eu:1:loadbalancer/net/x", nil}, {"arn:aws:elasticloadbalancing:eu:1:loadbalancer/net/x", fact.Exposes, "arn:aws:elasticloadbalancing:eu:1:targetgroup/t", map[string]string{"ports": "tcp/3306"}}}, "x mysql high"},
		"service": {[]thing{{fact.AssetKubernetes, "prod/shop/Service/cache", map[string]string{"kind": "Service", "ports": "tcp/6379"}}, {fact.AssetWorkload, "prod/shop/Deployment.apps/cache", nil}, {fact.AssetImage, "docker.io/library/redis:7", nil}},
			[]leads{{"internet", fact.Exposes, "prod/shop/Service/cache", nil}, {"prod/shop/Service/cache", fact.Exposes, "prod/shop/Deployment.apps/cache", nil}, {"prod/shop/Deployment.apps/cache", fact.InstanceOf, "docker.io/library/redis:7", nil}}, "cache redis critical"},
		"dashboard": {[]thing{{fact.AssetKubernetes, "prod/k/Ingress/ui", map[string]string{"kind": "Ingress"}}, {fact.AssetKubernetes, "prod/k/Service/ui", map[string]string{"kind": "Service", "ports": "tcp/443"}}, {fact.AssetWorkload, "prod/k/Deployment.apps/ui", nil}, {fact.AssetImage, "kubernetesui/dashboard:v2.7.0", nil}},
			[]leads{{"internet", fact.Exposes, "prod/k/Ingress/ui", nil}, {"prod/k/Ingress/ui", fact.Exposes, "prod/k/Service/ui", nil}, {"prod/k/Service/ui", fact.Exposes, "prod/k/Deployment.apps/ui", nil}, {"prod/k/Deployment.apps/ui", fact.InstanceOf, "kubernetesui/dashboard:v2.7.0", nil}}, "ui dashboard high"},
		"port of a node": {[]thing{{fact.AssetWorkload, "prod/k/DaemonSet.apps/agent", nil}},
			[]leads{{"internet", fact.Exposes, "prod/k/DaemonSet.apps/agent", map[string]string{"detail": "hostPort 2375"}}}, "agent docker critical"},
	} {
		s := estate(t)
		s.judged(told(one.things, one.edges, covered))
		if got := strings.Join(s.lines(), ", "); got != one.want {
			t.Errorf("%s: %q, want %q", name, got, one.want)
		}
	}
}

func TestAnExposureSaysTheWayInAndHowStrong(t *testing.T) {
	t.Parallel()
	const db = "arn:aws:rds:eu-west-1:111122223333:db:shop"
	s := estate(t)
	s.judged(told([]thing{group("a"), {fact.AssetResource, db, map[string]string{"type": "rds:db", "publicly_accessible": "true", "port": "5432", "engine": "postgres"}}},
		[]leads{open2("a", "tcp/5432"), {arn + "security-group/a", fact.Guards, db, nil}}, covered))
	findings, err := intake.Load(t.Context(), s.db, []fact.Asset{{Kind: fact.AssetResource, Key: db}})
	if err != nil || len(findings) != 1 {
		t.Fatalf("findings %+v, %v", findings, err)
	}
	f := findings[0]
	got := fmt.Sprint(f.Kind, "|", f.Tool, "|", f.Title, "|", f.Attributes["way"], "|", f.Attributes["strength"], "|", f.Attributes["ports"], "|", f.Attributes["decides"])
	if want := "exposure|backstitch exposure|The internet reaches the database shop (postgres)|internet > cloud resource a > cloud resource shop|attested|tcp/5432|publicly_accessible"; got != want {
		t.Errorf("finding\n got %s\nwant %s", got, want)
	}
	if !strings.Contains(f.Description, "told by prod") {
		t.Errorf("description %q does not say who tells the way", f.Description)
	}
}

func TestAWayThatIsGoneMakesTheFindingUnconfirmedAndAGapKeepsIt(t *testing.T) {
	t.Parallel()
	s := estate(t)
	things, edges := []thing{group("a"), group("b")}, []leads{open2("a", "tcp/22"), open2("b", "tcp/22")}
	if first := s.judged(told(things, edges, covered)); first.Written() != 2 {
		t.Errorf("first %+v", first)
	}
	if again := s.judged(told(things, edges, covered)); again.Written() != 0 || again.Seen() != 2 {
		t.Errorf("the same again %+v", again)
	}
	gap := func(sink connector.Sink) error {
		sink.Gap("eu", errors.New("throttled"))
		return sink.Covered("eu")
	}
	if s.judged(told(things, edges[:1], gap)); strings.Join(s.lines(), ", ") != "a ssh low, b ssh low" {
		t.Errorf("after a gap: %v", s.lines())
	}
	if s.judged(told(things, edges[:1], covered)); strings.Join(s.lines(), ", ") != "a ssh low, b ssh low unconfirmed" {
		t.Errorf("after a whole look: %v", s.lines())
	}
	if s.judged(told(things, nil, covered)); strings.Join(s.lines(), ", ") != "a ssh low unconfirmed, b ssh low unconfirmed" {
		t.Errorf("when the internet reaches nothing: %v", s.lines())
	}
	if back := s.judged(told(things, edges[:1], covered)); back.Written() != 1 || s.lines()[0] != "a ssh low" {
		t.Errorf("back again: %+v, %v", back, s.lines())
	}
}

func TestAGraphThatNothingReachesGivesNothing(t *testing.T) {
	t.Parallel()
	s := estate(t)
	if result := s.judged(told([]thing{group("a")}, nil, covered)); result.Seen() != 0 || len(result.Runs) != 0 {
		t.Errorf("result %+v", result)
	}
}
