package bundler_test

import (
	"context"
	"crypto/md5"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/bundler"
	"github.com/backstitch/backstitch/fix/fixtest"
)

var gems = map[string]string{
	"qs":  "1.0.0 |checksum:aa\n1.0.5 |checksum:ab\n1.2.0 |checksum:ac\n2.0.0 |checksum:ad\n2.1.0 |checksum:ae\n",
	"web": "3.2.10 qs:~> 1.0|checksum:b1\n3.2.11 qs:~> 1.0|checksum:b2\n3.9.0 qs:>= 1.0&< 2|checksum:b3\n4.0.0 qs:~> 2.0|checksum:b4\n4.1.0 qs:~> 2.0|checksum:b5\n",
	"elf": "1.0.0 |checksum:c1\n1.0.0-arm64-darwin |checksum:c2\n1.0.0-x86_64-linux |checksum:c3\n1.0.1 |checksum:c4\n1.0.1-arm64-darwin |checksum:c5\n1.0.1-x86_64-linux |checksum:c6\n",
}

// index serves gems as a compact index, makes it the source of the operator's gem,
// and returns its address.
func index(t *testing.T) string {
	t.Helper()
	versions := "created_at: 2024-01-01T00:00:00Z\n---\n"
	for _, name := range slices.Sorted(maps.Keys(gems)) {
		var list []string
		for line := range strings.Lines(gems[name]) {
			list = append(list, strings.Fields(line)[0])
		}
		versions += fmt.Sprintf("%s %s %x\n", name, strings.Join(list, ","), md5.Sum([]byte("---\n"+gems[name])))
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("bundler sent a credential")
		}
		switch name := strings.TrimPrefix(r.URL.Path, "/info/"); {
		case r.URL.Path == "/versions":
			fmt.Fprint(w, versions)
		case gems[name] != "":
			fmt.Fprint(w, "---\n"+gems[name])
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(server.Close)
	home := t.TempDir()
	settings := fmt.Sprintf(":sources:\n- http://someone:canary@%s/\n", strings.TrimPrefix(server.URL, "http://"))
	if err := os.WriteFile(filepath.Join(home, ".gemrc"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("HOME", home)
	return server.URL
}

// files is a project whose Gemfile would be noticed if it ran.
func files(url string) map[string]string {
	return map[string]string{
		"api/Gemfile": `source "https://gems.example"
raise "this ran"

group :production do
  gem 'web', '~> 3.2.10',   # framework
      require: false
  gem "elf", ">= 1.0", "< 2"
end
gem "own", path: "own"
gem "lib", git: "https://forge.example/lib.git"
`,
		"api/own/own.gemspec": "raise \"this ran\"\n",
		"api/Gemfile.lock": strings.ReplaceAll(`GIT
  remote: https://forge.example/lib.git
  revision: 0123456789abcdef0123456789abcdef01234567
  specs:
    lib (0.3.0)
      qs (>= 1.0)
    liblet (0.3.0)

PATH
  remote: own
  specs:
    own (0.1.0)

GEM
  remote: URL/
  specs:
    elf (1.0.0)
    elf (1.0.0-arm64-darwin)
    qs (1.0.0)
    web (3.2.10)
      qs (~> 1.0)

PLATFORMS
  arm64-darwin
  ruby

DEPENDENCIES
  elf (>= 1.0, < 2)
  lib!
  own!
  web (~> 3.2.10)

RUBY VERSION
   ruby 3.4.0p0

BUNDLED WITH
   2.9.99
`, "URL", url),
	}
}

// about makes the target for a gem of files.
func about(t *testing.T, files map[string]string, name string, registry fix.Registry, fixed string) func() *fix.Target {
	t.Helper()
	tree := code.Files{}
	for file, text := range files {
		if !strings.Contains(file, "own/") {
			tree[file] = []byte(text)
		}
	}
	modules, err := lockfile.Read(t.Context(), tree)
	if err != nil || len(modules) != 1 {
		t.Fatalf("%d modules, %v: %+v", len(modules), err, modules)
	}
	at := slices.IndexFunc(modules[0].Packages, func(p lockfile.Package) bool { return p.Name == name })
	if at < 0 {
		t.Fatalf("no %s in %+v", name, modules[0].Packages)
	}
	return func() *fix.Target {
		return &fix.Target{
			Module: &modules[0], Modules: modules, Package: at, Registry: registry, Tree: tree,
			Advisories: fixtest.Advisories{fixtest.Flaw("GHSA-1", "RubyGems", name, "0", fixed)},
		}
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

func TestBundlerResolvesWhatTheLockSays(t *testing.T) {
	files := files(index(t))
	manifest, lock := "api/Gemfile", "api/Gemfile.lock"
	kept := []string{"GIT\n  remote: https://forge.example/lib.git\n  revision: 0123456789abcdef0123456789abcdef01234567\n  specs:\n    lib (0.3.0)\n      qs (>= 1.0)\n    liblet (0.3.0)\n\nPATH\n  remote: own\n  specs:\n    own (0.1.0)\n\nGEM\n  remote: http://127",
		"PLATFORMS\n  arm64-darwin\n  ruby\n\nDEPENDENCIES\n", "\n\nRUBY VERSION\n   ruby 3.4.0p0\n\nBUNDLED WITH\n   2.9.99\n"}
	for _, test := range []struct {
		kind, name, fixed string
		may               []string
		lines             map[string]int
		manifest, locked  string
	}{
		{fix.RaiseLocked, "qs", "1.0.5", []string{lock}, map[string]int{lock: 1}, "'~> 3.2.10',   # framework", "    qs (1.0.5)\n    web (3.2.10)\n      qs (~> 1.0)\n"},
		{fix.RaiseLocked, "elf", "1.0.1", []string{lock}, map[string]int{lock: 2}, `">= 1.0"`, "    elf (1.0.1)\n    elf (1.0.1-arm64-darwin)\n    qs (1.0.0)\n"},
		{fix.RaiseDirect, "web", "4.0.0", []string{manifest, lock}, map[string]int{manifest: 1, lock: 4}, "  gem 'web', '~> 4.0.0',   # framework\n", "    web (4.0.0)\n      qs (~> 2.0)\n"},
		{fix.RaiseDirect, "elf", "1.0.1", []string{manifest, lock}, map[string]int{manifest: 1, lock: 3}, "  gem \"elf\", \">= 1.0.1\", \"< 2\"\n", "  elf (>= 1.0.1, < 2)\n"},
	} {
		fixtest.Conformance(t, only{bundler.New(), test.kind}, []fixtest.Case{{
			Name: test.kind + " " + test.name + " " + test.fixed, Files: files, Needs: []string{"bundle"}, May: test.may, Lines: test.lines,
			Target: about(t, files, test.name, nil, test.fixed), Want: map[string][]string{manifest: {test.manifest}, lock: append(slices.Clone(kept), test.locked)},
		}})
	}
	fixtest.Conformance(t, only{bundler.New(), fix.Override}, []fixtest.Case{{
		Name: "a line of its own", Files: files, Needs: []string{"bundle"}, May: []string{manifest, lock},
		Target: about(t, files, "qs", nil, "1.0.5"),
		Want: map[string][]string{
			manifest: {"lib.git\"\ngem 'qs', '>= 1.0.5'\n"},
			lock:     {"  own!\n  qs (>= 1.0.5)\n  web (~> 3.2.10)\n", "    qs (1.0.5)\n"},
		},
	}})
}

func TestConstraintsOfAGemspecChangeInTheLockToo(t *testing.T) {
	url := index(t)
	files := map[string]string{
		"api/Gemfile":      "source 'https://gems.example'\ngemspec\n",
		"api/own.gemspec":  "Gem::Specification.new do |s|\n  s.name = 'own'\n  s.version = '1.0'\n  s.add_dependency 'qs', '~> 1.0'\n  raise 'this ran'\nend\n",
		"api/Gemfile.lock": "PATH\n  remote: .\n  specs:\n    own (1.0)\n      qs (~> 1.0)\n\nGEM\n  remote: " + url + "/\n  specs:\n    qs (1.0.0)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  own!\n\nBUNDLED WITH\n   2.1.4\n",
	}
	fixtest.Conformance(t, only{bundler.New(), fix.RaiseDirect}, []fixtest.Case{{
		Name: "gemspec", Files: files, Needs: []string{"bundle"}, May: []string{"api/own.gemspec", "api/Gemfile.lock"},
		Target: about(t, files, "qs", nil, "1.0.5"), Lines: map[string]int{"api/own.gemspec": 1, "api/Gemfile.lock": 2},
		Want: map[string][]string{"api/own.gemspec": {"'qs', '~> 1.0', '>= 1.0.5'\n"}, "api/Gemfile.lock": {"    own (1.0)\n      qs (~> 1.0, >= 1.0.5)\n", "    qs (1.0.5)\n"}},
	}})
}

func TestAncestorsAreRaisedWhereTheyHoldAGemBack(t *testing.T) {
	files := files(index(t))
	fixtest.Tools(t, "bundle")
	r, err := bundler.NewRegistry(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if versions, err := r.Versions(t.Context(), "elf"); err != nil || !slices.Equal(versions, []string{"1.0.0", "1.0.1"}) {
		t.Errorf("Versions() = %q, %v", versions, err)
	}
	if requires, err := r.Requirements(t.Context(), "web", "3.9.0"); err != nil || !cmp.Equal(requires, map[string]string{"qs": ">= 1.0, < 2"}) {
		t.Errorf("Requirements() = %v, %v", requires, err)
	}
	for _, name := range []string{"absent", "../x", "--help", "a'; exit"} {
		if versions, err := r.Versions(t.Context(), name); err == nil {
			t.Errorf("Versions(%s) = %q, expected an error", name, versions)
		}
	}
	fixtest.Conformance(t, only{bundler.New(), fix.RaiseAncestor}, []fixtest.Case{{
		Name: "to the lowest that allows it", Files: files, Needs: []string{"bundle"}, May: []string{"api/Gemfile", "api/Gemfile.lock"},
		Target: about(t, files, "qs", r, "2.0.0"), Lines: map[string]int{"api/Gemfile": 1},
		Want: map[string][]string{"api/Gemfile": {"'~> 4.0.0'"}, "api/Gemfile.lock": {"    qs (2.0.0)\n    web (4.0.0)\n      qs (~> 2.0)\n"}},
	}})
}

func TestWhatHoldsAGemBackIsNamed(t *testing.T) {
	t.Parallel()
	lock := "GEM\n  remote: https://gems.example/\n  specs:\n    qs (1.0.0)\n    web (3.2.10)\n      qs (~> 1.0)\n\nPLATFORMS\n  ruby\n\nDEPENDENCIES\n  qs (< 2)\n  web\n"
	for _, test := range []struct {
		gemfile string
		want    []fix.Block
	}{
		{"gem 'web'\ngem 'qs', LIMIT\n", []fix.Block{
			{Location: *fix.At("Gemfile", 2, 0), Constraint: "qs < 2 (not a literal)", Needs: "2.0.0"},
			{Location: *fix.At("Gemfile.lock", 5, 6), Constraint: "web 3.2.10 requires qs ~> 1.0", Needs: "2.0.0"},
		}},
		{"gem 'web'\ninstance_eval(File.read('more'))\n", []fix.Block{
			{Location: fact.Location{Path: "Gemfile.lock"}, Constraint: "qs < 2", Needs: "2.0.0"},
			{Location: *fix.At("Gemfile.lock", 5, 6), Constraint: "web 3.2.10 requires qs ~> 1.0", Needs: "2.0.0"},
		}},
	} {
		target := about(t, map[string]string{"Gemfile": test.gemfile, "Gemfile.lock": lock}, "qs", nil, "2.0.0")()
		paths, err := bundler.New().Plan(t.Context(), target)
		if err != nil || len(paths) > 0 || !cmp.Equal(target.Blocked, test.want) {
			t.Errorf("Plan() = %v, %v, blocked:\n%s", paths, err, cmp.Diff(test.want, target.Blocked))
		}
	}
}

func locked(change fix.Change) fix.Path {
	return fix.Path{Kind: fix.RaiseLocked, Module: "api", Changes: []fix.Change{change}}
}

func TestWhatCannotBeDoneLeavesEveryFileAsItWas(t *testing.T) {
	all := files(index(t))
	one := fix.Change{Package: "qs", From: "1.0.0", To: "1.0.5"}
	with := func(old, text string) map[string]string {
		changed := maps.Clone(all)
		changed["api/Gemfile.lock"] = strings.Replace(changed["api/Gemfile.lock"], old, text, 1)
		if changed["api/Gemfile.lock"] == all["api/Gemfile.lock"] {
			t.Fatalf("nothing to replace: %q", old)
		}
		return changed
	}
	if _, err := exec.LookPath("bundle"); err == nil {
		fixtest.Unchanged(t, bundler.New(), all, locked(fix.Change{Package: "qs", From: "1.0.0", To: "2.0.0"}), "api/Gemfile.lock: bundle lock")
		fixtest.Unchanged(t, bundler.New(), with("    qs (1.0.0)", "    qs (1.2.0)"), locked(one), "would lower qs from 1.2.0 to 1.0.5")
	}
	fixtest.Unchanged(t, bundler.New(), with("http://127", "file:///127"), locked(one), "expected an http address")
	fixtest.Unchanged(t, bundler.New(), with("  remote: http://127", "  remote: https://more.example/\n  remote: http://127"), locked(one), "more than one registry")
	fixtest.Unchanged(t, bundler.New(), with("  web (~> 3.2.10)", "  web (~> 3'; exit '.2)"), locked(one), "expected a constraint")
	fixtest.Unchanged(t, bundler.New(), with("    own (0.1.0)", "    .. (0.1.0)"), locked(one), "expected a gem")
	fixtest.Unchanged(t, bundler.New(), with("GEM\n", "<<<<<<< ours\nGEM\n"), locked(one), "api/Gemfile.lock:14: expected a section")
	for _, change := range []fix.Change{
		{Package: "--help", To: "1.0"}, {Package: "qs'", To: "1.0"}, {Package: "qs", To: "1.0'"}, {Package: "qs", To: ">= 1"}, {Package: "qs", To: "1.0\n"},
	} {
		fixtest.Unchanged(t, bundler.New(), all, locked(change), "expected")
	}
	t.Setenv("PATH", t.TempDir())
	fixtest.Unchanged(t, bundler.New(), all, locked(one), "bundle: program not found")
}

func TestConstraintsOfGemfilesAndGemspecsAreReplacedInPlace(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, text, want string }{
		{"Gemfile", "gem \"qs\"\r\n", "gem \"qs\", \">= 1.0.5\"\r\n"},
		{"Gemfile", "  gem('qs', '~> 1.0', require: 'x')\n# gem 'qs', '1'\n", "  gem('qs', '~> 1.0', '>= 1.0.5', require: 'x')\n# gem 'qs', '1'\n"},
		{"Gemfile", "gem 'qs', '= 1.0.0' unless x\ngem 'qs',\n  '>= 0.9',\n  '!= 1.0.1'\n", "gem 'qs', '= 1.0.5' unless x\ngem 'qs',\n  '>= 1.0.5',\n  '!= 1.0.1'\n"},
		{"Gemfile", "gem 'qs', 'source' => 'https://x'\n", "gem 'qs', '>= 1.0.5', 'source' => 'https://x'\n"},
		{"a.gemspec", "Gem::Specification.new do |spec|\n  spec.add_runtime_dependency \"qs\", \"~> 1.0.0\"\n  spec.add_dependency(\"other\", \"1\")\nend\n", "Gem::Specification.new do |spec|\n  spec.add_runtime_dependency \"qs\", \"~> 1.0.5\"\n  spec.add_dependency(\"other\", \"1\")\nend\n"},
	} {
		dir := t.TempDir()
		name := filepath.Join(dir, test.name)
		if err := os.WriteFile(name, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := bundler.New().Apply(t.Context(), dir, fix.Path{
			Kind: fix.RaiseDirect, Changes: []fix.Change{{Package: "qs", From: "1.0.0", To: "1.0.5"}}, Steps: []fix.Step{{Location: fix.At(test.name, 1, 0)}},
		})
		got, readErr := os.ReadFile(name)
		if err != nil || readErr != nil || string(got) != test.want {
			t.Errorf("%q: %v, %v:\n%s", test.text, err, readErr, cmp.Diff(test.want, string(got)))
		}
	}
}
