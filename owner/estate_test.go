package owner

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
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
	t.Parallel()
	storetest.CheckQueries(t, sqlite.Open, Queries())
}

var clock = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// world is a small graph that a test tells.
type world struct {
	t   *testing.T
	db  store.Engine
	g   *graph.Graph
	now time.Time
}

func newWorld(t *testing.T) *world {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "b.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{t, db, graph.Open(db), clock}
}

// tell runs one source that says all of something.
func (w *world) tell(source string, say func(r *graph.Run) error) {
	w.t.Helper()
	w.now = w.now.Add(time.Second)
	run, err := w.g.Begin(w.t.Context(), source, w.now, false)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := say(run); err != nil {
		w.t.Fatal(err)
	}
	if err := run.Covered("all"); err != nil {
		w.t.Fatal(err)
	}
	if _, err := run.Finish(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) estate(rules TagRules) *Estate {
	return NewEstate(w.db, DefaultPrecedence(), rules, func() time.Time { return w.now })
}

func (w *world) explain(e *Estate, kind, key string) *AssetExplanation {
	w.t.Helper()
	x, err := e.Explain(w.t.Context(), fact.Asset{Kind: kind, Key: key})
	if err != nil {
		w.t.Fatal(err)
	}
	return x
}

func tested(strength fact.Strength) fact.Evidence {
	return fact.Evidence{Method: "test", Source: "file:1", Strength: strength}
}

func relation(from fact.Asset, kind fact.RelationKind, to fact.Asset, strength fact.Strength) fact.Relation {
	return fact.Relation{From: from, Kind: kind, To: to, Evidence: tested(strength)}
}

func claimOn(a fact.Asset, source, role, kind, id string, confidence float64) fact.Claim {
	return fact.Claim{Subject: a, Owner: fact.Party{Kind: kind, ID: id, Name: id}, Role: role, Source: source, Evidence: tested(fact.Declared), Confidence: confidence}
}

// all gives facts to a run.
func all(r *graph.Run, facts ...any) error {
	for _, f := range facts {
		var err error
		switch f := f.(type) {
		case fact.Node:
			err = r.Node("all", f)
		case *fact.Node:
			err = r.Node("all", *f)
		case fact.Relation:
			err = r.Relation("all", f)
		case fact.Claim:
			err = r.Claim("all", f)
		default:
			err = fmt.Errorf("%T", f)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func asset(kind, key string) fact.Asset { return fact.Asset{Kind: kind, Key: key, Name: key} }

func brief(x *AssetExplanation) string {
	if len(x.Owners) == 0 {
		return "nobody"
	}
	text := fmt.Sprintf("%s %s %.3f", x.Owners[0].Kind, x.Owners[0].ID, x.Owners[0].Confidence)
	if !x.Clear {
		text += " not clear"
	}
	return text
}

func TestOwnersAreInheritedOverEveryWayWithItsStrength(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	workload, image, repo := asset("workload", "prod/shop/Deployment.apps/web"), asset("image", "sha256:1"), asset("repository", "git.test/acme/web")
	bucket, terraform := asset("cloud_resource", "arn:aws:s3:eu-west-1:123456789012:bucket/a"), asset("terraform_resource", "git.test/acme/infra//prod:aws_s3_bucket.a")
	queue, pod := asset("cloud_resource", "arn:aws:sqs:eu-west-1:123456789012:q"), asset("kubernetes_object", "prod/shop/Pod/web-1")
	w.tell("cluster", func(r *graph.Run) error {
		return all(r, node("team", "shop"), node("kubernetes_object", "prod/-/Namespace/shop"), node("cloud_resource", queue.Key),
			relation(workload, fact.InstanceOf, image, fact.Attested), relation(image, fact.PackagedFrom, repo, fact.Guess), relation(workload, fact.Controls, pod, fact.Attested),
			relation(bucket, fact.DeclaredBy, terraform, fact.Attested),
			claimOn(asset("kubernetes_object", "prod/-/Namespace/shop"), "kubernetes", "owner", "team", "shop", .9))
	})
	w.tell("catalog", func(r *graph.Run) error {
		return all(r, claimOn(repo, "backstage", "owner", "team", "web", .9), claimOn(asset("account", "aws/123456789012"), "project", "owner", "team", "cloud", .9),
			claimOn(asset("repository", "git.test/acme/infra"), "code", "owner", "team", "infra", .8))
	})
	e := w.estate(nil)
	for _, c := range []struct{ kind, key, want, through string }{
		{"repository", repo.Key, "team web 0.900", "owner = 0.90 said"},
		{"image", image.Key, "team shop 0.421 not clear", "through workload prod/shop/Deployment.apps/web (instance_of, derived), kubernetes_object prod/-/Namespace/shop (part_of, derived)"},
		{"workload", workload.Key, "team shop 0.550", "through kubernetes_object prod/-/Namespace/shop (part_of, derived)"},
		{"kubernetes_object", pod.Key, "team shop 0.550", "through kubernetes_object prod/-/Namespace/shop (part_of, derived)"},
		{"cloud_resource", queue.Key, "team cloud 0.654", "through account aws/123456789012 (part_of, derived)"},
		{"cloud_resource", bucket.Key, "team cloud 0.654", "through account aws/123456789012 (part_of, derived)"},
	} {
		x := w.explain(e, c.kind, c.key)
		if got := brief(x); got != c.want {
			t.Errorf("%s: %s, want %s", c.key, got, c.want)
			continue
		}
		if detail := x.Owners[0].Evidence[0].Detail; !strings.Contains(detail, c.through) || !strings.Contains(detail, " said × ") {
			t.Errorf("%s: %s, want the way and the arithmetic", c.key, detail)
		}
	}
	x := w.explain(e, "cloud_resource", bucket.Key)
	if len(x.Owners) != 2 || len(x.Overruled) != 1 || !strings.Contains(x.Overruled[0].Detail, "infra as owner") || !strings.Contains(x.Overruled[0].Detail, "against 0.65 of cloud") {
		t.Errorf("overruled %+v, want the team of the repository and why not", x.Overruled)
	}
	if x := w.explain(e, "image", image.Key); !strings.Contains(x.Why, "0.42 of the 0.50") || len(x.Settle) == 0 {
		t.Errorf("%q %q, want why nobody is clear and what would settle it", x.Why, x.Settle)
	}
	if _, err := e.Explain(t.Context(), asset("image", "sha256:none")); err == nil {
		t.Error("an asset that is not there was explained")
	}
}

func TestAnImageIsAnsweredByWhoRunsItAndNobodyByWhoElseDoes(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	own, base := asset("image", "sha256:own"), asset("image", "sha256:base")
	web, api := asset("workload", "w/web"), asset("workload", "w/api")
	lone := asset("workload", "w/lone")
	w.tell("all", func(r *graph.Run) error {
		if err := all(r, node("team", "web"), node("team", "api"), relation(web, fact.InstanceOf, own, fact.Attested), relation(web, fact.InstanceOf, base, fact.Attested), relation(api, fact.InstanceOf, base, fact.Attested),
			relation(lone, fact.InstanceOf, own, fact.Attested), claimOn(web, "backstage", "owner", "team", "web", .9), claimOn(api, "backstage", "owner", "team", "api", .9)); err != nil {
			return err
		}
		for i := range runByMany + 1 {
			one := asset("workload", fmt.Sprint("many/", i))
			if err := all(r, relation(one, fact.InstanceOf, asset("image", "sha256:pause"), fact.Attested), claimOn(one, "backstage", "owner", "team", "web", .9)); err != nil {
				return err
			}
		}
		return nil
	})
	e := w.estate(nil)
	for _, c := range []struct {
		of   fact.Asset
		want string
	}{
		{own, "team web 0.688"}, {base, "team api 0.688 not clear"}, {lone, "nobody"}, {asset("image", "sha256:pause"), "nobody"},
	} {
		if got := brief(w.explain(e, c.of.Kind, c.of.Key)); got != c.want {
			t.Errorf("%s: %s, want %s", c.of.Key, got, c.want)
		}
	}
	// An issue of the image is one of who runs it.
	x, err := e.ExplainWith(t.Context(), asset(SubjectIssue, "BS-1"), nil, []fact.Asset{own})
	if err != nil || brief(x) != "team web 0.688" {
		t.Errorf("%s %v", brief(x), err)
	}
}

func TestTwoAssetsThatAreOneThingAnswerAlike(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	workload, function := asset("workload", "arn:aws:lambda:eu-west-1:123456789012:function:pay"), asset("cloud_resource", "arn:aws:lambda:eu-west-1:123456789012:function:pay")
	found, entity, network := asset("service", "found:tag/pay"), asset("service", "backstage:component:default/pay"), asset("cloud_resource", "vpc-1")
	w.tell("all", func(r *graph.Run) error {
		same := func(from, to fact.Asset, strength fact.Strength) fact.Relation {
			one := relation(from, fact.PartOf, to, strength)
			one.Properties = map[string]string{"same": "true"}
			return one
		}
		return all(r, node("team", "pay"), node("team", "net"), same(workload, function, fact.Attested), same(found, entity, fact.Declared), relation(workload, fact.PartOf, found, fact.Declared),
			relation(function, fact.PartOf, network, fact.Attested),
			claimOn(entity, "backstage", "owner", "team", "pay", .9), claimOn(network, "project", "owner", "team", "net", .6))
	})
	e := w.estate(nil)
	for _, c := range []struct {
		of   fact.Asset
		want string
	}{
		{found, "team pay 0.900"}, {workload, "team pay 0.765"}, {function, "team pay 0.765"}, {network, "team net 0.570"},
	} {
		if got := brief(w.explain(e, c.of.Kind, c.of.Key)); got != c.want {
			t.Errorf("%s: %s, want %s", c.of.Key, got, c.want)
		}
	}
}

func TestProjectsTakeWhatTheirRulesName(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tell("projects", func(r *graph.Run) error {
		return all(r, node("project", "bu/shop", "member:tag", "App=shop\ncost=7", "member:namespace", "prod/shop", "member:path", "git.test/mono//shop/web"), node("project", "bu/till", "member:namespace", "prod/shop"),
			claimOn(asset("project", "bu/shop"), "project", "owner", "team", "shop", .9))
	})
	w.tell("cloud", func(r *graph.Run) error {
		return all(r, node("cloud_resource", "a", "tag:app", "shop"), node("cloud_resource", "b", "tag:app", "Shop"), node("workload", "prod/shop/Deployment.apps/web"), node("kubernetes_object", "prod/-/Namespace/shop"),
			node("workload", "test/shop/Deployment.apps/web"), node("file", "git.test/mono//shop/web/a/b.go"), node("file", "git.test/mono//shop/webby/a"), node("terraform_resource", "git.test/mono//shop/web:aws_x.y"))
	})
	e := w.estate(nil)
	s, err := e.Survey(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	surveyed := map[string]int{}
	if err := s.Each(t.Context(), func(one *Surveyed) error { surveyed[one.Asset.Key] = len(one.Owners); return nil }); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		kind, key string
		owned     bool
	}{
		{"cloud_resource", "a", true}, {"cloud_resource", "b", false}, {"workload", "prod/shop/Deployment.apps/web", true}, {"kubernetes_object", "prod/-/Namespace/shop", true},
		{"workload", "test/shop/Deployment.apps/web", false}, {"file", "git.test/mono//shop/web/a/b.go", true}, {"file", "git.test/mono//shop/webby/a", false}, {"terraform_resource", "git.test/mono//shop/web:aws_x.y", true},
	} {
		x := w.explain(e, c.kind, c.key)
		if owned := len(x.Owners) == 1 && strings.Contains(x.Owners[0].Evidence[0].Detail, "through project bu/shop"); owned != c.owned || surveyed[c.key] != len(x.Owners) {
			t.Errorf("%s: owned %v, want %v; %d by the survey", c.key, owned, c.owned, surveyed[c.key])
		}
	}
}

func TestManyClaimsOnOneAssetTakeLittleTime(t *testing.T) {
	t.Parallel()
	p := DefaultPrecedence()
	var claims []Claimed
	for i := range 50_000 {
		claims = append(claims, claimOf("tagrule:owner", "owner", "person", fmt.Sprintf("P%d", i), .5))
	}
	claims = append(claims, claimOf("backstage", "owner", "person", "p49999", .9))
	began := time.Now()
	s := p.Weigh(claims, nil, now)
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("%v", took)
	}
	if len(s.Owners) != 50_000 || !strings.EqualFold(s.Owners[0].ID, "p49999") || !s.Clear {
		t.Errorf("%d owners, first %+v", len(s.Owners), s.Owners[0])
	}
}

func TestACommandToCopyIsOneWordWhateverItsKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tell("cloud", func(r *graph.Run) error { return all(r, node("cloud_resource", "x'; rm -rf $(pwd) #")) })
	x := w.explain(w.estate(nil), "cloud_resource", "x'; rm -rf $(pwd) #")
	if want := `a person's word: backstitch owner assign 'cloud_resource:x'\''; rm -rf $(pwd) #' OWNER`; len(x.Settle) == 0 || x.Settle[0] != want {
		t.Errorf("%q, want %q", x.Settle, want)
	}
}

func TestWhoLeftFallsToTheTeamThenTheManagerVisibly(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	person := func(key string, properties ...string) *fact.Node { return node("person", key, properties...) }
	repo := func(n string) fact.Asset { return asset("repository", "git.test/"+n) }
	w.tell("people", func(r *graph.Run) error {
		return all(r, person("ada", "active", "false", "emails", "ada@a.test, ada@b.test"), person("bo", "left", "2026-05-01", "manager", "cy"), person("cy", "active", "true"),
			person("di", "active", "false", "manager", "ed"), person("ed", "active", "false", "manager", "di"), person("fay", "left", "2027-01-01"),
			node("team", "web"), relation(asset("person", "ada"), fact.MemberOf, asset("team", "web"), fact.Declared),
			relation(asset("team", "web"), fact.PartOf, asset("team", "dept"), fact.Declared), relation(asset("team", "dept"), fact.PartOf, asset("team", "web"), fact.Declared))
	})
	w.tell("code", func(r *graph.Run) error {
		return all(r, claimOn(repo("1"), "code", "primary", "person", "ADA@b.test", .9), claimOn(repo("2"), "code", "primary", "person", "bo", .9), claimOn(repo("3"), "code", "primary", "person", "di", .9),
			claimOn(repo("4"), "code", "primary", "person", "fay", .9))
	})
	e := w.estate(nil)
	for _, c := range []struct{ repo, want, stale, note string }{
		{"1", "team web 0.720", "not active any longer; falls to the team web", "for ada, who is not active any longer; falls to the team web"},
		{"2", "person cy 0.540", "left 2026-05-01; falls to the manager cy", "for bo"},
		{"3", "nobody", "nobody is known who answers instead", ""},
		{"4", "person fay 0.900", "", ""},
	} {
		x := w.explain(e, "repository", "git.test/"+c.repo)
		if got := brief(x); got != c.want || !strings.Contains(strings.Join(x.Stale, "|"), c.stale) {
			t.Errorf("%s: %s, stale %q; want %s, %q", c.repo, got, x.Stale, c.want, c.stale)
		}
		if len(x.Owners) > 0 && !strings.Contains(x.Owners[0].Evidence[0].Detail, c.note) {
			t.Errorf("%s: %q, want %q", c.repo, x.Owners[0].Evidence[0].Detail, c.note)
		}
	}
	// A team that is gone falls to the team that it was part of, and two that were part of each other end.
	w.tell("people", func(r *graph.Run) error { return all(r, node("team", "dept")) })
	w.tell("code", func(r *graph.Run) error { return all(r, claimOn(repo("1"), "code", "owner", "team", "web", .9)) })
	if x := w.explain(e, "repository", "git.test/1"); brief(x) != "team dept 0.720" || !strings.Contains(x.Stale[0], "no source tells of any longer") {
		t.Errorf("%s, %q", brief(x), x.Stale)
	}
}

func TestATagMakesNobodyAnOwnerWhomNobodyKnows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tell("cloud", func(r *graph.Run) error {
		return all(r, node("cloud_resource", "a", "tag:owner", "Web Team", "tag:team", "ghost"), node("cloud_resource", "b", "tag:owner", "ghost", "tag:team", "ghost", "tag:contact", "ghost@x.test"),
			node("cloud_resource", "c", "tag:owner-name", "web"))
	})
	e := w.estate(DefaultTagRules())
	if x := w.explain(e, "cloud_resource", "a"); x.Clear || len(x.Unknown) != 2 {
		t.Errorf("%s %+v, want two unknown", brief(x), x.Unknown)
	}
	w.tell("people", func(r *graph.Run) error { return all(r, node("team", "backstage:group:default/web-team")) })
	if x := w.explain(e, "cloud_resource", "a"); brief(x) != "team backstage:group:default/web-team 0.810" || len(x.Unknown) != 1 {
		t.Errorf("%s %+v, want the team that is known", brief(x), x.Unknown)
	}
	x := w.explain(e, "cloud_resource", "b")
	if x.Clear || x.Owners[0].Confidence > .4 || !strings.Contains(x.Why, "known to no other source") || !strings.Contains(strings.Join(x.Settle, "|"), "a source of people or teams that knows ghost") {
		t.Errorf("%s: %q %q", brief(x), x.Why, x.Settle)
	}
	if x := w.explain(e, "cloud_resource", "c"); !strings.Contains(strings.Join(x.Settle, "|"), "a tag rule that reads owner-name=web") {
		t.Errorf("%q, want the tag that no rule took", x.Settle)
	}
	// A label that the cluster's source reads and a rule reads again is one label.
	w.tell("cluster", func(r *graph.Run) error {
		return all(r, node("workload", "prod/x/Deployment.apps/y", "label:team", "spook"), claimOn(asset("workload", "prod/x/Deployment.apps/y"), "kubernetes", "owner", "team", "spook", .9),
			node("workload", "prod/x/Deployment.apps/z", "label:team", "web-team"), claimOn(asset("workload", "prod/x/Deployment.apps/z"), "kubernetes", "owner", "team", "web-team", .9))
	})
	if x := w.explain(e, "workload", "prod/x/Deployment.apps/y"); x.Clear || len(x.Unknown) != 1 {
		t.Errorf("%s %q", brief(x), x.Unknown)
	}
	if x := w.explain(e, "workload", "prod/x/Deployment.apps/z"); brief(x) != "team backstage:group:default/web-team 0.810" {
		t.Errorf("%s", brief(x))
	}
	// Whom a register names is known, and whom a label on a service names is not.
	w.tell("register", func(r *graph.Run) error {
		return all(r, claimOn(asset("project", "p"), "project", "owner", "team", "registered", .9), claimOn(asset("service", "s"), "kubernetes:c", "owner", "team", "labelled", .9),
			node("cloud_resource", "r1", "tag:team", "Registered"), node("cloud_resource", "r2", "tag:team", "labelled"))
	})
	if x, y := w.explain(e, "cloud_resource", "r1"), w.explain(e, "cloud_resource", "r2"); brief(x) != "team registered 0.810" || y.Clear {
		t.Errorf("%s, %s", brief(x), brief(y))
	}
	// A session's name is hearsay as well: whoever opens it chooses it.
	w.tell("log", func(r *graph.Run) error {
		return all(r, claimOn(asset("cloud_resource", "d"), "auditlog:aws", "creator", "person", "ceo@x.test", 1))
	})
	if x := w.explain(e, "cloud_resource", "d"); x.Clear || len(x.Unknown) != 1 {
		t.Errorf("%s %q", brief(x), x.Unknown)
	}
}

func TestAWordIsKeptOverResyncAndAPinHolds(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, service := asset("cloud_resource", "a"), asset("service", "s")
	sync := func(team string) {
		w.tell("catalog", func(r *graph.Run) error {
			return all(r, node("team", "ops"), node("team", "web"), node("team", "db"), relation(a, fact.PartOf, service, fact.Declared), claimOn(a, "backstage", "owner", "team", team, .9))
		})
	}
	sync("web")
	e := w.estate(nil)
	say := func(verb Verb, subject fact.Asset, team, reason string) error {
		_, err := e.Say(t.Context(), Answer{By: "ada", Subject: subject, Verb: verb, Owner: fact.Party{Kind: "team", ID: team}, Reason: reason})
		return err
	}
	if err := say(Assign, a, "ops", "moved"); err != nil {
		t.Fatal(err)
	}
	sync("db")
	if x := w.explain(e, a.Kind, a.Key); brief(x) != "team ops 1.000" || !strings.Contains(x.Owners[0].Evidence[0].Detail, "moved") || x.Owners[0].Evidence[0].Source != "ada" {
		t.Errorf("%s %+v", brief(x), x.Owners)
	}
	if err := say(Pin, a, "ops", ""); err != nil {
		t.Fatal(err)
	}
	if err := say(Assign, a, "web", ""); err == nil || !strings.Contains(err.Error(), "ada pinned ops") && !strings.Contains(err.Error(), "pinned ops") {
		t.Errorf("an assignment over a pin: %v", err)
	}
	if err := say(Reject, a, "ops", "no"); err == nil {
		t.Error("a pinned owner was rejected")
	}
	if err := say(Unpin, a, "ops", ""); err != nil {
		t.Error(err)
	}
	if err := say(Reject, a, "ops", ""); err == nil {
		t.Error("a rejection without a reason was taken")
	}
	for _, team := range []string{"ops", "db"} {
		if err := say(Reject, a, team, "not ours"); err != nil {
			t.Error(err)
		}
	}
	if x := w.explain(e, a.Kind, a.Key); brief(x) != "nobody" || len(x.Overruled) != 1 || !strings.Contains(x.Overruled[0].Detail, "ada rejected it: not ours") {
		t.Errorf("%s %+v", brief(x), x.Overruled)
	}
	// What was said of the service reaches what is part of it.
	if err := say(Assign, service, "web", ""); err != nil {
		t.Fatal(err)
	}
	if x := w.explain(e, a.Kind, a.Key); brief(x) != "team web 0.850" {
		t.Errorf("inherited: %s", brief(x))
	}
	list, err := History(t.Context(), w.db, a)
	if err != nil || len(list) != 5 || list[0].Verb != Assign || list[0].By != "ada" || list[0].At == 0 || !cmp.Equal(list[0].Wrong, []string{"backstage"}) {
		t.Errorf("history %+v %v", list, err)
	}
	// The answers taught: what a catalog says of resources counts less from now on, and the explanation shows it.
	w.tell("catalog2", func(r *graph.Run) error {
		return all(r, claimOn(asset("cloud_resource", "b"), "backstage", "owner", "team", "web", .9))
	})
	if x := w.explain(e, "cloud_resource", "b"); len(x.Lessons) != 1 || x.Lessons[0].Wrong == 0 || x.Lessons[0].Factor >= 1 || x.Owners[0].Confidence >= .9 || !strings.Contains(x.Owners[0].Evidence[0].Detail, " answers") {
		t.Errorf("learned %+v %+v", x.Lessons, x.Owners)
	}
	if kept, err := Record(t.Context(), w.db, []Answer{list[4]}); err != nil || kept != 0 {
		t.Errorf("the same again: %d kept, %v", kept, err)
	}
}

func TestWhatIsAcceptedInBulkMakesNothingElseSurer(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	service, workload := asset("service", "shop"), asset("workload", "w")
	w.tell("all", func(r *graph.Run) error {
		return all(r, node("team", "web"), relation(workload, fact.PartOf, service, fact.Declared), claimOn(service, "backstage", "owner", "team", "web", .9))
	})
	e := w.estate(nil)
	before := brief(w.explain(e, "workload", "w"))
	for _, want := range []int{1, 0} {
		if b, err := e.AcceptAbove(t.Context(), .85, "ada", false); err != nil || b.Accepted != want {
			t.Fatalf("%+v %v, want %d accepted", b, err, want)
		}
		if got := brief(w.explain(e, "workload", "w")); got != before {
			t.Errorf("after the bulk %s, before %s: nobody looked", got, before)
		}
	}
	// Who looks says more.
	if changed, err := e.Say(t.Context(), Answer{By: "ada", Subject: service, Verb: Accept, Owner: fact.Party{Kind: "team", ID: "web"}}); err != nil || !changed {
		t.Errorf("%v %v, want the word kept", changed, err)
	}
	if got := brief(w.explain(e, "workload", "w")); got == before {
		t.Errorf("after a person's word %s, as before", got)
	}
}

func TestARejectionHoldsAgainstAWordFurtherAway(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	service, workload, pod := asset("service", "shop"), asset("workload", "w"), asset("kubernetes_object", "pod")
	w.tell("all", func(r *graph.Run) error {
		return all(r, node("team", "backstage:group:default/web"), relation(workload, fact.PartOf, service, fact.Declared), relation(workload, fact.Controls, pod, fact.Attested), claimOn(service, "backstage", "owner", "team", "group:default/web", .9))
	})
	e := w.estate(nil)
	web := fact.Party{Kind: "team", ID: "backstage:group:default/web"} // as the directory calls it
	for _, a := range []Answer{{By: "ada", Subject: service, Verb: Assign, Owner: web}, {By: "ada", Subject: workload, Verb: Reject, Owner: web, Reason: "not this one"}} {
		if _, err := e.Say(t.Context(), a); err != nil {
			t.Fatal(err)
		}
	}
	for _, of := range []fact.Asset{workload, pod} {
		if got := brief(w.explain(e, of.Kind, of.Key)); got != "nobody" {
			t.Errorf("%s: %s, want nobody", of.Key, got)
		}
	}
}

func TestAWordIsAskedToBeConfirmedAfterAYear(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := asset("cloud_resource", "a")
	w.tell("cloud", func(r *graph.Run) error { return all(r, *node(a.Kind, a.Key)) })
	e := w.estate(nil)
	say := func() bool {
		t.Helper()
		changed, err := e.Say(t.Context(), Answer{By: "ada", Subject: a, Verb: Accept, Owner: fact.Party{Kind: "team", ID: "ops"}})
		if err != nil {
			t.Fatal(err)
		}
		return changed
	}
	if !say() || say() {
		t.Error("said once, and again the same day")
	}
	w.now = w.now.AddDate(1, 0, 1)
	if x := w.explain(e, a.Kind, a.Key); brief(x) != "team ops 1.000" || len(x.Stale) != 1 || !strings.Contains(x.Stale[0], "366 days ago, and to be confirmed") {
		t.Errorf("%s %q", brief(x), x.Stale)
	}
	if !say() {
		t.Error("a confirmation was not kept")
	}
	if x := w.explain(e, a.Kind, a.Key); len(x.Stale) != 0 {
		t.Errorf("%q", x.Stale)
	}
}

func TestAnswersTeachAndOneNeverOverturns(t *testing.T) {
	t.Parallel()
	p := DefaultPrecedence()
	random := rand.New(rand.NewPCG(7, 7))
	kinds := []string{"backstage:x", "project", "tagrule:owner", "auditlog:aws", "servicenow"}
	for range 2000 {
		var claims []Claimed
		for range 1 + random.IntN(6) {
			claims = append(claims, claimOf(kinds[random.IntN(len(kinds))], "owner", "team", fmt.Sprint("o", random.IntN(3)), .3+random.Float64()*.7))
		}
		learned := newLearned()
		for range random.IntN(30) {
			learned.take(fact.AssetResource, taught{Right: []string{lesson(kinds[random.IntN(len(kinds))])}, Wrong: []string{lesson(kinds[random.IntN(len(kinds))])}})
		}
		w := weigher{p: &p, learned: learned, now: now}
		before := w.weigh(append([]Claimed{}, claims...), nil)
		loser := lesson(kinds[random.IntN(len(kinds))])
		learned.take(fact.AssetResource, taught{Wrong: []string{loser}})
		after := w.weigh(append([]Claimed{}, claims...), nil)
		if before.Clear && after.Clear && (before.Owners[0].ID != after.Owners[0].ID || before.Owners[0].Confidence <= after.Owners[0].Confidence-.001) {
			t.Fatalf("one answer against %s turned %+v into %+v", loser, before.Owners, after.Owners)
		}
	}
	// Many do.
	learned := newLearned()
	for range 60 {
		learned.take(fact.AssetResource, taught{Right: []string{"project"}, Wrong: []string{"backstage"}})
	}
	w := weigher{p: &p, learned: learned, now: now}
	if s := w.weigh([]Claimed{claimOf("backstage:x", "owner", "team", "web", .9), claimOf("project", "owner", "team", "ops", .8)}, nil); first(s) != "team ops" || !s.Clear {
		t.Errorf("after 60 answers %s, clear %v", first(s), s.Clear)
	}
	if l := learned.Lessons([]Claimed{claimOf("backstage:x", "owner", "team", "web", .9)}); len(l) != 1 || l[0].Wrong != 60 || l[0].Factor >= .8 {
		t.Errorf("lessons %+v", l)
	}
}

func TestIdentitiesAreJoinedByAddressAndByNameOnlyWhenThatIsSure(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := func(n string) fact.Asset { return asset("repository", "git.test/"+n) }
	var mails []string
	for i := range 40 {
		mails = append(mails, fmt.Sprintf("m%d@a.test", i))
	}
	named := func(kind, key, name string, properties ...string) fact.Node {
		n := node(kind, key, properties...)
		n.Name = name
		return *n
	}
	w.tell("people", func(r *graph.Run) error {
		return all(r, named("person", "hr:1", "Ada Byron", "emails", strings.Join(mails, ",")), named("person", "hr:2", "John Smith", "emails", "john@hr.test", "active", "false"),
			named("team", "a:1", "Web"), named("team", "a:2", "web"), named("team", "a:3", "Data  Platform"), named("team", "b:9", "data-platform"))
	})
	w.tell("code", func(r *graph.Run) error {
		return all(r, named("person", "m7@a.test", "ada", "email", "m7@a.test"), named("person", "smith@b.test", "John Smith", "email", "smith@b.test"),
			claimOn(repo("1"), "code", "primary", "person", "M33@a.test", .9), claimOn(repo("2"), "code", "primary", "person", "smith@b.test", .9), claimOn(repo("3"), "tagrule:team", "owner", "team", "web", .9),
			claimOn(repo("4"), "x", "owner", "team", "Data Platform", .9), claimOn(repo("4"), "y", "owner", "team", "b:9", .9), claimOn(repo("5"), "tagrule:owner", "owner", "person", "John Smith", .9))
	})
	e := w.estate(nil)
	for _, c := range []struct{ repo, want string }{
		{"1", "person m0@a.test 0.900"},
		{"2", "person smith@b.test 0.900"}, // not the one who left
		{"3", "team web 0.324 not clear"},  // two teams of one source are called so
		{"4", "team a:3 0.863"},            // one team of two sources
		{"5", "person John Smith 0.324 not clear"},
	} {
		if got := brief(w.explain(e, "repository", "git.test/"+c.repo)); got != c.want {
			t.Errorf("%s: %s, want %s", c.repo, got, c.want)
		}
	}
	for text, want := range map[string]string{"Web": "several are called so", "Data Platform": "a:3", "m9@a.test": "m0@a.test", "team:new": "new", "newcomer": "no source knows", "person:John Smith": "John Smith", "John Smith": "several are called so"} {
		p, err := e.Find(t.Context(), text)
		if got := fmt.Sprint(p.ID, err); !strings.Contains(got, want) {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
	// What is gone has no owner.
	w.tell("code", func(r *graph.Run) error { return nil })
	if _, err := e.Explain(t.Context(), repo("1")); !errors.Is(err, graph.ErrNotFound) {
		t.Errorf("what is gone: %v", err)
	}
	// Who is no longer named by code has not left.
	w.tell("code", func(r *graph.Run) error {
		return all(r, claimOn(repo("6"), "project", "owner", "person", "smith@b.test", .9))
	})
	if x := w.explain(e, "repository", "git.test/6"); brief(x) != "person smith@b.test 0.855" || len(x.Stale) != 0 {
		t.Errorf("%s %q", brief(x), x.Stale)
	}
}

func TestPeopleAreJoinedAsPersonListJoinsThem(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	repo := func(n string) fact.Asset { return asset("repository", "git.test/"+n) }
	named := func(kind, key, name string, properties ...string) fact.Node {
		n := node(kind, key, properties...)
		n.Name = name
		return *n
	}
	w.tell("hr", func(r *graph.Run) error {
		return all(r, named("person", "ada@acme.test", "Ada Byron", "id", "scim:1", "emails", "ada@acme.test,desk@acme.test", "logins", "github.com/ada-b", "github", "ada-b"),
			named("person", "bob@acme.test", "Bob Stone", "id", "scim:2", "emails", "bob@acme.test,desk@acme.test"),
			named("person", "zed@acme.test", "Zed Young", "id", "scim:3", "emails", "zed@acme.test", "active", "false"),
			named("person", "ci@acme.test", "Release Machine", "id", "scim:4", "emails", "ci@acme.test", "bot", "true"), relation(asset("person", "ci@acme.test"), fact.MemberOf, asset("team", "tools"), fact.Declared),
			named("team", "tools", "tools"))
	})
	w.tell("forge", func(r *graph.Run) error {
		return all(r, named("person", "backstage:user:default/ab", "A. B.", "logins", "github.com/ADA-B"), named("person", "backstage:user:default/zed", "Zed Young"),
			named("person", "bob@acme.test", "Bob Stone", "id", "opsgenie:user:7", "active", "false"))
	})
	w.tell("claims", func(r *graph.Run) error {
		person := func(n, source, id, name string) fact.Claim {
			c := claimOn(repo(n), source, "owner", "person", id, .9)
			c.Owner.Name = name
			return c
		}
		return all(r, person("login", "backstage", "user:default/ab", "A. B."), person("login", "code", "7+ada-b@users.noreply.github.com", "ada"), person("at", "x", "@ada-b", ""),
			person("shared", "code", "bob@acme.test", "Bob Stone"), person("namesake", "code", "zed@elsewhere.test", "Zed Young"), person("bot", "project", "ci@acme.test", ""))
	})
	e := w.estate(nil)
	for _, c := range []struct{ repo, want string }{
		{"login", "person ada@acme.test 0.990"}, {"at", "person ada@acme.test 0.630"}, {"shared", "person bob@acme.test 0.900"}, // blocked in the on-call system, which ends nothing
		{"namesake", "person zed@elsewhere.test 0.900"}, // not the one who left
		{"bot", "team tools 0.684"},
	} {
		if got := brief(w.explain(e, "repository", "git.test/"+c.repo)); got != c.want {
			t.Errorf("%s: %s, want %s", c.repo, got, c.want)
		}
	}
	accounts, err := GraphAccounts(t.Context(), w.g)
	if err != nil {
		t.Fatal(err)
	}
	h, known := JoinAccounts(accounts, clock).Find("github.com/ada-b")
	if !known || h.ID != "ada@acme.test" || len(h.Accounts) != 2 {
		t.Errorf("person list: %+v, want the same two accounts", h)
	}
}

func TestWhatCodeNamesIsNoDirectory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.tell("hr", func(r *graph.Run) error {
		return all(r, node("person", "ada@acme.test", "id", "scim:1", "emails", "ada@acme.test,ada@home.test"))
	})
	w.tell("code:git.test/acme/shop", func(r *graph.Run) error {
		return all(r, node("team", "@acme/all"), node("person", "ada@acme.test", "email", "ada@acme.test"), node("person", "ada@home.test", "email", "ada@home.test"))
	})
	e := w.estate(nil)
	var d *Directory
	if err := w.db.Read(t.Context(), func(tx store.Tx) (err error) {
		d, err = e.known(t.Context(), tx)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if why, _ := e.replacement(d, "@acme/other"); why != "" {
		t.Errorf("a team that no line names: %q, and no forge was asked", why)
	}
	if p, err := d.Known("ada@home.test"); err != nil || p.ID != "ada@acme.test" {
		t.Errorf("%+v %v, want one person of two addresses", p, err)
	}
}

func TestATeamThatIsGoneFallsToItsParentThoughACatalogStillNamesIt(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	shop, web, retail := asset("service", "shop"), asset("team", "backstage:group:default/web"), asset("team", "backstage:group:default/retail")
	owned := func(confidence float64) []any {
		return []any{node("team", retail.Key), relation(shop, fact.OwnedBy, web, fact.Declared), claimOn(shop, "backstage", "owner", "team", "group:default/web", confidence)}
	}
	e := w.estate(nil)
	w.tell("catalog", func(r *graph.Run) error {
		return all(r, append(owned(.9), node("team", web.Key), relation(web, fact.PartOf, retail, fact.Declared))...)
	})
	if x := w.explain(e, "service", "shop"); brief(x) != "team backstage:group:default/web 0.900" {
		t.Fatal(brief(x))
	}
	w.tell("catalog", func(r *graph.Run) error { return all(r, owned(.4)...) })
	if x := w.explain(e, "service", "shop"); brief(x) != "team backstage:group:default/retail 0.320 not clear" || len(x.Stale) != 1 || !strings.Contains(x.Stale[0], "no source tells of any longer; falls to the team") {
		t.Errorf("%s %q, want the team that it was part of", brief(x), x.Stale)
	}
	// One that was never there is no team that is gone.
	w.tell("other", func(r *graph.Run) error {
		return all(r, relation(asset("service", "till"), fact.OwnedBy, asset("team", "ghosts"), fact.Declared), claimOn(asset("service", "till"), "backstage", "owner", "team", "ghosts", .4))
	})
	if x := w.explain(e, "service", "till"); brief(x) != "team ghosts 0.400 not clear" || len(x.Stale) != 0 {
		t.Errorf("%s %q", brief(x), x.Stale)
	}
}

// TestASurveyAnswersAsAnExplanation compares both over random estates.
func TestASurveyAnswersAsAnExplanation(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		random := rand.New(rand.NewPCG(seed, 9))
		w := newWorld(t)
		kinds := []string{"workload", "image", "repository", "service", "project", "account", "cloud_resource", "terraform_resource", "kubernetes_object"}
		var assets []fact.Asset
		for i := range 60 {
			assets = append(assets, asset(kinds[random.IntN(len(kinds))], fmt.Sprintf("git.test/%d//x", i)))
		}
		one := func() fact.Asset { return assets[random.IntN(len(assets))] }
		for source := range 3 {
			w.tell(fmt.Sprint("s", source), func(r *graph.Run) error {
				if err := all(r, node("person", "p1", "active", "false", "manager", "p2"), node("team", "t1"), node("person", "p2", "email", "p2@x.test"),
					relation(asset("person", "p3"), fact.MemberOf, asset("team", "t1"), fact.Declared), node("person", "p3", "left", "2020-01-01")); err != nil {
					return err
				}
				for range 60 {
					verbs := []fact.RelationKind{fact.PartOf, fact.Controls, fact.InstanceOf, fact.PackagedFrom, fact.DeclaredBy, fact.CreatedBy, fact.DependsOn}
					link := relation(one(), verbs[random.IntN(len(verbs))], one(), strengthOrder[random.IntN(5)])
					if random.IntN(4) == 0 {
						link.Properties = map[string]string{"same": "true", "why": []string{"", "a \"b\""}[random.IntN(2)]}
					}
					if err := all(r, link); err != nil {
						return err
					}
				}
				for range 40 {
					c := claimOn(one(), []string{"backstage", "project", "auditlog:aws", "code"}[random.IntN(4)], []string{"owner", "creator"}[random.IntN(2)],
						[]string{"team", "person"}[random.IntN(2)], []string{"t1", "p1", "p2@x.test", "p3", "zoë \"x\"\\", "un<known"}[random.IntN(6)], float64(random.IntN(5))/4)
					if c.Since = clock.Add(-time.Duration(random.IntN(20000)) * time.Hour).UnixMicro(); random.IntN(5) == 0 {
						c.Until = clock.UnixMicro()
					}
					if err := all(r, c); err != nil {
						return err
					}
				}
				if err := all(r, relation(one(), fact.OwnedBy, asset("team", "t1"), fact.Derived)); err != nil {
					return err
				}
				for range 20 {
					if err := all(r, node(one().Kind, one().Key, []string{"tag:owner", "tag:OWNER", "label:team", "tag:Contact"}[random.IntN(4)], []string{"t1", "a \\ b", "p2@x.test; x", "n/a"}[random.IntN(4)])); err != nil {
						return err
					}
				}
				return nil
			})
		}
		e := w.estate(DefaultTagRules())
		for range 6 {
			a := one()
			if _, err := e.Say(t.Context(), Answer{By: "ada", Subject: a, Verb: []Verb{Assign, Reject, Pin}[random.IntN(3)], Owner: fact.Party{Kind: "team", ID: "t1"}, Reason: "r"}); err != nil && !strings.Contains(err.Error(), "no such asset") {
				t.Fatal(err)
			}
		}
		s, err := e.Survey(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		count := 0
		if err := s.Each(context.Background(), func(one *Surveyed) error {
			count++
			x, err := e.Explain(t.Context(), one.Asset)
			if err != nil {
				return err
			}
			if x.Clear != one.Clear || len(x.Owners) != len(one.Owners) {
				t.Errorf("seed %d %s:%s: %v %+v; explained %v %+v", seed, one.Asset.Kind, one.Asset.Key, one.Clear, one.Owners, x.Clear, x.Owners)
				return nil
			}
			for i, o := range x.Owners {
				o.Evidence = nil
				if diff := cmp.Diff(o, one.Owners[i]); diff != "" {
					t.Errorf("seed %d %s:%s: %s", seed, one.Asset.Kind, one.Asset.Key, diff)
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if count < 50 {
			t.Errorf("%d assets were surveyed", count)
		}
	}
}
