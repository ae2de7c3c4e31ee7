package kubernetes

import (
	"regexp"
	"strings"
)

// ObjectKey takes the key of an object apart, "cluster/namespace/Kind.group/name" or
// what ends like it; the namespace is "" where it is unknown or there is none.
func ObjectKey(key string) (namespace, kind, name string, ok bool) {
	parts := strings.Split(key, "/")
	n := len(parts)
	if n < 2 || parts[n-1] == "" || parts[n-2] == "" {
		return "", "", "", false
	}
	if kind, _, _ = strings.Cut(parts[n-2], "."); kind == "" || kind[0] < 'A' || kind[0] > 'Z' {
		return "", "", "", false // a resource of a cloud
	}
	if n > 2 && parts[n-3] != "-" {
		namespace = parts[n-3]
	}
	return namespace, kind, parts[n-1], true
}

// Controller is an object that may control another, and where the template of the
// controlled one stands in it.
type Controller struct {
	Kind, Name string
	Template   string // "" where both have the same fields
}

var (
	ofReplicaSet  = regexp.MustCompile(`^(.+)-[0-9a-z]{5,10}$`)
	ofPod         = regexp.MustCompile(`^(.+)-[0-9a-z]{5}$`)
	ofStatefulSet = regexp.MustCompile(`^(.+)-\d{1,4}$`)
	ofCronJob     = regexp.MustCompile(`^(.+)-\d{8,10}$`)
)

// Controllers are the objects that an object's name says may control it, as
// Kubernetes makes the names of pods, ReplicaSets and jobs out of those of their
// controllers. Whether one of them is there is for the caller to see.
func Controllers(kind, name string) []Controller {
	var all []Controller
	of := func(form *regexp.Regexp, name string, found func(name string)) {
		if m := form.FindStringSubmatch(name); m != nil {
			found(m[1])
		}
	}
	add := func(kind, name, template string) { all = append(all, Controller{kind, name, template}) }
	const pod = "spec.template"
	switch kind {
	case "ReplicaSet":
		of(ofReplicaSet, name, func(name string) { add("Deployment", name, "") })
	case "Job":
		of(ofCronJob, name, func(name string) { add("CronJob", name, "spec.jobTemplate") })
	case "Pod":
		of(ofStatefulSet, name, func(name string) { add("StatefulSet", name, pod) })
		of(ofPod, name, func(name string) {
			of(ofReplicaSet, name, func(name string) { add("Deployment", name, pod) })
			of(ofCronJob, name, func(name string) { add("CronJob", name, "spec.jobTemplate."+pod) })
			for _, kind := range []string{"DaemonSet", "Job", "ReplicaSet"} {
				add(kind, name, pod)
			}
		})
	}
	return all
}
