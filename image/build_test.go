package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"testing"
)

// entry is one member of a layer that a test makes.
type entry struct {
	name, content string
	kind          byte // tar type, 0 a regular file
	link          string
	mode          int64
}

func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		h := &tar.Header{Name: e.name, Typeflag: e.kind, Linkname: e.link, Mode: e.mode, Size: int64(len(e.content))}
		if e.kind == 0 {
			h.Typeflag = tar.TypeReg
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

func zipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// layout is an OCI layout in the making.
type layout struct {
	dir   string
	index []Descriptor
	t     testing.TB
}

func newLayout(t testing.TB) *layout {
	t.Helper()
	l := &layout{dir: t.TempDir(), t: t}
	if err := os.MkdirAll(filepath.Join(l.dir, "blobs", "sha256"), 0o755); err != nil {
		t.Fatal(err)
	}
	return l
}

func (l *layout) blob(data []byte) string {
	digest := digestOf(data)
	if err := os.WriteFile(filepath.Join(l.dir, "blobs", "sha256", digest[7:]), data, 0o644); err != nil {
		l.t.Fatal(err)
	}
	return digest
}

func (l *layout) json(v any) (string, int64) {
	data, err := json.Marshal(v)
	if err != nil {
		l.t.Fatal(err)
	}
	return l.blob(data), int64(len(data))
}

func (l *layout) write() string {
	data, err := json.Marshal(map[string]any{"schemaVersion": 2, "manifests": l.index})
	if err != nil {
		l.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(l.dir, "index.json"), data, 0o644); err != nil {
		l.t.Fatal(err)
	}
	return l.dir
}

func configOf(layers [][]byte, history []HistoryEntry, labels map[string]string) *Config {
	config := &Config{OS: "linux", Architecture: "amd64", History: history}
	for _, layer := range layers {
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, digestOf(layer))
	}
	config.Config.Labels = labels
	return config
}

// add puts an image of plain layers into the layout, stored as gzip.
func (l *layout) add(config *Config, layers ...[]byte) string {
	configID, _ := l.json(config)
	doc := manifestDocument{Config: &Descriptor{MediaType: "application/vnd.oci.image.config.v1+json", Digest: configID}}
	for _, layer := range layers {
		packed := zipped(l.t, layer)
		doc.Layers = append(doc.Layers, Descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: l.blob(packed), Size: int64(len(packed))})
	}
	digest, size := l.json(doc)
	l.index = append(l.index, Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digest, Size: size})
	return digest
}

func openOne(t testing.TB, path string) *Image {
	t.Helper()
	set, err := Open(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	if len(set.Images) != 1 || len(set.Problems) > 0 {
		t.Fatalf("%d images, problems %v", len(set.Images), set.Problems)
	}
	return set.Images[0]
}

func scanOne(t testing.TB, image *Image) *Inventory {
	t.Helper()
	inventory, err := Scan(context.Background(), image, nil)
	if err != nil {
		t.Fatal(err)
	}
	return inventory
}

func imageOf(t testing.TB, layers ...[]byte) *Image {
	t.Helper()
	l := newLayout(t)
	l.add(configOf(layers, nil, nil), layers...)
	return openOne(t, l.write())
}
