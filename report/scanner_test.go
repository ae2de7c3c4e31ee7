package report

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
)

// scanAny reads a document into the types that encoding/json gives.
func scanAny(in io.Reader) (any, error) {
	s := NewScanner(context.Background(), in)
	var value func() any
	value = func() any {
		switch s.Kind() {
		case KindObject:
			object := map[string]any{}
			s.Object(func(key string) { object[key] = value() })
			return object
		case KindArray:
			array := []any{}
			s.Array(func(int) { array = append(array, value()) })
			return array
		case KindNumber:
			return json.Number(s.Text())
		case KindTrue, KindFalse:
			return s.Bool()
		case KindNull:
			s.Skip()
			return nil
		}
		return s.Text()
	}
	got := value()
	return got, s.End()
}

func standardAny(data []byte) (any, error) {
	decoder := json.NewDecoder(bytes.NewReader(bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))))
	decoder.UseNumber()
	var want any
	if err := decoder.Decode(&want); err != nil {
		return nil, err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("more follows")
	}
	return want, nil
}

// depth counts brackets outside of strings, roughly.
func depth(data []byte) int { return bytes.Count(data, []byte("[")) + bytes.Count(data, []byte("{")) }

func agree(t *testing.T, data []byte) {
	t.Helper()
	want, wantErr := standardAny(data)
	for name, in := range map[string]io.Reader{"whole": bytes.NewReader(data), "byte by byte": iotest.OneByteReader(bytes.NewReader(data))} {
		got, gotErr := scanAny(in)
		if errors.Is(gotErr, ErrRepeated) { // told of after everything was read
			gotErr = nil
		}
		switch {
		case wantErr == nil && gotErr != nil:
			if depth(data) < MaxDepth {
				t.Errorf("%s: %q: %v, encoding/json reads it", name, data, gotErr)
			}
		case wantErr != nil && gotErr == nil:
			if !bytes.Contains(data, []byte(`\`)) { // damaged escapes are read, as the type says
				t.Errorf("%s: %q: read as %v, encoding/json: %v", name, data, got, wantErr)
			}
		case wantErr == nil:
			// How many U+FFFD stand for damaged UTF-8 is not compared.
			if diff := cmp.Diff(want, got); diff != "" && utf8.Valid(data) {
				t.Errorf("%s: %q (-encoding/json +scanner):\n%s", name, data, diff)
			}
		}
		var fault *Error
		if gotErr != nil && (!errors.As(gotErr, &fault) || fault.Offset < 0 || fault.Offset > int64(len(data)) || fault.Line < 1) {
			t.Errorf("%s: %q: error without a good position: %v", name, data, gotErr)
		}
	}
}

var documents = []string{
	`null`, `true`, `false`, `0`, `-0`, `-12.5e+3`, `""`, `[]`, `{}`, ` [ 1 , 2 ] `, `{"a":{"b":[1,{"c":null}]}}`, "\xef\xbb\xbf{}",
	`"A\n\t\"\\\/\b\f\r"`, `"😀"`, `"\ud83d"`, `"\ud83d\u0041"`, `"\udc00x"`, `{"a":1,"a":2}`, `"é中"`,
	``, ` `, `[`, `{`, `[1`, `[1,`, `[1,]`, `[,1]`, `{"a"`, `{"a":`, `{"a":1`, `{"a":1,`, `{"a":1,}`, `{,}`, `{a:1}`, `"`, `"a`, `"a\`, `"\u12`, `tru`, `nul`, `+1`, `01`, `1.`, `.5`,
	`1e`, `1e+`, `--1`, `1 2`, `{} {}`, `[] x`, "[1]\x00", "\"\x01\"", "\"a\nb\"", `'a'`, `NaN`, `[1 2]`, `{"a" 1}`, `{"a":1 "b":2}`, "\x00", `]`, `}`, `:`, `,`,
}

func TestAgreesWithEncodingJSON(t *testing.T) {
	for _, document := range documents {
		agree(t, []byte(document))
	}
	for _, pad := range []int{windowSize - 3, windowSize - 2, windowSize - 1, windowSize} { // across the window's edge
		for _, document := range documents {
			if len(document) > 0 && document[0] != '\xef' {
				agree(t, []byte(strings.Repeat(" ", pad-len(document)/2)+document))
			}
		}
	}
}

func TestTheFirstKeyThatIsRepeatedIsToldOf(t *testing.T) {
	t.Parallel()
	many := ""
	for i := range 200 {
		many += fmt.Sprintf(`"k%d":%d,`, i, i)
	}
	for document, want := range map[string]string{
		`{"a":1,"b":{"a":2},"c":[{"a":1},{"a":2}]}`: "",
		"{\"a\":1,\n\"b\":2,\n\"b\":3,\"b\":4}":     `report:3 (byte 18): b: expected each key of an object once: the key stands there before: "b"`,
		`{"x":[{},{"a":1,"\u0061":2}]}`:             `report:1 (byte 24): x[1].a: expected each key of an object once: the key stands there before: "a"`,
		`{"":1,"":2}`:                               `the key stands there before: ""`,
		"{" + many + `"end":1}`:                     "",
		"{" + many + `"k199":1}`:                    `the key stands there before: "k199"`,
		`{"a":1,"a":2`:                              "the end of the object",
	} {
		_, err := scanAny(strings.NewReader(document))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: %v, want %q", document, err, want)
		}
	}
}

func FuzzScanner(f *testing.F) {
	for _, document := range documents {
		f.Add([]byte(document))
	}
	f.Fuzz(func(t *testing.T, data []byte) { agree(t, data) })
}

func TestReadsPlainValues(t *testing.T) {
	read := func(document string) *Scanner { return NewScanner(t.Context(), strings.NewReader(document)) }
	for document, want := range map[string]string{
		`"\q\u12zz"`: "\ufffdq\ufffdu12zz", "\"a\xffb\"": "a\ufffdb", `1.50`: "1.50", `true`: "true", `null`: "", `[1]`: "", `{"a":1}`: "",
	} {
		s := read(document)
		if got := s.Text(); got != want || s.End() != nil {
			t.Errorf("Text of %s = %q, %v, want %q", document, got, s.Err(), want)
		}
	}
	for document, want := range map[string]int{`7`: 7, `"8"`: 8, `9.0`: 9, `9.5`: 0, `1e400`: 0, `9223372036854775808`: 0, `99999999999999999999`: 0, `null`: 0, `"x"`: 0, `-3`: -3} {
		if got := read(document).Int(); got != want {
			t.Errorf("Int of %s = %d, want %d", document, got, want)
		}
	}
	for document, want := range map[string]float64{`7.5`: 7.5, `"7.5"`: 7.5, `1e400`: 0, `"NaN"`: 0, `"Inf"`: 0, `{}`: 0} {
		if got := read(document).Float(); got != want || math.IsNaN(got) {
			t.Errorf("Float of %s = %v, want %v", document, got, want)
		}
	}
	if got := read(`["a",null,"",1,"b"]`).Texts(); !cmp.Equal(got, []string{"a", "1", "b"}) {
		t.Errorf("Texts = %q", got)
	}
	if got := read(`"alone"`).Texts(); !cmp.Equal(got, []string{"alone"}) {
		t.Errorf("Texts of one value = %q", got)
	}
}

func TestErrorsNameThePlace(t *testing.T) {
	document := "{\"Results\": [{},\n {\"Vulnerabilities\": [1,\n x]}]}"
	s := NewScanner(t.Context(), strings.NewReader(document))
	s.Skip()
	var fault *Error
	if !errors.As(s.End(), &fault) {
		t.Fatalf("err = %v", s.Err())
	}
	if fault.Line != 3 || fault.Item != "Results[1].Vulnerabilities[1]" || fault.Offset != int64(strings.IndexByte(document, 'x')) || fault.Expected != "a value" {
		t.Errorf("fault %+v", fault)
	}
}

func TestKeepsLimits(t *testing.T) {
	for name, in := range map[string]io.Reader{
		"depth":  strings.NewReader(strings.Repeat("[", 100_000)),
		"string": io.MultiReader(strings.NewReader(`"`), io.LimitReader(endless('x'), MaxString+MaxString/2)),
		"number": io.LimitReader(endless('1'), MaxString+MaxString/2),
	} {
		s := NewScanner(t.Context(), in)
		s.Skip()
		var fault *Error
		if !errors.As(s.End(), &fault) || !strings.HasPrefix(fault.Expected, "a") || !strings.Contains(fault.Expected, "at most") {
			t.Errorf("%s: %v", name, s.Err())
		}
	}
}

type endless byte

func (e endless) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(e)
	}
	return len(p), nil
}

func TestKeepsTheFirstErrorAndTheErrorsOfReading(t *testing.T) {
	broken := errors.New("broken pipe")
	s := NewScanner(t.Context(), io.MultiReader(strings.NewReader(`[1,`), iotest.ErrReader(broken)))
	s.Skip()
	if !errors.Is(s.End(), broken) {
		t.Errorf("err = %v, want the reader's", s.Err())
	}
	mine := errors.New("mine")
	s = NewScanner(t.Context(), strings.NewReader(`[1,2]`))
	s.Array(func(int) { s.Fail(mine) })
	s.Expect("nothing more")
	if s.End() != mine {
		t.Errorf("err = %v, want the caller's own", s.Err())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s = NewScanner(ctx, strings.NewReader(`[1]`))
	s.Skip()
	if !errors.Is(s.End(), context.Canceled) {
		t.Errorf("err = %v, want that of the context", s.Err())
	}
}

func TestCallbacksMayLeaveTheirValue(t *testing.T) {
	s := NewScanner(t.Context(), strings.NewReader(`{"a":[1,{"b":2}],"c":3,"d":{"e":"f"}}`))
	got := 0
	s.Object(func(key string) {
		if key == "c" {
			got = s.Int()
		}
	})
	if s.End() != nil || got != 3 {
		t.Errorf("c = %d, %v", got, s.Err())
	}
}

type format struct{ id, mark string }

func (f format) Describe() Description  { return Description{ID: "report/" + f.id} }
func (f format) Detect(head []byte) int { return 50 * bytes.Count(head, []byte(f.mark)) }
func (f format) Read(ctx context.Context, in io.Reader, sink Sink) error {
	return JSON(ctx, in, func(s *Scanner) { s.Skip() })
}

func TestReadRecognisesFormatsFromContent(t *testing.T) {
	readers := []Reader{format{"one", "first"}, format{"two", "second"}}
	for document, want := range map[string]string{
		`{"first":1}`: "", "": "the file is empty", " \n": "the file is empty", "\xff\xfe{\x00}\x00": "UTF-16", "{\x00}\x00": "UTF-16", "\x7fELF\x00": "binary",
		"\x89\xfe\xfd\xfc\xfb\xfa": "binary", `{"third":1}`: "a report of one, two", `{"second":}`: "r.json:1 (byte 10): second: expected a value",
	} {
		err := Read(t.Context(), readers, "r.json", strings.NewReader(document), nil)
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", document, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "r.json")):
			t.Errorf("%q: error %v, want it to name %q and the file", document, err, want)
		}
	}
	if _, err := Detect(readers, []byte("third")); !errors.Is(err, ErrUnknownFormat) {
		t.Errorf("Detect: %v", err)
	}
}

func TestSpoolGivesFindingsBackInOrder(t *testing.T) {
	var p Spool
	for i := range spoolInMemory + 10 {
		n := strconv.Itoa(i)
		if err := p.Add(fact.Finding{Rule: n, Attributes: map[string]string{"n": n}}); err != nil {
			t.Fatal(err)
		}
	}
	next := 0
	err := p.Replay(func(f fact.Finding) error {
		if f.Rule != strconv.Itoa(next) || f.Attributes["n"] != strconv.Itoa(next) {
			t.Fatalf("finding %d came back as %+v", next, f)
		}
		next++
		return nil
	})
	if err != nil || next != spoolInMemory+10 {
		t.Errorf("%d findings, %v", next, err)
	}
	if err := p.Close(); err != nil {
		t.Error(err)
	}
}
