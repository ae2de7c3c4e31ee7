package terraform

import (
	"bytes"
	"context"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"

	"github.com/backstitch/backstitch/code/terraform"
	"github.com/backstitch/backstitch/fix"
)

// inner takes a field apart that leads into a JSON document in an attribute, such as
// policy#Statement[0].Action.
func inner(field string) (attribute string, path []part, ok bool) {
	attribute, rest, ok := strings.Cut(field, "#")
	if !ok || rest == "" {
		return "", nil, false
	}
	lead := rest
	if rest[0] == '[' {
		lead = "x" + rest
	}
	keys, ok := terraform.FieldPath(lead)
	if !ok {
		return "", nil, false
	}
	path = partsOf(keys)
	if rest[0] == '[' {
		path[0].name = ""
	}
	return attribute, path, true
}

// written finds where the value at a path of a document stands: in a value that is
// encoded as JSON, or in a heredoc. It tells whether the place is one of JSON.
func (e *estate) written(ctx context.Context, c *terraform.Configuration, a terraform.Address, field string) (s *source, start, end int, json, ok bool) {
	attribute, path, ok := inner(field)
	if !ok {
		return nil, 0, 0, false, false
	}
	keys, ok := terraform.FieldPath(attribute)
	if !ok {
		return nil, 0, 0, false, false
	}
	t := c.Origin(a, keys)
	for i := len(t.Steps) - 1; i >= 0; i-- {
		switch t.Steps[i].Kind {
		case terraform.StepAttribute, terraform.StepLocal, terraform.StepDefault, terraform.StepInput:
		default:
			continue
		}
		place := t.Steps[i].Place
		if strings.HasSuffix(place.Path, ".json") {
			continue
		}
		if s = e.read(ctx, place.Path); s == nil || place.End > len(s.data) {
			continue
		}
		switch expr := bare(s.expression(place.Start)).(type) {
		case *hclsyntax.FunctionCallExpr:
			if expr.Name != "jsonencode" || len(expr.Args) != 1 {
				continue
			}
			if found := element(expr.Args[0], path); found != nil {
				r := found.Range()
				return s, r.Start.Byte, r.End.Byte, false, true
			}
		case *hclsyntax.TemplateExpr:
			from, to := expr.Range().Start.Byte, expr.Range().End.Byte
			text := s.data[from:to]
			if !bytes.HasPrefix(text, []byte("<<")) {
				continue
			}
			line := bytes.IndexByte(text, '\n') + 1
			last := bytes.LastIndexByte(bytes.TrimRight(text, " \t\r\n"), '\n')
			if line <= 0 || last < line {
				continue
			}
			decoder := jsontext.NewDecoder(bytes.NewReader(text[line:last]), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
			if a, b, ok := jsonAt(decoder, path, 0); ok {
				return s, from + line + a, from + line + b, true, true
			}
		}
	}
	return nil, 0, 0, false, false
}

func bare(expr hclsyntax.Expression) hclsyntax.Expression {
	for {
		inside, ok := expr.(*hclsyntax.ParenthesesExpr)
		if !ok {
			return expr
		}
		expr = inside.Expression
	}
}

// element follows a path into an object that is written in place.
func element(expr hclsyntax.Expression, path []part) hclsyntax.Expression {
	for _, p := range path {
		if p.name != "" {
			object, ok := bare(expr).(*hclsyntax.ObjectConsExpr)
			if !ok {
				return nil
			}
			expr = nil
			for _, item := range object.Items {
				if keyOf(item.KeyExpr) == p.name {
					expr = item.ValueExpr
				}
			}
			if expr == nil {
				return nil
			}
		}
		if p.index >= 0 {
			list, ok := bare(expr).(*hclsyntax.TupleConsExpr)
			if !ok || p.index >= len(list.Exprs) {
				return nil
			}
			expr = list.Exprs[p.index]
		}
	}
	return expr
}

func keyOf(expr hclsyntax.Expression) string {
	if word := hcl.ExprAsKeyword(expr); word != "" {
		return word
	}
	v, diags := expr.Value(nil)
	if diags.HasErrors() || !v.IsKnown() || v.IsNull() || v.Type() != cty.String {
		return ""
	}
	return v.AsString()
}

// jsonAt gives the range of the value at a path of a JSON text.
func jsonAt(d *jsontext.Decoder, path []part, depth int) (start, end int, ok bool) {
	if depth > 2*len(path)+200 {
		return 0, 0, false
	}
	if len(path) == 0 {
		raw, err := d.ReadValue()
		if err != nil {
			return 0, 0, false
		}
		end = int(d.InputOffset())
		return end - len(raw), end, true
	}
	p := path[0]
	if p.name != "" {
		if token, err := d.ReadToken(); err != nil || token.Kind() != '{' {
			return 0, 0, false
		}
		for d.PeekKind() == '"' {
			token, err := d.ReadToken()
			if err != nil {
				return 0, 0, false
			}
			if token.String() == p.name {
				if p.index < 0 {
					return jsonAt(d, path[1:], depth+1)
				}
				return jsonAt(d, append([]part{{"", p.index}}, path[1:]...), depth+1)
			}
			if d.SkipValue() != nil {
				return 0, 0, false
			}
		}
		return 0, 0, false
	}
	if token, err := d.ReadToken(); err != nil || token.Kind() != '[' {
		return 0, 0, false
	}
	for range p.index {
		if d.PeekKind() == ']' || d.SkipValue() != nil {
			return 0, 0, false
		}
	}
	return jsonAt(d, path[1:], depth+1)
}

// insideDocument edits the value of a document for every member.
func (e *estate) insideDocument(ctx context.Context, w *wish) candidate {
	one := candidate{kind: fix.EditValue, summary: "set " + w.field + " to " + short(w.wanted) + " in the document"}
	for _, m := range w.members {
		c, err := e.load(ctx, m.root)
		if err != nil {
			one.spoiled()
			return one
		}
		s, start, end, json, ok := e.written(ctx, c, m.address, w.field)
		if !ok {
			one.put(nil)
			continue
		}
		text := w.wanted
		if !json {
			if text, err = s.literal(w.wanted, s.indentAt(start)); err != nil {
				one.put(nil)
				continue
			}
		}
		edit := s.edit(start, end, text)
		one.put(&edit)
	}
	return one
}
