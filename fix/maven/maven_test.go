package maven

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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

// pomOf is a project with a body.
func pomOf(body string) string {
	return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<project>\n  <modelVersion>4.0.0</modelVersion>\n  <groupId>org.acme</groupId>\n  <artifactId>app</artifactId>\n  <version>1</version>\n" + body + "</project>\n"
}

func dependencies(entries ...string) string {
	return "  <dependencies>\n" + strings.Join(entries, "") + "  </dependencies>\n"
}

func dependency(name, version string) string {
	group, artifact, _ := strings.Cut(name, ":")
	text := "    <dependency>\n      <groupId>" + group + "</groupId>\n      <artifactId>" + artifact + "</artifactId>\n"
	if version != "" {
		text += "      <version>" + version + "</version>\n"
	}
	return text + "    </dependency>\n"
}

// targetOf reads files and asks about a package of the module in a folder; one
// that no manifest names is added, brought by those named.
func targetOf(files map[string]string, dir, name, version string, advisories fixtest.Advisories, brought ...string) *fix.Target {
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
		if modules[i].Dir == dir {
			target.Module = &modules[i]
		}
	}
	for i, p := range target.Module.Packages {
		if p.Name == name && (p.Version == version || p.Version == "") {
			target.Module.Packages[i].Version = version
			target.Package = i
			break
		}
	}
	if target.Package < 0 {
		target.Package = len(target.Module.Packages)
		target.Module.Packages = append(target.Module.Packages, lockfile.Package{Name: name, Version: version, Key: name + "@" + version})
		for i := range target.Module.Packages {
			if slices.Contains(brought, target.Module.Packages[i].Name) {
				target.Module.Packages[i].Requires = append(target.Module.Packages[i].Requires, target.Package)
			}
		}
	}
	return target
}

func flaw(name, fixed string) fixtest.Advisories {
	return fixtest.Advisories{fixtest.Flaw("OSV-1", "Maven", name, "0", fixed)}
}

func TestConformance(t *testing.T) {
	literal := map[string]string{"pom.xml": pomOf(dependencies("    <!-- why -->\n" + dependency("a:b", "1.0")))}
	crlf := map[string]string{"pom.xml": strings.ReplaceAll(literal["pom.xml"], "\n", "\r\n")}
	property := map[string]string{"pom.xml": pomOf("  <properties>\n\t<b.version> 1.0 </b.version> <!-- keep -->\n  </properties>\n" + dependencies(dependency("a:b", "${b.version}")))}
	child := map[string]string{
		"pom.xml":     pomOf("  <packaging>pom</packaging>\n  <dependencyManagement>\n" + dependencies(dependency("a:b", "1.0")) + "  </dependencyManagement>\n"),
		"app/pom.xml": "<project>\n  <modelVersion>4.0.0</modelVersion>\n  <parent>\n    <groupId>org.acme</groupId>\n    <artifactId>app</artifactId>\n    <version>1</version>\n  </parent>\n  <artifactId>child</artifactId>\n" + dependencies(dependency("a:b", "")) + "</project>\n",
	}
	outside := map[string]string{"pom.xml": "<project>\n  <parent>\n    <groupId>o</groupId>\n    <artifactId>p</artifactId>\n    <version>3</version>\n  </parent>\n  <artifactId>x</artifactId>\n" + dependencies(dependency("a:b", "")) + "</project>\n"}
	one := map[string]int{"pom.xml": 1}
	var cases []fixtest.Case
	add := func(name string, files map[string]string, dir string, lines map[string]int, want map[string][]string, may ...string) {
		cases = append(cases, fixtest.Case{
			Name: name, Files: files, Lines: lines, Want: want, May: may,
			Target: func() *fix.Target { return targetOf(files, dir, "a:b", "1.0", flaw("a:b", "1.1")) },
		})
	}
	add("a literal", literal, "", one, map[string][]string{"pom.xml": {"<version>1.1</version>", "<!-- why -->"}}, "pom.xml")
	add("a literal in a file with CRLF", crlf, "", one, map[string][]string{"pom.xml": {"<version>1.1</version>\r\n"}}, "pom.xml")
	add("a property", property, "", one, map[string][]string{"pom.xml": {"\t<b.version> 1.1 </b.version> <!-- keep -->"}}, "pom.xml")
	add("a version that the parent manages", child, "app", one, map[string][]string{"pom.xml": {"<version>1.1</version>"}}, "pom.xml")
	add("a version that a parent from elsewhere manages", outside, "", nil, map[string][]string{"pom.xml": {"<artifactId>b</artifactId>\n      <version>1.1</version>"}}, "pom.xml")
	transitive := map[string]string{"pom.xml": strings.ReplaceAll(pomOf(dependencies(dependency("c:d", "1.0"))), "\n", "\r\n")}
	add("what others bring", transitive, "", nil, map[string][]string{"pom.xml": {
		"\r\n  <dependencyManagement>\r\n    <dependencies>\r\n      <dependency>\r\n        <groupId>a</groupId>\r\n        <artifactId>b</artifactId>\r\n        <version>1.1</version>\r\n      </dependency>\r\n    </dependencies>\r\n  </dependencyManagement>\r\n</project>",
	}}, "pom.xml")
	fixtest.Conformance(t, New(), cases)
}

// planned gives the paths of a target by kind and id.
func planned(t *testing.T, target *fix.Target) []fix.Path {
	t.Helper()
	paths, err := New().Plan(t.Context(), target)
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

func TestASharedPropertyNamesItsOtherUsersAndOffersToLeaveThemAlone(t *testing.T) {
	files := map[string]string{
		"pom.xml":     pomOf("  <packaging>pom</packaging>\n  <properties>\n    <x>1.0</x>\n  </properties>\n" + dependencies(dependency("a:b", "${x}"))),
		"app/pom.xml": "<project>\n  <parent>\n    <groupId>org.acme</groupId>\n    <artifactId>app</artifactId>\n    <version>1</version>\n  </parent>\n  <artifactId>child</artifactId>\n" + dependencies(dependency("a:c", "${x}")) + "</project>\n",
	}
	paths := planned(t, targetOf(files, "", "a:b", "1.0", flaw("a:b", "1.1")))
	if len(paths) != 2 {
		t.Fatalf("%d paths, expected the property and the place alone", len(paths))
	}
	if want := "this project and 1 module below it; the literal also decides 1 other places: a:c"; paths[0].Reach != want {
		t.Errorf("reach %q, want %q", paths[0].Reach, want)
	}
	if len(paths[0].Changes) != 2 || paths[0].Changes[1].Package != "a:c" || paths[0].Edits[0].Line != 9 {
		t.Errorf("changes %+v at line %d", paths[0].Changes, paths[0].Edits[0].Line)
	}
	if edit := paths[1].Edits[0]; edit.Old != "${x}" || edit.New != "1.1" || edit.Path != "pom.xml" {
		t.Errorf("alone: %+v", edit)
	}
	target := targetOf(files, "", "a:b", "1.0", flaw("a:b", "1.1"))
	target.Registry = repository{"a:b": {"1.0": nil, "1.1": nil}, "a:c": {"1.0": nil}}
	if paths := planned(t, target); len(paths) != 1 || paths[0].Edits[0].Old != "${x}" || len(target.Blocked) != 1 {
		t.Errorf("a user that has no such version: %d paths, blocked by %+v", len(paths), target.Blocked)
	}
}

func TestATransitiveIsClosedByItsAncestorWhereOneDropsItOrByAManagedVersion(t *testing.T) {
	files := map[string]string{"pom.xml": pomOf(dependencies(dependency("c:d", "1.0")))}
	target := targetOf(files, "", "a:b", "1.0", flaw("a:b", "1.1"), "c:d")
	target.Registry = repository{
		"a:b": {"1.0": nil, "1.1": nil},
		"m:m": {"1": {"a:b": "1.0"}},
		"c:d": {"1.0": {"a:b": "1.0"}, "1.2": {"m:m": "1"}, "1.3": {"a:b": "[1.1,2)"}, "2.0": {}},
	}
	paths := planned(t, target)
	if len(paths) != 2 || paths[0].Kind != fix.RaiseAncestor || paths[0].Changes[0].To != "1.3" || paths[1].Kind != fix.Override || !paths[1].Temporary {
		t.Errorf("paths %+v", paths)
	}
	delete(target.Registry.(repository)["c:d"], "1.3")
	delete(target.Registry.(repository)["c:d"], "2.0")
	if paths = planned(t, target); len(paths) != 1 || paths[0].Kind != fix.Override || len(target.Blocked) != 1 {
		t.Errorf("no ancestor will do: %d paths, blocked by %+v", len(paths), target.Blocked)
	}
}

// managing is a repository that knows bills of materials.
type managing struct {
	repository
	bills map[string]map[string]string // name@version
}

func (m managing) Managed(_ context.Context, name, version string) (map[string]string, error) {
	return m.bills[name+"@"+version], nil
}

func TestABillFromElsewhereIsRaisedWhereItDecides(t *testing.T) {
	bill := "  <dependencyManagement>\n    <dependencies>\n      <dependency>\n        <groupId>o</groupId>\n        <artifactId>bom</artifactId>\n        <version>3.0</version>\n        <type>pom</type>\n        <scope>import</scope>\n      </dependency>\n    </dependencies>\n  </dependencyManagement>\n"
	files := map[string]string{"pom.xml": pomOf(bill + dependencies(dependency("a:b", "")))}
	target := targetOf(files, "", "a:b", "1.0", flaw("a:b", "1.1"))
	target.Registry = managing{
		repository{"a:b": {"1.0": nil, "1.1": nil}, "o:bom": {"3.0": nil, "3.1": nil, "3.2": nil}},
		map[string]map[string]string{"o:bom@3.0": {"a:b": "1.0"}, "o:bom@3.1": {"a:b": "1.0.5"}, "o:bom@3.2": {"a:b": "1.2"}},
	}
	var kinds []string
	for _, p := range planned(t, target) {
		kinds = append(kinds, p.Kind)
		if p.Kind == fix.RaiseAncestor && (p.Edits[0].Old != "3.0" || p.Edits[0].New != "3.2") {
			t.Errorf("bill: %+v", p.Edits)
		}
	}
	if want := []string{fix.RaiseDirect, fix.RaiseAncestor, fix.Override}; !cmp.Equal(kinds, want) {
		t.Errorf("paths %q, want %q", kinds, want)
	}
}

func TestVersionsKeepTheirPlatformAndDaysComeBeforeNumbers(t *testing.T) {
	for _, c := range []struct {
		from, fixed string
		known       []string
		want        string
	}{
		{"23.1-jre", "24.0-android", nil, "24.0-jre"},
		{"22.0-android", "24.0-android", nil, "24.0-android"},
		{"20.0", "24.0-android", nil, "24.0-jre"},
		{"20.0", "24.0-android", []string{"20.0", "24.0-android", "24.0-jre"}, "24.0-jre"},
		{"20020520", "1.9.4", []string{"1.0", "1.9.4", "20020520", "20021128.082114"}, "1.9.4"},
		{"9.2.0.jre8", "9.4.1", []string{"9.2.0.jre8", "9.4.1.jre11", "9.4.1.jre8"}, "9.4.1.jre8"},
		{"3.0", "4.0", []string{"3.0", "3.1", "20020423"}, ""},
	} {
		advisories := flaw("a:b", c.fixed)
		if strings.HasPrefix(c.from, "2002") {
			advisories[0].Affected[0].Ranges[0].Events = append(advisories[0].Affected[0].Ranges[0].Events, fixtest.Flaw("", "", "", c.from, "").Affected[0].Ranges[0].Events...)
		}
		files := map[string]string{"pom.xml": pomOf(dependencies(dependency("a:b", c.from)))}
		choices, err := fix.ChooseMaven(targetOf(files, "", "a:b", c.from, advisories), c.known)
		got := ""
		if len(choices) > 0 {
			got = choices[0].Version
		}
		if got != c.want {
			t.Errorf("%s, fixed in %s: %q (%v), want %q", c.from, c.fixed, got, err, c.want)
		}
	}
}

func TestWhatNobodyFixesIsExcludedFromThoseThatBringIt(t *testing.T) {
	files := map[string]string{"pom.xml": pomOf(dependencies(dependency("c:d", "1.0"), dependency("e:f", "1.0")))}
	paths := planned(t, targetOf(files, "", "a:b", "1.0", flaw("a:b", ""), "c:d"))
	if len(paths) != 1 || paths[0].Risk != fix.RiskMajor || len(paths[0].Edits) != 1 {
		t.Fatalf("paths %+v", paths)
	}
	dir := t.TempDir()
	if err := fix.WriteFile(dir, "pom.xml", []byte(files["pom.xml"])); err != nil {
		t.Fatal(err)
	}
	if _, err := New().Apply(t.Context(), dir, paths[0]); err != nil {
		t.Fatal(err)
	}
	after, err := fix.ReadFile(dir, "pom.xml")
	want := strings.Replace(files["pom.xml"], "<version>1.0</version>\n", "<version>1.0</version>\n      <exclusions>\n        <exclusion>\n          <groupId>a</groupId>\n          <artifactId>b</artifactId>\n        </exclusion>\n      </exclusions>\n", 1)
	if err != nil || string(after) != want {
		t.Errorf("%v:\n%s", err, cmp.Diff(want, string(after)))
	}
}

func TestOneArtifactWithAndWithoutClassifierMovesTogether(t *testing.T) {
	native := strings.Replace(dependency("a:b", "1.0"), "</version>\n", "</version>\n      <classifier>linux</classifier>\n", 1)
	bom := "<project>\n  <groupId>org.acme</groupId>\n  <artifactId>bom</artifactId>\n  <version>1</version>\n  <dependencyManagement>\n" + dependencies(dependency("a:b", "1.0")) + "  </dependencyManagement>\n</project>\n"
	imported := "  <dependencyManagement>\n    <dependencies>\n      <dependency>\n        <groupId>org.acme</groupId>\n        <artifactId>bom</artifactId>\n        <version>1</version>\n        <type>pom</type>\n        <scope>import</scope>\n      </dependency>\n    </dependencies>\n  </dependencyManagement>\n"
	for _, c := range []struct {
		files map[string]string
		edits int
	}{
		{map[string]string{"pom.xml": pomOf(dependencies(dependency("a:b", "1.0"), native))}, 2},
		{map[string]string{"pom.xml": pomOf(imported + dependencies(dependency("a:b", ""))), "bom/pom.xml": bom}, 1},
	} {
		paths := planned(t, targetOf(c.files, "", "a:b", "1.0", flaw("a:b", "1.1")))
		if len(paths) == 0 || len(paths[0].Edits) != c.edits {
			t.Fatalf("paths %+v, expected %d edits", paths, c.edits)
		}
		dir := t.TempDir()
		if err := os.Mkdir(filepath.Join(dir, "bom"), 0o755); err != nil {
			t.Fatal(err)
		}
		for name, text := range c.files {
			if err := fix.WriteFile(dir, name, []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := New().Apply(t.Context(), dir, paths[0]); err != nil {
			t.Error(err)
		}
	}
}

func TestHostileVersionsAndPathsAreRefused(t *testing.T) {
	files := map[string]string{"pom.xml": pomOf(dependencies(dependency("a:b", "1.0")))}
	target := targetOf(files, "", "a:b", "1.0", flaw("a:b", "1.1</version><scope>system</scope><version>"))
	if paths, err := New().Plan(t.Context(), target); err == nil && len(paths) > 0 {
		t.Errorf("a version that is none became a path: %+v", paths)
	}
	good := planned(t, targetOf(files, "", "a:b", "1.0", flaw("a:b", "1.1")))[0]
	for _, change := range []struct {
		want  string
		spoil func(p *fix.Path)
	}{
		{"expected a version", func(p *fix.Path) { p.Changes[0].To = "1</version>" }},
		{"expected group:artifact", func(p *fix.Path) { p.Changes[0].Package = "a:b:c d" }},
		{"expected a pom", func(p *fix.Path) { p.Edits[0].Path = "src/main.java" }},
		{"expected the edit of a pom", func(p *fix.Path) { p.Edits[0].Digest = "" }},
		{"does not move a:b", func(p *fix.Path) {
			at := strings.Index(files["pom.xml"], "<version>1<") + len("<version>")
			p.Edits[0] = fix.NewFileEdit("pom.xml", []byte(files["pom.xml"]), at, at+1, "2")
		}},
		{"edit took", func(p *fix.Path) { p.Edits[0].New = "1.0 " }},
		{"is no XML", func(p *fix.Path) { p.Edits[0].New = "1.1</version><type>war</type><version>1.1" }},
	} {
		p := good
		p.Changes, p.Edits = slices.Clone(good.Changes), slices.Clone(good.Edits)
		change.spoil(&p)
		fixtest.Unchanged(t, New(), files, p, change.want)
	}
}
