package npm_test

import (
	"context"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/eval/npmregistry"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/fixtest"
	"github.com/backstitch/backstitch/fix/npm"
)

// registry serves packages, name@version to dependencies, to all tools.
func registry(t *testing.T, packages map[string]map[string]string) *npmregistry.Registry {
	t.Helper()
	server := npmregistry.New(packages)
	t.Cleanup(func() {
		server.Close()
		if server.Credentials() {
			t.Error("a credential was sent to the registry")
		}
	})
	t.Setenv("npm_config_registry", server.URL)
	return server
}

var packages = map[string]map[string]string{
	"web@4.17.1":   {"qs": "6.7.0", "debug": "~2.6.8"},
	"web@4.17.3":   {"qs": "6.9.7", "debug": "~2.6.8"},
	"web@4.18.2":   {"qs": "6.9.9", "debug": "~2.6.8"},
	"qs@6.7.0":     nil,
	"qs@6.9.7":     nil,
	"qs@6.9.9":     nil,
	"debug@2.6.8":  {"ms": "^2.0.0"},
	"debug@2.6.9":  {"ms": "^2.0.0"},
	"ms@2.0.0":     nil,
	"ms@2.1.0":     nil,
	"ms@2.1.3":     nil,
	"pad@1.0.0":    nil,
	"pad@1.2.0":    nil,
	"pad@1.3.0":    nil,
	"@ui/a@1.0.0":  nil,
	"@ui/a@1.0.1":  nil,
	"@ui/b@1.0.0":  nil,
	"@ui/b@1.0.1":  nil,
	"pinned@1.0.0": nil,
	"pinned@2.0.0": nil,
}

const shop = `{
    "name": "shop",
    "dependencies": {"web": "^4.17.1",   "pad": "~1.0.0",
        "@ui/a": "^1.0.0", "@ui/b": "1.0.0"},
    "scripts": { "install": "touch /tmp/never" }
}
`

const shopLock = `{
    "name": "shop",
    "lockfileVersion": 3,
    "requires": true,
    "packages": {
        "": {
            "name": "shop",
            "dependencies": {
                "@ui/a": "^1.0.0",
                "@ui/b": "1.0.0",
                "pad": "~1.0.0",
                "web": "^4.17.1"
            }
        },
        "node_modules/@ui/a": {
            "version": "1.0.0"
        },
        "node_modules/@ui/b": {
            "version": "1.0.0"
        },
        "node_modules/debug": {
            "version": "2.6.8",
            "dependencies": {
                "ms": "^2.0.0"
            }
        },
        "node_modules/ms": {
            "version": "2.0.0"
        },
        "node_modules/pad": {
            "version": "1.0.0"
        },
        "node_modules/qs": {
            "version": "6.7.0"
        },
        "node_modules/web": {
            "version": "4.17.1",
            "dependencies": {
                "debug": "~2.6.8",
                "qs": "6.7.0"
            }
        }
    }
}
`

var files = map[string]string{"web/package.json": shop, "web/package-lock.json": shopLock, "web/.npmrc": "registry=http://127.0.0.1:1/\n"}

var flaws = fixtest.Advisories{
	fixtest.Flaw("CVE-1", "npm", "pad", "0", "1.2.0"),
	fixtest.Flaw("CVE-2", "npm", "ms", "0", "2.1.0"),
	fixtest.Flaw("CVE-3", "npm", "qs", "0", "6.9.7"),
	fixtest.Flaw("CVE-4", "npm", "@ui/b", "0", "1.0.1"),
}

func target(name string) *fix.Target {
	m := &lockfile.Module{
		Dir: "web", Ecosystem: "npm", Tool: "npm", Name: "shop",
		Manifests: []string{"web/package.json"}, Locks: []string{"web/package-lock.json"},
	}
	for _, p := range []struct {
		name, version string
		line          int
		direct        bool
	}{
		{"@ui/a", "1.0.0", 15, true}, {"@ui/b", "1.0.0", 18, true}, {"debug", "2.6.8", 21, false},
		{"ms", "2.0.0", 27, false}, {"pad", "1.0.0", 30, true}, {"qs", "6.7.0", 33, false}, {"web", "4.17.1", 36, true},
	} {
		m.Packages = append(m.Packages, lockfile.Package{
			Name: p.name, Version: p.version, Key: "node_modules/" + p.name, Path: "web/package-lock.json", Line: p.line, EndLine: p.line + 2, Direct: p.direct,
		})
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
	registry(t, packages)
	may := []string{"web/package.json", "web/package-lock.json"}
	crlf := map[string]string{
		"web/package.json":      strings.ReplaceAll(shop, "\n", "\r\n"),
		"web/package-lock.json": shopLock,
	}
	fixtest.Conformance(t, npm.New(), []fixtest.Case{
		{
			Name: "a constraint is raised to the lowest version that will do", Files: files, Needs: []string{"npm"}, May: may,
			Target: func() *fix.Target { return target("pad") },
			Lines:  map[string]int{"web/package.json": 1},
			Want: map[string][]string{
				"web/package.json":      {`{"web": "^4.17.1",   "pad": "~1.2.0",`},
				"web/package-lock.json": {`"version": "1.2.0"`, `"pad": "~1.2.0"`},
			},
		},
		{
			Name: "a package that constraints allow is raised in the lock only", Files: files, Needs: []string{"npm"}, May: []string{"web/package-lock.json"},
			Target: func() *fix.Target { return target("ms") },
			Want:   map[string][]string{"web/package-lock.json": {`"version": "2.1.0"`}},
		},
		{
			Name: "packages that are released together move together", Files: crlf, Needs: []string{"npm"}, May: may,
			Target: func() *fix.Target { return target("@ui/b") },
			Lines:  map[string]int{"web/package.json": 1},
			Want:   map[string][]string{"web/package.json": {"        \"@ui/a\": \"^1.0.1\", \"@ui/b\": \"1.0.1\"},\r\n"}},
		},
		{
			Name: "an override is added where an exact pin stands in the way", Files: files, Needs: []string{"npm"}, May: may,
			Target: func() *fix.Target { return target("qs") },
			Want: map[string][]string{
				"web/package.json":      {"\"install\": \"touch /tmp/never\" },\n    \"overrides\": {\n        \"qs\": \"6.9.7\"\n    }\n}\n"},
				"web/package-lock.json": {`"version": "6.9.7"`},
			},
		},
	})
}

func TestTheNearestAncestorThatAllowsTheFixIsRaised(t *testing.T) {
	registry(t, packages)
	asked, err := npm.NewRegistry(t.Context())
	if err != nil {
		t.Skipf("no npm: %v", err)
	}
	defer asked.Close()
	fixtest.Conformance(t, npm.New(), []fixtest.Case{{
		Name: "web", Files: files, Needs: []string{"npm"}, May: []string{"web/package-lock.json"},
		Target: func() *fix.Target {
			about := target("qs")
			about.Registry = asked
			return about
		},
		Want: map[string][]string{"web/package-lock.json": {`"version": "4.17.3"`, `"version": "6.9.7"`}},
	}})
}

// known is a registry from a list, name@version to its dependencies.
type known map[string]map[string]string

func (k known) Versions(_ context.Context, name string) ([]string, error) {
	var list []string
	for key := range k {
		if at := strings.LastIndex(key, "@"); key[:at] == name {
			list = append(list, key[at+1:])
		}
	}
	slices.Sort(list)
	return list, nil
}

func (k known) Requirements(_ context.Context, name, version string) (map[string]string, error) {
	return k[name+"@"+version], nil
}

func TestAnAncestorMayAskForMoreThanTheLowestVersionThatCloses(t *testing.T) {
	t.Parallel()
	about := target("qs")
	about.Tree = code.Files{"web/package.json": []byte(shop), "web/package-lock.json": []byte(shopLock)}
	about.Registry = known{
		"qs@6.7.0": nil, "qs@6.9.7": nil, "qs@6.9.8-rc.1": nil, "qs@6.9.9": nil, "qs@6.10.0": nil,
		"web@4.17.1": {"qs": "6.7.0"}, "web@4.17.2": {"qs": "~6.8.0"}, "web@4.17.3": {"qs": "^6.9.8"}, "web@4.18.0": {"qs": "6.9.7"},
	}
	paths, err := npm.New().Plan(t.Context(), about)
	if err != nil {
		t.Fatal(err)
	}
	at := slices.IndexFunc(paths, func(p fix.Path) bool { return p.Kind == fix.RaiseAncestor })
	if at < 0 {
		t.Fatalf("paths %+v: no ancestor is raised", paths)
	}
	got := map[string]string{}
	for _, change := range paths[at].Changes {
		got[change.Package] = change.To
	}
	if want := (map[string]string{"web": "4.17.3", "qs": "6.9.9"}); !maps.Equal(got, want) {
		t.Errorf("changes %v, want %v", got, want)
	}
}

func TestAConstraintThatBlocksIsNamedWithItsLine(t *testing.T) {
	t.Parallel()
	about := target("qs")
	about.Tree = code.Files{"web/package.json": []byte(shop), "web/package-lock.json": []byte(shopLock)}
	paths, err := npm.New().Plan(t.Context(), about)
	if err != nil || len(paths) != 1 || paths[0].Kind != fix.Override || !paths[0].Temporary {
		t.Fatalf("Plan() = %+v, %v, expected a temporary override", paths, err)
	}
	want := fix.Block{
		Location:   fact.Location{Path: "web/package-lock.json", Line: 36, EndLine: 38},
		Constraint: "web 4.17.1 requires qs 6.7.0", Needs: "6.9.7",
	}
	if len(about.Blocked) != 1 || about.Blocked[0] != want {
		t.Errorf("blocked by %+v, expected %+v", about.Blocked, want)
	}
}

func TestAVersionThatDoesNotExistLeavesTheFilesAsTheyWere(t *testing.T) {
	registry(t, packages)
	fixtest.Unchanged(t, npm.New(), files, fix.Path{
		Kind: fix.RaiseDirect, Module: "web", Changes: []fix.Change{{Package: "pad", From: "1.0.0", To: "9.0.0", Direct: true}},
	}, "9.0.0")
}

func TestNamesThatAreNoneNeverBecomeArguments(t *testing.T) {
	t.Parallel()
	for _, change := range []fix.Change{
		{Package: "--script-shell=x", To: "1.0.0"}, {Package: "../up", To: "1.0.0"}, {Package: "pad", To: "1.0.0 || file:/etc"}, {Package: "pad", To: "latest"},
	} {
		fixtest.Unchanged(t, npm.New(), files, fix.Path{Kind: fix.RaiseDirect, Module: "web", Changes: []fix.Change{change}}, "expected")
	}
}

func TestAConstraintOfAWorkspaceIsRaisedWhereItStands(t *testing.T) {
	registry(t, packages)
	files := map[string]string{
		"package.json":           "{\n  \"name\": \"all\",\n  \"workspaces\": [\"parts/*\"]\n}\n",
		"parts/one/package.json": "{\n  \"name\": \"one\",\n  \"version\": \"1.0.0\",\n  \"dependencies\": { \"pad\": \"1.0.0\" }\n}\n",
		"package-lock.json": `{"name":"all","lockfileVersion":3,"requires":true,"packages":{
			"":{"name":"all","workspaces":["parts/*"]},
			"node_modules/one":{"resolved":"parts/one","link":true},
			"node_modules/pad":{"version":"1.0.0"},
			"parts/one":{"version":"1.0.0","dependencies":{"pad":"1.0.0"}}}}`,
	}
	fixtest.Conformance(t, npm.New(), []fixtest.Case{{
		Name: "pad", Files: files, Needs: []string{"npm"}, May: []string{"parts/one/package.json", "package-lock.json"},
		Target: func() *fix.Target {
			m := &lockfile.Module{
				Ecosystem: "npm", Tool: "npm", Manifests: []string{"package.json"}, Locks: []string{"package-lock.json"},
				Packages: []lockfile.Package{{Name: "pad", Version: "1.0.0", Key: "node_modules/pad", Path: "package-lock.json", Line: 4}},
			}
			return &fix.Target{Module: m, Advisories: flaws}
		},
		Lines: map[string]int{"parts/one/package.json": 1},
		Want:  map[string][]string{"package-lock.json": {`"version": "1.2.0"`}, "parts/one/package.json": {`{ "pad": "1.2.0" }`}},
	}})
}
