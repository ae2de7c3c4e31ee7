// Package rest asks the JSON APIs of outside systems as a guest should: it waits
// as long as it is told to, tries again what may go better, bounds every answer,
// sends credentials to no other host, and names in errors neither query nor
// credential. Connectors share it; what an answer means is theirs.
package rest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Bounds of a request.
const (
	maxAttempts = 5
	maxWait     = time.Minute
	maxAfter    = 24 * time.Hour
	timeout     = 2 * time.Minute
	maxAnswer   = 64 << 20
	dialTimeout = 30 * time.Second
)

// Client asks. It is safe for concurrent use.
type Client struct {
	http *http.Client
	wait func(ctx context.Context, d time.Duration) error
	now  func() time.Time
}

// New makes a client. wait sleeps between attempts; nil waits for real.
func New(wait func(ctx context.Context, d time.Duration) error) *Client {
	if wait == nil {
		wait = pause
	}
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: dialTimeout, Control: notLinkLocal}).DialContext,
		TLSHandshakeTimeout: dialTimeout, ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 4, IdleConnTimeout: timeout,
	}
	return &Client{http: &http.Client{Transport: transport, Timeout: timeout, CheckRedirect: sameHost}, wait: wait, now: time.Now}
}

var errLinkLocal = errors.New("the address is link-local, where clouds keep the credentials of machines: it is not asked")

// notLinkLocal refuses to connect to link-local addresses, whatever name led there.
func notLinkLocal(_, address string, _ syscall.RawConn) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if at.Addr().Unmap().IsLinkLocalUnicast() {
		return errLinkLocal
	}
	return nil
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// sameHost follows no redirect that would carry credentials to another host.
func sameHost(next *http.Request, before []*http.Request) error {
	if len(before) > 5 || next.URL.Host != before[0].URL.Host || next.URL.Scheme != before[0].URL.Scheme {
		return fmt.Errorf("redirect to %s is not followed", next.URL.Host)
	}
	return nil
}

// StatusError is an answer that is not the one that was asked for.
type StatusError struct {
	Code  int
	where string
	text  string        // what the system says of it
	after time.Duration // it asked to wait
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("%s: answered %d %s", e.where, e.Code, http.StatusText(e.Code))
	switch e.Code {
	case http.StatusUnauthorized:
		text += ", expected credentials that are valid"
	case http.StatusForbidden:
		text += ", expected credentials that may do this"
	}
	if e.text != "" {
		text += ": " + e.text
	}
	return text
}

// again says whether the same request may be answered another time.
func (e *StatusError) again() bool {
	return e.Code == http.StatusTooManyRequests || e.Code >= 500 || e.Code == http.StatusForbidden && e.after > 0
}

// answerError is an answer that broke off or is no JSON as expected.
type answerError struct {
	where string
	err   error
}

func (e *answerError) Error() string { return fmt.Sprintf("%s: %v", e.where, e.err) }
func (e *answerError) Unwrap() error { return e.err }

var errTooLarge = fmt.Errorf("answered more than %d MiB", maxAnswer>>20)

// Get asks for one answer and decodes it into what into gives, a new value each
// time: 429, 5xx and answers that were cut are asked for again, after what
// Retry-After says.
func Get[T any](ctx context.Context, c *Client, at *url.URL, header http.Header, into *T) error {
	return c.Do(ctx, func(ctx context.Context) (*http.Request, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
		if err == nil {
			maps.Copy(request.Header, header)
		}
		return request, err
	}, func(body io.Reader) error {
		var fresh T
		if err := json.NewDecoder(body).Decode(&fresh); err != nil {
			return err
		}
		*into = fresh
		return nil
	})
}

// Do makes a request, sends it and gives the answer's body to read. Both may be
// called several times; what read was given before does not count.
func (c *Client) Do(ctx context.Context, ask func(ctx context.Context) (*http.Request, error), read func(body io.Reader) error) error {
	return c.attempts(ctx, ask, read, nil)
}

func (c *Client) attempts(ctx context.Context, ask func(ctx context.Context) (*http.Request, error), read func(body io.Reader) error, told *http.Header) error {
	var last error
	for attempt := range maxAttempts {
		if attempt > 0 {
			wait := time.Second << attempt
			var status *StatusError
			if errors.As(last, &status) && status.after > 0 {
				wait = status.after
			}
			if err := c.wait(ctx, min(wait, maxWait)); err != nil {
				return err
			}
		}
		request, err := ask(ctx)
		if err != nil {
			return err
		}
		if last = c.once(request, read, told); last == nil || ctx.Err() != nil {
			return errors.Join(ctx.Err(), last)
		}
		if !worthAnother(last) {
			return last
		}
	}
	return last
}

// worthAnother says whether a failure may go better another time: the system is
// busy or broken, or the connection was cut.
func worthAnother(err error) bool {
	var status *StatusError
	if errors.As(err, &status) {
		return status.again()
	}
	var unknown *net.DNSError
	if errors.As(err, &unknown) && unknown.IsNotFound || errors.Is(err, errLinkLocal) {
		return false
	}
	var network *net.OpError
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.As(err, &network)
}

// Page asks for one answer as Do does, and gives its headers with the body.
func (c *Client) Page(ctx context.Context, at *url.URL, header http.Header, read func(answer http.Header, body io.Reader) error) error {
	var told http.Header
	return c.attempts(ctx, func(ctx context.Context) (*http.Request, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
		if err == nil {
			maps.Copy(request.Header, header)
		}
		return request, err
	}, func(body io.Reader) error { return read(told, body) }, &told)
}

func (c *Client) once(request *http.Request, read func(io.Reader) error, told *http.Header) error {
	where := request.URL.Scheme + "://" + request.URL.Host + request.URL.Path
	if request.Header.Get("Accept") == "" {
		request.Header.Set("Accept", "application/json")
	}
	response, err := c.http.Do(request)
	if err != nil {
		var fault *url.Error
		if errors.As(err, &fault) {
			err = fault.Err // without the query
		}
		return &answerError{where, err}
	}
	defer response.Body.Close()
	if response.StatusCode/100 != 2 || request.Method == http.MethodGet && response.StatusCode != http.StatusOK {
		return &StatusError{response.StatusCode, where, reason(response), c.after(response)}
	}
	if told != nil {
		*told = response.Header
	}
	body := &bounded{from: response.Body, left: maxAnswer}
	err = read(body)
	switch {
	case body.failed != nil:
		return &answerError{where, body.failed}
	case err == nil:
		return nil
	}
	return &answerError{where, Shape(err)}
}

// bounded reads an answer up to a size, and remembers why it could not.
type bounded struct {
	from   io.Reader
	left   int64
	failed error
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		b.failed = errTooLarge
		return 0, b.failed
	}
	n, err := b.from.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		b.failed = err
	}
	return n, err
}

// Shape says what of an answer or one of its elements is not as expected, without
// quoting it.
func Shape(err error) error {
	var wrong *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrong):
		member := "it"
		if wrong.Field != "" {
			member = strconv.Quote(wrong.Field)
		}
		return fmt.Errorf("its schema is not the documented one: %s is %s, expected %s", member, found(wrong.Value), expected(wrong.Type))
	case errors.As(err, &syntax):
		return fmt.Errorf("expected JSON, at offset %d: %s", syntax.Offset, syntax.Error())
	case errors.Is(err, io.EOF):
		return fmt.Errorf("the answer is empty: %w", io.ErrUnexpectedEOF)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("the answer was cut: %w", err)
	}
	return err
}

// found names a value of JSON.
func found(value string) string {
	switch value {
	case "array":
		return "a list"
	case "object":
		return "an object"
	case "bool":
		return "true or false"
	}
	return "a " + value
}

// expected names what a type is in JSON.
func expected(t reflect.Type) string {
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "an object"
	case reflect.Slice, reflect.Array:
		return "a list"
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	}
	return "a number"
}

// after reads Retry-After: seconds, or a date; and where a limit is used up, when it
// begins anew, as forges tell it in X-RateLimit-Reset or RateLimit-Reset (seconds since
// 1970 UTC). It is at most a day.
func (c *Client) after(response *http.Response) time.Duration {
	text := response.Header.Get("Retry-After")
	if seconds, err := strconv.Atoi(text); err == nil && seconds > 0 {
		return time.Duration(min(seconds, int(maxAfter/time.Second))) * time.Second
	}
	if at, err := http.ParseTime(text); err == nil {
		return min(at.Sub(c.now()), maxAfter)
	}
	for _, prefix := range []string{"X-Ratelimit-", "Ratelimit-"} {
		seconds, err := strconv.ParseInt(response.Header.Get(prefix+"Reset"), 10, 64)
		if err == nil && response.Header.Get(prefix+"Remaining") == "0" {
			return min(max(time.Unix(seconds, 0).Sub(c.now()), time.Second), maxAfter)
		}
	}
	return 0
}

// reason reads the words that an error answer gives, where it gives any in the
// members that APIs use for them.
func reason(response *http.Response) string {
	data, err := io.ReadAll(io.LimitReader(response.Body, 16<<10))
	if err != nil {
		return ""
	}
	var answer struct {
		Detail  string          `json:"detail"`
		Message json.RawMessage `json:"message"`
		Error   json.RawMessage `json:"error"`
		Errors  json.RawMessage `json:"errors"`
	}
	if json.Unmarshal(bytes.TrimSpace(data), &answer) != nil {
		return ""
	}
	var nested struct {
		Message string `json:"message"`
	}
	if json.Unmarshal(answer.Error, &nested) != nil {
		nested.Message = ""
	}
	var several []struct {
		Message string `json:"message"`
	}
	var details []string
	if json.Unmarshal(answer.Errors, &several) == nil {
		for _, one := range several {
			details = append(details, one.Message)
		}
	} else if json.Unmarshal(answer.Errors, &details) != nil {
		details = nil
	}
	more := strings.Join(details, "; ")
	for _, text := range []string{answer.Detail, message(answer.Message), nested.Message, more} {
		if text = strings.Join(strings.Fields(text), " "); text != "" {
			if more != "" && text != more {
				text += ": " + strings.Join(strings.Fields(more), " ")
			}
			return strings.ToValidUTF8(text[:min(len(text), 400)], "")
		}
	}
	return ""
}

// message reads the member of that name: a text, a list of them, or either by what it is
// about.
func message(raw json.RawMessage) string {
	var text string
	var list, parts []string
	var about map[string]json.RawMessage
	switch {
	case json.Unmarshal(raw, &text) == nil:
		return text
	case json.Unmarshal(raw, &list) == nil:
		return strings.Join(list, "; ")
	case json.Unmarshal(raw, &about) != nil:
		return ""
	}
	for _, name := range slices.Sorted(maps.Keys(about)) {
		parts = append(parts, name+" "+message(about[name]))
	}
	return strings.Join(parts, "; ")
}

// Base reads the address of a system, of which requests go below.
func Base(address string) (*url.URL, error) {
	base, err := url.Parse(strings.TrimSuffix(address, "/"))
	if err != nil || base.Host == "" || base.Scheme != "https" && base.Scheme != "http" || base.User != nil {
		return nil, errors.New("setting address: expected an http or https address without user and password")
	}
	base.RawQuery, base.Fragment = "", ""
	return base, nil
}

// Below gives an address below a base, with a query.
func Below(base *url.URL, way string, query url.Values) *url.URL {
	at := *base
	at.Path = strings.TrimSuffix(at.Path, "/") + way
	at.RawPath, at.RawQuery = "", query.Encode()
	return &at
}
