package attestation

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// Types of statements and payloads.
const (
	payloadInToto = "application/vnd.in-toto+json"
	statementV01  = "https://in-toto.io/Statement/v0.1"
	statementV1   = "https://in-toto.io/Statement/v1"
)

// Statement is an in-toto statement: what is said of which subjects.
type Statement struct {
	Type          string         `json:"_type"`
	PredicateType string         `json:"predicateType"`
	Subjects      []Subject      `json:"subject"`
	Predicate     jsontext.Value `json:"predicate"`
}

// Subject is what a statement speaks of.
type Subject struct {
	Name   string            `json:"name"`
	Digest map[string]string `json:"digest"`
}

// ErrSubject says that a statement speaks of something else.
var ErrSubject = errors.New("the statement is of another subject")

var hexadecimal = regexp.MustCompile(`^[0-9a-f]+$`)

// parseStatement reads a statement and requires what verifying one needs: its
// type, and subjects with digests.
func parseStatement(data []byte) (*Statement, error) {
	var s Statement
	if err := decode(data, &s); err != nil {
		return nil, fmt.Errorf("statement: expected JSON: %w", err)
	}
	if s.Type != statementV01 && s.Type != statementV1 {
		return nil, fmt.Errorf("statement: type %q, expected %s or %s", cut(s.Type), statementV01, statementV1)
	}
	if len(s.Subjects) == 0 {
		return nil, errors.New("statement: expected subjects, found none")
	}
	if len(s.Subjects) > maxSubjects {
		return nil, fmt.Errorf("statement: %d subjects, expected at most %d", len(s.Subjects), maxSubjects)
	}
	for i, subject := range s.Subjects {
		if len(subject.Digest) == 0 {
			return nil, fmt.Errorf("statement: subject %d has no digest", i+1)
		}
		if sum, ok := subject.Digest["sha256"]; ok && (len(sum) != 64 || !hexadecimal.MatchString(sum)) {
			return nil, fmt.Errorf("statement: subject %d: sha256 %q, expected 64 hexadecimal digits", i+1, cut(sum))
		}
	}
	return &s, nil
}

// about says whether the statement speaks of one of some digests in the form
// "sha256:...".
func (s *Statement) about(digests []string) error {
	var have []string
	for _, subject := range s.Subjects {
		digest := "sha256:" + subject.Digest["sha256"]
		if subject.Digest["sha256"] != "" && slices.Contains(digests, digest) {
			return nil
		}
		for kind, sum := range subject.Digest {
			have = append(have, kind+":"+cut(sum))
		}
	}
	slices.Sort(have)
	if len(have) > 5 {
		have = append(have[:5], "...")
	}
	return fmt.Errorf("%w: %s, expected %s", ErrSubject, strings.Join(have, ", "), strings.Join(digests, " or "))
}

func cut(text string) string { return text[:min(len(text), 200)] }
