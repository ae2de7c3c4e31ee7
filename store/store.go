// Package store keeps what Backstitch knows: transactions, migrations, ids,
// blobs, and a small layer over plain SQL.
//
// It is not an ORM. A domain package keeps its SQL in a file of named queries
// (ParseQueries), written in the subset that SQLite and PostgreSQL both accept;
// CheckQueries and the conformance suite in store/storetest hold every query to
// it. An Engine runs them: one writer at a time, readers beside it that each see
// one snapshot. The schema is one list of forward-only migrations.
//
// Times are BIGINT microseconds since 1970 UTC. Ids are integers made by the
// application in reserved blocks (IDs), never by the database, so that rows can
// be prepared before they are written and engines without sequences can follow.
package store

import (
	"context"
	"errors"
	"math"
)

// Engine is one open database. It is safe for concurrent use.
type Engine interface {
	// Read runs fn in a transaction that sees one snapshot and cannot write.
	Read(ctx context.Context, fn func(Tx) error) error
	// Write runs fn in the one write transaction. It commits when fn returns
	// nil and rolls back when fn fails or panics, or ctx ends. It returns
	// ErrBusy when another process holds the writer for too long.
	Write(ctx context.Context, durability Durability, fn func(Tx) error) error
	// Prepare compiles a query without running it and returns how many
	// parameters it takes.
	Prepare(ctx context.Context, query *Query) (parameters int, err error)
	// Close waits for running transactions and releases the database.
	Close() error
}

// Durability says what a commit survives.
type Durability int

const (
	// Replayable commits survive a crash of the process; a power cut may take
	// the latest ones back. It is meant for what scanners said, which can be
	// imported again.
	Replayable Durability = iota
	// Durable commits survive a power cut. It is meant for decisions of people,
	// audit and workflow state.
	Durable
)

// Tx is a transaction. It belongs to one goroutine and ends with the function
// that it was given to.
type Tx interface {
	// Query runs query and gives every row to row, in order; an error of row
	// ends it and is returned. Row is valid only during the call. A query must
	// not be run again from inside its own row function.
	Query(ctx context.Context, query *Query, row func(Row) error, args ...Value) error
	// Exec runs query and returns how many rows it wrote.
	Exec(ctx context.Context, query *Query, args ...Value) (changed int64, err error)
}

// Row is the current row of a query. Columns count from 0; a NULL reads as the
// zero value.
type Row interface {
	Int(column int) int64
	Float(column int) float64
	Text(column int) string
	// Bytes appends the column's bytes to buf.
	Bytes(column int, buf []byte) []byte
	Null(column int) bool
}

// Errors of engines. They are wrapped with the database's name and what to do.
var (
	ErrBusy        = errors.New("another process is writing to the database")
	ErrNewerSchema = errors.New("database was written by a newer version of Backstitch")
	ErrForeign     = errors.New("file is not a Backstitch database")
	ErrOldEngine   = errors.New("database engine is too old")
	ErrNotFound    = errors.New("not found")
	ErrReadOnly    = errors.New("transaction is read-only")
)

// ValueKind is the type of a Value.
type ValueKind uint8

// Types of a Value.
const (
	KindNull ValueKind = iota
	KindInt
	KindFloat
	KindText
	KindBlob
)

// Value is one argument of a query. Only the types that every engine has exist.
type Value struct {
	kind ValueKind
	num  uint64
	text string
	blob []byte
}

// Null is SQL's NULL.
func Null() Value { return Value{} }

// Int is an integer.
func Int(v int64) Value { return Value{kind: KindInt, num: uint64(v)} }

// Bool is the integer 1 or 0.
func Bool(v bool) Value {
	if v {
		return Int(1)
	}
	return Int(0)
}

// Float is a floating-point number.
func Float(v float64) Value { return Value{kind: KindFloat, num: math.Float64bits(v)} }

// Text is a string.
func Text(v string) Value { return Value{kind: KindText, text: v} }

// Blob is a byte string. The bytes must not change until the query has run.
func Blob(v []byte) Value { return Value{kind: KindBlob, blob: v} }

// Kind returns the type of v.
func (v Value) Kind() ValueKind { return v.kind }

// AsInt returns the integer of a KindInt.
func (v Value) AsInt() int64 { return int64(v.num) }

// AsFloat returns the number of a KindFloat.
func (v Value) AsFloat() float64 { return math.Float64frombits(v.num) }

// AsText returns the string of a KindText.
func (v Value) AsText() string { return v.text }

// AsBlob returns the bytes of a KindBlob.
func (v Value) AsBlob() []byte { return v.blob }
