package agent

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/cause"
	"github.com/backstitch/backstitch/code/kubernetes"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/fix"
	"github.com/backstitch/backstitch/image"
	"github.com/backstitch/backstitch/image/advice"
)

const (
	maxHoldings = 2000
	maxHolding  = 16 << 20
)

// holding is what an image was found to hold, kept so that later questions need not
// look into it again.
type holding struct {
	Reference string         `json:"reference"`
	Digests   []string       `json:"digests"` // of its manifest and of the indexes that hold it
	Packages  []fact.Package `json:"packages"`
}

// outside is what is known of images outside a repository: the index of bases, images
// that were looked into now or earlier, the official images' library where its files lie
// in the cache, products' cycles, and, where they may be asked, registries. It
// implements fix.Images.
type outside struct {
	bases    image.BaseIndex
	holdings []holding
	products []fact.Product
	library  string // folder of the official images' library, "" for none
	ask      bool   // registries
	now      int64
	asked    map[string][]fix.ImageTag
	digests  map[string]string
}

// outsideImages gathers what is known of images. What the images that were opened now
// hold is kept in the cache; bases of theirs, told apart by their layers, too.
func (d *Desk) outsideImages(ctx context.Context, s *scene, running cause.Running, ask bool) (fix.Images, error) {
	o := &outside{bases: running.Bases, ask: ask, now: d.Now().UnixMicro(), library: filepath.Join(d.Cache, "official-library"), asked: map[string][]fix.ImageTag{}, digests: map[string]string{}}
	if o.bases == nil {
		bases, err := image.LoadBases(filepath.Join(d.Cache, "bases"))
		if err != nil {
			return nil, err
		}
		o.bases = bases
	}
	if s.known.index != nil {
		products, err := s.known.index.Lives()
		if err != nil {
			return nil, fmt.Errorf("products' cycles: %w", err)
		}
		o.products = products
	}
	folder := filepath.Join(d.Cache, "holdings")
	for _, one := range running.Images {
		inventory, err := image.Scan(ctx, one, running.Cache)
		if err != nil {
			return nil, fmt.Errorf("look into %s: %w", one.Reference, err)
		}
		for _, held := range holdingsOf(inventory, o.bases) {
			o.holdings = append(o.holdings, held)
			if err := keepHolding(folder, held); err != nil {
				return nil, err
			}
		}
	}
	kept, err := readHoldings(folder)
	o.holdings = append(o.holdings, kept...)
	return o, err
}

// holdingsOf tells what an image holds under its names, and what the images at its bottom
// hold, where their layers are known. An inventory with gaps tells nothing.
func holdingsOf(inventory *image.Inventory, bases image.BaseIndex) []holding {
	if len(inventory.Gaps) > 0 || len(inventory.Unread) > 0 {
		return nil
	}
	one := inventory.Image
	whole := holding{Digests: one.Within, Packages: upTo(inventory, len(one.Layers))}
	if one.Digest != "" {
		whole.Digests = append(slices.Clone(whole.Digests), one.Digest)
	}
	var list []holding
	for _, name := range append([]string{one.Reference}, one.Tags...) {
		if ref, ok := kubernetes.ParseReference(name); ok && (ref.Tag != "" || ref.Digest != "") {
			whole.Reference = ref.String()
			list = append(list, whole)
		}
	}
	for _, part := range image.FindBases(one, bases, inventory) {
		if part.Layers <= 0 || part.Layers >= len(one.Layers) || part.Evidence.Strength == fact.Guess {
			continue
		}
		base := holding{Packages: upTo(inventory, part.Layers)}
		if part.Digest != "" {
			base.Digests = []string{part.Digest}
		}
		for _, name := range part.Names {
			if ref, ok := kubernetes.ParseReference(name); ok {
				base.Reference = ref.String()
				list = append(list, base)
			}
		}
	}
	return list
}

// upTo gives the packages that the first layers of an image hold. What a later layer
// replaced is there at its former version; what one removed, nobody tells any more.
func upTo(inventory *image.Inventory, layers int) []fact.Package {
	packages := []fact.Package{}
	for _, p := range inventory.Packages {
		switch {
		case p.Declared:
		case p.Layer < layers:
			packages = append(packages, p.Package)
		case p.Previous != nil && p.Previous.Layer < layers && !p.Previous.Removed:
			former := p.Package
			former.Version = p.Previous.Version
			former.PURL = fact.PURL(former.Ecosystem, former.Name, former.Version)
			packages = append(packages, former)
		}
	}
	return packages
}

func keepHolding(folder string, held holding) error {
	data, err := json.Marshal(held)
	if err != nil || len(data) > maxHolding {
		return err
	}
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return fmt.Errorf("keep what %s holds: %w", held.Reference, err)
	}
	sum := sha256.Sum256([]byte(held.Reference))
	name := filepath.Join(folder, hex.EncodeToString(sum[:16])+".json")
	if err := os.WriteFile(name+".new", data, 0o600); err != nil {
		return fmt.Errorf("keep what %s holds: %w", held.Reference, err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		return fmt.Errorf("keep what %s holds: %w", held.Reference, err)
	}
	return nil
}

// readHoldings reads what was kept; a damaged file is left out, since the image can be
// looked into again.
func readHoldings(folder string) ([]holding, error) {
	entries, err := os.ReadDir(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("what images hold: %w", err)
	}
	var list []holding
	for _, entry := range entries {
		if !strings.HasSuffix(entry.Name(), ".json") || len(list) == maxHoldings {
			continue
		}
		info, err := entry.Info()
		if err != nil || !info.Mode().IsRegular() || info.Size() > maxHolding {
			continue
		}
		data, err := os.ReadFile(filepath.Join(folder, entry.Name()))
		if err != nil {
			return nil, fmt.Errorf("what images hold: %w", err)
		}
		var held holding
		if json.Unmarshal(data, &held) == nil && held.Reference != "" {
			list = append(list, held)
		}
	}
	return list, nil
}

// Holdings is how many images are known from inside. Without any, nothing is to be said
// of what a base holds.
func (o *outside) Holdings() int { return len(o.holdings) }

// Packages implements fix.Images.
func (o *outside) Packages(_ context.Context, reference string) ([]fact.Package, bool, error) {
	ref, ok := kubernetes.ParseReference(reference)
	if !ok {
		return nil, false, nil
	}
	if ref.Tag == "" && ref.Digest == "" {
		ref.Tag = "latest"
	}
	tagged := ref
	tagged.Digest = ""
	for i := range o.holdings {
		held := &o.holdings[i]
		if ref.Digest != "" && slices.Contains(held.Digests, ref.Digest) || ref.Digest == "" && held.Reference == tagged.String() {
			return held.Packages, true, nil
		}
	}
	return nil, false, nil
}

// Tags implements fix.Images.
func (o *outside) Tags(ctx context.Context, repository string) ([]fix.ImageTag, error) {
	if known, ok := o.asked[repository]; ok {
		return known, nil
	}
	byName := map[string]*fix.ImageTag{}
	add := func(name, digest, source string) {
		if name == "" {
			return
		}
		if old := byName[name]; old != nil {
			old.Digest = cmp.Or(old.Digest, digest)
			return
		}
		byName[name] = &fix.ImageTag{Name: name, Digest: digest, Source: source}
	}
	refers := func(name string) (kubernetes.Reference, bool) {
		ref, ok := kubernetes.ParseReference(name)
		return ref, ok && ref.Registry+"/"+ref.Repository == repository
	}
	for i := range o.holdings {
		if ref, ok := refers(o.holdings[i].Reference); ok {
			digest := ""
			if len(o.holdings[i].Digests) > 0 {
				digest = o.holdings[i].Digests[0] // of the outermost index
			}
			add(ref.Tag, digest, "an image that was looked into")
		}
	}
	for _, base := range o.bases.All() {
		for _, name := range base.Names {
			if ref, ok := refers(name); ok {
				add(ref.Tag, "", "the index of base images") // its digest is of one platform
			}
		}
	}
	if err := o.libraryTags(repository, add); err != nil {
		return nil, err
	}
	if o.ask {
		names, err := image.Tags(ctx, repository)
		if err != nil && (ctx.Err() != nil || len(byName) == 0) {
			return nil, err
		}
		for _, name := range names {
			add(name, "", "the registry")
		}
	}
	tags := make([]fix.ImageTag, 0, len(byName))
	for _, tag := range byName {
		tags = append(tags, *tag)
	}
	slices.SortFunc(tags, func(a, b fix.ImageTag) int { return strings.Compare(a.Name, b.Name) })
	o.asked[repository] = tags
	return tags, nil
}

// libraryTags adds the tags of an official image from the library's files.
func (o *outside) libraryTags(repository string, add func(name, digest, source string)) error {
	name, ok := advice.Official(repository)
	if !ok || o.library == "" {
		return nil
	}
	root, err := os.OpenRoot(o.library)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("official images' library: %w", err)
	}
	defer root.Close()
	data, err := root.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("official images' library: %w", err)
	}
	library, err := image.ParseLibrary(name, data)
	if err != nil {
		return fmt.Errorf("official images' library: %w", err)
	}
	for _, entry := range library.Entries {
		for _, tag := range slices.Concat(entry.Tags, entry.SharedTags) {
			add(tag, "", "the official images' library")
		}
	}
	return nil
}

// Releases tells the versions that the product of an image has: the newest of every
// cycle, and the cycles that are supported.
func (o *outside) Releases(_ context.Context, repository string) ([]advice.Known, error) {
	product := advice.Product(repository)
	var known []advice.Known
	for i := range o.products {
		p := &o.products[i]
		if product == "" || p.Name != product && !slices.Contains(p.PURLs, "pkg:docker/"+strings.TrimPrefix(repository, "docker.io/")) {
			continue
		}
		for k := range p.Cycles {
			cycle := &p.Cycles[k]
			if cycle.Released > o.now {
				continue
			}
			names := []string{cycle.Latest}
			if !cycle.Over(o.now) {
				names = append(names, cycle.Name)
			}
			for _, name := range names {
				if name != "" {
					known = append(known, advice.Known{Name: name, Source: "endoflife.date", Release: true})
				}
			}
		}
		break
	}
	return known, nil
}

// Digest asks a registry for the digest of a reference, "" when it may not be asked.
func (o *outside) Digest(ctx context.Context, reference string) (string, error) {
	ref, ok := kubernetes.ParseReference(reference)
	if !ok || !o.ask {
		return "", nil
	}
	reference = ref.String() // in full, so that it names no file
	if digest, ok := o.digests[reference]; ok {
		return digest, nil
	}
	set, err := image.Open(ctx, reference)
	if err != nil {
		return "", err
	}
	digest := ""
	if len(set.Images) > 0 {
		digest = set.Images[0].Digest
		if within := set.Images[0].Within; len(within) > 0 {
			digest = within[0]
		}
	}
	o.digests[reference] = digest
	return digest, set.Close()
}
