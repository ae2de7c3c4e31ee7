package terraform

import (
	"math/big"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	ctyjson "github.com/zclconf/go-cty/cty/json"
)

// state says what is known of a field.
type state int

const (
	absent state = iota // not stated: the provider's default holds
	opaque              // stated, but its value is not known from the text
	given
)

// at gives the value of a field such as metadata_options[0].http_tokens. In the JSON
// syntax a single nested block may stand without its list.
func at(v cty.Value, field string) (cty.Value, state) {
	for field != "" {
		if !v.IsKnown() {
			return v, opaque
		}
		if v.IsNull() {
			return v, absent
		}
		var name string
		index := -1
		name, field = cut(field)
		if open := strings.IndexByte(name, '['); open >= 0 {
			index, _ = strconv.Atoi(strings.TrimSuffix(name[open+1:], "]"))
			name = name[:open]
		}
		if name != "" {
			var ok bool
			if v, ok = member(v, name); !ok {
				return cty.NilVal, absent
			}
		}
		if index < 0 {
			continue
		}
		switch {
		case !v.IsKnown():
			return v, opaque
		case v.IsNull():
			return v, absent
		case isList(v):
			if index >= v.LengthInt() {
				return cty.NilVal, absent
			}
			v = elements(v)[index]
		case index > 0:
			return cty.NilVal, absent
		}
	}
	switch {
	case !v.IsKnown():
		return v, opaque
	case v.IsNull():
		return v, absent
	}
	return v, given
}

func cut(field string) (name, rest string) {
	name, rest, _ = strings.Cut(field, ".")
	return name, rest
}

func member(v cty.Value, name string) (cty.Value, bool) {
	switch {
	case v.Type().IsObjectType() && v.Type().HasAttribute(name):
		return v.GetAttr(name), true
	case v.Type().IsMapType():
		if v.HasIndex(cty.StringVal(name)).True() {
			return v.Index(cty.StringVal(name)), true
		}
	case isList(v) && v.LengthInt() == 1: // a list of one, where one is meant
		return member(elements(v)[0], name)
	}
	return cty.NilVal, false
}

func isList(v cty.Value) bool {
	t := v.Type()
	return t.IsTupleType() || t.IsListType() || t.IsSetType()
}

func elements(v cty.Value) []cty.Value {
	var list []cty.Value
	for it := v.ElementIterator(); it.Next(); {
		_, element := it.Element()
		list = append(list, element)
	}
	return list
}

// many gives the nested blocks of a kind, or the elements of a list; false when it is
// not known how many there are.
func many(v cty.Value, field string) ([]cty.Value, bool) {
	value, how := at(v, field)
	switch {
	case how == opaque:
		return nil, false
	case how == absent:
		return nil, true
	case isList(value):
		return elements(value), true
	}
	return []cty.Value{value}, true
}

// text gives a value of a simple type as text.
func text(v cty.Value) (string, bool) {
	if v == cty.NilVal || !v.IsKnown() || v.IsNull() || !v.Type().IsPrimitiveType() {
		return "", false
	}
	s, err := convert.Convert(v, cty.String)
	if err != nil {
		return "", false
	}
	return s.AsString(), true
}

func number(v cty.Value) (int64, bool) {
	s, ok := text(v)
	if !ok {
		return 0, false
	}
	f, _, err := big.ParseFloat(s, 10, 64, big.ToZero)
	if err != nil {
		return 0, false
	}
	n, _ := f.Int64()
	return n, true
}

// texts gives the members of a list that are known texts, and whether all are.
func texts(v cty.Value) (list []string, all bool) {
	if !v.IsKnown() {
		return nil, false
	}
	if v.IsNull() {
		return nil, true
	}
	if !isList(v) {
		s, ok := text(v)
		return []string{s}, ok
	}
	all = true
	for _, element := range elements(v) {
		s, ok := text(element)
		if !ok {
			all = false
			continue
		}
		list = append(list, s)
	}
	return list, all
}

// shown gives a value as JSON, "" when it is not wholly known.
func shown(v cty.Value) string {
	if v == cty.NilVal || !v.IsWhollyKnown() {
		return ""
	}
	data, err := ctyjson.Marshal(v, v.Type())
	if err != nil || len(data) > 300 {
		return ""
	}
	return string(data)
}
