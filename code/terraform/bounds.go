package terraform

import (
	"errors"
	"fmt"
	"math/big"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// Bounds of what is parsed and computed. The parser and the evaluator recurse, and
// an overflow of the stack ends the process; a value can double with every line.
const (
	maxNesting   = 200     // of brackets, blocks, templates and JSON
	maxUnary     = 100     // operators in a row
	maxBranch    = 500     // conditionals in one expression
	maxOperators = 3000    // operators, indexes and members in one expression
	maxDigits    = 400     // of a number
	maxExponent  = 4000    // of a number, in bits
	maxNodes     = 100_000 // members of a value, with theirs
	maxText      = 1 << 20 // bytes of a value's texts
	maxLoop      = 300_000 // elements that for expressions visit in one question
)

// nesting measures how deep the parser would recurse into a file (or a template).
// It gives the line where that is too deep with the reason, 0 when it is not.
func nesting(name string, data []byte, template bool) (int, string) {
	var tokens hclsyntax.Tokens
	if template {
		tokens, _ = hclsyntax.LexTemplate(data, name, hcl.InitialPos)
	} else {
		tokens, _ = hclsyntax.LexConfig(data, name, hcl.InitialPos)
	}
	type level struct {
		branches, operators int
		directives          int  // %{ if } and %{ for } that are open
		lines               bool // whether a new line begins another expression
	}
	unary := 0
	open := []level{{lines: true}}
	for i, token := range tokens {
		top := &open[len(open)-1]
		switch token.Type {
		case hclsyntax.TokenOParen, hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl, hclsyntax.TokenOQuote, hclsyntax.TokenOHeredoc:
			if token.Type == hclsyntax.TokenOBrack {
				top.operators++
			}
			if token.Type == hclsyntax.TokenTemplateControl && i+1 < len(tokens) {
				switch string(tokens[i+1].Bytes) {
				case "if", "for":
					top.directives++
				case "endif", "endfor":
					top.directives = max(0, top.directives-1)
				}
			}
			open = append(open, level{lines: token.Type == hclsyntax.TokenOBrace})
		case hclsyntax.TokenCParen, hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenTemplateSeqEnd, hclsyntax.TokenCQuote, hclsyntax.TokenCHeredoc:
			if len(open) > 1 {
				open = open[:len(open)-1]
			}
		case hclsyntax.TokenQuestion:
			top.branches++
		case hclsyntax.TokenNewline, hclsyntax.TokenComma:
			if top.lines || token.Type == hclsyntax.TokenComma {
				top.branches, top.operators = 0, 0
			}
		case hclsyntax.TokenDot, hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPlus, hclsyntax.TokenMinus, hclsyntax.TokenPercent, hclsyntax.TokenAnd, hclsyntax.TokenOr,
			hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual, hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq, hclsyntax.TokenGreaterThan, hclsyntax.TokenGreaterThanEq:
			top.operators++
		case hclsyntax.TokenNumberLit:
			if longNumber(string(token.Bytes)) {
				return token.Range.Start.Line, "a number too long to be computed with"
			}
		}
		switch token.Type {
		case hclsyntax.TokenBang, hclsyntax.TokenMinus:
			unary++
		case hclsyntax.TokenNewline, hclsyntax.TokenComment:
		default:
			unary = 0
		}
		switch top = &open[len(open)-1]; {
		case len(open) > maxNesting:
			return token.Range.Start.Line, fmt.Sprintf("nested deeper than %d", maxNesting)
		case unary > maxUnary || top.branches > maxBranch || top.operators > maxOperators || len(open) > 1 && open[len(open)-2].directives > maxNesting:
			return token.Range.Start.Line, "an expression of more operators than are followed"
		}
	}
	return 0, ""
}

// longNumber says whether a number has more digits, or could be written with more,
// than anything is configured with.
func longNumber(text string) bool {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(text), "e")
	return len(mantissa) > maxDigits || len(strings.TrimLeft(exponent, "+-0")) > 3
}

// jsonNesting is the same as nesting for JSON.
func jsonNesting(data []byte) (int, string) {
	depth, line, quoted := 0, 1, false
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case c == '\n':
			line++
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			if depth++; depth > maxNesting {
				return line, fmt.Sprintf("nested deeper than %d", maxNesting)
			}
		case c == '}' || c == ']':
			depth--
		case c >= '0' && c <= '9':
			start := i
			for i+1 < len(data) && strings.IndexByte("0123456789+-.eE", data[i+1]) >= 0 {
				i++
			}
			if longNumber(string(data[start : i+1])) {
				return line, "a number too long to be computed with"
			}
		}
	}
	return 0, ""
}

// parsable says whether an expression may be given to the parser as the name, type
// or address that it is in the JSON syntax, where it is a text that nobody measured.
func parsable(expr hcl.Expression) bool {
	if _, native := expr.(hclsyntax.Expression); native {
		return true
	}
	value, diags := expr.Value(nil)
	text, ok := plainText(value)
	if diags.HasErrors() || !ok {
		return !diags.HasErrors()
	}
	line, _ := nesting(expr.Range().Filename, []byte(text), false)
	return line == 0
}

// meter counts what the for expressions of a configuration visit.
type meter struct{ visits, text int }

func (m *meter) spent() bool { return m.visits > maxLoop || m.text > 16*maxText }

// metered is a part of a for expression, counted each time that it is evaluated.
type metered struct {
	*hclsyntax.ParenthesesExpr
	meter *meter
}

// Value implements hcl.Expression.
func (e *metered) Value(ctx *hcl.EvalContext) (cty.Value, hcl.Diagnostics) {
	if e.meter.visits++; e.meter.spent() {
		return cty.DynamicVal.Mark(blocked("a for expression over this many elements")), nil
	}
	value, diags := e.Expression.Value(ctx)
	if plain, _ := value.Unmark(); plain.Type() == cty.String && plain.IsKnown() && !plain.IsNull() {
		e.meter.text += len(plain.AsString())
	}
	return value, diags
}

// measure puts the parts of every for expression below a body under a meter.
func measure(body *hclsyntax.Body, m *meter) {
	under := func(e hclsyntax.Expression) hclsyntax.Expression {
		return &metered{&hclsyntax.ParenthesesExpr{Expression: e, SrcRange: e.Range()}, m}
	}
	_ = hclsyntax.VisitAll(body, func(node hclsyntax.Node) hcl.Diagnostics {
		if e, ok := node.(*hclsyntax.ForExpr); ok {
			e.CollExpr, e.ValExpr = under(e.CollExpr), under(e.ValExpr)
			if e.KeyExpr != nil {
				e.KeyExpr = under(e.KeyExpr)
			}
			if e.CondExpr != nil {
				e.CondExpr = under(e.CondExpr)
			}
		}
		return nil
	})
}

// bare is an expression without its meter.
func bare(expr hcl.Expression) hcl.Expression {
	if e, ok := expr.(*metered); ok {
		return e.Expression
	}
	return expr
}

// sizes counts what a value holds, as long as that is within bounds.
type sizes struct{ nodes, text int }

// over adds a value and says whether it is too large to be worked with.
func (s *sizes) over(v cty.Value, depth int) bool {
	if s.nodes++; s.nodes > maxNodes || s.text > maxText || depth > 2*maxNesting {
		return true
	}
	v, _ = v.Unmark()
	if !v.IsKnown() || v.IsNull() {
		return false
	}
	switch kind := v.Type(); {
	case kind == cty.String:
		s.text += len(v.AsString())
		return s.text > maxText
	case kind == cty.Number:
		return longFloat(v.AsBigFloat())
	case kind.IsCollectionType() || kind.IsObjectType() || kind.IsTupleType():
		if !v.CanIterateElements() {
			return false
		}
		for it := v.ElementIterator(); it.Next(); {
			if _, element := it.Element(); s.over(element, depth+1) {
				return true
			}
		}
	}
	return false
}

func longFloat(f *big.Float) bool {
	exponent := f.MantExp(nil)
	return exponent > maxExponent || exponent < -maxExponent
}

// bounded are functions whose result can be far larger than what they are given,
// or whose work can; the check says no before they run.
func bounded(f function.Function, check func(args []cty.Value) error) function.Function {
	return function.New(&function.Spec{
		Params: f.Params(), VarParam: f.VarParam(),
		Type: func(args []cty.Value) (cty.Type, error) {
			if err := check(args); err != nil {
				return cty.NilType, err
			}
			return f.ReturnTypeForValues(args)
		},
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) { return f.Call(args) },
	})
}

var errTooLarge = errors.New("the result would be larger than is worked with")

// texts gives the bytes of the texts in values that are known, and how many there
// are.
func texts(args ...cty.Value) (bytes, count int) {
	var s sizes
	for _, arg := range args {
		if s.over(arg, 0) {
			return maxText + 1, maxNodes + 1
		}
	}
	return s.text, s.nodes
}

func plainText(v cty.Value) (string, bool) {
	v, _ = v.Unmark()
	if v.Type() != cty.String || !v.IsKnown() || v.IsNull() {
		return "", false
	}
	return v.AsString(), true
}

func atMost(n, limit int) error {
	if n > limit {
		return errTooLarge
	}
	return nil
}

func checkProduct(args []cty.Value) error {
	product := 1
	for _, arg := range args {
		if plain, _ := arg.Unmark(); plain.IsKnown() && !plain.IsNull() && plain.CanIterateElements() {
			product *= max(1, plain.LengthInt())
		}
		if product*len(args) > maxNodes {
			return errTooLarge
		}
	}
	return nil
}

func checkJoin(args []cty.Value) error {
	if len(args) == 0 {
		return nil
	}
	separator, _ := plainText(args[0])
	bytes, count := texts(args[1:]...)
	return atMost(bytes+count*len(separator), maxText)
}

func checkReplace(args []cty.Value) error {
	bytes, _ := texts(args[0])
	by, _ := texts(args[2])
	return atMost((bytes+1)*(by+1), 16*maxText)
}

func checkIndent(args []cty.Value) error {
	if plain, _ := args[0].Unmark(); plain.IsKnown() && !plain.IsNull() && plain.Type() == cty.Number {
		n, _ := plain.AsBigFloat().Int64()
		text, _ := plainText(args[1])
		return atMost(int(max(0, min(n, maxText+1)))*(1+strings.Count(text, "\n")), maxText)
	}
	return nil
}

// checkFormat refuses widths of more than three digits.
func checkFormat(args []cty.Value) error {
	if len(args) == 0 {
		return nil
	}
	format, _ := plainText(args[0])
	digits, inside := 0, false
	for i := range len(format) {
		switch c := format[i]; {
		case c == '%':
			inside, digits = !inside || digits > 0, 0
		case inside && c >= '0' && c <= '9':
			if digits++; digits > 3 {
				return errTooLarge
			}
		case inside && strings.IndexByte("[]+-#. ", c) >= 0:
			digits = 0
		default:
			inside = false
		}
	}
	return nil
}

func checkNumber(args []cty.Value) error {
	if text, ok := plainText(args[0]); ok && longNumber(text) {
		return errTooLarge
	}
	return nil
}

func checkJSON(args []cty.Value) error {
	text, _ := plainText(args[0])
	if line, why := jsonNesting([]byte(text)); line > 0 {
		return errors.New(why)
	}
	return nil
}

var (
	boundedProduct    = bounded(stdlib.SetProductFunc, checkProduct)
	boundedJoin       = bounded(stdlib.JoinFunc, checkJoin)
	boundedIndent     = bounded(stdlib.IndentFunc, checkIndent)
	boundedFormat     = bounded(stdlib.FormatFunc, checkFormat)
	boundedFormatList = bounded(stdlib.FormatListFunc, checkFormat)
	boundedParseInt   = bounded(stdlib.ParseIntFunc, checkNumber)
	boundedJSON       = bounded(stdlib.JSONDecodeFunc, checkJSON)
	boundedNumber     = bounded(stdlib.MakeToFunc(cty.Number), checkNumber)
	boundedReplace    = bounded(replaceFunc, checkReplace)
)
