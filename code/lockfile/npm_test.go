package lockfile

import (
	"fmt"
	"strings"
	"testing"
)

const npmShop = `{
  "name": "shop",
  "version": "1.0.0",
  "workspaces": ["packages/*"],
  "dependencies": {
    "express": "^4.0.0",
    "pad": "npm:left-pad@1.3.0",
    "gone": "^1.0.0"
  },
  "devDependencies": {
    "mocha": "^10.0.0"
  },
  "overrides": {
    "qs": { ".": "6.5.3" }
  }
}
`

const npmShopLock = `{
  "name": "shop",
  "lockfileVersion": 3,
  "packages": {
    "": {
      "name": "shop",
      "dependencies": { "express": "^4.0.0", "pad": "npm:left-pad@1.3.0" },
      "devDependencies": { "mocha": "^9.0.0" }
    },
    "node_modules/express": {
      "version": "4.1.0",
      "dependencies": { "qs": "^6.0.0", "body": "1.0.0" }
    },
    "node_modules/body": {
      "version": "1.0.0",
      "dependencies": { "qs": "^6.0.0" }
    },
    "node_modules/body/node_modules/qs": {
      "version": "6.1.0"
    },
    "node_modules/qs": {
      "version": "6.5.3"
    },
    "node_modules/pad": {
      "name": "left-pad",
      "version": "1.3.0"
    },
    "node_modules/mocha": {
      "version": "10.2.0",
      "dev": true
    },
    "node_modules/@shop/a": {
      "resolved": "packages/a",
      "link": true
    },
    "packages/a": {
      "name": "@shop/a",
      "version": "0.1.0",
      "dependencies": { "qs": "^6.0.0" }
    }
  }
}
`

const npmShopMember = `{
  "name": "@shop/a",
  "dependencies": { "qs": "^6.0.0" }
}
`

func describe(m *Module) string {
	var lines []string
	for i, p := range m.Packages {
		line := fmt.Sprintf("%d %s %s", p.Line, p.Name, p.Version)
		if p.Direct {
			line += " direct"
		}
		if p.Dev {
			line += " dev"
		}
		if p.Source != "" {
			line += " " + p.Source
		}
		for _, chain := range m.Paths(i) {
			line += " ["
			for _, j := range chain[:len(chain)-1] {
				line += m.Packages[j].Name + " "
			}
			line = strings.TrimSuffix(line, " ") + "]"
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}

func TestNPMLockResolvesNestedAliasedAndWorkspacePackages(t *testing.T) {
	t.Parallel()
	modules := read(t, files("package.json", npmShop, "package-lock.json", npmShopLock, "packages/a/package.json", npmShopMember))
	if len(modules) != 1 {
		t.Fatalf("modules = %+v", modules)
	}
	m := &modules[0]
	want := `10 express 4.1.0 direct []
14 body 1.0.0 [express]
18 qs 6.1.0 [express body]
21 qs 6.5.3 direct []
24 left-pad 1.3.0 direct []
28 mocha 10.2.0 direct dev []`
	if got := describe(m); got != want {
		t.Errorf("packages\n%s\nwant\n%s", got, want)
	}
	if got := strings.Join(m.Manifests, " "); got != "package.json packages/a/package.json" {
		t.Errorf("manifests = %s", got)
	}
	if d := m.Declared[m.Packages[3].Declared[0]]; d.Path != "packages/a/package.json" || d.Line != 3 {
		t.Errorf("declaration of qs = %+v", d)
	}
	var problems []string
	for _, p := range m.Problems {
		problems = append(problems, p.String())
	}
	wantProblems := `package.json:8: declares gone ^1.0.0, which package-lock.json does not lock
package.json:11: declares mocha ^10.0.0; package-lock.json line 8 was made for ^9.0.0`
	if got := strings.Join(problems, "\n"); got != wantProblems {
		t.Errorf("problems\n%s\nwant\n%s", got, wantProblems)
	}
}

func TestFirstNPMLockVersionGivesTheSamePackages(t *testing.T) {
	t.Parallel()
	lock := `{
  "lockfileVersion": 1,
  "requires": true,
  "dependencies": {
    "body": {
      "version": "1.0.0",
      "requires": { "qs": "^6.0.0" },
      "dependencies": {
        "qs": { "version": "6.1.0" }
      }
    },
    "express": { "version": "3.9.0", "requires": { "body": "1.0.0", "qs": "*" } },
    "fork": { "version": "git+ssh://git@host/x.git#abc" },
    "pad": { "version": "npm:left-pad@1.3.0" },
    "qs": { "version": "6.5.3" }
  }
}
`
	modules := read(t, files("package.json", npmShop, "package-lock.json", lock))
	want := `5 body 1.0.0 [express]
9 qs 6.1.0 [express body]
12 express 3.9.0 direct []
13 fork git+ssh://git@host/x.git#abc git
14 left-pad 1.3.0 direct []
15 qs 6.5.3 [express]`
	if got := describe(&modules[0]); got != want {
		t.Errorf("packages\n%s\nwant\n%s", got, want)
	}
	if got := modules[0].Problems[0].String(); got != "package.json:6: declares express ^4.0.0; package-lock.json line 12 locks 3.9.0" {
		t.Errorf("problem = %s", got)
	}
}

func TestManifestWithoutLockKnowsExactVersionsOnly(t *testing.T) {
	t.Parallel()
	modules := read(t, files("app/package.json", `{"dependencies": {"a": "1.2.3", "b": "^1.0.0", "c": "git+https://x/y.git"}}`))
	if got := describe(&modules[0]); got != "1 a 1.2.3 direct []\n1 b  direct []\n1 c  direct git []" {
		t.Errorf("packages\n%s", got)
	}
}

func TestLockThatIsNoJSONIsAProblemWithItsLine(t *testing.T) {
	t.Parallel()
	modules := read(t, files("package.json", `{"dependencies": {"a": "1.2.3"}}`, "package-lock.json", "{\n\"packages\": {\n<<<<<<< HEAD\n"))
	if got := modules[0].Problems[0].String(); got != `package-lock.json:3: is no JSON: expected a key, found '<'` {
		t.Errorf("problem = %s", got)
	}
	deep := read(t, files("package-lock.json", strings.Repeat(`{"a":`, 100000)))
	if got := deep[0].Problems[0].Text; got != "is nested deeper than 200" {
		t.Errorf("problem = %s", got)
	}
}

func TestRangesOfPackageJSON(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		constraint, version string
		fits, understood    bool
	}{
		{"^1.2.3", "1.9.0", true, true}, {"^1.2.3", "2.0.0", false, true}, {"^0.2.3", "0.2.9", true, true}, {"^0.2.3", "0.3.0", false, true},
		{"^0.0.3", "0.0.4", false, true}, {"~1.2.3", "1.2.9", true, true}, {"~1.2", "1.3.0", false, true}, {"~1", "1.3.0", true, true},
		{"1.x", "1.3.0", true, true}, {"*", "9.9.9", true, true}, {"", "9.9.9", true, true}, {">=1.0.0 <2", "1.5.0", true, true},
		{">= 1.0.0 < 2", "2.5.0", false, true}, {"1.0 - 2.0.0", "2.0.0", true, true}, {"^1 || ^3", "3.1.0", true, true},
		{"<=1.2", "1.2.9", true, true}, {">1.2", "1.2.9", false, true}, {"latest", "1.0.0", false, false}, {"^1.0.0-rc.1", "1.0.0-rc.2", true, true},
		{"1.2.3", "1.2.4", false, true}, {"^1", "no version", false, false},
	} {
		if fits, understood := npmSatisfies(c.constraint, c.version); fits != c.fits || understood != c.understood {
			t.Errorf("npmSatisfies(%q, %q) = %v, %v", c.constraint, c.version, fits, understood)
		}
	}
}
