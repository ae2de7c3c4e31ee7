package kubernetes

import (
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// Levels of exposure, most exposed first.
const (
	ExposedInternet = "internet"
	ExposedCluster  = "cluster"
	ExposedNone     = "none"
)

// Exposure says from where a workload is reached, with the chain that leads there.
type Exposure struct {
	Workload *Object
	Level    string
	Chain    []Hop
	// Guards are the network policies that select the pods, Denied those of them
	// that let nothing in.
	Guards []*Object
	Denied bool
}

// Hop is one object on the way from outside to a workload.
type Hop struct {
	Object *Object
	Detail string
	Place  Place
}

// selects says whether a map of labels picks others; an empty one picks all.
func selects(selector *Node, labels map[string]string) bool {
	match := selector
	if selector.Get("matchLabels") != nil || selector.Get("matchExpressions") != nil {
		match = selector.Get("matchLabels")
		for _, x := range selector.List("matchExpressions") {
			value, has := labels[x.String("key")]
			in := slices.ContainsFunc(x.List("values"), func(n *Node) bool { return n.Text == value })
			switch x.String("operator") {
			case "In":
				if !has || !in {
					return false
				}
			case "NotIn":
				if has && in {
					return false
				}
			case "Exists":
				if !has {
					return false
				}
			case "DoesNotExist":
				if has {
					return false
				}
			}
		}
	}
	for _, f := range match.Entries() {
		if labels[f.Key] != f.Value.Text {
			return false
		}
	}
	return true
}

func together(a, b *Object) bool {
	return a.Unit == b.Unit && (a.Namespace == b.Namespace || a.Namespace == "" || b.Namespace == "")
}

// Exposures says for each workload how far it is exposed. Objects of one overlay,
// chart or set of plain manifests are seen together.
func Exposures(objects []*Object) []Exposure {
	var all []Exposure
	for _, w := range objects {
		spec, _ := w.podSpec()
		if spec == nil {
			continue
		}
		x := Exposure{Workload: w, Level: ExposedNone}
		raise := func(level string, hops ...Hop) {
			if x.Level == ExposedInternet || x.Level == level {
				return
			}
			x.Level, x.Chain = level, hops
		}
		hop := func(o *Object, n *Node, detail string) Hop {
			at := o.Place
			if n != nil && o.release == nil {
				at = n.Place
			}
			return Hop{o, detail, at}
		}
		labels := w.podLabels()
		for _, s := range objects {
			if s.Kind == "Service" && together(s, w) && len(s.Root.Entries("spec", "selector")) > 0 && selects(s.Root.Get("spec", "selector"), labels) {
				kind := s.Root.Get("spec", "type")
				here := hop(s, kind, "Service selects the pods")
				internal := false
				for _, f := range s.Root.Entries("metadata", "annotations") {
					internal = internal || strings.Contains(f.Key, "load-balancer-internal") && f.Value.Text != "false" || strings.Contains(f.Key, "load-balancer-type") && f.Value.Text == "Internal" ||
						strings.Contains(f.Key, "load-balancer-scheme") && f.Value.Text == "internal"
				}
				switch s.Root.String("spec", "type") {
				case "LoadBalancer":
					if !internal {
						here.Detail = "Service of type LoadBalancer"
						raise(ExposedInternet, here)
					}
				case "NodePort":
					here.Detail = "Service of type NodePort: open wherever the nodes are"
					raise(ExposedInternet, here)
				}
				if len(s.Root.List("spec", "externalIPs")) > 0 {
					raise(ExposedInternet, hop(s, s.Root.Get("spec", "externalIPs"), "Service with external addresses"))
				}
				for _, front := range objects {
					if !together(front, s) {
						continue
					}
					if at := leadsTo(front, s.Name); at != nil {
						if gateway := gatewayOf(objects, front); gateway != nil {
							raise(ExposedInternet, hop(gateway, nil, "Gateway"), hop(front, at, front.Kind+" leads to the Service"), here)
						} else {
							raise(ExposedInternet, hop(front, at, front.Kind+" leads to the Service"), here)
						}
					}
				}
				raise(ExposedCluster, here)
			}
		}
		if n := spec.Get("hostNetwork"); n != nil && n.Text == "true" {
			raise(ExposedInternet, hop(w, n, "hostNetwork: the ports are the node's"))
		}
		for _, c := range spec.List("containers") {
			for _, p := range c.List("ports") {
				if n := p.Get("hostPort"); n != nil && n.Text != "0" {
					raise(ExposedInternet, hop(w, n, "hostPort "+n.Text+" on the node"))
				}
			}
		}
		denied, opened := false, false
		for _, p := range objects {
			if p.Kind != "NetworkPolicy" || !together(p, w) || !selects(p.Root.Get("spec", "podSelector"), labels) {
				continue
			}
			types := p.Root.List("spec", "policyTypes")
			if len(types) > 0 && !slices.ContainsFunc(types, func(n *Node) bool { return n.Text == "Ingress" }) {
				continue
			}
			x.Guards = append(x.Guards, p)
			if len(p.Root.List("spec", "ingress")) == 0 {
				denied = true
			} else {
				opened = true
			}
		}
		// Policies add up: what one lets in is let in. The node's network is not theirs.
		if denied && !opened && spec.String("hostNetwork") != "true" {
			x.Denied, x.Level, x.Chain = true, ExposedNone, nil
			for _, g := range x.Guards {
				x.Chain = append(x.Chain, hop(g, nil, "NetworkPolicy lets nothing in"))
			}
		}
		all = append(all, x)
	}
	return all
}

// leadsTo gives the place at which a front object names a service.
func leadsTo(front *Object, service string) *Node {
	spec := front.Root.Get("spec")
	switch front.Kind {
	case "Ingress":
		backends := []*Node{spec.Get("defaultBackend"), spec.Get("backend")}
		for _, rule := range spec.List("rules") {
			for _, p := range rule.List("http", "paths") {
				backends = append(backends, p.Get("backend"))
			}
		}
		for _, b := range backends {
			if n := b.Get("service", "name"); n != nil && n.Text == service {
				return n
			}
			if n := b.Get("serviceName"); n != nil && n.Text == service {
				return n
			}
		}
	case "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute":
		for _, rule := range spec.List("rules") {
			for _, b := range rule.List("backendRefs") {
				if n := b.Get("name"); n != nil && n.Text == service && (b.String("kind") == "" || b.String("kind") == "Service") {
					return n
				}
			}
		}
	case "VirtualService":
		if len(spec.List("gateways")) == 0 {
			return nil
		}
		for _, list := range []string{"http", "tcp", "tls"} {
			for _, r := range spec.List(list) {
				for _, d := range r.List("route") {
					if n := d.Get("destination", "host"); n != nil && strings.Split(n.Text, ".")[0] == service {
						return n
					}
				}
			}
		}
	case "Route":
		if n := spec.Get("to", "name"); n != nil && n.Text == service && strings.Contains(front.APIVersion, "openshift") {
			return n
		}
	}
	return nil
}

func gatewayOf(objects []*Object, route *Object) *Object {
	var names []string
	for _, p := range route.Root.List("spec", "parentRefs") {
		names = append(names, p.String("name"))
	}
	for _, g := range route.Root.List("spec", "gateways") {
		names = append(names, g.Text[strings.LastIndexByte(g.Text, '/')+1:])
	}
	for _, o := range objects {
		if o.Kind == "Gateway" && o.Unit == route.Unit && slices.Contains(names, o.Name) {
			return o
		}
	}
	return nil
}

// Identity is the service account that a workload acts as, and what it may do.
type Identity struct {
	Workload *Object
	Account  string // "namespace/name", the namespace "" when none is written
	Object   *Object
	Bindings []Binding
	// Cloud are identities of clouds that the account may take: role ARN, Google
	// service account, Azure client id.
	Cloud []CloudIdentity
	// Powers summarise what is privileged: cluster-admin, secrets read, pods create ...
	Powers []string
	Token  bool // a token is mounted
}

// Binding gives a role to a service account.
type Binding struct {
	Binding *Object
	Role    string
	Rules   *Object // nil when the role is not known here
	Cluster bool
}

// CloudIdentity is an identity of a cloud that a service account may take.
type CloudIdentity struct {
	Provider string // aws, gcp, azure
	Name     string
	Place    Place
	Evidence fact.Evidence
}

var cloudAnnotations = []struct{ key, provider, method string }{
	{"eks.amazonaws.com/role-arn", "aws", "irsa"},
	{"iam.gke.io/gcp-service-account", "gcp", "gke_workload_identity"},
	{"azure.workload.identity/client-id", "azure", "azure_workload_identity"},
}

// Identities says for each workload what it acts as.
func Identities(objects []*Object) []Identity {
	var all []Identity
	for _, w := range objects {
		spec, _ := w.podSpec()
		if spec == nil {
			continue
		}
		name := spec.String("serviceAccountName")
		if name == "" {
			name = spec.String("serviceAccount")
		}
		if name == "" {
			name = "default"
		}
		id := Identity{Workload: w, Account: strings.TrimPrefix(w.Namespace+"/"+name, "/"), Token: spec.String("automountServiceAccountToken") != "false"}
		for _, o := range objects {
			if o.Kind == "ServiceAccount" && o.Name == name && together(o, w) {
				id.Object = o
				if spec.Get("automountServiceAccountToken") == nil && o.Root.String("automountServiceAccountToken") == "false" {
					id.Token = false
				}
				for _, a := range cloudAnnotations {
					if n := o.Root.Get("metadata", "annotations", a.key); n != nil && n.Text != "" {
						at := n.Place
						if o.release != nil {
							at = o.Place
						}
						id.Cloud = append(id.Cloud, CloudIdentity{a.provider, n.Text, at, fact.Evidence{Method: a.method, Source: a.key, Strength: fact.Declared}})
					}
				}
			}
			if (o.Kind == "RoleBinding" || o.Kind == "ClusterRoleBinding") && o.Unit == w.Unit && binds(o, name, w.Namespace) {
				b := Binding{Binding: o, Role: o.Root.String("roleRef", "kind") + "/" + o.Root.String("roleRef", "name"), Cluster: o.Kind == "ClusterRoleBinding"}
				for _, r := range objects {
					if r.Kind == o.Root.String("roleRef", "kind") && r.Name == o.Root.String("roleRef", "name") && r.Unit == o.Unit {
						b.Rules = r
					}
				}
				id.Bindings = append(id.Bindings, b)
			}
		}
		for _, b := range id.Bindings {
			for _, p := range powers(b) {
				if !slices.Contains(id.Powers, p) {
					id.Powers = append(id.Powers, p)
				}
			}
		}
		slices.Sort(id.Powers)
		all = append(all, id)
	}
	return all
}

func binds(binding *Object, account, namespace string) bool {
	for _, s := range binding.Root.List("subjects") {
		ns := s.String("namespace")
		if ns == "" {
			ns = binding.Namespace
		}
		near := namespace == "" || ns == "" || ns == namespace
		switch s.String("kind") {
		case "ServiceAccount":
			if s.String("name") == account && near {
				return true
			}
		case "Group":
			group := s.String("name")
			if group == "system:serviceaccounts" || group == "system:authenticated" || namespace != "" && group == "system:serviceaccounts:"+namespace {
				return true
			}
		}
	}
	return false
}

// powers summarises the privileged verbs of a binding.
func powers(b Binding) []string {
	scope := ""
	if b.Cluster {
		scope = " in all namespaces"
	}
	if b.Role == "ClusterRole/cluster-admin" || b.Role == "ClusterRole/admin" {
		return []string{strings.TrimPrefix(b.Role, "ClusterRole/") + scope}
	}
	if b.Rules == nil {
		return nil
	}
	var out []string
	for _, rule := range b.Rules.Root.List("rules") {
		has := func(list string, names ...string) bool {
			return slices.ContainsFunc(rule.List(list), func(n *Node) bool { return n.Text == "*" || slices.Contains(names, n.Text) })
		}
		if has("verbs") && has("resources") {
			out = append(out, "everything"+scope)
			continue
		}
		for _, p := range []struct {
			resource string
			verbs    []string
			say      string
		}{
			{"secrets", []string{"get", "list", "watch"}, "secrets read"},
			{"secrets", []string{"create", "update", "patch", "delete"}, "secrets write"},
			{"pods", []string{"create", "update", "patch"}, "pods create"},
			{"deployments", []string{"create", "update", "patch"}, "workloads create"},
			{"daemonsets", []string{"create", "update", "patch"}, "workloads create"},
			{"jobs", []string{"create"}, "workloads create"},
			{"pods/exec", []string{"create", "get"}, "pods exec"},
			{"nodes/proxy", []string{"get", "create"}, "nodes proxy"},
			{"serviceaccounts/token", []string{"create"}, "tokens create"},
			{"roles", []string{"escalate", "bind"}, "roles escalate or bind"},
			{"clusterroles", []string{"escalate", "bind"}, "roles escalate or bind"},
			{"rolebindings", []string{"create", "update", "patch"}, "bindings write"},
			{"clusterrolebindings", []string{"create", "update", "patch"}, "bindings write"},
			{"users", []string{"impersonate"}, "impersonate"},
			{"groups", []string{"impersonate"}, "impersonate"},
			{"serviceaccounts", []string{"impersonate"}, "impersonate"},
			{"persistentvolumes", []string{"create"}, "volumes of the host create"},
			{"validatingwebhookconfigurations", []string{"create", "update", "patch"}, "admission webhooks write"},
			{"mutatingwebhookconfigurations", []string{"create", "update", "patch"}, "admission webhooks write"},
		} {
			if has("resources", p.resource) && has("verbs", p.verbs...) {
				out = append(out, p.say+scope)
			}
		}
	}
	return out
}
