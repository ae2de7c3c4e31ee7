package sqlite

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"zombiezen.com/go/sqlite"

	"github.com/backstitch/backstitch/store"
)

type transaction struct {
	engine   *engine
	conn     *connection // nil once the transaction has ended
	readOnly bool
	running  []*store.Query // queries whose rows are being given out
}

var errEnded = errors.New("the transaction has ended")

// prepare compiles a query, once a connection, and binds its arguments.
func (t *transaction) prepare(query *store.Query, args []store.Value) (*sqlite.Stmt, error) {
	if t.conn == nil {
		return nil, fmt.Errorf("query %s: %w", query.Name(), errEnded)
	}
	if slices.Contains(t.running, query) {
		return nil, fmt.Errorf("query %s: run again inside its own rows", query.Name())
	}
	stmt := t.conn.compiled[query]
	if stmt == nil {
		var err error
		if stmt, err = t.conn.Prepare(query.SQL()); err != nil {
			return nil, t.fail(query, err)
		}
		t.conn.compiled[query] = stmt
	} else if err := stmt.Reset(); err != nil {
		return nil, t.fail(query, err)
	}
	if want := stmt.BindParamCount(); len(args) != want {
		return nil, fmt.Errorf("query %s: %d arguments, expected %d", query.Name(), len(args), want)
	}
	for i := range args {
		switch a := &args[i]; a.Kind() {
		case store.KindNull:
			stmt.BindNull(i + 1)
		case store.KindInt:
			stmt.BindInt64(i+1, a.AsInt())
		case store.KindFloat:
			stmt.BindFloat(i+1, a.AsFloat())
		case store.KindText:
			stmt.BindText(i+1, a.AsText())
		case store.KindBlob:
			stmt.BindBytes(i+1, a.AsBlob())
		}
	}
	return stmt, nil
}

func (t *transaction) fail(query *store.Query, err error) error {
	if t.readOnly && sqlite.ErrCode(err).ToPrimary() == sqlite.ResultReadOnly {
		err = fmt.Errorf("%w: %w", store.ErrReadOnly, err)
	}
	return fmt.Errorf("query %s: %w", query.Name(), t.engine.explain(err))
}

// Query implements store.Tx.
func (t *transaction) Query(ctx context.Context, query *store.Query, row func(store.Row) error, args ...store.Value) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	stmt, err := t.prepare(query, args)
	if err != nil {
		return err
	}
	t.running = append(t.running, query)
	defer func() { t.running = t.running[:len(t.running)-1] }()
	for {
		more, err := stmt.Step()
		if err != nil {
			return t.fail(query, err)
		}
		if !more {
			return nil
		}
		if err := row(current{stmt}); err != nil {
			return errors.Join(err, stmt.Reset())
		}
	}
}

// Exec implements store.Tx.
func (t *transaction) Exec(ctx context.Context, query *store.Query, args ...store.Value) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	stmt, err := t.prepare(query, args)
	if err != nil {
		return 0, err
	}
	for {
		more, err := stmt.Step()
		if err != nil {
			return 0, t.fail(query, err)
		}
		if !more {
			return int64(t.conn.Changes()), nil
		}
	}
}

type current struct{ stmt *sqlite.Stmt }

func (c current) Int(column int) int64     { return c.stmt.ColumnInt64(column) }
func (c current) Float(column int) float64 { return c.stmt.ColumnFloat(column) }
func (c current) Text(column int) string   { return c.stmt.ColumnText(column) }
func (c current) Null(column int) bool     { return c.stmt.ColumnIsNull(column) }

func (c current) Bytes(column int, buf []byte) []byte {
	n, size := len(buf), c.stmt.ColumnLen(column)
	if cap(buf)-n < size {
		buf = append(buf, make([]byte, size)...)
	}
	buf = buf[:n+size]
	c.stmt.ColumnBytes(column, buf[n:])
	return buf
}
