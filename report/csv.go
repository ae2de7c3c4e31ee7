package report

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// Limits of a CSV table.
const (
	maxCells = 500     // columns of a table
	maxRow   = 8 << 20 // bytes of one row
)

// Row is one row of a CSV table whose first row names the columns.
type Row struct {
	*Emitter
	runs *runs
	// Position is where the row stands in the report.
	Position fact.Position

	columns map[string]int
	cells   []string
	at      []int64 // offset of each cell
	line    int
	fault   *Error
}

// Text gives the cell of a column, "" for a column that the table does not have.
// Columns are found whatever their case.
func (r *Row) Text(column string) string {
	if at, ok := r.columns[strings.ToLower(column)]; ok && at < len(r.cells) {
		return strings.TrimSpace(r.cells[at])
	}
	return ""
}

// Has says whether the table has a column.
func (r *Row) Has(column string) bool {
	_, ok := r.columns[strings.ToLower(column)]
	return ok
}

// As makes this row part of the run of a detector over a target, as Document.As does.
func (r *Row) As(tool, target string) { r.Emitter = r.runs.of(tool, target) }

// Expect says that a cell holds something else than it must, which ends the reading.
func (r *Row) Expect(column, expected string) {
	if r.fault != nil {
		return
	}
	r.fault = &Error{Offset: r.Position.Offset, Line: r.line, Item: r.Position.Item + ", column " + column, Expected: expected, Err: fmt.Errorf("it is %.60q", r.Text(column))}
	if at, ok := r.columns[strings.ToLower(column)]; ok {
		r.fault.Offset = r.at[at]
	}
}

// Finding gives what was found in this row.
func (r *Row) Finding(f fact.Finding) error {
	f.Position = r.Position
	return r.Give(f)
}

// Columns gives the names in the first row of a CSV table, in lower case; nil when
// the text begins with none. Comma, semicolon and tab separate cells.
func Columns(head []byte) []string {
	t := newTable(context.Background(), bytes.NewReader(head))
	names, _, err := t.header()
	if err != nil || len(names) < 2 {
		return nil
	}
	return names
}

// HasColumns says whether a text begins with a CSV header that has all these columns.
func HasColumns(head []byte, columns ...string) bool {
	there := map[string]bool{}
	for _, name := range Columns(head) {
		there[name] = true
	}
	for _, name := range columns {
		if !there[strings.ToLower(name)] {
			return false
		}
	}
	return true
}

// Rows is the frame of a reader of one CSV table with one run: read is called with
// each row, and an error that it returns ends the reading. Cells in quotes may hold
// line ends. A row with fewer cells than columns is a fault, so that a file that was
// cut off inside a row is noticed; more are one unless they are empty. A table without
// a last line end may have been cut off in its last cell, so it is not complete.
func Rows(ctx context.Context, in io.Reader, sink Sink, run fact.Run, need []string, read func(r *Row) error) error {
	all := newRuns(run)
	return all.tell(sink, rows(ctx, in, all, need, 0, read))
}

// maxAbove bounds the rows above a header.
const maxAbove = 20

// RowsBelow is Rows for tables that have lines of text above the row which names the
// columns: the header is the first row that has all the needed ones.
func RowsBelow(ctx context.Context, in io.Reader, sink Sink, run fact.Run, need []string, read func(r *Row) error) error {
	all := newRuns(run)
	return all.tell(sink, rows(ctx, in, all, need, maxAbove, read))
}

// HasColumnsBelow is HasColumns for such tables.
func HasColumnsBelow(head []byte, columns ...string) bool {
	t := newTable(context.Background(), bytes.NewReader(head))
	names, _, err := t.header()
	for above := 0; err == nil && above <= maxAbove; above++ {
		if len(missing(names, columns)) == 0 {
			return true
		}
		names, _, err = t.names()
	}
	return false
}

// missing gives the needed columns that names lack.
func missing(names, need []string) (list []string) {
	for _, column := range need {
		if !slices.Contains(names, strings.ToLower(column)) {
			list = append(list, column)
		}
	}
	return list
}

func rows(ctx context.Context, in io.Reader, all *runs, need []string, above int, read func(r *Row) error) error {
	t := newTable(ctx, in)
	names, at, err := t.header()
	for ; err == nil && above > 0 && len(missing(names, need)) > 0; above-- {
		names, at, err = t.names()
	}
	if err != nil {
		return err
	}
	columns := make(map[string]int, len(names))
	for i, name := range names {
		if _, twice := columns[name]; twice && name != "" {
			return &Error{Offset: at[i], Line: 1, Item: "row 1, column " + name, Expected: "each column once", Err: errors.New("the header names it twice")}
		}
		columns[name] = i
	}
	if lacks := missing(names, need); len(lacks) > 0 {
		return &Error{Offset: 0, Line: 1, Item: "row 1", Expected: "a column " + lacks[0], Err: errors.New("the header does not name it")}
	}
	for {
		from, line := t.offset, t.line
		cells, at, err := t.row()
		if errors.Is(err, io.EOF) {
			all.first.Run.Complete = all.first.Run.Complete && !t.open
			return nil
		}
		if err != nil {
			return err
		}
		if len(cells) == 1 && strings.TrimSpace(cells[0]) == "" {
			continue // an empty line
		}
		item := fmt.Sprintf("row %d", t.number)
		if len(cells) < len(names) {
			return &Error{Offset: t.offset, Line: t.line, Item: item, Expected: fmt.Sprintf("%d cells, as the header has", len(names)), Err: fmt.Errorf("the row has %d: %w", len(cells), io.ErrUnexpectedEOF)}
		}
		for i := len(names); i < len(cells); i++ {
			if strings.TrimSpace(cells[i]) != "" {
				return &Error{Offset: at[i], Line: line, Item: item, Expected: fmt.Sprintf("%d cells, as the header has", len(names)), Err: fmt.Errorf("the row has %d", len(cells))}
			}
		}
		r := &Row{Emitter: all.first, runs: all, Position: fact.Position{Offset: from, Length: t.offset - from, Item: item}, columns: columns, cells: cells, at: at, line: line}
		if err := read(r); err != nil {
			return err
		}
		if r.fault != nil {
			return r.fault
		}
	}
}

// table reads CSV as RFC 4180 has it, with any of three separators. Quotes inside a
// cell that begins with none stand for themselves.
type table struct {
	ctx       context.Context
	in        *bufio.Reader
	separator byte
	offset    int64
	line      int
	number    int  // rows that were begun
	open      bool // the table ended in a cell that nothing closed
}

func newTable(ctx context.Context, in io.Reader) *table {
	t := &table{ctx: ctx, in: bufio.NewReaderSize(in, windowSize), line: 1}
	if mark, err := t.in.Peek(3); err == nil && string(mark) == "\xef\xbb\xbf" {
		t.offset += 3
		_, _ = t.in.Discard(3) // they were just seen
	}
	return t
}

// header reads the first row with the separator that gives the most columns.
func (t *table) header() (names []string, at []int64, err error) {
	first, err := t.in.Peek(windowSize)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, &Error{Offset: t.offset, Err: err}
	}
	if end := bytes.IndexByte(first, '\n'); end >= 0 {
		first = first[:end]
	}
	most := 0
	for _, c := range []byte(",;\t") {
		if n := bytes.Count(first, []byte{c}); n > most {
			most, t.separator = n, c
		}
	}
	if most == 0 {
		return nil, nil, &Error{Offset: t.offset, Line: 1, Expected: "a row of column names between commas, semicolons or tabs"}
	}
	return t.names()
}

// names reads a row of column names.
func (t *table) names() (names []string, at []int64, err error) {
	names, at, err = t.row()
	if errors.Is(err, io.EOF) {
		return nil, nil, &Error{Offset: t.offset, Line: t.line, Expected: "a row of column names"}
	}
	for i, name := range names {
		names[i] = strings.ToLower(strings.TrimSpace(name))
	}
	return names, at, err
}

// row reads the next row; at its end the error is io.EOF.
func (t *table) row() (cells []string, at []int64, err error) {
	if err := t.ctx.Err(); err != nil {
		return nil, nil, err
	}
	start, line := t.offset, t.line
	t.number++
	var cell []byte
	quoted, closed := false, false // inside quotes; after the quote that ends a cell
	at = append(at, t.offset)
	fault := func(expected string, cause error) error {
		return &Error{Offset: t.offset, Line: t.line, Item: fmt.Sprintf("row %d, column %d", t.number, len(cells)+1), Expected: expected, Err: cause}
	}
	end := func() {
		cells = append(cells, strings.ToValidUTF8(string(cell), "\ufffd"))
		cell, closed = cell[:0], false
	}
	for {
		c, err := t.in.ReadByte()
		if errors.Is(err, io.EOF) {
			switch {
			case quoted:
				return nil, nil, fault(fmt.Sprintf("the closing quote of a cell in the row of line %d", line), io.ErrUnexpectedEOF)
			case t.offset == start:
				return nil, nil, io.EOF
			}
			t.open = !closed
			end()
			return cells, at, nil
		}
		if err != nil {
			return nil, nil, fault("", err)
		}
		switch {
		case c == 0:
			return nil, nil, fault("text", errors.New("there is a NUL byte"))
		case t.offset-start >= maxRow:
			return nil, nil, fault(fmt.Sprintf("at most %d bytes in a row", maxRow), nil)
		case quoted && c == '"':
			if next, err := t.in.Peek(1); err == nil && next[0] == '"' {
				_, _ = t.in.Discard(1) // it was just seen
				t.offset++
				cell = append(cell, '"')
			} else {
				quoted, closed = false, true
			}
		case quoted:
			cell = append(cell, c)
		case c == '"' && len(cell) == 0 && !closed:
			quoted = true
		case c == t.separator:
			if len(cells) >= maxCells {
				return nil, nil, fault(fmt.Sprintf("at most %d cells in a row", maxCells), nil)
			}
			end()
			at = append(at, t.offset+1)
		case c == '\n':
			t.offset++
			t.line++
			end()
			return cells, at, nil
		case c == '\r':
			if next, err := t.in.Peek(1); err == nil && next[0] == '\n' || closed {
				break
			}
			cell = append(cell, c)
		case closed:
			return nil, nil, fault("a separator or the end of the row after the closing quote", fmt.Errorf("there is %q", c))
		default:
			cell = append(cell, c)
		}
		t.offset++
		if c == '\n' {
			t.line++
		}
	}
}

// IsJSON says whether a report begins like a JSON document, for readers of formats
// that also come as tables. The reader that it gives still holds the whole report.
func IsJSON(in io.Reader) (bool, io.Reader) {
	first, whole := begins(in)
	return first == '{' || first == '[' || first == 0, whole // empty: the JSON frame says so
}

// IsXML says whether a report begins like an XML document, as IsJSON does for JSON.
func IsXML(in io.Reader) (bool, io.Reader) {
	first, whole := begins(in)
	return first == '<', whole
}

// begins gives the first byte that is no white space, 0 when there is none.
func begins(in io.Reader) (byte, io.Reader) {
	whole := bufio.NewReaderSize(in, windowSize)
	for n := 64; ; n *= 2 {
		head, err := whole.Peek(min(n, windowSize))
		text := bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\xef\xbb\xbf")), " \t\r\n")
		if len(text) > 0 {
			return text[0], whole
		}
		if err != nil || n >= windowSize {
			return 0, whole
		}
	}
}
