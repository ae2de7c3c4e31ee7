package fix

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/go-json-experiment/json/jsontext"
)

// Object is an object of a JSON document.
type Object struct {
	Path []string
	// Open is just after its opening brace, Last where its last member ends; they
	// are equal in an object without members.
	Open, Last int
}

// JSONStrings lists the strings of a JSON document that are members of objects, in
// order, and the objects, outermost first. What is in arrays is left out, and so
// are strings with escapes, which cannot be replaced as they stand.
func JSONStrings(file string, data []byte) ([]TextAt, []Object, error) {
	bom := 0
	if bytes.HasPrefix(data, []byte("\xef\xbb\xbf")) {
		bom = 3
	}
	decoder := jsontext.NewDecoder(bytes.NewReader(data[bom:]), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	r := &jsonReader{decoder: decoder, data: data, bom: bom}
	if decoder.PeekKind() != '{' {
		return nil, nil, fmt.Errorf("%s: expected an object", file)
	}
	err := r.object(nil)
	if err == nil {
		if _, err = decoder.ReadToken(); errors.Is(err, io.EOF) {
			return r.texts, r.objects, nil
		}
		if err == nil {
			err = errors.New("expected the end of the file")
		}
	}
	return nil, nil, fmt.Errorf("%s: byte %d: %w", file, r.offset(), err)
}

type jsonReader struct {
	decoder  *jsontext.Decoder
	data     []byte
	bom      int
	texts    []TextAt
	objects  []Object
	line, at int
}

func (r *jsonReader) offset() int { return r.bom + int(r.decoder.InputOffset()) }

func (r *jsonReader) object(path []string) error {
	if len(path) > maxNesting {
		return errors.New("nested too deeply")
	}
	if _, err := r.decoder.ReadToken(); err != nil {
		return err
	}
	n := len(r.objects)
	r.objects = append(r.objects, Object{Path: path, Open: r.offset(), Last: r.offset()})
	for r.decoder.PeekKind() != '}' {
		key, err := r.decoder.ReadToken()
		if err != nil {
			return err
		}
		below := append(append([]string(nil), path...), key.String())
		switch r.decoder.PeekKind() {
		case '{':
			err = r.object(below)
		case '"':
			var raw jsontext.Value
			if raw, err = r.decoder.ReadValue(); err == nil {
				r.text(below, raw)
			}
		default:
			err = r.decoder.SkipValue()
		}
		if err != nil {
			return err
		}
		r.objects[n].Last = r.offset()
	}
	_, err := r.decoder.ReadToken()
	return err
}

func (r *jsonReader) text(path []string, raw jsontext.Value) {
	end := r.offset()
	start := end - len(raw)
	r.line += bytes.Count(r.data[r.at:start], []byte("\n"))
	r.at = start
	if !bytes.ContainsRune(raw, '\\') {
		r.texts = append(r.texts, TextAt{path, string(raw[1 : len(raw)-1]), start + 1, end - 1, r.line + 1})
	}
}

// Member gives the edit that adds a member, written as it is to stand, to an object:
// after its last one, on a line of its own and indented like it where that is so.
func (o *Object) Member(data []byte, member string) Edit {
	if o.Last == o.Open {
		return Edit{Start: o.Open, End: o.Open, New: member}
	}
	before := data[o.Open:o.Last]
	lead := before[:len(before)-len(bytes.TrimLeft(before, " \t\r\n"))]
	if len(lead) == 0 {
		lead = []byte(" ")
	}
	return Edit{Start: o.Last, End: o.Last, New: "," + string(lead) + member}
}
