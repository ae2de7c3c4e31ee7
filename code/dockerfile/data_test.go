package dockerfile

import (
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func dataFolder(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("BACKSTITCH_DATA")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "shared", "data")
	}
	if _, err := os.Stat(dir); err != nil {
		if os.Getenv("BACKSTITCH_DATA_REQUIRED") == "1" {
			t.Fatal(err)
		}
		t.Skip("no data folder: ", err)
	}
	return dir
}

func TestRealDockerfilesAreRead(t *testing.T) {
	t.Parallel()
	total, read := 0, 0
	for _, folder := range []string{"images", "app-trees", "fixes/dockerfile-base", "hardened-images"} {
		err := filepath.WalkDir(filepath.Join(dataFolder(t), folder), func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !Named(filepath.ToSlash(name)) {
				return err
			}
			data, err := os.ReadFile(name)
			if err != nil {
				return err
			}
			total++
			file, err := Parse(entry.Name(), data)
			if err != nil {
				t.Logf("%s: %v", name, err)
				return nil
			}
			if len(file.Problems) > 0 {
				t.Logf("%s: %v", name, file.Problems)
			}
			read++
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if total == 0 || float64(read) < .98*float64(total) {
		t.Errorf("%d of %d read", read, total)
	}
}
