// Package registry brings the images of registries, of folders with OCI layouts
// and of archives of docker save: their layers, labels, platforms and packages,
// and what their labels declare of base and source.
package registry

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/connector"
	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/image"
)

// ID names the source.
const ID = "connector/registry"

type source struct{ cache image.Cache }

// New makes the source of images; cache keeps what layers hold and may be nil.
func New(cache image.Cache) connector.Source { return source{cache} }

func (source) Describe() connector.Description {
	return connector.Description{
		ID: ID, Name: "image registry",
		Docs: "Images of registries, with the credentials that docker login left, or of folders and archives: layers, platforms, labels, packages, and what labels declare of base and source.",
	}
}

func (source) Settings() []connector.Setting {
	return []connector.Setting{
		{Name: "images", Kind: connector.SettingList, Help: "references of images, for example ghcr.io/acme/shop:1.4"},
		{Name: "repositories", Kind: connector.SettingList, Help: "repositories of which every tag is read"},
		{Name: "tags", Kind: connector.SettingText, Default: "*", Help: "which tags of the repositories are read, with * for anything"},
		{Name: "path", Kind: connector.SettingPath, Help: "a folder with an OCI layout, an archive of docker save, or a folder of such"},
		{Name: "packages", Kind: connector.SettingChoice, Default: "yes", Choices: []string{"yes", "no"}, Help: "whether layers are read for their packages"},
	}
}

// Sync implements connector.Source. Each reference or file is a scope.
func (s source) Sync(ctx context.Context, values connector.Values, sink connector.Sink) error {
	references := values.List("images")
	for _, repository := range values.List("repositories") {
		tags, err := image.Tags(ctx, repository)
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			sink.Gap(repository, err)
			continue
		}
		for _, tag := range tags {
			ok, err := filepath.Match(values["tags"], tag)
			if err != nil {
				return fmt.Errorf("setting tags: %w", err)
			}
			if ok {
				references = append(references, repository+":"+tag)
			}
		}
	}
	files, err := places(values["path"])
	if err != nil {
		return fmt.Errorf("setting path: %w", err)
	}
	references = append(references, files...)
	if len(references) == 0 && len(values.List("repositories")) == 0 {
		return errors.New("settings images, repositories and path: expected one of them")
	}
	for i, reference := range references {
		if err := ctx.Err(); err != nil {
			return err
		}
		sink.Progress("images", i, len(references))
		if sink.Done(reference) {
			continue
		}
		if err := s.reference(ctx, reference, values["packages"] == "yes", sink); err != nil {
			return err
		}
	}
	return nil
}

// places lists the images below a path: itself, or each entry of a folder that
// holds no layout itself.
func places(at string) ([]string, error) {
	if at == "" {
		return nil, nil
	}
	info, err := os.Stat(at)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{at}, nil
	}
	if _, err := os.Stat(filepath.Join(at, "index.json")); err == nil {
		return []string{at}, nil
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	entries, err := os.ReadDir(at)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, entry := range entries {
		name := entry.Name()
		if entry.IsDir() || entry.Type().IsRegular() && (strings.HasSuffix(name, ".tar") || strings.HasSuffix(name, ".tar.gz") || strings.HasSuffix(name, ".tgz")) {
			list = append(list, filepath.Join(at, name))
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s holds no OCI layout and no .tar", at)
	}
	return list, nil
}

// reference reads one reference; what fails is a gap of its scope, an error is
// the sink's.
func (s source) reference(ctx context.Context, reference string, packages bool, sink connector.Sink) error {
	set, err := image.Open(ctx, reference)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		sink.Gap(reference, err)
		return nil
	}
	defer set.Close()
	complete := true
	gap := func(err error) {
		complete = false
		sink.Gap(reference, err)
	}
	for _, problem := range set.Problems {
		gap(errors.New(problem))
	}
	for _, one := range set.Images {
		asset, err := tell(reference, one, sink)
		if err != nil {
			return err
		}
		if !packages {
			continue
		}
		inventory, err := image.Scan(ctx, one, s.cache)
		if err != nil {
			return err
		}
		for _, text := range inventory.Gaps {
			gap(errors.New(text))
		}
		if err := tellPackages(reference, asset, inventory, sink); err != nil {
			return err
		}
	}
	if !complete {
		return nil
	}
	return sink.Covered(reference)
}

// tell gives an image with its layers and what its labels declare.
func tell(scope string, one *image.Image, sink connector.Sink) (fact.Asset, error) {
	key := one.Digest
	if key == "" {
		key = one.ConfigID
	}
	asset := fact.Asset{Kind: fact.AssetImage, Key: key, Name: scope}
	nodes, relations := image.Facts(asset, one)
	for _, node := range nodes {
		if err := sink.Node(scope, node); err != nil {
			return asset, err
		}
	}
	for _, relation := range relations {
		if err := sink.Relation(scope, relation); err != nil {
			return asset, err
		}
	}
	for _, base := range image.FindBases(one, nil, nil) {
		name := strings.Join(base.Names, ", ")
		key := base.Digest
		if key == "" {
			key = name
		}
		if name == "" {
			name = key
		}
		to := fact.Asset{Kind: fact.AssetImage, Key: key, Name: name}
		if err := sink.Node(scope, fact.Node{Asset: to}); err != nil {
			return asset, err
		}
		if err := relate(sink, scope, asset, fact.BuiltFrom, to, base.Evidence, nil); err != nil {
			return asset, err
		}
	}
	return asset, nil
}

func relate(sink connector.Sink, scope string, from fact.Asset, kind fact.RelationKind, to fact.Asset, evidence fact.Evidence, properties map[string]string) error {
	return sink.Relation(scope, fact.Relation{From: from, Kind: kind, To: to, Evidence: evidence, Properties: properties})
}

// tellPackages gives the installed packages, each with the layer in which its
// present presence began.
func tellPackages(scope string, asset fact.Asset, inventory *image.Inventory, sink connector.Sink) error {
	type edge struct{ purl, layer string }
	places := map[edge][]string{}
	var order []edge
	named := map[string]string{}
	for _, p := range inventory.Packages {
		if p.Declared || p.PURL == "" {
			continue
		}
		e := edge{p.PURL, p.DiffID}
		if places[e] == nil {
			order = append(order, e)
		}
		if !slices.Contains(places[e], p.Database) {
			places[e] = append(places[e], p.Database)
		}
		named[p.PURL] = p.Name + " " + p.Version
	}
	told := map[string]bool{}
	for _, e := range order {
		pkg := fact.Asset{Kind: fact.AssetPackage, Key: e.purl, Name: named[e.purl]}
		if !told[e.purl] {
			told[e.purl] = true
			if err := sink.Node(scope, fact.Node{Asset: pkg}); err != nil {
				return err
			}
		}
		paths := places[e]
		layer := fact.Asset{Kind: fact.AssetLayer, Key: e.layer, Name: e.layer}
		evidence := fact.Evidence{Method: "layer replay", Source: strings.Join(paths[:min(len(paths), 5)], ", "), Strength: fact.Attested}
		if err := relate(sink, scope, pkg, fact.InstalledIn, layer, evidence, map[string]string{"image": asset.Key}); err != nil {
			return err
		}
	}
	return nil
}
