package goapi

import (
	"archive/zip"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code"
)

// sources makes a file system of names and contents in turn.
func sources(pairs ...string) fstest.MapFS {
	files := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		files[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return files
}

func read(t *testing.T, files fs.FS) *API {
	t.Helper()
	api, err := Read(t.Context(), files, "example.org/m")
	if err != nil {
		t.Fatal(err)
	}
	return api
}

func TestOnlyWhatMayBreakAUserIsAChange(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, old, new string
		want           []string // symbol and what
	}{
		{"a function goes away", "func F() {}", "", []string{"F goes away"}},
		{"a function is new", "", "func F() {}", nil},
		{"names of parameters", "func F(a, b int) (n int) { return }", "func F(x int, y int) int { return 0 }", nil},
		{"a parameter more", "func F(a int) {}", "func F(a int, b string) {}", []string{"F changes from (int) to (int, string)"}},
		{"any", "func F(a interface{}) {}", "func F(a any) {}", nil},
		{"not exported", "func f() {}\ntype t struct{ X int }", "", nil},
		{"a field", "type T struct { A, B int }", "type T struct { A int; c string }", []string{"T.B goes away"}},
		{"a field of another type", "type T struct { A int }", "type T struct { A int64 }", []string{"T.A changes from int to int64"}},
		{"a method", "type T int\nfunc (T) M() {}", "type T int\nfunc (t *T) M() {}", []string{"T.M changes from () to * ()"}},
		{"a type goes away with all of it, said once for each", "type T struct { A int }", "", []string{"T goes away"}},
		{"an interface asks for more", "type I interface { A() }", "type I interface { A(); B() int }", []string{"I asks for method B"}},
		{"of an interface that nobody else can implement", "type I interface { A(); a() }", "type I interface { A(); B() int; a() }", nil},
		{"an interface asks for less", "type I interface { A(); B() }", "type I interface { A() }", []string{"I.B goes away"}},
		{"an alias of what it was", "type T struct { A int }", "type T = u\ntype u struct { A int }", nil},
		{"a method that is promoted", "type T struct{}\nfunc (T) M() {}", "type T struct{ base }\ntype base struct{}\nfunc (base) M() {}", nil},
		{"what a type of another package may promote", "import \"io\"\ntype T struct{}\nfunc (T) Read() {}", "import \"io\"\ntype T struct{ io.Reader }", nil},
		{"a field of what embedded all along", "import \"io\"\ntype T struct{ io.Reader; A int }", "import \"io\"\ntype T struct{ io.Reader }", []string{"T.A goes away"}},
		{"a constant of a list", "type K int\nconst (\n\tA K = iota\n\tB\n)", "type K int\nconst A K = 0\nconst B int = 1", []string{"B changes from K to int"}},
		{"a variable that becomes a function", "var F func()", "func F() {}", []string{"F turns from a variable into a function"}},
		{"a parameter of a type", "func F[T any](t T) {}", "func F[T comparable](t T) {}", []string{"F changes from [interface{}](T) to [comparable](T)"}},
	} {
		changes := Incompatible(read(t, sources("p.go", "package m\n"+test.old)), read(t, sources("p.go", "package m\n"+test.new+"\nvar Stays int")))
		var got []string
		for _, c := range changes {
			got = append(got, c.Symbol+" "+c.What)
		}
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%s:\n%s", test.name, diff)
		}
	}
}

func TestWhatOthersCannotImportIsNotExported(t *testing.T) {
	t.Parallel()
	file := "package p\nfunc F() {}\n"
	api := read(t, sources(
		"a/a.go", file, "a/internal/b/b.go", file, "internal/c.go", file, "a/testdata/d.go", file, "vendor/e/e.go", file,
		"a/a_test.go", "package p\nfunc G() {}\n", "a/a_windows.go", "package p\nfunc W() {}\n", "a/tag.go", "//go:build never\n\npackage p\nfunc N() {}\n",
		"cmd/x/main.go", "package main\nfunc F() {}\n", "nested/go.mod", "module n\n", "nested/n.go", file,
	))
	want := map[string]Package{"example.org/m/a": {"F": {Kind: Func, Text: "()"}}}
	if diff := cmp.Diff(want, api.Packages); diff != "" {
		t.Error(diff)
	}
}

func TestAPackageThatGoesAwayIsOneChange(t *testing.T) {
	t.Parallel()
	got := Incompatible(read(t, sources("a/a.go", "package a\nfunc F() {}\nfunc G() {}\n")), read(t, sources("b/b.go", "package b\nfunc F() {}\n")))
	if diff := cmp.Diff([]Change{{Package: "example.org/m/a", What: "goes away"}}, got); diff != "" {
		t.Error(diff)
	}
}

func TestSourcesThatAreNoGoAreAnError(t *testing.T) {
	t.Parallel()
	if _, err := Read(t.Context(), sources("a.go", "package m\nfunc ("), "example.org/m"); err == nil || !strings.Contains(err.Error(), "a.go:2") {
		t.Errorf("Read() = %v, expected the file and line", err)
	}
}

func TestChangesMeetWhatIsUsed(t *testing.T) {
	t.Parallel()
	tree := code.Files{
		"go.mod":        []byte("module own\n"),
		"b.go":          []byte("package own\n\nimport m \"example.org/m\"\n\nfunc f() {\n\tm.F()\n\tm := x{}\n\tm.Shadowed()\n}\n"),
		"a_test.go":     []byte("package own\n\nimport \"example.org/m\"\n\nvar _ = m.F\nvar _ = m.OnlyInTest\n"),
		"c.go":          []byte("package own\n\nfunc g(t interface{ M() }) { t.M(); _ = y{Field: 1} }\n"),
		"other/o.go":    []byte("package other\n\nfunc h(t interface{ Far() }) { t.Far() }\n"),
		"nested/go.mod": []byte("module nested\n"),
		"nested/n.go":   []byte("package nested\n\nimport \"example.org/m\"\n\nvar _ = m.Nested\n"),
		"dash/d.go":     []byte("package dash\n\nimport \"example.org/go-dash/v3\"\n\nvar _ = dash.D\n"),
		"broken.go":     []byte("package own\nfunc {"),
		"vendor/v/v.go": []byte("package v\n\nimport \"example.org/m\"\n\nvar _ = m.Vendored\n"),
	}
	uses, err := Scan(t.Context(), tree, "", []string{"nested"})
	if err != nil {
		t.Fatal(err)
	}
	change := func(pkg, symbol string) Change { return Change{pkg, symbol, "goes away"} }
	var asked []Change
	for _, symbol := range []string{"F", "Far", "Nested", "OnlyInTest", "Shadowed", "T.Far", "T.Field", "T.M", "Vendored", ""} {
		asked = append(asked, change("example.org/m", symbol))
	}
	asked = append(asked, change("example.org/go-dash/v3", "D"), change("example.org/never", ""))
	got := uses.Meet(asked)
	use := func(pkg, symbol, file string, line int, byName bool) Use {
		return Use{pkg, symbol, "goes away", Place{file, line, strings.HasSuffix(file, "_test.go")}, byName}
	}
	want := []Use{
		use("example.org/m", "F", "b.go", 6, false),
		use("example.org/m", "", "b.go", 3, false),
		use("example.org/go-dash/v3", "D", "dash/d.go", 5, false),
		use("example.org/m", "OnlyInTest", "a_test.go", 6, false),
		use("example.org/m", "T.Field", "c.go", 3, true),
		use("example.org/m", "T.M", "c.go", 3, true),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if len(uses.Skipped) != 1 || !strings.HasPrefix(uses.Skipped[0], "broken.go: ") {
		t.Errorf("skipped %q, expected broken.go", uses.Skipped)
	}
}

func TestImportsAreFollowedAsFarAsThereAreSources(t *testing.T) {
	t.Parallel()
	uses, err := Scan(t.Context(), code.Files{"a.go": []byte("package own\n\nimport (\n\t\"fmt\"\n\t\"example.org/m\"\n\t\"example.org/gone\"\n)\n")}, "", nil)
	if err != nil {
		t.Fatal(err)
	}
	m := sources("m.go", "package m\nimport \"example.org/m/deep\"\n", "m_test.go", "package m\nimport \"example.org/onlytest\"\n", "deep/d.go", "package deep\nimport \"example.org/m\"\n")
	closure, err := uses.Close(t.Context(), func(p string) bool { return strings.HasPrefix(p, "own/") }, func(p string) (fs.FS, string, bool) {
		folder, ok := strings.CutPrefix(p+"/", "example.org/m/")
		return m, path.Clean("./" + folder), ok
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"example.org/m", "example.org/m/deep"}, closure.Chain("example.org/m/deep")); diff != "" {
		t.Error(diff)
	}
	if _, reached := closure.By["example.org/onlytest"]; reached {
		t.Error("the imports of a dependency's tests count as part of the program")
	}
	if diff := cmp.Diff([]string{"example.org/gone"}, closure.Missing); diff != "" {
		t.Error(diff)
	}
}

func TestVersionsAreReadFromFoldersAndArchivesOfTheCache(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cache := NewCache(dir)
	if _, _, err := cache.Open("example.org/M", "v1.0.0"); !errors.Is(err, ErrNoSources) {
		t.Errorf("Open() = %v, expected ErrNoSources", err)
	}
	archive := filepath.Join(dir, "cache", "download", "example.org", "!m", "@v", "v1.0.0.zip")
	if err := os.MkdirAll(filepath.Dir(archive), 0o755); err != nil {
		t.Fatal(err)
	}
	file, err := os.Create(archive)
	if err != nil {
		t.Fatal(err)
	}
	w := zip.NewWriter(file)
	entry, err := w.Create("example.org/M@v1.0.0/p/p.go")
	if err == nil {
		_, err = entry.Write([]byte("package p\nfunc Zipped() {}\n"))
	}
	if err := errors.Join(err, w.Close(), file.Close()); err != nil {
		t.Fatal(err)
	}
	ask := func() string {
		t.Helper()
		files, done, err := cache.Open("example.org/M", "v1.0.0")
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		api, err := Read(t.Context(), files, "example.org/M")
		if err != nil {
			t.Fatal(err)
		}
		for name := range api.Packages["example.org/M/p"] {
			return name
		}
		return ""
	}
	if got := ask(); got != "Zipped" {
		t.Errorf("of the archive: %q, expected Zipped", got)
	}
	folder := filepath.Join(dir, "example.org", "!m@v1.0.0", "p")
	if err := os.MkdirAll(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "p.go"), []byte("package p\nfunc Unpacked() {}\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := ask(); got != "Unpacked" {
		t.Errorf("of the folder: %q, expected Unpacked", got)
	}
	if _, _, err := cache.Open("../../etc", "v1.0.0"); err == nil || errors.Is(err, ErrNoSources) {
		t.Errorf("Open() of a path that is no module = %v, expected a refusal", err)
	}
}

func TestFlawedSymbolsArePartedFromTheirPackages(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][2]string{
		"golang.org/x/text/language.ParseAcceptLanguage": {"golang.org/x/text/language", "ParseAcceptLanguage"},
		"golang.org/x/crypto/ssh.Client.Dial":            {"golang.org/x/crypto/ssh", "Client.Dial"},
		"gopkg.in/yaml.v3.Unmarshal":                     {"gopkg.in/yaml.v3", "Unmarshal"},
		"gopkg.in/yaml.v3":                               {"gopkg.in/yaml.v3", ""},
		"example.org/p/v2.F":                             {"example.org/p/v2", "F"},
		"net/http.Server.Serve":                          {"net/http", "Server.Serve"},
		"os":                                             {"os", ""},
	} {
		importPath, symbol := Split(text)
		if got := [2]string{importPath, symbol}; got != want {
			t.Errorf("%s is %q, expected %q", text, got, want)
		}
	}
}

func FuzzAModuleIsCompatibleWithItself(f *testing.F) {
	f.Add("func F[T any](a, b int) (x T) { return }\ntype I interface{ A(); fmt.Stringer }")
	f.Add("type T struct { *T; a, B int `x` }\nfunc (T) M() {}")
	f.Add("const (\n\tA int = iota\n\tB\n)\nvar X, Y = 1, 2\ntype U = T[int]")
	f.Fuzz(func(t *testing.T, text string) {
		api, err := Read(t.Context(), sources("p.go", "package m\n"+text), "example.org/m")
		if err != nil {
			return
		}
		if changes := Incompatible(api, api); len(changes) > 0 {
			t.Errorf("%q is incompatible with itself: %v", text, changes)
		}
		if empty := Incompatible(&API{}, api); len(empty) > 0 {
			t.Errorf("%q breaks those who use nothing: %v", text, empty)
		}
	})
}
