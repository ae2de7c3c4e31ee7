// Package storetest is the conformance suite of the store: whatever engine
// passes it behaves as the rest of Backstitch expects.
//
//	func TestEngine(t *testing.T) {
//		storetest.Run(t, func(ctx context.Context, name string) (store.Engine, error) {
//			return sqlite.Open(ctx, name)
//		})
//	}
package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/backstitch/backstitch/store"
)

// Open opens the database of that name, creating it with the current schema
// when there is none. Names are paths of files in a temporary folder; an
// engine on a server may take them as names of schemas.
type Open func(ctx context.Context, name string) (store.Engine, error)

const set = `
-- name: put
INSERT INTO asset (id, kind, key, name) VALUES ($1, $2, $3, $4)
-- name: upsert
INSERT INTO asset (id, kind, key, name) VALUES ($1, $2, $3, $4)
ON CONFLICT (kind, key) DO UPDATE SET name = excluded.name WHERE asset.name <> excluded.name
-- name: count
SELECT count(*) FROM asset
-- name: all
SELECT id, kind, key, name FROM asset ORDER BY id
-- name: endless
WITH RECURSIVE steps (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM steps WHERE n < 1000000000) SELECT max(n) FROM steps
-- name: values
SELECT CAST($1 AS BIGINT), CAST($2 AS DOUBLE PRECISION), CAST($3 AS TEXT), CAST($4 AS BIGINT)
-- name: put_flaw
INSERT INTO flaw (id, digest, kind, rule, epss, doc) VALUES ($1, $2, $3, $4, $5, $6)
-- name: flaw
SELECT digest, epss, doc FROM flaw WHERE id = $1
-- name: wrong
SELECT nothing FROM nowhere
`

type suite struct {
	open    Open
	queries *store.Queries
}

// Run runs the whole suite.
func Run(t *testing.T, open Open) {
	s := &suite{open, store.ParseQueries("storetest", set)}
	for _, test := range []struct {
		name string
		run  func(*testing.T)
	}{
		{"a transaction commits all or nothing", s.atomic},
		{"a reader sees one snapshot beside the writer", s.snapshot},
		{"a read transaction cannot write", s.readOnly},
		{"writers wait for each other and lose nothing", s.writers},
		{"values come back as they went in", s.values},
		{"an upsert that changes nothing writes no row", s.upsert},
		{"one statement inserts many rows", s.many},
		{"ids are consecutive, apart, and given back on rollback", s.ids},
		{"opening again keeps everything", s.reopen},
		{"blobs come back whole and in parts", s.blobs},
		{"a cancelled context ends a query and rolls back", s.cancel},
		{"misuse is an error", s.misuse},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t)
		})
	}
	t.Run("queries of the store are in the common subset", func(t *testing.T) {
		CheckQueries(t, open, store.OwnQueries())
	})
}

// CheckQueries holds a package's queries to the common subset and compiles
// every one on the engine.
func CheckQueries(t *testing.T, open Open, queries *store.Queries) {
	t.Helper()
	engine, err := open(t.Context(), filepath.Join(t.TempDir(), "queries.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	if len(queries.All()) == 0 {
		t.Fatal("no query in the set")
	}
	for _, q := range queries.All() {
		if err := q.Check(); err != nil {
			t.Error(err)
		}
		want, _ := q.Parameters()
		if got, err := engine.Prepare(t.Context(), q); err != nil {
			t.Error(err)
		} else if got != want {
			t.Errorf("query %s: the engine counts %d parameters, the text %d", q.Name(), got, want)
		}
	}
}

func (s *suite) engine(t *testing.T) store.Engine {
	t.Helper()
	engine, err := s.open(t.Context(), filepath.Join(t.TempDir(), "store.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return engine
}

func (s *suite) put(ctx context.Context, tx store.Tx, id int64) error {
	_, err := tx.Exec(ctx, s.queries.Named("put"), store.Int(id), store.Text("host"), store.Text(fmt.Sprint("h", id)), store.Text(""))
	return err
}

func (s *suite) count(ctx context.Context, tx store.Tx) (n int64, err error) {
	err = tx.Query(ctx, s.queries.Named("count"), func(row store.Row) error { n = row.Int(0); return nil })
	return n, err
}

func (s *suite) want(t *testing.T, engine store.Engine, want int64) {
	t.Helper()
	err := engine.Read(context.WithoutCancel(t.Context()), func(tx store.Tx) error {
		n, err := s.count(t.Context(), tx)
		if err == nil && n != want {
			t.Errorf("%d rows, want %d", n, want)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

func (s *suite) atomic(t *testing.T) {
	engine, ctx := s.engine(t), t.Context()
	fault := errors.New("fault")
	err := engine.Write(ctx, store.Replayable, func(tx store.Tx) error {
		if err := s.put(ctx, tx, 1); err != nil {
			return err
		}
		return fault
	})
	if !errors.Is(err, fault) {
		t.Errorf("error %v, want the function's own", err)
	}
	s.want(t, engine, 0)
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic was swallowed")
			}
		}()
		_ = engine.Write(ctx, store.Durable, func(tx store.Tx) error {
			if err := s.put(ctx, tx, 1); err != nil {
				t.Error(err)
			}
			panic("fault")
		})
	}()
	s.want(t, engine, 0)
	for i, durability := range []store.Durability{store.Replayable, store.Durable, store.Replayable} {
		if err := engine.Write(ctx, durability, func(tx store.Tx) error { return s.put(ctx, tx, int64(i+1)) }); err != nil {
			t.Error(err)
		}
	}
	s.want(t, engine, 3)
	err = engine.Write(ctx, store.Replayable, func(tx store.Tx) error {
		return errors.Join(s.put(ctx, tx, 4), s.put(ctx, tx, 4))
	})
	if err == nil {
		t.Error("a second row of the same key was taken")
	}
	s.want(t, engine, 3)
}

func (s *suite) snapshot(t *testing.T) {
	engine, ctx := s.engine(t), t.Context()
	err := engine.Read(ctx, func(reader store.Tx) error {
		before, err := s.count(ctx, reader)
		if err != nil {
			return err
		}
		if err := engine.Write(ctx, store.Replayable, func(tx store.Tx) error {
			if err := s.put(ctx, tx, 1); err != nil {
				return err
			}
			// Another reader beside the uncommitted row.
			return engine.Read(ctx, func(other store.Tx) error {
				n, err := s.count(ctx, other)
				if n != 0 {
					t.Errorf("a reader sees %d uncommitted rows", n)
				}
				return err
			})
		}); err != nil {
			return err
		}
		after, err := s.count(ctx, reader)
		if before != after {
			t.Errorf("the snapshot went from %d to %d rows", before, after)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	s.want(t, engine, 1)
}

func (s *suite) readOnly(t *testing.T) {
	engine, ctx := s.engine(t), t.Context()
	err := engine.Read(ctx, func(tx store.Tx) error { return s.put(ctx, tx, 1) })
	if !errors.Is(err, store.ErrReadOnly) {
		t.Errorf("error %v, want ErrReadOnly", err)
	}
	s.want(t, engine, 0)
}

func (s *suite) writers(t *testing.T) {
	engine, ctx := s.engine(t), t.Context()
	const writers, rows = 4, 25
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for r := range rows {
				if err := engine.Write(ctx, store.Replayable, func(tx store.Tx) error { return s.put(ctx, tx, int64(1+w*rows+r)) }); err != nil {
					t.Error(err)
				}
			}
		})
		group.Go(func() {
			last := int64(0)
			for range rows {
				if err := engine.Read(ctx, func(tx store.Tx) error {
					n, err := s.count(ctx, tx)
					if n < last {
						t.Errorf("a reader saw %d rows after %d", n, last)
					}
					last = n
					return err
				}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	s.want(t, engine, writers*rows)
}

func (s *suite) values(t *testing.T) {
	engine, ctx := s.engine(t), t.Context()
	big := int64(math.MaxInt64)
	blob := []byte{0, 1, 2, 0, 255}
	const words = "é\u2028' \"; DROP TABLE asset; --"
	err := engine.Write(ctx, store.Replayable, func(tx store.Tx) error {
		err := tx.Query(ctx, s.queries.Named("values"), func(row store.Row) error {
			if row.Int(0) != big || row.Float(1) != 0.1 || row.Text(2) != words || !row.Null(3) || row.Null(2) || row.Int(3) != 0 {
				t.Errorf("got %d %v %q null %v", row.Int(0), row.Float(1), row.Text(2), row.Null(3))
			}
			return nil
		}, store.Int(big), store.Float(0.1), store.Text(words), store.Null())
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, s.queries.Named("put_flaw"), store.Int(1), store.Blob(blob), store.Text("k"), store.Text(""), store.Float(0.5), store.Text("{}")); err != nil {
			return err
		}
		return tx.Query(ctx, s.queries.Named("flaw"), func(row store.Row) error {
			if got := row.Bytes(0, []byte("x")); !bytes.Equal(got, append([]byte("x"), blob...)) {
				t.Errorf("bytes %v", got)
			}
			return nil
		}, store.Int(1))
	})
	if err != nil {
		t.Error(err)
	}
}

func (s *suite) upsert(t *testing.T) {
	engine, ctx := s.engine(t), t.Context()
	for i, step := range []struct {
		name string
		want int64
	}{{"a", 1}, {"a", 0}, {"b", 1}} {
		err := engine.Write(ctx, store.Replayable, func(tx store.Tx) error {
			n, err := tx.Exec(ctx, s.queries.Named("upsert"), store.Int(int64(i+1)), store.Text("host"), store.Text("h"), store.Text(step.name))
			if n != step.want {
				t.Errorf("step %d wrote %d rows, want %d", i, n, step.want)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
	s.want(t, engine, 1)
}

func (s *suite) many(t *testing.T) {
	engine, ctx := s.engine(t), t.Context()
	put := s.queries.Named("put").Rows(3)
	err := engine.Write(ctx, store.Replayable, func(tx store.Tx) error {
		var args []store.Value
		for i := range 3 {
			args = append(args, store.Int(int64(i)), store.Text("host"), store.Text(fmt.Sprint("h", i)), store.Text("n"))
		}
		n, err := tx.Exec(ctx, put, args...)
		if n != 3 {
			t.Errorf("%d rows were written, want 3", n)
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
	err = engine.Read(ctx, func(tx store.Tx) error {
		n := int64(0)
		return tx.Query(ctx, s.queries.Named("all"), func(row store.Row) error {
			if row.Int(0) != n || row.Text(2) != fmt.Sprint("h", n) {
				t.Errorf("row %d is %d %s", n, row.Int(0), row.Text(2))
			}
			n++
			return nil
		})
	})
	if err != nil {
		t.Error(err)
	}
}

func (s *suite) ids(t *testing.T) {
	engine, ctx := s.engine(t), t.Context()
	reserve := func(name string, n int64, fault error) (first int64) {
		err := engine.Write(ctx, store.Replayable, func(tx store.Tx) (err error) {
			if first, err = store.ReserveIDs(ctx, tx, name, n); err != nil {
				return err
			}
			return fault
		})
		if !errors.Is(err, fault) {
			t.Errorf("error %v, want %v", err, fault)
		}
		return first
	}
	for _, step := range []struct {
		name  string
		n     int64
		fault error
		want  int64
	}{
		{"a", 10, nil, 1}, {"a", 1, nil, 11}, {"b", 5, nil, 1}, {"a", 100, errors.New("fault"), 12}, {"a", 1, nil, 12},
	} {
		if got := reserve(step.name, step.n, step.fault); got != step.want {
			t.Errorf("reserving %d of %s gave %d, want %d", step.n, step.name, got, step.want)
		}
	}
	ids := store.IDs{Sequence: "c", Block: 3}
	var got []int64
	if err := engine.Write(ctx, store.Replayable, func(tx store.Tx) error {
		for n := range 6 {
			if n == 4 {
				ids.Forget()
			}
			id, err := ids.Next(ctx, tx)
			if err != nil {
				return err
			}
			got = append(got, id)
		}
		return nil
	}); err != nil || fmt.Sprint(got) != "[1 2 3 4 7 8]" {
		t.Errorf("ids of blocks %v, %v", got, err)
	}
	if err := engine.Write(ctx, store.Replayable, func(tx store.Tx) error { _, err := store.ReserveIDs(ctx, tx, "a", 0); return err }); err == nil {
		t.Error("a reservation of nothing was taken")
	}
}

func (s *suite) reopen(t *testing.T) {
	ctx, name := t.Context(), filepath.Join(t.TempDir(), "store.db")
	for i := range 3 {
		engine, err := s.open(ctx, name)
		if err != nil {
			t.Fatal(err)
		}
		s.want(t, engine, int64(i))
		if err := engine.Write(ctx, store.Durable, func(tx store.Tx) error { return s.put(ctx, tx, int64(i+1)) }); err != nil {
			t.Error(err)
		}
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
		if err := engine.Read(ctx, func(store.Tx) error { return nil }); err == nil {
			t.Error("a closed engine was read")
		}
	}
}

func (s *suite) blobs(t *testing.T) {
	engine, ctx := s.engine(t), t.Context()
	now := time.UnixMicro(1)
	raw := make([]byte, 11*store.ChunkSize+17)
	for i := range raw {
		raw[i] = byte(i >> 7)
	}
	write := func(data []byte) int64 {
		w, err := store.NewBlobWriter(ctx, engine, now)
		if err != nil {
			t.Fatal(err)
		}
		for part := range chunked(data, 100_001) {
			if n, err := w.Write(part); err != nil || n != len(part) {
				t.Fatalf("wrote %d of %d: %v", n, len(part), err)
			}
		}
		id, err := w.Commit()
		if err != nil {
			t.Fatal(err)
		}
		return id
	}
	id, empty := write(raw), write(nil)
	if again := write(raw); again != id {
		t.Errorf("the same content was stored twice, as %d and %d", id, again)
	}
	err := engine.Read(ctx, func(tx store.Tx) error {
		for _, part := range [][2]int64{{0, -1}, {0, 5}, {store.ChunkSize - 3, 7}, {int64(len(raw)) - 1, 100}, {int64(len(raw)), 1}} {
			end := int64(len(raw))
			if part[1] >= 0 {
				end = min(end, part[0]+part[1])
			}
			got, err := store.ReadBlob(ctx, tx, id, part[0], part[1])
			if err != nil {
				return err
			}
			if !bytes.Equal(got, raw[part[0]:end]) {
				t.Errorf("part %v: %d bytes differ from what was written", part, len(got))
			}
		}
		if got, err := store.ReadBlob(ctx, tx, empty, 0, -1); err != nil || len(got) != 0 {
			t.Errorf("the empty blob gave %d bytes, %v", len(got), err)
		}
		if _, err := store.ReadBlob(ctx, tx, 999, 0, -1); !errors.Is(err, store.ErrNotFound) {
			t.Errorf("error %v for no such blob, want ErrNotFound", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	w, err := store.NewBlobWriter(ctx, engine, now)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Abort(); err != nil {
		t.Error(err)
	}
}

func chunked(data []byte, size int) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for len(data) > 0 {
			n := min(size, len(data))
			if !yield(data[:n]) {
				return
			}
			data = data[n:]
		}
	}
}

func (s *suite) cancel(t *testing.T) {
	engine := s.engine(t)
	ctx, cancel := context.WithCancel(t.Context())
	begun := make(chan struct{})
	go func() {
		<-begun
		cancel()
	}()
	err := engine.Write(ctx, store.Replayable, func(tx store.Tx) error {
		if err := s.put(ctx, tx, 1); err != nil {
			return err
		}
		close(begun)
		return tx.Query(ctx, s.queries.Named("endless"), func(store.Row) error { return nil })
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	s.want(t, engine, 0)
	if err := engine.Read(ctx, func(store.Tx) error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
	if err := engine.Write(context.WithoutCancel(ctx), store.Replayable, func(tx store.Tx) error {
		return s.put(context.WithoutCancel(ctx), tx, 1)
	}); err != nil {
		t.Errorf("after a cancelled transaction: %v", err)
	}
}

func (s *suite) misuse(t *testing.T) {
	engine, ctx := s.engine(t), t.Context()
	nothing := func(store.Row) error { return nil }
	var kept store.Tx
	err := engine.Write(ctx, store.Replayable, func(tx store.Tx) error {
		kept = tx
		if err := tx.Query(ctx, s.queries.Named("wrong"), nothing); err == nil {
			t.Error("a query of no table was run")
		}
		if err := tx.Query(ctx, s.queries.Named("count"), nothing, store.Int(1)); err == nil {
			t.Error("an argument too many was taken")
		}
		if err := s.put(ctx, tx, 1); err != nil {
			return err
		}
		all := s.queries.Named("all")
		if err := tx.Query(ctx, all, func(store.Row) error { return tx.Query(ctx, all, nothing) }); err == nil {
			t.Error("a query was run inside its own rows")
		}
		fault := errors.New("fault")
		if err := tx.Query(ctx, all, func(store.Row) error { return fault }); !errors.Is(err, fault) {
			t.Errorf("error %v, want the row function's own", err)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
	if err := kept.Query(ctx, s.queries.Named("count"), nothing); err == nil {
		t.Error("a transaction was used after its end")
	}
}
