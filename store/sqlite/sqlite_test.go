package sqlite_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	zombiezen "zombiezen.com/go/sqlite"
	"zombiezen.com/go/sqlite/sqlitex"

	"github.com/backstitch/backstitch/store"
	"github.com/backstitch/backstitch/store/sqlite"
	"github.com/backstitch/backstitch/store/storetest"
)

func TestEngineConforms(t *testing.T) {
	storetest.Run(t, sqlite.Open)
}

func TestAnOldSQLiteIsRefused(t *testing.T) {
	t.Parallel()
	for version, refused := range map[string]bool{
		"3.51.2": true, "3.8.9": true, "2.99.99": true, "": false, "3.51": true, "x": true,
		"3.51.3": false, "3.54.1": false, "4.0.0": false, "3.100.0": false,
	} {
		engine, err := sqlite.OpenWith(t.Context(), filepath.Join(t.TempDir(), "a.db"), sqlite.Options{Version: version})
		if got := errors.Is(err, store.ErrOldEngine); got != refused {
			t.Errorf("SQLite %q refused %v, want %v (%v)", version, got, refused, err)
		}
		if engine != nil {
			engine.Close()
		}
	}
}

func TestOnlyTheOwnerCanReadTheDatabase(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "a.db")
	engine, err := sqlite.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	for _, file := range []string{name, name + "-wal"} {
		info, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", filepath.Base(file), info.Mode())
		}
	}
}

func TestACopyHoldsAllAndGoesItsOwnWay(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	engine, err := sqlite.Open(t.Context(), filepath.Join(folder, "a.db"))
	if err != nil {
		t.Fatal(err)
	}
	defer engine.Close()
	next := func(e store.Engine) (first int64) {
		t.Helper()
		if err := e.Write(t.Context(), store.Replayable, func(tx store.Tx) (err error) {
			first, err = store.ReserveIDs(t.Context(), tx, "test", 10)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		return first
	}
	was := next(engine)
	name := filepath.Join(folder, "it's a copy.db")
	if err := sqlite.Copy(t.Context(), engine, name); err != nil {
		t.Fatal(err)
	}
	if err := sqlite.Copy(t.Context(), engine, name); err == nil {
		t.Error("a copy was written over another file")
	}
	other, err := sqlite.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if got := next(other); got != was+10 {
		t.Errorf("the copy goes on at %d, want %d", got, was+10)
	}
	if got := next(engine); got != was+10 {
		t.Errorf("the first goes on at %d, want %d", got, was+10)
	}
}

func TestAFileThatIsNoDatabaseOfOursIsRefused(t *testing.T) {
	t.Parallel()
	text := filepath.Join(t.TempDir(), "text.db")
	if err := os.WriteFile(text, []byte(strings.Repeat("not a database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(t.TempDir(), "other.db")
	script(t, other, "CREATE TABLE theirs (a)")
	for _, name := range []string{text, other} {
		before, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := sqlite.Open(t.Context(), name); !errors.Is(err, store.ErrForeign) {
			t.Errorf("%s: error %v, want ErrForeign", filepath.Base(name), err)
		}
		if name == text {
			after, err := os.ReadFile(name)
			if err != nil || string(after) != string(before) {
				t.Errorf("the file was changed (%v)", err)
			}
		}
	}
}

func TestASecondWriterIsToldWhoIsInTheWay(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "a.db")
	first, err := sqlite.Open(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	defer first.Close()
	second, err := sqlite.OpenWith(t.Context(), name, sqlite.Options{BusyTimeout: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer second.Close()
	nothing := func(store.Tx) error { return nil }
	err = first.Write(t.Context(), store.Replayable, func(store.Tx) error {
		err := second.Write(t.Context(), store.Replayable, nothing)
		if !errors.Is(err, store.ErrBusy) || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want ErrBusy with the file's name", err)
		}
		return second.Read(t.Context(), nothing)
	})
	if err != nil {
		t.Error(err)
	}
	if err := second.Write(t.Context(), store.Durable, nothing); err != nil {
		t.Errorf("after the first writer: %v", err)
	}
}

func TestADatabaseOfANewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	for statement, want := range map[string]string{
		"INSERT INTO schema_step VALUES (9999, 'later', 'x')": "step 9999 (later)",
		"UPDATE schema_step SET digest = 'x'":                 "another one",
	} {
		name := filepath.Join(t.TempDir(), "a.db")
		engine, err := sqlite.Open(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if err := engine.Close(); err != nil {
			t.Fatal(err)
		}
		script(t, name, statement)
		_, err = sqlite.Open(t.Context(), name)
		if !errors.Is(err, store.ErrNewerSchema) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want ErrNewerSchema with %q", err, want)
		}
	}
}

func TestEveryReleasedSchemaUpgradesToTheSameTables(t *testing.T) {
	t.Parallel()
	fresh := filepath.Join(t.TempDir(), "fresh.db")
	open(t, fresh)
	want := schema(t, fresh)
	fixtures, err := filepath.Glob("testdata/schema-v*.sql")
	if err != nil || len(fixtures) == 0 {
		t.Fatalf("no schema fixtures (%v)", err)
	}
	for _, fixture := range fixtures {
		text, err := os.ReadFile(fixture)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Join(t.TempDir(), "old.db")
		script(t, name, string(text))
		rows := count(t, name, "SELECT count(*) FROM finding")
		if rows == 0 {
			t.Errorf("%s holds no finding, so it shows nothing", fixture)
		}
		open(t, name)
		open(t, name)
		if got := schema(t, name); got != want {
			t.Errorf("%s upgrades to\n%s\nwant\n%s", fixture, got, want)
		}
		if got := count(t, name, "SELECT count(*) FROM finding"); got != rows {
			t.Errorf("%s: %d findings after the upgrade, want %d", fixture, got, rows)
		}
	}
}

func TestAFailedMigrationLeavesTheDatabaseAsItWas(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "a.db")
	open(t, name)
	before := schema(t, name)
	good, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	bad, err := store.ReadMigrations(os.DirFS("testdata"), "bad")
	if err != nil {
		t.Fatal(err)
	}
	bad[0].Version = len(good) + 1
	_, err = sqlite.OpenWith(t.Context(), name, sqlite.Options{Migrations: append(good, bad...)})
	if err == nil || !strings.Contains(err.Error(), "half") {
		t.Errorf("error %v, want one that names the step", err)
	}
	if after := schema(t, name); after != before {
		t.Errorf("the schema is now\n%s", after)
	}
	open(t, name)
}

func open(t *testing.T, name string) {
	t.Helper()
	engine, err := sqlite.Open(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	if err := engine.Close(); err != nil {
		t.Fatal(err)
	}
}

func script(t *testing.T, name, statements string) {
	t.Helper()
	conn, err := zombiezen.OpenConn(name, zombiezen.OpenReadWrite, zombiezen.OpenCreate)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := sqlitex.ExecuteScript(conn, statements, nil); err != nil {
		t.Fatal(err)
	}
}

func schema(t *testing.T, name string) string {
	t.Helper()
	var list []string
	query(t, name, "SELECT type || ' ' || name || ' ' || coalesce(sql, '') FROM sqlite_schema ORDER BY type, name", func(stmt *zombiezen.Stmt) {
		list = append(list, strings.Join(strings.Fields(stmt.ColumnText(0)), " "))
	})
	return strings.Join(list, "\n")
}

func count(t *testing.T, name, statement string) int {
	t.Helper()
	n := 0
	query(t, name, statement, func(stmt *zombiezen.Stmt) { n = stmt.ColumnInt(0) })
	return n
}

func query(t *testing.T, name, statement string, row func(*zombiezen.Stmt)) {
	t.Helper()
	conn, err := zombiezen.OpenConn(name, zombiezen.OpenReadWrite)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := sqlitex.ExecuteTransient(conn, statement, &sqlitex.ExecOptions{ResultFunc: func(stmt *zombiezen.Stmt) error {
		row(stmt)
		return nil
	}}); err != nil {
		t.Fatal(err)
	}
}
