package kubernetes

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/fact"
)

const digest = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

// helmSecret encodes a release as Helm keeps it.
func helmSecret(t *testing.T, namespace, name, release string) string {
	t.Helper()
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	if _, err := z.Write([]byte(release)); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	data := base64.StdEncoding.EncodeToString([]byte(base64.StdEncoding.EncodeToString(packed.Bytes())))
	return fmt.Sprintf(`{"apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1", "metadata": {"name": "sh.helm.release.v1.%s.v1", "namespace": %q, "labels": {"owner": "helm"}}, "data": {"release": %q}}`, name, namespace, data)
}

// estate is an exported cluster.
const estate = `
-- core.json --
{"apiVersion": "v1", "kind": "List", "items": [
 {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {"team": "storefront"}}},
 {"apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"}, "spec": {"providerID": "aws:///eu-west-1a/i-1"}, "status": {"addresses": [{"type": "InternalIP", "address": "10.0.0.1"}], "nodeInfo": {"kubeletVersion": "v1.33.1"}}},
 {"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": {"name": "db", "namespace": "shop", "annotations": {"kubectl.kubernetes.io/last-applied-configuration": "{\"data\": \"hunter2\"}"}}, "data": {"password": "hunter2"}},
 {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "conf", "namespace": "shop"}, "data": {"password": "hunter2"}},
 {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "web", "namespace": "shop", "annotations": {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/web"}}},
 {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default", "namespace": "shop"}},
 {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"}, "spec": {"selector": {"app": "web"}, "ports": [{"port": 80}]}},
 {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "db", "namespace": "shop"}, "spec": {"type": "NodePort", "selector": {"app": "db"}, "ports": [{"port": 5432}]}},
 {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "inside", "namespace": "shop", "annotations": {"service.beta.kubernetes.io/aws-load-balancer-internal": "true"}}, "spec": {"type": "LoadBalancer", "selector": {"app": "web"}}}
]}
-- workloads.yaml --
apiVersion: v1
items:
- apiVersion: apps/v1
  kind: Deployment
  metadata:
    name: web
    namespace: shop
    labels:
      app.kubernetes.io/managed-by: Helm
      helm.sh/chart: web-1.2.0
    annotations:
      meta.helm.sh/release-name: web
      meta.helm.sh/release-namespace: shop
      example.com/owner: ann@example.com
  spec:
    replicas: 2
    template:
      metadata: {labels: {app: web}}
      spec:
        serviceAccountName: web
        containers:
        - name: web
          image: ghcr.io/acme/web:1.2
          env: [{name: TOKEN, value: hunter2}]
          securityContext: {privileged: true}
- apiVersion: apps/v1
  kind: StatefulSet
  metadata: {name: db, namespace: shop, annotations: {argocd.argoproj.io/tracking-id: "front:apps/StatefulSet:shop/db"}}
  spec:
    template:
      metadata: {labels: {app: db}}
      spec: {containers: [{name: db, image: "postgres:16"}]}
- apiVersion: argoproj.io/v1alpha1
  kind: Application
  metadata: {name: front, namespace: argocd}
  spec: {source: {repoURL: "https://github.com/acme/deploy.git", path: shop, targetRevision: main}}
kind: List
-- pods.json --
{"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": [
 {"metadata": {"name": "web-1-a", "namespace": "shop", "labels": {"app": "web"}, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "controller": true}]},
  "spec": {"serviceAccountName": "web", "containers": [{"name": "web", "image": "ghcr.io/acme/web:1.2"}]}, "status": {"phase": "Running", "containerStatuses": [{"name": "web", "imageID": "ghcr.io/acme/web@` + digest + `"}]}},
 {"metadata": {"name": "train-x", "namespace": "shop", "labels": {"app": "train"}, "ownerReferences": [{"apiVersion": "ml.example.com/v1", "kind": "TrainingJob", "name": "train", "controller": true}]},
  "spec": {"containers": [{"name": "t", "image": "train:1"}]}, "status": {"phase": "Running", "containerStatuses": [{"name": "t", "imageID": "docker://sha256:bb"}]}},
 {"metadata": {"name": "lone", "namespace": "shop"}, "spec": {"containers": [{"name": "l", "image": "busybox"}]}}]}
-- more/net.yaml --
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-1, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, controller: true}]}
spec: {template: {spec: {containers: [{name: web, image: old}]}}}
---
apiVersion: apps/v1
kind: ReplicaSet
metadata: {name: web-0, namespace: shop, ownerReferences: [{apiVersion: apps/v1, kind: Deployment, name: web, controller: true}]}
spec: {replicas: 0}
---
apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: web, namespace: shop}
spec:
  ingressClassName: nginx
  rules: [{host: shop.example.com, http: {paths: [{backend: {service: {name: web}}}]}}]
status: {loadBalancer: {ingress: [{ip: 203.0.113.7}]}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: web, namespace: shop}
spec: {podSelector: {matchLabels: {app: web}}, ingress: [{}]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: web}
roleRef: {kind: ClusterRole, name: cluster-admin}
subjects: [{kind: ServiceAccount, name: web, namespace: shop}, {kind: Group, name: ops}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: look, namespace: shop}
rules: [{apiGroups: [""], resources: [pods], verbs: [get, list]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: look, namespace: shop}
roleRef: {kind: Role, name: look}
subjects: [{kind: ServiceAccount, name: default}]
`

const clusterARN = "arn:aws:eks:eu-west-1:111122223333:cluster/prod"

func unpack(t *testing.T, archive string) string {
	t.Helper()
	dir := t.TempDir()
	for _, file := range txtar.Parse([]byte(archive)).Files {
		write(t, filepath.Join(dir, filepath.FromSlash(file.Name)), string(file.Data))
	}
	return dir
}

func write(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestAnExportHoldsWhatEverySourceMust(t *testing.T) {
	t.Parallel()
	connectortest.Conformance(t, New(), map[string]string{"path": unpack(t, estate), "cluster": clusterARN})
}

func TestAnExportedClusterLeadsFromTheInternetToImagesRolesAndRepositories(t *testing.T) {
	t.Parallel()
	dir := unpack(t, estate)
	write(t, filepath.Join(dir, "helm.json"), helmSecret(t, "shop", "web",
		`{"name": "web", "namespace": "shop", "version": 3, "info": {"status": "deployed"}, "chart": {"metadata": {"name": "web", "version": "1.2.0", "appVersion": "1.2", "sources": ["https://github.com/acme/charts"]}, "values": {"password": "hunter2"}}, "config": {"password": "hunter2"}}`))
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, New(), map[string]string{"path": dir, "cluster": clusterARN}, r); err != nil {
		t.Fatal(err)
	}
	if len(r.Gaps)+len(r.Notes) > 0 {
		t.Errorf("gaps %v, notes %v", r.Gaps, r.Notes)
	}
	at := func(text string) string { return strings.ReplaceAll(text, "@", clusterARN+"/") }
	for kind, want := range map[fact.RelationKind][]string{
		fact.InstanceOf: {
			at("@shop/Deployment.apps/web -> " + digest),
			at("@shop/Pod/lone -> busybox"),
			at("@shop/StatefulSet.apps/db -> postgres:16"),
		},
		fact.Exposes: {
			at("@shop/Ingress.networking.k8s.io/web -> @shop/Service/web"),
			at("@shop/Service/db -> @shop/StatefulSet.apps/db"),
			at("@shop/Service/inside -> @shop/Deployment.apps/web"),
			at("@shop/Service/web -> @shop/Deployment.apps/web"),
			at("internet -> @shop/Ingress.networking.k8s.io/web"),
		},
		fact.Controls: {at("@shop/Deployment.apps/web -> @shop/ReplicaSet.apps/web-1")},
		fact.Guards:   {at("@shop/NetworkPolicy.networking.k8s.io/web -> @shop/Deployment.apps/web")},
		fact.RunsAs: {
			at("@shop/Deployment.apps/web -> @shop/ServiceAccount/web"),
			at("@shop/Pod/lone -> @shop/ServiceAccount/default"),
			at("@shop/StatefulSet.apps/db -> @shop/ServiceAccount/default"),
			at("@shop/TrainingJob.ml.example.com/train -> @shop/ServiceAccount/default"),
		},
		fact.CanAssume: {at("@shop/ServiceAccount/web -> arn:aws:iam::111122223333:role/web")},
		fact.MayAct:    {at("@-/Group/ops -> " + clusterARN), at("@shop/ServiceAccount/default -> @-/Namespace/shop"), at("@shop/ServiceAccount/web -> " + clusterARN)},
		fact.RunsIn: {
			at("@shop/Deployment.apps/web -> " + clusterARN), at("@shop/Pod/lone -> " + clusterARN),
			at("@shop/StatefulSet.apps/db -> " + clusterARN), at("@shop/TrainingJob.ml.example.com/train -> " + clusterARN),
		},
	} {
		if diff := cmp.Diff(want, r.Edges(kind)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", kind, diff)
		}
	}
	for _, c := range []struct{ kind, key, property, want string }{
		{fact.AssetWorkload, "@shop/Deployment.apps/web", "exposure", "internet"},
		{fact.AssetWorkload, "@shop/Deployment.apps/web", "exposure_confidence", "0.95"},
		{fact.AssetWorkload, "@shop/Deployment.apps/web", "risks", "privileged"},
		{fact.AssetWorkload, "@shop/StatefulSet.apps/db", "exposure", "private"}, // no node has a public address
		{fact.AssetWorkload, "@shop/TrainingJob.ml.example.com/train", "exposure", "none"},
		{fact.AssetWorkload, "@shop/Deployment.apps/web", "helm_chart", "web-1.2.0"},
		{fact.AssetWorkload, "@shop/Deployment.apps/web", "helm_revision", "3"},
		{fact.AssetWorkload, "@shop/StatefulSet.apps/db", "gitops_repository", "github.com/acme/deploy"},
		{fact.AssetWorkload, "@shop/StatefulSet.apps/db", "gitops_path", "shop"},
		{fact.AssetIdentity, "@shop/ServiceAccount/web", "privileges", "admin"},
		{fact.AssetIdentity, "@shop/ServiceAccount/default", "privileges", "read"},
		{fact.AssetIdentity, "@-/Group/ops", "privileges", "admin"},
		{fact.AssetKubernetes, "@-/Node/n1", "provider_id", "aws:///eu-west-1a/i-1"},
		{fact.AssetKubernetes, "@-/Node/n1", "addresses", "10.0.0.1"},
		{fact.AssetKubernetes, "@shop/Ingress.networking.k8s.io/web", "addresses", "203.0.113.7"},
		{fact.AssetKubernetes, "@shop/Secret/db", "type", "Opaque"},
		{fact.AssetKubernetes, "@-/Namespace/shop", "label:team", "storefront"},
	} {
		node, ok := r.Asset(c.kind, at(c.key))
		if got := node.Properties[c.property]; !ok || got != c.want {
			t.Errorf("%s %s: %s is %q, want %q", c.kind, c.key, c.property, got, c.want)
		}
	}
	if parts := r.Edges(fact.PartOf); !slices.Contains(parts, at("@-/Node/n1 -> arn:aws:ec2:eu-west-1:111122223333:instance/i-1")) {
		t.Errorf("the node is no machine of the cloud: %v", parts)
	}
	var claims []string
	for _, claim := range r.Claims {
		claims = append(claims, claim.Value.Subject.Name+": "+claim.Value.Owner.Kind+" "+claim.Value.Owner.ID+" "+string(claim.Value.Evidence.Strength))
	}
	if got := strings.Join(claims, "; "); got != "shop: team storefront declared; web: person ann@example.com declared" {
		t.Errorf("claims: %s", got)
	}
	if all := strings.Join(r.Lines(), "\n"); strings.Contains(all, "hunter2") {
		t.Error("the value of a secret, config map, variable or release is told")
	}
}

func TestWhatAnExportLacksOrBreaksIsAGapOfWhatFollowsFromIt(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ text, want string }{
		"no services": {
			"-- a.yaml --\napiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: x}\nspec: {containers: [{name: a, image: b}]}\n",
			"prod/cluster/exposures: not complete without Node objects in the export, Service objects in the export; prod/cluster/identities: not complete without ServiceAccount objects in the export",
		},
		"cut file": {
			"-- a.json --\n{\"kind\": \"List\", \"items\": [{\"apiVersion\": \"v1\", \"kind\": \"Service\", \"metadata\": {\"name\": \"s\"}}, {\"a\":",
			"a.json: not JSON at byte 99: the text is cut off; prod/cluster/exposures: not complete without 1 of 1 files, which could not be read whole; prod/cluster/gitops: not complete without 1 of 1 files, which could not be read whole; prod/cluster/identities: not complete without 1 of 1 files, which could not be read whole; prod/cluster/images: not complete without 1 of 1 files, which could not be read whole",
		},
	} {
		r := &connectortest.Recorder{}
		if err := connectortest.Run(t, New(), map[string]string{"path": unpack(t, c.text), "cluster": "prod"}, r); err != nil {
			t.Fatal(err)
		}
		var gaps []string
		for _, line := range r.Lines() {
			if text, ok := strings.CutPrefix(line, "gap "); ok {
				text = strings.TrimSuffix(strings.TrimPrefix(text, `{"Scope":"`), `"}`)
				gaps = append(gaps, strings.ReplaceAll(text, `","Value":"`, ": "))
			}
		}
		if got := strings.Join(gaps, "; "); got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", name, got, c.want)
		}
		if len(r.Nodes) == 0 {
			t.Errorf("%s: what was read is not told", name)
		}
	}
}

func TestSettingsThatNameNoClusterAreRefused(t *testing.T) {
	t.Parallel()
	for want, given := range map[string]map[string]string{
		"setting kubeconfig or path is missing": {},
		"setting cluster is missing":            {"path": t.TempDir()},
		"expected one of them":                  {"path": "x", "kubeconfig": "y"},
		"holds no .json, .yaml or .yml file":    {"path": t.TempDir(), "cluster": "prod"},
	} {
		if err := connectortest.Run(t, New(), given, &connectortest.Recorder{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %s", given, err, want)
		}
	}
}
