package forgetest

import (
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/iotest"
)

const document = `{"openapi":"3.0.3","info":{"title":"t","version":"1"},"paths":{
 "/pulls/{number}":{"get":{"parameters":[{"name":"number","in":"path","required":true,"schema":{"type":"integer"}}],"responses":{"200":{"description":"ok"}}}},
 "/pulls":{"post":{"requestBody":{"required":true,"content":{"application/json":{"schema":{"$ref":"#/components/schemas/pull"}}}},"responses":{"201":{"description":"made"}}}},
 "/broken":{"get":{"responses":{"200":{"$ref":"#/components/responses/none"}}}}},
 "components":{"schemas":{"pull":{"type":"object","required":["base"],"properties":{"base":{"$ref":"#/components/schemas/name"}}},"name":{"type":"string"},"unused":{"type":"nonsense"}}}}`

func send(t *testing.T, s *Server, method, path, body string) (int, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(data)
}

func TestOnlyWhatIsNamedOfADocumentIsRead(t *testing.T) {
	doc := Document(t, []byte(document), "POST /pulls")
	if doc.Paths.Len() != 1 || len(doc.Components.Schemas) != 2 {
		t.Errorf("%d paths and %d schemas, expected 1 and 2", doc.Paths.Len(), len(doc.Components.Schemas))
	}
	for _, operation := range []string{"GET /pulls", "GET /broken"} {
		if _, err := trim([]byte(document), []string{operation}); err == nil {
			t.Errorf("%s: no error", operation)
		}
	}
}

func TestRequestsAreJudgedAndFaultsPlayed(t *testing.T) {
	inner := &testing.T{} // takes the failures that the server finds
	made := 0
	s := New(t, Document(t, []byte(document), "POST /pulls", "GET /pulls/{number}"), "/api")
	s.t = inner
	s.On("POST /pulls", func(w http.ResponseWriter, r *http.Request, _ map[string]string) {
		made++
		JSON(w, http.StatusCreated, Read[map[string]string](t, r))
	})
	if status, body := send(t, s, "POST", "/api/pulls", `{"base":"main"}`); status != 201 || !strings.Contains(body, "main") || inner.Failed() {
		t.Fatalf("%d %s, failed %v", status, body, inner.Failed())
	}
	s.Break("POST /pulls", Fault{Executed: true, Status: 500}, Fault{Cut: true}, Fault{Status: 429, Header: map[string]string{"Retry-After": "7"}})
	if status, _ := send(t, s, "POST", "/api/pulls", `{"base":"main"}`); status != 500 || made != 2 {
		t.Errorf("status %d, made %d", status, made)
	}
	if status, _ := send(t, s, "POST", "/api/pulls", `{"base":"main"}`); status != 0 || made != 2 {
		t.Errorf("cut: status %d, made %d", status, made)
	}
	if status, _ := send(t, s, "POST", "/api/pulls", `{"base":"main"}`); status != 429 || s.Calls("POST /pulls") != 4 {
		t.Errorf("status %d, calls %d", status, s.Calls("POST /pulls"))
	}
	for _, bad := range [][3]string{{"POST", "/api/pulls", `{"head":"x"}`}, {"GET", "/api/pulls/12", ""}, {"GET", "/api/nothing", ""}} {
		inner = &testing.T{}
		s.t = inner
		if send(t, s, bad[0], bad[1], bad[2]); !inner.Failed() {
			t.Errorf("%v: the test did not fail", bad)
		}
	}
}

func TestQueriesAreJudgedBySchema(t *testing.T) {
	g := NewGraphQL(t, "s", []byte("type Query { a(n: Int!): String }"))
	for query, allowed := range map[string]bool{`{"query":"query { a(n: 1) }"}`: true, `{"query":"query { a }"}`: false, `{"query":"query { b }"}`: false, `{"query":"("}`: false} {
		inner := &testing.T{}
		request, err := http.NewRequestWithContext(t.Context(), "POST", "/graphql", iotest.OneByteReader(strings.NewReader(query)))
		if err != nil {
			t.Fatal(err)
		}
		field, _ := g.Read(inner, request)
		if inner.Failed() == allowed || allowed && field != "a" {
			t.Errorf("%s: failed %v, field %q", query, inner.Failed(), field)
		}
	}
}
