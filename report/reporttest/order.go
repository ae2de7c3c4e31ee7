package reporttest

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/report"
)

// member is one member of an object, in its place.
type member struct {
	key   string
	value any
}

// ordered reads the next JSON value with its members in their order.
func ordered(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		list := []member{}
		for d.More() {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			value, err := ordered(d)
			if err != nil {
				return nil, err
			}
			list = append(list, member{key.(string), value})
		}
		_, err = d.Token()
		return list, err
	case json.Delim('['):
		list := []any{}
		for d.More() {
			value, err := ordered(d)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = d.Token()
		return list, err
	}
	return token, nil
}

// write writes a value with the members of each object in another order.
func write(t *testing.T, out *bytes.Buffer, value any, reorder func([]member)) {
	t.Helper()
	switch v := value.(type) {
	case []member:
		v = slices.Clone(v)
		reorder(v)
		out.WriteByte('{')
		for i, m := range v {
			if i > 0 {
				out.WriteString(",\r\n")
			}
			write(t, out, m.key, reorder)
			out.WriteString(": ")
			write(t, out, m.value, reorder)
		}
		out.WriteByte('}')
	case []any:
		out.WriteByte('[')
		for i, one := range v {
			if i > 0 {
				out.WriteString(", ")
			}
			write(t, out, one, reorder)
		}
		out.WriteByte(']')
	default:
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(text)
	}
}

// reordered checks that a reader makes the same of a document whose members stand
// in another order, which means nothing in JSON and is what tools that sort or
// merge reports write.
func reordered(t *testing.T, reader report.Reader, sample string) {
	t.Helper()
	decoder := json.NewDecoder(strings.NewReader(sample))
	decoder.UseNumber()
	var documents []any
	for {
		document, err := ordered(decoder)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return // XML
		}
		documents = append(documents, document)
	}
	want := gist(Read(t, reader, sample))
	for name, reorder := range map[string]func([]member){
		"sorted members": func(list []member) {
			slices.SortStableFunc(list, func(a, b member) int { return strings.Compare(a.key, b.key) })
		},
		"reversed members": slices.Reverse[[]member],
	} {
		var out bytes.Buffer
		for _, document := range documents {
			write(t, &out, document, reorder)
			out.WriteString("\r\n")
		}
		var facts Facts
		if err := report.Read(t.Context(), []report.Reader{reader}, "sample", bytes.NewReader(out.Bytes()), &facts); err != nil {
			t.Errorf("%s: %v\n%s", name, err, out.String())
			continue
		}
		if diff := cmp.Diff(want, gist(&facts)); diff != "" {
			t.Errorf("%s gave other facts (-plain +reordered):\n%s\n%s", name, diff, out.String())
		}
	}
}

// gist is what must not depend on the order of members: what was found, where,
// in which asset, and what is said of the run.
func gist(facts *Facts) []string {
	var list []string
	for _, f := range facts.Findings {
		slices.Sort(f.Aliases)
		list = append(list, InShort(f)+" in "+string(f.Asset.Kind)+" "+f.Asset.Key+" of "+f.Package.Ecosystem)
	}
	for _, c := range facts.Components {
		list = append(list, "component "+c.Package.PURL+" "+c.Ref)
	}
	slices.Sort(list)
	for _, r := range facts.Runs {
		list = append(list, "run of "+r.Tool+" "+r.ToolVersion+" over "+r.Target)
	}
	return list
}
