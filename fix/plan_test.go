package fix_test

import (
	"testing"

	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fix"
)

func TestModulesOfOneFolderHavePathsOfTheirOwn(t *testing.T) {
	t.Parallel()
	one := func(dir, manifest string) lockfile.Module {
		return lockfile.Module{Dir: dir, Ecosystem: "PyPI", Tool: "pip", Manifests: []string{manifest}, Packages: []lockfile.Package{{Name: "web", Version: "1.0"}}}
	}
	modules := []lockfile.Module{one("", "requirements.txt"), one("", "requirements-dev.txt"), one("api", "api/requirements.txt")}
	seen := map[string]bool{}
	for i := range modules {
		id := (&fix.Target{Module: &modules[i], Modules: modules}).NewPath("fix/python", fix.RaiseDirect, fix.Choice{Version: "1.1"}).ID
		if seen[id] {
			t.Errorf("%s: the id %s is another module's", modules[i].Manifests[0], id)
		}
		seen[id] = true
	}
	if !seen["raise_direct:api/pip:web@1.1"] {
		t.Errorf("ids %v, expected that of a folder of one module to name no manifest", seen)
	}
}
