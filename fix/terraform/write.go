package terraform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
	"github.com/zclconf/go-cty/cty"
	ctyjson "github.com/zclconf/go-cty/cty/json"

	"github.com/backstitch/backstitch/fix"
)

// errPlace says that there is no place in the text for what is wanted.
var errPlace = errors.New("the text has no place for it that is beyond doubt")

// source is a file that is edited.
type source struct {
	path string
	data []byte
	nl   string // line ending
}

func newSource(path string, data []byte) *source {
	nl := "\n"
	if i := bytes.IndexByte(data, '\n'); i > 0 && data[i-1] == '\r' {
		nl = "\r\n"
	}
	return &source{path, data, nl}
}

func (s *source) isJSON() bool { return strings.HasSuffix(s.path, ".json") }

func (s *source) edit(start, end int, text string) fix.FileEdit {
	return fix.NewFileEdit(s.path, s.data, start, end, text)
}

// lineStart is the offset at which the line of an offset begins, lineEnd the one after
// its line ending.
func (s *source) lineStart(at int) int { return bytes.LastIndexByte(s.data[:at], '\n') + 1 }

func (s *source) lineEnd(at int) int {
	if i := bytes.IndexByte(s.data[at:], '\n'); i >= 0 {
		return at + i + 1
	}
	return len(s.data)
}

// indentAt is the white space that the line of an offset begins with.
func (s *source) indentAt(at int) string {
	line := s.data[s.lineStart(at):]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// blockAt finds the block that begins at an offset. The file was parsed before, within
// the bounds of code/terraform, so that parsing it again is safe.
func (s *source) blockAt(start int) *hclsyntax.Block {
	file, _ := hclsyntax.ParseConfig(s.data, s.path, hcl.InitialPos)
	if file == nil {
		return nil
	}
	body, ok := file.Body.(*hclsyntax.Body)
	if !ok {
		return nil
	}
	var found *hclsyntax.Block
	var walk func(b *hclsyntax.Body)
	walk = func(b *hclsyntax.Body) {
		for _, block := range b.Blocks {
			if block.TypeRange.Start.Byte == start {
				found = block
				return
			}
			if block.TypeRange.Start.Byte < start && start < block.CloseBraceRange.End.Byte {
				walk(block.Body)
			}
		}
	}
	walk(body)
	return found
}

// literal writes a JSON value as the file's syntax does. Its further lines are indented.
func (s *source) literal(wanted, indent string) (string, error) {
	if s.isJSON() {
		return wanted, nil
	}
	value, err := valueOf(wanted)
	if err != nil {
		return "", err
	}
	text := string(hclwrite.Format(hclwrite.TokensForValue(value).Bytes()))
	return strings.ReplaceAll(strings.TrimSpace(text), "\n", s.nl+indent), nil
}

func valueOf(wanted string) (cty.Value, error) {
	kind, err := ctyjson.ImpliedType([]byte(wanted))
	if err != nil {
		return cty.NilVal, fmt.Errorf("read the wanted value: %w", err)
	}
	return ctyjson.Unmarshal([]byte(wanted), kind)
}

// part is one step of a field's path.
type part struct {
	name  string
	index int // -1 for an attribute
}

func partsOf(keys []cty.Value) []part {
	var list []part
	for _, key := range keys {
		if key.Type() == cty.Number {
			n, _ := key.AsBigFloat().Int64()
			if len(list) > 0 && list[len(list)-1].index < 0 {
				list[len(list)-1].index = int(n)
				continue
			}
			list = append(list, part{"", int(n)})
			continue
		}
		list = append(list, part{key.AsString(), -1})
	}
	return list
}

// add puts a value where a resource's block lacks it: an attribute, a nested block with
// what leads to it, or a member of an object that is written in place.
func (s *source) add(block *hclsyntax.Block, path []part, wanted string) (fix.FileEdit, error) {
	for len(path) > 1 || len(path) == 1 && path[0].index >= 0 {
		inner := child(block.Body, path[0])
		if inner != nil {
			block, path = inner, path[1:]
			if len(path) == 0 {
				return fix.FileEdit{}, errPlace
			}
			continue
		}
		if attr := block.Body.Attributes[path[0].name]; attr != nil {
			if object, ok := attr.Expr.(*hclsyntax.ObjectConsExpr); ok && path[0].index < 0 && len(path) == 2 {
				return s.member(object, path[1].name, wanted)
			}
			return fix.FileEdit{}, errPlace
		}
		break
	}
	if block.Body.Attributes[path[0].name] != nil {
		return fix.FileEdit{}, errPlace
	}
	indent, nested := s.inside(block)
	if path[0].index < 0 && !blocky(path, wanted) {
		text, err := s.attribute(path, wanted, indent)
		if err != nil {
			return fix.FileEdit{}, err
		}
		return s.addAttribute(block, path[0].name, text, indent)
	}
	text, err := s.nested(path, wanted, indent)
	if err != nil {
		return fix.FileEdit{}, err
	}
	return s.addBlock(block, text, indent, nested)
}

// blocky says whether a value stands for nested blocks: a list of objects.
func blocky(path []part, wanted string) bool {
	return len(path) == 1 && (strings.HasPrefix(wanted, "[{") || path[0].index >= 0 && strings.HasPrefix(wanted, "{"))
}

// child is the nested block that a step leads to, also what a dynamic block makes.
func child(b *hclsyntax.Body, p part) *hclsyntax.Block {
	if p.index < 0 {
		return nil
	}
	n := 0
	for _, block := range b.Blocks {
		if block.Type == "dynamic" && len(block.Labels) == 1 && block.Labels[0] == p.name {
			for _, content := range block.Body.Blocks {
				if content.Type == "content" {
					return content
				}
			}
		}
		if block.Type == p.name {
			if n == p.index {
				return block
			}
			n++
		}
	}
	return nil
}

// inside gives the indentation of a block's content, and whether it has nested blocks.
func (s *source) inside(block *hclsyntax.Block) (indent string, nested bool) {
	own := s.indentAt(block.TypeRange.Start.Byte)
	indent = own + "  "
	if strings.Contains(own, "\t") {
		indent = own + "\t"
	}
	first := -1
	for _, a := range block.Body.Attributes {
		if at := a.SrcRange.Start.Byte; first < 0 || at < first {
			first = at
		}
	}
	for _, b := range block.Body.Blocks {
		if at := b.TypeRange.Start.Byte; first < 0 || at < first {
			first = at
		}
	}
	if first >= 0 && s.lineStart(first) > block.OpenBraceRange.Start.Byte {
		indent = s.indentAt(first)
	}
	return indent, len(block.Body.Blocks) > 0
}

// attribute writes the value of an attribute, as an object where the path goes on.
func (s *source) attribute(path []part, wanted, indent string) (string, error) {
	if len(path) == 1 {
		return s.literal(wanted, indent)
	}
	inner, err := s.attribute(path[1:], wanted, indent+"  ")
	if err != nil {
		return "", err
	}
	return "{" + s.nl + indent + "  " + key(path[1].name) + " = " + inner + s.nl + indent + "}", nil
}

func key(name string) string {
	if hclsyntax.ValidIdentifier(name) {
		return name
	}
	return string(hclwrite.TokensForValue(cty.StringVal(name)).Bytes())
}

// nested writes the blocks of a path, without the indentation of the first line.
func (s *source) nested(path []part, wanted, indent string) (string, error) {
	deeper := indent + "  "
	if strings.HasSuffix(indent, "\t") {
		deeper = indent + "\t"
	}
	if len(path) == 1 {
		value, err := valueOf(wanted)
		if err != nil {
			return "", err
		}
		if value.Type().IsObjectType() {
			value = cty.TupleVal([]cty.Value{value})
		}
		if !value.Type().IsTupleType() {
			return "", errPlace
		}
		var texts []string
		for it := value.ElementIterator(); it.Next(); {
			_, one := it.Element()
			body, err := s.body(one, deeper)
			if err != nil {
				return "", err
			}
			texts = append(texts, path[0].name+" {"+s.nl+body+indent+"}")
		}
		return strings.Join(texts, s.nl+indent), nil
	}
	inner := ""
	if rest := path[1:]; rest[0].index < 0 && !blocky(rest, wanted) {
		value, err := s.attribute(rest, wanted, deeper)
		if err != nil {
			return "", err
		}
		inner = key(rest[0].name) + " = " + value
	} else {
		var err error
		if inner, err = s.nested(rest, wanted, deeper); err != nil {
			return "", err
		}
	}
	return path[0].name + " {" + s.nl + deeper + inner + s.nl + indent + "}", nil
}

// body writes what a block holds: members that are lists of objects are blocks.
func (s *source) body(v cty.Value, indent string) (string, error) {
	if !v.Type().IsObjectType() {
		return "", errPlace
	}
	var attributes, blocks strings.Builder
	members := v.AsValueMap()
	width := 0
	plain := func(m cty.Value) bool {
		return !m.Type().IsTupleType() || m.LengthInt() == 0 || !m.Index(cty.Zero).Type().IsObjectType()
	}
	for name, m := range members {
		if plain(m) {
			width = max(width, len(name))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(members)) {
		data, err := ctyjson.Marshal(members[name], members[name].Type())
		if err != nil {
			return "", fmt.Errorf("write the wanted value: %w", err)
		}
		if plain(members[name]) {
			text, err := s.literal(string(data), indent)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&attributes, "%s%-*s = %s%s", indent, width, name, text, s.nl)
			continue
		}
		text, err := s.nested([]part{{name, -1}}, string(data), indent)
		if err != nil {
			return "", err
		}
		if attributes.Len() > 0 && blocks.Len() == 0 {
			blocks.WriteString(s.nl)
		}
		fmt.Fprintf(&blocks, "%s%s%s", indent, text, s.nl)
	}
	return attributes.String() + blocks.String(), nil
}

// oneLine opens a block that stands on one line: what it holds gets lines of its own.
func (s *source) oneLine(block *hclsyntax.Block, text, indent string) fix.FileEdit {
	from, to := block.OpenBraceRange.End.Byte, block.CloseBraceRange.Start.Byte
	held := strings.TrimSpace(string(s.data[from:to]))
	lines := s.nl
	if held != "" {
		lines += indent + held + s.nl
	}
	return s.edit(from, to, lines+indent+text+s.nl+s.indentAt(block.TypeRange.Start.Byte))
}

func (s *source) addAttribute(block *hclsyntax.Block, name, value, indent string) (fix.FileEdit, error) {
	if block.OpenBraceRange.Start.Line == block.CloseBraceRange.Start.Line {
		return s.oneLine(block, name+" = "+value, indent), nil
	}
	firstBlock := block.CloseBraceRange.Start.Byte
	for _, b := range block.Body.Blocks {
		firstBlock = min(firstBlock, b.TypeRange.Start.Byte)
	}
	var last *hclsyntax.Attribute
	for _, a := range block.Body.Attributes {
		if a.SrcRange.Start.Byte < firstBlock && (last == nil || a.SrcRange.Start.Byte > last.SrcRange.Start.Byte) {
			last = a
		}
	}
	if last == nil {
		at := s.lineEnd(block.OpenBraceRange.End.Byte)
		text := indent + name + " = " + value + s.nl
		if firstBlock != block.CloseBraceRange.Start.Byte {
			text += s.nl
		}
		return s.edit(at, at, text), nil
	}
	end := last.SrcRange.End.Byte
	at := end
	if end == 0 || s.data[end-1] != '\n' {
		at = s.lineEnd(end)
	}
	pad, lead := " ", ""
	if last.SrcRange.Start.Line == last.Expr.Range().End.Line {
		// Formatting aligns the signs of neighbours; a longer name stands apart.
		room := last.EqualsRange.Start.Byte - last.SrcRange.Start.Byte - len(name)
		if room > 0 {
			pad = strings.Repeat(" ", room)
		} else {
			lead = s.nl
		}
	} else {
		lead = s.nl
	}
	text := lead + indent + name + pad + "= " + value + s.nl
	if at == len(s.data) && !bytes.HasSuffix(s.data, []byte("\n")) {
		text = s.nl + strings.TrimSuffix(text, s.nl)
	}
	return s.edit(at, at, text), nil
}

func (s *source) addBlock(block *hclsyntax.Block, text, indent string, _ bool) (fix.FileEdit, error) {
	if block.OpenBraceRange.Start.Line == block.CloseBraceRange.Start.Line {
		return s.oneLine(block, text, indent), nil
	}
	at := s.lineStart(block.CloseBraceRange.Start.Byte)
	if strings.TrimSpace(string(s.data[at:block.CloseBraceRange.Start.Byte])) != "" {
		return fix.FileEdit{}, errPlace
	}
	lead := ""
	before := bytes.TrimRight(s.data[block.OpenBraceRange.End.Byte:at], " \t")
	if len(bytes.TrimSpace(before)) > 0 && !bytes.HasSuffix(before, []byte(s.nl+s.nl)) {
		lead = s.nl
	}
	return s.edit(at, at, lead+indent+text+s.nl), nil
}

// member adds a member to an object that is written in place.
func (s *source) member(object *hclsyntax.ObjectConsExpr, name, wanted string) (fix.FileEdit, error) {
	from, to := object.OpenRange.End.Byte, object.SrcRange.End.Byte-1
	if to < from || s.data[to] != '}' {
		return fix.FileEdit{}, errPlace
	}
	if len(object.Items) == 0 {
		text, err := s.literal(wanted, s.indentAt(from)+"    ")
		if err != nil {
			return fix.FileEdit{}, err
		}
		return s.edit(from, to, " "+key(name)+" = "+text+" "), nil
	}
	last := object.Items[len(object.Items)-1]
	if object.SrcRange.Start.Line == object.SrcRange.End.Line {
		text, err := s.literal(wanted, s.indentAt(from))
		if err != nil {
			return fix.FileEdit{}, err
		}
		end := last.ValueExpr.Range().End.Byte
		return s.edit(end, end, ", "+key(name)+" = "+text), nil
	}
	indent := s.indentAt(last.KeyExpr.Range().Start.Byte)
	text, err := s.literal(wanted, indent)
	if err != nil {
		return fix.FileEdit{}, err
	}
	at := s.lineStart(to)
	if strings.TrimSpace(string(s.data[at:to])) != "" {
		return fix.FileEdit{}, errPlace
	}
	return s.edit(at, at, indent+key(name)+" = "+text+s.nl), nil
}

// remove takes an attribute or a nested block out with its lines.
func (s *source) remove(start, end int) (fix.FileEdit, error) {
	from, to := s.lineStart(start), end
	if end == 0 || s.data[end-1] != '\n' {
		to = s.lineEnd(end)
	}
	if strings.TrimSpace(string(s.data[from:start])) != "" || strings.TrimSpace(string(s.data[end:to])) != "" && !strings.HasPrefix(strings.TrimSpace(string(s.data[end:to])), "#") {
		return fix.FileEdit{}, errPlace
	}
	for to == len(s.data) && from > 0 {
		above := s.lineStart(from - 1)
		if strings.TrimSpace(string(s.data[above:from])) != "" {
			break
		}
		from = above // no blank line is left at the end of the file
	}
	return s.edit(from, to, ""), nil
}

// addJSON puts a value into a resource of the JSON syntax.
func (s *source) addJSON(kind, name string, path []part, wanted string) (fix.FileEdit, error) {
	_, objects, err := fix.JSONStrings(s.path, s.data)
	if err != nil {
		return fix.FileEdit{}, err
	}
	at := []string{"resource", kind, name}
	found := -1
	for i := range objects {
		if slices.Equal(objects[i].Path, at) {
			found = i
		}
	}
	if found < 0 {
		return fix.FileEdit{}, errPlace
	}
	for len(path) > 1 {
		deeper := append(slices.Clone(at), path[0].name)
		next := slices.IndexFunc(objects, func(o fix.Object) bool { return slices.Equal(o.Path, deeper) })
		if next < 0 {
			break
		}
		found, at, path = next, deeper, path[1:]
	}
	value := wanted
	for i := len(path) - 1; i > 0; i-- {
		name, err := json.Marshal(path[i].name)
		if err != nil {
			return fix.FileEdit{}, err
		}
		value = "{" + string(name) + ": " + value + "}"
	}
	label, err := json.Marshal(path[0].name)
	if err != nil {
		return fix.FileEdit{}, err
	}
	edit := objects[found].Member(s.data, string(label)+": "+value)
	return s.edit(edit.Start, edit.End, edit.New), nil
}
