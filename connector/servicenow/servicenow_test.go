package servicenow_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/servicenow"
	"github.com/backstitch/backstitch/fact"
)

type sink struct {
	connector.Sink
	nodes             []string
	relations, claims []string
	covered, gaps     []string
	notes             []string
	stop              error
}

func (s *sink) Done(string) bool { return false }
func (s *sink) Node(_ string, n fact.Node) error {
	s.nodes = append(s.nodes, n.Kind+" "+n.Name+" "+n.Properties["impact"])
	return s.stop
}
func (s *sink) Relation(_ string, r fact.Relation) error {
	s.relations = append(s.relations, fmt.Sprintf("%s %s %s from %s", r.From.Name, r.Kind, r.To.Name, r.Evidence.Source))
	return nil
}
func (s *sink) Claim(_ string, c fact.Claim) error {
	s.claims = append(s.claims, fmt.Sprintf("%s: %s %s as %s by %s", c.Subject.Name, c.Owner.Kind, c.Owner.Name, c.Role, c.Evidence.Method))
	return nil
}
func (s *sink) Covered(scope string) error  { s.covered = append(s.covered, scope); return nil }
func (s *sink) Gap(scope string, err error) { s.gaps = append(s.gaps, scope+": "+err.Error()) }
func (s *sink) Note(_, text string)         { s.notes = append(s.notes, text) }
func (s *sink) Progress(string, int, int)   {}

type record map[string]any

func both(value, display string) map[string]string {
	return map[string]string{"value": value, "display_value": display}
}

var cmdb = map[string][]record{
	"sys_user_group": {{"sys_id": both("g1", "g1"), "name": both("Shop support", "Shop support")}},
	"cmdb_ci_business_app": {{
		"sys_id": both("a1", "a1"), "name": both("Shop", "Shop"), "business_criticality": both("1 - most critical", "1 - most critical"),
		"owned_by": both("u1", "Ada Lovelace"), "support_group": both("g1", "Shop support"), "sys_updated_on": both("2026-01-02 03:04:05", "2026-01-02 03:04:05"),
	}},
	"cmdb_ci_service": {{"sys_id": both("s1", "s1"), "name": both("shop-web", "shop-web"), "owned_by": both("", "")}},
	"cmdb_rel_ci": {
		{"sys_id": both("r1", "r1"), "parent": both("a1", "Shop"), "child": both("s1", "shop-web"), "type": both("t1", "Contains::Contained by")},
		{"sys_id": both("r2", "r2"), "parent": both("a1", "Shop"), "child": both("x9", "A server"), "type": both("t2", "Depends on::Used by")},
		{"sys_id": both("r3", "r3"), "parent": both("x8", "Other"), "child": both("x9", "A server"), "type": both("t2", "Depends on::Used by")},
	},
}

// instance speaks the Table API as its documentation describes it, and fails on
// anything else. Every table has extra records before the given ones, so that
// there are several pages.
func instance(t *testing.T, extra int, trouble func(call int, path string) (status int, after string)) *httptest.Server {
	t.Helper()
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		if r.URL.Path == "/oauth_token.do" && r.Method == http.MethodPost {
			if r.FormValue("client_id") != "app" || r.FormValue("client_secret") != "s3cret" || r.FormValue("grant_type") != "client_credentials" {
				w.WriteHeader(http.StatusUnauthorized)
				return
			}
			fmt.Fprint(w, `{"access_token": "t0ken", "expires_in": 1799}`)
			return
		}
		table, ok := strings.CutPrefix(r.URL.Path, "/api/now/table/")
		q := r.URL.Query()
		if !ok || r.Method != http.MethodGet || q.Get("sysparm_display_value") != "all" || !strings.Contains(q.Get("sysparm_query"), "ORDERBYsys_updated_on^ORDERBYsys_id") {
			t.Errorf("the instance has no %s %s", r.Method, r.URL)
			http.NotFound(w, r)
			return
		}
		user, password, _ := r.BasicAuth()
		if r.Header.Get("Authorization") != "Bearer t0ken" && (user != "reader" || password != "s3cret") {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if status, after := trouble(calls, table); status != 0 {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(status)
			fmt.Fprint(w, `{"error": {"message": "no"}}`)
			return
		}
		records := []record{}
		if table == "sys_user_group" {
			for i := range extra {
				records = append(records, record{"sys_id": both(fmt.Sprint("e", i), ""), "name": both(fmt.Sprint("extra ", i), "")})
			}
		}
		records = append(records, cmdb[table]...)
		if strings.Contains(q.Get("sysparm_query"), "sys_updated_on>") {
			records = nil
		}
		offset, _ := strconv.Atoi(q.Get("sysparm_offset"))
		limit, _ := strconv.Atoi(q.Get("sysparm_limit"))
		offset = min(offset, len(records))
		if err := json.NewEncoder(w).Encode(map[string]any{"result": append([]record{}, records[offset:min(len(records), offset+limit)]...)}); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func quiet(int, string) (int, string) { return 0, "" }

func TestOwnersGroupsAndRelationsOfTheCMDB(t *testing.T) {
	t.Parallel()
	for name, login := range map[string]connector.Values{
		"basic authentication": {"user": "reader", "password": "s3cret"},
		"OAuth":                {"client-id": "app", "client-secret": "s3cret"},
	} {
		server := instance(t, 1500, quiet)
		login["address"] = server.URL + "/"
		s := &sink{}
		if err := servicenow.New(nil).Sync(t.Context(), login, s); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(s.nodes) != 1503 || s.nodes[1501] != "project Shop high" {
			t.Errorf("%s: %d nodes, last %q", name, len(s.nodes), s.nodes[max(0, len(s.nodes)-2):])
		}
		if diff := cmp.Diff([]string{"Shop: person Ada Lovelace as owner by owned_by", "Shop: team Shop support as on_call by support_group"}, s.claims); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff([]string{"shop-web part_of Shop from cmdb_rel_ci r1"}, s.relations); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if len(s.notes) != 2 || !strings.Contains(strings.Join(s.notes, "|"), "shop-web (s1) names nobody") || !strings.Contains(strings.Join(s.notes, "|"), "relation r2") {
			t.Errorf("%s: notes %q; want what names nobody and what leads to nothing", name, s.notes)
		}
		if len(s.covered) != 5 || len(s.gaps) != 0 {
			t.Errorf("%s: covered %q, gaps %q", name, s.covered, s.gaps)
		}
	}
}

func TestADeltaCoversNothing(t *testing.T) {
	t.Parallel()
	server := instance(t, 0, quiet)
	s := &sink{}
	values := connector.Values{"address": server.URL, "user": "reader", "password": "s3cret", "since": "2026-01-01 00:00:00"}
	if err := servicenow.New(nil).Sync(t.Context(), values, s); err != nil {
		t.Fatal(err)
	}
	if len(s.covered) != 0 || len(s.nodes) != 0 || len(s.gaps) != 0 {
		t.Errorf("covered %q, nodes %q, gaps %q", s.covered, s.nodes, s.gaps)
	}
}

func TestATableThatFailsIsAGapAndTheOthersAreRead(t *testing.T) {
	t.Parallel()
	var waited []time.Duration
	wait := func(_ context.Context, d time.Duration) error { waited = append(waited, d); return nil }
	server := instance(t, 0, func(call int, path string) (int, string) {
		switch {
		case call == 1:
			return http.StatusTooManyRequests, "9"
		case path == "cmdb_ci_service":
			return http.StatusForbidden, ""
		}
		return 0, ""
	})
	s := &sink{}
	if err := servicenow.New(wait).Sync(t.Context(), connector.Values{"address": server.URL, "user": "reader", "password": "s3cret"}, s); err != nil {
		t.Fatal(err)
	}
	if len(s.gaps) != 2 || !strings.Contains(s.gaps[0], ": answered 403 Forbidden") || slices.Contains(s.covered, "cmdb_ci_service") || len(s.covered) != 3 || !strings.Contains(s.gaps[1], "cmdb_rel_ci: a table before it was not read whole") {
		t.Errorf("gaps %q, covered %q", s.gaps, s.covered)
	}
	if len(waited) != 1 || waited[0] != 9*time.Second {
		t.Errorf("waited %v, want what Retry-After says", waited)
	}
	for _, text := range s.gaps {
		if strings.Contains(text, "s3cret") || strings.Contains(text, "sysparm") {
			t.Errorf("a gap tells of the request: %s", text)
		}
	}
}

func TestExportedAnswersAreReadWithoutAnInstance(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	write := func(name, text string) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("cmdb_ci_business_app.json", `{"result": [{"sys_id": "a1", "name": "Shop", "owned_by": {"link": "https://x/u1", "value": "u1"}}, {"name": "without id"}]}`)
	write("cmdb_ci_service.json", `{"result": [{"sys_id": "s1"`)
	s := &sink{}
	if err := servicenow.New(nil).Sync(t.Context(), connector.Values{"path": dir}, s); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"Shop: person u1 as owner by owned_by"}, s.claims); diff != "" {
		t.Error(diff)
	}
	if len(s.gaps) != 2 || !strings.Contains(s.gaps[0], "1 records have no sys_id") || !strings.Contains(s.gaps[1], "cmdb_ci_service.json: record 1: the answer was cut: unexpected EOF") {
		t.Errorf("gaps %q", s.gaps)
	}
	if len(s.notes) != 3 {
		t.Errorf("notes %q; want the three tables that were not exported", s.notes)
	}
}

func TestWrongSettingsAreRefused(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		values connector.Values
		want   string
	}{
		{connector.Values{}, "expected the setting address or path"},
		{connector.Values{"path": ".", "since": "yesterday"}, "expected a time like"},
		{connector.Values{"path": ".", "query": "active=true^NQname=x"}, "without ^NQ"},
	} {
		if err := servicenow.New(nil).Sync(t.Context(), c.values, &sink{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.values, err, c.want)
		}
	}
}
