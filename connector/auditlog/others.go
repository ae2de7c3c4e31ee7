package auditlog

import (
	"cmp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// gcp reads a log entry with an AuditLog.
func (r *reader) gcp(event map[string]any) []Creation {
	payload := object(event, "protoPayload")
	method := text(payload, "methodName")
	noun, ok := makes(method)
	if code := text(object(payload, "status"), "code"); !ok || code != "" && code != "0" {
		return nil
	}
	if operation := object(event, "operation"); operation["last"] == true && operation["first"] != true {
		return nil // the end of a call whose beginning was read
	}
	service, resource := text(payload, "serviceName"), text(payload, "resourceName")
	creation := Creation{
		Type: noun, Actor: gcpActor(object(payload, "authenticationInfo")), Event: method, EventID: cmp.Or(text(event, "insertId"), text(event, "insertid")),
		Time: instant(text(event, "timestamp"), text(event, "receiveTimestamp"), text(event, "p_event_time")), Log: "gcp",
	}
	if service == "k8s.io" || strings.HasPrefix(method, "io.k8s.") {
		asset, ok := clusterObject(resource, text(object(event, "resource", "labels"), "cluster_name"))
		if !ok || slices.Contains(passing, noun) {
			return nil
		}
		creation.Asset, creation.IDs = asset, []string{resource}
		return []Creation{creation}
	}
	answer := object(payload, "response")
	for _, id := range []string{link(text(answer, "targetLink")), link(text(answer, "selfLink")), text(answer, "name"), resource} {
		if id != "" && !strings.Contains(id, "/operations/") && !strings.HasPrefix(id, "operation-") && !slices.Contains(creation.IDs, id) {
			creation.IDs = append(creation.IDs, id)
		}
	}
	key := ""
	for _, id := range creation.IDs {
		if isOf(noun, id) {
			key = id
			break
		}
	}
	if key == "" {
		// The call names the parent only; what was made has the name that the request gives it.
		child := cmp.Or(text(answer, "name"), childOf(object(payload, "request"), noun))
		switch {
		case child == "" || child == resource || strings.HasPrefix(child, "operation-") || strings.HasPrefix(child, "projects/"):
			return nil
		case isOf(noun, resource+"/"+child):
			key = resource + "/" + child
		case !strings.HasPrefix(resource, "projects/"):
			return nil
		default:
			key = resource + "/" + strings.ToLower(noun[:1]) + strings.TrimSuffix(noun[1:], "s") + "s/" + child
		}
	}
	creation.Asset = fact.Asset{Kind: fact.AssetResource, Key: "//" + service + "/" + key, Name: key[strings.LastIndex(key, "/")+1:]}
	if !slices.Contains(creation.IDs, key) {
		creation.IDs = append([]string{key}, creation.IDs...)
	}
	return []Creation{creation}
}

// isOf says whether a name ends in the collection of a noun and one name in it:
// ".../keyRings/main" is of "KeyRing".
func isOf(noun, name string) bool {
	parts := strings.Split(name, "/")
	if len(parts) < 2 || parts[len(parts)-1] == "" {
		return false
	}
	collection := strings.ToLower(parts[len(parts)-2])
	noun = strings.ToLower(noun)
	return collection != "" && (strings.HasSuffix(noun+"s", collection) || strings.HasSuffix(noun, collection) ||
		strings.HasSuffix(strings.TrimSuffix(noun, "y")+"ies", collection))
}

// clusterObject reads the resource name of an object in a cluster:
// apps/v1/namespaces/shop/daemonsets/agent.
func clusterObject(resource, cluster string) (fact.Asset, bool) {
	parts := strings.Split(resource, "/")
	if len(parts) < 4 {
		return fact.Asset{}, false
	}
	group, rest, namespace := parts[0], parts[2:], "-"
	if rest[0] == "namespaces" && len(rest) > 2 {
		namespace, rest = rest[1], rest[2:]
	}
	if len(rest) != 2 {
		return fact.Asset{}, false // a subresource, or no name
	}
	kind := singular(rest[0])
	if group != "core" {
		kind += "." + group
	}
	key := namespace + "/" + kind + "/" + rest[1]
	if cluster != "" {
		key = cluster + "/" + key
	}
	return fact.Asset{Kind: fact.AssetKubernetes, Key: key, Name: rest[1]}, true
}

// makes says whether a method's name says that it makes something, and what:
// v1.compute.routes.insert makes "routes", ConfigServiceV2.CreateSink a "Sink".
func makes(method string) (noun string, ok bool) {
	parts := strings.Split(method, ".")
	verb := parts[len(parts)-1]
	for _, word := range []string{"insert", "create"} {
		rest, found := strings.CutPrefix(verb, word)
		if !found {
			rest, found = strings.CutPrefix(verb, strings.ToUpper(word[:1])+word[1:])
		}
		switch {
		case !found:
			continue
		case rest == "" && len(parts) > 1:
			noun = strings.TrimSuffix(parts[len(parts)-2], "service")
		default:
			noun = rest
		}
		for _, passing := range []string{"Token", "Session", "TagBinding", "Invite", "InsertJob"} {
			if strings.HasSuffix(verb, passing) {
				return "", false
			}
		}
		return noun, noun != ""
	}
	return "", false
}

// childOf gives the id that a request gives to what it makes.
func childOf(request map[string]any, noun string) string {
	if noun == "" {
		return ""
	}
	for _, name := range []string{strings.ToLower(noun[:1]) + noun[1:] + "Id", "name", "id"} {
		if id := text(request, name); id != "" {
			return id
		}
	}
	for _, value := range request {
		if inner, ok := value.(map[string]any); ok {
			if id := text(inner, "name"); id != "" && len(request) < 4 {
				return id
			}
		}
	}
	return ""
}

// link turns an address of an API into the name below its version.
func link(address string) string {
	rest, ok := strings.CutPrefix(address, "https://")
	if !ok {
		return address
	}
	if at := strings.Index(rest, "/projects/"); at >= 0 {
		return rest[at+1:]
	}
	return rest
}

func gcpActor(who map[string]any) Actor {
	principal := cmp.Or(text(who, "principalEmail"), text(who, "principalSubject"))
	actor := Actor{Kind: ActorUser, Principal: principal, Name: principal}
	if strings.HasSuffix(principal, ".gserviceaccount.com") {
		actor.Kind = ActorService
	}
	if chain, ok := who["serviceAccountDelegationInfo"].([]any); ok && len(chain) > 0 {
		// Somebody acted as the service account: the first of the chain.
		first, _ := chain[0].(map[string]any)
		name := cmp.Or(text(object(first, "firstPartyPrincipal"), "principalEmail"), text(first, "principalSubject"))
		if name != "" {
			actor.Via, actor.Name, actor.Kind = principal, name, ActorSession
		}
	}
	if _, subject, ok := strings.Cut(principal, "/subject/"); ok && strings.Contains(principal, "/workloadIdentityPools/") {
		actor.Kind, actor.Name = ActorSession, subject
		actor.Pipeline = pipelineOf("workload identity", subject)
	}
	return actor
}

// azure reads an event of the activity log, as a diagnostic export or the API
// writes it. A write makes something only when its answer was "created".
func (r *reader) azure(event map[string]any) []Creation {
	operation := cmp.Or(text(event, "operationName"), text(object(event, "operationName"), "value"))
	properties := object(event, "properties")
	lower := strings.ToLower(operation)
	resource := cmp.Or(text(event, "resourceId"), text(event, "resourceUri"))
	if !strings.HasSuffix(lower, "/write") || resource == "" {
		return nil
	}
	created := strings.EqualFold(text(properties, "statusCode"), "Created") || text(event, "resultSignature") == "201" ||
		strings.HasSuffix(strings.ToLower(text(event, "resultSignature")), ".created") || strings.EqualFold(text(object(event, "subStatus"), "value"), "Created") ||
		text(object(event, "httpRequest"), "statusCode") == "201"
	status := strings.ToLower(cmp.Or(text(event, "resultType"), text(object(event, "status"), "value")))
	if !created || status != "success" && status != "succeeded" {
		return nil
	}
	claims := object(event, "identity", "claims")
	if claims == nil {
		claims = object(event, "claims")
	}
	const schema = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/"
	name := cmp.Or(text(claims, schema+"upn"), text(claims, schema+"emailaddress"), text(claims, "upn"), text(event, "caller"), text(claims, "appid"))
	actor := Actor{Kind: ActorUser, Principal: name, Name: name}
	if text(claims, "idtyp") == "app" || name != "" && !strings.Contains(name, "@") {
		actor.Kind = ActorService
	}
	if name == "" {
		return nil // nobody is named
	}
	return []Creation{{
		Asset: fact.Asset{Kind: fact.AssetResource, Key: resource, Name: resource[strings.LastIndex(resource, "/")+1:]},
		IDs:   []string{resource, strings.ToLower(resource)}, Type: operation[:len(operation)-len("/write")], Actor: actor, Event: operation,
		EventID: cmp.Or(text(event, "eventDataId"), text(event, "correlationId")), Time: instant(text(event, "time"), text(event, "eventTimestamp")), Log: "azure",
	}}
}

// passing are objects that exist for a moment or belong to the cluster itself.
var passing = []string{
	"events", "leases", "tokenreviews", "subjectaccessreviews", "selfsubjectaccessreviews", "localsubjectaccessreviews", "selfsubjectrulesreviews",
	"endpoints", "endpointslices", "controllerrevisions", "csinodes", "volumeattachments",
}

// kubernetes reads an event of audit.k8s.io.
func (r *reader) kubernetes(event map[string]any) []Creation {
	ref := object(event, "objectRef")
	plural := text(ref, "resource")
	if text(event, "verb") != "create" || text(event, "stage") != "ResponseComplete" || plural == "" || text(ref, "subresource") != "" ||
		text(object(event, "responseStatus"), "code") != "201" || slices.Contains(passing, plural) || strings.Contains(text(event, "requestURI"), "dryRun=") {
		return nil
	}
	answer := object(event, "responseObject")
	if answer == nil {
		answer = object(event, "requestObject")
	}
	meta := object(answer, "metadata")
	name, namespace := cmp.Or(text(ref, "name"), text(meta, "name")), cmp.Or(text(ref, "namespace"), text(meta, "namespace"))
	if name == "" {
		return nil // a generated name that this level of the log does not tell
	}
	group, kind := text(ref, "apiGroup"), cmp.Or(text(answer, "kind"), plural)
	if kind == plural {
		kind = singular(plural)
	}
	full := kind
	if group != "" {
		full += "." + group
	}
	kindOf := plural
	if group != "" {
		kindOf = group + "/" + plural
	}
	return []Creation{{
		Asset: fact.Asset{Kind: fact.AssetKubernetes, Key: cmp.Or(namespace, "-") + "/" + full + "/" + name, Name: name},
		IDs:   []string{name}, Type: kindOf, Actor: kubernetesActor(event), Event: "create " + plural, EventID: text(event, "auditID"),
		Time: instant(text(event, "stageTimestamp"), text(event, "requestReceivedTimestamp")), Log: "kubernetes",
	}}
}

// singular gives the kind of a resource's plural, for the kinds that clusters
// bring and the regular ones.
func singular(plural string) string {
	known := map[string]string{
		"deployments": "Deployment", "daemonsets": "DaemonSet", "statefulsets": "StatefulSet", "replicasets": "ReplicaSet", "cronjobs": "CronJob",
		"configmaps": "ConfigMap", "serviceaccounts": "ServiceAccount", "rolebindings": "RoleBinding", "clusterroles": "ClusterRole",
		"clusterrolebindings": "ClusterRoleBinding", "networkpolicies": "NetworkPolicy", "ingresses": "Ingress", "persistentvolumeclaims": "PersistentVolumeClaim",
		"persistentvolumes": "PersistentVolume", "customresourcedefinitions": "CustomResourceDefinition", "horizontalpodautoscalers": "HorizontalPodAutoscaler",
		"poddisruptionbudgets": "PodDisruptionBudget", "storageclasses": "StorageClass",
	}
	if kind := known[plural]; kind != "" {
		return kind
	}
	return strings.ToUpper(plural[:1]) + strings.TrimSuffix(plural[1:], "s")
}

func kubernetesActor(event map[string]any) Actor {
	user := object(event, "user")
	name := text(user, "username")
	actor := Actor{Kind: ActorUser, Principal: name, Name: name}
	if as := text(object(event, "impersonatedUser"), "username"); as != "" {
		actor.Via = as // who called stays the one to ask
	}
	extra := object(user, "extra")
	if session := texts(extra, "sessionName"); len(session) > 0 { // the authenticator of EKS
		actor.Kind, actor.Name, actor.Via = ActorSession, session[0], cmp.Or(append(texts(extra, "canonicalArn"), "")...)
		if arn := texts(extra, "arn"); len(arn) > 0 {
			actor.Principal = arn[0]
		}
		return actor
	}
	if strings.HasPrefix(name, "system:") {
		actor.Kind = ActorService
	}
	return actor
}
