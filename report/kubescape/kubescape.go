// Package kubescape reads the JSON reports of Kubescape, of clusters and of files.
package kubescape

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

const tool = "kubescape"

type reader struct{}

// New makes the reader.
func New() report.Reader { return reader{} }

func (reader) Describe() report.Description {
	return report.Description{
		ID: "report/kubescape", Name: "Kubescape", Formats: "JSON of format versions 1 and 2",
		Docs: "Produce it with `kubescape scan --format json`. One finding a failed rule of a control and resource, with the fields that fail and their fixes. " +
			"In a scan of a cluster it belongs to the object, by cluster, namespace, kind and name; in a scan of files to the repository, with the file's path. " +
			"Rules with an exception are accepted risks. Passed controls are no findings; they say that the resource was looked at. The resources themselves, attack paths and scores of frameworks are left out.",
	}
}

func (reader) Detect(head []byte) int {
	o := report.OutlineOf(head)
	switch {
	case o.Has("generationTime", "customerGUID", "reportGUID"), o.Has("results[].resourceID", "results[].controls"):
		return 95
	case o.Has("summaryDetails.controls"):
		return 90
	}
	return 0
}

func (reader) Read(ctx context.Context, in io.Reader, sink report.Sink) error {
	s := &scan{resources: map[string]resource{}, controls: map[string]control{}}
	defer s.held.Close()
	return report.Findings(ctx, in, sink, fact.Run{Tool: tool, Format: "kubescape", Complete: true}, func(d *report.Document) {
		d.Object(func(key string) { s.field(d, key) })
		if d.Err() != nil && (s.cluster == "" || len(s.resources) == 0 || len(s.controls) == 0) {
			return // what the findings are in, and how severe they are, may stand where the report was cut off
		}
		for _, id := range s.looked {
			d.As(tool, s.target(id))
			d.Looked(s.asset(id))
		}
		d.Fail(s.held.Replay(func(f fact.Finding) error {
			d.As(tool, s.target(f.Anchor))
			return d.Emitter.Give(s.complete(f))
		}))
	})
}

// maxResources bounds the resources and controls of a report, which are remembered.
const maxResources = 500_000

// scan is what a report says beside its findings.
type scan struct {
	cluster   string
	resources map[string]resource
	controls  map[string]control
	looked    []string
	held      report.Spool // findings whose Anchor is the id of their resource
}

type resource struct{ api, kind, namespace, name, path string }

type control struct {
	name  string
	score float64
}

func (s *scan) field(d *report.Document, key string) {
	switch key {
	case "clusterName":
		s.cluster = cmp.Or(d.Text(), s.cluster)
	case "generationTime":
		d.Run.Started = max(0, report.Micros(d.Text())) // of year 1 when it is not told
	case "metadata":
		s.context(d, 0)
	case "resources":
		d.Array(func(int) {
			id, r := readResource(d)
			s.resources[id] = r
			if len(s.resources) > maxResources {
				d.Expect(fmt.Sprintf("at most %d resources", maxResources))
			}
		})
	case "results":
		d.Array(func(int) { s.result(d) })
	case "summaryDetails":
		d.Object(func(key string) {
			if key != "controls" || d.Kind() != report.KindObject {
				return
			}
			d.Object(func(id string) {
				var c control
				d.Object(func(key string) {
					switch key {
					case "name":
						c.name = d.Text()
					case "scoreFactor":
						c.score = d.Float()
					}
				})
				s.controls[id] = c
				if len(s.controls) > maxResources {
					d.Expect(fmt.Sprintf("at most %d controls", maxResources))
				}
			})
		})
	}
}

// context finds the name of the cluster, which versions keep in several places.
func (s *scan) context(d *report.Document, depth int) {
	if d.Kind() != report.KindObject || depth > 2 {
		return
	}
	d.Object(func(key string) {
		switch key {
		case "contextName", "clusterName":
			s.cluster = cmp.Or(s.cluster, d.Text())
		default:
			s.context(d, depth+1)
		}
	})
}

func readResource(d *report.Document) (id string, r resource) {
	d.Object(func(key string) {
		switch key {
		case "resourceID":
			id = d.Text()
		case "object":
			d.Object(func(key string) {
				switch key {
				case "apiVersion", "apiGroup":
					r.api = cmp.Or(r.api, d.Text())
				case "kind":
					r.kind = d.Text()
				case "name":
					r.name = d.Text()
				case "namespace":
					r.namespace = d.Text()
				case "metadata":
					d.Object(func(key string) {
						switch key {
						case "name":
							r.name = d.Text()
						case "namespace":
							r.namespace = d.Text()
						}
					})
				}
			})
		case "source":
			d.Object(func(key string) {
				switch key {
				case "relativePath":
					r.path = cmp.Or(d.Text(), r.path)
				case "path":
					r.path = cmp.Or(r.path, d.Text())
				}
			})
		}
	})
	return id, r
}

// result reads what was found of one resource.
func (s *scan) result(d *report.Document) {
	resource, from, list := "", d.Place(), []fact.Finding{}
	d.Object(func(key string) {
		switch key {
		case "resourceID":
			resource = d.Text()
		case "controls":
			d.Array(func(int) { list = append(list, readControl(d)...) })
		}
	})
	if d.Err() != nil {
		return
	}
	if resource == "" && from().Length > 2 {
		d.Expect("a result with a resourceID")
		return
	}
	if len(s.looked) < maxResources { // of those beyond it nothing is confirmed
		s.looked = append(s.looked, resource)
	}
	for _, f := range list {
		f.Anchor = resource
		d.Fail(s.held.Add(f))
	}
}

// readControl reads the rules of a control that fail for a resource.
func readControl(d *report.Document) []fact.Finding {
	var id, name, severity string
	var list []fact.Finding
	score := 0.0
	d.Object(func(key string) {
		switch key {
		case "controlID":
			id = d.Text()
		case "name":
			name = d.Text()
		case "severity":
			severity = d.Text()
		case "scoreFactor":
			score = d.Float()
		case "rules":
			d.Array(func(int) {
				if f, failed := readRule(d); failed {
					list = append(list, f)
				}
			})
		}
	})
	for i := range list {
		f := &list[i]
		f.Rule, f.Title = id, name
		report.Rate(f, severity)
		if f.Severity == fact.SeverityUnknown {
			f.Severity = rating(score)
		}
	}
	return list
}

// readRule reads a rule; what it names are the fields that fail and those to set.
func readRule(d *report.Document) (f fact.Finding, failed bool) {
	var paths []judged
	place, status, exception := d.Place(), "", ""
	d.Object(func(key string) {
		switch key {
		case "name":
			report.Attribute(&f, "rule", d.Text())
		case "status":
			status = d.Text()
		case "paths":
			d.Array(func(int) {
				if p := readPath(d); p.field != "" && !slices.Contains(paths, p) {
					paths = append(paths, p)
				}
			})
		case "exception", "exceptions":
			d.Array(func(int) {
				exception = cmp.Or(exception, "an exception without a name")
				d.Object(func(key string) {
					if key == "name" {
						exception = cmp.Or(d.Text(), exception)
					}
				})
			})
		}
	})
	f.Kind = fact.Misconfiguration
	f.Position = place()
	paths = slices.DeleteFunc(paths, func(p judged) bool {
		return p.only() && slices.ContainsFunc(paths, func(other judged) bool { return other.field == p.field && !other.only() })
	})
	var fields, fixes []string
	for i, p := range paths {
		suffix := ""
		if i > 0 {
			suffix = fmt.Sprintf(".%d", i+1)
		}
		if p.value != "" {
			fixes = append(fixes, p.field+" = "+p.value)
		}
		field, wanted := p.field, wantedOf(p.field, p.value)
		if before, _, open := strings.Cut(field, "[YOUR_"); open && wanted != "" {
			field, wanted = before, "?an entry and its value"
		}
		if !slices.Contains(fields, p.field) {
			fields = append(fields, p.field)
		}
		report.Attribute(&f, "field"+suffix, field)
		if wanted != "" {
			report.Attribute(&f, "wanted"+suffix, wanted)
		}
		if p.remove {
			report.Attribute(&f, "remove"+suffix, "true")
		}
	}
	f.Mitigation = strings.Join(fixes, "\n")
	if len(fields) > 1 {
		report.Attribute(&f, "fields", strings.Join(fields, ", "))
	}
	if exception != "" {
		f.Analysis = fact.Analysis{State: fact.AnalysisAcceptedRisk, Detail: exception, Source: tool}
	}
	return f, strings.EqualFold(status, "failed") || strings.EqualFold(status, "excluded")
}

// judged is a field that fails, with the value to set, or that has to go.
type judged struct {
	field, value string
	remove       bool
}

// only says that the field is only to be looked at.
func (j judged) only() bool { return j.value == "" && !j.remove }

func readPath(d *report.Document) judged {
	var failed, gone, path, value string
	d.Object(func(key string) {
		switch key {
		case "failedPath", "reviewPath":
			failed = cmp.Or(d.Text(), failed)
		case "deletePath":
			gone = d.Text()
		case "fixPath":
			d.Object(func(key string) {
				switch key {
				case "path":
					path = d.Text()
				case "value":
					value = d.Text()
				}
			})
		}
	})
	switch {
	case path != "":
		return judged{field: path, value: value}
	case gone != "" && !strings.HasPrefix(gone, "relatedObjects["):
		return judged{field: gone, remove: true}
	}
	return judged{field: cmp.Or(failed, gone)}
}

var (
	blank    = regexp.MustCompile(`^YOUR_|<[^<>]+>|=YOUR_[A-Z_]+$`)
	constant = regexp.MustCompile(`^[A-Z]+(_[A-Z0-9]+)+$`)
	textual  = regexp.MustCompile(`(^|\.)(labels|annotations|matchLabels|data|stringData|command|args|env)(\.|\[)`)
)

// wantedOf gives the JSON of the value that a field is to have. Kubescape writes a name
// such as YOUR_VALUE, or one in angle brackets, where people have to choose; those start
// with "?".
func wantedOf(field, value string) string {
	switch {
	case value == "" || strings.HasPrefix(field, "relatedObjects["):
		return ""
	case strings.HasPrefix(value, "YOUR_"):
		return "?a value"
	case blank.MatchString(value), constant.MatchString(value) && !strings.Contains(strings.ToLower(field), "capabilities"):
		return "?a value like " + value
	case !textual.MatchString(field):
		if value == "true" || value == "false" {
			return value
		}
		if _, err := strconv.ParseInt(value, 10, 64); err == nil && (value == "0" || value[0] != '0' && value[0] != '+') {
			return value
		}
	}
	quoted, err := jsontext.AppendQuote(nil, value)
	if err != nil {
		return "" // no text
	}
	return string(quoted)
}

// rating is Kubescape's own, of the base score of a control.
func rating(score float64) fact.Severity {
	if score <= 0 {
		return fact.SeverityUnknown
	}
	return fact.SeverityOfScore(score)
}

// asset is the resource of an id: an object, or for a file the repository.
func (s *scan) asset(id string) fact.Asset {
	r := s.resource(id)
	if r.path != "" {
		return fact.Asset{Kind: fact.AssetRepository}
	}
	return report.KubernetesAsset(s.cluster, r.namespace, r.api, r.kind, r.name)
}

// target is the namespace that a resource is in; "" for files.
func (s *scan) target(id string) string {
	r := s.resource(id)
	if r.path != "" {
		return ""
	}
	return "kubernetes/" + s.cluster + "/" + r.namespace
}

// resource is what is known of a resource; an id ends in "group/version/namespace/kind/name".
func (s *scan) resource(id string) resource {
	if r, ok := s.resources[id]; ok && r.kind != "" {
		return r
	}
	_, object, found := strings.Cut(id, "api=")
	if !found {
		object = id
	}
	parts := strings.Split(strings.Trim(object, "/"), "/")
	n := len(parts)
	if n < 3 {
		return resource{kind: "Unknown", name: id}
	}
	return resource{api: strings.Join(parts[:n-3], "/"), namespace: parts[n-3], kind: parts[n-2], name: parts[n-1]}
}

func (s *scan) complete(f fact.Finding) fact.Finding {
	id := f.Anchor
	r, c := s.resource(id), s.controls[f.Rule]
	f.Asset, f.Path = s.asset(id), r.path
	f.Anchor = f.Attributes["rule"]
	if r.path != "" {
		f.Anchor = report.KubernetesAsset("", r.namespace, r.api, r.kind, r.name).Key + " " + f.Anchor
	}
	f.Title = cmp.Or(f.Title, c.name)
	if f.Severity == fact.SeverityUnknown {
		f.Severity = rating(c.score)
	}
	return f
}
