// Package attestation reads and verifies what others say of an image: in-toto
// statements alone, in DSSE envelopes signed with a key, and in Sigstore bundles
// signed with a short-lived certificate, and turns provenance into
// image.Provenance.
//
// Everything is verified offline against what the caller names: public keys,
// trusted roots, identities. What is not understood is refused: a statement is
// believed as signed only when its signature, the time of the signature, the
// signer and the subject all hold. See docs/images.md.
package attestation
