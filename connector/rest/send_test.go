package rest_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/backstitch/backstitch/connector/rest"
)

func TestAFormTellsFilesFromFields(t *testing.T) {
	t.Parallel()
	got := map[string]string{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		parts, err := r.MultipartReader()
		if err != nil {
			t.Error(err)
			return
		}
		for {
			part, err := parts.NextPart()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Error(err)
				return
			}
			content, err := io.ReadAll(part)
			if err != nil {
				t.Error(err)
			}
			kind := "field "
			if part.FileName() != "" {
				kind = "file "
			}
			got[kind+part.FormName()] = string(content)
		}
		w.WriteHeader(http.StatusCreated)
	}))
	defer server.Close()
	base, err := rest.Base(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	client := rest.New(func(context.Context, time.Duration) error { return nil })
	form := []rest.Part{{Name: "message", Content: []byte("why\n")}, {Name: `/a "b"/message`, File: true, Content: []byte{0, 0xff}}}
	if err := client.Send(t.Context(), rest.Write{Method: http.MethodPost, At: base, Form: form}, nil); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got["field message"] != "why\n" || got[`file /a "b"/message`] != "\x00\xff" {
		t.Errorf("got %q", got)
	}
	if err := client.Send(t.Context(), rest.Write{Method: http.MethodPost, At: base, Form: []rest.Part{{Name: "a\nb", File: true}}}, nil); err == nil {
		t.Error("a name with a line break was sent")
	}
}
