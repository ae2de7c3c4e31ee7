package image

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/code/dockerfile"
	"github.com/backstitch/backstitch/fact"
)

// Part says whose a layer is.
type Part string

// Parts of an image.
const (
	PartBase    Part = "base"
	PartOwn     Part = "own"
	PartUnknown Part = "unknown"
)

// LayerTrace is one layer with the instruction that made it.
type LayerTrace struct {
	Layer  int    `json:"layer"`
	Step   int    `json:"step"` // index in the history, -1 unknown
	DiffID string `json:"diff_id"`
	Size   int64  `json:"size,omitempty"`
	Part   Part   `json:"part"`
	// CreatedBy is the history's own text.
	CreatedBy string `json:"created_by,omitempty"`
	// Locations are the lines of the instruction; several are a tie. For a
	// layer of the base they are the FROM and the ARG that decide the base.
	Locations []fact.Location `json:"locations,omitempty"`
	// Producers are, for files copied from another stage, the instructions of
	// that stage that made them, or the image that they come from.
	Producers []fact.Location `json:"producers,omitempty"`
	From      string          `json:"from,omitempty"` // image that COPY --from names
	Evidence  *fact.Evidence  `json:"evidence,omitempty"`
}

// Trace is everything that is known about where an image comes from.
type Trace struct {
	Image      *Image
	Inventory  *Inventory
	Builder    Builder
	Bases      []BasePart
	Source     SourceAnswer
	Dockerfile Ranking
	Candidates []Candidate // that Dockerfile's fits index
	Layers     []LayerTrace
}

// Inputs are what a trace may use; every field is optional.
type Inputs struct {
	Cache        Cache
	Bases        BaseIndex
	Provenance   []Provenance
	Repositories []*Repository
}

// Investigate scans an image and traces its layers and its source.
func Investigate(ctx context.Context, image *Image, in Inputs) (*Trace, error) {
	inventory, err := Scan(ctx, image, in.Cache)
	if err != nil {
		return nil, err
	}
	t := &Trace{Image: image, Inventory: inventory}
	t.recognise(in)
	if t.Source, err = FindSource(ctx, inventory, t.Bases, in.Provenance, in.Repositories); err != nil {
		return nil, err
	}
	t.rank(in)
	return t, nil
}

// InvestigateHistory traces the layers of an image of which only the configuration
// is known, so that nothing is said of its packages and of their files.
func InvestigateHistory(image *Image, in Inputs) *Trace {
	t := &Trace{Image: image, Inventory: &Inventory{}}
	t.recognise(in)
	t.rank(in)
	return t
}

// recognise finds the bases of the image and what built the part above them.
func (t *Trace) recognise(in Inputs) {
	image := t.Image
	t.Bases = withProvenance(FindBases(image, in.Bases, t.Inventory), in.Provenance)
	own := image.Steps
	if len(t.Bases) > 0 && t.Bases[0].Layers > 0 {
		own = stepsAbove(image.Steps, t.Bases[0].Layers)
	}
	if len(own) == 0 {
		own = image.Steps
	}
	t.Builder = RecogniseBuilder(own, image.Config.Config.Labels)
}

// rank finds the Dockerfile and leads each layer to its lines.
func (t *Trace) rank(in Inputs) {
	exact := t.exactDockerfile(in.Provenance)
	if exact == nil {
		t.Candidates = t.within(in.Repositories)
	}
	t.Dockerfile = Rank(t.Image.Steps, t.Candidates, baseName(t.Bases))
	if exact != nil && len(t.Dockerfile.Best) > 0 {
		t.Dockerfile.Answered, t.Dockerfile.Reason = true, ""
	}
	t.traceLayers(exact)
}

// stepsAbove are the steps behind the first n layers; steps that made no layer
// right behind the base's last layer may be either's and count as the base's
// only when nothing else follows.
func stepsAbove(steps []Step, n int) []Step {
	for i, step := range steps {
		if step.Layer >= n {
			return steps[i:]
		}
	}
	return nil
}

// within gives the Dockerfiles of the repositories that stronger evidence
// names; of all when it names none.
func (t *Trace) within(repositories []*Repository) []Candidate {
	var named, all []Candidate
	for _, r := range repositories {
		all = append(all, r.Dockerfiles...)
		for _, s := range t.Source.Best {
			if s.Repository == r.Name && strengthRank[s.Strength] > strengthRank[fact.Derived] {
				named = append(named, r.Dockerfiles...)
				break
			}
		}
	}
	if len(named) > 0 {
		return named
	}
	return all
}

// exactDockerfile takes the Dockerfile that a provenance holds as the only
// candidate.
func (t *Trace) exactDockerfile(provenance []Provenance) *Provenance {
	for i := range provenance {
		p := &provenance[i]
		if len(p.Dockerfile) == 0 {
			continue
		}
		if best := t.Source.Best; len(best) > 0 && p.Repository != "" && !slices.ContainsFunc(best, func(s Source) bool { return s.Repository == CanonicalRepository(p.Repository) }) {
			t.Inventory.Gaps = append(t.Inventory.Gaps, fmt.Sprintf("%s: its Dockerfile is of %s, stronger evidence names %s", p.Source, p.Repository, best[0].Repository))
			continue
		}
		name := p.Path
		if name == "" {
			name = "Dockerfile"
		}
		file, err := dockerfile.Parse(name, p.Dockerfile)
		if err != nil {
			t.Inventory.Gaps = append(t.Inventory.Gaps, "provenance: "+err.Error())
			continue
		}
		t.Candidates = []Candidate{{p.Repository, p.Commit, name, file}}
		return p
	}
	return nil
}

func (t *Trace) traceLayers(exact *Provenance) {
	image := t.Image
	byLayer := map[int]*Step{}
	for i := range image.Steps {
		if image.Steps[i].Layer >= 0 {
			byLayer[image.Steps[i].Layer] = &image.Steps[i]
		}
	}
	base := -1 // number of layers of the base, -1 unknown
	if len(t.Bases) > 0 && t.Bases[0].Layers > 0 {
		base = t.Bases[0].Layers
	}
	if base < 0 && t.Dockerfile.Answered {
		first := t.Dockerfile.Best[0].Alignment.First
		base = 0
		for _, step := range image.Steps[:min(first, len(image.Steps))] {
			if step.Layer >= 0 {
				base = step.Layer + 1
			}
		}
	}
	for i, layer := range image.Layers {
		lt := LayerTrace{Layer: i, Step: -1, DiffID: layer.DiffID, Size: layer.Size, Part: PartUnknown}
		if step := byLayer[i]; step != nil {
			lt.Step, lt.CreatedBy = step.Index, step.Raw
		}
		if base >= 0 {
			lt.Part = PartOwn
			if i < base {
				lt.Part = PartBase
			}
		}
		if exact != nil {
			lines, ok := exact.Layers[layer.DiffID]
			if !ok {
				lines, ok = exact.Layers[layer.Digest]
			}
			if ok {
				c := t.Candidates[0]
				lt.Part = PartOwn
				lt.Locations = []fact.Location{{Repository: c.Repository, Commit: c.Commit, Path: c.Path, Line: lines.Line, EndLine: lines.EndLine}}
				lt.Evidence = &fact.Evidence{Method: "provenance layers and locations", Source: exact.Source, Strength: fact.Attested}
				if exact.Signed {
					lt.Evidence.Strength = fact.Proven
				}
			}
		}
		if lt.Evidence == nil && t.Dockerfile.Answered {
			t.align(&lt)
		}
		t.Layers = append(t.Layers, lt)
	}
}

// align leads one layer to lines of the best Dockerfiles.
func (t *Trace) align(lt *LayerTrace) {
	evidence := &fact.Evidence{Method: "aligned history", Strength: fact.Derived}
	for _, fit := range t.Dockerfile.Best {
		c := t.Candidates[fit.Candidate]
		at := func(line, end int) fact.Location {
			return fact.Location{Repository: c.Repository, Commit: c.Commit, Path: c.Path, Line: line, EndLine: end}
		}
		evidence.Source = c.Path
		if lt.Part == PartBase {
			ref := c.File.Stages[c.File.Root(fit.Stage)].Base
			for _, arg := range ref.Args {
				lt.Locations = append(lt.Locations, at(arg.Line, arg.Line))
			}
			lt.Locations = append(lt.Locations, at(ref.Line, ref.EndLine))
			evidence.Detail = "base image " + ref.Image
			continue
		}
		for _, match := range fit.Alignment.Matches {
			if t.Image.Steps[match.Step].Layer != lt.Layer {
				continue
			}
			for _, in := range match.Instructions {
				lt.Locations = append(lt.Locations, at(in.Line, in.EndLine))
				evidence.Detail = fmt.Sprintf("similarity %.2f, margin to the next file %.2f", match.Similarity, t.Dockerfile.Margin)
				if in.FromStage >= 0 {
					for _, producer := range Producers(c.File, in.Instruction) {
						lt.Producers = append(lt.Producers, at(producer.Line, producer.EndLine))
					}
				} else if in.From != "" {
					lt.From = in.From
				}
			}
		}
	}
	if len(lt.Locations) > 0 {
		lt.Evidence = evidence
	}
}

// Producers are the instructions of the stage that a COPY --from takes its
// files from that made them: those that write or name a copied path, else the
// last one that may have. Copies from further stages are followed.
func Producers(file *dockerfile.File, in *dockerfile.Instruction) []dockerfile.Step {
	seen := map[*dockerfile.Instruction]bool{}
	var walk func(in *dockerfile.Instruction) []dockerfile.Step
	walk = func(in *dockerfile.Instruction) []dockerfile.Step {
		if in.FromStage < 0 || seen[in] || len(seen) > 100 {
			return nil
		}
		seen[in] = true
		chain := file.Chain(in.FromStage)
		var found []dockerfile.Step
		for _, source := range in.Sources {
			for i := len(chain) - 1; i >= 0; i-- {
				if !makes(chain[i].Instruction, source) {
					continue
				}
				if chain[i].FromStage >= 0 {
					found = append(found, walk(chain[i].Instruction)...)
				}
				found = append(found, chain[i])
				break
			}
		}
		if len(found) == 0 {
			for i := len(chain) - 1; i >= 0; i-- {
				if kind := chain[i].Kind; kind == "RUN" || kind == "COPY" || kind == "ADD" {
					return []dockerfile.Step{chain[i]}
				}
			}
		}
		return found
	}
	return walk(in)
}

// makes says whether an instruction writes a path, as far as its text tells.
func makes(in *dockerfile.Instruction, name string) bool {
	name = strings.TrimSuffix(name, "/")
	switch in.Kind {
	case "COPY", "ADD":
		dest := strings.TrimSuffix(in.Dest, "/")
		if dest == name || dest != "" && strings.HasPrefix(name, dest+"/") && !in.JSON || dest != "" && strings.HasPrefix(dest, name+"/") {
			for _, source := range in.Sources {
				if dest == name || path.Join(dest, path.Base(source)) == name || strings.HasSuffix(source, "/") || source == "." || !strings.Contains(path.Base(source), ".") {
					return true
				}
			}
		}
	case "RUN":
		if name == "" || name == "." {
			return false
		}
		return strings.Contains(in.Text, name) || len(path.Base(name)) > 3 && strings.Contains(in.Text, path.Base(name)) && strings.Contains(in.Text, " -o ")
	}
	return false
}

// PackageTrace is one package with the way to the line that brought it.
type PackageTrace struct {
	Package Package    `json:"package"`
	Part    Part       `json:"part"`
	Cause   fact.Cause `json:"cause"`
}

// Package leads a package to its layer, its instruction and the lines to change.
func (t *Trace) Package(p Package) PackageTrace {
	how := fact.Evidence{Method: "layer replay", Source: p.Database, Strength: fact.Attested, Detail: "its present continuous presence begins here"}
	if p.Declared {
		how.Detail = "declared in a lockfile, not installed"
	}
	return PackageTrace{Package: p, Part: t.Layers[p.Layer].Part, Cause: t.Layer(p.Layer, how)}
}

// Layer leads a layer to its instruction and the lines to change; how says why it
// is looked at.
func (t *Trace) Layer(index int, how fact.Evidence) fact.Cause {
	layer := t.Layers[index]
	cause := fact.Cause{Status: fact.CauseUnknown}
	cause.Chain = append(cause.Chain, fact.Link{Kind: "layer", Key: layer.DiffID, Evidence: how})
	if layer.CreatedBy != "" {
		cause.Chain = append(cause.Chain, fact.Link{Kind: "instruction", Key: dockerfile.Space(layer.CreatedBy), Evidence: fact.Evidence{Method: "image history", Source: fmt.Sprintf("history[%d]", layer.Step), Strength: fact.Declared}})
	}
	if layer.Part == PartBase && len(t.Bases) > 0 {
		cause.Chain = append(cause.Chain, fact.Link{Kind: "base image", Key: strings.Join(t.Bases[0].Names, ", "), Evidence: t.Bases[0].Evidence})
	}
	cause.Locations = layer.Locations
	if layer.Evidence != nil {
		for _, location := range layer.Locations {
			cause.Chain = append(cause.Chain, fact.Link{Kind: "dockerfile", Key: location.Path, Location: location, Evidence: *layer.Evidence})
		}
		for _, location := range layer.Producers {
			cause.Chain = append(cause.Chain, fact.Link{Kind: "producing stage", Key: location.Path, Location: location, Evidence: *layer.Evidence})
		}
		cause.Status = fact.CauseFound
		if len(layer.Locations) > 1 && layer.Part != PartBase || len(t.Dockerfile.Best) > 1 {
			cause.Status = fact.CauseAmbiguous
		}
	} else {
		switch {
		case !t.Builder.Dockerfile && t.Builder.Name != "":
			cause.Missing = append(cause.Missing, fmt.Sprintf("made by %s without a Dockerfile: look at %s", t.Builder.Name, t.Builder.Source))
		case t.Dockerfile.Reason != "":
			cause.Missing = append(cause.Missing, t.Dockerfile.Reason)
		default:
			cause.Missing = append(cause.Missing, "no instruction of the Dockerfile fits this layer")
		}
		cause.Missing = append(cause.Missing, t.Source.Missing...)
	}
	return cause
}
