package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

// registry is a repository of a registry.
type registry struct {
	repository name.Repository
	options    []remote.Option
}

func (r *registry) open(ctx context.Context, digest string, manifest bool) (io.ReadCloser, error) {
	options := append([]remote.Option{remote.WithContext(ctx)}, r.options...)
	ref := r.repository.Digest(digest)
	if manifest {
		d, err := remote.Get(ref, options...)
		if err != nil {
			return nil, err
		}
		return io.NopCloser(strings.NewReader(string(d.Manifest))), nil
	}
	layer, err := remote.Layer(ref, options...)
	if err != nil {
		return nil, err
	}
	return layer.Compressed()
}

// referrers asks the registry for what refers to a manifest: by its referrers
// interface or the tag that stands for it, and by the tag of cosign's older form.
func (r *registry) referrers(ctx context.Context, digest string) ([]Descriptor, error) {
	if !digestForm.MatchString(digest) {
		return nil, nil
	}
	options := append([]remote.Option{remote.WithContext(ctx)}, r.options...)
	var found []Descriptor
	var failed []error
	index, err := remote.Referrers(r.repository.Digest(digest), options...)
	if err == nil {
		var list *v1.IndexManifest
		if list, err = index.IndexManifest(); err == nil {
			for _, m := range list.Manifests[:min(len(list.Manifests), maxPlatforms)] {
				found = append(found, Descriptor{MediaType: string(m.MediaType), Digest: m.Digest.String(), Size: m.Size, Annotations: m.Annotations, ArtifactType: m.ArtifactType})
			}
		}
	}
	if err != nil {
		failed = append(failed, fmt.Errorf("referrers of %s: %w", digest, err))
	}
	tag := r.repository.Tag(strings.Replace(digest, ":", "-", 1) + ".att")
	head, err := remote.Head(tag, options...)
	var answer *transport.Error
	switch {
	case err == nil:
		found = append(found, Descriptor{MediaType: string(head.MediaType), Digest: head.Digest.String(), Size: head.Size})
	case errors.As(err, &answer) && answer.StatusCode == 404:
	default:
		failed = append(failed, fmt.Errorf("attestations %s: %w", tag, err))
	}
	return found, errors.Join(failed...)
}

// openRegistry opens a reference with the credentials of the user's keychain.
func openRegistry(ctx context.Context, text string) (*Set, error) {
	ref, err := name.ParseReference(text)
	if err != nil {
		return nil, fmt.Errorf("open image: %s is neither a file nor a reference: %w", short(text), err)
	}
	from := &registry{ref.Context(), []remote.Option{remote.WithAuthFromKeychain(authn.DefaultKeychain)}}
	d, err := remote.Get(ref, append([]remote.Option{remote.WithContext(ctx)}, from.options...)...)
	if err != nil {
		return nil, fmt.Errorf("open image %s: %w", text, err)
	}
	if len(d.Manifest) > maxManifest {
		return nil, fmt.Errorf("open image %s: manifest: %w: more than %d MiB", text, ErrTooLarge, maxManifest>>20)
	}
	w := &walk{ref: text, from: from, set: &Set{}, seen: map[string]bool{}}
	top := Descriptor{MediaType: string(d.MediaType), Digest: d.Digest.String(), Size: d.Size}
	if err := w.document(ctx, d.Manifest, top, 0); err != nil {
		return nil, err
	}
	return w.finish()
}

// maxTags bounds the tags that are read of one repository.
const maxTags = 100000

// Tags lists the tags of a repository of a registry, sorted, with the
// credentials of the user's keychain.
func Tags(ctx context.Context, repository string) ([]string, error) {
	repo, err := name.NewRepository(repository)
	if err != nil {
		return nil, fmt.Errorf("list tags: %s: %w", short(repository), err)
	}
	tags, err := remote.List(repo, remote.WithContext(ctx), remote.WithAuthFromKeychain(authn.DefaultKeychain))
	if err != nil {
		return nil, fmt.Errorf("list tags of %s: %w", repository, err)
	}
	if len(tags) > maxTags {
		return nil, fmt.Errorf("list tags of %s: %w: %d tags", repository, ErrTooLarge, len(tags))
	}
	slices.Sort(tags)
	return tags, nil
}
