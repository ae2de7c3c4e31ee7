package attestation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"

	"github.com/backstitch/backstitch/fact"
)

const (
	sumA = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
	sumB = "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
	sha1 = "0123456789abcdef0123456789abcdef01234567"
)

// statementOf makes a statement of a digest.
func statementOf(sum, predicateType, predicate string) []byte {
	return fmt.Appendf(nil, `{"_type":%q,"subject":[{"name":"shop","digest":{"sha256":%q}}],"predicateType":%q,"predicate":%s}`, statementV1, sum, predicateType, predicate)
}

// workflowPredicate is provenance as GitHub's own action writes it.
func workflowPredicate(repository, commit string) string {
	return fmt.Sprintf(`{"buildDefinition":{"buildType":"https://actions.github.io/buildtypes/workflow/v1",
		"externalParameters":{"workflow":{"ref":"refs/heads/main","repository":%q,"path":".github/workflows/build.yml"}},
		"resolvedDependencies":[{"uri":"git+%s@refs/heads/main","digest":{"gitCommit":%q}}]},
		"runDetails":{"builder":{"id":"https://github.com/actions/runner/github-hosted"},"metadata":{"invocationId":"%s/actions/runs/7/attempts/1"}}}`,
		repository, repository, commit, repository)
}

func provenanceOf(sum string) []byte {
	return statementOf(sum, provenanceV1, workflowPredicate("https://github.com/acme/shop", sha1))
}

type signing func(message []byte) []byte

// ecdsaKey makes a key and how it signs.
func ecdsaKey(t testing.TB, curve elliptic.Curve) (Key, signing) {
	t.Helper()
	private, err := ecdsa.GenerateKey(curve, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return keyOf(t, private.Public()), func(message []byte) []byte {
		sum := sha256.Sum256(message)
		signature, err := ecdsa.SignASN1(rand.Reader, private, sum[:])
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
}

func keyOf(t testing.TB, public crypto.PublicKey) Key {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	keys, err := ParseKeys("key.pem", pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	if err != nil {
		t.Fatal(err)
	}
	return keys[0]
}

func envelopeBy(sign signing, payloadType string, payload []byte) []byte {
	data, _ := json.Marshal(map[string]any{"payloadType": payloadType, "payload": base64.StdEncoding.EncodeToString(payload),
		"signatures": []any{map[string]string{"keyid": "", "sig": base64.StdEncoding.EncodeToString(sign(PAE(payloadType, payload)))}}})
	return data
}

func readOne(t testing.TB, data []byte) *Attestation {
	t.Helper()
	list, err := Read("file", data)
	if err != nil {
		t.Fatal(err)
	}
	if len(list) != 1 {
		t.Fatalf("%d attestations, want one", len(list))
	}
	return list[0]
}

func TestPAEIsAsItsSpecificationSays(t *testing.T) {
	if got, want := string(PAE("http://example.com/HelloWorld", []byte("hello world"))), "DSSEv1 29 http://example.com/HelloWorld 11 hello world"; got != want {
		t.Errorf("PAE gives %q, want %q", got, want)
	}
}

func TestEveryKindOfKeyVerifiesItsOwnSignatureOnly(t *testing.T) {
	p256, byP256 := ecdsaKey(t, elliptic.P256())
	p384, byP384 := ecdsaKey(t, elliptic.P384())
	long, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	edPublic, edPrivate, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	rsaPrivate, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	must := func(signature []byte, err error) []byte {
		if err != nil {
			t.Fatal(err)
		}
		return signature
	}
	cases := map[string]struct {
		key  Key
		sign signing
	}{
		"P-256":              {p256, byP256},
		"P-384 over SHA-256": {p384, byP384},
		"Ed25519":            {keyOf(t, edPublic), func(m []byte) []byte { return ed25519.Sign(edPrivate, m) }},
		"RSA of PKCS #1": {keyOf(t, rsaPrivate.Public()), func(m []byte) []byte {
			s := sha256.Sum256(m)
			return must(rsa.SignPKCS1v15(nil, rsaPrivate, crypto.SHA256, s[:]))
		}},
		"RSA-PSS": {keyOf(t, rsaPrivate.Public()), func(m []byte) []byte {
			s := sha256.Sum256(m)
			return must(rsa.SignPSS(rand.Reader, rsaPrivate, crypto.SHA256, s[:], nil))
		}},
		"P-384 over SHA-384":   {keyOf(t, long.Public()), func(m []byte) []byte { s := sha512.Sum384(m); return must(ecdsa.SignASN1(rand.Reader, long, s[:])) }},
		"P-384 as two numbers": {keyOf(t, long.Public()), func(m []byte) []byte { return twoNumbers(t, long, m) }},
	}
	for name, c := range cases {
		a := readOne(t, envelopeBy(c.sign, payloadInToto, provenanceOf(sumA)))
		r := a.Verify(Policy{Keys: []Key{c.key}}, []string{"sha256:" + sumA})
		if r.Err != nil || r.Strength != fact.Proven || r.Signer != c.key.String() {
			t.Errorf("%s: %v, strength %q, signer %q; want proven by %s", name, r.Err, r.Strength, r.Signer, c.key)
		}
		for other, o := range cases {
			if o.key.ID == c.key.ID {
				continue
			}
			if r := a.Verify(Policy{Keys: []Key{o.key}}, nil); !errors.Is(r.Err, ErrSignature) || r.Strength != "" || r.Signer != "" {
				t.Errorf("%s verified with the key of %s: %v, strength %q", name, other, r.Err, r.Strength)
			}
		}
	}
}

func twoNumbers(t testing.TB, private *ecdsa.PrivateKey, message []byte) []byte {
	t.Helper()
	sum := sha512.Sum384(message)
	r, s, err := ecdsa.Sign(rand.Reader, private, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	fill := func(n *big.Int) []byte { return n.FillBytes(make([]byte, 48)) }
	return slices.Concat(fill(r), fill(s))
}

func TestWeakAndForeignKeysAreRefused(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal("a small RSA key to refuse: ", err)
	}
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	pemOf := func(public any) string {
		der, err := x509.MarshalPKIXPublicKey(public)
		if err != nil {
			t.Fatal(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	}
	for text, want := range map[string]string{
		pemOf(small.Public()): "at least 2048",
		pemOf(p224.Public()):  "P-256 or P-384",
		"":                    "found none",
		"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n": "expected PUBLIC KEY",
		"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n":   "PEM block 1",
	} {
		if _, err := ParseKeys("k.pem", []byte(text)); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "k.pem") {
			t.Errorf("%.40q: error %v, want one that names the file and %q", text, err, want)
		}
	}
}

func TestWhatIsNotWhatWasSignedIsRefused(t *testing.T) {
	key, sign := ecdsaKey(t, elliptic.P256())
	policy := Policy{Keys: []Key{key}}
	payload := provenanceOf(sumA)
	good := string(envelopeBy(sign, payloadInToto, payload))
	encoded := base64.StdEncoding.EncodeToString(payload)
	if r := readOne(t, []byte(good)).Verify(policy, []string{"sha256:" + sumA}); r.Err != nil {
		t.Fatal("the case itself does not hold:", r.Err)
	}
	other := base64.StdEncoding.EncodeToString(provenanceOf(sumB))
	deep := strings.Repeat(`{"a":`, 300) + "1" + strings.Repeat("}", 300)
	cases := map[string]struct {
		data    string
		digests []string
		want    string
	}{
		"payload of another":      {strings.Replace(good, encoded, other, 1), nil, "does not fit"},
		"payload type swapped":    {strings.Replace(good, payloadInToto, "application/json", 1), nil, "does not fit"},
		"truncated base64":        {strings.Replace(good, encoded, encoded[:len(encoded)-2], 1), nil, "expected base64"},
		"base64 with a line":      {strings.Replace(good, encoded, encoded[:40]+`\n`+encoded[40:], 1), nil, "line breaks"},
		"payload named twice":     {strings.Replace(good, `"payload":`, `"payload":"`+other+`","payload":`, 1), nil, "duplicate"},
		"no signatures":           {`{"payloadType":"a","payload":"YQ==","signatures":[]}`, nil, "found none"},
		"too many signatures":     {`{"payloadType":"a","payload":"YQ==","signatures":[` + strings.Repeat(`{"sig":"YQ=="},`, 40) + `{"sig":"YQ=="}]}`, nil, "at most"},
		"another image":           {good, []string{"sha256:" + sumB}, "another subject"},
		"signed, not a statement": {string(envelopeBy(sign, "application/vnd.other", payload)), nil, "not understood"},
		"signed, no subject":      {string(envelopeBy(sign, payloadInToto, []byte(`{"_type":"`+statementV1+`","subject":[],"predicateType":"x","predicate":{}}`))), nil, "found none"},
		"signed, a name twice":    {string(envelopeBy(sign, payloadInToto, []byte(strings.Replace(string(payload), `"subject"`, `"subject":[{"name":"x","digest":{"sha256":"`+sumB+`"}}],"subject"`, 1)))), nil, "duplicate"},
		"signed, deep":            {string(envelopeBy(sign, payloadInToto, statementOf(sumA, "x", deep))), nil, "nested more than"},
		"signed, odd digest":      {string(envelopeBy(sign, payloadInToto, statementOf("AB", "x", "{}"))), nil, "64 hexadecimal"},
		"signed, unknown type":    {string(envelopeBy(sign, payloadInToto, []byte(strings.Replace(string(payload), statementV1, "https://in-toto.io/Statement/v9", 1)))), nil, "expected " + statementV01},
		"no JSON":                 {`{"payload"`, nil, "expected JSON"},
		"another thing":           {`{"hello":1}`, nil, "expected an in-toto statement"},
		"no signature":            {string(payload), nil, ErrUnsigned.Error()},
	}
	for name, c := range cases {
		r := readOne(t, []byte(c.data)).Verify(policy, c.digests)
		if r.Err == nil || !strings.Contains(r.Refused, c.want) {
			t.Errorf("%s: refused with %q, want %q", name, r.Refused, c.want)
		}
		if p, ok, _ := r.Provenance(nil); ok || p.Signed || r.Strength != "" {
			t.Errorf("%s: a refused attestation gives provenance %v or strength %q", name, p, r.Strength)
		}
	}
}

func TestOneSignatureOfAKnownKeyIsEnough(t *testing.T) {
	key, sign := ecdsaKey(t, elliptic.P256())
	_, stranger := ecdsaKey(t, elliptic.P256())
	var e envelope
	if err := json.Unmarshal(envelopeBy(stranger, payloadInToto, provenanceOf(sumA)), &e); err != nil {
		t.Fatal(err)
	}
	e.Signatures = append(e.Signatures, envelopeSignature{KeyID: "x", Sig: base64.StdEncoding.EncodeToString(sign(PAE(payloadInToto, provenanceOf(sumA))))})
	data, err := json.Marshal(map[string]any{"payload": e.Payload, "payloadType": e.PayloadType, "signatures": []map[string]string{
		{"keyid": "", "sig": e.Signatures[0].Sig}, {"keyid": "x", "sig": e.Signatures[1].Sig}}})
	if err != nil {
		t.Fatal(err)
	}
	if r := readOne(t, data).Verify(Policy{Keys: []Key{key}}, nil); r.Err != nil || r.Signer != key.String() {
		t.Errorf("%v, signer %q", r.Err, r.Signer)
	}
}

func TestWithoutAPolicyASignatureIsWorthNoMoreThanNone(t *testing.T) {
	_, sign := ecdsaKey(t, elliptic.P256())
	for _, data := range [][]byte{provenanceOf(sumA), envelopeBy(sign, payloadInToto, provenanceOf(sumA))} {
		r := readOne(t, data).Verify(Policy{}, []string{"sha256:" + sumA})
		if r.Err != nil || r.Strength != fact.Attested || len(r.Checked) != 1 {
			t.Errorf("%s: %v, strength %q, checked %q; want attested, its subject checked", r.Form, r.Err, r.Strength, r.Checked)
		}
		if p, ok, err := r.Provenance(nil); !ok || err != nil || p.Signed {
			t.Errorf("%s: provenance %v %v, signed %v", r.Form, ok, err, p.Signed)
		}
		if r := readOne(t, data).Verify(Policy{}, []string{"sha256:" + sumB}); !errors.Is(r.Err, ErrSubject) {
			t.Errorf("%s of another image: %v", r.Form, r.Err)
		}
	}
}

func TestAFileMayHoldSeveralAndABrokenOneHidesNone(t *testing.T) {
	key, sign := ecdsaKey(t, elliptic.P256())
	good := string(envelopeBy(sign, payloadInToto, provenanceOf(sumA)))
	list, err := Read("all.jsonl", []byte(good+"\n\n"+strings.Replace(good, `"sig":"M`, `"sig":"N`, 1)+"\n"+good+"\n{"))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, a := range list {
		r := a.Verify(Policy{Keys: []Key{key}}, nil)
		got = append(got, fmt.Sprint(r.Name, " ", r.Err == nil))
	}
	if want := []string{"all.jsonl#1 true", "all.jsonl#2 false", "all.jsonl#3 true", "all.jsonl#4 false"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, err := Read("empty", []byte(" \n")); err == nil {
		t.Error("an empty file is taken for attestations")
	}
}

func TestAListThatNamesAnotherPredicateIsRefused(t *testing.T) {
	key, sign := ecdsaKey(t, elliptic.P256())
	bundle := keyBundle(t, sign, provenanceOf(sumA))
	for claimed, want := range map[string]bool{provenanceV1: true, "": true, "https://slsa.dev/provenance/v0.2": false} {
		r := readOne(t, fmt.Appendf(nil, `{"attestations":[{"predicateType":%q,"bundle":%s}]}`, claimed, bundle)).Verify(Policy{Keys: []Key{key}}, nil)
		if (r.Err == nil) != want {
			t.Errorf("listed as %q: %v", claimed, r.Err)
		}
	}
}

// keyBundle makes a Sigstore bundle that was signed with a key and not logged.
func keyBundle(t testing.TB, sign signing, payload []byte) []byte {
	t.Helper()
	return fmt.Appendf(nil, `{"mediaType":"application/vnd.dev.sigstore.bundle.v0.3+json","verificationMaterial":{"publicKey":{"hint":"mine"}},
		"dsseEnvelope":{"payload":%q,"payloadType":%q,"signatures":[{"sig":%q}]}}`,
		base64.StdEncoding.EncodeToString(payload), payloadInToto, base64.StdEncoding.EncodeToString(sign(PAE(payloadInToto, payload))))
}

// cloudBuild makes what gcloud prints, with text beside the envelope.
func cloudBuild(envelope []byte, kind, resource, text string) []byte {
	return fmt.Appendf(nil, `{"image_summary":{},"provenance_summary":{"provenance":[{"kind":%q,"resourceUri":%q,"envelope":%s,"build":{"intotoStatement":%s}}]}}`, kind, resource, envelope, text)
}

func TestTheTextBesideGooglesEnvelopeMustSayWhatWasSigned(t *testing.T) {
	key, sign := ecdsaKey(t, elliptic.P256())
	payload := statementOf(sumA, provenanceV01, `{"builder":{"id":"https://cloudbuild.googleapis.com/GoogleHostedWorker@v0.3"},"materials":[{"uri":"https://github.com/acme/shop/commit/`+sha1+`"}]}`)
	named := strings.Replace(string(envelopeBy(sign, payloadInToto, payload)), `"keyid":""`, `"keyid":"projects/p/locations/global/keyRings/r/cryptoKeys/k/cryptoKeyVersions/1"`, 1)
	resource := "https://docker.example/shop@sha256:" + sumA
	same := `{"subject":[{"digest":{"sha256":"` + sumA + `"},"name":"shop"}]}`
	for name, c := range map[string]struct {
		data []byte
		want string
	}{
		"as it is":             {cloudBuild([]byte(named), "BUILD", resource, same), ""},
		"another text":         {cloudBuild([]byte(named), "BUILD", resource, strings.Replace(same, "shop", "shop2", 1)), "differs from what was signed"},
		"another kind":         {cloudBuild([]byte(named), "DEPLOY", resource, same), "expected BUILD"},
		"beside another image": {cloudBuild([]byte(named), "BUILD", "https://docker.example/shop@sha256:"+sumB, same), "another subject"},
		"a key without a name": {cloudBuild(envelopeBy(sign, payloadInToto, payload), "BUILD", resource, same), "key management"},
	} {
		r := readOne(t, c.data).Verify(Policy{Keys: []Key{key}}, nil)
		if c.want == "" && (r.Err != nil || r.Source == nil || r.Source.Repository != "github.com/acme/shop" || r.Source.Commit != sha1) {
			t.Errorf("%s: %v, source %+v", name, r.Err, r.Source)
		}
		if c.want != "" && (r.Err == nil || !strings.Contains(r.Refused, c.want)) {
			t.Errorf("%s: refused with %q, want %q", name, r.Refused, c.want)
		}
	}
}

func TestGooglesOlderKeysSignThePayloadAloneAndNoOthers(t *testing.T) {
	key, sign := ecdsaKey(t, elliptic.P256())
	payload := statementOf(sumA, provenanceV01, `{}`)
	bare := fmt.Sprintf(`{"payloadType":%q,"payload":%q,"signatures":[{"keyid":"%%s","sig":%q}]}`, payloadInToto, base64.URLEncoding.EncodeToString(payload), base64.URLEncoding.EncodeToString(sign(payload)))
	older := fmt.Sprintf(bare, "projects/verified-builder/locations/us-west2/keyRings/attestor/cryptoKeys/builtByGCB/cryptoKeyVersions/1")
	newer := fmt.Sprintf(bare, "projects/verified-builder/locations/us-west2/keyRings/attestor/cryptoKeys/other/cryptoKeyVersions/1")
	resource := "https://docker.example/shop@sha256:" + sumA
	policy := Policy{Keys: []Key{key}}
	if r := readOne(t, cloudBuild([]byte(older), "BUILD", resource, "{}")).Verify(policy, nil); r.Err != nil {
		t.Error(r.Err)
	}
	if r := readOne(t, cloudBuild([]byte(newer), "BUILD", resource, "{}")).Verify(policy, nil); !errors.Is(r.Err, ErrSignature) {
		t.Errorf("a payload signed alone by another key: %v", r.Err)
	}
	if r := readOne(t, []byte(older)).Verify(policy, nil); !errors.Is(r.Err, ErrSignature) {
		t.Errorf("a payload signed alone outside of Google's form: %v", r.Err)
	}
}
