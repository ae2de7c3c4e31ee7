package gradle

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/fixtest"
)

// repository is a registry in memory: name to version to what it requires.
type repository map[string]map[string]map[string]string

func (r repository) Versions(_ context.Context, name string) ([]string, error) {
	var versions []string
	for v := range r[name] {
		versions = append(versions, v)
	}
	slices.Sort(versions)
	return versions, nil
}

func (r repository) Requirements(_ context.Context, name, version string) (map[string]string, error) {
	requires, ok := r[name][version]
	if !ok {
		return nil, fmt.Errorf("%s %s: not there", name, version)
	}
	return requires, nil
}

// targetOf reads files and asks about a package of the module of a manifest; one
// that is not there is added.
func targetOf(files map[string]string, manifest, name, version string, advisories fixtest.Advisories) *fix.Target {
	tree := code.Files{}
	for file, text := range files {
		tree[file] = []byte(text)
	}
	modules, err := lockfile.Read(context.Background(), tree)
	if err != nil {
		panic(err)
	}
	target := &fix.Target{Modules: modules, Package: -1, Tree: tree, Advisories: advisories}
	for i := range modules {
		if modules[i].Manifests[0] == manifest {
			target.Module = &modules[i]
		}
	}
	target.Package = slices.IndexFunc(target.Module.Packages, func(p lockfile.Package) bool { return p.Name == name && p.Version == version })
	if target.Package < 0 {
		target.Package = len(target.Module.Packages)
		target.Module.Packages = append(target.Module.Packages, lockfile.Package{Name: name, Version: version, Key: name + ":" + version, Path: manifest, Line: 1})
	}
	return target
}

func flaw(name, fixed string) fixtest.Advisories {
	return fixtest.Advisories{fixtest.Flaw("OSV-1", "Maven", name, "0", fixed)}
}

const catalog = "[versions]\nb = \"1.0\" # keep\n\n[libraries]\nb = { module = \"a:b\", version.ref = \"b\" }\nb-more = { module = \"a:more\", version.ref = \"b\" }\n"

func TestConformance(t *testing.T) {
	var cases []fixtest.Case
	add := func(name string, files map[string]string, manifest string, registry fix.Registry, lines map[string]int, want map[string][]string, may ...string) {
		cases = append(cases, fixtest.Case{
			Name: name, Files: files, Lines: lines, Want: want, May: may,
			Target: func() *fix.Target {
				target := targetOf(files, manifest, "a:b", "1.0", flaw("a:b", "1.1"))
				target.Registry = registry
				return target
			},
		})
	}
	add("a coordinate in Groovy", map[string]string{"build.gradle": "dependencies {\r\n\timplementation 'a:b:1.0' // why\r\n\tapi 'c:d:1.0'\r\n}\r\n"}, "build.gradle", nil,
		map[string]int{"build.gradle": 1}, map[string][]string{"build.gradle": {"\timplementation 'a:b:1.1' // why\r\n\tapi 'c:d:1.0'"}}, "build.gradle")
	add("a variable in Kotlin", map[string]string{"build.gradle.kts": "val b = \"1.0\"\ndependencies {\n    implementation(\"a:b:$b\")\n}\n"}, "build.gradle.kts", nil,
		map[string]int{"build.gradle.kts": 1}, map[string][]string{"build.gradle.kts": {"val b = \"1.1\"\n"}}, "build.gradle.kts")
	add("gradle.properties", map[string]string{"gradle.properties": "x=1\nbVersion=1.0\n", "app/build.gradle": "dependencies { implementation \"a:b:${bVersion}\" }\n"}, "app/build.gradle", nil,
		map[string]int{"gradle.properties": 1}, map[string][]string{"gradle.properties": {"bVersion=1.1\n"}}, "gradle.properties")
	add("a version catalog", map[string]string{"gradle/libs.versions.toml": catalog, "app/build.gradle.kts": "dependencies {\n    implementation(libs.b)\n}\n"}, "app/build.gradle.kts", nil,
		map[string]int{"gradle/libs.versions.toml": 1}, map[string][]string{"gradle/libs.versions.toml": {"b = \"1.1\" # keep\n"}}, "gradle/libs.versions.toml")
	add("what others bring", map[string]string{"build.gradle": "dependencies {\n  implementation 'c:d:1.0'\n}\n"}, "build.gradle", nil, nil,
		map[string][]string{"build.gradle": {"dependencies {\n  implementation 'c:d:1.0'\n  constraints {\n    implementation('a:b:1.1')\n  }\n}\n"}}, "build.gradle")
	add("what others bring, beside a constraint", map[string]string{"build.gradle.kts": "dependencies {\n    constraints {\n        implementation(\"e:f:2\")\n    }\n}\n"}, "build.gradle.kts", nil, nil,
		map[string][]string{"build.gradle.kts": {"        implementation(\"e:f:2\")\n        implementation(\"a:b:1.1\")\n    }\n"}}, "build.gradle.kts")
	add("a lock of which nothing else moves", map[string]string{
		"build.gradle": "dependencies {\n  implementation 'a:b:1.0'\n}\n", "gradle.lockfile": "a:b:1.0=runtimeClasspath\nc:d:2=runtimeClasspath\n",
	}, "build.gradle", repository{"a:b": {"1.0": {"c:d": "1"}, "1.1": {"c:d": "2"}}},
		map[string]int{"build.gradle": 1, "gradle.lockfile": 1}, map[string][]string{"gradle.lockfile": {"a:b:1.1=runtimeClasspath\nc:d:2="}}, "build.gradle", "gradle.lockfile")
	fixtest.Conformance(t, New(), cases)
}

func planned(t *testing.T, target *fix.Target) []fix.Path {
	t.Helper()
	paths, err := New().Plan(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestEveryVersionOfAModuleIsRaisedInOneChange(t *testing.T) {
	files := map[string]string{"build.gradle": "dependencies {\n  implementation 'a:b:1.0' // old\n  testImplementation 'a:b:0.9'\n  api 'c:d:0.9'\n}\n"}
	target := targetOf(files, "build.gradle", "a:b", "1.0", flaw("a:b", "1.1"))
	for i, p := range target.Module.Packages {
		if p.Name == "a:b" && i != target.Package {
			target.Others = append(target.Others, i)
		}
	}
	paths := planned(t, target)
	if len(paths) != 2 || len(paths[0].Moves) != 2 || len(paths[0].Changes) != 2 || len(paths[1].Moves) != 1 {
		t.Fatalf("%d paths %+v, expected one of both copies and one of the target's", len(paths), paths)
	}
	dir := t.TempDir()
	if err := fix.PutFile(dir, "build.gradle", []byte(files["build.gradle"])); err != nil {
		t.Fatal(err)
	}
	if _, err := New().Apply(t.Context(), dir, paths[0]); err != nil {
		t.Fatal(err)
	}
	want := strings.NewReplacer("a:b:1.0", "a:b:1.1", "a:b:0.9", "a:b:1.1").Replace(files["build.gradle"])
	if got, err := fix.ReadFile(dir, "build.gradle"); err != nil || string(got) != want {
		t.Errorf("%v:\n%s", err, got)
	}
}

func TestALockThatMovesWithTheVersionIsLeftToTheBuild(t *testing.T) {
	files := map[string]string{"build.gradle": "dependencies {\n  implementation 'a:b:1.0'\n}\n", "gradle.lockfile": "a:b:1.0=runtimeClasspath\nc:d:2=runtimeClasspath\n"}
	for why, registry := range map[string]fix.Registry{
		"no registry was asked": nil,
		"requires e:f":          repository{"a:b": {"1.0": {}, "1.1": {"e:f": "1"}}},
		"no longer requires":    repository{"a:b": {"1.0": {"c:d": "1"}, "1.1": {}}},
		"2 is locked":           repository{"a:b": {"1.0": {"c:d": "1"}, "1.1": {"c:d": "3"}}},
	} {
		target := targetOf(files, "build.gradle", "a:b", "1.0", flaw("a:b", "1.1"))
		target.Registry = registry
		paths := planned(t, target)
		if len(paths) != 1 || !paths[0].Manual || !strings.Contains(fmt.Sprint(paths[0].Steps), why) || !strings.Contains(fmt.Sprint(paths[0].Steps), WriteLocks) {
			t.Errorf("%s: %+v", why, paths)
			continue
		}
		fixtest.Unchanged(t, New(), files, paths[0], "rewrite its lock")
	}
}

func TestASharedLiteralNamesItsOtherUsers(t *testing.T) {
	files := map[string]string{
		"gradle/libs.versions.toml": catalog,
		"app/build.gradle":          "dependencies { implementation libs.b }\n",
		"web/build.gradle":          "dependencies { implementation libs.b.more }\n",
	}
	target := targetOf(files, "app/build.gradle", "a:b", "1.0", flaw("a:b", "1.1"))
	paths := planned(t, target)
	if len(paths) != 1 || paths[0].Reach != "the literal also decides 1 other places: a:more of web/build.gradle" || len(paths[0].Changes) != 2 {
		t.Fatalf("paths %+v", paths)
	}
	target.Registry = repository{"a:b": {"1.1": nil}, "a:more": {"1.0": nil}}
	if paths := planned(t, target); len(paths) != 0 || len(target.Blocked) != 1 {
		t.Errorf("a user that has no such version: %d paths, blocked by %+v", len(paths), target.Blocked)
	}
}

func TestWhatIsNoSingleLiteralIsBlockedWithItsLine(t *testing.T) {
	files := map[string]string{"build.gradle": "dependencies {\n  implementation 'a:b:1.0' // was 1.0\n}\n"}
	target := targetOf(files, "build.gradle", "a:b", "1.0", flaw("a:b", "1.1"))
	if paths := planned(t, target); len(paths) != 0 || len(target.Blocked) != 1 || target.Blocked[0].Location.Line != 2 {
		t.Errorf("%d paths, blocked by %+v", len(paths), target.Blocked)
	}
}

func TestEditsThatDoOtherThanThePathSaysAreRefused(t *testing.T) {
	files := map[string]string{"build.gradle": "dependencies {\n  implementation 'a:b:1.0'\n  api 'c:d:1.0'\n}\n"}
	good := planned(t, targetOf(files, "build.gradle", "a:b", "1.0", flaw("a:b", "1.1")))[0]
	for _, c := range []struct {
		want  string
		spoil func(p *fix.Path)
	}{
		{"which the path does not say", func(p *fix.Path) { p.Edits[0].New = "1.1'\n  api 'evil:x:1" }},
		{"which the path does not say", func(p *fix.Path) {
			at := strings.Index(files["build.gradle"], "c:d:1.0") + 4
			p.Edits[0] = fix.NewFileEdit("build.gradle", []byte(files["build.gradle"]), at, at+3, "1.1")
		}},
		{"expected 2", func(p *fix.Path) { p.Kind = fix.Override }},
		{"expected a file of Gradle", func(p *fix.Path) { p.Edits[0].Path = "src/Main.java" }},
		{"expected group:artifact", func(p *fix.Path) { p.Changes[0].To = "1.1' }" }},
		{"changed 0 versions", func(p *fix.Path) { p.Edits[0].New = "1.0" }},
	} {
		p := good
		p.Changes, p.Edits = slices.Clone(good.Changes), slices.Clone(good.Edits)
		c.spoil(&p)
		fixtest.Unchanged(t, New(), files, p, c.want)
	}
}
