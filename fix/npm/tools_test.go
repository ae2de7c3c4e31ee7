package npm_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/fixtest"
	"github.com/backstitch/backstitch/fix/npm"
)

// kind is one tool with how it writes locks.
type kind struct {
	name    string // pnpm, classic, berry
	program string
	lock    string
	args    []string
	env     func(registry string) []string
	made    map[string]string // locks that were written, by the files they are for
}

// origin stands for the address of a registry in locks that are kept.
const origin = "http://registry.invalid/"

func kinds() []kind {
	return []kind{
		{
			"pnpm", "pnpm", "pnpm-lock.yaml", []string{"install", "--lockfile-only", "--ignore-scripts", "--no-frozen-lockfile"},
			func(registry string) []string { return []string{"npm_config_registry=" + registry} }, map[string]string{},
		},
		{
			"classic", "yarnpkg", "yarn.lock", []string{"install", "--ignore-scripts", "--non-interactive", "--no-default-rc"},
			func(registry string) []string {
				return []string{"npm_config_registry=" + registry, "YARN_REGISTRY=" + registry, "SKIP_YARN_COREPACK_CHECK=1"}
			}, map[string]string{},
		},
		{
			"berry", "yarn-berry", "yarn.lock", []string{"install", "--mode=update-lockfile"},
			func(registry string) []string {
				return []string{
					"YARN_NPM_REGISTRY_SERVER=" + strings.TrimSuffix(registry, "/"), "YARN_UNSAFE_HTTP_WHITELIST=127.0.0.1",
					"YARN_ENABLE_TELEMETRY=0", "YARN_ENABLE_IMMUTABLE_INSTALLS=0", "YARN_ENABLE_SCRIPTS=0",
				}
			}, map[string]string{},
		},
	}
}

// run runs the tool itself in a folder.
func (k *kind) run(t *testing.T, dir, registry string, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, k.program, args...)
	cmd.Dir = dir
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + t.TempDir()}, k.env(registry)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", k.program, args, err, out)
	}
	return string(out)
}

// lockfiles lets the tool write a lock for files as it would have done when only
// some versions were there, and gives the files with it.
func (k *kind) lockfiles(t *testing.T, files map[string]string, old map[string]map[string]string, into string) map[string]string {
	t.Helper()
	result := maps.Clone(files)
	wanted := fmt.Sprint(k.name, files) // maps are printed in order
	if made, ok := k.made[wanted]; ok {
		result[k.lock] = strings.ReplaceAll(made, origin, into)
		return result
	}
	dir := t.TempDir()
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	if k.name == "berry" {
		put(t, filepath.Join(dir, k.lock), "") // it looks for a project no further
	}
	before := registry(t, old)
	k.run(t, dir, before.URL, k.args...)
	data, err := os.ReadFile(filepath.Join(dir, k.lock))
	if err != nil {
		t.Fatal(err)
	}
	k.made[wanted] = strings.ReplaceAll(string(data), before.URL, origin)
	result[k.lock] = strings.ReplaceAll(k.made[wanted], origin, into)
	return result
}

func put(t *testing.T, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// about makes the target of a package at a version, as the reader of locks sees it.
func about(t *testing.T, files map[string]string, name, version string, ask fix.Registry) *fix.Target {
	t.Helper()
	tree := code.Files{}
	for path, text := range files {
		tree[path] = []byte(text)
	}
	modules, err := lockfile.Read(t.Context(), tree)
	if err != nil || len(modules) != 1 {
		t.Fatalf("%d modules, %v", len(modules), err)
	}
	if len(modules[0].Problems) > 0 {
		t.Errorf("the lock as the tool wrote it has problems: %v", modules[0].Problems)
	}
	target := &fix.Target{Module: &modules[0], Modules: modules, Tree: tree, Advisories: flaws, Registry: ask}
	target.Package = slices.IndexFunc(modules[0].Packages, func(p lockfile.Package) bool { return p.Name == name && p.Version == version })
	if target.Package < 0 {
		t.Fatalf("%s %s is not locked:\n%s", name, version, files[modules[0].Locks[0]])
	}
	return target
}

// versions lists what a lock holds of a package.
func versions(t *testing.T, files map[string]string, name string) []string {
	t.Helper()
	tree := code.Files{}
	for path, text := range files {
		tree[path] = []byte(text)
	}
	modules, err := lockfile.Read(t.Context(), tree)
	if err != nil || len(modules) != 1 {
		t.Fatalf("%d modules, %v", len(modules), err)
	}
	if len(modules[0].Problems) > 0 {
		t.Errorf("the lock after the change has problems: %v", modules[0].Problems)
	}
	var found []string
	for _, p := range modules[0].Packages {
		if p.Name == name {
			found = append(found, p.Version)
		}
	}
	slices.Sort(found)
	return slices.Compact(found)
}

var earlier = map[string]map[string]string{
	"web@4.17.1":  {"qs": "6.7.0", "bug": "~2.6.8"},
	"qs@6.7.0":    nil,
	"bug@2.6.8":   {"ms": "^2.0.0"},
	"ms@2.0.0":    nil,
	"pad@1.0.0":   nil,
	"@ui/a@1.0.0": nil,
	"@ui/b@1.0.0": nil,
	"more@1.0.0":  {"qs": "^6.5.0", "ms": "^2.0.0"},
}

var later = map[string]map[string]string{
	"web@4.17.3":  {"qs": "6.9.7", "bug": "~2.6.8"},
	"web@4.18.2":  {"qs": "6.9.9", "bug": "~2.6.8"},
	"qs@6.9.7":    nil,
	"qs@6.9.9":    nil,
	"bug@2.6.9":   {"ms": "^2.0.0"},
	"ms@2.1.0":    nil,
	"ms@2.1.3":    nil,
	"pad@1.2.0":   nil,
	"pad@1.2.5":   nil,
	"pad@1.3.0":   nil,
	"@ui/a@1.0.1": nil,
	"@ui/b@1.0.1": nil,
	"more@1.1.0":  {"qs": "^6.5.0"},
}

func all() map[string]map[string]string {
	both := maps.Clone(earlier)
	maps.Copy(both, later)
	return both
}

const store = `{
    "name": "store", "version": "1.0.0",
    "dependencies": {"web": "^4.17.1",   "pad": "~1.0.0",
        "@ui/a": "^1.0.0", "@ui/b": "1.0.0"},
    "scripts": { "install": "touch /tmp/never" }
}
`

// outcome is what a change must come to.
type outcome struct {
	name     string
	files    map[string]string
	pkg      string
	from     string
	asked    bool // the registry is asked
	kind     string
	manifest map[string]string   // text that a file must hold afterwards
	versions map[string][]string // what the lock must hold afterwards
	only     []string            // the files that may change, besides the lock
}

func outcomes(k kind) []outcome {
	force := map[string]string{
		"pnpm":    "    \"pnpm\": {\n        \"overrides\": {\n            \"qs\": \"6.9.7\"\n        }\n    }\n}\n",
		"classic": "    \"resolutions\": {\n        \"qs\": \"6.9.7\"\n    }\n}\n",
		"berry":   "    \"resolutions\": {\n        \"qs\": \"6.9.7\"\n    }\n}\n",
	}[k.name]
	parts := map[string]string{
		"package.json":           "{\n  \"name\": \"all\",\n  \"version\": \"1.0.0\",\n  \"private\": true,\n  \"workspaces\": [\"parts/*\"]\n}\n",
		"parts/one/package.json": "{\n\t\"name\": \"one\",\n\t\"version\": \"1.0.0\",\n\t\"dependencies\": { \"pad\": \"^1.0.0\", \"more\": \"^1.0.0\" }\n}\n",
		"parts/two/package.json": "{\r\n\t\"name\": \"two\",\r\n\t\"version\": \"1.0.0\",\r\n\t\"devDependencies\": { \"pad\": \"1.0.0\" }\r\n}\r\n",
	}
	if k.name == "pnpm" {
		parts["pnpm-workspace.yaml"] = "packages:\n  - 'parts/*'\n"
	}
	one := map[string]string{"package.json": store}
	list := []outcome{
		{
			name: "a constraint is raised and the lock holds the lowest version that will do", files: one, pkg: "pad", from: "1.0.0", kind: fix.RaiseDirect,
			manifest: map[string]string{"package.json": `{"web": "^4.17.1",   "pad": "~1.2.0",`},
			versions: map[string][]string{"pad": {"1.2.0"}, "ms": {"2.0.0"}, "bug": {"2.6.8"}, "web": {"4.17.1"}}, only: []string{"package.json"},
		},
		{
			name: "a package that constraints allow is raised in the lock only", files: one, pkg: "ms", from: "2.0.0", asked: true, kind: fix.RaiseLocked,
			versions: map[string][]string{"ms": {"2.1.0"}, "bug": {"2.6.8"}, "web": {"4.17.1"}, "qs": {"6.7.0"}},
		},
		{
			name: "the nearest ancestor that allows the fix is raised", files: one, pkg: "qs", from: "6.7.0", asked: true, kind: fix.RaiseAncestor,
			versions: map[string][]string{"web": {"4.17.3"}, "qs": {"6.9.7"}, "ms": {"2.0.0"}, "bug": {"2.6.8"}},
		},
		{
			name: "an override is added where an exact pin stands in the way", files: one, pkg: "qs", from: "6.7.0", kind: fix.Override,
			manifest: map[string]string{"package.json": "\"touch /tmp/never\" },\n" + force},
			versions: map[string][]string{"web": {"4.17.1"}, "qs": {"6.9.7"}, "ms": {"2.0.0"}}, only: []string{"package.json"},
		},
		{
			name: "constraints of workspaces are raised where they stand", files: parts, pkg: "pad", from: "1.0.0", kind: fix.RaiseDirect,
			manifest: map[string]string{"parts/one/package.json": `"pad": "^1.2.0",`, "parts/two/package.json": "{ \"pad\": \"1.2.0\" }\r\n"},
			versions: map[string][]string{"pad": {"1.2.0"}, "ms": {"2.0.0"}, "qs": {"6.7.0"}}, only: []string{"parts/one/package.json", "parts/two/package.json"},
		},
	}
	if k.name == "pnpm" {
		catalog := map[string]string{
			"package.json":           parts["package.json"],
			"parts/one/package.json": "{\n\t\"name\": \"one\",\n\t\"version\": \"1.0.0\",\n\t\"dependencies\": { \"pad\": \"catalog:\" }\n}\n",
			"parts/two/package.json": "{\n\t\"name\": \"two\",\n\t\"version\": \"1.0.0\",\n\t\"dependencies\": { \"pad\": \"catalog:\", \"web\": \"catalog:old\" }\n}\n",
			"pnpm-workspace.yaml":    "packages:\n  - parts/*   # all\ncatalog:\n  pad: ~1.0.0 # the padding\ncatalogs:\n  old:\n    web: '4.17.1'\n",
		}
		forced := maps.Clone(catalog)
		forced["pnpm-workspace.yaml"] += "overrides:\n    \"ms@2\": ^2.0.0\n"
		list = append(list, outcome{
			name: "the entry of a catalog is raised, once", files: catalog, pkg: "pad", from: "1.0.0", kind: fix.RaiseDirect,
			manifest: map[string]string{"pnpm-workspace.yaml": "catalog:\n  pad: ~1.2.0 # the padding\n"},
			versions: map[string][]string{"pad": {"1.2.0"}, "ms": {"2.0.0"}}, only: []string{"pnpm-workspace.yaml"},
		}, outcome{
			name: "overrides are added where the workspace keeps them", files: forced, pkg: "qs", from: "6.7.0", kind: fix.Override,
			manifest: map[string]string{"pnpm-workspace.yaml": "overrides:\n    qs: 6.9.7\n    \"ms@2\": ^2.0.0\n"},
			versions: map[string][]string{"qs": {"6.9.7"}, "ms": {"2.0.0"}, "web": {"4.17.1"}}, only: []string{"pnpm-workspace.yaml"},
		}, outcome{
			name: "an override that is there is raised", files: forced, pkg: "ms", from: "2.0.0", kind: fix.Override,
			manifest: map[string]string{"pnpm-workspace.yaml": "    \"ms@2\": ^2.1.0\n"},
			versions: map[string][]string{"qs": {"6.7.0"}, "ms": {"2.1.0"}}, only: []string{"pnpm-workspace.yaml"},
		})
	}
	return list
}

func TestEachToolRewritesItsLock(t *testing.T) {
	for _, k := range kinds() {
		t.Run(k.name, func(t *testing.T) {
			fixtest.Tools(t, k.program)
			for _, o := range outcomes(k) {
				t.Run(o.name, func(t *testing.T) { o.check(t, k) })
			}
		})
	}
}

func (o *outcome) check(t *testing.T, k kind) {
	now := registry(t, all())
	files := k.lockfiles(t, o.files, earlier, now.URL)
	t.Setenv("npm_config_registry", now.URL) // lockfiles set that of then
	var ask fix.Registry
	if o.asked {
		ask = known(all())
	}
	fixer := npm.New()
	target := about(t, files, o.pkg, o.from, ask)
	paths, err := fixer.Plan(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(paths, func(p fix.Path) bool { return p.Kind == o.kind })
	if at < 0 {
		t.Fatalf("no path of kind %s: %+v; blocked by %+v", o.kind, paths, target.Blocked)
	}
	dir := t.TempDir()
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	put(t, filepath.Join(dir, ".npmrc"), "registry=http://127.0.0.1:1/\n//127.0.0.1/:_authToken=canary\n")
	put(t, filepath.Join(dir, ".pnpmfile.cjs"), "throw new Error('was run')\n")
	put(t, filepath.Join(dir, ".yarnrc"), "yarn-path \"./evil.js\"\n")
	if k.name == "berry" {
		put(t, filepath.Join(dir, ".yarnrc.yml"), "yarnPath: ./evil.js\nplugins:\n  - ./evil.js\nnpmAuthToken: canary\n")
	}
	changed, err := fixer.Apply(t.Context(), dir, paths[at])
	if err != nil {
		t.Fatalf("%v\n%+v", err, paths[at])
	}
	want := append(slices.Clone(o.only), k.lock)
	slices.Sort(want)
	if !slices.Equal(changed, want) {
		t.Errorf("changed %q, want %q", changed, want)
	}
	after := map[string]string{}
	for name := range files {
		data, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		after[name] = string(data)
		if text := o.manifest[name]; !strings.Contains(after[name], text) {
			t.Errorf("%s lacks %q:\n%s", name, text, after[name])
		}
		if !slices.Contains(changed, name) && after[name] != files[name] {
			t.Errorf("%s changed", name)
		}
	}
	for name, list := range o.versions {
		if got := versions(t, after, name); !slices.Equal(got, list) {
			t.Errorf("the lock holds %s at %q, want %q\n%s", name, got, list, after[k.lock])
		}
	}
	k.accepts(t, after, now.URL)
}

// accepts checks that the tool takes the files as they are: its lock needs no
// change.
func (k *kind) accepts(t *testing.T, files map[string]string, registry string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		put(t, filepath.Join(dir, name), text)
	}
	switch k.name {
	case "pnpm":
		k.run(t, dir, registry, "install", "--frozen-lockfile", "--lockfile-only", "--ignore-scripts")
	case "classic":
		k.run(t, dir, registry, "install", "--frozen-lockfile", "--ignore-scripts", "--non-interactive", "--no-default-rc")
	default:
		k.run(t, dir, registry, "install", "--immutable", "--mode=skip-build")
	}
}

const classicLock = `# yarn lockfile v1


pad@~1.0.0:
  version "1.0.0"
  resolved "https://r.example/pad/-/pad-1.0.0.tgz#0"

web@^4.17.1:
  version "4.17.1"
  resolved "https://r.example/web/-/web-4.17.1.tgz#0"
`

const berryLock = `__metadata:
  version: 8
  cacheKey: 10c0

"a@workspace:.":
  version: 0.0.0-use.local
  resolution: "a@workspace:."
  dependencies:
    pad: "npm:~1.0.0"
    web: "npm:^4.17.1"
  languageName: unknown
  linkType: soft

"pad@npm:~1.0.0":
  version: 1.0.0
  resolution: "pad@npm:1.0.0"
  languageName: node
  linkType: hard

"web@npm:^4.17.1":
  version: 4.17.1
  resolution: "web@npm:4.17.1"
  languageName: node
  linkType: hard
`

func TestWithoutTheToolAPathIsPlannedAndApplySaysWhichProgramIsMissing(t *testing.T) {
	fake(t, "yarn", "4.1.0", "exit 1") // what is asked for next is another kind
	one := func(lock, text string) map[string]string {
		return map[string]string{"package.json": pnpmFiles["package.json"], lock: text}
	}
	for _, test := range []struct {
		path    string
		files   map[string]string
		missing string
	}{
		{t.TempDir(), pnpmFiles, "pnpm: program not found"},
		{t.TempDir(), one("yarn.lock", classicLock), "yarn 1 (classic): program not found"},
		{t.TempDir(), one("yarn.lock", berryLock), "yarn 2 or newer: program not found"},
		{strings.SplitN(os.Getenv("PATH"), string(os.PathListSeparator), 2)[0] + ":/bin", one("yarn.lock", classicLock), "yarn 1 (classic): program not found: yarn is of version 4.1.0"},
	} {
		t.Setenv("PATH", test.path)
		paths, err := npm.New().Plan(t.Context(), about(t, test.files, "pad", "1.0.0", nil))
		if err != nil || len(paths) == 0 || paths[0].Kind != fix.RaiseDirect {
			t.Fatalf("Plan() = %+v, %v", paths, err)
		}
		fixtest.Unchanged(t, npm.New(), test.files, paths[0], test.missing)
	}
}

func TestInstalledFilesThatAreKeptInTheRepositoryAreLeftToPeople(t *testing.T) {
	t.Parallel()
	files := map[string]string{"package.json": pnpmFiles["package.json"], "yarn.lock": berryLock, ".pnp.cjs": "//"}
	paths, err := npm.New().Plan(t.Context(), about(t, files, "pad", "1.0.0", nil))
	if err != nil || len(paths) != 1 || !slices.ContainsFunc(paths[0].Steps, func(s fix.Step) bool { return s.Command == "yarn install" && s.Location.Path == ".pnp.cjs" }) {
		t.Errorf("Plan() = %+v, %v", paths, err)
	}
}

// fake puts a program in place of a tool: it tells its version and then does what
// a script says.
func fake(t *testing.T, program, version, script string) {
	t.Helper()
	bin := t.TempDir()
	text := "#!/bin/sh\nif [ \"$1\" = --version ]; then echo " + version + "; exit 0; fi\n" + script + "\n"
	if err := os.WriteFile(filepath.Join(bin, program), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("npm_config_registry", "http://127.0.0.1:1/")
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
}

const pnpmLock = `lockfileVersion: '9.0'

importers:

  .:
    dependencies:
      pad:
        specifier: ~1.0.0
        version: 1.0.0
      web:
        specifier: ^4.17.1
        version: 4.17.1

packages:

  ms@2.0.0:
    resolution: {integrity: sha512-x}

  pad@1.0.0:
    resolution: {integrity: sha512-x}

  web@4.17.1:
    resolution: {integrity: sha512-x}

snapshots:

  ms@2.0.0: {}

  pad@1.0.0: {}

  web@4.17.1:
    dependencies:
      ms: 2.0.0
`

var pnpmFiles = map[string]string{
	"package.json":   "{\n  \"name\": \"a\",\n  \"dependencies\": {\"pad\": \"~1.0.0\", \"web\": \"^4.17.1\"}\n}\n",
	"pnpm-lock.yaml": pnpmLock,
}

var raisePad = fix.Path{Kind: fix.RaiseDirect, Changes: []fix.Change{{Package: "pad", From: "1.0.0", To: "1.2.0", Direct: true}}}

func TestWhatAToolSaysOfCredentialsIsNotRepeated(t *testing.T) {
	fake(t, "pnpm", "10.1.0", `echo "GET https://u:hunter2@r.example/pad?token=hunter2 //r.example/:_authToken=hunter2 authorization: Bearer hunter2" >&2; exit 1`)
	fixtest.Unchanged(t, npm.New(), pnpmFiles, raisePad, "pnpm install: exit status 1: GET https://r.example/pad?token=")
	dir := t.TempDir()
	for name, text := range pnpmFiles {
		put(t, filepath.Join(dir, name), text)
	}
	if _, err := npm.New().Apply(t.Context(), dir, raisePad); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("Apply() = %v", err)
	}
}

func TestAToolThatHangsIsEnded(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	fake(t, "pnpm", "10.1.0", "echo $$ > '"+pipe+"'; exec tail -f /dev/null")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	process := make(chan string, 1)
	go func() {
		data, err := os.ReadFile(pipe) // ends when the program runs
		if err != nil {
			data = []byte(err.Error())
		}
		process <- strings.TrimSpace(string(data))
		cancel()
	}()
	dir := t.TempDir()
	for name, text := range pnpmFiles {
		put(t, filepath.Join(dir, name), text)
	}
	_, err := npm.New().Apply(ctx, dir, raisePad)
	if !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "pnpm install") {
		t.Errorf("Apply() = %v", err)
	}
	id, err := strconv.Atoi(<-process)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(id, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("the program still runs: %v", err)
	}
}

func TestAToolThatEndsWellWithoutDoingItIsNotBelieved(t *testing.T) {
	fake(t, "pnpm", "10.1.0", "exit 0")
	fixtest.Unchanged(t, npm.New(), pnpmFiles, raisePad, "pnpm-lock.yaml: pad is still at 1.0.0")
	fake(t, "pnpm", "8.1.0", "sed -i -e 's/1\\.0\\.0/1.2.0/' -e 's/9\\.0/6.0/' pnpm-lock.yaml")
	fixtest.Unchanged(t, npm.New(), pnpmFiles, raisePad, "the lock is of version 9.0 and pnpm 8.1.0 would write version 6.0")
	fake(t, "pnpm", "10.1.0", "rm pnpm-lock.yaml; ln -s /etc/hostname pnpm-lock.yaml")
	fixtest.Unchanged(t, npm.New(), pnpmFiles, raisePad, "not a regular file")
	hooked := maps.Clone(pnpmFiles)
	hooked["pnpm-lock.yaml"] = strings.Replace(pnpmLock, "importers:", "pnpmfileChecksum: sha256-x\n\nimporters:", 1)
	fixtest.Unchanged(t, npm.New(), hooked, raisePad, ".pnpmfile.cjs")
}

func TestATextThatIsToBeKeptIsLockedOnce(t *testing.T) {
	for _, test := range []struct {
		constraint string
		runs       int
	}{{"1.0.0", 1}, {"~1.0.0", 2}} {
		log := filepath.Join(t.TempDir(), "log")
		fake(t, "pnpm", "10.1.0", "echo run >> '"+log+"'; sed -i -e 's/pad@1\\.0\\.0/pad@1.2.0/' -e '/pad:/,/version/s/1\\.0\\.0/1.2.0/' pnpm-lock.yaml")
		dir := t.TempDir()
		for name, text := range pnpmFiles {
			put(t, filepath.Join(dir, name), strings.ReplaceAll(text, "~1.0.0", test.constraint))
		}
		if _, err := npm.New().Apply(t.Context(), dir, raisePad); err != nil {
			t.Fatal(err)
		}
		if runs, err := os.ReadFile(log); err != nil || string(runs) != strings.Repeat("run\n", test.runs) {
			t.Errorf("%s: %q, %v, expected %d runs", test.constraint, runs, err, test.runs)
		}
	}
}

func TestALockWithoutAddressesStaysWithoutThem(t *testing.T) {
	for _, test := range []struct {
		resolved string
		omitted  bool
	}{{"", true}, {`"resolved": "https://r.example/pad.tgz", `, false}} {
		log := filepath.Join(t.TempDir(), "log")
		fake(t, "npm", "10.1.0", "echo $* > '"+log+"'; cat .npmrc >> '"+log+"'; sed -i -e 's/\"1\\.0\\.0\"/\"1.2.0\"/g' package-lock.json")
		dir := t.TempDir()
		put(t, filepath.Join(dir, "package.json"), `{"dependencies": {"pad": "1.0.0"}}`)
		put(t, filepath.Join(dir, "package-lock.json"), `{"lockfileVersion": 3, "packages": {"": {"dependencies": {"pad": "1.0.0"}}, "node_modules/pad": {"version": "1.0.0", `+test.resolved+`"integrity": "sha512-x"}}}`)
		put(t, filepath.Join(dir, ".npmrc"), "registry=http://evil.example/\ninstall-links=true\nscript-shell=./evil\n")
		if _, err := npm.New().Apply(t.Context(), dir, raisePad); err != nil {
			t.Fatal(err)
		}
		said, err := os.ReadFile(log)
		if err != nil || strings.Contains(string(said), "--omit-lockfile-registry-resolved") != test.omitted || !strings.HasSuffix(string(said), "\ninstall-links=true\n") {
			t.Errorf("%q: npm was run as %s (%v)", test.resolved, said, err)
		}
	}
}

func TestALockThatDoesNotTellConstraintsSaysSo(t *testing.T) {
	t.Parallel()
	target := about(t, pnpmFiles, "ms", "2.0.0", nil)
	paths, err := npm.New().Plan(t.Context(), target)
	if err != nil || len(paths) != 2 || paths[0].Kind != fix.RaiseLocked || paths[1].Kind != fix.Override {
		t.Fatalf("Plan() = %+v, %v", paths, err)
	}
	if want := "The lock does not say which versions of ms web 4.17.1 asks for; the change fails when 2.1.0 is not among them."; paths[0].Steps[1].Text != want {
		t.Errorf("step %q, want %q", paths[0].Steps[1].Text, want)
	}
	target = about(t, pnpmFiles, "ms", "2.0.0", known{"ms@2.0.0": nil, "ms@2.1.0": nil, "web@4.17.1": {"ms": "2.0.0"}, "web@4.17.2": {"ms": "~2.1.0"}})
	if paths, err = npm.New().Plan(t.Context(), target); err != nil || len(paths) != 2 || paths[0].Kind != fix.RaiseAncestor || paths[0].Changes[0].To != "4.17.2" {
		t.Fatalf("Plan() with a registry = %+v, %v", paths, err)
	}
}
