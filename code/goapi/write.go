package goapi

import (
	"fmt"
	"go/ast"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// writer writes types so that equal ones are equal.
type writer struct {
	imports map[string]string // name in the file -> import path
}

var majorElement = regexp.MustCompile(`^v[0-9]+$`)

// localName guesses the name of a package from its import path.
func localName(importPath string) string {
	base := path.Base(importPath)
	if majorElement.MatchString(base) && path.Dir(importPath) != "." {
		base = path.Base(path.Dir(importPath))
	}
	if at := strings.LastIndex(base, ".v"); at > 0 { // name.v3
		base = base[:at]
	}
	base = strings.TrimSuffix(strings.TrimPrefix(base, "go-"), "-go")
	return strings.ReplaceAll(base, "-", "")
}

// imports lists the imports of a file by the names they have in it.
func imports(file *ast.File) map[string]string {
	names := map[string]string{}
	for _, spec := range file.Imports {
		importPath, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			continue
		}
		if spec.Name != nil {
			names[spec.Name.Name] = importPath
		} else {
			names[localName(importPath)] = importPath
		}
	}
	return names
}

func (w writer) text(e ast.Expr) string {
	switch t := e.(type) {
	case nil:
		return ""
	case *ast.Ident:
		if t.Name == "any" {
			return "interface{}"
		}
		return t.Name
	case *ast.ParenExpr:
		return w.text(t.X)
	case *ast.SelectorExpr:
		if x, ok := t.X.(*ast.Ident); ok {
			if importPath, known := w.imports[x.Name]; known {
				return importPath + "." + t.Sel.Name
			}
			return x.Name + "." + t.Sel.Name
		}
		return w.text(t.X) + "." + t.Sel.Name
	case *ast.StarExpr:
		return "*" + w.text(t.X)
	case *ast.ArrayType:
		return "[" + w.text(t.Len) + "]" + w.text(t.Elt)
	case *ast.MapType:
		return "map[" + w.text(t.Key) + "]" + w.text(t.Value)
	case *ast.ChanType:
		switch t.Dir {
		case ast.SEND:
			return "chan<- " + w.text(t.Value)
		case ast.RECV:
			return "<-chan " + w.text(t.Value)
		}
		return "chan " + w.text(t.Value)
	case *ast.Ellipsis:
		return "..." + w.text(t.Elt)
	case *ast.FuncType:
		return "func" + w.signature(t)
	case *ast.IndexExpr:
		return w.text(t.X) + "[" + w.text(t.Index) + "]"
	case *ast.IndexListExpr:
		parts := make([]string, len(t.Indices))
		for i, index := range t.Indices {
			parts[i] = w.text(index)
		}
		return w.text(t.X) + "[" + strings.Join(parts, ", ") + "]"
	case *ast.UnaryExpr:
		return t.Op.String() + w.text(t.X)
	case *ast.BinaryExpr:
		return w.text(t.X) + " " + t.Op.String() + " " + w.text(t.Y)
	case *ast.BasicLit:
		return t.Value
	case *ast.InterfaceType:
		var parts []string
		for _, method := range t.Methods.List {
			text := w.text(method.Type)
			for _, name := range method.Names {
				text = name.Name + strings.TrimPrefix(text, "func")
			}
			parts = append(parts, text)
		}
		slices.Sort(parts)
		return "interface{" + strings.Join(parts, "; ") + "}"
	case *ast.StructType:
		var parts []string
		for _, field := range t.Fields.List {
			text := w.text(field.Type)
			if len(field.Names) == 0 {
				parts = append(parts, text)
			}
			for _, name := range field.Names {
				parts = append(parts, name.Name+" "+text)
			}
		}
		return "struct{" + strings.Join(parts, "; ") + "}"
	}
	return fmt.Sprintf("%T", e)
}

// signature writes parameters and results without their names.
func (w writer) signature(f *ast.FuncType) string {
	text := w.parameters(f.Params, "(", ")")
	if text == "" {
		text = "()"
	}
	switch {
	case f.Results == nil:
	case f.Results.NumFields() == 1:
		text += " " + w.text(f.Results.List[0].Type)
	default:
		text += " " + w.parameters(f.Results, "(", ")")
	}
	return text
}

func (w writer) parameters(list *ast.FieldList, open, end string) string {
	if list == nil || len(list.List) == 0 {
		return ""
	}
	var parts []string
	for _, field := range list.List {
		for range max(1, len(field.Names)) {
			parts = append(parts, w.text(field.Type))
		}
	}
	return open + strings.Join(parts, ", ") + end
}

var majorOfName = regexp.MustCompile(`^v[0-9]+(\.|$)`)

// Split parts "path/pkg.Type.Method", as advisories write it, into import path and
// symbol, which is "" for a whole package.
func Split(text string) (importPath, symbol string) {
	base := path.Base(text)
	name, symbol, _ := strings.Cut(base, ".")
	if major := majorOfName.FindString(symbol); major != "" { // as in yaml.v3
		name, symbol = name+"."+strings.TrimSuffix(major, "."), symbol[len(major):]
	}
	return strings.TrimSuffix(text, base) + name, symbol
}
