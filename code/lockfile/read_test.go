package lockfile

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
)

// files makes a tree of "path: text" pairs.
func files(pairs ...string) code.Files {
	tree := make(code.Files)
	for i := 0; i < len(pairs); i += 2 {
		tree[pairs[i]] = []byte(pairs[i+1])
	}
	return tree
}

// read reads a tree and checks what holds for every module.
func read(t testing.TB, tree code.Files) []Module {
	t.Helper()
	modules, err := Read(context.Background(), tree)
	if err != nil {
		t.Fatal(err)
	}
	for i := range modules {
		check(t, tree, &modules[i])
	}
	return modules
}

// check holds the promises of a Module: lines within their files, indexes
// within their lists, files that exist, packages that differ by key.
func check(t testing.TB, tree code.Files, m *Module) {
	t.Helper()
	inFile := func(what, name string, line, end int) {
		data, ok := tree[name]
		if !ok {
			t.Errorf("%s: file %q does not exist", what, name)
			return
		}
		lines := strings.Count(string(data), "\n") + 1
		if line < 1 || line > lines || end < line || end > lines {
			t.Errorf("%s: lines %d-%d outside %s of %d lines", what, line, end, name, lines)
		}
	}
	for _, name := range append(append([]string(nil), m.Manifests...), m.Locks...) {
		inFile("module", name, 1, 1)
	}
	for _, d := range m.Declared {
		inFile("declaration "+d.Name, d.Path, d.Line, d.EndLine)
		if d.ValueLine > 0 {
			inFile("value of "+d.Name, d.ValuePath, d.ValueLine, d.ValueLine)
		}
	}
	keys := make(map[string]bool)
	for i, p := range m.Packages {
		inFile("package "+p.Name, p.Path, p.Line, p.EndLine)
		if keys[p.Key] {
			t.Errorf("package key %q occurs twice in %s", p.Key, m.file())
		}
		keys[p.Key] = true
		for _, j := range p.Requires {
			if j < 0 || j >= len(m.Packages) {
				t.Errorf("package %s requires index %d of %d", p.Name, j, len(m.Packages))
			}
		}
		for _, j := range p.Declared {
			if j < 0 || j >= len(m.Declared) {
				t.Errorf("package %s is declared by index %d of %d", p.Name, j, len(m.Declared))
			}
		}
		if i < 200 {
			for _, chain := range m.Paths(i) {
				if !m.Packages[chain[0]].Direct || chain[len(chain)-1] != i {
					t.Errorf("path %v of package %d does not lead from a direct dependency to it", chain, i)
				}
			}
		}
	}
	for _, p := range m.Problems {
		if p.Text == "" || p.Path == "" {
			t.Errorf("problem without path or text: %+v", p)
		}
		if p.Line > 0 {
			inFile("problem", p.Path, p.Line, p.Line)
		}
	}
}

// dataFolder finds the folder of real data, or skips the test.
func dataFolder(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("BACKSTITCH_DATA"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
	data := filepath.Join(dir, "..", "shared", "data")
	if _, err := os.Stat(data); err != nil {
		if os.Getenv("BACKSTITCH_DATA_REQUIRED") == "1" {
			t.Fatal("no data folder: ", err)
		}
		t.Skip("no data folder: ", err)
	}
	return data
}
