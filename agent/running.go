package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/backstitch/backstitch/cause"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/image"
	"github.com/backstitch/backstitch/image/attestation"
)

// reportsSource is the name of the source in the graph that reports speak as.
const reportsSource = "reports"

// tellImages puts the images of a report into the graph, each as scopes of its own:
// what it is called, and its configuration when the report holds it. A configuration
// that cannot be read is a problem.
func (d *Desk) tellImages(ctx context.Context, assets []fact.Asset, images []fact.ImageConfig) (problems []string, err error) {
	assets = slices.DeleteFunc(slices.Clone(assets), func(a fact.Asset) bool { return a.Kind != fact.AssetImage })
	if len(assets)+len(images) == 0 {
		return nil, nil
	}
	run, err := d.Graph.Begin(ctx, reportsSource, d.Now(), false)
	if err != nil {
		return nil, err
	}
	for _, a := range assets {
		scope := "image " + a.Key
		err = run.Node(scope, fact.Node{Asset: a})
		if a.Name != "" && a.Name != a.Key {
			err = errors.Join(err, run.Relation(scope, fact.Relation{
				From: fact.Asset{Kind: fact.AssetImage, Key: a.Name, Name: a.Name}, Kind: fact.InstanceOf, To: a, Properties: map[string]string{"as": "tag"},
				Evidence: fact.Evidence{Method: "scanned by this name", Source: reportsSource, Strength: fact.Declared},
			}))
		}
		if err = errors.Join(err, run.Covered(scope)); err != nil {
			run.Abort()
			return problems, fmt.Errorf("image %s: %w", a.Name, err)
		}
	}
	for _, told := range images {
		one, err := image.FromConfig(told.Asset, told.JSON)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		scope := "configuration " + told.Asset.Key
		nodes, relations := image.Facts(told.Asset, one)
		for _, node := range nodes {
			err = errors.Join(err, run.Node(scope, node))
		}
		for _, relation := range relations {
			err = errors.Join(err, run.Relation(scope, relation))
		}
		if err = errors.Join(err, run.Covered(scope)); err != nil {
			run.Abort()
			return problems, fmt.Errorf("image %s: %w", told.Asset.Name, err)
		}
	}
	_, err = run.Finish(ctx)
	return problems, err
}

// runs gives what is known of what runs: the graph, and the images that the request
// names. close releases them.
func (d *Desk) runs(ctx context.Context, s *scene, references []string) (known cause.Running, close func() error, err error) {
	known = cause.Running{Graph: d.Graph, Renderer: d.Renderer, Provenance: map[string][]image.Provenance{}, Packages: map[string][]fact.Package{}}
	for i := range s.findings {
		if f := &s.findings[i].Finding; f.Asset.Kind == fact.AssetImage && f.Package.Name != "" {
			key := f.Asset.Kind + ":" + f.Asset.Key
			known.Packages[key] = append(known.Packages[key], f.Package)
		}
	}
	var sets []*image.Set
	close = func() error {
		var err error
		for _, set := range sets {
			err = errors.Join(err, set.Close())
		}
		return err
	}
	bases, err := image.LoadBases(filepath.Join(d.Cache, "bases"))
	if err != nil {
		return known, close, err
	}
	known.Bases = bases
	if len(references) == 0 {
		return known, close, nil
	}
	if known.Cache, err = image.OpenCache(filepath.Join(d.Cache, "layers"), image.CacheLimit); err != nil {
		return known, close, err
	}
	for i, reference := range references {
		d.Progress("opening images", i, len(references))
		set, err := image.Open(ctx, reference)
		if err != nil {
			return known, close, err
		}
		sets = append(sets, set)
		known.Images = append(known.Images, set.Images...)
		for _, one := range set.Images {
			beside, err := attestation.Gather(ctx, one, nil, attestation.Policy{})
			if err != nil {
				return known, close, fmt.Errorf("attestations of %s: %w", reference, err)
			}
			if one.Digest != "" && len(beside.Provenance) > 0 {
				known.Provenance[one.Digest] = beside.Provenance
			}
		}
	}
	d.Progress("reading the contents that files had", 0, 0)
	known.Repository, err = image.ReadRepository(ctx, s.repository, s.commit)
	return known, close, err
}

// link leads what the graph knows to run to the repository of the tracer, so that
// ways lead on to its lines and owners.
func (d *Desk) link(ctx context.Context, tracer *cause.Tracer, result *Triage) error {
	index, err := d.Graph.Index(ctx)
	if err != nil {
		return err
	}
	if assets, _ := index.Len(); assets == 0 {
		return nil
	}
	d.Progress("leading what runs to the repository", 0, 0)
	run, err := d.Graph.Begin(ctx, "code "+tracer.Repository, d.Now(), false)
	if err != nil {
		return err
	}
	more, err := tracer.Link(ctx, func(scope string, relation fact.Relation) error { return run.Relation(scope, relation) })
	for _, text := range more {
		result.problem(text)
	}
	for _, scope := range []string{cause.LinkImages, cause.LinkObjects, cause.LinkResources} {
		if err == nil {
			err = run.Covered(scope)
		}
	}
	if err != nil {
		run.Abort()
		return err
	}
	_, err = run.Finish(ctx)
	return err
}
