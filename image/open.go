package image

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// Limits of what is read of an image's own documents.
const (
	maxManifest  = 8 << 20
	maxConfig    = 16 << 20
	maxLayers    = 1000
	maxPlatforms = 256
	maxNesting   = 4
	maxArchive   = 64 << 30 // bytes that a compressed archive may unpack to
	maxEntries   = 1 << 20  // entries of an archive
)

// Errors of opening.
var (
	ErrNotImage = errors.New("not an image: expected an OCI layout, an archive of docker save or a reference")
	ErrDigest   = errors.New("digest does not match")
	ErrTooLarge = errors.New("larger than allowed")
)

// Platform is what an image runs on.
type Platform struct {
	OS           string `json:"os"`
	Architecture string `json:"architecture"`
	Variant      string `json:"variant,omitempty"`
}

// String gives "linux/arm64/v8".
func (p Platform) String() string {
	text := p.OS + "/" + p.Architecture
	if p.Variant != "" {
		text += "/" + p.Variant
	}
	return text
}

// Config is an image's configuration, as far as it is used.
type Config struct {
	OS           string         `json:"os"`
	Architecture string         `json:"architecture"`
	Variant      string         `json:"variant,omitempty"`
	History      []HistoryEntry `json:"history,omitempty"`
	RootFS       struct {
		DiffIDs []string `json:"diff_ids"`
	} `json:"rootfs"`
	Config struct {
		Labels     map[string]string `json:"Labels,omitempty"`
		Env        []string          `json:"Env,omitempty"`
		User       string            `json:"User,omitempty"`
		WorkingDir string            `json:"WorkingDir,omitempty"`
		Entrypoint []string          `json:"Entrypoint,omitempty"`
		Cmd        []string          `json:"Cmd,omitempty"`
		OnBuild    []string          `json:"OnBuild,omitempty"`
	} `json:"config"`
}

// Descriptor names content by its digest.
type Descriptor struct {
	MediaType    string            `json:"mediaType"`
	Digest       string            `json:"digest"`
	Size         int64             `json:"size"`
	Annotations  map[string]string `json:"annotations,omitempty"`
	Platform     *Platform         `json:"platform,omitempty"`
	ArtifactType string            `json:"artifactType,omitempty"`
}

// Image is one image for one platform.
type Image struct {
	Reference   string // as it was asked for
	Digest      string // of its manifest, "" in archives that have none
	Platform    Platform
	Config      Config
	ConfigID    string // digest of the configuration
	Annotations map[string]string
	Tags        []string
	Layers      []Layer
	Steps       []Step // of the history
	// Within are the digests of the indexes that hold it, the outermost first.
	Within []string
	// Attestations are the manifests that speak of this image and stand beside it,
	// unread. A registry may know of more, see Referrers.
	Attestations []Descriptor
	source       blobs
}

// Layer is one layer, unread.
type Layer struct {
	DiffID    string
	Digest    string // of the compressed form, "" in archives that have none
	MediaType string
	Size      int64 // of the stored form, 0 unknown
	open      func(ctx context.Context) (io.ReadCloser, error)
}

// Set is the images that one reference leads to.
type Set struct {
	Images []*Image
	// Problems are parts that could not be read; the rest stands.
	Problems []string
	close    func() error
}

// Close releases what the images read from.
func (s *Set) Close() error {
	if s.close == nil {
		return nil
	}
	return s.close()
}

// Blob reads a small blob of the place an image came from, such as an
// attestation, checked against its digest.
func (i *Image) Blob(ctx context.Context, digest string, limit int64) ([]byte, error) {
	return readBlob(ctx, i.source, digest, limit)
}

// Manifest reads a manifest of the place an image came from, checked against its
// digest.
func (i *Image) Manifest(ctx context.Context, digest string) ([]byte, error) {
	return readManifest(ctx, i.source, digest)
}

// Referrers are the manifests that speak of this image or of an index that holds
// it: those that stand beside it, and those that a registry keeps apart.
func (i *Image) Referrers(ctx context.Context) ([]Descriptor, error) {
	found := slices.Clone(i.Attestations)
	from, ok := i.source.(referring)
	if !ok {
		return found, nil
	}
	var failed []error
	for _, digest := range append([]string{i.Digest}, i.Within...) {
		more, err := from.referrers(ctx, digest)
		if err != nil {
			failed = append(failed, err)
		}
		for _, d := range more {
			if !slices.ContainsFunc(found, func(f Descriptor) bool { return f.Digest == d.Digest }) {
				found = append(found, d)
			}
		}
	}
	return found, errors.Join(failed...)
}

// referring is a place that keeps what refers to a manifest apart from it.
type referring interface {
	referrers(ctx context.Context, digest string) ([]Descriptor, error)
}

// blobs is a place that holds content by digest.
type blobs interface {
	// open gives a blob's content, unchecked. manifest says that a manifest is
	// meant, which registries keep apart.
	open(ctx context.Context, digest string, manifest bool) (io.ReadCloser, error)
}

var digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// readBlob reads and checks a blob of at most limit bytes.
func readBlob(ctx context.Context, from blobs, digest string, limit int64) ([]byte, error) {
	return readChecked(ctx, from, digest, limit, false)
}

func readManifest(ctx context.Context, from blobs, digest string) ([]byte, error) {
	return readChecked(ctx, from, digest, maxManifest, true)
}

func readChecked(ctx context.Context, from blobs, digest string, limit int64, manifest bool) ([]byte, error) {
	if !digestForm.MatchString(digest) {
		return nil, fmt.Errorf("digest %q: expected sha256 and 64 hexadecimal digits", short(digest))
	}
	in, err := from.open(ctx, digest, manifest)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", digest, err)
	}
	defer in.Close()
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", digest, err)
	}
	if int64(len(data)) > limit {
		return nil, fmt.Errorf("%s: %w: more than %d MiB", digest, ErrTooLarge, limit>>20)
	}
	if sum := sha256.Sum256(data); "sha256:"+hex.EncodeToString(sum[:]) != digest {
		return nil, fmt.Errorf("%s: %w: content is sha256:%x", digest, ErrDigest, sum)
	}
	return data, nil
}

func short(text string) string { return text[:min(len(text), 100)] }

// Open opens an image by a path of the file system (a folder with an OCI
// layout, or an archive) or else by a reference to a registry.
func Open(ctx context.Context, ref string) (*Set, error) {
	info, err := os.Stat(ref)
	switch {
	case err == nil && info.IsDir():
		return openFolder(ctx, ref)
	case err == nil:
		return openArchive(ctx, ref)
	case !errors.Is(err, fs.ErrNotExist) || strings.HasPrefix(ref, "/") || strings.HasPrefix(ref, "./") || strings.HasPrefix(ref, "../") || strings.HasSuffix(ref, ".tar"):
		return nil, fmt.Errorf("open image: %w", err)
	}
	return openRegistry(ctx, ref)
}

// folder is an OCI layout in a folder.
type folder struct{ root *os.Root }

func (f folder) open(_ context.Context, digest string, _ bool) (io.ReadCloser, error) {
	name := filepath.Join("blobs", "sha256", strings.TrimPrefix(digest, "sha256:"))
	info, err := f.root.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("blob is not a regular file")
	}
	return f.root.Open(name)
}

func openFolder(ctx context.Context, dir string) (*Set, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	set, err := readLayout(ctx, dir, folder{root}, func() ([]byte, error) {
		info, err := root.Stat("index.json")
		if err != nil {
			return nil, fmt.Errorf("%s: %w (no index.json)", dir, ErrNotImage)
		}
		if !info.Mode().IsRegular() {
			return nil, fmt.Errorf("%s: index.json is not a regular file", dir)
		}
		file, err := root.Open("index.json")
		if err != nil {
			return nil, err
		}
		defer file.Close()
		return io.ReadAll(io.LimitReader(file, maxManifest+1))
	})
	if err != nil {
		root.Close()
		return nil, err
	}
	set.close = root.Close
	return set, nil
}

func readLayout(ctx context.Context, ref string, from blobs, index func() ([]byte, error)) (*Set, error) {
	data, err := index()
	if err != nil {
		return nil, err
	}
	if len(data) > maxManifest {
		return nil, fmt.Errorf("%s: index.json: %w: more than %d MiB", ref, ErrTooLarge, maxManifest>>20)
	}
	w := &walk{ref: ref, from: from, set: &Set{}, seen: map[string]bool{}}
	if err := w.document(ctx, data, Descriptor{}, 0); err != nil {
		return nil, err
	}
	return w.finish()
}

// walk follows indexes and manifests to images.
type walk struct {
	ref          string
	from         blobs
	set          *Set
	seen         map[string]bool
	attestations map[string][]Descriptor // by the digest they speak of, "" unsaid
	within       []string                // digests of the indexes that are being read
}

// manifestDocument is an index or a manifest.
type manifestDocument struct {
	MediaType   string            `json:"mediaType"`
	Manifests   []Descriptor      `json:"manifests"`
	Config      *Descriptor       `json:"config"`
	Layers      []Descriptor      `json:"layers"`
	Subject     *Descriptor       `json:"subject"`
	Annotations map[string]string `json:"annotations"`
}

func (w *walk) problem(format string, args ...any) {
	if len(w.set.Problems) < 1000 {
		w.set.Problems = append(w.set.Problems, fmt.Sprintf(format, args...))
	}
}

func (w *walk) document(ctx context.Context, data []byte, d Descriptor, depth int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	var doc manifestDocument
	if err := json.Unmarshal(data, &doc); err != nil {
		return fmt.Errorf("%s: manifest %s: expected JSON: %w", w.ref, d.Digest, err)
	}
	if doc.Config != nil {
		return w.image(ctx, &doc, d)
	}
	if doc.Manifests == nil {
		return fmt.Errorf("%s: manifest %s: expected an index or an image, found neither", w.ref, d.Digest)
	}
	if depth >= maxNesting {
		return fmt.Errorf("%s: index %s: indexes are nested more than %d deep", w.ref, d.Digest, maxNesting)
	}
	if len(doc.Manifests) > maxPlatforms {
		return fmt.Errorf("%s: index %s: %w: more than %d manifests", w.ref, d.Digest, ErrTooLarge, maxPlatforms)
	}
	if d.Digest != "" {
		w.within = append(w.within, d.Digest)
		defer func() { w.within = w.within[:len(w.within)-1] }()
	}
	for _, child := range doc.Manifests {
		if subject := child.Annotations["vnd.docker.reference.digest"]; child.Annotations["vnd.docker.reference.type"] == "attestation-manifest" {
			w.attest(subject, child)
			continue
		}
		// cosign saves its attestations into the layout of the one image they are of.
		if kind := child.Annotations["kind"]; kind == "dev.cosignproject.cosign/atts" || kind == "dev.cosignproject.cosign/sigs" {
			w.attest("", child)
			continue
		}
		if w.seen[child.Digest] {
			if isIndex(child.MediaType) {
				w.problem("index %s is named twice or leads to itself; it is read once", child.Digest)
			}
			continue
		}
		w.seen[child.Digest] = true
		data, err := readManifest(ctx, w.from, child.Digest)
		if err == nil {
			err = w.document(ctx, data, child, depth+1)
		}
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			w.problem("%v", err)
		}
	}
	return nil
}

func isIndex(mediaType string) bool {
	return strings.Contains(mediaType, "image.index") || strings.Contains(mediaType, "manifest.list")
}

func (w *walk) attest(subject string, d Descriptor) {
	if w.attestations == nil {
		w.attestations = map[string][]Descriptor{}
	}
	if len(w.attestations[subject]) < 100 {
		w.attestations[subject] = append(w.attestations[subject], d)
	}
}

func (w *walk) image(ctx context.Context, doc *manifestDocument, d Descriptor) error {
	if doc.Subject != nil {
		w.attest(doc.Subject.Digest, d)
		return nil
	}
	switch doc.Config.MediaType {
	case "application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json", "":
	default:
		w.problem("manifest %s holds %s, not an image", d.Digest, short(doc.Config.MediaType))
		return nil
	}
	if len(doc.Layers) > maxLayers {
		return fmt.Errorf("%s: manifest %s: %w: more than %d layers", w.ref, d.Digest, ErrTooLarge, maxLayers)
	}
	data, err := readBlob(ctx, w.from, doc.Config.Digest, maxConfig)
	if err != nil {
		return fmt.Errorf("%s: configuration: %w", w.ref, err)
	}
	image := &Image{Reference: w.ref, Digest: d.Digest, ConfigID: doc.Config.Digest, Annotations: doc.Annotations, Within: slices.Clone(w.within), source: w.from}
	if err := json.Unmarshal(data, &image.Config); err != nil {
		return fmt.Errorf("%s: configuration %s: expected JSON: %w", w.ref, doc.Config.Digest, err)
	}
	if tag := d.Annotations["org.opencontainers.image.ref.name"]; tag != "" {
		image.Tags = append(image.Tags, tag)
	}
	if n := len(image.Config.RootFS.DiffIDs); n != len(doc.Layers) {
		return fmt.Errorf("%s: manifest %s has %d layers, its configuration %d", w.ref, d.Digest, len(doc.Layers), n)
	}
	for i, layer := range doc.Layers {
		image.Layers = append(image.Layers, Layer{
			DiffID: image.Config.RootFS.DiffIDs[i], Digest: layer.Digest, MediaType: layer.MediaType, Size: layer.Size,
			open: func(ctx context.Context) (io.ReadCloser, error) { return w.from.open(ctx, layer.Digest, false) },
		})
	}
	w.add(image)
	return nil
}

func (w *walk) add(image *Image) {
	image.Platform = Platform{image.Config.OS, image.Config.Architecture, image.Config.Variant}
	image.Steps = ParseHistory(image.Config.History, len(image.Layers))
	w.set.Images = append(w.set.Images, image)
}

func (w *walk) finish() (*Set, error) {
	for _, image := range w.set.Images {
		image.Attestations = slices.Concat(w.attestations[image.Digest], w.attestations[""])
		for _, index := range image.Within {
			image.Attestations = append(image.Attestations, w.attestations[index]...)
		}
	}
	if len(w.set.Images) == 0 {
		if len(w.set.Problems) > 0 {
			return nil, fmt.Errorf("%s: no image could be read: %s", w.ref, w.set.Problems[0])
		}
		return nil, fmt.Errorf("%s: %w (no image within)", w.ref, ErrNotImage)
	}
	return w.set, nil
}

// Pick chooses the image for a platform ("linux/amd64"; "" is the first).
func (s *Set) Pick(platform string) (*Image, error) {
	if platform == "" {
		return s.Images[0], nil
	}
	var have []string
	for _, image := range s.Images {
		if image.Platform.String() == platform || image.Platform.OS+"/"+image.Platform.Architecture == platform {
			return image, nil
		}
		have = append(have, image.Platform.String())
	}
	return nil, fmt.Errorf("no image for platform %s; there are %s", platform, strings.Join(have, ", "))
}

// archive is a tar file whose members are read in place.
type archive struct {
	file    *os.File
	members map[string]member
	links   map[string]string
}

type member struct{ offset, size int64 }

func openArchive(ctx context.Context, name string) (*Set, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("open image: %w", err)
	}
	closing := file.Close
	fail := func(err error) (*Set, error) {
		return nil, errors.Join(err, closing())
	}
	var magic [4]byte
	n, err := io.ReadFull(file, magic[:])
	if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return fail(fmt.Errorf("%s: %w (empty)", name, ErrNotImage))
	}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return fail(err)
	}
	if n >= 2 && magic[0] == 0x1f && magic[1] == 0x8b {
		plain, err := unpackArchive(ctx, file)
		if err != nil {
			return fail(fmt.Errorf("%s: %w", name, err))
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
		file = plain
		closing = func() error { return errors.Join(plain.Close(), os.Remove(plain.Name())) }
	}
	a := &archive{file: file, members: map[string]member{}, links: map[string]string{}}
	if err := a.list(ctx); err != nil {
		return fail(fmt.Errorf("%s: %w: %w", name, ErrNotImage, err))
	}
	var set *Set
	if _, ok := a.members["index.json"]; ok {
		set, err = readLayout(ctx, name, a, func() ([]byte, error) { return a.small("index.json", maxManifest) })
	} else if _, ok := a.members["manifest.json"]; ok {
		set, err = a.saved(ctx, name)
	} else {
		err = fmt.Errorf("%s: %w (neither index.json nor manifest.json)", name, ErrNotImage)
	}
	if err != nil {
		return fail(err)
	}
	set.close = closing
	return set, nil
}

// unpackArchive writes a compressed archive to a temporary file.
func unpackArchive(ctx context.Context, in *os.File) (*os.File, error) {
	unzip, err := gzip.NewReader(in)
	if err != nil {
		return nil, err
	}
	out, err := os.CreateTemp("", "backstitch-image-*.tar")
	if err != nil {
		return nil, err
	}
	n, err := io.Copy(out, io.LimitReader(contextReader{ctx, unzip}, maxArchive+1))
	if err == nil && n > maxArchive {
		err = fmt.Errorf("archive: %w: more than %d GiB", ErrTooLarge, int64(maxArchive)>>30)
	}
	if err == nil {
		info, statErr := in.Stat()
		if err = statErr; err == nil && tooTight(info.Size(), n) {
			err = fmt.Errorf("archive: %w: %d bytes unpack to %d", ErrTooLarge, info.Size(), n)
		}
	}
	if err == nil {
		_, err = out.Seek(0, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(err, out.Close(), os.Remove(out.Name()))
	}
	return out, nil
}

type contextReader struct {
	ctx context.Context
	in  io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.in.Read(p)
}

// list finds the members of the archive by one pass over its headers.
func (a *archive) list(ctx context.Context) error {
	reader := tar.NewReader(a.file)
	for count := 0; ; count++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if count >= maxEntries {
			return fmt.Errorf("archive: %w: more than %d entries", ErrTooLarge, maxEntries)
		}
		name := path.Clean(strings.TrimPrefix(header.Name, "./"))
		switch header.Typeflag {
		case tar.TypeReg:
			offset, err := a.file.Seek(0, io.SeekCurrent)
			if err != nil {
				return err
			}
			a.members[name] = member{offset, header.Size}
		case tar.TypeSymlink, tar.TypeLink:
			// Old archives of docker save share layers by links between members.
			target := header.Linkname
			if header.Typeflag == tar.TypeSymlink {
				target = path.Join(path.Dir(name), target)
			}
			a.links[name] = path.Clean(target)
		}
	}
}

// section opens a member; links lead to members only, at most a few.
func (a *archive) section(name string) (*io.SectionReader, error) {
	name = path.Clean(strings.TrimPrefix(name, "./"))
	for range 8 {
		if m, ok := a.members[name]; ok {
			return io.NewSectionReader(a.file, m.offset, m.size), nil
		}
		target, ok := a.links[name]
		if !ok {
			break
		}
		name = target
	}
	return nil, fmt.Errorf("archive has no member %q: %w", short(name), fs.ErrNotExist)
}

func (a *archive) small(name string, limit int64) ([]byte, error) {
	in, err := a.section(name)
	if err != nil {
		return nil, err
	}
	if in.Size() > limit {
		return nil, fmt.Errorf("%s: %w: more than %d MiB", short(name), ErrTooLarge, limit>>20)
	}
	return io.ReadAll(in)
}

func (a *archive) open(_ context.Context, digest string, _ bool) (io.ReadCloser, error) {
	in, err := a.section("blobs/sha256/" + strings.TrimPrefix(digest, "sha256:"))
	if err != nil {
		return nil, err
	}
	return io.NopCloser(in), nil
}

// saved reads the manifest.json of docker save.
func (a *archive) saved(ctx context.Context, ref string) (*Set, error) {
	data, err := a.small("manifest.json", maxManifest)
	if err != nil {
		return nil, err
	}
	var list []struct {
		Config   string
		RepoTags []string
		Layers   []string
	}
	if err := json.Unmarshal(data, &list); err != nil {
		return nil, fmt.Errorf("%s: manifest.json: expected a list: %w", ref, err)
	}
	if len(list) > maxPlatforms {
		return nil, fmt.Errorf("%s: manifest.json: %w: more than %d images", ref, ErrTooLarge, maxPlatforms)
	}
	w := &walk{ref: ref, from: a, set: &Set{}}
	for _, entry := range list {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		config, err := a.small(entry.Config, maxConfig)
		if err != nil {
			w.problem("configuration: %v", err)
			continue
		}
		sum := sha256.Sum256(config)
		image := &Image{Reference: ref, ConfigID: "sha256:" + hex.EncodeToString(sum[:]), Tags: slices.Clone(entry.RepoTags), source: a}
		if err := json.NewDecoder(bytes.NewReader(config)).Decode(&image.Config); err != nil {
			w.problem("configuration %s: expected JSON: %v", short(entry.Config), err)
			continue
		}
		// The name of a configuration is its digest.
		if named := strings.TrimSuffix(path.Base(entry.Config), ".json"); digestForm.MatchString("sha256:"+named) && "sha256:"+named != image.ConfigID {
			w.problem("configuration %s: %v", short(entry.Config), ErrDigest)
			continue
		}
		if len(entry.Layers) != len(image.Config.RootFS.DiffIDs) || len(entry.Layers) > maxLayers {
			w.problem("image %v has %d layers, its configuration %d", entry.RepoTags, len(entry.Layers), len(image.Config.RootFS.DiffIDs))
			continue
		}
		for i, name := range entry.Layers {
			size := int64(0)
			if section, err := a.section(name); err == nil {
				size = section.Size()
			}
			image.Layers = append(image.Layers, Layer{DiffID: image.Config.RootFS.DiffIDs[i], Size: size,
				open: func(context.Context) (io.ReadCloser, error) {
					section, err := a.section(name)
					if err != nil {
						return nil, err
					}
					return io.NopCloser(section), nil
				}})
		}
		w.add(image)
	}
	return w.finish()
}
