package kubernetes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code"
)

const maxBases = 64 // overlays on overlays

var kustomizationNames = []string{"kustomization.yaml", "kustomization.yml", "Kustomization"}

// kustomizer builds overlays of one tree.
type kustomizer struct {
	ctx      context.Context
	tree     code.Tree
	files    map[string]bool
	problems []Problem
	used     map[string]bool // files and folders that a kustomization names
	total    int
}

// Kustomize builds the overlay in a folder. What is not supported or lies outside
// the repository is a problem; the objects are those that could be built.
func Kustomize(ctx context.Context, tree code.Tree, dir string) ([]*Object, []Problem, error) {
	paths, err := tree.Paths(ctx)
	if err != nil {
		return nil, nil, err
	}
	k := &kustomizer{ctx: ctx, tree: tree, files: map[string]bool{}, used: map[string]bool{}}
	for _, p := range paths {
		k.files[p] = true
	}
	objects := k.unit(dir)
	return objects, k.problems, ctx.Err()
}

func (k *kustomizer) unit(dir string) []*Object {
	objects := k.build(dir, nil, nil)
	for _, o := range objects {
		o.Unit = dir
	}
	return objects
}

func (k *kustomizer) problem(at Place, format string, args ...any) {
	if len(k.problems) < 1000 {
		k.problems = append(k.problems, Problem{at, fmt.Sprintf(format, args...)})
	}
}

func (k *kustomizer) read(name, by string) []*Node {
	data, err := k.tree.Read(k.ctx, name)
	if err != nil {
		k.problem(Place{Path: name}, "cannot read: %v", err)
		return nil
	}
	docs, problems := documents(name, data, 0, by)
	k.problems = append(k.problems, problems...)
	return docs
}

func kustomizationIn(files map[string]bool, dir string) string {
	for _, name := range kustomizationNames {
		if p := path.Join(dir, name); files[p] {
			return p
		}
	}
	return ""
}

// build gives the objects of a kustomization. For a component, objects are those
// that it changes.
func (k *kustomizer) build(dir string, open []string, objects []*Object) []*Object {
	name := kustomizationIn(k.files, dir)
	if name == "" || k.ctx.Err() != nil {
		return objects
	}
	if slices.Contains(open, dir) || len(open) > maxBases {
		k.problem(Place{Path: name}, "an overlay that leads back to itself, or more than %d on each other", maxBases)
		return objects
	}
	if k.total++; k.total > 20_000 {
		return objects
	}
	open = append(slices.Clone(open), dir)
	docs := k.read(name, "kustomization")
	if len(docs) == 0 {
		return objects
	}
	root := docs[0]
	for _, list := range []string{"resources", "bases"} {
		for _, item := range root.List(list) {
			objects = append(objects, k.resource(dir, item, open)...)
		}
	}
	for _, item := range root.List("components") {
		if at, ok := k.local(dir, item); ok {
			k.used[at] = true
			objects = k.build(at, open, objects)
		}
	}
	made := k.generate(dir, root)
	objects = append(objects, made...)
	renamed := map[string]string{}
	for _, o := range made {
		for _, name := range o.names {
			renamed[o.Kind+"/"+name] = o.Name
		}
	}
	rename(objects, renamed)
	k.transform(dir, root, objects)
	objects = slices.DeleteFunc(objects, func(o *Object) bool { return o.Root == nil })
	for _, unsupported := range []string{"helmCharts", "helmChartInflationGenerator", "generators", "vars", "crds", "configurations", "openapi", "validators"} {
		if at := root.Get(unsupported); at != nil {
			k.problem(at.Place, "%s of Kustomize is not followed", unsupported)
		}
	}
	return objects
}

func remote(ref string) bool {
	return strings.Contains(ref, "://") || strings.HasPrefix(ref, "git@") || strings.Contains(ref, "?ref=") ||
		strings.HasPrefix(ref, "github.com/") || strings.HasPrefix(ref, "gitlab.com/") || strings.HasPrefix(ref, "bitbucket.org/")
}

// local resolves a reference below the root of the tree.
func (k *kustomizer) local(dir string, item *Node) (string, bool) {
	ref := item.Text
	if item.Shape != Scalar || ref == "" {
		k.problem(item.Place, "expected a path")
		return "", false
	}
	at := path.Join(dir, ref)
	if remote(ref) && !k.files[at] {
		k.problem(item.Place, "remote base %q is not in the repository and is not followed", ref)
		return "", false
	}
	if path.IsAbs(ref) || at == ".." || strings.HasPrefix(at, "../") {
		k.problem(item.Place, "path %q leaves the repository", ref)
		return "", false
	}
	return at, true
}

func (k *kustomizer) resource(dir string, item *Node, open []string) []*Object {
	at, ok := k.local(dir, item)
	if !ok {
		return nil
	}
	k.used[at] = true
	if !k.files[at] {
		if kustomizationIn(k.files, at) == "" {
			k.problem(item.Place, "no file or kustomization at %q", at)
			return nil
		}
		return k.build(at, open, nil)
	}
	var objects []*Object
	for _, doc := range k.read(at, "manifest") {
		objects = append(objects, objectsOf(doc)...)
	}
	return objects
}

func (k *kustomizer) transform(dir string, root *Node, objects []*Object) {
	for _, item := range root.List("patchesStrategicMerge") {
		k.patch(dir, item, nil, objects)
	}
	for _, item := range root.List("patches") {
		if item.Shape == Scalar {
			k.patch(dir, item, nil, objects)
		} else if inline := item.Get("patch"); inline != nil {
			k.patch(dir, inline, item.Get("target"), objects)
		} else if file := item.Get("path"); file != nil {
			k.patch(dir, file, item.Get("target"), objects)
		}
	}
	if ns := root.Get("namespace"); ns != nil && ns.Text != "" {
		setNamespace(ns, objects)
	}
	if prefix, suffix := root.Get("namePrefix"), root.Get("nameSuffix"); prefix != nil || suffix != nil {
		affix(prefix, suffix, objects)
	}
	for _, f := range root.Entries("commonLabels") {
		setLabel(f, true, true, objects)
	}
	for _, item := range root.List("labels") {
		selectors := item.String("includeSelectors") == "true"
		for _, f := range item.Entries("pairs") {
			setLabel(f, selectors, selectors || item.String("includeTemplates") == "true", objects)
		}
	}
	for _, f := range root.Entries("commonAnnotations") {
		for _, o := range objects {
			over(child(child(o.Root, "metadata"), "annotations"), f.Key, f.Value, "commonAnnotations")
			if spec, _ := o.podSpec(); spec != nil && o.Kind != "Pod" && o.Kind != "CronJob" {
				over(child(child(o.Root.Get("spec", "template"), "metadata"), "annotations"), f.Key, f.Value, "commonAnnotations")
			}
		}
	}
	for _, item := range root.List("patchesJson6902") {
		from := item.Get("patch")
		if from == nil {
			from = item.Get("path")
		}
		if from != nil {
			k.patch(dir, from, item.Get("target"), objects)
		}
	}
	for _, item := range root.List("replicas") {
		if count := item.Get("count"); count != nil {
			for _, o := range objects {
				if o.named(item.String("name")) && (o.Kind == "Deployment" || o.Kind == "StatefulSet" || o.Kind == "ReplicaSet" || o.Kind == "ReplicationController") {
					over(child(o.Root, "spec"), "replicas", count, "replicas")
				}
			}
		}
	}
	for _, item := range root.List("images") {
		setImage(item, objects)
	}
	for _, item := range root.List("replacements") {
		k.replace(dir, item, objects)
	}
	for _, item := range root.List("transformers") {
		k.transformer(dir, item, objects)
	}
}

// transformer applies a builtin transformer that has its own file.
func (k *kustomizer) transformer(dir string, item *Node, objects []*Object) {
	at, ok := k.local(dir, item)
	if !ok {
		return
	}
	k.used[at] = true
	if !k.files[at] {
		k.problem(item.Place, "transformer %q is no file of the repository", item.Text)
		return
	}
	for _, doc := range k.read(at, "transformer") {
		switch doc.String("kind") {
		case "LabelTransformer":
			selectors := false
			templates := false
			for _, spec := range doc.List("fieldSpecs") {
				where := spec.String("path")
				selectors = selectors || strings.Contains(where, "electo")
				templates = templates || strings.Contains(where, "template")
			}
			for _, f := range doc.Entries("labels") {
				setLabel(f, selectors, templates, objects)
			}
		case "NamespaceTransformer":
			if ns := doc.Get("metadata", "namespace"); ns != nil {
				setNamespace(ns, objects)
			}
		case "PrefixTransformer", "SuffixTransformer", "PrefixSuffixTransformer":
			affix(doc.Get("prefix"), doc.Get("suffix"), objects)
		case "ImageTagTransformer":
			if tag := doc.Get("imageTag"); tag != nil {
				setImage(tag, objects)
			}
		default:
			k.problem(doc.Place, "transformer %s of Kustomize is not followed", doc.String("kind"))
		}
	}
}

func (o *Object) named(name string) bool { return o.Name == name || slices.Contains(o.names, name) }

// child gives a map below a node, made when it is missing.
func child(n *Node, key string) *Node {
	if n == nil || n.Shape != Map {
		return nil
	}
	c := n.Get(key)
	if c == nil || c.Shape != Map {
		c = &Node{Shape: Map, Place: n.Place, By: n.By}
		n.set(key, c)
	}
	return c
}

// over sets a key, and remembers what it replaced.
func over(n *Node, key string, value *Node, by string) {
	if n == nil || n.Shape != Map {
		return
	}
	v := value.clone()
	v.By = by
	v.Over = n.Get(key)
	n.set(key, v)
}

func setLabel(f Field, selectors, templates bool, objects []*Object) {
	for _, o := range objects {
		over(child(child(o.Root, "metadata"), "labels"), f.Key, f.Value, "labels")
		spec := o.Root.Get("spec")
		if templates && spec.Get("template") != nil && o.Kind != "Pod" {
			over(child(child(spec.Get("template"), "metadata"), "labels"), f.Key, f.Value, "labels")
		}
		if !selectors || spec == nil {
			continue
		}
		switch o.Kind {
		case "Service", "ReplicationController":
			if spec.Get("selector") != nil {
				over(spec.Get("selector"), f.Key, f.Value, "labels")
			}
		case "Deployment", "ReplicaSet", "DaemonSet", "StatefulSet":
			over(child(child(spec, "selector"), "matchLabels"), f.Key, f.Value, "labels")
		case "NetworkPolicy":
			if sel := spec.Get("podSelector", "matchLabels"); sel != nil {
				over(sel, f.Key, f.Value, "labels")
			}
		}
	}
}

var clusterKinds = map[string]bool{
	"Namespace": true, "ClusterRole": true, "ClusterRoleBinding": true, "CustomResourceDefinition": true, "PersistentVolume": true, "StorageClass": true, "PriorityClass": true,
	"ValidatingWebhookConfiguration": true, "MutatingWebhookConfiguration": true, "APIService": true, "IngressClass": true, "GatewayClass": true, "ClusterIssuer": true, "ClusterPolicy": true, "Node": true,
	"ValidatingAdmissionPolicy": true, "ValidatingAdmissionPolicyBinding": true, "CSIDriver": true, "RuntimeClass": true,
}

func setNamespace(ns *Node, objects []*Object) {
	for _, o := range objects {
		if o.Kind == "Namespace" {
			if o.Name != ns.Text {
				o.names = append(o.names, o.Name)
				o.Name = ns.Text
				over(child(o.Root, "metadata"), "name", ns, "namespace")
			}
			continue
		}
		if o.Kind == "RoleBinding" || o.Kind == "ClusterRoleBinding" {
			for _, s := range o.Root.List("subjects") {
				if s.String("kind") == "ServiceAccount" && (s.String("namespace") != "" || s.String("name") == "default") {
					over(s, "namespace", ns, "namespace")
				}
			}
		}
		if !clusterKinds[o.Kind] {
			o.Namespace = ns.Text
			over(child(o.Root, "metadata"), "namespace", ns, "namespace")
		}
	}
}

func affix(prefix, suffix *Node, objects []*Object) {
	renamed := map[string]string{}
	for _, o := range objects {
		if o.Kind == "Namespace" || o.Kind == "CustomResourceDefinition" || o.Kind == "APIService" {
			continue
		}
		name, by := o.Name, Node{Tag: "!!str", Shape: Scalar}
		if prefix != nil {
			name, by.Place = prefix.Text+name, prefix.Place
		}
		if suffix != nil {
			name, by.Place = name+suffix.Text, suffix.Place
		}
		by.Text = name
		o.names = append(o.names, o.Name)
		renamed[o.Kind+"/"+o.Name] = name
		o.Name = name
		over(child(o.Root, "metadata"), "name", &by, "namePrefix")
	}
	rename(objects, renamed)
}

// rename follows the references to renamed objects, "Kind/old" -> new.
func rename(objects []*Object, renamed map[string]string) {
	fix := func(n *Node, key, kind string) {
		at := n.Get(key)
		if at == nil || at.Shape != Scalar {
			return
		}
		if name, ok := renamed[kind+"/"+at.Text]; ok {
			v := *at
			v.Text = name
			n.set(key, &v)
		}
	}
	for _, o := range objects {
		if o.Root == nil {
			continue
		}
		if spec, _ := o.podSpec(); spec != nil {
			fix(spec, "serviceAccountName", "ServiceAccount")
			for _, v := range spec.List("volumes") {
				fix(v.Get("configMap"), "name", "ConfigMap")
				fix(v.Get("secret"), "secretName", "Secret")
				fix(v.Get("persistentVolumeClaim"), "claimName", "PersistentVolumeClaim")
			}
			for _, list := range []string{"containers", "initContainers"} {
				for _, c := range spec.List(list) {
					for _, e := range c.List("envFrom") {
						fix(e.Get("configMapRef"), "name", "ConfigMap")
						fix(e.Get("secretRef"), "name", "Secret")
					}
					for _, e := range c.List("env") {
						fix(e.Get("valueFrom", "configMapKeyRef"), "name", "ConfigMap")
						fix(e.Get("valueFrom", "secretKeyRef"), "name", "Secret")
					}
				}
			}
		}
		switch o.Kind {
		case "RoleBinding", "ClusterRoleBinding":
			fix(o.Root.Get("roleRef"), "name", o.Root.String("roleRef", "kind"))
			for _, s := range o.Root.List("subjects") {
				fix(s, "name", s.String("kind"))
			}
		case "HorizontalPodAutoscaler":
			fix(o.Root.Get("spec", "scaleTargetRef"), "name", o.Root.String("spec", "scaleTargetRef", "kind"))
		case "Ingress":
			for _, rule := range o.Root.List("spec", "rules") {
				for _, p := range rule.List("http", "paths") {
					fix(p.Get("backend", "service"), "name", "Service")
				}
			}
			fix(o.Root.Get("spec", "defaultBackend", "service"), "name", "Service")
		case "StatefulSet":
			fix(o.Root.Get("spec"), "serviceName", "Service")
		}
	}
}

func setImage(item *Node, objects []*Object) {
	name := item.String("name")
	if name == "" {
		return
	}
	for _, o := range objects {
		for _, c := range o.Containers() {
			if c.node == nil || c.node.Shape != Scalar {
				continue
			}
			ref, tag, digest := splitReference(c.Image)
			if ref != name {
				continue
			}
			at := Place{}
			if v := item.Get("newName"); v != nil && v.Text != "" {
				ref, at = v.Text, v.Place
			}
			if v := item.Get("newTag"); v != nil && v.Text != "" {
				tag, digest, at = v.Text, "", v.Place
			}
			if v := item.Get("digest"); v != nil && v.Text != "" {
				tag, digest, at = "", v.Text, v.Place
			}
			if v := item.Get("tagSuffix"); v != nil {
				tag, at = tag+v.Text, v.Place
			}
			if at.Path == "" {
				continue
			}
			if tag != "" {
				ref += ":" + tag
			}
			if digest != "" {
				ref += "@" + digest
			}
			before := *c.node
			*c.node = *text(ref, "images", at)
			c.node.Over = &before
		}
	}
}

// patch applies a strategic merge patch or a list of JSON patch operations that
// stands inline or in a file.
func (k *kustomizer) patch(dir string, from *Node, target *Node, objects []*Object) {
	if from.Shape != Scalar {
		return
	}
	var docs []*Node
	inline := strings.Contains(from.Text, "\n") || strings.Contains(from.Text, ": ") || strings.HasPrefix(strings.TrimSpace(from.Text), "[")
	if inline {
		offset := from.Place.Line - 1
		if from.block {
			offset++
		}
		var problems []Problem
		docs, problems = documents(from.Place.Path, []byte(from.Text), offset, "patch")
		k.problems = append(k.problems, problems...)
	} else {
		at, ok := k.local(dir, from)
		if !ok {
			return
		}
		k.used[at] = true
		if !k.files[at] {
			k.problem(from.Place, "no patch at %q", at)
			return
		}
		docs = k.read(at, "patch")
	}
	for _, doc := range docs {
		matched := false
		for _, o := range objects {
			if o.Root == nil || !patches(o, doc, target) {
				continue
			}
			matched = true
			if doc.Shape == List {
				for _, op := range doc.Items {
					if err := jsonPatch(o.Root, op); err != nil {
						k.problem(op.Place, "patch of %s: %v", o.ID(), err)
					}
				}
			} else if doc.String("$patch") == "delete" {
				o.Root = nil
			} else {
				merge(o.Root, doc, builtinGroup(o.Group()), target != nil)
			}
		}
		if !matched {
			k.problem(doc.Place, "the patch matches no object")
		}
	}
}

func builtinGroup(group string) bool {
	return group == "" || group == "apps" || group == "batch" || group == "policy" || group == "autoscaling" || group == "extensions" || strings.HasSuffix(group, ".k8s.io")
}

func patches(o *Object, doc, target *Node) bool {
	if target == nil {
		return doc.Shape == Map && doc.String("kind") == o.Kind && o.named(doc.String("metadata", "name")) &&
			(doc.String("metadata", "namespace") == "" || o.Namespace == "" || doc.String("metadata", "namespace") == o.Namespace)
	}
	for key, have := range map[string][]string{"kind": {o.Kind}, "name": append([]string{o.Name}, o.names...), "namespace": {o.Namespace}} {
		want := target.String(key)
		if want == "" {
			continue
		}
		re, err := regexp.Compile("^(?:" + want + ")$")
		if !slices.ContainsFunc(have, func(s string) bool { return s == want || err == nil && re.MatchString(s) }) {
			return false
		}
	}
	if group := target.String("group"); group != "" && group != o.Group() {
		return false
	}
	for key, at := range map[string]string{"labelSelector": "labels", "annotationSelector": "annotations"} {
		for part := range strings.SplitSeq(target.String(key), ",") {
			if name, value, ok := strings.Cut(part, "="); ok && o.Root.String("metadata", at, strings.TrimSuffix(name, "!")) != strings.TrimPrefix(value, "=") {
				return false
			}
		}
	}
	return true
}

// mergeKeys are the fields by which items of lists of builtin kinds are the same.
var mergeKeys = map[string][]string{
	"containers": {"name"}, "initContainers": {"name"}, "ephemeralContainers": {"name"}, "volumes": {"name"}, "env": {"name"},
	"ports": {"containerPort", "port"}, "volumeMounts": {"mountPath"}, "volumeDevices": {"devicePath"}, "imagePullSecrets": {"name"},
	"hostAliases": {"ip"}, "topologySpreadConstraints": {"topologyKey"}, "secrets": {"name"}, "ownerReferences": {"uid"}, "resourceClaims": {"name"},
}

func merge(into, patch *Node, builtin, targeted bool) {
	for _, f := range patch.Fields {
		have := into.Get(f.Key)
		switch {
		case f.Key == "$patch" || f.Key == "$retainKeys" || strings.HasPrefix(f.Key, "$setElementOrder/") || strings.HasPrefix(f.Key, "$deleteFromPrimitiveList/"):
		case targeted && (f.Key == "apiVersion" || f.Key == "kind"):
		case targeted && f.Key == "metadata":
			rest := f.Value.clone()
			rest.remove("name")
			if m := child(into, "metadata"); m != nil {
				merge(m, rest, builtin, false)
			}
		case f.Value.Shape == Scalar && f.Value.Tag == "!!null":
			into.remove(f.Key)
		case have != nil && have.Shape == Map && f.Value.Shape == Map && f.Value.String("$patch") == "delete":
			into.remove(f.Key)
		case have != nil && have.Shape == Map && f.Value.Shape == Map && f.Value.String("$patch") != "replace":
			merge(have, f.Value, builtin, false)
		case have != nil && have.Shape == List && f.Value.Shape == List && builtin && mergeKeys[f.Key] != nil:
			mergeList(have, f.Value, mergeKeys[f.Key], builtin)
		case have != nil && have.same(f.Value):
		default:
			over(into, f.Key, f.Value, "patch")
			into.Get(f.Key).remove("$patch")
		}
	}
}

func mergeList(into, patch *Node, keys []string, builtin bool) {
	for _, item := range patch.Items {
		if item.String("$patch") == "replace" {
			into.Items = nil
		}
	}
	for _, item := range patch.Items {
		if item.Shape != Map {
			into.Items = append(into.Items, item.clone())
			continue
		}
		at := -1
		for _, key := range keys {
			if item.Get(key) == nil {
				continue
			}
			at = slices.IndexFunc(into.Items, func(have *Node) bool { return have.Get(key) != nil && have.String(key) == item.String(key) })
			break
		}
		switch {
		case item.String("$patch") == "replace":
		case item.String("$patch") == "delete":
			if at >= 0 {
				into.Items = slices.Delete(slices.Clone(into.Items), at, at+1)
			}
		case at >= 0:
			merge(into.Items[at], item, builtin, false)
		default:
			into.Items = append(into.Items, item.clone())
		}
	}
}

func jsonPatch(root, op *Node) error {
	pointer := op.String("path")
	if pointer == "" || pointer[0] != '/' {
		return fmt.Errorf("path %q: expected a JSON pointer", pointer)
	}
	parts := strings.Split(pointer[1:], "/")
	for i := range parts {
		parts[i] = strings.ReplaceAll(strings.ReplaceAll(parts[i], "~1", "/"), "~0", "~")
	}
	parent := root
	for _, part := range parts[:len(parts)-1] {
		next := step(parent, part)
		if next == nil {
			return fmt.Errorf("%s does not exist", pointer)
		}
		parent = next
	}
	last, value := parts[len(parts)-1], op.Get("value")
	kind := op.String("op")
	if kind == "copy" || kind == "move" {
		return fmt.Errorf("operation %q is not followed", kind)
	}
	if (kind == "add" || kind == "replace") && value == nil {
		return fmt.Errorf("%s without a value", kind)
	}
	switch parent.Shape {
	case Map:
		switch kind {
		case "add", "replace":
			over(parent, last, value, "patch")
		case "remove":
			parent.remove(last)
		}
	case List:
		at := len(parent.Items)
		if last != "-" {
			n, err := strconv.Atoi(last)
			if err != nil || n < 0 || n > len(parent.Items) {
				return fmt.Errorf("%s: no such item", pointer)
			}
			at = n
		}
		switch kind {
		case "add":
			v := value.clone()
			v.By = "patch"
			parent.Items = slices.Insert(slices.Clone(parent.Items), at, v)
		case "replace", "remove":
			if at >= len(parent.Items) {
				return fmt.Errorf("%s: no such item", pointer)
			}
			if kind == "remove" {
				parent.Items = slices.Delete(slices.Clone(parent.Items), at, at+1)
				break
			}
			v := value.clone()
			v.By, v.Over = "patch", parent.Items[at]
			parent.Items[at] = v
		}
	default:
		return fmt.Errorf("%s lies below a scalar", pointer)
	}
	return nil
}

func step(n *Node, part string) *Node {
	if n.Shape == List {
		if i, err := strconv.Atoi(part); err == nil && i >= 0 && i < len(n.Items) {
			return n.Items[i]
		}
		return nil
	}
	return n.Get(part)
}

// generate makes the objects of configMapGenerator and secretGenerator; those of
// files keep the file as their place. Contents of secrets are not kept.
func (k *kustomizer) generate(dir string, root *Node) []*Object {
	var made []*Object
	for generator, kind := range map[string]string{"configMapGenerator": "ConfigMap", "secretGenerator": "Secret"} {
		for _, item := range root.List(generator) {
			data := &Node{Shape: Map, Place: item.Place, By: generator}
			for _, l := range item.List("literals") {
				if key, value, ok := strings.Cut(l.Text, "="); ok {
					data.set(key, text(strings.Trim(value, `"'`), generator, l.Place))
				}
			}
			for _, f := range item.List("files") {
				key, file, ok := strings.Cut(f.Text, "=")
				if !ok {
					key, file = path.Base(f.Text), f.Text
				}
				at := path.Join(dir, file)
				k.used[at] = true
				content, err := k.tree.Read(k.ctx, at)
				if err != nil {
					if !errors.Is(err, fs.ErrNotExist) || !remote(file) {
						k.problem(f.Place, "file %q of %s: %v", file, generator, err)
					}
					continue
				}
				data.set(key, text(string(content), generator, Place{at, 1, 1 + strings.Count(string(content), "\n")}))
			}
			if env := append(item.List("envs"), item.Get("env")); len(env) > 0 {
				for _, e := range env {
					if e == nil {
						continue
					}
					at := path.Join(dir, e.Text)
					content, err := k.tree.Read(k.ctx, at)
					if err != nil {
						k.problem(e.Place, "file %q of %s: %v", e.Text, generator, err)
						continue
					}
					for i, line := range strings.Split(string(content), "\n") {
						if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && key[0] != '#' {
							data.set(key, text(value, generator, Place{at, i + 1, i + 1}))
						}
					}
				}
			}
			meta := &Node{Shape: Map, Place: item.Place, By: generator}
			name := item.Get("name")
			if name == nil {
				continue
			}
			meta.set("name", name.clone())
			n := &Node{Shape: Map, Place: item.Place, By: generator}
			n.set("apiVersion", text("v1", generator, item.Place))
			n.set("kind", text(kind, generator, item.Place))
			n.set("metadata", meta)
			n.set("data", data)
			if o := newObject(n); o != nil {
				if root.String("generatorOptions", "disableNameSuffixHash") != "true" && item.String("options", "disableNameSuffixHash") != "true" && kind == "ConfigMap" {
					o.names = append(o.names, o.Name)
					o.Name += "-" + nameHash(o)
				} else if kind == "Secret" {
					data.Fields = nil
				}
				made = append(made, o)
			}
		}
	}
	slices.SortStableFunc(made, func(a, b *Object) int { return strings.Compare(a.ID(), b.ID()) })
	return made
}

// nameHash is the suffix that Kustomize gives to the name of a ConfigMap.
func nameHash(o *Object) string {
	encoded, err := json.Marshal(map[string]any{"kind": "ConfigMap", "name": o.Name, "data": o.Root.Get("data").Value()})
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(encoded)
	hash := []byte(hex.EncodeToString(sum[:])[:10])
	for i, c := range hash {
		switch c {
		case '0':
			hash[i] = 'g'
		case '1':
			hash[i] = 'h'
		case '3':
			hash[i] = 'k'
		case 'a':
			hash[i] = 'm'
		case 'e':
			hash[i] = 't'
		}
	}
	return string(hash)
}

// replace follows replacements from one field to whole fields of others.
func (k *kustomizer) replace(dir string, item *Node, objects []*Object) {
	if at := item.Get("path"); at != nil {
		name, ok := k.local(dir, at)
		if !ok || !k.files[name] {
			return
		}
		k.used[name] = true
		for _, doc := range k.read(name, "replacements") {
			for _, r := range append(doc.Items, doc) {
				if r.Get("source") != nil {
					k.replace(dir, r, objects)
				}
			}
		}
		return
	}
	source := item.Get("source")
	if source.Get("options") != nil {
		k.problem(source.Place, "replacements with options are not followed")
		return
	}
	var value *Node
	for _, o := range objects {
		if o.Root != nil && patches(o, source, source) {
			field := source.String("fieldPath")
			if field == "" {
				field = "metadata.name"
			}
			if parsed, err := ParsePath(field); err == nil {
				value, _ = o.Root.Find(parsed)
			}
			break
		}
	}
	if value == nil {
		k.problem(item.Place, "the source of the replacement is not found")
		return
	}
	for _, target := range item.List("targets") {
		if target.Get("options") != nil {
			k.problem(target.Place, "replacements with options are not followed")
			continue
		}
		for _, o := range objects {
			if o.Root == nil || !patches(o, target.Get("select"), target.Get("select")) {
				continue
			}
			for _, field := range target.List("fieldPaths") {
				parsed, err := ParsePath(field.Text)
				if err != nil || len(parsed) == 0 {
					continue
				}
				if at, _ := o.Root.Find(parsed); at != nil {
					before := *at
					*at = *value.clone()
					at.By, at.Over = "replacements", &before
				}
			}
		}
	}
}
