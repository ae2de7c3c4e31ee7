package attestation

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/backstitch/backstitch/fact"
)

// oldest makes an attestation as cosign stored it before version 2.2, whose log
// entry is of the whole envelope.
func (a *authority) oldest(identity string, payload []byte, at time.Time) (envelope []byte, annotations map[string]string) {
	a.t.Helper()
	leaf, key := a.leaf(identity)
	envelope = a.json(values{"payloadType": payloadInToto, "payload": b64(payload), "signatures": []any{values{"keyid": "", "sig": b64(a.sign(key, PAE(payloadInToto, payload)))}}})
	body := a.json(values{"apiVersion": "0.0.1", "kind": "intoto", "spec": values{"content": values{"hash": values{"algorithm": "sha256", "value": hexSum(envelope)},
		"payloadHash": values{"algorithm": "sha256", "value": hexSum(payload)}}, "publicKey": b64(pemOf(leaf))}})
	log := sha256.Sum256(pkixOf(a.t, a.log))
	id := hex.EncodeToString(log[:])
	promise := a.sign(a.log, fmt.Appendf(nil, `{"body":%q,"integratedTime":%d,"logID":%q,"logIndex":7}`, b64(body), at.Unix(), id))
	return envelope, map[string]string{cosignCertificate: string(pemOf(leaf)),
		cosignBundle: string(a.json(values{"SignedEntryTimestamp": b64(promise), "Payload": values{"body": b64(body), "integratedTime": at.Unix(), "logIndex": 7, "logID": id}}))}
}

func TestCosignsOldestFormIsVerifiedByItsEnvelopesHash(t *testing.T) {
	ours := newAuthority(t)
	envelope, annotations := ours.oldest(workflow, provenanceOf(sumA), soon())
	r := readCosign("layer", envelope, annotations).Verify(ours.policy(), []string{"sha256:" + sumA})
	if r.Err != nil || r.Signer != workflow || r.Issuer != actions || r.Strength != fact.Proven || r.SignedAt == nil || !r.SignedAt.Equal(soon()) {
		t.Errorf("%v: %s by %s of %s at %v", r.Err, r.Strength, r.Signer, r.Issuer, r.SignedAt)
	}
	second, others := ours.oldest(workflow, provenanceOf(sumA), soon())
	late, lately := ours.oldest(workflow, provenanceOf(sumA), noon.Add(time.Hour))
	mixed := func(bundle, certificate map[string]string) map[string]string {
		return map[string]string{cosignBundle: bundle[cosignBundle], cosignCertificate: certificate[cosignCertificate]}
	}
	changed := func(old, new string) map[string]string {
		return map[string]string{cosignCertificate: annotations[cosignCertificate], cosignBundle: strings.Replace(annotations[cosignBundle], old, new, 1)}
	}
	at := fmt.Sprint(soon().Unix())
	for name, c := range map[string]struct {
		envelope    []byte
		annotations map[string]string
		policy      Policy
		want        error
	}{
		"the entry of another":         {envelope, mixed(others, annotations), ours.policy(), ErrSigner},
		"the certificate of another":   {envelope, mixed(annotations, others), ours.policy(), ErrSignature},
		"the envelope of another":      {second, annotations, ours.policy(), ErrSignature},
		"an envelope with a space":     {append(envelope, ' '), annotations, ours.policy(), ErrSigner},
		"another time":                 {envelope, changed(at, "1900000000"), ours.policy(), ErrSignature},
		"another number":               {envelope, changed(`"logIndex":7`, `"logIndex":8`), ours.policy(), ErrSignature},
		"a time named twice":           {envelope, changed(`"integratedTime"`, `"integratedTime":1,"integratedTime"`), ours.policy(), nil},
		"signed after it had expired":  {late, lately, ours.policy(), ErrSigner},
		"another root":                 {envelope, annotations, newAuthority(t).policy(), ErrSigner},
		"another identity":             {envelope, annotations, Policy{Roots: ours.roots(false), Identities: []Identity{{"https://github.com/evil/*", actions}}}, ErrSigner},
		"a certificate log is known":   {envelope, annotations, Policy{Roots: ours.roots(true), Identities: ours.policy().Identities}, ErrSigner},
		"a kind that is not supported": {envelope, changed(b64([]byte(`{"apiVersion":"0.0.1","kind":"in`))[:28], b64([]byte(`{"apiVersion":"0.0.9","kind":"in`))[:28]), ours.policy(), nil},
	} {
		r := readCosign("layer", c.envelope, c.annotations).Verify(c.policy, nil)
		if r.Err == nil || c.want != nil && !errors.Is(r.Err, c.want) {
			t.Errorf("%s: %v, want %v", name, r.Err, c.want)
		}
		if r := readCosign("layer", c.envelope, c.annotations).Verify(Policy{}, nil); r.Err != nil || r.Strength != fact.Attested {
			t.Errorf("%s: without a policy %v, %q; want attested, since its envelope can be read", name, r.Err, r.Strength)
		}
	}
}

func TestWhatIsTooLargeIsRefused(t *testing.T) {
	large := append([]byte(`{"payloadType":"x","payload":"`), make([]byte, maxDocument)...)
	for i := range large[30:] {
		large[30+i] = 'A'
	}
	large = append(large, `","signatures":[{"sig":"AAAA"}]}`...)
	if r := readOne(t, large).Verify(Policy{}, nil); r.Err == nil || !strings.Contains(r.Refused, "at most") {
		t.Errorf("an envelope of %d bytes: %v", len(large), r.Err)
	}
	if _, err := Read("file", make([]byte, maxFile+1)); err == nil {
		t.Error("a file that is too large is read")
	}
	if _, err := Read("file", []byte(strings.Repeat("{}", maxAttestations+1))); err == nil {
		t.Error("a file of too many attestations is read")
	}
}
