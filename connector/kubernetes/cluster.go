package kubernetes

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
)

// Bounds of what one object may say.
const (
	maxProperty = 2048 // bytes of a property's value
	maxName     = 512  // bytes of a name
	maxLabels   = 100
)

// cluster gathers one cluster. The first error of the sink stays and ends the run.
type cluster struct {
	sink    connector.Sink
	asset   fact.Asset
	context string // before the scopes of what is told together
	source  string // for evidence
	err     error
	// kept are the objects that others are joined with, each once.
	kept     []*kubernetes.Object
	keys     map[string]bool
	owners   map[string]owner // of what stands between pods and their controllers
	pods     []pod
	podFirst map[string]*kubernetes.Object // a pod of each owner, for the joins
	releases map[string]kubernetes.HelmRelease
}

func newCluster(sink connector.Sink, asset fact.Asset, context, source string) *cluster {
	return &cluster{sink: sink, asset: asset, context: context, source: source, keys: map[string]bool{}, owners: map[string]owner{}, podFirst: map[string]*kubernetes.Object{}, releases: map[string]kubernetes.HelmRelease{}}
}

// owner is the controller that an object names.
type owner struct{ version, kind, name string }

// pod is what is kept of a pod that a controller made.
type pod struct {
	namespace string
	owner     owner
	runs      []run
}

// run is one container of a running pod.
type run struct{ container, reference, digest string }

// ownerOf gives the controller of an object, the zero one when it has none.
func ownerOf(o *kubernetes.Object) owner {
	for _, ref := range o.Root.List("metadata", "ownerReferences") {
		if ref.String("controller") == "true" {
			return owner{ref.String("apiVersion"), ref.String("kind"), ref.String("name")}
		}
	}
	return owner{}
}

func (o owner) group() string {
	group, _, ok := strings.Cut(o.version, "/")
	if !ok {
		return ""
	}
	return group
}

// key gives the key of an object: cluster/namespace/Kind.group/name.
func (c *cluster) key(namespace, kind, group, name string) string {
	if group != "" {
		kind += "." + group
	}
	return c.asset.Key + "/" + cmp.Or(namespace, "-") + "/" + kind + "/" + name
}

func (c *cluster) object(o *kubernetes.Object) fact.Asset {
	return fact.Asset{Kind: fact.AssetKubernetes, Key: c.key(o.Namespace, o.Kind, o.Group(), o.Name), Name: o.Name}
}

func (c *cluster) workload(o *kubernetes.Object) fact.Asset {
	asset := c.object(o)
	asset.Kind = fact.AssetWorkload
	return asset
}

// account names a service account as an identity.
func (c *cluster) account(namespace, name string) fact.Asset {
	return fact.Asset{Kind: fact.AssetIdentity, Key: c.key(namespace, "ServiceAccount", "", name), Name: name}
}

type properties map[string]string

func (p properties) clean() map[string]string {
	clean := map[string]string{}
	for name, value := range p {
		if value == "" {
			continue
		}
		if len(value) > maxProperty {
			value = strings.ToValidUTF8(value[:maxProperty], "")
		}
		clean[name] = value
	}
	return clean
}

func (c *cluster) node(scope string, asset fact.Asset, said properties) {
	if c.err == nil {
		c.err = c.sink.Node(scope, fact.Node{Asset: asset, Properties: said.clean()})
	}
}

func (c *cluster) relate(scope string, from fact.Asset, kind fact.RelationKind, to fact.Asset, method string, strength fact.Strength, confidence float64, said properties) {
	if c.err == nil {
		c.err = c.sink.Relation(scope, fact.Relation{From: from, Kind: kind, To: to, Confidence: confidence, Properties: said.clean(),
			Evidence: fact.Evidence{Method: method, Source: c.source, Strength: strength}})
	}
}

// joined are the kinds that joins are made of; of others only the node is told.
var joined = map[string]bool{
	"Service": true, "Ingress": true, "Gateway": true, "HTTPRoute": true, "GRPCRoute": true, "TCPRoute": true, "TLSRoute": true, "UDPRoute": true, "VirtualService": true, "Route": true,
	"NetworkPolicy": true, "ServiceAccount": true, "Role": true, "ClusterRole": true, "RoleBinding": true, "ClusterRoleBinding": true, "Node": true,
	"Application": true, "Kustomization": true, "HelmRelease": true, "GitRepository": true,
}

// silent are kinds that are joined but say nothing by themselves, since they come
// and go or since what they mean is told of an account.
var silent = map[string]bool{"Role": true, "ClusterRole": true, "RoleBinding": true, "ClusterRoleBinding": true, "Event": true, "Endpoints": true, "EndpointSlice": true, "Lease": true, "ControllerRevision": true}

// take is given every object once it is read. tell says whether the scope is to be
// told, or only joined, since an earlier run has covered it.
func (c *cluster) take(scope string, o *kubernetes.Object, tell bool) {
	if c.err != nil || o.Name == "" {
		return
	}
	if len(o.Name) > maxName || len(o.Namespace) > maxName {
		c.sink.Note(scope, "an object's name of more than 512 bytes; it is left out")
		return
	}
	release, ok, err := kubernetes.ReadHelmRelease(o)
	if err != nil {
		c.sink.Note(scope, err.Error())
	}
	o.Slim()
	if ok {
		if key := release.Namespace + "/" + release.Name; err == nil && release.Newer(c.releases[key]) {
			c.releases[key] = release.WithoutValues()
		}
		return
	}
	by := ownerOf(o)
	switch {
	case o.Kind == "ReplicaSet" || o.Kind == "Job" || o.Kind == "ReplicationController":
		c.owners[o.Namespace+"/"+o.Kind+"/"+o.Name] = by
		if by.name != "" {
			// It stands between its controller and its pods. Scanners name ReplicaSets,
			// so those that have pods are told to be the controller's.
			if tell && o.Kind == "ReplicaSet" && o.Root.String("spec", "replicas") != "0" {
				controller := fact.Asset{Kind: fact.AssetKubernetes, Key: c.key(o.Namespace, by.kind, by.group(), by.name), Name: by.name}
				c.relate(scope, controller, fact.Controls, c.object(o), "owner_reference", fact.Attested, 0, nil)
			}
			return
		}
	case o.Kind == "Pod":
		c.takePod(o, by)
		if by.name != "" && by.kind != "Node" {
			return
		}
	}
	works := len(o.Containers()) > 0
	if key := c.object(o).Key; !c.keys[key] && (works || joined[o.Kind]) {
		c.keys[key] = true
		c.kept = append(c.kept, o)
	}
	if tell && !silent[o.Kind] {
		c.tell(scope, o)
	}
}

// takePod keeps which images a pod runs.
func (c *cluster) takePod(o *kubernetes.Object, by owner) {
	if by.name == "" || by.kind == "Node" {
		by = owner{o.APIVersion, "Pod", o.Name}
	}
	switch o.Root.String("status", "phase") {
	case "Succeeded", "Failed":
		if by.kind != "Job" {
			return // it ran, and does no more
		}
	}
	images := map[string]string{}
	for _, list := range []string{"initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses"} {
		for _, status := range o.Root.List("status", list) {
			images[status.String("name")] = digestOf(status.String("imageID"))
		}
	}
	p := pod{namespace: o.Namespace, owner: by}
	for _, container := range o.Containers() {
		p.runs = append(p.runs, run{container.Name, container.Image, images[container.Name]})
	}
	c.pods = append(c.pods, p)
	key := o.Namespace + "/" + by.kind + "/" + by.name
	if c.podFirst[key] == nil {
		c.podFirst[key] = o
	}
}

// digestOf gives the digest of an image's manifest from a pod's imageID: that behind
// the @. A digest alone may be that of the image's configuration, as Docker reports
// it for images without a registry, and names no image elsewhere.
func digestOf(id string) string {
	_, digest, ok := strings.Cut(id, "@")
	if !ok || !strings.HasPrefix(digest, "sha256:") || len(digest) != len("sha256:")+64 {
		return ""
	}
	return digest
}

// tell says what an object is by itself.
func (c *cluster) tell(scope string, o *kubernetes.Object) {
	asset := c.object(o)
	said := properties{"kind": o.Kind, "api_version": o.APIVersion, "namespace": o.Namespace, "name": o.Name, "created": o.Root.String("metadata", "creationTimestamp")}
	for i, label := range o.Root.Entries("metadata", "labels") {
		if i < maxLabels && len(label.Key) <= maxName {
			said["label:"+label.Key] = label.Value.Text
		}
	}
	for _, t := range o.Tracking() {
		switch t.Method {
		case "helm_release":
			said["helm_release"], said["helm_chart"] = t.Name, t.Detail
		case "kustomize_origin":
			said["kustomize_origin"] = t.Detail
		case "argocd_instance": // it may be that of a chart: told when there is such an Application
		default:
			said["gitops"] = cmp.Or(said["gitops"], t.Method)
			said["gitops_source"] = cmp.Or(said["gitops_source"], strings.TrimPrefix(t.Namespace+"/"+t.Kind+"/"+t.Name, "/"))
		}
	}
	describe(o, said)
	c.node(scope, asset, said)
	home := c.asset
	if o.Namespace != "" {
		home = fact.Asset{Kind: fact.AssetKubernetes, Key: c.key("", "Namespace", "", o.Namespace), Name: o.Namespace}
	}
	c.relate(scope, asset, fact.PartOf, home, "kubernetes_object", fact.Attested, 0, nil)
	if machine := c.machine(o); machine.Key != "" {
		c.relate(scope, asset, fact.PartOf, machine, "provider_id", fact.Attested, 0, properties{"same": "true"})
	}
	c.claims(scope, asset, o)
	if len(o.Containers()) > 0 {
		c.tellWorkload(scope, o, said)
	}
}

// machine gives the cloud's own machine behind a node, in the account of a cluster
// that is named by its ARN; an asset without key when it is not known.
func (c *cluster) machine(o *kubernetes.Object) fact.Asset {
	zone, id, ok := strings.Cut(strings.TrimPrefix(o.Root.String("spec", "providerID"), "aws:///"), "/")
	arn := strings.SplitN(c.asset.Key, ":", 6)
	if o.Kind != "Node" || !ok || !strings.HasPrefix(id, "i-") || len(arn) != 6 || arn[0] != "arn" || !strings.HasPrefix(zone, arn[3]) {
		return fact.Asset{}
	}
	return fact.Asset{Kind: fact.AssetResource, Key: strings.Join([]string{"arn", arn[1], "ec2", arn[3], arn[4], "instance/" + id}, ":"), Name: id}
}

// addresses are those that the cluster reports for what it exposes, sorted.
func addresses(o *kubernetes.Object) string {
	set := map[string]bool{}
	for _, a := range slices.Concat(o.Root.List("status", "loadBalancer", "ingress"), o.Root.List("status", "addresses")) {
		if address := cmp.Or(a.String("ip"), a.String("hostname"), a.String("value"), a.String("address")); address != "" {
			set[address] = true
		}
	}
	return list(set)
}

// tellWorkload says that an object runs, under the key of the object.
func (c *cluster) tellWorkload(scope string, o *kubernetes.Object, said properties) {
	workload := c.workload(o)
	c.node(scope, workload, said)
	c.relate(scope, workload, fact.PartOf, c.object(o), "kubernetes_object", fact.Attested, 0, properties{"same": "true"})
	c.relate(scope, workload, fact.RunsIn, c.asset, "kubernetes_object", fact.Attested, 0, nil)
}

// describe adds what a kind says of itself.
func describe(o *kubernetes.Object, said properties) {
	root := o.Root
	texts := func(nodes []*kubernetes.Node, keys ...string) string {
		var all []string
		for _, n := range nodes {
			text := n.Text
			if len(keys) > 0 {
				text = n.String(keys...)
			}
			if text != "" && !slices.Contains(all, text) {
				all = append(all, text)
			}
		}
		slices.Sort(all)
		return strings.Join(all, ", ")
	}
	said["addresses"] = addresses(o)
	switch o.Kind {
	case "Service":
		said["type"] = root.String("spec", "type")
		var ports []string
		for _, p := range root.List("spec", "ports") {
			ports = append(ports, strings.ToLower(cmp.Or(p.String("protocol"), "TCP"))+"/"+p.String("port"))
		}
		said["ports"] = strings.Join(ports, ", ")
	case "Ingress":
		said["class"] = cmp.Or(root.String("spec", "ingressClassName"), root.String("metadata", "annotations", "kubernetes.io/ingress.class"))
		said["hosts"] = texts(root.List("spec", "rules"), "host")
		said["tls"] = strconv.FormatBool(len(root.List("spec", "tls")) > 0)
	case "HTTPRoute", "GRPCRoute", "TLSRoute":
		said["hosts"] = texts(root.List("spec", "hostnames"))
	case "VirtualService":
		said["hosts"] = texts(root.List("spec", "hosts"))
	case "Gateway":
		said["class"] = root.String("spec", "gatewayClassName")
		said["hosts"] = texts(root.List("spec", "listeners"), "hostname")
	case "Node":
		said["provider_id"] = root.String("spec", "providerID")
		said["kubelet_version"] = root.String("status", "nodeInfo", "kubeletVersion")
		said["os_image"] = root.String("status", "nodeInfo", "osImage")
		said["kernel_version"] = root.String("status", "nodeInfo", "kernelVersion")
		said["container_runtime"] = root.String("status", "nodeInfo", "containerRuntimeVersion")
	case "Secret":
		said["type"] = root.String("type")
	case "Application", "Kustomization", "HelmRelease", "GitRepository":
		said["revision"] = cmp.Or(root.String("status", "sync", "revision"), root.String("status", "lastAppliedRevision"), root.String("status", "artifact", "revision"))
	}
	containers := o.Containers()
	if len(containers) == 0 {
		return
	}
	said["replicas"] = root.String("spec", "replicas")
	said["schedule"] = root.String("spec", "schedule")
	images := map[string]bool{}
	for _, container := range containers {
		images[container.Image] = true
	}
	var names []string
	for image := range images {
		names = append(names, image)
	}
	slices.Sort(names)
	said["images"] = strings.Join(names, ", ")
	said["risks"] = strings.Join(o.PodRisks(), ", ")
}

// ownerKeys are the last parts of labels and annotations that name who owns a thing,
// with the role that they give; as in the rules for the tags of clouds.
var ownerKeys = []struct{ key, kind, role string }{
	{"owner", "", "owner"}, {"owners", "", "owner"}, {"owned-by", "", "owner"}, {"team", "team", "owner"}, {"squad", "team", "owner"}, {"owning-team", "team", "owner"}, {"owner-team", "team", "owner"}, {"team-name", "team", "owner"},
	{"contact", "", "primary"}, {"maintainer", "", "primary"}, {"maintainers", "", "primary"}, {"owner-email", "", "primary"}, {"on-call", "", "on_call"}, {"oncall", "", "on_call"},
}

// nobody are values that are written when there is no owner.
var nobody = []string{"", "-", "n/a", "na", "none", "null", "unknown", "tbd", "todo", "default", "helm", "true", "false"}

// claims gives who owns an object by its labels and annotations.
func (c *cluster) claims(scope string, asset fact.Asset, o *kubernetes.Object) {
	told := map[fact.Party]bool{}
	for _, where := range []string{"labels", "annotations"} {
		for _, f := range o.Root.Entries("metadata", where) {
			last := strings.ToLower(f.Key[strings.LastIndexByte(f.Key, '/')+1:])
			for _, k := range ownerKeys {
				if strings.ReplaceAll(last, "_", "-") != k.key || f.Value.Shape != kubernetes.Scalar || len(f.Value.Text) > maxName {
					continue
				}
				for name := range strings.FieldsFuncSeq(f.Value.Text, func(r rune) bool { return r == ',' || r == ';' }) {
					name = strings.TrimSpace(name)
					if slices.Contains(nobody, strings.ToLower(name)) {
						continue
					}
					party := fact.Party{Kind: k.kind, ID: name, Name: name}
					if party.Kind == "" {
						party.Kind = "team"
						if strings.Contains(name, "@") && !strings.HasPrefix(name, "@") {
							party.Kind = "person"
						}
					}
					if c.err != nil || told[party] {
						continue
					}
					told[party] = true
					c.err = c.sink.Claim(scope, fact.Claim{
						Subject: asset, Owner: party, Role: k.role, Source: "kubernetes:" + c.asset.Key, Confidence: .75,
						Evidence: fact.Evidence{Method: "kubernetes_" + strings.TrimSuffix(where, "s"), Source: f.Key, Strength: fact.Declared, Detail: f.Value.Text},
					})
				}
			}
		}
	}
}
