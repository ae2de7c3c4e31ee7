package npm

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/backstitch/backstitch/fix"
)

// sections of package.json that state dependencies, in the order in which
// later ones give way.
var sections = []string{"dependencies", "optionalDependencies", "devDependencies"}

// containers are the objects of package.json that force versions, by the path
// of their members. npm, yarn and pnpm each read one of them.
var containers = []string{"overrides", "resolutions", "pnpm/overrides"}

// manifest is a package.json or a pnpm-workspace.yaml with the positions of what
// may be edited.
type manifest struct {
	path string
	data []byte
	yaml bool
	// specs are the constraints by section and name; the sections of a
	// pnpm-workspace.yaml are its catalogs, as "catalog:" and "catalog:name".
	specs map[string]map[string]span
	// forced are the values of overrides by the name of the package they are for.
	forced map[string][]span
	// objects are the containers that are there, and the object "pnpm".
	objects map[string]object
	// end is where the document's last member ends.
	end        int
	empty      bool // no member at all
	workspaces bool
	manager    string // "packageManager": "pnpm@10.1.0"
	format     string // indentation and newline of entries to add, of YAML
}

// span is a string value of a document: its bytes without quotes.
type span struct {
	start, end int
	text       string
	line       int
}

// object is where members of an object begin.
type object struct {
	start int
	empty bool
	flow  bool // of YAML: written with braces
}

const maxDepth = 200

// parseManifest reads a package.json.
func parseManifest(name string, data []byte) (*manifest, error) {
	m := &manifest{path: name, data: data, specs: map[string]map[string]span{}, forced: map[string][]span{}, objects: map[string]object{}, empty: true}
	bom := 0
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		bom = 3
	}
	decoder := jsontext.NewDecoder(bytes.NewReader(data[bom:]), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	offset := func() int { return bom + int(decoder.InputOffset()) }
	fail := func(err error) (*manifest, error) {
		return nil, fmt.Errorf("%s: byte %d: %w", name, offset(), err)
	}
	open, err := decoder.ReadToken()
	if err != nil {
		return fail(err)
	}
	if open.Kind() != '{' {
		return fail(errors.New("expected an object"))
	}
	m.end = offset()
	var path []string
	for {
		if len(path) > maxDepth {
			return fail(errors.New("nested too deeply"))
		}
		kind := decoder.PeekKind()
		if kind == '}' {
			if _, err := decoder.ReadToken(); err != nil {
				return fail(err)
			}
			if len(path) == 0 {
				break
			}
			if len(path) == 1 {
				m.end = offset()
			}
			path = path[:len(path)-1]
			continue
		}
		key, err := decoder.ReadToken()
		if err != nil {
			return fail(err)
		}
		member := key.String()
		if parent, ok := m.objects[strings.Join(path, "/")]; ok {
			parent.empty = false
			m.objects[strings.Join(path, "/")] = parent
		}
		if len(path) == 0 {
			m.empty = false
			m.workspaces = m.workspaces || member == "workspaces"
		}
		whole := strings.Join(append(slices.Clone(path), member), "/")
		container, forced := containerOf(whole)
		if decoder.PeekKind() == '{' && (forced || whole == "pnpm" || len(path) == 0 && slices.Contains(sections, member)) {
			if _, err := decoder.ReadToken(); err != nil {
				return fail(err)
			}
			if !forced || container == whole {
				m.objects[whole] = object{start: offset(), empty: true}
			}
			path = append(path, member)
			continue
		}
		value, err := decoder.ReadValue()
		if err != nil {
			return fail(err)
		}
		end := offset()
		if len(path) == 0 {
			m.end = end
		}
		if value.Kind() != '"' {
			continue
		}
		var text string
		if err := json.Unmarshal(value, &text); err != nil {
			return fail(err)
		}
		start := end - len(value) + 1
		s := span{start, end - 1, text, 1 + bytes.Count(data[:start], []byte("\n"))}
		switch {
		case whole == "packageManager":
			m.manager = text
		case forced && whole != container:
			if name := forcedName(append(slices.Clone(path), member)[1+strings.Count(container, "/"):]); name != "" {
				m.forced[name] = append(m.forced[name], s)
			}
		case len(path) == 1 && slices.Contains(sections, path[0]):
			if m.specs[path[0]] == nil {
				m.specs[path[0]] = map[string]span{}
			}
			m.specs[path[0]][member] = s
		}
	}
	if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return fail(errors.New("expected the end of the file"))
	}
	return m, nil
}

// containerOf names the container that a path of members is, or lies in.
func containerOf(whole string) (string, bool) {
	for _, container := range containers {
		if whole == container || strings.HasPrefix(whole, container+"/") {
			return container, true
		}
	}
	return "", false
}

// forcedName is the package that an override is for, by the members that lead to
// its value: the last of "parent", "name"; of "name", "."; of "parent>name"; of
// "**/parent/name"; each perhaps with a range.
func forcedName(members []string) string {
	if n := len(members); n > 1 && members[n-1] == "." {
		members = members[:n-1]
	}
	name := members[len(members)-1]
	for at := len(name) - 1; at > 0; at-- {
		// One that begins a range follows its @, a space or a bar.
		if name[at] == '>' && !strings.HasPrefix(name[at:], ">=") && !strings.ContainsRune("@ |", rune(name[at-1])) {
			name = strings.TrimSpace(name[at+1:])
			break
		}
	}
	scope := strings.LastIndexByte(name, '/')
	if scope > 0 {
		if before := strings.LastIndexByte(name[:scope], '/'); strings.HasPrefix(name[before+1:], "@") {
			name = name[before+1:]
		} else if !strings.HasPrefix(name, "@") || before > 0 {
			name = name[scope+1:]
		}
	}
	name, _ = splitSpec(name)
	if !packageName.MatchString(name) {
		return ""
	}
	return name
}

// spec finds the constraint that a manifest states for a package by the name
// it is installed under.
func (m *manifest) spec(name string) (span, bool) {
	for _, section := range sections {
		if s, ok := m.specs[section][name]; ok {
			return s, true
		}
	}
	return span{}, false
}

// elsewhere says whether a constraint leaves its range to another file.
func elsewhere(constraint string) bool {
	return strings.HasPrefix(constraint, "catalog:") || strings.HasPrefix(constraint, "workspace:")
}

// edits rewrites every constraint of a package; value gives the new one.
func (m *manifest) edits(name string, value func(old string) (string, bool)) ([]fix.Edit, error) {
	var spans []span
	for _, section := range slices.Sorted(maps.Keys(m.specs)) {
		if s, ok := m.specs[section][name]; ok && !elsewhere(s.text) {
			spans = append(spans, s)
		}
	}
	return m.replace(spans, value)
}

func (m *manifest) replace(spans []span, value func(old string) (string, bool)) ([]fix.Edit, error) {
	var edits []fix.Edit
	for _, s := range spans {
		text, ok := value(s.text)
		if !ok {
			return nil, fmt.Errorf("%s:%d: %q: expected a range of versions", m.path, s.line, s.text)
		}
		if text == s.text {
			continue
		}
		if !m.yaml {
			text = quote(text)
		}
		edits = append(edits, fix.Edit{Start: s.start, End: s.end, Old: string(m.data[s.start:s.end]), New: text})
	}
	return edits, nil
}

// quote writes a string as JSON does, without the quotes.
func quote(text string) string {
	data, err := jsontext.AppendQuote(nil, text)
	if err != nil {
		return ""
	}
	return string(data[1 : len(data)-1])
}

// forcing is one override: the members that lead to a version.
type forcing struct {
	keys    []string
	version string
}

// String writes an override as a member of its container.
func (f forcing) String() string {
	text := `"` + quote(f.version) + `"`
	for i := len(f.keys) - 1; i >= 0; i-- {
		text = `"` + quote(f.keys[i]) + `": ` + text
		if i > 0 {
			text = "{ " + text + " }"
		}
	}
	return text
}

// override adds members to a container, laid out like the rest of the file.
func (m *manifest) override(container string, members []forcing) (fix.Edit, error) {
	if m.yaml {
		return m.overrideYAML(members)
	}
	newline := "\n"
	if bytes.Contains(m.data, []byte("\r\n")) {
		newline = "\r\n"
	}
	indent := m.indent()
	path := strings.Split(container, "/")
	depth := 0 // how many of the objects of the path are there
	for depth < len(path) {
		if _, ok := m.objects[strings.Join(path[:depth+1], "/")]; !ok {
			break
		}
		depth++
	}
	margin := newline + strings.Repeat(indent, depth+1)
	var lines []string
	for _, member := range members {
		lines = append(lines, member.String())
	}
	for i := len(path) - 1; i >= depth; i-- {
		deeper := newline + strings.Repeat(indent, i+2)
		lines = []string{`"` + path[i] + `": {` + deeper + strings.Join(lines, ","+deeper) + newline + strings.Repeat(indent, i+1) + "}"}
	}
	text := strings.Join(lines, ","+margin)
	if depth == 0 {
		text = margin + text
		if !m.empty {
			text = "," + text
		}
		return fix.Edit{Start: m.end, End: m.end, New: text}, nil
	}
	at := m.objects[strings.Join(path[:depth], "/")]
	text = margin + text
	if at.empty {
		text += newline + strings.Repeat(indent, depth)
	} else {
		text += ","
	}
	return fix.Edit{Start: at.start, End: at.start, New: text}, nil
}

// indent is the white space before the first member.
func (m *manifest) indent() string {
	_, rest, found := bytes.Cut(m.data, []byte("\n"))
	if !found {
		return "  "
	}
	width := len(rest) - len(bytes.TrimLeft(rest, " \t"))
	if width == 0 || width > 16 {
		return "  "
	}
	return string(rest[:width])
}
