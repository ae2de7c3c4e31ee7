package terraform

import (
	"fmt"

	"github.com/zclconf/go-cty/cty"
)

// kubernetes are the rules about objects that the Kubernetes provider makes, in the words
// of that provider.
func kubernetes() []Rule {
	pods := "kubernetes_pod kubernetes_pod_v1"
	workloads := "kubernetes_deployment kubernetes_deployment_v1 kubernetes_daemonset kubernetes_daemon_set_v1 kubernetes_stateful_set kubernetes_stateful_set_v1"
	all := pods + " " + workloads
	return []Rule{
		rule("kubernetes-privileged", "A container runs with all privileges", high, "CKV_K8S_16", all, containers("security_context[0].privileged", func(f string) judge { return is(f, "false", true) })),
		rule("kubernetes-escalation", "A container may gain privileges", medium, "CKV_K8S_20", all, containers("security_context[0].allow_privilege_escalation", func(f string) judge { return is(f, "false", false) })),
		rule("kubernetes-read-only-root", "A container may write to its own files", low, "CKV_K8S_22", all, containers("security_context[0].read_only_root_filesystem", func(f string) judge { return is(f, "true", false) })),
		rule("kubernetes-host-network", "The pod shares the node's network", medium, "CKV_K8S_19", all, pod("host_network", func(f string) judge { return is(f, "false", true) })),
		rule("kubernetes-host-pid", "The pod shares the node's processes", medium, "CKV_K8S_17", all, pod("host_pid", func(f string) judge { return is(f, "false", true) })),
		rule("kubernetes-host-ipc", "The pod shares the node's memory", medium, "CKV_K8S_18", all, pod("host_ipc", func(f string) judge { return is(f, "false", true) })),
	}
}

// podSpec is the path of a pod's description.
func podSpec(s *subject) string {
	if s.address.Type == "kubernetes_pod" || s.address.Type == "kubernetes_pod_v1" {
		return "spec[0]"
	}
	return "spec[0].template[0].spec[0]"
}

func pod(field string, one func(string) judge) judge {
	return func(s *subject) ([]flaw, bool) { return one(podSpec(s) + "." + field)(s) }
}

func containers(field string, one func(string) judge) judge {
	return func(s *subject) (flaws []flaw, known bool) {
		spec, how := at(s.value, podSpec(s))
		if how != given {
			return nil, how == absent
		}
		known = true
		for _, kind := range []string{"container", "init_container"} {
			list, ok := many(spec, kind)
			known = known && ok
			for i := range list {
				more, sure := one(fmt.Sprintf("%s.%s[%d].%s", podSpec(s), kind, i, field))(s)
				flaws, known = append(flaws, more...), known && sure
			}
		}
		return flaws, known
	}
}

func atLeastTwo(v cty.Value) bool {
	n, ok := number(v)
	return ok && n >= 2
}
