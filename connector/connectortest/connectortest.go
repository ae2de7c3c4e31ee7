// Package connectortest is what every source of facts must hold, and a sink that
// records what a source says.
package connectortest

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
)

// Recorder is a sink that keeps what it is given. The zero value is ready and
// safe for concurrent use.
type Recorder struct {
	// Skip are the scopes that an interrupted run has covered.
	Skip map[string]bool
	// Fail, when set, may refuse a fact; the count starts at 1.
	Fail func(count int) error

	mu        sync.Mutex
	count     int
	Nodes     []Fact[fact.Node]
	Relations []Fact[fact.Relation]
	Claims    []Fact[fact.Claim]
	Findings  []Fact[*fact.Finding]
	Reports   []Fact[Report]
	Complete  []string
	Gaps      []Fact[string]
	Notes     []Fact[string]
}

// Fact is something said, with its scope.
type Fact[T any] struct {
	Scope string
	Value T
}

// Report is a report handed on as it stands.
type Report struct {
	Name string
	Data string
}

var _ connector.Sink = (*Recorder)(nil)

// Done implements connector.Sink.
func (r *Recorder) Done(scope string) bool { return r.Skip[scope] }

func add[T any](r *Recorder, list *[]Fact[T], scope string, value T) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count++
	if r.Fail != nil {
		if err := r.Fail(r.count); err != nil {
			return err
		}
	}
	*list = append(*list, Fact[T]{scope, value})
	return nil
}

// Node implements connector.Sink.
func (r *Recorder) Node(scope string, node fact.Node) error {
	node.Properties = maps.Clone(node.Properties)
	return add(r, &r.Nodes, scope, node)
}

// Relation implements connector.Sink.
func (r *Recorder) Relation(scope string, relation fact.Relation) error {
	return add(r, &r.Relations, scope, relation)
}

// Claim implements connector.Sink.
func (r *Recorder) Claim(scope string, claim fact.Claim) error {
	return add(r, &r.Claims, scope, claim)
}

// Finding implements connector.Sink.
func (r *Recorder) Finding(scope string, _ fact.Run, finding *fact.Finding) error {
	return add(r, &r.Findings, scope, finding)
}

// Report implements connector.Sink.
func (r *Recorder) Report(scope, name string, data io.Reader) error {
	text, err := io.ReadAll(data)
	if err != nil {
		return err
	}
	return add(r, &r.Reports, scope, Report{name, string(text)})
}

// Covered implements connector.Sink.
func (r *Recorder) Covered(scope string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Complete = append(r.Complete, scope)
	return nil
}

// Gap implements connector.Sink.
func (r *Recorder) Gap(scope string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Gaps = append(r.Gaps, Fact[string]{scope, err.Error()})
}

// Note implements connector.Sink.
func (r *Recorder) Note(scope, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Notes = append(r.Notes, Fact[string]{scope, text})
}

// Progress implements connector.Sink.
func (r *Recorder) Progress(string, int, int) {}

// Asset gives the node of a kind and key, as all that was said of it together;
// false when nothing was.
func (r *Recorder) Asset(kind, key string) (fact.Node, bool) {
	all := fact.Node{Properties: map[string]string{}}
	found := false
	for _, said := range r.Nodes {
		if said.Value.Kind == kind && said.Value.Key == key {
			found = true
			all.Asset = said.Value.Asset
			maps.Copy(all.Properties, said.Value.Properties)
		}
	}
	return all, found
}

// Edges lists the relations of a kind as "from -> to", sorted, each once.
func (r *Recorder) Edges(kind fact.RelationKind) []string {
	var list []string
	for _, said := range r.Relations {
		if said.Value.Kind == kind {
			list = append(list, said.Value.From.Key+" -> "+said.Value.To.Key)
		}
	}
	slices.Sort(list)
	return slices.Compact(list)
}

// Lines gives everything that was said, a line each, sorted: the order in which
// a source that works concurrently speaks is nobody's matter.
func (r *Recorder) Lines() []string {
	var lines []string
	line := func(what string, v any) {
		text, err := json.Marshal(v)
		if err != nil {
			text = []byte(err.Error())
		}
		lines = append(lines, what+" "+string(text))
	}
	each(r.Nodes, "node", line)
	each(r.Relations, "relation", line)
	each(r.Claims, "claim", line)
	each(r.Findings, "finding", line)
	each(r.Reports, "report", line)
	each(r.Gaps, "gap", line)
	each(r.Notes, "note", line)
	for _, scope := range r.Complete {
		lines = append(lines, "covered "+scope)
	}
	slices.Sort(lines)
	return lines
}

func each[T any](list []Fact[T], what string, line func(string, any)) {
	for _, said := range list {
		line(what, said)
	}
}

// scopes lists the scopes that something was said in.
func (r *Recorder) scopes() []string {
	return slices.Compact(slices.Sorted(slices.Values(slices.Concat(
		scopesOf(r.Nodes), scopesOf(r.Relations), scopesOf(r.Claims), scopesOf(r.Findings), scopesOf(r.Reports)))))
}

func scopesOf[T any](list []Fact[T]) []string {
	scopes := make([]string, len(list))
	for i, said := range list {
		scopes[i] = said.Scope
	}
	return scopes
}

// Run syncs a source once with settings as a person gives them.
func Run(t *testing.T, source connector.Source, given map[string]string, into *Recorder) error {
	t.Helper()
	values, err := connector.Check(source.Settings(), given)
	if err != nil {
		t.Fatal(err)
	}
	return source.Sync(t.Context(), values, into)
}

// Conformance checks what every source must hold, with settings that it can be
// run with; each must make it say something.
func Conformance(t *testing.T, source connector.Source, settings ...map[string]string) {
	t.Helper()
	description := source.Describe()
	if !strings.HasPrefix(description.ID, "connector/") || description.Name == "" || description.Docs == "" {
		t.Errorf("the source describes itself as %+v; expected an ID below connector/, a name and docs", description)
	}
	checkSettings(t, source.Settings())
	for i, given := range settings {
		t.Run(fmt.Sprintf("settings %d", i), func(t *testing.T) {
			first := &Recorder{}
			if err := Run(t, source, given, first); err != nil {
				t.Fatalf("sync: %v", err)
			}
			if len(first.Nodes)+len(first.Relations)+len(first.Claims)+len(first.Findings)+len(first.Reports) == 0 {
				t.Fatal("the source said nothing")
			}
			second := &Recorder{}
			if err := Run(t, source, given, second); err != nil {
				t.Fatalf("second sync: %v", err)
			}
			if a, b := first.Lines(), second.Lines(); !slices.Equal(a, b) {
				t.Errorf("the same system gave other facts the second time:\n%s", difference(a, b))
			}
			checkFacts(t, first)
			checkScopes(t, first)
			checkSecrets(t, source.Settings(), given, first)
			checkResume(t, source, given, first)
			checkRefusal(t, source, given, first)
			checkCancel(t, source, given)
		})
	}
}

func checkSettings(t *testing.T, settings []connector.Setting) {
	t.Helper()
	given := map[string]string{}
	for _, setting := range settings {
		if setting.Name == "" || setting.Help == "" || setting.Kind == "" || strings.ToLower(setting.Name) != setting.Name {
			t.Errorf("setting %+v: expected a lower-case name, a kind and help", setting)
		}
		if setting.Kind == connector.SettingChoice && len(setting.Choices) == 0 {
			t.Errorf("setting %s is a choice of nothing", setting.Name)
		}
		if setting.Required {
			given[setting.Name] = cmp.Or(setting.Default, "https://example.test")
			if setting.Kind == connector.SettingChoice {
				given[setting.Name] = setting.Choices[0]
			}
		}
	}
	if _, err := connector.Check(settings, given); err != nil {
		t.Errorf("the settings refuse their own defaults: %v", err)
	}
	given["no-such-setting"] = "x"
	if _, err := connector.Check(settings, given); err == nil {
		t.Error("an unknown setting is not refused")
	}
}

func checkFacts(t *testing.T, r *Recorder) {
	t.Helper()
	asset := func(what string, a fact.Asset) {
		if a.Kind == "" || a.Key == "" {
			t.Errorf("%s names the asset %+v; expected a kind and a key", what, a)
		}
	}
	evidence := func(what string, e fact.Evidence) {
		known := []fact.Strength{fact.Proven, fact.Attested, fact.Declared, fact.Derived, fact.Guess}
		if e.Method == "" || e.Source == "" || !slices.Contains(known, e.Strength) {
			t.Errorf("%s has the evidence %+v; expected method, source and strength", what, e)
		}
	}
	for _, said := range r.Nodes {
		asset("a node", said.Value.Asset)
	}
	for _, said := range r.Relations {
		v := said.Value
		what := fmt.Sprintf("the relation %s %s %s", v.From.Key, v.Kind, v.To.Key)
		asset(what, v.From)
		asset(what, v.To)
		evidence(what, v.Evidence)
		if v.Kind == "" || v.Confidence < 0 || v.Confidence > 1 {
			t.Errorf("%s: kind %q, confidence %v; expected a kind and 0..1", what, v.Kind, v.Confidence)
		}
	}
	for _, said := range r.Claims {
		what := "the claim on " + said.Value.Subject.Key
		asset(what, said.Value.Subject)
		evidence(what, said.Value.Evidence)
		if said.Value.Owner.ID == "" || said.Value.Role == "" {
			t.Errorf("%s names owner %+v as %q; expected both", what, said.Value.Owner, said.Value.Role)
		}
	}
}

// checkScopes holds that each scope is covered or has a gap, and covered once.
func checkScopes(t *testing.T, r *Recorder) {
	t.Helper()
	told := map[string]bool{}
	for _, scope := range r.Complete {
		if told[scope] {
			t.Errorf("scope %q was covered twice", scope)
		}
		told[scope] = true
	}
	for _, gap := range r.Gaps {
		if told[gap.Scope] && slices.Contains(r.Complete, gap.Scope) {
			t.Errorf("scope %q was covered and has the gap %s", gap.Scope, gap.Value)
		}
		told[gap.Scope] = true
	}
	for _, scope := range r.scopes() {
		if !told[scope] {
			t.Errorf("something was said in scope %q, which was neither covered nor named as a gap", scope)
		}
	}
}

func checkSecrets(t *testing.T, settings []connector.Setting, given map[string]string, r *Recorder) {
	t.Helper()
	all := strings.Join(r.Lines(), "\n")
	for _, setting := range settings {
		if secret := given[setting.Name]; setting.Kind == connector.SettingSecret && len(secret) > 5 && strings.Contains(all, secret) {
			t.Errorf("the secret of setting %s is in what the source says", setting.Name)
		}
	}
}

// checkResume holds that a resumed run says nothing in scopes that are done.
func checkResume(t *testing.T, source connector.Source, given map[string]string, first *Recorder) {
	t.Helper()
	resumed := &Recorder{Skip: map[string]bool{}}
	for _, scope := range first.Complete {
		resumed.Skip[scope] = true
	}
	if err := Run(t, source, given, resumed); err != nil {
		t.Errorf("resumed sync: %v", err)
	}
	for _, scope := range append(resumed.scopes(), resumed.Complete...) {
		if resumed.Skip[scope] {
			t.Errorf("the resumed run read scope %q again", scope)
		}
	}
}

// checkRefusal holds that an error of the sink ends the run with it.
func checkRefusal(t *testing.T, source connector.Source, given map[string]string, first *Recorder) {
	t.Helper()
	full := errors.New("the disk is full")
	for _, at := range []int{1, 2} {
		if at > len(first.Nodes)+len(first.Relations)+len(first.Claims)+len(first.Findings)+len(first.Reports) {
			continue
		}
		err := Run(t, source, given, &Recorder{Fail: func(count int) error {
			if count >= at {
				return full
			}
			return nil
		}})
		if !errors.Is(err, full) {
			t.Errorf("the sink refused fact %d: the run ended with %v, expected that error", at, err)
		}
	}
}

// checkCancel holds that a cancelled run returns soon, with the reason.
func checkCancel(t *testing.T, source connector.Source, given map[string]string) {
	t.Helper()
	values, err := connector.Check(source.Settings(), given)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ended := make(chan error, 1)
	go func() { ended <- source.Sync(ctx, values, &Recorder{}) }()
	select {
	case err := <-ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled run ended with %v, expected context.Canceled", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("a cancelled run goes on")
	}
}

// difference lists the lines that only one of two sorted lists has.
func difference(a, b []string) string {
	var only []string
	for _, line := range a {
		if _, ok := slices.BinarySearch(b, line); !ok {
			only = append(only, "- "+line)
		}
	}
	for _, line := range b {
		if _, ok := slices.BinarySearch(a, line); !ok {
			only = append(only, "+ "+line)
		}
	}
	return strings.Join(only[:min(len(only), 20)], "\n")
}
