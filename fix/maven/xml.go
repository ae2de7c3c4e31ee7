package maven

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// element is one XML element with its lines and bytes.
type element struct {
	name string
	text string // character data directly inside it, trimmed
	line int    // of the start tag
	end  int    // of the end tag

	start, stop int // bytes from the start tag's < to behind the end tag
	open, shut  int // bytes from behind the start tag to the end tag's <
	// from and to are the bytes of text, when it stands in one piece as it is
	// read, without entities and comments; both are 0 else.
	from, to int
	children []*element
}

// Bounds of one document.
const (
	maxElements = 1_000_000
	maxDepth    = 200
	maxText     = 4096
)

// parseXML reads a document. It refuses document types and what is over the
// bounds. Errors begin with the line.
func parseXML(data []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(data))
	d.CharsetReader = oneByte
	var root *element
	var open []*element
	count := 0
	fail := func(format string, args ...any) error {
		line, _ := d.InputPos()
		return fmt.Errorf("line %d: %s", line, fmt.Sprintf(format, args...))
	}
	for {
		before := int(d.InputOffset())
		line, _ := d.InputPos()
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fail("is no XML: %v", err)
		}
		after := int(d.InputOffset())
		switch t := token.(type) {
		case xml.Directive:
			return nil, fail("has a document type, which is not read")
		case xml.StartElement:
			if count++; count > maxElements || len(open) >= maxDepth {
				return nil, fail("has more than %d elements or is nested deeper than %d", maxElements, maxDepth)
			}
			e := &element{name: t.Name.Local, line: line, end: line, start: before, open: after, shut: after, stop: after}
			if n := len(open); n > 0 {
				open[n-1].children = append(open[n-1].children, e)
			} else if root == nil {
				root = e
			}
			open = append(open, e)
		case xml.CharData:
			if n := len(open); n > 0 {
				open[n-1].add(data, t, before, after)
			}
		case xml.EndElement:
			e := open[len(open)-1]
			open = open[:len(open)-1]
			e.shut, e.stop = before, after
			e.end, _ = d.InputPos()
		}
	}
	if root == nil {
		return nil, fail("is no XML: no element")
	}
	return root, nil
}

// add takes character data of the bytes [before, after) into the text.
func (e *element) add(data, t []byte, before, after int) {
	text := bytes.TrimSpace(t)
	if len(text) == 0 || len(e.text) > maxText {
		return
	}
	first := e.text == ""
	e.text += string(text)
	e.from, e.to = 0, 0
	if !first || after > len(data) {
		return
	}
	raw := data[before:after]
	if at := bytes.Index(raw, text); at >= 0 && len(bytes.TrimSpace(raw)) == len(text) {
		e.from, e.to = before+at, before+at+len(text)
	}
}

// oneByte reads the one-byte encodings that old files declare. Bytes beyond
// ASCII become question marks, so that offsets hold; no value that is edited
// has one.
func oneByte(label string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return in, nil
	case "iso-8859-1", "latin1", "latin-1", "iso-8859-15", "windows-1252", "cp1252":
		return plain{in}, nil
	}
	return nil, fmt.Errorf("encoding %q is not read", label)
}

type plain struct{ in io.Reader }

func (p plain) Read(b []byte) (int, error) {
	n, err := p.in.Read(b)
	for i, c := range b[:n] {
		if c >= 0x80 {
			b[i] = '?'
		}
	}
	return n, err
}

// child gives the first child of a name, nil when there is none.
func (e *element) child(name string) *element {
	if e == nil {
		return nil
	}
	for _, c := range e.children {
		if c.name == name {
			return c
		}
	}
	return nil
}

// at follows a path of names.
func (e *element) at(names ...string) *element {
	for _, name := range names {
		e = e.child(name)
	}
	return e
}

// all gives the children of a name.
func (e *element) all(name string) []*element {
	var found []*element
	if e != nil {
		for _, c := range e.children {
			if c.name == name {
				found = append(found, c)
			}
		}
	}
	return found
}

// value gives the text of a child, "" when there is none.
func (e *element) value(name string) string {
	if c := e.child(name); c != nil {
		return c.text
	}
	return ""
}

// leaves counts the elements without children by path and text.
func (e *element) leaves(path string, into map[string]int) {
	path += "/" + e.name
	if len(e.children) == 0 {
		into[path+"="+e.text]++
	}
	for _, c := range e.children {
		c.leaves(path, into)
	}
}
