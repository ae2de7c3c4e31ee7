package kubernetes

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/kubernetes"
)

// usual are the capabilities that the baseline standard allows to add.
var usual = []string{"AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT"}

// safeSysctls are those that the baseline standard allows.
var safeSysctls = []string{"kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
	"net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes"}

var sockets = []string{"/var/run/docker.sock", "/run/docker.sock", "/var/run/containerd/containerd.sock", "/run/containerd/containerd.sock", "/var/run/crio/crio.sock", "/run/crio/crio.sock", "/var/run/docker", "/run/containerd"}

var sensitiveName = regexp.MustCompile(`(?i)(password|passwd|secret|token|api_?key|access_?key|private_?key|credential|[_-]key$)`)

// container is one container of a pod.
type container struct {
	node   *kubernetes.Node
	at     string // its field path
	name   string
	kind   string // the list it is in
	safety *kubernetes.Node
}

// pod judges the pod that a workload makes.
func (l *look) pod(spec *kubernetes.Node, at string) {
	safety := spec.Get("securityContext")
	for _, b := range []struct {
		key string
		r   *rule
	}{{"hostPID", &hostPID}, {"hostIPC", &hostIPC}, {"hostNetwork", &hostNetwork}, {"shareProcessNamespace", &sharedProcesses}} {
		if n := spec.Get(b.key); mayBeTrue(n) {
			l.tell(b.r, "", n, "", set(at+"."+b.key, "false"))
		}
	}
	if n := safety.Get("windowsOptions", "hostProcess"); mayBeTrue(n) {
		l.tell(&hostProcess, "", n, "", set(at+".securityContext.windowsOptions.hostProcess", "false"))
	}
	for i, s := range safety.List("sysctls") {
		if name := s.String("name"); name != "" && !slices.Contains(safeSysctls, name) {
			l.tell(&sysctls, "", s, name, gone(fmt.Sprintf("%s.securityContext.sysctls[%d]", at, i)))
		}
	}
	l.selinux("", safety, at)
	if n := safety.Get("appArmorProfile", "type"); n != nil && n.Text == "Unconfined" {
		l.tell(&appArmor, "", n, "", set(at+".securityContext.appArmorProfile.type", `"RuntimeDefault"`))
	}
	var all []container
	for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for i, n := range spec.List(list) {
			if n.Shape == kubernetes.Map {
				all = append(all, container{n, fmt.Sprintf("%s.%s[%d]", at, list, i), n.String("name"), list, n.Get("securityContext")})
			}
		}
	}
	l.volumes(spec, at, all)
	for _, c := range all {
		l.container(spec, safety, at, c)
	}
	l.users(spec, safety, at, all)
	l.profiles(spec, safety, at, all)
	l.podAccount(spec, at)
	l.workload(spec, all)
	l.flags(all)
}

func (l *look) selinux(name string, safety *kubernetes.Node, at string) {
	o := safety.Get("seLinuxOptions")
	if o == nil {
		return
	}
	var wishes []wish
	if t := o.String("type"); t != "" && !slices.Contains([]string{"container_t", "container_init_t", "container_kvm_t", "container_engine_t"}, t) {
		wishes = append(wishes, gone(at+".securityContext.seLinuxOptions.type"))
	}
	for _, key := range []string{"user", "role"} {
		if o.String(key) != "" {
			wishes = append(wishes, gone(at+".securityContext.seLinuxOptions."+key))
		}
	}
	if len(wishes) > 0 {
		l.tell(&selinux, name, o, "", wishes...)
	}
}

func (l *look) volumes(spec *kubernetes.Node, at string, all []container) {
	for i, v := range spec.List("volumes") {
		where := v.Get("hostPath")
		if where == nil {
			continue
		}
		field := fmt.Sprintf("%s.volumes[%d]", at, i)
		name := where.String("path")
		if slices.Contains(sockets, strings.TrimRight(name, "/")) {
			wishes := []wish{gone(field)}
			for _, c := range all {
				for j, m := range c.node.List("volumeMounts") {
					if m.String("name") == v.String("name") {
						wishes = append(wishes, gone(fmt.Sprintf("%s.volumeMounts[%d]", c.at, j)))
					}
				}
			}
			l.tell(&runtimeSocket, "", where, name, wishes...)
		}
		l.tell(&hostPath, "", where, name, set(field, "?another kind of volume, or none"))
	}
}

func (l *look) container(spec, safety *kubernetes.Node, at string, c container) {
	tell := func(r *rule, n *kubernetes.Node, detail string, wishes ...wish) {
		l.tell(r, c.name, or(n, c.safety, c.node), detail, wishes...)
	}
	sc := c.at + ".securityContext"
	if n := c.safety.Get("privileged"); mayBeTrue(n) {
		tell(&privileged, n, "", set(sc+".privileged", "false"))
	}
	if n := c.safety.Get("allowPrivilegeEscalation"); !isFalse(n) {
		tell(&escalation, n, "", set(sc+".allowPrivilegeEscalation", "false"))
	}
	if n := c.safety.Get("readOnlyRootFilesystem"); !isTrue(n) {
		tell(&readOnlyRoot, n, "", set(sc+".readOnlyRootFilesystem", "true"))
	}
	if n := c.safety.Get("procMount"); n != nil && n.Text != "Default" && n.Text != "" {
		tell(&procMount, n, "", set(sc+".procMount", `"Default"`))
	}
	if n := c.safety.Get("windowsOptions", "hostProcess"); mayBeTrue(n) {
		tell(&hostProcess, n, "", set(sc+".windowsOptions.hostProcess", "false"))
	}
	if n := c.safety.Get("appArmorProfile", "type"); n != nil && n.Text == "Unconfined" {
		tell(&appArmor, n, "", set(sc+".appArmorProfile.type", `"RuntimeDefault"`))
	}
	key := "container.apparmor.security.beta.kubernetes.io/" + c.name
	meta, metaAt := l.podMeta()
	if n := meta.Get("annotations", key); n != nil && n.Text == "unconfined" {
		tell(&appArmor, n, "", set(metaAt+`.annotations["`+key+`"]`, `"runtime/default"`))
	}
	l.selinux(c.name, c.safety, c.at)
	l.capabilities(c)
	for i, p := range c.node.List("ports") {
		if n, ok := number(p.Get("hostPort")); ok && n != 0 {
			tell(&hostPort, p.Get("hostPort"), fmt.Sprint(n), gone(fmt.Sprintf("%s.ports[%d].hostPort", c.at, i)))
		}
		n, ok := number(p.Get("containerPort"))
		field := fmt.Sprintf("%s.ports[%d].containerPort", c.at, i)
		if ok && n < 1024 && n > 0 {
			tell(&privilegedPort, p.Get("containerPort"), fmt.Sprint(n), set(field, "?a port of 1024 or above, on which the program listens"))
		}
		if ok && n == 22 {
			tell(&sshPort, p.Get("containerPort"), "", set(field, "?whether the program needs SSH"))
		}
	}
	l.environment(c)
	if c.kind == "ephemeralContainers" {
		return
	}
	resources := c.node.Get("resources")
	for _, r := range []struct {
		kind, what string
		rule       *rule
	}{{"limits", "cpu", &cpuLimit}, {"requests", "cpu", &cpuRequest}, {"limits", "memory", &memoryLimit}, {"requests", "memory", &memoryRequest}} {
		if n := resources.Get(r.kind, r.what); n == nil || n.Text == "" {
			tell(r.rule, or(resources.Get(r.kind), resources, c.node), "", set(c.at+".resources."+r.kind+"."+r.what, "?how much "+r.what+" the container needs, as measured"))
		}
	}
	if c.kind == "containers" && l.o.Kind != "Job" && l.o.Kind != "CronJob" {
		if c.node.Get("livenessProbe") == nil {
			tell(&liveness, c.node, "", set(c.at+".livenessProbe", "?how to tell that the program hangs"))
		}
		if c.node.Get("readinessProbe") == nil {
			tell(&readiness, c.node, "", set(c.at+".readinessProbe", "?how to tell that the program can serve"))
		}
	}
	l.image(c)
}

// podMeta gives the metadata of the pods that the object makes, with its field path.
func (l *look) podMeta() (*kubernetes.Node, string) {
	_, at := l.o.PodSpec()
	at = strings.TrimSuffix(at, "spec") + "metadata"
	path, err := kubernetes.ParsePath(at)
	if err != nil {
		return nil, at
	}
	n, _ := l.o.Root.Find(path)
	return n, at
}

func (l *look) capabilities(c container) {
	caps := c.safety.Get("capabilities")
	add, drop := caps.List("add"), caps.List("drop")
	field := c.at + ".securityContext.capabilities"
	var beyond, anyOf, admin []wish
	for i, item := range add {
		name := strings.TrimPrefix(strings.ToUpper(item.Text), "CAP_")
		w := gone(fmt.Sprintf("%s.add[%d]", field, i))
		if !slices.Contains(usual, name) {
			beyond = append(beyond, w)
		}
		if name == "SYS_ADMIN" || name == "ALL" {
			admin = append(admin, w)
		}
		anyOf = append(anyOf, w)
	}
	if len(beyond) > 0 {
		l.tell(&addedCapability, c.name, caps.Get("add"), "", beyond...)
	}
	if len(admin) > 0 {
		l.tell(&sysAdmin, c.name, caps.Get("add"), "", admin...)
	}
	if len(anyOf) > 0 {
		l.tell(&anyCapability, c.name, caps.Get("add"), "", anyOf...)
	}
	if fold(drop, "ALL") {
		return
	}
	w := set(field+".drop", `["ALL"]`)
	if len(drop) > 0 {
		w = set(fmt.Sprintf("%s.drop[%d]", field, len(drop)), `"ALL"`)
	}
	near := or(caps.Get("drop"), caps, c.safety, c.node)
	l.tell(&dropAll, c.name, near, "", w)
	if !fold(drop, "NET_RAW") && !fold(drop, "CAP_NET_RAW") {
		l.tell(&netRaw, c.name, near, "", w)
	}
}

func (l *look) environment(c container) {
	for i, e := range c.node.List("env") {
		field := fmt.Sprintf("%s.env[%d]", c.at, i)
		if from := e.Get("valueFrom", "secretKeyRef"); from != nil {
			l.tell(&secretInEnv, c.name, from, e.String("name"), set(field, "?a file of a mounted secret, which the program reads"))
		}
		if value := e.Get("value"); value != nil && value.Text != "" && sensitiveName.MatchString(e.String("name")) && !strings.HasPrefix(value.Text, "/") && !strings.HasPrefix(value.Text, "$(") && value.Value() != true && value.Value() != false {
			l.tell(&literalSecret, c.name, value, e.String("name"), set(field+".value", "?a reference to a Secret, after the value was rotated"))
		}
	}
	for i, e := range c.node.List("envFrom") {
		if from := e.Get("secretRef"); from != nil {
			l.tell(&secretInEnv, c.name, from, from.String("name"), set(fmt.Sprintf("%s.envFrom[%d]", c.at, i), "?files of a mounted secret, which the program reads"))
		}
	}
}

func (l *look) image(c container) {
	n := c.node.Get("image")
	image := c.node.String("image")
	if image == "" {
		return
	}
	ref, ok := kubernetes.ParseReference(image)
	latest := ok && ref.Digest == "" && (ref.Tag == "" || ref.Tag == "latest")
	if latest {
		l.tell(&latestTag, c.name, n, image, set(c.at+".image", "?the tag of a release"))
	}
	if ok && ref.Digest == "" {
		l.tell(&imageDigest, c.name, n, image, set(c.at+".image", "?the digest of the image that was tested"))
	}
	policy := c.node.Get("imagePullPolicy")
	if policy == nil && !latest && ref.Digest == "" || policy != nil && policy.Text != "Always" {
		l.tell(&pullPolicy, c.name, or(policy, n), "", set(c.at+".imagePullPolicy", `"Always"`))
		if latest {
			l.tell(&latestPulled, c.name, or(policy, n), "", set(c.at+".imagePullPolicy", `"Always"`))
		}
	}
	if strings.Contains(image, "tiller") {
		l.tell(&tiller, c.name, n, image, set(c.at+".image", "?what still needs Helm 2; Helm 3 has no server"))
	}
}

// users judges as whom the containers run. What holds for all of them is wanted of the
// pod, what a container says against it of the container.
func (l *look) users(spec, safety *kubernetes.Node, at string, all []container) {
	may, lowID, lowGID := false, false, false
	for _, c := range all {
		if c.kind == "ephemeralContainers" {
			continue
		}
		user, told := number(or(c.safety.Get("runAsUser"), safety.Get("runAsUser")))
		group, grouped := number(or(c.safety.Get("runAsGroup"), safety.Get("runAsGroup")))
		own := c.safety.Get("runAsNonRoot")
		switch {
		case isFalse(own) && !(told && user > 0):
			l.tell(&nonRoot, c.name, own, "", set(c.at+".securityContext.runAsNonRoot", "true"))
		case !isTrue(or(own, safety.Get("runAsNonRoot"))) && !(told && user > 0):
			may = true
		}
		if n := c.safety.Get("runAsUser"); n != nil && told && user == 0 {
			l.tell(&rootUser, c.name, n, "", set(c.at+".securityContext.runAsUser", "?the id of a user other than root"))
		}
		lowID = lowID || !told || user < 10_000
		lowGID = lowGID || !grouped || group < 10_000
	}
	if n, ok := number(safety.Get("runAsUser")); ok && n == 0 {
		l.tell(&rootUser, "", safety.Get("runAsUser"), "", set(at+".securityContext.runAsUser", "?the id of a user other than root"))
	}
	if may {
		l.tell(&nonRoot, "", or(safety.Get("runAsNonRoot"), safety, spec), "", set(at+".securityContext.runAsNonRoot", "true"))
	}
	if lowID {
		l.tell(&lowUser, "", or(safety.Get("runAsUser"), safety, spec), "", set(at+".securityContext.runAsUser", "?an id of 10000 or above that the image's files allow"))
	}
	if lowGID {
		l.tell(&lowGroup, "", or(safety.Get("runAsGroup"), safety, spec), "", set(at+".securityContext.runAsGroup", "?an id of 10000 or above that the image's files allow"))
	}
}

// profiles judges the seccomp profiles.
func (l *look) profiles(spec, safety *kubernetes.Node, at string, all []container) {
	meta, _ := l.podMeta()
	if n := meta.Get("annotations", "seccomp.security.alpha.kubernetes.io/pod"); n != nil && n.Text != "unconfined" {
		return
	}
	own := safety.Get("seccompProfile", "type")
	if own != nil && own.Text == "Unconfined" {
		l.tell(&unconfined, "", own, "", set(at+".securityContext.seccompProfile.type", `"RuntimeDefault"`))
	}
	missing := false
	for _, c := range all {
		n := c.safety.Get("seccompProfile", "type")
		if n != nil && n.Text == "Unconfined" {
			l.tell(&unconfined, c.name, n, "", set(c.at+".securityContext.seccompProfile.type", `"RuntimeDefault"`))
			l.tell(&seccomp, c.name, n, "", set(c.at+".securityContext.seccompProfile.type", `"RuntimeDefault"`))
			continue
		}
		missing = missing || n == nil
	}
	if missing && (own == nil || own.Text == "Unconfined" || own.Text == "") {
		l.tell(&seccomp, "", or(own, safety, spec), "", set(at+".securityContext.seccompProfile.type", `"RuntimeDefault"`))
	}
}

// podAccount judges the service account of a pod.
func (l *look) podAccount(spec *kubernetes.Node, at string) {
	name := spec.String("serviceAccountName")
	old := spec.Get("serviceAccount")
	if name == "" && old != nil {
		name = old.Text
	}
	if token := spec.Get("automountServiceAccountToken"); !isFalse(token) && !(token == nil && l.withholds(name)) {
		l.tell(&serviceToken, "", or(token, spec), "", set(at+".automountServiceAccountToken", "false"))
	}
	if name == "" || name == "default" {
		l.tell(&defaultAccount, "", or(spec.Get("serviceAccountName"), old, spec), "", set(at+".serviceAccountName", "?a service account of its own"))
	}
	if old != nil && old.Text != "" {
		wishes := []wish{gone(at + ".serviceAccount")}
		if spec.String("serviceAccountName") == "" {
			wishes = append(wishes, set(at+".serviceAccountName", kubernetes.TextValue(old.Text).JSON()))
		}
		l.tell(&oldAccountField, "", old, "", wishes...)
	}
}

// withholds says whether the service account of a pod gives it no token.
func (l *look) withholds(name string) bool {
	if name == "" {
		name = "default"
	}
	for _, o := range l.estate.Objects {
		if o.Kind == "ServiceAccount" && o.Name == name && o.Unit == l.o.Unit && o.Namespace == l.o.Namespace {
			return isFalse(o.Root.Get("automountServiceAccountToken"))
		}
	}
	return false
}

// workload judges what is not of the pod itself.
func (l *look) workload(spec *kubernetes.Node, all []container) {
	o := l.o
	if o.Kind == "Deployment" {
		if n := o.Root.Get("spec", "strategy", "type"); n != nil && n.Text != "RollingUpdate" {
			l.tell(&rollingUpdate, "", n, "", set("spec.strategy.type", `"RollingUpdate"`))
		}
	}
	if o.Kind == "Pod" && len(o.Root.List("metadata", "ownerReferences")) == 0 {
		l.tell(&nakedPod, "", o.Root, "", set("kind", "?a controller that makes the pod"))
	}
	labels := o.Root.Get("metadata", "labels")
	if !slices.ContainsFunc(labels.Entries(), func(f kubernetes.Field) bool { return strings.HasPrefix(f.Key, "app.kubernetes.io/") }) {
		l.tell(&commonLabels, "", or(labels, o.Root.Get("metadata"), o.Root), "", set(`metadata.labels["app.kubernetes.io/name"]`, "?the name of the application"))
	}
	l.policies()
}
