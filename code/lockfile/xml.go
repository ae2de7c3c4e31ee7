package lockfile

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// element is one XML element with its lines.
type element struct {
	name      string
	text      string // character data directly inside it, trimmed
	line, end int    // of the start and the end tag
	textLine  int    // first line of the text
	children  []*element
}

// maxElements bounds one XML document.
const maxElements = 1_000_000

// maxText is how long an element's text may grow out of pieces, in bytes; no
// value that is read is near it.
const maxText = 4096

// parseXML reads a document into elements. It refuses document types, entities
// of their own, depth over maxDepth and more than maxElements; errors are
// *lineError.
func parseXML(data []byte) (*element, error) {
	d := xml.NewDecoder(bytes.NewReader(data))
	d.CharsetReader = charset
	fail := func(format string, args ...any) error {
		line, _ := d.InputPos()
		return &lineError{line, fmt.Sprintf(format, args...)}
	}
	var root *element
	var open []*element
	count := 0
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			var syntax *xml.SyntaxError
			if errors.As(err, &syntax) {
				return nil, &lineError{syntax.Line, "is no XML: " + syntax.Msg}
			}
			return nil, fail("is no XML: %v", err)
		}
		line, _ := d.InputPos()
		switch t := token.(type) {
		case xml.Directive:
			return nil, fail("has a document type, which is not read")
		case xml.StartElement:
			if count++; count > maxElements {
				return nil, fail("has more than %d elements", maxElements)
			}
			if len(open) >= maxDepth {
				return nil, fail("is nested deeper than %d", maxDepth)
			}
			e := &element{name: t.Name.Local, line: line, end: line}
			if n := len(open); n > 0 {
				open[n-1].children = append(open[n-1].children, e)
			} else if root == nil {
				root = e
			}
			open = append(open, e)
		case xml.CharData:
			if n := len(open); n > 0 {
				e := open[n-1]
				if text := bytes.TrimSpace(t); len(text) > 0 && len(e.text) < maxText {
					if e.textLine == 0 {
						e.textLine = line - bytes.Count(bytes.TrimLeft(t, " \t\r\n"), []byte("\n"))
					}
					e.text += string(text)
				}
			}
		case xml.EndElement:
			open[len(open)-1].end = line
			open = open[:len(open)-1]
		}
	}
	if root == nil {
		return nil, &lineError{1, "is no XML: no element"}
	}
	return root, nil
}

// charset reads the one-byte encodings that old files declare.
func charset(label string, in io.Reader) (io.Reader, error) {
	switch strings.ToLower(label) {
	case "utf-8", "utf8", "us-ascii", "ascii":
		return in, nil
	case "iso-8859-1", "latin1", "latin-1", "iso-8859-15", "windows-1252", "cp1252":
		data, err := io.ReadAll(in)
		if err != nil {
			return nil, err
		}
		text := make([]rune, len(data))
		for i, b := range data {
			text[i] = rune(b)
		}
		return strings.NewReader(string(text)), nil
	}
	return nil, fmt.Errorf("encoding %q is not read", label)
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
