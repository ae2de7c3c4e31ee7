package graph

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/backstitch/backstitch/fact"
)

// Pattern is a chain of kinds of assets and relations between them:
//
//	workload -instance_of-> image -has_layer-> layer
//	cloud_resource[tag:env=prod] <-exposes- internet
//	workload -*1..4-> repository|file
//	*[name~web*] -part_of|runs_in*1..3- *
//
// An asset is a kind, several parted by "|", or "*" for any. Filters in brackets,
// parted by commas, are on key, name, kind or a property: "=" equal, "!=" not equal,
// "~" like and "!~" not like, where "*" is any text, "?" one character, and a value
// with neither is looked for anywhere in the text; a property alone asks that it is
// there. A value in double quotes may hold anything, with \" and \\.
//
// A relation is "-kind->", "<-kind-" or "-kind-" for both directions, of several kinds
// parted by "|", or "*" for any. A length behind it makes a chain of such relations:
// "*2" of two, "*1..4" of one to four. No asset is twice in one answer.
type Pattern struct {
	nodes []nodePattern
	edges []edgePattern
}

// wordAt is a kind with its place in the pattern.
type wordAt struct {
	word string
	at   int
}

type nodePattern struct {
	kinds   []wordAt // none for any
	filters []filter
}

// operator compares the value of a property.
type operator uint8

const (
	isThere operator = iota
	equals
	equalsNot
	like
	likeNot
)

type filter struct {
	name, value string
	op          operator
}

type edgePattern struct {
	kinds    []wordAt // none for any
	way      Direction
	min, max int
}

// Bounds of a pattern.
const (
	maxPattern = 2000
	maxEdges   = 12
	maxChain   = 12
	maxFilters = 20
)

// PatternError is a fault of a pattern.
type PatternError struct {
	At       int // byte, from 0
	Expected string
}

func (e *PatternError) Error() string {
	return fmt.Sprintf("pattern, position %d: expected %s", e.At+1, e.Expected)
}

// ParsePattern reads a pattern. Its errors are PatternErrors.
func ParsePattern(text string) (*Pattern, error) {
	if len(text) > maxPattern {
		return nil, &PatternError{maxPattern, fmt.Sprintf("at most %d bytes", maxPattern)}
	}
	r := &patternReader{text: text}
	p := &Pattern{}
	for {
		node, err := r.node()
		if err != nil {
			return nil, err
		}
		p.nodes = append(p.nodes, node)
		r.blanks()
		if r.at == len(r.text) {
			return p, nil
		}
		if len(p.edges) == maxEdges {
			return nil, r.fail(fmt.Sprintf("at most %d relations", maxEdges))
		}
		edge, err := r.edge()
		if err != nil {
			return nil, err
		}
		p.edges = append(p.edges, edge)
	}
}

// String writes the pattern so that ParsePattern reads the same from it.
func (p *Pattern) String() string {
	var out strings.Builder
	words := func(list []wordAt) {
		for i, w := range list {
			if i > 0 {
				out.WriteByte('|')
			}
			out.WriteString(w.word)
		}
	}
	for i := range p.nodes {
		if i > 0 {
			e := &p.edges[i-1]
			out.WriteByte(' ')
			if e.way == Backward {
				out.WriteByte('<')
			}
			out.WriteByte('-')
			words(e.kinds)
			switch {
			case e.min != e.max:
				fmt.Fprintf(&out, "*%d..%d", e.min, e.max)
			case e.max != 1:
				fmt.Fprintf(&out, "*%d", e.max)
			case len(e.kinds) == 0:
				out.WriteByte('*')
			}
			out.WriteByte('-')
			if e.way == Forward {
				out.WriteByte('>')
			}
			out.WriteByte(' ')
		}
		n := &p.nodes[i]
		if words(n.kinds); len(n.kinds) == 0 {
			out.WriteByte('*')
		}
		for j, f := range n.filters {
			out.WriteByte("[,"[min(j, 1)])
			out.WriteString(quote(f.name))
			if f.op != isThere {
				out.WriteString([...]string{equals: "=", equalsNot: "!=", like: "~", likeNot: "!~"}[f.op])
				out.WriteString(quote(f.value))
			}
		}
		if len(n.filters) > 0 {
			out.WriteByte(']')
		}
	}
	return out.String()
}

func quote(text string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(text) + `"`
}

type patternReader struct {
	text string
	at   int
}

func (r *patternReader) blanks() {
	for r.at < len(r.text) && r.text[r.at] == ' ' {
		r.at++
	}
}

// peek says whether a text comes next.
func (r *patternReader) peek(text string) bool { return strings.HasPrefix(r.text[r.at:], text) }

// skip passes a text that comes next.
func (r *patternReader) skip(text string) bool {
	if !r.peek(text) {
		return false
	}
	r.at += len(text)
	return true
}

func (r *patternReader) fail(expected string) error { return &PatternError{r.at, expected} }

func digit(c byte) bool { return '0' <= c && c <= '9' }

func (r *patternReader) word() string {
	from := r.at
	for r.at < len(r.text) && (r.text[r.at] == '_' || 'a' <= r.text[r.at] && r.text[r.at] <= 'z' || digit(r.text[r.at])) {
		r.at++
	}
	return r.text[from:r.at]
}

// words reads names parted by "|".
func (r *patternReader) words(what string) ([]wordAt, error) {
	var list []wordAt
	for {
		at := r.at
		word := r.word()
		if word == "" || digit(word[0]) {
			r.at = at
			return nil, r.fail(what)
		}
		list = append(list, wordAt{word, at})
		if !r.skip("|") {
			return list, nil
		}
	}
}

func (r *patternReader) node() (n nodePattern, err error) {
	r.blanks()
	if !r.skip("*") {
		if n.kinds, err = r.words(`a kind of asset or "*"`); err != nil {
			return n, err
		}
	}
	if !r.skip("[") {
		return n, nil
	}
	for {
		f, err := r.filter()
		if err != nil {
			return n, err
		}
		if n.filters = append(n.filters, f); len(n.filters) > maxFilters {
			return n, r.fail(fmt.Sprintf("at most %d filters", maxFilters))
		}
		if r.skip("]") {
			return n, nil
		}
		if !r.skip(",") {
			return n, r.fail(`"," or "]"`)
		}
	}
}

func (r *patternReader) filter() (f filter, err error) {
	at := r.at
	if f.name, err = r.value(`=!~,[]"`, "a property, for example [tag:env=prod]"); err != nil {
		return f, err
	}
	if f.name == "" {
		r.at = at
		return f, r.fail("a property, for example [tag:env=prod]")
	}
	switch {
	case r.skip("="):
		f.op = equals
	case r.skip("!="):
		f.op = equalsNot
	case r.skip("~"):
		f.op = like
	case r.skip("!~"):
		f.op = likeNot
	default:
		return f, nil
	}
	f.value, err = r.value(`,[]"`, `a value, in double quotes when it holds one of , [ ] "`)
	return f, err
}

// value reads a text in quotes, or one that ends before any of the given characters.
func (r *patternReader) value(end, expected string) (string, error) {
	r.blanks()
	if !r.skip(`"`) {
		from := r.at
		for r.at < len(r.text) && strings.IndexByte(end, r.text[r.at]) < 0 {
			r.at++
		}
		return strings.TrimRight(r.text[from:r.at], " "), nil
	}
	var text strings.Builder
	for r.at < len(r.text) {
		switch c := r.text[r.at]; c {
		case '"':
			r.at++
			r.blanks()
			return text.String(), nil
		case '\\':
			if r.at++; r.at == len(r.text) || r.text[r.at] != '"' && r.text[r.at] != '\\' {
				return "", r.fail(`\" or \\`)
			}
			text.WriteByte(r.text[r.at])
			r.at++
		default:
			text.WriteByte(c)
			r.at++
		}
	}
	return "", r.fail(`" to end the text`)
}

func (r *patternReader) edge() (edgePattern, error) {
	e := edgePattern{way: Both, min: 1, max: 1}
	left := r.skip("<-")
	if !left && !r.skip("-") {
		return e, r.fail(`a relation such as "-part_of->"`)
	}
	star := r.skip("*")
	if !star {
		var err error
		if e.kinds, err = r.words(`a kind of relation or "*"`); err != nil {
			return e, err
		}
		star = r.skip("*")
	}
	if star && (len(e.kinds) > 0 || r.at < len(r.text) && digit(r.text[r.at])) {
		if err := r.length(&e); err != nil {
			return e, err
		}
	}
	switch {
	case left && r.peek("->"):
		return e, r.fail(`"-" to end the relation`)
	case r.skip("->"):
		e.way = Forward
	case r.skip("-"):
		if left {
			e.way = Backward
		}
	default:
		return e, r.fail(`"->" or "-" to end the relation`)
	}
	return e, nil
}

func (r *patternReader) length(e *edgePattern) error {
	from := r.at
	for r.at < len(r.text) && (r.text[r.at] == '.' || digit(r.text[r.at])) {
		r.at++
	}
	low, high, ranged := strings.Cut(r.text[from:r.at], "..")
	if !ranged {
		high = low
	}
	var errLow, errHigh error
	e.min, errLow = strconv.Atoi(low)
	e.max, errHigh = strconv.Atoi(high)
	if errLow != nil || errHigh != nil || e.min < 1 || e.max < e.min || e.max > maxChain {
		r.at = from
		return r.fail(fmt.Sprintf("a length such as 2 or 1..4, at most %d", maxChain))
	}
	return nil
}

// check refuses kinds that neither Backstitch nor the graph knows: an answer of
// nothing would hide the slip.
func (p *Pattern) check(x *Index) error {
	assets, relations := Kinds(), Relations()
	for _, n := range p.nodes {
		for _, w := range n.kinds {
			if !has(assets, w.word) && !has(x.kindNames, w.word) {
				return &PatternError{w.at, fmt.Sprintf("a kind of asset, %q is none; %s", w.word, perhaps(w.word, assets))}
			}
		}
	}
	for _, e := range p.edges {
		for _, w := range e.kinds {
			if kind := fact.RelationKind(w.word); !has(relations, kind) && !has(x.verbs, kind) {
				names := make([]string, len(relations))
				for i, r := range relations {
					names[i] = string(r)
				}
				return &PatternError{w.at, fmt.Sprintf("a kind of relation, %q is none; %s", w.word, perhaps(w.word, names))}
			}
		}
	}
	return nil
}

func has[T comparable](list []T, one T) bool {
	for _, other := range list {
		if other == one {
			return true
		}
	}
	return false
}

// perhaps names the word that was meant, or all.
func perhaps(word string, words []string) string {
	best, least := "", max(2, len(word)/3)+1
	for _, other := range words {
		if d := distance(word, other, least); d < least {
			best, least = other, d
		}
	}
	if best != "" {
		return "perhaps " + best
	}
	return "one of " + strings.Join(words, ", ")
}

// matches says whether a value has what a filter asks for; there says whether the
// property is there at all.
func (f *filter) matches(value string, there bool) bool {
	switch f.op {
	case equals:
		return there && value == f.value
	case equalsNot:
		return !there || value != f.value
	case like:
		return there && alike(f.value, value)
	case likeNot:
		return !there || !alike(f.value, value)
	}
	return there
}

// alike matches "*" and "?"; a pattern with neither is looked for anywhere.
func alike(pattern, text string) bool {
	if !strings.ContainsAny(pattern, "*?") {
		return strings.Contains(text, pattern)
	}
	star, mark := -1, 0
	p, t := 0, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, t
			p++
		case p < len(pattern) && pattern[p] == '?':
			_, size := utf8.DecodeRuneInString(text[t:])
			p, t = p+1, t+size
		case p < len(pattern) && pattern[p] == text[t]:
			p, t = p+1, t+1
		case star >= 0:
			mark++
			p, t = star+1, mark
		default:
			return false
		}
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
