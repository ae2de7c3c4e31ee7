package terraform

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// Names of the checks.
const (
	checkEvaluated = "evaluated before and after"
	checkValidate  = "terraform validate"
)

// Examine implements fix.Examiner: every root module that reads an edited file is
// evaluated without and with the change, and what differs is told with its values.
func (f *fixer) Examine(ctx context.Context, before, after string, p fix.Path) ([]fact.Check, error) {
	if len(p.Edits) == 0 {
		return nil, nil
	}
	old, err := code.OpenDir(before)
	if err != nil {
		return nil, err
	}
	defer old.Close()
	fresh, err := code.OpenDir(after)
	if err != nil {
		return nil, err
	}
	defer fresh.Close()
	check, err := compare(ctx, old, fresh, p)
	if err != nil {
		return nil, err
	}
	return []fact.Check{check, validation()}, nil
}

// maxTold bounds the differences that a check tells.
const maxTold = 20

func compare(ctx context.Context, old, fresh code.Tree, p fix.Path) (fact.Check, error) {
	e, err := newEstate(ctx, old)
	if err != nil {
		return fact.Check{}, err
	}
	files := map[string][]byte{}
	for _, edit := range p.Edits {
		if files[edit.Path], err = fresh.Read(ctx, edit.Path); err != nil {
			return fact.Check{}, err
		}
	}
	var told []string
	instances, roots := 0, 0
	for _, dir := range e.roots {
		if _, err := e.load(ctx, dir); err != nil {
			return fact.Check{}, err
		}
		if !e.concerns(dir, files) {
			continue
		}
		if roots++; roots > maxRoots {
			break
		}
		was, err := e.before(ctx, dir, nil)
		if err != nil {
			return fact.Check{}, err
		}
		c, err := terraform.Load(ctx, fresh, dir, terraform.Options{})
		if err != nil {
			return fact.Check{}, err
		}
		is := statesOf(c, nil)
		instances += len(is)
		for _, d := range differ(dir, was, is) {
			told = append(told, d.words(was, is))
		}
	}
	if len(told) == 0 {
		return fact.Check{Name: checkEvaluated, Status: fact.CheckFail, Detail: "no instance gets another value by the change"}, nil
	}
	detail := strings.Join(told[:min(len(told), maxTold)], "; ")
	if len(told) > maxTold {
		detail += fmt.Sprintf("; and %d more", len(told)-maxTold)
	}
	return fact.Check{Name: checkEvaluated, Status: fact.CheckPass, Detail: fmt.Sprintf("%s; nothing else of %d instances in %d root modules differs", detail, instances, min(roots, maxRoots))}, nil
}

// words tell a difference with its values.
func (d difference) words(was, is states) string {
	old, had := was[d.address]
	fresh, has := is[d.address]
	switch {
	case !had:
		return d.object() + " is new"
	case !has:
		return d.object() + " is gone"
	}
	return fmt.Sprintf("%s: %s %s -> %s", d.object(), d.attribute, memberText(old, d.attribute), memberText(fresh, d.attribute))
}

func memberText(v cty.Value, name string) string {
	if !v.Type().HasAttribute(name) {
		return "not stated"
	}
	m := v.GetAttr(name)
	if !m.IsWhollyKnown() {
		return "not known"
	}
	data, err := ctyjson.Marshal(m, m.Type())
	if err != nil {
		return "not known"
	}
	return short(string(data))
}

// validation says why Terraform's own validation is not run: it needs the providers'
// schemas, and a proof downloads nothing.
func validation() fact.Check {
	for _, program := range []string{"terraform", "tofu"} {
		if _, err := exec.LookPath(program); err == nil {
			return fact.Check{Name: checkValidate, Status: fact.CheckSkip, Detail: program + " would have to download the providers"}
		}
	}
	return fact.Check{Name: checkValidate, Status: fact.CheckSkip, Detail: "neither terraform nor tofu is installed"}
}

var _ fix.Examiner = (*fixer)(nil)
