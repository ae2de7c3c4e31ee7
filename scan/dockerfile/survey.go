package dockerfile

import (
	"context"
	"strings"

	"github.com/backstitch/backstitch/code"
	docker "github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/code/dockerfile/practice"
	"github.com/backstitch/backstitch/scan"
)

// Survey implements scan.Surveyor: the stages of all Dockerfiles that are judged. What is
// asked of the image is judged by the last one only, and its account only where it stands
// in the text.
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
		last := len(file.Stages) - 1
		for stage := range file.Stages {
			object := practice.Object(name, file, stage)
			survey.Add(object, "")
			if stage < last {
				survey.Add(object, "dockerfile/root-user")
				survey.Add(object, "dockerfile/healthcheck")
				continue
			}
			user := ""
			for _, link := range file.Chain(stage) {
				if link.Instruction.Kind == "USER" {
					user = link.Instruction.Text
				}
			}
			if strings.Contains(user, "$") {
				survey.Add(object, "dockerfile/root-user")
			}
		}
	}
	return survey, nil
}
