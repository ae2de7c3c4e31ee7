package store

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// Query is one named SQL statement. Its parameters are $1, $2 ...
type Query struct {
	name string
	sql  string
}

// Name is the query's name with that of its set, for example "intake.insert_finding".
func (q *Query) Name() string { return q.name }

// SQL is the statement.
func (q *Query) SQL() string { return q.sql }

// Queries is a set of named queries, in file order.
type Queries struct {
	set  string
	list []*Query
}

var nameLine = regexp.MustCompile(`^-- name: ([a-z][a-z0-9_]*)$`)

// ParseQueries reads a file of queries: each begins with a line "-- name: x";
// other comment lines and empty lines are dropped. The text is part of the
// program, so a fault in it panics.
func ParseQueries(set, text string) *Queries {
	queries := &Queries{set: set}
	var current *Query
	for i, line := range strings.Split(text, "\n") {
		if match := nameLine.FindStringSubmatch(line); match != nil {
			name := set + "." + match[1]
			for _, q := range queries.list {
				if q.name == name {
					panic(fmt.Sprintf("queries %s:%d: %s is there twice", set, i+1, name))
				}
			}
			current = &Query{name: name}
			queries.list = append(queries.list, current)
			continue
		}
		if strings.TrimSpace(line) == "" || strings.HasPrefix(strings.TrimSpace(line), "--") {
			continue
		}
		if current == nil {
			panic(fmt.Sprintf("queries %s:%d: expected a line \"-- name: ...\" first", set, i+1))
		}
		if current.sql != "" {
			current.sql += "\n"
		}
		current.sql += line
	}
	for _, q := range queries.list {
		q.sql = strings.TrimSuffix(strings.TrimSpace(q.sql), ";")
	}
	return queries
}

// Named returns a query of the set and panics when there is none: names are
// part of the program.
func (s *Queries) Named(name string) *Query {
	for _, q := range s.list {
		if q.name == s.set+"."+name {
			return q
		}
	}
	panic(fmt.Sprintf("queries %s: no query %q", s.set, name))
}

// All lists the queries in file order.
func (s *Queries) All() []*Query { return s.list }

var valuesTuple = regexp.MustCompile(`(?is)\bVALUES\s*(\(.*\))\s*$`)

// Rows gives the query that writes n rows at once, of an INSERT that ends in
// one tuple of VALUES. Its arguments are those of each row in turn.
func (q *Query) Rows(n int) *Query {
	tuple := valuesTuple.FindStringSubmatchIndex(q.sql)
	width, err := q.Parameters()
	if tuple == nil || err != nil || n < 1 {
		panic(fmt.Sprintf("query %s: expected an INSERT that ends in VALUES (..)", q.name))
	}
	many := &Query{name: fmt.Sprintf("%s*%d", q.name, n), sql: q.sql}
	for row := 1; row < n; row++ {
		many.sql += ",\n" + parameter.ReplaceAllStringFunc(q.sql[tuple[2]:tuple[3]], func(p string) string {
			number, _ := strconv.Atoi(p[1:])
			return "$" + strconv.Itoa(number+row*width)
		})
	}
	return many
}

// refused are constructs outside the common subset, each with what to write.
var refused = []struct {
	pattern *regexp.Regexp
	instead string
}{
	{regexp.MustCompile(`(?i)\bnow\s*\(|\bcurrent_(timestamp|date|time)\b|\b(datetime|strftime|julianday|unixepoch)\s*\(`), "a time parameter: the clock is injected"},
	{regexp.MustCompile(`(?i)\bilike\b|\bglob\b|\bregexp\b`), "lower(a) LIKE lower(b)"},
	{regexp.MustCompile(`::`), "CAST(x AS type)"},
	{regexp.MustCompile(`(?i)\b(_?rowid_?|oid)\b`), "a declared key"},
	{regexp.MustCompile(`(?i)\b(insert|update)\s+or\s+\w+|\breplace\s+into\b`), "ON CONFLICT .. DO UPDATE or DO NOTHING"},
	{regexp.MustCompile(`(?i)\b(autoincrement|serial|bigserial|nextval|last_insert_rowid)\b`), "ids from store.IDs"},
	{regexp.MustCompile(`(?i)\b(ifnull|nvl)\s*\(`), "coalesce"},
	{regexp.MustCompile(`(?i)\bgroup_concat\b|\bstring_agg\b|\bjson_each\b|\bjsonb_\w+`), "rows, joined by the caller"},
	{regexp.MustCompile(`(?i)\bindexed\s+by\b|\bpragma\b|\battach\b|\bvacuum\b`), "nothing: that is the engine's own business"},
	{regexp.MustCompile(`(?i)\brandom\s*\(|\bgen_random_uuid\b`), "a parameter"},
	{regexp.MustCompile("[`\\[\\]]|\"\""), "plain names"},
	{regexp.MustCompile(`\?|[:@][a-zA-Z]`), "$1, $2 ..."},
	{regexp.MustCompile(`==`), "="},
	{regexp.MustCompile(`;`), "one statement a query"},
	{regexp.MustCompile(`(?i)\blimit\s+\S+\s*,`), "LIMIT .. OFFSET .."},
}

var (
	literal   = regexp.MustCompile(`'(?:[^']|'')*'`)
	parameter = regexp.MustCompile(`\$([0-9]+)`)
	verb      = regexp.MustCompile(`(?i)^\s*(select|insert|update|delete|with)\b`)
)

// Check says whether a query is in the subset that all engines accept: no
// construct of one engine, and parameters that appear first in ascending order
// ($1 before $2 ...), because engines differ in how they number them.
func (q *Query) Check() error {
	if !verb.MatchString(q.sql) {
		return fmt.Errorf("query %s: expected SELECT, INSERT, UPDATE, DELETE or WITH", q.name)
	}
	text := literal.ReplaceAllString(q.sql, "''")
	var errs []error
	for _, r := range refused {
		if found := r.pattern.FindString(text); found != "" {
			errs = append(errs, fmt.Errorf("query %s: %q is not in the common subset, write %s", q.name, found, r.instead))
		}
	}
	if _, err := q.Parameters(); err != nil {
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// Parameters counts the parameters of q. It fails when they do not appear
// first in ascending order.
func (q *Query) Parameters() (int, error) {
	highest := 0
	for _, match := range parameter.FindAllStringSubmatch(literal.ReplaceAllString(q.sql, "''"), -1) {
		n, err := strconv.Atoi(match[1])
		if err != nil || n < 1 || n > highest+1 {
			return 0, fmt.Errorf("query %s: $%s appears before $%d", q.name, match[1], highest+1)
		}
		highest = max(highest, n)
	}
	return highest, nil
}
