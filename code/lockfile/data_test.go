package lockfile

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/backstitch/backstitch/code"
)

// dataTrees gives the trees of the real data: each folder of app-trees, and
// each before and after folder of fixes with its file names spread again.
func dataTrees(t testing.TB) map[string]code.Files {
	t.Helper()
	data := dataFolder(t)
	decoder, err := zstd.NewReader(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer decoder.Close()
	trees := make(map[string]code.Files)
	for _, part := range []string{"app-trees", "fixes"} {
		err := filepath.WalkDir(filepath.Join(data, part), func(name string, e fs.DirEntry, err error) error {
			if err != nil || e.IsDir() {
				return err
			}
			rel, err := filepath.Rel(data, name)
			if err != nil {
				return err
			}
			rel = filepath.ToSlash(rel)
			words := strings.Split(rel, "/")
			depth := 2
			if part == "fixes" {
				depth = 4
			}
			if len(words) <= depth {
				return nil
			}
			tree, file := strings.Join(words[:depth], "/"), strings.Join(words[depth:], "/")
			content, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			if before, ok := strings.CutSuffix(file, ".zst"); ok {
				file = before
				if content, err = decoder.DecodeAll(content, nil); err != nil {
					return err
				}
			}
			if part == "fixes" {
				file = strings.ReplaceAll(file, "__", "/")
			}
			if trees[tree] == nil {
				trees[tree] = make(code.Files)
			}
			trees[tree][file] = content
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return trees
}

func TestRealTreesGiveAsManyPackagesAsACountOfTheirOwn(t *testing.T) {
	t.Parallel()
	modules, packages, locks := 0, 0, 0
	for name, tree := range dataTrees(t) {
		list := read(t, tree)
		if t.Failed() {
			t.Fatal(name)
		}
		modules += len(list)
		for i := range list {
			m := &list[i]
			packages += len(m.Packages)
			if m.Tool == "npm" && len(m.Locks) == 1 {
				locks++
				want := countNPM(t, tree[m.Locks[0]]) - max(0, len(m.Manifests)-1)
				if len(m.Packages) != want {
					t.Errorf("%s %s: %d packages, a count of its own says %d", name, m.Locks[0], len(m.Packages), want)
				}
			}
			if m.Tool == "gomod" {
				want := len(goRequire.FindAll(goOther.ReplaceAll(tree[m.Manifests[0]], nil), -1))
				if got := len(m.Packages) - 1; got != want {
					t.Errorf("%s %s: %d packages beside the standard library, a count of its own says %d", name, m.Manifests[0], got, want)
				}
			}
		}
	}
	t.Logf("%d modules, %d packages, %d npm locks", modules, packages, locks)
	if packages == 0 || locks == 0 {
		t.Error("nothing was read")
	}
}

var (
	goRequire = regexp.MustCompile(`(?m)^(?:require)?\s+[^\s/()]+\.[^\s()]+ v[0-9]\S*`)
	goOther   = regexp.MustCompile(`(?s)\n(?:replace|exclude|retract) (?:\([^)]*\)|[^\n]*)`)
)

// countNPM counts the packages of a lock with the standard decoder.
func countNPM(t *testing.T, data []byte) int {
	t.Helper()
	var lock struct {
		Packages     map[string]struct{ Link bool }
		Dependencies map[string]json.RawMessage
	}
	if err := json.Unmarshal(data, &lock); err != nil {
		t.Fatal(err)
	}
	n := 0
	if lock.Packages == nil {
		var count func(map[string]json.RawMessage)
		count = func(list map[string]json.RawMessage) {
			for _, raw := range list {
				var e struct{ Dependencies map[string]json.RawMessage }
				if err := json.Unmarshal(raw, &e); err != nil {
					t.Fatal(err)
				}
				n++
				count(e.Dependencies)
			}
		}
		count(lock.Dependencies)
	}
	for key, e := range lock.Packages {
		if key != "" && !e.Link {
			n++
		}
	}
	return n
}

func BenchmarkLargestRealNPMLock(b *testing.B) {
	var largest code.Files
	size := 0
	for _, tree := range dataTrees(b) {
		for name, data := range tree {
			if filepath.Base(name) == npmLock && len(data) > size {
				size = len(data)
				largest = code.Files{"package-lock.json": data, "package.json": tree[strings.TrimSuffix(name, npmLock)+npmManifest]}
			}
		}
	}
	b.SetBytes(int64(size))
	start := time.Now()
	for b.Loop() {
		if _, err := Read(context.Background(), largest); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(time.Since(start).Milliseconds())/float64(b.N), "ms/lock")
}
