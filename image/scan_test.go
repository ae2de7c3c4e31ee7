package image

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const statusFile = "var/lib/dpkg/status"

// status writes a dpkg database of "name version" pairs.
func status(pairs ...string) entry {
	var b strings.Builder
	for _, pair := range pairs {
		name, version, _ := strings.Cut(pair, " ")
		fmt.Fprintf(&b, "Package: %s\nStatus: install ok installed\nArchitecture: amd64\nVersion: %s\nDescription: x\n continued\n\n", name, version)
	}
	return entry{name: statusFile, content: b.String()}
}

var release = entry{name: "etc/os-release", content: "ID=debian\nVERSION_ID=\"12\"\n"}

// found lists "name version @layer" with what was there before.
func found(inventory *Inventory) []string {
	var list []string
	for _, p := range inventory.Packages {
		text := fmt.Sprintf("%s %s @%d", p.Name, p.Version, p.Layer)
		if p.Declared {
			text += " declared"
		}
		if p.Previous != nil {
			text += fmt.Sprintf(" was %s @%d", p.Previous.Version, p.Previous.Layer)
			if p.Previous.Removed {
				text += " removed"
			}
		}
		list = append(list, text)
	}
	return list
}

func TestAPackageStandsInTheLayerWhereItsPresentPresenceBegan(t *testing.T) {
	t.Parallel()
	module := func(name, version string) entry {
		return entry{name: "app/node_modules/" + name + "/package.json", content: fmt.Sprintf(`{"name":%q,"version":%q}`, name, version)}
	}
	for _, test := range []struct {
		name   string
		layers [][]entry
		want   []string
	}{
		{"a later layer that rewrites the database brings nothing of its own", [][]entry{{release, status("a 1", "b 1")}, {status("a 1", "b 1", "c 1")}}, []string{"a 1 @0", "b 1 @0", "c 1 @1"}},
		{"an upgrade keeps the version before", [][]entry{{status("a 1")}, {status("a 2")}, {status("a 2", "b 1")}}, []string{"a 2 @1 was 1 @0", "b 1 @2"}},
		{"purged and installed again", [][]entry{{status("a 1", "b 1")}, {status("b 1")}, {status("a 1", "b 1")}}, []string{"a 1 @2 was 1 @0 removed", "b 1 @0"}},
		{"a whiteout of the database empties it", [][]entry{{status("a 1")}, {{name: "var/lib/dpkg/.wh.status"}}}, nil},
		{"an opaque folder resets what is written again", [][]entry{{module("x", "1"), module("y", "1")}, {{name: "app/node_modules/.wh..wh..opq"}, module("x", "1")}}, []string{"x 1 @1 was 1 @0 removed"}},
		{"a whiteout of a folder above", [][]entry{{module("x", "1")}, {{name: "app/.wh.node_modules"}}}, nil},
		{"a file in the place of a folder", [][]entry{{module("x", "1")}, {{name: "app/node_modules", content: "x"}}}, nil},
		{"a link in the place of a folder", [][]entry{{module("x", "1")}, {{name: "app/node_modules", kind: tar.TypeSymlink, link: "/elsewhere"}}}, nil},
		{"a lockfile without what it locks is declared only", [][]entry{{
			{name: "app/package.json", content: `{"name":"app","version":"1.0.0","dependencies":{"x":"1.0.0","z":"1.0.0"}}`},
			{name: "app/package-lock.json", content: `{"name":"app","version":"1.0.0","lockfileVersion":3,"packages":{"":{"name":"app","version":"1.0.0","dependencies":{"x":"1.0.0","z":"1.0.0"}},"node_modules/x":{"version":"1.0.0"},"node_modules/z":{"version":"1.0.0"}}}`},
		}, {module("x", "1.0.0")}}, []string{"x 1.0.0 @1", "z 1.0.0 @0 declared"}},
		{"removed packages are not installed", [][]entry{{{name: statusFile, content: "Package: a\nStatus: deinstall ok config-files\nVersion: 1\n"}}}, nil},
	} {
		t.Run(test.name, func(t *testing.T) {
			var layers [][]byte
			for _, entries := range test.layers {
				layers = append(layers, tarOf(t, entries...))
			}
			inventory := scanOne(t, imageOf(t, layers...))
			if diff := cmp.Diff(test.want, found(inventory)); diff != "" {
				t.Error(diff)
			}
			if len(inventory.Gaps) > 0 {
				t.Errorf("gaps %v", inventory.Gaps)
			}
		})
	}
}

func TestEveryPackageManagerIsRead(t *testing.T) {
	t.Parallel()
	layer := tarOf(t,
		entry{name: "./usr/lib/os-release", content: "ID=alpine\nVERSION_ID=3.20.1\n"},
		entry{name: "/lib/apk/db/installed", content: "C:Q1\nP:musl\nV:1.2.5-r0\nA:x86_64\no:musl\n\nP:libssl3\nV:3.3.1-r1\nA:x86_64\no:openssl\n"},
		entry{name: "usr/lib/python3/site-packages/Flask_Cors-4.0.dist-info/METADATA", content: "Metadata-Version: 2.1\nName: Flask_Cors\nVersion: 4.0.0\n\nName: nonsense\n"},
		entry{name: "usr/lib/ruby/gems/specifications/rack-3.0.8.gemspec", content: "Gem::Specification.new do |s|\n  s.name = \"rack\".freeze\n  s.version = \"3.0.8\"\nend\n"},
		entry{name: "srv/vendor/composer/installed.json", content: `{"packages":[{"name":"Monolog/Monolog","version":"v2.9.1"}]}`},
		entry{name: "srv/app.deps.json", content: `{"libraries":{"app/1.0.0":{"type":"project"},"Newtonsoft.Json/13.0.1":{"type":"package"}}}`},
		entry{name: "srv/app.jar", content: string(jarOf(t, map[string]string{
			"META-INF/maven/g/a/pom.properties": "groupId=org.example\nartifactId=app\nversion=1.0\n",
			"BOOT-INF/lib/inner-2.1.jar":        string(jarOf(t, map[string]string{"META-INF/MANIFEST.MF": "Bundle-SymbolicName: org.inner.core\r\nImplementation-Version: 2.1\r\n"})),
		}))},
	)
	inventory := scanOne(t, imageOf(t, layer))
	var got []string
	for _, p := range inventory.Packages {
		got = append(got, p.PURL)
	}
	want := []string{
		"pkg:apk/alpine/libssl3@3.3.1-r1?arch=x86_64&distro=alpine-3.20.1",
		"pkg:apk/alpine/musl@1.2.5-r0?arch=x86_64&distro=alpine-3.20.1",
		"pkg:maven/org.example/app@1.0",
		"pkg:maven/org.inner/inner@2.1",
		"pkg:nuget/Newtonsoft.Json@13.0.1",
		"pkg:composer/monolog/monolog@2.9.1",
		"pkg:pypi/flask-cors@4.0.0",
		"pkg:gem/rack@3.0.8",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestAGoProgramTellsItsModulesAndItsSource(t *testing.T) {
	t.Parallel()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	inventory := scanOne(t, imageOf(t, tarOf(t, entry{name: "app", content: string(data), mode: 0o755})))
	if len(inventory.Builds) != 1 || inventory.Builds[0].Go == "" {
		t.Fatalf("builds %+v, gaps %v", inventory.Builds, inventory.Gaps)
	}
	if !slices.ContainsFunc(inventory.Packages, func(p Package) bool { return p.Name == "stdlib" && p.Ecosystem == "Go" && p.PURL != "" }) {
		t.Errorf("packages %v", found(inventory))
	}
}

// counting counts the layers that are opened.
func counting(image *Image) *int {
	opened := 0
	for i := range image.Layers {
		open := image.Layers[i].open
		image.Layers[i].open = func(ctx context.Context) (io.ReadCloser, error) {
			opened++
			return open(ctx)
		}
	}
	return &opened
}

func TestASecondReadOpensNoLayer(t *testing.T) {
	t.Parallel()
	image := imageOf(t, tarOf(t, release, status("a 1")), tarOf(t, status("a 2")))
	cache, err := OpenCache(t.TempDir(), 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	opened := counting(image)
	first, err := Scan(context.Background(), image, cache)
	if err != nil {
		t.Fatal(err)
	}
	if *opened != 2 {
		t.Fatalf("the first read opened %d layers", *opened)
	}
	second, err := Scan(context.Background(), image, cache)
	if err != nil {
		t.Fatal(err)
	}
	if *opened != 2 || second.Opened != 0 {
		t.Errorf("the second read opened %d layers", *opened-2)
	}
	if diff := cmp.Diff(first.Packages, second.Packages); diff != "" {
		t.Error(diff)
	}
}

func TestTheCacheStaysWithinItsLimitAndMistrustsDamage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cache, err := OpenCache(dir, 600)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		if err := cache.Put(&Content{DiffID: digestOf([]byte{byte(i)})}); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) == 0 || len(entries) > 19 {
		t.Errorf("%d entries are kept", len(entries))
	}
	name := filepath.Join(dir, entries[0].Name())
	if err := os.WriteFile(name, []byte("damage"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok := cache.Get("sha256:" + strings.TrimSuffix(entries[0].Name(), ".v"+contentVersion)); ok {
		t.Error("a damaged entry was believed")
	}
}

func TestNamesThatLeaveTheImageAreRefused(t *testing.T) {
	t.Parallel()
	layer := tarOf(t,
		entry{name: "../../var/lib/dpkg/status", content: status("evil 1").content},
		entry{name: "app/../../lib/apk/db/installed", content: "P:evil\nV:1\n"},
		entry{name: "link", kind: tar.TypeLink, link: "../../../etc/passwd"},
		entry{name: "dev/sda", kind: tar.TypeBlock},
		entry{name: "abs", kind: tar.TypeSymlink, link: "/etc/shadow"},
		status("good 1"),
	)
	inventory := scanOne(t, imageOf(t, layer))
	if diff := cmp.Diff([]string{"good 1 @0"}, found(inventory)); diff != "" {
		t.Error(diff)
	}
	if len(inventory.Gaps) != 3 {
		t.Errorf("gaps %q", inventory.Gaps)
	}
}

func TestALayerThatIsNotWhatItSaysIsAGap(t *testing.T) {
	t.Parallel()
	good, evil := tarOf(t, status("a 1")), tarOf(t, status("b 1"))
	l := newLayout(t)
	config := configOf([][]byte{good, good}, nil, nil)
	l.add(config, good, evil)
	image := openOne(t, l.write())
	inventory := scanOne(t, image)
	if !slices.Equal(inventory.Unread, []int{1}) || len(inventory.Gaps) != 1 || !strings.Contains(inventory.Gaps[0], ErrDigest.Error()) {
		t.Errorf("unread %v, gaps %v", inventory.Unread, inventory.Gaps)
	}
	if diff := cmp.Diff([]string{"a 1 @0"}, found(inventory)); diff != "" {
		t.Error(diff)
	}
	// The stored form is checked too.
	name := filepath.Join(l.dir, "blobs", "sha256", image.Layers[0].Digest[7:])
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, append(data, 0), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := image.Layers[0].Read(context.Background()); err == nil {
		t.Error("a stored layer with a byte more was believed")
	}
}

// zeros is an endless reader of zero bytes.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestABombIsRefused(t *testing.T) {
	t.Parallel()
	var b bytes.Buffer
	if err := bomb(&b, 1<<30); err != nil {
		t.Fatal(err)
	}
	layer := Layer{DiffID: digestOf(nil), open: func(context.Context) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil }}
	if _, err := layer.Read(context.Background()); !errors.Is(err, ErrTooLarge) {
		t.Errorf("%d bytes that unpack to a GiB: %v", b.Len(), err)
	}
}
