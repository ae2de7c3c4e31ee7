package service

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
)

// Source is the name under which services are written into the graph.
const Source = "services"

// Prefix begins the keys of services that no catalog has.
const Prefix = "found:"

// Service is what a team runs.
type Service struct {
	Key  string `json:"key"`
	Name string `json:"name"`
	// Also are other keys that mean the service: that of the reason it was found by
	// when a catalog's entity took its place, those of services merged into it.
	Also    []string `json:"also"`
	Catalog string   `json:"catalog,omitempty"` // the catalog that has it, "" when it was only found
	Reasons []Reason `json:"reasons"`           // why it exists, most members first
	Members []Member `json:"members"`
	// Repositories are what its members are built from; Alone are those of them that
	// nothing of another service is built from.
	Repositories []string `json:"repositories"`
	Alone        []string `json:"alone"`
	// Same are services of other catalogs that are this one, with the reason.
	Same []Same `json:"same"`
}

// Reason is why members belong to a service.
type Reason struct {
	Text     string        `json:"text"`
	Strength fact.Strength `json:"strength"`
	Members  int           `json:"members"`
}

// Member is an asset of a service, with the reason.
type Member struct {
	Asset    fact.Asset    `json:"asset"`
	Reason   string        `json:"reason"`
	By       string        `json:"seen_by"` // source that told of what the reason rests on
	Strength fact.Strength `json:"strength"`
}

// Same says that a service of another catalog is this one.
type Same struct {
	Asset    fact.Asset    `json:"asset"`
	Reason   string        `json:"reason"`
	Strength fact.Strength `json:"strength"`
}

// Found is what the graph gives.
type Found struct {
	Services []Service `json:"services"` // by name, then key
	// Notes tell of what did not fit: an annotation that two entities have, an edit
	// that names nothing any longer.
	Notes []string `json:"notes"`
}

// thing is a workload or object while services are found.
type thing struct {
	asset      fact.Asset
	properties map[string]string
	by         map[string]string // who told of a property
	teller     string            // the first that told of it
	repository string
	controlled bool // by another, through which it is reached
	placed     bool // with the workload that is its face
}

// get gives the first property that is there and can be a name.
func (t *thing) get(names ...string) (name, value string) {
	for _, name := range names {
		if value := strings.TrimSpace(t.properties[name]); value != "" && len(value) <= maxName && !strings.ContainsFunc(value, unicode.IsControl) {
			return name, value
		}
	}
	return "", ""
}

// tell adds what sources say; the word of the first source counts.
func (t *thing) tell(said []graph.Said) {
	for _, s := range said {
		if s.By == Source {
			continue
		}
		if t.teller == "" {
			t.teller = s.By
		}
		for name, value := range s.Properties {
			if _, known := t.properties[name]; !known {
				t.properties[name], t.by[name] = value, s.By
			}
		}
	}
}

// entity is a service of a catalog.
type entity struct {
	asset        fact.Asset
	properties   map[string]string
	selector     map[string]string
	repositories []string
}

func (e *entity) catalog() string {
	catalog, _, _ := strings.Cut(e.asset.Key, ":")
	return catalog
}

// finder collects what services are found from.
type finder struct {
	things   []*thing
	at       map[fact.Asset]*thing
	entities []*entity
	byRepo   map[string][]*entity
	byID     map[string][]*entity
	notes    []string
}

// Find finds the services of a graph, and applies the edits in their order.
func Find(ctx context.Context, g *graph.Graph, edits []Edit) (Found, error) {
	f := &finder{at: map[fact.Asset]*thing{}, byRepo: map[string][]*entity{}, byID: map[string][]*entity{}}
	if err := f.read(ctx, g); err != nil {
		return Found{}, fmt.Errorf("find services: %w", err)
	}
	groups := f.groups()
	groups = f.alone(f.joined(groups))
	groups = f.edited(groups, edits)
	return f.found(groups), nil
}

func bare(a fact.Asset) fact.Asset { return fact.Asset{Kind: a.Kind, Key: a.Key} }

// read reads workloads, the objects and resources they are the face of, their
// images' repositories, and the services of catalogs.
func (f *finder) read(ctx context.Context, g *graph.Graph) error {
	controlled := map[fact.Asset]bool{}
	images := map[fact.Asset][]*thing{}
	resources := map[fact.Asset][]*thing{}
	err := g.List(ctx, []string{fact.AssetWorkload, fact.AssetKubernetes}, func(one graph.Listed) error {
		t := &thing{asset: one.Asset, properties: map[string]string{}, by: map[string]string{}}
		t.tell(one.Said)
		if t.teller == "" {
			return nil // only an earlier run of ours still tells of it
		}
		for _, link := range one.Out {
			switch {
			case link.Kind == fact.Controls:
				controlled[bare(link.To)] = true
			case link.Kind == fact.InstanceOf && link.To.Kind == fact.AssetImage:
				images[bare(link.To)] = append(images[bare(link.To)], t)
			case link.Kind == fact.PackagedFrom && link.To.Kind == fact.AssetRepository:
				t.repository = link.To.Key
			case link.Kind == fact.PartOf && link.To.Kind == fact.AssetResource && link.To.Key == one.Asset.Key:
				resources[bare(link.To)] = append(resources[bare(link.To)], t)
			}
		}
		f.things = append(f.things, t)
		f.at[bare(one.Asset)] = t
		return nil
	})
	if err != nil {
		return err
	}
	err = g.Told(ctx, sortedAssets(resources), func(one graph.Listed) error {
		for _, t := range resources[bare(one.Asset)] {
			t.tell(one.Said)
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = g.Told(ctx, sortedAssets(images), func(one graph.Listed) error {
		for _, link := range one.Out {
			if link.Kind != fact.PackagedFrom || link.To.Kind != fact.AssetRepository {
				continue
			}
			for _, t := range images[bare(one.Asset)] {
				if t.repository == "" || link.To.Key < t.repository {
					t.repository = link.To.Key
				}
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, t := range f.things {
		t.controlled = controlled[bare(t.asset)]
		// A workload has the labels of the object it is the face of.
		if t.asset.Kind != fact.AssetWorkload {
			continue
		}
		if object := f.at[fact.Asset{Kind: fact.AssetKubernetes, Key: t.asset.Key}]; object != nil {
			for name, value := range object.properties {
				if _, known := t.properties[name]; !known {
					t.properties[name], t.by[name] = value, object.by[name]
				}
			}
		}
	}
	return f.readCatalogs(ctx, g)
}

func sortedAssets(m map[fact.Asset][]*thing) []fact.Asset {
	list := make([]fact.Asset, 0, len(m))
	for a := range m {
		list = append(list, a)
	}
	slices.SortFunc(list, compareAssets)
	return list
}

func compareAssets(a, b fact.Asset) int {
	return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Key, b.Key))
}

func (f *finder) readCatalogs(ctx context.Context, g *graph.Graph) error {
	known := map[fact.Asset]*entity{}
	err := g.List(ctx, []string{fact.AssetService, fact.AssetRepository}, func(one graph.Listed) error {
		if one.Asset.Kind == fact.AssetRepository {
			for _, link := range one.Out {
				if e := known[bare(link.To)]; e != nil && link.Kind == fact.PartOf {
					e.repositories = append(e.repositories, one.Asset.Key)
					f.byRepo[one.Asset.Key] = append(f.byRepo[one.Asset.Key], e)
				}
			}
			return nil
		}
		t := &thing{properties: map[string]string{}, by: map[string]string{}}
		t.tell(one.Said)
		own := t.teller == "" || strings.HasPrefix(one.Asset.Key, Prefix)
		if own || !slices.ContainsFunc(one.Said, func(s graph.Said) bool { return s.By != Source && !s.Passing }) {
			return nil
		}
		e := &entity{asset: one.Asset, properties: t.properties}
		if e.catalog() == "backstage" && !strings.HasPrefix(one.Asset.Key, "backstage:component:") {
			return nil // systems, domains, APIs and resources are not what runs
		}
		known[bare(one.Asset)] = e
		f.entities = append(f.entities, e)
		if id := t.properties["annotation:backstage.io/kubernetes-id"]; id != "" {
			f.byID[id] = append(f.byID[id], e)
		}
		if text := t.properties["annotation:backstage.io/kubernetes-label-selector"]; text != "" {
			var ok bool
			if e.selector, ok = selectorOf(text); !ok {
				f.notes = append(f.notes, fmt.Sprintf("%s: the label selector %q is not of the form key=value,key=value", one.Asset.Key, text))
			}
		}
		return nil
	})
	for id, list := range f.byID {
		if len(list) > 1 {
			f.notes = append(f.notes, fmt.Sprintf("backstage.io/kubernetes-id=%s is the annotation of %d entities, among them %s and %s: none is taken", id, len(list), list[0].asset.Key, list[1].asset.Key))
		}
	}
	return err
}

// selectorOf reads a label selector of equalities.
func selectorOf(text string) (map[string]string, bool) {
	selector := map[string]string{}
	for part := range strings.SplitSeq(text, ",") {
		name, value, found := strings.Cut(part, "=")
		name, value = strings.TrimSpace(name), strings.TrimSpace(strings.TrimPrefix(value, "="))
		if !found || name == "" || value == "" || strings.HasSuffix(name, "!") {
			return nil, false
		}
		selector["label:"+name] = value
	}
	return selector, true
}

// verdict is which service a thing belongs to, and why.
type verdict struct {
	key, name string
	entity    *entity
	reason    string
	property  string // that the reason rests on
	strength  fact.Strength
}

// group is a service while services are found.
type group struct {
	key, name string
	also      []string
	entity    *entity
	members   []memberOf
	joined    string    // why an entity of a catalog takes its place
	merged    []*entity // entities of services that people merged into it
}

type memberOf struct {
	thing   *thing
	verdict verdict
}

// means says whether a key is one of the group's.
func (g *group) means(key string) bool { return g.key == key || slices.Contains(g.also, key) }

// groups puts things into services by their strongest reason. An object that runs
// nothing is of a service only together with a workload.
func (f *finder) groups() []*group {
	byKey := map[string]*group{}
	var list []*group
	add := func(t *thing, v verdict) {
		g := byKey[v.key]
		if g == nil {
			g = &group{key: v.key, name: v.name, entity: v.entity}
			byKey[v.key] = g
			list = append(list, g)
		}
		if v.name < g.name { // the same in several spellings
			g.name = v.name
		}
		g.members = append(g.members, memberOf{t, v})
	}
	for _, t := range f.things {
		if t.controlled || t.asset.Kind != fact.AssetWorkload {
			continue
		}
		v, ok := f.judge(t)
		if !ok {
			continue
		}
		add(t, v)
		if object := f.at[fact.Asset{Kind: fact.AssetKubernetes, Key: t.asset.Key}]; object != nil {
			add(object, v) // findings may be of either
			object.placed = true
		}
	}
	for _, t := range f.things {
		if t.controlled || t.placed || t.asset.Kind != fact.AssetKubernetes {
			continue
		}
		if v, ok := f.named(t); ok && byKey[v.key] != nil {
			add(t, v)
		}
	}
	slices.SortFunc(list, func(a, b *group) int { return cmp.Compare(a.key, b.key) })
	return list
}

// entityOf gives the entity of a catalog that names a thing itself.
func (f *finder) entityOf(t *thing) (verdict, bool) {
	name, id := t.get("label:backstage.io/kubernetes-id", "annotation:backstage.io/kubernetes-id")
	if list := f.byID[id]; id != "" && len(list) == 1 {
		e := list[0]
		return verdict{key: e.asset.Key, name: e.asset.Name, entity: e, reason: word(name) + "=" + id + " is the annotation of " + e.asset.Key, property: name, strength: fact.Declared}, true
	}
	var fits []*entity
	for _, e := range f.entities {
		if len(e.selector) > 0 && matches(e.selector, t.properties) && inNamespace(e, t) {
			fits = append(fits, e)
		}
	}
	if len(fits) == 1 {
		e := fits[0]
		return verdict{key: e.asset.Key, name: e.asset.Name, entity: e, strength: fact.Declared,
			reason: "the label selector " + e.properties["annotation:backstage.io/kubernetes-label-selector"] + " of " + e.asset.Key}, true
	}
	return verdict{}, false
}

func matches(selector, properties map[string]string) bool {
	for name, value := range selector {
		if properties[name] != value {
			return false
		}
	}
	return true
}

func inNamespace(e *entity, t *thing) bool {
	wanted := e.properties["annotation:backstage.io/kubernetes-namespace"]
	return wanted == "" || wanted == namespaceOf(t)
}

// namespaceOf gives the namespace of a Kubernetes object, from its key.
func namespaceOf(t *thing) string {
	if parts := strings.Split(t.asset.Key, "/"); len(parts) == 4 && parts[1] != "-" {
		return parts[1]
	}
	return t.properties["namespace"]
}

// word writes a property as people know it.
func word(property string) string {
	kind, name, found := strings.Cut(property, ":")
	if !found {
		return property
	}
	return kind + " " + name
}

// found makes the key of a service that was found.
func foundKey(parts ...string) string {
	return Prefix + strings.Join(parts, "/")
}

// named judges by what somebody wrote on a thing.
func (f *finder) named(t *thing) (verdict, bool) {
	if v, ok := f.entityOf(t); ok {
		return v, true
	}
	by := func(rule, property, value string, strength fact.Strength) verdict {
		return verdict{key: foundKey(rule, strings.ToLower(value)), name: value, reason: word(property) + "=" + value, property: property, strength: strength}
	}
	if property, value := t.get("label:backstage.io/kubernetes-id", "annotation:backstage.io/kubernetes-id"); value != "" {
		return by("kubernetes-id", property, value, fact.Declared), true
	}
	if property, value := t.get("label:app.kubernetes.io/part-of"); value != "" {
		return by("part-of", property, value, fact.Declared), true
	}
	if v, ok := helm(t); ok {
		return v, true
	}
	if property, value := t.get("gitops_source"); value != "" {
		name := plainName(value[strings.LastIndex(value, "/")+1:])
		return verdict{key: foundKey("gitops", strings.ToLower(name)), name: name, reason: "deployed by " + value, property: property, strength: fact.Attested}, true
	}
	namespace := plainName(namespaceOf(t))
	if property, value := t.get("label:app.kubernetes.io/instance"); value != "" {
		name := plainName(value)
		return verdict{key: foundKey("instance", namespace, strings.ToLower(name)), name: name, reason: word(property) + "=" + value, property: property, strength: fact.Declared}, true
	}
	if property, value := t.get("label:app.kubernetes.io/name", "label:k8s-app", "label:app"); value != "" {
		name := plainName(value)
		return verdict{key: foundKey("name", namespace, strings.ToLower(name)), name: name, reason: word(property) + "=" + value, property: property, strength: fact.Declared}, true
	}
	return verdict{}, false
}

// helm judges by the release that a thing was installed with.
func helm(t *thing) (verdict, bool) {
	property, release := t.get("helm_release", "annotation:meta.helm.sh/release-name")
	_, namespace := t.get("annotation:meta.helm.sh/release-namespace")
	strength := fact.Attested
	if release == "" && (t.properties["label:app.kubernetes.io/managed-by"] == "Helm" || t.properties["label:helm.sh/chart"] != "") {
		property, release = t.get("label:app.kubernetes.io/instance")
		strength = fact.Declared
	}
	if heritage := t.properties["label:heritage"]; release == "" && (heritage == "Helm" || heritage == "Tiller") {
		property, release = t.get("label:release")
		strength = fact.Declared
	}
	if release == "" {
		return verdict{}, false
	}
	name := plainName(release)
	return verdict{
		key: foundKey("helm", plainName(cmp.Or(namespace, namespaceOf(t))), strings.ToLower(name)), name: name,
		reason: "Helm release " + release + " (" + word(property) + ")", property: property, strength: strength,
	}, true
}

// judge gives the service of a workload.
func (f *finder) judge(t *thing) (verdict, bool) {
	if v, ok := f.named(t); ok {
		return v, true
	}
	if property, value := t.get("label:com.docker.compose.project"); value != "" {
		return verdict{key: foundKey("compose", strings.ToLower(value)), name: value, reason: "Compose project " + value, property: property, strength: fact.Declared}, true
	}
	for _, tags := range [][]string{{"tag:copilot-service"}, {"tag:service", "tag:Service"}, {"tag:application", "tag:Application", "tag:app", "tag:App"}} {
		if property, value := t.get(tags...); value != "" {
			name := plainName(value)
			return verdict{key: foundKey("tag", strings.ToLower(name)), name: name, reason: word(property) + "=" + value, property: property, strength: fact.Declared}, true
		}
	}
	if property, value := t.get("tag:aws:cloudformation:stack-name"); value != "" {
		name := plainName(value)
		return verdict{key: foundKey("stack", strings.ToLower(name)), name: name, reason: "CloudFormation stack " + value, property: property, strength: fact.Attested}, true
	}
	if strings.Contains(t.asset.Key, ":service/") && strings.HasPrefix(t.asset.Key, "arn:") && strings.Contains(t.asset.Key, ":ecs:") {
		name := plainName(cmp.Or(t.asset.Name, t.asset.Key[strings.LastIndex(t.asset.Key, "/")+1:]))
		return verdict{key: foundKey("ecs", strings.ToLower(name)), name: name, reason: "ECS service " + t.asset.Name, strength: fact.Derived}, true
	}
	if t.repository != "" {
		if v, ok := f.sourceOf(t.repository); ok {
			return v, true
		}
		return verdict{key: foundKey("repository", t.repository), name: t.repository[strings.LastIndex(t.repository, "/")+1:], reason: "built from " + t.repository, strength: fact.Derived}, true
	}
	name := plainName(t.asset.Name)
	if name == "" || strings.Contains(t.asset.Key, ":task-definition/") {
		return verdict{}, false // a definition alone may run nowhere
	}
	return verdict{key: foundKey("named", strings.ToLower(name)), name: name, reason: "its name is " + t.asset.Name, strength: fact.Guess}, true
}

// sourceOf gives the one entity whose source a repository is.
func (f *finder) sourceOf(repository string) (verdict, bool) {
	list := f.byRepo[repository]
	if len(list) != 1 {
		return verdict{}, false
	}
	e := list[0]
	return verdict{key: e.asset.Key, name: e.asset.Name, entity: e, reason: "built from " + repository + ", the source of " + e.asset.Key, strength: fact.Declared}, true
}

var (
	versionPart = regexp.MustCompile(`^(v\d+|[0-9a-f]{8,10}|[A-Z0-9]{12,13}|\d+)$`)
	environment = map[string]bool{
		"prod": true, "production": true, "prd": true, "live": true, "staging": true, "stage": true, "stg": true, "preprod": true, "uat": true, "qa": true, "test": true,
		"testing": true, "dev": true, "development": true, "sandbox": true, "canary": true, "blue": true, "green": true, "preview": true,
	}
)

// plainName takes environments, versions and hashes off the ends of a name, so
// that what runs in several environments has one name. A name that is nothing
// else stays.
func plainName(name string) string {
	parts := strings.FieldsFunc(name, func(r rune) bool { return r == '-' || r == '_' || r == '.' })
	start, end := 0, len(parts)
	for start < end && environment[strings.ToLower(parts[start])] {
		start++
	}
	for end > start && (environment[strings.ToLower(parts[end-1])] || end-1 > start && versionPart.MatchString(parts[end-1])) {
		end--
	}
	if start == end {
		return strings.TrimSpace(name)
	}
	if start == 0 && end == len(parts) {
		return strings.TrimSpace(name)
	}
	return strings.Join(parts[start:end], "-")
}
