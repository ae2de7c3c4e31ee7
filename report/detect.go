package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"unicode/utf8"
)

// Outline is what the beginning of a JSON document looks like, for Detect.
type Outline struct {
	Kind byte // KindObject, KindArray ... of the document; KindEnd when it is no JSON
	// Keys maps the keys of the object, or of the first object in an array, to
	// the kind of their value; keys of an object inside are "outer.inner", one
	// level deep, and those of the first object of an array "outer[].inner".
	Keys map[string]byte
	// Texts are the plain values of these keys, shortened.
	Texts map[string]string
}

// Has says whether all keys are there.
func (o *Outline) Has(keys ...string) bool {
	for _, key := range keys {
		if _, ok := o.Keys[key]; !ok {
			return false
		}
	}
	return true
}

// shared is the outline of a head that Detect asks every reader about.
type shared struct {
	head    []byte
	outline Outline
}

var asked atomic.Pointer[shared]

// OutlineOf looks at the first bytes of a document, which may be cut off. Readers that
// are asked about the same bytes share what is returned and must not change it.
func OutlineOf(head []byte) Outline {
	if s := asked.Load(); s != nil && bytes.Equal(s.head, head) {
		return s.outline
	}
	return outline(head)
}

func outline(head []byte) Outline {
	s := NewScanner(context.Background(), bytes.NewReader(head))
	o := Outline{Kind: s.Kind(), Keys: map[string]byte{}, Texts: map[string]string{}}
	var object func(prefix string, depth int)
	value := func(name string, depth int) {
		kind := s.Kind()
		if _, seen := o.Keys[name]; !seen && kind != KindEnd {
			o.Keys[name] = kind
		}
		switch {
		case kind == KindObject && depth < 2:
			object(name+".", depth+1)
		case kind == KindArray && depth < 2:
			s.Array(func(i int) {
				if i == 0 && s.Kind() == KindObject {
					object(name+"[].", depth+1)
				}
			})
		case kind != KindObject && kind != KindArray:
			text := s.Text()
			if _, seen := o.Texts[name]; !seen && len(text) < 300 {
				o.Texts[name] = text
			}
		}
	}
	object = func(prefix string, depth int) {
		s.Object(func(key string) { value(prefix+key, depth) })
	}
	switch o.Kind {
	case KindObject:
		object("", 0)
	case KindArray:
		first := true
		s.Array(func(int) {
			if first && s.Kind() == KindObject {
				first = false
				object("", 0)
			}
		})
	}
	return o
}

// Detect picks the reader that is surest of the head of a report; of equally
// sure ones the first. It fails with ErrUnknownFormat when none is.
func Detect(readers []Reader, head []byte) (Reader, error) {
	one := &shared{head: head, outline: outline(head)}
	asked.Store(one)
	defer asked.CompareAndSwap(one, nil)
	var best Reader
	score := 0
	for _, reader := range readers {
		if s := reader.Detect(head); s > score {
			best, score = reader, s
		}
	}
	if best == nil {
		return nil, ErrUnknownFormat
	}
	return best, nil
}

// Read recognises the format of a report from its content and gives what it
// holds to the sink. Faults of the report are *Error with the name and position.
func Read(ctx context.Context, readers []Reader, name string, in io.Reader, sink Sink) error {
	head := make([]byte, HeadSize)
	n, err := io.ReadFull(in, head)
	head = head[:n]
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
		return &Error{File: name, Offset: int64(n), Err: err}
	}
	if fault := refuse(head); fault != nil {
		fault.File = name
		return fault
	}
	reader, err := Detect(readers, head)
	if err != nil {
		ids := make([]string, len(readers))
		for i, r := range readers {
			ids[i] = strings.TrimPrefix(r.Describe().ID, "report/")
		}
		return &Error{File: name, Offset: -1, Expected: "a report of " + strings.Join(ids, ", "), Err: err}
	}
	err = reader.Read(ctx, io.MultiReader(bytes.NewReader(head), in), sink)
	var fault *Error
	if errors.As(err, &fault) && fault.File == "" {
		fault.File = name
	}
	return err
}

// refuse names what no reader reads.
func refuse(head []byte) *Error {
	if len(bytes.TrimSpace(head)) == 0 {
		return &Error{Offset: int64(len(head)), Expected: "a report", Err: errors.New("the file is empty")}
	}
	for _, order := range []string{"\xff\xfe", "\xfe\xff", "{\x00", "\x00{", "[\x00", "\x00[", "<\x00", "\x00<"} {
		if bytes.HasPrefix(head, []byte(order)) {
			return &Error{Offset: 0, Expected: "UTF-8", Err: errors.New("the file is UTF-16 or UTF-32; convert it first")}
		}
	}
	if at := bytes.IndexByte(head, 0); at >= 0 {
		return &Error{Offset: int64(at), Expected: "text", Err: errors.New("the file is binary")}
	}
	window := head
	if len(window) > 512 {
		window = window[:512]
	}
	wrong := 0
	for i := 0; i < len(window); {
		r, size := utf8.DecodeRune(window[i:])
		if r == utf8.RuneError && size == 1 && i+utf8.UTFMax < len(window) {
			wrong++
		}
		i += size
	}
	if wrong > len(window)/10 {
		return &Error{Offset: 0, Expected: "text", Err: errors.New("the file is binary")}
	}
	return nil
}

// JSON is the frame of a reader of one JSON document: it starts a scanner, lets
// read pull what it wants, and checks that nothing follows.
func JSON(ctx context.Context, in io.Reader, read func(*Scanner)) error {
	s := NewScanner(ctx, in)
	if !s.More() && s.Err() == nil {
		return &Error{Offset: s.Offset(), Expected: "a JSON document", Err: fmt.Errorf("the document is empty")}
	}
	read(s)
	return s.End()
}
