package agent

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/backstitch/backstitch/cause"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/image"
)

// reportsSource is the name of the source in the graph that reports speak as.
const reportsSource = "reports"

// tellImages puts the configurations of scanned images into the graph, each as a
// scope of its own. One that cannot be read is a problem.
func (d *Desk) tellImages(ctx context.Context, images []fact.ImageConfig) (problems []string, err error) {
	if len(images) == 0 {
		return nil, nil
	}
	run, err := d.Graph.Begin(ctx, reportsSource, d.Now(), false)
	if err != nil {
		return nil, err
	}
	for _, told := range images {
		one, err := image.FromConfig(told.Asset, told.JSON)
		if err != nil {
			problems = append(problems, err.Error())
			continue
		}
		nodes, relations := image.Facts(told.Asset, one)
		for _, node := range nodes {
			err = errors.Join(err, run.Node(told.Asset.Key, node))
		}
		for _, relation := range relations {
			err = errors.Join(err, run.Relation(told.Asset.Key, relation))
		}
		if err = errors.Join(err, run.Covered(told.Asset.Key)); err != nil {
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
	known = cause.Running{Graph: d.Graph, Renderer: d.Renderer}
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
	}
	d.Progress("reading the contents that files had", 0, 0)
	known.Repository, err = image.ReadRepository(ctx, s.repository, s.commit)
	return known, close, err
}
