// Package reporttest holds the tests that every reader of reports must pass: the
// same bytes give the same facts, whatever the order of members, damaged and hostile input gives an error and no
// panic, memory is bounded, the sink's error comes back unchanged, and a cancelled
// context ends the reading.
package reporttest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/report"
)

// Facts is a sink that keeps everything. Fail, when set, is returned by the call
// whose number is After (from 0) and by all later ones.
type Facts struct {
	Runs       []fact.Run
	Findings   []fact.Finding
	Components []fact.Component
	Statements []fact.Statement

	Fail  error
	After int
	calls int
}

func (f *Facts) next() error {
	f.calls++
	if f.Fail != nil && f.calls > f.After {
		return f.Fail
	}
	return nil
}

// Run keeps a run.
func (f *Facts) Run(r fact.Run) error { f.Runs = append(f.Runs, r); return f.next() }

// Finding keeps a finding.
func (f *Facts) Finding(x fact.Finding) error { f.Findings = append(f.Findings, x); return f.next() }

// Component keeps a component.
func (f *Facts) Component(c fact.Component) error {
	f.Components = append(f.Components, c)
	return f.next()
}

// Statement keeps a statement.
func (f *Facts) Statement(s fact.Statement) error {
	f.Statements = append(f.Statements, s)
	return f.next()
}

// Read reads a report that must be good.
func Read(t *testing.T, reader report.Reader, sample string) *Facts {
	t.Helper()
	var facts Facts
	if err := report.Read(t.Context(), []report.Reader{reader}, "sample", strings.NewReader(sample), &facts); err != nil {
		t.Fatalf("read: %v", err)
	}
	return &facts
}

// Conformance runs the shared tests on a reader with good samples of its format.
func Conformance(t *testing.T, reader report.Reader, samples ...string) {
	t.Helper()
	if len(samples) == 0 {
		t.Fatal("a reader needs at least one sample of its format")
	}
	t.Run("describes itself", func(t *testing.T) {
		d := reader.Describe()
		if !strings.HasPrefix(d.ID, "report/") || d.Name == "" || d.Formats == "" || len(d.Docs) < 40 {
			t.Errorf("Describe() = %+v, want an id below report/, a name, formats and a paragraph", d)
		}
	})
	for i, sample := range samples {
		t.Run(fmt.Sprintf("sample %d", i), func(t *testing.T) { conform(t, reader, sample) })
	}
	t.Run("refuses what is no report", func(t *testing.T) { nasty(t, reader, samples[0]) })
	t.Run("memory does not grow with what is skipped", func(t *testing.T) { bounded(t, reader, samples[0]) })
}

func conform(t *testing.T, reader report.Reader, sample string) {
	head := []byte(sample[:min(len(sample), report.HeadSize)])
	if score := reader.Detect(head); score <= 0 {
		t.Fatalf("Detect = %d for a sample of the reader's own format", score)
	}
	first, second := Read(t, reader, sample), Read(t, reader, sample)
	if diff := cmp.Diff(first, second, cmp.AllowUnexported(Facts{})); diff != "" {
		t.Errorf("the same bytes gave other facts (-first +second):\n%s", diff)
	}
	if len(first.Runs) == 0 {
		t.Error("no run was given")
	}
	for _, f := range first.Findings {
		checkFinding(t, &f, len(sample))
	}
	inPieces := &Facts{}
	if err := reader.Read(t.Context(), &slow{data: []byte(sample), step: 7}, inPieces); err != nil {
		t.Errorf("read in small pieces: %v", err)
	} else if diff := cmp.Diff(first, inPieces, cmp.AllowUnexported(Facts{})); diff != "" {
		t.Errorf("reading in small pieces gave other facts:\n%s", diff)
	}
	reordered(t, reader, sample)
	end := len(strings.TrimSpace(sample))
	for _, cut := range cuts(end) {
		if document := sample[:cut]; !lines(sample, cut) {
			var facts Facts
			fault(t, fmt.Sprintf("cut off at %d of %d", cut, end), reader.Read(t.Context(), strings.NewReader(document), &facts))
		}
	}
	sentinel := errors.New("the sink is full")
	for _, after := range []int{0, 1, first.calls - 1} {
		if after < 0 || after >= first.calls {
			continue
		}
		sink := &Facts{Fail: sentinel, After: after}
		if err := reader.Read(t.Context(), strings.NewReader(sample), sink); !errors.Is(err, sentinel) || err.Error() != sentinel.Error() {
			t.Errorf("the sink's error after %d calls came back as %v", after, err)
		}
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if err := reader.Read(cancelled, strings.NewReader(sample), &Facts{}); !errors.Is(err, context.Canceled) {
		t.Errorf("with a cancelled context Read gave %v", err)
	}
}

func checkFinding(t *testing.T, f *fact.Finding, size int) {
	t.Helper()
	if f.Kind == "" || f.Title == "" || f.Asset.Kind == "" {
		t.Errorf("a finding lacks kind, title or asset: %+v", f)
	}
	if f.Position.Offset < 0 || f.Position.Length < 0 || f.Position.Offset+f.Position.Length > int64(size) {
		t.Errorf("position %+v is outside of the report of %d bytes", f.Position, size)
	}
	for name := range f.Attributes {
		if strings.ContainsRune(name, 0) {
			t.Errorf("attribute %q is left over from reading", name)
		}
	}
}

// cuts are places to cut a document of n bytes off, all of them when it is short.
func cuts(n int) []int {
	var list []int
	step := max(n/200, 1)
	for at := 1; at < n; at += step {
		list = append(list, at)
	}
	return list
}

// lines says whether a cut falls between two documents of a stream, where what
// comes before it is whole.
func lines(sample string, cut int) bool {
	before, after := strings.TrimSpace(sample[:cut]), strings.TrimSpace(sample[cut:])
	return strings.HasSuffix(before, "}") && strings.HasPrefix(after, "{")
}

// fault checks that an error is a fault of the report, with a position.
func fault(t *testing.T, what string, err error) {
	t.Helper()
	var e *report.Error
	switch {
	case err == nil:
		t.Errorf("%s: read without an error", what)
	case !errors.As(err, &e):
		t.Errorf("%s: %T is no *report.Error: %v", what, err, err)
	case e.Expected == "" && e.Err == nil:
		t.Errorf("%s: the error says nothing: %v", what, err)
	}
}

func nasty(t *testing.T, reader report.Reader, sample string) {
	utf16 := []byte{0xff, 0xfe}
	for _, c := range []byte(sample) {
		utf16 = append(utf16, c, 0)
	}
	sample = strings.TrimSpace(sample)
	for name, data := range map[string]string{
		"empty": "", "white space": " \n\t ", "binary": "\x7fELF\x02\x01\x01\x00\x00", "UTF-16": string(utf16),
		"UTF-16 without a mark": string(utf16[2:]), "a picture": "\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR", "prose": "Total: 3 findings\n",
		"YAML": "a: b\nc: [d]\n", "another format": `{"colour":"blue","items":[1,2,3]}`, "a number": "1", "a string": `"text"`,
		"objects 100,000 deep": strings.Repeat(`{"a":`, 100_000), "arrays 100,000 deep": strings.Repeat("[", 100_000),
		"elements 100,000 deep": strings.Repeat("<a>", 100_000),
	} {
		var facts Facts
		fault(t, name, report.Read(t.Context(), []report.Reader{reader}, "nasty", strings.NewReader(data), &facts))
		// The reader itself may take what it is given for empty, but must not panic.
		if err := reader.Read(t.Context(), strings.NewReader(data), &facts); err != nil {
			fault(t, name+", by the reader itself", err)
		}
	}
	for name, data := range map[string]string{
		"trailing garbage": sample + "]", "followed by text": sample + " finished", "followed by NUL": sample + "\x00",
	} {
		fault(t, name, reader.Read(t.Context(), strings.NewReader(data), &Facts{}))
	}
	if !strings.HasPrefix(sample, "{") || reader.Read(t.Context(), strings.NewReader(sample+"\n"+sample), &Facts{}) == nil {
		return // XML, arrays and streams of documents end here
	}
	fault(t, "two documents", reader.Read(t.Context(), strings.NewReader(sample+sample), &Facts{}))
	body := strings.TrimPrefix(sample, "{")
	for name, data := range map[string]string{
		"a gigantic number":            `{"zz":` + strings.Repeat("9", 1_000_000) + "," + body,
		"a number out of range":        `{"zz":1e400,` + body,
		"a gigantic string":            `{"zz":"` + strings.Repeat("x", 4_000_000) + `",` + body,
		"invalid UTF-8":                "{\"zz\":\"\xff\xfe\xc0\x80\"," + body,
		"a lone surrogate":             `{"zz":"\ud800","\udc00":1,` + body,
		"a byte order mark":            "\xef\xbb\xbf" + sample,
		"NUL and bidi in a string":     `{"zz":"\u0000\u202e",` + body,
		"depth within the limit":       `{"zz":` + strings.Repeat("[", 900) + strings.Repeat("]", 900) + "," + body,
		"other values than the tool's": `{"zz":[null,true,false,-0,1.5e-3,{}],` + body,
	} {
		if err := reader.Read(t.Context(), strings.NewReader(data), &Facts{}); err != nil {
			t.Errorf("%s beside good content: %v", name, err)
		}
	}
	var plain, repeated Facts
	if err := reader.Read(t.Context(), strings.NewReader(sample), &plain); err != nil {
		t.Error(err)
	}
	if err := reader.Read(t.Context(), strings.NewReader(`{"zz":1,"zz":{"zz":2},"zz":[],`+body), &repeated); !errors.Is(err, report.ErrRepeated) {
		t.Errorf("a key that is repeated beside good content: %v, want %v", err, report.ErrRepeated)
	}
	if len(plain.Findings) != len(repeated.Findings) {
		t.Errorf("%d findings beside a key that is repeated, %d without", len(repeated.Findings), len(plain.Findings))
	}
	fault(t, "too deep beside good content", reader.Read(t.Context(),
		strings.NewReader(`{"zz":`+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+","+body), &Facts{}))
	for _, value := range []string{"null", "1", `"x"`, "true", "[]", "{}", "[null]", "[1]", `{"a":null}`, "[[]]"} {
		everyValue(t, reader, sample, value)
	}
}

// everyValue puts a value in the place of each value of the sample; the reader may
// refuse it, but only as a fault of the report.
func everyValue(t *testing.T, reader report.Reader, sample, value string) {
	t.Helper()
	for at := 0; at < len(sample); at++ {
		if sample[at] != ':' {
			continue
		}
		decoder := report.NewScanner(t.Context(), strings.NewReader(sample[at+1:]))
		decoder.Skip()
		if decoder.Err() != nil {
			continue // a colon in a text
		}
		changed := sample[:at+1] + value + sample[at+1+int(decoder.Offset()):]
		if err := reader.Read(t.Context(), strings.NewReader(changed), &Facts{}); err != nil {
			fault(t, fmt.Sprintf("%s at byte %d", value, at), err)
		}
	}
}

// bounded reads a document that is large because of a part that nobody wants.
func bounded(t *testing.T, reader report.Reader, sample string) {
	sample = strings.TrimSpace(sample)
	if !strings.HasPrefix(sample, "{") {
		t.Skip("only for documents that are one object")
	}
	const size = 48 << 20
	filler := bytes.Repeat([]byte(`{"k":"some text","n":[1,2,3]},`), 1000)
	parts := []io.Reader{strings.NewReader(`{"zz":[`)}
	for n := 0; n < size; n += len(filler) {
		parts = append(parts, bytes.NewReader(filler))
	}
	parts = append(parts, strings.NewReader("0],"+sample[1:]))
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	if err := reader.Read(t.Context(), io.MultiReader(parts...), &Facts{}); err != nil {
		t.Fatalf("read %d bytes: %v", size, err)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 24<<20 {
		t.Errorf("reading %d bytes that are skipped allocated %d bytes", size, grown)
	}
}

// Fuzz checks that a reader neither panics nor gives anything but a fault of the
// report or facts within it, and gives the same for the same bytes.
func Fuzz(f *testing.F, reader report.Reader, samples ...string) {
	for _, sample := range samples {
		f.Add([]byte(sample))
	}
	f.Fuzz(func(t *testing.T, data []byte) { fuzzed(t, reader, data) })
}

// fuzzed checks one input of Fuzz.
func fuzzed(t *testing.T, reader report.Reader, data []byte) {
	t.Helper()
	if score := reader.Detect(data[:min(len(data), report.HeadSize)]); score < 0 || score > 100 {
		t.Fatalf("Detect = %d", score)
	}
	var one, two Facts
	err := reader.Read(t.Context(), bytes.NewReader(data), &one)
	var e *report.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatalf("%T is no *report.Error: %v", err, err)
	}
	if e != nil && e.Offset > int64(len(data)) {
		t.Fatalf("the fault is at byte %d of %d: %v", e.Offset, len(data), err)
	}
	for _, found := range one.Findings {
		if p := found.Position; p.Offset < 0 || p.Length < 0 || p.Offset+p.Length > int64(len(data)) {
			t.Fatalf("position %+v is outside of %d bytes", p, len(data))
		}
		if found.Line < 0 || found.EndLine != 0 && found.EndLine < found.Line {
			t.Fatalf("lines %d to %d are no range: %+v", found.Line, found.EndLine, found)
		}
	}
	if again := reader.Read(t.Context(), bytes.NewReader(data), &two); (again == nil) != (err == nil) {
		t.Fatalf("first %v, then %v", err, again)
	}
	if diff := cmp.Diff(one.Findings, two.Findings); diff != "" {
		t.Fatalf("the same bytes gave other findings:\n%s", diff)
	}
}

// slow gives a few bytes at a time.
type slow struct {
	data []byte
	step int
}

func (s *slow) Read(p []byte) (int, error) {
	if len(s.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(s.step, len(p))], s.data)
	s.data = s.data[n:]
	return n, nil
}

// Data gives a folder of the data to measure on, and skips the test where there is
// none: BACKSTITCH_DATA, else shared/data beside the repository. With
// BACKSTITCH_DATA_REQUIRED=1 its absence fails the test.
func Data(t *testing.T, folder string) string {
	t.Helper()
	root := os.Getenv("BACKSTITCH_DATA")
	if root == "" {
		at, err := os.Getwd()
		for err == nil {
			if _, statErr := os.Stat(filepath.Join(at, "go.mod")); statErr == nil {
				root = filepath.Join(at, "..", "shared", "data")
				break
			}
			if filepath.Dir(at) == at {
				break
			}
			at = filepath.Dir(at)
		}
	}
	path := filepath.Join(root, folder)
	if _, err := os.Stat(path); root == "" || err != nil {
		if os.Getenv("BACKSTITCH_DATA_REQUIRED") == "1" {
			t.Fatalf("no data folder: %s", path)
		}
		t.Skip("no data folder: " + path)
	}
	return path
}
