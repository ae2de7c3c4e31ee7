package cloudformation

import (
	"context"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/cloudformation"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/scan"
)

// Survey implements scan.Surveyor: the resources of all templates. A function in one
// leaves it without a judgement by any rule.
func (s scanner) Survey(ctx context.Context, tree code.Tree) (scan.Survey, error) {
	paths, err := tree.Paths(ctx)
	if err != nil {
		return nil, err
	}
	survey := scan.Survey{}
	for _, name := range paths {
		if !cloudformation.Named(name) {
			continue
		}
		data, err := tree.Read(ctx, name)
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if err != nil {
			continue
		}
		resources, _ := cloudformation.Resources(name, data)
		for i := range resources {
			open := ""
			if unknown, err := s.judge(&resources[i], func(fact.Finding) error { return nil }); err != nil || unknown {
				open = "*"
			}
			survey.Add(name+":"+resources[i].Address(), open)
		}
	}
	return survey, nil
}
