package attestation

import (
	"bytes"
	"context"
	"crypto/elliptic"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	fakeregistry "github.com/google/go-containerregistry/pkg/registry"

	"github.com/backstitch/backstitch/image"
)

const (
	mediaConfig   = "application/vnd.oci.image.config.v1+json"
	mediaManifest = "application/vnd.oci.image.manifest.v1+json"
	mediaIndex    = "application/vnd.oci.image.index.v1+json"
)

// place keeps blobs and manifests of a test, in a layout or a registry.
type place struct {
	t    testing.TB
	blob func(data []byte)
	put  func(name, mediaType string, data []byte)
}

func (p *place) content(data []byte) string {
	p.t.Helper()
	p.blob(data)
	return "sha256:" + hexSum(data)
}

// manifest keeps a manifest and gives its descriptor.
func (p *place) manifest(mediaType string, document values) values {
	p.t.Helper()
	document["schemaVersion"], document["mediaType"] = 2, mediaType
	data := (&authority{t: p.t}).json(document)
	digest := "sha256:" + hexSum(data)
	p.put(digest, mediaType, data)
	return values{"mediaType": mediaType, "digest": digest, "size": len(data)}
}

// image keeps an image of one empty layer.
func (p *place) image(architecture string) values {
	p.t.Helper()
	layer := make([]byte, 1024)
	config := (&authority{t: p.t}).json(values{"os": "linux", "architecture": architecture, "rootfs": values{"type": "layers", "diff_ids": []string{"sha256:" + hexSum(layer)}}})
	return p.manifest(mediaManifest, values{"config": values{"mediaType": mediaConfig, "digest": p.content(config), "size": len(config)},
		"layers": []any{values{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": p.content(layer), "size": len(layer)}}})
}

// attest keeps a manifest of attestations; each is a media type, content and
// annotations.
func (p *place) attest(subject any, layers ...values) values {
	p.t.Helper()
	document := values{"config": values{"mediaType": "application/vnd.oci.empty.v1+json", "digest": p.content([]byte("{}")), "size": 2}, "layers": layers}
	if subject != nil {
		document["subject"] = subject
	}
	return p.manifest(mediaManifest, document)
}

func (p *place) layer(mediaType string, data []byte, annotations any) values {
	p.t.Helper()
	return values{"mediaType": mediaType, "digest": p.content(data), "size": len(data), "annotations": annotations}
}

func newLayout(t testing.TB) (dir string, p *place, write func(manifests ...values)) {
	t.Helper()
	dir = t.TempDir()
	keep := func(name string, data []byte) {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	p = &place{t: t, blob: func(data []byte) { keep("blobs/sha256/"+hexSum(data), data) }, put: func(_, _ string, data []byte) { keep("blobs/sha256/"+hexSum(data), data) }}
	return dir, p, func(manifests ...values) {
		keep("index.json", (&authority{t: t}).json(values{"schemaVersion": 2, "manifests": manifests}))
	}
}

func open(t testing.TB, ref string) *image.Image {
	t.Helper()
	set, err := image.Open(context.Background(), ref)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	if len(set.Images) != 1 || len(set.Problems) > 0 {
		t.Fatalf("%d images, problems %q", len(set.Images), set.Problems)
	}
	return set.Images[0]
}

func digestOf(descriptor values) string { return descriptor["digest"].(string) }

func sumOf(descriptor values) string { return strings.TrimPrefix(digestOf(descriptor), "sha256:") }

// beBuildKit marks a descriptor as BuildKit marks its attestations in an index.
func beBuildKit(attestation values, of values) values {
	attestation["annotations"] = values{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": of["digest"]}
	attestation["platform"] = values{"os": "unknown", "architecture": "unknown"}
	return attestation
}

func gather(t testing.TB, of *image.Image, policy Policy, files ...*Attestation) *Gathered {
	t.Helper()
	g, err := Gather(context.Background(), of, files, policy)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func TestWhatStandsBesideAnImageIsAttestedUnasked(t *testing.T) {
	dir, p, write := newLayout(t)
	amd := p.image("amd64")
	inner := p.manifest(mediaIndex, values{"manifests": []any{amd, beBuildKit(p.attest(nil,
		p.layer(payloadInToto, statementOf(sumOf(amd), "https://spdx.dev/Document", `{}`), values{"in-toto.io/predicate-type": "https://spdx.dev/Document"}),
		p.layer(payloadInToto, provenanceOf(sumOf(amd)), values{"in-toto.io/predicate-type": provenanceV1})), amd)}})
	write(inner)
	one := open(t, dir)
	if len(one.Within) != 1 || one.Within[0] != digestOf(inner) {
		t.Errorf("it is within %q, want the index %s", one.Within, digestOf(inner))
	}
	g := gather(t, one, Policy{})
	if len(g.Provenance) != 1 || g.Provenance[0].Signed || g.Provenance[0].Repository != "github.com/acme/shop" || len(g.Problems) > 0 || len(g.Results) != 1 {
		t.Errorf("provenance %+v, problems %q, %d results; want one attested, the list of packages unread", g.Provenance, g.Problems, len(g.Results))
	}
	// With a policy, what carries no signature stays attested.
	if g = gather(t, one, newAuthority(t).policy()); len(g.Provenance) != 1 || g.Provenance[0].Signed || len(g.Problems) > 0 {
		t.Errorf("with a policy: provenance %+v, problems %q", g.Provenance, g.Problems)
	}
}

func TestAnAttestationOfAnotherImageIsNamedAndLeftOut(t *testing.T) {
	dir, p, write := newLayout(t)
	amd := p.image("amd64")
	write(amd, beBuildKit(p.attest(nil, p.layer(payloadInToto, provenanceOf(sumB), nil)), amd))
	g := gather(t, open(t, dir), Policy{})
	if len(g.Provenance) != 0 || len(g.Problems) != 1 || !strings.Contains(g.Problems[0], "another subject") {
		t.Errorf("provenance %+v, problems %q", g.Provenance, g.Problems)
	}
}

func TestReferrersOfALayoutAreVerified(t *testing.T) {
	ours := newAuthority(t)
	dir, p, write := newLayout(t)
	amd := p.image("amd64")
	index := p.manifest(mediaIndex, values{"manifests": []any{amd}})
	ofIndex := p.attest(index, p.layer("application/vnd.dev.sigstore.bundle.v0.3+json", ours.bundle("0.3", workflow, provenanceOf(sumOf(index)), soon()), nil))
	envelope, annotations := older(t, ours, provenanceOf(sumOf(amd)))
	ofImage := p.attest(nil, p.layer(mediaDSSE, envelope, annotations))
	ofImage["annotations"] = values{"kind": "dev.cosignproject.cosign/atts"}
	stranger := p.attest(amd, p.layer("application/vnd.dev.sigstore.bundle.v0.3+json", newAuthority(t).bundle("0.3", workflow, provenanceOf(sumOf(amd)), soon()), nil))
	write(index, ofIndex, ofImage, stranger)
	g := gather(t, open(t, dir), ours.policy())
	if len(g.Provenance) != 2 || !g.Provenance[0].Signed || !g.Provenance[1].Signed {
		t.Errorf("provenance %+v, want the bundle of the index and cosign's older form, both proven", g.Provenance)
	}
	if len(g.Problems) != 1 || !strings.Contains(g.Problems[0], "refused") {
		t.Errorf("problems %q, want the one that a stranger signed", g.Problems)
	}
}

func TestReferrersOfARegistryAreFound(t *testing.T) {
	ours := newAuthority(t)
	server := httptest.NewServer(fakeregistry.New(fakeregistry.Logger(log.New(io.Discard, "", 0)), fakeregistry.WithReferrersSupport(true)))
	defer server.Close()
	send := func(method, path, mediaType string, data []byte) {
		t.Helper()
		request := httptest.NewRequest(method, server.URL+path, bytes.NewReader(data))
		request.RequestURI = ""
		request.Header.Set("Content-Type", mediaType)
		response, err := server.Client().Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 201 {
			t.Fatalf("%s %s: %s", method, path, response.Status)
		}
	}
	p := &place{t: t, blob: func(data []byte) {
		send("POST", "/v2/shop/blobs/uploads/?digest=sha256:"+hexSum(data), "application/octet-stream", data)
	},
		put: func(name, mediaType string, data []byte) { send("PUT", "/v2/shop/manifests/"+name, mediaType, data) }}
	amd := p.image("amd64")
	tag := func(name string, d values) {
		t.Helper()
		response, err := server.Client().Get(server.URL + "/v2/shop/manifests/" + digestOf(d))
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		data, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		p.put(name, d["mediaType"].(string), data)
	}
	tag("1", amd)
	p.attest(amd, p.layer("application/vnd.dev.sigstore.bundle.v0.3+json", ours.bundle("0.3", workflow, provenanceOf(sumOf(amd)), soon()), nil))
	envelope, annotations := older(t, ours, provenanceOf(sumOf(amd)))
	tag("sha256-"+sumOf(amd)+".att", p.attest(nil, p.layer(mediaDSSE, envelope, annotations)))
	g := gather(t, open(t, strings.TrimPrefix(server.URL, "http://")+"/shop:1"), ours.policy())
	if len(g.Provenance) != 2 || !g.Provenance[0].Signed || !g.Provenance[1].Signed || len(g.Problems) > 0 {
		t.Errorf("provenance %+v, problems %q; want a referrer and cosign's tag, both proven", g.Provenance, g.Problems)
	}
}

func TestAFileThatIsRefusedStopsTheLook(t *testing.T) {
	key, sign := ecdsaKey(t, elliptic.P256())
	dir, p, write := newLayout(t)
	amd := p.image("amd64")
	write(amd)
	one := open(t, dir)
	good := readOne(t, envelopeBy(sign, payloadInToto, provenanceOf(sumOf(amd))))
	if g := gather(t, one, Policy{Keys: []Key{key}}, good); len(g.Provenance) != 1 || !g.Provenance[0].Signed || !strings.Contains(g.Provenance[0].Source, key.ID) {
		t.Errorf("provenance %+v", g.Provenance)
	}
	for name, c := range map[string]struct {
		file   *Attestation
		policy Policy
		want   error
	}{
		"another key":        {good, Policy{Keys: []Key{firstKey(t)}}, ErrSignature},
		"no signature":       {readOne(t, provenanceOf(sumOf(amd))), Policy{Keys: []Key{key}}, ErrUnsigned},
		"another image":      {readOne(t, envelopeBy(sign, payloadInToto, provenanceOf(sumB))), Policy{Keys: []Key{key}}, ErrSubject},
		"no provenance":      {readOne(t, statementOf(sumOf(amd), "https://spdx.dev/Document", "{}")), Policy{}, nil},
		"a root, no subject": {good, Policy{Roots: newAuthority(t).roots(false)}, nil},
	} {
		if _, err := Gather(context.Background(), one, []*Attestation{c.file}, c.policy); err == nil || c.want != nil && !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
	archive := *one
	archive.Digest = ""
	if _, err := Gather(context.Background(), &archive, []*Attestation{good}, Policy{Keys: []Key{key}}); !errors.Is(err, ErrSubject) {
		t.Errorf("an image without a digest: %v", err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := Gather(cancelled, one, nil, Policy{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAManifestThatCannotBeReadIsNamed(t *testing.T) {
	dir, p, write := newLayout(t)
	amd := p.image("amd64")
	statement := provenanceOf(sumOf(amd))
	missing := p.attest(nil, p.layer(payloadInToto, statement, nil))
	write(amd, beBuildKit(missing, amd), beBuildKit(values{"mediaType": mediaManifest, "digest": "sha256:" + sumB, "size": 1}, amd))
	if err := os.Remove(filepath.Join(dir, "blobs/sha256", hexSum(statement))); err != nil {
		t.Fatal(err)
	}
	g := gather(t, open(t, dir), Policy{})
	if len(g.Provenance) != 0 || len(g.Problems) != 2 {
		t.Errorf("provenance %+v, problems %q; want a missing blob and a missing manifest", g.Provenance, g.Problems)
	}
}
