package cause_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/cause"
	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
)

const (
	shop = `{
  "dependencies": {
    "express": "^4.0.0",
    "serve": "1.0.0"
  }
}
`
	shopLock = `{
  "lockfileVersion": 3,
  "packages": {
    "": { "dependencies": { "express": "^4.0.0", "serve": "1.0.0" } },
    "node_modules/express": {
      "version": "4.1.0", "dependencies": { "qs": "6" }
    },
    "node_modules/qs": {
      "version": "6.1.0"
    },
    "node_modules/serve": {
      "version": "1.0.0", "dependencies": { "qs": "6" }
    }
  }
}
`
	tools = `{
  "dependencies": { "qs": "6.1.0" },
  "overrides": {
    "ms": "1.0.0"
  }
}
`
	toolsLock = `{
  "packages": {
    "node_modules/qs": { "version": "6.1.0", "dependencies": { "ms": "1" } },
    "node_modules/ms": { "version": "1.0.0" }
  }
}
`
	goMod = `module example.com/m

go 1.22.1

require example.com/a v1.0.0

require example.com/deep v0.9.0 // indirect
`
)

func estate() code.Files {
	return code.Files{
		"shop/package.json": []byte(shop), "shop/package-lock.json": []byte(shopLock),
		"tools/package.json": []byte(tools), "tools/package-lock.json": []byte(toolsLock),
		"go.mod":                 []byte(goMod),
		"api/pom.txt":            []byte("x\ny\n"),
		"py/setup.cfg":           []byte("[options]\ninstall_requires =\n  flask>=2\n"),
		"app/requirements.txt":   []byte("jinja2>=2\n-c ../limits/constraints.txt\n"),
		"limits/constraints.txt": []byte("# pins\njinja2==3.0.1\n"),
		"deploy/main.tf":         []byte("a\nb\nc"),
		"other/main.tf":          []byte("a\nb\nc\nd\n"),
		"image/Dockerfile":       []byte("FROM golang AS build\nRUN make\n\nFROM debian\nCOPY --from=build /x /x\n"),
		"odd/Dockerfile":         []byte("no dockerfile\n"),
	}
}

func tracer(t testing.TB, tree code.Files) *cause.Tracer {
	t.Helper()
	modules, err := lockfile.Read(context.Background(), tree)
	if err != nil {
		t.Fatal(err)
	}
	tr, err := cause.New(context.Background(), cause.Context{Repository: "example.com/acme/shop", Commit: "c0ffee", Modules: modules, Tree: tree})
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// trace finds a cause and checks what holds for every cause: each link has
// evidence; a found one has a place that exists, an ambiguous one several, and
// an unknown one says what would settle it.
func trace(t testing.TB, tr *cause.Tracer, tree code.Files, f fact.Finding) fact.Cause {
	t.Helper()
	c, err := tr.Trace(context.Background(), &f)
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Chain) == 0 || c.Chain[0].Kind != "finding" {
		t.Errorf("chain of %+v does not start with the finding", f)
	}
	for _, link := range c.Chain {
		if link.Kind == "" || link.Key == "" || link.Evidence.Method == "" || link.Evidence.Source == "" || link.Evidence.Strength == "" {
			t.Errorf("link without evidence: %+v", link)
		}
	}
	for _, l := range c.Locations {
		data, ok := tree[l.Path]
		if lines := strings.Count(string(data), "\n") + 1; !ok || l.Line < 0 || l.Line > lines || l.EndLine < l.Line || l.EndLine > lines {
			t.Errorf("location %+v does not exist", l)
		}
		if l.Repository == "" || l.Commit == "" {
			t.Errorf("location %+v names no repository or commit", l)
		}
	}
	switch c.Status {
	case fact.CauseFound:
		if len(c.Locations) == 0 {
			t.Errorf("found nowhere: %+v", c)
		}
	case fact.CauseAmbiguous:
		if len(c.Locations) < 2 {
			t.Errorf("ambiguous between %d locations: %+v", len(c.Locations), c)
		}
	case fact.CauseUnknown:
		if len(c.Missing) == 0 || len(c.Locations) > 0 {
			t.Errorf("unknown, but %+v", c)
		}
	default:
		t.Errorf("status %q", c.Status)
	}
	return c
}

func places(c fact.Cause) string {
	var words []string
	for _, l := range c.Locations {
		words = append(words, fmt.Sprintf("%s:%d", l.Path, l.Line))
	}
	return string(c.Status) + " " + strings.Join(words, " ")
}

func npm(name, version, path string) fact.Finding {
	return fact.Finding{Kind: fact.Vulnerability, Rule: "CVE-1", Package: fact.Package{Ecosystem: "npm", Name: name, Version: version}, Path: path}
}

func TestCausesOfPackages(t *testing.T) {
	t.Parallel()
	tree := estate()
	tr := tracer(t, tree)
	inImage := npm("qs", "6.1.0", "app/package-lock.json")
	inImage.Asset.Kind = fact.AssetImage
	for _, c := range []struct {
		name    string
		finding fact.Finding
		want    string
		missing string
	}{
		{"a direct dependency leads to its declaration", npm("express", "4.1.0", "shop/package-lock.json"), "found shop/package.json:3", ""},
		{"a transitive one leads to all that bring it equally near", npm("qs", "6.1.0", "shop/package-lock.json"), "found shop/package.json:3 shop/package.json:4", ""},
		{"a target with its kind is the file", npm("qs", "6.1.0", "tools/package-lock.json (npm)"), "found tools/package.json:2", ""},
		{"an absolute path of a checkout is matched by its end", npm("qs", "6.1.0", "/home/ci/w/shop/package.json"), "found shop/package.json:3 shop/package.json:4", ""},
		{"a path from another folder is matched too", npm("qs", "6.1.0", "../../path/shop/package.json"), "found shop/package.json:3 shop/package.json:4", ""},
		{"a Windows path is matched too", npm("qs", "6.1.0", `C:\w\tools\package-lock.json`), "found tools/package.json:2", ""},
		{"an installed folder names its module", npm("qs", "6.1.0", "/w/tools/node_modules/qs/package.json"), "found tools/package.json:2", ""},
		{"equal candidates are a tie", npm("qs", "6.1.0", ""), "ambiguous shop/package.json:3 shop/package.json:4 tools/package.json:2", "2 modules alike"},
		{"an image that nothing leads here tells nothing", inImage, "unknown ", "nothing tells that the image is built here"},
		{"an override decides", npm("ms", "1.0.0", ""), "found tools/package.json:4", ""},
		{"another version in the scanned file is unknown", npm("express", "4.0.0", "shop/package-lock.json"), "unknown ", "4.1.0 in shop/package-lock.json line 5"},
		{"a package that is nowhere is unknown", npm("left-pad", "1.0.0", ""), "unknown ", "in no manifest or lockfile"},
		{"an indirect Go module can be edited where it stands", fact.Finding{Kind: fact.Vulnerability, Rule: "GO-1", Package: fact.Package{Ecosystem: "Go", Name: "example.com/deep", Version: "0.9.0"}, Path: "go.mod"}, "found go.mod:7", "go mod graph"},
		{"the standard library stands on the go line", fact.Finding{Kind: fact.Vulnerability, Rule: "GO-2", Package: fact.Package{PURL: "pkg:golang/stdlib@1.22.1", Name: "stdlib"}}, "found go.mod:3", ""},
		{"a binary of another toolchain is unknown", fact.Finding{Kind: fact.Vulnerability, Rule: "GO-2", Package: fact.Package{Ecosystem: "Go", Name: "stdlib", Version: "v1.20.0"}}, "unknown ", "toolchain that built it"},
		{"a constraints file that pins decides", fact.Finding{Kind: fact.Vulnerability, Rule: "PYSEC-1", Package: fact.Package{Ecosystem: "PyPI", Name: "Jinja2", Version: "3.0.1"}}, "found limits/constraints.txt:2", ""},
		{"without a lock the missing lock is named", fact.Finding{Kind: fact.Vulnerability, Rule: "PYSEC-2", Package: fact.Package{Ecosystem: "PyPI", Name: "flask", Version: "2.1"}}, "unknown ", "py/setup.cfg line 3 declares flask without an exact version"},
		{"a manifest that the report names is the place, exact or not", fact.Finding{Kind: fact.Vulnerability, Rule: "PYSEC-2", Package: fact.Package{Ecosystem: "PyPI", Name: "flask", Version: "2.1"}, Path: "py/setup.cfg"}, "found py/setup.cfg:3", ""},
	} {
		got := trace(t, tr, tree, c.finding)
		if places(got) != c.want || !strings.Contains(strings.Join(got.Missing, "\n"), c.missing) {
			t.Errorf("%s:\n got %s %q\nwant %s %q", c.name, places(got), got.Missing, c.want, c.missing)
		}
	}
}

func TestTheChainOfATransitivePackageNamesItsAncestorsWithStrengths(t *testing.T) {
	t.Parallel()
	tree := estate()
	c := trace(t, tracer(t, tree), tree, npm("qs", "6.1.0", "shop/package-lock.json"))
	var got []string
	for _, l := range c.Chain {
		got = append(got, fmt.Sprintf("%s %s %s:%d %s", l.Kind, l.Key, l.Location.Path, l.Location.Line, l.Evidence.Strength))
	}
	want := `finding CVE-1 shop/package-lock.json:0 attested
lock qs@6.1.0 shop/package-lock.json:8 attested
package express@4.1.0 shop/package-lock.json:5 attested
manifest express shop/package.json:3 declared
package serve@1.0.0 shop/package-lock.json:11 attested
manifest serve shop/package.json:4 declared`
	if strings.Join(got, "\n") != want {
		t.Errorf("chain\n%s\nwant\n%s", strings.Join(got, "\n"), want)
	}
}

func TestCausesOfFiles(t *testing.T) {
	t.Parallel()
	tree := estate()
	tr := tracer(t, tree)
	at := func(path string, line int) fact.Finding {
		return fact.Finding{Kind: fact.Misconfiguration, Rule: "R", Path: path, Line: line}
	}
	within := func(folder, path string, line int) fact.Finding {
		f := at(path, line)
		f.Attributes = map[string]string{"scanned": folder}
		return f
	}
	told := at("/main.tf", 2)
	told.Attributes = map[string]string{"repo_file_path": "/other/main.tf"}
	old := at("deploy/main.tf", 2)
	old.Commit = "deadbeef"
	for _, c := range []struct {
		name    string
		finding fact.Finding
		want    string
		missing string
	}{
		{"a file and line that exist are the cause", at("deploy/main.tf", 3), "found deploy/main.tf:3", ""},
		{"so is a whole file", at("/deploy/main.tf", 0), "found deploy/main.tf:0", ""},
		{"an instruction that is missing belongs into the last stage", at("image/Dockerfile", 0), "found image/Dockerfile:4", ""},
		{"what is no Dockerfile keeps the whole file", at("odd/Dockerfile", 0), "found odd/Dockerfile:0", ""},
		{"a path of a checkout is matched by its end", at("/w/other/main.tf", 4), "found other/main.tf:4", ""},
		{"a line past the end is unknown", at("deploy/main.tf", 4), "unknown ", "has 3 lines"},
		{"equal files are a tie", at("main.tf", 2), "ambiguous deploy/main.tf:2 other/main.tf:2", "2 files"},
		{"the folder that was scanned settles it", within("other", "main.tf", 2), "found other/main.tf:2", ""},
		{"a folder beside the one that was scanned", within("deploy/live", "../../other/main.tf", 2), "found other/main.tf:2", ""},
		{"a folder above the repository", within("acme/deploy", "main.tf", 4), "found other/main.tf:4", ""},
		{"out of the root even so", within("deploy", "../../main.tf", 2), "unknown ", "no file inside"},
		{"the longer path that a report tells settles it", told, "found other/main.tf:2", ""},
		{"a line that only one of them has settles it", at("main.tf", 4), "found other/main.tf:4", ""},
		{"a file that is not there is unknown", at("gone.tf", 1), "unknown ", "is not in example.com/acme/shop"},
		{"a path out of the root is unknown", at("../../etc/passwd", 1), "unknown ", "is not in example.com/acme/shop"},
		{"another commit is said", old, "found deploy/main.tf:2", "lines may have moved"},
	} {
		got := trace(t, tr, tree, c.finding)
		if places(got) != c.want || !strings.Contains(strings.Join(got.Missing, "\n"), c.missing) {
			t.Errorf("%s:\n got %s %q\nwant %s %q", c.name, places(got), got.Missing, c.want, c.missing)
		}
	}
}

func TestEveryCauseHoldsLaws3And9(t *testing.T) {
	t.Parallel()
	tree := estate()
	tr := tracer(t, tree)
	random := rand.New(rand.NewPCG(3, 9))
	pick := func(words ...string) string { return words[random.IntN(len(words))] }
	seen := make(map[fact.CauseStatus]int)
	for range 3000 {
		f := fact.Finding{
			Kind: fact.Kind(pick("vulnerability", "misconfiguration", "secret", "code", "exposure")), Rule: pick("", "R", "CVE-1"),
			Path: pick("", "go.mod", "package-lock.json", "/x/shop/package-lock.json", "main.tf", "deploy/main.tf", "tools\\package.json", "a/../..", "shop/package.json (npm)", "/"),
			Line: random.IntN(9) - 1, EndLine: random.IntN(12) - 1,
			Asset:   fact.Asset{Kind: pick("", "image", "repository"), Key: pick("", "k")},
			Commit:  pick("", "c0ff", "dead"),
			Package: fact.Package{Ecosystem: pick("", "npm", "Go", "PyPI", "Debian:12"), Name: pick("", "qs", "ms", "express", "stdlib", "jinja2", "flask", "example.com/deep"), Version: pick("", "6.1.0", "1.0.0", "v0.9.0", "3.0.1")},
		}
		c := trace(t, tr, tree, f)
		seen[c.Status]++
		if again := trace(t, tracer(t, tree), tree, f); places(again) != places(c) || len(again.Chain) != len(c.Chain) {
			t.Errorf("%+v: a second look says %s, not %s", f, places(again), places(c))
		}
		if t.Failed() {
			t.Fatalf("finding %+v", f)
		}
	}
	if seen[fact.CauseFound] == 0 || seen[fact.CauseAmbiguous] == 0 || seen[fact.CauseUnknown] == 0 {
		t.Errorf("statuses seen: %v", seen)
	}
}

func TestAPropertyAndTheModuleThatAReportNamesDecide(t *testing.T) {
	t.Parallel()
	tree := code.Files{
		"pom.xml": []byte(`<project>
  <groupId>com.example</groupId>
  <artifactId>shop</artifactId>
  <version>1</version>
  <properties>
    <text.version>1.9</text.version>
  </properties>
  <dependencies>
    <dependency>
      <groupId>org.apache.commons</groupId>
      <artifactId>commons-text</artifactId>
      <version>${text.version}</version>
    </dependency>
  </dependencies>
</project>
`),
		"one/package.json":      []byte(`{"dependencies": {"qs": "6.1.0"}}`),
		"one/package-lock.json": []byte(`{"lockfileVersion": 3, "packages": {"": {"dependencies": {"qs": "6.1.0"}}, "node_modules/qs": {"version": "6.1.0"}}}`),
		"two/package.json":      []byte(`{"dependencies": {"qs": "6.1.0"}}`),
		"two/package-lock.json": []byte(`{"lockfileVersion": 3, "packages": {"": {"dependencies": {"qs": "6.1.0"}}, "node_modules/qs": {"version": "6.1.0"}}}`),
	}
	tr := tracer(t, tree)
	qs := fact.Package{Ecosystem: "npm", Name: "qs", Version: "6.1.0"}
	for _, c := range []struct {
		name, path string
		pkg        fact.Package
		want       string
	}{
		{"the property of a version is the line to edit", "pom.xml", fact.Package{Ecosystem: "Maven", Name: "org.apache.commons:commons-text", Version: "1.9"}, "found pom.xml:6"},
		{"two modules alike are a tie", "", qs, "ambiguous one/package.json:1 two/package.json:1"},
		{"a base name settles nothing", "package-lock.json", qs, "ambiguous one/package.json:1 two/package.json:1"},
		{"a path settles it", "two/package-lock.json", qs, "found two/package.json:1"},
		{"so does an absolute one", "/home/ci/work/two/package-lock.json", qs, "found two/package.json:1"},
		{"and one of a container", "/app/one/package-lock.json", qs, "found one/package.json:1"},
		{"and a target with its kind", "two/package-lock.json (npm)", qs, "found two/package.json:1"},
		{"and backslashes", `C:\src\two\package-lock.json`, qs, "found two/package.json:1"},
	} {
		got := trace(t, tr, tree, fact.Finding{Kind: fact.Vulnerability, Rule: "CVE-1", Package: c.pkg, Path: c.path})
		if places(got) != c.want {
			t.Errorf("%s:\n got %s %q\nwant %s", c.name, places(got), got.Missing, c.want)
		}
	}
}

func FuzzTrace(f *testing.F) {
	f.Add("vulnerability", "shop/package-lock.json (npm)", "qs", "6.1.0", "npm", "", 3, 4)
	f.Add("misconfiguration", `C:\w\deploy\main.tf`, "", "", "", "image", 2, 1)
	f.Add("vulnerability", "/node_modules/", "example.com/deep", "v0.9.0", "Go", "pkg:golang/example.com/deep@v0.9.0", -1, 1<<40)
	f.Add("vulnerability", "a/node_modules/qs/package.json", "qs", "", "", "pkg:npm/qs", 0, 0)
	tree := estate()
	tr := tracer(f, tree)
	f.Fuzz(func(t *testing.T, kind, path, name, version, ecosystem, purl string, line, end int) {
		trace(t, tr, tree, fact.Finding{
			Kind: fact.Kind(kind), Path: path, Line: line, EndLine: end,
			Asset: fact.Asset{Kind: purl}, Package: fact.Package{Ecosystem: ecosystem, Name: name, Version: version, PURL: purl},
		})
	})
}
