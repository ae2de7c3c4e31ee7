package image

import (
	"archive/tar"
	"bufio"
	"bytes"
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/backstitch/backstitch/code"
	"github.com/backstitch/backstitch/code/lockfile"
)

// Limits of one layer.
const (
	maxUnpacked  = 16 << 30 // bytes of a layer's tar
	maxFiles     = 4 << 20  // entries of a layer
	maxWhiteouts = 1 << 20
	maxBlobs     = 50000
	maxBlob      = 256 << 10 // text file whose blob id is kept
	maxManifests = 64 << 20  // bytes of manifests and lockfiles kept to be read
	maxDatabase  = 256 << 20 // package database, binary or archive that is looked into
	maxName      = 4096
	maxGaps      = 100
)

// Content is what one layer holds, as far as tracing needs it. It depends on
// the layer alone, so that it is kept by DiffID.
type Content struct {
	DiffID    string
	Entries   int
	Bytes     int64 // of the tar
	Databases []Database
	Release   *Release
	Whiteouts []string // paths that are gone, sorted
	Opaques   []string // folders whose lower content is hidden, sorted
	Files     []uint64 // hashes of the paths of everything but folders, sorted
	Blobs     []Blob   // sorted by path
	Gaps      []string // what was not looked into, and why
}

// Database is one place that says which packages are there: a package
// manager's database, an installed package's metadata, a binary, a lockfile.
type Database struct {
	Path     string
	Kind     string // dpkg, apk, rpm, npm, pypi, gem, maven, go, composer, nuget, cargo, lockfile
	Packages []Installed
	// Build is what a Go binary says about its own source, nil for the rest.
	Build *Build
}

// Installed is one package of a Database.
type Installed struct {
	Name      string
	Version   string
	Arch      string `json:",omitempty"`
	Ecosystem string `json:",omitempty"` // OSV name without suffix; "" for one that the system's release decides
	Source    string `json:",omitempty"` // source package, when it is another
	SourceVer string `json:",omitempty"`
}

// Build is what a Go binary says about its source.
type Build struct {
	Main     string // module path
	Package  string // import path of the main package
	Revision string // commit, "" when it was not recorded
	Modified bool   // the work tree was not clean
	Go       string // version of the toolchain
}

// Release is what os-release says.
type Release struct {
	ID, IDLike, Version, Codename, Pretty string
}

// Blob is the identity that git gives to a file's content.
type Blob struct {
	Path   string
	SHA1   string
	SHA256 string `json:",omitempty"` // only of manifests
	Size   int64
}

// tooTight says that content unpacks to far more than honest content does.
func tooTight(stored, unpacked int64) bool {
	return unpacked > 512<<20 && unpacked/300 > stored
}

// meter counts and hashes what goes through it, and ends it at its limit.
type meter struct {
	in    io.Reader
	sum   hash.Hash
	n     int64
	check func(n int64) error
}

func (m *meter) Read(p []byte) (int, error) {
	n, err := m.in.Read(p)
	m.n += int64(n)
	m.sum.Write(p[:n])
	if m.check != nil {
		if bad := m.check(m.n); bad != nil {
			return 0, bad
		}
	}
	return n, err
}

// Read streams the layer once and returns what it holds. It is checked against
// its DiffID and, where it has one, its digest; nothing is written to disk.
func (l *Layer) Read(ctx context.Context) (*Content, error) {
	in, err := l.open(ctx)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", l.DiffID, err)
	}
	defer in.Close()
	content, err := l.read(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("layer %s: %w", l.DiffID, err)
	}
	return content, nil
}

func (l *Layer) read(ctx context.Context, in io.Reader) (*Content, error) {
	if !digestForm.MatchString(l.DiffID) {
		return nil, fmt.Errorf("DiffID %q: expected sha256 and 64 hexadecimal digits", short(l.DiffID))
	}
	stored := &meter{in: contextReader{ctx, in}, sum: sha256.New()}
	buffered := bufio.NewReaderSize(stored, 64<<10)
	plain, done, err := decompress(buffered)
	if err != nil {
		return nil, err
	}
	defer done()
	unpacked := &meter{in: plain, sum: sha256.New(), check: func(n int64) error {
		if n > maxUnpacked {
			return fmt.Errorf("%w: unpacks to more than %d GiB", ErrTooLarge, int64(maxUnpacked)>>30)
		}
		if tooTight(stored.n, n) {
			return fmt.Errorf("%w: %d bytes unpack to %d and more", ErrTooLarge, stored.n, n)
		}
		return nil
	}}
	content, err := readTar(ctx, unpacked)
	if err != nil {
		return nil, err
	}
	// What stands behind the end of the archive counts for the digests.
	if _, err := io.Copy(io.Discard, unpacked); err != nil {
		return nil, err
	}
	if _, err := io.Copy(io.Discard, buffered); err != nil {
		return nil, err
	}
	if got := "sha256:" + hex.EncodeToString(unpacked.sum.Sum(nil)); got != l.DiffID {
		return nil, fmt.Errorf("%w: content is %s", ErrDigest, got)
	}
	if l.Digest != "" {
		if got := "sha256:" + hex.EncodeToString(stored.sum.Sum(nil)); got != l.Digest {
			return nil, fmt.Errorf("%w: stored form is %s, the manifest says %s", ErrDigest, got, l.Digest)
		}
	}
	content.DiffID, content.Bytes = l.DiffID, unpacked.n
	return content, nil
}

func decompress(in *bufio.Reader) (io.Reader, func(), error) {
	magic, err := in.Peek(4)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, nil, err
	}
	switch {
	case len(magic) >= 2 && magic[0] == 0x1f && magic[1] == 0x8b:
		unzip, err := gzip.NewReader(in)
		if err != nil {
			return nil, nil, err
		}
		return unzip, func() { unzip.Close() }, nil
	case bytes.Equal(magic, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		unzip, err := zstd.NewReader(in, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(256<<20))
		if err != nil {
			return nil, nil, err
		}
		return unzip, unzip.Close, nil
	}
	return in, func() {}, nil
}

// tarReader gathers a Content.
type tarReader struct {
	content   *Content
	manifests code.Files
	kept      int                 // bytes of manifests
	apart     map[string]Database // by path, for links within the layer
	scratch   bytes.Buffer
}

func readTar(ctx context.Context, in io.Reader) (*Content, error) {
	r := &tarReader{content: &Content{}, manifests: code.Files{}, apart: map[string]Database{}}
	reader := tar.NewReader(in)
	for {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("entry %d: %w", r.content.Entries, err)
		}
		if r.content.Entries++; r.content.Entries > maxFiles {
			return nil, fmt.Errorf("%w: more than %d entries", ErrTooLarge, maxFiles)
		}
		if err := r.entry(header, reader); err != nil {
			return nil, fmt.Errorf("entry %d: %w", r.content.Entries, err)
		}
	}
	if err := r.lockfiles(ctx); err != nil {
		return nil, err
	}
	c := r.content
	slices.Sort(c.Whiteouts)
	slices.Sort(c.Opaques)
	slices.Sort(c.Files)
	c.Files = slices.Compact(c.Files)
	slices.SortFunc(c.Blobs, func(a, b Blob) int { return strings.Compare(a.Path, b.Path) })
	// The last entry of a path is the one that stands.
	latest := map[string]int{}
	for i, database := range c.Databases {
		latest[database.Path+"\x00"+database.Kind] = i
	}
	var standing []Database
	for i, database := range c.Databases {
		if latest[database.Path+"\x00"+database.Kind] == i {
			standing = append(standing, database)
		}
	}
	slices.SortFunc(standing, func(a, b Database) int { return strings.Compare(a.Path+"\x00"+a.Kind, b.Path+"\x00"+b.Kind) })
	c.Databases = standing
	return c, nil
}

func (r *tarReader) gap(format string, args ...any) {
	if len(r.content.Gaps) < maxGaps {
		r.content.Gaps = append(r.content.Gaps, fmt.Sprintf(format, args...))
	}
}

// cleanName gives a path relative to the image's root, "" for one that leaves it.
func cleanName(name string) string {
	if len(name) > maxName || strings.IndexByte(name, 0) >= 0 {
		return ""
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return ""
		}
	}
	name = strings.TrimPrefix(path.Clean("/"+name), "/")
	return name
}

// pathHash is FNV-1a of a path.
func pathHash(name string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(name) {
		h = (h ^ uint64(name[i])) * 1099511628211
	}
	return h
}

func (r *tarReader) entry(header *tar.Header, in io.Reader) error {
	name := cleanName(header.Name)
	if name == "" {
		if strings.Trim(header.Name, "./") != "" {
			r.gap("refused an entry whose name leaves the image: %q", short(header.Name))
		}
		return nil
	}
	dir, base := path.Split(name)
	dir = strings.TrimSuffix(dir, "/")
	if base == ".wh..wh..opq" {
		r.content.Opaques = append(r.content.Opaques, dir)
		return r.many()
	}
	if hidden, ok := strings.CutPrefix(base, ".wh."); ok {
		if !strings.HasPrefix(hidden, ".wh.") && hidden != "" && hidden != "." {
			r.content.Whiteouts = append(r.content.Whiteouts, path.Join(dir, hidden))
		}
		return r.many()
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return nil
	case tar.TypeReg:
		r.content.Files = append(r.content.Files, pathHash(name))
		return r.regular(name, header, in)
	case tar.TypeLink:
		r.content.Files = append(r.content.Files, pathHash(name))
		target := cleanName(header.Linkname)
		if target == "" {
			r.gap("refused a link whose target leaves the image: %q", short(header.Name))
			return nil
		}
		if database, ok := r.apart[target]; ok {
			if kind := databaseKind(name); kind == database.Kind || database.Kind == "go" {
				database.Path = name
				r.add(database)
			}
		}
		return nil
	}
	// Links and devices hide what lies below them; they are never followed.
	r.content.Files = append(r.content.Files, pathHash(name))
	return nil
}

func (r *tarReader) many() error {
	if len(r.content.Whiteouts)+len(r.content.Opaques) > maxWhiteouts {
		return fmt.Errorf("%w: more than %d whiteouts", ErrTooLarge, maxWhiteouts)
	}
	return nil
}

func (r *tarReader) add(database Database) {
	r.content.Databases = append(r.content.Databases, database)
	if len(r.apart) < 10000 {
		r.apart[database.Path] = database
	}
}

// load reads a file of at most limit bytes; nil when it is larger, which is a gap.
func (r *tarReader) load(name string, size int64, in io.Reader, limit int64) ([]byte, error) {
	if size > limit {
		r.gap("%s: %d bytes, more than is looked into", name, size)
		return nil, nil
	}
	r.scratch.Reset()
	if _, err := io.Copy(&r.scratch, in); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return r.scratch.Bytes(), nil
}

func (r *tarReader) regular(name string, header *tar.Header, in io.Reader) error {
	kind := databaseKind(name)
	if kind == "" && header.Size >= 1<<16 && (header.Mode&0o111 != 0 || strings.Contains(name, "bin/")) {
		return r.binary(name, header.Size, in)
	}
	wanted := wantsBlob(name, header.Size)
	if kind == "" && !wanted {
		return nil
	}
	data, err := r.load(name, header.Size, in, maxDatabase)
	if err != nil || data == nil {
		return err
	}
	if wanted && len(r.content.Blobs) < maxBlobs {
		r.content.Blobs = append(r.content.Blobs, blobOf(name, data, kind == "lockfile"))
	}
	switch kind {
	case "":
		return nil
	case "release":
		if release := parseRelease(data); release.ID != "" || r.content.Release == nil {
			r.content.Release = &release
		}
		return nil
	case "lockfile":
		if r.kept+len(data) > maxManifests {
			r.gap("%s: the layer holds more manifests than are read", name)
			return nil
		}
		r.kept += len(data)
		r.manifests[name] = bytes.Clone(data)
		return nil
	}
	packages, err := parseDatabase(kind, name, data)
	if err != nil {
		r.gap("%s: %v", name, err)
	}
	if len(packages) > 0 || err == nil {
		r.add(Database{Path: name, Kind: kind, Packages: packages})
	}
	return nil
}

// binary looks into a program for the modules it was built from.
func (r *tarReader) binary(name string, size int64, in io.Reader) error {
	var magic [4]byte
	n, err := io.ReadFull(in, magic[:])
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	elf, pe := string(magic[:]) == "\x7fELF", string(magic[:2]) == "MZ"
	if !elf && !pe || strings.HasSuffix(name, ".dll") {
		return nil
	}
	if size > maxDatabase {
		r.gap("%s: a program of %d bytes, more than is looked into", name, size)
		return nil
	}
	r.scratch.Reset()
	r.scratch.Write(magic[:n])
	if _, err := io.Copy(&r.scratch, in); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if database, ok := parseBinary(name, r.scratch.Bytes()); ok {
		r.add(database)
	}
	return nil
}

// lockfiles reads the manifests of the layer together.
func (r *tarReader) lockfiles(ctx context.Context) error {
	if len(r.manifests) == 0 {
		return nil
	}
	modules, err := lockfile.Read(ctx, r.manifests)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.gap("lockfiles: %v", err)
	}
	byPath := map[string][]Installed{}
	for i := range modules {
		for _, p := range modules[i].Packages {
			if p.Version != "" && p.Source != "workspace" && p.Source != "path" {
				byPath[p.Path] = append(byPath[p.Path], Installed{Name: p.Name, Version: p.Version, Ecosystem: modules[i].Ecosystem})
			}
		}
		for _, problem := range modules[i].Problems {
			r.gap("%s:%d: %s", problem.Path, problem.Line, problem.Text)
		}
	}
	for name, packages := range byPath {
		r.content.Databases = append(r.content.Databases, Database{Path: name, Kind: "lockfile", Packages: packages})
	}
	return nil
}

// systemFolders hold what the base and its package manager bring, not what a
// repository's files are copied to.
var systemFolders = []string{
	"bin/", "boot/", "dev/", "lib/", "lib32/", "lib64/", "proc/", "run/", "sbin/", "sys/",
	"usr/bin/", "usr/include/", "usr/lib/", "usr/lib32/", "usr/lib64/", "usr/libexec/", "usr/sbin/", "usr/share/", "var/cache/", "var/lib/", "var/log/", "etc/ssl/", "etc/alternatives/",
}

// wantsBlob says whether a file may be one that a repository holds.
func wantsBlob(name string, size int64) bool {
	if size == 0 || strings.Contains(name, "node_modules/") || strings.Contains(name, "-packages/") {
		return false
	}
	for _, folder := range systemFolders {
		if strings.HasPrefix(name, folder) {
			return false
		}
	}
	return size <= maxBlob || size <= 8<<20 && databaseKind(name) == "lockfile"
}

func blobOf(name string, data []byte, manifest bool) Blob {
	head := fmt.Sprintf("blob %d\x00", len(data))
	sum := sha1.New()
	io.WriteString(sum, head)
	sum.Write(data)
	blob := Blob{Path: name, SHA1: hex.EncodeToString(sum.Sum(nil)), Size: int64(len(data))}
	if manifest {
		sum := sha256.New()
		io.WriteString(sum, head)
		sum.Write(data)
		blob.SHA256 = hex.EncodeToString(sum.Sum(nil))
	}
	return blob
}
