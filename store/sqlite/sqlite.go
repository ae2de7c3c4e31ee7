// Package sqlite is the store's engine on one SQLite file.
//
// It runs modernc.org/sqlite (SQLite in pure Go) through the low-level API of
// zombiezen.com/go/sqlite: one writer connection and a few readers, in WAL
// mode. Each write transaction sets synchronous to NORMAL or FULL before it
// begins, according to its durability. Only the owner can read the file: it
// holds a map of what is vulnerable.
package sqlite

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"zombiezen.com/go/sqlite"

	"github.com/backstitch/backstitch/store"
)

// minimum is the oldest SQLite that is accepted: older ones can lose data in
// WAL mode when several connections checkpoint at once.
const minimum = "3.51.3"

// applicationID marks a SQLite file as ours ("BStc").
const applicationID = 0x42537463

// Options change how a database is opened. Zero values mean the defaults.
type Options struct {
	Readers     int           // connections for reading, default 4
	BusyTimeout time.Duration // how long to wait for a writer of another process, default 5 s
	// Version is the version of the SQLite in use; default: ask it.
	Version string
	// Migrations is the schema; default store.Migrations.
	Migrations []store.Migration
}

var dialect = store.Dialect{
	ID: "INTEGER", Int: "INTEGER", Real: "REAL", Text: "TEXT", Blob: "BLOB", JSON: "TEXT", Time: "INTEGER",
	Table: "STRICT", Clustered: "STRICT, WITHOUT ROWID",
}

type engine struct {
	path    string
	writer  chan *connection
	readers chan *connection
	size    int // readers
	opened  int // connections to close
	closed  chan struct{}
	closing sync.Once
}

type connection struct {
	*sqlite.Conn
	full bool // synchronous is FULL
	// compiled are the statements of queries. Conn keeps its own by their text,
	// whose hash costs as much as a short insert.
	compiled map[*store.Query]*sqlite.Stmt
}

// Open opens the database file at path, creating it when there is none, and
// brings its schema up to date.
func Open(ctx context.Context, path string) (store.Engine, error) {
	return OpenWith(ctx, path, Options{})
}

// OpenWith is Open with options.
func OpenWith(ctx context.Context, path string, options Options) (store.Engine, error) {
	if options.Readers <= 0 {
		options.Readers = 4
	}
	if options.BusyTimeout <= 0 {
		options.BusyTimeout = 5 * time.Second
	}
	if options.Migrations == nil {
		migrations, err := store.Migrations()
		if err != nil {
			return nil, err
		}
		options.Migrations = migrations
	}
	e := &engine{path: path, writer: make(chan *connection, 1), readers: make(chan *connection, options.Readers), size: options.Readers, closed: make(chan struct{})}
	if err := e.open(ctx, options); err != nil {
		return nil, errors.Join(err, e.closeAll())
	}
	return e, nil
}

func (e *engine) open(ctx context.Context, options Options) error {
	// Created here for its mode; SQLite gives its side files the same.
	file, err := os.OpenFile(e.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	if err := file.Close(); err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	writer, err := e.connect(options.BusyTimeout, -32<<10)
	if err != nil {
		return err
	}
	e.writer <- writer
	e.opened++
	version := options.Version
	if version == "" {
		if version, err = text(writer.Conn, "SELECT sqlite_version()"); err != nil {
			return e.explain(err)
		}
	}
	if !atLeast(version, minimum) {
		return fmt.Errorf("%s: %w: SQLite %s, need %s or newer", e.path, store.ErrOldEngine, version, minimum)
	}
	if err := e.migrate(ctx, options.Migrations); err != nil {
		return err
	}
	for range e.size {
		reader, err := e.connect(options.BusyTimeout, -8<<10)
		if err != nil {
			return err
		}
		e.readers <- reader
		e.opened++
		if err := run(reader.Conn, "PRAGMA query_only = 1"); err != nil {
			return e.explain(err)
		}
	}
	return nil
}

// connect opens a connection; cache is SQLite's cache_size, negative in KiB.
func (e *engine) connect(busy time.Duration, cache int) (*connection, error) {
	name, err := filepath.Abs(e.path)
	if err != nil {
		return nil, fmt.Errorf("open database: %w", err)
	}
	conn, err := sqlite.OpenConn(name, sqlite.OpenReadWrite)
	if err != nil {
		return nil, e.explain(err)
	}
	conn.SetBusyTimeout(busy)
	// Not conn.SetDefensive: zombiezen 1.4.2 gives SQLite one argument of two
	// there, and SQLite then writes through what lies behind it.
	for _, pragma := range []string{
		"page_size = 16384", "journal_mode = WAL", "synchronous = NORMAL", "wal_autocheckpoint = 4000",
		"cache_size = " + strconv.Itoa(cache), "temp_store = MEMORY", "trusted_schema = OFF", "foreign_keys = ON",
	} {
		if err == nil {
			err = run(conn, "PRAGMA "+pragma)
		}
	}
	if err != nil {
		return nil, errors.Join(e.explain(err), conn.Close())
	}
	return &connection{Conn: conn, compiled: map[*store.Query]*sqlite.Stmt{}}, nil
}

// explain adds the file, and names the cases that a person can act on.
func (e *engine) explain(err error) error {
	switch sqlite.ErrCode(err).ToPrimary() {
	case sqlite.ResultBusy, sqlite.ResultLocked:
		return fmt.Errorf("%s: %w: %w; wait for it to end or use another --state folder", e.path, store.ErrBusy, err)
	case sqlite.ResultNotADB:
		return fmt.Errorf("%s: %w: %w", e.path, store.ErrForeign, err)
	}
	return fmt.Errorf("%s: %w", e.path, err)
}

func (e *engine) migrate(ctx context.Context, migrations []store.Migration) error {
	conn := <-e.writer
	defer func() { e.writer <- conn }()
	mark, err := text(conn.Conn, "PRAGMA application_id")
	if err != nil {
		return e.explain(err)
	}
	tables, err := text(conn.Conn, "SELECT count(*) FROM sqlite_schema")
	if err != nil {
		return e.explain(err)
	}
	if mark != strconv.Itoa(applicationID) && tables != "0" {
		return fmt.Errorf("%s: %w", e.path, store.ErrForeign)
	}
	if done, err := e.applied(conn.Conn, migrations); err != nil || done == len(migrations) {
		return err
	}
	return e.transact(ctx, conn, "BEGIN IMMEDIATE", func(tx *transaction) error {
		if err := run(conn.Conn, "PRAGMA application_id = "+strconv.Itoa(applicationID)); err != nil {
			return err
		}
		if err := run(conn.Conn, "CREATE TABLE IF NOT EXISTS schema_step (version INTEGER PRIMARY KEY, name TEXT NOT NULL, digest TEXT NOT NULL) STRICT"); err != nil {
			return err
		}
		// Again inside the transaction: another process may have been faster.
		done, err := e.applied(conn.Conn, migrations)
		if err != nil {
			return err
		}
		for _, step := range migrations[done:] {
			statements, err := step.Statements(dialect)
			if err != nil {
				return err
			}
			statements = append(statements, fmt.Sprintf("INSERT INTO schema_step VALUES (%d, '%s', '%s')", step.Version, step.Name, step.Digest))
			for _, statement := range statements {
				if err := run(conn.Conn, statement); err != nil {
					return fmt.Errorf("migration %04d_%s: %w", step.Version, step.Name, err)
				}
			}
		}
		return nil
	})
}

// applied counts the steps that the database has had, and fails when they are
// not the first of migrations.
func (e *engine) applied(conn *sqlite.Conn, migrations []store.Migration) (int, error) {
	exists, err := text(conn, "SELECT count(*) FROM sqlite_schema WHERE name = 'schema_step'")
	if err != nil || exists == "0" {
		return 0, err
	}
	stmt, _, err := conn.PrepareTransient("SELECT version, digest, name FROM schema_step ORDER BY version")
	if err != nil {
		return 0, e.explain(err)
	}
	defer stmt.Finalize()
	done := 0
	for {
		more, err := stmt.Step()
		if err != nil {
			return 0, e.explain(err)
		}
		if !more {
			return done, nil
		}
		version := int(stmt.ColumnInt64(0))
		if version > len(migrations) {
			return 0, fmt.Errorf("%s: %w: its schema is at step %d (%s), this program knows %d; use a newer backstitch",
				e.path, store.ErrNewerSchema, version, stmt.ColumnText(2), len(migrations))
		}
		if migrations[version-1].Digest != stmt.ColumnText(1) {
			return 0, fmt.Errorf("%s: %w: step %d of its schema is another one than this program's", e.path, store.ErrNewerSchema, version)
		}
		done = version
	}
}

// Read implements store.Engine.
func (e *engine) Read(ctx context.Context, fn func(store.Tx) error) error {
	conn, err := e.acquire(ctx, e.readers)
	if err != nil {
		return err
	}
	defer func() { e.readers <- conn }()
	return e.transact(ctx, conn, "BEGIN", func(tx *transaction) error {
		tx.readOnly = true
		return fn(tx)
	})
}

// Write implements store.Engine.
func (e *engine) Write(ctx context.Context, durability store.Durability, fn func(store.Tx) error) error {
	conn, err := e.acquire(ctx, e.writer)
	if err != nil {
		return err
	}
	defer func() { e.writer <- conn }()
	if full := durability == store.Durable; full != conn.full {
		level := "NORMAL"
		if full {
			level = "FULL"
		}
		if err := run(conn.Conn, "PRAGMA synchronous = "+level); err != nil {
			return e.explain(err)
		}
		conn.full = full
	}
	return e.transact(ctx, conn, "BEGIN IMMEDIATE", func(tx *transaction) error { return fn(tx) })
}

// transact runs fn between begin and COMMIT, or ROLLBACK when it fails or
// panics.
func (e *engine) transact(ctx context.Context, conn *connection, begin string, fn func(*transaction) error) (err error) {
	conn.SetInterrupt(ctx.Done())
	defer conn.SetInterrupt(nil)
	if err := run(conn.Conn, begin); err != nil {
		return cancelled(ctx, e.explain(err))
	}
	tx := &transaction{engine: e, conn: conn}
	committed := false
	defer func() {
		tx.conn = nil
		if committed {
			return
		}
		conn.SetInterrupt(nil)
		if !conn.AutocommitEnabled() {
			err = errors.Join(err, run(conn.Conn, "ROLLBACK"))
		}
	}()
	if err := fn(tx); err != nil {
		return cancelled(ctx, err)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := run(conn.Conn, "COMMIT"); err != nil {
		return cancelled(ctx, e.explain(err))
	}
	committed = true
	return nil
}

// cancelled gives the context's error for an interruption that it caused.
func cancelled(ctx context.Context, err error) error {
	if ctx.Err() != nil && sqlite.ErrCode(err).ToPrimary() == sqlite.ResultInterrupt {
		return ctx.Err()
	}
	return err
}

// Prepare implements store.Engine.
func (e *engine) Prepare(ctx context.Context, query *store.Query) (int, error) {
	conn, err := e.acquire(ctx, e.writer)
	if err != nil {
		return 0, err
	}
	defer func() { e.writer <- conn }()
	stmt, trailing, err := conn.PrepareTransient(query.SQL())
	if err != nil {
		return 0, fmt.Errorf("query %s: %w", query.Name(), err)
	}
	defer stmt.Finalize()
	if trailing > 0 {
		return 0, fmt.Errorf("query %s: more than one statement", query.Name())
	}
	return stmt.BindParamCount(), nil
}

// Copy writes all that a database of this package holds, as of one moment, to a file that
// is not there yet.
func Copy(ctx context.Context, from store.Engine, path string) error {
	e, ok := from.(*engine)
	if !ok {
		return fmt.Errorf("copy of a database to %s: expected one of SQLite", path)
	}
	conn, err := e.connect(time.Second, -8<<10) // readers may not write, wherever to
	if err != nil {
		return err
	}
	conn.SetInterrupt(ctx.Done())
	err = run(conn.Conn, "VACUUM INTO '"+strings.ReplaceAll(path, "'", "''")+"'")
	if err != nil {
		err = cancelled(ctx, e.explain(err))
	}
	return errors.Join(err, conn.Close())
}

// Close implements store.Engine.
func (e *engine) Close() error { return e.closeAll() }

func (e *engine) closeAll() error {
	e.closing.Do(func() { close(e.closed) })
	var errs []error
	for range e.opened {
		select {
		case conn := <-e.writer:
			errs = append(errs, conn.Close())
		case conn := <-e.readers:
			errs = append(errs, conn.Close())
		}
	}
	e.opened = 0
	return errors.Join(errs...)
}

func (e *engine) acquire(ctx context.Context, from chan *connection) (*connection, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	select {
	case <-e.closed:
		return nil, fmt.Errorf("%s: database is closed", e.path)
	default:
	}
	select {
	case conn := <-from:
		return conn, nil
	case <-e.closed:
		return nil, fmt.Errorf("%s: database is closed", e.path)
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// run executes one statement of the engine's own and drops its rows.
func run(conn *sqlite.Conn, statement string) error {
	stmt, _, err := conn.PrepareTransient(statement)
	if err != nil {
		return err
	}
	for {
		more, err := stmt.Step()
		if err != nil {
			return errors.Join(err, stmt.Finalize())
		}
		if !more {
			return stmt.Finalize()
		}
	}
}

// text gives the first column of the first row of a statement.
func text(conn *sqlite.Conn, statement string) (string, error) {
	stmt, _, err := conn.PrepareTransient(statement)
	if err != nil {
		return "", err
	}
	defer stmt.Finalize()
	if _, err := stmt.Step(); err != nil {
		return "", err
	}
	return stmt.ColumnText(0), nil
}

// atLeast compares dotted version numbers.
func atLeast(version, least string) bool {
	have, want := strings.Split(version, "."), strings.Split(least, ".")
	for i := range want {
		if i >= len(have) {
			return false
		}
		a, errA := strconv.Atoi(have[i])
		b, errB := strconv.Atoi(want[i])
		if errA != nil || errB != nil {
			return false
		}
		if a != b {
			return a > b
		}
	}
	return true
}
