package main

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/backstitch/backstitch/fact"
	"github.com/backstitch/backstitch/image/attestation"
)

// The public root of Sigstore, and the public keys of the services that signed
// with a key: what their users are told to believe.
var (
	//go:embed testdata/b2_trusted_root.json
	b2TrustedRoot []byte
	//go:embed testdata/b2_keys.pem
	b2Keys []byte
)

// b2Verdict is what the name of a file says of one of its attestations.
type b2Verdict int

const (
	b2Valid b2Verdict = iota
	b2Tampered
	// b2Undecided is an envelope whose log entry does not stand beside it: only a
	// question to the log could tell when it was signed, so that offline it must be
	// refused, as the one that was never logged.
	b2Undecided
)

// b2Rule says what is true of the files whose path holds a text; the first rule
// that fits counts. Only is the number of the attestation of the file that the
// verdict is of, 0 all; the others are valid.
type b2Rule struct {
	path     string
	verdict  b2Verdict
	only     int
	identity attestation.Identity // without one, keys are given
}

const (
	b2Actions   = "https://token.actions.githubusercontent.com"
	b2Generator = "https://github.com/slsa-framework/slsa-github-generator/.github/workflows/"
)

func b2Rules() []b2Rule {
	workflow := func(name string) attestation.Identity {
		return attestation.Identity{Subject: b2Generator + name, Issuer: b2Actions}
	}
	generator := workflow("*")
	npm := attestation.Identity{Subject: "https://github.com/laurentsimon/provenance-npm-test/.github/workflows/release.yml@refs/heads/main", Issuer: b2Actions}
	bcr := attestation.Identity{Subject: "https://github.com/bazel-contrib/publish-to-bcr/.github/workflows/publish.yaml@refs/tags/v*", Issuer: b2Actions}
	return []b2Rule{
		{"gcb_container/", b2Valid, 0, attestation.Identity{}},
		{"vsa/gce/", b2Valid, 0, attestation.Identity{}},
		{"cosign/oci-attestation", b2Valid, 0, attestation.Identity{Subject: "*", Issuer: "https://github.com/login/oauth"}},
		{"bcr/MODULE-wrong-signer", b2Tampered, 0, bcr},
		{"bcr/MODULE.bazel", b2Valid, 0, bcr},
		{"bundle/invalid-set", b2Tampered, 0, generator},
		{"bundle/valid", b2Valid, 0, workflow("builder_docker-based_slsa3.yml@refs/heads/main")},
		{"npm-att-publish-nosubjects", b2Tampered, 2, npm},
		{"npm-", b2Tampered, 1, npm},
		{"expired-cert", b2Tampered, 0, generator},
		{"no-tlog-upload", b2Tampered, 0, generator},
		{"gha_go/v2.1.0/", b2Valid, 0, workflow("builder_go_slsa3.yml@refs/tags/v2.1.0")},
		{"gha_generic/v2.1.0/", b2Valid, 0, workflow("generator_generic_slsa3.yml@refs/tags/v2.1.0")},
		{"gha_container-based/", b2Valid, 0, workflow("builder_container-based_slsa3.yml@refs/tags/v*")},
		{"gha_delegator/v1.9.0/", b2Valid, 0, workflow("delegator_generic_slsa3.yml@refs/heads/main")},
		{"gha_delegator/", b2Valid, 0, workflow("delegator_generic_slsa3.yml@refs/tags/v*")},
		{"gha_maven/", b2Valid, 0, workflow("delegator_lowperms-generic_slsa3.yml@refs/tags/v*")},
		{"gha_gradle/", b2Valid, 0, workflow("delegator_lowperms-generic_slsa3.yml@refs/tags/v*")},
		{"gha_go/", b2Undecided, 0, generator},
		{"gha_generic/", b2Undecided, 0, generator},
		{"annotated-tag", b2Undecided, 0, generator},
		{"binary-linux-amd64-", b2Undecided, 0, generator},
		{"bazel-", b2Undecided, 0, generator},
	}
}

// b2RuleOf finds the rule of a file; what a name of Google's files says of
// tampering counts before the rule of the folder.
func b2RuleOf(name string) (b2Rule, bool) {
	for _, rule := range b2Rules() {
		if !strings.Contains(name, rule.path) {
			continue
		}
		if rule.path == "gcb_container/" {
			for _, word := range []string{"invalid", "mismatch", "empty", "no-signature"} {
				if strings.Contains(filepath.Base(name), word) {
					rule.verdict = b2Tampered
				}
			}
		}
		return rule, true
	}
	return b2Rule{}, false
}

// b2Subject is one valid attestation with what verifies it.
type b2Subject struct {
	name    string
	data    []byte
	number  int // in its file, from 0
	policy  attestation.Policy
	digests []string
}

// attestations verifies attestations of real builders.
//
//   - tampered_refused: share refused of those that are tampered with: the files
//     whose name says so, and changed copies of every valid one (changed signature,
//     payload, subject, certificate, log entry, other signer, other image ...).
//   - valid_accepted: share of the valid ones that are proven, bound to their
//     subject, with the source when they are provenance.
//   - undecided_refused: share refused of those that only a question to the log
//     could decide.
func attestations(ctx context.Context, data string) (Result, error) {
	result := Result{Metrics: map[string]float64{}}
	roots, err := attestation.ParseRoots("public root", b2TrustedRoot)
	if err != nil {
		return result, err
	}
	keys, err := attestation.ParseKeys("public keys", b2Keys)
	if err != nil {
		return result, err
	}
	var counts, right [3]int
	note := func(format string, args ...any) { result.Notes = append(result.Notes, fmt.Sprintf(format, args...)) }
	var subjects []b2Subject
	timeless := 0
	root := filepath.Join(data, "attestations")
	err = filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name := filepath.ToSlash(strings.TrimPrefix(file, root+string(filepath.Separator)))
		rule, ok := b2RuleOf(name)
		if !ok {
			return fmt.Errorf("%s: nothing says whether it is valid", name)
		}
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		list, err := attestation.Read(name, text)
		if err != nil {
			return err
		}
		policy := attestation.Policy{Keys: keys}
		if rule.identity.Issuer != "" {
			policy.Roots, policy.Identities = roots, []attestation.Identity{rule.identity}
		}
		for i, a := range list {
			verdict := rule.verdict
			if rule.only > 0 && rule.only != i+1 {
				verdict = b2Valid
			}
			r := a.Verify(policy, nil)
			counts[verdict]++
			switch {
			case verdict != b2Valid && r.Err != nil:
				right[verdict]++
				if verdict == b2Undecided && errors.Is(r.Err, attestation.ErrTime) {
					timeless++
				}
			case verdict != b2Valid:
				note("accepted: %s", r.Name)
			default:
				digests := b2Digests(r)
				if bound := a.Verify(policy, digests); bound.Err != nil || bound.Strength != fact.Proven || bound.Signer == "" ||
					strings.HasPrefix(bound.PredicateType, "https://slsa.dev/provenance/v") && (bound.Source == nil || bound.Source.Repository == "" || bound.Source.Commit == "") {
					note("not accepted: %s: %s", r.Name, bound.Refused)
					continue
				}
				right[b2Valid]++
				subjects = append(subjects, b2Subject{name, text, i, policy, digests})
			}
		}
		return nil
	})
	if err != nil {
		return result, err
	}
	named := counts[b2Tampered]
	for i := range subjects {
		if err := ctx.Err(); err != nil {
			return result, err
		}
		// A copy in which nothing is changed must be believed, or what is refused below
		// is refused for the copying.
		if copied, _, err := b2Edit(func(_, _ b2Object) bool { return true })(&subjects[i], &subjects[i]); err != nil || b2Refused(copied) {
			return result, fmt.Errorf("%s: a copy without a change is refused (%v)", subjects[i].name, err)
		}
		for _, change := range b2Changes {
			changed, ok, err := change.make(&subjects[i], &subjects[(i+1)%len(subjects)])
			if err != nil {
				return result, fmt.Errorf("%s: %s: %w", subjects[i].name, change.name, err)
			}
			if !ok {
				continue
			}
			counts[b2Tampered]++
			if b2Refused(changed) {
				right[b2Tampered]++
			} else {
				note("accepted with %s: %s/%d", change.name, subjects[i].name, subjects[i].number+1)
			}
		}
	}
	for verdict, metric := range map[b2Verdict]string{b2Valid: "valid_accepted", b2Tampered: "tampered_refused", b2Undecided: "undecided_refused"} {
		if counts[verdict] == 0 {
			return result, fmt.Errorf("%s: no case", metric)
		}
		result.Metrics[metric] = float64(right[verdict]) / float64(counts[verdict])
		result.Cases += counts[verdict]
	}
	note("attestations: %d valid, %d tampered by name, %d changed copies of the valid ones, %d not decidable offline (of which %d fit their certificate and lack only the proof of the time)",
		counts[b2Valid], named, counts[b2Tampered]-named, counts[b2Undecided], timeless)
	return result, nil
}

// b2Digests are the digests of the subjects, which stand for an image's.
func b2Digests(r *attestation.Result) []string {
	var digests []string
	for _, subject := range r.Subjects {
		if sum := subject.Digest["sha256"]; sum != "" {
			digests = append(digests, "sha256:"+sum)
		}
	}
	return digests
}

func b2Refused(s *b2Subject) bool {
	list, err := attestation.Read(s.name, s.data)
	if err != nil || s.number >= len(list) {
		return true
	}
	return list[s.number].Verify(s.policy, s.digests).Err != nil
}

// b2Change makes a tampered copy of a valid attestation; other is a valid one to
// take parts from. ok is false when the attestation lacks the part.
type b2Change struct {
	name string
	make func(s, other *b2Subject) (changed *b2Subject, ok bool, err error)
}

var b2Changes = []b2Change{
	{"another signature", b2Edit(func(a, _ b2Object) bool {
		return eachSignature(a, func(s b2Object) bool { return flip(s, "sig", -1) })
	})},
	{"a signature with another beginning", b2Edit(func(a, _ b2Object) bool {
		return eachSignature(a, func(s b2Object) bool { return flip(s, "sig", 8) })
	})},
	{"the signature of another", b2Edit(func(a, o b2Object) bool {
		return eachSignature(a, func(s b2Object) bool {
			return eachSignature(o, func(other b2Object) bool { return swap(s, other, "sig") })
		})
	})},
	{"a payload with one other byte", b2Edit(func(a, _ b2Object) bool { return flip(envelopeOf(a), "payload", 40) })},
	{"a payload with another end", b2Edit(func(a, _ b2Object) bool { return flip(envelopeOf(a), "payload", -2) })},
	{"the payload of another", b2Edit(func(a, o b2Object) bool { return swap(envelopeOf(a), envelopeOf(o), "payload") })},
	{"another subject", b2Edit(otherSubject)},
	{"another type of payload", b2Edit(func(a, _ b2Object) bool { return put(envelopeOf(a), "payloadType", "application/json") })},
	{"a truncated payload", b2Edit(func(a, _ b2Object) bool {
		e := envelopeOf(a)
		text, ok := e["payload"].(string)
		return ok && put(e, "payload", text[:len(text)-3])
	})},
	{"no signatures", b2Edit(func(a, _ b2Object) bool { return put(envelopeOf(a), "signatures", []any{}) })},
	{"a certificate with one other byte", b2Edit(func(a, _ b2Object) bool { return flip(certificateOf(a), "rawBytes", 300) })},
	{"a certificate with another signature", b2Edit(func(a, _ b2Object) bool { return flip(certificateOf(a), "rawBytes", -1) })},
	{"a certificate with another key", b2Edit(func(a, _ b2Object) bool { return flip(certificateOf(a), "rawBytes", 200) })},
	{"the certificate of another", b2Edit(func(a, o b2Object) bool { return swap(certificateOf(a), certificateOf(o), "rawBytes") })},
	{"another body of the log entry", b2Edit(func(a, _ b2Object) bool { return flip(entryOf(a), "canonicalizedBody", -20) })},
	{"the body of the log entry of another", b2Edit(func(a, o b2Object) bool { return swap(entryOf(a), entryOf(o), "canonicalizedBody") })},
	{"the log entry of another", b2Edit(func(a, o b2Object) bool {
		return swap(object(a["verificationMaterial"]), object(o["verificationMaterial"]), "tlogEntries")
	})},
	{"another time", b2Edit(func(a, _ b2Object) bool { return put(entryOf(a), "integratedTime", "1900000000") })},
	{"another number in the log", b2Edit(func(a, _ b2Object) bool { return put(entryOf(a), "logIndex", "7") })},
	{"another promise of the log", b2Edit(func(a, _ b2Object) bool {
		return flip(object(entryOf(a)["inclusionPromise"]), "signedEntryTimestamp", -1)
	})},
	{"another log", b2Edit(func(a, _ b2Object) bool { return flip(object(entryOf(a)["logId"]), "keyId", 0) })},
	{"another root of the log", b2Edit(func(a, _ b2Object) bool { return flip(object(entryOf(a)["inclusionProof"]), "rootHash", 3) })},
	{"another checkpoint", b2Edit(func(a, _ b2Object) bool {
		c := object(object(entryOf(a)["inclusionProof"])["checkpoint"])
		text, ok := c["envelope"].(string)
		return ok && put(c, "envelope", strings.Replace(text, "\n", "\n1", 1))
	})},
	{"no log entry", b2Edit(func(a, _ b2Object) bool {
		return certificateOf(a) != nil && put(object(a["verificationMaterial"]), "tlogEntries", []any{})
	})},
	{"a version from the future", b2Edit(func(a, _ b2Object) bool {
		_, ok := a["mediaType"]
		return ok && put(a, "mediaType", "application/vnd.dev.sigstore.bundle.v9.9+json")
	})},
	{"a name given twice", func(s, _ *b2Subject) (*b2Subject, bool, error) {
		changed := *s
		changed.data = bytes.Replace(s.data, []byte(`"payloadType"`), []byte(`"payloadType":"x","payloadType"`), s.number+1)
		return &changed, true, nil
	}},
	{"another signer asked for", func(s, _ *b2Subject) (*b2Subject, bool, error) {
		changed := *s
		changed.policy.Keys = nil
		changed.policy.Identities = nil
		for _, identity := range s.policy.Identities {
			changed.policy.Identities = append(changed.policy.Identities, attestation.Identity{Subject: "https://github.com/example/" + strings.ReplaceAll(identity.Subject, "*", "x"), Issuer: identity.Issuer})
		}
		return &changed, len(s.policy.Identities) > 0, nil
	}},
	{"another issuer asked for", func(s, _ *b2Subject) (*b2Subject, bool, error) {
		changed := *s
		changed.policy.Keys = nil
		changed.policy.Identities = []attestation.Identity{{Subject: "*", Issuer: "https://issuer.example"}}
		return &changed, len(s.policy.Roots) > 0, nil
	}},
	{"other keys given", func(s, _ *b2Subject) (*b2Subject, bool, error) {
		changed := *s
		r, err := b2Verify(s)
		if err != nil {
			return nil, false, err
		}
		changed.policy.Keys = slices.DeleteFunc(slices.Clone(s.policy.Keys), func(k attestation.Key) bool { return k.String() == r.Signer })
		return &changed, len(changed.policy.Keys) < len(s.policy.Keys), nil
	}},
	{"another image asked for", func(s, _ *b2Subject) (*b2Subject, bool, error) {
		changed := *s
		changed.digests = []string{"sha256:" + strings.Repeat("ab", 32)}
		return &changed, true, nil
	}},
}

func b2Verify(s *b2Subject) (*attestation.Result, error) {
	list, err := attestation.Read(s.name, s.data)
	if err != nil {
		return nil, err
	}
	return list[s.number].Verify(s.policy, s.digests), nil
}

type b2Object = map[string]any

func object(value any) b2Object {
	o, _ := value.(b2Object)
	return o
}

// b2Edit makes a change of the attestation's JSON.
func b2Edit(edit func(a, other b2Object) bool) func(s, other *b2Subject) (*b2Subject, bool, error) {
	return func(s, other *b2Subject) (*b2Subject, bool, error) {
		document, a, err := b2Document(s)
		if err != nil {
			return nil, false, err
		}
		_, o, err := b2Document(other)
		if err != nil {
			return nil, false, err
		}
		if !edit(a, o) {
			return nil, false, nil
		}
		changed := *s
		changed.data, err = json.Marshal(document)
		return &changed, true, err
	}
}

// b2Document gives a file's JSON and the attestation within: a bundle, an
// envelope, or an entry of a list.
func b2Document(s *b2Subject) (document, a b2Object, err error) {
	if err := json.Unmarshal(s.data, &document); err != nil {
		return nil, nil, err
	}
	a = document
	if list, ok := document["attestations"].([]any); ok {
		a = object(object(list[s.number])["bundle"])
	}
	if list, ok := object(document["provenance_summary"])["provenance"].([]any); ok {
		// Without the text for people, which tells of a change by itself.
		entry := object(list[s.number])
		delete(entry, "build")
		a = object(entry["envelope"])
	}
	return document, a, nil
}

func envelopeOf(a b2Object) b2Object {
	if e := object(a["dsseEnvelope"]); e != nil {
		return e
	}
	return a
}

// eachSignature changes every signature; false when one could not be.
func eachSignature(a b2Object, change func(signature b2Object) bool) bool {
	list, _ := envelopeOf(a)["signatures"].([]any)
	for _, s := range list {
		if !change(object(s)) {
			return false
		}
	}
	return len(list) > 0
}

func certificateOf(a b2Object) b2Object {
	material := object(a["verificationMaterial"])
	if c := object(material["certificate"]); c != nil {
		return c
	}
	list, _ := object(material["x509CertificateChain"])["certificates"].([]any)
	if len(list) == 0 {
		return nil
	}
	return object(list[0])
}

func entryOf(a b2Object) b2Object {
	list, _ := object(a["verificationMaterial"])["tlogEntries"].([]any)
	if len(list) == 0 {
		return nil
	}
	return object(list[0])
}

func put(o b2Object, name string, value any) bool {
	if o == nil {
		return false
	}
	o[name] = value
	return true
}

// swap takes a part of another; false when it is the same.
func swap(o, other b2Object, name string) bool {
	if o == nil || other == nil || other[name] == nil || fmt.Sprint(o[name]) == fmt.Sprint(other[name]) {
		return false
	}
	return put(o, name, other[name])
}

// flip changes a bit of a byte of a value in base64; a negative place counts from
// the end.
func flip(o b2Object, name string, at int) bool {
	text, ok := o[name].(string)
	if !ok {
		return false
	}
	encoding := base64.StdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.URLEncoding
	}
	data, err := encoding.DecodeString(text)
	if err != nil || len(data) == 0 {
		return false
	}
	if at < 0 {
		at += len(data)
	}
	data[min(max(at, 0), len(data)-1)] ^= 0x40
	return put(o, name, encoding.EncodeToString(data))
}

// otherSubject lets the statement speak of another digest.
func otherSubject(a, _ b2Object) bool {
	e := envelopeOf(a)
	text, ok := e["payload"].(string)
	if !ok {
		return false
	}
	encoding := base64.StdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.URLEncoding
	}
	data, err := encoding.DecodeString(text)
	if err != nil {
		return false
	}
	var statement b2Object
	if err := json.Unmarshal(data, &statement); err != nil {
		return false
	}
	list, _ := statement["subject"].([]any)
	if len(list) == 0 {
		return false
	}
	object(list[0])["digest"] = b2Object{"sha256": strings.Repeat("cd", 32)}
	if data, err = json.Marshal(statement); err != nil {
		return false
	}
	return put(e, "payload", encoding.EncodeToString(data))
}
