package store

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

//go:embed migrations/*.sql
var migrationFiles embed.FS

// Migration is one step of the schema. Steps go forward only; a released one
// never changes.
type Migration struct {
	Version int    // 1, 2 ...
	Name    string // from its file name
	Digest  string // sha256 of its text, hex; kept in the database to notice an edited step
	text    string
}

// Dialect says how one engine spells the type tokens of migrations.
type Dialect struct {
	ID        string // {id}: application-made id
	Int       string // {int}
	Real      string // {real}
	Text      string // {text}
	Blob      string // {blob}
	JSON      string // {json}: a JSON document
	Time      string // {time}: microseconds since 1970 UTC
	Table     string // {table}: suffix of a table in insertion order
	Clustered string // {clustered}: suffix of a table kept in the order of its primary key
}

// Migrations lists the schema's steps in order.
func Migrations() ([]Migration, error) {
	return ReadMigrations(migrationFiles, "migrations")
}

var migrationName = regexp.MustCompile(`^([0-9]{4})_([a-z0-9_]+)\.sql$`)

// ReadMigrations reads steps from a folder of files NNNN_name.sql, numbered
// from 1 without a gap.
func ReadMigrations(files fs.FS, folder string) ([]Migration, error) {
	entries, err := fs.ReadDir(files, folder)
	if err != nil {
		return nil, fmt.Errorf("migrations: %w", err)
	}
	var list []Migration
	for _, entry := range entries {
		match := migrationName.FindStringSubmatch(entry.Name())
		if match == nil {
			return nil, fmt.Errorf("migration %s: expected a name like 0001_name.sql", entry.Name())
		}
		data, err := fs.ReadFile(files, folder+"/"+entry.Name())
		if err != nil {
			return nil, fmt.Errorf("migration %s: %w", entry.Name(), err)
		}
		version, _ := strconv.Atoi(match[1])
		digest := sha256.Sum256(data)
		list = append(list, Migration{version, match[2], hex.EncodeToString(digest[:]), string(data)})
	}
	slices.SortFunc(list, func(a, b Migration) int { return a.Version - b.Version })
	for i, m := range list {
		if m.Version != i+1 {
			return nil, fmt.Errorf("migration %04d_%s: expected number %04d", m.Version, m.Name, i+1)
		}
	}
	return list, nil
}

var token = regexp.MustCompile(`\{[a-z]+\}`)

// Statements writes the step in a dialect, one statement an element.
func (m Migration) Statements(d Dialect) ([]string, error) {
	words := map[string]string{
		"{id}": d.ID, "{int}": d.Int, "{real}": d.Real, "{text}": d.Text, "{blob}": d.Blob,
		"{json}": d.JSON, "{time}": d.Time, "{table}": d.Table, "{clustered}": d.Clustered,
	}
	var unknown []string
	var lines []string
	for line := range strings.SplitSeq(m.text, "\n") {
		line, _, _ = strings.Cut(line, "--")
		lines = append(lines, line)
	}
	text := token.ReplaceAllStringFunc(strings.Join(lines, "\n"), func(t string) string {
		word, ok := words[t]
		if !ok {
			unknown = append(unknown, t)
		}
		return word
	})
	if len(unknown) > 0 {
		return nil, fmt.Errorf("migration %04d_%s: no such type token: %s", m.Version, m.Name, strings.Join(unknown, ", "))
	}
	var statements []string
	for statement := range strings.SplitSeq(text, ";") {
		if statement = strings.TrimSpace(statement); statement != "" {
			statements = append(statements, statement)
		}
	}
	return statements, nil
}
