package cause_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
	"github.com/backstitch/backstitch/fact"
)

func appTrees(t *testing.T) map[string]code.Files {
	t.Helper()
	data := os.Getenv("BACKSTITCH_DATA")
	if data == "" {
		data = filepath.Join("..", "..", "shared", "data")
	}
	folders, err := os.ReadDir(filepath.Join(data, "app-trees"))
	if err != nil {
		if os.Getenv("BACKSTITCH_DATA_REQUIRED") == "1" {
			t.Fatal("no data folder: ", err)
		}
		t.Skip("no data folder: ", err)
	}
	trees := make(map[string]code.Files)
	for _, folder := range folders {
		root := filepath.Join(data, "app-trees", folder.Name())
		tree := make(code.Files)
		err := filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return err
			}
			rel, err := filepath.Rel(root, name)
			if err != nil {
				return err
			}
			content, err := os.ReadFile(name)
			tree[filepath.ToSlash(rel)] = content
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		trees[folder.Name()] = tree
	}
	return trees
}

func TestEveryLockedPackageOfRealTreesHasACause(t *testing.T) {
	t.Parallel()
	statuses := make(map[string]int)
	for name, tree := range appTrees(t) {
		modules, err := lockfile.Read(t.Context(), tree)
		if err != nil {
			t.Fatal(err)
		}
		tr := tracer(t, tree)
		for i := range modules {
			m := &modules[i]
			for j, p := range m.Packages {
				if p.Version == "" {
					continue
				}
				f := fact.Finding{Kind: fact.Vulnerability, Rule: "CVE-1", Package: m.Fact(j), Path: "/checkout/" + name + "/" + p.Path}
				c := trace(t, tr, tree, f)
				statuses[m.Tool+" "+string(c.Status)]++
				if c.Status == fact.CauseUnknown {
					t.Errorf("%s %s: %s %s is unknown: %q", name, p.Path, p.Name, p.Version, c.Missing)
				}
				for _, l := range c.Locations {
					if c.Status == fact.CauseFound && filepath.Dir(l.Path) != filepath.Dir(p.Path) && m.Tool == "npm" && len(m.Manifests) == 1 {
						t.Errorf("%s: %s of %s was led to %s", name, p.Name, p.Path, l.Path)
					}
				}
				f.Path = ""
				trace(t, tr, tree, f)
			}
		}
		if t.Failed() {
			break
		}
	}
	t.Log(statuses)
}
