package attestation

import (
	"errors"
	"fmt"
	"strconv"
)

// envelope is a DSSE envelope.
type envelope struct {
	PayloadType string              `json:"payloadType"`
	Payload     string              `json:"payload"`
	Signatures  []envelopeSignature `json:"signatures"`
}

type envelopeSignature struct {
	KeyID string `json:"keyid"`
	Sig   string `json:"sig"`
	// Cert is the certificate in PEM that some builders put beside the signature.
	Cert string `json:"cert"`
}

// PAE is what DSSE signs: the payload together with its type, so that a payload
// cannot pass for one of another type.
func PAE(payloadType string, payload []byte) []byte {
	b := []byte("DSSEv1 " + strconv.Itoa(len(payloadType)) + " " + payloadType + " " + strconv.Itoa(len(payload)) + " ")
	return append(b, payload...)
}

// parseEnvelope reads an envelope and its payload.
func parseEnvelope(data []byte) (*envelope, []byte, error) {
	var e envelope
	if err := decode(data, &e); err != nil {
		return nil, nil, fmt.Errorf("envelope: expected JSON: %w", err)
	}
	if e.PayloadType == "" || e.Payload == "" {
		return nil, nil, errors.New("envelope: expected payloadType and payload")
	}
	if len(e.Signatures) == 0 {
		return nil, nil, errors.New("envelope: expected signatures, found none")
	}
	if len(e.Signatures) > maxSignatures {
		return nil, nil, fmt.Errorf("envelope: %d signatures, expected at most %d", len(e.Signatures), maxSignatures)
	}
	payload, err := decodeBase64(e.Payload)
	if err != nil {
		return nil, nil, fmt.Errorf("envelope: payload: %w", err)
	}
	return &e, payload, nil
}

// signedBy gives the key among some that one of the signatures is of. What was
// signed is the payload with its type, but for bare, in which a key signs
// payloads alone.
func (e *envelope) signedBy(keys []Key, payload []byte, bare func(keyID string) bool) (Key, error) {
	var unreadable error
	for i, s := range e.Signatures {
		signature, err := decodeBase64(s.Sig)
		if err != nil {
			unreadable = fmt.Errorf("envelope: signature %d: %w", i+1, err)
			continue
		}
		message := PAE(e.PayloadType, payload)
		if bare != nil && bare(s.KeyID) {
			message = payload
		}
		for _, key := range keys {
			if key.verify(message, signature) == nil {
				return key, nil
			}
		}
	}
	if unreadable != nil {
		return Key{}, unreadable
	}
	return Key{}, fmt.Errorf("%w any of the %d given keys", ErrSignature, len(keys))
}
