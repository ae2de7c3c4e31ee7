package attestation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"github.com/backstitch/backstitch/image"
)

// maxBeside bounds the manifests that are read beside one image, and the layers of
// each; together they may be as large as a file.
const maxBeside = 100

// Beside reads the attestations that stand beside an image: BuildKit's manifests
// in an index, referrers of a layout or a registry, and cosign's older form. What
// could not be read is named.
func Beside(ctx context.Context, of *image.Image) (found []*Attestation, problems []string, err error) {
	descriptors, err := of.Referrers(ctx)
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	if err != nil {
		problems = append(problems, err.Error())
	}
	if len(descriptors) > maxBeside {
		problems = append(problems, fmt.Sprintf("%d manifests speak of the image; the first %d were read", len(descriptors), maxBeside))
		descriptors = descriptors[:maxBeside]
	}
	left := int64(maxFile)
	for _, d := range descriptors {
		some, err := readManifest(ctx, of, d.Digest, &left)
		if ctx.Err() != nil {
			return nil, nil, ctx.Err()
		}
		if err != nil {
			problems = append(problems, fmt.Sprintf("attestation manifest %s: %v", d.Digest, err))
		}
		found = append(found, some...)
	}
	return found, problems, nil
}

// kindAnnotations are where a layer says what kind of predicate it holds: BuildKit,
// cosign's older form, Sigstore.
var kindAnnotations = []string{"in-toto.io/predicate-type", "predicateType", "dev.sigstore.bundle.predicateType"}

// readManifest reads the attestations of a manifest; left is how many bytes may
// still be read.
func readManifest(ctx context.Context, of *image.Image, digest string, left *int64) ([]*Attestation, error) {
	data, err := of.Manifest(ctx, digest)
	if err != nil {
		return nil, err
	}
	var manifest struct {
		Layers []image.Descriptor `json:"layers"`
	}
	if err := json.Unmarshal(data, &manifest); err != nil {
		return nil, fmt.Errorf("expected JSON: %w", err)
	}
	var found []*Attestation
	var failed []error
	for _, layer := range manifest.Layers[:min(len(manifest.Layers), maxBeside)] {
		// Lists of packages and verdicts say nothing of the source.
		if slices.ContainsFunc(kindAnnotations, func(name string) bool {
			kind := layer.Annotations[name]
			return kind != "" && !strings.HasPrefix(kind, "https://slsa.dev/provenance/")
		}) {
			continue
		}
		envelope := layer.MediaType == mediaDSSE
		if !envelope && layer.MediaType != payloadInToto && !strings.HasPrefix(layer.MediaType, bundleType) {
			continue
		}
		data, err := of.Blob(ctx, layer.Digest, min(maxDocument, *left))
		if err != nil {
			failed = append(failed, err)
			continue
		}
		*left -= int64(len(data))
		if envelope {
			found = append(found, readCosign(layer.Digest, data, layer.Annotations))
		} else {
			found = append(found, readDocument(layer.Digest, data)...)
		}
	}
	return found, errors.Join(failed...)
}

// Gathered is the provenance of an image that is believed.
type Gathered struct {
	Provenance []image.Provenance
	Results    []*Result
	// Problems are what stands beside the image and was not read or is not believed.
	Problems []string
}

// Gather verifies attestations of files, given by name, and those that stand
// beside an image. One of a file that is refused, or that is no provenance, is an
// error; one beside the image that is refused is named and left out. What stands
// beside it without a signature is attested. What is proven comes first.
func Gather(ctx context.Context, of *image.Image, files []*Attestation, policy Policy) (*Gathered, error) {
	if err := policy.Check(); err != nil {
		return nil, err
	}
	g := &Gathered{}
	digests := of.Within
	if of.Digest != "" {
		digests = append([]string{of.Digest}, digests...)
	}
	if len(digests) == 0 {
		if len(files) > 0 {
			return nil, fmt.Errorf("%w: the image has no digest, as archives of docker save have none", ErrSubject)
		}
		return g, nil
	}
	for _, a := range files {
		r := a.Verify(policy, digests)
		g.Results = append(g.Results, r)
		if r.Err != nil {
			return g, fmt.Errorf("%s: %w", r.Name, r.Err)
		}
		p, ok, err := r.Provenance(of)
		if err != nil {
			return g, fmt.Errorf("%s: %w", r.Name, err)
		}
		if !ok {
			return g, fmt.Errorf("%s: %s says nothing of how the image was built", r.Name, cut(r.PredicateType))
		}
		g.Provenance = append(g.Provenance, p)
	}
	beside, problems, err := Beside(ctx, of)
	if err != nil {
		return nil, err
	}
	g.Problems = problems
	for _, a := range beside {
		r := a.Verify(policy, digests)
		if errors.Is(r.Err, ErrUnsigned) {
			r = a.Verify(Policy{}, digests)
		}
		g.Results = append(g.Results, r)
		if r.Err != nil {
			g.Problems = append(g.Problems, fmt.Sprintf("attestation %s is refused: %v", r.Name, r.Err))
			continue
		}
		p, ok, err := r.Provenance(of)
		if err != nil {
			g.Problems = append(g.Problems, fmt.Sprintf("attestation %s is refused: %v", r.Name, err))
		} else if ok {
			g.Provenance = append(g.Provenance, p)
		}
	}
	slices.SortStableFunc(g.Provenance, func(a, b image.Provenance) int {
		switch {
		case a.Signed == b.Signed:
			return 0
		case a.Signed:
			return -1
		}
		return 1
	})
	return g, nil
}
