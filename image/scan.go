package image

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// Cache keeps what layers hold, by DiffID. It is safe for concurrent use.
type Cache interface {
	Get(diffID string) (*Content, bool)
	Put(content *Content) error
}

// Package is one package of an image with the layer where this version's
// present continuous presence began.
type Package struct {
	fact.Package
	Arch     string `json:"arch,omitempty"`
	Source   string `json:"source,omitempty"` // source package, when it is another
	Database string `json:"database"`         // path of what says that it is there
	Kind     string `json:"kind"`             // dpkg, apk, rpm, npm ...
	// Declared says that only a lockfile names it: it is not installed.
	Declared bool      `json:"declared,omitempty"`
	Layer    int       `json:"layer"` // index among the layers
	DiffID   string    `json:"diff_id"`
	Step     int       `json:"step"` // index in the history, empty layers counted; -1 unknown
	Previous *Previous `json:"previous,omitempty"`
}

// Previous is the version that was there before, in the same database.
type Previous struct {
	Version string `json:"version"`
	Layer   int    `json:"layer"`
	DiffID  string `json:"diff_id"`
	Removed bool   `json:"removed,omitempty"` // it was gone in between
}

// Inventory is what the layers of an image hold together.
type Inventory struct {
	Image    *Image
	Release  *Release
	Packages []Package
	Builds   []BinaryBuild
	Blobs    []LayerBlob
	Opened   int // layers that had to be read; the rest came from the cache
	// Gaps are what was not seen, with the reason; packages may be missing.
	Gaps []string
	// Unread are indexes of layers that could not be read.
	Unread []int
}

// BinaryBuild is a Go program with what it says about its source.
type BinaryBuild struct {
	Path  string
	Layer int
	Build
}

// LayerBlob is a file that stands in the image in the end, by its git identity.
type LayerBlob struct {
	Blob
	Layer int
}

// Scan reads the layers that the cache does not know and replays them in order.
// A layer that cannot be read is a gap; cache may be nil.
func Scan(ctx context.Context, image *Image, cache Cache) (*Inventory, error) {
	contents := make([]*Content, len(image.Layers))
	inventory := &Inventory{Image: image}
	for i := range image.Layers {
		layer := &image.Layers[i]
		if cache != nil {
			if content, ok := cache.Get(layer.DiffID); ok {
				contents[i] = content
				continue
			}
		}
		inventory.Opened++
		content, err := layer.Read(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			inventory.Gaps = append(inventory.Gaps, err.Error())
			inventory.Unread = append(inventory.Unread, i)
			continue
		}
		contents[i] = content
		if cache != nil {
			if err := cache.Put(content); err != nil {
				return nil, fmt.Errorf("keep layer %s: %w", layer.DiffID, err)
			}
		}
	}
	inventory.replay(contents)
	return inventory, nil
}

// origin is where a package's present presence began.
type origin struct {
	installed Installed
	layer     int
	previous  *Previous
}

// live is a database as it stands after some layers.
type live struct {
	kind     string
	layer    int // that last wrote it
	build    *Build
	packages map[string]origin
	gone     map[string]Previous
}

// presence is one thing of a database that can be there in several versions.
func presence(p *Installed) string { return p.Name + "\x00" + p.Arch }

func (inv *Inventory) replay(contents []*Content) {
	state := map[string]*live{}     // by path and kind
	gone := map[string]*live{}      // databases that a layer took away
	paths := map[string][]string{}  // path -> keys of state
	blobs := map[string]LayerBlob{} // by path
	drop := func(name string) {
		delete(blobs, name)
		for _, key := range paths[name] {
			if l := state[key]; l != nil {
				gone[key] = l
				delete(state, key)
			}
		}
	}
	for number, content := range contents {
		if content == nil {
			continue
		}
		if content.Release != nil {
			inv.Release = content.Release
		}
		for _, gap := range content.Gaps {
			inv.Gaps = append(inv.Gaps, fmt.Sprintf("layer %d: %s", number, gap))
		}
		hidden := newHiding(content)
		for name := range paths {
			if hidden.hides(name) {
				drop(name)
			}
		}
		for name := range blobs {
			if hidden.hides(name) {
				delete(blobs, name)
			}
		}
		written := map[string]bool{}
		for i := range content.Databases {
			written[content.Databases[i].Path] = true
		}
		kept := map[string]bool{}
		for i := range content.Blobs {
			kept[content.Blobs[i].Path] = true
		}
		for name := range paths {
			if !written[name] && hidden.replaces(name) {
				drop(name)
			}
		}
		for name := range blobs {
			if !kept[name] && hidden.replaces(name) {
				delete(blobs, name)
			}
		}
		for i := range content.Databases {
			database := &content.Databases[i]
			key := database.Path + "\x00" + database.Kind
			before := state[key]
			state[key] = write(before, gone[key], database, number, inv.Image.Layers)
			delete(gone, key)
			if !slices.Contains(paths[database.Path], key) {
				paths[database.Path] = append(paths[database.Path], key)
			}
		}
		for _, blob := range content.Blobs {
			blobs[blob.Path] = LayerBlob{blob, number}
		}
	}
	inv.collect(state, blobs)
}

// write gives a database's state after a layer wrote it.
func write(before, gone *live, database *Database, number int, layers []Layer) *live {
	after := &live{kind: database.Kind, layer: number, build: database.Build, packages: map[string]origin{}, gone: map[string]Previous{}}
	diffID := func(i int) string { return layers[i].DiffID }
	versions := map[string]int{}
	for i := range database.Packages {
		versions[presence(&database.Packages[i])]++
	}
	old := map[string]origin{}
	if before != nil {
		for name, p := range before.gone {
			after.gone[name] = p
		}
		for key, o := range before.packages {
			old[key] = o
		}
	}
	if gone != nil {
		for name, p := range gone.gone {
			after.gone[name] = p
		}
		for _, o := range gone.packages {
			after.gone[presence(&o.installed)] = Previous{Version: o.installed.Version, Layer: o.layer, DiffID: diffID(o.layer), Removed: true}
		}
	}
	earlier := map[string]origin{}
	for _, o := range old {
		earlier[presence(&o.installed)] = o
	}
	for i := range database.Packages {
		p := database.Packages[i]
		key := presence(&p) + "\x00" + p.Version
		if o, ok := old[key]; ok {
			o.installed = p
			after.packages[key] = o
			continue
		}
		o := origin{installed: p, layer: number}
		if was, ok := earlier[presence(&p)]; ok && versions[presence(&p)] == 1 {
			o.previous = &Previous{Version: was.installed.Version, Layer: was.layer, DiffID: diffID(was.layer)}
		} else if was, ok := after.gone[presence(&p)]; ok {
			o.previous = &was
		}
		after.packages[key] = o
	}
	for key, o := range old {
		if _, ok := after.packages[key]; !ok && versions[presence(&o.installed)] == 0 {
			after.gone[presence(&o.installed)] = Previous{Version: o.installed.Version, Layer: o.layer, DiffID: diffID(o.layer), Removed: true}
		}
	}
	return after
}

func (inv *Inventory) collect(state map[string]*live, blobs map[string]LayerBlob) {
	steps := map[int]int{}
	for _, step := range inv.Image.Steps {
		if step.Layer >= 0 {
			steps[step.Layer] = step.Index
		}
	}
	installed := map[string]bool{}
	var keys []string
	for key, l := range state {
		keys = append(keys, key)
		if l.kind != "lockfile" {
			for _, o := range l.packages {
				installed[o.installed.Ecosystem+"\x00"+strings.ToLower(o.installed.Name)+"\x00"+o.installed.Version] = true
			}
		}
	}
	slices.Sort(keys)
	for _, key := range keys {
		l := state[key]
		name, _, _ := strings.Cut(key, "\x00")
		if l.build != nil {
			inv.Builds = append(inv.Builds, BinaryBuild{name, l.layer, *l.build})
		}
		for _, o := range l.packages {
			p := o.installed
			if l.kind == "lockfile" && installed[p.Ecosystem+"\x00"+strings.ToLower(p.Name)+"\x00"+p.Version] {
				continue
			}
			step, known := steps[o.layer]
			if !known {
				step = -1
			}
			ecosystem := p.Ecosystem
			if ecosystem == "" {
				ecosystem = systemEcosystem(l.kind, inv.Release)
			}
			inv.Packages = append(inv.Packages, Package{
				Package: fact.Package{Ecosystem: ecosystem, Name: p.Name, Version: p.Version, PURL: purl(l.kind, ecosystem, &p, inv.Release)},
				Arch:    p.Arch, Source: p.Source, Database: name, Kind: l.kind, Declared: l.kind == "lockfile",
				Layer: o.layer, DiffID: inv.Image.Layers[o.layer].DiffID, Step: step, Previous: o.previous,
			})
		}
	}
	slices.SortFunc(inv.Packages, func(a, b Package) int {
		for _, c := range []int{strings.Compare(a.Ecosystem, b.Ecosystem), strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version), strings.Compare(a.Database, b.Database), strings.Compare(a.Arch, b.Arch)} {
			if c != 0 {
				return c
			}
		}
		return 0
	})
	for _, blob := range blobs {
		inv.Blobs = append(inv.Blobs, blob)
	}
	slices.SortFunc(inv.Blobs, func(a, b LayerBlob) int { return strings.Compare(a.Path, b.Path) })
}

// hiding is what a layer takes away of the layers below it.
type hiding struct {
	whiteouts, opaques map[string]bool
	files              []uint64
}

func newHiding(content *Content) *hiding {
	h := &hiding{map[string]bool{}, map[string]bool{}, content.Files}
	for _, name := range content.Whiteouts {
		h.whiteouts[name] = true
	}
	for _, name := range content.Opaques {
		h.opaques[name] = true
	}
	return h
}

// hides says whether a whiteout or an opaque folder takes a lower path away.
func (h *hiding) hides(name string) bool {
	if len(h.whiteouts)+len(h.opaques) == 0 {
		return false
	}
	if h.whiteouts[name] || h.opaques[""] {
		return true
	}
	for at := strings.LastIndexByte(name, '/'); at > 0; at = strings.LastIndexByte(name[:at], '/') {
		if h.whiteouts[name[:at]] || h.opaques[name[:at]] {
			return true
		}
	}
	return false
}

// replaces says whether the layer has something else at a lower path, or no
// folder any more above it.
func (h *hiding) replaces(name string) bool {
	for {
		if _, found := slices.BinarySearch(h.files, pathHash(name)); found {
			return true
		}
		at := strings.LastIndexByte(name, '/')
		if at <= 0 {
			return false
		}
		name = name[:at]
	}
}

// systemEcosystem is the OSV ecosystem of a system's packages.
func systemEcosystem(kind string, release *Release) string {
	id := ""
	if release != nil {
		id = release.ID
	}
	names := map[string]string{
		"debian": "Debian", "ubuntu": "Ubuntu", "alpine": "Alpine", "wolfi": "Wolfi", "chainguard": "Chainguard", "rhel": "Red Hat", "centos": "Red Hat",
		"rocky": "Rocky Linux", "almalinux": "AlmaLinux", "sles": "SUSE", "opensuse": "openSUSE", "opensuse-leap": "openSUSE", "opensuse-tumbleweed": "openSUSE",
		"amzn": "Amazon Linux", "photon": "Photon OS", "mariner": "Azure Linux", "azurelinux": "Azure Linux", "openEuler": "openEuler", "mageia": "Mageia",
	}
	if name := names[id]; name != "" {
		return name
	}
	switch kind {
	case "dpkg":
		return "Debian"
	case "apk":
		return "Alpine"
	}
	return ""
}

// purl names a package by a package URL.
func purl(kind, ecosystem string, p *Installed, release *Release) string {
	switch kind {
	case "dpkg", "apk", "rpm":
		id, distro := "", ""
		if release != nil && release.ID != "" {
			id, distro = release.ID, release.ID
			if release.Version != "" {
				distro += "-" + release.Version
			}
		}
		kind := map[string]string{"dpkg": "deb", "apk": "apk", "rpm": "rpm"}[kind]
		url := "pkg:" + kind + "/"
		if id != "" {
			url += escape(id) + "/"
		}
		version := p.Version
		var qualifiers []string
		if p.Arch != "" {
			qualifiers = append(qualifiers, "arch="+escape(p.Arch))
		}
		if distro != "" {
			qualifiers = append(qualifiers, "distro="+escape(distro))
		}
		if kind == "rpm" {
			if epoch, rest, ok := strings.Cut(version, ":"); ok {
				version = rest
				qualifiers = append(qualifiers, "epoch="+escape(epoch))
			}
		}
		url += escape(p.Name) + "@" + escape(version)
		if len(qualifiers) > 0 {
			url += "?" + strings.Join(qualifiers, "&")
		}
		return url
	}
	return fact.PURL(ecosystem, p.Name, p.Version)
}

// escape percent-encodes what a package URL does not allow bare.
func escape(text string) string {
	var b strings.Builder
	for i := range len(text) {
		c := text[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9', strings.IndexByte("-._~:", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}
