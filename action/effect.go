package action

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"
	"unicode"
)

// Effect is something to be done to an outside system, once.
type Effect struct {
	// Key is the natural key: the same for the same effect, and found again in
	// what the target lists (a branch name, a marker). At most 512 bytes.
	Key string
	// Kind and Target choose the rules: limits are counted for both together.
	Kind   string
	Target string // without credentials
	// Payload is the digest of what is sent, Plan that of the plan it belongs to,
	// Base the commit it is made for.
	Payload string
	Plan    string
	Base    string
	// Requester asked for it, default Log.Actor.
	Requester string
	// Override is who lets it pass limits and quiet hours, "" for nobody. The
	// kill switch and approvals cannot be passed.
	Override string
	// Doc is what the effect can be made again from by the Revive of its kind; at
	// most 256 KiB of JSON, no secrets. Without it no other process can settle it.
	Doc json.RawMessage
	// Idempotent says that the target itself takes the same effect only once, so
	// that it may be sent again at any time. A change of payload is then an update.
	Idempotent bool
	// Look searches the target for the key, through a list and not a search
	// index. It may be nil only for an idempotent effect.
	Look func(ctx context.Context) (answer Answer, found bool, err error)
	// Send does it. It ends with ctx, and says by Reject, Postpone, ErrExists and
	// ErrUnclear what it knows. Any other error leaves the effect in doubt, and
	// ends an idempotent one as failed.
	Send func(ctx context.Context) (Answer, error)
	// Undo takes it back; nil where the target does not allow it. Done twice it
	// does no harm.
	Undo func(ctx context.Context) (Answer, error)
}

// Answer is what the target said.
type Answer struct {
	Ref   string `json:"ref,omitempty"` // what was made, for example a branch or a number
	URL   string `json:"url,omitempty"` // where a person can look at it
	Reply string `json:"reply,omitempty"`
}

// ErrExists is the answer of a target that has the key already.
var ErrExists = errors.New("the target has this already")

// ErrUnclear says that the effect may have happened.
var ErrUnclear = errors.New("it may have happened")

// Rejection is a definite no: the effect did not happen.
type Rejection struct{ Err error }

func (r *Rejection) Error() string { return r.Err.Error() }
func (r *Rejection) Unwrap() error { return r.Err }

// Reject says that the target refused the effect for good.
func Reject(err error) error { return &Rejection{err} }

// Postponement is a definite not now: the effect did not happen.
type Postponement struct {
	After time.Duration
	Err   error
}

func (p *Postponement) Error() string { return p.Err.Error() }
func (p *Postponement) Unwrap() error { return p.Err }

// Postpone says that the effect did not happen (a rate limit, a connection that
// was never made) and may be sent again after a time.
func Postpone(after time.Duration, err error) error { return &Postponement{max(0, after), err} }

// Waiting is the error of a delivery that is not sent yet, or not known to be.
type Waiting struct{ Delivery Delivery }

func (w *Waiting) Error() string {
	d := w.Delivery
	text := fmt.Sprintf("delivery %s is in state %s: %s", clean(d.Key), d.State, d.Why)
	at := d.NotBefore
	if d.State == Sending || d.State == Doubt {
		at = d.SettleAt
	}
	if at > 0 {
		text += "; not before " + time.UnixMicro(at).UTC().Format(time.RFC3339)
	}
	return text
}

// Ended is the error of a delivery that ended without its effect. Only a
// person's word, or a change of what is sent, takes it up again.
type Ended struct {
	Delivery Delivery
	Err      error // what was just said, nil when it ended before
}

func (e *Ended) Error() string {
	d := e.Delivery
	why := d.Why
	if d.State == Failed {
		why = d.Reply
	}
	return fmt.Sprintf("delivery %s %s: %s", clean(d.Key), d.State, why)
}

func (e *Ended) Unwrap() error { return e.Err }

// Bounds of what is stored.
const (
	maxKey    = 512
	maxTarget = 1024
	maxDoc    = 256 << 10
	maxText   = 2000 // runes
)

var kindName = regexp.MustCompile(`^(undo:)?[a-z][a-z0-9_]{0,47}$`)

func (e *Effect) check() error {
	switch {
	case e.Key == "" || len(e.Key) > maxKey || clean(e.Key) != e.Key:
		return fmt.Errorf("delivery %.40q: expected a key of at most %d bytes without control characters", e.Key, maxKey)
	case !kindName.MatchString(e.Kind):
		return fmt.Errorf("delivery %s: kind %.40q: expected small letters, digits and _", e.Key, e.Kind)
	case e.Target == "" || len(e.Target) > maxTarget || clean(e.Target) != e.Target:
		return fmt.Errorf("delivery %s: expected a target of at most %d bytes without control characters", e.Key, maxTarget)
	case e.Payload == "":
		return fmt.Errorf("delivery %s: expected the digest of what is sent", e.Key)
	case len(e.Doc) > maxDoc || len(e.Doc) > 0 && !json.Valid(e.Doc):
		return fmt.Errorf("delivery %s: expected a document of JSON of at most %d KiB", e.Key, maxDoc>>10)
	case e.Send == nil || e.Look == nil && !e.Idempotent:
		return fmt.Errorf("delivery %s: expected how to send it and how to look for it", e.Key)
	}
	if at, err := url.Parse(e.Target); err == nil && at.User != nil {
		if _, secret := at.User.Password(); secret {
			return fmt.Errorf("delivery %s: expected a target without credentials", e.Key)
		}
	}
	return nil
}

// clean bounds text from outside and takes control characters out of it.
func clean(text string) string {
	text = strings.ToValidUTF8(text, "\ufffd")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if runes := []rune(text); len(runes) > maxText {
		return string(runes[:maxText-1]) + "…"
	}
	return text
}
