package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/backstitch/backstitch/builtin"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/report"
	"github.com/backstitch/backstitch/scan"
)

// benchmarkB14 carries out what a peer's rules say would fix its failing cases.
//
// A case is a folder of objects that fail a rule, with the paths that the rule names:
// those to set with their value, those to delete, those to look at. They are put into a
// report of that peer, the report is read as any other, the fixer plans and applies its
// first path, and the files are read again by a YAML reader that is not ours. A case is
// clean when every named path holds its value or is gone, and nothing else of any file
// differs. Where the value is a blank for people to fill in, a person is stood in for by
// the blank's own text. Cases that only name what to look at are counted apart.
//
//	fixed_clean  share of cases with a path to set or delete that are clean afterwards
//	still_seen   cases of which our own scanner, by the same rule, sees a named field
//	             before and after: what was told is not enough for it, as where a field
//	             is to be deleted whose default is as bad; those with a blank are left out
var benchmarkB14 = Benchmark{
	ID: "B14", Title: "Kubernetes policy fixes", Needs: "iac-policy/kubescape-rules",
	Targets: map[string]float64{"fixed_clean": .95},
	Run:     runB14,
}

// b14Alert is one alert of a case.
type b14Alert struct {
	FailedPaths, ReviewPaths, DeletePaths []string
	FixPaths                              []struct{ Path, Value string }
	AlertObject                           struct {
		K8sAPIObjects   []map[string]any `json:"k8sApiObjects"`
		ExternalObjects map[string]any   `json:"externalObjects"`
	}
}

func (a *b14Alert) object() map[string]any {
	if len(a.AlertObject.K8sAPIObjects) > 0 {
		return a.AlertObject.K8sAPIObjects[0]
	}
	return a.AlertObject.ExternalObjects
}

func runB14(ctx context.Context, data string) (Result, error) {
	result := Result{Metrics: map[string]float64{}}
	self, err := os.Executable()
	if err != nil {
		return result, err
	}
	renderer := kubernetes.ChildRenderer(self)
	var fixer fix.SiteFixer
	for _, one := range builtin.Fixers(renderer) {
		if site, ok := one.(fix.SiteFixer); ok && one.Describe().ID == "fix/kubernetes" {
			fixer = site
		}
	}
	if fixer == nil {
		return result, errors.New("fix/kubernetes is not built in")
	}
	var scanner scan.Scanner
	for _, one := range builtin.Detectors(nil, nil, nil) {
		if one.Describe().ID == "scan/kubernetes" {
			scanner = one
		}
	}
	root := filepath.Join(data, "iac-policy", "kubescape-rules")
	clean, review, blanks, judged, seen := 0, 0, 0, 0, 0
	err = filepath.WalkDir(root, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() != "expected.json" {
			return err
		}
		var alerts []b14Alert
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if err := json.Unmarshal(text, &alerts); err != nil || len(alerts) == 0 {
			return nil
		}
		dir := filepath.Dir(name)
		label, _ := filepath.Rel(root, dir)
		alerts = slices.DeleteFunc(alerts, func(a b14Alert) bool { return len(a.FixPaths)+len(a.DeletePaths) == 0 })
		if len(alerts) == 0 {
			review++
			return nil
		}
		result.Cases++
		rule, _, _ := strings.Cut(filepath.ToSlash(label), "/")
		one := b14Case{label: filepath.ToSlash(label), rule: rule, dir: filepath.Join(dir, "input"), alerts: alerts, fixer: fixer, scanner: scanner}
		why, err := one.run(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", label, err)
		}
		if one.blank {
			blanks++
		}
		if one.seenBefore {
			judged++
			if one.seenAfter {
				seen++
				result.Notes = append(result.Notes, one.label+": our scanner sees it afterwards")
			}
		}
		if why == "" {
			clean++
		} else {
			result.Notes = append(result.Notes, one.label+": "+why)
		}
		return nil
	})
	if err != nil {
		return result, err
	}
	result.Metrics["fixed_clean"] = float64(clean) / float64(max(1, result.Cases))
	result.Metrics["still_seen"] = float64(seen)
	result.Notes = append(result.Notes,
		fmt.Sprintf("%d cases only name what to look at and are left out", review),
		fmt.Sprintf("in %d cases a person is stood in for, who fills in a blank", blanks),
		fmt.Sprintf("our scanner judges %d cases by the same rule", judged))
	return result, nil
}

type b14Case struct {
	label, rule, dir      string
	alerts                []b14Alert
	fixer                 fix.SiteFixer
	scanner               scan.Scanner
	tree                  code.Files
	blank                 bool
	seenBefore, seenAfter bool
}

// run gives why the case is not clean afterwards, "" when it is.
func (c *b14Case) run(ctx context.Context) (string, error) {
	tree := code.Files{}
	entries, err := os.ReadDir(c.dir)
	if err != nil {
		return "no input", nil
	}
	for _, entry := range entries {
		if tree[entry.Name()], err = os.ReadFile(filepath.Join(c.dir, entry.Name())); err != nil {
			return "", err
		}
	}
	c.tree = tree
	flaws, file, why := c.flaws(ctx, tree)
	if why != "" {
		return why, nil
	}
	site := &fix.Site{Location: fact.Location{Path: file}, Flaws: flaws, Tree: tree}
	paths, err := c.fixer.PlanSite(ctx, site)
	if err != nil {
		return "", err
	}
	if len(paths) == 0 {
		return "no path: " + strings.Join(site.Blocked, "; "), nil
	}
	path := paths[0]
	if path.Manual || len(path.Closes) != len(flaws) {
		return fmt.Sprintf("closes %d of %d: %s", len(path.Closes), len(flaws), strings.Join(site.Blocked, "; ")), nil
	}
	dir, err := os.MkdirTemp("", "b14")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(dir)
	for name, text := range tree {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			return "", err
		}
	}
	if _, err := c.fixer.Apply(ctx, dir, path); err != nil {
		return err.Error(), nil
	}
	after := code.Files{}
	for name := range tree {
		if after[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return "", err
		}
	}
	if c.scanner != nil && !c.blank {
		if c.seenBefore, err = c.sees(ctx, tree); err != nil {
			return "", err
		}
		if c.seenAfter, err = c.sees(ctx, after); err != nil {
			return "", err
		}
	}
	return c.judge(tree, after), nil
}

// sees says whether our scanner finds the rule at an object that the case names.
func (c *b14Case) sees(ctx context.Context, tree code.Tree) (bool, error) {
	seen := false
	_, err := c.scanner.Scan(ctx, tree, func(f fact.Finding) error {
		if !slices.Contains(f.Aliases, c.rule) {
			return nil
		}
		for i := range c.alerts {
			o := c.alerts[i].object()
			if file, _ := c.find(c.tree, i); file != f.Path || !strings.Contains(f.Anchor+"#", "/"+b14Text(o, "metadata", "name")+"#") {
				continue
			}
			for _, p := range c.alerts[i].FixPaths {
				seen = seen || p.Path == f.Attributes[fix.AttributeField]
			}
			for _, p := range c.alerts[i].DeletePaths {
				seen = seen || p == f.Attributes[fix.AttributeField]
			}
		}
		return nil
	})
	return seen, err
}

func b14Text(v any, keys ...string) string {
	for _, key := range keys {
		m, _ := v.(map[string]any)
		v = m[key]
	}
	s, _ := v.(string)
	return s
}

// flaws makes a report of the alerts and reads it.
func (c *b14Case) flaws(ctx context.Context, tree code.Files) (flaws []fix.Flaw, file, why string) {
	resources, results := []any{}, []any{}
	for i := range c.alerts {
		a := &c.alerts[i]
		o := a.object()
		name, _ := c.find(tree, i)
		if name == "" {
			return nil, "", "the object is not in the input"
		}
		if file == "" {
			file = name
		}
		id := fmt.Sprintf("path=%d/api=%s/%s/%s/%s", i, b14Text(o, "apiVersion"), b14Text(o, "metadata", "namespace"), b14Text(o, "kind"), b14Text(o, "metadata", "name"))
		resources = append(resources, map[string]any{"resourceID": id, "source": map[string]any{"relativePath": name}, "object": map[string]any{
			"apiVersion": b14Text(o, "apiVersion"), "kind": b14Text(o, "kind"), "metadata": map[string]any{"name": b14Text(o, "metadata", "name"), "namespace": b14Text(o, "metadata", "namespace")}}})
		paths := []any{}
		for _, p := range a.FailedPaths {
			paths = append(paths, map[string]any{"failedPath": p})
		}
		for _, p := range a.ReviewPaths {
			paths = append(paths, map[string]any{"reviewPath": p})
		}
		for _, p := range a.DeletePaths {
			paths = append(paths, map[string]any{"deletePath": p})
		}
		for _, p := range a.FixPaths {
			paths = append(paths, map[string]any{"fixPath": map[string]any{"path": p.Path, "value": p.Value}})
		}
		results = append(results, map[string]any{"resourceID": id, "controls": []any{map[string]any{"controlID": "C-0000", "name": c.rule,
			"rules": []any{map[string]any{"name": c.rule, "status": "failed", "paths": paths}}}}})
	}
	text, err := json.Marshal(map[string]any{"summaryDetails": map[string]any{"controls": map[string]any{}}, "resources": resources, "results": results})
	if err != nil {
		return nil, "", err.Error()
	}
	var sink b14Sink
	if err := report.Read(ctx, builtin.Readers(), "report.json", bytes.NewReader(text), &sink); err != nil && !errors.Is(err, io.EOF) {
		return nil, "", err.Error()
	}
	if len(sink.findings) != len(c.alerts) {
		return nil, "", fmt.Sprintf("%d findings of %d alerts", len(sink.findings), len(c.alerts))
	}
	for i, f := range sink.findings {
		// The person who fills in blanks.
		for key, value := range f.Attributes {
			if !strings.HasPrefix(key, fix.AttributeWanted) || !strings.HasPrefix(value, "?") {
				continue
			}
			c.blank = true
			field := fix.AttributeField + strings.TrimPrefix(key, fix.AttributeWanted)
			for _, p := range c.alerts[i].FixPaths {
				if p.Path == f.Attributes[field] || strings.HasPrefix(p.Path, f.Attributes[field]+"[YOUR_") {
					f.Attributes[field] = strings.NewReplacer("[YOUR_", ".YOUR_", "]", "").Replace(p.Path)
					if p.Path != "" && !strings.Contains(p.Path, "[YOUR_") {
						f.Attributes[field] = p.Path
					}
					quoted, _ := json.Marshal(p.Value)
					f.Attributes[key] = string(quoted)
				}
			}
		}
		flaws = append(flaws, fix.Flaw{Issue: fmt.Sprintf("issue-%d", i), Kind: fact.Misconfiguration, Told: []fact.Finding{f}, Findings: 1})
	}
	return flaws, file, ""
}

type b14Sink struct{ findings []fact.Finding }

func (s *b14Sink) Run(fact.Run) error             { return nil }
func (s *b14Sink) Component(fact.Component) error { return nil }
func (s *b14Sink) Statement(fact.Statement) error { return nil }
func (s *b14Sink) Finding(f fact.Finding) error   { s.findings = append(s.findings, f); return nil }

// b14Documents reads a file with the YAML reader alone.
func b14Documents(text []byte) []any {
	var all []any
	for d := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var v any
		if d.Decode(&v) != nil {
			return all
		}
		all = append(all, v)
	}
}

// find gives the file and the document that hold the object of an alert. Of as many
// objects of one name as there are alerts of it, each alert has its own.
func (c *b14Case) find(tree code.Files, alert int) (string, int) {
	type place struct {
		file string
		doc  int
	}
	o := c.alerts[alert].object()
	same := func(v any) bool {
		return b14Text(v, "kind") == b14Text(o, "kind") && b14Text(v, "metadata", "name") == b14Text(o, "metadata", "name") &&
			(b14Text(o, "metadata", "namespace") == "" || b14Text(v, "metadata", "namespace") == b14Text(o, "metadata", "namespace"))
	}
	before, all := 0, 0
	for i := range c.alerts {
		if same(c.alerts[i].object()) {
			if all++; i < alert {
				before++
			}
		}
	}
	var places []place
	names, _ := tree.Paths(context.Background())
	for _, name := range names {
		for i, doc := range b14Documents(tree[name]) {
			if same(doc) {
				places = append(places, place{name, i})
			}
		}
	}
	switch {
	case len(places) == 0:
		return "", 0
	case len(places) == all:
		return places[before].file, places[before].doc
	}
	return places[0].file, places[0].doc
}

// judge compares the files before and after with what was told.
func (c *b14Case) judge(before, after code.Files) string {
	expected := map[string][]any{}
	for name := range before {
		expected[name] = b14Documents(before[name])
	}
	type gone struct {
		file string
		doc  int
		path []any
	}
	var removals []gone
	for i := range c.alerts {
		a := &c.alerts[i]
		file, doc := c.find(before, i)
		got := b14Documents(after[file])
		if doc >= len(got) {
			return "documents were lost"
		}
		for _, p := range a.FixPaths {
			path, ok := b14Path(p.Path)
			if !ok {
				return "path " + p.Path + " is not understood"
			}
			value, there := b14Get(got[doc], path)
			if !there || fmt.Sprint(value) != p.Value {
				return fmt.Sprintf("%s is %v, told was %s", p.Path, value, p.Value)
			}
			if expected[file][doc], ok = b14Set(expected[file][doc], path, value); !ok {
				return "path " + p.Path + " leads nowhere"
			}
		}
		for _, p := range a.DeletePaths {
			path, ok := b14Path(p)
			if !ok {
				return "path " + p + " is not understood"
			}
			removals = append(removals, gone{file, doc, path})
		}
	}
	// From the last to the first, so that no index moves.
	slices.SortFunc(removals, func(a, b gone) int { return -strings.Compare(b14Key(a.path), b14Key(b.path)) })
	for i, r := range removals {
		if i > 0 && reflect.DeepEqual(r, removals[i-1]) {
			continue
		}
		expected[r.file][r.doc] = b14Delete(expected[r.file][r.doc], r.path)
	}
	for name, docs := range expected {
		if got := b14Documents(after[name]); !reflect.DeepEqual(got, docs) {
			return name + " holds other changes than those told"
		}
	}
	return ""
}

func b14Key(path []any) string {
	var out strings.Builder
	for _, part := range path {
		if n, ok := part.(int); ok {
			fmt.Fprintf(&out, "\x01%08d", n)
		} else {
			fmt.Fprintf(&out, "\x02%v", part)
		}
	}
	return out.String()
}

var b14Part = regexp.MustCompile(`^(?:\.?([^.\[\]]+)|\[(\d+)\]|\[['"]?([^\]'"]+)['"]?\])`)

func b14Path(text string) ([]any, bool) {
	var out []any
	for text != "" {
		m := b14Part.FindStringSubmatch(text)
		if m == nil {
			return nil, false
		}
		switch {
		case m[2] != "":
			n, _ := strconv.Atoi(m[2])
			out = append(out, n)
		default:
			out = append(out, m[1]+m[3])
		}
		text = text[len(m[0]):]
	}
	return out, len(out) > 0
}

func b14Get(v any, path []any) (any, bool) {
	for _, part := range path {
		switch part := part.(type) {
		case int:
			list, _ := v.([]any)
			if part >= len(list) {
				return nil, false
			}
			v = list[part]
		case string:
			m, _ := v.(map[string]any)
			next, ok := m[part]
			if !ok {
				return nil, false
			}
			v = next
		}
	}
	return v, true
}

func b14Set(v any, path []any, value any) (any, bool) {
	if len(path) == 0 {
		return value, true
	}
	if n, ok := path[0].(int); ok {
		list, isList := v.([]any)
		if v != nil && !isList || n > len(list) {
			return v, false
		}
		list = slices.Clone(list)
		if n == len(list) {
			list = append(list, nil)
		}
		list[n], ok = b14Set(list[n], path[1:], value)
		return list, ok
	}
	m, isMap := v.(map[string]any)
	if v != nil && !isMap {
		return v, false
	}
	copied := map[string]any{}
	for k, old := range m {
		copied[k] = old
	}
	key := path[0].(string)
	var ok bool
	copied[key], ok = b14Set(copied[key], path[1:], value)
	return copied, ok
}

func b14Delete(v any, path []any) any {
	switch part := path[0].(type) {
	case int:
		list, _ := v.([]any)
		if part >= len(list) {
			return v
		}
		list = slices.Clone(list)
		if len(path) == 1 {
			return slices.Delete(list, part, part+1)
		}
		list[part] = b14Delete(list[part], path[1:])
		return list
	case string:
		m, _ := v.(map[string]any)
		copied := map[string]any{}
		for k, old := range m {
			copied[k] = old
		}
		if len(path) == 1 {
			delete(copied, part)
			return copied
		}
		if copied[part] != nil {
			copied[part] = b14Delete(copied[part], path[1:])
		}
		return copied
	}
	return v
}
