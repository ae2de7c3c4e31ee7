package scan

import (
	"context"
	"fmt"
	"slices"

	"github.com/backstitch/backstitch/code"
)

// Surveyor is a scanner that tells what it judges, so that a finding which is not there
// can be told from an object that is not there, or that could not be judged.
type Surveyor interface {
	Scanner
	// Survey looks at the tree as Scan does.
	Survey(ctx context.Context, tree code.Tree) (Survey, error)
}

// Survey is what a scan judges: each object, by the name that findings have in their
// attribute "object", with the ids of the rules that it was left without a judgement
// by, "*" for any of them.
type Survey map[string][]string

// Add notes an object, and a rule that has no judgement of it unless the rule is "".
func (s Survey) Add(object, open string) {
	list := s[object]
	if open != "" && !slices.Contains(list, open) {
		list = append(list, open)
	}
	s[object] = list
}

// Survey joins what all scanners judge that can tell.
func (s several) Survey(ctx context.Context, tree code.Tree) (Survey, error) {
	all := Survey{}
	for _, one := range s {
		surveyor, ok := one.(Surveyor)
		if !ok {
			continue
		}
		survey, err := surveyor.Survey(ctx, tree)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", one.Describe().ID, err)
		}
		for object, open := range survey {
			all.Add(object, "")
			for _, rule := range open {
				all.Add(object, rule)
			}
		}
	}
	return all, nil
}
