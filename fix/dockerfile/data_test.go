package dockerfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code/dockerfile/practice"

	"github.com/backstitch/backstitch/code"
	docker "github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/image/advice"
)

// Every rule that a real Dockerfile breaks and that bytes can mend is mended: it is not
// seen in the stage afterwards, and nothing else is new there.
func TestRealDockerfilesAreMended(t *testing.T) {
	t.Parallel()
	dir := os.Getenv("BACKSTITCH_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("BACKSTITCH_DATA_REQUIRED") == "1" {
			t.Fatalf("real data is required: %v", err)
		}
		t.Skip("no real data; set BACKSTITCH_DATA")
	}
	files, mended, byHand := 0, 0, 0
	for _, folder := range []string{"images", "app-trees", "fixes/dockerfile-base", "hardened-images", "iac-policy"} {
		err := filepath.WalkDir(filepath.Join(dir, folder), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !docker.Named(filepath.ToSlash(name)) {
				return err
			}
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			file, err := docker.Parse("Dockerfile", data)
			if err != nil {
				return nil
			}
			files++
			seen := practice.Judge(file, docker.NewText(data, file))
			asked := map[string]bool{}
			for _, v := range seen {
				object := practice.Object("Dockerfile", file, v.Stage)
				if v.Rule.Latest() || asked[v.Rule.ID+object] {
					continue
				}
				asked[v.Rule.ID+object] = true
				site := &fix.Site{
					Location: fact.Location{Path: "Dockerfile", Line: v.Line, EndLine: v.EndLine}, Tree: code.Files{"Dockerfile": data},
					Flaws: []fix.Flaw{{Issue: "i", Kind: fact.Misconfiguration, Rules: []string{v.Rule.ID}, Seen: []fact.Finding{{Rule: v.Rule.ID, Attributes: map[string]string{fix.AttributeObject: object}}}}},
				}
				paths, err := New(advice.Catalogue{}).(fix.SiteFixer).PlanSite(t.Context(), site)
				if err != nil || len(paths) != 1 {
					t.Errorf("%s:%d: %s: %d paths, blocked %q, error %v", name, v.Line, v.Rule.ID, len(paths), site.Blocked, err)
					continue
				}
				if paths[0].Manual {
					byHand++
					continue
				}
				mended++
				after, err := spliced(data, paths[0].Edits)
				if err != nil {
					t.Errorf("%s:%d: %s: %v", name, v.Line, v.Rule.ID, err)
					continue
				}
				again, err := docker.Parse("Dockerfile", after)
				if err != nil {
					t.Errorf("%s:%d: %s: %v", name, v.Line, v.Rule.ID, err)
					continue
				}
				for _, left := range practice.Judge(again, docker.NewText(after, again)) {
					same := func(o practice.Verdict) bool { return o.Rule == left.Rule && o.Stage == left.Stage }
					if left.Rule == v.Rule && left.Stage == v.Stage || !slices.ContainsFunc(seen, same) {
						t.Errorf("%s:%d: after mending %s, line %d breaks %s: %s", strings.TrimPrefix(name, dir), v.Line, v.Rule.ID, left.Line, left.Rule.ID, left.Detail)
					}
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("%d files, %d rules mended, %d left to people", files, mended, byHand)
	if mended < 100 {
		t.Errorf("only %d rules were mended in %d files", mended, files)
	}
}
