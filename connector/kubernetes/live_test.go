package kubernetes

import (
	"context"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/fact"
)

const bearer = "the-secret-token-of-the-reader"

// server is a stand-in for an API server: it speaks the list API as it is
// documented, with pages, and fails the test for a call that it does not know.
type server struct {
	t *testing.T
	// items are the objects of each list, JSON, by path; a list that is not here is
	// empty.
	items map[string][]string
	// fail is asked before an answer is given, with how often the path was asked.
	fail  func(w http.ResponseWriter, r *http.Request, call int) bool
	mu    sync.Mutex
	calls map[string]int
}

// served are the lists that it knows, with their kinds.
var served = map[string]string{
	"/api/v1/namespaces": "Namespace", "/api/v1/nodes": "Node", "/api/v1/pods": "Pod", "/api/v1/services": "Service", "/api/v1/serviceaccounts": "ServiceAccount",
	"/api/v1/replicationcontrollers": "ReplicationController", "/api/v1/secrets": "Secret",
	"/apis/apps/v1/deployments": "Deployment", "/apis/apps/v1/statefulsets": "StatefulSet", "/apis/apps/v1/daemonsets": "DaemonSet", "/apis/apps/v1/replicasets": "ReplicaSet",
	"/apis/batch/v1/jobs": "Job", "/apis/batch/v1/cronjobs": "CronJob",
	"/apis/networking.k8s.io/v1/ingresses": "Ingress", "/apis/networking.k8s.io/v1/networkpolicies": "NetworkPolicy",
	"/apis/rbac.authorization.k8s.io/v1/roles": "Role", "/apis/rbac.authorization.k8s.io/v1/rolebindings": "RoleBinding",
	"/apis/rbac.authorization.k8s.io/v1/clusterroles": "ClusterRole", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings": "ClusterRoleBinding",
	"/apis/argoproj.io/v1alpha1/applications": "Application", "/apis/argoproj.io/v1alpha1/rollouts": "Rollout",
}

func newServer(t *testing.T, items map[string][]string) (*server, string) {
	t.Helper()
	s := &server{t: t, items: items, calls: map[string]int{}}
	live := httptest.NewTLSServer(s)
	t.Cleanup(live.Close)
	return s, live.URL
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.calls[r.URL.Path]++
	call := s.calls[r.URL.Path]
	s.mu.Unlock()
	if r.Method != http.MethodGet || r.Header.Get("Authorization") != "Bearer "+bearer {
		status(w, http.StatusUnauthorized, "Unauthorized")
		return
	}
	if s.fail != nil && s.fail(w, r, call) {
		return
	}
	if r.URL.Path == "/apis" {
		fmt.Fprint(w, `{"kind": "APIGroupList", "apiVersion": "v1", "groups": [{"name": "apps", "preferredVersion": {"groupVersion": "apps/v1", "version": "v1"}}, {"name": "argoproj.io", "preferredVersion": {"groupVersion": "argoproj.io/v1alpha1", "version": "v1alpha1"}}, {"name": "../evil", "preferredVersion": {"version": "v1"}}]}`)
		return
	}
	at, namespace := r.URL.Path, ""
	if before, after, ok := strings.Cut(at, "/namespaces/"); ok {
		var rest string
		namespace, rest, _ = strings.Cut(after, "/")
		at = before + "/" + rest
	}
	kind, known := served[at]
	if !known {
		s.t.Errorf("the API server was asked for %s, which it does not know", r.URL)
		status(w, http.StatusNotFound, "the server could not find the requested resource")
		return
	}
	limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
	if err != nil || limit < 1 || limit > 500 {
		s.t.Errorf("%s: limit %q, expected 1 to 500", r.URL, r.URL.Query().Get("limit"))
	}
	if at == "/api/v1/secrets" && r.URL.Query().Get("fieldSelector") != "type=helm.sh/release.v1" {
		s.t.Errorf("%s: secrets other than Helm's are asked for", r.URL)
	}
	all := s.items[at]
	if namespace != "" {
		all = slices.DeleteFunc(slices.Clone(all), func(item string) bool { return !strings.Contains(item, `"namespace": "`+namespace+`"`) })
	}
	from := 0
	if token := r.URL.Query().Get("continue"); token != "" {
		if from, err = strconv.Atoi(strings.TrimPrefix(token, "after-")); err != nil {
			status(w, http.StatusBadRequest, "continue key is not valid")
			return
		}
	}
	to := min(from+2, len(all)) // a server may give fewer than asked for
	next := ""
	if to < len(all) {
		next = fmt.Sprintf(`, "continue": "after-%d"`, to)
	}
	version := strings.TrimPrefix(strings.TrimPrefix(at[:strings.LastIndexByte(at, '/')], "/apis/"), "/api/")
	fmt.Fprintf(w, `{"kind": "%sList", "apiVersion": %q, "metadata": {"resourceVersion": "7"%s}, "items": [%s]}`, kind, version, next, strings.Join(all[from:to], ","))
}

func status(w http.ResponseWriter, code int, message string) {
	w.WriteHeader(code)
	fmt.Fprintf(w, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": %q, "code": %d}`, message, code)
}

// running is a cluster with five pods of one deployment.
func running() map[string][]string {
	items := map[string][]string{
		"/api/v1/namespaces":         {`{"metadata": {"name": "shop"}}`},
		"/api/v1/nodes":              {`{"metadata": {"name": "n1"}, "status": {"addresses": [{"address": "198.51.100.9"}]}}`},
		"/apis/apps/v1/deployments":  {`{"metadata": {"name": "web", "namespace": "shop"}, "spec": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}}`},
		"/apis/apps/v1/replicasets":  {`{"metadata": {"name": "web-1", "namespace": "shop", "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "controller": true}]}}`},
		"/api/v1/services":           {`{"metadata": {"name": "web", "namespace": "shop"}, "spec": {"type": "NodePort", "selector": {"app": "web"}}}`},
		"/apis/apps/v1/statefulsets": {`{"metadata": {"name": "db", "namespace": "data"}, "spec": {"template": {"spec": {"containers": [{"name": "db", "image": "db:1"}]}}}}`},
	}
	for i := range 5 {
		items["/api/v1/pods"] = append(items["/api/v1/pods"], fmt.Sprintf(`{"metadata": {"name": "web-1-%d", "namespace": "shop", "labels": {"app": "web"}, "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-1", "controller": true}]},
 "spec": {"containers": [{"name": "web", "image": "web:1"}]}, "status": {"phase": "Running", "containerStatuses": [{"name": "web", "imageID": "web@%s"}]}}`, i, digest))
	}
	return items
}

// kubeconfig writes one whose context prod leads to an address.
func kubeconfig(t *testing.T, address, user string) string {
	t.Helper()
	// All servers of httptest have one certificate.
	any := httptest.NewTLSServer(http.NotFoundHandler())
	authority := base64.StdEncoding.EncodeToString(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: any.Certificate().Raw}))
	any.Close()
	name := filepath.Join(t.TempDir(), "config")
	cluster := `{server: "` + address + `", certificate-authority-data: ` + authority + `}`
	write(t, name, `apiVersion: v1
kind: Config
current-context: prod
clusters: [{name: `+clusterARN+`, cluster: `+cluster+`}, {name: other, cluster: `+cluster+`}]
users: [{name: reader, user: `+user+`}]
contexts: [{name: prod, context: {cluster: "`+clusterARN+`", user: reader}}, {name: second, context: {cluster: other, user: reader}}]
`)
	return name
}

// ask syncs once and gives the pauses that were made.
func ask(t *testing.T, given map[string]string) (*connectortest.Recorder, []time.Duration) {
	t.Helper()
	var pauses []time.Duration
	s := source{timeout: time.Minute, wait: func(ctx context.Context, d time.Duration) error {
		pauses = append(pauses, d)
		return ctx.Err()
	}}
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, s, given, r); err != nil {
		t.Fatal(err)
	}
	return r, pauses
}

func TestAClusterHoldsWhatEverySourceMust(t *testing.T) {
	t.Parallel()
	_, address := newServer(t, running())
	config := kubeconfig(t, address, "{token: "+bearer+"}")
	connectortest.Conformance(t, New(), map[string]string{"kubeconfig": config}, map[string]string{"kubeconfig": config, "namespaces": "shop,data", "helm": "yes"})
}

func TestPagesAreReadToTheEndAndPodsFoldIntoTheirController(t *testing.T) {
	t.Parallel()
	fake, address := newServer(t, running())
	r, _ := ask(t, map[string]string{"kubeconfig": kubeconfig(t, address, "{token: "+bearer+"}"), "contexts": "*"})
	if len(r.Gaps) > 0 {
		t.Errorf("gaps: %v", r.Gaps)
	}
	if fake.calls["/api/v1/pods"] != 6 { // three pages, two contexts
		t.Errorf("pods were asked for %d times", fake.calls["/api/v1/pods"])
	}
	want := []string{
		clusterARN + "/data/StatefulSet.apps/db -> db:1", clusterARN + "/shop/Deployment.apps/web -> " + digest,
		"other/data/StatefulSet.apps/db -> db:1", "other/shop/Deployment.apps/web -> " + digest,
	}
	if got := r.Edges(fact.InstanceOf); !slices.Equal(got, want) {
		t.Errorf("images: %v", got)
	}
	for _, e := range r.Relations {
		if e.Value.Kind == fact.InstanceOf && e.Value.To.Key == digest && e.Value.Properties["containers_running"] != "5" {
			t.Errorf("an image runs in %s containers, expected 5", e.Value.Properties["containers_running"])
		}
	}
	if got := r.Edges(fact.Exposes); !slices.Contains(got, "internet -> "+clusterARN+"/shop/Service/web") {
		t.Errorf("a node port of a node with a public address is not exposed: %v", got)
	}
	for _, scope := range []string{"prod/cluster/Pod", "prod/cluster/Deployment.apps", "prod/cluster/Gateway.gateway.networking.k8s.io", "prod/cluster/exposures", "second/cluster/images"} {
		if !slices.Contains(r.Complete, scope) {
			t.Errorf("scope %s is not covered", scope)
		}
	}
	if _, ok := r.Asset(fact.AssetKubernetes, clusterARN+"/shop/Pod/web-1-0"); ok {
		t.Error("a pod that comes and goes is told")
	}
}

func TestHelmsReleasesAreReadOnlyWhenAsked(t *testing.T) {
	t.Parallel()
	items := running()
	items["/apis/apps/v1/deployments"] = []string{`{"metadata": {"name": "web", "namespace": "shop", "labels": {"app.kubernetes.io/managed-by": "Helm"}, "annotations": {"meta.helm.sh/release-name": "web"}}, "spec": {"template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": "web:1"}]}}}}`}
	items["/api/v1/secrets"] = []string{helmSecret(t, "shop", "web", `{"name": "web", "namespace": "shop", "version": 4, "info": {"status": "deployed"}, "chart": {"metadata": {"name": "web", "version": "2.0.0"}}, "config": {"password": "hunter2"}}`)}
	fake, address := newServer(t, items)
	config := kubeconfig(t, address, "{token: "+bearer+"}")
	for _, helm := range []string{"no", "yes"} { // in this order, since calls are counted
		want := map[string]string{"yes": "web-2.0.0"}[helm]
		r, _ := ask(t, map[string]string{"kubeconfig": config, "helm": helm})
		web, _ := r.Asset(fact.AssetWorkload, clusterARN+"/shop/Deployment.apps/web")
		if web.Properties["helm_chart"] != want || web.Properties["helm_release"] != "web" || helm == "no" && fake.calls["/api/v1/secrets"] > 0 {
			t.Errorf("helm=%s: chart %q, release %q, secrets asked for %d times", helm, web.Properties["helm_chart"], web.Properties["helm_release"], fake.calls["/api/v1/secrets"])
		}
		if text := strings.Join(r.Lines(), "\n"); strings.Contains(text, "hunter2") || strings.Contains(text, "sh.helm.release") {
			t.Errorf("helm=%s: the record of a release is told", helm)
		}
	}
}

func TestNamespacesAreListedOneByOne(t *testing.T) {
	t.Parallel()
	fake, address := newServer(t, running())
	r, _ := ask(t, map[string]string{"kubeconfig": kubeconfig(t, address, "{token: "+bearer+"}"), "namespaces": "shop"})
	if fake.calls["/api/v1/pods"] != 0 || fake.calls["/api/v1/namespaces/shop/pods"] != 3 {
		t.Errorf("calls: %v", fake.calls)
	}
	if !slices.Contains(r.Complete, "prod/shop/Pod") || !slices.Contains(r.Complete, "prod/shop/images") || slices.Contains(r.Complete, "prod/cluster/images") {
		t.Errorf("covered: %v", r.Complete)
	}
	if _, ok := r.Asset(fact.AssetWorkload, clusterARN+"/data/StatefulSet.apps/db"); ok {
		t.Error("a workload of another namespace is told")
	}
}

func TestWhatAnAPIServerRefusesIsAGapOrTriedAgain(t *testing.T) {
	t.Parallel()
	pods := "/api/v1/pods"
	for name, c := range map[string]struct {
		fail   func(w http.ResponseWriter, r *http.Request, call int) bool
		gap    string // "" when all must be read
		pauses []time.Duration
	}{
		"throttled": {func(w http.ResponseWriter, _ *http.Request, call int) bool {
			if call > 2 {
				return false
			}
			w.Header().Set("Retry-After", "3")
			status(w, http.StatusTooManyRequests, "too many requests")
			return true
		}, "", []time.Duration{3 * time.Second, 3 * time.Second}},
		"fails once": {func(w http.ResponseWriter, _ *http.Request, call int) bool {
			if call == 2 {
				status(w, http.StatusInternalServerError, "etcdserver: leader changed")
			}
			return call == 2
		}, "", []time.Duration{firstPause}},
		"cut once": {func(w http.ResponseWriter, _ *http.Request, call int) bool {
			if call == 1 {
				fmt.Fprint(w, `{"kind": "PodList", "apiVersion": "v1", "items": [{"metadata": {"name": "x"}}, {"meta`)
			}
			return call == 1
		}, "", []time.Duration{firstPause}},
		"broken off": {func(w http.ResponseWriter, _ *http.Request, call int) bool {
			if call == 1 {
				w.Header().Set("Content-Length", "5000")
				fmt.Fprint(w, `{"kind": "PodList"`)
			}
			return call == 1
		}, "", []time.Duration{firstPause}},
		"gone": {func(w http.ResponseWriter, r *http.Request, call int) bool {
			if call == 2 && r.URL.Query().Get("continue") != "" {
				status(w, http.StatusGone, "The provided continue parameter is too old")
				return true
			}
			return false
		}, "", nil},
		"always gone": {func(w http.ResponseWriter, r *http.Request, _ int) bool {
			if r.URL.Query().Get("continue") != "" {
				status(w, http.StatusGone, "The provided continue parameter is too old")
				return true
			}
			return false
		}, "the list changed faster than it could be read, 4 times", nil},
		"forbidden": {func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			status(w, http.StatusForbidden, `pods is forbidden: User "reader" cannot list resource "pods"`)
			return true
		}, `HTTP status 403: pods is forbidden: User "reader" cannot list resource "pods"`, nil},
		"fails": {func(w http.ResponseWriter, _ *http.Request, _ int) bool {
			w.WriteHeader(http.StatusBadGateway)
			return true
		}, "HTTP status 502", []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second}},
		"elsewhere": {func(w http.ResponseWriter, r *http.Request, _ int) bool {
			http.Redirect(w, r, "/stolen", http.StatusFound)
			return true
		}, "HTTP status 302", nil},
		"another kind": {func(w http.ResponseWriter, _ *http.Request, call int) bool {
			fmt.Fprint(w, `{"kind": "SecretList", "items": []}`)
			return true
		}, `expected a PodList, found kind "SecretList"`, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			fake, address := newServer(t, running())
			fake.fail = func(w http.ResponseWriter, r *http.Request, call int) bool {
				return r.URL.Path == pods && c.fail(w, r, call)
			}
			r, pauses := ask(t, map[string]string{"kubeconfig": kubeconfig(t, address, "{token: "+bearer+"}")})
			if !slices.Equal(pauses, c.pauses) {
				t.Errorf("pauses %v, want %v", pauses, c.pauses)
			}
			if c.gap == "" {
				if len(r.Gaps) > 0 || !slices.Contains(r.Complete, "prod/cluster/Pod") {
					t.Errorf("gaps %v", r.Gaps)
				}
				if got := r.Edges(fact.InstanceOf); !slices.Contains(got, clusterARN+"/shop/Deployment.apps/web -> "+digest) {
					t.Errorf("images: %v", got)
				}
				for _, e := range r.Relations {
					if e.Value.To.Key == digest && e.Value.Properties["containers_running"] != "5" {
						t.Errorf("%s containers run, expected 5: what a list gave before it began anew is counted twice", e.Value.Properties["containers_running"])
					}
				}
				return
			}
			var gaps []string
			for _, gap := range r.Gaps {
				gaps = append(gaps, gap.Scope)
				if gap.Scope == "prod/cluster/Pod" && gap.Value != c.gap {
					t.Errorf("gap %q, want %q", gap.Value, c.gap)
				}
			}
			slices.Sort(gaps)
			if want := []string{"prod/cluster/Pod", "prod/cluster/exposures", "prod/cluster/gitops", "prod/cluster/identities", "prod/cluster/images"}; !slices.Equal(gaps, want) {
				t.Errorf("gaps in %v, want %v", gaps, want)
			}
			if !slices.Contains(r.Complete, "prod/cluster/Deployment.apps") {
				t.Error("what was read is not covered")
			}
		})
	}
}

func TestAServerThatDoesNotAnswerIsAGapOfItsContext(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	slow := httptest.NewTLSServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer slow.Close()
	defer close(release)
	for address, want := range map[string]string{slow.URL: "no answer in time", "https://127.0.0.1:1": "connection refused"} {
		s := source{timeout: time.Minute, wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
		if address == slow.URL {
			s.timeout = 20 * time.Millisecond
		}
		r := &connectortest.Recorder{}
		if err := connectortest.Run(t, s, map[string]string{"kubeconfig": kubeconfig(t, address, "{token: x}")}, r); err != nil {
			t.Fatal(err)
		}
		if len(r.Gaps) != 1 || r.Gaps[0].Scope != "prod/cluster/Cluster" || !strings.Contains(r.Gaps[0].Value, want) || len(r.Complete) > 0 {
			t.Errorf("gaps %v, covered %v; want one that says %s", r.Gaps, r.Complete, want)
		}
	}
	_, address := newServer(t, nil)
	r, _ := ask(t, map[string]string{"kubeconfig": kubeconfig(t, address, "{token: wrong}")})
	if len(r.Gaps) != 1 || !strings.Contains(r.Gaps[0].Value, "HTTP status 401: Unauthorized") {
		t.Errorf("gaps with a wrong token: %v", r.Gaps)
	}
}

func TestAKubeconfigRunsNoCommandAndReadsNoFileUnlessAllowed(t *testing.T) {
	t.Parallel()
	_, address := newServer(t, running())
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, bearer+"\n")
	mark := filepath.Join(t.TempDir(), "ran")
	command := `{exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: sh, args: [-c, "touch ` + mark + `; echo '{\"apiVersion\": \"client.authentication.k8s.io/v1\", \"kind\": \"ExecCredential\", \"status\": {\"token\": \"` + bearer + `\"}}'"]}}`
	for name, c := range map[string]struct{ user, allow, gap string }{
		"command":           {command, "", `its user signs in with the command "sh", which is not run unless setting allow holds commands`},
		"command, files":    {command, "files", `its user signs in with the command "sh", which is not run unless setting allow holds commands`},
		"token file":        {"{tokenFile: " + outside + "}", "", "a file that is sent to the server is not read unless setting allow holds files"},
		"certificate":       {"{client-certificate: " + outside + ", client-key: " + outside + "}", "", "a file outside the kubeconfig's folder is not read unless setting allow holds files"},
		"climbing":          {"{client-certificate: ../x, client-key: ../x}", "", "a file outside the kubeconfig's folder is not read unless setting allow holds files"},
		"provider":          {"{auth-provider: {name: gcp}}", "commands,files", `its user signs in with the provider "gcp"`},
		"allowed token":     {"{tokenFile: " + outside + "}", "files", ""},
		"device":            {"{tokenFile: /dev/zero}", "files", "expected a regular file"},
		"missing beside it": {"{client-certificate: gone.crt, client-key: gone.key}", "", "file does not exist"},
	} {
		r, _ := ask(t, map[string]string{"kubeconfig": kubeconfig(t, address, c.user), "allow": c.allow})
		if c.gap == "" {
			if len(r.Gaps) > 0 || len(r.Nodes) == 0 {
				t.Errorf("%s: gaps %v", name, r.Gaps)
			}
			continue
		}
		if len(r.Gaps) != 1 || !strings.Contains(r.Gaps[0].Value, c.gap) || len(r.Nodes) > 0 {
			t.Errorf("%s: gaps %v, want %q", name, r.Gaps, c.gap)
		}
	}
	if matches, _ := filepath.Glob(mark); len(matches) > 0 {
		t.Fatal("a command of a kubeconfig was run")
	}
	r, _ := ask(t, map[string]string{"kubeconfig": kubeconfig(t, address, command), "allow": "commands"})
	if len(r.Gaps) > 0 {
		t.Errorf("an allowed command: gaps %v", r.Gaps)
	}
	if matches, _ := filepath.Glob(mark); len(matches) == 0 {
		t.Error("an allowed command was not run")
	}
}

func TestCertificatesBesideTheKubeconfigAreRead(t *testing.T) {
	t.Parallel()
	_, address := newServer(t, running())
	any := httptest.NewTLSServer(http.NotFoundHandler())
	authority := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: any.Certificate().Raw})
	any.Close()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "pki", "ca.crt"), string(authority))
	name := filepath.Join(dir, "config")
	for _, at := range []string{"pki/ca.crt", filepath.Join(dir, "pki", "ca.crt")} {
		write(t, name, `{apiVersion: v1, kind: Config, current-context: prod, clusters: [{name: kubernetes, cluster: {server: "`+address+`", certificate-authority: "`+at+`"}}], users: [{name: u, user: {token: `+bearer+`}}], contexts: [{name: prod, context: {cluster: kubernetes, user: u}}]}`)
		r, _ := ask(t, map[string]string{"kubeconfig": name})
		if len(r.Gaps) > 0 || len(r.Nodes) == 0 || len(r.Notes) != 1 || !strings.Contains(r.Notes[0].Value, "as others are called too") {
			t.Errorf("%s: gaps %v, notes %v", at, r.Gaps, r.Notes)
		}
		if r, _ = ask(t, map[string]string{"kubeconfig": name, "cluster": "prod"}); len(r.Notes) > 0 || r.Nodes[0].Value.Key != "prod" {
			t.Errorf("%s: notes %v, first asset %v", at, r.Notes, r.Nodes[0].Value.Asset)
		}
	}
}

func TestACredentialPluginThatHangsIsAGap(t *testing.T) {
	t.Parallel()
	_, address := newServer(t, running())
	config := kubeconfig(t, address, `{exec: {apiVersion: client.authentication.k8s.io/v1, interactiveMode: Never, command: sleep, args: ["1"]}}`)
	s := source{timeout: 20 * time.Millisecond, wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, s, map[string]string{"kubeconfig": config, "allow": "commands"}, r); err != nil {
		t.Fatal(err)
	}
	// Waiting for it would give its fault, that it prints no credentials.
	if len(r.Gaps) != 1 || !strings.Contains(r.Gaps[0].Value, "no answer in time") {
		t.Errorf("gaps %v", r.Gaps)
	}
}

func TestAServerWithAnotherCertificateGetsNoCredentials(t *testing.T) {
	t.Parallel()
	fake, address := newServer(t, running())
	name := filepath.Join(t.TempDir(), "config")
	text := `{apiVersion: v1, kind: Config, current-context: prod, clusters: [{name: c, cluster: {server: "` + address + `"}}], users: [{name: u, user: {token: ` + bearer + `}}], contexts: [{name: prod, context: {cluster: c, user: u}}]}`
	write(t, name, text)
	r, pauses := ask(t, map[string]string{"kubeconfig": name})
	if len(r.Gaps) != 1 || !strings.Contains(r.Gaps[0].Value, "certificate") || len(pauses) > 0 || len(fake.calls) > 0 {
		t.Errorf("gaps %v, pauses %v, calls %v", r.Gaps, pauses, fake.calls)
	}
	write(t, name, strings.Replace(text, "cluster: {", "cluster: {insecure-skip-tls-verify: true, ", 1))
	if r, _ = ask(t, map[string]string{"kubeconfig": name}); len(r.Gaps) > 0 || len(r.Notes) != 1 || r.Notes[0].Value != "the API server's certificate is not checked" {
		t.Errorf("gaps %v, notes %v", r.Gaps, r.Notes)
	}
}

func TestAKubeconfigThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	bad := filepath.Join(t.TempDir(), "bad")
	write(t, bad, "a: [\n")
	good := kubeconfig(t, "http://127.0.0.1:1", "{token: x}")
	for want, given := range map[string]map[string]string{
		"expected a kubeconfig":                {"kubeconfig": bad},
		"no such file":                         {"kubeconfig": bad + "-gone"},
		`setting contexts names "nowhere"`:     {"kubeconfig": good, "contexts": "nowhere"},
		`setting allow names "everything"`:     {"kubeconfig": good, "allow": "everything"},
		"setting cluster names one cluster":    {"kubeconfig": good, "contexts": "*", "cluster": "x"},
		"setting namespaces names \"../../x\"": {"kubeconfig": good, "namespaces": "../../x"},
	} {
		err := connectortest.Run(t, New(), given, &connectortest.Recorder{})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: got %v, want %s", given, err, want)
		}
	}
}

func TestTheEndOfTheContextEndsAWait(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pause(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
