package image

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
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

// bounded cuts the answers about manifests at their limit, so that no registry
// can fill the memory.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(request *http.Request) (*http.Response, error) {
	response, err := b.next.RoundTrip(request)
	if err != nil || !strings.Contains(request.URL.Path, "/manifests/") {
		return response, err
	}
	if response.ContentLength > maxManifest {
		response.Body.Close()
		return nil, fmt.Errorf("manifest: %w: %d bytes announced", ErrTooLarge, response.ContentLength)
	}
	response.Body = &cutBody{response.Body, maxManifest}
	return response, nil
}

type cutBody struct {
	io.ReadCloser
	left int64
}

func (c *cutBody) Read(p []byte) (int, error) {
	if c.left <= 0 {
		return 0, fmt.Errorf("manifest: %w: more than %d MiB", ErrTooLarge, int64(maxManifest)>>20)
	}
	p = p[:min(int64(len(p)), c.left)]
	n, err := c.ReadCloser.Read(p)
	c.left -= int64(n)
	return n, err
}

// openRegistry opens a reference with the credentials of the user's keychain.
func openRegistry(ctx context.Context, text string) (*Set, error) {
	ref, err := name.ParseReference(text)
	if err != nil {
		return nil, fmt.Errorf("open image: %s is neither a file nor a reference: %w", short(text), err)
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.ResponseHeaderTimeout = 60 * time.Second
	from := &registry{ref.Context(), []remote.Option{remote.WithAuthFromKeychain(authn.DefaultKeychain), remote.WithTransport(bounded{transport})}}
	d, err := remote.Get(ref, append([]remote.Option{remote.WithContext(ctx)}, from.options...)...)
	if err != nil {
		return nil, fmt.Errorf("open image %s: %w", text, err)
	}
	w := &walk{ref: text, from: from, set: &Set{}, seen: map[string]bool{}}
	top := Descriptor{MediaType: string(d.MediaType), Digest: d.Digest.String(), Size: d.Size}
	if err := w.document(ctx, d.Manifest, top, 0); err != nil {
		return nil, err
	}
	return w.finish()
}
