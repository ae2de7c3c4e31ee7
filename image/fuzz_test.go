package image

import (
	"bytes"
	"context"
	"io"
	"slices"
	"strings"
	"testing"
)

func FuzzReadLayer(f *testing.F) {
	f.Add(tarOf(f, release, status("a 1"), entry{name: "app/.wh.x"}, entry{name: "app/node_modules/x/package.json", content: `{"name":"x","version":"1"}`}))
	f.Add(zipped(f, tarOf(f, entry{name: "x.jar", content: string(jarOf(f, map[string]string{"META-INF/MANIFEST.MF": "A: b\n"}))})))
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 1<<20 {
			return
		}
		layer := Layer{DiffID: digestOf(data), open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil }}
		content, err := layer.Read(context.Background())
		if err != nil {
			return
		}
		if !slices.IsSorted(content.Files) || !slices.IsSorted(content.Whiteouts) {
			t.Fatal("not sorted")
		}
		for _, name := range content.Whiteouts {
			if strings.HasPrefix(name, "/") || strings.HasPrefix(name, "../") || name == ".." {
				t.Fatalf("whiteout %q leaves the image", name)
			}
		}
		for _, database := range content.Databases {
			if cleanName(database.Path) != database.Path {
				t.Fatalf("database at %q", database.Path)
			}
		}
	})
}

func FuzzDatabases(f *testing.F) {
	kinds := []string{"dpkg", "apk", "rpm", "npm", "pypi", "gem", "maven", "composer", "nuget"}
	f.Add(0, []byte(status("a 1", "b 2").content))
	f.Add(1, []byte("P:a\nV:1\n\n"))
	f.Add(2, ndbOf(rpmHeaderOf(map[uint32]string{1000: "bash", 1001: "5", 1002: "1"})))
	f.Add(2, bdbOf(rpmHeaderOf(map[uint32]string{1000: "bash", 1001: "5", 1002: "1"})))
	f.Add(2, []byte("SQLite format 3\x00\x10\x00"))
	f.Fuzz(func(t *testing.T, which int, data []byte) {
		if which < 0 || len(data) > 1<<20 {
			return
		}
		packages, err := parseDatabase(kinds[which%len(kinds)], "x-1.0.gemspec", data)
		if err != nil && strings.Contains(err.Error(), "could not be read: ") {
			t.Fatalf("a reader panicked: %v", err)
		}
		for _, p := range packages {
			if p.Name == "" || p.Version == "" {
				t.Fatalf("%+v", p)
			}
		}
	})
}
