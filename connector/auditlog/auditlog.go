// Package auditlog reads the event logs of clouds and clusters for one thing:
// who made which asset, and through what.
//
// It knows AWS CloudTrail (log files, lookups, EventBridge events), Google Cloud
// audit logs, Azure activity logs and Kubernetes audit logs, recognised by their
// content, plain or compressed. An event makes a Creation only when it says that
// a call succeeded and that the asset did not exist before; changing, tagging,
// attaching or failing to make something makes nobody a creator.
//
// Fields are those that the systems document: the CloudTrail record contents,
// the AuditLog message of Google Cloud, the activity log schema of Azure and the
// audit.k8s.io/v1 Event.
package auditlog

import (
	"bufio"
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/backstitch/backstitch/fact"
)

// Creation is one asset that one event made.
type Creation struct {
	Asset fact.Asset
	// IDs are all names by which the event calls the asset, the key among them.
	IDs     []string
	Type    string // the system's word: "Vpc", "compute.routes", "Microsoft.Sql/servers", "apps/deployments"
	Actor   Actor
	Event   string // name of the call
	EventID string
	Time    int64  // microseconds since 1970 UTC, 0 unknown
	Log     string // aws, gcp, azure or kubernetes
	Item    string // where in the file: "event 17"
}

// ActorKind says what sort of identity acted.
type ActorKind string

// Kinds of actors.
const (
	ActorUser    ActorKind = "user"    // a person's own identity
	ActorSession ActorKind = "session" // a role assumed under a name
	ActorRoot    ActorKind = "root"    // the account itself: somebody, nobody can say who
	ActorService ActorKind = "service" // a service, a controller or a workload's identity
)

// Actor is who made a call, as far as the log says.
type Actor struct {
	Kind      ActorKind
	Principal string // the identity in full: ARN, e-mail address, user name
	Name      string // whom to look for: user, session name, e-mail address; the principal of root
	Via       string // role or identity that was assumed
	Service   string // service that called on the identity's behalf
	Pipeline  *Pipeline
}

// Pipeline is the run of a pipeline that a session belongs to, as the token that
// it was made from says.
type Pipeline struct {
	System     string // host that issued the token
	Subject    string // the token's subject, verbatim
	Repository string // "owner/name", "" when the subject does not say
	Ref        string // branch, tag or environment
	Commit     string
}

// Stats counts what was read.
type Stats struct {
	Events    int // events of any known log
	Creations int
	Unknown   int // objects that are no event of a known log
}

// Bounds of one log file.
const (
	maxEvent = 16 << 20
	maxFile  = 8 << 30 // decompressed
)

// Read reads one log and gives what it says was made, in the order of the
// events. Sessions are followed within the file, from where they begin. An error
// names file and event; what was read before it was given.
func Read(ctx context.Context, name string, in io.Reader, found func(Creation) error) (Stats, error) {
	return read(ctx, name, in, map[string]session{}, found)
}

// read is Read with the sessions that are known, to which it adds.
func read(ctx context.Context, name string, in io.Reader, sessions map[string]session, found func(Creation) error) (Stats, error) {
	reader := &reader{name: name, found: found, sessions: sessions}
	if err := reader.read(ctx, in); err != nil {
		return reader.stats, fmt.Errorf("%s: event %d: %w", name, reader.stats.Events+reader.stats.Unknown+1, err)
	}
	return reader.stats, nil
}

// reader is one log being read.
type reader struct {
	name     string
	found    func(Creation) error
	stats    Stats
	sessions map[string]session // by the access key that was handed out
}

// session is who stands behind temporary credentials.
type session struct {
	actor    Actor
	pipeline *Pipeline
}

var (
	errNotJSON = errors.New("expected a JSON document or one JSON object a line")
	errLarge   = errors.New("event is larger than 16 MiB")
)

func (r *reader) read(ctx context.Context, in io.Reader) error {
	plain, closer, err := decompressed(in)
	if err != nil {
		return err
	}
	defer closer()
	budget := &budget{in: plain, whole: maxFile}
	decoder := json.NewDecoder(budget)
	decoder.UseNumber()
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		budget.left = maxEvent
		token, err := decoder.Token()
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return syntax(err)
		case token != json.Delim('{') && token != json.Delim('['):
			return errNotJSON
		case token == json.Delim('['):
			if err := r.list(ctx, decoder, budget); err != nil {
				return err
			}
		default:
			if err := r.object(ctx, decoder, budget); err != nil {
				return err
			}
		}
	}
}

// list reads the rest of an array of events.
func (r *reader) list(ctx context.Context, decoder *json.Decoder, budget *budget) error {
	for decoder.More() {
		if err := ctx.Err(); err != nil {
			return err
		}
		budget.left = maxEvent
		var value any
		if err := decoder.Decode(&value); err != nil {
			return syntax(err)
		}
		if err := r.event(value); err != nil {
			return err
		}
	}
	_, err := decoder.Token()
	return syntax(err)
}

// lists are the members that hold the events of a document.
var lists = []string{"Records", "records", "Events", "entries", "items", "value"}

// object reads the rest of a top-level object: an event, or a document of many,
// which streams.
func (r *reader) object(ctx context.Context, decoder *json.Decoder, budget *budget) error {
	whole := map[string]any{}
	streamed := false
	for decoder.More() {
		key, err := decoder.Token()
		if err != nil {
			return syntax(err)
		}
		name, _ := key.(string)
		if !slices.Contains(lists, name) {
			var value any
			if err := decoder.Decode(&value); err != nil {
				return syntax(err)
			}
			whole[name] = value
			continue
		}
		token, err := decoder.Token()
		if err != nil {
			return syntax(err)
		}
		if token != json.Delim('[') {
			if token == json.Delim('{') {
				return fmt.Errorf("%s: expected a list of events", name)
			}
			whole[name] = token
			continue
		}
		streamed = true
		if err := r.list(ctx, decoder, budget); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil {
		return syntax(err)
	}
	if streamed {
		return nil
	}
	return r.event(whole)
}

// event hands one event to the log that it belongs to.
func (r *reader) event(value any) error {
	event, ok := value.(map[string]any)
	if !ok {
		r.stats.Unknown++
		return nil
	}
	var made []Creation
	switch {
	case text(event, "CloudTrailEvent") != "":
		// An event of a lookup carries the record as text.
		var inner map[string]any
		decoder := json.NewDecoder(strings.NewReader(text(event, "CloudTrailEvent")))
		decoder.UseNumber()
		if err := decoder.Decode(&inner); err != nil {
			return fmt.Errorf("CloudTrailEvent: %w", syntax(err))
		}
		return r.event(inner)
	case text(event, "detail-type") != "" && object(event, "detail") != nil:
		detail := object(event, "detail")
		if text(detail, "eventName") == "" {
			r.stats.Unknown++
			return nil
		}
		return r.event(detail)
	case text(event, "eventName") != "" && text(event, "eventSource") != "":
		made = r.aws(event)
	case object(event, "protoPayload") != nil:
		made = r.gcp(event)
	case text(event, "operationName") != "" || object(event, "operationName") != nil:
		made = r.azure(event)
	case strings.HasPrefix(text(event, "apiVersion"), "audit.k8s.io/") && text(event, "kind") == "Event":
		made = r.kubernetes(event)
	default:
		r.stats.Unknown++
		return nil
	}
	r.stats.Events++
	for _, creation := range made {
		creation.Item = fmt.Sprintf("event %d", r.stats.Events)
		if !slices.Contains(creation.IDs, creation.Asset.Key) {
			creation.IDs = append([]string{creation.Asset.Key}, creation.IDs...)
		}
		r.stats.Creations++
		if err := r.found(creation); err != nil {
			return err
		}
	}
	return nil
}

// decompressed undoes gzip and zstd by their first bytes.
func decompressed(in io.Reader) (io.Reader, func(), error) {
	buffered := bufio.NewReaderSize(in, 1<<16)
	head, _ := buffered.Peek(4)
	switch {
	case bytes.HasPrefix(head, []byte{0x1f, 0x8b}):
		plain, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, nil, fmt.Errorf("gzip: %w", err)
		}
		return plain, func() {}, nil
	case bytes.HasPrefix(head, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		plain, err := zstd.NewReader(buffered, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(64<<20))
		if err != nil {
			return nil, nil, fmt.Errorf("zstd: %w", err)
		}
		return plain, plain.Close, nil
	}
	return buffered, func() {}, nil
}

// budget ends a stream that holds too much without an event's end.
type budget struct {
	in          io.Reader
	left, whole int64
}

func (b *budget) Read(p []byte) (int, error) {
	if b.left <= 0 || b.whole <= 0 {
		return 0, errLarge
	}
	n, err := b.in.Read(p[:min(int64(len(p)), b.left, b.whole)])
	b.left -= int64(n)
	b.whole -= int64(n)
	return n, err
}

// syntax turns an error of the decoder into one that says what was expected.
func syntax(err error) error {
	var fault *json.SyntaxError
	switch {
	case errors.As(err, &fault):
		return fmt.Errorf("byte %d: %w; %w", fault.Offset, err, errNotJSON)
	case errors.Is(err, io.EOF):
		return io.ErrUnexpectedEOF
	}
	return err
}

// object gives a member that is an object, nil when it is none.
func object(parent map[string]any, path ...string) map[string]any {
	for _, name := range path {
		parent, _ = parent[name].(map[string]any)
	}
	return parent
}

// text gives a member that is a text or a number, "" when it is none.
func text(parent map[string]any, name string) string {
	switch value := parent[name].(type) {
	case string:
		return value
	case json.Number:
		return value.String()
	}
	return ""
}

// texts gives the texts of a list, or the one text.
func texts(parent map[string]any, name string) []string {
	switch value := parent[name].(type) {
	case string:
		return []string{value}
	case []any:
		var list []string
		for _, element := range value {
			if s, ok := element.(string); ok {
				list = append(list, s)
			}
		}
		return list
	}
	return nil
}

// instant reads a time of RFC 3339, or as some exports write it with a blank.
func instant(values ...string) int64 {
	value := cmp.Or(values...)
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02 15:04:05.999999999"} {
		if t, err := time.Parse(layout, value); err == nil {
			return t.UnixMicro()
		}
	}
	return 0
}
