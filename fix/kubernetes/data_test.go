package kubernetes

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	scankubernetes "github.com/backstitch/backstitch/scan/kubernetes"
)

func dataFolder(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("BACKSTITCH_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("CI") != "" || os.Getenv("BACKSTITCH_DATA_REQUIRED") == "1" {
			t.Fatal(err)
		}
		t.Skip("no data folder: ", err)
	}
	return dir
}

// What our scanner sees in a real system is mended in a copy of its files, and is then
// not seen there; where it is not mended, a reason is given.
func TestWhatIsSeenInRealSystemsIsMended(t *testing.T) {
	root := filepath.Join(dataFolder(t), "app-trees")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	renderer := kubernetes.ChildRenderer(self)
	mended, planned, all := 0, 0, 0
	for _, name := range []string{"podinfo", "microservices-demo", "kubernetes-goat"} {
		dir, err := code.OpenDir(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		defer dir.Close()
		tree := held(t, dir)
		scanner := scankubernetes.New(renderer)
		var found []fact.Finding
		scan := func(tree code.Tree) []fact.Finding {
			var list []fact.Finding
			if _, err := scanner.Scan(t.Context(), tree, func(f fact.Finding) error { list = append(list, f); return nil }); err != nil {
				t.Fatal(err)
			}
			return list
		}
		for _, f := range scan(tree) {
			if f.Attributes["field"] != "" && !strings.HasPrefix(f.Attributes["wanted"], "?") {
				found = append(found, f)
			}
		}
		fixer := New(renderer)
		stride := max(1, len(found)/4)
		for i := 0; i < len(found); i += stride {
			f := found[i]
			all++
			site := &fix.Site{Location: fact.Location{Path: f.Path, Line: f.Line}, Tree: tree, Repository: name, Commit: "1", Flaws: []fix.Flaw{{Issue: "i", Kind: fact.Misconfiguration, Seen: []fact.Finding{f}}}}
			paths, err := fixer.(fix.SiteFixer).PlanSite(t.Context(), site)
			if err != nil {
				t.Fatal(err)
			}
			if len(paths) == 0 {
				t.Logf("%s %s %s: %q", name, f.Rule, f.Attributes["object"], site.Blocked)
				if len(site.Blocked) == 0 {
					t.Errorf("%s %s %s (%s): neither a path nor a reason", name, f.Rule, f.Attributes["object"], f.Attributes["unit"])
				}
				continue
			}
			planned++
			before, after := t.TempDir(), t.TempDir()
			write(t, before, tree)
			write(t, after, tree)
			changed, err := fixer.Apply(context.Background(), after, paths[0])
			if err != nil {
				t.Errorf("%s %s: %v", name, paths[0].ID, err)
				continue
			}
			fresh := code.Files{}
			for at, data := range tree {
				fresh[at] = data
			}
			for _, at := range changed {
				if fresh[at], err = os.ReadFile(filepath.Join(after, filepath.FromSlash(at))); err != nil {
					t.Fatal(err)
				}
			}
			still := false
			for _, other := range scan(fresh) {
				if other.Rule == f.Rule && other.Anchor == f.Anchor && other.Attributes["unit"] == f.Attributes["unit"] && other.Path == f.Path {
					still = true
				}
			}
			if still {
				t.Errorf("%s %s %s: still seen after %s", name, f.Rule, f.Attributes["object"], paths[0].Summary)
				continue
			}
			checks, err := fixer.(fix.Examiner).Examine(t.Context(), before, after, paths[0])
			if err != nil || len(checks) != 1 || checks[0].Status != fact.CheckPass {
				t.Errorf("%s %s: %v %v", name, paths[0].ID, err, checks)
			}
			mended++
		}
	}
	t.Logf("%d findings, %d with a path, %d mended", all, planned, mended)
	if all == 0 || planned*10 < all*7 {
		t.Errorf("only %d of %d have a path", planned, all)
	}
}

func held(t *testing.T, dir *code.Dir) code.Files {
	t.Helper()
	files := code.Files{}
	paths, err := dir.Paths(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range paths {
		switch filepath.Ext(name) {
		case ".yaml", ".yml", ".json", ".tpl", ".txt", ".tgz":
			if files[name], err = dir.Read(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	return files
}

func write(t *testing.T, dir string, tree code.Files) {
	t.Helper()
	for name, data := range tree {
		to := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}
