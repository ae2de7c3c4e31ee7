package backstage_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/backstage"
	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/fact"
)

func quick(context.Context, time.Duration) error { return nil }

func TestConformance(t *testing.T) {
	t.Parallel()
	owned := backstage.Relation{Type: "ownedBy", TargetRef: "group:default/web"}
	server := catalogAPI(t, []backstage.Entity{entity("Component", "shop", owned), entity("Group", "web"), entity("User", "ada")}, func(int) (int, string) { return 0, "" })
	connectortest.Conformance(t, backstage.New(quick), map[string]string{"address": server.URL, "token": "s3cret"}, map[string]string{"path": write(t, map[string]string{"a.yaml": shop})})
}

func TestCutAnswersAndOtherSchemasAreNamedAndNothingIsCovered(t *testing.T) {
	t.Parallel()
	const page = `{"items": [{"apiVersion": "backstage.io/v1alpha1", "kind": "Component", "metadata": {"name": "a"}, "spec": {"owner": "web"}}], "totalItems": %d, "pageInfo": {"nextCursor": "c"}}`
	for name, c := range map[string]struct {
		second func(w http.ResponseWriter) // the second page, each time that it is asked for
		want   string
	}{
		"cut connections": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Length", "900")
			fmt.Fprint(w, `{"items": [{"kind": "Comp`)
		}, "/api/catalog/entities/by-query: unexpected EOF"},
		"no items":        {func(w http.ResponseWriter) { fmt.Fprint(w, `{"entities": []}`) }, "its schema is not the documented one: expected items"},
		"items of a type": {func(w http.ResponseWriter) { fmt.Fprint(w, `{"items": {"a": {}}}`) }, `"items" is an object, expected a list`},
		"a bad entity": {func(w http.ResponseWriter) {
			fmt.Fprint(w, `{"items": [{"kind": "Component", "metadata": {"name": ["x"]}}, {"kind": "Group", "metadata": {"name": "web"}}], "totalItems": 3, "pageInfo": {}}`)
		}, `entity 2: its schema is not the documented one: "metadata.name" is a list, expected a text`},
		"a nameless entity": {func(w http.ResponseWriter) { fmt.Fprint(w, `{"items": [{"kind": "Component"}], "pageInfo": {}}`) }, "entity 2: expected a kind and metadata.name"},
		"the same page":     {func(w http.ResponseWriter) { fmt.Fprintf(w, page, 9) }, "the next page is the same page"},
		"half a catalog":    {func(w http.ResponseWriter) { fmt.Fprint(w, `{"items": [], "totalItems": 9, "pageInfo": {}}`) }, "9 entities were announced and 1 given"},
		"a page of HTML":    {func(w http.ResponseWriter) { fmt.Fprint(w, `<html>`) }, "expected JSON"},
	} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Query().Get("cursor") == "" {
				fmt.Fprintf(w, page, 9)
				return
			}
			c.second(w)
		}))
		r := &connectortest.Recorder{}
		err := connectortest.Run(t, backstage.New(quick), map[string]string{"address": server.URL, "token": "s3cret"}, r)
		if _, found := r.Asset(fact.AssetService, "backstage:component:default/a"); err != nil || !found || len(r.Complete) != 0 || len(r.Gaps) != 1 || !strings.Contains(r.Gaps[0].Value, c.want) {
			t.Errorf("%s: %v, read %v, covered %v, gaps %v; want %q", name, err, found, r.Complete, r.Gaps, c.want)
		}
		if _, found := r.Asset(fact.AssetTeam, "backstage:group:default/web"); !found && name == "a bad entity" {
			t.Errorf("%s: what stands behind it was not read", name)
		}
		server.Close()
	}
}

func TestAConnectionThatIsCutOnceIsAskedAgain(t *testing.T) {
	t.Parallel()
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if calls++; calls == 1 {
			w.Header().Set("Content-Length", "900")
			fmt.Fprint(w, `{"items": [{"kind": "Component", "metadata": {"name": "twice"}}`)
			return
		}
		fmt.Fprint(w, `{"items": [{"kind": "Component", "metadata": {"name": "twice"}}], "totalItems": 1, "pageInfo": {}}`)
	}))
	defer server.Close()
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, backstage.New(quick), map[string]string{"address": server.URL}, r); err != nil || len(r.Complete) != 1 || len(r.Nodes) != 1 || len(r.Notes) != 0 {
		t.Errorf("%v, covered %v, nodes %v, notes %v", err, r.Complete, r.Nodes, r.Notes)
	}
}

func TestNamesOfEveryLanguageStayAsTheyAre(t *testing.T) {
	t.Parallel()
	e := entity("Component", "сервис-платежей", backstage.Relation{Type: "ownedBy", TargetRef: "group:default/ответственные"})
	e.Metadata.Title = "Zahlungen für 支付 \u202e\x00"
	group := entity("Group", "ответственные")
	group.Spec = nil
	server := catalogAPI(t, []backstage.Entity{e, group}, func(int) (int, string) { return 0, "" })
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, backstage.New(quick), map[string]string{"address": server.URL, "token": "s3cret"}, r); err != nil {
		t.Fatal(err)
	}
	node, found := r.Asset(fact.AssetService, "backstage:component:default/сервис-платежей")
	if !found || node.Name != e.Metadata.Title || len(r.Claims) != 1 || r.Claims[0].Value.Owner.ID != "group:default/ответственные" || len(r.Notes) != 0 || len(r.Complete) != 1 {
		t.Errorf("%+v, claims %+v, notes %v", node, r.Claims, r.Notes)
	}
}

// peak is a sink that keeps nothing and looks at the memory in use.
type peak struct {
	connectortest.Recorder
	nodes, relations, claims int
	most                     uint64
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
func (p *peak) Claim(string, fact.Claim) error       { p.claims++; return nil }

func TestAHundredThousandEntitiesAreStreamed(t *testing.T) {
	const count = 100_000
	description := strings.Repeat("x", 1000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit, _ := strconv.Atoi(r.URL.Query().Get("limit"))
		from := 0
		_, _ = fmt.Sscanf(r.URL.Query().Get("cursor"), "at%d", &from)
		end := min(from+limit, count)
		items := []backstage.Entity{}
		for n := from; n < end; n++ {
			e := entity("Component", fmt.Sprint("component-", n), backstage.Relation{Type: "ownedBy", TargetRef: fmt.Sprintf("group:default/team-%d", n%500)},
				backstage.Relation{Type: "dependsOn", TargetRef: fmt.Sprintf("component:default/component-%d", n/2)})
			if n < 500 {
				e = entity("Group", fmt.Sprint("team-", n))
				e.Spec = nil
			} else {
				e.Spec["definition"] = description
			}
			items = append(items, e)
		}
		answer := map[string]any{"items": items, "totalItems": count, "pageInfo": map[string]any{}}
		if end < count {
			answer["pageInfo"] = map[string]any{"nextCursor": fmt.Sprint("at", end)}
		}
		_ = json.NewEncoder(w).Encode(answer)
	}))
	defer server.Close()
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	p := &peak{}
	if err := backstage.New(quick).Sync(t.Context(), connector.Values{"address": server.URL}, p); err != nil {
		t.Fatal(err)
	}
	// 150 MB go over the wire; what is kept are the ends of the relations.
	if held := (max(p.most, before.HeapAlloc) - before.HeapAlloc) >> 20; p.nodes != count || p.claims != count-500 || len(p.Complete) != 1 || held > 100 {
		t.Errorf("%d nodes, %d claims, covered %v, gaps %v, %d MiB held at most; want less than 100", p.nodes, p.claims, p.Complete, p.Gaps, held)
	} else {
		t.Logf("%d MiB held at most", held)
	}
}
