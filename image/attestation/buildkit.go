package attestation

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/image"
)

// buildRequest is what BuildKit was asked for.
type buildRequest struct {
	Frontend string            `json:"frontend"`
	Args     map[string]string `json:"args"`
}

// buildConfig is the graph of steps that BuildKit ran.
type buildConfig struct {
	Steps []buildStep `json:"llbDefinition"`
}

type buildStep struct {
	ID string `json:"id"`
	Op struct {
		Op struct {
			Source struct {
				Identifier string `json:"identifier"`
			} `json:"source,case:ignore"`
		} `json:"Op,case:ignore"`
	} `json:"op"`
	Inputs []string `json:"inputs"`
}

// buildKitMetadata is what BuildKit adds to provenance of mode max: lines of each
// step, the file they are of, and the layers that the steps made.
type buildKitMetadata struct {
	VCS    map[string]string `json:"vcs"`
	Source struct {
		Locations map[string]struct {
			Locations []location `json:"locations"`
		} `json:"locations"`
		Infos []struct {
			Filename string `json:"filename"`
			Language string `json:"language"`
			Data     []byte `json:"data"`
		} `json:"infos"`
	} `json:"source"`
	// Layers leads from the output of a step, "step3:0", to the layers that make
	// it, those of the steps before included.
	Layers map[string][][]image.Descriptor `json:"layers"`
}

type location struct {
	Source int `json:"sourceIndex"`
	Ranges []struct {
		Start struct {
			Line int `json:"line"`
		} `json:"start"`
		End struct {
			Line int `json:"line"`
		} `json:"end"`
	} `json:"ranges"`
}

// buildKit is BuildKit's provenance, of either version of SLSA.
type buildKit struct {
	metadata  buildKitMetadata
	config    buildConfig
	source    material
	request   buildRequest
	materials []material
	builder   string
}

const maxSteps = 10000

// fill completes the provenance with what BuildKit alone knows.
func (k *buildKit) fill(p *image.Provenance, of *image.Image) error {
	if len(k.config.Steps) > maxSteps || len(k.metadata.Layers) > maxSteps {
		return fmt.Errorf("more than %d build steps", maxSteps)
	}
	if strings.HasPrefix(k.builder, "https://") {
		p.Run = k.builder
	}
	file := cmp.Or(k.source.EntryPoint, k.source.Path, k.request.Args["filename"], "Dockerfile")
	vcs := k.metadata.VCS
	if k.source.URI == "" {
		// A build of a local folder: what the client said of the folder's repository.
		p.Repository, p.Commit = image.CanonicalRepository(vcs["source"]), ""
		if commitForm.MatchString(vcs["revision"]) {
			p.Commit = vcs["revision"]
		}
		if folder, ok := vcs["localdir:dockerfile"]; ok {
			p.Path = within(folder, file)
		}
	} else {
		_, fragment, _ := strings.Cut(k.source.URI, "#")
		_, folder, _ := strings.Cut(fragment, ":")
		p.Path = within(folder, file)
	}
	if infos := k.metadata.Source.Infos; len(infos) > 0 && (infos[0].Language == "" || infos[0].Language == "Dockerfile") {
		p.Dockerfile = infos[0].Data
		if p.Path == "" && p.Repository == "" {
			p.Path = within(infos[0].Filename)
		}
		p.Layers = k.layers()
	}
	k.base(p, of)
	return nil
}

// layers leads from layers to the lines of the step that made each: the step
// whose output ends with the layer while none of its inputs has it. A layer that
// steps of different lines made alike is left out.
func (k *buildKit) layers() map[string]image.Lines {
	type made struct {
		lines image.Lines
		tie   bool
	}
	found := map[string]made{}
	has := map[string]map[string]bool{}
	for output, chains := range k.metadata.Layers {
		has[output] = map[string]bool{}
		for _, chain := range chains {
			for _, layer := range chain {
				has[output][layer.Digest] = true
			}
		}
	}
	for _, step := range k.config.Steps {
		lines, ok := k.lines(step.ID)
		if !ok || step.Op.Op.Source.Identifier != "" {
			continue
		}
		for _, output := range slices.Sorted(maps.Keys(k.metadata.Layers)) {
			if id, _, _ := strings.Cut(output, ":"); id != step.ID {
				continue
			}
			for _, chain := range k.metadata.Layers[output] {
				if len(chain) == 0 {
					continue
				}
				digest := chain[len(chain)-1].Digest
				if slices.ContainsFunc(step.Inputs, func(input string) bool { return has[input][digest] }) {
					continue
				}
				before, seen := found[digest]
				found[digest] = made{lines, before.tie || seen && before.lines != lines}
			}
		}
	}
	layers := map[string]image.Lines{}
	for digest, m := range found {
		if !m.tie {
			layers[digest] = m.lines
		}
	}
	return layers
}

// lines gives the one range of lines of a step in the first file.
func (k *buildKit) lines(step string) (image.Lines, bool) {
	last := bytes.Count(k.metadata.Source.Infos[0].Data, []byte("\n")) + 1
	locations := k.metadata.Source.Locations[step].Locations
	if len(locations) != 1 || locations[0].Source != 0 || len(locations[0].Ranges) == 0 {
		return image.Lines{}, false
	}
	var lines image.Lines
	for _, r := range locations[0].Ranges {
		if r.Start.Line < 1 || r.End.Line < r.Start.Line || r.End.Line > last {
			return image.Lines{}, false
		}
		if lines.Line == 0 || r.Start.Line < lines.Line {
			lines.Line = r.Start.Line
		}
		lines.EndLine = max(lines.EndLine, r.End.Line)
	}
	return lines, true
}

// base finds the image that was built on: the source whose layers are the longest
// beginning of the image's own, else the only image among the materials.
func (k *buildKit) base(p *image.Provenance, of *image.Image) {
	best, identifier := 0, ""
	for _, step := range k.config.Steps {
		name, ok := strings.CutPrefix(step.Op.Op.Source.Identifier, "docker-image://")
		if !ok || of == nil {
			continue
		}
		for _, chain := range k.metadata.Layers[step.ID+":0"] {
			if len(chain) > best && len(chain) <= len(of.Layers) && startsWith(of.Layers, chain) {
				best, identifier = len(chain), name
			}
		}
	}
	if best > 0 {
		name, digest, _ := strings.Cut(identifier, "@")
		p.Bases, p.BaseLayers = []image.Descriptor{named(name, digest)}, best
		return
	}
	var images []image.Descriptor
	for _, m := range k.materials {
		name := imageOf(m.URI)
		if name == "" || k.frontend(name) {
			continue
		}
		digest := ""
		if sum := m.Digest["sha256"]; len(sum) == 64 {
			digest = "sha256:" + sum
		}
		images = append(images, named(name, digest))
	}
	if len(images) == 1 {
		p.Bases = images
	}
}

func named(name, digest string) image.Descriptor {
	return image.Descriptor{Digest: digest, Annotations: map[string]string{"org.opencontainers.image.ref.name": name}}
}

// frontend says whether an image is the program that read the Dockerfile.
func (k *buildKit) frontend(name string) bool {
	for _, arg := range []string{"source", "cmdline"} {
		if fields := strings.Fields(k.request.Args[arg]); len(fields) > 0 {
			asked, _, _ := strings.Cut(strings.TrimPrefix(fields[0], "docker.io/"), "@")
			if asked == name || asked+":latest" == name {
				return true
			}
		}
	}
	return false
}

func startsWith(layers []image.Layer, chain []image.Descriptor) bool {
	for i, layer := range chain {
		if layers[i].Digest != layer.Digest && layers[i].DiffID != layer.Digest {
			return false
		}
	}
	return true
}
