package attestation

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/digitorus/timestamp"

	"github.com/backstitch/backstitch/fact"
)

// stamper is a time stamp authority of a test.
type stamper struct {
	*authority
	leaf *x509.Certificate
	by   *ecdsa.PrivateKey
}

func newStamper(a *authority) *stamper {
	a.t.Helper()
	usage, err := asn1.Marshal([]asn1.ObjectIdentifier{{1, 3, 6, 1, 5, 5, 7, 3, 8}})
	if err != nil {
		a.t.Fatal(err)
	}
	key := newECDSA(a.t)
	template := &x509.Certificate{SerialNumber: big.NewInt(50), Subject: pkix.Name{CommonName: "test clock"}, NotBefore: noon.AddDate(-20, 0, 0), NotAfter: noon.AddDate(20, 0, 0), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtraExtensions: []pkix.Extension{{Id: asn1.ObjectIdentifier{2, 5, 29, 37}, Critical: true, Value: usage}}}
	return &stamper{a, a.issue(template, a.certificate, key, a.key), key}
}

// policy believes the authority and its clock, and knows no log.
func (s *stamper) policy() Policy {
	s.t.Helper()
	period := values{"start": "2020-01-01T00:00:00Z"}
	root := values{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1",
		"certificateAuthorities": []any{values{"uri": "https://authority.example", "certChain": values{"certificates": []any{values{"rawBytes": b64(s.certificate.Raw)}}}, "validFor": period}},
		"timestampAuthorities":   []any{values{"uri": "https://clock.example", "certChain": values{"certificates": []any{values{"rawBytes": b64(s.leaf.Raw)}, values{"rawBytes": b64(s.certificate.Raw)}}}, "validFor": period}}}
	roots, err := ParseRoots("test root", s.json(root))
	if err != nil {
		s.t.Fatal(err)
	}
	return Policy{Roots: roots, Identities: []Identity{{workflow, actions}}}
}

func (s *stamper) stamp(signature []byte, at time.Time) []byte {
	s.t.Helper()
	request, err := timestamp.CreateRequest(bytes.NewReader(signature), &timestamp.RequestOptions{Hash: crypto.SHA256})
	if err != nil {
		s.t.Fatal(err)
	}
	asked, err := timestamp.ParseRequest(request)
	if err != nil {
		s.t.Fatal(err)
	}
	stamp := timestamp.Timestamp{HashAlgorithm: asked.HashAlgorithm, HashedMessage: asked.HashedMessage, Time: at, Policy: asn1.ObjectIdentifier{1, 2, 3}}
	response, err := stamp.CreateResponseWithOpts(s.leaf, s.by, crypto.SHA256)
	if err != nil {
		s.t.Fatal(err)
	}
	return response
}

// bundle makes a bundle without a log entry; stamped is what the time stamp is of,
// nil the signature.
func (s *stamper) bundle(at time.Time, stamped []byte) []byte {
	s.t.Helper()
	var document values
	if err := json.Unmarshal(s.authority.bundle("0.3", workflow, provenanceOf(sumA), soon()), &document); err != nil {
		s.t.Fatal(err)
	}
	if stamped == nil {
		encoded := document["dsseEnvelope"].(values)["signatures"].([]any)[0].(values)["sig"].(string)
		signature, err := decodeBase64(encoded)
		if err != nil {
			s.t.Fatal(err)
		}
		stamped = signature
	}
	material := document["verificationMaterial"].(values)
	delete(material, "tlogEntries")
	material["timestampVerificationData"] = values{"rfc3161Timestamps": []any{values{"signedTimestamp": b64(s.stamp(stamped, at))}}}
	return s.json(document)
}

func TestATimeStampProvesTheTimeWhereThereIsNoLog(t *testing.T) {
	clock := newStamper(newAuthority(t))
	r := readOne(t, clock.bundle(soon(), nil)).Verify(clock.policy(), []string{"sha256:" + sumA})
	if r.Err != nil || r.Strength != fact.Proven || r.SignedAt == nil || !r.SignedAt.Equal(soon()) || !strings.Contains(strings.Join(r.Checked, "\n"), "time stamp of https://clock.example") {
		t.Errorf("%v, %s at %v, checked %q", r.Err, r.Strength, r.SignedAt, r.Checked)
	}
	another := newStamper(newAuthority(t))
	for name, c := range map[string]struct {
		data   []byte
		policy Policy
		want   string
	}{
		"the certificate had expired": {clock.bundle(noon.Add(time.Hour), nil), clock.policy(), "leaf certificate"},
		"of another signature":        {clock.bundle(soon(), []byte("another")), clock.policy(), "messages don't match"},
		"of another clock":            {(&stamper{clock.authority, another.leaf, another.by}).bundle(soon(), nil), clock.policy(), "verifying signature"},
		"where a log is asked for":    {clock.bundle(soon(), nil), clock.authority.policy(), "log"},
	} {
		if r := readOne(t, c.data).Verify(c.policy, nil); r.Err == nil || !strings.Contains(r.Refused, c.want) {
			t.Errorf("%s: refused with %q, want %q", name, r.Refused, c.want)
		}
	}
}
