package kubernetes

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// Verdicts of a live value against the one that the repository gives.
const (
	Proven     = "proven"     // equal
	Drift      = "drift"      // different
	Unverified = "unverified" // one of the two is not known
)

// Request asks where an object, or one of its fields, is decided.
type Request struct {
	Kind, Name string
	Namespace  string // "" for any
	Field      string // path, "" for the object itself
	Live       Live
	Repository string // canonical identity, for locations and to tell it from others; may be empty
	Commit     string
}

// Live is what is known of a cluster.
type Live struct {
	Objects []*Object
	// Releases are those of Helm, by "namespace/name".
	Releases map[string]HelmRelease
}

// ReadLive reads an export of live objects and keeps what tracing objects of a kind
// needs: those, the controllers that make them, the objects of tools that deploy,
// and Helm's releases.
func ReadLive(ctx context.Context, name string, in io.Reader, kind string) (Live, []Problem, error) {
	live := Live{Releases: map[string]HelmRelease{}}
	made := strings.EqualFold(kind, "Pod") || strings.EqualFold(kind, "ReplicaSet") || strings.EqualFold(kind, "Job")
	var unread []Problem
	problems, err := Stream(ctx, name, in, func(o *Object) error {
		release, ok, err := ReadHelmRelease(o)
		switch {
		case err != nil:
			unread = append(unread, Problem{Place{Path: name, Line: o.Place.Line}, err.Error()})
		case ok:
			if key := release.Namespace + "/" + release.Name; release.Newer(live.Releases[key]) {
				live.Releases[key] = release
			}
		}
		if strings.EqualFold(o.Kind, kind) || made && controllers[o.Kind] || o.Kind == "Application" || o.Kind == "Kustomization" || o.Kind == "HelmRelease" || o.Kind == "GitRepository" {
			live.Objects = append(live.Objects, o)
		}
		return nil
	})
	return live, append(problems, unread...), err
}

// controllers make pods, or what makes pods.
var controllers = map[string]bool{"Deployment": true, "StatefulSet": true, "DaemonSet": true, "ReplicaSet": true, "Job": true, "CronJob": true, "Rollout": true}

// Answer is where it is decided.
type Answer struct {
	Object  string     `json:"object"`
	Field   string     `json:"field,omitempty"`
	Value   any        `json:"value,omitempty"`
	Live    any        `json:"live,omitempty"`
	Verdict string     `json:"verdict"`
	Manager string     `json:"manager,omitempty"` // who owns the field in the cluster
	Cause   fact.Cause `json:"cause"`
	// Shared are the other objects that the deciding line reaches.
	Shared   []string `json:"shared"`
	Problems []string `json:"problems"`
}

// climb is how a live object was followed to the one that a manifest may declare.
type climb struct {
	live  *Object // nil when it is not in the dump
	links []fact.Link
}

// climb follows a live object that nothing in the repository declares to its
// controller: a pod to its Deployment, a Job to its CronJob. The request and the
// field become the controller's.
func (e *Estate) climb(r *Request, live *Object, field *[]Segment) climb {
	c := climb{live: live}
	for range 4 {
		if c.live == nil || len(e.candidates(*r, c.live)) > 0 {
			return c
		}
		var kind, name string
		for _, ref := range c.live.Root.List("metadata", "ownerReferences") {
			if ref.String("controller") == "true" {
				kind, name = ref.String("kind"), ref.String("name")
			}
		}
		if kind == "" {
			return c
		}
		by := fact.Evidence{Method: "owner_reference", Source: "metadata.ownerReferences", Strength: fact.Attested, Detail: kind + "/" + name}
		next := r.Live.object(kind, name, c.live.Namespace)
		if deployment, ok := strings.CutSuffix(name, "-"+c.live.Root.String("metadata", "labels", "pod-template-hash")); next == nil && ok && kind == "ReplicaSet" {
			// A Deployment calls its ReplicaSets by its own name and this hash.
			kind, name = "Deployment", deployment
			by.Strength, by.Detail = fact.Derived, by.Detail+", by its hash of Deployment/"+name
			next = r.Live.object(kind, name, c.live.Namespace)
		}
		c.links = append(c.links, fact.Link{Kind: "kubernetes_object", Key: c.live.ID(), Evidence: by})
		*field = ofController(*field, c.live.Kind, kind)
		r.Kind, r.Name, r.Namespace = kind, name, c.live.Namespace
		c.live = next
	}
	return c
}

func (l Live) object(kind, name, namespace string) *Object {
	for _, o := range l.Objects {
		if o.Kind == kind && o.Name == name && o.Namespace == namespace {
			return o
		}
	}
	return nil
}

// ofController gives the path in a controller that a path of what it makes comes from.
func ofController(field []Segment, kind, controller string) []Segment {
	if len(field) == 0 {
		return nil
	}
	key := func(name string) Segment { return Segment{Key: name, Index: -1} }
	switch {
	case controller == "CronJob" && kind == "Job":
		return append([]Segment{key("spec"), key("jobTemplate")}, field...)
	case kind == "Pod":
		return append([]Segment{key("spec"), key("template")}, field...)
	}
	return field
}

// place of one candidate.
type traced struct {
	object   *Object
	value    *Node
	places   []Place
	links    []fact.Link
	literal  bool
	strength fact.Strength
	deciders []Decider
}

// Trace leads an object, or one of its fields, to the line that decides it.
func (e *Estate) Trace(ctx context.Context, r Request) (Answer, error) {
	a := Answer{Object: r.Kind + "/" + r.Name, Field: r.Field, Verdict: Unverified, Shared: []string{}, Problems: []string{},
		Cause: fact.Cause{Status: fact.CauseUnknown, Locations: []fact.Location{}, Chain: []fact.Link{}, Missing: []string{}}}
	field, err := ParsePath(r.Field)
	if err != nil {
		return a, err
	}
	var live *Object
	for _, o := range r.Live.Objects {
		if strings.EqualFold(o.Kind, r.Kind) && o.Name == r.Name && (r.Namespace == "" || o.Namespace == r.Namespace) {
			live = o
			break
		}
	}
	var liveValue *Node
	if live != nil {
		liveValue, _ = live.Root.Find(field)
		if len(field) > 0 && !sensitive(live) {
			a.Live = liveValue.Value()
		}
		climbed := e.climb(&r, live, &field)
		a.Cause.Chain = append(a.Cause.Chain, climbed.links...)
		if live = climbed.live; live != nil {
			a.Manager = manager(live.Root, field)
		}
	} else if len(r.Live.Objects)+len(r.Live.Releases) > 0 {
		a.Cause.Missing = append(a.Cause.Missing, fmt.Sprintf("the dump holds no %s/%s", r.Kind, r.Name))
	}
	candidates := e.candidates(r, live)
	by := fact.Evidence{Method: "kubernetes_name", Source: "kind and name", Strength: fact.Guess}
	if live == nil && len(candidates) > 0 && len(a.Cause.Chain) == 0 {
		by.Strength, by.Method = fact.Declared, "kubernetes_manifest"
	}
	if len(candidates) == 0 {
		hidden, err := e.hidden(ctx, r, live)
		if err != nil {
			a.Problems = append(a.Problems, err.Error())
		}
		for _, o := range hidden {
			for _, s := range o.release.switches {
				a.Cause.Missing = append(a.Cause.Missing, fmt.Sprintf("%s is off at %s:%d, so that the chart leaves %s out; what turns it on is not in the repository", s.Key(), s.node.Place.Path, s.node.Place.Line, o.ID()))
			}
		}
		candidates = hidden
	}
	var record *HelmRelease
	if live != nil {
		t := tracker{estate: e, request: r, live: live, candidates: candidates}
		candidates, by = t.narrow()
		a.Cause.Missing = append(a.Cause.Missing, t.missing...)
		record = t.record
		a.Cause.Chain = append(a.Cause.Chain, fact.Link{Kind: "kubernetes_object", Key: live.ID(), Location: fact.Location{}, Evidence: by})
		if record != nil {
			a.Cause.Chain = append(a.Cause.Chain, fact.Link{Kind: "helm_release", Key: record.Namespace + "/" + record.Name, Evidence: fact.Evidence{
				Method: "helm_record", Source: "sh.helm.release.v1." + record.Name, Strength: fact.Attested, Detail: fmt.Sprintf("%s-%s, revision %d", record.Chart, record.Version, record.Revision)}})
		}
	}
	var all []traced
	for _, o := range candidates {
		t, err := e.trace(ctx, o, field, by.Strength)
		if err != nil {
			a.Problems = append(a.Problems, err.Error())
		}
		if len(t.places) > 0 {
			all = append(all, t)
		}
		if record != nil {
			a.Cause.Missing = append(a.Cause.Missing, record.differs(t)...)
		}
	}
	if liveValue != nil && len(field) > 0 {
		equal := slices.DeleteFunc(slices.Clone(all), func(t traced) bool { return !t.value.same(liveValue) })
		if len(equal) > 0 {
			all, a.Verdict = equal, Proven
		} else if slices.ContainsFunc(all, func(t traced) bool { return t.value != nil }) {
			a.Verdict = Drift
		}
	}
	e.conclude(&a, r, all, by)
	for _, p := range e.Problems {
		if len(all) == 0 && len(a.Problems) < 20 {
			a.Problems = append(a.Problems, p.String())
		}
	}
	return a, ctx.Err()
}

func sensitive(o *Object) bool { return o.Kind == "Secret" }

func (e *Estate) conclude(a *Answer, r Request, all []traced, by fact.Evidence) {
	locate := func(p Place) fact.Location {
		return fact.Location{Repository: r.Repository, Commit: r.Commit, Path: p.Path, Line: p.Line, EndLine: p.EndLine}
	}
	if len(all) == 0 {
		missing := fmt.Sprintf("no manifest, overlay or rendered chart of the repository declares %s/%s", r.Kind, r.Name)
		if r.Field != "" {
			missing += " with " + r.Field
		}
		a.Cause.Missing = append(a.Cause.Missing, missing)
		return
	}
	firsts := map[Place]bool{}
	for _, t := range all {
		firsts[t.places[0]] = true
		for _, p := range t.places {
			if at := locate(p); !slices.Contains(a.Cause.Locations, at) {
				a.Cause.Locations = append(a.Cause.Locations, at)
			}
		}
		if a.Value == nil && r.Field != "" && !sensitive(t.object) {
			a.Value = t.value.Value()
		}
		for _, l := range t.links {
			l.Location.Repository, l.Location.Commit = r.Repository, r.Commit
			if !slices.Contains(a.Cause.Chain, l) {
				a.Cause.Chain = append(a.Cause.Chain, l)
			}
		}
	}
	a.Cause.Status = fact.CauseFound
	if len(firsts) > 1 {
		a.Cause.Status = fact.CauseAmbiguous
		a.Cause.Missing = append(a.Cause.Missing, "several places declare it alike; a dump of the live object with its tracking annotations (--live) would settle it")
	}
	if a.Verdict == Drift {
		a.Cause.Missing = append(a.Cause.Missing, "the live value is not the one that the repository gives: apply the repository's, or bring the change into it")
	}
	shared := map[string]bool{}
	for _, o := range e.Objects {
		own := slices.ContainsFunc(all, func(t traced) bool {
			return t.object == o || t.object.Kind == o.Kind && t.object.Name == o.Name && t.object.Unit == o.Unit
		})
		if own || !slices.ContainsFunc(all, func(t traced) bool { return o.reaches(t) }) {
			continue
		}
		name := o.ID()
		if o.Unit != "" {
			name += " (" + o.Unit + ")"
		}
		shared[name] = true
	}
	a.Shared = append(a.Shared, sorted(shared)...)
}

// reaches says whether the line that decides t also decides something in o.
func (o *Object) reaches(t traced) bool {
	if t.value == nil || len(t.places) == 0 {
		return false
	}
	if o.release != nil {
		return t.object.release != nil && o.release.Chart == t.object.release.Chart && o.file == t.object.file && o.Kind == t.object.Kind
	}
	var holds func(n *Node) bool
	holds = func(n *Node) bool {
		if n == nil {
			return false
		}
		if n.Shape == Scalar {
			return n.Place == t.places[0] && n.Text == t.value.Text
		}
		return slices.ContainsFunc(n.Items, holds) || slices.ContainsFunc(n.Fields, func(f Field) bool { return holds(f.Value) })
	}
	return holds(o.Root)
}

func (e *Estate) candidates(r Request, live *Object) []*Object {
	var exact, earlier []*Object
	for _, o := range e.Objects {
		if !strings.EqualFold(o.Kind, r.Kind) {
			continue
		}
		ns := r.Namespace
		if live != nil && ns == "" {
			ns = live.Namespace
		}
		if ns != "" && o.Namespace != "" && o.Namespace != ns && o.release == nil {
			continue
		}
		switch {
		case o.Name == r.Name:
			exact = append(exact, o)
		case slices.Contains(o.names, r.Name):
			earlier = append(earlier, o)
		case live != nil && o.release != nil && live.Root.String("metadata", "annotations", "meta.helm.sh/release-name") != "" && strings.HasPrefix(o.Name, o.release.Name) &&
			live.Root.String("metadata", "annotations", "meta.helm.sh/release-name")+strings.TrimPrefix(o.Name, o.release.Name) == r.Name:
			earlier = append(earlier, o)
		}
	}
	if len(exact) > 0 {
		return exact
	}
	return earlier
}

// trace leads a field of one declared object to its places, the deciding one first.
func (e *Estate) trace(ctx context.Context, o *Object, field []Segment, strength fact.Strength) (traced, error) {
	t := traced{object: o, strength: strength}
	value, nearest := o.Root.Find(field)
	link := func(kind, key string, at Place, method string, s fact.Strength) {
		t.links = append(t.links, fact.Link{Kind: kind, Key: key, Location: fact.Location{Path: at.Path, Line: at.Line, EndLine: at.EndLine},
			Evidence: fact.Evidence{Method: method, Source: at.Path, Strength: s}})
	}
	t.value = value
	if o.release != nil {
		return e.traceChart(ctx, o, field, value, t)
	}
	link("manifest", o.ID(), o.Place, "kubernetes_manifest", fact.Declared)
	if value == nil {
		// What is absent is added where its parent stands.
		t.places = append(t.places, nearest.Place)
		link("absent", "the field is not set; its parent stands here", nearest.Place, "kubernetes_manifest", fact.Declared)
		return t, nil
	}
	if len(field) == 0 {
		t.places = append(t.places, o.Place)
		return t, nil
	}
	t.places = append(t.places, value.Place)
	for n := value; n != nil; n = n.Over {
		kind := n.By
		if n != value {
			kind += ", replaced"
		}
		method := "kustomize"
		if n.By == "manifest" {
			method = "kubernetes_manifest"
		}
		link(kind, short(n.Text, 200), n.Place, method, fact.Declared)
	}
	return t, nil
}

func (e *Estate) traceChart(ctx context.Context, o *Object, field []Segment, value *Node, t traced) (traced, error) {
	add := func(kind, key string, at Place, method string, s fact.Strength, detail string) {
		t.links = append(t.links, fact.Link{Kind: kind, Key: key, Location: fact.Location{Path: at.Path, Line: at.Line, EndLine: at.EndLine},
			Evidence: fact.Evidence{Method: method, Source: at.Path, Strength: s, Detail: detail}})
	}
	template := o.release.source(o.file)
	rendered, line := o.release.base[o.file], 0
	if value != nil {
		line = value.Place.Line
	} else {
		_, nearest := o.Root.Find(field)
		line = nearest.Place.Line
	}
	at := Place{Path: template}
	if n, _ := templateLine(string(e.bytes(ctx, template)), rendered, line); n > 0 {
		at.Line, at.EndLine = n, n
	}
	add("template", o.ID(), at, "helm_render", fact.Attested, o.release.Label())
	turnedOn := map[string]bool{}
	for _, l := range o.release.switches {
		turnedOn[l.Key()] = true
		add("switch", l.Key(), l.node.Place, "helm_perturbation", fact.Proven, "off here; on, the object is there")
	}
	if len(field) == 0 {
		t.places = []Place{at}
		return t, nil
	}
	deciders, err := e.Deciders(ctx, o, field)
	t.deciders = deciders
	for _, d := range deciders {
		kind := "value"
		if d.Control {
			kind = "switch"
		}
		p := d.Place
		if p.Path == "" || d.Control && turnedOn[d.Key] {
			continue
		}
		add(kind, d.Key, p, "helm_perturbation", fact.Proven, "changing it moves the field")
		if !d.Control {
			t.places = append(t.places, p)
		}
		for over := d.node.Over; over != nil; over = over.Over {
			add("value, overridden", d.Key, over.Place, "helm_values", fact.Declared, "")
		}
	}
	if len(t.places) == 0 {
		t.literal = true
		t.places = []Place{at}
		add("template", "literal in the template: no value moves it", at, "helm_perturbation", fact.Derived, "")
	}
	return t, err
}

// manager names who owns a field by managedFields, "" when nobody is named.
func manager(root *Node, field []Segment) string {
	best, depth := "", 0
	for _, m := range root.List("metadata", "managedFields") {
		at, n := m.Get("fieldsV1"), 0
		for _, s := range field {
			var next *Node
			if s.Key != "" {
				next = at.Get("f:" + s.Key)
			} else {
				for _, f := range at.Entries() {
					if encoded, ok := strings.CutPrefix(f.Key, "k:"); ok {
						var key map[string]any
						if json.Unmarshal([]byte(encoded), &key) == nil && fmt.Sprint(key[s.Where]) == s.Is {
							next = f.Value
						}
					}
				}
			}
			if next == nil {
				break
			}
			at, n = next, n+1
		}
		if n > depth {
			best, depth = m.String("manager"), n
		}
	}
	if depth < len(field) {
		return ""
	}
	return best
}

// WriteText writes the answer for people; plain makes text from outside safe.
func (a Answer) WriteText(w io.Writer, plain func(string) string) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s\nWHERE %s\n", plain(a.Object), plain(a.Field), a.Cause.Status)
	for _, l := range a.Cause.Locations {
		fmt.Fprintf(&b, "  %s:%d\n", plain(l.Path), l.Line)
	}
	if a.Value != nil {
		fmt.Fprintf(&b, "VALUE %s\n", plain(short(fmt.Sprint(a.Value), 300)))
	}
	if a.Live != nil {
		fmt.Fprintf(&b, "LIVE  %s (%s)\n", plain(short(fmt.Sprint(a.Live), 300)), a.Verdict)
	}
	if a.Manager != "" {
		fmt.Fprintf(&b, "OWNED BY %s in the cluster\n", plain(a.Manager))
	}
	b.WriteString("CHAIN\n")
	for _, l := range a.Cause.Chain {
		fmt.Fprintf(&b, "  %-8s %s %s", l.Evidence.Strength, plain(l.Kind), plain(l.Key))
		if l.Location.Path != "" {
			fmt.Fprintf(&b, "  %s", plain(l.Location.Path))
			if l.Location.Line > 0 {
				fmt.Fprintf(&b, ":%d", l.Location.Line)
			}
		}
		fmt.Fprintf(&b, "  (%s)\n", plain(strings.TrimSuffix(l.Evidence.Method+", "+l.Evidence.Detail, ", ")))
	}
	for _, s := range a.Shared {
		fmt.Fprintf(&b, "SHARED BY %s\n", plain(s))
	}
	for _, m := range a.Cause.Missing {
		fmt.Fprintf(&b, "MISSING %s\n", plain(m))
	}
	for _, p := range a.Problems {
		fmt.Fprintf(&b, "GAP %s\n", plain(p))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// SplitName takes NAME.FIELDPATH apart. Names may hold dots: the longest name that
// is known wins, else everything before the first dot.
func (e *Estate) SplitName(kind, rest string, live Live) (name, field string) {
	for _, objects := range [][]*Object{live.Objects, e.Objects} {
		for _, o := range objects {
			for _, n := range append([]string{o.Name}, o.names...) {
				if strings.EqualFold(o.Kind, kind) && len(n) > len(name) && (rest == n || strings.HasPrefix(rest, n+".") || strings.HasPrefix(rest, n+"[")) {
					name = n
				}
			}
		}
	}
	if name == "" {
		name, field, _ = strings.Cut(rest, ".")
		return name, field
	}
	return name, strings.TrimPrefix(rest[len(name):], ".")
}
