package kubernetes

import (
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code/kubernetes"
)

// flag is what a program of the control plane is to be started with.
type flag struct {
	rule    rule
	program string
	flag    string
	// want is what the flag's value must be:
	//	"=X"      X, also when the flag is missing and X is not its default
	//	"!X"      anything but X, or missing
	//	"-"       the flag must be missing
	//	"?text"   there with any value; text says which people choose
	//	"+X"      a list that holds X
	//	"~X"      a list that does not hold X
	//	">N"      a number of at least N
	//	"in A,B"  a list whose items are all among these
	want string
}

func of(program, name, title string, flagName, want, aliases string) flag {
	return flag{rule{"kubernetes/" + name, title, medium, aliases}, program, flagName, want}
}

const (
	apiserver  = "kube-apiserver"
	controller = "kube-controller-manager"
	scheduler  = "kube-scheduler"
	etcd       = "etcd"
	kubelet    = "kubelet"
)

const strongCiphers = "in TLS_AES_128_GCM_SHA256,TLS_AES_256_GCM_SHA384,TLS_CHACHA20_POLY1305_SHA256,TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384," +
	"TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305,TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305," +
	"TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,TLS_RSA_WITH_AES_128_GCM_SHA256,TLS_RSA_WITH_AES_256_GCM_SHA384"

var flags = []flag{
	of(apiserver, "apiserver-anonymous", "The API server answers anybody", "anonymous-auth", "=false", "CKV_K8S_68 ensure-that-the-api-server-anonymous-auth-argument-is-set-to-false"),
	of(apiserver, "apiserver-basic-auth", "The API server takes passwords of a file", "basic-auth-file", "-", "CKV_K8S_69"),
	of(apiserver, "apiserver-token-auth", "The API server takes tokens of a file", "token-auth-file", "-", "CKV_K8S_70"),
	of(apiserver, "apiserver-kubelet-https", "The API server talks to nodes without TLS", "kubelet-https", "!false", "CKV_K8S_71"),
	of(apiserver, "apiserver-kubelet-certificate", "The API server shows nodes no certificate", "kubelet-client-certificate", "?the file of the certificate", "CKV_K8S_72"),
	of(apiserver, "apiserver-kubelet-key", "The API server shows nodes no certificate", "kubelet-client-key", "?the file of the key", "CKV_K8S_72"),
	of(apiserver, "apiserver-kubelet-authority", "The API server does not check the certificates of nodes", "kubelet-certificate-authority", "?the file of the authority", "CKV_K8S_73 ensure-that-the-api-server-kubelet-certificate-authority-argument-is-set-as-appropriate"),
	of(apiserver, "apiserver-always-allow", "The API server allows every request", "authorization-mode", "~AlwaysAllow", "CKV_K8S_74 ensure-that-the-api-server-authorization-mode-argument-is-not-set-to-AlwaysAllow"),
	of(apiserver, "apiserver-node-authorization", "The API server does not restrict nodes", "authorization-mode", "+Node", "CKV_K8S_75 ensure-that-the-api-server-authorization-mode-argument-includes-Node"),
	of(apiserver, "apiserver-rbac", "The API server does not judge by roles", "authorization-mode", "+RBAC", "CKV_K8S_77 rbac-enabled-native"),
	of(apiserver, "apiserver-event-rate", "The API server does not limit events", "enable-admission-plugins", "+EventRateLimit", "CKV_K8S_78"),
	of(apiserver, "apiserver-always-admit", "The API server admits everything", "enable-admission-plugins", "~AlwaysAdmit", "CKV_K8S_79 ensure-that-the-admission-control-plugin-AlwaysAdmit-is-not-set"),
	of(apiserver, "apiserver-always-pull", "The API server lets nodes use images that they hold", "enable-admission-plugins", "+AlwaysPullImages", "CKV_K8S_80"),
	of(apiserver, "apiserver-service-account", "The API server does not admit by service accounts", "disable-admission-plugins", "~ServiceAccount", "ensure-that-the-admission-control-plugin-ServiceAccount-is-set"),
	of(apiserver, "apiserver-namespace-lifecycle", "The API server admits objects of namespaces that go", "disable-admission-plugins", "~NamespaceLifecycle", "ensure-that-the-admission-control-plugin-NamespaceLifecycle-is-set"),
	of(apiserver, "apiserver-node-restriction", "The API server lets nodes change others", "enable-admission-plugins", "+NodeRestriction", "CKV_K8S_85 ensure-that-the-admission-control-plugin-NodeRestriction-is-set"),
	of(apiserver, "apiserver-insecure-address", "The API server listens without TLS", "insecure-bind-address", "-", "CKV_K8S_86"),
	of(apiserver, "apiserver-insecure-port", "The API server listens without TLS", "insecure-port", "=0", "CKV_K8S_88"),
	of(apiserver, "apiserver-secure-port", "The API server does not listen with TLS", "secure-port", "!0", "CKV_K8S_89"),
	of(apiserver, "apiserver-profiling", "The API server can be profiled", "profiling", "=false", "CKV_K8S_90 ensure-that-the-api-server-profiling-argument-is-set-to-false"),
	of(apiserver, "apiserver-audit-log", "The API server keeps no audit log", "audit-log-path", "?where the audit log goes", "CKV_K8S_91 ensure-that-the-api-server-audit-log-path-argument-is-set"),
	of(apiserver, "apiserver-audit-age", "The audit log is kept for too few days", "audit-log-maxage", ">30", "CKV_K8S_92 ensure-that-the-api-server-audit-log-maxage-argument-is-set-to-30-or-as-appropriate"),
	of(apiserver, "apiserver-audit-backups", "Too few audit logs are kept", "audit-log-maxbackup", ">10", "CKV_K8S_93 ensure-that-the-api-server-audit-log-maxbackup-argument-is-set-to-10-or-as-appropriate"),
	of(apiserver, "apiserver-audit-size", "Audit logs are cut too soon", "audit-log-maxsize", ">100", "CKV_K8S_94"),
	of(apiserver, "apiserver-service-account-lookup", "The API server takes tokens of accounts that are gone", "service-account-lookup", "!false", "CKV_K8S_96"),
	of(apiserver, "apiserver-service-account-key", "The API server has no key of its own for tokens", "service-account-key-file", "?the file of the public key", "CKV_K8S_97"),
	of(apiserver, "apiserver-etcd-certificate", "The API server shows etcd no certificate", "etcd-certfile", "?the file of the certificate", "CKV_K8S_99"),
	of(apiserver, "apiserver-etcd-key", "The API server shows etcd no certificate", "etcd-keyfile", "?the file of the key", "CKV_K8S_99"),
	of(apiserver, "apiserver-tls-certificate", "The API server has no certificate", "tls-cert-file", "?the file of the certificate", "CKV_K8S_100"),
	of(apiserver, "apiserver-tls-key", "The API server has no certificate", "tls-private-key-file", "?the file of the key", "CKV_K8S_100"),
	of(apiserver, "apiserver-client-authority", "The API server checks no certificates of clients", "client-ca-file", "?the file of the authority", "ensure-that-the-api-server-client-ca-file-argument-is-set-as-appropriate"),
	of(apiserver, "apiserver-etcd-authority", "The API server does not check the certificate of etcd", "etcd-cafile", "?the file of the authority", "CKV_K8S_102 ensure-that-the-api-server-etcd-cafile-argument-is-set-as-appropriate"),
	of(apiserver, "apiserver-encryption", "Secrets are stored without encryption", "encryption-provider-config", "?the file of the configuration", "CKV_K8S_104 etcd-encryption-native"),
	of(apiserver, "apiserver-ciphers", "The API server may use weak ciphers", "tls-cipher-suites", strongCiphers, "CKV_K8S_105"),
	of(controller, "controller-garbage", "Pods that ended are kept", "terminated-pod-gc-threshold", "?how many pods that ended are kept", "CKV_K8S_106 ensure-that-the-controller-manager-terminated-pod-gc-threshold-argument-is-set-as-appropriate"),
	of(controller, "controller-profiling", "The controller manager can be profiled", "profiling", "=false", "CKV_K8S_107"),
	of(controller, "controller-credentials", "All controllers share one account", "use-service-account-credentials", "=true", "CKV_K8S_108 ensure-that-the-controller-manager-use-service-account-credentials-argument-is-set-to-true"),
	of(controller, "controller-service-account-key", "The controller manager signs no tokens", "service-account-private-key-file", "?the file of the key", "CKV_K8S_110 ensure-that-the-controller-manager-service-account-private-key-file-argument-is-set-as-appropriate"),
	of(controller, "controller-root-authority", "Pods cannot check the API server", "root-ca-file", "?the file of the authority", "CKV_K8S_111 ensure-that-the-controller-manager-root-ca-file-argument-is-set-as-appropriate"),
	of(controller, "controller-bind-address", "The controller manager listens to others", "bind-address", "=127.0.0.1", "CKV_K8S_113"),
	of(scheduler, "scheduler-profiling", "The scheduler can be profiled", "profiling", "=false", "CKV_K8S_114 ensure-that-the-scheduler-profiling-argument-is-set-to-false"),
	of(scheduler, "scheduler-bind-address", "The scheduler listens to others", "bind-address", "=127.0.0.1", "CKV_K8S_115 ensure-that-the-scheduler-bind-address-argument-is-set-to-127.0.0.1"),
	of(etcd, "etcd-certificate", "etcd has no certificate", "cert-file", "?the file of the certificate", "CKV_K8S_116 etcd-tls-enabled"),
	of(etcd, "etcd-key", "etcd has no certificate", "key-file", "?the file of the key", "CKV_K8S_116 etcd-tls-enabled"),
	of(etcd, "etcd-client-auth", "etcd answers anybody", "client-cert-auth", "=true", "CKV_K8S_117 etcd-client-auth-cert"),
	of(etcd, "etcd-auto-tls", "etcd trusts certificates that sign themselves", "auto-tls", "!true", "CKV_K8S_118"),
	of(etcd, "etcd-peer-certificate", "etcd shows its peers no certificate", "peer-cert-file", "?the file of the certificate", "CKV_K8S_119 etcd-peer-tls-enabled"),
	of(etcd, "etcd-peer-key", "etcd shows its peers no certificate", "peer-key-file", "?the file of the key", "CKV_K8S_119 etcd-peer-tls-enabled"),
	of(etcd, "etcd-peer-auth", "etcd answers any peer", "peer-client-cert-auth", "=true", "CKV_K8S_121"),
	of(etcd, "etcd-peer-auto-tls", "etcd trusts peers whose certificates sign themselves", "peer-auto-tls", "!true", "etcd-peer-auto-tls-disabled"),
	of(kubelet, "kubelet-anonymous", "A node answers anybody", "anonymous-auth", "=false", "CKV_K8S_138"),
	of(kubelet, "kubelet-always-allow", "A node allows every request", "authorization-mode", "~AlwaysAllow", "CKV_K8S_139"),
	of(kubelet, "kubelet-client-authority", "A node checks no certificates of clients", "client-ca-file", "?the file of the authority", "CKV_K8S_140"),
	of(kubelet, "kubelet-read-only-port", "A node answers without asking who", "read-only-port", "=0", "CKV_K8S_141"),
	of(kubelet, "kubelet-kernel-defaults", "A node changes parameters of the kernel", "protect-kernel-defaults", "=true", "CKV_K8S_144"),
	of(kubelet, "kubelet-iptables", "A node makes no rules of the packet filter", "make-iptables-util-chains", "!false", "CKV_K8S_145"),
	of(kubelet, "kubelet-hostname", "A node's name is overridden", "hostname-override", "-", "CKV_K8S_146"),
	of(kubelet, "kubelet-certificate", "A node has no certificate", "tls-cert-file", "?the file of the certificate", "CKV_K8S_148"),
	of(kubelet, "kubelet-rotation", "A node keeps its certificate", "rotate-certificates", "!false", "CKV_K8S_149"),
	of(kubelet, "kubelet-ciphers", "A node may use weak ciphers", "tls-cipher-suites", strongCiphers, "CKV_K8S_151"),
}

// argument is one of the words that a container is started with.
type argument struct {
	text  string
	field string
	node  *kubernetes.Node
}

// flags judges the programs of the control plane, which run as static pods.
func (l *look) flags(all []container) {
	for _, c := range all {
		var words []argument
		list := ""
		for _, key := range []string{"command", "args"} {
			for i, item := range c.node.List(key) {
				words = append(words, argument{item.Text, fmt.Sprintf("%s.%s[%d]", c.at, key, i), item})
				list = key
			}
		}
		programs := []string{apiserver, controller, scheduler, etcd, kubelet}
		program := ""
		if ref, ok := kubernetes.ParseReference(c.node.String("image")); ok && slices.Contains(programs, path.Base(ref.Repository)) {
			program = path.Base(ref.Repository)
		}
		for i, w := range words {
			// The program is the first word, or one of the words of a command in a shell.
			if base := path.Base(strings.TrimSpace(w.text)); i < 3 && slices.Contains(programs, base) {
				program = base
				break
			}
		}
		if program == "" || len(words) == 0 {
			continue
		}
		next := fmt.Sprintf("%s.%s[%d]", c.at, list, len(c.node.List(list)))
		for i := range flags {
			if f := &flags[i]; f.program == program {
				l.flag(c, f, words, next)
			}
		}
	}
}

func (l *look) flag(c container, f *flag, words []argument, next string) {
	value, field, there := "", next, false
	var n *kubernetes.Node
	for _, w := range words {
		name, v, told := strings.Cut(strings.TrimSpace(w.text), "=")
		if name != "--"+f.flag && name != "-"+f.flag {
			continue
		}
		value, field, n, there = v, w.field, w.node, true
		if !told {
			value = "true"
		}
	}
	write := func(v string) wish { return set(field, kubernetes.TextValue("--"+f.flag+"="+v).JSON()) }
	tell := func(w wish) { l.tell(&f.rule, c.name, or(n, c.node), "--"+f.flag, w) }
	items := strings.Split(value, ",")
	kind, want := f.want[:1], f.want[1:]
	switch kind {
	case "=":
		if !there || value != want {
			tell(write(want))
		}
	case "!":
		if there && value == want {
			tell(gone(field))
		}
	case "-":
		if there {
			tell(gone(field))
		}
	case "?":
		if !there || value == "" {
			tell(set(field, "?--"+f.flag+"= with "+want))
		}
	case "+":
		if there && !slices.Contains(items, want) {
			tell(write(value + "," + want))
		} else if !there {
			tell(write(want))
		}
	case "~":
		if !there || !slices.Contains(items, want) {
			return
		}
		if rest := slices.DeleteFunc(items, func(s string) bool { return s == want }); len(rest) > 0 {
			tell(write(strings.Join(rest, ",")))
		} else if f.flag == "authorization-mode" {
			tell(write("RBAC"))
		} else {
			tell(gone(field))
		}
	case ">":
		least, _ := strconv.Atoi(want)
		if got, err := strconv.Atoi(value); !there || err != nil || got < least {
			tell(write(want))
		}
	case "i":
		strong := strings.Split(strings.TrimPrefix(f.want, "in "), ",")
		if !there || slices.ContainsFunc(items, func(s string) bool { return !slices.Contains(strong, s) }) {
			tell(write(strings.Join(strong, ",")))
		}
	}
}
