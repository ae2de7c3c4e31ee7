package terraform_test

import (
	"context"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/fixtest"
	"github.com/backstitch/backstitch/fix/terraform"
	scan "github.com/backstitch/backstitch/scan/terraform"
)

func folder(t *testing.T, dir string) code.Files {
	t.Helper()
	tree := code.Files{}
	err := filepath.WalkDir(dir, func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		rel, err := filepath.Rel(dir, name)
		if err != nil {
			return err
		}
		tree[filepath.ToSlash(rel)], err = os.ReadFile(name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func findings(t *testing.T, tree code.Tree) []fact.Finding {
	t.Helper()
	var found []fact.Finding
	if _, _, err := scan.Look(context.Background(), tree, func(f fact.Finding) error { found = append(found, f); return nil }); err != nil {
		t.Fatal(err)
	}
	return found
}

// spliced carries edits out in memory and checks that they can be taken back to the
// same bytes.
func spliced(t *testing.T, tree code.Files, edits []fix.FileEdit) code.Files {
	t.Helper()
	after := maps.Clone(tree)
	byFile := map[string][]fix.Edit{}
	for _, e := range edits {
		byFile[e.Path] = append(byFile[e.Path], fix.Edit{Start: e.Start, End: e.End, Old: e.Old, New: e.New})
	}
	for name, list := range byFile {
		data, err := fix.Splice(tree[name], list...)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		after[name] = data
		if len(list) == 1 {
			fixtest.OneValue(t, name, tree[name], list[0])
			if crlf, lf := strings.Count(list[0].New, "\r\n"), strings.Count(list[0].New, "\n"); strings.Contains(string(tree[name]), "\r\n") && crlf != lf {
				t.Errorf("%s: line endings are mixed by %q", name, list[0].New)
			}
		}
	}
	return after
}

// For every finding of our scanner in the cases of checkov whose wanted value is known,
// the first path has to make it go, and bring nothing.
func TestPathsCloseWhatOurScannerSees(t *testing.T) {
	cases := filepath.Join(fixtest.Data(t), "iac-policy", "checkov-terraform")
	n, asked, closed, by := 0, 0, 0, map[string]int{}
	for _, cloud := range []string{"aws", "azure", "gcp"} {
		folders, err := os.ReadDir(filepath.Join(cases, cloud))
		if err != nil {
			t.Fatal(err)
		}
		for _, one := range folders {
			tree := folder(t, filepath.Join(cases, cloud, one.Name()))
			before := findings(t, tree)
			seen := map[string]bool{}
			for _, f := range before {
				seen[f.Rule+f.Attributes["object"]] = true
			}
			for _, f := range before {
				if strings.HasPrefix(f.Attributes["wanted"], "?") {
					continue
				}
				if n++; n%6 != 0 {
					continue // a part of them is enough for every day
				}
				asked++
				site := &fix.Site{Location: fact.Location{Path: f.Path, Line: f.Line}, Tree: tree, Flaws: []fix.Flaw{{Issue: "i", Kind: f.Kind, Rules: []string{f.Rule}, Seen: []fact.Finding{f}}}}
				paths, err := terraform.New().PlanSite(context.Background(), site)
				if err != nil {
					t.Fatal(err)
				}
				if len(paths) == 0 || paths[0].Manual {
					by["no path"]++
					t.Logf("%s/%s: %s of %s has no path: %v", cloud, one.Name(), f.Attributes["field"], f.Anchor, site.Blocked)
					continue
				}
				after := findings(t, spliced(t, tree, paths[0].Edits))
				left := slices.ContainsFunc(after, func(g fact.Finding) bool {
					return g.Rule == f.Rule && g.Attributes["object"] == f.Attributes["object"] && g.Attributes["field"] == f.Attributes["field"]
				})
				fresh := slices.IndexFunc(after, func(g fact.Finding) bool { return !seen[g.Rule+g.Attributes["object"]] })
				switch {
				case left:
					by["still seen"]++
					t.Logf("%s/%s: %s is still seen at %s after %s", cloud, one.Name(), f.Rule, f.Anchor, paths[0].Summary)
				case fresh >= 0:
					by["brings another"]++
					t.Logf("%s/%s: %s brings %s at %s", cloud, one.Name(), paths[0].Summary, after[fresh].Rule, after[fresh].Anchor)
				default:
					closed++
				}
			}
		}
	}
	t.Logf("%d of %d closed; %v", closed, asked, by)
	if asked < 150 || closed*100 < asked*95 {
		t.Errorf("%d of %d findings are closed by their first path, expected 95 %%", closed, asked)
	}
}

// In real trees every edit can be taken back to the same bytes, whatever it edits.
func TestEditsOfRealTreesCanBeTakenBack(t *testing.T) {
	trees := filepath.Join(fixtest.Data(t), "terraform", "trees")
	folders, err := os.ReadDir(trees)
	if err != nil {
		t.Fatal(err)
	}
	planned, manual := 0, 0
	for _, one := range folders {
		if !one.IsDir() {
			continue
		}
		tree := folder(t, filepath.Join(trees, one.Name()))
		fixer := terraform.New()
		for i, f := range findings(t, tree) {
			if i%60 != 0 {
				continue
			}
			site := &fix.Site{Location: fact.Location{Path: f.Path, Line: f.Line}, Repository: one.Name(), Commit: "c", Tree: tree, Flaws: []fix.Flaw{{Issue: "i", Kind: f.Kind, Rules: []string{f.Rule}, Seen: []fact.Finding{f}}}}
			paths, err := fixer.PlanSite(context.Background(), site)
			if err != nil {
				t.Fatal(err)
			}
			if len(paths) == 0 {
				t.Errorf("%s: %s of %s has no path", one.Name(), f.Attributes["field"], f.Anchor)
			}
			for _, p := range paths {
				if p.Manual {
					manual++
					continue
				}
				planned++
				spliced(t, tree, p.Edits)
			}
		}
	}
	t.Logf("%d paths with edits, %d by hand", planned, manual)
	if planned == 0 {
		t.Error("nothing was planned")
	}
}
