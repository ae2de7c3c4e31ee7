package terraform

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/zclconf/go-cty/cty"
	"golang.org/x/text/encoding/unicode"
	"golang.org/x/text/transform"
)

// maxState bounds a state or plan, in bytes.
const maxState = 512 << 20

// Instance is one resource instance of a state or plan.
type Instance struct {
	Address  Address
	Provider string
	// ID, ARN and Name are what the cloud calls it, "" when the state does not say.
	ID, ARN, Name string

	attributes map[string]any
	sensitive  any // marks, in the shape of the attributes: true where sensitive
	unknown    any // the same for what a plan cannot know yet
	hidden     [][]any
}

// State is what a state file, a plan or terraform show -json says.
type State struct {
	Kind      string // state, show or plan
	Version   string // of Terraform
	Instances []Instance
}

// ErrStateVersion says that a state is of a version that is not read.
var ErrStateVersion = errors.New("version of the state is not read")

// ReadState reads a state file of version 4, or the JSON that terraform show gives
// of a state or a plan.
func ReadState(in io.Reader) (*State, error) {
	data, err := io.ReadAll(io.LimitReader(in, maxState+1))
	if err == nil {
		// PowerShell writes UTF-16 where others write UTF-8; the mark in front tells.
		data, _, err = transform.Bytes(unicode.BOMOverride(transform.Nop), data)
	}
	if err != nil {
		return nil, err
	}
	if len(data) > maxState {
		return nil, fmt.Errorf("state is larger than %d MiB", maxState>>20)
	}
	if line, why := jsonNesting(data); line > 0 {
		return nil, fmt.Errorf("line %d: %s", line, why)
	}
	var head struct {
		Version   *json.Number    `json:"version"`
		Terraform string          `json:"terraform_version"`
		Format    string          `json:"format_version"`
		Resources []stateResource `json:"resources"`
		Values    *shownValues    `json:"values"`
		Planned   *shownValues    `json:"planned_values"`
		Changes   []planChange    `json:"resource_changes"`
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&head); err != nil {
		return nil, fmt.Errorf("expected the JSON of a state or plan: %w", located(err, data))
	}
	state := &State{Version: head.Terraform}
	switch {
	case head.Planned != nil || head.Changes != nil:
		state.Kind = "plan"
		if head.Planned != nil {
			head.Planned.Root.collect(state)
		}
		state.changes(head.Changes)
	case head.Format != "":
		state.Kind = "show"
		if head.Values != nil {
			head.Values.Root.collect(state)
		}
	case head.Version != nil:
		state.Kind = "state"
		version, err := strconv.Atoi(head.Version.String())
		switch {
		case err != nil:
			return nil, fmt.Errorf("version %q: %w", *head.Version, ErrStateVersion)
		case version < 4:
			return nil, fmt.Errorf("%w: it is %d, which Terraform before 0.12 wrote; a newer Terraform rewrites it as 4", ErrStateVersion, version)
		case version > 4:
			return nil, fmt.Errorf("%w: it is %d, expected 4", ErrStateVersion, version)
		}
		for i := range head.Resources {
			if err := head.Resources[i].collect(state); err != nil {
				return nil, err
			}
		}
	default:
		return nil, errors.New(`expected a state ("version", "resources") or what terraform show -json gives ("format_version")`)
	}
	slices.SortStableFunc(state.Instances, func(a, b Instance) int { return strings.Compare(a.Address.String(), b.Address.String()) })
	return state, nil
}

// located adds the line to an error of the decoder.
func located(err error, data []byte) error {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Errorf("line %d: %w", 1+bytes.Count(data[:min(int(syntax.Offset), len(data))], []byte{'\n'}), err)
	}
	return err
}

type stateResource struct {
	Module    string `json:"module"`
	Mode      string `json:"mode"`
	Type      string `json:"type"`
	Name      string `json:"name"`
	Provider  string `json:"provider"`
	Instances []struct {
		Key        any               `json:"index_key"`
		Attributes map[string]any    `json:"attributes"`
		Flat       map[string]string `json:"attributes_flat"`
		Sensitive  []json.RawMessage `json:"sensitive_attributes"`
	} `json:"instances"`
}

func (r *stateResource) collect(state *State) error {
	text := r.Type + "." + r.Name
	if r.Mode == "data" {
		text = "data." + text
	}
	if r.Module != "" {
		text = r.Module + "." + text
	}
	address, _, err := ParseAddress(text)
	if err != nil {
		return err
	}
	for _, i := range r.Instances {
		own := Instance{Address: address, Provider: r.Provider, attributes: i.Attributes}
		own.Address.Key = keyOf(i.Key)
		if own.attributes == nil {
			own.attributes = map[string]any{}
			for name, value := range i.Flat {
				own.attributes[name] = value
			}
		}
		for _, path := range i.Sensitive {
			own.hidden = append(own.hidden, statePath(path))
		}
		own.name()
		state.Instances = append(state.Instances, own)
	}
	return nil
}

// statePath reads a path of sensitive_attributes, as its two forms write it.
func statePath(raw json.RawMessage) []any {
	var steps []struct {
		Type  string `json:"type"`
		Value any    `json:"value"`
	}
	if err := json.Unmarshal(raw, &steps); err != nil {
		return nil // the whole value
	}
	var path []any
	for _, s := range steps {
		if object, ok := s.Value.(map[string]any); ok {
			path = append(path, object["value"])
			continue
		}
		path = append(path, s.Value)
	}
	return path
}

func keyOf(key any) cty.Value {
	switch k := key.(type) {
	case string:
		return cty.StringVal(k)
	case json.Number:
		if n, err := strconv.ParseInt(k.String(), 10, 64); err == nil {
			return cty.NumberIntVal(n)
		}
	case float64:
		return cty.NumberIntVal(int64(k))
	}
	return cty.NilVal
}

type shownValues struct {
	Root shownModule `json:"root_module"`
}

type shownModule struct {
	Address   string `json:"address"`
	Resources []struct {
		Address   string         `json:"address"`
		Mode      string         `json:"mode"`
		Type      string         `json:"type"`
		Name      string         `json:"name"`
		Provider  string         `json:"provider_name"`
		Values    map[string]any `json:"values"`
		Sensitive any            `json:"sensitive_values"`
	} `json:"resources"`
	Children []shownModule `json:"child_modules"`
}

func (m *shownModule) collect(state *State) {
	for _, r := range m.Resources {
		address, _, err := ParseAddress(r.Address)
		if err != nil {
			continue // an address that this version writes otherwise
		}
		i := Instance{Address: address, Provider: r.Provider, attributes: r.Values, sensitive: r.Sensitive}
		if i.attributes == nil {
			i.attributes = map[string]any{}
		}
		i.name()
		state.Instances = append(state.Instances, i)
	}
	for c := range m.Children {
		m.Children[c].collect(state)
	}
}

type planChange struct {
	Address string `json:"address"`
	Change  struct {
		Actions   []string `json:"actions"`
		After     any      `json:"after"`
		Sensitive any      `json:"after_sensitive"`
		Unknown   any      `json:"after_unknown"`
	} `json:"change"`
}

// changes completes the planned values by what each change says.
func (s *State) changes(list []planChange) {
	at := map[string]int{}
	for i := range s.Instances {
		at[s.Instances[i].Address.String()] = i
	}
	for _, c := range list {
		address, _, err := ParseAddress(c.Address)
		if err != nil || slices.Equal(c.Change.Actions, []string{"delete"}) {
			continue
		}
		i, known := at[address.String()]
		if !known {
			after, _ := c.Change.After.(map[string]any)
			if after == nil {
				continue
			}
			s.Instances = append(s.Instances, Instance{Address: address, attributes: after})
			i = len(s.Instances) - 1
			s.Instances[i].name()
		}
		s.Instances[i].unknown = c.Change.Unknown
		if s.Instances[i].sensitive == nil {
			s.Instances[i].sensitive = c.Change.Sensitive
		}
	}
}

// name reads what the cloud calls the instance.
func (i *Instance) name() {
	text := func(names ...string) string {
		for _, name := range names {
			if s, ok := i.attributes[name].(string); ok && s != "" {
				return s
			}
		}
		return ""
	}
	i.ID = text("id", "self_link")
	i.ARN = text("arn", "self_link")
	if strings.HasPrefix(i.ID, "/subscriptions/") || strings.HasPrefix(i.ID, "arn:") {
		i.ARN = i.ID
	}
	i.Name = text("name", "bucket", "function_name", "cluster_name", "identifier", "db_name")
}

// Attribute gives a value by its path as plain JSON data. Hidden says that it is
// sensitive, known that the state or plan has it.
func (i *Instance) Attribute(path []cty.Value) (value any, known, hidden bool) {
	value = i.attributes
	marks, doubts := i.sensitive, i.unknown
	var walked []any
	for _, key := range path {
		text, ok := keyText(key)
		if !ok {
			return nil, false, false
		}
		walked = append(walked, text)
		if marks == true || i.covers(walked) {
			hidden = true
		}
		if doubts == true {
			return nil, false, hidden
		}
		switch v := value.(type) {
		case map[string]any:
			if value, ok = v[text]; !ok {
				return nil, false, hidden
			}
		case []any:
			n, err := strconv.Atoi(text)
			if err != nil || n < 0 || n >= len(v) {
				return nil, false, hidden
			}
			value = v[n]
		default:
			return nil, false, hidden
		}
		marks, doubts = member(marks, text), member(doubts, text)
	}
	return value, doubts != true, hidden || holds(marks)
}

func member(v any, key string) any {
	switch of := v.(type) {
	case map[string]any:
		return of[key]
	case []any:
		if n, err := strconv.Atoi(key); err == nil && n >= 0 && n < len(of) {
			return of[n]
		}
	case bool:
		return of
	}
	return nil
}

// holds says whether anything below is marked.
func holds(marks any) bool {
	switch m := marks.(type) {
	case bool:
		return m
	case map[string]any:
		for _, below := range m {
			if holds(below) {
				return true
			}
		}
	case []any:
		return slices.ContainsFunc(m, holds)
	}
	return false
}

// covers says whether a path of sensitive_attributes leads to or above a path.
func (i *Instance) covers(walked []any) bool {
	return slices.ContainsFunc(i.hidden, func(path []any) bool {
		if len(path) > len(walked) {
			return false
		}
		for n := range path {
			if fmt.Sprint(path[n]) != fmt.Sprint(walked[n]) {
				return false
			}
		}
		return true
	})
}

// Find gives the instance at an address, nil when there is none. A key that the
// address lacks matches the only instance.
func (s *State) Find(a Address) *Instance {
	var found *Instance
	for i := range s.Instances {
		own := s.Instances[i].Address
		if own.String() == a.String() {
			return &s.Instances[i]
		}
		own.Key = cty.NilVal
		if a.Key == cty.NilVal && own.String() == a.String() {
			if found != nil {
				return nil
			}
			found = &s.Instances[i]
		}
	}
	return found
}

// Verdicts of a comparison with a state.
const (
	Proven     = "proven"     // the traced value is the one that stands
	Drift      = "drift"      // another one stands
	Unverified = "unverified" // one of the two is not known
)

// Compare holds a trace against the value that stands in a state or plan.
func (t *Trace) Compare(i *Instance, path []cty.Value) string {
	if i == nil || t.value == cty.NilVal || !t.value.IsWhollyKnown() {
		return Unverified
	}
	value, known, hidden := i.Attribute(path)
	if hidden {
		t.Sensitive, t.Value = true, ""
	}
	if !known {
		return Unverified
	}
	traced := jsonText(t.value)
	standing, err := json.Marshal(value)
	if traced == "" || err != nil {
		return Unverified
	}
	if sameJSON(traced, string(standing)) {
		return Proven
	}
	return Drift
}

// sameJSON compares values as Terraform converts them: "true" is true, "1" is 1,
// and null is nothing.
func sameJSON(a, b string) bool {
	var x, y any
	for _, one := range []struct {
		text string
		into *any
	}{{a, &x}, {b, &y}} {
		decoder := json.NewDecoder(strings.NewReader(one.text))
		decoder.UseNumber()
		if decoder.Decode(one.into) != nil {
			return false
		}
	}
	return same(x, y)
}

func same(a, b any) bool {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			return false
		}
		for key := range x {
			if !same(x[key], y[key]) {
				return false
			}
		}
		for key := range y {
			if _, both := x[key]; !both && y[key] != nil {
				return false
			}
		}
		return true
	case []any:
		y, ok := b.([]any)
		if !ok || len(x) != len(y) {
			return false
		}
		for i := range x {
			if !same(x[i], y[i]) {
				return false
			}
		}
		return true
	}
	switch b.(type) {
	case map[string]any, []any:
		return false
	}
	return a == nil && b == nil || a != nil && b != nil && fmt.Sprint(a) == fmt.Sprint(b)
}
