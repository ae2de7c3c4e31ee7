package cli

import (
	"bytes"
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/app"
)

func TestChangesAreListedByTheirStatesOnly(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	if code, _, stderr := command(t, state, "change", "list", "--only", "bogus"); code != 2 || !strings.Contains(stderr, "change_open") {
		t.Errorf("a state that there is not: exit code %d, %q", code, stderr)
	}
	if code, out, _ := command(t, state, "change", "list", "-o", "json"); code != 0 || out != "[]\n" {
		t.Errorf("exit code %d, %q; expected an empty list", code, out)
	}
	if code, _, stderr := command(t, state, "fix", "handoff", "BS-AAAAAAAAAA"); code != 2 || !strings.Contains(stderr, "--remote") {
		t.Errorf("a hand-over to nowhere: exit code %d, %q", code, stderr)
	}
	if code, _, stderr := command(t, state, "change", "listen", "--every", "0s"); code != 2 || !strings.Contains(stderr, "--every") {
		t.Errorf("looking all the time: exit code %d, %q", code, stderr)
	}
}

func openDesk(t *testing.T) *app.App {
	t.Helper()
	desk, err := app.Open(t.Context(), app.Config{State: t.TempDir(), Now: time.Now, Progress: func(string, int, int) {}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { desk.Close() })
	return desk
}

func TestWebhooksOfNobodyAreRefused(t *testing.T) {
	t.Parallel()
	e := newEars(openDesk(t))
	post := func(method, path, body string) int {
		w := httptest.NewRecorder()
		e.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), method, path, strings.NewReader(body)))
		return w.Code
	}
	for _, c := range []struct {
		method, path, body string
		want               int
	}{
		{"POST", "/hooks/unknown", "{}", 404},
		{"POST", "/", "{}", 404},
		{"POST", "/hooks/a/b", "{}", 404},
		{"GET", "/hooks/unknown", "", 405},
		{"POST", "/hooks/unknown", strings.Repeat("x", maxHookBody+1), 413},
	} {
		if got := post(c.method, c.path, c.body); got != c.want {
			t.Errorf("%s %s of %d bytes: %d, want %d", c.method, c.path, len(c.body), got, c.want)
		}
	}
	for range maxHooks {
		e.turns <- struct{}{}
	}
	if got := post("POST", "/hooks/unknown", "{}"); got != 503 {
		t.Errorf("one more than may be read at a time: %d, want 503", got)
	}
}

func TestListeningEndsWithAnInterruptAndWithoutAnError(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var out, stderr bytes.Buffer
	s := &streams{out: &out, err: &stderr}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.listen(ctx, openDesk(t), listener, time.Hour) }()
	response, err := http.Post("http://"+listener.Addr().String()+"/hooks/unknown", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusNotFound {
		t.Errorf("status %d", response.StatusCode)
	}
	stop()
	if err := <-ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}
