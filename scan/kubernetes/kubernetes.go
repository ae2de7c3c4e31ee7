// Package kubernetes judges the Kubernetes objects that a repository declares: plain
// manifests, the objects of Kustomize overlays and of rendered Helm charts. It runs
// nothing of the repository and needs no network.
//
// A finding says what would satisfy its rule, where that is not a matter of taste:
// attributes "field", "wanted" and "remove", for further fields with ".2", ".3" behind.
package kubernetes

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"path"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/scan"
)

// ID names the scanner in findings and runs.
const ID = "scan/kubernetes"

// maxFindings bounds what one tree gives.
const maxFindings = 500_000

type scanner struct{ renderer kubernetes.Renderer }

// New makes the scanner; without a renderer, charts are problems.
func New(renderer kubernetes.Renderer) scan.Scanner { return scanner{renderer} }

// Describe implements scan.Scanner.
func (s scanner) Describe() scan.Description {
	sum := sha256.New()
	for _, r := range allRules() {
		fmt.Fprintf(sum, "%s %s %s\n", r.id, r.severity, r.aliases)
	}
	for i := range flags {
		fmt.Fprintf(sum, "%s %s %s %s %s\n", flags[i].rule.id, flags[i].rule.aliases, flags[i].program, flags[i].flag, flags[i].want)
	}
	return scan.Description{
		ID: ID, Name: "Kubernetes",
		Docs: "Judges pods by the Pod Security Standards, their resources, probes and images; roles and bindings; services, ingresses and network policies; and the flags of the control plane. " +
			"One finding for each rule, object and container.",
		Rules: "sha256:" + hex.EncodeToString(sum.Sum(nil)),
	}
}

// Concerns implements scan.Selective: manifests, charts with their values, and overlays.
func (scanner) Concerns(kind fact.Kind, name string) bool {
	switch path.Ext(name) {
	case ".yaml", ".yml", ".json", ".tpl":
		return kind != fact.Vulnerability && !strings.HasPrefix(name, ".github/workflows/")
	}
	return path.Base(name) == "Kustomization" && kind != fact.Vulnerability
}

// Scan implements scan.Scanner.
func (s scanner) Scan(ctx context.Context, tree code.Tree, found func(fact.Finding) error) ([]scan.Problem, error) {
	e, err := kubernetes.Load(ctx, tree, kubernetes.Options{Renderer: s.renderer, ObjectsOnly: true})
	if err != nil {
		return nil, err
	}
	var problems []scan.Problem
	for _, p := range e.Problems {
		problems = append(problems, scan.Problem{Path: p.Place.Path, Line: p.Place.Line, Text: p.Text})
	}
	l := &look{ctx: ctx, estate: e, found: found, lines: map[string][]int{}, tied: tiedNames(e.Objects)}
	for _, o := range e.Objects {
		if l.err = ctx.Err(); l.err != nil {
			break
		}
		l.object(o)
		if l.err != nil {
			break
		}
	}
	if l.count > maxFindings {
		problems = append(problems, scan.Problem{Text: fmt.Sprintf("more than %d findings; the rest is left out", maxFindings)})
	}
	return problems, l.err
}

// look is one scan.
type look struct {
	ctx    context.Context
	estate *kubernetes.Estate
	found  func(fact.Finding) error
	err    error
	count  int
	lines  map[string][]int // of templates, by the release and the template
	tied   map[string]bool  // names that several overlays or releases have
	o      *kubernetes.Object
}

// wish is a field and what would satisfy the rule.
type wish struct {
	field  string
	wanted string // JSON, "?..." for what people choose, "" for what has to go
}

func set(field, wanted string) wish { return wish{field, wanted} }

func gone(field string) wish { return wish{field, ""} }

// tell gives a finding about the object that is looked at. n is the value that fails,
// or what is nearest to where one is missing.
func (l *look) tell(r *rule, container string, n *kubernetes.Node, detail string, wishes ...wish) {
	if l.count++; l.err != nil || l.count > maxFindings {
		return
	}
	o := l.o
	object := objectName(o, container, l.tied)
	at := l.where(n)
	f := fact.Finding{
		Kind: fact.Misconfiguration, Rule: r.id, Aliases: r.ids(), Title: r.title, Severity: r.severity, SeverityText: r.severity.String(),
		Description: detail, Asset: fact.Asset{Kind: fact.AssetRepository}, Path: at.Path, Line: at.Line, EndLine: at.EndLine, Anchor: nameOf(o, container),
		Attributes: map[string]string{"object": object},
	}
	if o.Unit != "" {
		f.Attributes["unit"] = o.Unit
	}
	for i, w := range wishes {
		suffix := ""
		if i > 0 {
			suffix = fmt.Sprintf(".%d", i+1)
		}
		f.Attributes["field"+suffix] = w.field
		if w.wanted == "" {
			f.Attributes["remove"+suffix] = "true"
		} else {
			f.Attributes["wanted"+suffix] = w.wanted
		}
	}
	l.err = l.found(f)
}

// where gives the place of a value in the repository.
func (l *look) where(n *kubernetes.Node) kubernetes.Place {
	o := l.o
	if o.Release() == nil {
		if n == nil || n.Place.Path == "" {
			return o.Place
		}
		return n.Place
	}
	rendered, template := o.Template()
	key := o.Unit + "\n" + template
	lines, known := l.lines[key]
	if !known {
		text := []byte(nil)
		if data, err := l.estate.ReadFile(l.ctx, template); err == nil {
			text = data
		}
		lines = kubernetes.TemplateLines(string(text), rendered)
		l.lines[key] = lines
	}
	at := kubernetes.Place{Path: template}
	if n != nil && n.Place.Line > 0 && n.Place.Line <= len(lines) {
		at.Line = lines[n.Place.Line-1]
		at.EndLine = at.Line
	}
	return at
}

// object judges one object.
func (l *look) object(o *kubernetes.Object) {
	l.o = o
	if spec, at := o.PodSpec(); spec != nil && spec.Shape == kubernetes.Map {
		l.pod(spec, at)
	}
	switch o.Kind {
	case "Role", "ClusterRole":
		l.role()
	case "RoleBinding", "ClusterRoleBinding":
		l.binding()
	case "ServiceAccount":
		l.account()
	case "Service":
		l.service()
	case "Ingress":
		l.ingress()
	}
	l.namespace()
}

func isTrue(n *kubernetes.Node) bool { return n != nil && n.Value() == true }

// mayBeTrue takes what is no boolean for true too, unless it is one of the words for
// false of the older YAML that the API server reads: that has words for true as well,
// and other text is refused, so that what it says does not come into force.
func mayBeTrue(n *kubernetes.Node) bool {
	if n == nil {
		return false
	}
	switch v := n.Value().(type) {
	case bool:
		return v
	case string:
		switch strings.ToLower(v) {
		case "", "n", "no", "off":
			return false
		}
		return true
	}
	return false
}

func isFalse(n *kubernetes.Node) bool { return n != nil && n.Value() == false }

// number gives an integer, false for anything else.
func number(n *kubernetes.Node) (int64, bool) {
	if n == nil {
		return 0, false
	}
	v, ok := n.Value().(int64)
	return v, ok
}

// or gives the first that is there.
func or(nodes ...*kubernetes.Node) *kubernetes.Node {
	for _, n := range nodes {
		if n != nil {
			return n
		}
	}
	return nil
}

func fold(list []*kubernetes.Node, text string) bool {
	for _, item := range list {
		if strings.EqualFold(item.Text, text) {
			return true
		}
	}
	return false
}

// without says that a namespace is the default one: named so, or of an object that is
// neither of a chart nor of an overlay and names none.
func (l *look) namespace() {
	o := l.o
	switch o.Kind {
	case "Pod", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job", "CronJob", "Service", "ConfigMap", "Secret", "Ingress", "ServiceAccount", "Role", "RoleBinding":
	default:
		return
	}
	named := o.Root.Get("metadata", "namespace")
	if named == nil && o.Unit != "" || named != nil && named.Text != "default" || o.Kind == "ServiceAccount" && o.Name == "default" {
		return
	}
	l.tell(&defaultNamespace, "", or(named, o.Root.Get("metadata"), o.Root), "", set("metadata.namespace", "?the namespace that the object belongs to"))
}
