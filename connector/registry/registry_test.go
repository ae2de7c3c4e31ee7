package registry_test

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/connector/connectortest"
	"github.com/backstitch/backstitch/connector/registry"
	"github.com/backstitch/backstitch/fact"
)

func tarOf(t *testing.T, files ...[2]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, file := range files {
		if err := w.WriteHeader(&tar.Header{Name: file[0], Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(file[1]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(file[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func digest(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// save writes an archive of an image of one layer and returns the layer's DiffID.
func save(t *testing.T, name string, damaged bool) string {
	t.Helper()
	layer := tarOf(t, [2]string{"etc/os-release", "ID=debian\nVERSION_ID=12\n"}, [2]string{"var/lib/dpkg/status", "Package: curl\nStatus: install ok installed\nArchitecture: amd64\nVersion: 7.88\n"})
	diffID := digest(layer)
	config, err := json.Marshal(map[string]any{
		"os": "linux", "architecture": "amd64", "rootfs": map[string]any{"diff_ids": []string{diffID}}, "history": []map[string]any{{"created_by": "RUN x # buildkit"}},
		"config": map[string]any{"Labels": map[string]string{"org.opencontainers.image.base.name": "debian:12", "team": "shop"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if damaged {
		layer = append(layer, 0)
	}
	archive := tarOf(t, [2]string{"c.json", string(config)}, [2]string{"l/layer.tar", string(layer)}, [2]string{"manifest.json", `[{"Config":"c.json","RepoTags":["shop:1"],"Layers":["l/layer.tar"]}]`})
	if err := os.WriteFile(name, archive, 0o644); err != nil {
		t.Fatal(err)
	}
	return diffID
}

func TestConformance(t *testing.T) {
	dir := t.TempDir()
	save(t, filepath.Join(dir, "shop.tar"), false)
	connectortest.Conformance(t, registry.New(nil), map[string]string{"path": dir}, map[string]string{"images": filepath.Join(dir, "shop.tar"), "packages": "no"})
}

func TestAnImageBringsLayersLabelsBaseAndPackages(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "shop.tar")
	diffID := save(t, name, false)
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, registry.New(nil), map[string]string{"path": name}, r); err != nil {
		t.Fatal(err)
	}
	pkg, ok := r.Asset(fact.AssetPackage, "pkg:deb/debian/curl@7.88?arch=amd64&distro=debian-12")
	if !ok || pkg.Name != "curl 7.88" {
		t.Errorf("package %+v", pkg)
	}
	for kind, want := range map[fact.RelationKind]string{fact.InstalledIn: diffID, fact.HasLayer: diffID, fact.BuiltFrom: "debian:12"} {
		if edges := r.Edges(kind); len(edges) != 1 || !strings.Contains(edges[0], want) {
			t.Errorf("%s: %v, want one to %s", kind, edges, want)
		}
	}
	labels := false
	for _, node := range r.Nodes {
		labels = labels || node.Value.Kind == fact.AssetImage && node.Value.Properties["label:team"] == "shop"
	}
	if !labels {
		t.Error("no node has the image's labels")
	}
}

func TestWhatCannotBeReadIsAGapAndTheRestGoesOn(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	save(t, filepath.Join(dir, "a.tar"), true)
	save(t, filepath.Join(dir, "b.tar"), false)
	if err := os.WriteFile(filepath.Join(dir, "c.tar"), []byte("no archive"), 0o644); err != nil {
		t.Fatal(err)
	}
	r := &connectortest.Recorder{}
	if err := connectortest.Run(t, registry.New(nil), map[string]string{"path": dir}, r); err != nil {
		t.Fatal(err)
	}
	if len(r.Complete) != 1 || !strings.HasSuffix(r.Complete[0], "b.tar") || len(r.Gaps) != 2 {
		t.Errorf("covered %v, gaps %v", r.Complete, r.Gaps)
	}
	if err := connectortest.Run(t, registry.New(nil), nil, &connectortest.Recorder{}); err == nil || !strings.Contains(err.Error(), "expected one of them") {
		t.Errorf("without settings: %v", err)
	}
}
