package agent

import (
	"context"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"github.com/backstitch/backstitch/cause"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/image"
)

func micros(day string) int64 {
	at, err := time.Parse(time.DateOnly, day)
	if err != nil {
		panic(err)
	}
	return at.UnixMicro()
}

func TestReleasesAreThoseThatAreOutAndSupported(t *testing.T) {
	t.Parallel()
	o := &outside{now: micros("2024-06-01"), products: []fact.Product{
		{Name: "python", Cycles: []fact.Cycle{
			{Name: "3.13", Released: micros("2024-10-01"), Latest: "3.13.0"},
			{Name: "3.12", Released: micros("2023-10-01"), Latest: "3.12.3"},
			{Name: "3.7", Released: micros("2018-06-01"), End: micros("2023-06-01"), Latest: "3.7.17"},
		}},
		{Name: "shop", PURLs: []string{"pkg:docker/acme/shop"}, Cycles: []fact.Cycle{{Name: "1", Latest: "1.2"}}},
	}}
	for repository, want := range map[string][]string{
		"docker.io/library/python": {"3.12.3", "3.12", "3.7.17"}, "public.ecr.aws/docker/library/python": {"3.12.3", "3.12", "3.7.17"},
		"docker.io/acme/python": nil, "quay.io/acme/shop": nil, "docker.io/library/shop": {"1.2", "1"},
	} {
		known, err := o.Releases(context.Background(), repository)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, k := range known {
			names = append(names, k.Name)
		}
		if diff := cmp.Diff(want, names); diff != "" {
			t.Errorf("%s: %s", repository, diff)
		}
	}
}

func TestTagsComeFromWhatIsKnownWithoutARegistry(t *testing.T) {
	t.Parallel()
	library := t.TempDir()
	text := "Maintainers: A (@a)\nGitRepo: https://example.test/a.git\n\nTags: 3.12.1-slim, 3.12-slim\nSharedTags: 3.12\nGitCommit: 0123456789012345678901234567890123456789\nDirectory: x\n"
	if err := os.WriteFile(filepath.Join(library, "python"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	bases := image.NewBases()
	bases.Add(image.Base{Names: []string{"python:3.11-slim", "node:20"}, Digest: "sha256:" + strings.Repeat("1", 64), Chain: "sha256:" + strings.Repeat("2", 64), Layers: 3, Source: "seen"})
	o := &outside{bases: bases, library: library, asked: map[string][]fix.ImageTag{}, holdings: []holding{{Reference: "docker.io/library/python:3.11-slim", Digests: []string{"sha256:outer", "sha256:inner"}}}}
	tags, err := o.Tags(context.Background(), "docker.io/library/python")
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, tag := range tags {
		got = append(got, strings.TrimSuffix(tag.Name+"@"+tag.Digest, "@"))
	}
	if diff := cmp.Diff([]string{"3.11-slim@sha256:outer", "3.12", "3.12-slim", "3.12.1-slim"}, got); diff != "" {
		t.Error(diff)
	}
	if tags, err := o.Tags(context.Background(), "docker.io/library/../python"); err != nil || len(tags) > 0 {
		t.Errorf("a name that leaves the folder gives %v, %v", tags, err)
	}
	if digest, err := o.Digest(context.Background(), "python:3.11-slim"); digest != "" || err != nil {
		t.Errorf("without leave a registry was asked: %q, %v", digest, err)
	}
}

func TestWhatABaseHoldsIsToldByAnImageThatWasBuiltOnIt(t *testing.T) {
	t.Parallel()
	var ids []string
	one := &image.Image{Reference: "shop:1", Digest: "sha256:own", Within: []string{"sha256:index"}}
	for _, c := range "123" {
		ids = append(ids, "sha256:"+strings.Repeat(string(c), 64))
		one.Layers = append(one.Layers, image.Layer{DiffID: ids[len(ids)-1]})
	}
	one.Config.RootFS.DiffIDs = ids
	bases := image.NewBases()
	bases.Add(image.Base{Names: []string{"debian:12"}, Chain: image.ChainIDs(ids[:2])[1], Layers: 2, Source: "seen"})
	pkg := func(name, version string) fact.Package {
		return fact.Package{Ecosystem: "Debian:12", Name: name, Version: version}
	}
	inventory := &image.Inventory{Image: one, Packages: []image.Package{
		{Package: pkg("bash", "5"), Layer: 0},
		{Package: pkg("openssl", "3"), Layer: 2, Previous: &image.Previous{Version: "2", Layer: 1}},
		{Package: pkg("make", "4"), Layer: 2},
		{Package: pkg("left", "1"), Layer: 0, Declared: true},
	}}
	got := map[string]string{}
	for _, held := range holdingsOf(inventory, bases) {
		var names []string
		for _, p := range held.Packages {
			names = append(names, p.Name+" "+p.Version)
		}
		got[held.Reference] = strings.Join(names, ", ")
	}
	if diff := cmp.Diff(map[string]string{"docker.io/library/shop:1": "bash 5, openssl 3, make 4", "docker.io/library/debian:12": "bash 5, openssl 2"}, got); diff != "" {
		t.Error(diff)
	}
	inventory.Gaps = []string{"a database could not be read"}
	if list := holdingsOf(inventory, bases); len(list) > 0 {
		t.Errorf("an inventory with gaps tells %v", list)
	}
}

func TestHoldingsAreKeptAndDamageIsLeftOut(t *testing.T) {
	t.Parallel()
	folder := filepath.Join(t.TempDir(), "holdings")
	held := holding{Reference: "docker.io/library/debian:12", Digests: []string{"sha256:a"}, Packages: []fact.Package{{Name: "bash", Version: "5"}}}
	for range 2 {
		if err := keepHolding(folder, held); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(folder, "damaged.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	kept, err := readHoldings(folder)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]holding{held}, kept); diff != "" {
		t.Error(diff)
	}
	o := &outside{holdings: kept}
	for reference, want := range map[string]bool{
		"debian:12": true, "docker.io/library/debian:12": true, "debian:12@sha256:a": true, "debian@sha256:a": true,
		"debian:12@sha256:b": false, "debian:13": false, "debian": false, "not a name": false,
	} {
		packages, known, err := o.Packages(context.Background(), reference)
		if known != want || err != nil || known && !slices.Equal(packages, held.Packages) {
			t.Errorf("%s: %v %v %v, expected %v", reference, packages, known, err, want)
		}
	}
}

func TestARegistryIsAskedOnlyWithLeave(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	repository := strings.TrimPrefix(server.URL, "http://") + "/acme/base"
	one, err := random.Image(64, 1)
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: one, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}})
	for tag, push := range map[string]func(ref name.Reference) error{
		"1.1": func(ref name.Reference) error { return remote.Write(ref, one) },
		"1.2": func(ref name.Reference) error { return remote.WriteIndex(ref, index) },
	} {
		ref, err := name.ParseReference(repository + ":" + tag)
		if err != nil {
			t.Fatal(err)
		}
		if err := push(ref); err != nil {
			t.Fatal(err)
		}
	}
	ask := func(leave bool) (names []string, digest string) {
		o := &outside{bases: image.NewBases(), ask: leave, asked: map[string][]fix.ImageTag{}, digests: map[string]string{}}
		tags, err := o.Tags(context.Background(), repository)
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range tags {
			names = append(names, tag.Name)
		}
		if digest, err = o.Digest(context.Background(), repository+":1.2"); err != nil {
			t.Fatal(err)
		}
		return names, digest
	}
	want, err := index.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if names, digest := ask(true); !slices.Equal(names, []string{"1.1", "1.2"}) || digest != want.String() {
		t.Errorf("with leave: tags %v, digest %s, expected that of the index, %s", names, digest, want)
	}
	if names, digest := ask(false); len(names) > 0 || digest != "" {
		t.Errorf("without leave: tags %v, digest %s", names, digest)
	}
}

func TestWithoutAnythingNothingIsKnown(t *testing.T) {
	t.Parallel()
	d := &Desk{Cache: t.TempDir(), Now: func() time.Time { return time.UnixMicro(micros("2024-06-01")) }}
	images, err := d.outsideImages(context.Background(), &scene{known: &known{}}, cause.Running{}, false)
	if err != nil {
		t.Fatal(err)
	}
	if tags, err := images.Tags(context.Background(), "docker.io/library/python"); err != nil || len(tags) > 0 {
		t.Errorf("tags %v, %v", tags, err)
	}
}
