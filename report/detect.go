package report

import (
	"bytes"
	"cmp"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
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

	near *nearness // notes what readers look for; nil when nobody wants to know
}

// Has says whether all keys are there.
func (o *Outline) Has(keys ...string) bool {
	there := 0
	for _, key := range keys {
		if _, ok := o.Keys[key]; ok {
			there++
		}
	}
	if o.near != nil {
		o.near.note(there, len(keys))
	}
	return there == len(keys)
}

// asked holds the outline of each head that Detect asks every reader about, by the
// address of the head's first byte.
var asked sync.Map

// Inside says whether some object among the members of an object has all keys,
// whatever the name of that member.
func (o *Outline) Inside(outer string, keys ...string) bool {
	for name := range o.Keys {
		inner, ok := strings.CutPrefix(name, outer+".")
		if !ok {
			continue
		}
		if inner, ok = strings.CutSuffix(inner, "."+keys[0]); !ok {
			continue
		}
		all := true
		for _, key := range keys[1:] {
			all = all && o.Has(outer+"."+inner+"."+key)
		}
		if all {
			return true
		}
	}
	return false
}

// OutlineOf looks at the first bytes of a document, which may be cut off. Readers that
// are asked about the same bytes share what is returned and must not change it.
func OutlineOf(head []byte) Outline {
	if len(head) > 0 {
		if o, ok := asked.Load(&head[0]); ok {
			return *o.(*Outline)
		}
	}
	return outline(head)
}

// nearness is how near a report comes to what one reader looks for: the largest part
// of the keys of one of its questions that is there.
type nearness struct{ there, of int }

func (n *nearness) note(there, of int) {
	if of < 2 {
		return // one key alone says little
	}
	if n.of == 0 || there*n.of > n.there*of || there*n.of == n.there*of && there > n.there {
		n.there, n.of = there, of
	}
}

// maxNearest is how many kinds a report of an unknown one is compared with.
const maxNearest = 3

// nearest names the kinds that a report comes nearest to, at least half way, the
// nearest first; of JSON only, since tables and XML are known by their first line.
func nearest(readers []Reader, head []byte) []string {
	type candidate struct {
		id   string
		near nearness
	}
	var list []candidate
	head = bytes.Clone(head) // another address than that which others may ask about
	one := outline(head)
	asked.Store(&head[0], &one)
	defer asked.Delete(&head[0])
	for _, reader := range readers {
		one.near = &nearness{}
		reader.Detect(head)
		if one.near.there > 0 && 2*one.near.there >= one.near.of {
			list = append(list, candidate{kind(reader), *one.near})
		}
	}
	slices.SortStableFunc(list, func(a, b candidate) int {
		return cmp.Or(cmp.Compare(b.near.there*a.near.of, a.near.there*b.near.of), cmp.Compare(b.near.there, a.near.there))
	})
	var ids []string
	for _, c := range list[:min(len(list), maxNearest)] {
		ids = append(ids, c.id)
	}
	return ids
}

// kind is the name of what a reader reads.
func kind(r Reader) string { return strings.TrimPrefix(r.Describe().ID, "report/") }

// unknown says what a report of no known kind looks like, and what it comes near to.
func unknown(readers []Reader, head []byte) *Error {
	fault := &Error{Offset: -1, Err: ErrUnknownFormat}
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	switch o := outline(head); {
	case o.Kind == KindObject || o.Kind == KindArray:
		var members []string
		for name := range o.Keys {
			if !strings.ContainsAny(name, ".[") {
				members = append(members, name)
			}
		}
		slices.Sort(members)
		shape := "an object"
		if o.Kind == KindArray {
			shape = "a list"
		}
		fault.Err = fmt.Errorf("%w: it is %s of JSON with %s", ErrUnknownFormat, shape, some(members))
		if near := nearest(readers, head); len(near) > 0 {
			fault.Expected = "a report of a known kind, of which " + strings.Join(near, ", ") + " come nearest"
			return fault
		}
	case len(text) > 0 && text[0] == '<':
		if name := Outermost(text); name != "" {
			fault.Err = fmt.Errorf("%w: it is XML with the outermost element %.60q", ErrUnknownFormat, name)
		}
	default:
		if names := Columns(head); len(names) > 0 {
			fault.Err = fmt.Errorf("%w: it is text, or a table with %s", ErrUnknownFormat, some(names))
		}
	}
	ids := make([]string, len(readers))
	for i, r := range readers {
		ids[i] = kind(r)
	}
	fault.Expected = "a report of " + strings.Join(ids, ", ")
	return fault
}

// some names the first names of a list.
func some(names []string) string {
	const most = 6
	if len(names) == 0 {
		return "nothing in it"
	}
	quoted := make([]string, 0, most)
	for _, name := range names[:min(len(names), most)] {
		quoted = append(quoted, fmt.Sprintf("%.40q", name))
	}
	if len(names) > most {
		quoted = append(quoted, "...")
	}
	return strings.Join(quoted, ", ")
}

// Outermost gives the name of the first element of an XML document, for Detect; "" for
// a text that is none.
func Outermost(head []byte) string {
	text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
	if len(text) == 0 || text[0] != '<' {
		return ""
	}
	decoder := xml.NewDecoder(bytes.NewReader(text))
	for {
		switch token, err := decoder.RawToken(); t := token.(type) {
		case xml.StartElement:
			return t.Name.Local
		default:
			if err != nil {
				return ""
			}
		}
	}
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
	if len(head) > 0 {
		one := outline(head)
		asked.Store(&head[0], &one)
		defer asked.Delete(&head[0])
	}
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
		fault := unknown(readers, head)
		fault.File = name
		return fault
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
