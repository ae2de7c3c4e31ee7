package issue

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
)

// Surroundings tell where assets stand in the graph: from where what runs them can be
// reached, what it may do, and what it is used for. It belongs to one goroutine.
type Surroundings struct {
	graph   *graph.Graph
	any     bool // the graph holds something
	exposes map[string]bool
	known   map[string]Situation // by kind and key

	// objects are the keys of workloads and objects by namespace, kind and name;
	// read when a finding names one without its cluster.
	objects map[string][]string
	images  map[string][]fact.Asset // by name, read when one is asked for
}

// NewSurroundings prepares them; a graph of nil or without assets tells nothing.
func NewSurroundings(ctx context.Context, g *graph.Graph) (*Surroundings, error) {
	s := &Surroundings{graph: g, exposes: map[string]bool{}, known: map[string]Situation{}}
	if g == nil {
		return s, nil
	}
	index, err := g.Index(ctx)
	if err != nil {
		return nil, err
	}
	assets, _ := index.Len()
	s.any = assets > 0
	if !s.any {
		return s, nil
	}
	outside, err := g.Asset(ctx, fact.AssetInternet, fact.AssetInternet, time.Time{})
	if err != nil && !errors.Is(err, graph.ErrNotFound) {
		return nil, err
	}
	for _, edge := range outside.Out {
		for _, witness := range edge.Evidence {
			s.exposes[witness.By] = true
		}
	}
	return s, nil
}

// lead are the relations from what has a flaw to what runs it: a package in a layer
// of an image, which was packaged from a repository and which workloads run.
var lead = []graph.Follow{
	{Kind: fact.InstalledIn, Way: graph.Forward}, {Kind: fact.HasLayer, Way: graph.Backward}, {Kind: fact.PackagedFrom, Way: graph.Backward},
	{Kind: fact.InstanceOf, Way: graph.Backward}, {Kind: fact.DeclaredBy, Way: graph.Backward}, {Kind: fact.Controls, Way: graph.Both},
}

// alike are the kinds of assets that one key may name.
var alike = []string{fact.AssetWorkload, fact.AssetResource, fact.AssetKubernetes, fact.AssetIdentity}

// Of joins the situations of assets to the worst of each.
func (s *Surroundings) Of(ctx context.Context, assets []fact.Asset) (Situation, error) {
	worst := Situation{}
	if !s.any {
		return worst, nil
	}
	for _, a := range assets[:min(len(assets), maxAssets)] {
		key := a.Kind + ":" + a.Key
		one, ok := s.known[key]
		if !ok {
			var err error
			if one, err = s.of(ctx, a); err != nil {
				return worst, err
			}
			s.known[key] = one
		}
		worst.join(one)
	}
	return worst, nil
}

// Bounds of what is looked at.
const (
	maxAssets    = 200 // of an issue
	maxWorkloads = 30  // that run an asset
)

// rankIn gives the place of a word in a list, worst first; what is not in it comes last.
func rankIn[T comparable](list []T, word T) int {
	if at := slices.Index(list, word); at >= 0 {
		return at
	}
	return len(list)
}

var (
	exposures    = []Exposure{ExposureInternet, ExposureInternal, ExposureNone}
	privileges   = []Privileges{PrivilegesAdmin, PrivilegesWide, PrivilegesLimited}
	environments = []Environment{EnvironmentProduction, EnvironmentStaging, EnvironmentDevelopment}
	impacts      = []Impact{ImpactHigh, ImpactMedium, ImpactLow}
)

// join takes of each part the worse one.
func (s *Situation) join(other Situation) {
	if rankIn(exposures, other.Exposure) < rankIn(exposures, s.Exposure) {
		s.Exposure, s.Why.Exposure = other.Exposure, other.Why.Exposure
	}
	if rankIn(privileges, other.Privileges) < rankIn(privileges, s.Privileges) {
		s.Privileges, s.Why.Privileges = other.Privileges, other.Why.Privileges
	}
	if rankIn(environments, other.Environment) < rankIn(environments, s.Environment) {
		s.Environment, s.Why.Environment = other.Environment, other.Why.Environment
	}
	if rankIn(impacts, other.Impact) < rankIn(impacts, s.Impact) {
		s.Impact, s.Why.Impact = other.Impact, other.Why.Impact
	}
}

// nearest gives ways to the nearest assets of kinds; none when the graph does not
// hold the asset.
func (s *Surroundings) nearest(ctx context.Context, from fact.Asset, follow []graph.Follow, kinds ...string) ([]graph.Path, error) {
	ways, err := s.graph.Nearest(ctx, from, kinds, graph.PathOptions{Follow: follow, Limit: maxWorkloads})
	if errors.Is(err, graph.ErrNotFound) || errors.Is(err, graph.ErrTooWide) {
		return nil, nil
	}
	return ways.Paths, err
}

func (s *Surroundings) of(ctx context.Context, a fact.Asset) (Situation, error) {
	all := Situation{}
	seen := map[string]bool{}
	a, err := s.standing(ctx, a)
	if err != nil {
		return all, err
	}
	around := []fact.Asset{a}
	if a.Kind == fact.AssetImage {
		same, err := s.calledAlike(ctx, a)
		if err != nil {
			return all, err
		}
		around = append(around, same...)
	}
	if slices.Contains(alike, a.Kind) {
		for _, kind := range alike {
			if kind != a.Kind {
				around = append(around, fact.Asset{Kind: kind, Key: a.Key})
			}
		}
	}
	for _, from := range around {
		ways, err := s.nearest(ctx, from, lead, fact.AssetWorkload)
		if err != nil {
			return all, err
		}
		places := []fact.Asset{from}
		for _, way := range ways {
			runs := way.Assets[len(way.Assets)-1]
			for _, kind := range alike {
				places = append(places, fact.Asset{Kind: kind, Key: runs.Key, Name: runs.Name})
			}
		}
		for _, place := range places {
			if key := place.Kind + ":" + place.Key; !seen[key] {
				seen[key] = true
				one, err := s.place(ctx, place)
				if err != nil {
					return all, err
				}
				all.join(one)
			}
		}
	}
	return all, nil
}

// standing gives the object of the graph that a finding means whose detector does
// not know the cluster, or names a pod or ReplicaSet instead of its controller: the
// one that there is in the namespace. The asset itself when there is none, or more.
func (s *Surroundings) standing(ctx context.Context, a fact.Asset) (fact.Asset, error) {
	namespace, kind, name, ok := kubernetes.ObjectKey(a.Key)
	if !ok || a.Kind != fact.AssetKubernetes && a.Kind != fact.AssetWorkload {
		return a, nil
	}
	if s.objects == nil {
		s.objects = map[string][]string{}
		err := s.graph.List(ctx, []string{fact.AssetWorkload, fact.AssetKubernetes}, func(one graph.Listed) error {
			// A key without a cluster is only what a detector called it.
			if namespace, kind, name, ok := kubernetes.ObjectKey(one.Asset.Key); ok && strings.Count(one.Asset.Key, "/") > 2 {
				at := namespace + "/" + kind + "/" + name
				if !slices.Contains(s.objects[at], one.Asset.Key) {
					s.objects[at] = append(s.objects[at], one.Asset.Key)
				}
			}
			return nil
		})
		if err != nil {
			return a, err
		}
	}
	keys := s.objects[namespace+"/"+kind+"/"+name]
	// What the name says to control it is what else is known of; ReplicaSets and jobs
	// have controllers of their own.
	var control, between []string
	for _, c := range kubernetes.Controllers(kind, name) {
		found := s.objects[namespace+"/"+c.Kind+"/"+c.Name]
		if c.Kind == "ReplicaSet" || c.Kind == "Job" {
			between = append(between, found...)
		} else {
			control = append(control, found...)
		}
	}
	switch {
	case len(control) > 0:
		keys = control
	case slices.Contains(keys, a.Key):
		return a, nil
	case len(keys) == 0:
		keys = between
	}
	// A detector that knows the cluster means no other.
	keys = slices.DeleteFunc(slices.Clone(keys), func(key string) bool {
		named := strings.TrimSuffix(strings.Join(strings.Split(a.Key, "/")[:max(0, strings.Count(a.Key, "/")-2)], "/"), "/")
		return named != "" && !strings.HasPrefix(key, named+"/")
	})
	if len(keys) != 1 {
		return a, nil
	}
	return fact.Asset{Kind: a.Kind, Key: keys[0], Name: a.Name}, nil
}

// calledAlike are the images of the graph with the name of an image, which other
// sources know by another digest: that of the configuration, or of an index.
func (s *Surroundings) calledAlike(ctx context.Context, a fact.Asset) ([]fact.Asset, error) {
	if ref, ok := kubernetes.ParseReference(a.Name); !ok || ref.Tag == "" {
		return nil, nil
	}
	if s.images == nil {
		s.images = map[string][]fact.Asset{}
		err := s.graph.List(ctx, []string{fact.AssetImage}, func(one graph.Listed) error {
			s.images[one.Asset.Name] = append(s.images[one.Asset.Name], one.Asset)
			return nil
		})
		if err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(slices.Clone(s.images[a.Name]), func(b fact.Asset) bool { return b.Key == a.Key }), nil
}

// place is the situation of one asset by itself.
func (s *Surroundings) place(ctx context.Context, a fact.Asset) (Situation, error) {
	found := Situation{}
	view, err := s.graph.Asset(ctx, a.Kind, a.Key, time.Time{})
	if errors.Is(err, graph.ErrNotFound) {
		return found, nil
	}
	if err != nil {
		return found, err
	}
	ways, err := s.nearest(ctx, a, []graph.Follow{{Kind: fact.Exposes, Way: graph.Backward}, {Kind: fact.Controls, Way: graph.Both}}, fact.AssetInternet)
	if err == nil && len(ways) == 0 && addressed(view.Properties) {
		// A group that is open to the world is a way in where there is an address.
		ways, err = s.nearest(ctx, a, []graph.Follow{{Kind: fact.Exposes, Way: graph.Backward}, {Kind: fact.Guards, Way: graph.Backward}}, fact.AssetInternet)
	}
	if err != nil {
		return found, err
	}
	switch {
	case len(ways) > 0:
		found.Exposure, found.Why.Exposure = ExposureInternet, wayText(ways[0])
	case slices.ContainsFunc(view.In, func(n graph.Neighbour) bool { return n.Kind == fact.Exposes }):
		found.Exposure = ExposureInternal
	case a.Kind == fact.AssetWorkload && slices.ContainsFunc(view.Said, func(said graph.Said) bool { return s.exposes[said.By] }):
		found.Exposure, found.Why.Exposure = ExposureNone, "its source tells what is exposed, and tells nothing that leads here"
	}
	ways, err = s.nearest(ctx, a, []graph.Follow{{Kind: fact.PartOf, Way: graph.Forward}}, fact.AssetProject)
	if err != nil {
		return found, err
	}
	for _, way := range ways {
		project := way.Assets[len(way.Assets)-1]
		about, err := s.graph.Asset(ctx, project.Kind, project.Key, time.Time{})
		if err != nil {
			return found, err
		}
		why := "project " + cmp.Or(project.Name, project.Key)
		one := Situation{Environment: environmentOf(about.Properties["environment"]), Impact: impactOf(about.Properties["impact"])}
		one.Why.Environment, one.Why.Impact = why, why
		found.join(one)
	}
	if found.Environment == "" {
		found.Environment, found.Why.Environment = tagged(view)
	}
	return found, s.identities(ctx, view, &found)
}

// addressed says whether a cloud resource has an address on the internet, by the
// words of connectors.
func addressed(properties map[string]string) bool {
	ip := properties["public_ip"]
	return ip != "" && ip != "DISABLED" || properties["publicly_accessible"] == "true"
}

// identities looks at what an asset runs as, and at what that may become.
func (s *Surroundings) identities(ctx context.Context, view graph.View, found *Situation) error {
	type step struct {
		asset fact.Asset
		way   string
	}
	queue := []step{}
	push := func(v graph.View, way string, kinds ...fact.RelationKind) {
		for _, edge := range v.Out {
			if slices.Contains(kinds, edge.Kind) && len(queue) < maxWorkloads {
				queue = append(queue, step{edge.Asset, way + string(edge.Kind) + " " + cmp.Or(edge.Asset.Name, edge.Asset.Key)})
			}
		}
	}
	push(view, "", fact.RunsAs)
	seen := map[string]bool{}
	for i := 0; i < len(queue); i++ {
		if key := queue[i].asset.Kind + ":" + queue[i].asset.Key; seen[key] {
			continue
		} else {
			seen[key] = true
		}
		identity, err := s.graph.Asset(ctx, queue[i].asset.Kind, queue[i].asset.Key, time.Time{})
		if errors.Is(err, graph.ErrNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		one := Situation{Privileges: privilegesOf(identity.Properties["privileges"])}
		one.Why.Privileges = queue[i].way
		found.join(one)
		push(identity, queue[i].way+", ", fact.RunsAs, fact.CanAssume)
	}
	return nil
}

// wayText writes a way from outside inwards.
func wayText(way graph.Path) string {
	var names []string
	for _, a := range slices.Backward(way.Assets) {
		names = append(names, cmp.Or(a.Name, a.Key))
	}
	return fmt.Sprintf("%s (%s)", strings.Join(names, " > "), way.Strength)
}

// privilegesOf reads the words of connectors: read, write, privileged and admin.
func privilegesOf(word string) Privileges {
	switch word {
	case "admin":
		return PrivilegesAdmin
	case "privileged":
		return PrivilegesWide
	case "write", "read", "none":
		return PrivilegesLimited
	}
	return ""
}

func impactOf(word string) Impact {
	switch word {
	case "critical", "high":
		return ImpactHigh
	case "medium":
		return ImpactMedium
	case "low":
		return ImpactLow
	}
	return ""
}

// words of environments, as they are written in tags, namespaces and names.
var words = map[string]Environment{
	"production": EnvironmentProduction, "prod": EnvironmentProduction, "prd": EnvironmentProduction, "live": EnvironmentProduction,
	"staging": EnvironmentStaging, "stage": EnvironmentStaging, "stg": EnvironmentStaging, "preprod": EnvironmentStaging, "uat": EnvironmentStaging, "qa": EnvironmentStaging,
	"development": EnvironmentDevelopment, "dev": EnvironmentDevelopment, "test": EnvironmentDevelopment, "testing": EnvironmentDevelopment, "sandbox": EnvironmentDevelopment,
}

// environmentOf reads an environment, as a word of its own or one of a name.
func environmentOf(text string) Environment {
	text = strings.ToLower(text)
	if found := words[text]; found != "" {
		return found
	}
	for word := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '-' || r == '_' || r == '.' || r == '/' || r == ' ' }) {
		if found := words[word]; found != "" {
			return found
		}
	}
	return ""
}

// tagged reads an asset's environment from its tags and labels, then from the
// namespace that it stands in.
func tagged(view graph.View) (Environment, string) {
	for _, name := range slices.Sorted(maps.Keys(view.Properties)) {
		prefix, tag, ok := strings.Cut(name, ":")
		if !ok || prefix != "tag" && prefix != "label" {
			continue
		}
		switch strings.ToLower(tag[strings.LastIndexByte(tag, '/')+1:]) {
		case "environment", "env", "stage", "tier":
			if found := environmentOf(view.Properties[name]); found != "" {
				return found, name + "=" + view.Properties[name]
			}
		}
	}
	if namespace := view.Properties["namespace"]; namespace != "" {
		if found := environmentOf(namespace); found != "" {
			return found, "namespace " + namespace
		}
	}
	return "", ""
}
