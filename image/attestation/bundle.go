package attestation

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/sigstore/sigstore-go/pkg/bundle"
	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/root"
	"github.com/sigstore/sigstore-go/pkg/verify"
	"github.com/sigstore/sigstore/pkg/signature"
)

// Root is a trusted root of Sigstore: certificate authorities, logs and time
// stamp authorities that the caller believes.
type Root struct {
	Name     string
	material root.TrustedMaterial
}

// ParseRoots reads a file trusted_root.json, which may hold several roots one
// after the other.
func ParseRoots(name string, data []byte) ([]*Root, error) {
	var roots []*Root
	decoder := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		value, err := decoder.ReadValue()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("%s: expected JSON: %w", name, err)
		}
		material, err := root.NewTrustedRootFromJSON(value)
		if err != nil {
			return nil, fmt.Errorf("%s: expected a trusted root: %w", name, err)
		}
		if len(material.FulcioCertificateAuthorities()) == 0 || len(material.RekorLogs())+len(material.TimestampingAuthorities()) == 0 {
			return nil, fmt.Errorf("%s: expected certificate authorities, and logs or time stamp authorities", name)
		}
		roots = append(roots, &Root{fmt.Sprintf("%s#%d", name, len(roots)+1), material})
	}
	if len(roots) == 0 {
		return nil, fmt.Errorf("%s: expected a trusted root, found nothing", name)
	}
	return roots, nil
}

// certified verifies a bundle that was signed with a certificate: the log entry
// or time stamp gives the time, at which the chain must hold; the certificate
// must be in a certificate log when the root knows such logs.
func (r *Root) certified(b *bundle.Bundle, of verify.ArtifactPolicyOption) (*verify.VerificationResult, error) {
	options := []verify.VerifierOption{verify.WithObserverTimestamps(1), verify.WithoutStatementPredicate()}
	if len(r.material.CTLogs()) > 0 {
		options = append(options, verify.WithSignedCertificateTimestamps(1))
	}
	if len(r.material.RekorLogs()) > 0 {
		options = append(options, verify.WithTransparencyLog(1))
	}
	verifier, err := verify.NewVerifier(r.material, options...)
	if err != nil {
		return nil, err
	}
	return verifier.Verify(b, verify.NewPolicy(of, verify.WithoutIdentitiesUnsafe()))
}

// keyMaterial is a root, or none, and a key.
type keyMaterial struct {
	root.TrustedMaterial
	key keyVerifier
}

func (m keyMaterial) PublicKeyVerifier(string) (root.TimeConstrainedVerifier, error) {
	return m.key, nil
}

// keyVerifier is a key that the caller believes at all times.
type keyVerifier struct{ signature.Verifier }

func (keyVerifier) ValidAtTime(time.Time) bool { return true }

// keyed verifies a bundle that was signed with a key, and with a root that its log
// entry holds too; the root may be nil.
func keyed(key Key, r *Root, b *bundle.Bundle, of verify.ArtifactPolicyOption) (*verify.VerificationResult, error) {
	loaded, err := signature.LoadDefaultVerifier(key.Public)
	if err != nil {
		return nil, err
	}
	material := keyMaterial{&root.BaseTrustedMaterial{}, keyVerifier{loaded}}
	options := []verify.VerifierOption{verify.WithNoObserverTimestamps(), verify.WithoutStatementPredicate()}
	if r != nil {
		material.TrustedMaterial = r.material
		options = []verify.VerifierOption{verify.WithTransparencyLog(1), verify.WithObserverTimestamps(1), verify.WithoutStatementPredicate()}
	}
	verifier, err := verify.NewVerifier(material, options...)
	if err != nil {
		return nil, err
	}
	return verifier.Verify(b, verify.NewPolicy(of, verify.WithKey()))
}

func parseCertificate(text string) (*x509.Certificate, error) {
	block, _ := pem.Decode([]byte(text))
	if block == nil || block.Type != "CERTIFICATE" {
		return nil, errors.New("certificate: expected a PEM block CERTIFICATE")
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("certificate: %w", err)
	}
	return leaf, nil
}

// issuedBy checks a certificate without knowing when it was used: chain and
// certificate log at the time it was issued.
func (r *Root) issuedBy(leaf *x509.Certificate) (certificate.Summary, error) {
	chains, err := verify.VerifyLeafCertificate(leaf.NotBefore, leaf, r.material)
	if err != nil {
		return certificate.Summary{}, err
	}
	if len(r.material.CTLogs()) > 0 {
		if err := verify.VerifySignedCertificateTimestamp(chains, 1, r.material); err != nil {
			return certificate.Summary{}, err
		}
	}
	return certificate.SummarizeCertificate(leaf)
}
