package report

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// Limits of a document that a Scanner reads.
const (
	MaxDepth    = 1000     // nested objects and arrays
	MaxString   = 64 << 20 // bytes of one string or number
	MaxDocument = 2 << 30  // bytes of one document
	windowSize  = 64 << 10 // bytes that are read at once
	maxItem     = 300      // bytes of the place named in an error
)

// Scanner pulls values out of a JSON document in one pass at constant memory:
// the caller asks for what it wants, in the order in which it comes, and what it
// does not ask for is skipped.
//
// The first fault ends the reading: from then on every method returns zero
// values, and Err tells what happened, as an *Error with the position. A value
// of another type than asked for reads as zero where a plain value was asked
// for, and is a fault where an object or array was; null is an empty anything.
//
// Accepted beyond the JSON grammar: a UTF-8 byte order mark. Invalid UTF-8, lone
// surrogates and the backslash of an escape that is none become U+FFFD, so that one
// damaged text does not lose the report. A key that comes twice in an object is given
// twice, so that nothing is lost; for a plain value the last one holds, as in
// encoding/json. Numbers keep their text; one out of range reads as zero.
//
// A Scanner belongs to one goroutine.
type Scanner struct {
	ctx   context.Context
	in    io.Reader
	buf   []byte
	pos   int   // next byte
	end   int   // bytes in buf
	keep  int   // first byte of buf that must stay, -1 none
	base  int64 // offset of buf[0] in the document
	lines int   // line ends before buf[0]
	eof   bool
	err   error

	places  []place
	members []string // keys of the objects that are open
	odd     error    // the first key that was repeated
	keys    *[512]string
	words   *[1024]string // short texts that were read, by slot
	count   int64         // values begun, to notice whether a callback read its own
}

type place struct {
	key   string
	index int // -1 in an object
}

// NewScanner starts reading a document.
func NewScanner(ctx context.Context, in io.Reader) *Scanner {
	s := &Scanner{ctx: ctx, in: in, buf: make([]byte, windowSize), keep: -1, keys: new([512]string), words: new([1024]string)}
	if s.need(3) && bytes.HasPrefix(s.buf[s.pos:s.end], []byte("\xef\xbb\xbf")) {
		s.pos += 3
	}
	return s
}

// Err returns the first fault, nil when there was none.
func (s *Scanner) Err() error { return s.err }

// Fail ends the reading with an error of the caller, which Err then returns as
// it is. A nil error changes nothing.
func (s *Scanner) Fail(err error) {
	if s.err == nil && err != nil {
		s.err = err
	}
}

// Expect ends the reading with a fault at the present position.
func (s *Scanner) Expect(expected string) { s.fault(s.pos, expected, nil) }

// Offset is the offset in bytes of what comes next.
func (s *Scanner) Offset() int64 { return s.base + int64(s.pos) }

// Item is the place of what is being read, for example "Results[3].Target".
func (s *Scanner) Item() string {
	b := make([]byte, 0, 64)
	for _, p := range s.places {
		switch {
		case p.index >= 0:
			b = append(strconv.AppendInt(append(b, '['), int64(p.index), 10), ']')
		case p.key != "":
			if len(b) > 0 {
				b = append(b, '.')
			}
			b = append(b, p.key...)
		}
		if len(b) > maxItem {
			return strings.ToValidUTF8(string(b[:maxItem]), "") + "…"
		}
	}
	return string(b)
}

func (s *Scanner) fault(at int, expected string, cause error) {
	if s.err != nil {
		return
	}
	at = min(at, s.end)
	s.err = &Error{
		Offset: s.base + int64(at), Line: 1 + s.lines + bytes.Count(s.buf[:at], []byte{'\n'}),
		Item: s.Item(), Expected: expected, Err: cause,
	}
}

// need makes at least n bytes available from pos on; false at the end of the
// document or after a fault.
func (s *Scanner) need(n int) bool {
	for s.end-s.pos < n {
		if s.err != nil || s.eof {
			return false
		}
		if s.ctx.Err() != nil {
			s.err = s.ctx.Err()
			return false
		}
		from := s.pos
		if s.keep >= 0 {
			from = s.keep
		}
		if from > 0 {
			s.lines += bytes.Count(s.buf[:from], []byte{'\n'})
			copy(s.buf, s.buf[from:s.end])
			s.base += int64(from)
			s.pos -= from
			s.end -= from
			if s.keep >= 0 {
				s.keep = 0
			}
		}
		if s.end == len(s.buf) {
			if len(s.buf) >= MaxString+windowSize {
				s.fault(s.pos, fmt.Sprintf("a value of at most %d bytes", MaxString), nil)
				return false
			}
			// Never beyond the limit: a whole buffer is read at once, so that what
			// ends within it would pass for a value of a size that is allowed.
			s.buf = append(s.buf, make([]byte, min(len(s.buf), MaxString+windowSize-len(s.buf)))...)
		}
		if s.base+int64(s.end) > MaxDocument {
			s.fault(s.pos, fmt.Sprintf("a document of at most %d bytes", int64(MaxDocument)), nil)
			return false
		}
		got, err := s.in.Read(s.buf[s.end:])
		s.end += got
		switch {
		case errors.Is(err, io.EOF):
			s.eof = true
		case err != nil:
			s.fault(s.end, "", err)
			return false
		}
	}
	return true
}

// next skips white space and returns the byte that comes, 0 at the end.
func (s *Scanner) next() byte {
	for {
		for s.pos < s.end {
			c := s.buf[s.pos]
			if c > ' ' {
				return c
			}
			if c != ' ' && c != '\n' && c != '\t' && c != '\r' {
				s.fault(s.pos, "JSON", nil)
				return 0
			}
			s.pos++
		}
		if !s.need(1) {
			return 0
		}
	}
}

// Kinds of a value.
const (
	KindEnd    = byte(0) // the document ends here, or a fault
	KindObject = byte('{')
	KindArray  = byte('[')
	KindString = byte('"')
	KindNumber = byte('0')
	KindTrue   = byte('t')
	KindFalse  = byte('f')
	KindNull   = byte('n')
)

// Kind tells what comes next without reading it.
func (s *Scanner) Kind() byte {
	if s.err != nil {
		return KindEnd
	}
	switch c := s.next(); c {
	case '{', '[', '"', 't', 'f', 'n':
		return c
	case '-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9':
		return KindNumber
	case 0:
		return KindEnd
	default:
		s.fault(s.pos, "a value", nil)
		return KindEnd
	}
}

// begin starts a value and gives its kind.
func (s *Scanner) begin() byte {
	kind := s.Kind()
	if kind == KindEnd {
		s.fault(s.pos, "a value", io.ErrUnexpectedEOF)
	}
	s.count++
	return kind
}

// Object reads an object: field is called with each key and reads the value, or
// leaves it to be skipped. It returns false when there was no object: null, or
// a fault.
func (s *Scanner) Object(field func(key string)) bool {
	kind := s.begin()
	if kind == KindNull {
		s.literal("null")
		return false
	}
	if s.err != nil {
		return false
	}
	if kind != KindObject {
		s.fault(s.pos, "an object", nil)
		return false
	}
	if !s.enter(place{index: -1}) {
		return false
	}
	s.pos++
	own := members{from: len(s.members)}
	for first := true; s.err == nil; first = false {
		c := s.next()
		if c == '}' && first {
			s.pos++
			break
		}
		if !first {
			if c == '}' {
				s.pos++
				break
			}
			if c != ',' {
				s.fault(s.pos, "a comma or the end of the object", s.cut())
				break
			}
			s.pos++
			c = s.next()
		}
		if c != '"' {
			s.fault(s.pos, "a key", s.cut())
			break
		}
		key := s.key(s.quoted())
		s.places[len(s.places)-1].key = key
		s.meet(&own, key)
		if s.next() != ':' {
			s.fault(s.pos, "a colon", s.cut())
			break
		}
		s.pos++
		before := s.count
		if s.err == nil {
			field(key)
		}
		if s.err == nil && s.count == before {
			s.Skip()
		}
	}
	if s.err != nil {
		return false
	}
	s.places, s.members = s.places[:len(s.places)-1], s.members[:own.from]
	return true
}

// ErrRepeated says that an object holds a key more than once. Everything was
// read, and of values that were read twice the last counts.
var ErrRepeated = errors.New("the key stands there before")

// members are the keys of one object that were met.
type members struct {
	from  int                 // of Scanner.members
	bits  uint64              // one for each key, by its length and ends
	large map[string]struct{} // all of them, of an object with many
}

// fewMembers is how many keys of an object are searched one by one.
const fewMembers = 48

// meet notes a key of an object and the first one that is repeated.
func (s *Scanner) meet(own *members, key string) {
	if own.large != nil {
		if _, before := own.large[key]; before {
			s.repeated(key)
		}
		own.large[key] = struct{}{}
		return
	}
	bit := uint64(1)
	if n := len(key); n > 0 {
		bit <<= (n*11 + int(key[0]) + int(key[n-1])*5 + int(key[n/2])*3) % 64
	}
	if own.bits&bit != 0 && slices.Contains(s.members[own.from:], key) {
		s.repeated(key)
	}
	own.bits |= bit
	if s.members = append(s.members, key); len(s.members)-own.from > fewMembers {
		own.large = make(map[string]struct{}, 2*fewMembers)
		for _, key := range s.members[own.from:] {
			own.large[key] = struct{}{}
		}
	}
}

func (s *Scanner) repeated(key string) {
	if s.odd != nil || s.err != nil {
		return
	}
	s.fault(s.pos, "each key of an object once", fmt.Errorf("%w: %.80q", ErrRepeated, key))
	s.odd, s.err = s.err, nil
}

// key gives the text of a key. Keys repeat, and most are found in the slot for
// their length and ends without hashing them.
func (s *Scanner) key(raw []byte, plain bool) string {
	if !plain || len(raw) == 0 || len(raw) >= 64 {
		return s.text(raw, plain)
	}
	slot := &s.keys[(len(raw)*37+int(raw[0])*5+int(raw[len(raw)-1])+int(raw[len(raw)/2])*3)%len(s.keys)]
	if *slot != string(raw) {
		*slot = s.text(raw, plain)
	}
	return *slot
}

// Array reads an array: element is called for each value and reads it, or
// leaves it to be skipped. It returns false when there was no array: null, or a
// fault.
func (s *Scanner) Array(element func(i int)) bool {
	kind := s.begin()
	if kind == KindNull {
		s.literal("null")
		return false
	}
	if s.err != nil {
		return false
	}
	if kind != KindArray {
		s.fault(s.pos, "an array", nil)
		return false
	}
	if !s.enter(place{index: 0}) {
		return false
	}
	s.pos++
	for i := 0; s.err == nil; i++ {
		c := s.next()
		if c == ']' {
			s.pos++
			break
		}
		if i > 0 {
			if c != ',' {
				s.fault(s.pos, "a comma or the end of the array", s.cut())
				break
			}
			s.pos++
		}
		s.places[len(s.places)-1].index = i
		before := s.count
		if s.Kind() == KindEnd {
			s.fault(s.pos, "a value", s.cut())
			break
		}
		element(i)
		if s.err == nil && s.count == before {
			s.Skip()
		}
	}
	if s.err != nil {
		return false
	}
	s.places = s.places[:len(s.places)-1]
	return true
}

// Each reads an array of values, or one value where a tool writes no array
// around a single one.
func (s *Scanner) Each(element func(i int)) {
	switch s.Kind() {
	case KindArray:
		s.Array(element)
	case KindNull:
		s.Skip()
	default:
		before := s.count
		element(0)
		if s.err == nil && s.count == before {
			s.Skip()
		}
	}
}

func (s *Scanner) enter(p place) bool {
	if len(s.places) >= MaxDepth {
		s.fault(s.pos, fmt.Sprintf("at most %d nested values", MaxDepth), nil)
		return false
	}
	s.places = append(s.places, p)
	return true
}

// cut is the cause of a fault at the end of the document.
func (s *Scanner) cut() error {
	if s.pos >= s.end && s.eof {
		return io.ErrUnexpectedEOF
	}
	return nil
}

// quoted reads a string and gives the bytes between its quotes, valid until the
// next read, and whether they hold no escape and no control character.
func (s *Scanner) quoted() (raw []byte, plain bool) {
	s.keep = s.pos
	defer func() { s.keep = -1 }()
	s.pos++
	plain = true
	quote := -1 // index of the next quote from pos on, found once for all escapes before it
	for {
		if quote < s.pos {
			if quote = bytes.IndexByte(s.buf[s.pos:s.end], '"'); quote < 0 {
				quote = s.end
			} else {
				quote += s.pos
			}
		}
		if slash := bytes.IndexByte(s.buf[s.pos:quote], '\\'); slash >= 0 {
			plain = false
			s.pos += slash
			if s.end-s.pos < 2 {
				if !s.need(2) {
					s.fault(s.pos, "the end of the string", io.ErrUnexpectedEOF)
					return nil, false
				}
				quote = -1
			}
			s.pos += 2
			continue
		}
		if quote < s.end {
			s.pos = quote
			raw = s.buf[s.keep+1 : s.pos]
			s.pos++
			return raw, plain
		}
		s.pos = s.end
		if s.end-s.keep-1 > MaxString { // the opening quote does not count
			s.fault(s.keep, fmt.Sprintf("a string of at most %d bytes", MaxString), nil)
			return nil, false
		}
		if !s.need(1) {
			s.fault(s.pos, "the end of the string", io.ErrUnexpectedEOF)
			return nil, false
		}
		quote = -1
	}
}

// maxWord bounds the texts that are looked up before they are copied.
const maxWord = 96

// word gives a short text. Names, versions and digests repeat from item to item,
// and what stands in the slot for its length and some of its bytes is used again.
func (s *Scanner) word(raw []byte) string {
	n := len(raw)
	slot := &s.words[(n*131+int(raw[0])*7+int(raw[n-1])*31+int(raw[n/2])*13+int(raw[n/4])*57+int(raw[n-1-n/4])*101)%len(s.words)]
	if *slot != string(raw) {
		*slot = string(raw)
	}
	return *slot
}

// text decodes what quoted read.
func (s *Scanner) text(raw []byte, plain bool) string {
	control, ascii := look(raw)
	if control {
		s.fault(s.pos, "no bare control character in a string", nil)
		return ""
	}
	if plain {
		if ascii && len(raw) > 0 && len(raw) <= maxWord {
			return s.word(raw)
		}
		if ascii || utf8.Valid(raw) {
			return string(raw)
		}
		return strings.ToValidUTF8(string(raw), "\ufffd")
	}
	out := make([]byte, 0, len(raw))
	for i := 0; i < len(raw); i++ {
		c := raw[i]
		if c != '\\' {
			out = append(out, c)
			continue
		}
		i++
		switch raw[i] {
		case '"', '\\', '/':
			out = append(out, raw[i])
		case 'b':
			out = append(out, '\b')
		case 'f':
			out = append(out, '\f')
		case 'n':
			out = append(out, '\n')
		case 'r':
			out = append(out, '\r')
		case 't':
			out = append(out, '\t')
		case 'u':
			r, ok := hex4(raw[i+1:])
			if !ok {
				out = append(out, "\ufffdu"...)
				continue
			}
			i += 4
			if utf16.IsSurrogate(r) {
				low, ok := rune(0), false
				if len(raw) > i+2 && raw[i+1] == '\\' && raw[i+2] == 'u' {
					low, ok = hex4(raw[i+3:])
				}
				if r = utf16.DecodeRune(r, low); ok && r != utf8.RuneError {
					i += 6
				} else {
					r = utf8.RuneError
				}
			}
			out = utf8.AppendRune(out, r)
		default:
			out = append(out, "\ufffd"...)
			i-- // what follows the backslash is read as it stands
		}
	}
	if !utf8.Valid(out) {
		return strings.ToValidUTF8(string(out), "\ufffd")
	}
	return string(out)
}

func hex4(b []byte) (rune, bool) {
	if len(b) < 4 {
		return 0, false
	}
	n := rune(0)
	for _, c := range b[:4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | rune(c)
	}
	return n, true
}

func (s *Scanner) literal(word string) {
	if !s.need(len(word)) || string(s.buf[s.pos:s.pos+len(word)]) != word {
		s.fault(s.pos, word, s.cut())
		return
	}
	s.pos += len(word)
}

// number reads a number and gives its text, valid until the next read.
func (s *Scanner) number() []byte {
	s.keep = s.pos
	defer func() { s.keep = -1 }()
	for {
		for s.pos < s.end {
			switch c := s.buf[s.pos]; {
			case c >= '0' && c <= '9', c == '-', c == '+', c == '.', c == 'e', c == 'E':
				s.pos++
				continue
			}
			raw := s.buf[s.keep:s.pos]
			if !isNumber(raw) {
				s.fault(s.keep, "a number", nil)
			}
			return raw
		}
		if s.pos-s.keep > MaxString {
			s.fault(s.keep, fmt.Sprintf("a number of at most %d bytes", MaxString), nil)
			return nil
		}
		if !s.need(1) {
			raw := s.buf[s.keep:s.pos]
			if s.err == nil && !isNumber(raw) {
				s.fault(s.keep, "a number", nil)
			}
			return raw
		}
	}
}

// isNumber checks the grammar of RFC 8259, section 6.
func isNumber(b []byte) bool {
	digits := func() bool {
		n := 0
		for n < len(b) && b[n] >= '0' && b[n] <= '9' {
			n++
		}
		b = b[n:]
		return n > 0
	}
	if len(b) > 0 && b[0] == '-' {
		b = b[1:]
	}
	if len(b) > 1 && b[0] == '0' && b[1] >= '0' && b[1] <= '9' {
		return false
	}
	if !digits() {
		return false
	}
	if len(b) > 0 && b[0] == '.' {
		b = b[1:]
		if !digits() {
			return false
		}
	}
	if len(b) > 0 && (b[0] == 'e' || b[0] == 'E') {
		b = b[1:]
		if len(b) > 0 && (b[0] == '-' || b[0] == '+') {
			b = b[1:]
		}
		if !digits() {
			return false
		}
	}
	return len(b) == 0
}

// Text reads a plain value as text: a string decoded, a number or truth value
// as written, "" for null. An object or array is skipped and reads as "".
func (s *Scanner) Text() string {
	switch s.begin() {
	case KindString:
		raw, plain := s.quoted()
		if s.err != nil {
			return ""
		}
		return s.text(raw, plain)
	case KindNumber:
		return string(s.number())
	case KindTrue:
		s.literal("true")
		return "true"
	case KindFalse:
		s.literal("false")
		return "false"
	default:
		s.skip()
	}
	return ""
}

// Int reads a whole number, also one that is written as a string; 0 for
// anything else and for one out of range.
func (s *Scanner) Int() int {
	text := s.Text()
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		f := float(text)
		if f != float64(int64(f)) {
			return 0
		}
		n = int64(f)
	}
	return int(n)
}

// Float reads a number, also one that is written as a string; 0 for anything
// else and for one out of range.
func (s *Scanner) Float() float64 { return float(s.Text()) }

func float(text string) float64 {
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || f-f != 0 {
		return 0
	}
	return f
}

// Bool reads a truth value, also one that is written as a string.
func (s *Scanner) Bool() bool { return strings.EqualFold(s.Text(), "true") }

// Texts reads an array of plain values, or one plain value, leaving out empty
// ones.
func (s *Scanner) Texts() []string {
	var list []string
	s.Each(func(int) {
		if text := s.Text(); text != "" {
			list = append(list, text)
		}
	})
	return list
}

// Raw reads the next value and gives its bytes as they stand, valid until the
// next read. Only brackets and quotes are looked at: whoever uses the value
// reads it by a Scanner of its own, and whoever has read the same bytes before
// need not.
func (s *Scanner) Raw() []byte {
	kind := s.begin()
	if s.err != nil {
		return nil
	}
	start := s.pos
	switch kind {
	case KindString:
		raw, _ := s.quoted()
		if s.err != nil {
			return nil
		}
		return s.buf[s.pos-len(raw)-2 : s.pos]
	case KindNumber:
		return s.number()
	case KindObject, KindArray:
		s.keep = start
		defer func() { s.keep = -1 }()
		depth := 0
		for {
			if s.pos >= s.end && !s.need(1) {
				s.fault(s.pos, "the end of the value", s.cut())
				return nil
			}
			c := s.buf[s.pos]
			if c == '"' {
				s.string()
				if s.err != nil {
					return nil
				}
				continue
			}
			s.pos++
			switch c {
			case '{', '[':
				if depth++; len(s.places)+depth > MaxDepth {
					s.fault(s.pos, fmt.Sprintf("at most %d nested values", MaxDepth), nil)
					return nil
				}
			case '}', ']':
				if depth--; depth == 0 {
					if s.pos-s.keep > MaxString {
						s.fault(s.pos, fmt.Sprintf("a value of at most %d bytes", MaxString), nil)
						return nil
					}
					return s.buf[s.keep:s.pos]
				}
			}
		}
	}
	word := map[byte]string{KindTrue: "true", KindFalse: "false", KindNull: "null"}[kind]
	s.literal(word)
	if s.err != nil {
		return nil
	}
	return s.buf[s.pos-len(word) : s.pos]
}

// Same passes over the next value when it is byte for byte an object, array or
// string that Raw gave before; otherwise the value is still to be read.
func (s *Scanner) Same(raw []byte) bool {
	if len(raw) == 0 || raw[0] != '{' && raw[0] != '[' && raw[0] != '"' || s.Kind() != raw[0] {
		return false
	}
	if !s.need(len(raw)) || !bytes.Equal(s.buf[s.pos:s.pos+len(raw)], raw) {
		return false
	}
	s.count++
	s.pos += len(raw)
	return true
}

// Over makes a Scanner of bytes that Raw gave, for faults at this one's place.
func (s *Scanner) Over(data []byte) *Scanner {
	return &Scanner{
		ctx: s.ctx, buf: data, end: len(data), keep: -1, base: max(0, s.Offset()-int64(len(data))), lines: s.lines, eof: true,
		places: slices.Clone(s.places), keys: s.keys, words: s.words,
	}
}

// string passes over a string inside a kept value.
func (s *Scanner) string() {
	s.pos++
	for {
		quote := bytes.IndexByte(s.buf[s.pos:s.end], '"')
		if quote < 0 {
			s.pos = s.end
			if !s.need(1) {
				s.fault(s.pos, "the end of the string", io.ErrUnexpectedEOF)
				return
			}
			continue
		}
		s.pos += quote + 1
		slashes := 0
		for s.buf[s.pos-2-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return
		}
	}
}

// Skip reads the next value without looking at it closer than its brackets,
// strings and scalars.
func (s *Scanner) Skip() {
	s.begin()
	s.skip()
}

func (s *Scanner) skip() {
	if s.err != nil {
		return
	}
	switch s.Kind() {
	case KindString:
		raw, plain := s.quoted()
		if s.err == nil {
			s.check(raw, plain)
		}
	case KindNumber:
		s.number()
	case KindTrue:
		s.literal("true")
	case KindFalse:
		s.literal("false")
	case KindNull:
		s.literal("null")
	case KindObject:
		s.Object(func(string) {})
	case KindArray:
		s.Array(func(int) {})
	case KindEnd:
		s.fault(s.pos, "a value", s.cut())
	}
}

// check finds what is wrong in a string that nobody wants.
func (s *Scanner) check(raw []byte, plain bool) {
	if !plain {
		s.text(raw, plain)
		return
	}
	if control, _ := look(raw); control {
		s.fault(s.pos, "no bare control character in a string", nil)
	}
}

// look says whether there is a control character among bytes, and whether all
// are ASCII, eight at a time.
func look(raw []byte) (control, ascii bool) {
	const ones, tops = 0x0101010101010101, 0x8080808080808080
	var high uint64
	for ; len(raw) >= 8; raw = raw[8:] {
		v := binary.LittleEndian.Uint64(raw)
		high |= v
		if (v-ones*' ')&^v&tops != 0 {
			return true, false
		}
	}
	for _, c := range raw {
		high |= uint64(c)
		if c < ' ' {
			return true, false
		}
	}
	return false, high&tops == 0
}

// More says whether another value follows in the document.
func (s *Scanner) More() bool { return s.err == nil && s.next() != 0 }

// End checks that nothing follows and returns Err, or when everything was read
// the first key that was repeated.
func (s *Scanner) End() error {
	if s.err == nil && s.next() != 0 {
		s.fault(s.pos, "the end of the document", nil)
	}
	if s.err == nil {
		return s.odd
	}
	return s.err
}

// Rest gives what has not been read of the document, once.
func (s *Scanner) Rest() io.Reader {
	rest := bytes.NewReader(append([]byte(nil), s.buf[s.pos:s.end]...))
	s.pos = s.end
	return io.MultiReader(rest, s.in)
}
