package spdx

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

// maxLine bounds one line, and maxText one text of several lines, of which none is
// kept.
const (
	maxLine = 1 << 20
	maxText = 16 << 20
)

// tags reads the lines of a document.
type tags struct {
	in     *bufio.Reader
	from   int64 // offset of the last line
	offset int64 // of the next line
	line   int   // number of the last line
}

func (t *tags) fault(expected string, cause error) *report.Error {
	return &report.Error{Offset: t.from, Line: max(t.line, 1), Expected: expected, Err: cause}
}

// next gives the next line without its end; io.EOF after the last.
func (t *tags) next() (string, error) {
	var text []byte
	t.from = t.offset
	for {
		part, err := t.in.ReadSlice('\n')
		text = append(text, part...)
		t.offset += int64(len(part))
		switch {
		case len(text) > maxLine:
			return "", t.fault(fmt.Sprintf("a line of at most %d bytes", maxLine), nil)
		case t.offset > report.MaxDocument:
			return "", t.fault(fmt.Sprintf("a document of at most %d bytes", int64(report.MaxDocument)), nil)
		case errors.Is(err, bufio.ErrBufferFull):
			continue
		case err != nil && !errors.Is(err, io.EOF):
			return "", t.fault("", err)
		case err != nil && len(text) == 0:
			return "", io.EOF
		}
		t.line++
		if bytes.IndexByte(text, 0) >= 0 {
			return "", t.fault("text", errors.New("the line holds a NUL"))
		}
		return strings.TrimRight(string(text), "\r\n"), nil
	}
}

// value completes a value that stands between <text> and </text>, perhaps on several
// lines.
func (t *tags) value(value string) (string, error) {
	rest, ok := strings.CutPrefix(value, "<text>")
	if !ok {
		return value, nil
	}
	begun, size := t.line, 0
	var text strings.Builder
	for {
		if before, _, done := strings.Cut(rest, "</text>"); done {
			text.WriteString(before)
			return text.String(), nil
		}
		if size += len(rest); size > maxText {
			return "", t.fault(fmt.Sprintf("a text of at most %d bytes", maxText), nil)
		}
		text.WriteString(rest + "\n")
		var err error
		if rest, err = t.next(); errors.Is(err, io.EOF) {
			return "", t.fault(fmt.Sprintf("</text> for the text that begins in line %d", begun), io.ErrUnexpectedEOF)
		} else if err != nil {
			return "", err
		}
	}
}

// readTags reads tag-value text: a line "Tag: value" each, where PackageName begins a
// package and FileName, SnippetSPDXID or LicenseID ends it.
func (d *document) readTags(ctx context.Context, in *bufio.Reader) error {
	t := &tags{in: in}
	var e *entry
	end := func(at int64) error {
		if e == nil {
			return nil
		}
		one := e
		e = nil
		one.component.Position.Length = at - one.component.Position.Offset
		return d.add(one)
	}
	inDocument, packages := true, 0
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		line, err := t.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		line = strings.TrimSpace(line)
		if t.line == 1 {
			line = strings.TrimPrefix(line, "\ufeff")
		}
		if line == "" || line[0] == '#' {
			continue
		}
		from := t.from
		tag, value, ok := strings.Cut(line, ":")
		if !ok || strings.ContainsAny(tag, " \t") || !utf8.ValidString(tag) {
			return t.fault("a tag, a colon and a value", nil)
		}
		if value, err = t.value(strings.TrimSpace(value)); err != nil {
			return err
		}
		switch tag {
		case "PackageName":
			if err := end(from); err != nil {
				return err
			}
			inDocument = false
			e = &entry{component: fact.Component{
				Package:  fact.Package{Name: value},
				Position: fact.Position{Offset: from, Item: fmt.Sprintf("package %d", packages)},
			}}
			packages++
		case "FileName", "SnippetSPDXID", "LicenseID":
			if err := end(from); err != nil {
				return err
			}
			inDocument = false
		case "Relationship":
			if parts := strings.Fields(value); len(parts) >= 3 {
				d.relate(parts[0], parts[1], parts[2])
			}
		default:
			if e != nil {
				e.tag(tag, value)
			} else if inDocument {
				d.tag(tag, value)
			}
		}
	}
	if err := end(t.offset); err != nil {
		return err
	}
	var fault *report.Error
	d.check(func(expected string, cause error) { fault = t.fault(expected, cause) })
	if fault != nil {
		return fault
	}
	return nil
}

func (d *document) tag(tag, value string) {
	switch tag {
	case "SPDXVersion":
		d.version = value
	case "SPDXID":
		d.id = value
	case "DocumentName":
		d.name = value
	case "Creator":
		d.creator(value)
	case "Created":
		d.Run.Started = max(0, report.Micros(value))
	}
}

func (e *entry) tag(tag, value string) {
	switch tag {
	case "SPDXID":
		e.component.Ref = value
	case "PackageVersion":
		e.component.Package.Version = value
	case "PackageFileName":
		e.component.Path = value
	case "PrimaryPackagePurpose":
		e.component.Type = purpose(value)
	case "PackageLicenseConcluded":
		e.concluded = value
	case "PackageLicenseDeclared":
		e.declared = value
	case "PackageChecksum":
		algorithm, sum, _ := strings.Cut(value, ":")
		hash(&e.component, strings.TrimSpace(algorithm), strings.TrimSpace(sum))
	case "ExternalRef": // category, type and locator
		if parts := strings.Fields(value); len(parts) >= 3 {
			e.external(parts[1], parts[2])
		}
	}
}
