package attestation

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	protobundle "github.com/sigstore/protobuf-specs/gen/pb-go/bundle/v1"
	protocommon "github.com/sigstore/protobuf-specs/gen/pb-go/common/v1"
	protodsse "github.com/sigstore/protobuf-specs/gen/pb-go/dsse"
	protorekor "github.com/sigstore/protobuf-specs/gen/pb-go/rekor/v1"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"google.golang.org/protobuf/encoding/protojson"
)

// cosign's annotations of the layers of its older attestation manifests.
const (
	cosignBundle      = "dev.sigstore.cosign/bundle"
	cosignCertificate = "dev.sigstore.cosign/certificate"
	mediaDSSE         = "application/vnd.dsse.envelope.v1+json"
)

// stored is what cosign keeps beside an envelope: the certificate of its key and
// the entry of the log.
type stored struct {
	raw  []byte // the envelope, byte for byte
	leaf *x509.Certificate
	entry
	// err is why they cannot be used; the envelope can be read all the same.
	err error
}

// entry is a log entry as cosign keeps it, signed as a promise of the log.
type entry struct {
	SignedEntryTimestamp []byte
	Payload              struct {
		Body           []byte `json:"body"`
		IntegratedTime int64  `json:"integratedTime"`
		LogIndex       int64  `json:"logIndex"`
		LogID          string `json:"logID"`
	}
}

// readCosign reads an attestation as cosign stored it before bundles: an
// envelope whose certificate and log entry are annotations of its layer.
func readCosign(name string, data []byte, annotations map[string]string) *Attestation {
	a := readEnvelope(name, data)
	certificate := annotations[cosignCertificate]
	if a.err != nil || certificate == "" {
		return a
	}
	if annotations[cosignBundle] == "" {
		for i := range a.envelope.Signatures {
			a.envelope.Signatures[i].Cert = certificate
		}
		return a
	}
	a.stored = &stored{raw: data}
	bundle, err := a.stored.read(name, a, certificate, annotations[cosignBundle])
	if bundle != nil {
		return bundle
	}
	a.stored.err = err
	return a
}

// read reads the annotations, and gives the bundle that cosign would write today
// when the entry is of a kind that bundles know.
func (s *stored) read(name string, a *Attestation, certificate, text string) (*Attestation, error) {
	var err error
	if s.leaf, err = parseCertificate(certificate); err != nil {
		return nil, err
	}
	if err := decode([]byte(text), &s.entry); err != nil {
		return nil, fmt.Errorf("annotation %s: %w", cosignBundle, err)
	}
	id, err := hex.DecodeString(s.Payload.LogID)
	if err != nil {
		return nil, fmt.Errorf("annotation %s: logID: %w", cosignBundle, err)
	}
	var body struct {
		Kind    string `json:"kind"`
		Version string `json:"apiVersion"`
	}
	if err := decode(s.Payload.Body, &body); err != nil {
		return nil, fmt.Errorf("annotation %s: body: %w", cosignBundle, err)
	}
	if len(a.envelope.Signatures) != 1 {
		return nil, fmt.Errorf("envelope: %d signatures, expected one", len(a.envelope.Signatures))
	}
	if body.Kind == "intoto" && body.Version == "0.0.1" {
		return nil, nil
	}
	signature, err := decodeBase64(a.envelope.Signatures[0].Sig)
	if err != nil {
		return nil, fmt.Errorf("envelope: signature: %w", err)
	}
	data, err := protojson.Marshal(&protobundle.Bundle{
		MediaType: bundleType + "+json;version=0.1",
		VerificationMaterial: &protobundle.VerificationMaterial{
			Content: &protobundle.VerificationMaterial_X509CertificateChain{X509CertificateChain: &protocommon.X509CertificateChain{
				Certificates: []*protocommon.X509Certificate{{RawBytes: s.leaf.Raw}},
			}},
			TlogEntries: []*protorekor.TransparencyLogEntry{{
				LogIndex: s.Payload.LogIndex, LogId: &protocommon.LogId{KeyId: id}, KindVersion: &protorekor.KindVersion{Kind: body.Kind, Version: body.Version},
				IntegratedTime: s.Payload.IntegratedTime, InclusionPromise: &protorekor.InclusionPromise{SignedEntryTimestamp: s.SignedEntryTimestamp}, CanonicalizedBody: s.Payload.Body,
			}},
		},
		Content: &protobundle.Bundle_DsseEnvelope{DsseEnvelope: &protodsse.Envelope{
			Payload: a.payload, PayloadType: a.payloadType, Signatures: []*protodsse.Signature{{Sig: signature}},
		}},
	})
	if err != nil {
		return nil, err
	}
	bundle := readBundle(name, data)
	if bundle.err != nil {
		return nil, bundle.err
	}
	return bundle, nil
}

// verifyStored verifies an envelope by what cosign stored beside it, for the kind
// of entry that cosign wrote before version 2.2 and that bundles do not know: it
// is of the whole envelope, byte for byte.
func (a *Attestation) verifyStored(r *Result, policy Policy) error {
	s := a.stored
	if s.err != nil {
		return s.err
	}
	key, err := newKey(s.leaf.PublicKey)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if _, err := a.envelope.signedBy([]Key{key}, a.payload, nil); err != nil {
		return fmt.Errorf("%w the certificate beside it", ErrSignature)
	}
	if err := s.isOf(a); err != nil {
		return err
	}
	at := time.Unix(s.Payload.IntegratedTime, 0).UTC()
	var failed []error
	for _, root := range policy.Roots {
		log, err := root.promised(s.entry, at)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		chains, err := verify.VerifyLeafCertificate(at, s.leaf, root.material)
		if err == nil && len(root.material.CTLogs()) > 0 {
			err = verify.VerifySignedCertificateTimestamp(chains, 1, root.material)
		}
		if err != nil {
			failed = append(failed, fmt.Errorf("certificate at %s: %w", at.Format(time.RFC3339), err))
			continue
		}
		summary, err := certificate.SummarizeCertificate(s.leaf)
		if err != nil {
			return fmt.Errorf("certificate: %w", err)
		}
		if err := policy.allows(summary); err != nil {
			return err
		}
		r.certified(root, summary)
		r.times([]verify.TimestampVerificationResult{{Type: "Tlog", URI: log, Timestamp: at}})
		return nil
	}
	return fmt.Errorf("%w: %w", ErrSigner, errors.Join(failed...))
}

// isOf says whether the log entry is of the envelope and of the certificate.
func (s *stored) isOf(a *Attestation) error {
	var body struct {
		Spec struct {
			Content struct {
				Hash struct {
					Algorithm string `json:"algorithm"`
					Value     string `json:"value"`
				} `json:"hash"`
			} `json:"content"`
			PublicKey []byte `json:"publicKey"`
		} `json:"spec"`
	}
	if err := decode(s.Payload.Body, &body); err != nil {
		return fmt.Errorf("log entry: %w", err)
	}
	sum := sha256.Sum256(s.raw)
	if hash := body.Spec.Content.Hash; hash.Algorithm != "sha256" || hash.Value != hex.EncodeToString(sum[:]) {
		return fmt.Errorf("%w: the log entry is of another envelope", ErrSigner)
	}
	logged, err := parseCertificate(string(body.Spec.PublicKey))
	if err != nil {
		return fmt.Errorf("log entry: %w", err)
	}
	if !bytes.Equal(logged.Raw, s.leaf.Raw) {
		return fmt.Errorf("%w: the log entry is of another certificate", ErrSigner)
	}
	return nil
}

// promised checks that a log of the root has signed an entry, and gives its
// address.
func (r *Root) promised(e entry, at time.Time) (string, error) {
	log, ok := r.material.RekorLogs()[e.Payload.LogID]
	if !ok {
		return "", fmt.Errorf("log %s is not known to %s", cut(e.Payload.LogID), r.Name)
	}
	if at.Before(log.ValidityPeriodStart) || !log.ValidityPeriodEnd.IsZero() && at.After(log.ValidityPeriodEnd) {
		return "", fmt.Errorf("log %s had no valid key at %s", cut(e.Payload.LogID), at.Format(time.RFC3339))
	}
	public, ok := log.PublicKey.(*ecdsa.PublicKey)
	if !ok {
		return "", fmt.Errorf("key of log %s is of type %T, expected ECDSA", cut(e.Payload.LogID), log.PublicKey)
	}
	// The canonical form of JSON (RFC 8785) of the entry, whose values need no
	// escapes.
	signed := fmt.Appendf(nil, `{"body":"%s","integratedTime":%d,"logID":"%s","logIndex":%d}`,
		base64.StdEncoding.EncodeToString(e.Payload.Body), e.Payload.IntegratedTime, e.Payload.LogID, e.Payload.LogIndex)
	sum := sha256.Sum256(signed)
	if !ecdsa.VerifyASN1(public, sum[:], e.SignedEntryTimestamp) {
		return "", fmt.Errorf("%w: the log did not sign its entry", ErrSignature)
	}
	return log.BaseURL, nil
}
