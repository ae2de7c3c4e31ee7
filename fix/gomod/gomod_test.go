package gomod_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/fixtest"
	"github.com/backstitch/backstitch/fix/gomod"
)

var proxy = map[string]string{
	"example.org/x/net@v0.34.0":    "module example.org/x/net\n\ngo 1.21\n\nrequire example.org/x/crypto v0.32.0\n",
	"example.org/x/net@v0.38.0":    "module example.org/x/net\n\ngo 1.21\n\nrequire example.org/x/crypto v0.36.0\n",
	"example.org/x/crypto@v0.32.0": "module example.org/x/crypto\n\ngo 1.21\n",
	"example.org/x/crypto@v0.35.0": "module example.org/x/crypto\n\ngo 1.21\n",
	"example.org/x/crypto@v0.36.0": "module example.org/x/crypto\n\ngo 1.21\n",
	"example.org/web@v1.2.0":       "module example.org/web\n\ngo 1.21\n\nrequire example.org/x/net v0.34.0\n",
	"example.org/web@v1.3.0":       "module example.org/web\n\ngo 1.21\n\nrequire example.org/x/net v0.38.0\n",
	"example.org/web@v1.4.0":       "module example.org/web\n\ngo 1.21\n\nrequire example.org/x/net v0.38.0\n",
}

const shop = "// The shop.\nmodule example.org/shop\n\ngo 1.21\n\nrequire (\n\texample.org/web   v1.2.0 // keep in step with the design\n\texample.org/x/crypto v0.32.0 // indirect\n\texample.org/x/net v0.34.0 // indirect; pinned\n)\n"

var sources = map[string]string{
	"api/go.mod":  shop,
	"api/main.go": "package main\n\nimport _ \"example.org/web\"\n\nfunc main() {}\n",
	"README.md":   "example.org/x/net v0.34.0\n",
}

func with(files map[string]string, name, text string) map[string]string {
	copied := map[string]string{name: text}
	for other, content := range files {
		if other != name {
			copied[other] = content
		}
	}
	return copied
}

var flaws = fixtest.Advisories{
	fixtest.Flaw("GO-1", "Go", "example.org/x/net", "0", "0.36.0"),
	fixtest.Flaw("GO-2", "Go", "example.org/x/net", "0", "0.38.0"),
	fixtest.Flaw("GO-3", "Go", "example.org/x/crypto", "0", "0.35.0"),
	fixtest.Flaw("GO-4", "Go", "stdlib", "0", "1.21.5"),
}

// target is about the package of that name in the module in api.
func target(name string) *fix.Target {
	m := &lockfile.Module{
		Dir: "api", Ecosystem: "Go", Tool: "gomod", Name: "example.org/shop", Manifests: []string{"api/go.mod"}, Locks: []string{"api/go.sum"},
		Packages: []lockfile.Package{
			{Name: "example.org/web", Version: "v1.2.0", Path: "api/go.mod", Line: 7, Direct: true},
			{Name: "example.org/x/crypto", Version: "v0.32.0", Path: "api/go.mod", Line: 8},
			{Name: "example.org/x/net", Version: "v0.34.0", Path: "api/go.mod", Line: 9},
			{Name: "stdlib", Version: "1.21", Path: "api/go.mod", Line: 4, Direct: true},
		},
	}
	t := &fix.Target{Module: m, Modules: []lockfile.Module{*m}, Advisories: flaws}
	for i, p := range m.Packages {
		if p.Name == name {
			t.Package = i
		}
	}
	return t
}

func TestTheSuiteHolds(t *testing.T) {
	fixtest.GoProxy(t, proxy)
	may := []string{"api/go.mod", "api/go.sum"}
	fixtest.Conformance(t, gomod.New(), []fixtest.Case{
		{
			Name: "an indirect module is raised with what it requires", Files: sources, Needs: []string{"go"}, May: may,
			Target: func() *fix.Target { return target("example.org/x/net") },
			Lines:  map[string]int{"api/go.mod": 2},
			Want: map[string][]string{
				"api/go.mod": {"example.org/web   v1.2.0 // keep in step with the design\n", "\texample.org/x/net v0.38.0 // indirect; pinned\n", "example.org/x/crypto v0.36.0 // indirect\n"},
				"api/go.sum": {"example.org/x/net v0.38.0 h1:", "example.org/x/crypto v0.36.0 h1:"},
			},
		},
		{
			Name: "line ends of another system stay", Files: with(sources, "api/go.mod", strings.ReplaceAll(shop, "\n", "\r\n")), Needs: []string{"go"}, May: may,
			Target: func() *fix.Target { return target("example.org/x/net") },
			Lines:  map[string]int{"api/go.mod": 2},
			Want:   map[string][]string{"api/go.mod": {"\texample.org/x/net v0.38.0 // indirect; pinned\r\n"}},
		},
		{
			Name: "the go line decides about the standard library", Files: sources, May: may,
			Target: func() *fix.Target { return target("stdlib") },
			Lines:  map[string]int{"api/go.mod": 1},
			Want:   map[string][]string{"api/go.mod": {"\ngo 1.21.5\n"}},
		},
		{
			Name: "a replace directive is moved", Needs: []string{"go"}, May: may,
			Files:  with(sources, "api/go.mod", shop+"\nreplace example.org/x/net => example.org/x/net v0.34.0 // held back\n"),
			Target: func() *fix.Target { return target("example.org/x/net") },
			Want:   map[string][]string{"api/go.mod": {"replace example.org/x/net => example.org/x/net v0.38.0 // held back\n"}},
		},
	})
}

// goCommand runs go in a folder.
func goCommand(t *testing.T, dir string, args ...string) (string, error) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func TestAModuleThatWasTidyIsTidyAfterwards(t *testing.T) {
	fixtest.GoProxy(t, proxy)
	t.Setenv("GOWORK", "off")
	raise := fix.Path{
		Kind: fix.RaiseDirect, Module: "api",
		Changes: []fix.Change{{Package: "example.org/web", From: "v1.2.0", To: "v1.3.0", Direct: true}},
	}
	for _, tidy := range []bool{true, false} {
		dir := t.TempDir()
		module := filepath.Join(dir, "api")
		for name, text := range with(sources, "api/go.mod", strings.ReplaceAll(shop, "; pinned", "")) {
			if err := fix.PutFile(dir, name, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		if out, err := goCommand(t, module, "mod", "tidy"); err != nil {
			t.Skipf("go mod tidy: %v: %s", err, out)
		}
		if out, err := goCommand(t, module, "mod", "tidy", "-diff"); err != nil {
			t.Skipf("this go does not compare: %v: %s", err, out)
		}
		sums, err := fix.ReadFile(dir, "api/go.sum")
		if err != nil {
			t.Fatal(err)
		}
		other := "example.org/other v1.0.0 h1:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n"
		if !tidy {
			if err := fix.WriteFile(dir, "api/go.sum", append([]byte(other), sums...)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := gomod.New().Apply(t.Context(), dir, raise); err != nil {
			t.Fatal(err)
		}
		after, err := fix.ReadFile(dir, "api/go.sum")
		if err != nil {
			t.Fatal(err)
		}
		if out, err := goCommand(t, module, "mod", "tidy", "-diff"); (err == nil) != tidy || !tidy && !strings.Contains(string(after), other) {
			t.Errorf("tidy before: %v; go mod tidy -diff afterwards: %v\n%s", tidy, err, out)
		}
		if mod, err := fix.ReadFile(dir, "api/go.mod"); err != nil || !strings.Contains(string(mod), "v1.3.0 // keep in step with the design\n") {
			t.Errorf("%v: go.mod:\n%s", err, mod)
		}
	}
}

func TestMembersOfATrainMoveAsFarAsTheFurthest(t *testing.T) {
	t.Parallel()
	about := target("example.org/x/crypto")
	about.Tree = code.Files{"api/go.mod": []byte(shop)}
	paths, err := gomod.New().Plan(t.Context(), about)
	if err != nil || len(paths) != 1 {
		t.Fatalf("Plan() = %v, %v", paths, err)
	}
	if got := paths[0].Changes[0].To; got != "v0.36.0" {
		t.Errorf("crypto goes to %s, expected v0.36.0, four releases on like net", got)
	}
}

func TestAnAncestorIsRaisedToTheLowestVersionThatBringsTheFix(t *testing.T) {
	fixtest.GoProxy(t, proxy)
	registry, err := gomod.NewRegistry(t.Context())
	if err != nil {
		t.Skipf("no go command: %v", err)
	}
	defer registry.Close()
	about := target("example.org/x/net")
	about.Tree, about.Registry = code.Files{"api/go.mod": []byte(shop)}, registry
	paths, err := gomod.New().Plan(t.Context(), about)
	if err != nil || len(paths) != 2 {
		t.Fatalf("Plan() = %v, %v", paths, err)
	}
	p := paths[1]
	if p.Kind != fix.RaiseAncestor || p.Changes[0].Package != "example.org/web" || p.Changes[0].To != "v1.3.0" {
		t.Errorf("ancestor path = %+v", p)
	}
	if len(p.Closes) != 2 {
		t.Errorf("closes %q, expected both flaws of net", p.Closes)
	}
}

func TestAConstraintThatBlocksIsNamedWithItsLine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, mod string
		want      fix.Block
	}{
		{
			"replaced by a folder", shop + "\nreplace example.org/x/net => ../net\n",
			fix.Block{Location: fact.Location{Path: "api/go.mod", Line: 12, EndLine: 12}, Constraint: "replace example.org/x/net => ../net", Needs: "v0.38.0"},
		},
		{
			"excluded", shop + "\nexclude example.org/x/net v0.38.0\n",
			fix.Block{Location: fact.Location{Path: "api/go.mod", Line: 12, EndLine: 12}, Constraint: "exclude example.org/x/net v0.38.0", Needs: "v0.38.0"},
		},
	} {
		about := target("example.org/x/net")
		about.Tree = code.Files{"api/go.mod": []byte(test.mod)}
		paths, err := gomod.New().Plan(t.Context(), about)
		if err != nil || len(paths) != 0 || len(about.Blocked) != 1 || about.Blocked[0] != test.want {
			t.Errorf("%s: Plan() = %v, %v, blocked by %+v, expected %+v", test.name, paths, err, about.Blocked, test.want)
		}
	}
}

func TestAVersionThatDoesNotExistLeavesTheFilesAsTheyWere(t *testing.T) {
	fixtest.GoProxy(t, proxy)
	fixtest.Unchanged(t, gomod.New(), sources, fix.Path{
		Kind: fix.RaiseDirect, Module: "api",
		Changes: []fix.Change{{Package: "example.org/x/net", From: "v0.34.0", To: "v0.99.0"}},
	}, "v0.99.0")
}

func TestNamesThatAreNoneNeverBecomeArguments(t *testing.T) {
	t.Parallel()
	for _, change := range []fix.Change{
		{Package: "-exec=touch", To: "v1.0.0"},
		{Package: "example.org/x/net", To: "v0.38.0 -x"},
		{Package: "example.org/x/net", To: "latest"},
		{Package: "stdlib", To: "1.21.5\nreplace a => b"},
	} {
		fixtest.Unchanged(t, gomod.New(), sources, fix.Path{Kind: fix.RaiseDirect, Module: "api", Changes: []fix.Change{change}}, "")
	}
}
