package attestation

import (
	"encoding/hex"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/sigstore/sigstore-go/pkg/fulcio/certificate"
	"github.com/sigstore/sigstore-go/pkg/verify"

	"github.com/backstitch/backstitch/fact"
)

// Errors of refusing, for callers that must tell them apart.
var (
	ErrUnsigned = errors.New("it carries no signature")
	ErrSigner   = errors.New("it is signed by nobody who is believed")
	ErrTime     = errors.New("nothing proves when it was signed")
	ErrPayload  = errors.New("the payload is not understood")
)

// Identity is who may sign with a certificate: the subject of the certificate,
// such as the address of a workflow, and who vouched for it. In Subject, * stands
// for any characters.
type Identity struct{ Subject, Issuer string }

func (i Identity) matches(subject, issuer string) bool {
	if i.Issuer != issuer {
		return false
	}
	var form strings.Builder
	for n, part := range strings.Split(i.Subject, "*") {
		if n > 0 {
			form.WriteString(".*")
		}
		form.WriteString(regexp.QuoteMeta(part))
	}
	ok, err := regexp.MatchString("^(?s:"+form.String()+")$", subject)
	return err == nil && ok
}

// Policy is who and what the caller believes.
type Policy struct {
	Keys       []Key
	Roots      []*Root
	Identities []Identity
}

// Check says what a policy lacks to decide anything.
func (p Policy) Check() error {
	switch {
	case len(p.Roots) > 0 && len(p.Identities) == 0:
		return errors.New("a trusted root needs an identity and its issuer: anybody can get a certificate")
	case len(p.Identities) > 0 && len(p.Roots) == 0:
		return errors.New("an identity needs a trusted root that its certificate leads to")
	}
	for _, identity := range p.Identities {
		if identity.Subject == "" || identity.Issuer == "" {
			return errors.New("expected an identity and its issuer, one is empty")
		}
	}
	return nil
}

// Empty says that the policy names nobody, so that no signature can be checked.
func (p Policy) Empty() bool { return len(p.Keys) == 0 && len(p.Roots) == 0 }

// Result is what was found of one attestation.
type Result struct {
	Name          string        `json:"name"`
	Form          Form          `json:"form,omitempty"`
	PredicateType string        `json:"predicate_type,omitempty"`
	Subjects      []Subject     `json:"subjects,omitempty"`
	Strength      fact.Strength `json:"strength,omitempty"`  // proven, attested; empty when refused
	Signer        string        `json:"signer,omitempty"`    // key or identity, verified
	Issuer        string        `json:"issuer,omitempty"`    // who vouched for the identity
	SignedAt      *time.Time    `json:"signed_at,omitempty"` // by a log or a time stamp authority
	Source        *Source       `json:"source,omitempty"`    // what provenance says was built from
	Checked       []string      `json:"checked"`             // what was verified, and by what
	Refused       string        `json:"refused,omitempty"`   // why it is not believed

	// Err is the refusal as an error, nil when there is none.
	Err       error      `json:"-"`
	statement *Statement // nil when refused, or when a signature stands alone
	claims    certificate.Extensions
}

// Source is where something was built from, as provenance says.
type Source struct {
	Repository string `json:"repository"`
	Commit     string `json:"commit,omitempty"`
	Path       string `json:"path,omitempty"`
	Run        string `json:"run,omitempty"`
}

func (r *Result) refuse(err error) *Result {
	r.Err, r.Refused, r.Strength, r.Source, r.statement = err, err.Error(), "", nil, nil
	return r
}

// Verify decides what an attestation is worth. Digests, "sha256:..." of the image
// and of the indexes that hold it, are what it must speak of; none leaves that
// open. With an empty policy a signature is not checked and the statement is
// attested; with any other, what nobody believed has signed is refused.
func (a *Attestation) Verify(policy Policy, digests []string) *Result {
	r := &Result{Name: a.Name, Form: a.Form, Checked: []string{}}
	if a.err != nil {
		return r.refuse(a.err)
	}
	if err := policy.Check(); err != nil {
		return r.refuse(err)
	}
	r.Strength = fact.Attested
	if !policy.Empty() {
		var err error
		switch {
		case a.bundle != nil:
			err = a.verifyBundle(r, policy, digests)
		case a.envelope != nil:
			err = a.verifyEnvelope(r, policy)
		default:
			err = ErrUnsigned
		}
		if err != nil {
			return r.refuse(err)
		}
		r.Strength = fact.Proven
	}
	if a.payload == nil {
		if r.Strength != fact.Proven {
			return r.refuse(errors.New("a signature alone says nothing while it is not checked"))
		}
		return r
	}
	if a.payloadType != payloadInToto {
		return r.refuse(fmt.Errorf("%w: type %q, expected %s", ErrPayload, cut(a.payloadType), payloadInToto))
	}
	statement, err := parseStatement(a.payload)
	if err != nil {
		return r.refuse(err)
	}
	r.PredicateType, r.Subjects = statement.PredicateType, statement.Subjects
	if a.claimed != "" && a.claimed != statement.PredicateType {
		return r.refuse(fmt.Errorf("it is listed as %s, the statement is %s", cut(a.claimed), cut(statement.PredicateType)))
	}
	if len(digests) > 0 {
		if err := statement.about(digests); err != nil {
			return r.refuse(err)
		}
		r.Checked = append(r.Checked, "subject is the image, or an index that holds it")
	}
	r.statement = statement
	if p, ok, err := r.Provenance(nil); err != nil {
		return r.refuse(err)
	} else if ok {
		r.Source = &Source{p.Repository, p.Commit, p.Path, p.Run}
	}
	return r
}

func (a *Attestation) verifyEnvelope(r *Result, policy Policy) error {
	var bare func(string) bool
	if a.named {
		bare = cloudBare.MatchString
		for i, s := range a.envelope.Signatures {
			if !cloudKey.MatchString(s.KeyID) {
				return fmt.Errorf("envelope: signature %d: key %q, expected the name of a version of a key in Google's key management", i+1, cut(s.KeyID))
			}
		}
	}
	var failed error
	if len(policy.Keys) > 0 {
		key, err := a.envelope.signedBy(policy.Keys, a.payload, bare)
		if err == nil {
			r.Signer = key.String()
			r.Checked = append(r.Checked, "signature by "+r.Signer)
			return nil
		}
		failed = err
	}
	if len(policy.Roots) > 0 && a.stored != nil {
		return a.verifyStored(r, policy)
	}
	if len(policy.Roots) > 0 && a.envelope.Signatures[0].Cert != "" {
		return a.certifiedWithoutTime(policy)
	}
	if failed != nil {
		return failed
	}
	return fmt.Errorf("%w: it names no certificate, and no key was given", ErrSigner)
}

// certifiedWithoutTime says how far an envelope holds that has a certificate and
// no proof of the time: certificates live for minutes, so that without the time
// anybody who finds the key later could have signed.
func (a *Attestation) certifiedWithoutTime(policy Policy) error {
	leaf, err := parseCertificate(a.envelope.Signatures[0].Cert)
	if err != nil {
		return err
	}
	key, err := newKey(leaf.PublicKey)
	if err != nil {
		return fmt.Errorf("certificate: %w", err)
	}
	if _, err := a.envelope.signedBy([]Key{key}, a.payload, nil); err != nil {
		return fmt.Errorf("%w the certificate beside it", ErrSignature)
	}
	for _, root := range policy.Roots {
		var summary certificate.Summary
		if summary, err = root.issuedBy(leaf); err == nil {
			if err := policy.allows(summary); err != nil {
				return err
			}
			return fmt.Errorf("%w: the signature fits the certificate of %s, but there is neither a log entry nor a time stamp", ErrTime, summary.SubjectAlternativeName)
		}
	}
	return fmt.Errorf("%w: certificate: %w", ErrSigner, err)
}

// allows says whether the policy names the subject of a certificate.
func (p Policy) allows(summary certificate.Summary) error {
	for _, identity := range p.Identities {
		if identity.matches(summary.SubjectAlternativeName, summary.Issuer) {
			return nil
		}
	}
	return fmt.Errorf("%w: it is %s, for whom %s vouched", ErrSigner, cut(summary.SubjectAlternativeName), cut(summary.Issuer))
}

func (a *Attestation) verifyBundle(r *Result, policy Policy, digests []string) error {
	of := verify.WithoutArtifactUnsafe()
	if a.payload == nil {
		var artifacts []verify.ArtifactDigest
		for _, digest := range digests {
			sum, err := hex.DecodeString(strings.TrimPrefix(digest, "sha256:"))
			if err != nil {
				return fmt.Errorf("digest %s: %w", cut(digest), err)
			}
			artifacts = append(artifacts, verify.ArtifactDigest{Digest: sum, Algorithm: "sha256"})
		}
		if len(artifacts) == 0 {
			return errors.New("the bundle is a signature without a statement: name the digest that it should be of")
		}
		return a.verifyMessage(r, policy, artifacts)
	}
	return a.verifyContent(r, policy, of)
}

// verifyMessage verifies a signature that stands alone, of one of some digests.
func (a *Attestation) verifyMessage(r *Result, policy Policy, artifacts []verify.ArtifactDigest) error {
	var err error
	for _, artifact := range artifacts {
		if err = a.verifyContent(r, policy, verify.WithArtifactDigest(artifact.Algorithm, artifact.Digest)); err == nil {
			r.Checked = append(r.Checked, "signature of sha256:"+hex.EncodeToString(artifact.Digest))
			return nil
		}
	}
	return err
}

func (a *Attestation) verifyContent(r *Result, policy Policy, of verify.ArtifactPolicyOption) error {
	material := a.bundle.GetVerificationMaterial()
	if material.GetPublicKey() != nil {
		return a.verifyKeyed(r, policy, of)
	}
	if len(policy.Roots) == 0 {
		return fmt.Errorf("%w: it is signed with a certificate, and no trusted root was given", ErrSigner)
	}
	if len(material.GetTlogEntries()) == 0 && len(material.GetTimestampVerificationData().GetRfc3161Timestamps()) == 0 {
		return fmt.Errorf("%w: the bundle has neither a log entry nor a time stamp", ErrTime)
	}
	var failed []error
	for _, root := range policy.Roots {
		result, err := root.certified(a.bundle, of)
		if err != nil {
			failed = append(failed, err)
			continue
		}
		summary := result.Signature.Certificate
		if err := policy.allows(*summary); err != nil {
			return err
		}
		r.certified(root, *summary)
		r.times(result.VerifiedTimestamps)
		return nil
	}
	return fmt.Errorf("bundle: %w", errors.Join(failed...))
}

// verifyKeyed verifies a bundle that was signed with a key.
func (a *Attestation) verifyKeyed(r *Result, policy Policy, of verify.ArtifactPolicyOption) error {
	if len(policy.Keys) == 0 {
		return fmt.Errorf("%w: it is signed with a key, and no key was given", ErrSigner)
	}
	roots := policy.Roots
	logged := len(a.bundle.GetVerificationMaterial().GetTlogEntries()) > 0
	if !logged || len(roots) == 0 {
		roots = []*Root{nil}
	}
	var failed error
	for _, key := range policy.Keys {
		for _, root := range roots {
			result, err := keyed(key, root, a.bundle, of)
			if err != nil {
				failed = err
				continue
			}
			r.Signer = key.String()
			r.Checked = append(r.Checked, "signature by "+r.Signer)
			if logged && root == nil {
				r.Checked = append(r.Checked, "log entry not checked: no trusted root was given")
			}
			r.times(result.VerifiedTimestamps)
			return nil
		}
	}
	return fmt.Errorf("bundle: %w", failed)
}

// certified notes whose certificate signed, and under which root it was issued.
func (r *Result) certified(root *Root, summary certificate.Summary) {
	r.Signer, r.Issuer, r.claims = summary.SubjectAlternativeName, summary.Issuer, summary.Extensions
	r.Checked = append(r.Checked, "signature by the certificate of "+r.Signer, "certificate issued under "+root.Name+", "+r.Issuer+" vouched for it")
	if len(root.material.CTLogs()) > 0 {
		r.Checked = append(r.Checked, "certificate is in a certificate log")
	}
}

// times notes what vouches for the time of the signature.
func (r *Result) times(stamps []verify.TimestampVerificationResult) {
	for _, stamp := range stamps {
		at := stamp.Timestamp.UTC()
		if r.SignedAt == nil || at.Before(*r.SignedAt) {
			r.SignedAt = &at
		}
		kind := "log entry of "
		if stamp.Type != "Tlog" {
			kind = "time stamp of "
		}
		r.Checked = append(r.Checked, kind+stamp.URI+" at "+at.Format(time.RFC3339))
	}
	slices.Sort(r.Checked)
	r.Checked = slices.Compact(r.Checked)
}
