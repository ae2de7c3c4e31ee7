// Package fixtest is the suite that every fixer must pass, with the doubles
// that its tests need: advisories in memory and a proxy for Go modules.
package fixtest

import (
	"archive/zip"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/osv-scalibr/semantic"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
)

// Advisories are advisories in memory. They implement fix.Advisories.
type Advisories []fact.Advisory

// Flaw makes an advisory of one package that is affected from introduced up to
// fixed, which is "" for no fix.
func Flaw(id, ecosystem, name, introduced, fixed string) fact.Advisory {
	events := []fact.RangeEvent{{Introduced: introduced}}
	if fixed != "" {
		events = append(events, fact.RangeEvent{Fixed: fixed})
	}
	return fact.Advisory{ID: id, Affected: []fact.Affected{{
		Ecosystem: ecosystem, Name: name,
		Ranges: []fact.Range{{Type: "ECOSYSTEM", Events: events}},
	}}}
}

// Of implements fix.Advisories.
func (a Advisories) Of(ecosystem, name string) ([]fact.Advisory, error) {
	var found []fact.Advisory
	for _, advisory := range a {
		for _, affected := range advisory.Affected {
			if affected.Ecosystem == ecosystem && affected.Name == name {
				found = append(found, advisory)
				break
			}
		}
	}
	return found, nil
}

// Affecting implements fix.Advisories.
func (a Advisories) Affecting(pkg fact.Package) ([]fact.Advisory, error) {
	var found []fact.Advisory
	for _, advisory := range a {
		hit := false
		for _, affected := range advisory.Affected {
			if affected.Ecosystem != pkg.Ecosystem || affected.Name != pkg.Name {
				continue
			}
			hit = hit || slices.Contains(affected.Versions, pkg.Version)
			for _, r := range affected.Ranges {
				inside, err := a.inside(pkg, r)
				if err != nil {
					return nil, err
				}
				hit = hit || inside
			}
		}
		if hit {
			found = append(found, advisory)
		}
	}
	return found, nil
}

func (a Advisories) inside(pkg fact.Package, r fact.Range) (bool, error) {
	on := false
	for _, event := range r.Events {
		bound := event.Introduced + event.Fixed + event.LastAffected
		order := 1
		if bound != "0" {
			var err error
			if order, err = a.Compare(pkg.Ecosystem, pkg.Version, bound); err != nil {
				return false, err
			}
		}
		switch {
		case event.Introduced != "" && order >= 0:
			on = true
		case event.Fixed != "" && order >= 0, event.LastAffected != "" && order > 0:
			on = false
		}
	}
	return on, nil
}

// Compare implements fix.Advisories.
func (Advisories) Compare(ecosystem, a, b string) (int, error) {
	parsed, err := semantic.Parse(strings.TrimPrefix(a, "v"), ecosystem)
	if err != nil {
		return 0, fmt.Errorf("version %q: %w", a, err)
	}
	return parsed.CompareStr(strings.TrimPrefix(b, "v"))
}

// Case is one target in a small repository.
type Case struct {
	Name   string
	Files  map[string]string
	Target func() *fix.Target // without Tree
	// Needs are programs without which Apply is left out, as Tools says.
	Needs []string
	// Lines is how many lines of each manifest Apply of the first path may
	// change; the others must stay, byte for byte.
	Lines map[string]int
	// Want are texts that files must hold afterwards.
	Want map[string][]string
	// May are the files that Apply may change.
	May []string
}

// installed are the programs that script/setup installs or asks for.
var installed = []string{"go", "git", "node", "npm", "pnpm", "yarnpkg", "yarn-berry", "uv", "bundle", "composer"}

// Tools puts the programs that script/setup installs on the path and leaves the test
// out when one of those named is absent. Under CI that is a failure for a program
// that script/setup installs. The test must not be parallel.
func Tools(t *testing.T, programs ...string) {
	t.Helper()
	if len(programs) == 0 {
		return
	}
	t.Setenv("PATH", filepath.Join(top(t), "build", "tools", "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	for _, program := range programs {
		if _, err := exec.LookPath(program); err == nil {
			continue
		}
		if !slices.Contains(installed, program) {
			t.Skipf("skipped: %s is not installed", program)
		}
		if os.Getenv("CI") == "true" || os.Getenv("BACKSTITCH_DATA_REQUIRED") == "1" {
			t.Fatalf("%s is not installed; make setup installs it", program)
		}
		t.Skipf("skipped: %s is not installed; make setup installs it", program)
	}
}

// top is the folder of the project.
func top(t *testing.T) string {
	t.Helper()
	at, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(at, "go.mod")); err == nil {
			return at
		}
		if filepath.Dir(at) == at {
			t.Fatal("no go.mod above the test")
		}
		at = filepath.Dir(at)
	}
}

// canary is a value that no program may see.
const canary = "canary-of-a-credential-5309"

// Conformance runs the suite: plans are the same each time and never lower a
// version; Apply changes only files it may, and in manifests only the literals
// that it said; no program sees a credential of the environment.
func Conformance(t *testing.T, fixer fix.ModuleFixer, cases []Case) {
	t.Helper()
	description := fixer.Describe()
	if description.ID == "" || description.Name == "" || description.Docs == "" {
		t.Errorf("Describe() = %+v, expected every field", description)
	}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) { c.run(t, fixer) })
	}
}

func (c *Case) plan(t *testing.T, fixer fix.ModuleFixer) (*fix.Target, []fix.Path) {
	t.Helper()
	tree := code.Files{}
	for name, text := range c.Files {
		tree[name] = []byte(text)
	}
	target := c.Target()
	target.Tree = tree
	if !fixer.Handles(target.Module) {
		t.Fatalf("Handles(%s) = false", target.Module.Tool)
	}
	paths, err := fixer.Plan(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return target, paths
}

func (c *Case) run(t *testing.T, fixer fix.ModuleFixer) {
	target, paths := c.plan(t, fixer)
	if _, again := c.plan(t, fixer); !cmp.Equal(paths, again) {
		t.Errorf("planning twice differs:\n%s", cmp.Diff(paths, again))
	}
	if len(paths) == 0 {
		t.Fatalf("no path; blocked by %+v", target.Blocked)
	}
	ids := map[string]bool{}
	for _, p := range paths {
		if p.ID == "" || ids[p.ID] {
			t.Errorf("id %q is empty or used twice", p.ID)
		}
		ids[p.ID] = true
		if p.Fixer != fixer.Describe().ID || p.Summary == "" || p.Effort == "" || p.Risk == "" || len(p.Steps) == 0 || len(p.Changes) == 0 {
			t.Errorf("path %s lacks a field: %+v", p.ID, p)
		}
		for _, change := range p.Changes {
			if order, err := target.Advisories.Compare(target.Module.Ecosystem, change.To, change.From); err != nil || order <= 0 {
				t.Errorf("path %s moves %s from %s to %s (%v)", p.ID, change.Package, change.From, change.To, err)
			}
		}
	}
	c.apply(t, fixer, fix.Compare(paths)[0])
}

func (c *Case) apply(t *testing.T, fixer fix.ModuleFixer, p fix.Path) {
	Tools(t, c.Needs...)
	dir := t.TempDir()
	for name, text := range c.Files {
		write(t, filepath.Join(dir, name), text, 0o644)
	}
	seen := watch(t, fixer.Describe().Commands)
	changed, err := fixer.Apply(t.Context(), dir, p)
	if err != nil {
		t.Fatal(err)
	}
	if environment, err := os.ReadFile(seen); err == nil && strings.Contains(string(environment), canary) {
		t.Error("a program saw a credential of the environment")
	}
	after := read(t, dir)
	var differ []string
	for name := range after {
		if before, ok := c.Files[name]; !ok || before != after[name] {
			differ = append(differ, name)
		}
	}
	for name := range c.Files {
		if _, ok := after[name]; !ok {
			t.Errorf("%s is gone", name)
		}
	}
	slices.Sort(differ)
	if got := slices.Sorted(slices.Values(changed)); !slices.Equal(got, differ) {
		t.Errorf("Apply says that it changed %q; it changed %q", got, differ)
	}
	for _, name := range differ {
		if !slices.Contains(c.May, name) {
			t.Errorf("%s was changed", name)
		}
	}
	for name, most := range c.Lines {
		if n, same := moved(c.Files[name], after[name]); !same || n != most {
			t.Errorf("%s: %d lines changed, expected %d, and no line added or taken away:\n%s", name, n, most, cmp.Diff(c.Files[name], after[name]))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Want)) {
		for _, text := range c.Want[name] {
			if !strings.Contains(after[name], text) {
				t.Errorf("%s lacks %q:\n%s", name, text, after[name])
			}
		}
	}
}

// moved counts the lines in which two texts differ and says whether they have
// as many lines.
func moved(a, b string) (int, bool) {
	la, lb := strings.SplitAfter(a, "\n"), strings.SplitAfter(b, "\n")
	n := 0
	for i := range min(len(la), len(lb)) {
		if la[i] != lb[i] {
			n++
		}
	}
	return n, len(la) == len(lb)
}

// watch puts credentials into the environment and, before each program, one
// that writes down what it sees. It returns the file that they write to.
func watch(t *testing.T, programs []string) string {
	t.Helper()
	for _, name := range []string{"GITHUB_TOKEN", "NPM_TOKEN", "NODE_AUTH_TOKEN", "UV_INDEX_PASSWORD", "POETRY_PYPI_TOKEN_PYPI", "PIP_INDEX_URL", "AWS_SECRET_ACCESS_KEY"} {
		t.Setenv(name, canary)
	}
	bin := t.TempDir()
	seen := filepath.Join(t.TempDir(), "seen")
	for _, program := range programs {
		if real, err := exec.LookPath(program); err == nil {
			write(t, filepath.Join(bin, program), fmt.Sprintf("#!/bin/sh\nenv >> '%s'\nexec '%s' \"$@\"\n", seen, real), 0o755)
		}
	}
	t.Setenv("PATH", bin+string(os.PathListSeparator)+os.Getenv("PATH"))
	return seen
}

func write(t *testing.T, name, text string, mode fs.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		relative, _ := filepath.Rel(dir, name)
		files[filepath.ToSlash(relative)] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// GoProxy makes a module proxy in a folder and points the environment at it.
// Keys are module@version with paths in lower case; values are go.mod texts.
// Each module holds one package that imports what its go.mod requires.
func GoProxy(t *testing.T, modules map[string]string) {
	t.Helper()
	dir := t.TempDir()
	lists := map[string][]string{}
	for key, mod := range modules {
		name, version, _ := strings.Cut(key, "@")
		at := filepath.Join(dir, filepath.FromSlash(name), "@v")
		lists[at] = append(lists[at], version)
		write(t, filepath.Join(at, version+".mod"), mod, 0o644)
		write(t, filepath.Join(at, version+".info"), fmt.Sprintf(`{"Version":%q,"Time":"2024-01-02T03:04:05Z"}`, version), 0o644)
		file, err := os.Create(filepath.Join(at, version+".zip"))
		if err != nil {
			t.Fatal(err)
		}
		archive := zip.NewWriter(file)
		for member, text := range map[string]string{"go.mod": mod, "it.go": goPackage(mod)} {
			w, err := archive.Create(name + "@" + version + "/" + member)
			if err == nil {
				_, err = w.Write([]byte(text))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		if err := archive.Close(); err != nil {
			t.Fatal(err)
		}
		if err := file.Close(); err != nil {
			t.Fatal(err)
		}
	}
	for at, versions := range lists {
		slices.Sort(versions)
		write(t, filepath.Join(at, "list"), strings.Join(versions, "\n")+"\n", 0o644)
	}
	cache := t.TempDir()
	t.Setenv("GOPROXY", "file://"+filepath.ToSlash(dir))
	t.Setenv("GOSUMDB", "off")
	t.Setenv("GOMODCACHE", cache)
	t.Cleanup(func() {
		// The go command makes its cache read-only.
		_ = filepath.WalkDir(cache, func(name string, entry fs.DirEntry, err error) error {
			if err == nil && entry.IsDir() {
				err = os.Chmod(name, 0o755)
			}
			return err
		})
	})
}

func goPackage(mod string) string {
	text := "package it\n"
	for _, line := range strings.Split(mod, "\n") {
		if fields := strings.Fields(line); len(fields) >= 3 && fields[0] == "require" && !strings.Contains(line, "// indirect") {
			text += fmt.Sprintf("import _ %q\n", fields[1])
		}
	}
	return text
}

// Unchanged checks that Apply of a path fails, with a text in its error, and
// leaves every file as it was.
func Unchanged(t *testing.T, fixer fix.ModuleFixer, files map[string]string, p fix.Path, text string) {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		write(t, filepath.Join(dir, name), content, 0o644)
	}
	changed, err := fixer.Apply(t.Context(), dir, p)
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("Apply() = %q, %v, expected an error with %q", changed, err, text)
	}
	if after := read(t, dir); !cmp.Equal(files, after) {
		t.Errorf("files differ after a failure:\n%s", cmp.Diff(files, after))
	}
}

// Data is the folder of real data to measure on. The test is left out when
// there is none, unless BACKSTITCH_DATA_REQUIRED is 1.
func Data(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("BACKSTITCH_DATA")
	if dir == "" {
		dir = filepath.Join(top(t), "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("BACKSTITCH_DATA_REQUIRED") == "1" {
			t.Fatalf("no data folder: %v", err)
		}
		t.Skipf("no data folder: %v", err)
	}
	return dir
}

// RealFiles gives the content of the data's files whose name ends in suffix,
// by path, as they were before their fix.
func RealFiles(t *testing.T, suffix string) map[string][]byte {
	t.Helper()
	dir := Data(t)
	files := map[string][]byte{}
	for _, folder := range []string{"fixes", "app-trees"} {
		err := filepath.WalkDir(filepath.Join(dir, folder), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(name, suffix) || strings.Contains(filepath.ToSlash(name), "/after/") {
				return err
			}
			data, err := os.ReadFile(name)
			files[name] = data
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(files) == 0 {
		t.Skipf("the data holds no %s", suffix)
	}
	return files
}

// OneValue checks an edit on a file: it can be taken back byte by byte, and
// what it put in stands where it says.
func OneValue(t *testing.T, name string, data []byte, edit fix.Edit) []byte {
	t.Helper()
	after, err := fix.Splice(data, edit)
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return nil
	}
	back, err := fix.Splice(after, fix.Edit{Start: edit.Start, End: edit.Start + len(edit.New), Old: edit.New, New: edit.Old})
	if err != nil || string(back) != string(data) {
		t.Errorf("%s: the edit cannot be taken back: %v", name, err)
	}
	return after
}
