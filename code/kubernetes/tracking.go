package kubernetes

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/fact"
)

// Tracking says which tool brought a live object, as the object's own labels and
// annotations tell.
type Tracking struct {
	Method string // argocd_tracking, argocd_instance, flux_kustomize, flux_helm, kustomize_origin, helm_release
	Mark   string // the label or annotation that says so
	// Kind, Namespace and Name of the object of the tool that tracks it: an
	// Application, a Kustomization, a HelmRelease; of a Helm release Kind is "Release".
	Kind, Namespace, Name string
	Detail                string // the chart's label, the origin's path
	Repository            string // canonical, when the mark itself names one
}

// Tracking reads the marks of tools that deploy, the strongest first.
func (o *Object) Tracking() []Tracking {
	label := func(key string) string { return o.Root.String("metadata", "labels", key) }
	note := func(key string) string { return o.Root.String("metadata", "annotations", key) }
	var all []Tracking
	if id := note("argocd.argoproj.io/tracking-id"); id != "" {
		// APPLICATION:GROUP/KIND:NAMESPACE/NAME; an application outside the usual
		// namespace is NAMESPACE_APPLICATION. A copy of a tracked object keeps the mark of the first.
		app, of, _ := strings.Cut(id, ":")
		namespace, name, ok := strings.Cut(app, "_")
		if !ok {
			namespace, name = "", app
		}
		if strings.HasSuffix(of, "/"+o.Name) && strings.Contains(of, "/"+o.Kind+":") || of == "" {
			all = append(all, Tracking{Method: "argocd_tracking", Mark: "argocd.argoproj.io/tracking-id", Kind: "Application", Namespace: namespace, Name: name})
		}
	}
	if app := label("argocd.argoproj.io/instance"); app != "" && len(all) == 0 {
		all = append(all, Tracking{Method: "argocd_tracking", Mark: "argocd.argoproj.io/instance", Kind: "Application", Name: app})
	}
	if name := label("kustomize.toolkit.fluxcd.io/name"); name != "" {
		all = append(all, Tracking{Method: "flux_kustomize", Mark: "kustomize.toolkit.fluxcd.io/name", Kind: "Kustomization", Namespace: label("kustomize.toolkit.fluxcd.io/namespace"), Name: name})
	}
	if name := label("helm.toolkit.fluxcd.io/name"); name != "" {
		all = append(all, Tracking{Method: "flux_helm", Mark: "helm.toolkit.fluxcd.io/name", Kind: "HelmRelease", Namespace: label("helm.toolkit.fluxcd.io/namespace"), Name: name})
	}
	if origin := note("config.kubernetes.io/origin"); origin != "" && len(origin) < 4096 {
		if docs, _ := Documents("origin", []byte(origin)); len(docs) > 0 && docs[0].String("path") != "" {
			all = append(all, Tracking{Method: "kustomize_origin", Mark: "config.kubernetes.io/origin", Detail: docs[0].String("path"), Repository: git.Canonical(docs[0].String("repo"))})
		}
	}
	release, chart := note("meta.helm.sh/release-name"), label("helm.sh/chart")
	if app := label("app.kubernetes.io/instance"); app != "" && len(all) == 0 && release == "" {
		// Argo CD tracks by this label unless told otherwise; charts set it too.
		all = append(all, Tracking{Method: "argocd_instance", Mark: "app.kubernetes.io/instance", Kind: "Application", Name: app})
	}
	if release != "" || label("app.kubernetes.io/managed-by") == "Helm" {
		all = append(all, Tracking{Method: "helm_release", Mark: "meta.helm.sh/release-name", Kind: "Release", Namespace: cmp.Or(note("meta.helm.sh/release-namespace"), o.Namespace), Name: release, Detail: chart})
	}
	return all
}

// Origin is where a tool that deploys takes objects from.
type Origin struct {
	Repository string // canonical, "" when it is not known
	Path       string // folder, or chart, in the repository
	Revision   string
	Source     *Object // the Application, Kustomization or HelmRelease
}

// Origins follows a mark to the object of the tool, among those that are known, and
// to the repository that it names.
func (t Tracking) Origins(known []*Object) []Origin {
	var all []Origin
	for _, o := range known {
		if o.Kind != t.Kind || o.Name != t.Name || t.Namespace != "" && o.Namespace != "" && o.Namespace != t.Namespace {
			continue
		}
		all = append(all, o.Origins(known)...)
	}
	return all
}

// Origins are what an object of a tool that deploys takes objects from.
func (o *Object) Origins(known []*Object) []Origin {
	switch {
	case o.Kind == "Application" && o.Group() == "argoproj.io":
		var all []Origin
		for _, source := range append(o.Root.List("spec", "sources"), o.Root.Get("spec", "source")) {
			if at := source.String("path"); at != "" {
				all = append(all, Origin{git.Canonical(source.String("repoURL")), at, source.String("targetRevision"), o})
			}
		}
		return all
	case o.Kind == "Kustomization" && strings.HasPrefix(o.Group(), "kustomize.toolkit"):
		origin := o.ofFlux(o.Root.Get("spec", "sourceRef"), known)
		origin.Path = cmp.Or(o.Root.String("spec", "path"), ".")
		return []Origin{origin}
	case o.Kind == "HelmRelease":
		spec := o.Root.Get("spec", "chart", "spec")
		if kind := spec.String("sourceRef", "kind"); kind != "" && kind != "GitRepository" || spec.String("chart") == "" {
			return nil // from a repository of charts
		}
		origin := o.ofFlux(spec.Get("sourceRef"), known)
		origin.Path = spec.String("chart")
		return []Origin{origin}
	}
	return nil
}

// ofFlux follows a reference to the GitRepository of that name and namespace.
func (o *Object) ofFlux(ref *Node, known []*Object) Origin {
	origin := Origin{Source: o}
	namespace := cmp.Or(ref.String("namespace"), o.Namespace)
	for _, g := range known {
		if g.Kind != "GitRepository" || g.Kind != cmp.Or(ref.String("kind"), "GitRepository") || g.Name != ref.String("name") || namespace != "" && g.Namespace != "" && g.Namespace != namespace {
			continue
		}
		origin.Repository = git.Canonical(g.Root.String("spec", "url"))
		for _, key := range []string{"commit", "tag", "semver", "branch"} {
			origin.Revision = cmp.Or(origin.Revision, g.Root.String("spec", "ref", key))
		}
		return origin
	}
	return origin
}

// elsewhere says whether an origin is known to be another repository than this one.
func (g Origin) elsewhere(repository string) bool {
	return g.Repository != "" && repository != "" && !strings.HasPrefix(repository, "local/") && g.Repository != repository
}

// here says whether an origin is known to be this repository.
func (g Origin) here(repository string) bool {
	return g.Repository != "" && g.Repository == repository
}

// folder is the origin's path as the paths of a tree are written.
func (g Origin) folder() string { return path.Clean(strings.TrimPrefix(g.Path, "./")) }

// HelmRelease is what Helm keeps in the cluster of one release.
type HelmRelease struct {
	Name, Namespace, Status string
	Revision                int
	Chart, Version          string // of the chart
	AppVersion              string
	Sources                 []string // addresses that the chart names
	values                  *Node    // what the release was made with: the chart's, under those given
	given                   *Node    // those given
}

// maxRelease bounds a release when it is unpacked.
const maxRelease = 64 << 20

// ReadHelmRelease decodes the secret, or config map, in which Helm keeps a release;
// false for other objects. Its values may hold secrets, and are never told.
func ReadHelmRelease(o *Object) (HelmRelease, bool, error) {
	if o.Kind != "Secret" && o.Kind != "ConfigMap" || !strings.HasPrefix(o.Name, "sh.helm.release.v1.") && o.Root.String("metadata", "labels", "owner") != "helm" {
		return HelmRelease{}, false, nil
	}
	encoded := o.Root.String("data", "release")
	if encoded == "" {
		return HelmRelease{}, false, nil
	}
	fail := func(err error) (HelmRelease, bool, error) {
		return HelmRelease{}, true, fmt.Errorf("%s: expected a release of Helm: %w", o.ID(), err)
	}
	if o.Kind == "Secret" {
		inner, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return fail(errors.New("the secret is not base64"))
		}
		encoded = string(inner)
	}
	data, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return fail(errors.New("the release is not base64"))
	}
	if bytes.HasPrefix(data, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(bytes.NewReader(data))
		if err != nil {
			return fail(err)
		}
		if data, err = io.ReadAll(io.LimitReader(z, maxRelease+1)); err != nil {
			return fail(err)
		}
		if len(data) > maxRelease {
			return fail(fmt.Errorf("larger than %d MiB when unpacked", maxRelease>>20))
		}
	}
	n, err := decodeText(data)
	if err != nil || n.Shape != Map || n.Get("chart", "metadata") == nil {
		return fail(errors.New("it holds no chart"))
	}
	metadata := n.Get("chart", "metadata")
	r := HelmRelease{
		Name: n.String("name"), Namespace: cmp.Or(n.String("namespace"), o.Namespace), Status: n.String("info", "status"),
		Chart: metadata.String("name"), Version: metadata.String("version"), AppVersion: metadata.String("appVersion"),
	}
	r.Revision, _ = strconv.Atoi(n.String("version"))
	for _, source := range append(metadata.List("sources"), metadata.Get("home")) {
		if source != nil && source.Text != "" {
			r.Sources = append(r.Sources, source.Text)
		}
	}
	r.given = n.Get("config")
	if r.given == nil || r.given.Shape != Map {
		r.given = &Node{Shape: Map}
	}
	r.values = r.given
	if under := n.Get("chart", "values"); under != nil && under.Shape == Map {
		r.values = mergeValues(under, r.given)
	}
	return r, true, nil
}

// Newer says whether a release stands for its name rather than another: it is
// deployed and the other is not, or its revision is higher.
func (r HelmRelease) Newer(than HelmRelease) bool {
	if (r.Status == "deployed") != (than.Status == "deployed") {
		return r.Status == "deployed"
	}
	return r.Revision > than.Revision
}

// WithoutValues forgets the values of a release.
func (r HelmRelease) WithoutValues() HelmRelease {
	r.values, r.given = nil, nil
	return r
}

// differs names the deciding values that a release was made with otherwise than the
// repository gives them; never the values, which may be secrets.
func (r HelmRelease) differs(t traced) []string {
	if t.object.release == nil {
		return nil
	}
	var all []string
	for _, d := range t.deciders {
		here, there := valueAt(t.object.release.values, d.path), valueAt(r.values, d.path)
		if there == nil && valueAt(r.given, d.path[:1]) == nil || there.same(here) {
			continue // of a subchart, whose defaults the release does not repeat
		}
		all = append(all, fmt.Sprintf("the release %s/%s was made with another value of %s than %s:%d gives: by a file that is not here, by --set, or from another version", r.Namespace, r.Name, d.Key, d.Place.Path, d.Place.Line))
	}
	return all
}

// valueAt follows the path of a leaf.
func valueAt(n *Node, at []string) *Node {
	for _, key := range at {
		switch {
		case n == nil:
			return nil
		case n.Shape == List:
			i, err := strconv.Atoi(key)
			if err != nil || i < 0 || i >= len(n.Items) {
				return nil
			}
			n = n.Items[i]
		default:
			n = n.Get(key)
		}
	}
	return n
}

// tracker narrows the objects of a repository that a live object may come from.
type tracker struct {
	estate     *Estate
	request    Request
	live       *Object
	candidates []*Object
	record     *HelmRelease // what Helm keeps of its release
	missing    []string
}

func (t *tracker) keep(keep func(*Object) bool) []*Object {
	var left []*Object
	for _, o := range t.candidates {
		if keep(o) {
			left = append(left, o)
		}
	}
	return left
}

// narrow goes by what the live object says of its origin, the strongest first. The
// evidence is that of what narrowed the candidates.
func (t *tracker) narrow() ([]*Object, fact.Evidence) {
	known := append(slices.Clone(t.request.Live.Objects), t.estate.Objects...)
	for _, mark := range t.live.Tracking() {
		var left []*Object
		var by fact.Evidence
		switch mark.Method {
		case "kustomize_origin":
			left, by = t.byOrigin(mark)
		case "helm_release":
			left, by = t.byRelease(mark)
		default:
			left, by = t.byTool(mark, known)
		}
		if len(left) > 0 {
			return left, by
		}
	}
	return t.byContent()
}

// byTool follows the object of a tool that deploys to a folder or chart.
func (t *tracker) byTool(mark Tracking, known []*Object) ([]*Object, fact.Evidence) {
	for _, origin := range mark.Origins(known) {
		if origin.elsewhere(t.request.Repository) {
			if text := fmt.Sprintf("%s deploys it from %s, %s, which is another repository", origin.Source.ID(), origin.Repository, origin.Path); !slices.Contains(t.missing, text) {
				t.missing = append(t.missing, text)
			}
			continue
		}
		folder := origin.folder()
		left := t.keep(func(o *Object) bool {
			if o.release != nil {
				return o.release.Chart == folder
			}
			return o.Unit == folder || o.Unit == "" && (path.Dir(o.Place.Path) == folder || folder == "." || strings.HasPrefix(o.Place.Path, folder+"/"))
		})
		if len(left) == 0 {
			continue
		}
		if own := slices.DeleteFunc(slices.Clone(left), func(o *Object) bool {
			return o.release == nil || o.release.From == nil || o.release.Name != cmp.Or(origin.Source.Root.String("spec", "releaseName"), origin.Source.Root.String("spec", "source", "helm", "releaseName"), origin.Source.Name)
		}); len(own) > 0 {
			left = own
		}
		by := fact.Evidence{Method: mark.Method, Source: mark.Mark, Strength: fact.Attested, Detail: origin.Source.ID() + " takes " + origin.Path}
		if mark.Method == "argocd_instance" {
			by.Strength = fact.Declared // a label that others than Argo CD set too
		}
		if !origin.here(t.request.Repository) {
			by.Strength = fact.Declared
			by.Detail += ", of a repository that could not be compared with this one"
		}
		return left, by
	}
	return nil, fact.Evidence{}
}

func (t *tracker) byOrigin(mark Tracking) ([]*Object, fact.Evidence) {
	if (Origin{Repository: mark.Repository}).elsewhere(t.request.Repository) {
		t.missing = append(t.missing, fmt.Sprintf("its manifest is %s of %s, which is another repository", mark.Detail, mark.Repository))
		return nil, fact.Evidence{}
	}
	below := path.Clean("/" + strings.TrimLeft(mark.Detail, "./"))
	left := t.keep(func(o *Object) bool { return strings.HasSuffix("/"+o.Place.Path, below) })
	return left, fact.Evidence{Method: mark.Method, Source: mark.Mark, Strength: fact.Attested, Detail: mark.Detail}
}

// byRelease goes by Helm's own record of the release when it is known, else by the
// chart's label, else by the release's name.
func (t *tracker) byRelease(mark Tracking) ([]*Object, fact.Evidence) {
	of := func(o *Object) (name, version string) {
		if o.release == nil {
			return "", ""
		}
		return o.release.chartName, o.release.chartVersion
	}
	if record, ok := t.request.Live.Releases[mark.Namespace+"/"+mark.Name]; ok {
		left := t.keep(func(o *Object) bool { name, _ := of(o); return name == record.Chart })
		by := fact.Evidence{Method: "helm_record", Source: mark.Mark, Strength: fact.Attested, Detail: record.Chart + "-" + record.Version}
		if exact := slices.DeleteFunc(slices.Clone(left), func(o *Object) bool { _, version := of(o); return version != record.Version }); len(exact) > 0 {
			left = exact
		} else if len(left) > 0 {
			by.Strength = fact.Declared
			by.Detail += "; the repository holds another version of the chart"
		}
		if len(left) > 0 {
			t.record = &record
			return byValues(left, record, by)
		}
	}
	by := fact.Evidence{Method: mark.Method, Source: mark.Mark, Strength: fact.Declared, Detail: strings.TrimSpace(mark.Name + " " + mark.Detail)}
	if left := t.keep(func(o *Object) bool {
		name, version := of(o)
		return name != "" && mark.Detail == strings.ReplaceAll(name+"-"+version, "+", "_")
	}); len(left) > 0 {
		return left, by
	}
	by.Strength = fact.Derived
	if left := t.keep(func(o *Object) bool { name, _ := of(o); return name != "" && strings.HasPrefix(mark.Detail, name+"-") }); len(left) > 0 {
		by.Detail += ", of another version"
		return left, by
	}
	by.Strength = fact.Guess
	return t.keep(func(o *Object) bool { return o.release != nil && mark.Name != "" && o.release.Name == mark.Name }), by
}

// byValues keeps those whose values files give what the release was given, or what is
// nearest to it.
func byValues(candidates []*Object, record HelmRelease, by fact.Evidence) ([]*Object, fact.Evidence) {
	given := texts(record.given)
	best, least := []*Object(nil), -1
	for _, o := range candidates {
		here, apart := texts(o.release.overlay), 0
		for key, value := range given {
			if other, ok := here[key]; !ok || other != value {
				apart++
			}
		}
		for key := range here {
			if _, ok := given[key]; !ok {
				apart++
			}
		}
		switch {
		case least < 0 || apart < least:
			best, least = []*Object{o}, apart
		case apart == least:
			best = append(best, o)
		}
	}
	if least == 0 {
		by.Detail += "; the values files give what the release was given"
	} else if len(candidates) > 1 {
		by.Strength = fact.Derived
		by.Detail += fmt.Sprintf("; of its values files those are nearest, %d values apart", least)
	}
	return best, by
}

// texts gives the leaves of values by their paths.
func texts(n *Node) map[string]string {
	all := map[string]string{}
	for _, l := range leaves(n, nil, nil) {
		all[strings.Join(l.path, "\x00")] = l.node.Text
	}
	return all
}

// byContent compares with what was applied last: equal content is proof that the
// manifest is what was applied, unless several are equal.
func (t *tracker) byContent() ([]*Object, fact.Evidence) {
	const mark = "kubectl.kubernetes.io/last-applied-configuration"
	by := fact.Evidence{Method: "kubernetes_name", Source: "kind, namespace and name", Strength: fact.Guess}
	applied := t.live.Root.String("metadata", "annotations", mark)
	if applied == "" {
		return t.candidates, by
	}
	docs, _ := Documents("last-applied-configuration", []byte(applied))
	if len(docs) == 0 {
		return t.candidates, by
	}
	left := t.keep(func(o *Object) bool { return sameContent(o.Root, docs[0]) })
	places := map[Place]bool{}
	for _, o := range left {
		places[o.Place] = true
	}
	switch {
	case len(places) == 1:
		return left, fact.Evidence{Method: "last_applied", Source: mark, Strength: fact.Proven, Detail: "what was applied equals the manifest"}
	case len(places) > 1:
		return left, fact.Evidence{Method: "last_applied", Source: mark, Strength: fact.Declared, Detail: fmt.Sprintf("what was applied equals %d manifests alike", len(places))}
	}
	return t.candidates, fact.Evidence{Method: "last_applied", Source: mark, Strength: fact.Guess, Detail: "applied from a manifest that none here equals: it has changed since, or lies elsewhere"}
}

// sameContent says whether two objects are equal but for what kubectl itself adds,
// the namespace and its own annotations. Objects of a name alone prove nothing.
func sameContent(a, b *Node) bool {
	said := false
	for _, pair := range [][2]*Node{{a, b}, {b, a}} {
		for _, f := range pair[0].Fields {
			switch f.Key {
			case "apiVersion", "kind":
			case "status":
				continue
			case "metadata":
				for _, key := range []string{"labels", "annotations"} {
					if !sameEntries(f.Value.Entries(key), pair[1].Get("metadata", key)) {
						return false
					}
				}
				continue
			default:
				said = true
			}
			if !f.Value.same(pair[1].Get(f.Key)) {
				return false
			}
		}
	}
	return said
}

func sameEntries(fields []Field, other *Node) bool {
	for _, f := range fields {
		if !f.Value.same(other.Get(f.Key)) {
			return false
		}
	}
	return true
}
