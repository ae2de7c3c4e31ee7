package lockfile

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

const pnpmFive = `lockfileVersion: 5.4

specifiers:
  '@s/a': ^1.0.0
  alias: npm:real@^2.0.0
  tool: ~1.2.0

dependencies:
  '@s/a': 1.2.0_react@17.0.2
  alias: /real/2.1.0

devDependencies:
  tool: 1.2.9

packages:

  /@s/a/1.2.0_react@17.0.2:
    resolution: {integrity: sha512-x}
    dependencies:
      real: 2.1.0
    dev: false

  /real/2.1.0:
    resolution: {integrity: sha512-x}
    dev: false

  /tool/1.2.9:
    resolution: {integrity: sha512-x}
    dev: true
`

const pnpmSix = `lockfileVersion: '6.0'

importers:

  .:
    dependencies:
      '@s/a':
        specifier: ^1.0.0
        version: 1.2.0(react@17.0.2)
      x:
        specifier: workspace:*
        version: link:packages/x
    devDependencies:
      tool:
        specifier: ~1.2.0
        version: 1.2.9

  packages/x:
    dependencies:
      alias:
        specifier: npm:real@^2.0.0
        version: /real@2.1.0

packages:

  /@s/a@1.2.0(react@17.0.2):
    resolution: {integrity: sha512-x}
    dependencies:
      real: 2.1.0
    dev: false

  /real@2.1.0:
    resolution: {integrity: sha512-x}

  /tool@1.2.9:
    resolution: {integrity: sha512-x}
    dev: true
`

const pnpmNine = `lockfileVersion: '9.0'

catalogs:
  default:
    tool:
      specifier: ~1.2.0
      version: 1.2.9

importers:

  .:
    dependencies:
      '@s/a':
        specifier: ^0.9.0
        version: 1.2.0(react@17.0.2)
    devDependencies:
      tool:
        specifier: 'catalog:'
        version: 1.2.9

packages:

  '@s/a@1.2.0':
    resolution: {integrity: sha512-x}
    peerDependencies:
      react: '*'

  real@2.1.0:
    resolution: {integrity: sha512-x}

  tool@1.2.9:
    resolution: {integrity: sha512-x}

snapshots:

  '@s/a@1.2.0(react@17.0.2)':
    dependencies:
      alias: real@2.1.0

  real@2.1.0: {}

  tool@1.2.9:
    dependencies:
      gone: 1.0.0
`

func TestPnpmLocksOfEachVersionAreRead(t *testing.T) {
	t.Parallel()
	five := files("package.json", "{\"dependencies\": {\n\"@s/a\": \"^1.0.0\",\n\"alias\": \"npm:real@^2.0.0\"},\n\"devDependencies\": {\"tool\": \"~1.2.0\"}}", "pnpm-lock.yaml", pnpmFive)
	if diff := cmp.Diff([]string{
		"@s/a@1.2.0 pnpm-lock.yaml:17-21 direct [^1.0.0 package.json:2] >real@2.1.0",
		"real@2.1.0 pnpm-lock.yaml:23-25 direct [npm:real@^2.0.0 package.json:3]",
		"tool@1.2.9 pnpm-lock.yaml:27-29 direct dev [~1.2.0 package.json:4]",
	}, listing(only(t, read(t, five), "", "pnpm"))); diff != "" {
		t.Error("5", diff)
	}
	six := files("package.json", "{\"dependencies\": {\n\"@s/a\": \"^1.0.0\",\n\"x\": \"workspace:*\"},\n\"devDependencies\": {\"tool\": \"~1.2.0\"}}",
		"packages/x/package.json", `{"name": "x", "dependencies": {"alias": "npm:real@^2.0.0"}}`, "pnpm-lock.yaml", pnpmSix)
	modules := read(t, six)
	if diff := cmp.Diff([]string{
		"@s/a@1.2.0 pnpm-lock.yaml:26-30 direct [^1.0.0 package.json:2] >real@2.1.0",
		"real@2.1.0 pnpm-lock.yaml:32-33 direct [npm:real@^2.0.0 packages/x/package.json:1]",
		"tool@1.2.9 pnpm-lock.yaml:35-37 direct dev [~1.2.0 package.json:4]",
	}, listing(only(t, modules, "", "pnpm"))); diff != "" {
		t.Error("6", diff)
	}
	if len(modules) != 1 {
		t.Errorf("the importers belong to the lock: %d modules", len(modules))
	}
	nine := files("package.json", "{\"dependencies\": {\n\"@s/a\": \"^1.0.0\"},\n\"devDependencies\": {\"tool\": \"catalog:\"}}",
		"pnpm-workspace.yaml", "packages: ['packages/*']\ncatalog:\n  tool: ~1.2.0\n", "pnpm-lock.yaml", pnpmNine)
	if diff := cmp.Diff([]string{
		"@s/a@1.2.0 pnpm-lock.yaml:23-26 direct [^1.0.0 package.json:2] >real@2.1.0",
		"real@2.1.0 pnpm-lock.yaml:28-29",
		"tool@1.2.9 pnpm-lock.yaml:31-32 direct dev [catalog: package.json:3 value pnpm-workspace.yaml:3]",
		"problem pnpm-lock.yaml:44: tool requires gone 1.0.0, which is not locked",
		"problem package.json:2: declares @s/a ^1.0.0; pnpm-lock.yaml line 14 was made for ^0.9.0",
	}, listing(only(t, read(t, nine), "", "pnpm"))); diff != "" {
		t.Error("9", diff)
	}
}

func TestPnpmWithoutAManifestDeclaresWhatTheLockSays(t *testing.T) {
	t.Parallel()
	m := only(t, read(t, files("pnpm-lock.yaml", pnpmFive)), "", "pnpm")
	if diff := cmp.Diff("@s/a@1.2.0 pnpm-lock.yaml:17-21 direct [^1.0.0 pnpm-lock.yaml:9] >real@2.1.0", listing(m)[0]); diff != "" {
		t.Error(diff)
	}
}

func FuzzPnpm(f *testing.F) {
	for _, lock := range []string{pnpmFive, pnpmSix, pnpmNine, "lockfileVersion: 7\npackages: [", "a: &a\n  b: *a\n"} {
		f.Add(`{"dependencies":{"@s/a":"^1.0.0","tool":"catalog:"}}`, lock, "catalog:\n  tool: ~1.2.0\n")
	}
	f.Add(`{"dependencies":{"tool":"catalog:"}}`, "0", "\rcatalog:\n tool:")
	f.Fuzz(func(t *testing.T, manifest, lock, workspace string) {
		read(t, files("package.json", manifest, "pnpm-lock.yaml", lock, "pnpm-workspace.yaml", workspace))
	})
}

func TestPnpmKeepsItsOwnVersionInADocumentBefore(t *testing.T) {
	t.Parallel()
	modules := read(t, files(
		"package.json", "{\n  \"dependencies\": {\n    \"a\": \"^1.0.0\"\n  }\n}\n",
		"pnpm-lock.yaml", "---\nlockfileVersion: '9.0'\nimporters:\n  .:\n    packageManagerDependencies:\n      pnpm:\n        specifier: 11.0.0\n        version: 11.0.0\npackages:\n  pnpm@11.0.0:\n    resolution: {integrity: x}\n---\n"+
			"lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a:\n        specifier: ^1.0.0\n        version: 1.2.0\npackages:\n  a@1.2.0:\n    resolution: {integrity: x}\nsnapshots:\n  a@1.2.0: {}\n",
	))
	if len(modules) != 1 || describe(&modules[0]) != "21 a 1.2.0 direct []" || problemsOf(&modules[0]) != "" {
		t.Errorf("packages\n%s\nproblems %s", describe(&modules[0]), problemsOf(&modules[0]))
	}
}
