package kubernetes

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
)

// surelyPublic is the confidence from which the internet is said to expose a thing.
// What is less sure is a property only.
const surelyPublic = .5

// join is what follows from several kinds together.
type join struct {
	name  string
	needs []string // Kind.group
	tell  func(v *view)
}

// joins are told in this order.
func joins() []join {
	workloads := []string{"Deployment.apps", "StatefulSet.apps", "DaemonSet.apps", "ReplicaSet.apps", "Job.batch", "CronJob.batch", "Pod"}
	return []join{
		{"images", workloads, (*view).images},
		{"exposures", append([]string{"Service", "Ingress.networking.k8s.io", "NetworkPolicy.networking.k8s.io", "Node", "Gateway.gateway.networking.k8s.io", "HTTPRoute.gateway.networking.k8s.io",
			"GRPCRoute.gateway.networking.k8s.io", "Gateway.networking.istio.io", "VirtualService.networking.istio.io", "Route.route.openshift.io"}, workloads...), (*view).exposures},
		{"identities", append([]string{"ServiceAccount", "Role.rbac.authorization.k8s.io", "RoleBinding.rbac.authorization.k8s.io", "ClusterRole.rbac.authorization.k8s.io", "ClusterRoleBinding.rbac.authorization.k8s.io"}, workloads...), (*view).identities},
		{"gitops", append([]string{"Application.argoproj.io", "Kustomization.kustomize.toolkit.fluxcd.io", "HelmRelease.helm.toolkit.fluxcd.io", "GitRepository.source.toolkit.fluxcd.io", "Secret"}, workloads...), (*view).gitops},
	}
}

// view is what is told together of a cluster, or of one of its namespaces.
type view struct {
	*cluster
	scope string
	in    string // namespace, "" for all
	told  map[string]bool
}

// tellJoins tells what follows together of a namespace, "" for all. missing says why
// kinds were not read; what needs them is a gap.
func (c *cluster) tellJoins(namespace string, missing func(kind string) string) error {
	for _, j := range joins() {
		scope := c.context + "/" + cmp.Or(namespace, "cluster") + "/" + j.name
		if c.sink.Done(scope) {
			continue
		}
		j.tell(&view{cluster: c, scope: scope, in: namespace, told: map[string]bool{}})
		if c.err != nil {
			return c.err
		}
		var lacking []string
		for _, kind := range j.needs {
			if why := missing(kind); why != "" {
				lacking = append(lacking, why)
			}
		}
		if len(lacking) > 0 {
			slices.Sort(lacking)
			c.sink.Gap(scope, errors.New("not complete without "+strings.Join(slices.Compact(lacking), ", ")))
			continue
		}
		if err := c.sink.Covered(scope); err != nil {
			return err
		}
	}
	return nil
}

// objects are those that are seen together.
func (v *view) objects() []*kubernetes.Object {
	if v.in == "" {
		return v.kept
	}
	var all []*kubernetes.Object
	for _, o := range v.kept {
		if o.Namespace == v.in || o.Namespace == "" || o.Kind == "Gateway" {
			all = append(all, o)
		}
	}
	return all
}

// once says whether a fact is told for the first time in this scope.
func (v *view) once(parts ...string) bool {
	key := strings.Join(parts, "\x00")
	if v.told[key] {
		return false
	}
	v.told[key] = true
	return true
}

// top follows what stands between a pod and its controller.
func (c *cluster) top(namespace string, by owner) owner {
	for range 10 {
		up, ok := c.owners[namespace+"/"+by.kind+"/"+by.name]
		if !ok || up.name == "" {
			return by
		}
		by = up
	}
	return by
}

// controller gives the workload of a pod's owner.
func (c *cluster) controller(namespace string, by owner) fact.Asset {
	by = c.top(namespace, by)
	return fact.Asset{Kind: fact.AssetWorkload, Key: c.key(namespace, by.kind, by.group(), by.name), Name: by.name}
}

// images tells which images run where: by digest from the status of pods, by name
// for what has none.
func (v *view) images() {
	type edge struct{ workload, digest string }
	type seen struct {
		workload               fact.Asset
		containers, references map[string]bool
		running                int
	}
	found := map[edge]*seen{}
	running := map[string]bool{}
	for _, p := range v.pods {
		if v.in != "" && p.namespace != v.in {
			continue
		}
		workload := v.controller(p.namespace, p.owner)
		if !v.keys[workload.Key] && v.once(workload.Key) {
			// Its controller is of a kind that was not read: its pods are all that is known.
			said := properties{"namespace": p.namespace, "name": workload.Name, "kind": v.top(p.namespace, p.owner).kind}
			object := fact.Asset{Kind: fact.AssetKubernetes, Key: workload.Key, Name: workload.Name}
			v.node(v.scope, object, said)
			v.node(v.scope, workload, said)
			v.relate(v.scope, workload, fact.PartOf, object, "pod_owner", fact.Attested, 0, properties{"same": "true"})
			v.relate(v.scope, workload, fact.RunsIn, v.asset, "pod_owner", fact.Attested, 0, nil)
		}
		for _, r := range p.runs {
			if r.digest == "" {
				continue
			}
			running[workload.Key+"\x00"+r.container] = true
			e := edge{workload.Key, r.digest}
			if found[e] == nil {
				found[e] = &seen{workload, map[string]bool{}, map[string]bool{}, 0}
			}
			found[e].containers[r.container], found[e].references[r.reference] = true, true
			found[e].running++
		}
	}
	order := slices.SortedFunc(maps.Keys(found), func(a, b edge) int {
		return cmp.Or(cmp.Compare(a.workload, b.workload), cmp.Compare(a.digest, b.digest))
	})
	for _, e := range order {
		all := found[e]
		image := fact.Asset{Kind: fact.AssetImage, Key: e.digest, Name: slices.Min(slices.Collect(maps.Keys(all.references)))}
		if v.once("image", image.Key) {
			v.node(v.scope, image, properties{"reference": image.Name, "digest": image.Key})
		}
		v.relate(v.scope, all.workload, fact.InstanceOf, image, "pod_status", fact.Attested, 0, properties{
			"containers": list(all.containers), "references": list(all.references), "containers_running": strconv.Itoa(all.running),
		})
	}
	for _, o := range v.objects() {
		containers := map[fact.Asset]map[string]bool{}
		workload := v.workload(o)
		for _, container := range o.Containers() {
			if container.Image == "" || running[workload.Key+"\x00"+container.Name] {
				continue
			}
			image := fact.Asset{Kind: fact.AssetImage, Key: container.Image, Name: container.Image}
			if digest := digestOf(container.Image); digest != "" {
				image.Key = digest
			}
			if containers[image] == nil {
				containers[image] = map[string]bool{}
			}
			containers[image][container.Name] = true
		}
		for _, image := range slices.SortedFunc(maps.Keys(containers), func(a, b fact.Asset) int { return cmp.Compare(a.Name, b.Name) }) {
			if v.once("image", image.Key) {
				v.node(v.scope, image, properties{"reference": image.Name})
			}
			v.relate(v.scope, workload, fact.InstanceOf, image, "pod_template", fact.Declared, 0, properties{"containers": list(containers[image]), "references": image.Name})
		}
	}
}

func list(set map[string]bool) string { return strings.Join(slices.Sorted(maps.Keys(set)), ", ") }

// workloads are the objects that are joined, with a pod for each controller of a
// kind that was not read; of gives the workload that an object is, or is a pod of.
func (v *view) workloads() (objects []*kubernetes.Object, of func(*kubernetes.Object) fact.Asset) {
	objects = slices.Clone(v.objects())
	pods := map[*kubernetes.Object]fact.Asset{}
	known := map[string]bool{}
	for _, p := range v.pods {
		workload := v.controller(p.namespace, p.owner)
		first := v.podFirst[p.namespace+"/"+p.owner.kind+"/"+p.owner.name]
		if v.in != "" && p.namespace != v.in || v.keys[workload.Key] || known[workload.Key] || first == nil {
			continue
		}
		known[workload.Key] = true
		pods[first] = workload
		objects = append(objects, first)
	}
	return objects, func(o *kubernetes.Object) fact.Asset {
		if workload, ok := pods[o]; ok {
			return workload
		}
		return v.workload(o)
	}
}

// exposures tells what leads to workloads from outside, and what guards them.
func (v *view) exposures() {
	internet := fact.Asset{Kind: fact.AssetInternet, Key: "internet", Name: "internet"}
	objects, of := v.workloads()
	for _, x := range kubernetes.Exposures(objects) {
		workload := of(x.Workload)
		v.node(v.scope, workload, properties{"exposure": x.Level, "exposure_confidence": strconv.FormatFloat(x.Confidence, 'f', 2, 64), "exposure_reason": x.Reason})
		for _, guard := range x.Guards {
			v.relate(v.scope, v.object(guard), fact.Guards, workload, "network_policy", fact.Attested, 0, properties{"denies_all": strconv.FormatBool(x.Denied)})
		}
		for _, way := range x.Ways {
			last := fact.Asset{}
			if way.Level == kubernetes.ExposedInternet && way.Confidence >= surelyPublic {
				last = internet
			}
			for _, hop := range way.Chain {
				next := v.object(hop.Object)
				if hop.Object == x.Workload {
					next = workload
				}
				v.leads(last, next, way, hop.Detail)
				last = next
			}
			if last.Key != workload.Key {
				v.leads(last, workload, way, "selects its pods")
			}
		}
	}
}

// leads tells that one thing exposes another, once.
func (v *view) leads(from, to fact.Asset, way kubernetes.Way, detail string) {
	if from.Key == "" || !v.once("exposes", from.Key, to.Kind, to.Key) {
		return
	}
	if from.Kind != fact.AssetInternet {
		v.relate(v.scope, from, fact.Exposes, to, "kubernetes_reference", fact.Attested, 0, properties{"detail": detail})
		return
	}
	strength := fact.Derived
	switch {
	case way.Confidence >= .9:
		strength = fact.Attested
	case way.Confidence >= .7:
		strength = fact.Declared
	}
	v.relate(v.scope, from, fact.Exposes, to, "kubernetes_exposure", strength, way.Confidence, properties{"reason": way.Reason, "detail": detail})
}

// identities tells whom workloads act as, what service accounts may do, and which
// identities of clouds they may take.
func (v *view) identities() {
	objects, of := v.workloads()
	for _, id := range kubernetes.Accounts(objects) {
		account := v.account(id.Object.Namespace, id.Object.Name)
		v.node(v.scope, account, properties{"identity": "service account", "namespace": id.Object.Namespace, "privileges": id.Privileges, "powers": strings.Join(id.Powers, ", ")})
		v.relate(v.scope, account, fact.PartOf, v.object(id.Object), "kubernetes_object", fact.Attested, 0, properties{"same": "true"})
		v.mayAct(account, id)
		for _, cloud := range id.Cloud {
			name := cloud.Name[strings.LastIndexByte(cloud.Name, '/')+1:]
			to := fact.Asset{Kind: fact.AssetIdentity, Key: cloud.Name, Name: name}
			v.relate(v.scope, account, fact.CanAssume, to, cloud.Evidence.Method, cloud.Evidence.Strength, 0, properties{"provider": cloud.Provider, "annotation": cloud.Evidence.Source})
		}
	}
	for _, id := range kubernetes.Subjects(objects) {
		kind, name, _ := strings.Cut(id.Account, "/")
		who := fact.Asset{Kind: fact.AssetIdentity, Key: v.key("", kind, "", name), Name: name}
		if strings.HasPrefix(name, "arn:") {
			who.Key = name // as clouds that map their identities into the cluster call it
		}
		v.node(v.scope, who, properties{"identity": strings.ToLower(kind), "privileges": id.Privileges, "powers": strings.Join(id.Powers, ", ")})
		v.mayAct(who, id)
	}
	for _, id := range kubernetes.Identities(objects) {
		workload := of(id.Workload)
		_, name, ok := strings.Cut(id.Account, "/")
		if !ok {
			name = id.Account
		}
		account := v.account(id.Workload.Namespace, name)
		if id.Object == nil && v.once("account", account.Key) {
			v.node(v.scope, account, properties{"identity": "service account", "namespace": id.Workload.Namespace})
		}
		v.relate(v.scope, workload, fact.RunsAs, account, "kubernetes_object", fact.Attested, 0, properties{"token_mounted": strconv.FormatBool(id.Token)})
	}
}

// mayAct tells what an identity may do, where: all bindings of one place together.
func (v *view) mayAct(who fact.Asset, id kubernetes.Identity) {
	type rights struct {
		roles, bindings, powers, unread map[string]bool
		privileges                      string
	}
	places := map[fact.Asset]*rights{}
	for _, b := range id.Bindings {
		to := v.asset
		if !b.Cluster {
			to = fact.Asset{Kind: fact.AssetKubernetes, Key: v.key("", "Namespace", "", b.Binding.Namespace), Name: b.Binding.Namespace}
		}
		all := places[to]
		if all == nil {
			all = &rights{map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}, ""}
			places[to] = all
		}
		all.roles[b.Role], all.bindings[b.Binding.ID()] = true, true
		for _, power := range b.Powers {
			all.powers[power] = true
		}
		if b.Rules == nil {
			all.unread[b.Role] = true
		}
		all.privileges = kubernetes.Stronger(all.privileges, b.Privileges)
	}
	for _, to := range slices.SortedFunc(maps.Keys(places), func(a, b fact.Asset) int { return cmp.Compare(a.Key, b.Key) }) {
		all := places[to]
		v.relate(v.scope, who, fact.MayAct, to, "rbac", fact.Attested, 0, properties{
			"roles": list(all.roles), "bindings": list(all.bindings), "actions": list(all.powers), "privileges": all.privileges, "roles_not_read": list(all.unread),
		})
	}
}

// gitops tells where tools that deploy take objects from.
func (v *view) gitops() {
	var tools []*kubernetes.Object
	for _, o := range v.kept {
		switch o.Kind {
		case "Application", "Kustomization", "HelmRelease", "GitRepository":
			tools = append(tools, o)
		}
	}
	for _, o := range v.objects() {
		said := properties{}
		from := o.Origins(tools)
		for _, t := range o.Tracking() {
			from = append(from, t.Origins(tools)...)
			if release, ok := v.releases[t.Namespace+"/"+t.Name]; ok && t.Kind == "Release" {
				said["helm_chart"], said["helm_app_version"] = release.Chart+"-"+release.Version, release.AppVersion
				said["helm_revision"], said["helm_sources"] = strconv.Itoa(release.Revision), strings.Join(release.Sources, ", ")
			}
		}
		repositories, paths, revisions := map[string]bool{}, map[string]bool{}, map[string]bool{}
		for _, origin := range from {
			for set, value := range map[*map[string]bool]string{&repositories: origin.Repository, &paths: origin.Path, &revisions: origin.Revision} {
				if value != "" {
					(*set)[value] = true
				}
			}
		}
		said["gitops_repository"], said["gitops_path"], said["gitops_revision"] = list(repositories), list(paths), list(revisions)
		if len(said.clean()) == 0 {
			continue
		}
		v.node(v.scope, v.object(o), said)
		if len(o.Containers()) > 0 {
			v.node(v.scope, v.workload(o), said)
		}
	}
}
