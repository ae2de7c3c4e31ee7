package kubernetes

import (
	"fmt"
	"strconv"
	"strings"
)

// Object is one Kubernetes object that a repository declares or a cluster holds.
type Object struct {
	APIVersion string
	Kind       string
	Namespace  string
	Name       string
	Root       *Node
	Place      Place
	// Unit is what brings the object: "" for a plain manifest, else the folder of
	// the Kustomize overlay or the release of the chart.
	Unit    string
	release *Release // for objects of a chart
	file    string   // rendered template, for objects of a chart
	names   []string // earlier names, before prefixes
}

// ID is "Kind/name", with the namespace before it when the object names one.
func (o *Object) ID() string {
	if o.Namespace != "" {
		return o.Namespace + "/" + o.Kind + "/" + o.Name
	}
	return o.Kind + "/" + o.Name
}

// Group is the API group, "" for the core one.
func (o *Object) Group() string {
	if group, _, ok := strings.Cut(o.APIVersion, "/"); ok {
		return group
	}
	return ""
}

func newObject(n *Node) *Object {
	if n == nil || n.Shape != Map || n.String("kind") == "" || n.String("apiVersion") == "" {
		return nil
	}
	return &Object{
		APIVersion: n.String("apiVersion"), Kind: n.String("kind"), Namespace: n.String("metadata", "namespace"),
		Name: n.String("metadata", "name"), Root: n, Place: n.Place,
	}
}

// objectsOf gives the objects of a document, the items of a list for a List kind.
func objectsOf(n *Node) []*Object {
	if n == nil {
		return nil
	}
	if n.Shape == List {
		var all []*Object
		for _, item := range n.Items {
			all = append(all, objectsOf(item)...)
		}
		return all
	}
	if strings.HasSuffix(n.String("kind"), "List") && n.Get("items") != nil {
		var all []*Object
		for _, item := range n.List("items") {
			if item.Get("kind") == nil && n.String("kind") != "List" && item.Shape == Map {
				item.set("kind", text(strings.TrimSuffix(n.String("kind"), "List"), "list", item.Place))
				item.set("apiVersion", text(n.String("apiVersion"), "list", item.Place))
			}
			all = append(all, objectsOf(item)...)
		}
		return all
	}
	if o := newObject(n); o != nil {
		return []*Object{o}
	}
	return nil
}

// Objects reads the Kubernetes objects of a file; documents that are none are left out.
func Objects(path string, data []byte) ([]*Object, []Problem) {
	docs, problems := Documents(path, data)
	var all []*Object
	for _, doc := range docs {
		all = append(all, objectsOf(doc)...)
	}
	return all, problems
}

// Segment is one step of a field path: a key, an index, or the item of a list
// whose field has a value.
type Segment struct {
	Key   string
	Index int    // for a list, -1 otherwise
	Where string // field that picks an item, "" for none
	Is    string
}

// ParsePath reads a field path such as
// spec.template.spec.containers[name=web].image, metadata.annotations["a.b/c"],
// metadata.labels[a.b/c] or spec.rules[0].host. A leading dot or $ is allowed.
func ParsePath(path string) ([]Segment, error) {
	var out []Segment
	fail := func(at int, want string) ([]Segment, error) {
		return nil, fmt.Errorf("field path %q, byte %d: expected %s", path, at, want)
	}
	if len(path) > 4096 {
		return nil, fmt.Errorf("field path of %d bytes: expected at most 4096", len(path))
	}
	i := len(path) - len(strings.TrimLeft(path, "$."))
	for i < len(path) {
		switch path[i] {
		case '.':
			if i++; i == len(path) || path[i] == '.' || path[i] == '[' {
				return fail(i, "a key")
			}
		case '[':
			i++
			if i < len(path) && (path[i] == '"' || path[i] == '\'') {
				end := strings.IndexByte(path[i+1:], path[i])
				if end < 0 || i+1+end+1 >= len(path) || path[i+1+end+1] != ']' {
					return fail(i, "a closing quote and ]")
				}
				out = append(out, Segment{Key: path[i+1 : i+1+end], Index: -1})
				i += end + 3
				continue
			}
			end := strings.IndexByte(path[i:], ']')
			if end < 0 {
				return fail(i, "]")
			}
			inner := path[i : i+end]
			if where, is, ok := strings.Cut(inner, "="); ok && where != "" {
				out = append(out, Segment{Index: -1, Where: where, Is: strings.Trim(is, `"'`)})
			} else if index, err := strconv.Atoi(inner); err == nil && index >= 0 {
				out = append(out, Segment{Index: index})
			} else if err != nil && inner != "" && !strings.ContainsAny(inner, "*?[(@ ") {
				out = append(out, Segment{Key: inner, Index: -1})
			} else {
				return fail(i, "an index or field=value")
			}
			i += end + 1
		default:
			end := strings.IndexAny(path[i:], ".[")
			if end < 0 {
				end = len(path) - i
			}
			out = append(out, Segment{Key: path[i : i+end], Index: -1})
			i += end
		}
	}
	return out, nil
}

// Find follows a path. It returns the value, or nil and how far it came: the
// nearest node that exists.
func (n *Node) Find(path []Segment) (found, nearest *Node) {
	for _, s := range path {
		var next *Node
		switch {
		case s.Key != "":
			next = n.Get(s.Key)
			if next == nil && n.Shape == List && len(n.Items) == 1 {
				next = n.Items[0].Get(s.Key)
			}
		case s.Where != "" && n.Shape == List:
			for _, item := range n.Items {
				if item.String(s.Where) == s.Is {
					next = item
					break
				}
			}
		case s.Where == "" && n.Shape == List && s.Index < len(n.Items):
			next = n.Items[s.Index]
		}
		if next == nil {
			return nil, n
		}
		n = next
	}
	return n, n
}

// podSpec gives the pod's specification of a workload with its path, nil for others.
func (o *Object) podSpec() (*Node, string) {
	switch o.Kind {
	case "Pod":
		return o.Root.Get("spec"), "spec"
	case "CronJob":
		return o.Root.Get("spec", "jobTemplate", "spec", "template", "spec"), "spec.jobTemplate.spec.template.spec"
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "Rollout", "DeploymentConfig":
		return o.Root.Get("spec", "template", "spec"), "spec.template.spec"
	case "PodTemplate":
		return o.Root.Get("template", "spec"), "template.spec"
	}
	if strings.HasSuffix(o.Group(), "knative.dev") {
		return o.Root.Get("spec", "template", "spec"), "spec.template.spec"
	}
	return nil, ""
}

// podLabels gives the labels of the pods that a workload makes.
func (o *Object) podLabels() map[string]string {
	at := []string{"spec", "template", "metadata", "labels"}
	switch o.Kind {
	case "Pod":
		at = []string{"metadata", "labels"}
	case "CronJob":
		at = []string{"spec", "jobTemplate", "spec", "template", "metadata", "labels"}
	}
	labels := map[string]string{}
	for _, f := range o.Root.Entries(at...) {
		labels[f.Key] = f.Value.Text
	}
	return labels
}

// Container is one container of a workload.
type Container struct {
	Workload *Object
	Name     string
	Init     bool
	Image    string
	Path     string // field path of the image
	node     *Node
}

// Containers lists the containers of a workload, none for other objects.
func (o *Object) Containers() []Container {
	spec, at := o.podSpec()
	var all []Container
	for _, list := range []string{"initContainers", "containers", "ephemeralContainers"} {
		for _, c := range spec.List(list) {
			name := c.String("name")
			all = append(all, Container{o, name, list == "initContainers", c.String("image"),
				fmt.Sprintf("%s.%s[name=%s].image", at, list, name), c.Get("image")})
		}
	}
	return all
}
