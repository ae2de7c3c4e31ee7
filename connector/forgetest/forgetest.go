// Package forgetest is a server for tests that speaks a forge's documented API: it judges
// every request by the forge's own OpenAPI document before a handler of the test answers
// it, fails the test for calls that the document or the test does not know, and plays the
// faults that real servers have.
package forgetest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi2"
	"github.com/getkin/kin-openapi/openapi2conv"
	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"
	"github.com/vektah/gqlparser/v2/parser"
	"github.com/vektah/gqlparser/v2/validator"
	"github.com/vektah/gqlparser/v2/validator/rules"
)

// Published reads a document that script/setup put into build/tools/openapi. Without it
// the test is skipped, and fails under CI.
func Published(t *testing.T, name string) []byte {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above this folder")
		}
		dir = filepath.Dir(dir)
	}
	data, err := os.ReadFile(filepath.Join(dir, "build", "tools", "openapi", name))
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatalf("the published document %s is missing; script/setup fetches it: %v", name, err)
		}
		t.Skipf("skipped: the published document %s is missing; script/setup fetches it", name)
	}
	return data
}

// Document reads the operations of an OpenAPI 3 document that are named, such as
// "POST /repos/{owner}/{repo}/pulls", with what they refer to; the rest is dropped
// before it is understood, since documents of forges are large and not always whole.
func Document(t *testing.T, data []byte, operations ...string) *openapi3.T {
	t.Helper()
	trimmed, err := trim(data, operations)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(trimmed)
	if err != nil {
		t.Fatalf("the OpenAPI document: %v", err)
	}
	return open(doc)
}

// open leaves credentials to the handlers, and servers to the test.
func open(doc *openapi3.T) *openapi3.T {
	doc.Servers, doc.Security = nil, nil
	for _, item := range doc.Paths.Map() {
		for _, operation := range item.Operations() {
			operation.Security = nil
		}
	}
	return doc
}

// Swagger does as Document does for a Swagger 2 document.
func Swagger(t *testing.T, data []byte, operations ...string) *openapi3.T {
	t.Helper()
	trimmed, err := trim(data, operations)
	if err != nil {
		t.Fatal(err)
	}
	var old openapi2.T
	if err := json.Unmarshal(trimmed, &old); err != nil {
		t.Fatalf("the Swagger document: %v", err)
	}
	doc, err := openapi2conv.ToV3(&old)
	if err != nil {
		t.Fatalf("the Swagger document: %v", err)
	}
	return open(doc)
}

// trim keeps the operations that are named and what they refer to.
func trim(data []byte, operations []string) ([]byte, error) {
	var doc map[string]any
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("the OpenAPI document: %w", err)
	}
	all, _ := doc["paths"].(map[string]any)
	paths := map[string]any{}
	for _, operation := range operations {
		method, path, _ := strings.Cut(operation, " ")
		item, _ := all[path].(map[string]any)
		one, ok := item[strings.ToLower(method)]
		if !ok {
			return nil, fmt.Errorf("the OpenAPI document has no operation %s", operation)
		}
		kept, _ := paths[path].(map[string]any)
		if kept == nil {
			kept = map[string]any{}
			if shared, ok := item["parameters"]; ok {
				kept["parameters"] = shared
			}
			paths[path] = kept
		}
		kept[strings.ToLower(method)] = one
	}
	doc["paths"] = paths
	delete(doc, "servers") // the test's server stands in
	delete(doc, "webhooks")
	delete(doc, "x-webhooks")
	needed := map[string]bool{}
	var follow func(v any) error
	follow = func(v any) error {
		switch v := v.(type) {
		case []any:
			for _, one := range v {
				if err := follow(one); err != nil {
					return err
				}
			}
		case map[string]any:
			delete(v, "examples") // some do not fit their own schema
			delete(v, "example")
			if ref, ok := v["$ref"].(string); ok && !needed[ref] {
				needed[ref] = true
				target, err := resolve(doc, ref)
				if err != nil {
					return err
				}
				if err := follow(target); err != nil {
					return err
				}
			}
			for _, one := range v {
				if err := follow(one); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := follow(paths); err != nil {
		return nil, err
	}
	for _, group := range []string{"components", "definitions", "parameters", "responses"} {
		prune(doc, "#/"+group, needed)
	}
	return json.Marshal(doc)
}

func resolve(doc map[string]any, ref string) (any, error) {
	var at any = doc
	for part := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		node, _ := at.(map[string]any)
		next, ok := node[strings.NewReplacer("~1", "/", "~0", "~").Replace(part)]
		if !ok {
			return nil, fmt.Errorf("the OpenAPI document: %s leads nowhere", ref)
		}
		at = next
	}
	return at, nil
}

// prune removes the named things below a place that nothing refers to.
func prune(doc map[string]any, at string, needed map[string]bool) {
	node, err := resolve(doc, at)
	group, ok := node.(map[string]any)
	if err != nil || !ok {
		return
	}
	deeper := at == "#/components"
	for name := range group {
		switch {
		case deeper && name == "securitySchemes":
			delete(group, name)
		case deeper:
			prune(doc, at+"/"+name, needed)
		case !needed[at+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(name)]:
			delete(group, name)
		}
	}
}

// Handler answers a request that the document allows; path holds its path's parameters.
type Handler func(w http.ResponseWriter, r *http.Request, path map[string]string)

// Fault is what goes wrong at one call.
type Fault struct {
	Executed bool // the handler does its work first, and its answer is lost
	Cut      bool // the connection breaks instead of an answer
	Status   int
	Header   map[string]string
	Body     string
}

// Server is the server. Its URL is what a connector is told.
type Server struct {
	*httptest.Server
	// Rewrite changes the path of a request, below the prefix, before it is looked for
	// in the document: the slashes of a name there stand as %2F. It may be nil.
	Rewrite  func(path string) string
	t        *testing.T
	router   routers.Router
	prefix   string
	mu       sync.Mutex
	handlers map[string]Handler
	raw      map[string]http.HandlerFunc
	faults   map[string][]Fault
	calls    map[string]int
}

// New starts a server for the operations of a document below a path prefix, "" for none.
// Requests are answered one at a time.
func New(t *testing.T, doc *openapi3.T, prefix string) *Server {
	t.Helper()
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatalf("the OpenAPI document: %v", err)
	}
	s := &Server{t: t, router: router, prefix: prefix, handlers: map[string]Handler{}, raw: map[string]http.HandlerFunc{}, faults: map[string][]Fault{}, calls: map[string]int{}}
	s.Server = httptest.NewServer(http.HandlerFunc(s.serve))
	t.Cleanup(s.Close)
	return s
}

// On answers an operation of the document, "GET /repos/{owner}/{repo}".
func (s *Server) On(operation string, handler Handler) { s.handlers[operation] = handler }

// Raw answers calls that no OpenAPI document describes, such as "POST /graphql".
func (s *Server) Raw(call string, handler http.HandlerFunc) { s.raw[call] = handler }

// Break plays faults at the next calls of an operation, one each.
func (s *Server) Break(operation string, faults ...Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults[operation] = append(s.faults[operation], faults...)
}

// Calls says how often an operation was asked for.
func (s *Server) Calls(operation string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.calls[operation]
}

// Asked lists the operations that were asked for, sorted.
func (s *Server) Asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(maps.Keys(s.calls))
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if handler, ok := s.raw[r.Method+" "+r.URL.Path]; ok {
		s.play(r.Method+" "+r.URL.Path, w, r, handler)
		return
	}
	r.URL.Path = strings.TrimPrefix(r.URL.Path, s.prefix)
	r.URL.RawPath = strings.TrimPrefix(r.URL.RawPath, s.prefix)
	if s.Rewrite != nil {
		r.URL.RawPath = s.Rewrite(r.URL.EscapedPath())
	}
	route, path, err := s.router.FindRoute(r)
	if err != nil {
		s.t.Errorf("%s %s: the API has no such call: %v", r.Method, r.URL.Path, err)
		http.Error(w, "no such call", http.StatusNotImplemented)
		return
	}
	for name, value := range path {
		if path[name], err = url.PathUnescape(value); err != nil {
			s.t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
		}
	}
	operation := route.Method + " " + route.Path
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Errorf("%s: %v", operation, err)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if err := openapi3filter.ValidateRequest(r.Context(), &openapi3filter.RequestValidationInput{
		Request: r, PathParams: path, Route: route, Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
	}); err != nil {
		s.t.Errorf("%s: the request is not one that the API describes: %v", operation, err)
		http.Error(w, "invalid", http.StatusUnprocessableEntity)
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	handler, ok := s.handlers[operation]
	if !ok {
		s.t.Errorf("%s: the test does not expect this call", operation)
		http.Error(w, "not expected", http.StatusNotImplemented)
		return
	}
	s.play(operation, w, r, func(w http.ResponseWriter, r *http.Request) { handler(w, r, path) })
}

// play answers a call, or lets it go wrong as the next fault says.
func (s *Server) play(operation string, w http.ResponseWriter, r *http.Request, handler http.HandlerFunc) {
	s.calls[operation]++
	list := s.faults[operation]
	if len(list) == 0 {
		handler(w, r)
		return
	}
	fault := list[0]
	s.faults[operation] = list[1:]
	if fault.Executed {
		handler(httptest.NewRecorder(), r)
	}
	if fault.Cut {
		panic(http.ErrAbortHandler)
	}
	for name, value := range fault.Header {
		w.Header().Set(name, value)
	}
	w.WriteHeader(fault.Status)
	_, _ = io.WriteString(w, fault.Body) // nobody may be there to read it
}

// JSON answers with a value.
func JSON(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value) // nobody may be there to read it
}

// Read decodes a request's body.
func Read[T any](t *testing.T, r *http.Request) (value T) {
	t.Helper()
	if err := json.NewDecoder(r.Body).Decode(&value); err != nil {
		t.Errorf("%s %s: %v", r.Method, r.URL.Path, err)
	}
	return value
}

// GraphQL judges queries by a published schema.
type GraphQL struct{ schema *ast.Schema }

// NewGraphQL reads a schema in the schema definition language.
func NewGraphQL(t *testing.T, name string, sdl []byte) *GraphQL {
	t.Helper()
	doc, err := parser.ParseSchemas(validator.Prelude, &ast.Source{Name: name, Input: string(sdl)})
	if err != nil {
		t.Fatalf("the GraphQL schema: %v", err)
	}
	for _, definition := range doc.Definitions { // GitHub publishes a field twice
		seen := map[string]bool{}
		definition.Fields = slices.DeleteFunc(definition.Fields, func(f *ast.FieldDefinition) bool {
			again := seen[f.Name]
			seen[f.Name] = true
			return again
		})
	}
	schema, err := validator.ValidateSchemaDocument(doc)
	if err != nil {
		t.Fatalf("the GraphQL schema: %v", err)
	}
	return &GraphQL{schema}
}

// Query is a request to a GraphQL endpoint.
type Query struct {
	Query     string         `json:"query"`
	Variables map[string]any `json:"variables"`
}

// Read reads a request and fails the test when the schema does not allow it. It gives
// the name of the first field that the operation asks for.
func (g *GraphQL) Read(t *testing.T, r *http.Request) (field string, query Query) {
	t.Helper()
	query = Read[Query](t, r)
	doc, list := gqlparser.LoadQueryWithRules(g.schema, query.Query, rules.NewDefaultRules())
	if len(list) > 0 {
		t.Errorf("the schema does not allow the query: %v\n%s", list, query.Query)
		return "", query
	}
	if len(doc.Operations) == 1 && len(doc.Operations[0].SelectionSet) > 0 {
		if one, ok := doc.Operations[0].SelectionSet[0].(*ast.Field); ok {
			field = one.Name
		}
	}
	return field, query
}
