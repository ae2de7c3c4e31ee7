package pagerduty_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/connector/pagerduty"
	"github.com/backstitch/backstitch/fact"
)

// account is an account as the API gives it, one text for each element.
var account = map[string][]string{
	"teams": {`{"id": "T1", "type": "team", "name": "Web", "description": "the web"}`, `{"id": "T2", "name": "Shop", "parent": {"id": "T1", "type": "team_reference"}}`},
	"users": {
		`{"id": "U1", "name": "Zoë Ångström", "email": "Zoe@Acme.test", "job_title": "Engineer", "role": "admin", "teams": [{"id": "T1", "summary": "Web"}]}`,
		`{"id": "U2", "name": "李雷", "email": "li@acme.test", "teams": []}`,
		`{"id": "U3", "name": "Bob", "email": "bob@acme.test"}`,
	},
	"schedules": {`{"id": "S1", "name": "Web days", "users": [{"id": "U1", "type": "user_reference"}, {"id": "U2"}]}`},
	"escalation_policies": {`{"id": "P1", "name": "Web", "teams": [{"id": "T1", "summary": "Web"}], "escalation_rules": [
		{"id": "R1", "targets": [{"id": "S1", "type": "schedule_reference"}]}, {"id": "R2", "targets": [{"id": "U3", "type": "user_reference"}, {"id": "S9", "type": "schedule_reference"}]}]}`},
	"oncalls": {
		`{"escalation_policy": {"id": "P1"}, "escalation_level": 1, "schedule": {"id": "S1", "summary": "Web days"}, "user": {"id": "U1", "summary": "Zoë"}, "start": "2026-05-01T08:00:00Z", "end": "2026-05-08T08:00:00+02:00"}`,
		`{"escalation_policy": {"id": "P1"}, "escalation_level": 2, "schedule": null, "user": {"id": "U3"}, "start": null, "end": null}`,
	},
	"services": {
		`{"id": "V1", "name": "Shop web", "status": "active", "escalation_policy": {"id": "P1", "summary": "Web"}, "teams": [{"id": "T2", "summary": "Shop"}]}`,
		`{"id": "V2", "name": "Mail", "status": "warning", "escalation_policy": {"id": "P1", "summary": "Web"}, "teams": []}`,
		`{"id": "V3", "name": "Nobody's", "status": "disabled", "teams": []}`,
	},
}

// api serves an account as the documentation describes it, most elements a page, and
// refuses what it does not know.
func api(t *testing.T, most int, trouble func(call int, list string, w http.ResponseWriter) bool) string {
	t.Helper()
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		list := strings.TrimPrefix(r.URL.Path, "/")
		elements, known := account[list]
		limit, err := strconv.Atoi(r.URL.Query().Get("limit"))
		offset, err2 := strconv.Atoi(r.URL.Query().Get("offset"))
		if !known || r.Method != http.MethodGet || errors.Join(err, err2) != nil || limit < 1 || limit > 100 || offset+limit > 10_000 || r.Header.Get("Accept") != "application/vnd.pagerduty+json;version=2" {
			t.Errorf("the API has no %s %s for %s", r.Method, r.URL, r.Header.Get("Accept"))
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if r.Header.Get("Authorization") != "Token token=s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if trouble != nil && trouble(calls, list, w) {
			return
		}
		offset = min(offset, len(elements))
		end := min(offset+min(limit, most), len(elements))
		fmt.Fprintf(w, `{%q: [%s], "limit": %d, "offset": %d, "total": null, "more": %v}`, list, strings.Join(elements[offset:end], ","), limit, offset, end < len(elements))
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func quick(context.Context, time.Duration) error { return nil }

func export(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for list, elements := range account {
		// Two pages, one after the other, as they come from a loop around curl.
		text := fmt.Sprintf("{%q: [%s]}\n{%q: [%s]}", list, elements[0], list, strings.Join(elements[1:], ","))
		if err := os.WriteFile(filepath.Join(dir, "x-"+list+".json"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestConformance(t *testing.T) {
	t.Parallel()
	connectortest.Conformance(t, pagerduty.New(quick), map[string]string{"address": api(t, 2, nil), "token": "s3cret"}, map[string]string{"path": export(t)})
}

func claims(r *connectortest.Recorder) []string {
	var list []string
	for _, said := range r.Claims {
		c := said.Value
		line := fmt.Sprintf("%s: %s %s (%s) %.1f by %s of %s", c.Subject.Key, c.Owner.Kind, c.Owner.ID, c.Role, c.Confidence, c.Evidence.Method, c.Evidence.Source)
		if c.Since != 0 {
			line += " " + time.UnixMicro(c.Since).UTC().Format(time.RFC3339) + " to " + time.UnixMicro(c.Until).UTC().Format(time.RFC3339)
		}
		list = append(list, line)
	}
	slices.Sort(list)
	return list
}

func TestWhoIsOnCallForServicesAndTeams(t *testing.T) {
	t.Parallel()
	single := filepath.Join(t.TempDir(), "all.json") // everything in one file, in no order
	var text strings.Builder
	for list, elements := range account {
		fmt.Fprintf(&text, "{%q: [%s]}\n", list, strings.Join(elements, ","))
	}
	if err := os.WriteFile(single, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, settings := range map[string]map[string]string{"API": {"address": api(t, 2, nil), "token": "s3cret"}, "files": {"path": export(t)}, "one file": {"path": single}} {
		r := &connectortest.Recorder{}
		if err := connectortest.Run(t, pagerduty.New(quick), settings, r); err != nil {
			t.Fatal(err)
		}
		called := func(subject string) []string {
			return []string{
				subject + ": person bob@acme.test (on_call) 0.6 by level 2 of the escalation policy of escalation policy Web (P1)",
				subject + ": person li@acme.test (on_call) 0.4 by rotation of a schedule of schedule Web days (S1)",
				subject + ": person zoe@acme.test (on_call) 0.8 by on call at level 1 of schedule Web days (S1) 2026-05-01T08:00:00Z to 2026-05-08T06:00:00Z",
			}
		}
		want := slices.Concat(called("pagerduty:service:V1"), []string{"pagerduty:service:V1: team pagerduty:team:T2 (on_call) 0.8 by teams of the service of service Shop web (V1)"},
			called("pagerduty:service:V2"), []string{"pagerduty:service:V2: team pagerduty:team:T1 (on_call) 0.8 by teams of the escalation policy of service Mail (V2)"},
			called("pagerduty:team:T1"))
		if diff := cmp.Diff(want, claims(r)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff([]string{"zoe@acme.test -> pagerduty:team:T1"}, r.Edges(fact.MemberOf)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff([]string{"pagerduty:service:V1 -> pagerduty:team:T2", "pagerduty:service:V2 -> pagerduty:team:T1"}, r.Edges(fact.OwnedBy)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		zoe, _ := r.Asset(fact.AssetPerson, "zoe@acme.test")
		if zoe.Name != "Zoë Ångström" || zoe.Properties["title"] != "Engineer" || zoe.Properties["id"] != "pagerduty:user:U1" {
			t.Errorf("%s: %+v", name, zoe)
		}
		if len(r.Complete) != 1 || len(r.Gaps) != 0 || len(r.Notes) != 2 {
			t.Errorf("%s: covered %v, gaps %v, notes %v; want the unknown schedule and the service of nobody told of", name, r.Complete, r.Gaps, r.Notes)
		}
	}
}

func TestAListThatFailsIsAGapAndTheOthersAreRead(t *testing.T) {
	t.Parallel()
	answer := func(text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { fmt.Fprint(w, text) }
	}
	status := func(code int) func(http.ResponseWriter) { return func(w http.ResponseWriter) { w.WriteHeader(code) } }
	for name, c := range map[string]struct {
		list  string
		reply func(http.ResponseWriter)
		want  string
	}{
		"no right":       {"schedules", status(403), "/schedules: answered 403 Forbidden"},
		"an error":       {"teams", status(500), "/teams: answered 500"},
		"too busy":       {"oncalls", status(429), "/oncalls: answered 429"},
		"another schema": {"oncalls", answer(`{"on_calls": []}`), `/oncalls: its schema is not the documented one: expected "oncalls"`},
		"another type":   {"users", answer(`{"users": {"U1": {}}}`), `/users: users: its schema is not the documented one`},
		"a bad element":  {"users", answer(`{"users": [{"id": 7}, {"id": "U1", "email": "zoe@acme.test", "name": "Zoë"}], "more": false}`), `/users: users, element 1: its schema is not the documented one: "id" is a number`},
		"a bad time":     {"oncalls", answer(`{"oncalls": [{"escalation_policy": {"id": "P1"}, "user": {"id": "U1"}, "start": "yesterday"}]}`), `element 1: start: "yesterday": expected a time`},
		"no end":         {"users", answer(`{"users": [], "more": true}`), "users from 1: the page is empty, and more was announced"},
		"cut connections": {"services", func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "900")
			fmt.Fprint(w, `{"services": [{"id"`)
		}, "/services: unexpected EOF"},
	} {
		r := &connectortest.Recorder{}
		address := api(t, 100, func(_ int, list string, w http.ResponseWriter) bool {
			if list == c.list {
				c.reply(w)
			}
			return list == c.list
		})
		if err := connectortest.Run(t, pagerduty.New(quick), map[string]string{"address": address, "token": "s3cret"}, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(r.Complete) != 0 || len(r.Gaps) == 0 || !strings.Contains(r.Gaps[0].Value, c.want) || len(r.Nodes) < 4 {
			t.Errorf("%s: covered %v, gaps %v, %d nodes; want %q and the rest read", name, r.Complete, r.Gaps, len(r.Nodes), c.want)
		}
	}
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, pagerduty.New(quick), map[string]string{"address": api(t, 100, nil), "token": "wrong"}, r); err != nil || len(r.Nodes) != 0 || len(r.Gaps) != 6 || strings.Contains(fmt.Sprint(r.Gaps), "wrong") {
		t.Errorf("a wrong token: %v, gaps %v, %d nodes", err, r.Gaps, len(r.Nodes))
	}
}

func TestTheAPIIsAskedAgainWhenItAsksToWait(t *testing.T) {
	t.Parallel()
	var waited []time.Duration
	wait := func(_ context.Context, d time.Duration) error { waited = append(waited, d); return nil }
	address := api(t, 2, func(call int, _ string, w http.ResponseWriter) bool {
		if call == 3 {
			w.Header().Set("Retry-After", "11")
			w.WriteHeader(http.StatusTooManyRequests)
		}
		return call == 3
	})
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, pagerduty.New(wait), map[string]string{"address": address, "token": "s3cret"}, r); err != nil || len(r.Complete) != 1 || !slices.Equal(waited, []time.Duration{11 * time.Second}) {
		t.Errorf("%v, covered %v, waited %v", err, r.Complete, waited)
	}
}

func TestMoreThanTheAPIServesIsAGap(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		list := strings.TrimPrefix(r.URL.Path, "/")
		offset, _ := strconv.Atoi(r.URL.Query().Get("offset"))
		if list != "teams" {
			fmt.Fprintf(w, `{%q: [], "more": false}`, list)
			return
		}
		var teams []map[string]string
		for n := range 100 {
			teams = append(teams, map[string]string{"id": fmt.Sprint("T", offset+n), "name": "x"})
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"teams": teams, "more": true})
	}))
	defer server.Close()
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, pagerduty.New(quick), map[string]string{"address": server.URL, "token": "s3cret"}, r); err != nil || len(r.Nodes) != 10_000 || len(r.Gaps) != 1 || !strings.Contains(r.Gaps[0].Value, "more than the 10000") || len(r.Complete) != 0 {
		t.Errorf("%v, %d nodes, gaps %v", err, len(r.Nodes), r.Gaps)
	}
}

func TestBrokenExportsAreNamedAndTheRestIsRead(t *testing.T) {
	t.Parallel()
	dir := export(t)
	for name, text := range map[string]string{"a.json": `{"users": [{"id": "U9", "email": "nine@acme.test"}, {"id": `, "b.json": `{"incidents": []}`, "c.json": "nonsense"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, pagerduty.New(quick), map[string]string{"path": dir}, r); err != nil {
		t.Fatal(err)
	}
	var gaps []string
	for _, gap := range r.Gaps {
		gaps = append(gaps, gap.Value)
	}
	want := []string{"a.json: unexpected EOF", "b.json: expected an answer with teams, users, schedules, escalation_policies, oncalls, services", "c.json: at offset 2: invalid character 'o' in literal null (expecting 'u')"}
	if diff := cmp.Diff(want, gaps); diff != "" {
		t.Error(diff)
	}
	if _, found := r.Asset(fact.AssetPerson, "nine@acme.test"); !found || len(r.Complete) != 0 || len(r.Claims) != 11 {
		t.Errorf("read before the cut: %v, covered %v, %d claims", found, r.Complete, len(r.Claims))
	}
	for _, settings := range []map[string]string{{}, {"path": filepath.Join(dir, "none")}, {"path": t.TempDir()}} {
		if err := connectortest.Run(t, pagerduty.New(quick), settings, &connectortest.Recorder{}); err == nil {
			t.Errorf("%v was taken", settings)
		}
	}
}

// peak is a sink that keeps nothing and looks at the memory in use.
type peak struct {
	connectortest.Recorder
	nodes, claims int
	most          uint64
}

func (p *peak) Node(string, fact.Node) error {
	if p.nodes++; p.nodes%20_000 == 0 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		p.most = max(p.most, stats.HeapAlloc)
	}
	return nil
}
func (p *peak) Relation(string, fact.Relation) error { return nil }
func (p *peak) Claim(string, fact.Claim) error       { p.claims++; return nil }

func TestAHundredThousandServicesAreStreamed(t *testing.T) {
	dir := export(t)
	file, err := os.Create(filepath.Join(dir, "many.json"))
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(file, `{"services": [`)
	for n := range 100_000 {
		fmt.Fprintf(file, `%s{"id": "M%d", "name": "Service %d", "description": %q, "escalation_policy": {"id": "P1"}}`, map[bool]string{true: ",\n"}[n > 0], n, n, strings.Repeat("x", 1000))
	}
	fmt.Fprint(file, `]}`)
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p := &peak{}
	if err := pagerduty.New(quick).Sync(t.Context(), connector.Values{"path": dir}, p); err != nil {
		t.Fatal(err)
	}
	if held := (max(p.most, before.HeapAlloc) - before.HeapAlloc) >> 20; p.nodes < 100_000 || p.claims < 400_000 || len(p.Complete) != 1 || held > 40 {
		t.Errorf("%d nodes, %d claims, covered %v, gaps %v, %d MiB held at most; want less than 40", p.nodes, p.claims, p.Complete, p.Gaps, held)
	} else {
		t.Logf("%d MiB held at most", held)
	}
}
