package store_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/store"
)

func TestQueriesAreReadByName(t *testing.T) {
	t.Parallel()
	queries := store.ParseQueries("set", "-- a comment\n\n-- name: one\n-- why\nSELECT 1\n  FROM a;\n-- name: two\nSELECT 2\n")
	var got []string
	for _, q := range queries.All() {
		got = append(got, q.Name()+": "+q.SQL())
	}
	if diff := cmp.Diff([]string{"set.one: SELECT 1\n  FROM a", "set.two: SELECT 2"}, got); diff != "" {
		t.Error(diff)
	}
	if queries.Named("two") != queries.All()[1] {
		t.Error("a query is not found by its name")
	}
	for name, wrong := range map[string]func(){
		"twice":     func() { store.ParseQueries("set", "-- name: a\nSELECT 1\n-- name: a\nSELECT 1") },
		"name less": func() { store.ParseQueries("set", "SELECT 1") },
		"unknown":   func() { queries.Named("three") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			wrong()
		}()
	}
}

func TestOnlyTheCommonSubsetIsAccepted(t *testing.T) {
	t.Parallel()
	for _, sql := range []string{
		"SELECT a FROM b WHERE c = $1 AND d = $2 OR c = $1",
		"INSERT INTO a (b) VALUES ($1) ON CONFLICT (b) DO UPDATE SET c = excluded.c WHERE a.c <> excluded.c RETURNING b",
		"SELECT '::? [now()] $9' FROM a WHERE b = 'it''s' AND c ->> 'd' = $1",
		"SELECT a FROM b WHERE renewed = 1 AND known = 2 LIMIT $1 OFFSET $2",
		"WITH RECURSIVE a (n) AS (SELECT 1) SELECT count(*) FILTER (WHERE n > 1) FROM a",
	} {
		if err := check(sql); err != nil {
			t.Errorf("%s: %v", sql, err)
		}
	}
	for _, sql := range []string{
		"SELECT now()", "SELECT current_timestamp", "SELECT datetime('now')", "SELECT a FROM b WHERE c ILIKE 'x'", "SELECT a::text FROM b",
		"SELECT rowid FROM a", "SELECT _rowid_ FROM a", "INSERT OR REPLACE INTO a VALUES (1)", "INSERT OR IGNORE INTO a VALUES (1)", "REPLACE INTO a VALUES (1)",
		"SELECT ifnull(a, 1) FROM b", "SELECT a FROM b WHERE c = ?", "SELECT a FROM b WHERE c = ?1", "SELECT a FROM b WHERE c = :x", "SELECT a FROM b WHERE c = @x",
		"SELECT [a] FROM b", "SELECT `a` FROM b", "SELECT a FROM b WHERE c == 1", "SELECT 1; SELECT 2", "SELECT a FROM b LIMIT 1, 2", "SELECT random()",
		"SELECT a FROM b WHERE c = $2 AND d = $1", "SELECT a FROM b WHERE c = $2", "SELECT a FROM b WHERE c = $0", "CREATE TABLE a (b)", "PRAGMA user_version",
		"SELECT group_concat(a) FROM b", "DELETE FROM a WHERE b GLOB 'x'",
	} {
		if err := check(sql); err == nil {
			t.Errorf("accepted: %s", sql)
		} else if !strings.Contains(err.Error(), "set.q") {
			t.Errorf("%s: the error does not name the query: %v", sql, err)
		}
	}
}

func check(sql string) error {
	for _, q := range store.ParseQueries("set", "-- name: q\n"+sql).All() {
		return q.Check()
	}
	return nil
}

func TestAnInsertIsWidenedToManyRows(t *testing.T) {
	t.Parallel()
	many := store.ParseQueries("set", "-- name: q\nINSERT INTO a (b, c, d)\nVALUES ($1, $2, $2)").Named("q").Rows(3)
	want := "INSERT INTO a (b, c, d)\nVALUES ($1, $2, $2),\n($3, $4, $4),\n($5, $6, $6)"
	if many.SQL() != want || many.Check() != nil || many.Name() != "set.q*3" {
		t.Errorf("%s %s: %v", many.Name(), many.SQL(), many.Check())
	}
	defer func() {
		if recover() == nil {
			t.Error("a query that ends in no tuple was widened")
		}
	}()
	store.ParseQueries("set", "-- name: q\nINSERT INTO a SELECT 1").Named("q").Rows(2)
}

var letters = store.Dialect{ID: "I", Int: "N", Real: "R", Text: "T", Blob: "B", JSON: "J", Time: "M", Table: "X", Clustered: "C"}

func TestTypeTokensBecomeWordsOfTheDialect(t *testing.T) {
	t.Parallel()
	files := fstest.MapFS{"m/0001_a.sql": {Data: []byte("-- first; {wrong}\nCREATE TABLE a (b {id}, c {json}) {clustered};\n\nCREATE INDEX d ON a (c); -- end\n")}}
	steps, err := store.ReadMigrations(files, "m")
	if err != nil {
		t.Fatal(err)
	}
	got, err := steps[0].Statements(letters)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"CREATE TABLE a (b I, c J) C", "CREATE INDEX d ON a (c)"}, got); diff != "" {
		t.Error(diff)
	}
}

func TestMigrationsThatAreRefused(t *testing.T) {
	t.Parallel()
	for want, names := range map[string][]string{
		"expected number 0002":     {"0001_a.sql", "0003_b.sql"},
		"expected number 0001":     {"0002_a.sql"},
		"expected a name":          {"1_a.sql"},
		"expected a name like":     {"0001_a.txt"},
		"no such type token: {no}": {"0001_a.sql"},
	} {
		files := fstest.MapFS{}
		for _, name := range names {
			files["m/"+name] = &fstest.MapFile{Data: []byte("CREATE TABLE a (b {no})")}
		}
		steps, err := store.ReadMigrations(files, "m")
		if err == nil && len(steps) == 1 {
			_, err = steps[0].Statements(letters)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", names, err, want)
		}
	}
}

func TestEveryMigrationIsPortable(t *testing.T) {
	t.Parallel()
	steps, err := store.Migrations()
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range steps {
		statements, err := step.Statements(letters)
		if err != nil {
			t.Fatal(err)
		}
		for _, statement := range statements {
			for _, word := range []string{"INTEGER", "BLOB", "JSONB", "BYTEA", "BIGINT", "STRICT", "ROWID", "AUTOINCREMENT", "SERIAL", "DEFAULT CURRENT", "IF NOT EXISTS"} {
				if strings.Contains(statement, word) {
					t.Errorf("step %d: %s is a word of one engine, use a type token: %s", step.Version, word, statement)
				}
			}
		}
	}
}
