// Package report is the contract for readers of scanners' reports, and the
// recognition of a report's format from its content.
//
// A reader turns one report into facts. It streams: memory does not grow with
// the report, findings go to the Sink as they are read. Reports are untrusted;
// every reader bounds depth and sizes, names file and position in its errors,
// and never panics. What was read before an error stays read, and the run is
// then incomplete.
package report

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/backstitch/backstitch/fact"
)

// Reader reads one format of report. A Reader is stateless and safe for
// concurrent use.
type Reader interface {
	// Describe says what the reader is.
	Describe() Description
	// Detect says how sure the reader is that a report is of its format, from
	// the first bytes of the content (at most HeadSize): 0 no, 100 certain.
	Detect(head []byte) int
	// Read reads the whole report and gives every fact to the sink. An error
	// of the sink ends the reading and is returned as it is; an error of the
	// report is an *Error.
	Read(ctx context.Context, in io.Reader, sink Sink) error
}

// Description tells people about a reader; CLI help and docs derive from it.
type Description struct {
	ID      string // path-like, for example "report/trivy"
	Name    string // the tool as its makers write it
	Formats string // what is read, for example "JSON, schema version 2"
	Docs    string // a paragraph of Markdown: how to produce the report, what is read, what is merged
}

// HeadSize is how many bytes of a report Detect sees.
const HeadSize = 64 << 10

// Sink takes what a reader found. Run is called first and may be called again
// when the report holds several runs; what follows belongs to the latest Run.
type Sink interface {
	Run(fact.Run) error
	Finding(fact.Finding) error
	Component(fact.Component) error
	Statement(fact.Statement) error
}

// Error is a fault of a report, with its position.
type Error struct {
	File     string // name of the report, filled in by Read
	Offset   int64  // byte offset, -1 unknown
	Line     int    // 1-based, 0 unknown
	Item     string // place in the document's structure, "" unknown
	Expected string // what was expected there
	Err      error  // the cause, may be nil
}

// Error formats e as file:line (offset): item: expected ...: cause.
func (e *Error) Error() string {
	text := e.File
	if text == "" {
		text = "report"
	}
	if e.Line > 0 {
		text += fmt.Sprintf(":%d", e.Line)
	}
	if e.Offset >= 0 {
		text += fmt.Sprintf(" (byte %d)", e.Offset)
	}
	if e.Item != "" {
		text += ": " + e.Item
	}
	if e.Expected != "" {
		text += ": expected " + e.Expected
	}
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	return text
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// ErrUnknownFormat says that no reader recognises a report.
var ErrUnknownFormat = errors.New("format of the report is not known")
