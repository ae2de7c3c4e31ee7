package terraform

import (
	"context"
	"errors"
	"io/fs"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/scan"
)

// Survey implements scan.Surveyor: the instances of every configuration, with the rules
// whose judgement needs a value that the text does not give.
func (s scanner) Survey(ctx context.Context, tree code.Tree) (scan.Survey, error) {
	roots, err := terraform.Roots(ctx, tree)
	if err != nil {
		return nil, err
	}
	all := scan.Survey{}
	for _, dir := range roots {
		c, err := terraform.Load(ctx, tree, dir, terraform.Options{})
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		e := survey(c)
		for _, subjects := range e.byKind {
			for i := range subjects {
				all.Add(Object(dir, subjects[i].address), "")
			}
		}
		for _, r := range s.rules {
			for _, kind := range r.Kinds {
				for i := range e.byKind[kind] {
					if ctx.Err() != nil {
						return nil, ctx.Err()
					}
					if flaws, known := r.judge(&e.byKind[kind][i]); len(flaws) == 0 && !known {
						all.Add(Object(dir, e.byKind[kind][i].address), r.ID)
					}
				}
			}
		}
	}
	return all, nil
}
