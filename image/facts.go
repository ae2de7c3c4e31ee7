package image

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/backstitch/backstitch/fact"
)

// FromConfig reads an image of which only the configuration is known: its history
// and the ids of its layers, not their contents.
func FromConfig(asset fact.Asset, data []byte) (*Image, error) {
	if len(data) > maxConfig {
		return nil, fmt.Errorf("configuration of %s: larger than %d MiB", asset.Name, maxConfig>>20)
	}
	one := &Image{Reference: asset.Name}
	if err := json.Unmarshal(data, &one.Config); err != nil {
		return nil, fmt.Errorf("configuration of %s: %w", asset.Name, err)
	}
	if strings.HasPrefix(asset.Key, "sha256:") {
		one.Digest = asset.Key
	}
	one.Platform = Platform{one.Config.OS, one.Config.Architecture, one.Config.Variant}
	for _, id := range one.Config.RootFS.DiffIDs {
		one.Layers = append(one.Layers, Layer{DiffID: id})
	}
	if n := len(one.Layers); n == 0 || n > maxLayers {
		return nil, fmt.Errorf("configuration of %s: %d layers in rootfs.diff_ids, expected 1 to %d", asset.Name, n, maxLayers)
	}
	one.Steps = ParseHistory(one.Config.History, len(one.Layers))
	return one, nil
}

// Facts tells an image to a graph: the image with its labels and its history, and
// its layers, each with what made it. What FromFacts needs is among the properties.
func Facts(asset fact.Asset, one *Image) ([]fact.Node, []fact.Relation) {
	properties := map[string]string{"platform": one.Platform.String(), "reference": one.Reference}
	set := func(name, value string) {
		if value != "" {
			properties[name] = value
		}
	}
	set("digest", one.Digest)
	set("config", one.ConfigID)
	set("tags", strings.Join(one.Tags, ", "))
	set("builder", RecogniseBuilder(one.Steps, one.Config.Config.Labels).Name)
	for name, value := range one.Config.Config.Labels {
		properties["label:"+name] = value
	}
	var empty, buildkit, ids []string
	for i, entry := range one.Config.History {
		properties[fmt.Sprintf("history:%03d", i)] = entry.CreatedBy
		if entry.EmptyLayer {
			empty = append(empty, strconv.Itoa(i))
		}
		if strings.HasPrefix(entry.Comment, buildkitComment) {
			buildkit = append(buildkit, strconv.Itoa(i))
		}
	}
	set("empty_layers", strings.Join(empty, " "))
	set("buildkit_steps", strings.Join(buildkit, " "))
	made := map[int]Step{}
	for _, step := range one.Steps {
		if step.Layer >= 0 {
			made[step.Layer] = step
		}
	}
	nodes := []fact.Node{{Asset: asset, Properties: properties}}
	var relations []fact.Relation
	for i, layer := range one.Layers {
		again := slices.Contains(ids, layer.DiffID) // an empty one often stands in an image twice
		ids = append(ids, layer.DiffID)
		if again {
			continue
		}
		to := fact.Asset{Kind: fact.AssetLayer, Key: layer.DiffID, Name: layer.DiffID}
		nodes = append(nodes, fact.Node{Asset: to})
		about := map[string]string{"index": strconv.Itoa(i)}
		if step, ok := made[i]; ok {
			about["history"], about["created_by"] = strconv.Itoa(step.Index), step.Raw
		}
		relations = append(relations, fact.Relation{
			From: asset, Kind: fact.HasLayer, To: to, Properties: about,
			Evidence: fact.Evidence{Method: "image configuration", Source: asset.Key, Strength: fact.Proven},
		})
	}
	set("diff_ids", strings.Join(ids, " "))
	return nodes, relations
}

// FromFacts gives an image as the properties of its node tell it; false when they
// do not hold its history.
func FromFacts(asset fact.Asset, properties map[string]string) (*Image, bool) {
	one := &Image{Reference: asset.Name, Digest: properties["digest"], ConfigID: properties["config"]}
	for _, id := range strings.Fields(properties["diff_ids"]) {
		one.Config.RootFS.DiffIDs = append(one.Config.RootFS.DiffIDs, id)
		one.Layers = append(one.Layers, Layer{DiffID: id})
	}
	empty, buildkit := strings.Fields(properties["empty_layers"]), strings.Fields(properties["buildkit_steps"])
	for i := 0; ; i++ {
		text, ok := properties[fmt.Sprintf("history:%03d", i)]
		if !ok {
			break
		}
		entry := HistoryEntry{CreatedBy: text, EmptyLayer: slices.Contains(empty, strconv.Itoa(i))}
		if slices.Contains(buildkit, strconv.Itoa(i)) {
			entry.Comment = buildkitComment
		}
		one.Config.History = append(one.Config.History, entry)
	}
	if len(one.Layers) == 0 || len(one.Config.History) == 0 {
		return nil, false
	}
	one.Config.Config.Labels = map[string]string{}
	for name, value := range properties {
		if label, ok := strings.CutPrefix(name, "label:"); ok {
			one.Config.Config.Labels[label] = value
		}
	}
	one.Steps = ParseHistory(one.Config.History, len(one.Layers))
	return one, true
}
