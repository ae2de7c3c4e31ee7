package kubernetes

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/git"
)

// Options of Load.
type Options struct {
	// Renderer renders charts. Without one charts are gaps, as is each that does not
	// render.
	Renderer Renderer
	// Repository is the canonical identity of the repository, by which what
	// Applications and GitRepositories deploy from elsewhere is told apart; may be empty.
	Repository string
	// Names are what the repository is called, for images named after it: the last
	// part of its canonical remote, for example.
	Names []string
	// ObjectsOnly leaves out how images are built.
	ObjectsOnly bool
	// Only says which releases of charts are rendered; nil renders all.
	Only func(*Release) bool
	// Problem bounds; 0 takes the default.
	MaxReleases int
}

// Estate is everything that a repository says about Kubernetes.
type Estate struct {
	// Objects are those of plain manifests, of each outermost overlay and of each
	// chart with each environment's values, in the order of their places.
	Objects  []*Object
	Releases []*Release
	Overlays []string // outermost Kustomize folders
	Problems []Problem

	tree     code.Tree
	options  Options
	paths    []string
	files    map[string]bool
	problems []Problem
	builds   []Build
	names    []string
	titles   map[string][]string // of Dockerfiles, by their labels
}

func (e *Estate) problem(at Place, format string, args ...any) {
	if len(e.problems) < 1000 {
		e.problems = append(e.problems, Problem{at, fmt.Sprintf(format, args...)})
	}
}

// Load reads a tree. An error is one of the tree or the context; all else is a problem.
func Load(ctx context.Context, tree code.Tree, options Options) (*Estate, error) {
	paths, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	if options.MaxReleases == 0 {
		options.MaxReleases = 200
	}
	e := &Estate{tree: tree, options: options, paths: paths, files: map[string]bool{}}
	for _, p := range paths {
		e.files[p] = true
	}
	charts := e.charts()
	inChart := func(p string) bool {
		for _, c := range charts {
			if c == "." {
				if strings.HasPrefix(p, "templates/") || strings.HasPrefix(p, "charts/") || strings.HasPrefix(path.Base(p), "values") || p == "Chart.yaml" {
					return true
				}
			} else if strings.HasPrefix(p, c+"/") {
				return true
			}
		}
		return false
	}
	used := e.overlays(ctx, charts)
	var manifests []*Object
	for _, p := range paths {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if used[p] || inChart(p) || !manifestName(p) {
			continue
		}
		data, err := tree.Read(ctx, p)
		if err != nil {
			e.problem(Place{Path: p}, "cannot read: %v", err)
			continue
		}
		if !strings.Contains(string(data), "apiVersion") || !strings.Contains(string(data), "kind") {
			continue
		}
		objects, problems := Objects(p, data)
		e.problems = append(e.problems, problems...)
		manifests = append(manifests, objects...)
	}
	e.Objects = append(manifests, e.Objects...)
	e.charted(ctx, charts)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if !options.ObjectsOnly {
		e.readBuilds(ctx)
	}
	e.Problems = e.problems
	return e, nil
}

func manifestName(p string) bool {
	if slices.Contains(kustomizationNames, path.Base(p)) {
		return false
	}
	switch path.Ext(p) {
	case ".yaml", ".yml", ".json":
		return !strings.HasPrefix(p, ".github/workflows/") && path.Base(p) != "package-lock.json"
	}
	return false
}

// charts lists the folders of charts that are not the subchart of another.
func (e *Estate) charts() []string {
	var all []string
	for _, p := range e.paths {
		if path.Base(p) == "Chart.yaml" {
			all = append(all, path.Dir(p))
		}
	}
	return slices.DeleteFunc(slices.Clone(all), func(dir string) bool {
		return slices.ContainsFunc(all, func(other string) bool {
			return other != dir && (strings.HasPrefix(dir, other+"/charts/") || other == "." && strings.HasPrefix(dir, "charts/") && len(all) == 2)
		})
	})
}

// overlays builds the outermost overlays and gives the files that any names.
func (e *Estate) overlays(ctx context.Context, charts []string) map[string]bool {
	k := &kustomizer{ctx: ctx, tree: e.tree, files: e.files, used: map[string]bool{}}
	var dirs []string
	for _, p := range e.paths {
		if slices.Contains(kustomizationNames, path.Base(p)) && !slices.ContainsFunc(charts, func(c string) bool { return strings.HasPrefix(p, c+"/templates/") }) {
			dirs = append(dirs, path.Dir(p))
		}
	}
	built := map[string][]*Object{}
	component := map[string]bool{}
	for _, dir := range dirs {
		if docs, _ := documents(kustomizationIn(e.files, dir), e.bytes(ctx, kustomizationIn(e.files, dir)), 0, ""); len(docs) > 0 && docs[0].String("kind") == "Component" {
			component[dir] = true
			own := &kustomizer{ctx: ctx, tree: e.tree, files: e.files, used: k.used}
			built[dir] = own.unit(dir)
			continue
		}
		built[dir] = k.unit(dir)
	}
	for _, dir := range dirs {
		// What another overlay builds on is not deployed by itself, but for a
		// component's own objects that no overlay takes up.
		if k.used[dir] {
			continue
		}
		if !component[dir] {
			e.Overlays = append(e.Overlays, dir)
		}
		e.Objects = append(e.Objects, built[dir]...)
	}
	e.problems = append(e.problems, k.problems...)
	return k.used
}

func (e *Estate) bytes(ctx context.Context, name string) []byte {
	data, err := e.tree.Read(ctx, name)
	if err != nil {
		return nil
	}
	return data
}

// charted renders every chart: with its own values, with each values file beside
// them, and as Applications and HelmReleases say.
func (e *Estate) charted(ctx context.Context, charts []string) {
	var releases []*Release
	for _, dir := range charts {
		docs, _ := documents(path.Join(dir, "Chart.yaml"), e.bytes(ctx, path.Join(dir, "Chart.yaml")), 0, "chart")
		if len(docs) == 0 || docs[0].String("type") == "library" {
			continue
		}
		name := docs[0].String("name")
		releases = append(releases, &Release{Chart: dir, Name: name, Namespace: "default"})
		for _, p := range e.paths {
			base := path.Base(p)
			if path.Dir(p) == dir && base != "values.yaml" && strings.HasPrefix(base, "values") && (strings.HasSuffix(base, ".yaml") || strings.HasSuffix(base, ".yml")) {
				releases = append(releases, &Release{Chart: dir, Name: name, Namespace: "default", ValueFiles: []string{p}})
			}
		}
	}
	for _, o := range e.Objects {
		releases = append(releases, e.named(o, charts)...)
	}
	var open sessions
	defer open.close()
	for i := 0; i < len(releases); i++ {
		if ctx.Err() != nil {
			return
		}
		r := releases[i]
		if e.options.Only != nil && !e.options.Only(r) {
			continue
		}
		if i >= e.options.MaxReleases {
			e.problem(Place{Path: r.Chart}, "more than %d releases; the rest is left out", e.options.MaxReleases)
			return
		}
		if err := r.load(ctx, e); err != nil {
			e.problem(Place{Path: path.Join(r.Chart, "Chart.yaml")}, "chart: %v", err)
			continue
		}
		e.Releases = append(e.Releases, r)
		if e.options.Renderer == nil {
			e.problem(Place{Path: path.Join(r.Chart, "Chart.yaml")}, "the chart is not rendered: no renderer")
			continue
		}
		objects, err := r.render(ctx, e, &open)
		if err != nil {
			e.problem(Place{Path: path.Join(r.Chart, "Chart.yaml")}, "does not render as %s: %v", r.Label(), short(err.Error(), 300))
			continue
		}
		e.Objects = append(e.Objects, objects...)
		for _, o := range objects {
			releases = append(releases, e.named(o, charts)...)
		}
	}
}

// named gives the releases that an Argo CD Application or a Flux HelmRelease asks for.
func (e *Estate) named(o *Object, charts []string) []*Release {
	var out []*Release
	add := func(chart, name string, source *Node, files []*Node, inline ...*Node) {
		chart = code.CleanPath(strings.TrimPrefix(chart, "./"))
		if chart == "" || !slices.Contains(charts, chart) {
			return
		}
		at := o.Place
		r := &Release{Chart: chart, Name: name, Namespace: o.Root.String("spec", "destination", "namespace"), From: &at}
		if r.Namespace == "" {
			r.Namespace = "default"
		}
		for _, f := range files {
			at := path.Join(chart, f.Text)
			if rest, ok := strings.CutPrefix(f.Text, "$"); ok {
				_, at, _ = strings.Cut(rest, "/")
			}
			if e.files[at] {
				r.ValueFiles = append(r.ValueFiles, at)
			} else {
				e.problem(f.Place, "values file %q is not in the repository", f.Text)
			}
		}
		for _, n := range inline {
			if n == nil {
				continue
			}
			if n.Shape == Map {
				r.inline = append(r.inline, n)
				continue
			}
			offset := n.Place.Line
			docs, _ := documents(n.Place.Path, []byte(n.Text), offset, "values")
			if len(docs) > 0 && docs[0].Shape == Map {
				r.inline = append(r.inline, docs[0])
			}
		}
		for _, p := range source.List("helm", "parameters") {
			if value := p.Get("value"); value != nil {
				keys := strings.Split(p.String("name"), ".")
				n := &Node{Shape: Map, Place: p.Place, By: "values"}
				at := n
				for _, key := range keys[:len(keys)-1] {
					at = child(at, key)
				}
				at.set(keys[len(keys)-1], value)
				r.inline = append(r.inline, n)
			}
		}
		out = append(out, r)
	}
	switch {
	case o.Kind == "Application" && o.Group() == "argoproj.io":
		for _, source := range append(o.Root.List("spec", "sources"), o.Root.Get("spec", "source")) {
			if source == nil {
				continue
			}
			if (Origin{Repository: git.Canonical(source.String("repoURL"))}).elsewhere(e.options.Repository) {
				continue
			}
			name := source.String("helm", "releaseName")
			if name == "" {
				name = o.Name
			}
			add(source.String("path"), name, source, source.List("helm", "valueFiles"), source.Get("helm", "values"), source.Get("helm", "valuesObject"))
		}
	case o.Kind == "HelmRelease":
		name := o.Root.String("spec", "releaseName")
		if name == "" {
			name = o.Name
		}
		spec := o.Root.Get("spec", "chart", "spec")
		if kind := spec.String("sourceRef", "kind"); (kind == "GitRepository" || kind == "") && !o.ofFlux(spec.Get("sourceRef"), e.Objects).elsewhere(e.options.Repository) {
			add(spec.String("chart"), name, nil, nil, o.Root.Get("spec", "values"))
		}
	}
	return out
}

// Workloads lists the objects that run containers.
func (e *Estate) Workloads() []*Object {
	var all []*Object
	for _, o := range e.Objects {
		if spec, _ := o.podSpec(); spec != nil && len(o.Containers()) > 0 {
			all = append(all, o)
		}
	}
	return all
}
