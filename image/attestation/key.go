package attestation

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
)

// Key is a public key that the caller believes.
type Key struct {
	Public crypto.PublicKey
	// ID is the SHA-256 of the key in its PKIX form.
	ID string
}

// String names the key for people.
func (k Key) String() string {
	kind := "key"
	switch public := k.Public.(type) {
	case *ecdsa.PublicKey:
		kind = "ECDSA " + public.Curve.Params().Name
	case ed25519.PublicKey:
		kind = "Ed25519"
	case *rsa.PublicKey:
		kind = fmt.Sprintf("RSA %d", public.N.BitLen())
	}
	return kind + " key sha256:" + k.ID
}

// ParseKeys reads the public keys of a PEM file; name is for errors.
func ParseKeys(name string, data []byte) ([]Key, error) {
	var keys []Key
	for rest := data; len(keys) < 1000; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		if block.Type != "PUBLIC KEY" {
			return nil, fmt.Errorf("%s: PEM block %d is %q, expected PUBLIC KEY", name, len(keys)+1, block.Type)
		}
		public, err := x509.ParsePKIXPublicKey(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("%s: PEM block %d: %w", name, len(keys)+1, err)
		}
		key, err := newKey(public)
		if err != nil {
			return nil, fmt.Errorf("%s: PEM block %d: %w", name, len(keys)+1, err)
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("%s: expected a PEM block PUBLIC KEY, found none", name)
	}
	return keys, nil
}

// minRSA is the size in bits below which an RSA key proves nothing.
const minRSA = 2048

func newKey(public crypto.PublicKey) (Key, error) {
	switch public := public.(type) {
	case *ecdsa.PublicKey:
		if public.Curve != elliptic.P256() && public.Curve != elliptic.P384() {
			return Key{}, fmt.Errorf("curve %s, expected P-256 or P-384", public.Curve.Params().Name)
		}
	case ed25519.PublicKey:
	case *rsa.PublicKey:
		if public.N.BitLen() < minRSA {
			return Key{}, fmt.Errorf("RSA key of %d bits, expected at least %d", public.N.BitLen(), minRSA)
		}
	default:
		return Key{}, fmt.Errorf("key of type %T, expected ECDSA, Ed25519 or RSA", public)
	}
	der, err := x509.MarshalPKIXPublicKey(public)
	if err != nil {
		return Key{}, err
	}
	sum := sha256.Sum256(der)
	return Key{public, hex.EncodeToString(sum[:])}, nil
}

// ErrSignature says that a signature does not fit what it should have signed.
var ErrSignature = errors.New("the signature does not fit")

// verify checks a signature of a message, in the forms that cosign and in-toto
// make: ECDSA in ASN.1, or as the two numbers one after the other, over SHA-256
// or for P-384 over SHA-384; Ed25519 over the message itself; RSA over SHA-256,
// PKCS #1 v1.5 or PSS.
func (k Key) verify(message, signature []byte) error {
	sum := sha256.Sum256(message)
	ok := false
	switch public := k.Public.(type) {
	case *ecdsa.PublicKey:
		ok = verifyECDSA(public, sum[:], signature)
		if !ok && public.Curve == elliptic.P384() {
			sum := sha512.Sum384(message)
			ok = verifyECDSA(public, sum[:], signature)
		}
	case ed25519.PublicKey:
		ok = ed25519.Verify(public, message, signature)
	case *rsa.PublicKey:
		ok = rsa.VerifyPKCS1v15(public, crypto.SHA256, sum[:], signature) == nil ||
			rsa.VerifyPSS(public, crypto.SHA256, sum[:], signature, nil) == nil
	}
	if !ok {
		return ErrSignature
	}
	return nil
}

func verifyECDSA(public *ecdsa.PublicKey, sum, signature []byte) bool {
	if ecdsa.VerifyASN1(public, sum, signature) {
		return true
	}
	size := (public.Params().BitSize + 7) / 8
	if len(signature) != 2*size {
		return false
	}
	return ecdsa.Verify(public, sum, new(big.Int).SetBytes(signature[:size]), new(big.Int).SetBytes(signature[size:]))
}
