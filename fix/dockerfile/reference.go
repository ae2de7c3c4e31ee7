package dockerfile

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	docker "github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/fix"
)

// referenceForm is a reference that may be written into a file.
var referenceForm = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._/:@-]*$`)

// point writes another reference where a stage's image is decided: in its FROM and all
// others that name the same image, or in the default of the ARG that it is put together
// from. It gives the edits, the lines, and the stages that change.
func (p *plan) point(stage int, to string) (edits []fix.FileEdit, lines, stages []int, err error) {
	base := &p.file.Stages[stage].Base
	if !referenceForm.MatchString(to) || len(to) > 512 {
		return nil, nil, nil, fmt.Errorf("%q is no reference of an image", to)
	}
	if !strings.Contains(base.Written, "$") {
		for i := range p.file.Stages {
			other := &p.file.Stages[i].Base
			if p.file.Stages[i].Parent >= 0 || other.Written != base.Written {
				continue
			}
			word, ok := p.text.Image(other)
			if !ok {
				return nil, nil, nil, fmt.Errorf("line %d: the image's name is not written in one piece", other.Line)
			}
			edits = append(edits, p.edit(word.Start, word.End, to))
			lines = append(lines, other.Line)
			stages = append(stages, i)
		}
		return edits, lines, stages, nil
	}
	edit, err := p.variable(base.Written, to, base.Line, 0)
	if err != nil {
		return nil, nil, nil, err
	}
	for i := range p.file.Stages {
		if slices.ContainsFunc(p.file.Stages[i].Base.Args, func(v docker.Variable) bool { return v.Line == edit.Line }) {
			stages = append(stages, i)
			if p.file.Stages[i].Base.Image != base.Image {
				return nil, nil, nil, fmt.Errorf("the ARG at line %d also decides %s at line %d; give that a variable of its own first", edit.Line, p.file.Stages[i].Base.Written, p.file.Stages[i].Base.Line)
			}
		}
	}
	return []fix.FileEdit{edit}, []int{edit.Line}, stages, nil
}

var variableForm = regexp.MustCompile(`\$(?:\{([A-Za-z_][A-Za-z0-9_]*)(:?-[^}]*)?\}|([A-Za-z_][A-Za-z0-9_]*))`)

// variable finds the one ARG whose default, changed, makes a template give a text, and
// the edit of it. line is where the template stands, for messages.
func (p *plan) variable(template, to string, line, depth int) (fix.FileEdit, error) {
	none := func(format string, a ...any) (fix.FileEdit, error) {
		return fix.FileEdit{}, fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, a...))
	}
	if depth > 10 {
		return none("the variables of %s name each other too deeply", template)
	}
	type use struct {
		start, end int
		name       string
	}
	var uses []use
	for _, m := range variableForm.FindAllStringSubmatchIndex(template, -1) {
		u := use{start: m[0], end: m[1]}
		if m[2] >= 0 {
			u.name = template[m[2]:m[3]]
		} else {
			u.name = template[m[6]:m[7]]
		}
		uses = append(uses, u)
	}
	value := func(name string) (docker.Variable, bool) {
		for i := len(p.file.Args) - 1; i >= 0; i-- { // the last one counts
			if v := p.file.Args[i]; v.Name == name {
				return v, v.Set
			}
		}
		return docker.Variable{}, false
	}
	var fits []fix.FileEdit
	var why error
	for _, target := range uses {
		variable, ok := value(target.name)
		if !ok {
			continue // given when it is built; no default decides
		}
		// What stands before and behind the variable, the others at their values.
		var before, behind strings.Builder
		at, whole := 0, true
		out := &before
		for _, u := range uses {
			out.WriteString(template[at:u.start])
			at = u.end
			if u.name == target.name {
				whole = whole && u.start == target.start
				out = &behind
				continue
			}
			if v, ok := value(u.name); ok {
				out.WriteString(v.Value)
			} else {
				whole = false
			}
		}
		out.WriteString(template[at:])
		rest, begins := strings.CutPrefix(to, before.String())
		rest, ends := strings.CutSuffix(rest, behind.String())
		if !whole || !begins || !ends || rest == "" || rest == variable.Value {
			continue
		}
		edit, err := p.argument(variable, rest, depth)
		if err != nil {
			why = err
			continue
		}
		fits = append(fits, edit)
	}
	switch {
	case len(fits) == 1:
		return fits[0], nil
	case len(fits) > 1:
		return none("several variables could make %s of %s", to, template)
	case why != nil:
		return fix.FileEdit{}, why
	}
	return none("no default of a variable makes %s of %s", to, template)
}

// argument gives the edit of an ARG's default.
func (p *plan) argument(variable docker.Variable, value string, depth int) (fix.FileEdit, error) {
	start, _ := p.text.Span(variable.Line, variable.Line)
	for _, token := range p.text.Tokens(start, len(p.data)) {
		if token.Text == "\n" {
			break
		}
		name, raw, ok := strings.Cut(token.Text, "=")
		if !ok || name != variable.Name {
			continue
		}
		quote := ""
		if len(raw) > 1 && (raw[0] == '"' || raw[0] == '\'') && raw[len(raw)-1] == raw[0] {
			quote, raw = raw[:1], raw[1:len(raw)-1]
		}
		if strings.Contains(raw, "$") && quote != "'" {
			return p.variable(raw, value, variable.Line, depth+1)
		}
		from := token.Start + len(name) + 1 + len(quote)
		if from+len(raw) > len(p.data) || string(p.data[from:from+len(raw)]) != raw {
			return fix.FileEdit{}, fmt.Errorf("line %d: the default of %s is not written in one piece", variable.Line, variable.Name)
		}
		return p.edit(from, from+len(raw), value), nil
	}
	return fix.FileEdit{}, fmt.Errorf("line %d: ARG %s was not found", variable.Line, variable.Name)
}
