package cli

import (
	"archive/tar"
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/image"
	"github.com/backstitch/backstitch/image/attestation"
)

const (
	builtCommit = "0123456789abcdef0123456789abcdef01234567"
	builtRecipe = "FROM debian:13\n\nRUN apt-get install -y curl\n"
)

type members = map[string]any

func sum(data []byte) string {
	digest := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(digest[:])
}

func toJSON(t *testing.T, value any) []byte {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// builtImage writes an OCI layout with an image of two layers, the second of which
// installs a package, and what BuildKit says of it; attached puts that beside it.
func builtImage(t *testing.T, attached bool) (dir string, statement []byte, digest string) {
	t.Helper()
	dir = t.TempDir()
	keep := func(name string, data []byte) {
		t.Helper()
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	blob := func(mediaType string, data []byte) members {
		keep("blobs/sha256/"+sum(data)[7:], data)
		return members{"mediaType": mediaType, "digest": sum(data), "size": len(data)}
	}
	layer := func(packages string) []byte {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := w.WriteHeader(&tar.Header{Name: "var/lib/dpkg/status", Mode: 0o644, Size: int64(len(packages))}); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(packages)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	entry := func(name string) string {
		return "Package: " + name + "\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\n"
	}
	base, own := layer(entry("libc6")), layer(entry("libc6")+entry("curl"))
	const plainLayer, manifest = "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.manifest.v1+json"
	layers := []any{blob(plainLayer, base), blob(plainLayer, own)}
	config := toJSON(t, members{"os": "linux", "architecture": "amd64", "rootfs": members{"type": "layers", "diff_ids": []string{sum(base), sum(own)}},
		"history": []any{members{"created_by": "# debian.sh"}, members{"created_by": "RUN /bin/sh -c apt-get install -y curl # buildkit", "comment": "buildkit.dockerfile.v0"}}})
	one := blob(manifest, toJSON(t, members{"schemaVersion": 2, "mediaType": manifest, "config": blob("application/vnd.oci.image.config.v1+json", config), "layers": layers}))
	digest = one["digest"].(string)
	lines := func(n int) members {
		return members{"locations": []any{members{"ranges": []any{members{"start": members{"line": n}, "end": members{"line": n}}}}}}
	}
	statement = toJSON(t, members{"_type": "https://in-toto.io/Statement/v0.1", "predicateType": "https://slsa.dev/provenance/v0.2",
		"subject": []any{members{"name": "pkg:docker/shop@1", "digest": members{"sha256": digest[7:]}}},
		"predicate": members{"buildType": "https://mobyproject.org/buildkit@v1", "builder": members{"id": "https://ci.example/run/7"},
			"invocation": members{"configSource": members{"entryPoint": "Dockerfile"}},
			"buildConfig": members{"llbDefinition": []any{
				members{"id": "step0", "op": members{"Op": members{"source": members{"identifier": "docker-image://docker.io/library/debian:13@" + sum([]byte("debian"))}}}},
				members{"id": "step1", "op": members{"Op": members{"exec": members{}}}, "inputs": []string{"step0:0"}}}},
			"metadata": members{"https://mobyproject.org/buildkit@v1#metadata": members{
				"vcs":    members{"source": "https://git.example/acme/shop.git", "revision": builtCommit, "localdir:dockerfile": "deploy"},
				"source": members{"locations": members{"step0": lines(1), "step1": lines(3)}, "infos": []any{members{"filename": "Dockerfile", "language": "Dockerfile", "data": []byte(builtRecipe)}}},
				"layers": members{"step0:0": []any{layers[:1]}, "step1:0": []any{layers}}}}}})
	manifests := []any{one}
	if attached {
		said := blob(manifest, toJSON(t, members{"schemaVersion": 2, "mediaType": manifest, "config": blob("application/vnd.oci.image.config.v1+json", []byte("{}")),
			"layers": []any{blob("application/vnd.in-toto+json", statement)}}))
		said["annotations"] = members{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": digest}
		manifests = append(manifests, said)
	}
	keep("index.json", toJSON(t, members{"schemaVersion": 2, "manifests": manifests}))
	return dir, statement, digest
}

// signer makes a key, the file of its public half, and how it signs a statement.
func signer(t *testing.T) (key string, sign func(statement []byte) string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKIXPublicKey(private.Public())
	if err != nil {
		t.Fatal(err)
	}
	key = filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(key, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return key, func(statement []byte) string {
		t.Helper()
		digest := sha256.Sum256(attestation.PAE("application/vnd.in-toto+json", statement))
		signature, err := ecdsa.SignASN1(rand.Reader, private, digest[:])
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(t.TempDir(), "provenance.json")
		data := toJSON(t, members{"payloadType": "application/vnd.in-toto+json", "payload": base64.StdEncoding.EncodeToString(statement), "signatures": []any{members{"sig": signature}}})
		if err := os.WriteFile(file, data, 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
}

// traced runs image trace and gives its summary.
func traced(t *testing.T, args ...string) image.Summary {
	t.Helper()
	code, out, stderr := command(t, t.TempDir(), append([]string{"image", "trace", "-o", "json"}, args...)...)
	if code != exitClean {
		t.Fatalf("exit code %d: %s", code, stderr)
	}
	var summary image.Summary
	if err := json.Unmarshal([]byte(out), &summary); err != nil {
		t.Fatal(err)
	}
	return summary
}

// checkTrace requires that everything that the provenance says is found, with one
// strength.
func checkTrace(t *testing.T, summary image.Summary, strength fact.Strength) {
	t.Helper()
	best := summary.Source.Best
	if len(best) != 1 || best[0].Repository != "git.example/acme/shop" || best[0].Commit != builtCommit || best[0].Dockerfile != "deploy/Dockerfile" || best[0].Strength != strength {
		t.Errorf("source %+v, want deploy/Dockerfile of git.example/acme/shop, %s", best, strength)
	}
	if b := summary.Bases; len(b) == 0 || !slices.Equal(b[0].Names, []string{"docker.io/library/debian:13"}) || b[0].Layers != 1 || b[0].Evidence.Strength != strength {
		t.Errorf("bases %+v, want debian:13 of one layer, %s", b, strength)
	}
	if l := summary.Layers; len(l) != 2 || l[0].Part != image.PartBase || l[1].Part != image.PartOwn || len(l[1].Locations) != 1 || l[1].Locations[0].Line != 3 || l[1].Evidence.Strength != strength {
		t.Errorf("layers %+v, want the second led to line 3, %s", l, strength)
	}
	for _, trace := range summary.Traces {
		if trace.Package.Name == "curl" && (trace.Cause.Status != fact.CauseFound || trace.Cause.Locations[0].Path != "deploy/Dockerfile" || trace.Cause.Locations[0].Line != 3) {
			t.Errorf("curl is led to %+v", trace.Cause)
		}
	}
}

func TestProvenanceSignedByAKeyProvesTheSourceAndTheLines(t *testing.T) {
	dir, statement, digest := builtImage(t, false)
	key, sign := signer(t)
	file := sign(statement)
	checkTrace(t, traced(t, dir, "--provenance", file, "--key", key), fact.Proven)
	// The same bytes without the key are what somebody says.
	checkTrace(t, traced(t, dir, "--provenance", file), fact.Attested)

	code, out, stderr := command(t, t.TempDir(), "image", "attestation", "verify", file, "--key", key, "--digest", digest)
	if code != exitClean || !strings.Contains(out, "proven") || !strings.Contains(out, "git.example/acme/shop@"+builtCommit) || !strings.Contains(out, "ECDSA P-256") {
		t.Errorf("exit code %d, output %q, error %q", code, out, stderr)
	}
}

func TestWhatBuildKitPutBesideTheImageIsUsedUnasked(t *testing.T) {
	dir, _, _ := builtImage(t, true)
	checkTrace(t, traced(t, dir), fact.Attested)
}

func TestTheBaseThatProvenanceNamesIsKnownForOtherImages(t *testing.T) {
	state := t.TempDir()
	dir, _, _ := builtImage(t, true)
	if code, _, stderr := command(t, state, "image", "show", dir); code != exitClean {
		t.Fatal(stderr)
	}
	bases, err := image.LoadBases(filepath.Join(state, "cache", "bases"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, base := range bases.All() {
		if base.Source == "attestation" && base.Layers == 1 {
			names = append(names, base.Names...)
		}
	}
	if !slices.Equal(names, []string{"docker.io/library/debian:13"}) {
		t.Errorf("bases learnt from attestations are %q", names)
	}
}

func TestRefusedProvenanceIsAGateThatSaysNo(t *testing.T) {
	dir, statement, digest := builtImage(t, false)
	key, sign := signer(t)
	strangers, _ := signer(t)
	file := sign(statement)
	of := strings.Replace(string(statement), digest[7:], strings.Repeat("a", 64), 1)
	for name, c := range map[string]struct {
		args []string
		code int
		want string
	}{
		"another key":              {[]string{"image", "trace", dir, "--provenance", file, "--key", strangers}, exitGate, "does not fit"},
		"another image":            {[]string{"image", "trace", dir, "--provenance", sign([]byte(of)), "--key", key}, exitGate, "another subject"},
		"verify with another key":  {[]string{"image", "attestation", "verify", file, "--key", strangers}, exitGate, "refused"},
		"verify for another image": {[]string{"image", "attestation", "verify", file, "--key", key, "--digest", "sha256:" + strings.Repeat("b", 64)}, exitGate, "refused"},
		"nothing to verify by":     {[]string{"image", "attestation", "verify", file}, exitFailure, "nothing to verify by"},
		"no such file":             {[]string{"image", "attestation", "verify", file + ".no", "--key", key}, exitFailure, "no such file"},
		"a key that is none":       {[]string{"image", "attestation", "verify", file, "--key", file}, exitFailure, "PUBLIC KEY"},
		"an identity alone":        {[]string{"image", "attestation", "verify", file, "--key", key, "--identity", "x", "--issuer", "y"}, exitFailure, "trusted root"},
		"an issuer alone":          {[]string{"image", "attestation", "verify", file, "--key", key, "--issuer", "y"}, exitFailure, "--identity"},
		"a digest that is none":    {[]string{"image", "attestation", "verify", file, "--key", key, "--digest", "latest"}, exitFailure, "64 hexadecimal"},
	} {
		code, _, stderr := command(t, t.TempDir(), c.args...)
		if code != c.code || !strings.Contains(stderr, c.want) {
			t.Errorf("%s: exit code %d, error %q; want %d, %q", name, code, stderr, c.code, c.want)
		}
	}
}
