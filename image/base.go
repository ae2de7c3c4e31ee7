package image

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/backstitch/backstitch/fact"
)

// ChainIDs gives the OCI ChainID of every prefix of a list of DiffIDs: element
// i stands for the first i+1 layers. Empty layers of a history have no part.
func ChainIDs(diffIDs []string) []string {
	chain := make([]string, len(diffIDs))
	for i, id := range diffIDs {
		if i == 0 {
			chain[0] = id
			continue
		}
		sum := sha256.Sum256([]byte(chain[i-1] + " " + id))
		chain[i] = "sha256:" + hex.EncodeToString(sum[:])
	}
	return chain
}

// Base is an image that others may be built on.
type Base struct {
	Names    []string          `json:"names"` // references, sorted
	Digest   string            `json:"digest,omitempty"`
	ConfigID string            `json:"config,omitempty"`
	Platform string            `json:"platform,omitempty"`
	Chain    string            `json:"chain"` // ChainID of all its layers
	Layers   int               `json:"layers"`
	Source   string            `json:"source"`           // how it was learnt: seen, label, attestation
	Labels   map[string]string `json:"labels,omitempty"` // that its children inherit
	// Packages are hashes of the system's packages with versions, sorted: what
	// is left to compare when layers were squashed.
	Packages []uint64 `json:"packages,omitempty"`
}

// BaseIndex answers which images end with a chain of layers.
type BaseIndex interface {
	Bases(chainID string) []Base
	All() []Base
}

// Bases is a BaseIndex in memory, kept in a file. It is not safe for
// concurrent use while bases are added.
type Bases struct {
	chains map[string][]Base
}

// NewBases returns an empty index.
func NewBases() *Bases { return &Bases{map[string][]Base{}} }

const maxBases = 1 << 20

// LoadBases reads an index from a file; one that does not exist is empty.
func LoadBases(name string) (*Bases, error) {
	bases := NewBases()
	file, err := os.Open(name)
	if errors.Is(err, os.ErrNotExist) {
		return bases, nil
	}
	if err != nil {
		return nil, fmt.Errorf("base images: %w", err)
	}
	defer file.Close()
	unzip, err := gzip.NewReader(bufio.NewReader(file))
	if err != nil {
		return nil, fmt.Errorf("base images: %s: %w", name, err)
	}
	decoder := json.NewDecoder(io.LimitReader(unzip, 4<<30))
	for count := 0; ; count++ {
		var base Base
		if err := decoder.Decode(&base); errors.Is(err, io.EOF) {
			return bases, nil
		} else if err != nil {
			return nil, fmt.Errorf("base images: %s: entry %d: %w", name, count+1, err)
		}
		if count >= maxBases {
			return nil, fmt.Errorf("base images: %s: %w: more than %d", name, ErrTooLarge, maxBases)
		}
		bases.Add(base)
	}
}

// Save writes the index to a file, replaced as a whole.
func (b *Bases) Save(name string) error {
	file, err := os.CreateTemp(filepath.Dir(name), "bases-*")
	if err != nil {
		return fmt.Errorf("base images: %w", err)
	}
	zip := gzip.NewWriter(file)
	encoder := json.NewEncoder(zip)
	for _, base := range b.All() {
		if err == nil {
			err = encoder.Encode(base)
		}
	}
	err = errors.Join(err, zip.Close(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), name)
	}
	if err != nil {
		return fmt.Errorf("base images: %w", errors.Join(err, os.Remove(file.Name())))
	}
	return nil
}

// Add puts a base into the index; names of one already there are joined.
func (b *Bases) Add(base Base) {
	if !digestForm.MatchString(base.Chain) || base.Layers <= 0 {
		return
	}
	list := b.chains[base.Chain]
	for i := range list {
		if list[i].ConfigID == base.ConfigID && list[i].Platform == base.Platform {
			list[i].Names = append(list[i].Names, base.Names...)
			slices.Sort(list[i].Names)
			list[i].Names = slices.Compact(list[i].Names)
			if list[i].Digest == "" {
				list[i].Digest = base.Digest
			}
			return
		}
	}
	base.Names = slices.Compact(slices.Sorted(slices.Values(base.Names)))
	b.chains[base.Chain] = append(list, base)
}

// Bases implements BaseIndex.
func (b *Bases) Bases(chainID string) []Base { return b.chains[chainID] }

// All implements BaseIndex, in the order of chains and names.
func (b *Bases) All() []Base {
	var all []Base
	for _, chain := range slices.Sorted(maps.Keys(b.chains)) {
		all = append(all, b.chains[chain]...)
	}
	return all
}

// Seen makes a Base of an image that was scanned under a name.
func Seen(image *Image, name string, inventory *Inventory) Base {
	chain := ChainIDs(image.Config.RootFS.DiffIDs)
	if len(chain) == 0 {
		return Base{}
	}
	base := Base{Digest: image.Digest, ConfigID: image.ConfigID, Platform: image.Platform.String(), Chain: chain[len(chain)-1], Layers: len(chain), Source: "seen", Labels: image.Config.Config.Labels}
	if name != "" {
		base.Names = []string{name}
	}
	if inventory != nil {
		base.Packages = packageHashes(inventory)
	}
	return base
}

func packageHashes(inventory *Inventory) []uint64 {
	var hashes []uint64
	for _, p := range inventory.Packages {
		if p.Kind == "dpkg" || p.Kind == "apk" || p.Kind == "rpm" {
			hashes = append(hashes, pathHash(p.Ecosystem+"\x00"+p.Name+"\x00"+p.Version))
		}
	}
	slices.Sort(hashes)
	return slices.Compact(hashes)
}

// BasePart is a part at the bottom of an image that another image is.
type BasePart struct {
	Layers   int               `json:"layers"` // how many layers belong to it, 0 unknown
	Names    []string          `json:"names"`
	Digest   string            `json:"digest,omitempty"`
	Evidence fact.Evidence     `json:"evidence"`
	Labels   map[string]string `json:"-"`
}

// FindBases says which images an image was built on, the nearest first, then
// the bases of the base. Layer chains come first, then what labels declare,
// then a guess by the system's packages; inventory may be nil.
func FindBases(image *Image, index BaseIndex, inventory *Inventory) []BasePart {
	var parts []BasePart
	chain := ChainIDs(image.Config.RootFS.DiffIDs)
	if index != nil {
		for n := len(chain); n > 0; n-- {
			var part BasePart
			for _, base := range index.Bases(chain[n-1]) {
				// The image itself is no base of its own.
				if n == len(chain) && (base.ConfigID == image.ConfigID || base.ConfigID == "") {
					continue
				}
				part.Layers = n
				part.Names = append(part.Names, base.Names...)
				if part.Digest == "" {
					part.Digest = base.Digest
				}
				if part.Labels == nil {
					part.Labels = base.Labels
				}
			}
			if part.Layers > 0 {
				part.Names = slices.Compact(slices.Sorted(slices.Values(part.Names)))
				part.Evidence = fact.Evidence{Method: "layer chain", Source: chain[n-1], Strength: fact.Derived, Detail: fmt.Sprintf("the first %d layers are those of the base", n)}
				parts = append(parts, part)
			}
		}
	}
	labels := image.Config.Config.Labels
	name, digest := labels["org.opencontainers.image.base.name"], labels["org.opencontainers.image.base.digest"]
	if annotated := image.Annotations["org.opencontainers.image.base.name"]; annotated != "" {
		name, digest = annotated, image.Annotations["org.opencontainers.image.base.digest"]
	}
	if name != "" || digest != "" {
		inherited := len(parts) > 0 && parts[0].Labels["org.opencontainers.image.base.name"] == name && name != ""
		if !inherited {
			part := BasePart{Digest: digest, Evidence: fact.Evidence{Method: "label org.opencontainers.image.base", Source: "image configuration", Strength: fact.Declared}}
			if name != "" {
				part.Names = []string{name}
			}
			if len(parts) == 0 {
				parts = append(parts, part)
			} else if len(part.Names) > 0 && !slices.ContainsFunc(parts[0].Names, func(n string) bool { return sameImage(n, name) }) && parts[0].Digest != digest {
				parts = append(parts, part)
			}
		}
	}
	if len(parts) == 0 && index != nil && inventory != nil {
		if part, ok := guessBase(index, packageHashes(inventory)); ok {
			parts = append(parts, part)
		}
	}
	return parts
}

// guessBase names the base whose system packages are nearly all there.
func guessBase(index BaseIndex, have []uint64) (BasePart, bool) {
	best, second, names := 0.0, 0.0, []string(nil)
	for _, base := range index.All() {
		if len(base.Packages) < 5 {
			continue
		}
		common := 0
		for _, h := range base.Packages {
			if _, ok := slices.BinarySearch(have, h); ok {
				common++
			}
		}
		share := float64(common) / float64(len(base.Packages))
		if share < .9 {
			continue
		}
		// Among bases that are contained, the larger says more.
		score := share + float64(common)/float64(len(have)+1)
		switch {
		case score > best+epsilon:
			best, second, names = score, best, slices.Clone(base.Names)
		case score > best-epsilon:
			names = append(names, base.Names...)
		default:
			second = max(second, score)
		}
	}
	if len(names) == 0 {
		return BasePart{}, false
	}
	slices.Sort(names)
	return BasePart{Names: slices.Compact(names), Evidence: fact.Evidence{Method: "system packages", Source: "package databases", Strength: fact.Guess,
		Detail: fmt.Sprintf("its packages are there, margin %.2f", best-second)}}, true
}

// Attested makes a Base of the image that a provenance says was built on, when it
// says which layers are that image's.
func Attested(image *Image, p Provenance) (Base, bool) {
	chain := ChainIDs(image.Config.RootFS.DiffIDs)
	if p.BaseLayers < 1 || p.BaseLayers > len(chain) || len(p.Bases) == 0 {
		return Base{}, false
	}
	base := Base{Digest: p.Bases[0].Digest, Platform: image.Platform.String(), Chain: chain[p.BaseLayers-1], Layers: p.BaseLayers, Source: "attestation"}
	if name := p.Bases[0].Annotations["org.opencontainers.image.ref.name"]; name != "" {
		base.Names = []string{name}
	}
	return base, true
}

// withProvenance adds what provenance says of the bases: a part that is known
// already gets the stronger evidence, a new one its place, the nearest first.
func withProvenance(parts []BasePart, provenance []Provenance) []BasePart {
	for _, p := range provenance {
		for i, base := range p.Bases {
			part := BasePart{Digest: base.Digest, Evidence: p.evidence()}
			if i == 0 {
				part.Layers = p.BaseLayers
			}
			name := base.Annotations["org.opencontainers.image.ref.name"]
			if name != "" {
				part.Names = []string{name}
			}
			known := slices.IndexFunc(parts, func(k BasePart) bool {
				return part.Layers > 0 && k.Layers == part.Layers || part.Digest != "" && k.Digest == part.Digest ||
					name != "" && slices.ContainsFunc(k.Names, func(n string) bool { return sameImage(n, name) })
			})
			if known < 0 {
				parts = append(parts, part)
				continue
			}
			k := &parts[known]
			k.Layers = max(k.Layers, part.Layers)
			if k.Digest == "" {
				k.Digest = part.Digest
			}
			if name != "" && !slices.ContainsFunc(k.Names, func(n string) bool { return sameImage(n, name) }) {
				k.Names = append(slices.Clone(k.Names), name)
				slices.Sort(k.Names)
			}
			if strengthRank[part.Evidence.Strength] > strengthRank[k.Evidence.Strength] {
				k.Evidence = part.Evidence
			}
		}
	}
	slices.SortStableFunc(parts, func(a, b BasePart) int { return cmp.Compare(b.Layers, a.Layers) })
	return parts
}

// OwnLabel gives a label's value when it is the image's own: one that a base
// has too was inherited and says nothing of this image.
func OwnLabel(image *Image, parts []BasePart, key string) (string, bool) {
	value := strings.TrimSpace(image.Config.Config.Labels[key])
	if value == "" {
		return "", false
	}
	for _, part := range parts {
		if part.Labels[key] == value {
			return "", false
		}
	}
	return value, true
}
