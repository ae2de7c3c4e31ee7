package attestation

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/url"
	"testing"
	"time"
)

// authority is a certificate authority and a log of a test, with what the
// certificates say of the repository.
type authority struct {
	t                  testing.TB
	key, log           *ecdsa.PrivateKey
	certificate        *x509.Certificate
	repository, commit string
	serial             int64
}

func newAuthority(t testing.TB) *authority {
	t.Helper()
	a := &authority{t: t, key: newECDSA(t), log: newECDSA(t), repository: "https://github.com/acme/shop", commit: sha1}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test authority"}, NotBefore: noon.AddDate(-20, 0, 0), NotAfter: noon.AddDate(20, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	a.certificate = a.issue(template, template, a.key, a.key)
	return a
}

func newECDSA(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func (a *authority) issue(template, parent *x509.Certificate, key, by *ecdsa.PrivateKey) *x509.Certificate {
	a.t.Helper()
	der, err := x509.CreateCertificate(rand.Reader, template, parent, key.Public(), by)
	if err != nil {
		a.t.Fatal(err)
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		a.t.Fatal(err)
	}
	return certificate
}

// leaf issues a certificate for an identity at noon.
func (a *authority) leaf(identity string) (*x509.Certificate, *ecdsa.PrivateKey) {
	a.t.Helper()
	a.serial++
	subject, err := url.Parse(identity)
	if err != nil {
		a.t.Fatal(err)
	}
	key := newECDSA(a.t)
	template := &x509.Certificate{SerialNumber: big.NewInt(100 + a.serial), NotBefore: noon, NotAfter: noon.Add(10 * time.Minute), URIs: []*url.URL{subject},
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageCodeSigning}}
	for number, text := range map[int]string{8: actions, 12: a.repository, 13: a.commit} {
		value, err := asn1.MarshalWithParams(text, "utf8")
		if err != nil {
			a.t.Fatal(err)
		}
		template.ExtraExtensions = append(template.ExtraExtensions, pkix.Extension{Id: asn1.ObjectIdentifier{1, 3, 6, 1, 4, 1, 57264, 1, number}, Value: value})
	}
	return a.issue(template, a.certificate, key, a.key), key
}

func (a *authority) sign(key *ecdsa.PrivateKey, message []byte) []byte {
	a.t.Helper()
	sum := sha256.Sum256(message)
	signature, err := ecdsa.SignASN1(rand.Reader, key, sum[:])
	if err != nil {
		a.t.Fatal(err)
	}
	return signature
}

func (a *authority) json(value any) []byte {
	a.t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		a.t.Fatal(err)
	}
	return data
}

func b64(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

func hexSum(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

func pkixOf(t testing.TB, key *ecdsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return der
}

type values = map[string]any

// roots makes the trusted root; certified adds a log of certificates, in which
// the test's certificates are not.
func (a *authority) roots(certified bool) []*Root {
	a.t.Helper()
	period := values{"start": "2020-01-01T00:00:00Z"}
	log := func(key *ecdsa.PrivateKey) values {
		der := pkixOf(a.t, key)
		id := sha256.Sum256(der)
		return values{"baseUrl": "https://log.example", "hashAlgorithm": "SHA2_256", "logId": values{"keyId": b64(id[:])},
			"publicKey": values{"rawBytes": b64(der), "keyDetails": "PKIX_ECDSA_P256_SHA_256", "validFor": period}}
	}
	root := values{"mediaType": "application/vnd.dev.sigstore.trustedroot+json;version=0.1", "tlogs": []any{log(a.log)},
		"certificateAuthorities": []any{values{"subject": values{"organization": "test", "commonName": "test authority"}, "uri": "https://authority.example",
			"certChain": values{"certificates": []any{values{"rawBytes": b64(a.certificate.Raw)}}}, "validFor": period}}}
	if certified {
		root["ctlogs"] = []any{log(newECDSA(a.t))}
	}
	roots, err := ParseRoots("test root", a.json(root))
	if err != nil {
		a.t.Fatal(err)
	}
	return roots
}

func (a *authority) policy() Policy {
	return Policy{Roots: a.roots(false), Identities: []Identity{{workflow, actions}}}
}

// bundle makes a bundle of what an identity signed, of version 0.1 (a chain and a
// promise of the log) or a later one (a proof of the log too).
func (a *authority) bundle(version, identity string, payload []byte, at time.Time) []byte {
	a.t.Helper()
	leaf, key := a.leaf(identity)
	signature := a.sign(key, PAE(payloadInToto, payload))
	envelope := values{"payload": b64(payload), "payloadType": payloadInToto, "signatures": []any{values{"sig": b64(signature)}}}
	body := a.json(values{"apiVersion": "0.0.1", "kind": "dsse", "spec": values{
		"envelopeHash": values{"algorithm": "sha256", "value": hexSum(a.json(envelope))}, "payloadHash": values{"algorithm": "sha256", "value": hexSum(payload)},
		"signatures": []any{values{"signature": b64(signature), "verifier": b64(pemOf(leaf))}}}})
	return a.document(version, leaf, values{"dsseEnvelope": envelope}, "dsse", body, at)
}

// message makes a bundle of the signature of an artifact.
func (a *authority) message(version, identity string, artifact []byte, at time.Time) []byte {
	a.t.Helper()
	leaf, key := a.leaf(identity)
	signature := a.sign(key, artifact)
	sum := sha256.Sum256(artifact)
	body := a.json(values{"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": values{"data": values{"hash": values{"algorithm": "sha256", "value": hexSum(artifact)}},
		"signature": values{"content": b64(signature), "publicKey": values{"content": b64(pemOf(leaf))}}}})
	return a.document(version, leaf, values{"messageSignature": values{"messageDigest": values{"algorithm": "SHA2_256", "digest": b64(sum[:])}, "signature": b64(signature)}}, "hashedrekord", body, at)
}

func pemOf(certificate *x509.Certificate) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Raw})
}

func (a *authority) document(version string, leaf *x509.Certificate, document values, kind string, body []byte, at time.Time) []byte {
	a.t.Helper()
	log := sha256.Sum256(pkixOf(a.t, a.log))
	promise := fmt.Sprintf(`{"body":%q,"integratedTime":%d,"logID":%q,"logIndex":0}`, b64(body), at.Unix(), hex.EncodeToString(log[:]))
	entry := values{"logIndex": "0", "logId": values{"keyId": b64(log[:])}, "kindVersion": values{"kind": kind, "version": "0.0.1"}, "integratedTime": fmt.Sprint(at.Unix()),
		"inclusionPromise": values{"signedEntryTimestamp": b64(a.sign(a.log, []byte(promise)))}, "canonicalizedBody": b64(body)}
	material := values{"tlogEntries": []any{entry}}
	document["mediaType"] = "application/vnd.dev.sigstore.bundle+json;version=" + version
	document["verificationMaterial"] = material
	if version == "0.3" {
		document["mediaType"] = "application/vnd.dev.sigstore.bundle.v0.3+json"
		material["certificate"] = values{"rawBytes": b64(leaf.Raw)}
	} else {
		material["x509CertificateChain"] = values{"certificates": []any{values{"rawBytes": b64(leaf.Raw)}}}
	}
	if version != "0.1" {
		// The log holds this entry alone: its hash is the root.
		root := sha256.Sum256(append([]byte{0}, body...))
		text := fmt.Sprintf("log.example - 1\n1\n%s\n", b64(root[:]))
		checkpoint := fmt.Sprintf("%s\n\u2014 log.example %s\n", text, b64(append(log[:4:4], a.sign(a.log, []byte(text))...)))
		entry["inclusionProof"] = values{"logIndex": "0", "treeSize": "1", "rootHash": b64(root[:]), "hashes": []any{}, "checkpoint": values{"envelope": checkpoint}}
	}
	return a.json(document)
}
