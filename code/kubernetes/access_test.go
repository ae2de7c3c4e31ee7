package kubernetes

import (
	"fmt"
	"strings"
	"testing"
)

// TestTheReachOfAWorkloadIsSaidWithHowSureItIs holds a pod behind what opens it, and
// what of it is known.
func TestTheReachOfAWorkloadIsSaidWithHowSureItIs(t *testing.T) {
	t.Parallel()
	const pod = "apiVersion: v1\nkind: Pod\nmetadata: {name: web, namespace: shop, labels: {app: web}}\nspec: {containers: [{name: web, image: web}]}\n---\n"
	service := func(metadata, spec string) string {
		return pod + "apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: shop" + metadata + "}\nspec: {selector: {app: web}" + spec + "}\n"
	}
	ingress := func(metadata, spec, status string) string {
		return service("", "") + "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web, namespace: shop" + metadata + "}\nspec: {defaultBackend: {service: {name: web}}" + spec + "}\nstatus: {" + status + "}\n"
	}
	gateway := func(class, status string) string {
		return service("", "") + "---\napiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: edge, namespace: shop}\nspec: {gatewayClassName: " + class + "}\nstatus: {" + status + "}\n" +
			"---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: web, namespace: shop}\nspec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: web}]}]}\n"
	}
	node := func(address string) string {
		return "---\napiVersion: v1\nkind: Node\nmetadata: {name: n}\nstatus: {addresses: [{type: ExternalIP, address: " + address + "}]}\n"
	}
	for name, c := range map[string]struct{ text, want string }{
		"alone":                        {pod, "none 0.75"},
		"in the cluster":               {service("", ""), "cluster 0.95"},
		"load balancer":                {service("", ", type: LoadBalancer"), "internet 0.70"},
		"internal load balancer":       {service(`, annotations: {service.beta.kubernetes.io/aws-load-balancer-internal: "true"}`, ", type: LoadBalancer"), "private 0.90"},
		"not internal after all":       {service(`, annotations: {service.beta.kubernetes.io/azure-load-balancer-internal: "false"}`, ", type: LoadBalancer"), "internet 0.70"},
		"google's internal":            {service(`, annotations: {networking.gke.io/load-balancer-type: Internal}`, ", type: LoadBalancer"), "private 0.90"},
		"aws controller":               {service("", ", type: LoadBalancer, loadBalancerClass: service.k8s.aws/nlb"), "private 0.80"},
		"aws controller, told so":      {service(`, annotations: {service.beta.kubernetes.io/aws-load-balancer-scheme: internet-facing}`, ", type: LoadBalancer, loadBalancerClass: service.k8s.aws/nlb"), "internet 0.70"},
		"public address":               {strings.Replace(service("", ", type: LoadBalancer"), "spec: {selector", "status: {loadBalancer: {ingress: [{ip: 203.0.113.9}]}}\nspec: {selector", 1), "internet 0.95"},
		"private address":              {strings.Replace(service("", ", type: LoadBalancer"), "spec: {selector", "status: {loadBalancer: {ingress: [{ip: 10.1.2.3}]}}\nspec: {selector", 1), "private 0.95"},
		"private and public":           {strings.Replace(service("", ", type: LoadBalancer"), "spec: {selector", "status: {loadBalancer: {ingress: [{ip: 10.1.2.3}, {ip: 203.0.113.9}]}}\nspec: {selector", 1), "internet 0.95"},
		"let in from one range":        {service("", ", type: LoadBalancer, loadBalancerSourceRanges: [203.0.113.0/24]"), "private 0.80"},
		"let in from everywhere":       {service("", ", type: LoadBalancer, loadBalancerSourceRanges: [0.0.0.0/0]"), "internet 0.70"},
		"node port":                    {service("", ", type: NodePort"), "internet 0.30"},
		"node port, public nodes":      {service("", ", type: NodePort") + node("203.0.113.1"), "internet 0.50"},
		"node port, private nodes":     {service("", ", type: NodePort") + node("10.0.0.1"), "private 0.85"},
		"external address":             {service("", ", externalIPs: [203.0.113.4]"), "internet 0.80"},
		"external private address":     {service("", ", externalIPs: [192.168.1.4]"), "private 0.80"},
		"ingress":                      {ingress("", "", ""), "internet 0.60"},
		"ingress of an inner class":    {ingress("", ", ingressClassName: nginx-internal", ""), "private 0.70"},
		"ingress alb":                  {ingress(`, annotations: {kubernetes.io/ingress.class: alb}`, "", ""), "private 0.75"},
		"ingress alb, facing out":      {ingress(`, annotations: {alb.ingress.kubernetes.io/scheme: internet-facing}`, ", ingressClassName: alb", ""), "internet 0.90"},
		"ingress, public address":      {ingress("", ", ingressClassName: nginx", "loadBalancer: {ingress: [{ip: 203.0.113.2}]}"), "internet 0.95"},
		"ingress, inner name":          {ingress("", "", "loadBalancer: {ingress: [{hostname: internal-a.eu-west-1.elb.amazonaws.com}]}"), "private 0.90"},
		"ingress, name":                {ingress("", "", "loadBalancer: {ingress: [{hostname: a.eu-west-1.elb.amazonaws.com}]}"), "internet 0.75"},
		"gateway":                      {gateway("x", ""), "internet 0.55"},
		"gateway, public":              {gateway("x", "addresses: [{value: 203.0.113.5}]"), "internet 0.95"},
		"gateway of an inner class":    {gateway("gke-l7-rilb-internal", ""), "private 0.80"},
		"route, other namespace":       {strings.ReplaceAll(gateway("x", ""), "name: edge, namespace: shop", "name: edge, namespace: infra"), "internet 0.60"},
		"route across namespaces":      {strings.NewReplacer("{name: web, namespace: shop}\nspec: {parentRefs", "{name: web, namespace: infra}\nspec: {parentRefs", "backendRefs: [{name: web}]", "backendRefs: [{name: web, namespace: shop}]", "name: edge, namespace: shop", "name: edge, namespace: infra").Replace(gateway("x", "")), "internet 0.55"},
		"host network":                 {strings.Replace(pod, "spec: {", "spec: {hostNetwork: true, ", 1), "internet 0.30"},
		"host port, private nodes":     {strings.Replace(pod, "image: web}", "image: web, ports: [{hostPort: 80}]}", 1) + node("fd00::1"), "private 0.85"},
		"mesh only":                    {service("", "") + "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web, namespace: shop}\nspec: {gateways: [mesh], http: [{route: [{destination: {host: web}}]}]}\n", "cluster 0.95"},
		"mesh, another namespace":      {service("", "") + "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web, namespace: shop}\nspec: {gateways: [edge], http: [{route: [{destination: {host: web.other.svc.cluster.local}}]}]}\n", "cluster 0.95"},
		"mesh and gateway":             {service("", "") + "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web, namespace: shop}\nspec: {gateways: [mesh, edge], http: [{route: [{destination: {host: web.shop.svc}}]}]}\n", "internet 0.60"},
		"nothing let in":               {service("", ", type: LoadBalancer") + "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: n, namespace: shop}\nspec: {podSelector: {}}\n", "none 0.90"},
		"nothing let in elsewhere":     {service("", "") + "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: n, namespace: other}\nspec: {podSelector: {}}\n", "cluster 0.95"},
		"one policy lets in":           {service("", "") + "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: n, namespace: shop}\nspec: {podSelector: {}}\n---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: o, namespace: shop}\nspec: {podSelector: {matchExpressions: [{key: app, operator: In, values: [web]}]}, ingress: [{}]}\n", "cluster 0.95"},
		"another way is wider":         {service("", ", type: NodePort") + node("10.0.0.1") + "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web, namespace: shop}\nspec: {defaultBackend: {service: {name: web}}}\n", "internet 0.60"},
		"ingress of another namespace": {service("", "") + "---\napiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: web, namespace: other}\nspec: {defaultBackend: {service: {name: web}}}\n", "cluster 0.95"},
	} {
		objects, problems := Objects("x.yaml", []byte(c.text))
		all := Exposures(objects)
		if len(problems) > 0 || len(all) != 1 {
			t.Fatalf("%s: problems %v, %d exposures", name, problems, len(all))
		}
		if got := fmt.Sprintf("%s %.2f", all[0].Level, all[0].Confidence); got != c.want || all[0].Reason == "" {
			t.Errorf("%s: got %s (%s), want %s", name, got, all[0].Reason, c.want)
		}
	}
}

func TestRightsAreSummedUpInOneWord(t *testing.T) {
	t.Parallel()
	const account = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: web, namespace: shop}\n"
	bound := func(kind, role, rules string) string {
		where, roleKind := ", namespace: shop", "Role"
		if kind == "ClusterRoleBinding" {
			where, roleKind = "", "ClusterRole"
		}
		text := account + "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: " + kind + "\nmetadata: {name: b" + where + "}\nroleRef: {kind: " + roleKind + ", name: " + role + "}\nsubjects: [{kind: ServiceAccount, name: web, namespace: shop}]\n"
		if rules != "" {
			text += "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: " + roleKind + "\nmetadata: {name: " + role + where + "}\nrules: [" + rules + "]\n"
		}
		return text
	}
	for name, c := range map[string]struct{ text, want string }{
		"none":                {account, " []"},
		"read":                {bound("RoleBinding", "r", `{apiGroups: [""], resources: [pods], verbs: [get, list, watch]}`), "read []"},
		"write":               {bound("RoleBinding", "r", `{apiGroups: [""], resources: [configmaps], verbs: [update]}`), "write []"},
		"secrets":             {bound("RoleBinding", "r", `{apiGroups: [""], resources: [secrets], verbs: [get]}`), "privileged [secrets read]"},
		"its own secret":      {bound("RoleBinding", "r", `{apiGroups: [""], resources: [secrets], resourceNames: [mine], verbs: [get]}`), "read []"},
		"everything here":     {bound("RoleBinding", "r", `{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}`), "privileged [everything]"},
		"everything anywhere": {bound("ClusterRoleBinding", "r", `{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}`), "admin [everything in all namespaces]"},
		"cluster-admin":       {bound("ClusterRoleBinding", "cluster-admin", ""), "admin [cluster-admin in all namespaces]"},
		"view":                {bound("ClusterRoleBinding", "view", ""), "read []"},
		"asks of itself":      {bound("ClusterRoleBinding", "system:basic-user", `{apiGroups: [authorization.k8s.io], resources: [selfsubjectaccessreviews], verbs: [create]}`), " []"},
		"a role that is gone": {bound("RoleBinding", "gone", ""), " []"},
	} {
		objects, _ := Objects("x.yaml", []byte(c.text))
		all := Accounts(objects)
		if len(all) != 1 {
			t.Fatalf("%s: %d accounts", name, len(all))
		}
		if got := fmt.Sprintf("%s %v", all[0].Privileges, all[0].Powers); got != c.want {
			t.Errorf("%s: got %s, want %s", name, got, c.want)
		}
	}
}

func TestUsersAndGroupsHaveTheRightsOfTheirBindings(t *testing.T) {
	t.Parallel()
	objects, _ := Objects("x.yaml", []byte(`
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: a}
roleRef: {kind: ClusterRole, name: cluster-admin}
subjects: [{kind: Group, name: ops}, {kind: User, name: "system:serviceaccount:shop:web"}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: b, namespace: shop}
roleRef: {kind: ClusterRole, name: view}
subjects: [{kind: User, name: ann}, {kind: Group, name: ops}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: c}
roleRef: {kind: ClusterRole, name: "system:discovery"}
subjects: [{kind: Group, name: "system:authenticated"}]
---
apiVersion: v1
kind: ServiceAccount
metadata: {name: web, namespace: shop}
`))
	var got []string
	for _, id := range append(Subjects(objects), Accounts(objects)...) {
		got = append(got, fmt.Sprintf("%s %s %d", id.Account, id.Privileges, len(id.Bindings)))
	}
	if joined := strings.Join(got, ", "); joined != "Group/ops admin 2, User/ann read 1, shop/web admin 1" {
		t.Error(joined)
	}
}

func TestWhatReachesBeyondThePodIsNamed(t *testing.T) {
	t.Parallel()
	objects, _ := Objects("x.yaml", []byte("apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {hostPID: true, hostIPC: false, volumes: [{name: v, hostPath: {path: /var/run/docker.sock}}], containers: [{name: a, securityContext: {runAsUser: 0, privileged: true, capabilities: {add: [SYS_ADMIN]}}}]}\n"))
	if got := fmt.Sprint(objects[0].PodRisks()); got != "[capability SYS_ADMIN hostPID hostPath /var/run/docker.sock privileged runAsUser 0]" {
		t.Error(got)
	}
}

func TestSlimObjectsHoldNoValues(t *testing.T) {
	t.Parallel()
	objects, _ := Objects("x.yaml", []byte(`
apiVersion: v1
kind: Secret
metadata: {name: a, managedFields: [{manager: hunter2}]}
stringData: {a: hunter2}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, annotations: {kubectl.kubernetes.io/last-applied-configuration: hunter2, kept: "yes"}}
spec:
  template:
    spec:
      containers: [{name: a, image: b, command: [hunter2], env: [{name: X, value: hunter2}], livenessProbe: {exec: {command: [hunter2]}}}]
      volumes: [{name: v, downwardAPI: {items: [hunter2]}}]
status: {conditions: [{message: hunter2}]}
`))
	for _, o := range objects {
		o.Slim()
		if text := fmt.Sprint(o.Root.Value()); strings.Contains(text, "hunter2") || !strings.Contains(text, "name:a") {
			t.Errorf("%s: %s", o.ID(), text)
		}
	}
	if objects[1].Root.String("metadata", "annotations", "kept") != "yes" || objects[1].Containers()[0].Image != "b" {
		t.Error("what answers are made of is gone")
	}
}
