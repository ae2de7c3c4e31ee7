package kubernetes

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// Spot is a value of a YAML or JSON file, there or not: a path in one of its documents.
type Spot struct {
	Offset int // of the document's first byte
	Path   []Segment
	// Inside is the value in the text that the value at Path holds, as in an inline
	// patch of Kustomize; nil for the value itself.
	Inside *Spot
}

// Below is the spot at more segments below.
func (s Spot) Below(path ...Segment) Spot {
	if s.Inside != nil {
		inside := s.Inside.Below(path...)
		s.Inside = &inside
		return s
	}
	s.Path = slices.Concat(s.Path, path)
	return s
}

// Edited is a file after one edit.
type Edited struct {
	Data []byte
	// Aliases is how many other values of the document the edit changes too, since
	// they are the same by an anchor.
	Aliases int
}

// ErrNoEdit says that a value cannot be edited in place.
var ErrNoEdit = errors.New("cannot be edited in place")

func noEdit(format string, args ...any) error {
	return fmt.Errorf("%s: %w", fmt.Sprintf(format, args...), ErrNoEdit)
}

// Set makes the value at a spot the wanted one, and adds the maps and list items that
// lead there and are missing. All other bytes stay. The result is read again: it holds
// exactly that change, and what is the same by an anchor, or there is an error.
func Set(data []byte, at Spot, want *Node) (Edited, error) {
	if want == nil {
		return Edited{}, errors.New("expected a value to set")
	}
	return edit(data, at, want)
}

// Remove takes the value at a spot away with its key. A map or list that it was alone
// in stays, empty.
func Remove(data []byte, at Spot) (Edited, error) { return edit(data, at, nil) }

func edit(data []byte, at Spot, want *Node) (Edited, error) {
	if len(at.Path) == 0 && at.Inside == nil {
		return Edited{}, noEdit("a whole document")
	}
	if bytes.ContainsRune(data, 0) {
		return Edited{}, errors.New("expected YAML text, found a NUL byte")
	}
	if at.Offset < 0 || at.Offset > len(data) {
		return Edited{}, fmt.Errorf("no document at byte %d of %d", at.Offset, len(data))
	}
	part, _ := cutDocument(data[at.Offset:])
	e, err := newEdition(part)
	if err != nil {
		return Edited{}, err
	}
	var start, end int
	var with string
	if at.Inside != nil {
		start, end, with, err = e.inside(at, want)
	} else {
		start, end, with, err = e.plan(at.Path, want)
	}
	if err != nil {
		return Edited{}, err
	}
	fresh := slices.Concat(part[:start], []byte(with), part[end:])
	aliases := 0
	if at.Inside == nil {
		if aliases, err = e.check(fresh, at.Path, want); err != nil {
			return Edited{}, err
		}
	} else if err := e.only(fresh, at.Path); err != nil {
		return Edited{}, err
	}
	return Edited{slices.Concat(data[:at.Offset], fresh, data[at.Offset+len(part):]), aliases}, nil
}

// edition is one document that is edited, with where its lines start.
type edition struct {
	text    []byte
	lines   []int
	root    *yaml.Node
	plain   *Node // the document's values
	json    bool
	eol     string
	crossed bool // an alias or a merge on the way to the value
}

func newEdition(part []byte) (*edition, error) {
	e := &edition{text: part, eol: "\n"}
	skip := 0
	if bytes.HasPrefix(part, []byte("\xef\xbb\xbf")) {
		skip = 3
	}
	body := part[skip:]
	if head := bytes.TrimSpace(body); len(head) > 0 && (head[0] == '{' || head[0] == '[') {
		e.json, body = true, tabsOut(body)
	}
	if i := bytes.IndexByte(part, '\n'); i > 0 && part[i-1] == '\r' {
		e.eol = "\r\n"
	}
	// Line breaks as YAML's reader counts them.
	e.lines = append(e.lines, skip)
	for i := skip; i < len(part); i++ {
		switch {
		case part[i] == '\r' && i+1 < len(part) && part[i+1] == '\n':
		case part[i] == '\n' || part[i] == '\r':
			e.lines = append(e.lines, i+1)
		case part[i] == 0xc2 && i+1 < len(part) && part[i+1] == 0x85:
			e.lines = append(e.lines, i+2)
		case part[i] == 0xe2 && i+2 < len(part) && part[i+1] == 0x80 && (part[i+2] == 0xa8 || part[i+2] == 0xa9):
			e.lines = append(e.lines, i+3)
		}
	}
	var root yaml.Node
	if err := yaml.NewDecoder(bytes.NewReader(body)).Decode(&root); err != nil {
		return nil, fmt.Errorf("not YAML: %w", err)
	}
	d := decoder{by: "manifest"}
	plain, err := d.node(&root, 0, map[*yaml.Node]bool{}, false)
	if err != nil {
		return nil, err
	}
	if plain == nil || len(root.Content) == 0 {
		return nil, noEdit("an empty document")
	}
	e.root, e.plain = root.Content[0], plain
	return e, nil
}

// at gives the byte offset of a node's mark.
func (e *edition) at(line, column int) int {
	if line < 1 || line > len(e.lines) {
		return len(e.text)
	}
	i := e.lines[line-1]
	for range column - 1 {
		if i >= len(e.text) {
			break
		}
		_, n := utf8.DecodeRune(e.text[i:])
		i += n
	}
	return i
}

func flowing(y *yaml.Node) bool { return y.Style&yaml.FlowStyle != 0 }

func empty(y *yaml.Node) bool { return y.Kind == yaml.ScalarNode && y.Value == "" && y.Style == 0 }

// start gives where the content of a node begins, after its anchor and tag.
func (e *edition) start(y *yaml.Node) int {
	if y.Kind == yaml.MappingNode && !flowing(y) && len(y.Content) > 0 {
		return e.at(y.Content[0].Line, y.Content[0].Column)
	}
	i := e.at(y.Line, y.Column)
	if y.Anchor == "" && y.Style&yaml.TaggedStyle == 0 {
		return i
	}
	for i < len(e.text) {
		switch c := e.text[i]; {
		case c == '&' || c == '!':
			for i < len(e.text) && !strings.ContainsRune(" \t\r\n,]}", rune(e.text[i])) {
				i++
			}
		case c == ' ' || c == '\t':
			i++
		case (c == '\r' || c == '\n' || c == '#') && (y.Kind == yaml.MappingNode || y.Kind == yaml.SequenceNode):
			i = e.gap(i)
		default:
			return i
		}
	}
	return i
}

// gap skips white space, line breaks and comments.
func (e *edition) gap(i int) int {
	for i < len(e.text) {
		switch c := e.text[i]; {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			i++
		case c == '#' && (i == 0 || strings.ContainsRune(" \t\r\n,[{", rune(e.text[i-1]))):
			for i < len(e.text) && e.text[i] != '\n' {
				i++
			}
		default:
			return i
		}
	}
	return i
}

// end gives the byte after a node's content; it is -1 when it cannot be told.
func (e *edition) end(y *yaml.Node) int {
	switch y.Kind {
	case yaml.AliasNode:
		i := e.at(y.Line, y.Column)
		for i < len(e.text) && !strings.ContainsRune(" \t\r\n,]}", rune(e.text[i])) {
			i++
		}
		return i
	case yaml.ScalarNode:
		return e.scalarEnd(y)
	}
	if !flowing(y) {
		if len(y.Content) == 0 {
			return -1
		}
		return e.end(y.Content[len(y.Content)-1])
	}
	i := e.start(y)
	if i >= len(e.text) || e.text[i] != '{' && e.text[i] != '[' {
		return -1
	}
	i++
	if n := len(y.Content); n > 0 {
		i = e.end(y.Content[n-1])
	}
	if i < 0 {
		return -1
	}
	for i = e.gap(i); i < len(e.text) && e.text[i] == ','; {
		i = e.gap(i + 1)
	}
	if i >= len(e.text) || e.text[i] != '}' && e.text[i] != ']' {
		return -1
	}
	return i + 1
}

func (e *edition) scalarEnd(y *yaml.Node) int {
	i, text := e.start(y), e.text
	if empty(y) {
		return i
	}
	if i >= len(text) {
		return -1
	}
	switch {
	case y.Style&yaml.DoubleQuotedStyle != 0:
		if text[i] != '"' {
			return -1
		}
		for i++; i < len(text); i++ {
			if text[i] == '\\' {
				i++
			} else if text[i] == '"' {
				return i + 1
			}
		}
		return -1
	case y.Style&yaml.SingleQuotedStyle != 0:
		if text[i] != '\'' {
			return -1
		}
		for i++; i < len(text); i++ {
			if text[i] == '\'' {
				if i+1 < len(text) && text[i+1] == '\'' {
					i++
					continue
				}
				return i + 1
			}
		}
		return -1
	case y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0:
		_, end := e.block(i)
		return end
	}
	for _, r := range y.Value {
		if r == ' ' || r == '\n' || r == '\t' {
			if i >= len(text) || !strings.ContainsRune(" \t\r\n", rune(text[i])) {
				if r == '\n' { // a paragraph of a folded plain scalar has more breaks than its value
					continue
				}
				return -1
			}
			for i < len(text) && strings.ContainsRune(" \t\r\n", rune(text[i])) {
				i++
			}
			continue
		}
		got, n := utf8.DecodeRune(text[i:])
		if got != r {
			return -1
		}
		i += n
	}
	return i
}

// block gives the first and the last byte of the lines of a literal or folded scalar
// whose header is at i.
func (e *edition) block(i int) (first, last int) {
	text := e.text
	next := bytes.IndexByte(text[i:], '\n')
	if next < 0 {
		return len(text), len(text)
	}
	first = i + next + 1
	last = i + len(bytes.TrimRight(text[i:first], "\r\n"))
	indent := -1
	own := e.indentOf(i)
	for _, c := range bytes.TrimSpace(text[i:first]) {
		if c == '#' {
			break
		}
		if '1' <= c && c <= '9' {
			indent = own + int(c-'0')
		}
	}
	for at := first; at < len(text); {
		line := text[at:]
		if n := bytes.IndexByte(line, '\n'); n >= 0 {
			line = line[:n+1]
		}
		body := bytes.TrimRight(line, " \t\r\n")
		spaces := len(line) - len(bytes.TrimLeft(line, " "))
		if len(body) > 0 {
			if indent < 0 {
				if spaces <= own && !(own == 0 && spaces > 0) {
					break
				}
				indent = spaces
			}
			if spaces < indent {
				break
			}
			last = at + len(bytes.TrimRight(line, "\r\n"))
		}
		at += len(line)
	}
	return first, last
}

// indentOf gives the column of the key or dash that leads the value at i.
func (e *edition) indentOf(i int) int {
	line := e.text[bytes.LastIndexByte(e.text[:i], '\n')+1 : i]
	indent := len(line) - len(bytes.TrimLeft(line, " "))
	for {
		rest := line[indent:]
		inner := len(rest) - len(bytes.TrimLeft(rest, "- "))
		if !bytes.HasPrefix(rest, []byte("- ")) || inner >= len(rest) {
			return indent
		}
		indent += inner
	}
}

// passed is a container on the way to a value, and where in its content the next is.
type passed struct {
	node  *yaml.Node
	index int // of the value in Content
	flow  bool
}

// walk follows a path. It returns the containers passed, the value, nil when it is
// missing, and the segments that are left below the last container.
func (e *edition) walk(path []Segment) (trail []passed, value *yaml.Node, rest []Segment, err error) {
	y, flow := e.root, e.json
	for i, s := range path {
		for y.Kind == yaml.AliasNode {
			y, e.crossed = y.Alias, true
		}
		flow = flow || flowing(y)
		next := -1
		switch y.Kind {
		case yaml.MappingNode:
			if s.Key == "" {
				return nil, nil, nil, noEdit("%s is a map, not a list", pathText(path[:i]))
			}
			if next = keyIndex(y, s.Key); next < 0 {
				if from := merged(y, s.Key); from != nil && i < len(path)-1 {
					// Below a value that a merge brings; its anchor holds it.
					e.crossed = true
					y = from
					flow = flowing(y)
					next = keyIndex(y, s.Key)
				}
			}
		case yaml.SequenceNode:
			switch {
			case s.Where != "":
				next = slices.IndexFunc(y.Content, func(item *yaml.Node) bool {
					for item.Kind == yaml.AliasNode {
						item = item.Alias
					}
					at := -1
					if item.Kind == yaml.MappingNode {
						at = keyIndex(item, s.Where)
					}
					return at >= 0 && item.Content[at].Value == s.Is
				})
			case s.Key == "" && s.Index < len(y.Content):
				next = s.Index
			case s.Key != "" && len(y.Content) == 1 && y.Content[0].Kind == yaml.MappingNode && keyIndex(y.Content[0], s.Key) >= 0:
				trail = append(trail, passed{y, 0, flow})
				y = y.Content[0]
				next = keyIndex(y, s.Key)
			case s.Key != "":
				return nil, nil, nil, noEdit("%s is a list, not a map", pathText(path[:i]))
			}
		case yaml.ScalarNode:
			if y.ShortTag() == "!!null" && len(trail) > 0 {
				return trail, y, path[i:], nil
			}
			return nil, nil, nil, noEdit("%s is a scalar", pathText(path[:i]))
		}
		trail = append(trail, passed{y, next, flow})
		if next < 0 {
			return trail, nil, path[i:], nil
		}
		y = y.Content[next]
	}
	return trail, y, nil, nil
}

func keyIndex(y *yaml.Node, key string) int {
	for i := len(y.Content) - 2; i >= 0; i -= 2 {
		k := y.Content[i]
		if k.Kind == yaml.AliasNode && k.Alias != nil {
			k = k.Alias
		}
		if k.Kind == yaml.ScalarNode && k.Tag != "!!merge" && k.Value == key {
			return i + 1
		}
	}
	return -1
}

// merged gives the map that a merge key of y takes a key from.
func merged(y *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(y.Content); i += 2 {
		if y.Content[i].Tag != "!!merge" {
			continue
		}
		from := []*yaml.Node{y.Content[i+1]}
		if from[0].Kind == yaml.SequenceNode {
			from = from[0].Content
		}
		for _, m := range from {
			for m.Kind == yaml.AliasNode {
				m = m.Alias
			}
			if m.Kind == yaml.MappingNode && keyIndex(m, key) >= 0 {
				return m
			}
		}
	}
	return nil
}

// plan gives the bytes to replace and with what.
func (e *edition) plan(path []Segment, want *Node) (start, end int, with string, err error) {
	trail, value, rest, err := e.walk(path)
	if err != nil {
		return 0, 0, "", err
	}
	if want == nil {
		if len(rest) > 0 {
			return 0, 0, "", noEdit("%s is not there", pathText(path))
		}
		return e.takeOut(trail)
	}
	last := trail[len(trail)-1]
	if value != nil {
		return e.replace(trail, value, nest(rest, want))
	}
	return e.insert(trail, last, rest, want)
}

// nest wraps a value into the maps and lists of a path.
func nest(path []Segment, want *Node) *Node {
	for _, s := range slices.Backward(path) {
		switch {
		case s.Key != "":
			want = &Node{Shape: Map, Fields: []Field{{Key: s.Key, Value: want}}}
		case s.Where != "":
			want = &Node{Shape: List, Items: []*Node{item(s, want)}}
		default:
			want = &Node{Shape: List, Items: []*Node{want}}
		}
	}
	return want
}

// item is a list item that a field picks, with what it is to hold.
func item(s Segment, want *Node) *Node {
	if want.Shape == Map && want.Get(s.Where) == nil {
		return &Node{Shape: Map, Fields: append([]Field{{Key: s.Where, Value: text(s.Is, "", Place{})}}, want.Fields...)}
	}
	return want
}

// replace puts a value in the place of another.
func (e *edition) replace(trail []passed, y *yaml.Node, want *Node) (int, int, string, error) {
	last := trail[len(trail)-1]
	start, end := e.start(y), e.end(y)
	if y.Kind == yaml.AliasNode {
		start = e.at(y.Line, y.Column)
	}
	if end < start {
		return 0, 0, "", noEdit("line %d: the value's end is not clear", y.Line)
	}
	if last.flow {
		return start, end, e.flowText(want, y, e.lineIndent(start)), nil
	}
	if want.Shape == Scalar && (want.Tag == "!!str" || want.Tag == "") && literal(want.Text) && last.node.Kind == yaml.MappingNode {
		from, err := e.after(last)
		if err != nil {
			return 0, 0, "", err
		}
		if empty(y) {
			end = from
		}
		block := blockText(NewMap(Field{Key: "k", Value: want}), last.node.Content[0].Column-1, e.step(), e.eol, e.indentless())
		return from, end, strings.TrimPrefix(strings.TrimLeft(block, " "), "k:"), nil
	}
	if want.Shape == Scalar || want.bare() {
		if y.Kind == yaml.ScalarNode && !empty(y) && y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 || y.Kind == yaml.AliasNode || flowing(y) {
			return start, end, e.scalarText(want, y), nil
		}
		from, err := e.after(last)
		if err != nil {
			return 0, 0, "", err
		}
		if empty(y) {
			end = from
		}
		return from, end, " " + e.scalarText(want, y), nil
	}
	from, err := e.after(last)
	if err != nil {
		return 0, 0, "", err
	}
	if empty(y) {
		end = from
	}
	step := e.step()
	if last.node.Kind == yaml.SequenceNode {
		// "- " and the first line of the value beside it.
		indent := last.node.Column - 1 + 2
		return from, end, " " + strings.TrimLeft(blockText(want, indent, step, e.eol, e.indentless()), " "), nil
	}
	indent := last.node.Content[0].Column - 1 + step
	if want.Shape == List && e.indentless() {
		indent -= step
	}
	return from, end, e.eol + blockText(want, indent, step, e.eol, e.indentless()), nil
}

// after gives the byte after the colon or the dash that leads a value.
func (e *edition) after(s passed) (int, error) {
	if s.node.Kind == yaml.MappingNode {
		i := e.end(s.node.Content[s.index-1])
		if i < 0 {
			return 0, noEdit("line %d: the key's end is not clear", s.node.Content[s.index-1].Line)
		}
		for i < len(e.text) && (e.text[i] == ' ' || e.text[i] == '\t') {
			i++
		}
		if i >= len(e.text) || e.text[i] != ':' {
			return 0, noEdit("line %d: expected a colon after the key", s.node.Content[s.index-1].Line)
		}
		return i + 1, nil
	}
	dash, err := e.dash(s.node, s.index)
	return dash + 1, err
}

// dash gives the byte of the dash of a list's item.
func (e *edition) dash(list *yaml.Node, index int) (int, error) {
	i := e.at(list.Line, list.Column)
	if list.Anchor != "" || list.Style&yaml.TaggedStyle != 0 {
		i = e.start(list)
	}
	if index > 0 {
		if i = e.end(list.Content[index-1]); i >= 0 {
			i = e.gap(i)
		}
	}
	if i < 0 || i >= len(e.text) || e.text[i] != '-' {
		return 0, noEdit("line %d: expected a dash before item %d", list.Line, index)
	}
	return i, nil
}

// insert adds what is missing below a container.
func (e *edition) insert(trail []passed, last passed, rest []Segment, want *Node) (int, int, string, error) {
	y := last.node
	s, below := rest[0], nest(rest[1:], want)
	if y.Kind == yaml.SequenceNode {
		switch {
		case s.Where != "":
			below = item(s, below)
		case s.Key != "":
			return 0, 0, "", noEdit("expected a map, found a list")
		case s.Index > len(y.Content):
			return 0, 0, "", noEdit("item %d of a list of %d", s.Index, len(y.Content))
		}
	}
	if len(y.Content) == 0 {
		full := &Node{Shape: List, Items: []*Node{below}}
		if y.Kind == yaml.MappingNode {
			full = &Node{Shape: Map, Fields: []Field{{Key: s.Key, Value: below}}}
		}
		if len(trail) == 1 {
			start, end := e.start(y), e.end(y)
			if end < 0 {
				return 0, 0, "", noEdit("an empty document")
			}
			return start, end, e.flowText(full, y, ""), nil
		}
		// The container above says whether its style is that of a flow.
		above := trail[len(trail)-2]
		return e.replace([]passed{{above.node, above.index, e.json || flowing(above.node)}}, y, full)
	}
	end := e.end(y.Content[len(y.Content)-1])
	if end < 0 {
		return 0, 0, "", noEdit("line %d: the end of the values is not clear", y.Line)
	}
	if flowing(y) || last.flow {
		return e.insertFlow(y, end, s.Key, below)
	}
	line := e.lineEnd(end)
	indent := e.column(y)
	block := strings.Repeat(" ", indent)
	step := e.step()
	if y.Kind == yaml.SequenceNode {
		block += "- " + strings.TrimLeft(blockText(below, indent+2, step, e.eol, e.indentless()), " ")
	} else {
		block = blockText(&Node{Shape: Map, Fields: []Field{{Key: s.Key, Value: below}}}, indent, step, e.eol, e.indentless())
	}
	return line, line, e.eol + block, nil
}

// column gives the indentation of the entries of a block.
func (e *edition) column(y *yaml.Node) int {
	if y.Kind == yaml.MappingNode {
		return y.Content[0].Column - 1
	}
	if y.Anchor == "" && y.Style&yaml.TaggedStyle == 0 {
		return y.Column - 1
	}
	start := e.start(y)
	return start - (bytes.LastIndexByte(e.text[:start], '\n') + 1)
}

// lineEnd gives the end of the line that a value ends on, after a comment.
func (e *edition) lineEnd(i int) int {
	if n := bytes.IndexByte(e.text[i:], '\n'); n >= 0 {
		i += n
		if i > 0 && e.text[i-1] == '\r' {
			i--
		}
		return i
	}
	return len(e.text)
}

func (e *edition) insertFlow(y *yaml.Node, end int, key string, below *Node) (int, int, string, error) {
	first := e.start(y.Content[0])
	line := bytes.LastIndexByte(e.text[:first], '\n') + 1
	lead := string(e.text[line:first])
	apart := strings.TrimLeft(lead, " \t") == ""
	entry := e.flowText(below, nil, lead)
	if !apart {
		entry = e.flowText(below, nil, "")
	}
	if y.Kind == yaml.MappingNode {
		entry = e.keyText(key, y) + ": " + entry
	}
	separator := ", "
	if apart {
		separator = "," + e.eol + lead
	}
	if i := e.gap(end); i < len(e.text) && e.text[i] == ',' {
		return i + 1, i + 1, separator[1:] + entry + ",", nil // the comma after the last one is there
	}
	return end, end, separator + entry, nil
}

// takeOut plans the removal of the entry that a trail ends with.
func (e *edition) takeOut(trail []passed) (int, int, string, error) {
	last := trail[len(trail)-1]
	y, index, each := last.node, last.index, 1
	first := index
	if y.Kind == yaml.MappingNode {
		first, each = index-1, 2
	}
	if len(y.Content) == each {
		hollow := &Node{Shape: List}
		if y.Kind == yaml.MappingNode {
			hollow.Shape = Map
		}
		if len(trail) == 1 {
			start, end := e.start(y), e.end(y)
			if end < 0 {
				return 0, 0, "", noEdit("line %d: the end of the values is not clear", y.Line)
			}
			return start, end, hollow.hollow(), nil
		}
		above := trail[len(trail)-2]
		if aboveValue := above.node.Content[above.index]; aboveValue != y {
			return 0, 0, "", noEdit("line %d: the only entry of a map that is taken by an alias", y.Line)
		}
		return e.replace([]passed{{above.node, above.index, e.json || flowing(above.node)}}, y, hollow)
	}
	start, end := e.start(y.Content[first]), e.end(y.Content[index])
	if y.Content[first].Kind == yaml.AliasNode || y.Content[first].Anchor != "" {
		start = e.at(y.Content[first].Line, y.Content[first].Column)
	}
	if y.Kind == yaml.SequenceNode && !flowing(y) {
		var err error
		if start, err = e.dash(y, index); err != nil {
			return 0, 0, "", err
		}
	}
	if end < start {
		return 0, 0, "", noEdit("line %d: the value's end is not clear", y.Content[first].Line)
	}
	isLast := index == len(y.Content)-1
	if flowing(y) || last.flow {
		if isLast {
			return e.end(y.Content[first-1]), end, "", nil
		}
		next := y.Content[index+1]
		return start, e.at(next.Line, next.Column), "", nil
	}
	line := bytes.LastIndexByte(e.text[:start], '\n') + 1
	if len(bytes.TrimLeft(e.text[line:start], " ")) > 0 {
		if isLast {
			return 0, 0, "", noEdit("line %d: more than one entry on a line", y.Content[first].Line)
		}
		next := e.at(y.Content[index+1].Line, y.Content[index+1].Column)
		if y.Kind == yaml.SequenceNode {
			var err error
			if next, err = e.dash(y, index+1); err != nil {
				return 0, 0, "", err
			}
		}
		return start, next, "", nil
	}
	stop := e.lineEnd(end)
	switch rest := e.text[stop:]; {
	case bytes.HasPrefix(rest, []byte("\r\n")):
		stop += 2
	case bytes.HasPrefix(rest, []byte("\n")):
		stop++
	default:
		// The last line of a file that ends without a break: the break before it goes.
		line = len(bytes.TrimRight(e.text[:line], "\r\n"))
	}
	return line, stop, "", nil
}

// step is how many spaces the document indents maps by.
func (e *edition) step() int {
	found := 0
	var look func(y *yaml.Node, depth int)
	look = func(y *yaml.Node, depth int) {
		if found != 0 || depth > maxDepth {
			return
		}
		if y.Kind == yaml.MappingNode && !flowing(y) {
			for i := 1; i < len(y.Content); i += 2 {
				if v := y.Content[i]; v.Kind == yaml.MappingNode && !flowing(v) && len(v.Content) > 0 && found == 0 {
					found = v.Content[0].Column - y.Content[0].Column
				}
			}
		}
		if y.Kind != yaml.AliasNode {
			for _, child := range y.Content {
				look(child, depth+1)
			}
		}
	}
	look(e.root, 0)
	if found < 1 || found > 8 {
		return 2
	}
	return found
}

// indentless says whether the document writes the dashes of lists below their key
// without indentation.
func (e *edition) indentless() bool {
	with, without := 0, 0
	var look func(y *yaml.Node, depth int)
	look = func(y *yaml.Node, depth int) {
		if depth > maxDepth || y.Kind == yaml.AliasNode {
			return
		}
		if y.Kind == yaml.MappingNode && !flowing(y) {
			for i := 1; i < len(y.Content); i += 2 {
				if v := y.Content[i]; v.Kind == yaml.SequenceNode && !flowing(v) && len(v.Content) > 0 && v.Anchor == "" {
					if v.Column <= y.Content[i-1].Column {
						without++
					} else {
						with++
					}
				}
			}
		}
		for _, child := range y.Content {
			look(child, depth+1)
		}
	}
	look(e.root, 0)
	return without > with
}

// lineIndent gives the white space that the line of a byte begins with.
func (e *edition) lineIndent(i int) string {
	line := e.text[bytes.LastIndexByte(e.text[:i], '\n')+1:]
	return string(line[:len(line)-len(bytes.TrimLeft(line, " \t"))])
}

// check reads the document after the edit and fails unless exactly the value at the
// path changed, or what is the same value by an anchor.
func (e *edition) check(fresh []byte, path []Segment, want *Node) (aliases int, err error) {
	part, rest := cutDocument(fresh)
	if len(rest) > 0 {
		return 0, noEdit("the value would end its document")
	}
	after, err := newEdition(part)
	if err != nil {
		return 0, noEdit("the result is not YAML (%v)", err)
	}
	got, _ := after.plain.Find(path)
	if want != nil && (got == nil || !reflect.DeepEqual(got.Value(), want.Value()) && !reflect.DeepEqual(got.Value(), nest(path[len(path):], want).Value())) {
		return 0, noEdit("the result does not hold the value at %s", pathText(path))
	}
	if expected, ok := expect(e.plain.Value(), path, want); ok && reflect.DeepEqual(expected, after.plain.Value()) {
		return 0, nil
	}
	if !e.crossed && !e.anchored() {
		return 0, noEdit("the result holds other changes than that of %s", pathText(path))
	}
	// By an anchor the same change shows in several places; each must end like the path.
	differences := Differences(e.plain, after.plain)
	for _, d := range differences {
		if want != nil && d.To == nil && d.From != nil || want == nil && d.From == nil {
			return 0, noEdit("the result holds other changes than that of %s", pathText(path))
		}
	}
	return max(0, len(differences)-1), nil
}

func (e *edition) anchored() bool { return bytes.ContainsRune(e.text, '&') }

// expect gives plain values with one more change.
func expect(v any, path []Segment, want *Node) (any, bool) {
	if len(path) == 0 {
		return want.Value(), true
	}
	s := path[0]
	if v == nil && want != nil {
		return nest(path, want).Value(), true
	}
	switch v := v.(type) {
	case map[string]any:
		if s.Key == "" {
			return nil, false
		}
		copied := make(map[string]any, len(v)+1)
		for k, value := range v {
			copied[k] = value
		}
		if len(path) == 1 && want == nil {
			delete(copied, s.Key)
			return copied, true
		}
		if v[s.Key] == nil && want == nil {
			return nil, false
		}
		below, ok := expect(v[s.Key], path[1:], want)
		copied[s.Key] = below
		return copied, ok
	case []any:
		index := s.Index
		if s.Where != "" {
			index = slices.IndexFunc(v, func(one any) bool {
				m, ok := one.(map[string]any)
				return ok && fmt.Sprint(m[s.Where]) == s.Is
			})
			if index < 0 && want != nil {
				return append(slices.Clone(v), item(s, nest(path[1:], want)).Value()), true
			}
		} else if s.Key != "" {
			if len(v) != 1 {
				return nil, false
			}
			below, ok := expect(v[0], path, want)
			return []any{below}, ok
		}
		if index == len(v) && want != nil {
			return append(slices.Clone(v), nest(path[1:], want).Value()), true
		}
		if index < 0 || index >= len(v) {
			return nil, false
		}
		copied := slices.Clone(v)
		if len(path) == 1 && want == nil {
			return slices.Delete(copied, index, index+1), true
		}
		below, ok := expect(v[index], path[1:], want)
		copied[index] = below
		return copied, ok
	}
	return nil, false
}

// inside plans an edit in the text that a literal block holds.
func (e *edition) inside(at Spot, want *Node) (start, end int, with string, err error) {
	_, y, rest, err := e.walk(at.Path)
	if err != nil {
		return 0, 0, "", err
	}
	if y == nil || len(rest) > 0 || y.Kind != yaml.ScalarNode || y.Style&yaml.LiteralStyle == 0 {
		return 0, 0, "", noEdit("%s is no literal block", pathText(at.Path))
	}
	first, last := e.block(e.start(y))
	indent, text := e.dedent(first, last)
	edited, err := edit([]byte(text), *at.Inside, want)
	if err != nil {
		return 0, 0, "", err
	}
	var out strings.Builder
	for i, line := range strings.Split(strings.TrimRight(string(edited.Data), "\n"), "\n") {
		if i > 0 {
			out.WriteString(e.eol)
		}
		if line != "" {
			out.WriteString(indent + line)
		}
	}
	return first, last, out.String(), nil
}

// dedent gives the text of a literal block's lines without their indentation, with
// plain line breaks.
func (e *edition) dedent(first, last int) (indent, text string) {
	lines := strings.Split(strings.ReplaceAll(string(e.text[first:last]), "\r\n", "\n"), "\n")
	for _, line := range lines {
		if trimmed := strings.TrimLeft(line, " "); trimmed != "" {
			indent = line[:len(line)-len(trimmed)]
			break
		}
	}
	for i := range lines {
		lines[i] = strings.TrimPrefix(lines[i], indent)
	}
	return indent, strings.Join(lines, "\n") + "\n"
}

// only fails unless the text at a path is all that changed.
func (e *edition) only(fresh []byte, path []Segment) error {
	after, err := newEdition(fresh)
	if err != nil {
		return noEdit("the result is not YAML (%v)", err)
	}
	got, _ := after.plain.Find(path)
	if got == nil {
		return noEdit("the result does not hold %s", pathText(path))
	}
	expected, ok := expect(e.plain.Value(), path, got)
	if !ok || !reflect.DeepEqual(expected, after.plain.Value()) {
		return noEdit("the result holds other changes than that of %s", pathText(path))
	}
	return nil
}
