package attestation

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/sigstore/sigstore-go/pkg/bundle"
)

// Form is how an attestation is written.
type Form string

// Forms.
const (
	FormStatement Form = "statement" // in-toto, without a signature
	FormEnvelope  Form = "envelope"  // DSSE
	FormBundle    Form = "bundle"    // Sigstore
)

// Attestation is one attestation as it was read, nothing of it believed.
type Attestation struct {
	// Name says where it was read: a file and a number within, or a digest.
	Name string
	Form Form

	envelope    *envelope
	bundle      *bundle.Bundle
	payloadType string
	payload     []byte // nil for a signature without a statement
	// claimed is the predicate type that stands beside it, which must be its own.
	claimed string
	// named requires that signatures name their key as Google's key service does.
	named bool
	// stored is what cosign keeps beside an envelope.
	stored *stored
	// err is why it cannot be read.
	err error
}

const bundleType = "application/vnd.dev.sigstore.bundle"

// Read reads the attestations of a file: one JSON document or several, each an
// in-toto statement, a DSSE envelope, a Sigstore bundle, a list of attestations
// as npm and GitHub give it, or what gcloud prints of an image's provenance. One
// that cannot be read is returned all the same and refused when it is verified.
func Read(name string, data []byte) ([]*Attestation, error) {
	if len(data) > maxFile {
		return nil, fmt.Errorf("%s: %d bytes, expected at most %d", name, len(data), maxFile)
	}
	var list []*Attestation
	decoder := jsontext.NewDecoder(bytes.NewReader(data))
	for n := 1; ; n++ {
		at := decoder.InputOffset()
		value, err := decoder.ReadValue()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			list = append(list, &Attestation{Name: name + "#" + strconv.Itoa(n), err: fmt.Errorf("at byte %d: expected JSON: %w", at, err)})
			break
		}
		list = append(list, readDocument(name+"#"+strconv.Itoa(n), value.Clone())...)
		if len(list) > maxAttestations {
			return nil, fmt.Errorf("%s: more than %d attestations", name, maxAttestations)
		}
	}
	switch len(list) {
	case 0:
		return nil, fmt.Errorf("%s: expected attestations, found nothing", name)
	case 1:
		list[0].Name = name
	}
	return list, nil
}

func readDocument(name string, data []byte) []*Attestation {
	switch member(data, "mediaType", "payload", "_type", "attestations", "provenance_summary") {
	case "mediaType":
		return []*Attestation{readBundle(name, data)}
	case "payload":
		return []*Attestation{readEnvelope(name, data)}
	case "_type":
		return []*Attestation{{Name: name, Form: FormStatement, payloadType: payloadInToto, payload: data}}
	case "attestations":
		return readList(name, data)
	case "provenance_summary":
		return readCloudBuild(name, data)
	}
	return []*Attestation{{Name: name, err: errors.New("expected an in-toto statement, a DSSE envelope, a Sigstore bundle or a list of them")}}
}

func readEnvelope(name string, data []byte) *Attestation {
	a := &Attestation{Name: name, Form: FormEnvelope}
	if a.envelope, a.payload, a.err = parseEnvelope(data); a.err == nil {
		a.payloadType = a.envelope.PayloadType
	}
	return a
}

func readBundle(name string, data []byte) *Attestation {
	a := &Attestation{Name: name, Form: FormBundle}
	var head struct {
		MediaType string `json:"mediaType"`
	}
	if a.err = decode(data, &head); a.err != nil {
		a.err = fmt.Errorf("bundle: expected JSON: %w", a.err)
		return a
	}
	if !strings.HasPrefix(head.MediaType, bundleType) {
		a.err = fmt.Errorf("media type %q, expected %s", cut(head.MediaType), bundleType)
		return a
	}
	a.bundle = &bundle.Bundle{}
	if err := a.bundle.UnmarshalJSON(data); err != nil {
		a.err = fmt.Errorf("bundle: %w", err)
		return a
	}
	if dsse := a.bundle.GetDsseEnvelope(); dsse != nil {
		a.payloadType, a.payload = dsse.GetPayloadType(), dsse.GetPayload()
		if len(dsse.GetSignatures()) != 1 {
			a.err = fmt.Errorf("bundle: %d signatures, expected one", len(dsse.GetSignatures()))
		} else if len(a.payload) == 0 {
			a.err = errors.New("bundle: the envelope has no payload")
		}
	}
	return a
}

// readList reads {"attestations":[{"predicateType","bundle"}]}, as the npm
// registry and the API of GitHub give it.
func readList(name string, data []byte) []*Attestation {
	var list struct {
		Attestations []struct {
			PredicateType string         `json:"predicateType"`
			Bundle        jsontext.Value `json:"bundle"`
		} `json:"attestations"`
	}
	if err := decode(data, &list); err != nil {
		return []*Attestation{{Name: name, err: err}}
	}
	if len(list.Attestations) == 0 {
		return []*Attestation{{Name: name, err: errors.New("the list of attestations is empty")}}
	}
	var all []*Attestation
	for i, entry := range list.Attestations {
		a := readBundle(fmt.Sprintf("%s/%d", name, i+1), entry.Bundle)
		a.claimed = entry.PredicateType
		all = append(all, a)
	}
	return all
}

// cloudKey is how Google's key management names the version of a key.
var cloudKey = regexp.MustCompile(`^projects/[^/]+/locations/[^/]+/keyRings/[^/]+/cryptoKeys/[^/]+/cryptoKeyVersions/[0-9]+$`)

// cloudBare are the keys with which Google Cloud Build signed payloads without
// their type, before it signed as DSSE says.
var cloudBare = regexp.MustCompile(`^projects/verified-builder/locations/[^/]+/keyRings/attestor/cryptoKeys/builtByGCB/cryptoKeyVersions/[0-9]+$`)

// readCloudBuild reads what gcloud prints of an image built by Google Cloud
// Build: signed envelopes beside a text that repeats them for people. A text that
// differs from what was signed is refused, since people read the text.
func readCloudBuild(name string, data []byte) []*Attestation {
	var answer struct {
		Summary struct {
			Provenance []struct {
				Kind     string         `json:"kind"`
				Resource string         `json:"resourceUri"`
				Envelope jsontext.Value `json:"envelope"`
				Build    struct {
					Statement map[string]jsontext.Value `json:"intotoStatement"`
					V1        map[string]jsontext.Value `json:"inTotoSlsaProvenanceV1"`
				} `json:"build"`
			} `json:"provenance"`
		} `json:"provenance_summary"`
	}
	if err := decode(data, &answer); err != nil {
		return []*Attestation{{Name: name, err: err}}
	}
	if len(answer.Summary.Provenance) == 0 {
		return []*Attestation{{Name: name, err: errors.New("provenance_summary holds no provenance")}}
	}
	var all []*Attestation
	for i, entry := range answer.Summary.Provenance {
		a := readEnvelope(fmt.Sprintf("%s/%d", name, i+1), entry.Envelope)
		a.named = true
		all = append(all, a)
		if a.err != nil {
			continue
		}
		if entry.Kind != "BUILD" {
			a.err = fmt.Errorf("kind %q, expected BUILD", cut(entry.Kind))
			continue
		}
		statement, err := parseStatement(a.payload)
		if err != nil {
			a.err = err
			continue
		}
		if _, digest, ok := strings.Cut(entry.Resource, "@"); !ok || statement.about([]string{digest}) != nil {
			a.err = fmt.Errorf("%w: the envelope stands beside %s", ErrSubject, cut(entry.Resource))
			continue
		}
		var signed map[string]jsontext.Value
		if a.err = json.Unmarshal(a.payload, &signed); a.err != nil {
			continue
		}
		for _, text := range []map[string]jsontext.Value{entry.Build.Statement, entry.Build.V1} {
			for key, value := range text {
				if !equalJSON(value, signed[key]) {
					a.err = fmt.Errorf("%s of the text beside the envelope differs from what was signed", cut(key))
				}
			}
		}
	}
	return all
}

// equalJSON says whether two values are one but for spaces and the order of
// members.
func equalJSON(a, b jsontext.Value) bool {
	if len(a) == 0 || len(b) == 0 {
		return len(a) == len(b)
	}
	a, b = a.Clone(), b.Clone()
	return a.Canonicalize() == nil && b.Canonicalize() == nil && bytes.Equal(a, b)
}
