package scim_test

import (
	"encoding/json"
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

	"context"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/connector/scim"
	"github.com/backstitch/backstitch/fact"
)

const enterprise = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"

func user(id, name, email string, active any, manager string) map[string]any {
	return map[string]any{
		"schemas": []string{"urn:ietf:params:scim:schemas:core:2.0:User", enterprise}, "id": id, "userName": strings.Split(email, "@")[0], "displayName": name, "active": active,
		"emails":   []any{map[string]any{"value": "second-" + email, "primary": nil}, map[string]any{"value": email, "primary": true}},
		enterprise: map[string]any{"department": "Sales", "manager": map[string]any{"value": manager}}, "meta": map[string]any{"resourceType": "User", "lastModified": "2026-01-02T03:04:05Z"},
	}
}

var (
	people = []any{
		user("u1", "Zoë Ångström", "Zoe@Acme.test", true, ""),
		user("u2", "Bob", "bob@acme.test", "False", "u3"),
		user("u3", "李雷", "li@acme.test", "True", "u1"),
	}
	groups = []any{
		map[string]any{"id": "g1", "displayName": "Web", "members": []any{map[string]any{"value": "u1"}, map[string]any{"value": "u2"}, map[string]any{"value": "nobody"}}, "meta": map[string]any{"resourceType": "Group"}},
		map[string]any{"id": "g2", "displayName": "Everyone", "members": []any{
			map[string]any{"value": "g1", "$ref": "https://x.test/Groups/g1"}, map[string]any{"value": "gone", "type": "Group"}}},
	}
)

// directory speaks SCIM 2.0 as RFC 7644 describes it and refuses what it does
// not know. It gives at most most resources a page, whatever was asked for.
type directory struct {
	users, groups []any
	most          int
	filters       bool
	trouble       func(call int, w http.ResponseWriter) bool // answered already
	calls         int
	filter        string // of the last request
}

func (d *directory) serve(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d.calls++
		if r.Header.Get("Authorization") != "Bearer s3cret" || !strings.Contains(r.Header.Get("Accept"), "application/scim+json") {
			w.WriteHeader(http.StatusUnauthorized)
			fmt.Fprint(w, `{"schemas":["urn:ietf:params:scim:api:messages:2.0:Error"],"status":"401","detail":"no such token"}`)
			return
		}
		if d.trouble != nil && d.trouble(d.calls, w) {
			return
		}
		var list []any
		q := r.URL.Query()
		switch way := r.URL.Path; {
		case r.Method != http.MethodGet:
			t.Errorf("%s is not reading", r.Method)
		case way == "/scim/v2/ServiceProviderConfig":
			fmt.Fprintf(w, `{"filter": {"supported": %v, "maxResults": 200}}`, d.filters)
			return
		case strings.HasPrefix(way, "/scim/v2/Users/"):
			for _, one := range people {
				if one.(map[string]any)["id"] == filepath.Base(way) {
					_ = json.NewEncoder(w).Encode(one)
					return
				}
			}
			w.WriteHeader(http.StatusNotFound)
			return
		case way == "/scim/v2/Users":
			list = d.users
		case way == "/scim/v2/Groups":
			list = d.groups
		default:
			t.Errorf("the directory has no %s", r.URL)
			w.WriteHeader(http.StatusNotFound)
			return
		}
		if d.filter = q.Get("filter"); d.filter != "" && !d.filters {
			t.Errorf("the directory serves no filter, and was asked %q", d.filter)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		start, err := strconv.Atoi(q.Get("startIndex"))
		count, err2 := strconv.Atoi(q.Get("count"))
		if err != nil || err2 != nil || start < 1 || count < 1 {
			t.Errorf("startIndex %q, count %q", q.Get("startIndex"), q.Get("count"))
		}
		from := min(start-1, len(list))
		page := list[from:min(from+min(count, d.most), len(list))]
		w.Header().Set("Content-Type", "application/scim+json")
		answer := map[string]any{"schemas": []string{"urn:ietf:params:scim:api:messages:2.0:ListResponse"}, "totalResults": len(list), "itemsPerPage": len(page), "startIndex": start}
		if len(page) > 0 {
			answer["Resources"] = page
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/scim/v2/"
}

func quick(context.Context, time.Duration) error { return nil }

func export(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for name, list := range map[string][]any{"Users.json": people, "Groups.json": groups} {
		text, err := json.Marshal(map[string]any{"totalResults": len(list), "Resources": list})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestConformance(t *testing.T) {
	t.Parallel()
	d := &directory{users: people, groups: groups, most: 2}
	connectortest.Conformance(t, scim.New(quick), map[string]string{"address": d.serve(t), "token": "s3cret"}, map[string]string{"path": export(t)})
}

func TestPeopleTeamsAndManagers(t *testing.T) {
	t.Parallel()
	d := &directory{users: people, groups: groups, most: 2}
	for name, settings := range map[string]map[string]string{"API": {"address": d.serve(t), "token": "s3cret"}, "files": {"path": export(t)}} {
		r := &connectortest.Recorder{}
		if err := connectortest.Run(t, scim.New(quick), settings, r); err != nil {
			t.Fatal(err)
		}
		zoe, _ := r.Asset(fact.AssetPerson, "zoe@acme.test")
		bob, _ := r.Asset(fact.AssetPerson, "bob@acme.test")
		if zoe.Name != "Zoë Ångström" || zoe.Properties["active"] != "true" || zoe.Properties["emails"] != "zoe@acme.test,second-zoe@acme.test" || zoe.Properties["logins"] != "Zoe" || zoe.Properties["department"] != "Sales" {
			t.Errorf("%s: %+v", name, zoe)
		}
		if bob.Properties["active"] != "false" || bob.Properties["manager"] != "li@acme.test" {
			t.Errorf("%s: who left is %+v", name, bob)
		}
		if diff := cmp.Diff([]string{"bob@acme.test -> scim:g1", "zoe@acme.test -> scim:g1"}, r.Edges(fact.MemberOf)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if diff := cmp.Diff([]string{"scim:g1 -> scim:g2"}, r.Edges(fact.PartOf)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if len(r.Gaps) != 0 || len(r.Complete) != 1 || len(r.Notes) != 2 {
			t.Errorf("%s: gaps %v, covered %v, notes %v; want the unknown member and the unknown group told of", name, r.Gaps, r.Complete, r.Notes)
		}
	}
}

func TestTroubleIsAGapAndNothingIsCovered(t *testing.T) {
	t.Parallel()
	status := func(code int) func(int, http.ResponseWriter) bool {
		return func(_ int, w http.ResponseWriter) bool { w.WriteHeader(code); return true }
	}
	text := func(body string) func(int, http.ResponseWriter) bool {
		return func(_ int, w http.ResponseWriter) bool { fmt.Fprint(w, body); return true }
	}
	for name, c := range map[string]struct {
		token   string
		trouble func(int, http.ResponseWriter) bool
		persons int
		want    string
	}{
		"a wrong token":  {"wrong", nil, 0, "answered 401 Unauthorized, expected credentials that are valid: no such token"},
		"an error":       {"s3cret", status(500), 0, "answered 500"},
		"too busy":       {"s3cret", status(429), 0, "answered 429"},
		"another schema": {"s3cret", text(`{"users": []}`), 0, "expected totalResults"},
		"another type":   {"s3cret", text(`{"totalResults": "3"}`), 0, `"totalResults" is a string, expected a number`},
		"a bad resource": {"s3cret", text(`{"totalResults": 2, "Resources": [{"id": 7, "userName": "x"}, {"id": "u9", "userName": "ok@acme.test"}]}`), 1, `/Users: resource 1: its schema is not the documented one: "id" is a number, expected a text`},
		"the same page":  {"s3cret", text(`{"totalResults": 20, "Resources": [{"id": "u9", "userName": "ok@acme.test"}]}`), 1, "another page than was asked for"},
		"less than was announced": {"s3cret", func(call int, w http.ResponseWriter) bool {
			fmt.Fprint(w, map[bool]string{true: `{"totalResults": 20, "Resources": [{"id": "u9", "userName": "ok@acme.test"}]}`, false: `{"totalResults": 20}`}[call == 1])
			return true
		}, 1, "Users: 20 were announced and 1 given"},
		"cut connections": {"s3cret", func(call int, w http.ResponseWriter) bool {
			if call > 1 {
				w.Header().Set("Content-Length", "1000")
				fmt.Fprint(w, `{"totalResults": 3, "Resources": [{"id": "u`)
			}
			return call > 1
		}, 1, "Users from 2: "},
	} {
		d := &directory{users: people, groups: groups, most: 1, trouble: c.trouble}
		r := &connectortest.Recorder{}
		if err := connectortest.Run(t, scim.New(quick), map[string]string{"address": d.serve(t), "token": c.token}, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(r.Complete) != 0 || len(r.Gaps) == 0 || !strings.Contains(r.Gaps[0].Value, c.want) || strings.Contains(r.Gaps[0].Value, "wrong") || len(r.Nodes) < c.persons || c.persons == 0 && len(r.Nodes) > 0 {
			t.Errorf("%s: covered %v, gaps %v, %d nodes; want %q", name, r.Complete, r.Gaps, len(r.Nodes), c.want)
		}
	}
}

func TestADirectoryThatAsksToWaitIsReadWhole(t *testing.T) {
	t.Parallel()
	var waited []time.Duration
	wait := func(_ context.Context, d time.Duration) error { waited = append(waited, d); return nil }
	d := &directory{users: people, groups: groups, most: 2, trouble: func(call int, w http.ResponseWriter) bool {
		switch call {
		case 1:
			w.Header().Set("Retry-After", "9")
			w.WriteHeader(http.StatusTooManyRequests)
		case 3:
			w.WriteHeader(http.StatusBadGateway)
		default:
			return false
		}
		return true
	}}
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, scim.New(wait), map[string]string{"address": d.serve(t), "token": "s3cret"}, r); err != nil {
		t.Fatal(err)
	}
	if len(r.Complete) != 1 || len(waited) != 2 || waited[0] != 9*time.Second {
		t.Errorf("covered %v, waited %v", r.Complete, waited)
	}
}

func TestOnlyWhatChangedIsAskedForWhereFiltersAreServed(t *testing.T) {
	t.Parallel()
	for _, served := range []bool{true, false} {
		d := &directory{users: people[1:2], groups: groups[:1], most: 10, filters: served}
		r := &connectortest.Recorder{}
		settings := map[string]string{"address": d.serve(t), "token": "s3cret", "since": "2026-01-01T00:00:00Z"}
		if err := connectortest.Run(t, scim.New(quick), settings, r); err != nil {
			t.Fatal(err)
		}
		bob, _ := r.Asset(fact.AssetPerson, "bob@acme.test")
		if served != (d.filter == `meta.lastModified gt "2026-01-01T00:00:00Z"`) || served == (len(r.Complete) == 1) || len(r.Gaps) != 0 {
			t.Errorf("filters %v: asked %q, covered %v, gaps %v", served, d.filter, r.Complete, r.Gaps)
		}
		if served && (bob.Properties["manager"] != "li@acme.test" || len(r.Edges(fact.MemberOf)) != 2) {
			t.Errorf("of who changed: %+v, members %v; want the manager and the members who did not change", bob, r.Edges(fact.MemberOf))
		}
	}
}

func TestTwoUsersOfOneAddressAreKeptApart(t *testing.T) {
	t.Parallel()
	d := &directory{users: []any{user("u1", "Ada", "ops@acme.test", true, ""), user("u2", "Bob", "ops@acme.test", true, "u1")}, most: 10}
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, scim.New(quick), map[string]string{"address": d.serve(t), "token": "s3cret"}, r); err != nil {
		t.Fatal(err)
	}
	bob, found := r.Asset(fact.AssetPerson, "scim:u2")
	if !found || bob.Name != "" && bob.Name != "Bob" || bob.Properties["manager"] != "ops@acme.test" || len(r.Notes) != 1 {
		t.Errorf("%+v, notes %v", bob, r.Notes)
	}
}

func TestBrokenExportsAreNamedAndTheRestIsRead(t *testing.T) {
	t.Parallel()
	dir := export(t)
	for name, text := range map[string]string{"a.json": `{"totalResults": 1, "Resources": [{"id": "a1", "userName": "a@acme.test"}`, "b.json": `{"users": []}`, "c.json": "", "d.json": "7", "e.json": `{"totalResults": 0}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, scim.New(quick), map[string]string{"path": dir}, r); err != nil {
		t.Fatal(err)
	}
	var gaps []string
	for _, gap := range r.Gaps {
		gaps = append(gaps, gap.Value)
	}
	want := []string{"a.json: unexpected EOF", "b.json: expected an answer with Resources", "c.json: expected an answer, and the file is empty", "d.json: expected an answer, found 7"}
	if diff := cmp.Diff(want, gaps); diff != "" {
		t.Error(diff)
	}
	if _, found := r.Asset(fact.AssetPerson, "a@acme.test"); !found || len(r.Complete) != 0 {
		t.Errorf("what stood before the cut was read: %v, covered %v", found, r.Complete)
	}
}

// peak is a sink that keeps nothing and looks at the memory that is in use.
type peak struct {
	connectortest.Recorder
	nodes, relations int
	most             uint64
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
func (p *peak) Relation(string, fact.Relation) error { p.relations++; return nil }

func TestAHundredThousandUsersAreStreamed(t *testing.T) {
	const count = 100_000
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		start, _ := strconv.Atoi(r.URL.Query().Get("startIndex"))
		if r.URL.Path == "/Groups" {
			fmt.Fprint(w, `{"totalResults": 0}`)
			return
		}
		list := []any{}
		for n := start; n < min(start+200, count+1); n++ {
			one := user(fmt.Sprintf("2819c223-7f76-453a-919d-%012d", n), "User "+strconv.Itoa(n), fmt.Sprintf("user%d@acme.test", n), true, fmt.Sprintf("2819c223-7f76-453a-919d-%012d", max(1, n/10)))
			one["photo"] = strings.Repeat("x", 2000)
			list = append(list, one)
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"totalResults": count, "startIndex": start, "Resources": list})
	}))
	defer server.Close()
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p := &peak{}
	if err := scim.New(quick).Sync(t.Context(), connector.Values{"address": server.URL}, p); err != nil {
		t.Fatal(err)
	}
	// 300 MB go over the wire; what is kept of a person is an id and a key.
	if held := (max(p.most, before.HeapAlloc) - before.HeapAlloc) >> 20; p.nodes < 2*count-2 || !slices.Equal(p.Complete, []string{"directory"}) || held > 80 {
		t.Errorf("%d nodes, covered %v, gaps %v, %d MiB held at most; want less than 80", p.nodes, p.Complete, p.Gaps, held)
	} else {
		t.Logf("%d MiB held at most", held)
	}
}
