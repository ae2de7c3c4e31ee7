package lockfile

import (
	"testing"

	"github.com/backstitch/backstitch/code"
)

// fuzz reads a tree in which one file is arbitrary; what holds for every
// module must hold then too.
func fuzz(f *testing.F, name string, beside code.Files, seeds ...string) {
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		tree := code.Files{name: data}
		for other, content := range beside {
			tree[other] = content
		}
		read(t, tree)
	})
}

func FuzzGoMod(f *testing.F) {
	fuzz(f, "go.mod", files("go.sum", "example.com/a v1.2.3 h1:x=\n"), goModFile, "module a\nrequire a.b/c v1\nreplace a.b/c => ./c\n")
}

func FuzzGoWork(f *testing.F) {
	fuzz(f, "go.work", files("a/go.mod", goModFile), "go 1.22\nuse ./a\nreplace example.com/a => ../x\n")
}

func FuzzPackageJSON(f *testing.F) {
	fuzz(f, "package.json", files("package-lock.json", npmShopLock), npmShop, npmShopMember)
}

func FuzzPackageLock(f *testing.F) {
	fuzz(f, "package-lock.json", files("package.json", npmShop, "packages/a/package.json", npmShopMember), npmShopLock,
		`{"dependencies":{"a":{"version":"1","requires":{"b":"1"},"dependencies":{"b":{"version":"npm:c@2"}}}}}`)
}

func FuzzRequirements(f *testing.F) {
	fuzz(f, "requirements.txt", files("constraints.txt", "a==1\n", "requirements.in", "flask\n"),
		"a==1 \\\n --hash=x\n-r other.txt\n-c constraints.txt\n", "a==1\n    # via\n    #   b\nb==2 # via -r requirements.in\n", "-e git+https://x#egg=y\n")
}

func FuzzPyproject(f *testing.F) {
	fuzz(f, "pyproject.toml", files("poetry.lock", poetryLock), poetryProject, "[project]\ndependencies = [\n\"a>=1\"]\n[dependency-groups]\ndev = [\"b\"]\n")
}

func FuzzPoetryLock(f *testing.F) {
	fuzz(f, "poetry.lock", files("pyproject.toml", poetryProject), poetryLock)
}

func FuzzUVLock(f *testing.F) {
	fuzz(f, "uv.lock", files("pyproject.toml", "[project]\nname=\"a\"\ndependencies=[\"b\"]\n"),
		"[[package]]\nname = \"b\"\nversion = \"1\"\ndependencies = [{ name = \"c\" }]\n[[package]]\nname = \"c\"\nversion = \"2\"\nsource = { editable = \"c\" }\n")
}

func FuzzPipfileLock(f *testing.F) {
	fuzz(f, "Pipfile.lock", files("Pipfile", "[packages]\na = \"*\"\n"), `{"default":{"a":{"version":"==1"}},"develop":{"a":{"version":"==2"}}}`)
}

func FuzzPipfile(f *testing.F) {
	fuzz(f, "Pipfile", nil, "[packages]\na = \"==1\"\nb = { git = \"x\" }\n")
}

func FuzzSetup(f *testing.F) {
	fuzz(f, "setup.py", nil, "setup(install_requires=['a==1', \"b\"])")
}

func FuzzSetupConfig(f *testing.F) {
	fuzz(f, "setup.cfg", nil, "[options]\ninstall_requires =\n  a==1\n")
}
