package composer_test

import (
	"context"
	"encoding/json"
	"fmt"
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
	"github.com/backstitch/backstitch/fix/composer"
	"github.com/backstitch/backstitch/fix/fixtest"
)

var packages = map[string]string{
	"acme/qs@1.0.0": "", "acme/qs@1.0.5": "", "acme/qs@1.2.0": "", "acme/qs@2.0.0": "", "acme/qs@2.1.0": "",
	"acme/web@v3.2.10": "acme/qs ^1.0", "acme/web@v3.2.11": "acme/qs ^1.0", "acme/web@v3.9.0": "acme/qs ^1.0", "acme/web@v4.0.0": "acme/qs ^2", "acme/web@v4.1.0": "acme/qs ^2",
}

// repository serves packages and makes it the only repository of the operator's
// composer.
func repository(t *testing.T) {
	t.Helper()
	listed := map[string]map[string]any{}
	for key, requires := range packages {
		name, version, _ := strings.Cut(key, "@")
		if listed[name] == nil {
			listed[name] = map[string]any{}
		}
		entry := map[string]any{"name": name, "version": version, "dist": dist(key)}
		if other, constraint, ok := strings.Cut(requires, " "); ok {
			entry["require"] = map[string]string{other: constraint, "php": ">=99"}
		}
		listed[name][version] = entry
	}
	text, err := json.Marshal(map[string]any{"packages": listed})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "" {
			t.Error("composer sent a credential")
		}
		if r.URL.Path != "/packages.json" {
			http.NotFound(w, r)
			return
		}
		if _, err := w.Write(text); err != nil {
			t.Log(err)
		}
	}))
	t.Cleanup(server.Close)
	home := t.TempDir()
	settings := fmt.Sprintf(`{"config":{"secure-http":false,"http-basic":{"127.0.0.1":{"username":"canary","password":"canary"}}},"repositories":[{"type":"composer","url":"http://someone:canary@%s"},{"packagist.org":false}]}`, strings.TrimPrefix(server.URL, "http://"))
	if err := os.WriteFile(filepath.Join(home, "config.json"), []byte(settings), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("COMPOSER_HOME", home)
}

func dist(key string) map[string]string {
	return map[string]string{"type": "zip", "url": "http://127.0.0.1:9/" + strings.ReplaceAll(key, "/", "-") + ".zip"}
}

// lock writes a composer.lock of packages.
func lock(t *testing.T, keys ...string) string {
	t.Helper()
	list := []map[string]any{}
	for _, key := range keys {
		name, version, _ := strings.Cut(key, "@")
		entry := map[string]any{"name": name, "version": version, "dist": dist(key), "type": "library"}
		if other, constraint, ok := strings.Cut(packages[key], " "); ok {
			entry["require"] = map[string]string{other: constraint}
		}
		list = append(list, entry)
	}
	text, err := json.MarshalIndent(map[string]any{
		"content-hash": "0", "packages": list, "packages-dev": []any{}, "aliases": []any{}, "minimum-stability": "stable",
		"stability-flags": []any{}, "prefer-stable": false, "prefer-lowest": false, "platform": []any{}, "platform-dev": []any{}, "plugin-api-version": "2.3.0",
	}, "", "    ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text) + "\n"
}

const manifest = `{
    "name": "acme/shop",
    "scripts": {"pre-update-cmd": "touch ran"},
    "require": {
        "php": ">=7.2",   "acme/web": "~3.2.10"
    }
}
`

func files(t *testing.T) map[string]string {
	return map[string]string{"api/composer.json": manifest, "api/composer.lock": lock(t, "acme/qs@1.0.0", "acme/web@v3.2.10"), "api/auth.json": "{\"http-basic\": {}}"}
}

// about makes the target for a package of files.
func about(t *testing.T, files map[string]string, name string, registry fix.Registry, flaws ...fact.Advisory) func() *fix.Target {
	t.Helper()
	tree := code.Files{}
	for file, text := range files {
		tree[file] = []byte(text)
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
		return &fix.Target{Module: &modules[0], Modules: modules, Package: at, Advisories: fixtest.Advisories(flaws), Registry: registry, Tree: tree}
	}
}

func flaw(name, fixed string) fact.Advisory {
	return fixtest.Flaw("GHSA-1", "Packagist", name, "0", fixed)
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

func TestComposerRewritesItsLock(t *testing.T) {
	repository(t)
	files := files(t)
	ran := filepath.Join(t.TempDir(), "ran")
	files["api/composer.json"] = strings.Replace(manifest, "touch ran", "touch "+ran, 1)
	both := []string{"api/composer.json", "api/composer.lock"}
	for _, test := range []struct {
		kind, name, fixed string
		may               []string
		lines             map[string]int
		manifest          string
		locked            []string
	}{
		{fix.RaiseLocked, "acme/qs", "1.0.5", both[1:], nil, `"acme/web": "~3.2.10"`, []string{"acme/qs 1.0.5", "acme/web v3.2.10"}},
		{fix.RaiseLocked, "acme/web", "3.2.11", both[1:], nil, `"acme/web": "~3.2.10"`, []string{"acme/qs 1.0.0", "acme/web v3.2.11"}},
		{fix.RaiseDirect, "acme/web", "3.9.0", both, map[string]int{both[0]: 1}, `"php": ">=7.2",   "acme/web": "~3.9.0"`, []string{"acme/qs 1.0.0", "acme/web v3.9.0"}},
		{fix.RaiseDirect, "acme/web", "4.0.0", both, map[string]int{both[0]: 1}, `"acme/web": "~4.0.0"`, []string{"acme/web v4.0.0"}},
		{fix.Override, "acme/qs", "1.0.5", both, nil, "    },\n    \"conflict\": {\n        \"acme/qs\": \"<1.0.5\"\n    }\n}\n", []string{"acme/qs 1.0.5", "acme/web v3.2.10"}},
	} {
		wants := map[string][]string{both[0]: {test.manifest}}
		for _, entry := range test.locked {
			name, version, _ := strings.Cut(entry, " ")
			wants[both[1]] = append(wants[both[1]], fmt.Sprintf("\"name\": %q,\n            \"version\": %q", name, version))
		}
		fixtest.Conformance(t, only{composer.New(), test.kind}, []fixtest.Case{{
			Name: test.kind + " " + test.name + " " + test.fixed, Files: files, Needs: []string{"composer"}, May: test.may, Lines: test.lines,
			Target: about(t, files, test.name, nil, flaw(test.name, test.fixed)), Want: wants,
		}})
	}
	if _, err := os.Stat(ran); err == nil {
		t.Error("a script of the project ran")
	}
}

func TestAncestorsAreRaisedWhereTheyHoldAPackageBack(t *testing.T) {
	repository(t)
	fixtest.Tools(t, "composer")
	r, err := composer.NewRegistry(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if versions, err := r.Versions(t.Context(), "acme/qs"); err != nil || !slices.Equal(versions, []string{"1.0.0", "1.0.5", "1.2.0", "2.0.0", "2.1.0"}) {
		t.Errorf("Versions() = %q, %v", versions, err)
	}
	if requires, err := r.Requirements(t.Context(), "acme/web", "v4.0.0"); err != nil || !cmp.Equal(requires, map[string]string{"acme/qs": "^2"}) {
		t.Errorf("Requirements() = %v, %v", requires, err)
	}
	for _, name := range []string{"acme/absent", "../x", "--help"} {
		if versions, err := r.Versions(t.Context(), name); err == nil {
			t.Errorf("Versions(%s) = %q, expected an error", name, versions)
		}
	}
	files := files(t)
	fixtest.Conformance(t, only{composer.New(), fix.RaiseAncestor}, []fixtest.Case{{
		Name: "to the lowest that allows it", Files: files, Needs: []string{"composer"}, May: []string{"api/composer.json", "api/composer.lock"},
		Target: about(t, files, "acme/qs", r, flaw("acme/qs", "2.0.0")), Lines: map[string]int{"api/composer.json": 1},
		Want: map[string][]string{
			"api/composer.json": {`"acme/web": "~4.0.0"`},
			"api/composer.lock": {"\"acme/web\",\n            \"version\": \"v4.0.0\"", "\"acme/qs\",\n            \"version\": \"2.0.0\""},
		},
	}})
}

func TestWhatHoldsAPackageBackIsNamed(t *testing.T) {
	t.Parallel()
	target := about(t, files(t), "acme/qs", nil, flaw("acme/qs", "2.0.0"))()
	paths, err := composer.New().Plan(t.Context(), target)
	if err != nil || len(paths) > 0 || len(target.Blocked) != 1 || target.Blocked[0].Constraint != "acme/web v3.2.10 requires acme/qs ^1.0" || target.Blocked[0].Location.Line == 0 {
		t.Errorf("Plan() = %v, %v, blocked by %+v", paths, err, target.Blocked)
	}
}

func locked(change fix.Change) fix.Path {
	return fix.Path{Kind: fix.RaiseLocked, Module: "api", Changes: []fix.Change{change}}
}

func TestWhatCannotBeDoneLeavesEveryFileAsItWas(t *testing.T) {
	repository(t)
	files := files(t)
	if _, err := exec.LookPath("composer"); err == nil {
		fixtest.Unchanged(t, composer.New(), files, locked(fix.Change{Package: "acme/qs", From: "1.0.0", To: "2.0.0"}), "api/composer.lock: composer update")
		lowered := lock(t, "acme/qs@1.0.5", "acme/web@v3.2.10")
		fixtest.Unchanged(t, composer.New(), map[string]string{"api/composer.json": manifest, "api/composer.lock": lowered},
			locked(fix.Change{Package: "acme/qs", From: "1.0.5", To: "1.0.0"}), "would lower acme/qs from 1.0.5 to 1.0.0")
	}
	for _, one := range [][2]string{{"svn", "https://x"}, {"vcs", "ext::sh -c x"}, {"path", "/etc"}, {"path", "../../*"}, {"artifact", "file:///etc"}} {
		kind, url := one[0], one[1]
		text := strings.Replace(manifest, `"scripts"`, fmt.Sprintf(`"repositories": {"x": {"type": %q, "url": %q}}, "scripts"`, kind, url), 1)
		fixtest.Unchanged(t, composer.New(), map[string]string{"api/composer.json": text, "api/composer.lock": files["api/composer.lock"]},
			locked(fix.Change{Package: "acme/qs", From: "1.0.0", To: "1.0.5"}), "api/composer.json: repositor")
	}
	for _, change := range []fix.Change{
		{Package: "--working-dir=/", To: "1.0"}, {Package: "acme/qs:1", To: "1.0"}, {Package: "acme/qs", To: "1.0 || 2"}, {Package: "acme/qs", To: "1.0\n"}, {Package: "acme/qs", To: "dev-main"},
	} {
		fixtest.Unchanged(t, composer.New(), files, locked(change), "expected")
	}
	t.Setenv("PATH", t.TempDir())
	fixtest.Unchanged(t, composer.New(), files, locked(fix.Change{Package: "acme/qs", From: "1.0.0", To: "1.0.5"}), "composer: program not found")
}

func TestConflictsAreAddedInTheLayoutOfTheFile(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"{}\n":                            "{\"conflict\": {\"acme/qs\": \"<1.0.5\"}}\n",
		"{\"require\": {}}":               "{\"require\": {}, \"conflict\": {\"acme/qs\": \"<1.0.5\"}}",
		"{\r\n\t\"require\": {}\r\n}\r\n": "{\r\n\t\"require\": {},\r\n\t\"conflict\": {\r\n\t\t\"acme/qs\": \"<1.0.5\"\r\n\t}\r\n}\r\n",
		"{\n  \"conflict\": {\n    \"a/b\": \"1\"\n  }\n}": "{\n  \"conflict\": {\n    \"a/b\": \"1\",\n    \"acme/qs\": \"<1.0.5\"\n  }\n}",
	} {
		dir := t.TempDir()
		name := filepath.Join(dir, "composer.json")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := composer.New().Apply(t.Context(), dir, fix.Path{Kind: fix.Override, Changes: []fix.Change{{Package: "acme/qs", From: "1.0.0", To: "1.0.5"}}})
		got, readErr := os.ReadFile(name)
		if err != nil || readErr != nil || string(got) != want {
			t.Errorf("%q: %v, %v:\n%s", text, err, readErr, cmp.Diff(want, string(got)))
		}
	}
}
