package kubernetes

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// ParseValue reads a value that is written as JSON or YAML on its own.
func ParseValue(value string) (*Node, error) {
	var root yaml.Node
	if err := yaml.Unmarshal([]byte(value), &root); err != nil {
		return nil, err
	}
	d := decoder{}
	n, err := d.node(&root, 0, map[*yaml.Node]bool{}, false)
	if err == nil && n == nil {
		n = &Node{Tag: "!!null"}
	}
	return n, err
}

// TextValue is a string as a value.
func TextValue(value string) *Node { return text(value, "", Place{}) }

// bare says whether a node is an empty map or list.
func (n *Node) bare() bool {
	return n.Shape == Map && len(n.Fields) == 0 || n.Shape == List && len(n.Items) == 0
}

func (n *Node) hollow() string {
	if n.Shape == List {
		return "[]"
	}
	return "{}"
}

// plainText says whether a string may stand without quotes and stay that string.
func plainText(s string) bool {
	if s == "" || strings.ContainsAny(s, "\n\r\t") || strings.TrimSpace(s) != s || len(s) > 1000 {
		return false
	}
	if strings.ContainsAny(s[:1], "!&*-?:,[]{}#|>@`\"'%= ") && !(s[0] == '-' && len(s) > 1 && s[1] == '-') {
		return false
	}
	if strings.Contains(s, ": ") || strings.Contains(s, " #") || strings.HasSuffix(s, ":") {
		return false
	}
	switch strings.ToLower(s) {
	case "y", "n", "yes", "no", "on", "off", "true", "false", "null", "~":
		return false
	}
	for _, r := range s {
		if r < 0x20 || r == 0x7f || r > 0x7e && r < 0xa0 || r == 0x2028 || r == 0x2029 || r == 0xfeff {
			return false
		}
	}
	var y yaml.Node
	if err := yaml.Unmarshal([]byte(s), &y); err != nil || len(y.Content) != 1 {
		return false
	}
	return y.Content[0].Kind == yaml.ScalarNode && y.Content[0].ShortTag() == "!!str" && y.Content[0].Value == s
}

// inQuotes writes a string in double quotes, as JSON does without its care for HTML.
func inQuotes(s string) string {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return strconv.Quote(s)
	}
	return strings.TrimRight(out.String(), "\n")
}

// scalar writes a scalar; flow says that it stands inside brackets.
func (n *Node) scalar(flow bool) string {
	switch {
	case n.Tag == "!!null":
		return "null"
	case n.Tag == "!!bool":
		if n.Value() == true {
			return "true"
		}
		return "false"
	case n.Tag == "!!int" || n.Tag == "!!float":
		return n.Text
	case plainText(n.Text) && !(flow && strings.ContainsAny(n.Text, ",[]{}")):
		return n.Text
	}
	return inQuotes(n.Text)
}

func key(name string, flow bool) string { return TextValue(name).scalar(flow) }

// scalarText writes a scalar, or an empty map or list, in the style of what it replaces.
func (e *edition) scalarText(want *Node, old *yaml.Node) string {
	if want.Shape != Scalar {
		return want.hollow()
	}
	isText := want.Tag == "!!str" || want.Tag == ""
	switch {
	case isText && old.Kind == yaml.ScalarNode && old.Style&yaml.SingleQuotedStyle != 0 && !strings.ContainsAny(want.Text, "\n\r"):
		return "'" + strings.ReplaceAll(want.Text, "'", "''") + "'"
	case isText && old.Kind == yaml.ScalarNode && old.Style&yaml.DoubleQuotedStyle != 0:
		return inQuotes(want.Text)
	}
	return want.scalar(false)
}

// flowText writes a value inside brackets, over several lines where the document is
// JSON with lines. lead is the white space before the line that it starts on.
func (e *edition) flowText(want *Node, old *yaml.Node, lead string) string {
	if old != nil && old.Kind == yaml.ScalarNode && !empty(old) && want.Shape == Scalar && !e.json {
		text := e.scalarText(want, old)
		if text[0] == '"' || text[0] == '\'' {
			return text
		}
	}
	space := ""
	if old != nil && empty(old) && !e.json {
		space = " "
	}
	if e.json && bytes.Count(bytes.TrimSpace(e.text), []byte("\n")) > 1 {
		return space + jsonText(want, lead, e.jsonStep(), e.eol)
	}
	return space + inlineText(want, e.json)
}

// jsonStep is the white space that JSON is indented by.
func (e *edition) jsonStep() string {
	for line := range bytes.Lines(e.text) {
		if trimmed := bytes.TrimLeft(line, " \t"); len(trimmed) < len(line) && len(bytes.TrimSpace(line)) > 0 {
			return string(line[:len(line)-len(trimmed)])
		}
	}
	return "  "
}

func (e *edition) keyText(name string, y *yaml.Node) string {
	if e.json || len(y.Content) > 0 && y.Content[0].Style&yaml.DoubleQuotedStyle != 0 {
		return inQuotes(name)
	}
	return key(name, true)
}

func inlineText(n *Node, asJSON bool) string {
	var out strings.Builder
	writeInline(&out, n, asJSON)
	return out.String()
}

func writeInline(out *strings.Builder, n *Node, asJSON bool) {
	switch {
	case n.bare():
		out.WriteString(n.hollow())
	case n.Shape == Map:
		out.WriteByte('{')
		for i, f := range n.Fields {
			if i > 0 {
				out.WriteString(", ")
			}
			if asJSON {
				out.WriteString(inQuotes(f.Key))
			} else {
				out.WriteString(key(f.Key, true))
			}
			out.WriteString(": ")
			writeInline(out, f.Value, asJSON)
		}
		out.WriteByte('}')
	case n.Shape == List:
		out.WriteByte('[')
		for i, item := range n.Items {
			if i > 0 {
				out.WriteString(", ")
			}
			writeInline(out, item, asJSON)
		}
		out.WriteByte(']')
	case asJSON && (n.Tag == "!!str" || n.Tag == ""):
		out.WriteString(inQuotes(n.Text))
	default:
		out.WriteString(n.scalar(true))
	}
}

func jsonText(n *Node, lead, step, eol string) string {
	if n.Shape == Scalar || n.bare() {
		return inlineText(n, true)
	}
	var out strings.Builder
	open, shut := "{", "}"
	if n.Shape == List {
		open, shut = "[", "]"
	}
	out.WriteString(open)
	for i, f := range n.Fields {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(eol + lead + step + inQuotes(f.Key) + ": " + jsonText(f.Value, lead+step, step, eol))
	}
	for i, item := range n.Items {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString(eol + lead + step + jsonText(item, lead+step, step, eol))
	}
	out.WriteString(eol + lead + shut)
	return out.String()
}

// blockText writes a map or list as lines with an indentation, without a break at the
// end; a scalar as itself.
func blockText(n *Node, indent, step int, eol string, indentless bool) string {
	if n.Shape == Scalar || n.bare() {
		if n.Shape == Scalar {
			return n.scalar(false)
		}
		return n.hollow()
	}
	pad := strings.Repeat(" ", indent)
	var out strings.Builder
	nested := func(v *Node, at int, afterDash bool) {
		switch {
		case v.Shape == Scalar && (v.Tag == "!!str" || v.Tag == "") && literal(v.Text):
			out.WriteString(" |" + map[bool]string{true: "", false: "-"}[strings.HasSuffix(v.Text, "\n")])
			for line := range strings.SplitSeq(strings.TrimSuffix(v.Text, "\n"), "\n") {
				out.WriteString(eol)
				if line != "" {
					out.WriteString(strings.Repeat(" ", at+step) + line)
				}
			}
		case v.Shape == Scalar || v.bare():
			out.WriteString(" " + blockText(v, 0, step, eol, indentless))
		case afterDash:
			out.WriteString(" " + strings.TrimLeft(blockText(v, at+2, step, eol, indentless), " "))
		case v.Shape == List && indentless:
			out.WriteString(eol + blockText(v, at, step, eol, indentless))
		default:
			out.WriteString(eol + blockText(v, at+step, step, eol, indentless))
		}
	}
	for i, f := range n.Fields {
		if i > 0 {
			out.WriteString(eol)
		}
		out.WriteString(pad + key(f.Key, false) + ":")
		nested(f.Value, indent, false)
	}
	for i, item := range n.Items {
		if i > 0 {
			out.WriteString(eol)
		}
		out.WriteString(pad + "-")
		nested(item, indent, true)
	}
	return out.String()
}

// literal says whether a text is written as a literal block.
func literal(s string) bool {
	if !strings.Contains(s, "\n") || strings.HasSuffix(s, "\n\n") || strings.HasPrefix(s, " ") || strings.HasPrefix(s, "\n") {
		return false
	}
	for _, r := range s {
		if r != '\n' && (r < 0x20 || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 || r == 0xfeff) {
			return false
		}
	}
	return true
}
