package kubernetes

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// Levels of exposure, most exposed first.
const (
	ExposedInternet = "internet"
	ExposedPrivate  = "private" // from outside the cluster, but not from the internet
	ExposedCluster  = "cluster"
	ExposedNone     = "none"
)

var exposureLevels = []string{ExposedNone, ExposedCluster, ExposedPrivate, ExposedInternet}

// Exposure says from where a workload is reached.
type Exposure struct {
	Workload *Object
	// Way is the widest way in, of those the surest.
	Way
	// Ways are all ways in, the widest and surest first.
	Ways []Way
	// Guards are the network policies that select the pods; Denied says that they
	// let nothing in.
	Guards []*Object
	Denied bool
}

// Way is one way in, from outside to a workload.
type Way struct {
	Level string
	// Confidence in the level, 0..1: an address that the cluster reports is nearly
	// certain, a node's port may stand behind any firewall.
	Confidence float64
	Reason     string // why that level, and what is not known
	Chain      []Hop
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
// chart or set of plain manifests are seen together, and those of one cluster; of a
// cluster, give its nodes too, whose addresses tell how far their ports reach.
func Exposures(objects []*Object) []Exposure {
	of := map[string][]*Object{}
	var fronts []*Object
	for _, o := range objects {
		of[o.Kind] = append(of[o.Kind], o)
		if frontKinds[o.Kind] {
			fronts = append(fronts, o)
		}
	}
	// What a front leads to is looked up by the service's name, for large clusters.
	leads := map[string][]*Object{}
	for _, front := range fronts {
		for _, name := range servicesOf(front) {
			if !slices.Contains(leads[name], front) {
				leads[name] = append(leads[name], front)
			}
		}
	}
	nodes := nodeReach(of["Node"])
	var all []Exposure
	for _, w := range objects {
		spec, _ := w.podSpec()
		if spec == nil {
			continue
		}
		x := Exposure{Workload: w}
		labels := w.podLabels()
		for _, s := range of["Service"] {
			if !together(s, w) || len(s.Root.Entries("spec", "selector")) == 0 || !selects(s.Root.Get("spec", "selector"), labels) {
				continue
			}
			here := hopAt(s, s.Root.Get("spec", "type"), "Service selects the pods")
			x.Ways = append(x.Ways, serviceWays(s, here, nodes)...)
			for _, front := range leads[s.Name] {
				at := leadsTo(front, s)
				if at == nil {
					continue
				}
				way := reach(front, of)
				way.Chain = append(way.Chain, hopAt(front, at, front.Kind+" leads to the Service"), here)
				x.Ways = append(x.Ways, way)
			}
			x.Ways = append(x.Ways, Way{ExposedCluster, .95, "a Service in the cluster", []Hop{here}})
		}
		if n := spec.Get("hostNetwork"); n != nil && n.Text == "true" {
			x.Ways = append(x.Ways, nodes.way("hostNetwork: the ports are the node's", hopAt(w, n, "hostNetwork")))
		}
		for _, c := range spec.List("containers") {
			for _, p := range c.List("ports") {
				if n := p.Get("hostPort"); n != nil && n.Text != "0" && spec.String("hostNetwork") != "true" {
					x.Ways = append(x.Ways, nodes.way("hostPort "+n.Text+" on the node", hopAt(w, n, "hostPort "+n.Text)))
				}
			}
		}
		opened := false
		for _, p := range of["NetworkPolicy"] {
			if !together(p, w) || !selects(p.Root.Get("spec", "podSelector"), labels) {
				continue
			}
			types := p.Root.List("spec", "policyTypes")
			if len(types) > 0 && !slices.ContainsFunc(types, func(n *Node) bool { return n.Text == "Ingress" }) {
				continue
			}
			x.Guards = append(x.Guards, p)
			opened = opened || len(p.Root.List("spec", "ingress")) > 0
		}
		// Policies add up: what one lets in is let in. The node's network is not theirs.
		if len(x.Guards) > 0 && !opened && spec.String("hostNetwork") != "true" {
			x.Denied, x.Ways = true, nil
			x.Way = Way{Level: ExposedNone, Confidence: .9, Reason: "a NetworkPolicy lets nothing in, if the cluster's network enforces policies"}
			for _, g := range x.Guards {
				x.Chain = append(x.Chain, hopAt(g, nil, "NetworkPolicy lets nothing in"))
			}
			all = append(all, x)
			continue
		}
		slices.SortStableFunc(x.Ways, func(a, b Way) int {
			return cmp.Or(slices.Index(exposureLevels, b.Level)-slices.Index(exposureLevels, a.Level), cmp.Compare(b.Confidence, a.Confidence))
		})
		x.Way = Way{Level: ExposedNone, Confidence: .75, Reason: "nothing that was read leads to it"}
		if len(x.Ways) > 0 {
			x.Way = x.Ways[0]
		}
		all = append(all, x)
	}
	return all
}

func hopAt(o *Object, n *Node, detail string) Hop {
	at := o.Place
	if n != nil && o.release == nil {
		at = n.Place
	}
	return Hop{o, detail, at}
}

// reachOfNodes is how far the ports of nodes reach.
type reachOfNodes struct {
	seen   bool // nodes are known
	public bool // one of them has a public address
}

func nodeReach(nodes []*Object) reachOfNodes {
	r := reachOfNodes{}
	for _, n := range nodes {
		addresses := n.Root.List("status", "addresses")
		r.seen = r.seen || len(addresses) > 0
		for _, a := range addresses {
			if public, known := publicAddress(a.String("address")); known && public {
				r.public = true
			}
		}
	}
	return r
}

func (r reachOfNodes) way(what string, hops ...Hop) Way {
	switch {
	case r.public:
		return Way{ExposedInternet, .5, what + "; nodes have public addresses, and whether a firewall stands before them is not known", hops}
	case r.seen:
		return Way{ExposedPrivate, .85, what + "; no node has a public address", hops}
	}
	return Way{ExposedInternet, .3, what + "; whether nodes have public addresses is not known", hops}
}

// publicAddress says whether an address is one of the internet; unknown for names.
func publicAddress(text string) (public, known bool) {
	address, err := netip.ParseAddr(text)
	if err != nil {
		return false, false
	}
	address = address.Unmap()
	shared := netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64, 0, 0}), 10)
	return !address.IsPrivate() && !address.IsLoopback() && !address.IsLinkLocalUnicast() && !address.IsUnspecified() && !address.IsMulticast() && !shared.Contains(address), true
}

// internalNotes are annotations by which load balancers are asked to stay inside,
// with the value that says so; "" is any but "false".
var internalNotes = []struct{ key, value string }{
	{"load-balancer-internal", ""}, {"internal-load-balancer", ""}, {"load-balancer-type", "internal"}, {"load-balancer-scheme", "internal"}, {"alb.ingress.kubernetes.io/scheme", "internal"},
	{"loadbalancer-address-type", "intranet"}, {"provider-ip-type", "private"},
}

// internal tells why annotations keep a load balancer inside, "" when none does.
func internal(o *Object) string {
	for _, f := range o.Root.Entries("metadata", "annotations") {
		for _, note := range internalNotes {
			if strings.HasSuffix(f.Key, note.key) && (strings.EqualFold(f.Value.Text, note.value) || note.value == "" && f.Value.Text != "false" && f.Value.Text != "") {
				return "the annotation " + f.Key + " keeps it internal"
			}
		}
	}
	return ""
}

// reported judges by the addresses that the cluster reports for a load balancer.
func reported(o *Object) (Way, bool) {
	list := o.Root.List("status", "loadBalancer", "ingress")
	if o.Kind == "Gateway" {
		list = o.Root.List("status", "addresses")
	}
	for _, private := range []bool{false, true} {
		for _, a := range list {
			address := cmp.Or(a.String("ip"), a.String("value"))
			if public, known := publicAddress(address); known && public != private {
				if public {
					return Way{ExposedInternet, .95, "it has the public address " + address, nil}, true
				}
				return Way{ExposedPrivate, .95, "it has the private address " + address, nil}, true
			}
			if host := cmp.Or(a.String("hostname"), address); host != "" && !private {
				if _, known := publicAddress(host); known {
					continue
				}
				if strings.HasPrefix(host, "internal-") || strings.HasSuffix(host, ".local") || strings.HasSuffix(host, ".internal") {
					return Way{ExposedPrivate, .9, "it is called " + host, nil}, true
				}
				if reason := internal(o); reason != "" {
					return Way{ExposedPrivate, .9, reason, nil}, true
				}
				return Way{ExposedInternet, .75, "it has the name " + host + ", which may lead to a private address", nil}, true
			}
		}
	}
	return Way{}, false
}

// serviceWays are the ways that a service itself opens to the outside.
func serviceWays(s *Object, here Hop, nodes reachOfNodes) []Way {
	var ways []Way
	switch s.Root.String("spec", "type") {
	case "LoadBalancer":
		here.Detail = "Service of type LoadBalancer"
		way, known := reported(s)
		if !known {
			if way = (Way{ExposedInternet, .7, "most clouds give a Service of type LoadBalancer a public address", nil}); internal(s) != "" {
				way = Way{ExposedPrivate, .9, internal(s), nil}
			} else if ofAWSController(s) && s.Root.String("metadata", "annotations", "service.beta.kubernetes.io/aws-load-balancer-scheme") == "" {
				way = Way{ExposedPrivate, .8, "the AWS Load Balancer Controller makes it internal unless told otherwise", nil}
			}
		}
		if ranges := s.Root.List("spec", "loadBalancerSourceRanges"); way.Level == ExposedInternet && len(ranges) > 0 {
			if !slices.ContainsFunc(ranges, func(n *Node) bool { return wide(n.Text) }) {
				way.Level, way.Confidence, way.Reason = ExposedPrivate, .8, "only the ranges of loadBalancerSourceRanges are let in"
			}
		}
		way.Chain = []Hop{here}
		ways = append(ways, way)
	case "NodePort":
		here.Detail = "Service of type NodePort"
		ways = append(ways, nodes.way("NodePort: open wherever the nodes are", here))
	}
	for _, n := range s.Root.List("spec", "externalIPs") {
		way := Way{ExposedPrivate, .8, "external address " + n.Text, []Hop{hopAt(s, n, "Service with external addresses")}}
		if public, _ := publicAddress(n.Text); public {
			way.Level = ExposedInternet
		}
		ways = append(ways, way)
	}
	return ways
}

// ofAWSController says whether a service asks the AWS Load Balancer Controller for
// its load balancer, and not the cloud provider within Kubernetes.
func ofAWSController(s *Object) bool {
	kind := s.Root.String("metadata", "annotations", "service.beta.kubernetes.io/aws-load-balancer-type")
	return s.Root.String("spec", "loadBalancerClass") == "service.k8s.aws/nlb" || kind == "external" || kind == "nlb-ip"
}

// wide says whether a range holds more or less every address.
func wide(text string) bool {
	prefix, err := netip.ParsePrefix(text)
	return err == nil && prefix.Bits() <= 1
}

var frontKinds = map[string]bool{"Ingress": true, "HTTPRoute": true, "GRPCRoute": true, "TCPRoute": true, "TLSRoute": true, "UDPRoute": true, "VirtualService": true, "Route": true}

// reach says how far a front reaches: by the address that the cluster reports, by
// its annotations and class, else by what is usual, with little confidence.
func reach(front *Object, of map[string][]*Object) Way {
	if gateway := gatewayOf(of["Gateway"], front); gateway != nil {
		hop := []Hop{hopAt(gateway, nil, "Gateway")}
		if way, known := reported(gateway); known {
			way.Chain = hop
			return way
		}
		class := gateway.Root.String("spec", "gatewayClassName")
		if reason := cmp.Or(internal(gateway), internalClass(class)); reason != "" {
			return Way{ExposedPrivate, .8, reason, hop}
		}
		return Way{ExposedInternet, .55, "whether the gateway has a public address is not known", hop}
	}
	if way, known := reported(front); known {
		if class := ingressClass(front); way.Level == ExposedInternet && way.Confidence < .9 && internalClass(class) != "" {
			return Way{ExposedPrivate, .7, internalClass(class), nil}
		}
		return way
	}
	class := ingressClass(front)
	switch {
	case internal(front) != "":
		return Way{ExposedPrivate, .9, internal(front), nil}
	case internalClass(class) != "":
		return Way{ExposedPrivate, .7, internalClass(class), nil}
	case class == "alb" && front.Root.String("metadata", "annotations", "alb.ingress.kubernetes.io/scheme") == "":
		return Way{ExposedPrivate, .75, "the class alb is internal unless told otherwise", nil}
	case front.Root.String("metadata", "annotations", "alb.ingress.kubernetes.io/scheme") == "internet-facing":
		return Way{ExposedInternet, .9, "the annotation alb.ingress.kubernetes.io/scheme says internet-facing", nil}
	}
	reason := "whether its controller has a public address is not known"
	if class != "" {
		reason = "whether the controller of class " + class + " has a public address is not known"
	}
	return Way{ExposedInternet, .6, reason, nil}
}

func ingressClass(o *Object) string {
	return cmp.Or(o.Root.String("spec", "ingressClassName"), o.Root.String("metadata", "annotations", "kubernetes.io/ingress.class"))
}

func internalClass(class string) string {
	lower := strings.ToLower(class)
	if strings.Contains(lower, "internal") || strings.Contains(lower, "private") || strings.Contains(lower, "intranet") {
		return "its class is called " + class
	}
	return ""
}

// servicesOf names the services that a front may lead to.
func servicesOf(front *Object) []string {
	var names []string
	var walk func(n *Node, depth int)
	walk = func(n *Node, depth int) {
		if n == nil || depth > 16 {
			return
		}
		for _, f := range n.Fields {
			if f.Value.Shape == Scalar && (f.Key == "name" || f.Key == "serviceName" || f.Key == "host") {
				name, _, _ := strings.Cut(f.Value.Text, ".")
				names = append(names, name)
			}
			walk(f.Value, depth+1)
		}
		for _, item := range n.Items {
			walk(item, depth+1)
		}
	}
	walk(front.Root.Get("spec"), 0)
	return names
}

// leadsTo gives the place at which a front object names a service, nil when it names
// none or one of another namespace.
func leadsTo(front, service *Object) *Node {
	// names says whether a reference, with the namespace that it gives, is to the service.
	names := func(n *Node, name, namespace string) bool {
		if n == nil || name != service.Name || front.Unit != service.Unit {
			return false
		}
		return namespace != "" && (service.Namespace == "" || namespace == service.Namespace) || namespace == "" && together(front, service)
	}
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
			for _, n := range []*Node{b.Get("service", "name"), b.Get("serviceName")} {
				if n != nil && names(n, n.Text, "") {
					return n
				}
			}
		}
	case "HTTPRoute", "GRPCRoute", "TCPRoute", "TLSRoute", "UDPRoute":
		for _, rule := range spec.List("rules") {
			for _, b := range rule.List("backendRefs") {
				if n := b.Get("name"); n != nil && names(n, n.Text, b.String("namespace")) && (b.String("kind") == "" || b.String("kind") == "Service") {
					return n
				}
			}
		}
	case "VirtualService":
		if !slices.ContainsFunc(spec.List("gateways"), func(n *Node) bool { return n.Text != "mesh" }) {
			return nil // among the services of the mesh only
		}
		for _, list := range []string{"http", "tcp", "tls"} {
			for _, r := range spec.List(list) {
				for _, d := range r.List("route") {
					n := d.Get("destination", "host")
					if n == nil {
						continue
					}
					name, rest, _ := strings.Cut(n.Text, ".")
					namespace, _, _ := strings.Cut(rest, ".")
					if names(n, name, namespace) {
						return n
					}
				}
			}
		}
	case "Route":
		if n := spec.Get("to", "name"); n != nil && names(n, n.Text, "") && strings.Contains(front.APIVersion, "openshift") {
			return n
		}
	}
	return nil
}

// gatewayOf gives the gateway that a route names.
func gatewayOf(gateways []*Object, route *Object) *Object {
	type reference struct{ namespace, name string }
	var to []reference
	for _, p := range route.Root.List("spec", "parentRefs") {
		to = append(to, reference{cmp.Or(p.String("namespace"), route.Namespace), p.String("name")})
	}
	for _, g := range route.Root.List("spec", "gateways") {
		namespace, name, ok := strings.Cut(g.Text, "/")
		if !ok {
			namespace, name = route.Namespace, g.Text
		}
		to = append(to, reference{namespace, name})
	}
	for _, o := range gateways {
		if o.Unit == route.Unit && slices.ContainsFunc(to, func(r reference) bool {
			return r.name == o.Name && (r.namespace == "" || o.Namespace == "" || r.namespace == o.Namespace)
		}) {
			return o
		}
	}
	return nil
}

// Identity is a service account that a workload acts as, and what it may do.
type Identity struct {
	Workload *Object // nil for an account that is told by itself
	Account  string  // "namespace/name", the namespace "" when none is written
	Object   *Object // nil when the account is not declared here
	Bindings []Binding
	// Cloud are identities of clouds that the account may take: role ARN, Google
	// service account, Azure client id.
	Cloud []CloudIdentity
	// Powers summarise what is privileged: cluster-admin, secrets read, pods create ...
	Powers []string
	// Privileges say how much it may do in all: "", read, write, privileged (it can
	// come to more than it has) or admin.
	Privileges string
	Token      bool // a token is mounted
}

// Binding gives a role to a service account.
type Binding struct {
	Binding *Object
	Role    string
	Rules   *Object // nil when the role is not known here
	Cluster bool    // in all namespaces
	// Privileges and Powers of this binding alone.
	Privileges string
	Powers     []string
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

// rights are the accounts, roles and bindings of a set of objects.
type rights struct{ accounts, bindings, roles []*Object }

func rightsOf(objects []*Object) rights {
	var r rights
	for _, o := range objects {
		switch o.Kind {
		case "ServiceAccount":
			r.accounts = append(r.accounts, o)
		case "RoleBinding", "ClusterRoleBinding":
			r.bindings = append(r.bindings, o)
		case "Role", "ClusterRole":
			r.roles = append(r.roles, o)
		}
	}
	return r
}

// Identities says for each workload what it acts as.
func Identities(objects []*Object) []Identity {
	r := rightsOf(objects)
	var all []Identity
	for _, w := range objects {
		spec, _ := w.podSpec()
		if spec == nil {
			continue
		}
		name := cmp.Or(spec.String("serviceAccountName"), spec.String("serviceAccount"), "default")
		id := r.identity(name, w)
		id.Workload = w
		id.Token = spec.String("automountServiceAccountToken") != "false"
		if spec.Get("automountServiceAccountToken") == nil && id.Object != nil && id.Object.Root.String("automountServiceAccountToken") == "false" {
			id.Token = false
		}
		all = append(all, id)
	}
	return all
}

// Accounts says of each service account what it may do, whether or not a workload
// acts as it.
func Accounts(objects []*Object) []Identity {
	r := rightsOf(objects)
	all := make([]Identity, len(r.accounts))
	for i, account := range r.accounts {
		all[i] = r.identity(account.Name, account)
	}
	return all
}

// identity tells of an account as seen from an object that stands beside it.
func (r rights) identity(name string, beside *Object) Identity {
	id := Identity{Account: strings.TrimPrefix(beside.Namespace+"/"+name, "/")}
	for _, o := range r.accounts {
		if o.Name != name || !together(o, beside) {
			continue
		}
		id.Object = o
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
	for _, o := range r.bindings {
		if o.Unit != beside.Unit || harmless[o.Root.String("roleRef", "name")] || !binds(o, name, beside.Namespace) {
			continue
		}
		id.bind(r.binding(o))
	}
	return id
}

// binding reads a binding with its role.
func (r rights) binding(o *Object) Binding {
	b := Binding{Binding: o, Role: o.Root.String("roleRef", "kind") + "/" + o.Root.String("roleRef", "name"), Cluster: o.Kind == "ClusterRoleBinding"}
	for _, role := range r.roles {
		if role.Kind == o.Root.String("roleRef", "kind") && role.Name == o.Root.String("roleRef", "name") && role.Unit == o.Unit && (role.Kind == "ClusterRole" || together(role, o)) {
			b.Rules = role
		}
	}
	b.judge()
	return b
}

func (id *Identity) bind(b Binding) {
	id.Bindings = append(id.Bindings, b)
	id.Privileges = Stronger(id.Privileges, b.Privileges)
	for _, p := range b.Powers {
		if !slices.Contains(id.Powers, p) {
			id.Powers = append(id.Powers, p)
		}
	}
	slices.Sort(id.Powers)
}

// Subjects says what users and groups may do, by the bindings that name them; their
// Account is "User/name" or "Group/name". Sorted by that.
func Subjects(objects []*Object) []Identity {
	r := rightsOf(objects)
	found := map[string]*Identity{}
	for _, o := range r.bindings {
		if harmless[o.Root.String("roleRef", "name")] {
			continue
		}
		for _, s := range o.Root.List("subjects") {
			kind, name := s.String("kind"), s.String("name")
			if kind != "User" && kind != "Group" || name == "" || strings.HasPrefix(name, "system:serviceaccount:") {
				continue
			}
			if found[kind+"/"+name] == nil {
				found[kind+"/"+name] = &Identity{Account: kind + "/" + name}
			}
			found[kind+"/"+name].bind(r.binding(o))
		}
	}
	all := make([]Identity, 0, len(found))
	for _, account := range sorted(found) {
		all = append(all, *found[account])
	}
	return all
}

// privilegeLevels from nothing to everything.
var privilegeLevels = []string{"", "read", "write", "privileged", "admin"}

// Stronger gives the higher of two words for privileges.
func Stronger(a, b string) string {
	return privilegeLevels[max(slices.Index(privilegeLevels, a), slices.Index(privilegeLevels, b))]
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
		case "User":
			if namespace != "" && s.String("name") == "system:serviceaccount:"+namespace+":"+account {
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

// builtInRoles are those that every cluster has, for when their rules were not read.
var builtInRoles = map[string]string{
	"ClusterRole/cluster-admin": "admin", "ClusterRole/admin": "privileged", "ClusterRole/edit": "privileged", "ClusterRole/view": "read",
}

// harmless are the roles that every cluster gives to everyone: to ask what one may do
// oneself, and what the cluster offers.
var harmless = map[string]bool{"system:basic-user": true, "system:discovery": true, "system:public-info-viewer": true, "system:service-account-issuer-discovery": true}

// privileged are verbs on resources by which an account can come to more than it
// was given.
var privileged = []struct {
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
}

// judge fills in what the binding's role allows: its privileged powers and how much
// it is in all.
func (b *Binding) judge() {
	scope := ""
	if b.Cluster {
		scope = " in all namespaces"
	}
	b.Privileges = builtInRoles[b.Role]
	if b.Privileges == "admin" && !b.Cluster {
		b.Privileges = "privileged" // in one namespace
	}
	if b.Role == "ClusterRole/cluster-admin" || b.Role == "ClusterRole/admin" {
		b.Powers = []string{strings.TrimPrefix(b.Role, "ClusterRole/") + scope}
		return
	}
	if b.Rules == nil {
		return
	}
	for _, rule := range b.Rules.Root.List("rules") {
		has := func(list string, names ...string) bool {
			return slices.ContainsFunc(rule.List(list), func(n *Node) bool { return n.Text == "*" || slices.Contains(names, n.Text) })
		}
		verbs := rule.List("verbs")
		switch {
		case len(verbs) == 0:
			continue
		case slices.ContainsFunc(verbs, func(n *Node) bool { return n.Text != "get" && n.Text != "list" && n.Text != "watch" }):
			b.Privileges = Stronger(b.Privileges, "write")
		default:
			b.Privileges = Stronger(b.Privileges, "read")
		}
		if has("verbs") && has("resources") && has("apiGroups") {
			b.Powers = append(b.Powers, "everything"+scope)
			level := "privileged"
			if b.Cluster {
				level = "admin"
			}
			b.Privileges = Stronger(b.Privileges, level)
			continue
		}
		for _, p := range privileged {
			if !has("resources", p.resource) || !has("verbs", p.verbs...) {
				continue
			}
			if len(rule.List("resourceNames")) > 0 && strings.HasPrefix(p.say, "secrets") {
				continue // those that are named, which are its own
			}
			b.Powers = append(b.Powers, p.say+scope)
			b.Privileges = Stronger(b.Privileges, "privileged")
		}
	}
}

// PodRisks names what of a workload's pods reaches beyond their containers, sorted.
func (o *Object) PodRisks() []string {
	spec, _ := o.podSpec()
	found := map[string]bool{}
	for _, field := range []string{"hostNetwork", "hostPID", "hostIPC"} {
		if spec.String(field) == "true" {
			found[field] = true
		}
	}
	for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for _, c := range spec.List(list) {
			if c.String("securityContext", "privileged") == "true" {
				found["privileged"] = true
			}
			if c.String("securityContext", "allowPrivilegeEscalation") == "true" {
				found["allowPrivilegeEscalation"] = true
			}
			if cmp.Or(c.String("securityContext", "runAsUser"), spec.String("securityContext", "runAsUser")) == "0" {
				found["runAsUser 0"] = true
			}
			for _, capability := range c.List("securityContext", "capabilities", "add") {
				found["capability "+capability.Text] = true
			}
		}
	}
	for _, v := range spec.List("volumes") {
		if path := v.String("hostPath", "path"); path != "" {
			found["hostPath "+path] = true
		}
	}
	return sorted(found)
}
