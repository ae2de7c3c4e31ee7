package terraform

import (
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"net/netip"
	"net/url"
	"path"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/ext/tryfunc"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/convert"
	"github.com/zclconf/go-cty/cty/function"
	"github.com/zclconf/go-cty/cty/function/stdlib"
)

// pure are the functions that need no outside world.
var pure = map[string]function.Function{
	"abs": stdlib.AbsoluteFunc, "ceil": stdlib.CeilFunc, "chomp": stdlib.ChompFunc, "chunklist": stdlib.ChunklistFunc, "coalescelist": stdlib.CoalesceListFunc,
	"compact": stdlib.CompactFunc, "concat": stdlib.ConcatFunc, "contains": stdlib.ContainsFunc, "csvdecode": stdlib.CSVDecodeFunc, "distinct": stdlib.DistinctFunc,
	"element": stdlib.ElementFunc, "flatten": stdlib.FlattenFunc, "floor": stdlib.FloorFunc, "format": boundedFormat, "formatdate": stdlib.FormatDateFunc,
	"formatlist": boundedFormatList, "indent": boundedIndent, "join": boundedJoin, "jsondecode": boundedJSON, "jsonencode": stdlib.JSONEncodeFunc,
	"keys": stdlib.KeysFunc, "log": stdlib.LogFunc, "lower": stdlib.LowerFunc, "max": stdlib.MaxFunc, "merge": stdlib.MergeFunc, "min": stdlib.MinFunc,
	"parseint": boundedParseInt, "pow": stdlib.PowFunc, "range": stdlib.RangeFunc, "regex": stdlib.RegexFunc, "regexall": stdlib.RegexAllFunc,
	"reverse": stdlib.ReverseListFunc, "setintersection": stdlib.SetIntersectionFunc, "setproduct": boundedProduct, "setsubtract": stdlib.SetSubtractFunc,
	"setunion": stdlib.SetUnionFunc, "signum": stdlib.SignumFunc, "slice": stdlib.SliceFunc, "sort": stdlib.SortFunc, "split": stdlib.SplitFunc, "strrev": stdlib.ReverseFunc,
	"substr": stdlib.SubstrFunc, "timeadd": stdlib.TimeAddFunc, "title": stdlib.TitleFunc, "trim": stdlib.TrimFunc, "trimprefix": stdlib.TrimPrefixFunc,
	"trimspace": stdlib.TrimSpaceFunc, "trimsuffix": stdlib.TrimSuffixFunc, "upper": stdlib.UpperFunc, "values": stdlib.ValuesFunc, "zipmap": stdlib.ZipmapFunc,
	"try": tryfunc.TryFunc, "can": tryfunc.CanFunc,
	"tostring": stdlib.MakeToFunc(cty.String), "tonumber": boundedNumber, "tobool": stdlib.MakeToFunc(cty.Bool),
	"tolist": stdlib.MakeToFunc(cty.List(cty.DynamicPseudoType)), "toset": stdlib.MakeToFunc(cty.Set(cty.DynamicPseudoType)), "tomap": stdlib.MakeToFunc(cty.Map(cty.DynamicPseudoType)),
	"length": lengthFunc, "lookup": lookupFunc, "coalesce": coalesceFunc, "replace": boundedReplace, "index": stdlib.IndexFunc,
	"startswith": test(strings.HasPrefix), "endswith": test(strings.HasSuffix), "strcontains": test(strings.Contains),
	"base64encode": text(func(s string) (string, error) { return base64.StdEncoding.EncodeToString([]byte(s)), nil }),
	"base64decode": text(func(s string) (string, error) {
		data, err := base64.StdEncoding.DecodeString(s)
		return string(data), err
	}),
	"md5":  text(func(s string) (string, error) { sum := md5.Sum([]byte(s)); return hex.EncodeToString(sum[:]), nil }),
	"sha1": text(func(s string) (string, error) { sum := sha1.Sum([]byte(s)); return hex.EncodeToString(sum[:]), nil }),
	"sha256": text(func(s string) (string, error) {
		sum := sha256.Sum256([]byte(s))
		return hex.EncodeToString(sum[:]), nil
	}),
	"sha512": text(func(s string) (string, error) {
		sum := sha512.Sum512([]byte(s))
		return hex.EncodeToString(sum[:]), nil
	}),
	"urlencode": text(func(s string) (string, error) { return url.QueryEscape(s), nil }),
	"basename":  text(func(s string) (string, error) { return path.Base(s), nil }),
	"dirname":   text(func(s string) (string, error) { return path.Dir(s), nil }),
	"sensitive": pass(true), "nonsensitive": pass(false), "ephemeralasnull": pass(false),
	"alltrue": fold(true), "anytrue": fold(false), "one": oneFunc, "sum": sumFunc,
	"cidrsubnet": cidrSubnet, "cidrhost": cidrHost,
}

// functionsOf gives the functions that an expression may call: those that are pure,
// and for every other name that it calls one that blocks.
func functionsOf(expr hcl.Expression) map[string]function.Function {
	native, ok := expr.(hclsyntax.Expression)
	if !ok {
		return pure
	}
	table := pure
	_ = hclsyntax.VisitAll(native, func(node hclsyntax.Node) hcl.Diagnostics {
		call, ok := node.(*hclsyntax.FunctionCallExpr)
		if m, under := node.(*metered); under {
			call, ok = m.Expression.(*hclsyntax.FunctionCallExpr)
		}
		if !ok {
			return nil
		}
		if _, known := table[call.Name]; known {
			return nil
		}
		if len(table) == len(pure) {
			copied := make(map[string]function.Function, len(pure)+1)
			for name, f := range pure {
				copied[name] = f
			}
			table = copied
		}
		table[call.Name] = opaque(call.Name)
		return nil
	})
	return table
}

// opaque is a function whose result nobody can tell from here.
func opaque(name string) function.Function {
	return function.New(&function.Spec{
		VarParam: &function.Parameter{Name: "arguments", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true},
		Type:     function.StaticReturnType(cty.DynamicPseudoType),
		Impl:     func([]cty.Value, cty.Type) (cty.Value, error) { return unknown(name + "()"), nil },
	})
}

var lengthFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowDynamicType: true, AllowUnknown: true}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		value := args[0]
		switch {
		case !value.IsKnown():
			return cty.UnknownVal(cty.Number), nil
		case value.Type() == cty.String:
			return stdlib.Strlen(value)
		case value.Type().IsObjectType():
			return cty.NumberIntVal(int64(len(value.Type().AttributeTypes()))), nil
		case value.Type().IsTupleType():
			return cty.NumberIntVal(int64(value.Type().Length())), nil
		case value.CanIterateElements():
			return value.Length(), nil
		}
		return cty.NilVal, function.NewArgErrorf(0, "expected a collection or a string")
	},
})

var lookupFunc = function.New(&function.Spec{
	Params:   []function.Parameter{{Name: "map", Type: cty.DynamicPseudoType}, {Name: "key", Type: cty.String}},
	VarParam: &function.Parameter{Name: "default", Type: cty.DynamicPseudoType, AllowNull: true, AllowDynamicType: true},
	Type:     function.StaticReturnType(cty.DynamicPseudoType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		of, key := args[0], args[1].AsString()
		switch {
		case of.Type().IsObjectType() && of.Type().HasAttribute(key):
			return of.GetAttr(key), nil
		case of.Type().IsMapType() && of.HasIndex(args[1]).True():
			return of.Index(args[1]), nil
		case len(args) > 2:
			return args[2], nil
		}
		return cty.NilVal, function.NewArgErrorf(1, "there is no %q", key)
	},
})

// coalesceFunc passes over empty texts, too, unlike the function of the library.
var coalesceFunc = function.New(&function.Spec{
	VarParam: &function.Parameter{Name: "values", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true},
	Type:     func(args []cty.Value) (cty.Type, error) { return stdlib.CoalesceFunc.ReturnTypeForValues(args) },
	Impl: func(args []cty.Value, kind cty.Type) (cty.Value, error) {
		for _, arg := range args {
			value, err := convert.Convert(arg, kind)
			if err != nil {
				return cty.NilVal, err
			}
			if !value.IsKnown() {
				return cty.UnknownVal(kind), nil
			}
			if !value.IsNull() && !(kind == cty.String && value.AsString() == "") {
				return value, nil
			}
		}
		return cty.NilVal, function.NewArgErrorf(0, "all values are null or empty")
	},
})

var replaceFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "text", Type: cty.String}, {Name: "old", Type: cty.String}, {Name: "new", Type: cty.String}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		old := args[1].AsString()
		if len(old) > 1 && old[0] == '/' && old[len(old)-1] == '/' {
			return stdlib.RegexReplace(args[0], cty.StringVal(old[1:len(old)-1]), args[2])
		}
		return stdlib.Replace(args[0], args[1], args[2])
	},
})

func test(says func(string, string) bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}, {Name: "part", Type: cty.String}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			return cty.BoolVal(says(args[0].AsString(), args[1].AsString())), nil
		},
	})
}

func text(of func(string) (string, error)) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "text", Type: cty.String}},
		Type:   function.StaticReturnType(cty.String),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			out, err := of(args[0].AsString())
			if err != nil {
				return cty.NilVal, err
			}
			return cty.StringVal(out), nil
		},
	})
}

// pass hands a value through; what was sensitive stays so, whatever the
// configuration says of it.
func pass(sensitive bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "value", Type: cty.DynamicPseudoType, AllowNull: true, AllowUnknown: true, AllowDynamicType: true, AllowMarked: true}},
		Type:   func(args []cty.Value) (cty.Type, error) { return args[0].Type(), nil },
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			if sensitive {
				return args[0].Mark(secret{}), nil
			}
			return args[0], nil
		},
	})
}

func fold(all bool) function.Function {
	return function.New(&function.Spec{
		Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Bool)}},
		Type:   function.StaticReturnType(cty.Bool),
		Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
			result := all
			for it := args[0].ElementIterator(); it.Next(); {
				_, v := it.Element()
				if !v.IsKnown() {
					return cty.UnknownVal(cty.Bool), nil
				}
				is := !v.IsNull() && v.True()
				if all {
					result = result && is
				} else {
					result = result || is
				}
			}
			return cty.BoolVal(result), nil
		},
	})
}

var oneFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.DynamicPseudoType}},
	Type:   function.StaticReturnType(cty.DynamicPseudoType),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		if !args[0].CanIterateElements() || args[0].LengthInt() > 1 {
			return cty.NilVal, function.NewArgErrorf(0, "expected a list of at most one element")
		}
		for it := args[0].ElementIterator(); it.Next(); {
			_, v := it.Element()
			return v, nil
		}
		return cty.NullVal(cty.DynamicPseudoType), nil
	},
})

var sumFunc = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "list", Type: cty.List(cty.Number)}},
	Type:   function.StaticReturnType(cty.Number),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		total := cty.NumberIntVal(0)
		for it := args[0].ElementIterator(); it.Next(); {
			_, v := it.Element()
			if v.IsNull() {
				return cty.NilVal, function.NewArgErrorf(0, "an element is null")
			}
			total = total.Add(v)
		}
		return total, nil
	},
})

var cidrSubnet = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "prefix", Type: cty.String}, {Name: "newbits", Type: cty.Number}, {Name: "netnum", Type: cty.Number}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		prefix, err := netip.ParsePrefix(args[0].AsString())
		if err != nil {
			return cty.NilVal, function.NewArgError(0, err)
		}
		bits, _ := args[1].AsBigFloat().Int64()
		number, _ := args[2].AsBigFloat().Int64()
		length := int64(prefix.Bits()) + bits
		if bits < 0 || bits > 128 || number < 0 || length > int64(prefix.Addr().BitLen()) || bits < 63 && number >= 1<<bits {
			return cty.NilVal, function.NewArgErrorf(1, "does not fit")
		}
		addr := addAt(prefix.Masked().Addr(), uint64(number), int(length))
		return cty.StringVal(netip.PrefixFrom(addr, int(length)).String()), nil
	},
})

var cidrHost = function.New(&function.Spec{
	Params: []function.Parameter{{Name: "prefix", Type: cty.String}, {Name: "hostnum", Type: cty.Number}},
	Type:   function.StaticReturnType(cty.String),
	Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
		prefix, err := netip.ParsePrefix(args[0].AsString())
		if err != nil {
			return cty.NilVal, function.NewArgError(0, err)
		}
		number, _ := args[1].AsBigFloat().Int64()
		if number < 0 {
			return cty.UnknownVal(cty.String), nil
		}
		return cty.StringVal(addAt(prefix.Masked().Addr(), uint64(number), prefix.Addr().BitLen()).String()), nil
	},
})

// addAt adds a number to an address, its last bit at the length of a prefix.
func addAt(addr netip.Addr, number uint64, length int) netip.Addr {
	bytes := addr.AsSlice()
	for bit := length - 1; bit >= 0 && number > 0; bit-- {
		carry := number & 1
		number >>= 1
		if carry == 0 {
			continue
		}
		for b := bit; b >= 0; b-- {
			mask := byte(1) << (7 - b%8)
			bytes[b/8] ^= mask
			if bytes[b/8]&mask != 0 {
				break
			}
		}
	}
	sum, _ := netip.AddrFromSlice(bytes)
	return sum
}

// asNumber reads a number out of a key.
func asNumber(key cty.Value) (int, bool) {
	key, _ = key.Unmark()
	number, err := convert.Convert(key, cty.Number)
	if err != nil || !number.IsKnown() || number.IsNull() {
		return 0, false
	}
	n, accuracy := number.AsBigFloat().Int64()
	return int(n), accuracy == 0 && n >= 0
}
