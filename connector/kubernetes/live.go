package kubernetes

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/connector"
)

// Bounds of asking.
const (
	pageItems   = 250
	pageSecrets = 20 // each up to a megabyte
	pageBytes   = 256 << 20
	maxPages    = 20_000 // of one list
	attempts    = 6      // of one page that is refused for now, or fails on the other side
	restarts    = 4      // of one list whose continuation has gone
	maxPause    = 30 * time.Second
	firstPause  = 500 * time.Millisecond
	maxAPIBytes = 4 << 20
)

// listing is one kind that is listed.
type listing struct {
	group, version, resource, kind string
	wide                           bool   // not in a namespace
	optional                       bool   // of an extension that a cluster may lack
	query                          string // further selection
}

// scope is "Kind.group".
func (l listing) name() string {
	if l.group == "" {
		return l.kind
	}
	return l.kind + "." + l.group
}

// listings are what is asked for, in an order in which what stands between pods and
// their controllers comes before the pods.
func listings(helm bool) []listing {
	all := []listing{
		{version: "v1", resource: "namespaces", kind: "Namespace", wide: true},
		{version: "v1", resource: "nodes", kind: "Node", wide: true},
		{group: "apps", version: "v1", resource: "deployments", kind: "Deployment"},
		{group: "apps", version: "v1", resource: "statefulsets", kind: "StatefulSet"},
		{group: "apps", version: "v1", resource: "daemonsets", kind: "DaemonSet"},
		{group: "apps", version: "v1", resource: "replicasets", kind: "ReplicaSet"},
		{group: "batch", version: "v1", resource: "cronjobs", kind: "CronJob"},
		{group: "batch", version: "v1", resource: "jobs", kind: "Job"},
		{version: "v1", resource: "replicationcontrollers", kind: "ReplicationController"},
		{version: "v1", resource: "pods", kind: "Pod"},
		{version: "v1", resource: "services", kind: "Service"},
		{version: "v1", resource: "serviceaccounts", kind: "ServiceAccount"},
		{group: "networking.k8s.io", version: "v1", resource: "ingresses", kind: "Ingress"},
		{group: "networking.k8s.io", version: "v1", resource: "networkpolicies", kind: "NetworkPolicy"},
		{group: "rbac.authorization.k8s.io", version: "v1", resource: "roles", kind: "Role"},
		{group: "rbac.authorization.k8s.io", version: "v1", resource: "rolebindings", kind: "RoleBinding"},
		{group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterroles", kind: "ClusterRole", wide: true},
		{group: "rbac.authorization.k8s.io", version: "v1", resource: "clusterrolebindings", kind: "ClusterRoleBinding", wide: true},
		{group: "gateway.networking.k8s.io", resource: "gateways", kind: "Gateway", optional: true},
		{group: "gateway.networking.k8s.io", resource: "httproutes", kind: "HTTPRoute", optional: true},
		{group: "gateway.networking.k8s.io", resource: "grpcroutes", kind: "GRPCRoute", optional: true},
		{group: "networking.istio.io", resource: "gateways", kind: "Gateway", optional: true},
		{group: "networking.istio.io", resource: "virtualservices", kind: "VirtualService", optional: true},
		{group: "route.openshift.io", resource: "routes", kind: "Route", optional: true},
		{group: "argoproj.io", resource: "applications", kind: "Application", optional: true},
		{group: "argoproj.io", resource: "rollouts", kind: "Rollout", optional: true},
		{group: "kustomize.toolkit.fluxcd.io", resource: "kustomizations", kind: "Kustomization", optional: true},
		{group: "helm.toolkit.fluxcd.io", resource: "helmreleases", kind: "HelmRelease", optional: true},
		{group: "source.toolkit.fluxcd.io", resource: "gitrepositories", kind: "GitRepository", optional: true},
	}
	if helm {
		all = append(all, listing{version: "v1", resource: "secrets", kind: "Secret", query: "type=helm.sh/release.v1"})
	}
	return all
}

// live asks the API servers, context by context. One that cannot be asked is a gap.
func (s source) live(ctx context.Context, values connector.Values, sink connector.Sink) error {
	for _, namespace := range values.List("namespaces") {
		if !plainName(namespace) {
			return fmt.Errorf("setting namespaces names %q: expected lower-case letters, digits and dashes", namespace)
		}
	}
	all, err := targets(ctx, values)
	if err != nil {
		return err
	}
	for _, t := range all {
		if err := s.look(ctx, t, values, sink); err != nil {
			return err
		}
	}
	return nil
}

// look looks at one cluster.
func (s source) look(ctx context.Context, t target, values connector.Values, sink connector.Sink) error {
	scope := t.context + "/cluster/Cluster"
	if t.err != nil {
		sink.Gap(scope, t.err)
		return ctx.Err()
	}
	namespaces := values.List("namespaces")
	if len(namespaces) == 0 {
		namespaces = []string{""}
	}
	c := newCluster(sink, t.cluster, t.context, "kubernetes:"+t.context)
	a := asker{source: s, target: t}
	groups, err := a.groups(ctx)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if fault, ok := errors.AsType[*answerError](err); !ok || fault.status != http.StatusForbidden {
			sink.Gap(scope, fmt.Errorf("which kinds it serves: %w", err))
			return nil
		}
	}
	forbidden := err
	if !sink.Done(scope) {
		c.node(scope, c.asset, properties{"platform": "kubernetes", "endpoint": t.server})
		if c.err != nil {
			return c.err
		}
		for _, note := range t.notes {
			sink.Note(scope, note)
		}
		if forbidden != nil {
			sink.Gap(scope, fmt.Errorf("which extensions it has: %w; their objects were not looked at", forbidden))
		} else if err := sink.Covered(scope); err != nil {
			return err
		}
	}
	unread := map[string]string{} // area + "/" + Kind.group -> why
	lists := listings(values["helm"] == "yes")
	for i, l := range lists {
		sink.Progress("asking "+t.context, i, len(lists))
		areas := namespaces
		if l.wide {
			areas = []string{""}
		}
		for _, namespace := range areas {
			why, err := s.one(ctx, a, c, l, namespace, groups, forbidden != nil)
			if err != nil {
				return err
			}
			if why != "" {
				unread[namespace+"/"+l.name()] = why
			}
		}
	}
	sink.Progress("asking "+t.context, len(lists), len(lists))
	for _, namespace := range namespaces {
		if err := c.tellJoins(namespace, func(kind string) string {
			if why := unread[namespace+"/"+kind]; why != "" {
				return why
			}
			return unread["/"+kind]
		}); err != nil {
			return err
		}
	}
	return nil
}

// one lists one kind of one namespace. why says that it could not be read; only an
// error of the sink or the end of ctx ends the run.
func (s source) one(ctx context.Context, a asker, c *cluster, l listing, namespace string, groups map[string]string, unknown bool) (why string, err error) {
	area := namespace
	if area == "" {
		area = "cluster"
	}
	scope := c.context + "/" + area + "/" + l.name()
	done := c.sink.Done(scope)
	if l.optional {
		if unknown {
			return l.name() + " (not looked at)", nil
		}
		if l.version = groups[l.group]; l.version == "" {
			if done {
				return "", nil
			}
			return "", c.sink.Covered(scope) // an extension that is not there has no objects
		}
	}
	if done && !slices.ContainsFunc(joinScopes(c, namespace), func(scope string) bool { return !c.sink.Done(scope) }) {
		return "", ctx.Err()
	}
	pods := len(c.pods)
	err = a.list(ctx, l, namespace, func(page []*kubernetes.Object) error {
		for _, o := range page {
			c.take(scope, o, !done)
		}
		return c.err
	}, func() { c.pods = c.pods[:pods] })
	switch {
	case c.err != nil:
		return "", c.err
	case ctx.Err() != nil:
		return "", ctx.Err()
	}
	if fault, ok := errors.AsType[*answerError](err); ok && fault.status == http.StatusNotFound {
		err = nil
		if !l.optional && namespace == "" {
			c.sink.Note(scope, "the cluster does not serve "+l.name()+" "+l.version)
			return l.name() + " (not served)", nil
		}
	}
	switch {
	case err != nil:
		if !done {
			c.sink.Gap(scope, err)
		}
		return l.name() + " (" + err.Error() + ")", nil
	case !done:
		return "", c.sink.Covered(scope)
	}
	return "", nil
}

// asker asks one API server.
type asker struct {
	source
	target
}

// answerError is an answer that is a refusal.
type answerError struct {
	status  int
	message string
	after   time.Duration // how long the server asks to wait, 0 when it does not
}

func (e *answerError) Error() string {
	if e.message == "" {
		return fmt.Sprintf("HTTP status %d", e.status)
	}
	return fmt.Sprintf("HTTP status %d: %s", e.status, e.message)
}

// groups gives the preferred version of each API group.
func (a asker) groups(ctx context.Context) (map[string]string, error) {
	var answer struct {
		Kind   string `json:"kind"`
		Groups []struct {
			Name             string `json:"name"`
			PreferredVersion struct {
				Version string `json:"version"`
			} `json:"preferredVersion"`
		} `json:"groups"`
	}
	err := a.patiently(ctx, func() error {
		data, err := a.get(ctx, "/apis", nil, maxAPIBytes)
		if err != nil {
			return err
		}
		if json.Unmarshal(data, &answer) != nil || answer.Kind != "APIGroupList" {
			return errNotKubernetes
		}
		return nil
	})
	groups := map[string]string{}
	for _, g := range answer.Groups {
		// Both stand in addresses that are asked.
		if plainName(g.Name) && plainName(g.PreferredVersion.Version) {
			groups[g.Name] = g.PreferredVersion.Version
		}
	}
	return groups, err
}

var errKind = errors.New("found kind")

var errNotKubernetes = errors.New("the answer is none of a Kubernetes API server, or was cut off")

// plainName says whether a text can be a part of an address as it is.
func plainName(text string) bool {
	return text != "" && len(text) < 254 && strings.Trim(text, "abcdefghijklmnopqrstuvwxyz0123456789.-") == "" && !strings.Contains(text, "..")
}

// list lists a kind to its end and gives it page by page. A list whose continuation
// has gone begins anew, after again: what it gave before was there, and is given once
// more when it still is.
func (a asker) list(ctx context.Context, l listing, namespace string, give func([]*kubernetes.Object) error, again func()) error {
	at := "/api/" + l.version
	if l.group != "" {
		at = "/apis/" + l.group + "/" + l.version
	}
	if namespace != "" && !l.wide {
		at += "/namespaces/" + namespace
	}
	at += "/" + l.resource
	for range restarts {
		err := a.pages(ctx, l, at, give)
		fault, ok := errors.AsType[*answerError](err)
		if !ok || fault.status != http.StatusGone {
			return err
		}
		again()
	}
	return fmt.Errorf("the list changed faster than it could be read, %d times", restarts)
}

func (a asker) pages(ctx context.Context, l listing, at string, give func([]*kubernetes.Object) error) error {
	token := ""
	for range maxPages {
		limit := pageItems
		if l.kind == "Secret" {
			limit = pageSecrets
		}
		query := url.Values{"limit": {strconv.Itoa(limit)}}
		if l.query != "" {
			query.Set("fieldSelector", l.query)
		}
		if token != "" {
			query.Set("continue", token)
		}
		var page []*kubernetes.Object
		var meta kubernetes.ListMeta
		err := a.patiently(ctx, func() error {
			data, err := a.get(ctx, at, query, pageBytes)
			if err != nil {
				return err
			}
			page = nil
			meta, err = kubernetes.ReadList(ctx, bytes.NewReader(data), func(o *kubernetes.Object) error {
				if o.Kind == l.kind {
					page = append(page, o)
				}
				return nil
			})
			switch {
			case err != nil && ctx.Err() == nil:
				return errNotKubernetes
			case err == nil && meta.Kind != l.kind+"List":
				return fmt.Errorf("expected a %sList, %w %q", l.kind, errKind, bounded(meta.Kind))
			}
			return err
		})
		if err != nil {
			return err
		}
		if err := give(page); err != nil || meta.Continue == "" {
			return err
		}
		token = meta.Continue
	}
	return fmt.Errorf("more than %d pages", maxPages)
}

// patiently repeats what may succeed later: refusals for now, failures on the other
// side, and answers that broke off.
func (a asker) patiently(ctx context.Context, ask func() error) error {
	wait := firstPause
	for attempt := 1; ; attempt++ {
		err := ask()
		if err == nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		fault, refused := errors.AsType[*answerError](err)
		_, distrust := errors.AsType[*tls.CertificateVerificationError](err)
		if attempt == attempts || distrust || errors.Is(err, errKind) || refused && fault.status != http.StatusTooManyRequests && fault.status < 500 {
			return err
		}
		pause := wait
		if refused && fault.after > 0 {
			pause = fault.after
		}
		if err := a.wait(ctx, min(pause, maxPause)); err != nil {
			return err
		}
		wait *= 2
	}
}

// get asks once.
func (a asker) get(ctx context.Context, at string, query url.Values, most int64) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	address := *a.base
	address.Path = path.Join("/", address.Path, at)
	address.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), nil)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", "application/json")
	response, err := a.client.Do(request)
	if err != nil {
		return nil, noAnswer(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, refusal(response)
	}
	data, err := io.ReadAll(io.LimitReader(response.Body, most+1))
	if err != nil {
		return nil, noAnswer(err)
	}
	if int64(len(data)) > most {
		return nil, fmt.Errorf("an answer of more than %d MiB", most>>20)
	}
	return data, nil
}

// noAnswer says why there is no answer, without the address, which is told once.
func noAnswer(err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return errors.New("no answer in time")
	}
	if fault, ok := errors.AsType[*url.Error](err); ok {
		err = fault.Err
	}
	return fmt.Errorf("no answer: %w", brief(err))
}

// refusal reads the reason of an answer that is no success.
func refusal(response *http.Response) error {
	fault := &answerError{status: response.StatusCode}
	if seconds, err := strconv.Atoi(response.Header.Get("Retry-After")); err == nil && seconds > 0 {
		fault.after = time.Duration(min(seconds, 3600)) * time.Second
	}
	data, _ := io.ReadAll(io.LimitReader(response.Body, 64<<10)) // a reason that is cut off is none
	var status struct {
		Kind    string `json:"kind"`
		Message string `json:"message"`
		Details struct {
			RetryAfterSeconds int `json:"retryAfterSeconds"`
		} `json:"details"`
	}
	if json.Unmarshal(data, &status) == nil && status.Kind == "Status" {
		fault.message = bounded(status.Message)
		if fault.after == 0 && status.Details.RetryAfterSeconds > 0 {
			fault.after = time.Duration(min(status.Details.RetryAfterSeconds, 3600)) * time.Second
		}
	}
	return fault
}
