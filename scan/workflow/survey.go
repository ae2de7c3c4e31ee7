package workflow

import (
	"context"
	"fmt"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/scan"
)

// Survey implements scan.Surveyor: workflows, their jobs and steps.
func (scanner) Survey(ctx context.Context, tree code.Tree) (scan.Survey, error) {
	paths, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	survey := scan.Survey{}
	for _, name := range paths {
		if !Named(name) {
			continue
		}
		data, err := tree.Read(ctx, name)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			continue
		}
		docs, _ := kubernetes.Documents(name, data)
		if len(docs) == 0 {
			continue
		}
		for n, job := range docs[0].Entries("jobs") {
			if n == 0 {
				survey.Add(name, "")
			}
			survey.Add(name+"#jobs."+job.Key, "")
			for i := range job.Value.List("steps") {
				survey.Add(fmt.Sprintf("%s#jobs.%s.steps[%d]", name, job.Key, i), "")
			}
		}
	}
	return survey, nil
}
