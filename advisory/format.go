package advisory

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"sort"
	"unsafe"

	"github.com/backstitch/backstitch/fact"
)

// The index file, all numbers little-endian:
//
//	header    magic, number of sections, for each its offset, length and
//	          checksum, checksum of the header
//	meta      JSON: Status
//	offsets   for each record, in order of id, its offset in records (8 bytes)
//	records   checksum, length, source number (4 bytes each), payload
//	packages  table: ecosystem, NUL, name -> first posting, number of postings
//	postings  record numbers (4 bytes each), ascending for each package
//	ids       table: id in a class of several -> first member, number of members
//	members   numbers of entries of ids (4 bytes each)
//	signals   table: CVE that no record speaks about -> EPSS in 1e-9, flags
//	lives     products and until when their cycles are supported, in order of name
//
// A table is two sections: sorted text and 16-byte entries (offset and length
// of the text, two values). Nothing is parsed when the file is opened; the
// checksum of a section is looked at when the section is first used, that of a
// record when the record is read.
const (
	magic      = "BSADVIX\x02"
	entrySize  = 16
	recordHead = 12
	maxRecord  = 64 << 20
)

// Sections of an index file.
const (
	secMeta = iota
	secOffsets
	secRecords
	secPackageText
	secPackages
	secPostings
	secIDText
	secIDs
	secMembers
	secSignalText
	secSignals
	secLives
	sections
)

const headerSize = len(magic) + 4 + sections*20 + 4

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// ErrCorrupt says that an index file is not what was written, ErrFormat that
// another version of the program wrote it.
var (
	ErrCorrupt = errors.New("advisory index is damaged")
	ErrFormat  = errors.New("the advisory index was made by another version of the program: make it again with backstitch advisory import")
)

type section struct {
	offset, length uint64
	sum            uint32
}

// encoder appends values in the form that decoder reads.
type encoder struct{ b []byte }

func (e *encoder) number(n uint64) { e.b = binary.AppendUvarint(e.b, n) }
func (e *encoder) time(n int64)    { e.b = binary.AppendVarint(e.b, n) }
func (e *encoder) fraction(f float64) {
	e.b = binary.LittleEndian.AppendUint64(e.b, math.Float64bits(f))
}
func (e *encoder) text(s string) {
	e.number(uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) texts(list []string) {
	e.number(uint64(len(list)))
	for _, s := range list {
		e.text(s)
	}
}

// decoder reads from a string, so that texts share its memory. After the first
// fault everything is empty and bad is set.
type decoder struct {
	s   string
	bad bool
}

func (d *decoder) fail() {
	d.s, d.bad = "", true
}

func (d *decoder) number() uint64 {
	n := uint64(0)
	for shift := 0; shift < 64; shift += 7 {
		if len(d.s) == 0 {
			break
		}
		c := d.s[0]
		d.s = d.s[1:]
		if shift == 63 && c > 1 {
			break
		}
		n |= uint64(c&0x7f) << shift
		if c < 0x80 {
			return n
		}
	}
	d.fail()
	return 0
}

// count reads how many elements follow, each of at least size bytes.
func (d *decoder) count(size int) int {
	n := d.number()
	if n > uint64(len(d.s)/size) {
		d.fail()
		return 0
	}
	return int(n)
}

func (d *decoder) time() int64 {
	n := d.number()
	return int64(n>>1) ^ -int64(n&1)
}

func (d *decoder) fraction() float64 {
	if len(d.s) < 8 {
		d.fail()
		return 0
	}
	bits := uint64(0)
	for i := range 8 {
		bits |= uint64(d.s[i]) << (8 * i)
	}
	d.s = d.s[8:]
	f := math.Float64frombits(bits)
	if math.IsNaN(f) || math.IsInf(f, 0) {
		d.fail()
		return 0
	}
	return f
}

func (d *decoder) text() string {
	n := d.count(1)
	s := d.s[:n]
	d.s = d.s[n:]
	return s
}

func (d *decoder) texts() []string {
	n := d.count(1)
	if n == 0 {
		return nil
	}
	list := make([]string, n)
	for i := range list {
		list[i] = d.text()
	}
	return list
}

// Event tags of an encoded range.
const (
	tagIntroduced = iota
	tagFixed
	tagLastAffected
	tagLimit
)

// encodeAdvisory gives the payload of a record: id, what matching needs, the rest.
func encodeAdvisory(a *fact.Advisory) []byte {
	var e, affected encoder
	affected.number(uint64(len(a.Affected)))
	for i := range a.Affected {
		encodeAffected(&affected, &a.Affected[i])
	}
	e.text(a.ID)
	e.text(string(affected.b))
	e.number(uint64(a.Severity))
	e.fraction(a.Score)
	e.fraction(a.EPSS)
	exploited := uint64(0)
	if a.Exploited {
		exploited = 1
	}
	e.number(exploited)
	e.time(a.Published)
	e.time(a.Modified)
	e.time(a.Withdrawn)
	e.text(a.Vector)
	e.text(a.Summary)
	e.texts(a.Aliases)
	e.texts(a.URLs)
	return e.b
}

func encodeAffected(e *encoder, a *fact.Affected) {
	e.text(a.Ecosystem)
	e.text(a.Name)
	e.texts(a.Versions)
	e.texts(a.Symbols)
	e.number(uint64(len(a.Ranges)))
	for _, r := range a.Ranges {
		e.text(r.Type)
		e.number(uint64(len(r.Events)))
		for _, event := range r.Events {
			switch {
			case event.Introduced != "":
				e.number(tagIntroduced)
				e.text(event.Introduced)
			case event.Fixed != "":
				e.number(tagFixed)
				e.text(event.Fixed)
			case event.LastAffected != "":
				e.number(tagLastAffected)
				e.text(event.LastAffected)
			default:
				e.number(tagLimit)
				e.text(event.Limit)
			}
		}
	}
}

// decodeMatching reads the first part of a payload; rest reads the others.
func decodeMatching(payload string) (id string, affected []fact.Affected, rest decoder) {
	d := decoder{s: payload}
	id = d.text()
	inner := decoder{s: d.text()}
	n := inner.count(5)
	if n > 0 {
		affected = make([]fact.Affected, n)
	}
	for i := range affected {
		decodeAffected(&inner, &affected[i])
	}
	if inner.bad || len(inner.s) > 0 {
		d.fail()
	}
	return id, affected, d
}

func decodeAffected(d *decoder, a *fact.Affected) {
	a.Ecosystem, a.Name = d.text(), d.text()
	a.Versions, a.Symbols = d.texts(), d.texts()
	if n := d.count(2); n > 0 {
		a.Ranges = make([]fact.Range, n)
	}
	for i := range a.Ranges {
		r := &a.Ranges[i]
		r.Type = d.text()
		if n := d.count(2); n > 0 {
			r.Events = make([]fact.RangeEvent, n)
		}
		for j := range r.Events {
			tag, text := d.number(), d.text()
			switch tag {
			case tagIntroduced:
				r.Events[j].Introduced = text
			case tagFixed:
				r.Events[j].Fixed = text
			case tagLastAffected:
				r.Events[j].LastAffected = text
			case tagLimit:
				r.Events[j].Limit = text
			default:
				d.fail()
			}
		}
	}
}

// decodeRest completes an advisory from what follows the matching part.
func decodeRest(a *fact.Advisory, d decoder) error {
	a.Severity = fact.Severity(min(d.number(), 127))
	a.Score, a.EPSS = d.fraction(), d.fraction()
	a.Exploited = d.number() == 1
	a.Published, a.Modified, a.Withdrawn = d.time(), d.time(), d.time()
	a.Vector, a.Summary = d.text(), d.text()
	a.Aliases, a.URLs = d.texts(), d.texts()
	if d.bad || len(d.s) > 0 || a.Severity > fact.SeverityCritical {
		return ErrCorrupt
	}
	return nil
}

func decodeAdvisory(payload string) (fact.Advisory, error) {
	var a fact.Advisory
	var rest decoder
	a.ID, a.Affected, rest = decodeMatching(payload)
	return a, decodeRest(&a, rest)
}

// row is one entry of a table while it is built.
type row struct {
	key  string
	a, b uint32
}

// encodeTable gives the two sections of a table of rows sorted by key.
func encodeTable(rows []row) (text, entries []byte, err error) {
	entries = make([]byte, 0, len(rows)*entrySize)
	for _, r := range rows {
		if uint64(len(text)) > math.MaxUint32 {
			return nil, nil, errors.New("more than 4 GiB of names")
		}
		entries = binary.LittleEndian.AppendUint32(entries, uint32(len(text)))
		entries = binary.LittleEndian.AppendUint32(entries, uint32(len(r.key)))
		entries = binary.LittleEndian.AppendUint32(entries, r.a)
		entries = binary.LittleEndian.AppendUint32(entries, r.b)
		text = append(text, r.key...)
	}
	return text, entries, nil
}

// table is a sorted table inside an index.
type table struct{ text, entries string }

func (t table) len() int { return len(t.entries) / entrySize }

func u32(s string, at int) uint32 {
	_ = s[at+3]
	return uint32(s[at]) | uint32(s[at+1])<<8 | uint32(s[at+2])<<16 | uint32(s[at+3])<<24
}

// key gives the i-th key, "" for an entry that points outside the text.
func (t table) key(i int) string {
	at := i * entrySize
	start, length := uint64(u32(t.entries, at)), uint64(u32(t.entries, at+4))
	if start+length > uint64(len(t.text)) {
		return ""
	}
	return t.text[start : start+length]
}

func (t table) values(i int) (a, b uint32) {
	return u32(t.entries, i*entrySize+8), u32(t.entries, i*entrySize+12)
}

func (t table) find(key string) (a, b uint32, ok bool) {
	i, ok := sort.Find(t.len(), func(i int) int { return cmp.Compare(key, t.key(i)) })
	if !ok {
		return 0, 0, false
	}
	a, b = t.values(i)
	return a, b, true
}

// fileWriter writes sections one after the other and the header at the end.
type fileWriter struct {
	out  io.WriteSeeker
	buf  *bufio.Writer
	at   uint64
	sum  uint32
	from uint64
	list [sections]section
}

func newFileWriter(out io.WriteSeeker) (*fileWriter, error) {
	w := &fileWriter{out: out, buf: bufio.NewWriterSize(out, 1<<18), at: uint64(headerSize), from: uint64(headerSize)}
	_, err := w.buf.Write(make([]byte, headerSize))
	return w, err
}

// Write appends to the section that is being written.
func (w *fileWriter) Write(p []byte) (int, error) {
	w.sum = crc32.Update(w.sum, castagnoli, p)
	w.at += uint64(len(p))
	return w.buf.Write(p)
}

// end closes the section under its number.
func (w *fileWriter) end(number int) {
	w.list[number] = section{w.from, w.at - w.from, w.sum}
	w.from, w.sum = w.at, 0
}

func (w *fileWriter) section(number int, data []byte) error {
	if _, err := w.Write(data); err != nil {
		return err
	}
	w.end(number)
	return nil
}

func (w *fileWriter) finish() error {
	if err := w.buf.Flush(); err != nil {
		return err
	}
	header := append(make([]byte, 0, headerSize), magic...)
	header = binary.LittleEndian.AppendUint32(header, sections)
	for _, s := range w.list {
		header = binary.LittleEndian.AppendUint64(header, s.offset)
		header = binary.LittleEndian.AppendUint64(header, s.length)
		header = binary.LittleEndian.AppendUint32(header, s.sum)
	}
	header = binary.LittleEndian.AppendUint32(header, crc32.Checksum(header, castagnoli))
	if _, err := w.out.Seek(0, io.SeekStart); err != nil {
		return err
	}
	_, err := w.out.Write(header)
	return err
}

// readHeader checks the header of a file and gives its sections.
func readHeader(data string) (list [sections]section, err error) {
	if len(data) < headerSize || data[:len(magic)] != magic {
		if last := len(magic) - 1; len(data) > last && data[:last] == magic[:last] && data[last] != magic[last] {
			return list, fmt.Errorf("%w (its format is %d, expected %d)", ErrFormat, data[last], magic[last])
		}
		return list, fmt.Errorf("not an advisory index (%d bytes)", len(data))
	}
	body := headerSize - 4
	if crc32.Checksum(bytesOf(data[:body]), castagnoli) != u32(data, body) || u32(data, len(magic)) != sections {
		return list, fmt.Errorf("%w: header", ErrCorrupt)
	}
	at := len(magic) + 4
	for i := range list {
		list[i] = section{u64(data, at), u64(data, at+8), u32(data, at+16)}
		at += 20
		if list[i].offset < uint64(headerSize) || list[i].offset > uint64(len(data)) || list[i].length > uint64(len(data))-list[i].offset {
			return list, fmt.Errorf("%w: it is cut off, section %d ends behind its %d bytes", ErrCorrupt, i, len(data))
		}
	}
	return list, nil
}

func u64(s string, at int) uint64 { return uint64(u32(s, at)) | uint64(u32(s, at+4))<<32 }

// bytesOf views a string as bytes, to be read only.
func bytesOf(s string) []byte { return unsafe.Slice(unsafe.StringData(s), len(s)) }

// textOf views bytes that nobody writes to any more as a string.
func textOf(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }
