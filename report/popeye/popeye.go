// Package popeye reads the JSON reports of Popeye.
package popeye

import (
	"cmp"
	"context"
	"io"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "popeye"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/popeye", Name: "Popeye", Formats: "JSON with sanitizers or linters",
		Docs: "Produce it with `popeye -o json`. One finding an issue of an object, known by cluster, namespace, kind and name; notes, warnings and errors are read as info, medium and high. " +
			"Issues of the level OK are no findings. Objects without issues count as looked at when the report lists them. Scores and tallies are left out.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	if o.Has("popeye.sections") || o.Has("popeye.sanitizers") || o.Has("popeye.score", "popeye.grade") {
		return 95
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	var held report.Spool
	defer held.Close()
	return report.Findings(ctx, in, sink, fact.Run{Tool: tool, Format: "popeye", Complete: true}, func(d *report.Document) {
		cluster, looked := "", []object{}
		d.Object(func(key string) {
			switch key {
			case "ClusterName", "ContextName":
				cluster = cmp.Or(cluster, d.Text())
			case "popeye":
				d.Object(func(key string) {
					if key == "sections" || key == "sanitizers" {
						d.Array(func(int) {
							if objects := section(d, &held); len(looked) < maxLooked { // of those beyond it nothing is confirmed
								looked = append(looked, objects...)
							}
						})
					}
				})
			}
		})
		if d.Err() != nil && cluster == "" {
			return // which cluster it is may stand where the report was cut off
		}
		for _, o := range looked {
			d.As(tool, o.target(cluster))
			d.Looked(o.asset(cluster))
		}
		d.Fail(held.Replay(func(f fact.Finding) error {
			o := object{f.Asset.Kind, f.Asset.Key}
			d.As(tool, o.target(cluster))
			f.Asset = o.asset(cluster)
			return d.Emitter.Give(f)
		}))
	})
}

// maxLooked bounds the objects that are remembered as looked at.
const maxLooked = 500_000

// object is one object of a cluster, as "group/version/plural" and "namespace/name".
type object struct{ resource, name string }

func (o object) asset(cluster string) fact.Asset {
	parts := strings.Split(o.resource, "/")
	group := ""
	if len(parts) > 2 {
		group = parts[0]
	}
	plural := parts[len(parts)-1]
	kind := cmp.Or(kinds[plural], plural)
	namespace, name, ok := strings.Cut(o.name, "/")
	if !ok {
		namespace, name = "", o.name
	}
	return report.KubernetesAsset(cluster, namespace, group, kind, name)
}

// target is the namespace that an object is in.
func (o object) target(cluster string) string {
	namespace, _, ok := strings.Cut(o.name, "/")
	if !ok {
		namespace = ""
	}
	return "kubernetes/" + cluster + "/" + namespace
}

var kinds = map[string]string{
	"clusterroles": "ClusterRole", "clusterrolebindings": "ClusterRoleBinding", "configmaps": "ConfigMap", "cronjobs": "CronJob", "daemonsets": "DaemonSet", "deployments": "Deployment",
	"gatewayclasses": "GatewayClass", "gateways": "Gateway", "horizontalpodautoscalers": "HorizontalPodAutoscaler", "httproutes": "HTTPRoute", "ingresses": "Ingress", "jobs": "Job",
	"namespaces": "Namespace", "networkpolicies": "NetworkPolicy", "nodes": "Node", "persistentvolumeclaims": "PersistentVolumeClaim", "persistentvolumes": "PersistentVolume",
	"poddisruptionbudgets": "PodDisruptionBudget", "pods": "Pod", "podsecuritypolicies": "PodSecurityPolicy", "replicasets": "ReplicaSet", "rolebindings": "RoleBinding", "roles": "Role",
	"secrets": "Secret", "serviceaccounts": "ServiceAccount", "services": "Service", "statefulsets": "StatefulSet", "cluster": "Cluster",
}

// section reads what was found of one kind of objects, whose name may stand after it.
func section(d *report.Document, held *report.Spool) []object {
	var own report.Spool
	defer own.Close()
	var names []string
	resource, linter := "", ""
	d.Object(func(key string) {
		switch key {
		case "gvr":
			resource = d.Text()
		case "linter", "sanitizer":
			linter = d.Text()
		case "issues":
			if d.Kind() != report.KindObject {
				return
			}
			d.Object(func(name string) {
				if len(names) < maxLooked {
					names = append(names, name)
				}
				d.Array(func(int) {
					if f, ok := issue(d); ok {
						f.Asset.Key = name
						d.Fail(own.Add(f))
					}
				})
			})
		}
	})
	resource = cmp.Or(resource, linter)
	var list []object
	for _, name := range names {
		list = append(list, object{resource, name})
	}
	d.Fail(own.Replay(func(f fact.Finding) error {
		f.Asset.Kind = resource
		report.Attribute(&f, "linter", linter)
		return held.Add(f)
	}))
	return list
}

func issue(d *report.Document) (f fact.Finding, ok bool) {
	f.Kind = fact.Misconfiguration
	level, place := 0, d.Place()
	d.Object(func(key string) {
		switch key {
		case "group":
			if group := d.Text(); group != "__root__" {
				f.Anchor = group
			}
		case "level":
			level = d.Int()
		case "message":
			f.Title = d.Text()
		}
	})
	if code, rest, found := strings.Cut(f.Title, "] "); found && strings.HasPrefix(code, "[POP-") {
		f.Rule, f.Title = code[1:], rest
	}
	switch level {
	case 1:
		f.Severity = fact.SeverityInfo
	case 2:
		f.Severity = fact.SeverityMedium
	case 3:
		f.Severity = fact.SeverityHigh
	}
	f.Position = place()
	return f, d.Err() == nil && level > 0
}
