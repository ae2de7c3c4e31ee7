package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestServicesAreFoundAndStayAsPeopleSay(t *testing.T) {
	t.Parallel()
	state, cloud, catalog := t.TempDir(), t.TempDir(), t.TempDir()
	write := func(dir, name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(want int, args ...string) (out, stderr string) {
		t.Helper()
		code, out, stderr := command(t, state, args...)
		if code != want {
			t.Fatalf("%v: exit code %d, want %d: %s", args, code, want, stderr)
		}
		return out, stderr
	}
	service := func(name string) string {
		arn := "arn:aws:ecs:eu-west-1:123456789012:service/prod/" + name
		return fmt.Sprintf(`{"serviceArn": %q, "serviceName": %q, "clusterArn": "arn:aws:ecs:eu-west-1:123456789012:cluster/prod", "status": "ACTIVE"}`, arn, name)
	}
	write(cloud, "services.json", `{"services": [`+service("cart-prod")+","+service("mail-prod")+`], "failures": []}`)
	entities := func(count int) {
		var text strings.Builder
		for n := range count {
			fmt.Fprintf(&text, "---\napiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: c%d}\nspec: {type: service, owner: web}\n", n)
		}
		write(catalog, "catalog-info.yaml", text.String())
	}
	entities(12)
	run(exitIncomplete, "service", "list")
	run(exitClean, "source", "add", "aws", "cloud", "--set", "path="+cloud)
	run(exitClean, "source", "add", "backstage", "catalog", "--set", "path="+catalog)
	run(exitClean, "source", "sync")
	if out, _ := run(exitClean, "service", "list"); !strings.Contains(out, "found:ecs/cart                   ECS service cart-prod") || !strings.Contains(out, "backstage:component:default/c3") {
		t.Errorf("list:\n%s", out)
	}
	run(exitClean, "service", "merge", "cart", "c3", "--reason", "it is the cart")
	run(exitClean, "service", "rename", "mail", "Letters")
	run(exitFailure, "service", "rename", "nothing", "x")
	run(exitFailure, "service", "merge", "cart", "c3")
	// More than half of the catalog is missing: it is kept, and what people said holds.
	entities(5)
	if _, stderr := run(exitIncomplete, "source", "sync"); !strings.Contains(stderr, "too much for one run") {
		t.Errorf("sync: %s", stderr)
	}
	var shown struct {
		Key, Catalog string
		Members      []struct{ Asset struct{ Key string } }
	}
	out, _ := run(exitClean, "service", "show", "c3", "-o", "json")
	if err := json.Unmarshal([]byte(out), &shown); err != nil || shown.Catalog != "backstage" || len(shown.Members) == 0 || !strings.HasSuffix(shown.Members[0].Asset.Key, "cart-prod") {
		t.Errorf("show: %s %v", out, err)
	}
	if out, _ := run(exitClean, "service", "list"); !strings.Contains(out, "Letters") || strings.Count(out, "nothing that runs was found for it") != 12-1 {
		t.Errorf("list after the sync:\n%s", out)
	}
	if out, _ := run(exitClean, "graph", "show", "service:backstage:component:default/c3"); !strings.Contains(out, "ECS service cart-prod") || !strings.Contains(out, "web") {
		t.Errorf("in the graph:\n%s", out)
	}
	run(exitClean, "source", "sync", "--accept-shrink")
	if out, _ := run(exitClean, "service", "list"); strings.Contains(out, "c11") {
		t.Errorf("list after the loss was accepted:\n%s", out)
	}
	run(exitClean, "service", "split", "c3", "Basket", shown.Members[0].Asset.Key)
	if out, _ := run(exitClean, "service", "show", "Basket"); !strings.Contains(out, "found:split/basket") || !strings.Contains(out, "split off by "+actor()) {
		t.Errorf("show Basket:\n%s", out)
	}
}

func TestOwnersOfAServiceReachItsWorkloadAndLeaversFallBack(t *testing.T) {
	t.Parallel()
	state, dir := t.TempDir(), t.TempDir()
	run := func(want int, args ...string) string {
		t.Helper()
		code, out, stderr := command(t, state, args...)
		if code != want {
			t.Fatalf("%v: exit code %d, want %d: %s", args, code, want, stderr)
		}
		return out
	}
	for name, text := range map[string]string{
		"kubernetes/all.json": `{"apiVersion": "v1", "kind": "List", "items": [
			{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "namespace": "shop", "labels": {"backstage.io/kubernetes-id": "shop"}},
			 "spec": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "w", "image": "web:1"}]}}}}]}`,
		"backstage/catalog-info.yaml": "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: shop, annotations: {backstage.io/kubernetes-id: shop, pagerduty.com/service-id: V1}}\n" +
			"spec: {type: service, owner: web}\n---\napiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {name: web}\nspec: {type: team, children: []}\n",
		"pagerduty/all.json": `{"users": [{"id": "U1", "name": "Ada", "email": "ada@acme.test"}]}
			{"escalation_policies": [{"id": "P1", "name": "Web", "escalation_rules": [{"targets": [{"id": "U1", "type": "user_reference"}]}]}]}
			{"services": [{"id": "V1", "name": "Shop", "escalation_policy": {"id": "P1"}}]}`,
		"scim/Users.json": `{"totalResults": 2, "Resources": [{"id": "1", "userName": "ada@acme.test", "displayName": "Ada Lovelace", "active": false,
			"urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"manager": {"value": "3"}}}, {"id": "3", "userName": "eve@acme.test", "displayName": "Eve Evans", "active": true}]}`,
	} {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		kind := filepath.Base(filepath.Dir(at))
		args := []string{"source", "add", kind, kind, "--set", "path=" + filepath.Dir(at)}
		if kind == "kubernetes" {
			args = append(args, "--set", "cluster=prod")
		}
		run(exitClean, args...)
	}
	run(exitIncomplete, "source", "sync") // the export of the cluster holds no nodes
	out := run(exitClean, "owner", "explain", "workload:prod/shop/Deployment.apps/web")
	if !strings.Contains(out, "team web (owner)") || !strings.Contains(out, "person Eve Evans (on_call)") || !strings.Contains(out, "who is not active any longer; falls to the manager Eve Evans") {
		t.Errorf("owners of the workload:\n%s", out)
	}
}
