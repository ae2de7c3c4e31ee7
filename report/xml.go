package report

import (
	"bufio"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// Limits of a document that Elements reads, beside MaxDocument.
const (
	maxElements = 200      // nested elements
	maxToken    = 16 << 20 // bytes of one tag, comment or piece of text
)

// Elements pulls elements out of an XML document in one pass at constant memory, as
// Scanner does for JSON: the caller is told of each element and reads what is in it,
// or leaves it to be skipped. Elements and attributes go by their local names, so that
// the namespaces of all versions of a format read alike.
//
// The first fault ends the reading. There is no document type and there are no
// entities but those of XML itself, so nothing expands and nothing outside is read.
//
// Elements belongs to one goroutine.
type Elements struct {
	ctx     context.Context
	decoder *xml.Decoder
	in      *metered
	from    int64 // offset of the last token
	places  []place
	count   int64 // elements whose content was read, to notice whether a callback read its own
	err     error
}

// Element is the beginning of an element.
type Element struct {
	Name   string
	Offset int64 // of its first byte
	start  xml.StartElement
}

// Attribute gives the value of an attribute, "" when there is none.
func (e *Element) Attribute(name string) string {
	for _, a := range e.start.Attr {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

// XML is the frame of a reader of one XML document whose outermost element is root:
// read reads what is in it. Nothing may follow.
func XML(ctx context.Context, in io.Reader, root string, read func(x *Elements, e Element)) error {
	meter := &metered{in: bufio.NewReaderSize(in, windowSize)}
	x := &Elements{ctx: ctx, decoder: xml.NewDecoder(meter), in: meter}
	seen := false
	for x.err == nil {
		token, ok := x.token()
		if !ok {
			break
		}
		switch t := token.(type) {
		case xml.StartElement:
			if t.Name.Local != root || seen {
				x.fault("one element "+root, fmt.Errorf("found %.80q", t.Name.Local))
				break
			}
			seen = true
			x.element(place{key: root, index: -1}, t, read)
		case xml.CharData:
			if strings.TrimSpace(strings.TrimPrefix(string(t), "\ufeff")) != "" {
				x.fault("an element "+root+" and nothing beside it", nil)
			}
		}
	}
	if x.err == nil && !seen {
		x.fault("an element "+root, io.ErrUnexpectedEOF)
	}
	return x.err
}

// Err returns the first fault, nil when there was none.
func (x *Elements) Err() error { return x.err }

// Fail ends the reading with an error of the caller, which Err then returns as it is.
// A nil error changes nothing.
func (x *Elements) Fail(err error) {
	if x.err == nil && err != nil {
		x.err = err
	}
}

// Expect ends the reading with a fault at the last element.
func (x *Elements) Expect(expected string) { x.fault(expected, nil) }

// Offset is the offset in bytes of what comes next.
func (x *Elements) Offset() int64 { return x.decoder.InputOffset() }

// Item is the place of what is being read, for example
// "bom/components[1]/component[3]", where the numbers count the elements before it.
func (x *Elements) Item() string {
	var b strings.Builder
	for i, p := range x.places {
		if i > 0 {
			b.WriteByte('/')
		}
		b.WriteString(p.key)
		if p.index >= 0 {
			b.WriteString("[" + strconv.Itoa(p.index) + "]")
		}
		if b.Len() > maxItem {
			return strings.ToValidUTF8(b.String()[:maxItem], "") + "…"
		}
	}
	return b.String()
}

func (x *Elements) fault(expected string, cause error) {
	if x.err != nil {
		return
	}
	line, _ := x.decoder.InputPos()
	x.err = &Error{Offset: min(x.from, x.decoder.InputOffset()), Line: line, Item: x.Item(), Expected: expected, Err: cause}
}

// token gives the next token but comments; false at the end and after a fault.
func (x *Elements) token() (xml.Token, bool) {
	for x.err == nil {
		if err := x.ctx.Err(); err != nil {
			x.err = err
			return nil, false
		}
		x.from = x.decoder.InputOffset()
		x.in.left = maxToken
		token, err := x.decoder.Token()
		switch {
		case errors.Is(err, io.EOF):
			if len(x.places) > 0 {
				x.fault("the end of the element", io.ErrUnexpectedEOF)
			}
			return nil, false
		case err != nil:
			x.fault("XML", err)
			return nil, false
		}
		switch token.(type) {
		case xml.Directive:
			x.fault("no document type", nil)
		case xml.Comment, xml.ProcInst:
		default:
			return token, true
		}
	}
	return nil, false
}

// element lets read read an element and skips what it left.
func (x *Elements) element(at place, t xml.StartElement, read func(x *Elements, e Element)) {
	if len(x.places) >= maxElements {
		x.fault(fmt.Sprintf("at most %d nested elements", maxElements), nil)
		return
	}
	x.places = append(x.places, at)
	before := x.count
	if read != nil {
		read(x, Element{Name: t.Name.Local, Offset: x.from, start: t})
	}
	if x.err == nil && x.count == before {
		x.content(nil, nil)
	}
	x.places = x.places[:len(x.places)-1]
}

// content reads what is in the present element, to its end.
func (x *Elements) content(each func(e Element), text *strings.Builder) {
	x.count++
	for i := 0; ; {
		token, ok := x.token()
		if !ok {
			return
		}
		switch t := token.(type) {
		case xml.StartElement:
			var read func(*Elements, Element)
			if each != nil {
				read = func(_ *Elements, e Element) { each(e) }
			}
			x.element(place{key: t.Name.Local, index: i}, t, read)
			i++
		case xml.CharData:
			if text == nil {
				continue
			}
			if text.Len()+len(t) > maxToken {
				x.fault(fmt.Sprintf("a text of at most %d bytes", maxToken), nil)
				return
			}
			text.Write(t)
		case xml.EndElement:
			return
		}
	}
}

// Children calls each with every element in the present one.
func (x *Elements) Children(each func(e Element)) { x.content(each, nil) }

// Text reads the text in the present element, without white space around it.
func (x *Elements) Text() string { return x.Mixed(nil) }

// Mixed reads the text in the present element, and calls each with the elements that
// stand in it.
func (x *Elements) Mixed(each func(e Element)) string {
	var text strings.Builder
	x.content(each, &text)
	if x.err != nil {
		return ""
	}
	return strings.TrimSpace(text.String())
}

// XMLDocument is an XML document that is read into one run and its findings.
type XMLDocument struct {
	*Elements
	*Emitter
}

// XMLFindings is the frame of a reader of one XML document with one run, as Findings is
// for JSON: read gives each finding through XMLDocument.Give.
func XMLFindings(ctx context.Context, in io.Reader, sink Sink, run fact.Run, root string, read func(d *XMLDocument, e Element)) error {
	d := &XMLDocument{Emitter: &Emitter{Run: run}}
	fault := XML(ctx, in, root, func(x *Elements, e Element) {
		d.Elements = x
		read(d, e)
	})
	return d.finish(sink, fault)
}

// Place remembers where an element begins; what it returns gives the position of the
// element once it was read.
func (d *XMLDocument) Place(e Element) func() fact.Position {
	item := d.Item()
	return func() fact.Position {
		return fact.Position{Offset: e.Offset, Length: d.Offset() - e.Offset, Item: item}
	}
}

// Give gives a finding whose Position is set, unless there was a fault in it.
func (d *XMLDocument) Give(f fact.Finding) {
	if d.Err() == nil {
		d.Fail(d.Emitter.Give(f))
	}
}

// metered is a reader that ends with an error when a token or the document is larger
// than it may be: the decoder holds a whole token in memory.
type metered struct {
	in   *bufio.Reader
	left int   // bytes of the present token
	all  int64 // bytes read
}

func (m *metered) ReadByte() (byte, error) {
	if m.left <= 0 {
		return 0, fmt.Errorf("a tag, comment or text is larger than %d bytes", maxToken)
	}
	if m.all >= MaxDocument {
		return 0, fmt.Errorf("the document is larger than %d bytes", int64(MaxDocument))
	}
	m.left--
	m.all++
	return m.in.ReadByte()
}

func (m *metered) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c, err := m.ReadByte()
	if err != nil {
		return 0, err
	}
	p[0] = c
	return 1, nil
}
