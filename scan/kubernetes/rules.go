package kubernetes

import (
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// rule is one thing that is judged.
type rule struct {
	id, title string
	severity  fact.Severity
	// aliases are the ids that other tools have for it, where it is surely the same
	// thing, separated by spaces.
	aliases string
}

func (r *rule) ids() []string { return strings.Fields(r.aliases) }

const (
	low      = fact.SeverityLow
	medium   = fact.SeverityMedium
	high     = fact.SeverityHigh
	critical = fact.SeverityCritical
)

// Rules of pods and their containers. Those of the Pod Security Standards come first.
var (
	privileged      = rule{"kubernetes/privileged", "A container is privileged", high, "CKV_K8S_16 C-0057 rule-privileged-container KSV017 AVD-KSV-0017 privileged-container runAsPrivileged disallow-privileged-containers K8sPSPPrivilegedContainer"}
	hostPID         = rule{"kubernetes/host-pid", "A pod shares the processes of its node", high, "CKV_K8S_17 C-0038 host-pid-ipc-privileges host-pid-privileges KSV010 AVD-KSV-0010 host-pid hostPIDSet disallow-host-namespaces K8sPSPHostNamespace"}
	hostIPC         = rule{"kubernetes/host-ipc", "A pod shares the interprocess communication of its node", high, "CKV_K8S_18 C-0038 host-pid-ipc-privileges host-ipc-privileges KSV008 AVD-KSV-0008 host-ipc hostIPCSet disallow-host-namespaces K8sPSPHostNamespace"}
	hostNetwork     = rule{"kubernetes/host-network", "A pod shares the network of its node", high, "CKV_K8S_19 C-0041 host-network-access KSV009 AVD-KSV-0009 host-network hostNetworkSet disallow-host-namespaces K8sPSPHostNetworkingPorts"}
	hostPort        = rule{"kubernetes/host-port", "A container takes a port of its node", medium, "CKV_K8S_26 C-0044 container-hostPort KSV024 AVD-KSV-0024 hostPortSet disallow-host-ports K8sPSPHostNetworkingPorts"}
	hostPath        = rule{"kubernetes/host-path", "A pod mounts a folder of its node", medium, "C-0048 alert-any-hostpath KSV023 AVD-KSV-0023 hostPathSet disallow-host-path K8sPSPHostFilesystem"}
	runtimeSocket   = rule{"kubernetes/runtime-socket", "A pod mounts the socket of the container runtime", high, "CKV_K8S_27 C-0074 containers-mounting-docker-socket KSV006 AVD-KSV-0006 docker-sock disallow-cri-sock-mount"}
	hostProcess     = rule{"kubernetes/host-process", "A Windows container runs as a process of its node", high, "KSV103 AVD-KSV-0103 hostProcess disallow-host-process set-hostprocess-true K8sPSPHostProcess"}
	addedCapability = rule{"kubernetes/added-capability", "A container gets capabilities beyond the usual ones", high, "C-0046 insecure-capabilities KSV022 AVD-KSV-0022 dangerousCapabilities disallow-capabilities"}
	anyCapability   = rule{"kubernetes/any-capability", "A container gets capabilities", low, "CKV_K8S_25 disallow-capabilities-strict"}
	sysAdmin        = rule{"kubernetes/capability-sys-admin", "A container may administer its node", high, "CKV_K8S_39 KSV005 AVD-KSV-0005"}
	procMount       = rule{"kubernetes/proc-mount", "A container sees all of /proc", medium, "KSV027 AVD-KSV-0027 unsafe-proc-mount procMount disallow-proc-mount K8sPSPProcMount"}
	sysctls         = rule{"kubernetes/sysctls", "A pod sets kernel parameters that reach beyond it", medium, "KSV026 AVD-KSV-0026 unsafe-sysctls restrict-sysctls set-sysctls-params K8sPSPForbiddenSysctls"}
	selinux         = rule{"kubernetes/selinux-options", "A pod sets SELinux options that weaken its confinement", medium, "KSV025 AVD-KSV-0025 disallow-selinux"}
	appArmor        = rule{"kubernetes/apparmor", "A container is not confined by AppArmor", medium, "restrict-apparmor-profiles"}
	unconfined      = rule{"kubernetes/seccomp-unconfined", "Seccomp is turned off", medium, "KSV104 AVD-KSV-0104 restrict-seccomp K8sPSPSeccomp"}
	seccomp         = rule{"kubernetes/seccomp", "No seccomp profile restricts system calls", low, "CKV_K8S_31 C-0210 set-seccomp-profile-RuntimeDefault set-seccomp-profile KSV030 AVD-KSV-0030 restrict-seccomp-strict"}
	escalation      = rule{"kubernetes/privilege-escalation", "A process may gain more privileges than its parent", medium, "CKV_K8S_20 C-0016 rule-allow-privilege-escalation KSV001 AVD-KSV-0001 privilege-escalation-container privilegeEscalationAllowed disallow-privilege-escalation K8sPSPAllowPrivilegeEscalationContainer"}
	nonRoot         = rule{"kubernetes/run-as-non-root", "A container may run as root", medium, "CKV_K8S_23 C-0013 non-root-containers KSV012 AVD-KSV-0012 run-as-non-root runAsRootAllowed require-run-as-nonroot"}
	rootUser        = rule{"kubernetes/run-as-root", "A container is told to run as root", medium, "KSV105 AVD-KSV-0105 require-run-as-non-root-user"}
	dropAll         = rule{"kubernetes/drop-capabilities", "A container keeps the default capabilities", low, "CKV_K8S_37 KSV003 AVD-KSV-0003 KSV106 AVD-KSV-0106 require-drop-all"}
	netRaw          = rule{"kubernetes/net-raw", "A container may make raw packets", low, "CKV_K8S_28 drop-capability-netraw KSV119 AVD-KSV-0119 drop-net-raw-capability require-drop-cap-net-raw"}

	readOnlyRoot     = rule{"kubernetes/read-only-root", "A container can change its own file system", low, "CKV_K8S_22 C-0017 immutable-container-filesystem KSV014 AVD-KSV-0014 no-read-only-root-fs notReadOnlyRootFilesystem require-ro-rootfs K8sPSPReadOnlyRootFilesystem"}
	lowUser          = rule{"kubernetes/low-user-id", "A container may run as a user that the node knows too", low, "CKV_K8S_40 KSV020 AVD-KSV-0020"}
	lowGroup         = rule{"kubernetes/low-group-id", "A container may run as a group that the node knows too", low, "KSV021 AVD-KSV-0021"}
	cpuLimit         = rule{"kubernetes/cpu-limit", "A container has no limit of CPU", low, "CKV_K8S_11 C-0270 resources-cpu-limits KSV011 AVD-KSV-0011 cpuLimitsMissing"}
	cpuRequest       = rule{"kubernetes/cpu-request", "A container requests no CPU", low, "CKV_K8S_10 C-0268 resources-cpu-requests KSV015 AVD-KSV-0015 cpuRequestsMissing unset-cpu-requirements"}
	memoryLimit      = rule{"kubernetes/memory-limit", "A container has no limit of memory", low, "CKV_K8S_13 C-0271 resources-memory-limits KSV018 AVD-KSV-0018 memoryLimitsMissing"}
	memoryRequest    = rule{"kubernetes/memory-request", "A container requests no memory", low, "CKV_K8S_12 C-0269 resources-memory-requests KSV016 AVD-KSV-0016 memoryRequestsMissing unset-memory-requirements"}
	liveness         = rule{"kubernetes/liveness-probe", "A container has no liveness probe", low, "CKV_K8S_8 C-0056 configured-liveness-probe no-liveness-probe livenessProbeMissing"}
	readiness        = rule{"kubernetes/readiness-probe", "A container has no readiness probe", low, "CKV_K8S_9 C-0018 configured-readiness-probe no-readiness-probe readinessProbeMissing"}
	latestTag        = rule{"kubernetes/image-tag", "An image is named without a fixed version", medium, "CKV_K8S_14 KSV013 AVD-KSV-0013 latest-tag tagNotSpecified disallow-latest-tag K8sDisallowedTags"}
	imageDigest      = rule{"kubernetes/image-digest", "An image is named without its digest", low, "CKV_K8S_43 require-image-checksum K8sImageDigests"}
	pullPolicy       = rule{"kubernetes/pull-policy", "An image is not pulled always", low, "CKV_K8S_15 pullPolicyNotAlways"}
	latestPulled     = rule{"kubernetes/pull-policy-latest", "The newest image is meant and not pulled always", low, "C-0075 image-pull-policy-is-not-set-to-always"}
	serviceToken     = rule{"kubernetes/service-account-token", "A pod gets the token of its service account", low, "CKV_K8S_38 C-0034 automount-service-account KSV036 AVD-KSV-0036 automountServiceAccountToken restrict-automount-sa-token K8sPSPAutomountServiceAccountTokenPod"}
	accountToken     = rule{"kubernetes/account-token", "A service account gives its token to every pod", low, "C-0034 automount-service-account restrict-sa-automount-sa-token"}
	defaultToken     = rule{"kubernetes/default-account-token", "The default service account gives its token to every pod", medium, "CKV_K8S_41 automount-default-service-account"}
	defaultAccount   = rule{"kubernetes/default-service-account", "A pod runs as the default service account", low, "default-service-account"}
	oldAccountField  = rule{"kubernetes/deprecated-service-account", "A pod names its service account by a field that is no more", low, "deprecated-service-account-field"}
	defaultNamespace = rule{"kubernetes/default-namespace", "An object is in the default namespace", low, "CKV_K8S_21 C-0061 pods-in-default-namespace KSV110 AVD-KSV-0110 use-namespace disallow-default-namespace"}
	secretInEnv      = rule{"kubernetes/secret-in-environment", "A secret is put into the environment of a container", low, "CKV_K8S_35 C-0207 rule-secrets-in-env-var read-secret-from-env-var disallow-secrets-from-env-vars"}
	literalSecret    = rule{"kubernetes/literal-secret", "A secret is written into a manifest", high, "C-0012 rule-credentials-in-env-var env-var-secret sensitiveContainerEnvVar"}
	sharedProcesses  = rule{"kubernetes/shared-processes", "The containers of a pod see each other's processes", low, ""}
	privilegedPort   = rule{"kubernetes/privileged-port", "A container listens on a port that only root may take", low, "privileged-ports KSV117 AVD-KSV-0117"}
	sshPort          = rule{"kubernetes/ssh-port", "A container listens on the port of SSH", low, "ssh-port"}
	tiller           = rule{"kubernetes/tiller", "Tiller, the server of Helm 2, is deployed", high, "CKV_K8S_34 KSV102 AVD-KSV-0102"}
	rollingUpdate    = rule{"kubernetes/rolling-update", "A deployment is not updated step by step", low, "no-rolling-update-strategy"}
	nakedPod         = rule{"kubernetes/naked-pod", "A pod is made without a controller", low, "C-0073 naked-pods"}
	commonLabels     = rule{"kubernetes/common-labels", "A workload has none of the common labels", low, "C-0077 k8s-common-labels-usage"}
)

// Rules of access.
var (
	wildcardVerbs     = rule{"kubernetes/wildcard-verbs", "A role may do everything to what it names", high, "KSV045 AVD-KSV-0045 restrict-wildcard-verbs"}
	wildcardResources = rule{"kubernetes/wildcard-resources", "A role names all resources", high, "KSV046 AVD-KSV-0046 restrict-wildcard-resources"}
	wildcardRole      = rule{"kubernetes/wildcard-role", "A role uses wildcards", high, "CKV_K8S_49 wildcard-in-rules KSV044 AVD-KSV-0044"}
	readSecrets       = rule{"kubernetes/read-secrets", "A role may read secrets", medium, "C-0015 rule-can-list-get-secrets-v1 access-to-secrets KSV041 AVD-KSV-0041 restrict-secret-role-verbs"}
	execPods          = rule{"kubernetes/exec-pods", "A role may run commands in pods", medium, "C-0002 exec-into-container-v1 KSV053 AVD-KSV-0053"}
	createPods        = rule{"kubernetes/create-pods", "A role may make pods", low, "access-to-create-pods"}
	escalateRoles     = rule{"kubernetes/escalate-roles", "A role may give itself more rights", high, "CKV_K8S_158 restrict-escalation-verbs-roles"}
	bindRoles         = rule{"kubernetes/bind-roles", "A role may bind roles that it does not have", high, "CKV_K8S_157 C-0191 rule-can-bind-escalate"}
	impersonate       = rule{"kubernetes/impersonate", "A role may act as others", high, "C-0065 rule-can-impersonate-users-groups-v1 KSV043 AVD-KSV-0043"}
	controlWebhooks   = rule{"kubernetes/control-webhooks", "A role may change admission webhooks", high, "CKV_K8S_155 restrict-clusterrole-mutating-validating-admission-webhooks"}
	approveRequests   = rule{"kubernetes/approve-certificates", "A role may approve certificates", high, "CKV_K8S_156 restrict-clusterrole-csr"}
	nodesProxy        = rule{"kubernetes/nodes-proxy", "A role may reach the API of nodes", high, "KSV047 AVD-KSV-0047 restrict-clusterrole-nodesproxy"}
	clusterAdmin      = rule{"kubernetes/cluster-admin", "A binding gives all rights in the cluster", high, "KSV111 AVD-KSV-0111 cluster-admin-role-binding clusterrolebindingClusterAdmin"}
	anonymousSubject  = rule{"kubernetes/anonymous-subject", "A binding gives rights to anybody", critical, "anonymous-access-enabled K8sDisallowAnonymous"}
	defaultSubject    = rule{"kubernetes/default-account-binding", "A binding gives rights to the default service account", medium, "CKV_K8S_42"}
)

// Rules of the network.
var (
	nodePort        = rule{"kubernetes/node-port", "A service opens a port on every node", low, "restrict-node-port K8sBlockNodePort exposed-services"}
	loadBalancer    = rule{"kubernetes/load-balancer", "A service asks for a load balancer", low, "K8sBlockLoadBalancer exposed-services"}
	externalIPs     = rule{"kubernetes/external-ips", "A service takes the traffic of addresses that it names", medium, "restrict-service-external-ips K8sExternalIPs"}
	plainIngress    = rule{"kubernetes/ingress-tls", "An ingress is served without TLS", medium, "K8sHttpsOnly tlsSettingsMissing require-ingress-https"}
	wildcardIngress = rule{"kubernetes/wildcard-ingress", "An ingress takes the traffic of all hosts", low, "K8sBlockWildcardIngress restrict-ingress-wildcard"}
	ingressSnippet  = rule{"kubernetes/ingress-snippet", "An ingress brings its own configuration of the proxy", high, "CKV_K8S_153"}
	noPolicy        = rule{"kubernetes/network-policy", "No network policy holds for a workload", low, "C-0260 missing-network-policy non-isolated-pod"}
)

// allRules lists every rule but those of flags, for the digest.
func allRules() []*rule {
	return []*rule{
		&privileged, &hostPID, &hostIPC, &hostNetwork, &hostPort, &hostPath, &runtimeSocket, &hostProcess, &addedCapability, &anyCapability, &sysAdmin, &procMount, &sysctls, &selinux, &appArmor,
		&unconfined, &seccomp, &escalation, &nonRoot, &rootUser, &dropAll, &netRaw, &readOnlyRoot, &lowUser, &lowGroup, &cpuLimit, &cpuRequest, &memoryLimit, &memoryRequest, &liveness, &readiness,
		&latestTag, &imageDigest, &pullPolicy, &latestPulled, &serviceToken, &accountToken, &defaultToken, &defaultAccount, &oldAccountField, &defaultNamespace, &secretInEnv, &literalSecret,
		&sharedProcesses, &privilegedPort, &sshPort, &tiller, &rollingUpdate, &nakedPod, &commonLabels,
		&wildcardVerbs, &wildcardResources, &wildcardRole, &readSecrets, &execPods, &createPods, &escalateRoles, &bindRoles, &impersonate, &controlWebhooks, &approveRequests, &nodesProxy,
		&clusterAdmin, &anonymousSubject, &defaultSubject, &nodePort, &loadBalancer, &externalIPs, &plainIngress, &wildcardIngress, &ingressSnippet, &noPolicy,
	}
}
