package attestation

import (
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/fact"
)

const (
	workflow = "https://github.com/acme/shop/.github/workflows/build.yml@refs/heads/main"
	actions  = "https://token.actions.githubusercontent.com"
)

// noon is when the certificates of the test authority are issued, for ten minutes.
var noon = time.Date(2030, 1, 2, 12, 0, 0, 0, time.UTC)

func soon() time.Time { return noon.Add(time.Minute) }

func TestABundleIsProvenByItsRootIdentityAndTime(t *testing.T) {
	ours := newAuthority(t)
	for _, version := range []string{"0.1", "0.2", "0.3"} {
		at := soon()
		a := readOne(t, ours.bundle(version, workflow, provenanceOf(sumA), at))
		r := a.Verify(ours.policy(), []string{"sha256:" + sumA})
		if r.Err != nil {
			t.Errorf("%s: %v", version, r.Err)
			continue
		}
		if r.Strength != fact.Proven || r.Signer != workflow || r.Issuer != actions || r.SignedAt == nil || r.SignedAt.Unix() != at.Unix() {
			t.Errorf("%s: %s by %s of %s at %v", version, r.Strength, r.Signer, r.Issuer, r.SignedAt)
		}
		if p, ok, err := r.Provenance(nil); err != nil || !ok || !p.Signed || p.Repository != "github.com/acme/shop" || p.Commit != sha1 {
			t.Errorf("%s: provenance %+v %v %v", version, p, ok, err)
		}
	}
}

func TestABundleIsRefusedWhenOnePartDoesNotHold(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	good := string(ours.bundle("0.1", workflow, provenanceOf(sumA), soon()))
	second := string(ours.bundle("0.1", workflow, provenanceOf(sumA), soon()))
	policy := ours.policy()
	edit := func(change func(d, e map[string]any)) string {
		var d, e map[string]any
		if json.Unmarshal([]byte(good), &d) != nil || json.Unmarshal([]byte(second), &e) != nil {
			t.Fatal("the case is no JSON")
		}
		change(d, e)
		data, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		return string(data)
	}
	at := func(d map[string]any, path ...string) map[string]any {
		for _, name := range path {
			switch next := d[name].(type) {
			case map[string]any:
				d = next
			case []any:
				d = next[0].(map[string]any)
			}
		}
		return d
	}
	for name, c := range map[string]struct {
		data   string
		policy Policy
		want   string
	}{
		"another root":          {good, other.policy(), "bundle:"},
		"another identity":      {good, Policy{Roots: policy.Roots, Identities: []Identity{{"https://github.com/evil/*", actions}}}, ErrSigner.Error()},
		"another issuer":        {good, Policy{Roots: policy.Roots, Identities: []Identity{{workflow, "https://gitlab.com"}}}, ErrSigner.Error()},
		"no identity":           {good, Policy{Roots: policy.Roots}, "anybody can get a certificate"},
		"a log of certificates": {good, Policy{Roots: ours.roots(true), Identities: policy.Identities}, "certificate timestamp"},
		"signed too late":       {string(ours.bundle("0.1", workflow, provenanceOf(sumA), noon.Add(50*time.Minute))), policy, "validity"},
		"signed too early":      {string(ours.bundle("0.1", workflow, provenanceOf(sumA), noon.Add(-50*time.Minute))), policy, "validity"},
		"the entry of another": {edit(func(d, e map[string]any) {
			at(d, "verificationMaterial")["tlogEntries"] = at(e, "verificationMaterial")["tlogEntries"]
		}), policy, "does not match"},
		"a body of another": {edit(func(d, e map[string]any) {
			at(d, "verificationMaterial", "tlogEntries")["canonicalizedBody"] = at(e, "verificationMaterial", "tlogEntries")["canonicalizedBody"]
		}), policy, "log inclusion"},
		"another time": {edit(func(d, _ map[string]any) {
			at(d, "verificationMaterial", "tlogEntries")["integratedTime"] = "1900000000"
		}), policy, "log inclusion"},
		"no entry": {edit(func(d, _ map[string]any) { delete(at(d, "verificationMaterial"), "tlogEntries") }), policy, ErrTime.Error()},
		"a certificate of other": {edit(func(d, e map[string]any) {
			at(d, "verificationMaterial")["x509CertificateChain"] = at(e, "verificationMaterial")["x509CertificateChain"]
		}), policy, "certificate does not match"},
		"two signatures": {edit(func(d, e map[string]any) {
			s := at(d, "dsseEnvelope")
			s["signatures"] = append(s["signatures"].([]any), at(e, "dsseEnvelope", "signatures"))
		}), policy, "expected one"},
		"no payload":             {edit(func(d, _ map[string]any) { delete(at(d, "dsseEnvelope"), "payload") }), policy, ""},
		"version of the future":  {strings.Replace(good, "version=0.1", "version=0.7", 1), policy, "bundle"},
		"unknown members":        {strings.Replace(good, `"mediaType"`, `"surprise":1,"mediaType"`, 1), policy, "unknown"},
		"members given twice":    {strings.Replace(good, `"dsseEnvelope"`, `"dsseEnvelope":{},"dsseEnvelope"`, 1), policy, "duplicate"},
		"only a key is believed": {good, Policy{Keys: []Key{firstKey(t)}}, ErrSigner.Error()},
	} {
		r := readOne(t, []byte(c.data)).Verify(c.policy, nil)
		if r.Err == nil || !strings.Contains(r.Refused, c.want) || r.Strength != "" {
			t.Errorf("%s: refused with %q and strength %q, want %q", name, r.Refused, r.Strength, c.want)
		}
	}
	if r := readOne(t, []byte(good)).Verify(policy, []string{"sha256:" + sumB}); !errors.Is(r.Err, ErrSubject) {
		t.Errorf("a bundle of another image: %v", r.Err)
	}
}

func firstKey(t testing.TB) Key {
	key, _ := ecdsaKey(t, elliptic.P256())
	return key
}

func TestSeveralRootsAreAskedOneByOne(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	policy := ours.policy()
	policy.Roots = append(other.policy().Roots, policy.Roots...)
	if r := readOne(t, ours.bundle("0.3", workflow, provenanceOf(sumA), soon())).Verify(policy, nil); r.Err != nil {
		t.Error(r.Err)
	}
}

func TestASignatureWithoutAStatementNeedsTheDigestItIsOf(t *testing.T) {
	ours := newAuthority(t)
	manifest := []byte(`{"schemaVersion":2}`)
	a := readOne(t, ours.message("0.1", workflow, manifest, soon()))
	sum := sha256.Sum256(manifest)
	digest := "sha256:" + hex.EncodeToString(sum[:])
	if r := a.Verify(ours.policy(), []string{"sha256:" + sumB, digest}); r.Err != nil || r.Strength != fact.Proven || !strings.Contains(strings.Join(r.Checked, " "), digest) {
		t.Errorf("%v, %s, checked %q", r.Err, r.Strength, r.Checked)
	}
	for _, digests := range [][]string{nil, {"sha256:" + sumB}} {
		if r := a.Verify(ours.policy(), digests); r.Err == nil {
			t.Errorf("%q: a signature of something else is believed", digests)
		}
	}
	if r := a.Verify(Policy{}, []string{digest}); r.Err == nil {
		t.Error("a signature that nobody checked is believed")
	}
}

func TestABundleOfAKeyIsVerifiedByThatKey(t *testing.T) {
	key, sign := ecdsaKey(t, elliptic.P256())
	data := keyBundle(t, sign, provenanceOf(sumA))
	if r := readOne(t, data).Verify(Policy{Keys: []Key{firstKey(t), key}}, nil); r.Err != nil || r.Signer != key.String() {
		t.Errorf("%v, signer %q", r.Err, r.Signer)
	}
	if r := readOne(t, data).Verify(Policy{Keys: []Key{firstKey(t)}}, nil); r.Err == nil {
		t.Error("the bundle is believed with another key")
	}
	if r := readOne(t, data).Verify(newAuthority(t).policy(), nil); !errors.Is(r.Err, ErrSigner) {
		t.Errorf("without a key: %v", r.Err)
	}
}

// older makes an attestation as cosign stored it before bundles.
func older(t testing.TB, ours *authority, payload []byte) (envelope []byte, annotations map[string]string) {
	t.Helper()
	var b struct {
		Material struct {
			Chain struct {
				Certificates []struct{ RawBytes []byte }
			} `json:"x509CertificateChain"`
			Entries []struct {
				LogIndex, IntegratedTime json.Number
				LogID                    struct{ KeyID []byte } `json:"logId"`
				InclusionPromise         struct{ SignedEntryTimestamp []byte }
				CanonicalizedBody        []byte
			} `json:"tlogEntries"`
		} `json:"verificationMaterial"`
		Envelope json.RawMessage `json:"dsseEnvelope"`
	}
	if err := json.Unmarshal(ours.bundle("0.1", workflow, payload, soon()), &b); err != nil {
		t.Fatal(err)
	}
	entry := b.Material.Entries[0]
	index, time := json.Number("0"), entry.IntegratedTime
	if entry.LogIndex != "" {
		index = entry.LogIndex
	}
	stored, err := json.Marshal(map[string]any{"SignedEntryTimestamp": entry.InclusionPromise.SignedEntryTimestamp,
		"Payload": map[string]any{"body": entry.CanonicalizedBody, "integratedTime": time, "logIndex": index, "logID": hex.EncodeToString(entry.LogID.KeyID)}})
	if err != nil {
		t.Fatal(err)
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: b.Material.Chain.Certificates[0].RawBytes})
	return b.Envelope, map[string]string{cosignBundle: string(stored), cosignCertificate: string(certificate)}
}

func TestCosignsOlderFormIsVerifiedAsABundle(t *testing.T) {
	ours := newAuthority(t)
	envelope, annotations := older(t, ours, provenanceOf(sumA))
	if r := readCosign("layer", envelope, annotations).Verify(ours.policy(), []string{"sha256:" + sumA}); r.Err != nil || r.Signer != workflow || r.Strength != fact.Proven {
		t.Errorf("%v, signer %q", r.Err, r.Signer)
	}
	_, others := older(t, ours, provenanceOf(sumA))
	for name, c := range map[string]struct {
		annotations map[string]string
		want        string
	}{
		"the entry of another":       {map[string]string{cosignCertificate: annotations[cosignCertificate], cosignBundle: others[cosignBundle]}, "does not match"},
		"the certificate of another": {map[string]string{cosignCertificate: others[cosignCertificate], cosignBundle: annotations[cosignBundle]}, "does not match"},
		"no entry":                   {map[string]string{cosignCertificate: annotations[cosignCertificate]}, ErrTime.Error()},
		"no certificate":             {nil, ErrSigner.Error()},
		"a broken entry":             {map[string]string{cosignCertificate: annotations[cosignCertificate], cosignBundle: "{"}, cosignBundle},
		"a broken certificate":       {map[string]string{cosignCertificate: "x", cosignBundle: annotations[cosignBundle]}, "PEM"},
	} {
		r := readCosign("layer", envelope, c.annotations).Verify(ours.policy(), nil)
		if r.Err == nil || !strings.Contains(r.Refused, c.want) {
			t.Errorf("%s: refused with %q, want %q", name, r.Refused, c.want)
		}
	}
}

func TestAnEnvelopeWithACertificateAloneLacksItsTime(t *testing.T) {
	ours := newAuthority(t)
	data, annotations := older(t, ours, provenanceOf(sumA))
	withCertificate := func(text, certificate string) []byte {
		var e map[string]any
		if err := json.Unmarshal([]byte(text), &e); err != nil {
			t.Fatal(err)
		}
		e["signatures"].([]any)[0].(map[string]any)["cert"] = certificate
		out, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	alone := withCertificate(string(data), annotations[cosignCertificate])
	r := readOne(t, alone).Verify(ours.policy(), nil)
	if !errors.Is(r.Err, ErrTime) || !strings.Contains(r.Refused, workflow) {
		t.Errorf("refused with %q, want that the time lacks and whose certificate it is", r.Refused)
	}
	if r := readOne(t, alone).Verify(newAuthority(t).policy(), nil); !errors.Is(r.Err, ErrSigner) {
		t.Errorf("another root: %v", r.Err)
	}
	_, others := older(t, ours, provenanceOf(sumA))
	if r := readOne(t, withCertificate(string(data), others[cosignCertificate])).Verify(ours.policy(), nil); !errors.Is(r.Err, ErrSignature) {
		t.Errorf("the certificate of another: %v", r.Err)
	}
}

func TestRootsAreReadAndChecked(t *testing.T) {
	for text, want := range map[string]string{
		"":    "found nothing",
		"{":   "expected JSON",
		"{}":  "expected a trusted root",
		"[1]": "expected a trusted root",
		`{"mediaType":"application/vnd.dev.sigstore.trustedroot+json;version=0.1"}`: "expected certificate authorities",
	} {
		if _, err := ParseRoots("root.json", []byte(text)); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "root.json") {
			t.Errorf("%q: error %v, want one that names the file and %q", text, err, want)
		}
	}
}

func TestIdentitiesMatchWhole(t *testing.T) {
	for _, c := range []struct {
		asked, have string
		want        bool
	}{
		{"https://github.com/acme/shop/*", "https://github.com/acme/shop/.github/workflows/a.yml@refs/tags/v1", true},
		{"https://github.com/acme/*@refs/tags/v*", "https://github.com/acme/shop/.github/workflows/a.yml@refs/tags/v1", true},
		{"https://github.com/acme/*@refs/tags/v*", "https://github.com/acme/shop/.github/workflows/a.yml@refs/heads/v1", false},
		{"https://github.com/acme/shop", "https://github.com/acme/shop2", false},
		{"https://github.com/acme/shop", "xhttps://github.com/acme/shop", false},
		{"https://github.com/acme/*", "https://github.com/acmeevil/shop", false},
		{"a.b", "axb", false},
		{"a*", "a\nb", true},
	} {
		if got := (Identity{c.asked, actions}).matches(c.have, actions); got != c.want {
			t.Errorf("%q for %q: %v", c.asked, c.have, got)
		}
		if (Identity{c.asked, actions}).matches(c.have, actions+"/") {
			t.Errorf("%q for %q: another issuer is taken", c.asked, c.have)
		}
	}
}
