package terraform

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/fact"
)

func dataFolder(t *testing.T) string {
	t.Helper()
	data := os.Getenv("BACKSTITCH_DATA")
	if data == "" {
		data = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(filepath.Join(data, "iac-policy")); err != nil {
		if os.Getenv("BACKSTITCH_DATA_REQUIRED") == "1" {
			t.Fatal("no data folder: ", err)
		}
		t.Skip("no data folder: ", err)
	}
	return data
}

func readTree(t *testing.T, dir string) code.Files {
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

func look(t *testing.T, tree code.Tree) []fact.Finding {
	t.Helper()
	var found []fact.Finding
	if _, _, err := Look(context.Background(), tree, func(f fact.Finding) error { found = append(found, f); return nil }); err != nil {
		t.Fatal(err)
	}
	return found
}

// checkov tells for its own cases which resources break one of its checks. A rule of ours
// that says that it is the same must judge them alike.
func TestRulesJudgeTheCasesOfCheckovAlike(t *testing.T) {
	folder := filepath.Join(dataFolder(t), "iac-policy", "checkov-terraform")
	data, err := os.ReadFile(filepath.Join(folder, "expectations.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cases map[string]struct {
		Check      string
		Fail, Pass []string
	}
	if err := json.Unmarshal(data, &cases); err != nil {
		t.Fatal(err)
	}
	ours := map[string]bool{}
	for _, r := range Rules() {
		for _, alias := range r.Aliases {
			ours[alias] = true
		}
	}
	judged, alike := 0, 0
	for name, c := range cases {
		if !ours[c.Check] {
			continue
		}
		tree := readTree(t, filepath.Join(folder, filepath.FromSlash(name)))
		hit := map[string]bool{}
		for _, f := range look(t, tree) {
			if slices.Contains(f.Aliases, c.Check) {
				address, _, _ := strings.Cut(f.Anchor, "[")
				hit[address] = true
				hit[f.Anchor] = true
			}
		}
		for _, address := range c.Fail {
			if !declares(tree, address) {
				continue // checkov looks at a plan, which is not here
			}
			if judged++; hit[address] {
				alike++
			} else {
				t.Logf("%s %s: %s is not found", name, c.Check, address)
			}
		}
		for _, address := range c.Pass {
			if judged++; !hit[address] {
				alike++
			} else {
				t.Logf("%s %s: %s is found", name, c.Check, address)
			}
		}
	}
	t.Logf("%d of %d resources alike", alike, judged)
	// The others are texts that Terraform or AWS refuses, and statements with conditions,
	// which are not for anybody.
	if judged < 200 || alike*100 < judged*92 {
		t.Errorf("%d of %d resources are judged alike, expected 92 %%", alike, judged)
	}
}

// declares says whether a tree has a resource's block, whatever its module.
func declares(tree code.Files, address string) bool {
	words := strings.Split(address, ".")
	kind, name := words[max(0, len(words)-2)], words[len(words)-1]
	name, _, _ = strings.Cut(name, "[")
	for _, text := range tree {
		if strings.Contains(string(text), `"`+kind+`" "`+name+`"`) {
			return true
		}
	}
	return false
}
