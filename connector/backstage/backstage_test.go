package backstage_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/connector/backstage"
	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/fact"
)

// sink keeps what a source tells, one line each.
type sink struct {
	connector.Sink
	mu                       sync.Mutex
	nodes, relations, claims []string
	covered, notes           []string
	gaps                     []string
}

func (s *sink) Done(string) bool { return false }
func (s *sink) Node(_ string, n fact.Node) error {
	s.nodes = append(s.nodes, n.Kind+" "+n.Key)
	return nil
}
func (s *sink) Relation(_ string, r fact.Relation) error {
	if r.Evidence.Method == "" || r.Evidence.Source == "" || r.Evidence.Strength == "" {
		return fmt.Errorf("relation without evidence: %+v", r)
	}
	s.relations = append(s.relations, r.From.Key+" "+string(r.Kind)+" "+r.To.Key)
	return nil
}
func (s *sink) Claim(_ string, c fact.Claim) error {
	s.claims = append(s.claims, fmt.Sprintf("%s: %s %s from %s", c.Subject.Key, c.Owner.Kind, c.Owner.ID, c.Evidence.Source))
	return nil
}
func (s *sink) Covered(scope string) error { s.covered = append(s.covered, scope); return nil }
func (s *sink) Gap(scope string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.gaps = append(s.gaps, scope+": "+err.Error())
}
func (s *sink) Note(_, text string)       { s.notes = append(s.notes, text) }
func (s *sink) Progress(string, int, int) {}

func write(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		at := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

const shop = `apiVersion: backstage.io/v1alpha1
kind: Component
metadata:
  name: Shop
  title: The shop
  annotations: {github.com/project-slug: acme/shop}
spec: {type: service, owner: web, system: sales, dependsOn: ["resource:db"], providesApis: [orders]}
---
kind: Deployment
apiVersion: apps/v1
metadata: {name: no-entity}
---
apiVersion: backstage.io/v1alpha1
kind: Group
metadata: {name: web}
spec: {type: team, children: [], members: [ada], profile: {displayName: Web team, email: web@acme.test}}
---
apiVersion: backstage.io/v1alpha1
kind: User
metadata: {name: ada}
spec: {memberOf: [web], profile: {email: ada@acme.test}}
---
apiVersion: backstage.io/v1alpha1
kind: System
metadata: {name: sales, namespace: eu}
spec: {owner: "user:default/ada"}
`

func TestOwnersAndRelationsOfDescriptorFiles(t *testing.T) {
	t.Parallel()
	s := &sink{}
	if err := backstage.New(nil).Sync(t.Context(), connector.Values{"path": write(t, map[string]string{"shop/catalog-info.yaml": shop})}, s); err != nil {
		t.Fatal(err)
	}
	for _, list := range []*[]string{&s.nodes, &s.relations, &s.notes} {
		slices.Sort(*list)
	}
	if diff := cmp.Diff([]string{"person backstage:user:default/ada", "service backstage:component:default/shop", "service backstage:system:eu/sales", "team backstage:group:default/web"}, s.nodes); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{
		"backstage:api:default/orders depends_on backstage:component:default/shop",
		"backstage:component:default/shop depends_on backstage:resource:default/db",
		"backstage:component:default/shop owned_by backstage:group:default/web",
		"backstage:component:default/shop part_of backstage:system:default/sales",
		"backstage:system:eu/sales owned_by backstage:user:default/ada",
		"backstage:user:default/ada member_of backstage:group:default/web",
		"backstage:user:default/ada member_of backstage:group:default/web",
		"github.com/acme/shop part_of backstage:component:default/shop",
	}, s.relations); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{
		"backstage:component:default/shop: team group:default/web from shop/catalog-info.yaml:1",
		"backstage:system:eu/sales: person ada@acme.test from shop/catalog-info.yaml:23",
	}, s.claims); diff != "" {
		t.Error(diff)
	}
	if len(s.notes) != 3 || !strings.Contains(strings.Join(s.notes, "|"), "partOf system:default/sales, which the catalog does not hold") {
		t.Errorf("dangling references %q, want three", s.notes)
	}
	if len(s.gaps) != 0 || len(s.covered) != 1 {
		t.Errorf("gaps %q, covered %q", s.gaps, s.covered)
	}
}

func TestAReferenceToNobodyCountsLessWhereSomebodyWouldStand(t *testing.T) {
	t.Parallel()
	component := "apiVersion: backstage.io/v1alpha1\nkind: Component\nmetadata: {name: shop}\nspec: {owner: ghosts}\n---\n"
	group := "apiVersion: backstage.io/v1alpha1\nkind: Group\nmetadata: {name: web}\nspec: {type: team}\n---\n"
	outside := "apiVersion: backstage.io/v1alpha1\nkind: Location\nmetadata: {name: org}\nspec: {target: 'https://git.test/acme/org.yaml'}\n"
	for text, want := range map[string]float64{component: .7, component + group: .4, component + group + outside: .7} {
		r := &connectortest.Recorder{}
		if err := backstage.New(nil).Sync(t.Context(), connector.Values{"path": write(t, map[string]string{"catalog-info.yaml": text})}, r); err != nil {
			t.Fatal(err)
		}
		if len(r.Claims) != 1 || r.Claims[0].Value.Confidence != want || len(r.Notes) == 0 {
			t.Errorf("%s: %+v %v, want one of %v and a note", text, r.Claims, r.Notes, want)
		}
	}
}

func TestALocationLeadsToFilesBelowItsFolderOnly(t *testing.T) {
	t.Parallel()
	location := `apiVersion: backstage.io/v1alpha1
kind: Location
metadata: {name: all}
spec: {targets: ["./parts/*.yaml", "../../etc/passwd", "https://elsewhere.test/x.yaml", "./gone.yaml"]}
`
	dir := write(t, map[string]string{"all.yaml": location, "parts/shop.yaml": shop, "other.yaml": strings.ReplaceAll(shop, "Shop", "Other")})
	s := &sink{}
	if err := backstage.New(nil).Sync(t.Context(), connector.Values{"path": filepath.Join(dir, "all.yaml")}, s); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(s.nodes, "service backstage:component:default/shop") || slices.Contains(s.nodes, "service backstage:component:default/other") {
		t.Errorf("nodes %q", s.nodes)
	}
	if len(s.gaps) != 3 || len(s.covered) != 0 {
		t.Errorf("gaps %q, covered %q; want the three targets that were not read, and nothing covered", s.gaps, s.covered)
	}
}

func TestBadFilesAreNamedAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	dir := write(t, map[string]string{
		"a.yaml": shop, "b.yaml": "apiVersion: backstage.io/v1\nkind: Component\nmetadata: {title: none}\n", "c.yaml": "a: [",
		"d.yaml": "apiVersion: backstage.io/v1\nkind: Component\nmetadata: 7\n",
		"e.yaml": "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\nc: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\nd: &d [*c, *c, *c, *c, *c, *c, *c, *c, *c]\n" +
			"e: &e [*d, *d, *d, *d, *d, *d, *d, *d]\nspec: {f: [*e, *e, *e, *e, *e, *e, *e, *e]}\napiVersion: backstage.io/v1\n",
	})
	s := &sink{}
	if err := backstage.New(nil).Sync(t.Context(), connector.Values{"path": dir}, s); err != nil {
		t.Fatal(err)
	}
	slices.Sort(s.gaps)
	for i, want := range []string{"files: b.yaml:1: expected an entity with kind", "files: c.yaml: yaml:", "files: d.yaml:1: expected an entity", "files: e.yaml"} {
		if i >= len(s.gaps) || !strings.HasPrefix(s.gaps[i], want) {
			t.Errorf("gap %d of %q, want %q", i, s.gaps, want)
		}
	}
	if len(s.nodes) != 4 {
		t.Errorf("nodes %q, want those of a.yaml", s.nodes)
	}
}

// catalogAPI serves entities/by-query as the documentation of the catalog
// describes it, two entities a page, and fails on anything else.
func catalogAPI(t *testing.T, entities []backstage.Entity, trouble func(call int) (status int, header string)) *httptest.Server {
	t.Helper()
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		if r.Method != http.MethodGet || r.URL.Path != "/api/catalog/entities/by-query" || r.URL.Query().Get("limit") == "" {
			t.Errorf("the catalog has no %s %s", r.Method, r.URL)
			http.NotFound(w, r)
			return
		}
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		if status, after := trouble(calls); status != 0 {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(status)
			return
		}
		at := 0
		if cursor := r.URL.Query().Get("cursor"); cursor != "" {
			if _, err := fmt.Sscanf(cursor, "at%d", &at); err != nil {
				t.Errorf("cursor %q was never given out", cursor)
			}
		}
		end := min(at+2, len(entities))
		answer := map[string]any{"items": entities[at:end], "totalItems": len(entities), "pageInfo": map[string]any{}}
		if end < len(entities) {
			answer["pageInfo"] = map[string]any{"nextCursor": fmt.Sprintf("at%d", end)}
		}
		if err := json.NewEncoder(w).Encode(answer); err != nil {
			t.Error(err)
		}
	}))
	t.Cleanup(server.Close)
	return server
}

func entity(kind, name string, relations ...backstage.Relation) backstage.Entity {
	return backstage.Entity{Kind: kind, Metadata: backstage.Metadata{Name: name}, Spec: map[string]any{"owner": "stale"}, Relations: relations}
}

func TestTheAPIIsReadPageByPageAndItsRelationsCount(t *testing.T) {
	t.Parallel()
	owned := func(ref string) backstage.Relation { return backstage.Relation{Type: "ownedBy", TargetRef: ref} }
	entities := []backstage.Entity{
		entity("Component", "shop", owned("group:default/web"), owned("user:default/ada")), entity("Group", "web"), entity("User", "ada"),
		entity("Component", "cart", owned("group:default/web")), entity("System", "sales", owned("group:default/web")),
	}
	entities[1].Spec, entities[2].Spec = nil, nil
	var waited []time.Duration
	wait := func(_ context.Context, d time.Duration) error { waited = append(waited, d); return nil }
	server := catalogAPI(t, entities, func(call int) (int, string) {
		switch call {
		case 2:
			return http.StatusTooManyRequests, "7"
		case 4:
			return http.StatusBadGateway, ""
		}
		return 0, ""
	})
	s := &sink{}
	if err := backstage.New(wait).Sync(t.Context(), connector.Values{"address": server.URL + "/", "token": "s3cret"}, s); err != nil {
		t.Fatal(err)
	}
	if len(s.claims) != 4 || len(s.nodes) != 5 || len(s.covered) != 1 || len(s.gaps) != 0 {
		t.Errorf("claims %q\nnodes %q\ncovered %q, gaps %q", s.claims, s.nodes, s.covered, s.gaps)
	}
	if len(waited) != 2 || waited[0] != 7*time.Second {
		t.Errorf("waited %v, want 7 s as the server asked and another time", waited)
	}
}

func TestWhatTheAPIDidNotGiveIsAGapAndNothingIsCovered(t *testing.T) {
	t.Parallel()
	entities := []backstage.Entity{entity("Component", "a"), entity("Component", "b"), entity("Component", "c")}
	for name, c := range map[string]struct {
		token   string
		trouble func(call int) (int, string)
		nodes   int
		want    string
	}{
		"a wrong token":   {"wrong", func(int) (int, string) { return 0, "" }, 0, "401"},
		"half a catalog":  {"s3cret", func(call int) (int, string) { return map[bool]int{true: 500}[call > 1], "" }, 2, "500"},
		"always too busy": {"s3cret", func(int) (int, string) { return 429, "1" }, 0, "429"},
	} {
		server := catalogAPI(t, entities, c.trouble)
		s := &sink{}
		err := backstage.New(func(context.Context, time.Duration) error { return nil }).Sync(t.Context(), connector.Values{"address": server.URL, "token": c.token}, s)
		if err != nil || len(s.nodes) != c.nodes || len(s.covered) != 0 || len(s.gaps) != 1 || !strings.Contains(s.gaps[0], c.want) || strings.Contains(s.gaps[0], c.token) {
			t.Errorf("%s: %v, nodes %q, covered %q, gaps %q", name, err, s.nodes, s.covered, s.gaps)
		}
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	server := catalogAPI(t, nil, func(int) (int, string) { return 503, "30" })
	wait := func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() }
	if err := backstage.New(wait).Sync(ctx, connector.Values{"address": server.URL, "token": "s3cret"}, &sink{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestReferencesAreCompleted(t *testing.T) {
	t.Parallel()
	for ref, want := range map[string]string{
		"web": "group:eu/web", "Group:Web": "group:eu/web", "default/web": "group:default/web", "user:default/ada": "user:default/ada", "": "", "a/b/c": "", "group:": "",
	} {
		if got := backstage.Full(ref, "group", "eu"); got != want {
			t.Errorf("%q is %q, want %q", ref, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(shop))
	f.Add([]byte("apiVersion: backstage.io/v1\nkind: A\nmetadata: {name: [x]}\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		entities, problems := backstage.Parse("f", data)
		for _, e := range entities {
			if e.Metadata.Name == "" || e.Line < 1 || e.Line > 1+strings.Count(string(data), "\n")+strings.Count(string(data), "\r") || !strings.Contains(e.Ref(), ":") {
				t.Errorf("%q: entity %+v", data, e)
			}
		}
		for _, p := range problems {
			if !strings.HasPrefix(p, "f:") {
				t.Errorf("%q: problem %q names no file", data, p)
			}
		}
	})
}
