package attestation

import (
	"crypto/elliptic"
	"testing"

	"github.com/backstitch/backstitch/fact"
)

// checkRefused holds of whatever nobody signed.
func checkRefused(t *testing.T, data []byte, policy Policy, genuine map[string]bool) {
	t.Helper()
	list, err := Read("fuzz", data)
	if err != nil {
		return
	}
	for _, a := range list {
		r := a.Verify(policy, []string{"sha256:" + sumA})
		if (r.Err == nil) != (r.Refused == "") || (r.Err != nil) != (r.Strength == "") {
			t.Fatalf("%v, refused %q, strength %q", r.Err, r.Refused, r.Strength)
		}
		if r.Strength == fact.Proven && !genuine[string(a.payload)] {
			t.Fatalf("believed: %q", a.payload)
		}
		unsigned := a.Verify(Policy{}, nil)
		if p, ok, _ := unsigned.Provenance(built()); ok && (p.Signed || p.BaseLayers > len(built().Layers)) {
			t.Fatalf("provenance %+v of an unchecked signature", p)
		}
	}
}

func FuzzEnvelope(f *testing.F) {
	key, sign := ecdsaKey(f, elliptic.P256())
	genuine := map[string]bool{string(provenanceOf(sumA)): true}
	good := envelopeBy(sign, payloadInToto, provenanceOf(sumA))
	f.Add(good)
	f.Add(append(good, good...))
	f.Add(cloudBuild(good, "BUILD", "x@sha256:"+sumA, "{}"))
	f.Fuzz(func(t *testing.T, data []byte) { checkRefused(t, data, Policy{Keys: []Key{key}}, genuine) })
}

func FuzzBundle(f *testing.F) {
	ours := newAuthority(f)
	policy := ours.policy()
	genuine := map[string]bool{string(provenanceOf(sumA)): true}
	for _, version := range []string{"0.1", "0.2", "0.3"} {
		f.Add(ours.bundle(version, workflow, provenanceOf(sumA), soon()))
	}
	f.Add([]byte(`{"attestations":[{"predicateType":"x","bundle":{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json"}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) { checkRefused(t, data, policy, genuine) })
}

func FuzzStatement(f *testing.F) {
	f.Add(provenanceOf(sumA))
	f.Add(statementOf(sumA, provenanceV02, buildKitV02Of(`{"entryPoint":"Dockerfile"}`, metadata())))
	f.Add(statementOf(sumA, provenanceV01, `{"materials":[{"uri":"https://github.com/a/b/commit/`+sha1+`"}]}`))
	f.Fuzz(func(t *testing.T, data []byte) { checkRefused(t, data, Policy{}, nil) })
}

func FuzzCosign(f *testing.F) {
	ours := newAuthority(f)
	envelope, annotations := older(f, ours, provenanceOf(sumA))
	policy := ours.policy()
	f.Add(envelope, annotations[cosignBundle], annotations[cosignCertificate])
	f.Fuzz(func(t *testing.T, envelope []byte, entry, certificate string) {
		r := readCosign("fuzz", envelope, map[string]string{cosignBundle: entry, cosignCertificate: certificate}).Verify(policy, nil)
		if r.Strength == fact.Proven && r.Signer != workflow {
			t.Fatalf("believed of %q", r.Signer)
		}
	})
}

func FuzzKeysAndRoots(f *testing.F) {
	f.Add([]byte("-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"))
	f.Add([]byte(`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1","tlogs":[{"publicKey":{}}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if keys, err := ParseKeys("k", data); err == nil && len(keys) == 0 {
			t.Fatal("no keys and no error")
		}
		if roots, err := ParseRoots("r", data); err == nil && len(roots) == 0 {
			t.Fatal("no roots and no error")
		}
	})
}
