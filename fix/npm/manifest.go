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

// manifest is a package.json with the positions of what may be edited.
type manifest struct {
	path string
	data []byte
	// specs are the constraints by section and name.
	specs map[string]map[string]span
	// overrides is where the members of "overrides" begin, just after its
	// opening brace; present says whether there are any. end is where the
	// document's last member ends.
	overrides, end         int
	hasOverrides, hasOther bool
	overridden             map[string]bool
	workspaces             bool
}

// span is a string value of a document: its bytes without the quotes.
type span struct {
	start, end int
	text       string
	line       int
}

const maxDepth = 200

// parseManifest reads a package.json.
func parseManifest(name string, data []byte) (*manifest, error) {
	m := &manifest{path: name, data: data, specs: map[string]map[string]span{}, overridden: map[string]bool{}}
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
		if len(path) == 0 {
			m.hasOther = true
			m.workspaces = m.workspaces || member == "workspaces"
		}
		if decoder.PeekKind() == '{' && len(path) == 0 && (slices.Contains(sections, member) || member == "overrides") {
			if _, err := decoder.ReadToken(); err != nil {
				return fail(err)
			}
			if member == "overrides" {
				m.hasOverrides, m.overrides = true, offset()
			}
			path = append(path, member)
			continue
		}
		value, err := decoder.ReadValue()
		if err != nil {
			return fail(err)
		}
		end := offset()
		switch {
		case len(path) == 0:
			m.end = end
		case path[0] == "overrides":
			m.overridden[member] = true
		case value.Kind() == '"':
			var text string
			if err := json.Unmarshal(value, &text); err != nil {
				return fail(err)
			}
			if m.specs[path[0]] == nil {
				m.specs[path[0]] = map[string]span{}
			}
			start := end - len(value) + 1
			m.specs[path[0]][member] = span{start, end - 1, text, 1 + bytes.Count(data[:start], []byte("\n"))}
		}
	}
	if _, err := decoder.ReadToken(); !errors.Is(err, io.EOF) {
		return fail(errors.New("expected the end of the file"))
	}
	return m, nil
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

// edits rewrites every constraint of a package; value gives the new one.
func (m *manifest) edits(name string, value func(old string) (string, bool)) ([]fix.Edit, error) {
	var edits []fix.Edit
	for _, section := range sections {
		s, ok := m.specs[section][name]
		if !ok {
			continue
		}
		text, ok := value(s.text)
		if !ok {
			return nil, fmt.Errorf("%s:%d: %q: expected a range of versions", m.path, s.line, s.text)
		}
		if text != s.text {
			edits = append(edits, fix.Edit{Start: s.start, End: s.end, Old: string(m.data[s.start:s.end]), New: quote(text)})
		}
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

// override adds members to "overrides", laid out like the rest of the file.
func (m *manifest) override(members []string) fix.Edit {
	newline := "\n"
	if bytes.Contains(m.data, []byte("\r\n")) {
		newline = "\r\n"
	}
	indent := m.indent()
	if m.hasOverrides {
		text := ""
		for _, member := range members {
			text += newline + indent + indent + member + ","
		}
		if len(m.overridden) == 0 {
			text = strings.TrimSuffix(text, ",") + newline + indent
		}
		return fix.Edit{Start: m.overrides, End: m.overrides, New: text}
	}
	text := newline + indent + `"overrides": {`
	for i, member := range members {
		if i > 0 {
			text += ","
		}
		text += newline + indent + indent + member
	}
	text += newline + indent + "}"
	if m.hasOther {
		text = "," + text
	}
	return fix.Edit{Start: m.end, End: m.end, New: text}
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

// lock is what an npm lock says, by the folder that each package lies in.
type lock struct {
	version int
	entries map[string]entry
	named   map[string][]string   // keys by the name of the package, sorted
	asking  map[string][]requirer // who asks for a name, sorted by key
}

type entry struct {
	Version              string            `json:"version"`
	Name                 string            `json:"name"`
	Resolved             string            `json:"resolved"`
	Link                 bool              `json:"link"`
	InBundle             bool              `json:"inBundle"` // shipped inside an ancestor's archive
	Dependencies         map[string]string `json:"dependencies"`
	OptionalDependencies map[string]string `json:"optionalDependencies"`
	DevDependencies      map[string]string `json:"devDependencies"`
	PeerDependencies     map[string]string `json:"peerDependencies"`
}

type oldEntry struct {
	Version      string              `json:"version"`
	Bundled      bool                `json:"bundled"`
	Requires     jsontext.Value      `json:"requires"`
	Dependencies map[string]oldEntry `json:"dependencies"`
}

// parseLock reads package-lock.json and npm-shrinkwrap.json of versions 1 to 3.
func parseLock(name string, data []byte) (*lock, error) {
	var document struct {
		LockfileVersion int                 `json:"lockfileVersion"`
		Packages        map[string]entry    `json:"packages"`
		Dependencies    map[string]oldEntry `json:"dependencies"`
	}
	if err := json.Unmarshal(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &document); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	l := &lock{version: document.LockfileVersion, entries: document.Packages}
	if l.entries == nil {
		l.entries = map[string]entry{}
		l.addOld("", document.Dependencies, 0)
	}
	l.index()
	return l, nil
}

func (l *lock) index() {
	l.named, l.asking = map[string][]string{}, map[string][]requirer{}
	for _, key := range slices.Sorted(maps.Keys(l.entries)) {
		e := l.entries[key]
		if strings.Contains("/"+key, "/node_modules/") && !e.Link {
			name := e.Name
			if name == "" {
				name = nameOf(key)
			}
			l.named[name] = append(l.named[name], key)
		}
		asked := map[string]bool{}
		for _, dependencies := range []map[string]string{e.Dependencies, e.OptionalDependencies, e.DevDependencies, e.PeerDependencies} {
			for name, constraint := range dependencies {
				if !asked[name] {
					asked[name] = true
					l.asking[name] = append(l.asking[name], requirer{key, constraint})
				}
			}
		}
	}
}

func (l *lock) addOld(under string, dependencies map[string]oldEntry, depth int) {
	if depth > maxDepth {
		return
	}
	for name, old := range dependencies {
		key := strings.TrimPrefix(under+"/node_modules/"+name, "/")
		e := entry{Version: old.Version, InBundle: old.Bundled}
		// "requires": true stands at the top of a lock; an entry holds an object.
		_ = json.Unmarshal(old.Requires, &e.Dependencies)
		l.entries[key] = e
		l.addOld(key, old.Dependencies, depth+1)
	}
}

// nameOf is the name under which the package of a key is installed; the key
// itself for the root and for workspaces.
func nameOf(key string) string {
	if at := strings.LastIndex("/"+key, "/node_modules/"); at >= 0 {
		return key[at+len("node_modules/"):]
	}
	return key
}

// requirers lists the keys of the packages that find key when they ask for its
// name, with the constraint each states, sorted by key.
func (l *lock) requirers(key string) []requirer {
	name := nameOf(key)
	var found []requirer
	for _, r := range l.asking[name] {
		if l.resolve(r.key, name) == key {
			found = append(found, r)
		}
	}
	return found
}

type requirer struct{ key, constraint string }

// resolve finds the key that a name leads to from a package, as node does.
func (l *lock) resolve(from, name string) string {
	for {
		key := strings.TrimPrefix(from+"/node_modules/"+name, "/")
		if _, ok := l.entries[key]; ok {
			return key
		}
		if from == "" {
			return ""
		}
		at := strings.LastIndex(from, "/node_modules/")
		switch {
		case at >= 0:
			from = from[:at]
		default:
			from = ""
		}
	}
}

// instances lists the keys of a package, sorted.
func (l *lock) instances(name string) []string { return l.named[name] }

// bundler names the package in whose archive the package of a key is shipped.
func (l *lock) bundler(key string) string {
	for l.entries[key].InBundle {
		at := strings.LastIndex(key, "/node_modules/")
		if at < 0 {
			return "the project"
		}
		key = key[:at]
	}
	return nameOf(key) + " " + l.entries[key].Version
}
