package dockerfile

import (
	"context"

	"github.com/backstitch/backstitch/code"
	docker "github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/code/dockerfile/practice"
	"github.com/backstitch/backstitch/scan"
)

// Survey implements scan.Surveyor: the stages of all Dockerfiles that are judged.
func (scanner) Survey(ctx context.Context, tree code.Tree) (scan.Survey, error) {
	names, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	survey := scan.Survey{}
	for _, name := range names {
		if !docker.Named(name) || installed(name) {
			continue
		}
		data, err := tree.Read(ctx, name)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil || template.Match(data) {
			continue
		}
		file, err := docker.Parse(name, data)
		if err != nil {
			continue
		}
		for stage := range file.Stages {
			survey.Add(practice.Object(name, file, stage), "")
		}
	}
	return survey, nil
}
