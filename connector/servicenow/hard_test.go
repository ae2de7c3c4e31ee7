package servicenow_test

import (
	"context"
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
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/connector/servicenow"
	"github.com/backstitch/backstitch/fact"
)

func quick(context.Context, time.Duration) error { return nil }

func TestConformance(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for table, records := range cmdb {
		text, err := json.Marshal(map[string]any{"result": records})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, table+".json"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "cmdb_ci_service_discovered.json"), []byte(`{"result": []}`), 0o600); err != nil {
		t.Fatal(err)
	}
	connectortest.Conformance(t, servicenow.New(quick),
		map[string]string{"address": instance(t, 0, quiet).URL, "user": "reader", "password": "s3cret"}, map[string]string{"path": dir})
}

// table answers one table with what handle writes, the others with nothing.
func answering(t *testing.T, table string, handle func(call int, w http.ResponseWriter)) *httptest.Server {
	t.Helper()
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if filepath.Base(r.URL.Path) != table {
			fmt.Fprint(w, `{"result": []}`)
			return
		}
		calls++
		handle(calls, w)
	}))
	t.Cleanup(server.Close)
	return server
}

func TestCutAnswersAndOtherSchemasAreNamedAndTheirTableIsNotCovered(t *testing.T) {
	t.Parallel()
	text := func(text string) func(int, http.ResponseWriter) {
		return func(_ int, w http.ResponseWriter) { fmt.Fprint(w, text) }
	}
	for name, c := range map[string]struct {
		handle func(int, http.ResponseWriter)
		want   string
	}{
		"a wrong password": {func(_ int, w http.ResponseWriter) {
			w.WriteHeader(401)
			fmt.Fprint(w, `{"error": {"message": "User Not Authenticated"}}`)
		}, "answered 401 Unauthorized, expected credentials that are valid: User Not Authenticated"},
		"an error": {func(_ int, w http.ResponseWriter) { w.WriteHeader(500) }, "answered 500"},
		"too busy": {func(_ int, w http.ResponseWriter) { w.WriteHeader(429) }, "answered 429"},
		"cut connections": {func(_ int, w http.ResponseWriter) {
			w.Header().Set("Content-Length", "900")
			fmt.Fprint(w, `{"result": [{"sys_id": {"va`)
		}, "unexpected EOF"},
		"no result":         {text(`{"results": []}`), `expected an answer with "result"`},
		"an error as 200":   {text(`{"error": {"message": "Transaction cancelled: maximum execution time exceeded"}}`), "answered with an error"},
		"another type":      {text(`{"result": {"sys_id": "a"}}`), "expected a list of records"},
		"a list of texts":   {text(`{"result": ["a"]}`), "record 1"},
		"records of nobody": {text(`{"result": [{"name": "x"}]}`), "1 records have no sys_id"},
		"a page of HTML":    {text(`<html>log in</html>`), "expected JSON"},
	} {
		r := &connectortest.Recorder{}
		server := answering(t, "cmdb_ci_business_app", c.handle)
		if err := connectortest.Run(t, servicenow.New(quick), map[string]string{"address": server.URL, "user": "reader", "password": "s3cret"}, r); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if len(r.Gaps) != 2 || r.Gaps[0].Scope != "cmdb_ci_business_app" || !strings.Contains(r.Gaps[0].Value, c.want) || slices.Contains(r.Complete, "cmdb_ci_business_app") || slices.Contains(r.Complete, "cmdb_rel_ci") || len(r.Complete) != 3 {
			t.Errorf("%s: gaps %v, covered %v; want %q", name, r.Gaps, r.Complete, c.want)
		}
	}
}

func TestAPageThatWasCutOnceIsToldOnce(t *testing.T) {
	t.Parallel()
	server := answering(t, "cmdb_ci_business_app", func(call int, w http.ResponseWriter) {
		if call == 1 {
			w.Header().Set("Content-Length", "900")
			fmt.Fprint(w, `{"result": [{"sys_id": "a1", "name": "支付 – Zahlungen"}, {"sys_id"`)
			return
		}
		fmt.Fprint(w, `{"result": [{"sys_id": "a1", "name": "支付 – Zahlungen", "owned_by": {"value": "u1", "display_value": "Zoë Ångström"}, "owned_by.email": {"value": "Zoe@Acme.test", "display_value": "Zoe@Acme.test"}}]}`)
	})
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, servicenow.New(quick), map[string]string{"address": server.URL}, r); err != nil || len(r.Complete) != 5 || len(r.Nodes) != 1 || r.Nodes[0].Value.Name != "支付 – Zahlungen" {
		t.Errorf("%v, covered %v, nodes %v, gaps %v", err, r.Complete, r.Nodes, r.Gaps)
	}
	if len(r.Claims) != 1 || r.Claims[0].Value.Owner != (fact.Party{Kind: "person", ID: "zoe@acme.test", Name: "Zoë Ångström"}) {
		t.Errorf("claims %+v; want the owner by address", r.Claims)
	}
}

func TestATokenThatExpiredIsAskedForAnew(t *testing.T) {
	t.Parallel()
	tokens, calls := 0, 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/oauth_token.do" {
			tokens++
			fmt.Fprintf(w, `{"access_token": "t%d"}`, tokens)
			return
		}
		calls++
		if r.Header.Get("Authorization") != fmt.Sprint("Bearer t", tokens) || calls == 3 {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		fmt.Fprint(w, `{"result": []}`)
	}))
	defer server.Close()
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, servicenow.New(quick), map[string]string{"address": server.URL, "client-id": "app", "client-secret": "s3cret"}, r); err != nil || len(r.Complete) != 5 || tokens != 2 {
		t.Errorf("%v, covered %v, gaps %v, %d tokens", err, r.Complete, r.Gaps, tokens)
	}
}

// peak is a sink that keeps nothing and looks at the memory in use.
type peak struct {
	connectortest.Recorder
	nodes, relations int
	most             uint64
}

func (p *peak) look(n int) {
	if n%20_000 == 0 {
		var stats runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&stats)
		p.most = max(p.most, stats.HeapAlloc)
	}
}
func (p *peak) Node(string, fact.Node) error         { p.nodes++; p.look(p.nodes); return nil }
func (p *peak) Relation(string, fact.Relation) error { p.relations++; p.look(p.relations); return nil }
func (p *peak) Claim(string, fact.Claim) error       { return nil }

func TestAHundredThousandRecordsAreStreamed(t *testing.T) {
	const count = 50_000 // services, and as many relations between them
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		table := filepath.Base(r.URL.Path)
		offset, _ := strconv.Atoi(r.URL.Query().Get("sysparm_offset"))
		limit, _ := strconv.Atoi(r.URL.Query().Get("sysparm_limit"))
		records := []record{}
		for n := offset; n < min(offset+limit, count); n++ {
			id := fmt.Sprintf("%032d", n)
			switch table {
			case "cmdb_ci_service":
				records = append(records, record{"sys_id": both(id, id), "name": both(fmt.Sprint("service ", n), ""), "owned_by": both("u1", "Ada"), "comments": both(strings.Repeat("x", 1000), "")})
			case "cmdb_rel_ci":
				records = append(records, record{"sys_id": both("r"+id, ""), "parent": both(id, id), "child": both(fmt.Sprintf("%032d", n/2), ""), "type": both("t1", "Depends on::Used by")})
			}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"result": records})
	}))
	defer server.Close()
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p := &peak{}
	if err := servicenow.New(quick).Sync(t.Context(), connector.Values{"address": server.URL}, p); err != nil {
		t.Fatal(err)
	}
	if held := (max(p.most, before.HeapAlloc) - before.HeapAlloc) >> 20; p.nodes != count || p.relations != count || len(p.Complete) != 5 || held > 60 {
		t.Errorf("%d nodes, %d relations, covered %v, gaps %v, %d MiB held at most; want less than 60", p.nodes, p.relations, p.Complete, p.Gaps, held)
	} else {
		t.Logf("%d MiB held at most", held)
	}
}
