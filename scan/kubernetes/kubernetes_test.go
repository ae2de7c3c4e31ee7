package kubernetes

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/scan"
)

func look1(t *testing.T, tree code.Tree) []fact.Finding {
	t.Helper()
	var all []fact.Finding
	if _, err := New(nil).Scan(t.Context(), tree, func(f fact.Finding) error {
		all = append(all, f)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return all
}

func rulesOf(findings []fact.Finding) []string {
	var all []string
	for _, f := range findings {
		if !slices.Contains(all, f.Rule) {
			all = append(all, f.Rule)
		}
	}
	return all
}

const bare = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
spec:
  template:
    metadata:
      labels: {app: web}
    spec:
      hostPID: true
      hostIPC: true
      hostNetwork: true
      shareProcessNamespace: true
      serviceAccount: robot
      securityContext:
        sysctls: [{name: kernel.msgmax, value: "1"}]
        seLinuxOptions: {user: root, type: spc_t}
        seccompProfile: {type: Unconfined}
        windowsOptions: {hostProcess: true}
        appArmorProfile: {type: Unconfined}
      volumes:
      - name: docker
        hostPath: {path: /var/run/docker.sock}
      - name: data
        emptyDir: {}
      containers:
      - name: server
        image: shop
        imagePullPolicy: Never
        ports: [{containerPort: 22, hostPort: 22}]
        env: [{name: DB_PASSWORD, value: hunter2}, {name: X, valueFrom: {secretKeyRef: {name: a, key: b}}}]
        volumeMounts: [{name: data, mountPath: /d}, {name: docker, mountPath: /s}]
        securityContext:
          privileged: true
          runAsUser: 0
          procMount: Unmasked
          capabilities: {add: [SYS_ADMIN, NET_BIND_SERVICE]}
  strategy: {type: Recreate}
`

// What the finding wants is carried out; then it is not given any more.
func TestWhatIsWantedSatisfiesTheRule(t *testing.T) {
	seen := map[string]bool{}
	for name, text := range map[string]string{
		"pod":       bare,
		"account":   "apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: default\n  namespace: a\n",
		"binding":   "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata:\n  name: b\nroleRef: {kind: ClusterRole, name: view}\nsubjects:\n- {kind: User, name: system:anonymous}\n- {kind: User, name: jo}\n",
		"ingress":   "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata:\n  name: i\n  namespace: a\n  annotations:\n    nginx.ingress.kubernetes.io/server-snippet: x\n    a: b\nspec: {tls: [{}]}\n",
		"service":   "apiVersion: v1\nkind: Service\nmetadata:\n  name: i\n  namespace: a\nspec:\n  externalIPs: [1.2.3.4]\n  ports: []\n",
		"apiserver": "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: kube-system\nspec:\n  containers:\n  - name: a\n    command:\n    - kube-apiserver\n    - --basic-auth-file=x\n    - --authorization-mode=AlwaysAllow\n    - --enable-admission-plugins=AlwaysAdmit,Z\n    - --insecure-port=8080\n    - --tls-cipher-suites=TLS_RSA_WITH_RC4_128_SHA\n",
		"kubelet":   "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: kube-system\nspec:\n  containers:\n  - name: a\n    command: [kubelet]\n    args: [--hostname-override=x, --read-only-port=10255, --rotate-certificates=false]\n",
		"etcd":      "apiVersion: v1\nkind: Pod\nmetadata:\n  name: a\n  namespace: kube-system\nspec:\n  containers:\n  - name: a\n    command: [etcd, --auto-tls=true, --client-cert-auth=false]\n",
	} {
		tree := code.Files{"x.yaml": []byte(text)}
		for _, f := range look1(t, tree) {
			docs, _ := kubernetes.Documents("x.yaml", tree["x.yaml"])
			data := tree["x.yaml"]
			ok := true
			type removal struct{ field string }
			var removals []removal
			for i := 1; f.Attributes["field"+suffix(i)] != "" && ok; i++ {
				field, wanted := f.Attributes["field"+suffix(i)], f.Attributes["wanted"+suffix(i)]
				path, err := kubernetes.ParsePath(field)
				if err != nil {
					t.Fatalf("%s: %v", f.Rule, err)
				}
				switch {
				case strings.HasPrefix(wanted, "?"):
					ok = false
				case wanted == "":
					removals = append(removals, removal{field})
				default:
					want, err := kubernetes.ParseValue(wanted)
					if err != nil {
						t.Fatalf("%s: %v", f.Rule, err)
					}
					edited, err := kubernetes.Set(data, kubernetes.Spot{Path: path}, want)
					if err != nil {
						t.Fatalf("%s %s: %v", f.Rule, field, err)
					}
					data = edited.Data
				}
			}
			if !ok || f.Attributes["field"] == "" {
				continue
			}
			for _, r := range slices.Backward(removals) {
				path, _ := kubernetes.ParsePath(r.field)
				edited, err := kubernetes.Remove(data, kubernetes.Spot{Path: path})
				if err != nil {
					t.Fatalf("%s %s: %v", f.Rule, r.field, err)
				}
				data = edited.Data
			}
			seen[f.Rule] = true
			for _, after := range look1(t, code.Files{"x.yaml": data}) {
				if after.Rule == f.Rule && after.Anchor == f.Anchor {
					t.Errorf("%s: %s still sees %s:\n%s", name, f.Rule, after.Attributes["field"], data)
				}
			}
			_ = docs
		}
	}
	if len(seen) < 40 {
		t.Errorf("only %d rules were satisfied by what they want", len(seen))
	}
}

func suffix(i int) string {
	if i == 1 {
		return ""
	}
	return fmt.Sprintf(".%d", i)
}

const careful = `apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  namespace: shop
  labels: {app.kubernetes.io/name: web}
spec:
  template:
    metadata:
      labels: {app: web}
    spec:
      serviceAccountName: web
      automountServiceAccountToken: false
      securityContext:
        runAsNonRoot: true
        runAsUser: 20000
        runAsGroup: 20000
        seccompProfile: {type: RuntimeDefault}
      containers:
      - name: server
        image: shop:1.2@sha256:0123456789012345678901234567890123456789012345678901234567890123
        imagePullPolicy: Always
        ports: [{containerPort: 8080}]
        livenessProbe: {httpGet: {path: /, port: 8080}}
        readinessProbe: {httpGet: {path: /, port: 8080}}
        resources: {limits: {cpu: 1, memory: 1Gi}, requests: {cpu: 1, memory: 1Gi}}
        securityContext:
          allowPrivilegeEscalation: false
          readOnlyRootFilesystem: true
          capabilities: {drop: [ALL]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: all, namespace: shop}
spec: {podSelector: {}}
`

func TestACarefulWorkloadHasNoFindings(t *testing.T) {
	if found := look1(t, code.Files{"x.yaml": []byte(careful)}); len(found) > 0 {
		t.Errorf("found %v", rulesOf(found))
	}
}

// Each rule is given for one object and not for one that differs in it.
func TestEachRuleFailsAndPasses(t *testing.T) {
	role := func(rules string) string {
		return "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: r}\nrules:\n- " + rules + "\n"
	}
	pod := func(from, to string) string { return strings.Replace(careful, from, to, 1) }
	given := rulesOf(look1(t, code.Files{"x.yaml": []byte(bare)}))
	for _, test := range []struct {
		r          *rule
		fail, pass string
	}{
		{&wildcardVerbs, role(`{apiGroups: [""], resources: [pods], verbs: ["*"]}`), role(`{apiGroups: [""], resources: [pods], verbs: [get]}`)},
		{&wildcardResources, role(`{apiGroups: [""], resources: ["*"], verbs: [get]}`), role(`{apiGroups: [""], resources: [pods], verbs: [get]}`)},
		{&wildcardRole, role(`{apiGroups: ["*"], resources: ["*"], verbs: ["*"]}`), role(`{apiGroups: [""], resources: ["*"], verbs: [get]}`)},
		{&readSecrets, role(`{apiGroups: [""], resources: [secrets], verbs: [list]}`), role(`{apiGroups: [""], resources: [secrets], verbs: [create]}`)},
		{&execPods, role(`{apiGroups: [""], resources: [pods/exec], verbs: [create]}`), role(`{apiGroups: [""], resources: [pods/log], verbs: [get]}`)},
		{&createPods, role(`{apiGroups: [""], resources: [pods], verbs: [create]}`), role(`{apiGroups: [apps], resources: [pods], verbs: [create]}`)},
		{&escalateRoles, role(`{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [escalate]}`), role(`{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [get]}`)},
		{&bindRoles, role(`{apiGroups: [rbac.authorization.k8s.io], resources: [clusterroles], verbs: [bind]}`), role(`{apiGroups: [""], resources: [clusterroles], verbs: [bind]}`)},
		{&impersonate, role(`{apiGroups: [""], resources: [users], verbs: [impersonate]}`), role(`{apiGroups: [""], resources: [users], verbs: [get]}`)},
		{&controlWebhooks, role(`{apiGroups: [admissionregistration.k8s.io], resources: [mutatingwebhookconfigurations], verbs: [patch]}`), role(`{apiGroups: [admissionregistration.k8s.io], resources: [mutatingwebhookconfigurations], verbs: [get]}`)},
		{&nodesProxy, role(`{apiGroups: [""], resources: [nodes/proxy], verbs: [get]}`), role(`{apiGroups: [""], resources: [nodes], verbs: [get]}`)},
		{&approveRequests, role(`{apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests/approval, signers], verbs: [update, approve]}`), role(`{apiGroups: [certificates.k8s.io], resources: [certificatesigningrequests/approval], verbs: [update]}`)},
		{&clusterAdmin, "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b}\nroleRef: {name: cluster-admin}\nsubjects: [{kind: User, name: jo}]\n", "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {name: b}\nroleRef: {name: view}\nsubjects: [{kind: User, name: jo}]\n"},
		{&defaultSubject, "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: b, namespace: a}\nroleRef: {name: x}\nsubjects: [{kind: ServiceAccount, name: default}]\n", "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: b, namespace: a}\nroleRef: {name: x}\nsubjects: [{kind: ServiceAccount, name: web}]\n"},
		{&nodePort, "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: a}\nspec: {type: NodePort}\n", "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: a}\nspec: {type: ClusterIP}\n"},
		{&loadBalancer, "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: a}\nspec: {type: LoadBalancer}\n", "apiVersion: v1\nkind: Service\nmetadata: {name: s, namespace: a}\nspec: {}\n"},
		{&plainIngress, "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: s, namespace: a}\nspec: {}\n", "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: s, namespace: a}\nspec: {tls: [{hosts: [a]}]}\n"},
		{&wildcardIngress, "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: s, namespace: a}\nspec: {rules: [{host: '*.a'}]}\n", "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: s, namespace: a}\nspec: {rules: [{host: a}]}\n"},
		{&noPolicy, pod("podSelector: {}", "podSelector: {matchLabels: {app: other}}"), careful},
		{&liveness, pod("livenessProbe", "other"), careful}, {&readiness, pod("readinessProbe", "other"), careful},
		{&cpuLimit, pod("limits: {cpu: 1, ", "limits: {"), careful}, {&cpuRequest, pod("requests: {cpu: 1, ", "requests: {"), careful},
		{&memoryLimit, pod("limits: {cpu: 1, memory: 1Gi}", "limits: {cpu: 1}"), careful}, {&memoryRequest, pod("requests: {cpu: 1, memory: 1Gi}", "requests: {cpu: 1}"), careful},
		{&latestTag, pod("shop:1.2@sha256:0123456789012345678901234567890123456789012345678901234567890123", "shop:latest"), careful},
		{&imageDigest, pod("@sha256:0123456789012345678901234567890123456789012345678901234567890123", ""), careful},
		{&defaultAccount, pod("serviceAccountName: web", "x: y"), careful}, {&serviceToken, pod("automountServiceAccountToken: false", "x: y"), careful},
		{&defaultNamespace, pod("  namespace: shop\n", "  namespace: default\n"), careful}, {&commonLabels, pod("app.kubernetes.io/name: web", "app: web"), careful},
		{&lowUser, pod("runAsUser: 20000", "runAsUser: 1000"), careful}, {&lowGroup, pod("runAsGroup: 20000", "runAsGroup: 1"), careful},
		{&nonRoot, strings.Replace(pod("runAsNonRoot: true", "x: y"), "runAsUser: 20000", "z: y", 1), careful}, {&rootUser, pod("runAsUser: 20000", "runAsUser: 0"), careful},
		{&tiller, pod("shop:1.2", "tiller:1.2"), careful}, {&secretInEnv, pod("ports:", "envFrom: [{secretRef: {name: s}}]\n        ports:"), careful},
		{&privilegedPort, pod("8080}]", "80}]"), careful}, {&hostPath, pod("containers:", "volumes: [{name: a, hostPath: {path: /}}]\n      containers:"), careful},
		{&nakedPod, "apiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: a}\nspec: {containers: [{name: a, image: b}]}\n", careful},
	} {
		given = append(given, test.r.id)
		if !slices.Contains(rulesOf(look1(t, code.Files{"x.yaml": []byte(test.fail)})), test.r.id) {
			t.Errorf("%s is not given for\n%s", test.r.id, test.fail)
		}
		if slices.Contains(rulesOf(look1(t, code.Files{"x.yaml": []byte(test.pass)})), test.r.id) {
			t.Errorf("%s is given for\n%s", test.r.id, test.pass)
		}
	}
	elsewhere := []string{accountToken.id, defaultToken.id, anonymousSubject.id, externalIPs.id, ingressSnippet.id}
	for _, r := range allRules() {
		if !slices.Contains(given, r.id) && !slices.Contains(elsewhere, r.id) {
			t.Errorf("no case fails %s", r.id)
		}
	}
}

func TestRulesHaveIDsOfTheirOwn(t *testing.T) {
	seen := map[string]bool{}
	all := allRules()
	for i := range flags {
		all = append(all, &flags[i].rule)
	}
	for _, r := range all {
		if seen[r.id] || r.title == "" || r.severity == fact.SeverityUnknown {
			t.Errorf("%+v", r)
		}
		seen[r.id] = true
	}
}

func TestFindingsStandAtTheirLine(t *testing.T) {
	for _, f := range look1(t, code.Files{"x.yaml": []byte(bare)}) {
		if f.Rule == privileged.id {
			line := strings.Split(bare, "\n")[f.Line-1]
			if f.Path != "x.yaml" || strings.TrimSpace(line) != "privileged: true" || f.Attributes["object"] != "shop/Deployment.apps/web#server" {
				t.Errorf("%s:%d %q %v", f.Path, f.Line, line, f.Attributes)
			}
			return
		}
	}
	t.Error("not found")
}

func TestNastyManifestsAreSurvived(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("apiVersion: v1\nkind: Pod\na0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 10; i++ {
		fmt.Fprintf(&bomb, "a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	many := strings.Repeat("---\napiVersion: v1\nkind: Pod\nmetadata: {name: p, namespace: a}\nspec: {hostPID: true, containers: []}\n", 10_000)
	for name, text := range map[string]string{
		"bomb": bomb.String(), "NUL": "apiVersion: v1\nkind: Pod\x00\n", "tabs": "apiVersion: v1\nkind:\tPod\n\tspec: {}\n",
		"twice":  "apiVersion: v1\nkind: Pod\nkind: Pod\nspec: {hostPID: true, hostPID: false}\n",
		"shapes": "apiVersion: v1\nkind: Pod\nmetadata: [x]\nspec: {containers: x, volumes: {a: b}, securityContext: [1]}\n",
		"items":  "apiVersion: v1\nkind: Pod\nspec: {containers: [x, [y], {}, null]}\n",
		"rules":  "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nrules: [x, [], null, {verbs: x}]\n",
	} {
		for _, f := range look1(t, code.Files{"x.yaml": []byte(text)}) {
			if f.Path != "x.yaml" {
				t.Errorf("%s: %+v", name, f)
			}
		}
	}
	count := 0
	for _, f := range look1(t, code.Files{"x.yaml": []byte(many)}) {
		if f.Rule == hostPID.id {
			count++
		}
	}
	if count != 10_000 {
		t.Errorf("%d of 10,000 documents", count)
	}
}

func FuzzScan(f *testing.F) {
	f.Add([]byte(bare))
	f.Add([]byte(careful))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := New(nil).Scan(t.Context(), code.Files{"x.yaml": data}, func(fact.Finding) error { return nil }); err != nil {
			t.Error(err)
		}
	})
}

func TestObjectsOfOneNameAreToldApartByTheirOverlay(t *testing.T) {
	t.Parallel()
	overlay := "resources: [../../base]\n"
	tree := code.Files{
		"base/web.yaml":                    []byte(bare),
		"base/kustomization.yaml":          []byte("resources: [web.yaml]\n"),
		"overlays/dev/kustomization.yaml":  []byte(overlay),
		"overlays/prod/kustomization.yaml": []byte(overlay + "patches:\n- patch: |\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web, namespace: shop}\n    spec: {template: {spec: {hostPID: false}}}\n"),
		"other/alone.yaml":                 []byte(strings.Replace(bare, "name: web", "name: alone", 1)),
	}
	var names []string
	for _, f := range look1(t, tree) {
		if slices.Contains(f.Aliases, "CKV_K8S_17") {
			names = append(names, f.Attributes["object"])
		}
	}
	slices.Sort(names)
	if want := []string{"shop/Deployment.apps/alone", "shop/Deployment.apps/web (overlays/dev)"}; !slices.Equal(slices.DeleteFunc(slices.Clone(names), func(n string) bool { return strings.Contains(n, "(base)") }), want) {
		t.Errorf("hostPID is told of %q, expected %q", names, want)
	}
	survey, err := New(nil).(scan.Surveyor).Survey(t.Context(), tree)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range append(names, "shop/Deployment.apps/web (overlays/prod)") {
		if _, known := survey[name]; !known {
			t.Errorf("%s is not surveyed: %v", name, survey)
		}
	}
}
