package images

import (
	"context"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code"
	docker "github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/code/dockerfile/practice"
	"github.com/backstitch/backstitch/scan"
)

// Survey implements scan.Surveyor: the last stage of every Dockerfile. One whose base is
// not known from inside has no judgement.
func (s scanner) Survey(ctx context.Context, tree code.Tree) (scan.Survey, error) {
	names, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	survey := scan.Survey{}
	for _, name := range names {
		if !docker.Named(name) || slices.ContainsFunc(strings.Split(path.Dir(name), "/"), code.SkipFolder) {
			continue
		}
		data, err := tree.Read(ctx, name)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			continue
		}
		file, err := docker.Parse(name, data)
		if err != nil || len(file.Stages) == 0 {
			continue
		}
		last := len(file.Stages) - 1
		base, open := &file.Stages[file.Root(last)].Base, ""
		if !strings.EqualFold(base.Image, "scratch") {
			if len(base.Unknown) > 0 {
				open = "*"
			} else if _, known, err := s.inventories.Packages(ctx, base.Image); err != nil || !known {
				open = "*"
			}
		}
		survey.Add(practice.Object(name, file, last), open)
	}
	return survey, nil
}
