package kubernetes

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fix"
)

// maxSettings bounds how many keys of a chart's values are tried for one field.
const maxSettings = 120

// setting finds the key of the values that makes the field what is asked, best first.
func (s *state) settings(ctx context.Context, a *ask, o *kubernetes.Object) ([]kubernetes.Setting, error) {
	values := o.Release().Values()
	want := a.want
	if a.remove {
		want = nil
	}
	var tries []kubernetes.Setting
	add := func(path []string, value *kubernetes.Node) {
		if len(tries) < maxSettings && len(path) > 0 {
			tries = append(tries, kubernetes.Setting{Path: path, Value: value})
		}
	}
	current, _ := o.Root.Find(a.path)
	if current != nil {
		deciders, err := s.now.Deciders(ctx, o, a.path)
		if err != nil {
			return nil, err
		}
		for _, d := range deciders {
			if d.Control && current.Shape == kubernetes.Scalar && current.Tag != "!!bool" {
				continue
			}
			if want == nil {
				add(d.Path(), nil)
				if d.Value().Tag == "!!bool" {
					add(d.Path(), &kubernetes.Node{Tag: "!!bool", Text: "false"})
				}
				continue
			}
			add(d.Path(), want)
			if part, ok := partOf(current, d.Value(), want); ok {
				add(d.Path(), part)
			}
			if want.Tag == "!!bool" && d.Value().Tag == "!!bool" {
				add(d.Path(), &kubernetes.Node{Tag: "!!bool", Text: fmt.Sprint(d.Value().Value() != true)})
			}
		}
		// A whole map or list that the template copies.
		for depth := len(a.path) - 1; depth > 0 && want == nil; depth-- {
			for _, key := range s.keys(ctx, o, a.path[:depth]) {
				add(append(slices.Clone(key), names(a.path[depth:])...), nil)
			}
		}
	}
	if current == nil && want != nil {
		for depth := len(a.path); depth > 0; depth-- {
			below := kubernetes.Nest(a.path[depth:], want)
			for _, key := range s.keys(ctx, o, a.path[:depth]) {
				have, _ := values.Find(kubernetes.ValuePath(values, key))
				if have != nil && have.Shape == kubernetes.Map && len(have.Fields) > 0 && below.Shape == kubernetes.Map {
					// What is there stays.
					rest := below
					at := slices.Clone(key)
					for rest.Shape == kubernetes.Map && len(rest.Fields) == 1 && have != nil && have.Get(rest.Fields[0].Key) != nil && have.Shape == kubernetes.Map {
						at, have, rest = append(at, rest.Fields[0].Key), have.Get(rest.Fields[0].Key), rest.Fields[0].Value
					}
					if rest.Shape == kubernetes.Map && len(rest.Fields) == 1 {
						add(append(at, rest.Fields[0].Key), rest.Fields[0].Value)
					}
					continue
				}
				add(key, below)
			}
		}
	}
	if len(tries) == 0 {
		return nil, nil
	}
	return s.now.Settings(ctx, o, a.path, a.accepts, tries)
}

func names(path []kubernetes.Segment) []string {
	var out []string
	for _, s := range path {
		if s.Key == "" {
			out = append(out, fmt.Sprint(s.Index))
			continue
		}
		out = append(out, s.Key)
	}
	return out
}

// partOf gives what a value has to be so that a field of which it is one part is as
// wanted: the tag of an image, for example.
func partOf(current, value, want *kubernetes.Node) (*kubernetes.Node, bool) {
	if current.Shape != kubernetes.Scalar || value.Shape != kubernetes.Scalar || want.Shape != kubernetes.Scalar || value.Text == "" {
		return nil, false
	}
	before, after, ok := strings.Cut(current.Text, value.Text)
	if !ok || !strings.HasPrefix(want.Text, before) || !strings.HasSuffix(want.Text, after) || len(want.Text) <= len(before)+len(after) {
		return nil, false
	}
	return kubernetes.TextValue(want.Text[len(before) : len(want.Text)-len(after)]), true
}

var valueReference = regexp.MustCompile(`\.Values\.([A-Za-z_][A-Za-z0-9_.]*)`)

// keys lists keys of the values that may hold a field by their last word: those that
// are there, and those that the chart's template names.
func (s *state) keys(ctx context.Context, o *kubernetes.Object, field []kubernetes.Segment) [][]string {
	word := ""
	for _, segment := range slices.Backward(field) {
		if segment.Key != "" {
			word = strings.ToLower(segment.Key)
			break
		}
	}
	if word == "" || field[len(field)-1].Key == "" {
		return nil
	}
	alike := func(key string) bool { return strings.Contains(strings.ToLower(key), word) }
	var found [][]string
	add := func(key []string) {
		if len(found) < maxSettings/2 && !slices.ContainsFunc(found, func(k []string) bool { return slices.Equal(k, key) }) {
			found = append(found, key)
		}
	}
	// Those that the template itself names are the likeliest.
	_, template := o.Template()
	if data, err := s.read(ctx, template); err == nil {
		for _, m := range valueReference.FindAllSubmatch(data, 500) {
			key := strings.Split(strings.Trim(string(m[1]), "."), ".")
			if alike(key[len(key)-1]) {
				add(key)
			}
		}
	}
	var walk func(n *kubernetes.Node, at []string)
	walk = func(n *kubernetes.Node, at []string) {
		if n == nil || n.Shape != kubernetes.Map || len(at) > 8 {
			return
		}
		for _, f := range n.Fields {
			key := append(at[:len(at):len(at)], f.Key)
			if alike(f.Key) {
				add(key)
			}
			walk(f.Value, key)
		}
	}
	walk(o.Release().Values(), nil)
	return found
}

// editValues sets a key of a chart's values in the file that decides it.
func editValues(ctx context.Context, s *state, a *ask, o *kubernetes.Object) error {
	found, err := s.settings(ctx, a, o)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return editTemplate(ctx, s, a, o)
	}
	var last error
	for _, setting := range found[:min(len(found), 3)] {
		before := s.save()
		if last = s.setValue(ctx, o.Release(), setting, ""); last == nil {
			return nil
		}
		s.restore(before)
	}
	return last
}

// editEnvironment sets a key in the last values file of the release, beside the chart's
// own values.
func editEnvironment(ctx context.Context, s *state, a *ask, o *kubernetes.Object) error {
	r := o.Release()
	if r == nil || len(r.ValueFiles) == 0 {
		return errors.New("the release has no values file of its own")
	}
	found, err := s.settings(ctx, a, o)
	if err != nil {
		return err
	}
	if len(found) == 0 {
		return errors.New("no value of the chart decides it")
	}
	setting := found[0]
	if setting.Value == nil {
		setting.Value = &kubernetes.Node{Tag: "!!null"} // takes a key of the chart's own values away
	}
	return s.setValue(ctx, r, setting, r.ValueFiles[len(r.ValueFiles)-1])
}

// setValue writes a setting into a values file: file, or for "" the one that decides it.
func (s *state) setValue(ctx context.Context, r *kubernetes.Release, setting kubernetes.Setting, file string) error {
	values := r.Values()
	key := kubernetes.ValuePath(values, setting.Path)
	if file == "" {
		value, _ := values.Find(key)
		depth := reached(values, key)
		n, _ := values.Find(key[:depth])
		if r.From != nil && value != nil && !s.holds(ctx, value) && !strings.Contains(value.Place.Path, ".tgz!") {
			return fmt.Errorf("the Application or HelmRelease of %s decides it, which another chart renders", r.From.Path)
		}
		for depth > 0 && !s.holds(ctx, n) {
			depth--
			n, _ = values.Find(key[:depth])
		}
		if value == nil && setting.Value == nil {
			return errors.New("the key is not in the values")
		}
		if s.holds(ctx, n) {
			data, err := s.read(ctx, n.Place.Path)
			if err != nil {
				return err
			}
			at, ok := kubernetes.Locate(data, n)
			if !ok {
				return fmt.Errorf("%s: the value has no line of its own", n.Place.Path)
			}
			if depth < len(key) && setting.Value == nil {
				return errors.New("the key is in a packed chart; a null in the values would take it away")
			}
			return s.set(ctx, n.Place.Path, at.Below(key[depth:]...), setting.Value)
		}
		file = path.Join(r.Chart, "values.yaml")
	}
	data, err := s.read(ctx, file)
	if err != nil {
		return err
	}
	docs, _ := kubernetes.Documents(file, data)
	if len(docs) == 0 {
		if setting.Value == nil || len(bytes.TrimSpace(data)) > 0 {
			return fmt.Errorf("%s holds no values", file)
		}
		s.write(file, append(slices.Clone(data), []byte(kubernetes.BlockText(kubernetes.Nest(key, setting.Value), 0, "\n", false)+"\n")...))
		return nil
	}
	at, ok := kubernetes.Locate(data, docs[0])
	if !ok {
		return fmt.Errorf("%s: no map of values", file)
	}
	return s.set(ctx, file, at.Below(key...), setting.Value)
}

// holds says whether a value stands in a file of the tree.
func (s *state) holds(ctx context.Context, n *kubernetes.Node) bool {
	if n == nil || n.Place.Path == "" || strings.Contains(n.Place.Path, ".tgz!") {
		return false
	}
	_, err := s.read(ctx, n.Place.Path)
	return err == nil
}

// editTemplate edits lines of a chart's template that are the same text as rendered.
func editTemplate(ctx context.Context, s *state, a *ask, o *kubernetes.Object) error {
	if o.Release() == nil {
		return errors.New("the object is from no chart")
	}
	rendered, name := o.Template()
	template, err := s.read(ctx, name)
	if err != nil {
		return fmt.Errorf("the template is in a packed chart: raise the chart's version, or ask its makers: %w", err)
	}
	value, parent := o.Root.Find(a.path)
	if value != nil {
		n := value
		at, ok := kubernetes.Locate([]byte(rendered), n)
		if !ok {
			return errors.New("the rendered value is not found again")
		}
		var edited kubernetes.Edited
		if a.remove {
			edited, err = kubernetes.Remove([]byte(rendered), at)
		} else {
			edited, err = kubernetes.Set([]byte(rendered), at, a.want)
		}
		if err != nil {
			return err
		}
		fresh, err := intoTemplate(template, rendered, string(edited.Data))
		if err != nil {
			return err
		}
		s.write(name, fresh)
		return nil
	}
	if a.remove {
		return errors.New("the field is not there")
	}
	depth := reached(o.Root, a.path)
	if parent == nil || parent.Shape != kubernetes.Map || depth == len(a.path) {
		return errors.New("the template has no map to add it to")
	}
	block := kubernetes.Nest(a.path[depth:], a.want)
	key := objectKey{}
	for i, k := range keysOf(s.now) {
		if s.now.Objects[i] == o {
			key = k
		}
	}
	lines := strings.Split(rendered, "\n")
	// Below a value of one line, else above the line of a key.
	tries := 0
	for _, below := range []bool{true, false} {
		for _, entry := range slices.Backward(parent.Fields) {
			oneLine := entry.Value.Shape == kubernetes.Scalar && entry.Value.Place.Line == entry.Line && entry.Value.Place.EndLine == entry.Line
			if entry.Line > len(lines) || below && !oneLine || !below && strings.HasPrefix(strings.TrimSpace(lines[entry.Line-1]), "- ") {
				continue
			}
			line, _ := kubernetes.TemplateLine(string(template), rendered, entry.Line)
			if line == 0 || tries == maxPlaces {
				continue
			}
			tries++
			before := s.save()
			s.write(name, insertLines(template, line, block, below))
			if _, err := s.reload(ctx); err != nil {
				return err
			}
			if other := s.object(key); other != nil && a.met(other) {
				return nil
			}
			s.restore(before)
		}
	}
	return errors.New("no line of the template is surely in the same map")
}

// maxPlaces bounds at how many lines of a template an entry is tried.
const maxPlaces = 8

// insertLines adds a block below or above a line of a template, in the column of its key.
func insertLines(template []byte, line int, block *kubernetes.Node, below bool) []byte {
	all := splitLines(template)
	text := string(bytes.TrimRight(all[line-1], "\r\n"))
	indent := len(text) - len(strings.TrimLeft(text, " "))
	for strings.HasPrefix(text[indent:], "- ") {
		indent += 2
		indent += len(text[indent:]) - len(strings.TrimLeft(text[indent:], " "))
	}
	eol := "\n"
	if bytes.HasSuffix(all[line-1], []byte("\r\n")) {
		eol = "\r\n"
	}
	if !below {
		line--
	}
	fresh := bytes.Join(all[:line], nil)
	added := kubernetes.BlockText(block, indent, eol, true)
	if len(fresh) > 0 && !bytes.HasSuffix(fresh, []byte("\n")) {
		return append(append(fresh, eol...), added...)
	}
	fresh = append(append(fresh, added...), eol...)
	return append(fresh, bytes.Join(all[line:], nil)...)
}

// intoTemplate carries changed lines of a rendered text into its template, where the
// lines are the same.
func intoTemplate(template []byte, before, after string) ([]byte, error) {
	hunks := fix.LineEdits("", []byte(before), []byte(after))
	all := splitLines(template)
	for _, h := range slices.Backward(hunks) {
		count := strings.Count(strings.TrimSuffix(h.Old, "\n"), "\n") + 1
		if h.Old == "" {
			return nil, errors.New("the template has no line for it")
		}
		first := 0
		shift := ""
		for i := range count {
			line, exact := kubernetes.TemplateLine(string(template), before, h.Line+i)
			if !exact || i > 0 && line != first+i {
				return nil, fmt.Errorf("line %d as rendered is not literally in the template", h.Line+i)
			}
			if i == 0 {
				first = line
			}
		}
		in := string(all[first-1][:len(all[first-1])-len(bytes.TrimLeft(all[first-1], " "))])
		out := h.Old[:len(h.Old)-len(strings.TrimLeft(h.Old, " "))]
		if len(in) >= len(out) {
			shift = in[len(out):]
		} else if h.New != "" {
			return nil, errors.New("the template is indented less than what it renders")
		}
		eol := "\n"
		if bytes.HasSuffix(all[first-1], []byte("\r\n")) {
			eol = "\r\n"
		}
		var fresh [][]byte
		if h.New != "" {
			for line := range strings.SplitSeq(strings.TrimSuffix(h.New, "\n"), "\n") {
				fresh = append(fresh, []byte(shift+strings.TrimSuffix(line, "\r")+eol))
			}
		}
		all = slices.Replace(all, first-1, first-1+count, fresh...)
	}
	return bytes.Join(all, nil), nil
}

func splitLines(data []byte) [][]byte {
	var lines [][]byte
	for line := range bytes.Lines(data) {
		lines = append(lines, line)
	}
	return lines
}
