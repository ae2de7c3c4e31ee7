package issue_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
	"github.com/backstitch/backstitch/issue"
	"github.com/backstitch/backstitch/store/sqlite"
)

// town fills a graph with two workloads of one image: one that the internet reaches
// and that acts as an administrator through a second role, and one apart.
func town(t *testing.T) *graph.Graph {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "state.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	g := graph.Open(db)
	run, err := g.Begin(t.Context(), "cluster", time.UnixMicro(1_700_000_000_000_000), false)
	if err != nil {
		t.Fatal(err)
	}
	node := func(kind, key string, properties map[string]string) {
		if err := run.Node("all", fact.Node{Asset: fact.Asset{Kind: kind, Key: key, Name: key}, Properties: properties}); err != nil {
			t.Fatal(err)
		}
	}
	edge := func(fromKind, from string, kind fact.RelationKind, toKind, to string) {
		err := run.Relation("all", fact.Relation{
			From: fact.Asset{Kind: fromKind, Key: from, Name: from}, Kind: kind, To: fact.Asset{Kind: toKind, Key: to, Name: to},
			Evidence: fact.Evidence{Method: "told", Source: "test", Strength: fact.Declared},
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	node(fact.AssetWorkload, "east/prod/Deployment.apps/web", map[string]string{"namespace": "prod"})
	node(fact.AssetWorkload, "east/lab/Deployment.apps/web", map[string]string{"label:environment": "dev"})
	for _, key := range []string{"east/prod/Deployment.apps/web", "east/lab/Deployment.apps/web"} {
		edge(fact.AssetWorkload, key, fact.InstanceOf, fact.AssetImage, "sha256:1")
	}
	node(fact.AssetWorkload, "east/jobs/Deployment.apps/worker", nil)
	tagged := fact.Asset{Kind: fact.AssetImage, Key: "sha256:manifest", Name: "acme/web:1"}
	if err := run.Relation("all", fact.Relation{From: fact.Asset{Kind: fact.AssetWorkload, Key: "east/jobs/Deployment.apps/worker"}, Kind: fact.InstanceOf, To: tagged,
		Evidence: fact.Evidence{Method: "told", Source: "test", Strength: fact.Declared}}); err != nil {
		t.Fatal(err)
	}
	edge(fact.AssetKubernetes, "prod/Deployment/web", fact.DeclaredAt, fact.AssetFile, "web.yaml") // as an earlier look tells it
	edge(fact.AssetKubernetes, "east/prod/Deployment.apps/web", fact.Controls, fact.AssetKubernetes, "east/prod/ReplicaSet.apps/web-7d9f8c4d5")
	edge(fact.AssetImage, "acme/web:1", fact.InstanceOf, fact.AssetImage, "sha256:config") // as reports tell it
	edge(fact.AssetImage, "sha256:1", fact.PackagedFrom, fact.AssetRepository, "github.com/acme/web")
	edge(fact.AssetInternet, "internet", fact.Exposes, fact.AssetKubernetes, "east/prod/Ingress/web")
	edge(fact.AssetKubernetes, "east/prod/Ingress/web", fact.Exposes, fact.AssetKubernetes, "east/prod/Deployment.apps/web")
	node(fact.AssetIdentity, "sa/web", map[string]string{"privileges": "read"})
	node(fact.AssetIdentity, "arn:role/web", map[string]string{"privileges": "admin"})
	edge(fact.AssetWorkload, "east/prod/Deployment.apps/web", fact.RunsAs, fact.AssetIdentity, "sa/web")
	edge(fact.AssetIdentity, "sa/web", fact.CanAssume, fact.AssetIdentity, "arn:role/web")
	edge(fact.AssetWorkload, "east/prod/Deployment.apps/web", fact.PartOf, fact.AssetService, "shop")
	edge(fact.AssetService, "shop", fact.PartOf, fact.AssetProject, "retail/shop")
	node(fact.AssetProject, "retail/shop", map[string]string{"impact": "critical"})
	node(fact.AssetResource, "i-open", map[string]string{"public_ip": "203.0.113.9"})
	node(fact.AssetResource, "i-inside", nil)
	edge(fact.AssetInternet, "internet", fact.Exposes, fact.AssetResource, "sg-open")
	for _, key := range []string{"i-open", "i-inside"} {
		edge(fact.AssetResource, "sg-open", fact.Guards, fact.AssetResource, key)
	}
	node(fact.AssetResource, "arn:bucket", map[string]string{"tag:Env": "staging"})
	if err := run.Covered("all"); err != nil {
		t.Fatal(err)
	}
	if _, err := run.Finish(t.Context()); err != nil {
		t.Fatal(err)
	}
	return g
}

func TestSurroundingsAreThoseOfTheWorstWorkload(t *testing.T) {
	t.Parallel()
	around, err := issue.NewSurroundings(t.Context(), town(t))
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]string{"sha256:config": "acme/web:1", "sha256:another": "acme/web:2", "sha256:bare": "acme/web"}
	for _, c := range []struct {
		kind, key string
		want      issue.Situation
	}{
		{fact.AssetRepository, "github.com/acme/web", issue.Situation{Exposure: issue.ExposureInternet, Privileges: issue.PrivilegesAdmin, Environment: issue.EnvironmentProduction, Impact: issue.ImpactHigh}},
		{fact.AssetImage, "sha256:1", issue.Situation{Exposure: issue.ExposureInternet, Privileges: issue.PrivilegesAdmin, Environment: issue.EnvironmentProduction, Impact: issue.ImpactHigh}},
		{fact.AssetKubernetes, "prod/Deployment/web", issue.Situation{Exposure: issue.ExposureInternet, Privileges: issue.PrivilegesAdmin, Environment: issue.EnvironmentProduction, Impact: issue.ImpactHigh}},
		{fact.AssetKubernetes, "prod/Pod/web-7d9f8c4d5-x7k2p", issue.Situation{Exposure: issue.ExposureInternet, Privileges: issue.PrivilegesAdmin, Environment: issue.EnvironmentProduction, Impact: issue.ImpactHigh}},
		{fact.AssetKubernetes, "prod/ReplicaSet.apps/web-7d9f8c4d5", issue.Situation{Exposure: issue.ExposureInternet, Privileges: issue.PrivilegesAdmin, Environment: issue.EnvironmentProduction, Impact: issue.ImpactHigh}},
		{fact.AssetKubernetes, "west/prod/Deployment/web", issue.Situation{}},
		{fact.AssetKubernetes, "prod/Deployment/other", issue.Situation{}},
		{fact.AssetKubernetes, "east/lab/Deployment.apps/web", issue.Situation{Exposure: issue.ExposureNone, Environment: issue.EnvironmentDevelopment}},
		{fact.AssetImage, "sha256:config", issue.Situation{Exposure: issue.ExposureNone}},
		{fact.AssetImage, "sha256:another", issue.Situation{}},
		{fact.AssetImage, "sha256:bare", issue.Situation{}},
		{fact.AssetResource, "arn:bucket", issue.Situation{Environment: issue.EnvironmentStaging}},
		{fact.AssetResource, "i-open", issue.Situation{Exposure: issue.ExposureInternet}},
		{fact.AssetResource, "i-inside", issue.Situation{}},
		{fact.AssetRepository, "github.com/acme/unknown", issue.Situation{}},
	} {
		got, err := around.Of(t.Context(), []fact.Asset{{Kind: c.kind, Key: c.key, Name: names[c.key]}})
		if err != nil {
			t.Fatal(err)
		}
		why := got.Why
		got.Why = issue.SituationEvidence{}
		if got != c.want {
			t.Errorf("%s %s: %+v, want %+v", c.kind, c.key, got, c.want)
		}
		if c.want.Privileges == issue.PrivilegesAdmin && !strings.Contains(why.Exposure, "internet > east/prod/Ingress/web > east/prod/Deployment.apps/web") {
			t.Errorf("%s: the way from outside is %q", c.key, why.Exposure)
		}
		if c.want.Privileges == issue.PrivilegesAdmin && why.Privileges != "runs_as sa/web, can_assume arn:role/web" {
			t.Errorf("%s: the way to the privileges is %q", c.key, why.Privileges)
		}
	}
}

func TestWithoutAGraphNothingIsTold(t *testing.T) {
	t.Parallel()
	around, err := issue.NewSurroundings(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	got, err := around.Of(t.Context(), []fact.Asset{{Kind: fact.AssetImage, Key: "sha256:1"}})
	if err != nil || got != (issue.Situation{}) {
		t.Errorf("%+v, %v", got, err)
	}
}
