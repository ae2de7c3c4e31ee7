package connector

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// Source brings facts from an outside system, or from files exported from it.
//
// A source reads in scopes, each a part of the system that is seen or not seen
// as a whole: a region's instances, a namespace, a file. What an earlier run saw
// in a scope and this one does not is gone only when this run says that it
// covered the scope; a scope that failed is a gap, and everything in it stays.
type Source interface {
	Describe() Description
	// Settings lists what the source is told, in the order of a form.
	Settings() []Setting
	// Sync reads the system once into sink. An error ends the run; what fails in
	// one scope only is given to sink.Gap, and the rest goes on. It holds at most
	// one page in memory and returns soon after ctx ends.
	Sync(ctx context.Context, values Values, sink Sink) error
}

// Sink takes what a source sees. Its methods are safe for concurrent use; an
// error of one means that the run must end with it.
type Sink interface {
	// Done says that the interrupted run that this one resumes has covered the
	// scope, so that it need not be read again.
	Done(scope string) bool
	Node(scope string, node fact.Node) error
	Relation(scope string, relation fact.Relation) error
	Claim(scope string, claim fact.Claim) error
	// Finding takes a finding that the system itself made; run names its detector.
	Finding(scope string, run fact.Run, finding *fact.Finding) error
	// Report takes findings in the words of the system's own export, for example
	// Security Hub's answer, which the readers of reports decode: a connector knows
	// none of them. name tells what it is, for errors. A report that cannot be read
	// leaves a gap in the scope, and is no error.
	Report(scope, name string, data io.Reader) error
	// Covered says that everything in the scope was given.
	Covered(scope string) error
	// Gap says that a scope could not be read, or only in part, and why.
	Gap(scope string, err error)
	// Note tells people of something odd that was read, such as a reference to
	// nothing; the scope stays complete.
	Note(scope, text string)
	// Progress tells how far the run is; total is 0 when unknown.
	Progress(stage string, done, total int)
}

// SettingKind is the type of a setting's value.
type SettingKind string

// Kinds of settings.
const (
	SettingText   SettingKind = "text"
	SettingList   SettingKind = "list"   // comma-separated
	SettingPath   SettingKind = "path"   // file or folder
	SettingURL    SettingKind = "url"    // http or https
	SettingSecret SettingKind = "secret" // by reference: env:NAME or file:PATH
	SettingChoice SettingKind = "choice" // one of Choices
)

// Setting is one thing that a source is told.
type Setting struct {
	Name     string      `json:"name"` // lower case with dashes, for example "kubeconfig"
	Kind     SettingKind `json:"kind"`
	Help     string      `json:"help"`
	Default  string      `json:"default,omitempty"`
	Required bool        `json:"required,omitempty"`
	Choices  []string    `json:"choices,omitempty"`
}

// Values are settings with their values, checked and with secrets resolved.
type Values map[string]string

// List gives a SettingList's elements, none for an empty value.
func (v Values) List(name string) []string {
	var list []string
	for part := range strings.SplitSeq(v[name], ",") {
		if part = strings.TrimSpace(part); part != "" {
			list = append(list, part)
		}
	}
	return list
}

// Check completes values with the defaults and refuses unknown names, missing
// values and choices that do not exist.
func Check(settings []Setting, given map[string]string) (Values, error) {
	values := Values{}
	for _, setting := range settings {
		value, set := given[setting.Name]
		if !set || value == "" {
			value = setting.Default
		}
		if value == "" && setting.Required {
			return nil, fmt.Errorf("setting %s is missing: %s", setting.Name, setting.Help)
		}
		if setting.Kind == SettingChoice && value != "" && !slices.Contains(setting.Choices, value) {
			return nil, fmt.Errorf("setting %s is %q: expected one of %s", setting.Name, value, strings.Join(setting.Choices, ", "))
		}
		if setting.Kind == SettingURL && value != "" && !strings.HasPrefix(value, "https://") && !strings.HasPrefix(value, "http://") {
			return nil, fmt.Errorf("setting %s is %q: expected an http or https address", setting.Name, value)
		}
		values[setting.Name] = value
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if _, known := values[name]; !known {
			return nil, fmt.Errorf("there is no setting %q; expected one of %s", name, names(settings))
		}
	}
	return values, nil
}

func names(settings []Setting) string {
	list := make([]string, len(settings))
	for i, setting := range settings {
		list[i] = setting.Name
	}
	return strings.Join(list, ", ")
}
