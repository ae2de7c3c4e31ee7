package image

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	fakeregistry "github.com/google/go-containerregistry/pkg/registry"
	"github.com/klauspost/compress/gzip"
)

// bomb writes a gzip of n zero bytes as one tar member.
func bomb(out io.Writer, n int64) error {
	packed, err := gzip.NewWriterLevel(out, gzip.BestSpeed)
	if err != nil {
		return err
	}
	w := tar.NewWriter(packed)
	if err := w.WriteHeader(&tar.Header{Name: "zeros", Size: n, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	if _, err := io.CopyN(w, zeros{}, n); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return packed.Close()
}

func jarOf(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	for name, content := range files {
		out, err := w.Create(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(out, content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func writeFile(t testing.TB, name string, data []byte) string {
	t.Helper()
	name = filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(name, data, 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestTheSameImageIsReadFromEveryForm(t *testing.T) {
	t.Parallel()
	layers := [][]byte{tarOf(t, release, status("a 1")), tarOf(t, status("a 2"))}
	config := configOf(layers, []HistoryEntry{{CreatedBy: "/bin/sh -c #(nop) ADD file:0123456789abcdef in / "}, {CreatedBy: "CMD [\"sh\"]", EmptyLayer: true}, {CreatedBy: "RUN /bin/sh -c apt-get upgrade # buildkit"}}, nil)
	l := newLayout(t)
	l.add(config, layers...)
	dir := l.write()
	configData, err := json.Marshal(config)
	if err != nil {
		t.Fatal(err)
	}
	// The layout as an archive, and what docker save wrote before it knew layouts,
	// in which a layer may be a link to that of another image.
	var members []entry
	err = filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(name)
		relative, _ := filepath.Rel(dir, name)
		members = append(members, entry{name: "./" + filepath.ToSlash(relative), content: string(data)})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	name := digestOf(configData)[7:] + ".json"
	saved := tarOf(t,
		entry{name: "aaa/layer.tar", content: string(layers[0])},
		entry{name: "bbb/layer.tar", kind: tar.TypeSymlink, link: "../ccc/layer.tar"},
		entry{name: "ccc/layer.tar", content: string(layers[1])},
		entry{name: name, content: string(configData)},
		entry{name: "manifest.json", content: fmt.Sprintf(`[{"Config":%q,"RepoTags":["shop:1"],"Layers":["aaa/layer.tar","bbb/layer.tar"]}]`, name)},
	)
	for form, path := range map[string]string{
		"folder": dir, "archive": writeFile(t, "layout.tar", tarOf(t, members...)), "save": writeFile(t, "saved.tar", saved), "save, gzip": writeFile(t, "saved.tar.gz", zipped(t, saved)),
	} {
		image := openOne(t, path)
		inventory := scanOne(t, image)
		if diff := cmp.Diff([]string{"a 2 @1 was 1 @0"}, found(inventory)); diff != "" {
			t.Errorf("%s: %s", form, diff)
		}
		if p := inventory.Packages; len(p) == 1 && p[0].Step != 2 {
			t.Errorf("%s: history index %d, want 2: empty layers count there", form, p[0].Step)
		}
		if image.Platform.String() != "linux/amd64" || image.ConfigID != digestOf(configData) {
			t.Errorf("%s: %s %s", form, image.Platform, image.ConfigID)
		}
	}
}

func TestAnImageIsReadFromARegistryPerPlatform(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0)), fakeregistry.WithBlobHandler(fakeregistry.NewInMemoryBlobHandler())))
	defer server.Close()
	put := func(path, mediaType string, data []byte) {
		t.Helper()
		request := httptest.NewRequest("PUT", server.URL+path, bytes.NewReader(data))
		request.RequestURI = ""
		request.Header.Set("Content-Type", mediaType)
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 201 {
			t.Fatalf("PUT %s: %s", path, response.Status)
		}
	}
	blob := func(data []byte) string {
		digest := digestOf(data)
		request := httptest.NewRequest("POST", server.URL+"/v2/shop/blobs/uploads/?digest="+digest, bytes.NewReader(data))
		request.RequestURI = ""
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 201 {
			t.Fatalf("POST blob: %s", response.Status)
		}
		return digest
	}
	var list []Descriptor
	for _, arch := range []string{"amd64", "arm64"} {
		layer := tarOf(t, status("a-"+arch+" 1"))
		config := configOf([][]byte{layer}, nil, nil)
		config.Architecture = arch
		data, _ := json.Marshal(config)
		doc, _ := json.Marshal(manifestDocument{MediaType: "application/vnd.oci.image.manifest.v1+json", Config: &Descriptor{MediaType: "application/vnd.oci.image.config.v1+json", Digest: blob(data), Size: int64(len(data))},
			Layers: []Descriptor{{MediaType: "application/vnd.oci.image.layer.v1.tar", Digest: blob(layer), Size: int64(len(layer))}}})
		put("/v2/shop/manifests/"+digestOf(doc), "application/vnd.oci.image.manifest.v1+json", doc)
		list = append(list, Descriptor{MediaType: "application/vnd.oci.image.manifest.v1+json", Digest: digestOf(doc), Size: int64(len(doc)), Platform: &Platform{OS: "linux", Architecture: arch}})
	}
	index, _ := json.Marshal(map[string]any{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": list[:2]})
	put("/v2/shop/manifests/1", "application/vnd.oci.image.index.v1+json", index)
	set, err := Open(context.Background(), strings.TrimPrefix(server.URL, "http://")+"/shop:1")
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	image, err := set.Pick("linux/arm64")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"a-arm64 1 @0"}, found(scanOne(t, image))); diff != "" {
		t.Error(diff)
	}
	if _, err := set.Pick("windows/amd64"); err == nil {
		t.Error("a platform that is not there was found")
	}
}

func TestHostilePlacesAreRefusedWithTheReason(t *testing.T) {
	t.Parallel()
	layer := tarOf(t, status("a 1"))
	for _, test := range []struct {
		name string
		make func(t *testing.T) string
		want string
	}{
		{"a manifest of 100 MB", func(t *testing.T) string {
			l := newLayout(t)
			digest := l.blob(append([]byte(`{"config":{"digest":"`), bytes.Repeat([]byte("a"), 100<<20)...))
			l.index = []Descriptor{{Digest: digest}}
			return l.write()
		}, "more than 8 MiB"},
		{"an index that leads to another without end", func(t *testing.T) string {
			l := newLayout(t)
			digest, _ := l.json(map[string]any{"manifests": []Descriptor{}})
			for range maxNesting + 2 {
				digest, _ = l.json(map[string]any{"manifests": []Descriptor{{MediaType: "application/vnd.oci.image.index.v1+json", Digest: digest}}})
			}
			l.index = []Descriptor{{Digest: digest}}
			return l.write()
		}, "nested more than"},
		{"a digest that is a path", func(t *testing.T) string {
			l := newLayout(t)
			l.index = []Descriptor{{Digest: "sha256:../../../../etc/passwd"}}
			return l.write()
		}, "64 hexadecimal digits"},
		{"a blob that is a link out of the layout", func(t *testing.T) string {
			l := newLayout(t)
			digest := digestOf([]byte("outside"))
			if err := os.Symlink(writeFile(t, "outside", []byte("outside")), filepath.Join(l.dir, "blobs", "sha256", digest[7:])); err != nil {
				t.Fatal(err)
			}
			l.index = []Descriptor{{Digest: digest}}
			return l.write()
		}, "no image could be read"},
		{"a manifest with other content", func(t *testing.T) string {
			l := newLayout(t)
			digest := l.add(configOf([][]byte{layer}, nil, nil), layer)
			if err := os.WriteFile(filepath.Join(l.dir, "blobs", "sha256", digest[7:]), []byte("{}"), 0o644); err != nil {
				t.Fatal(err)
			}
			return l.write()
		}, ErrDigest.Error()},
		{"more layers than the configuration tells", func(t *testing.T) string {
			l := newLayout(t)
			l.add(configOf([][]byte{layer}, nil, nil), layer, layer)
			return l.write()
		}, "its configuration 1"},
		{"an empty folder", func(t *testing.T) string { return t.TempDir() }, "not an image"},
		{"an empty file", func(t *testing.T) string { return writeFile(t, "x", nil) }, "not an image"},
		{"some other archive", func(t *testing.T) string { return writeFile(t, "x.tar", tarOf(t, release)) }, "not an image"},
		{"a configuration with another name than its digest", func(t *testing.T) string {
			name := digestOf(nil)[7:] + ".json"
			return writeFile(t, "x.tar", tarOf(t, entry{name: name, content: "{}"}, entry{name: "manifest.json", content: fmt.Sprintf(`[{"Config":%q}]`, name)}))
		}, ErrDigest.Error()},
		{"a link between members that leads to itself", func(t *testing.T) string {
			return writeFile(t, "x.tar", tarOf(t, entry{name: "c", kind: tar.TypeSymlink, link: "c"}, entry{name: "manifest.json", content: `[{"Config":"c"}]`}))
		}, "no member"},
	} {
		t.Run(test.name, func(t *testing.T) {
			set, err := Open(context.Background(), test.make(t))
			if err == nil {
				set.Close()
				t.Fatal("it was opened")
			}
			if !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %q, want it to say %q", err, test.want)
			}
		})
	}
}

func TestAnIndexThatNamesOneImageTwiceGivesItOnceAndKeepsItsAttestations(t *testing.T) {
	t.Parallel()
	layer := tarOf(t, status("a 1"))
	l := newLayout(t)
	digest := l.add(configOf([][]byte{layer}, nil, nil), layer)
	l.index = append(l.index, l.index[0], Descriptor{Digest: digestOf([]byte("x")), Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest}})
	image := openOne(t, l.write())
	if len(image.Attestations) != 1 {
		t.Errorf("attestations %v", image.Attestations)
	}
}
