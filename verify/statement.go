package verify

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/backstitch/backstitch/fact"
)

// Types of the record, as in-toto defines them.
const (
	payloadType   = "application/vnd.in-toto+json"
	statementType = "https://in-toto.io/Statement/v1"
	predicateType = "https://in-toto.io/attestation/test-result/v0.1"
)

// Signer signs the record of a proof. Sign gives equal bytes for equal
// messages, so that a record can be made again.
type Signer interface {
	Sign(message []byte) (signature []byte, err error)
	// KeyID is the sha256 of the public key's PKIX form, hex.
	KeyID() string
}

type keySigner struct {
	key crypto.Signer
	id  string
}

// LoadSigner reads a PEM private key, PKCS #8 or SEC 1, ECDSA P-256 or Ed25519.
func LoadSigner(path string) (Signer, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("signing key: %w", err)
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		var key any
		switch block.Type {
		case "PRIVATE KEY":
			key, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		case "EC PRIVATE KEY":
			key, err = x509.ParseECPrivateKey(block.Bytes)
		default:
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("signing key %s: %w", path, err)
		}
		return newSigner(path, key)
	}
	return nil, fmt.Errorf("signing key %s: expected a PEM block PRIVATE KEY or EC PRIVATE KEY", path)
}

func newSigner(path string, key any) (Signer, error) {
	switch k := key.(type) {
	case *ecdsa.PrivateKey:
		if k.Curve != elliptic.P256() {
			return nil, fmt.Errorf("signing key %s: curve %s, expected P-256", path, k.Curve.Params().Name)
		}
	case ed25519.PrivateKey:
	default:
		return nil, fmt.Errorf("signing key %s: %T, expected ECDSA P-256 or Ed25519", path, key)
	}
	signer := key.(crypto.Signer)
	public, err := x509.MarshalPKIXPublicKey(signer.Public())
	if err != nil {
		return nil, fmt.Errorf("signing key %s: %w", path, err)
	}
	return &keySigner{signer, hexDigest(public)}, nil
}

func (s *keySigner) KeyID() string { return s.id }

// Sign implements Signer. ECDSA without a source of randomness is the
// deterministic one of RFC 6979.
func (s *keySigner) Sign(message []byte) ([]byte, error) {
	if _, ok := s.key.(ed25519.PrivateKey); ok {
		return s.key.Sign(nil, message, crypto.Hash(0))
	}
	sum := sha256.Sum256(message)
	return s.key.Sign(nil, sum[:], crypto.SHA256)
}

// resource is an in-toto ResourceDescriptor.
type resource struct {
	Name        string            `json:"name,omitempty"`
	URI         string            `json:"uri,omitempty"`
	Digest      map[string]string `json:"digest,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type statement struct {
	Type          string     `json:"_type"`
	Subject       []resource `json:"subject"`
	PredicateType string     `json:"predicateType"`
	Predicate     predicate  `json:"predicate"`
}

// predicate is a test-result with what it leaves open: which change was
// judged, when, and every check in words.
type predicate struct {
	Result        string       `json:"result"` // PASSED, WARNED, FAILED
	Configuration []resource   `json:"configuration"`
	Passed        []string     `json:"passedTests"`
	Warned        []string     `json:"warnedTests"` // what could not be checked
	Failed        []string     `json:"failedTests"`
	Closes        []string     `json:"closes"` // advisories, by the first id of their class
	Change        string       `json:"change"`
	Time          string       `json:"time"`
	Checks        []fact.Check `json:"checks"`
}

// state writes the in-toto statement of a record. It holds no path of this
// machine and no duration: equal proofs give equal bytes.
func (p *prover) state(v fact.Verification, files map[string][]byte) ([]byte, error) {
	var subjects []resource
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content := files[name]
		if content == nil {
			continue // a removed file has no content to name
		}
		subjects = append(subjects, resource{Name: name, Digest: map[string]string{"sha256": hexDigest(content)}})
	}
	commit := resource{Name: "base commit", URI: "git+https://" + p.request.Repository, Digest: map[string]string{"gitCommit": p.request.Commit}}
	if len(subjects) == 0 {
		subjects = []resource{commit}
	}
	scanner, fixer := p.request.Scanner.Describe(), p.request.Fixer.Describe()
	configuration := []resource{
		commit,
		{Name: cmp.Or(p.request.Tool, "backstitch")},
		{Name: scanner.ID, Digest: digestOf(scanner.Rules), Annotations: map[string]string{"part": "scanner"}},
		{Name: fixer.ID, Annotations: map[string]string{"part": "fixer"}},
		{Name: p.sandboxName(), Annotations: map[string]string{"part": "sandbox"}},
	}
	if p.request.Advisories != "" {
		configuration = append(configuration, resource{Name: "advisory index", Digest: digestOf(p.request.Advisories)})
	}
	s := statement{Type: statementType, Subject: subjects, PredicateType: predicateType, Predicate: predicate{
		Configuration: configuration, Passed: []string{}, Warned: []string{}, Failed: []string{}, Closes: p.closes(),
		Change: p.request.Path.Summary, Time: p.request.Now.UTC().Format(time.RFC3339Nano), Checks: v.Checks,
	}}
	switch v.Status {
	case fact.VerificationProven:
		s.Predicate.Result = "PASSED"
	case fact.VerificationFailed:
		s.Predicate.Result = "FAILED"
	default:
		s.Predicate.Result = "WARNED"
	}
	for _, check := range v.Checks {
		switch check.Status {
		case fact.CheckPass:
			s.Predicate.Passed = append(s.Predicate.Passed, check.Name)
		case fact.CheckFail:
			s.Predicate.Failed = append(s.Predicate.Failed, check.Name)
		default:
			s.Predicate.Warned = append(s.Predicate.Warned, check.Name)
		}
	}
	return marshal(s)
}

// envelope wraps a statement in DSSE, with a signature when there is a signer.
func envelope(body []byte, signer Signer) ([]byte, error) {
	type signature struct {
		KeyID string `json:"keyid"`
		Sig   string `json:"sig"`
	}
	signatures := []signature{}
	if signer != nil {
		sig, err := signer.Sign(preAuthentication(body))
		if err != nil {
			return nil, fmt.Errorf("sign the record: %w", err)
		}
		signatures = append(signatures, signature{signer.KeyID(), base64.StdEncoding.EncodeToString(sig)})
	}
	return marshal(map[string]any{
		"payloadType": payloadType, "payload": base64.StdEncoding.EncodeToString(body), "signatures": signatures,
	})
}

// preAuthentication is the PAE of DSSE: what is signed.
func preAuthentication(body []byte) []byte {
	return fmt.Appendf(nil, "DSSEv1 %d %s %d %s", len(payloadType), payloadType, len(body), body)
}

// ErrEnvelope says that an envelope is not signed by the key, or not ours.
var ErrEnvelope = errors.New("the envelope does not hold")

// OpenEnvelope checks the signature of an envelope with a PEM public key (PKIX)
// and gives the statement in it.
func OpenEnvelope(text, publicKey []byte) ([]byte, error) {
	var e struct {
		PayloadType string
		Payload     []byte
		Signatures  []struct{ Sig []byte }
	}
	if err := json.Unmarshal(text, &e); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	block, _ := pem.Decode(publicKey)
	if block == nil {
		return nil, fmt.Errorf("%w: expected a PEM public key", ErrEnvelope)
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrEnvelope, err)
	}
	if e.PayloadType != payloadType {
		return nil, fmt.Errorf("%w: payload of type %q", ErrEnvelope, e.PayloadType)
	}
	message := preAuthentication(e.Payload)
	sum := sha256.Sum256(message)
	for _, s := range e.Signatures {
		switch k := key.(type) {
		case *ecdsa.PublicKey:
			if ecdsa.VerifyASN1(k, sum[:], s.Sig) {
				return e.Payload, nil
			}
		case ed25519.PublicKey:
			if ed25519.Verify(k, message, s.Sig) {
				return e.Payload, nil
			}
		}
	}
	return nil, fmt.Errorf("%w: no signature of this key", ErrEnvelope)
}

// marshal writes JSON without escaping what is only dangerous in HTML.
func marshal(value any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return nil, fmt.Errorf("write the record: %w", err)
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), nil
}

func hexDigest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// digestOf turns "sha256:..." into a digest set; other text names no digest.
func digestOf(text string) map[string]string {
	if kind, value, ok := strings.Cut(text, ":"); ok && value != "" {
		return map[string]string{kind: value}
	}
	return nil
}
