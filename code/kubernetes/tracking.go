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
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/code/git"
)

// Tracking says which tool brought a live object, as the object's own labels and
// annotations tell.
type Tracking struct {
	Method string // argocd_tracking, flux_kustomize, flux_helm, kustomize_origin, helm_release
	Mark   string // the label or annotation that says so
	// Kind, Namespace and Name of the object of the tool that tracks it: an
	// Application, a Kustomization, a HelmRelease; of a Helm release Kind is "Release".
	Kind, Namespace, Name string
	Detail                string // the chart's label, the origin's path
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
			all = append(all, Tracking{Method: "kustomize_origin", Mark: "config.kubernetes.io/origin", Detail: docs[0].String("path")})
		}
	}
	release, chart := note("meta.helm.sh/release-name"), label("helm.sh/chart")
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

// helmReleases gives the newest revision of each release among live objects, by
// "namespace/name", with a problem for each that cannot be read.
func helmReleases(live []*Object) (map[string]HelmRelease, []string) {
	all := map[string]HelmRelease{}
	var problems []string
	for _, o := range live {
		r, ok, err := ReadHelmRelease(o)
		if err != nil {
			problems = append(problems, err.Error())
		}
		if !ok || err != nil {
			continue
		}
		key := r.Namespace + "/" + r.Name
		if r.Newer(all[key]) {
			all[key] = r
		}
	}
	return all, problems
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
