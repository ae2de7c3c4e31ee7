package cause

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/git"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/graph"
)

// Scopes of what Link tells.
const (
	LinkImages    = "images"
	LinkObjects   = "objects"
	LinkResources = "resources"
)

// sourceLabel names the repository of an image, by the OCI image specification.
const sourceLabel = "label:org.opencontainers.image.source"

// Link leads what runs, as the graph knows it, to this repository: images to the
// repository and the Dockerfile that they are built from, Kubernetes objects to their
// manifests and Terraform resources to their blocks. What is not led is left out; a
// tie is none. told takes each relation with its scope; more says that the graph
// holds more of a kind than was looked at.
func (t *Tracer) Link(ctx context.Context, told func(scope string, relation fact.Relation) error) (more []string, err error) {
	for _, one := range []struct {
		scope, pattern string
		link           func(ctx context.Context, asset fact.Asset, told func(fact.Relation) error) error
	}{
		{LinkImages, "image", t.linkImage},
		{LinkObjects, "workload|kubernetes_object", t.linkObject},
		{LinkResources, fmt.Sprintf("terraform_resource[key~%q]", likeText(t.Repository)+"//*"), t.linkResource},
	} {
		pattern, err := graph.ParsePattern(one.pattern)
		if err != nil {
			return nil, err
		}
		answer, err := t.Running.Graph.Query(ctx, pattern, graph.QueryOptions{Limit: maxLinked})
		if err != nil {
			return nil, fmt.Errorf("%s of the graph: %w", one.scope, err)
		}
		if answer.More {
			more = append(more, fmt.Sprintf("the graph holds more than %d %s; the others are not led to this repository", maxLinked, one.scope))
		}
		for _, row := range answer.Rows {
			if err := one.link(ctx, row[0], func(r fact.Relation) error { return told(one.scope, r) }); err != nil {
				return nil, err
			}
		}
	}
	return more, nil
}

const maxLinked = 10_000

// likeText keeps the letters of a text from being taken for wildcards.
func likeText(text string) string { return strings.NewReplacer("*", "?").Replace(text) }

func (t *Tracer) home() fact.Asset {
	return fact.Asset{Kind: fact.AssetRepository, Key: t.Repository, Name: t.Repository}
}

// inside is a file or Dockerfile of the repository.
func (t *Tracer) inside(kind, name string) fact.Asset {
	return fact.Asset{Kind: kind, Key: t.Repository + "//" + name, Name: name}
}

func (t *Tracer) linkImage(ctx context.Context, asset fact.Asset, told func(fact.Relation) error) error {
	source, err := t.builds(ctx, asset)
	if err != nil {
		return err
	}
	if len(source.Builds) == 1 {
		b := source.Builds[0]
		link := t.built(asset, b)
		at := link.Location
		if err := told(fact.Relation{From: asset, Kind: fact.PackagedFrom, To: t.home(), Evidence: link.Evidence, Location: &at, Properties: map[string]string{"folder": b.Folder}}); err != nil {
			return err
		}
		if b.Dockerfile == "" {
			return nil
		}
		file := t.inside(fact.AssetDockerfile, b.Dockerfile)
		if err := told(fact.Relation{From: asset, Kind: fact.CreatedBy, To: file, Evidence: link.Evidence, Location: &at}); err != nil {
			return err
		}
		return told(fact.Relation{From: file, Kind: fact.PartOf, To: t.home(), Evidence: fact.Evidence{Method: "path", Source: b.Dockerfile, Strength: fact.Proven}})
	}
	properties, err := t.properties(ctx, asset)
	if err != nil {
		return err
	}
	if label := properties[sourceLabel]; label != "" && git.Canonical(label) == t.Repository {
		evidence := fact.Evidence{Method: "image label", Source: strings.TrimPrefix(sourceLabel, "label:"), Strength: fact.Declared, Detail: label}
		return told(fact.Relation{From: asset, Kind: fact.PackagedFrom, To: t.home(), Evidence: evidence})
	}
	return nil
}

func (t *Tracer) linkObject(ctx context.Context, asset fact.Asset, told func(fact.Relation) error) error {
	namespace, kind, name, ok := kubernetes.ObjectKey(asset.Key)
	if !ok {
		return nil
	}
	rendered, err := t.mentions(ctx, name)
	if err != nil {
		return err
	}
	estate, err := t.estate(ctx, rendered)
	if err != nil {
		return err
	}
	var declared []*kubernetes.Object
	for _, o := range estate.Objects {
		if o.Name == name && strings.EqualFold(o.Kind, kind) && (o.Namespace == "" || namespace == "" || o.Namespace == namespace) {
			declared = append(declared, o)
		}
	}
	slices.SortStableFunc(declared, func(a, b *kubernetes.Object) int { return cmp.Compare(a.Place.Path, b.Place.Path) })
	declared = slices.CompactFunc(declared, func(a, b *kubernetes.Object) bool { return a.Place == b.Place })
	if len(declared) != 1 {
		return nil
	}
	o := declared[0]
	evidence := fact.Evidence{Method: "kind and name", Source: o.Place.Path, Strength: fact.Guess}
	if o.Namespace != "" && o.Namespace == namespace {
		evidence.Method, evidence.Strength = "kind, namespace and name", fact.Derived
	}
	return t.declared(asset, o.Place.Path, o.Place.Line, o.Place.EndLine, evidence, told)
}

func (t *Tracer) linkResource(ctx context.Context, asset fact.Asset, told func(fact.Relation) error) error {
	root, text, ok := t.terraformKey(asset.Key)
	if !ok {
		return nil
	}
	address, _, err := terraform.ParseAddress(text)
	if err != nil {
		return nil // the key of another source's making
	}
	roots, err := t.terraformRoots(ctx)
	if err != nil {
		return err
	}
	for _, c := range roots {
		if c.Dir != root {
			continue
		}
		declaration, _, found := c.Locate(address)
		if !found {
			continue
		}
		place := declaration.Place
		return t.declared(asset, place.Path, place.Line, place.EndLine, fact.Evidence{Method: "address", Source: place.Path, Strength: fact.Attested, Detail: text}, told)
	}
	return nil
}

// declared tells the file and line that something is declared at.
func (t *Tracer) declared(asset fact.Asset, name string, line, end int, evidence fact.Evidence, told func(fact.Relation) error) error {
	at := t.at(name, line, end)
	file := t.inside(fact.AssetFile, name)
	if err := told(fact.Relation{From: asset, Kind: fact.DeclaredAt, To: file, Evidence: evidence, Location: &at}); err != nil {
		return err
	}
	return told(fact.Relation{From: file, Kind: fact.PartOf, To: t.home(), Evidence: fact.Evidence{Method: "path", Source: name, Strength: fact.Proven}})
}
