package agent_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/agent"
	"github.com/backstitch/backstitch/app"
	"github.com/backstitch/backstitch/demo"
)

// investigated gives the records of every issue of an estate, with its sources read.
func investigated(t *testing.T, estate demo.Estate, desk *app.App) map[string][]byte {
	t.Helper()
	for _, source := range estate.Sources {
		definition, err := desk.AddSource(app.Source{Name: source.Name, Type: source.Type, Settings: source.Settings})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := desk.SyncSource(t.Context(), definition); err != nil {
			t.Fatal(err)
		}
	}
	for _, r := range estate.Repositories {
		triage(t, desk, agent.Request{Repo: r.Dir, Reports: r.Reports})
	}
	issues, err := desk.Issues(t.Context(), true)
	if err != nil {
		t.Fatal(err)
	}
	records := map[string][]byte{}
	for _, it := range issues {
		record, err := desk.Investigate(t.Context(), it.ID)
		if err != nil {
			t.Fatal(err)
		}
		records[it.ID] = document(t, record)
	}
	return records
}

// numbers collects every reference to evidence in a document.
func numbers(v any, under string, into *[]float64) {
	switch v := v.(type) {
	case map[string]any:
		for name, one := range v {
			if name == "evidence" && under != "top" {
				switch one := one.(type) {
				case []any:
					for _, n := range one {
						*into = append(*into, n.(float64))
					}
				case float64:
					*into = append(*into, one)
				}
				continue
			}
			numbers(one, name, into)
		}
	case []any:
		for _, one := range v {
			numbers(one, under, into)
		}
	}
}

func TestAnInvestigationIsTheSameFromTheSameStateAndEverySentencePointsAtEvidence(t *testing.T) {
	t.Parallel()
	later := 0
	estate, here := build(t, &later)
	other, there := build(t, &later)
	first, second := investigated(t, estate, here), investigated(t, other, there)
	if len(first) < 5 {
		t.Fatalf("%d issues", len(first))
	}
	// The states are in folders of their own, which may not show.
	if diff := cmp.Diff(texts(first), texts(second)); diff != "" {
		t.Errorf("the same state gave other bytes (-first +second):\n%s", diff)
	}
	domains := map[string]bool{}
	for id, data := range first {
		var record agent.Investigation
		if err := json.Unmarshal(data, &record); err != nil {
			t.Fatal(err)
		}
		for _, h := range record.Hypotheses {
			domains[h.Domain] = true
			if len(h.Evidence) == 0 || h.Why == "" || !slices.Contains([]string{agent.Supported, agent.Refuted, agent.Unknown}, h.Verdict) {
				t.Errorf("%s: hypothesis %+v", id, h)
			}
		}
		if len(record.Summary) < 2 || len(record.Where) == 0 || len(record.Plan) == 0 || len(record.Evidence) == 0 {
			t.Errorf("%s: %d sentences of summary, %d of where, %d steps, %d pieces of evidence", id, len(record.Summary), len(record.Where), len(record.Plan), len(record.Evidence))
		}
		for _, step := range record.Plan {
			if strings.HasPrefix(step.Command, "backstitch fix handoff ") && !strings.Contains(step.Command, " --remote ") {
				t.Errorf("%s: %s cannot be carried out", id, step.Command)
			}
			if step.Text == "" || step.Expected == "" || len(step.Evidence) == 0 {
				t.Errorf("%s: step %+v", id, step)
			}
		}
		for i, e := range record.Evidence {
			if e.Number != i+1 || e.Method == "" || e.Source == "" || e.Strength == "" {
				t.Errorf("%s: evidence %+v", id, e)
			}
		}
		var doc map[string]any
		if err := json.Unmarshal(data, &doc); err != nil {
			t.Fatal(err)
		}
		delete(doc, "evidence")
		var used []float64
		numbers(doc, "", &used)
		if len(used) == 0 {
			t.Errorf("%s: nothing points at evidence", id)
		}
		for _, n := range used {
			if n < 1 || int(n) > len(record.Evidence) {
				t.Errorf("%s: evidence %v is not there", id, n)
			}
		}
		for _, path := range record.Paths {
			if len(path.Evidence) == 0 {
				t.Errorf("%s: path %s points at nothing", id, path.ID)
			}
		}
		for _, list := range [][]agent.Statement{record.Summary, record.Where, record.Who, record.History} {
			for _, one := range list {
				if one.Text == "" || len(one.Evidence) == 0 {
					t.Errorf("%s: %q points at nothing", id, one.Text)
				}
			}
		}
	}
	for _, domain := range []string{"image", "dependency", "cloud", "identity"} {
		if !domains[domain] {
			t.Errorf("no hypothesis of domain %s; there are %v", domain, reflect.ValueOf(domains).MapKeys())
		}
	}
}

func texts(records map[string][]byte) map[string]string {
	list := map[string]string{}
	for id, data := range records {
		list[id] = string(data)
	}
	return list
}

func TestCommandsOfAPlanHoldNothingThatAShellUnderstands(t *testing.T) {
	t.Parallel()
	later := 0
	estate, desk := build(t, &later)
	for id, data := range investigated(t, estate, desk) {
		var record agent.Investigation
		if err := json.Unmarshal(data, &record); err != nil {
			t.Fatal(err)
		}
		for _, step := range record.Plan {
			plain := step.Command
			for strings.Contains(plain, "'") { // what is quoted is the value of one word
				before, rest, _ := strings.Cut(plain, "'")
				_, after, found := strings.Cut(rest, "'")
				if !found {
					t.Errorf("%s: open quote in %q", id, step.Command)
				}
				plain = before + after
			}
			if strings.ContainsAny(plain, ";|&$`<>(){}\n*?!#\\\"") {
				t.Errorf("%s: %s", id, fmt.Sprintf("%q", step.Command))
			}
		}
	}
}
