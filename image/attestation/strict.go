package attestation

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Limits of what is read.
const (
	maxFile         = 64 << 20 // bytes of one file
	maxDocument     = 16 << 20 // bytes of one attestation
	maxDepth        = 200      // nesting of JSON
	maxAttestations = 1000     // in one file
	maxSignatures   = 32       // of one envelope
	maxSubjects     = 10000    // of one statement
)

// decode reads one JSON value and nothing after it. Names given twice, invalid
// UTF-8 and deep nesting are refused: two readers would see two things.
func decode(data []byte, into any) error {
	if len(data) > maxDocument {
		return fmt.Errorf("%d bytes, expected at most %d", len(data), maxDocument)
	}
	tokens := jsontext.NewDecoder(bytes.NewReader(data))
	for {
		if _, err := tokens.ReadToken(); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if tokens.StackDepth() > maxDepth {
			return fmt.Errorf("at byte %d: nested more than %d deep", tokens.InputOffset(), maxDepth)
		}
	}
	return json.Unmarshal(data, into)
}

// member says which of some names an object has first, "" when none or when the
// data is no object.
func member(data []byte, names ...string) string {
	var object map[string]jsontext.Value
	if json.Unmarshal(data, &object) != nil {
		return ""
	}
	for _, name := range names {
		if _, ok := object[name]; ok {
			return name
		}
	}
	return ""
}

// decodeBase64 reads standard and URL-safe base64 with its padding, strictly:
// one text for one content.
func decodeBase64(text string) ([]byte, error) {
	encoding := base64.StdEncoding
	if strings.ContainsAny(text, "-_") {
		encoding = base64.URLEncoding
	}
	if strings.ContainsAny(text, "\r\n") {
		return nil, errors.New("base64 with line breaks")
	}
	data, err := encoding.Strict().DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("expected base64: %w", err)
	}
	return data, nil
}
