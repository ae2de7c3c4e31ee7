package python_test

import (
	"archive/zip"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/fixtest"
	"github.com/backstitch/backstitch/fix/python"
)

// index serves wheels of name==version with the requirements of each, as a
// simple index, and returns its address.
func index(t *testing.T, packages map[string][]string) string {
	t.Helper()
	wheels := map[string][]byte{}
	for key, requires := range packages {
		name, version, _ := strings.Cut(key, "==")
		info := fmt.Sprintf("%s-%s.dist-info/", name, version)
		metadata := fmt.Sprintf("Metadata-Version: 2.1\nName: %s\nVersion: %s\n", name, version)
		for _, r := range requires {
			metadata += "Requires-Dist: " + r + "\n"
		}
		var buffer bytes.Buffer
		archive := zip.NewWriter(&buffer)
		for _, member := range [][2]string{{"METADATA", metadata}, {"WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n"}, {"RECORD", ""}} {
			w, err := archive.Create(info + member[0])
			if err == nil {
				_, err = w.Write([]byte(member[1]))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := archive.Close(); err != nil {
			t.Fatal(err)
		}
		wheels[fmt.Sprintf("%s-%s-py3-none-any.whl", name, version)] = buffer.Bytes()
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("a tool sent a credential")
		}
		if file, ok := strings.CutPrefix(r.URL.Path, "/files/"); ok && wheels[file] != nil {
			http.ServeContent(w, r, file, time.Time{}, bytes.NewReader(wheels[file]))
			return
		}
		name, ok := strings.CutPrefix(r.URL.Path, "/simple/")
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/html")
		for file, data := range wheels {
			if strings.HasPrefix(file, strings.Trim(name, "/")+"-") {
				fmt.Fprintf(w, "<a href=\"/files/%s#sha256=%x\">%s</a>\n", file, sha256.Sum256(data), file)
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.URL + "/simple"
}

var packages = map[string][]string{
	"web==3.2.10": {"qs>=1.0,<2"}, "web==3.2.11": {"qs>=1.0,<2"}, "web==4.0.0": {"qs>=1.0"},
	"qs==1.0.0": nil, "qs==1.1.0": nil, "qs==1.2.0": nil, "qs==2.0.0": nil,
}

var flaws = fixtest.Advisories{
	fixtest.Flaw("PYSEC-1", "PyPI", "web", "0", "3.2.11"),
	fixtest.Flaw("PYSEC-2", "PyPI", "qs", "0", "1.1.0"),
}

// target is about one package of a module in api.
func target(tool, manifest string, locks []string, p lockfile.Package) func() *fix.Target {
	return func() *fix.Target {
		m := &lockfile.Module{Dir: "api", Ecosystem: "PyPI", Tool: tool, Manifests: []string{manifest}, Locks: locks, Packages: []lockfile.Package{p}}
		return &fix.Target{Module: m, Modules: []lockfile.Module{*m}, Advisories: flaws}
	}
}

func TestPinsInRequirementsAreRaisedInPlace(t *testing.T) {
	web := lockfile.Package{Name: "web", Version: "3.2.10", Path: "api/requirements.txt", Line: 2, Direct: true}
	var cases []fixtest.Case
	for _, test := range []struct{ name, from, to string }{
		{"a pin", "# pins\nWeb[async]==3.2.10 ; os_name == 'posix'  # keep\nqs==1.1.0\n", "# pins\nWeb[async]==3.2.11 ; os_name == 'posix'  # keep\nqs==1.1.0\n"},
		{"other line ends", "# pins\r\nweb == 3.2.10\r\n", "# pins\r\nweb == 3.2.11\r\n"},
		{"a lower bound", "\nweb>=3.2.10, <4", "\nweb>=3.2.11, <4"},
		{"an upper bound only", "\nweb<4 # below\n", "\nweb>=3.2.11,<4 # below\n"},
		{"no bound", "\nweb\n", "\nweb>=3.2.11\n"},
		{"a compatible release", "\nweb~=3.2.10\n", "\nweb~=3.2.11\n"},
		{"a compatible release of two numbers", "\nweb~=3.2\n", "\nweb~=3.2,>=3.2.11\n"},
		{"a prefix", "\nweb==3.2.*\n", "\nweb==3.2.*,>=3.2.11\n"},
		{"an exclusion", "\nweb!=3.2.9,>3.2\n", "\nweb!=3.2.9,>=3.2.11\n"},
	} {
		cases = append(cases, fixtest.Case{
			Name: test.name, Files: map[string]string{"api/requirements.txt": test.from}, May: []string{"api/requirements.txt"},
			Target: target("pip", "api/requirements.txt", nil, web),
			Lines:  map[string]int{"api/requirements.txt": 1},
			Want:   map[string][]string{"api/requirements.txt": {test.to}},
		})
	}
	fixtest.Conformance(t, python.New(), cases)
}

func TestEveryCopyBelowMovesAndNoneGoesDown(t *testing.T) {
	files := map[string]string{
		"api/requirements.txt":     "web==3.2.9\n",
		"api/requirements-dev.txt": "-r requirements.txt\nweb==3.2.10 ; python_version < '3.8'\nweb==3.2.11 ; python_version == '3.8'\nweb>=4.0.0 ; python_version > '3.8'\n",
	}
	about := func() *fix.Target {
		tree := code.Files{}
		for name, text := range files {
			tree[name] = []byte(text)
		}
		modules, err := lockfile.Read(t.Context(), tree)
		if err != nil && len(modules) == 0 {
			t.Fatal(err)
		}
		at := slices.IndexFunc(modules[0].Packages, func(p lockfile.Package) bool { return p.Version == "3.2.9" })
		if len(modules) != 1 || at < 0 {
			t.Fatalf("modules %+v, expected one that holds 3.2.9", modules)
		}
		return &fix.Target{Module: &modules[0], Modules: modules, Package: at, Tree: tree, Advisories: flaws}
	}
	fixtest.Conformance(t, python.New(), []fixtest.Case{{
		Name: "pins of several files", Files: files, Target: about, May: []string{"api/requirements.txt", "api/requirements-dev.txt"},
		Lines: map[string]int{"api/requirements.txt": 1, "api/requirements-dev.txt": 1},
		Want: map[string][]string{
			"api/requirements.txt":     {"web==3.2.11\n"},
			"api/requirements-dev.txt": {"web==3.2.11 ; python_version < '3.8'\n", "web==3.2.11 ; python_version == '3.8'\n", "web>=4.0.0 ; python_version > '3.8'\n"},
		},
	}})
	target := about()
	paths, err := python.New().Plan(t.Context(), target)
	if err != nil || len(paths) != 1 {
		t.Fatalf("Plan() = %v, %v, expected one path", paths, err)
	}
	var moved []string
	for _, p := range target.Module.Packages {
		if slices.Contains(paths[0].Moves, p.Key) {
			moved = append(moved, p.Version)
		}
	}
	if slices.Sort(moved); !slices.Equal(moved, []string{"3.2.10", "3.2.9"}) || len(paths[0].Changes) != 2 {
		t.Errorf("the path moves %q by %+v, expected both copies below", moved, paths[0].Changes)
	}
}

const uvProject = `[project]
name = "shop"   # the shop
version = "1"
requires-python = ">=3.9"
dependencies = [
  "web>=3.2.10,<4", # framework
]
`

func uvLock(url string) string {
	return fmt.Sprintf(`version = 1
revision = 2
requires-python = ">=3.9"

[[package]]
name = "qs"
version = "1.0.0"
source = { registry = %[1]q }
wheels = [
    { url = "%[2]s/files/qs-1.0.0-py3-none-any.whl", hash = "sha256:0000000000000000000000000000000000000000000000000000000000000000" },
]

[[package]]
name = "shop"
version = "1"
source = { virtual = "." }
dependencies = [
    { name = "web" },
]

[package.metadata]
requires-dist = [{ name = "web", specifier = ">=3.2.10,<4" }]

[[package]]
name = "web"
version = "3.2.10"
source = { registry = %[1]q }
dependencies = [
    { name = "qs" },
]
wheels = [
    { url = "%[2]s/files/web-3.2.10-py3-none-any.whl", hash = "sha256:0000000000000000000000000000000000000000000000000000000000000000" },
]
`, url, strings.TrimSuffix(url, "/simple"))
}

func TestUVRewritesItsLock(t *testing.T) {
	url := index(t, packages)
	t.Setenv("UV_DEFAULT_INDEX", url)
	files := map[string]string{"api/pyproject.toml": uvProject, "api/uv.lock": uvLock(url), "api/app.py": "import web\n"}
	locks := []string{"api/uv.lock"}
	fixtest.Conformance(t, python.New(), []fixtest.Case{
		{
			Name: "in the lock only where the constraint allows it", Files: files, Needs: []string{"uv"}, May: locks,
			Target: target("uv", "api/pyproject.toml", locks, lockfile.Package{Name: "web", Version: "3.2.10", Path: "api/uv.lock", Line: 26, Direct: true}),
			Want:   map[string][]string{"api/uv.lock": {"name = \"web\"\nversion = \"3.2.11\"\n", "name = \"qs\"\nversion = \"1.0.0\"\n"}},
		},
		{
			Name: "for a transitive package", Files: files, Needs: []string{"uv"}, May: locks,
			Target: target("uv", "api/pyproject.toml", locks, lockfile.Package{Name: "qs", Version: "1.0.0", Path: "api/uv.lock", Line: 5}),
			Want:   map[string][]string{"api/uv.lock": {"name = \"qs\"\nversion = \"1.1.0\"\n"}},
		},
	})
	for _, test := range []struct {
		kind, name, version, manifest, lock string
	}{
		{fix.RaiseDirect, "web", "3.2.10", `  "web>=3.2.11,<4", # framework`, "name = \"web\"\nversion = \"3.2.11\"\n"},
		{fix.Override, "qs", "1.0.0", "]\n\n[tool.uv]\noverride-dependencies = [\"qs>=1.1.0\"]\n", "name = \"qs\"\nversion = \"1.1.0\"\n"},
	} {
		fixtest.Conformance(t, only{python.New(), test.kind}, []fixtest.Case{{
			Name: test.kind, Files: files, Needs: []string{"uv"}, May: []string{"api/pyproject.toml", "api/uv.lock"},
			Target: target("uv", "api/pyproject.toml", locks, lockfile.Package{Name: test.name, Version: test.version, Path: "api/uv.lock"}),
			Want:   map[string][]string{"api/pyproject.toml": {test.manifest}, "api/uv.lock": {test.lock}},
		}})
	}
}

// only keeps the paths of one kind of a fixer.
type only struct {
	fix.ModuleFixer
	kind string
}

func (o only) Plan(ctx context.Context, target *fix.Target) ([]fix.Path, error) {
	paths, err := o.ModuleFixer.Plan(ctx, target)
	return slices.DeleteFunc(paths, func(p fix.Path) bool { return p.Kind != o.kind }), err
}

func poetryProject(url string) string {
	return fmt.Sprintf(`[tool.poetry]
name = "shop"
version = "1"
description = ""
authors = []
package-mode = false

[tool.poetry.dependencies]
python = ">=3.9"
web = "^3.2.10"   # framework

[[tool.poetry.source]]
name = "ours"
url = %q
priority = "primary"
`, url)
}

func poetryLock(url string) string {
	text := "# This file is automatically @generated by Poetry 2.1.0 and should not be changed by hand.\n"
	for _, p := range [][3]string{{"qs", "1.0.0", ""}, {"web", "3.2.10", "\n[package.dependencies]\nqs = \">=1.0,<2\"\n"}} {
		text += fmt.Sprintf("\n[[package]]\nname = %q\nversion = %q\ndescription = \"\"\noptional = false\npython-versions = \"*\"\ngroups = [\"main\"]\nfiles = []\n%s\n[package.source]\ntype = \"legacy\"\nurl = %q\nreference = \"ours\"\n", p[0], p[1], p[2], url)
	}
	return text + "\n[metadata]\nlock-version = \"2.1\"\npython-versions = \">=3.9\"\ncontent-hash = \"0\"\n"
}

func TestPoetryRewritesItsLock(t *testing.T) {
	url := index(t, packages)
	locks := []string{"api/poetry.lock"}
	fixtest.Conformance(t, only{python.New(), fix.RaiseDirect}, []fixtest.Case{{
		Name: "after its constraint was raised", Needs: []string{"poetry"}, May: []string{"api/poetry.lock", "api/pyproject.toml"},
		Files:  map[string]string{"api/pyproject.toml": poetryProject(url), "api/poetry.lock": poetryLock(url)},
		Target: target("poetry", "api/pyproject.toml", locks, lockfile.Package{Name: "web", Version: "3.2.10", Path: "api/poetry.lock", Direct: true}),
		Lines:  map[string]int{"api/pyproject.toml": 1},
		Want: map[string][]string{
			"api/pyproject.toml": {"\nweb = \"^3.2.11\"   # framework\n"},
			"api/poetry.lock":    {"name = \"web\"\nversion = \"3.2.11\"\n", "name = \"qs\"\nversion = \"1.0.0\"\n"},
		},
	}})
}

func TestAConstraintThatBlocksIsNamedWithItsLine(t *testing.T) {
	t.Parallel()
	flawed := fixtest.Advisories{fixtest.Flaw("PYSEC-3", "PyPI", "qs", "0", "2.0.0")}
	for _, test := range []struct {
		name  string
		files code.Files
		about func() *fix.Target
		want  fix.Block
	}{
		{
			"an upper bound", code.Files{"api/requirements.txt": []byte("# x\nqs>=1,<=1.9\n")},
			target("pip", "api/requirements.txt", nil, lockfile.Package{Name: "qs", Version: "1.0.0", Direct: true}),
			fix.Block{Location: fact.Location{Path: "api/requirements.txt", Line: 2, EndLine: 2}, Constraint: "qs<=1.9", Needs: "2.0.0"},
		},
		{
			"a package of the lock", code.Files{"api/pyproject.toml": []byte(poetryProject("http://index.invalid")), "api/poetry.lock": []byte(poetryLock("http://index.invalid"))},
			target("poetry", "api/pyproject.toml", []string{"api/poetry.lock"}, lockfile.Package{Name: "qs", Version: "1.0.0"}),
			fix.Block{Location: fact.Location{Path: "api/poetry.lock"}, Constraint: "web 3.2.10 requires qs >=1.0,<2", Needs: "2.0.0"},
		},
	} {
		about := test.about()
		about.Tree, about.Advisories = test.files, flawed
		paths, err := python.New().Plan(t.Context(), about)
		if err != nil || len(paths) != 0 || !slices.Equal(about.Blocked, []fix.Block{test.want}) {
			t.Errorf("%s: Plan() = %v, %v, blocked by %+v, expected %+v", test.name, paths, err, about.Blocked, test.want)
		}
	}
}

func TestPinsWithHashesAreLeftToTheToolThatWroteThem(t *testing.T) {
	t.Parallel()
	files := map[string]string{"api/requirements.txt": "web==3.2.10 \\\n    --hash=sha256:aa\n"}
	about := target("pip", "api/requirements.txt", nil, lockfile.Package{Name: "web", Version: "3.2.10", Direct: true})()
	about.Tree = code.Files{"api/requirements.txt": []byte(files["api/requirements.txt"])}
	paths, err := python.New().Plan(t.Context(), about)
	if err != nil || len(paths) != 1 {
		t.Fatalf("Plan() = %v, %v", paths, err)
	}
	fixtest.Unchanged(t, python.New(), files, paths[0], "api/requirements.txt:1: web is pinned with hashes")
}

func TestNamesThatAreNoneNeverBecomeArguments(t *testing.T) {
	t.Parallel()
	files := map[string]string{"api/requirements.txt": "web==3.2.10\n"}
	for _, change := range []fix.Change{
		{Package: "--index-url=x", To: "1.0"}, {Package: "web @ http://x", To: "1.0"}, {Package: "web", To: "1.0\n--index-url x"}, {Package: "web", To: "latest"},
	} {
		fixtest.Unchanged(t, python.New(), files, fix.Path{
			Kind: fix.RaiseDirect, Module: "api", Changes: []fix.Change{change},
			Steps: []fix.Step{{Location: &fact.Location{Path: "api/requirements.txt", Line: 1}}},
		}, "expected")
	}
}

// known is an index in memory: requirements by name==version.
type known map[string]map[string]string

func (k known) Versions(_ context.Context, name string) ([]string, error) {
	var versions []string
	for key := range k {
		if of, version, _ := strings.Cut(key, "=="); of == name {
			versions = append(versions, version)
		}
	}
	slices.Sort(versions)
	return versions, nil
}

func (k known) Requirements(_ context.Context, name, version string) (map[string]string, error) {
	return k[name+"=="+version], nil
}

func TestConstraintsOfAPipfileAreRaised(t *testing.T) {
	pipfile := "[packages]\nweb = \"~=3.2.10\"   # framework\nqs = {version = \">=1,<2\", extras = [\"x\"]}\nlib = {path = \"lib\", editable = true}\n\n[dev-packages]\nweb = '*'\n"
	fixtest.Conformance(t, python.New(), []fixtest.Case{
		{
			Name: "in every category", Files: map[string]string{"api/Pipfile": pipfile}, May: []string{"api/Pipfile"}, Lines: map[string]int{"api/Pipfile": 2},
			Target: target("pipenv", "api/Pipfile", nil, lockfile.Package{Name: "web", Version: "3.2.10", Direct: true}),
			Want:   map[string][]string{"api/Pipfile": {"web = \"~=3.2.11\"   # framework\n", "web = '>=3.2.11'\n"}},
		},
		{
			Name: "with their upper bound", Files: map[string]string{"api/Pipfile": pipfile}, May: []string{"api/Pipfile"}, Lines: map[string]int{"api/Pipfile": 1},
			Target: func() *fix.Target {
				about := target("pipenv", "api/Pipfile", nil, lockfile.Package{Name: "qs", Version: "1.0.0", Direct: true})()
				about.Advisories = fixtest.Advisories{fixtest.Flaw("PYSEC-3", "PyPI", "qs", "0", "2.0.0")}
				return about
			},
			Want: map[string][]string{"api/Pipfile": {"qs = {version = \">=2.0.0,<3\", extras = [\"x\"]}\n"}},
		},
	})
	fixtest.Unchanged(t, python.New(), map[string]string{"api/Pipfile": pipfile, "api/Pipfile.lock": "{}"}, fix.Path{
		Kind: fix.RaiseDirect, Module: "api", Changes: []fix.Change{{Package: "web", From: "3.2.10", To: "3.2.11"}},
		Steps: []fix.Step{{Location: &fact.Location{Path: "api/Pipfile", Line: 2}}},
	}, "api/Pipfile: lib comes from path; pipenv would run its build")
	fixtest.Unchanged(t, python.New(), map[string]string{"api/Pipfile": "[packages]\nweb = \"*\"\nlib.git = \"https\\u003a//x\"\n", "api/Pipfile.lock": "{}"}, fix.Path{
		Kind: fix.RaiseDirect, Module: "api", Changes: []fix.Change{{Package: "web", From: "3.2.10", To: "3.2.11"}},
		Steps: []fix.Step{{Location: &fact.Location{Path: "api/Pipfile", Line: 2}}},
	}, "api/Pipfile: lib comes from git; pipenv would run its build")
	t.Setenv("PATH", t.TempDir())
	fixtest.Unchanged(t, python.New(), map[string]string{"api/Pipfile": "[packages]\nweb = \"*\"\n", "api/Pipfile.lock": "{}"}, fix.Path{
		Kind: fix.RaiseDirect, Module: "api", Changes: []fix.Change{{Package: "web", From: "3.2.10", To: "3.2.11"}},
		Steps: []fix.Step{{Location: &fact.Location{Path: "api/Pipfile", Line: 2}}},
	}, "pipenv: program not found")
}

func TestPipenvRewritesItsLock(t *testing.T) {
	url := index(t, packages)
	pipfile := fmt.Sprintf("[[source]]\nurl = %q\nverify_ssl = false\nname = \"ours\"\n\n[packages]\nweb = {version = \"~=3.2.10\"}   # framework\n", url)
	lock := fmt.Sprintf(`{
    "_meta": {"hash": {"sha256": "0"}, "pipfile-spec": 6, "requires": {}, "sources": [{"name": "ours", "url": %q, "verify_ssl": false}]},
    "default": {
        "qs": {"hashes": ["sha256:0000000000000000000000000000000000000000000000000000000000000000"], "version": "==1.0.0"},
        "web": {"hashes": ["sha256:0000000000000000000000000000000000000000000000000000000000000000"], "index": "ours", "version": "==3.2.10"}
    },
    "develop": {}
}
`, url)
	fixtest.Conformance(t, only{python.New(), fix.RaiseDirect}, []fixtest.Case{{
		Name: "after its constraint was raised", Needs: []string{"pipenv"}, May: []string{"api/Pipfile", "api/Pipfile.lock"},
		Files:  map[string]string{"api/Pipfile": pipfile, "api/Pipfile.lock": lock},
		Target: target("pipenv", "api/Pipfile", []string{"api/Pipfile.lock"}, lockfile.Package{Name: "web", Version: "3.2.10", Path: "api/Pipfile.lock", Line: 5, Direct: true}),
		Lines:  map[string]int{"api/Pipfile": 1},
		Want:   map[string][]string{"api/Pipfile": {"web = {version = \"~=3.2.11\"}   # framework\n"}, "api/Pipfile.lock": {"\"version\": \"==3.2.11\""}},
	}})
}

func TestAncestorsAreRaisedWhereTheyHoldAPackageBack(t *testing.T) {
	file := "api/requirements.txt"
	text := "web ~= 1.0.0  # framework\nother==1.0.0\n"
	fixtest.Conformance(t, only{python.New(), fix.RaiseAncestor}, []fixtest.Case{{
		Name: "up to the manifest", Files: map[string]string{file: text}, May: []string{file}, Lines: map[string]int{file: 1},
		Target: func() *fix.Target {
			about := target("pip", file, nil, lockfile.Package{Name: "qs", Version: "1.0.0"})()
			about.Module.Packages = append(about.Module.Packages,
				lockfile.Package{Name: "mid", Version: "1.0.0", Key: "mid", Requires: []int{0}}, lockfile.Package{Name: "web", Version: "1.0.0", Key: "web", Path: file, Line: 1, Requires: []int{1}, Direct: true})
			about.Advisories = fixtest.Advisories{fixtest.Flaw("PYSEC-3", "PyPI", "qs", "0", "2.0.0")}
			about.Registry = known{
				"qs==1.0.0": {}, "qs==2.0.0": {}, "mid==1.0.0": {"QS": "==1.0.0"}, "mid==1.1.0": {"qs": "<2"}, "mid==2.0.0": {"qs": ">=2"},
				"web==1.0.0": {"Mid": "~=1.0"}, "web==1.0.1": {"mid": "~=1.1"}, "web==2.0.0": {"mid": "~=2.0"}, "web==3.0.0": {},
			}
			return about
		},
		Want: map[string][]string{file: {"web ~= 2.0.0  # framework\nother==1.0.0\n"}},
	}})
}
