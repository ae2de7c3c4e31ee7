package main

import (
	"archive/tar"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/backstitch/backstitch/image"
)

// measureImage scans a generated image of more than 100 MB once, and again from
// the cache. The baseline is a plain walk of the same layers: gunzip and tar
// headers, without hashing and without looking at anything.
var measureImage = Measurement{ID: "image", Run: scanImage}

const (
	imageLayers = 6
	imageFiles  = 4000 // a layer
	imageFile   = 12 << 10
)

func scanImage(ctx context.Context) (rows []Row, err error) {
	dir, err := os.MkdirTemp("", "backstitch-bench-")
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	bytes, err := makeImage(dir)
	if err != nil {
		return nil, err
	}
	set, err := image.Open(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer set.Close()
	cache, err := image.OpenCache(filepath.Join(dir, "cache"), 1<<30)
	if err != nil {
		return nil, err
	}
	began := ownCPU()
	inventory, err := image.Scan(ctx, set.Images[0], cache)
	if err != nil {
		return nil, err
	}
	scan := ownCPU() - began
	if len(inventory.Gaps) > 0 || len(inventory.Packages) == 0 || inventory.Opened != imageLayers {
		return nil, fmt.Errorf("scan: %d packages, gaps %v", len(inventory.Packages), inventory.Gaps)
	}
	began = ownCPU()
	again, err := image.Scan(ctx, set.Images[0], cache)
	if err != nil {
		return nil, err
	}
	cached := ownCPU() - began
	if again.Opened != 0 || len(again.Packages) != len(inventory.Packages) {
		return nil, fmt.Errorf("the second scan opened %d layers and found %d packages of %d", again.Opened, len(again.Packages), len(inventory.Packages))
	}
	began = ownCPU()
	if err := walkLayers(dir, set.Images[0]); err != nil {
		return nil, err
	}
	walk := ownCPU() - began
	megabytes := float64(bytes) / 1e6
	return []Row{
		{What: fmt.Sprintf("image scan, %.0f MB", megabytes), Value: scan.Seconds(), Unit: "CPU s", Baseline: walk.Seconds(), Against: "gunzip and tar headers only", Target: "under 2.5 times the walk", OK: scan < walk*5/2},
		{What: "image scan, layers known", Value: milliseconds(cached), Unit: "CPU ms", Baseline: milliseconds(scan), Against: "first scan", Target: "under a twentieth of the first", OK: cached < scan/20},
	}, nil
}

// makeImage writes an OCI layout and returns the bytes of its unpacked layers.
func makeImage(dir string) (int64, error) {
	blobs := filepath.Join(dir, "blobs", "sha256")
	if err := os.MkdirAll(blobs, 0o755); err != nil {
		return 0, err
	}
	put := func(data []byte) (string, error) {
		sum := sha256.Sum256(data)
		name := hex.EncodeToString(sum[:])
		return "sha256:" + name, os.WriteFile(filepath.Join(blobs, name), data, 0o644)
	}
	config := image.Config{OS: "linux", Architecture: "amd64"}
	var layers []image.Descriptor
	total := int64(0)
	for i := range imageLayers {
		name := filepath.Join(blobs, "layer")
		plain, packed, size, err := makeLayer(name, i)
		if err != nil {
			return 0, err
		}
		if err := os.Rename(name, filepath.Join(blobs, packed)); err != nil {
			return 0, err
		}
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, "sha256:"+plain)
		layers = append(layers, image.Descriptor{MediaType: "application/vnd.oci.image.layer.v1.tar+gzip", Digest: "sha256:" + packed})
		total += size
	}
	data, err := json.Marshal(config)
	if err != nil {
		return 0, err
	}
	configID, err := put(data)
	if err != nil {
		return 0, err
	}
	if data, err = json.Marshal(map[string]any{"config": image.Descriptor{MediaType: "application/vnd.oci.image.config.v1+json", Digest: configID}, "layers": layers}); err != nil {
		return 0, err
	}
	manifest, err := put(data)
	if err != nil {
		return 0, err
	}
	if data, err = json.Marshal(map[string]any{"manifests": []image.Descriptor{{Digest: manifest}}}); err != nil {
		return 0, err
	}
	return total, os.WriteFile(filepath.Join(dir, "index.json"), data, 0o644)
}

func makeLayer(name string, number int) (plain, packed string, size int64, err error) {
	file, err := os.Create(name)
	if err != nil {
		return "", "", 0, err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	packedSum, plainSum := sha256.New(), sha256.New()
	zip := gzip.NewWriter(io.MultiWriter(file, packedSum))
	counted := &countWriter{out: io.MultiWriter(zip, plainSum)}
	w := tar.NewWriter(counted)
	random := rand.New(rand.NewPCG(uint64(number), 1))
	put := func(name, content string) error {
		if err := w.WriteHeader(&tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(content))}); err != nil {
			return err
		}
		_, err := io.WriteString(w, content)
		return err
	}
	var status strings.Builder
	for i := range 300 + 50*number {
		fmt.Fprintf(&status, "Package: package-%d\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.%d\nDescription: words\n that go on\n\n", i, i)
	}
	err = put("var/lib/dpkg/status", status.String())
	for i := 0; i < imageFiles && err == nil; i++ {
		var b strings.Builder
		for b.Len() < imageFile {
			fmt.Fprintf(&b, "line %d of some text with a number %x\n", i, random.Uint64())
		}
		folder := "usr/share/doc"
		if i%10 == 0 {
			folder = "app/src"
		}
		err = put(fmt.Sprintf("%s/%d/file%d.txt", folder, number, i), b.String())
	}
	for i := 0; i < 200 && err == nil; i++ {
		err = put(fmt.Sprintf("app/node_modules/m%d-%d/package.json", number, i), fmt.Sprintf(`{"name":"m%d-%d","version":"1.0.%d"}`, number, i, i))
	}
	err = errors.Join(err, w.Close(), zip.Close())
	return hex.EncodeToString(plainSum.Sum(nil)), hex.EncodeToString(packedSum.Sum(nil)), counted.n, err
}

type countWriter struct {
	out io.Writer
	n   int64
}

func (c *countWriter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.out.Write(p)
}

func walkLayers(dir string, of *image.Image) error {
	for _, layer := range of.Layers {
		file, err := os.Open(filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(layer.Digest, "sha256:")))
		if err != nil {
			return err
		}
		unzip, err := gzip.NewReader(file)
		if err != nil {
			return errors.Join(err, file.Close())
		}
		for reader := tar.NewReader(unzip); err == nil; {
			_, err = reader.Next()
		}
		if closeErr := file.Close(); err != io.EOF || closeErr != nil {
			return errors.Join(err, closeErr)
		}
	}
	return nil
}
