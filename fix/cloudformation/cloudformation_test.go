package cloudformation_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/fix/cloudformation"
	"github.com/backstitch/backstitch/fix/fixtest"
	scan "github.com/backstitch/backstitch/scan/cloudformation"
)

func look(t *testing.T, tree code.Files) []fact.Finding {
	t.Helper()
	var found []fact.Finding
	if _, err := scan.New().Scan(context.Background(), tree, func(f fact.Finding) error { found = append(found, f); return nil }); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestPropertiesAreEditedInTheirStyle(t *testing.T) {
	text := "Resources:\n  Db:\n    Type: AWS::RDS::DBInstance\n    Properties:\n      # who may reach it\n      PubliclyAccessible: true # for now\n      StorageEncrypted: !Ref Encrypt\n"
	tree := code.Files{"t.yaml": []byte(text)}
	found := look(t, tree)
	if len(found) != 1 || found[0].Line != 6 || found[0].Aliases[1] != "AWS-0180" {
		t.Fatalf("%+v", found)
	}
	site := &fix.Site{Tree: tree, Flaws: []fix.Flaw{{Issue: "i", Seen: found}}}
	paths, err := cloudformation.New().PlanSite(context.Background(), site)
	if err != nil || len(paths) != 1 || paths[0].Manual {
		t.Fatalf("%+v %v %v", paths, err, site.Blocked)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "t.yaml"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := cloudformation.New().Apply(context.Background(), dir, paths[0]); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(filepath.Join(dir, "t.yaml"))
	if err != nil || string(after) != strings.Replace(text, "PubliclyAccessible: true", "PubliclyAccessible: false", 1) {
		t.Errorf("%s %v", after, err)
	}
}

func TestTheDefaultOfAParameterIsEditedWhereItDecides(t *testing.T) {
	text := "Parameters:\n  Open: {Type: String, Default: \"true\"}\nResources:\n  Db:\n    Type: AWS::RDS::DBInstance\n    Properties:\n      PubliclyAccessible: !Ref Open\n      StorageEncrypted: true\n"
	tree := code.Files{"t.yaml": []byte(text)}
	found := look(t, tree)
	site := &fix.Site{Tree: tree, Flaws: []fix.Flaw{{Issue: "i", Seen: found}}}
	paths, err := cloudformation.New().PlanSite(context.Background(), site)
	if err != nil || len(found) != 1 || len(paths) != 1 || len(paths[0].Edits) != 1 || paths[0].Edits[0].Line != 2 || !strings.Contains(paths[0].Reach, "parameter") {
		t.Fatalf("%+v %+v %v %v", found, paths, err, site.Blocked)
	}
}

// Of every finding in the templates of checkov with a wanted value, the path has to make
// it go.
func TestPathsCloseWhatOurScannerSees(t *testing.T) {
	asked, closed := 0, 0
	err := filepath.WalkDir(filepath.Join(fixtest.Data(t), "iac-policy", "checkov-cloudformation"), func(name string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		tree := code.Files{filepath.Base(name): data}
		for _, f := range look(t, tree) {
			if strings.HasPrefix(f.Attributes["wanted"], "?") {
				continue
			}
			asked++
			site := &fix.Site{Tree: tree, Flaws: []fix.Flaw{{Issue: "i", Seen: []fact.Finding{f}}}}
			paths, err := cloudformation.New().PlanSite(context.Background(), site)
			if err != nil {
				return err
			}
			if len(paths) == 0 || paths[0].Manual {
				t.Logf("%s: %s of %s: %v", filepath.Base(name), f.Attributes["field"], f.Anchor, site.Blocked)
				continue
			}
			edit := paths[0].Edits[0]
			after := fixtest.OneValue(t, name, data, fix.Edit{Start: edit.Start, End: edit.End, Old: edit.Old, New: edit.New})
			if slices.ContainsFunc(look(t, code.Files{filepath.Base(name): after}), func(g fact.Finding) bool {
				return g.Rule == f.Rule && g.Attributes["object"] == f.Attributes["object"]
			}) {
				t.Errorf("%s: %s is still seen at %s", filepath.Base(name), f.Rule, f.Anchor)
				continue
			}
			closed++
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d of %d closed", closed, asked)
	if asked < 50 || closed*100 < asked*95 {
		t.Errorf("%d of %d findings are closed, expected 95 %%", closed, asked)
	}
}
