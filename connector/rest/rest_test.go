package rest_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/connector/rest"
)

type answer struct {
	Name string `json:"name"`
}

// ask sends one request to a server that answers by the number of the call.
func ask(t *testing.T, handle func(call int, w http.ResponseWriter)) (got answer, waited []time.Duration, err error) {
	t.Helper()
	calls := 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls++
		if r.Header.Get("Authorization") != "Bearer s3cret" {
			t.Errorf("call %d has no token", calls)
		}
		handle(calls, w)
	}))
	defer server.Close()
	base, err := rest.Base(server.URL + "/api/")
	if err != nil {
		t.Fatal(err)
	}
	client := rest.New(func(_ context.Context, d time.Duration) error { waited = append(waited, d); return nil })
	header := http.Header{"Authorization": {"Bearer s3cret"}}
	err = rest.Get(t.Context(), client, rest.Below(base, "/things", map[string][]string{"key": {"s3cret"}}), header, &got)
	if err != nil && strings.Contains(err.Error(), "s3cret") {
		t.Errorf("the error tells of the request: %v", err)
	}
	return got, waited, err
}

// cut ends an answer before it is whole.
func cut(w http.ResponseWriter) {
	w.Header().Set("Content-Length", "100")
	fmt.Fprint(w, `{"name": "ha`)
}

func TestWhatMayGoBetterIsAskedForAgain(t *testing.T) {
	t.Parallel()
	got, waited, err := ask(t, func(call int, w http.ResponseWriter) {
		switch call {
		case 1:
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(http.StatusTooManyRequests)
		case 2:
			w.WriteHeader(http.StatusInternalServerError)
		case 3:
			cut(w)
		case 4:
			w.WriteHeader(http.StatusOK)
		default:
			fmt.Fprint(w, `{"name": "Zoë"}`)
		}
	})
	if err != nil || got.Name != "Zoë" {
		t.Errorf("got %+v, %v", got, err)
	}
	if len(waited) != 4 || waited[0] != 7*time.Second || waited[1] != 4*time.Second {
		t.Errorf("waited %v; want the 7 s that were asked for, then longer each time", waited)
	}
}

func TestAWaitOfADayIsBounded(t *testing.T) {
	t.Parallel()
	_, waited, err := ask(t, func(call int, w http.ResponseWriter) {
		w.Header().Set("Retry-After", map[bool]string{true: "86400", false: time.Now().Add(48 * time.Hour).UTC().Format(http.TimeFormat)}[call == 1])
		w.WriteHeader(http.StatusServiceUnavailable)
	})
	var status *rest.StatusError
	if !errors.As(err, &status) || status.Code != 503 || len(waited) != 4 {
		t.Fatalf("got %v after waiting %v", err, waited)
	}
	for _, d := range waited {
		if d != time.Minute {
			t.Errorf("waited %v, want a minute at most", d)
		}
	}
}

func TestWhatStaysWrongIsSaidAtOnce(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		handle func(w http.ResponseWriter)
		want   string
	}{
		"a wrong token": {func(w http.ResponseWriter) { w.WriteHeader(401) }, "/api/things: answered 401 Unauthorized, expected credentials that are valid"},
		"no right": {func(w http.ResponseWriter) {
			w.WriteHeader(403)
			fmt.Fprint(w, `{"error": {"message": "scope read\nis missing"}}`)
		}, "may do this: scope read is missing"},
		"a list of reasons": {func(w http.ResponseWriter) {
			w.WriteHeader(409)
			fmt.Fprint(w, `{"message": ["one is open", "another too"]}`)
		}, "409 Conflict: one is open; another too"},
		"reasons by member": {func(w http.ResponseWriter) {
			w.WriteHeader(400)
			fmt.Fprint(w, `{"message": {"title": ["is too long"], "branch": "is protected"}}`)
		}, "400 Bad Request: branch is protected; title is too long"},
		"another schema":   {func(w http.ResponseWriter) { fmt.Fprint(w, `{"name": ["a"]}`) }, `its schema is not the documented one: "name" is a list, expected a text`},
		"a page of HTML":   {func(w http.ResponseWriter) { fmt.Fprint(w, `<html>log in</html>`) }, "expected JSON, at offset 1"},
		"to another host":  {func(w http.ResponseWriter) { w.Header().Set("Location", "https://elsewhere.test/"); w.WriteHeader(302) }, "redirect to elsewhere.test is not followed"},
		"a huge answer":    {func(w http.ResponseWriter) { fmt.Fprint(w, `{"name": "`+strings.Repeat("x", 65<<20)+`"}`) }, "answered more than 64 MiB"},
		"nothing is there": {func(w http.ResponseWriter) { w.WriteHeader(404) }, "answered 404 Not Found"},
	} {
		_, waited, err := ask(t, func(_ int, w http.ResponseWriter) { c.handle(w) })
		if err == nil || !strings.Contains(err.Error(), c.want) || len(waited) != 0 {
			t.Errorf("%s: %v after waiting %v, want %q at once", name, err, waited, c.want)
		}
	}
}

func TestWhatStaysCutIsNamed(t *testing.T) {
	t.Parallel()
	_, waited, err := ask(t, func(_ int, w http.ResponseWriter) { cut(w) })
	if err == nil || !strings.Contains(err.Error(), "/api/things: unexpected EOF") || len(waited) != 4 {
		t.Errorf("got %v after waiting %v", err, waited)
	}
}

func TestCredentialsOfMachinesAreNotAskedFor(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"http://169.254.169.254/latest", "http://[fe80::1]/", "http://[::ffff:169.254.169.254]/"} {
		base, err := rest.Base(address)
		if err != nil {
			t.Fatal(err)
		}
		client := rest.New(func(context.Context, time.Duration) error { t.Errorf("%s was tried again", address); return nil })
		if err := rest.Get(t.Context(), client, base, nil, &answer{}); err == nil || !strings.Contains(err.Error(), "the address is link-local") {
			t.Errorf("%s: %v", address, err)
		}
	}
}

func TestWaitingEndsWithTheContext(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) }))
	defer server.Close()
	base, err := rest.Base(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := rest.New(func(ctx context.Context, _ time.Duration) error { cancel(); return ctx.Err() })
	if err := rest.Get(ctx, client, base, nil, &answer{}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestAddressesHoldNoCredentials(t *testing.T) {
	t.Parallel()
	for _, address := range []string{"https://ada:s3cret@x.test", "ftp://x.test", "x.test", "https://"} {
		if _, err := rest.Base(address); err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v, want a refusal without the address", address, err)
		}
	}
}
