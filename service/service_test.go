package service_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/service"
	"github.com/backstitch/backstitch/store/sqlite"
	"github.com/backstitch/backstitch/store/storetest"
)

func TestQueriesAreInTheCommonSubset(t *testing.T) {
	storetest.CheckQueries(t, sqlite.Open, service.Queries())
}

// estate is a graph that a test fills.
type estate struct {
	*testing.T
	keeper *service.Keeper
	at     time.Time
}

func newEstate(t *testing.T) *estate {
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
	e := &estate{T: t, at: time.UnixMicro(1_700_000_000_000_000)}
	e.keeper = &service.Keeper{DB: db, Graph: graph.Open(db), Now: func() time.Time { e.at = e.at.Add(time.Minute); return e.at }}
	return e
}

// say writes all that a source tells, in place of what it told before.
func (e *estate) say(source string, facts ...any) {
	e.Helper()
	run, err := e.keeper.Graph.Begin(e.Context(), source, e.keeper.Now(), false)
	if err != nil {
		e.Fatal(err)
	}
	for _, one := range facts {
		switch v := one.(type) {
		case fact.Node:
			err = errors.Join(err, run.Node("all", v))
		case fact.Relation:
			v.Evidence = fact.Evidence{Method: "test", Source: source, Strength: fact.Declared}
			err = errors.Join(err, run.Relation("all", v))
		case fact.Claim:
			err = errors.Join(err, run.Claim("all", v))
		}
	}
	if err = errors.Join(err, run.Covered("all")); err != nil {
		e.Fatal(err)
	}
	if _, err := run.Finish(e.Context()); err != nil {
		e.Fatal(err)
	}
}

func workload(key string, labels ...string) fact.Node {
	n := fact.Node{Asset: fact.Asset{Kind: fact.AssetWorkload, Key: key, Name: key[strings.LastIndex(key, "/")+1:]}, Properties: map[string]string{}}
	for _, label := range labels {
		name, value, _ := strings.Cut(label, "=")
		n.Properties[name] = value
	}
	return n
}

func asset(kind, key string) fact.Asset { return fact.Asset{Kind: kind, Key: key} }

// built says which repository a workload's image was built from.
func built(w fact.Node, repository string) []any {
	image := asset(fact.AssetImage, "sha256:"+w.Key)
	return []any{
		fact.Relation{From: w.Asset, Kind: fact.InstanceOf, To: image},
		fact.Relation{From: image, Kind: fact.PackagedFrom, To: asset(fact.AssetRepository, repository)},
	}
}

func component(name string, annotations ...string) fact.Node {
	n := fact.Node{Asset: fact.Asset{Kind: fact.AssetService, Key: "backstage:component:default/" + name, Name: name}, Properties: map[string]string{"kind": "Component"}}
	for _, annotation := range annotations {
		name, value, _ := strings.Cut(annotation, "=")
		n.Properties["annotation:"+name] = value
	}
	return n
}

// list gives the services, one line each: key, name, members.
func (e *estate) list() []string {
	e.Helper()
	found, _, err := e.keeper.Sync(e.Context())
	if err != nil {
		e.Fatal(err)
	}
	return lines(found)
}

func lines(found service.Found) []string {
	var list []string
	for _, s := range found.Services {
		line := s.Key + " (" + s.Name + "):"
		for _, m := range s.Members {
			line += " " + m.Asset.Key
		}
		list = append(list, line)
	}
	return list
}

func TestServicesAreFoundByTheirStrongestReason(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	ecs := fact.Node{Asset: fact.Asset{Kind: fact.AssetWorkload, Key: "arn:aws:ecs:eu-west-1:123456789012:service/prod/cart-prod", Name: "cart-prod"}, Properties: map[string]string{"platform": "ecs"}}
	bare := workload("prod/misc/Deployment.apps/report-prod")
	lambda := fact.Node{Asset: fact.Asset{Kind: fact.AssetWorkload, Key: "arn:aws:lambda:eu-west-1:123456789012:function:mail", Name: "mail"}, Properties: map[string]string{}}
	facts := []any{
		workload("prod/shop/Deployment.apps/web", "label:app.kubernetes.io/part-of=Shop", "label:app.kubernetes.io/name=web"),
		workload("stage/shop/Deployment.apps/web", "label:app.kubernetes.io/part-of=Shop"),
		workload("prod/db-prod/StatefulSet.apps/db", "annotation:meta.helm.sh/release-name=orders-prod", "annotation:meta.helm.sh/release-namespace=db-prod", "label:app.kubernetes.io/name=postgresql"),
		workload("stage/db-stage/StatefulSet.apps/db", "annotation:meta.helm.sh/release-name=orders-stage", "annotation:meta.helm.sh/release-namespace=db-stage"),
		workload("prod/q/Deployment.apps/queue", "helm_release=queue-prod", "label:app.kubernetes.io/name=rabbitmq"),
		workload("prod/g/Deployment.apps/pay", "gitops_source=argocd/Application/pay-prod", "label:app.kubernetes.io/instance=pay-prod"),
		workload("prod/a/Deployment.apps/redis", "label:app.kubernetes.io/name=redis"), workload("prod/b/Deployment.apps/redis", "label:app.kubernetes.io/name=redis"),
		workload("host/compose/api", "label:com.docker.compose.project=wiki"), workload("host/compose/db", "label:com.docker.compose.project=wiki"),
		ecs, bare, lambda,
		workload("arn:aws:lambda:eu-west-1:1:function/archive-Handler-RUML739UKXP0"), workload("arn:aws:lambda:eu-west-1:1:function/x", "tag:aws:cloudformation:stack-name=data-prod"),
		workload("arn:aws:ecs:eu-west-1:1:task-definition/unused:3"), workload("arn:aws:ecs:eu-west-1:1:task-definition/tagged:3", "tag:service=cart"),
		// Objects come with their workloads; what is controlled is of its controller.
		fact.Node{Asset: asset(fact.AssetKubernetes, "prod/shop/Service/web"), Properties: map[string]string{"label:app.kubernetes.io/part-of": "shop"}},
		fact.Node{Asset: asset(fact.AssetKubernetes, "prod/misc/Deployment.apps/report-prod")},
		fact.Node{Asset: asset(fact.AssetKubernetes, "prod/x/ConfigMap/alone"), Properties: map[string]string{"label:app.kubernetes.io/part-of": "nothing-runs"}},
		workload("prod/shop/Pod/web-1", "label:app.kubernetes.io/part-of=other"),
		fact.Relation{From: asset(fact.AssetWorkload, "prod/shop/Deployment.apps/web"), Kind: fact.Controls, To: asset(fact.AssetWorkload, "prod/shop/Pod/web-1")},
	}
	e.say("cluster", append(facts, built(lambda, "github.com/acme/mailer")...)...)
	want := []string{
		"found:ecs/cart (cart): arn:aws:ecs:eu-west-1:123456789012:service/prod/cart-prod",
		"found:helm/db/orders (orders): prod/db-prod/StatefulSet.apps/db stage/db-stage/StatefulSet.apps/db",
		"found:compose/wiki (wiki): host/compose/api host/compose/db",
		"found:named/archive-handler (archive-Handler): arn:aws:lambda:eu-west-1:1:function/archive-Handler-RUML739UKXP0",
		"found:stack/data (data): arn:aws:lambda:eu-west-1:1:function/x",
		"found:tag/cart (cart): arn:aws:ecs:eu-west-1:1:task-definition/tagged:3",
		"found:helm/q/queue (queue): prod/q/Deployment.apps/queue",
		"found:gitops/pay (pay): prod/g/Deployment.apps/pay",
		"found:name/a/redis (redis): prod/a/Deployment.apps/redis",
		"found:name/b/redis (redis): prod/b/Deployment.apps/redis",
		"found:named/report (report): prod/misc/Deployment.apps/report-prod prod/misc/Deployment.apps/report-prod",
		"found:part-of/shop (Shop): prod/shop/Service/web prod/shop/Deployment.apps/web stage/shop/Deployment.apps/web",
		"found:repository/github.com/acme/mailer (mailer): arn:aws:lambda:eu-west-1:123456789012:function:mail",
	}
	got := e.list()
	if diff := cmp.Diff(sorted(want), sorted(got)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(got, e.list()); diff != "" {
		t.Errorf("the second run differs: %s", diff)
	}
	_, summary, err := e.keeper.Sync(t.Context())
	if err != nil || summary.Nodes.Written()+summary.Edges.Written() != 0 {
		t.Errorf("an unchanged estate wrote %+v, %v", summary, err)
	}
	view, err := e.keeper.Graph.Asset(t.Context(), fact.AssetService, "found:part-of/shop", time.Time{})
	if err != nil || !strings.Contains(view.Properties["why"], "label app.kubernetes.io/part-of=Shop") || len(view.In) != 3 || view.In[0].Evidence[0].Source != "cluster" {
		t.Errorf("in the graph: %+v, %v", view, err)
	}
	view, err = e.keeper.Graph.Asset(t.Context(), fact.AssetRepository, "github.com/acme/mailer", time.Time{})
	if err != nil || len(view.Out) != 1 || view.Out[0].Asset.Key != "found:repository/github.com/acme/mailer" {
		t.Errorf("the repository that only one service is built from: %+v, %v", view.Out, err)
	}
	found, err := e.keeper.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]fact.Strength{"report": fact.Guess, "orders": fact.Attested, "Shop": fact.Declared, "mailer": fact.Derived} {
		if s, err := found.Service(name); err != nil || len(s.Reasons) == 0 || s.Reasons[0].Strength != want {
			t.Errorf("%s: %+v, %v; want strength %s", name, s, err, want)
		}
	}
}

func sorted(list []string) []string { return slices.Sorted(slices.Values(list)) }

func TestAnEntityOfTheCatalogIsTheServiceAndNoSecondOne(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	web, cart, mail := workload("prod/shop/Deployment.apps/web", "label:backstage.io/kubernetes-id=shop", "label:app.kubernetes.io/part-of=x"), workload("prod/cart/Deployment.apps/cart", "label:app=cart", "label:tier=front"), workload("prod/mail/Deployment.apps/mailer", "label:app.kubernetes.io/part-of=mail")
	one, two := workload("prod/mono/Deployment.apps/one", "label:app.kubernetes.io/name=one"), workload("prod/mono/Deployment.apps/three", "label:app.kubernetes.io/name=three")
	e.say("cluster", append(append(append(built(mail, "github.com/acme/mail"), built(one, "github.com/acme/mono")...), built(two, "github.com/acme/mono")...), web, cart, mail, one, two)...)
	source := func(repository, name string) fact.Relation {
		return fact.Relation{From: asset(fact.AssetRepository, repository), Kind: fact.PartOf, To: component(name).Asset}
	}
	e.say("catalog",
		component("the-shop", "backstage.io/kubernetes-id=shop", "pagerduty.com/service-id=P1"),
		component("the-cart", "backstage.io/kubernetes-label-selector=app=cart,tier=front"),
		component("the-mail"), component("one"), component("two"), component("unused"),
		source("github.com/acme/mail", "the-mail"), source("github.com/acme/mono", "one"), source("github.com/acme/mono", "two"),
		fact.Claim{Subject: component("the-shop").Asset, Owner: fact.Party{Kind: "team", ID: "web", Name: "Web"}, Role: "owner", Source: "backstage", Confidence: .9,
			Evidence: fact.Evidence{Method: "spec.owner", Source: "catalog", Strength: fact.Declared}},
		fact.Node{Asset: fact.Asset{Kind: fact.AssetService, Key: "backstage:system:default/sales", Name: "sales"}, Properties: map[string]string{"kind": "System"}},
	)
	e.say("oncall",
		fact.Node{Asset: fact.Asset{Kind: fact.AssetService, Key: "pagerduty:service:P1", Name: "Shop of Acme"}, Properties: map[string]string{"status": "active"}},
		fact.Node{Asset: fact.Asset{Kind: fact.AssetService, Key: "pagerduty:service:P2", Name: "The Cart"}, Properties: map[string]string{"status": "active"}},
		fact.Claim{Subject: asset(fact.AssetService, "pagerduty:service:P1"), Owner: fact.Party{Kind: "person", ID: "ada@acme.test", Name: "Ada"}, Role: "on_call", Source: "pagerduty", Confidence: .8,
			Evidence: fact.Evidence{Method: "schedule", Source: "oncall", Strength: fact.Declared}},
	)
	want := []string{
		"backstage:component:default/one (one): prod/mono/Deployment.apps/one",
		"backstage:component:default/the-cart (the-cart): prod/cart/Deployment.apps/cart",
		"backstage:component:default/the-mail (the-mail): prod/mail/Deployment.apps/mailer",
		"backstage:component:default/the-shop (the-shop): prod/shop/Deployment.apps/web",
		"backstage:component:default/two (two):",
		"backstage:component:default/unused (unused):",
		"found:name/mono/three (three): prod/mono/Deployment.apps/three",
	}
	if diff := cmp.Diff(want, sorted(e.list())); diff != "" {
		t.Error(diff)
	}
	claims, err := e.keeper.Graph.Claims(t.Context(), asset(fact.AssetWorkload, web.Key), graph.ClaimOptions{})
	var owners []string
	for _, c := range claims {
		owners = append(owners, fmt.Sprintf("%s %s over %d steps", c.Owner.ID, c.Role, len(c.Via)))
	}
	if diff := cmp.Diff([]string{"web owner over 1 steps", "ada@acme.test on_call over 2 steps"}, owners); diff != "" || err != nil {
		t.Errorf("the owners of the service reach its workload: %s %v", diff, err)
	}
	found, err := e.keeper.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s, err := found.Service("the-cart"); err != nil || len(s.Same) != 1 || s.Same[0].Asset.Key != "pagerduty:service:P2" || s.Same[0].Strength != fact.Guess {
		t.Errorf("a service that alone is called so: %+v, %v", s, err)
	}
}

func TestAnAnnotationOfTwoEntitiesIsToldOfAndNotTaken(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	e.say("cluster", workload("prod/shop/Deployment.apps/web", "label:backstage.io/kubernetes-id=shop"))
	e.say("catalog", component("a", "backstage.io/kubernetes-id=shop"), component("b", "backstage.io/kubernetes-id=shop"), component("c", "backstage.io/kubernetes-label-selector=app in (x)"))
	found, err := e.keeper.Find(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s, err := found.Service("shop"); err != nil || s.Key != "found:kubernetes-id/shop" || len(found.Notes) != 2 || !strings.Contains(found.Notes[0], "2 entities") {
		t.Errorf("%+v, %v, notes %q", s, err, found.Notes)
	}
}

func TestWhatPeopleSaySurvivesTheNextSync(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	web, api, job := workload("prod/shop/Deployment.apps/web", "label:app.kubernetes.io/part-of=shop"), workload("prod/shop/Deployment.apps/api", "label:app.kubernetes.io/part-of=shop"), workload("prod/jobs/CronJob.batch/night", "label:app.kubernetes.io/part-of=jobs")
	e.say("cluster", web, api, job)
	e.say("catalog", component("store"))
	k := e.keeper
	if err := errors.Join(
		k.Split(t.Context(), "ada", "another team runs it", "shop", "Interfaces", []string{"api"}),
		k.Merge(t.Context(), "ada", "", "jobs", "found:part-of/shop"),
		k.Rename(t.Context(), "ada", "", "found:part-of/jobs", "The shop"),
		k.Merge(t.Context(), "bob", "", "The shop", "store"),
	); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"backstage:component:default/store (store): prod/jobs/CronJob.batch/night prod/shop/Deployment.apps/web",
		"found:split/interfaces (Interfaces): prod/shop/Deployment.apps/api",
	}
	if diff := cmp.Diff(want, sorted(e.list())); diff != "" {
		t.Error(diff)
	}
	// The estate changes: one more in the shop, and the job is labelled anew.
	more := workload("prod/shop/Deployment.apps/search", "label:app.kubernetes.io/part-of=shop")
	job.Properties["label:app.kubernetes.io/part-of"] = "night"
	e.say("cluster", web, api, job, more)
	want = []string{
		"backstage:component:default/store (store): prod/shop/Deployment.apps/search prod/shop/Deployment.apps/web",
		"found:part-of/night (night): prod/jobs/CronJob.batch/night",
		"found:split/interfaces (Interfaces): prod/shop/Deployment.apps/api",
	}
	found, _, err := k.Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, sorted(lines(found))); diff != "" {
		t.Error(diff)
	}
	if len(found.Notes) == 0 || !strings.Contains(strings.Join(found.Notes, "|"), "there is no service found:part-of/jobs any longer; it is kept") {
		t.Errorf("notes %q; want the edit that names nothing", found.Notes)
	}
	// The catalog is gone: the human's word still joins what it joined.
	e.say("catalog")
	if got := e.list(); len(got) != 3 || !strings.HasPrefix(sorted(got)[0], "backstage:component:default/store (The shop): prod/shop/Deployment.apps/search prod/shop/Deployment.apps/web") {
		t.Errorf("without the catalog: %q", got)
	}
}

func TestAWorkloadIsSplitOffTogetherWithItsObject(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	web, api := workload("prod/shop/Deployment.apps/web", "label:app.kubernetes.io/part-of=shop"), workload("prod/shop/Deployment.apps/api", "label:app.kubernetes.io/part-of=shop")
	object := fact.Node{Asset: fact.Asset{Kind: fact.AssetKubernetes, Key: api.Key, Name: api.Name}, Properties: api.Properties}
	e.say("cluster", web, api, object, fact.Relation{From: api.Asset, Kind: fact.PartOf, To: object.Asset, Properties: map[string]string{"same": "true"}})
	if err := e.keeper.Split(t.Context(), "ada", "", "shop", "api", []string{"workload:" + api.Key}); err != nil {
		t.Fatal(err)
	}
	found, _, err := e.keeper.Sync(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s, err := found.Service("api"); err != nil || len(s.Members) != 2 {
		t.Errorf("%+v, %v; want the workload and its object, which would else keep the workload with the old owner", s, err)
	}
}

func TestTagsOfTheResourceBehindAWorkloadCount(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	function := fact.Asset{Kind: fact.AssetWorkload, Key: "arn:aws:lambda:eu-west-1:1:function:pay-prod-handler", Name: "pay-prod-handler"}
	resource := fact.Asset{Kind: fact.AssetResource, Key: function.Key, Name: function.Name}
	e.say("cloud", fact.Node{Asset: function, Properties: map[string]string{"platform": "lambda"}}, fact.Node{Asset: resource, Properties: map[string]string{"tag:Service": "payments-prod"}},
		fact.Relation{From: function, Kind: fact.PartOf, To: resource})
	if diff := cmp.Diff([]string{"found:tag/payments (payments): " + function.Key}, e.list()); diff != "" {
		t.Error(diff)
	}
}

func TestWhatCannotBeANameIsNone(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	e.say("cluster", workload("prod/a/Deployment.apps/web", "label:app.kubernetes.io/part-of="+strings.Repeat("x", 10_000), "label:app.kubernetes.io/name=a\nb", "label:app=web"))
	if diff := cmp.Diff([]string{"found:name/a/web (web): prod/a/Deployment.apps/web"}, e.list()); diff != "" {
		t.Error(diff)
	}
}

func TestImpossibleEditsAreRefused(t *testing.T) {
	t.Parallel()
	e := newEstate(t)
	e.say("cluster", workload("prod/a/Deployment.apps/redis", "label:app=redis"), workload("prod/b/Deployment.apps/redis", "label:app=redis"), workload("prod/c/Deployment.apps/web", "label:app=web"))
	k, ctx := e.keeper, t.Context()
	for name, c := range map[string]struct {
		err  error
		want string
	}{
		"an unknown service":  {k.Rename(ctx, "ada", "", "nothing", "x"), "there is no such service"},
		"two of one name":     {k.Rename(ctx, "ada", "", "redis", "x"), "found:name/a/redis, found:name/b/redis"},
		"a name of two lines": {k.Rename(ctx, "ada", "", "web", "a\nb"), "in one line"},
		"into itself":         {k.Merge(ctx, "ada", "", "web", "found:name/c/web"), "one service already"},
		"another's member":    {k.Split(ctx, "ada", "", "web", "x", []string{"redis"}), "none of its 1 members"},
		"no member":           {k.Split(ctx, "ada", "", "web", "x", nil), "expected members"},
	} {
		if c.err == nil || !strings.Contains(c.err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, c.err, c.want)
		}
	}
	if edits, err := k.Edits(ctx); err != nil || len(edits) != 0 {
		t.Errorf("kept %+v, %v", edits, err)
	}
}

func TestAHundredThousandWorkloadsAreGrouped(t *testing.T) {
	if testing.Short() {
		t.Skip("writes a hundred thousand assets")
	}
	e := newEstate(t)
	var facts []any
	for n := range 100_000 {
		facts = append(facts, workload(fmt.Sprintf("c%d/ns%d/Deployment.apps/w%d", n%5, n%500, n), fmt.Sprintf("label:app.kubernetes.io/part-of=s%d", n%2000)))
	}
	e.say("cluster", facts...)
	start := time.Now()
	found, err := e.keeper.Find(t.Context())
	if err != nil || len(found.Services) != 2000 || len(found.Services[0].Members) != 50 {
		t.Fatalf("%d services, %v", len(found.Services), err)
	}
	t.Logf("found in %v", time.Since(start))
}
