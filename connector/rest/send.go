package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime/multipart"
	"net"
	"net/http"
	"net/url"
	"path"
	"strings"
	"time"
	"unicode"
)

// maxSent bounds the body of a request.
const maxSent = 32 << 20

// Write is a request that changes something. It is sent once: whoever asks decides
// what a failure means.
type Write struct {
	Method string
	At     *url.URL
	Header http.Header // its Content-Type, if any, stands for application/json
	Body   any         // its JSON is sent; nil for none
	Form   []Part      // sent as multipart/form-data instead of Body
}

// Part is one field of a form. A file carries a file's name beside the field's, which is
// how a server tells the two apart.
type Part struct {
	Name    string
	File    bool
	Content []byte
}

// form writes the parts of a form.
func form(parts []Part) (data []byte, kind string, err error) {
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	for _, part := range parts {
		if strings.ContainsFunc(part.Name, unicode.IsControl) {
			return nil, "", fmt.Errorf("form: a field's name %q holds control characters", part.Name)
		}
		var to io.Writer
		if part.File {
			to, err = w.CreateFormFile(part.Name, path.Base(part.Name))
		} else {
			to, err = w.CreateFormField(part.Name)
		}
		if err == nil {
			_, err = to.Write(part.Content)
		}
		if err != nil {
			return nil, "", err
		}
	}
	err = w.Close() // writes the end
	return body.Bytes(), w.FormDataContentType(), err
}

// UnsureError says that no answer came, so that the request may have been carried out:
// the connection was cut, time ran out, or the server failed.
type UnsureError struct{ Err error }

func (e *UnsureError) Error() string { return e.Err.Error() }
func (e *UnsureError) Unwrap() error { return e.Err }

// Send sends a request once and decodes its answer into what into points to, nil for
// nothing. Answers other than 2xx are a *StatusError; those of which nobody knows
// whether they came before or after the deed are wrapped in *UnsureError.
func (c *Client) Send(ctx context.Context, write Write, into any) error {
	var body io.Reader
	kind := "application/json"
	if write.Body != nil || write.Form != nil {
		var data []byte
		var err error
		if write.Form != nil {
			data, kind, err = form(write.Form)
		} else {
			data, err = json.Marshal(write.Body)
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w", write.Method, write.At.Path, err)
		}
		if len(data) > maxSent {
			return fmt.Errorf("%s %s: a body of %d MiB, more than %d", write.Method, write.At.Path, len(data)>>20, maxSent>>20)
		}
		body = bytes.NewReader(data)
	}
	request, err := http.NewRequestWithContext(ctx, write.Method, write.At.String(), body)
	if err != nil {
		return err
	}
	maps.Copy(request.Header, write.Header)
	if body != nil {
		if request.Header.Get("Content-Type") == "" {
			request.Header.Set("Content-Type", kind)
		}
		request.GetBody = nil // a redirect would send it a second time
	}
	err = c.once(request, func(answer io.Reader) error {
		if into == nil {
			_, err := io.Copy(io.Discard, answer)
			return err
		}
		err := json.NewDecoder(answer).Decode(into)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF // a deed whose answer was cut
		}
		return err
	}, nil)
	var status *StatusError
	switch {
	case err == nil, errors.As(err, &status) && status.Code < 500:
		return err
	case refused(err):
		return err
	}
	return &UnsureError{err}
}

// refused says that a request never left: no connection was made.
func refused(err error) bool {
	var dns *net.DNSError
	var op *net.OpError
	return errors.As(err, &dns) || errors.Is(err, errLinkLocal) || errors.As(err, &op) && op.Op == "dial"
}

// After is how long an answer asked to wait, 0 for no word of it.
func (e *StatusError) After() time.Duration { return e.after }

// Text is what the system said of it, one line.
func (e *StatusError) Text() string { return e.text }
