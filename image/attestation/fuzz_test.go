package attestation

import (
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
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

// FuzzParts gives what lies in base64 within a bundle, which changes of its text
// seldom reach.
func FuzzParts(f *testing.F) {
	ours := newAuthority(f)
	policy := ours.policy()
	var good struct {
		Material struct {
			Certificate struct {
				RawBytes []byte `json:"rawBytes"`
			} `json:"certificate"`
			Entries []struct {
				Body  []byte `json:"canonicalizedBody"`
				Proof struct {
					Checkpoint struct {
						Envelope string `json:"envelope"`
					} `json:"checkpoint"`
				} `json:"inclusionProof"`
			} `json:"tlogEntries"`
		} `json:"verificationMaterial"`
	}
	if err := json.Unmarshal(ours.bundle("0.3", workflow, provenanceOf(sumA), soon()), &good); err != nil {
		f.Fatal(err)
	}
	entry := good.Material.Entries[0]
	log := sha256.Sum256(pkixOf(f, ours.log))
	f.Add("dsse", "0.0.1", good.Material.Certificate.RawBytes, entry.Body, entry.Proof.Checkpoint.Envelope, []byte("x"))
	f.Add("intoto", "0.0.2", good.Material.Certificate.RawBytes, []byte(`{"apiVersion":"0.0.2","kind":"intoto","spec":{"content":{"envelope":{"payloadType":"a","signatures":[{"publicKey":"eA==","sig":"eA=="}]},"hash":{"algorithm":"sha256","value":"`+sumA+`"},"payloadHash":{"algorithm":"sha256","value":"`+sumA+`"}}}}`), "log.example - 1\n1\nAA==\n\n", []byte("x"))
	f.Add("hashedrekord", "0.0.1", []byte{0x30, 0}, []byte(`{"apiVersion":"0.0.1","kind":"hashedrekord","spec":{"data":{"hash":{"algorithm":"sha256","value":"`+sumA+`"}},"signature":{"content":"eA==","publicKey":{"content":"eA=="}}}}`), "", []byte("x"))
	f.Add("hashedrekord", "0.0.2", []byte{0x30, 0}, []byte(`{"apiVersion":"0.0.2","kind":"hashedrekord","spec":{"hashedRekordV002":{"data":{"algorithm":"SHA2_256","digest":"eA=="},"signature":{"content":"eA==","verifier":{"publicKey":{"rawBytes":"eA=="},"keyDetails":"PKIX_ECDSA_P256_SHA_256"}}}}}`), "log.example\n1\nAA==\n", []byte("x"))
	f.Fuzz(func(t *testing.T, kind, version string, certificate, body []byte, checkpoint string, stamp []byte) {
		promise := fmt.Sprintf(`{"body":%q,"integratedTime":%d,"logID":%q,"logIndex":0}`, b64(body), soon().Unix(), hex.EncodeToString(log[:]))
		root := sha256.Sum256(append([]byte{0}, body...))
		data, err := json.Marshal(values{"mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
			"verificationMaterial": values{"certificate": values{"rawBytes": b64(certificate)}, "timestampVerificationData": values{"rfc3161Timestamps": []any{values{"signedTimestamp": b64(stamp)}}},
				"tlogEntries": []any{values{"logIndex": "0", "logId": values{"keyId": b64(log[:])}, "kindVersion": values{"kind": kind, "version": version}, "integratedTime": fmt.Sprint(soon().Unix()),
					"inclusionPromise": values{"signedEntryTimestamp": b64((&authority{t: t}).sign(ours.log, []byte(promise)))}, "canonicalizedBody": b64(body),
					"inclusionProof": values{"logIndex": "0", "treeSize": "1", "rootHash": b64(root[:]), "hashes": []any{}, "checkpoint": values{"envelope": checkpoint}}}}},
			"dsseEnvelope": values{"payload": b64(provenanceOf(sumA)), "payloadType": payloadInToto, "signatures": []any{values{"sig": b64([]byte("x"))}}}})
		if err != nil {
			return
		}
		checkRefused(t, data, policy, nil)
	})
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
	envelope, annotations = ours.oldest(workflow, provenanceOf(sumA), soon())
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
