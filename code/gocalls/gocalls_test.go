package gocalls

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/fact"
)

// TestMain lets the test's program be its own child.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == Command {
		if err := Serve(context.Background(), os.Args[2:], os.Stderr); err != nil {
			os.Stderr.WriteString(err.Error())
			os.Exit(2)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func files(t *testing.T, dir string, pairs ...string) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		name := filepath.Join(dir, filepath.FromSlash(pairs[i]))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(pairs[i+1]), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func flaw(id, module string, symbols ...string) fact.Advisory {
	return fact.Advisory{ID: id, Affected: []fact.Affected{{
		Ecosystem: "Go", Name: module, Symbols: symbols,
		Ranges: []fact.Range{{Type: "SEMVER", Events: []fact.RangeEvent{{Introduced: "0"}, {Fixed: "1.1.0"}}}},
	}}}
}

// follow runs the child over a program with a vendored library.
func follow(t *testing.T, program string, advisories ...fact.Advisory) ([]Call, error) {
	t.Helper()
	dir := t.TempDir()
	files(t, dir,
		"src/go.mod", "module example.org/program\n\ngo 1.21\n\nrequire example.org/lib v1.0.0\n",
		"src/vendor/modules.txt", "# example.org/lib v1.0.0\n## explicit; go 1.21\nexample.org/lib\nexample.org/lib/deep\n",
		"src/vendor/example.org/lib/lib.go", "package lib\n\nimport \"example.org/lib/deep\"\n\nfunc Calls() { inner() }\nfunc inner() { deep.Flawed() }\nfunc Harmless() {}\n",
		"src/vendor/example.org/lib/deep/deep.go", "package deep\n\nfunc Flawed() {}\n",
		"src/main.go", program,
	)
	n, err := WriteDatabase(filepath.Join(dir, "db"), advisories)
	if err != nil || n != len(advisories) {
		t.Fatalf("%d advisories written, %v", n, err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "calls.json")
	child := exec.CommandContext(t.Context(), self, Arguments(filepath.Join(dir, "src"), filepath.Join(dir, "db"), out)...)
	child.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "GOCACHE=" + filepath.Join(dir, "cache"), "GOPATH=" + filepath.Join(dir, "gopath")}, Environment...)
	var said bytes.Buffer
	child.Stderr = &said
	if err := child.Run(); err != nil {
		t.Logf("the child said %s", said.String())
		return nil, err
	}
	file, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	return Read(file)
}

// nearest gives how near a program comes to an advisory: the symbol, else the package,
// else the module.
func nearest(calls []Call, advisory string) Call {
	var best Call
	for _, c := range calls {
		if c.Advisory == advisory && (best.Module == "" || best.Symbol == "" && c.Symbol != "" || best.Package == "" && c.Package != "") {
			best = c
		}
	}
	return best
}

func TestCallsAreFollowedThroughOtherPackages(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not installed")
	}
	called, err := follow(t, "package main\n\nimport \"example.org/lib\"\n\nfunc main() {\n\tlib.Calls()\n}\n",
		flaw("GO-1", "example.org/lib", "example.org/lib/deep.Flawed"), flaw("GO-2", "example.org/lib", "example.org/lib/never.Loaded"))
	if err != nil {
		t.Fatal(err)
	}
	want := Call{Advisory: "GO-1", Module: "example.org/lib", Package: "example.org/lib/deep", Symbol: "Flawed", Trace: []Frame{
		{Function: "example.org/program.main", File: "main.go", Line: 6, Own: true},
		{Function: "example.org/lib.Calls", File: "vendor/example.org/lib/lib.go", Line: 5},
		{Function: "example.org/lib.inner", File: "vendor/example.org/lib/lib.go", Line: 6},
		{Function: "example.org/lib/deep.Flawed", File: "vendor/example.org/lib/deep/deep.go", Line: 3},
	}}
	got := nearest(called, "GO-1")
	for i := range got.Trace { // how a vendored file is named is not ours to say
		got.Trace[i].File = strings.TrimPrefix(got.Trace[i].File, "vendor/example.org/lib/")
		want.Trace[i].File = strings.TrimPrefix(want.Trace[i].File, "vendor/example.org/lib/")
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if required := nearest(called, "GO-2"); required.Module != "example.org/lib" || required.Package != "" {
		t.Errorf("of a package that is no part of the program: %+v, expected the module alone", required)
	}
	// The question is how near a flaw is; whether the version has it was judged before.
	older := flaw("GO-1", "example.org/lib", "example.org/lib/deep.Flawed")
	older.Affected[0].Ranges[0].Events[1].Fixed = "0.9.0"
	if calls, err := follow(t, "package main\n\nimport \"example.org/lib\"\n\nfunc main() {\n\tlib.Calls()\n}\n", older); err != nil || nearest(calls, "GO-1").Symbol != "Flawed" {
		t.Errorf("of a version that the ranges leave out: %+v, %v", calls, err)
	}
	harmless, err := follow(t, "package main\n\nimport \"example.org/lib\"\n\nfunc main() {\n\tlib.Harmless()\n}\n", flaw("GO-1", "example.org/lib", "example.org/lib/deep.Flawed"))
	if err != nil {
		t.Fatal(err)
	}
	if imported := nearest(harmless, "GO-1"); imported.Package != "example.org/lib/deep" || imported.Symbol != "" {
		t.Errorf("of a flaw that is imported and not called: %+v, expected the package alone", imported)
	}
}

func TestAProgramThatDoesNotCompileIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip("the go command is not installed")
	}
	if calls, err := follow(t, "package main\n\nfunc main() { undefined() }\n", flaw("GO-1", "example.org/lib", "example.org/lib/deep.Flawed")); err == nil {
		t.Errorf("calls %+v of a program that does not compile, expected an error", calls)
	}
}

func TestWhatAChildWroteIsBoundedAndClean(t *testing.T) {
	t.Parallel()
	calls, err := Read(strings.NewReader(`[{"advisory":"GO-1\u001b[31m","module":"` + strings.Repeat("m", 1000) + `","trace":[` + strings.TrimSuffix(strings.Repeat(`{"function":"f\n"},`, 200), ",") + `]}]`))
	if err != nil {
		t.Fatal(err)
	}
	if c := calls[0]; c.Advisory != "GO-1[31m" || len(c.Module) != maxText || len(c.Trace) != maxTrace || c.Trace[0].Function != "f" {
		t.Errorf("%q, module of %d, trace of %d", c.Advisory, len(c.Module), len(c.Trace))
	}
	for _, text := range []string{"", "{", `{"a":1}`, `[{"trace":1}]`} {
		if _, err := Read(strings.NewReader(text)); err == nil {
			t.Errorf("%q was taken for calls", text)
		}
	}
}
