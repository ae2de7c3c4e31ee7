package kubernetes

import (
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/kubernetes"
)

func (l *look) account() {
	token := l.o.Root.Get("automountServiceAccountToken")
	if isFalse(token) {
		return
	}
	if l.o.Name == "default" {
		l.tell(&defaultToken, "", or(token, l.o.Root), "", set("automountServiceAccountToken", "false"))
	}
	l.tell(&accountToken, "", or(token, l.o.Root), "", set("automountServiceAccountToken", "false"))
}

// texts gives the items of a list as texts.
func texts(n *kubernetes.Node, key string) []string {
	var all []string
	for _, item := range n.List(key) {
		all = append(all, item.Text)
	}
	return all
}

func has(list []string, any ...string) bool {
	return slices.ContainsFunc(list, func(s string) bool { return slices.Contains(any, s) })
}

// grants says whether a rule of a role allows one of the verbs on a resource of a group.
func grants(rule *kubernetes.Node, group, resource string, verbs ...string) bool {
	groups, resources := texts(rule, "apiGroups"), texts(rule, "resources")
	base, below, nested := strings.Cut(resource, "/")
	return (len(groups) == 0 || has(groups, group, "*")) &&
		(has(resources, resource, "*") || nested && has(resources, base+"/*", "*/*", "*/"+below)) &&
		has(texts(rule, "verbs"), append(verbs, "*")...)
}

func (l *look) role() {
	const rbac = "rbac.authorization.k8s.io"
	cluster := l.o.Kind == "ClusterRole"
	for i, one := range l.o.Root.List("rules") {
		if one.Shape != kubernetes.Map {
			continue
		}
		at := fmt.Sprintf("rules[%d]", i)
		verbs := set(at+".verbs", "?the verbs that are needed")
		resources := set(at+".resources", "?the resources that are needed")
		anyVerb, anyResource := has(texts(one, "verbs"), "*"), has(texts(one, "resources"), "*")
		if anyVerb {
			l.tell(&wildcardVerbs, "", one.Get("verbs"), "", verbs)
		}
		if anyResource {
			l.tell(&wildcardResources, "", one.Get("resources"), "", resources)
		}
		if anyVerb && anyResource {
			l.tell(&wildcardRole, "", one, "", verbs, resources)
		}
		tell := func(r *rule, when bool) {
			if when {
				l.tell(r, "", one, "", verbs)
			}
		}
		tell(&readSecrets, grants(one, "", "secrets", "get", "list", "watch"))
		tell(&execPods, grants(one, "", "pods/exec", "create", "get"))
		tell(&createPods, grants(one, "", "pods", "create"))
		tell(&escalateRoles, grants(one, rbac, "roles", "escalate") || grants(one, rbac, "clusterroles", "escalate"))
		tell(&bindRoles, grants(one, rbac, "rolebindings", "bind") || grants(one, rbac, "clusterrolebindings", "bind") || grants(one, rbac, "roles", "bind") || grants(one, rbac, "clusterroles", "bind"))
		tell(&impersonate, grants(one, "", "users", "impersonate") || grants(one, "", "groups", "impersonate") || grants(one, "", "serviceaccounts", "impersonate"))
		if cluster {
			const admission = "admissionregistration.k8s.io"
			tell(&controlWebhooks, grants(one, admission, "mutatingwebhookconfigurations", "create", "update", "patch") || grants(one, admission, "validatingwebhookconfigurations", "create", "update", "patch"))
			tell(&nodesProxy, grants(one, "", "nodes/proxy", "get", "create", "update", "patch"))
		}
	}
	if !cluster {
		return
	}
	// Approving takes two rights, which may stand in two rules.
	var approve, sign *kubernetes.Node
	at := 0
	for i, one := range l.o.Root.List("rules") {
		const group = "certificates.k8s.io"
		if grants(one, group, "certificatesigningrequests/approval", "update", "patch") {
			approve, at = one, i
		}
		if grants(one, group, "signers", "approve") {
			sign = one
		}
	}
	if approve != nil && sign != nil {
		l.tell(&approveRequests, "", approve, "", set(fmt.Sprintf("rules[%d].verbs", at), "?whether the role has to approve certificates"))
	}
}

func (l *look) binding() {
	root := l.o.Root
	if root.String("roleRef", "name") == "cluster-admin" && l.o.Kind == "ClusterRoleBinding" {
		builtIn := len(root.List("subjects")) == 1 && root.List("subjects")[0].String("name") == "system:masters"
		if !builtIn {
			l.tell(&clusterAdmin, "", root.Get("roleRef"), "", set("roleRef.name", "?a role with the rights that are needed"))
		}
	}
	var anybody []wish
	var first *kubernetes.Node
	for i, s := range root.List("subjects") {
		name := s.String("name")
		at := fmt.Sprintf("subjects[%d]", i)
		if name == "system:anonymous" || name == "system:unauthenticated" {
			anybody, first = append(anybody, gone(at)), or(first, s)
		}
		if s.String("kind") == "ServiceAccount" && name == "default" {
			l.tell(&defaultSubject, "", s, "", set(at+".name", "?a service account of its own"))
		}
	}
	if len(anybody) > 0 {
		l.tell(&anonymousSubject, "", first, "", anybody...)
	}
}

func (l *look) service() {
	root := l.o.Root
	kind := root.Get("spec", "type")
	switch root.String("spec", "type") {
	case "NodePort":
		l.tell(&nodePort, "", kind, "", set("spec.type", "?ClusterIP, with an ingress or gateway before it, if it has to be reached from outside"))
	case "LoadBalancer":
		l.tell(&loadBalancer, "", kind, "", set("spec.type", "?ClusterIP, with an ingress or gateway before it, if it has to be reached from outside"))
	}
	if n := root.Get("spec", "externalIPs"); n != nil && len(n.Items) > 0 {
		l.tell(&externalIPs, "", n, "", gone("spec.externalIPs"))
	}
	if strings.Contains(l.o.Name, "tiller") || root.String("spec", "selector", "name") == "tiller" {
		l.tell(&tiller, "", root, "", set("spec", "?what still needs Helm 2; Helm 3 has no server"))
	}
}

func (l *look) ingress() {
	root := l.o.Root
	if len(root.List("spec", "tls")) == 0 {
		l.tell(&plainIngress, "", or(root.Get("spec"), root), "", set("spec.tls", "?the hosts and the secret that holds their certificate"))
	}
	for i, one := range root.List("spec", "rules") {
		if host := one.String("host"); host == "" || strings.Contains(host, "*") {
			l.tell(&wildcardIngress, "", one, host, set(fmt.Sprintf("spec.rules[%d].host", i), "?the host that is served"))
		}
	}
	for _, f := range root.Entries("metadata", "annotations") {
		if strings.HasPrefix(f.Key, "nginx.ingress.kubernetes.io/") && strings.HasSuffix(f.Key, "-snippet") {
			l.tell(&ingressSnippet, "", f.Value, f.Key, gone(`metadata.annotations["`+f.Key+`"]`))
		}
	}
}

// policies tells of a workload whose pods no network policy of the repository selects.
// Without any policy for its namespace there may be one elsewhere, which is said.
func (l *look) policies() {
	meta, _ := l.podMeta()
	labels := meta.Get("labels")
	for _, o := range l.estate.Objects {
		if o.Kind != "NetworkPolicy" || o.Namespace != l.o.Namespace {
			continue
		}
		selector := o.Root.Get("spec", "podSelector")
		if len(selector.List("matchExpressions")) > 0 {
			return // may select it
		}
		all := true
		for _, f := range selector.Entries("matchLabels") {
			all = all && labels.String(f.Key) == f.Value.Text
		}
		if all {
			return
		}
	}
	l.tell(&noPolicy, "", l.o.Root, "none of this repository selects its pods")
}
